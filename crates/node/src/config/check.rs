//! What a configuration must fulfil beyond its form.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use quorate_api::webhook::WebhookPublicKey;
use quorate_api::{ClientPublicKey, EventKind, check_client, check_node_name};
use quorate_net::PeerId;
use quorate_seal::HsmUri;

use super::{Config, Seal, selects};
use crate::hook::MAX_TIMEOUT;
use crate::pool::MAX_BATCH;
use crate::source::Range;

/// Every problem, in the order of the file.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    if let Err(reason) = check_node_name(&config.name) {
        found.push(format!("name `{}`: {reason}", config.name));
    }
    if config.data.as_os_str().is_empty() {
        found.push("data is empty: name the data folder".to_owned());
    }
    seal(config, &mut found);
    let listens = [config.listen.peers, config.listen.api];
    if cfg!(feature = "unlogged") && listens.iter().any(|address| !address.ip().is_loopback()) {
        found.push(
            "this program was built to measure, and logs nothing: it listens on loopback only".to_owned(),
        );
    }
    peers(config, &mut found);
    clients(config, &mut found);
    if config.genesis.is_some() && !config.clients.is_empty() {
        found.push("with a genesis the directory says who may ask: remove the [[clients]]".to_owned());
    }
    for proxy in &config.trusted_proxies {
        if let Err(reason) = proxy.parse::<Range>() {
            found.push(format!("trusted_proxies `{proxy}`: {reason}"));
        }
    }
    presign(config, &mut found);
    webhooks(config, &mut found);
    if let Some(endpoint) = &config.telemetry.otlp_endpoint {
        let uri = endpoint.parse::<http::Uri>();
        if !uri.is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some() && uri.path() == "/")
        {
            found.push(format!(
                "telemetry.otlp_endpoint `{endpoint}` must be `http://host:port` of a collector: run one beside the node, which sends on over tls"
            ));
        }
    }
    let every = config.refresh.every;
    if !every.is_zero() && (every < Duration::from_secs(1) || every > Duration::from_secs(366 * 86_400)) {
        found.push("refresh.every must be `0s` for never, or `1s` to `366d`".to_owned());
    }
    let delay = config.keys.destroy_delay;
    if delay < Duration::from_secs(1) || delay.as_secs() > quorate_api::MAX_DESTROY_DELAY {
        found.push("keys.destroy_delay must be `1s` to `366d`".to_owned());
    }
    pool(config, &mut found);
    backup(config, &mut found);
    limits(config, &mut found);
    found
}

fn seal(config: &Config, found: &mut Vec<String>) {
    let Seal { passphrase_file, passphrase_env, passphrase_fd, pkcs11 } = &config.seal;
    let places = [passphrase_file.is_some(), passphrase_env.is_some(), passphrase_fd.is_some()];
    let places = places.into_iter().filter(|named| *named).count();
    if places > 1 || (places == 0 && pkcs11.is_none()) {
        found.push(
            "[seal] must name pkcs11, or exactly one of passphrase_file, passphrase_env and passphrase_fd"
                .to_owned(),
        );
    }
    if let Some(Err(error)) = pkcs11.as_ref().map(|uri| uri.parse::<HsmUri>()) {
        // Never the text: there may be a PIN in it.
        found.push(format!("seal.pkcs11: {error}"));
    }
}

fn pool(config: &Config, found: &mut Vec<String>) {
    let pool = &config.pool;
    if pool.high > 1024 {
        found.push("pool.high must be 0 for no presignatures, or at most 1024".to_owned());
    }
    if pool.high > 0 && !(1..=pool.high).contains(&pool.low) {
        found.push("pool.low must be 1 to pool.high".to_owned());
    }
    if !(1..=MAX_BATCH).contains(&pool.batch) {
        found.push(format!("pool.batch must be 1 to {MAX_BATCH}"));
    }
    for (name, count) in [("max_keys", pool.max_keys), ("max_for_others", pool.max_for_others)] {
        if count > 65_536 {
            found.push(format!("pool.{name} must be at most 65536"));
        }
    }
    if pool.max_age < Duration::from_secs(1) || pool.max_age > Duration::from_secs(30 * 86_400) {
        found.push("pool.max_age must be `1s` to `30d`".to_owned());
    }
    if pool.quiet < Duration::from_millis(10) || pool.quiet > Duration::from_secs(3600) {
        found.push("pool.quiet must be 10ms to 1 hour".to_owned());
    }
}

fn backup(config: &Config, found: &mut Vec<String>) {
    let Some(backup) = &config.backup else { return };
    if let Err(error) = quorate_backup::Place::parse(&backup.to) {
        found.push(format!("backup.to: {error}"));
    }
    if let Err(error) = quorate_backup::text::parse_access(&backup.access) {
        found.push(format!("backup.access: {error}"));
    }
    if backup.every < Duration::from_secs(60) {
        found.push("backup.every must be at least a minute".to_owned());
    }
    let most = quorate_backup::Writing::MAX_KEYS;
    if !(1..=most).contains(&backup.keys_per_file) {
        found.push(format!("backup.keys_per_file must be 1 to {most}"));
    }
    if backup.recipients.is_empty() {
        found.push(
            "backup.recipients names no recovery key: `quorate recovery-key create` makes one".to_owned(),
        );
    }
}

fn peers(config: &Config, found: &mut Vec<String>) {
    let mut names = BTreeSet::from([config.name.as_str()]);
    let mut identities = BTreeSet::new();
    for peer in &config.peers {
        let name = peer.name.as_str();
        if let Err(reason) = check_node_name(name) {
            found.push(format!("peer `{name}`: {reason}"));
        }
        if !names.insert(name) {
            found.push(format!("peer `{name}`: another node has this name, each needs its own"));
        }
        match peer.identity.parse::<PeerId>() {
            Err(_) if peer.identity.is_empty() && config.genesis.is_some() => {}
            Err(error) => found.push(format!("peer `{name}`: {error}")),
            Ok(id) if !identities.insert(id) => {
                found.push(format!(
                    "peer `{name}`: another peer has this identity, copy it again from the peer"
                ));
            }
            Ok(_) => {}
        }
        let port = peer.address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        if !peer.address.is_empty() && !matches!(port, Some((host, Ok(_))) if !host.is_empty()) {
            found.push(format!("peer `{name}`: the address `{}` is not `host:port`", peer.address));
        }
    }
    if config.peers.len() >= quorate_api::MAX_PARTIES {
        found.push(format!("there are more than {} nodes: remove some peers", quorate_api::MAX_PARTIES));
    }
}

fn clients(config: &Config, found: &mut Vec<String>) {
    let mut names = BTreeSet::new();
    for client in &config.clients {
        let name = client.name.as_str();
        if let Err(error) = check_client(name) {
            found.push(format!("client `{name}`: {error}"));
        }
        if !names.insert(name) {
            found.push(format!("client `{name}` is there twice: remove one"));
        }
        if let Err(error) = client.key.parse::<ClientPublicKey>() {
            found.push(format!("client `{name}`: {error}"));
        }
    }
}

fn webhooks(config: &Config, found: &mut Vec<String>) {
    let mut urls = BTreeSet::new();
    for hook in &config.webhooks {
        let url = hook.url.as_str();
        if !urls.insert(url) {
            found.push(format!("webhook `{url}` is there twice: remove one"));
        }
        if let Err(reason) = webhook_url(url) {
            found.push(format!("webhook `{url}`: {reason}"));
        }
        for selector in &hook.events {
            if !EventKind::ALL.iter().any(|kind| selects(selector, *kind)) {
                found.push(format!(
                    "webhook `{url}`: there is no event `{selector}`, docs/events.md lists all"
                ));
            }
        }
        if !(1..=32).contains(&hook.attempts) {
            found.push(format!("webhook `{url}`: attempts must be 1 to 32"));
        }
        let least = Duration::from_millis(10);
        let most = Duration::from_secs(24 * 3600);
        for (name, time) in [("first_retry", hook.first_retry), ("longest_retry", hook.longest_retry)] {
            if time < least || time > most {
                found.push(format!("webhook `{url}`: {name} must be 10ms to 24 hours"));
            }
        }
        if hook.timeout < least || hook.timeout > Duration::from_secs(60) {
            found.push(format!("webhook `{url}`: timeout must be 10ms to 60s"));
        }
    }
    if config.webhooks.len() > 16 {
        found.push("there are more than 16 webhooks: remove some".to_owned());
    }
}

fn presign(config: &Config, found: &mut Vec<String>) {
    let Some(hook) = &config.presign else { return };
    if let Err(reason) = webhook_url(&hook.url) {
        // Not shown: it may hold what is wrong with it, such as a password.
        found.push(format!("presign.url: {reason}"));
    }
    if let Err(error) = hook.key.parse::<WebhookPublicKey>() {
        found
            .push(format!("presign.key: {error}; it is the public key that the hook signs its answers with"));
    }
    if hook.timeout < Duration::from_secs(1) || hook.timeout > MAX_TIMEOUT {
        found.push("presign.timeout must be 1s to 10s".to_owned());
    }
}

fn webhook_url(url: &str) -> Result<(), &'static str> {
    let uri: http::Uri = url.parse().map_err(|_| "this is no URL")?;
    let host = uri.host().ok_or("it must begin with `https://` and a host")?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("a name or password in it would be in logs: deliveries are signed, check that instead");
    }
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let here = host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if here => Ok(()),
        Some("http") => Err("plain http is for receivers on this machine: use https"),
        _ => Err("it must begin with `https://`"),
    }
}

fn limits(config: &Config, found: &mut Vec<String>) {
    let limits = &config.limits;
    let times = [
        ("request_max_ahead", limits.request_max_ahead),
        ("ceremony_deadline", limits.ceremony_deadline),
        ("attempt_deadline", limits.attempt_deadline),
        ("answer_deadline", limits.answer_deadline),
        ("hedge_floor", limits.hedge_floor),
        ("hedge_cap", limits.hedge_cap),
        ("http_read", limits.http_read),
        ("http_write", limits.http_write),
    ];
    for (name, time) in times {
        if time < Duration::from_millis(10) || time > Duration::from_secs(24 * 3600) {
            found.push(format!("limits.{name} must be 10ms to 24 hours"));
        }
    }
    if limits.hedge_cap < limits.hedge_floor {
        found.push("limits.hedge_cap must not be less than limits.hedge_floor".to_owned());
    }
    if limits.suspicion_half_life > Duration::from_secs(24 * 3600) {
        found.push("limits.suspicion_half_life must be at most 24 hours".to_owned());
    }
    let counts = [
        ("max_ceremonies", limits.max_ceremonies),
        ("max_proposals_per_peer", limits.max_proposals_per_peer),
        ("max_connections", limits.max_connections),
        ("max_pending_per_client", limits.max_pending_per_client),
        ("max_pending_per_tenant", limits.max_pending_per_tenant),
        ("max_event_streams", limits.max_event_streams),
    ];
    for (name, count) in counts {
        if !(1..=65_536).contains(&count) {
            found.push(format!("limits.{name} must be 1 to 65536"));
        }
    }
    let rates = [
        ("requests_per_second", limits.requests_per_second),
        ("requests_burst", limits.requests_burst),
        ("unsigned_per_second", limits.unsigned_per_second),
        ("unsigned_burst", limits.unsigned_burst),
    ];
    for (name, rate) in rates {
        if !(1..=1_000_000).contains(&rate) {
            found.push(format!("limits.{name} must be 1 to 1000000"));
        }
    }
    if !(1024..=quorate_api::MAX_BODY).contains(&limits.max_body) {
        found.push(format!("limits.max_body must be 1024 to {}", quorate_api::MAX_BODY));
    }
}

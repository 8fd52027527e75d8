//! The configuration of a node: one TOML file, every key overridable by the environment, nothing secret inside.

mod check;
mod overrides;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_intent::Network;
use quorate_seal::{HsmUri, PassphraseSource};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Everything a node is told. Unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name that the other nodes know this one by.
    pub name: String,
    /// The data folder. A relative path is taken from the folder of the configuration file.
    pub data: PathBuf,
    /// The genesis of the cluster, as `quorate cluster init` wrote it: from then on the directory says who may ask, and the policies
    /// what. A relative path is taken from the folder of the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<PathBuf>,
    /// Addresses (`10.0.0.7`) and ranges (`10.0.0.0/8`) of proxies in front of the API, whose `X-Forwarded-For` says where a
    /// request came from. Without them it is the address of the connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// Where to listen.
    pub listen: Listen,
    /// The certificate under which clients are served. Plain HTTP if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// What opens the data folder.
    pub seal: Seal,
    /// What is asked of the machine.
    #[serde(default)]
    pub host: Host,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// When this node freezes a key by itself, in a cluster with a directory.
    #[serde(default)]
    pub breaker: Breaker,
    /// When keys get new shares by themselves.
    #[serde(default)]
    pub refresh: Refresh,
    /// How long keys are kept that are to be destroyed.
    #[serde(default)]
    pub keys: Keys,
    /// Presignatures, made beforehand.
    #[serde(default)]
    pub pool: Pool,
    /// How to log.
    #[serde(default)]
    pub log: Log,
    /// Where traces go.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// How things of chains are shown.
    #[serde(default)]
    pub chains: Chains,
    /// The other nodes.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// Who may ask, in a cluster without a directory.
    #[serde(default)]
    pub clients: Vec<Client>,
    /// Who is asked before this node agrees to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presign: Option<Presign>,
    /// Who is told of events.
    #[serde(default)]
    pub webhooks: Vec<Webhook>,
    /// Where this node's shares are backed up to, and for whom. Nowhere if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
}

/// Backups: encrypted to recovery keys, checkable by anybody (`docs/backup.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// A folder, or `s3://BUCKET/PREFIX`.
    pub to: String,
    /// How often, such as `6h` or `1d`; at least a minute. Default a day. A backup is also made when the node starts and one is due.
    #[serde(default = "daily", with = "period")]
    pub every: Duration,
    /// Files with the public halves of recovery keys, as `quorate recovery-key create` writes them.
    pub recipients: Vec<PathBuf>,
    /// Who of them can open a backup, over their names: `2 of (alice, bob, carol)`, or any other access structure.
    pub access: String,
    /// Most keys whose shares lie in one file. Restoring one of them opens all of them. Default 16.
    #[serde(default = "keys_per_file")]
    pub keys_per_file: usize,
}

const fn daily() -> Duration {
    Duration::from_secs(24 * 3600)
}

const fn keys_per_file() -> usize {
    16
}

/// Addresses to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For the other nodes.
    pub peers: SocketAddr,
    /// For clients: over TLS with [`Config::tls`]; without it plain HTTP, so loopback or behind a proxy that does TLS.
    pub api: SocketAddr,
}

/// How clients are served over TLS 1.3. The files are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The node's certificate, then its intermediate authorities, in PEM.
    pub certificate_file: PathBuf,
    /// Its private key in PEM, which others cannot read.
    pub key_file: PathBuf,
    /// The authorities whose certificates clients may present, in PEM. A certificate that is presented must be theirs; none
    /// need be presented. Absent: clients are not asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name: the same on every node.
    pub name: String,
    /// `host:port`; empty if it always dials us.
    pub address: String,
    /// The 64 hexadecimal digits that it prints as its identity. May be left out in a cluster with a directory, which knows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub identity: String,
}

/// Someone who may send requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The name in its requests.
    pub name: String,
    /// Its public key, `ed25519:…` or `p256:…`.
    pub key: String,
}

/// A receiver of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// `https://…`, or `http://…` for a receiver on this machine.
    pub url: String,
    /// Which events: names, or a beginning and a star, such as `operation.*`. All if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// The certificate authorities that are trusted for it, in PEM; those that browsers trust if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How often an event is tried. Default 8.
    pub attempts: u32,
    /// How long the receiver may take to answer. Default 10 s.
    #[serde(with = "time")]
    pub timeout: Duration,
    /// The pause after the first try; each is four times as long. Default 2 s.
    #[serde(with = "time")]
    pub first_retry: Duration,
    /// The longest pause. Default 1 h.
    #[serde(with = "time")]
    pub longest_retry: Duration,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            url: String::new(),
            events: Vec::new(),
            ca_file: None,
            attempts: 8,
            timeout: Duration::from_secs(10),
            first_retry: Duration::from_secs(2),
            longest_retry: Duration::from_secs(3600),
        }
    }
}

/// The pre-sign hook: asked before this node agrees to sign, and nothing is signed here without its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Presign {
    /// `https://…`, or `http://…` for a hook on this machine.
    pub url: String,
    /// The public key that answers are signed with, `whpk_…`.
    pub key: String,
    /// The certificate authorities that are trusted for it, in PEM; those that browsers trust if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long it may take to answer, 1 s to 10 s. Default 10 s.
    #[serde(with = "time")]
    pub timeout: Duration,
}

impl Default for Presign {
    fn default() -> Self {
        Self { url: String::new(), key: String::new(), ca_file: None, timeout: Duration::from_secs(10) }
    }
}

/// Whether an entry of [`Webhook::events`] means this kind.
pub(crate) fn selects(selector: &str, kind: quorate_api::EventKind) -> bool {
    match selector.strip_suffix('*') {
        Some(beginning) => kind.as_str().starts_with(beginning),
        None => kind.as_str() == selector,
    }
}

/// What opens the data folder: a key in an HSM, or a passphrase from exactly one place. Both may be named: the folder says which one
/// opens it, so that it can be moved from one to the other (`quorate node reseal`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// A key in an HSM as a `pkcs11:` URI (RFC 7512), which says where the PIN is and never holds it. See `docs/sealing.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkcs11: Option<String>,
    /// A file that only its owner may read, or a pipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
    /// The name of an environment variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_env: Option<String>,
    /// An open file descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_fd: Option<i32>,
}

/// What is asked of the machine that the node runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Whether the node's memory must stay in RAM, so that none of it is ever written to a swap device.
    pub lock_memory: LockMemory,
}

/// Whether memory is locked into RAM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockMemory {
    /// If the limits of the process allow it; a warning if not.
    #[default]
    IfPossible,
    /// The node does not start without.
    Required,
    /// No.
    Off,
}

/// The circuit breaker: beyond these this node freezes the key by itself, until the admins thaw it. Nothing is set by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// Signatures with one key in an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures_per_hour: Option<u64>,
    /// Whole coins that one key may send in a day, by chain such as `ethereum:1`, `bitcoin` or `solana`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub coins_per_day: BTreeMap<String, u64>,
}

/// New shares by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Refresh {
    /// How old the shares of a key get, at most, while all its nodes are there; `0s` for as old as they like, which is the default. The nodes
    /// of a key agree if each of them has such a schedule and its share is at least half as old.
    #[serde(with = "time")]
    pub every: Duration,
}

/// What happens to keys over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// How long after an order to destroy a key this node erases its share, at least; whoever orders it may ask for longer. Default 7 days.
    #[serde(with = "time")]
    pub destroy_delay: Duration,
}

impl Default for Keys {
    fn default() -> Self {
        Self { destroy_delay: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// Presignatures: made in idle time, so that an ECDSA signature takes one message (`docs/pools.md`). The same at all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pool {
    /// With fewer than this for a key, more are made. Default 8.
    pub low: usize,
    /// How many of one owner a node keeps for a key and quorum; 0 for no pool at all. Default 24.
    pub high: usize,
    /// How many are made in one session, 1 to 24. Default 16.
    pub batch: usize,
    /// For how many keys this node makes some: those that it coordinated signatures with last. Default 16.
    pub max_keys: usize,
    /// How many a node keeps for the pools of all other nodes together, each of which gets an equal part. Default 1024.
    pub max_for_others: usize,
    /// How old one may get, and how long ago its key may have signed for more to be made. Default 1 h.
    #[serde(with = "period")]
    pub max_age: Duration,
    /// How long a node must have been without requests before it makes some. Default 1 s.
    #[serde(with = "time")]
    pub quiet: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            low: 8,
            high: 24,
            batch: 16,
            max_keys: 16,
            max_for_others: 1024,
            max_age: Duration::from_secs(3600),
            quiet: Duration::from_secs(1),
        }
    }
}

/// Bounds on time and number. Times are written `500ms`, `10s`, `2m`, `24h` or `7d`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How far ahead the expiry of a request may lie. Default 1 h.
    #[serde(with = "time")]
    pub request_max_ahead: Duration,
    /// The same in a cluster with a directory, where a request may have to wait for people. Default 7 days.
    #[serde(with = "time")]
    pub approval_max_ahead: Duration,
    /// How long one operation may take, over all its attempts. Default 30 s.
    #[serde(with = "time")]
    pub ceremony_deadline: Duration,
    /// How long one attempt with one quorum may take. Default 10 s.
    #[serde(with = "time")]
    pub attempt_deadline: Duration,
    /// How long a node asked to take part may take to answer. Default 2 s.
    #[serde(with = "time")]
    pub answer_deadline: Duration,
    /// The least time after which an attempt to sign is given up for another quorum, if there is one without the slow node: the larger of
    /// this and three times what nearly all such attempts took. Default 500 ms.
    #[serde(with = "time")]
    pub hedge_floor: Duration,
    /// The most time after which it is, and the time as long as too few attempts were seen to know. Default 3 s.
    #[serde(with = "time")]
    pub hedge_cap: Duration,
    /// After which time half of what this node holds against another one is forgotten; 0 remembers nothing from one request to the next.
    /// Default 2 min.
    #[serde(with = "time")]
    pub suspicion_half_life: Duration,
    /// How long a node that has stood down for a key's next epoch waits for those that are away, before it may go on in the old epoch
    /// with enough others. Default 60 s.
    #[serde(with = "time")]
    pub doubt: Duration,
    /// How long a node that is not connected is waited for before the quorum is called incomplete. Default 1 s.
    #[serde(with = "time")]
    pub connect_grace: Duration,
    /// Operations this node coordinates at once; more wait. Default 64.
    pub max_ceremonies: usize,
    /// Proposals of one peer that are looked at or run at once; more are dropped. Default 256.
    pub max_proposals_per_peer: usize,
    /// Largest request body in bytes. Default 1 MiB, which is also the most.
    pub max_body: usize,
    /// HTTP connections at once; more wait in the listener's queue. Default 512.
    pub max_connections: usize,
    /// How long a client may take to send a request's head, and again its body. Default 10 s.
    #[serde(with = "time")]
    pub http_read: Duration,
    /// How long a client may take to take what is sent to it. Default 30 s.
    #[serde(with = "time")]
    pub http_write: Duration,
    /// Requests of one client a second, on average; each item of a batch counts as one. Default 200.
    pub requests_per_second: u32,
    /// Requests that one client may send at once after a pause. A batch may be larger: the next request waits for it. Default 400.
    pub requests_burst: u32,
    /// Requests without a valid signature from one address a second, on average. Default 50.
    pub unsigned_per_second: u32,
    /// Requests without a valid signature that may come from one address at once after a pause. Default 200.
    pub unsigned_burst: u32,
    /// Operations of one client that have not ended. Default 256.
    pub max_pending_per_client: usize,
    /// Operations of all clients of one tenant that have not ended. Default 1024.
    pub max_pending_per_tenant: usize,
    /// Clients that may watch the events at once. Default 64.
    pub max_event_streams: usize,
    /// How long a shutdown waits for ceremonies. Default 5 s.
    #[serde(with = "time")]
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_max_ahead: Duration::from_secs(quorate_api::MAX_EXPIRY_AHEAD),
            approval_max_ahead: Duration::from_secs(7 * 24 * 3600),
            ceremony_deadline: Duration::from_secs(30),
            attempt_deadline: Duration::from_secs(10),
            answer_deadline: Duration::from_secs(2),
            hedge_floor: Duration::from_millis(500),
            hedge_cap: Duration::from_secs(3),
            suspicion_half_life: Duration::from_secs(120),
            doubt: Duration::from_secs(60),
            connect_grace: Duration::from_secs(1),
            max_ceremonies: 64,
            max_proposals_per_peer: 256,
            max_body: quorate_api::MAX_BODY,
            max_connections: 512,
            http_read: Duration::from_secs(10),
            http_write: Duration::from_secs(30),
            requests_per_second: 200,
            requests_burst: 400,
            unsigned_per_second: 50,
            unsigned_burst: 200,
            max_pending_per_client: 256,
            max_pending_per_tenant: 1024,
            max_event_streams: 64,
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// How to log. The program that starts the node sets the logger up; the node only says how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where traces go. The program that starts the node sends them; the node only says where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// An OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`. None if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
}

/// How things of chains are shown. Nothing that is signed depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chains {
    /// For which Bitcoin network addresses are written.
    pub bitcoin: Network,
}

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not a configuration.
    #[error("the configuration is not valid: {0}")]
    Parse(String),
    /// An environment variable does not fit.
    #[error("environment variable `{name}`: {reason}")]
    Override {
        /// The variable.
        name: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The values do not make sense together.
    #[error("the configuration has {} problem{}: {}", .0.len(), if .0.len() == 1 { "" } else { "s" }, .0.join("; "))]
    Check(Vec<String>),
}

impl Config {
    /// Reads the file, applies the overrides of `environment`, and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong and where.
    pub fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = Self::parse(&text, environment)?;
        config.resolve(path.parent().unwrap_or_else(|| Path::new(".")));
        config.check()?;
        Ok(config)
    }

    /// As [`load`](Self::load) from a text; paths stay as they are, and nothing is checked beyond the form.
    ///
    /// # Errors
    /// [`ConfigError::Parse`] and [`ConfigError::Override`].
    pub fn parse(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table: toml::Table =
            toml::from_str(text).map_err(|error| ConfigError::Parse(error.to_string()))?;
        overrides::apply(&mut table, environment)?;
        Self::deserialize(table).map_err(|error| ConfigError::Parse(parse_hint(&error)))
    }

    /// The configuration as TOML. It holds no secret.
    ///
    /// # Errors
    /// [`ConfigError::Parse`] if a path is not text.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string_pretty(self).map_err(|error| ConfigError::Parse(error.to_string()))
    }

    /// Takes relative paths from `folder`.
    pub fn resolve(&mut self, folder: &Path) {
        self.data = folder.join(&self.data);
        if let Some(file) = &mut self.seal.passphrase_file {
            *file = folder.join(&file);
        }
        if let Some(uri) = &mut self.seal.pkcs11
            && let Ok(mut parsed) = uri.parse::<HsmUri>()
        {
            parsed.resolve(folder);
            *uri = parsed.to_string();
        }
        if let Some(file) = &mut self.genesis {
            *file = folder.join(&file);
        }
        if let Some(file) = self.presign.as_mut().and_then(|hook| hook.ca_file.as_mut()) {
            *file = folder.join(&file);
        }
        if let Some(Tls { certificate_file, key_file, client_ca_file }) = &mut self.tls {
            for file in [certificate_file, key_file].into_iter().chain(client_ca_file) {
                *file = folder.join(&file);
            }
        }
        if let Some(backup) = &mut self.backup {
            for file in &mut backup.recipients {
                *file = folder.join(&file);
            }
            if !backup.to.contains("://") {
                backup.to = folder.join(&backup.to).to_string_lossy().into_owned();
            }
        }
        for file in self.webhooks.iter_mut().filter_map(|hook| hook.ca_file.as_mut()) {
            *file = folder.join(&file);
        }
    }

    /// Whether the values make sense, each and together.
    ///
    /// # Errors
    /// [`ConfigError::Check`] with every problem found.
    pub fn check(&self) -> Result<(), ConfigError> {
        let problems = check::problems(self);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Check(problems)) }
    }

    /// Where the passphrase is; `None` unless exactly one place is named.
    #[must_use]
    pub fn passphrase(&self) -> Option<PassphraseSource> {
        let Seal { passphrase_file, passphrase_env, passphrase_fd, pkcs11: _ } = &self.seal;
        match (passphrase_file, passphrase_env, passphrase_fd) {
            (Some(path), None, None) => Some(PassphraseSource::File(path.clone())),
            (None, Some(name), None) => Some(PassphraseSource::Env(name.clone())),
            (None, None, Some(fd)) => Some(PassphraseSource::Fd(*fd)),
            _ => None,
        }
    }
}

fn parse_hint(error: &toml::de::Error) -> String {
    format!("{}; `docs/operating.md` lists every key", error.to_string().trim_end())
}

/// The overrides of this process's environment.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(overrides::PREFIX))
        .collect()
}

mod time {
    use super::{Deserialize, Deserializer, Duration, Serializer};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(time: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&quorate_api::format_wait(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        quorate_api::parse_wait(&text).or_else(|| long(&text)).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a time such as `500ms`, `10s`, `2m`, `24h` or `7d`"))
        })
    }

    fn long(text: &str) -> Option<Duration> {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let hours = match unit {
            "h" => 1,
            "d" => 24,
            _ => return None,
        };
        // Digits only: the parser of numbers takes signs too.
        let number = Some(number).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))?;
        let number: u32 = number.parse().ok()?;
        // What is longer would not read back as it is written.
        Some(Duration::from_secs(number.checked_mul(hours * 3600)?.into()))
    }
}

/// Times that may be long: `90s`, `30m`, `6h` or `7d`.
mod period {
    use super::{Deserialize, Deserializer, Duration, Serializer};
    use serde::de::Error as _;

    const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

    pub(super) fn serialize<S: Serializer>(time: &Duration, out: S) -> Result<S::Ok, S::Error> {
        let seconds = time.as_secs();
        let (unit, size) =
            UNITS.into_iter().find(|(_, size)| seconds.is_multiple_of(*size)).unwrap_or(('s', 1));
        out.serialize_str(&format!("{}{unit}", seconds / size))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        let parsed = UNITS.into_iter().find_map(|(unit, size)| {
            let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
            count.checked_mul(size)
        });
        parsed
            .map(Duration::from_secs)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a time such as `30m`, `6h` or `7d`")))
    }
}

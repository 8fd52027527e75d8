//! What a node shows at `/metrics`, and that the alerts watch what is there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use quorate_api::intent::{Purpose, Scheme};

use crate::cluster::Cluster;

/// What operators are promised and has a source today, and what the alerts need.
const SHOWN: [&str; 17] = [
    "quorate_requests_total",
    "quorate_ceremony_seconds",
    "quorate_ceremonies_active",
    "quorate_peer_up",
    "quorate_peer_rtt_seconds",
    "quorate_peer_quarantined",
    "quorate_share_age_seconds",
    "quorate_aborts_total",
    "quorate_approvals_pending",
    "quorate_log_size",
    "quorate_log_cosigned_size",
    "quorate_log_contradictions_total",
    "quorate_burns_unsaved",
    "quorate_store_errors_total",
    "quorate_event_streams",
    "quorate_presignatures_ready",
    "quorate_presignatures_destroyed_total",
];

/// The metrics that a text of alerts names in its expressions.
fn watched(alerts: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in alerts.lines().filter_map(|line| line.trim().strip_prefix("expr:")) {
        let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        names.extend(words.filter(|word| word.starts_with("quorate_")).map(str::to_owned));
    }
    names
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_name_only_what_a_node_shows() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    cluster.sign(0, &key.id, "measured").await.unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/alerts.yml");
    let alerts = std::fs::read_to_string(path).unwrap();
    let named = watched(&alerts);
    assert!(named.len() >= 8, "{named:?}");
    assert_eq!(alerts.matches("- alert:").count(), alerts.matches("expr:").count());
    let wanted: BTreeSet<String> = SHOWN.iter().map(|name| (*name).to_owned()).chain(named).collect();
    let begun = Instant::now();
    // The round trip of a peer is known after the first keep-alive, the cosigned size after the first head.
    let text = loop {
        let text = cluster.get(0, "/metrics").await.1;
        let shown = |name: &String| {
            text.lines().any(|line| {
                let rest = line.strip_prefix(name.as_str()).unwrap_or_default();
                rest.starts_with('{') || rest.starts_with(' ') || rest.starts_with("_bucket{")
            })
        };
        let missing: Vec<_> = wanted.iter().filter(|name| !shown(name)).collect();
        let cosigned = value(&text, "quorate_log_cosigned_size").unwrap_or(0.0);
        if missing.is_empty() && cosigned > 0.0 {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "not shown: {missing:?}, cosigned {cosigned}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let size = value(&text, "quorate_log_size").unwrap();
    assert!(size >= 6.0 && value(&text, "quorate_log_cosigned_size").unwrap() <= size, "{size}");
    assert_eq!(value(&text, "quorate_burns_unsaved"), Some(0.0));
    assert_eq!(value(&text, "quorate_store_errors_total"), Some(0.0));
    assert!(value(&text, "quorate_share_age_seconds").unwrap() < 60.0);
    let aborts = text.lines().filter(|line| line.starts_with("quorate_aborts_total{")).count();
    assert!(aborts >= 20, "each check begins at zero: {aborts}");
}

/// What is to be found must be found: a metric that nobody shows.
#[test]
fn a_name_that_is_wrong_is_seen() {
    let alerts = "x:\n  expr: increase(quorate_no_such_total{a=\"quorate_b\"}[5m]) > quorate_peer_up\n";
    let names: Vec<String> = watched(alerts).into_iter().collect();
    assert_eq!(names, ["quorate_b", "quorate_no_such_total", "quorate_peer_up"]);
}

//! Switching keys off and on, and destroying them, by the command line.

use crate::support::{Cluster, Ran, WAIT};
use quorate_api::KeyId;
use quorate_api::intent::Scheme;
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

fn shown(cluster: &Cluster, node: usize, key: &KeyId) -> Value {
    cluster.cli(node, &["key", "show", key.as_str()]).ok().json()
}

fn sign(cluster: &Cluster, node: usize, key: &KeyId) -> Ran {
    cluster.cli(node, &["key", "sign", key.as_str(), "--message", "hello"])
}

/// An order that must succeed at all nodes; its result.
fn order(cluster: &Cluster, node: usize, key: &KeyId, what: &[&str]) -> Value {
    let mut arguments = vec!["key", what[0], key.as_str()];
    arguments.extend(&what[1..]);
    let done = cluster.cli(node, &arguments).ok().json();
    assert_eq!(done["result"]["by"], serde_json::json!(["a", "b", "c"]), "{done}");
    done["result"].clone()
}

fn refused(ran: &Ran, code: &str, words: &str) {
    assert_ne!(ran.code, 0, "{ran:?}");
    let error = ran.error();
    assert_eq!(error["code"], code, "{ran:?}");
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.contains(words), "`{words}`: {ran:?}");
}

fn until(cluster: &Cluster, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < WAIT, "{}", cluster.logs());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether a piece of a sealed share is in a file of the node's folder.
fn holds(cluster: &Cluster, node: usize, share: &[u8]) -> bool {
    let pieces: Vec<&[u8]> = share.chunks(24).filter(|piece| piece.len() == 24).collect();
    assert!(pieces.len() > 2);
    fs::read_dir(cluster.nodes[node].data()).unwrap().any(|file| {
        let path = file.unwrap().path();
        let bytes = if path.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        bytes.windows(24).any(|window| pieces.contains(&window))
    })
}

/// The sealed share of a key at a node that does not run.
fn share(cluster: &Cluster, node: usize, key: &KeyId) -> Vec<u8> {
    cluster.runtime.block_on(async {
        let store = quorate_store::Store::open(&cluster.nodes[node].data()).await.unwrap();
        let share = store.key(key.as_str()).await.unwrap().unwrap().sealed_share;
        store.close().await;
        share
    })
}

#[test]
fn a_key_is_switched_off_and_on_kept_and_destroyed() {
    let mut cluster = Cluster::prepare("");
    for node in &mut cluster.nodes {
        let config = fs::read_to_string(node.config()).unwrap();
        fs::write(node.config(), format!("{config}[keys]\ndestroy_delay = \"6s\"\n")).unwrap();
        node.start();
    }
    cluster.wait_connected();
    let key = cluster.create(0, Scheme::Ed25519);
    let other = cluster.create(0, Scheme::Ed25519);
    assert_eq!(shown(&cluster, 1, &key)["status"], "active");
    sign(&cluster, 0, &key).ok();

    // Nobody switches a key off by a slip.
    for what in ["disable", "destroy"] {
        let ran = cluster.cli(0, &["key", what, key.as_str()]);
        assert!(ran.code != 0 && ran.err.contains("--yes"), "{ran:?}");
    }
    assert_eq!(shown(&cluster, 0, &key)["acts"], 0);
    let done = order(&cluster, 1, &key, &["disable", "--yes", "--reason", "a laptop was stolen"]);
    assert_eq!((&done["status"], &done["number"]), (&"disabled".into(), &1.into()));
    for node in 0..3 {
        let shown = shown(&cluster, node, &key);
        assert_eq!((&shown["status"], &shown["acts"]), (&"disabled".into(), &1.into()), "{shown}");
        refused(&sign(&cluster, node, &key), "key_disabled", "enable");
    }
    sign(&cluster, 0, &other).ok();
    // What was asked for a state that is over does nothing.
    refused(&cluster.cli(0, &["key", "enable", key.as_str(), "--base", "0"]), "key_changed", "ask again");
    order(&cluster, 2, &key, &["enable"]);
    sign(&cluster, 1, &key).ok();

    // To be destroyed: off at once, gone later, and until then it can be kept.
    let done = order(&cluster, 0, &key, &["destroy", "--yes"]);
    assert_eq!(done["status"], "disabled");
    let at = done["destroys_at"].as_u64().unwrap();
    assert!(shown(&cluster, 2, &key)["destroys_at"].as_u64().unwrap().abs_diff(at) < 60_000);
    refused(&sign(&cluster, 0, &key), "key_disabled", "");
    refused(&cluster.cli(1, &["key", "enable", key.as_str()]), "key_disabled", "keep");
    let kept = order(&cluster, 1, &key, &["keep"]);
    assert_eq!((&kept["status"], &kept["destroys_at"]), (&"disabled".into(), &Value::Null));
    // Its time passes, and nothing happens.
    std::thread::sleep(Duration::from_secs(12));
    for node in 0..3 {
        let shown = shown(&cluster, node, &key);
        assert_eq!((&shown["status"], &shown["destroys_at"]), (&"disabled".into(), &Value::Null));
    }
    order(&cluster, 0, &key, &["enable"]);
    sign(&cluster, 2, &key).ok();

    // What each node has, sealed.
    let mut shares = Vec::new();
    for node in 0..3 {
        cluster.nodes[node].stop();
        shares.push(share(&cluster, node, &key));
        assert!(holds(&cluster, node, &shares[node]));
        cluster.nodes[node].start();
    }
    cluster.wait_connected();
    order(&cluster, 0, &key, &["destroy", "--yes", "--reason", "moved to the new treasury"]);
    for (node, share) in shares.iter().enumerate() {
        until(&cluster, || shown(&cluster, node, &key)["status"] == "destroyed");
        until(&cluster, || !holds(&cluster, node, share));
        refused(&sign(&cluster, node, &key), "key_destroyed", "never comes back");
        for what in [&["keep"][..], &["enable"], &["disable", "--yes"]] {
            let mut arguments = vec!["key", what[0], key.as_str()];
            arguments.extend(&what[1..]);
            refused(&cluster.cli(node, &arguments), "key_destroyed", "never comes back");
        }
    }
    // The record stays, and other keys are as they were.
    assert_eq!(shown(&cluster, 0, &key)["public_key"].as_str().unwrap().len(), 64);
    sign(&cluster, 0, &other).ok();
    cluster.nodes[0].stop();
    assert!(share(&cluster, 0, &key).is_empty());
}

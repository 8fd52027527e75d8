//! What a node that has nothing to do keeps in memory.

use std::fs;
use std::time::Duration;

use quorate_api::intent::Scheme;
use quorate_store::{KeyState, KeyStatus, NewKey, Store};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Cluster, Node};

/// How many keys are stored.
const KEYS: usize = 100_000;
/// By how much more memory a node may hold for them, in MiB.
const MORE: f64 = 50.0;

/// Resident memory of a node that has settled, in MiB: the least of some looks.
fn idle(node: &Node) -> f64 {
    std::thread::sleep(Duration::from_secs(3));
    let look = |_| {
        std::thread::sleep(Duration::from_millis(300));
        let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    };
    (0..5).map(look).fold(f64::INFINITY, f64::min)
}

/// A key that the node holds, stored again under other names, as it would have been before records bore marks of their states.
async fn store_again(folder: &std::path::Path, key: &str) {
    let store = Store::open(folder).await.unwrap();
    let one = store.key(key).await.unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&one.record).unwrap();
    record["version"] = 1.into();
    let record = serde_json::to_vec(&record).unwrap();
    let (mut writes, mut stored) = (JoinSet::new(), 0);
    for nth in 0..KEYS {
        if writes.len() >= 256 {
            let done: Result<(), _> = writes.join_next().await.unwrap().unwrap();
            done.unwrap();
            stored += 1;
        }
        let new = NewKey {
            key_id: format!("key_{nth:032x}"),
            status: KeyStatus::Active,
            scheme: one.scheme.clone(),
            public_key: one.public_key.clone(),
            epoch: one.epoch,
            record: record.clone(),
            sealed_share: one.sealed_share.clone(),
            state: KeyState::default(),
        };
        let store = store.clone();
        writes.spawn(async move { store.insert_key(new, 1).await });
    }
    while let Some(done) = writes.join_next().await {
        done.unwrap().unwrap();
        stored += 1;
    }
    assert_eq!(stored, KEYS);
    store.close().await;
}

#[test]
fn a_hundred_thousand_keys_do_not_fill_memory() {
    let mut cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::Ed25519);
    cluster.must_sign(0, &key, None);
    cluster.nodes[0].stop();
    cluster.nodes[0].start();
    cluster.wait_connected();
    let few = idle(&cluster.nodes[0]);
    cluster.nodes[0].stop();
    cluster.runtime.block_on(store_again(&cluster.nodes[0].data(), key.as_str()));
    cluster.nodes[0].start();
    cluster.wait_connected();
    let many = idle(&cluster.nodes[0]);
    println!("resident memory with one key {few:.1} MiB, with {KEYS} more {many:.1} MiB");
    assert!(many - few <= MORE, "{few:.1} MiB with one key, {many:.1} with {KEYS} more");

    // They are there, and the node works.
    let status = cluster.cli(0, &["node", "status"]).ok().json();
    assert_eq!(status["keys"], KEYS + 1);
    let page = cluster.cli(0, &["key", "list", "--limit", "200"]).ok().json();
    assert_eq!(page["items"].as_array().unwrap().len(), 200);
    cluster.must_sign(0, &key, None);
    let used = idle(&cluster.nodes[0]);
    assert!(used - few <= MORE, "{few:.1} MiB with one key, {used:.1} with {KEYS} more after use");
}

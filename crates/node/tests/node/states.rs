//! Orders about the state of keys: every node decides and does them by itself, also late.

use std::time::Duration;

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Act, Code, Key, KeyStatus, Operation, OperationResult, Order, Problem, StateResult};

use crate::cluster::{Cluster, WAIT, problem, unique};
use crate::governed::until;

pub(crate) fn disable(base: u64) -> Act {
    Act::Disable(Order { base, reason: Some("test".to_owned()) })
}

pub(crate) fn enable(base: u64) -> Act {
    Act::Enable(Order { base, reason: None })
}

pub(crate) async fn order(cluster: &Cluster, at: usize, key: &Key, act: &Act) -> Result<Operation, Problem> {
    cluster.client(at).act(&key.id, act, &unique("act"), WAIT).await.map_err(problem)
}

pub(crate) fn done(operation: &Operation) -> &StateResult {
    match operation.result.as_ref() {
        Some(OperationResult::KeyState(result)) => result,
        other => panic!("{:?}: {other:?}", operation.status),
    }
}

pub(crate) async fn status(cluster: &Cluster, at: usize, key: &Key) -> (KeyStatus, u64) {
    let key = cluster.client(at).key(&key.id).await.unwrap();
    (key.status, key.acts)
}

/// Every node refuses a disabled key, says so with its code, and every node uses it again once it is enabled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_key_is_refused_by_every_node() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let disabled = order(&cluster, 1, &key, &disable(0)).await.unwrap();
    let result = done(&disabled);
    assert_eq!((result.status, result.number), (KeyStatus::Disabled, 1));
    assert_eq!(result.by, ["node-a", "node-b", "node-c"]);
    assert!(result.without.is_empty());
    assert_eq!(disabled.receipts.len(), 3, "each node proves it");
    for at in 0..3 {
        assert_eq!(status(&cluster, at, &key).await, (KeyStatus::Disabled, 1));
        let refused = cluster.sign(at, &key.id, "m").await.unwrap_err();
        assert_eq!((refused.code, refused.status()), (Code::KeyDisabled, 423));
    }
    let enabled = order(&cluster, 2, &key, &enable(1)).await.unwrap();
    assert_eq!((done(&enabled).status, done(&enabled).number), (KeyStatus::Active, 2));
    for at in 0..3 {
        cluster.sign(at, &key.id, "m").await.unwrap();
    }
}

/// A node that was away refuses too when it is back, although the request's time is over; an enabled key comes back the same way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_carries_orders_out_when_it_is_back() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    cluster.stop(2).await;
    let client = cluster.client(0).valid_for(Duration::from_secs(2));
    let disabled = client.act(&key.id, &disable(0), &unique("act"), WAIT).await.unwrap();
    assert_eq!(done(&disabled).by, ["node-a", "node-b"]);
    assert_eq!(done(&disabled).without[0].party, "node-c");
    tokio::time::sleep(Duration::from_secs(3)).await;
    cluster.start_all().await;
    until(async || status(&cluster, 2, &key).await == (KeyStatus::Disabled, 1)).await;
    let shown = cluster.client(0).operation(&disabled.id, Duration::ZERO).await.unwrap();
    assert_eq!(done(&shown).by, ["node-a", "node-b", "node-c"], "who did it later is shown too");
    // Alone with one other: it still holds.
    cluster.stop(0).await;
    let refused = cluster.sign(2, &key.id, "m").await.unwrap_err();
    assert_eq!(refused.code, Code::KeyDisabled);
}

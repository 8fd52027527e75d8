//! Orders about the state of keys: every node decides and does them by itself, also late.

use std::time::Duration;

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{
    Act, Code, Destroy, Key, KeyStatus, Operation, OperationResult, OperationStatus, Order, Problem, Scope,
    SetFreeze, StateResult,
};
use quorate_store::{KeyStatus as Stored, Store};

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

/// covers: S20: an old order does nothing, neither as the same request nor as a new one, also after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_orders_do_nothing() {
    let mut cluster = Cluster::start(2).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let client = cluster.client(0);
    let mut done_before = Vec::new();
    for (name, act) in [("one", disable(0)), ("two", enable(1)), ("three", disable(2))] {
        done_before.push((name, act.clone(), client.act(&key.id, &act, name, WAIT).await.unwrap()));
    }
    for restarted in [false, true] {
        if restarted {
            cluster.stop(0).await;
            cluster.stop(1).await;
            cluster.start_all().await;
        }
        for at in 0..2 {
            let client = cluster.client(at);
            for (name, act, first) in &done_before {
                let again = client.act(&key.id, act, name, WAIT).await.unwrap();
                assert_eq!(
                    (&again.id, done(&again).number),
                    (&first.id, done(first).number),
                    "the same operation"
                );
            }
            // The same order in a new request is for a state that is over.
            for old in [enable(0), enable(1), disable(0)] {
                let refused =
                    client.act(&key.id, &old, &unique("old"), WAIT).await.map_err(problem).unwrap_err();
                assert_eq!((refused.code, refused.status()), (Code::KeyChanged, 409), "{old:?}");
            }
            assert_eq!(status(&cluster, at, &key).await, (KeyStatus::Disabled, 3));
        }
    }
}

/// covers: S16: a status that somebody else wrote into a node's database is noticed, and the node refuses the key; a database that is put
/// back as it was before learns from the others what it missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_others_wrote_is_not_believed() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let data = cluster.configs[1].data.clone();
    cluster.stop(1).await;
    let database = data.join(quorate_store::DATABASE_FILE);
    let before = std::fs::read(&database).unwrap();
    cluster.start_all().await;
    order(&cluster, 0, &key, &disable(0)).await.unwrap();
    // Flipped: nobody without the node's identity can say that the key is active.
    cluster.stop(1).await;
    let store = Store::open(&data).await.unwrap();
    store.transition_key(key.id.as_str(), Stored::Disabled, Stored::Active, 1).await.unwrap();
    store.close().await;
    cluster.start_all().await;
    let refused = cluster.sign(1, &key.id, "m").await.unwrap_err();
    assert_eq!(refused.code, Code::Internal);
    assert!(refused.detail.contains("the state of key"), "{}", refused.detail);
    let refused = order(&cluster, 1, &key, &enable(1)).await.unwrap_err();
    assert_eq!(refused.code, Code::Internal);
    // Put back whole: what the others know counts.
    cluster.stop(1).await;
    std::fs::write(&database, &before).unwrap();
    cluster.start_all().await;
    until(async || status(&cluster, 1, &key).await == (KeyStatus::Disabled, 1)).await;
    assert_eq!(cluster.sign(1, &key.id, "m").await.unwrap_err().code, Code::KeyDisabled);
    // Another threshold: an order would be proved by fewer nodes. The record opens with the share or not at all.
    cluster.stop(1).await;
    let store = Store::open(&data).await.unwrap();
    let stored = store.key(key.id.as_str()).await.unwrap().unwrap();
    let lowered =
        String::from_utf8(stored.record.clone()).unwrap().replace("\"threshold\":2", "\"threshold\":1");
    assert_ne!(lowered.as_bytes(), stored.record);
    store
        .replace_share(
            key.id.as_str(),
            stored.epoch,
            stored.epoch + 1,
            lowered.into(),
            stored.sealed_share,
            1,
        )
        .await
        .unwrap();
    store.close().await;
    cluster.start_all().await;
    assert_eq!(order(&cluster, 1, &key, &enable(1)).await.unwrap_err().code, Code::Internal);
}

fn destroy(base: u64) -> Act {
    Act::Destroy(Destroy { base, delay: None, reason: None })
}

fn keep(base: u64) -> Act {
    Act::Keep(Order { base, reason: None })
}

async fn shown(cluster: &Cluster, at: usize, key: &Key) -> Key {
    cluster.client(at).key(&key.id).await.unwrap()
}

/// Whether a piece of the sealed share is in the files of a node's database.
fn holds(data: &std::path::Path, share: &[u8]) -> bool {
    let pieces: Vec<&[u8]> = share.chunks(24).filter(|piece| piece.len() == 24).collect();
    assert!(pieces.len() > 2);
    std::fs::read_dir(data).unwrap().any(|file| {
        let path = file.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(path).unwrap() } else { Vec::new() };
        bytes.windows(24).any(|window| pieces.contains(&window))
    })
}

/// Destroyed after its delay at every node, also at one that was off: no byte of a sealed share is left in the database, the record stays,
/// and nothing brings the key back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroyed_key_is_gone_for_ever() {
    let mut cluster = Cluster::prepare(3).await;
    for config in &mut cluster.configs {
        config.keys.destroy_delay = Duration::from_secs(2);
    }
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let mut shares = Vec::new();
    for at in 0..3 {
        cluster.stop(at).await;
        let store = Store::open(&cluster.configs[at].data).await.unwrap();
        shares.push(store.key(key.id.as_str()).await.unwrap().unwrap().sealed_share);
        store.close().await;
        assert!(holds(&cluster.configs[at].data, &shares[at]));
    }
    cluster.start_node(0).await;
    cluster.start_node(1).await;
    // The third one is off, and learns of it later.
    let ordered = order(&cluster, 0, &key, &destroy(0)).await.unwrap();
    assert_eq!(done(&ordered).by, ["node-a", "node-b"]);
    let waits = shown(&cluster, 1, &key).await;
    assert_eq!(waits.status, KeyStatus::Disabled);
    assert!(waits.destroys_at.is_some());
    let refused = order(&cluster, 1, &key, &enable(1)).await.unwrap_err();
    assert_eq!(refused.code, Code::KeyDisabled);
    let measured = cluster.get(0, "/metrics").await.1;
    assert!(measured.contains("quorate_keys_to_be_destroyed 1"), "{measured}");
    until(async || status(&cluster, 0, &key).await.0 == KeyStatus::Destroyed).await;
    cluster.start_all().await;
    for at in 0..3 {
        until(async || status(&cluster, at, &key).await == (KeyStatus::Destroyed, 1)).await;
    }
    // While it runs, and before anything was closed.
    for (at, share) in shares.iter().enumerate() {
        until(async || !holds(&cluster.configs[at].data, share)).await;
        let gone = shown(&cluster, at, &key).await;
        assert_eq!((gone.destroys_at, gone.public_key), (None, key.public_key.clone()));
        for act in [enable(1), keep(1), disable(1), destroy(1)] {
            let refused = order(&cluster, at, &key, &act).await.unwrap_err();
            assert_eq!((refused.code, refused.status()), (Code::KeyDestroyed, 410), "{act:?}");
        }
        assert_eq!(cluster.sign(at, &key.id, "m").await.unwrap_err().code, Code::KeyDestroyed);
    }
    cluster.stop(2).await;
    let store = Store::open(&cluster.configs[2].data).await.unwrap();
    let back = store.replace_share(key.id.as_str(), 1, 2, vec![1], shares[2].clone(), 1).await;
    assert!(back.is_err(), "a destroyed key never comes back");
    store.close().await;
}

/// Called off in time it stays, disabled, also at a node whose time had come while it was off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destruction_is_called_off() {
    let mut cluster = Cluster::prepare(3).await;
    for config in &mut cluster.configs {
        config.keys.destroy_delay = Duration::from_secs(4);
    }
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    order(&cluster, 0, &key, &destroy(0)).await.unwrap();
    cluster.stop(2).await;
    let kept = order(&cluster, 1, &key, &keep(1)).await.unwrap();
    assert_eq!((done(&kept).status, done(&kept).destroys_at), (KeyStatus::Disabled, None));
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.start_all().await;
    until(async || status(&cluster, 2, &key).await == (KeyStatus::Disabled, 2)).await;
    order(&cluster, 2, &key, &enable(2)).await.unwrap();
    for at in 0..3 {
        assert_eq!(shown(&cluster, at, &key).await.destroys_at, None);
        cluster.sign(at, &key.id, "m").await.unwrap();
    }
}

const POLICY: &str = r#"
@id("create")
permit (principal, action == Action::"create_key", resource);

@id("stop")
permit (principal in Group::"admins", action in [Action::"disable", Action::"keep"], resource);

@id("destroy")
@quorum("2 of Group::\"finance\"")
permit (principal in Group::"admins", action == Action::"destroy", resource);
"#;

/// With a directory nobody destroys a key whom no rule permits, and where the rule asks for people, every node counts them by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn destroying_needs_what_the_policies_say() {
    let cluster = Cluster::governed(3, &[("keys", POLICY)]).await;
    let key = crate::governed::create(&cluster, "alice").await.id;
    let ask = async |at: usize, who: &str, act: Act| {
        cluster.as_user(at, who).act(&key, &act, &unique("act"), Duration::ZERO).await.map_err(problem)
    };
    assert_eq!(ask(0, "dave", disable(0)).await.unwrap_err().code, Code::PolicyDenied);
    assert_eq!(ask(0, "alice", enable(0)).await.unwrap_err().code, Code::PolicyDenied, "no rule permits it");
    let asked = ask(0, "alice", destroy(0)).await.unwrap();
    assert_eq!(asked.status, OperationStatus::PendingApproval);
    let words = asked.approvals.clone().unwrap().summary.unwrap();
    assert!(words.headline.contains("destroy for ever") && words.headline.contains(key.as_str()), "{words}");
    cluster.rule(0, "bob", "approve", &asked).await.unwrap();
    let at = |at: usize| cluster.as_user(at, "alice");
    assert_eq!(at(1).key(&key).await.unwrap().acts, 0, "one is not enough");
    until(async || cluster.as_user(2, "carol").operation(&asked.id, Duration::ZERO).await.is_ok()).await;
    cluster.rule(2, "carol", "approve", &asked).await.unwrap();
    for node in 0..3 {
        until(async || at(node).key(&key).await.unwrap().destroys_at.is_some()).await;
    }
    let done_by = at(0).operation(&asked.id, WAIT).await.unwrap();
    assert_eq!(done(&done_by).by.len(), 3);
    // Only what stops something passes a freeze.
    let freeze = SetFreeze { scope: Scope::Key { key: key.clone() }, reason: None };
    at(0).freeze(&freeze, &unique("freeze")).await.unwrap();
    let kept = ask(0, "bob", keep(1)).await.unwrap();
    until(async || at(0).operation(&kept.id, WAIT).await.unwrap().status == OperationStatus::Succeeded).await;
    assert_eq!(ask(0, "alice", destroy(2)).await.unwrap_err().code, Code::Frozen);
}

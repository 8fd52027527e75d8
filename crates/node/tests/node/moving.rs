//! Keys go from one epoch to the next: refresh, other parties, another threshold, a lost node; with crashes in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quorate_api::client::ClientError;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{
    Act, ActKind, Code, CreateKey, Key, KeyId, MoveResult, OperationResult, Problem, Refresh, Repair, Reshare,
};
use quorate_node::{Node, init_with};
use quorate_seal::Params;
use quorate_store::Store;
use quorate_store::fault::{Fault, Faults};

use crate::cluster::{Cluster, WAIT, create_key, created, passphrase, problem, unique};
use crate::governed::until;

fn message_purpose() -> Option<Vec<Purpose>> {
    Some(vec![Purpose::Message])
}

pub(crate) fn refresh(epoch: u64) -> Act {
    Act::Refresh(Refresh { epoch, reason: None })
}

pub(crate) fn reshare(epoch: u64, threshold: u16, parties: &[&str]) -> Act {
    let parties = Some(parties.iter().map(|name| format!("node-{name}")).collect());
    Act::Reshare(Reshare { epoch, threshold: Some(threshold), access: None, parties, reason: None })
}

pub(crate) fn repair(epoch: u64, party: &str) -> Act {
    Act::Repair(Repair { epoch, party: format!("node-{party}"), reason: None })
}

pub(crate) async fn moved(
    cluster: &Cluster,
    at: usize,
    key: &KeyId,
    act: &Act,
) -> Result<MoveResult, Problem> {
    let answer = cluster.client(at).act(key, act, &unique("move"), WAIT).await;
    match answer.map_err(problem)?.result {
        Some(OperationResult::Moved(result)) => Ok(*result),
        other => panic!("not moved: {other:?}"),
    }
}

async fn shown(cluster: &Cluster, at: usize, key: &KeyId) -> Result<Key, ClientError> {
    cluster.client(at).key(key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refreshed_key_signs_with_the_same_address() {
    let cluster = Cluster::start(3).await;
    for scheme in [Scheme::Ed25519, Scheme::EcdsaSecp256k1] {
        let key = cluster.create(scheme, 2, message_purpose()).await;
        cluster.sign(0, &key.id, "before").await.unwrap();
        for epoch in 0..2 {
            let result = moved(&cluster, usize::try_from(epoch).unwrap(), &key.id, &refresh(epoch)).await;
            let result = result.unwrap();
            assert_eq!((result.key.epoch, &result.key.public_key), (epoch + 1, &key.public_key));
            assert_eq!((result.key.threshold, &result.key.parties), (2, &key.parties));
        }
        for at in 0..3 {
            let here = shown(&cluster, at, &key.id).await.unwrap();
            assert_eq!((here.epoch, &here.public_key), (2, &key.public_key), "{scheme} at {at}");
            cluster.sign(at, &key.id, "after").await.unwrap();
        }
    }
}

async fn epochs(cluster: &Cluster, key: &KeyId) -> Vec<u64> {
    let mut all = Vec::new();
    for at in (0..cluster.nodes.len()).filter(|at| cluster.nodes[*at].is_some()) {
        all.push(shown(cluster, at, key).await.unwrap().epoch);
    }
    all
}

/// What a stopped node has of a key.
async fn stored(cluster: &Cluster, at: usize, key: &KeyId) -> Option<quorate_store::Key> {
    let store = Store::open(&cluster.configs[at].data).await.unwrap();
    let found = store.key(key.as_str()).await.unwrap();
    store.close().await;
    found
}

fn in_files(cluster: &Cluster, at: usize, bytes: &[u8]) -> bool {
    let mark = &bytes[bytes.len() / 2..][..48];
    std::fs::read_dir(&cluster.configs[at].data).unwrap().any(|file| {
        let path = file.unwrap().path();
        path.is_file() && std::fs::read(path).unwrap().windows(mark.len()).any(|window| window == mark)
    })
}

/// covers: S20, S36, B13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_share_is_nowhere_and_an_old_order_does_nothing() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::EcdsaP256, 2, message_purpose()).await;
    let mut before = Vec::new();
    for at in 0..3 {
        cluster.stop(at).await;
        before.push(stored(&cluster, at, &key.id).await.unwrap().sealed_share);
        assert!(in_files(&cluster, at, &before[at]), "the search finds what is there");
    }
    cluster.start_all().await;
    let order = refresh(0);
    let name = unique("once");
    let client = cluster.client(0);
    client.act(&key.id, &order, &name, WAIT).await.unwrap();
    // The same request is the same operation; the same order under another name is for an epoch that is over.
    let again = client.act(&key.id, &order, &name, WAIT).await.unwrap();
    assert!(matches!(again.result, Some(OperationResult::Moved(_))));
    for at in 0..3 {
        let refused = moved(&cluster, at, &key.id, &order).await.unwrap_err();
        assert_eq!(refused.code, Code::EpochOver, "{refused}");
    }
    let refused = moved(&cluster, 1, &key.id, &refresh(2)).await.unwrap_err();
    assert_eq!(refused.code, Code::EpochOver, "{refused}");
    for (at, old) in before.iter().enumerate() {
        // While it runs, and when it is stopped.
        assert!(!in_files(&cluster, at, old), "node {at} keeps its old share");
        cluster.stop(at).await;
        assert!(!in_files(&cluster, at, old), "node {at} keeps its old share");
        let now = stored(&cluster, at, &key.id).await.unwrap();
        assert_eq!(now.epoch, 3);
        assert!(in_files(&cluster, at, &now.sealed_share));
    }
    // A share that is put back is of another record: it does not open.
    let data = &cluster.configs[0].data;
    let file = data.join(quorate_store::DATABASE_FILE);
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.execute("UPDATE keys SET sealed_share = ?", [&before[0]]).unwrap();
    connection.close().unwrap();
    cluster.start_all().await;
    let refused = cluster.sign(0, &key.id, "with an old share").await.unwrap_err();
    assert_eq!(refused.code, Code::Internal, "{refused}");
    cluster.sign(1, &key.id, "without it").await.unwrap();
}

/// covers: S37, S38, S39
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parties_come_and_go_and_thresholds_change() {
    let mut cluster = Cluster::start(4).await;
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        let create = CreateKey {
            parties: Some(vec!["node-a".to_owned(), "node-b".to_owned(), "node-c".to_owned()]),
            ..create_key(scheme, 2, message_purpose())
        };
        let key = created(&cluster.client(0).create_key(&create, &unique("three"), WAIT).await.unwrap());
        // A fourth one joins, asked at the one that joins.
        let result = moved(&cluster, 3, &key.id, &reshare(0, 2, &["a", "b", "c", "d"])).await.unwrap();
        assert_eq!((result.key.parties.len(), &result.key.public_key), (4, &key.public_key));
        cluster.sign(3, &key.id, "the new one").await.unwrap();
        // 3 of 4.
        moved(&cluster, 1, &key.id, &reshare(1, 3, &["a", "b", "c", "d"])).await.unwrap();
        assert_eq!(cluster.sign(0, &key.id, "three").await.unwrap().quorum.len(), 3);
        // The middle one leaves: the others stay who they are.
        let result = moved(&cluster, 0, &key.id, &reshare(2, 2, &["a", "c", "d"])).await.unwrap();
        assert_eq!(result.key.parties, ["node-a", "node-c", "node-d"]);
        // What it asks is done by the others; it has no share to do it with.
        let signed = cluster.sign(1, &key.id, "asked at b").await.unwrap();
        assert!(!signed.quorum.contains(&"node-b".to_owned()), "{:?}", signed.quorum);
        cluster.stop(1).await;
        assert!(stored(&cluster, 1, &key.id).await.is_none());
        cluster.start_all().await;
        // It comes back with another share under another index.
        let back = moved(&cluster, 2, &key.id, &reshare(3, 2, &["a", "b", "c", "d"])).await.unwrap();
        assert_eq!(back.key.parties, ["node-a", "node-c", "node-d", "node-b"]);
        assert_eq!(epochs(&cluster, &key.id).await, [4, 4, 4, 4]);
        // The coordinator leaves, and more with it.
        moved(&cluster, 0, &key.id, &reshare(4, 2, &["c", "d"])).await.unwrap();
        assert_eq!(cluster.sign(0, &key.id, "by two").await.unwrap().quorum, ["node-c", "node-d"]);
    }
    let key = cluster.create(Scheme::Ed25519, 2, message_purpose()).await;
    for (order, why) in [
        (reshare(0, 5, &["a", "b", "c", "d"]), "`5 of (node-a, node-b, node-c, node-d)` cannot be"),
        (reshare(0, 2, &["a", "b", "x"]), "knows no node `node-x`"),
    ] {
        let refused = moved(&cluster, 0, &key.id, &order).await.unwrap_err();
        assert!(refused.code == Code::Unprocessable && refused.detail.contains(why), "{refused}");
    }
    // A refresh has no threshold to change.
    assert!(Act::parse(ActKind::Refresh, br#"{"epoch":0,"threshold":1}"#).is_err());
    // Who shall hold it must be there.
    cluster.stop(3).await;
    let refused = moved(&cluster, 0, &key.id, &refresh(0)).await.unwrap_err();
    assert!(refused.code == Code::NotEnoughParties && refused.detail.contains("node-d"), "{refused}");
    // 2 of 4: three must stand down, or two that are away could still sign.
    moved(&cluster, 0, &key.id, &reshare(0, 2, &["a", "b", "c"])).await.unwrap();
    cluster.start_all().await;
    // The one that was away learns it at the latest when it wants to use the key.
    until(async || {
        cluster
            .sign(3, &key.id, &unique("late"))
            .await
            .is_ok_and(|s| s.quorum[0] != "node-d" && s.quorum[1] != "node-d")
    })
    .await;
    cluster.stop(3).await;
    assert!(stored(&cluster, 3, &key.id).await.is_none());
    cluster.start_all().await;
    cluster.stop(2).await;
    cluster.stop(1).await;
    let lonely = cluster.sign(0, &key.id, "with a removed one").await.unwrap_err();
    assert_eq!(lonely.code, Code::NotEnoughParties, "{lonely}");
}

/// covers: S39
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_is_repaired_under_a_new_identity() {
    let mut cluster = Cluster::start(3).await;
    let ecdsa = cluster.create(Scheme::EcdsaSecp256k1, 2, message_purpose()).await;
    let frost = cluster.create(Scheme::Ed25519, 2, message_purpose()).await;
    for at in 0..3 {
        cluster.stop(at).await;
    }
    // A new machine under the old name.
    let data = cluster.configs[2].data.clone();
    std::fs::remove_dir_all(&data).unwrap();
    let report = init_with(&data, "node-c", passphrase(), Params::FLOOR).await.unwrap();
    let old = std::mem::replace(&mut cluster.identities[2], report.identity);
    assert_ne!(old, report.identity);
    for config in &mut cluster.configs {
        for peer in config.peers.iter_mut().filter(|peer| peer.name == "node-c") {
            peer.identity = report.identity.to_string();
        }
    }
    cluster.start_all().await;
    // It holds nothing, and nobody takes it for the one that was lost.
    let before = cluster.sign(2, &ecdsa.id, "asked at the new machine").await.unwrap();
    assert_eq!(before.quorum, ["node-a", "node-b"]);
    let refused = moved(&cluster, 0, &ecdsa.id, &reshare(0, 2, &["a", "b", "c"])).await.unwrap_err();
    assert!(refused.detail.contains("repair its share"), "{refused}");
    for key in [&ecdsa, &frost] {
        let result = moved(&cluster, 2, &key.id, &repair(0, "c")).await.unwrap();
        assert_eq!((result.key.epoch, &result.key.public_key), (1, &key.public_key));
        assert_eq!(result.key.parties, key.parties);
    }
    let refused = moved(&cluster, 0, &ecdsa.id, &repair(1, "x")).await.unwrap_err();
    assert_eq!(refused.code, Code::Unprocessable, "{refused}");
    // A share cannot help to make itself.
    let refused = moved(&cluster, 2, &ecdsa.id, &repair(1, "c")).await.unwrap_err();
    assert_eq!(refused.code, Code::Unprocessable, "{refused}");
    assert!(refused.detail.contains("ask another node"), "{refused}");
    // It signs with either of the others.
    cluster.stop(0).await;
    for key in [&ecdsa, &frost] {
        assert_eq!(cluster.sign(2, &key.id, "after").await.unwrap().quorum, ["node-b", "node-c"]);
    }
}

/// Signatures go on while keys are refreshed; what fails may be asked for again, and is rare.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_goes_on_during_refreshes() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, message_purpose()).await;
    let over = AtomicBool::new(false);
    let signs = async |at: usize| {
        let (mut done, mut failed) = (0, Vec::new());
        while !over.load(Ordering::Relaxed) {
            match cluster.sign(at, &key.id, &unique("load")).await {
                Ok(_) => done += 1,
                Err(problem) => failed.push(problem),
            }
        }
        (done, failed)
    };
    let refreshes = async {
        for epoch in 0..6 {
            moved(&cluster, usize::try_from(epoch % 3).unwrap(), &key.id, &refresh(epoch)).await.unwrap();
        }
        over.store(true, Ordering::Relaxed);
    };
    let (a, b, ()) = tokio::join!(signs(0), signs(1), refreshes);
    let failed: Vec<&Problem> = a.1.iter().chain(&b.1).collect();
    assert!(failed.iter().all(|problem| problem.code.retryable()), "{failed:?}");
    let done = a.0 + b.0;
    assert!(done > 6 && failed.len() * 10 <= done, "{} of {done}: {failed:?}", failed.len());
    assert_eq!(epochs(&cluster, &key.id).await, [6, 6, 6]);
}

/// A node whose disk fails at each of its writes in turn, and that is killed then: all end up in one epoch, and sign.
///
/// covers: S35, B11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_write_leaves_one_epoch() {
    let mut cluster = Cluster::prepare(3).await;
    for config in &mut cluster.configs {
        config.limits.answer_deadline = Duration::from_millis(800);
        config.limits.attempt_deadline = Duration::from_millis(1500);
    }
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, message_purpose()).await;
    let mut epoch = 0;
    let mut cases = 0;
    let mut moved_on = 0;
    // The coordinator, and a member that does not coordinate.
    for victim in [0, 1] {
        for nth in 2..=9 {
            cluster.stop(victim).await;
            let faults = Faults::default();
            let node = Node::start_with_faults(cluster.configs[victim].clone(), faults.clone()).await;
            cluster.nodes[victim] = Some(node.unwrap());
            cluster.start_all().await;
            faults.fail_nth_write(nth, if nth % 2 == 0 { Fault::AfterCommit } else { Fault::BeforeCommit });
            // However it ends.
            drop(moved(&cluster, 0, &key.id, &refresh(epoch)).await);
            // Without a word to anybody.
            drop(cluster.nodes[victim].take());
            let begun = Instant::now();
            while cluster.nodes[victim].is_none() {
                assert!(begun.elapsed() < WAIT, "the folder stays locked");
                tokio::time::sleep(Duration::from_millis(20)).await;
                cluster.nodes[victim] = Node::start(cluster.configs[victim].clone()).await.ok();
            }
            cluster.start_all().await;
            until(async || {
                let all = epochs(&cluster, &key.id).await;
                let same = all.windows(2).all(|two| two[0] == two[1]);
                let signs = same && cluster.sign(0, &key.id, &unique("alive")).await.is_ok();
                signs && cluster.sign(2, &key.id, &unique("alive")).await.is_ok()
            })
            .await;
            let now = epochs(&cluster, &key.id).await[0];
            assert!(now == epoch || now == epoch + 1, "{now} after {epoch}");
            moved_on += now - epoch;
            epoch = now;
            cases += 1;
        }
    }
    assert_eq!(cases, 16);
    // Both ends were seen, so the faults were where it matters.
    assert!(moved_on > 2 && moved_on < 14, "{moved_on} of {cases} went on");
    // The victim can still take part.
    moved(&cluster, 1, &key.id, &refresh(epoch)).await.unwrap();
    cluster.stop(2).await;
    cluster.sign(0, &key.id, "by the two victims").await.unwrap();
}

/// Shares are replaced by schedule, by nodes that agree without a client, and not by one that has no schedule.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_are_refreshed_by_themselves() {
    let mut cluster = Cluster::prepare(3).await;
    for config in &mut cluster.configs {
        config.refresh.every = Duration::from_secs(2);
    }
    cluster.start_all().await;
    let keys = [
        cluster.create(Scheme::Ed25519, 2, message_purpose()).await,
        cluster.create(Scheme::Ed25519, 3, message_purpose()).await,
    ];
    for key in &keys {
        until(async || epochs(&cluster, &key.id).await.iter().all(|epoch| *epoch >= 2)).await;
        cluster.sign(1, &key.id, "still the same").await.unwrap();
    }
    let (_, text) = cluster.get(0, "/metrics").await;
    let age = text.lines().find_map(|line| line.strip_prefix("quorate_share_age_seconds "));
    assert!(age.unwrap().parse::<f64>().unwrap() < 20.0, "it counts from the refresh");
    // One that has no schedule refuses, so nothing happens any more.
    cluster.stop(2).await;
    cluster.configs[2].refresh.every = Duration::ZERO;
    cluster.start_all().await;
    let now = epochs(&cluster, &keys[0].id).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(epochs(&cluster, &keys[0].id).await, now);
}

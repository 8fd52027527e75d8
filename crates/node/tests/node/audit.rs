//! The log: what every node wrote about an operation, and how anyone can check it.

use std::time::Duration;

use quorate_api::intent::{Intent, Purpose, Scheme};
use quorate_api::{Act, Code, EventKind, NodeReceipt, Operation, Refresh, Sign};
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::{Entry, Kind};
use quorate_log::note::{LogKey, WitnessKey};
use quorate_log::receipt::{Logged, Receipt};
use quorate_log::tile::{self, Level, Tile};
use quorate_log::witness::WitnessPolicy;

use crate::cluster::{Cluster, WAIT, message, problem, signed, unique};

/// What an auditor does who knows only the identities of the nodes.
fn check(cluster: &Cluster, receipt: &NodeReceipt) -> Logged {
    let at = cluster.configs.iter().position(|config| config.name == receipt.node).unwrap();
    let identity = cluster.identities[at];
    assert_eq!(receipt.identity, identity.to_string());
    let key = LogKey::new(&format!("quorate/{identity}"), identity.as_bytes()).unwrap();
    let nobody = WitnessPolicy::new(0, Vec::new()).unwrap();
    Receipt::parse(&receipt.receipt).unwrap().verify(&key, &nobody).unwrap()
}

fn nodes(operation: &Operation) -> Vec<&str> {
    let mut nodes: Vec<&str> = operation.receipts.iter().map(|receipt| receipt.node.as_str()).collect();
    nodes.sort_unstable();
    nodes
}

/// Each node of the quorum proves that it logged the same outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_carries_the_receipts_of_its_quorum() {
    let mut cluster = Cluster::start(3).await;
    let mut receipts = 0;
    for scheme in [Scheme::Ed25519, Scheme::EcdsaSecp256k1] {
        let key = cluster.create(scheme, 2, Some(vec![Purpose::Message])).await;
        for at in 0..3 {
            let operation =
                cluster.client(at).sign(&key.id, &message("logged"), &unique("logged"), WAIT).await.unwrap();
            let result = signed(&operation);
            assert_eq!(nodes(&operation), result.quorum, "one receipt of each");
            let logged: Vec<Logged> =
                operation.receipts.iter().map(|receipt| check(&cluster, receipt)).collect();
            for one in &logged {
                assert_eq!(one.entry.kind(), Kind::Outcome);
                assert_eq!(one.entry.operation_id().unwrap().as_str(), operation.id.as_str());
                assert_eq!(one.entry.key_id().unwrap().as_str(), key.id.as_str());
                assert_eq!(one.entry.body(), logged[0].entry.body(), "the same outcome");
                receipts += 1;
            }
            // Also later, under a later head of this node's log.
            let later = cluster.client(at).operation(&operation.id, Duration::ZERO).await.unwrap();
            assert_eq!(nodes(&later), result.quorum);
            later.receipts.iter().for_each(|receipt| drop(check(&cluster, receipt)));
        }
    }
    assert_eq!(receipts, 12);
    // The log goes on where it was after a restart.
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let once = unique("restart");
    let before = cluster.client(0).sign(&key.id, &message("before"), &once, WAIT).await.unwrap();
    cluster.stop(0).await;
    cluster.start_all().await;
    let after = cluster.client(0).sign(&key.id, &message("before"), &once, WAIT).await.unwrap();
    let own = |operation: &Operation| {
        let receipt = operation.receipts.iter().find(|receipt| receipt.node == "node-a").unwrap();
        check(&cluster, receipt)
    };
    let (before, after) = (own(&before), own(&after));
    assert_eq!((before.index, &before.entry), (after.index, &after.entry));
    assert!(after.checkpoint.size() > before.checkpoint.size(), "stop and start were logged");
}

/// Who cosigned the newest cosigned head of a node's log, and its size.
async fn cosigned(cluster: &Cluster, at: usize) -> (u64, Vec<usize>) {
    let Ok(head) = cluster.client(at).log_cosigned().await else { return (0, Vec::new()) };
    let head = SignedCheckpoint::parse(&head).unwrap();
    let name = |node: usize| format!("quorate/{}", cluster.identities[node]);
    let key = LogKey::new(&name(at), cluster.identities[at].as_bytes()).unwrap();
    let size = head.verify(&key).unwrap().size();
    let by = |node: &usize| {
        let witness = WitnessKey::new(&name(*node), cluster.identities[*node].as_bytes()).unwrap();
        head.cosigned(&witness).unwrap().is_some()
    };
    (size, (0..3).filter(by).collect())
}

/// The first entries of a node's log, at most 256.
pub(crate) async fn entries(cluster: &Cluster, at: usize) -> Vec<Entry> {
    let client = cluster.client(at);
    let head = SignedCheckpoint::parse(&client.log_checkpoint().await.unwrap()).unwrap();
    let bundle = Tile::at(Level::Entries, 0, head.claim().size()).unwrap();
    let bytes = client.log_tile(&bundle.to_string()).await.unwrap();
    let entries = tile::entries(bundle, &bytes).unwrap();
    entries.iter().map(|entry| Entry::decode(entry).unwrap()).collect()
}

/// What was refused, and why, is on record; what strangers say is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_logged() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let before = entries(&cluster, 0).await.len();
    let raw = Sign { intent: Intent::RawDigest { digest: "07".repeat(32) }, path: None, quorum: None };
    let error = cluster.client(0).sign(&key.id, &raw, &unique("raw"), WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::PurposeNotAllowed);
    let stranger = cluster.client_as(0, "mallory", 9);
    let error = stranger.sign(&key.id, &message("m"), &unique("stranger"), WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::UnknownClient);
    let logged = entries(&cluster, 0).await.split_off(before);
    let kinds: Vec<Kind> = logged.iter().map(Entry::kind).collect();
    assert_eq!(kinds, [Kind::Request, Kind::Decision]);
    let decision = String::from_utf8(logged[1].body().to_vec()).unwrap();
    assert!(decision.contains("\"deny\"") && decision.contains("purpose_not_allowed"), "{decision}");
    assert_eq!(logged[1].key_id().unwrap().as_str(), key.id.as_str());
}

async fn within(patience: Duration, mut done: impl AsyncFnMut() -> bool) {
    let until = tokio::time::Instant::now() + patience;
    while !done().await {
        assert!(tokio::time::Instant::now() < until, "not within {patience:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// covers: A1, S47: an old copy of a folder revives no pair that was burned since: its node burns all that it holds, once, and a refresh makes new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_revives_nothing_that_was_burned() {
    let mut cluster = Cluster::start(3).await;
    let create = quorate_api::CreateKey {
        parties: Some(vec!["node-a".to_owned(), "node-b".to_owned()]),
        ..crate::cluster::create_key(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message]))
    };
    let created = cluster.client(0).create_key(&create, &unique("pair"), WAIT).await.unwrap();
    let key = crate::cluster::created(&created);
    let other = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    within(Duration::from_secs(60), async || cosigned(&cluster, 0).await.1 == [1, 2]).await;
    let (before, _) = cosigned(&cluster, 0).await;
    cluster.stop(0).await;
    let data = cluster.configs[0].data.clone();
    let old = data.with_extension("old");
    assert!(std::process::Command::new("cp").arg("-a").args([&data, &old]).status().unwrap().success());
    // The pair burns at this node alone, and the copy does not know.
    crate::faults::burn(&cluster, 0, &key.id, cluster.identities[1]).await;
    cluster.start_all().await;
    let error = cluster.sign(0, &key.id, "burned").await.unwrap_err();
    assert_eq!(error.code, Code::KeyBurned, "{error}");
    // More than the copy has, which ends with the stop: what both saw is not in it.
    let grown = u64::try_from(entries(&cluster, 0).await.len()).unwrap();
    assert!(grown > before);
    within(Duration::from_secs(60), async || {
        let (size, by) = cosigned(&cluster, 0).await;
        size >= grown && by == [1, 2]
    })
    .await;
    cluster.stop(0).await;
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&old, &data).unwrap();
    cluster.start_all().await;
    let evidence = async |cluster: &Cluster| {
        entries(cluster, 0).await.iter().filter(|entry| entry.kind() == Kind::Evidence).count()
    };
    within(Duration::from_secs(60), async || evidence(&cluster).await == 1).await;
    let burns = entries(&cluster, 0).await.iter().filter(|entry| entry.kind() == Kind::Burn).count();
    assert_eq!(burns, 2, "both directions of the one pair");
    let error = cluster.sign(0, &key.id, "still burned").await.unwrap_err();
    assert_eq!(error.code, Code::KeyBurned, "{error}");
    cluster.sign(0, &other.id, "nothing of this scheme outlives a session").await.unwrap();
    // New pairs work, and stay whatever the witness remembers.
    let refresh = Act::Refresh(Refresh { epoch: 0, reason: None });
    crate::moving::moved(&cluster, 0, &key.id, &refresh).await.unwrap();
    cluster.sign(0, &key.id, "new pairs").await.unwrap();
    cluster.stop(0).await;
    cluster.start_all().await;
    // It is behind what the witness saw, and of another history once it has grown beyond: one contradiction or more.
    let accepted = "quorate_log_contradictions_total{peer=\"node-a\"} 0\n";
    within(Duration::from_secs(60), async || {
        // A log that is still behind is not offered again before it has grown.
        cluster.sign(0, &other.id, &unique("grown")).await.unwrap();
        let metrics = cluster.get(1, "/metrics").await.1;
        !metrics.contains(accepted)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    cluster.sign(0, &key.id, "and after a restart").await.unwrap();
    assert_eq!(evidence(&cluster).await, 1);
}

/// covers: S47: an old copy that grew, with nobody there, beyond what a witness saw is found out too, where that was a power of two: a proof
/// from there has no old root in it, and convinces nobody of a fork.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_that_grew_alone_is_found_out() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await;
    cluster.stop(0).await;
    let data = cluster.configs[0].data.clone();
    let old = data.with_extension("old");
    assert!(std::process::Command::new("cp").arg("-a").args([&data, &old]).status().unwrap().success());
    cluster.start_all().await;
    let raw = Sign { intent: Intent::RawDigest { digest: "07".repeat(32) }, path: None, quorum: None };
    // Two entries: the request and the refusal.
    let refused = async |cluster: &Cluster| {
        let error = cluster.client(0).sign(&key.id, &raw, &unique("raw"), WAIT).await.unwrap_err();
        assert_eq!(problem(error).code, Code::PurposeNotAllowed);
    };
    let size = async |cluster: &Cluster| u64::try_from(entries(cluster, 0).await.len()).unwrap();
    let mut rounds = 0;
    let seen = loop {
        let now = size(&cluster).await;
        match now.next_power_of_two() - now {
            0 if now > 16 => break now,
            // To create a key takes an odd number of entries.
            left if left % 2 == 1 => drop(cluster.create(Scheme::Ed25519, 2, None).await),
            _ => refused(&cluster).await,
        }
        rounds += 1;
        assert!(rounds < 30, "{now}");
    };
    within(Duration::from_secs(60), async || cosigned(&cluster, 0).await == (seen, vec![1, 2])).await;
    for at in 0..3 {
        cluster.stop(at).await;
    }
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&old, &data).unwrap();
    cluster.start_node(0).await;
    while size(&cluster).await <= seen {
        refused(&cluster).await;
    }
    cluster.start_all().await;
    let evidence = async |at: usize| {
        entries(&cluster, at).await.iter().filter(|entry| entry.kind() == Kind::Evidence).count()
    };
    within(Duration::from_secs(60), async || {
        evidence(0).await == 1 && evidence(1).await == 1 && evidence(2).await == 1
    })
    .await;
    let burns = entries(&cluster, 0).await.iter().filter(|entry| entry.kind() == Kind::Burn).count();
    assert_eq!(burns, 4, "both directions of both pairs");
    let error = cluster.sign(0, &key.id, "burned").await.unwrap_err();
    assert_eq!(error.code, Code::KeyBurned, "{error}");
}

/// covers: S47: nodes cosign each other's logs, and one that is put back is found out by the others, and told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_watch_each_other() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    within(Duration::from_secs(60), async || cosigned(&cluster, 0).await.1 == [1, 2]).await;
    let (before, _) = cosigned(&cluster, 0).await;
    // An old copy of the folder.
    cluster.stop(0).await;
    let data = cluster.configs[0].data.clone();
    let old = data.with_extension("old");
    assert!(std::process::Command::new("cp").arg("-a").args([&data, &old]).status().unwrap().success());
    cluster.start_all().await;
    cluster.sign(0, &key.id, "seen by the others").await.unwrap();
    // More than the copy has, which ends with the stop: what both saw is not in it.
    let grown = u64::try_from(entries(&cluster, 0).await.len()).unwrap();
    assert!(grown > before);
    within(Duration::from_secs(60), async || {
        let (size, by) = cosigned(&cluster, 0).await;
        size >= grown && by == [1, 2]
    })
    .await;
    let clean = "quorate_log_contradictions_total{peer=\"node-a\"} 0";
    assert!(cluster.get(1, "/metrics").await.1.contains(clean), "an honest log contradicts nothing");
    // It is put back.
    cluster.stop(0).await;
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&old, &data).unwrap();
    cluster.start_all().await;
    let accused = "quorate_log_contradictions_total{peer=\"node-a\"} 1";
    within(Duration::from_secs(60), async || {
        cluster.get(1, "/metrics").await.1.contains(accused)
            && cluster.get(2, "/metrics").await.1.contains(accused)
    })
    .await;
    let evidence = async |at: usize| {
        let entries = entries(&cluster, at).await;
        entries.iter().filter(|entry| entry.kind() == Kind::Evidence).count()
    };
    assert_eq!((evidence(1).await, evidence(2).await), (1, 1));
    let told = crate::events::kept(&cluster, 1).await;
    let told = told.iter().filter(|event| event.kind == EventKind::LogContradiction);
    assert_eq!(told.map(|event| event.peer.as_deref()).collect::<Vec<_>>(), [Some("node-a")]);
    // It signs on; what others saw of it stays on record.
    cluster.sign(1, &key.id, "the others go on").await.unwrap();
}

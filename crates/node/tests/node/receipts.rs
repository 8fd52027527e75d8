//! What proves that every node which took part logged the outcome: kept with the result, for new keys too.

use std::time::Duration;

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{KeyStatus, NodeReceipt, Operation, OperationStatus};
use quorate_log::entry::{Entry, Kind};
use quorate_log::note::LogKey;
use quorate_log::receipt::{Logged, Receipt};
use quorate_log::tile::{self, Level, Tile};
use quorate_log::witness::WitnessPolicy;
use quorate_node::Node;
use quorate_store::fault::{Fault, Faults};
use serde_json::Value;

use crate::byzantine::Traitor;
use crate::cluster::{Cluster, WAIT, create_key, created, message, signed, unique};

/// What an auditor does who knows only the identities of the nodes.
fn check(cluster: &Cluster, receipt: &NodeReceipt) -> Logged {
    let at = cluster.configs.iter().position(|config| config.name == receipt.node).unwrap();
    let identity = cluster.identities[at];
    assert_eq!(receipt.identity, identity.to_string());
    let key = LogKey::new(&format!("quorate/{identity}"), identity.as_bytes()).unwrap();
    Receipt::parse(&receipt.receipt).unwrap().verify(&key, &WitnessPolicy::none()).unwrap()
}

/// The nodes that prove that they logged the outcome of an operation, each once, and all the same.
fn proven(cluster: &Cluster, operation: &Operation) -> Vec<String> {
    let result = operation.result.as_ref().unwrap();
    let mut nodes = Vec::new();
    for receipt in &operation.receipts {
        let logged = check(cluster, receipt);
        assert!(quorate_node::logged_result(&logged.entry, result), "{}", receipt.node);
        assert_eq!(logged.entry.operation_id().unwrap().as_str(), operation.id.as_str());
        nodes.push(receipt.node.clone());
    }
    nodes.sort_unstable();
    nodes
}

pub(crate) async fn entries(cluster: &Cluster, at: usize) -> Vec<Entry> {
    let client = cluster.client(at);
    let head = client.log_checkpoint().await.unwrap();
    let head = quorate_log::checkpoint::SignedCheckpoint::parse(&head).unwrap();
    let bundle = Tile::at(Level::Entries, 0, head.claim().size()).unwrap();
    let bytes = client.log_tile(&bundle.to_string()).await.unwrap();
    tile::entries(bundle, &bytes).unwrap().iter().map(|entry| Entry::decode(entry).unwrap()).collect()
}

/// The result of a creation proves that every party logged it: at once, at every party, and after restarts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_carries_the_receipts_of_all_its_parties() {
    let mut cluster = Cluster::start(3).await;
    let all = ["node-a", "node-b", "node-c"];
    let mut operations = Vec::new();
    for scheme in [Scheme::Ed25519, Scheme::EcdsaSecp256k1] {
        let wanted = create_key(scheme, 2, Some(vec![Purpose::Message]));
        let operation = cluster.client(0).create_key(&wanted, &unique("receipts"), WAIT).await.unwrap();
        assert_eq!(proven(&cluster, &operation), all, "{scheme:?}");
        // Entry before effect: the share became usable in the commit that says so, and only then the outcome was logged.
        let key = created(&operation);
        for at in 0..3 {
            let logged = entries(&cluster, at).await;
            let logged =
                logged.iter().filter(|entry| entry.key_id().is_some_and(|id| id.as_str() == key.id.as_str()));
            let logged: Vec<&Entry> =
                logged.filter(|entry| matches!(entry.kind(), Kind::Share | Kind::Outcome)).collect();
            let kinds: Vec<Kind> = logged.iter().map(|entry| entry.kind()).collect();
            let first = if at == 0 { [Kind::Outcome, Kind::Share] } else { [Kind::Share, Kind::Outcome] };
            assert_eq!(kinds, first, "node {at}");
            let share = logged.iter().find(|entry| entry.kind() == Kind::Share).unwrap();
            let share: Value = serde_json::from_slice(share.body()).unwrap();
            assert_eq!((&share["from"], &share["to"]), (&"pending".into(), &"active".into()));
            assert_eq!(share["operation"], operation.id.as_str());
        }
        operations.push(operation.id);
    }
    // A member that did not coordinate proves as much.
    for operation in &operations {
        let shown = cluster.client(1).operation(operation, Duration::ZERO).await.unwrap();
        assert_eq!(proven(&cluster, &shown), all);
    }
    // What was gathered is kept: with nobody else there, after a restart.
    for at in 0..3 {
        cluster.stop(at).await;
    }
    for at in 0..2 {
        cluster.start_node(at).await;
        for operation in &operations {
            let shown = cluster.client(at).operation(operation, Duration::ZERO).await.unwrap();
            assert_eq!(proven(&cluster, &shown), all, "node {at} alone");
        }
        cluster.stop(at).await;
    }
}

/// A member shows the receipts of its whole quorum, not its own alone; and nobody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_gathers_the_receipts_of_its_quorum() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let mut sign = message("gathered");
    sign.quorum = Some(vec!["node-a".to_owned(), "node-b".to_owned()]);
    let done = cluster.client(0).sign(&key.id, &sign, &unique("gathered"), WAIT).await.unwrap();
    assert_eq!(signed(&done).quorum, ["node-a", "node-b"]);
    for at in 0..2 {
        let shown = cluster.client(at).operation(&done.id, Duration::ZERO).await.unwrap();
        assert_eq!(proven(&cluster, &shown), ["node-a", "node-b"], "node {at}");
    }
}

/// A party that gives a receipt of something else gives none, and holds nobody up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_that_do_not_hold_are_left_out() {
    let mut cluster = Cluster::start(3).await;
    let wanted = create_key(Scheme::Ed25519, 2, Some(vec![Purpose::Message]));
    let first = cluster.client(0).create_key(&wanted, &unique("first"), WAIT).await.unwrap();
    let second = cluster.client(0).create_key(&wanted, &unique("second"), WAIT).await.unwrap();
    let of = |operation: &Operation, node: &str| {
        operation.receipts.iter().find(|receipt| receipt.node == node).unwrap().receipt.clone()
    };
    // Signed by all, shown at node b, whose peer c has turned: node b has no receipt of c yet.
    let mut traitor = Traitor::replace(&mut cluster, 2).await;
    let lies = [Some(of(&first, "node-c")), Some(of(&second, "node-a")), Some("nonsense".to_owned()), None];
    let count = lies.len();
    for lie in lies {
        let (shown, asked) = {
            let client = cluster.client(1);
            let show = client.operation(&second.id, Duration::ZERO);
            tokio::join!(show, traitor.prove_next(lie, Duration::from_secs(3)))
        };
        assert!(asked, "it was asked for its receipt");
        assert_eq!(proven(&cluster, &shown.unwrap()), ["node-a", "node-b"]);
    }
    assert_eq!(count, 4);
    // The true one is taken, and kept.
    let (shown, asked) = {
        let client = cluster.client(1);
        let show = client.operation(&second.id, Duration::ZERO);
        tokio::join!(show, traitor.prove_next(Some(of(&second, "node-c")), Duration::from_secs(3)))
    };
    assert!(asked);
    assert_eq!(proven(&cluster, &shown.unwrap()), ["node-a", "node-b", "node-c"]);
    let shown = cluster.client(1).operation(&second.id, Duration::ZERO).await.unwrap();
    assert_eq!(proven(&cluster, &shown), ["node-a", "node-b", "node-c"]);
    // Whoever says nothing is waited for once, and then left alone for a while.
    let asked = tokio::time::Instant::now();
    let shown = cluster.client(1).operation(&first.id, Duration::ZERO).await.unwrap();
    assert_eq!(proven(&cluster, &shown), ["node-a", "node-b"]);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    let asked = tokio::time::Instant::now();
    cluster.client(1).operation(&first.id, Duration::ZERO).await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(400), "{:?}", asked.elapsed());
}

/// A party that did not hear that a key is complete learns it with the key's first use, and proves from then on that the key was created.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_that_learns_late_of_a_key_proves_it_late() {
    let mut cluster = Cluster::start(3).await;
    cluster.stop(2).await;
    let faults = Faults::default();
    cluster.nodes[2] =
        Some(Node::start_with_faults(cluster.configs[2].clone(), faults.clone()).await.unwrap());
    cluster.start_all().await;
    let wanted = create_key(Scheme::Ed25519, 2, Some(vec![Purpose::Message]));
    let mut found = None;
    for _ in 0..8 {
        // Operation, attempt, session, share, whole share; then the share would become active. A head that is seen meanwhile is a write too, and
        // then it is something else that fails.
        faults.fail_nth_write(6, Fault::DiskFull);
        let once = unique("late");
        let Ok(operation) = cluster.client(0).create_key(&wanted, &once, WAIT).await else { continue };
        let at_c = cluster.client(2).key(&created(&operation).id).await;
        if at_c.is_ok_and(|key| key.status == KeyStatus::Pending) {
            found = Some(operation);
            break;
        }
    }
    let operation = found.expect("a creation of which node c did not hear the end");
    assert_eq!(proven(&cluster, &operation), ["node-a", "node-b"]);
    let key = created(&operation).id;
    let mut sign = message("first use");
    sign.quorum = Some(vec!["node-a".to_owned(), "node-c".to_owned()]);
    cluster.client(0).sign(&key, &sign, &unique("first-use"), WAIT).await.unwrap();
    let shown = cluster.client(0).operation(&operation.id, Duration::ZERO).await.unwrap();
    assert_eq!(proven(&cluster, &shown), ["node-a", "node-b", "node-c"]);
    let shown = cluster.client(2).operation(&operation.id, Duration::ZERO).await.unwrap();
    assert_eq!(shown.status, OperationStatus::Succeeded);
    assert_eq!(proven(&cluster, &shown), ["node-a", "node-b", "node-c"]);
}

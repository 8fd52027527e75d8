//! The log: what every node wrote about an operation, and how anyone can check it.

use std::time::Duration;

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{NodeReceipt, Operation};
use quorate_log::entry::Kind;
use quorate_log::note::LogKey;
use quorate_log::receipt::{Logged, Receipt};
use quorate_log::witness::WitnessPolicy;

use crate::cluster::{Cluster, WAIT, message, signed, unique};

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

//! Keys are created and used by three nodes; nodes go and come back.

use std::time::{Duration, Instant};

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, KeyStatus};

use crate::cluster::{Cluster, WAIT, create_key, message, problem, signed, unique};

fn message_key(scheme: Scheme) -> Option<Vec<Purpose>> {
    let _ = scheme;
    Some(vec![Purpose::Message])
}

fn verify_ed25519(public_key: &[u8], message: &[u8], signature: &[u8]) {
    let key = ed25519_dalek::VerifyingKey::from_bytes(public_key.try_into().unwrap()).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
    key.verify_strict(message, &signature).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_create_a_key_and_any_two_sign() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, message_key(Scheme::Ed25519)).await;
    assert_eq!(key.status, KeyStatus::Active);
    assert_eq!(key.parties, ["node-a", "node-b", "node-c"]);
    let mut cases = 0;
    for at in 0..3 {
        let text = format!("signed through node {at}");
        let result = cluster.sign(at, &key.id, &text).await.unwrap();
        verify_ed25519(&key.public_key.0, text.as_bytes(), &result.signatures[0].signature.0);
        assert_eq!(result.quorum.len(), 2);
        assert!(result.figures.rounds >= 2 && result.figures.bytes_sent > 0);
        assert_eq!(result.figures.steps.len(), usize::from(result.figures.rounds));
        // Everybody knows the key under the same id.
        assert_eq!(cluster.client(at).key(&key.id).await.unwrap().public_key, key.public_key);
        cases += 1;
    }
    assert_eq!(cases, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_may_stop_two_may_not_and_all_come_back() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, message_key(Scheme::Ed25519)).await;
    let client_key = unique("kept");
    let first = cluster.client(0).sign(&key.id, &message("kept"), &client_key, WAIT).await.unwrap();

    cluster.stop(1).await;
    let result = cluster.sign(0, &key.id, "without b").await.unwrap();
    assert_eq!(result.quorum, ["node-a", "node-c"]);

    cluster.stop(2).await;
    let begun = Instant::now();
    let error = cluster.sign(0, &key.id, "alone").await.unwrap_err();
    assert_eq!(error.code, Code::NotEnoughParties);
    assert!(begun.elapsed() < Duration::from_secs(3), "said after {:?}", begun.elapsed());
    let quorum = error.quorum.unwrap();
    assert_eq!((quorum.needed, quorum.ready), (2, 1));
    assert_eq!(quorum.missing, ["node-b", "node-c"]);
    let create = create_key(Scheme::Ed25519, 2, None);
    let error = problem(cluster.client(0).create_key(&create, &unique("create"), WAIT).await.unwrap_err());
    assert_eq!(error.code, Code::NotEnoughParties);

    cluster.stop(0).await;
    cluster.start_all().await;
    let again = cluster.client(0).sign(&key.id, &message("kept"), &client_key, WAIT).await.unwrap();
    assert_eq!(again.id, first.id);
    assert_eq!(again.updated_at, first.updated_at, "the stored answer, not another ceremony");
    assert_eq!(signed(&again).signatures, signed(&first).signatures);
    for at in 0..3 {
        cluster.sign(at, &key.id, "after the restart").await.unwrap();
    }
}

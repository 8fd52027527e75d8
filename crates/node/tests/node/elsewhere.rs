//! What a node needs of nodes that it did not ask to take part: results of other quorums, keys of others.

use std::time::{Duration, Instant};

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, CreateKey, Sign};

use crate::byzantine::{Claim, Traitor};
use crate::cluster::{
    CLIENT, Cluster, WAIT, client_key, create_key, created, message, now, problem, signed, unique,
};
use crate::requests::sign_request;

fn purpose() -> Option<Vec<Purpose>> {
    Some(vec![Purpose::Message])
}

/// Two quorums of 2 of 4 need not share a member: whoever is connected is asked before anything is signed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_once_by_quorums_that_do_not_meet() {
    let mut cluster = Cluster::start(4).await;
    let key = cluster.create(Scheme::Ed25519, 2, purpose()).await;
    cluster.stop(0).await;
    cluster.stop(1).await;
    let once = unique("disjoint");
    let first = cluster.client(2).sign(&key.id, &message("once"), &once, WAIT).await.unwrap();
    assert_eq!(signed(&first).quorum, ["node-c", "node-d"]);
    cluster.start_all().await;
    let again = cluster.client(1).sign(&key.id, &message("once"), &once, WAIT).await.unwrap();
    assert_eq!(again.id, first.id);
    assert_eq!(signed(&again).signatures, signed(&first).signatures);
    assert_eq!(signed(&again).quorum, ["node-c", "node-d"], "b signed nothing itself");
    // It is b's own result from here on, also without those who made it.
    cluster.stop(2).await;
    cluster.stop(3).await;
    let kept = cluster.client(1).sign(&key.id, &message("once"), &once, WAIT).await.unwrap();
    assert_eq!(signed(&kept).signatures, signed(&first).signatures);
    cluster.start_all().await;
    // Another body under the same idempotency key is refused by nodes that did not see the first: c and d prove it.
    let error = cluster.client(0).sign(&key.id, &message("other"), &once, WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::IdempotencyConflict);
    // Both halves at once: one of them signs.
    for round in 0..3 {
        let (once, text) = (unique("halves"), format!("halves {round}"));
        let half = |at: usize| {
            let (client, key, once, text) = (cluster.client(at), key.id.clone(), once.clone(), text.clone());
            async move { client.sign(&key, &message(&text), &once, WAIT).await.unwrap() }
        };
        let (left, right) = tokio::join!(half(0), half(3));
        assert_eq!(signed(&left).signatures, signed(&right).signatures, "{round}");
    }
}

/// What a bystander claims is checked, and its silence costs little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_bystander_changes_nothing() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, purpose()).await;
    let mut traitor = Traitor::replace(&mut cluster, 2).await;
    let stranger = sign_request(&key.id, &message("a stranger's"), "mallory", now() + 60, "lie");
    let stranger = stranger.sign(&client_key(9)).encode();
    let another = sign_request(&key.id, &message("alice's, for something else"), CLIENT, now() + 60, "other");
    let another = another.sign(&client_key(1)).encode();
    let claims = [
        Claim::Running,
        Claim::Result,
        Claim::Another(Vec::new()),
        Claim::Another(b"junk".to_vec()),
        Claim::Another(stranger),
        Claim::Another(another),
    ];
    let count = claims.len();
    for claim in claims {
        traitor.drain().await;
        let text = unique("claimed");
        let (asked, result) =
            tokio::join!(traitor.claim_next(claim, Duration::from_secs(10)), cluster.sign(0, &key.id, &text));
        assert!(asked, "the bystander is asked");
        assert_eq!(result.unwrap().quorum, ["node-a", "node-b"]);
    }
    assert_eq!(count, 6);
    // It hangs: asked once, and then not for a while.
    traitor.drain().await;
    for _ in 0..3 {
        cluster.sign(0, &key.id, &unique("hangs")).await.unwrap();
    }
    assert_eq!(traitor.recalls().await, 1);
}

/// Any node can be asked for a key, whoever holds the shares.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_share_passes_requests_on() {
    let mut cluster = Cluster::start(3).await;
    let parties = Some(vec!["node-a".to_owned(), "node-b".to_owned()]);
    let create = CreateKey { parties, ..create_key(Scheme::EcdsaSecp256k1, 2, purpose()) };
    let operation = cluster.client(0).create_key(&create, &unique("two"), WAIT).await.unwrap();
    let key = created(&operation);
    let outsider = cluster.client(2);
    assert_eq!(outsider.key(&key.id).await.unwrap().public_key, key.public_key);
    let once = unique("passed-on");
    let sign = message("through c");
    let passed = outsider.sign(&key.id, &sign, &once, WAIT).await.unwrap();
    assert_eq!(signed(&passed).quorum, ["node-a", "node-b"]);
    let again = cluster.client(0).sign(&key.id, &sign, &once, WAIT).await.unwrap();
    assert_eq!(signed(&again).signatures, signed(&passed).signatures);
    let shown = outsider.operation(&passed.id, Duration::ZERO).await.unwrap();
    assert_eq!(signed(&shown).signatures, signed(&passed).signatures);
    let created = outsider.operation(&operation.id, Duration::ZERO).await.unwrap();
    assert_eq!(crate::cluster::created(&created).id, key.id);
    // Problems come through as they are.
    let error = outsider.sign(&key.id, &message("something else"), &once, WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::IdempotencyConflict);
    let named = Sign { quorum: Some(vec!["node-a".to_owned(), "node-c".to_owned()]), ..message("m") };
    let error = outsider.sign(&key.id, &named, &unique("named"), WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::Unprocessable);
    // What nobody has is said quickly.
    let begun = Instant::now();
    let nobody = quorate_api::KeyId::from_bytes([7; 16]);
    let error = problem(outsider.key(&nobody).await.unwrap_err());
    assert!(error.code == Code::NotFound && error.detail.contains("no connected node"), "{error}");
    let error = outsider.sign(&nobody, &message("m"), &unique("nobody"), WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::NotFound);
    let unknown = quorate_api::OperationId::from_bytes([7; 16]);
    let error = outsider.operation(&unknown, Duration::ZERO).await.unwrap_err();
    assert_eq!(problem(error).code, Code::NotFound);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // With nobody there to ask.
    cluster.stop(0).await;
    cluster.stop(1).await;
    let error = problem(cluster.client(2).key(&key.id).await.unwrap_err());
    assert_eq!(error.code, Code::NotFound);
}

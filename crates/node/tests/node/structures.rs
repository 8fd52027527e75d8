//! Keys under access structures beyond `k` of `n`: creation, signing by the quorums that need each node, and refusals.

use std::time::Duration;

use quorate_api::{Access, Code, CreateKey, Key, Sign};
use quorate_intent::{Purpose, Scheme};

use crate::cluster::{Cluster, create_key, created, message, problem, signed, unique};
use crate::end_to_end::verify;

const WAIT: Duration = Duration::from_secs(30);

fn wanted(scheme: Scheme, access: &str) -> CreateKey {
    let access: Access = access.parse().unwrap();
    CreateKey { threshold: None, access: Some(access), ..create_key(scheme, 2, Some(vec![Purpose::Message])) }
}

async fn create(cluster: &Cluster, scheme: Scheme, access: &str) -> Key {
    let create = wanted(scheme, access);
    created(&cluster.client(0).create_key(&create, &unique("tree"), WAIT).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_signs_with_its_quorums_only() {
    const TREE: &str = "node-a and 2 of (node-b, node-c, node-d)";
    let mut cluster = Cluster::start(4).await;
    let mut keys = Vec::new();
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Ed25519] {
        let key = create(&cluster, scheme, TREE).await;
        assert_eq!((key.access.to_string().as_str(), key.threshold, key.more_quorums), (TREE, 3, false));
        let quorums: Vec<String> = key.quorums.iter().map(|quorum| quorum.join(" ")).collect();
        assert_eq!(quorums, ["node-a node-b node-c", "node-a node-b node-d", "node-a node-c node-d"]);
        let elsewhere = cluster.client(3).key(&key.id).await.unwrap();
        assert_eq!((elsewhere.access, elsewhere.quorums), (key.access.clone(), key.quorums.clone()));
        for at in 0..4 {
            let text = format!("at {at}");
            let result = cluster.sign(at, &key.id, &text).await.unwrap();
            verify(scheme, &key.public_key.0, text.as_bytes(), &result.signatures[0]);
        }
        keys.push((scheme, key));
    }
    // A quorum by name: one that is, one that is too large, one that lacks the first node.
    let by = |names: &[&str]| {
        let quorum = Some(names.iter().map(|name| (*name).to_owned()).collect());
        Sign { quorum, ..message("by name") }
    };
    let key = &keys[1].1;
    let client = cluster.client(1);
    let good = by(&["node-a", "node-c", "node-d"]);
    let result = signed(&client.sign(&key.id, &good, &unique("by"), WAIT).await.unwrap());
    assert_eq!(result.quorum, ["node-a", "node-c", "node-d"]);
    for names in [&["node-a", "node-b", "node-c", "node-d"][..], &["node-b", "node-c", "node-d"]] {
        let error = problem(client.sign(&key.id, &by(names), &unique("by"), WAIT).await.unwrap_err());
        assert_eq!(error.code, Code::Unprocessable);
        assert!(error.detail.contains(TREE), "{error}");
    }

    // Without one of the three the others do; without the first nobody does.
    cluster.stop(3).await;
    for (scheme, key) in &keys {
        let result = cluster.sign(2, &key.id, "without d").await.unwrap();
        verify(*scheme, &key.public_key.0, b"without d", &result.signatures[0]);
    }
    cluster.start_all().await;
    cluster.stop(0).await;
    for (_, key) in &keys {
        for at in [1, 3] {
            let error = cluster.sign(at, &key.id, "without a").await.unwrap_err();
            assert_eq!(error.code, Code::NotEnoughParties, "{error}");
            assert!(error.detail.contains(TREE) && error.detail.contains("missing: node-a"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_and_ranks_sign() {
    let cluster = Cluster::start(4).await;
    let mut cases = 0;
    for (scheme, access, threshold) in [
        (Scheme::Ed25519, "3 of (node-a*2, node-b, node-c)", 2),
        (Scheme::Bip340, "1 of (node-a) over 2 of (node-b, node-c, node-d)", 3),
        (Scheme::EcdsaP256, "1 of (node-a, node-b) over 1 of (node-c, node-d)", 2),
    ] {
        let key = create(&cluster, scheme, access).await;
        assert_eq!((key.access.to_string().as_str(), key.threshold), (access, threshold));
        for quorum in key.quorums.clone() {
            let at = usize::from(quorum[0].as_bytes()[5] - b'a');
            let sign = Sign { quorum: Some(quorum), ..message("weights and ranks") };
            let operation = cluster.client(at).sign(&key.id, &sign, &unique("each"), WAIT).await.unwrap();
            verify(scheme, &key.public_key.0, b"weights and ranks", &signed(&operation).signatures[0]);
            cases += 1;
        }
    }
    assert_eq!(cases, 2 + 3 + 5, "every minimal quorum of each key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn structures_that_cannot_be_are_refused() {
    let cluster = Cluster::start(2).await;
    let client = cluster.client(0);
    let refused = async |create: &CreateKey| {
        problem(client.create_key(create, &unique("refused"), WAIT).await.unwrap_err())
    };
    let stranger = refused(&wanted(Scheme::Ed25519, "node-a and node-z")).await;
    assert_eq!(stranger.code, Code::Unprocessable);
    assert!(stranger.detail.contains("node-z"), "{stranger}");
    let elsewhere = refused(&wanted(Scheme::Ed25519, "node-b and node-c")).await;
    assert_eq!(elsewhere.code, Code::Unprocessable, "{elsewhere}");
    let both = CreateKey { threshold: Some(2), ..wanted(Scheme::Ed25519, "node-a and node-b") };
    let neither = CreateKey { access: None, ..wanted(Scheme::Ed25519, "node-a and node-b") };
    for (create, word) in [(both, "either"), (neither, "missing")] {
        let error = refused(&create).await;
        assert_eq!(error.code, Code::InvalidRequest);
        assert!(error.detail.contains(word), "{error}");
    }
    // A body that names somebody who could sign alone does not even parse; this client does not let it be built, the node says why.
    let alone = refused(&wanted(Scheme::Ed25519, "node-a or node-b")).await;
    assert_eq!(alone.code, Code::InvalidRequest);
    assert!(alone.detail.contains("`node-a` could sign alone"), "{alone}");
}

//! Keys that exist get other access structures: in one notation, signed by the quorums that it names and by no others.

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Access, Act, Code, CreateKey, Key, Reshare, Sign};

use crate::cluster::{Cluster, WAIT, create_key, created, message, problem, signed, unique};
use crate::end_to_end::verify;
use crate::import::{Import, SCALAR};
use crate::moving::moved;

const TREE: &str = "node-a and 2 of (node-b, node-c, node-d)";

fn reshare(epoch: u64, access: &str) -> Act {
    let access: Access = access.parse().unwrap();
    Act::Reshare(Reshare { epoch, threshold: None, access: Some(access), parties: None, reason: None })
}

/// A key of 2 of three nodes out of four.
async fn two_of_three(cluster: &Cluster, scheme: Scheme) -> Key {
    let parties = ["node-a", "node-b", "node-c"].map(str::to_owned).to_vec();
    let create = CreateKey { parties: Some(parties), ..create_key(scheme, 2, Some(vec![Purpose::Message])) };
    created(&cluster.client(0).create_key(&create, &unique("three"), WAIT).await.unwrap())
}

/// Every minimal quorum signs, asked at each node in turn; how many there are.
async fn every_quorum_signs(cluster: &Cluster, key: &Key) -> usize {
    for (at, quorum) in key.quorums.iter().enumerate() {
        let sign = Sign { quorum: Some(quorum.clone()), ..message("by each") };
        let client = cluster.client(at % cluster.nodes.len());
        let result = signed(&client.sign(&key.id, &sign, &unique("each"), WAIT).await.unwrap());
        assert_eq!(&result.quorum, quorum);
        verify(key.scheme, &key.public_key.0, b"by each", &result.signatures[0]);
    }
    key.quorums.len()
}

/// A live key of 2 of 3 becomes a tree with a fourth node: its quorums sign, and no other set of nodes, whoever is stopped.
///
/// covers: S37
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_two_of_three_becomes_a_tree() {
    let mut cluster = Cluster::start(4).await;
    let mut keys = Vec::new();
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Ed25519] {
        let key = two_of_three(&cluster, scheme).await;
        // Asked at the one that joins; in other words than those in which it is shown.
        let asked = "(2 of (node-d,node-c, node-b)) and ((node-a))";
        let result = moved(&cluster, 3, &key.id, &reshare(0, asked)).await.unwrap();
        assert_eq!((&result.key.public_key, result.key.epoch), (&key.public_key, 1));
        assert_eq!(result.key.parties, ["node-a", "node-b", "node-c", "node-d"]);
        assert_eq!((result.key.threshold, result.key.quorums.len()), (3, 3));
        for at in 0..4 {
            let here = cluster.client(at).key(&key.id).await.unwrap();
            assert_eq!(here.access.to_string(), "2 of (node-d, node-c, node-b) and node-a");
        }
        assert_eq!(every_quorum_signs(&cluster, &result.key).await, 3);
        keys.push(*result.key);
    }
    // With d and c away, a and b are too few, though any two of the three could sign before.
    cluster.stop(3).await;
    for key in &keys {
        let result = cluster.sign(1, &key.id, "without d").await.unwrap();
        assert_eq!(result.quorum, ["node-a", "node-b", "node-c"]);
    }
    cluster.stop(2).await;
    for key in &keys {
        let error = cluster.sign(0, &key.id, "a and b").await.unwrap_err();
        assert_eq!(error.code, Code::NotEnoughParties, "{error}");
    }
    // Without a nobody can, however many there are.
    cluster.start_all().await;
    cluster.stop(0).await;
    for key in &keys {
        let error = cluster.sign(3, &key.id, "without a").await.unwrap_err();
        assert!(error.code == Code::NotEnoughParties && error.detail.contains("node-a"), "{error}");
    }
}

/// From a tree to weights, to ranks, and back to a plain threshold: the public key stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_goes_through_every_kind_of_structure() {
    let cluster = Cluster::start(4).await;
    let mut key = two_of_three(&cluster, Scheme::Ed25519).await;
    let public = key.public_key.clone();
    let mut signed = 0;
    for (epoch, access) in (0..).zip([
        TREE,
        "3 of (node-a*2, node-b, node-c)",
        "1 of (node-a, node-d) over 1 of (node-b, node-c)",
    ]) {
        key = *moved(&cluster, 0, &key.id, &reshare(epoch, access)).await.unwrap().key;
        assert_eq!((key.access.to_string().as_str(), &key.public_key), (access, &public));
        signed += every_quorum_signs(&cluster, &key).await;
    }
    assert_eq!(signed, 3 + 2 + 5, "every minimal quorum of each structure");
    let plain = reshare(3, "2 of (node-b, node-c, node-d)");
    let key = moved(&cluster, 1, &key.id, &plain).await.unwrap().key;
    assert_eq!((key.threshold, key.parties.len(), &key.public_key), (2, 3, &public));
}

/// What cannot be is said before anything happens, with the structure in the words of whoever asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn structures_that_cannot_be_move_nothing() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let many = format!(
        "4 of ({}) over 8 of ({})",
        (0..12).map(|n| format!("m{n}")).collect::<Vec<_>>().join(", "),
        (0..12).map(|n| format!("t{n}")).collect::<Vec<_>>().join(", "),
    );
    let mut cases = 0;
    for (access, words) in [
        ("node-a and node-z", "knows no node `node-z`"),
        (many.as_str(), "more combinations than can be checked"),
    ] {
        let refused = moved(&cluster, 0, &key.id, &reshare(0, access)).await.unwrap_err();
        assert!(refused.code == Code::Unprocessable && refused.detail.contains(words), "{refused}");
        cases += 1;
    }
    let client = cluster.client(0);
    for (reshare, words) in [
        (Reshare { epoch: 0, threshold: None, access: None, parties: None, reason: None }, "is missing"),
        (
            Reshare {
                epoch: 0,
                threshold: Some(2),
                access: Some("node-a and node-b".parse().unwrap()),
                parties: None,
                reason: None,
            },
            "not both",
        ),
        (
            Reshare {
                epoch: 0,
                threshold: None,
                access: Some("node-a or node-b".parse().unwrap()),
                parties: None,
                reason: None,
            },
            "`node-a` could sign alone",
        ),
    ] {
        let refused = client.act(&key.id, &Act::Reshare(reshare), &unique("refused"), WAIT).await;
        let refused = problem(refused.unwrap_err());
        assert!(refused.code == Code::InvalidRequest && refused.detail.contains(words), "{refused}");
        cases += 1;
    }
    assert_eq!(cases, 5);
    assert_eq!(client.key(&key.id).await.unwrap().epoch, 0);
    cluster.sign(1, &key.id, "as before").await.unwrap();
}

/// A key that somebody had is shared out under a tree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_imported_into_a_tree() {
    let mut cluster = Cluster::start(4).await;
    let client = cluster.client(0);
    let prepare = async |scheme, access| Import::prepare_under(&client, scheme, &SCALAR, Some(access)).await;
    let mut keys = Vec::new();
    for (scheme, access, quorums) in [
        (Scheme::EcdsaSecp256k1, TREE, 3),
        (Scheme::Ed25519, "3 of (node-b*2, node-c, node-d)", 2),
        (Scheme::Bip340, "1 of (node-a, node-b) over 1 of (node-c)", 3),
    ] {
        let import = prepare(scheme, access).await.sealed();
        let key = created(&import.send(&cluster, 1).await.unwrap());
        assert_eq!((key.access.to_string().as_str(), key.epoch, key.imported), (access, 1, true));
        assert_eq!(key.public_key, import.body.commitment[0]);
        assert_eq!(every_quorum_signs(&cluster, &key).await, quorums);
        keys.push(key);
    }
    // Who splits it under another structure than the request says is found out: the parts are not what the commitment promises then.
    let mut other = prepare(Scheme::Ed25519, TREE).await;
    other.body.access = Some("3 of (node-a, node-b, node-c, node-d)".parse().unwrap());
    let refused = other.sealed().send(&cluster, 0).await.unwrap_err();
    assert_eq!(refused.code, Code::Unprocessable, "{refused}");
    cluster.stop(0).await;
    let error = cluster.sign(1, &keys[0].id, "without a").await.unwrap_err();
    assert_eq!(error.code, Code::NotEnoughParties, "{error}");
    let result = cluster.sign(2, &keys[1].id, "without a").await.unwrap();
    verify(keys[1].scheme, &keys[1].public_key.0, b"without a", &result.signatures[0]);
}

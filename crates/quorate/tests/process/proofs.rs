//! `quorate node proofs` and `quorate node readmit`, with a proof that a node really signed.

use crate::support::{Cluster, HANGS, Node, Ran, get, program, run};
use quorate_api::KeyId;
use quorate_api::client::ClientError;
use quorate_api::intent::Scheme;
use quorate_net::{IdentityKey, NetConfig, Network, Peer};
use quorate_protocol::party::{Identity as _, LocalIdentity};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_seal::{Context, PassphraseSource, Sealer};
use quorate_store::Store;
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The identity of a node that is stopped, as only its operator can open it.
fn identity_seed(cluster: &Cluster, node: &Node) -> Zeroizing<[u8; 32]> {
    let passphrase = PassphraseSource::File(node.home.join("passphrase")).read().unwrap();
    let meta = cluster.runtime.block_on(async {
        let store = Store::open(&node.data()).await.unwrap();
        let meta = store.meta().await.unwrap().unwrap();
        store.close().await;
        meta
    });
    let file = fs::read(node.data().join("identity")).unwrap();
    let (id, sealed) = file.split_first_chunk::<32>().unwrap();
    let context = Context { node: *id, kind: "identity", key_id: "", epoch: 0, format: 1 };
    let seed = Sealer::open(&passphrase, &meta.seal_header).unwrap().open_blob(&context, sealed).unwrap();
    Zeroizing::new(seed.as_slice().try_into().unwrap())
}

/// What proves that party 3 said two things in the first round of a session, as `spec/01-session.md` says, and the message that carries it.
fn message(seed: &[u8; 32], session: [u8; 32]) -> (Vec<u8>, Vec<u8>) {
    let identity = LocalIdentity::from_seed(seed);
    let mut evidence = [&session[..], &[1], &3_u16.to_le_bytes()].concat();
    for content in [[1; 32], [2; 32]] {
        let signed = Transcript::new(tags::BROADCAST)
            .absorb("session", &session)
            .absorb_u64("round", 1)
            .absorb_u64("from", 3)
            .absorb("content", &content)
            .digest();
        evidence.extend_from_slice(&content);
        evidence.extend_from_slice(&identity.sign(&signed));
    }
    let with_length = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat();
    // The version, no request, `Proofs`, one.
    let mut bytes = vec![4, 0, 36, 1, 0, 0, 0];
    bytes.extend_from_slice(&identity.public().to_bytes());
    bytes.extend(with_length(b"equivocation"));
    bytes.extend_from_slice(&session);
    bytes.extend_from_slice(&3_u64.to_le_bytes());
    bytes.extend(with_length(&evidence));
    (evidence, bytes)
}

fn node(cluster: &Cluster, at: usize, arguments: &[&str]) -> Ran {
    run(program().arg("node").args(arguments).arg("--config").arg(cluster.nodes[at].config()))
}

fn proofs(cluster: &Cluster, at: usize) -> Value {
    node(cluster, at, &["proofs", "-o", "json"]).ok().json()
}

fn wait_for_proof(cluster: &Cluster, at: usize) -> Value {
    let begun = Instant::now();
    loop {
        let shown = proofs(cluster, at);
        if !shown.as_array().unwrap().is_empty() {
            return shown;
        }
        assert!(begun.elapsed() < HANGS, "no proof:\n{}", cluster.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn refused(cluster: &Cluster, at: usize, key: &KeyId, quorum: &[&str]) -> String {
    match cluster.sign(at, key, Some(quorum)) {
        Err(ClientError::Problem(problem)) => problem.to_string(),
        other => panic!("{other:?}"),
    }
}

/// covers: S12
#[test]
fn a_proof_is_shown_goes_round_and_is_lifted_by_each_operator() {
    let mut cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::Ed25519);
    cluster.must_sign(0, &key, Some(&["a", "c"]));
    assert_eq!(proofs(&cluster, 0), Value::Array(Vec::new()));
    assert_eq!(node(&cluster, 0, &["proofs"]).ok().out, "no node was proven to cheat\n");
    for (name, why) in [("c", "`c` is not quarantined"), ("x", "there is no node `x`")] {
        let ran = node(&cluster, 0, &["readmit", name]);
        assert!(ran.code != 0 && ran.err.contains(why), "{ran:?}");
    }

    cluster.nodes[2].stop();
    let nobody = node(&cluster, 2, &["proofs"]);
    assert!(nobody.code == 1 && nobody.err.contains("no node runs"), "{nobody:?}");
    let seed = identity_seed(&cluster, &cluster.nodes[2]);
    let session = [0xab; 32];
    let (evidence, bytes) = message(&seed, session);
    let a = Peer {
        id: cluster.nodes[0].identity.parse().unwrap(),
        name: "a".to_owned(),
        address: cluster.nodes[0].peers.to_string(),
    };
    let (a_id, c_peers) = (a.id, cluster.nodes[2].peers);
    cluster.runtime.block_on(async {
        let identity = IdentityKey::from_seed(seed.clone());
        let config = NetConfig { identity, listen: c_peers, peers: vec![a], limits: Default::default() };
        let network = Network::start(config).await.unwrap();
        network.wait_connected(&[a_id], Duration::from_secs(20)).await.unwrap();
        network.send_control(a_id, bytes.into()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        network.shutdown().await;
    });
    // b hears it from a, which checked it.
    let shown = wait_for_proof(&cluster, 1);
    assert_eq!(shown.as_array().unwrap().len(), 1);
    let proof = &shown[0];
    assert_eq!(
        [&proof["node"], &proof["identity"], &proof["kind"], &proof["session"], &proof["evidence"]],
        ["c", &cluster.nodes[2].identity, "equivocation", &hex::encode(session), &hex::encode(&evidence)],
        "{proof}"
    );
    assert!(proof["found_at"].as_u64().unwrap() > 0 && proof["readmitted_at"].is_null(), "{proof}");
    assert_eq!(proofs(&cluster, 0)[0]["proof"], proof["proof"]);
    let text = node(&cluster, 0, &["proofs"]).ok().out;
    for part in ["equivocation", &hex::encode(session), &hex::encode(&evidence), "readmitted at  no"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(
        get(cluster.nodes[0].api, "/metrics").unwrap().contains("quorate_peer_quarantined{peer=\"c\"} 1")
    );

    // The node is back, and nobody signs with it, also after a restart.
    cluster.nodes[2].start();
    cluster.nodes[0].stop();
    cluster.nodes[0].start();
    cluster.wait_connected();
    for (at, quorum) in [(0, ["a", "c"]), (1, ["b", "c"])] {
        let why = refused(&cluster, at, &key, &quorum);
        assert!(why.contains("`c` is quarantined") && why.contains("`quorate node readmit c`"), "{why}");
    }
    cluster.must_sign(0, &key, None);
    // Each operator for one node, for good.
    let done = node(&cluster, 0, &["readmit", "c", "-o", "json"]).ok().json();
    assert_eq!((&done["node"], &done["proofs"]), (&"c".into(), &1.into()), "{done}");
    cluster.must_sign(0, &key, Some(&["a", "c"]));
    refused(&cluster, 1, &key, &["b", "c"]);
    cluster.nodes[1].stop();
    cluster.nodes[1].start();
    cluster.wait_connected();
    std::thread::sleep(Duration::from_secs(1));
    cluster.must_sign(0, &key, Some(&["a", "c"]));
    assert!(proofs(&cluster, 0)[0]["readmitted_at"].as_u64().is_some(), "the proof stays");
    let identity = cluster.nodes[2].identity.clone();
    let text = node(&cluster, 1, &["readmit", &identity]).ok().out;
    assert!(text.contains("readmitted") && text.contains("proofs that do not count  1"), "{text}");
    cluster.must_sign(1, &key, Some(&["b", "c"]));
    let again = node(&cluster, 1, &["readmit", "c"]);
    assert!(again.code != 0 && again.err.contains("not quarantined"), "{again:?}");
}

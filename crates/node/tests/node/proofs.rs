//! Proofs that a node cheated go from node to node, and each node checks them by itself.

use std::time::{Duration, Instant};

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, EventKind};
use quorate_net::PeerId;
use quorate_node::{Node, ProofShown, proofs_of_running, readmit_at_running};
use quorate_protocol::party::{Identity as _, LocalIdentity, PartyIndex};
use quorate_protocol::session::{SessionId, tamper};
use quorate_store::Store;
use quorate_store::fault::{Fault, Faults};

use crate::attempts::{How, Liar, TEXT};
use crate::byzantine::Traitor;
use crate::cluster::Cluster;
use crate::traitor::decode;

// The control messages that matter here, as another program would write them.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
enum Control {
    Proofs(Vec<Misdeed>) = 36,
    ProofsSeen(Vec<[u8; 32]>) = 37,
}

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct Misdeed {
    peer: [u8; 32],
    kind: String,
    session: [u8; 32],
    party: u64,
    evidence: Vec<u8>,
}

/// Two signatures for one round of a session.
fn equivocation(identity: &LocalIdentity, session: u8, contents: [u8; 2]) -> Misdeed {
    let (session, party) = ([session; 32], PartyIndex::new(2).unwrap());
    let contents = contents.map(|content| [content; 32]);
    let evidence = tamper::equivocation(identity, SessionId(session), 1, party, contents);
    let (peer, kind) = (identity.public().to_bytes(), "equivocation".to_owned());
    Misdeed { peer, kind, session, party: party.get().into(), evidence }
}

/// Hands proofs to a node. Gives how many it says that it has seen, without waiting long for it to say so.
async fn hand_over(traitor: &mut Traitor, to: PeerId, proofs: &[Misdeed]) -> usize {
    while let Ok(old) = tokio::time::timeout(Duration::ZERO, traitor.control.recv()).await {
        assert!(old.is_some(), "the connection is gone");
    }
    traitor.send(to, &Control::Proofs(proofs.to_vec())).await;
    let until = tokio::time::Instant::now() + Duration::from_millis(1500);
    while let Ok(Some((from, bytes))) = tokio::time::timeout_at(until, traitor.control.recv()).await {
        if let (true, Some(Control::ProofsSeen(seen))) = (from == to, decode(&bytes)) {
            return seen.len();
        }
    }
    0
}

async fn proofs(cluster: &Cluster, at: usize) -> Vec<ProofShown> {
    proofs_of_running(&cluster.configs[at].data).await.unwrap()
}

/// Waits until a node keeps a proof.
pub(crate) async fn heard(cluster: &Cluster, at: usize) -> ProofShown {
    let begun = Instant::now();
    loop {
        if let [proof] = proofs(cluster, at).await.as_slice() {
            return proof.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "node {at} never hears of it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a node is quarantined at another one.
async fn quarantines(cluster: &Cluster, at: usize, name: &str) -> bool {
    let text = cluster.get(at, "/metrics").await.1;
    let series = format!("quorate_peer_quarantined{{peer=\"{name}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.unwrap_or_else(|| panic!("{series} is not shown")).parse::<f64>().unwrap() > 0.5
}

/// covers: S12, S34: one node sees that another one says two things. All quarantine it, also one that was down, also after restarts; and each
/// readmits it for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_sees_all_know() {
    let mut cluster = Cluster::forgetful(4).await;
    let key = cluster.create(Scheme::Ed25519, 3, Some(vec![Purpose::Message])).await;
    let liar = Liar::replace(&mut cluster, 1, &key, How::Twice).await;
    cluster.stop(3).await;
    let error = cluster.sign(0, &key.id, TEXT).await.unwrap_err();
    assert_eq!(error.code, Code::NotEnoughParties, "{error}");
    let found = heard(&cluster, 0).await;
    assert_eq!(found.node, "node-b");
    let passed_on = heard(&cluster, 2).await;
    let same = |one: &ProofShown, other: &ProofShown| {
        (&one.proof, &one.identity, &one.evidence) == (&other.proof, &other.identity, &other.evidence)
    };
    assert!(same(&found, &passed_on), "{found:?}\n{passed_on:?}");
    assert!(quarantines(&cluster, 2, "node-b").await && !quarantines(&cluster, 2, "node-a").await);
    let told = crate::events::kept(&cluster, 2).await;
    let told: Vec<_> = told.iter().filter(|event| event.kind == EventKind::PeerQuarantined).collect();
    assert_eq!((told.len(), told[0].peer.as_deref()), (1, Some("node-b")));
    assert!(told[0].detail.as_deref().unwrap().contains("`node-a` handed over"), "{told:?}");

    // It was down; and who found it out is not needed any more.
    cluster.stop(0).await;
    cluster.start_node(3).await;
    assert!(same(&found, &heard(&cluster, 3).await));
    assert!(quarantines(&cluster, 3, "node-b").await);
    cluster.start_node(0).await;
    for at in [0, 2, 3] {
        cluster.nodes[at].as_ref().unwrap().wait_connected(Duration::from_secs(10)).await.unwrap();
    }
    // So it is asked by none of them.
    for at in [0, 2, 3] {
        let result = cluster.sign(at, &key.id, TEXT).await.unwrap();
        assert_eq!((result.quorum, result.skipped), (named(&["node-a", "node-c", "node-d"]), vec![]));
    }
    // Lifted at one node it stays lifted there, whatever the others hand over, and nowhere else.
    readmit_at_running(&cluster.configs[2].data, "node-b").await.unwrap();
    cluster.stop(2).await;
    let store = Store::open(&cluster.configs[2].data).await.unwrap();
    let logged = store.log_entries(0, 400).await.unwrap();
    let has = |entry: &&Vec<u8>, text: &str| entry.windows(text.len()).any(|part| part == text.as_bytes());
    let entries: Vec<_> = logged.iter().filter(|entry| has(entry, &found.proof)).collect();
    assert_eq!(entries.len(), 1);
    assert!(has(&entries[0], "\"heard_from\":\"node-a\""));
    store.close().await;
    cluster.start_node(2).await;
    cluster.nodes[2].as_ref().unwrap().wait_connected(Duration::from_secs(10)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!quarantines(&cluster, 2, "node-b").await);
    assert!(quarantines(&cluster, 0, "node-b").await && quarantines(&cluster, 3, "node-b").await);
    assert!(proofs(&cluster, 2).await[0].readmitted_at.is_some());
    liar.abort();
}

fn named(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// covers: S12: whatever a node hands over, nobody is quarantined who has not signed two things; a wrong proof costs its sender alone; and what is
/// known, lifted or too much changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hands_over_anything_harms_nobody_but_itself() {
    let mut cluster = Cluster::start(3).await;
    let mut traitor = Traitor::replace(&mut cluster, 1).await;
    let own = LocalIdentity::from_seed(&traitor.secrets.identity_seed);
    let (a, c) = (cluster.identities[0], cluster.identities[2]);
    // Of nobody in this cluster, such as of a node of another one: neither believed nor held against who hands it over.
    let stranger = LocalIdentity::from_seed(&[99; 32]);
    assert_eq!(hand_over(&mut traitor, a, &[equivocation(&stranger, 1, [1, 2])]).await, 0);
    // Of a kind that a newer version may know.
    let newer = Misdeed { kind: "newer".to_owned(), ..equivocation(&own, 1, [1, 2]) };
    assert_eq!(hand_over(&mut traitor, a, &[newer]).await, 0);
    assert_eq!(proofs(&cluster, 0).await, []);
    // Of itself: that is as good as from anybody else, and goes round.
    let proof = equivocation(&own, 1, [1, 2]);
    assert_eq!(hand_over(&mut traitor, a, std::slice::from_ref(&proof)).await, 1);
    assert!(quarantines(&cluster, 0, "node-b").await);
    assert_eq!(heard(&cluster, 2).await.proof, heard(&cluster, 0).await.proof);
    // Again, and about the same session with other bytes: seen, and that is all.
    let otherwise = [equivocation(&own, 1, [2, 1]), equivocation(&own, 1, [3, 4]), proof.clone()];
    assert_eq!(hand_over(&mut traitor, a, &otherwise).await, 3);
    assert_eq!(proofs(&cluster, 0).await.len(), 1);
    // Many more: as many are looked at as a message has at most, and as many kept as convince.
    let many: Vec<Misdeed> = (10..30).map(|session| equivocation(&own, session, [1, 2])).collect();
    assert_eq!(hand_over(&mut traitor, a, &many).await, 8);
    assert_eq!(proofs(&cluster, 0).await.len(), 4);
    // Lifted is lifted, for these sessions; what it does after that counts.
    readmit_at_running(&cluster.configs[0].data, "node-b").await.unwrap();
    assert_eq!(hand_over(&mut traitor, a, std::slice::from_ref(&proof)).await, 1);
    assert_eq!(hand_over(&mut traitor, a, &otherwise).await, 3);
    assert!(!quarantines(&cluster, 0, "node-b").await);
    assert_eq!(hand_over(&mut traitor, a, &[equivocation(&own, 40, [1, 2])]).await, 1);
    assert!(quarantines(&cluster, 0, "node-b").await);
    // Of others, forged in every way that there is without their keys.
    let of = |peer: PeerId, mut proof: Misdeed| {
        proof.peer = *peer.as_bytes();
        proof
    };
    let mut cases = 0;
    for (to, victim, name) in [(a, c, "node-c"), (c, a, "node-a")] {
        assert_eq!(hand_over(&mut traitor, to, &[of(victim, equivocation(&own, 50, [1, 2]))]).await, 0);
        // From now on not even the truth is heard from it.
        assert_eq!(hand_over(&mut traitor, to, std::slice::from_ref(&proof)).await, 0);
        let at = if to == a { 0 } else { 2 };
        assert!(!quarantines(&cluster, at, name).await);
        assert!(proofs(&cluster, at).await.iter().all(|proof| proof.node == "node-b"));
        cases += 1;
    }
    assert_eq!(cases, 2);
}

/// Node a, after it was dropped without notice.
async fn again(cluster: &Cluster) -> Node {
    let begun = Instant::now();
    loop {
        match Node::start(cluster.configs[0].clone()).await {
            Ok(node) => return node,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the store does at a proof, and how many are there then.
const FAULTS: [(Fault, usize); 5] = [
    (Fault::DiskFull, 0),
    (Fault::BeforeCommit, 0),
    (Fault::AfterCommit, 1),
    (Fault::DeadBefore, 0),
    (Fault::DeadAfter, 1),
];

/// A store that fails or dies before or after a proof that comes: the node is quarantined all the same while the node runs, nobody is told that
/// the proof was seen before it is stored, and so it is handed over again, and from here to the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_is_handed_over_until_it_is_stored() {
    let mut cases = 0;
    for (fault, stored) in FAULTS {
        let mut cluster = Cluster::prepare(3).await;
        let faults = Faults::default();
        let config = cluster.configs[0].clone();
        cluster.nodes[0] = Some(Node::start_with_faults(config, faults.clone()).await.unwrap());
        cluster.start_all().await;
        let mut traitor = Traitor::replace(&mut cluster, 1).await;
        let proof = equivocation(&LocalIdentity::from_seed(&traitor.secrets.identity_seed), 1, [1, 2]);
        let a = cluster.identities[0];
        faults.fail_nth_named("keep_proof", 1, fault);
        assert_eq!(hand_over(&mut traitor, a, std::slice::from_ref(&proof)).await, 0, "{fault:?}");
        if faults.is_dead() {
            drop(cluster.nodes[0].take());
            cluster.nodes[0] = Some(again(&cluster).await);
            traitor.network.wait_connected(&[a], Duration::from_secs(10)).await.unwrap();
        } else {
            assert!(quarantines(&cluster, 0, "node-b").await, "{fault:?}");
        }
        assert_eq!(proofs(&cluster, 0).await.len(), stored, "{fault:?}");
        assert_eq!(hand_over(&mut traitor, a, &[proof]).await, 1, "{fault:?}");
        let kept = heard(&cluster, 0).await;
        assert!(quarantines(&cluster, 0, "node-b").await);
        assert_eq!(heard(&cluster, 2).await.proof, kept.proof, "{fault:?}");
        cases += 1;
    }
    assert_eq!(cases, 5);
}

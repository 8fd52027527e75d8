//! Signing that goes on when a node cheats, is silent or slow.

use std::time::{Duration, Instant};

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, EventKind, Fault, Key, SignResult, SignedRequest};
use quorate_frost::TaprootTweak;
use quorate_keys::share::KeyShare;
use quorate_net::{PeerId, Routes};
use quorate_node::{proofs_of_running, readmit_at_running};
use quorate_protocol::curve::{Curve, EcdsaCurve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::{Committee, IdentityKey};
use quorate_protocol::session::{Params, Session, SessionId, proves_equivocation};
use quorate_store::Store;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::byzantine::Traitor;
use crate::cluster::Cluster;
use crate::end_to_end::verify;
use crate::traitor::{Asked, decode, index, sha256};
use crate::unseal::UnsealedKey;

// The control messages that matter here, as another program would write them.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
enum Control {
    Propose(Proposal) = 0,
    Answer { ceremony: [u8; 32], answer: Answer } = 1,
    Ended { ceremony: [u8; 32], outcome: Outcome } = 2,
    Cancel { ceremony: [u8; 32] } = 3,
}

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct Proposal {
    ceremony: [u8; 32],
    attempt: u32,
    request: Vec<u8>,
    rulings: Vec<Vec<u8>>,
    source: Option<[u8; 16]>,
    work: Work,
}

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
enum Work {
    Sign { quorum: Vec<u16>, epoch: u64 } = 1,
}

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
enum Answer {
    Accept = 0,
    Refuse { code: String, detail: String, burned: Option<u16> } = 1,
}

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
enum Outcome {
    Failed { code: String, detail: String, burned: Option<u16> } = 3,
}

/// What is signed here, always.
pub(crate) const TEXT: &str = "despite everything";

/// How a node lies that accepts every proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// In what it sends first.
    First,
    /// It does all that it should, for another message.
    Last,
    /// It says one thing to the first of the others, and another to the rest, each signed.
    Twice,
    /// It sends nothing at all.
    Not,
}

/// A node that was taken over.
pub(crate) struct Liar {
    traitor: Traitor,
    me: u16,
    key: Key,
    how: How,
}

impl Liar {
    pub(crate) async fn replace(cluster: &mut Cluster, at: usize, key: &Key, how: How) -> JoinHandle<()> {
        let me = u16::try_from(at + 1).unwrap();
        let traitor = Traitor::replace(cluster, at).await;
        let liar = Self { traitor, me, key: key.clone(), how };
        tokio::spawn(liar.lie())
    }

    /// Takes part in whatever is proposed, for ever.
    async fn lie(mut self) {
        while let Some((from, bytes)) = self.traitor.control.recv().await {
            match decode(&bytes) {
                Some(Control::Propose(proposal)) => {
                    let (ceremony, answer) = (proposal.ceremony, Answer::Accept);
                    self.traitor.send(from, &Control::Answer { ceremony, answer }).await;
                    match self.key.scheme {
                        Scheme::EcdsaSecp256k1 => self.ecdsa::<Secp256k1>(from, &proposal).await,
                        Scheme::Ed25519 => self.ed25519(from, &proposal).await,
                        Scheme::Bip340 => self.bip340(from, &proposal).await,
                        Scheme::EcdsaP256 => self.ecdsa::<P256>(from, &proposal).await,
                    }
                }
                // Late, and about what nobody waits for any more.
                Some(Control::Cancel { ceremony }) => {
                    self.traitor.send(from, &Control::Answer { ceremony, answer: Answer::Accept }).await;
                    let (code, detail) = ("internal".to_owned(), "too late".to_owned());
                    let outcome = Outcome::Failed { code, detail, burned: None };
                    self.traitor.send(from, &Control::Ended { ceremony, outcome }).await;
                }
                _ => {}
            }
        }
    }

    /// Its share of the key, and what else it has of it.
    fn share<C: Curve>(&self) -> (KeyShare<C>, &UnsealedKey) {
        let read = self.traitor.secrets.keys.iter().find_map(|own| {
            let share = own.share::<C>()?;
            let public = share.public().public_key().to_bytes();
            let same = self.key.public_key.0.ends_with(&public) || public.ends_with(&self.key.public_key.0);
            same.then_some((share, own))
        });
        read.unwrap()
    }

    fn session<C: Curve>(
        &self,
        share: &KeyShare<C>,
        protocol: &'static str,
        content: &[u8],
        from: PeerId,
        proposal: &Proposal,
    ) -> (SessionId, Committee) {
        let Work::Sign { quorum, .. } = &proposal.work;
        let quorum: Vec<_> = quorum.iter().copied().map(index).collect();
        let quorum = share.public().quorum(&quorum).unwrap();
        let asked = Asked {
            request: &SignedRequest::decode(&proposal.request).unwrap().request_hash(),
            coordinator: from,
            attempt: proposal.attempt,
            ceremony: &proposal.ceremony,
            content,
            path: "m",
            public_key: &self.key.public_key.0,
        };
        (asked.session(share, protocol, &quorum), quorum)
    }

    async fn ecdsa<C: EcdsaCurve>(&self, from: PeerId, proposal: &Proposal) {
        let (share, own) = self.share::<C>();
        let setup = own.opened_setup();
        let mut digest = sha256(TEXT.as_bytes());
        let (session, quorum) = self.session(&share, "ecdsa-sign", &digest, from, proposal);
        digest[0] ^= u8::from(self.how == How::Last);
        let start = |params| {
            quorate_ecdsa::sign::start(params, &share, std::sync::Arc::clone(&setup), digest).unwrap()
        };
        self.run(session, quorum, start).await;
    }

    async fn ed25519(&self, from: PeerId, proposal: &Proposal) {
        let (share, _) = self.share::<Ed25519>();
        let (session, quorum) = self.session(&share, "frost-ed25519", TEXT.as_bytes(), from, proposal);
        let mut message = TEXT.as_bytes().to_vec();
        message[0] ^= u8::from(self.how == How::Last);
        let start = |params| quorate_frost::sign_ed25519(params, &share, message.clone()).unwrap();
        self.run(session, quorum, start).await;
    }

    async fn bip340(&self, from: PeerId, proposal: &Proposal) {
        let (share, _) = self.share::<Secp256k1>();
        let mut message = sha256(TEXT.as_bytes()).to_vec();
        let (session, quorum) = self.session(&share, "frost-bip340", &message, from, proposal);
        message[0] ^= u8::from(self.how == How::Last);
        let start =
            |params| quorate_frost::sign_bip340(params, &share, message.clone(), TaprootTweak::None).unwrap();
        self.run(session, quorum, start).await;
    }

    async fn run<O: Send + 'static>(
        &self,
        session: SessionId,
        quorum: Committee,
        start: impl Fn(Params) -> Session<O>,
    ) {
        let begin = |entropy| start(self.traitor.params(session, self.me, quorum.clone(), entropy));
        // What should be durable before it is sent is of no concern to a liar.
        let careless = |mut run: Session<O>| {
            while run.poll_effect().is_some() {}
            run.effects_durable();
            run
        };
        let (network, routes) = (&self.traitor.network, Routes::of(&quorum));
        let send = async |to: PeerId, frame: Vec<u8>| {
            network.send(to, session.into(), frame.into()).await.unwrap();
        };
        match self.how {
            How::Not => {}
            How::First => {
                let mut run = careless(begin(session.0));
                while let Some(out) = run.poll_transmit() {
                    let mut frame = out.bytes.to_vec();
                    spoil(&mut frame);
                    send(receiver(&quorum, &frame), frame).await;
                }
            }
            How::Twice => {
                let (mut run, mut other) = (careless(begin(session.0)), careless(begin([7; 32])));
                let others = quorum.indices().filter(|party| *party != index(self.me));
                let first = others.min().and_then(|party| quorum.get(party)).unwrap().identity.to_bytes();
                let mut mailbox = network.open(session.into(), &routes.members()).unwrap();
                loop {
                    for (run, to_first) in [(&mut run, true), (&mut other, false)] {
                        while let Some(out) = run.poll_transmit() {
                            let frame = out.bytes.to_vec();
                            let to = receiver(&quorum, &frame);
                            // Only the first hears the end of it, or another one could find out before, and tell that it failed.
                            let goes_on = frame[33] == 1 || (frame[33] == 2 && to_first);
                            if goes_on && (*to.as_bytes() == first) == to_first {
                                send(to, frame).await;
                            }
                        }
                    }
                    let received = timeout(Duration::from_millis(700), mailbox.recv()).await;
                    let Ok(Some((from, bytes))) = received else { break };
                    for run in [&mut run, &mut other] {
                        // What ends a session of the liar's own is of no concern to it.
                        run.handle_message(routes.party(from).unwrap(), &bytes).unwrap_or_default();
                        run.step();
                        while run.poll_effect().is_some() {}
                        run.effects_durable();
                    }
                }
            }
            How::Last => {
                let ended = self.traitor.run(session, self.me, &quorum, start, Duration::from_secs(5)).await;
                assert!(ended.is_none(), "nobody signs what only the liar wants to be signed");
            }
        }
    }
}

/// For whom a frame is: the number of its receiver stands in it.
fn receiver(quorum: &Committee, frame: &[u8]) -> PeerId {
    let to = quorum.get(index(u16::from_le_bytes([frame[36], frame[37]]))).unwrap();
    PeerId::from_bytes(to.identity.to_bytes())
}

/// Lies in all that a frame says: the broadcast is no point, and of what is said to one alone the last byte is another.
fn spoil(frame: &mut [u8]) {
    // Version, session, round, from, to; then an empty echo, as this is the first; then the broadcast with its length.
    assert_eq!(frame[38..42], [0; 4]);
    let len = u32::from_le_bytes(frame[42..46].try_into().unwrap());
    let broadcast = 46..46 + usize::try_from(len).unwrap();
    // Then a signature, if the committee signs, and what is for one alone, if there is anything.
    let alone = broadcast.end + if frame[broadcast.end] == 1 { 65 } else { 1 };
    let has_alone = frame[alone..alone + 4] != [0; 4];
    // Neither tag of a point of secp256k1, nor y of one of Ed25519.
    let none = (4..=255).find(|byte| ed25519_dalek::VerifyingKey::from_bytes(&[*byte; 32]).is_err());
    frame[broadcast].fill(none.unwrap());
    if has_alone {
        *frame.last_mut().unwrap() ^= 1;
    }
}

async fn sign(cluster: &Cluster, key: &Key) -> (SignResult, Duration) {
    let begun = Instant::now();
    let result = cluster.sign(0, &key.id, TEXT).await.unwrap();
    let took = begun.elapsed();
    verify(key.scheme, &key.public_key.0, TEXT.as_bytes(), &result.signatures[0]);
    (result, took)
}

/// The median time of a few requests that nobody hinders.
async fn honest(cluster: &Cluster, key: &Key) -> Duration {
    let mut times = Vec::new();
    for _ in 0..5 {
        let (result, took) = sign(cluster, key).await;
        assert_eq!(result.skipped, []);
        times.push(took);
    }
    times.sort_unstable();
    times[2]
}

#[expect(clippy::print_stdout, reason = "figures for people, which nothing depends on")]
fn show(what: &str, honest: Duration, times: &[Duration]) {
    let ratios: Vec<String> =
        times.iter().map(|time| format!("{:.1}", time.as_secs_f64() / honest.as_secs_f64())).collect();
    println!("{what}: {} ms, with a liar {} times as long", honest.as_millis(), ratios.join(", "));
}

/// covers: S34: of three nodes one lies in every message. Every request is signed by the others, and the liar is named: as the one who cheated
/// where every message has one author, and as one end of a pair where the check is between two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_of_three_stops_nothing_and_is_named() {
    let mut cases = 0;
    for scheme in [Scheme::Ed25519, Scheme::Bip340, Scheme::EcdsaSecp256k1, Scheme::EcdsaP256] {
        for how in [How::First, How::Last] {
            let mut cluster = Cluster::forgetful(3).await;
            let key = cluster.create(scheme, 2, Some(vec![Purpose::Message])).await;
            let usual = honest(&cluster, &key).await;
            let liar = Liar::replace(&mut cluster, 1, &key, how).await;
            let mut times = Vec::new();
            for request in 0..4 {
                let (result, took) = sign(&cluster, &key).await;
                times.push(took);
                assert_eq!(result.quorum, ["node-a", "node-c"]);
                let named: Vec<_> = result.skipped.iter().map(|s| (s.party.as_str(), s.fault)).collect();
                let expected = match (scheme, how) {
                    // Burned with the first failed check, the pair does not meet again.
                    (Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256, How::First) if request > 0 => vec![],
                    (Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256, _) => {
                        vec![("node-b", Some(Fault::Disputed))]
                    }
                    _ => vec![("node-b", Some(Fault::Cheated))],
                };
                assert_eq!(named, expected, "{scheme} {how:?} {request}: {:?}", result.skipped);
                cases += 1;
            }
            show(&format!("{scheme}, {how:?}"), usual, &times);
            assert!(!liar.is_finished(), "the liar lied to the end");
            liar.abort();
        }
    }
    assert_eq!(cases, 32);
}

/// covers: S34: requests that come together with the one in which the liar is found out are signed by the others too: what was on its way with it
/// when its pair burned goes on without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_stops_none_of_many_requests_at_once() {
    const AT_ONCE: usize = 8;
    let mut cases = 0;
    for how in [How::First, How::Last] {
        let mut cluster = Cluster::forgetful(3).await;
        let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await;
        let liar = Liar::replace(&mut cluster, 1, &key, how).await;
        let signed = futures_util::future::join_all((0..AT_ONCE).map(|_| sign(&cluster, &key))).await;
        for (result, _) in &signed {
            assert_eq!(result.quorum, ["node-a", "node-c"], "{how:?}");
            assert!(result.skipped.iter().all(|skipped| skipped.party == "node-b"), "{:?}", result.skipped);
            cases += 1;
        }
        liar.abort();
    }
    assert_eq!(cases, 2 * AT_ONCE);
}

/// covers: S34: two liars of five, each in its own way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_liars_of_five_stop_nothing() {
    let mut cases = 0;
    for scheme in [Scheme::Ed25519, Scheme::EcdsaSecp256k1] {
        let mut cluster = Cluster::prepare(5).await;
        for config in &mut cluster.configs {
            config.limits.suspicion_half_life = Duration::ZERO;
            config.limits.hedge_floor = Duration::from_millis(500);
            config.limits.hedge_cap = Duration::from_millis(1500);
        }
        cluster.start_all().await;
        let key = cluster.create(scheme, 3, Some(vec![Purpose::Message])).await;
        let usual = honest(&cluster, &key).await;
        let liars = [
            Liar::replace(&mut cluster, 1, &key, How::First).await,
            Liar::replace(&mut cluster, 2, &key, How::Last).await,
        ];
        let mut times = Vec::new();
        for request in 0..3 {
            let (result, took) = sign(&cluster, &key).await;
            times.push(took);
            assert_eq!(result.quorum, ["node-a", "node-d", "node-e"], "{scheme} {request}");
            for skipped in &result.skipped {
                assert!(["node-b", "node-c"].contains(&skipped.party.as_str()), "{scheme}: {skipped}");
            }
            cases += 1;
        }
        show(&format!("{scheme}, 3 of 5"), usual, &times);
        liars.iter().for_each(JoinHandle::abort);
    }
    assert_eq!(cases, 6);
}

/// A node that accepts and says nothing more costs the time that such attempts take, not the time that an attempt may take; the next
/// requests do without it; and what it says in the end changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_party_is_not_waited_for() {
    let mut cluster = Cluster::prepare(3).await;
    for config in &mut cluster.configs {
        config.limits.attempt_deadline = Duration::from_secs(25);
        config.limits.hedge_floor = Duration::from_millis(300);
        config.limits.hedge_cap = Duration::from_secs(3);
    }
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    for _ in 0..2 {
        honest(&cluster, &key).await;
    }
    let usual = honest(&cluster, &key).await;
    let silent = Liar::replace(&mut cluster, 1, &key, How::Not).await;
    let (result, took) = sign(&cluster, &key).await;
    show("ed25519, one silent", usual, &[took]);
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert_eq!(result.quorum, ["node-a", "node-c"]);
    let named: Vec<_> = result.skipped.iter().map(|s| (s.party.as_str(), s.fault)).collect();
    assert_eq!(named, [("node-b", Some(Fault::Slow))]);
    for _ in 0..3 {
        let (result, _) = sign(&cluster, &key).await;
        assert_eq!((result.quorum.len(), result.skipped), (2, vec![]), "it is remembered");
    }
    // Where nobody can do without it, it has all the time there is, and the problem says who it was.
    cluster.stop(2).await;
    let error = timeout(Duration::from_secs(60), cluster.sign(0, &key.id, TEXT)).await.unwrap().unwrap_err();
    let skipped = error.quorum.as_ref().map(|quorum| quorum.skipped.clone()).unwrap_or_default();
    let named: Vec<_> = skipped.iter().map(|s| (s.party.as_str(), s.fault)).collect();
    assert_eq!(named, [("node-b", Some(Fault::Silent))], "{error}");
    silent.abort();
}

/// A series of a node at /metrics.
async fn metric(cluster: &Cluster, series: &str) -> f64 {
    let text = cluster.get(0, "/metrics").await.1;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("{series} is not shown"))
}

/// covers: S12, S34: who says different things to different nodes is proven to have done so. The proof is kept, shown, logged and told, and its
/// author signs with nobody who has it, also after a restart, until an operator lets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_two_things_is_quarantined_until_it_is_readmitted() {
    const SERIES: &str = "quorate_peer_quarantined{peer=\"node-b\"}";
    let mut cluster = Cluster::forgetful(4).await;
    let key = cluster.create(Scheme::Ed25519, 3, Some(vec![Purpose::Message])).await;
    let folder = cluster.configs[0].data.clone();
    assert_eq!(proofs_of_running(&folder).await.unwrap(), []);
    assert!(readmit_at_running(&folder, "node-b").await.is_err(), "there is nothing to lift");
    assert!(metric(&cluster, SERIES).await < 0.5);
    let liar = Liar::replace(&mut cluster, 1, &key, How::Twice).await;
    let (result, _) = sign(&cluster, &key).await;
    assert_eq!(result.quorum, ["node-a", "node-c", "node-d"]);
    let [skipped] = result.skipped.as_slice() else { panic!("{:?}", result.skipped) };
    assert_eq!((skipped.party.as_str(), skipped.fault), ("node-b", Some(Fault::Cheated)), "{skipped}");
    let kept = proofs_of_running(&folder).await.unwrap();
    let [proof] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((skipped.evidence.as_ref(), proof.node.as_str()), (Some(&proof.proof), "node-b"));
    // It convinces anybody who has the identity of b, and blames nobody else.
    let evidence = hex::decode(&proof.evidence).unwrap();
    let session = SessionId(hex::decode(&proof.session).unwrap().try_into().unwrap());
    let proves = |at: usize| {
        let identity = IdentityKey::from_bytes(cluster.identities[at].as_bytes()).unwrap();
        proves_equivocation(&evidence, session, index(2), &identity)
    };
    assert!(proves(1) && !proves(0) && !proves(2));
    assert!(metric(&cluster, SERIES).await > 0.5);
    let told = crate::events::kept(&cluster, 0).await;
    let told: Vec<_> = told.iter().filter(|event| event.kind == EventKind::PeerQuarantined).collect();
    assert_eq!((told.len(), told[0].peer.as_deref()), (1, Some("node-b")));

    cluster.stop(0).await;
    let store = Store::open(&folder).await.unwrap();
    let logged = store.log_entries(0, 200).await.unwrap();
    let has = |entry: &Vec<u8>| entry.windows(proof.proof.len()).any(|part| part == proof.proof.as_bytes());
    assert_eq!(logged.iter().filter(|entry| has(entry)).count(), 1);
    store.close().await;
    cluster.start_node(0).await;
    for node in cluster.nodes.iter().flatten() {
        node.wait_connected(Duration::from_secs(10)).await.unwrap();
    }
    let (result, _) = sign(&cluster, &key).await;
    assert_eq!((result.quorum.len(), result.skipped), (3, vec![]), "nobody even asks it");
    // Where nobody else is left, the problem says why, and the way out.
    cluster.stop(3).await;
    let error = cluster.sign(0, &key.id, TEXT).await.unwrap_err();
    assert_eq!(error.code, Code::NotEnoughParties, "{error}");
    for part in ["`node-b` is quarantined", "`quorate node readmit node-b`", "node-d"] {
        assert!(error.detail.contains(part), "{error}");
    }
    let done = readmit_at_running(&folder, "node-b").await.unwrap();
    assert_eq!((done.node.as_str(), done.proofs), ("node-b", 1));
    assert!(metric(&cluster, SERIES).await < 0.5);
    assert!(proofs_of_running(&folder).await.unwrap()[0].readmitted_at.is_some(), "the proof stays");
    // The liar gives up its last session. It does it again, and is caught again.
    tokio::time::sleep(Duration::from_millis(900)).await;
    let error = cluster.sign(0, &key.id, TEXT).await.unwrap_err();
    let skipped = error.quorum.as_ref().map(|quorum| quorum.skipped.clone()).unwrap_or_default();
    assert!(skipped.iter().any(|s| s.party == "node-b" && s.fault == Some(Fault::Cheated)), "{error}");
    assert_eq!(proofs_of_running(&folder).await.unwrap().len(), 2);
    liar.abort();
}

//! A node of the cluster turns against the others: it holds a share, a valid identity and requests that a client really signed.

use std::time::{Duration, Instant};

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::intent::{Intent, Purpose, Scheme};
use quorate_api::{DerivationPath, EventKind, KeyId, ListQuery, Method, Request, Sign, SignedRequest};
use quorate_log::entry::Kind;
use quorate_net::{
    ControlReceiver, IdentityKey, Mailbox, NetConfig, Network, Peer, PeerId, Routes, SessionTag,
};
use quorate_protocol::curve::Ed25519;
use quorate_protocol::party::Committee;
use quorate_protocol::session::tamper::is_abort;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::cluster::{CLIENT, Cluster, client_key, create_key, message, now, unique};
use crate::requests::sign_request;
use crate::traitor::{Asked, Proposed, decode, index};
use crate::unseal::{Unsealed, unseal};

// The control messages as another program would write them.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
enum Control {
    Propose(Proposal),
    Answer { ceremony: [u8; 32], answer: Answer },
    Ended { ceremony: [u8; 32], outcome: Outcome },
    Cancel { ceremony: [u8; 32] },
    Activate { ceremony: [u8; 32] },
    Recall { ceremony: [u8; 32], operation: String, fingerprint: [u8; 32] },
    Recalled { ceremony: [u8; 32], known: Known },
    Relay { ticket: [u8; 16], request: Vec<u8>, source: Option<[u8; 16]> },
    Relayed { ticket: [u8; 16], status: u16, body: Vec<u8> },
    Offer { offer: String },
    Cosigned { head: String },
    Seen { size: u64 },
    Case(Case),
    Cases(Vec<Case>),
    Closed { operation: String, how: String },
    Directory { version: u64, head: [u8; 32], freezes: [u8; 32] },
    Behind { version: u64 },
    Changes { entries: Vec<Vec<u8>> },
    Freeze { request: Vec<u8> },
    Prove { ticket: [u8; 16], operation: String },
    Proven { ticket: [u8; 16], receipt: Option<String> },
    OrdersUpTo { newest: u64 },
    OrdersAfter { place: u64 },
    Orders { orders: Vec<(Vec<u8>, Option<String>)>, upto: u64 },
}

/// What the traitor does not know, such as a question about an epoch, means nothing to it.
fn read(bytes: &[u8]) -> Control {
    decode(bytes).unwrap_or(Control::OrdersUpTo { newest: 0 })
}

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct Case {
    request: Vec<u8>,
    rulings: Vec<Vec<u8>>,
    source: Option<[u8; 16]>,
}

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
enum Known {
    Nothing,
    Running,
    Done(Done),
    Another(Vec<u8>),
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
pub(crate) enum Work {
    Create {
        members: Vec<(u16, String, [u8; 32])>,
    },
    Sign {
        quorum: Vec<u16>,
        epoch: u64,
    },
    /// How many orders, disabled, exposed.
    Move {
        record: Vec<u8>,
        dealers: Vec<u16>,
        carried: (u64, bool, bool),
    },
}

#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Answer {
    Accept,
    Refuse { code: String, detail: String, burned: Option<u16> },
    Done(Done),
    Asking,
}

#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Done {
    Signed { signatures: Vec<Signature>, quorum: Vec<String> },
    Created { key: String },
}

pub(crate) type Signature = ([u8; 64], Option<u8>);

#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Outcome {
    Signed { signatures: Vec<Signature>, receipt: Option<String> },
    Created { public_key: Vec<u8> },
    Active,
    Failed { code: String, detail: String, burned: Option<u16> },
}

/// What a node that is not asked to take part says about an operation.
pub(crate) enum Claim {
    Running,
    Result,
    Another(Vec<u8>),
}

/// Node c, taken over: its identity and its share in our hands.
pub(crate) struct Traitor {
    pub(crate) network: Network,
    pub(crate) control: ControlReceiver,
    pub(crate) secrets: Unsealed,
    next: u8,
    /// What came in the session that it cheated in last.
    cheated: Option<([u8; 32], Mailbox)>,
    /// Whether it heard of that more than of an honest run.
    heard: bool,
}

impl Traitor {
    /// Stops a node of the cluster and takes its place.
    pub(crate) async fn replace(cluster: &mut Cluster, at: usize) -> Self {
        cluster.stop(at).await;
        Self::in_place_of(cluster, at).await
    }

    /// Takes the place of a node that is stopped.
    pub(crate) async fn in_place_of(cluster: &Cluster, at: usize) -> Self {
        let secrets = unseal(&cluster.configs[at].data).await;
        let others: Vec<usize> = (0..cluster.configs.len()).filter(|other| *other != at).collect();
        let peers = others.iter().map(|other| Peer {
            id: cluster.identities[*other],
            name: cluster.configs[*other].name.clone(),
            address: cluster.configs[*other].listen.peers.to_string(),
        });
        let limits = roomy();
        let config = NetConfig {
            identity: IdentityKey::from_seed(Zeroizing::new(secrets.identity_seed)),
            listen: cluster.configs[at].listen.peers,
            peers: peers.collect(),
            limits,
        };
        let network = Network::start(config).await.unwrap();
        let there = others.iter().filter(|other| cluster.nodes[**other].is_some());
        let ids: Vec<PeerId> = there.map(|other| cluster.identities[*other]).collect();
        network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();
        let control = network.control().unwrap();
        Self { network, control, secrets, next: 0, cheated: None, heard: false }
    }

    /// Answers what is proposed next.
    async fn answer_next(&mut self, answer: Answer, within: Duration) -> bool {
        let until = tokio::time::Instant::now() + within;
        while let Ok(Some((from, bytes))) = tokio::time::timeout_at(until, self.control.recv()).await {
            if let Control::Propose(proposal) = read(&bytes) {
                self.send(from, &Control::Answer { ceremony: proposal.ceremony, answer }).await;
                return true;
            }
        }
        false
    }

    /// Accepts what was proposed.
    pub(crate) async fn accept(&self, to: PeerId, ceremony: [u8; 32]) {
        self.send(to, &Control::Answer { ceremony, answer: Answer::Accept }).await;
    }

    /// What is proposed next, and not answered yet: its ceremony and the request of the client.
    pub(crate) async fn next_proposal(&mut self, within: Duration) -> Option<([u8; 32], Vec<u8>)> {
        let until = tokio::time::Instant::now() + within;
        loop {
            let (_, bytes) = tokio::time::timeout_at(until, self.control.recv()).await.ok()??;
            if let Control::Propose(proposal) = read(&bytes) {
                return Some((proposal.ceremony, proposal.request));
            }
        }
    }

    /// Whether a proposal is called off within this time.
    pub(crate) async fn is_called_off(&mut self, ceremony: [u8; 32], within: Duration) -> bool {
        let until = tokio::time::Instant::now() + within;
        while let Ok(Some((_, bytes))) = tokio::time::timeout_at(until, self.control.recv()).await {
            if matches!(read(&bytes), Control::Cancel { ceremony: about } if about == ceremony) {
                return true;
            }
        }
        false
    }

    /// Claims something about the operation that it is asked about next.
    pub(crate) async fn claim_next(&mut self, claim: Claim, within: Duration) -> bool {
        let until = tokio::time::Instant::now() + within;
        while let Ok(Some((from, bytes))) = tokio::time::timeout_at(until, self.control.recv()).await {
            if let Control::Recall { ceremony, .. } = read(&bytes) {
                let signatures = vec![([7; 64], None)];
                let known = match claim {
                    Claim::Running => Known::Running,
                    Claim::Result => {
                        Known::Done(Done::Signed { signatures, quorum: vec!["node-b".to_owned()] })
                    }
                    Claim::Another(request) => Known::Another(request),
                };
                self.send(from, &Control::Recalled { ceremony, known }).await;
                return true;
            }
        }
        false
    }

    /// Answers the next question for a receipt.
    pub(crate) async fn prove_next(&mut self, receipt: Option<String>, within: Duration) -> bool {
        let until = tokio::time::Instant::now() + within;
        while let Ok(Some((from, bytes))) = tokio::time::timeout_at(until, self.control.recv()).await {
            if let Control::Prove { ticket, .. } = read(&bytes) {
                self.send(from, &Control::Proven { ticket, receipt }).await;
                return true;
            }
        }
        false
    }

    /// Claims that it carried out the order of a request, with a receipt that proves it, or not.
    pub(crate) async fn hand_out(&self, to: PeerId, request: &[u8], receipt: Option<&str>) {
        self.send(to, &Control::OrdersUpTo { newest: 1 }).await;
        let orders = vec![(request.to_vec(), receipt.map(str::to_owned))];
        self.send(to, &Control::Orders { orders, upto: 1 }).await;
    }

    pub(crate) async fn call_off(&self, to: PeerId, ceremony: [u8; 32]) {
        self.send(to, &Control::Cancel { ceremony }).await;
    }

    /// How often it was asked what it knows.
    pub(crate) async fn recalls(&mut self) -> usize {
        let mut count = 0;
        while let Ok(Some((_, bytes))) = timeout(Duration::from_millis(200), self.control.recv()).await {
            count += usize::from(matches!(read(&bytes), Control::Recall { .. }));
        }
        count
    }

    /// Forgets what came so far.
    pub(crate) async fn drain(&mut self) {
        while timeout(Duration::from_millis(200), self.control.recv()).await.is_ok() {}
    }

    /// Accepts what is proposed next and does nothing about it, until it is called off.
    pub(crate) async fn accept_only(&mut self, within: Duration) -> bool {
        let until = tokio::time::Instant::now() + within;
        let mut accepted = None;
        while let Ok(Some((from, bytes))) = tokio::time::timeout_at(until, self.control.recv()).await {
            match read(&bytes) {
                Control::Propose(proposal) => {
                    accepted = Some(proposal.ceremony);
                    let (ceremony, answer) = (proposal.ceremony, Answer::Accept);
                    self.send(from, &Control::Answer { ceremony, answer }).await;
                }
                Control::Cancel { ceremony } if accepted == Some(ceremony) => return true,
                _ => {}
            }
        }
        false
    }

    fn ceremony(&mut self) -> [u8; 32] {
        self.next += 1;
        [self.next; 32]
    }

    /// Proposes and gives the answer; `None` if there is none.
    pub(crate) async fn propose(
        &mut self,
        to: PeerId,
        request: Vec<u8>,
        work: Work,
    ) -> ([u8; 32], Option<Answer>) {
        let ceremony = self.ceremony();
        self.send(
            to,
            &Control::Propose(Proposal {
                ceremony,
                attempt: 1,
                request,
                rulings: Vec::new(),
                source: None,
                work,
            }),
        )
        .await;
        loop {
            let Ok(received) = timeout(Duration::from_secs(5), self.control.recv()).await else {
                return (ceremony, None);
            };
            let (from, bytes) = received.unwrap();
            assert_eq!(bytes[0], 4);
            match read(&bytes) {
                Control::Answer { ceremony: about, answer } if about == ceremony && from == to => {
                    return (ceremony, Some(answer));
                }
                _ => {}
            }
        }
    }

    pub(crate) async fn ended(&mut self, ceremony: [u8; 32], within: Duration) -> Option<Outcome> {
        let until = tokio::time::Instant::now() + within;
        loop {
            let (_, bytes) = tokio::time::timeout_at(until, self.control.recv()).await.ok()??;
            if let Control::Ended { ceremony: about, outcome } = read(&bytes)
                && about == ceremony
            {
                return Some(outcome);
            }
        }
    }
}

#[expect(clippy::field_reassign_with_default, reason = "the struct is non-exhaustive")]
fn roomy() -> quorate_net::Limits {
    let mut limits = quorate_net::Limits::default();
    limits.max_frame = 2 << 20;
    limits.inbox_frames = 100_000;
    limits
}

async fn message_key(cluster: &Cluster) -> KeyId {
    cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await.id
}

impl Traitor {
    /// Proposes to sign with its own share, and cheats in the check against the long-lived set-up; then, if asked to, calls the
    /// attempt off at once. Gives how the other's part ended.
    pub(crate) async fn cheat(&mut self, cluster: &Cluster, key: &KeyId, call_off: bool) -> Option<Outcome> {
        let request = sign_request(key, &message("cheat"), CLIENT, now() + 60, &unique("cheat"));
        self.cheat_over(cluster, key, &request.sign(&client_key(1)), &["cheat"], call_off).await
    }

    /// The same over a request for all of these, in the last of its sessions.
    pub(crate) async fn cheat_over(
        &mut self,
        cluster: &Cluster,
        key: &KeyId,
        request: &SignedRequest,
        texts: &[&str],
        call_off: bool,
    ) -> Option<Outcome> {
        let honest = cluster.identities[0];
        let (ceremony, answer) =
            self.propose(honest, request.encode(), Work::Sign { quorum: vec![1, 3], epoch: 0 }).await;
        assert_eq!(answer, Some(Answer::Accept));
        let hash = request.request_hash();
        let proposed = Proposed { request: &hash, coordinator: cluster.identities[2], ceremony: &ceremony };
        let (session, frame) = self.last_session(key, proposed, texts, self.next).await;
        let committee = self.secp256k1(key).public().quorum(&[index(1), index(3)]).unwrap();
        self.cheat_with(honest, ceremony, session.into(), &committee, spoiled(frame)).await;
        if call_off {
            self.send(honest, &Control::Cancel { ceremony }).await;
        }
        self.ended(ceremony, Duration::from_secs(12)).await
    }

    /// Accepts what the first node proposes next, which is to sign this text with it, and cheats. Gives whether it was told that it failed.
    pub(crate) async fn cheat_as_member(&mut self, cluster: &Cluster, key: &KeyId, text: &str) -> bool {
        let coordinator = cluster.identities[0];
        let Some((ceremony, request)) = self.next_proposal(Duration::from_secs(12)).await else {
            return false;
        };
        let hash = SignedRequest::decode(&request).unwrap().request_hash();
        let proposed = Proposed { request: &hash, coordinator, ceremony: &ceremony };
        let (session, frame) = self.last_session(key, proposed, &[text], self.next).await;
        let committee = self.secp256k1(key).public().quorum(&[index(1), index(3)]).unwrap();
        self.accept(coordinator, ceremony).await;
        self.cheat_with(coordinator, ceremony, session.into(), &committee, spoiled(frame)).await;
        self.hears_of_it(Duration::from_secs(12)).await
    }

    /// Sends a spoiled frame in a session, and keeps what comes back in it.
    pub(crate) async fn cheat_with(
        &mut self,
        to: PeerId,
        ceremony: [u8; 32],
        session: SessionTag,
        committee: &Committee,
        frame: Vec<u8>,
    ) {
        let mailbox = self.network.open(session, &Routes::of(committee).members()).unwrap();
        (self.cheated, self.heard) = (Some((ceremony, mailbox)), false);
        self.network.send(to, session, frame.into()).await.unwrap();
    }

    /// The attempt it cheated in last.
    pub(crate) fn cheated(&self) -> [u8; 32] {
        self.cheated.as_ref().unwrap().0
    }

    /// Whether anything came, or comes within a moment, of what it cheated in last but the frames of an honest run.
    pub(crate) async fn hears_of_it(&mut self, within: Duration) -> bool {
        let (ceremony, until) = (self.cheated(), tokio::time::Instant::now() + within);
        while !self.heard
            && let Ok(Some((_, bytes))) = tokio::time::timeout_at(until, self.control.recv()).await
        {
            self.heard = match read(&bytes) {
                Control::Ended { ceremony: about, .. } | Control::Cancel { ceremony: about } => {
                    about == ceremony
                }
                _ => false,
            };
        }
        let (_, mailbox) = self.cheated.as_mut().unwrap();
        while let Ok(Some((_, frame))) = timeout(Duration::from_millis(100), mailbox.recv()).await {
            self.heard |= is_abort(&frame);
        }
        self.heard
    }

    /// Whether it was told, or is within a moment, that the session it cheated in last was aborted. What it was told before by way of
    /// [`ended`](Self::ended) is not counted again.
    pub(crate) async fn was_told(&mut self) -> bool {
        let told = self.cheated.is_some() && self.hears_of_it(Duration::from_millis(300)).await;
        self.cheated = None;
        told
    }
}

/// The last bytes of a first frame are those of the digest that the OT extension is checked with.
fn spoiled(mut frame: Vec<u8>) -> Vec<u8> {
    *frame.last_mut().unwrap() ^= 1;
    frame
}

/// covers: A1, A2: one failed check burns the pair for ever, even if the cheater calls the attempt off while it is being checked; and
/// it is not told which check failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_check_burns_the_pair_durably() {
    let mut cases = 0;
    for call_off in [false, true] {
        let mut cluster = Cluster::start(3).await;
        let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await.id;
        let mut traitor = Traitor::replace(&mut cluster, 2).await;
        let ended = traitor.cheat(&cluster, &key, call_off).await;
        match ended {
            Some(Outcome::Failed { detail, .. }) => {
                let lower = detail.to_lowercase();
                assert!(!lower.contains("extension") && !lower.contains("burn"), "{detail}");
            }
            other => panic!("{other:?}"),
        }
        // The burn may still be on its way to the disk if the attempt was called off first.
        let good = || {
            let request = sign_request(&key, &message("again"), CLIENT, now() + 60, &unique("again"));
            request.sign(&client_key(1)).encode()
        };
        let honest = cluster.identities[0];
        let mut answers = Vec::new();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let (ceremony, answer) =
                traitor.propose(honest, good(), Work::Sign { quorum: vec![1, 3], epoch: 0 }).await;
            traitor.send(honest, &Control::Cancel { ceremony }).await;
            let refused = matches!(&answer, Some(Answer::Refuse { code, .. }) if code == "key_burned");
            answers.push(answer);
            if refused {
                break;
            }
        }
        match answers.last() {
            Some(Some(Answer::Refuse { code, burned, .. })) => {
                assert_eq!((code.as_str(), *burned), ("key_burned", Some(3)));
            }
            other => panic!("{other:?}"),
        }
        let told = crate::events::kept(&cluster, 0).await;
        let told: Vec<_> = told.iter().filter(|event| event.kind == EventKind::PairBurned).collect();
        assert_eq!(told.len(), 1, "one event for both directions");
        assert_eq!((told[0].key.as_ref(), told[0].peer.as_deref()), (Some(&key), Some("node-c")));
        // On record too, without the name of the check: both directions, in the commits of their marks.
        let logged = crate::receipts::entries(&cluster, 0).await;
        let burns: Vec<_> = logged.iter().filter(|entry| entry.kind() == Kind::Burn).collect();
        assert_eq!(burns.len(), 2);
        for burn in burns {
            assert_eq!(burn.key_id().unwrap().as_str(), key.as_str());
            let body = String::from_utf8(burn.body().to_vec()).unwrap();
            assert!(body.contains("\"node\":\"node-c\"") && !body.contains("check"), "{body}");
        }
        // Also after a restart, and the others go on.
        cluster.stop(0).await;
        cluster.start_node(0).await;
        let ids = [cluster.identities[0], cluster.identities[1]];
        traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();
        let (_, answer) = traitor.propose(honest, good(), Work::Sign { quorum: vec![1, 3], epoch: 0 }).await;
        assert!(matches!(answer, Some(Answer::Refuse { code, .. }) if code == "key_burned"));
        assert_eq!(cluster.sign(0, &key, "with b").await.unwrap().quorum, ["node-a", "node-b"]);
        cases += 1;
    }
    assert_eq!(cases, 2);
}

/// What a member claims is verified: results that are none, refusals that try to look like something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_member_is_passed_over() {
    let mut cluster = Cluster::forgetful(3).await;
    let key = message_key(&cluster).await;
    let mut traitor = Traitor::replace(&mut cluster, 1).await;
    let answers = [
        Answer::Done(Done::Signed { signatures: vec![([7; 64], None)], quorum: vec!["node-b".to_owned()] }),
        Answer::Done(Done::Signed { signatures: Vec::new(), quorum: Vec::new() }),
        Answer::Done(Done::Created { key: "key_00".to_owned() }),
        Answer::Refuse {
            code: "no such code".to_owned(),
            detail: "\u{1b}[2J\nok".repeat(500),
            burned: Some(1),
        },
        Answer::Refuse { code: "internal".to_owned(), detail: String::new(), burned: Some(77) },
    ];
    let count = answers.len();
    for answer in answers {
        traitor.drain().await;
        let text = unique("lied to");
        let (answered, result) =
            tokio::join!(traitor.answer_next(answer, Duration::from_secs(10)), cluster.sign(0, &key, &text));
        let result = result.unwrap();
        assert!(answered);
        assert_eq!(result.quorum, ["node-a", "node-c"]);
        assert_eq!(result.skipped.len(), 1);
        let reason = &result.skipped[0].reason;
        assert!(reason.len() < 3000 && !reason.chars().any(char::is_control), "{reason:?}");
    }
    assert_eq!(count, 5);
}

/// covers: S22, S23: whatever a coordinator says, a member goes by the request, its own records and its own configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_coordinator_is_refused() {
    let mut cluster = Cluster::start(3).await;
    let key = message_key(&cluster).await;
    let operations = |page: quorate_api::Page<quorate_api::Operation>| page.items.len();
    let list = ListQuery { limit: 200, after: None };
    let before = operations(cluster.client(0).operations(&list).await.unwrap());
    let mut traitor = Traitor::replace(&mut cluster, 2).await;
    let honest = cluster.identities[0];
    let own = client_key(1);
    let other = client_key(2);
    let request = || sign_request(&key, &message("pay bob"), CLIENT, now() + 60, &unique("lie"));
    let good = || request().sign(&own).encode();
    let post = |path: &str, body: Vec<u8>| {
        Request::new(Method::Post, path, CLIENT, now() + 60, unique("lie"), body).unwrap().sign(&own).encode()
    };
    let named = Sign { quorum: Some(vec!["node-a".to_owned(), "node-b".to_owned()]), ..message("pay bob") };
    let digest = Sign { intent: Intent::RawDigest { digest: "11".repeat(32) }, path: None, quorum: None };
    let solana =
        Sign { intent: Intent::SolanaMessage { message: "AAAA".to_owned() }, path: None, quorum: None };
    let signed =
        |sign: &Sign| sign_request(&key, sign, CLIENT, now() + 60, &unique("lie")).sign(&own).encode();
    let moved = {
        let signed = request().sign(&own);
        let body = serde_json::to_vec(&message("pay mallory")).unwrap();
        let path = signed.path_and_query().to_owned();
        let once = signed.idempotency_key().to_owned();
        Request::new(Method::Post, path, CLIENT, signed.expires(), once, body)
            .unwrap()
            .with_signature(signed.signature().clone())
            .encode()
    };
    let trailing = [good(), vec![0]].concat();
    let get =
        Request::new(Method::Get, "/v1/keys", CLIENT, now() + 60, "", vec![]).unwrap().sign(&own).encode();
    let create = serde_json::to_vec(&create_key(Scheme::Ed25519, 2, None)).unwrap();
    let create = || post("/v1/keys", create.clone());
    let ids: Vec<[u8; 32]> = cluster.identities.iter().map(|id| *id.as_bytes()).collect();
    let member = |index: u16, at: usize, id: usize| (index, cluster.configs[at].name.clone(), ids[id]);
    let all = vec![member(1, 0, 0), member(2, 1, 1), member(3, 2, 2)];
    let two = || Work::Sign { quorum: vec![1, 3], epoch: 0 };
    let quorum = |quorum: &[u16]| Work::Sign { quorum: quorum.to_vec(), epoch: 0 };
    let cases: Vec<(&str, Vec<u8>, Work, &str)> = vec![
        ("everybody", good(), quorum(&[1, 2, 3]), "unprocessable"),
        ("too few", good(), quorum(&[1]), "unprocessable"),
        ("nobody", good(), quorum(&[]), "unprocessable"),
        ("somebody twice", good(), quorum(&[1, 1]), "unprocessable"),
        ("a stranger", good(), quorum(&[1, 9]), "unprocessable"),
        ("without the member", good(), quorum(&[2, 3]), "unprocessable"),
        ("not the one asked for", signed(&named), two(), "unprocessable"),
        ("another body", moved, two(), "signature_invalid"),
        ("another signer", request().sign(&other).encode(), two(), "signature_invalid"),
        ("no signature", request().with_signature([0; 64]).encode(), two(), "signature_invalid"),
        (
            "a stranger's request",
            sign_request(&key, &message("x"), "mallory", now() + 60, "m").sign(&own).encode(),
            two(),
            "unknown_client",
        ),
        (
            "an old request",
            sign_request(&key, &message("x"), CLIENT, now() - 5, &unique("lie")).sign(&own).encode(),
            two(),
            "request_expired",
        ),
        (
            "a request for later",
            sign_request(&key, &message("x"), CLIENT, now() + 90_000, &unique("lie")).sign(&own).encode(),
            two(),
            "expiry_too_far",
        ),
        (
            "a key that is not",
            sign_request(&KeyId::from_bytes([3; 16]), &message("x"), CLIENT, now() + 60, &unique("lie"))
                .sign(&own)
                .encode(),
            two(),
            "not_found",
        ),
        ("a purpose the key has not", signed(&solana), two(), "purpose_not_allowed"),
        ("a digest", signed(&digest), two(), "purpose_not_allowed"),
        ("a read", get, two(), "not_found"),
        ("a creation as signing", create(), two(), "invalid_request"),
        ("a signing as creation", good(), Work::Create { members: all.clone() }, "invalid_request"),
        ("bytes", vec![0xff; 100], two(), "invalid_request"),
        ("nothing", Vec::new(), two(), "invalid_request"),
        ("a byte more", trailing, two(), "invalid_request"),
        (
            "fewer parties",
            create(),
            Work::Create { members: vec![member(1, 0, 0), member(2, 2, 2)] },
            "unprocessable",
        ),
        (
            "another's identity",
            create(),
            Work::Create { members: vec![member(1, 0, 0), member(2, 1, 2), member(3, 2, 1)] },
            "unprocessable",
        ),
        (
            "one identity twice",
            create(),
            Work::Create { members: vec![member(1, 0, 0), member(2, 1, 2), member(3, 2, 2)] },
            "unprocessable",
        ),
        (
            "one party twice",
            create(),
            Work::Create { members: vec![member(1, 0, 0), member(2, 2, 2), member(3, 2, 2)] },
            "unprocessable",
        ),
        (
            "numbers of its own",
            create(),
            Work::Create { members: vec![member(1, 0, 0), member(2, 1, 1), member(7, 2, 2)] },
            "unprocessable",
        ),
    ];
    let count = cases.len();
    for (name, request, work, code) in cases {
        let (_, answer) = traitor.propose(honest, request, work).await;
        match answer {
            Some(Answer::Refuse { code: found, detail, .. }) => {
                assert_eq!(found, code, "{name}: {detail}");
                assert!(!detail.is_empty(), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(count, 27);
    let after = operations(cluster.client(0).operations(&list).await.unwrap());
    assert_eq!(after, before, "what is refused leaves no operation behind");
    // The same node answers an honest proposal of the same coordinator.
    let (ceremony, answer) = traitor.propose(honest, good(), two()).await;
    assert_eq!(answer, Some(Answer::Accept));
    traitor.send(honest, &Control::Cancel { ceremony }).await;
    assert!(matches!(traitor.ended(ceremony, Duration::from_secs(5)).await, Some(Outcome::Failed { .. })));
    cluster.sign(0, &key, "and life goes on").await.unwrap();
}

/// covers: S22: the coordinator proposes one message and runs the protocol on another, under the right name of the session; or proposes
/// one path below the key and runs the protocol with another, under the one name or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_signed_is_what_was_asked() {
    let mut cluster = Cluster::start(3).await;
    let key = message_key(&cluster).await;
    let mut traitor = Traitor::replace(&mut cluster, 2).await;
    let honest = cluster.identities[0];
    let asked = |path: &str| {
        let sign = Sign { path: Some(path.parse().unwrap()), ..message("pay bob") };
        sign_request(&key, &sign, CLIENT, now() + 60, &unique("swap")).sign(&client_key(1))
    };
    let requests: [SignedRequest; 2] = [asked("m"), asked("m/0/1")];
    let mut cases = 0;
    for (asked, text, named, used, works) in [
        (0, "pay mallory", "m", "m", false),
        (0, "pay bob", "m", "m", true),
        (1, "pay bob", "m/0/2", "m/0/2", false),
        (1, "pay bob", "m/0/1", "m/0/2", false),
        (1, "pay bob", "m/0/1", "m", false),
        (1, "pay bob", "m/0/1", "m/0/1", true),
    ] {
        let work = Work::Sign { quorum: vec![1, 3], epoch: 0 };
        let (ceremony, answer) = traitor.propose(honest, requests[asked].encode(), work).await;
        assert_eq!(answer, Some(Answer::Accept));
        let share = traitor.secrets.keys[0].share::<Ed25519>().unwrap();
        let quorum = share.public().quorum(&[index(1), index(3)]).unwrap();
        // What the name of the session says, and what the share is of.
        let [named, used] = [named, used].map(|path| path.parse::<DerivationPath>().unwrap());
        let public_key = share.public().derived(named.numbers()).unwrap().public_key.to_bytes();
        let asked = Asked {
            request: &requests[asked].request_hash(),
            coordinator: cluster.identities[2],
            attempt: 1,
            ceremony: &ceremony,
            content: b"pay bob",
            path: &named.to_string(),
            public_key: &public_key,
        };
        let share = share.derive(used.numbers()).unwrap();
        let session = asked.session(&share, "frost-ed25519", &quorum);
        let start = |params| quorate_frost::sign_ed25519(params, &share, text.as_bytes().to_vec()).unwrap();
        let signed = traitor.run(session, 3, &quorum, start, Duration::from_secs(5)).await;
        let ended = traitor.ended(ceremony, Duration::from_secs(12)).await;
        if works {
            assert!(signed.is_some());
            assert!(matches!(ended, Some(Outcome::Signed { .. })), "{ended:?}");
        } else {
            assert!(signed.is_none(), "no signature over what nobody asked for");
            assert!(matches!(ended, Some(Outcome::Failed { .. })), "{ended:?}");
        }
        cases += 1;
    }
    assert_eq!(cases, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_bogus_proposals_cost_little() {
    let mut cluster = Cluster::start(3).await;
    let key = message_key(&cluster).await;
    let mut traitor = Traitor::replace(&mut cluster, 2).await;
    let honest = cluster.identities[0];
    let before = cluster.client(0).operations(&ListQuery { limit: 200, after: None }).await.unwrap();
    let begun = Instant::now();
    let forged = sign_request(&key, &message("bogus"), CLIENT, now() + 60, "bogus").with_signature([9; 64]);
    let request = forged.encode();
    let mut sent = 0_u32;
    for number in 0..10_000_u32 {
        let mut ceremony = [0; 32];
        ceremony[..4].copy_from_slice(&number.to_le_bytes());
        let work = Work::Sign { quorum: vec![1, 3], epoch: 0 };
        let proposal = Proposal {
            ceremony,
            attempt: number,
            request: request.clone(),
            rulings: Vec::new(),
            source: None,
            work,
        };
        traitor.send(honest, &Control::Propose(proposal)).await;
        sent += 1;
    }
    assert_eq!(sent, 10_000);
    // Meanwhile the others sign.
    let result = cluster.sign(0, &key, "in the middle of it").await.unwrap();
    assert_eq!(result.quorum, ["node-a", "node-b"]);
    // Every proposal is refused or dropped, never kept.
    let mut refused = 0_u32;
    while let Ok(Some((_, bytes))) = timeout(Duration::from_secs(1), traitor.control.recv()).await {
        if let Control::Answer { answer: Answer::Refuse { code, .. }, .. } = read(&bytes) {
            assert_eq!(code, "signature_invalid");
            refused += 1;
        }
    }
    assert!(refused > 0 && refused <= sent, "{refused} refused");
    let after = cluster.client(0).operations(&ListQuery { limit: 200, after: None }).await.unwrap();
    assert_eq!(after.items.len(), before.items.len() + 1, "only the honest one is there");
    assert!(begun.elapsed() < Duration::from_secs(60));
    // The proposer, who flooded, is still served afterwards: its bound is on what is open, not for ever.
    let good = sign_request(&key, &message("good"), CLIENT, now() + 60, &unique("good")).sign(&client_key(1));
    let (_, answer) =
        traitor.propose(honest, good.encode(), Work::Sign { quorum: vec![1, 3], epoch: 0 }).await;
    assert_eq!(answer, Some(Answer::Accept));
}

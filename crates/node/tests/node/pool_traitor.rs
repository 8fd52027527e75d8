//! A node that has its part of presignatures and turns against the others, as member and as owner.

use std::sync::Arc;
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::intent::Scheme;
use quorate_api::{Code, Fault, Key, Problem, Sign, SignedRequest};
use quorate_ecdsa::presign::{Presignature, Verified};
use quorate_ecdsa::{PairwiseSetup, Signature, online, presign};
use quorate_keys::share::KeyShare;
use quorate_net::PeerId;
use quorate_node::{proofs_of_running, readmit_at_running};
use quorate_protocol::curve::{Scalar, Secp256k1};
use quorate_protocol::party::{Committee, IdentityKey};
use quorate_protocol::session::{Params, SessionId};
use tokio::time::{sleep, timeout};

use crate::byzantine::Traitor;
use crate::cluster::{CLIENT, Cluster, WAIT, client_key, message, now, problem, signed, unique};
use crate::pool::{destroyed, for_others, message_key, ready, small, used, wait_ready};
use crate::requests::sign_request;
use crate::traitor::{decode, index, sha256};

mod copied;
mod kill;

// The control messages that matter here, as another program would write them.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
enum Control {
    Propose(Proposal) = 0,
    Answer { ceremony: [u8; 32], answer: Answer } = 1,
    Ended { ceremony: [u8; 32], outcome: Outcome } = 2,
    Cancel { ceremony: [u8; 32] } = 3,
    Recall { ceremony: [u8; 32], operation: String, fingerprint: [u8; 32] } = 5,
    Recalled { ceremony: [u8; 32], known: Known } = 6,
    Go { ceremony: [u8; 32], fresh: Vec<[u8; 32]> } = 35,
}

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
enum Known {
    Nothing,
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
    Presign { key: String, quorum: Vec<u16>, epoch: u64, count: u16, left: Vec<[u8; 32]> } = 6,
    Spend { quorum: Vec<u16>, epoch: u64, presignatures: Vec<[u8; 32]> } = 7,
}

#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
enum Answer {
    Accept = 0,
    Refuse { code: String, detail: String, burned: Option<u16> } = 1,
    Done(Done) = 2,
    Ready { fresh: [u8; 32] } = 4,
    Spent = 5,
}

#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
enum Outcome {
    Signed { signatures: Vec<([u8; 64], Option<u8>)>, receipt: Option<String> } = 0,
    Failed { code: String, detail: String, burned: Option<u16> } = 3,
    Kept = 8,
}

#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
enum Done {
    Signed { signatures: Vec<([u8; 64], Option<u8>)>, quorum: Vec<String> },
}

type Part = Presignature<Secp256k1, Verified>;

/// Node c, with its share.
struct Helper {
    traitor: Traitor,
    share: KeyShare<Secp256k1>,
    setup: Arc<PairwiseSetup<Secp256k1>>,
    honest: PeerId,
    me: PeerId,
    next: u8,
}

impl Helper {
    async fn replace(cluster: &mut Cluster) -> Self {
        let traitor = Traitor::replace(cluster, 2).await;
        let own = &traitor.secrets.keys[0];
        let (share, setup) = (own.share().unwrap(), own.opened_setup());
        let (honest, me) = (cluster.identities[0], cluster.identities[2]);
        Self { traitor, share, setup, honest, me, next: 0x80 }
    }

    fn quorum(&self) -> Committee {
        self.share.public().quorum(&[index(1), index(3)]).unwrap()
    }

    async fn send(&self, message: &Control) {
        self.traitor.send(self.honest, message).await;
    }

    /// What the honest node says next, of what matters here.
    async fn hear(&mut self) -> Control {
        loop {
            let (from, bytes) =
                timeout(Duration::from_secs(20), self.traitor.control.recv()).await.unwrap().unwrap();
            match decode(&bytes) {
                // It keeps nothing, and a node that began again asks first.
                Some(Control::Recall { ceremony, .. }) => {
                    let known = Known::Nothing;
                    self.traitor.send(from, &Control::Recalled { ceremony, known }).await;
                }
                Some(message) if from == self.honest => return message,
                _ => {}
            }
        }
    }

    async fn proposal(&mut self) -> Proposal {
        loop {
            if let Control::Propose(proposal) = self.hear().await {
                return proposal;
            }
        }
    }

    async fn answer(&self, ceremony: [u8; 32], answer: Answer) {
        self.send(&Control::Answer { ceremony, answer }).await;
    }

    async fn propose(&mut self, request: Vec<u8>, work: Work) -> ([u8; 32], Answer) {
        self.next += 1;
        let ceremony = [self.next; 32];
        let (rulings, source) = (Vec::new(), None);
        self.send(&Control::Propose(Proposal { ceremony, attempt: 1, request, rulings, source, work })).await;
        loop {
            if let Control::Answer { ceremony: about, answer } = self.hear().await
                && about == ceremony
            {
                return (ceremony, answer);
            }
        }
    }

    async fn ended(&mut self, ceremony: [u8; 32]) -> Outcome {
        loop {
            if let Control::Ended { ceremony: about, outcome } = self.hear().await
                && about == ceremony
            {
                return outcome;
            }
        }
    }

    async fn run<O: Send + 'static>(
        &self,
        session: SessionId,
        start: impl FnOnce(Params) -> quorate_protocol::session::Session<O>,
    ) -> Option<O> {
        self.traitor.run(session, 3, &self.quorum(), start, Duration::from_secs(20)).await
    }

    /// Runs the session that makes presignatures.
    async fn make(&self, coordinator: PeerId, ceremony: [u8; 32], count: u16) -> Vec<Part> {
        let bindings: [(&'static str, &[u8]); 3] =
            [("coordinator", coordinator.as_bytes()), ("nonce", &ceremony), ("count", &count.to_le_bytes())];
        let session = self.share.public().session_id("ecdsa-presign", &self.quorum(), &bindings);
        let start =
            |params| presign::start(params, &self.share, Arc::clone(&self.setup), count, Verified).unwrap();
        self.run(session, start).await.unwrap()
    }

    /// Honestly helps to fill the pool of the honest node for both; refuses what else it is asked.
    async fn help(&mut self) -> Vec<Part> {
        loop {
            let proposal = self.proposal().await;
            let ceremony = proposal.ceremony;
            let Work::Presign { count, left, .. } = proposal.work else {
                assert!(
                    !matches!(proposal.work, Work::Spend { .. }),
                    "a pool that is filled has none to spend"
                );
                let (code, detail) = ("unavailable".to_owned(), "not now".to_owned());
                self.answer(ceremony, Answer::Refuse { code, detail, burned: None }).await;
                continue;
            };
            assert!(left.is_empty());
            self.answer(ceremony, Answer::Accept).await;
            let made = self.make(self.honest, ceremony, count).await;
            self.send(&Control::Ended { ceremony, outcome: Outcome::Kept }).await;
            return made;
        }
    }

    /// Makes some of its own with the honest node.
    async fn fill(&mut self, key: &Key, count: u16, left: Vec<[u8; 32]>) -> Vec<Part> {
        let work = Work::Presign { key: key.id.to_string(), quorum: vec![1, 3], epoch: 0, count, left };
        let (ceremony, answer) = self.propose(Vec::new(), work).await;
        assert_eq!(answer, Answer::Accept);
        let made = self.make(self.me, ceremony, count).await;
        assert_eq!(self.ended(ceremony).await, Outcome::Kept);
        made
    }

    /// Signs with a presignature as it is asked to, or with a wrong half of it.
    async fn spend(&mut self, proposal: &Proposal, part: Part, wrong: bool) -> Option<Signature> {
        let (ceremony, fresh) = (proposal.ceremony, [7; 32]);
        self.answer(ceremony, Answer::Ready { fresh }).await;
        let all = loop {
            match self.hear().await {
                Control::Go { ceremony: about, fresh } if about == ceremony => break fresh,
                Control::Cancel { .. } => return None,
                _ => {}
            }
        };
        assert_eq!((all.len(), all[1]), (2, fresh), "in the order of the parties");
        let part = if wrong {
            // What is secret of it stands before u and two points for each of the two parties: φ, then v.
            let mut bytes = part.into_secret_bytes().to_vec();
            let v = bytes.len() - (32 + 2 * 2 * 33) - 1;
            bytes[v] ^= 1;
            Part::from_secret_bytes(&bytes).unwrap()
        } else {
            part
        };
        self.online(self.honest, proposal, &all, part).await
    }

    /// Runs the session that signs with a presignature, for the request of a proposal of a coordinator.
    async fn online(
        &self,
        coordinator: PeerId,
        proposal: &Proposal,
        all: &[[u8; 32]],
        part: Part,
    ) -> Option<Signature> {
        let request = SignedRequest::decode(&proposal.request).unwrap();
        let mut hash = blake3::Hasher::new_derive_key("quorate 2026 node approval of a presignature v1");
        hash.update(&request.request_hash()).update(coordinator.as_bytes()).update(&proposal.ceremony);
        hash.update(&proposal.attempt.to_le_bytes())
            .update(&0_u32.to_le_bytes())
            .update(&2_u64.to_le_bytes());
        hash.update(&all[0]).update(&all[1]).update(b"m");
        let request = online::Request {
            digest: sha256(b"from the pool"),
            tweak: Scalar::ZERO(),
            public_key: self.share.public().public_key(),
            rho: *hash.finalize().as_bytes(),
        };
        let session = part.place().session_id(&request);
        let epoch = self.share.public().epoch_id();
        self.run(session, |params| online::start(params, part, &epoch, request).unwrap()).await
    }
}

/// Three nodes, of which b is stopped and c is taken over; a has its pool full with c.
async fn filled() -> (Cluster, Key, Helper, Vec<Part>) {
    let mut cluster = Cluster::prepare(3).await;
    for config in &mut cluster.configs {
        config.pool = small();
        config.pool.low = 1;
        // The honest node takes a while to fill its pool again, so that nothing comes in between.
        config.pool.quiet = Duration::from_millis(300);
        config.limits.answer_deadline = Duration::from_secs(10);
    }
    cluster.start_all().await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    let mut helper = Helper::replace(&mut cluster).await;
    cluster.stop(1).await;
    while cluster.nodes[0].as_ref().unwrap().connected().contains(&"node-b".to_owned()) {
        sleep(Duration::from_millis(20)).await;
    }
    let (failed, parts) = tokio::join!(cluster.sign(0, &key.id, "nobody helps"), helper.help());
    failed.unwrap_err();
    wait_ready(&cluster, 0, 4).await;
    assert_eq!(parts.len(), 4);
    (cluster, key, helper, parts)
}

async fn sign_with_c(cluster: &Cluster, key: &Key) -> Result<quorate_api::SignResult, Problem> {
    let quorum = Some(vec!["node-a".to_owned(), "node-c".to_owned()]);
    let request = Sign { quorum, ..message("from the pool") };
    let answer = cluster.client(0).sign(&key.id, &request, &unique("sign"), WAIT).await;
    answer.map(|operation| signed(&operation)).map_err(problem)
}

fn names(work: &Work) -> Vec<[u8; 32]> {
    match work {
        Work::Spend { presignatures, .. } => presignatures.clone(),
        other => panic!("{other:?}"),
    }
}

fn refused(answer: &Answer) -> &str {
    match answer {
        Answer::Refuse { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

/// covers: S27, S34, C2: a wrong partial signature names its sender, and neither the presignature nor another one of its lot is used after it. A right
/// one signs, made by a program that knows the spec alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_spoils_a_signature_is_named() {
    let (cluster, key, mut helper, mut parts) = filled().await;
    let helping = async {
        let proposal = helper.proposal().await;
        let part = parts.remove(0);
        assert_eq!(names(&proposal.work), [part.place().id()], "the oldest");
        helper.spend(&proposal, part, false).await
    };
    let (result, made) = tokio::join!(sign_with_c(&cluster, &key), helping);
    let result = result.unwrap();
    assert_eq!(result.figures.presignatures, 1);
    assert_eq!(result.signatures[0].signature.0, made.unwrap().bytes);
    crate::end_to_end::verify(key.scheme, &key.public_key.0, b"from the pool", &result.signatures[0]);

    let helping = async {
        let proposal = helper.proposal().await;
        let part = parts.remove(0);
        assert_eq!(names(&proposal.work), [part.place().id()], "the next");
        assert!(helper.spend(&proposal, part, true).await.is_none());
    };
    let (result, ()) = tokio::join!(sign_with_c(&cluster, &key), helping);
    let error = result.unwrap_err();
    assert_eq!(
        (error.code, error.culprits.as_slice()),
        (Code::CeremonyAborted, ["node-c".to_owned()].as_slice())
    );
    assert_eq!((ready(&cluster, 0).await, used(&cluster, 0).await), (0, 2));
    assert_eq!(destroyed(&cluster, 0, "failed").await, 2, "the rest of the lot");
    // It signed what it said, which convinces anybody; so it is asked no more.
    let folder = cluster.configs[0].data.clone();
    let proofs = proofs_of_running(&folder).await.unwrap();
    let [proof] = proofs.as_slice() else { panic!("{proofs:?}") };
    assert_eq!((proof.node.as_str(), proof.kind.as_str(), proof.party), ("node-c", "partial_signature", 3));
    let evidence = hex::decode(&proof.evidence).unwrap();
    let session = SessionId(hex::decode(&proof.session).unwrap().try_into().unwrap());
    for (at, proven) in [(0, false), (1, false), (2, true)] {
        let identity = IdentityKey::from_bytes(cluster.identities[at].as_bytes()).unwrap();
        assert_eq!(online::proves_wrong_partial(&evidence, session, index(3), &identity), proven, "{at}");
    }
    let skipped = error.quorum.map(|quorum| quorum.skipped).unwrap_or_default();
    assert_eq!(skipped.iter().map(|s| s.evidence.as_ref()).collect::<Vec<_>>(), [Some(&proof.proof)]);
    let error = sign_with_c(&cluster, &key).await.unwrap_err();
    assert!(error.detail.contains("`node-c` is quarantined"), "{error}");
    // Trusted again it is asked again; but of the lot nothing is proposed any more.
    readmit_at_running(&folder, "node-c").await.unwrap();
    let helping = async {
        loop {
            let proposal = helper.proposal().await;
            let (code, detail) = ("unavailable".to_owned(), "not now".to_owned());
            helper.answer(proposal.ceremony, Answer::Refuse { code, detail, burned: None }).await;
            if let Work::Sign { .. } = proposal.work {
                return;
            }
            assert!(matches!(proposal.work, Work::Presign { .. }), "{:?}", proposal.work);
        }
    };
    let (result, ()) = tokio::join!(sign_with_c(&cluster, &key), helping);
    result.unwrap_err();
}

/// A member that has no part of it is asked at once to sign without, and the lot is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_its_part_signs_without() {
    let (cluster, key, mut helper, _) = filled().await;
    let helping = async {
        let proposal = helper.proposal().await;
        assert_eq!(names(&proposal.work).len(), 1);
        helper.answer(proposal.ceremony, Answer::Spent).await;
        let proposal = helper.proposal().await;
        assert!(
            matches!(&proposal.work, Work::Sign { quorum, epoch: 0 } if *quorum == [1, 3]),
            "{:?}",
            proposal.work
        );
        let (code, detail) = ("unavailable".to_owned(), "not now".to_owned());
        helper.answer(proposal.ceremony, Answer::Refuse { code, detail, burned: None }).await;
    };
    let (result, ()) = tokio::join!(sign_with_c(&cluster, &key), helping);
    result.unwrap_err();
    assert_eq!((destroyed(&cluster, 0, "missing").await, destroyed(&cluster, 0, "failed").await), (3, 1));
    assert_eq!((ready(&cluster, 0).await, used(&cluster, 0).await), (0, 0));
}

/// covers: S34: whoever spoils a signature from the pool is named, and the request is signed by the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_is_spoiled_is_made_by_others() {
    let (mut cluster, key, mut helper, mut parts) = filled().await;
    let (client, once) = (cluster.client(0), unique("sign"));
    let request = message("from the pool");
    let helping = async {
        let proposal = helper.proposal().await;
        let part = parts.remove(0);
        assert_eq!(names(&proposal.work), [part.place().id()]);
        // Whoever can take its place comes back while its answer is awaited.
        cluster.start_node(1).await;
        while !cluster.nodes[0].as_ref().unwrap().connected().contains(&"node-b".to_owned()) {
            sleep(Duration::from_millis(20)).await;
        }
        assert!(helper.spend(&proposal, part, true).await.is_none());
    };
    let (result, ()) = tokio::join!(client.sign(&key.id, &request, &once, WAIT), helping);
    let result = signed(&result.unwrap());
    assert_eq!(result.quorum, ["node-a", "node-b"]);
    let [skipped] = result.skipped.as_slice() else { panic!("{:?}", result.skipped) };
    assert_eq!((skipped.party.as_str(), skipped.fault), ("node-c", Some(Fault::Cheated)), "{skipped}");
    // Who signed in its place hears it too.
    let kept = crate::proofs::heard(&cluster, 1).await;
    assert_eq!((skipped.evidence.as_ref(), kept.kind.as_str()), (Some(&kept.proof), "partial_signature"));
    crate::end_to_end::verify(key.scheme, &key.public_key.0, b"from the pool", &result.signatures[0]);
    assert_eq!(destroyed(&cluster, 0, "failed").await, 3, "the rest of the lot");
}

/// covers: S28, S29, C2, C3: of two leaders that name one presignature the one that does not own it loses; its owner gives it out once, for one request,
/// quorum and epoch; and whoever is told other bytes than its own does not sign.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_owner_one_request_one_use() {
    let (cluster, key, mut helper, parts) = filled().await;
    let request = || {
        let request = sign_request(&key.id, &message("theirs"), CLIENT, now() + 60, &unique("theirs"));
        request.sign(&client_key(1)).encode()
    };
    let spend = |names: &[[u8; 32]], quorum: [u16; 2], epoch| Work::Spend {
        quorum: quorum.to_vec(),
        epoch,
        presignatures: names.to_vec(),
    };
    // A name that both know, by a leader that does not own it.
    let theirs = parts[0].place().id();
    let (_, answer) = helper.propose(request(), spend(&[theirs], [1, 3], 0)).await;
    assert_eq!((answer, ready(&cluster, 0).await), (Answer::Spent, 4));

    let own = helper.fill(&key, 4, Vec::new()).await;
    let own: Vec<[u8; 32]> = own.iter().map(|part| part.place().id()).collect();
    assert_eq!(for_others(&cluster, 0).await, 4);
    for (names, quorum) in [(vec![own[0]], [1, 2]), (vec![[9; 32]], [1, 3])] {
        let (_, answer) = helper.propose(request(), spend(&names, quorum, 0)).await;
        assert_eq!(answer, Answer::Spent);
    }
    let (_, answer) = helper.propose(request(), spend(&own[..2], [1, 3], 0)).await;
    assert_eq!(refused(&answer), "invalid_request", "two for one input");
    let (_, answer) = helper.propose(request(), spend(&own[..1], [1, 3], 1)).await;
    assert_eq!(refused(&answer), "key_moving");
    assert_eq!(for_others(&cluster, 0).await, 4, "nothing of it cost one");

    // Accepted; then told that it said something else.
    let (ceremony, answer) = helper.propose(request(), spend(&own[..1], [1, 3], 0)).await;
    let Answer::Ready { fresh } = answer else { panic!("{answer:?}") };
    assert_eq!(for_others(&cluster, 0).await, 3);
    // While it works on this it helps to make none.
    let more =
        Work::Presign { key: key.id.to_string(), quorum: vec![1, 3], epoch: 0, count: 1, left: own.clone() };
    let (_, answer) = helper.propose(Vec::new(), more).await;
    assert_eq!(refused(&answer), "unavailable");
    let mut other = fresh;
    other[31] ^= 1;
    helper.send(&Control::Go { ceremony, fresh: vec![other, [7; 32]] }).await;
    assert!(matches!(helper.ended(ceremony).await, Outcome::Failed { .. }));
    // Given out once: neither for another request nor for the same.
    let (_, answer) = helper.propose(request(), spend(&own[..1], [1, 3], 0)).await;
    assert_eq!(answer, Answer::Spent);
    // After a failure the others of the lot are gone as well.
    assert_eq!((for_others(&cluster, 0).await, destroyed(&cluster, 0, "failed").await), (3, 1));
    // Called off before it is told anything: gone.
    let (ceremony, answer) = helper.propose(request(), spend(&own[1..2], [1, 3], 0)).await;
    assert!(matches!(answer, Answer::Ready { .. }));
    helper.send(&Control::Cancel { ceremony }).await;
    assert!(matches!(helper.ended(ceremony).await, Outcome::Failed { .. }));
    let (_, answer) = helper.propose(request(), spend(&own[1..2], [1, 3], 0)).await;
    assert_eq!((answer, for_others(&cluster, 0).await), (Answer::Spent, 2));
    assert_eq!(ready(&cluster, 0).await, 4, "its own are untouched");
}

/// What a node does not help to make, and how much it keeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_judges_what_it_helps_to_make() {
    let (cluster, key, mut helper, _) = filled().await;
    let own = helper.fill(&key, 3, Vec::new()).await;
    let left: Vec<[u8; 32]> = own.iter().map(|part| part.place().id()).collect();
    let work = |key: &str, quorum: &[u16], epoch, count| Work::Presign {
        key: key.to_owned(),
        quorum: quorum.to_vec(),
        epoch,
        count,
        left: left.clone(),
    };
    let id = key.id.to_string();
    let mut cases = 0;
    for (what, work, code) in [
        ("nothing", work(&id, &[1, 3], 0, 0), "unprocessable"),
        ("more than a frame holds", work(&id, &[1, 3], 0, 25), "unprocessable"),
        ("more than a lot holds", work(&id, &[1, 3], 0, 2), "unprocessable"),
        ("without the one who asks", work(&id, &[1, 2], 0, 1), "unprocessable"),
        ("without itself", work(&id, &[2, 3], 0, 1), "unprocessable"),
        ("with one too many", work(&id, &[1, 2, 3], 0, 1), "unprocessable"),
        ("of another epoch", work(&id, &[1, 3], 1, 1), "key_moving"),
        ("of no key", work("key_00", &[1, 3], 0, 1), "not_found"),
    ] {
        let (_, answer) = helper.propose(Vec::new(), work).await;
        assert_eq!(refused(&answer), code, "{what}");
        cases += 1;
    }
    assert_eq!((cases, for_others(&cluster, 0).await), (8, 3));
    helper.fill(&key, 1, left[1..].to_vec()).await;
    assert_eq!((for_others(&cluster, 0).await, destroyed(&cluster, 0, "missing").await), (3, 1));
}

/// A burned pair takes with it what was made by it, at both ends and for whoever owns it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burned_pair_takes_its_presignatures_with_it() {
    let (cluster, key, mut helper, _) = filled().await;
    helper.fill(&key, 2, Vec::new()).await;
    assert_eq!((ready(&cluster, 0).await, for_others(&cluster, 0).await), (4, 2));
    helper.traitor.cheat(&cluster, &key.id, false).await;
    let mut gone = 0;
    for _ in 0..100 {
        gone = destroyed(&cluster, 0, "burn").await;
        if gone == 6 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((gone, ready(&cluster, 0).await, for_others(&cluster, 0).await), (6, 0, 0));
    let work =
        Work::Presign { key: key.id.to_string(), quorum: vec![1, 3], epoch: 0, count: 1, left: Vec::new() };
    let (_, answer) = helper.propose(Vec::new(), work).await;
    assert_eq!(refused(&answer), "unprocessable", "no more are made with it");
}

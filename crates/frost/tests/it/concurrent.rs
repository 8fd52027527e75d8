//! Many sessions at once over messages that the attacker chose, against one honest signer.
//!
//! The attack is that of Benhamouda, Lepoint, Loss, Orrù and Raykova (Eurocrypt 2021, section 4) on the ROS problem: who knows the
//! honest nonce commitments of as many sessions as the order has bits, before it names its own, and can move the challenge of each
//! between two values, joins the answers to a signature that nobody made. The binding factors are what stands against it: they make the
//! honest nonce of each session follow every choice. It runs here twice: against a signer without binding factors, where it must
//! succeed, so that we know that it is the attack; and against ours.

use std::collections::BTreeSet;

use crate::support::{Ceremony, Ed, Mode, deal, p};
use curve25519_dalek::Scalar as RawScalar;
use quorate_frost::SignatureBytes;
use quorate_protocol::curve::{Ed25519, Point, Scalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::tamper::{inspect, rewrite};
use quorate_protocol::session::{Rejected, Session};
use quorate_testkit::{identity, world};
use sha2::{Digest as _, Sha512};
use std::rc::Rc;

type S = Scalar<Ed25519>;
type P = Point<Ed25519>;

/// One for each bit of the order.
const SESSIONS: usize = 253;
const FORGED: &[u8] = b"nobody signed this";

fn hash(parts: &[&[u8]]) -> S {
    let mut hash = Sha512::new();
    parts.iter().for_each(|part| hash.update(part));
    S::from_raw(RawScalar::from_bytes_mod_order_wide(&hash.finalize().into()))
}

fn sha512(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part)).finalize().to_vec()
}

fn challenge(r: &P, key: &P, message: &[u8]) -> S {
    hash(&[&r.to_bytes(), &key.to_bytes(), message])
}

/// RFC 9591, 4.4 and 6.1, written here anew: ρ of a party of the list.
fn binding(party: PartyIndex, list: &[(PartyIndex, [P; 2])], key: &P, message: &[u8]) -> S {
    const CONTEXT: &[u8] = b"FROST-ED25519-SHA512-v1";
    let mut commitments = Vec::new();
    for (j, [d, e]) in list {
        commitments.extend([S::from(*j).to_bytes().to_vec(), d.to_bytes(), e.to_bytes()].concat());
    }
    let (h4, h5) = (sha512(&[CONTEXT, b"msg", message]), sha512(&[CONTEXT, b"com", &commitments]));
    hash(&[CONTEXT, b"rho", &key.to_bytes(), &h4, &h5, &S::from(party).to_bytes()])
}

/// What the attacker can make of one open session by its choice between two commitments of its own.
struct Choice {
    /// The honest signer's nonce in R, public.
    nonce: P,
    /// c
    challenge: S,
}

/// One open session with the honest signer.
trait Oracle {
    /// What follows from the attacker's commitment number 0 or 1.
    fn would_be(&self, choice: usize) -> Choice;
    /// Takes the choice, gives z.
    fn sign(self, choice: usize) -> S;
}

/// Forges with the answers of all of them. `share` is the attacker's part of the key's secret.
fn forge<O: Oracle>(
    oracles: Vec<O>,
    key: &P,
    share: S,
    rng: &mut HedgedRng,
) -> (SignatureBytes, Vec<(Choice, S)>) {
    // P_s maps the two challenges of session s to 0 and 2^s. Σ P_s(c_s) is any number whose bits are the choices.
    let mut power = S::ONE();
    let (mut nonce, mut constant, mut weights) = (P::identity(), S::ZERO(), Vec::new());
    for oracle in &oracles {
        let (zero, one) = (oracle.would_be(0), oracle.would_be(1));
        let weight = power * (one.challenge - zero.challenge).invert();
        // Right for the choice 0, and for both if the choice does not move the nonce.
        nonce += P::lincomb_vartime(&S::ZERO(), &[(zero.nonce, weight)]);
        constant += weight * zero.challenge;
        weights.push(weight);
        power = power + power;
    }
    let own = S::random(rng);
    nonce += P::mul_base(&own);
    let wanted = challenge(&nonce, key, FORGED);
    let bits = (wanted - constant).raw().to_bytes();
    let mut z = own + wanted * share;
    let mut answers = Vec::new();
    for (s, (oracle, weight)) in oracles.into_iter().zip(weights).enumerate() {
        let bit = usize::from(bits[s / 8] >> (s % 8) & 1);
        let choice = oracle.would_be(bit);
        let answer = oracle.sign(bit);
        z += weight * answer;
        answers.push((choice, answer));
    }
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&nonce.to_bytes());
    signature[32..].copy_from_slice(&z.to_bytes());
    (SignatureBytes(signature), answers)
}

/// A signer as ours, without binding factors: R is the sum of the D, and there is no E.
struct Unbound {
    nonce: S,
    share: S,
    /// The attacker's two commitments.
    theirs: [P; 2],
    key: P,
    message: Vec<u8>,
}

impl Oracle for Unbound {
    fn would_be(&self, choice: usize) -> Choice {
        let nonce = P::mul_base(&self.nonce);
        Choice { challenge: challenge(&(nonce + self.theirs[choice]), &self.key, &self.message), nonce }
    }
    fn sign(self, choice: usize) -> S {
        self.nonce + self.would_be(choice).challenge * self.share
    }
}

fn rng() -> HedgedRng {
    HedgedRng::new(Entropy::new([7; 32]), b"attacker", b"ros")
}

#[test]
fn the_attack_is_the_attack() {
    let mut rng = rng();
    let (honest, share) = (S::random(&mut rng), S::random(&mut rng));
    let key = P::mul_base(&(honest + share));
    let oracles: Vec<_> = (0..SESSIONS)
        .map(|s| Unbound {
            nonce: S::random(&mut rng),
            share: honest,
            theirs: [0, 1].map(|_| P::mul_base(&S::random(&mut rng))),
            key,
            message: format!("chosen {s}").into_bytes(),
        })
        .collect();
    let (signature, answers) = forge(oracles, &key, share, &mut rng);
    assert_eq!(answers.len(), SESSIONS);
    assert!(Ed::verifies(&key, FORGED, &signature), "without binding factors anybody can be forged");
}

/// A session of ours that waits for the attacker's commitment.
struct Ours {
    session: Session<SignatureBytes>,
    /// The honest (D, E), from its frame.
    heard: [P; 2],
    /// The attacker's own frame of the first round, to be rewritten, and its two commitments.
    frame: Vec<u8>,
    theirs: [[P; 2]; 2],
    key: P,
    message: Vec<u8>,
}

impl Oracle for Ours {
    fn would_be(&self, choice: usize) -> Choice {
        let list = [(p(1), self.heard), (p(2), self.theirs[choice])];
        let mut nonces = list.iter().map(|(j, [d, e])| {
            let rho = binding(*j, &list, &self.key, &self.message);
            *d + P::lincomb_vartime(&S::ZERO(), &[(*e, rho)])
        });
        let (nonce, other) = (nonces.next().unwrap(), nonces.next().unwrap());
        Choice { challenge: challenge(&(nonce + other), &self.key, &self.message), nonce }
    }

    fn sign(mut self, choice: usize) -> S {
        let chosen = self.theirs[choice].iter().flat_map(Point::to_bytes).collect();
        let frame = rewrite(&self.frame, &identity(2), |parts| parts.broadcast = chosen).unwrap();
        self.session.handle_message(p(2), &frame).unwrap();
        // One pair of nonces, one answer: the other choice is not heard any more.
        let other = self.theirs[1 - choice].iter().flat_map(Point::to_bytes).collect();
        let again = rewrite(&self.frame, &identity(2), |parts| parts.broadcast = other).unwrap();
        assert_eq!(self.session.handle_message(p(2), &again), Err(Rejected::Duplicate));
        self.session.step();
        self.session.poll_effect().unwrap();
        self.session.effects_durable();
        let partial = inspect(&self.session.poll_transmit().unwrap().bytes).unwrap().broadcast;
        assert_eq!(self.session.handle_message(p(2), &again), Err(Rejected::WrongRound));
        S::from_bytes(partial[..].try_into().unwrap()).unwrap()
    }
}

/// covers: S30, D3. As many sessions as the attack needs, all open before the attacker commits in any: no nonce twice, each answer under the
/// binding factors of its own session, no commitment of one session heard in another, and no signature that nobody made.
#[test]
fn concurrent_sessions_over_chosen_messages_forge_nothing() {
    let mut rng = rng();
    let shares = Rc::new(deal::<Ed25519>(1, 2, 2));
    let key = shares[0].public().public_key();
    let mut oracles = Vec::new();
    let mut nonces = BTreeSet::new();
    for s in 0..SESSIONS {
        let message = format!("chosen {s}").into_bytes();
        let ceremony = Ceremony::<Ed>::new(Rc::clone(&shares), &[1, 2], &message, u64::try_from(s).unwrap());
        // The same entropy for all: what differs between them are their names and messages.
        let start = |me: u16| {
            let params = world::params(ceremony.session, &ceremony.quorum, me, 0);
            Ed::start(params, &shares[usize::from(me) - 1], message.clone()).unwrap()
        };
        let (mut session, mut mine) = (start(1), start(2));
        let said = inspect(&session.poll_transmit().unwrap().bytes).unwrap().broadcast;
        let point = |at: usize| P::from_bytes(&said[32 * at..][..32]).unwrap();
        let theirs = [0, 1].map(|_| [0, 1].map(|_| P::mul_base(&S::random(&mut rng))));
        nonces.extend(said.chunks(32).map(<[u8]>::to_vec));
        let heard = [point(0), point(1)];
        let frame = mine.poll_transmit().unwrap().bytes.to_vec();
        oracles.push(Ours { session, heard, frame, theirs, key, message });
    }
    assert_eq!(nonces.len(), 2 * SESSIONS, "a nonce commitment is there twice");
    // A frame of one session is nothing in another.
    for s in 0..SESSIONS {
        let frame = oracles[(s + 1) % SESSIONS].frame.clone();
        assert_eq!(oracles[s].session.handle_message(p(2), &frame), Err(Rejected::Misdirected));
    }

    let quorum = Ceremony::<Ed>::new(Rc::clone(&shares), &[1, 2], b"", 0).quorum;
    let share = shares[1].additive(&quorum).unwrap().expose();
    let honest = shares[0].public().additive_public(&quorum, p(1)).unwrap();
    let (signature, answers) = forge(oracles, &key, share, &mut rng);
    // The attacker was right about every session: its picture of the protocol is the protocol.
    let mut right = 0;
    for (choice, z) in &answers {
        assert_eq!(
            P::mul_base(z),
            choice.nonce + P::lincomb_vartime(&S::ZERO(), &[(honest, choice.challenge)])
        );
        right += 1;
    }
    assert_eq!(right, SESSIONS);
    assert!(!Ed::verifies(&key, FORGED, &signature) && !Ed::ours(&key, FORGED, &signature));
}

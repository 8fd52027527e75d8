//! Keys that exist as shares only, and requests signed with them.

use quorate_ecdsa::PairwiseSetup;
use quorate_frost::{SignatureBytes, TaprootTweak};
use quorate_intent::{Finished, Intent, Network, PublicKey, Scheme, Signature, ToSign};
use quorate_keys::dkg;
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, EcdsaCurve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::SessionId;
use quorate_testkit::{Outcome, World, parties};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Signing sessions deliver one frame in this many twice, in an order that follows from the seed.
const DUPLICATE_ONE_IN: u64 = 3;

type Shares<C> = BTreeMap<PartyIndex, KeyShare<C>>;

/// A key of `k` of `n` parties, made by the distributed key generation.
#[derive(Debug)]
pub struct ThresholdKey {
    public: PublicKey,
    k: u16,
    n: u16,
    seed: u64,
    /// Counts the sessions: no session identifier and no randomness ever repeats.
    sessions: Cell<u64>,
    parties: Parties,
}

/// What the parties hold. Each session is handed the entry of its own party only.
#[derive(Debug)]
enum Parties {
    Secp256k1(Shares<Secp256k1>, BTreeMap<PartyIndex, Arc<PairwiseSetup<Secp256k1>>>),
    P256(Shares<P256>, BTreeMap<PartyIndex, Arc<PairwiseSetup<P256>>>),
    Ed25519(Shares<Ed25519>),
    Bip340(Shares<Secp256k1>),
}

/// A request as every party of the quorum prepared it, with its signatures.
#[derive(Clone, Debug)]
pub struct Request {
    /// What was signed, in order.
    pub inputs: Vec<ToSign>,
    /// The result that a client gets.
    pub finished: Finished,
}

impl Request {
    /// The complete transaction, as it is broadcast.
    ///
    /// # Panics
    /// If others must still sign, or if the request was no transaction.
    pub fn raw_tx(&self) -> &[u8] {
        self.finished.raw_tx.as_deref().expect("the request gives a complete transaction")
    }
}

impl ThresholdKey {
    /// Runs the key generation among `n` simulated parties, and the pairwise set-up where the scheme needs it.
    ///
    /// # Panics
    /// If a ceremony does not end well at every party, or if parties disagree on the key.
    pub fn generate(scheme: Scheme, k: u16, n: u16, seed: u64) -> Self {
        let (point, parties) = match scheme {
            Scheme::EcdsaSecp256k1 => {
                let (point, shares) = generate::<Secp256k1>(k, n, seed);
                let setups = set_up(&shares, seed);
                (point, Parties::Secp256k1(shares, setups))
            }
            Scheme::EcdsaP256 => {
                let (point, shares) = generate::<P256>(k, n, seed);
                let setups = set_up(&shares, seed);
                (point, Parties::P256(shares, setups))
            }
            Scheme::Ed25519 => {
                let (point, shares) = generate(k, n, seed);
                (point, Parties::Ed25519(shares))
            }
            Scheme::Bip340 => {
                let (point, shares) = generate(k, n, seed);
                (point, Parties::Bip340(shares))
            }
        };
        let public = PublicKey::new(scheme, &point).expect("the generated key is valid");
        Self { public, k, n, seed, sessions: Cell::new(0), parties }
    }

    /// The public key.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The address of the key on `chain` (`ethereum`, `bitcoin`, `solana`).
    ///
    /// # Panics
    /// If the key has none there.
    pub fn address(&self, chain: &str) -> String {
        let all = quorate_intent::addresses(&self.public, Network::Regtest);
        all.into_iter().find(|a| a.chain == chain).expect("the key has an address on this chain").address
    }

    /// A quorum of `k` parties: of the circle of all parties, those from number `first` (0 is party 1) on.
    pub fn quorum(&self, first: u16) -> Vec<u16> {
        let mut quorum: Vec<u16> = (0..self.k).map(|i| (first + i) % self.n + 1).collect();
        quorum.sort_unstable();
        quorum
    }

    /// Signs the request as a cluster does: each party of the quorum reads the client's JSON, prepares it, and
    /// signs what it computed itself. Every call uses another quorum than the one before it, where there is one.
    ///
    /// # Panics
    /// If parties disagree on what is signed, or if a session does not end well at every party.
    pub fn request(&self, intent: &Intent) -> Request {
        let first = u16::try_from(self.sessions.get() % u64::from(self.n)).expect("below n");
        self.request_by(intent, &self.quorum(first))
    }

    /// As [`request`](Self::request), signed by `quorum`.
    ///
    /// # Panics
    /// As [`request`](Self::request).
    pub fn request_by(&self, intent: &Intent, quorum: &[u16]) -> Request {
        let body = serde_json::to_string(intent).expect("an intent is JSON");
        let prepared: Vec<_> = quorum
            .iter()
            .map(|_| {
                let own: Intent = serde_json::from_str(&body).expect("the body is an intent");
                own.prepare(&self.public, Network::Regtest).expect("the request is fit for the key")
            })
            .collect();
        let (ours, others) = prepared.split_first().expect("a quorum has parties");
        assert!(others.iter().all(|o| o.inputs == ours.inputs), "all parties compute the same digests");
        let signatures: Vec<_> = ours.inputs.iter().map(|input| self.sign(input, quorum)).collect();
        let finished = ours.finish(&signatures).expect("the signatures fit the request");
        assert!(others.iter().all(|o| o.finish(&signatures).as_ref() == Ok(&finished)));
        Request { inputs: ours.inputs.clone(), finished }
    }

    /// Runs one signing session among `quorum`.
    ///
    /// # Panics
    /// If the scheme cannot sign the input, if the session does not end well at every party, or if two parties
    /// hold different signatures.
    pub fn sign(&self, input: &ToSign, quorum: &[u16]) -> Signature {
        let attempt = self.sessions.get();
        self.sessions.set(attempt + 1);
        let run = Run { quorum, attempt, seed: self.seed.wrapping_mul(1000).wrapping_add(attempt) };
        match (&self.parties, input) {
            (Parties::Secp256k1(shares, setups), ToSign::Prehash(digest)) => {
                run.ecdsa(shares, setups, digest)
            }
            (Parties::P256(shares, setups), ToSign::Prehash(digest)) => run.ecdsa(shares, setups, digest),
            (Parties::Ed25519(shares), ToSign::Ed25519Message(message)) => {
                run.frost(shares, message, TaprootTweak::None, |p, share| {
                    quorate_frost::sign_ed25519(p, share, message.clone())
                })
            }
            (Parties::Bip340(shares), ToSign::Bip340 { message, taproot_tweak }) => {
                let tweak = if *taproot_tweak { TaprootTweak::KeyPath } else { TaprootTweak::None };
                run.frost(shares, message, tweak, |p, share| {
                    quorate_frost::sign_bip340(p, share, message.clone(), tweak)
                })
            }
            (_, input) => panic!("a key of {} cannot sign {input:?}", self.public.scheme),
        }
    }
}

/// The encoded public key and the shares of `k` of `n`.
fn generate<C: Curve>(k: u16, n: u16, seed: u64) -> (Vec<u8>, Shares<C>) {
    let committee = parties(&(1..=n).collect::<Vec<_>>());
    let access = Access::threshold(k, &committee.indices().collect::<Vec<_>>()).expect("k is at most n");
    let mut id = [1; 32];
    id[..8].copy_from_slice(&seed.to_le_bytes());
    let generated = World::start(seed, SessionId(id), &committee, |p| dkg::start::<C>(p, access.clone()))
        .run()
        .unwrap_all();
    assert_eq!(generated.len(), usize::from(n), "every party ended the key generation");
    let shares: Shares<C> = generated.into_iter().map(|(i, g)| (i, g.share)).collect();
    let public = package(&shares);
    assert!(shares.values().all(|s| s.public() == public), "all parties agree on the key");
    (public.public_key().to_bytes().as_slice().to_vec(), shares)
}

fn set_up<C: EcdsaCurve>(shares: &Shares<C>, seed: u64) -> BTreeMap<PartyIndex, Arc<PairwiseSetup<C>>> {
    let committee = &package(shares).committee;
    let mut id = [2; 32];
    id[..8].copy_from_slice(&seed.to_le_bytes());
    let setups = World::start(seed, SessionId(id), committee, |p| {
        let share = &shares[&p.me];
        quorate_ecdsa::setup::start(p, share)
    })
    .run()
    .unwrap_all();
    setups.into_iter().map(|(i, setup)| (i, Arc::new(setup))).collect()
}

fn package<C: Curve>(shares: &Shares<C>) -> &PublicPackage<C> {
    shares.values().next().expect("a key has shares").public()
}

/// One signing session.
struct Run<'a> {
    quorum: &'a [u16],
    attempt: u64,
    seed: u64,
}

impl Run<'_> {
    fn committee<C: Curve>(&self, public: &PublicPackage<C>) -> Committee {
        let members: Vec<_> = self.quorum.iter().map(|&i| PartyIndex::new(i).expect("not zero")).collect();
        public.quorum(&members).expect("the parties are a minimal quorum")
    }

    fn ecdsa<C: EcdsaCurve>(
        &self,
        shares: &Shares<C>,
        setups: &BTreeMap<PartyIndex, Arc<PairwiseSetup<C>>>,
        digest: &[u8; 32],
    ) -> Signature {
        let public = package(shares);
        let committee = self.committee(public);
        let attempt = self.attempt.to_le_bytes();
        let id = public.session_id("ecdsa-sign", &committee, &[("digest", digest), ("attempt", &attempt)]);
        let mut world = World::start(self.seed, id, &committee, |p| {
            let (share, setup) = (&shares[&p.me], setups[&p.me].clone());
            quorate_ecdsa::sign::start(p, share, setup, *digest)
        });
        world.duplicate_one_in = DUPLICATE_ONE_IN;
        let signature = self.agreed(world.run());
        Signature { bytes: signature.bytes, recovery_id: Some(signature.recovery_id) }
    }

    fn frost<C: Curve>(
        &self,
        shares: &Shares<C>,
        message: &[u8],
        tweak: TaprootTweak,
        start: impl Fn(
            quorate_protocol::session::Params,
            &KeyShare<C>,
        ) -> Result<
            quorate_protocol::session::Session<SignatureBytes>,
            quorate_protocol::session::BadParams,
        >,
    ) -> Signature {
        let public = package(shares);
        let committee = self.committee(public);
        let attempt = self.attempt.to_le_bytes();
        let [message, tweak] = quorate_frost::session_bindings(message, tweak);
        let id =
            public.session_id(quorate_frost::PROTOCOL, &committee, &[message, tweak, ("attempt", &attempt)]);
        let mut world = World::start(self.seed, id, &committee, |p| {
            let share = &shares[&p.me];
            start(p, share)
        });
        world.duplicate_one_in = DUPLICATE_ONE_IN;
        Signature { bytes: self.agreed(world.run()).0, recovery_id: None }
    }

    /// The signature that all parties hold.
    fn agreed<O: Copy + PartialEq + std::fmt::Debug>(&self, outcome: Outcome<O>) -> O {
        let results = outcome.unwrap_all();
        assert_eq!(results.len(), self.quorum.len(), "every party of the quorum has a result");
        let first = *results.values().next().expect("a quorum has parties");
        assert!(results.values().all(|o| *o == first), "all parties hold the same signature");
        first
    }
}

//! A trusted dealer, and the three ways of signing behind one trait.

use k256::elliptic_curve::point::AffineCoordinates as _;
use k256::elliptic_curve::sec1::ToSec1Point as _;
use quorate_frost::{
    PROTOCOL, SignatureBytes, TaprootTweak, bip340_key, session_bindings, sign_bip340, sign_ed25519,
    verify_bip340, verify_ed25519,
};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_keys::sharing::Vector;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, Point, Secp256k1};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::{BadParams, Params, Session, SessionId};
use quorate_testkit::{World, parties};
use sha2::Digest as _;
use std::rc::Rc;

pub(crate) fn p(index: u16) -> PartyIndex {
    PartyIndex::new(index).unwrap()
}

/// Shares of a fresh `k` of `n` key, made by one dealer.
pub(crate) fn deal<C: Curve>(seed: u64, k: u16, n: u16) -> Vec<KeyShare<C>> {
    let indices: Vec<PartyIndex> = (1..=n).map(p).collect();
    deal_under(Access::threshold(k, &indices).unwrap(), seed)
}

/// Shares of a fresh key under any structure, made by one dealer.
pub(crate) fn deal_under<C: Curve>(access: Access, seed: u64) -> Vec<KeyShare<C>> {
    let mut entropy = [0u8; 32];
    entropy[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = HedgedRng::new(Entropy::new(entropy), b"dealer", C::ID.name().as_bytes());
    let dealing = Vector::<C>::random(&access, &mut rng);
    let indices = access.parties();
    let committee = parties(&indices.iter().map(|i| i.get()).collect::<Vec<_>>());
    let public_key = dealing.constant().public();
    let transcript = [5; 32];
    let public = PublicPackage {
        epoch: 0,
        key_id: PublicPackage::birth_id(&public_key, &access, &committee, &transcript),
        access: access.clone(),
        committee,
        joint: dealing.commit(),
        chain_code: [6; 32],
        transcript,
    };
    assert!(PublicPackage::<C>::from_bytes(&public.to_bytes()).is_some());
    indices.iter().map(|&i| KeyShare::new(public.clone(), i, dealing.deal(&access, i)).unwrap()).collect()
}

/// One way of signing. `verifies` must use nothing of the crate under test.
pub(crate) trait Mode: 'static {
    type C: Curve;
    const NAME: &'static str;
    const TAPROOT: TaprootTweak;
    fn start(
        params: Params,
        share: &KeyShare<Self::C>,
        message: Vec<u8>,
    ) -> Result<Session<SignatureBytes>, BadParams>;
    fn verifies(public: &Point<Self::C>, message: &[u8], signature: &SignatureBytes) -> bool;
    /// Our own verifier, for agreement.
    fn ours(public: &Point<Self::C>, message: &[u8], signature: &SignatureBytes) -> bool;
}

pub(crate) struct Ed;
impl Mode for Ed {
    type C = Ed25519;
    const NAME: &'static str = "ed25519";
    const TAPROOT: TaprootTweak = TaprootTweak::None;
    fn start(
        params: Params,
        share: &KeyShare<Ed25519>,
        message: Vec<u8>,
    ) -> Result<Session<SignatureBytes>, BadParams> {
        sign_ed25519(params, share, message)
    }
    fn verifies(public: &Point<Ed25519>, message: &[u8], signature: &SignatureBytes) -> bool {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&public.to_bytes().try_into().unwrap()).unwrap();
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok()
    }
    fn ours(public: &Point<Ed25519>, message: &[u8], signature: &SignatureBytes) -> bool {
        verify_ed25519(&public.to_bytes().try_into().unwrap(), message, signature)
    }
}

fn k256_verifies(x_only: &[u8], message: &[u8], signature: &SignatureBytes) -> bool {
    let key = k256::schnorr::VerifyingKey::from_bytes(x_only.try_into().unwrap()).unwrap();
    key.verify_raw(message, &signature.as_ref().try_into().unwrap()).is_ok()
}

pub(crate) struct Bip340;
impl Mode for Bip340 {
    type C = Secp256k1;
    const NAME: &'static str = "bip340";
    const TAPROOT: TaprootTweak = TaprootTweak::None;
    fn start(
        params: Params,
        share: &KeyShare<Secp256k1>,
        message: Vec<u8>,
    ) -> Result<Session<SignatureBytes>, BadParams> {
        sign_bip340(params, share, message, Self::TAPROOT)
    }
    fn verifies(public: &Point<Secp256k1>, message: &[u8], signature: &SignatureBytes) -> bool {
        k256_verifies(&public.to_bytes()[1..], message, signature)
    }
    fn ours(public: &Point<Secp256k1>, message: &[u8], signature: &SignatureBytes) -> bool {
        verify_bip340(&bip340_key(public, Self::TAPROOT).unwrap(), message, signature)
    }
}

/// `x(P + H_TapTweak(x(P))·G)` for the even `P` of that x, computed here from BIP-341.
pub(crate) fn output_key(internal: &[u8]) -> [u8; 32] {
    let tag = sha2::Sha256::digest(b"TapTweak");
    let hash = sha2::Sha256::new().chain_update(tag).chain_update(tag).chain_update(internal).finalize();
    let even = k256::PublicKey::from_sec1_bytes(&[&[2], internal].concat()).unwrap().to_projective();
    let t = <k256::Scalar as k256::elliptic_curve::ops::Reduce<k256::FieldBytes>>::reduce(&hash);
    let q = (even + k256::ProjectivePoint::GENERATOR * t).to_affine();
    assert_eq!(q.to_sec1_point(true).as_bytes()[1..], q.x()[..]);
    q.x().into()
}

pub(crate) struct Taproot;
impl Mode for Taproot {
    type C = Secp256k1;
    const NAME: &'static str = "taproot";
    const TAPROOT: TaprootTweak = TaprootTweak::KeyPath;
    fn start(
        params: Params,
        share: &KeyShare<Secp256k1>,
        message: Vec<u8>,
    ) -> Result<Session<SignatureBytes>, BadParams> {
        sign_bip340(params, share, message, Self::TAPROOT)
    }
    fn verifies(public: &Point<Secp256k1>, message: &[u8], signature: &SignatureBytes) -> bool {
        k256_verifies(&output_key(&public.to_bytes()[1..]), message, signature)
    }
    fn ours(public: &Point<Secp256k1>, message: &[u8], signature: &SignatureBytes) -> bool {
        verify_bip340(&bip340_key(public, Self::TAPROOT).unwrap(), message, signature)
    }
}

/// A key, a quorum and a message, ready to run.
pub(crate) struct Ceremony<M: Mode> {
    pub(crate) shares: Rc<Vec<KeyShare<M::C>>>,
    pub(crate) quorum: Committee,
    pub(crate) message: Vec<u8>,
    pub(crate) session: SessionId,
    pub(crate) seed: u64,
}

impl<M: Mode> Ceremony<M> {
    pub(crate) fn new(shares: Rc<Vec<KeyShare<M::C>>>, quorum: &[u16], message: &[u8], seed: u64) -> Self {
        let public = shares[0].public();
        let indices: Vec<_> = quorum.iter().map(|&i| p(i)).collect();
        let quorum = public.quorum(&indices).unwrap();
        let [m, t] = session_bindings(message, M::TAPROOT);
        let attempt = seed.to_le_bytes();
        let session = public.session_id(PROTOCOL, &quorum, &[m, t, ("attempt", &attempt)]);
        Self { shares, quorum, message: message.to_vec(), session, seed }
    }

    pub(crate) fn fresh(k: u16, n: u16, quorum: &[u16], seed: u64) -> Self {
        Self::new(Rc::new(deal(seed, k, n)), quorum, b"pay 3 to carol", seed)
    }

    pub(crate) fn public(&self) -> &PublicPackage<M::C> {
        self.shares[0].public()
    }

    pub(crate) fn world(&self) -> World<SignatureBytes> {
        World::start(self.seed, self.session, &self.quorum, |params| {
            let share = self.shares.iter().find(|s| s.index() == params.me).unwrap();
            M::start(params, share, self.message.clone())
        })
    }

    pub(crate) fn assert_valid(&self, signature: &SignatureBytes) {
        let key = &self.public().public_key();
        assert!(M::verifies(key, &self.message, signature), "{}: seed {}", M::NAME, self.seed);
        assert!(M::ours(key, &self.message, signature));
        let mut other = self.message.clone();
        other.push(0);
        assert!(!M::ours(key, &other, signature));
    }
}

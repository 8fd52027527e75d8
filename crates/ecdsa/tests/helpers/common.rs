//! Keys and signing sessions for the tests of this crate.
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shared by test programs that each use a part"
)]

use quorate_ecdsa::{PairwiseSetup, Signature, setup, sign};
use quorate_keys::dkg;
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{CurveId, EcdsaCurve};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::SessionId;
use quorate_testkit::{Fate, Outcome, Parcel, World, parties};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A committee with its shares and set-ups.
pub struct Keys<C: EcdsaCurve> {
    pub shares: BTreeMap<PartyIndex, KeyShare<C>>,
    pub setups: BTreeMap<PartyIndex, Arc<PairwiseSetup<C>>>,
}

impl<C: EcdsaCurve> Keys<C> {
    pub fn first(&self) -> PartyIndex {
        *self.shares.keys().next().unwrap()
    }
    pub fn public(&self) -> &PublicPackage<C> {
        self.shares[&self.first()].public()
    }
}

pub fn index(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

/// `k` of `n`, by the real ceremonies.
pub fn keys<C: EcdsaCurve>(k: u16, n: u16, seed: u64) -> Keys<C> {
    keys_under(Access::threshold(k, &(1..=n).map(index).collect::<Vec<_>>()).unwrap(), seed)
}

/// A key under any structure, by the real ceremonies.
pub fn keys_under<C: EcdsaCurve>(access: Access, seed: u64) -> Keys<C> {
    let committee = parties(&access.parties().iter().map(|i| i.get()).collect::<Vec<_>>());
    let generated =
        World::start(seed, SessionId([1; 32]), &committee, |p| dkg::start::<C>(p, access.clone()))
            .run()
            .unwrap_all();
    let shares: BTreeMap<_, _> = generated.into_iter().map(|(i, g)| (i, g.share)).collect();
    let setups = World::start(seed, SessionId([2; 32]), &committee, |p| {
        let share = &shares[&p.me];
        setup::start(p, share)
    })
    .run()
    .unwrap_all();
    Keys { shares, setups: setups.into_iter().map(|(i, s)| (i, Arc::new(s))).collect() }
}

/// Three parties of which all three sign. Made once a test program and curve.
pub fn keys3<C: EcdsaCurve>() -> &'static Keys<C> {
    cached(3, 3)
}

/// `k` of `n`, made once a test program and curve.
pub fn cached<C: EcdsaCurve>(k: u16, n: u16) -> &'static Keys<C> {
    type Cache = BTreeMap<(CurveId, u16, u16), &'static (dyn Any + Send + Sync)>;
    static KEYS: Mutex<Cache> = Mutex::new(BTreeMap::new());
    let mut cache = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = cache
        .entry((C::ID, k, n))
        .or_insert_with(|| Box::leak(Box::new(keys::<C>(k, n, u64::from(k * 10 + n)))));
    entry.downcast_ref().unwrap()
}

/// Copies of the set-ups that no other test has burned.
pub fn fresh_setups<C: EcdsaCurve>(keys: &Keys<C>) -> BTreeMap<PartyIndex, Arc<PairwiseSetup<C>>> {
    let copy =
        |s: &PairwiseSetup<C>| Arc::new(PairwiseSetup::from_secret_bytes(&s.secret_bytes(), []).unwrap());
    keys.setups.iter().map(|(i, s)| (*i, copy(s))).collect()
}

/// Runs one signing session with these set-ups under an adversary.
pub fn sign_with<C: EcdsaCurve>(
    keys: &Keys<C>,
    setups: BTreeMap<PartyIndex, Arc<PairwiseSetup<C>>>,
    quorum: &[u16],
    digest: [u8; 32],
    seed: u64,
    adversary: impl FnMut(&Parcel) -> Fate + 'static,
) -> Outcome<Signature> {
    let members: Vec<_> = quorum.iter().map(|&i| index(i)).collect();
    let committee = keys.public().quorum(&members).unwrap();
    let id = session_id(keys, quorum, &digest, seed);
    World::start(seed, id, &committee, |p| {
        let (share, setup) = (&keys.shares[&p.me], setups[&p.me].clone());
        sign::start(p, share, setup, digest)
    })
    .with_adversary(adversary)
    .run()
}

pub type Adversary = Box<dyn FnMut(&Parcel) -> Fate>;

/// The name of the signing session of `digest` with `seed`.
pub fn session_id<C: EcdsaCurve>(keys: &Keys<C>, quorum: &[u16], digest: &[u8; 32], seed: u64) -> SessionId {
    let members: Vec<_> = quorum.iter().map(|&i| index(i)).collect();
    let committee = keys.public().quorum(&members).unwrap();
    keys.public().session_id(
        "ecdsa-sign",
        &committee,
        &[("digest", digest), ("attempt", &seed.to_le_bytes())],
    )
}

/// Runs one signing session of the quorum.
pub fn sign<C: EcdsaCurve>(
    keys: &Keys<C>,
    quorum: &[u16],
    digest: [u8; 32],
    seed: u64,
    adversary: Option<Adversary>,
) -> Outcome<Signature> {
    let members: Vec<_> = quorum.iter().map(|&i| index(i)).collect();
    let committee = keys.public().quorum(&members).unwrap();
    let id = session_id(keys, quorum, &digest, seed);
    let mut world = World::start(seed, id, &committee, |p| {
        let (share, setup) = (&keys.shares[&p.me], keys.setups[&p.me].clone());
        sign::start(p, share, setup, digest)
    });
    if let Some(adversary) = adversary {
        world = world.with_adversary(adversary);
    } else {
        world.duplicate_one_in = 3;
    }
    world.run()
}

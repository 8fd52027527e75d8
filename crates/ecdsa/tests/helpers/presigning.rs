//! Presigning and signing from presignatures, for the tests of both.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shared by test programs that each use a part"
)]

use crate::common::{Keys, fresh_setups, index};
use quorate_ecdsa::online::{self, Request};
use quorate_ecdsa::presign::{self, Mode, Presignature};
use quorate_ecdsa::{PairwiseSetup, Signature};
use quorate_protocol::curve::{EcdsaCurve, Point, Scalar};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::SessionId;
use quorate_testkit::{Fate, Outcome, Parcel, World};
use std::collections::BTreeMap;
use std::sync::Arc;

pub fn committee<C: EcdsaCurve>(keys: &Keys<C>, quorum: &[u16]) -> Committee {
    let members: Vec<_> = quorum.iter().map(|&i| index(i)).collect();
    keys.public().quorum(&members).unwrap()
}

pub fn presign_id<C: EcdsaCurve>(keys: &Keys<C>, quorum: &[u16], count: u16, attempt: u64) -> SessionId {
    keys.public().session_id(
        "ecdsa-presign",
        &committee(keys, quorum),
        &[("count", &count.to_le_bytes()), ("attempt", &attempt.to_le_bytes())],
    )
}

pub type Made<C, M> = BTreeMap<PartyIndex, Vec<Presignature<C, M>>>;

/// Makes presignatures with these set-ups under an adversary.
pub fn presign_with<C: EcdsaCurve, M: Mode + Copy>(
    keys: &Keys<C>,
    setups: &BTreeMap<PartyIndex, Arc<PairwiseSetup<C>>>,
    quorum: &[u16],
    (count, mode): (u16, M),
    seed: u64,
    adversary: impl FnMut(&Parcel) -> Fate + 'static,
) -> Outcome<Vec<Presignature<C, M>>> {
    let id = presign_id(keys, quorum, count, seed);
    World::start(seed, id, &committee(keys, quorum), |p| {
        let (share, setup) = (&keys.shares[&p.me], setups[&p.me].clone());
        presign::start(p, share, setup, count, mode)
    })
    .with_adversary(adversary)
    .run()
}

/// Makes presignatures among honest parties.
pub fn presign<C: EcdsaCurve, M: Mode + Copy>(
    keys: &Keys<C>,
    quorum: &[u16],
    count: u16,
    mode: M,
    seed: u64,
) -> Made<C, M> {
    presign_with(keys, &fresh_setups(keys), quorum, (count, mode), seed, |_| Fate::Deliver).unwrap_all()
}

/// The last presignature of every party.
pub fn pop<C: EcdsaCurve, M: Mode>(made: &mut Made<C, M>) -> BTreeMap<PartyIndex, Presignature<C, M>> {
    made.iter_mut().map(|(i, all)| (*i, all.pop().unwrap())).collect()
}

/// A request for the key itself.
pub fn request<C: EcdsaCurve>(keys: &Keys<C>, digest: [u8; 32], rho: u8) -> Request<C> {
    derived(keys, digest, Scalar::ZERO(), rho)
}

/// A request for a derived key.
pub fn derived<C: EcdsaCurve>(keys: &Keys<C>, digest: [u8; 32], tweak: Scalar<C>, rho: u8) -> Request<C> {
    let public_key = keys.public().public_key() + Point::mul_base(&tweak);
    Request { digest, tweak, public_key, rho: [rho; 32] }
}

/// Signs with one presignature of each party, under an adversary.
pub fn online_with<C: EcdsaCurve, M: Mode>(
    mut parts: BTreeMap<PartyIndex, Presignature<C, M>>,
    request: &Request<C>,
    adversary: impl FnMut(&Parcel) -> Fate + 'static,
) -> Outcome<Signature> {
    let place = parts.values().next().unwrap().place().clone();
    let id = place.session_id(request);
    World::start(1, id, place.quorum(), |p| {
        let part = parts.remove(&p.me).unwrap();
        online::start(p, part, place.epoch_id(), request.clone())
    })
    .with_adversary(adversary)
    .run()
}

/// Signs among honest parties.
pub fn online<C: EcdsaCurve, M: Mode>(
    parts: BTreeMap<PartyIndex, Presignature<C, M>>,
    request: &Request<C>,
) -> Signature {
    let signatures = online_with(parts, request, |_| Fate::Deliver).unwrap_all();
    let first = *signatures.values().next().unwrap();
    assert!(signatures.values().all(|s| *s == first), "all parties hold the same signature");
    first
}

/// An opening as long as a real one, of points and numbers that mean nothing.
pub fn made_up_opening<C: EcdsaCurve>() -> Vec<u8> {
    let one = Scalar::<C>::ONE().to_bytes().to_vec();
    let point = Point::<C>::generator().to_bytes();
    let head = [vec![7; 32], point.clone(), point, one.clone()].concat();
    [vec![1, 0, 0], one.clone(), vec![2, 0, 0, 0], head.clone(), head, one.clone(), one].concat()
}

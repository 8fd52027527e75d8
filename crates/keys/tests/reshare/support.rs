//! Keys, plans and worlds for the tests of this program.

use quorate_keys::certificate::{Acknowledgement, Certificate};
use quorate_keys::dkg;
use quorate_keys::reshare::{self, Plan, Reshared};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::access::{Access, Rank};
use quorate_protocol::curve::{Curve, Point, Scalar};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::SessionId;
use quorate_testkit::{World, identity, parties};
use std::collections::BTreeMap;

pub(crate) type Shares<C> = BTreeMap<PartyIndex, KeyShare<C>>;

pub(crate) fn index(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

pub(crate) fn indices(list: &[u16]) -> Vec<PartyIndex> {
    list.iter().map(|&i| index(i)).collect()
}

/// `k` of these parties; one that stands twice has weight two.
pub(crate) fn of(k: u16, list: &[u16]) -> Access {
    Access::threshold(k, &indices(list)).unwrap()
}

/// `party and k of list`.
pub(crate) fn with(party: u16, k: u16, list: &[u16]) -> Access {
    Access::Threshold { k: 2, of: vec![Access::Party(index(party)), of(k, list)] }
}

/// `k1 of high over k2 of low`.
pub(crate) fn ranks(k1: u16, high: &[u16], k2: u16, low: &[u16]) -> Access {
    let rank = |k, list: &[u16]| Rank { k, of: indices(list).into_iter().map(Access::Party).collect() };
    Access::Ranks(vec![rank(k1, high), rank(k2, low)])
}

pub(crate) fn committee_of(access: &Access) -> Committee {
    parties(&access.parties().into_iter().map(PartyIndex::get).collect::<Vec<_>>())
}

/// A key by the real ceremony.
pub(crate) fn key<C: Curve>(access: &Access, seed: u64) -> Shares<C> {
    World::start(seed, SessionId([1; 32]), &committee_of(access), |p| dkg::start::<C>(p, access.clone()))
        .run()
        .unwrap_all()
        .into_iter()
        .map(|(i, generated)| (i, generated.share))
        .collect()
}

pub(crate) fn public<C: Curve>(shares: &Shares<C>) -> &PublicPackage<C> {
    shares.values().next().unwrap().public()
}

/// From these shares, dealt by `dealers`, to the parties of `access`.
pub(crate) fn plan<C: Curve>(shares: &Shares<C>, dealers: &[u16], access: &Access) -> Plan<C> {
    Plan {
        old: public(shares).clone(),
        dealers: parties(dealers),
        access: access.clone(),
        committee: committee_of(access),
    }
}

/// The session of a plan; `seed` stands for the attempt and for the randomness of all.
pub(crate) fn world<C: Curve>(plan: &Plan<C>, shares: &Shares<C>, seed: u64) -> World<Reshared<C>> {
    let session = plan.session_id(&[("attempt", &seed.to_le_bytes())]).unwrap();
    World::start(seed, session, &plan.participants().unwrap(), |p| {
        let share = plan.dealers.get(p.me).map(|_| &shares[&p.me]);
        reshare::start(p, plan.clone(), share)
    })
}

pub(crate) fn members<C: Curve>(all: BTreeMap<PartyIndex, Reshared<C>>) -> Shares<C> {
    all.into_iter().filter_map(|(i, moved)| Some((i, moved.share?))).collect()
}

/// Carries the plan out.
pub(crate) fn moved<C: Curve>(plan: &Plan<C>, shares: &Shares<C>, seed: u64) -> Shares<C> {
    members(world(plan, shares, seed).run().unwrap_all())
}

/// Every subset of the parties.
pub(crate) fn subsets(parties: &[PartyIndex]) -> impl Iterator<Item = Vec<PartyIndex>> + '_ {
    (0u32..1 << parties.len()).map(|mask| {
        parties.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, p)| *p).collect()
    })
}

/// Every minimal quorum of these shares adds up to the key, and every unqualified set has no additive shares. The number of quorums.
pub(crate) fn every_quorum_has_the_key<C: Curve>(shares: &Shares<C>, key: &Point<C>) -> usize {
    let package = public(shares);
    assert_eq!(package.public_key(), *key);
    let everyone: Vec<_> = shares.keys().copied().collect();
    let mut quorums = 0;
    for set in subsets(&everyone) {
        let Some(committee) = package.committee.subset(&set) else { continue };
        if package.access.is_minimal_quorum(&set) {
            let x: Scalar<C> = set.iter().map(|i| shares[i].additive(&committee).unwrap().expose()).sum();
            assert_eq!(Point::mul_base(&x), *key, "quorum {set:?} of {}", package.access);
            quorums += 1;
        } else if !package.access.is_qualified(&set) {
            assert!(set.iter().all(|i| shares[i].additive(&committee).is_none()), "{set:?}");
        }
    }
    assert!(quorums > 0);
    quorums
}

/// The acknowledgements of all who hold a share.
pub(crate) fn acknowledgements<C: Curve>(shares: &Shares<C>) -> Vec<(PartyIndex, Acknowledgement)> {
    shares.iter().map(|(i, share)| (*i, Acknowledgement::sign(share.public(), &identity(i.get())))).collect()
}

pub(crate) fn certificate<C: Curve>(shares: &Shares<C>) -> Certificate {
    Certificate::from_acknowledgements(public(shares), acknowledgements(shares)).unwrap()
}

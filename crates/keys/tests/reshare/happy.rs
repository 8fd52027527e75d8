//! Every shape of a move among honest parties, on every curve, and walks over many epochs.

use crate::support::{
    Shares, certificate, every_quorum_has_the_key, index, key, members, moved, of, plan, public, ranks, with,
    world,
};
use quorate_keys::dkg::PENDING_SHARE;
use quorate_keys::reshare::Plan;
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::Effect;
use std::collections::BTreeMap;

/// A name, the old structure, who deals, the new structure.
type Shape = (&'static str, Access, &'static [u16], Access);

fn shapes() -> Vec<Shape> {
    vec![
        ("refresh", of(2, &[1, 2, 3]), &[1, 3], of(2, &[1, 2, 3])),
        ("refresh of two", of(2, &[1, 2]), &[1, 2], of(2, &[1, 2])),
        ("refresh of five", of(3, &[1, 2, 3, 4, 5]), &[1, 3, 5], of(3, &[1, 2, 3, 4, 5])),
        ("k up", of(2, &[1, 2, 3]), &[2, 3], of(3, &[1, 2, 3])),
        ("k down", of(3, &[1, 2, 3]), &[1, 2, 3], of(2, &[1, 2, 3])),
        ("two join", of(2, &[1, 2, 3]), &[1, 2], of(3, &[1, 2, 3, 4, 5])),
        ("one joins in the middle", of(2, &[1, 2, 9]), &[1, 9], of(2, &[1, 2, 5, 9])),
        ("the middle one leaves", of(2, &[1, 2, 3]), &[1, 3], of(2, &[1, 3])),
        ("the middle one leaves and deals", of(2, &[1, 2, 3]), &[1, 2], of(2, &[1, 3])),
        ("two leave, k down", of(3, &[1, 2, 3, 4, 5]), &[2, 4, 5], of(2, &[1, 3, 5])),
        ("all others", of(2, &[1, 2, 3]), &[2, 3], of(2, &[4, 5, 6])),
        ("some others", of(2, &[1, 2, 3]), &[1, 2], of(3, &[2, 7, 8, 9])),
        ("to a tree", of(2, &[1, 2, 3]), &[1, 2], with(1, 2, &[2, 3, 4])),
        ("from a tree", with(1, 2, &[2, 3, 4]), &[1, 2, 4], of(2, &[2, 3, 4])),
        ("within a tree", with(4, 2, &[1, 2, 3]), &[1, 3, 4], with(4, 2, &[1, 2, 3])),
        ("to weights", of(2, &[1, 2, 3]), &[2, 3], of(3, &[1, 1, 2, 3])),
        ("from weights", of(3, &[1, 1, 2, 3]), &[1, 2], of(2, &[1, 2, 3])),
        ("within weights", of(3, &[1, 1, 2, 3]), &[1, 3], of(3, &[1, 1, 2, 3])),
        ("to ranks", of(2, &[1, 2, 3]), &[1, 3], ranks(1, &[1, 2], 2, &[3, 4, 5])),
        ("from ranks", ranks(1, &[1, 2], 2, &[3, 4, 5]), &[2, 3, 5], of(2, &[1, 2, 3])),
    ]
}

/// What must hold after any move.
fn compare<C: Curve>(name: &str, plan: &Plan<C>, before: &Shares<C>, after: &Shares<C>) {
    let (old, new) = (public(before), public(after));
    assert_eq!(new.epoch, old.epoch + 1, "{name}");
    assert_eq!((new.key_id, new.chain_code), (old.key_id, old.chain_code), "{name}");
    assert_eq!((&new.access, &new.committee), (&plan.access, &plan.committee), "{name}");
    assert_ne!(new.epoch_id(), old.epoch_id(), "{name}");
    assert!(plan.admits(new) && !plan.admits(old), "{name}");
    assert_eq!(new.public_key(), old.public_key(), "{name}");
    every_quorum_has_the_key(after, &old.public_key());
    assert!(certificate(after).certifies(new), "{name}");
    for (i, share) in after {
        assert_eq!((share.public(), share.index()), (new, *i), "{name}");
        let again = PublicPackage::<C>::from_bytes(&new.to_bytes()).unwrap();
        assert!(KeyShare::from_secret_bytes(again, &share.secret_bytes()).is_some(), "{name}");
        // No row of the new epoch is one of the old.
        for row in share.secrets() {
            let old_rows = before.values().flat_map(KeyShare::secrets);
            assert!(old_rows.into_iter().all(|old| old.expose() != row.expose()), "{name}");
        }
    }
}

fn every_shape<C: Curve>() -> usize {
    let mut cases = 0;
    for (seed, (name, from, dealers, to)) in (1u64..).zip(shapes()) {
        let before = key::<C>(&from, seed);
        let plan = plan(&before, dealers, &to);
        let mut world = world(&plan, &before, seed);
        world.duplicate_one_in = 3;
        let outcome = world.run();
        let stored: Vec<PartyIndex> = outcome
            .effects
            .iter()
            .map(|(i, effect)| match effect {
                Effect::Persist { what, bytes } => {
                    assert_eq!(*what, PENDING_SHARE);
                    let (package, secret): (Vec<u8>, Vec<u8>) = borsh::from_slice(bytes).unwrap();
                    let package = PublicPackage::<C>::from_bytes(&package).unwrap();
                    assert!(KeyShare::from_secret_bytes(package, &secret).is_some());
                    *i
                }
                other => panic!("{name}: {other:?}"),
            })
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        assert_eq!(stored, to.parties(), "{name}: the members store a share, once each");
        assert_eq!(outcome.effects.len(), stored.len(), "{name}");
        let all = outcome.unwrap_all();
        assert_eq!(all.len(), plan.participants().unwrap().len(), "{name}");
        for (i, moved) in &all {
            assert_eq!(moved.share.is_some(), plan.committee.get(*i).is_some(), "{name}: party {i}");
            assert!(plan.admits(&moved.package), "{name}: a party that leaves knows the new package");
        }
        let packages: Vec<_> = all.values().map(|moved| &moved.package).collect();
        assert!(packages.windows(2).all(|w| w[0] == w[1]), "{name}");
        compare(name, &plan, &before, &members(all));
        assert_eq!(plan.is_refresh(), name.starts_with("refresh") || name.starts_with("within"), "{name}");
        assert!(plan.replaced().is_empty(), "{name}");
        assert_eq!(Plan::<C>::from_bytes(&plan.to_bytes()).unwrap().digest(), plan.digest());
        cases += 1;
    }
    cases
}

/// covers: S38
#[test]
fn every_shape_secp256k1() {
    assert_eq!(every_shape::<Secp256k1>(), 20);
}
/// covers: S38
#[test]
fn every_shape_p256() {
    assert_eq!(every_shape::<P256>(), 20);
}
/// covers: S38
#[test]
fn every_shape_ed25519() {
    assert_eq!(every_shape::<Ed25519>(), 20);
}

/// One key over forty epochs: structures and dealers are drawn, and every epoch is moved from by the one before it.
#[test]
fn a_walk_over_many_epochs_keeps_the_key() {
    let mut rng = HedgedRng::new(Entropy::new([4; 32]), b"", b"walk");
    let mut shares = key::<Ed25519>(&of(2, &[1, 2, 3]), 1);
    let born = public(&shares).clone();
    let mut structures = BTreeMap::new();
    for epoch in 1..=40u64 {
        let access = draw(&mut rng);
        let quorum = draw_quorum(&public(&shares).access, &mut rng);
        let plan = plan(&shares, &quorum, &access);
        let next = moved(&plan, &shares, epoch);
        compare(&format!("epoch {epoch}"), &plan, &shares, &next);
        *structures.entry(access.to_string()).or_insert(0) += 1;
        shares = next;
    }
    let last = public(&shares);
    assert_eq!((last.epoch, last.public_key(), last.key_id), (40, born.public_key(), born.key_id));
    assert!(structures.len() > 20, "{structures:?}");
}

fn below(rng: &mut HedgedRng, bound: u16) -> u16 {
    u16::from_le_bytes(rng.bytes()) % bound
}

/// A structure over some of the parties 1 to 6 that nobody satisfies alone and that has a use for each.
fn draw(rng: &mut HedgedRng) -> Access {
    loop {
        let chosen: Vec<u16> = (1..=6).filter(|_| below(rng, 3) > 0).collect();
        if chosen.len() < 2 {
            continue;
        }
        let n = u16::try_from(chosen.len()).unwrap();
        let access = match below(rng, 4) {
            0 => of(2 + below(rng, n - 1), &chosen),
            1 => with(chosen[0], 1 + below(rng, n - 1), &chosen[1..]),
            2 => {
                let weighted: Vec<u16> = chosen.iter().chain(&chosen[..1]).copied().collect();
                of(2 + below(rng, n), &weighted)
            }
            _ => {
                let (high, low) = chosen.split_at(1 + usize::from(below(rng, n - 1)));
                let most = u16::try_from(low.len()).unwrap();
                ranks(1, high, 1 + below(rng, most), low)
            }
        };
        if access.is_valid() && access.lone_party().is_none() && access.idle_party().is_none() {
            return access;
        }
    }
}

/// A minimal quorum: parties leave in an order that is drawn for as long as the rest suffices.
fn draw_quorum(access: &Access, rng: &mut HedgedRng) -> Vec<u16> {
    let mut set = access.parties();
    let mut order = set.clone();
    order.sort_by_cached_key(|_| below(rng, 1000));
    for party in order {
        let rest: Vec<_> = set.iter().copied().filter(|p| *p != party).collect();
        if access.is_qualified(&rest) {
            set = rest;
        }
    }
    set.into_iter().map(PartyIndex::get).collect()
}

/// A refresh names its dealers only; anything else that is asked of it is no refresh.
#[test]
fn a_refresh_keeps_committee_and_structure() {
    let shares = key::<P256>(&of(2, &[1, 2, 3]), 5);
    let old = public(&shares).clone();
    let plan = Plan::refresh(old.clone(), &[index(1), index(3)]).unwrap();
    assert!(plan.is_refresh() && plan.check().is_ok());
    assert!(Plan::refresh(old.clone(), &[index(1)]).is_none(), "no quorum");
    assert!(Plan::refresh(old, &[index(1), index(2), index(3)]).is_none(), "not minimal");
    compare("refresh", &plan, &shares, &moved(&plan, &shares, 6));
}

//! The key generation under every order of delivery, with duplicates, slow, silent and lossy parties.
#![expect(clippy::unwrap_used, reason = "tests")]

use quorate_keys::dkg::{self, Generated};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::SessionId;
use quorate_testkit::attack::{Expect, judge};
use quorate_testkit::{World, parties};

fn world<C: Curve>(seed: u64) -> World<Generated<C>> {
    let committee = parties(&[1, 2, 3]);
    let access = Access::threshold(2, &committee.indices().collect::<Vec<_>>()).unwrap();
    World::start(seed, SessionId([9; 32]), &committee, |p| dkg::start::<C>(p, access.clone()))
}

fn every_order<C: Curve>() -> usize {
    let mut cases = 0;
    for seed in 0..50u64 {
        let mut world = world::<C>(seed);
        world.duplicate_one_in = 2;
        world.slow = PartyIndex::new(u16::try_from(seed % 4).unwrap());
        let results = world.run().unwrap_all();
        let public = results.values().next().unwrap().share.public();
        assert!(results.values().all(|g| g.share.public() == public && g.certificate.certifies(public)));
        cases += 1;
    }
    cases
}

/// covers: S14, S15
#[test]
fn every_order_secp256k1() {
    assert_eq!(every_order::<Secp256k1>(), 50);
}
/// covers: S14, S15
#[test]
fn every_order_p256() {
    assert_eq!(every_order::<P256>(), 50);
}
/// covers: S14, S15
#[test]
fn every_order_ed25519() {
    assert_eq!(every_order::<Ed25519>(), 50);
}

/// covers: S14
#[test]
fn a_silent_party_is_named_by_everybody_else() {
    let mut cases = 0;
    for round in 1..=4u8 {
        for silent in 1..=3u16 {
            let outcome = world::<P256>(1).silence(silent, round).run();
            judge(&format!("party {silent} from round {round}"), Expect::Waits, &outcome, silent);
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
}

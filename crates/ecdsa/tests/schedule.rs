//! Set-up and signing under every order of delivery, with duplicates, slow, silent and lossy parties.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;

use common::{Keys, cached, fresh_setups, index, keys3, session_id};
use quorate_ecdsa::{Signature, setup, sign, verify};
use quorate_protocol::curve::{EcdsaCurve, P256, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::{Effect, SessionId};
use quorate_testkit::attack::{Expect, judge};
use quorate_testkit::{Fate, Parcel, World};

fn world<C: EcdsaCurve>(keys: &Keys<C>, quorum: &[u16], digest: [u8; 32], seed: u64) -> World<Signature> {
    let committee = keys.public().quorum(&quorum.iter().map(|i| index(*i)).collect::<Vec<_>>()).unwrap();
    World::start(seed, session_id(keys, quorum, &digest, seed), &committee, |p| {
        let (share, setup) = (&keys.shares[&p.me], keys.setups[&p.me].clone());
        sign::start(p, share, setup, digest)
    })
}

fn every_order<C: EcdsaCurve>(keys: &Keys<C>, quorums: &[&[u16]], seeds: u64) -> usize {
    let mut cases = 0;
    for seed in 0..seeds {
        let quorum = quorums[usize::try_from(seed).unwrap() % quorums.len()];
        let digest = [u8::try_from(seed).unwrap() + 1; 32];
        let mut world = world(keys, quorum, digest, seed);
        world.duplicate_one_in = 2;
        world.slow = PartyIndex::new(u16::try_from(seed % 6).unwrap());
        let outcome = world.run();
        let consumed = outcome.effects.iter().filter(|(_, e)| matches!(e, Effect::Consume)).count();
        assert_eq!(consumed, quorum.len(), "each party consumes once");
        assert_eq!(outcome.effects.len(), consumed, "and does nothing else");
        let signatures = outcome.unwrap_all();
        let first = signatures.values().next().unwrap();
        assert!(signatures.values().all(|s| s == first));
        assert!(verify(&keys.public().public_key(), &digest, &first.bytes));
        cases += 1;
    }
    cases
}

const PAIRS: [&[u16]; 3] = [&[1, 2], &[1, 3], &[2, 3]];

/// covers: S14, S15
#[test]
fn two_of_three_secp256k1() {
    assert_eq!(every_order(cached::<Secp256k1>(2, 3), &PAIRS, 60), 60);
}
/// covers: S14, S15
#[test]
fn two_of_three_p256() {
    assert_eq!(every_order(cached::<P256>(2, 3), &PAIRS, 60), 60);
}
/// covers: S14, S15
#[test]
fn three_of_five() {
    let quorums: [&[u16]; 4] = [&[1, 2, 3], &[1, 3, 5], &[2, 4, 5], &[3, 4, 5]];
    assert_eq!(every_order(cached::<Secp256k1>(3, 5), &quorums, 52), 52);
}

/// The set-up of three in five orders, of two in twenty.
///
/// covers: S14, S15
#[test]
fn set_up_in_every_order() {
    let mut cases = 0;
    for (keys, seeds) in [(keys3::<Secp256k1>(), 5u64), (cached::<Secp256k1>(2, 2), 20)] {
        for seed in 0..seeds {
            let committee = keys.public().committee.clone();
            let mut world = World::start(seed, SessionId([6; 32]), &committee, |p| {
                let share = &keys.shares[&p.me];
                setup::start(p, share)
            });
            world.duplicate_one_in = 2;
            world.slow = PartyIndex::new(u16::try_from(seed % 4).unwrap());
            assert_eq!(world.run().unwrap_all().len(), committee.len());
            cases += 1;
        }
    }
    assert_eq!(cases, 25);
}

/// covers: S14, C21
#[test]
fn a_silent_party_is_named_by_everybody_else() {
    let keys = keys3::<P256>();
    let mut cases = 0;
    for round in 1..=3u8 {
        for silent in 1..=3u16 {
            let outcome = world(keys, &[1, 2, 3], [1; 32], 1).silence(silent, round).run();
            judge(&format!("party {silent} from round {round}"), Expect::Waits, &outcome, silent);
            // Who is silent only at the end gets the signature and denies it to the others: their partials had left.
            let has_signature = outcome.ended.get(&index(silent)).is_some_and(Result::is_ok);
            assert_eq!(has_signature, round == 3);
            cases += 1;
        }
    }
    assert_eq!(cases, 9);
}

/// covers: S14
#[test]
fn a_party_silent_in_the_set_up_is_named() {
    let keys = keys3::<Secp256k1>();
    let mut cases = 0;
    for (round, silent) in [(1, 1), (2, 2), (3, 3)] {
        let committee = keys.public().committee.clone();
        let world = World::start(1, SessionId([6; 32]), &committee, |p| {
            let share = &keys.shares[&p.me];
            setup::start(p, share)
        });
        judge(&format!("round {round}"), Expect::Waits, &world.silence(silent, round).run(), silent);
        cases += 1;
    }
    assert_eq!(cases, 3);
}

/// After a run in which something was lost, the next attempt signs: loss burns nothing.
///
/// covers: S15, A5
#[test]
fn after_losses_the_next_attempt_signs() {
    let keys = cached::<Secp256k1>(2, 3);
    let setups = fresh_setups(keys);
    for attempt in 0..8u64 {
        let mut count = 0;
        let lose = move |_: &Parcel| {
            count += 1;
            if count == attempt + 1 { Fate::Drop } else { Fate::Deliver }
        };
        let outcome = common::sign_with(keys, setups.clone(), &[1, 3], [9; 32], attempt, lose);
        assert_eq!(outcome.awaiting.is_empty(), attempt >= 6, "six frames are sent");
        assert!(outcome.effects.iter().all(|(_, e)| matches!(e, Effect::Consume)));
    }
}

//! Every schedule, every lost message and every silence: the move ends well, or the old epoch is as it was and another attempt succeeds.

use crate::support::{
    Shares, acknowledgements, certificate, every_quorum_has_the_key, index, key, members, moved, of, plan,
    public, with, world,
};
use quorate_keys::certificate::Certificate;
use quorate_keys::reshare::{Plan, Reshared};
use quorate_protocol::curve::{Curve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::tamper;
use quorate_testkit::attack::{Expect, judge};
use quorate_testkit::{Fate, Outcome, Parcel};

/// Two of three; 1 deals and leaves, 2 deals and stays, 3 stays, 4 joins.
fn setting<C: Curve>() -> (Shares<C>, Plan<C>) {
    let shares = key::<C>(&of(2, &[1, 2, 3]), 1);
    let plan = plan(&shares, &[1, 2], &of(2, &[2, 3, 4]));
    (shares, plan)
}

fn every_order<C: Curve>() -> usize {
    let (shares, plan) = setting::<C>();
    let mut cases = 0;
    for seed in 0..50u64 {
        let mut world = world(&plan, &shares, seed);
        world.duplicate_one_in = 2;
        world.slow = PartyIndex::new(u16::try_from(seed % 5).unwrap());
        let all = world.run().unwrap_all();
        let package = all[&index(1)].package.clone();
        assert!(all.values().all(|moved| moved.package == package));
        let after = members(all);
        assert_eq!(after.len(), 3);
        assert!(after.values().all(|share| share.public() == &package));
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

/// What must hold after a move that did not reach everybody: the old epoch acts, nothing certifies the new one, and the next attempt leads to
/// an epoch that what is left of this one does not fit.
fn unharmed<C: Curve>(
    name: &str,
    setting: &(Shares<C>, Plan<C>),
    outcome: Outcome<Reshared<C>>,
    next: &Shares<C>,
) -> usize {
    let (shares, plan) = setting;
    let stored = outcome.effects.len();
    let done: Vec<(PartyIndex, Reshared<C>)> =
        outcome.ended.into_iter().filter_map(|(i, result)| Some((i, result.ok()?))).collect();
    assert!(done.len() < 4, "{name}: somebody misses something");
    every_quorum_has_the_key(shares, &plan.old.public_key());
    assert!(done.windows(2).all(|w| w[0].1.package == w[1].1.package), "{name}: one package");
    let reached = done.len();
    let prepared: Shares<C> = done.into_iter().filter_map(|(i, moved)| Some((i, moved.share?))).collect();
    assert_eq!(stored, prepared.len(), "{name}: what is stored is what was reached");
    for share in prepared.values() {
        assert!(plan.admits(share.public()), "{name}");
        assert_ne!(share.public(), public(next), "{name}");
        let all = acknowledgements(&prepared);
        let made = Certificate::from_acknowledgements(share.public(), all.iter().copied());
        assert_eq!(made.is_some(), prepared.len() == 3, "{name}: certified only if every member is there");
        // Acknowledgements of this attempt and of the next make no certificate together.
        let mixed = acknowledgements(next)
            .into_iter()
            .map(|(i, ack)| all.iter().find(|(j, _)| *j == i).copied().unwrap_or((i, ack)));
        if prepared.len() < 3 {
            assert!(Certificate::from_acknowledgements(public(next), mixed).is_none(), "{name}");
        }
    }
    reached
}

/// Each of the 36 messages lost, one at a time: only its receiver waits, and for its sender; the others wait for the receiver unless it was
/// the last round.
///
/// covers: S35
#[test]
fn every_lost_message_leaves_the_old_epoch_whole() {
    let setting = setting::<P256>();
    let (shares, plan) = &setting;
    let next = moved(plan, shares, 99);
    assert!(certificate(&next).certifies(public(&next)));
    let (mut cases, mut reached) = (0, 0);
    for round in 1..=3u8 {
        for from in 1..=4u16 {
            for to in (1..=4u16).filter(|to| *to != from) {
                let lossy = move |parcel: &Parcel| {
                    let hit = (parcel.from.get(), parcel.to.get()) == (from, to)
                        && tamper::inspect(&parcel.bytes).is_some_and(|parts| parts.round == round);
                    if hit { Fate::Drop } else { Fate::Deliver }
                };
                let outcome = world(plan, shares, 2).with_adversary(lossy).run();
                let name = format!("round {round} from {from} to {to}");
                assert_eq!(outcome.awaiting[&index(to)], [index(from)], "{name}");
                let done = unharmed(&name, &setting, outcome, &next);
                assert_eq!(done, if round == 3 { 3 } else { 0 }, "{name}");
                reached += done;
                cases += 1;
            }
        }
    }
    assert_eq!((cases, reached), (36, 36));
}

/// Each party silent from each round on, as after a crash: everybody else waits for it and nobody else is named.
///
/// covers: S14, S35
#[test]
fn every_silence_leaves_the_old_epoch_whole() {
    let setting = setting::<Secp256k1>();
    let (shares, plan) = &setting;
    let next = moved(plan, shares, 99);
    let mut cases = 0;
    for round in 1..=3u8 {
        for silent in 1..=4u16 {
            let outcome = world(plan, shares, 2).silence(silent, round).run();
            let name = format!("party {silent} from round {round}");
            judge(&name, Expect::Waits, &outcome, silent);
            // Silent in the last round is one who hears all the others: it has a result, which by itself is worth nothing.
            let done = unharmed(&name, &setting, outcome, &next);
            assert_eq!(done, usize::from(round == 3), "{name}");
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
}

/// A party that stops for good, before its share is durable or after it: there is no certificate until it has come back, and the others can
/// move the key without it.
///
/// covers: S35
#[test]
fn a_move_without_the_party_that_failed_succeeds() {
    let access = with(4, 2, &[1, 2, 3]);
    let shares = key::<Ed25519>(&access, 1);
    let mut cases = 0;
    for failed in 1..=3u16 {
        let others: Vec<u16> = (1..=3).filter(|i| *i != failed).collect();
        let all = plan(&shares, &[others[0], others[1], 4], &access);
        let outcome = world(&all, &shares, 2).silence(failed, 2).run();
        judge("first attempt", Expect::Waits, &outcome, failed);
        let without = with(4, 2, &others);
        let after = moved(&plan(&shares, &[others[0], others[1], 4], &without), &shares, 3);
        every_quorum_has_the_key(&after, &public(&shares).public_key());
        assert!(!after.contains_key(&index(failed)) && after.len() == 3);
        cases += 1;
    }
    assert_eq!(cases, 3);
}

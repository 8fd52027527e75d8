//! Every message of the pairwise set-up and every field of it, changed, replayed, redirected, cut and padded by party 2.
#![expect(clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;

use common::{Keys, cached, index, keys3};
use quorate_ecdsa::{PairwiseSetup, setup};
use quorate_protocol::abort::{Blame, Check};
use quorate_protocol::curve::{EcdsaCurve, P256, Secp256k1};
use quorate_protocol::session::{BadParams, Effect, SessionId, tamper};
use quorate_testkit::attack::{Attack, Edit, Expect, Part, Recording, Table, judge};
use quorate_testkit::world::params;
use quorate_testkit::{Fate, Parcel, World, identity, parties};

const CHEATER: u16 = 2;
/// A set-up of three costs three times as much and meets the same code: the tables run between two.
const HONEST: [u16; 1] = [1];
const THIS: SessionId = SessionId([2; 32]);
const EARLIER: SessionId = SessionId([3; 32]);
const OFFER: u8 = 1;
const ANSWER: u8 = 2;
const CONFIRM: u8 = 3;

/// 128 pairs of points
const POINTS: usize = 128 * 2 * 33;
/// sums of three levels, digest, sum
const TREE: usize = 3 * 2 * 16 + 32 + 32;

fn world<C: EcdsaCurve>(keys: &Keys<C>, session: SessionId, seed: u64) -> World<PairwiseSetup<C>> {
    let committee = keys.public().committee.clone();
    World::start(seed, session, &committee, |p| {
        let share = &keys.shares[&p.me];
        setup::start(p, share)
    })
}

fn record<C: EcdsaCurve>(keys: &Keys<C>, session: SessionId, seed: u64) -> Recording {
    let recording = Recording::default();
    world(keys, session, seed).with_adversary(recording.recorder()).run().unwrap_all();
    recording
}

fn attacks<C: EcdsaCurve>(keys: &Keys<C>) -> Vec<Attack> {
    let earlier = record(keys, EARLIER, 1);
    let this = record(keys, THIS, 2);
    let mut rows = Vec::new();
    let malformed = Expect::Party(Check::Malformed);

    // Party 2's own code sees answers to what it did not ask and stops; the adversary then confirms in its place (see `run`).
    let confirmation = Expect::Edge(Check::OtConfirmation);
    let mut table = Table::new(OFFER, Part::Direct, "Offer");
    assert_eq!(this.body(OFFER, CHEATER, 1, Part::Direct).len(), POINTS + 32);
    table.lengths();
    table.point::<C>("first r_0", 0, confirmation);
    table.row("r_1 of instance 77, negated", Edit::Xor((77 * 2 + 1) * 33, 1), confirmation);
    table.row("last r_1, negated", Edit::Xor(255 * 33, 1), confirmation);
    let r_0 = |to: u16| this.body(OFFER, CHEATER, to, Part::Direct)[..33].to_vec();
    let repeated = HONEST.map(|to| {
        let mut body = this.body(OFFER, CHEATER, to, Part::Direct);
        body[33..66].copy_from_slice(&r_0(to));
        (to, body)
    });
    table.row("r_0 = r_1", Edit::Bodies(repeated.into_iter().collect()), Expect::Party(Check::BaseOt));
    table.bytes("zero seed", POINTS, 32, confirmation);
    table.row("replayed", earlier.bodies(OFFER, CHEATER, &HONEST, Part::Direct), confirmation);
    rows.append(&mut table.rows);
    let mut table = Table::new(OFFER, Part::Broadcast, "nothing beside Offer");
    table.row("something", Edit::Append, malformed);
    rows.append(&mut table.rows);

    // Half of what an answer says concerns the side that the receiver did not choose: which check it meets depends on Δ. Either way the
    // instance dies with the session.
    let either = Expect::EitherEdge(Check::Pprf, Check::OtConfirmation);
    let proof = Expect::Edge(Check::Pprf);
    let mut table = Table::new(ANSWER, Part::Direct, "Answer");
    assert_eq!(this.body(ANSWER, CHEATER, 1, Part::Direct).len(), POINTS + 32 * TREE);
    table.lengths();
    table.point::<C>("first B_0", 0, either);
    table.row("B_1 of instance 77, negated", Edit::Xor((77 * 2 + 1) * 33, 1), either);
    table.row("last B_1, negated", Edit::Xor(255 * 33, 1), either);
    table.row("both points of an instance", Edit::All(vec![Edit::Xor(0, 1), Edit::Xor(33, 1)]), proof);
    for tree in [0, 31] {
        let at = POINTS + tree * TREE;
        for level in [0, 2] {
            let (left, right) = (Edit::Xor(at + level * 32, 1), Edit::Xor(at + level * 32 + 31, 0x80));
            table.row(&format!("tree {tree}, left sum {level}"), left.clone(), either);
            table.row(&format!("tree {tree}, right sum {level}"), right.clone(), either);
            table.row(&format!("tree {tree}, both sums {level}"), Edit::All(vec![left, right]), proof);
        }
        table.bytes(&format!("tree {tree}, digest"), at + 96, 32, proof);
        table.bytes(&format!("tree {tree}, sum"), at + 128, 32, proof);
    }
    table.row("replayed", earlier.bodies(ANSWER, CHEATER, &HONEST, Part::Direct), proof);
    rows.append(&mut table.rows);

    let mut table = Table::new(CONFIRM, Part::Direct, "Confirm");
    table.lengths();
    for (name, at) in [("mine", 0), ("yours", 32), ("zero seed", 64)] {
        table.bytes(name, at, 32, confirmation);
    }
    let exchanged = HONEST.map(|to| {
        let body = this.body(CONFIRM, CHEATER, to, Part::Direct);
        (to, [&body[32..64], &body[..32], &body[64..]].concat())
    });
    table.row("directions exchanged", Edit::Bodies(exchanged.into_iter().collect()), confirmation);
    table.row("replayed", earlier.bodies(CONFIRM, CHEATER, &HONEST, Part::Direct), confirmation);
    rows.append(&mut table.rows);
    rows
}

/// Replaces the notice with which party 2's own code gives up by a confirmation, as a cheater would that plays to the end.
fn confirms_anyway(parcel: &Parcel) -> Option<Vec<u8>> {
    tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| {
        parts.round = CONFIRM;
        parts.direct = vec![1; 96];
    })
}

fn every_field<C: EcdsaCurve>(keys: &Keys<C>, every: usize) -> usize {
    let attacks = attacks(keys);
    let mut cases = 0;
    for attack in attacks.iter().step_by(every) {
        let outcome =
            world(keys, THIS, 2).with_adversary(attack.clone().adversary(CHEATER, confirms_anyway)).run();
        attack.judge(&outcome, CHEATER);
        cases += 1;
    }
    cases
}

/// covers: A14, A16, A19, B15, S3, S5, S8
#[test]
fn every_field_secp256k1() {
    assert_eq!(every_field(cached::<Secp256k1>(2, 2), 1), 68);
}
/// The same table, every fifth row: the code is generic, and a set-up is slow.
///
/// covers: A14, A16, A19, B15, S3
#[test]
fn every_fifth_field_p256() {
    assert_eq!(every_field(cached::<P256>(2, 2), 5), 14);
}

/// Bodies exchanged between two receivers: every instance names both of its parties.
///
/// covers: A9
#[test]
fn swapped_bodies_are_refused() {
    let keys = keys3::<Secp256k1>();
    let this = record(keys, THIS, 2);
    let confirmation = Expect::Edge(Check::OtConfirmation);
    let rows = [(OFFER, confirmation), (ANSWER, Expect::Edge(Check::Pprf)), (CONFIRM, confirmation)];
    for (round, expect) in rows {
        let edit = this.rotated(round, CHEATER, &[1, 3], Part::Direct);
        let attack =
            Attack { name: format!("swapped, round {round}"), round, part: Part::Direct, edit, expect };
        let outcome =
            world(keys, THIS, 2).with_adversary(attack.clone().adversary(CHEATER, confirms_anyway)).run();
        attack.judge(&outcome, CHEATER);
    }
}

/// A cheater that stops instead leaves the others waiting for exactly that party, without a result.
#[test]
fn who_gives_up_is_awaited_or_reported() {
    let keys = cached::<Secp256k1>(2, 2);
    let attack = attacks(keys).into_iter().find(|a| a.name == "Offer: first r_0, negated").unwrap();
    let outcome = world(keys, THIS, 2).with_adversary(attack.clone().adversary(CHEATER, |_| None)).run();
    judge(&attack.name, Expect::Waits, &outcome, CHEATER);
    // Its own code noticed: the answers fit no request of its own.
    assert_eq!(outcome.abort_of(CHEATER).unwrap().check, Check::Pprf);
    assert!(matches!(outcome.abort_of(CHEATER).unwrap().blame, Blame::Edge(_)));
}

/// Secrets are handed to the store before the confirmation leaves (`World` asserts the order), and nobody has a set-up before all have.
#[test]
fn everybody_stores_before_anybody_has_a_result() {
    let keys = cached::<Secp256k1>(2, 2);
    let outcome = world(keys, THIS, 2).silence(CHEATER, CONFIRM).run();
    judge("no confirmation", Expect::Waits, &outcome, CHEATER);
    assert_eq!(outcome.effects.len(), 2);
    for (_, effect) in &outcome.effects {
        assert!(matches!(effect, Effect::Persist { what: setup::PENDING_SETUP, .. }));
    }
}

/// covers: A8, C1, C18
#[test]
fn only_the_committee_of_the_key_can_start() {
    let keys = keys3::<Secp256k1>();
    let share = &keys.shares[&index(1)];
    let two = parties(&[1, 2]);
    let start = |p| setup::start(p, share).map(|_| ());
    let all = &keys.public().committee;
    assert!(matches!(start(params(THIS, &two, 1, 1)), Err(BadParams::Unsuitable(_))));
    assert!(matches!(start(params(THIS, all, 2, 1)), Err(BadParams::Unsuitable(_))));
    assert!(matches!(start(params(SessionId([0; 32]), all, 1, 1)), Err(BadParams::ZeroSession)));
    assert!(start(params(THIS, all, 1, 1)).is_ok());
}

/// Frames of an earlier set-up and of other receivers are dropped, count as rejected, and harm nobody.
///
/// covers: A5, C17, S11
#[test]
fn stray_frames_are_dropped() {
    let keys = cached::<Secp256k1>(2, 2);
    let recording = Recording::default();
    world(keys, EARLIER, 1).with_adversary(recording.recorder()).run().unwrap_all();
    let mut old = recording.parcels();
    let adversary = move |parcel: &Parcel| {
        let mut parcels = vec![parcel.clone()];
        parcels.extend(old.pop());
        // And the frame back to its sender.
        parcels.push(Parcel { from: parcel.to, to: parcel.from, bytes: parcel.bytes.clone() });
        Fate::Replace(parcels)
    };
    let outcome = world(keys, THIS, 2).with_adversary(adversary).run();
    assert_eq!(outcome.rejected, 12);
    assert_eq!(outcome.unwrap_all().len(), 2);
}

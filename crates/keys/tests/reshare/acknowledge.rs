//! The round in which all say that their shares are durable: everything that a party can send in it which is not its own acknowledgement of
//! this package, and what it takes to convince others.

use crate::support::{Shares, acknowledgements, index, key, moved, of, plan, public};
use quorate_keys::acknowledge;
use quorate_keys::certificate::Certificate;
use quorate_protocol::abort::Check;
use quorate_protocol::curve::{Curve, Ed25519, P256, Secp256k1};
use quorate_protocol::message::encode;
use quorate_protocol::party::Committee;
use quorate_protocol::session::BadParams;
use quorate_testkit::attack::{Attack, Edit, Expect, Part, Recording, Table, judge};
use quorate_testkit::world::params;
use quorate_testkit::{Fate, Parcel, World, parties};

const CHEATER: u16 = 2;
const HONEST: [u16; 2] = [1, 3];
const DURABLE: u8 = 1;

fn session<C: Curve>(
    shares: &Shares<C>,
    committee: &Committee,
    attempt: u64,
) -> quorate_protocol::session::SessionId {
    public(shares).session_id(acknowledge::PROTOCOL, committee, &[("attempt", &attempt.to_le_bytes())])
}

fn world<C: Curve>(shares: &Shares<C>, attempt: u64) -> World<Certificate> {
    let committee = &public(shares).committee;
    World::start(attempt, session(shares, committee, attempt), committee, |p| {
        acknowledge::start(p, public(shares).clone())
    })
}

fn record<C: Curve>(shares: &Shares<C>, attempt: u64) -> Recording {
    let recording = Recording::default();
    world(shares, attempt).with_adversary(recording.recorder()).run().unwrap_all();
    recording
}

/// Every field, and acknowledgements that are true of something else.
fn attacks<C: Curve>(shares: &Shares<C>, next: &Shares<C>) -> Vec<Attack> {
    let refused = Expect::Party(Check::Acknowledgement);
    let mut table = Table::new(DURABLE, Part::Broadcast, "Durable");
    table.lengths().bytes("signature", 0, 64, refused);
    let of_package = |shares: &Shares<C>, at: u16| {
        let all = acknowledgements(shares);
        let (_, acknowledgement) = all.into_iter().find(|(party, _)| *party == index(at)).unwrap();
        Edit::Overwrite(0, encode(&acknowledgement))
    };
    table.row("of the next epoch", of_package(next, CHEATER), refused);
    for honest in HONEST {
        table.row(&format!("of party {honest}"), of_package(shares, honest), refused);
    }
    let mut rows = table.rows;
    let mut table = Table::new(DURABLE, Part::Direct, "nothing beside Durable");
    table.row("something", Edit::Append, Expect::Party(Check::Malformed));
    rows.append(&mut table.rows);
    rows
}

fn every_field<C: Curve>() -> usize {
    let shares = key::<C>(&of(2, &[1, 2, 3]), 1);
    let next = moved(&plan(&shares, &[1, 2], &of(2, &[1, 2, 3])), &shares, 2);
    let attacks = attacks(&shares, &next);
    for attack in &attacks {
        let outcome = world(&shares, 3).with_adversary(attack.clone().adversary(CHEATER, |_| None)).run();
        attack.judge(&outcome, CHEATER);
    }
    attacks.len()
}

/// covers: B15
#[test]
fn every_field_of_an_acknowledgement() {
    let cases = [every_field::<Secp256k1>(), every_field::<P256>(), every_field::<Ed25519>()];
    assert_eq!(cases, [CASES; 3]);
}
const CASES: usize = 10;

/// What was said in an earlier round of the same package is as true now: it names no session. In its frame it is another session's.
#[test]
fn a_replayed_acknowledgement_is_the_same_and_its_frame_is_not() {
    let shares = key::<Secp256k1>(&of(2, &[1, 2, 3]), 1);
    let (earlier, this) = (record(&shares, 3), record(&shares, 4));
    let body = |recording: &Recording| recording.body(DURABLE, CHEATER, 1, Part::Broadcast);
    assert_eq!(body(&earlier), body(&this));
    let frames = earlier.clone();
    let outcome = world(&shares, 4)
        .with_adversary(move |parcel: &Parcel| {
            if parcel.from.get() != CHEATER {
                return Fate::Deliver;
            }
            let bytes = frames.frame(DURABLE, CHEATER, parcel.to.get());
            Fate::Replace(vec![Parcel { bytes, ..parcel.clone() }])
        })
        .run();
    judge("frames of another session", Expect::Waits, &outcome, CHEATER);
}

/// covers: B11
#[test]
fn who_was_told_by_all_has_what_convinces_everybody() {
    let shares = key::<Ed25519>(&of(2, &[1, 2, 3]), 1);
    let to_half = |parcel: &Parcel| {
        if parcel.from.get() == CHEATER && parcel.to.get() == 3 { Fate::Drop } else { Fate::Deliver }
    };
    let outcome = world(&shares, 3).with_adversary(to_half).run();
    assert_eq!(outcome.awaiting.keys().copied().collect::<Vec<_>>(), [index(3)], "who was not told waits");
    let told = outcome.ended[&index(1)].as_ref().unwrap();
    assert!(told.certifies(public(&shares)), "and what the others have convinces it, whoever shows it");
    let all = world(&shares, 4).run().unwrap_all();
    assert_eq!(all.len(), 3);
    assert!(all.values().all(|one| one.certifies(public(&shares)) && Some(one) == all.get(&index(1))));
    let next = moved(&plan(&shares, &[1, 2], &of(2, &[1, 2, 3])), &shares, 2);
    assert!(!all[&index(1)].certifies(public(&next)), "of this epoch and no other");
}

#[test]
fn only_exactly_the_parties_of_the_package_take_part() {
    let shares = key::<Ed25519>(&of(2, &[1, 2, 3]), 1);
    for wrong in [&[1, 2][..], &[1, 2, 3, 4]] {
        let committee = parties(wrong);
        let session = session(&shares, &committee, 3);
        let started = acknowledge::start(params(session, &committee, 1, 3), public(&shares).clone());
        assert!(matches!(started.err(), Some(BadParams::Unsuitable(_))), "{wrong:?}");
    }
}

//! Which failures burn a pair, what a burned pair refuses, and what must never burn two honest parties.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;

use common::{Keys, cached, fresh_setups, index, session_id, sign_with};
use quorate_ecdsa::{PairwiseSetup, Signature, setup, sign};
use quorate_protocol::abort::{Abort, Blame, Check, Consequence};
use quorate_protocol::curve::{Scalar, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::{BadParams, Effect, Session, SessionId, tamper};
use quorate_testkit::attack::{Attack, Edit, Expect, Part, judge};
use quorate_testkit::world::params;
use quorate_testkit::{Fate, Parcel, World, identity, parties};
use std::collections::BTreeMap;
use std::sync::Arc;

type C = Secp256k1;
type Setups = BTreeMap<PartyIndex, Arc<PairwiseSetup<C>>>;

const DIGEST: [u8; 32] = [0x11; 32];
const COMMIT: u8 = 1;
const OPEN: u8 = 2;

fn keys() -> &'static Keys<C> {
    cached(2, 2)
}

fn sid(attempt: u64) -> SessionId {
    session_id(keys(), &[1, 2], &DIGEST, attempt)
}

fn begin(setups: &Setups, me: u16, session: SessionId, seed: u64) -> Result<Session<Signature>, BadParams> {
    let committee = keys().public().quorum(&[index(1), index(2)]).unwrap();
    let p = params(session, &committee, me, seed);
    sign::start(p, &keys().shares[&index(me)], setups[&index(me)].clone(), DIGEST)
}

/// Takes the one frame that a session between two has to send.
fn sent(session: &mut Session<Signature>) -> Vec<u8> {
    while session.poll_effect().is_some() {}
    session.effects_durable();
    session.poll_transmit().unwrap().bytes.to_vec()
}

fn give(session: &mut Session<Signature>, from: u16, bytes: &[u8]) {
    session.handle_message(index(from), bytes).unwrap();
    session.step();
}

/// The end of a session that failed: its effects, checked to precede everything that leaves, and the abort.
fn end(session: &mut Session<Signature>) -> (Vec<(PartyIndex, Check)>, Abort) {
    let mut burns = Vec::new();
    loop {
        match session.poll_effect() {
            Some(Effect::Burn { peer, check }) => {
                assert!(session.poll_transmit().is_none() && session.poll_output().is_none());
                burns.push((peer, check));
            }
            Some(other) => panic!("{other:?}"),
            None => break,
        }
    }
    session.effects_durable();
    assert!(tamper::is_abort(&session.poll_transmit().unwrap().bytes));
    (burns, session.poll_output().unwrap().unwrap_err())
}

fn forged(bytes: &[u8], at: usize) -> Vec<u8> {
    tamper::rewrite(bytes, &identity(2), |parts| parts.direct[at] ^= 1).unwrap()
}

/// Three sessions of one pair in flight, in two states, when a fourth fails: none of them gives another verdict.
///
/// covers: A1, A2, A3, A4, S27, S33
#[test]
fn after_a_failed_check_the_pair_refuses_everything() {
    for (round, at, check) in [(COMMIT, 100, Check::OtExtension), (OPEN, 200, Check::VoleConsistency)] {
        let setups = fresh_setups(keys());
        let open = |attempt: u64| {
            (
                begin(&setups, 1, sid(attempt), attempt).unwrap(),
                begin(&setups, 2, sid(attempt), attempt).unwrap(),
            )
        };
        let (mut failing, mut cheater) = open(1);
        let (mut early, mut early_peer) = open(2);
        let (mut late, mut late_peer) = open(3);
        // The late session has passed its OT check already.
        let (a, b) = (sent(&mut late), sent(&mut late_peer));
        give(&mut late, 2, &b);
        give(&mut late_peer, 1, &a);

        let (a, b) = (sent(&mut failing), sent(&mut cheater));
        if round == COMMIT {
            give(&mut failing, 2, &forged(&b, at));
        } else {
            give(&mut failing, 2, &b);
            give(&mut cheater, 1, &a);
            let _ = sent(&mut failing);
            give(&mut failing, 2, &forged(&sent(&mut cheater), at));
        }
        assert!(setups[&index(1)].is_burned(index(2)), "in memory at once, whatever the driver does");
        let (burns, abort) = end(&mut failing);
        assert_eq!(burns, [(index(2), check)]);
        assert_eq!((abort.check, abort.consequence), (check, Consequence::Burn(index(2))));

        // What comes now is honest, and refused without being looked at; the refusal too waits for a durable mark.
        give(&mut early, 2, &sent(&mut early_peer));
        let _ = sent(&mut late);
        give(&mut late, 2, &sent(&mut late_peer));
        for session in [&mut early, &mut late] {
            let (burns, abort) = end(session);
            assert_eq!(burns, [(index(2), Check::BurnedInstance)]);
            assert_eq!((abort.check, abort.blame), (Check::BurnedInstance, Blame::Edge(index(2))));
        }
        // New sessions do not start, in this process and after a restart that knows the mark.
        assert!(matches!(begin(&setups, 1, sid(4), 4), Err(BadParams::Burned(peer)) if peer == index(2)));
        let restored = PairwiseSetup::<C>::from_secret_bytes(&setups[&index(1)].secret_bytes(), []).unwrap();
        assert!(!restored.is_burned(index(2)), "marks are kept apart from the sealed set-up");
        restored.burn(index(2));
        let mut after = setups.clone();
        after.insert(index(1), Arc::new(restored));
        assert!(matches!(begin(&after, 1, sid(4), 4), Err(BadParams::Burned(peer)) if peer == index(2)));
        // The peer has failed no check and holds no mark.
        assert!(!setups[&index(2)].is_burned(index(1)));
    }
}

/// A burned pair does not take others with it.
///
/// covers: A4, A9
#[test]
fn other_pairs_go_on() {
    let keys = cached::<C>(2, 3);
    let setups = fresh_setups(keys);
    setups[&index(1)].burn(index(2));
    assert!(setups[&index(1)].is_burned(index(2)) && !setups[&index(1)].is_burned(index(3)));
    assert!(setups[&index(1)].is_burned(index(9)), "no set-up is as good as burned");
    let outcome = sign_with(keys, setups.clone(), &[1, 3], DIGEST, 1, |_: &Parcel| Fate::Deliver);
    assert_eq!(outcome.unwrap_all().len(), 2);
    let outcome = sign_with(keys, setups, &[2, 3], DIGEST, 1, |_: &Parcel| Fate::Deliver);
    assert_eq!(outcome.unwrap_all().len(), 2);
}

/// One party was told to run the set-up again, the other still holds the old one: they part before any check that burns.
///
/// covers: A5, A9
#[test]
fn two_set_ups_of_one_epoch_do_not_burn_each_other() {
    let committee = parties(&[1, 2]);
    let shares = &keys().shares;
    let again = World::start(9, SessionId([0x77; 32]), &committee, |p| {
        let share = &shares[&p.me];
        setup::start(p, share)
    })
    .run()
    .unwrap_all();
    let mut mixed = fresh_setups(keys());
    for (i, s) in again {
        if i == index(2) {
            mixed.insert(i, Arc::new(s));
        }
    }
    let outcome = sign_with(keys(), mixed.clone(), &[1, 2], DIGEST, 1, |p: &Parcel| {
        if tamper::is_abort(&p.bytes) { Fate::Drop } else { Fate::Deliver }
    });
    for (i, other) in [(1, 2), (2, 1)] {
        let abort = outcome.abort_of(i).unwrap();
        assert_eq!((abort.check, abort.blame), (Check::InstanceMismatch, Blame::Edge(index(other))));
        assert!(!mixed[&index(i)].is_burned(index(other)));
    }
    assert!(outcome.effects.is_empty());
}

/// Party 1 was restarted and runs the same session again, which its caller should never do: whatever the two have seen of each other's
/// lives, nobody burns.
///
/// covers: A5, A8
#[test]
fn a_session_that_is_run_twice_does_not_burn() {
    let setups = fresh_setups(keys());
    let mut first = begin(&setups, 1, sid(1), 1).unwrap();
    let mut second = begin(&setups, 1, sid(1), 2).unwrap();
    let mut peer = begin(&setups, 2, sid(1), 3).unwrap();
    let (old, new, theirs) = (sent(&mut first), sent(&mut second), sent(&mut peer));
    assert_ne!(old, new);
    give(&mut peer, 1, &old);
    give(&mut second, 2, &theirs);
    let (from_second, from_peer) = (sent(&mut second), sent(&mut peer));
    give(&mut second, 2, &from_peer);
    let (burns, abort) = end(&mut second);
    assert!(burns.is_empty());
    assert_eq!(abort.check, Check::Binding, "their product answers the first life's request");
    give(&mut peer, 1, &from_second);
    let (burns, abort) = end(&mut peer);
    assert!(burns.is_empty());
    assert_eq!(abort.check, Check::CommitmentOpening);
    assert!(setups.iter().all(|(i, s)| !s.is_burned(index(3 - i.get()))));
}

/// A coordinator gives the two sides different sessions, or feeds frames of old ones: frames are dropped, nobody aborts, nobody burns.
///
/// covers: A5, C17, S11, S14
#[test]
fn frames_of_other_sessions_are_dropped_without_harm() {
    let setups = fresh_setups(keys());
    let mut one = begin(&setups, 1, sid(1), 1).unwrap();
    let mut two = begin(&setups, 2, sid(2), 1).unwrap();
    let (a, b) = (sent(&mut one), sent(&mut two));
    assert!(one.handle_message(index(2), &b).is_err() && two.handle_message(index(1), &a).is_err());
    assert_eq!(one.awaiting(), [index(2)]);
    assert_eq!(two.awaiting(), [index(1)]);
    // The right peer comes late and all is well.
    let mut right = begin(&setups, 2, sid(1), 5).unwrap();
    let b = sent(&mut right);
    give(&mut one, 2, &b);
    give(&mut right, 1, &a);
    for _ in 0..2 {
        let (a, b) = (sent(&mut one), sent(&mut right));
        give(&mut one, 2, &b);
        give(&mut right, 1, &a);
    }
    assert_eq!(one.poll_output().unwrap().unwrap(), right.poll_output().unwrap().unwrap());
}

/// A coordinator gives two honest parties different digests under one session id, which should bind the digest: no signature on either,
/// and no burn.
///
/// covers: A5, C3, C8
#[test]
fn two_digests_in_one_session_give_no_signature_and_no_burn() {
    let setups = fresh_setups(keys());
    let committee = keys().public().quorum(&[index(1), index(2)]).unwrap();
    let outcome = World::start(1, sid(1), &committee, |p| {
        let (share, setup) = (&keys().shares[&p.me], setups[&p.me].clone());
        let digest = [u8::try_from(p.me.get()).unwrap(); 32];
        sign::start(p, share, setup, digest)
    })
    .with_adversary(|p: &Parcel| if tamper::is_abort(&p.bytes) { Fate::Drop } else { Fate::Deliver })
    .run();
    judge("two digests", Expect::Edge(Check::Binding), &outcome, 2);
    judge("two digests", Expect::Edge(Check::Binding), &outcome, 1);
}

/// Guess after guess, in sessions that were all in flight before and in new ones: the first that fails is the only verdict. What comes after it is
/// answered alike whether the guess was right or wrong, and no new session begins.
///
/// covers: A1, S32
#[test]
fn three_hundred_guesses_get_one_verdict() {
    let setups = fresh_setups(keys());
    let mut flying: Vec<_> = (1..=300)
        .map(|guess| {
            let mut honest = begin(&setups, 1, sid(guess), guess).unwrap();
            let mut cheater = begin(&setups, 2, sid(guess), guess).unwrap();
            let _ = sent(&mut honest);
            (honest, sent(&mut cheater))
        })
        .collect();
    let (mut verdicts, mut alike) = (0, 0);
    for (at, (honest, frame)) in flying.iter_mut().enumerate() {
        // Every third is right, from the second on.
        let frame = if at % 3 == 1 { frame.clone() } else { forged(frame, 40) };
        give(honest, 2, &frame);
        let (burns, abort) = end(honest);
        assert_eq!(abort.blame, Blame::Edge(index(2)));
        match abort.check {
            Check::OtExtension => verdicts += 1,
            Check::BurnedInstance => {
                assert_eq!(burns, [(index(2), Check::BurnedInstance)]);
                alike += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((verdicts, alike), (1, 299));
    let begun = (301..=600).filter(|guess| begin(&setups, 1, sid(*guess), *guess).is_ok()).count();
    assert_eq!(begun, 0);
}

/// Between two parties, where nothing is echoed: the same verdicts.
///
/// covers: A1, C8
#[test]
fn two_parties_judge_like_three() {
    let rows = [
        (COMMIT, Part::Broadcast, 0, Expect::Party(Check::CommitmentOpening)),
        (COMMIT, Part::Direct, 0, Expect::Edge(Check::InstanceMismatch)),
        (COMMIT, Part::Direct, 40, Expect::Burn(Check::OtExtension)),
        (OPEN, Part::Broadcast, 0, Expect::Party(Check::CommitmentOpening)),
        (OPEN, Part::Broadcast, 65, Expect::Burn(Check::VoleInput)),
        (OPEN, Part::Direct, 97, Expect::Edge(Check::Binding)),
        (OPEN, Part::Direct, 100, Expect::Burn(Check::VoleConsistency)),
        (3, Part::Direct, 31, Expect::Nobody(Check::FinalSignature)),
    ];
    for (round, part, at, expect) in rows {
        for cheater in [1, 2] {
            let attack = Attack {
                name: format!("{round} {part:?} {at}"),
                round,
                part,
                edit: Edit::Xor(at, 1),
                expect,
            };
            let adversary = attack.clone().adversary(cheater, |_| None);
            let outcome = sign_with(keys(), fresh_setups(keys()), &[1, 2], DIGEST, 1, adversary);
            judge(&attack.name, expect, &outcome, cheater);
        }
    }
    assert_eq!(rows.len(), 8);
}

/// covers: B6, C1, C5, C18, S2
#[test]
fn sessions_that_must_not_start() {
    let keys = cached::<C>(2, 3);
    let other = cached::<C>(2, 2);
    let setups = fresh_setups(keys);
    let all = &keys.public().committee;
    let some = |indices: &[u16]| all.subset(&indices.iter().map(|i| index(*i)).collect::<Vec<_>>()).unwrap();
    let begin = |committee: &_, me: u16, setup: &Arc<PairwiseSetup<C>>, digest| {
        let p = params(SessionId([5; 32]), committee, me, 1);
        sign::start(p, &keys.shares[&index(1)], setup.clone(), digest).map(|_| ())
    };
    let mine = &setups[&index(1)];
    let two = some(&[1, 2]);
    assert!(begin(&two, 1, mine, DIGEST).is_ok());
    let mut cases = 0;
    let mut refused = |result: Result<(), BadParams>| {
        assert!(matches!(result, Err(BadParams::Unsuitable(_))), "{result:?}");
        cases += 1;
    };
    refused(begin(&some(&[1]), 1, mine, DIGEST));
    refused(begin(all, 1, mine, DIGEST));
    refused(begin(&some(&[2, 3]), 2, mine, DIGEST));
    refused(begin(&two, 2, mine, DIGEST));
    refused(begin(&parties(&[1, 4]), 1, mine, DIGEST));
    // The right index under another identity.
    let impostor = quorate_protocol::party::Party {
        index: index(2),
        identity: {
            use quorate_protocol::party::Identity as _;
            identity(9).public()
        },
    };
    let forged =
        quorate_protocol::party::Committee::new(vec![*all.get(index(1)).unwrap(), impostor]).unwrap();
    refused(begin(&forged, 1, mine, DIGEST));
    // The set-up of another key, which is another epoch.
    refused(begin(&two, 1, &fresh_setups(other)[&index(1)], DIGEST));
    refused(begin(&two, 1, mine, [0; 32]));
    // The order itself is zero too: -1, and one more.
    let mut order = (-Scalar::<C>::ONE()).to_bytes();
    order[31] += 1;
    refused(begin(&two, 1, mine, order));
    assert_eq!(cases, 9);
    assert!(keys.public().quorum(&[index(1), index(1)]).is_none(), "a duplicate is no quorum");
}

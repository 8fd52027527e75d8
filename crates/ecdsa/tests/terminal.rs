//! What a session does after the last check has failed: nothing, for ever, and the same whatever was wrong.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;

use std::collections::BTreeMap;

use common::{cached, fresh_setups, index, session_id, sign_with};
use quorate_ecdsa::{Signature, sign};
use quorate_protocol::abort::{Blame, Check, Consequence};
use quorate_protocol::curve::{Scalar, Secp256k1};
use quorate_protocol::session::{Effect, Rejected, Session, tamper};
use quorate_testkit::attack::Recording;
use quorate_testkit::identity;
use quorate_testkit::world::params;

type C = Secp256k1;

const DIGEST: [u8; 32] = [0x13; 32];
const PARTIAL: u8 = 3;

/// Two parties before the last round: the session of party 1, and the partial signature of party 2, which it has not seen.
fn before_the_end(attempt: u64) -> (Session<Signature>, Vec<u8>, Vec<u8>) {
    let keys = cached::<C>(2, 2);
    let setups = fresh_setups(keys);
    let id = session_id(keys, &[1, 2], &DIGEST, attempt);
    let both = keys.public().quorum(&[index(1), index(2)]).unwrap();
    let mut sessions = [1u16, 2].map(|me| {
        let share = &keys.shares[&index(me)];
        sign::start(params(id, &both, me, attempt), share, setups[&index(me)].clone(), DIGEST).unwrap()
    });
    let take = |session: &mut Session<Signature>| {
        while session.poll_effect().is_some() {}
        session.effects_durable();
        session.poll_transmit().unwrap().bytes.to_vec()
    };
    let mut first = Vec::new();
    for round in 1..PARTIAL {
        let frames = sessions.each_mut().map(take);
        if round == 1 {
            first.clone_from(&frames[0]);
        }
        sessions[0].handle_message(index(2), &frames[1]).unwrap();
        sessions[1].handle_message(index(1), &frames[0]).unwrap();
        sessions.iter_mut().for_each(Session::step);
    }
    let [mut one, mut two] = sessions;
    let effects: Vec<_> = core::iter::from_fn(|| one.poll_effect()).collect();
    assert!(matches!(effects[..], [Effect::Consume]), "the nonce counts as used: {effects:?}");
    one.effects_durable();
    assert_eq!(tamper::inspect(&one.poll_transmit().unwrap().bytes).unwrap().round, PARTIAL);
    let partial = take(&mut two);
    (one, partial, first)
}

/// Whatever a peer does to its last message, in both values and over many sessions, the verdict is one and the same, so that pass or fail is
/// all that it tells; the session is over, also for the right message that comes after; and the next attempt has other nonces.
///
/// covers: C13
#[test]
fn a_final_verification_that_fails_ends_the_session_for_good() {
    let shifts = [Scalar::<C>::ONE(), -Scalar::<C>::ONE(), Scalar::from(2), Scalar::from(1 << 20)];
    let (mut cases, mut openings) = (0, BTreeMap::new());
    for (attempt, shift) in (0..).zip(shifts.iter().chain(&shifts)) {
        let (mut session, partial, first) = before_the_end(attempt);
        let value = if attempt < 4 { 0..32 } else { 32..64 };
        let wrong = tamper::rewrite(&partial, &identity(2), |parts| {
            let slot = &mut parts.direct[value.clone()];
            let shifted = Scalar::<C>::from_bytes(&(&*slot).try_into().unwrap()).unwrap() + *shift;
            slot.copy_from_slice(&shifted.to_bytes());
        });
        session.handle_message(index(2), &wrong.unwrap()).unwrap();
        session.step();
        assert!(session.poll_effect().is_none(), "nothing long-lived was at stake");
        let abort = session.poll_output().unwrap().unwrap_err();
        assert_eq!((abort.check, abort.consequence), (Check::FinalSignature, Consequence::Retry));
        assert!(matches!(abort.blame, Blame::Nobody(_)));
        let notice = session.poll_transmit().unwrap().bytes;
        assert!(tamper::is_abort(&notice), "a notice without a reason");
        openings.entry(notice.len()).or_insert(0);
        assert!(session.poll_transmit().is_none() && session.poll_output().is_none());
        // The right one is too late.
        assert_eq!(session.handle_message(index(2), &partial), Err(Rejected::Finished));
        session.step();
        assert!(session.round().is_none() && !session.is_ready());
        assert!(session.poll_transmit().is_none() && session.poll_output().is_none());
        let (_, _, again) = before_the_end(attempt + 100);
        assert_ne!(first[64..], again[64..], "another session commits to another nonce");
        cases += 1;
    }
    assert_eq!((cases, openings.len()), (8, 1));
}

/// A part of a signature that was made over another nonce joins with nothing, from whichever side it comes: the nonce is the one that all
/// committed to, not that of whoever speaks first. Presignatures: `a_wrong_partial_names_its_sender`.
///
/// covers: C9, C8
#[test]
fn a_partial_over_another_nonce_gives_no_signature() {
    let keys = cached::<C>(2, 2);
    let recording = Recording::default();
    sign_with(keys, fresh_setups(keys), &[1, 2], DIGEST, 500, recording.recorder()).unwrap_all();
    let mut cases = 0;
    for attempt in 501..505 {
        let (mut session, partial, _) = before_the_end(attempt);
        let other = tamper::inspect(&recording.frame(PARTIAL, 2, 1)).unwrap().direct;
        assert_ne!(tamper::inspect(&partial).unwrap().direct, other);
        let frame = tamper::rewrite(&partial, &identity(2), |parts| parts.direct = other.clone());
        session.handle_message(index(2), &frame.unwrap()).unwrap();
        session.step();
        assert_eq!(session.poll_output().unwrap().unwrap_err().check, Check::FinalSignature);
        cases += 1;
    }
    assert_eq!(cases, 4);
}

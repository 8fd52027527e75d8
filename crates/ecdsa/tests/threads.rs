//! Sessions of one pair on real threads: however they run, a cheater gets one verdict.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;
#[path = "helpers/presigning.rs"]
mod presigning;

use std::sync::{Arc, Barrier};

use common::{Keys, cached, fresh_setups, index, session_id};
use presigning::{committee, presign_id};
use quorate_ecdsa::PairwiseSetup;
use quorate_ecdsa::presign::{self, Verified};
use quorate_ecdsa::sign;
use quorate_protocol::abort::{Blame, Check, Consequence};
use quorate_protocol::curve::Secp256k1;
use quorate_protocol::session::{Effect, Session, tamper};
use quorate_testkit::identity;
use quorate_testkit::world::params;

type C = Secp256k1;

const SESSIONS: usize = 24;
const DIGEST: [u8; 32] = [0x33; 32];

fn keys() -> &'static Keys<C> {
    cached(2, 2)
}

/// What a session says once the first messages are in: the check that ended it, if one did.
fn verdict<O: 'static>(mut session: Session<O>, frame: &[u8]) -> Option<Check> {
    session.handle_message(index(2), frame).unwrap();
    session.step();
    let mut burns = Vec::new();
    while let Some(effect) = session.poll_effect() {
        assert!(session.poll_transmit().is_none(), "nothing leaves before the burn is durable");
        if let Effect::Burn { peer, check } = effect {
            burns.push((peer, check));
        }
    }
    session.effects_durable();
    let abort = session.poll_output()?.err()?;
    assert_eq!((abort.blame, abort.consequence), (Blame::Edge(index(2)), Consequence::Burn(index(2))));
    assert_eq!(burns, [(index(2), abort.check)], "every refusal asks for the mark");
    assert!(tamper::is_abort(&session.poll_transmit().unwrap().bytes), "one notice for every reason");
    Some(abort.check)
}

/// A job for a thread: a session of party 1, and the first frame of party 2, forged or not.
type Job = Box<dyn FnOnce() -> Option<Check> + Send>;

fn job(setups: &[Arc<PairwiseSetup<C>>; 2], number: u16, forge: bool) -> Job {
    let at = 60 + usize::from(number);
    let forged = move |bytes: &[u8]| {
        let spoil = |parts: &mut tamper::Parts| parts.direct[at] ^= u8::from(forge);
        tamper::rewrite(bytes, &identity(2), spoil).unwrap()
    };
    let both = committee(keys(), &[1, 2]);
    // Every third signs; the others make one to four presignatures.
    if number.is_multiple_of(3) {
        let id = session_id(keys(), &[1, 2], &DIGEST, number.into());
        let start = |me: u16, setup: &Arc<PairwiseSetup<C>>| {
            let share = &keys().shares[&index(me)];
            sign::start(params(id, &both, me, number.into()), share, setup.clone(), DIGEST).unwrap()
        };
        let frame = forged(&start(2, &setups[1]).poll_transmit().unwrap().bytes);
        let session = start(1, &setups[0]);
        Box::new(move || verdict(session, &frame))
    } else {
        let count = 1 + number % 4;
        let id = presign_id(keys(), &[1, 2], count, number.into());
        let start = |me: u16, setup: &Arc<PairwiseSetup<C>>| {
            let share = &keys().shares[&index(me)];
            let params = params(id, &both, me, number.into());
            presign::start(params, share, setup.clone(), count, Verified).unwrap()
        };
        let frame = forged(&start(2, &setups[1]).poll_transmit().unwrap().bytes);
        let session = start(1, &setups[0]);
        Box::new(move || verdict(session, &frame))
    }
}

/// 24 sessions of one pair, signatures and batches of presignatures, get their first message at once, each on a thread of its own. Where all
/// messages are wrong, exactly one thread tells that the check failed, and 23 refuse without a look; where every other one is right, no
/// thread but those that came before the failure goes on. Without the lock around check and burn, several would tell.
///
/// covers: A1, A2, S33
#[test]
fn of_many_sessions_at_once_one_gives_a_verdict() {
    let (mut failures, mut refusals, mut passes) = (0, 0, 0);
    for round in 0..6 {
        let setups = fresh_setups(keys());
        let setups = [1, 2].map(|i| setups[&index(i)].clone());
        let all = round % 2 == 0;
        let jobs: Vec<Job> =
            (0..SESSIONS).map(|i| job(&setups, u16::try_from(i).unwrap(), all || i % 2 == 0)).collect();
        let barrier = Barrier::new(SESSIONS);
        let verdicts: Vec<Option<Check>> = std::thread::scope(|scope| {
            let start = |job: Job| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    job()
                })
            };
            let threads: Vec<_> = jobs.into_iter().map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let count = |wanted: Option<Check>| verdicts.iter().filter(|v| **v == wanted).count();
        assert_eq!(count(Some(Check::OtExtension)), 1, "one verdict: {verdicts:?}");
        let (refused, passed) = (count(Some(Check::BurnedInstance)), count(None));
        assert_eq!(1 + refused + passed, SESSIONS, "{verdicts:?}");
        if all {
            assert_eq!(passed, 0);
        }
        assert!(verdicts.iter().enumerate().all(|(i, v)| v.is_some() || i % 2 == 1), "a wrong one passed");
        // What starts now is refused before it says anything.
        assert!(setups[0].is_burned(index(2)) && !setups[1].is_burned(index(1)));
        failures += 1;
        refusals += refused;
        passes += passed;
    }
    assert_eq!(failures + refusals + passes, 6 * SESSIONS);
    assert_eq!(failures, 6);
    assert!(refusals >= 3 * (SESSIONS - 1));
}

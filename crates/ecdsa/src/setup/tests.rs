//! Check and burn of one instance under concurrency.

use super::*;
use crate::ot_setup::ideal_pair;
use crate::softspoken::{extend_receiver, extend_sender, guessing};
use crate::suite::{TREES, test_rng};
use quorate_protocol::curve::{Scalar, Secp256k1 as C};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

const SESSIONS: usize = 64;

fn sid(session: usize) -> [u8; 32] {
    [u8::try_from(session).unwrap() + 1; 32]
}

/// A cheating peer opens 64 sessions at once and guesses a nibble of Δ in each. However the threads run, every guess before the first
/// wrong one is answered, that one is answered, and none after it: the verdicts end with the first failure.
///
/// covers: A1, A2
#[test]
fn parallel_guesses_get_no_verdict_after_the_first_failure() {
    let mut rng = test_rng("parallel guesses");
    let delta: [u8; TREES] = rng.bytes::<TREES>().map(|b| b % 15 + 1);
    let peer = PartyIndex::new(2).unwrap();
    let mut counts = BTreeMap::new();
    for wrong_from in [0, 5, 40] {
        let (receiver, sender) = ideal_pair::<C>(&[1; 32], delta, &mut rng);
        let (spare, _) = ideal_pair::<C>(&[2; 32], delta, &mut rng);
        let messages: Vec<_> = (0..SESSIONS)
            .map(|i| {
                let guess = if i < wrong_from { delta[0] } else { delta[0] ^ 1 };
                guessing(&receiver, &sid(i), guess, &mut rng)
            })
            .collect();
        // The honest prover's message passes as long as nothing is burned, so a pass below is a right guess and no accident.
        let (_, honest) = extend_receiver(&receiver, &[0xff; 32], 1, &mut rng);
        assert!(extend_sender(&sender, &[0xff; 32], &honest).is_ok());
        let pair = Pair { sender, receiver: spare, zero: ZeroSeed::new([3; 32]), burned: Mutex::new(false) };
        let pairs = BTreeMap::from([(peer, pair)]);
        let setup = PairwiseSetup::<C> { epoch_id: [4; 32], pairs, multiples: OnceLock::new() };
        let (barrier, evaluated) = (Barrier::new(SESSIONS), AtomicUsize::new(0));
        let verdicts: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = messages
                .iter()
                .enumerate()
                .map(|(i, message)| {
                    let (setup, barrier, evaluated) = (&setup, &barrier, &evaluated);
                    scope.spawn(move || {
                        barrier.wait();
                        let mut place = None;
                        let verdict = setup.check_with(peer, |leaves| {
                            place = Some(evaluated.fetch_add(1, Ordering::SeqCst));
                            extend_sender(leaves, &sid(i), message)
                        });
                        (place, verdict.map(|_| ()).map_err(|abort| abort.check))
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let answered: BTreeMap<usize, _> =
            verdicts.iter().filter_map(|(place, v)| place.map(|p| (p, v))).collect();
        let (last, passed) = answered.iter().next_back().map(|(p, v)| (*v, *p)).unwrap();
        assert_eq!(*last, Err(Check::OtExtension), "the first failure is the last verdict");
        assert!(answered.values().take(passed).all(|v| v.is_ok()));
        assert!(passed <= wrong_from);
        let refused =
            verdicts.iter().filter(|(place, v)| place.is_none() && *v == Err(Check::BurnedInstance));
        assert_eq!(refused.count(), SESSIONS - passed - 1);
        assert!(setup.is_burned(peer));
        counts.insert(wrong_from, passed);
    }
    assert_eq!(counts.get(&0), Some(&0));
    assert_eq!(counts.len(), 3);
}

/// A table is of one key, and says nothing about any other one.
#[test]
fn a_key_is_the_one_that_was_asked_for() {
    let setup = PairwiseSetup::<C> { epoch_id: [4; 32], pairs: BTreeMap::new(), multiples: OnceLock::new() };
    let [a, b] = [5, 7].map(|n| Point::<C>::mul_base(&Scalar::from(n)));
    let mut tables = 0;
    for (point, signatures, table) in
        [(a, 1, false), (b, 2, true), (a, 1, false), (a, 9, false), (b, 1, true)]
    {
        let key = setup.key(point, signatures);
        assert_eq!((key.point(), matches!(key, Key::Table(_))), (point, table));
        let (two, three) = (Scalar::from(2), Scalar::from(3));
        assert_eq!(key.lincomb_vartime(&two, &three), Point::mul_base(&two) + point * three);
        tables += usize::from(table);
    }
    assert_eq!(tables, 2);
}

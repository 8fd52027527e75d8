//! A key goes from any structure over up to five parties to any other, and signs there as its new structure says, and not as its old one.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use quorate_keys::share::KeyShare;
use quorate_keys::sharing;
use quorate_protocol::access::Access;
use quorate_protocol::curve::Curve;
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::BadParams;
use quorate_testkit::{Fate, World, structure};

use crate::moved::moved;
use crate::support::{Bip340, Ceremony, Ed, Mode, deal_under};

/// How often each thing was seen.
#[derive(Debug, Default)]
struct Counts {
    moves: usize,
    signed: usize,
    refused: usize,
    /// Quorums of the old structure that are none of the new one.
    outdated: usize,
    /// Sets with shares of both epochs that did not even begin, and that began and failed.
    mixed_refused: usize,
    mixed_failed: usize,
}

fn numbers(set: &[PartyIndex]) -> Vec<u16> {
    set.iter().map(|party| party.get()).collect()
}

fn share<C: Curve>(shares: &[KeyShare<C>], party: PartyIndex) -> Option<&KeyShare<C>> {
    shares.iter().find(|share| share.index() == party)
}

/// Whether a set that cannot act begins nothing with these shares.
fn begins_nothing<M: Mode>(shares: &[KeyShare<M::C>], set: &[PartyIndex]) -> bool {
    let committee = shares[0].public().committee.subset(set).unwrap();
    set.iter().all(|me| {
        let params = quorate_testkit::world::params(
            quorate_protocol::session::SessionId([1; 32]),
            &committee,
            me.get(),
            1,
        );
        let share = share(shares, *me).unwrap();
        share.additive(&committee).is_none()
            && matches!(M::start(params, share, vec![]), Err(BadParams::Unsuitable(_)))
    })
}

fn one<M: Mode>(old: &Access, new: &Access, seed: u64, counts: &mut Counts) {
    assert_eq!((sharing::check::<M::C>(old), sharing::check::<M::C>(new)), (Ok(()), Ok(())));
    let before = deal_under::<M::C>(old.clone(), seed);
    let dealers = old.minimal_quorums(100).sets;
    let dealers = numbers(&dealers[usize::try_from(seed).unwrap() % dealers.len()]);
    let after = Rc::new(moved(&before, &dealers, new));
    assert_eq!(after[0].public().public_key(), before[0].public().public_key(), "{old} to {new}");
    assert_eq!((after.len(), after[0].public().epoch), (new.parties().len(), 1));
    counts.moves += 1;
    for quorum in new.minimal_quorums(100).sets {
        let ceremony = Ceremony::<M>::new(Rc::clone(&after), &numbers(&quorum), b"message", seed);
        let signatures = ceremony.world().run().unwrap_all();
        assert_eq!(signatures.len(), quorum.len(), "{old} to {new}: {quorum:?}");
        signatures.values().for_each(|signature| ceremony.assert_valid(signature));
        counts.signed += 1;
        // One of them comes with its share of before.
        let Some(late) = quorum.iter().find(|party| old.contains(**party)) else { continue };
        let stale = share(&before, *late).unwrap();
        let params = quorate_testkit::world::params(ceremony.session, &ceremony.quorum, late.get(), 1);
        if M::start(params, stale, ceremony.message.clone()).is_err() {
            counts.mixed_refused += 1;
            continue;
        }
        let outcome = World::start(1, ceremony.session, &ceremony.quorum, |params| {
            let share = if params.me == *late { stale } else { share(&after, params.me).unwrap() };
            M::start(params, share, ceremony.message.clone())
        })
        .with_adversary(|parcel| {
            if quorate_protocol::session::tamper::is_abort(&parcel.bytes) {
                Fate::Drop
            } else {
                Fate::Deliver
            }
        })
        .run();
        assert!(
            outcome.ended.values().all(Result::is_err),
            "{old} to {new}: {late} signed with a share of before"
        );
        counts.mixed_failed += 1;
    }
    for set in new.maximal_unqualified(100).sets.iter().filter(|set| !set.is_empty()) {
        assert!(begins_nothing::<M>(&after, set), "{new}: {set:?}");
        counts.refused += 1;
    }
    for quorum in old.minimal_quorums(100).sets {
        let there: Vec<_> = quorum.iter().copied().filter(|party| new.contains(*party)).collect();
        if !new.is_qualified(&there) && !there.is_empty() {
            assert!(begins_nothing::<M>(&after, &there), "{old} to {new}: {quorum:?}");
            counts.outdated += 1;
        }
    }
}

fn many<M: Mode>(cases: u32) -> Counts {
    let mut runner = TestRunner::new_with_rng(
        Config { cases, failure_persistence: None, ..Config::default() },
        TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]),
    );
    let counts = RefCell::new(Counts::default());
    let structures = (any::<u64>(), any::<u64>(), any::<u64>())
        .prop_map(|(old, new, seed)| (structure(old), structure(new), seed));
    let each = |(old, new, seed): (Access, Access, u64)| {
        one::<M>(&old, &new, seed, &mut counts.borrow_mut());
        Ok(())
    };
    runner.run(&structures, each).unwrap();
    counts.into_inner()
}

/// covers: B13, B14, S36, S37
#[test]
fn any_structure_becomes_any_other() {
    for counts in [many::<Ed>(60), many::<Bip340>(20)] {
        assert!(counts.moves >= 20 && counts.signed > 2 * counts.moves, "{counts:?}");
        assert!(counts.refused > 2 * counts.moves && counts.outdated > counts.moves / 2, "{counts:?}");
        assert!(counts.mixed_refused > 0 && counts.mixed_failed > 0, "{counts:?}");
    }
}

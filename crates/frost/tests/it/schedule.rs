//! Order, repetition and silence.

use crate::support::{Bip340, Ceremony, Ed, Mode, Taproot, p};
use quorate_protocol::session::tamper::rewrite;
use quorate_protocol::session::{Effect, Rejected};
use quorate_testkit::{Fate, identity};

fn any_order<M: Mode>() -> usize {
    let (mut runs, mut rejected) = (0, 0);
    for seed in 0..24 {
        let ceremony = Ceremony::<M>::fresh(3, 5, &[1, 3, 5], seed);
        let mut world = ceremony.world();
        world.duplicate_one_in = 2;
        let outcome = world.run();
        rejected += outcome.rejected;
        assert_eq!(outcome.effects.len(), 3, "a repeated frame consumes nothing twice");
        outcome.unwrap_all().values().for_each(|s| ceremony.assert_valid(s));
        runs += 1;
    }
    assert!(rejected > 24, "repetitions happened and were rejected: {rejected}");
    runs
}

#[test]
fn order_and_repetition_do_not_matter() {
    assert_eq!(any_order::<Ed>() + any_order::<Bip340>() + any_order::<Taproot>(), 72);
}

/// A party that says nothing in a round is the one the others wait for.
#[test]
fn silence_is_named() {
    fn run<M: Mode>() -> usize {
        let mut count = 0;
        for silent in [1u16, 3, 5] {
            for round in [1, 2] {
                let ceremony = Ceremony::<M>::fresh(3, 5, &[1, 3, 5], 4);
                let world = ceremony.world().with_adversary(move |parcel| {
                    let mut number = 0;
                    rewrite(&parcel.bytes, &identity(1), |m| number = m.round).unwrap();
                    if parcel.from == p(silent) && number >= round { Fate::Drop } else { Fate::Deliver }
                });
                let outcome = world.run();
                for other in [1, 3, 5].into_iter().filter(|&i| i != silent) {
                    assert_eq!(outcome.awaiting[&p(other)], [p(silent)]);
                    assert!(!outcome.ended.contains_key(&p(other)));
                }
                count += 1;
            }
        }
        count
    }
    assert_eq!(run::<Ed>() + run::<Bip340>(), 12);
}

/// covers: D1. The share waits for its consumption to be durable, and no second list of commitments gets a second share.
#[test]
fn one_pair_of_nonces_gives_one_share() {
    fn run<M: Mode>() {
        let ceremony = Ceremony::<M>::fresh(2, 2, &[1, 2], 3);
        let start = |me: u16, seed: u64| {
            let params = quorate_testkit::world::params(ceremony.session, &ceremony.quorum, me, seed);
            M::start(params, &ceremony.shares[usize::from(me) - 1], ceremony.message.clone()).unwrap()
        };
        let first_frame = |seed: u64| start(2, seed).poll_transmit().unwrap().bytes;
        let (a, b) = (first_frame(1), first_frame(2));
        assert_ne!(a, b);

        let mut session = start(1, 1);
        assert!(session.poll_effect().is_none(), "commitments consume nothing");
        session.poll_transmit().unwrap();
        assert!(session.poll_transmit().is_none());
        session.handle_message(p(2), &a).unwrap();
        assert_eq!(session.handle_message(p(2), &b), Err(Rejected::Duplicate));
        session.step();
        assert!(session.poll_transmit().is_none(), "the share waits for the log");
        assert!(matches!(session.poll_effect(), Some(Effect::Consume)));
        assert!(session.poll_transmit().is_none());
        session.effects_durable();
        session.poll_transmit().unwrap();
        assert_eq!(session.handle_message(p(2), &b), Err(Rejected::WrongRound));
        session.step();
        assert!(session.poll_transmit().is_none(), "no second share");
        assert_eq!(session.awaiting(), [p(2)]);
    }
    run::<Ed>();
    run::<Bip340>();
    run::<Taproot>();
}

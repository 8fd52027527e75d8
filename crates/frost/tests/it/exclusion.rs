//! What an abort names is enough to sign without the cheaters.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::support::{Bip340, Ceremony, Ed, Mode, Taproot, deal, p};
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::tamper::{inspect, is_abort, rewrite};
use quorate_testkit::{Fate, Parcel, identity};

/// Of six parties, of whom any three sign, some send wrong partial signatures whenever they are asked. Each failed attempt names one of them, the
/// same one at every honest party; quorums without those who were named are tried until one signs. It takes one attempt a cheater more than
/// without them at most, and nobody honest is ever named.
///
/// covers: D5
#[test]
fn whoever_is_named_is_left_out_until_the_honest_sign() {
    fn run<M: Mode>(cheaters: &'static [u16]) -> usize {
        let shares = Rc::new(deal::<M::C>(21, 3, 6));
        let mut excluded: BTreeSet<PartyIndex> = BTreeSet::new();
        for attempt in 0.. {
            let quorum: Vec<u16> = (1..=6).filter(|i| !excluded.contains(&p(*i))).take(3).collect();
            assert_eq!(quorum.len(), 3, "{}: too many were named", M::NAME);
            let ceremony = Ceremony::<M>::new(shares.clone(), &quorum, b"exclude", attempt);
            let world = ceremony.world().with_adversary(move |parcel| {
                // Each honest party judges by itself.
                if is_abort(&parcel.bytes) {
                    return Fate::Drop;
                }
                let second = inspect(&parcel.bytes).is_some_and(|parts| parts.round == 2);
                if !second || !cheaters.contains(&parcel.from.get()) {
                    return Fate::Deliver;
                }
                let signer = identity(parcel.from.get());
                // A number below the order, in either order of bytes, and another one for every cheater.
                let wrong = rewrite(&parcel.bytes, &signer, |m| {
                    m.broadcast.fill(0);
                    m.broadcast[16] = u8::try_from(parcel.from.get()).unwrap();
                });
                Fate::Replace(vec![Parcel { bytes: wrong.unwrap(), ..parcel.clone() }])
            });
            let outcome = world.run();
            let honest = quorum.iter().filter(|i| !cheaters.contains(i)).map(|i| p(*i));
            let results: Vec<_> = honest.map(|i| outcome.ended.get(&i).expect("ended")).collect();
            if quorum.iter().all(|i| !cheaters.contains(i)) {
                results.iter().for_each(|r| ceremony.assert_valid(r.as_ref().unwrap()));
                assert!(excluded.iter().all(|i| cheaters.contains(&i.get())), "nobody honest was named");
                return usize::try_from(attempt).unwrap() + 1;
            }
            let named: BTreeSet<PartyIndex> = results
                .iter()
                .map(|result| match result {
                    Err(Abort { check: Check::PartialSignature, blame: Blame::Party(i), .. }) => *i,
                    other => panic!("{}: {other:?}", M::NAME),
                })
                .collect();
            assert_eq!(named.len(), 1, "all honest parties name the same one");
            excluded.extend(named);
        }
        panic!("quorums run out before attempts do")
    }
    let mut attempts = Vec::new();
    for cheaters in [&[][..], &[1], &[2, 3], &[1, 3, 4]] {
        let each = [run::<Ed>(cheaters), run::<Bip340>(cheaters), run::<Taproot>(cheaters)];
        assert!(each.iter().all(|n| *n <= cheaters.len() + 1), "{cheaters:?}: {each:?}");
        attempts.extend(each);
    }
    assert_eq!(attempts, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
}

//! Signing under trees, weights and ranks: every minimal quorum of drawn structures signs, and no unqualified set begins.

use crate::support::{Bip340, Ceremony, Ed, Mode, Taproot, deal_under};
use quorate_keys::sharing;
use quorate_protocol::session::{BadParams, SessionId};
use quorate_testkit::structure;
use std::rc::Rc;

/// Number of minimal quorums that signed, and of maximal unqualified sets that were refused.
fn drawn<M: Mode>(seeds: std::ops::Range<u64>) -> (usize, usize) {
    let (mut signed, mut refused) = (0, 0);
    for seed in seeds {
        let access = structure(seed);
        assert_eq!(sharing::check::<M::C>(&access), Ok(()), "{access}");
        let shares = Rc::new(deal_under::<M::C>(access.clone(), seed));
        for quorum in access.minimal_quorums(100).sets {
            let quorum: Vec<u16> = quorum.iter().map(|i| i.get()).collect();
            let ceremony = Ceremony::<M>::new(Rc::clone(&shares), &quorum, b"message", seed);
            let signatures = ceremony.world().run().unwrap_all();
            assert_eq!(signatures.len(), quorum.len());
            signatures.values().for_each(|signature| ceremony.assert_valid(signature));
            signed += 1;
        }
        for set in access.maximal_unqualified(100).sets {
            let Some(me) = set.first() else { continue };
            let committee = shares[0].public().committee.subset(&set).unwrap();
            let params = quorate_testkit::world::params(SessionId([1; 32]), &committee, me.get(), 1);
            let share = shares.iter().find(|share| share.index() == *me).unwrap();
            assert!(share.additive(&committee).is_none(), "{access}: {set:?}");
            assert!(
                matches!(M::start(params, share, vec![]), Err(BadParams::Unsuitable(_))),
                "{access}: {set:?}"
            );
            refused += 1;
        }
    }
    (signed, refused)
}

/// covers: B14
#[test]
fn every_minimal_quorum_signs_ed25519() {
    assert_eq!(drawn::<Ed>(0..24), (64, 78));
}
/// covers: B14
#[test]
fn every_minimal_quorum_signs_bip340() {
    assert_eq!(drawn::<Bip340>(24..36), (30, 40));
}
/// covers: B14
#[test]
fn every_minimal_quorum_signs_for_taproot() {
    assert_eq!(drawn::<Taproot>(36..48), (25, 39));
}

/// A wrong partial signature is blamed on its signer under a structure whose coefficients are not those of `frost-core`.
#[test]
fn a_cheater_under_ranks_is_named() {
    use quorate_protocol::abort::{Blame, Check};
    use quorate_protocol::access::{Access, Rank};
    use quorate_testkit::Fate;
    let p = |i| Access::Party(crate::support::p(i));
    let access =
        Access::Ranks(vec![Rank { k: 1, of: vec![p(1)] }, Rank { k: 2, of: vec![p(2), p(3), p(2)] }]);
    let ceremony = Ceremony::<Ed>::new(Rc::new(deal_under(access, 1)), &[1, 2], b"message", 1);
    let outcome = ceremony
        .world()
        .with_adversary(|parcel| {
            if parcel.from.get() != 2 || quorate_protocol::session::tamper::is_abort(&parcel.bytes) {
                return Fate::Deliver;
            }
            let bytes = quorate_protocol::session::tamper::rewrite(
                &parcel.bytes,
                &quorate_testkit::identity(2),
                |parts| {
                    if parts.round == 2 {
                        parts.broadcast[0] ^= 1;
                    }
                },
            );
            Fate::Replace(vec![quorate_testkit::Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
        })
        .run();
    let abort = outcome.abort_of(1).unwrap();
    assert_eq!((abort.check, abort.blame), (Check::PartialSignature, Blame::Party(crate::support::p(2))));
}

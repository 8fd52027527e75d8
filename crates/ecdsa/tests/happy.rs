//! Key generation, set-up and signing among honest parties, for every size up to three and some of four and five, on both curves.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;

use common::{Keys, keys, sign};
use quorate_ecdsa::{PairwiseSetup, verify};
use quorate_protocol::curve::{EcdsaCurve, P256, Secp256k1};

/// Sizes (k, n). A set-up of five costs twenty base OTs, and the code does not know the curve, so the larger sizes are shared out.
const SMALL: [(u16, u16); 3] = [(2, 2), (2, 3), (3, 3)];

fn every_size<C: EcdsaCurve>(large: &[(u16, u16)], check: impl Fn(&[u8], &[u8; 32], &[u8; 64], u8)) -> usize {
    let mut cases = 0;
    for &(k, n) in SMALL.iter().chain(large) {
        let keys: Keys<C> = keys(k, n, u64::from(n * 10 + k));
        let public = keys.public().clone();
        // The last k parties sign: the quorum is not always the first.
        let quorum: Vec<u16> = (n - k + 1..=n).collect();
        for digest in [[1; 32], [0xff; 32]] {
            let outcome = sign(&keys, &quorum, digest, 7, None);
            let signatures = outcome.unwrap_all();
            let first = *signatures.values().next().unwrap();
            assert!(signatures.values().all(|s| *s == first), "all parties hold the same signature");
            assert!(verify(&public.public_key(), &digest, &first.bytes));
            check(&public.public_key().to_bytes(), &digest, &first.bytes, first.recovery_id);
            cases += 1;
        }
    }
    cases
}

#[test]
fn secp256k1() {
    let cases = every_size::<Secp256k1>(&[(2, 4), (4, 4)], |key, digest, signature, recovery_id| {
        use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
        let parsed = Signature::from_slice(signature).unwrap();
        assert_eq!(parsed.normalize_s(), parsed, "s is low");
        let recovered =
            VerifyingKey::recover_from_prehash(digest, &parsed, RecoveryId::from_byte(recovery_id).unwrap())
                .unwrap();
        assert_eq!(&recovered.to_sec1_point(true).as_bytes(), &key);
    });
    assert_eq!(cases, 10);
}

#[test]
fn p256() {
    let cases = every_size::<P256>(&[(3, 5)], |key, digest, signature, _| {
        use p256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier};
        let key = VerifyingKey::from_sec1_bytes(key).unwrap();
        key.verify_prehash(digest, &Signature::from_slice(signature).unwrap()).unwrap();
    });
    assert_eq!(cases, 8);
}

#[test]
fn a_set_up_survives_its_encoding() {
    let keys: Keys<Secp256k1> = keys(2, 3, 5);
    let setup = &keys.setups[&keys.first()];
    let bytes = setup.secret_bytes();
    let again = PairwiseSetup::<Secp256k1>::from_secret_bytes(&bytes, []).unwrap();
    assert_eq!(*again.secret_bytes(), *bytes);
    assert!(bytes.len() < 36_000, "{} bytes at rest", bytes.len());
    assert!(PairwiseSetup::<Secp256k1>::from_secret_bytes(&bytes[..bytes.len() - 1], []).is_none());
}

#[test]
fn bytes_sent_stay_under_the_target() {
    let keys: Keys<Secp256k1> = keys(2, 2, 5);
    let outcome = sign(&keys, &[1, 2], [3; 32], 1, None);
    for (party, bytes) in &outcome.sent {
        assert!(*bytes <= 43_000, "party {party} sent {bytes} bytes");
    }
    assert_eq!(outcome.sent.len(), 2);
}

//! Against the arithmetic of the curve crates.

use super::*;
use crate::suite::test_rng;
use quorate_protocol::curve::{P256, Secp256k1};
use std::vec::Vec;

fn samples<C: Curve>(label: &str) -> Vec<Scalar<C>> {
    let mut rng = test_rng(label);
    let two = Scalar::<C>::from(2);
    let mut out = Vec::from([Scalar::ZERO(), Scalar::ONE(), two, -Scalar::ONE(), -two, two.invert()]);
    // Values that are sparse or full in single words.
    for word in 0..4 {
        for byte in [0x01, 0x80, 0xff] {
            let mut bytes = [0; 32];
            bytes[8 * word..8 * word + 8].fill(byte);
            out.extend(Scalar::from_bytes(&bytes));
        }
    }
    out.extend((0..12).map(|_| Scalar::random(&mut rng)));
    out
}

#[test]
fn sums_differences_and_products_agree_with_the_curve_crates() {
    fn on<C: Curve>() -> usize {
        let modulus = Modulus::of::<C>();
        let samples = samples::<C>("residue");
        let mut cases = 0;
        for a in &samples {
            let (x, form) = (from_scalar(a), modulus.montgomery(a));
            assert!(to_scalar::<C>(&x) == *a);
            assert_eq!(modulus.read(&a.to_bytes()), Some(x));
            for b in &samples {
                let y = from_scalar(b);
                assert!(to_scalar::<C>(&modulus.add(&x, &y)) == *a + *b);
                assert!(to_scalar::<C>(&modulus.sub(&x, &y)) == *a - *b);
                let mut sum = EMPTY;
                add_product(&mut sum, &form, &y);
                assert!(to_scalar::<C>(&modulus.reduce(&sum)) == *a * *b);
                // Two products, as in a row of the check.
                add_product(&mut sum, &y, &form);
                assert!(to_scalar::<C>(&modulus.reduce(&sum)) == *a * *b + *a * *b);
                cases += 1;
            }
        }
        cases
    }
    assert!(on::<Secp256k1>() >= 28 * 28);
    assert!(on::<P256>() >= 28 * 28);
}

#[test]
fn long_sums_agree_also_at_their_largest() {
    fn on<C: Curve>() {
        let modulus = Modulus::of::<C>();
        let mut rng = test_rng("sums");
        // The largest residues, times themselves, 416 and 100,000 times.
        let largest = from_scalar(&-Scalar::<C>::ONE());
        for count in [1u64, 2, 416, 100_000] {
            let mut sum = EMPTY;
            for _ in 0..count {
                add_product(&mut sum, &largest, &largest);
            }
            // (q − 1)^2·count·2^-256
            let mut wide = [0; WIDE_LEN];
            wide[WIDE_LEN - 33] = 1;
            let expected = Scalar::from(count) * Scalar::<C>::from_wide(&wide).invert();
            assert!(to_scalar::<C>(&modulus.reduce_long(&sum)) == expected);
        }
        for _ in 0..20 {
            let mut sum = EMPTY;
            let mut expected = Scalar::<C>::ZERO();
            for _ in 0..416 {
                let (a, b) = (Scalar::<C>::random(&mut rng), Scalar::<C>::random(&mut rng));
                add_product(&mut sum, &modulus.montgomery(&a), &from_scalar(&b));
                expected += a * b;
            }
            assert!(to_scalar::<C>(&modulus.reduce_long(&sum)) == expected);
        }
        // Any content of the nine words.
        for word in 0..9 {
            let mut sum = EMPTY;
            sum[word] = u64::MAX;
            let mut expected = Scalar::<C>::from(u64::MAX);
            let two_64 = Scalar::<C>::from(1 << 32) * Scalar::from(1 << 32);
            for _ in 0..word {
                expected = expected * two_64;
            }
            let mut wide = [0; WIDE_LEN];
            wide[WIDE_LEN - 33] = 1;
            expected = expected * Scalar::from_wide(&wide).invert();
            assert!(to_scalar::<C>(&modulus.reduce_long(&sum)) == expected);
        }
    }
    on::<Secp256k1>();
    on::<P256>();
}

/// covers: A6
#[test]
fn pads_reduce_as_scalar_from_pad_does() {
    let mut rng = test_rng("pads");
    let (k256, p256) = (Modulus::of::<Secp256k1>(), Modulus::of::<P256>());
    let mut cases = 0;
    let mut check = |wide: &[u8; 48]| {
        let narrow: &[u8; 32] = wide.last_chunk().unwrap();
        assert_eq!(to_bytes(&k256.pad::<false>(narrow)), Scalar::<Secp256k1>::from_pad(narrow).to_bytes());
        assert_eq!(to_bytes(&p256.pad::<true>(wide)), Scalar::<P256>::from_pad(wide).to_bytes());
        cases += 1;
    };
    check(&[0; 48]);
    check(&[0xff; 48]);
    for q in [k256.q, p256.q] {
        for (change, high) in [(0u64, 0u8), (1, 0), (0, 0xff), (1, 0xff)] {
            let mut wide = [high; 48];
            let mut value = q;
            value[0] -= change;
            wide[16..].copy_from_slice(&to_bytes(&value));
            check(&wide);
        }
    }
    for _ in 0..500 {
        check(&rng.bytes());
    }
    assert_eq!(cases, 2 + 8 + 500);
}

#[test]
fn values_from_the_wire_must_be_below_the_order() {
    fn on<C: Curve>() {
        let modulus = Modulus::of::<C>();
        let mut above = modulus.q;
        assert_eq!(modulus.read(&to_bytes(&above)), None);
        above[0] += 1;
        assert_eq!(modulus.read(&to_bytes(&above)), None);
        assert_eq!(modulus.read(&[0xff; 32]), None);
        above[0] -= 2;
        assert_eq!(modulus.read(&to_bytes(&above)), Some(above));
        assert_eq!(modulus.read(&[0; 32]), Some([0; 4]));
    }
    on::<Secp256k1>();
    on::<P256>();
}

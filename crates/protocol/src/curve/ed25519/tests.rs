//! What the decoder of points must refuse, with the points of small order of `curve25519-dalek` to build it from.

use super::*;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::traits::IsIdentity as _;

/// The 32 little-endian bytes `first, middle × 30, last`.
fn bytes(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut out = [middle; 32];
    (out[0], out[31]) = (first, last);
    out
}

#[test]
fn the_prime_is_where_canonical_ends() {
    // The highest bit is the sign of x and does not count.
    for sign in [0x00, 0x80] {
        let below = |first, middle, last: u8| is_below_p(&bytes(first, middle, last | sign));
        assert!(below(0, 0, 0) && below(0xff, 0, 0) && below(0, 0xff, 0x7f));
        assert!(below(0xec, 0xff, 0x7f), "p − 1");
        assert!(!below(0xed, 0xff, 0x7f), "p");
        assert!(!below(0xee, 0xff, 0x7f) && !below(0xff, 0xff, 0x7f), "p + 1, 2^255 − 1");
        assert!(below(0xed, 0xff, 0x7e) && below(0xff, 0xff, 0x00), "2^248 less");
        for at in 1..31 {
            let mut less = bytes(0xff, 0xff, 0x7f | sign);
            less[at] = 0xfe;
            assert!(is_below_p(&less), "byte {at}");
        }
    }
    assert!(!is_below_p(&[]) && !is_below_p(&[0]), "no 32 bytes");
}

/// covers: S3
#[test]
fn points_have_one_encoding() {
    let mut cases = 0;
    for y in 0..19u8 {
        for sign in [0x00, 0x80] {
            // y + p still fits into 255 bits; decompression alone would take it for y.
            let second = bytes(0xed + y, 0xff, 0x7f | sign);
            assert!(Ed25519::point_from_bytes_with_torsion(&second).is_none(), "y = {y}");
            let canonical = bytes(y, 0, sign);
            if let Some(point) = Ed25519::point_from_bytes_with_torsion(&canonical) {
                assert!(CompressedEdwardsY(second).decompress() == Some(point), "the form that is refused");
                assert_eq!(point.compress().0, canonical);
                cases += 1;
            }
        }
    }
    assert!(cases >= 8, "{cases} values of y below 19 are on the curve");
}

/// covers: S3, B16
#[test]
fn small_order_is_refused_and_torsion_only_where_it_is_asked_for() {
    for torsion in EIGHT_TORSION {
        let small = torsion.compress().0;
        assert!(Ed25519::point_from_bytes(&small).is_none(), "no point of small order");
        assert!(Ed25519::point_from_bytes_with_torsion(&small).is_none(), "nor here");
        for factor in 1..=4u64 {
            let point = EdwardsPoint::mul_base(&Scalar::from(factor));
            let mixed = point + torsion;
            let encoded = mixed.compress().0;
            let expected = torsion.is_identity().then_some(point);
            assert_eq!(Ed25519::point_from_bytes(&encoded), expected, "{factor}·G");
            assert_eq!(Ed25519::point_from_bytes_with_torsion(&encoded), Some(mixed), "{factor}·G");
        }
    }
    let point = Ed25519::generator().compress().0;
    assert!(Ed25519::point_from_bytes(&point[..31]).is_none());
    assert!(Ed25519::point_from_bytes(&[&point[..], &[0]].concat()).is_none());
}

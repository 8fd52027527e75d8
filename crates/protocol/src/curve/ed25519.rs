//! edwards25519 over `curve25519-dalek`, restricted to the subgroup of prime order.

use alloc::vec::Vec;

use super::{Curve, CurveId, Encoded, WIDE_LEN};
use curve25519_dalek::{
    EdwardsPoint, Scalar,
    constants::ED25519_BASEPOINT_POINT,
    edwards::CompressedEdwardsY,
    traits::{Identity, MultiscalarMul, VartimeMultiscalarMul},
};

/// edwards25519 (RFC 8032). Scalars are little-endian, points 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ed25519;

impl Curve for Ed25519 {
    const ID: CurveId = CurveId::Ed25519;
    const POINT_LEN: usize = 32;
    const PAD_LEN: usize = WIDE_LEN;
    type RawScalar = Scalar;
    type RawPoint = EdwardsPoint;

    fn scalar_to_bytes(s: &Scalar) -> [u8; 32] {
        s.to_bytes()
    }
    fn scalar_from_bytes(bytes: &[u8; 32]) -> Option<Scalar> {
        Scalar::from_canonical_bytes(*bytes).into()
    }
    fn scalar_from_wide(bytes: &[u8; WIDE_LEN]) -> Scalar {
        Self::scalar_from_pad(bytes)
    }
    fn scalar_from_pad(bytes: &[u8]) -> Scalar {
        let mut wide = [0u8; 64];
        for (o, b) in wide.iter_mut().zip(bytes.iter().take(WIDE_LEN).rev()) {
            *o = *b;
        }
        Scalar::from_bytes_mod_order_wide(&wide)
    }
    fn scalar_invert(s: &Scalar) -> Scalar {
        s.invert()
    }
    fn identity() -> EdwardsPoint {
        EdwardsPoint::identity()
    }
    fn generator() -> EdwardsPoint {
        ED25519_BASEPOINT_POINT
    }
    fn mul_base(s: &Scalar) -> EdwardsPoint {
        EdwardsPoint::mul_base(s)
    }
    fn mul(p: &EdwardsPoint, s: &Scalar) -> EdwardsPoint {
        p * s
    }
    fn lincomb(terms: &[(EdwardsPoint, Scalar)]) -> EdwardsPoint {
        EdwardsPoint::multiscalar_mul(terms.iter().map(|(_, s)| s), terms.iter().map(|(p, _)| p))
    }
    fn lincomb_vartime(base: &Scalar, terms: &[(EdwardsPoint, Scalar)]) -> EdwardsPoint {
        match terms {
            [] => EdwardsPoint::mul_base(base),
            [(p, s)] => EdwardsPoint::vartime_double_scalar_mul_basepoint(s, p, base),
            terms => {
                let sum = EdwardsPoint::vartime_multiscalar_mul(
                    terms.iter().map(|(_, s)| s),
                    terms.iter().map(|(p, _)| p),
                );
                if *base == Scalar::ZERO { sum } else { sum + EdwardsPoint::mul_base(base) }
            }
        }
    }
    fn point_to_bytes(p: &EdwardsPoint) -> Encoded {
        padded(&p.compress())
    }
    fn points_to_bytes(points: &[EdwardsPoint]) -> Vec<Encoded> {
        EdwardsPoint::compress_batch_alloc(points).iter().map(padded).collect()
    }
    fn point_from_bytes(bytes: &[u8]) -> Option<EdwardsPoint> {
        // (ℓ − 1)·P = −P exactly for the points of the prime-order group. The points are public.
        Self::point_from_bytes_with_torsion(bytes).filter(|point| {
            let minus = Scalar::ZERO - Scalar::ONE;
            EdwardsPoint::vartime_double_scalar_mul_basepoint(&minus, point, &Scalar::ZERO) == -point
        })
    }
    fn point_from_bytes_with_torsion(bytes: &[u8]) -> Option<EdwardsPoint> {
        let compressed = CompressedEdwardsY::from_slice(bytes).ok()?;
        // Decompression accepts y ≥ p and "negative zero"; only the canonical form may pass. The points with x = 0, the only ones with a
        // second form of the latter kind, have small order.
        if !is_below_p(bytes) {
            return None;
        }
        compressed.decompress().filter(|point| !point.is_small_order())
    }
    fn hash_to_curve(dst: &[u8], message: &[&[u8]]) -> EdwardsPoint {
        EdwardsPoint::hash_to_curve::<sha2::Sha512>(message, &[dst])
    }
}

fn padded(p: &CompressedEdwardsY) -> Encoded {
    super::head(p.as_bytes())
}

/// Whether 32 little-endian bytes, without their highest bit, are below 2^255 − 19.
fn is_below_p(bytes: &[u8]) -> bool {
    match bytes {
        [first, middle @ .., last] => {
            *first < 0xed || last & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;

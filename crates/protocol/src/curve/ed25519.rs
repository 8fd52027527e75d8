//! edwards25519 over `curve25519-dalek`, restricted to the subgroup of prime order.

use super::{Curve, CurveId, WIDE_LEN};
use curve25519_dalek::{
    EdwardsPoint, Scalar, constants::ED25519_BASEPOINT_POINT, edwards::CompressedEdwardsY, traits::Identity,
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
    fn point_to_bytes(p: &EdwardsPoint) -> [u8; 33] {
        let mut out = [0u8; 33];
        for (o, b) in out.iter_mut().zip(p.compress().to_bytes()) {
            *o = b;
        }
        out
    }
    fn point_from_bytes(bytes: &[u8]) -> Option<EdwardsPoint> {
        let compressed = CompressedEdwardsY::from_slice(bytes).ok()?;
        let point = compressed.decompress()?;
        // Decompression accepts y ≥ p and "negative zero"; only the canonical form may pass, and only without torsion.
        let canonical = point.compress() == compressed;
        (canonical && point.is_torsion_free() && point != EdwardsPoint::identity()).then_some(point)
    }
    fn hash_to_curve(dst: &[u8], message: &[&[u8]]) -> EdwardsPoint {
        EdwardsPoint::hash_to_curve::<sha2::Sha512>(message, &[dst])
    }
}

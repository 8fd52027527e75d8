//! secp256k1 and P-256 over the `k256` and `p256` crates, which share one shape.

use super::{Curve, CurveId, EcdsaCurve, WIDE_LEN};
use elliptic_curve::{
    Field, FieldBytes, Group, PrimeField, array::Array, consts::U48, group::GroupEncoding, ops::Reduce,
    point::AffineCoordinates, scalar::IsHigh,
};
use hash2curve::GroupDigest;

macro_rules! weierstrass {
    ($(#[$doc:meta])* $name:ident, $krate:ident :: $curve:ident, pad: $pad:expr, from_pad: $from_pad:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;

        impl Curve for $name {
            const ID: CurveId = CurveId::$name;
            const POINT_LEN: usize = 33;
            const PAD_LEN: usize = $pad;
            type RawScalar = $krate::Scalar;
            type RawPoint = $krate::ProjectivePoint;

            fn scalar_to_bytes(s: &Self::RawScalar) -> [u8; 32] {
                s.to_repr().into()
            }
            fn scalar_from_bytes(bytes: &[u8; 32]) -> Option<Self::RawScalar> {
                Option::from($krate::Scalar::from_repr((*bytes).into()))
            }
            fn scalar_from_wide(bytes: &[u8; WIDE_LEN]) -> Self::RawScalar {
                let wide: Array<u8, U48> = (*bytes).into();
                $krate::Scalar::reduce(&wide)
            }
            fn scalar_from_pad(bytes: &[u8]) -> Self::RawScalar {
                let from_pad: fn(&[u8]) -> Self::RawScalar = $from_pad;
                from_pad(bytes)
            }
            fn scalar_invert(s: &Self::RawScalar) -> Self::RawScalar {
                Option::from(Field::invert(s)).unwrap_or($krate::Scalar::ZERO)
            }
            fn identity() -> Self::RawPoint {
                $krate::ProjectivePoint::IDENTITY
            }
            fn generator() -> Self::RawPoint {
                $krate::ProjectivePoint::GENERATOR
            }
            fn mul_base(s: &Self::RawScalar) -> Self::RawPoint {
                <$krate::ProjectivePoint as Group>::mul_by_generator(s)
            }
            fn mul(p: &Self::RawPoint, s: &Self::RawScalar) -> Self::RawPoint {
                p * s
            }
            fn point_to_bytes(p: &Self::RawPoint) -> [u8; 33] {
                p.to_affine().to_bytes().into()
            }
            fn point_from_bytes(bytes: &[u8]) -> Option<Self::RawPoint> {
                let repr: [u8; 33] = bytes.try_into().ok()?;
                // The decoder below also knows the compact form (tag 5), which would be a second encoding of the same point.
                if !matches!(repr.first(), Some(2 | 3)) {
                    return None;
                }
                let affine: Option<$krate::AffinePoint> = $krate::AffinePoint::from_bytes(&repr.into()).into();
                let point = $krate::ProjectivePoint::from(affine?);
                (!bool::from(Group::is_identity(&point))).then_some(point)
            }
            fn hash_to_curve(dst: &[u8], message: &[&[u8]]) -> Self::RawPoint {
                // The only error of expand_message_xmd is an empty or over-long tag; tags are constants of this workspace.
                $krate::$curve::hash_from_bytes(message, &[dst]).unwrap_or($krate::ProjectivePoint::IDENTITY)
            }
        }

        impl EcdsaCurve for $name {
            fn x_coordinate(p: &Self::RawPoint) -> (Self::RawScalar, bool, bool) {
                let affine = p.to_affine();
                let x: FieldBytes<$krate::$curve> = affine.x();
                let reduced = <$krate::Scalar as Reduce<FieldBytes<$krate::$curve>>>::reduce(&x);
                let overflow = reduced.to_repr() != x;
                (reduced, bool::from(affine.y_is_odd()), overflow)
            }
            fn scalar_from_digest(digest: &[u8; 32]) -> Self::RawScalar {
                <$krate::Scalar as Reduce<FieldBytes<$krate::$curve>>>::reduce(&(*digest).into())
            }
            fn is_high(s: &Self::RawScalar) -> bool {
                bool::from(IsHigh::is_high(s))
            }
        }
    };
}

/// First `N` bytes of a pad, zero-filled if the caller broke the length contract: no panic, and no secret is at stake.
fn head<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0u8; N];
    for (o, b) in out.iter_mut().zip(bytes) {
        *o = *b;
    }
    out
}

weierstrass!(
    /// secp256k1 (SEC 2, 2.4.1). Its order is 2^256 - 2^128.x, so 32 uniform bytes reduce with a bias of 2^-128.
    Secp256k1, k256::Secp256k1, pad: 32, from_pad: |bytes| {
        <k256::Scalar as Reduce<FieldBytes<k256::Secp256k1>>>::reduce(&head::<32>(bytes).into())
    }
);
weierstrass!(
    /// NIST P-256 (FIPS 186-5). 2^256 mod q is about 2^224, so a pad needs 48 bytes.
    P256, p256::NistP256, pad: WIDE_LEN, from_pad: |bytes| P256::scalar_from_wide(&head::<WIDE_LEN>(bytes))
);

#[cfg(test)]
mod tests {
    use super::*;

    fn only_two_tags<C: Curve>() -> usize {
        let bytes = C::point_to_bytes(&C::generator());
        (0..=255u8)
            .filter(|tag| {
                let mut changed = bytes;
                changed[0] = *tag;
                C::point_from_bytes(&changed).is_some()
            })
            .count()
    }

    /// covers: S3
    #[test]
    fn a_point_has_one_encoding() {
        assert_eq!(only_two_tags::<Secp256k1>(), 2);
        assert_eq!(only_two_tags::<P256>(), 2);
    }
}

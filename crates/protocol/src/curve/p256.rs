//! P-256 with field and group of our own: the scalars and the independent verification are those of the `p256` crate. Figures and the
//! argument for it stand in `spec/02-curves.md`.

mod field;
mod point;

use alloc::vec::Vec;
use elliptic_curve::{Field, FieldBytes, PrimeField, array::Array, consts::U48, ops::Reduce, scalar::IsHigh};
use subtle::{Choice, ConditionallySelectable};

use self::field::Element;
use self::point::{Affine, B, Projective, normalize};
use super::sswu::{Parameters, Swu, hash_to_field, map};
use super::{Curve, CurveId, EcdsaCurve, Encoded, WIDE_LEN};

/// NIST P-256 (FIPS 186-5). 2^256 mod q is about 2^224, so a pad needs 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct P256;

fn little_endian(s: &p256::Scalar) -> [u8; 32] {
    let mut bytes: [u8; 32] = s.to_repr().into();
    bytes.reverse();
    bytes
}

/// The compressed form (SEC 1, 2.3.3), all zero for the identity.
fn encode((point, identity): &(Affine, Choice)) -> Encoded {
    let mut out = [0u8; 33];
    let (tag, x) = out.split_at_mut(1);
    tag.fill(2 | point.y.is_odd().unwrap_u8());
    x.copy_from_slice(&point.x.to_bytes());
    for byte in &mut out {
        byte.conditional_assign(&0, *identity);
    }
    out
}

fn affine(p: &Projective) -> (Affine, Choice) {
    let inverse = p.z.invert();
    (Affine { x: p.x * inverse, y: p.y * inverse }, p.z.is_zero())
}

fn x_of(point: &Affine) -> (p256::Scalar, bool, bool) {
    let x: FieldBytes<p256::NistP256> = point.x.to_bytes().into();
    let reduced = <p256::Scalar as Reduce<FieldBytes<p256::NistP256>>>::reduce(&x);
    let overflow = reduced.to_repr() != x;
    (reduced, bool::from(point.y.is_odd()), overflow)
}

impl Curve for P256 {
    const ID: CurveId = CurveId::P256;
    const POINT_LEN: usize = 33;
    const PAD_LEN: usize = WIDE_LEN;
    type RawScalar = p256::Scalar;
    type RawPoint = Projective;

    fn scalar_to_bytes(s: &p256::Scalar) -> [u8; 32] {
        s.to_repr().into()
    }
    fn scalar_from_bytes(bytes: &[u8; 32]) -> Option<p256::Scalar> {
        Option::from(p256::Scalar::from_repr((*bytes).into()))
    }
    fn scalar_from_wide(bytes: &[u8; WIDE_LEN]) -> p256::Scalar {
        let wide: Array<u8, U48> = (*bytes).into();
        p256::Scalar::reduce(&wide)
    }
    fn scalar_from_pad(bytes: &[u8]) -> p256::Scalar {
        Self::scalar_from_wide(&super::head(bytes))
    }
    fn scalar_invert(s: &p256::Scalar) -> p256::Scalar {
        Option::from(Field::invert(s)).unwrap_or(p256::Scalar::ZERO)
    }
    fn identity() -> Projective {
        Projective::IDENTITY
    }
    fn generator() -> Projective {
        Projective::generator()
    }
    fn mul_base(s: &p256::Scalar) -> Projective {
        Projective::multiply_base(&zeroize::Zeroizing::new(little_endian(s)))
    }
    fn mul(p: &Projective, s: &p256::Scalar) -> Projective {
        p.multiply(&zeroize::Zeroizing::new(little_endian(s)))
    }
    fn lincomb(terms: &[(Projective, p256::Scalar)]) -> Projective {
        let terms: zeroize::Zeroizing<Vec<_>> =
            zeroize::Zeroizing::new(terms.iter().map(|(p, s)| (*p, little_endian(s))).collect());
        Projective::combine(&terms)
    }
    fn lincomb_vartime(base: &p256::Scalar, terms: &[(Projective, p256::Scalar)]) -> Projective {
        let terms: Vec<_> = terms.iter().map(|(p, s)| (*p, little_endian(s))).collect();
        Projective::combine_vartime(&little_endian(base), &terms)
    }
    fn point_to_bytes(p: &Projective) -> Encoded {
        encode(&affine(p))
    }
    fn points_to_bytes(points: &[Projective]) -> Vec<Encoded> {
        normalize(points).iter().map(encode).collect()
    }
    fn point_from_bytes(bytes: &[u8]) -> Option<Projective> {
        let (tag, x) = bytes.split_first()?;
        let x = Element::from_bytes(x.try_into().ok()?)?;
        if !matches!(tag, 2 | 3) {
            return None;
        }
        let y = (x * (x.square() - (Element::ONE.double() + Element::ONE)) + B).sqrt()?;
        let wrong = y.is_odd() ^ Choice::from(tag & 1);
        let y = Element::conditional_select(&y, &-y, wrong);
        Some(Affine { x, y }.into())
    }
    fn hash_to_curve(dst: &[u8], message: &[&[u8]]) -> Projective {
        // Both images share the addition; the cofactor is 1. No image is the identity, which has no place on this map.
        let [first, second] = hash_to_field::<Element>(dst, message).map(|u| {
            let (x, denominator, y) = map(u);
            Projective { x, y: y * denominator, z: denominator }
        });
        first + second
    }
}

impl EcdsaCurve for P256 {
    fn x_coordinate(p: &Projective) -> (p256::Scalar, bool, bool) {
        x_of(&affine(p).0)
    }
    fn x_coordinates(points: &[Projective]) -> Vec<(p256::Scalar, bool, bool)> {
        normalize(points).iter().map(|(point, _)| x_of(point)).collect()
    }
    fn scalar_from_digest(digest: &[u8; 32]) -> p256::Scalar {
        <p256::Scalar as Reduce<FieldBytes<p256::NistP256>>>::reduce(&(*digest).into())
    }
    fn is_high(s: &p256::Scalar) -> bool {
        bool::from(IsHigh::is_high(s))
    }
    fn double_times(p: &Projective, n: usize) -> Projective {
        p.double_times(n)
    }
}

impl Swu for Element {
    fn parameters() -> Parameters<Self> {
        // A = −3, B = b, Z = −10 and a root of 10, in Montgomery form (RFC 9380, 8.2).
        Parameters {
            a: Self([0xffff_ffff_ffff_fffc, 0x0000_0003_ffff_ffff, 0, 0xffff_fffc_0000_0004]),
            b: B,
            z: Self([0xffff_ffff_ffff_fff5, 0x0000_000a_ffff_ffff, 0, 0xffff_fff5_0000_000b]),
            root: Self([
                0xa1fd_38ee_98a1_95fd,
                0x7840_0ad7_423d_cf70,
                0x6913_c88f_9ea8_dfee,
                0x9051_d26e_12a8_f304,
            ]),
        }
    }
    fn one() -> Self {
        Self::ONE
    }
    fn square(&self) -> Self {
        Self::square(self)
    }
    fn is_zero(&self) -> Choice {
        Self::is_zero(self)
    }
    fn is_odd(&self) -> Choice {
        Self::is_odd(self)
    }
    fn quarter_power(&self) -> Self {
        Self::quarter_power(self)
    }
    fn from_wide(bytes: &[u8; 48]) -> Self {
        Self::from_wide(bytes)
    }
}

#[cfg(test)]
mod tests;

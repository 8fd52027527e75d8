//! secp256k1 over the `k256` crate, with a map to the curve of our own.

mod base;

use alloc::vec::Vec;
use core::ops::{Add, Mul, Neg};
use elliptic_curve::ops::LinearCombination;
use elliptic_curve::{
    BatchNormalize, Field, FieldBytes, Group, PrimeField, array::Array, consts::U48, group::GroupEncoding,
    hazmat::FieldArithmetic, ops::BatchInvert, ops::Reduce, point::AffineCoordinates, scalar::IsHigh,
};
use k256::{AffinePoint, ProjectivePoint, Scalar};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::sswu::{Parameters, Swu, hash_to_field, map};
use super::{Curve, CurveId, EcdsaCurve, Encoded, WIDE_LEN, buckets, head};

/// secp256k1 (SEC 2, 2.4.1). Its order is 2^256 - 2^128.x, so 32 uniform bytes reduce with a bias of 2^-128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secp256k1;

type Bytes = FieldBytes<k256::Secp256k1>;

impl Curve for Secp256k1 {
    const ID: CurveId = CurveId::Secp256k1;
    const POINT_LEN: usize = 33;
    const PAD_LEN: usize = 32;
    type RawScalar = Scalar;
    type RawPoint = ProjectivePoint;

    fn scalar_to_bytes(s: &Scalar) -> [u8; 32] {
        s.to_repr().into()
    }
    fn scalar_from_bytes(bytes: &[u8; 32]) -> Option<Scalar> {
        Option::from(Scalar::from_repr((*bytes).into()))
    }
    fn scalar_from_wide(bytes: &[u8; WIDE_LEN]) -> Scalar {
        let wide: Array<u8, U48> = (*bytes).into();
        Scalar::reduce(&wide)
    }
    fn scalar_from_pad(bytes: &[u8]) -> Scalar {
        <Scalar as Reduce<Bytes>>::reduce(&head::<32>(bytes).into())
    }
    fn scalar_invert(s: &Scalar) -> Scalar {
        Option::from(Field::invert(s)).unwrap_or(Scalar::ZERO)
    }
    fn identity() -> ProjectivePoint {
        ProjectivePoint::IDENTITY
    }
    fn generator() -> ProjectivePoint {
        ProjectivePoint::GENERATOR
    }
    fn mul_base(s: &Scalar) -> ProjectivePoint {
        base::multiply(&little_endian(s))
    }
    fn mul(p: &ProjectivePoint, s: &Scalar) -> ProjectivePoint {
        p * s
    }
    fn lincomb(terms: &[(ProjectivePoint, Scalar)]) -> ProjectivePoint {
        ProjectivePoint::lincomb(terms)
    }
    fn lincomb_vartime(base: &Scalar, terms: &[(ProjectivePoint, Scalar)]) -> ProjectivePoint {
        let sum = match terms {
            [] => ProjectivePoint::IDENTITY,
            terms if terms.len() >= buckets::MANY => {
                let terms = terms.iter().map(|(point, scalar)| (*point, *little_endian(scalar)));
                buckets::sum(ProjectivePoint::IDENTITY, terms, |point, n| Self::double_times(&point, n))
            }
            terms => ProjectivePoint::lincomb_vartime(terms),
        };
        if bool::from(base.is_zero()) { sum } else { sum + base::multiply_vartime(&little_endian(base)) }
    }
    fn point_to_bytes(p: &ProjectivePoint) -> Encoded {
        p.to_affine().to_bytes().into()
    }
    fn points_to_bytes(points: &[ProjectivePoint]) -> Vec<Encoded> {
        let affine: Vec<AffinePoint> = ProjectivePoint::batch_normalize(points);
        affine.iter().map(|point| point.to_bytes().into()).collect()
    }
    fn point_from_bytes(bytes: &[u8]) -> Option<ProjectivePoint> {
        let repr: [u8; 33] = bytes.try_into().ok()?;
        // The decoder below also knows the compact form (tag 5), which would be a second encoding of the same point.
        if !matches!(repr.first(), Some(2 | 3)) {
            return None;
        }
        let affine: Option<AffinePoint> = AffinePoint::from_bytes(&repr.into()).into();
        let point = ProjectivePoint::from(affine?);
        (!bool::from(Group::is_identity(&point))).then_some(point)
    }
    fn hash_to_curve(dst: &[u8], message: &[&[u8]]) -> ProjectivePoint {
        Self::hashes_to_curve(dst, &[message]).into_iter().next().unwrap_or(ProjectivePoint::IDENTITY)
    }
    fn hashes_to_curve(dst: &[u8], messages: &[&[&[u8]]]) -> Vec<ProjectivePoint> {
        let images: Vec<[Fraction; 2]> =
            messages.iter().map(|message| hash_to_field::<Fe>(dst, message).map(isogeny)).collect();
        // One inversion for all.
        let mut inverses: Vec<RawField> = images.iter().flatten().map(|image| image.z.0).collect();
        let mut scratch = inverses.clone();
        let _ = <RawField as BatchInvert>::batch_invert_in_place(&mut inverses, &mut scratch);
        let mut inverses = inverses.into_iter();
        images
            .iter()
            .map(|pair| pair.iter().zip(&mut inverses).map(|(image, inverse)| image.point(Fe(inverse))).sum())
            .collect()
    }
}

impl EcdsaCurve for Secp256k1 {
    fn x_coordinate(p: &ProjectivePoint) -> (Scalar, bool, bool) {
        x_of(&p.to_affine())
    }
    fn x_coordinates(points: &[ProjectivePoint]) -> Vec<(Scalar, bool, bool)> {
        let affine: Vec<AffinePoint> = ProjectivePoint::batch_normalize(points);
        affine.iter().map(x_of).collect()
    }
    fn scalar_from_digest(digest: &[u8; 32]) -> Scalar {
        <Scalar as Reduce<Bytes>>::reduce(&(*digest).into())
    }
    fn is_high(s: &Scalar) -> bool {
        bool::from(IsHigh::is_high(s))
    }
    fn double_times(p: &ProjectivePoint, n: usize) -> ProjectivePoint {
        (0..n).fold(*p, |p, _| p.double())
    }
}

fn little_endian(s: &Scalar) -> Zeroizing<[u8; 32]> {
    let mut bytes: [u8; 32] = s.to_repr().into();
    bytes.reverse();
    Zeroizing::new(bytes)
}

fn x_of(point: &AffinePoint) -> (Scalar, bool, bool) {
    let x: Bytes = point.x();
    let reduced = <Scalar as Reduce<Bytes>>::reduce(&x);
    let overflow = reduced.to_repr() != x;
    (reduced, bool::from(point.y_is_odd()), overflow)
}

type RawField = <k256::Secp256k1 as FieldArithmetic>::FieldElement;

/// A field element that is weakly normalised after every operation, so that magnitudes need no counting.
#[derive(Clone, Copy)]
struct Fe(RawField);

impl Fe {
    fn of(bytes: &[u8; 32]) -> Self {
        Self(Option::from(RawField::from_bytes(&(*bytes).into())).unwrap_or(RawField::ZERO))
    }
    fn square_times(&self, n: usize) -> Self {
        Self((0..n).fold(self.0, |x, _| x.square()))
    }
}
impl Add for Fe {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self((self.0 + other.0).normalize_weak())
    }
}
impl Mul for Fe {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
}
impl Neg for Fe {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.negate(1).normalize_weak())
    }
}
impl ConditionallySelectable for Fe {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self(RawField::conditional_select(&a.0, &b.0, choice))
    }
}
impl ConstantTimeEq for Fe {
    fn ct_eq(&self, other: &Self) -> Choice {
        (self.0.negate(1) + other.0).normalizes_to_zero()
    }
}

impl Swu for Fe {
    fn parameters() -> Parameters<Self> {
        Parameters { a: Self(MAP.a), b: Self(MAP.b), z: Self(MAP.z), root: Self(MAP.root) }
    }
    fn one() -> Self {
        Self(RawField::ONE)
    }
    fn square(&self) -> Self {
        Self(self.0.square())
    }
    fn is_zero(&self) -> Choice {
        self.0.normalizes_to_zero()
    }
    fn is_odd(&self) -> Choice {
        self.0.normalize().is_odd()
    }
    fn quarter_power(&self) -> Self {
        // (p − 3)/4 in binary: 223 ones, a zero, 22 ones, 00001011.
        let x2 = self.square() * *self;
        let x3 = x2.square() * *self;
        let x6 = x3.square_times(3) * x3;
        let x9 = x6.square_times(3) * x3;
        let x11 = x9.square_times(2) * x2;
        let x22 = x11.square_times(11) * x11;
        let x44 = x22.square_times(22) * x22;
        let x88 = x44.square_times(44) * x44;
        let x176 = x88.square_times(88) * x88;
        let x220 = x176.square_times(44) * x44;
        let x223 = x220.square_times(3) * x3;
        let head = x223.square_times(23) * x22;
        (head.square_times(5) * *self).square_times(3) * x2
    }
    fn from_wide(bytes: &[u8; 48]) -> Self {
        let (high, low) = bytes.split_at(24);
        let half = |part: &[u8]| {
            let mut whole = [0u8; 32];
            whole.iter_mut().skip(8).zip(part).for_each(|(o, b)| *o = *b);
            Self::of(&whole)
        };
        half(high) * Self(MAP.shift) + half(low)
    }
}

/// X/Z, Y/Z
struct Fraction {
    x: Fe,
    y: Fe,
    z: Fe,
}

impl Fraction {
    /// The point, given 1/Z. Z is zero for the few inputs that the isogeny maps to the identity.
    fn point(&self, inverse: Fe) -> ProjectivePoint {
        let bytes = |f: Fe| f.0.to_bytes();
        let (x, y) = (bytes(self.x * inverse), bytes(self.y * inverse));
        AffinePoint::from_coordinates(&x, &y).map(ProjectivePoint::from).unwrap_or(ProjectivePoint::IDENTITY)
    }
}

/// The image of the map, carried from the isogenous curve to secp256k1 (RFC 9380, 8.7 and E.1), as a fraction.
fn isogeny(u: Fe) -> Fraction {
    let (n, d, y) = map(u);
    let (n2, d2) = (n.square(), d.square());
    let powers = [d2 * d, n * d2, n2 * d, n2 * n];
    let cubic = |k: &[RawField; 4]| {
        let [a, b, c, e] = k.map(Fe);
        let [p0, p1, p2, p3] = powers;
        a * p0 + b * p1 + (c * p2 + e * p3)
    };
    let x_numerator = cubic(&MAP.x_numerator);
    let [a, b] = MAP.x_denominator.map(Fe);
    let x_denominator = (a * d2 + b * (n * d) + n2) * d;
    let y_numerator = cubic(&MAP.y_numerator) * y;
    let y_denominator = cubic(&MAP.y_denominator);
    Fraction {
        x: x_numerator * y_denominator,
        y: y_numerator * x_denominator,
        z: x_denominator * y_denominator,
    }
}

/// Constants of the map and the isogeny.
struct Map {
    a: RawField,
    b: RawField,
    z: RawField,
    root: RawField,
    /// 2^192
    shift: RawField,
    x_numerator: [RawField; 4],
    /// Without the leading one.
    x_denominator: [RawField; 2],
    y_numerator: [RawField; 4],
    y_denominator: [RawField; 4],
}

static MAP: std::sync::LazyLock<Map> = std::sync::LazyLock::new(|| {
    let of = |hex: &str| {
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().as_chunks::<2>().0) {
            let digit =
                |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or_default();
            let [high, low] = pair;
            *byte = 16 * digit(*high) + digit(*low);
        }
        Fe::of(&bytes).0
    };
    Map {
        a: of("3f8731abdd661adca08a5558f0f5d272e953d363cb6f0e5d405447c01a444533"),
        b: of("00000000000000000000000000000000000000000000000000000000000006eb"),
        z: of("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc24"),
        root: of("31fdf302724013e57ad13fb38f842afeec184f00a74789dd286729c8303c4a59"),
        shift: of("0000000000000001000000000000000000000000000000000000000000000000"),
        x_numerator: [
            of("8e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38daaaaa8c7"),
            of("07d3d4c80bc321d5b9f315cea7fd44c5d595d2fc0bf63b92dfff1044f17c6581"),
            of("534c328d23f234e6e2a413deca25caece4506144037c40314ecbd0b53d9dd262"),
            of("8e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38daaaaa88c"),
        ],
        x_denominator: [
            of("d35771193d94918a9ca34ccbb7b640dd86cd409542f8487d9fe6b745781eb49b"),
            of("edadc6f64383dc1df7c4b2d51b54225406d36b641f5e41bbc52a56612a8c6d14"),
        ],
        y_numerator: [
            of("4bda12f684bda12f684bda12f684bda12f684bda12f684bda12f684b8e38e23c"),
            of("c75e0c32d5cb7c0fa9d0a54b12a0a6d5647ab046d686da6fdffc90fc201d71a3"),
            of("29a6194691f91a73715209ef6512e576722830a201be2018a765e85a9ecee931"),
            of("2f684bda12f684bda12f684bda12f684bda12f684bda12f684bda12f38e38d84"),
        ],
        y_denominator: [
            of("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffff93b"),
            of("7a06534bb8bdb49fd5e9e6632722c2989467c1bfc8e8d978dfb425d2685c2573"),
            of("6484aa716545ca2cf3a70c3fa8fe337e0a3d21162f0d6299a7bf8192bfd2a76f"),
            of("0000000000000000000000000000000000000000000000000000000000000001"),
        ],
    }
});

#[cfg(test)]
mod tests {
    use super::super::P256;
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

    /// The tables against `k256`: zero, powers of two with their neighbours and negatives, runs of equal digits, digits on the edge of a
    /// window, and random ones.
    #[test]
    fn multiples_of_the_base_point_are_those_of_k256() {
        let mut scalars = alloc::vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE];
        let mut power = Scalar::ONE;
        for _ in 0..256 {
            scalars.extend([power, power + Scalar::ONE, power - Scalar::ONE, -power]);
            power = power.double();
        }
        for digit in [15u8, 16, 17, 31] {
            let repeated = (0..51)
                .fold(Scalar::ZERO, |sum, _| sum * Scalar::from(32u64) + Scalar::from(u64::from(digit)));
            scalars.extend([repeated, -repeated]);
        }
        let mut random = Scalar::from(0x5157_0472_u64);
        for _ in 0..200 {
            random = random.square() + Scalar::from(41u64);
            scalars.push(random);
        }
        assert_eq!(scalars.len(), 3 + 4 * 256 + 8 + 200);
        for scalar in scalars {
            let expected = ProjectivePoint::GENERATOR * scalar;
            assert_eq!(base::multiply(&little_endian(&scalar)), expected);
            assert_eq!(base::multiply_vartime(&little_endian(&scalar)), expected);
        }
    }

    /// Another implementation of the same suite, for 300 messages, alone and together.
    #[test]
    fn hashes_are_those_of_k256() {
        use hash2curve::GroupDigest as _;
        let dst: &[u8] = b"quorate test tag";
        let inputs: Vec<[u8; 2]> = (0..300u16).map(u16::to_le_bytes).collect();
        let parts: Vec<[&[u8]; 2]> = inputs.iter().map(|i| [&i[..1], &i[1..]]).collect();
        let messages: Vec<&[&[u8]]> = parts.iter().map(|p| &p[..]).collect();
        let together = Secp256k1::hashes_to_curve(dst, &messages);
        assert_eq!(together.len(), 300);
        for (message, point) in messages.iter().zip(&together) {
            let expected = k256::Secp256k1::hash_from_bytes(message, &[dst]).unwrap();
            assert_eq!(*point, expected);
            assert_eq!(Secp256k1::hash_to_curve(dst, message), expected);
        }
    }
}

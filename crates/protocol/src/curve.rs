//! The curve trait and the two value types every protocol computes with: [`Scalar`] and [`Point`].
//!
//! A protocol is written once, generic over [`Curve`]; secp256k1, P-256 and edwards25519 implement it.
//! Secret scalars that live longer than one expression belong in [`SecretScalar`].

mod buckets;
mod digits;
mod ed25519;
mod multiples;
mod p256;
mod secp256k1;
mod sswu;

pub use self::{ed25519::Ed25519, multiples::Multiples, p256::P256, secp256k1::Secp256k1};

use alloc::vec::Vec;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use core::fmt;
use core::ops::{Add, AddAssign, Mul, Neg, Sub};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use crate::rng::HedgedRng;

/// Names a curve on the wire, in a transcript and at rest.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, borsh::BorshSerialize, borsh::BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum CurveId {
    /// secp256k1 (SEC 2, 2.4.1)
    Secp256k1 = 1,
    /// NIST P-256 (FIPS 186-5)
    P256 = 2,
    /// edwards25519 (RFC 8032), its subgroup of prime order
    Ed25519 = 3,
}

impl CurveId {
    /// The curve's name as it appears in transcripts and messages to people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secp256k1 => "secp256k1",
            Self::P256 => "P-256",
            Self::Ed25519 => "edwards25519",
        }
    }
}

impl fmt::Display for CurveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Number of bytes that [`Curve::scalar_from_wide`] reduces: 128 bits more than the order, so the bias is below 2^-127
/// on every curve here.
pub const WIDE_LEN: usize = 48;

/// A compressed point: [`Curve::POINT_LEN`] bytes, then zero.
pub type Encoded = [u8; 33];

/// First `N` bytes of a pad, zero-filled if the caller broke the length contract: no panic, and no secret is at stake.
fn head<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0u8; N];
    for (o, b) in out.iter_mut().zip(bytes) {
        *o = *b;
    }
    out
}

/// A group of prime order with the operations that the protocols need. All operations are constant time unless named `vartime`.
pub trait Curve: Copy + Clone + fmt::Debug + PartialEq + Eq + Send + Sync + 'static {
    /// Name of the curve.
    const ID: CurveId;
    /// Bytes of an encoded point.
    const POINT_LEN: usize;
    /// Bytes that a pseudorandom scalar needs so that plain reduction is unbiased: 32 where the order is within 2^-100 of a
    /// power of two, [`WIDE_LEN`] elsewhere (test plan A6).
    const PAD_LEN: usize;

    /// Field of the exponents.
    type RawScalar: Copy
        + Default
        + Send
        + Sync
        + 'static
        + Add<Output = Self::RawScalar>
        + Sub<Output = Self::RawScalar>
        + Mul<Output = Self::RawScalar>
        + Neg<Output = Self::RawScalar>
        + ConditionallySelectable
        + ConstantTimeEq
        + Zeroize
        + From<u64>;
    /// Group element.
    type RawPoint: Copy
        + Send
        + Sync
        + 'static
        + Add<Output = Self::RawPoint>
        + Sub<Output = Self::RawPoint>
        + Neg<Output = Self::RawPoint>
        + ConditionallySelectable
        + ConstantTimeEq
        + Zeroize;

    /// Canonical encoding, in the byte order that the curve's own standard uses.
    fn scalar_to_bytes(s: &Self::RawScalar) -> [u8; 32];
    /// Decodes a canonical encoding; `None` if it is not below the order.
    fn scalar_from_bytes(bytes: &[u8; 32]) -> Option<Self::RawScalar>;
    /// Reduces 48 uniform bytes, in big-endian order on every curve.
    fn scalar_from_wide(bytes: &[u8; WIDE_LEN]) -> Self::RawScalar;
    /// Reduces `PAD_LEN` uniform bytes; the slice must have that length, extra bytes are ignored.
    fn scalar_from_pad(bytes: &[u8]) -> Self::RawScalar;
    /// Multiplicative inverse; zero for zero.
    fn scalar_invert(s: &Self::RawScalar) -> Self::RawScalar;

    /// Neutral element.
    fn identity() -> Self::RawPoint;
    /// Generator of the group.
    fn generator() -> Self::RawPoint;
    /// `s·G`, by table.
    fn mul_base(s: &Self::RawScalar) -> Self::RawPoint;
    /// `s·P`.
    fn mul(p: &Self::RawPoint, s: &Self::RawScalar) -> Self::RawPoint;
    /// `Σ s·P`, with the doublings shared.
    fn lincomb(terms: &[(Self::RawPoint, Self::RawScalar)]) -> Self::RawPoint;
    /// `base·G + Σ s·P` of public values: the time it takes depends on all of them.
    fn lincomb_vartime(base: &Self::RawScalar, terms: &[(Self::RawPoint, Self::RawScalar)])
    -> Self::RawPoint;
    /// Writes the canonical compressed encoding into the first `POINT_LEN` bytes and returns them all (33 bytes, the last unused on 32-byte curves).
    fn point_to_bytes(p: &Self::RawPoint) -> Encoded;
    /// The same for each point, with one field inversion for all.
    fn points_to_bytes(points: &[Self::RawPoint]) -> Vec<Encoded>;
    /// Decodes a canonical compressed point of the prime-order group; the identity is `None`.
    fn point_from_bytes(bytes: &[u8]) -> Option<Self::RawPoint>;
    /// Decodes a canonical compressed point whose order is not small; on a curve with a cofactor it may have a part of small order.
    fn point_from_bytes_with_torsion(bytes: &[u8]) -> Option<Self::RawPoint> {
        Self::point_from_bytes(bytes)
    }
    /// RFC 9380 `hash_to_curve` in the random-oracle suite of the curve.
    fn hash_to_curve(dst: &[u8], message: &[&[u8]]) -> Self::RawPoint;
    /// The same for each message; cheaper together where the curve needs an inversion for each.
    fn hashes_to_curve(dst: &[u8], messages: &[&[&[u8]]]) -> Vec<Self::RawPoint> {
        messages.iter().map(|message| Self::hash_to_curve(dst, message)).collect()
    }
}

/// A curve on which ECDSA is defined.
pub trait EcdsaCurve: Curve {
    /// `(x(P) mod q, parity of y, x(P) ≥ q)` of a point that is not the identity (SEC 1, 4.1.3).
    fn x_coordinate(p: &Self::RawPoint) -> (Self::RawScalar, bool, bool);
    /// The same for many points, where that is cheaper.
    fn x_coordinates(points: &[Self::RawPoint]) -> Vec<(Self::RawScalar, bool, bool)> {
        points.iter().map(Self::x_coordinate).collect()
    }
    /// Interprets a 32-byte digest as an integer and reduces it (SEC 1, 4.1.3 step 5).
    fn scalar_from_digest(digest: &[u8; 32]) -> Self::RawScalar;
    /// Whether `s` is above half the order.
    fn is_high(s: &Self::RawScalar) -> bool;
    /// `2^n·P`.
    fn double_times(p: &Self::RawPoint, n: usize) -> Self::RawPoint;
}

/// Element of the scalar field of `C`. Copies are for arithmetic; its `Debug` shows no value.
pub struct Scalar<C: Curve>(C::RawScalar);

/// Element of the group of `C`, the identity included; on the wire the identity does not exist.
pub struct Point<C: Curve>(C::RawPoint);

impl<C: Curve> Clone for Scalar<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C: Curve> Copy for Scalar<C> {}
impl<C: Curve> Clone for Point<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C: Curve> Copy for Point<C> {}

impl<C: Curve> fmt::Debug for Scalar<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scalar<{}>(..)", C::ID)
    }
}
impl<C: Curve> fmt::Debug for Point<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Point<{}>(", C::ID)?;
        for b in self.to_bytes() {
            write!(f, "{b:02x}")?;
        }
        f.write_str(")")
    }
}

impl<C: Curve> Default for Scalar<C> {
    fn default() -> Self {
        Self::ZERO()
    }
}

impl<C: Curve> Scalar<C> {
    /// Zero.
    #[expect(
        non_snake_case,
        reason = "reads as the constant that the curve crates cannot all provide as one"
    )]
    pub fn ZERO() -> Self {
        Self(C::RawScalar::default())
    }
    /// One.
    #[expect(
        non_snake_case,
        reason = "reads as the constant that the curve crates cannot all provide as one"
    )]
    pub fn ONE() -> Self {
        Self(C::RawScalar::from(1u64))
    }
    /// Wraps a value of the curve crate.
    pub fn from_raw(raw: C::RawScalar) -> Self {
        Self(raw)
    }
    /// The value of the curve crate.
    pub fn raw(&self) -> &C::RawScalar {
        &self.0
    }
    /// Canonical 32-byte encoding.
    pub fn to_bytes(&self) -> [u8; 32] {
        C::scalar_to_bytes(&self.0)
    }
    /// Decodes a canonical encoding; `None` if it is not below the order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        C::scalar_from_bytes(bytes).map(Self)
    }
    /// Reduces 48 uniform bytes.
    pub fn from_wide(bytes: &[u8; WIDE_LEN]) -> Self {
        Self(C::scalar_from_wide(bytes))
    }
    /// `hash_to_field` of RFC 9380 (5.2) over `expand_message_xmd` with SHA-256 and 48 bytes; the parts of tag and message are joined.
    pub fn hash(dst: &[&[u8]], message: &[&[u8]]) -> Self {
        let mut wide = Zeroizing::new([0u8; WIDE_LEN]);
        sswu::expand_message_xmd(dst, message, &mut *wide);
        Self::from_wide(&wide)
    }
    /// Reduces [`Curve::PAD_LEN`] uniform bytes.
    pub fn from_pad(bytes: &[u8]) -> Self {
        Self(C::scalar_from_pad(bytes))
    }
    /// A uniform scalar.
    pub fn random(rng: &mut HedgedRng) -> Self {
        let mut wide = Zeroizing::new([0u8; WIDE_LEN]);
        rng.fill(&mut *wide);
        Self::from_wide(&wide)
    }
    /// Multiplicative inverse; zero for zero.
    #[must_use]
    pub fn invert(&self) -> Self {
        Self(C::scalar_invert(&self.0))
    }
    /// Whether the value is zero, in constant time.
    pub fn is_zero(&self) -> Choice {
        self.0.ct_eq(&C::RawScalar::default())
    }
}

impl<C: Curve> From<u64> for Scalar<C> {
    fn from(value: u64) -> Self {
        Self(C::RawScalar::from(value))
    }
}
impl<C: Curve> From<crate::party::PartyIndex> for Scalar<C> {
    fn from(value: crate::party::PartyIndex) -> Self {
        Self::from(u64::from(value.get()))
    }
}

impl<C: Curve> Point<C> {
    /// Neutral element.
    pub fn identity() -> Self {
        Self(C::identity())
    }
    /// Generator.
    pub fn generator() -> Self {
        Self(C::generator())
    }
    /// `s·G`.
    pub fn mul_base(s: &Scalar<C>) -> Self {
        Self(C::mul_base(&s.0))
    }
    /// Wraps a value of the curve crate.
    pub fn from_raw(raw: C::RawPoint) -> Self {
        Self(raw)
    }
    /// The value of the curve crate.
    pub fn raw(&self) -> &C::RawPoint {
        &self.0
    }
    /// Whether this is the neutral element, in constant time.
    pub fn is_identity(&self) -> Choice {
        self.0.ct_eq(&C::identity())
    }
    /// Canonical compressed encoding, [`Curve::POINT_LEN`] bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = C::point_to_bytes(&self.0).to_vec();
        bytes.truncate(C::POINT_LEN);
        bytes
    }
    /// Decodes a point of the prime-order group; refuses the identity, other lengths and non-canonical forms.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != C::POINT_LEN {
            return None;
        }
        C::point_from_bytes(bytes).map(Self)
    }
    /// Decodes as [`from_bytes`](Self::from_bytes), but on a curve with a cofactor lets a part of small order pass; points that have no other
    /// part are refused. For points that no secret multiplies and whose sums are compared with points of the group (`spec/30-frost.md`).
    pub fn from_bytes_with_torsion(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != C::POINT_LEN {
            return None;
        }
        C::point_from_bytes_with_torsion(bytes).map(Self)
    }
    /// Canonical compressed encodings, with one field inversion for all.
    pub fn encode_all(points: &[Self]) -> Vec<Encoded> {
        C::points_to_bytes(&points.iter().map(|p| p.0).collect::<Vec<_>>())
    }
    /// `Σ s·P` in constant time; cheaper than the sum of products.
    pub fn lincomb(terms: &[(Self, Scalar<C>)]) -> Self {
        let mut raw: Vec<_> = terms.iter().map(|(p, s)| (p.0, s.0)).collect();
        let sum = Self(C::lincomb(&raw));
        raw.iter_mut().for_each(|(_, s)| s.zeroize());
        sum
    }
    /// `base·G + Σ s·P` of public values, in variable time.
    pub fn lincomb_vartime(base: &Scalar<C>, terms: &[(Self, Scalar<C>)]) -> Self {
        let raw: Vec<_> = terms.iter().map(|(p, s)| (p.0, s.0)).collect();
        Self(C::lincomb_vartime(&base.0, &raw))
    }
    /// RFC 9380 `hash_to_curve`.
    pub fn hash(dst: &[u8], message: &[&[u8]]) -> Self {
        Self(C::hash_to_curve(dst, message))
    }
    /// RFC 9380 `hash_to_curve` of each message, cheaper than one by one.
    pub fn hash_all(dst: &[u8], messages: &[&[&[u8]]]) -> Vec<Self> {
        C::hashes_to_curve(dst, messages).into_iter().map(Self).collect()
    }
}

impl<C: EcdsaCurve> Point<C> {
    /// [`x_coordinate`](Self::x_coordinate) of each point, with one field inversion for all.
    pub fn x_coordinates(points: &[Self]) -> Vec<(Scalar<C>, bool, bool)> {
        let raw: Vec<_> = points.iter().map(|p| p.0).collect();
        C::x_coordinates(&raw).into_iter().map(|(x, odd, overflow)| (Scalar(x), odd, overflow)).collect()
    }
    /// `(x mod q, parity of y, x ≥ q)`; of no meaning for the identity.
    pub fn x_coordinate(&self) -> (Scalar<C>, bool, bool) {
        let (x, odd, overflow) = C::x_coordinate(&self.0);
        (Scalar(x), odd, overflow)
    }
}
impl<C: EcdsaCurve> Scalar<C> {
    /// The integer of a 32-byte digest, reduced.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        Self(C::scalar_from_digest(digest))
    }
    /// Whether the value is above half the order.
    pub fn is_high(&self) -> bool {
        C::is_high(&self.0)
    }
}

macro_rules! arithmetic {
    ($type:ident, $($trait:ident $method:ident),+) => {$(
        impl<C: Curve> $trait for $type<C> {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                Self($trait::$method(self.0, other.0))
            }
        }
    )+
        impl<C: Curve> Neg for $type<C> {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }
        impl<C: Curve> AddAssign for $type<C> {
            fn add_assign(&mut self, other: Self) {
                self.0 = self.0 + other.0;
            }
        }
        impl<C: Curve> ConstantTimeEq for $type<C> {
            fn ct_eq(&self, other: &Self) -> Choice {
                self.0.ct_eq(&other.0)
            }
        }
        impl<C: Curve> PartialEq for $type<C> {
            fn eq(&self, other: &Self) -> bool {
                bool::from(self.ct_eq(other))
            }
        }
        impl<C: Curve> Eq for $type<C> {}
        impl<C: Curve> ConditionallySelectable for $type<C> {
            fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
                Self(ConditionallySelectable::conditional_select(&a.0, &b.0, choice))
            }
        }
        impl<C: Curve> Zeroize for $type<C> {
            fn zeroize(&mut self) {
                self.0.zeroize();
            }
        }
    };
}
arithmetic!(Scalar, Add add, Sub sub, Mul mul);
arithmetic!(Point, Add add, Sub sub);

impl<C: Curve> Mul<Scalar<C>> for Point<C> {
    type Output = Self;
    fn mul(self, s: Scalar<C>) -> Self {
        Self(C::mul(&self.0, &s.0))
    }
}
impl<C: Curve> core::iter::Sum for Scalar<C> {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO(), Add::add)
    }
}
impl<C: Curve> core::iter::Sum for Point<C> {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::identity(), Add::add)
    }
}

impl<C: Curve> borsh::BorshSerialize for Scalar<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        writer.write_all(&self.to_bytes())
    }
}
impl<C: Curve> borsh::BorshDeserialize for Scalar<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let mut bytes = [0u8; 32];
        reader.read_exact(&mut bytes)?;
        Self::from_bytes(&bytes)
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "scalar is not below the group order"))
    }
}
impl<C: Curve> borsh::BorshSerialize for Point<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        if bool::from(self.is_identity()) {
            return Err(Error::new(ErrorKind::InvalidData, "the identity point has no encoding"));
        }
        writer.write_all(&self.to_bytes())
    }
}
impl<C: Curve> borsh::BorshDeserialize for Point<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let mut bytes = [0u8; 33];
        let bytes = bytes
            .get_mut(..C::POINT_LEN)
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "point length"))?;
        reader.read_exact(bytes)?;
        Self::from_bytes(bytes)
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "not a valid point, or the identity"))
    }
}

/// A scalar that is a secret: zeroised on drop, not cloned, not printed, compared in constant time.
pub struct SecretScalar<C: Curve>(Scalar<C>);

impl<C: Curve> SecretScalar<C> {
    /// Takes ownership of a secret value.
    pub fn new(value: Scalar<C>) -> Self {
        Self(value)
    }
    /// A uniform secret.
    pub fn random(rng: &mut HedgedRng) -> Self {
        Self(Scalar::random(rng))
    }
    /// The value, for one expression. Do not store the copy.
    pub fn expose(&self) -> Scalar<C> {
        self.0
    }
    /// `s·G`.
    pub fn public(&self) -> Point<C> {
        Point::mul_base(&self.0)
    }
}
impl<C: Curve> Drop for SecretScalar<C> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
impl<C: Curve> fmt::Debug for SecretScalar<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretScalar(..)")
    }
}

#[cfg(test)]
mod tests;

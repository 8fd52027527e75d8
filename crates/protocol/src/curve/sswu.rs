//! `map_to_curve` of RFC 9380 without an inversion: the simplified Shallue–van de Woestijne–Ulas map for fields with q ≡ 3 mod 4, as the
//! straight-line program of appendix F.2, with the last quotient left as numerator and denominator. And `expand_message_xmd` (5.3.1).

use core::ops::{Add, Mul, Neg};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// A field and the parameters of the map over it.
pub(super) trait Swu:
    Copy + Add<Output = Self> + Mul<Output = Self> + Neg<Output = Self> + ConditionallySelectable + ConstantTimeEq
{
    /// Coefficients of the curve that the map goes to, Z, and a square root of −Z.
    fn parameters() -> Parameters<Self>;
    fn one() -> Self;
    fn square(&self) -> Self;
    fn is_zero(&self) -> Choice;
    /// `sgn0`: whether the canonical value is odd.
    fn is_odd(&self) -> Choice;
    /// self^((q − 3)/4)
    fn quarter_power(&self) -> Self;
    /// The remainder of 48 big-endian bytes.
    fn from_wide(bytes: &[u8; 48]) -> Self;
}

/// Constants of the map.
pub(super) struct Parameters<F> {
    pub(super) a: F,
    pub(super) b: F,
    pub(super) z: F,
    pub(super) root: F,
}

/// A point as (x numerator, x denominator, y). The denominator is not zero.
pub(super) fn map<F: Swu>(u: F) -> (F, F, F) {
    let Parameters { a, b, z, root } = F::parameters();
    let tv1 = z * u.square();
    let tv2 = tv1.square() + tv1;
    let tv3 = b * (tv2 + F::one());
    let tv4 = a * F::conditional_select(&-tv2, &z, tv2.is_zero());
    let square = tv4.square();
    let gx = (tv3.square() + a * square) * tv3;
    let tv6 = square * tv4;
    let gx = gx + b * tv6;
    // sqrt_ratio(gx, tv6), F.2.1.2
    let product = gx * tv6;
    let y1 = (tv6.square() * product).quarter_power() * product;
    let is_square = (y1.square() * tv6).ct_eq(&gx);
    let x = F::conditional_select(&(tv1 * tv3), &tv3, is_square);
    let y = F::conditional_select(&(tv1 * u * (y1 * root)), &y1, is_square);
    let y = F::conditional_select(&y, &-y, u.is_odd() ^ y.is_odd());
    (x, tv4, y)
}

/// `hash_to_field` for two elements of 48 bytes each, with SHA-256.
pub(super) fn hash_to_field<F: Swu>(dst: &[u8], message: &[&[u8]]) -> [F; 2] {
    let mut out = [0u8; 96];
    expand_message_xmd(&[dst], message, &mut out);
    let mut halves = out.as_chunks::<48>().0.iter().map(F::from_wide);
    let mut next = || halves.next().unwrap_or_else(F::one);
    [next(), next()]
}

/// `expand_message_xmd` with SHA-256. The tag is shorter than 256 bytes, the output than 64 KiB; there is no other error.
pub(super) fn expand_message_xmd(dst: &[&[u8]], message: &[&[u8]], out: &mut [u8]) {
    let tagged = |mut hash: Sha256| -> [u8; 32] {
        dst.iter().for_each(|part| hash.update(part));
        let len: usize = dst.iter().map(|part| part.len()).sum();
        hash.update([u8::try_from(len).unwrap_or(u8::MAX)]);
        hash.finalize().into()
    };
    let mut first = Sha256::new_with_prefix([0u8; 64]);
    message.iter().for_each(|part| first.update(part));
    first.update(u16::try_from(out.len()).unwrap_or(u16::MAX).to_be_bytes());
    first.update([0]);
    let first = tagged(first);
    let mut last = [0u8; 32];
    for (number, block) in (1u8..).zip(out.chunks_mut(32)) {
        for (l, f) in last.iter_mut().zip(&first) {
            *l ^= f;
        }
        last = tagged(Sha256::new_with_prefix(last).chain_update([number]));
        block.iter_mut().zip(&last).for_each(|(o, b)| *o = *b);
    }
}

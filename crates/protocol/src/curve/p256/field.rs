//! The field of P-256: integers modulo p = 2^256 − 2^224 + 2^192 + 2^96 − 1, in Montgomery form with R = 2^256.
//!
//! All operations are constant time: no branch and no index depends on a value. Values are always fully reduced. The form of p makes
//! the reduction cheap: −p⁻¹ mod 2^64 is 1, two limbs of p are 2^64 − 1 and 2^32 − 1, and one is zero (Gueron and Krasnov, *Fast prime
//! field elliptic-curve cryptography with 256-bit primes*, 2015, section 4).
#![expect(
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "limb arithmetic on arrays of fixed size: indices are constants, and the conversions between u64 and u128 are exact or are meant to cut"
)]

use core::ops::{Add, Mul, Neg, Sub};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// p, least significant limb first.
const P: [u64; 4] =
    [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0x0000_0000_0000_0000, 0xffff_ffff_0000_0001];
/// 2^512 mod p: brings a value into Montgomery form.
const R2: Element =
    Element([0x0000_0000_0000_0003, 0xffff_fffb_ffff_ffff, 0xffff_ffff_ffff_fffe, 0x0000_0004_ffff_fffd]);

/// An element of the field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element(pub(super) [u64; 4]);

/// a + b·c + carry, which fits.
#[inline(always)]
const fn mac(a: u64, b: u64, c: u64, carry: u64) -> (u64, u64) {
    let wide = a as u128 + (b as u128) * (c as u128) + carry as u128;
    (wide as u64, (wide >> 64) as u64)
}
/// a + b + carry
#[inline(always)]
const fn adc(a: u64, b: u64, carry: u64) -> (u64, u64) {
    let wide = a as u128 + b as u128 + carry as u128;
    (wide as u64, (wide >> 64) as u64)
}
/// a − b − borrow; the borrow is 0 or 1.
#[inline(always)]
const fn sbb(a: u64, b: u64, borrow: u64) -> (u64, u64) {
    let wide = (a as u128).wrapping_sub(b as u128 + borrow as u128);
    (wide as u64, (wide >> 127) as u64)
}

/// Brings a value below 2·p, its 257th bit in `high`, below p.
#[inline(always)]
const fn subtract_p(t: [u64; 4], high: u64) -> Element {
    let (r0, b) = sbb(t[0], P[0], 0);
    let (r1, b) = sbb(t[1], P[1], b);
    let (r2, b) = sbb(t[2], P[2], b);
    let (r3, b) = sbb(t[3], P[3], b);
    let (_, b) = sbb(high, 0, b);
    let keep = 0u64.wrapping_sub(b);
    Element([
        (t[0] & keep) | (r0 & !keep),
        (t[1] & keep) | (r1 & !keep),
        (t[2] & keep) | (r2 & !keep),
        (t[3] & keep) | (r3 & !keep),
    ])
}

/// t·2^-256 mod p, for t below p·2^256.
#[inline(always)]
const fn reduce(mut t: [u64; 8]) -> Element {
    let mut high = 0;
    let mut i = 0;
    while i < 4 {
        // Adds t_i·p·2^(64·i). With the limb 2^64 − 1 the place i becomes zero and carries t_i; with the limb 2^32 − 1 this makes t_i·2^32.
        let k = t[i];
        let (a, carry) = adc(t[i + 1], k << 32, 0);
        let (b, carry) = adc(t[i + 2], k >> 32, carry);
        let (c, carry) = mac(t[i + 3], k, P[3], carry);
        let (d, carry) = adc(t[i + 4], carry, high);
        t[i + 1] = a;
        t[i + 2] = b;
        t[i + 3] = c;
        t[i + 4] = d;
        high = carry;
        i += 1;
    }
    subtract_p([t[4], t[5], t[6], t[7]], high)
}

impl Element {
    /// Zero.
    pub(super) const ZERO: Self = Self([0; 4]);
    /// One: R mod p.
    pub(super) const ONE: Self =
        Self([0x0000_0000_0000_0001, 0xffff_ffff_0000_0000, 0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_fffe]);

    /// The product.
    #[inline(always)]
    pub(super) const fn multiply(&self, other: &Self) -> Self {
        let (a, b) = (&self.0, &other.0);
        let mut t = [0u64; 8];
        let mut i = 0;
        while i < 4 {
            let (r0, carry) = mac(t[i], a[i], b[0], 0);
            let (r1, carry) = mac(t[i + 1], a[i], b[1], carry);
            let (r2, carry) = mac(t[i + 2], a[i], b[2], carry);
            let (r3, carry) = mac(t[i + 3], a[i], b[3], carry);
            t[i] = r0;
            t[i + 1] = r1;
            t[i + 2] = r2;
            t[i + 3] = r3;
            t[i + 4] = carry;
            i += 1;
        }
        reduce(t)
    }

    /// The square: the mixed products once, doubled.
    #[inline(always)]
    pub(super) const fn square(&self) -> Self {
        let a = &self.0;
        let (t1, carry) = mac(0, a[0], a[1], 0);
        let (t2, carry) = mac(0, a[0], a[2], carry);
        let (t3, t4) = mac(0, a[0], a[3], carry);
        let (t3, carry) = mac(t3, a[1], a[2], 0);
        let (t4, t5) = mac(t4, a[1], a[3], carry);
        let (t5, t6) = mac(t5, a[2], a[3], 0);
        let t7 = t6 >> 63;
        let t6 = (t6 << 1) | (t5 >> 63);
        let t5 = (t5 << 1) | (t4 >> 63);
        let t4 = (t4 << 1) | (t3 >> 63);
        let t3 = (t3 << 1) | (t2 >> 63);
        let t2 = (t2 << 1) | (t1 >> 63);
        let t1 = t1 << 1;
        let (t0, carry) = mac(0, a[0], a[0], 0);
        let (t1, carry) = adc(t1, 0, carry);
        let (t2, carry) = mac(t2, a[1], a[1], carry);
        let (t3, carry) = adc(t3, 0, carry);
        let (t4, carry) = mac(t4, a[2], a[2], carry);
        let (t5, carry) = adc(t5, 0, carry);
        let (t6, carry) = mac(t6, a[3], a[3], carry);
        let (t7, _) = adc(t7, 0, carry);
        reduce([t0, t1, t2, t3, t4, t5, t6, t7])
    }

    /// self^(2^n)
    pub(super) fn square_times(&self, n: usize) -> Self {
        (0..n).fold(*self, |x, _| x.square())
    }

    /// Twice the value.
    #[inline(always)]
    pub(super) const fn double(&self) -> Self {
        self.plus(self)
    }

    #[inline(always)]
    const fn plus(&self, other: &Self) -> Self {
        let (a, b) = (&self.0, &other.0);
        let (r0, carry) = adc(a[0], b[0], 0);
        let (r1, carry) = adc(a[1], b[1], carry);
        let (r2, carry) = adc(a[2], b[2], carry);
        let (r3, carry) = adc(a[3], b[3], carry);
        subtract_p([r0, r1, r2, r3], carry)
    }

    #[inline(always)]
    const fn minus(&self, other: &Self) -> Self {
        let (a, b) = (&self.0, &other.0);
        let (r0, borrow) = sbb(a[0], b[0], 0);
        let (r1, borrow) = sbb(a[1], b[1], borrow);
        let (r2, borrow) = sbb(a[2], b[2], borrow);
        let (r3, borrow) = sbb(a[3], b[3], borrow);
        let add = 0u64.wrapping_sub(borrow);
        let (r0, carry) = adc(r0, P[0] & add, 0);
        let (r1, carry) = adc(r1, P[1] & add, carry);
        let (r2, carry) = adc(r2, P[2] & add, carry);
        let (r3, _) = adc(r3, P[3] & add, carry);
        Self([r0, r1, r2, r3])
    }

    /// The integer of 32 big-endian bytes; `None` if it is not below p.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let mut limbs = [0u64; 4];
        for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.as_chunks::<8>().0) {
            *limb = u64::from_be_bytes(*chunk);
        }
        let (_, borrow) = sbb(limbs[0], P[0], 0);
        let (_, borrow) = sbb(limbs[1], P[1], borrow);
        let (_, borrow) = sbb(limbs[2], P[2], borrow);
        let (_, borrow) = sbb(limbs[3], P[3], borrow);
        (borrow == 1).then(|| Self(limbs) * R2)
    }

    /// Canonical big-endian bytes.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        let [a, b, c, d] = self.0;
        let Self(limbs) = reduce([a, b, c, d, 0, 0, 0, 0]);
        let mut bytes = [0u8; 32];
        for (chunk, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(limbs.iter().rev()) {
            *chunk = limb.to_be_bytes();
        }
        bytes
    }

    /// The remainder of 48 big-endian bytes.
    pub(super) fn from_wide(bytes: &[u8; 48]) -> Self {
        let (high, low) = bytes.split_at(24);
        let half = |part: &[u8]| {
            let mut whole = [0u8; 32];
            whole[8..].copy_from_slice(part);
            // 24 bytes are below p.
            Self::from_bytes(&whole).unwrap_or(Self::ZERO)
        };
        let mut shift = [0u8; 32];
        shift[7] = 1;
        half(high) * Self::from_bytes(&shift).unwrap_or(Self::ZERO) + half(low)
    }

    /// Whether the canonical value is odd.
    pub(super) fn is_odd(&self) -> Choice {
        let [a, b, c, d] = self.0;
        Choice::from((reduce([a, b, c, d, 0, 0, 0, 0]).0[0] & 1) as u8)
    }

    /// Whether the value is zero.
    #[inline(always)]
    pub(super) fn is_zero(&self) -> Choice {
        let any = self.0[0] | self.0[1] | self.0[2] | self.0[3];
        any.ct_eq(&0)
    }

    /// x^(2^30 − 1) and x^(2^32 − 1)
    fn runs(&self) -> (Self, Self) {
        let x2 = self.square() * *self;
        let x4 = x2.square_times(2) * x2;
        let x8 = x4.square_times(4) * x4;
        let x16 = x8.square_times(8) * x8;
        let x28 = (x16.square_times(8) * x8).square_times(4) * x4;
        let x30 = x28.square_times(2) * x2;
        (x30, x30.square_times(2) * x2)
    }

    /// The inverse, zero for zero: self^(p − 2).
    pub(super) fn invert(&self) -> Self {
        let (x30, x32) = self.runs();
        let high = (x32.square_times(32) * *self).square_times(128) * x32;
        (high.square_times(32) * x32).square_times(30).multiply(&x30).square_times(2) * *self
    }

    /// A square root, if there is one: self^((p + 1)/4).
    pub(super) fn sqrt(&self) -> Option<Self> {
        let (_, x32) = self.runs();
        let root = ((x32.square_times(32) * *self).square_times(96) * *self).square_times(94);
        bool::from(root.square().ct_eq(self)).then_some(root)
    }

    /// self^((p − 3)/4), for the square root of a quotient.
    pub(super) fn quarter_power(&self) -> Self {
        let (x30, x32) = self.runs();
        let x94 = (x32.square_times(32) * x32).square_times(30) * x30;
        (x32.square_times(32) * *self).square_times(190) * x94
    }
}

impl ConditionallySelectable for Element {
    #[inline(always)]
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        let pick = |i: usize| u64::conditional_select(&a.0[i], &b.0[i], choice);
        Self([pick(0), pick(1), pick(2), pick(3)])
    }
}
impl ConstantTimeEq for Element {
    #[inline(always)]
    fn ct_eq(&self, other: &Self) -> Choice {
        self.minus(other).is_zero()
    }
}
impl Add for Element {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.plus(&other)
    }
}
impl Sub for Element {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.minus(&other)
    }
}
impl Neg for Element {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self::ZERO.minus(&self)
    }
}
impl Mul for Element {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.multiply(&other)
    }
}

#[cfg(test)]
mod tests;

//! Arithmetic modulo the group order for the long sums of the multiplication: products are added up unreduced and reduced once.
//!
//! Everything here is constant time. Values are four 64-bit words, least significant first; a [`Residue`] is below the order.
//! One factor of every product is public and kept in Montgomery form (x·2^256 mod q), so that the Montgomery reduction of a sum of
//! products gives the sum itself. The curve crates' own arithmetic is the reference in the tests.
#![expect(
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    clippy::as_conversions,
    reason = "a numeric kernel over arrays of fixed length: indices are loop bounds, conversions keep the low word of a double word"
)]

use quorate_protocol::curve::{Curve, Scalar, WIDE_LEN};
use zeroize::Zeroize;

/// A number below the order.
pub(crate) type Residue = [u64; 4];

/// An unreduced sum of products; room for 2^64 of them.
pub(crate) type Sum = [u64; 9];

/// Empty [`Sum`].
pub(crate) const EMPTY: Sum = [0; 9];

/// The order of a curve and what follows from it.
#[derive(Clone, Copy)]
pub(crate) struct Modulus {
    q: Residue,
    /// −q^-1 mod 2^64
    neg_inv: u64,
    /// 2^256 mod q
    r: Residue,
    /// 2^512 mod q
    r2: Residue,
}

/// Low and high word of a + b·c + carry, which never overflows.
#[inline(always)]
fn mac(a: u64, b: u64, c: u64, carry: u64) -> (u64, u64) {
    let wide = u128::from(a) + u128::from(b) * u128::from(c) + u128::from(carry);
    (wide as u64, (wide >> 64) as u64)
}

#[inline(always)]
fn adc(a: u64, b: u64, carry: u64) -> (u64, u64) {
    let wide = u128::from(a) + u128::from(b) + u128::from(carry);
    (wide as u64, (wide >> 64) as u64)
}

/// a − b − borrow, and whether it borrowed: 0 or 1.
#[inline(always)]
fn sbb(a: u64, b: u64, borrow: u64) -> (u64, u64) {
    let wide = u128::from(a).wrapping_sub(u128::from(b)).wrapping_sub(u128::from(borrow));
    (wide as u64, (wide >> 127) as u64)
}

/// All ones for 1, zero for 0.
#[inline(always)]
pub(crate) fn mask(bit: u64) -> u64 {
    bit.wrapping_neg()
}

/// The words of a value that counts only under `mask`.
#[inline(always)]
pub(crate) fn masked(a: &Residue, mask: u64) -> Residue {
    [a[0] & mask, a[1] & mask, a[2] & mask, a[3] & mask]
}

/// Big-endian bytes.
#[inline(always)]
pub(crate) fn to_bytes(a: &Residue) -> [u8; 32] {
    let mut out = [0; 32];
    for (chunk, word) in out.chunks_exact_mut(8).zip(a.iter().rev()) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// Words of big-endian bytes, least significant first; the length is 8·N.
#[inline(always)]
fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut out = [0; N];
    let (chunks, _) = bytes.as_chunks::<8>();
    for (word, chunk) in out.iter_mut().rev().zip(chunks) {
        *word = u64::from_be_bytes(*chunk);
    }
    out
}

/// `sum += a·b`.
#[inline(always)]
pub(crate) fn add_product(sum: &mut Sum, a: &Residue, b: &Residue) {
    let mut product = [0; 8];
    for i in 0..4 {
        let mut carry = 0;
        for j in 0..4 {
            (product[i + j], carry) = mac(product[i + j], a[i], b[j], carry);
        }
        product[i + 4] = carry;
    }
    let mut carry = 0;
    for i in 0..8 {
        (sum[i], carry) = adc(sum[i], product[i], carry);
    }
    sum[8] = sum[8].wrapping_add(carry);
}

impl Modulus {
    pub(crate) fn of<C: Curve>() -> Self {
        // q = (q − 1) + 1, and no carry leaves the lowest word because q is odd.
        let mut q: Residue = words(&(-Scalar::<C>::ONE()).to_bytes());
        q[0] |= 1;
        // Newton's iteration doubles the correct bits of the inverse: 3, 6, 12, 24, 48, 96.
        let mut inverse = q[0];
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(q[0].wrapping_mul(inverse)));
        }
        let mut wide = [0; WIDE_LEN];
        wide[WIDE_LEN - 33] = 1;
        let r = Scalar::<C>::from_wide(&wide);
        Self { q, neg_inv: inverse.wrapping_neg(), r: words(&r.to_bytes()), r2: words(&(r * r).to_bytes()) }
    }

    /// Subtracts the order once if `top`·2^256 + a is not below it.
    #[inline(always)]
    fn subtract_once(&self, a: &Residue, top: u64) -> (Residue, u64) {
        let mut out = [0; 4];
        let mut borrow = 0;
        for i in 0..4 {
            (out[i], borrow) = sbb(a[i], self.q[i], borrow);
        }
        let (new_top, borrow) = sbb(top, 0, borrow);
        let keep = mask(borrow);
        for (out, a) in out.iter_mut().zip(a) {
            *out = (a & keep) | (*out & !keep);
        }
        (out, (top & keep) | (new_top & !keep))
    }

    /// a + b mod q
    #[inline(always)]
    pub(crate) fn add(&self, a: &Residue, b: &Residue) -> Residue {
        let mut out = [0; 4];
        let mut carry = 0;
        for i in 0..4 {
            (out[i], carry) = adc(a[i], b[i], carry);
        }
        self.subtract_once(&out, carry).0
    }

    /// a − b mod q
    #[inline(always)]
    pub(crate) fn sub(&self, a: &Residue, b: &Residue) -> Residue {
        let mut out = [0; 4];
        let mut borrow = 0;
        for i in 0..4 {
            (out[i], borrow) = sbb(a[i], b[i], borrow);
        }
        let add_back = mask(borrow);
        let mut carry = 0;
        for i in 0..4 {
            (out[i], carry) = adc(out[i], self.q[i] & add_back, carry);
        }
        out
    }

    /// T·2^-256 mod q, for T below 2·q·2^256 or below 2^512: the quotient is then below 3·q.
    #[inline(always)]
    pub(crate) fn reduce(&self, sum: &Sum) -> Residue {
        let mut t = *sum;
        for i in 0..4 {
            let m = t[i].wrapping_mul(self.neg_inv);
            let mut carry = 0;
            for j in 0..4 {
                (t[i + j], carry) = mac(t[i + j], m, self.q[j], carry);
            }
            for word in &mut t[i + 4..] {
                (*word, carry) = adc(*word, 0, carry);
            }
        }
        let (once, top) = self.subtract_once(&[t[4], t[5], t[6], t[7]], t[8]);
        self.subtract_once(&once, top).0
    }

    /// T·2^-256 mod q for any sum: the word above 2^512 is folded in by its own reduction.
    pub(crate) fn reduce_long(&self, sum: &Sum) -> Residue {
        let mut low = *sum;
        let mut high = EMPTY;
        add_product(&mut high, &[low[8], 0, 0, 0], &self.r2);
        low[8] = 0;
        let out = self.add(&self.reduce(&low), &self.reduce(&high));
        low.zeroize();
        high.zeroize();
        out
    }

    /// a·2^256 mod q: the form of the public factor of a product.
    pub(crate) fn montgomery<C: Curve>(&self, a: &Scalar<C>) -> Residue {
        let mut sum = EMPTY;
        add_product(&mut sum, &words(&a.to_bytes()), &self.r2);
        self.reduce(&sum)
    }

    /// Reduces a pad of 32 bytes, or of 48 bytes: what `Scalar::from_pad` of a curve with that pad length gives.
    #[inline(always)]
    pub(crate) fn pad<const WIDE: bool>(&self, bytes: &[u8]) -> Residue {
        if WIDE {
            let [a, b, c, d, e, f] = words::<6>(bytes);
            // (low + high·2^256)·2^256, reduced, is low + high·2^256.
            let mut sum = EMPTY;
            add_product(&mut sum, &[a, b, c, d], &self.r);
            add_product(&mut sum, &[e, f, 0, 0], &self.r2);
            self.reduce(&sum)
        } else {
            // Below 2^256, and 2^256 is below 2·q.
            self.subtract_once(&words(bytes), 0).0
        }
    }

    /// Reads a canonical encoding; `None` if it is not below the order. For values of the wire: takes no care of time.
    pub(crate) fn read(&self, bytes: &[u8; 32]) -> Option<Residue> {
        let value: Residue = words(bytes);
        value.iter().rev().lt(self.q.iter().rev()).then_some(value)
    }
}

/// The same number as a residue.
pub(crate) fn from_scalar<C: Curve>(a: &Scalar<C>) -> Residue {
    words(&a.to_bytes())
}

/// The same number as a scalar.
pub(crate) fn to_scalar<C: Curve>(a: &Residue) -> Scalar<C> {
    // A residue is canonical, so the default is never taken.
    Scalar::from_bytes(&to_bytes(a)).unwrap_or_default()
}

#[cfg(test)]
mod tests;

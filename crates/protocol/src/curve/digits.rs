//! Scalars in signed digits of 5 bits, for multiplications by tables of 16 multiples.

use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroize;

/// Bits of a digit.
pub(super) const WINDOW: usize = 5;
/// Multiples in a table: 1 … 16.
pub(super) const MULTIPLES: usize = 16;
/// Digits of a scalar of 256 bits, with one bit for the last carry.
pub(super) const DIGITS: usize = 52;

/// Signed digits in −16 … 16 of 32 little-endian bytes, least significant first: as magnitude and sign. Constant time.
pub(super) struct Digits(pub(super) [(u8, Choice); DIGITS]);

impl Digits {
    pub(super) fn new(scalar: &[u8; 32]) -> Self {
        let mut out = [(0u8, Choice::from(0)); DIGITS];
        let mut carry = 0u8;
        let byte = |at: usize| u16::from(scalar.get(at).copied().unwrap_or_default());
        for (at, digit) in out.iter_mut().enumerate() {
            let bit = at * WINDOW;
            let both = byte(bit / 8) | (byte(bit / 8 + 1) << 8);
            let [low, _] = ((both >> (bit % 8)) & 31).to_le_bytes();
            // Above 16 the digit becomes value − 32 and the next one takes the carry.
            let value = low + carry;
            carry = (value + 15) >> 5;
            let negative = Choice::from(carry);
            *digit = (u8::conditional_select(&value, &32u8.wrapping_sub(value), negative), negative);
        }
        Self(out)
    }
}

impl Zeroize for Digits {
    fn zeroize(&mut self) {
        for (magnitude, sign) in &mut self.0 {
            magnitude.zeroize();
            *sign = Choice::from(0);
        }
    }
}
impl Drop for Digits {
    fn drop(&mut self) {
        self.zeroize();
    }
}

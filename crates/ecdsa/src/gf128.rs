//! The linear universal hash of the OT extension check: a polynomial over GF(2^128).
//!
//! Elements are those of POLYVAL (RFC 8452, section 3): polynomials modulo x^128 + x^127 + x^126 + x^121 + 1, 16 bytes
//! little-endian, bit i of the number being the coefficient of x^i. The product is a·b·x^-128. Any representation would do
//! as long as both sides use one; this one has constant-time hardware and software implementations in the `polyval` crate.

use polyval::{Polyval, universal_hash::UniversalHash as _};

use crate::suite::{PAYLOAD_WORDS, Row};

/// OTE.4 R_χ(w) = w_0 + w_1·χ^4 + w_2·χ^3 + w_3·χ^2 + w_4·χ, where w_0 is the block of mask bits.
///
/// Linear in w; two different rows collide for at most 4 of the 2^128 values of χ.
pub(crate) struct RowDigest(Polyval);

impl RowDigest {
    pub(crate) fn new(chi: &[u8; 16]) -> Self {
        Self(Polyval::new(&(*chi).into()))
    }

    pub(crate) fn of(&self, row: &Row) -> u128 {
        let [mask, payload @ ..] = row;
        let blocks: [polyval::Block; PAYLOAD_WORDS] = payload.map(|word| word.to_le_bytes().into());
        let mut hash = self.0.clone();
        hash.update(&blocks);
        mask ^ u128::from_le_bytes(hash.finalize().into())
    }
}

/// The same field bit by bit, against which the crate and every use of it is tested.
#[cfg(test)]
pub(crate) mod reference {
    /// x^127 + x^126 + x^121 + 1: what x^128 reduces to.
    const REDUCTION: u128 = (1 << 127) | (1 << 126) | (1 << 121) | 1;

    fn times_x(a: u128) -> u128 {
        (a << 1) ^ (REDUCTION * (a >> 127))
    }
    /// Inverse of [`times_x`]: the constant term of the modulus is 1, so bit 0 tells whether a reduction took place.
    fn over_x(a: u128) -> u128 {
        if a & 1 == 1 { ((a ^ REDUCTION) >> 1) | (1 << 127) } else { a >> 1 }
    }
    /// a·b·x^-128.
    pub(crate) fn dot(a: u128, b: u128) -> u128 {
        let mut product = 0;
        for bit in (0..128).rev() {
            product = times_x(product) ^ if (b >> bit) & 1 == 1 { a } else { 0 };
        }
        (0..128).fold(product, |p, _| over_x(p))
    }
}

#[cfg(test)]
mod tests {
    use super::reference::dot;
    use super::*;
    use crate::suite::test_rng;

    /// The second worked example of RFC 8452, appendix A: POLYVAL(H, X_1, X_2).
    #[test]
    fn the_reference_multiplication_is_polyval() {
        let number = |text: &str| {
            let mut bytes = [0u8; 16];
            hex::decode_to_slice(text, &mut bytes).unwrap();
            u128::from_le_bytes(bytes)
        };
        let h = number("25629347589242761d31f826ba4b757b");
        let x1 = number("4f4f95668c83dfb6401762bb2d01a262");
        let x2 = number("d1a24ddd2721d006bbe45f20d3c9f362");
        assert_eq!(dot(dot(x1, h) ^ x2, h), number("f7a3b47b846119fae5b7866cf5e5b77e"));
    }

    #[test]
    fn rows_hash_as_the_bitwise_reference_says() {
        let mut rng = test_rng("gf128");
        let mut cases = 0;
        for round in 0..64u32 {
            let mut chi: [u8; 16] = rng.bytes();
            let mut row: Row = core::array::from_fn(|_| u128::from_le_bytes(rng.bytes()));
            match round {
                0 => chi = [0; 16],
                1 => chi = [0xff; 16],
                2 => row = [0; 5],
                3 => row = [u128::MAX; 5],
                _ => {}
            }
            let h = u128::from_le_bytes(chi);
            let expected = row[0] ^ row[1..].iter().fold(0, |acc, word| dot(acc ^ word, h));
            assert_eq!(RowDigest::new(&chi).of(&row), expected);
            cases += 1;
        }
        assert_eq!(cases, 64);
    }

    #[test]
    fn the_hash_is_linear() {
        let mut rng = test_rng("gf128 linear");
        let digest = RowDigest::new(&rng.bytes());
        for _ in 0..32 {
            let a: Row = core::array::from_fn(|_| u128::from_le_bytes(rng.bytes()));
            let b: Row = core::array::from_fn(|_| u128::from_le_bytes(rng.bytes()));
            let sum: Row = core::array::from_fn(|i| a[i] ^ b[i]);
            assert_eq!(digest.of(&sum), digest.of(&a) ^ digest.of(&b));
        }
    }
}

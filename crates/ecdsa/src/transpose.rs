//! Bit transposition of a 128 × 128 block.

/// Turns bit c of word r into bit r of word c, in place: seven rounds, each swapping the off-diagonal quarters of all squares
/// of one size.
pub(crate) fn transpose(block: &mut [u128; 128]) {
    let mut size = 64;
    let mut low = u128::MAX >> 64;
    while size != 0 {
        for square in block.chunks_exact_mut(2 * size) {
            let (upper, lower) = square.split_at_mut(size);
            for (u, l) in upper.iter_mut().zip(lower) {
                let swap = ((*u >> size) ^ *l) & low;
                *u ^= swap << size;
                *l ^= swap;
            }
        }
        size /= 2;
        low ^= low << size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::test_rng;

    fn naive(block: &[u128; 128]) -> [u128; 128] {
        core::array::from_fn(|c| (0..128).fold(0, |word, r| word | (((block[r] >> c) & 1) << r)))
    }

    #[test]
    fn agrees_with_bit_by_bit_transposition() {
        let mut rng = test_rng("transpose");
        let mut cases = 0;
        for _ in 0..20 {
            let block: [u128; 128] = core::array::from_fn(|_| u128::from_le_bytes(rng.bytes()));
            let mut fast = block;
            transpose(&mut fast);
            assert_eq!(fast, naive(&block));
            transpose(&mut fast);
            assert_eq!(fast, block);
            cases += 1;
        }
        for r in 0..128 {
            let mut single = [0; 128];
            single[r] = 1 << (127 - r);
            let expected = naive(&single);
            transpose(&mut single);
            assert_eq!(single, expected);
            cases += 1;
        }
        assert_eq!(cases, 148);
    }
}

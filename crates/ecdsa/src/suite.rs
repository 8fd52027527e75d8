//! Suite 1: BLAKE3 where a random oracle is needed, AES-128 where many short blocks are needed. Spec: `spec/21-ot-extension.md`.
//!
//! Both uses of AES are under a *public* key that is fresh in every session, so AES stands in the ideal-cipher model and
//! precomputation against one key is worth nothing in the next session.

use aes::{
    Aes128Enc,
    cipher::{Array, BlockCipherEncrypt as _, KeyInit as _},
};
use quorate_protocol::transcript::{Tag, Transcript, tags};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// λ_c, bits: number of base OTs and of columns of the extension, size of Δ.
pub(crate) const COLUMNS: usize = 128;
/// k: bits of Δ that one tree hides.
pub(crate) const TREE_BITS: usize = 4;
/// 2^k
pub(crate) const LEAVES: usize = 1 << TREE_BITS;
/// λ_c / k
pub(crate) const TREES: usize = COLUMNS / TREE_BITS;
/// λ_s, bits.
pub(crate) const STATISTICAL: usize = 80;
/// ξ = κ + 2·λ_s: transfers of one RVOLE.
pub(crate) const TRANSFERS: usize = 256 + 2 * STATISTICAL;
/// σ, bits: size of the check field. The check is made non-interactive, so its prover can try challenges offline: nothing below λ_c will do.
pub(crate) const CHECK_BITS: usize = 128;
/// Bytes of one row of the extension on the wire: 128 mask bits, then ξ payload bits.
pub(crate) const ROW_BYTES: usize = (CHECK_BITS + TRANSFERS) / 8;
/// Words that hold ξ bits.
pub(crate) const PAYLOAD_WORDS: usize = TRANSFERS.div_ceil(128);
/// Words of one row: the mask word first, then the payload, zero-filled.
pub(crate) const ROW_WORDS: usize = 1 + PAYLOAD_WORDS;

/// Bits over one column of the extension; bit j of the row is bit j mod 128 of word j / 128.
pub(crate) type Row = [u128; ROW_WORDS];

/// Most multiplications of a pair in one session.
pub(crate) const MAX_ITEMS: usize = 256;
/// Bytes of ξ bits: one row of an item after the first, which has no mask bits.
pub(crate) const PAYLOAD_BYTES: usize = TRANSFERS / 8;

/// Clears the filling of a row's last word.
pub(crate) const LAST_WORD: u128 = u128::MAX >> (128 * PAYLOAD_WORDS - TRANSFERS);

const _: () = assert!(CHECK_BITS >= COLUMNS, "Fiat-Shamir needs a check field of λ_c bits");
const _: () = assert!(COLUMNS.is_multiple_of(TREE_BITS) && TRANSFERS.is_multiple_of(8));
const _: () = assert!(TRANSFERS == 416 && ROW_BYTES == 68 && ROW_WORDS == 5);

/// One 128-bit key or leaf.
pub(crate) type Block = [u8; 16];

/// Separates the items of a batch. The first is not named, so that a batch of one is the single multiplication.
pub(crate) fn absorb_item(transcript: &mut Transcript, item: usize) {
    if item > 0 {
        transcript.absorb_u64("item", u64::try_from(item).unwrap_or(u64::MAX));
    }
}

fn session_key(
    tag: Tag,
    ot_id: &[u8; 32],
    sid: &[u8; 32],
    nonce_r: &[u8; 16],
    nonce_s: Option<&[u8; 16]>,
    item: usize,
) -> Aes128Enc {
    let mut transcript = Transcript::new(tag);
    transcript.absorb("ot id", ot_id).absorb("sid", sid).absorb("receiver nonce", nonce_r);
    if let Some(nonce_s) = nonce_s {
        transcript.absorb("sender nonce", nonce_s);
    }
    absorb_item(&mut transcript, item);
    let mut key = [0; 16];
    transcript.xof().fill(&mut key);
    Aes128Enc::new(&key.into())
}

fn encrypt(aes: &Aes128Enc, blocks: &mut [Block]) {
    aes.encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
}

/// OTE.1 Stretches leaves into rows: block j of leaf s is π(s ⊕ j) ⊕ s ⊕ j, π = AES-128 under the item's public key.
pub(crate) struct LeafStream {
    aes: Aes128Enc,
    /// 1 for an item whose rows have no mask word, else 0
    skipped: usize,
}

impl LeafStream {
    /// `item` counts the multiplications of a batch. Only the first has mask bits.
    pub(crate) fn new(ot_id: &[u8; 32], sid: &[u8; 32], nonce_r: &[u8; 16], item: usize) -> Self {
        Self { aes: session_key(tags::OTE_PRG, ot_id, sid, nonce_r, None, item), skipped: item.min(1) }
    }

    /// Rows of one batch of leaves, [`LEAF_BATCH`] of them.
    pub(crate) fn expand(&self, leaves: &[Block; LEAF_BATCH], scratch: &mut LeafScratch) {
        let LeafScratch { blocks, rows } = scratch;
        let words = ROW_WORDS - self.skipped;
        let counters = || (0u128..).skip(self.skipped);
        let (blocks, _) = blocks.split_at_mut(LEAF_BATCH * words);
        for (leaf, blocks) in leaves.iter().zip(blocks.chunks_exact_mut(words)) {
            let leaf = u128::from_le_bytes(*leaf);
            for (counter, block) in counters().zip(blocks) {
                *block = (leaf ^ counter).to_le_bytes();
            }
        }
        encrypt(&self.aes, blocks);
        for ((leaf, blocks), row) in leaves.iter().zip(blocks.chunks_exact(words)).zip(rows) {
            let leaf = u128::from_le_bytes(*leaf);
            let (mask, payload) = row.split_at_mut(self.skipped);
            mask.fill(0);
            for ((counter, block), word) in counters().zip(blocks).zip(payload) {
                *word = u128::from_le_bytes(*block) ^ leaf ^ counter;
            }
        }
    }
}

/// Leaves that are stretched at once: four trees, a multiple of the widest AES pipeline (64 blocks).
pub(crate) const LEAF_BATCH: usize = 4 * LEAVES;

/// Working memory of [`LeafStream::expand`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct LeafScratch {
    blocks: [Block; LEAF_BATCH * ROW_WORDS],
    /// The rows of the last batch.
    pub(crate) rows: [Row; LEAF_BATCH],
}

impl LeafScratch {
    pub(crate) fn new() -> Self {
        Self { blocks: [[0; 16]; LEAF_BATCH * ROW_WORDS], rows: [[0; ROW_WORDS]; LEAF_BATCH] }
    }
}

/// OTE.8 Output hash TMMO (Guo, Katz, Wang, Yu 2019/074): block b of row j is π(π(x) ⊕ T) ⊕ π(x), T = j·2^16 + b.
pub(crate) struct RowHash {
    aes: Aes128Enc,
    pad_blocks: usize,
}

/// Rows hashed at once.
pub(crate) const HASH_BATCH: usize = 64;
/// Most blocks of one row: three scalars of 48 bytes.
const MAX_PAD_BLOCKS: usize = 9;

/// Working memory and output of [`RowHash::pads`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Pads {
    inner: [Block; HASH_BATCH],
    out: [Block; HASH_BATCH * MAX_PAD_BLOCKS],
}

impl Pads {
    pub(crate) fn new() -> Self {
        Self { inner: [[0; 16]; HASH_BATCH], out: [[0; 16]; HASH_BATCH * MAX_PAD_BLOCKS] }
    }
}

impl RowHash {
    /// `pad_bytes` is the length of one row's pad, at most 144.
    pub(crate) fn new(
        ot_id: &[u8; 32],
        sid: &[u8; 32],
        nonce_r: &[u8; 16],
        nonce_s: &[u8; 16],
        item: usize,
        pad_bytes: usize,
    ) -> Self {
        let aes = session_key(tags::OTE_TCCR, ot_id, sid, nonce_r, Some(nonce_s), item);
        Self { aes, pad_blocks: pad_bytes.div_ceil(16).clamp(1, MAX_PAD_BLOCKS) }
    }

    /// Pads of at most [`HASH_BATCH`] rows, one after the other; the rows are numbered from `first`. `offset` is added to every row: 0 or Δ.
    pub(crate) fn pads<'a>(&self, first: u64, rows: &[u128], offset: u128, pads: &'a mut Pads) -> &'a [u8] {
        let Pads { inner, out } = pads;
        let count = rows.len().min(HASH_BATCH);
        let (inner, _) = inner.split_at_mut(count);
        let (out, _) = out.split_at_mut(count * self.pad_blocks);
        for (block, row) in inner.iter_mut().zip(rows) {
            *block = (row ^ offset).to_le_bytes();
        }
        encrypt(&self.aes, inner);
        for ((j, x), blocks) in (first..).zip(inner.iter()).zip(out.chunks_exact_mut(self.pad_blocks)) {
            let x = u128::from_le_bytes(*x);
            for (tweak, block) in (u128::from(j) << 16..).zip(blocks) {
                *block = (x ^ tweak).to_le_bytes();
            }
        }
        encrypt(&self.aes, out);
        for (x, blocks) in inner.iter().zip(out.chunks_exact_mut(self.pad_blocks)) {
            let x = u128::from_le_bytes(*x);
            for block in blocks {
                *block = (u128::from_le_bytes(*block) ^ x).to_le_bytes();
            }
        }
        out.as_flattened()
    }
}

#[cfg(test)]
pub(crate) fn test_rng(label: &str) -> quorate_protocol::rng::HedgedRng {
    use quorate_protocol::rng::{Entropy, HedgedRng};
    HedgedRng::new(Entropy::new([7; 32]), b"", label.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    fn one(aes: &Aes128Enc, x: u128) -> u128 {
        let mut block = [x.to_le_bytes()];
        encrypt(aes, &mut block);
        u128::from_le_bytes(block[0])
    }

    #[test]
    fn pads_follow_the_formula_for_every_length_and_batch() {
        let mut rng = test_rng("tmmo");
        let rows: Vec<u128> = (0..HASH_BATCH).map(|_| u128::from_le_bytes(rng.bytes())).collect();
        let mut cases = 0;
        for pad_bytes in [96, 144] {
            for count in [1, 7, 32, 63, 64] {
                let hash = RowHash::new(&[1; 32], &[2; 32], &[3; 16], &[4; 16], 0, pad_bytes);
                let mut pads = Pads::new();
                let out = hash.pads(100, &rows[..count], 5, &mut pads);
                assert_eq!(out.len(), count * pad_bytes);
                for ((i, row), pad) in (100u128..).zip(&rows).zip(out.chunks(pad_bytes)) {
                    let x = one(&hash.aes, row ^ 5);
                    for (b, block) in (0u128..).zip(pad.chunks(16)) {
                        let tweak = (i << 16) | b;
                        assert_eq!(block, (one(&hash.aes, x ^ tweak) ^ x).to_le_bytes());
                        cases += 1;
                    }
                }
            }
        }
        assert_eq!(cases, (6 + 9) * (1 + 7 + 32 + 63 + 64));
    }

    /// covers: A7, A9
    #[test]
    fn leaf_streams_differ_by_instance_session_nonce_leaf_and_block() {
        let mut seen = BTreeSet::new();
        let mut scratch = LeafScratch::new();
        let mut skipped = 0;
        for (ot_id, sid, nonce, item) in
            [(1, 1, 1, 0), (2, 1, 1, 0), (1, 2, 1, 0), (1, 1, 2, 0), (1, 1, 1, 1), (1, 1, 1, 2)]
        {
            let stream = LeafStream::new(&[ot_id; 32], &[sid; 32], &[nonce; 16], item);
            let leaves = core::array::from_fn(|i| [u8::try_from(i).unwrap(); 16]);
            stream.expand(&leaves, &mut scratch);
            for (leaf, row) in leaves.iter().zip(scratch.rows) {
                for (j, word) in (0u128..).zip(row) {
                    // Items after the first have no mask word.
                    if item > 0 && j == 0 {
                        assert_eq!(word, 0);
                        skipped += 1;
                        continue;
                    }
                    let input = u128::from_le_bytes(*leaf) ^ j;
                    assert_eq!(word, one(&stream.aes, input) ^ input);
                    seen.insert(word);
                }
            }
        }
        assert_eq!(skipped, 2 * LEAF_BATCH);
        assert_eq!(seen.len(), 6 * LEAF_BATCH * ROW_WORDS - skipped);
    }
}

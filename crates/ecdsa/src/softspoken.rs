//! OT extension: SoftSpokenOT (Roy 2022/192) with k = 4 and a Fiat-Shamir check. Spec: `spec/21-ot-extension.md`, steps OTE.1–OTE.8.
//!
//! A message can start many multiplications (*items*). Each has streams and pads under keys of its own; check, verdict and lock are one.
//!
//! The receiver ends with rows t_j, the sender with q_j = t_j ⊕ β_j·Δ for j < ξ. The check is evaluated as a whole, in constant time,
//! and its result is the only thing that leaves it: pass or fail may depend on bits of Δ that the receiver guessed.

use alloc::vec::Vec;
use borsh::io::{Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use quorate_protocol::{
    curve::EcdsaCurve,
    rng::HedgedRng,
    transcript::{Transcript, tags},
};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::gf128::RowDigest;
use crate::ot_setup::{AllLeaves, PuncturedLeaves};
use crate::suite::{
    COLUMNS, LAST_WORD, LEAF_BATCH, LEAVES, LeafScratch, LeafStream, MAX_ITEMS, PAYLOAD_BYTES, PAYLOAD_WORDS,
    ROW_BYTES, ROW_WORDS, Row, TRANSFERS, TREE_BITS, TREES,
};
use crate::transpose::transpose;

/// The receiver's message. Its length tells how many items it has.
#[derive(Clone, PartialEq, Eq)]
pub struct Extension {
    pub(crate) nonce_r: [u8; 16],
    /// U_i of the first item
    pub(crate) u: [[u8; ROW_BYTES]; TREES],
    /// x~, over all items
    pub(crate) x: [u8; 16],
    /// digest of t~_1 … t~_128, over all items
    pub(crate) t: [u8; 32],
    /// U_i of the other items
    pub(crate) more: Vec<MoreRows>,
}

/// U_i of an item after the first.
pub(crate) type MoreRows = [[u8; PAYLOAD_BYTES]; TREES];

impl Extension {
    /// Bytes on the wire for a number of items.
    pub const fn len(items: usize) -> usize {
        16 + TREES * ROW_BYTES + 16 + 32 + items.saturating_sub(1) * TREES * PAYLOAD_BYTES
    }
    /// Bytes on the wire of the largest batch.
    pub const MAX_LEN: usize = Self::len(MAX_ITEMS);

    /// How many multiplications it starts.
    pub(crate) fn items(&self) -> usize {
        1 + self.more.len()
    }
}

impl BorshSerialize for Extension {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        writer.write_all(&self.nonce_r)?;
        writer.write_all(self.u.as_flattened())?;
        writer.write_all(&self.x)?;
        writer.write_all(&self.t)?;
        self.more.iter().try_for_each(|rows| writer.write_all(rows.as_flattened()))
    }
}

impl BorshDeserialize for Extension {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let nonce_r = BorshDeserialize::deserialize_reader(reader)?;
        let mut u = [[0; ROW_BYTES]; TREES];
        reader.read_exact(u.as_flattened_mut())?;
        let x = BorshDeserialize::deserialize_reader(reader)?;
        let t = BorshDeserialize::deserialize_reader(reader)?;
        let mut more = Vec::new();
        let mut rows = [[0; PAYLOAD_BYTES]; TREES];
        while more.len() + 1 < MAX_ITEMS && read_or_end(reader, rows.as_flattened_mut())? {
            more.push(rows);
        }
        Ok(Self { nonce_r, u, x, t, more })
    }
}

/// Fills the buffer; false where the input ends before its first byte.
///
/// # Errors
/// When it ends within the buffer.
pub(crate) fn read_or_end<R: Read>(reader: &mut R, buffer: &mut [u8]) -> IoResult<bool> {
    let Some((first, rest)) = buffer.split_first_mut() else { return Ok(false) };
    if reader.read(core::slice::from_mut(first))? == 0 {
        return Ok(false);
    }
    reader.read_exact(rest)?;
    Ok(true)
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RvoleMsg1(..)")
    }
}

/// The consistency check of the extension failed (OTE.7). Blames the pair: the sender of the message, if this party trusts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckFailed;

/// ξ choice bits, bit j in bit j mod 128 of word j / 128.
pub(crate) type ChoiceBits = Zeroizing<[u128; PAYLOAD_WORDS]>;

/// ξ rows of 128 bits.
pub(crate) type Rows = Zeroizing<Vec<u128>>;

/// The 128 columns over mask and payload bits.
type Columns = Zeroizing<Vec<Row>>;

fn xor(into: &mut Row, other: &Row) {
    for (a, b) in into.iter_mut().zip(other) {
        *a ^= b;
    }
}

/// OTE.2 Σ_y row_y, and the four sums of the rows whose index has bit b set. 26 additions in place; the rows are overwritten.
#[inline]
fn fold(rows: &mut [Row], columns: &mut [Row]) -> Row {
    let mut width = rows.len();
    for column in columns {
        width /= 2;
        let mut sum: Row = [0; ROW_WORDS];
        // Row 2y + 1 counts for this bit; then row y becomes the sum of rows 2y and 2y + 1.
        for y in 0..width {
            if let Some([even, odd]) = rows.get(2 * y..2 * y + 2) {
                xor(&mut sum, odd);
                let mut both = *even;
                xor(&mut both, odd);
                if let Some(slot) = rows.get_mut(y) {
                    *slot = both;
                }
            }
        }
        *column = sum;
    }
    rows.first().copied().unwrap_or([0; ROW_WORDS])
}

/// Clears what stands beyond bit ξ.
fn trim(row: &mut Row) {
    if let Some(last) = row.last_mut() {
        *last &= LAST_WORD;
    }
}

fn to_bytes(row: &Row) -> [u8; ROW_BYTES] {
    let words = row.map(u128::to_le_bytes);
    let mut out = [0; ROW_BYTES];
    for (o, b) in out.iter_mut().zip(words.as_flattened()) {
        *o = *b;
    }
    out
}

/// The bytes of a row without its mask word.
fn payload_to_bytes(row: &Row) -> [u8; PAYLOAD_BYTES] {
    let words = row.map(u128::to_le_bytes);
    let mut out = [0; PAYLOAD_BYTES];
    for (o, b) in out.iter_mut().zip(words.as_flattened().iter().skip(16)) {
        *o = *b;
    }
    out
}

fn payload_from_bytes(bytes: &[u8; PAYLOAD_BYTES]) -> Row {
    let mut words = [[0; 16]; ROW_WORDS];
    for (o, b) in words.as_flattened_mut().iter_mut().skip(16).zip(bytes) {
        *o = *b;
    }
    words.map(u128::from_le_bytes)
}

fn from_bytes(bytes: &[u8; ROW_BYTES]) -> Row {
    let mut words = [[0; 16]; ROW_WORDS];
    for (o, b) in words.as_flattened_mut().iter_mut().zip(bytes) {
        *o = *b;
    }
    words.map(u128::from_le_bytes)
}

/// All ones if bit 0 is set, without a branch.
fn mask(bit: u8) -> u128 {
    u128::from(bit & 1).wrapping_neg()
}

/// OTE.4 Coefficients of the check, one an item: each depends on everything that the receiver has fixed, in all items.
pub(crate) fn challenges(
    ot_id: &[u8; 32],
    sid: &[u8; 32],
    nonce_r: &[u8; 16],
    u: &[[u8; ROW_BYTES]; TREES],
    more: &[MoreRows],
) -> Vec<[u8; 16]> {
    let mut transcript = Transcript::new(tags::OTE_CHI);
    transcript
        .absorb("ot id", ot_id)
        .absorb("sid", sid)
        .absorb("receiver nonce", nonce_r)
        .absorb("U", u.as_flattened());
    for rows in more {
        transcript.absorb("U", rows.as_flattened());
    }
    let mut xof = transcript.xof();
    let next = |_| {
        let mut chi = [0; 16];
        xof.fill(&mut chi);
        chi
    };
    (0..=more.len()).map(next).collect()
}

/// OTE.4 The row digests of all items.
struct Digests {
    /// names the challenge in the digest of the check values
    first: [u8; 16],
    items: Vec<RowDigest>,
}

impl Digests {
    fn new(chis: &[[u8; 16]]) -> Self {
        Self {
            first: chis.first().copied().unwrap_or_default(),
            items: chis.iter().map(RowDigest::new).collect(),
        }
    }

    /// R over all items of one row.
    fn of<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> u128 {
        self.items.iter().zip(rows).fold(0, |sum, (digest, row)| sum ^ digest.of(row))
    }

    /// R over all items of each of the 128 columns.
    fn of_columns<'a>(&self, items: impl Iterator<Item = &'a Columns>) -> Zeroizing<[u128; COLUMNS]> {
        let mut sums = Zeroizing::new([0; COLUMNS]);
        for (digest, columns) in self.items.iter().zip(items) {
            for (sum, column) in sums.iter_mut().zip(columns.iter()) {
                *sum ^= digest.of(column);
            }
        }
        sums
    }
}

/// OTE.5 Digest of x~ and of the check values of all columns.
pub(crate) fn check_digest(
    ot_id: &[u8; 32],
    sid: &[u8; 32],
    chi: &[u8; 16],
    x: u128,
    columns: impl Iterator<Item = u128>,
) -> [u8; 32] {
    let mut values = Zeroizing::new([[0; 16]; COLUMNS]);
    for (slot, value) in values.iter_mut().zip(columns) {
        *slot = value.to_le_bytes();
    }
    let mut transcript = Transcript::new(tags::OTE_CHECK);
    transcript
        .absorb("ot id", ot_id)
        .absorb("sid", sid)
        .absorb("chi", chi)
        .absorb("x", &x.to_le_bytes())
        .absorb("T", values.as_flattened());
    transcript.digest()
}

/// OTE.8 The payload of 128 columns as ξ rows.
fn to_rows(columns: &Columns) -> Rows {
    let mut rows = Zeroizing::new(Vec::with_capacity(PAYLOAD_WORDS * 128));
    let mut block = Zeroizing::new([0; COLUMNS]);
    for word in 1..ROW_WORDS {
        for (slot, column) in block.iter_mut().zip(columns.iter()) {
            *slot = column.get(word).copied().unwrap_or_default();
        }
        transpose(&mut block);
        rows.extend_from_slice(&*block);
    }
    rows.truncate(TRANSFERS);
    rows
}

/// What the receiver keeps of one item: its choices and its rows. Zeroised on drop.
pub(crate) struct Transfers {
    pub(crate) choices: ChoiceBits,
    pub(crate) rows: Rows,
}

/// What the receiver keeps.
pub(crate) struct Received {
    pub(crate) nonce_r: [u8; 16],
    pub(crate) items: Vec<Transfers>,
}

/// The receiver's expanded leaves: u_i of every tree and the columns t_m. Kept apart so that tests can build a cheating receiver from it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Expansion {
    pub(crate) sums: Vec<Row>,
    pub(crate) columns: Vec<Row>,
}

/// OTE.1, OTE.2 of the receiver, for one item.
pub(crate) fn expand_all<C: EcdsaCurve>(
    leaves: &AllLeaves<C>,
    sid: &[u8; 32],
    nonce_r: &[u8; 16],
    item: usize,
) -> Expansion {
    let stream = LeafStream::new(&leaves.ot_id, sid, nonce_r, item);
    let mut scratch = LeafScratch::new();
    let mut sums = Vec::with_capacity(TREES);
    let mut columns = Vec::from([[0; ROW_WORDS]; COLUMNS]);
    let (batches, _) = leaves.leaves.as_chunks::<LEAF_BATCH>();
    for (batch, columns) in
        batches.iter().zip(columns.chunks_exact_mut(COLUMNS * LEAF_BATCH / (TREES * LEAVES)))
    {
        stream.expand(batch, &mut scratch);
        for (rows, columns) in scratch.rows.chunks_exact_mut(LEAVES).zip(columns.chunks_exact_mut(TREE_BITS))
        {
            sums.push(fold(rows, columns));
        }
    }
    for row in sums.iter_mut().chain(&mut columns) {
        trim(row);
    }
    Expansion { sums, columns }
}

/// OTE.1–OTE.5: commits to fresh random choices for `count` multiplications.
pub(crate) fn extend_receiver<C: EcdsaCurve>(
    leaves: &AllLeaves<C>,
    sid: &[u8; 32],
    count: usize,
    rng: &mut HedgedRng,
) -> (Received, Extension) {
    // OTE.1 A fresh nonce makes the masks of two sessions differ even if a session identifier ever repeated.
    let nonce_r = rng.bytes();
    let mut u = [[0; ROW_BYTES]; TREES];
    let mut more = Vec::with_capacity(count.saturating_sub(1));
    let mut choices = Zeroizing::new(Vec::with_capacity(count));
    let mut columns: Vec<Columns> = Vec::with_capacity(count);
    for item in 0..count {
        let mut expansion = expand_all(leaves, sid, &nonce_r, item);
        // OTE.3 x = 128 random bits, then β; U_i = u_i ⊕ x. One mask hides the check value of all items.
        let mut x = Zeroizing::new([[0; 16]; ROW_WORDS]);
        rng.fill(x.as_flattened_mut());
        let mut x = Zeroizing::new(x.map(u128::from_le_bytes));
        trim(&mut x);
        let mut rows: MoreRows = [[0; PAYLOAD_BYTES]; TREES];
        for ((first, other), sum) in u.iter_mut().zip(&mut rows).zip(&mut expansion.sums) {
            xor(sum, &x);
            if item == 0 {
                *first = to_bytes(sum);
            } else {
                *other = payload_to_bytes(sum);
            }
        }
        if item > 0 {
            if let Some(mask) = x.first_mut() {
                *mask = 0;
            }
            more.push(rows);
        }
        choices.push(*x);
        columns.push(Zeroizing::new(core::mem::take(&mut expansion.columns)));
    }

    // OTE.4, OTE.5
    let digests = Digests::new(&challenges(&leaves.ot_id, sid, &nonce_r, &u, &more));
    let x_check = digests.of(choices.iter());
    let values = digests.of_columns(columns.iter());
    let t = check_digest(&leaves.ot_id, sid, &digests.first, x_check, values.iter().copied());

    let items = choices
        .iter()
        .zip(&columns)
        .map(|([_, choices @ ..], columns)| Transfers {
            choices: Zeroizing::new(*choices),
            rows: to_rows(columns),
        })
        .collect();
    (Received { nonce_r, items }, Extension { nonce_r, u, x: x_check.to_le_bytes(), t, more })
}

/// OTE.6 Columns of one item; `rows` are its U_i in order.
fn sender_columns<C: EcdsaCurve>(
    leaves: &PuncturedLeaves<C>,
    stream: &LeafStream,
    rows: impl Iterator<Item = Row>,
) -> Columns {
    let mut scratch = LeafScratch::new();
    let mut batch = Zeroizing::new([[0; 16]; LEAF_BATCH]);
    let mut columns: Columns = Zeroizing::new(Vec::from([[0; ROW_WORDS]; COLUMNS]));
    let trees = leaves.leaves.chunks_exact(LEAVES - 1);
    let mut messages = rows.zip(leaves.delta.iter()).zip(columns.chunks_exact_mut(TREE_BITS));
    let mut trees = trees.peekable();
    while trees.peek().is_some() {
        // Place 0 of every tree stands for the leaf at Δ_i, which is unknown and must not count.
        for (slots, known) in batch.chunks_exact_mut(LEAVES).zip(&mut trees) {
            for (slot, leaf) in slots.iter_mut().skip(1).zip(known) {
                *slot = *leaf;
            }
        }
        stream.expand(&batch, &mut scratch);
        for (rows, ((u, nibble), columns)) in scratch.rows.chunks_exact_mut(LEAVES).zip(&mut messages) {
            if let Some(unknown) = rows.first_mut() {
                *unknown = [0; ROW_WORDS];
            }
            fold(rows, columns);
            // OTE.6 q_{4i+b} = w_{4i+b} ⊕ Δ_{i,b}·U_i
            for (bit, column) in columns.iter_mut().enumerate() {
                let mask = mask(nibble >> bit);
                for (q, u) in column.iter_mut().zip(u) {
                    *q ^= mask & u;
                }
                trim(column);
            }
        }
    }
    columns
}

/// OTE.6–OTE.8: the sender's rows of every item, if the message is consistent.
///
/// # Errors
/// [`CheckFailed`]: the verdict may carry bits of Δ. The caller burns the instance, durably, before anybody can see it.
pub(crate) fn extend_sender<C: EcdsaCurve>(
    leaves: &PuncturedLeaves<C>,
    sid: &[u8; 32],
    message: &Extension,
) -> Result<Vec<Rows>, CheckFailed> {
    let stream = |item| LeafStream::new(&leaves.ot_id, sid, &message.nonce_r, item);
    let mut columns = Vec::with_capacity(message.items());
    columns.push(sender_columns(leaves, &stream(0), message.u.iter().map(from_bytes)));
    for (item, rows) in (1..).zip(&message.more) {
        columns.push(sender_columns(leaves, &stream(item), rows.iter().map(payload_from_bytes)));
    }

    // OTE.7 t~_m = R(q_m) ⊕ Δ_m·x~ for every column, compared through one digest. No early exit, and one verdict for all items.
    let digests = Digests::new(&challenges(&leaves.ot_id, sid, &message.nonce_r, &message.u, &message.more));
    let x = u128::from_le_bytes(message.x);
    let delta_bits = leaves.delta.iter().flat_map(|nibble| (0..TREE_BITS).map(move |bit| nibble >> bit));
    let values = digests.of_columns(columns.iter());
    let expected = values.iter().zip(delta_bits).map(|(q, bit)| q ^ (mask(bit) & x));
    let expected = check_digest(&leaves.ot_id, sid, &digests.first, x, expected);
    verdict(&expected, &message.t)?;
    Ok(columns.iter().map(to_rows).collect())
}

/// The end of OTE.7: the digest of what was computed against the one that was told. Apart, so that the test of times can see an early exit,
/// which would be lost in the time of the whole check.
///
/// # Errors
/// [`CheckFailed`] if they differ.
pub(crate) fn verdict(expected: &[u8; 32], told: &[u8; 32]) -> Result<(), CheckFailed> {
    if bool::from(expected.ct_eq(told)) { Ok(()) } else { Err(CheckFailed) }
}

/// A receiver that adds a bit to its choices in tree 0 and computes its check values as if that nibble of Δ were `guess`: accepted if
/// and only if the guess is right.
#[cfg(test)]
pub(crate) fn guessing<C: EcdsaCurve>(
    leaves: &AllLeaves<C>,
    sid: &[u8; 32],
    guess: u8,
    rng: &mut HedgedRng,
) -> Extension {
    let nonce_r = rng.bytes();
    let expansion = expand_all(leaves, sid, &nonce_r, 0);
    let mut x: Row = core::array::from_fn(|_| u128::from_le_bytes(rng.bytes()));
    trim(&mut x);
    let mut error: Row = [0; ROW_WORDS];
    error[1] = 1;
    let mut u = [[0; ROW_BYTES]; TREES];
    for (tree, (u, sum)) in u.iter_mut().zip(&expansion.sums).enumerate() {
        let mut row = *sum;
        xor(&mut row, &x);
        if tree == 0 {
            xor(&mut row, &error);
        }
        *u = to_bytes(&row);
    }
    let chi = challenges(&leaves.ot_id, sid, &nonce_r, &u, &[])[0];
    let digest = RowDigest::new(&chi);
    let x_check = digest.of(&x);
    let values = expansion.columns.iter().enumerate().map(|(m, t)| {
        let met = if m < TREE_BITS { mask(guess >> m) } else { 0 };
        digest.of(t) ^ (met & digest.of(&error))
    });
    let t = check_digest(&leaves.ot_id, sid, &chi, x_check, values);
    Extension { nonce_r, u, x: x_check.to_le_bytes(), t, more: Vec::new() }
}

#[cfg(test)]
mod tests;

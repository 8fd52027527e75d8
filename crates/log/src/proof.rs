//! Inclusion and consistency proofs: RFC 9162, sections 2.1.3 and 2.1.4.

use std::collections::BTreeMap;

use crate::Hash;
use crate::tile::{self, Level, ReadTile, TILE_WIDTH, Tile, TileError};

/// Why a proof does not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The entry is not in a tree of that size, or the older tree is larger than the newer.
    #[error("the proof is for a place outside the tree")]
    Outside,
    /// There are more or fewer hashes than this place in this tree needs.
    #[error("the proof has too many or too few hashes")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Why a proof could not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError<E> {
    /// A tile could not be read.
    #[error("a tile of the log cannot be read: {0}")]
    Read(E),
    /// A tile is damaged.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// What is asked for is outside the log.
    #[error("the log does not reach that far")]
    Outside,
}

/// Checks that the entry with hash `leaf` stands at `index` in the tree of `size` entries with this `root`.
///
/// # Errors
/// [`ProofError`] says which rule the proof breaks; whoever sent it is to blame.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Outside);
    }
    let mut walk = Walk { first: index, last: size - 1 };
    let mut hash = *leaf;
    for other in proof {
        hash = if walk.step()? { Hash::node(other, &hash) } else { Hash::node(&hash, other) };
    }
    walk.end()?;
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `old_size` entries with `old_root` is the beginning of the tree of `size` entries with `root`.
///
/// # Errors
/// [`ProofError`] says which rule the proof breaks. That a proof fails does not show that the trees differ: it may be a wrong proof.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > size {
        return Err(ProofError::Outside);
    }
    if old_size == size || old_size == 0 {
        let expected = if old_size == size { *root } else { Hash::empty() };
        return match (proof.is_empty(), *old_root == expected) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    let (found_old, found) = if old_size.is_power_of_two() {
        // The proof leaves out the older tree, which is one subtree of the newer.
        if proof.is_empty() {
            return Err(ProofError::Length);
        }
        fold_consistency(old_size, size, old_root, proof)?
    } else {
        let (start, rest) = proof.split_first().ok_or(ProofError::Length)?;
        fold_consistency(old_size, size, start, rest)?
    };
    if found_old == *old_root && found == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// The roots of the older and the newer tree that a proof leads to; 0 < `old_size` < `size`.
pub(crate) fn fold_consistency(
    old_size: u64,
    size: u64,
    start: &Hash,
    rest: &[Hash],
) -> Result<(Hash, Hash), ProofError> {
    let mut walk = Walk { first: old_size - 1, last: size - 1 };
    while walk.first & 1 == 1 {
        walk.up();
    }
    let (mut old, mut new) = (*start, *start);
    for other in rest {
        if walk.step()? {
            old = Hash::node(other, &old);
            new = Hash::node(other, &new);
        } else {
            new = Hash::node(&new, other);
        }
    }
    walk.end()?;
    Ok((old, new))
}

/// The way from a node to the root: its place and that of the last node, at one height after the other. `fn` and `sn` of RFC 9162.
struct Walk {
    first: u64,
    last: u64,
}

impl Walk {
    const fn up(&mut self) {
        self.first >>= 1;
        self.last >>= 1;
    }

    /// Goes up to the next node that has a sibling, and says whether the sibling is on the left.
    fn step(&mut self) -> Result<bool, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Length);
        }
        let left = self.first & 1 == 1 || self.first == self.last;
        if left {
            while self.first & 1 == 0 && self.first != 0 {
                self.up();
            }
        }
        self.up();
        Ok(left)
    }

    const fn end(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Length) }
    }
}

/// Where the hashes of perfect subtrees come from: the `index`-th subtree of 2^`height` entries.
pub(crate) trait Nodes {
    type Error;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The largest power of two below `n`, for n > 1.
const fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The hash of the entries from `start` to `end`. `start` is a multiple of a power of two that is not smaller than their number.
pub(crate) fn range<N: Nodes>(nodes: &mut N, start: u64, end: u64) -> Result<Hash, N::Error> {
    let mut at = end;
    let mut right: Option<Hash> = None;
    for height in 0..u64::BITS {
        let width = 1_u64 << height;
        if (end - start) & width != 0 {
            at -= width;
            let left = nodes.node(height, at >> height)?;
            right = Some(right.map_or(left, |right| Hash::node(&left, &right)));
        }
    }
    Ok(right.unwrap_or_else(Hash::empty))
}

/// PATH of RFC 9162, 2.1.3.1; `index` < `size`.
pub(crate) fn inclusion<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// SUBPROOF of RFC 9162, 2.1.4.1; 0 < `old_size` < `size`. `whole` also gives the older tree's subtree where the RFC leaves it out.
pub(crate) fn consistency<N: Nodes>(
    nodes: &mut N,
    old_size: u64,
    size: u64,
    whole: bool,
) -> Result<Vec<Hash>, N::Error> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end > old_size {
        let middle = start + split(end - start);
        if old_size <= middle {
            path.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range(nodes, start, middle)?);
            start = middle;
        }
    }
    if start > 0 || whole {
        path.push(range(nodes, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Hashes of perfect subtrees, read from the tiles of a log of `size` entries. Each tile is read once.
pub(crate) struct TileNodes<R> {
    reader: R,
    size: u64,
    read: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl<R: ReadTile> TileNodes<R> {
    pub(crate) const fn new(reader: R, size: u64) -> Self {
        Self { reader, size, read: BTreeMap::new() }
    }

    /// The hashes of a tile, or `None` when a log of this size has no such tile.
    pub(crate) fn tile(&mut self, level: u8, index: u64) -> Result<Option<&[Hash]>, BuildError<R::Error>> {
        let Some(tile) = Tile::at(Level::Hashes(level), index, self.size) else { return Ok(None) };
        if !self.read.contains_key(&(level, index)) {
            let bytes = self.reader.tile(tile).map_err(BuildError::Read)?;
            self.read.insert((level, index), tile::hashes(tile, &bytes)?);
        }
        Ok(self.read.get(&(level, index)).map(Vec::as_slice))
    }
}

impl<R: ReadTile> Nodes for TileNodes<R> {
    type Error = BuildError<R::Error>;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        let outside = TileError::Outside { size: self.size, height, index };
        // A tile has the hashes of every eighth height; those between are made from a run of them.
        let (level, above) = (height / 8, height % 8);
        let level = u8::try_from(level).map_err(|_| outside)?;
        let first = index.checked_mul(1 << above).ok_or(outside)?;
        let (tile, offset) = (first / u64::from(TILE_WIDTH), first % u64::from(TILE_WIDTH));
        let offset = usize::try_from(offset).map_err(|_| outside)?;
        let run = self.tile(level, tile)?.and_then(|hashes| hashes.get(offset..offset + (1 << above)));
        Ok(perfect(run.ok_or(outside)?))
    }
}

/// The hash over 2^n hashes, n ≥ 0.
pub(crate) fn perfect(hashes: &[Hash]) -> Hash {
    match hashes {
        [one] => *one,
        several => {
            let (left, right) = several.split_at(several.len() / 2);
            Hash::node(&perfect(left), &perfect(right))
        }
    }
}

/// The root of the first `size` entries of a log.
///
/// # Errors
/// [`BuildError`] when a tile is missing or damaged.
pub fn root<R: ReadTile>(reader: &R, size: u64) -> Result<Hash, BuildError<R::Error>> {
    range(&mut TileNodes::new(reader, size), 0, size)
}

/// The proof that the entry at `index` is in the tree of the first `size` entries: at most 63 hashes.
///
/// # Errors
/// [`BuildError`] when the index is outside, or a tile is missing or damaged.
pub fn prove_inclusion<R: ReadTile>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, BuildError<R::Error>> {
    if index >= size {
        return Err(BuildError::Outside);
    }
    inclusion(&mut TileNodes::new(reader, size), index, size)
}

/// The proof that the tree of the first `old_size` entries is the beginning of that of the first `size`: at most 64 hashes.
///
/// # Errors
/// [`BuildError`] when `old_size` is larger, or a tile is missing or damaged.
pub fn prove_consistency<R: ReadTile>(
    reader: &R,
    old_size: u64,
    size: u64,
) -> Result<Vec<Hash>, BuildError<R::Error>> {
    match old_size {
        _ if old_size > size => Err(BuildError::Outside),
        _ if old_size == size || old_size == 0 => Ok(Vec::new()),
        _ => consistency(&mut TileNodes::new(reader, size), old_size, size, false),
    }
}

//! The tree while it grows: what a node keeps in memory to append, and what it must write.

use std::collections::BTreeMap;

use crate::entry::Entry;
use crate::proof::{BuildError, TileNodes, perfect};
use crate::tile::{self, Level, ReadTile, TILE_WIDTH, Tile, TileBytes};
use crate::{Hash, MAX_SIZE};

/// The roots of the perfect subtrees that make up a tree, largest first: all that is needed to append and to know the root.
/// At most 63 hashes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// Entries in the tree.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf. The work is one hash on average and at most 63.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = Hash::node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root.
    pub fn root(&self) -> Hash {
        self.join(None).unwrap_or_else(Hash::empty)
    }

    /// The root with something smaller on the right; `None` when both are empty.
    pub(crate) fn join(&self, right: Option<Hash>) -> Option<Hash> {
        let from_right = self.peaks.iter().rev();
        from_right.fold(right, |right, left| Some(right.map_or(*left, |right| Hash::node(left, &right))))
    }
}

/// The entries that were appended last, with all that proofs of them need: no tile is read.
///
/// It holds, for every height, the nodes of the tree that have one of these entries below them, and the node to the left of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    first: u64,
    size: u64,
    heights: Vec<Height>,
}

/// Nodes of one height: each has 2^height entries below it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Height {
    /// Place of the first of them.
    start: u64,
    nodes: Vec<Hash>,
    /// The root of what is to the right of the last; fewer than 2^height entries.
    rest: Option<Hash>,
}

impl Newest {
    /// The work is about two hashes a leaf, and one a height.
    fn new(before: &Frontier, leaves: Vec<Hash>) -> Self {
        let (first, mut peaks) = (before.size, before.peaks.iter().rev());
        let (mut start, mut nodes, mut rest) = (first, leaves, None);
        let mut heights = Vec::new();
        let size = u64::try_from(nodes.len()).map_or(first, |added| first.saturating_add(added));
        for height in 0..u64::BITS - size.leading_zeros() {
            // A peak stands wherever the tree before had an odd number of nodes.
            if (first >> height) & 1 == 1
                && let Some(peak) = peaks.next()
            {
                start -= 1;
                nodes.insert(0, *peak);
            }
            let (pairs, last) = nodes.as_chunks::<2>();
            let above = pairs.iter().map(|[left, right]| Hash::node(left, right)).collect();
            let right = match (last, rest) {
                ([left], Some(right)) => Some(Hash::node(left, &right)),
                ([left], None) => Some(*left),
                _ => rest,
            };
            heights.push(Height { start, nodes, rest });
            (start, nodes, rest) = (start / 2, above, right);
        }
        Self { first, size, heights }
    }

    /// The inclusion proof of the `nth` of them, from 0, in the tree that they were appended to: RFC 9162, section 2.1.3.1. `None` if
    /// there are not so many.
    pub fn prove(&self, nth: u64) -> Option<Vec<Hash>> {
        let index = self.first.checked_add(nth).filter(|index| *index < self.size)?;
        let siblings = (0_u32..).zip(&self.heights).filter_map(|(height, Height { start, nodes, rest })| {
            let sibling = (index >> height) ^ 1;
            if sibling == self.size >> height {
                return *rest;
            }
            nodes.get(usize::try_from(sibling.checked_sub(*start)?).ok()?).copied()
        });
        Some(siblings.collect())
    }
}

/// What an append adds to a log, to be written in one transaction before its root is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Index of the first entry that was added.
    pub first: u64,
    /// Entries in the log now.
    pub size: u64,
    /// Root of the log now.
    pub root: Hash,
    /// Every tile and bundle that is new or wider than before, with all of its bytes; of a tree of [full tiles](Tree::of_full_tiles) those
    /// alone.
    pub tiles: Vec<TileBytes>,
    /// What was added, for proofs.
    pub newest: Newest,
}

/// Why entries could not be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A log has fewer than 2⁶³ entries.
    #[error("the log is full")]
    Full,
    /// An entry does not fit into the 16-bit length of an entry bundle.
    #[error("an entry has more than 65,535 bytes")]
    Length,
}

/// The right edge of a log: its frontier, the unfinished tile of each level, and the unfinished entry bundle.
///
/// It is ahead of what is stored from [`Tree::append`] until the growth is written. When the write fails, drop the tree and read it
/// again with [`Tree::resume`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tree {
    frontier: Frontier,
    /// For each level the hashes of its unfinished tile: at most 255.
    edge: Vec<Vec<Hash>>,
    /// The unfinished bundle: at most 255 entries.
    bundle: Vec<u8>,
    /// Entries and unfinished tiles are stored in another form.
    full_tiles: bool,
}

impl Tree {
    /// The log without entries.
    pub const fn new() -> Self {
        Self { frontier: Frontier::new(), edge: Vec::new(), bundle: Vec::new(), full_tiles: false }
    }

    /// The same log for a store that keeps entries one by one, and of tiles of hashes the full ones: growths have nothing else then.
    #[must_use]
    pub fn of_full_tiles(self) -> Self {
        Self { bundle: Vec::new(), full_tiles: true, ..self }
    }

    /// Takes up a log of `size` entries from its tiles; reads one tile a level and one bundle, those that are unfinished.
    ///
    /// The tiles are not trusted: compare [`Tree::root`] with the last signed checkpoint before anything is appended.
    ///
    /// # Errors
    /// [`BuildError`] when a tile is missing or damaged.
    pub fn resume<R: ReadTile>(reader: &R, size: u64) -> Result<Self, BuildError<R::Error>> {
        if size > MAX_SIZE {
            return Err(BuildError::Outside);
        }
        let mut nodes = TileNodes::new(reader, size);
        let mut tree = Self { frontier: Frontier { size, peaks: Vec::new() }, ..Self::new() };
        for level in (0..=u8::MAX).take_while(|level| Level::Hashes(*level).count(size) > 0) {
            let count = Level::Hashes(level).count(size);
            let unfinished = !count.is_multiple_of(u64::from(TILE_WIDTH));
            let tile = if unfinished { nodes.tile(level, count / u64::from(TILE_WIDTH))? } else { None };
            tree.edge.push(tile.unwrap_or_default().to_vec());
        }
        for hashes in tree.edge.iter().rev() {
            // Each level has the peaks of eight heights.
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let (peak, after) = rest.split_at(1 << rest.len().ilog2());
                tree.frontier.peaks.push(perfect(peak));
                rest = after;
            }
        }
        let last = Tile::at(Level::Entries, size / u64::from(TILE_WIDTH), size);
        if let Some(last) = last {
            let bytes = reader.tile(last).map_err(BuildError::Read)?;
            for entry in tile::entries(last, &bytes)? {
                tile::push_entry(&mut tree.bundle, &entry);
            }
        }
        Ok(tree)
    }

    /// Entries in the log.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Appends entries as one group, so that one write to disk serves them all.
    ///
    /// # Errors
    /// [`AppendError::Full`]; then nothing has changed.
    pub fn append<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<Growth, AppendError> {
        self.append_encoded(&entries.into_iter().map(Entry::encode).collect::<Vec<_>>())
    }

    /// The same for entries that are encoded already.
    ///
    /// # Errors
    /// [`AppendError`]; then nothing has changed.
    pub fn append_encoded(&mut self, entries: &[Vec<u8>]) -> Result<Growth, AppendError> {
        // LOG.3
        let first = self.size();
        let added = u64::try_from(entries.len()).map_err(|_| AppendError::Full)?;
        let size = first.checked_add(added).filter(|size| *size <= MAX_SIZE).ok_or(AppendError::Full)?;
        if entries.iter().any(|entry| entry.len() > usize::from(u16::MAX)) {
            return Err(AppendError::Length);
        }
        let mut full = BTreeMap::new();
        let before = self.frontier.clone();
        let leaves: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
        for (entry, leaf) in entries.iter().zip(&leaves) {
            if !self.full_tiles {
                tile::push_entry(&mut self.bundle, entry);
            }
            self.frontier.push(*leaf);
            self.finish_tiles(*leaf, &mut full);
        }
        let mut tiles = Vec::new();
        for tile in Tile::written(first, size) {
            let bytes = match tile.level() {
                _ if self.full_tiles && (tile.is_partial() || tile.level() == Level::Entries) => None,
                _ if !tile.is_partial() => full.remove(&tile),
                Level::Hashes(level) => self.edge.get(usize::from(level)).map(|hashes| join(hashes)),
                Level::Entries => Some(self.bundle.clone()),
            };
            tiles.extend(bytes.map(|bytes| TileBytes { tile, bytes }));
        }
        Ok(Growth { first, size, root: self.root(), tiles, newest: Newest::new(&before, leaves) })
    }

    /// Puts a leaf into the unfinished tiles and moves those that are full to `full`.
    fn finish_tiles(&mut self, leaf: Hash, full: &mut BTreeMap<Tile, Vec<u8>>) {
        let size = self.size();
        let mut carry = Some(leaf);
        for level in 0..=u8::MAX {
            let Some(hash) = carry.take() else { break };
            let place = usize::from(level);
            if self.edge.len() <= place {
                self.edge.push(Vec::new());
            }
            let Some(hashes) = self.edge.get_mut(place) else { break };
            hashes.push(hash);
            if hashes.len() == usize::from(TILE_WIDTH) {
                let hashes = std::mem::take(hashes);
                carry = Some(perfect(&hashes));
                full.extend(last(Level::Hashes(level), size).map(|tile| (tile, join(&hashes))));
                if level == 0 {
                    let bytes = std::mem::take(&mut self.bundle);
                    full.extend(last(Level::Entries, size).map(|tile| (tile, bytes)));
                }
            }
        }
    }
}

/// The last tile of a level whose tiles are all full.
fn last(level: Level, size: u64) -> Option<Tile> {
    Tile::at(level, (level.count(size) / u64::from(TILE_WIDTH)).checked_sub(1)?, size)
}

fn join(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

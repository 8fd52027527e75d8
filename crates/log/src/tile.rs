//! Tiles: the form in which a log's hashes and entries are stored and served. C2SP tlog-tiles.

use std::fmt;

use crate::Hash;
use crate::proof::BuildError;

/// Hashes in a full tile, and entries in a full bundle. C2SP tlog-tiles, section *Merkle Tree*.
pub const TILE_WIDTH: u16 = 256;

/// Highest level that a path may name. C2SP tlog-tiles, section *Merkle Tree*.
const MAX_LEVEL: u8 = 63;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Hashes of subtrees of 256^level entries; level 0 has the leaf hashes.
    Hashes(u8),
    /// The entries themselves, as a bundle.
    Entries,
}

impl Level {
    /// How many things a log of `size` entries has at this level.
    pub(crate) fn count(self, size: u64) -> u64 {
        match self {
            Self::Hashes(level) => size.checked_shr(8 * u32::from(level)).unwrap_or(0),
            Self::Entries => size,
        }
    }
}

/// Names one tile: its level, its place in the level, and how much of it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    level: Level,
    index: u64,
    width: u16,
}

/// Why a path names no tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the path of a tile: expected `tile/<level>/<index>` or `tile/entries/<index>`, maybe with `.p/<width>`"
)]
pub struct PathError;

impl Tile {
    /// A tile of given width: 1 to 256. `None` when a number is out of range.
    pub fn new(level: Level, index: u64, width: u16) -> Option<Self> {
        let known = !matches!(level, Level::Hashes(level) if level > MAX_LEVEL);
        let fits = (1..=TILE_WIDTH).contains(&width) && index <= crate::MAX_SIZE;
        (known && fits).then_some(Self { level, index, width })
    }

    /// The tile as a log of `size` entries has it; `None` when that log has nothing there.
    pub fn at(level: Level, index: u64, size: u64) -> Option<Self> {
        let before = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = level.count(size).checked_sub(before)?.min(u64::from(TILE_WIDTH));
        Self::new(level, index, u16::try_from(width).ok()?)
    }

    /// The tiles that must be written when a log grows from `old` to `new` entries: every one that is new or wider, lowest level
    /// first, entry bundles last. A partial tile may be forgotten once the full one is stored.
    pub fn written(old: u64, new: u64) -> Vec<Self> {
        let mut tiles = Vec::new();
        let hashes = (0..=MAX_LEVEL).map(Level::Hashes).take_while(|level| level.count(new) > 0);
        for level in hashes.chain([Level::Entries]) {
            let (before, after) = (level.count(old), level.count(new));
            if after > before {
                let width = u64::from(TILE_WIDTH);
                tiles.extend(
                    (before / width..=(after - 1) / width).filter_map(|index| Self::at(level, index, new)),
                );
            }
        }
        tiles
    }

    /// What it holds.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Its place in the level, from 0.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it holds: 1 to 256.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// True when it holds fewer than 256.
    pub const fn is_partial(&self) -> bool {
        self.width < TILE_WIDTH
    }

    /// Reads a path in the form that [`fmt::Display`] writes, and no other.
    ///
    /// # Errors
    /// [`PathError`] for anything else.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let (level, rest) =
            path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or(PathError)?;
        let level = match level {
            "entries" => Level::Entries,
            level => Level::Hashes(level.parse().map_err(|_| PathError)?),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().map_err(|_| PathError)?),
            None => (rest, TILE_WIDTH),
        };
        let mut number = 0_u64;
        for group in index.split('/') {
            let digits: u64 = group.trim_start_matches('x').parse().map_err(|_| PathError)?;
            number =
                number.checked_mul(1000).and_then(|number| number.checked_add(digits)).ok_or(PathError)?;
        }
        let tile = Self::new(level, number, width).ok_or(PathError)?;
        // The one form is the one that we write: signs, missing zeros and a partial tile of width 256 end here.
        if tile.to_string() == path { Ok(tile) } else { Err(PathError) }
    }
}

/// The path under a log's prefix: `tile/0/x001/x234/067`, `tile/entries/000.p/12`.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Hashes(level) => write!(f, "tile/{level}/")?,
            Level::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        while let Some(group) = groups.pop() {
            if groups.is_empty() { write!(f, "{group:03}")? } else { write!(f, "x{group:03}/")? }
        }
        if self.is_partial() { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// The bytes of a tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileBytes {
    /// Which tile.
    pub tile: Tile,
    /// Hashes after each other, or entries each with its length before it.
    pub bytes: Vec<u8>,
}

/// Why the bytes of a tile are not what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not a whole number of hashes, fewer than the width asks for, or more than a full tile holds.
    #[error("`{0}` does not hold as many hashes as its name says")]
    Hashes(Tile),
    /// The lengths inside do not add up, or the number of entries is not that of the name.
    #[error("`{0}` does not hold as many entries as its name says")]
    Entries(Tile),
    /// A log of this size has no such tile.
    #[error("a log of {size} entries has no hash at height {height}, place {index}")]
    Outside {
        /// Entries in the log.
        size: u64,
        /// Height of the subtree.
        height: u32,
        /// Its place among those of its height.
        index: u64,
    },
}

/// Reads tiles from where a log is kept: a store, a folder, another node.
pub trait ReadTile {
    /// Why a tile could not be read.
    type Error;

    /// The bytes of `tile`. A wider version of the same tile is as good, and what is left over is not looked at: a log may drop a partial
    /// tile once the full one is there. What is returned is not trusted: whoever uses it checks it against a checkpoint.
    ///
    /// # Errors
    /// When the tile is not there or cannot be read.
    fn tile(&self, tile: Tile) -> Result<Vec<u8>, Self::Error>;
}

impl<R: ReadTile + ?Sized> ReadTile for &R {
    type Error = R::Error;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, Self::Error> {
        (**self).tile(tile)
    }
}

/// The hashes of a hash tile: as many as its width, from bytes that may hold more.
pub(crate) fn hashes(tile: Tile, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
    let (width, full) = (usize::from(tile.width), usize::from(TILE_WIDTH));
    if !rest.is_empty() || hashes.len() > full {
        return Err(TileError::Hashes(tile));
    }
    let hashes = hashes.get(..width).ok_or(TileError::Hashes(tile))?;
    Ok(hashes.iter().map(|hash| Hash::from_bytes(*hash)).collect())
}

/// The entries of a bundle: as many as its width, from bytes that may hold more. C2SP tlog-tiles, section *Log entries*.
///
/// # Errors
/// [`TileError::Entries`] when the lengths do not add up, or there are too few or more than 256.
pub fn entries(tile: Tile, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TileError> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or(TileError::Entries(tile))?;
        found.push(entry.to_vec());
        rest = after;
    }
    let (width, full) = (usize::from(tile.width), usize::from(TILE_WIDTH));
    if !rest.is_empty() || found.len() > full || found.len() < width {
        return Err(TileError::Entries(tile));
    }
    found.truncate(width);
    Ok(found)
}

/// The bytes of the entry at `index` in a log of `size` entries, as they are stored: not yet compared with the tree.
///
/// # Errors
/// [`BuildError`] when the index is outside, or the bundle is missing or damaged.
pub fn read_entry<R: ReadTile>(reader: &R, index: u64, size: u64) -> Result<Vec<u8>, BuildError<R::Error>> {
    let width = u64::from(TILE_WIDTH);
    let bundle = Tile::at(Level::Entries, index / width, size).ok_or(BuildError::Outside)?;
    let place = usize::try_from(index % width).map_err(|_| BuildError::Outside)?;
    let bytes = reader.tile(bundle).map_err(BuildError::Read)?;
    let mut entries = entries(bundle, &bytes)?;
    if place < entries.len() { Ok(entries.swap_remove(place)) } else { Err(BuildError::Outside) }
}

/// Adds one entry to a bundle. The entry has at most 65,535 bytes.
pub(crate) fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) {
    bundle.extend(u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
    bundle.extend(entry);
}

/// The entries at the start of a bundle that may be damaged, up to where its lengths stop to add up.
pub(crate) fn readable_entries(bundle: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bundle;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk()?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = after;
        Some(entry)
    })
}

//! A log in memory, its keys, and the RFC's definitions written down once more, as they stand there.

use std::collections::BTreeMap;
use std::convert::Infallible;

use quorate_log::Hash;
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::{Entry, Id, Kind};
use quorate_log::note::{LogSigner, WitnessSigner};
use quorate_log::tile::{Level, ReadTile, TILE_WIDTH, Tile};
use quorate_log::tree::{Growth, Tree};
use quorate_log::witness::Observed;

/// Tiles as a store would keep them, partial ones too.
#[derive(Clone, Default)]
pub(crate) struct Tiles(pub(crate) BTreeMap<Tile, Vec<u8>>);

impl Tiles {
    pub(crate) fn store(&mut self, growth: &Growth) {
        for tile in &growth.tiles {
            self.0.insert(tile.tile, tile.bytes.clone());
        }
    }

    /// Drops partial tiles whose full one is there, as C2SP tlog-tiles allows.
    pub(crate) fn forget_partial(&mut self) {
        let full: Vec<Tile> = self.0.keys().filter(|tile| !tile.is_partial()).copied().collect();
        self.0.retain(|tile, _| {
            !tile.is_partial() || !full.iter().any(|f| f.level() == tile.level() && f.index() == tile.index())
        });
    }
}

/// What a store does when the partial tile is gone: the full one, else that of any width that is enough.
impl ReadTile for Tiles {
    type Error = Tile;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, Tile> {
        let wider =
            (tile.width()..=TILE_WIDTH).filter_map(|width| Tile::new(tile.level(), tile.index(), width));
        wider.into_iter().find_map(|wider| self.0.get(&wider).cloned()).ok_or(tile)
    }
}

/// Leaves given by their hashes: tiles are cut from the definitions, not by the code under test.
pub(crate) struct Defined(pub(crate) Vec<Hash>);

impl ReadTile for Defined {
    type Error = Infallible;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, Infallible> {
        let Level::Hashes(level) = tile.level() else { panic!("no entries here") };
        let span = 256_usize.pow(u32::from(level));
        let first = tile.index() as usize * 256;
        let hashes =
            (first..first + usize::from(tile.width())).map(|n| mth(&self.0[n * span..(n + 1) * span]));
        Ok(hashes.flat_map(|hash| *hash.as_bytes()).collect())
    }
}

/// MTH over leaf hashes, RFC 6962, 2.1.
pub(crate) fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::empty(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(largest_power_below(leaves.len()));
            Hash::node(&mth(left), &mth(right))
        }
    }
}

pub(crate) fn largest_power_below(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// PATH, RFC 6962, 2.1.1.
pub(crate) fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(largest_power_below(leaves.len()));
    let (mut path, last) =
        if m < left.len() { (path(m, left), mth(right)) } else { (path(m - left.len(), right), mth(left)) };
    path.push(last);
    path
}

/// Leaf hashes of `n` entries of one byte each, the number modulo 256.
pub(crate) fn byte_leaves(n: usize) -> Vec<Hash> {
    (0..n).map(|i| Hash::leaf(&[i as u8])).collect()
}

pub(crate) fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// A small generator with a seed: xorshift64*.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Entries as a node writes them, drawn from a seed; no two are equal.
pub(crate) fn entries(seed: u64, n: usize) -> Vec<Entry> {
    let mut seeded = Seeded(seed * 2 + 1);
    let kinds = Kind::ALL;
    (0..n)
        .map(|i| {
            let kind = kinds[seeded.below(kinds.len() as u64) as usize];
            let body = format!("{{\"n\":{i},\"random\":{}}}", seeded.next());
            let entry = Entry::new(kind, 1_700_000_000_000 + i as u64 * 37, body).unwrap();
            let entry = entry.operation(id(&format!("op_{i}")));
            if seeded.below(2) == 0 { entry.key(id("key_7")).tenant(id("acme")) } else { entry }
        })
        .collect()
}

pub(crate) fn log_signer() -> LogSigner {
    LogSigner::from_seed("node-1.example.com/log", &[1; 32]).unwrap()
}

pub(crate) fn witness_signer(n: u8) -> WitnessSigner {
    WitnessSigner::from_seed(&format!("node-{n}.example.com/witness"), &[100 + n; 32]).unwrap()
}

/// A log with its store.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) tree: Tree,
    pub(crate) tiles: Tiles,
}

impl Log {
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let mut log = Self::default();
        log.append(entries);
        log
    }

    pub(crate) fn append(&mut self, entries: &[Entry]) -> Growth {
        let growth = self.tree.append(entries).unwrap();
        self.tiles.store(&growth);
        growth
    }

    pub(crate) fn head(&self) -> SignedCheckpoint {
        log_signer().sign(self.tree.size(), self.tree.root()).unwrap()
    }
}

/// Adds the cosignatures of witnesses 2 and 3.
pub(crate) fn cosigned(checkpoint: SignedCheckpoint) -> SignedCheckpoint {
    [2, 3].into_iter().fold(checkpoint, |checkpoint, n| {
        let observed = Observed::new(log_signer().key(), None, checkpoint, &[]).unwrap();
        observed.cosign(&witness_signer(n), 1_700_000_000 + u64::from(n)).unwrap()
    })
}

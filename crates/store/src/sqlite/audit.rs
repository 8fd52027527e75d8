//! The audit log at rest: entries one by one, full tiles of hashes, the newest checkpoint.
//!
//! Entries are appended in the transaction of the write that they are about, for the whole batch at once: one root, one signature.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::{Entry, Id, Kind};
use quorate_log::note::LogSigner;
use quorate_log::offer::Offer;
use quorate_log::proof::BuildError;
use quorate_log::receipt::Receipt;
use quorate_log::tile::{Level, ReadTile, TILE_WIDTH, Tile, TileBytes};
use quorate_log::tree::{Frontier, Growth, Tree};
use quorate_log::{Hash, MAX_SIZE};

use super::Sqlite;
use super::db::{self, Connection, Target};
use super::failure::Failure;
use super::writer::Unit;
use crate::StoreError;

/// The log's right edge in memory.
pub(super) struct Ledger {
    tree: Tree,
    signer: Arc<LogSigner>,
}

/// What one commit adds, and all that receipts for it need.
pub(super) struct Added {
    growth: Growth,
    checkpoint: SignedCheckpoint,
    entries: Vec<Entry>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger({} entries)", self.tree.size())
    }
}

impl Ledger {
    /// Takes up the log where its last checkpoint says that it ends, and makes sure that what is there is what was signed.
    pub(super) fn open(connection: &mut Connection, signer: Arc<LogSigner>) -> Result<Self, Failure> {
        let damaged = |what: &str| Failure::Corrupt(format!("the audit log {what}"));
        let count: i64 = db::query_scalar("SELECT coalesce(max(idx) + 1, 0) FROM log_entries")
            .fetch_one(&mut *connection)?;
        let head: Option<String> =
            db::query_scalar("SELECT note FROM log_head").fetch_optional(&mut *connection)?;
        let Some(note) = head else {
            if count > 0 {
                return Err(damaged("has entries and no checkpoint"));
            }
            return Ok(Self { tree: Tree::new().of_full_tiles(), signer });
        };
        let head =
            SignedCheckpoint::parse(&note).map_err(|error| damaged(&format!("has a bad head: {error}")))?;
        let head = head
            .verify(signer.key())
            .map_err(|error| damaged(&format!("has a head that this node did not sign: {error}")))?;
        if u64::try_from(count) != Ok(head.size()) {
            return Err(damaged(&format!("has {count} entries and a checkpoint of {}", head.size())));
        }
        let mut tiles = Tiles::default();
        for tile in edge(head.size()) {
            if !roots_hold(&mut *connection, tile)? {
                return Err(damaged(&format!("has other hashes below `{tile}` than it says")));
            }
            let bytes = read(&mut *connection, tile)?;
            tiles.put(tile, bytes.ok_or_else(|| damaged(&format!("lacks `{tile}`")))?);
        }
        let tree = Tree::resume(&tiles, head.size())
            .map_err(|error| damaged(&format!("cannot be taken up: {error}")))?;
        if tree.root() != *head.root() {
            return Err(damaged("does not hash to its last checkpoint: something was changed in it"));
        }
        Ok(Self { tree: tree.of_full_tiles(), signer })
    }

    /// Writes entries, the tiles that are full by them, and the checkpoint. If it fails, or is not committed, the ledger is ahead of
    /// what is stored: drop it.
    pub(super) fn append(
        &mut self,
        connection: &mut Connection,
        entries: Vec<Entry>,
    ) -> Result<Added, Failure> {
        let encoded: Vec<Vec<u8>> = entries.iter().map(Entry::encode).collect();
        let growth =
            self.tree.append_encoded(&encoded).map_err(|error| Failure::Corrupt(error.to_string()))?;
        let signed = self.signer.sign(growth.size, growth.root);
        let checkpoint = signed.map_err(|error| Failure::Corrupt(error.to_string()))?;
        for TileBytes { tile, bytes } in &growth.tiles {
            let Level::Hashes(level) = tile.level() else { continue };
            db::query("INSERT INTO log_tiles (level, idx, root, bytes) VALUES (?, ?, ?, ?)")
                .bind(i64::from(level))
                .bind(signed_index(tile.index())?)
                .bind(root_of(bytes).as_bytes().to_vec())
                .bind(bytes.as_slice())
                .execute(&mut *connection)?;
        }
        let rows: Vec<NewRow<'_>> = (growth.first..)
            .zip(entries.iter().zip(encoded))
            .map(|(index, (entry, bytes))| {
                let outcome = entry.operation_id().filter(|_| entry.kind() == Kind::Outcome);
                Ok((signed_index(index)?, bytes, outcome.map(Id::as_str)))
            })
            .collect::<Result<_, Failure>>()?;
        let head = (signed_index(growth.size)?, checkpoint.to_string());
        insert(connection, rows, head)?;
        Ok(Added { growth, checkpoint, entries })
    }
}

/// An entry's place, its bytes, and the operation that it is the outcome of.
type NewRow<'a> = (i64, Vec<u8>, Option<&'a str>);

/// Writes entries and the head.
fn insert(
    connection: &mut Connection,
    rows: Vec<NewRow<'_>>,
    (size, note): (i64, String),
) -> Result<(), Failure> {
    for (index, bytes, outcome) in rows {
        db::query("INSERT INTO log_entries (idx, entry) VALUES (?, ?)")
            .bind(index)
            .bind(bytes)
            .execute(&mut *connection)?;
        if let Some(operation) = outcome {
            db::query("INSERT INTO log_outcomes (op_id, idx) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(operation)
                .bind(index)
                .execute(&mut *connection)?;
        }
    }
    db::query(
        "INSERT INTO log_head (size, note, id) VALUES (?, ?, 1) \
         ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note",
    )
    .bind(size)
    .bind(note)
    .execute(connection)?;
    Ok(())
}

impl Added {
    /// The receipt of the entry at this place of the commit. To be given out once that is durable.
    pub(super) fn receipt(&self, nth: usize) -> Result<Receipt, Failure> {
        let entry = self.entries.get(nth).zip(u64::try_from(nth).ok());
        entry
            .and_then(|(entry, nth)| Receipt::of_newest(entry, nth, &self.growth, self.checkpoint.clone()))
            .ok_or_else(|| Failure::Corrupt("a receipt for an entry that was not logged".to_owned()))
    }
}

impl Sqlite {
    pub(crate) async fn open_log(&self, signer: Arc<LogSigner>) -> Result<(), StoreError> {
        self.writer.open_log(signer).await
    }

    pub(crate) async fn log(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        let logged = self.writer.write_logged(Unit::Statement, |_| Ok(()), |()| entries, false);
        logged.await.map(|_| ())
    }

    /// The receipt for the outcome of an operation, under the newest checkpoint.
    pub(crate) async fn log_receipt(&self, op_id: &str) -> Result<Option<Receipt>, StoreError> {
        // One transaction, so that head and tiles belong together.
        let mut reading = self.readers.begin().map_err(|error| self.named(error))?;
        reading
            .connection()
            .and_then(|connection| receipt(connection, op_id))
            .map_err(|failure| self.named(failure))
    }

    /// A tile or bundle of the log as far as it is there; `None` if nothing is.
    pub(crate) async fn log_tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, StoreError> {
        let mut reading = self.readers.acquire().map_err(|error| self.named(error))?;
        reading
            .connection()
            .and_then(|connection| read(connection, tile))
            .map_err(|failure| self.named(failure))
    }

    /// The newest checkpoint with the proof that it continues the one of this size; `None` for an empty log.
    pub(crate) async fn log_offer(&self, old_size: u64) -> Result<Option<Offer>, StoreError> {
        let mut reading = self.readers.begin().map_err(|error| self.named(error))?;
        reading
            .connection()
            .and_then(|connection| offer(connection, old_size))
            .map_err(|failure| self.named(failure))
    }

    pub(crate) async fn log_seen(&self, peer: &str) -> Result<Option<String>, StoreError> {
        db::query_scalar("SELECT note FROM log_seen WHERE peer = ?")
            .bind(peer)
            .fetch_optional(&self.readers)
            .map_err(|error| self.named(error))
    }

    pub(crate) async fn set_log_seen(&self, peer: String, note: String) -> Result<(), StoreError> {
        let statement = "INSERT INTO log_seen (peer, note) VALUES (?1, ?2) \
                         ON CONFLICT (peer) DO UPDATE SET note = ?2";
        self.writer
            .write_statement(move |connection| {
                db::query(statement).bind(peer).bind(note).execute(connection)?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn add_receipt(
        &self,
        op_id: String,
        node: String,
        receipt: Vec<u8>,
    ) -> Result<(), StoreError> {
        let statement = "INSERT INTO receipts (op_id, node, receipt) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        self.writer
            .write(move |connection| {
                db::query(statement).bind(op_id).bind(node).bind(receipt).execute(connection)?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn receipts(&self, op_id: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        db::query_scalar("SELECT receipt FROM receipts WHERE op_id = ? ORDER BY node")
            .bind(op_id)
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))
    }

    pub(crate) async fn log_cosigned(&self) -> Result<Option<String>, StoreError> {
        db::query_scalar("SELECT note FROM log_cosigned")
            .fetch_optional(&self.readers)
            .map_err(|error| self.named(error))
    }

    pub(crate) async fn set_log_cosigned(&self, note: String) -> Result<(), StoreError> {
        let statement =
            "INSERT INTO log_cosigned (id, note) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET note = ?1";
        self.writer
            .write_statement(move |connection| {
                db::query(statement).bind(note).execute(connection)?;
                Ok(())
            })
            .await
    }

    /// The newest checkpoint.
    pub(crate) async fn log_head(&self) -> Result<Option<String>, StoreError> {
        db::query_scalar("SELECT note FROM log_head")
            .fetch_optional(&self.readers)
            .map_err(|error| self.named(error))
    }

    /// Entries from an index on.
    pub(crate) async fn log_entries(&self, from: i64, limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        entries(&self.readers, from, i64::from(limit)).map_err(|failure| self.named(failure))
    }
}

fn offer(connection: &mut Connection, old_size: u64) -> Result<Option<Offer>, Failure> {
    let corrupt = |what: String| Failure::Corrupt(format!("the audit log {what}"));
    let note: Option<String> =
        db::query_scalar("SELECT note FROM log_head").fetch_optional(&mut *connection)?;
    let Some(note) = note else { return Ok(None) };
    let head = SignedCheckpoint::parse(&note).map_err(|error| corrupt(format!("has a bad head: {error}")))?;
    // What a witness says that it saw may be more than there is.
    let old_size = old_size.min(head.claim().size());
    let mut tiles = Tiles::default();
    loop {
        let lacking = match Offer::new(old_size, head.clone(), &tiles) {
            Ok(offer) => return Ok(Some(offer)),
            Err(BuildError::Read(Lacking(tile))) => tile,
            Err(error) => return Err(corrupt(format!("proves nothing: {error}"))),
        };
        let bytes = read(&mut *connection, lacking)?;
        tiles.put(lacking, bytes.ok_or_else(|| corrupt(format!("lacks `{lacking}`")))?);
    }
}

fn receipt(connection: &mut Connection, op_id: &str) -> Result<Option<Receipt>, Failure> {
    let corrupt = |what: String| Failure::Corrupt(format!("the audit log {what}"));
    let index: Option<i64> = db::query_scalar("SELECT idx FROM log_outcomes WHERE op_id = ?")
        .bind(op_id)
        .fetch_optional(&mut *connection)?;
    let note: Option<String> =
        db::query_scalar("SELECT note FROM log_head").fetch_optional(&mut *connection)?;
    let (Some(index), Some(note)) = (index, note) else { return Ok(None) };
    let head = SignedCheckpoint::parse(&note).map_err(|error| corrupt(format!("has a bad head: {error}")))?;
    let found = entries(&mut *connection, index, 1)?;
    let entry = found.first().map(|bytes| Entry::decode(bytes));
    let Some(Ok(entry)) = entry else { return Err(corrupt(format!("has no entry {index}"))) };
    let size = head.claim().size();
    let mut wanted = edge(size);
    let index = u64::try_from(index).map_err(|_| corrupt("has an entry below 0".to_owned()))?;
    let (mut place, mut level) = (index / u64::from(TILE_WIDTH), 0_u8);
    while let Some(tile) = Tile::at(Level::Hashes(level), place, size) {
        wanted.push(tile);
        place /= u64::from(TILE_WIDTH);
        level = level.saturating_add(1);
    }
    let mut tiles = Tiles::default();
    for tile in wanted {
        if let Some(bytes) = read(connection, tile)? {
            tiles.put(tile, bytes);
        }
    }
    Receipt::new(&entry, index, head, &tiles)
        .map(Some)
        .map_err(|error| corrupt(format!("gives no receipt: {error}")))
}

fn signed_index(index: u64) -> Result<i64, Failure> {
    i64::try_from(index).map_err(|_| Failure::Corrupt("the audit log is full".to_owned()))
}

fn entries(target: impl Target, from: i64, limit: i64) -> Result<Vec<Vec<u8>>, Failure> {
    db::query_scalar("SELECT entry FROM log_entries WHERE idx >= ? ORDER BY idx LIMIT ?")
        .bind(from)
        .bind(limit)
        .fetch_all(target)
}

/// Reads what is stored and computes what is not: bundles from entries, unfinished tiles from what is below them.
fn read(connection: &mut Connection, tile: Tile) -> Result<Option<Vec<u8>>, Failure> {
    let first = signed_index(tile.index().saturating_mul(TILE_WIDTH.into()))?;
    let width = i64::from(tile.width());
    let bytes = match tile.level() {
        Level::Entries => {
            let found = entries(&mut *connection, first, width)?;
            let mut bundle = Vec::new();
            for entry in found {
                // An entry that is longer was never written.
                bundle.extend_from_slice(&u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
                bundle.extend_from_slice(&entry);
            }
            bundle
        }
        Level::Hashes(level) => {
            let stored: Option<Vec<u8>> =
                db::query_scalar("SELECT bytes FROM log_tiles WHERE level = ? AND idx = ?")
                    .bind(i64::from(level))
                    .bind(signed_index(tile.index())?)
                    .fetch_optional(&mut *connection)?;
            match (stored, level.checked_sub(1)) {
                (Some(bytes), _) => bytes,
                (None, None) => {
                    let found = entries(&mut *connection, first, width)?;
                    found.iter().flat_map(|entry| *Hash::leaf(entry).as_bytes()).collect()
                }
                (None, Some(below)) => {
                    let below: Vec<Vec<u8>> = db::query_scalar(
                        "SELECT root FROM log_tiles WHERE level = ? AND idx >= ? ORDER BY idx LIMIT ?",
                    )
                    .bind(i64::from(below))
                    .bind(first)
                    .bind(width)
                    .fetch_all(connection)?;
                    below.concat()
                }
            }
        }
    };
    Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
}

/// Whether the tiles below this one hash to what is stored as their roots.
fn roots_hold(connection: &mut Connection, tile: Tile) -> Result<bool, Failure> {
    let Level::Hashes(level) = tile.level() else { return Ok(true) };
    let Some(below) = level.checked_sub(1) else { return Ok(true) };
    let rows =
        db::query("SELECT root, bytes FROM log_tiles WHERE level = ? AND idx >= ? ORDER BY idx LIMIT ?")
            .bind(i64::from(below))
            .bind(signed_index(tile.index().saturating_mul(TILE_WIDTH.into()))?)
            .bind(i64::from(tile.width()))
            .fetch_all(connection)?;
    for row in rows {
        let (root, bytes): (Vec<u8>, Vec<u8>) = (row.try_get("root")?, row.try_get("bytes")?);
        if root_of(&bytes).as_bytes().as_slice() != root {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The root of a full tile.
fn root_of(bytes: &[u8]) -> Hash {
    let mut frontier = Frontier::new();
    for hash in bytes.as_chunks::<{ Hash::LEN }>().0 {
        frontier.push(Hash::from_bytes(*hash));
    }
    frontier.root()
}

/// The unfinished tiles and bundle of a log.
fn edge(size: u64) -> Vec<Tile> {
    let width = u64::from(TILE_WIDTH);
    let mut edge: Vec<Tile> = Tile::at(Level::Entries, size / width, size).into_iter().collect();
    let (mut count, mut level) = (size.min(MAX_SIZE), 0_u8);
    while count > 0 {
        edge.extend(Tile::at(Level::Hashes(level), count / width, size));
        count /= width;
        level = level.saturating_add(1);
    }
    edge
}

/// Tiles at hand.
#[derive(Default)]
struct Tiles(BTreeMap<(Level, u64), Vec<u8>>);

impl Tiles {
    fn put(&mut self, tile: Tile, bytes: Vec<u8>) {
        self.0.insert((tile.level(), tile.index()), bytes);
    }
}

/// A tile that should be at hand.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not there")]
struct Lacking(Tile);

impl ReadTile for Tiles {
    type Error = Lacking;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, Lacking> {
        self.0.get(&(tile.level(), tile.index())).cloned().ok_or(Lacking(tile))
    }
}

//! Reads a whole log, entries and tiles, and judges it.

use super::{Finding, History};
use crate::Hash;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::entry::{Entry, Id};
use crate::note::{LogKey, NoteError};
use crate::proof::perfect;
use crate::receipt::Receipt;
use crate::tile::{self, Level, ReadTile, TILE_WIDTH, Tile};
use crate::tree::Frontier;

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The head that the log was judged by.
    pub head: Checkpoint,
    /// Everything that is wrong; nothing when the log is as it was signed.
    pub findings: Vec<Finding>,
}

/// Why a log could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError<E> {
    /// The head is not signed by the log: nothing can be compared with it.
    #[error("the head of the log does not verify: {0}")]
    Head(NoteError),
    /// A tile or bundle could not be read at all.
    #[error("the log cannot be read: {0}")]
    Read(E),
}

/// Judges the log that `reader` reads by a head that it signed, by checkpoints that others have `seen`, and by `receipts` that it gave.
///
/// Entries and tiles are two copies of one history. Where one of them leads to the signed root, it shows what is wrong with the
/// other. Where neither does, the checkpoints seen before narrow down where the change is. Memory: 64 bytes an entry, and one bundle.
///
/// # Errors
/// [`AuditError`] when there is nothing to judge by. Everything else is a [`Finding`].
pub fn audit<R: ReadTile>(
    log: &LogKey,
    head: &SignedCheckpoint,
    reader: &R,
    seen: &[SignedCheckpoint],
    receipts: &[Receipt],
) -> Result<Report, AuditError<R::Error>> {
    // LOG.10
    let claim = head.verify(log).map_err(AuditError::Head)?;
    let size = claim.size();
    let copy = read_entries(reader, size)?;
    let tiled = read_leaves(reader, size)?;
    let mut findings = Vec::new();

    let history = match History::new(log, head.clone(), copy.upto(size).to_vec()) {
        Ok(history) => Ok(history),
        Err(_) => recover(log, head, copy.upto(size), &tiled.leaves, reader)?,
    };
    match &history {
        Ok(history) => {
            // What a wider bundle has beyond the head is of no concern, unless it is there because something was put in.
            let judged = [history.check_copy(&copy.leaves), history.check_copy(copy.upto(size))];
            findings.extend(judged.into_iter().min_by_key(Vec::len).unwrap_or_default());
            findings.extend(check_tiles(reader, history.leaves())?);
            findings.extend(history.check_seen(seen));
            let receipts = history.check_receipts(receipts).into_iter().map(|finding| match finding {
                Finding::Unproven { place } => Finding::Unproven { place: seen.len() + place },
                other => other,
            });
            findings.extend(receipts);
        }
        Err(parts) => {
            findings.extend(tiled.damaged);
            findings.extend(narrow(log, claim, copy.upto(size), seen, parts));
        }
    }
    // Bytes that are no entry are the log's fault only where they are what was signed.
    let signed = |index: &u64| {
        let index = usize::try_from(*index).ok();
        let leaf = |all: &[Hash]| index.and_then(|index| all.get(index).copied());
        history.as_ref().is_ok_and(|history| leaf(history.leaves()) == leaf(&copy.leaves))
    };
    let strange = copy.strange.iter().filter(|(index, _)| *index < size && signed(index));
    findings.extend(strange.map(|(index, reason)| Finding::NotAnEntry { index: *index, reason: *reason }));
    Ok(Report { head: claim.clone(), findings })
}

/// Operations in `expected` that no entry names: others prove that the node took part in them, and it did not log that.
pub fn unlogged<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
    expected: impl IntoIterator<Item = Id>,
) -> Vec<Finding> {
    // LOG.14
    let mut missing: std::collections::BTreeSet<Id> = expected.into_iter().collect();
    for entry in entries {
        if let Some(operation) = entry.operation_id() {
            missing.remove(operation);
        }
    }
    missing.into_iter().map(|operation| Finding::Unlogged { operation }).collect()
}

/// The entries as they were read: their hashes, and which of them cannot be decoded.
#[derive(Default)]
struct Copied {
    leaves: Vec<Hash>,
    strange: Vec<(u64, crate::entry::EntryError)>,
}

impl Copied {
    fn upto(&self, size: u64) -> &[Hash] {
        usize::try_from(size).ok().and_then(|size| self.leaves.get(..size)).unwrap_or(&self.leaves)
    }
}

/// Tiles of one level in a log of `size` entries.
fn tiles(level: Level, size: u64) -> impl Iterator<Item = Tile> {
    (0..level.count(size).div_ceil(u64::from(TILE_WIDTH)))
        .filter_map(move |index| Tile::at(level, index, size))
}

/// Reads the bundles, and of damaged ones what can be read: what is missing then shows in the comparison.
fn read_entries<R: ReadTile>(reader: &R, size: u64) -> Result<Copied, AuditError<R::Error>> {
    let mut copied = Copied::default();
    for bundle in tiles(Level::Entries, size) {
        let bytes = reader.tile(bundle).map_err(AuditError::Read)?;
        for entry in tile::readable_entries(&bytes) {
            if let Err(reason) = Entry::decode(entry) {
                copied.strange.push((u64::try_from(copied.leaves.len()).unwrap_or(u64::MAX), reason));
            }
            copied.leaves.push(Hash::leaf(entry));
        }
    }
    Ok(copied)
}

/// The leaf hashes as the tiles have them, and the tiles that are damaged.
#[derive(Default)]
struct Tiled {
    leaves: Vec<Hash>,
    damaged: Vec<Finding>,
}

/// Reads the tiles of leaf hashes; a damaged one counts as empty.
fn read_leaves<R: ReadTile>(reader: &R, size: u64) -> Result<Tiled, AuditError<R::Error>> {
    let mut tiled = Tiled::default();
    for tile in tiles(Level::Hashes(0), size) {
        let bytes = reader.tile(tile).map_err(AuditError::Read)?;
        match tile::hashes(tile, &bytes) {
            Ok(hashes) => tiled.leaves.extend(hashes),
            Err(_) => tiled.damaged.push(Finding::Tile(tile)),
        }
    }
    Ok(tiled)
}

/// Makes every tile anew from authentic leaves and compares.
fn check_tiles<R: ReadTile>(reader: &R, leaves: &[Hash]) -> Result<Vec<Finding>, AuditError<R::Error>> {
    let mut findings = Vec::new();
    let size = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
    let mut hashes = leaves.to_vec();
    for level in 0..=u8::MAX {
        for (tile, expected) in tiles(Level::Hashes(level), size).zip(hashes.chunks(usize::from(TILE_WIDTH)))
        {
            let bytes = reader.tile(tile).map_err(AuditError::Read)?;
            if tile::hashes(tile, &bytes).as_deref() != Ok(expected) {
                findings.push(Finding::Tile(tile));
            }
        }
        hashes = hashes.chunks_exact(usize::from(TILE_WIDTH)).map(perfect).collect();
        if hashes.is_empty() {
            break;
        }
    }
    Ok(findings)
}

/// A stretch of entries, the first and the one after the last.
type Stretch = (u64, u64);

/// The entries do not lead to the signed root. The tiles of leaf hashes may, or a mixture of both that the hashes above them choose. `Err`
/// has the stretches in which neither is right, as far as the tiles above tell.
fn recover<R: ReadTile>(
    log: &LogKey,
    head: &SignedCheckpoint,
    copy: &[Hash],
    tiled: &[Hash],
    reader: &R,
) -> Result<Result<History, Vec<Stretch>>, AuditError<R::Error>> {
    if let Ok(history) = History::new(log, head.clone(), tiled.to_vec()) {
        return Ok(Ok(history));
    }
    let (size, width) = (head.claim().size(), usize::from(TILE_WIDTH));
    let mut parents = Vec::new();
    for tile in tiles(Level::Hashes(1), size) {
        let bytes = reader.tile(tile).map_err(AuditError::Read)?;
        parents.extend(tile::hashes(tile, &bytes).unwrap_or_default());
    }
    let mut frontier = Frontier::new();
    parents.iter().for_each(|parent| frontier.push(*parent));
    let full = parents.len().saturating_mul(width);
    // What follows the last full tile has no hash above it: whichever copy leads to the signed root is right.
    let rests = [tiled, copy].map(|leaves| leaves.get(full..).unwrap_or_default());
    let right = |rest: &&&[Hash]| {
        let mut end = Frontier::new();
        rest.iter().for_each(|leaf| end.push(*leaf));
        frontier.join(end.join(None)) == Some(*head.claim().root())
    };
    let Some(rest) = rests.iter().find(right) else { return Ok(Err(Vec::new())) };

    let (mut leaves, mut stretches) = (Vec::new(), Vec::new());
    for (number, parent) in parents.iter().enumerate() {
        let start = number * width;
        let parts = [tiled, copy].map(|leaves| leaves.get(start..start + width).unwrap_or_default());
        match parts.iter().find(|part| part.len() == width && perfect(part) == *parent) {
            Some(part) => leaves.extend_from_slice(part),
            None => stretches.extend(u64::try_from(start).ok().zip(u64::try_from(start + width).ok())),
        }
    }
    leaves.extend_from_slice(rest);
    Ok(History::new(log, head.clone(), leaves).map_err(|_| stretches))
}

/// No authentic copy: the tiles above may have named the stretches. Else the largest checkpoint whose root the copy still has says
/// where the trouble begins, and the next one where it is at the latest.
fn narrow(
    log: &LogKey,
    head: &Checkpoint,
    copy: &[Hash],
    seen: &[SignedCheckpoint],
    stretches: &[Stretch],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut signed = vec![head];
    for (place, checkpoint) in seen.iter().enumerate() {
        match checkpoint.verify(log) {
            Ok(seen) if seen.size() > head.size() => {
                findings.push(Finding::Rollback { seen: seen.size(), now: head.size() });
            }
            Ok(seen) => signed.push(seen),
            Err(_) => findings.push(Finding::Unproven { place }),
        }
    }
    if !stretches.is_empty() {
        findings.extend(stretches.iter().map(|(from, to)| Finding::Unlocated { from: *from, to: *to }));
        return findings;
    }
    signed.sort_by_key(|checkpoint| checkpoint.size());
    let mut frontier = Frontier::new();
    let mut leaves = copy.iter();
    let mut from = 0;
    for checkpoint in signed {
        while frontier.size() < checkpoint.size()
            && let Some(leaf) = leaves.next()
        {
            frontier.push(*leaf);
        }
        if frontier.size() < checkpoint.size() || frontier.root() != *checkpoint.root() {
            findings.push(Finding::Unlocated { from, to: checkpoint.size() });
            break;
        }
        from = checkpoint.size();
    }
    findings
}

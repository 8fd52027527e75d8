//! The leaf hashes of a log under a signed root: what copies, checkpoints and receipts are compared with.

use super::Finding;
use super::diff::diff;
use crate::Hash;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::evidence::ForkEvidence;
use crate::note::{LogKey, NoteError};
use crate::proof::{Nodes, consistency, perfect};
use crate::receipt::Receipt;
use crate::tree::Frontier;
use crate::witness::WitnessPolicy;

/// The leaf hashes of all entries of a log, proven by a checkpoint that the log signed.
#[derive(Clone, Debug)]
pub struct History {
    log: LogKey,
    head: SignedCheckpoint,
    leaves: Vec<Hash>,
}

/// Why leaf hashes are not those of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The checkpoint is not signed by the log.
    #[error("the checkpoint does not verify: {0}")]
    Head(#[from] NoteError),
    /// There are more or fewer leaves than the checkpoint says, or they lead to another root.
    #[error("the leaf hashes do not lead to the root of the checkpoint")]
    Root,
}

impl History {
    /// Checks the log's signature and that the leaves lead to the signed root.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn new(log: &LogKey, head: SignedCheckpoint, leaves: Vec<Hash>) -> Result<Self, HistoryError> {
        let claim = head.verify(log)?;
        if u64::try_from(leaves.len()) != Ok(claim.size()) || root(&leaves) != *claim.root() {
            return Err(HistoryError::Root);
        }
        Ok(Self { log: log.clone(), head, leaves })
    }

    /// The head that proves it.
    pub const fn head(&self) -> &Checkpoint {
        self.head.claim()
    }

    /// The leaf hashes in their order.
    pub fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    /// Compares a copy of the log, given as the leaf hashes of its entries, with what was signed. Empty when it is the same.
    pub fn check_copy(&self, copy: &[Hash]) -> Vec<Finding> {
        // LOG.11
        diff(&self.leaves, copy)
    }

    /// Compares checkpoints that others have seen with this history: each must be of its past.
    pub fn check_seen(&self, seen: &[SignedCheckpoint]) -> Vec<Finding> {
        // LOG.12
        let mut findings = Vec::new();
        let mut proven = Vec::new();
        for (place, checkpoint) in seen.iter().enumerate() {
            match checkpoint.verify(&self.log) {
                Ok(claim) => proven.push((claim, checkpoint)),
                Err(_) => findings.push(Finding::Unproven { place }),
            }
        }
        proven.sort_by_key(|(claim, _)| claim.size());
        let mut frontier = Frontier::new();
        let mut leaves = self.leaves.iter();
        for (claim, checkpoint) in proven {
            if claim.size() > self.head().size() {
                findings.push(Finding::Rollback { seen: claim.size(), now: self.head().size() });
                continue;
            }
            while frontier.size() < claim.size()
                && let Some(leaf) = leaves.next()
            {
                frontier.push(*leaf);
            }
            if frontier.root() != *claim.root() {
                findings.push(Finding::Fork { index: None, evidence: Box::new(self.contradict(checkpoint)) });
            }
        }
        findings
    }

    /// Compares receipts of this log's owner with this history: each entry must stand where its receipt says.
    pub fn check_receipts(&self, receipts: &[Receipt]) -> Vec<Finding> {
        // LOG.13
        let (mut findings, mut heads) = (Vec::new(), Vec::new());
        for (place, receipt) in receipts.iter().enumerate() {
            let Ok(logged) = receipt.verify(&self.log, &WitnessPolicy::none()) else {
                findings.push(Finding::Unproven { place });
                continue;
            };
            let leaf = logged.entry.leaf_hash();
            let here = usize::try_from(logged.index).ok().and_then(|index| self.leaves.get(index));
            let covered = logged.checkpoint.size() <= self.head().size();
            if covered && here.is_some_and(|here| *here != leaf) {
                let evidence = Box::new(self.contradict(receipt.checkpoint()));
                findings.push(Finding::Fork { index: Some(logged.index), evidence });
            } else {
                heads.push(receipt.checkpoint().clone());
            }
        }
        // The entry may stand where it should and others may not.
        findings.extend(self.check_seen(&heads));
        findings
    }

    /// Compares two histories of one log. `None` when one is the beginning of the other; else the first entry in which they differ, with
    /// the evidence.
    pub fn compare(&self, other: &Self) -> Option<Finding> {
        let place = self.leaves.iter().zip(&other.leaves).position(|(a, b)| a != b)?;
        let (longer, shorter) =
            if self.leaves.len() >= other.leaves.len() { (self, other) } else { (other, self) };
        let evidence = Box::new(longer.contradict(&shorter.head));
        Some(Finding::Fork { index: u64::try_from(place).ok(), evidence })
    }

    /// The evidence that an older checkpoint, or one of the same size, contradicts the head.
    fn contradict(&self, older: &SignedCheckpoint) -> ForkEvidence {
        let (old, size) = (older.claim().size(), self.head().size());
        let path = if old == size { Vec::new() } else { path(&self.leaves, old, size) };
        ForkEvidence::new(older.clone(), self.head.clone(), path)
    }
}

/// The root over leaf hashes.
fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

fn path(leaves: &[Hash], old: u64, size: u64) -> Vec<Hash> {
    // Every subtree that is asked for is inside, since there are `size` leaves; without a path the evidence proves nothing.
    consistency(&mut Leaves(leaves), old, size, true).unwrap_or_default()
}

struct Leaves<'a>(&'a [Hash]);

impl Nodes for Leaves<'_> {
    type Error = ();

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, ()> {
        let width = 1_usize.checked_shl(height).ok_or(())?;
        let start = usize::try_from(index).map_err(|_| ())?.checked_mul(width).ok_or(())?;
        let end = start.checked_add(width).ok_or(())?;
        self.0.get(start..end).map(perfect).ok_or(())
    }
}

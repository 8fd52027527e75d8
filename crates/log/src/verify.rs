//! The auditor: says which record of a log is missing, changed, moved or invented, and whether the log shows two histories.

mod audit;
mod diff;
mod history;

use std::fmt;

pub use audit::{AuditError, Report, audit, unlogged};
pub use history::{History, HistoryError};

use crate::entry::{EntryError, Id};
use crate::evidence::ForkEvidence;
use crate::tile::Tile;

/// One thing that is wrong with a log. Indexes count entries from 0.
///
/// `index` is a place in the history that was signed; `found` a place in the copy that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The entry that was signed here is not in the copy.
    Missing {
        /// Its place.
        index: u64,
    },
    /// The copy has another entry in the place of this one.
    Changed {
        /// Its place.
        index: u64,
    },
    /// The entry stands elsewhere in the copy.
    Moved {
        /// Its place.
        index: u64,
        /// Where it stands.
        found: u64,
    },
    /// The copy has an entry that was never signed.
    Inserted {
        /// Where it stands.
        found: u64,
    },
    /// The copy ends early.
    Truncated {
        /// The first entry that is not there.
        index: u64,
        /// How many are not there.
        count: u64,
    },
    /// Something in this stretch is not what was signed, and there is no authentic copy that shows what.
    Unlocated {
        /// First entry that may be wrong: before it, all is as signed.
        from: u64,
        /// The entry after the last that may be wrong.
        to: u64,
    },
    /// The log has bytes here that are no entry, although they are what was signed.
    NotAnEntry {
        /// Its place.
        index: u64,
        /// What is wrong with it.
        reason: EntryError,
    },
    /// A tile is damaged, or its hashes are not those of what is below it.
    Tile(Tile),
    /// A checkpoint or receipt that was given to compare with is not of this log, or its signatures or proof do not hold.
    Unproven {
        /// Its place among those given, receipts counted after checkpoints.
        place: usize,
    },
    /// The log is smaller than it was when it signed an earlier checkpoint.
    Rollback {
        /// Entries it had.
        seen: u64,
        /// Entries it has.
        now: u64,
    },
    /// The log has signed two histories.
    Fork {
        /// The first entry in which they are known to differ; `None` when only the roots are known.
        index: Option<u64>,
        /// What convinces others.
        evidence: Box<ForkEvidence>,
    },
    /// Others prove that the node took part in this operation, and its log does not have it.
    Unlogged {
        /// The operation.
        operation: Id,
    },
}

/// In words, for people.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { index } => write!(f, "entry {index} is missing"),
            Self::Changed { index } => write!(f, "entry {index} was changed"),
            Self::Moved { index, found } => write!(f, "entry {index} was moved to place {found}"),
            Self::Inserted { found } => write!(f, "an entry that was never signed stands at place {found}"),
            Self::Truncated { index, count } => {
                write!(f, "the log was cut: entry {index} and what follows are missing, {count} in all")
            }
            Self::Unlocated { from, to } => {
                write!(f, "among the entries from {from} up to {to} something is not as it was signed")
            }
            Self::NotAnEntry { index, reason } => {
                write!(f, "what was logged at {index} is no entry: {reason}")
            }
            Self::Tile(tile) => write!(f, "`{tile}` is damaged"),
            Self::Unproven { place } => {
                write!(f, "number {place} of what was given to compare with proves nothing")
            }
            Self::Rollback { seen, now } => write!(f, "the log went back from {seen} to {now} entries"),
            Self::Fork { index: Some(index), .. } => {
                write!(f, "the log was signed with two histories, which differ at entry {index}")
            }
            Self::Fork { index: None, evidence } => {
                let (old, new) = (evidence.smaller().claim().size(), evidence.larger().claim().size());
                write!(f, "the log was signed with two histories, at {old} and at {new} entries")
            }
            Self::Unlogged { operation } => {
                write!(f, "operation `{operation}` ran, and the log does not have it")
            }
        }
    }
}

//! The auditor: says which record of a log is missing, changed, moved or invented, and whether the log shows two histories.

mod audit;
mod diff;
mod history;

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

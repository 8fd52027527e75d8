//! What can go wrong, and what to do about it.

use std::path::PathBuf;

/// Why a record could not be read or written. Texts of the backend are kept as text, so that one failed commit can
/// answer everyone who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process, or another [`Store`](crate::Store) in this one, has the folder open.
    #[error("data folder `{}` is in use by another process: stop that one first", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The database is damaged, cut, or not a database of this program. Found when opening, nothing was changed in it.
    #[error(
        "database `{}` is damaged or cut ({detail}): keep a copy of the folder and restore it from a backup",
        path.display()
    )]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The folder had a database, and now it is gone or empty.
    #[error(
        "database `{}` is gone though this folder had one: put it back or restore the folder from a backup",
        path.display()
    )]
    Missing {
        /// The database file.
        path: PathBuf,
    },
    /// The database was written by a newer program.
    #[error(
        "database `{}` has schema {found}, this program knows {known}: use the newer program again",
        path.display()
    )]
    SchemaNewer {
        /// The database file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema this program knows.
        known: i64,
    },
    /// Something else holds the database for too long.
    #[error("database is busy ({detail}): close other programs that have it open and try again")]
    Busy {
        /// What the backend said.
        detail: String,
    },
    /// There is no room to write.
    #[error("disk is full ({detail}): free some space and try again")]
    DiskFull {
        /// What the backend said.
        detail: String,
    },
    /// Reading or writing failed below the database.
    #[error(
        "cannot read or write the data folder ({detail}): check the disk and the permissions of the folder"
    )]
    Io {
        /// What the operating system or the backend said.
        detail: String,
    },
    /// The store was closed, or its writer is gone.
    #[error("store is closed: start the node again")]
    Closed,
    /// Something is to be logged before the audit log was opened.
    #[error("the audit log is not open: this is a bug")]
    NoLog,
    /// There is no such record.
    #[error("{what} `{id}` does not exist")]
    NotFound {
        /// Which kind of record.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// There is such a record already.
    #[error("{what} `{id}` exists already")]
    Exists {
        /// Which kind of record.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The record is not in the state that the caller saw. Nothing was written.
    #[error("{what} `{id}` is `{found}`, not `{expected}`: read it again")]
    Changed {
        /// Which kind of record.
        what: &'static str,
        /// Its id.
        id: String,
        /// What the caller expected.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The state machine has no such step. Nothing was written.
    #[error("{what} `{id}` cannot go from `{from}` to `{to}`")]
    Transition {
        /// Which kind of record.
        what: &'static str,
        /// Its id.
        id: String,
        /// The state it is in.
        from: &'static str,
        /// The state asked for.
        to: &'static str,
    },
    /// A value is longer than the store takes.
    #[error("{what} is {len} bytes long: at most {max} are allowed")]
    TooLong {
        /// Which value.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// A value is empty or outside what the store can hold.
    #[error("{what} is empty or out of range")]
    OutOfRange {
        /// Which value.
        what: &'static str,
    },
    /// The backend refused for a reason that should not occur.
    #[error("database refused the statement ({detail}): please report this")]
    Backend {
        /// What the backend said.
        detail: String,
    },
}

impl StoreError {
    /// Whether the failed write may be on the disk all the same: the answer to the commit was lost. Reads and
    /// refusals (`Changed`, `Exists`, `TooLong`, …) never leave anything behind.
    #[must_use]
    pub fn may_have_been_written(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::DiskFull { .. }
                | Self::Io { .. }
                | Self::Closed
                | Self::Corrupt { .. }
                | Self::Backend { .. }
        )
    }

    /// Whether the same call may succeed a little later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::DiskFull { .. })
    }
}

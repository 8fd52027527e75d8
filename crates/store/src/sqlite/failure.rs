//! From what SQLite says to what a person can do.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::StoreError;

/// Why a statement failed, before the file is named.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store's own refusal.
    Refused(StoreError),
    /// The database's.
    Sql(rusqlite::Error),
    /// A field holds what was never written.
    Row(&'static str),
    /// The file is not what it should be.
    Corrupt(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Failure {
    /// Whether the connection is in doubt and everything waiting on it must fail. A refusal, or a broken rule of the
    /// schema, concerns one write only.
    pub(crate) fn is_fatal(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Row(_) => false,
            Self::Sql(error) => error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation),
            Self::Corrupt(_) => true,
        }
    }

    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sql(error) if matches!(extended(error), Some(CONSTRAINT_UNIQUE | CONSTRAINT_PRIMARYKEY)))
    }

    /// The error for the caller, with the file's name where it helps.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        let corrupt = |detail| StoreError::Corrupt { path: path.to_owned(), detail };
        match self {
            Self::Refused(error) => error,
            Self::Row(field) => corrupt(format!("field `{field}` holds what was never written")),
            Self::Corrupt(detail) => corrupt(detail),
            Self::Sql(error) => {
                let detail = error.to_string();
                // "disk I/O error" would send the reader to the disk, but the file is too short.
                if extended(&error) == Some(IOERR_SHORT_READ) {
                    return corrupt(detail);
                }
                match error.sqlite_error().map(|error| error.extended_code & 0xff) {
                    Some(CORRUPT | NOTADB | FORMAT) => corrupt(detail),
                    Some(BUSY | LOCKED | PROTOCOL) => StoreError::Busy { detail },
                    Some(FULL) => StoreError::DiskFull { detail },
                    Some(IOERR | CANTOPEN | READONLY | PERM | NOMEM) => StoreError::Io { detail },
                    _ => StoreError::Backend { detail },
                }
            }
        }
    }
}

// Primary result codes, https://www.sqlite.org/rescode.html
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const FORMAT: i32 = 24;
const NOTADB: i32 = 26;
// Extended ones.
const IOERR_SHORT_READ: i32 = 522;
const CONSTRAINT_PRIMARYKEY: i32 = 1555;
const CONSTRAINT_UNIQUE: i32 = 2067;

fn extended(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

//! From what SQLite says to what a person can do.

use std::path::Path;

use sqlx::migrate::MigrateError;

use crate::{StoreError, folder};

/// Why a statement failed, before the file is named.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store's own refusal.
    Refused(StoreError),
    /// The database's.
    Sql(sqlx::Error),
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

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::Sql(error),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

impl Failure {
    /// Whether the connection is in doubt and everything waiting on it must fail. A refusal, or a broken rule of the
    /// schema, concerns one write only.
    pub(crate) fn is_fatal(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Row(_) => false,
            Self::Sql(sqlx::Error::Database(error)) => primary_code(error.as_ref()) != Some(CONSTRAINT),
            Self::Sql(_) | Self::Corrupt(_) => true,
        }
    }

    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// The error for the caller, with the file's name where it helps.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        let corrupt = |detail| StoreError::Corrupt { path: path.to_owned(), detail };
        match self {
            Self::Refused(error) => error,
            Self::Row(field) => corrupt(format!("field `{field}` holds what was never written")),
            Self::Corrupt(detail) => corrupt(detail),
            Self::Sql(sqlx::Error::Database(error)) => {
                let detail = error.message().to_owned();
                // "disk I/O error" would send the reader to the disk, but the file is too short.
                if code(error.as_ref()) == Some(IOERR_SHORT_READ) {
                    return corrupt(detail);
                }
                match primary_code(error.as_ref()) {
                    Some(CORRUPT | NOTADB | FORMAT) => corrupt(detail),
                    Some(BUSY | LOCKED | PROTOCOL) => StoreError::Busy { detail },
                    Some(FULL) => StoreError::DiskFull { detail },
                    Some(IOERR | CANTOPEN | READONLY | PERM | NOMEM) => StoreError::Io { detail },
                    _ => StoreError::Backend { detail },
                }
            }
            Self::Sql(sqlx::Error::Io(error)) => folder::io(path, &error),
            Self::Sql(sqlx::Error::PoolTimedOut) => {
                StoreError::Busy { detail: "every reading connection is in use".to_owned() }
            }
            Self::Sql(sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed) => StoreError::Closed,
            Self::Sql(
                error @ (sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnNotFound(_)),
            ) => corrupt(error.to_string()),
            Self::Sql(error) => StoreError::Backend { detail: error.to_string() },
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
const CONSTRAINT: i32 = 19;
const FORMAT: i32 = 24;
const NOTADB: i32 = 26;
// An extended one.
const IOERR_SHORT_READ: i32 = 522;

fn code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    error.code()?.parse().ok()
}

/// The low byte of the extended code.
fn primary_code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    Some(code(error)? & 0xff)
}

//! The embedded backend: one SQLite file in WAL mode.
//!
//! All writes go through one connection (see `writer`), reads through a few others that cannot write. Opening looks
//! at the file before anything could change it (see `check`).

mod audit;
mod check;
mod failure;
mod governance;
mod keys;
mod log;
mod marks;
mod migrations;
mod moving;
mod operations;
mod outbox;
mod restored;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use self::failure::Failure;
use self::writer::Writer;
use crate::StoreError;
use crate::fault::Faults;
use crate::folder::Folder;

/// How long a statement waits for another program that has the file locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// The backend. Dropping it lets queued writes finish in the background; [`Sqlite::close`] waits for them.
#[derive(Debug)]
pub(crate) struct Sqlite {
    path: Arc<Path>,
    readers: SqlitePool,
    writer: Writer,
    /// What was to be erased may be left in the log.
    must_erase: AtomicBool,
}

impl Sqlite {
    /// Opens the file in a locked folder, and makes it if the folder never had one.
    pub(crate) async fn open(folder: Folder, path: &Path, faults: Faults) -> Result<Self, StoreError> {
        let path: Arc<Path> = Arc::from(path);
        let marked = folder.is_marked()?;
        if check::is_absent_or_empty(&path)? {
            if marked {
                return Err(StoreError::Missing { path: path.to_path_buf() });
            }
            folder.create_file(&path)?;
        } else {
            check::header(&path)?;
            check::content(&path, marked).await?;
        }
        let named = |failure: Failure| failure.at(&path);
        let mut connection =
            writer_options(&path).connect().await.map_err(|error| named(Failure::from(error)))?;
        migrations::run(&mut connection).await.map_err(named)?;
        // What a crash left in the log may be what a finished commit was to erase.
        writer::fold(&mut connection).await.map_err(named)?;
        if !marked {
            folder.mark()?;
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            // There is no network that could have closed it: asking costs as much as the read itself.
            .test_before_acquire(false)
            .connect_with(reader_options(&path))
            .await
            .map_err(|error| named(Failure::from(error)))?;
        let writer = Writer::start(connection, Arc::clone(&path), folder, faults);
        Ok(Self { path, readers, writer, must_erase: AtomicBool::new(false) })
    }

    /// Waits for the queued writes, folds the log into the file, and gives the folder free.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// See [`Store::erase_replaced`](crate::Store::erase_replaced).
    pub(crate) async fn erase_replaced(&self) -> Result<bool, StoreError> {
        let folded = self.writer.fold().await;
        self.must_erase.store(!matches!(folded, Ok(true)), Ordering::Relaxed);
        folded
    }

    /// See [`Store::failed_writes`](crate::Store::failed_writes).
    pub(crate) fn failed_writes(&self) -> u64 {
        self.writer.failed()
    }

    fn named(&self, failure: impl Into<Failure>) -> StoreError {
        failure.into().at(&self.path)
    }
}

fn base_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging()
}

fn writer_options(path: &Path) -> SqliteConnectOptions {
    base_options(path)
        .journal_mode(SqliteJournalMode::Wal)
        // Without FULL a commit would be acknowledged before it is on the disk.
        .synchronous(SqliteSynchronous::Full)
        // What is deleted or replaced (a destroyed share) is overwritten with zeros.
        .pragma("secure_delete", "ON")
}

fn reader_options(path: &Path) -> SqliteConnectOptions {
    base_options(path).pragma("query_only", "ON")
}

/// Opens the file so that nothing can change it. Without a log the file is taken as it is, else SQLite would leave an
/// empty log behind.
async fn with_read_only<T>(
    path: &Path,
    has_log: bool,
    look: impl AsyncFnOnce(&mut sqlx::SqliteConnection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut connection = base_options(path).read_only(true).immutable(!has_log).connect().await?;
    let found = look(&mut connection).await;
    connection.close().await?;
    found
}

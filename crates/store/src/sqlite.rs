//! The embedded backend: one SQLite file in WAL mode.
//!
//! All writes go through one connection (see `writer`), reads through a few others that cannot write. Opening looks
//! at the file before anything could change it (see `check`).

mod audit;
mod check;
mod db;
mod failure;
mod governance;
mod keys;
mod log;
mod marks;
mod migrations;
mod moving;
mod operations;
mod outbox;
mod proofs;
mod restored;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::db::{Connection, Readers};
use self::failure::Failure;
use self::writer::Writer;
use crate::StoreError;
use crate::fault::Faults;
use crate::folder::Folder;

/// The backend. Dropping it lets queued writes finish in the background; [`Sqlite::close`] waits for them.
#[derive(Debug)]
pub(crate) struct Sqlite {
    path: Arc<Path>,
    readers: Readers,
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
            check::content(&path, marked)?;
        }
        let named = |failure: Failure| failure.at(&path);
        let mut connection = Connection::writer(&path).map_err(named)?;
        migrations::run(&mut connection).map_err(named)?;
        // What a crash left in the log may be what a finished commit was to erase.
        writer::fold(&mut connection).map_err(named)?;
        if !marked {
            folder.mark()?;
        }
        let readers = Readers::open(Arc::clone(&path)).map_err(named)?;
        let writer = Writer::start(connection, Arc::clone(&path), folder, faults)?;
        Ok(Self { path, readers, writer, must_erase: AtomicBool::new(false) })
    }

    /// Waits for the queued writes, folds the log into the file, and gives the folder free.
    pub(crate) async fn close(&self) {
        self.readers.close();
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

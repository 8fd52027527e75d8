//! The data folder: one lock, and a mark that says that a database must be there.
//!
//! The mark is the content of the lock file. Without it a database cut to nothing would look like a new folder, and
//! every burn mark would be forgotten in silence.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::StoreError;

const LOCK_FILE: &str = "store.lock";
const MARK: &[u8] = b"this folder has a database\n";

/// A locked data folder. The lock goes when this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
}

/// A child of this process that was forked and has not come to its own program yet holds the file open as well, and closing ours
/// alone would leave the folder locked until then.
impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(folder = %self.path.display(), %error, "the lock of the data folder is not given back before this process ends");
        }
    }
}

impl Folder {
    /// Makes the folder if it is not there, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, StoreError> {
        create_private(path).map_err(|error| io(path, &error))?;
        let lock_path = path.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private_mode(&mut options);
        let lock = options.open(&lock_path).map_err(|error| io(&lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { folder: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(io(&lock_path, &error)),
        }
    }

    /// Whether the folder once had a database.
    pub(crate) fn is_marked(&self) -> Result<bool, StoreError> {
        let mut lock = &self.lock;
        let mut content = Vec::new();
        lock.rewind().map_err(|error| io(&self.path, &error))?;
        lock.take(64).read_to_end(&mut content).map_err(|error| io(&self.path, &error))?;
        Ok(content == MARK)
    }

    /// Marks the folder, and syncs the mark.
    pub(crate) fn mark(&self) -> Result<(), StoreError> {
        let write = || {
            let mut lock = &self.lock;
            lock.rewind()?;
            lock.write_all(MARK)?;
            lock.sync_all()?;
            sync_folder(&self.path)
        };
        write().map_err(|error| io(&self.path, &error))
    }

    /// Makes an empty file that only its owner may read. The backend gives its other files the same rights.
    pub(crate) fn create_file(&self, file: &Path) -> Result<(), StoreError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        private_mode(&mut options);
        let create = || {
            options.open(file)?.sync_all()?;
            sync_folder(&self.path)
        };
        create().map_err(|error| io(file, &error))
    }
}

#[cfg(unix)]
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(unix)]
fn private_mode(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private_mode(_: &mut OpenOptions) {}

/// A new name in a folder is durable only when the folder is synced.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

pub(crate) fn io(path: &Path, error: &std::io::Error) -> StoreError {
    let detail = format!("`{}`: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            StoreError::DiskFull { detail }
        }
        _ => StoreError::Io { detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_goes_with_the_folder_though_a_copy_of_its_file_is_open() {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::lock(path.path()).unwrap();
        // What a child has between its fork and its own program.
        let copy = folder.lock.try_clone().unwrap();
        assert!(matches!(Folder::lock(path.path()), Err(StoreError::Locked { .. })));
        drop(folder);
        Folder::lock(path.path()).unwrap();
        drop(copy);
    }
}

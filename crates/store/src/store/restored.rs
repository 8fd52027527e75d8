//! The door to restored shares.

use quorate_log::entry::Entry;

use super::{Backend, Store};
use crate::{Restored, StoreError};

impl Store {
    /// Keeps a share that came out of a backup, in place of what was restored of the key before; `entry` is logged in the same commit.
    /// Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::OutOfRange`], [`StoreError::NoLog`] and those of the backend.
    pub async fn keep_restored(&self, share: Restored, entry: Entry) -> Result<(), StoreError> {
        share.check()?;
        ask!(self, keep_restored(share, entry))
    }

    /// The one of a key, by the name that clients use.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn restored_of(&self, key: &str) -> Result<Option<Restored>, StoreError> {
        ask!(self, restored_of(key))
    }

    /// All of them, in order of key.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn restored(&self) -> Result<Vec<Restored>, StoreError> {
        ask!(self, restored())
    }
}

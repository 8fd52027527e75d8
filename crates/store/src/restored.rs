//! Shares that came out of backups and wait to be moved.

use crate::{StoreError, limits};

/// A share that came out of a backup. Nothing signs with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The key as clients name it.
    pub key: String,
    /// The identity of the key, as it was fixed at birth, in hexadecimal.
    pub key_id: String,
    /// The epoch of the share.
    pub epoch: u64,
    /// Whose share it was.
    pub party: u64,
    /// Public bytes about it.
    pub record: Vec<u8>,
    /// The sealed share.
    pub sealed_share: Vec<u8>,
    /// When it was restored, in milliseconds since the Unix epoch.
    pub restored_at: u64,
}

impl Restored {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        limits::id("key", self.key.as_bytes())?;
        limits::id("key id", self.key_id.as_bytes())?;
        limits::signed("epoch", self.epoch)?;
        limits::signed("party", self.party)?;
        limits::signed("time", self.restored_at)?;
        limits::blob("key record", &self.record)?;
        limits::blob("sealed share", &self.sealed_share)
    }
}

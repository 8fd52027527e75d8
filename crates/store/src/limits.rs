//! Bounds on what is stored, checked before a write is queued.

use crate::StoreError;

/// The longest id, name or peer in bytes.
pub const MAX_ID_LEN: usize = 256;

/// The longest blob, request, result or record in bytes: a sealed blob of 16 MiB and a little more.
pub const MAX_BLOB_LEN: usize = 16 * 1024 * 1024 + 1024;

pub(crate) fn id(what: &'static str, bytes: &[u8]) -> Result<(), StoreError> {
    if bytes.is_empty() {
        return Err(StoreError::OutOfRange { what });
    }
    within(what, bytes, MAX_ID_LEN)
}

pub(crate) fn blob(what: &'static str, bytes: &[u8]) -> Result<(), StoreError> {
    within(what, bytes, MAX_BLOB_LEN)
}

fn within(what: &'static str, bytes: &[u8], max: usize) -> Result<(), StoreError> {
    if bytes.len() > max {
        return Err(StoreError::TooLong { what, len: bytes.len(), max });
    }
    Ok(())
}

/// Databases know signed numbers only.
pub(crate) fn signed(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::OutOfRange { what })
}

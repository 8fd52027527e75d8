//! How often something was used that may be used only so often.

use crate::{StoreError, limits};

/// So many more uses of a key in one of its epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uses {
    /// The key.
    pub key_id: String,
    /// The epoch of that key.
    pub epoch: u64,
    /// How many.
    pub count: u64,
}

impl Uses {
    pub(crate) fn checked(self) -> Result<(String, i64, i64), StoreError> {
        limits::id("key id", self.key_id.as_bytes())?;
        Ok((self.key_id, limits::signed("epoch", self.epoch)?, limits::signed("uses", self.count)?))
    }
}

//! The state of keys beside their status, and the orders that it follows from.

use crate::{KeyStatus, StoreError, limits};

/// Longest mark of a state.
const MAX_MARK: usize = 64;

/// What is kept of a key's state beside its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyState {
    /// How many orders about its state the key has had: the largest number among them.
    pub acts: u64,
    /// When this node was told that the private key is outside of its shares, in milliseconds since the Unix epoch. Never forgotten.
    pub exposed_at: Option<u64>,
    /// When its share is to be erased, in milliseconds since the Unix epoch.
    pub destroys_at: Option<u64>,
    /// What the node says of all this under a key of its own; opaque here.
    pub mark: Vec<u8>,
}

impl KeyState {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        limits::signed("acts", self.acts)?;
        for at in [self.exposed_at, self.destroys_at].into_iter().flatten() {
            limits::signed("time", at)?;
        }
        if self.mark.len() > MAX_MARK {
            return Err(StoreError::TooLong { what: "mark", len: self.mark.len(), max: MAX_MARK });
        }
        Ok(())
    }
}

/// An order about a key's state that this node took, or an export of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAct {
    /// The key.
    pub key_id: String,
    /// Which order about the key's state it is, from 1; 0 of an export, which is none.
    pub number: u64,
    /// What is ordered.
    pub act: String,
    /// Names the exact bytes of the request.
    pub hash: [u8; 32],
    /// The exact bytes.
    pub request: Vec<u8>,
    /// The operation.
    pub op_id: String,
    /// When this node took it, in milliseconds since the Unix epoch.
    pub taken_at: u64,
}

impl KeyAct {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        limits::id("key id", self.key_id.as_bytes())?;
        limits::id("act", self.act.as_bytes())?;
        limits::id("operation id", self.op_id.as_bytes())?;
        limits::blob("request", &self.request)?;
        limits::signed("number", self.number)?;
        limits::signed("time", self.taken_at).map(|_| ())
    }
}

/// A change of a key's state: it happens if status and state still are those that it was worked out from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMove {
    /// The status it was worked out from.
    pub from: KeyStatus,
    /// The state it was worked out from.
    pub was: KeyState,
    /// The status from now on; may be the same.
    pub to: KeyStatus,
    /// The state from now on.
    pub state: KeyState,
    /// The order that it follows from, if one; it replaces what had its number.
    pub act: Option<KeyAct>,
}

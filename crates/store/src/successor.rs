//! Successors: the next epoch of a key, from the moment this node's part of it is durable until it takes the key's place.

use crate::{KeyState, KeyStatus, StoreError, limits};

/// Where this node stands with a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Durable here; nobody was told. The key is used as before.
    Prepared,
    /// This node has said that it holds it, so it may be in force elsewhere: the key is used in neither epoch.
    Acknowledged,
    /// Given up together with enough others; the key is used as before, and a proof that turns up later still counts.
    Abandoned,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 3] = [Self::Prepared, Self::Acknowledged, Self::Abandoned];

    /// The word for it in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Acknowledged => "acknowledged",
            Self::Abandoned => "abandoned",
        }
    }

    /// The state machine: forward only.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!((self, next), (Self::Prepared, Self::Acknowledged) | (Self::Acknowledged, Self::Abandoned))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

/// A successor to be stored as [`Phase::Prepared`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSuccessor {
    /// The key.
    pub key_id: String,
    /// Names it: the hash of what everybody may know of it.
    pub name: [u8; 32],
    /// The epoch that it follows.
    pub base: u64,
    /// The epoch that it is.
    pub epoch: u64,
    /// The operation that made it.
    pub operation: String,
    /// Public bytes about it.
    pub record: Vec<u8>,
    /// This node's sealed share of it; empty if it gets none.
    pub sealed_share: Vec<u8>,
    /// Whether the key is new to this node. Else its epoch must be the base.
    pub joins: bool,
}

impl NewSuccessor {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        limits::id("key id", self.key_id.as_bytes())?;
        limits::id("operation id", self.operation.as_bytes())?;
        later(self.base, self.epoch)?;
        limits::blob("key record", &self.record)?;
        limits::blob("sealed share", &self.sealed_share)
    }
}

pub(crate) fn later(base: u64, epoch: u64) -> Result<(), StoreError> {
    if epoch <= base {
        return Err(StoreError::OutOfRange { what: "new epoch" });
    }
    Ok(())
}

/// A stored successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// The key.
    pub key_id: String,
    /// Names it.
    pub name: [u8; 32],
    /// The epoch that it follows.
    pub base: u64,
    /// The epoch that it is.
    pub epoch: u64,
    /// Where this node stands with it.
    pub phase: Phase,
    /// The operation that made it.
    pub operation: String,
    /// Public bytes about it.
    pub record: Vec<u8>,
    /// This node's sealed share of it; empty if it gets none.
    pub sealed_share: Vec<u8>,
    /// When it was stored, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When it changed last, in milliseconds since the Unix epoch.
    pub updated_at: u64,
}

/// A change of epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The key.
    pub key_id: String,
    /// The epoch that ends.
    pub base: u64,
    /// The epoch that begins.
    pub epoch: u64,
    /// The key as it is from now on, at a node that holds a share of the new epoch; the public record alone at one that does not.
    pub to: To,
    /// What proves it to others.
    pub proof: Vec<u8>,
    /// Whether the proof is kept when later epochs begin, because somebody left.
    pub keep_proof: bool,
    /// The operation by which it came about, if this node knows it.
    pub operation: Option<String>,
}

/// What a key becomes at this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// It holds this share.
    Held {
        /// Its signature scheme; for a node that had no share before.
        scheme: String,
        /// Its public key; for a node that had no share before.
        public_key: Vec<u8>,
        /// Public bytes about it.
        record: Vec<u8>,
        /// The sealed share.
        sealed_share: Vec<u8>,
        /// Its status; for a node that had no share before.
        status: KeyStatus,
        /// Its state; for a node that had no share before.
        state: KeyState,
    },
    /// It holds nothing of it any more.
    Gone {
        /// Public bytes about it, as they were or are.
        record: Vec<u8>,
    },
}

impl Switch {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        limits::id("key id", self.key_id.as_bytes())?;
        later(self.base, self.epoch)?;
        limits::blob("proof", &self.proof)?;
        if let Some(operation) = &self.operation {
            limits::id("operation", operation.as_bytes())?;
        }
        match &self.to {
            To::Held { scheme, public_key, record, sealed_share, status: _, state } => {
                state.check()?;
                limits::id("scheme", scheme.as_bytes())?;
                limits::id("public key", public_key)?;
                limits::blob("key record", record)?;
                limits::blob("sealed share", sealed_share)
            }
            To::Gone { record } => limits::blob("key record", record),
        }
    }
}

/// A key that went on without this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedAway {
    /// The first epoch without this node.
    pub epoch: u64,
    /// Public bytes about it.
    pub record: Vec<u8>,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
}

/// What proves that one epoch followed another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The epoch that ended.
    pub base: u64,
    /// The epoch that began.
    pub epoch: u64,
    /// The proof.
    pub proof: Vec<u8>,
    /// The operation by which it came about, if this node knows it.
    pub operation: Option<String>,
}

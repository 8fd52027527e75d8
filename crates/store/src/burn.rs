//! Burn marks: transfer instances that must never be used again.

use crate::{StoreError, limits};

/// Which end of the oblivious transfer this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OtDirection {
    /// This node sends.
    Sender,
    /// This node receives.
    Receiver,
}

impl OtDirection {
    /// The word for it in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Receiver => "receiver",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, StoreError> {
        let found = [Self::Sender, Self::Receiver].into_iter().find(|direction| direction.as_str() == text);
        found.ok_or(StoreError::OutOfRange { what: "transfer direction" })
    }
}

/// Names one long-lived transfer instance between this node and a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceId {
    /// The key it was set up for.
    pub key_id: String,
    /// The epoch of that key.
    pub epoch: u64,
    /// The other end: an opaque id.
    pub peer: Vec<u8>,
    /// Which end this node is.
    pub direction: OtDirection,
    /// Counts the set-ups of this pair.
    pub generation: u64,
}

impl InstanceId {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        limits::id("key id", self.key_id.as_bytes())?;
        limits::id("peer", &self.peer)?;
        limits::signed("epoch", self.epoch)?;
        limits::signed("generation", self.generation).map(|_| ())
    }
}

/// A burn mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burn {
    /// What is burned.
    pub instance: InstanceId,
    /// The session in which a check failed: an opaque id.
    pub session: Vec<u8>,
    /// Hash of the evidence.
    pub evidence_hash: [u8; 32],
    /// When, in milliseconds since the Unix epoch.
    pub burned_at: u64,
}

impl Burn {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.instance.check()?;
        limits::id("session", &self.session)?;
        limits::signed("burn time", self.burned_at).map(|_| ())
    }
}

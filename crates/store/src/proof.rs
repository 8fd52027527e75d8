//! Proofs that other nodes cheated.

use crate::{StoreError, limits};

/// Most proofs that are kept of one node. One is enough, and whoever cheats does not choose how much is stored.
pub const MAX_PROOFS: u32 = 4;

/// A proof that a node cheated, which convinces anybody who has the node's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Names it: the hash of what it is about and of the evidence, in hexadecimal.
    pub id: String,
    /// The identity of the node.
    pub peer: [u8; 32],
    /// What it proves, such as `equivocation`.
    pub kind: String,
    /// The session in which it happened.
    pub session: [u8; 32],
    /// As which party the node took part in it.
    pub party: u64,
    /// What proves it.
    pub evidence: Vec<u8>,
    /// When it was found, in milliseconds since the Unix epoch.
    pub found_at: u64,
    /// When an operator decided to trust the node again all the same, in milliseconds since the Unix epoch.
    pub readmitted_at: Option<u64>,
}

impl Proof {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        limits::id("proof", self.id.as_bytes())?;
        limits::id("kind of proof", self.kind.as_bytes())?;
        limits::signed("party", self.party)?;
        limits::signed("time", self.found_at)?;
        limits::blob("evidence", &self.evidence)
    }
}

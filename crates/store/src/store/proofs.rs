//! The door to proofs.

use quorate_log::entry::Entry;

use super::{Backend, Store};
use crate::{Proof, StoreError};

impl Store {
    /// Keeps a proof that a node cheated; `entry` is logged in the same commit. `false` if one about the same node and session is kept, be it
    /// lifted or not, or [`MAX_PROOFS`](crate::MAX_PROOFS) of the same node are that count; nothing is logged then.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for values out of bounds, and failures of the database.
    pub async fn keep_proof(&self, proof: Proof, entry: Entry) -> Result<bool, StoreError> {
        proof.check()?;
        ask!(self, keep_proof(proof, entry))
    }

    /// All proofs, the newest first.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn proofs(&self) -> Result<Vec<Proof>, StoreError> {
        ask!(self, proofs())
    }

    /// An operator trusts a node again of which there are proofs; `entry` is logged in the same commit if there were any to lift. Gives how
    /// many.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a time out of bounds, and failures of the database.
    pub async fn readmit(&self, peer: [u8; 32], now: u64, entry: Entry) -> Result<u64, StoreError> {
        ask!(self, readmit(peer, now, entry))
    }
}

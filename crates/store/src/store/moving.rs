//! Moving a key to its next epoch.

use quorate_log::entry::Entry;

use super::{Backend, Store};
use crate::successor::{Handover, MovedAway, NewSuccessor, Phase, Successor, Switch, To};
use crate::watch::Change;
use crate::{KeyStatus, StoreError, limits};

impl Store {
    /// Stores this node's part of the next epoch of a key. The key must be in the epoch that it follows and neither burned nor destroyed,
    /// or, where it joins, unknown here. Durable.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Changed`], [`StoreError::TooLong`], [`StoreError::OutOfRange`], [`StoreError::NoLog`], and
    /// those of the backend.
    pub async fn prepare_successor(
        &self,
        successor: NewSuccessor,
        entry: Entry,
        now: u64,
    ) -> Result<(), StoreError> {
        successor.check()?;
        let base = limits::signed("epoch", successor.base)?;
        let epoch = limits::signed("epoch", successor.epoch)?;
        let now = limits::signed("time", now)?;
        ask!(self, prepare_successor(successor, base, epoch, entry, now))
    }

    /// Changes the phase of a successor if it still is `from`, and, before it is acknowledged, the key still is in the epoch that it
    /// follows. Durable.
    ///
    /// # Errors
    /// [`StoreError::Transition`] if there is no such step, [`StoreError::Changed`] if the phase or the epoch is another one or another
    /// successor is in doubt, [`StoreError::NotFound`], [`StoreError::NoLog`], and those of the backend.
    pub async fn transition_successor(
        &self,
        key_id: &str,
        name: &[u8; 32],
        from: Phase,
        to: Phase,
        entry: Entry,
        now: u64,
    ) -> Result<(), StoreError> {
        if !from.may_become(to) {
            let (id, from, to) = (key_id.to_owned(), from.as_str(), to.as_str());
            return Err(StoreError::Transition { what: "successor", id, from, to });
        }
        let now = limits::signed("time", now)?;
        ask!(self, transition_successor(key_id.to_owned(), *name, from, to, entry, now))
    }

    /// Erases a successor that nobody was told of. Gives `false` if it is not there, or was acknowledged. Durable, and erased from the
    /// files.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn discard_successor(&self, key_id: &str, name: &[u8; 32]) -> Result<bool, StoreError> {
        let gone = ask!(self, discard_successor(key_id.to_owned(), *name))?;
        if gone {
            self.erase_replaced().await?;
        }
        Ok(gone)
    }

    /// The successors of a key, oldest first; of all keys without one.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn successors(&self, key_id: Option<&str>) -> Result<Vec<Successor>, StoreError> {
        ask!(self, successors(key_id))
    }

    /// Ends an epoch of a key: in one commit the key's record and share are replaced, or inserted where it is new, or removed where this
    /// node leaves; all successors up to the new epoch are erased, and the proof is stored. The key must be in the epoch that ends (or
    /// unknown, where it joins). Durable. Erases the old bytes from the files where it can at once; see [`Store::erase_replaced`].
    ///
    /// # Errors
    /// [`StoreError::Changed`] if the key is in another epoch or may not be used any more, [`StoreError::TooLong`],
    /// [`StoreError::OutOfRange`], [`StoreError::NoLog`], and those of the backend.
    pub async fn switch_key(&self, switch: Switch, entry: Entry, now: u64) -> Result<(), StoreError> {
        switch.check()?;
        let base = limits::signed("epoch", switch.base)?;
        let epoch = limits::signed("epoch", switch.epoch)?;
        let now = limits::signed("time", now)?;
        let key_id = switch.key_id.clone();
        let held = match &switch.to {
            To::Held { status, .. } => Some(*status),
            To::Gone { .. } => None,
        };
        let fresh = ask!(self, switch_key(switch, base, epoch, entry, now))?;
        if fresh || held.is_none() {
            let status = held.unwrap_or(KeyStatus::Destroyed);
            self.watcher.tell(&Change::Key { key_id: &key_id, status });
        }
        // It is in force. What is left of the old bytes goes with the next try.
        if !matches!(self.erase_replaced().await, Ok(true)) {
            tracing::warn!(key = key_id, "an old share is not erased from the files yet");
        }
        Ok(())
    }

    /// Keys that went on without this node, the newest first.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn all_moved_away(&self, limit: u32) -> Result<Vec<MovedAway>, StoreError> {
        ask!(self, all_moved_away(limit))
    }

    /// The proof that an epoch of a key ended.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn handover(&self, key_id: &str, base: u64) -> Result<Option<Handover>, StoreError> {
        let base = limits::signed("epoch", base)?;
        ask!(self, handover(key_id, base))
    }

    /// The key, if it went on without this node.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn moved_away(&self, key_id: &str) -> Result<Option<MovedAway>, StoreError> {
        ask!(self, moved_away(key_id))
    }

    /// Whether the last [`Store::erase_replaced`] failed, so that what was replaced may still be in the files.
    #[must_use]
    pub fn must_erase(&self) -> bool {
        let Backend::Sqlite(sqlite) = &*self.backend;
        sqlite.must_erase()
    }
}

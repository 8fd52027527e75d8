//! The door to the records.

use std::path::Path;
use std::sync::Arc;

use quorate_log::entry::Entry;
use quorate_log::note::LogSigner;
use quorate_log::offer::Offer;
use quorate_log::receipt::Receipt;
use quorate_log::tile::Tile;

use crate::fault::Faults;
use crate::folder::Folder;
use crate::sqlite::Sqlite;
use crate::watch::{Change, Watcher};
use crate::{
    Begin, Burn, Cursor, InstanceId, Key, KeyAct, KeyMove, KeyStatus, Meta, NewKey, NewOperation, Operation,
    OperationFilter, OperationStatus, OperationUpdate, Outgoing, Page, StoreError, Tried, Uses, limits,
};

/// Name of the embedded database in the data folder.
pub const DATABASE_FILE: &str = "quorate.db";

/// The records of one node. Clones share one backend.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Arc<Backend>,
    watcher: Watcher,
}

/// Where the records are. A second backend is a second variant; the checks of [`Store`] stay the same for both.
#[derive(Debug)]
enum Backend {
    Sqlite(Sqlite),
}

/// Asks whichever backend there is.
macro_rules! ask {
    ($store:expr, $method:ident ( $($argument:expr),* )) => {
        match &*$store.backend {
            Backend::Sqlite(sqlite) => sqlite.$method($($argument),*).await,
        }
    };
}

mod governance;
mod moving;
mod proofs;
mod restored;

impl Store {
    /// Opens the data folder, makes it if it is not there, and locks it until the store is closed or dropped and its
    /// last write is done. Must be called within a tokio runtime. A damaged database is left as it is.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Corrupt`], [`StoreError::Missing`], [`StoreError::SchemaNewer`],
    /// [`StoreError::Busy`], [`StoreError::DiskFull`], [`StoreError::Io`].
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_with_faults(folder, Faults::default()).await
    }

    /// As [`Store::open`], with writes that fail on purpose. For tests.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with_faults(folder: &Path, faults: Faults) -> Result<Self, StoreError> {
        let locked = Folder::lock(folder)?;
        let sqlite = Sqlite::open(locked, &folder.join(DATABASE_FILE), faults).await?;
        Ok(Self { backend: Arc::new(Backend::Sqlite(sqlite)), watcher: Watcher::default() })
    }

    /// Lets `tell` know of every [`Change`] that this store and its clones make, after it is durable and before the caller that made it
    /// knows. Once: gives `false` if somebody is told already. `tell` must not wait for anything.
    pub fn watch(&self, tell: impl Fn(&Change<'_>) + Send + Sync + 'static) -> bool {
        self.watcher.set(Box::new(tell))
    }

    /// Waits for queued writes, closes the database and unlocks the folder. Other clones get [`StoreError::Closed`].
    pub async fn close(&self) {
        ask!(self, close());
    }

    /// What is known about the folder; `None` before [`Store::init_meta`].
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn meta(&self) -> Result<Option<Meta>, StoreError> {
        ask!(self, meta())
    }

    /// Stores what is known about the folder, unless that was done before, and gives what is stored. Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] and those of the backend.
    pub async fn init_meta(&self, meta: Meta) -> Result<Meta, StoreError> {
        limits::blob("seal header", &meta.seal_header)?;
        let created_at = limits::signed("time", meta.created_at)?;
        ask!(self, init_meta(meta, created_at))
    }

    /// Replaces the seal header, if it still is `old`, and logs these entries in the same commit. Durable. What was replaced stays in
    /// the write-ahead log until [`Store::erase_replaced`].
    ///
    /// # Errors
    /// [`StoreError::Changed`] if it is not, and those of the backend.
    pub async fn replace_seal_header(
        &self,
        old: &[u8],
        new: &[u8],
        entries: Vec<Entry>,
    ) -> Result<(), StoreError> {
        limits::blob("seal header", new)?;
        ask!(self, replace_seal_header(old.to_vec(), new.to_vec(), entries))
    }

    /// Erases what was replaced or deleted also from the write-ahead log: folds it into the file, where such bytes are overwritten, and
    /// empties it. False if readers were in the way all the time: ask again. What the disk itself keeps of its blocks is out of reach.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn erase_replaced(&self) -> Result<bool, StoreError> {
        ask!(self, erase_replaced())
    }

    /// Stores a new key. Durable.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::TooLong`], [`StoreError::OutOfRange`] and those of the backend.
    pub async fn insert_key(&self, key: NewKey, now: u64) -> Result<(), StoreError> {
        key.check()?;
        let epoch = limits::signed("epoch", key.epoch)?;
        let now = limits::signed("time", now)?;
        let (key_id, status) = (key.key_id.clone(), key.status);
        ask!(self, insert_key(key, epoch, now))?;
        self.watcher.tell(&Change::Key { key_id: &key_id, status });
        Ok(())
    }

    /// The key with this id.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn key(&self, key_id: &str) -> Result<Option<Key>, StoreError> {
        ask!(self, key(key_id))
    }

    /// The same with its sealed share left out, whatever the status: the share is by far the largest part, and only who opens it needs it.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn key_without_share(&self, key_id: &str) -> Result<Option<Key>, StoreError> {
        ask!(self, key_without_share(key_id))
    }

    /// Keys, oldest first, at most [`MAX_PAGE_LEN`](crate::MAX_PAGE_LEN) at once.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn list_keys(&self, after: Option<Cursor>, limit: u32) -> Result<Page<Key>, StoreError> {
        ask!(self, list_keys(after, limit))
    }

    /// Keys in use that have not changed since before a time, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] and those of the backend.
    pub async fn keys_older_than(&self, before: u64, limit: u32) -> Result<Vec<Key>, StoreError> {
        let before = limits::signed("time", before)?;
        ask!(self, keys_older_than(before, limit))
    }

    /// When the active key that has not changed for longest changed, in milliseconds since the Unix epoch; `None` without one.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn oldest_active_key(&self) -> Result<Option<u64>, StoreError> {
        ask!(self, oldest_active_key())
    }

    /// How many writes failed since the store was opened, for reasons that lie in the disk or the database.
    #[must_use]
    pub fn failed_writes(&self) -> u64 {
        let Backend::Sqlite(sqlite) = &*self.backend;
        sqlite.failed_writes()
    }

    /// Changes the status of a key, if it still is `from`, and nothing else of its state. Destroying a key erases its share. Durable.
    ///
    /// # Errors
    /// As [`Store::move_key`].
    pub async fn transition_key(
        &self,
        key_id: &str,
        from: KeyStatus,
        to: KeyStatus,
        now: u64,
    ) -> Result<(), StoreError> {
        let was = match self.key(key_id).await? {
            Some(key) => key.state,
            None => return Err(StoreError::NotFound { what: "key", id: key_id.to_owned() }),
        };
        let state = was.clone();
        self.step_key(key_id, KeyMove { from, was, to, state, act: None }, now, Vec::new()).await
    }

    /// Changes the state of a key, if it still is as the step says, and keeps the order that it follows from; `entries` are logged in the
    /// same commit. Destroying a key erases its share: call [`Store::erase_replaced`] then. Durable.
    ///
    /// # Errors
    /// [`StoreError::Transition`] if there is no such step, [`StoreError::Changed`] if the state is another one,
    /// [`StoreError::NotFound`], [`StoreError::NoLog`], and those of the backend.
    pub async fn move_key(
        &self,
        key_id: &str,
        step: KeyMove,
        now: u64,
        entries: Vec<Entry>,
    ) -> Result<(), StoreError> {
        self.step_key(key_id, step, now, entries).await
    }

    async fn step_key(
        &self,
        key_id: &str,
        step: KeyMove,
        now: u64,
        entries: Vec<Entry>,
    ) -> Result<(), StoreError> {
        let (from, to) = (step.from, step.to);
        // What stays as it is needs another reason to be written.
        let stays =
            from == to && from != KeyStatus::Destroyed && (step.state != step.was || step.act.is_some());
        if !from.may_become(to) && !stays {
            let (id, from, to) = (key_id.to_owned(), from.as_str(), to.as_str());
            return Err(StoreError::Transition { what: "key", id, from, to });
        }
        step.state.check()?;
        step.act.as_ref().map_or(Ok(()), KeyAct::check)?;
        let now = limits::signed("time", now)?;
        ask!(self, move_key(key_id.to_owned(), step, now, entries))?;
        if from != to {
            self.watcher.tell(&Change::Key { key_id, status: to });
        }
        Ok(())
    }

    /// The orders about the state of a key, by number.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn key_acts(&self, key_id: &str) -> Result<Vec<KeyAct>, StoreError> {
        ask!(self, key_acts(key_id))
    }

    /// The orders that this node took after a place, with their places, in the order in which it took them; at most
    /// [`MAX_PAGE_LEN`](crate::MAX_PAGE_LEN).
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] and those of the backend.
    pub async fn key_acts_after(&self, after: u64, limit: u32) -> Result<Vec<(u64, KeyAct)>, StoreError> {
        let after = limits::signed("place", after)?;
        ask!(self, key_acts_after(after, limit))
    }

    /// The place of the newest order; 0 without one.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn newest_key_act(&self) -> Result<u64, StoreError> {
        ask!(self, newest_key_act())
    }

    /// The keys whose shares are to be erased, the soonest first, those behind `after`, at most [`MAX_PAGE_LEN`](crate::MAX_PAGE_LEN).
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`], and those of the backend.
    pub async fn keys_to_destroy(&self, after: Option<&Key>, limit: u32) -> Result<Vec<Key>, StoreError> {
        let after = match after {
            Some(key) => {
                let at = limits::signed("time", key.state.destroys_at.unwrap_or_default())?;
                Some((at, key.key_id.clone()))
            }
            None => None,
        };
        ask!(self, keys_to_destroy(after, limit))
    }

    /// How many keys there are whose shares are to be erased, and when the first one is, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn count_keys_to_destroy(&self) -> Result<(u64, Option<u64>), StoreError> {
        ask!(self, count_keys_to_destroy())
    }

    /// Replaces the share of a key by that of a later epoch, if its epoch still is `old_epoch` and it is neither burned
    /// nor destroyed. Durable.
    ///
    /// # Errors
    /// [`StoreError::Changed`], [`StoreError::NotFound`], [`StoreError::OutOfRange`] if `new_epoch` is not later,
    /// [`StoreError::TooLong`], and those of the backend.
    pub async fn replace_share(
        &self,
        key_id: &str,
        old_epoch: u64,
        new_epoch: u64,
        record: Vec<u8>,
        sealed_share: Vec<u8>,
        now: u64,
    ) -> Result<(), StoreError> {
        if new_epoch <= old_epoch {
            return Err(StoreError::OutOfRange { what: "new epoch" });
        }
        limits::blob("key record", &record)?;
        limits::blob("sealed share", &sealed_share)?;
        let old_epoch = limits::signed("epoch", old_epoch)?;
        let new_epoch = limits::signed("epoch", new_epoch)?;
        let now = limits::signed("time", now)?;
        ask!(self, replace_share(key_id.to_owned(), old_epoch, new_epoch, record, sealed_share, now))
    }

    /// Burns a transfer instance for ever. Durable: send nothing about the failed check before this returns. Gives
    /// `false` if it was burned before; then the first mark stays.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::OutOfRange`] and those of the backend. Take the instance for burned then.
    pub async fn burn(&self, burn: Burn) -> Result<bool, StoreError> {
        burn.check()?;
        ask!(self, burn(burn, Vec::new()))
    }

    /// As [`Store::burn`]; if the mark is new, `entry` is logged in the same commit.
    ///
    /// # Errors
    /// As [`Store::burn`], and [`StoreError::NoLog`].
    pub async fn burn_logged(&self, burn: Burn, entry: Entry) -> Result<bool, StoreError> {
        burn.check()?;
        ask!(self, burn(burn, vec![entry]))
    }

    /// Whether a transfer instance is burned.
    ///
    /// # Errors
    /// Those of the backend. Take the instance for burned then.
    pub async fn is_burned(&self, instance: &InstanceId) -> Result<bool, StoreError> {
        instance.check()?;
        ask!(self, is_burned(instance))
    }

    /// The burn marks of a key, oldest first, at most [`MAX_PAGE_LEN`](crate::MAX_PAGE_LEN) at once.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn list_burns(
        &self,
        key_id: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Burn>, StoreError> {
        ask!(self, list_burns(key_id, after, limit))
    }

    /// Marks an id (a nonce, a session, a presignature) as used. Durable: use the thing only after this returned
    /// `true`. `false` means that it was used before. Two callers at once: one gets `true`.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::OutOfRange`] and those of the backend. Take the id for used then.
    pub async fn consume(&self, id: &[u8], now: u64) -> Result<bool, StoreError> {
        limits::id("used id", id)?;
        let now = limits::signed("time", now)?;
        ask!(self, consume(id.to_vec(), now, None, |_| Vec::new())).map(|(fresh, _)| fresh)
    }

    /// Whether an id was used.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn is_consumed(&self, id: &[u8]) -> Result<bool, StoreError> {
        ask!(self, is_consumed(id))
    }

    /// How many [`Uses`] of a key in an epoch are counted.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] and those of the backend.
    pub async fn uses(&self, key_id: &str, epoch: u64) -> Result<u64, StoreError> {
        let counted = ask!(self, uses(key_id, limits::signed("epoch", epoch)?))?;
        u64::try_from(counted).map_err(|_| StoreError::OutOfRange { what: "uses" })
    }

    /// Begins an operation, or finds the one that has its id. Of two callers at once, one gets [`Begin::New`].
    /// Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::OutOfRange`] and those of the backend.
    pub async fn begin_operation(&self, operation: NewOperation, now: u64) -> Result<Begin, StoreError> {
        self.begin_operation_logged(operation, now, |_| Vec::new()).await
    }

    /// Changes an operation, if its status still is `expected`, and gives it as it is now. Durable.
    ///
    /// # Errors
    /// [`StoreError::Transition`] if there is no such step (none leads away from an answer), [`StoreError::Changed`] if
    /// the status is another one, [`StoreError::NotFound`], [`StoreError::TooLong`], and those of the backend.
    pub async fn update_operation(
        &self,
        op_id: &str,
        expected: OperationStatus,
        update: OperationUpdate,
        now: u64,
    ) -> Result<Operation, StoreError> {
        self.update(op_id, expected, update, now, None).await.map(|(updated, _)| updated)
    }

    /// As [`Store::begin_operation`]; what `log` says of the outcome is logged in the same commit.
    ///
    /// # Errors
    /// As [`Store::begin_operation`], and [`StoreError::NoLog`].
    pub async fn begin_operation_logged(
        &self,
        operation: NewOperation,
        now: u64,
        log: impl FnOnce(&Begin) -> Vec<Entry> + Send + 'static,
    ) -> Result<Begin, StoreError> {
        operation.check()?;
        let now = limits::signed("time", now)?;
        let begun = ask!(self, begin_operation(operation, now, log))?;
        if let Begin::New(operation) = &begun {
            self.watcher.tell(&Change::Begun(operation));
        }
        Ok(begun)
    }

    /// As [`Store::consume`]; if the id is fresh, `entry` is logged and `uses` are counted in the same commit. `Some` is how many uses of
    /// that key in that epoch are counted then, 0 if none are to be: more than there may be means that the thing must not be used, and
    /// what was counted stays so.
    ///
    /// # Errors
    /// As [`Store::consume`], and [`StoreError::NoLog`].
    pub async fn consume_logged(
        &self,
        id: &[u8],
        now: u64,
        uses: Option<Uses>,
        entry: Entry,
    ) -> Result<Option<u64>, StoreError> {
        limits::id("used id", id)?;
        let now = limits::signed("time", now)?;
        let uses = uses.map(Uses::checked).transpose()?;
        let log = |fresh: bool| Vec::from_iter(fresh.then_some(entry));
        let (fresh, counted) = ask!(self, consume(id.to_vec(), now, uses, log))?;
        let counted = u64::try_from(counted).map_err(|_| StoreError::OutOfRange { what: "uses" })?;
        Ok(fresh.then_some(counted))
    }

    /// As [`Store::update_operation`]; `entry` is logged in the same commit. Gives its receipt too.
    ///
    /// # Errors
    /// As [`Store::update_operation`], and [`StoreError::NoLog`].
    pub async fn update_operation_logged(
        &self,
        op_id: &str,
        expected: OperationStatus,
        update: OperationUpdate,
        now: u64,
        entry: Entry,
    ) -> Result<(Operation, Vec<Receipt>), StoreError> {
        self.update(op_id, expected, update, now, Some(entry)).await
    }

    async fn update(
        &self,
        op_id: &str,
        expected: OperationStatus,
        update: OperationUpdate,
        now: u64,
        entry: Option<Entry>,
    ) -> Result<(Operation, Vec<Receipt>), StoreError> {
        update.check(op_id, expected)?;
        let now = limits::signed("time", now)?;
        let failed = update.error.is_some();
        let updated = ask!(self, update_operation(op_id.to_owned(), expected, update, now, entry))?;
        self.watcher.tell(&Change::Updated { operation: &updated.0, before: expected, failed });
        Ok(updated)
    }

    /// Takes up the audit log; what is signed in it is checked against what is there. Before this nothing can be logged.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the log is not what its last checkpoint says, or is another node's, and those of the backend.
    pub async fn open_log(&self, signer: LogSigner) -> Result<(), StoreError> {
        ask!(self, open_log(Arc::new(signer)))
    }

    /// Logs entries by themselves. Durable.
    ///
    /// # Errors
    /// [`StoreError::NoLog`] and those of the backend.
    pub async fn log(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        ask!(self, log(entries))
    }

    /// The newest checkpoint of the log, as a signed note; `None` before the first entry.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn log_head(&self) -> Result<Option<String>, StoreError> {
        ask!(self, log_head())
    }

    /// The receipt for the logged outcome of an operation, under the newest checkpoint; `None` if none was logged.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn log_receipt(&self, op_id: &str) -> Result<Option<Receipt>, StoreError> {
        ask!(self, log_receipt(op_id))
    }

    /// Keeps the receipt of another node for the outcome of an operation, unless there is one of that node. Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] and those of the backend.
    pub async fn add_receipt(&self, op_id: &str, node: &str, receipt: Vec<u8>) -> Result<(), StoreError> {
        limits::id("operation", op_id.as_bytes())?;
        limits::id("node", node.as_bytes())?;
        limits::blob("receipt", &receipt)?;
        ask!(self, add_receipt(op_id.to_owned(), node.to_owned(), receipt))
    }

    /// The receipts of other nodes that were kept for an operation.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn receipts(&self, op_id: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        ask!(self, receipts(op_id))
    }

    /// The newest checkpoint with the proof that it continues the one of `old_size` entries, for a witness; `None` for an empty log.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn log_offer(&self, old_size: u64) -> Result<Option<Offer>, StoreError> {
        ask!(self, log_offer(old_size))
    }

    /// The last head of a peer's log that this node observed.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn log_seen(&self, peer: &str) -> Result<Option<String>, StoreError> {
        ask!(self, log_seen(peer))
    }

    /// Keeps the head of a peer's log that this node observed. Durable: no cosignature leaves before.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] and those of the backend.
    pub async fn set_log_seen(&self, peer: &str, note: String) -> Result<(), StoreError> {
        limits::id("peer", peer.as_bytes())?;
        limits::blob("head", note.as_bytes())?;
        ask!(self, set_log_seen(peer.to_owned(), note))
    }

    /// This node's newest head that others cosigned.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn log_cosigned(&self) -> Result<Option<String>, StoreError> {
        ask!(self, log_cosigned())
    }

    /// Keeps this node's head with the lines of those who cosigned it.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] and those of the backend.
    pub async fn set_log_cosigned(&self, note: String) -> Result<(), StoreError> {
        limits::blob("head", note.as_bytes())?;
        ask!(self, set_log_cosigned(note))
    }

    /// The bytes of a tile or bundle of the log, as wide as it is, but at most as asked; `None` if nothing of it is there.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn log_tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, StoreError> {
        ask!(self, log_tile(tile))
    }

    /// Encoded entries of the log from an index on, at most [`MAX_PAGE_LEN`](crate::MAX_PAGE_LEN).
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] and those of the backend.
    pub async fn log_entries(&self, from: u64, limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let from = limits::signed("index", from)?;
        ask!(self, log_entries(from, limit.clamp(1, crate::MAX_PAGE_LEN)))
    }

    /// Keeps events, with their ids, for a webhook; one that is kept already stays as it is. Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::OutOfRange`] and those of the backend.
    pub async fn outbox_put(
        &self,
        hook: [u8; 32],
        events: Vec<(u64, Vec<u8>)>,
        now: u64,
    ) -> Result<(), StoreError> {
        let now = limits::signed("time", now)?;
        let checked = events.into_iter().map(|(event, body)| {
            limits::blob("event", &body)?;
            Ok((limits::signed("event id", event)?, body))
        });
        let events = checked.collect::<Result<Vec<_>, StoreError>>()?;
        ask!(self, outbox_put(hook, events, now))
    }

    /// The events for a webhook that are due, oldest first, at most [`MAX_PAGE_LEN`](crate::MAX_PAGE_LEN); how many wait in all; and
    /// when the first of all is due.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] and those of the backend.
    pub async fn outbox_due(
        &self,
        hook: [u8; 32],
        now: u64,
        limit: u32,
    ) -> Result<(Vec<Outgoing>, u64, Option<u64>), StoreError> {
        let now = limits::signed("time", now)?;
        ask!(self, outbox_due(hook, now, limit.clamp(1, crate::MAX_PAGE_LEN)))
    }

    /// Notes what became of tried events, by their places. Durable.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] and those of the backend.
    pub async fn outbox_tried(&self, tried: Vec<(i64, Tried)>) -> Result<(), StoreError> {
        let tried = tried.into_iter().map(|(seq, tried)| Ok((seq, tried.due()?)));
        let tried = tried.collect::<Result<Vec<_>, StoreError>>()?;
        ask!(self, outbox_tried(tried))
    }

    /// Forgets the events for webhooks that are none of these. Durable.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn outbox_keep_only(&self, hooks: Vec<[u8; 32]>) -> Result<(), StoreError> {
        ask!(self, outbox_keep_only(hooks))
    }

    /// The operation with this id.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn operation(&self, op_id: &str) -> Result<Option<Operation>, StoreError> {
        ask!(self, operation(op_id))
    }

    /// Operations, newest first, at most [`MAX_PAGE_LEN`](crate::MAX_PAGE_LEN) at once.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn list_operations(
        &self,
        filter: &OperationFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Operation>, StoreError> {
        ask!(self, list_operations(filter, after, limit))
    }
}

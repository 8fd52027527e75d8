//! Erasing shares when their time has come: each node by its own clock, also after a restart, and only once it can know whether the
//! destruction was called off.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{Event, EventKind, KeyId, Problem};
use quorate_log::entry::Kind;
use quorate_store::{Key, KeyMove, KeyState, KeyStatus, StoreError};
use serde::Serialize;
use tokio::time::Instant;

use super::coordinate::enough;
use super::mark;
use crate::audit;
use crate::clock;
use crate::keys::Record;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// Keys that are read at once.
const AT_ONCE: u32 = 200;
/// How long a node that hears from too few others, or of a call-off that nobody proves, waits before it erases what is due all the same:
/// they may be gone for ever, and whoever cannot call it off must not delay it for ever.
const ALONE: Duration = Duration::from_secs(3600);
/// How long before the time of a destruction it is told of again; a tenth of the whole delay, if that is less.
const NEAR: u64 = 24 * 3600 * 1000;

/// What this node waits for.
#[derive(Debug)]
pub(crate) struct Doomed {
    /// Not before, by a clock that nobody sets: for when each was due when it was first seen.
    waits: HashMap<KeyId, (u64, Instant)>,
    /// Those that were told of again, by when they are due.
    told: HashMap<KeyId, u64>,
    /// Whether something was erased of which the log of the store may still have the bytes.
    left_over: bool,
}

#[derive(Serialize)]
struct Erased<'a> {
    from: &'a str,
    to: &'a str,
    operation: &'a str,
}

impl Doomed {
    /// Nothing yet. What a node that broke down has erased may still be in its store's log: that is emptied first.
    pub(crate) fn new() -> Self {
        Self { waits: HashMap::new(), told: HashMap::new(), left_over: true }
    }

    /// Whether the time of a destruction is over by both clocks: one that was set forward does not bring it nearer.
    fn is_over(&mut self, id: &KeyId, at: u64, now: u64) -> bool {
        let left = Duration::from_millis(at.saturating_sub(now));
        let wait = self.waits.entry(id.clone()).or_insert_with(|| (at, Instant::now() + left));
        if wait.0 != at {
            *wait = (at, Instant::now() + left);
        }
        now >= at && Instant::now() >= wait.1
    }

    /// For how long this node, while it runs, has waited beyond the time of a destruction.
    fn overdue(&self, id: &KeyId) -> Duration {
        self.waits.get(id).map_or(Duration::ZERO, |(_, due)| due.elapsed())
    }
}

impl Shared {
    /// KST.7: erases the shares whose time has come, and tells of those whose time is near.
    pub(crate) async fn destroy_what_is_due(self: &Arc<Self>) {
        if let Err(problem) = self.destroy_due().await {
            tracing::error!(detail = %problem.detail, "what is due is not destroyed: it is tried again");
        }
        if locked(&self.doomed).left_over {
            match self.store.erase_replaced().await {
                Ok(true) => locked(&self.doomed).left_over = false,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "the log of the store may still hold erased shares: it is tried again")
                }
            }
        }
    }

    async fn destroy_due(&self) -> Result<(), Problem> {
        let now = clock::millis();
        let mut after: Option<Key> = None;
        // All of them, however many cannot be erased now: a key that is frozen holds up no other.
        loop {
            let page = self.store.keys_to_destroy(after.as_ref(), AT_ONCE).await;
            let page = page.map_err(|error| store_problem(&error))?;
            let Some(last) = page.last().cloned() else { return Ok(()) };
            for key in page {
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                if let Err(problem) = self.destroy_if_due(&key, now).await {
                    tracing::error!(key = %key.key_id, detail = %problem.detail, "the share of a key is not erased: it is tried again");
                }
            }
            after = Some(last);
        }
    }

    /// Erases the share of one key if its time has come and nothing stands against it.
    async fn destroy_if_due(&self, listed: &Key, now: u64) -> Result<(), Problem> {
        let (Ok(id), Some(at)) = (listed.key_id.parse::<KeyId>(), listed.state.destroys_at) else {
            return Ok(());
        };
        let over = locked(&self.doomed).is_over(&id, at, now);
        // Most of those that wait have weeks, and are not read anew.
        if !over && at.saturating_sub(now) > NEAR {
            return Ok(());
        }
        // Never on the word of whoever writes into the store.
        let Ok(Some(key)) = self.stored_key(&id).await else { return Ok(()) };
        if key.state.destroys_at != Some(at) {
            return Ok(());
        }
        if !over {
            self.tell_near(&id, &key, at, now);
            return Ok(());
        }
        let record = Record::from_bytes(&key.record)?;
        // A freeze stops everything that cannot be undone.
        let frozen =
            self.governance.as_ref().and_then(|known| known.frozen(Some(&id), record.tenant.as_ref()));
        if frozen.is_none() && self.would_know(&id, &record) {
            self.erase(&id, &record).await?;
        }
        Ok(())
    }

    /// Whether this node would know by now if the destruction had been called off: it is connected with so many others that they and it could
    /// sign, has read their orders, and none that calls it off is still being judged or waits for proof; or neither became so for long.
    fn would_know(&self, id: &KeyId, record: &Record) -> bool {
        let others = record.peers().into_values().filter(|peer| *peer != self.id);
        let (heard, doomed) = (locked(&self.heard_orders), locked(&self.doomed));
        let known = others.filter(|peer| heard.knows(*peer) && self.network.is_connected(*peer));
        let told = enough(record, &known.chain([self.id]).collect()) && !heard.calls_off(id);
        told || doomed.overdue(id) >= ALONE
    }

    fn tell_near(&self, id: &KeyId, key: &Key, at: u64, now: u64) {
        let delay = at.saturating_sub(key.updated_at);
        let near = at.saturating_sub(now) <= NEAR.min(delay / 10);
        if near && locked(&self.doomed).told.insert(id.clone(), at) != Some(at) {
            tracing::warn!(key = %id, at, "this node erases its share of a key soon: `quorate key keep` calls it off");
            let detail = format!("at {at} (unix milliseconds); `quorate key keep` calls it off");
            self.events.tell(EventKind::KeyDestructionNear, |event| {
                Event { key: Some(id.clone()), ..event }.with_detail(&detail)
            });
        }
    }

    async fn erase(&self, id: &KeyId, record: &Record) -> Result<(), Problem> {
        let _one = self.acting.lock().await;
        // It may have been called off since.
        let Some(key) = self.stored_key(id).await?.filter(|key| key.state.destroys_at.is_some()) else {
            return Ok(());
        };
        let to = KeyStatus::Destroyed;
        let body =
            Erased { from: key.status.as_str(), to: to.as_str(), operation: record.operation.as_str() };
        let logged = audit::entry(Kind::Share, &body)?;
        let logged = audit::about_key(logged, id.as_str())?;
        let state = KeyState { mark: Vec::new(), ..key.state.clone() };
        let state = mark::marked(&self.state_key, id.as_str(), to, state);
        let step = KeyMove { from: key.status, was: key.state, to, state: state.clone(), act: None };
        let alone = self.gate.write().await;
        let erased = self.store.move_key(id.as_str(), step, clock::millis(), vec![logged]).await;
        if erased.is_ok() {
            self.noted(id, &state);
            locked(&self.materials).remove(id);
        }
        drop(alone);
        match erased {
            Ok(()) => {
                tracing::warn!(key = %id, "this node has erased its share of a key");
                let mut doomed = locked(&self.doomed);
                doomed.waits.remove(id);
                doomed.told.remove(id);
                doomed.left_over = true;
                Ok(())
            }
            Err(StoreError::Changed { .. }) => Ok(()),
            Err(error) => Err(store_problem(&error)),
        }
    }
}

//! MOVE.15: keys get new shares by themselves when theirs are old. The nodes agree without a client, each by its own configuration.

use std::sync::Arc;
use std::time::Duration;

use quorate_api::{Code, KeyId, OperationId, Problem};
use quorate_net::PeerId;
use quorate_store::Key;
use tokio::time::Instant;

use super::{Holders, Mandate, Offer, Order, Plan, What, coordinate, take_part as help};
use crate::ceremony::Attempt;
use crate::ceremony::member::Line;
use crate::clock;
use crate::control::{Answer, Control, Proposal, Refusal, Work};
use crate::keys::Record;
use crate::keys::moving::epoch_of;
use crate::registry::Hold;
use crate::shared::{Shared, store_problem};

/// Keys that are looked at in one round.
const BATCH: u32 = 16;
/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(5);

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Names the refresh of an epoch that nobody asked for.
fn hash(key: &KeyId, epoch: u64) -> [u8; 32] {
    blake3::derive_key("quorate 2026 node scheduled refresh v1", format!("{key} {epoch}").as_bytes())
}

fn operation(hash: &[u8; 32]) -> OperationId {
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    OperationId::from_bytes(id)
}

/// How old the share of a key may get: the parties' schedule, less up to a quarter of it, so that keys that were made together are not
/// refreshed together.
fn due_after(every: Duration, hash: &[u8; 32]) -> Duration {
    let part = u32::from(hash.last().copied().unwrap_or_default());
    every.saturating_sub(every / 4 * part / 255)
}

/// Which of the parties that are there begins.
fn first(hash: &[u8; 32], there: impl Iterator<Item = PeerId>) -> Option<PeerId> {
    there.min_by_key(|peer| {
        let mut rank = blake3::Hasher::new_keyed(hash);
        rank.update(peer.as_bytes());
        *rank.finalize().as_bytes()
    })
}

impl Shared {
    fn schedule(&self) -> Option<Duration> {
        Some(self.config.refresh.every).filter(|every| !every.is_zero())
    }

    pub(crate) fn is_frozen(&self, key: &KeyId, record: &Record) -> bool {
        let frozen =
            |known: &crate::governance::Governance| known.frozen(Some(key), record.tenant.as_ref()).is_some();
        self.governance.as_ref().is_some_and(frozen)
    }

    /// One key whose share is old and that this node is to begin with.
    async fn due_refresh(&self, every: Duration) -> Result<Option<(KeyId, u64)>, Problem> {
        let now = clock::millis();
        // None is due earlier than this.
        let before = now.saturating_sub(millis(every / 4 * 3));
        let old: Vec<Key> =
            self.store.keys_older_than(before, BATCH).await.map_err(|error| store_problem(&error))?;
        for key in old {
            let Ok(id) = key.key_id.parse::<KeyId>() else { continue };
            let record = Record::from_bytes(&key.record)?;
            let epoch = epoch_of(key.epoch);
            let hash = hash(&id, epoch);
            let age = Duration::from_millis(now.saturating_sub(key.updated_at));
            let there = record.peers().into_values();
            let there = there.filter(|peer| *peer == self.id || self.network.is_connected(*peer));
            let begins = first(&hash, there) == Some(self.id);
            // Somebody waits for what runs; only what is long due does not wait for a quiet moment.
            let quiet = self.registry.len() == 0 || age > every * 2;
            let wanted = age >= due_after(every, &hash) && begins && quiet && !self.is_frozen(&id, &record);
            // Who cheated is not let in again by a clock.
            if wanted && self.burned_peers(&id, key.epoch, &record).await?.is_empty() {
                return Ok(Some((id, epoch)));
            }
        }
        Ok(None)
    }

    /// Refreshes what is due, one key after the other, until the node stops.
    pub(crate) async fn refresh_by_itself(self: Arc<Self>) {
        let Some(every) = self.schedule() else { return };
        let pause = ROUND.min(every / 4);
        loop {
            let due = match self.due_refresh(every).await {
                Ok(due) => due,
                Err(problem) => {
                    tracing::error!(detail = %problem.detail, "which shares are old is not known");
                    None
                }
            };
            let moved = match due {
                Some((id, epoch)) => self.refresh_now(&id, epoch).await,
                None => false,
            };
            // After a failure it is somebody else's turn too.
            if !moved && self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            if self.draining.is_cancelled() {
                return;
            }
        }
    }

    async fn refresh_now(self: &Arc<Self>, id: &KeyId, epoch: u64) -> bool {
        let hash = hash(id, epoch);
        let operation = operation(&hash);
        let until = Instant::now() + self.config.limits.ceremony_deadline;
        let Some(_hold) = self.registry.enter_session(&operation, until).await else { return false };
        let mandate = Mandate { operation, request: Vec::new(), hash, rulings: Vec::new(), source: None };
        let order = Order { key: id.clone(), epoch, what: What::Refresh };
        match coordinate(self, &mandate, &order, 1).await {
            Ok(figures) => {
                tracing::info!(key = %id, epoch = epoch.saturating_add(1), ms = figures.ms, "shares refreshed by schedule");
                true
            }
            Err(problem) => {
                tracing::warn!(key = %id, code = %problem.code, detail = %problem.detail, "shares not refreshed by schedule");
                false
            }
        }
    }

    /// MOVE.15: whether this node helps a refresh that no client asked for.
    async fn agree_to_refresh(
        self: &Arc<Self>,
        from: PeerId,
        proposal: &Proposal,
    ) -> Result<(OperationId, Plan, Hold), Problem> {
        let Work::Refresh { key, epoch, record, dealers, carried } = &proposal.work else {
            return Err(Problem::new(Code::InvalidRequest, "this is no refresh"));
        };
        let refuse = |detail: &str| Problem::new(Code::Unprocessable, detail);
        let every = self.schedule().ok_or_else(|| {
            refuse("this node refreshes nothing by itself: set `[refresh] every` at all nodes or at none")
        })?;
        self.save_burns().await?;
        if self.draining.is_cancelled() {
            return Err(Problem::new(Code::Unavailable, "this node is shutting down"));
        }
        let missing = || Problem::new(Code::NotFound, "this node holds no such key");
        let id: KeyId = key.parse().map_err(|_| missing())?;
        let stored = self.stored_key(&id).await?.ok_or_else(missing)?;
        let own = Record::from_bytes(&stored.record)?;
        if own.index_of(from).is_none() {
            return Err(missing());
        }
        if clock::millis().saturating_sub(stored.updated_at) < millis(every / 2) {
            return Err(refuse("this node's share is not old"));
        }
        if self.is_frozen(&id, &own) {
            return Err(Problem::new(Code::Frozen, "the key is frozen"));
        }
        if !self.burned_peers(&id, stored.epoch, &own).await?.is_empty() {
            return Err(refuse("a pair of this node is burned: a person must order the refresh"));
        }
        let hash = hash(&id, *epoch);
        let attempt = Attempt::of(proposal, from);
        let order = Order { key: id, epoch: *epoch, what: What::Refresh };
        let offer = Offer { record, dealers, carried: *carried, holders: Holders::new() };
        let plan = self.plan_move(&hash, &order, &attempt, offer).await?;
        let operation = operation(&hash);
        let hold = self.registry.join_session(&operation).ok_or_else(|| {
            Problem::new(Code::OperationRunning, "this node takes part in another refresh of the key")
        })?;
        Ok((operation, plan, hold))
    }
}

/// Handles a proposal to refresh that no client asked for.
pub(crate) async fn take_part(shared: &Arc<Shared>, from: PeerId, proposal: &Proposal, line: Line) {
    let ceremony = proposal.ceremony;
    let (operation, plan, hold) = match shared.agree_to_refresh(from, proposal).await {
        Ok(agreed) => agreed,
        Err(problem) => {
            tracing::info!(peer = %shared.name_of(from), code = %problem.code, detail = %problem.detail, "refresh refused");
            let answer = Answer::Refuse(Refusal::new(&problem, None));
            shared.tell(from, &Control::Answer { ceremony, answer }).await;
            return;
        }
    };
    shared.tell(from, &Control::Answer { ceremony, answer: Answer::Accept }).await;
    let attempt = Attempt::of(proposal, from);
    if let Err(problem) = help(shared, from, &operation, &attempt, &plan, line).await {
        tracing::info!(%operation, detail = %problem.detail, "this node's part of a refresh failed");
    }
    drop(hold);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_are_spread_over_parties_and_time() {
        let peers: Vec<PeerId> = (1..=3).map(|n| PeerId::from_bytes([n; 32])).collect();
        let every = Duration::from_secs(1000);
        let (mut begins, mut due) = (std::collections::BTreeMap::new(), Vec::new());
        for n in 0..300_u16 {
            let key = KeyId::derive("test", &n.to_be_bytes());
            let hash = hash(&key, 0);
            *begins.entry(first(&hash, peers.iter().copied()).unwrap()).or_insert(0) += 1;
            // Whoever is away, the others agree on one of them.
            let left = first(&hash, peers.iter().copied().skip(1)).unwrap();
            assert_eq!(Some(left), first(&hash, peers.iter().rev().copied().take(2)));
            due.push(due_after(every, &hash));
        }
        assert!(begins.len() == 3 && begins.values().all(|count| *count > 60), "{begins:?}");
        assert!(due.iter().all(|due| *due >= every * 3 / 4 && *due <= every));
        assert!(*due.iter().max().unwrap() - *due.iter().min().unwrap() > every / 5);
        assert_ne!(hash(&KeyId::derive("test", b"a"), 1), hash(&KeyId::derive("test", b"a"), 2));
    }
}

//! Presignatures of this node: made with others in idle time, kept in memory alone, and used once. Spec: `spec/25-pools.md`.
//!
//! | module | holds |
//! |---|---|
//! | `shelf` | where they wait: counted, bounded, given out once, dropped |
//! | `fill` | making them |
//! | `spend` | signing with them |
//!
//! POOL.1  Nothing here is ever written to a disk: a node that starts, from whatever disk, has none.

pub(crate) mod fill;
pub(crate) mod shelf;
mod spend;

pub(crate) use self::spend::{Spending, work};

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_api::KeyId;
use quorate_intent::Scheme;
use quorate_net::PeerId;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::shelf::{Caps, Lot, Reason, Shelf};
use crate::ceremony::protocols::presign::Part;
use crate::config;
use crate::registry::locked;

/// Most presignatures of one session: what fits into one frame between nodes.
pub(crate) const MAX_BATCH: usize = 24;

/// What was counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Own ones that were made.
    pub(crate) made: AtomicU64,
    /// Own ones that signed, or were to.
    pub(crate) used: AtomicU64,
    /// Requests that could have been signed with some, had there been any.
    pub(crate) missed: AtomicU64,
}

fn add(counter: &AtomicU64, many: usize) {
    counter.fetch_add(u64::try_from(many).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// The presignatures of a node.
pub(crate) struct Pool {
    config: config::Pool,
    shelf: Arc<Shelf<Part>>,
    /// Keys that this node coordinated signatures with, and when last.
    wanted: Mutex<HashMap<KeyId, Instant>>,
    /// When somebody last asked this node for a signature.
    asked: Mutex<Option<Instant>>,
    /// Sessions for the pools of others: one at a time.
    for_others: Arc<Semaphore>,
    counts: Counts,
}

impl Pool {
    pub(crate) fn new(me: PeerId, config: &config::Pool) -> Self {
        let own = config.max_keys.saturating_mul(config.high);
        let caps = Caps { lot: config.high, own, others: config.max_for_others };
        Self {
            shelf: Arc::new(Shelf::new(me, caps, config.max_age)),
            config: config.clone(),
            wanted: Mutex::default(),
            asked: Mutex::default(),
            for_others: Arc::new(Semaphore::new(1)),
            counts: Counts::default(),
        }
    }

    /// Whether this node has a pool.
    pub(crate) const fn is_on(&self) -> bool {
        self.config.high > 0
    }

    /// Somebody waits for a signature.
    pub(crate) fn note(&self) {
        *locked(&self.asked) = Some(Instant::now());
    }

    /// Whether nobody has waited for a while.
    fn is_quiet(&self) -> bool {
        locked(&self.asked).is_none_or(|last| last.elapsed() >= self.config.quiet)
    }

    /// This node coordinates a signature with the key.
    fn want(&self, key: &KeyId) {
        let mut wanted = locked(&self.wanted);
        wanted.insert(key.clone(), Instant::now());
        if wanted.len() > self.config.max_keys {
            let oldest = wanted.iter().min_by_key(|(_, last)| **last).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                wanted.remove(&oldest);
                drop(wanted);
                // No more are made, so these would only take the place of others.
                self.shelf.drop_lots(Reason::Age, |lot| lot.owner == self.shelf.me() && lot.key == oldest);
            }
        }
    }

    /// The keys that are worth it, the latest first.
    fn wanted(&self) -> Vec<KeyId> {
        let mut wanted = locked(&self.wanted);
        wanted.retain(|_, last| last.elapsed() < self.config.max_age);
        let mut keys: Vec<(Instant, KeyId)> = wanted.iter().map(|(key, last)| (*last, key.clone())).collect();
        keys.sort_by_key(|(last, _)| std::cmp::Reverse(*last));
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// POOL.6: the key goes to its next epoch, or is there.
    pub(crate) fn moved(&self, key: &KeyId) {
        self.shelf.drop_lots(Reason::Epoch, |lot| lot.key == *key);
    }

    /// POOL.6: the state of the key was changed by an order.
    pub(crate) fn ordered(&self, key: &KeyId) {
        self.shelf.drop_lots(Reason::State, |lot| lot.key == *key);
    }

    /// POOL.6: the pair of this node with another one is burned in a revision of the key.
    pub(crate) fn burned(&self, key: &KeyId, revision: u64, peer: PeerId) {
        let holds = |lot: &Lot| lot.key == *key && lot.revision == revision && lot.nodes.contains(&peer);
        self.shelf.drop_lots(Reason::Burn, holds);
    }

    /// POOL.6: a member does not have its part of an own presignature, so it may have none of the others.
    pub(crate) fn missing(&self, lot: &Lot) {
        self.shelf.drop_lots(Reason::Missing, |other| other == lot);
    }

    /// POOL.6: signing with one of the lot failed.
    fn failed(&self, lot: &Lot) {
        self.shelf.drop_lots(Reason::Failed, |other| other == lot);
    }

    /// What was counted.
    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many there are, own ones and those of other nodes, by scheme.
    pub(crate) fn ready(&self) -> BTreeMap<(bool, Scheme), usize> {
        self.shelf.ready(Part::scheme)
    }

    /// How many own ones there are.
    pub(crate) fn own(&self) -> u64 {
        let own = self.ready().into_iter().filter(|((own, _), _)| *own).map(|(_, count)| count);
        u64::try_from(own.fold(0, usize::saturating_add)).unwrap_or(u64::MAX)
    }

    /// How many went without having signed.
    pub(crate) fn destroyed(&self) -> BTreeMap<Reason, u64> {
        self.shelf.destroyed()
    }

    const fn quiet(&self) -> Duration {
        self.config.quiet
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool(..)")
    }
}

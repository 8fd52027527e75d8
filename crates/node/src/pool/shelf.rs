//! Where presignatures wait, in memory alone. Knows nothing of protocols: what lies here is counted, bounded, given out once, and dropped.
//!
//! | state | type | left by |
//! |---|---|---|
//! | fresh | `Fresh`, which does not leave this file | [`Shelf::take`], [`Shelf::take_these`], or a rule that drops it |
//! | reserved | [`Taken`], for one request | signing, which consumes it, or being dropped |
//!
//! There is no way back: the only one in is [`Shelf::put`], with the [`Ticket`] of the session that made them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_api::KeyId;
use quorate_net::PeerId;
use quorate_protocol::party::PartyIndex;
use tokio::time::Instant;

use crate::registry::locked;

/// Names a presignature, the same at all its parties.
pub(crate) type Name = [u8; 32];

/// What presignatures of one lot share: the same node owns them, and they are good for the same quorum of a key in the same epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lot {
    /// Who coordinated the session that made them, and alone may propose to use them.
    pub(crate) owner: PeerId,
    pub(crate) key: KeyId,
    /// The revision that holds the epoch.
    pub(crate) revision: u64,
    /// In order.
    pub(crate) quorum: Vec<PartyIndex>,
    /// The nodes of the quorum, in the same order.
    pub(crate) nodes: Vec<PeerId>,
}

/// Why presignatures went without having signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Older than they may get.
    Age,
    /// The key goes to its next epoch, or is there.
    Epoch,
    /// A pair of the quorum is burned.
    Burn,
    /// The state of the key was changed by an order.
    State,
    /// A member has restarted, and with that lost its parts.
    Restart,
    /// A member did not have its part, or the owner does not.
    Missing,
    /// Taken for a request that was not signed with them.
    Failed,
    /// The session that made them ended after something happened that makes them useless.
    Late,
}

impl Reason {
    pub(crate) const ALL: [Self; 8] = [
        Self::Age,
        Self::Epoch,
        Self::Burn,
        Self::State,
        Self::Restart,
        Self::Missing,
        Self::Failed,
        Self::Late,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Epoch => "epoch",
            Self::Burn => "burn",
            Self::State => "state",
            Self::Restart => "restart",
            Self::Missing => "missing",
            Self::Failed => "failed",
            Self::Late => "late",
        }
    }
}

/// Bounds of a shelf, in presignatures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Of one lot.
    pub(crate) lot: usize,
    /// Of all own lots.
    pub(crate) own: usize,
    /// Of all lots of other nodes, each of which may have an equal part.
    pub(crate) others: usize,
}

/// There is no place for so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Whether a member has restarted since a session began.
pub(crate) type Gone = Box<dyn Fn() -> bool + Send + Sync>;

struct Origin {
    made: Instant,
    gone: Gone,
}

struct Fresh<T> {
    name: Name,
    part: T,
    origin: Arc<Origin>,
}

/// A presignature that was given out. Dropping it destroys it.
pub(crate) struct Taken<T> {
    pub(crate) name: Name,
    pub(crate) part: T,
}

/// A session that is making presignatures.
struct Coming {
    lot: Lot,
    count: usize,
    void: bool,
    gone: Gone,
}

struct State<T> {
    lots: HashMap<Lot, VecDeque<Fresh<T>>>,
    coming: HashMap<u64, Coming>,
    next: u64,
    destroyed: BTreeMap<Reason, u64>,
}

impl<T> State<T> {
    fn held(&self, of: impl Fn(&Lot) -> bool) -> usize {
        let lying = self.lots.iter().filter(|(lot, _)| of(lot)).map(|(_, fresh)| fresh.len());
        let coming = self.coming.values().filter(|coming| of(&coming.lot)).map(|coming| coming.count);
        lying.chain(coming).fold(0, usize::saturating_add)
    }

    fn count(&mut self, reason: Reason, many: usize) {
        let count = self.destroyed.entry(reason).or_default();
        *count = count.saturating_add(u64::try_from(many).unwrap_or(u64::MAX));
    }

    fn keep(&mut self, lot: &Lot, reason: Reason, keep: impl Fn(&Fresh<T>) -> bool) {
        let Some(fresh) = self.lots.get_mut(lot) else { return };
        let before = fresh.len();
        fresh.retain(keep);
        let (after, empty) = (fresh.len(), fresh.is_empty());
        if empty {
            self.lots.remove(lot);
        }
        self.count(reason, before.saturating_sub(after));
    }

    /// Drops of a lot what may not be used any more.
    fn sweep(&mut self, lot: &Lot, max_age: Duration) {
        self.keep(lot, Reason::Restart, |fresh| !(fresh.origin.gone)());
        self.keep(lot, Reason::Age, |fresh| fresh.origin.made.elapsed() < max_age);
    }
}

/// All presignatures of a node.
pub(crate) struct Shelf<T> {
    me: PeerId,
    caps: Caps,
    max_age: Duration,
    state: Mutex<State<T>>,
}

/// A place for what a session makes. Given up when dropped.
pub(crate) struct Ticket<T> {
    shelf: Arc<Shelf<T>>,
    number: u64,
}

impl<T> Shelf<T> {
    pub(crate) fn new(me: PeerId, caps: Caps, max_age: Duration) -> Self {
        let state =
            State { lots: HashMap::new(), coming: HashMap::new(), next: 0, destroyed: BTreeMap::new() };
        Self { me, caps, max_age, state: Mutex::new(state) }
    }

    /// The node that it is of.
    pub(crate) const fn me(&self) -> PeerId {
        self.me
    }

    /// POOL.7: keeps places for what a session will make, before it begins. There are so many other nodes.
    ///
    /// # Errors
    /// [`Full`] if there are not so many places.
    pub(crate) fn begin(
        self: &Arc<Self>,
        lot: Lot,
        count: usize,
        peers: usize,
        gone: Gone,
    ) -> Result<Ticket<T>, Full> {
        let mut state = locked(&self.state);
        let fits = |held: usize, cap: usize| held.saturating_add(count) <= cap;
        let (owner, me, caps) = (lot.owner, self.me, self.caps);
        let room = if owner == me {
            fits(state.held(|other| other.owner == me), caps.own)
        } else {
            // Nobody can take the place of others.
            fits(state.held(|other| other.owner == owner), caps.others / peers.max(1))
                && fits(state.held(|other| other.owner != me), caps.others)
        };
        if !room || !fits(state.held(|other| *other == lot), caps.lot) {
            return Err(Full);
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.coming.insert(number, Coming { lot, count, void: false, gone });
        Ok(Ticket { shelf: Arc::clone(self), number })
    }

    /// Takes in what a session made, if nothing happened meanwhile that makes it useless. The number of those that are kept.
    pub(crate) fn put(&self, ticket: Ticket<T>, made: Vec<(Name, T)>) -> usize {
        let mut state = locked(&self.state);
        let coming = state.coming.remove(&ticket.number);
        let count = made.len();
        let kept = coming.filter(|coming| !coming.void && count <= coming.count && !(coming.gone)());
        let kept = match kept {
            Some(Coming { lot, gone, .. }) => {
                let origin = Arc::new(Origin { made: Instant::now(), gone });
                let fresh = made.into_iter();
                let fresh = fresh.map(|(name, part)| Fresh { name, part, origin: Arc::clone(&origin) });
                state.lots.entry(lot).or_default().extend(fresh);
                count
            }
            None => {
                state.count(Reason::Late, count);
                0
            }
        };
        drop(state);
        drop(ticket);
        kept
    }

    /// The oldest of an own lot; `None` if there are not so many, and then none is taken.
    pub(crate) fn take(&self, lot: &Lot, count: usize) -> Option<Vec<Taken<T>>> {
        let mut state = locked(&self.state);
        state.sweep(lot, self.max_age);
        let fresh = state.lots.get_mut(lot).filter(|fresh| fresh.len() >= count)?;
        let taken = fresh.drain(..count).map(|Fresh { name, part, .. }| Taken { name, part }).collect();
        if fresh.is_empty() {
            state.lots.remove(lot);
        }
        Some(taken)
    }

    /// Those with these names, in their order; `None` if one of them is not there, and then none is taken.
    pub(crate) fn take_these(&self, lot: &Lot, names: &[Name]) -> Option<Vec<Taken<T>>> {
        let mut state = locked(&self.state);
        state.sweep(lot, self.max_age);
        let fresh = state.lots.get_mut(lot)?;
        let mut taken: Vec<Taken<T>> = Vec::with_capacity(names.len().min(fresh.len()));
        let there = |name: &Name| fresh.iter().any(|fresh| fresh.name == *name);
        let distinct = names.iter().enumerate().all(|(at, name)| !names.iter().take(at).any(|n| n == name));
        if !distinct || !names.iter().all(there) {
            return None;
        }
        for name in names {
            let at = fresh.iter().position(|fresh| fresh.name == *name)?;
            let Fresh { name, part, .. } = fresh.remove(at)?;
            taken.push(Taken { name, part });
        }
        if fresh.is_empty() {
            state.lots.remove(lot);
        }
        Some(taken)
    }

    /// Drops of a lot what its owner does not have any more.
    pub(crate) fn retain(&self, lot: &Lot, names: &[Name]) {
        locked(&self.state).keep(lot, Reason::Missing, |fresh| names.contains(&fresh.name));
    }

    /// Drops every lot that `which` means, and what sessions are making for them.
    pub(crate) fn drop_lots(&self, reason: Reason, which: impl Fn(&Lot) -> bool) {
        let mut state = locked(&self.state);
        let mut gone = 0_usize;
        state.lots.retain(|lot, fresh| {
            let stays = !which(lot);
            if !stays {
                gone = gone.saturating_add(fresh.len());
            }
            stays
        });
        for coming in state.coming.values_mut().filter(|coming| which(&coming.lot)) {
            coming.void = true;
        }
        state.count(reason, gone);
    }

    /// Drops what is too old, and what a member that restarted does not have any more.
    pub(crate) fn sweep(&self) {
        let mut state = locked(&self.state);
        let lots: Vec<Lot> = state.lots.keys().cloned().collect();
        for lot in lots {
            state.sweep(&lot, self.max_age);
        }
    }

    /// The names of a lot, the oldest first.
    pub(crate) fn names(&self, lot: &Lot) -> Vec<Name> {
        let state = locked(&self.state);
        state.lots.get(lot).map(|fresh| fresh.iter().map(|fresh| fresh.name).collect()).unwrap_or_default()
    }

    /// How many there are, by what `kind` says of them: own ones, and those of other nodes.
    pub(crate) fn ready<K: Ord>(&self, kind: impl Fn(&T) -> K) -> BTreeMap<(bool, K), usize> {
        let state = locked(&self.state);
        let mut count = BTreeMap::new();
        for (lot, fresh) in &state.lots {
            for fresh in fresh {
                let ready: &mut usize = count.entry((lot.owner == self.me, kind(&fresh.part))).or_default();
                *ready = ready.saturating_add(1);
            }
        }
        count
    }

    /// Counts what was taken and not used.
    pub(crate) fn lost(&self, reason: Reason, many: usize) {
        locked(&self.state).count(reason, many);
    }

    /// How many went without having signed.
    pub(crate) fn destroyed(&self) -> BTreeMap<Reason, u64> {
        locked(&self.state).destroyed.clone()
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        locked(&self.shelf.state).coming.remove(&self.number);
    }
}

impl<T> std::fmt::Debug for Taken<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Taken(..)")
    }
}

#[cfg(test)]
mod tests;

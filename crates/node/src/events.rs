//! What changes at this node, for those who watch: the newest events in memory, each reader at its own place.
//!
//! Nobody who reads can hold up who writes: an event goes into a ring, and a reader that falls behind the ring finds a gap. Operations
//! and keys are told of by the store, after the change is durable, so no way to change them can forget it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use quorate_api::{Code, Event, EventKind, KeyId, Problem};
use quorate_net::PeerId;
use quorate_store::{Change, KeyStatus, Operation, OperationFilter, OperationStatus, Store};
use tokio::sync::watch;

use crate::clock;
use crate::limits::Limiter;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};
use crate::trace;

/// Events that are kept.
pub(crate) const KEPT: usize = 4096;

/// The newest events.
#[derive(Debug)]
pub(crate) struct Events {
    node: String,
    start: u64,
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    /// The place of the next event.
    next: u64,
    kept: VecDeque<Arc<Event>>,
}

/// What a reader gets.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Where the reader is now.
    pub(crate) at: u64,
    pub(crate) events: Vec<Arc<Event>>,
}

impl Events {
    /// Counts from the microseconds of the clock, so that places grow over restarts too: no node has a million events a second.
    pub(crate) fn new(node: String) -> Self {
        Self::from(node, clock::millis().saturating_mul(1000))
    }

    fn from(node: String, next: u64) -> Self {
        let next = next.max(1);
        let ring = Mutex::new(Ring { next, kept: VecDeque::with_capacity(64) });
        let start = next.saturating_sub(1);
        Self { node, start, ring, newest: watch::Sender::new(start) }
    }

    /// The place before the first event since the start.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Tells everybody. `fill` adds what the event is about.
    pub(crate) fn tell(&self, kind: EventKind, fill: impl FnOnce(Event) -> Event) {
        let id = {
            let mut ring = locked(&self.ring);
            let id = ring.next;
            let mut event = Event::new(id, kind, clock::millis(), self.node.clone());
            event.request_id = trace::request_id().map(|id| id.to_string());
            ring.next = id.saturating_add(1);
            ring.kept.push_back(Arc::new(fill(event)));
            while ring.kept.len() > KEPT {
                ring.kept.pop_front();
            }
            id
        };
        // Two at once may come out of order here; the larger one counts.
        self.newest.send_if_modified(|newest| {
            let newer = *newest < id;
            *newest = (*newest).max(id);
            newer
        });
    }

    /// Changes with every event.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// The events after `at`, at most `most`. Begins with a gap if some of them are not kept any more, or if `at` is none of this
    /// node's places.
    pub(crate) fn after(&self, at: u64, most: usize) -> Batch {
        let ring = locked(&self.ring);
        let newest = ring.next.saturating_sub(1);
        let oldest = ring.kept.front().map_or(ring.next, |event| event.id);
        let known = at <= newest && at.saturating_add(1) >= oldest;
        let mut batch = Batch { at, events: Vec::new() };
        if !known {
            batch.at = oldest.saturating_sub(1);
            let mut gap = Event::new(batch.at, EventKind::Gap, clock::millis(), self.node.clone());
            gap.after = Some(at);
            let what = "events are missing here: ask for the operations and keys that matter";
            batch.events.push(Arc::new(gap.with_detail(what)));
        }
        let skipped = usize::try_from(batch.at.saturating_add(1).saturating_sub(oldest));
        let room = most.saturating_sub(batch.events.len());
        let new = ring.kept.iter().skip(skipped.unwrap_or(usize::MAX)).take(room);
        batch.events.extend(new.cloned());
        batch.at = batch.events.last().map_or(batch.at, |last| last.id);
        batch
    }

    /// Tells of what the store has made durable.
    pub(crate) fn changed(&self, change: &Change<'_>) {
        match change {
            Change::Begun(operation) => {
                self.operation(EventKind::OperationCreated, operation);
                if operation.status != OperationStatus::Queued {
                    self.operation(status_kind(operation.status, false), operation);
                }
            }
            // On the way from queued to queued, which the store does in two steps.
            Change::Updated { operation, failed: true, .. }
                if operation.status == OperationStatus::Running => {}
            Change::Updated { operation, failed, .. } => {
                self.operation(status_kind(operation.status, *failed), operation);
            }
            Change::Key { key_id, status } => {
                let kind = match status {
                    KeyStatus::Pending => EventKind::KeyCreating,
                    KeyStatus::Active => EventKind::KeyActive,
                    KeyStatus::Disabled => EventKind::KeyDisabled,
                    KeyStatus::Exposed => EventKind::KeyExposed,
                    KeyStatus::Burned => EventKind::KeyBurned,
                    KeyStatus::Destroyed => EventKind::KeyDestroyed,
                };
                self.tell(kind, |event| Event { key: key_id.parse().ok(), ..event });
            }
        }
    }

    fn operation(&self, kind: EventKind, operation: &Operation) {
        let failed = kind == EventKind::OperationFailed || kind == EventKind::OperationRejected;
        let problem = operation.error.as_deref().filter(|_| failed);
        let problem = problem.and_then(|error| serde_json::from_slice::<Problem>(error).ok());
        self.tell(kind, |event| {
            let event = Event {
                operation: operation.op_id.parse().ok(),
                key: operation.key_id.as_deref().and_then(|key| key.parse().ok()),
                attempt: (operation.attempt > 0).then_some(operation.attempt),
                code: problem.as_ref().map(|problem| problem.code),
                ..event
            };
            match &problem {
                // Which check failed is for the operators of this node: see `Failure::hushed`.
                Some(Problem { code: Code::CeremonyAborted | Code::KeyBurned, .. }) | None => event,
                Some(problem) => event.with_detail(&problem.detail),
            }
        });
    }

    /// A pair burned.
    pub(crate) fn burned(&self, key: &KeyId, peer: String) {
        self.tell(EventKind::PairBurned, |event| Event { key: Some(key.clone()), peer: Some(peer), ..event });
    }

    /// A log contradicts itself.
    pub(crate) fn contradiction(&self, peer: String, what: &str) {
        self.tell(EventKind::LogContradiction, |event| Event { peer: Some(peer), ..event }.with_detail(what));
    }
}

/// The event of a status. What is queued with an error has failed, and may be tried again.
const fn status_kind(status: OperationStatus, failed: bool) -> EventKind {
    match status {
        OperationStatus::PendingApproval => EventKind::OperationPending,
        OperationStatus::Queued if failed => EventKind::OperationFailed,
        OperationStatus::Queued => EventKind::OperationQueued,
        OperationStatus::Running => EventKind::OperationRunning,
        OperationStatus::Succeeded => EventKind::OperationSucceeded,
        OperationStatus::Failed => EventKind::OperationFailed,
        OperationStatus::Rejected => EventKind::OperationRejected,
        OperationStatus::Expired => EventKind::OperationExpired,
        OperationStatus::Cancelled => EventKind::OperationCancelled,
    }
}

/// Lets the store tell of its changes, and counts what waits for approvals since before the start.
pub(crate) async fn watch_store(
    store: &Store,
    events: &Arc<Events>,
    limiter: &Arc<Limiter>,
) -> Result<(), Problem> {
    let waiting = OperationFilter { key_id: None, status: Some(OperationStatus::PendingApproval) };
    let mut after = None;
    loop {
        let page = store.list_operations(&waiting, after, quorate_store::MAX_PAGE_LEN).await;
        let page = page.map_err(|error| store_problem(&error))?;
        page.items.iter().for_each(|operation| limiter.stored(operation));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let (events, limiter) = (Arc::clone(events), Arc::clone(limiter));
    store.watch(move |change| {
        limiter.changed(change);
        events.changed(change);
    });
    Ok(())
}

/// Tells of connections that come and go, until the node stops.
pub(crate) async fn watch_peers(shared: Arc<Shared>) {
    let mut changes = shared.network.changes();
    // How many connections each peer had so far, of those that have one.
    let mut up: BTreeMap<PeerId, u64> = BTreeMap::new();
    loop {
        changes.borrow_and_update();
        let states = shared.network.peer_states();
        let now: BTreeMap<PeerId, u64> = states
            .into_iter()
            .filter(|peer| peer.is_connected())
            .map(|peer| (peer.id, peer.connections))
            .collect();
        let tell = |kind: EventKind, peer: &PeerId| {
            let name = shared.name_of(*peer);
            shared.events.tell(kind, |event| Event { peer: Some(name), ..event });
        };
        // One that is up by another connection was down in between.
        for (peer, _) in up.iter().filter(|(peer, number)| now.get(peer) != Some(number)) {
            tell(EventKind::PeerDown, peer);
        }
        for (peer, _) in now.iter().filter(|(peer, number)| up.get(peer) != Some(number)) {
            tell(EventKind::PeerUp, peer);
            let (greeting, peer) = (Arc::clone(&shared), *peer);
            shared.tasks.spawn(async move {
                if let Err(problem) = greeting.greet(peer).await {
                    tracing::warn!(peer = %greeting.name_of(peer), detail = %problem.detail, "a peer is not told what waits");
                }
            });
        }
        up = now;
        match shared.stop.run_until_cancelled(changes.changed()).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(count: u64) -> Events {
        let events = Events::from("node-a".to_owned(), 1000);
        for _ in 0..count {
            events.tell(EventKind::PeerUp, |event| event);
        }
        events
    }

    fn ids(batch: &Batch) -> Vec<u64> {
        batch.events.iter().map(|event| event.id).collect()
    }

    #[test]
    fn a_reader_gets_what_follows_its_place_in_pieces() {
        let events = told(5);
        let first = events.after(999, 3);
        assert_eq!((ids(&first), first.at), (vec![1000, 1001, 1002], 1002));
        assert_eq!(ids(&events.after(first.at, 3)), [1003, 1004]);
        let end = events.after(1004, 3);
        assert!(end.events.is_empty() && end.at == 1004);
        assert_eq!((*events.newest().borrow(), events.start()), (1004, 999));
    }

    #[test]
    fn what_is_not_kept_is_said() {
        let many = u64::try_from(KEPT).unwrap() + 10;
        let events = told(many);
        let batch = events.after(1003, 2);
        assert_eq!(batch.events.first().unwrap().kind, EventKind::Gap);
        assert_eq!(batch.events.first().unwrap().after, Some(1003));
        // The gap has the place before the oldest that is kept, so going on after it misses nothing more.
        assert_eq!(ids(&batch), [1009, 1010]);
        assert_eq!(ids(&events.after(1009, 1)), [1010], "no gap right behind the oldest");
        for stranger in [0, 5, 999_999_999] {
            let batch = events.after(stranger, 5);
            assert_eq!(batch.events.first().unwrap().kind, EventKind::Gap, "{stranger}");
            assert_eq!(ids(&batch).get(1), Some(&1010));
        }
        let none = told(0);
        assert!(none.after(999, 5).events.is_empty());
        assert_eq!(none.after(0, 5).events.first().unwrap().kind, EventKind::Gap);
        assert_eq!(none.after(none.after(0, 5).at, 5).events.len(), 0, "said once");
    }

    #[test]
    fn places_grow_over_a_restart() {
        let before = told(3).after(999, 9).at;
        assert!(Events::new("node-a".to_owned()).after(before, 1).at > before);
    }
}

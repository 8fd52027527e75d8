//! Where received frames wait for their reader: bounded for each sender, taken in turns.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::frame::SessionTag;
use crate::identity::PeerId;
use crate::link::locked;
use crate::router::{KEEPING_COST, Router};
use crate::stats::{Flows, SessionBytes};

/// What the frames of each peer may take up in all sessions together.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    /// What was held is counted on when a peer goes and comes again: what it sent before may still wait.
    held: RwLock<BTreeMap<PeerId, AtomicUsize>>,
}

impl Budget {
    pub(crate) fn new(limit: usize, peers: impl Iterator<Item = PeerId>) -> Self {
        Self { limit, held: RwLock::new(peers.map(|peer| (peer, AtomicUsize::new(0))).collect()) }
    }

    /// Gives a new peer room.
    pub(crate) fn admit(&self, peer: PeerId) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).entry(peer).or_default();
    }

    fn with<T>(&self, peer: PeerId, look: impl FnOnce(&AtomicUsize) -> T) -> Option<T> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(&peer).map(look)
    }

    /// Takes room for a frame; false when the peer has none left.
    fn take(&self, peer: PeerId, cost: usize) -> bool {
        let within = |held: usize| held.checked_add(cost).filter(|held| *held <= self.limit);
        self.with(peer, |held| held.fetch_update(Relaxed, Relaxed, within).is_ok()).unwrap_or(false)
    }

    fn give_back(&self, peer: PeerId, cost: usize) {
        let _unknown_holds_nothing = self.with(peer, |held| held.fetch_sub(cost, Relaxed));
    }

    #[cfg(test)]
    pub(crate) fn held(&self, peer: PeerId) -> usize {
        self.with(peer, |held| held.load(Relaxed)).unwrap_or(0)
    }
}

/// Bounded queues, one a sender. A sender that floods fills only its own.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<InboxState>,
    ready: Notify,
    max_frames: usize,
    max_bytes: usize,
    /// Shared with the peers' other sessions.
    budget: Option<Arc<Budget>>,
}

#[derive(Debug, Default)]
struct InboxState {
    queues: BTreeMap<PeerId, Queue>,
    /// Senders with something waiting, each once: whose turn is next.
    turns: VecDeque<PeerId>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Inbox {
    pub(crate) fn new(max_frames: usize, max_bytes: usize) -> Self {
        Self { state: Mutex::default(), ready: Notify::new(), max_frames, max_bytes, budget: None }
    }

    pub(crate) fn within(budget: Arc<Budget>, max_frames: usize, max_bytes: usize) -> Self {
        let mut inbox = Self::new(max_frames, max_bytes);
        inbox.budget = Some(budget);
        inbox
    }

    /// Appends a frame; false when the sender's queue is full or the inbox is closed.
    pub(crate) fn push(&self, from: PeerId, body: Bytes) -> bool {
        {
            let mut guard = locked(&self.state);
            let state = &mut *guard;
            let queue = state.queues.entry(from).or_default();
            let bytes = queue.bytes.saturating_add(body.len());
            if state.closed || queue.frames.len() >= self.max_frames || bytes > self.max_bytes {
                return false;
            }
            if self.budget.as_ref().is_some_and(|budget| !budget.take(from, cost(&body))) {
                return false;
            }
            if queue.frames.is_empty() {
                state.turns.push_back(from);
            }
            queue.bytes = bytes;
            queue.frames.push_back(body);
        }
        self.ready.notify_one();
        true
    }

    pub(crate) fn close(&self) {
        locked(&self.state).closed = true;
        self.ready.notify_one();
    }

    fn pop(&self) -> Result<(PeerId, Bytes), bool> {
        let mut guard = locked(&self.state);
        let state = &mut *guard;
        while let Some(from) = state.turns.pop_front() {
            let Some(queue) = state.queues.get_mut(&from) else { continue };
            let Some(body) = queue.frames.pop_front() else { continue };
            queue.bytes = queue.bytes.saturating_sub(body.len());
            if let Some(budget) = &self.budget {
                budget.give_back(from, cost(&body));
            }
            if !queue.frames.is_empty() {
                state.turns.push_back(from);
            }
            return Ok((from, body));
        }
        Err(state.closed)
    }

    /// The next frame; `None` once closed and empty. Cancel-safe; for one reader at a time.
    pub(crate) async fn recv(&self) -> Option<(PeerId, Bytes)> {
        // A sender that always has something ready must not keep other tasks from running.
        tokio::task::coop::consume_budget().await;
        loop {
            match self.pop() {
                Ok(frame) => return Some(frame),
                Err(true) => return None,
                Err(false) => self.ready.notified().await,
            }
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let Some(budget) = &self.budget else { return };
        for (from, queue) in &locked(&self.state).queues {
            queue.frames.iter().for_each(|body| budget.give_back(*from, cost(body)));
        }
    }
}

/// What keeping a frame takes.
fn cost(body: &Bytes) -> usize {
    KEEPING_COST.saturating_add(body.len())
}

/// Receives the control frames of all peers. Taken once from [`crate::Network::control`].
///
/// While nobody reads, each peer's frames wait up to `inbox_frames` and `inbox_bytes`; further ones are
/// dropped and counted.
#[derive(Debug)]
pub struct ControlReceiver {
    pub(crate) inbox: Arc<Inbox>,
}

impl ControlReceiver {
    /// The next frame with the proved identity of its sender; `None` once the network is shut down.
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Option<(PeerId, Bytes)> {
        self.inbox.recv().await
    }
}

/// Why a session cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is open.
    #[error("session `{tag}` is already open on this node")]
    AlreadyOpen {
        /// The session.
        tag: SessionTag,
    },
    /// It was open not long ago: a tag names one session only.
    #[error("session `{tag}` has already run on this node: start a new one")]
    AlreadyClosed {
        /// The session.
        tag: SessionTag,
    },
    /// A member is not configured as a peer.
    #[error("`{id}` is to take part but is not a configured peer of this node")]
    UnknownMember {
        /// The member.
        id: PeerId,
    },
    /// The network is shut down.
    #[error("the network is shut down")]
    ShutDown,
}

/// One open session's receiving end. Dropping it closes the session: later frames are dropped at once.
pub struct Mailbox {
    pub(crate) tag: SessionTag,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) flows: Arc<Flows>,
    pub(crate) router: Arc<Router>,
}

impl Mailbox {
    /// The session this mailbox belongs to.
    #[must_use]
    pub const fn tag(&self) -> SessionTag {
        self.tag
    }

    /// The next frame of a member with the proved identity of its sender; members take turns. `None`
    /// once the network is shut down. Cancel-safe.
    pub async fn recv(&mut self) -> Option<(PeerId, Bytes)> {
        self.inbox.recv().await
    }

    /// What the session has cost so far.
    #[must_use]
    pub fn bytes(&self) -> SessionBytes {
        self.flows.traffic().into()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.router.close(self.tag);
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("tag", &self.tag).finish_non_exhaustive()
    }
}

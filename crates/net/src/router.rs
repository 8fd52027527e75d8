//! Which mailbox a session frame belongs to, and what happens to frames without one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;

use crate::config::Limits;
use crate::frame::{OVERHEAD, SessionTag};
use crate::identity::PeerId;
use crate::link::locked;
use crate::mailbox::{Budget, Inbox, Mailbox, OpenError};
use crate::stats::{Drops, Flows, SessionBytes};

/// What keeping one frame costs beside its body, so that empty frames are not free.
pub(crate) const KEEPING_COST: usize = 128;

/// Routes the session frames of all peers.
#[derive(Debug)]
pub(crate) struct Router {
    limits: Limits,
    drops: Mutex<BTreeMap<PeerId, Arc<Drops>>>,
    budget: Arc<Budget>,
    state: Mutex<RouterState>,
}

#[derive(Debug, Default)]
struct RouterState {
    open: HashMap<SessionTag, OpenSession>,
    early: BTreeMap<PeerId, Early>,
    closed: HashMap<SessionTag, Arc<Flows>>,
    /// The keys of `closed`, oldest first.
    closed_order: VecDeque<SessionTag>,
    shut_down: bool,
}

#[derive(Debug)]
struct OpenSession {
    members: Vec<PeerId>,
    inbox: Arc<Inbox>,
    flows: Arc<Flows>,
}

/// Frames of one peer for sessions that are not open, oldest first.
#[derive(Debug, Default)]
struct Early {
    frames: VecDeque<EarlyFrame>,
    bytes: usize,
}

#[derive(Debug)]
struct EarlyFrame {
    arrived: Instant,
    tag: SessionTag,
    body: Bytes,
}

impl EarlyFrame {
    fn cost(&self) -> usize {
        KEEPING_COST.saturating_add(self.body.len())
    }
}

impl Early {
    /// Makes room for `cost` and drops what is too old; returns how many frames went.
    fn trim(&mut self, limits: &Limits, now: Instant, count: usize, cost: usize) -> usize {
        let mut dropped = 0_usize;
        while let Some(oldest) = self.frames.front() {
            let expired = now.saturating_duration_since(oldest.arrived) >= limits.early_ttl;
            let full = self.frames.len().saturating_add(count) > limits.early_frames
                || self.bytes.saturating_add(cost) > limits.early_bytes;
            if !expired && !full {
                break;
            }
            self.bytes = self.bytes.saturating_sub(oldest.cost());
            self.frames.pop_front();
            dropped = dropped.saturating_add(1);
        }
        dropped
    }

    /// Takes out the frames for `tag`, in order.
    fn take(&mut self, tag: SessionTag) -> Vec<Bytes> {
        let (taken, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.frames).into_iter().partition(|frame| frame.tag == tag);
        self.frames = kept;
        self.bytes = self.frames.iter().map(EarlyFrame::cost).sum();
        taken.into_iter().map(|frame| frame.body).collect()
    }
}

impl Router {
    pub(crate) fn new(limits: Limits, drops: BTreeMap<PeerId, Arc<Drops>>) -> Self {
        let budget = Arc::new(Budget::new(limits.session_bytes, drops.keys().copied()));
        Self { limits, drops: Mutex::new(drops), budget, state: Mutex::default() }
    }

    /// From now on frames of this peer are taken.
    pub(crate) fn admit(&self, peer: PeerId, drops: Arc<Drops>) {
        self.budget.admit(peer);
        locked(&self.drops).insert(peer, drops);
    }

    /// From now on frames of this peer are dropped, and those that wait for a session that is not open are gone.
    pub(crate) fn forget(&self, peer: PeerId) {
        locked(&self.drops).remove(&peer);
        locked(&self.state).early.remove(&peer);
    }

    fn drops_of(&self, peer: PeerId) -> Option<Arc<Drops>> {
        locked(&self.drops).get(&peer).map(Arc::clone)
    }

    /// Delivers, keeps or drops one frame. Never blocks: a slow session costs the others nothing.
    pub(crate) fn deliver(&self, from: PeerId, tag: SessionTag, body: Bytes) {
        let Some(drops) = self.drops_of(from) else { return };
        let mut guard = locked(&self.state);
        let state = &mut *guard;
        if let Some(session) = state.open.get(&tag) {
            if !session.members.contains(&from) {
                drops.not_member.add(1);
                return;
            }
            session.flows.received.add(OVERHEAD.saturating_add(body.len()));
            let inbox = Arc::clone(&session.inbox);
            drop(guard);
            if !inbox.push(from, body) {
                drops.inbox_full.add(1);
            }
            return;
        }
        if state.shut_down || state.closed.contains_key(&tag) {
            drops.closed.add(1);
            return;
        }
        let now = Instant::now();
        let frame = EarlyFrame { arrived: now, tag, body };
        let early = state.early.entry(from).or_default();
        let cost = frame.cost();
        drops.early.add(early.trim(&self.limits, now, 1, cost));
        if cost > self.limits.early_bytes || self.limits.early_frames == 0 {
            drops.early.add(1);
            return;
        }
        early.bytes = early.bytes.saturating_add(cost);
        early.frames.push_back(frame);
    }

    /// Opens a session and hands over what its members have sent already.
    pub(crate) fn open(
        self: &Arc<Self>,
        tag: SessionTag,
        members: Vec<PeerId>,
    ) -> Result<Mailbox, OpenError> {
        let mut guard = locked(&self.state);
        let state = &mut *guard;
        if state.shut_down {
            return Err(OpenError::ShutDown);
        }
        if state.open.contains_key(&tag) {
            return Err(OpenError::AlreadyOpen { tag });
        }
        if state.closed.contains_key(&tag) {
            return Err(OpenError::AlreadyClosed { tag });
        }
        let inbox =
            Inbox::within(Arc::clone(&self.budget), self.limits.inbox_frames, self.limits.inbox_bytes);
        let inbox = Arc::new(inbox);
        let flows = Arc::new(Flows::default());
        let now = Instant::now();
        for (from, early) in &mut state.early {
            let Some(drops) = self.drops_of(*from) else { continue };
            drops.early.add(early.trim(&self.limits, now, 0, 0));
            let frames = early.take(tag);
            if !members.contains(from) {
                drops.not_member.add(frames.len());
                continue;
            }
            for body in frames {
                flows.received.add(OVERHEAD.saturating_add(body.len()));
                if !inbox.push(*from, body) {
                    drops.inbox_full.add(1);
                }
            }
        }
        let session = OpenSession { members, inbox: Arc::clone(&inbox), flows: Arc::clone(&flows) };
        state.open.insert(tag, session);
        Ok(Mailbox { tag, inbox, flows, router: Arc::clone(self) })
    }

    /// Ends a session and remembers its tag, so that late frames are neither kept nor delivered.
    pub(crate) fn close(&self, tag: SessionTag) {
        let mut guard = locked(&self.state);
        let state = &mut *guard;
        let Some(session) = state.open.remove(&tag) else { return };
        session.inbox.close();
        state.closed.insert(tag, session.flows);
        state.closed_order.push_back(tag);
        while state.closed_order.len() > self.limits.closed_sessions {
            if let Some(oldest) = state.closed_order.pop_front() {
                state.closed.remove(&oldest);
            }
        }
    }

    /// Closes every inbox for good.
    pub(crate) fn shut_down(&self) {
        let mut guard = locked(&self.state);
        guard.shut_down = true;
        guard.early.clear();
        for session in guard.open.values() {
            session.inbox.close();
        }
    }

    pub(crate) fn count_sent(&self, tag: SessionTag, bytes: usize) {
        if let Some(session) = locked(&self.state).open.get(&tag) {
            session.flows.sent.add(bytes);
        }
    }

    pub(crate) fn session_bytes(&self, tag: SessionTag) -> Option<SessionBytes> {
        let state = locked(&self.state);
        let flows = state.open.get(&tag).map(|session| &session.flows).or_else(|| state.closed.get(&tag))?;
        Some(flows.traffic().into())
    }

    #[cfg(test)]
    pub(crate) fn session_bytes_held(&self, peer: PeerId) -> usize {
        self.budget.held(peer)
    }

    /// Frames and bytes kept for sessions that are not open, for each peer.
    #[cfg(test)]
    pub(crate) fn early_held(&self) -> BTreeMap<PeerId, (usize, usize)> {
        let state = locked(&self.state);
        state.early.iter().map(|(peer, early)| (*peer, (early.frames.len(), early.bytes))).collect()
    }
}

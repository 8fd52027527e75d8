//! One peer: its outgoing queue, which outlives connections, and which connection is in use.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{Limits, Peer};
use crate::delivery::{Greeting, Outbox, Outgoing, Received};
use crate::frame::{Frame, Instance};
use crate::identity::PeerId;
use crate::network::SendError;
use crate::stats::{Counter, Drops, Flows, PeerState};

/// Locks; a panic elsewhere leaves nothing half-done in what we guard, so poison is ignored.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who opened a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Us,
    Peer,
}

/// The state of one peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: PeerId,
    name: Mutex<String>,
    /// Where it is dialled; empty while it has to dial us.
    pub(crate) address: watch::Sender<String>,
    /// Cancelled when the peer is one no longer: its connections end at once.
    removed: Mutex<CancellationToken>,
    /// Of the two nodes the one with the lower identity chooses the connection.
    pub(crate) we_decide: bool,
    pub(crate) outbox: tokio::sync::Mutex<Outbox>,
    pub(crate) flows: Flows,
    pub(crate) drops: Arc<Drops>,
    queue: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    limits: Limits,
    state: Mutex<LinkState>,
    connections: Counter,
    up: watch::Sender<bool>,
    /// Shared by all links: a number that changes with any of them.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct LinkState {
    active: Option<Active>,
    received: Received,
    /// When the last connection ended, or the network started.
    down_since: Instant,
    next: u64,
    /// Cancels the inbound connection that has proved the identity but not greeted yet.
    greeting: Option<CancellationToken>,
    last_lifetime: Option<Duration>,
    last_error: Option<String>,
}

#[derive(Debug)]
struct Active {
    number: u64,
    origin: Origin,
    since: Instant,
    rtt: Option<Duration>,
    replaced: CancellationToken,
}

/// The connection in use; dropping it takes it out of use.
#[derive(Debug)]
pub(crate) struct InUse {
    link: Arc<Link>,
    number: u64,
    /// Cancelled when another connection took over.
    pub(crate) replaced: CancellationToken,
}

impl Link {
    pub(crate) fn new(own: PeerId, peer: Peer, limits: &Limits, changed: watch::Sender<u64>) -> Self {
        let (queue, queued) = mpsc::channel(limits.queue_frames.max(1));
        let room = limits.queue_bytes.max(limits.max_frame).min(Semaphore::MAX_PERMITS);
        Self {
            we_decide: own < peer.id,
            id: peer.id,
            name: Mutex::new(peer.name),
            address: watch::Sender::new(peer.address),
            removed: Mutex::default(),
            outbox: tokio::sync::Mutex::new(Outbox::new(queued)),
            flows: Flows::default(),
            drops: Arc::default(),
            queue,
            room: Arc::new(Semaphore::new(room)),
            limits: limits.clone(),
            state: Mutex::new(LinkState {
                active: None,
                received: Received::default(),
                down_since: Instant::now(),
                next: 0,
                greeting: None,
                last_lifetime: None,
                last_error: None,
            }),
            connections: Counter::default(),
            up: watch::Sender::new(false),
            changed,
        }
    }

    /// Queues a frame. Waits for room while the peer is connected; a peer that is not connected gets
    /// what fits in its queue, for when it comes back.
    pub(crate) async fn enqueue(&self, frame: Frame) -> Result<(), SendError> {
        // The 4-byte prefix is not part of the limit; leaving it in keeps one rule on the safe side.
        let (length, limit) = (frame.wire_len(), self.limits.max_frame);
        let name = || self.name();
        let cost = match u32::try_from(length) {
            Ok(cost) if length <= limit => cost,
            _ => return Err(SendError::TooLarge { length, limit }),
        };
        let room = Arc::clone(&self.room);
        let (permit, slot) = if self.is_up() {
            let reserve = async {
                let permit = room.acquire_many_owned(cost).await.ok()?;
                Some((permit, self.queue.reserve().await.ok()?))
            };
            self.removed()
                .run_until_cancelled(timeout(self.limits.send_timeout, reserve))
                .await
                .ok_or(SendError::UnknownPeer { id: self.id })?
                .map_err(|_| SendError::Stalled { peer: name() })?
                .ok_or(SendError::ShutDown)?
        } else {
            let full = || SendError::NotConnected { peer: name() };
            let permit = room.try_acquire_many_owned(cost).map_err(|_| full())?;
            (permit, self.queue.try_reserve().map_err(|_| full())?)
        };
        slot.send(Outgoing { frame, queued: Instant::now(), _room: permit });
        Ok(())
    }

    /// Lets one inbound connection greet at a time: a newer one ends an older, so that a peer cannot
    /// gather connections that it never uses. Cancelled when that happens.
    pub(crate) fn start_greeting(&self) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some(older) = locked(&self.state).greeting.replace(token.clone()) {
            older.cancel();
        }
        token
    }

    /// Whether a new, authenticated connection is to be used, asked on the side that decides.
    ///
    /// The two nodes may dial each other at the same moment. Only one of them decides, so that they
    /// never keep different connections. A peer dials only while it sees no connection, so an inbound
    /// one means that an older one is dead, unless the two dials may have crossed.
    pub(crate) fn decide(self: &Arc<Self>, origin: Origin, instance: Instance) -> Option<InUse> {
        let mut state = locked(&self.state);
        if let Some(active) = &state.active {
            let may_have_crossed =
                active.origin == Origin::Us && active.since.elapsed() < self.limits.handshake_timeout;
            if origin == Origin::Us || may_have_crossed {
                return None;
            }
        }
        Some(self.replace(&mut state, origin, instance))
    }

    /// Uses the connection that the deciding peer has confirmed.
    pub(crate) fn confirmed(self: &Arc<Self>, origin: Origin, instance: Instance) -> InUse {
        let mut state = locked(&self.state);
        self.replace(&mut state, origin, instance)
    }

    fn replace(self: &Arc<Self>, state: &mut LinkState, origin: Origin, instance: Instance) -> InUse {
        state.next = state.next.wrapping_add(1);
        let (number, replaced) = (state.next, CancellationToken::new());
        let active = Active { number, origin, since: Instant::now(), rtt: None, replaced: replaced.clone() };
        if let Some(old) = state.active.replace(active) {
            old.replaced.cancel();
        }
        state.received.connected(instance);
        state.last_error = None;
        self.connections.add(1);
        self.notify(true);
        InUse { link: Arc::clone(self), number, replaced }
    }

    /// Our part of a greeting, as far as it can be told now.
    pub(crate) fn greeting(&self, own: Instance) -> Greeting {
        locked(&self.state).received.greeting(own)
    }

    /// Whether a numbered frame is new, and the number to acknowledge.
    pub(crate) fn accept(&self, from: Instance, number: u64) -> (bool, u64) {
        locked(&self.state).received.accept(from, number)
    }

    fn notify(&self, up: bool) {
        self.up.send_replace(up);
        self.changed.send_modify(|number| *number = number.wrapping_add(1));
    }

    pub(crate) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Returns once the link is up or down as asked.
    pub(crate) async fn wait_until(&self, up: bool) {
        let mut changes = self.up.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        drop(changes.wait_for(|now| *now == up).await);
    }

    /// Which run of the peer we know, and since when there is no connection with it, if there is none.
    pub(crate) fn presence(&self) -> (Option<Instance>, Option<Instant>) {
        let state = locked(&self.state);
        (state.received.from, state.active.is_none().then_some(state.down_since))
    }

    /// How long the last connection lived that went down since the last call.
    pub(crate) fn take_lifetime(&self) -> Option<Duration> {
        locked(&self.state).last_lifetime.take()
    }

    /// Keeps the reason of a failure for [`PeerState`]; true when it differs from the one before.
    pub(crate) fn note_error(&self, error: String) -> bool {
        let mut state = locked(&self.state);
        if state.active.is_some() || state.last_error.as_ref() == Some(&error) {
            return false;
        }
        state.last_error = Some(error);
        true
    }

    pub(crate) fn state(&self) -> PeerState {
        let state = locked(&self.state);
        PeerState {
            id: self.id,
            name: self.name(),
            address: self.address.borrow().clone(),
            connected_for: state.active.as_ref().map(|active| active.since.elapsed()),
            rtt: state.active.as_ref().and_then(|active| active.rtt),
            connections: self.connections.get(),
            last_error: state.last_error.clone(),
            traffic: self.flows.traffic(),
            dropped: self.drops.snapshot(),
        }
    }

    /// What people call it.
    pub(crate) fn name(&self) -> String {
        locked(&self.name).clone()
    }

    /// Cancelled when the peer is one no longer.
    pub(crate) fn removed(&self) -> CancellationToken {
        locked(&self.removed).clone()
    }

    /// Ends the connection in use and every one that is about to be: the peer is one no longer.
    pub(crate) fn remove(&self) {
        self.removed().cancel();
        self.changed.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// Forgets what waits to be written, once no connection writes.
    pub(crate) async fn drain(self: Arc<Self>) {
        let mut outbox = self.outbox.lock().await;
        while outbox.queue.try_recv().is_ok() {}
    }

    /// The peer is one again. What was received and sent before still counts, so that nothing arrives twice or is lost for its number.
    pub(crate) fn revive(&self, peer: &Peer) {
        self.call(&peer.name);
        self.address.send_replace(peer.address.clone());
        *locked(&self.removed) = CancellationToken::new();
    }

    /// Gives it another name.
    pub(crate) fn call(&self, name: &str) {
        name.clone_into(&mut locked(&self.name));
    }

    /// Breaks the connection in use, as a fault would.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        if let Some(active) = &locked(&self.state).active {
            active.replaced.cancel();
        }
    }
}

impl InUse {
    pub(crate) fn set_rtt(&self, rtt: Duration) {
        if let Some(active) = &mut locked(&self.link.state).active
            && active.number == self.number
        {
            active.rtt = Some(rtt);
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = locked(&self.link.state);
        if let Some(active) = state.active.take_if(|active| active.number == self.number) {
            state.last_lifetime = Some(active.since.elapsed());
            state.down_since = Instant::now();
            self.link.notify(false);
        }
    }
}

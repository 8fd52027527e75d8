//! Delivery over broken connections: every control and session frame arrives once and in order, as long
//! as neither node restarts.
//!
//! A sender numbers its frames and keeps them until they are acknowledged. When a connection comes up,
//! both sides say in the greeting how far they have received, and what is missing is sent again. The
//! receiver drops what it has already. A node that restarts has another [`Instance`], has lost its
//! sessions, and gets nothing of what was under way to the one before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::frame::{Frame, Instance};

/// A frame that is queued or on its way, and the room it takes until it has arrived.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) frame: Frame,
    pub(crate) queued: Instant,
    pub(crate) _room: OwnedSemaphorePermit,
}

/// What each side says when a connection comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// Who speaks.
    pub(crate) instance: Instance,
    /// Whose frames `received` counts; zeros before the first connection.
    pub(crate) heard: Instance,
    /// Number of the last frame that has arrived from `heard`.
    pub(crate) received: u64,
}

impl Greeting {
    const LEN: usize = 40;

    pub(crate) fn encode(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(Self::LEN);
        body.put_slice(&self.instance.0);
        body.put_slice(&self.heard.0);
        body.put_u64(self.received);
        body.freeze()
    }

    pub(crate) fn decode(mut body: Bytes) -> Option<Self> {
        if body.len() != Self::LEN {
            return None;
        }
        let mut greeting = Self { instance: Instance([0; 16]), heard: Instance([0; 16]), received: 0 };
        body.try_copy_to_slice(&mut greeting.instance.0).ok()?;
        body.try_copy_to_slice(&mut greeting.heard.0).ok()?;
        greeting.received = body.try_get_u64().ok()?;
        Some(greeting)
    }
}

/// The sending side of one peer; outlives connections.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) queue: mpsc::Receiver<Outgoing>,
    /// Written but not acknowledged: consecutive numbers, the last one is `last`.
    on_their_way: VecDeque<Outgoing>,
    last: u64,
    /// The run of the peer that they were written to.
    to: Option<Instance>,
}

impl Outbox {
    pub(crate) const fn new(queue: mpsc::Receiver<Outgoing>) -> Self {
        Self { queue, on_their_way: VecDeque::new(), last: 0, to: None }
    }

    /// Starts on a new connection; returns the number of the first frame to send again and how many
    /// were given up, because they are older than `ttl` or went to a run of the peer that is over.
    pub(crate) fn resume(&mut self, own: Instance, theirs: &Greeting, ttl: Duration) -> (u64, usize) {
        let mut given_up = 0_usize;
        if self.to.replace(theirs.instance).is_some_and(|before| before != theirs.instance) {
            given_up = self.on_their_way.len();
            self.on_their_way.clear();
        }
        if theirs.heard == own {
            self.acknowledged(theirs.received);
        }
        while self.on_their_way.pop_front_if(|oldest| oldest.queued.elapsed() > ttl).is_some() {
            given_up = given_up.saturating_add(1);
        }
        (self.first(), given_up)
    }

    /// Number of the oldest frame on its way, or of the next one that will be.
    fn first(&self) -> u64 {
        let count = u64::try_from(self.on_their_way.len()).unwrap_or(u64::MAX);
        self.last.saturating_sub(count).saturating_add(1)
    }

    /// The frame with a number, if it is on its way.
    pub(crate) fn get(&self, number: u64) -> Option<&Frame> {
        let at = number.checked_sub(self.first())?;
        Some(&self.on_their_way.get(usize::try_from(at).ok()?)?.frame)
    }

    /// Forgets what has arrived.
    pub(crate) fn acknowledged(&mut self, up_to: u64) {
        while self.first() <= up_to && self.on_their_way.pop_front().is_some() {}
    }

    /// Whether another frame may be written before something is acknowledged.
    pub(crate) fn has_room(&self, max_frames: usize) -> bool {
        self.on_their_way.len() < max_frames
    }

    /// Numbers a frame from the queue and keeps it; returns it for writing.
    pub(crate) fn number(&mut self, mut outgoing: Outgoing) -> Frame {
        self.last = self.last.saturating_add(1);
        outgoing.frame.number = self.last;
        let frame = outgoing.frame.clone();
        self.on_their_way.push_back(outgoing);
        frame
    }
}

/// The receiving side of one peer; outlives connections.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// The run of the peer that we were connected with last.
    pub(crate) from: Option<Instance>,
    last: u64,
}

impl Received {
    /// A connection with this run of the peer came up.
    pub(crate) fn connected(&mut self, instance: Instance) {
        if self.from.replace(instance) != Some(instance) {
            self.last = 0;
        }
    }

    /// Whether a frame is new, and the number to acknowledge.
    pub(crate) fn accept(&mut self, from: Instance, number: u64) -> (bool, u64) {
        let is_new = self.from == Some(from) && number > self.last;
        if is_new {
            self.last = number;
        }
        (is_new, self.last)
    }

    pub(crate) fn greeting(&self, own: Instance) -> Greeting {
        Greeting { instance: own, heard: self.from.unwrap_or(Instance([0; 16])), received: self.last }
    }
}

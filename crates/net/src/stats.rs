//! What is counted. Counters only grow; bytes are bytes of frames, without what TLS and TCP add.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::identity::PeerId;

/// One counter. Relaxed order is enough: nothing is decided by it.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Frames and their bytes.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    frames: Counter,
    bytes: Counter,
}

impl Flow {
    pub(crate) fn add(&self, bytes: usize) {
        self.frames.add(1);
        self.bytes.add(bytes);
    }
}

/// Both directions.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    pub(crate) sent: Flow,
    pub(crate) received: Flow,
}

impl Flows {
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            frames_sent: self.sent.frames.get(),
            bytes_sent: self.sent.bytes.get(),
            frames_received: self.received.frames.get(),
            bytes_received: self.received.bytes.get(),
        }
    }
}

/// Counters of dropped frames of one peer; see [`Dropped`].
#[derive(Debug, Default)]
pub(crate) struct Drops {
    pub(crate) early: Counter,
    pub(crate) not_member: Counter,
    pub(crate) closed: Counter,
    pub(crate) inbox_full: Counter,
    pub(crate) stale: Counter,
}

impl Drops {
    pub(crate) fn snapshot(&self) -> Dropped {
        Dropped {
            early: self.early.get(),
            not_member: self.not_member.get(),
            closed: self.closed.get(),
            inbox_full: self.inbox_full.get(),
            stale: self.stale.get(),
        }
    }
}

/// Frames and bytes exchanged with one peer since the start, over all its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames written.
    pub frames_sent: u64,
    /// Bytes written.
    pub bytes_sent: u64,
    /// Frames read.
    pub frames_received: u64,
    /// Bytes read.
    pub bytes_received: u64,
}

/// Frames from (or, for `stale`, to) one peer that were dropped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Kept for a session that was not opened in time, or pushed out by later ones of the same peer.
    pub early: u64,
    /// For a session that the peer is no member of.
    pub not_member: u64,
    /// For a session that is over.
    pub closed: u64,
    /// The reader of the session (or of the control channel) did not keep up with this peer, or the peer has too much unread in all
    /// sessions together.
    pub inbox_full: u64,
    /// Waited too long for a connection, or were under way to a node that restarted.
    pub stale: u64,
}

/// Bytes of one session over all its members, frame headers included. A frame counts as sent once it
/// is queued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionBytes {
    /// Frames sent.
    pub frames_sent: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Frames received from members.
    pub frames_received: u64,
    /// Bytes received from members.
    pub bytes_received: u64,
}

impl From<Traffic> for SessionBytes {
    fn from(traffic: Traffic) -> Self {
        Self {
            frames_sent: traffic.frames_sent,
            bytes_sent: traffic.bytes_sent,
            frames_received: traffic.frames_received,
            bytes_received: traffic.bytes_received,
        }
    }
}

/// What is known of one peer now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerState {
    /// The peer's identity.
    pub id: PeerId,
    /// The configured name.
    pub name: String,
    /// The configured address.
    pub address: String,
    /// How long the present connection is up; `None` when there is none.
    pub connected_for: Option<Duration>,
    /// Round trip of the last keep-alive on the present connection.
    pub rtt: Option<Duration>,
    /// Connections that came up since the start.
    pub connections: u64,
    /// Why the last connection or attempt failed; cleared when a connection comes up.
    pub last_error: Option<String>,
    /// What was exchanged.
    pub traffic: Traffic,
    /// What was dropped.
    pub dropped: Dropped,
}

impl PeerState {
    /// Whether a connection is up.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected_for.is_some()
    }
}

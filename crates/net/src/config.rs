//! What the caller decides: who we are, who the peers are, and how much each peer may cost us.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::identity::{IdentityKey, PeerId};

/// Everything that [`crate::Network::start`] needs.
#[derive(Debug)]
pub struct NetConfig {
    /// Our own identity.
    pub identity: IdentityKey,
    /// Where to listen; port 0 lets the system choose, see [`crate::Network::local_addr`].
    pub listen: SocketAddr,
    /// The only identities that may connect, and whom we dial. Our own identity is not among them.
    pub peers: Vec<Peer>,
    /// Bounds; `Limits::default()` suits a cluster of tens of nodes.
    pub limits: Limits,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The pinned identity.
    pub id: PeerId,
    /// The name for people, used in logs and errors only.
    pub name: String,
    /// `host:port`. When empty the peer is never dialled and has to dial us.
    pub address: String,
}

/// Bounds on time, memory and count. All of them hold for each peer on its own unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame in bytes, both ways, without its 4-byte length prefix. Default 1 MiB.
    pub max_frame: usize,
    /// Frames waiting to be written, and again as many written and not acknowledged. Default 1,024.
    pub queue_frames: usize,
    /// Bytes waiting to be written or acknowledged. Default 16 MiB, at least `max_frame`.
    pub queue_bytes: usize,
    /// How long a frame may wait for a connection, or be under way, before it is dropped as stale. Default 30 s.
    pub queue_ttl: Duration,
    /// How long [`crate::Network::send`] waits for room in the queue of a connected peer. Default 10 s.
    pub send_timeout: Duration,
    /// Frames received for one session (or as control) and not yet taken by the reader. Default 256.
    pub inbox_frames: usize,
    /// Bytes received for one session (or as control) and not yet taken by the reader. Default 8 MiB.
    pub inbox_bytes: usize,
    /// Unread bytes of one peer in all sessions together; more are dropped. Default 32 MiB.
    pub session_bytes: usize,
    /// Frames kept for sessions that are not open yet. Default 256.
    pub early_frames: usize,
    /// Bytes kept for sessions that are not open yet. Default 4 MiB.
    pub early_bytes: usize,
    /// How long such a frame is kept. Default 30 s.
    pub early_ttl: Duration,
    /// How many closed sessions are remembered, in total. Default 4,096.
    pub closed_sessions: usize,
    /// Inbound connections that have not proved an identity yet, in total; one more closes the oldest.
    /// Default 64.
    pub max_unauthenticated: usize,
    /// TCP connect, TLS and greeting together. Default 5 s.
    pub handshake_timeout: Duration,
    /// Time between two keep-alive pings. Default 2 s.
    pub ping_interval: Duration,
    /// A connection on which nothing arrives for this long is dead. Default 8 s.
    pub idle_timeout: Duration,
    /// First pause between two dials; doubles, with jitter. Default 50 ms.
    pub backoff_start: Duration,
    /// Longest pause between two dials. Default 5 s.
    pub backoff_cap: Duration,
    /// How long a running session goes on without a connection to a party that it waits for. Default 6 s.
    pub absence_grace: Duration,
    /// How long [`crate::Network::shutdown`] waits for queued frames to leave. Default 2 s.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            max_frame: MIB,
            queue_frames: 1_024,
            queue_bytes: 16 * MIB,
            queue_ttl: Duration::from_secs(30),
            send_timeout: Duration::from_secs(10),
            inbox_frames: 256,
            inbox_bytes: 8 * MIB,
            session_bytes: 32 * MIB,
            early_frames: 256,
            early_bytes: 4 * MIB,
            early_ttl: Duration::from_secs(30),
            closed_sessions: 4_096,
            max_unauthenticated: 64,
            handshake_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(8),
            backoff_start: Duration::from_millis(50),
            backoff_cap: Duration::from_secs(5),
            absence_grace: Duration::from_secs(6),
            shutdown_timeout: Duration::from_secs(2),
        }
    }
}

/// Why the network could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on `{listen}`: {source}; free the port or configure another one")]
    Listen {
        /// The configured address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A configured identity is not a usable Ed25519 public key.
    #[error(
        "the identity `{id}` of peer `{name}` is not a usable Ed25519 public key: copy it again from the peer"
    )]
    UnusableIdentity {
        /// The peer's name.
        name: String,
        /// The identity as configured.
        id: PeerId,
    },
    /// The same identity is configured twice.
    #[error("the identity `{id}` of peer `{name}` is configured twice: remove one of the two peers")]
    DuplicatePeer {
        /// The name of the second peer.
        name: String,
        /// The identity.
        id: PeerId,
    },
    /// Our own identity is in the peer list.
    #[error("peer `{name}` has this node's own identity: remove it from the peers")]
    OwnIdentity {
        /// The peer's name.
        name: String,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness: {source}")]
    Randomness {
        /// What the system said.
        source: getrandom::Error,
    },
    /// The TLS library refused the identity or its parameters.
    #[error("cannot set up tls with this identity: {source}")]
    Tls {
        /// What the library said.
        source: rustls::Error,
    },
}

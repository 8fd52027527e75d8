//! Authenticated channels between nodes, and the driver that runs sessions over them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`identity`] | [`PeerId`] and the secret [`IdentityKey`] |
//! | [`config`] | [`NetConfig`], [`Peer`], [`Limits`] |
//! | [`network`] | [`Network`]: one multiplexed connection a pair, kept up |
//! | [`mailbox`] | [`Mailbox`] of one session, [`ControlReceiver`] |
//! | [`driver`] | [`driver::run`]: one protocol session from its start to its result |
//! | [`stats`] | what is counted for a peer and for a session |
//! | [`fault`] | for tests: frames that get lost |
//! | `fuzz` | decoders, for the fuzz targets |
//!
//! Transport rules: TLS 1.3 only, hybrid X25519MLKEM768 key exchange only, both sides authenticated
//! with an RFC 7250 raw Ed25519 key that must be one of the peers of that moment. Frames arrive once and in order,
//! also when the connection breaks meanwhile; only a restart of one of the two nodes loses them.
//! Everything that a peer can make us keep is bounded by [`Limits`], for each peer on its own.

#[cfg(test)]
extern crate self as quorate_net;

pub mod config;
pub mod driver;
pub mod fault;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod identity;
pub mod mailbox;
pub mod network;
pub mod stats;

mod connection;
mod delivery;
mod frame;
mod link;
mod router;
mod tls;

#[cfg(test)]
mod tests;

pub use config::{Limits, NetConfig, Peer, StartError};
pub use driver::{DriverError, Effects, Missed, Patience, Progress, Routes, Steps};
pub use frame::SessionTag;
pub use identity::{IdentityKey, PeerId};
pub use mailbox::{ControlReceiver, Mailbox, OpenError};
pub use network::{Network, PeerError, PeerWatch, SendError, WaitError};
pub use stats::{Dropped, PeerState, SessionBytes, Traffic};

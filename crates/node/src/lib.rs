//! The daemon: takes signed requests, judges them, and runs ceremonies with the other nodes.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | the configuration file and its checks |
//! | `folder` | the data folder: [`init`], the sealed identity |
//! | `unlock` | what opens the data folder: passphrase or HSM |
//! | `reseal` | moving a folder from one to the other |
//! | `admin` | a socket for whoever runs the node |
//! | [`host`] | what the machine gives: locked memory, no core dumps, and what it lacks |
//! | `node` | [`Node`]: start, control loop, shutdown |
//! | `shared` | what all parts of a running node share |
//! | `judge` | who asks, whether in time, and for what |
//! | `governance` | the directory and policies in force, approvals, freezes |
//! | `members` | which nodes there are now, and following it |
//! | `keys` | keys at rest: record, sealed material, pending and active |
//! | `operations` | operations at rest: begun, attempted, answered |
//! | `registry` | what runs now |
//! | `control` | what nodes say to each other outside of sessions |
//! | `ceremony` | proposing, taking part, running protocols |
//! | `pool` | presignatures: made in idle time, kept in memory, used once |
//! | `audit` | what goes into the node's log |
//! | `witness` | watching and cosigning the logs of others |
//! | `receipts` | what other nodes say to prove that they logged an outcome |
//! | `verify` | the last check of a signature before it leaves |
//! | `rest` | the REST interface |
//! | `metrics` | counters |
//! | `events` | what changes, for those who watch |
//! | `webhook` | sending events to receivers |
//! | `limits` | how much one client or address may ask |
//! | `trace` | which request is being worked on |
//! | `fuzz` | decoders, for the fuzz targets |
//!
//! The invariants that the code here keeps:
//!
//! 1. A member repeats every check of the coordinator on its own configuration, records and clock, and computes what is signed itself.
//! 2. An operation is stored before its ceremony starts, and its result before it is answered; a result is never computed twice.
//! 3. Nothing acts before it is in the log: an entry is stored in the commit of the record that it is about.
//! 4. What a protocol wants durable is durable before the messages that follow it leave.
//! 5. At one time a node takes part in one session of an operation.

#[cfg(test)]
extern crate self as quorate_node;

mod access;
mod admin;
mod audit;
mod backup;
mod burns;
mod ceremony;
mod clock;
pub mod config;
mod control;
mod events;
mod folder;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod gate;
mod governance;
mod hook;
pub mod host;
mod judge;
mod keys;
mod limits;
mod members;
mod metrics;
mod node;
mod operations;
mod pool;
mod quarantine;
mod questions;
mod receipts;
mod registry;
mod reputation;
mod reseal;
mod rest;
mod sealing;
mod shared;
mod source;
mod trace;
mod unlock;
mod verify;
mod webhook;
mod witness;

pub use admin::{AdminError, ask_running, back_up_running, proofs_of_running, readmit_at_running};
pub use audit::{log_key, logged_result, participants, witness_key};
pub use backup::BackedUp;
pub use backup::others::{AskError, Heard, PeerKnows, Silent, ask_peers};
pub use backup::restore::{Force, Known, RestoreError, RestoreReport, restore};
pub use config::{Config, ConfigError};
pub use folder::{FolderError, InitReport, init, init_in_hsm, init_with, sign_genesis};
pub use governance::GovernanceError;
pub use governance::branches::{SwitchError, Switched, switch_branch};
pub use members::{Disagreement, Reloaded};
pub use node::{Node, NodeError};
pub use quarantine::{ProofShown, Readmitted};
pub use quorate_net::PeerId;
pub use reseal::{ResealError, Resealed, Target, reseal};
pub use unlock::{Unlock, UnlockError};

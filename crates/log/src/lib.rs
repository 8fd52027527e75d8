//! The audit log of a node, and the verifier that an auditor can build alone. Spec: `spec/41-log.md`.
//!
//! Each node keeps an append-only Merkle log in the form of C2SP tlog-tiles with signed checkpoints, which other nodes
//! cosign as witnesses. The crate is pure: bytes come in and go out, and time is a parameter. It depends on no other
//! crate of ours.
//!
//! | module | contents |
//! |---|---|
//! | [`entry`] | what one record says, its canonical encoding, its JSON line |
//! | [`tree`] | appending in groups: the right edge, the root, the tiles to write |
//! | [`tile`] | coordinates, paths and bytes of tiles and entry bundles |
//! | [`proof`] | inclusion and consistency: building from tiles, verifying |
//! | [`note`] | signed notes, keys of logs and witnesses |
//! | [`checkpoint`] | the signed head of a log |
//! | [`offer`] | what a log sends to a witness |
//! | [`witness`] | what a witness checks before it cosigns; how many must have cosigned |
//! | [`receipt`] | the proof that a result carries |
//! | [`evidence`] | the proof that a log showed two histories |
//! | [`verify`] | the auditor |
//!
//! ```
//! use quorate_log::entry::{Entry, Kind};
//! use quorate_log::note::LogSigner;
//! use quorate_log::tree::Tree;
//!
//! let signer = LogSigner::from_seed("node-1.example.com/log", &[7; 32])?;
//! let mut tree = Tree::new();
//! let growth = tree.append(&[Entry::new(Kind::Start, 1_700_000_000_000, "{}")?])?;
//! // Write growth.tiles in one transaction; then sign.
//! let checkpoint = signer.sign(growth.size, growth.root)?;
//! assert_eq!(checkpoint.verify(signer.key())?.size(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod checkpoint;
pub mod entry;
pub mod evidence;
mod hash;
pub mod note;
pub mod offer;
pub mod proof;
pub mod receipt;
mod text;
pub mod tile;
pub mod tree;
pub mod verify;
pub mod witness;

pub use hash::Hash;

/// Most entries in a log, and the latest time: 2⁶³ − 1, so that every number fits the signed integers of other implementations.
pub const MAX_SIZE: u64 = i64::MAX.unsigned_abs();

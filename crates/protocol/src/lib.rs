//! The ground every Quorate protocol stands on: curves, parties, transcripts, the wire codec, rounds and the sans-I/O
//! [`Session`](session::Session).
//!
//! Nothing here opens a socket, reads a clock, starts a thread or asks the operating system for randomness.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
// For tables that are computed once.
extern crate std;

pub use borsh;

pub mod abort;
pub mod access;
pub mod commitment;
pub mod curve;
pub mod message;
pub mod party;
pub mod per_peer;
pub mod rng;
pub mod session;
pub mod transcript;

//! The ground every Quorate protocol stands on: curves, parties, transcripts, the wire codec, rounds and the sans-I/O [`session::Session`].
//!
//! Nothing here opens a socket, reads a clock, starts a thread or asks the operating system for randomness.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod curve;
pub mod party;
pub mod rng;
pub mod transcript;

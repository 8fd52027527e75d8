//! Key shares for every curve, and the ceremony that creates them without a dealer.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod certificate;
pub mod dkg;
pub mod proof;
pub mod share;
pub mod sharing;

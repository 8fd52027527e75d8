//! Key shares for every curve: the ceremony that creates them without a dealer, the one that moves them, and the ways in and out.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acknowledge;
pub mod backup;
pub mod certificate;
pub mod derive;
pub mod dkg;
pub mod export;
pub mod import;
pub mod proof;
pub mod reshare;
pub mod share;
pub mod sharing;

//! Threshold ECDSA by DKLs23 on secp256k1 and P-256
#![forbid(unsafe_code)]

// Not `no_std`: check and burn of an OT instance are one critical section, under a lock of the standard library.
extern crate alloc;

mod base_ot;
mod gf128;
pub mod ot_setup;
mod pprf;
mod residue;
pub mod rvole;
pub mod setup;
pub mod sign;
mod softspoken;
mod suite;
mod transpose;
mod verify;
mod zero;

pub use setup::PairwiseSetup;
pub use verify::{Signature, verify};

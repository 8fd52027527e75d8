//! Threshold ECDSA by DKLs23 on secp256k1 and P-256
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod base_ot;
mod gf128;
pub mod ot_setup;
mod pprf;
mod residue;
pub mod rvole;
mod softspoken;
mod suite;
mod transpose;

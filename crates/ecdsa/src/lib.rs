//! Threshold ECDSA by DKLs23 on secp256k1 and P-256
#![forbid(unsafe_code)]

// Not `no_std`: check and burn of an OT instance are one critical section, under a lock of the standard library.
extern crate alloc;

#[cfg_attr(
    not(feature = "internals"),
    expect(unreachable_pub, reason = "public under the feature `internals`")
)]
mod base_ot;
pub mod batch;
mod exchange;
mod fraction;
mod gf128;
mod key;
// What works on a pair without its lock is not for users: only the cost example sees it.
pub mod online;
#[cfg(feature = "internals")]
pub mod ot_setup;
#[cfg(not(feature = "internals"))]
#[expect(unreachable_pub, reason = "public under the feature `internals`")]
mod ot_setup;
mod pprf;
pub mod presign;
mod residue;
#[cfg(feature = "internals")]
pub mod rvole;
#[cfg(not(feature = "internals"))]
#[expect(unreachable_pub, reason = "public under the feature `internals`")]
mod rvole;
pub mod setup;
mod shown;
pub mod sign;
#[cfg_attr(
    not(feature = "internals"),
    expect(unreachable_pub, reason = "public under the feature `internals`")
)]
mod softspoken;
mod suite;
mod sums;
mod transpose;
mod verify;
mod zero;

#[cfg(test)]
mod hygiene;
#[cfg(test)]
mod timing;
#[cfg(test)]
mod toy;

pub use presign::{Presignature, PublicPresignature};
pub use setup::PairwiseSetup;
pub use verify::{Signature, verify};

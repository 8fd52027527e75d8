//! Schnorr signatures by a quorum: FROST (RFC 9591) for Ed25519 and for BIP-340, behind the common
//! [`Session`](quorate_protocol::session::Session). Spec: `spec/30-frost.md`.
//!
//! | entry | signature | key |
//! |---|---|---|
//! | [`sign_ed25519`] | RFC 8032, accepted by strict verification | `KeyShare<Ed25519>` |
//! | [`sign_bip340`] | BIP-340, with or without the tweak of BIP-341 | `KeyShare<Secp256k1>` |
//!
//! Two rounds, both broadcasts. Every party computes the signature itself; there is no coordinator. A wrong partial signature names its
//! sender. The arithmetic is that of the `frost-*` crates, which use an older generation of the curve crates: values cross as bytes
//! and none of those types is visible here.
//!
//! A session holds nonces that must be used once. It can be neither cloned nor saved:
//!
//! ```compile_fail,E0277
//! fn needs_clone<T: Clone>() {}
//! needs_clone::<quorate_protocol::session::Session<quorate_frost::SignatureBytes>>();
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod message;
mod secrets;
mod sign;
mod suite;
#[cfg(test)]
mod tests;
mod verify;

pub use self::sign::{MAX_MESSAGE, PROTOCOL, session_bindings, sign_bip340, sign_ed25519};
pub use self::suite::TaprootTweak;
pub use self::verify::{SignatureBytes, bip340_key, verify_bip340, verify_ed25519};

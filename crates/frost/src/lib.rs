//! Schnorr signatures by a quorum: FROST (RFC 9591) for Ed25519 and for BIP-340, behind the common
//! [`Session`](quorate_protocol::session::Session). Spec: `spec/30-frost.md`.
//!
//! | entry | signature | key |
//! |---|---|---|
//! | [`sign_ed25519`] | RFC 8032, accepted by strict verification | `KeyShare<Ed25519>` |
//! | [`sign_bip340`] | BIP-340, with or without the tweak of BIP-341 | `KeyShare<Secp256k1>` |
//!
//! Two rounds, both broadcasts. Every party computes the signature itself; there is no coordinator. A wrong partial signature names its
//! sender. The scheme is our own code over [`quorate_protocol::curve`]; the `frost-*` crates judge it in tests, and the result is
//! verified by `ed25519-dalek` or `k256` before anybody sees it.
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

pub mod batch;
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

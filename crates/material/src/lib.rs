//! Whole private keys in the formats in which people keep them: read once, to be shared out, and written once, after an approved
//! export. No other crate of ours may hold one.
//!
//! [`read`] takes the bytes of a file and what the caller knows about them, and gives [`Material`]: the scalar, its public key and, where the
//! format has one, the chain code. Everything secret is overwritten when it is dropped, has no `Clone`, no `Serialize` and no
//! telling `Debug`. Errors never repeat what was read, only where it is wrong. Inputs are hostile until proven otherwise: length, depth
//! and the cost of a password are bounded before anything is computed ([`MAX_INPUT`], [`cost`]).
//!
//! | module | reads |
//! |---|---|
//! | `text` | hexadecimal digits, the file of a Solana key pair, our own file of an export |
//! | `der` | PKCS#8 and SEC 1, in DER and PEM, also encrypted |
//! | `words` | words of BIP-39 with a passphrase and a path |
//! | `derive` | extended private keys; derivation by BIP-32 and SLIP-0010 |
//! | `keystore` | Ethereum keystore, version 3 |
//! | `wif` | Bitcoin's wallet import format |
//!
//! The other direction, after an export: `write` gives four of these formats, `sign` one signature.
//!
//! What cannot be overwritten is said in `docs/import-export.md`: copies inside the libraries that hash and derive.

pub mod cost;
mod der;
mod derive;
mod error;
mod keystore;
mod material;
mod path;
mod read;
mod secret;
mod sign;
mod text;
mod wif;
mod words;
mod write;

pub use derive::{ExtendedKey, MAX_SEED, MIN_SEED};
pub use error::MaterialError;
pub use material::{Material, Note};
pub use path::{DerivationPath, MAX_DEPTH};
pub use quorate_protocol::curve::CurveId;
pub use read::{Ask, Format, MAX_INPUT, detect, read};
pub use secret::Secret;
pub use sign::SignAs;
pub use text::EXPORT_HEADER;
pub use write::{WRITTEN, check_written};

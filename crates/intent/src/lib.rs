//! What a request asks to sign, and what exactly the shares then sign.
//!
//! A client sends an [`Intent`]: an unsigned Ethereum transaction, a PSBT, a Solana message, typed data, a
//! plain message. Every node of a quorum calls [`Intent::prepare`] on its own copy and signs only what that
//! returns, so a lying coordinator cannot replace the digest. The crate is pure: no I/O, clock, threads or
//! randomness, and no input makes it panic.
//!
//! | module | contents |
//! |---|---|
//! | [`Scheme`], [`PublicKey`] | the four signature schemes and their validated public keys |
//! | [`Purpose`] | what a key may be used for, and which purposes may not meet on one key |
//! | [`Intent`], [`Prepared`] | the request body; the digests, the summary, and how signatures become a transaction |
//! | [`Facts`], [`Summary`] | what the signature would do, as data for policies and in words for people |
//! | [`addresses`] | the addresses of a key |
//! | [`build`] | small builders of unsigned transactions for demonstrations and tests |
//!
//! ```
//! use quorate_intent::{Intent, Network, PublicKey, Scheme};
//!
//! let key = hex::decode("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")?;
//! let key = PublicKey::new(Scheme::EcdsaSecp256k1, &key)?;
//! let intent: Intent = serde_json::from_str(r#"{ "kind": "ethereum_message", "message": "68656c6c6f" }"#)?;
//! let prepared = intent.prepare(&key, Network::Mainnet)?;
//! assert_eq!(prepared.summary.headline, r#"sign the Ethereum message "hello""#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
pub mod build;
mod encoding;
mod error;
mod ethereum;
pub mod facts;
mod intent;
mod message;
mod prepared;
mod psbt;
mod purpose;
mod scheme;
mod solana;
mod summary;

pub use address::{Address, Network, XpubPlace, addresses, xpub};
pub use error::IntentError;
pub use facts::{Amount, Facts};
pub use intent::Intent;
pub use prepared::{Finished, Prepared, Signature, ToSign};
pub use purpose::{Purpose, check_purposes, default_purposes};
pub use scheme::{PublicKey, Scheme};
pub use summary::{Summary, Transfer};

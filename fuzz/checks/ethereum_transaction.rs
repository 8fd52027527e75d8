//! An Ethereum transaction: what is accepted is the bytes behind the digest.

use quorate_intent::{Intent, Scheme};

pub(crate) fn check(bytes: &[u8]) -> bool {
    crate::agree_check::check(&Intent::EthereumTransaction { tx: hex::encode(bytes) }, Scheme::EcdsaSecp256k1)
}

//! Typed data: any JSON.

use quorate_intent::{Intent, Scheme};

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(typed_data) = serde_json::from_slice(bytes) else { return false };
    crate::agree_check::check(&Intent::EthereumTypedData { typed_data }, Scheme::EcdsaSecp256k1)
}

//! A Solana message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_intent::{Intent, Scheme};

pub(crate) fn check(bytes: &[u8]) -> bool {
    crate::agree_check::check(&Intent::SolanaMessage { message: STANDARD.encode(bytes) }, Scheme::Ed25519)
}

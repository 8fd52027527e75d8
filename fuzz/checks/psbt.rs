//! A PSBT, under both schemes that sign one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_intent::{Intent, Scheme};

pub(crate) fn check(bytes: &[u8]) -> bool {
    let intent = Intent::BitcoinPsbt { psbt: STANDARD.encode(bytes) };
    let ecdsa = crate::agree_check::check(&intent, Scheme::EcdsaSecp256k1);
    crate::agree_check::check(&intent, Scheme::Bip340) || ecdsa
}

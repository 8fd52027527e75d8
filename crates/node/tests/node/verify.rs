//! Judging signatures with libraries that share no code with the protocols.

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{self, Message, Secp256k1, XOnlyPublicKey};
use quorate_api::SignatureResult;
use quorate_api::intent::Scheme;

/// Panics when it is none over the text.
pub(crate) fn verify(scheme: Scheme, key: &[u8], text: &[u8], signature: &SignatureResult) {
    use p256::ecdsa::signature::Verifier as _;
    let secp = Secp256k1::verification_only();
    let bytes = &signature.signature.0;
    let digest = sha256::Hash::hash(text).to_byte_array();
    match scheme {
        Scheme::EcdsaSecp256k1 => {
            let key = secp256k1::PublicKey::from_slice(key).unwrap();
            let parsed = secp256k1::ecdsa::Signature::from_compact(bytes).unwrap();
            secp.verify_ecdsa(&Message::from_digest(digest), &parsed, &key).unwrap();
            assert!(matches!(signature.recovery_id, Some(0 | 1)));
        }
        Scheme::EcdsaP256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).unwrap();
            key.verify(text, &p256::ecdsa::Signature::from_slice(bytes).unwrap()).unwrap();
        }
        Scheme::Ed25519 => verify_ed25519(key, text, bytes),
        Scheme::Bip340 => {
            let key = XOnlyPublicKey::from_slice(&key[1..]).unwrap();
            let parsed = secp256k1::schnorr::Signature::from_slice(bytes).unwrap();
            secp.verify_schnorr(&parsed, &Message::from_digest(digest), &key).unwrap();
        }
    }
}

fn verify_ed25519(public_key: &[u8], message: &[u8], signature: &[u8]) {
    let key = ed25519_dalek::VerifyingKey::from_bytes(public_key.try_into().unwrap()).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
    key.verify_strict(message, &signature).unwrap();
}

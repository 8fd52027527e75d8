//! Verifies signatures with libraries that share no code with those that made them: libsecp256k1 for
//! ECDSA over secp256k1 and BIP-340, aws-lc for P-256 and Ed25519.

use aws_lc_rs::digest::{self, Digest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, XOnlyPublicKey, ecdsa, schnorr};
use quorate_api::intent::Scheme;

/// Verifies `signature` over `to_sign` under `public_key`.
///
/// `to_sign` is what the scheme signs: a 32-byte digest for ECDSA and BIP-340, the message itself for
/// Ed25519. `public_key` is a compressed SEC1 point (33 bytes); for BIP-340 also the 32-byte x coordinate; for Ed25519
/// 32 bytes. `signature` has 64 bytes: `r ‖ s`, or `R ‖ s`. ECDSA over secp256k1 accepts low `s` only, as chains do.
///
/// # Errors
/// Says which part is malformed, or that the signature is not valid.
pub(crate) fn verify(
    scheme: Scheme,
    public_key: &[u8],
    to_sign: &[u8],
    signature: &[u8],
) -> Result<(), String> {
    if signature.len() != 64 {
        return Err(format!("a signature has 64 bytes, this one has {}", signature.len()));
    }
    match scheme {
        Scheme::EcdsaSecp256k1 => {
            let key = PublicKey::from_slice(public_key)
                .map_err(|_| malformed_key("a compressed secp256k1 point"))?;
            let message = Message::from_digest(digest_32(to_sign)?);
            let signature = ecdsa::Signature::from_compact(signature).map_err(|_| invalid(()))?;
            Secp256k1::verification_only().verify_ecdsa(&message, &signature, &key).map_err(invalid)
        }
        Scheme::Bip340 => {
            let expected = || malformed_key("a 32-byte x coordinate or a compressed secp256k1 point");
            let key = match public_key.len() {
                33 => PublicKey::from_slice(public_key).map(|key| key.x_only_public_key().0),
                _ => XOnlyPublicKey::from_slice(public_key),
            }
            .map_err(|_| expected())?;
            let message = Message::from_digest(digest_32(to_sign)?);
            let signature = schnorr::Signature::from_slice(signature).map_err(|_| invalid(()))?;
            Secp256k1::verification_only().verify_schnorr(&signature, &message, &key).map_err(invalid)
        }
        Scheme::EcdsaP256 => {
            if public_key.len() != 33 {
                return Err(malformed_key("a compressed P-256 point"));
            }
            let digest = Digest::import_less_safe(&digest_32(to_sign)?, &SHA256).map_err(invalid)?;
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key)
                .verify_digest(&digest, signature)
                .map_err(invalid)
        }
        Scheme::Ed25519 => {
            if public_key.len() != 32 {
                return Err(malformed_key("32 bytes"));
            }
            UnparsedPublicKey::new(&ED25519, public_key).verify(to_sign, signature).map_err(invalid)
        }
    }
}

/// What a scheme signs for a plain message: its SHA-256, except that Ed25519 signs the message itself.
pub(crate) fn to_sign_of_message(scheme: Scheme, message: &[u8]) -> Vec<u8> {
    match scheme {
        Scheme::Ed25519 => message.to_vec(),
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 | Scheme::Bip340 => {
            digest::digest(&SHA256, message).as_ref().to_vec()
        }
    }
}

fn digest_32(bytes: &[u8]) -> Result<[u8; 32], String> {
    bytes.try_into().map_err(|_| format!("a digest has 32 bytes, this one has {}", bytes.len()))
}

fn malformed_key(expected: &str) -> String {
    format!("the public key is not {expected}")
}

fn invalid<E>(_: E) -> String {
    "the signature is not valid for this key and message".to_owned()
}

#[cfg(test)]
mod tests;

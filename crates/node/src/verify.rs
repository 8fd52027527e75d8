//! Verifying a joint signature under the public key before it is stored or answered, with libraries that share no code
//! with the protocols: libsecp256k1 for secp256k1, RustCrypto for P-256, ed25519-dalek's strict rule for Ed25519.

use bitcoin::key::TapTweak as _;
use bitcoin::secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use bitcoin::secp256k1::{self, Message, Secp256k1, XOnlyPublicKey};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use quorate_intent::{PublicKey, Scheme, Signature, ToSign};

/// The public key under which `signature` verifies: the key's own bytes, or the tweaked x-only key of a Taproot spend.
/// `None` if it does not verify, has a high `s`, or its recovery id leads to another key.
pub(crate) fn verify(key: &PublicKey, what: &ToSign, signature: &Signature) -> Option<Vec<u8>> {
    match (key.scheme, what) {
        (Scheme::EcdsaSecp256k1, ToSign::Prehash(digest)) => secp256k1_ecdsa(key, digest, signature),
        (Scheme::EcdsaP256, ToSign::Prehash(digest)) => {
            let verifier = p256::ecdsa::VerifyingKey::from_sec1_bytes(key.bytes()).ok()?;
            let parsed = p256::ecdsa::Signature::from_slice(&signature.bytes).ok()?;
            if signature.recovery_id.is_some() || parsed.normalize_s() != parsed {
                return None;
            }
            verifier.verify_prehash(digest, &parsed).ok()?;
            Some(key.bytes().to_vec())
        }
        (Scheme::Ed25519, ToSign::Ed25519Message(message)) if signature.recovery_id.is_none() => {
            let bytes: [u8; 32] = key.bytes().try_into().ok()?;
            let verifier = ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok()?;
            let parsed = ed25519_dalek::Signature::from_bytes(&signature.bytes);
            verifier.verify_strict(message, &parsed).ok()?;
            Some(bytes.to_vec())
        }
        (Scheme::Bip340, ToSign::Bip340 { message, taproot_tweak }) if signature.recovery_id.is_none() => {
            bip340(key, message, *taproot_tweak, signature)
        }
        _ => None,
    }
}

fn secp256k1_ecdsa(key: &PublicKey, digest: &[u8; 32], signature: &Signature) -> Option<Vec<u8>> {
    let parsed = secp256k1::ecdsa::Signature::from_compact(&signature.bytes).ok()?;
    let public = secp256k1::PublicKey::from_slice(key.bytes()).ok()?;
    let (secp, message) = (Secp256k1::verification_only(), Message::from_digest(*digest));
    // libsecp256k1 accepts low s only.
    secp.verify_ecdsa(&message, &parsed, &public).ok()?;
    // Without one an Ethereum transaction cannot be finished: whoever hands a signature on must not strip it.
    let id = RecoveryId::from_i32(signature.recovery_id?.into()).ok()?;
    let recoverable = RecoverableSignature::from_compact(&signature.bytes, id).ok()?;
    if secp.recover_ecdsa(&message, &recoverable).ok()? != public {
        return None;
    }
    Some(key.bytes().to_vec())
}

fn bip340(key: &PublicKey, message: &[u8], tweak: bool, signature: &Signature) -> Option<Vec<u8>> {
    let secp = Secp256k1::verification_only();
    let internal = XOnlyPublicKey::from_slice(&key.x_only()?).ok()?;
    let public = if tweak { internal.tap_tweak(&secp, None).0.to_x_only_public_key() } else { internal };
    let digest: [u8; 32] = message.try_into().ok()?;
    let parsed = secp256k1::schnorr::Signature::from_slice(&signature.bytes).ok()?;
    secp.verify_schnorr(&parsed, &Message::from_digest(digest), &public).ok()?;
    Some(if tweak { public.serialize().to_vec() } else { key.bytes().to_vec() })
}

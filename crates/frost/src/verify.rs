//! Signatures as bytes, and their verification by implementations that had no part in making them.

use core::fmt;

use quorate_protocol::curve::{Point, Secp256k1};

use crate::suite::{Suite, TaprootTweak};

/// A signature of 64 bytes: `R ‖ z` of RFC 8032, or `x(R) ‖ z` of BIP-340.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignatureBytes(pub [u8; 64]);

impl AsRef<[u8]> for SignatureBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SignatureBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignatureBytes(")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str(")")
    }
}

/// Whether `signature` is a signature of `message` under the encoded key, by the strict rules: no cofactor, no key or `R` of small order,
/// canonical scalar. What passes here passes every verifier of RFC 8032, batched or not (test plan D7).
pub fn verify_ed25519(public_key: &[u8; 32], message: &[u8], signature: &SignatureBytes) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    ed25519_dalek::VerifyingKey::from_bytes(public_key)
        .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}

/// Whether `signature` is a signature of `message`, of any length, under the x-only key (BIP-340, "Verification").
pub fn verify_bip340(x_only: &[u8; 32], message: &[u8], signature: &SignatureBytes) -> bool {
    use k256::schnorr::{Signature, VerifyingKey};
    let Ok(signature) = Signature::try_from(signature.as_ref()) else { return false };
    VerifyingKey::from_bytes(&(*x_only).into()).is_ok_and(|key| key.verify_raw(message, &signature).is_ok())
}

/// The x-only key under which [`sign_bip340`](crate::sign_bip340) signs: that of `public_key`, or the output key of BIP-341 with it as
/// internal key. `None` for the identity.
pub fn bip340_key(public_key: &Point<Secp256k1>, taproot: TaprootTweak) -> Option<[u8; 32]> {
    let adjusted = Secp256k1::adjust(public_key, taproot)?;
    adjusted.encoded.split_first()?.1.try_into().ok()
}

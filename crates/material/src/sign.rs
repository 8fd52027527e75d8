//! One signature by a whole private key, which is overwritten with it.

use crate::{Material, MaterialError};
use curve25519_dalek::Scalar;
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use quorate_protocol::curve::CurveId;
use sha2::Sha512;

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignAs {
    /// ECDSA over a digest of 32 bytes, with the nonce of RFC 6979 and, on secp256k1, low `s`.
    Ecdsa,
    /// BIP-340 over a digest of 32 bytes, untweaked.
    Bip340,
    /// Ed25519 over the message itself. Shares have the number and not the seed, so the nonce comes from `random` in place of the seed's other half.
    Ed25519,
}

impl Material {
    /// Signs once: `r ‖ s` or `R ‖ s`, 64 bytes. The key is gone afterwards. `random` is fresh for every call.
    ///
    /// # Errors
    /// [`MaterialError::NotSigned`] if the key is for another curve, or `to_sign` has another length.
    pub fn sign(self, how: SignAs, to_sign: &[u8], random: &[u8; 32]) -> Result<[u8; 64], MaterialError> {
        let curve = self.curve();
        let expected = match curve {
            CurveId::Secp256k1 => "by ECDSA or BIP-340, a digest of 32 bytes",
            CurveId::P256 => "by ECDSA, a digest of 32 bytes",
            CurveId::Ed25519 => "by Ed25519, a message",
        };
        let wrong = MaterialError::NotSigned { curve, expected };
        if how != SignAs::Ed25519 && to_sign.len() != 32 {
            return Err(wrong);
        }
        let signature: Option<[u8; 64]> = match (how, curve) {
            (SignAs::Ecdsa, CurveId::Secp256k1) => {
                let key = k256::ecdsa::SigningKey::from_slice(self.scalar()).ok();
                let signed = key.and_then(|key| key.sign_prehash(to_sign).ok());
                signed.map(|signature: k256::ecdsa::Signature| signature.to_bytes().into())
            }
            (SignAs::Ecdsa, CurveId::P256) => {
                let key = p256::ecdsa::SigningKey::from_slice(self.scalar()).ok();
                let signed = key.and_then(|key| key.sign_prehash(to_sign).ok());
                signed.map(|signature: p256::ecdsa::Signature| signature.to_bytes().into())
            }
            (SignAs::Bip340, CurveId::Secp256k1) => {
                let key = k256::schnorr::SigningKey::from_slice(self.scalar()).ok();
                key.and_then(|key| key.sign_raw(to_sign, random).ok()).map(|signature| signature.to_bytes())
            }
            (SignAs::Ed25519, CurveId::Ed25519) => {
                let scalar = Option::<Scalar>::from(Scalar::from_canonical_bytes(*self.scalar()));
                scalar.map(|scalar| {
                    // Overwritten on drop.
                    let key = ExpandedSecretKey { scalar, hash_prefix: *random };
                    let public = VerifyingKey::from(&key);
                    raw_sign::<Sha512>(&key, to_sign, &public).to_bytes()
                })
            }
            _ => None,
        };
        signature.ok_or(wrong)
    }
}

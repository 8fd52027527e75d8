//! Signature schemes and their public keys.

use crate::IntentError;
use crate::encoding::hex_bytes;
use bitcoin::secp256k1;
use core::{fmt, str::FromStr};
use curve25519_dalek::edwards::CompressedEdwardsY;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeStruct as _};

/// A signature scheme on its curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// ECDSA over secp256k1 (SEC 2), low-s.
    #[serde(rename = "ecdsa-secp256k1")]
    EcdsaSecp256k1,
    /// ECDSA over NIST P-256 (FIPS 186-5).
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// Schnorr signatures over secp256k1 (BIP-340).
    Bip340,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 4] = [Self::EcdsaSecp256k1, Self::EcdsaP256, Self::Ed25519, Self::Bip340];

    /// The name used in JSON, on the command line and in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaSecp256k1 => "ecdsa-secp256k1",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::Ed25519 => "ed25519",
            Self::Bip340 => "bip340",
        }
    }

    /// Length of an encoded public key in bytes.
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::EcdsaSecp256k1 | Self::EcdsaP256 | Self::Bip340 => 33,
            Self::Ed25519 => 32,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheme {
    type Err = IntentError;

    fn from_str(name: &str) -> Result<Self, IntentError> {
        Self::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| IntentError::UnknownName {
            what: "scheme",
            name: crate::summary::clip(name, 40),
            known: "ecdsa-secp256k1, ecdsa-p256, ed25519, bip340",
        })
    }
}

/// A public key that is known to be valid for its scheme.
///
/// Compressed SEC1 (33 bytes) for both ECDSA schemes and for BIP-340, 32 bytes (RFC 8032) for Ed25519.
/// A BIP-340 key keeps its sign byte; verification uses [`PublicKey::x_only`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    /// The scheme the key belongs to.
    pub scheme: Scheme,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// Checks length, that the point is on the curve and in its one canonical encoding; for Ed25519 also
    /// that it lies in the subgroup of prime order and is not the identity.
    ///
    /// # Errors
    /// [`IntentError::PublicKey`].
    pub fn new(scheme: Scheme, bytes: &[u8]) -> Result<Self, IntentError> {
        let fail = |reason| IntentError::PublicKey { scheme, reason };
        if bytes.len() != scheme.public_key_len() {
            return Err(fail(match scheme {
                Scheme::Ed25519 => "expected 32 bytes",
                _ => "expected 33 bytes, a compressed SEC1 point",
            }));
        }
        let off_curve = "the bytes are not a point of the curve";
        match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::Bip340 => {
                secp256k1::PublicKey::from_slice(bytes).map_err(|_| fail(off_curve))?;
            }
            Scheme::EcdsaP256 => {
                p256::PublicKey::from_sec1_bytes(bytes).map_err(|_| fail(off_curve))?;
            }
            Scheme::Ed25519 => {
                let encoded = CompressedEdwardsY::from_slice(bytes).map_err(|_| fail(off_curve))?;
                let point = encoded.decompress().ok_or_else(|| fail(off_curve))?;
                // This also leaves one encoding for each key: the points with a second, non-canonical one
                // (y below 19) are the identity or outside the subgroup.
                if point.is_small_order() || !point.is_torsion_free() {
                    return Err(fail("the point is not in the subgroup of prime order"));
                }
            }
        }
        Ok(Self { scheme, bytes: bytes.to_vec() })
    }

    /// The encoded key: 33 bytes, or 32 for Ed25519.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoded key in lower-case hex.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(&self.bytes)
    }

    /// The 32-byte x coordinate that BIP-340 calls the public key; `None` for the other schemes.
    #[must_use]
    pub fn x_only(&self) -> Option<[u8; 32]> {
        match self.scheme {
            Scheme::Bip340 => self.bytes.get(1..)?.try_into().ok(),
            _ => None,
        }
    }

    /// The key as libsecp256k1 holds it, for the two schemes over secp256k1.
    pub(crate) fn secp256k1(&self) -> Option<secp256k1::PublicKey> {
        match self.scheme {
            Scheme::EcdsaSecp256k1 | Scheme::Bip340 => secp256k1::PublicKey::from_slice(&self.bytes).ok(),
            _ => None,
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.scheme, self.to_hex())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut fields = out.serialize_struct("PublicKey", 2)?;
        fields.serialize_field("scheme", &self.scheme)?;
        fields.serialize_field("bytes", &self.to_hex())?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            scheme: Scheme,
            bytes: String,
        }
        let fields = Fields::deserialize(from)?;
        let bytes = hex_bytes("the public key", &fields.bytes, 33).map_err(D::Error::custom)?;
        Self::new(fields.scheme, &bytes).map_err(D::Error::custom)
    }
}

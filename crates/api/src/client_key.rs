//! Client keys: how a client proves who it is, and how a node checks that.

use crate::credential::VerifyError;
use crate::request::{RequestSignature, SignedRequest};
use ed25519::pkcs8::spki::{SubjectPublicKeyInfoRef, der::pem::LineEnding};
use ed25519::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes, ObjectIdentifier};
use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::Verifier as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// The algorithm of a client key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAlgorithm {
    /// Ed25519 (RFC 8032), 64-byte signatures, verified strictly.
    Ed25519,
    /// ECDSA over P-256 with SHA-256; signatures are `r ‖ s`, 32 bytes each, big-endian, with low `s`.
    P256,
}

impl ClientAlgorithm {
    /// The name in the text form of a public key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::P256 => "p256",
        }
    }
}

/// Why bytes or text are not a client key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientKeyError {
    /// The entropy is no valid P-256 scalar (one in 2^32): draw again.
    #[error("these bytes are no valid P-256 key, draw new ones")]
    Entropy,
    /// The text is no PKCS#8 PEM private key of a supported algorithm.
    #[error("not a private key: expected PEM `PRIVATE KEY` (PKCS#8) for Ed25519 or P-256")]
    Pem,
    /// The text is no public key.
    #[error(
        "a client public key is `ed25519:` and 64, or `p256:` and 66 lower-case hex digits (compressed point)"
    )]
    Public,
}

/// A client's secret key. Erased when dropped; never printed.
pub struct ClientKey(Secret);

enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
}

impl ClientKey {
    /// Makes a key of 32 bytes of entropy.
    ///
    /// # Errors
    /// [`ClientKeyError::Entropy`], only for P-256 and with probability 2^-32.
    pub fn from_entropy(algorithm: ClientAlgorithm, entropy: &[u8; 32]) -> Result<Self, ClientKeyError> {
        Ok(Self(match algorithm {
            ClientAlgorithm::Ed25519 => {
                Secret::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(entropy)))
            }
            ClientAlgorithm::P256 => {
                let key =
                    p256::ecdsa::SigningKey::from_slice(entropy).map_err(|_| ClientKeyError::Entropy)?;
                Secret::P256(Box::new(key))
            }
        }))
    }

    /// Reads a PKCS#8 PEM private key, the form that `quorate client keygen` and
    /// `openssl genpkey -algorithm ed25519` write.
    ///
    /// # Errors
    /// [`ClientKeyError::Pem`] if it is anything else.
    pub fn from_pem(pem: &str) -> Result<Self, ClientKeyError> {
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_pem(pem) {
            return Ok(Self(Secret::Ed25519(Box::new(key))));
        }
        let key = p256::SecretKey::from_pkcs8_pem(pem).map_err(|_| ClientKeyError::Pem)?;
        Ok(Self(Secret::P256(Box::new(key.into()))))
    }

    /// The key as PKCS#8 PEM, for a file that only its owner can read (mode 0600).
    ///
    /// # Errors
    /// [`ClientKeyError::Pem`] if the key cannot be encoded, which does not happen for a valid key.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, ClientKeyError> {
        match &self.0 {
            // Without the public half (PKCS#8 version 1), the only form that OpenSSL reads.
            Secret::Ed25519(key) => {
                KeypairBytes { secret_key: key.to_bytes(), public_key: None }.to_pkcs8_pem(LineEnding::LF)
            }
            Secret::P256(key) => p256::SecretKey::from(key.as_ref()).to_pkcs8_pem(LineEnding::LF),
        }
        .map_err(|_| ClientKeyError::Pem)
    }

    /// The algorithm.
    pub fn algorithm(&self) -> ClientAlgorithm {
        match &self.0 {
            Secret::Ed25519(_) => ClientAlgorithm::Ed25519,
            Secret::P256(_) => ClientAlgorithm::P256,
        }
    }

    /// The public half, to be enrolled at every node.
    pub fn public_key(&self) -> ClientPublicKey {
        ClientPublicKey(match &self.0 {
            Secret::Ed25519(key) => Public::Ed25519(Box::new(key.verifying_key())),
            Secret::P256(key) => Public::P256(Box::new(*key.verifying_key())),
        })
    }

    /// Signs bytes; deterministic (RFC 8032, RFC 6979).
    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        match &self.0 {
            Secret::Ed25519(key) => key.sign(bytes).to_bytes(),
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(bytes);
                signature.normalize_s().to_bytes().into()
            }
        }
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({}, secret)", self.public_key())
    }
}

/// A client's public key; in text `ed25519:<64 hex>` or `p256:<66 hex>`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientPublicKey(Public);

#[derive(Clone, PartialEq, Eq)]
enum Public {
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    P256(Box<p256::ecdsa::VerifyingKey>),
}

impl ClientPublicKey {
    /// The algorithm.
    pub fn algorithm(&self) -> ClientAlgorithm {
        match &self.0 {
            Public::Ed25519(_) => ClientAlgorithm::Ed25519,
            Public::P256(_) => ClientAlgorithm::P256,
        }
    }

    /// The 32 bytes of an Ed25519 key, or the 33 bytes of a compressed P-256 point.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Public::Ed25519(key) => key.to_bytes().to_vec(),
            Public::P256(key) => key.to_sec1_point(true).as_bytes().to_vec(),
        }
    }

    /// Verifies the signature of a request under this key, and nothing else: see [`crate::verify_request`].
    ///
    /// Ed25519 is verified strictly (canonical encodings, no small-order points). For P-256 only low
    /// `s` is accepted, so that a request has one signature per nonce and nobody can reshape what is kept
    /// as evidence; clients whose library gives the other one send `n − s` instead.
    ///
    /// # Errors
    /// [`VerifyError::SignatureInvalid`], or [`VerifyError::CredentialKind`] if a passkey or a certificate made the signature.
    pub fn verify(&self, request: &SignedRequest) -> Result<(), VerifyError> {
        let RequestSignature::Key(signature) = request.signature() else {
            return Err(VerifyError::CredentialKind);
        };
        if self.verify_bytes(&request.signing_bytes(), signature) {
            Ok(())
        } else {
            Err(VerifyError::SignatureInvalid)
        }
    }

    /// Verifies 64 bytes as [`ClientKey::sign`] makes them.
    pub(crate) fn verify_bytes(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        match &self.0 {
            Public::Ed25519(key) => {
                key.verify_strict(bytes, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
            }
            Public::P256(key) => p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                signature.normalize_s() == signature && key.verify(bytes, &signature).is_ok()
            }),
        }
    }

    /// Verifies what an authenticator signed: DER for ES256 with either `s`, 64 bytes for EdDSA, strictly.
    pub(crate) fn verify_assertion(&self, bytes: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Public::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(bytes, &signature).is_ok()),
            // Authenticators do not normalise `s`.
            Public::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify(bytes, &signature).is_ok()),
        }
    }

    /// Reads a SubjectPublicKeyInfo (DER, RFC 5480 and RFC 8410) of a key of either algorithm.
    ///
    /// # Errors
    /// [`SpkiError`]: other algorithms, points that are none, weak keys.
    pub(crate) fn from_spki(der: &[u8]) -> Result<Self, SpkiError> {
        const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
        const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| SpkiError::Malformed)?;
        match info.algorithm.oid {
            ED25519 => {
                let key = ed25519_dalek::VerifyingKey::try_from(info).map_err(|_| SpkiError::Malformed)?;
                if key.is_weak() {
                    return Err(SpkiError::Malformed);
                }
                Ok(Self(Public::Ed25519(Box::new(key))))
            }
            EC => {
                let key = p256::PublicKey::try_from(info).map_err(|_| SpkiError::Malformed)?;
                Ok(Self(Public::P256(Box::new(key.into()))))
            }
            _ => Err(SpkiError::Algorithm),
        }
    }
}

/// Why a SubjectPublicKeyInfo is not a key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpkiError {
    /// Not DER, or not a valid point of the curve that it names.
    Malformed,
    /// Neither P-256 nor Ed25519.
    Algorithm,
}

impl fmt::Display for ClientPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm().as_str(), hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for ClientPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ClientPublicKey {
    type Err = ClientKeyError;

    fn from_str(text: &str) -> Result<Self, ClientKeyError> {
        let (algorithm, digits) = text.split_once(':').ok_or(ClientKeyError::Public)?;
        let bytes = crate::id::decode_lower_hex(digits).ok_or(ClientKeyError::Public)?;
        let public = match algorithm {
            "ed25519" => {
                let bytes = bytes.try_into().map_err(|_| ClientKeyError::Public)?;
                let key =
                    ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| ClientKeyError::Public)?;
                if key.is_weak() {
                    return Err(ClientKeyError::Public);
                }
                Public::Ed25519(Box::new(key))
            }
            // Only the compressed form, so that a key has one text.
            "p256" if bytes.len() == 33 => {
                let key =
                    p256::ecdsa::VerifyingKey::from_sec1_bytes(&bytes).map_err(|_| ClientKeyError::Public)?;
                Public::P256(Box::new(key))
            }
            _ => return Err(ClientKeyError::Public),
        };
        Ok(Self(public))
    }
}

impl TryFrom<String> for ClientPublicKey {
    type Error = ClientKeyError;

    fn try_from(text: String) -> Result<Self, ClientKeyError> {
        text.parse()
    }
}

impl From<ClientPublicKey> for String {
    fn from(key: ClientPublicKey) -> Self {
        key.to_string()
    }
}

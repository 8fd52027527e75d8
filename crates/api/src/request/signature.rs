//! The signature of a request: by a client's key, by a passkey, or by the key of a certificate.

use super::assertion::{Assertion, decode_base64url, encode_base64url};
use super::certificate::CertificateSignature;
use std::fmt;

/// What precedes an assertion in the header `Quorate-Signature`.
const PASSKEY_PREFIX: &str = "passkey:";
/// What precedes a signature with its certificates there.
const CERTIFICATE_PREFIX: &str = "certificate:";

/// Who vouches for a request, not yet verified.
#[derive(Clone, PartialEq, Eq)]
pub enum RequestSignature {
    /// 64 bytes by a client's key over [`Request::signing_bytes`](crate::Request::signing_bytes).
    Key([u8; 64]),
    /// An assertion of a passkey over [`Request::challenge`](crate::Request::challenge).
    Passkey(Box<Assertion>),
    /// A signature over [`Request::certificate_signing_bytes`](crate::Request::certificate_signing_bytes), with its certificates.
    Certificate(Box<CertificateSignature>),
}

impl RequestSignature {
    /// The one text form, as the header `Quorate-Signature` has it: 128 lower-case hex digits, `passkey:` and
    /// [`Assertion::to_bytes`], or `certificate:` and [`CertificateSignature::to_bytes`], in base64url without padding. At most 11 KiB.
    pub fn to_header(&self) -> String {
        match self {
            Self::Key(signature) => hex::encode(signature),
            // PKY.5 base64url of the one encoding.
            Self::Passkey(assertion) => {
                format!("{PASSKEY_PREFIX}{}", encode_base64url(&assertion.to_bytes()))
            }
            // CRT.4 Likewise.
            Self::Certificate(certificate) => {
                format!("{CERTIFICATE_PREFIX}{}", encode_base64url(&certificate.to_bytes()))
            }
        }
    }

    /// Reads what [`to_header`](Self::to_header) wrote; `None` for anything else.
    pub fn from_header(text: &str) -> Option<Self> {
        if let Some(encoded) = text.strip_prefix(CERTIFICATE_PREFIX) {
            // CRT.4 Nothing longer is even decoded.
            let fits = encoded.len() <= CertificateSignature::MAX_ENCODED.div_ceil(3) * 4;
            let bytes = fits.then(|| decode_base64url(encoded))??;
            return Some(CertificateSignature::from_bytes(&bytes).ok()?.into());
        }
        match text.strip_prefix(PASSKEY_PREFIX) {
            // PKY.5 Padding, left-over bits and bytes after the end are refused.
            Some(encoded) if encoded.len() <= Assertion::MAX_ENCODED.div_ceil(3) * 4 => {
                Some(Assertion::from_bytes(&decode_base64url(encoded)?).ok()?.into())
            }
            Some(_) => None,
            None => Some(Self::Key(crate::id::decode_lower_hex(text)?.try_into().ok()?)),
        }
    }
}

impl From<[u8; 64]> for RequestSignature {
    fn from(signature: [u8; 64]) -> Self {
        Self::Key(signature)
    }
}

impl From<Assertion> for RequestSignature {
    fn from(assertion: Assertion) -> Self {
        Self::Passkey(Box::new(assertion))
    }
}

impl From<CertificateSignature> for RequestSignature {
    fn from(signature: CertificateSignature) -> Self {
        Self::Certificate(Box::new(signature))
    }
}

impl fmt::Debug for RequestSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(signature) => f.debug_tuple("Key").field(&hex::encode(signature)).finish(),
            Self::Passkey(assertion) => f.debug_tuple("Passkey").field(assertion).finish(),
            Self::Certificate(signature) => f.debug_tuple("Certificate").field(signature).finish(),
        }
    }
}

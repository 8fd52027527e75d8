//! The enrolled form of a certificate identity: how it is made from an authority's certificate, written and read.

use super::{CertificateIdentity, chain};
use crate::client_key::ClientPublicKey;
use crate::request::{decode_base64url, encode_base64url};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest certificate of an authority, in bytes of DER.
pub const MAX_AUTHORITY: usize = 4 * 1024;
/// Longest name, in bytes: SPIFFE allows 2048.
pub const MAX_CERTIFICATE_NAME: usize = 2048;

/// Why something is not an identity that can be enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateIdentityError {
    /// The text form is none.
    #[error("a certificate identity is `certificate:<authority's certificate, DER in base64url>:<name>`")]
    Text,
    /// The PEM holds no certificate, or several.
    #[error(
        "expected exactly one `CERTIFICATE` in PEM: the authority's alone, without the chain of a client"
    )]
    Pem,
    /// It is no certificate, or too long.
    #[error(
        "the authority's certificate is not an X.509 certificate of version 3 with at most {MAX_AUTHORITY} bytes"
    )]
    Certificate,
    /// It is not one of an authority.
    #[error("this is not an authority's certificate: enrol the one that issued the client's, with `CA:TRUE`")]
    NotAuthority,
    /// The authority's key is of another algorithm.
    #[error(
        "the authority's key must be on P-256 or an Ed25519 key: enrol an intermediate authority with such a key instead"
    )]
    Algorithm,
    /// The name is neither a URI nor a DNS name.
    #[error(
        "a name is a URI such as `spiffe://example.org/payments`, or a DNS name in lower case without wildcards"
    )]
    Name,
}

impl CertificateIdentity {
    /// The workload that bears `name` in certificates of the authority with this certificate (DER).
    ///
    /// # Errors
    /// The part that cannot be enrolled.
    pub fn new(ca: impl Into<Vec<u8>>, name: impl Into<String>) -> Result<Self, CertificateIdentityError> {
        // CRT.1 An authority's certificate with a key that we verify, and a name in one form.
        let (ca, name) = (ca.into(), name.into());
        if !(1..=MAX_AUTHORITY).contains(&ca.len()) {
            return Err(CertificateIdentityError::Certificate);
        }
        let spki = chain::spki(&ca).ok_or(CertificateIdentityError::Certificate)?;
        chain::dates(&ca).ok_or(CertificateIdentityError::Certificate)?;
        if !chain::is_authority(&ca) {
            return Err(CertificateIdentityError::NotAuthority);
        }
        // Also a key on another curve, or on none.
        ClientPublicKey::from_spki(&spki).map_err(|_| CertificateIdentityError::Algorithm)?;
        let valid = if chain::is_uri(&name) { is_absolute(&name) } else { is_dns(&name) };
        if valid { Ok(Self { ca, name }) } else { Err(CertificateIdentityError::Name) }
    }

    /// As [`new`](Self::new), from PEM with exactly one certificate.
    ///
    /// # Errors
    /// [`CertificateIdentityError::Pem`], or as [`new`](Self::new).
    pub fn from_pem(pem: &[u8], name: impl Into<String>) -> Result<Self, CertificateIdentityError> {
        let mut found = CertificateDer::pem_slice_iter(pem);
        let (Some(Ok(ca)), None) = (found.next(), found.next()) else {
            return Err(CertificateIdentityError::Pem);
        };
        Self::new(ca.as_ref(), name)
    }

    /// The key of the authority and the name: what makes two enrolments the same workload.
    pub fn subject(&self) -> Vec<u8> {
        let mut out = chain::spki(&self.ca).unwrap_or_default();
        out.extend_from_slice(self.name.as_bytes());
        out
    }

    /// From when to when the authority's certificate is valid, in unix seconds.
    pub fn validity(&self) -> Option<(u64, u64)> {
        chain::dates(&self.ca)
    }
}

/// A URI with a scheme and something behind it, in visible ASCII.
fn is_absolute(name: &str) -> bool {
    let Some((scheme, rest)) = name.split_once(':') else { return false };
    let letters = scheme
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
    letters
        && scheme.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && !rest.trim_matches('/').is_empty()
        && name.len() <= MAX_CERTIFICATE_NAME
        && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A DNS name in lower case.
fn is_dns(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    name.len() <= 253 && name.split('.').all(label) && !numeric
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateJson {
    ca: String,
    name: String,
}

impl TryFrom<CertificateJson> for CertificateIdentity {
    type Error = CertificateIdentityError;

    fn try_from(json: CertificateJson) -> Result<Self, CertificateIdentityError> {
        let ca = decode_base64url(&json.ca).ok_or(CertificateIdentityError::Certificate)?;
        Self::new(ca, json.name)
    }
}

impl From<CertificateIdentity> for CertificateJson {
    fn from(identity: CertificateIdentity) -> Self {
        Self { ca: encode_base64url(&identity.ca), name: identity.name }
    }
}

/// What begins the text form.
const PREFIX: &str = "certificate:";

impl fmt::Display for CertificateIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}:{}", encode_base64url(&self.ca), self.name)
    }
}

impl fmt::Debug for CertificateIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CertificateIdentity {
    type Err = CertificateIdentityError;

    fn from_str(text: &str) -> Result<Self, CertificateIdentityError> {
        let rest = text.strip_prefix(PREFIX).ok_or(CertificateIdentityError::Text)?;
        let (ca, name) = rest.split_once(':').ok_or(CertificateIdentityError::Text)?;
        Self::new(decode_base64url(ca).ok_or(CertificateIdentityError::Text)?, name)
    }
}

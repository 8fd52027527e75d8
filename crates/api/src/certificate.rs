//! Certificates: what a node keeps of a workload that has a certificate from an authority, and the rules by which a
//! signature by the key of such a certificate is a signature of a request.
//!
//! `spec/52-certificates.md` has the steps. Everything is a function of the enrolled identity and the request. In particular the
//! time at which a certificate must be valid is the expiry that the client signed, never a clock's: whoever judges the same
//! bytes, now or in ten years, comes to the same answer, and no signature outlives the certificate that it was made with.

mod chain;
mod client;
mod enrolled;

use crate::request::{CertificateSignature, Request};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use client::{ClientCertificate, ClientCertificateError};
pub use enrolled::{CertificateIdentityError, MAX_AUTHORITY, MAX_CERTIFICATE_NAME};

/// A workload as every node has it enrolled: the authority that certifies it, and the one name that its certificates bear.
///
/// Its keys and certificates may change as often as the authority likes; what is enrolled stays. In JSON an object with `ca` (the
/// authority's certificate in DER, base64url without padding) and `name` (a URI such as `spiffe://example.org/payments`, or a DNS
/// name); in text `certificate:<ca>:<name>`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "enrolled::CertificateJson", into = "enrolled::CertificateJson")]
pub struct CertificateIdentity {
    ca: Vec<u8>,
    name: String,
}

/// Why a signature with certificates is not a signature of this request by this workload: the first rule that is broken.
///
/// Whoever sent the request is at fault, or whoever issued the certificate, or whoever enrolled the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CertificateError {
    /// A certificate cannot be read.
    #[error("a certificate of the chain is not an X.509 certificate of version 3 that is understood")]
    Malformed,
    /// The client's certificate does not bear the enrolled name.
    #[error(
        "the certificate does not bear the name that is enrolled for this client, compare its subject alternative names"
    )]
    Name,
    /// A SPIFFE certificate with more names than one.
    #[error("a certificate with a SPIFFE name must have no other URI name")]
    Ambiguous,
    /// The authority's own certificate is not valid when the request expires.
    #[error(
        "the enrolled authority's certificate is not valid when the request expires: enrol the new one, or choose a nearer expiry"
    )]
    AuthorityExpired,
    /// A certificate ends before the request does.
    #[error(
        "a certificate of the chain ends before the request expires: choose a nearer expiry, or renew the certificate"
    )]
    Expired,
    /// A certificate begins after the request ends.
    #[error(
        "a certificate of the chain is not yet valid when the request expires: compare the clocks of client and authority"
    )]
    NotYetValid,
    /// The certificate is for other uses, such as servers.
    #[error(
        "a certificate of the chain is not for clients: its extended key usage must include client authentication"
    )]
    Usage,
    /// A certificate of an authority is used as a client's.
    #[error("the first certificate is an authority's: sign with a certificate of the client")]
    AuthorityAsClient,
    /// A client's certificate is used as an authority's.
    #[error("a certificate that is no authority's issued another one of the chain")]
    ClientAsAuthority,
    /// The chain does not lead to the enrolled authority.
    #[error(
        "the chain does not lead to the authority that is enrolled for this client: send its intermediate certificates too"
    )]
    Authority,
    /// A certificate was not signed by the key that should have signed it.
    #[error("a certificate of the chain is not signed by the authority that it names")]
    Issuer,
    /// There are more authorities in a row than one of them allows.
    #[error("the chain has more authorities in a row than one of them allows")]
    PathLength,
    /// A name is outside of what an authority may certify.
    #[error("a name of the certificate is outside of what an authority of the chain may certify")]
    NameConstraint,
    /// A certificate is signed with another algorithm than ECDSA with P-256 and SHA-256, or Ed25519.
    #[error(
        "a certificate of the chain is signed with an algorithm that is not supported: use ECDSA over P-256 with SHA-256, or Ed25519"
    )]
    Algorithm,
    /// The client's key is neither on P-256 nor an Ed25519 key.
    #[error("the certificate's key is of an algorithm that is not supported: use P-256 or Ed25519")]
    Key,
    /// The signature does not verify.
    #[error("the signature does not verify under the key of the certificate")]
    Signature,
}

impl CertificateError {
    /// Every rule.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Name,
        Self::Ambiguous,
        Self::AuthorityExpired,
        Self::Expired,
        Self::NotYetValid,
        Self::Usage,
        Self::AuthorityAsClient,
        Self::ClientAsAuthority,
        Self::Authority,
        Self::Issuer,
        Self::PathLength,
        Self::NameConstraint,
        Self::Algorithm,
        Self::Key,
        Self::Signature,
    ];
}

impl CertificateIdentity {
    /// The authority's certificate, in DER.
    pub fn ca(&self) -> &[u8] {
        &self.ca
    }

    /// SHA-256 of the authority's certificate in DER, as `openssl x509 -fingerprint -sha256` shows it.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.ca).into()
    }

    /// The name that certificates must bear.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Verifies that the holder of a certificate with the enrolled name, issued by the enrolled authority and valid at the moment at
    /// which the request expires, signed exactly this request. No clock is read.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn verify(&self, request: &Request, by: &CertificateSignature) -> Result<(), CertificateError> {
        let key = chain::judge(&self.ca, &self.name, by.chain(), request.expires())?;
        // CRT.10 Over the request at hand and the very certificate that was judged.
        if key.verify_bytes(&request.certificate_signing_bytes(by.leaf()), by.signature()) {
            Ok(())
        } else {
            Err(CertificateError::Signature)
        }
    }
}

/// From when to when a certificate in DER is valid, in unix seconds; `None` if it cannot be read.
pub fn certificate_validity(certificate: &[u8]) -> Option<(u64, u64)> {
    chain::dates(certificate)
}

/// The SubjectPublicKeyInfo of a certificate in DER, whatever its algorithm; `None` if it cannot be read.
pub fn certificate_key(certificate: &[u8]) -> Option<Vec<u8>> {
    chain::spki(certificate)
}

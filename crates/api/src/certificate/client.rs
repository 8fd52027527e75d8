//! The client's side: a certificate with its key.

use super::{certificate_key, chain};
use crate::client_key::{ClientKey, ClientPublicKey};
use crate::request::{CertificateSignature, MAX_CHAIN, MAX_CHAIN_BYTES, Request, SignedRequest, chain_fits};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::fmt;

/// A client's certificates with the key of the first: what it signs requests with. The key is erased when dropped; never printed.
pub struct ClientCertificate {
    chain: Vec<Vec<u8>>,
    key: ClientKey,
    dates: (u64, u64),
}

/// Why a client cannot sign with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientCertificateError {
    /// There is no certificate in PEM, or something that is none.
    #[error("expected certificates in PEM, the client's own first, then its intermediate authorities")]
    Pem,
    /// The chain is out of its bounds.
    #[error(
        "a chain has 1 to {MAX_CHAIN} certificates with at most {MAX_CHAIN_BYTES} bytes together: leave the root out"
    )]
    Chain,
    /// The first certificate cannot be read, or its key is of another algorithm.
    #[error("the first certificate cannot be read or its key is neither on P-256 nor an Ed25519 key")]
    Certificate,
    /// The key is another certificate's.
    #[error("the private key does not belong to the first certificate: give the key that it was issued for")]
    Key,
}

impl ClientCertificate {
    /// Joins certificates in DER, the client's own first, with the key of the first.
    ///
    /// # Errors
    /// A chain out of its bounds, or a key of another certificate.
    pub fn new(chain: Vec<Vec<u8>>, key: ClientKey) -> Result<Self, ClientCertificateError> {
        if !chain_fits(&chain) {
            return Err(ClientCertificateError::Chain);
        }
        let leaf = chain.first().ok_or(ClientCertificateError::Chain)?;
        let spki = certificate_key(leaf).ok_or(ClientCertificateError::Certificate)?;
        let public = ClientPublicKey::from_spki(&spki).map_err(|_| ClientCertificateError::Certificate)?;
        let dates = chain::dates(leaf).ok_or(ClientCertificateError::Certificate)?;
        if public != key.public_key() {
            return Err(ClientCertificateError::Key);
        }
        Ok(Self { chain, key, dates })
    }

    /// As [`new`](Self::new), with the certificates in PEM.
    ///
    /// # Errors
    /// [`ClientCertificateError::Pem`], or as [`new`](Self::new).
    pub fn from_pem(pem: &[u8], key: ClientKey) -> Result<Self, ClientCertificateError> {
        let mut chain = Vec::new();
        // One more than allowed is enough to know.
        for certificate in CertificateDer::pem_slice_iter(pem).take(MAX_CHAIN + 1) {
            chain.push(certificate.map_err(|_| ClientCertificateError::Pem)?.as_ref().to_vec());
        }
        if chain.is_empty() { Err(ClientCertificateError::Pem) } else { Self::new(chain, key) }
    }

    /// The certificates in DER, the client's own first.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The key of the first.
    #[cfg(feature = "client")]
    pub(crate) fn key(&self) -> &ClientKey {
        &self.key
    }

    /// The last moment at which the client's own certificate is valid, in unix seconds. A request that expires later is refused.
    pub fn not_after(&self) -> u64 {
        self.dates.1
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("key", &self.key)
            .field("valid", &self.dates)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// Signs the request with the key of a certificate.
    pub fn sign_with_certificate(self, certificate: &ClientCertificate) -> SignedRequest {
        let leaf = certificate.chain.first().map_or(&[][..], Vec::as_slice);
        let signature = certificate.key.sign(&self.certificate_signing_bytes(leaf));
        // CRT.3 The chain was found to be within its bounds when it was joined with the key.
        self.with_signature(CertificateSignature::trusted(certificate.chain.clone(), signature))
    }
}

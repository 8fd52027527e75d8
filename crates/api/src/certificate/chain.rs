//! The judgement of a chain, by `rustls-webpki` with our two algorithms.

use super::CertificateError;
use crate::client_key::ClientPublicKey;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use std::time::Duration;
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

/// What certificates may be signed with.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[&Algorithm::P256, &Algorithm::Ed25519];

/// A scheme by which an authority signs certificates.
#[derive(Debug, Clone, Copy)]
enum Algorithm {
    /// ECDSA over P-256 with SHA-256, in DER with either `s`.
    P256,
    /// Ed25519, verified strictly.
    Ed25519,
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let valid = match self {
            Self::P256 => {
                use p256::ecdsa::signature::Verifier as _;
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
                p256::ecdsa::Signature::from_der(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Self::Ed25519 => {
                let key = ed25519_dalek::VerifyingKey::try_from(key).map_err(|_| InvalidSignature)?;
                ed25519_dalek::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
        };
        if valid { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        match self {
            Self::P256 => alg_id::ECDSA_P256,
            Self::Ed25519 => alg_id::ED25519,
        }
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self {
            Self::P256 => alg_id::ECDSA_SHA256,
            Self::Ed25519 => alg_id::ED25519,
        }
    }
}

fn at(unix: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(unix))
}

/// CRT.5 to CRT.9: the key of the first certificate, if the chain leads from it to the authority, it bears the name, and all were
/// valid at `moment`, in unix seconds.
pub(super) fn judge(
    ca: &[u8],
    name: &str,
    chain: &[Vec<u8>],
    moment: u64,
) -> Result<ClientPublicKey, CertificateError> {
    let (first, rest) = chain.split_first().ok_or(CertificateError::Malformed)?;
    let first = CertificateDer::from(first.as_slice());
    let leaf = EndEntityCert::try_from(&first).map_err(|_| CertificateError::Malformed)?;
    // CRT.6 The enrolled name, byte by byte: no wildcard, no other spelling, no common name.
    let uris = leaf.valid_uri_names();
    let bears = if is_uri(name) {
        leaf.valid_uri_names().any(|uri| uri == name)
    } else {
        leaf.valid_dns_names().any(|dns| dns == name)
    };
    if !bears {
        return Err(CertificateError::Name);
    }
    if name.starts_with(SPIFFE) && uris.count() != 1 {
        return Err(CertificateError::Ambiguous);
    }
    // CRT.7 The authority itself, and then each certificate, is valid when the request expires.
    let dates = dates(ca).ok_or(CertificateError::AuthorityExpired)?;
    if !(dates.0..=dates.1).contains(&moment) {
        return Err(CertificateError::AuthorityExpired);
    }
    let ca = CertificateDer::from(ca);
    let anchors = [anchor_from_trusted_cert(&ca).map_err(|_| CertificateError::Authority)?];
    let between: Vec<CertificateDer<'_>> =
        rest.iter().map(|certificate| CertificateDer::from(certificate.as_slice())).collect();
    // CRT.8 For clients.
    let usage = KeyUsage::client_auth();
    leaf.verify_for_usage(ALGORITHMS, &anchors, &between, at(moment), usage, None, None).map_err(reason)?;
    // CRT.9 The key that must have signed the request.
    ClientPublicKey::from_spki(leaf.subject_public_key_info().as_ref()).map_err(|_| CertificateError::Key)
}

/// What begins a SPIFFE name.
const SPIFFE: &str = "spiffe://";

/// Whether a name is a URI: DNS names have no colon.
pub(super) fn is_uri(name: &str) -> bool {
    name.contains(':')
}

fn reason(error: Error) -> CertificateError {
    match error {
        Error::CertExpired { .. } | Error::InvalidCertValidity => CertificateError::Expired,
        Error::CertNotValidYet { .. } => CertificateError::NotYetValid,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => CertificateError::Usage,
        Error::CaUsedAsEndEntity => CertificateError::AuthorityAsClient,
        Error::EndEntityUsedAsCa => CertificateError::ClientAsAuthority,
        Error::UnknownIssuer | Error::MaximumPathDepthExceeded => CertificateError::Authority,
        Error::InvalidSignatureForPublicKey => CertificateError::Issuer,
        Error::PathLenConstraintViolated => CertificateError::PathLength,
        Error::NameConstraintViolation => CertificateError::NameConstraint,
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => CertificateError::Algorithm,
        _ => CertificateError::Malformed,
    }
}

/// From when to when a certificate is valid, in unix seconds.
pub(super) fn dates(certificate: &[u8]) -> Option<(u64, u64)> {
    // The library tells them only when they are broken: before all time, and after all time.
    let begins = match refusal(certificate, 0)? {
        Error::CertNotValidYet { not_before, .. } => not_before.as_secs(),
        _ => 0,
    };
    match refusal(certificate, u64::MAX)? {
        Error::CertExpired { not_after, .. } => Some((begins, not_after.as_secs())),
        _ => None,
    }
}

/// Whether the certificate is one of an authority.
pub(super) fn is_authority(certificate: &[u8]) -> bool {
    let Some((begins, _)) = dates(certificate) else { return false };
    matches!(refusal(certificate, begins), Some(Error::CaUsedAsEndEntity))
}

/// Why the certificate, on its own, is no client's under no authority at all.
fn refusal(certificate: &[u8], moment: u64) -> Option<Error> {
    let certificate = CertificateDer::from(certificate);
    let leaf = EndEntityCert::try_from(&certificate).ok()?;
    leaf.verify_for_usage(ALGORITHMS, &[], &[], at(moment), KeyUsage::client_auth(), None, None).err()
}

/// The SubjectPublicKeyInfo in DER.
pub(super) fn spki(certificate: &[u8]) -> Option<Vec<u8>> {
    let certificate = CertificateDer::from(certificate);
    let leaf = EndEntityCert::try_from(&certificate).ok()?;
    Some(leaf.subject_public_key_info().as_ref().to_vec())
}

//! What a client proves itself with, and how a node judges a signed request.

use crate::certificate::{CertificateError, CertificateIdentity, CertificateIdentityError};
use crate::client_key::{ClientKeyError, ClientPublicKey};
use crate::passkey::{PasskeyError, PasskeyKeyError, PasskeyPublicKey};
use crate::request::{RequestSignature, SignedRequest};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How far ahead of a node's clock an expiry may lie by default, in seconds: a stolen request is
/// useless afterwards, and a node needs to remember idempotency keys at least this long.
pub const MAX_EXPIRY_AHEAD: u64 = 3600;

/// The public part of what a client signs with, as a node has it enrolled: a key for programs, a passkey for people, a
/// certificate for workloads that get theirs from an authority.
///
/// In JSON `{"key":"ed25519:…"}`, `{"passkey":{…}}` or `{"certificate":{…}}`; in text the form of the key, passkey or certificate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// A key that a program keeps.
    Key(ClientPublicKey),
    /// A passkey in a person's authenticator.
    Passkey(PasskeyPublicKey),
    /// A name in certificates of an authority.
    Certificate(CertificateIdentity),
}

/// Why text is no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// It is no key.
    #[error(transparent)]
    Key(#[from] ClientKeyError),
    /// It is no passkey.
    #[error(transparent)]
    Passkey(#[from] PasskeyKeyError),
    /// It is no certificate identity.
    #[error(transparent)]
    Certificate(#[from] CertificateIdentityError),
}

impl Credential {
    /// Whether a signature says that it was made with this credential: the kind is the same and, for a passkey, the
    /// credential id. Nothing is verified; this only chooses among several credentials of one client.
    pub fn fits(&self, signature: &RequestSignature) -> bool {
        match (self, signature) {
            (Self::Key(_), RequestSignature::Key(_)) => true,
            (Self::Passkey(passkey), RequestSignature::Passkey(assertion)) => {
                passkey.credential_id() == assertion.credential_id()
            }
            // CRT.5 Whether it is the enrolled name's is for the judgement.
            (Self::Certificate(_), RequestSignature::Certificate(_)) => true,
            (Self::Key(_) | Self::Passkey(_) | Self::Certificate(_), _) => false,
        }
    }

    /// Verifies the signature of a request under this credential, and nothing else: see [`verify_request`].
    ///
    /// # Errors
    /// [`VerifyError::SignatureInvalid`], [`VerifyError::CredentialKind`], [`VerifyError::Passkey`] or
    /// [`VerifyError::Certificate`].
    pub fn verify(&self, request: &SignedRequest) -> Result<(), VerifyError> {
        match (self, request.signature()) {
            (Self::Key(key), RequestSignature::Key(_)) => key.verify(request),
            (Self::Passkey(passkey), RequestSignature::Passkey(assertion)) => {
                // PKY.6 The challenge is computed here, from the request that is acted on.
                Ok(passkey.verify(&request.challenge(), assertion)?)
            }
            (Self::Certificate(identity), RequestSignature::Certificate(certificate)) => {
                Ok(identity.verify(request, certificate)?)
            }
            // PKY.6, CRT.5 Never one kind under the other's rules.
            (Self::Key(_) | Self::Passkey(_) | Self::Certificate(_), _) => Err(VerifyError::CredentialKind),
        }
    }
}

impl From<ClientPublicKey> for Credential {
    fn from(key: ClientPublicKey) -> Self {
        Self::Key(key)
    }
}

impl From<PasskeyPublicKey> for Credential {
    fn from(passkey: PasskeyPublicKey) -> Self {
        Self::Passkey(passkey)
    }
}

impl From<CertificateIdentity> for Credential {
    fn from(identity: CertificateIdentity) -> Self {
        Self::Certificate(identity)
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Passkey(passkey) => passkey.fmt(f),
            Self::Certificate(identity) => identity.fmt(f),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Credential {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        if text.starts_with("passkey:") {
            Ok(Self::Passkey(text.parse()?))
        } else if text.starts_with("certificate:") {
            Ok(Self::Certificate(text.parse()?))
        } else {
            Ok(Self::Key(text.parse()?))
        }
    }
}

/// Why a node does not act on a well-formed request. The client is at fault, or its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// No client of this name is enrolled at this node.
    #[error("no client of this name is enrolled at this node")]
    UnknownClient,
    /// The signature does not verify under the enrolled key.
    #[error("the signature does not verify under the key enrolled for this client")]
    SignatureInvalid,
    /// Another kind signed than the enrolled one: a key, a passkey or a certificate.
    #[error("the request is signed by another kind of credential than the one enrolled for this client")]
    CredentialKind,
    /// The passkey's assertion does not hold.
    #[error("the passkey's assertion does not hold: {0}")]
    Passkey(#[from] PasskeyError),
    /// The certificate, its chain or the signature by its key does not hold.
    #[error("the certificate does not speak for this client: {0}")]
    Certificate(#[from] CertificateError),
    /// The expiry has passed.
    #[error("the request has expired, sign a new one; if it is new, compare the clocks")]
    Expired,
    /// The expiry lies too far in the future.
    #[error(
        "the expiry lies more than {max_ahead} s ahead, choose a nearer one; if it is near, compare the clocks"
    )]
    TooFarAhead {
        /// The largest distance accepted, in seconds.
        max_ahead: u64,
    },
}

/// Judges a request: its client is enrolled, the signature is its own, and `now` is within the window.
///
/// `lookup` finds the credential enrolled under a name at this node; where a name has several, it chooses with
/// [`Credential::fits`]. `now_unix` and `max_ahead` are in seconds; a request is
/// valid while `now_unix <= expires <= now_unix + max_ahead`. The signature is judged before the times,
/// so nobody learns about a request that is not theirs.
///
/// # Errors
/// The first check that fails, in the order of [`VerifyError`].
pub fn verify_request(
    request: &SignedRequest,
    lookup: impl FnOnce(&str) -> Option<Credential>,
    now_unix: u64,
    max_ahead: u64,
) -> Result<(), VerifyError> {
    let credential = lookup(request.client()).ok_or(VerifyError::UnknownClient)?;
    credential.verify(request)?;
    if request.expires() < now_unix {
        return Err(VerifyError::Expired);
    }
    if request.expires() > now_unix.saturating_add(max_ahead) {
        return Err(VerifyError::TooFarAhead { max_ahead });
    }
    Ok(())
}

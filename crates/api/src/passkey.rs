//! Passkeys: what a node keeps of one, and the rules by which an assertion is a signature of a request.
//!
//! `spec/51-passkeys.md` has the steps. Everything is a function of the enrolled passkey, the challenge and the assertion: no
//! server holds a challenge for later, so no node has to trust the one that issued it.
//!
//! What these rules do not do: an assertion that was accepted once is accepted again. The signature counter is not judged,
//! since nothing is remembered and synchronised passkeys keep it at zero; and authenticators do not normalise ECDSA
//! signatures, so who sees one can write another (`n − s`) for the same challenge. So whether something was asked before
//! must be judged on the request, its operation or its challenge, and never on the bytes of an assertion. A node does:
//! operations are named after client and idempotency key, and both are under the challenge.

mod authenticator_data;
mod client_data;
mod enrolled;

use crate::client_key::{ClientAlgorithm, ClientPublicKey};
use crate::request::Assertion;
use authenticator_data::AuthenticatorData;
use client_data::ClientData;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use enrolled::{MAX_ORIGIN, MAX_ORIGINS, MAX_RP_ID, PasskeyKeyError};

/// A passkey as every node has it enrolled: its public key, and where it may be used.
///
/// In JSON an object with `key` (as [`ClientPublicKey`]), `credential_id` (base64url without padding), `rp_id` and
/// `origins`; in text `passkey:<key>:<credential_id>:<rp_id>:<origin>,<origin>…`. User verification (a PIN, a
/// fingerprint, a face) is always required.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "enrolled::PasskeyJson", into = "enrolled::PasskeyJson")]
pub struct PasskeyPublicKey {
    key: ClientPublicKey,
    credential_id: Vec<u8>,
    rp_id: String,
    origins: Vec<String>,
}

/// Why an assertion is not a signature of this request by this passkey: the first rule that is broken.
///
/// Whoever sent the assertion is at fault, or whoever enrolled the passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PasskeyError {
    /// Another credential than the enrolled one.
    #[error("another credential signed than the enrolled one, choose that passkey")]
    Credential,
    /// The client data is not one JSON object with the members that are needed, each once and of its type.
    #[error("the client data is not the JSON of an assertion")]
    ClientData,
    /// The client data is not of `webauthn.get`.
    #[error("the client data is not of type `webauthn.get`")]
    Type,
    /// The challenge is another request's.
    #[error("the challenge is not the one of this request")]
    Challenge,
    /// The page's origin is none of the enrolled ones.
    #[error("the page's origin is none of those enrolled for this passkey")]
    Origin,
    /// The page was in a frame of another origin.
    #[error("the page was in a frame of another origin, approve in a window of its own")]
    CrossOrigin,
    /// The client data names a page around the page.
    #[error("the client data names a top origin, approve in a window of its own")]
    TopOrigin,
    /// The authenticator data is too short, or does not end where it says.
    #[error("the authenticator data is malformed")]
    AuthenticatorData,
    /// It is for another relying party.
    #[error("the assertion is for another relying party than the enrolled one")]
    RelyingParty,
    /// Nobody was there.
    #[error("the authenticator did not test that somebody is present")]
    UserPresence,
    /// Who was there is not known.
    #[error("the authenticator did not verify the user, use a passkey with a PIN, fingerprint or face")]
    UserVerification,
    /// A backup of a credential that cannot be backed up.
    #[error("the authenticator says that a credential is backed up which cannot be")]
    BackupState,
    /// Credential data, which only registrations have.
    #[error("the authenticator data has credential data, which an assertion must not have")]
    CredentialData,
    /// The data of extensions is not one CBOR map.
    #[error("the extension data is not one definite CBOR map")]
    Extensions,
    /// The signature does not verify.
    #[error("the signature does not verify under the enrolled passkey")]
    Signature,
}

impl PasskeyError {
    /// Every rule.
    pub const ALL: [Self; 15] = [
        Self::Credential,
        Self::ClientData,
        Self::Type,
        Self::Challenge,
        Self::Origin,
        Self::CrossOrigin,
        Self::TopOrigin,
        Self::AuthenticatorData,
        Self::RelyingParty,
        Self::UserPresence,
        Self::UserVerification,
        Self::BackupState,
        Self::CredentialData,
        Self::Extensions,
        Self::Signature,
    ];
}

impl PasskeyPublicKey {
    /// The public key: P-256 for ES256, Ed25519 for EdDSA.
    pub fn key(&self) -> &ClientPublicKey {
        &self.key
    }

    /// The algorithm.
    pub fn algorithm(&self) -> ClientAlgorithm {
        self.key.algorithm()
    }

    /// The id by which browsers and authenticators know the credential.
    pub fn credential_id(&self) -> &[u8] {
        &self.credential_id
    }

    /// The relying party: the domain that the credential was made for.
    pub fn rp_id(&self) -> &str {
        &self.rp_id
    }

    /// The origins of pages that may use it.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Verifies that this passkey signed `challenge`, with its user present and verified, on a page of an enrolled origin
    /// that is in no frame of another origin (Web Authentication Level 3, 7.2, for a relying party that keeps no state).
    ///
    /// That `challenge` is of the request to be acted on is the caller's part: [`crate::verify_request`] does it.
    /// An assertion verifies any number of times; the module's documentation says what follows.
    ///
    /// # Errors
    /// The first rule that is broken, in the order of [`PasskeyError`].
    pub fn verify(&self, challenge: &[u8; 32], assertion: &Assertion) -> Result<(), PasskeyError> {
        // PKY.6 The credential is named by its id, and its key is the enrolled one.
        if assertion.credential_id() != self.credential_id {
            return Err(PasskeyError::Credential);
        }
        let client_data = ClientData::parse(assertion.client_data_json())?;
        client_data.check(challenge, &self.origins)?;
        let data = AuthenticatorData::parse(assertion.authenticator_data())?;
        data.check(&self.rp_id)?;
        // PKY.10 Over what was judged above, byte by byte.
        let mut signed = assertion.authenticator_data().to_vec();
        signed.extend_from_slice(Sha256::digest(assertion.client_data_json()).as_slice());
        if self.key.verify_assertion(&signed, assertion.signature()) {
            Ok(())
        } else {
            Err(PasskeyError::Signature)
        }
    }
}

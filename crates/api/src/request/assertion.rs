//! What an authenticator signed with a passkey: the bytes of one WebAuthn assertion, within bounds, not yet judged.

use super::{RequestError, put, wire::Reader};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::fmt;

/// Longest credential id, in bytes (Web Authentication Level 3, 4: at most 1023).
pub const MAX_CREDENTIAL_ID: usize = 1023;
/// Longest authenticator data, in bytes: 37, and room for what extensions say.
pub const MAX_AUTHENTICATOR_DATA: usize = 1024;
/// Longest client data, in bytes. Browsers write about 150 and the origin. With the other bounds, and in base64, a
/// header with an assertion stays below 8 KiB, the least that servers and proxies commonly take.
pub const MAX_CLIENT_DATA: usize = 3072;
/// Longest signature of an assertion, in bytes: a DER signature over P-256 has at most 72.
pub const MAX_ASSERTION_SIGNATURE: usize = 128;

/// Longest JSON form read by [`Assertion::from_json`], in bytes.
const MAX_JSON: usize = 32 * 1024;

/// One assertion of a passkey, as it came: see [`crate::PasskeyPublicKey`] for what must hold of it.
///
/// The results of client extensions are not part of it. They can be secret: the browser's `toJSON()` has the output of the
/// PRF extension, from which pages derive keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Assertion {
    credential_id: Vec<u8>,
    authenticator_data: Vec<u8>,
    client_data_json: Vec<u8>,
    signature: Vec<u8>,
}

/// Why bytes or JSON are no assertion. Always the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// The credential id is empty or too long.
    #[error("a credential id has 1 to {MAX_CREDENTIAL_ID} bytes")]
    CredentialId,
    /// The authenticator data is empty or too long.
    #[error("authenticator data has 1 to {MAX_AUTHENTICATOR_DATA} bytes")]
    AuthenticatorData,
    /// The client data is empty or too long.
    #[error("client data has 1 to {MAX_CLIENT_DATA} bytes")]
    ClientData,
    /// The signature is empty or too long.
    #[error("the signature of an assertion has 1 to {MAX_ASSERTION_SIGNATURE} bytes")]
    Signature,
    /// The text is not the JSON of an assertion.
    #[error(
        "not an assertion: expected the JSON that `PublicKeyCredential.toJSON()` gives after `navigator.credentials.get`"
    )]
    Json,
}

impl Assertion {
    /// Longest encoding, in bytes.
    pub const MAX_ENCODED: usize =
        4 * 4 + MAX_CREDENTIAL_ID + MAX_AUTHENTICATOR_DATA + MAX_CLIENT_DATA + MAX_ASSERTION_SIGNATURE;

    /// Joins the four parts of an assertion: the credential's raw id, and `authenticatorData`, `clientDataJSON` and
    /// `signature` of the `AuthenticatorAssertionResponse`, byte by byte. Nothing is verified here.
    ///
    /// # Errors
    /// The part that is empty or too long.
    pub fn new(
        credential_id: impl Into<Vec<u8>>,
        authenticator_data: impl Into<Vec<u8>>,
        client_data_json: impl Into<Vec<u8>>,
        signature: impl Into<Vec<u8>>,
    ) -> Result<Self, AssertionError> {
        let bounded = |bytes: Vec<u8>, max: usize, error| {
            if (1..=max).contains(&bytes.len()) { Ok(bytes) } else { Err(error) }
        };
        Ok(Self {
            credential_id: bounded(credential_id.into(), MAX_CREDENTIAL_ID, AssertionError::CredentialId)?,
            authenticator_data: bounded(
                authenticator_data.into(),
                MAX_AUTHENTICATOR_DATA,
                AssertionError::AuthenticatorData,
            )?,
            client_data_json: bounded(client_data_json.into(), MAX_CLIENT_DATA, AssertionError::ClientData)?,
            signature: bounded(signature.into(), MAX_ASSERTION_SIGNATURE, AssertionError::Signature)?,
        })
    }

    /// Reads what a browser's `PublicKeyCredential.toJSON()` gives after `navigator.credentials.get`
    /// (Web Authentication Level 3, 5.1.8, `AuthenticationResponseJSON`). Members that are not needed are not looked at:
    /// the results of extensions go no further than this function.
    ///
    /// # Errors
    /// [`AssertionError::Json`] for anything else, or the part that is out of its bounds.
    pub fn from_json(json: &str) -> Result<Self, AssertionError> {
        // PKY.4 One JSON object with one id.
        if json.len() > MAX_JSON {
            return Err(AssertionError::Json);
        }
        let json: CredentialJson = serde_json::from_str(json).map_err(|_| AssertionError::Json)?;
        if json.kind != "public-key" || json.id != json.raw_id {
            return Err(AssertionError::Json);
        }
        let bytes = |text: &str| decode_base64url(text).ok_or(AssertionError::Json);
        Self::new(
            bytes(&json.raw_id)?,
            bytes(&json.response.authenticator_data)?,
            bytes(&json.response.client_data_json)?,
            bytes(&json.response.signature)?,
        )
    }

    /// Which credential signed, as the sender says.
    pub fn credential_id(&self) -> &[u8] {
        &self.credential_id
    }

    /// The authenticator data as the authenticator signed it.
    pub fn authenticator_data(&self) -> &[u8] {
        &self.authenticator_data
    }

    /// The client data as the browser wrote it: UTF-8 JSON in a form of the browser's choice.
    pub fn client_data_json(&self) -> &[u8] {
        &self.client_data_json
    }

    /// The signature: DER for ES256, 64 bytes for EdDSA.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The one encoding: credential id, authenticator data, client data and signature, each after its length in 4 bytes,
    /// big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.write(&mut out);
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`RequestError::Encoding`] for anything but the canonical bytes of parts within their bounds.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RequestError> {
        let mut reader = Reader::new(bytes);
        let assertion = Self::read(&mut reader)?;
        reader.end()?;
        Ok(assertion)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        // Without `..`, so that a part that is added here cannot be forgotten in the encoding.
        let Self { credential_id, authenticator_data, client_data_json, signature } = self;
        for part in [credential_id, authenticator_data, client_data_json, signature] {
            put(out, part);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, RequestError> {
        Self::new(
            reader.field(MAX_CREDENTIAL_ID)?,
            reader.field(MAX_AUTHENTICATOR_DATA)?,
            reader.field(MAX_CLIENT_DATA)?,
            reader.field(MAX_ASSERTION_SIGNATURE)?,
        )
        .map_err(|_| RequestError::Encoding)
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion")
            .field("credential_id", &encode_base64url(&self.credential_id))
            .field("authenticator_data", &hex::encode(&self.authenticator_data))
            .field("client_data_json", &String::from_utf8_lossy(&self.client_data_json))
            .field("signature", &hex::encode(&self.signature))
            .finish()
    }
}

/// `AuthenticationResponseJSON`, the members that are needed. Duplicates of these are errors, others are not looked at:
/// browsers add members as the standard grows.
#[derive(Deserialize)]
struct CredentialJson {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    #[serde(rename = "rawId")]
    raw_id: String,
    response: ResponseJson,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseJson {
    authenticator_data: String,
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    signature: String,
}

/// base64url without padding (RFC 4648, section 5), as WebAuthn writes bytes in JSON.
pub(crate) fn encode_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The one text of some bytes: padding, other alphabets, spaces and bits that are left over are refused.
pub(crate) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

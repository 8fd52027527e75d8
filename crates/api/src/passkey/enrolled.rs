//! The enrolled form of a passkey: how it is made from a registration, written and read.

use super::PasskeyPublicKey;
use crate::client_key::{ClientAlgorithm, ClientPublicKey, SpkiError};
use crate::request::{MAX_CREDENTIAL_ID, decode_base64url, encode_base64url};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest id of a relying party, in bytes: a domain name.
pub const MAX_RP_ID: usize = 253;
/// Most origins of one passkey.
pub const MAX_ORIGINS: usize = 8;
/// Longest origin, in bytes: `https://`, a domain name and a port.
pub const MAX_ORIGIN: usize = 8 + MAX_RP_ID + 6;

/// Longest JSON form of a registration that is read, in bytes; attestation statements make it long.
const MAX_JSON: usize = 64 * 1024;

/// Why something is not a passkey that can be enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyKeyError {
    /// The text form is none.
    #[error("a passkey is `passkey:<key>:<credential id in base64url>:<rp id>:<origin>,<origin>…`")]
    Text,
    /// The JSON is not that of a registration, or has no public key.
    #[error(
        "not a registration: expected the JSON that `PublicKeyCredential.toJSON()` gives after `navigator.credentials.create`"
    )]
    Json,
    /// The public key is malformed.
    #[error("the public key is not valid: expected a SubjectPublicKeyInfo (DER) of a P-256 or Ed25519 key")]
    Key,
    /// The public key is of another algorithm, such as RSA.
    #[error("the passkey's algorithm is not supported: register one for ES256 (-7) or EdDSA (-8), not RS256")]
    Algorithm,
    /// The credential id is empty, too long, or not in base64url.
    #[error("a credential id has 1 to {MAX_CREDENTIAL_ID} bytes, written in base64url without padding")]
    CredentialId,
    /// The relying party is not a domain name in lower case.
    #[error(
        "an rp id is a domain name of at most {MAX_RP_ID} characters in lower case, such as `example.com`"
    )]
    RpId,
    /// An origin is malformed, twice there, not of the relying party, or there are none or too many.
    #[error(
        "expected 1 to {MAX_ORIGINS} different origins of the rp id's domain, each as browsers write it: `https://host` or `https://host:port`, or http for localhost"
    )]
    Origin,
}

impl PasskeyPublicKey {
    /// A passkey to enrol.
    ///
    /// # Errors
    /// The part that is malformed or out of its bounds: [`PasskeyKeyError::CredentialId`],
    /// [`PasskeyKeyError::RpId`], [`PasskeyKeyError::Origin`].
    pub fn new<O: Into<String>>(
        key: ClientPublicKey,
        credential_id: impl Into<Vec<u8>>,
        rp_id: impl Into<String>,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<Self, PasskeyKeyError> {
        // PKY.1 What is enrolled is within bounds, and its origins are of its relying party.
        let (credential_id, rp_id) = (credential_id.into(), rp_id.into());
        // One more than allowed is enough to know.
        let origins: Vec<String> = origins.into_iter().take(MAX_ORIGINS + 1).map(Into::into).collect();
        if !(1..=MAX_CREDENTIAL_ID).contains(&credential_id.len()) {
            return Err(PasskeyKeyError::CredentialId);
        }
        if !is_domain(&rp_id) {
            return Err(PasskeyKeyError::RpId);
        }
        let distinct = origins
            .iter()
            .enumerate()
            .all(|(at, one)| !origins.iter().skip(at + 1).any(|other| one == other));
        if !(1..=MAX_ORIGINS).contains(&origins.len())
            || !distinct
            || !origins.iter().all(|origin| is_origin_of(origin, &rp_id))
        {
            return Err(PasskeyKeyError::Origin);
        }
        Ok(Self { key, credential_id, rp_id, origins })
    }

    /// A passkey from what the browser gives after `navigator.credentials.create`: the raw id, and
    /// `response.getPublicKey()`, a SubjectPublicKeyInfo in DER.
    ///
    /// That the sender has the passkey is not shown by this: its first signed request does.
    ///
    /// # Errors
    /// [`PasskeyKeyError::Key`], [`PasskeyKeyError::Algorithm`], or as [`new`](Self::new).
    pub fn from_spki<O: Into<String>>(
        spki: &[u8],
        credential_id: impl Into<Vec<u8>>,
        rp_id: impl Into<String>,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<Self, PasskeyKeyError> {
        let key = ClientPublicKey::from_spki(spki).map_err(|error| match error {
            SpkiError::Malformed => PasskeyKeyError::Key,
            SpkiError::Algorithm => PasskeyKeyError::Algorithm,
        })?;
        Self::new(key, credential_id, rp_id, origins)
    }

    /// A passkey from `PublicKeyCredential.toJSON()` after `navigator.credentials.create`
    /// (`RegistrationResponseJSON`). Attestation and client data are not judged: whoever enrols the passkey vouches for it.
    ///
    /// # Errors
    /// [`PasskeyKeyError::Json`], or as [`from_spki`](Self::from_spki).
    pub fn from_registration_json<O: Into<String>>(
        json: &str,
        rp_id: impl Into<String>,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<Self, PasskeyKeyError> {
        if json.len() > MAX_JSON {
            return Err(PasskeyKeyError::Json);
        }
        let json: RegistrationJson = serde_json::from_str(json).map_err(|_| PasskeyKeyError::Json)?;
        if json.kind != "public-key" || json.id != json.raw_id {
            return Err(PasskeyKeyError::Json);
        }
        // PKY.1 COSE algorithms: -7 ES256, -8 EdDSA. Refused before the key, which browsers leave out for unusual ones.
        let algorithm = match json.response.public_key_algorithm {
            -7 => ClientAlgorithm::P256,
            -8 => ClientAlgorithm::Ed25519,
            _ => return Err(PasskeyKeyError::Algorithm),
        };
        let spki = json.response.public_key.ok_or(PasskeyKeyError::Json)?;
        let spki = decode_base64url(&spki).ok_or(PasskeyKeyError::Json)?;
        let id = decode_base64url(&json.raw_id).ok_or(PasskeyKeyError::CredentialId)?;
        let passkey = Self::from_spki(&spki, id, rp_id, origins)?;
        if passkey.algorithm() == algorithm { Ok(passkey) } else { Err(PasskeyKeyError::Key) }
    }
}

/// `RegistrationResponseJSON`, the members that are needed.
#[derive(Deserialize)]
struct RegistrationJson {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    #[serde(rename = "rawId")]
    raw_id: String,
    response: AttestationJson,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttestationJson {
    public_key: Option<String>,
    public_key_algorithm: i64,
}

/// The JSON form of an enrolled passkey.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PasskeyJson {
    key: ClientPublicKey,
    credential_id: String,
    rp_id: String,
    origins: Vec<String>,
}

impl From<PasskeyPublicKey> for PasskeyJson {
    fn from(passkey: PasskeyPublicKey) -> Self {
        let PasskeyPublicKey { key, credential_id, rp_id, origins } = passkey;
        Self { key, credential_id: encode_base64url(&credential_id), rp_id, origins }
    }
}

impl TryFrom<PasskeyJson> for PasskeyPublicKey {
    type Error = PasskeyKeyError;

    fn try_from(json: PasskeyJson) -> Result<Self, PasskeyKeyError> {
        let id = decode_base64url(&json.credential_id).ok_or(PasskeyKeyError::CredentialId)?;
        Self::new(json.key, id, json.rp_id, json.origins)
    }
}

impl fmt::Display for PasskeyPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, credential_id, rp_id, origins } = self;
        write!(f, "passkey:{key}:{}:{rp_id}:{}", encode_base64url(credential_id), origins.join(","))
    }
}

impl fmt::Debug for PasskeyPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PasskeyPublicKey {
    type Err = PasskeyKeyError;

    fn from_str(text: &str) -> Result<Self, PasskeyKeyError> {
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next().ok_or(PasskeyKeyError::Text);
        if part()? != "passkey" {
            return Err(PasskeyKeyError::Text);
        }
        let key = format!("{}:{}", part()?, part()?).parse().map_err(|_| PasskeyKeyError::Key)?;
        let id = decode_base64url(part()?).ok_or(PasskeyKeyError::CredentialId)?;
        let rp_id = part()?;
        Self::new(key, id, rp_id, part()?.split(','))
    }
}

/// Whether `name` is a domain name as browsers write it: labels of lower-case letters, digits and hyphens.
fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = name.rsplit('.').next().unwrap_or_default();
    // A last label of digits would make it an address, which cannot be a relying party.
    name.len() <= MAX_RP_ID && name.split('.').all(label) && !top.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `origin` is in the one form that browsers write, on the domain `rp_id` or below it, and a secure context.
fn is_origin_of(origin: &str, rp_id: &str) -> bool {
    let (secure, rest) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return false,
    };
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let port = port.is_none_or(|port| {
        let default = if secure { 443 } else { 80 };
        port.parse::<u16>().is_ok_and(|number| number != default && number > 0 && number.to_string() == port)
    });
    let within =
        |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    port && is_domain(host) && within(rp_id) && (secure || within("localhost"))
}

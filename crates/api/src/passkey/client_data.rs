//! What the browser says about the page (Web Authentication Level 3, 5.8.1).

use super::PasskeyError;
use crate::request::encode_base64url;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// The members that are judged. Each may be there once; others may be there too, since browsers add some.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    /// Whether the member is there, with any value.
    #[serde(default, deserialize_with = "present")]
    top_origin: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer)?;
    Ok(true)
}

impl ClientData {
    /// Reads the JSON as JSON: browsers may order, space and extend it as they like.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PasskeyError> {
        // PKY.7 One object; a repeated member would leave open which of them counts. A list is not an object.
        if bytes.first() != Some(&b'{') {
            return Err(PasskeyError::ClientData);
        }
        serde_json::from_slice(bytes).map_err(|_| PasskeyError::ClientData)
    }

    pub(super) fn check(&self, challenge: &[u8; 32], origins: &[String]) -> Result<(), PasskeyError> {
        // PKY.8 Type, challenge, origin, frame.
        if self.kind != "webauthn.get" {
            return Err(PasskeyError::Type);
        }
        // Texts are compared, so that the challenge has one form. It is no secret.
        if self.challenge != encode_base64url(challenge) {
            return Err(PasskeyError::Challenge);
        }
        if !origins.contains(&self.origin) {
            return Err(PasskeyError::Origin);
        }
        if self.cross_origin {
            return Err(PasskeyError::CrossOrigin);
        }
        if self.top_origin {
            return Err(PasskeyError::TopOrigin);
        }
        Ok(())
    }
}

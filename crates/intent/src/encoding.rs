//! Bounded decoding of hex and base64, and the serde forms of byte fields.

use crate::IntentError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

/// Decodes hex, with or without `0x`, of at most `limit` bytes.
pub(crate) fn hex_bytes(what: &'static str, text: &str, limit: usize) -> Result<Vec<u8>, IntentError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() > limit.saturating_mul(2) {
        return Err(IntentError::TooLarge { what, limit, unit: "bytes" });
    }
    hex::decode(digits).map_err(|e| IntentError::Encoding { what, encoding: "hex", reason: e.to_string() })
}

/// Decodes padded standard base64 of at most `limit` bytes. One form for one value: line breaks, the URL
/// alphabet and stray trailing bits are refused.
pub(crate) fn base64_bytes(what: &'static str, text: &str, limit: usize) -> Result<Vec<u8>, IntentError> {
    let too_large = IntentError::TooLarge { what, limit, unit: "bytes" };
    if text.len() > limit.div_ceil(3).saturating_mul(4) {
        return Err(too_large);
    }
    let bytes = STANDARD.decode(text).map_err(|e| IntentError::Encoding {
        what,
        encoding: "base64",
        reason: e.to_string(),
    })?;
    if bytes.len() > limit { Err(too_large) } else { Ok(bytes) }
}

/// Padded standard base64.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Fixed-size byte arrays as lower-case hex.
pub(crate) mod hex64 {
    use super::{Deserializer, Serializer, hex_array};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 64], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 64], D::Error> {
        hex_array(from)
    }
}

/// Optional byte strings as lower-case hex.
pub(crate) mod hex_option {
    use super::Serializer;

    #[expect(clippy::ref_option, reason = "serde's `with` passes the field by reference")]
    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, out: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => out.serialize_some(&hex::encode(bytes)),
            None => out.serialize_none(),
        }
    }
}

fn hex_array<'de, const N: usize, D: Deserializer<'de>>(from: D) -> Result<[u8; N], D::Error> {
    let text = String::deserialize(from)?;
    let bytes = hex_bytes("the field", &text, N).map_err(D::Error::custom)?;
    bytes.try_into().map_err(|_| D::Error::custom(format!("expected {N} bytes in hex")))
}

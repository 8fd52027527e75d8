//! Signed webhooks, in the form of Standard Webhooks (<https://www.standardwebhooks.com>), version `v1a`: Ed25519 over
//! `id.timestamp.body`.
//!
//! For receivers: [`verify`] says whether a delivery is the node's and new enough. Keep the ids of accepted deliveries for at least
//! twice the tolerance and drop those that come again; a retry has the same id.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// Header that names a delivery, the same for each try.
pub const HEADER_ID: &str = "webhook-id";
/// Header with the time of the try, in unix seconds.
pub const HEADER_TIMESTAMP: &str = "webhook-timestamp";
/// Header with one or more signatures, separated by spaces.
pub const HEADER_SIGNATURE: &str = "webhook-signature";
/// How far a delivery's time may lie from the receiver's clock, in seconds.
pub const TOLERANCE: u64 = 300;
/// Where a node publishes its keys.
pub const KEYS_PATH: &str = "/.well-known/quorate-webhook-keys";

const PUBLIC_PREFIX: &str = "whpk_";
const VERSION: &str = "v1a,";
/// Most signatures of one delivery that are looked at.
const MAX_SIGNATURES: usize = 8;

/// Why a delivery is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// A header is not of its form.
    #[error("the header `{0}` is malformed")]
    Malformed(&'static str),
    /// No signature is that of a known key over these bytes.
    #[error("no signature of this delivery is by a known key over its id, time and body")]
    Signature,
    /// The time is too far from the receiver's clock.
    #[error("the delivery is too old or from the future: a replay, or the clocks differ")]
    Timestamp,
    /// The text is no key.
    #[error("a webhook key is `whpk_` and the base64 of 32 bytes")]
    Key,
}

/// Signs a node's deliveries. Erased when dropped; never printed.
pub struct WebhookKey(Box<SigningKey>);

impl WebhookKey {
    /// The key of these 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Box::new(SigningKey::from_bytes(seed)))
    }

    /// The public half.
    pub fn public_key(&self) -> WebhookPublicKey {
        WebhookPublicKey(self.0.verifying_key())
    }

    /// The value of [`HEADER_SIGNATURE`].
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let signature = self.0.sign(&signed(id, timestamp, body));
        format!("{VERSION}{}", STANDARD.encode(signature.to_bytes()))
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookKey({}, secret)", self.public_key())
    }
}

/// A node's public webhook key; in text `whpk_` and base64.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookPublicKey(VerifyingKey);

impl fmt::Display for WebhookPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for WebhookPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for WebhookPublicKey {
    type Err = WebhookError;

    fn from_str(text: &str) -> Result<Self, WebhookError> {
        let bytes = text.strip_prefix(PUBLIC_PREFIX).and_then(|text| STANDARD.decode(text).ok());
        let bytes: [u8; 32] = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(WebhookError::Key)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| WebhookError::Key)?;
        if key.is_weak() { Err(WebhookError::Key) } else { Ok(Self(key)) }
    }
}

impl TryFrom<String> for WebhookPublicKey {
    type Error = WebhookError;

    fn try_from(text: String) -> Result<Self, WebhookError> {
        text.parse()
    }
}

impl From<WebhookPublicKey> for String {
    fn from(key: WebhookPublicKey) -> Self {
        key.to_string()
    }
}

/// What a node publishes at [`KEYS_PATH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookKeys {
    /// The node's name.
    pub node: String,
    /// Its identity, 32 bytes in hex.
    pub identity: String,
    /// The keys that its deliveries may be signed with.
    #[schema(value_type = Vec<String>)]
    pub keys: Vec<WebhookPublicKey>,
}

fn signed(id: &str, timestamp: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{id}.{timestamp}.").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Whether a delivery was signed by one of `keys`, and at most `tolerance` seconds from `now_unix` ([`TOLERANCE`] is usual). The three
/// texts are the values of the headers; `body` is the exact body. Nothing about repeated ids is checked here: see the module.
///
/// # Errors
/// [`WebhookError`]; the signature is judged before the time.
pub fn verify(
    keys: &[WebhookPublicKey],
    id: &str,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now_unix: u64,
    tolerance: u64,
) -> Result<(), WebhookError> {
    // A dot would let bytes move between id, time and body.
    if id.is_empty() || id.len() > 128 || id.contains('.') {
        return Err(WebhookError::Malformed(HEADER_ID));
    }
    let time: u64 = timestamp.parse().map_err(|_| WebhookError::Malformed(HEADER_TIMESTAMP))?;
    if time.to_string() != timestamp {
        return Err(WebhookError::Malformed(HEADER_TIMESTAMP));
    }
    let bytes = signed(id, time, body);
    let good = signature.split(' ').take(MAX_SIGNATURES).any(|one| {
        let raw = one.strip_prefix(VERSION).and_then(|text| STANDARD.decode(text).ok());
        let raw: Option<[u8; 64]> = raw.and_then(|raw| raw.try_into().ok());
        raw.is_some_and(|raw| {
            keys.iter().any(|key| key.0.verify_strict(&bytes, &Signature::from_bytes(&raw)).is_ok())
        })
    });
    if !good {
        return Err(WebhookError::Signature);
    }
    if time.abs_diff(now_unix) > tolerance {
        return Err(WebhookError::Timestamp);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn only_the_signed_bytes_in_time_are_accepted() {
        let key = WebhookKey::from_seed(&[7; 32]);
        let keys = [WebhookKey::from_seed(&[8; 32]).public_key(), key.public_key()];
        let (id, time, body) = ("evt_1", NOW.to_string(), br#"{"id":1}"#.as_slice());
        let signature = key.sign(id, NOW, body);
        let check = |id: &str, time: &str, signature: &str, body: &[u8], now| {
            verify(&keys, id, time, signature, body, now, TOLERANCE)
        };
        let good = check(id, &time, &signature, body, NOW);
        assert_eq!(good, Ok(()));
        let rotated =
            format!("v1,c2VjcmV0 {} {signature}", WebhookKey::from_seed(&[9; 32]).sign(id, NOW, body));
        assert_eq!(check(id, &time, &rotated, body, NOW + TOLERANCE), Ok(()), "one of several signatures");
        assert_eq!(check(id, &time, &signature, body, NOW + TOLERANCE + 1), Err(WebhookError::Timestamp));
        assert_eq!(check(id, &time, &signature, body, NOW - TOLERANCE - 1), Err(WebhookError::Timestamp));
        assert_eq!(check("evt_2", &time, &signature, body, NOW), Err(WebhookError::Signature));
        assert_eq!(check(id, &(NOW + 1).to_string(), &signature, body, NOW), Err(WebhookError::Signature));
        assert_eq!(
            check(id, &format!("0{time}"), &signature, body, NOW),
            Err(WebhookError::Malformed(HEADER_TIMESTAMP))
        );
        assert_eq!(check("a.b", &time, &signature, body, NOW), Err(WebhookError::Malformed(HEADER_ID)));
        assert_eq!(
            verify(&keys[..1], id, &time, &signature, body, NOW, TOLERANCE),
            Err(WebhookError::Signature)
        );
        let mut flips = 0;
        for at in 0..body.len() * 8 {
            let mut other = body.to_vec();
            if let Some(byte) = other.get_mut(at / 8) {
                *byte ^= 1 << (at % 8);
            }
            assert_eq!(check(id, &time, &signature, &other, NOW), Err(WebhookError::Signature), "bit {at}");
            flips += 1;
        }
        assert_eq!(flips, 64);
        for none in ["", "v1a,", "v1a", signature.trim_start_matches("v1a,"), &format!("{signature}A")] {
            assert_eq!(check(id, &time, none, body, NOW), Err(WebhookError::Signature), "{none}");
        }
    }

    #[test]
    fn keys_have_one_text() {
        let key = WebhookKey::from_seed(&[7; 32]).public_key();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(format!("{:?}", WebhookKey::from_seed(&[7; 32])), format!("WebhookKey({key}, secret)"));
        for bad in [
            "",
            "whpk_",
            "whsk_AAAA",
            key.to_string().trim_start_matches("whpk_"),
            "whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ] {
            assert_eq!(bad.parse::<WebhookPublicKey>(), Err(WebhookError::Key), "{bad}");
        }
    }
}

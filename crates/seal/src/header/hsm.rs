//! A header whose data key is wrapped by a key in an HSM.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic `QUORSEAL` |
//! | 2 | version 2, big-endian |
//! | 1 | mechanism: 1 is AES-256-GCM with a tag of 16 bytes |
//! | 1 + n | label of the token, for messages |
//! | 1 + n | label of the key, for messages |
//! | 1 + n | identifier of the key (`CKA_ID`), empty if it has none |
//! | 1 + n | nonce, 12 to 16 bytes |
//! | 1 + 48 | data key under the token's key |
//! | 32 | BLAKE3 checksum of all before |
//!
//! Bound into the ciphertext are a domain, the node's identity, mechanism and both labels. The identifier is not: it only tells another
//! key of the same label from a changed header.

use super::{MAGIC, Reader};
use crate::SealError;
use crate::hsm::Wrapped;

pub(crate) const VERSION: u16 = 2;
const AES_256_GCM: u8 = 1;
/// First in the associated data, so that no other use of the token's key can collide with it.
const DOMAIN: &[u8] = b"quorate seal v2 hsm data key";
const WRAPPED_LEN: usize = 48;
const MAX_IV_LEN: usize = 16;
const MAX_ID_LEN: usize = 255;
const MAX_LABEL_LEN: usize = 255;

#[derive(Clone, Debug)]
pub(crate) struct HsmHeader {
    pub(crate) token: String,
    pub(crate) key: String,
    pub(crate) wrapped: Wrapped,
}

impl HsmHeader {
    /// Without the ciphertext, which is bound to the rest.
    pub(crate) fn new(token: String, key: String) -> Result<Self, SealError> {
        for (what, label) in [("label of the token", &token), ("label of the key", &key)] {
            if label.len() > MAX_LABEL_LEN {
                return Err(SealError::ContextTooLong { what, len: label.len(), max: MAX_LABEL_LEN });
            }
        }
        Ok(Self { token, key, wrapped: Wrapped { id: Vec::new(), iv: Vec::new(), bytes: Vec::new() } })
    }

    /// What the ciphertext is bound to.
    pub(crate) fn bound(&self, owner: &[u8; 32]) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        out.extend_from_slice(owner);
        out.push(AES_256_GCM);
        for label in [&self.token, &self.key] {
            // A label was bounded when it was taken in.
            out.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(label.as_bytes());
        }
        out
    }

    /// SEAL.6
    pub(crate) fn encode(&self) -> Result<Vec<u8>, SealError> {
        let Wrapped { id, iv, bytes } = &self.wrapped;
        // A token that answers with something else did not do what it was asked.
        if !(12..=MAX_IV_LEN).contains(&iv.len()) || bytes.len() != WRAPPED_LEN {
            return Err(SealError::HeaderTampered);
        }
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.push(AES_256_GCM);
        for field in [self.token.as_bytes(), self.key.as_bytes(), id, iv, bytes] {
            let len = field.len();
            let short = u8::try_from(len).map_err(|_| SealError::ContextTooLong {
                what: "identifier of the key",
                len,
                max: MAX_ID_LEN,
            })?;
            out.push(short);
            out.extend_from_slice(field);
        }
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        Ok(out)
    }

    /// Whether these bytes say that they are of this version.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
            && bytes.get(MAGIC.len()..MAGIC.len() + 2) == Some(VERSION.to_be_bytes().as_slice())
            && (has_checksum(bytes) || !is_other(bytes))
    }

    /// Whether these bytes are a header of this version whose version field alone was hit.
    pub(crate) fn is_damaged(bytes: &[u8]) -> bool {
        with_version(bytes, VERSION).is_some_and(|restored| has_checksum(&restored))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        if !has_checksum(bytes) {
            return Err(SealError::HeaderTampered);
        }
        let damaged = || SealError::HeaderTampered;
        let body = bytes.get(..bytes.len().saturating_sub(blake3::OUT_LEN)).ok_or_else(damaged)?;
        let mut reader = Reader(body);
        let (_, _): ([u8; 8], [u8; 2]) = (reader.array()?, reader.array()?);
        if reader.array::<1>()? != [AES_256_GCM] {
            return Err(damaged());
        }
        let mut field = || {
            let [len] = reader.array()?;
            let (field, rest) = reader.0.split_at_checked(usize::from(len)).ok_or_else(damaged)?;
            reader.0 = rest;
            Ok::<_, SealError>(field.to_vec())
        };
        let mut label = || String::from_utf8(field()?).map_err(|_| damaged());
        let (token, key) = (label()?, label()?);
        let wrapped = Wrapped { id: field()?, iv: field()?, bytes: field()? };
        let fits = (12..=MAX_IV_LEN).contains(&wrapped.iv.len()) && wrapped.bytes.len() == WRAPPED_LEN;
        if !fits || !reader.0.is_empty() {
            return Err(damaged());
        }
        Ok(Self { token, key, wrapped })
    }
}

/// Whether these bytes are an intact header of version 1 but for the version.
fn is_other(bytes: &[u8]) -> bool {
    with_version(bytes, super::VERSION).is_some_and(|restored| has_checksum(&restored))
}

fn with_version(bytes: &[u8], version: u16) -> Option<Vec<u8>> {
    let mut restored = bytes.to_vec();
    restored.get_mut(MAGIC.len()..MAGIC.len() + 2)?.copy_from_slice(&version.to_be_bytes());
    Some(restored)
}

fn has_checksum(bytes: &[u8]) -> bool {
    let Some((body, checksum)) = bytes.split_last_chunk::<{ blake3::OUT_LEN }>() else { return false };
    // Nothing here is secret.
    blake3::hash(body).as_bytes() == checksum
}

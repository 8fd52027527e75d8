//! The public bytes of a folder's seal. Version 1 is under a passphrase; version 2, under a key in an HSM, is in `hsm`.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic `QUORSEAL` |
//! | 2 | version, big-endian |
//! | 4 + 4 + 4 | memory in KiB, passes, lanes, big-endian |
//! | 32 | salt |
//! | 32 | check value of the root key |
//! | 24 + 48 | nonce, data key under the wrapping key |
//! | 32 | BLAKE3 checksum of all before |
//!
//! The checksum has no key: it tells damage from a wrong passphrase. Whoever changes the header on purpose can
//! recompute it, and then the check value or the wrapped key does not fit.

pub(crate) mod hsm;

use self::hsm::HsmHeader;
use crate::{Params, SealError};

/// Length in bytes of a header under a passphrase.
pub const HEADER_LEN: usize = 190;

/// The version of a header under a passphrase.
pub(crate) const VERSION: u16 = 1;
/// The newest version of the header.
const NEWEST: u16 = hsm::VERSION;

pub(crate) const SALT_LEN: usize = 32;
pub(crate) const CHECK_LEN: usize = 32;
pub(crate) const NONCE_LEN: usize = 24;
pub(crate) const WRAPPED_LEN: usize = 48;
pub(crate) const MAGIC: [u8; 8] = *b"QUORSEAL";

/// A header of either kind, taken apart.
#[derive(Clone, Debug)]
pub(crate) enum Parsed {
    Passphrase(Header),
    Hsm(HsmHeader),
}

/// Takes the bytes apart. Nothing in them is believed yet.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, SealError> {
    if HsmHeader::is_one(bytes) {
        HsmHeader::decode(bytes).map(Parsed::Hsm)
    } else {
        Header::decode(bytes).map(Parsed::Passphrase)
    }
}

/// A header under a passphrase, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) params: Params,
    pub(crate) salt: [u8; SALT_LEN],
    pub(crate) check: [u8; CHECK_LEN],
    pub(crate) nonce: [u8; NONCE_LEN],
    pub(crate) wrapped: [u8; WRAPPED_LEN],
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = prefix(&self.params, &self.salt);
        out.extend_from_slice(&self.check);
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.wrapped);
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        out
    }

    /// Takes the bytes apart. The parameters are not judged here.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        let mut reader = Reader(bytes);
        if reader.array::<8>()? != MAGIC {
            return Err(SealError::HeaderTampered);
        }
        let version = u16::from_be_bytes(reader.array()?);
        // A later version may have another length, so it is named before the length is judged.
        if version != VERSION && !is_damaged_current(bytes) && !HsmHeader::is_damaged(bytes) {
            return Err(SealError::UnknownHeader { found: version, known: NEWEST });
        }
        let body = bytes.get(..HEADER_LEN - blake3::OUT_LEN).ok_or(SealError::HeaderTampered)?;
        let memory_kib = u32::from_be_bytes(reader.array()?);
        let passes = u32::from_be_bytes(reader.array()?);
        let lanes = u32::from_be_bytes(reader.array()?);
        let header = Self {
            params: Params::unchecked(memory_kib, passes, lanes),
            salt: reader.array()?,
            check: reader.array()?,
            nonce: reader.array()?,
            wrapped: reader.array()?,
        };
        let checksum: [u8; blake3::OUT_LEN] = reader.array()?;
        // Comparison of a `blake3::Hash` is constant-time; nothing here is secret anyway.
        if !reader.0.is_empty() || version != VERSION || blake3::hash(body) != blake3::Hash::from(checksum) {
            return Err(SealError::HeaderTampered);
        }
        Ok(header)
    }
}

/// The part of the header that the check value and the wrapped key are bound to.
pub(crate) fn prefix(params: &Params, salt: &[u8; SALT_LEN]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&params.memory_kib().to_be_bytes());
    out.extend_from_slice(&params.passes().to_be_bytes());
    out.extend_from_slice(&params.lanes().to_be_bytes());
    out.extend_from_slice(salt);
    out
}

/// Whether these bytes are a header of our own version whose version field alone was hit.
fn is_damaged_current(bytes: &[u8]) -> bool {
    let Some((body, checksum)) = bytes.split_at_checked(HEADER_LEN - blake3::OUT_LEN) else {
        return false;
    };
    let mut restored = body.to_vec();
    let Some(field) = restored.get_mut(MAGIC.len()..MAGIC.len() + 2) else { return false };
    field.copy_from_slice(&VERSION.to_be_bytes());
    blake3::hash(&restored).as_bytes().as_slice() == checksum
}

pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], SealError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(SealError::HeaderTampered)?;
        self.0 = rest;
        Ok(*head)
    }
}

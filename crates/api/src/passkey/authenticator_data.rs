//! What the authenticator says (Web Authentication Level 3, 6.1).

use super::PasskeyError;
use sha2::{Digest, Sha256};

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const CREDENTIAL_DATA: u8 = 1 << 6;
const EXTENSIONS: u8 = 1 << 7;

/// Levels of maps and lists in extension data, as CTAP 2 bounds messages.
const MAX_DEPTH: u8 = 4;

/// Hash of the relying party (32 bytes), flags (1), counter (4), extension data. The counter is not judged: see the module.
pub(super) struct AuthenticatorData<'a> {
    rp_id_hash: &'a [u8; 32],
    flags: u8,
    extensions: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, PasskeyError> {
        // PKY.9 37 bytes, and more only where the flags say of what.
        let malformed = PasskeyError::AuthenticatorData;
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>().ok_or(malformed)?;
        let ([flags, _, _, _, _], extensions) = rest.split_first_chunk::<5>().ok_or(malformed)?;
        if flags & (EXTENSIONS | CREDENTIAL_DATA) == 0 && !extensions.is_empty() {
            return Err(malformed);
        }
        Ok(Self { rp_id_hash, flags: *flags, extensions })
    }

    pub(super) fn check(&self, rp_id: &str) -> Result<(), PasskeyError> {
        let has = |flag: u8| self.flags & flag != 0;
        // PKY.9 Relying party, presence, verification, backup, credential data, extensions. Reserved flags are not judged.
        if self.rp_id_hash.as_slice() != Sha256::digest(rp_id).as_slice() {
            return Err(PasskeyError::RelyingParty);
        }
        if !has(USER_PRESENT) {
            return Err(PasskeyError::UserPresence);
        }
        if !has(USER_VERIFIED) {
            return Err(PasskeyError::UserVerification);
        }
        if has(BACKED_UP) && !has(BACKUP_ELIGIBLE) {
            return Err(PasskeyError::BackupState);
        }
        if has(CREDENTIAL_DATA) {
            return Err(PasskeyError::CredentialData);
        }
        if has(EXTENSIONS) && !is_map(self.extensions) {
            return Err(PasskeyError::Extensions);
        }
        Ok(())
    }
}

/// Whether the bytes are exactly one CBOR map of definite length (RFC 8949). What is in it is not looked at.
fn is_map(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first >> 5 == 5) && skip(bytes, MAX_DEPTH).is_some_and(<[u8]>::is_empty)
}

/// What follows the first item; `None` if that is not well-formed, of indefinite length or too deep.
fn skip(bytes: &[u8], depth: u8) -> Option<&[u8]> {
    let (first, rest) = bytes.split_first()?;
    let (value, rest) = match first & 31 {
        small @ 0..=23 => (u64::from(small), rest),
        24 => rest.split_first_chunk::<1>().map(|(n, rest)| (u64::from(n[0]), rest))?,
        25 => rest.split_first_chunk().map(|(n, rest)| (u64::from(u16::from_be_bytes(*n)), rest))?,
        26 => rest.split_first_chunk().map(|(n, rest)| (u64::from(u32::from_be_bytes(*n)), rest))?,
        27 => rest.split_first_chunk().map(|(n, rest)| (u64::from_be_bytes(*n), rest))?,
        _ => return None,
    };
    match first >> 5 {
        // Numbers, and simple values and floats.
        0 | 1 | 7 => Some(rest),
        // Bytes and text.
        2 | 3 => rest.get(usize::try_from(value).ok()?..),
        // Lists and maps: each item takes at least a byte, so a length that lies ends the loop soon.
        major @ (4 | 5) => {
            let depth = depth.checked_sub(1)?;
            let items = if major == 5 { value.checked_mul(2)? } else { value };
            (0..items).try_fold(rest, |rest, _| skip(rest, depth))
        }
        // Tags: CTAP 2 forbids them.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::is_map;

    #[test]
    fn extension_data_is_one_map_and_nothing_else() {
        let good: [&[u8]; 8] = [
            &[0xa0],
            &[0xa1, 0x61, b'a', 0xf5],
            &[0xa1, 0x61, b'a', 0x18, 0xff],
            &[0xa1, 0x61, b'a', 0x19, 1, 2],
            &[0xa1, 0x61, b'a', 0x1a, 1, 2, 3, 4],
            &[0xa1, 0x61, b'a', 0x1b, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xa1, 0x6b, b'h', b'm', b'a', b'c', b'-', b's', b'e', b'c', b'r', b'e', b't', 0x42, 1, 2],
            // Four levels.
            &[0xa1, 0, 0x81, 0x81, 0x81, 0x20],
        ];
        for bytes in good {
            assert!(is_map(bytes), "{bytes:02x?}");
            for end in 0..bytes.len() {
                assert!(!is_map(&bytes[..end]), "a prefix of {bytes:02x?}");
            }
            assert!(!is_map(&[bytes, &[0]].concat()), "more than {bytes:02x?}");
        }
        let bad: [&[u8]; 9] = [
            &[0x80],
            &[0xf6],
            &[0xbf, 0xff],
            &[0xa1, 0x61, b'a', 0x5f, 0xff],
            &[0xa1, 0x61, b'a', 0xc0, 0x00],
            &[0xa1, 0x61, b'a', 0x1c],
            &[0xa1, 0, 0x81, 0x81, 0x81, 0x80],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
            &[0xa1, 0, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
        ];
        for bytes in bad {
            assert!(!is_map(bytes), "{bytes:02x?}");
        }
    }
}

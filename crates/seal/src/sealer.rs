//! The sealer: one data key in memory, many blobs.
//!
//! A blob is `version (1) ‖ nonce (24) ‖ ciphertext ‖ tag (16)` under XChaCha20-Poly1305. Nonces are drawn at random:
//! 192 bits leave no practical chance that two of one data key meet.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::header::hsm::HsmHeader;
use crate::header::{CHECK_LEN, Header, NONCE_LEN, Parsed, SALT_LEN, WRAPPED_LEN, parse, prefix};
use crate::{Context, Hsm, Params, Passphrase, Protection, Protector, SealError};

/// The most bytes one blob may hold: 16 MiB.
pub const MAX_PLAINTEXT_LEN: usize = 16 * 1024 * 1024;

/// How many bytes a blob is longer than what it holds.
pub const SEAL_OVERHEAD: usize = 1 + NONCE_LEN + TAG_LEN;

const BLOB_VERSION: u8 = 1;
const TAG_LEN: usize = 16;
const KEY_LEN: usize = 32;

/// Purposes of the keys that come from the root key.
const WRAP_PURPOSE: &str = "quorate 2026 seal v1 wrapping key";
const CHECK_PURPOSE: &str = "quorate 2026 seal v1 passphrase check";

/// Seals and opens blobs of one folder. Holds the folder's data key, which is wiped when this is dropped.
pub struct Sealer {
    data_key: Zeroizing<[u8; KEY_LEN]>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// Draws a data key and wraps it under the passphrase. The header is public; keep it, without it no blob opens.
    ///
    /// Takes as long as `params` ask for: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`SealError::ExcessiveParams`], [`SealError::OutOfMemory`], [`SealError::NoRandomness`].
    pub fn create(passphrase: &Passphrase, params: &Params) -> Result<(Self, Vec<u8>), SealError> {
        let sealer = Self { data_key: Zeroizing::new(random()?) };
        let header = sealer.rewrap(passphrase, params)?;
        Ok((sealer, header))
    }

    /// Opens a folder's header with its passphrase.
    ///
    /// Takes as long as the header's parameters ask for: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`SealError::WrongPassphrase`] if the header is intact but was made with another passphrase,
    /// [`SealError::HeaderTampered`] and [`SealError::UnknownHeader`] if the header is not ours,
    /// [`SealError::WeakParams`] and [`SealError::ExcessiveParams`] before anything is computed.
    pub fn open(passphrase: &Passphrase, header: &[u8]) -> Result<Self, SealError> {
        let header = under_passphrase(header)?;
        header.params.check_floor()?;
        Self::unwrap(passphrase, &header)
    }

    /// As [`Sealer::open`], but without the floor, so that tests can use [`Params::insecure_fast_for_tests`].
    ///
    /// # Errors
    /// As [`Sealer::open`], without [`SealError::WeakParams`].
    pub fn open_insecure_for_tests(passphrase: &Passphrase, header: &[u8]) -> Result<Self, SealError> {
        Self::unwrap(passphrase, &under_passphrase(header)?)
    }

    /// Wraps the same data key under another passphrase and gives the new header. Blobs stay as they are.
    ///
    /// The old header still opens with the old passphrase: erase it.
    ///
    /// # Errors
    /// As [`Sealer::create`].
    pub fn rewrap(&self, passphrase: &Passphrase, params: &Params) -> Result<Vec<u8>, SealError> {
        // SEAL.3
        let salt: [u8; SALT_LEN] = random()?;
        let nonce: [u8; NONCE_LEN] = random()?;
        let bound = prefix(params, &salt);
        let root = derive_root(passphrase, params, &salt)?;
        let payload = Payload { msg: self.data_key.as_slice(), aad: &bound };
        let wrapped = cipher(&derive(WRAP_PURPOSE, &root))
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| too_long(KEY_LEN))?;
        let wrapped: [u8; WRAPPED_LEN] = wrapped.try_into().map_err(|_| too_long(KEY_LEN))?;
        let check = check_value(&root, &bound);
        Ok(Header { params: *params, salt, check, nonce, wrapped }.encode())
    }

    /// Draws a data key that nothing wraps yet: wrap it with [`Sealer::rewrap_under`] before anything is sealed.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`].
    pub fn fresh() -> Result<Self, SealError> {
        Ok(Self { data_key: Zeroizing::new(random()?) })
    }

    /// Draws a data key and wraps it for the node with this identity. The header is public; keep it, without it no blob opens.
    ///
    /// Blocks: a passphrase is stretched, or an HSM is asked.
    ///
    /// # Errors
    /// As [`Sealer::create`], and [`SealError::Hsm`].
    pub fn create_under(protector: &Protector<'_>, owner: &[u8; 32]) -> Result<(Self, Vec<u8>), SealError> {
        let sealer = Self { data_key: Zeroizing::new(random()?) };
        let header = sealer.rewrap_under(protector, owner)?;
        Ok((sealer, header))
    }

    /// Opens the header of the node with this identity.
    ///
    /// Blocks: a passphrase is stretched, or an HSM is asked.
    ///
    /// # Errors
    /// As [`Sealer::open`]; [`SealError::UnderHsm`] and [`SealError::UnderPassphrase`] if the header is of the other kind;
    /// [`SealError::Hsm`].
    pub fn open_under(protector: &Protector<'_>, owner: &[u8; 32], header: &[u8]) -> Result<Self, SealError> {
        match protector {
            // The costs that count are those of the header.
            Protector::Passphrase(passphrase, _) => Self::open(passphrase, header),
            Protector::Hsm(hsm) => match parse(header)? {
                Parsed::Hsm(header) => {
                    let opened = hsm.unwrap(&header.bound(owner), &header.wrapped)?;
                    Self::from_opened(&opened)
                }
                Parsed::Passphrase(_) => Err(SealError::UnderPassphrase),
            },
        }
    }

    /// Wraps the same data key under something else and gives the new header. Blobs stay as they are.
    ///
    /// The old header still opens with what it was made with: erase it.
    ///
    /// # Errors
    /// As [`Sealer::create_under`].
    pub fn rewrap_under(&self, protector: &Protector<'_>, owner: &[u8; 32]) -> Result<Vec<u8>, SealError> {
        match protector {
            Protector::Passphrase(passphrase, params) => self.rewrap(passphrase, params),
            Protector::Hsm(hsm) => self.rewrap_in(hsm, owner),
        }
    }

    fn rewrap_in(&self, hsm: &Hsm, owner: &[u8; 32]) -> Result<Vec<u8>, SealError> {
        let (token, key) = (hsm.uri().token_name(), hsm.uri().key_name());
        let mut header = HsmHeader::new(token, key)?;
        header.wrapped = hsm.wrap(&header.bound(owner), &self.data_key)?;
        let bytes = header.encode()?;
        // What a token made must come back before anything relies on it.
        let again = hsm.unwrap(&header.bound(owner), &header.wrapped)?;
        if !bool::from(again.as_slice().ct_eq(self.data_key.as_slice())) {
            return Err(SealError::HeaderTampered);
        }
        Ok(bytes)
    }

    /// What wraps the data key of this header.
    ///
    /// # Errors
    /// [`SealError::HeaderTampered`] and [`SealError::UnknownHeader`].
    pub fn protection(header: &[u8]) -> Result<Protection, SealError> {
        Ok(match parse(header)? {
            Parsed::Passphrase(_) => Protection::Passphrase,
            Parsed::Hsm(header) => Protection::Hsm { token: header.token, key: header.key },
        })
    }

    fn from_opened(opened: &[u8]) -> Result<Self, SealError> {
        let mut data_key = Zeroizing::new([0; KEY_LEN]);
        if opened.len() != KEY_LEN {
            return Err(SealError::HeaderTampered);
        }
        data_key.copy_from_slice(opened);
        Ok(Self { data_key })
    }

    fn unwrap(passphrase: &Passphrase, header: &Header) -> Result<Self, SealError> {
        let bound = prefix(&header.params, &header.salt);
        let root = derive_root(passphrase, &header.params, &header.salt)?;
        // The check value goes first: unlike the cipher's tag, it fits one root key only.
        if !bool::from(check_value(&root, &bound).ct_eq(&header.check)) {
            return Err(SealError::WrongPassphrase);
        }
        let payload = Payload { msg: header.wrapped.as_slice(), aad: &bound };
        let opened = cipher(&derive(WRAP_PURPOSE, &root))
            .decrypt(&XNonce::from(header.nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| SealError::HeaderTampered)?;
        Self::from_opened(&opened)
    }

    /// Seals `plaintext` for one place. Two calls with the same bytes give different blobs.
    ///
    /// # Errors
    /// [`SealError::TooLong`] above [`MAX_PLAINTEXT_LEN`], [`SealError::ContextTooLong`], [`SealError::NoRandomness`].
    pub fn seal(&self, context: &Context<'_>, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        if plaintext.len() > MAX_PLAINTEXT_LEN {
            return Err(too_long(plaintext.len()));
        }
        // SEAL.1 Bound to its place.
        let aad = blob_aad(context)?;
        let nonce: [u8; NONCE_LEN] = random()?;
        let sealed = cipher(&self.data_key)
            .encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad: &aad })
            .map_err(|_| too_long(plaintext.len()))?;
        let mut blob = Vec::with_capacity(SEAL_OVERHEAD + plaintext.len());
        blob.push(BLOB_VERSION);
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(&sealed);
        Ok(blob)
    }

    /// Opens a blob that was sealed for the same place. The result is wiped when dropped.
    ///
    /// # Errors
    /// [`SealError::Tampered`] if one bit of the blob or of the context differs, or if the blob is cut or over-long.
    pub fn open_blob(&self, context: &Context<'_>, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let aad = blob_aad(context)?;
        if blob.len() < SEAL_OVERHEAD || blob.len() > SEAL_OVERHEAD + MAX_PLAINTEXT_LEN {
            return Err(SealError::Tampered);
        }
        let (&version, rest) = blob.split_first().ok_or(SealError::Tampered)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Tampered)?;
        if version != BLOB_VERSION {
            return Err(SealError::Tampered);
        }
        cipher(&self.data_key)
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| SealError::Tampered)
    }
}

fn under_passphrase(header: &[u8]) -> Result<Header, SealError> {
    match parse(header)? {
        Parsed::Passphrase(header) => Ok(header),
        Parsed::Hsm(header) => Err(SealError::UnderHsm { token: header.token, key: header.key }),
    }
}

/// The version is bound too: a later one cannot be read as this one.
fn blob_aad(context: &Context<'_>) -> Result<Vec<u8>, SealError> {
    let mut aad = context.encode()?;
    aad.push(BLOB_VERSION);
    Ok(aad)
}

fn cipher(key: &[u8; KEY_LEN]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.into())
}

/// Argon2id over memory that is asked for politely and wiped afterwards.
fn derive_root(
    passphrase: &Passphrase,
    params: &Params,
    salt: &[u8; SALT_LEN],
) -> Result<Zeroizing<[u8; KEY_LEN]>, SealError> {
    // SEAL.2 The costs are judged before anything is computed.
    params.check_ceiling()?;
    let (memory_kib, passes, lanes) = (params.memory_kib(), params.passes(), params.lanes());
    let weak = |_| SealError::WeakParams { memory_kib, passes };
    let costs = argon2::Params::new(memory_kib, passes, lanes, Some(KEY_LEN)).map_err(weak)?;
    let count = costs.block_count();
    let mut memory: Vec<Block> = Vec::new();
    memory.try_reserve_exact(count).map_err(|_| SealError::OutOfMemory { memory_kib })?;
    memory.resize(count, Block::default());
    let mut root = Zeroizing::new([0; KEY_LEN]);
    let result = Argon2::new(Algorithm::Argon2id, Version::V0x13, costs).hash_password_into_with_memory(
        passphrase.as_bytes(),
        salt,
        root.as_mut_slice(),
        &mut memory,
    );
    memory.iter_mut().for_each(Zeroize::zeroize);
    result.map_err(weak)?;
    Ok(root)
}

fn derive(purpose: &'static str, root: &[u8; KEY_LEN]) -> Zeroizing<[u8; KEY_LEN]> {
    let mut hasher = blake3::Hasher::new_derive_key(purpose);
    hasher.update(root);
    let mut key = Zeroizing::new([0; KEY_LEN]);
    hasher.finalize_xof().fill(key.as_mut_slice());
    hasher.zeroize();
    key
}

fn check_value(root: &[u8; KEY_LEN], bound: &[u8]) -> [u8; CHECK_LEN] {
    *blake3::keyed_hash(&derive(CHECK_PURPOSE, root), bound).as_bytes()
}

fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| SealError::NoRandomness)?;
    Ok(bytes)
}

fn too_long(len: usize) -> SealError {
    SealError::TooLong { len, max: MAX_PLAINTEXT_LEN }
}

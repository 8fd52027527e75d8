//! Extended private keys and their children: BIP-32 for secp256k1, SLIP-0010 for P-256 and Ed25519.

use crate::path::is_hardened;
use crate::secret::Secret;
use crate::{DerivationPath, Format, Material, MaterialError, Note};
use hmac::{Hmac, KeyInit as _, Mac as _};
use quorate_protocol::curve::{Curve, CurveId, P256, Point, Scalar, Secp256k1};
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// Fewest bytes of a seed (BIP-32).
pub const MIN_SEED: usize = 16;
/// Most bytes of a seed (BIP-32).
pub const MAX_SEED: usize = 64;
/// How often SLIP-0010 may try again: each time happens once in 2^32 for P-256.
const MAX_RETRIES: usize = 64;
/// What an extended private key has before its checksum.
const XPRV_LEN: usize = 78;
/// The marks of extended private keys: `xprv`, `tprv`, and those of SLIP-0132 that say which addresses are meant.
const XPRV_VERSIONS: [[u8; 4]; 6] = [
    [0x04, 0x88, 0xad, 0xe4], // xprv
    [0x04, 0x35, 0x83, 0x94], // tprv
    [0x04, 0x9d, 0x78, 0x78], // yprv
    [0x04, 0xb2, 0x43, 0x0c], // zprv
    [0x04, 0x4a, 0x4e, 0x28], // uprv
    [0x04, 0x5f, 0x18, 0xbc], // vprv
];

/// A private key from which others are derived: overwritten when dropped.
pub struct ExtendedKey {
    curve: CurveId,
    /// The number in big-endian order; for Ed25519 the seed.
    secret: Zeroizing<[u8; 32]>,
    chain_code: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for ExtendedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtendedKey({}, ..)", self.curve)
    }
}

impl ExtendedKey {
    /// The root of a seed (SLIP-0010, which is BIP-32 on secp256k1).
    ///
    /// # Errors
    /// [`MaterialError::Seed`] unless the seed has [`MIN_SEED`] to [`MAX_SEED`] bytes, [`MaterialError::NoChild`] if it gives no key.
    pub fn master(curve: CurveId, seed: &[u8]) -> Result<Self, MaterialError> {
        if !(MIN_SEED..=MAX_SEED).contains(&seed.len()) {
            return Err(MaterialError::Seed);
        }
        let label: &[u8] = match curve {
            CurveId::Secp256k1 => b"Bitcoin seed",
            CurveId::P256 => b"Nist256p1 seed",
            CurveId::Ed25519 => b"ed25519 seed",
        };
        let mut mixed = mac(label, &[seed]);
        for _ in 0..MAX_RETRIES {
            let (left, right) = halves(&mixed);
            let valid = match curve {
                CurveId::Secp256k1 => is_key::<Secp256k1>(&left),
                CurveId::P256 => is_key::<P256>(&left),
                CurveId::Ed25519 => true,
            };
            if valid {
                return Ok(Self { curve, secret: left, chain_code: right });
            }
            if curve == CurveId::Secp256k1 {
                break; // BIP-32: the seed has no root.
            }
            mixed = mac(label, &[&*mixed]);
        }
        Err(MaterialError::NoChild)
    }

    /// The child with this number, hardened from 2^31.
    ///
    /// # Errors
    /// [`MaterialError::PathNotHardened`] on Ed25519, [`MaterialError::NoChild`] where BIP-32 has none.
    pub fn child(&self, index: u32) -> Result<Self, MaterialError> {
        match self.curve {
            CurveId::Secp256k1 => self.weierstrass_child::<Secp256k1>(index),
            CurveId::P256 => self.weierstrass_child::<P256>(index),
            CurveId::Ed25519 if !is_hardened(index) => Err(MaterialError::PathNotHardened),
            CurveId::Ed25519 => {
                let mixed = mac(&*self.chain_code, &[&[0], &*self.secret, &index.to_be_bytes()]);
                let (secret, chain_code) = halves(&mixed);
                Ok(Self { curve: self.curve, secret, chain_code })
            }
        }
    }

    fn weierstrass_child<C: Curve>(&self, index: u32) -> Result<Self, MaterialError> {
        let mut parent = Scalar::<C>::from_bytes(&self.secret).ok_or(MaterialError::NoChild)?;
        let number = index.to_be_bytes();
        let mut mixed = if is_hardened(index) {
            mac(&*self.chain_code, &[&[0], &*self.secret, &number])
        } else {
            mac(&*self.chain_code, &[&Point::mul_base(&parent).to_bytes(), &number])
        };
        let mut found = Err(MaterialError::NoChild);
        for _ in 0..MAX_RETRIES {
            let (left, chain_code) = halves(&mixed);
            if let Some(mut tweak) = Scalar::<C>::from_bytes(&left) {
                let mut child = tweak + parent;
                tweak.zeroize();
                let secret = Zeroizing::new(child.to_bytes());
                let zero = bool::from(child.is_zero());
                child.zeroize();
                if !zero {
                    found = Ok(Self { curve: self.curve, secret, chain_code });
                    break;
                }
            }
            if C::ID == CurveId::Secp256k1 {
                break; // BIP-32 has no second try.
            }
            mixed = mac(&*self.chain_code, &[&[1], &*chain_code, &number]);
        }
        parent.zeroize();
        found
    }

    /// The key at a path below this one.
    ///
    /// # Errors
    /// As [`child`](Self::child).
    pub fn at(self, path: &DerivationPath) -> Result<Self, MaterialError> {
        path.indices().iter().try_fold(self, |key, index| key.child(*index))
    }

    /// Reads an extended private key (`xprv…`, also of other networks and address kinds).
    ///
    /// # Errors
    /// [`MaterialError::Malformed`] with what is wrong; [`MaterialError::Unsupported`] for an extended public key.
    pub fn from_xprv(text: &str) -> Result<Self, MaterialError> {
        let malformed = |what| MaterialError::Malformed { format: Format::ExtendedKey, what };
        let bytes = base58_check(text).ok_or_else(|| {
            malformed("the text is not base58 with a valid checksum: a character is wrong or missing")
        })?;
        let length = || malformed("an extended key has 78 bytes");
        if bytes.len() != XPRV_LEN {
            return Err(length());
        }
        let (version, rest) = bytes.split_first_chunk::<4>().ok_or_else(length)?;
        let (place, rest) = rest.split_first_chunk::<9>().ok_or_else(length)?;
        let (chain_code, key) = rest.split_first_chunk::<32>().ok_or_else(length)?;
        if !XPRV_VERSIONS.contains(version) {
            let public = key.first().is_some_and(|first| [2, 3].contains(first));
            let what = if public {
                "this is a public key, which cannot sign: give the private one (xprv…)".to_owned()
            } else {
                "the mark of the network is unknown: give an xprv…, tprv…, yprv…, zprv…, uprv… or vprv…"
                    .to_owned()
            };
            return Err(MaterialError::Unsupported { format: Format::ExtendedKey, what });
        }
        let (&depth, ancestry) = place.split_first().ok_or_else(length)?;
        if depth == 0 && ancestry.iter().any(|byte| *byte != 0) {
            return Err(malformed("a root has neither a parent nor a number"));
        }
        let (&prefix, key) = key.split_first().ok_or_else(length)?;
        if prefix != 0 {
            return Err(malformed("the private key does not begin with a zero byte"));
        }
        let secret = Zeroizing::new(<[u8; 32]>::try_from(key).map_err(|_| length())?);
        if !is_key::<Secp256k1>(&secret) {
            return Err(MaterialError::Scalar(CurveId::Secp256k1));
        }
        Ok(Self { curve: CurveId::Secp256k1, secret, chain_code: Zeroizing::new(*chain_code) })
    }

    /// The curve.
    #[must_use]
    pub const fn curve(&self) -> CurveId {
        self.curve
    }

    /// The private key: the number in big-endian order, the seed for Ed25519. Do not store a copy.
    #[must_use]
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The chain code.
    #[must_use]
    pub fn chain_code(&self) -> &[u8; 32] {
        &self.chain_code
    }

    /// The key at the path, with what its owner should know.
    pub(crate) fn import(self, path: &DerivationPath, format: Format) -> Result<Material, MaterialError> {
        let material = Material::from_extended(&self.at(path)?, format)?.note(Note::Root);
        Ok(if path.opens_its_parent() { material.note(Note::OpensParent) } else { material })
    }
}

/// Reads an extended key as material; without a path the key itself.
pub(crate) fn read(text: &str, path: Option<&DerivationPath>) -> Result<Material, MaterialError> {
    let path = path.cloned().unwrap_or_default();
    ExtendedKey::from_xprv(text)?.import(&path, Format::ExtendedKey)
}

/// Reads a seed in hexadecimal digits as the root of a path.
pub(crate) fn seed(
    curve: CurveId,
    seed: &Secret,
    path: &DerivationPath,
    format: Format,
) -> Result<Material, MaterialError> {
    ExtendedKey::master(curve, seed.expose())?.import(path, format)
}

/// Base58 with the four bytes of double SHA-256 at its end.
pub(crate) fn base58_check(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Decoding is quadratic in the length.
    if text.len() > 128 {
        return None;
    }
    let mut bytes = Zeroizing::new(vec![0; 128]);
    let length = bs58::decode(text).onto(bytes.as_mut_slice()).ok()?;
    bytes.truncate(length);
    let at = bytes.len().checked_sub(4)?;
    let (body, checksum) = bytes.split_at_checked(at)?;
    let mut hash = Sha256::digest(Sha256::digest(body));
    let valid = hash.as_slice().get(..4) == Some(checksum);
    hash.as_mut_slice().zeroize();
    bytes.truncate(at);
    valid.then_some(bytes)
}

fn is_key<C: Curve>(bytes: &[u8; 32]) -> bool {
    Scalar::<C>::from_bytes(bytes).is_some_and(|mut scalar| {
        let zero = bool::from(scalar.is_zero());
        scalar.zeroize();
        !zero
    })
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    let mut out = Zeroizing::new([0u8; 64]);
    // HMAC takes keys of every length.
    if let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(key) {
        for part in parts {
            mac.update(part);
        }
        out.copy_from_slice(mac.finalize().into_bytes().as_slice());
    }
    out
}

fn halves(mixed: &[u8; 64]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let mut halves = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    let (left, right) = mixed.split_at(32);
    halves.0.copy_from_slice(left);
    halves.1.copy_from_slice(right);
    halves
}

//! A private key outside the parties, for as short as possible.

use crate::derive::ExtendedKey;
use crate::{Format, MaterialError};
use k256::elliptic_curve::sec1::ToSec1Point as _;
use quorate_protocol::curve::{Curve, CurveId, Ed25519, P256, Point, Scalar, Secp256k1};
use sha2::{Digest, Sha512};
use sha3::Keccak256;
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// What changes for a key when it is imported, said before anybody agrees to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The source held an Ed25519 seed.
    Ed25519Seed,
    /// The WIF says that its address is made of the uncompressed public key.
    UncompressedWif,
    /// The WIF is marked for test networks.
    TestNetwork,
    /// The key has siblings under a parent that it opens.
    OpensParent,
    /// The source is the root of other keys.
    Root,
}

impl Note {
    /// The note in a sentence or two.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ed25519Seed => {
                "the seed of an Ed25519 key cannot be shared out, only the number that it stands for: the public key stays the same, but signatures are no longer the same each time, and an export gives the number and not the seed, which most wallets cannot read"
            }
            Self::UncompressedWif => {
                "this WIF stands for the old address of the uncompressed public key: nodes show and sign for the addresses of the compressed one, so move the coins of the old address first"
            }
            Self::TestNetwork => {
                "this WIF is marked for test networks: the key is the same on the main network"
            }
            Self::OpensParent => {
                "whoever has this private key and the extended public key above it can compute the private key above it, and all its children"
            }
            Self::Root => "this is the root of other keys: only the one at the named path is imported",
        }
    }
}

/// A private key with its public key: overwritten when dropped, not copied, not printed.
pub struct Material {
    curve: CurveId,
    scalar: Zeroizing<[u8; 32]>,
    public_key: Vec<u8>,
    chain_code: Option<[u8; 32]>,
    format: Format,
    notes: Vec<Note>,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("curve", &self.curve)
            .field("format", &self.format)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

impl Material {
    /// A key by its number, in the byte order of the curve's own standard: big-endian, little-endian for Ed25519.
    ///
    /// # Errors
    /// [`MaterialError::Scalar`] for zero and for numbers not below the order.
    pub fn from_scalar(curve: CurveId, scalar: &[u8; 32], format: Format) -> Result<Self, MaterialError> {
        let public_key = match curve {
            CurveId::Secp256k1 => public::<Secp256k1>(scalar),
            CurveId::P256 => public::<P256>(scalar),
            CurveId::Ed25519 => public::<Ed25519>(scalar),
        };
        let public_key = public_key.ok_or(MaterialError::Scalar(curve))?;
        let scalar = Zeroizing::new(*scalar);
        Ok(Self { curve, scalar, public_key, chain_code: None, format, notes: Vec::new() })
    }

    /// A key of Ed25519 by its seed (RFC 8032, 5.1.5): the number is the clamped first half of SHA-512, reduced. It has the same public
    /// key, as the generator has the order it is reduced by; the second half, from which deterministic nonces come, is not used again.
    ///
    /// # Errors
    /// [`MaterialError::Scalar`]; no seed is known for which that happens.
    pub fn from_seed(seed: &[u8; 32], format: Format) -> Result<Self, MaterialError> {
        let mut hash = Sha512::digest(seed);
        let mut wide = Zeroizing::new([0u8; 48]);
        // The curve's reduction takes big-endian bytes.
        for (out, byte) in wide.iter_mut().rev().zip(hash.iter().take(32)) {
            *out = *byte;
        }
        hash.as_mut_slice().zeroize();
        if let Some(low) = wide.last_mut() {
            *low &= 0b1111_1000;
        }
        if let Some(high) = wide.get_mut(16) {
            *high = (*high & 0b0111_1111) | 0b0100_0000;
        }
        let scalar = Zeroizing::new(Scalar::<Ed25519>::from_wide(&wide).to_bytes());
        let mut material = Self::from_scalar(CurveId::Ed25519, &scalar, format)?;
        material.notes.push(Note::Ed25519Seed);
        Ok(material)
    }

    /// A derived key, with its chain code.
    pub(crate) fn from_extended(key: &ExtendedKey, format: Format) -> Result<Self, MaterialError> {
        let mut material = match key.curve() {
            CurveId::Ed25519 => Self::from_seed(key.secret(), format)?,
            curve => Self::from_scalar(curve, key.secret(), format)?,
        };
        material.chain_code = Some(*key.chain_code());
        Ok(material)
    }

    pub(crate) fn note(mut self, note: Note) -> Self {
        self.notes.push(note);
        self
    }

    /// The same key with this chain code, or without one.
    #[must_use]
    pub fn with_chain_code(mut self, chain_code: Option<[u8; 32]>) -> Self {
        self.chain_code = chain_code;
        self
    }

    /// Fails unless the file's own public key is the one of its private key.
    pub(crate) fn expect_public(&self, public_key: &[u8]) -> Result<(), MaterialError> {
        let same = self.public_key == public_key;
        if same { Ok(()) } else { Err(MaterialError::Mismatch { what: "public key" }) }
    }

    /// The curve.
    #[must_use]
    pub const fn curve(&self) -> CurveId {
        self.curve
    }

    /// The number, in the byte order of the curve's own standard. Do not store a copy.
    #[must_use]
    pub fn scalar(&self) -> &[u8; 32] {
        &self.scalar
    }

    /// The public key: a compressed point of 33 bytes, or 32 for Ed25519.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The chain code, if the source has one (BIP-32).
    #[must_use]
    pub const fn chain_code(&self) -> Option<&[u8; 32]> {
        self.chain_code.as_ref()
    }

    /// The format it was read from.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// What the owner should know before agreeing.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

fn public<C: Curve>(scalar: &[u8; 32]) -> Option<Vec<u8>> {
    let mut scalar = Scalar::<C>::from_bytes(scalar)?;
    let zero = bool::from(scalar.is_zero());
    let public = Point::mul_base(&scalar);
    scalar.zeroize();
    (!zero).then(|| public.to_bytes())
}

/// The Ethereum account of a key: the last 20 bytes of Keccak-256 of the uncompressed point.
pub(crate) fn ethereum_address(public_key: &[u8]) -> Option<[u8; 20]> {
    let point = k256::PublicKey::from_sec1_bytes(public_key).ok()?.to_sec1_point(false);
    let hash = Keccak256::digest(point.as_bytes().get(1..)?);
    hash.as_slice().get(12..)?.try_into().ok()
}

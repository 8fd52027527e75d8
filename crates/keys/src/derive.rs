//! Children of a key, without a word between the parties. Spec: `spec/15-derivation.md`, steps DERIVE.1–DERIVE.5.
//!
//! A child is the key plus a public number: `X' = X + ε·G`, where ε follows from the key, its chain code and the numbers of a path. So
//! every party computes its share of the child from its share of the key alone, and what signs with a share signs with a child's.
//!
//! | curve | rule |
//! |---|---|
//! | secp256k1 | BIP-32, public derivation; for BIP-340 the same, which BIP-86 builds on |
//! | P-256 | SLIP-0010, which tries again where a number gives no child |
//! | Ed25519 | our own, because SLIP-0010 has hardened children only |
//!
//! Hardened children need the private key itself as the input of a hash, which no party has. They are refused.

use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use quorate_protocol::curve::{Curve, CurveId, Point, Scalar, WIDE_LEN};
use sha2::Sha512;

use crate::share::{KeyShare, PublicPackage};

/// Most numbers of a path.
pub const MAX_DEPTH: usize = 16;
/// From this number on a child is hardened (BIP-32).
pub const HARDENED: u32 = 1 << 31;
/// How often SLIP-0010 tries again: each time happens once in 2^32 for P-256.
const MAX_RETRIES: usize = 64;
/// What our own rule for Ed25519 hashes first (DERIVE.4).
const ED25519_OFFSET: &[u8] = b"quorate 2026 ed25519 child offset v1";
/// What it hashes first for the chain code (DERIVE.4).
const ED25519_CHAIN: &[u8] = b"quorate 2026 ed25519 child chain code v1";

/// Why a path leads to no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeriveError {
    /// The number is hardened: its child is computed from the private key, which no party has.
    Hardened(u32),
    /// The path has more than [`MAX_DEPTH`] numbers.
    TooDeep,
    /// This number gives no child here, which happens once in 2^127: the next one does.
    NoChild(u32),
}

impl fmt::Display for DeriveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hardened(number) => {
                let number = number & !HARDENED;
                write!(f, "`{number}'` is hardened: its key is computed from the whole private key")
            }
            Self::TooDeep => write!(f, "a path has at most {MAX_DEPTH} numbers"),
            Self::NoChild(number) => write!(f, "`{number}` gives no key here: use the next number"),
        }
    }
}

impl core::error::Error for DeriveError {}

/// A key below another one, as everybody may compute it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived<C: Curve> {
    /// The public key `X'`.
    pub public_key: Point<C>,
    /// The chain code for the children of this one.
    pub chain_code: [u8; 32],
    /// ε, by which `X'` is above the key where the path began: the sum over its steps.
    pub offset: Scalar<C>,
    /// The key one step above, and the number that led from there to here; `None` where the path began.
    pub parent: Option<(Point<C>, u32)>,
    /// How many steps it is below where the path began.
    pub depth: u8,
}

impl<C: Curve> Derived<C> {
    /// Where a path begins.
    pub fn root(public_key: Point<C>, chain_code: [u8; 32]) -> Self {
        Self { public_key, chain_code, offset: Scalar::ZERO(), parent: None, depth: 0 }
    }

    /// The key at a path below this one.
    ///
    /// # Errors
    /// [`DeriveError`] says which number leads nowhere, and why. Only whoever wrote the path is at fault.
    pub fn at(&self, path: &[u32]) -> Result<Self, DeriveError> {
        if path.len().saturating_add(self.depth.into()) > MAX_DEPTH {
            return Err(DeriveError::TooDeep);
        }
        // DERIVE.1  no number is hardened; nothing is computed before that is known of all
        if let Some(number) = path.iter().find(|number| **number >= HARDENED) {
            return Err(DeriveError::Hardened(*number));
        }
        path.iter().try_fold(self.clone(), |key, number| key.child(*number))
    }

    /// One step.
    fn child(&self, number: u32) -> Result<Self, DeriveError> {
        let step = match C::ID {
            CurveId::Secp256k1 => self.bip32(number),
            CurveId::P256 => self.slip10(number),
            CurveId::Ed25519 => self.ed25519(number),
        };
        let (offset, public_key, chain_code) = step.ok_or(DeriveError::NoChild(number))?;
        Ok(Self {
            public_key,
            chain_code,
            offset: self.offset + offset,
            parent: Some((self.public_key, number)),
            depth: self.depth.saturating_add(1),
        })
    }

    /// DERIVE.2  I = HMAC-SHA512(c, ser(X) ‖ i); the left half is ε unless it is not below the order or leads to the identity
    fn bip32(&self, number: u32) -> Option<Step<C>> {
        let mixed = mac(&self.chain_code, &[&self.public_key.to_bytes(), &number.to_be_bytes()]);
        let (left, right) = halves(&mixed);
        self.above(&left, right)
    }

    /// DERIVE.3  as BIP-32, but where that gives no child: again with I = HMAC-SHA512(c, 1 ‖ right half of I ‖ i)
    fn slip10(&self, number: u32) -> Option<Step<C>> {
        let number = number.to_be_bytes();
        let mut mixed = mac(&self.chain_code, &[&self.public_key.to_bytes(), &number]);
        for _ in 0..MAX_RETRIES {
            let (left, right) = halves(&mixed);
            if let Some(step) = self.above(&left, right) {
                return Some(step);
            }
            mixed = mac(&self.chain_code, &[&[1], &right, &number]);
        }
        None
    }

    /// DERIVE.4  ε from the first 48 bytes of HMAC-SHA512(c, label ‖ X ‖ i), the chain code from another label
    fn ed25519(&self, number: u32) -> Option<Step<C>> {
        let (key, number) = (self.public_key.to_bytes(), number.to_be_bytes());
        let mixed = mac(&self.chain_code, &[ED25519_OFFSET, &key, &number]);
        let offset = Scalar::from_wide(mixed.first_chunk::<WIDE_LEN>()?);
        let (chain_code, _) = halves(&mac(&self.chain_code, &[ED25519_CHAIN, &key, &number]));
        self.plus(offset, chain_code)
    }

    /// The child at the offset that these bytes are, if they are one.
    fn above(&self, offset: &[u8; 32], chain_code: [u8; 32]) -> Option<Step<C>> {
        self.plus(Scalar::from_bytes(offset)?, chain_code)
    }

    fn plus(&self, offset: Scalar<C>, chain_code: [u8; 32]) -> Option<Step<C>> {
        let public_key = self.public_key + Point::mul_base(&offset);
        (!bool::from(public_key.is_identity())).then_some((offset, public_key, chain_code))
    }
}

/// ε of one step, the key it leads to, and its chain code.
type Step<C> = (Scalar<C>, Point<C>, [u8; 32]);

impl<C: Curve> PublicPackage<C> {
    /// The public key at a path below this key, with all that follows from it.
    ///
    /// # Errors
    /// As [`Derived::at`].
    pub fn derived(&self, path: &[u32]) -> Result<Derived<C>, DeriveError> {
        Derived::root(self.public_key(), self.chain_code).at(path)
    }
}

impl<C: Curve> KeyShare<C> {
    /// Our share of the key at a path below this one, to sign with and to drop: the same epoch, structure and committee, so that set-ups of
    /// the key serve its children. It is not for storing, moving or exporting: whoever has a child's private key has that of its parent.
    ///
    /// # Errors
    /// As [`Derived::at`].
    pub fn derive(&self, path: &[u32]) -> Result<Self, DeriveError> {
        let derived = self.public().derived(path)?;
        // DERIVE.5  ε is dealt as the constant of a dealing without further coefficients: every row moves, and every quorum has x + ε
        let public = self.public().shifted(&derived.offset, derived.chain_code);
        Ok(self.shifted(public, derived.offset))
    }
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 64] {
    let mut out = [0u8; 64];
    // HMAC takes keys of every length.
    if let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(key) {
        for part in parts {
            mac.update(part);
        }
        out.copy_from_slice(mac.finalize().into_bytes().as_slice());
    }
    out
}

fn halves(mixed: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let mut halves = ([0; 32], [0; 32]);
    let (left, right) = mixed.split_at(32);
    halves.0.copy_from_slice(left);
    halves.1.copy_from_slice(right);
    halves
}

#[cfg(test)]
mod tests;

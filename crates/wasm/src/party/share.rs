//! What a party keeps.

use std::sync::Arc;

use quorate_ecdsa::PairwiseSetup;
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::curve::{Curve, CurveId, Ed25519, P256, Secp256k1};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::SessionId;
use zeroize::Zeroizing;

use super::Refused;

/// The curve with this name: `secp256k1`, `P-256` or `edwards25519`.
///
/// # Errors
/// Any other name.
pub fn curve(name: &str) -> Result<CurveId, Refused> {
    [CurveId::Secp256k1, CurveId::P256, CurveId::Ed25519]
        .into_iter()
        .find(|id| id.name() == name)
        .ok_or(Refused::Invalid("there is no such curve: choose secp256k1, P-256 or edwards25519"))
}

/// A share of a key on any curve.
#[derive(Debug)]
pub enum Share {
    /// For ECDSA and BIP-340.
    Secp256k1(KeyShare<Secp256k1>),
    /// For ECDSA.
    P256(KeyShare<P256>),
    /// For Ed25519.
    Ed25519(KeyShare<Ed25519>),
}

macro_rules! each {
    ($share:expr, $inner:ident => $body:expr) => {
        match $share {
            Share::Secp256k1($inner) => $body,
            Share::P256($inner) => $body,
            Share::Ed25519($inner) => $body,
        }
    };
}

fn join<C: Curve>(package: &[u8], secret: &[u8]) -> Option<KeyShare<C>> {
    KeyShare::from_secret_bytes(PublicPackage::from_bytes(package)?, secret)
}

impl Share {
    /// Joins what [`public_package`](Self::public_package) and [`secret`](Self::secret) gave.
    ///
    /// # Errors
    /// If the two do not belong together, or to another curve.
    pub fn open(curve: CurveId, package: &[u8], secret: &[u8]) -> Result<Self, Refused> {
        match curve {
            CurveId::Secp256k1 => join(package, secret).map(Self::Secp256k1),
            CurveId::P256 => join(package, secret).map(Self::P256),
            CurveId::Ed25519 => join(package, secret).map(Self::Ed25519),
        }
        .ok_or(Refused::Invalid("the secret is not the share of this package on this curve"))
    }

    /// The curve.
    pub const fn curve(&self) -> CurveId {
        match self {
            Self::Secp256k1(_) => CurveId::Secp256k1,
            Self::P256(_) => CurveId::P256,
            Self::Ed25519(_) => CurveId::Ed25519,
        }
    }
    /// Whose share it is.
    pub fn index(&self) -> PartyIndex {
        each!(self, share => share.index())
    }
    /// The encoded public key: compressed SEC 1, or 32 bytes of RFC 8032.
    pub fn public_key(&self) -> Vec<u8> {
        each!(self, share => share.public().public_key().to_bytes())
    }
    /// What everybody may know of the key.
    pub fn public_package(&self) -> Vec<u8> {
        each!(self, share => share.public().to_bytes())
    }
    /// The secret, for a vault.
    pub fn secret(&self) -> Zeroizing<Vec<u8>> {
        each!(self, share => share.secret_bytes())
    }
    /// The name of a session about this key, bound to its epoch, the quorum and `request`: bytes that no other session has, such as the signed
    /// request with the number of the attempt.
    pub fn session(&self, protocol: &'static str, quorum: &Committee, request: &[u8]) -> SessionId {
        each!(self, share => share.public().session_id(protocol, quorum, &[("request", request)]))
    }
    /// The committee of a quorum, in which `indices` must be exactly as many as are needed.
    ///
    /// # Errors
    /// If they are fewer, more, or strangers.
    pub fn quorum(&self, indices: &[PartyIndex]) -> Result<Committee, Refused> {
        each!(self, share => share.public().quorum(indices))
            .ok_or(Refused::Invalid("these parties are not a smallest quorum of the key"))
    }
}

/// What a party shares with each other one for ECDSA. Kept as long as the share; every session of the key must use the same object, because
/// it remembers which peers are burned.
#[derive(Debug)]
pub enum Setup {
    /// For keys on secp256k1.
    Secp256k1(Arc<PairwiseSetup<Secp256k1>>),
    /// For keys on P-256.
    P256(Arc<PairwiseSetup<P256>>),
}

impl Setup {
    /// Opens what [`secret`](Self::secret) gave. `burned` are all peers that effects of this epoch have burned.
    ///
    /// # Errors
    /// If the bytes are no set-up, or the curve has none.
    pub fn open(
        curve: CurveId,
        secret: &[u8],
        burned: impl IntoIterator<Item = PartyIndex>,
    ) -> Result<Self, Refused> {
        match curve {
            CurveId::Secp256k1 => {
                PairwiseSetup::from_secret_bytes(secret, burned).map(|s| Self::Secp256k1(Arc::new(s)))
            }
            CurveId::P256 => {
                PairwiseSetup::from_secret_bytes(secret, burned).map(|s| Self::P256(Arc::new(s)))
            }
            CurveId::Ed25519 => return Err(Refused::Invalid("Ed25519 needs no set-up")),
        }
        .ok_or(Refused::Invalid("the bytes are no pairwise set-up"))
    }

    /// The secret, for a vault. Burn marks are not inside.
    pub fn secret(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Secp256k1(setup) => setup.secret_bytes(),
            Self::P256(setup) => setup.secret_bytes(),
        }
    }
}

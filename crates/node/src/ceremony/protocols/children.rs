//! Keys below keys (`spec/15-derivation.md`): which curve derives how is known to `quorate-keys`; here are the schemes.

use quorate_api::{Code, DerivationPath, Problem};
use quorate_intent::{PublicKey, Scheme};
use quorate_keys::derive::DeriveError;
use quorate_keys::share::KeyShare;
use quorate_protocol::curve::Curve;

use super::Share;

/// A key below a key, as everybody may know it.
pub(crate) struct Child {
    pub(crate) public_key: PublicKey,
    pub(crate) chain_code: [u8; 32],
    /// The key one step above, and the number that led from there.
    pub(crate) parent: Option<(PublicKey, u32)>,
    pub(crate) depth: u8,
}

impl Share {
    /// Our share of the key at the path, to sign with once.
    pub(crate) fn below(&self, path: &DerivationPath) -> Result<Self, Problem> {
        let numbers = path.numbers();
        let derived = match self {
            Self::Secp256k1(share) => share.derive(numbers).map(Self::Secp256k1),
            Self::P256(share) => share.derive(numbers).map(Self::P256),
            Self::Ed25519(share) => share.derive(numbers).map(Self::Ed25519),
        };
        derived.map_err(|error| refused(path, error))
    }

    /// The public side of the key at the path.
    pub(crate) fn child(&self, scheme: Scheme, path: &DerivationPath) -> Result<Child, Problem> {
        match self {
            Self::Secp256k1(share) => child_of(share, scheme, path),
            Self::P256(share) => child_of(share, scheme, path),
            Self::Ed25519(share) => child_of(share, scheme, path),
        }
    }
}

fn child_of<C: Curve>(share: &KeyShare<C>, scheme: Scheme, path: &DerivationPath) -> Result<Child, Problem> {
    let derived = share.public().derived(path.numbers()).map_err(|error| refused(path, error))?;
    let public_key = |bytes: &[u8]| {
        PublicKey::new(scheme, bytes).map_err(|error| {
            Problem::new(Code::Internal, format!("the key at `{path}` is not valid: {error}"))
        })
    };
    let parent = match derived.parent {
        Some((point, number)) => Some((public_key(&point.to_bytes())?, number)),
        None => None,
    };
    Ok(Child {
        public_key: public_key(&derived.public_key.to_bytes())?,
        chain_code: derived.chain_code,
        parent,
        depth: derived.depth,
    })
}

/// Why there is no key at the path, and what to do.
pub(super) fn refused(path: &DerivationPath, error: DeriveError) -> Problem {
    match error {
        DeriveError::Hardened(_) => hardened(path),
        DeriveError::TooDeep | DeriveError::NoChild(_) => {
            Problem::new(Code::Unprocessable, format!("there is no key at `{path}`: {error}"))
        }
    }
}

fn hardened(path: &DerivationPath) -> Problem {
    let step = path.hardened().unwrap_or_default();
    let detail = format!(
        "`{step}'` in `{path}` is hardened: such a key is computed from the whole private key above it, which no node has, so the shares \
         cannot give it without a protocol of their own, which there is not; use `{}`, which leads to other keys, or create one key for \
         each account, or import the account's own extended private key (xprv) if it exists elsewhere",
        path.plain()
    );
    Problem::new(Code::HardenedPath, detail)
}

//! Presignatures and signing from them (`spec/24-presign.md`), for both curves.

use std::sync::Arc;

use quorate_api::{DerivationPath, Problem};
use quorate_ecdsa::presign::Verified;
use quorate_ecdsa::{online, presign};
use quorate_intent::{Scheme, Signature, ToSign};
use quorate_keys::share::KeyShare;
use quorate_protocol::curve::{EcdsaCurve, P256, Scalar, Secp256k1};
use quorate_protocol::session::SessionId;

use super::children::refused;
use super::{Setup, Share, WRONG_SHARE, mismatch};
use crate::ceremony::{Ceremony, Failure, Purpose};
use crate::keys::OpenKey;

/// The protocol that makes presignatures.
pub(crate) const PRESIGN: &str = "ecdsa-presign";
/// The protocol that signs with one.
pub(crate) const ONLINE: &str = "ecdsa-online";

/// This party's part of one presignature of either curve, which names whoever spoils it.
pub(crate) enum Part {
    Secp256k1(presign::Presignature<Secp256k1, Verified>),
    P256(presign::Presignature<P256, Verified>),
}

impl Part {
    /// Names it, the same at all parties.
    pub(crate) fn name(&self) -> [u8; 32] {
        match self {
            Self::Secp256k1(part) => part.place().id(),
            Self::P256(part) => part.place().id(),
        }
    }

    pub(crate) const fn scheme(&self) -> Scheme {
        match self {
            Self::Secp256k1(_) => Scheme::EcdsaSecp256k1,
            Self::P256(_) => Scheme::EcdsaP256,
        }
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Part(..)")
    }
}

/// Makes presignatures with the quorum of the ceremony.
pub(crate) async fn make(
    key: &OpenKey,
    count: u16,
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
    purpose: Purpose,
) -> Result<Vec<Part>, Failure> {
    let material = Arc::clone(&key.material);
    match key.record.scheme {
        Scheme::EcdsaSecp256k1 => {
            let start = move |params| match (&material.share, &material.setup) {
                (Share::Secp256k1(share), Setup::Secp256k1(setup)) => {
                    presign::start(params, share, Arc::clone(setup), count, Verified)
                }
                _ => Err(WRONG_SHARE),
            };
            let made = ceremony.run(PRESIGN, session, start, purpose).await?;
            Ok(made.into_iter().map(Part::Secp256k1).collect())
        }
        Scheme::EcdsaP256 => {
            let start = move |params| match (&material.share, &material.setup) {
                (Share::P256(share), Setup::P256(setup)) => {
                    presign::start(params, share, Arc::clone(setup), count, Verified)
                }
                _ => Err(WRONG_SHARE),
            };
            let made = ceremony.run(PRESIGN, session, start, purpose).await?;
            Ok(made.into_iter().map(Part::P256).collect())
        }
        Scheme::Ed25519 | Scheme::Bip340 => Err(mismatch()),
    }
}

/// Signs with a presignature, which is gone whatever follows. `rho` is the hash over what every member said when it accepted.
pub(crate) async fn sign(
    key: &OpenKey,
    part: Part,
    path: &DerivationPath,
    what: &ToSign,
    rho: [u8; 32],
    ceremony: &mut Ceremony<'_>,
    purpose: Purpose,
) -> Result<Signature, Failure> {
    let ToSign::Prehash(digest) = what else { return Err(mismatch()) };
    match (part, &key.material.share) {
        (Part::Secp256k1(part), Share::Secp256k1(share)) => {
            let request = request(share, path, *digest, rho).map_err(Failure::local)?;
            let made = run(part, share, request, ceremony, purpose).await?;
            Ok(Signature { bytes: made.bytes, recovery_id: Some(made.recovery_id) })
        }
        (Part::P256(part), Share::P256(share)) => {
            let request = request(share, path, *digest, rho).map_err(Failure::local)?;
            let made = run(part, share, request, ceremony, purpose).await?;
            Ok(Signature { bytes: made.bytes, recovery_id: None })
        }
        _ => Err(mismatch()),
    }
}

/// DERIVE.5 for the online step: ε is public, and the key that signs is X + ε·G.
fn request<C: EcdsaCurve>(
    share: &KeyShare<C>,
    path: &DerivationPath,
    digest: [u8; 32],
    rho: [u8; 32],
) -> Result<online::Request<C>, Problem> {
    let (tweak, public_key) = if path.is_root() {
        (Scalar::ZERO(), share.public().public_key())
    } else {
        let child = share.public().derived(path.numbers()).map_err(|error| refused(path, error))?;
        (child.offset, child.public_key)
    };
    Ok(online::Request { digest, tweak, public_key, rho })
}

async fn run<C: EcdsaCurve>(
    part: presign::Presignature<C, Verified>,
    share: &KeyShare<C>,
    request: online::Request<C>,
    ceremony: &mut Ceremony<'_>,
    purpose: Purpose,
) -> Result<quorate_ecdsa::Signature, Failure> {
    let session = part.place().session_id(&request);
    let epoch = share.public().epoch_id();
    let start = move |params| online::start(params, part, &epoch, request);
    ceremony.run(ONLINE, session, start, purpose).await
}

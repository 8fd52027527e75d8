//! Many signatures in one session (`spec/26-batch.md`).

use std::sync::Arc;

use quorate_api::Problem;
use quorate_ecdsa::batch as ecdsa;
use quorate_frost::{TaprootTweak, batch as frost};
use quorate_intent::{Scheme, Signature, ToSign};
use quorate_keys::share::KeyShare;
use quorate_protocol::curve::{Curve, EcdsaCurve, Scalar};
use quorate_protocol::session::SessionId;

use super::children::refused;
use super::{Setup, Share, WRONG_SHARE, mismatch};
use crate::ceremony::sign::Single;
use crate::ceremony::{Ceremony, Failure, Purpose};
use crate::keys::OpenKey;

/// Most signatures of one ECDSA session: their messages have 40.2 KB for each, and the network takes frames of 1 MiB.
const MOST_ECDSA: usize = 24;
const ECDSA: &str = "ecdsa-sign-batch";

/// Most signatures of one session.
pub(crate) const fn most(scheme: Scheme) -> usize {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => MOST_ECDSA,
        Scheme::Ed25519 | Scheme::Bip340 => frost::MAX_BATCH,
    }
}

/// The name of the protocol.
pub(crate) const fn protocol(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => ECDSA,
        Scheme::Ed25519 => "frost-ed25519-batch",
        Scheme::Bip340 => "frost-bip340-batch",
    }
}

/// How many rounds it has.
pub(crate) fn rounds(protocol: &str) -> u16 {
    if protocol == ECDSA { 3 } else { 2 }
}

/// What is added to the key for each signature.
fn offsets<C: Curve>(share: &KeyShare<C>, all: &[Single<'_>]) -> Result<Vec<Scalar<C>>, Problem> {
    let offset = |one: &Single<'_>| {
        let path = &one.item.path;
        if path.is_root() {
            return Ok(Scalar::ZERO());
        }
        let derived = share.public().derived(path.numbers()).map_err(|error| refused(path, error))?;
        Ok(derived.offset)
    };
    all.iter().map(offset).collect()
}

fn ecdsa_orders<C: EcdsaCurve>(
    share: &KeyShare<C>,
    all: &[Single<'_>],
) -> Result<Vec<ecdsa::Order<C>>, Problem> {
    let order = |(one, tweak): (&Single<'_>, Scalar<C>)| match one.what {
        ToSign::Prehash(digest) => Ok(ecdsa::Order { digest: *digest, tweak }),
        _ => Err(mismatch().problem),
    };
    all.iter().zip(offsets(share, all)?).map(order).collect()
}

fn frost_orders<C: Curve>(
    share: &KeyShare<C>,
    all: &[Single<'_>],
    scheme: Scheme,
) -> Result<Vec<frost::Order<C>>, Problem> {
    let order = |(one, offset): (&Single<'_>, Scalar<C>)| {
        let (message, taproot) = match (one.what, scheme) {
            (ToSign::Ed25519Message(message), Scheme::Ed25519) => (message, TaprootTweak::None),
            (ToSign::Bip340 { message, taproot_tweak: true }, Scheme::Bip340) => {
                (message, TaprootTweak::KeyPath)
            }
            (ToSign::Bip340 { message, taproot_tweak: false }, Scheme::Bip340) => {
                (message, TaprootTweak::None)
            }
            _ => return Err(mismatch().problem),
        };
        Ok(frost::Order { message: message.clone(), offset, taproot })
    };
    all.iter().zip(offsets(share, all)?).map(order).collect()
}

/// Runs one session for all of these, at most [`most`].
pub(crate) async fn sign(
    key: &OpenKey,
    all: &[Single<'_>],
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
    purpose: Purpose,
) -> Result<Vec<Signature>, Failure> {
    let scheme = key.record.scheme;
    let name = protocol(scheme);
    let material = Arc::clone(&key.material);
    let of_ecdsa = |made: Vec<quorate_ecdsa::Signature>, recovers: bool| {
        let one = |made: quorate_ecdsa::Signature| Signature {
            bytes: made.bytes,
            recovery_id: recovers.then_some(made.recovery_id),
        };
        made.into_iter().map(one).collect()
    };
    let of_frost = |made: Vec<quorate_frost::SignatureBytes>| {
        made.into_iter().map(|made| Signature { bytes: made.0, recovery_id: None }).collect()
    };
    match (scheme, &key.material.share) {
        (Scheme::EcdsaSecp256k1, Share::Secp256k1(share)) => {
            let orders = ecdsa_orders(share, all).map_err(Failure::local)?;
            let start = move |params| match (&material.share, &material.setup) {
                (Share::Secp256k1(share), Setup::Secp256k1(setup)) => {
                    ecdsa::start(params, share, Arc::clone(setup), orders)
                }
                _ => Err(WRONG_SHARE),
            };
            Ok(of_ecdsa(ceremony.run(name, session, start, purpose).await?, true))
        }
        (Scheme::EcdsaP256, Share::P256(share)) => {
            let orders = ecdsa_orders(share, all).map_err(Failure::local)?;
            let start = move |params| match (&material.share, &material.setup) {
                (Share::P256(share), Setup::P256(setup)) => {
                    ecdsa::start(params, share, Arc::clone(setup), orders)
                }
                _ => Err(WRONG_SHARE),
            };
            Ok(of_ecdsa(ceremony.run(name, session, start, purpose).await?, false))
        }
        (Scheme::Ed25519, Share::Ed25519(share)) => {
            let orders = frost_orders(share, all, scheme).map_err(Failure::local)?;
            let start = move |params| match &material.share {
                Share::Ed25519(share) => frost::sign_ed25519(params, share, orders),
                _ => Err(WRONG_SHARE),
            };
            Ok(of_frost(ceremony.run(name, session, start, purpose).await?))
        }
        (Scheme::Bip340, Share::Secp256k1(share)) => {
            let orders = frost_orders(share, all, scheme).map_err(Failure::local)?;
            let start = move |params| match &material.share {
                Share::Secp256k1(share) => frost::sign_bip340(params, share, orders),
                _ => Err(WRONG_SHARE),
            };
            Ok(of_frost(ceremony.run(name, session, start, purpose).await?))
        }
        _ => Err(mismatch()),
    }
}

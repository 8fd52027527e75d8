//! The only place that names protocols: which one creates and uses a key of which scheme.

use std::sync::Arc;

use quorate_api::{Code, Problem};
use quorate_frost::TaprootTweak;
use quorate_intent::{Scheme, Signature, ToSign};
use quorate_keys::dkg::{self, Generated};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::{BadParams, SessionId};
use zeroize::Zeroizing;

use super::{Ceremony, Durable, Failure};
use crate::keys::OpenKey;

/// A key share of any curve.
pub(crate) enum Share {
    Secp256k1(KeyShare<Secp256k1>),
    P256(KeyShare<P256>),
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
    /// Joins the encoded parts; `None` if they do not belong together.
    pub(crate) fn open(scheme: Scheme, package: &[u8], secret: &[u8]) -> Option<Self> {
        Some(match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::Bip340 => Self::Secp256k1(join(package, secret)?),
            Scheme::EcdsaP256 => Self::P256(join(package, secret)?),
            Scheme::Ed25519 => Self::Ed25519(join(package, secret)?),
        })
    }

    pub(crate) fn index(&self) -> PartyIndex {
        each!(self, share => share.index())
    }

    pub(crate) fn access(&self) -> &Access {
        each!(self, share => &share.public().access)
    }

    pub(crate) fn committee(&self) -> &Committee {
        each!(self, share => &share.public().committee)
    }

    /// The public key as the scheme writes it.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        each!(self, share => share.public().public_key.to_bytes())
    }

    pub(crate) fn package(&self) -> Vec<u8> {
        each!(self, share => share.public().to_bytes())
    }

    pub(crate) fn secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        each!(self, share => share.secret_bytes())
    }

    /// The committee of a minimal quorum.
    pub(crate) fn quorum(&self, parties: &[PartyIndex]) -> Option<Committee> {
        each!(self, share => share.public().quorum(parties))
    }

    /// The name of a session for this epoch of the key.
    pub(crate) fn session_id(
        &self,
        protocol: &'static str,
        quorum: &Committee,
        bindings: &[(&'static str, &[u8])],
    ) -> SessionId {
        each!(self, share => share.public().session_id(protocol, quorum, bindings))
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        each!(self, share => std::fmt::Debug::fmt(share, f))
    }
}

/// The public key inside an encoded package of a scheme.
pub(crate) fn package_public_key(scheme: Scheme, package: &[u8]) -> Option<Vec<u8>> {
    fn key<C: Curve>(package: &[u8]) -> Option<Vec<u8>> {
        Some(PublicPackage::<C>::from_bytes(package)?.public_key.to_bytes())
    }
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => key::<Secp256k1>(package),
        Scheme::EcdsaP256 => key::<P256>(package),
        Scheme::Ed25519 => key::<Ed25519>(package),
    }
}

/// The name of the signing protocol of a scheme.
pub(crate) const fn sign_protocol(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => "ecdsa-sign",
        Scheme::Ed25519 => "frost-ed25519",
        Scheme::Bip340 => "frost-bip340",
    }
}

/// Whether keys of the scheme use pairwise set-ups that can burn.
pub(crate) const fn has_setup(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256)
}

/// Generates a key of the scheme.
pub(crate) async fn generate(
    scheme: Scheme,
    access: Access,
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
    durable: &Durable<'_>,
) -> Result<Share, Failure> {
    async fn dkg_of<C: Curve>(
        access: Access,
        session: SessionId,
        ceremony: &mut Ceremony<'_>,
        durable: &Durable<'_>,
    ) -> Result<KeyShare<C>, Failure> {
        let start = move |params| dkg::start::<C>(params, access);
        let Generated { share, certificate } = ceremony.run("dkg", session, start, durable).await?;
        if !certificate.certifies(share.public()) {
            return Err(Failure::local(Problem::new(Code::Internal, "the key's certificate does not hold")));
        }
        Ok(share)
    }
    Ok(match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => {
            Share::Secp256k1(dkg_of(access, session, ceremony, durable).await?)
        }
        Scheme::EcdsaP256 => Share::P256(dkg_of(access, session, ceremony, durable).await?),
        Scheme::Ed25519 => Share::Ed25519(dkg_of(access, session, ceremony, durable).await?),
    })
}

/// The name of the protocol that sets up the pairs of a new ECDSA key.
pub(crate) const SETUP: &str = "ecdsa-setup";

/// Whether this build can create and use keys of the scheme.
pub(crate) fn supported(scheme: Scheme) -> Result<(), Problem> {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => {
            Err(Problem::new(Code::Unsupported, "this build has no threshold ecdsa yet"))
        }
        Scheme::Ed25519 | Scheme::Bip340 => Ok(()),
    }
}

/// Sets up the pairs of a new ECDSA key among its whole committee, and gives the encoded result.
pub(crate) async fn set_up(
    _share: &Share,
    _session: SessionId,
    _ceremony: &mut Ceremony<'_>,
    _durable: &Durable<'_>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    Err(mismatch())
}

fn mismatch() -> Failure {
    Failure::local(Problem::new(Code::Internal, "the key and what it is to sign do not fit each other"))
}

/// Runs one signing session.
pub(crate) async fn sign(
    key: &OpenKey,
    what: &ToSign,
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
    durable: &Durable<'_>,
) -> Result<Signature, Failure> {
    let material = Arc::clone(&key.material);
    let protocol = sign_protocol(key.record.scheme);
    match (key.record.scheme, what) {
        (Scheme::Ed25519, ToSign::Ed25519Message(message)) => {
            let message = message.clone();
            let start = move |params| match &material.share {
                Share::Ed25519(share) => quorate_frost::sign_ed25519(params, share, message),
                _ => Err(WRONG_SHARE),
            };
            let bytes = ceremony.run(protocol, session, start, durable).await?.0;
            Ok(Signature { bytes, recovery_id: None })
        }
        (Scheme::Bip340, ToSign::Bip340 { message, taproot_tweak }) => {
            let message = message.clone();
            let tweak = if *taproot_tweak { TaprootTweak::KeyPath } else { TaprootTweak::None };
            let start = move |params| match &material.share {
                Share::Secp256k1(share) => quorate_frost::sign_bip340(params, share, message, tweak),
                _ => Err(WRONG_SHARE),
            };
            let bytes = ceremony.run(protocol, session, start, durable).await?.0;
            Ok(Signature { bytes, recovery_id: None })
        }
        _ => Err(mismatch()),
    }
}

const WRONG_SHARE: BadParams = BadParams::Unsuitable("the share is of another curve");

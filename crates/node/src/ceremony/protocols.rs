//! The only place that names protocols: which one creates and uses a key of which scheme.

pub(crate) mod batch;
pub(crate) mod children;
pub(crate) mod epochs;
pub(crate) mod import;
pub(crate) mod presign;

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_api::{Code, Problem};
use quorate_ecdsa::{PairwiseSetup, setup, sign};
use quorate_frost::TaprootTweak;
use quorate_intent::{Scheme, Signature, ToSign};
use quorate_keys::certificate::Certificate;
use quorate_keys::dkg::{self, Generated};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_keys::sharing::{self, Unshareable};
use quorate_net::Steps;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, CurveId, Ed25519, P256, Secp256k1};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::{BadParams, SessionId};
use zeroize::Zeroizing;

use super::create::Draft;
use super::{Ceremony, Failure, Purpose};
use crate::keys::{Material, OpenKey};

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

    /// The identity of the key, fixed at its birth.
    pub(crate) fn package_id(&self) -> quorate_keys::share::KeyId {
        each!(self, share => share.public().key_id)
    }

    /// The epoch of the share.
    pub(crate) fn epoch(&self) -> u64 {
        each!(self, share => share.public().epoch)
    }

    /// The curve of the share.
    pub(crate) const fn curve(&self) -> CurveId {
        match self {
            Self::Secp256k1(_) => CurveId::Secp256k1,
            Self::P256(_) => CurveId::P256,
            Self::Ed25519(_) => CurveId::Ed25519,
        }
    }

    /// The public key as the scheme writes it.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        each!(self, share => share.public().public_key().to_bytes())
    }

    pub(crate) fn package(&self) -> Vec<u8> {
        each!(self, share => share.public().to_bytes())
    }

    /// Whether these are the acknowledgements of all parties that they hold their shares of this key.
    pub(crate) fn is_certified(&self, certificate: &[u8]) -> bool {
        borsh::from_slice::<Certificate>(certificate)
            .is_ok_and(|certificate| each!(self, share => certificate.certifies(share.public())))
    }

    /// The secrets alone, one after the other.
    pub(crate) fn rows(&self) -> Zeroizing<Vec<u8>> {
        each!(self, share => {
            let mut out = Zeroizing::new(Vec::with_capacity(32 * share.secrets().len()));
            for row in share.secrets() {
                out.extend_from_slice(&*Zeroizing::new(row.expose().to_bytes()));
            }
            out
        })
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
        Some(PublicPackage::<C>::from_bytes(package)?.public_key().to_bytes())
    }
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => key::<Secp256k1>(package),
        Scheme::EcdsaP256 => key::<P256>(package),
        Scheme::Ed25519 => key::<Ed25519>(package),
    }
}

/// The epoch of an encoded package of a scheme.
pub(crate) fn package_epoch(scheme: Scheme, package: &[u8]) -> Option<u64> {
    fn epoch<C: Curve>(package: &[u8]) -> Option<u64> {
        Some(PublicPackage::<C>::from_bytes(package)?.epoch)
    }
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => epoch::<Secp256k1>(package),
        Scheme::EcdsaP256 => epoch::<P256>(package),
        Scheme::Ed25519 => epoch::<Ed25519>(package),
    }
}

/// The access structure inside an encoded package of any scheme.
pub(crate) fn package_access(package: &[u8]) -> Option<Access> {
    quorate_keys::share::package_access(package)
}

/// Whether keys of the scheme can be shared under the structure; tries every combination of ranks.
pub(crate) fn check_access(scheme: Scheme, access: &Access) -> Result<(), Unshareable> {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => sharing::check::<Secp256k1>(access),
        Scheme::EcdsaP256 => sharing::check::<P256>(access),
        Scheme::Ed25519 => sharing::check::<Ed25519>(access),
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

/// How many rounds a protocol has, for those who watch.
pub(crate) fn rounds(protocol: &str) -> u16 {
    match protocol {
        "dkg" => 4,
        quorate_keys::acknowledge::PROTOCOL | presign::ONLINE => 1,
        presign::PRESIGN => 4,
        SETUP | "ecdsa-sign" | quorate_keys::reshare::PROTOCOL => 3,
        other => batch::rounds(other),
    }
}

/// Where its steps are computed, among so many parties. Signing among few takes 0.1 to 0.5 ms a step, creating a key hundreds.
pub(crate) fn steps(protocol: &str, parties: usize) -> Steps {
    match (protocol, parties) {
        ("frost-ed25519" | "frost-bip340", ..=8) | ("ecdsa-sign", ..=3) => Steps::Here,
        _ => Steps::Apart,
    }
}

/// Whether keys of the scheme use pairwise set-ups that can burn.
pub(crate) const fn has_setup(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256)
}

/// The pairwise set-up of an ECDSA key. One value serves all sessions of the process, so that a failed check and the burn it
/// causes are one step for all of them.
pub(crate) enum Setup {
    None,
    Secp256k1(Arc<PairwiseSetup<Secp256k1>>),
    P256(Arc<PairwiseSetup<P256>>),
}

impl Setup {
    /// Decodes what a sealer gave, with the pairs whose burn marks are known; `None` if the scheme needs another thing.
    pub(crate) fn open(scheme: Scheme, bytes: &[u8], burned: BTreeSet<PartyIndex>) -> Option<Self> {
        Some(match scheme {
            Scheme::EcdsaSecp256k1 => {
                Self::Secp256k1(Arc::new(PairwiseSetup::from_secret_bytes(bytes, burned)?))
            }
            Scheme::EcdsaP256 => Self::P256(Arc::new(PairwiseSetup::from_secret_bytes(bytes, burned)?)),
            Scheme::Ed25519 | Scheme::Bip340 => bytes.is_empty().then_some(Self::None)?,
        })
    }

    /// Whether there is anything that can burn.
    pub(crate) const fn exists(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// The parties with whom this node's pairs are burned.
    pub(crate) fn burned(&self) -> BTreeSet<PartyIndex> {
        match self {
            Self::None => BTreeSet::new(),
            Self::Secp256k1(setup) => setup.burned().collect(),
            Self::P256(setup) => setup.burned().collect(),
        }
    }

    /// Takes a durable burn mark over.
    pub(crate) fn burn(&self, peer: PartyIndex) {
        match self {
            Self::None => {}
            Self::Secp256k1(setup) => setup.burn(peer),
            Self::P256(setup) => setup.burn(peer),
        }
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Setup(..)")
    }
}

/// Generates a key of the scheme: the share and the encoded certificate.
pub(crate) async fn generate(
    scheme: Scheme,
    access: Access,
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
    draft: &Arc<Draft>,
) -> Result<(Share, Vec<u8>), Failure> {
    async fn dkg_of<C: Curve>(
        access: Access,
        session: SessionId,
        ceremony: &mut Ceremony<'_>,
        draft: &Arc<Draft>,
    ) -> Result<(KeyShare<C>, Vec<u8>), Failure> {
        let start = move |params| dkg::start::<C>(params, access);
        let purpose = Purpose::Generate(Arc::clone(draft));
        let Generated { share, certificate } = ceremony.run("dkg", session, start, purpose).await?;
        if !certificate.certifies(share.public()) {
            return Err(Failure::local(Problem::new(Code::Internal, "the key's certificate does not hold")));
        }
        // Writing into a vector does not fail.
        Ok((share, borsh::to_vec(&certificate).unwrap_or_default()))
    }
    Ok(match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => {
            let (share, certificate) = dkg_of(access, session, ceremony, draft).await?;
            (Share::Secp256k1(share), certificate)
        }
        Scheme::EcdsaP256 => {
            let (share, certificate) = dkg_of(access, session, ceremony, draft).await?;
            (Share::P256(share), certificate)
        }
        Scheme::Ed25519 => {
            let (share, certificate) = dkg_of(access, session, ceremony, draft).await?;
            (Share::Ed25519(share), certificate)
        }
    })
}

/// The name of the protocol that sets up the pairs of a new ECDSA key.
pub(crate) const SETUP: &str = "ecdsa-setup";

/// Sets up the pairs of a new ECDSA key among its whole committee. The result is stored when this returns.
pub(crate) async fn set_up(
    share: Share,
    certificate: Vec<u8>,
    scheme: Scheme,
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
    draft: &Arc<Draft>,
) -> Result<(), Failure> {
    let (package, secret) = (share.package(), share.secret_bytes());
    let purpose = Purpose::SetUp { draft: Arc::clone(draft), package, certificate, secret };
    match (scheme, share) {
        (Scheme::EcdsaSecp256k1, Share::Secp256k1(share)) => {
            let start = move |params| setup::start(params, &share);
            ceremony.run(SETUP, session, start, purpose).await.map(|_| ())
        }
        (Scheme::EcdsaP256, Share::P256(share)) => {
            let start = move |params| setup::start(params, &share);
            ceremony.run(SETUP, session, start, purpose).await.map(|_| ())
        }
        _ => Err(mismatch()),
    }
}

fn mismatch() -> Failure {
    Failure::local(Problem::new(Code::Internal, "the key and what it is to sign do not fit each other"))
}

const WRONG_SHARE: BadParams = BadParams::Unsuitable("the share is of another curve");

/// What signs: the opened secrets of a key, and in place of its share that of a key below it where one was asked for.
#[derive(Clone)]
struct Signer {
    material: Arc<Material>,
    child: Option<Arc<Share>>,
}

impl Signer {
    fn share(&self) -> &Share {
        self.child.as_deref().unwrap_or(&self.material.share)
    }
}

/// Runs one signing session; with the share of a child if there is one.
pub(crate) async fn sign(
    key: &OpenKey,
    child: Option<&Arc<Share>>,
    what: &ToSign,
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
    purpose: Purpose,
) -> Result<Signature, Failure> {
    let signer = Signer { material: Arc::clone(&key.material), child: child.cloned() };
    let protocol = sign_protocol(key.record.scheme);
    match (key.record.scheme, what) {
        (Scheme::EcdsaSecp256k1, ToSign::Prehash(digest)) => {
            let digest = *digest;
            let start = move |params| match (signer.share(), &signer.material.setup) {
                (Share::Secp256k1(share), Setup::Secp256k1(setup)) => {
                    sign::start(params, share, Arc::clone(setup), digest)
                }
                _ => Err(WRONG_SHARE),
            };
            let signature = ceremony.run(protocol, session, start, purpose).await?;
            Ok(Signature { bytes: signature.bytes, recovery_id: Some(signature.recovery_id) })
        }
        (Scheme::EcdsaP256, ToSign::Prehash(digest)) => {
            let digest = *digest;
            let start = move |params| match (signer.share(), &signer.material.setup) {
                (Share::P256(share), Setup::P256(setup)) => {
                    sign::start(params, share, Arc::clone(setup), digest)
                }
                _ => Err(WRONG_SHARE),
            };
            let signature = ceremony.run(protocol, session, start, purpose).await?;
            Ok(Signature { bytes: signature.bytes, recovery_id: None })
        }
        (Scheme::Ed25519, ToSign::Ed25519Message(message)) => {
            let message = message.clone();
            let start = move |params| match signer.share() {
                Share::Ed25519(share) => quorate_frost::sign_ed25519(params, share, message),
                _ => Err(WRONG_SHARE),
            };
            let bytes = ceremony.run(protocol, session, start, purpose).await?.0;
            Ok(Signature { bytes, recovery_id: None })
        }
        (Scheme::Bip340, ToSign::Bip340 { message, taproot_tweak }) => {
            let message = message.clone();
            let tweak = if *taproot_tweak { TaprootTweak::KeyPath } else { TaprootTweak::None };
            let start = move |params| match signer.share() {
                Share::Secp256k1(share) => quorate_frost::sign_bip340(params, share, message, tweak),
                _ => Err(WRONG_SHARE),
            };
            let bytes = ceremony.run(protocol, session, start, purpose).await?.0;
            Ok(Signature { bytes, recovery_id: None })
        }
        _ => Err(mismatch()),
    }
}

//! From one epoch of a key to the next, for every scheme.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_api::{Code, Problem};
use quorate_ecdsa::setup;
use quorate_intent::Scheme;
use quorate_keys::certificate::{Acknowledgement, Certificate};
use quorate_keys::reshare::{self, Plan, Reshared};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_net::PeerId;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, EcdsaCurve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::{Committee, Identity, PartyIndex};
use quorate_protocol::session::{BadParams, SessionId};

use super::{SETUP, Share};
use crate::ceremony::{Ceremony, Failure, Purpose};
use crate::keys::Material;
use crate::shared::peer_of;

/// A statement over one curve, for the curve of a scheme.
macro_rules! by_scheme {
    ($scheme:expr, $curve:ident => $body:expr) => {
        match $scheme {
            Scheme::EcdsaSecp256k1 | Scheme::Bip340 => {
                type $curve = Secp256k1;
                $body
            }
            Scheme::EcdsaP256 => {
                type $curve = P256;
                $body
            }
            Scheme::Ed25519 => {
                type $curve = Ed25519;
                $body
            }
        }
    };
}

/// What anybody can read in a public package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) epoch: u64,
    /// Names the key since its birth, with its public key and chain code.
    pub(crate) key: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) access: Access,
    pub(crate) committee: Committee,
}

impl Package {
    /// Reads an encoded package; `None` if it is none of the scheme.
    pub(crate) fn read(scheme: Scheme, bytes: &[u8]) -> Option<Self> {
        fn of<C: Curve>(bytes: &[u8]) -> Option<Package> {
            let package = PublicPackage::<C>::from_bytes(bytes)?;
            let public_key = package.public_key().to_bytes();
            let mut key = package.key_id.0.to_vec();
            key.extend_from_slice(&package.chain_code);
            key.extend_from_slice(&public_key);
            let (epoch, access, committee) = (package.epoch, package.access, package.committee);
            Some(Package { epoch, key, public_key, access, committee })
        }
        by_scheme!(scheme, C => of::<C>(bytes))
    }

    /// Whether it is the same key in the epoch after this one.
    pub(crate) fn follows(&self, before: &Self) -> bool {
        self.key == before.key && before.epoch.checked_add(1) == Some(self.epoch)
    }

    pub(crate) fn parties(&self) -> BTreeMap<PeerId, PartyIndex> {
        self.committee.iter().map(|party| (peer_of(&party.identity), party.index)).collect()
    }
}

/// A move as all its parties see it.
#[derive(Clone, Debug)]
pub(crate) struct Dealt {
    pub(crate) scheme: Scheme,
    /// The package of the epoch that ends.
    pub(crate) old: Vec<u8>,
    pub(crate) dealers: Committee,
    pub(crate) access: Access,
    pub(crate) committee: Committee,
}

impl Dealt {
    fn plan<C: Curve>(&self) -> Option<Plan<C>> {
        let old = PublicPackage::from_bytes(&self.old)?;
        let (dealers, access, committee) =
            (self.dealers.clone(), self.access.clone(), self.committee.clone());
        let plan = Plan { old, dealers, access, committee };
        plan.check().ok().map(|()| plan)
    }

    /// The parties of the session and its name, if there can be one.
    pub(crate) fn session(&self, bindings: &[(&'static str, &[u8])]) -> Option<(Committee, SessionId)> {
        fn of<C: Curve>(this: &Dealt, bindings: &[(&'static str, &[u8])]) -> Option<(Committee, SessionId)> {
            let plan = this.plan::<C>()?;
            Some((plan.participants()?, plan.session_id(bindings)?))
        }
        by_scheme!(self.scheme, C => of::<C>(self, bindings))
    }

    /// Whether a package can be what this move leads to.
    pub(crate) fn admits(&self, package: &[u8]) -> bool {
        fn of<C: Curve>(this: &Dealt, package: &[u8]) -> Option<bool> {
            Some(this.plan::<C>()?.admits(&PublicPackage::from_bytes(package)?))
        }
        by_scheme!(self.scheme, C => of::<C>(self, package)).unwrap_or(false)
    }
}

/// What a party has after the session: the new epoch, and its share if it gets one.
pub(crate) struct Next {
    pub(crate) package: Vec<u8>,
    pub(crate) share: Option<Share>,
}

trait InShare: Curve {
    fn of(share: &Share) -> Option<&KeyShare<Self>>;
    fn into_share(share: KeyShare<Self>) -> Share;
}

macro_rules! in_share {
    ($($curve:ident),*) => {$(
        impl InShare for $curve {
            fn of(share: &Share) -> Option<&KeyShare<Self>> {
                if let Share::$curve(share) = share { Some(share) } else { None }
            }
            fn into_share(share: KeyShare<Self>) -> Share {
                Share::$curve(share)
            }
        }
    )*};
}
in_share!(Secp256k1, P256, Ed25519);

/// The share that a party deals from.
#[derive(Clone)]
pub(crate) enum Dealer {
    /// Of a key that it uses.
    InUse(Arc<Material>),
    /// Out of a backup.
    Restored(Arc<Share>),
}

impl Dealer {
    fn share(&self) -> &Share {
        match self {
            Self::InUse(material) => &material.share,
            Self::Restored(share) => share,
        }
    }
}

/// Runs the session that deals the next epoch. Nothing of its result is durable yet.
pub(crate) async fn deal(
    dealt: &Dealt,
    own: Option<Dealer>,
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
) -> Result<Next, Failure> {
    async fn of<C: InShare>(
        dealt: &Dealt,
        own: Option<Dealer>,
        session: SessionId,
        ceremony: &mut Ceremony<'_>,
    ) -> Result<Next, Failure> {
        let unfit = || Failure::local(Problem::new(Code::Internal, "the move cannot be carried out"));
        let plan = dealt.plan::<C>().ok_or_else(unfit)?;
        let start = move |params| {
            let share = match own.as_ref().map(|dealer| C::of(dealer.share())) {
                Some(None) => return Err(BadParams::Unsuitable("the share is of another curve")),
                Some(share) => share,
                None => None,
            };
            reshare::start(params, plan, share)
        };
        let Reshared { package, share } =
            ceremony.run(reshare::PROTOCOL, session, start, Purpose::Move).await?;
        Ok(Next { package: package.to_bytes(), share: share.map(C::into_share) })
    }
    by_scheme!(dealt.scheme, C => of::<C>(dealt, own, session, ceremony).await)
}

/// Sets up the pairs of the next epoch among its parties; gives the bytes for a sealer, none for a scheme without.
pub(crate) async fn set_up_next(
    share: Share,
    scheme: Scheme,
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
    async fn of<C: InShare + EcdsaCurve>(
        share: KeyShare<C>,
        session: SessionId,
        ceremony: &mut Ceremony<'_>,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
        let start = move |params| setup::start(params, &share);
        let setup = ceremony.run(SETUP, session, start, Purpose::Move).await?;
        Ok(setup.secret_bytes())
    }
    match (scheme, share) {
        (Scheme::EcdsaSecp256k1, Share::Secp256k1(share)) => of(share, session, ceremony).await,
        (Scheme::EcdsaP256, Share::P256(share)) => of(share, session, ceremony).await,
        _ => Ok(zeroize::Zeroizing::new(Vec::new())),
    }
}

/// Signs that this node's share of a package is durable; `None` if it is no package.
pub(crate) fn acknowledge(scheme: Scheme, package: &[u8], identity: &dyn Identity) -> Option<Vec<u8>> {
    by_scheme!(scheme, C => {
        let package = PublicPackage::<C>::from_bytes(package)?;
        borsh::to_vec(&Acknowledgement::sign(&package, identity)).ok()
    })
}

/// Whether a party of the package signed that.
pub(crate) fn is_acknowledged(scheme: Scheme, package: &[u8], party: PartyIndex, signed: &[u8]) -> bool {
    let Ok(signed) = borsh::from_slice::<Acknowledgement>(signed) else { return false };
    by_scheme!(scheme, C => {
        PublicPackage::<C>::from_bytes(package).is_some_and(|package| signed.is_of(&package, party))
    })
}

/// All acknowledgements as one proof; `None` if one is missing or wrong.
pub(crate) fn certify(
    scheme: Scheme,
    package: &[u8],
    signed: &BTreeMap<PartyIndex, Vec<u8>>,
) -> Option<Vec<u8>> {
    let parts = signed.iter().map(|(party, bytes)| Some((*party, borsh::from_slice(bytes).ok()?)));
    let parts: Vec<(PartyIndex, Acknowledgement)> = parts.collect::<Option<_>>()?;
    by_scheme!(scheme, C => {
        let package = PublicPackage::<C>::from_bytes(package)?;
        borsh::to_vec(&Certificate::from_acknowledgements(&package, parts)?).ok()
    })
}

/// Whether these are the acknowledgements of all parties of the package.
pub(crate) fn is_certified(scheme: Scheme, package: &[u8], certificate: &[u8]) -> bool {
    let Ok(certificate) = borsh::from_slice::<Certificate>(certificate) else { return false };
    by_scheme!(scheme, C => {
        PublicPackage::<C>::from_bytes(package).is_some_and(|package| certificate.certifies(&package))
    })
}

//! A key that is imported, for every scheme: checking what was dealt, and moving it on before it is ever used.

use std::sync::Arc;

use quorate_api::{Code, ImportKey, Problem};
use quorate_intent::Scheme;
use quorate_keys::reshare::{self, Plan, Reshared};
use quorate_keys::share::KeyShare;
use quorate_keys::sharing::{Rows, rows_of};
use quorate_keys::{acknowledge, import};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Point, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::{BadParams, SessionId};

use super::super::create::Draft;
use super::super::{Ceremony, Failure, Purpose};
use super::{Share, WRONG_SHARE};

/// A curve whose shares are in [`Share`].
trait InShare: Curve {
    fn of(share: &Share) -> Option<&KeyShare<Self>>;
    fn into_share(share: KeyShare<Self>) -> Share;
}

macro_rules! in_share {
    ($($curve:ident),+) => {$(
        impl InShare for $curve {
            fn of(share: &Share) -> Option<&KeyShare<Self>> {
                if let Share::$curve(share) = share { Some(share) } else { None }
            }
            fn into_share(share: KeyShare<Self>) -> Share {
                Share::$curve(share)
            }
        }
    )+};
}
in_share!(Secp256k1, P256, Ed25519);

/// What was dealt to one party, and to whom else.
pub(crate) struct Dealt<'a> {
    pub(crate) import: &'a ImportKey,
    pub(crate) committee: &'a Committee,
    pub(crate) access: &'a Access,
    pub(crate) me: PartyIndex,
    /// Hash of the request.
    pub(crate) binding: [u8; 32],
    /// This party's part, opened.
    pub(crate) plain: &'a [u8],
}

/// IMP.3: the share that was dealt to us, if it is the one that the commitment promises.
///
/// # Errors
/// What is wrong, in words; the dealer is at fault.
pub(crate) fn accept(dealt: &Dealt<'_>) -> Result<Share, &'static str> {
    match dealt.import.scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => accept_on::<Secp256k1>(dealt),
        Scheme::EcdsaP256 => accept_on::<P256>(dealt),
        Scheme::Ed25519 => accept_on::<Ed25519>(dealt),
    }
}

fn accept_on<C: InShare>(dealt: &Dealt<'_>) -> Result<Share, &'static str> {
    let Dealt { import, committee, access, me, binding, plain } = dealt;
    let commitment: Option<Vec<Point<C>>> =
        import.commitment.iter().map(|point| Point::from_bytes(&point.0)).collect();
    let commitment = commitment.ok_or("the commitment has something that is no point of the curve")?;
    let chain_code = <[u8; 32]>::try_from(import.chain_code.0.as_slice());
    let chain_code = chain_code.map_err(|_| "the chain code has another length than 32 bytes")?;
    let (access, committee) = ((*access).clone(), (*committee).clone());
    let wanted = rows_of(&access, *me);
    let package = import::package(commitment, access, committee, chain_code, binding)
        .ok_or("the commitment does not fit the number of parties that can sign, or shares no key out")?;
    let (rows, rest) = plain.as_chunks::<32>();
    if !rest.is_empty() || rows.len() != wanted {
        return Err("it has another length than a share");
    }
    let rows: Option<Vec<SecretScalar<C>>> =
        rows.iter().map(|row| Scalar::from_bytes(row).map(SecretScalar::new)).collect();
    let rows = rows.ok_or("it has a number that is not below the order of the group")?;
    let share = import::accept(package, *me, Rows::new(rows));
    share.map(C::into_share).ok_or("it is not what the commitment promises")
}

/// IMP.4–IMP.6: moves the key to its first epoch of use, stores this node's share of it, and gathers the certificate.
pub(crate) async fn renew(
    dealt: &Arc<Share>,
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
    draft: &Arc<Draft>,
) -> Result<(Share, Vec<u8>), Failure> {
    match dealt.as_ref() {
        Share::Secp256k1(_) => renew_on::<Secp256k1>(dealt, session, ceremony, draft).await,
        Share::P256(_) => renew_on::<P256>(dealt, session, ceremony, draft).await,
        Share::Ed25519(_) => renew_on::<Ed25519>(dealt, session, ceremony, draft).await,
    }
}

async fn renew_on<C: InShare>(
    dealt: &Arc<Share>,
    session: SessionId,
    ceremony: &mut Ceremony<'_>,
    draft: &Arc<Draft>,
) -> Result<(Share, Vec<u8>), Failure> {
    let broken = |what: &str| Failure::local(Problem::new(Code::Internal, what));
    let share = C::of(dealt).ok_or_else(|| broken("the imported share is of another curve"))?;
    // IMP.4  The fewest parties that can, in order: everybody knows who deals.
    let dealers = first_quorum(&share.public().access);
    let plan = Plan::refresh(share.public().clone(), &dealers);
    let plan = plan.ok_or_else(|| broken("the imported key has no quorum"))?;
    let deals = dealers.contains(&share.index());
    let bindings: [(&'static str, &[u8]); 1] = [("creation", &session.0)];
    let id = plan.session_id(&bindings).ok_or_else(|| broken("the imported key cannot be moved"))?;
    let dealt = Arc::clone(dealt);
    let start = move |params| {
        let share = if deals { Some(C::of(&dealt).ok_or(WRONG_SHARE)?) } else { None };
        reshare::start(params, plan, share)
    };
    let purpose = Purpose::Generate(Arc::clone(draft));
    let Reshared { package, share } = ceremony.run(reshare::PROTOCOL, id, start, purpose).await?;
    let share = share.ok_or_else(|| broken("this node got no share"))?;
    // IMP.5–IMP.6  The share is durable: the session before ended with that.
    let id = package.session_id(acknowledge::PROTOCOL, &package.committee, &bindings);
    let start = move |params| -> Result<_, BadParams> { acknowledge::start(params, package) };
    let certificate = ceremony.run(acknowledge::PROTOCOL, id, start, Purpose::Say).await?;
    // Writing into a vector does not fail.
    Ok((C::into_share(share), borsh::to_vec(&certificate).unwrap_or_default()))
}

/// A minimal quorum: parties are left out from the last to the first as long as the rest can act.
fn first_quorum(access: &Access) -> Vec<PartyIndex> {
    let mut set = access.parties();
    for party in access.parties().into_iter().rev() {
        let rest: Vec<_> = set.iter().copied().filter(|other| *other != party).collect();
        if access.is_qualified(&rest) {
            set = rest;
        }
    }
    set
}

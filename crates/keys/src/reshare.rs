//! Moves a key to a committee, an access structure and a new epoch. Refresh, repair and restore are the same protocol with other parties.
//! Spec: `spec/12-reshare.md`, steps RESHARE.1–RESHARE.11.
//!
//! | state                  | waits for          | runs                  |
//! |------------------------|--------------------|-----------------------|
//! | [`start`]              | nothing            | RESHARE.1–RESHARE.2   |
//! | `AwaitAnnouncements`   | [`Announce`]       | RESHARE.3–RESHARE.4   |
//! | `AwaitOpenings`        | [`Open`], [`Deals`]| RESHARE.5–RESHARE.9   |
//! | `AwaitConfirms`        | [`Confirm`]        | RESHARE.10–RESHARE.11 |

mod message;
mod plan;

pub use self::message::{Announce, Confirm, Deals, Open};
pub use self::plan::{PROTOCOL, Plan};

use alloc::vec::Vec;
use zeroize::Zeroizing;

use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::commitment::{Commitment, Salt};
use quorate_protocol::curve::{Curve, Point, SecretScalar};
use quorate_protocol::message::{Nothing, encode};
use quorate_protocol::party::{PartyId, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{
    BadParams, Context, Effect, Params, Received, Round, Session, SessionId, Turn,
};
use quorate_protocol::transcript::{Transcript, tags};

use crate::dkg::{PENDING_SHARE, pending_bytes};
use crate::proof::{ProofOfKnowledge, Statement};
use crate::share::{KeyShare, PublicPackage};
use crate::sharing::{Rows, Vector, width};

/// What a move leads to. Nothing of it may be used, and nothing of the old epoch erased, before a certificate shows that every member
/// holds its share durably.
#[derive(Debug)]
pub struct Reshared<C: Curve> {
    /// The new epoch.
    pub package: PublicPackage<C>,
    /// Our share of it; `None` of a dealer that leaves.
    pub share: Option<KeyShare<C>>,
}

/// Starts the move that `plan` describes, among [`Plan::participants`].
///
/// Three rounds of broadcasts over authenticated channels; RESHARE.4 also sends private messages, so channels must be encrypted. A dealer
/// brings its share of the old epoch, which stays as it is; everybody else brings nothing. The caller guarantees a session identifier
/// that is used once and binds the plan ([`Plan::session_id`]), that the parties of the plan are the ones it means, and, where we do not
/// hold the old package ourselves, that its public key and key identity are the right ones. A member's share is handed out by
/// [`Effect::Persist`] under the name [`PENDING_SHARE`] and is durable before there is a result.
///
/// # Errors
/// [`BadParams`] if the plan cannot be carried out, or not by us; nobody else is to blame.
pub fn start<C: Curve>(
    params: Params,
    plan: Plan<C>,
    share: Option<&KeyShare<C>>,
) -> Result<Session<Reshared<C>>, BadParams> {
    // RESHARE.1  the plan can be carried out, and we have what our part needs
    plan.check()?;
    if plan.participants().as_ref() != Some(&params.committee) {
        return Err(BadParams::Unsuitable(
            "the session is not among exactly the dealers and members of the plan",
        ));
    }
    let deals = plan.dealers.get(params.me).is_some();
    let (secret, hedge) = match share {
        None if deals => {
            return Err(BadParams::Unsuitable("a dealer needs its share of the epoch that is moved"));
        }
        None => (None, Zeroizing::new(Vec::new())),
        Some(_) if !deals => return Err(BadParams::Unsuitable("a share is brought by dealers only")),
        Some(share) => (Some(dealt(&plan, share, params.me)?), share.secret_bytes()),
    };
    Session::start(params, &hedge, move |ctx| {
        let plan_digest = plan.digest();
        // RESHARE.2  b_i with our additive share as its constant; com_i binds B_i, under our identity
        let dealer = secret.map(|y| Dealer::new(&plan, y, ctx));
        let announce = Announce { plan: plan_digest, commitment: dealer.as_ref().map(|d| d.commitment) };
        Ok(Turn::broadcast(AwaitAnnouncements { plan, plan_digest, dealer }, &announce, ctx))
    })
}

/// y_i, the part of the key that we deal: the share is of the planned epoch and ours.
fn dealt<C: Curve>(
    plan: &Plan<C>,
    share: &KeyShare<C>,
    me: PartyIndex,
) -> Result<SecretScalar<C>, BadParams> {
    if share.public() != &plan.old || share.index() != me {
        return Err(BadParams::Unsuitable("the share is not ours in the epoch that is moved"));
    }
    let y = share.additive(&plan.dealers).filter(|y| !bool::from(y.expose().is_zero()));
    y.ok_or(BadParams::Unsuitable("the share has no part of the key among these dealers"))
}

const COMMITTED: &str = "reshare vector";
const KNOWS_ROW: &str = "reshare row";

/// What a dealer keeps between its commitment and its opening.
struct Dealer<C: Curve> {
    /// b_i
    vector: Vector<C>,
    /// B_i
    points: Vec<Point<C>>,
    commitment: Commitment,
    salt: Salt,
}

impl<C: Curve> Dealer<C> {
    fn new(plan: &Plan<C>, y: SecretScalar<C>, ctx: &mut Context<'_>) -> Self {
        let vector = Vector::with_constant(&plan.access, y, ctx.rng);
        let points = vector.commit();
        let (commitment, salt) =
            Commitment::new(ctx.session, ctx.id_of(ctx.me), COMMITTED, &encode(&points), ctx.rng);
        Self { vector, points, commitment, salt }
    }
}

struct AwaitAnnouncements<C: Curve> {
    plan: Plan<C>,
    plan_digest: [u8; 32],
    dealer: Option<Dealer<C>>,
}

impl<C: Curve> Round for AwaitAnnouncements<C> {
    type Broadcast = Announce;
    type Direct = Nothing;
    type Output = Reshared<C>;
    const NAME: &'static str = "announce";

    fn receive(
        self,
        inbox: PerPeer<Received<Announce, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Reshared<C>>, Abort> {
        let Self { plan, plan_digest, dealer } = self;
        // RESHARE.3  the same plan at all; dealers, and nobody else, have committed
        let commitments = inbox.try_map(|j, message| {
            let Announce { plan: theirs, commitment } = message.broadcast;
            if theirs != plan_digest {
                return Err(Abort::by(j, Check::Plan));
            }
            if commitment.is_some() != plan.dealers.get(j).is_some() {
                return Err(Abort::by(j, Check::Malformed));
            }
            Ok(commitment)
        })?;
        // RESHARE.4  open to all, deal to each member its rows
        let rows_for = |j: PartyIndex| {
            Rows::new(dealer.as_ref().map_or_else(Vec::new, |dealer| dealer.vector.deal(&plan.access, j)))
        };
        let deals = PerPeer::from_fn(ctx.committee, ctx.me, |j| Deals { rows: rows_for(j) });
        let own = rows_for(ctx.me);
        let (points, opening) = match dealer {
            Some(dealer) => (Some(dealer.points.clone()), Some((dealer.points, dealer.salt))),
            None => (None, None),
        };
        let next = AwaitOpenings { plan, plan_digest, points, own, commitments };
        Ok(Turn::next(next, &Open { opening }, deals))
    }
}

struct AwaitOpenings<C: Curve> {
    plan: Plan<C>,
    plan_digest: [u8; 32],
    /// B_i, if we deal
    points: Option<Vec<Point<C>>>,
    /// b_i at our own rows, if we deal and are a member
    own: Rows<C>,
    commitments: PerPeer<Option<Commitment>>,
}

/// A dealer's commitment and what it dealt to us; nothing of a party that does not deal.
type Checked<C> = Option<(Vec<Point<C>>, Rows<C>)>;

impl<C: Curve> AwaitOpenings<C> {
    /// RESHARE.5–RESHARE.7 for one peer.
    fn check(
        &self,
        j: PartyIndex,
        message: Received<Open<C>, Deals<C>>,
        ctx: &Context<'_>,
    ) -> Result<Checked<C>, Abort> {
        let fails = |check| Err(Abort::by(j, check));
        let (opening, rows) = (message.broadcast.opening, message.direct.rows);
        let (commitment, (points, salt)) = match (self.commitments.get(j).copied().flatten(), opening) {
            (Some(commitment), Some(opening)) => (commitment, opening),
            (None, None) if rows.secrets().is_empty() => return Ok(None),
            _ => return fails(Check::Malformed),
        };
        // RESHARE.5  exactly as many points as the structure is wide (the codec refuses the identity); com_j opens
        if points.len() != width(&self.plan.access) {
            return fails(Check::PolynomialDegree);
        }
        if !commitment.opens(ctx.session, ctx.id_of(j), COMMITTED, &encode(&points), salt) {
            return fails(Check::CommitmentOpening);
        }
        // RESHARE.6  B_j0 = Y_j: what j shares is its part of this key, and nothing else
        if points.first().copied() != self.plan.old.additive_public(&self.plan.dealers, j) {
            return fails(Check::DealerConstant);
        }
        // RESHARE.7  our rows, none more or less, are what j committed to (Feldman); a party that is no member has none
        if !rows.match_commitment(&self.plan.access, &points, ctx.me) {
            return fails(Check::ShareConsistency);
        }
        Ok(Some((points, rows)))
    }
}

impl<C: Curve> Round for AwaitOpenings<C> {
    type Broadcast = Open<C>;
    type Direct = Deals<C>;
    type Output = Reshared<C>;
    const NAME: &'static str = "open and deal";

    fn receive(
        self,
        inbox: PerPeer<Received<Open<C>, Deals<C>>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Reshared<C>>, Abort> {
        let peers = inbox.try_map(|j, message| self.check(j, message, ctx))?;
        let Self { plan, plan_digest, points, own, .. } = self;
        let impossible = || {
            Abort::new(Check::ShareConsistency, Blame::Nobody("each dealer's rows passed their own check"))
        };
        // RESHARE.8  B = Σ B_j, s'_i = Σ of our rows
        let ours = points.map(|points| (points, own));
        let mut dealings = ours.into_iter().chain(peers.into_iter().filter_map(|(_, checked)| checked));
        let (mut joint, mut rows) = dealings.next().ok_or_else(impossible)?;
        for (points, dealt) in dealings {
            for (sum, point) in joint.iter_mut().zip(points) {
                *sum += point;
            }
            rows = rows.plus(&dealt).ok_or_else(impossible)?;
        }
        let package = next_epoch(plan, &plan_digest, joint, ctx)?;
        // RESHARE.9  confirm, and prove that we hold each of our rows
        let confirm = package.transcript;
        let prove = |(number, row): (u32, &SecretScalar<C>)| {
            let context = row_context(&confirm, number);
            ProofOfKnowledge::prove(row, &row_statement(ctx.session, ctx.id_of(ctx.me), &context), ctx.rng)
        };
        let proofs = (0u32..).zip(rows.secrets()).map(prove).collect();
        let member = package.committee.get(ctx.me).is_some();
        let share = member.then(|| KeyShare::new(package.clone(), ctx.me, rows.into_secrets()));
        let share = share.map(|share| share.ok_or_else(impossible)).transpose()?;
        let next = AwaitConfirms { reshared: Reshared { package, share } };
        Ok(Turn::broadcast(next, &Confirm { confirm, proofs }, ctx))
    }
}

/// RESHARE.8 for the joint commitment: the package of the new epoch, which everybody computes alike. Its transcript is what all confirm.
fn next_epoch<C: Curve>(
    plan: Plan<C>,
    plan_digest: &[u8; 32],
    joint: Vec<Point<C>>,
    ctx: &Context<'_>,
) -> Result<PublicPackage<C>, Abort> {
    let nobody = |check, why| Err(Abort::new(check, Blame::Nobody(why)));
    let Plan { old, access, committee, .. } = plan;
    if joint.first().copied() != Some(old.public_key()) {
        return nobody(
            Check::PublicKeySum,
            "each dealer shared its part of the key, and the parts add up to it",
        );
    }
    let degenerate = |p: &Point<C>| bool::from(p.is_identity());
    if joint.iter().any(degenerate) {
        return nobody(Check::DegenerateKey, "all openings were committed to beforehand");
    }
    let transcript = Transcript::new(tags::RESHARE_CONFIRM)
        .absorb("session", &ctx.session.0)
        .absorb("round 2", &ctx.digest)
        .absorb("plan", plan_digest)
        .absorb("joint", &encode(&joint))
        .digest();
    let (epoch, key_id, chain_code) = (old.epoch.saturating_add(1), old.key_id, old.chain_code);
    let package = PublicPackage { epoch, access, committee, joint, chain_code, transcript, key_id };
    if package.committee.indices().any(|j| package.public_shares(j).iter().any(degenerate)) {
        return nobody(Check::DegenerateKey, "all openings were committed to beforehand");
    }
    Ok(package)
}

/// Each row has a proof of its own: none stands for another.
fn row_context(confirm: &[u8; 32], number: u32) -> Vec<u8> {
    encode(&(confirm, number))
}

const fn row_statement(session: SessionId, prover: PartyId, context: &[u8]) -> Statement<'_> {
    Statement { session, prover, purpose: KNOWS_ROW, context }
}

struct AwaitConfirms<C: Curve> {
    reshared: Reshared<C>,
}

impl<C: Curve> Round for AwaitConfirms<C> {
    type Broadcast = Confirm<C>;
    type Direct = Nothing;
    type Output = Reshared<C>;
    const NAME: &'static str = "confirm";

    fn receive(
        self,
        inbox: PerPeer<Received<Confirm<C>, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Reshared<C>>, Abort> {
        let package = &self.reshared.package;
        // RESHARE.10  the same hash from all, and each party holds every row that it has in the new epoch
        for (j, message) in inbox {
            let Confirm { confirm, proofs } = message.broadcast;
            if confirm != package.transcript {
                return Err(Abort::by(j, Check::Confirmation));
            }
            let public = package.public_shares(j);
            let holds = |(number, (point, proof)): (u32, (&Point<C>, &ProofOfKnowledge<C>))| {
                let context = row_context(&confirm, number);
                proof.verify(point, &row_statement(ctx.session, ctx.id_of(j), &context))
            };
            // No proof less, none more: without rows there is nothing to prove.
            if proofs.len() != public.len() || !(0u32..).zip(public.iter().zip(&proofs)).all(holds) {
                return Err(Abort::by(j, Check::ProofOfKnowledge));
            }
        }
        // RESHARE.11  durable before anybody is told
        let persist = self.reshared.share.as_ref().map(pending_bytes);
        let turn = Turn::done(self.reshared);
        Ok(match persist {
            Some(bytes) => turn.after(Effect::Persist { what: PENDING_SHARE, bytes }),
            None => turn,
        })
    }
}

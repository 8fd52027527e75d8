//! Round V of the verified mode, and what follows it: all confirm, or all open and find out who lied.
//!
//! A party is in one of two states after round V: [`Confirmed`] has no opening to send and [`Disputed`] has no presignature to give, so
//! no party ever does both (test plan C22).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use quorate_protocol::abort::{Abort, Check};
use quorate_protocol::curve::{EcdsaCurve, Point, Scalar, SecretScalar};
use quorate_protocol::message::{Channel, Message, Nothing};
use quorate_protocol::party::{MAX_PARTIES, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{Context, Effect, Received, Round, Turn};
use quorate_protocol::wire_struct;

use super::dleq::{EqualLogs, Statement};
use super::inquiry::{Inquiry, OpenedHead, Opening};
use super::presignature::{Parts, Presignature};
use super::{Batch, Verified, kind::Kind};
use crate::exchange::{Goal, Item, Joint, Record};
use crate::key::{Key, ShownKey};
use crate::shown::Shown;
use crate::suite::MAX_ITEMS;
use crate::sums::Weights;

/// What a party says of one item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<C: EcdsaCurve> {
    /// u_i
    pub(super) u: Scalar<C>,
    /// K_i = φ_i·R
    pub(super) K: Shown<C>,
    /// C_i = v_i·R
    pub(super) C: Shown<C>,
}
wire_struct!(Claim<C: EcdsaCurve> { u, K, C });

/// Broadcast of PSIG.4.
#[derive(Clone, Debug)]
pub struct Claims<C: EcdsaCurve> {
    pub(super) items: Vec<Claim<C>>,
}
wire_struct!(Claims<C: EcdsaCurve> { items });
impl<C: EcdsaCurve> Message for Claims<C> {
    const STEP: &'static str = "PSIG.4";
    const TAG: u16 = 0x0306;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 4 + MAX_ITEMS * (32 + 2 * C::POINT_LEN);
}

/// Broadcast of PSIG.6 or PSIG.7: one or the other.
#[derive(Clone)]
pub struct Verdict<C: EcdsaCurve>(Says<C>);

#[derive(Clone)]
enum Says<C: EcdsaCurve> {
    /// D3, the digest of all broadcasts of round V
    Confirm([u8; 32]),
    Open(Box<Opening<C>>),
}

impl<C: EcdsaCurve> fmt::Debug for Verdict<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Says::Confirm(_) => "Verdict(confirm)",
            Says::Open(_) => "Verdict(open)",
        })
    }
}
impl<C: EcdsaCurve> BorshSerialize for Verdict<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        match &self.0 {
            Says::Confirm(view) => (0u8, view).serialize(writer),
            Says::Open(opening) => {
                1u8.serialize(writer)?;
                opening.serialize(writer)
            }
        }
    }
}
impl<C: EcdsaCurve> BorshDeserialize for Verdict<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        match u8::deserialize_reader(reader)? {
            0 => BorshDeserialize::deserialize_reader(reader).map(|view| Self(Says::Confirm(view))),
            1 => Opening::deserialize_reader(reader).map(|opening| Self(Says::Open(Box::new(opening)))),
            _ => Err(Error::new(ErrorKind::InvalidData, "neither a confirmation nor an opening")),
        }
    }
}
impl<C: EcdsaCurve> Message for Verdict<C> {
    const STEP: &'static str = "PSIG.6";
    const TAG: u16 = 0x0307;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 1 + 2 + 32 + 4 + MAX_PARTIES * OpenedHead::<C>::LEN + EqualLogs::<C>::LEN;
}

impl Kind for Verified {
    const ID: u8 = 2;
    type Kept<C: EcdsaCurve> = Parts<C>;

    fn reached<C: EcdsaCurve>(
        batch: Batch<Self>,
        joint: Joint<C>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Vec<Presignature<C, Self>>>, Abort> {
        let own = Claims::of(&joint.items);
        Ok(announce(batch, joint, own, ctx))
    }

    fn sign<C: EcdsaCurve>(
        presignature: Presignature<C, Self>,
        task: crate::online::Task<C>,
        ctx: &Context<'_>,
    ) -> Turn<crate::verify::Signature> {
        crate::online::sign_verified(presignature, task, ctx)
    }

    fn encode<C: EcdsaCurve>(kept: &Parts<C>, out: &mut Vec<u8>) {
        kept.encode(out);
    }
    fn decode<C: EcdsaCurve>(bytes: &[u8], parties: usize) -> Option<Parts<C>> {
        Parts::decode(bytes, parties)
    }
}

impl<C: EcdsaCurve> Claims<C> {
    /// PSIG.4 u_i, K_i = φ_i·R, C_i = v_i·R of every item
    pub(super) fn of(items: &[Item<C>]) -> Self {
        let points = Shown::all(items.iter().flat_map(|item| [item.R * item.phi.expose(), item.R * *item.v]));
        let (points, _) = points.as_chunks::<2>();
        let claims = items.iter().zip(points).map(|(item, [K, C])| Claim { u: *item.u, K: *K, C: *C });
        Self { items: claims.collect() }
    }
}

/// PSIG.4 Broadcasts claims, which an honest party has made of its items.
pub(super) fn announce<C: EcdsaCurve>(
    batch: Batch<Verified>,
    Joint { key, items, record, .. }: Joint<C>,
    own: Claims<C>,
    ctx: &Context<'_>,
) -> Turn<Made<C>> {
    let broadcast = own.clone();
    Turn::broadcast(AwaitClaims { batch, key, items, record, own }, &broadcast, ctx)
}

struct AwaitClaims<C: EcdsaCurve> {
    batch: Batch<Verified>,
    key: Key<C>,
    items: Vec<Item<C>>,
    record: Record<C>,
    own: Claims<C>,
}

type Made<C> = Vec<Presignature<C, Verified>>;

/// The sums of an item's claims.
#[derive(Clone, Copy)]
pub(super) struct Sum<C: EcdsaCurve> {
    pub(super) u: Scalar<C>,
    K: Point<C>,
    C: Point<C>,
}

/// Σ u_j, Σ K_j, Σ C_j of each item.
pub(super) fn sums<C: EcdsaCurve>(count: usize, claims: &BTreeMap<PartyIndex, Claims<C>>) -> Vec<Sum<C>> {
    let zero = Sum { u: Scalar::ZERO(), K: Point::identity(), C: Point::identity() };
    let mut sums = alloc::vec![zero; count];
    for claims in claims.values() {
        for (sum, claim) in sums.iter_mut().zip(&claims.items) {
            sum.u += claim.u;
            sum.K += claim.K.point();
            sum.C += claim.C.point();
        }
    }
    sums
}

/// PSIG.5 Σu ≠ 0, ΣK = u·G, ΣC = u·X of one item.
pub(super) fn is_sound<C: EcdsaCurve>(sum: &Sum<C>, X: &Point<C>) -> bool {
    !bool::from(sum.u.is_zero())
        && sum.K == Point::mul_base(&sum.u)
        && sum.C == Point::lincomb_vartime(&Scalar::ZERO(), &[(*X, sum.u)])
}

/// PSIG.5 The same of all items at once, with random weights; true for an unsound batch with chance 2^-128.
pub(super) fn all_sound<C: EcdsaCurve>(sums: &[Sum<C>], X: &Point<C>, weights: &mut Weights<'_>) -> bool {
    let (mut of_base, mut of_key) = (Scalar::ZERO(), Scalar::ZERO());
    let mut terms = Vec::with_capacity(2 * sums.len() + 1);
    for sum in sums {
        let (a, b) = (weights.next(), weights.next());
        terms.push((sum.K, a));
        terms.push((sum.C, b));
        of_base += -(a * sum.u);
        of_key += -(b * sum.u);
    }
    terms.push((*X, of_key));
    let nonzero = sums.iter().all(|sum| !bool::from(sum.u.is_zero()));
    nonzero && bool::from(Point::lincomb_vartime(&of_base, &terms).is_identity())
}

impl<C: EcdsaCurve> Round for AwaitClaims<C> {
    type Broadcast = Claims<C>;
    type Direct = Nothing;
    type Output = Made<C>;
    const NAME: &'static str = "claim and compare";

    fn receive(
        self,
        inbox: PerPeer<Received<Claims<C>, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Made<C>>, Abort> {
        let count = self.items.len();
        let mut claims = BTreeMap::from([(ctx.me, self.own.clone())]);
        for (j, message) in inbox {
            if message.broadcast.items.len() != count {
                return Err(Abort::by(j, Check::Malformed));
            }
            claims.insert(j, message.broadcast);
        }
        let sums = sums(count, &claims);
        if all_sound(&sums, &self.key.point(), &mut Weights(ctx.rng)) {
            return Ok(self.confirm(&sums, &claims, ctx));
        }
        // The first item that is wrong, the same for all who saw the same.
        match sums.iter().position(|sum| !is_sound(sum, &self.key.point())) {
            Some(item) => self.dispute(item, claims, ctx),
            None => Ok(self.confirm(&sums, &claims, ctx)),
        }
    }
}

impl<C: EcdsaCurve> AwaitClaims<C> {
    fn confirm(
        self,
        sums: &[Sum<C>],
        claims: &BTreeMap<PartyIndex, Claims<C>>,
        ctx: &Context<'_>,
    ) -> Turn<Made<C>> {
        // PSIG.6  D3; nothing is usable before everybody has sent the same
        let view = ctx.digest;
        let mut of: Vec<Vec<(Shown<C>, Shown<C>)>> =
            sums.iter().map(|_| Vec::with_capacity(claims.len())).collect();
        for claims in claims.values() {
            for (parts, claim) in of.iter_mut().zip(&claims.items) {
                parts.push((claim.K, claim.C));
            }
        }
        let kept = sums.iter().zip(of).map(|(sum, of)| Parts { u: sum.u, of });
        let X = ShownKey::new(self.key);
        let nonces = Shown::all(self.items.iter().map(|item| item.R));
        let items = self.items.into_iter().zip(nonces).zip(kept);
        let made = items.enumerate().map(|(at, ((item, R), kept))| Presignature {
            place: self.batch.place(at, R, X.clone(), view, ctx),
            phi: item.phi,
            v: SecretScalar::new(*item.v),
            kept,
        });
        let state = Confirmed { view, made: made.collect() };
        Turn::broadcast(state, &Verdict(Says::Confirm(view)), ctx)
    }

    fn dispute(
        self,
        item: usize,
        claims: BTreeMap<PartyIndex, Claims<C>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Made<C>>, Abort> {
        let subject = Goal::<C>::subject(&self.batch, item);
        let incomplete = || Abort::by(ctx.me, Check::Presignature);
        let ours = self.items.get(item).ok_or_else(incomplete)?;
        // PSIG.7  φ_i, what i received, and a proof about C_i; v_i stays closed
        let v = SecretScalar::new(*ours.v);
        let statement = Statement {
            session: ctx.session,
            prover: ctx.id_of(ctx.me),
            subject,
            R: ours.R,
            V: v.public(),
            C: self.own.items.get(item).ok_or_else(incomplete)?.C.point(),
        };
        let head = |(request, heads): &([u8; 32], Vec<_>)| {
            heads.get(item).map(|head| OpenedHead { request: *request, head: *head })
        };
        let heads: Option<Vec<_>> = self.record.heads.values().map(head).collect();
        let opening = Opening {
            item: u16::try_from(item).unwrap_or(u16::MAX),
            phi: ours.phi.expose(),
            heads: heads.ok_or_else(incomplete)?,
            proof: EqualLogs::prove(&statement, &v, ctx.rng),
        };
        let claims = claims.into_iter().filter_map(|(j, c)| c.items.get(item).map(|c| (j, *c))).collect();
        let inquiry =
            Inquiry { subject, item, R: ours.R, opens: self.record.opens, claims, openings: BTreeMap::new() };
        let broadcast = Verdict(Says::Open(Box::new(opening.clone())));
        let turn = Turn::broadcast(Disputed { inquiry, own: opening }, &broadcast, ctx);
        // Nothing of this session is ever used: φ and u together tell r.
        Ok(turn.after(Effect::Consume))
    }
}

/// We have confirmed. There is nothing here to open.
struct Confirmed<C: EcdsaCurve> {
    view: [u8; 32],
    made: Made<C>,
}

impl<C: EcdsaCurve> Round for Confirmed<C> {
    type Broadcast = Verdict<C>;
    type Direct = Nothing;
    type Output = Made<C>;
    const NAME: &'static str = "confirm";

    fn receive(
        self,
        inbox: PerPeer<Received<Verdict<C>, Nothing>>,
        _: &mut Context<'_>,
    ) -> Result<Turn<Made<C>>, Abort> {
        // PSIG.8  the same D3 from all; who saw what we saw has no reason to open
        for (j, message) in inbox {
            match message.broadcast.0 {
                Says::Confirm(view) if view == self.view => {}
                _ => return Err(Abort::by(j, Check::Confirmation)),
            }
        }
        Ok(Turn::done(self.made))
    }
}

/// We have opened. There is no presignature here any more.
struct Disputed<C: EcdsaCurve> {
    inquiry: Inquiry<C>,
    own: Opening<C>,
}

impl<C: EcdsaCurve> Round for Disputed<C> {
    type Broadcast = Verdict<C>;
    type Direct = Nothing;
    type Output = Made<C>;
    const NAME: &'static str = "open and find the liar";

    fn receive(
        self,
        inbox: PerPeer<Received<Verdict<C>, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Made<C>>, Abort> {
        let Self { mut inquiry, own } = self;
        let item = own.item;
        inquiry.openings.insert(ctx.me, own);
        // PSIG.9  an opening of the same item from all; who saw what we saw has no reason to confirm
        for (j, message) in inbox {
            match message.broadcast.0 {
                Says::Open(opening) if opening.item == item => inquiry.openings.insert(j, *opening),
                _ => return Err(Abort::by(j, Check::Confirmation)),
            };
        }
        Err(inquiry.verdict(ctx))
    }
}

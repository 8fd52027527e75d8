//! Many signatures in one session. Spec: `spec/26-batch.md`, steps BATCH.1–BATCH.6.
//!
//! | state           | waits for                             | runs            |
//! |-----------------|---------------------------------------|-----------------|
//! | the exchange    | the messages of [`sign`](crate::sign) | BATCH.1–BATCH.3 |
//! | [`Orders`]      | nothing                               | BATCH.4         |
//! | `AwaitPartials` | [`Partials`]                          | BATCH.5–BATCH.6 |
#![expect(non_snake_case, reason = "capital letters are group elements, as in the paper")]

use alloc::sync::Arc;
use alloc::vec::Vec;

use quorate_keys::share::KeyShare;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{EcdsaCurve, Point, Scalar};
use quorate_protocol::message::{Channel, Message, Nothing};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{BadParams, Context, Effect, Params, Received, Round, Session, Turn};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_protocol::wire_struct;

use crate::exchange::{Goal, Joint, start as exchange};
use crate::key::Key;
use crate::setup::PairwiseSetup;
use crate::suite::MAX_ITEMS;
use crate::verify::{Nonce, Signature};

/// Most signatures of one session.
pub const MAX_BATCH: usize = 256;
const _: () = assert!(MAX_ITEMS == MAX_BATCH);

/// One of the signatures to make.
#[derive(Clone, Copy, Debug)]
pub struct Order<C: EcdsaCurve> {
    /// The digest.
    pub digest: [u8; 32],
    /// ε: what derivation adds to the private key; zero for the key itself.
    pub tweak: Scalar<C>,
}

impl<C: EcdsaCurve> Order<C> {
    /// What the bindings of an item are about: the order, and where it stands in a batch of so many.
    fn subject(&self, at: usize, count: usize) -> [u8; 32] {
        let number = |n| u64::try_from(n).unwrap_or(u64::MAX);
        Transcript::new(tags::BATCH_ITEM)
            .absorb_u64("count", number(count))
            .absorb_u64("item", number(at))
            .absorb("digest", &self.digest)
            .absorb("tweak", &self.tweak.to_bytes())
            .digest()
    }
}

/// Names a list of orders: what the session identifier must bind, so that parties who were told different lists never meet.
pub fn list<C: EcdsaCurve>(orders: &[Order<C>]) -> [u8; 32] {
    let items: Vec<_> =
        orders.iter().enumerate().map(|(at, order)| order.subject(at, orders.len())).collect();
    Transcript::new(tags::BATCH_LIST).absorb_all("items", items.iter()).digest()
}

/// Message of BATCH.4: our parts of all signatures, the same to all.
#[derive(Clone, Debug)]
pub struct Partials<C: EcdsaCurve> {
    parts: Vec<Partial<C>>,
}
wire_struct!(Partials<C: EcdsaCurve> { parts });
impl<C: EcdsaCurve> Message for Partials<C> {
    const STEP: &'static str = "BATCH.4";
    const TAG: u16 = 0x030a;
    const CHANNEL: Channel = Channel::Direct;
    const MAX_LEN: usize = 4 + MAX_BATCH * 64;
    fn len_hint(&self) -> usize {
        4 + self.parts.len() * 64
    }
}

#[derive(Clone, Copy, Debug)]
struct Partial<C: EcdsaCurve> {
    /// w_i
    w: Scalar<C>,
    /// u_i
    u: Scalar<C>,
}
wire_struct!(Partial<C: EcdsaCurve> { w, u });

/// Starts signing 1 to [`MAX_BATCH`] digests with the quorum `params.committee`: the signatures come in the order of the digests, all or
/// none. The same digest may stand there more than once; each time it is signed with another nonce.
///
/// Three rounds as in [`sign::start`](crate::sign::start), whose conditions hold here too: the session identifier is unique and binds the
/// epoch, the quorum, [`list`] of the orders and the request that allowed them. A failed check ends the whole session. Where it is about
/// one signature, [`Abort::item`] says which.
///
/// # Errors
/// [`BadParams`] if there are none or too many orders, a digest is zero, a derived key is the identity, the quorum is not minimal, the
/// set-up belongs to another epoch, or a pair is burned.
pub fn start<C: EcdsaCurve>(
    params: Params,
    share: &KeyShare<C>,
    setup: Arc<PairwiseSetup<C>>,
    orders: Vec<Order<C>>,
) -> Result<Session<Vec<Signature>>, BadParams> {
    // BATCH.1
    if !(1..=MAX_BATCH).contains(&orders.len()) {
        return Err(BadParams::Unsuitable("a batch has 1 to 256 signatures"));
    }
    if orders.iter().any(|order| bool::from(Scalar::<C>::from_digest(&order.digest).is_zero())) {
        return Err(BadParams::Unsuitable("a digest of the batch is zero modulo the group order"));
    }
    let X = share.public().public_key();
    if orders.iter().any(|order| bool::from(above(X, &order.tweak).is_identity())) {
        return Err(BadParams::Unsuitable("a key of the batch is the identity"));
    }
    // If entropy and session ever repeat together, another list still gets other nonces.
    let hedge = list(&orders);
    // BATCH.2, BATCH.3  the exchange of `spec/24-sign.md`, with an item for each order
    exchange(params, share, setup, Orders(orders), &hedge)
}

/// X' = X + ε·G
fn above<C: EcdsaCurve>(X: Point<C>, tweak: &Scalar<C>) -> Point<C> {
    if bool::from(tweak.is_zero()) { X } else { X + Point::mul_base(tweak) }
}

/// The goal of the exchange: a signature for each order under its own X'.
struct Orders<C: EcdsaCurve>(Vec<Order<C>>);

impl<C: EcdsaCurve> Goal<C> for Orders<C> {
    type Output = Vec<Signature>;

    fn count(&self) -> usize {
        self.0.len()
    }
    fn subject(&self, item: usize) -> [u8; 32] {
        // The exchange asks for no other item than there are.
        self.0.get(item).map(|order| order.subject(item, self.0.len())).unwrap_or_default()
    }
    fn reached(self, joint: Joint<C>, ctx: &mut Context<'_>) -> Result<Turn<Vec<Signature>>, Abort> {
        let (mut tasks, mut parts) = (Vec::with_capacity(self.0.len()), Vec::with_capacity(self.0.len()));
        for ((order, item), nonce) in self.0.into_iter().zip(&joint.items).zip(joint.nonces) {
            // BATCH.4  w_i = (m + r_x·ε)·φ_i + r_x·v_i
            let e = Scalar::from_digest(&order.digest) + nonce.r * order.tweak;
            parts.push(Partial { w: e * item.phi.expose() + nonce.r * *item.v, u: *item.u });
            tasks.push((e, nonce));
        }
        let own = Partials { parts };
        let messages = PerPeer::from_fn(ctx.committee, ctx.me, |_| own.clone());
        Ok(Turn::next(AwaitPartials { key: joint.key, tasks, own }, &Nothing, messages)
            .after(Effect::Consume))
    }
}

struct AwaitPartials<C: EcdsaCurve> {
    key: Key<C>,
    /// m + r_x·ε and R of each; public
    tasks: Vec<(Scalar<C>, Nonce<C>)>,
    own: Partials<C>,
}

impl<C: EcdsaCurve> Round for AwaitPartials<C> {
    type Broadcast = Nothing;
    type Direct = Partials<C>;
    type Output = Vec<Signature>;
    const NAME: &'static str = "combine all";
    const LAST: bool = true;

    fn receive(
        self,
        inbox: PerPeer<Received<Nothing, Partials<C>>>,
        _: &mut Context<'_>,
    ) -> Result<Turn<Vec<Signature>>, Abort> {
        let mut sums = self.own.parts;
        // BATCH.5  s = Σ w_j / Σ u_j of each, made low
        for (j, message) in inbox {
            if message.direct.parts.len() != sums.len() {
                return Err(Abort::by(j, Check::Malformed));
            }
            for (sum, part) in sums.iter_mut().zip(message.direct.parts) {
                sum.w += part.w;
                sum.u += part.u;
            }
        }
        // BATCH.6  nothing leaves unless all of it verifies
        let why = "partial signatures cannot be told apart without verified presignatures";
        let made = self.tasks.iter().zip(sums).enumerate().map(|(at, ((e, nonce), Partial { w, u }))| {
            nonce
                .sign(&self.key, *e, w, u)
                .ok_or_else(|| Abort::new(Check::FinalSignature, Blame::Nobody(why)).of_item(at))
        });
        made.collect::<Result<Vec<_>, _>>().map(Turn::done)
    }
}

//! Interactive signing in three rounds. Spec: `spec/24-sign.md`, steps SIGN.1–SIGN.12 (DKLs23, section 3).
//!
//! | state             | waits for                | runs              |
//! |-------------------|--------------------------|-------------------|
//! | the exchange      | [`Commit`], [`Multiply`], then [`Open`], [`Product`] | SIGN.1–SIGN.9 |
//! | `Digest`          | nothing                  | SIGN.10           |
//! | `AwaitPartial`    | [`Partial`]              | SIGN.11–SIGN.12   |
#![expect(non_snake_case, reason = "capital letters are group elements, as in the paper")]

use alloc::sync::Arc;

use quorate_keys::share::KeyShare;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{EcdsaCurve, Point, Scalar};
use quorate_protocol::message::{Channel, Message, Nothing};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{BadParams, Context, Effect, Params, Received, Round, Session, Turn};
use quorate_protocol::wire_struct;

pub use crate::exchange::{Commit, Multiply, Open, Product};
use crate::exchange::{Goal, Joint, start as exchange};
use crate::setup::PairwiseSetup;
use crate::verify::{Nonce, Signature, verify};

/// Message of SIGN.10: our part of the signature, the same to all.
#[derive(Clone, Copy, Debug)]
pub struct Partial<C: EcdsaCurve> {
    /// w_i
    w: Scalar<C>,
    /// u_i
    u: Scalar<C>,
}
wire_struct!(Partial<C: EcdsaCurve> { w, u });
impl<C: EcdsaCurve> Message for Partial<C> {
    const STEP: &'static str = "SIGN.10";
    const TAG: u16 = 0x0305;
    const CHANNEL: Channel = Channel::Direct;
    const MAX_LEN: usize = 64;
}

/// Starts signing a 32-byte digest with the quorum `params.committee`.
///
/// Three rounds; the first two carry one private message to each peer, so channels must be encrypted. The caller guarantees that the
/// session identifier is unique and binds the epoch, the quorum, the digest and the request that allowed it
/// ([`PublicPackage::session_id`](quorate_keys::share::PublicPackage::session_id)), and that it refuses raw digests of strangers. A failed
/// check against the long-lived OT instances asks for [`Effect::Burn`], durable before anything else leaves.
///
/// # Errors
/// [`BadParams`] if the quorum is not minimal, the set-up belongs to another epoch, a pair is burned, or the digest is zero.
pub fn start<C: EcdsaCurve>(
    params: Params,
    share: &KeyShare<C>,
    setup: Arc<PairwiseSetup<C>>,
    digest: [u8; 32],
) -> Result<Session<Signature>, BadParams> {
    // Not only 32 zero bytes: the order itself is zero too.
    if bool::from(Scalar::<C>::from_digest(&digest).is_zero()) {
        return Err(BadParams::Unsuitable("the digest is zero modulo the group order"));
    }
    // If entropy and session ever repeat together, another digest still gets other nonces.
    exchange(params, share, setup, Digest(digest), &digest)
}

/// The goal of the exchange: one signature of this digest.
struct Digest([u8; 32]);

impl<C: EcdsaCurve> Goal<C> for Digest {
    type Output = Signature;

    fn count(&self) -> usize {
        1
    }
    fn subject(&self, _: usize) -> [u8; 32] {
        self.0
    }
    fn reached(self, joint: Joint<C>, ctx: &mut Context<'_>) -> Result<Turn<Signature>, Abort> {
        let Joint { X, items, .. } = joint;
        let Some(item) = items.first() else {
            return Err(Abort::new(Check::DegenerateNonce, Blame::Nobody("there is no nonce")));
        };
        let nonce = Nonce::of(&item.R);
        // SIGN.10  w_i = m·φ_i + r_x·v_i
        let w = Scalar::from_digest(&self.0) * item.phi.expose() + nonce.r * *item.v;
        let partial = Partial { w, u: *item.u };
        let messages = PerPeer::from_fn(ctx.committee, ctx.me, |_| partial);
        let next = AwaitPartial { X, digest: self.0, nonce, own: partial };
        Ok(Turn::next(next, &Nothing, messages).after(Effect::Consume))
    }
}

struct AwaitPartial<C: EcdsaCurve> {
    X: Point<C>,
    digest: [u8; 32],
    nonce: Nonce<C>,
    own: Partial<C>,
}

impl<C: EcdsaCurve> Round for AwaitPartial<C> {
    type Broadcast = Nothing;
    type Direct = Partial<C>;
    type Output = Signature;
    const NAME: &'static str = "combine";

    fn receive(
        self,
        inbox: PerPeer<Received<Nothing, Partial<C>>>,
        _: &mut Context<'_>,
    ) -> Result<Turn<Signature>, Abort> {
        // SIGN.11  s = Σ w_j / Σ u_j, made low
        let (mut w, mut u) = (self.own.w, self.own.u);
        for (_, message) in inbox {
            w += message.direct.w;
            u += message.direct.u;
        }
        // SIGN.12  nothing leaves that does not verify
        self.nonce
            .signature(w * u.invert())
            .filter(|signature| verify(&self.X, &self.digest, &signature.bytes))
            .map(Turn::done)
            .ok_or_else(|| {
                let why = "partial signatures cannot be told apart without verified presignatures";
                Abort::new(Check::FinalSignature, Blame::Nobody(why))
            })
    }
}

//! Interactive signing in three rounds. Spec: `spec/24-sign.md`, steps SIGN.1–SIGN.12 (DKLs23, section 3).
//!
//! | state             | waits for                | runs              |
//! |-------------------|--------------------------|-------------------|
//! | the exchange      | [`Commit`], [`Multiply`], then [`Open`], [`Product`] | SIGN.1–SIGN.9 |
//! | `Digest`          | nothing                  | SIGN.10           |
//! | `fraction`        | [`Partial`]              | SIGN.11–SIGN.12   |

use alloc::sync::Arc;

use quorate_keys::share::KeyShare;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{EcdsaCurve, Scalar};
use quorate_protocol::message::{Channel, Message};
use quorate_protocol::session::{BadParams, Context, Effect, Params, Session, Turn};
use quorate_protocol::wire_struct;

pub use crate::exchange::{Commit, Multiply, Open, Product};
use crate::exchange::{Goal, Joint, start as exchange};
use crate::fraction::{self, Fraction};
use crate::setup::PairwiseSetup;
use crate::verify::Signature;

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

impl<C: EcdsaCurve> Fraction<C> for Partial<C> {
    fn parts(&self) -> (Scalar<C>, Scalar<C>) {
        (self.w, self.u)
    }
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
        let Joint { key, items, nonces, .. } = joint;
        let Some((item, nonce)) = items.first().zip(nonces.into_iter().next()) else {
            return Err(Abort::new(Check::DegenerateNonce, Blame::Nobody("there is no nonce")));
        };
        // SIGN.10  w_i = m·φ_i + r_x·v_i
        let m = Scalar::from_digest(&self.0);
        let w = m * item.phi.expose() + nonce.r * *item.v;
        let partial = Partial { w, u: *item.u };
        // SIGN.11, SIGN.12  s = Σ w_j / Σ u_j, made low; nothing leaves that does not verify
        let join = move |w: Scalar<C>, u: Scalar<C>| nonce.sign(&key, m, w, u);
        Ok(fraction::sum(partial, join, ctx).after(Effect::Consume))
    }
}

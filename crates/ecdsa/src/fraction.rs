//! The last step of every signature whose parts cannot be checked one by one: everybody says its parts of numerator and denominator, and
//! what verifies is the signature. Spec: `spec/24-sign.md`, SIGN.11–SIGN.12; `spec/24-presign.md`, ONL.6.

use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{EcdsaCurve, Scalar};
use quorate_protocol::message::{Message, Nothing};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{Context, Received, Round, Turn};

use crate::verify::Signature;

/// A message with the sender's parts of both sums, the same to all.
pub(crate) trait Fraction<C: EcdsaCurve>: Message + Copy + Send + 'static {
    /// `(w_j, u_j)` with `s = Σ w_j / Σ u_j` up to what all know.
    fn parts(&self) -> (Scalar<C>, Scalar<C>);
}

/// Sends our parts and waits for those of everybody else. `join` makes a signature of both sums, if that verifies.
pub(crate) fn sum<C, M, F>(own: M, join: F, ctx: &Context<'_>) -> Turn<Signature>
where
    C: EcdsaCurve,
    M: Fraction<C>,
    F: FnOnce(Scalar<C>, Scalar<C>) -> Option<Signature> + Send + 'static,
{
    let messages = PerPeer::from_fn(ctx.committee, ctx.me, |_| own);
    let (w, u) = own.parts();
    Turn::next(AwaitFractions { w, u, join, from: core::marker::PhantomData::<M> }, &Nothing, messages)
}

struct AwaitFractions<C: EcdsaCurve, M, F> {
    w: Scalar<C>,
    u: Scalar<C>,
    join: F,
    from: core::marker::PhantomData<M>,
}

impl<C, M, F> Round for AwaitFractions<C, M, F>
where
    C: EcdsaCurve,
    M: Fraction<C>,
    F: FnOnce(Scalar<C>, Scalar<C>) -> Option<Signature> + Send + 'static,
{
    type Broadcast = Nothing;
    type Direct = M;
    type Output = Signature;
    const NAME: &'static str = "combine";
    const LAST: bool = true;

    fn receive(
        self,
        inbox: PerPeer<Received<Nothing, M>>,
        _: &mut Context<'_>,
    ) -> Result<Turn<Signature>, Abort> {
        let (mut w, mut u) = (self.w, self.u);
        for (_, message) in inbox {
            let (w_j, u_j) = message.direct.parts();
            w += w_j;
            u += u_j;
        }
        // Nothing leaves that does not verify.
        let why = "partial signatures cannot be told apart without verified presignatures";
        let wrong = || Abort::new(Check::FinalSignature, Blame::Nobody(why));
        (self.join)(w, u).map(Turn::done).ok_or_else(wrong)
    }
}

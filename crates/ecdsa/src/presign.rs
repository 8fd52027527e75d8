//! Presignatures: everything of a signature that does not depend on the message, for one or for many signatures at once. Spec:
//! `spec/24-presign.md`, steps PSIG.1–PSIG.10. A design of our own for the verified mode, without outside review.
//!
//! | state             | waits for                | runs              |
//! |-------------------|--------------------------|-------------------|
//! | the exchange      | the messages of [`sign`](crate::sign) | PSIG.1–PSIG.2 |
//! | [`Plain`]: done   | nothing                  | PSIG.3            |
//! | `AwaitClaims`     | [`Claims`]               | PSIG.5–PSIG.7     |
//! | `Confirmed`       | [`Verdict`]              | PSIG.8            |
//! | `Disputed`        | [`Verdict`]              | PSIG.9–PSIG.10    |
#![expect(non_snake_case, reason = "capital letters are group elements, as in the paper")]

mod dleq;
mod inquiry;
mod presignature;
mod verified;

pub use self::presignature::{Place, Presignature, PublicPresignature};
pub use self::verified::{Claims, Verdict};

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use quorate_keys::share::KeyShare;
use quorate_protocol::abort::Abort;
use quorate_protocol::curve::{EcdsaCurve, Scalar, SecretScalar};
use quorate_protocol::session::{BadParams, Context, Params, Session, Turn};
use quorate_protocol::transcript::{Transcript, tags};

use crate::exchange::{Goal, Joint, start as exchange};
use crate::key::ShownKey;
use crate::setup::PairwiseSetup;
use crate::shown::Shown;
use crate::suite::MAX_ITEMS;

/// Most presignatures of one session.
pub const MAX_BATCH: u16 = 256;
const _: () = assert!(MAX_ITEMS == 256);

/// How presignatures are made. There are two: [`Plain`] and [`Verified`].
pub trait Mode: kind::Kind {}

/// Two rounds. Whoever makes a signature fail cannot be named.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

/// Four rounds. Every partial signature can be checked, so whoever makes a signature fail is named.
#[derive(Clone, Copy, Debug)]
pub struct Verified;

impl Mode for Plain {}
impl Mode for Verified {}

pub(crate) mod kind {
    use super::{Abort, Batch, Context, EcdsaCurve, Joint, Mode, Presignature, Turn, Vec};
    use crate::online::Task;
    use crate::verify::Signature;

    /// What differs between the modes.
    pub trait Kind: Send + Sync + Sized + 'static {
        /// Names the mode in encodings and hashes.
        const ID: u8;
        /// What a presignature keeps beside φ_i and v_i.
        type Kept<C: EcdsaCurve>: Send + Sync + 'static;
        /// What follows the exchange.
        ///
        /// # Errors
        /// An abort.
        fn reached<C: EcdsaCurve>(
            batch: Batch<Self>,
            joint: Joint<C>,
            ctx: &mut Context<'_>,
        ) -> Result<Turn<Vec<Presignature<C, Self>>>, Abort>
        where
            Self: Mode;
        /// The first and only message of a signature.
        fn sign<C: EcdsaCurve>(
            presignature: Presignature<C, Self>,
            task: Task<C>,
            ctx: &Context<'_>,
        ) -> Turn<Signature>
        where
            Self: Mode;
        /// Appends the encoding of what is kept.
        fn encode<C: EcdsaCurve>(kept: &Self::Kept<C>, out: &mut Vec<u8>);
        /// Decodes it, for a quorum of so many; takes all bytes.
        fn decode<C: EcdsaCurve>(bytes: &[u8], parties: usize) -> Option<Self::Kept<C>>;
    }
}

/// The goal of the exchange: `count` presignatures.
pub struct Batch<M> {
    count: usize,
    epoch_id: [u8; 32],
    mode: core::marker::PhantomData<M>,
}

impl<M> fmt::Debug for Batch<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({})", self.count)
    }
}

/// Starts making `count` presignatures with the quorum `params.committee`.
///
/// The first two rounds are those of a signature and have its checks, its blame and its burns (`spec/24-sign.md`). The caller guarantees
/// that the session identifier is unique. In verified mode, [`Effect::Consume`](quorate_protocol::session::Effect::Consume) precedes an
/// opening: nothing of this session may be used any more; the session then ends with the name of whoever lied.
///
/// # Errors
/// [`BadParams`] if the count is not 1 to [`MAX_BATCH`], the quorum is not minimal, the set-up belongs to another epoch, or a pair is
/// burned.
pub fn start<C: EcdsaCurve, M: Mode>(
    params: Params,
    share: &KeyShare<C>,
    setup: Arc<PairwiseSetup<C>>,
    count: u16,
    _: M,
) -> Result<Session<Vec<Presignature<C, M>>>, BadParams> {
    if !(1..=MAX_BATCH).contains(&count) {
        return Err(BadParams::Unsuitable("a batch has 1 to 256 presignatures"));
    }
    // PSIG.1  the exchange of `spec/24-sign.md`, `count` items at once
    let batch = Batch {
        count: count.into(),
        epoch_id: share.public().epoch_id(),
        mode: core::marker::PhantomData::<M>,
    };
    exchange(params, share, setup, batch, &[M::ID])
}

impl<C: EcdsaCurve, M: Mode> Goal<C> for Batch<M> {
    type Output = Vec<Presignature<C, M>>;

    fn count(&self) -> usize {
        self.count
    }
    // PSIG.2  the bindings are about mode, count and item
    fn subject(&self, item: usize) -> [u8; 32] {
        let number = |n| u64::try_from(n).unwrap_or(u64::MAX);
        Transcript::new(tags::PRESIGN_ITEM)
            .absorb("epoch", &self.epoch_id)
            .absorb("mode", &[M::ID])
            .absorb_u64("count", number(self.count))
            .absorb_u64("item", number(item))
            .digest()
    }
    fn reached(self, joint: Joint<C>, ctx: &mut Context<'_>) -> Result<Turn<Self::Output>, Abort> {
        M::reached(self, joint, ctx)
    }
}

impl<M: Mode> Batch<M> {
    /// Where an item stands, once `view` says what all parties saw.
    fn place<C: EcdsaCurve>(
        &self,
        item: usize,
        R: Shown<C>,
        X: ShownKey<C>,
        view: [u8; 32],
        ctx: &Context<'_>,
    ) -> Place<C> {
        Place {
            epoch_id: self.epoch_id,
            session: ctx.session,
            view,
            item: u16::try_from(item).unwrap_or(u16::MAX),
            me: ctx.me,
            quorum: ctx.committee.clone(),
            X,
            R,
        }
    }
}

impl kind::Kind for Plain {
    const ID: u8 = 1;
    /// u_i
    type Kept<C: EcdsaCurve> = SecretScalar<C>;

    fn reached<C: EcdsaCurve>(
        batch: Batch<Self>,
        Joint { key, items, .. }: Joint<C>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Vec<Presignature<C, Self>>>, Abort> {
        // PSIG.3  (φ_i, u_i, v_i); parties that saw other messages in round 2 will not find each other in the online step
        let view = ctx.digest;
        let X = ShownKey::new(key);
        let nonces = Shown::all(items.iter().map(|item| item.R));
        let made = items.into_iter().zip(nonces).enumerate().map(|(at, (item, R))| Presignature {
            place: batch.place(at, R, X.clone(), view, ctx),
            phi: item.phi,
            v: SecretScalar::new(*item.v),
            kept: SecretScalar::new(*item.u),
        });
        Ok(Turn::done(made.collect()))
    }

    fn sign<C: EcdsaCurve>(
        presignature: Presignature<C, Self>,
        task: crate::online::Task<C>,
        ctx: &Context<'_>,
    ) -> Turn<crate::verify::Signature> {
        crate::online::sign_plain(presignature, task, ctx)
    }

    fn encode<C: EcdsaCurve>(kept: &SecretScalar<C>, out: &mut Vec<u8>) {
        out.extend_from_slice(&*zeroize::Zeroizing::new(kept.expose().to_bytes()));
    }
    fn decode<C: EcdsaCurve>(bytes: &[u8], _: usize) -> Option<SecretScalar<C>> {
        Scalar::from_bytes(bytes.try_into().ok()?).map(SecretScalar::new)
    }
}

#[cfg(test)]
mod tests;

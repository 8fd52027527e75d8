//! Signing from a presignature: one message. Spec: `spec/24-presign.md`, steps ONL.1–ONL.7.
//!
//! Every signature is made with a nonce point that the request changes (ONL.2): there is no other way to use a presignature.
//!
//! A presignature signs for a request, and a request has the ρ that changes the nonce point:
//!
//! ```
//! # use quorate_ecdsa::{Presignature, Signature, online::{self, Request}, presign::Verified};
//! # use quorate_protocol::curve::{Point, Scalar, Secp256k1};
//! # use quorate_protocol::session::{BadParams, Params, Session};
//! fn sign_later(
//!     pooled: Presignature<Secp256k1, Verified>,
//!     epoch: &[u8; 32],
//!     params: Params,
//!     [digest, rho]: [[u8; 32]; 2],
//!     (tweak, public_key): (Scalar<Secp256k1>, Point<Secp256k1>),
//! ) -> Result<Session<Signature>, BadParams> {
//!     online::start(params, pooled, epoch, Request { digest, tweak, public_key, rho })
//! }
//! ```
//!
//! Without ρ there is no request, and so no signature of a derived key from a pool (the attack that adds up four sums):
//!
//! ```compile_fail,E0063
//! # use quorate_ecdsa::{Presignature, Signature, online::{self, Request}, presign::Verified};
//! # use quorate_protocol::curve::{Point, Scalar, Secp256k1};
//! # use quorate_protocol::session::{BadParams, Params, Session};
//! fn sign_later(
//!     pooled: Presignature<Secp256k1, Verified>,
//!     epoch: &[u8; 32],
//!     params: Params,
//!     [digest, rho]: [[u8; 32]; 2],
//!     (tweak, public_key): (Scalar<Secp256k1>, Point<Secp256k1>),
//! ) -> Result<Session<Signature>, BadParams> {
//!     online::start(params, pooled, epoch, Request { digest, tweak, public_key })
//! }
//! ```
//!
//! Two presignatures sign twice:
//!
//! ```
//! # use quorate_ecdsa::{Presignature, online::{self, Request}, presign::Verified};
//! # use quorate_protocol::curve::Secp256k1;
//! # use quorate_protocol::session::Params;
//! fn sign_twice(
//!     [first, second]: [Presignature<Secp256k1, Verified>; 2],
//!     epoch: &[u8; 32],
//!     [one, other]: [(Params, Request<Secp256k1>); 2],
//! ) {
//!     let a = online::start(one.0, first, epoch, one.1);
//!     let b = online::start(other.0, second, epoch, other.1);
//! }
//! ```
//!
//! and one does not, whether or not the first session ever started:
//!
//! ```compile_fail,E0382
//! # use quorate_ecdsa::{Presignature, online::{self, Request}, presign::Verified};
//! # use quorate_protocol::curve::Secp256k1;
//! # use quorate_protocol::session::Params;
//! fn sign_twice(
//!     [first, second]: [Presignature<Secp256k1, Verified>; 2],
//!     epoch: &[u8; 32],
//!     [one, other]: [(Params, Request<Secp256k1>); 2],
//! ) {
//!     let a = online::start(one.0, first, epoch, one.1);
//!     let b = online::start(other.0, first, epoch, other.1);
//! }
//! ```
#![expect(non_snake_case, reason = "capital letters are group elements, as in the paper")]

mod statement;

pub use statement::proves_wrong_partial;

use alloc::vec::Vec;

use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{EcdsaCurve, Point, Scalar, WIDE_LEN};
use quorate_protocol::message::{Channel, Message, Nothing};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{
    BadParams, Context, Effect, Params, Received, Round, Session, SessionId, Turn,
};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_protocol::wire_struct;

use crate::fraction::{self, Fraction};
use crate::key::Key;
use crate::presign::{Mode, Place, Plain, Presignature, PublicPresignature, Verified};
use crate::shown::Shown;
use crate::verify::{Nonce, Signature};
use statement::Statement;

/// What to sign.
#[derive(Clone, Debug)]
pub struct Request<C: EcdsaCurve> {
    /// The digest.
    pub digest: [u8; 32],
    /// ε: what derivation adds to the private key; zero for the key itself.
    pub tweak: Scalar<C>,
    /// The key that signs: `X + ε·G`.
    pub public_key: Point<C>,
    /// ρ: a hash over fresh random bytes of everybody who approved the request. Nobody must know it while digest and tweak can still be
    /// chosen.
    pub rho: [u8; 32],
}

impl<C: EcdsaCurve> Place<C> {
    /// The name that the session of this request has: parties that hold another presignature or request have another one, and drop each
    /// other's messages.
    pub fn session_id(&self, request: &Request<C>) -> SessionId {
        // To encode a point takes an inversion, and mostly it is the one that is encoded already.
        let derived = (self.X.point() != request.public_key).then(|| Shown::new(request.public_key));
        let digest = Transcript::new(tags::ONLINE)
            .absorb("presignature", &self.id())
            .absorb("digest", &request.digest)
            .absorb("tweak", &request.tweak.to_bytes())
            .absorb("public key", derived.as_ref().map_or_else(|| self.X.bytes(), Shown::bytes))
            .absorb("rho", &request.rho)
            .digest();
        SessionId(digest)
    }
}

/// A request joined with the presignature that answers it; public.
pub struct Task<C: EcdsaCurve> {
    session: SessionId,
    /// of X
    key: Key<C>,
    R: Shown<C>,
    /// δ
    delta: Scalar<C>,
    /// of R' = δ·R
    nonce: Nonce<C>,
    /// m + r'_x·ε
    e: Scalar<C>,
}

impl<C: EcdsaCurve> core::fmt::Debug for Task<C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Task(..)")
    }
}

impl<C: EcdsaCurve> Task<C> {
    fn new(place: &Place<C>, session: SessionId, request: Request<C>) -> Result<Self, BadParams> {
        let m = Scalar::from_digest(&request.digest);
        // ONL.1  the digest is not zero, the key is the derived one
        if bool::from(m.is_zero()) {
            return Err(BadParams::Unsuitable("the digest is zero modulo the group order"));
        }
        let X = place.X.point();
        let derived =
            if bool::from(request.tweak.is_zero()) { X } else { X + Point::mul_base(&request.tweak) };
        if derived != request.public_key || bool::from(derived.is_identity()) {
            return Err(BadParams::Unsuitable("the public key is not derived by the tweak"));
        }
        // ONL.2  δ as a hash of the session's name, which covers presignature and request; R' = δ·R
        let mut wide = [0; WIDE_LEN];
        Transcript::new(tags::RERANDOMISE)
            .absorb("curve", C::ID.name().as_bytes())
            .absorb("session", &session.0)
            .xof()
            .fill(&mut wide);
        let delta = Scalar::from_wide(&wide);
        let R = place.R;
        let R_changed = Point::lincomb_vartime(&Scalar::ZERO(), &[(R.point(), delta)]);
        let degenerate =
            BadParams::Unsuitable("the nonce of this presignature is degenerate for this request");
        if bool::from(R_changed.is_identity()) {
            return Err(degenerate);
        }
        let nonce = Nonce::of(&R_changed);
        if bool::from(nonce.r.is_zero()) {
            return Err(degenerate);
        }
        let e = m + nonce.r * request.tweak;
        Ok(Self { session, key: place.X.key().clone(), R, delta, nonce, e })
    }

    /// ONL.3 w_i = (m + r'_x·ε)·φ_i + r'_x·v_i
    pub(crate) fn weigh(&self, phi: Scalar<C>, v: Scalar<C>) -> Scalar<C> {
        self.e * phi + self.nonce.r * v
    }
    pub(crate) fn partial<M: Mode>(&self, presignature: &Presignature<C, M>) -> Scalar<C> {
        self.weigh(presignature.phi.expose(), presignature.v.expose())
    }
    #[cfg(test)]
    pub(crate) fn for_tests(place: &Place<C>, request: Request<C>) -> Self {
        Self::new(place, place.session_id(&request), request).unwrap()
    }

    /// ONL.4 s = Σw / (δ·u), if it gives a signature that verifies.
    fn join(&self, w: Scalar<C>, u: Scalar<C>) -> Option<Signature> {
        self.nonce.sign(&self.key, self.e, w, self.delta * u)
    }

    /// ONL.7 what j signs about w_j
    fn statement(&self, public: &PublicPresignature<C>, j: PartyIndex, w: Scalar<C>) -> Option<Statement<C>> {
        let at = public.place.quorum.indices().position(|party| party == j)?;
        let (K, C) = *public.parts.of.get(at)?;
        Some(Statement { session: self.session, author: j, R: self.R, K, C, e: self.e, r: self.nonce.r, w })
    }

    /// ONL.5 w_j·R = (m + r'_x·ε)·K_j + r'_x·C_j
    fn fits(&self, public: &PublicPresignature<C>, j: PartyIndex, w: Scalar<C>) -> bool {
        self.statement(public, j, w).is_some_and(|statement| statement.is_true())
    }

    /// ONL.4, ONL.5: the signature, or who made it fail. Partial signatures in the order of the quorum.
    pub(crate) fn conclude(
        &self,
        public: &PublicPresignature<C>,
        partials: &[(PartyIndex, Scalar<C>)],
    ) -> Result<Signature, Abort> {
        let sum = partials.iter().map(|(_, w)| *w).sum();
        if let Some(signature) = self.join(sum, public.parts.u) {
            return Ok(signature);
        }
        let wrong = partials.iter().find(|(j, w)| !self.fits(public, *j, *w));
        Err(match wrong {
            Some((j, _)) => Abort::by(*j, Check::PartialSignature),
            None => Abort::new(Check::FinalSignature, Blame::Nobody("every partial signature is right")),
        })
    }
}

/// Message of ONL.3 from a verified presignature, the same to all.
#[derive(Clone, Copy, Debug)]
pub struct Part<C: EcdsaCurve> {
    w: Scalar<C>,
    /// of ONL.7
    signature: [u8; 64],
}
wire_struct!(Part<C: EcdsaCurve> { w, signature });
impl<C: EcdsaCurve> Message for Part<C> {
    const STEP: &'static str = "ONL.3";
    const TAG: u16 = 0x0308;
    const CHANNEL: Channel = Channel::Direct;
    const MAX_LEN: usize = 96;
}

impl<C: EcdsaCurve> Part<C> {
    /// w_j, for a coordinator that gathers them.
    pub const fn scalar(&self) -> Scalar<C> {
        self.w
    }
}

/// Message of ONL.3 from a plain presignature, the same to all.
#[derive(Clone, Copy, Debug)]
pub struct PlainPart<C: EcdsaCurve> {
    w: Scalar<C>,
    u: Scalar<C>,
}
wire_struct!(PlainPart<C: EcdsaCurve> { w, u });
impl<C: EcdsaCurve> Message for PlainPart<C> {
    const STEP: &'static str = "ONL.3";
    const TAG: u16 = 0x0309;
    const CHANNEL: Channel = Channel::Direct;
    const MAX_LEN: usize = 64;
}

impl<C: EcdsaCurve> Fraction<C> for PlainPart<C> {
    fn parts(&self) -> (Scalar<C>, Scalar<C>) {
        (self.w, self.u)
    }
}

/// Signs with a presignature, which is gone whatever follows. `epoch_id` is the epoch of the key that is in force.
///
/// One round. [`Effect::Consume`] comes first and must be durable before the message leaves. The session has the name that
/// [`Place::session_id`] gives to the request; the caller guarantees that the presignature was reserved for this request alone, and that no
/// copy of it is left where it was kept.
///
/// # Errors
/// [`BadParams`] if the presignature is of another epoch, quorum or party, the session has another name, the digest is zero, or the public
/// key is not the one that the tweak gives.
pub fn start<C: EcdsaCurve, M: Mode>(
    params: Params,
    presignature: Presignature<C, M>,
    epoch_id: &[u8; 32],
    request: Request<C>,
) -> Result<Session<Signature>, BadParams> {
    let place = presignature.place();
    if place.epoch_id != *epoch_id {
        return Err(BadParams::Unsuitable("the presignature belongs to another epoch of the key"));
    }
    if place.quorum != params.committee || place.me != params.me {
        return Err(BadParams::Unsuitable("the presignature belongs to another quorum or party"));
    }
    if place.session_id(&request) != params.session {
        return Err(BadParams::Unsuitable("the session is not named after the presignature and the request"));
    }
    let task = Task::new(place, params.session, request)?;
    Session::start(params, &[], move |ctx| {
        // ONL.3  consumed, durably; then the partial signature
        Ok(M::sign(presignature, task, ctx).after(Effect::Consume))
    })
}

/// ONL.3 of a verified presignature.
pub(crate) fn sign_verified<C: EcdsaCurve>(
    presignature: Presignature<C, Verified>,
    task: Task<C>,
    ctx: &Context<'_>,
) -> Turn<Signature> {
    let w = task.partial(&presignature);
    let Presignature { place, kept, .. } = presignature;
    let public = PublicPresignature { place, parts: kept };
    // ONL.7  signed before it is known whether anybody will need it: afterwards a liar would not
    let statement = task.statement(&public, ctx.me, w);
    let signature = statement.map_or([0; 64], |statement| statement.sign(ctx.identity));
    let own = Part { w, signature };
    let messages = PerPeer::from_fn(ctx.committee, ctx.me, |_| own);
    Turn::next(AwaitParts { task, public, own }, &Nothing, messages)
}

struct AwaitParts<C: EcdsaCurve> {
    task: Task<C>,
    public: PublicPresignature<C>,
    own: Part<C>,
}

impl<C: EcdsaCurve> AwaitParts<C> {
    /// ONL.7 what proves to anybody that this party signed a wrong partial signature
    fn evidence(&self, j: PartyIndex, part: &Part<C>, ctx: &Context<'_>) -> Option<Vec<u8>> {
        let key = ctx.committee.get(j)?.identity;
        self.task.statement(&self.public, j, part.w)?.evidence(&key, &part.signature)
    }
}

impl<C: EcdsaCurve> Round for AwaitParts<C> {
    type Broadcast = Nothing;
    type Direct = Part<C>;
    type Output = Signature;
    const NAME: &'static str = "combine";

    fn receive(
        self,
        inbox: PerPeer<Received<Nothing, Part<C>>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Signature>, Abort> {
        let mut parts: Vec<_> = inbox.into_iter().map(|(j, message)| (j, message.direct)).collect();
        parts.push((ctx.me, self.own));
        parts.sort_by_key(|(j, _)| *j);
        let partials: Vec<_> = parts.iter().map(|(j, part)| (*j, part.w)).collect();
        self.task.conclude(&self.public, &partials).map(Turn::done).map_err(|abort| {
            let named = parts.iter().find(|(j, _)| abort.blame == Blame::Party(*j));
            let evidence = named.and_then(|(j, part)| self.evidence(*j, part, ctx));
            Abort { evidence: evidence.unwrap_or_default(), ..abort }
        })
    }
}

/// ONL.3 of a plain presignature.
pub(crate) fn sign_plain<C: EcdsaCurve>(
    presignature: Presignature<C, Plain>,
    task: Task<C>,
    ctx: &Context<'_>,
) -> Turn<Signature> {
    let own = PlainPart { w: task.partial(&presignature), u: presignature.kept.expose() };
    // ONL.6  as SIGN.11 and SIGN.12
    fraction::sum(own, move |w, u| task.join(w, u), ctx)
}

/// Joins partial signatures that a coordinator gathered: [`Part::scalar`] of every party of the quorum, once each, in any order.
///
/// # Errors
/// [`Check::PartialSignature`] names the party whose partial signature is wrong, or the first of the quorum whose is missing, or
/// [`Check::Malformed`] one that stands twice or is no member. [`Check::FinalSignature`] if the request does not belong to the presignature.
pub fn combine<C: EcdsaCurve>(
    public: &PublicPresignature<C>,
    request: Request<C>,
    partials: &[(PartyIndex, Scalar<C>)],
) -> Result<Signature, Abort> {
    let mut sorted = partials.to_vec();
    sorted.sort_by_key(|(j, _)| *j);
    for (j, _) in &sorted {
        let times = sorted.iter().filter(|(i, _)| i == j).count();
        if times > 1 || public.place.quorum.get(*j).is_none() {
            return Err(Abort::by(*j, Check::Malformed));
        }
    }
    if let Some(j) = public.place.quorum.indices().find(|j| sorted.iter().all(|(i, _)| i != j)) {
        return Err(Abort::by(j, Check::PartialSignature));
    }
    let task = Task::new(&public.place, public.place.session_id(&request), request).map_err(|_| {
        Abort::new(Check::FinalSignature, Blame::Nobody("the request is not one for this presignature"))
    })?;
    task.conclude(public, &sorted)
}

#[cfg(test)]
mod tests;

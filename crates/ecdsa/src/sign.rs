//! Interactive signing in three rounds. Spec: `spec/24-sign.md`, steps SIGN.1–SIGN.12 (DKLs23, section 3).
//!
//! | state             | waits for                | runs              |
//! |-------------------|--------------------------|-------------------|
//! | [`start`]         | nothing                  | SIGN.1–SIGN.3     |
//! | `AwaitCommit`     | [`Commit`], [`Multiply`] | SIGN.4–SIGN.6     |
//! | `AwaitOpening`    | [`Open`], [`Product`]    | SIGN.7–SIGN.10    |
//! | `AwaitPartial`    | [`Partial`]              | SIGN.11–SIGN.12   |
#![expect(non_snake_case, reason = "capital letters are group elements, as in the paper")]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_keys::share::KeyShare;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::commitment::{Commitment, Salt};
use quorate_protocol::curve::{EcdsaCurve, Point, Scalar, SecretScalar};
use quorate_protocol::message::{Channel, Message, Nothing, encode};
use quorate_protocol::party::{MAX_PARTIES, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{
    BadParams, Context, Effect, Params, Received, Round, Session, SessionId, Turn,
};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_protocol::wire_struct;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::rvole::{RvoleMsg1, RvoleMsg2, RvoleReceiver, RvoleSender};
use crate::setup::PairwiseSetup;
use crate::verify::{Signature, join, verify};
use crate::zero::share_of_zero;

/// Broadcast of SIGN.3.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Commit {
    /// com_i, to R_i
    commitment: Commitment,
}
impl Message for Commit {
    const STEP: &'static str = "SIGN.3";
    const TAG: u16 = 0x0301;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = Commitment::LEN;
}

/// Message of SIGN.3 to j: the first message of the multiplication in which we are the receiver.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct Multiply {
    /// ot_id of the instance j→i, in which j holds Δ
    instance: [u8; 32],
    message: RvoleMsg1,
}
impl Message for Multiply {
    const STEP: &'static str = "SIGN.3";
    const TAG: u16 = 0x0302;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = 32 + RvoleMsg1::MAX_LEN;
}

/// Broadcast of SIGN.6.
#[derive(Debug)]
pub struct Open<C: EcdsaCurve> {
    /// R_i
    R: Point<C>,
    salt: Salt,
    /// pk_i
    pk: Point<C>,
    /// h_ij for each peer j in order: binds what goes to j alone
    bindings: Vec<[u8; 32]>,
}
wire_struct!(Open<C: EcdsaCurve> { R, salt, pk, bindings });
impl<C: EcdsaCurve> Message for Open<C> {
    const STEP: &'static str = "SIGN.6";
    const TAG: u16 = 0x0303;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 2 * C::POINT_LEN + Salt::LEN + 4 + MAX_PARTIES * 32;
}

/// Private message of SIGN.6 to j.
pub struct Product<C: EcdsaCurve> {
    /// Γ^u_ij
    gamma_u: Point<C>,
    /// Γ^v_ij
    gamma_v: Point<C>,
    /// ψ_ij
    psi: Scalar<C>,
    message: RvoleMsg2<C>,
}
impl<C: EcdsaCurve> fmt::Debug for Product<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Product(..)")
    }
}
wire_struct!(Product<C: EcdsaCurve> { gamma_u, gamma_v, psi, message });
impl<C: EcdsaCurve> Message for Product<C> {
    const STEP: &'static str = "SIGN.6";
    const TAG: u16 = 0x0304;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = 2 * C::POINT_LEN + 32 + RvoleMsg2::<C>::MAX_LEN;
}

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
    let public = share.public();
    let members: Vec<PartyIndex> = params.committee.indices().collect();
    if public.quorum(&members).as_ref() != Some(&params.committee) || params.me != share.index() {
        return Err(BadParams::Unsuitable("the parties are not a minimal quorum of the key"));
    }
    if *setup.epoch_id() != public.epoch_id() {
        return Err(BadParams::Unsuitable("the pairwise set-up belongs to another epoch of the key"));
    }
    if members.iter().any(|&j| j != params.me && setup.is_burned(j)) {
        return Err(BadParams::Unsuitable("the pairwise set-up with a party of the quorum is burned"));
    }
    // Not only 32 zero bytes: the order itself is zero too.
    if bool::from(Scalar::<C>::from_digest(&digest).is_zero()) {
        return Err(BadParams::Unsuitable("the digest is zero modulo the group order"));
    }
    let lambda_s = share.additive(&params.committee).ok_or(BadParams::NotAMember)?;
    let X = public.public_key();
    // If entropy and session ever repeat together, another digest still gets other nonces.
    let secret = share.secret_bytes();
    let mut hedge = Zeroizing::new(Vec::with_capacity(secret.len() + digest.len()));
    hedge.extend_from_slice(&secret);
    hedge.extend_from_slice(&digest);
    Session::start(params, &hedge, move |ctx| {
        // SIGN.1  r_i, φ_i;  R_i = r_i·G
        let r = SecretScalar::<C>::random(ctx.rng);
        let phi = SecretScalar::random(ctx.rng);
        let R = r.public();
        // SIGN.2  sk_i = λ_i·s_i + ζ_i;  pk_i = sk_i·G
        let peers = ctx.committee.indices().filter(|&j| j != ctx.me);
        let zeta =
            share_of_zero::<C>(ctx.me, ctx.committee, setup.epoch_id(), ctx.session, setup.zero_seeds(peers));
        let sk = SecretScalar::new(lambda_s.expose() + zeta.expose());
        let pk = sk.public();
        // SIGN.3  com_i; start one multiplication a peer, as receiver
        let (commitment, salt) =
            Commitment::new(ctx.session, ctx.id_of(ctx.me), NONCE, &R.to_bytes(), ctx.rng);
        let started = PerPeer::try_from_fn(ctx.committee, ctx.me, |j| {
            let leaves = setup
                .receiver(j)
                .ok_or(BadParams::Unsuitable("no pairwise set-up with a party of the quorum"))?;
            let (receiver, message) = RvoleReceiver::start(leaves, &ctx.session.0, ctx.rng);
            Ok((receiver, Multiply { instance: *leaves.ot_id(), message }))
        })?;
        let mut receivers = Vec::new();
        let messages = started.map(|j, (receiver, message)| {
            receivers.push((j, Asked { receiver, request: digest_of(&message) }));
            message
        });
        let state = AwaitCommit { setup, X, digest, r, phi, sk, R, pk, salt, receivers };
        Ok(Turn::next(state, &Commit { commitment }, messages))
    })
}

const NONCE: &str = "sign nonce point";

/// A multiplication in which we are the receiver.
struct Asked<C: EcdsaCurve> {
    receiver: RvoleReceiver<C>,
    /// of our [`Multiply`]
    request: [u8; 32],
}

fn digest_of(message: &Multiply) -> [u8; 32] {
    Transcript::new(tags::SIGN_BINDING).absorb("multiply", &encode(message)).digest()
}

/// h_ij: what the broadcast says about the values that only j sees, and which message of j they answer. Two honest parties of which
/// one was restarted under the same session thus part here, before a check that would burn their instances (spec/24-sign.md).
fn binding<C: EcdsaCurve>(
    session: SessionId,
    from: PartyIndex,
    to: PartyIndex,
    digest: &[u8; 32],
    request: &[u8; 32],
    (gamma_u, gamma_v): (&Point<C>, &Point<C>),
    psi: &Scalar<C>,
) -> [u8; 32] {
    Transcript::new(tags::SIGN_BINDING)
        .absorb("session", &session.0)
        .absorb_u64("from", from.get().into())
        .absorb_u64("to", to.get().into())
        .absorb("digest", digest)
        .absorb("request", request)
        .absorb("gamma u", &gamma_u.to_bytes())
        .absorb("gamma v", &gamma_v.to_bytes())
        .absorb("psi", &psi.to_bytes())
        .digest()
}

struct AwaitCommit<C: EcdsaCurve> {
    setup: Arc<PairwiseSetup<C>>,
    X: Point<C>,
    digest: [u8; 32],
    r: SecretScalar<C>,
    phi: SecretScalar<C>,
    sk: SecretScalar<C>,
    R: Point<C>,
    pk: Point<C>,
    salt: Salt,
    /// one multiplication a peer, we are the receiver
    receivers: Vec<(PartyIndex, Asked<C>)>,
}

impl<C: EcdsaCurve> Round for AwaitCommit<C> {
    type Broadcast = Commit;
    type Direct = Multiply;
    type Output = Signature;
    const NAME: &'static str = "commit and multiply";

    fn receive(
        self,
        inbox: PerPeer<Received<Commit, Multiply>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Signature>, Abort> {
        // SIGN.4  the same instances on both sides; then the OT check of every peer, each under the lock of its instance, before any
        // secret input is used
        let inbox = inbox.try_map(|j, message| {
            let same = self.setup.sender_id(j) == Some(&message.direct.instance);
            if same { Ok(message) } else { Err(Abort::new(Check::InstanceMismatch, Blame::Edge(j))) }
        })?;
        let checked = inbox.try_map(|j, message| {
            let request = digest_of(&message.direct);
            let first = message.direct.message;
            let sender =
                self.setup.check_with(j, |leaves| RvoleSender::receive(leaves, &ctx.session.0, &first))?;
            Ok((message.broadcast.commitment, sender, request))
        })?;
        let mut receivers = self.receivers.into_iter().peekable();
        let mut bindings = Vec::new();
        let mut expected = Vec::new();
        let (mut c_u, mut c_v) = (Scalar::ZERO(), Scalar::ZERO());
        let products = checked.try_map(|j, (commitment, sender, request)| {
            let (_, asked) =
                receivers.next_if(|(i, _)| *i == j).ok_or_else(|| Abort::by(j, Check::Malformed))?;
            // SIGN.5  c^u_ij, c^v_ij with inputs (r_i, sk_i);  Γ = c·G;  ψ_ij = φ_i - χ_ij
            let ([u, v], message) = sender.respond([self.r.expose(), self.sk.expose()], ctx.rng);
            let (gamma_u, gamma_v) = (Point::mul_base(&u), Point::mul_base(&v));
            let psi = self.phi.expose() - asked.receiver.chi();
            c_u += u;
            c_v += v;
            // SIGN.6  bind what j alone sees
            bindings.push(binding(
                ctx.session,
                ctx.me,
                j,
                &self.digest,
                &request,
                (&gamma_u, &gamma_v),
                &psi,
            ));
            expected.push((j, (commitment, asked)));
            Ok(Product { gamma_u, gamma_v, psi, message })
        })?;
        let open = Open { R: self.R, salt: self.salt, pk: self.pk, bindings };
        let next = AwaitOpening {
            setup: self.setup,
            X: self.X,
            digest: self.digest,
            r: self.r,
            phi: self.phi,
            sk: self.sk,
            R: self.R,
            pk: self.pk,
            c_u: SecretScalar::new(c_u),
            c_v: SecretScalar::new(c_v),
            expected,
        };
        Ok(Turn::next(next, &open, products))
    }
}

struct AwaitOpening<C: EcdsaCurve> {
    setup: Arc<PairwiseSetup<C>>,
    X: Point<C>,
    digest: [u8; 32],
    r: SecretScalar<C>,
    phi: SecretScalar<C>,
    sk: SecretScalar<C>,
    R: Point<C>,
    pk: Point<C>,
    /// Σ_j c^u_ij, Σ_j c^v_ij
    c_u: SecretScalar<C>,
    c_v: SecretScalar<C>,
    expected: Vec<(PartyIndex, (Commitment, Asked<C>))>,
}

/// What a peer's second message yields once every check on it has passed.
struct Contribution<C: EcdsaCurve> {
    R: Point<C>,
    pk: Point<C>,
    psi: Scalar<C>,
    d_u: Scalar<C>,
    d_v: Scalar<C>,
}

/// SIGN.7–SIGN.8 for one peer, in the order of the spec: what is public first, then what touches secrets.
fn check_peer<C: EcdsaCurve>(
    j: PartyIndex,
    message: Received<Open<C>, Product<C>>,
    commitment: Commitment,
    Asked { receiver, request }: Asked<C>,
    setup: &PairwiseSetup<C>,
    digest: &[u8; 32],
    ctx: &Context<'_>,
) -> Result<Contribution<C>, Abort> {
    let Open { R, salt, pk, bindings } = message.broadcast;
    let Product { gamma_u, gamma_v, psi, message } = message.direct;
    // SIGN.7  com_j opens to R_j; h_ji binds what only we saw
    if !commitment.opens(ctx.session, ctx.id_of(j), NONCE, &R.to_bytes(), salt) {
        return Err(Abort::by(j, Check::CommitmentOpening));
    }
    let ours = ctx.committee.indices().filter(|&i| i != j).position(|i| i == ctx.me);
    let bound = ours.and_then(|at| bindings.get(at));
    if bindings.len() + 1 != ctx.committee.len() {
        return Err(Abort::by(j, Check::Malformed));
    }
    // It covers our own request and digest as j saw them, so a third party cannot tell who is wrong.
    let expected = binding(ctx.session, j, ctx.me, digest, &request, (&gamma_u, &gamma_v), &psi);
    if bound != Some(&expected) {
        return Err(Abort::new(Check::Binding, Blame::Edge(j)));
    }
    if setup.is_burned(j) {
        return Err(PairwiseSetup::<C>::refused(j));
    }
    // SIGN.8  d^u_ij, d^v_ij; then χ_ij·R_j - Γ^u_ji = d^u_ij·G and χ_ij·pk_j - Γ^v_ji = d^v_ij·G
    let chi = SecretScalar::new(receiver.chi());
    let burned = |check| {
        setup.burn(j);
        Abort::burning(j, check)
    };
    let [d_u, d_v] = receiver.finish(&message).map_err(|_| burned(Check::VoleConsistency))?;
    let u_fits = (R * chi.expose() - gamma_u).ct_eq(&Point::mul_base(&d_u));
    let v_fits = (pk * chi.expose() - gamma_v).ct_eq(&Point::mul_base(&d_v));
    if !bool::from(u_fits & v_fits) {
        return Err(burned(Check::VoleInput));
    }
    Ok(Contribution { R, pk, psi, d_u, d_v })
}

impl<C: EcdsaCurve> Round for AwaitOpening<C> {
    type Broadcast = Open<C>;
    type Direct = Product<C>;
    type Output = Signature;
    const NAME: &'static str = "open and check";

    fn receive(
        self,
        inbox: PerPeer<Received<Open<C>, Product<C>>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Signature>, Abort> {
        let mut expected = self.expected.into_iter().peekable();
        let (mut R, mut pk) = (self.R, self.pk);
        let mut Psi = self.phi.expose();
        let (mut u, mut v) = (self.c_u.expose(), self.c_v.expose());
        for (j, message) in inbox {
            let (_, (commitment, asked)) =
                expected.next_if(|(i, _)| *i == j).ok_or_else(|| Abort::by(j, Check::Malformed))?;
            let peer = check_peer(j, message, commitment, asked, &self.setup, &self.digest, ctx)?;
            R += peer.R;
            pk += peer.pk;
            Psi += peer.psi;
            u += peer.d_u;
            v += peer.d_v;
        }
        // SIGN.9  Σ pk_j = X;  R = Σ R_j with r_x ≠ 0
        if pk != self.X {
            let why = "a party used a wrong additive share; its own equations hold";
            return Err(Abort::new(Check::PublicKeySum, Blame::Nobody(why)));
        }
        let degenerate =
            || Abort::new(Check::DegenerateNonce, Blame::Nobody("every nonce was committed to beforehand"));
        if bool::from(R.is_identity()) {
            return Err(degenerate());
        }
        let (r_x, odd, overflow) = R.x_coordinate();
        if bool::from(r_x.is_zero()) {
            return Err(degenerate());
        }
        // SIGN.10  u_i = r_i·Ψ_i + Σ(c^u + d^u), v_i = sk_i·Ψ_i + Σ(c^v + d^v), w_i = m·φ_i + r_x·v_i
        let u = u + self.r.expose() * Psi;
        let v = SecretScalar::new(v + self.sk.expose() * Psi);
        let w = Scalar::from_digest(&self.digest) * self.phi.expose() + r_x * v.expose();
        let partial = Partial { w, u };
        let messages = PerPeer::from_fn(ctx.committee, ctx.me, |_| partial);
        let next = AwaitPartial { X: self.X, digest: self.digest, r_x, odd, overflow, own: partial };
        Ok(Turn::next(next, &Nothing, messages).after(Effect::Consume))
    }
}

struct AwaitPartial<C: EcdsaCurve> {
    X: Point<C>,
    digest: [u8; 32],
    r_x: Scalar<C>,
    odd: bool,
    overflow: bool,
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
        let s = w * u.invert();
        let wrong = || {
            Abort::new(
                Check::FinalSignature,
                Blame::Nobody("partial signatures cannot be told apart without verified presignatures"),
            )
        };
        if bool::from(u.is_zero() | s.is_zero()) {
            return Err(wrong());
        }
        let high = s.is_high();
        let s = if high { -s } else { s };
        let recovery_id = u8::from(self.odd != high) | (u8::from(self.overflow) << 1);
        let signature = Signature { bytes: join(&self.r_x, &s), recovery_id };
        // SIGN.12  nothing leaves that does not verify
        if !verify(&self.X, &self.digest, &signature.bytes) {
            return Err(wrong());
        }
        Ok(Turn::done(signature))
    }
}

#[cfg(test)]
mod tests;

//! What signing and presigning share: nonces, multiplications and all their checks, for one signature or for many at once (*items*).
//! Spec: `spec/24-sign.md`, steps SIGN.1–SIGN.9.
//!
//! | state             | waits for                | runs              |
//! |-------------------|--------------------------|-------------------|
//! | [`start`]         | nothing                  | SIGN.1–SIGN.3     |
//! | `AwaitCommit`     | [`Commit`], [`Multiply`] | SIGN.4–SIGN.6     |
//! | `AwaitOpening`    | [`Open`], [`Product`]    | SIGN.7–SIGN.9     |
//!
//! Then the [`Goal`] goes on: with partial signatures, or with what makes presignatures of the items.
#![expect(non_snake_case, reason = "capital letters are group elements, as in the paper")]

mod messages;

pub use self::messages::{Commit, Multiply, Open, Product};

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use quorate_keys::share::KeyShare;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::commitment::{Commitment, Salt, joined};
use quorate_protocol::curve::{EcdsaCurve, Point, Scalar, SecretScalar};
use quorate_protocol::message::encode;
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{
    BadParams, Context, MAX_FRAME, Params, Received, Round, Session, SessionId, Turn,
};
use quorate_protocol::transcript::{Transcript, tags};
use zeroize::Zeroizing;

pub(crate) use self::messages::Head;
use crate::key::Key;
use crate::rvole::{Products, RvoleReceiver, RvoleSender};
use crate::setup::PairwiseSetup;
use crate::shown::Shown;
use crate::sums::{Weights, combine};
use crate::verify::Nonce;
use crate::zero::share_of_zero;

/// What the exchange is for.
pub(crate) trait Goal<C: EcdsaCurve>: Send + Sized + 'static {
    /// Result of the whole protocol.
    type Output: 'static;
    /// How many items.
    fn count(&self) -> usize;
    /// What the bindings of an item are about.
    fn subject(&self, item: usize) -> [u8; 32];
    /// All checks of the exchange have passed.
    ///
    /// # Errors
    /// An [`Abort`] of the goal's own.
    fn reached(self, joint: Joint<C>, ctx: &mut Context<'_>) -> Result<Turn<Self::Output>, Abort>;
}

/// The result of the exchange.
pub struct Joint<C: EcdsaCurve> {
    pub(crate) key: Key<C>,
    pub(crate) items: Vec<Item<C>>,
    /// of each item's R
    pub(crate) nonces: Vec<Nonce<C>>,
    pub(crate) record: Record<C>,
}

impl<C: EcdsaCurve> core::fmt::Debug for Joint<C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Joint(..)")
    }
}

/// One signature in the making: `u_i = r_i·Ψ_i + Σ(c^u + d^u)` and `v_i = sk_i·Ψ_i + Σ(c^v + d^v)` grow with every peer.
pub(crate) struct Item<C: EcdsaCurve> {
    pub(crate) r: SecretScalar<C>,
    pub(crate) phi: SecretScalar<C>,
    /// R_i, and after SIGN.9 R
    pub(crate) R: Point<C>,
    pub(crate) u: Zeroizing<Scalar<C>>,
    pub(crate) v: Zeroizing<Scalar<C>>,
    pub(crate) Psi: Zeroizing<Scalar<C>>,
}

/// What was said in the exchange, for an inquiry.
pub(crate) struct Record<C: EcdsaCurve> {
    /// of every party, ourselves included
    pub(crate) opens: BTreeMap<PartyIndex, Open<C>>,
    /// of every peer, with the digest of what we had sent to it
    pub(crate) heads: BTreeMap<PartyIndex, ([u8; 32], Vec<Head<C>>)>,
}

/// Longest frame of an exchange of so many items among so many parties.
fn frame_limit<C: EcdsaCurve>(count: usize, parties: usize) -> usize {
    let open = messages::open_len::<C>(count, parties.saturating_sub(1));
    let product = messages::product_len::<C>(count);
    // Round V has a scalar and two points an item; what remains is echo and envelope.
    MAX_FRAME.max(1024 + 96 * parties + open + product + count * (32 + 2 * C::POINT_LEN))
}

/// Starts the exchange with the quorum `params.committee`. `hedge` joins the share as the long-lived secret behind the randomness.
///
/// # Errors
/// [`BadParams`] if the quorum is not minimal, the set-up belongs to another epoch, or a pair is burned.
pub(crate) fn start<C: EcdsaCurve, G: Goal<C>>(
    params: Params,
    share: &KeyShare<C>,
    setup: Arc<PairwiseSetup<C>>,
    goal: G,
    hedge: &[u8],
) -> Result<Session<G::Output>, BadParams> {
    let public = share.public();
    let members: Vec<PartyIndex> = params.committee.indices().collect();
    if public.quorum(&members).as_ref() != Some(&params.committee) || params.me != share.index() {
        return Err(BadParams::Unsuitable("the parties are not a minimal quorum of the key"));
    }
    if *setup.epoch_id() != public.epoch_id() {
        return Err(BadParams::Unsuitable("the pairwise set-up belongs to another epoch of the key"));
    }
    if let Some(&burned) = members.iter().find(|&&j| j != params.me && setup.is_burned(j)) {
        return Err(BadParams::Burned(burned));
    }
    let lambda_s = share.additive(&params.committee).ok_or(BadParams::NotAMember)?;
    let X = public.public_key();
    if bool::from(X.is_identity()) {
        return Err(BadParams::Unsuitable("the public key is the identity"));
    }
    let key = setup.key(X, goal.count());
    let secret = share.secret_bytes();
    let mut hedged = Zeroizing::new(Vec::with_capacity(secret.len() + hedge.len()));
    hedged.extend_from_slice(&secret);
    hedged.extend_from_slice(hedge);
    let max_frame = frame_limit::<C>(goal.count(), members.len());
    Session::start_sized(params, &hedged, max_frame, move |ctx| {
        // SIGN.1  r_i, φ_i;  R_i = r_i·G
        let draw = |_| {
            let r = SecretScalar::<C>::random(ctx.rng);
            let phi = SecretScalar::random(ctx.rng);
            let R = r.public();
            let [u, v] = [Zeroizing::new(Scalar::ZERO()), Zeroizing::new(Scalar::ZERO())];
            let Psi = Zeroizing::new(phi.expose());
            Item { r, phi, R, u, v, Psi }
        };
        let items: Vec<Item<C>> = (0..goal.count()).map(draw).collect();
        // SIGN.2  sk_i = λ_i·s_i + ζ_i;  pk_i = sk_i·G
        let peers = ctx.committee.indices().filter(|&j| j != ctx.me);
        let zeta =
            share_of_zero::<C>(ctx.me, ctx.committee, setup.epoch_id(), ctx.session, setup.zero_seeds(peers));
        let sk = SecretScalar::new(lambda_s.expose() + zeta.expose());
        let pk = sk.public();
        // SIGN.3  com_i; start the multiplications with each peer, as receiver
        let shown = Shown::all(items.iter().map(|item| item.R));
        let nonces = nonce_points(&shown);
        let (commitment, salt) = Commitment::new(ctx.session, ctx.id_of(ctx.me), NONCE, &nonces, ctx.rng);
        let started = PerPeer::try_from_fn(ctx.committee, ctx.me, |j| {
            let leaves = setup
                .receiver(j)
                .ok_or(BadParams::Unsuitable("no pairwise set-up with a party of the quorum"))?;
            let (receiver, message) = RvoleReceiver::start(leaves, &ctx.session.0, items.len(), ctx.rng);
            Ok((receiver, Multiply { instance: *leaves.ot_id(), message }))
        })?;
        let mut receivers = Vec::new();
        let messages = started.map(|j, (receiver, message)| {
            receivers.push((j, Asked { receiver, request: digest_of(&message) }));
            message
        });
        let state = AwaitCommit { goal, setup, X, key, sk, pk, salt, items, shown, receivers };
        Ok(Turn::next(state, &Commit { commitment }, messages))
    })
}

const NONCE: &str = "sign nonce point";

/// What com_i is about. One point is committed to as it is, several with their lengths.
fn nonce_points<C: EcdsaCurve>(points: &[Shown<C>]) -> Vec<u8> {
    match points {
        [point] => point.bytes().to_vec(),
        points => joined(&points.iter().map(Shown::bytes).collect::<Vec<_>>()),
    }
}

/// The multiplications with a peer in which we are the receiver.
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
pub(crate) fn binding<C: EcdsaCurve>(
    session: SessionId,
    from: PartyIndex,
    to: PartyIndex,
    subject: &[u8; 32],
    request: &[u8; 32],
    head: &Head<C>,
) -> [u8; 32] {
    Transcript::new(tags::SIGN_BINDING)
        .absorb("session", &session.0)
        .absorb_u64("from", from.get().into())
        .absorb_u64("to", to.get().into())
        .absorb("digest", subject)
        .absorb("request", request)
        .absorb("gamma u", head.gamma_u.bytes())
        .absorb("gamma v", head.gamma_v.bytes())
        .absorb("psi", &head.psi.to_bytes())
        .digest()
}

/// The bindings of `from` for `to`, one an item. An [`Open`] has them receiver by receiver.
pub(crate) fn bindings_for<'a, C: EcdsaCurve>(
    open: &'a Open<C>,
    quorum: &Committee,
    from: PartyIndex,
    to: PartyIndex,
) -> Option<&'a [[u8; 32]]> {
    let place = quorum.indices().filter(|&i| i != from).position(|i| i == to)?;
    let count = open.R.len();
    open.bindings.get(place * count..(place + 1) * count)
}

struct AwaitCommit<C: EcdsaCurve, G> {
    goal: G,
    setup: Arc<PairwiseSetup<C>>,
    X: Point<C>,
    key: Key<C>,
    sk: SecretScalar<C>,
    pk: Point<C>,
    salt: Salt,
    items: Vec<Item<C>>,
    /// R_i of each item
    shown: Vec<Shown<C>>,
    /// the multiplications with each peer in which we are the receiver
    receivers: Vec<(PartyIndex, Asked<C>)>,
}

impl<C: EcdsaCurve, G: Goal<C>> Round for AwaitCommit<C, G> {
    type Broadcast = Commit;
    type Direct = Multiply;
    type Output = G::Output;
    const NAME: &'static str = "commit and multiply";

    fn receive(
        mut self,
        inbox: PerPeer<Received<Commit, Multiply>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<G::Output>, Abort> {
        // SIGN.4  the same instances on both sides; then the OT check of every peer, each under the lock of its instance, before any
        // secret input is used
        let inbox = inbox.try_map(|j, message| {
            if message.direct.message.items() != self.items.len() {
                return Err(Abort::by(j, Check::Malformed));
            }
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
        let inputs: Zeroizing<Vec<_>> =
            Zeroizing::new(self.items.iter().map(|item| [item.r.expose(), self.sk.expose()]).collect());
        let mut receivers = self.receivers.into_iter().peekable();
        let mut bindings = Vec::new();
        let mut expected = Vec::new();
        let products = checked.try_map(|j, (commitment, sender, request)| {
            let (_, asked) =
                receivers.next_if(|(i, _)| *i == j).ok_or_else(|| Abort::by(j, Check::Malformed))?;
            // SIGN.5  c^u_ij, c^v_ij with inputs (r_i, sk_i);  Γ = c·G;  ψ_ij = φ_i - χ_ij
            let (c, message) = sender.respond(&inputs, ctx.rng);
            let mut heads = Vec::with_capacity(self.items.len());
            let gammas = Shown::all(c.as_flattened().iter().map(Point::mul_base));
            let (gammas, _) = gammas.as_chunks::<2>();
            let shares = c.iter().zip(asked.receiver.chi()).zip(gammas);
            for (at, (item, (([u, v], chi), [gamma_u, gamma_v]))) in
                self.items.iter_mut().zip(shares).enumerate()
            {
                let head = Head { gamma_u: *gamma_u, gamma_v: *gamma_v, psi: item.phi.expose() - *chi };
                *item.u += *u;
                *item.v += *v;
                // SIGN.6  bind what j alone sees
                let subject = self.goal.subject(at);
                bindings.push(binding(ctx.session, ctx.me, j, &subject, &request, &head));
                heads.push(head);
            }
            expected.push((j, (commitment, asked)));
            Ok(Product { heads, message })
        })?;
        let open = Open { R: self.shown, salt: self.salt, pk: self.pk, bindings };
        let (goal, setup, X, key, sk, items) = (self.goal, self.setup, self.X, self.key, self.sk, self.items);
        let turn_open = open.clone();
        let next = AwaitOpening { goal, setup, X, key, sk, items, own: open, expected };
        Ok(Turn::next(next, &turn_open, products))
    }
}

struct AwaitOpening<C: EcdsaCurve, G> {
    goal: G,
    setup: Arc<PairwiseSetup<C>>,
    X: Point<C>,
    key: Key<C>,
    sk: SecretScalar<C>,
    items: Vec<Item<C>>,
    own: Open<C>,
    expected: Vec<(PartyIndex, (Commitment, Asked<C>))>,
}

/// What a peer said and what it came to, but for the equations of SIGN.8.
struct Finished<C: EcdsaCurve> {
    j: PartyIndex,
    open: Open<C>,
    product: Product<C>,
    request: [u8; 32],
    chi: Zeroizing<Vec<Scalar<C>>>,
    d: Products<C>,
}

fn burned<C: EcdsaCurve>(setup: &PairwiseSetup<C>, j: PartyIndex, check: Check) -> Abort {
    setup.burn(j);
    Abort::burning(j, check)
}

/// SIGN.7–SIGN.8 for one peer, in the order of the spec: what is public first, then what touches secrets.
fn finish<C: EcdsaCurve>(
    j: PartyIndex,
    message: Received<Open<C>, Product<C>>,
    commitment: Commitment,
    Asked { receiver, request }: Asked<C>,
    setup: &PairwiseSetup<C>,
    subjects: &[[u8; 32]],
    ctx: &Context<'_>,
) -> Result<Finished<C>, Abort> {
    let Received { broadcast: open, direct: product } = message;
    let Product { heads, message } = &product;
    // SIGN.7  com_j opens to R_j; h_ji binds what only we saw
    let nonces = nonce_points(&open.R);
    if !commitment.opens(ctx.session, ctx.id_of(j), NONCE, &nonces, open.salt) {
        return Err(Abort::by(j, Check::CommitmentOpening));
    }
    let count = subjects.len();
    let complete = open.R.len() == count
        && heads.len() == count
        && message.items.len() == count
        && open.bindings.len() == count * (ctx.committee.len() - 1);
    if !complete {
        return Err(Abort::by(j, Check::Malformed));
    }
    // It covers our own request and subject as j saw them, so a third party cannot tell who is wrong.
    let expected = subjects
        .iter()
        .zip(heads)
        .map(|(subject, head)| binding(ctx.session, j, ctx.me, subject, &request, head));
    if !bindings_for(&open, ctx.committee, j, ctx.me).is_some_and(|bound| expected.eq(bound.iter().copied()))
    {
        return Err(Abort::new(Check::Binding, Blame::Edge(j)));
    }
    if setup.is_burned(j) {
        return Err(PairwiseSetup::<C>::refused(j));
    }
    // SIGN.8  d^u_ij, d^v_ij
    let chi = Zeroizing::new(receiver.chi().to_vec());
    let d = receiver.finish(message).map_err(|_| burned(setup, j, Check::VoleConsistency))?;
    Ok(Finished { j, open, product, request, chi, d })
}

/// SIGN.8 χ_ij·R_j - Γ^u_ji = d^u_ij·G and χ_ij·pk_j - Γ^v_ji = d^v_ij·G for every item of every peer; who breaks one loses its pair with us.
fn check_inputs<C: EcdsaCurve>(
    peers: &[Finished<C>],
    setup: &PairwiseSetup<C>,
    weights: &mut Weights<'_>,
) -> Result<(), Abort> {
    if inputs_fit(peers, weights) {
        return Ok(());
    }
    // One by one, to know whose does not hold.
    let wrong = peers.iter().find(|peer| !inputs_fit(core::slice::from_ref(peer), weights));
    match wrong {
        Some(peer) => Err(burned(setup, peer.j, Check::VoleInput)),
        None => Ok(()),
    }
}

/// All equations of SIGN.8 as one: Σ a·(χ·R - Γ^u - d^u·G) + b·(χ·pk - Γ^v - d^v·G) = 0 with random weights a, b that nobody sees, the
/// first of them 1.
fn inputs_fit<C: EcdsaCurve>(peers: &[Finished<C>], weights: &mut Weights<'_>) -> bool {
    let items: usize = peers.iter().map(|peer| peer.open.R.len()).sum();
    let mut of_base = Zeroizing::new(Scalar::ZERO());
    let mut secret = Zeroizing::new(Vec::with_capacity(items + peers.len()));
    let mut public = Vec::with_capacity(2 * items);
    for Finished { open, product, chi, d, .. } in peers {
        let mut of_pk = Zeroizing::new(Scalar::ZERO());
        let rows = open.R.iter().zip(&product.heads).zip(chi.iter()).zip(d.iter());
        for (((R, head), chi), [d_u, d_v]) in rows {
            let a = if public.is_empty() { Scalar::ONE() } else { weights.next() };
            let b = weights.next();
            secret.push((R.point(), a * *chi));
            public.push((head.gamma_u.point(), a));
            public.push((head.gamma_v.point(), b));
            *of_pk += b * *chi;
            *of_base += -(a * *d_u + b * *d_v);
        }
        secret.push((open.pk, *of_pk));
    }
    let left = combine(&of_base, &secret);
    let right = Point::lincomb_vartime(&Scalar::ZERO(), &public);
    left == right
}

impl<C: EcdsaCurve, G: Goal<C>> Round for AwaitOpening<C, G> {
    type Broadcast = Open<C>;
    type Direct = Product<C>;
    type Output = G::Output;
    const NAME: &'static str = "open and check";

    fn receive(
        mut self,
        inbox: PerPeer<Received<Open<C>, Product<C>>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<G::Output>, Abort> {
        let mut expected = self.expected.into_iter().peekable();
        let subjects: Vec<[u8; 32]> = (0..self.items.len()).map(|at| self.goal.subject(at)).collect();
        let mut pk = self.own.pk;
        let mut opens = BTreeMap::new();
        let mut heads = BTreeMap::new();
        let mut peers = Vec::new();
        for (j, message) in inbox {
            let (_, (commitment, asked)) =
                expected.next_if(|(i, _)| *i == j).ok_or_else(|| Abort::by(j, Check::Malformed))?;
            peers.push(finish(j, message, commitment, asked, &self.setup, &subjects, ctx)?);
        }
        check_inputs(&peers, &self.setup, &mut Weights(ctx.rng))?;
        for Finished { j, open, product, request, d, .. } in peers {
            pk += open.pk;
            let peer = open.R.iter().zip(&product.heads).zip(d.iter());
            for (item, ((R, head), [d_u, d_v])) in self.items.iter_mut().zip(peer) {
                item.R += R.point();
                *item.Psi += head.psi;
                *item.u += *d_u;
                *item.v += *d_v;
            }
            opens.insert(j, open);
            heads.insert(j, (request, product.heads));
        }
        opens.insert(ctx.me, self.own);
        // SIGN.9  Σ pk_j = X;  R = Σ R_j with r_x ≠ 0
        if pk != self.X {
            let why = "a party used a wrong additive share; its own equations hold";
            return Err(Abort::new(Check::PublicKeySum, Blame::Nobody(why)));
        }
        let points: Vec<Point<C>> = self.items.iter().map(|item| item.R).collect();
        let whole = !points.iter().any(|R| bool::from(R.is_identity()));
        let nonces = if whole { Nonce::all(&points) } else { Vec::new() };
        if !whole || nonces.iter().any(|nonce| bool::from(nonce.r.is_zero())) {
            let why = "every nonce was committed to beforehand";
            return Err(Abort::new(Check::DegenerateNonce, Blame::Nobody(why)));
        }
        for item in &mut self.items {
            // u_i = r_i·Ψ_i + Σ(c^u + d^u), v_i = sk_i·Ψ_i + Σ(c^v + d^v)
            *item.u += item.r.expose() * *item.Psi;
            *item.v += self.sk.expose() * *item.Psi;
        }
        let record = Record { opens, heads };
        self.goal.reached(Joint { key: self.key, items: self.items, nonces, record }, ctx)
    }
}

#[cfg(test)]
mod tests;

//! Signing. Spec: `spec/30-frost.md`, steps FROST.1–FROST.7 (RFC 9591, sections 5.1–5.3).
//!
//! | type                 | waits for            | runs            |
//! |----------------------|----------------------|-----------------|
//! | [`start`]            | nothing              | FROST.1–FROST.2 |
//! | [`AwaitCommitments`] | [`Commitment`]       | FROST.3–FROST.4 |
//! | [`AwaitShares`]      | [`PartialSignature`] | FROST.5–FROST.7 |
//!
//! Deviations from the RFC: D1 (no coordinator), D2 (commitments are echoed), D3 (the result is verified by a second implementation), D7
//! (what has a part of small order is found at the end).

use alloc::sync::Arc;
use alloc::vec::Vec;

use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{Ed25519, Encoded, Point, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::message::Nothing;
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{BadParams, Context, Effect, Params, Received, Round, Session, Turn};
use zeroize::Zeroizing;

use crate::message::{Commitment, PartialSignature};
use crate::secrets::Secrets;
use crate::suite::{Adjusted, Suite, TaprootTweak, encode};
use crate::verify::SignatureBytes;

/// Most bytes of a message. Every party hashes it a few times and keeps two copies during the session.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// The protocol's name for [`PublicPackage::session_id`].
pub const PROTOCOL: &str = "frost-sign";

/// What the session identifier must bind besides key, epoch and quorum: the message and the tweak, so that parties who disagree
/// about either never meet. The caller appends its own: a request, an attempt number, a nonce; the identifier must never repeat.
///
/// ```
/// # use quorate_frost::{TaprootTweak, session_bindings};
/// let [message, tweak] = session_bindings(b"hello", TaprootTweak::None);
/// assert_eq!(message, ("message", b"hello".as_slice()));
/// assert_eq!(tweak, ("taproot", b"none".as_slice()));
/// ```
pub const fn session_bindings(message: &[u8], taproot: TaprootTweak) -> [(&'static str, &[u8]); 2] {
    [("message", message), ("taproot", taproot.label())]
}

/// Signs with Ed25519 (RFC 8032): two broadcast rounds among a minimal quorum, then every party holds the signature under
/// `share.public().public_key()`. Spec: `spec/30-frost.md`.
///
/// The caller guarantees that the session identifier is fresh and binds the message ([`session_bindings`]), that all parties name the
/// same committee, and that [`Effect::Consume`] is durable before the next frame leaves; from then on the message counts as signed.
/// Cost for `k` signers: `2k` point decodings, one sum of `k` terms, and one verification.
///
/// # Errors
/// [`BadParams`] if the committee is no minimal quorum of the key, if `params.me` does not hold `share`, if the message is longer than
/// [`MAX_MESSAGE`], or if the key is degenerate. Nobody else is to blame for these.
pub fn sign_ed25519(
    params: Params,
    share: &KeyShare<Ed25519>,
    message: Vec<u8>,
) -> Result<Session<SignatureBytes>, BadParams> {
    start(params, share, message, ())
}

/// Signs with BIP-340 under [`bip340_key`](crate::bip340_key); otherwise as [`sign_ed25519`].
///
/// # Errors
/// As [`sign_ed25519`].
pub fn sign_bip340(
    params: Params,
    share: &KeyShare<Secp256k1>,
    message: Vec<u8>,
    taproot: TaprootTweak,
) -> Result<Session<SignatureBytes>, BadParams> {
    start(params, share, message, taproot)
}

fn start<S: Suite>(
    params: Params,
    share: &KeyShare<S>,
    message: Vec<u8>,
    tweak: S::Tweak,
) -> Result<Session<SignatureBytes>, BadParams> {
    // FROST.1  a minimal quorum of this key, our own share, a bounded message
    let (statement, secret) = Statement::new(&params, share, message, tweak)?;

    // Message and tweak enter the nonces too: if entropy and session identifier ever repeat together, as in a restored virtual machine
    // whose caller forgot to bind the message, two messages still get two pairs of nonces.
    let mut hedge = Zeroizing::new(Vec::with_capacity(statement.message.len() + 64));
    hedge.extend_from_slice(&share.secret_bytes());
    hedge.extend_from_slice(S::tweak_label(tweak));
    hedge.push(0);
    hedge.extend_from_slice(&statement.message);

    Session::start(params, &hedge, |context| {
        // FROST.2  nonces and their commitments
        let secrets = Secrets::<S>::generate(secret, share.secrets(), context.rng);
        let own = secrets.commitment();
        let message = own.clone();
        Ok(Turn::broadcast(AwaitCommitments { statement, secrets, own }, &message, context))
    })
}

/// Who signs with which key. Nothing in it is secret.
pub(crate) struct Signers<S: Suite> {
    quorum: Committee,
    /// The key before it is changed.
    public: PublicPackage<S>,
}

const DEGENERATE: BadParams =
    BadParams::Unsuitable("the key or a share of the quorum is zero: run a refresh");

impl<S: Suite> Signers<S> {
    /// FROST.1 for all that is signed together. Gives our additive share of the key, too.
    pub(crate) fn new(
        params: &Params,
        share: &KeyShare<S>,
    ) -> Result<(Arc<Self>, SecretScalar<S>), BadParams> {
        let public: &PublicPackage<S> = share.public();
        let indices: Vec<PartyIndex> = params.committee.indices().collect();
        if public.quorum(&indices).as_ref() != Some(&params.committee) {
            return Err(BadParams::Unsuitable("the committee is not a minimal quorum of the key"));
        }
        if params.me != share.index() {
            return Err(BadParams::NotAMember);
        }
        let is_zero = |i: PartyIndex| public.public_shares(i).iter().any(|s| bool::from(s.is_identity()));
        if indices.iter().any(|i| is_zero(*i)) {
            return Err(DEGENERATE);
        }
        let additive = share.additive(&params.committee).ok_or(DEGENERATE)?;
        Ok((Arc::new(Self { quorum: params.committee.clone(), public: public.clone() }), additive))
    }
}

/// What is signed, by whom, under which key. Nothing in it is secret.
pub(crate) struct Statement<S: Suite> {
    pub(crate) message: Vec<u8>,
    signers: Arc<Signers<S>>,
    /// The key under which the signature must verify, after derivation and tweak.
    pub(crate) adjusted: Adjusted<S>,
}

impl<S: Suite> Statement<S> {
    /// Checks the parameters. Gives our additive share of the key that signs, too.
    pub(crate) fn new(
        params: &Params,
        share: &KeyShare<S>,
        message: Vec<u8>,
        tweak: S::Tweak,
    ) -> Result<(Self, SecretScalar<S>), BadParams> {
        let (signers, additive) = Signers::new(params, share)?;
        Self::of(signers, params.me, &additive, message, tweak, None)
    }

    /// The same among signers that were checked, with the key that is `offset` above theirs.
    pub(crate) fn of(
        signers: Arc<Signers<S>>,
        me: PartyIndex,
        additive: &SecretScalar<S>,
        message: Vec<u8>,
        tweak: S::Tweak,
        offset: Option<Scalar<S>>,
    ) -> Result<(Self, SecretScalar<S>), BadParams> {
        if message.len() > MAX_MESSAGE {
            return Err(BadParams::Unsuitable("the message is longer than 1 MiB: sign its hash"));
        }
        let root = signers.public.public_key();
        let adjusted = match offset {
            None => S::adjust(&root, tweak).ok_or(DEGENERATE)?,
            Some(offset) => {
                // x' = ±(x + ε) + h = ±x + (±ε + h)
                let mut adjusted = S::adjust(&(root + Point::mul_base(&offset)), tweak).ok_or(DEGENERATE)?;
                adjusted.shift += if adjusted.negate { -offset } else { offset };
                adjusted
            }
        };
        let statement = Self { message, signers, adjusted };
        let signed = if statement.adjusted.negate { -additive.expose() } else { additive.expose() };
        let secret = SecretScalar::new(signed + statement.shift_of(me));
        Ok((statement, secret))
    }

    /// What the party adds to its additive share: the whole shift for the first of the quorum, nothing for the others.
    fn shift_of(&self, party: PartyIndex) -> Scalar<S> {
        let first = self.signers.quorum.indices().next() == Some(party);
        if first { self.adjusted.shift } else { Scalar::ZERO() }
    }
}

/// B and what follows from it, the same at all parties.
pub(crate) struct Package<S: Suite> {
    /// B, and ρ_j beside it
    list: Vec<(PartyIndex, Commitment<S>, Scalar<S>)>,
    /// R
    encoded: Encoded,
    /// Whether R counts with the other sign.
    negate: bool,
    /// c
    challenge: Scalar<S>,
}

/// B with its binding factors, and R, whose encoding is still missing.
pub(crate) struct Sum<S: Suite> {
    list: Vec<(PartyIndex, Commitment<S>, Scalar<S>)>,
    pub(crate) r: Point<S>,
}

impl<S: Suite> Sum<S> {
    /// FROST.3 of a list in order of j (RFC 9591, 4.3–4.5); `None` if R is the identity.
    pub(crate) fn new(statement: &Statement<S>, list: Vec<(PartyIndex, Commitment<S>)>) -> Option<Self> {
        let mut encoded = Vec::with_capacity(list.len() * (32 + 2 * S::POINT_LEN));
        for (j, commitment) in &list {
            encoded.extend_from_slice(&Scalar::<S>::from(*j).to_bytes());
            commitment.bytes().for_each(|point| encoded.extend_from_slice(point));
        }
        let (message, commitments) = (S::hash_message(&statement.message), S::hash_list(&encoded));
        let key = statement.adjusted.encoded.get(..S::POINT_LEN).unwrap_or_default();
        let list: Vec<_> = list
            .into_iter()
            .map(|(j, commitment)| {
                let identifier = Scalar::<S>::from(j).to_bytes();
                let rho = S::binding(&[key, message.as_ref(), commitments.as_ref(), &identifier]);
                (j, commitment, rho)
            })
            .collect();
        // R = Σ D_j + Σ ρ_j·E_j: all of it is public.
        let terms: Vec<_> =
            list.iter().map(|(_, Commitment { points: [_, e], .. }, rho)| (*e, *rho)).collect();
        let hiding: Point<S> = list.iter().map(|(_, Commitment { points: [d, _], .. }, _)| *d).sum();
        let r = hiding + Point::lincomb_vartime(&Scalar::ZERO(), &terms);
        (!bool::from(r.is_identity())).then_some(Self { list, r })
    }
}

impl<S: Suite> Package<S> {
    /// FROST.3 of a list in order of j (RFC 9591, 4.3–4.6); `None` if R is the identity.
    pub(crate) fn new(statement: &Statement<S>, list: Vec<(PartyIndex, Commitment<S>)>) -> Option<Self> {
        let sum = Sum::new(statement, list)?;
        let encoded = encode(&sum.r);
        Some(Self::of(statement, sum, encoded))
    }

    /// The same of what is summed, with the encoding of R.
    pub(crate) fn of(statement: &Statement<S>, sum: Sum<S>, encoded: Encoded) -> Self {
        let challenge = S::challenge(&encoded, &statement.adjusted.encoded, &statement.message);
        Self { list: sum.list, negate: S::is_odd(&encoded), encoded, challenge }
    }

    /// z_i of a party of the list.
    pub(crate) fn sign(&self, me: PartyIndex, secrets: Secrets<S>) -> Option<Scalar<S>> {
        let (_, _, rho) = self.list.iter().find(|(j, ..)| *j == me)?;
        Some(secrets.sign(rho, self.negate, &self.challenge))
    }

    /// The signature that the partial signatures give together.
    pub(crate) fn join(&self, shares: &[(PartyIndex, Scalar<S>)]) -> SignatureBytes {
        S::signature(&self.encoded, &shares.iter().map(|(_, z)| *z).sum())
    }
}

pub(crate) const fn degenerate() -> Abort {
    let why = "the sum of the nonce commitments is the identity, and every party shares in it";
    Abort::new(Check::DegenerateNonce, Blame::Nobody(why))
}

/// State of party i after FROST.2. Holds its share and (d_i, e_i).
pub(crate) struct AwaitCommitments<S: Suite> {
    pub(crate) statement: Statement<S>,
    pub(crate) secrets: Secrets<S>,
    pub(crate) own: Commitment<S>,
}

impl<S: Suite> Round for AwaitCommitments<S> {
    type Broadcast = Commitment<S>;
    type Direct = Nothing;
    type Output = SignatureBytes;
    const NAME: &'static str = "nonce commitments";

    fn receive(
        self,
        inbox: PerPeer<Received<Commitment<S>, Nothing>>,
        context: &mut Context<'_>,
    ) -> Result<Turn<SignatureBytes>, Abort> {
        let Self { statement, secrets, own } = self;

        // FROST.3  B = ((j, D_j, E_j)) in order of j; the binding factors hash X', the message and all of B (test plan D3)
        let mut list = Vec::from([(context.me, own)]);
        list.extend(inbox.into_iter().map(|(j, received)| (j, received.broadcast)));
        list.sort_by_key(|(j, _)| *j);
        let package = Package::new(&statement, list).ok_or_else(degenerate)?;

        // FROST.4  z_i, durable as consumed before it leaves; the nonces end here
        let z_i = package.sign(context.me, secrets).ok_or_else(degenerate)?;
        let state = AwaitShares { statement, package, z_i };
        Ok(Turn::broadcast(state, &PartialSignature::<S>(z_i), context).after(Effect::Consume))
    }
}

/// State of party i after FROST.4. Holds no secret: z_i has left.
struct AwaitShares<S: Suite> {
    statement: Statement<S>,
    package: Package<S>,
    z_i: Scalar<S>,
}

impl<S: Suite> Round for AwaitShares<S> {
    type Broadcast = PartialSignature<S>;
    type Direct = Nothing;
    type Output = SignatureBytes;
    const NAME: &'static str = "partial signatures";
    // A partial signature proves itself; whose it was matters when it is wrong.
    const LAST: bool = true;

    fn receive(
        self,
        inbox: PerPeer<Received<PartialSignature<S>, Nothing>>,
        context: &mut Context<'_>,
    ) -> Result<Turn<SignatureBytes>, Abort> {
        let Self { statement, package, z_i } = self;

        // FROST.5  z = Σ z_j; the echoes have shown that all z_j were made over one list
        let mut shares = Vec::from([(context.me, z_i)]);
        shares.extend(inbox.into_iter().map(|(j, received)| (j, received.broadcast.0)));
        let signature = package.join(&shares);

        // FROST.6  judged by an implementation that had no part in it
        if S::verify(&statement.adjusted.encoded, &statement.message, &signature) {
            Ok(Turn::done(signature))
        } else {
            Err(statement.blame(&package, &shares))
        }
    }
}

impl<S: Suite> Statement<S> {
    /// FROST.7: the signer of least index whose partial signature is wrong.
    pub(crate) fn blame(&self, package: &Package<S>, shares: &[(PartyIndex, Scalar<S>)]) -> Abort {
        let is_wrong = |(j, commitment, rho): &(PartyIndex, Commitment<S>, Scalar<S>)| {
            let (_, z) = shares.iter().find(|(i, _)| i == j)?;
            let additive = self.signers.public.additive_public(&self.signers.quorum, *j)?;
            let signed = if self.adjusted.negate { -additive } else { additive };
            // D_j + ρ_j·E_j, as it stands in R: a part of small order that R kept must be seen here as well
            let [d, e] = commitment.points;
            let nonce = d + Point::lincomb_vartime(&Scalar::ZERO(), &[(e, *rho)]);
            let nonce = if package.negate { -nonce } else { nonce };
            // z_j·G − c·A'_j, with the shift of A'_j moved to the factor of G
            let base = *z - package.challenge * self.shift_of(*j);
            let rest = Point::lincomb_vartime(&base, &[(signed, -package.challenge)]);
            (rest != nonce).then_some(*j)
        };
        let why = "every partial signature verifies, but their sum does not";
        package.list.iter().find_map(is_wrong).map_or_else(
            || Abort::new(Check::FinalSignature, Blame::Nobody(why)),
            |j| Abort::by(j, Check::PartialSignature),
        )
    }
}

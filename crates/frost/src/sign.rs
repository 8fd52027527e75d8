//! Signing. Spec: `spec/30-frost.md`, steps FROST.1–FROST.7 (RFC 9591, sections 5.1–5.3).
//!
//! | type                 | waits for            | runs            |
//! |----------------------|----------------------|-----------------|
//! | [`start`]            | nothing              | FROST.1–FROST.2 |
//! | [`AwaitCommitments`] | [`Commitment`]       | FROST.3–FROST.4 |
//! | [`AwaitShares`]      | [`PartialSignature`] | FROST.5–FROST.7 |
//!
//! Deviations from the RFC: D1 (no coordinator), D2 (commitments are echoed), D3 (the result is verified by a second implementation).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use frost_core::keys::{KeyPackage, PublicKeyPackage, SigningShare, VerifyingShare};
use frost_core::round2::SignatureShare;
use frost_core::{
    CheaterDetection, Identifier, SigningPackage, VerifyingKey, aggregate_custom, verify_signature_share,
};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{Curve, Ed25519, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::message::Nothing;
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{BadParams, Context, Effect, Params, Received, Round, Session, Turn};
use zeroize::Zeroizing;

use crate::message::{Commitment, PartialSignature};
use crate::secrets::{OldRng, Secrets};
use crate::suite::{Suite, TaprootTweak, identifier};
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
/// Cost for `k` signers: about `2k` point decodings, one sum of `2k` terms twice, and two verifications.
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
    let (statement, key) = Statement::new(&params, share, message, tweak)?;

    // Message and tweak enter the nonces too: if entropy and session identifier ever repeat together, as in a restored virtual machine
    // whose caller forgot to bind the message, two messages still get two pairs of nonces.
    let mut hedge = Zeroizing::new(Vec::with_capacity(statement.message.len() + 64));
    hedge.extend_from_slice(&share.secret_bytes());
    hedge.extend_from_slice(S::tweak_label(tweak));
    hedge.push(0);
    hedge.extend_from_slice(&statement.message);

    Session::start(params, &hedge, |context| {
        // FROST.2  nonces and their commitments
        let secrets = Secrets::<S>::generate(key, &mut OldRng(context.rng));
        let commitment = Commitment::<S>(secrets.commitment());
        Ok(Turn::broadcast(AwaitCommitments { statement, secrets }, &commitment, context))
    })
}

/// What is signed, by whom, under which key. Nothing in it is secret.
pub(crate) struct Statement<S: Suite> {
    message: Vec<u8>,
    tweak: S::Tweak,
    me: Identifier<S::Frost>,
    quorum: Committee,
    /// The key before the tweak.
    public: PublicPackage<S>,
    /// The key under which the signature must verify, after the tweak.
    pub(crate) output_key: VerifyingKey<S::Frost>,
}

impl<S: Suite> Statement<S> {
    /// Checks the parameters and moves our share over, by bytes.
    pub(crate) fn new(
        params: &Params,
        share: &KeyShare<S>,
        message: Vec<u8>,
        tweak: S::Tweak,
    ) -> Result<(Self, KeyPackage<S::Frost>), BadParams> {
        let public: &PublicPackage<S> = share.public();
        let indices: Vec<PartyIndex> = params.committee.indices().collect();
        if public.quorum(&indices).as_ref() != Some(&params.committee) {
            return Err(BadParams::Unsuitable("the committee is not a minimal quorum of the key"));
        }
        if params.me != share.index() {
            return Err(BadParams::NotAMember);
        }
        if message.len() > MAX_MESSAGE {
            return Err(BadParams::Unsuitable("the message is longer than 1 MiB: sign its hash"));
        }
        let degenerate = BadParams::Unsuitable("the key or a share of the quorum is zero: run a refresh");
        let is_zero = |i: PartyIndex| public.public_shares(i).iter().any(|s| bool::from(s.is_identity()));
        if indices.iter().any(|i| is_zero(*i)) {
            return Err(degenerate);
        }
        let additive = share.additive(&params.committee).ok_or(degenerate)?;
        let scaled = SecretScalar::new(additive.expose() * unscale::<S>(&indices, share.index()));

        let me = identifier::<S>(share.index()).ok_or(degenerate)?;
        let secret = Zeroizing::new(scaled.expose().to_bytes());
        let key = KeyPackage::new(
            me,
            SigningShare::deserialize(&*secret).map_err(|_| degenerate)?,
            VerifyingShare::deserialize(&scaled.public().to_bytes()).map_err(|_| degenerate)?,
            VerifyingKey::deserialize(&public.public_key().to_bytes()).map_err(|_| degenerate)?,
            u16::try_from(indices.len()).map_err(|_| degenerate)?,
        );
        let key = S::tweak_key(key, tweak);
        let output_key = *key.verifying_key();
        let (quorum, public) = (params.committee.clone(), public.clone());
        Ok((Self { message, tweak, me, quorum, public, output_key }, key))
    }

    /// Public shares of the quorum, scaled and tweaked like the secret ones, to judge partial signatures by.
    fn public_shares(&self) -> Option<PublicKeyPackage<S::Frost>> {
        let indices: Vec<PartyIndex> = self.quorum.indices().collect();
        let verifying = |i: PartyIndex| {
            let scaled = self.public.additive_public(&self.quorum, i)? * unscale::<S>(&indices, i);
            Some((identifier::<S>(i)?, VerifyingShare::deserialize(&scaled.to_bytes()).ok()?))
        };
        let shares = indices.iter().map(|i| verifying(*i)).collect::<Option<BTreeMap<_, _>>>()?;
        let key = VerifyingKey::deserialize(&self.public.public_key().to_bytes()).ok()?;
        Some(S::tweak_public(PublicKeyPackage::new(shares, key, None), self.tweak))
    }
}

/// The inverse of the Lagrange coefficient that `frost-core` multiplies the share of `me` with, as it knows no access structure but a
/// threshold over the identifiers. Additive shares times this give the key again under its coefficients; for a plain threshold over 1 … n
/// the result is the share of our own sharing.
fn unscale<C: Curve>(quorum: &[PartyIndex], me: PartyIndex) -> Scalar<C> {
    let x_i = Scalar::<C>::from(me);
    let others = quorum.iter().filter(|j| **j != me);
    let (numerator, denominator) = others.fold((Scalar::ONE(), Scalar::ONE()), |(n, d), j| {
        let x_j = Scalar::<C>::from(*j);
        (n * (x_j - x_i), d * x_j)
    });
    numerator * denominator.invert()
}

/// The identifier of a peer that the session has already accepted as a member.
fn member<S: Suite>(peer: PartyIndex) -> Result<Identifier<S::Frost>, Abort> {
    identifier::<S>(peer).ok_or_else(|| Abort::by(peer, Check::Malformed))
}

/// State of party i after FROST.2. Holds its share and (d_i, e_i).
pub(crate) struct AwaitCommitments<S: Suite> {
    pub(crate) statement: Statement<S>,
    pub(crate) secrets: Secrets<S>,
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
        let Self { statement, secrets } = self;

        // FROST.3  B = ((j, D_j, E_j)) in order of j; the binding factors hash X, the message and all of B (test plan D3)
        let mut list = BTreeMap::from([(statement.me, secrets.commitment())]);
        for (j, received) in inbox {
            list.insert(member::<S>(j)?, received.broadcast.0);
        }
        let package = SigningPackage::new(list, &statement.message);

        // FROST.4  z_i, durable as consumed before it leaves; the nonces end here
        let z_i = secrets.sign(&package).map_err(|_| {
            let why = "the sum of the nonce commitments is the identity, and every party shares in it";
            Abort::new(Check::DegenerateNonce, Blame::Nobody(why))
        })?;
        let state = AwaitShares { statement, package, z_i };
        Ok(Turn::broadcast(state, &PartialSignature::<S>(z_i), context).after(Effect::Consume))
    }
}

/// State of party i after FROST.4. Holds no secret: z_i has left.
struct AwaitShares<S: Suite> {
    statement: Statement<S>,
    package: SigningPackage<S::Frost>,
    z_i: SignatureShare<S::Frost>,
}

impl<S: Suite> Round for AwaitShares<S> {
    type Broadcast = PartialSignature<S>;
    type Direct = Nothing;
    type Output = SignatureBytes;
    const NAME: &'static str = "partial signatures";

    fn receive(
        self,
        inbox: PerPeer<Received<PartialSignature<S>, Nothing>>,
        _: &mut Context<'_>,
    ) -> Result<Turn<SignatureBytes>, Abort> {
        let Self { statement, package, z_i } = self;

        // FROST.5  z = Σ z_j; the echoes have shown that all z_j were made over one list
        let mut shares = BTreeMap::from([(statement.me, z_i)]);
        for (j, received) in inbox {
            shares.insert(member::<S>(j)?, received.broadcast.0);
        }
        let keys = PublicKeyPackage::new(BTreeMap::new(), statement.output_key, None);
        let sum = aggregate_custom(&package, &shares, &keys, CheaterDetection::Disabled);

        // FROST.6  judged by an implementation that had no part in it
        let signature = sum.ok().and_then(|s| s.serialize().ok()?.try_into().ok()).map(SignatureBytes);
        let key = statement.output_key.serialize().unwrap_or_default();
        match signature.filter(|s| S::verify(&key, &statement.message, s)) {
            Some(signature) => Ok(Turn::done(signature)),
            None => Err(statement.blame(&package, &shares)),
        }
    }
}

impl<S: Suite> Statement<S> {
    /// FROST.7: the signer of least index whose partial signature is wrong.
    pub(crate) fn blame(
        &self,
        package: &SigningPackage<S::Frost>,
        shares: &BTreeMap<Identifier<S::Frost>, SignatureShare<S::Frost>>,
    ) -> Abort {
        let why = "every partial signature verifies, but their sum does not";
        let unexplained = Abort::new(Check::FinalSignature, Blame::Nobody(why));
        let Some(keys) = self.public_shares() else { return unexplained };
        let is_wrong = |party: PartyIndex| {
            let id = identifier::<S>(party)?;
            let (share, z) = (keys.verifying_shares().get(&id)?, shares.get(&id)?);
            Some(verify_signature_share(id, share, z, package, keys.verifying_key()).is_err())
        };
        self.quorum
            .indices()
            .find(|j| is_wrong(*j) == Some(true))
            .map_or(unexplained, |j| Abort::by(j, Check::PartialSignature))
    }
}

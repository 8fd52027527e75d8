//! Schnorr's proof of knowledge of a discrete logarithm, made non-interactive (Fiat-Shamir) and bound to session and prover.

use quorate_protocol::curve::{Curve, Point, Scalar, SecretScalar, WIDE_LEN};
use quorate_protocol::party::PartyId;
use quorate_protocol::rng::HedgedRng;
use quorate_protocol::session::SessionId;
use quorate_protocol::transcript::{Transcript, tags};

/// Proof of knowledge of `x` with `X = x·G`.
#[derive(Clone, Debug)]
pub struct ProofOfKnowledge<C: Curve> {
    /// `R = r·G`
    r: Point<C>,
    /// `z = r + c·x`
    z: Scalar<C>,
}

quorate_protocol::wire_struct!(ProofOfKnowledge<C> { r, z });

/// What a proof is about, beside the secret: everything that must differ for the proof to be worthless elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The session.
    pub session: SessionId,
    /// Long-term identity of the prover.
    pub prover: PartyId,
    /// What is proven, so that two proofs of one ceremony never stand for each other.
    pub purpose: &'static str,
    /// Further public values that the verifier must agree on.
    pub context: &'a [u8],
}

impl<C: Curve> ProofOfKnowledge<C> {
    /// Most bytes of the encoding.
    pub const MAX_LEN: usize = C::POINT_LEN + 32;

    /// Proves knowledge of `secret`.
    pub fn prove(secret: &SecretScalar<C>, statement: &Statement<'_>, rng: &mut HedgedRng) -> Self {
        let nonce = SecretScalar::random(rng);
        let r = nonce.public();
        let c = challenge(&secret.public(), &r, statement);
        Self { r, z: nonce.expose() + c * secret.expose() }
    }

    /// Whether the proof holds for `public` and the statement: `z·G = R + c·X`.
    #[must_use]
    pub fn verify(&self, public: &Point<C>, statement: &Statement<'_>) -> bool {
        let c = challenge(public, &self.r, statement);
        // z·G − c·X = R: everything here is public.
        !bool::from(public.is_identity()) && Point::lincomb_vartime(&self.z, &[(*public, -c)]) == self.r
    }
}

fn challenge<C: Curve>(public: &Point<C>, r: &Point<C>, statement: &Statement<'_>) -> Scalar<C> {
    let mut wide = [0u8; WIDE_LEN];
    let encoded = Point::encode_all(&[*public, *r]);
    let [public, r] =
        [0, 1].map(|at| encoded.get(at).and_then(|e| e.get(..C::POINT_LEN)).unwrap_or_default());
    Transcript::new(tags::SCHNORR_POK)
        .absorb("curve", C::ID.name().as_bytes())
        .absorb("session", &statement.session.0)
        .absorb("prover", &statement.prover.0)
        .absorb("purpose", statement.purpose.as_bytes())
        .absorb("context", statement.context)
        .absorb("public", public)
        .absorb("commitment", r)
        .xof()
        .fill(&mut wide);
    Scalar::from_wide(&wide)
}

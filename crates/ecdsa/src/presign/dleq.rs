//! Proof that two points have the same logarithm, to the bases G and R (Chaum and Pedersen 1992), made non-interactive (Fiat-Shamir).

use quorate_protocol::curve::{EcdsaCurve, Point, Scalar, SecretScalar, WIDE_LEN};
use quorate_protocol::party::PartyId;
use quorate_protocol::rng::HedgedRng;
use quorate_protocol::session::SessionId;
use quorate_protocol::transcript::{Transcript, tags};
use quorate_protocol::wire_struct;

/// V = v·G and C = v·R for one v that the prover knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct EqualLogs<C: EcdsaCurve> {
    c: Scalar<C>,
    z: Scalar<C>,
}
wire_struct!(EqualLogs<C: EcdsaCurve> { c, z });

/// What the proof is about.
pub(super) struct Statement<C: EcdsaCurve> {
    pub(super) session: SessionId,
    pub(super) prover: PartyId,
    pub(super) subject: [u8; 32],
    pub(super) R: Point<C>,
    pub(super) V: Point<C>,
    pub(super) C: Point<C>,
}

impl<C: EcdsaCurve> Statement<C> {
    fn challenge(&self, on_base: &Point<C>, on_nonce: &Point<C>) -> Scalar<C> {
        let mut wide = [0; WIDE_LEN];
        Transcript::new(tags::DLEQ)
            .absorb("curve", C::ID.name().as_bytes())
            .absorb("session", &self.session.0)
            .absorb("prover", &self.prover.0)
            .absorb("subject", &self.subject)
            .absorb("R", &self.R.to_bytes())
            .absorb("V", &self.V.to_bytes())
            .absorb("C", &self.C.to_bytes())
            .absorb("on G", &on_base.to_bytes())
            .absorb("on R", &on_nonce.to_bytes())
            .xof()
            .fill(&mut wide);
        Scalar::from_wide(&wide)
    }
}

impl<C: EcdsaCurve> EqualLogs<C> {
    pub(super) const LEN: usize = 64;

    pub(super) fn prove(statement: &Statement<C>, v: &SecretScalar<C>, rng: &mut HedgedRng) -> Self {
        let nonce = SecretScalar::random(rng);
        let c = statement.challenge(&nonce.public(), &(statement.R * nonce.expose()));
        Self { c, z: nonce.expose() + c * v.expose() }
    }

    pub(super) fn holds(&self, statement: &Statement<C>) -> bool {
        let on_base = Point::lincomb_vartime(&self.z, &[(statement.V, -self.c)]);
        let on_nonce =
            Point::lincomb_vartime(&Scalar::ZERO(), &[(statement.R, self.z), (statement.C, -self.c)]);
        statement.challenge(&on_base, &on_nonce) == self.c
    }
}

//! Who lied in round V: everything but the long-term secrets is on the table, and the claims of each party are computed anew.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{EcdsaCurve, Point, Scalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::Context;
use quorate_protocol::wire_struct;

use super::dleq::{EqualLogs, Statement};
use super::verified::Claim;
use crate::exchange::{Head, Open, binding, bindings_for};

/// What one party received of one peer, and the digest of what it had asked that peer: what h binds.
#[derive(Clone, Copy)]
pub(super) struct OpenedHead<C: EcdsaCurve> {
    pub(super) request: [u8; 32],
    pub(super) head: Head<C>,
}
wire_struct!(OpenedHead<C: EcdsaCurve> { request, head });
impl<C: EcdsaCurve> OpenedHead<C> {
    pub(super) const LEN: usize = 32 + Head::<C>::LEN;
}

/// What a party opens of an item.
#[derive(Clone)]
pub(super) struct Opening<C: EcdsaCurve> {
    pub(super) item: u16,
    pub(super) phi: Scalar<C>,
    /// of each peer, in order
    pub(super) heads: Vec<OpenedHead<C>>,
    /// C_i = v_i·R for V_i = v_i·G
    pub(super) proof: EqualLogs<C>,
}
wire_struct!(Opening<C: EcdsaCurve> { item, phi, heads, proof });

impl<C: EcdsaCurve> fmt::Debug for Opening<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opening({})", self.item)
    }
}

/// All that was said of one item.
pub(super) struct Inquiry<C: EcdsaCurve> {
    pub(super) subject: [u8; 32],
    pub(super) item: usize,
    pub(super) R: Point<C>,
    pub(super) opens: BTreeMap<PartyIndex, Open<C>>,
    pub(super) claims: BTreeMap<PartyIndex, Claim<C>>,
    pub(super) openings: BTreeMap<PartyIndex, Opening<C>>,
}

impl<C: EcdsaCurve> Inquiry<C> {
    /// PSIG.9, PSIG.10: the first party, in order of index, whose words do not agree with its own earlier ones.
    pub(super) fn verdict(&self, ctx: &Context<'_>) -> Abort {
        let parties = || ctx.committee.indices();
        for j in parties() {
            if let Some(check) = self.unbound(j, ctx) {
                return Abort::by(j, check);
            }
        }
        for j in parties() {
            if self.is_false(j, ctx) != Some(false) {
                return Abort::by(j, Check::Presignature);
            }
        }
        // The sums of the recomputed claims are right by algebra, so a wrong sum has a wrong summand.
        Abort::new(Check::Presignature, Blame::Nobody("every part is right, and their sum is not"))
    }

    /// PSIG.9 What j opens is what its peers bound in round 2.
    fn unbound(&self, j: PartyIndex, ctx: &Context<'_>) -> Option<Check> {
        let Some(opening) = self.openings.get(&j) else { return Some(Check::Malformed) };
        if opening.heads.len() + 1 != ctx.committee.len() {
            return Some(Check::Malformed);
        }
        let peers = ctx.committee.indices().filter(|&k| k != j);
        let bound = |(k, opened): (PartyIndex, &OpenedHead<C>)| {
            let expected = self
                .opens
                .get(&k)
                .and_then(|open| bindings_for(open, ctx.committee, k, j))
                .and_then(|bindings| bindings.get(self.item));
            let found = binding(ctx.session, k, j, &self.subject, &opened.request, &opened.head);
            expected == Some(&found)
        };
        if peers.zip(&opening.heads).all(bound) { None } else { Some(Check::Binding) }
    }

    /// What k sent to j.
    fn head(&self, k: PartyIndex, j: PartyIndex, ctx: &Context<'_>) -> Option<&Head<C>> {
        let place = ctx.committee.indices().filter(|&i| i != j).position(|i| i == k)?;
        Some(&self.openings.get(&j)?.heads.get(place)?.head)
    }

    /// PSIG.10 Whether u_j, K_j or C_j is wrong.
    fn is_false(&self, j: PartyIndex, ctx: &Context<'_>) -> Option<bool> {
        let (claim, opening, open) = (self.claims.get(&j)?, self.openings.get(&j)?, self.opens.get(&j)?);
        let mut Psi = opening.phi;
        let mut terms_u = Vec::new();
        let mut terms_v = Vec::new();
        for k in ctx.committee.indices().filter(|&k| k != j) {
            let (sent, got, peer) = (self.head(j, k, ctx)?, self.head(k, j, ctx)?, self.opens.get(&k)?);
            Psi += got.psi;
            let chi = opening.phi - sent.psi;
            terms_u.extend([
                (sent.gamma_u.point(), Scalar::ONE()),
                (peer.R.get(self.item)?.point(), chi),
                (got.gamma_u.point(), -Scalar::<C>::ONE()),
            ]);
            terms_v.extend([
                (sent.gamma_v.point(), Scalar::ONE()),
                (peer.pk, chi),
                (got.gamma_v.point(), -Scalar::<C>::ONE()),
            ]);
        }
        terms_u.push((open.R.get(self.item)?.point(), Psi));
        terms_v.push((open.pk, Psi));
        let U = Point::lincomb_vartime(&Scalar::ZERO(), &terms_u);
        let V = Point::lincomb_vartime(&Scalar::ZERO(), &terms_v);
        let statement = Statement {
            session: ctx.session,
            prover: ctx.id_of(j),
            subject: self.subject,
            R: self.R,
            V,
            C: claim.C.point(),
        };
        let right = U == Point::mul_base(&claim.u)
            && claim.K.point() == Point::lincomb_vartime(&Scalar::ZERO(), &[(self.R, opening.phi)])
            && opening.proof.holds(&statement);
        Some(!right)
    }
}

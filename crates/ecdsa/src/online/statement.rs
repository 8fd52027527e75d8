//! What a party signs about its partial signature, and what a wrong one proves to anybody. Spec: `spec/24-presign.md`, step ONL.7.
#![expect(non_snake_case, reason = "capital letters are group elements, as in the paper")]

use alloc::vec::Vec;

use quorate_protocol::borsh::{self, BorshDeserialize as _};
use quorate_protocol::curve::{CurveId, EcdsaCurve, P256, Point, Scalar, Secp256k1};
use quorate_protocol::message::encode;
use quorate_protocol::party::{Identity, IdentityKey, PartyIndex};
use quorate_protocol::session::SessionId;
use quorate_protocol::transcript::{Transcript, tags};
use quorate_protocol::wire_struct;

use crate::shown::Shown;

/// That w is the partial signature of a party in a session: with R, K, C of the presignature, e = m + r'_x·ε and r = r'_x.
///
/// It is true whenever its author computed w as ONL.3 says, whatever anybody else did: K = φ·R and C = v·R are the author's own.
#[derive(Clone, Debug)]
pub(super) struct Statement<C: EcdsaCurve> {
    pub(super) session: SessionId,
    pub(super) author: PartyIndex,
    pub(super) R: Shown<C>,
    pub(super) K: Shown<C>,
    pub(super) C: Shown<C>,
    pub(super) e: Scalar<C>,
    pub(super) r: Scalar<C>,
    pub(super) w: Scalar<C>,
}
wire_struct!(Statement<C: EcdsaCurve> { session, author, R, K, C, e, r, w });

impl<C: EcdsaCurve> Statement<C> {
    /// Whether w·R = e·K + r·C.
    pub(super) fn is_true(&self) -> bool {
        let terms = [(self.R.point(), self.w), (self.K.point(), -self.e), (self.C.point(), -self.r)];
        bool::from(Point::lincomb_vartime(&Scalar::ZERO(), &terms).is_identity())
    }

    fn signed_bytes(&self) -> [u8; 32] {
        Transcript::new(tags::PARTIAL)
            .absorb("curve", C::ID.name().as_bytes())
            .absorb("session", &self.session.0)
            .absorb_u64("author", self.author.get().into())
            .absorb("R", self.R.bytes())
            .absorb("K", self.K.bytes())
            .absorb("C", self.C.bytes())
            .absorb("e", &self.e.to_bytes())
            .absorb("r", &self.r.to_bytes())
            .absorb("w", &self.w.to_bytes())
            .digest()
    }

    pub(super) fn sign(&self, identity: &dyn Identity) -> [u8; 64] {
        identity.sign(&self.signed_bytes())
    }

    fn is_signed(&self, key: &IdentityKey, signature: &[u8; 64]) -> bool {
        key.verify(&self.signed_bytes(), signature)
    }

    /// The evidence that its author signed this and it is wrong, if it is so. 294 bytes on both curves.
    pub(super) fn evidence(&self, key: &IdentityKey, signature: &[u8; 64]) -> Option<Vec<u8>> {
        (!self.is_true() && self.is_signed(key, signature))
            .then(|| encode(&(C::ID, self.clone(), *signature)))
    }
}

/// Whether the evidence of an abort with [`PartialSignature`](quorate_protocol::abort::Check::PartialSignature) proves to anyone that the
/// holder of `key`, as `author`, signed a wrong partial signature in `session`.
#[must_use]
pub fn proves_wrong_partial(
    evidence: &[u8],
    session: SessionId,
    author: PartyIndex,
    key: &IdentityKey,
) -> bool {
    let mut rest = evidence;
    match CurveId::deserialize(&mut rest) {
        Ok(CurveId::Secp256k1) => proves::<Secp256k1>(rest, session, author, key),
        Ok(CurveId::P256) => proves::<P256>(rest, session, author, key),
        _ => false,
    }
}

fn proves<C: EcdsaCurve>(bytes: &[u8], session: SessionId, author: PartyIndex, key: &IdentityKey) -> bool {
    borsh::from_slice::<(Statement<C>, [u8; 64])>(bytes).is_ok_and(|(statement, signature)| {
        statement.session == session
            && statement.author == author
            && statement.evidence(key, &signature).is_some()
    })
}

#[cfg(test)]
mod tests {
    use quorate_protocol::party::LocalIdentity;

    use super::*;

    const SESSION: SessionId = SessionId([5; 32]);

    fn author() -> PartyIndex {
        PartyIndex::new(2).unwrap()
    }

    /// What a party says that signs with these, w being off by this much.
    fn said<C: EcdsaCurve>(off: u64) -> Statement<C> {
        let number = |n: u64| Scalar::<C>::from(n);
        let R = Point::mul_base(&number(77));
        let (phi, v, e, r) = (number(11), number(13), number(17), number(19));
        let times = |s: &Scalar<C>| Shown::new(Point::lincomb_vartime(&Scalar::ZERO(), &[(R, *s)]));
        let w = e * phi + r * v + number(off);
        let (K, C) = (times(&phi), times(&v));
        Statement { session: SESSION, author: author(), R: Shown::new(R), K, C, e, r, w }
    }

    fn only_a_wrong_one_proves<C: EcdsaCurve>() -> usize {
        let identity = LocalIdentity::from_seed(&[1; 32]);
        let key = identity.public();
        let right = said::<C>(0);
        let signature = right.sign(&identity);
        assert!(right.is_true() && right.evidence(&key, &signature).is_none());
        let forged = encode(&(C::ID, right, signature));
        assert!(!proves_wrong_partial(&forged, SESSION, author(), &key), "an honest party is not convicted");

        let wrong = said::<C>(1);
        let signature = wrong.sign(&identity);
        let evidence = wrong.evidence(&key, &signature).unwrap();
        assert_eq!(evidence.len(), 294);
        let proves = |evidence: &[u8]| proves_wrong_partial(evidence, SESSION, author(), &key);
        assert!(proves(&evidence));
        // Neither of another session, party or identity, nor unsigned.
        let other = LocalIdentity::from_seed(&[2; 32]);
        assert!(!proves_wrong_partial(&evidence, SessionId([6; 32]), author(), &key));
        assert!(!proves_wrong_partial(&evidence, SESSION, PartyIndex::new(3).unwrap(), &key));
        assert!(!proves_wrong_partial(&evidence, SESSION, author(), &other.public()));
        assert!(wrong.evidence(&key, &wrong.sign(&other)).is_none());
        assert!(!proves(&encode(&(C::ID, said::<C>(2), signature))), "signed, but something else");
        assert!(!proves(&[]) && !proves(&evidence[..293]) && !proves(&[&evidence[..], &[0]].concat()));
        for at in 0..evidence.len() {
            for bit in 0..8 {
                let mut other = evidence.clone();
                other[at] ^= 1 << bit;
                assert!(!proves(&other), "byte {at}, bit {bit}");
            }
        }
        evidence.len() * 8
    }

    /// covers: S34
    #[test]
    fn only_a_wrong_partial_that_was_signed_proves_anything() {
        assert_eq!(only_a_wrong_one_proves::<Secp256k1>() + only_a_wrong_one_proves::<P256>(), 2 * 294 * 8);
    }
}

//! Salted hash commitments, bound to the session and to the committer's long-term identity.

use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use subtle::ConstantTimeEq;

use crate::party::PartyId;
use crate::rng::HedgedRng;
use crate::session::SessionId;
use crate::transcript::{Transcript, tags};

/// A binding and, in the random-oracle model, hiding commitment to some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commitment([u8; 32]);

/// What opens a commitment beside the value. Secret until then.
#[derive(Clone, Copy, BorshSerialize, BorshDeserialize)]
pub struct Salt([u8; 32]);

impl core::fmt::Debug for Salt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl Commitment {
    /// Encoded length.
    pub const LEN: usize = 32;

    /// Commits to `value` as `committer` in `session`. `what` names the committed object.
    pub fn new(
        session: SessionId,
        committer: PartyId,
        what: &'static str,
        value: &[u8],
        rng: &mut HedgedRng,
    ) -> (Self, Salt) {
        let salt = Salt(rng.bytes());
        (Self::compute(session, committer, what, value, salt), salt)
    }

    /// Whether `value` and `salt` open it. The committer is inside, so a copied commitment does not open for the copier
    /// (test plan S9).
    #[must_use]
    pub fn opens(
        &self,
        session: SessionId,
        committer: PartyId,
        what: &'static str,
        value: &[u8],
        salt: Salt,
    ) -> bool {
        bool::from(Self::compute(session, committer, what, value, salt).0.ct_eq(&self.0))
    }

    fn compute(session: SessionId, committer: PartyId, what: &'static str, value: &[u8], salt: Salt) -> Self {
        let mut transcript = Transcript::new(tags::COMMITMENT);
        transcript
            .absorb("session", &session.0)
            .absorb("committer", &committer.0)
            .absorb("what", what.as_bytes())
            .absorb("value", value)
            .absorb("salt", &salt.0);
        Self(transcript.digest())
    }
}

impl Salt {
    /// Encoded length.
    pub const LEN: usize = 32;
}

/// Encodes a list of values for a commitment or a proof.
pub fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Entropy;
    use alloc::vec;

    /// covers: S9, C6
    #[test]
    fn a_commitment_opens_to_what_was_committed_alone() {
        let mut rng = HedgedRng::new(Entropy::new([1; 32]), b"secret", b"context");
        let (session, committer) = (SessionId([2; 32]), PartyId([3; 32]));
        let value = [4, 5, 6];
        let (commitment, salt) = Commitment::new(session, committer, "point", &value, &mut rng);
        assert!(commitment.opens(session, committer, "point", &value, salt));
        let mut cases = 0;
        for (at, bit) in (0..32).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))) {
            let flipped = |bytes: &[u8; 32]| {
                let mut bytes = *bytes;
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
                bytes
            };
            assert!(!Commitment(flipped(&commitment.0)).opens(session, committer, "point", &value, salt));
            assert!(!commitment.opens(session, committer, "point", &value, Salt(flipped(&salt.0))));
            assert!(!commitment.opens(SessionId(flipped(&session.0)), committer, "point", &value, salt));
            assert!(!commitment.opens(session, PartyId(flipped(&committer.0)), "point", &value, salt));
            cases += 4;
        }
        for (what, value) in [("Point", vec![4, 5, 6]), ("poin", vec![4, 5, 6]), ("point", vec![4, 5])] {
            assert!(!commitment.opens(session, committer, what, &value, salt));
            cases += 1;
        }
        for value in [vec![4, 5, 6, 0], vec![0, 4, 5, 6], vec![4, 5, 7], vec![]] {
            assert!(!commitment.opens(session, committer, "point", &value, salt));
            cases += 1;
        }
        assert_eq!(cases, 1031);
        // The same value again is another commitment.
        let (again, other) = Commitment::new(session, committer, "point", &value, &mut rng);
        assert_ne!(again, commitment);
        assert!(!again.opens(session, committer, "point", &value, salt));
        assert!(again.opens(session, committer, "point", &value, other));
    }
}

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

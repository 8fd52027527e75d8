//! Additive shares of zero from pairwise seeds (DKLs23, functionality F_Zero): they make the additive key shares of one session
//! independent of those of any other.

use quorate_protocol::curve::{Curve, Scalar, SecretScalar, WIDE_LEN};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::SessionId;
use quorate_protocol::transcript::{Transcript, tags};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 32 secret bytes that exactly two parties know.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ZeroSeed([u8; 32]);

impl core::fmt::Debug for ZeroSeed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ZeroSeed(..)")
    }
}

impl ZeroSeed {
    /// Takes ownership of a seed.
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// The bytes, towards a sealer.
    pub(crate) const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// `ζ_i = Σ_{j>i} F(z_ij) - Σ_{j<i} F(z_ij)` over the quorum. `F` binds epoch, session and quorum, so no mask is ever used twice.
pub(crate) fn share_of_zero<'a, C: Curve>(
    me: PartyIndex,
    quorum: &Committee,
    epoch_id: &[u8; 32],
    session: SessionId,
    seeds: impl Iterator<Item = (PartyIndex, &'a ZeroSeed)>,
) -> SecretScalar<C> {
    let mut sum = Scalar::ZERO();
    for (peer, seed) in seeds {
        let (low, high) = if me < peer { (me, peer) } else { (peer, me) };
        let mut hash = Transcript::new(tags::ZERO_SHARE);
        hash.absorb("seed", &seed.0).absorb("epoch", epoch_id).absorb("session", &session.0);
        quorum.absorb_into(&mut hash);
        hash.absorb_u64("low", low.get().into()).absorb_u64("high", high.get().into());
        let mut wide = Zeroizing::new([0u8; WIDE_LEN]);
        hash.xof().fill(&mut *wide);
        let mask = Scalar::from_wide(&wide);
        sum = if me < peer { sum + mask } else { sum - mask };
    }
    SecretScalar::new(sum)
}

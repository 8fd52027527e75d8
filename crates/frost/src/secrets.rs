//! The secrets of one signature: a share and two nonces that leave memory together.

use frost_core::keys::KeyPackage;
use frost_core::round1::{SigningCommitments, SigningNonces};
use frost_core::round2::SignatureShare;
use frost_core::{Error, SigningPackage, round1, round2};
use frost_ed25519::rand_core::{CryptoRng, Error as RngError, RngCore};
use quorate_protocol::rng::HedgedRng;

use crate::suite::Suite;

/// Key material and nonces (d_i, e_i) of one party for one signature. Not cloned, not printed, not stored; erased by use or on drop.
///
/// Two partial signatures from one pair of nonces reveal the share, so [`sign`](Self::sign) consumes the value.
pub(crate) struct Secrets<S: Suite> {
    key: KeyPackage<S::Frost>,
    nonces: SigningNonces<S::Frost>,
}

impl<S: Suite> Secrets<S> {
    /// `nonce_generate` of RFC 9591, 4.1, twice: hashes 32 random bytes with the share, so the nonces stay secret as long as one of the
    /// two does (test plan D4), and are never a function of the message alone (D2).
    pub(crate) fn generate(key: KeyPackage<S::Frost>, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let (nonces, _) = round1::commit(key.signing_share(), rng);
        Self { key, nonces }
    }

    /// (D_i, E_i)
    pub(crate) fn commitment(&self) -> SigningCommitments<S::Frost> {
        SigningCommitments::from(&self.nonces)
    }

    #[cfg(test)]
    pub(crate) fn with_zero_nonces(key: KeyPackage<S::Frost>) -> Self {
        let zero = || round1::Nonce::deserialize(&[0; 32]).unwrap();
        Self { key, nonces: SigningNonces::from_nonces(zero(), zero()) }
    }
    #[cfg(test)]
    pub(crate) fn nonces(&self) -> &SigningNonces<S::Frost> {
        &self.nonces
    }

    /// The partial signature; the only use of the nonces.
    pub(crate) fn sign(
        self,
        package: &SigningPackage<S::Frost>,
    ) -> Result<SignatureShare<S::Frost>, Error<S::Frost>> {
        round2::sign(package, &self.nonces, &self.key)
    }
}

/// The session's randomness for crates that speak the older trait.
pub(crate) struct OldRng<'a>(pub(crate) &'a mut HedgedRng);

impl RngCore for OldRng<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.0.bytes())
    }
    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), RngError> {
        self.0.fill(out);
        Ok(())
    }
}
impl CryptoRng for OldRng<'_> {}

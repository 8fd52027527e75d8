//! The secrets of one signature: an additive share and two nonces that leave memory together.

use quorate_protocol::curve::{Point, Scalar, SecretScalar};
use quorate_protocol::rng::HedgedRng;
use zeroize::Zeroizing;

use crate::message::Commitment;
use crate::suite::Suite;

/// Key material and nonces (d_i, e_i) of one party for one signature. Not cloned, not printed, not stored; erased by use or on drop.
///
/// Two partial signatures from one pair of nonces reveal the share, so [`sign`](Self::sign) consumes the value.
pub(crate) struct Secrets<S: Suite> {
    /// a'_i
    share: SecretScalar<S>,
    hiding: SecretScalar<S>,
    binding: SecretScalar<S>,
}

impl<S: Suite> Secrets<S> {
    /// `nonce_generate` of RFC 9591, 4.1, twice: hashes 32 random bytes with the rows of the share, so the nonces stay secret as long as
    /// one of the two does (test plan D4), and are never a function of the message alone (D2).
    pub(crate) fn generate(share: SecretScalar<S>, rows: &[SecretScalar<S>], rng: &mut HedgedRng) -> Self {
        let random = [(); 2].map(|()| Zeroizing::new(rng.bytes::<32>()));
        Self::from_random(share, rows, &random)
    }

    pub(crate) fn from_random(
        share: SecretScalar<S>,
        rows: &[SecretScalar<S>],
        [first, second]: &[Zeroizing<[u8; 32]>; 2],
    ) -> Self {
        let mut encoded = Zeroizing::new(alloc::vec::Vec::with_capacity(32 * rows.len()));
        for row in rows {
            encoded.extend_from_slice(&*Zeroizing::new(row.expose().to_bytes()));
        }
        let nonce = |random: &[u8; 32]| SecretScalar::new(S::nonce(&[random, &encoded]));
        Self { share, hiding: nonce(first), binding: nonce(second) }
    }

    /// (D_i, E_i)
    pub(crate) fn commitment(&self) -> Commitment<S> {
        let points = [self.hiding.public(), self.binding.public()];
        let mut encoded = Point::encode_all(&points).into_iter();
        let mut next = || encoded.next().unwrap_or([0; 33]);
        Commitment { points, encoded: [next(), next()] }
    }

    /// The same of many, with one inversion for all encodings.
    pub(crate) fn commitments(all: &[Self]) -> alloc::vec::Vec<Commitment<S>> {
        let points: alloc::vec::Vec<_> =
            all.iter().flat_map(|one| [one.hiding.public(), one.binding.public()]).collect();
        let encoded = Point::encode_all(&points);
        let (points, encoded) = (points.as_chunks::<2>().0, encoded.as_chunks::<2>().0);
        let pairs = points.iter().zip(encoded);
        pairs.map(|(points, encoded)| Commitment { points: *points, encoded: *encoded }).collect()
    }

    #[cfg(test)]
    pub(crate) fn with_zero_nonces(share: SecretScalar<S>) -> Self {
        let zero = || SecretScalar::new(Scalar::ZERO());
        Self { share, hiding: zero(), binding: zero() }
    }
    #[cfg(test)]
    pub(crate) fn nonces(&self) -> [[u8; 32]; 2] {
        [self.hiding.expose().to_bytes(), self.binding.expose().to_bytes()]
    }

    /// The partial signature z_i = ±(d_i + ρ_i·e_i) + c·a'_i; the only use of the nonces.
    pub(crate) fn sign(self, rho: &Scalar<S>, negate: bool, challenge: &Scalar<S>) -> Scalar<S> {
        let nonce = SecretScalar::new(self.hiding.expose() + *rho * self.binding.expose());
        // Which sign is public.
        let key = *challenge * self.share.expose();
        if negate { key - nonce.expose() } else { key + nonce.expose() }
    }
}

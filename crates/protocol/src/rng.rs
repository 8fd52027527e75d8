//! The only source of randomness of a protocol: a stream derived from fresh entropy, a secret and the session.

use core::{convert::Infallible, fmt};
use rand_core::{TryCryptoRng, TryRng};

use crate::transcript::{Transcript, Xof, tags};

/// Fresh bytes from the operating system, given to a session once. Not cloned, zeroised on drop.
#[derive(zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Entropy([u8; 32]);

impl Entropy {
    /// Takes ownership of 32 fresh random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// Deterministic stream: BLAKE3 over (entropy, secret, session). Repeated entropy, as after a restored snapshot of a virtual
/// machine, does not repeat nonces as long as the session differs; a known entropy does not reveal them as long as the secret holds
/// (test plan S31).
pub struct HedgedRng(Xof);

impl HedgedRng {
    /// Derives the stream. `secret` is any long-lived secret of the caller, such as the encoded share; it may be empty at key generation.
    pub fn new(entropy: Entropy, secret: &[u8], session: &[u8]) -> Self {
        let mut transcript = Transcript::new(tags::RNG);
        transcript.absorb("entropy", &entropy.0).absorb("secret", secret).absorb("session", session);
        Self(transcript.xof())
    }

    /// Fills a buffer.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }

    /// A random array.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0u8; N];
        self.fill(&mut out);
        out
    }
}

impl fmt::Debug for HedgedRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HedgedRng(..)")
    }
}

impl TryRng for HedgedRng {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.fill(out);
        Ok(())
    }
}
impl TryCryptoRng for HedgedRng {}

//! The `frost-*` crates called directly. Messages are handed over as values, without a wire.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use frost_core::keys::dkg::{part1, part2, part3};
use frost_core::keys::{KeyPackage, PublicKeyPackage};
use frost_core::{Ciphersuite, Error, Identifier, SigningPackage, aggregate, round1, round2};
use frost_ed25519::rand_core::{CryptoRng, Error as RngError, RngCore};
use quorate_protocol::rng::{Entropy, HedgedRng};

/// The same source of randomness as ours, behind the trait that these crates take.
pub(crate) struct Rng(HedgedRng);

impl Rng {
    /// Seeded by the operating system.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
        Ok(Self(HedgedRng::new(Entropy::new(bytes), b"", b"bench")))
    }
}

impl RngCore for Rng {
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
impl CryptoRng for Rng {}

fn failed<F: Ciphersuite>(error: Error<F>) -> anyhow::Error {
    anyhow!("frost failed: {error}")
}

/// A key: each party's package and the public one.
pub(crate) type Key<F> = (Vec<KeyPackage<F>>, PublicKeyPackage<F>);

/// Key generation.
pub(crate) fn generate<F: Ciphersuite>(k: u16, n: u16) -> anyhow::Result<Key<F>> {
    let (mut secrets, mut first) = (Vec::new(), BTreeMap::new());
    for index in 1..=n {
        let id = Identifier::<F>::try_from(index).map_err(failed)?;
        let (secret, package) = part1(id, n, k, Rng::new()?).map_err(failed)?;
        secrets.push((id, secret));
        first.insert(id, package);
    }
    let others = |id| {
        let mut packages = first.clone();
        packages.remove(&id);
        packages
    };
    let (mut seconds, mut inboxes) = (Vec::new(), BTreeMap::<_, BTreeMap<_, _>>::new());
    for (id, secret) in secrets {
        let received = others(id);
        let (secret, packages) = part2(secret, &received).map_err(failed)?;
        for (to, package) in packages {
            inboxes.entry(to).or_default().insert(id, package);
        }
        seconds.push((id, secret, received));
    }
    let (mut keys, mut public) = (Vec::new(), None);
    for (id, secret, received) in seconds {
        let inbox = inboxes.get(&id).context("a party without packages")?;
        let (key, package) = part3(&secret, &received, inbox).map_err(failed)?;
        keys.push(key);
        public = Some(package);
    }
    Ok((keys, public.context("no party")?))
}

/// Signs with the first `k` parties; `aggregators` of them finish the signature.
pub(crate) fn sign<F: Ciphersuite>(
    (keys, public): &Key<F>,
    k: usize,
    message: &[u8],
    aggregators: usize,
) -> anyhow::Result<Vec<u8>> {
    let (mut nonces, mut commitments) = (Vec::new(), BTreeMap::new());
    for key in keys.iter().take(k) {
        let (nonce, commitment) = round1::commit(key.signing_share(), &mut Rng::new()?);
        nonces.push(nonce);
        commitments.insert(*key.identifier(), commitment);
    }
    let mut shares = BTreeMap::new();
    let package = SigningPackage::new(commitments, message);
    for (key, nonces) in keys.iter().zip(&nonces) {
        shares.insert(*key.identifier(), round2::sign(&package, nonces, key).map_err(failed)?);
    }
    let mut signature = None;
    for _ in 0..aggregators {
        signature = Some(std::hint::black_box(aggregate(&package, &shares, public).map_err(failed)?));
    }
    signature.context("nobody aggregated")?.serialize().map_err(failed)
}

/// Bytes of one party's key in the crates' own encoding.
pub(crate) fn share_bytes<F: Ciphersuite>((keys, public): &Key<F>) -> anyhow::Result<usize> {
    let key = keys.first().context("no party")?.serialize().map_err(failed)?;
    Ok(key.len() + public.serialize().map_err(failed)?.len())
}

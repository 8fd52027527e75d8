//! `givre` called directly, as its examples do. Messages are handed over as values, without a wire.

use anyhow::{Context as _, anyhow};
use givre::Ciphersuite;
use givre::key_share::KeyShare;
use givre::signing::{aggregate::AggregateOptions, round1, round2::SigningOptions};

use crate::frost::Rng;

/// Shares of a key that a dealer made.
pub(crate) type Key<C> = Vec<KeyShare<<C as Ciphersuite>::Curve>>;

pub(crate) fn deal<C: Ciphersuite>(k: u16, n: u16) -> anyhow::Result<Key<C>> {
    givre::trusted_dealer::builder::<C::Curve>(n)
        .set_threshold(Some(k))
        .generate_shares(&mut Rng::new()?)
        .map_err(|error| anyhow!("givre failed: {error}"))
}

/// The public key before any tweak, compressed.
pub(crate) fn public_key<C: Ciphersuite>(key: &Key<C>) -> anyhow::Result<Vec<u8>> {
    Ok(key.first().context("no party")?.shared_public_key.to_bytes(true).as_bytes().to_vec())
}

/// Signs with the first `k` parties; `aggregators` of them finish the signature. A ciphersuite of Bitcoin signs for the output key.
pub(crate) fn sign<C: Ciphersuite>(
    key: &Key<C>,
    k: usize,
    message: &[u8],
    aggregators: usize,
) -> anyhow::Result<[u8; 64]> {
    let (mut nonces, mut commitments) = (Vec::new(), Vec::new());
    for (i, share) in (0u16..).zip(key.iter().take(k)) {
        let (secret, public) = round1::commit::<C>(&mut Rng::new()?, share);
        nonces.push((share, secret));
        commitments.push((i, public));
    }
    let mut partials = Vec::new();
    for ((share, nonces), (i, commitment)) in nonces.into_iter().zip(&commitments) {
        let mut options = SigningOptions::<C>::new(share, nonces, message, &commitments);
        if C::IS_TAPROOT {
            options = options.set_taproot_tweak(None).map_err(|e| anyhow!("givre failed: {e}"))?;
        }
        partials.push((*i, *commitment, options.sign().map_err(|e| anyhow!("givre failed: {e}"))?));
    }
    let info: &givre::key_share::KeyInfo<C::Curve> = key.first().context("no party")?.as_ref();
    let mut signature = None;
    for _ in 0..aggregators {
        let mut options = AggregateOptions::<C>::new(info, &partials, message);
        if C::IS_TAPROOT {
            options = options.set_taproot_tweak(None).map_err(|e| anyhow!("givre failed: {e}"))?;
        }
        let made = options.aggregate().map_err(|e| anyhow!("givre failed: {e}"))?;
        signature = Some(std::hint::black_box(made));
    }
    let mut bytes = [0; 64];
    signature.context("nobody aggregated")?.write_to_slice(&mut bytes);
    Ok(bytes)
}

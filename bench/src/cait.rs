//! `cait-sith` driven by its own in-memory driver: key generation, and a signature with everything that it needs. Its 0.8 makes the base OTs
//! anew in every triple; its successor keeps them, and is not on crates.io.

use anyhow::{Context as _, anyhow};
use cait_sith::protocol::{Participant, Protocol, run_protocol};
use cait_sith::triples::{TripleGenerationOutput, generate_triple};
use cait_sith::{FullSignature, KeygenOutput, PresignArguments, PresignOutput, keygen, presign, sign};
use k256_13::elliptic_curve::{
    PrimeField as _, bigint::U256, ops::Reduce, point::AffineCoordinates as _, sec1::ToEncodedPoint as _,
};
use k256_13::{Scalar, Secp256k1};

type Outputs<T> = Vec<(Participant, T)>;

/// Runs one protocol among the participants.
fn all<T, P: Protocol<Output = T> + 'static>(
    participants: &[Participant],
    mut start: impl FnMut(Participant) -> Result<P, cait_sith::protocol::InitializationError>,
) -> anyhow::Result<Outputs<T>> {
    let mut protocols: Vec<(Participant, Box<dyn Protocol<Output = T>>)> = Vec::new();
    for p in participants {
        protocols.push((*p, Box::new(start(*p).map_err(|e| anyhow!("cait-sith does not start: {e}"))?)));
    }
    let mut outputs = run_protocol(protocols).map_err(|e| anyhow!("cait-sith failed: {e}"))?;
    outputs.sort_by_key(|(p, _)| *p);
    Ok(outputs)
}

/// A key.
pub(crate) struct Key {
    shares: Outputs<KeygenOutput<Secp256k1>>,
    threshold: usize,
}

/// Key generation among all.
pub(crate) fn generate(k: u16, n: u16) -> anyhow::Result<Key> {
    let participants: Vec<Participant> = (0..u32::from(n)).map(Participant::from).collect();
    let threshold = usize::from(k);
    let shares = all(&participants, |p| keygen::<Secp256k1>(&participants, p, threshold))?;
    Ok(Key { shares, threshold })
}

/// The public key, compressed.
pub(crate) fn public_key(key: &Key) -> anyhow::Result<Vec<u8>> {
    let (_, share) = key.shares.first().context("no party")?;
    Ok(share.public_key.to_encoded_point(true).as_bytes().to_vec())
}

/// What makes one signature of the first `k` parties.
pub(crate) type Presigned = Outputs<PresignOutput<Secp256k1>>;

fn quorum(key: &Key) -> Vec<Participant> {
    key.shares.iter().take(key.threshold).map(|(p, _)| *p).collect()
}

/// Two triples, and a presignature of them.
pub(crate) fn presign_all(key: &Key) -> anyhow::Result<Presigned> {
    let quorum = quorum(key);
    let triples = || -> anyhow::Result<Outputs<TripleGenerationOutput<Secp256k1>>> {
        all(&quorum, |p| generate_triple(&quorum, p, key.threshold))
    };
    let (first, second) = (triples()?, triples()?);
    all(&quorum, |p| {
        let none = || cait_sith::protocol::InitializationError::BadParameters("no triple".to_owned());
        let of = |outputs: &Outputs<TripleGenerationOutput<Secp256k1>>| {
            outputs.iter().find(|(q, _)| *q == p).map(|(_, t)| t.clone()).ok_or_else(none)
        };
        let keygen_out = key.shares.iter().find(|(q, _)| *q == p).map(|(_, s)| s.clone()).ok_or_else(none)?;
        presign(
            &quorum,
            p,
            PresignArguments {
                triple0: of(&first)?,
                triple1: of(&second)?,
                keygen_out,
                threshold: key.threshold,
            },
        )
    })
}

/// The signature, with the parts of all.
pub(crate) fn sign_presigned(key: &Key, presigned: &Presigned, digest: [u8; 32]) -> anyhow::Result<[u8; 64]> {
    let quorum = quorum(key);
    let (_, share) = key.shares.first().context("no party")?;
    let message = <Scalar as Reduce<U256>>::reduce_bytes(&digest.into());
    let signed: Outputs<FullSignature<Secp256k1>> = all(&quorum, |p| {
        let none = || cait_sith::protocol::InitializationError::BadParameters("no presignature".to_owned());
        let output = presigned.iter().find(|(q, _)| *q == p).map(|(_, s)| s.clone()).ok_or_else(none)?;
        sign(&quorum, p, share.public_key, output, message)
    })?;
    let (_, signature) = signed.first().context("nobody signed")?;
    let r = <Scalar as Reduce<U256>>::reduce_bytes(&signature.big_r.x());
    let mut bytes = [0; 64];
    let (low, high) = bytes.split_at_mut(32);
    low.copy_from_slice(&r.to_repr());
    high.copy_from_slice(&signature.s.to_repr());
    Ok(bytes)
}

/// One signature from nothing: two triples, a presignature, and the signature of the first `k` parties.
pub(crate) fn sign_all(key: &Key, digest: [u8; 32]) -> anyhow::Result<[u8; 64]> {
    sign_presigned(key, &presign_all(key)?, digest)
}

//! Clients that ask for one signature after the other.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use quorate_api::client::Client;
use quorate_api::intent::Scheme;
use quorate_api::intent::build::message;
use quorate_api::{Key, OperationResult, Sign, SignResult};
use quorate_frost::{SignatureBytes, verify_ed25519};
use serde::Serialize;
use tokio::task::JoinSet;

use super::processes::Cluster;
use crate::measure::percentile;

/// How long an operation may take.
pub(crate) const WAIT: Duration = Duration::from_secs(30);
/// How long a client rests after a failure.
const REST: Duration = Duration::from_millis(100);

/// What a load gave.
#[derive(Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) signed: usize,
    pub(crate) failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_error: Option<String>,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// A fresh idempotency key.
pub(crate) fn fresh() -> anyhow::Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

async fn sign_once(client: &Client, key: &Key) -> anyhow::Result<(Duration, SignResult)> {
    let name = fresh()?;
    let request = Sign { intent: message(name.as_bytes()), path: None, quorum: None };
    let begin = Instant::now();
    let mut operation = client.sign(&key.id, &request, &name, WAIT).await?;
    if !operation.status.is_final() {
        operation = client.wait(&operation.id, WAIT, WAIT, |_| ()).await?;
    }
    let time = begin.elapsed();
    match operation.result {
        Some(OperationResult::Sign(result)) => Ok((time, *result)),
        _ => bail!("asked for a signature, got something else"),
    }
}

fn verify(key: &Key, result: &SignResult) -> anyhow::Result<()> {
    let signature = result.signatures.first().context("a result without a signature")?;
    let bytes: [u8; 64] = signature.signature.0.as_slice().try_into().context("not 64 bytes")?;
    match key.scheme {
        Scheme::EcdsaSecp256k1 => {
            use k256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
            let digest = signature.digest.as_ref().context("a result without a digest")?;
            let public = VerifyingKey::from_sec1_bytes(&key.public_key.0)?;
            public.verify_prehash(&digest.0, &Signature::from_slice(&bytes)?)?;
        }
        Scheme::Ed25519 => {
            let message = signature.message.as_ref().context("a result without its message")?;
            let public = key.public_key.0.as_slice().try_into().context("not an Ed25519 key")?;
            ensure!(verify_ed25519(public, &message.0, &SignatureBytes(bytes)), "the signature is not valid");
        }
        other => bail!("no load is made of {other}"),
    }
    Ok(())
}

/// What one client did.
#[derive(Debug, Default)]
struct Done {
    times: Vec<Duration>,
    failed: usize,
    first_error: Option<String>,
}

async fn client_until(client: Client, key: Key, end: Instant) -> anyhow::Result<Done> {
    let mut done = Done::default();
    while Instant::now() < end {
        match sign_once(&client, &key).await {
            Ok((time, result)) => {
                if done.times.is_empty() {
                    verify(&key, &result)?;
                }
                done.times.push(time);
            }
            Err(error) => {
                done.failed += 1;
                done.first_error.get_or_insert_with(|| format!("{error:#}"));
                tokio::time::sleep(REST).await;
            }
        }
    }
    Ok(done)
}

/// So many clients at once for so long.
///
/// # Errors
/// When a signature is not valid, or there is none at all.
pub(crate) async fn load(
    cluster: &Cluster,
    key: &Key,
    clients: usize,
    time: Duration,
) -> anyhow::Result<Load> {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for at in 0..clients {
        tasks.spawn(client_until(cluster.client(at)?, key.clone(), begin + time));
    }
    let mut all = Done::default();
    while let Some(done) = tasks.join_next().await {
        let done = done.context("a client ended badly")??;
        all.times.extend(done.times);
        all.failed += done.failed;
        all.first_error = all.first_error.or(done.first_error);
    }
    let elapsed = begin.elapsed().as_secs_f64();
    all.times.sort();
    let at = |share| {
        let why = all.first_error.as_deref().unwrap_or("no reason known");
        percentile(&all.times, share)
            .with_context(|| format!("no signature at all with {clients} clients: {why}"))
    };
    let (p50_ms, p99_ms) = (at(0.5)?, at(0.99)?);
    Ok(Load {
        signed: all.times.len(),
        failed: all.failed,
        first_error: all.first_error.clone(),
        per_second: f64::from(u32::try_from(all.times.len())?) / elapsed,
        p50_ms,
        p99_ms,
    })
}

//! Loads, made by `quorate bench`: what users measure with is what we measure with.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use quorate_api::Key;
use serde::{Deserialize, Serialize};

use super::processes::Cluster;

/// How long an operation may take.
pub(crate) const WAIT: Duration = Duration::from_secs(30);

/// What a load gave: the part of what `quorate bench` prints that reports show.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    #[serde(rename(deserialize = "signatures"))]
    pub(crate) signed: u32,
    pub(crate) failed: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_error: Option<String>,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    /// Signatures made with presignatures.
    pub(crate) from_pools: u32,
    /// Signatures made before what is measured.
    pub(crate) warm_up: u32,
}

#[derive(Deserialize)]
struct Printed {
    loads: Vec<Load>,
}

/// A fresh idempotency key.
pub(crate) fn fresh() -> anyhow::Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// So many clients at once for so long, in whole seconds.
///
/// # Errors
/// When a signature is not valid, or there is none at all.
pub(crate) async fn load(
    cluster: &Cluster,
    key: &Key,
    clients: usize,
    time: Duration,
) -> anyhow::Result<Load> {
    load_with(cluster, key, clients, time, 0).await
}

/// The same once every node has so many presignatures.
///
/// # Errors
/// As [`load`], and when a node makes fewer.
pub(crate) async fn load_with(
    cluster: &Cluster,
    key: &Key,
    clients: usize,
    time: Duration,
    pool: usize,
) -> anyhow::Result<Load> {
    let mut command = Command::new(cluster.binary());
    command.args(["bench", "--json", "--key"]).arg(key.id.to_string());
    command.arg("--clients").arg(clients.to_string()).arg("--seconds").arg(time.as_secs().to_string());
    command.arg("--pool").arg(pool.to_string()).arg("--wait").arg(format!("{}s", WAIT.as_secs()));
    cluster.speak(&mut command);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    ensure!(output.status.success(), "`quorate bench` ended with {}", output.status);
    let printed: Printed =
        serde_json::from_slice(&output.stdout).context("`quorate bench` printed something else")?;
    printed.loads.into_iter().next().context("`quorate bench` printed no load")
}

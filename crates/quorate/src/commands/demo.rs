//! `quorate demo`: a whole story in one command. Three nodes create keys together and sign what real chains accept; one fails, two fail,
//! and both come back.

pub(crate) mod disaster;
mod governance;
mod lifecycle;
mod passkey;
pub(crate) mod report;
pub(crate) mod steps;

use crate::commands::block_on;
use crate::local::{LocalCluster, NAMES};
use crate::output::{Output, chain};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use quorate_intent::Scheme;
use std::time::Instant;

use self::report::{Event, Report};
use self::steps::{create_keys, refused, sign_everything, sign_message, sign_transfer};

/// Arguments of `quorate demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Print one JSON object a line instead of the story.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    story: Option<Story>,
}

/// Another story than that of keys and signatures.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Story {
    /// People decide: a payment waits for the right ones, the log proves it, an admin freezes.
    Governance,
    /// A key outlives disks and committees: refresh, a node more, a node less, a lost disk, a higher threshold,
    /// and the loss of everything but backups and recovery keys.
    Lifecycle,
}

/// Runs the story; whatever happens, the processes are stopped and the folder is removed.
pub(crate) fn run(args: &DemoArgs, output: &Output) -> anyhow::Result<()> {
    let report = Report::new(args.json, output);
    tell_to_the_end(&report, tell(args.story, &report))
}

/// Tells a story, and how it ended.
pub(crate) fn tell_to_the_end(
    report: &Report<'_>,
    story: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let told = block_on(async {
        // Ctrl-C and SIGTERM end the story like an error does, so that nothing is left behind.
        tokio::select! {
            told = story => told,
            stopped = interrupted() => stopped,
        }
    });
    let elapsed_s = started.elapsed().as_secs_f64();
    report.tell(&Event::End { ok: told.is_ok(), elapsed_s, error: told.as_ref().err().map(chain) })?;
    told
}

async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    anyhow::bail!("interrupted")
}

async fn tell(which: Option<Story>, report: &Report<'_>) -> anyhow::Result<()> {
    match which {
        None => story(report).await,
        Some(Story::Governance) => governance::story(report).await,
        Some(Story::Lifecycle) => lifecycle::story(report).await,
    }
}

async fn story(report: &Report<'_>) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("quorate-demo-")
        .tempdir()
        .context("cannot make a temporary folder")?;

    report.chapter(
        "Three nodes start, each a process with its own data folder, identity key and sealed store",
    )?;
    let mut cluster = LocalCluster::create(folder.path()).await?;
    for node in &mut cluster.nodes {
        let pid = node.start()?;
        report.tell(&Event::node("start", node, pid))?;
    }
    for name in NAMES {
        cluster.wait_ready(name, 2).await?;
    }

    report.chapter("They create keys together; no machine ever holds a whole private key")?;
    let keys = create_keys(&cluster.client("a")?, report).await?;

    report.chapter("Two of three sign; a library that shares no code with ours checks every signature")?;
    sign_everything(&cluster, &keys, report).await?;

    report.chapter("Node c is killed; the other two go on")?;
    stop(&mut cluster, "c", report)?;
    cluster.wait_gone("a", "c").await?;
    sign_transfer(&cluster.client("a")?, &keys, "after c has gone", None, report).await?;
    sign_message(&cluster.client("b")?, &keys, "b coordinates as well as a does", report).await?;

    report.chapter("Node b is killed too; one share of three is nothing")?;
    stop(&mut cluster, "b", report)?;
    cluster.wait_gone("a", "b").await?;
    refused(&cluster.client("a")?, &keys, report).await?;

    report.chapter("Both come back, open their sealed shares, and sign")?;
    for name in ["b", "c"] {
        let node = cluster.node(name)?;
        let pid = node.start()?;
        report.tell(&Event::node("restart", node, pid))?;
    }
    for name in NAMES {
        cluster.wait_ready(name, 2).await?;
    }
    sign_everything(&cluster, &keys, report).await?;

    for node in &mut cluster.nodes {
        node.stop();
    }
    drop(cluster);
    folder.close().context("cannot remove the temporary folder")
}

fn stop(cluster: &mut LocalCluster, name: &str, report: &Report<'_>) -> anyhow::Result<()> {
    cluster.node(name)?.kill();
    report.tell(&Event::Stop { node: name.to_owned() })
}

/// The scheme's name for people.
fn scheme_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::EcdsaSecp256k1 => "ECDSA on secp256k1",
        Scheme::EcdsaP256 => "ECDSA on P-256",
        Scheme::Ed25519 => "Ed25519",
        Scheme::Bip340 => "BIP-340 Schnorr",
    }
}

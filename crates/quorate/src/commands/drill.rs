//! `quorate drill`: the disaster drill with real processes. Every node is lost with everything on it; fresh machines, backups and recovery
//! keys bring the same addresses back, and they sign.

use super::demo::disaster::{Vault, restore_all};
use super::demo::report::{Drilled, DrilledKey, DrilledStep, Event, Report};
use super::demo::steps::{Keys, create_keys, sign_everything};
use super::demo::tell_to_the_end;
use crate::local::{LocalCluster, NAMES};
use crate::output::Output;
use anyhow::{Context as _, ensure};
use clap::Args;
use quorate_api::Key;
use std::time::{Duration, Instant};

/// Shares that are needed, and nodes whose shares are restored.
const QUORUM: usize = 2;
/// How long a node may take to follow a move.
const SETTLES: Duration = Duration::from_secs(10);

/// Arguments of `quorate drill`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything is made for the drill, in a temporary folder and on loopback, and is removed at its end: no node of yours is touched. What it
does by itself is what people do after a disaster, with the same commands: docs/backup.md.

Exit codes: 0 every key signs again under its addresses · 1 something does not, with the reason

Examples:
  quorate drill
  quorate drill --json | tail -2 | head -1 > drill.json")]
pub(crate) struct DrillArgs {
    /// Print one JSON object a line; the last but one is the report.
    #[arg(long)]
    json: bool,
}

/// Runs the drill; whatever happens, the processes are stopped and the folder is removed.
pub(crate) fn run(args: &DrillArgs, output: &Output) -> anyhow::Result<()> {
    let report = Report::new(args.json, output);
    tell_to_the_end(&report, drill(&report))
}

/// What took how long.
#[derive(Debug)]
struct Clock {
    started: Instant,
    since: Instant,
    steps: Vec<DrilledStep>,
}

impl Clock {
    fn new() -> Self {
        let now = Instant::now();
        Self { started: now, since: now, steps: Vec::new() }
    }

    /// Ends a step.
    fn step(&mut self, what: &str) {
        let now = Instant::now();
        let seconds = now.duration_since(self.since).as_secs_f64();
        self.steps.push(DrilledStep { what: what.to_owned(), seconds });
        self.since = now;
    }
}

async fn drill(report: &Report<'_>) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("quorate-drill-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let mut clock = Clock::new();

    report.chapter("1  Three people make recovery keys, three nodes make keys of which any two sign")?;
    let mut cluster = LocalCluster::create(folder.path()).await?;
    let vault = Vault::make(folder.path(), &mut cluster, report).await?;
    for node in &mut cluster.nodes {
        let pid = node.start()?;
        report.tell(&Event::node("start", node, pid))?;
    }
    for name in NAMES {
        cluster.wait_ready(name, 2).await?;
    }
    let keys = create_keys(&cluster.client("a")?, report).await?;
    clock.step("nodes, recovery keys and keys made");
    sign_everything(&cluster, &keys, report).await?;
    clock.step("signed before the disaster");

    report.chapter("2  Each node backs its shares up, encrypted so that anybody can check it")?;
    vault.back_up(&cluster, report).await?;
    clock.step("backed up");

    report.chapter("3  The disaster: every node is lost")?;
    let names = Vault::strike(&mut cluster, report)?;
    clock.step("every node lost");

    report.chapter("4  Fresh machines, backups, and two people who answer from where they are")?;
    vault.recover(&mut cluster, &names, QUORUM, report).await?;
    clock.step("shares restored at two fresh machines, all three started");

    report.chapter("5  The lost parties are declared lost, and the restored shares deal new ones")?;
    restore_all(&cluster, "a").await?;
    let after = keys_after(&cluster, &keys, report).await?;
    clock.step("keys moved to a new epoch");

    report.chapter("6  The same addresses sign, also with the node that restored nothing")?;
    sign_everything(&cluster, &keys, report).await?;
    clock.step("signed after the disaster, verified by foreign libraries");

    for node in &mut cluster.nodes {
        node.stop();
    }
    drop(cluster);
    folder.close().context("cannot remove the temporary folder")?;
    let recovered_s = clock.steps.iter().skip(4).map(|step| step.seconds).sum();
    let elapsed_s = clock.started.elapsed().as_secs_f64();
    report.tell(&Event::Drilled(Box::new(Drilled {
        steps: clock.steps,
        keys: after,
        recovered_s,
        elapsed_s,
    })))
}

/// The key at a node, once it is in its next epoch there: who coordinated the move may be a moment ahead.
async fn settled(cluster: &LocalCluster, name: &str, before: &Key) -> anyhow::Result<Key> {
    let (client, started) = (cluster.client(name)?, Instant::now());
    loop {
        let here = client.key(&before.id).await?;
        if here.epoch > before.epoch || started.elapsed() > SETTLES {
            return Ok(here);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// The keys as they are at every node now, which must be as they were.
async fn keys_after(
    cluster: &LocalCluster,
    keys: &Keys,
    report: &Report<'_>,
) -> anyhow::Result<Vec<DrilledKey>> {
    let mut after = Vec::new();
    for before in keys.all() {
        let mut now: Option<Key> = None;
        for name in NAMES {
            let here = settled(cluster, name, before).await?;
            ensure!(here.public_key == before.public_key, "another public key came back");
            ensure!(here.addresses == before.addresses, "the addresses changed");
            ensure!(here.epoch == before.epoch + 1, "node {name} is in another epoch");
            now = Some(here);
        }
        let now = now.context("there are no nodes")?;
        report.tell(&Event::back(before, &now))?;
        after.push(DrilledKey::of(before, &now));
    }
    Ok(after)
}

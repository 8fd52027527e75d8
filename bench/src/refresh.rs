//! `refresh`: how many signatures a cluster still makes while it refreshes many keys, and how long that takes.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use quorate_api::client::Client;
use quorate_api::intent::Scheme;
use quorate_api::{Act, Key, OperationResult, Refresh};
use serde_json::json;
use tokio::task::JoinSet;

use crate::cluster::create;
use crate::cluster::load::{Load, WAIT, fresh, load};
use crate::cluster::processes::Cluster;
use crate::machine::Machine;

/// How long each load lasts; while keys are refreshed, loads follow one another.
const TURN: Duration = Duration::from_secs(4);

/// What the command line can say.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The `quorate` program
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// Keys that are refreshed
    #[arg(long, default_value_t = 1_000)]
    keys: usize,
    /// Refreshes at once
    #[arg(long, default_value_t = 2)]
    at_once: usize,
    /// Clients that sign at once
    #[arg(long, default_value_t = 8)]
    clients: usize,
}

/// What was found for one scheme.
struct Found {
    before: Load,
    during: Vec<Load>,
    after: Load,
    created: Duration,
    refreshed: Duration,
    cpu_ms: Option<f64>,
    /// Refreshes that were asked for again.
    again: usize,
}

type Queue = Arc<Mutex<VecDeque<Key>>>;

/// Takes keys from the queue until it is empty.
async fn take<F: Future<Output = anyhow::Result<usize>>>(
    queue: Queue,
    work: impl Fn(Key) -> F,
) -> anyhow::Result<usize> {
    let mut sum = 0;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(key) = next else { return Ok(sum) };
        sum += work(key).await?;
    }
}

/// Refreshes a key; gives how often it had to be asked for again.
async fn refresh(client: Arc<Client>, key: Key) -> anyhow::Result<usize> {
    let act = Act::Refresh(Refresh { epoch: key.epoch, reason: None });
    for again in 0..100 {
        let done = async {
            let mut operation = client.act(&key.id, &act, &fresh()?, WAIT).await?;
            if !operation.status.is_final() {
                operation = client.wait(&operation.id, WAIT, WAIT, |_| ()).await?;
            }
            Ok::<_, anyhow::Error>(operation)
        };
        match done.await {
            Ok(operation) => match operation.result {
                Some(OperationResult::Moved(_)) => return Ok(again),
                _ => bail!("asked for a refresh, got something else"),
            },
            // It may have been carried out all the same.
            Err(error) => {
                let now = client.key(&key.id).await?;
                if now.epoch > key.epoch {
                    ensure!(now.public_key == key.public_key, "a key is another one after its refresh");
                    return Ok(again);
                }
                eprintln!("{}: {error:#}", key.id);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    bail!("{} cannot be refreshed", key.id)
}

async fn make(cluster: &Cluster, scheme: Scheme, count: usize) -> anyhow::Result<Vec<Key>> {
    let (mut tasks, mut keys) = (JoinSet::new(), Vec::new());
    for at in 0..count {
        if tasks.len() >= 4 {
            keys.push(tasks.join_next().await.context("no key is being made")???);
        }
        let client = cluster.client(at)?;
        tasks.spawn(async move { create(&client, scheme).await });
    }
    while let Some(key) = tasks.join_next().await {
        keys.push(key??);
    }
    Ok(keys)
}

async fn measure(options: &Options, scheme: Scheme) -> anyhow::Result<Found> {
    let cluster = Cluster::start(&options.binary, None)?;
    let signing = create(&cluster.client(0)?, scheme).await?;
    eprintln!("{scheme}: making {} keys", options.keys);
    let begin = Instant::now();
    let keys = make(&cluster, scheme, options.keys).await?;
    let created = begin.elapsed();
    load(&cluster, &signing, options.clients, Duration::from_secs(1)).await?;
    let before = load(&cluster, &signing, options.clients, TURN).await?;
    eprintln!("{scheme}: refreshing them");
    let (begin, cpu) = (Instant::now(), cluster.cpu());
    let queue: Queue = Arc::new(Mutex::new(keys.into()));
    let mut tasks = JoinSet::new();
    for at in 0..options.at_once {
        let client = Arc::new(cluster.client(at)?);
        tasks.spawn(take(Arc::clone(&queue), move |key| refresh(Arc::clone(&client), key)));
    }
    let (mut during, mut again) = (Vec::new(), 0);
    while queue.lock().unwrap_or_else(PoisonError::into_inner).len() > options.at_once {
        during.push(load(&cluster, &signing, options.clients, TURN).await?);
        // A task that ended early ended badly.
        while let Some(done) = tasks.try_join_next() {
            again += done??;
        }
    }
    while let Some(done) = tasks.join_next().await {
        again += done??;
    }
    let refreshed = begin.elapsed();
    let cpu_ms = cluster.cpu().zip(cpu).map(|(after, before)| (after - before) * 1e3);
    let after = load(&cluster, &signing, options.clients, TURN).await?;
    Ok(Found { before, during, after, created, refreshed, cpu_ms, again })
}

fn median(mut values: Vec<f64>) -> anyhow::Result<f64> {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() / 2)
        .copied()
        .context("the refresh was over before anything was measured: take more keys")
}

/// Measures and prints.
///
/// # Errors
/// When a key is not refreshed, or nothing is signed.
pub(crate) fn run(options: &Options, as_json: bool) -> anyhow::Result<()> {
    let machine = Machine::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if !as_json {
        println!(
            "# Signing while {} keys are refreshed\n\n{}; load now {}.\nThree `quorate` processes and the clients share this machine; {} clients \
             sign with one more key of 2 of 3 while {} refreshes run at once. Rates are signatures a second: medians of loads of {} s.\n",
            options.keys,
            machine.line(),
            Machine::now().load,
            options.clients,
            options.at_once,
            TURN.as_secs()
        );
        println!(
            "| scheme | before | during | share | after | p99 ms before | during | failed | refreshed in s | refreshes/s | asked again | made in s |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    }
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Ed25519] {
        let found = runtime.block_on(measure(options, scheme))?;
        let Found { before, during, after, created, refreshed, cpu_ms, again } = &found;
        let rate = median(during.iter().map(|load| load.per_second).collect())?;
        let p99 = median(during.iter().map(|load| load.p99_ms).collect())?;
        let failed: u32 = during.iter().map(|load| load.failed).sum();
        let (share, seconds) = (rate / before.per_second, refreshed.as_secs_f64());
        let per_second = f64::from(u32::try_from(options.keys)?) / seconds;
        if as_json {
            println!(
                "{}",
                json!({
                    "report": "refresh", "machine": machine, "scheme": scheme.to_string(), "keys": options.keys,
                    "per_second_before": before.per_second, "per_second_during": rate, "share": share,
                    "per_second_after": after.per_second, "p99_ms_before": before.p99_ms, "p99_ms_during": p99,
                    "failed": failed, "refreshed_s": seconds, "refreshes_per_second": per_second, "asked_again": again,
                    "created_s": created.as_secs_f64(), "node_cpu_ms_during": cpu_ms,
                })
            );
        } else {
            println!(
                "| {scheme} | {:.1} | {rate:.1} | {:.0} % | {:.1} | {:.1} | {p99:.1} | {failed} | {seconds:.1} | {per_second:.1} | {again} | {:.1} |",
                before.per_second,
                100.0 * share,
                after.per_second,
                before.p99_ms,
                created.as_secs_f64()
            );
        }
        for error in during.iter().filter_map(|load| load.first_error.as_ref()).take(1) {
            eprintln!("{scheme}, first failure: {error}");
        }
    }
    Ok(())
}

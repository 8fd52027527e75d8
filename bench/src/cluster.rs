//! `cluster`: what a signature takes over the REST interface of three node processes on this machine.

pub(crate) mod load;
pub(crate) mod processes;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::Args;
use quorate_api::client::Client;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{CreateKey, Key, OperationResult};
use serde::Serialize;
use serde_json::json;

use self::load::{Load, WAIT, fresh, load_with};
use self::processes::{Cluster, Memory};
use crate::machine::Machine;

/// What the command line can say.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The `quorate` program
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// How long each load lasts
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Numbers of clients at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32])]
    clients: Vec<usize>,
    /// Presignatures that each node has ready before a load draws on them; 0 leaves that load out
    #[arg(long, default_value_t = 1000)]
    pool: usize,
}

/// How long the load on full pools lasts, in seconds: as long as they do at the target's rate.
const POOL_SECONDS: u64 = 3;
/// How many clients draw on them.
const POOL_CLIENTS: usize = 32;

/// One load's figures.
#[derive(Debug, Serialize)]
struct Row {
    scheme: String,
    clients: usize,
    #[serde(flatten)]
    load: Load,
    /// CPU time of all nodes for one signature.
    node_cpu_ms_per_signature: Option<f64>,
    /// The most memory that any node held during the load.
    peak_node_rss_mib: f64,
}

/// What was found.
#[derive(Debug)]
struct Found {
    rows: Vec<Row>,
    /// What could not be measured; the rest is shown all the same.
    failures: Vec<String>,
    ready: Duration,
    keys: Vec<(String, Duration)>,
    fresh: Memory,
    with_keys: Memory,
    after: Memory,
}

/// Measures and prints.
///
/// # Errors
/// When the cluster does not start, or, after printing, when a key could not be made or a load gave no signature at all.
pub(crate) fn run(options: &Options, as_json: bool) -> anyhow::Result<()> {
    let before = Machine::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(measure(options))?;
    if as_json {
        print_json(&before, &found)
    } else {
        print_tables(&before, &found)
    }
    ensure!(found.failures.is_empty(), "not everything could be measured: {}", found.failures.join("; "));
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<Found> {
    let begin = Instant::now();
    let cluster = Cluster::start(&options.binary, None)?;
    let ready = begin.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let fresh = cluster.memory()?;
    let client = cluster.client(0)?;
    let (mut keys, mut times, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Ed25519] {
        let begin = Instant::now();
        match create(&client, scheme).await {
            Ok(key) => {
                keys.push(key);
                times.push((scheme.to_string(), begin.elapsed()));
            }
            Err(error) => failures.push(format!("no key for {scheme}: {error:#}")),
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let with_keys = cluster.memory()?;
    let mut rows = Vec::new();
    for key in &keys {
        for &clients in &options.clients {
            eprintln!("{}, {clients} clients", key.scheme);
            match loaded(&cluster, key, clients, Duration::from_secs(options.seconds), 0).await {
                Ok(row) => rows.push(row),
                Err(error) => failures.push(format!("{}, {clients} clients: {error:#}", key.scheme)),
            }
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = cluster.memory()?;
    drop(cluster);
    if options.pool > 0 {
        match pooled(options).await {
            Ok(row) => rows.push(row),
            Err(error) => failures.push(format!("full pools: {error:#}")),
        }
    }
    Ok(Found { rows, failures, ready, keys: times, fresh, with_keys, after })
}

/// One load, with what the nodes used during it.
async fn loaded(
    cluster: &Cluster,
    key: &Key,
    clients: usize,
    time: Duration,
    pool: usize,
) -> anyhow::Result<Row> {
    let (watch, before) = (cluster.watch(), cluster.cpu());
    let done = load_with(cluster, key, clients, time, pool).await?;
    let spent = cluster.cpu().zip(before).map(|(after, before)| after - before);
    let signed = f64::from(done.signed.saturating_add(done.warm_up));
    Ok(Row {
        scheme: key.scheme.to_string(),
        clients,
        load: done,
        node_cpu_ms_per_signature: spent.map(|seconds| seconds * 1e3 / signed),
        peak_node_rss_mib: watch.peak().await?,
    })
}

/// The load on pools that are full: a cluster of its own, whose pools hold what the load takes.
async fn pooled(options: &Options) -> anyhow::Result<Row> {
    let cluster = Cluster::start_with(&options.binary, None, Some(options.pool))?;
    let key = create(&cluster.client(0)?, Scheme::EcdsaSecp256k1).await?;
    eprintln!("{}, {POOL_CLIENTS} clients, {} presignatures a node", key.scheme, options.pool);
    loaded(&cluster, &key, POOL_CLIENTS, Duration::from_secs(POOL_SECONDS), options.pool).await
}

/// A key for plain messages; any two of the three nodes sign.
pub(crate) async fn create(client: &Client, scheme: Scheme) -> anyhow::Result<Key> {
    let purposes = Some(vec![Purpose::Message]);
    let label = Some("bench".to_owned());
    let wanted = CreateKey { scheme, threshold: Some(2), access: None, parties: None, purposes, label };
    let mut operation = client.create_key(&wanted, &fresh()?, WAIT).await?;
    if !operation.status.is_final() {
        operation = client.wait(&operation.id, WAIT, WAIT, |_| ()).await?;
    }
    match operation.result {
        Some(OperationResult::CreateKey { key, .. }) => Ok(*key),
        _ => bail!("asked for a key, got something else"),
    }
}

const HOW: &str = "Three `quorate` processes and the clients share this machine; 2 of 3 sign a fresh plain message; client i asks node i mod 3; \
most presignatures were made before the load that uses them; the first signature of each client was verified and is not counted. Latency: from the signed request to the finished operation, as the client sees it.";

fn print_json(before: &Machine, found: &Found) {
    println!(
        "{}",
        json!({ "report": "cluster", "machine": before, "load_at_end": Machine::now().load, "how": HOW })
    );
    println!("{}", json!({ "figure": "cluster_ready_s", "value": found.ready.as_secs_f64() }));
    for (scheme, time) in &found.keys {
        println!(
            "{}",
            json!({ "figure": "create_key_ms", "scheme": scheme, "value": time.as_secs_f64() * 1e3 })
        );
    }
    for row in &found.rows {
        println!("{}", json!(row));
    }
    let memory = [
        ("fresh", &found.fresh),
        ("idle with two keys", &found.with_keys),
        ("idle after the loads", &found.after),
    ];
    for (when, memory) in memory {
        println!("{}", json!({ "figure": "node_rss_mib", "when": when, "value": memory.0 }));
    }
}

fn print_tables(before: &Machine, found: &Found) {
    println!("# Cluster\n\n{}; load at the end {}.\n{HOW}\n", before.line(), Machine::now().load);
    println!(
        "| scheme | clients | signatures/s | p50 ms | p95 ms | p99 ms | signed | from pools | failed | node CPU ms a signature | peak node RSS MiB |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for Row { scheme, clients, load, node_cpu_ms_per_signature, peak_node_rss_mib } in &found.rows {
        let cpu = node_cpu_ms_per_signature.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.2}"));
        println!(
            "| {scheme} | {clients} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} | {} | {cpu} | {peak_node_rss_mib:.1} |",
            load.per_second, load.p50_ms, load.p95_ms, load.p99_ms, load.signed, load.from_pools, load.failed
        );
    }
    for Row { scheme, clients, load, .. } in &found.rows {
        if let Some(error) = &load.first_error {
            println!("\n{scheme}, {clients} clients, first failure: {error}");
        }
    }
    println!("\n| figure | value |\n|---|---:|");
    println!("| three nodes created, started and connected, s | {:.2} |", found.ready.as_secs_f64());
    for (scheme, time) in &found.keys {
        println!("| key creation 2 of 3, {scheme}, ms | {:.0} |", time.as_secs_f64() * 1e3);
    }
    println!("| resident memory of each node, fresh, MiB | {} |", found.fresh.text());
    println!("| the same, idle with two keys | {} |", found.with_keys.text());
    println!("| the same, idle after the loads | {} |", found.after.text());
}

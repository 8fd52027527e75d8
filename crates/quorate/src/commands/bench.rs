//! `quorate bench`: puts a load on a cluster that runs, and says what came out of it.

mod load;

use self::load::{Figures, Load, Signing};
use super::block_on;
use super::key::{idempotency_key, scheme};
use crate::cli::{Connection, Format};
use crate::connection::{connect, connect_to};
use crate::output::{Output, chain, table};
use crate::progress::Progress;
use anyhow::bail;
use clap::Args;
use quorate_api::client::Client;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Act, CreateKey, Destroy, Key, KeyId, MAX_BATCH, OperationResult};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a pool may stay as full as it is while more is waited for.
const FILLS_WITHIN: Duration = Duration::from_secs(30);
/// How often nodes are asked how full their pools are.
const LOOK: Duration = Duration::from_millis(500);

/// Arguments of `quorate bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every client asks for a signature over a fresh message, waits for it, and asks for the next. It verifies its first signature with libraries
that share no code with the signers; that one is not in the figures. Times are from before a request is signed to the finished operation.

The nodes' own limits hold: with the default `requests_per_second` a client name gets 200 requests a second, and the rest are shown as
`rate_limited` errors.

Examples:
  quorate bench
  quorate bench --scheme ed25519 --clients 1,8,32 --seconds 20
  quorate bench --key key_… --clients 8 --batch 100
  quorate bench --nodes http://127.0.0.1:7400,http://127.0.0.1:7410 --clients 32 --json")]
pub(crate) struct BenchArgs {
    /// The key that signs; it must be one for plain messages. A key made for the load, and ordered to be destroyed after it, if absent.
    #[arg(long, conflicts_with_all = ["scheme", "threshold"])]
    key: Option<KeyId>,
    /// The scheme of the key that is made.
    #[arg(long, value_parser = scheme(), default_value = "ecdsa-secp256k1")]
    scheme: Scheme,
    /// How many parties sign with the key that is made.
    #[arg(long, default_value_t = 2)]
    threshold: u16,
    /// How many clients ask at once; several numbers are several loads, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "8", value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: Vec<u16>,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
    /// How many messages each request has signed together.
    #[arg(long, default_value_t = 1, value_parser = batch_size())]
    batch: u16,
    /// The nodes that the clients ask, in turn, separated by commas; the one of `--node` if absent.
    #[arg(long, value_delimiter = ',', value_name = "URLS")]
    nodes: Vec<String>,
    /// Before each load, wait until every node that is asked has so many presignatures ready.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pool: u64,
    /// One JSON document, as with `-o json`.
    #[arg(long)]
    json: bool,
}

fn batch_size() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=i64::try_from(MAX_BATCH).unwrap_or(i64::MAX))
}

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    key: KeyId,
    scheme: Scheme,
    /// Whether the key was made for this.
    temporary: bool,
    /// Messages a request.
    batch: u16,
    nodes: Vec<String>,
    loads: Vec<Figures>,
}

/// Runs the command.
pub(crate) fn run(args: &BenchArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let as_json = Output::new(Format::Json);
    let output = if args.json { &as_json } else { output };
    let progress = Progress::start("connecting");
    let found = block_on(measure(args, connection, output, &progress))?;
    drop(progress);
    output.result(&found, || show(&found))
}

async fn measure(
    args: &BenchArgs,
    connection: &Connection,
    output: &Output,
    progress: &Progress,
) -> anyhow::Result<Found> {
    let first = client(args, connection, 0)?;
    let key = match &args.key {
        Some(id) => first.key(id).await?,
        None => {
            progress.say("creating a key");
            create(args, &first, connection.wait).await?
        }
    };
    if !key.purposes.contains(&Purpose::Message) {
        let purposes: Vec<_> = key.purposes.iter().map(|purpose| purpose.name()).collect();
        bail!(
            "the key {} signs {} and no plain messages, of which the load is made: give one that was created with `--purpose message`, or none",
            key.id,
            purposes.join(", ")
        );
    }
    let loads = all_loads(args, connection, &key, progress).await;
    if args.key.is_none()
        && let Err(error) = retire(&first, &key, connection.wait).await
    {
        let error = chain(&error);
        output.notice(&format!(
            "the key {} made for this load stays: {error}; `quorate key destroy {}` orders its end",
            key.id, key.id
        ));
    }
    let nodes = if args.nodes.is_empty() { vec![first.node().to_owned()] } else { args.nodes.clone() };
    Ok(Found {
        key: key.id,
        scheme: key.scheme,
        temporary: args.key.is_none(),
        batch: args.batch,
        nodes,
        loads: loads?,
    })
}

/// A client with a connection of its own.
fn client(args: &BenchArgs, connection: &Connection, at: usize) -> anyhow::Result<Client> {
    match args.nodes.iter().cycle().nth(at % args.nodes.len().max(1)) {
        Some(node) => connect_to(node, connection),
        None => connect(connection),
    }
}

/// A key that signs plain messages.
async fn create(args: &BenchArgs, client: &Client, wait: Duration) -> anyhow::Result<Key> {
    let wanted = CreateKey {
        scheme: args.scheme,
        threshold: Some(args.threshold),
        access: None,
        parties: None,
        purposes: Some(vec![Purpose::Message]),
        label: Some("bench".to_owned()),
    };
    let operation = client.create_key(&wanted, &idempotency_key(None)?, wait).await?;
    match load::ended(client, operation, wait).await?.result {
        Some(OperationResult::CreateKey { key, .. }) => Ok(*key),
        _ => bail!("asked for a key, got something else"),
    }
}

/// Orders that a key be destroyed, which also disables it at once.
async fn retire(client: &Client, key: &Key, wait: Duration) -> anyhow::Result<()> {
    let reason = Some("made by quorate bench".to_owned());
    let act = Act::Destroy(Destroy { base: client.key(&key.id).await?.acts, delay: None, reason });
    let operation = client.act(&key.id, &act, &idempotency_key(None)?, wait).await?;
    load::ended(client, operation, wait).await.map(|_| ())
}

async fn all_loads(
    args: &BenchArgs,
    connection: &Connection,
    key: &Key,
    progress: &Progress,
) -> anyhow::Result<Vec<Figures>> {
    let signing = Arc::new(Signing { key: key.clone(), batch: args.batch, wait: connection.wait });
    let mut loads = Vec::new();
    for &clients in &args.clients {
        let all = (0..usize::from(clients)).map(|at| client(args, connection, at));
        progress.say(&format!("{clients} clients: connecting"));
        let load = Load::prepare(all.collect::<anyhow::Result<_>>()?, Arc::clone(&signing)).await?;
        for at in 0..args.nodes.len().max(1).min(usize::from(clients)) {
            filled(&client(args, connection, at)?, args.pool, progress).await?;
        }
        let (figures, broken_off) = load.run(Duration::from_secs(args.seconds.into()), progress).await?;
        loads.push(figures);
        if broken_off {
            break;
        }
    }
    Ok(loads)
}

/// Waits until a node has so many presignatures.
async fn filled(client: &Client, wanted: u64, progress: &Progress) -> anyhow::Result<()> {
    if wanted == 0 {
        return Ok(());
    }
    let (mut most, mut since) = (0, Instant::now());
    loop {
        let ready = client.nodes().await?.presignatures;
        if ready >= wanted {
            return Ok(());
        }
        if ready > most {
            (most, since) = (ready, Instant::now());
        }
        if since.elapsed() > FILLS_WITHIN {
            bail!(
                "`{}` has {ready} presignatures and makes no more, where `--pool` asks for {wanted}: see `[pool] high`, `low` and \
                 `max_for_others` of all nodes; keys of Ed25519 and BIP-340 have none",
                client.node()
            );
        }
        progress.say(&format!("{}: {ready} of {wanted} presignatures", client.node()));
        tokio::time::sleep(LOOK).await;
    }
}

fn show(found: &Found) -> String {
    let made = if found.temporary { ", made for this and ordered to be destroyed" } else { "" };
    let mut text = format!("{} {}{made}\n", found.key, found.scheme);
    if found.batch > 1 {
        text.push_str(&format!("{} messages a request\n", found.batch));
    }
    let rows: Vec<_> = found.loads.iter().map(row).collect();
    text.push_str(&table(
        [
            "CLIENTS",
            "SECONDS",
            "SIGNATURES/S",
            "P50 MS",
            "P95 MS",
            "P99 MS",
            "MAX MS",
            "SIGNATURES",
            "FROM POOLS",
            "ERRORS",
        ],
        &rows,
    ));
    for load in found.loads.iter().filter(|load| load.failed > 0) {
        let errors: &BTreeMap<String, u64> = &load.errors;
        let errors: Vec<_> = errors.iter().map(|(code, count)| format!("{count} × {code}")).collect();
        text.push_str(&format!("{} clients, errors: {}", load.clients, errors.join(", ")));
        if let Some(first) = &load.first_error {
            text.push_str(&format!("; the first: {first}"));
        }
        text.push('\n');
    }
    text
}

fn row(load: &Figures) -> [String; 10] {
    [
        load.clients.to_string(),
        format!("{:.1}", load.seconds),
        format!("{:.1}", load.per_second),
        format!("{:.1}", load.p50_ms),
        format!("{:.1}", load.p95_ms),
        format!("{:.1}", load.p99_ms),
        format!("{:.1}", load.max_ms),
        load.signatures.to_string(),
        format!("{:.0} %", 100.0 * load.from_pools_share),
        load.failed.to_string(),
    ]
}

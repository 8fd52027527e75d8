//! `trust`: what log, directory and policies cost a signature: the same load on a cluster with them and on one without, in turns.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use quorate_api::Key;
use quorate_api::intent::Scheme;
use serde_json::json;

use crate::cluster::create;
use crate::cluster::load::load;
use crate::cluster::processes::Cluster;
use crate::machine::Machine;

/// What the command line can say.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The `quorate` program
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// The same, built with the feature `unlogged`
    #[arg(long, value_name = "FILE")]
    unlogged: PathBuf,
    /// How long each turn lasts
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How many turns each has
    #[arg(long, default_value_t = 7)]
    turns: usize,
    /// Clients at once
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Rules in the policies
    #[arg(long, default_value_t = 100)]
    rules: usize,
}

/// One of the clusters that are compared.
struct Contender {
    name: &'static str,
    cluster: Cluster,
    key: Key,
    per_second: Vec<f64>,
    p50_ms: Vec<f64>,
    cpu_ms: Vec<f64>,
}

/// A rule that lets the client do everything, among others that are about other things.
fn policy(rules: usize) -> String {
    let mut text =
        String::from("@id(\"all\") permit (principal == Service::\"operator\", action, resource);\n");
    for nth in 1..rules {
        text.push_str(&format!(
            "@id(\"limit-{nth}\") forbid (principal, action == Action::\"sign:ethereum\", resource) \
             when {{ context.native_micro > {} && context.chain == \"eip155:{nth}\" }};\n",
            nth * 1_000
        ));
    }
    text
}

/// Measures and prints.
///
/// # Errors
/// When a cluster does not start or gives no signature.
pub(crate) fn run(options: &Options, as_json: bool) -> anyhow::Result<()> {
    let before = Machine::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Ed25519] {
        let contenders = runtime.block_on(measure(options, scheme))?;
        print(options, &before, scheme, &contenders, as_json)?;
    }
    Ok(())
}

async fn contender(
    name: &'static str,
    binary: &Path,
    policy: Option<&Path>,
    scheme: Scheme,
) -> anyhow::Result<Contender> {
    let cluster = Cluster::start(binary, policy).with_context(|| format!("the cluster {name}"))?;
    let key = create(&cluster.client(0)?, scheme).await.with_context(|| format!("the cluster {name}"))?;
    Ok(Contender { name, cluster, key, per_second: Vec::new(), p50_ms: Vec::new(), cpu_ms: Vec::new() })
}

async fn measure(options: &Options, scheme: Scheme) -> anyhow::Result<Vec<Contender>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bench.cedar");
    fs::write(&file, policy(options.rules))?;
    let mut contenders = vec![
        contender("without log and policies", &options.unlogged, None, scheme).await?,
        contender("with log", &options.binary, None, scheme).await?,
        contender("with log and policies", &options.binary, Some(&file), scheme).await?,
    ];
    for contender in &contenders {
        // Opens connections and fills caches.
        load(&contender.cluster, &contender.key, options.clients, Duration::from_secs(1)).await?;
    }
    for turn in 0..options.turns {
        eprintln!("{scheme}, turn {} of {}", turn + 1, options.turns);
        for contender in &mut contenders {
            let before = contender.cluster.cpu();
            let done = load(
                &contender.cluster,
                &contender.key,
                options.clients,
                Duration::from_secs(options.seconds),
            )
            .await?;
            if let Some(error) = done.first_error {
                anyhow::bail!("a signature failed {}: {error}", contender.name);
            }
            contender.per_second.push(done.per_second);
            contender.p50_ms.push(done.p50_ms);
            if let (Some(after), Some(before)) = (contender.cluster.cpu(), before) {
                let signed = f64::from(done.signed.saturating_add(done.warm_up));
                contender.cpu_ms.push((after - before) * 1e3 / signed);
            }
        }
    }
    Ok(contenders)
}

fn median(values: &[f64]) -> anyhow::Result<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().context("nothing was measured")
}

fn print(
    options: &Options,
    before: &Machine,
    scheme: Scheme,
    contenders: &[Contender],
    as_json: bool,
) -> anyhow::Result<()> {
    let first = contenders.first().context("nobody to compare with")?;
    let base = median(&first.per_second)?;
    let cpu_base = median(&first.cpu_ms)?;
    if !as_json {
        println!(
            "# What trust costs: {scheme}\n\n{}; load at the end {}.\nThree `quorate` processes a cluster and {} clients share this machine; the \
             clusters sign in turns of {} s, {} each; {} rules. Medians.\n",
            before.line(),
            Machine::now().load,
            options.clients,
            options.seconds,
            options.turns,
            options.rules
        );
        println!("| cluster | signatures/s | lost | p50 ms | node CPU ms a signature | more |");
        println!("|---|---:|---:|---:|---:|---:|");
    }
    for contender in contenders {
        let (rate, p50, cpu) =
            (median(&contender.per_second)?, median(&contender.p50_ms)?, median(&contender.cpu_ms)?);
        let (lost, more) = (100.0 * (1.0 - rate / base), 100.0 * (cpu / cpu_base - 1.0));
        if as_json {
            println!(
                "{}",
                json!({
                    "report": "trust", "scheme": scheme.to_string(), "cluster": contender.name, "per_second": rate,
                    "lost_percent": lost, "p50_ms": p50, "node_cpu_ms_per_signature": cpu, "more_cpu_percent": more,
                })
            );
        } else {
            println!("| {} | {rate:.1} | {lost:.1} % | {p50:.1} | {cpu:.2} | {more:.1} % |", contender.name);
        }
    }
    Ok(())
}

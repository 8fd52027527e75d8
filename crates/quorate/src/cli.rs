//! What the command line takes. Each command's own arguments stand beside its code in `commands/`.

use crate::commands::{
    backup, bench, client, cluster, completion, demo, dev, doctor, drill, events, key, log, node, op, people,
    policy, recovery_key,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use quorate_api::parse_wait;
use std::path::PathBuf;
use std::time::Duration;

/// Threshold keys: created, used and kept as shares, never assembled.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, arg_required_else_help = true, after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Arguments that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// How to print results: tables for people, or one JSON document for programs.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Which node to talk to, and as whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The named set of these settings to use, from the contexts file.
    #[arg(long, global = true, env = "QUORATE_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The node's address, such as https://node-a.example:7400 or http://127.0.0.1:7400.
    #[arg(long = "node", id = "node_url", global = true, env = "QUORATE_NODE", value_name = "URL")]
    pub(crate) node: Option<String>,
    /// The name under which the nodes know this client.
    #[arg(long = "client", id = "client_name", global = true, env = "QUORATE_CLIENT", value_name = "NAME")]
    pub(crate) client: Option<String>,
    /// The file with this client's private key (see `quorate client keygen`).
    #[arg(long, global = true, env = "QUORATE_CLIENT_KEY", value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// The certificate (PEM) of the authority that issued the node's, for https. Without it those that browsers trust; the
    /// system's own list is not read.
    #[arg(long, global = true, env = "QUORATE_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// This client's certificate (PEM), then its intermediate authorities. It is presented to the node, and signs requests unless
    /// there is a client key.
    #[arg(long, global = true, env = "QUORATE_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key (PEM) of that certificate.
    #[arg(long, global = true, env = "QUORATE_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// How long a request stays valid, such as 30m, 12h or 7d: what must wait for people may be done until then.
    #[arg(long, global = true, value_name = "TIME", default_value = "30m", value_parser = validity)]
    pub(crate) expires: Duration,
    /// How long to wait for an operation to end, such as 500ms, 10s or 2m; 0s only starts it.
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = wait)]
    pub(crate) wait: Duration,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON document.
    Json,
    /// Tables and lines for people.
    Table,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show everything at once: three nodes create keys, sign transactions, fail and come back.
    Demo(demo::DemoArgs),
    /// Start the same three nodes and leave them up to try things.
    Dev(dev::DevArgs),
    /// Lose every node of a cluster made for it, and get its keys back from backups and recovery keys.
    Drill(drill::DrillArgs),
    /// Look at this machine: what it lacks for a node, and how to mend it.
    Doctor(doctor::DoctorArgs),
    /// Make, run and look at a node.
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Create, show and use keys.
    #[command(subcommand)]
    Key(Box<key::KeyCommand>),
    /// Follow operations.
    #[command(subcommand)]
    Op(op::OpCommand),
    /// Approve what somebody else asks for, after looking at it.
    Approve(people::RuleArgs),
    /// Reject what somebody else asks for; the operation ends.
    Reject(people::RuleArgs),
    /// Take back own approvals, as long as the operation waits.
    Withdraw(people::RuleArgs),
    /// Freeze a key, a tenant or everything, at once; any admin may, alone.
    Freeze(people::FreezeArgs),
    /// Show and change people, groups and policies.
    #[command(subcommand)]
    Directory(people::DirectoryCommand),
    /// Check, test, try and propose policies.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Begin a cluster with a directory.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Check backups, and bring keys back from them.
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Make the keys that can open backups.
    #[command(subcommand)]
    RecoveryKey(recovery_key::RecoveryKeyCommand),
    /// Put a load on a cluster that runs: signatures a second, and how long they take.
    Bench(bench::BenchArgs),
    /// Watch what happens at a node, as lines.
    Events(events::EventsArgs),
    /// Read and check what nodes wrote down.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Make the key with which this client signs its requests.
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Print the OpenAPI description of the REST interface.
    Openapi,
    /// The process that holds an exported key for a moment; `quorate key export` starts it.
    #[command(hide = true)]
    AssembleKey,
    /// Print a completion script for a shell.
    Completion(completion::CompletionArgs),
}

fn wait(text: &str) -> Result<Duration, String> {
    parse_wait(text).ok_or_else(|| "expected a time such as 500ms, 10s or 2m".to_owned())
}

pub(crate) fn validity(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 30m, 12h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(count.checked_mul(seconds).filter(|all| *all > 0).ok_or_else(wrong)?))
}

const AFTER_HELP: &str = "\
Contexts file ($QUORATE_CONTEXTS, else $XDG_CONFIG_HOME/quorate/contexts.toml, else ~/.config/quorate/contexts.toml):
  current = \"local\"
  [contexts.local]
  node = \"http://127.0.0.1:7400\"
  client = \"alice\"
  client_key = \"alice.pem\"          # relative to this file
  [contexts.payments]
  node = \"https://node-a.example:7400\"
  client = \"payments\"
  ca = \"nodes-ca.pem\"
  tls_cert = \"svid.pem\"             # signs requests, where there is no client_key
  tls_key = \"svid.key\"

Exit codes:
  0 done · 1 failed · 2 usage · 3 denied · 4 not enough parties · 5 timed out

Examples:
  quorate client keygen --name alice --out alice.pem
  quorate key create --scheme ecdsa-secp256k1 --threshold 2
  quorate key sign key_… --ethereum-tx 0x02…
  quorate key list -o json";

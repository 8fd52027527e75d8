//! `quorate node`: make, run and look at a node.

use crate::cli::Connection;
use crate::commands::block_on;
use crate::failure::usage;
use crate::output::{Output, fields, table};
use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use quorate_node::config::{Config, ConfigError};
use quorate_seal::PassphraseSource;
use std::path::{Path, PathBuf};

/// Commands about nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Make the data folder of a new node, with a fresh identity sealed under a passphrase.
    Init(InitArgs),
    /// Run a node until it is asked to end (SIGTERM or Ctrl-C).
    Run(RunArgs),
    /// Show a running node and its peers.
    Status,
    /// Take the other branch of a directory that has two (see `quorate directory show`). The node must not be running.
    SwitchBranch(SwitchArgs),
}

/// Arguments of `quorate node switch-branch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Two changes of one version can be approved at the same moment and adopted by different nodes, which then follow two branches. People choose
one; the operators of the nodes on the other one run this. What the node gives up is kept as evidence, and the switch is logged.")]
pub(crate) struct SwitchArgs {
    /// The head of the other branch, 64 hexadecimal digits.
    #[arg(value_name = "HEAD")]
    head: String,
    /// The node's configuration file.
    #[arg(long, value_name = "FILE", default_value = "quorate.toml")]
    config: PathBuf,
}

/// Arguments of `quorate node init`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  umask 077; head -c 32 /dev/urandom | base64 > passphrase\n  quorate node init --name a --data data --passphrase-file passphrase"
)]
pub(crate) struct InitArgs {
    /// The node's name; the other nodes use the same one.
    #[arg(long)]
    name: String,
    /// The data folder to make.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Where the passphrase comes from: exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PassphraseArgs {
    /// A file that only its owner may read.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The name of an environment variable.
    #[arg(long, value_name = "NAME")]
    passphrase_env: Option<String>,
    /// An open file descriptor.
    #[arg(long, value_name = "NUMBER")]
    passphrase_fd: Option<i32>,
}

/// Arguments of `quorate node run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The configuration file (TOML); see docs/operating.md.
    #[arg(long, value_name = "FILE", default_value = "quorate.toml")]
    config: PathBuf,
}

/// Runs the command.
pub(crate) fn run(command: NodeCommand, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    match command {
        NodeCommand::Init(args) => init(args, output),
        NodeCommand::Run(args) => run_node(&args),
        NodeCommand::Status => status(connection, output),
        NodeCommand::SwitchBranch(args) => switch_branch(&args, output),
    }
}

fn source(args: PassphraseArgs) -> anyhow::Result<PassphraseSource> {
    let file = args.passphrase_file.map(PassphraseSource::File);
    let env = args.passphrase_env.map(PassphraseSource::Env);
    let fd = args.passphrase_fd.map(PassphraseSource::Fd);
    file.or(env).or(fd).ok_or_else(|| usage("say where the passphrase is, such as --passphrase-file FILE"))
}

fn init(args: InitArgs, output: &Output) -> anyhow::Result<()> {
    let passphrase = source(args.passphrase)?.read()?;
    let report = block_on(async { Ok(quorate_node::init(&args.data, &args.name, passphrase).await?) })?;
    let identity = report.identity.to_string();
    let value = serde_json::json!({ "name": report.name, "data": report.data, "identity": identity });
    output.result(&value, || {
        let mut text = fields(&[
            ("name", report.name.clone()),
            ("data", report.data.display().to_string()),
            ("identity", identity.clone()),
        ]);
        text.push_str("\nAt every other node, with the address at which it can reach this one:\n\n");
        text.push_str(&format!(
            "[[peers]]\nname = \"{}\"\naddress = \"HOST:PORT\"\nidentity = \"{identity}\"\n",
            report.name
        ));
        text
    })
}

fn load(path: &Path) -> anyhow::Result<Config> {
    Config::load(path, quorate_node::config::environment()).map_err(|error| match error {
        ConfigError::Read { .. } => {
            anyhow!("{error}; name the node's file with `--config FILE`, docs/operating.md shows one")
        }
        error => error.into(),
    })
}

fn switch_branch(args: &SwitchArgs, output: &Output) -> anyhow::Result<()> {
    let mut head = [0; 32];
    hex::decode_to_slice(&args.head, &mut head)
        .map_err(|error| usage(format!("`{}`: {error}", args.head)))?;
    let config = load(&args.config)?;
    let switched = block_on(async { Ok(quorate_node::switch_branch(&config, head).await?) })?;
    let value = serde_json::json!({ "version": switched.version, "dropped": switched.dropped });
    output.result(&value, || {
        format!(
            "the node follows the other branch from version {} on; it gave up {} of its own, kept as evidence",
            switched.version,
            if switched.dropped == 1 { "change".to_owned() } else { format!("{} changes", switched.dropped) }
        )
    })
}

fn run_node(args: &RunArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let telemetry = crate::telemetry::start(&config, runtime.handle())?;
    let ended = runtime.block_on(async {
        let node = quorate_node::Node::start(config).await?;
        tracing::info!(api = %node.api_addr(), peers = %node.peer_addr(), identity = %node.identity(), "node is up");
        asked_to_end().await?;
        tracing::info!("node is ending");
        node.shutdown().await;
        Ok(())
    });
    telemetry.finish();
    ended
}

/// Ends with the first SIGTERM or SIGINT.
async fn asked_to_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn status(connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let status = block_on(async { Ok(crate::connection::connect(connection)?.nodes().await?) })?;
    output.result(&status, || {
        let mut text = fields(&[
            ("name", status.name.clone()),
            ("identity", status.identity.to_string()),
            ("version", status.version.clone()),
            ("keys", status.keys.to_string()),
        ]);
        text.push('\n');
        let rows: Vec<[String; 3]> = status
            .peers
            .iter()
            .map(|p| {
                let state = if p.connected { "connected" } else { "not connected" };
                [
                    p.name.clone(),
                    state.to_owned(),
                    p.rtt_ms.map_or_else(String::new, |ms| format!("{ms:.1} ms")),
                ]
            })
            .collect();
        text.push_str(&table(["PEER", "STATE", "ROUND TRIP"], &rows));
        text
    })
}

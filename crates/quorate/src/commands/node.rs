//! `quorate node`: make, run and look at a node.

mod join;
mod quarantine;
mod reload;

use crate::cli::Connection;
use crate::commands::{LEFT_BEHIND, block_on};
use crate::failure::usage;
use crate::output::{Output, fields, table};
use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use quorate_node::config::{Config, ConfigError, LockMemory};
use quorate_node::host::{Finding, Status};
use quorate_node::{AdminError, InitReport, Target, Unlock};
use quorate_seal::{HsmUri, PassphraseSource};
use std::path::{Path, PathBuf};

/// Commands about nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Make the data folder of a new node, with a fresh identity sealed under a passphrase or a key in an HSM.
    Init(InitArgs),
    /// Make a node for a cluster that runs, on a fresh machine: folder, configuration, and what the others have to do.
    Join(join::JoinArgs),
    /// Let the node of a configuration, which runs on this machine, read it again.
    Reload(reload::ReloadArgs),
    /// Show the proofs that other nodes cheated which the node of a configuration keeps, which runs on this machine.
    Proofs(quarantine::ProofsArgs),
    /// Let the node of a configuration, which runs on this machine, sign with a node again that it has quarantined.
    Readmit(quarantine::ReadmitArgs),
    /// Run a node until it is asked to end (SIGTERM or Ctrl-C).
    Run(RunArgs),
    /// Show a running node and its peers.
    Status,
    /// Move a node's folder between passphrase and HSM, or to another passphrase or key. The node may go on working.
    Reseal(ResealArgs),
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
    after_help = "Examples:\n  umask 077; head -c 32 /dev/urandom | base64 > passphrase\n  quorate node init --name a --data data --passphrase-file passphrase\n  quorate node init --name a --data data --seal 'pkcs11:token=quorate;object=node-a?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/quorate/pin'"
)]
pub(crate) struct InitArgs {
    /// The node's name; the other nodes use the same one.
    #[arg(long)]
    name: String,
    /// The data folder to make.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    #[command(flatten)]
    under: UnderArgs,
}

/// What the folder is sealed under: exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct UnderArgs {
    /// A key in an HSM, as a pkcs11: URI; it is made there if there is none of that name. The PIN is in a file or variable that the URI names.
    #[arg(long, value_name = "URI")]
    seal: Option<String>,
    /// A passphrase in a file that only its owner may read.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A passphrase in an environment variable of this name.
    #[arg(long, value_name = "NAME")]
    passphrase_env: Option<String>,
    /// A passphrase on an open file descriptor.
    #[arg(long, value_name = "NUMBER")]
    passphrase_fd: Option<i32>,
}

/// Arguments of `quorate node reseal`.
#[derive(Debug, Args)]
#[command(after_help = "\
The configuration names both while a folder moves: the folder itself says which one opens it. So, from a passphrase to an HSM:
  1. add `pkcs11 = \"pkcs11:…\"` to [seal]
  2. quorate node reseal --to pkcs11
  3. remove the passphrase from [seal], and destroy it
To another passphrase: put the new one where [seal] looks for it, and run `quorate node reseal --to passphrase` while the node runs.
Under the same as now, with a fresh salt and the costs of today: quorate node reseal --rotate

Copies of the folder from before, such as snapshots of the disk, still open with what opened them then.")]
pub(crate) struct ResealArgs {
    /// `passphrase` or `pkcs11`, as [seal] of the configuration names it.
    #[arg(long, value_name = "WHAT", required_unless_present = "rotate")]
    to: Option<String>,
    /// Wrap the data key anew under what seals the folder now: another salt and nonce, the costs of today, and the header of before erased.
    #[arg(long, conflicts_with_all = ["to", "from_seal", "from_passphrase_file"])]
    rotate: bool,
    /// The node's configuration file.
    #[arg(long, value_name = "FILE", default_value = "quorate.toml")]
    config: PathBuf,
    /// What opens the folder until now, if [seal] does not name it any more: a pkcs11: URI. Only for a node that does not run.
    #[arg(long, value_name = "URI")]
    from_seal: Option<String>,
    /// The same, for a passphrase in a file.
    #[arg(long, value_name = "FILE", conflicts_with = "from_seal")]
    from_passphrase_file: Option<PathBuf>,
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
        NodeCommand::Join(args) => join::join(args, output),
        NodeCommand::Reload(args) => reload::reload(&args, output),
        NodeCommand::Proofs(args) => quarantine::proofs(&args, output),
        NodeCommand::Readmit(args) => quarantine::readmit(&args, output),
        NodeCommand::Run(args) => run_node(&args),
        NodeCommand::Status => status(connection, output),
        NodeCommand::Reseal(args) => reseal(args, output),
        NodeCommand::SwitchBranch(args) => switch_branch(&args, output),
    }
}

fn source(args: UnderArgs) -> anyhow::Result<PassphraseSource> {
    let file = args.passphrase_file.map(PassphraseSource::File);
    let env = args.passphrase_env.map(PassphraseSource::Env);
    let fd = args.passphrase_fd.map(PassphraseSource::Fd);
    file.or(env).or(fd).ok_or_else(|| usage("say where the passphrase is, such as --passphrase-file FILE"))
}

/// Before anything secret is read. What cannot be had is said by `doctor`, and by a node in its log.
fn harden() {
    // Only `required` makes it fail.
    drop(quorate_node::host::harden(LockMemory::IfPossible));
}

/// Never by a parser of arguments, which would show what it does not like: there may be a PIN in it.
fn uri(text: &str) -> anyhow::Result<HsmUri> {
    let mut uri: HsmUri = text.parse().map_err(usage)?;
    uri.resolve(&std::env::current_dir().context("this process is in no folder")?);
    Ok(uri)
}

/// Makes a folder.
fn make(data: &Path, name: &str, under: UnderArgs) -> anyhow::Result<InitReport> {
    harden();
    if let Some(text) = &under.seal {
        let key = uri(text)?;
        return block_on(async { Ok(quorate_node::init_in_hsm(data, name, key).await?) });
    }
    let passphrase = source(under)?.read()?;
    block_on(async { Ok(quorate_node::init(data, name, passphrase).await?) })
}

fn init(args: InitArgs, output: &Output) -> anyhow::Result<()> {
    let report = make(&args.data, &args.name, args.under)?;
    let identity = report.identity.to_string();
    let next = next_steps(&report.name, &identity, None);
    let key = report.hsm.as_ref().map(|key| {
        serde_json::json!({ "token": key.token, "key": key.key, "made": key.made, "never_outside": key.never_outside })
    });
    let value = serde_json::json!({ "name": report.name, "data": report.data, "identity": identity, "hsm": key, "next": next });
    let sealed = report.hsm.as_ref().map_or_else(String::new, |key| {
        let made = if key.made { "made just now" } else { "found there" };
        format!("under the key `{}` in the token `{}`, {made}", key.key, key.token)
    });
    output.result(&value, || {
        let mut text = fields(&[
            ("name", report.name.clone()),
            ("data", report.data.display().to_string()),
            ("identity", identity.clone()),
            ("sealed", sealed),
        ]);
        text.push_str(&format!("\n{next}"));
        text
    })
}

fn reseal(args: ResealArgs, output: &Output) -> anyhow::Result<()> {
    harden();
    let config = load(&args.config)?;
    let file = args.config.display();
    let to = args.to.as_deref().unwrap_or_default();
    let target = match to.split_once(':').map_or(to, |(kind, _)| kind) {
        _ if args.rotate => Target::Same,
        "passphrase" if to == "passphrase" => Target::Passphrase(config.passphrase().ok_or_else(|| {
            usage(format!("[seal] of `{file}` names no passphrase: add `passphrase_file = \"…\"` first, so that the node opens its folder after a restart"))
        })?),
        "pkcs11" => {
            let first = "so that the node opens its folder after a restart";
            let named = config.seal.pkcs11.as_ref().ok_or_else(|| {
                usage(format!("[seal] of `{file}` names no HSM: add `pkcs11 = \"pkcs11:…\"` first, {first}"))
            })?;
            let named: HsmUri = named.parse().map_err(usage)?;
            if to != "pkcs11" && uri(to)? != named {
                return Err(usage(format!("[seal] of `{file}` names another key: change `pkcs11` there first, {first}")));
            }
            Target::Hsm(named)
        }
        _ => return Err(usage("say `--to passphrase`, `--to pkcs11` or `--rotate`")),
    };
    let unlock = match (&args.from_seal, args.from_passphrase_file) {
        (Some(text), _) => Unlock::hsm(uri(text)?),
        (None, Some(path)) => Unlock::passphrase_at(PassphraseSource::File(path)),
        (None, None) => Unlock::of(&config),
    };
    let done = block_on(async {
        match quorate_node::ask_running(&config.data, &target).await {
            Err(AdminError::NotRunning(_)) => Ok(quorate_node::reseal(&config, unlock, target).await?),
            asked => Ok(asked?),
        }
    })?;
    output.result(&done, || {
        let mut text = fields(&[
            ("from", done.from.clone()),
            ("to", if done.made { format!("{}, made just now", done.to) } else { done.to.clone() }),
            ("node", if done.online { "went on working" } else { "was not running" }.to_owned()),
        ]);
        if !done.erased {
            text.push_str(
                "\nThe old header is still in the write-ahead log; the next start of the node erases it.\n",
            );
        }
        text.push_str("\nCopies of the folder from before still open with what opened them then.\n");
        text
    })
}

/// What the others have to do before this node is one of them. `replaces` says for a cluster with a directory whether the node takes the
/// place of another machine; `None` if nothing is known.
fn next_steps(name: &str, identity: &str, replaces: Option<bool>) -> String {
    let peer = format!(
        "[[peers]]\nname = \"{name}\"\naddress = \"HOST:PORT\"\nidentity = \"{identity}\"\n\n\
         and there, if the cluster runs: quorate node reload\n"
    );
    let add = format!("quorate directory add-node {name}={identity}\n");
    let replace = format!("quorate directory replace-node {name}={identity}\n");
    match replaces {
        Some(true) => format!("One of the admins, and the others approve it:\n\n{replace}"),
        Some(false) => format!("One of the admins, and the others approve it:\n\n{add}"),
        None => format!(
            "At every other node, with the address at which it can reach this one:\n\n{peer}\n\
             If the cluster has a directory and runs, one of the admins instead, and the others approve it:\n\n{add}or, in place of a machine that was lost,\n{replace}"
        ),
    }
}

pub(crate) fn load(path: &Path) -> anyhow::Result<Config> {
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
    let hardened = quorate_node::host::harden(config.host.lock_memory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let telemetry = crate::telemetry::start(&config, runtime.handle())?;
    tracing::info!(
        no_core_dumps = hardened.no_core_dumps,
        locked_memory = hardened.memory.is_ok(),
        "the process is closed to others"
    );
    let about = config.clone();
    let ended = runtime.block_on(async {
        let data = config.data.clone();
        // From the beginning, or a hangup would end it.
        let mut hangups = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        let node = quorate_node::Node::start(config).await?;
        reload::begin(&data)?;
        tracing::info!(api = %node.api_addr(), peers = %node.peer_addr(), identity = %node.identity(), "node is up");
        // Beside the work: programs are asked, and files synced.
        tokio::task::spawn_blocking(move || warn_of(&quorate_node::host::examine(Some(&about), false)));
        let mut end = std::pin::pin!(asked_to_end());
        loop {
            tokio::select! {
                ended = &mut end => break ended?,
                _ = hangups.recv() => reload::take_up(&node, &args.config, &data).await,
            }
        }
        tracing::info!("node is ending");
        node.shutdown().await;
        Ok(())
    });
    telemetry.finish();
    // An HSM that never answers must not keep the process from ending.
    runtime.shutdown_timeout(LEFT_BEHIND);
    ended
}

/// Says in the log what the machine lacks; `quorate doctor` says it too.
fn warn_of(findings: &[Finding]) {
    for Finding { check, found, fix, .. } in findings.iter().filter(|finding| finding.status != Status::Ok) {
        tracing::warn!(
            check,
            found,
            fix = fix.as_deref().unwrap_or_default(),
            "this machine lacks something"
        );
    }
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
            ("presignatures", status.presignatures.to_string()),
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

//! `quorate key`: create, list and show keys, and what is done to them.

use super::{
    block_on, key_act, key_derive, key_export, key_import, key_move, key_restore, key_sign, key_sign_batch,
    key_verify, structure,
};
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::output::{Output, ago, fields, table, until};
use crate::progress::Progress;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use quorate_api::client::{Client, ClientError};
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{
    Access, ActKind, CreateKey, Figures, Key, KeyId, ListQuery, Operation, OperationResult, RoundFigures,
    check_label, check_node_name,
};

/// Commands about keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key: the nodes run a distributed key generation.
    Create(CreateArgs),
    /// Share a private key out that was made elsewhere.
    Import(key_import::ImportArgs),
    /// Put a private key together outside of the nodes, once: sealed to age recipients, or for one signature.
    Export(key_export::ExportArgs),
    /// List keys, oldest first.
    List(KeyListArgs),
    /// Show a key with its addresses.
    Show(ShowArgs),
    /// Show keys below a key: one key serves as many addresses as are needed.
    Derive(key_derive::DeriveArgs),
    /// Sign a transaction or a message.
    Sign(key_sign::SignArgs),
    /// Sign many transactions or messages together, all or none.
    SignBatch(key_sign_batch::SignBatchArgs),
    /// Give the nodes of a key new shares: what was stolen before is worthless.
    Refresh(key_move::RefreshArgs),
    /// Give a key to other nodes, or let another number or other sets of them sign.
    Reshare(key_move::ReshareArgs),
    /// Give a node its share again after it lost its disk.
    Repair(key_move::RepairArgs),
    /// Move keys from shares that came out of backups to new shares, after nodes were lost for good.
    Restore(key_restore::RestoreArgs),
    /// Disable a key: no node signs with it until it is enabled again.
    Disable(key_act::ActArgs),
    /// Enable a disabled key again.
    Enable(key_act::ActArgs),
    /// Disable a key, and erase every share of it after a delay. `key keep` calls that off until then.
    Destroy(key_act::DestroyArgs),
    /// Call off a destruction that has not happened; the key stays disabled.
    Keep(key_act::ActArgs),
    /// Verify a signature here, with libraries that share no code with the signers.
    Verify(key_verify::VerifyArgs),
}

/// Arguments of `quorate key create`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate key create --scheme ecdsa-secp256k1 --threshold 2
  quorate key create --scheme ed25519 --threshold 2 --parties a,b,c --label treasury
  quorate key create --scheme ecdsa-p256 --threshold 3 --purpose message -o json
  quorate key create --scheme ecdsa-secp256k1 --access 'user and 2 of (a, b, c)'
  quorate key create --scheme ed25519 --access '1 of (m1, m2) over 2 of (t1, t2, t3)'")]
pub(crate) struct CreateArgs {
    /// The signature scheme.
    #[arg(long, value_parser = scheme())]
    scheme: Scheme,
    /// How many parties can sign: 2 means 2 of n.
    #[arg(long, short, required_unless_present = "access")]
    threshold: Option<u16>,
    /// Who can sign, over the names of nodes: `2 of (a, b, c)`, `user and 2 of (a, b, c)`, weights as in `3 of (a*2, b, c)`, ranks as in
    /// `1 of (m1, m2) over 2 of (t1, t2, t3)`. None of them can sign alone.
    #[arg(long, value_name = "STRUCTURE", conflicts_with_all = ["threshold", "parties"])]
    access: Option<Access>,
    /// The nodes that each get a share, separated by commas; all known nodes if absent.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    parties: Vec<String>,
    /// What the key may sign; can be repeated; the scheme's defaults if absent. `message` and `raw` stand alone.
    #[arg(long = "purpose", value_delimiter = ',', value_parser = purpose())]
    purposes: Vec<Purpose>,
    /// A name for people.
    #[arg(long)]
    label: Option<String>,
    /// Names this request: repeating it gives the same operation. Drawn at random if absent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// Arguments of lists.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Most items to show.
    #[arg(long, default_value_t = quorate_api::DEFAULT_LIMIT, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Where the list before ended.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

impl ListArgs {
    /// As the API takes it.
    pub(crate) fn query(&self) -> ListQuery {
        ListQuery { limit: self.limit, after: self.after.clone() }
    }
}

/// Arguments of `quorate key list`.
#[derive(Debug, Args)]
pub(crate) struct KeyListArgs {
    #[command(flatten)]
    list: ListArgs,
    /// The shares instead that came out of backups and wait at the asked node to be moved.
    #[arg(long)]
    restored: bool,
}

/// Arguments of `quorate key show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The key's identifier.
    key: KeyId,
}

/// Runs the command.
pub(crate) fn run(command: KeyCommand, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create(args) => create(args, connection, output),
        KeyCommand::Import(args) => key_import::run(args, connection, output),
        KeyCommand::Export(args) => key_export::run(args, connection, output),
        KeyCommand::List(args) if args.restored => key_restore::list(&args.list.query(), connection, output),
        KeyCommand::List(args) => list(&args.list, connection, output),
        KeyCommand::Show(args) => {
            let client = connect(connection)?;
            let key = block_on(async { Ok(client.key(&args.key).await?) })?;
            output.result(&key, || show(&key))
        }
        KeyCommand::Derive(args) => key_derive::run(args, connection, output),
        KeyCommand::Sign(args) => key_sign::run(args, connection, output),
        KeyCommand::SignBatch(args) => key_sign_batch::run(args, connection, output),
        KeyCommand::Refresh(args) => key_move::refresh(args, connection, output),
        KeyCommand::Reshare(args) => key_move::reshare(args, connection, output),
        KeyCommand::Repair(args) => key_move::repair(args, connection, output),
        KeyCommand::Restore(args) => key_restore::run(args, connection, output),
        KeyCommand::Disable(args) => key_act::run(ActKind::Disable, args, None, connection, output),
        KeyCommand::Enable(args) => key_act::run(ActKind::Enable, args, None, connection, output),
        KeyCommand::Destroy(args) => key_act::run(ActKind::Destroy, args.act, args.delay, connection, output),
        KeyCommand::Keep(args) => key_act::run(ActKind::Keep, args, None, connection, output),
        KeyCommand::Verify(args) => key_verify::run(&args, output),
    }
}

fn create(args: CreateArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    args.label.as_deref().map_or(Ok(()), check_label).map_err(usage)?;
    let create = CreateKey {
        scheme: args.scheme,
        threshold: args.threshold,
        access: args.access,
        parties: node_names(args.parties)?,
        purposes: Some(args.purposes).filter(|purposes| !purposes.is_empty()),
        label: args.label,
    };
    if let Some(access) = &create.access {
        structure::announce("with it", access, output)?;
    }
    let client = connect(connection)?;
    let repeat = idempotency_key(args.idempotency_key)?;
    let operation = run_operation("creating the key", &client, connection, &repeat, output, async |wait| {
        client.create_key(&create, &repeat, wait).await
    })?;
    match &operation.result {
        Some(OperationResult::CreateKey { key, figures }) => output.result(&operation, || {
            let mut text = show(key);
            text.push_str(&format!("\ncreated in {}", cost(figures)));
            text
        }),
        _ => started(&operation, output),
    }
}

fn list(args: &ListArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let client = connect(connection)?;
    let page = block_on(async { Ok(client.keys(&args.query()).await?) })?;
    output.result(&page, || {
        let rows: Vec<_> = page.items.iter().map(row).collect();
        table(["KEY", "SCHEME", "QUORUM", "STATUS", "LABEL", "CREATED"], &rows)
    })?;
    if let Some(next) = &page.next {
        output.hint(&format!("there are more: --after {next}"));
    }
    Ok(())
}

fn row(key: &Key) -> [String; 6] {
    [
        key.id.to_string(),
        key.scheme.name().to_owned(),
        quorum(key),
        key.status.as_str().to_owned(),
        key.label.clone().unwrap_or_default(),
        ago(key.created_at),
    ]
}

pub(super) fn show(key: &Key) -> String {
    let purposes: Vec<_> = key.purposes.iter().map(|purpose| purpose.name()).collect();
    let addresses: Vec<_> = key
        .addresses
        .iter()
        .map(|address| format!("{} {} {}", address.chain, address.kind, address.address))
        .collect();
    let mut shown = vec![
        ("key", key.id.to_string()),
        ("label", key.label.clone().unwrap_or_default()),
        ("scheme", key.scheme.name().to_owned()),
        ("status", key.status.as_str().to_owned()),
        ("who can sign", key.access.to_string()),
        ("quorums", quorums(key)),
        ("lost", key.lost.join(", ")),
        ("purposes", purposes.join(", ")),
        ("public key", key.public_key.to_string()),
        ("addresses", addresses.join("\n")),
        ("epoch", key.epoch.to_string()),
        (
            "imported",
            if key.imported {
                "whoever imported it had the whole private key".to_owned()
            } else {
                String::new()
            },
        ),
        ("created", ago(key.created_at)),
        ("orders", key.acts.to_string()),
    ];
    shown.extend(key.exposed_at.map(|at| ("exposed", ago(at))));
    shown.extend(key.destroys_at.map(|at| ("destroyed", until(at))));
    fields(&shown)
}

/// As short as a column: `2 of 3`, or the structure.
fn quorum(key: &Key) -> String {
    let plain = Access::threshold(key.threshold, key.parties.iter().map(String::as_str));
    if key.access == plain {
        return format!("{} of {}", key.threshold, key.parties.len());
    }
    key.access.to_string()
}

/// The sets that can sign, one a line.
fn quorums(key: &Key) -> String {
    let mut lines: Vec<String> = key.quorums.iter().map(|quorum| quorum.join(", ")).collect();
    if key.more_quorums {
        lines.push("and more".to_owned());
    }
    lines.join("\n")
}

/// Starts an operation and follows it as long as `--wait` says, with a progress line on a terminal.
pub(super) fn run_operation(
    what: &str,
    client: &Client,
    connection: &Connection,
    idempotency_key: &str,
    output: &Output,
    start: impl AsyncFnOnce(std::time::Duration) -> Result<Operation, ClientError>,
) -> anyhow::Result<Operation> {
    let progress = Progress::start(what);
    let begun = std::time::Instant::now();
    let done = block_on(async {
        let operation = start(connection.wait.min(progress.step())).await?;
        progress.show(&operation);
        if operation.status.is_final() || connection.wait.is_zero() {
            return Ok(operation);
        }
        let left = connection.wait.saturating_sub(begun.elapsed());
        Ok(client.wait(&operation.id, left, progress.step(), |operation| progress.show(operation)).await?)
    });
    drop(progress);
    done.inspect_err(|error| {
        if matches!(error.downcast_ref(), Some(ClientError::NoAnswer(_) | ClientError::Connect { .. })) {
            output.hint(&format!(
                "repeat with `--idempotency-key {idempotency_key}`, so that it cannot happen twice"
            ));
        }
    })
}

/// What a ceremony cost in one line, then round by round.
pub(super) fn cost(figures: &Figures) -> String {
    let traffic = figures.bytes_sent + figures.bytes_received;
    let rounds = if figures.rounds == 1 { "round" } else { "rounds" };
    let mut text = format!("{} {rounds}, {traffic} bytes, {} ms", figures.rounds, figures.ms);
    match figures.presignatures {
        0 => {}
        1 => text.push_str(", with a presignature"),
        count => text.push_str(&format!(", with {count} presignatures")),
    }
    text.push('\n');
    if !figures.steps.is_empty() {
        let rows: Vec<_> = figures.steps.iter().map(step).collect();
        text.push_str(&table(["PROTOCOL", "ROUND", "WHAT", "MS", "SENT", "RECEIVED"], &rows));
    }
    text
}

fn step(step: &RoundFigures) -> [String; 6] {
    [
        step.protocol.clone(),
        step.round.to_string(),
        step.name.clone(),
        step.ms.to_string(),
        step.bytes_sent.to_string(),
        step.bytes_received.to_string(),
    ]
}

/// Prints an operation that was only started.
pub(super) fn started(operation: &Operation, output: &Output) -> anyhow::Result<()> {
    output.result(operation, || format!("{} {}", operation.id, operation.status.as_str()))?;
    super::people::hint_waiting(operation, output);
    output.hint(&format!("follow it with `quorate op wait {}`", operation.id));
    Ok(())
}

/// The idempotency key that was given, or 16 random bytes in hex.
pub(super) fn idempotency_key(given: Option<String>) -> anyhow::Result<String> {
    if let Some(key) = given {
        return Ok(key);
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness from the system: {error}"))?;
    Ok(hex::encode(bytes))
}

/// Names of nodes, `None` if there are none.
pub(super) fn node_names(names: Vec<String>) -> anyhow::Result<Option<Vec<String>>> {
    for name in &names {
        check_node_name(name).map_err(|error| usage(format!("`{name}`: {error}")))?;
    }
    Ok(Some(names).filter(|names| !names.is_empty()))
}

/// Reads a scheme, and lets the help list them.
pub(super) fn scheme() -> impl TypedValueParser<Value = Scheme> {
    PossibleValuesParser::new(Scheme::ALL.map(Scheme::name)).try_map(|name| name.parse::<Scheme>())
}

pub(super) fn purpose() -> impl TypedValueParser<Value = Purpose> {
    PossibleValuesParser::new(Purpose::ALL.map(Purpose::name)).try_map(|name| name.parse::<Purpose>())
}

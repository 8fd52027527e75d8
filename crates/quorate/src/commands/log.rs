//! `quorate log`: read and check what nodes wrote down.

use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::output::{Output, fields, table};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use quorate_api::client::{Client, ClientError};
use quorate_api::{NodeReceipt, Operation};
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::{Entry, Line};
use quorate_log::receipt::Receipt;
use quorate_log::tile::{Level, ReadTile, TILE_WIDTH, Tile, entries};
use quorate_log::verify::audit;
use quorate_log::witness::WitnessPolicy;
use quorate_node::{PeerId, log_key};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Commands about logs.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Show the newest entries of a node's log.
    Tail(TailArgs),
    /// Print a node's whole log, one JSON object a line.
    Export,
    /// Check receipts, a copy of a log, or a running node's whole log.
    Verify(VerifyArgs),
}

/// How much to show.
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Entries to show.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    lines: u64,
}

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate key sign KEY --message hello -o json | quorate log verify -     the receipts of a result, offline
  quorate log verify --save head.txt                                      a running node; keep its signed head
  quorate log verify --seen head.txt                                      later: has it gone on from there?
  quorate log verify ./copy                                               a folder with `checkpoint` and `tile/…`

A node's log is signed by the node's identity. Give the identities that you know with --identity; without it, what is
printed must be compared with them.")]
pub(crate) struct VerifyArgs {
    /// An operation as JSON, `-` for standard input, or a folder in the form of tlog-tiles. Without it the node is asked.
    source: Option<PathBuf>,
    /// An identity that is trusted, in hex; may be repeated. A log of any other identity is an error then.
    #[arg(long = "identity", value_name = "HEX")]
    identities: Vec<PeerId>,
    /// A head of the same log that was seen before: a rollback or a fork since then is found.
    #[arg(long, value_name = "FILE")]
    seen: Vec<PathBuf>,
    /// Writes the head that was found good to a file.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(command: LogCommand, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    match command {
        LogCommand::Tail(args) => tail(&args, &Live::connect(connection)?, output),
        LogCommand::Export => export(&Live::connect(connection)?, output),
        LogCommand::Verify(args) => match &args.source {
            None => verify_log(&args, &Live::connect(connection)?, output),
            Some(path) if path.is_dir() => verify_log(&args, &Copy(path.clone()), output),
            Some(path) => verify_receipts(&args, path, output),
        },
    }
}

/// Where a log is read.
trait Source: ReadTile<Error: std::error::Error + Send + Sync + 'static> {
    fn head(&self) -> anyhow::Result<SignedCheckpoint>;
}

/// The log of a running node.
struct Live {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Live {
    fn connect(connection: &Connection) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { client: connect(connection)?, runtime: runtime.context("cannot start the runtime")? })
    }
}

impl ReadTile for Live {
    type Error = ClientError;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, ClientError> {
        self.runtime.block_on(self.client.log_tile(&tile.to_string()))
    }
}

impl Source for Live {
    fn head(&self) -> anyhow::Result<SignedCheckpoint> {
        let note = self.runtime.block_on(self.client.log_checkpoint())?;
        SignedCheckpoint::parse(&note).context("the node's head is not understood")
    }
}

/// A copy in a folder.
struct Copy(PathBuf);

/// Copies a node's whole log into a folder in the form of tlog-tiles, as an auditor would keep it.
pub(crate) async fn copy(client: &Client, folder: &Path) -> anyhow::Result<()> {
    let note = client.log_checkpoint().await?;
    let head = SignedCheckpoint::parse(&note).context("the node's head is not understood")?;
    for tile in Tile::written(0, head.claim().size()) {
        let path = folder.join(tile.to_string());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, client.log_tile(&tile.to_string()).await?)?;
    }
    fs::write(folder.join("checkpoint"), note)?;
    Ok(())
}

/// Checks a copy of a log: how many entries it has, and what is not as it was signed.
pub(crate) fn check_copy(folder: &Path, identity: &str) -> anyhow::Result<(u64, Vec<String>)> {
    let copy = Copy(folder.to_owned());
    let head = copy.head()?;
    let id = owner(&head, &[identity.parse()?])?;
    let report = audit(&log_key(id)?, &head, &copy, &[], &[])?;
    Ok((report.head.size(), report.findings.iter().map(ToString::to_string).collect()))
}

/// Checks every receipt of an operation against the identities of the nodes.
pub(crate) fn check_receipts(operation: &Operation, trusted: &[PeerId]) -> anyhow::Result<usize> {
    for receipt in &operation.receipts {
        prove(receipt, operation, trusted)?;
    }
    Ok(operation.receipts.len())
}

impl ReadTile for Copy {
    type Error = std::io::Error;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, std::io::Error> {
        let path = self.0.join(tile.to_string());
        // A wider tile is as good.
        fs::read(&path).or_else(|error| {
            let full =
                Tile::new(tile.level(), tile.index(), TILE_WIDTH).map(|full| self.0.join(full.to_string()));
            full.map_or(Err(error), fs::read)
        })
    }
}

impl Source for Copy {
    fn head(&self) -> anyhow::Result<SignedCheckpoint> {
        read_head(&self.0.join("checkpoint"))
    }
}

fn read_head(path: &Path) -> anyhow::Result<SignedCheckpoint> {
    let note = fs::read_to_string(path)
        .map_err(|error| usage(format!("cannot read `{}`: {error}", path.display())))?;
    SignedCheckpoint::parse(&note).with_context(|| format!("`{}` is no head of a log", path.display()))
}

/// The identity whose log this claims to be.
fn owner(head: &SignedCheckpoint, trusted: &[PeerId]) -> anyhow::Result<PeerId> {
    let origin = head.claim().origin().as_str();
    let id = origin.strip_prefix("quorate/").and_then(|id| id.parse::<PeerId>().ok());
    let id = id.with_context(|| format!("`{origin}` is not the log of a quorate node"))?;
    if !trusted.is_empty() && !trusted.contains(&id) {
        bail!("this is the log of `{id}`, which is none of the identities given");
    }
    Ok(id)
}

/// What was found about a log.
#[derive(Debug, Serialize)]
struct Judged {
    identity: String,
    entries: u64,
    root: String,
    good: bool,
    findings: Vec<String>,
}

fn verify_log<S: Source>(args: &VerifyArgs, source: &S, output: &Output) -> anyhow::Result<()> {
    let head = source.head()?;
    let id = owner(&head, &args.identities)?;
    let seen = args.seen.iter().map(|path| read_head(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let report = audit(&log_key(id)?, &head, source, &seen, &[])?;
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let judged = Judged {
        identity: id.to_string(),
        entries: report.head.size(),
        root: report.head.root().to_string(),
        good: findings.is_empty(),
        findings,
    };
    output.result(&judged, || {
        let mut text = fields(&[
            ("identity", judged.identity.clone()),
            ("entries", judged.entries.to_string()),
            ("root", judged.root.clone()),
            ("verdict", if judged.good { "as it was signed" } else { "NOT as it was signed" }.to_owned()),
        ]);
        for finding in &judged.findings {
            text.push_str(&format!("  {finding}\n"));
        }
        text
    })?;
    if !judged.good {
        bail!("the log is not what was signed: {} findings", judged.findings.len());
    }
    if args.identities.is_empty() {
        output.hint("compare the identity with the one that you know (or give it: --identity)");
    }
    if let Some(path) = &args.save {
        fs::write(path, head.to_string()).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

/// One receipt that holds.
#[derive(Debug, Serialize)]
struct Proven {
    node: String,
    identity: String,
    index: u64,
    entries: u64,
    operation: String,
    entry: Line,
}

fn verify_receipts(args: &VerifyArgs, path: &Path, output: &Output) -> anyhow::Result<()> {
    let text = crate::input::text(&format!("@{}", path.display()))?;
    let operation: Operation =
        serde_json::from_str(&text).map_err(|error| usage(format!("not an operation as JSON: {error}")))?;
    if operation.receipts.is_empty() {
        bail!(
            "`{}` carries no receipts: ask the node for the operation itself, not for a list",
            operation.id
        );
    }
    let proven = operation
        .receipts
        .iter()
        .map(|receipt| {
            prove(receipt, &operation, &args.identities)
                .with_context(|| format!("the receipt of `{}` does not hold", receipt.node))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    output.result(&proven, || {
        let row = |one: &Proven| {
            [one.node.clone(), one.identity.clone(), one.index.to_string(), one.entry.time.clone()]
        };
        let rows: Vec<_> = proven.iter().map(row).collect();
        table(["NODE", "IDENTITY", "ENTRY", "LOGGED AT"], &rows)
    })?;
    if args.identities.is_empty() {
        output.hint("compare the identities with those that you know (or give them: --identity)");
    }
    Ok(())
}

fn prove(receipt: &NodeReceipt, operation: &Operation, trusted: &[PeerId]) -> anyhow::Result<Proven> {
    let id: PeerId = receipt.identity.parse()?;
    if !trusted.is_empty() && !trusted.contains(&id) {
        bail!("`{id}` is none of the identities given");
    }
    let logged = Receipt::parse(&receipt.receipt)?.verify(&log_key(id)?, &WitnessPolicy::none())?;
    let about = logged.entry.operation_id().map(|id| id.as_str());
    if about != Some(operation.id.as_str()) {
        bail!("it is about `{}`", about.unwrap_or("no operation"));
    }
    if let Some(result) = &operation.result
        && !quorate_node::logged_result(&logged.entry, result)
    {
        bail!("it is about another result");
    }
    Ok(Proven {
        node: receipt.node.clone(),
        identity: receipt.identity.clone(),
        index: logged.index,
        entries: logged.checkpoint.size(),
        operation: operation.id.to_string(),
        entry: Line::new(logged.index, &logged.entry),
    })
}

/// Calls `each` with the entries from `from` on, in order.
fn walk<S: Source>(
    source: &S,
    head: &SignedCheckpoint,
    from: u64,
    mut each: impl FnMut(Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (size, width) = (head.claim().size(), u64::from(TILE_WIDTH));
    for bundle in from / width..size.div_ceil(width) {
        let tile = Tile::at(Level::Entries, bundle, size).context("the log has no such bundle")?;
        let bytes = source.tile(tile)?;
        for (index, bytes) in (bundle * width..).zip(entries(tile, &bytes)?) {
            if index >= from {
                let entry = Entry::decode(&bytes).with_context(|| format!("entry {index}"))?;
                each(Line::new(index, &entry))?;
            }
        }
    }
    Ok(())
}

fn tail(args: &TailArgs, source: &Live, output: &Output) -> anyhow::Result<()> {
    let head = source.head()?;
    let mut lines = Vec::new();
    walk(source, &head, head.claim().size().saturating_sub(args.lines), |line| {
        lines.push(line);
        Ok(())
    })?;
    output.result(&lines, || {
        let row = |line: &Line| {
            let body = line.body.as_ref().map(ToString::to_string).unwrap_or_default();
            let operation = line.operation.clone().unwrap_or_default();
            [line.index.to_string(), line.time.clone(), line.kind.to_owned(), operation, body]
        };
        let rows: Vec<_> = lines.iter().map(row).collect();
        table(["ENTRY", "TIME", "KIND", "OPERATION", "WHAT"], &rows)
    })
}

fn export(source: &Live, output: &Output) -> anyhow::Result<()> {
    let head = source.head()?;
    walk(source, &head, 0, |line| output.text(&line.to_json()?))
}

//! `quorate log`: read and check what nodes wrote down.

mod receipts;
mod verify;
mod witnesses;

pub(crate) use receipts::check_receipts;
pub(crate) use verify::check_copy;

use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::output::{Output, table};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use quorate_api::Code;
use quorate_api::client::{Client, ClientError};
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::{Entry, Line};
use quorate_log::tile::{Level, ReadTile, TILE_WIDTH, Tile, entries};
use quorate_node::PeerId;
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
  quorate log verify --identity A --identity B --identity C --witnesses 2 did two of the others cosign it?
  quorate log verify operation.json --live --node http://127.0.0.1:7400   is what the receipt proves still in that node's log?
  quorate log verify ./copy                                               a folder with `checkpoint` and `tile/…`

A node's log is signed by the node's identity, and cosigned by the other nodes under theirs. Give the identities that you know
with --identity; without it, what is printed must be compared with them.")]
pub(crate) struct VerifyArgs {
    /// An operation as JSON, `-` for standard input, or a folder in the form of tlog-tiles. Without it the node is asked.
    source: Option<PathBuf>,
    /// An identity that is trusted, in hex; may be repeated. A log of any other identity is an error then, and only cosignatures of these
    /// count.
    #[arg(long = "identity", value_name = "HEX")]
    identities: Vec<PeerId>,
    /// A head of the same log that was seen before: a rollback or a fork since then is found.
    #[arg(long, value_name = "FILE")]
    seen: Vec<PathBuf>,
    /// How many of the other identities given must have cosigned the log.
    #[arg(long, value_name = "N", default_value_t = 0)]
    witnesses: usize,
    /// For an operation: ask the node too whether the entry that its receipt proves is in its log now, under a head that others cosigned.
    #[arg(long)]
    live: bool,
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
            None => verify::log(&args, &Live::connect(connection)?, output),
            Some(path) if path.is_dir() => verify::log(&args, &Copy(path.clone()), output),
            // What others cosigned is not in receipts, which do not wait for it: the node has it.
            Some(path) if args.live || args.witnesses > 0 => {
                let live = Live::connect(connection)?;
                receipts::verify(&args, path, Some((&live, connection.wait)), output)
            }
            Some(path) => receipts::verify(&args, path, None, output),
        },
    }
}

/// Where a log is read.
trait Source: ReadTile<Error: std::error::Error + Send + Sync + 'static> {
    fn head(&self) -> anyhow::Result<SignedCheckpoint>;

    /// The newest head that others cosigned; `None` if there is none.
    fn cosigned(&self) -> anyhow::Result<Option<SignedCheckpoint>>;
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

    fn cosigned(&self) -> anyhow::Result<Option<SignedCheckpoint>> {
        let note = self.runtime.block_on(cosigned(&self.client))?;
        note.map(|note| SignedCheckpoint::parse(&note).context("the node's cosigned head is not understood"))
            .transpose()
    }
}

async fn cosigned(client: &Client) -> Result<Option<String>, ClientError> {
    match client.log_cosigned().await {
        Ok(note) => Ok(Some(note)),
        Err(ClientError::Problem(problem)) if problem.code == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a copy keeps the newest head that others cosigned, beside `checkpoint`.
const COSIGNED: &str = "cosigned";

/// A copy in a folder.
struct Copy(PathBuf);

/// Copies a node's whole log into a folder in the form of tlog-tiles, as an auditor would keep it.
pub(crate) async fn copy(client: &Client, folder: &Path) -> anyhow::Result<()> {
    // The cosigned one first: it is never ahead of the other then.
    let cosigned = cosigned(client).await?;
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
    if let Some(cosigned) = cosigned {
        fs::write(folder.join(COSIGNED), cosigned)?;
    }
    Ok(())
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

    fn cosigned(&self) -> anyhow::Result<Option<SignedCheckpoint>> {
        let path = self.0.join(COSIGNED);
        if path.exists() { read_head(&path).map(Some) } else { Ok(None) }
    }
}

fn read_head(path: &Path) -> anyhow::Result<SignedCheckpoint> {
    let note = fs::read_to_string(path)
        .map_err(|error| usage(format!("cannot read `{}`: {error}", path.display())))?;
    SignedCheckpoint::parse(&note).with_context(|| format!("`{}` is no head of a log", path.display()))
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

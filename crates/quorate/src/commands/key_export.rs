//! `quorate key export`: ask the nodes for their shares, and let a process of its own put the key together and use it once.
//!
//! This process never sees the private key: it starts the program once more (`assemble`), which draws a one-time key, and passes sealed
//! shares on. What comes back is a file that only age recipients can open, or one signature.

pub(crate) mod assemble;
mod isolate;
pub(crate) mod process;
mod recipient;
mod wire;

use super::{block_on, key, people};
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::input;
use crate::output::{Output, fields};
use crate::progress::Progress;
use crate::verify::{to_sign_of_message, verify};
use anyhow::Context as _;
use clap::Args;
use process::Assembler;
use quorate_api::client::{Client, ClientError};
use quorate_api::intent::Scheme;
use quorate_api::{
    Act, Export, ExportResult, Hex, Key, KeyId, KeyStatus, MAX_EXPORT_AHEAD, Operation, OperationId,
    OperationResult, Skipped, check_label,
};
use quorate_material::{Format, WRITTEN, check_written};
use serde::Serialize;
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};
use wire::{Done, Job, Product, Ready, Use};

/// Arguments of `quorate key export`.
#[derive(Debug, Args)]
#[command(
    override_usage = "\
quorate key export [OPTIONS] --reason <REASON> <KEY> --to <RECIPIENT>... --out <FILE>
       quorate key export [OPTIONS] --reason <REASON> <KEY> <--sign-message <TEXT>|--sign-digest <HEX>>",
    after_help = "\
The private key is put together in a process of its own, used once, and wiped. It is never printed, and no option prints it.
The key counts as exposed for ever, from the moment at which the first node gives its share.
This command waits until the request ends (`--expires`, a day at most), for people who must agree too; `--wait` does not matter here.

Examples:
  quorate key export key_… --reason 'moving to cold storage, ticket 4711' --to age1… --out treasury.age
  age --decrypt --identity cold.txt treasury.age
  quorate key export key_… --reason 'the sweep of ticket 4711' --expires 2h --sign-message @sweep.txt"
)]
pub(crate) struct ExportArgs {
    /// The key's identifier.
    key: KeyId,
    /// Why, for those who must agree and for the log.
    #[arg(long)]
    reason: String,
    /// Seal it to this age recipient (age1…), into the file `--out`; can be repeated, and each can open the file.
    #[arg(long = "to", value_name = "RECIPIENT", required_unless_present = "sign", requires = "out")]
    recipients: Vec<String>,
    /// The file to write; it must not exist.
    #[arg(long, value_name = "FILE", requires = "recipients")]
    out: Option<PathBuf>,
    /// What is in the file: quorate (to import it again), hex, pkcs8 or wif.
    #[arg(long, default_value = "quorate", value_parser = format, requires = "recipients")]
    format: Format,
    /// Mark a WIF for Bitcoin's test networks.
    #[arg(long, requires = "recipients")]
    test_network: bool,
    #[command(flatten)]
    sign: Signed,
    /// Go on where memory cannot be locked and may be swapped to a disk that is not encrypted.
    #[arg(long)]
    allow_swap: bool,
    /// Do not ask before it is done.
    #[arg(long)]
    yes: bool,
    /// Refused: whoever has a child and the extended public key above it has the key above it.
    #[arg(long, value_name = "PATH", hide = true)]
    derive: Option<String>,
}

/// The other use: one signature.
#[derive(Debug, Args)]
#[group(id = "sign", multiple = false, conflicts_with = "recipients")]
pub(crate) struct Signed {
    /// Use it for one signature over this message (may be @FILE, or @- for standard input), and print that.
    #[arg(long, value_name = "TEXT")]
    sign_message: Option<String>,
    /// Use it for one signature over this digest of 32 bytes in hex.
    #[arg(long, value_name = "HEX")]
    sign_digest: Option<String>,
}

fn format(name: &str) -> Result<Format, String> {
    let known = WRITTEN.into_iter().find(|format| format.name() == name);
    known.ok_or_else(|| format!("expected {}", WRITTEN.map(Format::name).join(", ")))
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Exported {
    operation: String,
    key: KeyId,
    scheme: Scheme,
    public_key: Hex,
    epoch: u64,
    /// As the asked node has it now.
    status: KeyStatus,
    /// Whose shares the key was put together from.
    used: Vec<String>,
    /// Who gave something else than its share.
    wrong: Vec<String>,
    /// Who gave none, and why.
    without: Vec<Skipped>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Hex>,
}

/// Runs the command.
pub(crate) fn run(args: ExportArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    if args.derive.is_some() {
        return Err(usage(
            "a key is exported whole, and no child of it alone: whoever has one and the extended public key above it can compute the private key above it, and all its children",
        ));
    }
    check_label(&args.reason).map_err(|_| usage("a reason is needed: 1 to 128 characters on one line"))?;
    if connection.expires > Duration::from_secs(MAX_EXPORT_AHEAD) {
        return Err(usage("an export ends within a day: give `--expires 24h` or less"));
    }
    let message = args.sign.sign_message.as_deref().map(input::bytes).transpose()?;
    let digest = args.sign.sign_digest.as_deref().map(input::hex).transpose()?;
    let client = connect(connection)?;
    let (exported, wrong) =
        block_on(export(&args, message.as_deref(), digest, &client, connection.expires, output))?;
    output.result(&exported, || show(&exported))?;
    output.hint(&format!(
        "the private key was outside: make a new key, move what this one holds to it, then `quorate key destroy {}`. A refresh does not help: what is outside stays valid",
        args.key
    ));
    // The use is done; that somebody cheated is said by the exit code too.
    wrong.map_or(Ok(()), Err)
}

async fn export(
    args: &ExportArgs,
    message: Option<&[u8]>,
    digest: Option<Vec<u8>>,
    client: &Client,
    within: Duration,
    output: &Output,
) -> anyhow::Result<(Exported, Option<anyhow::Error>)> {
    let key = client.key(&args.key).await?;
    usable(&key)?;
    let to_sign = match (message, digest) {
        (Some(message), _) => Some(to_sign_of_message(key.scheme, message)),
        (None, Some(_)) if key.scheme == Scheme::Ed25519 => {
            return Err(usage("ed25519 signs messages: give `--sign-message`"));
        }
        (None, digest) => digest,
    };
    check_written(args.format, assemble::curve(key.scheme)).map_err(usage)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let expires = now.saturating_add(within).as_secs();
    let ends = Instant::now() + within;
    let once = match &to_sign {
        Some(to_sign) => Use::Sign(Hex(to_sign.clone())),
        None => Use::Seal {
            recipients: args.recipients.clone(),
            format: args.format.name().to_owned(),
            test_network: args.test_network,
        },
    };
    let job = Job {
        key: key.id.to_string(),
        scheme: key.scheme,
        public_key: key.public_key.clone(),
        expires,
        allow_swap: args.allow_swap,
        once,
    };
    // What can fail fails before anything is asked of the nodes: they mark the key for ever.
    let mut assembler = Assembler::start(&job)?;
    let ready: Ready = assembler.hear()?;
    if let Some(why) = &ready.unlocked {
        output.hint(&format!("the memory of the process that puts the key together is not locked: {why}"));
    }
    let reserved = args.out.as_deref().map(Reserved::new).transpose()?;
    confirm(args, &key, output)?;
    let act =
        Act::Export(Export { reason: args.reason.clone(), recipient: ready.recipient, expires: job.expires });
    let asked = RefCell::new(None);
    let operation = tokio::select! {
        done = order(client, &key.id, &act, ends, &asked, output) => done?,
        why = stopped() => {
            let reject = match &*asked.borrow() {
                Some(id) => format!("reject the operation, so that nobody marks the key for nothing: `quorate reject {id}`"),
                None => "look at `quorate op list`".to_owned(),
            };
            anyhow::bail!("stopped by {why}, and the one-time key is gone: {reject}");
        }
    };
    let Some(OperationResult::ExportKey(result)) = &operation.result else {
        anyhow::bail!(
            "the node answered without shares: ask anew; `quorate key show {}` says whether it counts as exposed",
            key.id
        );
    };
    let exposed = "shares were given out, and the key counts as exposed for ever";
    assembler.tell(result.as_ref()).context(exposed)?;
    let done: Done = assembler.hear().context(exposed)?;
    drop(assembler);
    let mut exported = Exported {
        operation: operation.id.to_string(),
        key: key.id.clone(),
        scheme: key.scheme,
        public_key: key.public_key.clone(),
        epoch: result.epoch,
        status: KeyStatus::Exposed,
        used: done.used,
        wrong: done.wrong,
        without: result.without.clone(),
        file: None,
        format: None,
        signature: None,
    };
    match (done.product, reserved, to_sign) {
        (Product::File(text), Some(reserved), None) => {
            exported.file = Some(reserved.write(&text).context(exposed)?);
            exported.format = Some(args.format.name());
        }
        (Product::Signature(signature), None, Some(to_sign)) => {
            verify(key.scheme, &key.public_key.0, &to_sign, &signature.0).map_err(anyhow::Error::msg)?;
            exported.signature = Some(signature);
        }
        _ => anyhow::bail!("the process that puts the key together did something else than it was asked for"),
    }
    // The use is done: that the node cannot be asked again is no failure of it.
    if let Ok(key) = client.key(&key.id).await {
        exported.status = key.status;
    }
    let wrong = blame(&exported, result);
    Ok((exported, wrong))
}

/// Whose shares were wrong, as the failure that it is.
fn blame(exported: &Exported, result: &ExportResult) -> Option<anyhow::Error> {
    (!exported.wrong.is_empty()).then(|| {
        anyhow::anyhow!(
            "wrong shares came from {} of {}: they do not belong to this key and epoch, or were changed on the way. What is above was made from the right ones, and its public key is the right one; look at those nodes before anything else",
            exported.wrong.join(", "),
            result.shares.iter().map(|share| share.party.as_str()).collect::<Vec<_>>().join(", ")
        )
    })
}

fn usable(key: &Key) -> anyhow::Result<()> {
    let why = match key.status {
        KeyStatus::Active | KeyStatus::Exposed => return Ok(()),
        KeyStatus::Disabled => "disabled: whoever may, enables it first with `quorate key enable`",
        KeyStatus::Pending => "not made yet: wait for its key generation",
        KeyStatus::Burned => "burned: its shares are used for nothing any more",
        KeyStatus::Destroyed => "destroyed: its shares are erased",
    };
    Err(anyhow::anyhow!("the key is {why}"))
}

/// Says what is about to happen, and goes on only if somebody agrees.
fn confirm(args: &ExportArgs, key: &Key, output: &Output) -> anyhow::Result<()> {
    let once = match (&args.out, args.recipients.as_slice()) {
        (Some(out), to) => format!("written to {}, for {}", out.display(), to.join(", ")),
        (None, _) => "used for one signature".to_owned(),
    };
    let mut text = format!(
        "the private key of {} ({}, public key {}) is put together, {once}; it counts as exposed for ever",
        key.id, key.scheme, key.public_key
    );
    if key.imported {
        text.push_str("\nit was imported: if it was derived from another one (BIP-32), whoever has it and the extended public key above it can compute the private key above it, and all its children");
    }
    output.notice(&text);
    if args.yes || people::agrees("export")? {
        return Ok(());
    }
    Err(usage("nothing was asked for: answer `yes`, or give --yes"))
}

/// Asks for the shares and waits to the end, also while people decide: the one-time key lives as long as this command.
async fn order(
    client: &Client,
    key: &KeyId,
    act: &Act,
    ends: Instant,
    known: &RefCell<Option<OperationId>>,
    output: &Output,
) -> anyhow::Result<Operation> {
    let repeat = key::idempotency_key(None)?;
    let progress = Progress::start("gathering shares");
    let mut lost = false;
    loop {
        let left = ends.saturating_duration_since(Instant::now());
        let id = known.borrow().clone();
        let asked = match &id {
            // Short, so that whoever must agree is named at once.
            None => client.act(key, act, &repeat, left.min(Duration::from_millis(500))).await,
            Some(id) => client.wait(id, left, progress.step(), |operation| progress.show(operation)).await,
        };
        match asked {
            Ok(operation) if operation.status.is_final() => return Ok(operation),
            Ok(operation) => {
                progress.show(&operation);
                if operation.approvals.is_some() {
                    people::hint_waiting(&operation, output);
                    output.notice(&format!(
                        "{} waits for approvals; leave this command running. If you stop it, its one-time key is gone: then reject the operation, so that nobody marks the key for nothing (`quorate reject {}`)",
                        operation.id, operation.id
                    ));
                }
                known.replace(Some(operation.id));
            }
            // The same request again is the same operation, and its shares still open here.
            Err(ClientError::NoAnswer(_)) if !left.is_zero() => {
                if !std::mem::replace(&mut lost, true) {
                    output.notice("the node does not answer: asking again until the request ends");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(ClientError::Connect { .. }) if id.is_some() && !left.is_zero() => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends when somebody wants this command to end; gives how.
async fn stopped() -> &'static str {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => terminated.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => "Ctrl-C",
        Some(()) = terminated => "a signal",
        else => std::future::pending().await,
    }
}

/// A file that is there and empty before anything is asked of the nodes, and gone if nothing comes of it.
struct Reserved {
    file: File,
    path: PathBuf,
    keep: bool,
}

impl Reserved {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| usage(format!("cannot write `{}`: {error}", path.display())))?;
        Ok(Self { file, path: path.to_owned(), keep: false })
    }

    /// Writes it durably; gives its name.
    fn write(mut self, text: &str) -> anyhow::Result<String> {
        let shown = self.path.display().to_string();
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        written.with_context(|| format!("cannot write `{shown}`"))?;
        self.keep = true;
        Ok(shown)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.keep {
            // What is left of it is of no use to anybody.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn show(exported: &Exported) -> String {
    let without: Vec<String> = exported.without.iter().map(ToString::to_string).collect();
    fields(&[
        ("key", exported.key.to_string()),
        ("public key", exported.public_key.to_string()),
        ("status", exported.status.as_str().to_owned()),
        ("put together from", exported.used.join(", ")),
        ("wrong shares from", exported.wrong.join(", ")),
        ("without", without.join("\n")),
        ("written to", exported.file.clone().unwrap_or_default()),
        ("format", exported.format.unwrap_or_default().to_owned()),
        ("signature", exported.signature.as_ref().map(ToString::to_string).unwrap_or_default()),
    ])
}

//! A running node reads its configuration again: asked with SIGHUP, it answers in its data folder.

use super::load;
use crate::failure::usage;
use crate::output::{Output, fields};
use anyhow::{Context as _, bail};
use clap::Args;
use quorate_node::{Node, Reloaded};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The process id of the node, in its data folder; worth something only while the folder is locked.
const PID_FILE: &str = "node.pid";
/// What the node did when it was last asked to read its configuration again.
const ANSWER_FILE: &str = "reload.json";
/// The file that a running node keeps locked.
const LOCK_FILE: &str = "store.lock";
/// How long a node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Arguments of `quorate node reload`.
#[derive(Debug, Args)]
#[command(after_help = "\
The node takes up its peers: addresses, and in a cluster without a directory also who they are. For everything else it says what differs,
which needs a restart. The same as sending SIGHUP to the node, whose log says the same.")]
pub(crate) struct ReloadArgs {
    /// The configuration file of the node, which runs on this machine.
    #[arg(long, value_name = "FILE", default_value = "quorate.toml")]
    config: PathBuf,
}

/// What a node did with its configuration.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    added: Vec<String>,
    removed: Vec<String>,
    moved: Vec<String>,
    restart: Vec<String>,
}

impl From<anyhow::Result<Reloaded>> for Answer {
    fn from(reloaded: anyhow::Result<Reloaded>) -> Self {
        let (done, error) = match reloaded {
            Ok(done) => (done, None),
            Err(error) => (Reloaded::default(), Some(error.to_string())),
        };
        Self { error, added: done.added, removed: done.removed, moved: done.moved, restart: done.restart }
    }
}

fn write_whole(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text)?;
    Ok(fs::rename(&fresh, path)?)
}

/// Says who runs, for whoever wants to ask it something.
pub(super) fn begin(data: &Path) -> anyhow::Result<()> {
    let path = data.join(PID_FILE);
    write_whole(&path, std::process::id().to_string().as_bytes())
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Reads the configuration again and lets the node take it up. The node goes on whatever comes of it.
pub(super) async fn take_up(node: &Node, config: &Path, data: &Path) {
    let reloaded = match load(config) {
        Ok(config) => node.reload(&config).await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    if let Err(error) = &reloaded {
        tracing::error!(%error, "the configuration is not taken up: the node goes on as before");
    }
    let written = serde_json::to_vec(&Answer::from(reloaded))
        .map_err(anyhow::Error::from)
        .and_then(|text| write_whole(&data.join(ANSWER_FILE), &text));
    if let Err(error) = written {
        tracing::warn!(%error, "whoever asked for a new look at the configuration gets no answer");
    }
}

/// Whether a process has the folder open.
fn is_running(data: &Path) -> bool {
    let lock = File::open(data.join(LOCK_FILE));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Asks the node to read its configuration again, and shows what it did.
pub(super) fn reload(args: &ReloadArgs, output: &Output) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    let data = &config.data;
    if !is_running(data) {
        return Err(usage(format!("no node runs on `{}`: start it with `quorate node run`", data.display())));
    }
    let pid = fs::read_to_string(data.join(PID_FILE))?;
    let pid: u32 = pid.trim().parse().with_context(|| format!("`{PID_FILE}` names no process"))?;
    let answer = data.join(ANSWER_FILE);
    if let Err(error) = fs::remove_file(&answer)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        bail!("`{}`: {error}", answer.display());
    }
    let told = Command::new("kill").args(["-HUP", &pid.to_string()]).status();
    if !told.is_ok_and(|status| status.success()) {
        bail!("the process {pid} of the node cannot be told: run this as the user that it runs as");
    }
    let began = Instant::now();
    let text = loop {
        match fs::read(&answer) {
            Ok(text) => break text,
            Err(_) if began.elapsed() < ANSWER_WITHIN => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => bail!("the node does not answer, its log may say why: {error}"),
        }
    };
    let done: Answer = serde_json::from_slice(&text)?;
    if let Some(error) = done.error {
        bail!("the node goes on as before: {error}");
    }
    output.result(&done, || {
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        fields(&[
            ("peers added", list(&done.added)),
            ("peers removed", list(&done.removed)),
            ("peers moved", list(&done.moved)),
            ("needs a restart", list(&done.restart)),
        ])
    })
}

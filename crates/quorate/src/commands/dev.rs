//! `quorate dev`: the cluster of the demo, left up, with what to try next.

use crate::commands::block_on;
use crate::local::{CLIENT, LocalCluster, NAMES};
use crate::output::Output;
use anyhow::{Context as _, bail};
use clap::Args;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `quorate dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The folder to make and keep; without it a temporary one is used and removed at the end.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Runs the cluster until Ctrl-C.
pub(crate) fn run(args: &DevArgs, output: &Output) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new()
        .prefix("quorate-dev-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let folder = args.folder.as_deref().unwrap_or_else(|| temporary.path());
    if args.folder.is_some() && folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        let shown = folder.display();
        bail!(
            "`{shown}` is not empty: choose another folder, or start its nodes again with `quorate node run --config {shown}/a/quorate.toml`"
        );
    }
    // What is printed is typed in another terminal, which is somewhere else.
    let folder = std::path::absolute(folder).context("cannot find the folder")?;
    block_on(async {
        // Before anything is started: a signal that comes while the nodes start must not leave them behind.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut cluster = LocalCluster::create(&folder).await?;
        let up = async {
            for node in &mut cluster.nodes {
                node.start()?;
            }
            for name in NAMES {
                cluster.wait_ready(name, 2).await?;
            }
            output.text(&welcome(&cluster))?;
            std::future::pending::<anyhow::Result<()>>().await
        };
        tokio::select! {
            failed = up => failed?,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        for node in &mut cluster.nodes {
            node.stop();
        }
        Ok(())
    })
}

fn welcome(cluster: &LocalCluster) -> String {
    let mut text = String::from("Three nodes are up; Ctrl-C ends them.\n\n");
    for node in &cluster.nodes {
        text.push_str(&format!(
            "  {}  http://{}  log {}\n",
            node.name,
            node.api,
            node.folder.join("log").display()
        ));
    }
    let api = cluster.nodes.first().map(|n| n.api.to_string()).unwrap_or_default();
    text.push_str(&format!(
        "\nIn another terminal:\n\n  export QUORATE_NODE=http://{api} QUORATE_CLIENT={CLIENT} QUORATE_CLIENT_KEY={}\n",
        quoted(&cluster.client_key.display().to_string())
    ));
    text.push_str(
        "\n  quorate node status\n  quorate key create --scheme ecdsa-secp256k1 --threshold 2\n  quorate key list\n  \
         quorate key create --scheme ecdsa-p256 --threshold 2\n  quorate key sign KEY --message 'hello'\n  quorate op list\n\n\
         KEY is the identifier that `quorate key create` printed last: a key for ecdsa-p256 signs messages, one for \
         ecdsa-secp256k1 Ethereum and Bitcoin transactions.\n",
    );
    text
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

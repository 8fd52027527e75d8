//! `quorate dev`: the cluster of the demo, left up, with what to try next.

use crate::commands::block_on;
use crate::local::{CLIENT, LocalCluster, NAMES};
use crate::output::Output;
use anyhow::Context as _;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `quorate dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The folder to make and keep; without it a temporary one is used and removed at the end.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Runs the cluster until Ctrl-C.
pub(crate) fn run(args: &DevArgs, output: &Output) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new().prefix("quorate-dev-").tempdir().context("cannot make a temporary folder")?;
    let folder = args.folder.as_deref().unwrap_or_else(|| temporary.path());
    block_on(async {
        let mut cluster = LocalCluster::create(folder).await?;
        for node in &mut cluster.nodes {
            node.start()?;
        }
        for name in NAMES {
            cluster.wait_ready(name, 2).await?;
        }
        output.text(&welcome(&cluster))?;
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            done = tokio::signal::ctrl_c() => done?,
            _ = terminate.recv() => {}
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
        text.push_str(&format!("  {}  http://{}  log {}\n", node.name, node.api, node.folder.join("log").display()));
    }
    let api = cluster.nodes.first().map(|n| n.api.to_string()).unwrap_or_default();
    text.push_str(&format!(
        "\nIn another terminal:\n\n  export QUORATE_NODE=http://{api} QUORATE_CLIENT={CLIENT} QUORATE_CLIENT_KEY={}\n",
        cluster.client_key.display()
    ));
    text.push_str(
        "\n  quorate node status\n  quorate key create --scheme ecdsa-secp256k1 --threshold 2\n  quorate key list\n  \
         quorate key create --scheme ecdsa-p256 --threshold 2\n  quorate key sign KEY --message 'hello'\n  quorate op list\n",
    );
    text
}

//! `quorate backup create`.

use crate::commands::{block_on, node};
use crate::output::{Output, fields};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `quorate backup create`.
#[derive(Debug, Args)]
#[command(after_help = "\
The node does this by itself as often as its configuration says. Run it as the node's user, on the node's machine.

Example:
  quorate backup create --config /etc/quorate/quorate.toml")]
pub(crate) struct CreateArgs {
    /// The node's configuration file.
    #[arg(long, value_name = "FILE", default_value = "quorate.toml")]
    config: PathBuf,
}

pub(crate) fn run(args: &CreateArgs, output: &Output) -> anyhow::Result<()> {
    let config = node::load(&args.config)?;
    let done = block_on(async { Ok(quorate_node::back_up_running(&config.data).await?) })?;
    output.result(&done, || {
        fields(&[
            ("place", done.to.clone()),
            ("index", done.sequence.to_string()),
            ("keys", format!("{}, {} encrypted anew", done.keys, done.fresh)),
            ("written", format!("{} bytes", done.bytes)),
            ("deleted", format!("{} files that nothing names", done.pruned)),
        ])
    })
}

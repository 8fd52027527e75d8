//! `quorate completion`.

use crate::cli::Cli;
use crate::output::Output;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

/// Arguments of `quorate completion`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  quorate completion bash > ~/.local/share/bash-completion/completions/quorate"
)]
pub(crate) struct CompletionArgs {
    /// The shell.
    pub(crate) shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionArgs, output: &Output) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "quorate", &mut script);
    output.text(&String::from_utf8(script)?)
}

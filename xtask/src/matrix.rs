//! `cargo xtask matrix`: every ceremony × every message that gets lost × every node killed before and after every durable write. The test runs
//! draw a sample of it by a seed; this runs all.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// What the command line of `cargo xtask matrix` can say.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Words in the names of the tests to run, such as `refresh`; all of them when none is named
    ceremonies: Vec<String>,
    /// Runs the sample of this seed, as a test run does, instead of all cells
    #[arg(long)]
    sample: Option<u64>,
    /// Runs only the cells whose description begins like this, such as "a killed before"
    #[arg(long)]
    only: Option<String>,
    /// Says of each cell what became of it
    #[arg(long)]
    verbose: bool,
}

/// Runs the cells; true when nothing failed.
///
/// # Errors
/// When cargo cannot be started.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command.args(["test", "--locked", "-p", "quorate-node", "--test", "matrix", "--", "--nocapture"]);
    command.args(&options.ceremonies);
    match options.sample {
        Some(seed) => command.env("QUORATE_MATRIX_SEED", seed.to_string()),
        None => command.env("QUORATE_MATRIX", "all"),
    };
    if let Some(only) = &options.only {
        command.env("QUORATE_MATRIX_ONLY", only);
    }
    if options.verbose {
        command.env("QUORATE_MATRIX_VERBOSE", "1");
    }
    let status = command.status().context("cannot start cargo")?;
    println!("matrix: {}", if status.success() { "ok" } else { "failed" });
    Ok(status.success())
}

//! The project's own tasks: `cargo xtask layers|spec|test|matrix|counts|fuzz|bench`.
//!
//! | task | what it answers |
//! |---|---|
//! | `layers` | does the crate graph still have the shape that `ARCHITECTURE.md` promises? |
//! | `spec` | do the pages under `spec/`, the code and the tests still speak of the same steps and checks? |
//! | `test` | does everything work, judged by real counterparts? |
//! | `matrix` | does every ceremony survive every lost message and every kill? |
//! | `counts` | does any hot function take more instructions than it did? |
//! | `fuzz` | does any decoder or session break on arbitrary bytes? |
//! | `bench` | how fast is it? |
#![expect(clippy::print_stdout, reason = "a command line tool that reports to a person or a CI log")]

mod bench;
mod counts;
mod fuzz;
mod layers;
mod matrix;
mod source;
mod spec;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Tasks of the Quorate repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Checks the allowed arrows between crates, `unsafe`, inherited lints, descriptions and file lengths
    Layers,
    /// Compares step labels, `Check` variants and test-plan items between spec, code and tests
    Spec,
    /// Runs the test suites, all of them or those named
    Test(test::Options),
    /// Runs every cell of the matrix of ceremonies, lost messages and kills, of which `test` draws a sample
    Matrix(matrix::Options),
    /// Counts the instructions of the hot functions and compares them with those on record
    Counts(counts::Options),
    /// Feeds arbitrary bytes to decoders and sessions; needs cargo-fuzz and a nightly toolchain
    Fuzz(fuzz::Options),
    /// Runs the benchmarks and prints their report
    Bench(bench::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True when the task found nothing wrong.
fn run(task: Task) -> anyhow::Result<bool> {
    let root = workspace_root()?;
    match task {
        Task::Layers => layers::run(&root),
        Task::Spec => spec::run(&root),
        Task::Test(options) => test::run(&root, &options),
        Task::Matrix(options) => matrix::run(&root, &options),
        Task::Counts(options) => counts::run(&root, &options),
        Task::Fuzz(options) => fuzz::run(&root, &options),
        Task::Bench(options) => bench::run(&root, &options),
    }
}

/// The folder that holds the workspace's `Cargo.toml`.
fn workspace_root() -> anyhow::Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().map(Path::to_path_buf).context("xtask is not inside the workspace")
}

/// Prints what a check found and returns whether it found nothing.
fn verdict(task: &str, summary: &str, problems: &[String]) -> bool {
    for problem in problems {
        println!("{task}: {problem}");
    }
    if problems.is_empty() {
        println!("{task}: {summary}: ok");
    } else {
        println!("{task}: {summary}: {} problem(s)", problems.len());
    }
    problems.is_empty()
}

//! Measures Quorate: its protocols beside their open peers, and a local cluster over its REST interface.
//!
//! Run it through `cargo xtask bench`, which builds it and the `quorate` binary; see `bench/README.md`.
#![expect(clippy::print_stdout, reason = "a command line tool that reports to a person or a file")]

mod backup;
mod cait;
mod cluster;
mod dkls;
mod frost;
mod givre;
mod life;
mod machine;
mod measure;
mod ours;
mod plot;
mod protocols;
mod refresh;
mod trust;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures Quorate.
#[derive(Debug, Parser)]
#[command(name = "quorate-bench")]
struct Arguments {
    #[command(subcommand)]
    report: Report,
    /// One JSON object a line in place of tables
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Report {
    /// CPU time and bytes of key generation and signing, ours and the peers' in turn
    Protocols(protocols::Options),
    /// Latency, rate and memory of three local node processes
    Cluster(cluster::Options),
    /// CPU time and bytes of refreshing, repairing and moving a key
    Life(life::Options),
    /// CPU time and bytes of writing, checking and opening backups
    Backup(backup::Options),
    /// Signatures that a cluster makes while it refreshes many keys
    Refresh(refresh::Options),
    /// What log, directory and policies cost a signature
    Trust(trust::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.report {
        Report::Protocols(options) => protocols::run(options, arguments.json),
        Report::Cluster(options) => cluster::run(options, arguments.json),
        Report::Life(options) => life::run(options, arguments.json),
        Report::Backup(options) => backup::run(options, arguments.json),
        Report::Refresh(options) => refresh::run(options, arguments.json),
        Report::Trust(options) => trust::run(options, arguments.json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

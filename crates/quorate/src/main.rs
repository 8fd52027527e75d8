//! The `quorate` program: keys that exist only as shares, from the command line.

mod cli;
mod commands;
mod connection;
mod failure;
mod input;
mod local;
mod output;
mod progress;
mod telemetry;
mod verify;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Every command may hold a key for a moment. What a node takes beyond that it takes itself.
    drop(quorate_node::host::harden(quorate_node::config::LockMemory::Off));
    let cli = cli::Cli::parse();
    let output = output::Output::new(cli.global.output);
    match commands::run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            failure::exit_code(&error)
        }
    }
}

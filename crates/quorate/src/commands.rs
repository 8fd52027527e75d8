//! One module a command.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod completion;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod events;
pub(crate) mod key;
pub(crate) mod key_act;
pub(crate) mod key_derive;
pub(crate) mod key_export;
pub(crate) mod key_import;
pub(crate) mod key_move;
pub(crate) mod key_restore;
pub(crate) mod key_sign;
pub(crate) mod key_sign_batch;
pub(crate) mod key_verify;
pub(crate) mod log;
pub(crate) mod node;
pub(crate) mod op;
pub(crate) mod people;
pub(crate) mod policy;
pub(crate) mod recovery_key;
mod structure;

use crate::cli::{Cli, Command};
use crate::output::Output;
use anyhow::Context as _;
use std::time::Duration;

/// How long what cannot be broken off is waited for.
pub(crate) const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// Runs the command.
///
/// # Errors
/// What [`crate::failure::exit_code`] turns into the exit code.
pub(crate) fn run(cli: Cli, output: &Output) -> anyhow::Result<()> {
    let connection = &cli.global.connection;
    match cli.command {
        Command::Demo(args) => demo::run(&args, output),
        Command::Dev(args) => dev::run(&args, output),
        Command::Drill(args) => drill::run(&args, output),
        Command::Doctor(args) => doctor::run(&args, output),
        Command::Node(command) => node::run(command, connection, output),
        Command::Key(command) => key::run(*command, connection, output),
        Command::Op(command) => op::run(command, connection, output),
        Command::Approve(args) => people::rule("approve", args, connection, output),
        Command::Reject(args) => people::rule("reject", args, connection, output),
        Command::Withdraw(args) => people::rule("withdraw", args, connection, output),
        Command::Freeze(args) => people::freeze(args, connection, output),
        Command::Directory(command) => people::directory(command, connection, output),
        Command::Policy(command) => policy::run(command, connection, output),
        Command::Cluster(command) => cluster::run(command, output),
        Command::Backup(command) => backup::run(command, connection, output),
        Command::RecoveryKey(command) => recovery_key::run(command, output),
        Command::Bench(args) => bench::run(&args, connection, output),
        Command::Events(args) => events::run(args, connection, output),
        Command::Log(command) => log::run(command, connection, output),
        Command::Client(command) => client::run(&command, output),
        Command::Openapi => output.text(&quorate_api::openapi().to_pretty_json()?),
        Command::AssembleKey => key_export::assemble::run(),
        Command::Completion(args) => completion::run(&args, output),
    }
}

/// Runs a client's future: one thread is enough for one request at a time.
///
/// A client belongs to the runtime it first sends in, so a command calls this once.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let done = runtime.block_on(future);
    // An HSM that never answers must not keep the answer back.
    runtime.shutdown_timeout(LEFT_BEHIND);
    done
}

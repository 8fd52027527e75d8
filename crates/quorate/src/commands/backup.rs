//! `quorate backup`: check backups, and bring keys back from them.

mod create;
mod elsewhere;
mod letters;
mod now;
mod restore;
mod verify;

use crate::cli::Connection;
use crate::output::Output;
use clap::Subcommand;

/// Commands about backups.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Back up the shares of the node that runs on this machine now, to where its configuration says.
    Create(create::CreateArgs),
    /// Let a node back up its shares now, wherever it runs: asked as a client, like for a signature.
    Now(now::NowArgs),
    /// Check everything in a place, or one file: could the recovery keys open every share? Needs no secret.
    Verify(verify::VerifyArgs),
    /// Ask the holders of recovery keys to open the shares of one node. Run this where the node will be restored.
    Request(letters::RequestArgs),
    /// Answer a request with a recovery key. Its holder runs this, wherever the recovery key is.
    Answer(letters::AnswerArgs),
    /// Take answers into the folder of a fresh node. What is restored cannot sign before the key is moved.
    Restore(restore::RestoreArgs),
}

/// Runs the command.
pub(crate) fn run(command: BackupCommand, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    match command {
        BackupCommand::Create(args) => create::run(&args, output),
        BackupCommand::Now(args) => now::run(args, connection, output),
        BackupCommand::Verify(args) => verify::run(&args, output),
        BackupCommand::Request(args) => letters::request(&args, output),
        BackupCommand::Answer(args) => letters::answer(&args, output),
        BackupCommand::Restore(args) => restore::run(&args, output),
    }
}

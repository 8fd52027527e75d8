//! `quorate op`: follow operations.

use super::key::ListArgs;
use super::{block_on, key_sign, key_sign_batch};
use crate::cli::Connection;
use crate::connection::connect;
use crate::output::{Output, ago, fields, table};
use crate::progress::{self, Progress};
use clap::{Args, Subcommand};
use quorate_api::{Operation, OperationId, OperationResult};
use std::time::Duration;

/// Commands about operations.
#[derive(Debug, Subcommand)]
pub(crate) enum OpCommand {
    /// List operations, newest first.
    List(ListArgs),
    /// Show an operation; succeeds also if the operation failed.
    Show(OpArgs),
    /// Wait until an operation ends (see --wait), and fail if it failed.
    Wait(OpArgs),
}

/// Which operation.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  quorate op wait op_… --wait 2m")]
pub(crate) struct OpArgs {
    /// The operation's identifier.
    operation: OperationId,
}

/// Runs the command.
pub(crate) fn run(command: OpCommand, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let client = connect(connection)?;
    match command {
        OpCommand::List(args) => {
            let page = block_on(async { Ok(client.operations(&args.query()).await?) })?;
            output.result(&page, || {
                let rows: Vec<_> = page.items.iter().map(row).collect();
                table(["OPERATION", "KIND", "STATUS", "KEY", "CREATED"], &rows)
            })?;
            if let Some(next) = &page.next {
                output.hint(&format!("there are more: --after {next}"));
            }
            Ok(())
        }
        OpCommand::Show(args) => {
            let operation = block_on(async { Ok(client.operation(&args.operation, Duration::ZERO).await?) })?;
            output.result(&operation, || show(&operation))
        }
        OpCommand::Wait(args) => {
            let line = Progress::start("waiting");
            let waiting =
                client.wait(&args.operation, connection.wait, line.step(), |operation| line.show(operation));
            let done = block_on(async { Ok(waiting.await?) });
            drop(line);
            let operation = done?;
            output.result(&operation, || show(&operation))
        }
    }
}

fn row(operation: &Operation) -> [String; 5] {
    [
        operation.id.to_string(),
        operation.kind.as_str().to_owned(),
        operation.status.as_str().to_owned(),
        operation.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        ago(operation.created_at),
    ]
}

/// An operation for people.
pub(crate) fn show(operation: &Operation) -> String {
    let running = if operation.status.is_final() { String::new() } else { progress::line(operation) };
    let mut text = fields(&[
        ("operation", operation.id.to_string()),
        ("kind", operation.kind.as_str().to_owned()),
        ("status", operation.status.as_str().to_owned()),
        ("progress", running),
        ("key", operation.key.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("created", ago(operation.created_at)),
        ("changed", ago(operation.updated_at)),
        ("from", operation.source.map(|source| source.to_string()).unwrap_or_default()),
        ("error", operation.error.as_ref().map(ToString::to_string).unwrap_or_default()),
    ]);
    if let Some(approvals) = &operation.approvals {
        text.push('\n');
        text.push_str(&super::people::show_approvals(approvals));
    }
    match &operation.result {
        Some(OperationResult::Sign(result)) => text.push_str(&format!("\n{}", key_sign::show(result))),
        Some(OperationResult::SignBatch(result)) => {
            text.push_str(&format!("\n{}", key_sign_batch::show(result)));
        }
        _ => {}
    }
    text
}

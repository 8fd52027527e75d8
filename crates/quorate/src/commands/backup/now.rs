//! `quorate backup now`.

use crate::cli::Connection;
use crate::commands::key::{idempotency_key, run_operation, started};
use crate::connection::connect;
use crate::failure::usage;
use crate::output::{Output, fields};
use clap::Args;
use quorate_api::{BackUp, BackupResult, OperationResult, check_label};

/// Arguments of `quorate backup now`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each node backs up its own shares, so ask each. With a directory a policy has to permit the action `backup`.

Examples:
  quorate backup now --reason 'before the update'
  quorate backup now --node https://b.example:7400")]
pub(crate) struct NowArgs {
    /// Why, for those who must agree and the log.
    #[arg(long)]
    reason: Option<String>,
    /// Names this request: repeating it gives the same operation. Drawn at random if absent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(crate) fn run(args: NowArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    args.reason.as_deref().map_or(Ok(()), check_label).map_err(usage)?;
    let client = connect(connection)?;
    let repeat = idempotency_key(args.idempotency_key)?;
    let what = BackUp { reason: args.reason };
    let operation = run_operation("backing up", &client, connection, &repeat, output, async |wait| {
        client.back_up(&what, &repeat, wait).await
    })?;
    match &operation.result {
        Some(OperationResult::BackUp(result)) => output.result(&operation, || show(result)),
        _ => started(&operation, output),
    }
}

fn show(done: &BackupResult) -> String {
    fields(&[
        ("node", done.node.clone()),
        ("place", done.to.clone()),
        ("index", done.sequence.to_string()),
        ("keys", format!("{}, {} encrypted anew", done.keys, done.fresh)),
        ("written", format!("{} bytes", done.bytes)),
        ("deleted", format!("{} files that nothing names", done.pruned)),
    ])
}

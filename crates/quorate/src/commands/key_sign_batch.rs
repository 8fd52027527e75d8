//! `quorate key sign-batch`.

use super::key::{cost, idempotency_key, node_names, run_operation, started};
use super::key_sign::show_item;
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::input;
use crate::output::Output;
use clap::Args;
use quorate_api::{KeyId, MAX_BATCH, OperationResult, SignBatch, SignBatchResult, SignItem};

/// Arguments of `quorate key sign-batch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate key sign-batch key_… @payments.json
  quorate key sign-batch key_… @payments.json -o json | quorate key verify --result @-

The items are a JSON list, each as POST /v1/keys/{key}/sign takes it:
  [ { \"intent\": { \"kind\": \"message\", \"message\": \"68656c6c6f\" } },
    { \"intent\": { \"kind\": \"message\", \"message\": \"776f726c64\" }, \"path\": \"m/0/7\" } ]")]
pub(crate) struct SignBatchArgs {
    /// The key's identifier.
    key: KeyId,
    /// What to sign, 1 to 256 items, as a JSON list; `@FILE`, or `@-` for standard input.
    items: String,
    /// The nodes that shall sign, separated by commas; chosen among the connected ones if absent.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    quorum: Vec<String>,
    /// Names this request: repeating it gives the same operation. Drawn at random if absent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

fn read_items(text: &str) -> anyhow::Result<Vec<SignItem>> {
    let items: Vec<SignItem> = serde_json::from_slice(&input::bytes(text)?).map_err(|error| {
        usage(format!("the items: {error}; a JSON list of objects with `intent` is expected"))
    })?;
    if !(1..=MAX_BATCH).contains(&items.len()) {
        let given = items.len();
        return Err(usage(format!("a batch has 1 to {MAX_BATCH} items, not {given}: split it into several")));
    }
    Ok(items)
}

/// Runs the command.
pub(crate) fn run(args: SignBatchArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let batch = SignBatch { items: read_items(&args.items)?, quorum: node_names(args.quorum)? };
    let client = connect(connection)?;
    let repeat = idempotency_key(args.idempotency_key)?;
    let what = format!("signing {} items", batch.items.len());
    let operation = run_operation(&what, &client, connection, &repeat, output, async |wait| {
        client.sign_batch(&args.key, &batch, &repeat, wait).await
    })?;
    match &operation.result {
        Some(OperationResult::SignBatch(result)) => output.result(&operation, || show(result)),
        _ => started(&operation, output),
    }
}

/// The result for people, item by item.
pub(super) fn show(result: &SignBatchResult) -> String {
    let mut text = String::new();
    for (at, item) in result.items.iter().enumerate() {
        text.push_str(&format!("item {at}: {}\n\n", item.summary));
        text.push_str(&show_item(&result.key, item));
        text.push('\n');
    }
    for skipped in &result.skipped {
        text.push_str(&format!("without {skipped}\n"));
    }
    let count = result.items.len();
    text.push_str(&format!(
        "{count} items signed by {} in {}",
        result.quorum.join(", "),
        cost(&result.figures)
    ));
    text
}

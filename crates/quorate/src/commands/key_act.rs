//! `quorate key disable`, `enable`, `destroy`, `keep`: orders about the state of a key.

use super::key::{idempotency_key, run_operation, started};
use super::people::agrees;
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::output::{Output, fields, until};
use clap::Args;
use quorate_api::{Act, ActKind, Destroy, KeyId, OperationResult, Order, StateResult, check_label};

/// Arguments of orders about the state of a key.
#[derive(Debug, Args)]
pub(crate) struct ActArgs {
    /// The key's identifier.
    key: KeyId,
    /// Why, for the others and the log.
    #[arg(long)]
    reason: Option<String>,
    /// The orders that the key had when you looked (`orders` of `key show`): if it has had another one since, nothing happens. Asked of the
    /// node if absent.
    #[arg(long, value_name = "ORDERS")]
    base: Option<u64>,
    /// Do not ask before it is done.
    #[arg(long)]
    yes: bool,
    /// Names this request: repeating it, with the same --base, gives the same operation. Drawn at random if absent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// Arguments of `quorate key destroy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate key destroy KEY --reason 'moved to the new treasury'
  quorate key destroy KEY --delay 30d --yes -o json
  quorate key keep KEY          # calls it off")]
pub(crate) struct DestroyArgs {
    #[command(flatten)]
    pub(super) act: ActArgs,
    /// How long until the shares are erased, such as `12h` or `30d`; the nodes' own delay if that is longer or this is absent.
    #[arg(long, value_parser = delay)]
    pub(super) delay: Option<u64>,
}

/// Seconds.
fn delay(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a time such as `90s`, `30m`, `12h` or `30d`, up to a year");
    let (number, unit) =
        text.len().checked_sub(1).and_then(|at| text.split_at_checked(at)).ok_or_else(wrong)?;
    let unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    seconds.filter(|seconds| (1..=quorate_api::MAX_DESTROY_DELAY).contains(seconds)).ok_or_else(wrong)
}

/// Runs the command.
pub(super) fn run(
    kind: ActKind,
    args: ActArgs,
    delay: Option<u64>,
    connection: &Connection,
    output: &Output,
) -> anyhow::Result<()> {
    args.reason.as_deref().map_or(Ok(()), check_label).map_err(usage)?;
    // What stops signatures is asked about; what lets them go on again, or keeps a key, is not worth a question.
    if matches!(kind, ActKind::Disable | ActKind::Destroy) && !args.yes {
        let what = match kind {
            ActKind::Destroy => {
                "after its delay nobody can ever sign with it again, and nothing brings it back"
            }
            _ => "nobody signs with it until it is enabled again",
        };
        output.hint(&format!("{} key {}: {what}", kind.as_str(), args.key));
        if !agrees(kind.as_str())? {
            anyhow::bail!("nothing was asked for: answer `yes`, or give --yes");
        }
    }
    let order: fn(u64, Option<u64>, Option<String>) -> Act = match kind {
        ActKind::Disable => |base, _, reason| Act::Disable(Order { base, reason }),
        ActKind::Enable => |base, _, reason| Act::Enable(Order { base, reason }),
        ActKind::Keep => |base, _, reason| Act::Keep(Order { base, reason }),
        ActKind::Destroy => |base, delay, reason| Act::Destroy(Destroy { base, delay, reason }),
        ActKind::Refresh | ActKind::Reshare | ActKind::Repair | ActKind::Restore | ActKind::Export => {
            anyhow::bail!("`{}` orders nothing about a key's state", kind.as_str());
        }
    };
    let client = connect(connection)?;
    let repeat = idempotency_key(args.idempotency_key)?;
    let operation = run_operation(kind.as_str(), &client, connection, &repeat, output, async |wait| {
        let base = match args.base {
            Some(base) => base,
            None => client.key(&args.key).await?.acts,
        };
        let reason = args.reason.clone();
        client.act(&args.key, &order(base, delay, reason), &repeat, wait).await
    })?;
    match &operation.result {
        Some(OperationResult::KeyState(result)) => output.result(&operation, || show(result)),
        _ => started(&operation, output),
    }
}

fn show(result: &StateResult) -> String {
    let without: Vec<String> = result.without.iter().map(ToString::to_string).collect();
    fields(&[
        ("key", result.key.to_string()),
        ("status", result.status.as_str().to_owned()),
        ("destroyed", result.destroys_at.map(until).unwrap_or_default()),
        ("done by", result.by.join(", ")),
        ("not yet", without.join("\n")),
    ])
}

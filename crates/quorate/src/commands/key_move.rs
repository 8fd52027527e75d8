//! `quorate key refresh|reshare|repair`: new shares, for the same nodes, for others, or for one that lost its own.

use super::key::{cost, idempotency_key, node_names, run_operation, show, started};
use super::{block_on, structure};
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::output::Output;
use clap::Args;
use quorate_api::client::Client;
use quorate_api::{
    Access, Act, Key, KeyId, ListQuery, OperationResult, Refresh, Repair, Reshare, check_label,
    check_node_name,
};

/// What all of them take.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Why, for the others and the log.
    #[arg(long)]
    reason: Option<String>,
    /// Names this request: repeating it gives the same operation. Drawn at random if absent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// Arguments of `quorate key refresh`.
#[derive(Debug, Args)]
#[command(after_help = "\
The public key and the addresses stay. All nodes of the key must be there. Old shares are worthless afterwards, and erased.
Nodes can do it by themselves: `[refresh] every = \"24h\"` in the configuration of all of them.

Example:
  quorate key refresh key_… --reason 'a laptop was stolen'")]
pub(crate) struct RefreshArgs {
    /// The key's identifier.
    key: KeyId,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `quorate key reshare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Names all nodes that hold the key afterwards: leave one out to remove it, name another one to add it. All of them must be there, and as
many of those that hold it now as can sign. Whoever is left out erases its share.

Examples:
  quorate key reshare key_… --threshold 2 --parties a,b,c,d     add d
  quorate key reshare key_… --threshold 3 --parties a,b,c,d     three must sign from now on
  quorate key reshare key_… --threshold 2 --parties a,c,d       remove b
  quorate key reshare key_… --access 'a and 2 of (b, c, d)'     a must always sign")]
pub(crate) struct ReshareArgs {
    /// The key's identifier.
    key: KeyId,
    /// How many nodes can sign afterwards.
    #[arg(long, short, required_unless_present = "access", requires = "parties")]
    threshold: Option<u16>,
    /// Who can sign afterwards, over the names of nodes: `2 of (a, b, c)`, `user and 2 of (a, b, c)`, weights as in `3 of (a*2, b, c)`,
    /// ranks as in `1 of (m1, m2) over 2 of (t1, t2, t3)`. The nodes it names hold the shares.
    #[arg(long, value_name = "STRUCTURE", conflicts_with_all = ["threshold", "parties"])]
    access: Option<Access>,
    /// The nodes that hold a share afterwards, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", requires = "threshold")]
    parties: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `quorate key repair`.
#[derive(Debug, Args)]
#[command(after_help = "\
For a node whose disk or machine is lost. Set the new machine up under the old name (`quorate node init`), tell the other nodes its
identity (the peer's `identity` in their configuration) and start it; then one command gives it new shares. What was on the lost disk is
worthless afterwards.

Examples:
  quorate key repair --party c --all        every key that c is a party of
  quorate key repair key_… --party c")]
pub(crate) struct RepairArgs {
    /// The key's identifier; with --all every key of the node.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    key: Option<KeyId>,
    /// The node that gets its share again.
    #[arg(long, value_name = "NAME")]
    party: String,
    /// Every key that the node is a party of, as far as the asked node holds them.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    common: Common,
}

/// `quorate key refresh`
pub(crate) fn refresh(args: RefreshArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let reason = args.common.reason.clone();
    act(&args.key, args.common, connection, output, "refreshing the key", |key| {
        Ok(Act::Refresh(Refresh { epoch: key.epoch, reason }))
    })
}

/// `quorate key reshare`
pub(crate) fn reshare(args: ReshareArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let reason = args.common.reason.clone();
    let reshare = Reshare {
        epoch: 0,
        threshold: args.threshold,
        access: args.access,
        parties: node_names(args.parties)?,
        reason,
    };
    let (wanted, _) = reshare.wanted().ok_or_else(|| usage("say who can sign afterwards"))?;
    act(&args.key, args.common, connection, output, "resharing the key", |key| {
        structure::announce("now", &key.access, output)?;
        structure::announce("afterwards", &wanted, output)?;
        Ok(Act::Reshare(Reshare { epoch: key.epoch, ..reshare }))
    })
}

/// `quorate key repair`
pub(crate) fn repair(args: RepairArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    check_node_name(&args.party).map_err(|error| usage(format!("`{}`: {error}", args.party)))?;
    let order = |party: String, reason: Option<String>| {
        move |key: &Key| Ok(Act::Repair(Repair { epoch: key.epoch, party, reason }))
    };
    if let Some(key) = args.key {
        let make = order(args.party, args.common.reason.clone());
        return act(&key, args.common, connection, output, "repairing the key", make);
    }
    if args.common.idempotency_key.is_some() {
        return Err(usage("--idempotency-key is for one key: leave --all out"));
    }
    let keys = keys_of(&connect(connection)?, &args.party)?;
    if keys.is_empty() {
        anyhow::bail!("the asked node holds no key of `{}`: ask another one with --node", args.party);
    }
    let (mut done, mut last) = (0_usize, None);
    for key in &keys {
        let common = Common { reason: args.common.reason.clone(), idempotency_key: None };
        let make = order(args.party.clone(), args.common.reason.clone());
        match act(key, common, connection, output, "repairing a key", make) {
            Ok(()) => done += 1,
            Err(error) => {
                output.hint(&format!("{key}: {error:#}"));
                last = Some(error);
            }
        }
    }
    output.hint(&format!("{done} of {} keys repaired", keys.len()));
    last.map_or(Ok(()), Err)
}

/// Every key that a node is a party of.
fn keys_of(client: &Client, party: &str) -> anyhow::Result<Vec<KeyId>> {
    block_on(async {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let query = ListQuery { limit: quorate_api::MAX_LIMIT, after };
            let page = client.keys(&query).await?;
            let theirs = page.items.iter().filter(|key| key.parties.iter().any(|name| name == party));
            keys.extend(theirs.map(|key| key.id.clone()));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(keys),
            }
        }
    })
}

fn act(
    id: &KeyId,
    common: Common,
    connection: &Connection,
    output: &Output,
    what: &'static str,
    make: impl FnOnce(&Key) -> anyhow::Result<Act>,
) -> anyhow::Result<()> {
    common.reason.as_deref().map_or(Ok(()), check_label).map_err(usage)?;
    let repeat = idempotency_key(common.idempotency_key)?;
    // The order names the epoch that its author saw.
    let key = block_on(async { Ok(connect(connection)?.key(id).await?) })?;
    let act = make(&key)?;
    let client = connect(connection)?;
    let operation = run_operation(what, &client, connection, &repeat, output, async |wait| {
        client.act(id, &act, &repeat, wait).await
    })?;
    match &operation.result {
        Some(OperationResult::Moved(moved)) => output.result(&operation, || {
            let mut text = show(&moved.key);
            text.push_str(&format!("\nin epoch {} after {}", moved.key.epoch, cost(&moved.figures)));
            text
        }),
        _ => started(&operation, output),
    }
}

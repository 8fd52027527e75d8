//! `quorate key restore`: new shares from shares that came out of backups.

use super::key::{cost, idempotency_key, node_names, run_operation, show, started};
use super::people::agrees;
use super::{block_on, structure};
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::output::{Output, table};
use clap::Args;
use quorate_api::client::{Client, ClientError};
use quorate_api::{
    Access, Act, Code, Key, KeyId, ListQuery, OperationResult, Restore, RestoredKey, check_label,
};

/// Arguments of `quorate key restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
After `quorate backup restore` on enough fresh nodes, and with these running: moves a key from the restored shares to a new epoch, under the
same public key and addresses. The parties that the nodes do not know any more are declared lost, with every copy of their shares but
those in backups. Be sure of that: if machines that you declare lost come back and are a quorum, they can sign beside the new ones.
Nodes that still hold their share deal too, so a restore also helps where only too many are lost.

Examples:
  quorate key restore --all --reason 'data centre burned'           every key that the asked node restored
  quorate key restore key_… --parties a,b,c,d -k 3                  to other nodes, under another threshold
  quorate key restore key_… --access 'a and 2 of (b, c, d)'         to other nodes, under another structure
  quorate key list --restored                                       what the asked node has to deal from")]
pub(crate) struct RestoreArgs {
    /// The key's identifier; with --all every key that the asked node restored.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    key: Option<KeyId>,
    /// Every key that the asked node restored.
    #[arg(long)]
    all: bool,
    /// The nodes that hold the key afterwards, separated by commas. Without it whoever restored the share of a lost party, or has its name,
    /// takes its place, and the structure stays.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    parties: Vec<String>,
    /// How many of them can sign; as many as before if absent.
    #[arg(long, short, visible_alias = "k", visible_short_alias = 'k', requires = "parties")]
    threshold: Option<u16>,
    /// Who can sign afterwards, over the names of nodes, as for `quorate key reshare`. The nodes it names hold the key.
    #[arg(long, value_name = "STRUCTURE", conflicts_with_all = ["threshold", "parties"])]
    access: Option<Access>,
    /// Declare these lost and no others, separated by commas, by the names under which the key knows them. Refused if the nodes know one of
    /// them still, or do not know one that is left out.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    lost: Vec<String>,
    /// Why, for the others and the log.
    #[arg(long)]
    reason: Option<String>,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Names this request: repeating it gives the same operation. Drawn at random if absent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// `quorate key restore`
pub(crate) fn run(args: RestoreArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    args.reason.as_deref().map_or(Ok(()), check_label).map_err(usage)?;
    if args.all && args.idempotency_key.is_some() {
        return Err(usage("--idempotency-key is for one key: leave --all out"));
    }
    let parties = node_names(args.parties)?;
    let lost = node_names(args.lost)?;
    let client = connect(connection)?;
    let keys = match &args.key {
        Some(key) => vec![block_on(one(&client, key))?],
        None => block_on(waiting(&client))?.into_iter().map(|restored| *restored.key).collect(),
    };
    if keys.is_empty() {
        anyhow::bail!(
            "the asked node restored nothing: run `quorate backup restore` at it, or ask another one with --node"
        );
    }
    let orders: Vec<(KeyId, Restore)> = keys
        .into_iter()
        .map(|key| {
            let lost = lost.clone().unwrap_or_else(|| key.lost.clone());
            let (parties, threshold, reason) = (parties.clone(), args.threshold, args.reason.clone());
            let access = args.access.clone();
            (key.id, Restore { epoch: key.epoch, lost, parties, threshold, access, reason })
        })
        .collect();
    if let Some((key, _)) = orders.iter().find(|(_, order)| order.lost.is_empty()) {
        return Err(usage(format!(
            "no party of {key} is lost, as far as the asked node knows: take lost ones out of the configuration, or use `quorate key repair`"
        )));
    }
    if let Some((_, order)) = orders.first()
        && let Some((wanted, _)) = order.wanted()
    {
        structure::announce("afterwards", &wanted, output)?;
    }
    if !args.yes {
        for (key, order) in &orders {
            output.hint(&format!("restore key {key}: declare {} lost for good", order.lost.join(", ")));
        }
        if !agrees("restore")? {
            anyhow::bail!("nothing was asked for: answer `yes`, or give --yes");
        }
    }
    let (count, mut done, mut last) = (orders.len(), 0_usize, None);
    for (key, order) in orders {
        match restore(&key, order, args.idempotency_key.clone(), connection, output) {
            Ok(()) => done += 1,
            Err(error) if count == 1 => return Err(error),
            Err(error) => {
                output.hint(&format!("{key}: {error:#}"));
                last = Some(error);
            }
        }
    }
    if count > 1 {
        output.hint(&format!("{done} of {count} keys restored"));
    }
    last.map_or(Ok(()), Err)
}

fn restore(
    id: &KeyId,
    order: Restore,
    repeat: Option<String>,
    connection: &Connection,
    output: &Output,
) -> anyhow::Result<()> {
    let repeat = idempotency_key(repeat)?;
    let client = connect(connection)?;
    let act = Act::Restore(order);
    let operation = run_operation("restoring the key", &client, connection, &repeat, output, async |wait| {
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

/// The key as it came out of a backup at the asked node, or as it is in use there or elsewhere.
async fn one(client: &Client, key: &KeyId) -> anyhow::Result<Key> {
    let restored = waiting(client).await?.into_iter().find(|restored| restored.key.id == *key);
    if let Some(restored) = restored {
        return Ok(*restored.key);
    }
    match client.key(key).await {
        Err(ClientError::Problem(problem)) if problem.code == Code::NotFound => anyhow::bail!(
            "the asked node has neither restored {key} nor is it in use: run `quorate backup restore` at it, or ask another one with --node"
        ),
        key => Ok(key?),
    }
}

/// All shares that the asked node restored.
async fn waiting(client: &Client) -> anyhow::Result<Vec<RestoredKey>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = client.restored(&ListQuery { limit: quorate_api::MAX_LIMIT, after }).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// `quorate key list --restored`
pub(crate) fn list(query: &ListQuery, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let page = block_on(async { Ok(connect(connection)?.restored(query).await?) })?;
    output.result(&page, || {
        let row = |item: &RestoredKey| {
            let key = &item.key;
            [
                key.id.to_string(),
                key.scheme.to_string(),
                key.epoch.to_string(),
                item.party.clone(),
                key.lost.join(", "),
                key.label.clone().unwrap_or_default(),
            ]
        };
        let rows: Vec<_> = page.items.iter().map(row).collect();
        let mut text = table(["KEY", "SCHEME", "EPOCH", "SHARE OF", "LOST", "LABEL"], &rows);
        text.push_str(
            "\nnothing signs with these shares: `quorate key restore` moves their keys to a new epoch\n",
        );
        text
    })
}

//! Checking the receipts of an operation: offline, and if wanted against the log of a running node.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use quorate_api::{NodeReceipt, Operation};
use quorate_log::Hash;
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::Line;
use quorate_log::evidence::ForkEvidence;
use quorate_log::proof::{prove_inclusion, verify_inclusion};
use quorate_log::receipt::{Logged, Receipt};
use quorate_log::witness::WitnessPolicy;
use quorate_node::{PeerId, log_key, participants};
use serde::Serialize;

use super::verify::owner;
use super::witnesses::{self, Witnessed};
use super::{Live, Source, VerifyArgs};
use crate::failure::usage;
use crate::output::{Output, table};

/// How long to wait at most for a head that others cosigned and that covers the entry. Nodes cosign every five seconds.
const COSIGNS: Duration = Duration::from_secs(20);

/// One receipt that holds.
#[derive(Debug, Serialize)]
struct Proven {
    node: String,
    identity: String,
    index: u64,
    entries: u64,
    operation: String,
    entry: Line,
    /// The head of the running node under which the entry is still there, if the node was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Still>,
}

/// That the entry is in the log of the running node.
#[derive(Debug, Serialize)]
struct Still {
    /// Entries in the head that proves it.
    entries: u64,
    /// Who cosigned that head; absent if nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    witnesses: Option<Witnessed>,
}

/// Checks every receipt of an operation against the identities of the nodes, and that no node that took part is missing.
pub(crate) fn check_receipts(operation: &Operation, trusted: &[PeerId]) -> anyhow::Result<usize> {
    let proven = operation.receipts.iter().map(|receipt| prove(receipt, operation, trusted));
    let proven = proven.map(|one| one.map(|(one, ..)| one)).collect::<anyhow::Result<Vec<_>>>()?;
    check_complete(operation, &proven)?;
    Ok(proven.len())
}

/// Checks the receipts in a file. `live` is the node to ask, and how long it may take until others cosigned.
pub(super) fn verify(
    args: &VerifyArgs,
    path: &Path,
    live: Option<(&Live, Duration)>,
    output: &Output,
) -> anyhow::Result<()> {
    let text = crate::input::text(&format!("@{}", path.display()))?;
    let operation: Operation =
        serde_json::from_str(&text).map_err(|error| usage(format!("not an operation as JSON: {error}")))?;
    if operation.receipts.is_empty() {
        bail!(
            "`{}` carries no receipts: ask the node for the operation itself, not for a list",
            operation.id
        );
    }
    let mut proven = Vec::new();
    let mut parsed = Vec::new();
    for receipt in &operation.receipts {
        let (one, receipt, logged) = prove(receipt, &operation, &args.identities)
            .with_context(|| format!("the receipt of `{}` does not hold", receipt.node))?;
        proven.push(one);
        parsed.push((receipt, logged));
    }
    check_complete(&operation, &proven)?;
    if let Some((live, patience)) = live {
        let id = owner(&live.head()?, &args.identities)?;
        witnesses::check_wanted(args, id)?;
        let own = proven.iter_mut().zip(&parsed).find(|(one, _)| one.identity == id.to_string());
        let Some((one, (receipt, logged))) = own else {
            let nodes: Vec<&str> = proven.iter().map(|one| one.node.as_str()).collect();
            bail!(
                "the node that was asked, `{id}`, gave none of these receipts: give --node of {}",
                nodes.join(" or ")
            );
        };
        let still = prove_live(args, id, receipt, logged, live, patience.min(COSIGNS));
        one.live = Some(still.with_context(|| format!("the receipt of `{}`", one.node))?);
    }
    output.result(&proven, || {
        let row = |one: &Proven| {
            let live = match &one.live {
                None => "not asked".to_owned(),
                Some(Still { entries, witnesses: None }) => format!("among {entries}"),
                Some(Still { entries, witnesses: Some(witnesses) }) => {
                    format!("among {entries}, {} of {} cosigned", witnesses.found, witnesses.of)
                }
            };
            [one.node.clone(), one.identity.clone(), one.index.to_string(), one.entry.time.clone(), live]
        };
        let rows: Vec<_> = proven.iter().map(row).collect();
        table(["NODE", "IDENTITY", "ENTRY", "LOGGED AT", "IN THE LIVE LOG"], &rows)
    })?;
    if let Some(still) = proven.iter().find_map(|one| one.live.as_ref()) {
        witnesses::check_found(args, still.witnesses.as_ref())?;
    }
    if args.identities.is_empty() {
        output.hint("compare the identities with those that you know (or give them: --identity)");
    }
    Ok(())
}

fn prove(
    receipt: &NodeReceipt,
    operation: &Operation,
    trusted: &[PeerId],
) -> anyhow::Result<(Proven, Receipt, Logged)> {
    let id: PeerId = receipt.identity.parse()?;
    if !trusted.is_empty() && !trusted.contains(&id) {
        bail!("`{id}` is none of the identities given");
    }
    let parsed = Receipt::parse(&receipt.receipt)?;
    let logged = parsed.verify(&log_key(id)?, &WitnessPolicy::none())?;
    let about = logged.entry.operation_id().map(|id| id.as_str());
    if about != Some(operation.id.as_str()) {
        bail!("it is about `{}`", about.unwrap_or("no operation"));
    }
    if let Some(result) = &operation.result
        && !quorate_node::logged_result(&logged.entry, result)
    {
        bail!("it is about another result");
    }
    let proven = Proven {
        node: receipt.node.clone(),
        identity: receipt.identity.clone(),
        index: logged.index,
        entries: logged.checkpoint.size(),
        operation: operation.id.to_string(),
        entry: Line::new(logged.index, &logged.entry),
        live: None,
    };
    Ok((proven, parsed, logged))
}

/// Whether there is one receipt of each node that took part. What counts is identities: names are not signed.
fn check_complete(operation: &Operation, proven: &[Proven]) -> anyhow::Result<()> {
    // LOG.15
    let wanted = operation.result.as_ref().map(participants).unwrap_or_default();
    let identities: BTreeSet<&str> = proven.iter().map(|one| one.identity.as_str()).collect();
    ensure!(
        identities.len() == proven.len(),
        "two of the receipts are of one node: one of another node is missing"
    );
    if wanted.is_empty() || wanted.len() == proven.len() {
        return Ok(());
    }
    let missing: Vec<&str> = wanted
        .iter()
        .map(String::as_str)
        .filter(|name| !proven.iter().any(|one| one.node == *name))
        .collect();
    ensure!(proven.len() < wanted.len(), "there are receipts of more nodes than took part");
    bail!(
        "`{}` took part, and the receipt is missing: show the operation again (`quorate op show {}`) while that node runs; \
         nodes ask each other for what is missing",
        missing.join("`, `"),
        operation.id
    )
}

/// Proves that the entry of a receipt is in the log of the running node, under a head that others cosigned if there is one.
fn prove_live(
    args: &VerifyArgs,
    id: PeerId,
    receipt: &Receipt,
    logged: &Logged,
    live: &Live,
    patience: Duration,
) -> anyhow::Result<Still> {
    let key = log_key(id)?;
    // LOG.16  Heads of one log that do not fit together convict it, whichever of them it shows to whom.
    let goes_on = |seen: &SignedCheckpoint| -> anyhow::Result<SignedCheckpoint> {
        let newest = live.head()?;
        newest.verify(&key).context("the node's head")?;
        seen.verify(&key).context("the node's cosigned head")?;
        let (then, now) = (seen.claim().size(), newest.claim().size());
        ensure!(then <= now, "the log went back from {then} to {now} entries");
        if let Some(evidence) = ForkEvidence::find(&key, seen, &newest, live)? {
            bail!("the node has signed two histories: keep this proof, it convinces everybody\n{evidence}");
        }
        Ok(newest)
    };
    let mut newest = goes_on(receipt.checkpoint())?;
    let until = Instant::now() + patience;
    let cosigned = loop {
        let cosigned = live.cosigned()?;
        let covers = cosigned.as_ref().is_some_and(|head| head.claim().size() > logged.index);
        // Others need a little to see it. A log that nobody watches is not waited for, unless it must be watched.
        let hopeless = cosigned.is_none() && args.witnesses == 0;
        if covers || hopeless || Instant::now() >= until {
            break cosigned.filter(|_| covers);
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    if let Some(cosigned) = &cosigned {
        newest = goes_on(cosigned)?;
    }
    let head = cosigned.as_ref().unwrap_or(&newest);
    let size = head.claim().size();
    ensure!(
        size > logged.index,
        "the log went back: its head has {size} entries, and the receipt is for entry {}",
        logged.index
    );
    let proof = prove_inclusion(live, logged.index, size).context("the node's tiles do not prove it")?;
    let leaf = Hash::leaf(&logged.entry.encode());
    verify_inclusion(&leaf, logged.index, size, &proof, head.claim().root())
        .with_context(|| format!("the log has something else at entry {}", logged.index))?;
    let witnesses = cosigned.as_ref().map(|cosigned| {
        let (witnesses, wrong) = witnesses::judge(args, cosigned, id);
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(witnesses)
    });
    let witnesses = witnesses.transpose()?;
    Ok(Still { entries: size, witnesses })
}

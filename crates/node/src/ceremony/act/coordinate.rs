//! An order's way to all nodes of the key: this node carries it out, asks the others to, and answers once as many have proved it as can sign.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_api::{Code, Fault, NodeReceipt, OperationResult, Problem, Skipped};
use quorate_net::PeerId;
use quorate_protocol::party::PartyIndex;
use tokio::time::Instant;

use super::state::By;
use super::{Asked, ask};
use crate::audit;
use crate::ceremony::conversation::Conversation;
use crate::ceremony::protocols;
use crate::control::{Control, Outcome, Proposal, Refusal, Work};
use crate::governance::permit::Subject;
use crate::judge::{Ask, Judged};
use crate::keys::Record;
use crate::operations::stored_result;
use crate::registry::locked;
use crate::shared::{Shared, party_name, random};
use crate::source::to_wire;

/// Whether these nodes of a key are enough that nobody can say that something they did was not decided: whether they could sign.
pub(crate) fn enough(record: &Record, done: &BTreeSet<PeerId>) -> bool {
    let parties: Vec<PartyIndex> =
        record.peers().into_iter().filter(|(_, peer)| done.contains(peer)).map(|(at, _)| at).collect();
    protocols::package_access(&record.package.0).is_some_and(|access| access.is_qualified(&parties))
}

/// KST.4: carries an order to all nodes of the key.
pub(crate) async fn coordinate(
    shared: &Arc<Shared>,
    judged: &Judged,
    asked: Asked,
) -> Result<OperationResult, Problem> {
    let begun = Instant::now();
    let deadline = begun + shared.config.limits.ceremony_deadline;
    let entered = shared.registry.enter_session(&judged.operation, deadline).await;
    let busy = || Problem::new(Code::OperationRunning, "this order is being carried out: ask again");
    let _hold = entered.ok_or_else(busy)?;
    if let Some(op) = shared.operation(&judged.operation).await?
        && let Some(done) = stored_result(&op)?
    {
        return Ok(done);
    }
    let Asked { id, record, act, .. } = asked;
    let number = shared.run_attempt(&judged.operation).await?;
    // GOV.3  Whatever changed since counts.
    let asked = ask(shared, &id, &act, shared.id).await?;
    shared.convinced(judged, Subject::Act(&asked)).await?;
    shared.carry_out_order(judged, By::Own).await?;
    let others: BTreeMap<PeerId, PartyIndex> = record
        .peers()
        .into_iter()
        .filter(|(_, peer)| *peer != shared.id)
        .map(|(at, peer)| (peer, at))
        .collect();
    let peers: Vec<PeerId> = others.keys().copied().collect();
    let there = peers.iter().copied().filter(|peer| shared.network.is_connected(*peer));
    if !enough(&record, &there.chain([shared.id]).collect()) {
        // Who is missing is said below.
        shared.network.wait_connected(&peers, shared.config.limits.connect_grace).await.unwrap_or_default();
    }
    let connected = |(peer, _): &(&PeerId, &PartyIndex)| shared.network.is_connected(**peer);
    let members: BTreeMap<PeerId, PartyIndex> =
        others.iter().filter(connected).map(|(peer, at)| (*peer, *at)).collect();
    let names = record.names();
    let mut without: Vec<Skipped> = others
        .iter()
        .filter(|other| !connected(other))
        .map(|(_, at)| {
            let reason = "it is not connected: it learns of the order when it is back".to_owned();
            Skipped::new(party_name(&names, *at), reason).with_fault(Fault::Absent)
        })
        .collect();
    let proposal = Proposal {
        ceremony: random()?,
        attempt: number,
        request: judged.request.encode(),
        rulings: shared.rulings_for(judged).await?,
        source: to_wire(judged.source),
        work: Work::Act,
    };
    let within = shared.config.limits.answer_deadline.min(deadline.saturating_duration_since(Instant::now()));
    let result = shared.state_result(judged, &record, &[]).await?;
    let fingerprint = judged.request.fingerprint();
    let outcome = audit::outcome(&judged.operation, Some(&id), &fingerprint, &result)?;
    let mut receipts: Vec<NodeReceipt> = Vec::new();
    let mut did = BTreeSet::from([shared.id]);
    {
        let mut talk = Conversation::open(shared, proposal, members.clone(), None).await;
        let said = talk.each(Instant::now() + within).await;
        for (peer, at) in &members {
            let receipt = match said.get(at) {
                Some(Ok(Some(receipt))) => shared.accept_receipt(*peer, receipt, &outcome),
                // Done before: it is asked for the proof.
                Some(Ok(None)) => shared.ask_for_receipt(*peer, &judged.operation, &outcome).await,
                Some(Err(problem)) => {
                    let reason = problem.detail.clone();
                    tracing::info!(operation = %judged.operation, peer = %shared.name_of(*peer), reason, "it does not carry the order out");
                    without.push(Skipped::new(party_name(&names, *at), reason).with_fault(Fault::Refused));
                    continue;
                }
                None => None,
            };
            match receipt {
                Some(receipt) => {
                    did.insert(*peer);
                    receipts.push(receipt);
                }
                None => {
                    let reason = "it did not say that it has done it: it learns of the order from the others"
                        .to_owned();
                    without.push(Skipped::new(party_name(&names, *at), reason).with_fault(Fault::Silent));
                }
            }
        }
    }
    if !enough(&record, &did) {
        let (done, needed) = (did.len(), record.threshold);
        let ready = u16::try_from(done).unwrap_or(u16::MAX);
        let why: Vec<String> = without.iter().map(|s| format!("`{}`: {}", s.party, s.reason)).collect();
        let detail = format!(
            "{done} nodes have done it, this one among them, and stay with it; as many as can sign are needed, {needed} at least, so that those who are away can be convinced: {}; send the same request again",
            why.join("; ")
        );
        let missing = without.into_iter().map(|skipped| skipped.party).collect();
        return Err(Problem::new(Code::NotEnoughParties, detail).with_quorum(needed, ready, missing));
    }
    let names: Vec<String> = receipts.iter().map(|receipt| receipt.node.clone()).collect();
    let mut result = shared.state_result(judged, &record, &names).await?;
    if let OperationResult::KeyState(result) = &mut result {
        for skipped in &mut result.without {
            if let Some(why) = without.iter().find(|why| why.party == skipped.party) {
                skipped.reason.clone_from(&why.reason);
            }
        }
    }
    let (result, receipt) =
        shared.succeed(&judged.operation, Some(fingerprint), Some(&id), result, receipts).await?;
    if let Some(receipt) = receipt {
        locked(&shared.receipts).put(judged.operation.clone(), receipt);
    }
    Ok(result)
}

/// A member that agreed: it does it and says so.
pub(crate) async fn take_part(
    shared: &Arc<Shared>,
    from: PeerId,
    judged: &Judged,
    ceremony: [u8; 32],
    asked: &Asked,
) {
    let done = do_it(shared, judged, &asked.record, By::Own).await;
    let outcome = match done {
        Ok(receipt) => Outcome::Acted { receipt },
        Err(problem) => {
            tracing::info!(operation = %judged.operation, detail = %problem.detail, "this node does not carry an order out");
            shared.give_up(&judged.operation, &problem).await;
            Outcome::Failed(Refusal::new(&problem, None))
        }
    };
    shared.tell(from, &Control::Ended { ceremony, outcome }).await;
}

/// Carries an order out and stores that it was; gives the receipt for that.
pub(super) async fn do_it(
    shared: &Arc<Shared>,
    judged: &Judged,
    record: &Record,
    by: By,
) -> Result<Option<String>, Problem> {
    let Ask::Act(id, _) = &judged.ask else {
        return Err(Problem::new(Code::Internal, "this orders nothing about a key"));
    };
    shared.carry_out_order(judged, by).await?;
    let result = shared.state_result(judged, record, &[]).await?;
    let fingerprint = judged.request.fingerprint();
    let stored = shared.succeed(&judged.operation, Some(fingerprint), Some(id), result, Vec::new()).await?;
    Ok(stored.1.map(|receipt| receipt.to_string()))
}

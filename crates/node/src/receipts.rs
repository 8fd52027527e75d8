//! The receipts of other nodes for what this node answers: those that came with the ceremony, and those that are asked for when a result is
//! shown and one is missing. That of a new key can only come once the key is in use everywhere; that of a slow member comes late; and
//! a member that did not coordinate has none but its own at first.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_api::{NodeReceipt, OperationId, OperationResult, Problem};
use quorate_log::entry::Entry;
use quorate_net::PeerId;
use quorate_protocol::party::PartyIndex;
use quorate_store::Operation;
use tokio::time::{Instant, timeout};

use crate::audit;
use crate::control::Control;
use crate::operations::stored_result;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// How long a peer may take to prove that it logged an outcome. Results do not wait longer for that.
const PROVES: Duration = Duration::from_millis(500);
/// For how long a peer that did not answer is not asked again.
const MUTED: Duration = Duration::from_secs(10);
/// How often, and how far apart, a node that is about to log an outcome looks whether it has.
const LOOKS: (u8, Duration) = (16, Duration::from_millis(25));

impl Shared {
    /// CER.15: the receipts of all nodes that took part, as far as they can be had now. What came new is kept.
    pub(crate) async fn receipts_of(
        &self,
        id: &OperationId,
        op: &Operation,
        mut receipts: Vec<NodeReceipt>,
    ) -> Result<Vec<NodeReceipt>, Problem> {
        let Some(result) = stored_result(op)? else { return Ok(receipts) };
        // Mostly they came with the ceremony: then no look at the key is needed.
        let there = |name: &String| receipts.iter().any(|receipt| receipt.node == *name);
        if audit::concerned(&result).iter().all(|name| *name == self.config.name || there(name)) {
            return Ok(receipts);
        }
        let mut missing = self.took_part(op, &result).await?;
        missing.retain(|peer| !receipts.iter().any(|receipt| receipt.identity == peer.to_string()));
        if missing.is_empty() {
            return Ok(receipts);
        }
        let kept = self.store.receipts(id.as_str()).await.map_err(|error| store_problem(&error))?;
        receipts.extend(kept.iter().filter_map(|kept| serde_json::from_slice::<NodeReceipt>(kept).ok()));
        missing.retain(|peer| !receipts.iter().any(|receipt| receipt.identity == peer.to_string()));
        let key = op.key_id.as_deref().and_then(|key| key.parse().ok());
        let expected = audit::outcome(id, key.as_ref(), &op.request_hash, &result)?;
        let asked = missing.iter().map(|peer| self.ask_for_receipt(*peer, id, &expected));
        for new in futures_util::future::join_all(asked).await.into_iter().flatten() {
            let bytes = serde_json::to_vec(&new).unwrap_or_default();
            if let Err(error) = self.store.add_receipt(id.as_str(), &new.identity, bytes).await {
                // It can be asked for again.
                tracing::warn!(operation = %id, %error, "the receipt of a node is not kept");
            }
            receipts.push(new);
        }
        Ok(receipts)
    }

    /// Asks now for what is missing, so that it is kept whether or not anybody looks at the result.
    pub(crate) async fn gather_receipts(&self, id: &OperationId) {
        let gathered = async {
            let Some(op) = self.operation(id).await? else { return Ok(()) };
            let known = self.present_operation(&op)?.receipts;
            self.receipts_of(id, &op, known).await.map(|_| ())
        };
        let gathered: Result<(), Problem> = gathered.await;
        if let Err(problem) = gathered {
            tracing::warn!(operation = %id, detail = %problem.detail, "receipts are not gathered");
        }
    }

    /// The other nodes that took part.
    async fn took_part(&self, op: &Operation, result: &OperationResult) -> Result<BTreeSet<PeerId>, Problem> {
        let Some(record) = self.record_of(op).await? else { return Ok(BTreeSet::new()) };
        let (names, wanted) = (record.names(), audit::concerned(result));
        let took_part = |(index, peer): &(PartyIndex, PeerId)| {
            *peer != self.id && names.get(index).is_some_and(|name| wanted.contains(name))
        };
        let parties = record.peers().into_iter().filter(took_part);
        Ok(parties.map(|(_, peer)| peer).collect())
    }

    pub(crate) async fn ask_for_receipt(
        &self,
        peer: PeerId,
        id: &OperationId,
        expected: &Entry,
    ) -> Option<NodeReceipt> {
        let now = Instant::now();
        let muted = locked(&self.unproving).get(&peer).is_some_and(|until| *until > now);
        if muted || !self.network.is_connected(peer) {
            return None;
        }
        let mut question = self.asked_to_prove.ask(peer).ok()?;
        self.tell(peer, &Control::Prove { ticket: question.ticket, operation: id.to_string() }).await;
        let Ok(answered) = timeout(PROVES, &mut question.answered).await else {
            tracing::info!(peer = %self.name_of(peer), "not asked for receipts for a while: it does not answer");
            locked(&self.unproving).insert(peer, now + MUTED);
            return None;
        };
        let accepted = self.accept_receipt(peer, &answered.ok().flatten()?, expected);
        if accepted.is_none() {
            tracing::warn!(peer = %self.name_of(peer), operation = %id, "the receipt of a node does not hold");
        }
        accepted
    }

    /// This node's receipt for an outcome, for another party of its key. Waits a little for one that is about to be logged.
    pub(crate) async fn own_receipt(&self, from: PeerId, operation: &str) -> Result<Option<String>, Problem> {
        let Ok(id) = operation.parse::<OperationId>() else { return Ok(None) };
        for _ in 0..LOOKS.0 {
            let Some(op) = self.operation(&id).await? else { return Ok(None) };
            if op.status == quorate_store::OperationStatus::Succeeded {
                if self.record_of(&op).await?.is_none_or(|record| record.index_of(from).is_none()) {
                    return Ok(None);
                }
                let receipt = self.store.log_receipt(id.as_str()).await;
                let receipt = receipt.map_err(|error| store_problem(&error))?;
                return Ok(receipt.map(|receipt| receipt.to_string()));
            }
            if !self.registry.in_session(&id) {
                return Ok(None);
            }
            tokio::time::sleep(LOOKS.1).await;
        }
        Ok(None)
    }
}

//! What a node learns that was away: every node tells its peers how far its list of orders goes, and hands it out from any place on. That a key was
//! exported, and so is exposed, is in that list too.
//!
//! An order is carried out late if this node would still decide so itself, on a request that is in time; or if as many nodes of the key as can
//! sign prove by their receipts that they did it, whatever the time is now. Fewer could be the malicious ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_api::{Act, Code, KeyId, NodeReceipt, OperationId, OperationStatus, Problem, SignedRequest};
use quorate_net::PeerId;

use super::ask;
use super::coordinate::{do_it, enough};
use super::order::{Order, Place};
use super::state::{By, is_order, number};
use crate::audit::{self, Standing};
use crate::control::{BUNDLE, Control, TakenOrder};
use crate::governance::permit::{Permission, Subject};
use crate::judge::{Ask, Judged, judge, read};
use crate::keys::Record;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// Orders of one answer.
const AT_ONCE: u32 = 64;
/// Most orders that wait for more proof.
const MAX_HEARD: usize = 4096;
/// Under which rule an order is carried out that others prove.
const PROVED: &str = "enough nodes of the key prove that they did it";

/// What peers said about orders.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// How far the lists of peers were read, since the start.
    read: BTreeMap<PeerId, u64>,
    /// How far they go, as they said last.
    newest: BTreeMap<PeerId, u64>,
    /// What is not carried out yet, with those who prove that they did.
    waiting: BTreeMap<OperationId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    judged: Judged,
    receipts: BTreeMap<PeerId, NodeReceipt>,
}

/// What became of an order that was handed out.
enum Taken {
    /// It is carried out, waits, or is not for this node.
    Read,
    NoRoom,
}

impl Heard {
    /// Whether this node has read all that a peer has, as far as it was told since the start.
    pub(crate) fn knows(&self, peer: PeerId) -> bool {
        self.newest.get(&peer).is_some_and(|newest| self.read.get(&peer).copied().unwrap_or(0) >= *newest)
    }

    /// Whether an order that was handed out, and is not carried out here yet, calls off the destruction of a key.
    pub(crate) fn calls_off(&self, id: &KeyId) -> bool {
        let keeps = |ask: &Ask| matches!(ask, Ask::Act(about, Act::Keep(_)) if about == id);
        self.waiting.values().any(|waiting| keeps(&waiting.judged.ask))
    }
}

impl Shared {
    /// KST.6: says how far this node's list goes.
    pub(crate) async fn announce_orders(&self) -> Result<(), Problem> {
        let newest = self.store.newest_key_act().await.map_err(|error| store_problem(&error))?;
        for peer in self.network.connected() {
            self.tell(peer, &Control::OrdersUpTo { newest }).await;
        }
        Ok(())
    }

    /// The same for a peer that has just connected.
    pub(crate) async fn announce_orders_to(&self, peer: PeerId) -> Result<(), Problem> {
        let newest = self.store.newest_key_act().await.map_err(|error| store_problem(&error))?;
        self.tell(peer, &Control::OrdersUpTo { newest }).await;
        Ok(())
    }

    /// A peer says how far its list goes.
    pub(crate) async fn compare_orders(&self, from: PeerId, newest: u64) -> Result<(), Problem> {
        let after = {
            let mut heard = locked(&self.heard_orders);
            heard.newest.insert(from, newest);
            let read = heard.read.entry(from).or_default();
            // A shorter list is another one, such as of a folder that was put back: it is read anew.
            if *read > newest {
                *read = 0;
            }
            *read
        };
        if after < newest {
            self.tell(from, &Control::OrdersAfter { place: after }).await;
        }
        Ok(())
    }

    /// A peer wants the orders after a place, about keys that it has a share of.
    pub(crate) async fn hand_out_orders(&self, from: PeerId, place: u64) -> Result<(), Problem> {
        let acts = self.store.key_acts_after(place, AT_ONCE).await.map_err(|error| store_problem(&error))?;
        let (mut orders, mut bytes, mut upto) = (Vec::new(), 0_usize, place);
        for (at, act) in acts {
            let Ok(id) = act.key_id.parse::<KeyId>() else { continue };
            // One that somebody else changed holds up no other.
            let Ok(Some(key)) = self.stored_key(&id).await else { continue };
            if Record::from_bytes(&key.record)?.index_of(from).is_some() {
                bytes = bytes.saturating_add(act.request.len());
                if !orders.is_empty() && bytes > BUNDLE {
                    break;
                }
                let receipt =
                    self.store.log_receipt(&act.op_id).await.map_err(|error| store_problem(&error))?;
                // An export whose end is not logged yet proves nothing: it is asked for again.
                let running = |id: &OperationId| self.registry.in_session(id);
                if receipt.is_none() && act.number == 0 && act.op_id.parse().is_ok_and(|id| running(&id)) {
                    break;
                }
                orders.push(TakenOrder {
                    request: act.request,
                    receipt: receipt.map(|receipt| receipt.to_string()),
                });
            }
            upto = at;
        }
        self.tell(from, &Control::Orders { orders, upto }).await;
        Ok(())
    }

    /// A peer hands out orders.
    pub(crate) async fn take_orders(
        self: &Arc<Self>,
        from: PeerId,
        orders: &[TakenOrder],
        upto: u64,
    ) -> Result<(), Problem> {
        for order in orders.iter().take(usize::try_from(AT_ONCE).unwrap_or(usize::MAX)) {
            match self.take_order(from, order).await {
                Ok(Taken::Read) => {}
                // Nothing after it counts as read: it is asked for again.
                Ok(Taken::NoRoom) => {
                    tracing::warn!(peer = %self.name_of(from), most = MAX_HEARD, "too many orders wait for more proof: no more are read until some are carried out");
                    return Ok(());
                }
                Err(problem) => {
                    tracing::info!(peer = %self.name_of(from), detail = %problem.detail, "an order that was handed out is not taken yet");
                }
            }
        }
        let more = {
            let mut heard = locked(&self.heard_orders);
            let newest = heard.newest.get(&from).copied().unwrap_or(0);
            let read = heard.read.entry(from).or_default();
            let before = *read;
            *read = upto.min(newest).max(before);
            *read < newest && *read > before
        };
        if more {
            self.tell(from, &Control::OrdersAfter { place: upto }).await;
        }
        Ok(())
    }

    async fn take_order(self: &Arc<Self>, from: PeerId, order: &TakenOrder) -> Result<Taken, Problem> {
        let request = SignedRequest::decode(&order.request).map_err(Problem::from)?;
        let judged = read(request)?;
        let Some(record) = self.unknown_order(&judged).await? else { return Ok(Taken::Read) };
        if record.index_of(from).is_none() {
            return Ok(Taken::Read);
        }
        let expected = Self::expected(&judged, &record)?;
        let receipt = order.receipt.as_ref().and_then(|text| self.accept_receipt(from, text, &expected));
        {
            let mut heard = locked(&self.heard_orders);
            if heard.waiting.len() >= MAX_HEARD && !heard.waiting.contains_key(&judged.operation) {
                return Ok(Taken::NoRoom);
            }
            let waiting = heard
                .waiting
                .entry(judged.operation.clone())
                .or_insert_with(|| Waiting { judged: judged.clone(), receipts: BTreeMap::new() });
            if waiting.judged.request.fingerprint() == judged.request.fingerprint() {
                waiting.receipts.extend(receipt.map(|receipt| (from, receipt)));
            }
        }
        self.reconsider(&judged.operation).await?;
        Ok(Taken::Read)
    }

    /// The record of the key, if the order is about one that this node has, and is not carried out here.
    async fn unknown_order(&self, judged: &Judged) -> Result<Option<Record>, Problem> {
        let (Ask::Act(id, act), Some(kept)) = (&judged.ask, self.kept(judged)) else { return Ok(None) };
        let Some(key) = self.stored_key(id).await? else { return Ok(None) };
        if matches!(key.status, quorate_store::KeyStatus::Destroyed | quorate_store::KeyStatus::Pending) {
            return Ok(None);
        }
        if is_order(act.kind()) {
            let order = Order { kind: act.kind(), hash: kept.hash, due: 0 };
            let place = self.orders(id).await?.place(kept.number, &order);
            if matches!(place, Place::Known | Place::Outranked) {
                return Ok(None);
            }
        } else if key.state.exposed_at.is_some() {
            return Ok(None);
        }
        let record = Record::from_bytes(&key.record)?;
        self.check_record(id, &key, &record).await?;
        Ok(Some(record))
    }

    /// What every node of the key logs when it has carried the order out.
    fn expected(judged: &Judged, record: &Record) -> Result<quorate_log::entry::Entry, Problem> {
        let Ask::Act(id, act) = &judged.ask else {
            return Err(Problem::new(Code::Internal, "this orders nothing about a key"));
        };
        if let Act::Export(export) = act {
            return Self::export_outcome(judged, id, export, record);
        }
        audit::ordered(&judged.operation, id, &judged.request.fingerprint(), act.kind(), number(act))
    }

    /// Carries an order out that others handed out, if it is this node's own judgement or if enough of them prove it.
    async fn reconsider(self: &Arc<Self>, operation: &OperationId) -> Result<(), Problem> {
        let (judged, proofs) = {
            let heard = locked(&self.heard_orders);
            let Some(waiting) = heard.waiting.get(operation) else { return Ok(()) };
            (waiting.judged.clone(), waiting.receipts.keys().copied().collect::<BTreeSet<PeerId>>())
        };
        let forget = || locked(&self.heard_orders).waiting.remove(operation);
        let Some(record) = self.unknown_order(&judged).await? else {
            forget();
            return Ok(());
        };
        let proven = enough(&record, &proofs);
        let rule = if proven {
            Some(PROVED.to_owned())
        } else {
            match self.own_judgement(&judged).await {
                Ok(rule) => rule,
                Err(problem) => {
                    tracing::debug!(%operation, detail = %problem.detail, "an order waits for more proof");
                    return Ok(());
                }
            }
        };
        let by = if proven { By::Others } else { By::Own };
        let Some(hold) = self.registry.join_session(operation) else { return Ok(()) };
        if let Ask::Act(_, Act::Export(_)) = &judged.ask {
            self.expose_late(&judged, proven).await?;
            drop(hold);
            forget();
            return Ok(());
        }
        let done = async {
            let deciding = self.deciding().await;
            let begun = self.begin(&judged, &Standing::Go(rule.clone())).await?;
            if begun.status == quorate_store::OperationStatus::PendingApproval {
                self.promote(&judged, rule.as_deref()).await?;
            }
            drop(deciding);
            if !begun.status.is_final() {
                self.run_attempt(operation).await?;
            }
            do_it(self, &judged, &record, by).await
        };
        let done = done.await;
        drop(hold);
        match done {
            Ok(_) => {
                if let Ask::Act(id, act) = &judged.ask {
                    tracing::info!(key = %id, act = act.kind().as_str(), proofs = proofs.len(), "an order that this node missed is carried out");
                }
                if self.waits(operation) {
                    self.close(operation, OperationStatus::Succeeded.as_str()).await?;
                }
                forget();
            }
            Err(problem) => {
                self.give_up(operation, &problem).await;
                if !problem.code.retryable() && by == By::Others {
                    forget();
                }
                return Err(problem);
            }
        }
        Ok(())
    }

    /// Whether this node would decide so itself, now.
    async fn own_judgement(&self, judged: &Judged) -> Result<Option<String>, Problem> {
        let judged = judge(self, judged.request.clone())?;
        let Ask::Act(id, act) = &judged.ask else {
            return Err(Problem::new(Code::Internal, "this orders nothing about a key"));
        };
        let asked = ask(self, id, act, self.id).await?;
        match self.permission(&judged, Subject::Act(&asked)).await? {
            Permission::Go(rule) => Ok(rule),
            Permission::Wait(waiting) => Err(waiting.problem()),
            Permission::No(problem) => Err(problem),
        }
    }

    /// Looks again at what waits: people may have agreed, or the directory may have come.
    pub(crate) async fn reconsider_orders(self: &Arc<Self>) {
        let waiting: Vec<OperationId> = locked(&self.heard_orders).waiting.keys().cloned().collect();
        for operation in waiting {
            if let Err(problem) = self.reconsider(&operation).await {
                tracing::info!(%operation, detail = %problem.detail, "an order that was handed out is not carried out yet");
            }
        }
    }
}

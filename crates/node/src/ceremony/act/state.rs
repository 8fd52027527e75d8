//! Carrying out an order about a key's state at this node: worked out from all orders that it knows, stored and logged in one commit.

use quorate_api::{
    Act, ActKind, Code, EventKind, KeyId, KeyStatus as ApiStatus, OperationResult, Problem, Skipped,
    StateResult,
};
use quorate_log::entry::Kind;
use quorate_store::{Key, KeyAct, KeyMove, KeyState, KeyStatus, StoreError};
use serde::Serialize;

use super::order::{Order, Orders, Place};
use super::{about, destroyed, mark};
use crate::audit;
use crate::clock;
use crate::governance::hidden;
use crate::judge::{Ask, Judged};
use crate::keys::Record;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// How often a lost race is tried again.
const RACES: u8 = 4;

/// Why an order is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// This node decided it itself.
    Own,
    /// As many nodes of the key as can sign have done it, and proved it.
    Others,
}

#[derive(Serialize)]
struct Moved<'a> {
    from: &'a str,
    to: &'a str,
    operation: &'a str,
    act: &'a str,
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    destroys_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Whether an act orders a key's state: every node does it by itself, and it is handed out to those who were away.
pub(crate) const fn is_order(kind: ActKind) -> bool {
    matches!(kind, ActKind::Disable | ActKind::Enable | ActKind::Destroy | ActKind::Keep)
}

/// The number of an order.
pub(crate) fn number(act: &Act) -> u64 {
    act.base().saturating_add(1)
}

impl Shared {
    /// The orders about a key that this node took.
    pub(crate) async fn orders(&self, id: &KeyId) -> Result<Orders, Problem> {
        let acts = self.store.key_acts(id.as_str()).await.map_err(|error| store_problem(&error))?;
        Ok(Orders::of(&acts, |act| self.due(act)))
    }

    /// When a destruction is due here: its delay counts from when this node took the order, and is not shorter than this node's own.
    fn due(&self, act: &KeyAct) -> u64 {
        let body = quorate_api::SignedRequest::decode(&act.request).ok();
        let asked = body.and_then(|request| Act::parse(ActKind::Destroy, request.body()).ok());
        let asked = match asked {
            Some(Act::Destroy(destroy)) => destroy.delay.unwrap_or_default(),
            _ => 0,
        };
        let own = self.config.keys.destroy_delay;
        let own = u64::try_from(own.as_millis()).unwrap_or(u64::MAX);
        act.taken_at.saturating_add(own.max(asked.saturating_mul(1000)))
    }

    /// What a request orders, or that it exposes the key, as the store keeps it.
    pub(super) fn kept(&self, judged: &Judged) -> Option<KeyAct> {
        let Ask::Act(key, act) = &judged.ask else { return None };
        let number = match act.kind() {
            ActKind::Export => 0,
            kind if is_order(kind) => number(act),
            _ => return None,
        };
        Some(KeyAct {
            key_id: key.as_str().to_owned(),
            number,
            act: act.kind().as_str().to_owned(),
            hash: judged.request.fingerprint(),
            request: judged.request.encode(),
            op_id: judged.operation.as_str().to_owned(),
            taken_at: clock::millis(),
        })
    }

    /// KST.3: carries an order out. Durable and logged when it returns; what was carried out before changes nothing.
    pub(crate) async fn carry_out_order(&self, judged: &Judged, by: By) -> Result<(), Problem> {
        let (Ask::Act(id, act), Some(kept)) = (&judged.ask, self.kept(judged)) else {
            return Err(Problem::new(Code::Internal, "this orders nothing about a key"));
        };
        if !is_order(act.kind()) {
            return Err(Problem::new(Code::Internal, "this orders nothing about a key"));
        }
        let _one = self.acting.lock().await;
        for _ in 0..RACES {
            let key = self.stored_key(id).await?.ok_or_else(|| hidden(id))?;
            if key.status == KeyStatus::Destroyed {
                return Err(destroyed(id));
            }
            let mut orders = self.orders(id).await?;
            let order = Order { kind: act.kind(), hash: kept.hash, due: self.due(&kept) };
            match orders.place(kept.number, &order) {
                Place::Known => return Ok(()),
                Place::Next => {}
                Place::Instead => {}
                Place::Missed if by == By::Others => {}
                Place::Beyond if by == By::Others => {}
                Place::Outranked | Place::Missed | Place::Beyond => {
                    let detail = format!(
                        "the key has had {} orders about its state at this node, and this one was made after {}: look at the key and ask again",
                        orders.newest(),
                        act.base()
                    );
                    return Err(Problem::new(Code::KeyChanged, detail));
                }
            }
            if by == By::Own {
                (about(act.kind()).check)(&key)?;
            }
            orders.take(kept.number, order);
            let wish = orders.wish();
            // Who got its share later got the status with it, and learns the orders that it follows from one by one.
            let complete = orders.newest() >= key.state.acts;
            let to =
                if complete { wish.status(key.status, key.state.exposed_at.is_some()) } else { key.status };
            let state = KeyState {
                acts: orders.newest().max(key.state.acts),
                exposed_at: key.state.exposed_at,
                destroys_at: if complete { wish.destroys_at } else { key.state.destroys_at },
                mark: Vec::new(),
            };
            let body = Moved {
                from: key.status.as_str(),
                to: to.as_str(),
                operation: judged.operation.as_str(),
                act: act.kind().as_str(),
                number: kept.number,
                destroys_at: state.destroys_at,
                reason: act.reason(),
            };
            let entry = audit::about(audit::entry(Kind::Share, &body)?, &judged.operation, Some(id))?;
            let step = KeyMove {
                from: key.status,
                was: key.state.clone(),
                to,
                state: mark::marked(&self.state_key, id.as_str(), to, state),
                act: Some(kept.clone()),
            };
            let state = step.state.clone();
            // What was decided before is logged before, and what is decided from here on sees the new state.
            let alone = self.gate.write().await;
            let moved = self.store.move_key(id.as_str(), step, clock::millis(), vec![entry]).await;
            if moved.is_ok() {
                self.noted(id, &state);
            }
            drop(alone);
            match moved {
                Ok(()) => {
                    tracing::info!(key = %id, act = act.kind().as_str(), number = kept.number, from = %key.status, %to, "the state of a key was ordered");
                    self.tell_of_destruction(id, &key, &state);
                    return Ok(());
                }
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(store_problem(&error)),
            }
        }
        Err(Problem::new(Code::OperationRunning, "the state of the key changes too quickly: ask again"))
    }

    /// Whatever was decided on the state before is decided again.
    pub(crate) fn noted(&self, id: &KeyId, state: &KeyState) {
        let mut seen = locked(&self.states);
        let acts = seen.entry(id.clone()).or_default();
        *acts = (*acts).max(state.acts);
        drop(seen);
        self.acted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        // POOL.6
        self.pool.ordered(id);
    }

    /// The private key is or was outside of its shares: for ever, whatever the status becomes. Durable, with the entry, when it returns; done
    /// again it changes nothing. The request is handed out to nodes that were away.
    pub(crate) async fn expose(
        &self,
        judged: &Judged,
        id: &KeyId,
        entry: quorate_log::entry::Entry,
    ) -> Result<(), Problem> {
        let _one = self.acting.lock().await;
        let key = self.stored_key(id).await?.ok_or_else(|| hidden(id))?;
        if key.status == KeyStatus::Destroyed {
            return Err(destroyed(id));
        }
        if key.state.exposed_at.is_some() {
            return Ok(());
        }
        let to = if key.status == KeyStatus::Active { KeyStatus::Exposed } else { key.status };
        let state = KeyState { exposed_at: Some(clock::millis()), ..key.state.clone() };
        let state = mark::marked(&self.state_key, id.as_str(), to, state);
        let act = self.kept(judged);
        let step = KeyMove { from: key.status, was: key.state, to, state: state.clone(), act };
        let alone = self.gate.write().await;
        let moved = self.store.move_key(id.as_str(), step, clock::millis(), vec![entry]).await;
        if moved.is_ok() {
            self.noted(id, &state);
        }
        drop(alone);
        moved.map_err(|error| store_problem(&error))
    }

    fn tell_of_destruction(&self, id: &KeyId, before: &Key, state: &KeyState) {
        let tell = |kind, detail: &str| {
            self.events.tell(kind, |event| {
                quorate_api::Event { key: Some(id.clone()), ..event }.with_detail(detail)
            });
        };
        match (before.state.destroys_at, state.destroys_at) {
            (was, Some(at)) if was != Some(at) => {
                tracing::warn!(key = %id, at, "this node is going to erase its share of a key");
                tell(EventKind::KeyDestruction, &format!("at {at} (unix milliseconds)"));
            }
            (Some(_), None) => tell(EventKind::KeyKept, "its destruction was called off"),
            _ => {}
        }
    }

    /// What became of an order, as this node sees it, with the nodes that prove that they did it.
    pub(crate) async fn state_result(
        &self,
        judged: &Judged,
        record: &Record,
        others: &[String],
    ) -> Result<OperationResult, Problem> {
        let Ask::Act(id, act) = &judged.ask else {
            return Err(Problem::new(Code::Internal, "this orders nothing about a key"));
        };
        let key = self.stored_key(id).await?.ok_or_else(|| destroyed(id))?;
        let mut result = StateResult {
            key: id.clone(),
            act: act.kind(),
            number: number(act),
            status: api_status(key.status),
            destroys_at: key.state.destroys_at,
            by: Vec::new(),
            without: record
                .parties
                .iter()
                .map(|party| Skipped::new(party.name.clone(), LATER.to_owned()))
                .collect(),
        };
        done_by(&mut result, others.iter().chain([&self.config.name]));
        Ok(OperationResult::KeyState(Box::new(result)))
    }
}

/// What is said of a node that has not proved that it did it.
const LATER: &str = "it has not said so yet: it learns of the order when it is back";

/// Moves those that have done it to where they belong.
pub(crate) fn done_by<'a>(result: &mut StateResult, names: impl Iterator<Item = &'a String>) {
    for name in names {
        if let Some(at) = result.without.iter().position(|skipped| skipped.party == *name) {
            result.without.remove(at);
            result.by.push(name.clone());
        }
    }
    result.by.sort();
}

/// The status as the API says it.
pub(crate) const fn api_status(status: KeyStatus) -> ApiStatus {
    match status {
        KeyStatus::Pending => ApiStatus::Pending,
        KeyStatus::Active => ApiStatus::Active,
        KeyStatus::Disabled => ApiStatus::Disabled,
        KeyStatus::Exposed => ApiStatus::Exposed,
        KeyStatus::Burned => ApiStatus::Burned,
        KeyStatus::Destroyed => ApiStatus::Destroyed,
    }
}

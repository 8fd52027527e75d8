//! Refresh, reshare, repair and restore: a key goes to its next epoch. How, is in `ceremony::moving`.

use std::sync::Arc;

use quorate_api::{Act, Code, Figures, KeyId, MoveResult, OperationResult, Problem, SignedRequest};
use quorate_net::PeerId;
use quorate_policy::facts::Action;
use quorate_protocol::party::PartyIndex;
use quorate_store::Key;
use tokio::time::Instant;

use super::{About, Asked, ask, burned};
use crate::access;
use crate::ceremony::Attempt;
use crate::ceremony::moving::{self, Carried, Mandate, Offer, Order, Plan, What};
use crate::control::{Control, Proposal, Work};
use crate::governance::permit::Subject;
use crate::judge::{Ask, Judged, read};
use crate::keys::Record;
use crate::keys::moving::revision_of;
use crate::operations::stored_result;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

pub(super) const REFRESH: About = About {
    action: Action::Refresh,
    despite_freeze: false,
    words: |_| "give new shares to the parties of".to_owned(),
    check: burned,
};

pub(super) const RESHARE: About = About {
    action: Action::Reshare,
    despite_freeze: false,
    words: |act| match act {
        Act::Reshare(reshare) => match reshare.wanted() {
            Some((access, _)) => format!("from now on {access} can sign: reshare"),
            None => "reshare".to_owned(),
        },
        _ => "reshare".to_owned(),
    },
    check: burned,
};

pub(super) const REPAIR: About = About {
    action: Action::Repair,
    // A party that is lost must not stay lost because somebody froze the key.
    despite_freeze: false,
    words: |act| match act {
        Act::Repair(repair) => format!("give `{}` its share again of", repair.party),
        _ => "repair".to_owned(),
    },
    check: burned,
};

pub(super) const RESTORE: About = About {
    action: Action::Restore,
    despite_freeze: false,
    words: |act| match act {
        Act::Restore(restore) => {
            let to = match (restore.wanted(), &restore.parties) {
                (Some((access, _)), _) => format!(", so that from now on {access} can sign"),
                (None, Some(parties)) => {
                    format!(", so that from now on as many as before of {} can sign", parties.join(", "))
                }
                (None, None) => String::new(),
            };
            format!("declare {} lost and restore from backups{to}", restore.lost.join(", "))
        }
        _ => "restore".to_owned(),
    },
    check: burned,
};

/// What a restore is asked of: a key in use, or one that came out of a backup. `None` if this node has neither.
pub(super) async fn ask_restore(shared: &Shared, id: &KeyId, act: &Act) -> Result<Option<Asked>, Problem> {
    let Some((key, record)) = shared.key_to_restore(id).await? else { return Ok(None) };
    burned(&key)?;
    check(&record, act)?;
    Ok(Some(Asked { id: id.clone(), key, record, act: act.clone() }))
}

/// The order of an act, if it moves a key.
pub(crate) fn order(id: &KeyId, act: &Act) -> Option<Order> {
    let (epoch, what) = match act {
        Act::Refresh(refresh) => (refresh.epoch, What::Refresh),
        Act::Reshare(reshare) => {
            let (access, parties) = reshare.wanted()?;
            (reshare.epoch, What::Reshare { access, parties })
        }
        Act::Repair(repair) => (repair.epoch, What::Repair { party: repair.party.clone() }),
        Act::Restore(restore) => {
            let (lost, wanted) = (restore.lost.clone(), restore.wanted());
            let (access, parties) = match wanted {
                Some((access, parties)) => (Some(access), Some(parties)),
                None => (None, restore.parties.clone()),
            };
            (restore.epoch, What::Restore { lost, access, parties })
        }
        Act::Disable(_) | Act::Enable(_) | Act::Destroy(_) | Act::Keep(_) | Act::Export(_) => return None,
    };
    Some(Order { key: id.clone(), epoch, what })
}

/// What stands against the structure that a key shall have: known before anybody is asked to agree. Who its parties are is looked at when
/// the key is moved.
pub(super) fn check(record: &Record, act: &Act) -> Result<(), Problem> {
    let wanted = match act {
        Act::Reshare(reshare) => {
            let whole = || Problem::new(Code::InvalidRequest, "the body does not say who can sign");
            Some(reshare.wanted().ok_or_else(whole)?)
        }
        Act::Restore(restore) => {
            let wanted = restore.wanted();
            // Without a word about it the structure stays; with parties alone their number changes.
            if let (None, Some(parties)) = (&wanted, &restore.parties) {
                let indices = (1..).zip(parties).filter_map(|(at, _)| PartyIndex::new(at));
                moving::as_before(record, &indices.collect::<Vec<_>>())?;
            }
            wanted
        }
        _ => None,
    };
    let Some((access, names)) = wanted else { return Ok(()) };
    let structure = access::numbered(&access, &names).ok_or_else(|| {
        Problem::new(Code::Unprocessable, "the access structure names a node that is no party")
    })?;
    let numbers = (1..).zip(names).filter_map(|(at, name)| Some((PartyIndex::new(at)?, name)));
    access::check(record.scheme, &structure, &numbers.collect())
}

/// Coordinates a move that a client asked for.
pub(crate) async fn coordinate(
    shared: &Arc<Shared>,
    judged: &Judged,
    asked: Asked,
) -> Result<OperationResult, Problem> {
    let deadline = Instant::now() + shared.config.limits.ceremony_deadline;
    let entered = shared.registry.enter_session(&judged.operation, deadline).await;
    let busy = || Problem::new(Code::OperationRunning, "the key is being moved: ask again");
    let _hold = entered.ok_or_else(busy)?;
    if let Some(op) = shared.operation(&judged.operation).await?
        && let Some(done) = stored_result(&op)?
    {
        return Ok(done);
    }
    let order = order(&asked.id, &asked.act)
        .ok_or_else(|| Problem::new(Code::Internal, "this does not move a key"))?;
    // This node was killed, or had stopped waiting, when it was carried out.
    let figures = match carried_out(shared, &order, judged).await? {
        true => Figures::default(),
        false => match attempt(shared, judged, &asked, &order).await {
            Err(_) if carried_out(shared, &order, judged).await? => Figures::default(),
            ended => ended?,
        },
    };
    let (id, act) = (asked.id, asked.act.kind());
    let key = shared.shown_after_move(&id).await?;
    let result = OperationResult::Moved(Box::new(MoveResult { act, key: Box::new(key), figures }));
    let fingerprint = judged.request.fingerprint();
    let (result, receipt) =
        shared.succeed(&judged.operation, Some(fingerprint), Some(&id), result, Vec::new()).await?;
    if let Some(receipt) = receipt {
        locked(&shared.receipts).put(judged.operation.clone(), receipt);
    }
    shared.gather_receipts(&judged.operation).await;
    Ok(result)
}

async fn attempt(
    shared: &Arc<Shared>,
    judged: &Judged,
    asked: &Asked,
    order: &Order,
) -> Result<Figures, Problem> {
    let number = shared.run_attempt(&judged.operation).await?;
    // GOV.3  Whatever changed since counts.
    let asked = ask(shared, &asked.id, &asked.act, shared.id).await?;
    shared.convinced(judged, Subject::Act(&asked)).await?;
    let mandate = Mandate::of(&judged.request, shared.rulings_for(judged).await?, judged.source);
    moving::coordinate(shared, &mandate, order, number).await
}

/// Whether the epoch after the order's is in force here, and by this operation.
async fn carried_out(shared: &Shared, order: &Order, judged: &Judged) -> Result<bool, Problem> {
    let found = shared.store.handover(order.key.as_str(), revision_of(order.epoch)).await;
    let found = found.map_err(|error| store_problem(&error))?;
    let by = found.and_then(|handover| handover.operation);
    Ok(by.is_some_and(|by| by == judged.operation.as_str()))
}

/// MOVE.14: whoever proposes to use or to move a key in an epoch that is over is shown what followed it, also when it is no party any more.
pub(crate) async fn show_what_followed(shared: &Shared, to: PeerId, proposal: &Proposal) {
    let request = SignedRequest::decode(&proposal.request).ok();
    let Some(judged) = request.and_then(|request| read(request).ok()) else { return };
    let (id, epoch) = match (&judged.ask, &proposal.work) {
        (Ask::Sign(id, _), Work::Sign { epoch, .. }) => (id, *epoch),
        (Ask::Act(id, act), Work::Move { .. }) => match order(id, act) {
            Some(order) => (id, order.epoch),
            None => return,
        },
        _ => return,
    };
    if let Ok(Some(proof)) = shared.proof_after(id, epoch).await {
        shared.tell(to, &Control::InForce { key: id.to_string(), proof }).await;
    }
}

/// What a member looks at when it is asked to help to move a key. Of a key that is new to it, it knows what the proposal says.
pub(crate) async fn judge(
    shared: &Arc<Shared>,
    id: &KeyId,
    act: &Act,
    from: PeerId,
    record: &[u8],
    carried: Carried,
) -> Result<Asked, Problem> {
    if matches!(act, Act::Restore(_)) {
        if let Some(asked) = ask_restore(shared, id, act).await? {
            return Ok(asked);
        }
    } else if shared
        .stored_key(id)
        .await?
        .is_some_and(|key| key.status != quorate_store::KeyStatus::Destroyed)
    {
        return ask(shared, id, act, from).await;
    }
    let read = Record::from_bytes(record)?;
    let order = order(id, act).ok_or_else(|| Problem::new(Code::Internal, "this does not move a key"))?;
    let key = Key {
        key_id: id.as_str().to_owned(),
        status: carried.status(),
        scheme: read.scheme.name().to_owned(),
        public_key: Vec::new(),
        epoch: revision_of(order.epoch),
        record: record.to_vec(),
        sealed_share: Vec::new(),
        state: shared.carried_state(id, carried),
        created_at: read.created_at,
        updated_at: read.created_at,
    };
    Ok(Asked { id: id.clone(), key, record: read, act: act.clone() })
}

/// The plan of a proposal that a member agrees to.
pub(crate) async fn plan(
    shared: &Arc<Shared>,
    judged: &Judged,
    asked: &Asked,
    attempt: &Attempt,
    offer: Offer<'_>,
) -> Result<Plan, Problem> {
    let order = order(&asked.id, &asked.act)
        .ok_or_else(|| Problem::new(Code::InvalidRequest, "the request does not move a key"))?;
    shared.plan_move(&judged.request.request_hash(), &order, attempt, offer).await
}

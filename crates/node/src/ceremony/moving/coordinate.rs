//! Coordinating a move. All parties of the next epoch must take part, and a quorum of this one deals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{Code, Figures, Problem, SignedRequest};
use quorate_net::PeerId;
use quorate_protocol::party::{Committee, PartyIndex};
use tokio::time::Instant;

use super::{Carried, Holders, Offer, Order, Plan, What, in_epoch, refuse, restore, target};
use crate::ceremony::conversation::{Conversation, Said};
use crate::ceremony::protocols::epochs::Package;
use crate::ceremony::{Attempt, quorum};
use crate::control::{Control, Outcome, Proposal, Work};
use crate::gate::moving;
use crate::keys::Record;
use crate::keys::moving::{Proof, Statement, epoch_of};
use crate::shared::{Shared, random};
use crate::source::{WireSource, to_wire};

/// How long the others may take to switch once there is a proof. It is in force without that.
const SETTLES: Duration = Duration::from_secs(2);

/// On whose word a key is moved.
pub(crate) struct Mandate {
    /// The operation it is done for.
    pub(crate) operation: quorate_api::OperationId,
    /// The request, as the client signed it; empty where the nodes do it by themselves.
    pub(crate) request: Vec<u8>,
    /// What the names of sessions bind.
    pub(crate) hash: [u8; 32],
    pub(crate) rulings: Vec<Vec<u8>>,
    pub(crate) source: Option<WireSource>,
}

impl Mandate {
    /// A client's request.
    pub(crate) fn of(
        request: &SignedRequest,
        rulings: Vec<Vec<u8>>,
        source: Option<std::net::IpAddr>,
    ) -> Self {
        Self {
            operation: request.operation_id(),
            request: request.encode(),
            hash: request.request_hash(),
            rulings,
            source: to_wire(source),
        }
    }
}

/// What a coordinator chose.
pub(super) struct Chosen {
    pub(super) record: Record,
    pub(super) dealers: Vec<PartyIndex>,
    pub(super) carried: Carried,
    pub(super) holders: Holders,
}

/// MOVE.1: the dealers, and whether everybody is there who is needed.
async fn choose(shared: &Arc<Shared>, order: &Order) -> Result<Chosen, Problem> {
    if let What::Restore { .. } = order.what {
        return restore::choose(shared, order).await;
    }
    let missing = || Problem::new(Code::NotFound, format!("this node holds no key `{}`", order.key));
    let key = shared.stored_key(&order.key).await?.ok_or_else(missing)?;
    in_epoch(order, epoch_of(key.epoch))?;
    let record = Record::from_bytes(&key.record)?;
    let unreadable = || refuse("the key's package cannot be read");
    let old = Package::read(record.scheme, &record.package.0).ok_or_else(unreadable)?;
    let target = target(shared, &record, &old, &order.what, &Holders::new())?;
    let next = super::committee(&target.parties).ok_or_else(|| refuse("the parties are not distinct"))?;
    all_there(shared, &next).await?;
    let there = |peer: &PeerId| *peer == shared.id || shared.network.is_connected(*peer);
    let parties = old.parties();
    let me = parties.get(&shared.id).copied().ok_or_else(missing)?;
    if target.lost == Some(me) {
        let detail = "this node's own share is to be repaired, so the others must deal: ask another node that holds the key";
        return Err(refuse(detail));
    }
    let mut ready: Vec<PartyIndex> =
        parties.iter().filter(|(peer, _)| there(peer)).map(|(_, party)| *party).collect();
    // Who stays takes part anyway.
    ready.sort_by_key(|party| (next.get(*party).is_none(), *party));
    let lost: Vec<Vec<PartyIndex>> = target.lost.iter().map(|lost| vec![*lost]).collect();
    let dealers = quorum::choose(&old.access, me, &quorum::unsuspected(&ready), &lost).ok_or_else(|| {
        let names = record.names();
        let away: Vec<String> =
            names.iter().filter(|(party, _)| !ready.contains(party)).map(|(_, name)| name.clone()).collect();
        let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let detail = format!(
            "{} of the nodes that hold the key must deal; not there: {}; start them and ask again",
            record.threshold,
            away.join(", ")
        );
        Problem::new(Code::NotEnoughParties, detail).with_quorum(record.threshold, count(ready.len()), away)
    })?;
    let carried = Carried::of(&key);
    Ok(Chosen { record, dealers, carried, holders: Holders::new() })
}

/// Whether all that shall hold the key are there.
pub(super) async fn all_there(shared: &Arc<Shared>, next: &Committee) -> Result<(), Problem> {
    let needed: Vec<PeerId> = next.iter().map(|party| crate::shared::peer_of(&party.identity)).collect();
    let grace = shared.config.limits.connect_grace;
    if let Err(error) = shared.network.wait_connected(&needed, grace).await {
        let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let detail = format!(
            "every node that shall hold the key must take part; not there: {}; start them, or ask for a key without them",
            error.missing.join(", ")
        );
        let (all, absent) = (count(needed.len()), count(error.missing.len()));
        return Err(Problem::new(Code::NotEnoughParties, detail).with_quorum(
            all,
            all.saturating_sub(absent),
            error.missing,
        ));
    }
    Ok(())
}

/// Moves a key: gives what it cost once the next epoch is in force here.
pub(crate) async fn coordinate(
    shared: &Arc<Shared>,
    mandate: &Mandate,
    order: &Order,
    number: u32,
) -> Result<Figures, Problem> {
    let begun = Instant::now();
    let deadline = begun + shared.config.limits.ceremony_deadline;
    let chosen = choose(shared, order).await?;
    let attempt = Attempt { ceremony: random()?, number, coordinator: shared.id };
    let base = chosen.record.to_bytes()?;
    let offer = Offer {
        record: &base,
        dealers: &chosen.dealers,
        carried: chosen.carried,
        holders: chosen.holders.clone(),
    };
    let plan = shared.plan_move(&mandate.hash, order, &attempt, offer).await?;
    let members = members(shared, &plan)?;
    let proposal = Proposal {
        ceremony: attempt.ceremony,
        attempt: number,
        request: mandate.request.clone(),
        rulings: mandate.rulings.clone(),
        source: mandate.source,
        work: work(mandate, order, base, chosen),
    };
    let mut talk = Conversation::open(shared, proposal, members.clone(), None).await;
    let moved = carry_out(shared, mandate, &plan, &mut talk, deadline).await;
    match moved {
        Ok(mut figures) => {
            figures.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            // So that who hears of the end can use the key anywhere.
            talk.wait(Instant::now() + SETTLES).await;
            Ok(figures)
        }
        Err(problem) => {
            talk.cancel().await;
            Err(problem)
        }
    }
}

fn work(mandate: &Mandate, order: &Order, record: Vec<u8>, chosen: Chosen) -> Work {
    let Chosen { dealers, carried, holders, .. } = chosen;
    if let What::Restore { .. } = order.what {
        let holders = holders.into_iter().map(|(party, peer)| (party, *peer.as_bytes())).collect();
        return Work::Restore { record, dealers, carried, holders };
    }
    if mandate.request.is_empty() {
        return Work::Refresh { key: order.key.to_string(), epoch: order.epoch, record, dealers, carried };
    }
    Work::Move { record, dealers, carried }
}

/// Everybody else who takes part: the parties of the session and, where they are needed to leave no quorum behind, the other parties of
/// this epoch that are there.
fn members(shared: &Shared, plan: &Plan) -> Result<BTreeMap<PeerId, PartyIndex>, Problem> {
    let the_move = plan.the_move();
    let mut all = plan.session_peers();
    let down = |all: &BTreeMap<PeerId, PartyIndex>| all.keys().copied().collect::<BTreeSet<_>>();
    if !the_move.in_force(&down(&all)) {
        for (peer, party) in the_move.old_parties.clone() {
            if peer == shared.id || shared.network.is_connected(peer) {
                all.entry(peer).or_insert(party);
            }
        }
        if !the_move.in_force(&down(&all)) {
            let detail = "the nodes that hold the key and are not there could still sign with their old shares: start more of them and ask again";
            return Err(Problem::new(Code::NotEnoughParties, detail));
        }
    }
    all.remove(&shared.id);
    Ok(all)
}

async fn carry_out(
    shared: &Arc<Shared>,
    mandate: &Mandate,
    plan: &Plan,
    talk: &mut Conversation,
    deadline: Instant,
) -> Result<Figures, Problem> {
    let name = |party: &PartyIndex| plan.names.get(party).cloned().unwrap_or_default();
    let answers = talk.answers(shared.config.limits.answer_deadline).await;
    match answers {
        Said::All => {}
        Said::Refused(party, problem, _) => {
            let detail = format!("`{}` refuses: {}", name(&party), problem.detail);
            return Err(Problem::new(problem.code, detail));
        }
        Said::Silent(silent) => {
            let silent: Vec<String> = silent.iter().map(name).collect();
            let detail = format!("`{}` did not answer the proposal", silent.join("`, `"));
            return Err(Problem::new(Code::DeadlineExceeded, detail));
        }
        Said::Done(party, _) | Said::Another(party, _) => {
            let detail = format!("`{}` answered something else than was asked", name(&party));
            return Err(Problem::new(Code::CeremonyAborted, detail));
        }
    }
    let called_off = shared.stop.child_token();
    let ran = {
        let loss = talk.loss();
        let run = plan.run(shared, &mandate.operation, deadline, called_off.clone());
        let given_up = async {
            tokio::select! {
                (party, problem) = talk.failure() => {
                    Problem::new(Code::CeremonyAborted, format!("`{}` failed: {}", name(&party), problem.detail))
                }
                party = loss => {
                    let party = party.map(|party| name(&party)).unwrap_or_default();
                    let detail = format!("`{party}` restarted or lost its connection while the key was moved");
                    Problem::new(Code::DeadlineExceeded, detail)
                }
            }
        };
        tokio::pin!(run);
        tokio::select! {
            biased;
            ran = &mut run => ran.map_err(|failure| failure.problem),
            problem = given_up => {
                called_off.cancel();
                // To its end, so that whoever erases the share finds all of it.
                let prepared = run.await;
                if let Ok((Some(epoch), _)) = prepared {
                    shared.call_off(&plan.id, &epoch).await;
                }
                Err(problem)
            }
        }
    };
    let (epoch, figures) = ran?;
    let own = epoch.ok_or_else(|| refuse("the coordinator does not take part"))?;
    let prepared = all_prepared(talk, &own, deadline).await.map_err(|(party, problem)| match party {
        Some(party) => Problem::new(problem.code, format!("`{}`: {}", name(&party), problem.detail)),
        None => problem,
    });
    if let Err(problem) = prepared {
        shared.call_off(&plan.id, &own).await;
        return Err(problem);
    }
    let in_force = stand_down(shared, plan, talk, own, deadline).await;
    if in_force.is_err() {
        // Nothing happens if it was acknowledged: then it stays in doubt until the others have said what they know.
        shared.call_off(&plan.id, &own).await;
    }
    in_force.map(|()| figures)
}

/// Waits until every other party has its part of the same epoch durably.
async fn all_prepared(
    talk: &mut Conversation,
    own: &[u8; 32],
    deadline: Instant,
) -> Result<(), (Option<PartyIndex>, Problem)> {
    let aborted = |detail: &str| Problem::new(Code::CeremonyAborted, detail);
    let waited = talk.members();
    let outcomes = talk.outcomes(deadline).await;
    for party in waited {
        match outcomes.get(&party) {
            Some(Outcome::Prepared { epoch }) if epoch.is_none_or(|epoch| epoch == *own) => {}
            Some(Outcome::Failed(refusal)) => {
                return Err((Some(party), aborted(&format!("it failed: {}", refusal.problem().detail))));
            }
            Some(_) => return Err((Some(party), aborted("it reports another epoch than this node has"))),
            None => {
                let detail = "it did not say that it has stored its share";
                return Err((Some(party), Problem::new(Code::DeadlineExceeded, detail)));
            }
        }
    }
    Ok(())
}

/// MOVE.6–MOVE.8, as the coordinator sees it.
async fn stand_down(
    shared: &Arc<Shared>,
    plan: &Plan,
    talk: &mut Conversation,
    epoch: [u8; 32],
    deadline: Instant,
) -> Result<(), Problem> {
    let successor = shared.successor(&plan.id, &epoch).await?.ok_or_else(moving)?;
    let package = crate::keys::moving::Next::read(&successor)?.record.package.0;
    let until = (Instant::now() + shared.config.limits.attempt_deadline).min(deadline);
    talk.stand_down(package.clone()).await;
    let (own, others) = tokio::join!(shared.stand_down(&plan.id, &epoch, until), talk.statements(until));
    let mut statements: Vec<Statement> = others.map_err(|(party, problem)| {
        let name = plan.names.get(&party).cloned().unwrap_or_default();
        Problem::new(problem.code, format!("`{name}` does not stand down: {}", problem.detail))
    })?;
    statements.push(own?);
    let proof = Proof::of(&plan.next, &package, statements);
    let proof = proof.ok_or_else(|| {
        let detail = "not all nodes stand down for the next epoch: the key goes on as soon as they have said what they know";
        Problem::new(Code::KeyMoving, detail)
    })?;
    let proof = borsh::to_vec(&proof).unwrap_or_default();
    shared.take_proof(&plan.id, &proof).await?;
    let news = Control::InForce { key: plan.id.to_string(), proof };
    let peers: Vec<PeerId> = plan.concerned().into_keys().filter(|peer| *peer != shared.id).collect();
    let tell = peers.iter().map(|peer| shared.tell(*peer, &news));
    futures_util::future::join_all(tell).await;
    Ok(())
}

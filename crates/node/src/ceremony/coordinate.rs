//! Coordinating a signature: one quorum after the other until one signs or none is left.

mod explain;
mod once;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{Code, Fault, Figures, KeyId, OperationResult, Problem, Skipped};
use quorate_intent::Signature;
use quorate_net::PeerId;
use quorate_protocol::party::PartyIndex;
use quorate_store::OperationStatus;
use tokio::time::{Instant, sleep, timeout_at};

use self::explain::explain;
use self::once::{Try, try_once};
use super::Failure;
use super::attempts::turn::{Scope, Turn};
use super::attempts::{Attempts, standing};
use super::sign::{Asked, ask};
use crate::audit;
use crate::governance::permit::Subject;
use crate::hook::Need;
use crate::judge::{Ask, Judged};
use crate::operations::stored_result;
use crate::registry::locked;
use crate::shared::{Shared, random};

/// What one attempt of the coordinator came to.
enum Tried {
    /// With what the members say to prove that they logged it.
    Done(Vec<Signature>, Vec<String>, Figures, Vec<(PartyIndex, String)>),
    /// This member says that another coordinator works on the same request.
    Busy(PartyIndex),
    Failed(Failure),
}

/// Coordinates a signing operation to its end: one quorum after the other until one signs or none is left.
pub(crate) async fn sign(
    shared: &Arc<Shared>,
    judged: &Judged,
    key: &KeyId,
    mut asked: Asked,
) -> Result<OperationResult, Problem> {
    let begun = Instant::now();
    let deadline = begun + shared.config.limits.ceremony_deadline;
    let mut before = Before::new(shared, &asked);
    let mut pause = Duration::from_millis(20);
    let mut busy: BTreeMap<PartyIndex, Instant> = BTreeMap::new();
    let mut attempts = 0_u32;
    loop {
        let Some(hold) = shared.registry.enter_session(&judged.operation, deadline).await else {
            let detail = "this node takes part in another attempt of the same request: ask again";
            return Err(Problem::new(Code::OperationRunning, detail));
        };
        let op = shared.operation(&judged.operation).await?;
        // Another coordinator may have got it meanwhile.
        if let Some(done) = op.as_ref().map(stored_result).transpose()?.flatten() {
            return Ok(done);
        }
        let counted = attempts == 0 && op.is_some_and(|op| op.status == OperationStatus::Running);
        // CER.2
        let turn = match choose(shared, &asked, &mut before, deadline).await {
            Ok(turn) => turn,
            Err(state) => {
                let burned = shared.burned(&asked.key).await?;
                return Err(explain(shared, &asked, &burned, &state, &before));
            }
        };
        // The first attempt runs since the operation began. The nonce tells attempts apart, the number is for people.
        let number = if counted { 1 } else { shared.run_attempt(&judged.operation).await? };
        attempts = attempts.saturating_add(1);
        // GOV.3  Whatever changed since, such as a freeze, counts.
        let said = shared.consult(judged, &asked, Need::Fresh).await;
        let said = shared.decided(judged, said).await?;
        let same = said.as_ref().map(Arc::as_ptr) == asked.said.as_ref().map(Arc::as_ptr);
        asked.said = said;
        // Nothing did if it was decided just now: the same answer would cost as much again.
        let decided = asked.decided.take().filter(|_| same);
        if decided.is_none_or(|moment| !shared.is_still(moment)) {
            shared.convinced(judged, Subject::Sign(&asked)).await?;
        }
        let this = Try { judged, asked: &asked, turn: &turn, number, deadline, before: &before };
        match try_once(shared, &this).await? {
            Tried::Done(signatures, quorum, mut figures, receipts) => {
                figures.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                // Given up for being slow, it may have been asked again and have signed.
                before.skipped.retain(|skipped| !quorum.contains(&skipped.party));
                let result = asked.result(&signatures, quorum, before.skipped, figures)?;
                let fingerprint = judged.request.fingerprint();
                let outcome = audit::outcome(&judged.operation, Some(key), &fingerprint, &result)?;
                // CER.15
                let receipts = receipts.iter().filter_map(|(party, receipt)| {
                    let peer = *asked.peers.get(party)?;
                    let accepted = shared.accept_receipt(peer, receipt, &outcome);
                    if accepted.is_none() {
                        tracing::warn!(peer = %shared.name_of(peer), operation = %judged.operation, "the receipt of a member does not hold");
                    }
                    accepted
                });
                let receipts = receipts.collect();
                let (result, receipt) =
                    shared.succeed(&judged.operation, Some(fingerprint), Some(key), result, receipts).await?;
                if let Some(receipt) = receipt {
                    locked(&shared.receipts).put(judged.operation.clone(), receipt);
                }
                return Ok(result);
            }
            Tried::Busy(party)
                if busy.entry(party).or_insert_with(Instant::now).elapsed()
                    > shared.config.limits.attempt_deadline =>
            {
                // Longer than any honest attempt takes.
                let name = asked.name(party);
                let detail = format!("`{name}` says for too long that it works on the same request");
                let failure = Failure::of(Code::OperationRunning, detail, vec![party]);
                before.learn(shared, &asked, &turn, failure.because(Scope::Each, Fault::Refused));
            }
            Tried::Busy(_) => {
                before.busy = true;
                // Let the other coordinator in; whoever waits less wins, so the two do not meet again and again.
                drop(hold);
                let jitter = u64::from(random::<1>()?.first().copied().unwrap_or(0));
                sleep(pause + Duration::from_millis(jitter / 2)).await;
                pause = (pause * 2).min(Duration::from_millis(500));
                if Instant::now() >= deadline {
                    let detail = "another node works on the same request: ask for its result again";
                    return Err(Problem::new(Code::OperationRunning, detail));
                }
            }
            // MOVE.14  The key goes to its next epoch, here or there: it is opened anew, and nobody is left out for it.
            Tried::Failed(failure) if failure.problem.code == Code::KeyMoving => {
                drop(hold);
                if Instant::now() + pause >= deadline {
                    return Err(failure.problem);
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(500));
                let Ask::Sign(_, request) = &judged.ask else { return Err(failure.problem) };
                asked = ask(shared, key, request, shared.id).await?;
                before.last = Some(failure.problem);
            }
            Tried::Failed(failure) if failure.local => return Err(failure.problem),
            Tried::Failed(failure) => {
                tracing::info!(
                    operation = %judged.operation, fault = %failure.fault, reason = failure.problem.detail,
                    "an attempt failed: going on"
                );
                before.learn(shared, &asked, &turn, failure);
            }
        }
        if Instant::now() >= deadline {
            let (needed, ready) = (asked.key.record.threshold, before.ready(&asked));
            let detail = before.last.map_or_else(|| "time is over".to_owned(), |problem| problem.detail);
            let over = Problem::new(Code::DeadlineExceeded, detail).with_quorum(needed, ready, Vec::new());
            return Err(over.with_skipped(before.skipped));
        }
    }
}

/// What the attempts before taught.
struct Before {
    attempts: Attempts,
    skipped: Vec<Skipped>,
    last: Option<Problem>,
    /// Another coordinator works on the request: it may come to this a few times, which is no reason to spend presignatures.
    busy: bool,
}

impl Before {
    fn new(shared: &Shared, asked: &Asked) -> Self {
        let now = Instant::now();
        let others = asked.peers.iter().filter(|(_, peer)| **peer != shared.id);
        let points = {
            let reputation = locked(&shared.reputation);
            others.clone().map(|(party, peer)| (*party, reputation.points(peer, now))).collect()
        };
        let quarantined = others.filter(|(_, peer)| shared.is_quarantined(peer)).map(|(party, _)| *party);
        let wanted = asked.wanted.clone();
        // Whoever only leads others to sign needs no pair of its own.
        let signs = wanted.as_ref().is_none_or(|wanted| wanted.contains(&asked.me()));
        let burned = if signs { asked.burned.clone() } else { BTreeSet::new() };
        let attempts = Attempts::new(asked.me(), wanted, points, quarantined.collect(), &burned);
        Self { attempts, skipped: Vec::new(), last: None, busy: false }
    }

    /// ATT.2 to ATT.4: takes in how an attempt failed.
    fn learn(&mut self, shared: &Shared, asked: &Asked, turn: &Turn, failure: Failure) {
        let lesson = failure.lesson();
        let held = self.attempts.learn(turn, &lesson);
        {
            let now = Instant::now();
            let mut reputation = locked(&shared.reputation);
            for (party, points) in held {
                if let Some(peer) = asked.peers.get(&party) {
                    reputation.add(*peer, points, now);
                }
            }
        }
        // Without a name it is this very set that did not work; and whoever says that it failed may have been cheated by the others.
        let all = lesson.who.is_empty() || lesson.fault == Fault::Failed;
        let named = if all { &turn.parties } else { &lesson.who };
        for party in named.iter().filter(|party| **party != asked.me()) {
            if asked.peers.get(party).is_some_and(|peer| shared.is_quarantined(peer)) {
                self.attempts.quarantine(*party);
            }
            let mut skipped = Skipped::new(asked.name(*party), failure.problem.detail.clone());
            let itself = lesson.who.is_empty() || lesson.who.contains(party);
            skipped.fault = Some(if itself { lesson.fault } else { Fault::Suspected });
            skipped.evidence.clone_from(&failure.evidence);
            self.skip(skipped);
        }
        self.last = Some(failure.problem);
    }

    /// Names a party once, with the worst that is known of it.
    fn skip(&mut self, skipped: Skipped) {
        let weight = |skipped: &Skipped| skipped.fault.map_or(0, |fault| standing::points(fault, 1));
        match self.skipped.iter_mut().find(|before| before.party == skipped.party) {
            Some(before) if weight(before) > weight(&skipped) => {}
            Some(before) => *before = skipped,
            None => self.skipped.push(skipped),
        }
    }

    /// How many parties are not excluded.
    fn ready(&self, asked: &Asked) -> u16 {
        let left = asked.peers.keys().filter(|party| !self.attempts.excludes(**party)).count();
        u16::try_from(left).unwrap_or(u16::MAX)
    }
}

impl Asked {
    /// The connected parties that do not take part but may know the operation.
    fn bystanders(
        &self,
        shared: &Shared,
        quorum: &[PartyIndex],
        before: &Before,
    ) -> BTreeMap<PeerId, PartyIndex> {
        let now = Instant::now();
        let mut mute = locked(&shared.mute);
        mute.retain(|_, until| *until > now);
        let other = |(party, peer): &(&PartyIndex, &PeerId)| {
            !quorum.contains(party)
                && **peer != shared.id
                && !before.attempts.excludes(**party)
                && !mute.contains_key(*peer)
                && shared.network.is_connected(**peer)
        };
        self.peers.iter().filter(other).map(|(party, peer)| (*peer, *party)).collect()
    }

    /// Whether any two quorums share a member.
    fn quorums_intersect(&self) -> bool {
        self.key.material.share.access().quorums_intersect()
    }
}

/// Who is there when no quorum was found.
struct NoQuorum {
    ready: Vec<PartyIndex>,
    absent: Vec<PartyIndex>,
}

async fn choose(
    shared: &Shared,
    asked: &Asked,
    before: &mut Before,
    deadline: Instant,
) -> Result<Turn, NoQuorum> {
    let until = (Instant::now() + shared.config.limits.connect_grace).min(deadline);
    let mut changes = shared.network.changes();
    loop {
        let there =
            |(_, peer): &(&PartyIndex, &PeerId)| **peer == shared.id || shared.network.is_connected(**peer);
        let (ready, absent): (Vec<_>, Vec<_>) = asked.peers.iter().partition(there);
        let ready: Vec<PartyIndex> = ready.into_iter().map(|(party, _)| *party).collect();
        let absent: Vec<PartyIndex> = absent.into_iter().map(|(party, _)| *party).collect();
        let access = asked.key.material.share.access();
        if let Some(turn) = before.attempts.next(access, &ready) {
            return Ok(turn);
        }
        // Only absent parties are worth waiting for, and only before anything failed.
        let over = timeout_at(until, changes.changed()).await.is_err();
        if over || before.last.is_some() || absent.is_empty() {
            let asked_for = |party: &PartyIndex| asked.wanted.as_ref().is_none_or(|w| w.contains(party));
            let ready = ready.into_iter().filter(asked_for).collect();
            let absent = absent.into_iter().filter(asked_for).collect();
            return Err(NoQuorum { ready, absent });
        }
    }
}

//! Coordinating a signature: one quorum after the other until one signs or none is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{Code, Figures, KeyId, OperationResult, Problem, SignedRequest, Skipped};
use quorate_intent::Signature;
use quorate_net::PeerId;
use quorate_protocol::party::PartyIndex;
use quorate_store::OperationStatus;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::conversation::{Conversation, Recall, Said};
use super::sign::{Asked, ask, run};
use super::{Attempt, Ceremony, Failure, quorum};
use crate::access;
use crate::audit;
use crate::control::{Done, Outcome, Proposal};
use crate::governance::permit::Subject;
use crate::hook::Need;
use crate::judge::{Ask, Judged};
use crate::operations::{conflict, stored_result};
use crate::pool::{Spending, work};
use crate::registry::locked;
use crate::shared::{Shared, random};
use crate::source::to_wire;

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
    let me = asked.me();
    let burned = asked.burned.iter().map(|peer| vec![me, *peer]).collect();
    let mut before = Before { without: burned, skipped: Vec::new(), last: None, busy: false };
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
        let parties = match choose(shared, &asked, &before, deadline).await {
            Ok(parties) => parties,
            Err(state) => return Err(explain(shared, &asked, &state, &before)),
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
        match try_once(shared, judged, &asked, &parties, number, deadline, &before).await? {
            Tried::Done(signatures, quorum, mut figures, receipts) => {
                figures.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
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
                before.skipped.push(Skipped { party: name, reason: detail.clone() });
                before.without.push(vec![party]);
                before.last = Some(Problem::new(Code::OperationRunning, detail));
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
                // Without a name it is this very set that did not work.
                let set = if failure.without.is_empty() { parties } else { failure.without };
                for party in set.iter().filter(|party| **party != me) {
                    let (party, reason) = (asked.name(*party), failure.problem.detail.clone());
                    tracing::info!(operation = %judged.operation, party, reason, "going on without");
                    before.skipped.push(Skipped { party, reason });
                }
                before.without.push(set);
                before.last = Some(failure.problem);
            }
        }
        if Instant::now() >= deadline {
            let detail = before.last.map_or_else(|| "time is over".to_owned(), |problem| problem.detail);
            return Err(Problem::new(Code::DeadlineExceeded, detail));
        }
    }
}

/// What the attempts before taught.
struct Before {
    /// Each of these sets does not work together.
    without: Vec<Vec<PartyIndex>>,
    skipped: Vec<Skipped>,
    last: Option<Problem>,
    /// Another coordinator works on the request: it may come to this a few times, which is no reason to spend presignatures.
    busy: bool,
}

impl Before {
    /// Whether nothing works with this party.
    fn excludes(&self, party: PartyIndex) -> bool {
        self.without.iter().any(|set| set.as_slice() == [party])
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
                && !before.excludes(**party)
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
    before: &Before,
    deadline: Instant,
) -> Result<Vec<PartyIndex>, NoQuorum> {
    let until = (Instant::now() + shared.config.limits.connect_grace).min(deadline);
    let me = asked.me();
    let mut changes = shared.network.changes();
    loop {
        let there =
            |(_, peer): &(&PartyIndex, &PeerId)| **peer == shared.id || shared.network.is_connected(**peer);
        let (ready, absent): (Vec<_>, Vec<_>) = asked.peers.iter().partition(there);
        let ready: Vec<PartyIndex> = ready.into_iter().map(|(party, _)| *party).collect();
        let absent: Vec<PartyIndex> = absent.into_iter().map(|(party, _)| *party).collect();
        let chosen = match &asked.wanted {
            None => quorum::choose(asked.key.material.share.access(), me, &ready, &before.without),
            Some(wanted) => {
                let there = wanted.iter().all(|party| ready.contains(party));
                let failed = before.without.iter().any(|set| set.iter().all(|party| wanted.contains(party)));
                (there && !failed).then(|| wanted.clone())
            }
        };
        if let Some(chosen) = chosen {
            return Ok(chosen);
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

/// Why there is no quorum, and what to do.
fn explain(shared: &Shared, asked: &Asked, state: &NoQuorum, before: &Before) -> Problem {
    let skipped = &before.skipped;
    let needed = asked.key.record.threshold;
    let ready = u16::try_from(state.ready.iter().filter(|party| !before.excludes(**party)).count())
        .unwrap_or(u16::MAX);
    let mut missing: Vec<String> = state.absent.iter().map(|party| asked.name(*party)).collect();
    let mut why: Vec<String> = skipped.iter().map(|s| format!("`{}`: {}", s.party, s.reason)).collect();
    for peer in &asked.burned {
        why.push(format!(
            "the set-up of this node with `{}` is burned after a failed check, so the two never sign together again",
            asked.name(*peer)
        ));
    }
    for party in &state.absent {
        if asked.peers.get(party).is_some_and(|peer| !shared.is_node(*peer)) {
            why.push(format!(
                "the machine of `{}` was replaced or removed, and its share with it: it needs to be repaired",
                asked.name(*party)
            ));
        }
    }
    let why = why.join("; ");
    if state.absent.is_empty() {
        // All are there, so it is not for want of nodes.
        return match &before.last {
            Some(last) => Problem::new(last.code, format!("no other quorum is left: {why}"))
                .with_culprits(last.culprits.clone())
                .with_quorum(needed, ready, missing),
            None => {
                let detail = format!(
                    "no quorum is left: {why}; once you know why, refresh the key, which sets its pairs up anew, or reshare it to others"
                );
                Problem::new(Code::KeyBurned, detail).with_quorum(needed, ready, missing)
            }
        };
    }
    let left_out: Vec<&String> =
        skipped.iter().map(|s| &s.party).filter(|party| !missing.contains(party)).collect();
    let left_out: Vec<String> = left_out.into_iter().cloned().collect();
    missing.extend(left_out);
    let access = asked.key.material.share.access();
    let missing_names = missing.join(", ");
    let mut detail = if access.as_threshold().is_some() {
        format!("{needed} nodes are needed and {ready} can take part; missing: {missing_names}")
    } else {
        let who = access::named(access, &asked.names);
        format!("`{who}` can sign, and {ready} of these nodes can take part; missing: {missing_names}")
    };
    if !why.is_empty() {
        detail.push_str("; ");
        detail.push_str(&why);
    }
    detail.push_str("; start the nodes that are not connected and ask again");
    Problem::new(Code::NotEnoughParties, detail).with_quorum(needed, ready, missing)
}

/// One quorum: with presignatures if there are some for it, and without if that came to nothing and nobody is to blame.
async fn try_once(
    shared: &Arc<Shared>,
    judged: &Judged,
    asked: &Asked,
    parties: &[PartyIndex],
    number: u32,
    deadline: Instant,
    before: &Before,
) -> Result<Tried, Problem> {
    let this = Try { judged, asked, parties, number, deadline, before };
    if !before.busy
        && let Some(spends) = shared.reserve(judged, asked, parties)?
    {
        // POOL.5
        match try_with(shared, &this, Some(spends)).await? {
            Tried::Failed(failure)
                if !failure.local
                    && failure.without.is_empty()
                    && failure.problem.code != Code::KeyMoving =>
            {
                tracing::info!(operation = %judged.operation, detail = %failure.problem.detail, "signing without presignatures");
            }
            tried => return Ok(tried),
        }
    }
    try_with(shared, &this, None).await
}

/// What one attempt is about.
struct Try<'a> {
    judged: &'a Judged,
    asked: &'a Asked,
    parties: &'a [PartyIndex],
    number: u32,
    deadline: Instant,
    before: &'a Before,
}

async fn try_with(
    shared: &Arc<Shared>,
    &Try { judged, asked, parties, number, deadline, before }: &Try<'_>,
    spends: Option<Spending>,
) -> Result<Tried, Problem> {
    let committee = asked.quorum(parties)?;
    let attempt = Attempt { ceremony: random()?, number, coordinator: shared.id };
    let work = work(asked, parties, spends.as_ref());
    let request = judged.request.encode();
    let rulings = shared.rulings_for(judged).await?;
    let source = to_wire(judged.source);
    let proposal = Proposal { ceremony: attempt.ceremony, attempt: number, request, rulings, source, work };
    let me = asked.me();
    let members: BTreeMap<PeerId, PartyIndex> = asked
        .peers
        .iter()
        .filter(|(party, _)| **party != me && parties.contains(party))
        .map(|(party, peer)| (*peer, *party))
        .collect();
    let limits = &shared.config.limits;
    let until = |now: Instant| (now + limits.attempt_deadline).min(deadline);
    let quorum: Vec<String> = parties.iter().map(|party| asked.name(*party)).collect();
    // CER.3
    let recall = Recall {
        operation: &judged.operation,
        fingerprint: judged.request.fingerprint(),
        bystanders: asked.bystanders(shared, parties, before),
        alone: !asked.quorums_intersect(),
    };
    let mut talk = Conversation::open(shared, proposal, members, Some(recall)).await;
    let now = Instant::now();
    match talk.answers(limits.answer_deadline.min(until(now).saturating_duration_since(now))).await {
        Said::All => {}
        Said::Done(party, done) => {
            talk.cancel().await;
            return Ok(take_over(asked, party, done));
        }
        Said::Another(party, request) => {
            talk.cancel().await;
            if is_another(shared, judged, request) {
                return Err(conflict(&judged.operation));
            }
            let detail = format!(
                "`{}` claims another use of the idempotency key, which does not verify",
                asked.name(party)
            );
            return Ok(Tried::Failed(Failure::of(Code::CeremonyAborted, detail, vec![party])));
        }
        Said::Refused(party, problem, burned) => {
            talk.cancel().await;
            if let (true, Some(spends)) = (talk.spent(), &spends) {
                shared.pool.missing(spends.lot());
                let detail = format!("`{}` has no part of the presignature", asked.name(party));
                return Ok(Tried::Failed(Failure::of(problem.code, detail, Vec::new())));
            }
            if problem.code == Code::OperationRunning {
                return Ok(Tried::Busy(party));
            }
            let detail = format!("`{}` refuses: {}", asked.name(party), problem.detail);
            let mut without = vec![party];
            // Somebody who is not asked is no reason: believing it would have us ask the same party for ever.
            without.extend(burned.filter(|other| *other != party && parties.contains(other)));
            without.sort_unstable();
            return Ok(Tried::Failed(Failure::of(problem.code, detail, without)));
        }
        Said::Silent(silent) => {
            talk.cancel().await;
            let names: Vec<String> = silent.iter().map(|party| asked.name(*party)).collect();
            let detail = format!("`{}` did not answer the proposal", names.join("`, `"));
            return Ok(Tried::Failed(Failure::of(Code::DeadlineExceeded, detail, silent)));
        }
    }
    // Hooks may have taken their time.
    let until = until(Instant::now());
    if !parties.contains(&me) {
        let wanted = |outcome: &Outcome| match outcome {
            Outcome::Signed { signatures, .. } => asked.accept(signatures),
            _ => None,
        };
        let begun = Instant::now();
        return Ok(match talk.first(until, wanted).await {
            Some(signatures) => {
                let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                let receipts =
                    receipts(talk.outcomes((Instant::now() + limits.answer_deadline).min(until)).await);
                Tried::Done(signatures, quorum, Figures { ms, ..Figures::default() }, receipts)
            }
            None => {
                let detail = "the quorum gave no signature: the logs of its nodes say why".to_owned();
                Tried::Failed(Failure::of(Code::CeremonyAborted, detail, Vec::new()))
            }
        });
    }
    let mut ceremony = Ceremony {
        shared,
        operation: &judged.operation,
        committee,
        me,
        names: asked.names.clone(),
        deadline: until,
        cancel: CancellationToken::clone(&shared.stop),
        skipped: before.skipped.clone(),
        figures: Figures::default(),
    };
    let spends = match spends {
        None => None,
        Some(spends) => match talk.go(me, spends.fresh()).await {
            Ok(fresh) => Some((spends, fresh)),
            Err(party) => {
                talk.cancel().await;
                let detail =
                    format!("`{}` accepted presignatures and did not say its part", asked.name(party));
                return Ok(Tried::Failed(Failure::of(Code::CeremonyAborted, detail, vec![party])));
            }
        },
    };
    let signing = async {
        match spends {
            Some((spends, fresh)) => spends.sign(&fresh, asked, judged, &attempt, &mut ceremony).await,
            None => run(asked, judged, &attempt, &mut ceremony).await,
        }
    };
    let result = tokio::select! {
        biased;
        result = signing => result,
        // Somebody who failed before it could tell the session, such as with a full disk.
        (party, problem) = talk.failure() => {
            let detail = format!("`{}` failed: {}", asked.name(party), problem.detail);
            Err(Failure::of(Code::CeremonyAborted, detail, vec![party]))
        }
    };
    match result {
        Ok(signatures) => {
            // CER.10  Every member tells of its end once it has stored the result. Answered before that, and one member lost, another
            // node could sign the same request again. Whoever is lost or slow holds nobody up for long.
            let receipts =
                receipts(talk.outcomes((Instant::now() + limits.answer_deadline).min(until)).await);
            Ok(Tried::Done(signatures, quorum, ceremony.figures, receipts))
        }
        Err(failure) => {
            talk.cancel().await;
            Ok(Tried::Failed(failure))
        }
    }
}

fn receipts(outcomes: &BTreeMap<PartyIndex, Outcome>) -> Vec<(PartyIndex, String)> {
    let receipt = |(party, outcome): (&PartyIndex, &Outcome)| match outcome {
        Outcome::Signed { receipt, .. } => receipt.clone().map(|receipt| (*party, receipt)),
        _ => None,
    };
    outcomes.iter().filter_map(receipt).collect()
}

/// CER.6: whether these bytes are another request of the same client under the same idempotency key. Signed by the client, so no node
/// can claim it of a request that was not made.
fn is_another(shared: &Shared, judged: &Judged, request: Vec<u8>) -> bool {
    let Ok(other) = SignedRequest::decode(&request) else { return false };
    let key = shared.client_key(other.client());
    other.operation_id() == judged.operation
        && other.fingerprint() != judged.request.fingerprint()
        && key.is_some_and(|key| key.verify(&other).is_ok())
}

/// CER.6: takes the result that a member has stored, if it is what was asked for.
fn take_over(asked: &Asked, party: PartyIndex, done: Done) -> Tried {
    if let Done::Signed { signatures, quorum } = done {
        let known = quorum.iter().all(|name| asked.names.values().any(|known| known == name));
        if let (true, Some(signatures)) = (known, asked.accept(&signatures)) {
            return Tried::Done(signatures, quorum, Figures::default(), Vec::new());
        }
    }
    let detail = format!("`{}` claims to have a result, which does not verify", asked.name(party));
    Tried::Failed(Failure::of(Code::CeremonyAborted, detail, vec![party]))
}

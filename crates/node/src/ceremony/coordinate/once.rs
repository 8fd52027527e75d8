//! One attempt with one quorum.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{Code, Fault, Figures, Problem, SignedRequest};
use quorate_net::PeerId;
use quorate_protocol::party::PartyIndex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Before, Tried};
use crate::ceremony::attempts::pace::{Kind, Phase};
use crate::ceremony::attempts::turn::{Scope, Turn};
use crate::ceremony::conversation::{Conversation, Recall, Said};
use crate::ceremony::protocols::{presign, sign_protocol};
use crate::ceremony::sign::{Asked, run};
use crate::ceremony::{Attempt, Ceremony, Failure};
use crate::control::{Done, Outcome, Proposal};
use crate::judge::Judged;
use crate::operations::conflict;
use crate::pool::{Spending, work};
use crate::registry::locked;
use crate::shared::{Shared, random};
use crate::source::to_wire;

/// How long this node's own session may go on when a member says that it failed: it may be about to find out why.
const OWN_JUDGEMENT: Duration = Duration::from_millis(100);

/// One quorum: with presignatures if there are some for it, and without if that came to nothing and nobody is to blame.
pub(super) async fn try_once(shared: &Arc<Shared>, this: &Try<'_>) -> Result<Tried, Problem> {
    let &Try { judged, asked, turn, before, .. } = this;
    if !before.busy
        && let Some(spends) = shared.reserve(judged, asked, &turn.parties)?
    {
        // POOL.5
        match try_with(shared, this, Some(spends)).await? {
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
    try_with(shared, this, None).await
}

/// What one attempt is about.
#[derive(Clone, Copy)]
pub(super) struct Try<'a> {
    pub(super) judged: &'a Judged,
    pub(super) asked: &'a Asked,
    pub(super) turn: &'a Turn,
    pub(super) number: u32,
    pub(super) deadline: Instant,
    pub(super) before: &'a Before,
}

impl Try<'_> {
    /// What takes about the same time.
    fn kind(&self, phase: Phase, pooled: bool) -> Kind {
        let scheme = self.asked.key.record.scheme;
        let protocol = if pooled { presign::ONLINE } else { sign_protocol(scheme) };
        let signatures = self.asked.singles().len().max(1).ilog2();
        Kind { phase, protocol, parties: self.turn.parties.len(), signatures }
    }

    /// ATT.6: after which time the attempt is given up for another quorum; `None` if it is not.
    fn patience(&self, shared: &Shared, kind: Kind) -> Option<Duration> {
        let limits = &shared.config.limits;
        let (floor, cap) = (limits.hedge_floor, limits.hedge_cap);
        self.turn.hedged.then(|| locked(&shared.pace).wait(kind, self.turn.given_up, floor, cap))
    }
}

async fn try_with(shared: &Arc<Shared>, this: &Try<'_>, spends: Option<Spending>) -> Result<Tried, Problem> {
    let &Try { judged, asked, turn, number, deadline, before } = this;
    let parties = turn.parties.as_slice();
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
    let answers = this.kind(Phase::Answers, spends.is_some());
    let patience = this.patience(shared, answers).filter(|patience| *patience < limits.answer_deadline);
    let within = patience.unwrap_or(limits.answer_deadline);
    match talk.answers(within.min(until(now).saturating_duration_since(now))).await {
        Said::All => locked(&shared.pace).took(answers, now.elapsed()),
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
            let lied = Failure::of(Code::CeremonyAborted, detail, vec![party]);
            return Ok(Tried::Failed(lied.because(Scope::Each, Fault::Cheated)));
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
            // A burned pair is both of them together.
            let fault = if without.len() > 1 { Fault::Disputed } else { Fault::Refused };
            let refused = Failure::of(problem.code, detail, without);
            return Ok(Tried::Failed(refused.because(Scope::Together, fault)));
        }
        Said::Silent(silent) => {
            talk.cancel().await;
            let names: Vec<String> = silent.iter().map(|party| asked.name(*party)).collect();
            let names = names.join("`, `");
            let (detail, scope, fault) = match patience {
                Some(patience) => (slow(&names, patience), Scope::Quorum, Fault::Slow),
                None => (format!("`{names}` did not answer the proposal"), Scope::Each, Fault::Silent),
            };
            let failure = Failure::of(Code::DeadlineExceeded, detail, silent);
            return Ok(Tried::Failed(failure.because(scope, fault)));
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
    let session = this.kind(Phase::Session, spends.is_some());
    let begun = Instant::now();
    let patience = this.patience(shared, session).filter(|patience| begun + *patience < until);
    let mut ceremony = Ceremony {
        shared,
        operation: &judged.operation,
        committee,
        me,
        names: asked.names.clone(),
        deadline: patience.map_or(until, |patience| begun + patience),
        cancel: CancellationToken::clone(&shared.stop),
        places: Vec::new(),
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
                let failure = Failure::of(Code::CeremonyAborted, detail, vec![party]);
                return Ok(Tried::Failed(failure.because(Scope::Each, Fault::Refused)));
            }
        },
    };
    let result = {
        let signing = async {
            match spends {
                Some((spends, fresh)) => spends.sign(&fresh, asked, judged, &attempt, &mut ceremony).await,
                None => run(asked, judged, &attempt, &mut ceremony).await,
            }
        };
        tokio::pin!(signing);
        tokio::select! {
            biased;
            result = &mut signing => result,
            // Somebody who failed before it could tell the session, such as with a full disk.
            (party, problem) = talk.failure() => match timeout(OWN_JUDGEMENT, &mut signing).await {
                // ATT.2  What this node saw counts more than what it is told.
                Ok(Ok(signatures)) => Ok(signatures),
                Ok(Err(own)) if own.local || !own.without.is_empty() => Err(own),
                _ => {
                    let detail = format!("`{}` failed: {}", asked.name(party), problem.detail);
                    // It may be honest, and tell of somebody else who cheated it.
                    let told = Failure::of(Code::CeremonyAborted, detail, vec![party]);
                    Err(told.because(Scope::Quorum, Fault::Failed))
                }
            },
        }
    };
    match result {
        Ok(signatures) => {
            locked(&shared.pace).took(session, begun.elapsed());
            // CER.10  Every member tells of its end once it has stored the result. Answered before that, and one member lost, another
            // node could sign the same request again. Whoever is lost or slow holds nobody up for long.
            let receipts =
                receipts(talk.outcomes((Instant::now() + limits.answer_deadline).min(until)).await);
            Ok(Tried::Done(signatures, quorum, ceremony.figures, receipts))
        }
        Err(mut failure) => {
            talk.cancel().await;
            if let (Some(patience), Fault::Silent, Scope::Quorum) = (patience, failure.fault, failure.scope) {
                let names: Vec<String> = failure.without.iter().map(|party| asked.name(*party)).collect();
                failure.problem.detail = slow(&names.join("`, `"), patience);
                failure.fault = Fault::Slow;
            }
            Ok(Tried::Failed(failure))
        }
    }
}

fn slow(names: &str, patience: Duration) -> String {
    let ms = patience.as_millis();
    format!(
        "`{names}` took longer than {ms} ms, which is more than such attempts take, and others can sign without"
    )
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
    let lied = Failure::of(Code::CeremonyAborted, detail, vec![party]);
    Tried::Failed(lied.because(Scope::Each, Fault::Cheated))
}

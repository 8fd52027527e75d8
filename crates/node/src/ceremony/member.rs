//! Taking part in what another node coordinates. Nothing is believed: the request is judged here as if a client had sent it.

use std::sync::Arc;

use quorate_api::{ActKind, Code, OperationResult, Problem, SignedRequest};
use quorate_net::PeerId;
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_store::OperationStatus;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::sign::{self, Asked};
use super::{Attempt, Ceremony, Failure, act, create, moving};
use crate::audit::Standing;
use crate::control::{Answer, Control, Done, Outcome, Proposal, Refusal, Work};
use crate::governance::permit::Subject;
use crate::hook::Need;
use crate::judge::{Ask, Judged, judge};
use crate::operations::stored_result;
use crate::pool::{self, Spending};
use crate::registry::Hold;
use crate::shared::Shared;
use crate::source::from_wire;

/// What the coordinator may still say.
pub(crate) struct Line {
    pub(crate) cancel: CancellationToken,
    pub(crate) activate: watch::Receiver<bool>,
    /// The package of the epoch to stand down for.
    pub(crate) stand_down: watch::Receiver<Option<Vec<u8>>>,
    /// What all said when they accepted to sign with presignatures.
    pub(crate) go: watch::Receiver<Option<Vec<[u8; 32]>>>,
}

/// Why this node does not take part.
struct No {
    answer: Answer,
}

impl From<Problem> for No {
    fn from(problem: Problem) -> Self {
        Self { answer: Answer::Refuse(Refusal::new(&problem, None)) }
    }
}

/// A proposal that this node agrees to.
struct Agreed {
    judged: Judged,
    attempt: Attempt,
    work: AgreedWork,
    /// Held until the part has ended.
    hold: Hold,
}

enum AgreedWork {
    Sign(Box<Signing>),
    Create(Box<create::Plan>),
    Act(Box<act::Asked>),
    Move(Box<moving::Plan>),
}

/// What is to be signed, with whom, and with which presignatures if any.
struct Signing {
    asked: Asked,
    committee: Committee,
    spends: Option<Spending>,
}

/// Handles one proposal from its arrival to the end of this node's part.
pub(crate) async fn take_part(shared: Arc<Shared>, from: PeerId, proposal: Proposal, line: Line) {
    if matches!(proposal.work, Work::Refresh { .. }) {
        return moving::schedule::take_part(&shared, from, &proposal, line).await;
    }
    if matches!(proposal.work, Work::Presign { .. }) {
        return pool::fill::take_part(&shared, from, &proposal, line).await;
    }
    let ceremony = proposal.ceremony;
    let agreed = match consider(&shared, from, &proposal).await {
        Ok(agreed) => agreed,
        Err(No { answer }) => {
            if let Answer::Refuse(refusal) = &answer {
                let problem = refusal.problem();
                let (peer, code, detail) = (shared.name_of(from), problem.code, problem.detail);
                tracing::info!(%peer, %code, %detail, "proposal refused");
            }
            act::moves::show_what_followed(&shared, from, &proposal).await;
            shared.tell(from, &Control::Answer { ceremony, answer }).await;
            return;
        }
    };
    let answer = match &agreed.work {
        AgreedWork::Sign(signing) => signing.spends.as_ref().map_or(Answer::Accept, Spending::ready),
        _ => Answer::Accept,
    };
    shared.tell(from, &Control::Answer { ceremony, answer }).await;
    let Agreed { judged, attempt, work, hold } = agreed;
    match work {
        AgreedWork::Sign(signing) => {
            take_part_in_signing(&shared, from, &judged, &attempt, *signing, line).await;
        }
        AgreedWork::Create(plan) => {
            take_part_in_creation(&shared, from, &judged, &attempt, &plan, line).await;
        }
        AgreedWork::Act(asked) => {
            let ceremony = attempt.ceremony;
            if asked.act.kind() == ActKind::Export {
                act::export::take_part(&shared, from, &judged, ceremony, &asked).await;
            } else {
                act::coordinate::take_part(&shared, from, &judged, ceremony, &asked).await;
            }
        }
        AgreedWork::Move(plan) => {
            let moved = moving::take_part(&shared, from, &judged.operation, &attempt, &plan, line).await;
            if let Err(problem) = moved {
                failed(&shared, &judged, Failure::local(problem)).await;
            }
        }
    }
    drop(hold);
}

/// CER.4: judges a proposal.
async fn consider(shared: &Arc<Shared>, from: PeerId, proposal: &Proposal) -> Result<Agreed, No> {
    if shared.draining.is_cancelled() {
        return Err(Problem::new(Code::Unavailable, "this node is shutting down").into());
    }
    // CER.8  As for a disk that takes no operation.
    shared.save_burns().await?;
    let request = SignedRequest::decode(&proposal.request).map_err(Problem::from)?;
    let judged = judge(shared, request)?.from(from_wire(proposal.source));
    let attempt = Attempt::of(proposal, from);
    if let Some(op) = shared.known_operation(&judged).await? {
        if let Some(done) = stored_result(&op)?.and_then(Done::of) {
            return Err(No { answer: Answer::Done(done) });
        }
        if op.status.is_final() {
            let problem = op.error.as_deref().and_then(|error| serde_json::from_slice::<Problem>(error).ok());
            let answered = || Problem::new(Code::OperationCancelled, "this operation was answered before");
            return Err(problem.unwrap_or_else(answered).into());
        }
    }
    shared.take_rulings(&judged, &proposal.rulings).await?;
    let mut rule = None;
    let mut signs = match (&judged.ask, &proposal.work) {
        (Ask::Sign(key, request), Work::Sign { .. } | Work::Spend { .. }) => {
            shared.pool.note();
            shared.check_key_sight(judged.request.client(), key).await?;
            let asked = sign::ask(shared, key, request, from).await;
            let mut asked = shared.decided(&judged, asked).await?;
            let hook = shared.hook.as_ref();
            if hook.is_some_and(|hook| hook.known(&judged, Need::Fresh).is_none()) {
                let (ceremony, answer) = (proposal.ceremony, Answer::Asking);
                shared.tell(from, &Control::Answer { ceremony, answer }).await;
            }
            let said = shared.consult(&judged, &asked, Need::Fresh).await;
            asked.said = shared.decided(&judged, said).await?;
            Some(asked)
        }
        _ => None,
    };
    let deciding = shared.deciding().await;
    let mut turn = shared.spender(&judged).await?;
    let work = match (&judged.ask, &proposal.work) {
        (Ask::Sign(key, _), Work::Sign { quorum, epoch } | Work::Spend { quorum, epoch, .. }) => {
            let key = key.clone();
            let other = || Problem::new(Code::Internal, "the request was not prepared");
            let asked = signs.take().ok_or_else(other)?;
            shared.same_epoch(from, &key, asked.epoch(), *epoch).await?;
            let subject = Subject::Sign(&asked);
            rule = shared.convinced_in_turn(&judged, subject, turn.as_mut()).await?.or(rule);
            let committee = asked.quorum(quorum)?;
            if !quorum.contains(&asked.me()) {
                let detail = "this node is not in the proposed quorum";
                return Err(Problem::new(Code::Unprocessable, detail).into());
            }
            burned(&asked, quorum)?;
            let spends = match &proposal.work {
                Work::Spend { presignatures, .. } => {
                    let own = shared.spend_of(from, &judged, &asked, quorum, presignatures)?;
                    Some(own.ok_or(No { answer: Answer::Spent })?)
                }
                _ => None,
            };
            AgreedWork::Sign(Box::new(Signing { asked, committee, spends }))
        }
        (Ask::Create(_) | Ask::Import(_), Work::Create { members }) => {
            let request = &match &judged.ask {
                Ask::Import(import) => import.create(),
                Ask::Create(request) => request.clone(),
                _ => return Err(Problem::new(Code::Internal, "the request creates no key").into()),
            };
            let plan = create::plan(shared, &judged, request, &attempt, members);
            let plan = shared.decided(&judged, plan).await?;
            let subject = match &judged.ask {
                Ask::Import(_) => Subject::Import(request),
                _ => Subject::Create(request),
            };
            rule = shared.convinced(&judged, subject).await?.or(rule);
            if shared.stored_key(&plan.draft.id).await?.is_some() {
                let detail = "this node has a share of an earlier attempt: send the same request again";
                return Err(Problem::new(Code::CeremonyAborted, detail).into());
            }
            AgreedWork::Create(Box::new(plan))
        }
        (Ask::Act(key, act), Work::Move { .. } | Work::Restore { .. }) => {
            let offer = offered(&proposal.work, act.kind())?;
            let asked = act::moves::judge(shared, key, act, from, offer.record, offer.carried).await;
            let asked = shared.decided(&judged, asked).await?;
            rule = shared.convinced(&judged, Subject::Act(&asked)).await?.or(rule);
            let plan = act::moves::plan(shared, &judged, &asked, &attempt, offer).await;
            AgreedWork::Move(Box::new(shared.decided(&judged, plan).await?))
        }
        (Ask::Act(key, act), Work::Act)
            if act::state::is_order(act.kind()) || act.kind() == ActKind::Export =>
        {
            shared.check_key_sight(judged.request.client(), key).await?;
            let asked = act::ask(shared, key, act, from).await;
            let asked = shared.decided(&judged, asked).await?;
            rule = shared.convinced(&judged, Subject::Act(&asked)).await?.or(rule);
            AgreedWork::Act(Box::new(asked))
        }
        _ => {
            let detail = "the proposal is for something else than the request";
            return Err(Problem::new(Code::InvalidRequest, detail).into());
        }
    };
    let Some(hold) = shared.registry.join_session(&judged.operation) else {
        let detail = "this node takes part in another attempt of the same request";
        return Err(Problem::new(Code::OperationRunning, detail).into());
    };
    let spends = match &work {
        AgreedWork::Sign(signing) => shared.spends(&judged, &signing.asked),
        AgreedWork::Create(_) | AgreedWork::Act(_) | AgreedWork::Move(_) => None,
    };
    let standing = Standing::Go(rule.clone());
    let (counted, begun) = tokio::join!(
        shared.spend(&judged.operation, spends.as_ref(), turn),
        shared.begin(&judged, &standing)
    );
    counted?;
    let begun = begun?;
    if begun.status == OperationStatus::PendingApproval {
        shared.promote(&judged, rule.as_deref()).await?;
    }
    drop(deciding);
    if begun.status != OperationStatus::Running || !matches!(judged.ask, Ask::Sign(..)) {
        shared.run_attempt(&judged.operation).await?;
    }
    Ok(Agreed { judged, attempt, work, hold })
}

/// What is proposed for a move of this kind.
fn offered(work: &Work, kind: ActKind) -> Result<moving::Offer<'_>, Problem> {
    match work {
        Work::Move { record, dealers, carried } if kind != ActKind::Restore => {
            Ok(moving::Offer { record, dealers, carried: *carried, holders: moving::Holders::new() })
        }
        Work::Restore { record, dealers, carried, holders } if kind == ActKind::Restore => {
            let holders: moving::Holders =
                holders.iter().map(|(party, peer)| (*party, PeerId::from_bytes(*peer))).collect();
            Ok(moving::Offer { record, dealers, carried: *carried, holders })
        }
        _ => Err(Problem::new(Code::InvalidRequest, "the proposal is for something else than the request")),
    }
}

/// No quorum with a pair whose set-up is burned.
fn burned(asked: &Asked, quorum: &[PartyIndex]) -> Result<(), No> {
    let Some(peer) = asked.burned.iter().find(|peer| quorum.contains(peer)) else { return Ok(()) };
    let detail = format!(
        "its set-up with `{}` is burned after a failed check: sign with a quorum that does not hold both, or refresh the key",
        asked.name(*peer)
    );
    let problem = Problem::new(Code::KeyBurned, detail);
    Err(No { answer: Answer::Refuse(Refusal::new(&problem, Some(*peer))) })
}

async fn take_part_in_signing(
    shared: &Arc<Shared>,
    from: PeerId,
    judged: &Judged,
    attempt: &Attempt,
    signing: Signing,
    line: Line,
) {
    let Signing { asked, committee, spends } = signing;
    let begun = Instant::now();
    let quorum: Vec<String> = committee.indices().map(|party| asked.name(party)).collect();
    let mut ceremony = Ceremony {
        shared,
        operation: &judged.operation,
        committee,
        me: asked.me(),
        names: asked.key.record.names(),
        deadline: begun + shared.config.limits.attempt_deadline,
        cancel: line.cancel.clone(),
        places: Vec::new(),
        skipped: Vec::new(),
        figures: quorate_api::Figures::default(),
    };
    // CER.9
    let signed = match spends {
        Some(spends) => spends.take_part(&asked, judged, attempt, &mut ceremony, line).await,
        None => sign::run(&asked, judged, attempt, &mut ceremony).await,
    };
    let mut figures = ceremony.figures;
    figures.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let stored = match signed {
        Err(failure) => Err(failure),
        Ok(signatures) => match asked.result(&signatures, quorum, Vec::new(), figures) {
            Err(problem) => Err(Failure::local(problem)),
            Ok(result) => {
                let (id, request) = (&judged.operation, judged.request.fingerprint());
                match shared.succeed(id, Some(request), Some(&asked.key.id), result, Vec::new()).await {
                    Ok((_, receipt)) => Ok((signatures, receipt)),
                    Err(problem) => Err(Failure::local(problem)),
                }
            }
        },
    };
    let outcome = match stored {
        Ok((signatures, receipt)) => Outcome::Signed {
            signatures: sign::to_wire(&signatures),
            receipt: receipt.map(|receipt| receipt.to_string()),
        },
        Err(failure) => failed(shared, judged, failure).await,
    };
    shared.tell(from, &Control::Ended { ceremony: attempt.ceremony, outcome }).await;
}

/// A member's failure is never the operation's answer: the coordinator may yet succeed with others.
async fn failed(shared: &Shared, judged: &Judged, failure: Failure) -> Outcome {
    let outcome = Outcome::Failed(Refusal::new(&failure.for_peers(), None));
    let problem = failure.problem;
    tracing::info!(operation = %judged.operation, detail = %problem.detail, "this node's part failed");
    shared.give_up(&judged.operation, &problem).await;
    outcome
}

async fn take_part_in_creation(
    shared: &Arc<Shared>,
    from: PeerId,
    judged: &Judged,
    attempt: &Attempt,
    plan: &create::Plan,
    mut line: Line,
) {
    let begun = Instant::now();
    let deadline = begun + shared.config.limits.ceremony_deadline;
    let coordinator = shared.network.watch(from);
    let led = line.cancel.child_token();
    let mut ceremony = plan.ceremony(shared, judged, deadline, led.clone());
    let ran = {
        let run = plan.run(judged, attempt, &mut ceremony);
        tokio::pin!(run);
        tokio::select! {
            biased;
            ran = &mut run => ran,
            // Restarted between two sessions, it is at the other end of the next one without knowing of it.
            () = coordinator.lost() => {
                led.cancel();
                run.await
            }
        }
    };
    let key = match ran {
        Ok(key) => key,
        Err(failure) => {
            shared.discard_pending(&plan.draft.id).await;
            let outcome = failed(shared, judged, failure).await;
            shared.tell(from, &Control::Ended { ceremony: attempt.ceremony, outcome }).await;
            return;
        }
    };
    let mut figures = ceremony.figures;
    let outcome = Outcome::Created { public_key: key.public_key.0.clone() };
    shared.tell(from, &Control::Ended { ceremony: attempt.ceremony, outcome }).await;
    let activated = tokio::select! {
        () = line.cancel.cancelled() => Some(false),
        // It is gone or has forgotten: whoever asks again shall not wait for the deadline of an attempt that nobody leads.
        () = coordinator.lost() => None,
        activated = timeout_at(deadline, line.activate.wait_for(|go| *go)) => {
            matches!(activated, Ok(Ok(_))).then_some(true)
        }
    };
    let id = &plan.draft.id;
    let result = match activated {
        Some(true) => match shared.activate(id).await {
            Ok(_) => {
                figures.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                let result = OperationResult::CreateKey { key: Box::new(key), figures };
                let stored =
                    shared.succeed(&judged.operation, None, Some(id), result, Vec::new()).await.map(|_| ());
                let outcome = Outcome::Active;
                shared.tell(from, &Control::Ended { ceremony: attempt.ceremony, outcome }).await;
                stored
            }
            Err(problem) => Err(problem),
        },
        // A shutdown cancels too, and then it is not known whether the coordinator went on: keep the share.
        Some(false) if !shared.stop.is_cancelled() => {
            shared.discard_pending(id).await;
            Err(Problem::new(Code::CeremonyAborted, "the coordinator called the creation off"))
        }
        Some(false) | None => {
            let detail = "the coordinator did not say whether the key is complete everywhere; \
                          its first use by another node makes it active here";
            Err(Problem::new(Code::DeadlineExceeded, detail))
        }
    };
    if let Err(problem) = result {
        failed(shared, judged, Failure::local(problem)).await;
    }
}

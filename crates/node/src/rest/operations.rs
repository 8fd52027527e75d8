//! Requests that start operations, and waiting for their end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use quorate_api::{
    ActKind, Code, Operation, OperationId, OperationQuery, OperationResult, OperationStatus, Problem,
    SignedRequest,
};
use tokio::time::{Instant, timeout_at};

use super::answer::{Failed, json};
use super::{Signed, Source, relay};
use crate::audit::Standing;
use crate::ceremony;
use crate::ceremony::act::state::is_order;
use crate::governance::hidden;
use crate::governance::permit::{Permission, Prepared};
use crate::hook::Need;
use crate::judge::{Ask, Judged, read};
use crate::registry::Hold;
use crate::shared::Shared;
use crate::trace::carried;

/// How long an operation that is not final may be in nobody's hands before whoever waits is told so.
const SETTLES: Duration = Duration::from_millis(500);
/// Operations that may wait or run, for each that may run.
const QUEUED_PER_SLOT: usize = 8;

/// `POST /v1/keys`
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Source(source): Source,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    start_here(&shared, request, source, "create_key").await
}

/// `POST /v1/keys/import`
pub(super) async fn import(
    State(shared): State<Arc<Shared>>,
    Source(source): Source,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    start_here(&shared, request, source, "import_key").await
}

/// `POST /v1/backup`
pub(super) async fn back_up(
    State(shared): State<Arc<Shared>>,
    Source(source): Source,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    // What cannot be is said at once.
    shared.backup_config()?;
    start_here(&shared, request, source, "back_up").await
}

/// `POST /v1/keys/{key}/sign`
pub(super) async fn sign(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
    Source(source): Source,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    sign_with(&shared, &key, request, source, "sign").await
}

/// `POST /v1/keys/{key}/sign-batch`
pub(super) async fn sign_batch(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
    Source(source): Source,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    sign_with(&shared, &key, request, source, "sign_batch").await
}

async fn sign_with(
    shared: &Arc<Shared>,
    key: &str,
    request: SignedRequest,
    source: Option<IpAddr>,
    kind: &'static str,
) -> Result<Response, Failed> {
    if let Ok(id) = key.parse()
        && !shared.holds(&id).await?
    {
        let missing = hidden(&id);
        return relay::elsewhere(shared, &request, source, missing).await;
    }
    start_here(shared, request, source, kind).await
}

/// `POST /v1/keys/{key}/{act}`
pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    Source(source): Source,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    let judged = read(request.clone())?;
    if let Some(id) = judged.ask.key()
        && !shared.can_act(id, &judged.ask).await?
    {
        return relay::elsewhere(&shared, &request, source, hidden(id)).await;
    }
    start_here(&shared, request, source, judged.ask.kind().as_str()).await
}

/// Starts the operation of a request on this node and waits for its end as long as the request says. Whoever calls this has
/// [authenticated](crate::judge::authenticate) the request just now: it is not verified a second time.
pub(super) async fn start_here(
    shared: &Arc<Shared>,
    request: SignedRequest,
    source: Option<IpAddr>,
    kind: &'static str,
) -> Result<Response, Failed> {
    let answer = match shared.check_member() {
        Ok(()) => begin_and_wait(shared, request, source).await,
        Err(problem) => Err(problem),
    };
    let result = match &answer {
        Ok(operation) => operation.status.as_str(),
        Err(problem) => problem.code.as_str(),
    };
    shared.metrics.request(kind, result);
    let operation = answer?;
    let status =
        if operation.status == OperationStatus::Succeeded { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json(status, &operation))
}

/// The operation of an authenticated request, ended well or not ended; the problem of one that failed.
async fn begin_and_wait(
    shared: &Arc<Shared>,
    request: SignedRequest,
    source: Option<IpAddr>,
) -> Result<Operation, Problem> {
    let until = Instant::now() + OperationQuery::parse(request.query())?.wait;
    let judged = shared.first_of(read(request)?.from(source)).await?;
    let id = judged.operation.clone();
    let known = shared.known_operation(&judged).await?;
    if known.as_ref().is_none_or(|op| !op.status.is_final()) {
        if shared.draining.is_cancelled() {
            let detail = "this node is shutting down: ask another one, or later";
            return Err(Problem::new(Code::Unavailable, detail));
        }
        // CER.1  What cannot be is said at once, and leaves nothing behind.
        let prepared = shared.prepare_with(&judged, shared.id, Need::Fresh).await;
        let mut prepared = shared.decided(&judged, prepared).await?;
        let now = shared.moment();
        let deciding = shared.deciding().await;
        let mut turn = shared.spender(&judged).await?;
        let permission = shared.permission_in_turn(&judged, prepared.subject(), turn.as_mut()).await?;
        let standing = match permission {
            Permission::Go(rule) => Standing::Go(rule),
            Permission::Wait(waiting) => Standing::Wait(waiting.rule),
            Permission::No(problem) => return shared.decided(&judged, Err(problem)).await,
        };
        // What waits for its turn holds a whole request: bounded, and said before anything is stored.
        let most = shared.config.limits.max_ceremonies.saturating_mul(QUEUED_PER_SLOT);
        if !shared.registry.is_active(&id) && shared.registry.len() >= most {
            return Err(Problem::new(
                Code::RateLimited,
                "this node has too many ceremonies: ask again later",
            ));
        }
        // A repetition of what runs or waits is no new operation.
        let waits = known.is_some_and(|op| op.status == quorate_store::OperationStatus::PendingApproval);
        if !waits && !shared.registry.is_active(&id) {
            shared.room_for(judged.request.client())?;
            if let Ask::Sign(_, wanted) = &judged.ask {
                shared.limiter.more(judged.request.client(), wanted.items.len().saturating_sub(1));
            }
        }
        // Stored before anybody can wait for it.
        let spends = match (&standing, &prepared) {
            (Standing::Go(_), Prepared::Sign(asked)) => shared.spends(&judged, asked),
            _ => None,
        };
        let (counted, begun) =
            tokio::join!(shared.spend(&id, spends.as_ref(), turn), shared.begin(&judged, &standing));
        drop(deciding);
        counted?;
        let begun = begun?;
        match standing {
            _ if begun.status.is_final() => {}
            Standing::Wait(_) => shared.open_case(&judged).await?,
            Standing::Go(rule) => {
                if begun.status == quorate_store::OperationStatus::PendingApproval {
                    shared.promote(&judged, rule.as_deref()).await?;
                }
                if let Prepared::Sign(asked) = &mut prepared {
                    asked.decided = Some(now);
                }
                go_on(shared, judged, prepared);
            }
        }
    }
    let operation = wait(shared, &id, until).await?;
    match (operation.status, operation.error.clone()) {
        (OperationStatus::Failed | OperationStatus::Rejected | OperationStatus::Expired, Some(problem)) => {
            Err(problem)
        }
        (OperationStatus::Cancelled, _) => {
            Err(Problem::new(Code::OperationCancelled, "the operation was cancelled").with_operation(id))
        }
        _ => Ok(operation),
    }
}

/// Begins to work for the result of one operation, unless this node does already.
pub(crate) fn go_on(shared: &Arc<Shared>, judged: Judged, prepared: Prepared) {
    if let Some(hold) = shared.registry.coordinate(&judged.operation) {
        let working = shared.limiter.work_for(judged.request.client());
        let work = coordinate(Arc::clone(shared), judged, prepared, hold);
        shared.tasks.spawn(carried(async move {
            work.await;
            drop(working);
        }));
    }
}

/// Works for the result of one operation and stores how it ended.
async fn coordinate(shared: Arc<Shared>, judged: Judged, prepared: Prepared, hold: Hold) {
    let stopped = shared.stop.clone();
    let deadline = shared.config.limits.ceremony_deadline;
    let work = async {
        let waited = tokio::time::timeout(deadline, shared.slots.acquire()).await;
        let Ok(Ok(_slot)) = waited else {
            let detail = "this node has too many ceremonies: ask again later";
            return Err(Problem::new(Code::RateLimited, detail));
        };
        match (&judged.ask, prepared) {
            (_, Prepared::Create(create)) => ceremony::create::coordinate(&shared, &judged, &create).await,
            (Ask::Import(import), Prepared::Import(_)) => {
                ceremony::create::coordinate(&shared, &judged, &import.create()).await
            }
            (Ask::Sign(key, _), Prepared::Sign(asked)) => {
                ceremony::coordinate::sign(&shared, &judged, key, *asked).await
            }
            (_, Prepared::Act(asked)) if asked.act.kind() == ActKind::Export => {
                ceremony::act::export::coordinate(&shared, &judged, *asked).await
            }
            (_, Prepared::Act(asked)) if !is_order(asked.act.kind()) => {
                ceremony::act::moves::coordinate(&shared, &judged, *asked).await
            }
            (_, Prepared::Act(asked)) => {
                ceremony::act::coordinate::coordinate(&shared, &judged, *asked).await
            }
            (_, Prepared::BackUp(_)) => shared.back_up_as_asked(&judged).await,
            (_, Prepared::Change(_)) => shared.carry_out(&judged).await,
            (_, Prepared::Sign(_) | Prepared::Import(_)) => {
                Err(Problem::new(Code::Internal, "the request was not prepared"))
            }
        }
    };
    let result = tokio::select! {
        result = work => result,
        () = stopped.cancelled() => {
            let detail = "this node was shut down while this ran: send the same request again";
            Err(Problem::new(Code::Unavailable, detail))
        }
    };
    let waited = shared.waits(&judged.operation);
    if waited && result.is_ok() {
        shared.tell_closed(&judged.operation, "succeeded").await;
        shared.close(&judged.operation, "succeeded").await.unwrap_or_default();
    }
    match result {
        Ok(_) => {
            tracing::info!(operation = %judged.operation, client = judged.request.client(), "operation succeeded")
        }
        Err(problem) => {
            tracing::warn!(
                operation = %judged.operation, client = judged.request.client(), code = %problem.code,
                detail = %problem.detail, "operation failed"
            );
            shared.give_up(&judged.operation, &problem).await;
        }
    }
    drop(hold);
}

/// `GET /v1/operations/{operation}`
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Path(operation): Path<String>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    let id = operation.parse::<OperationId>();
    let id = id.map_err(|error| Problem::new(Code::NotFound, format!("`{operation}`: {error}")))?;
    match show_here(&shared, &id, &request).await {
        Err(failed) if failed.code() == Code::NotFound => {
            relay::elsewhere(&shared, &request, None, failed.into_problem()).await
        }
        answer => answer,
    }
}

/// The operation as this node has it, after waiting for its end.
pub(super) async fn show_here(
    shared: &Shared,
    id: &OperationId,
    request: &SignedRequest,
) -> Result<Response, Failed> {
    let query = OperationQuery::parse(request.query())?;
    shared.check_sight(request.client(), id).await?;
    let until = Instant::now() + query.wait;
    let operation = match wait(shared, id, until).await {
        // Asked for at another node, and waits for people: what this node makes of it itself.
        Err(problem) if problem.code == Code::NotFound => shared.show_waiting(id).await?.ok_or(problem)?,
        answer => answer?,
    };
    Ok(json(StatusCode::OK, &operation))
}

/// Waits for as long as a task of this node works for the result, and time is not over: the record says nothing new before. Says
/// whether one did.
async fn worked_for(shared: &Shared, id: &OperationId, until: Instant) -> bool {
    let mut worked = false;
    while let Some(mut watch) = shared.registry.watch(id) {
        // After the watch: an end in between is not missed.
        if !shared.registry.is_coordinated(id) {
            break;
        }
        worked = true;
        if !matches!(timeout_at(until, watch.changed()).await, Ok(Ok(()))) {
            break;
        }
    }
    worked
}

/// The operation once nothing runs for it any more, or as it is when time is over.
async fn wait(shared: &Shared, id: &OperationId, until: Instant) -> Result<Operation, Problem> {
    let mut idle = Instant::now();
    loop {
        if worked_for(shared, id, until).await {
            idle = Instant::now();
        }
        // First the watch, then the record: an end in between is not missed.
        let watch = shared.registry.watch(id);
        let stored = shared.operation(id).await?;
        let stored =
            stored.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no operation `{id}`")))?;
        let mut operation = shared.present_operation(&stored)?;
        if operation.status == OperationStatus::Succeeded {
            operation.receipts.extend(shared.receipt(id).await?);
            operation.receipts = shared.receipts_of(id, &stored, operation.receipts).await?;
            if let Some(OperationResult::KeyState(result)) = &mut operation.result {
                // Whoever did it later counts too.
                let nodes: Vec<String> = operation.receipts.iter().map(|of| of.node.clone()).collect();
                ceremony::act::state::done_by(result, nodes.iter());
            }
        }
        if operation.status.is_final() {
            return Ok(operation);
        }
        if operation.status == OperationStatus::PendingApproval {
            if Instant::now() >= until {
                return shared.show_waiting(id).await.map(|shown| shown.unwrap_or(operation));
            }
            // People are slow.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let Some(mut watch) = watch else {
            // Between two attempts, or just before one is entered: not the end, for as long as a step may take.
            if Instant::now() >= until || idle.elapsed() >= SETTLES {
                return Ok(operation);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        if Instant::now() >= until || timeout_at(until, watch.changed()).await.is_err() {
            return Ok(operation);
        }
        idle = Instant::now();
        tokio::task::yield_now().await;
    }
}

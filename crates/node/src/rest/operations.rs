//! Requests that start operations, and waiting for their end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use quorate_api::{Code, Operation, OperationId, OperationQuery, OperationStatus, Problem, SignedRequest};
use tokio::time::{Instant, timeout_at};

use super::answer::{Failed, json};
use super::{Signed, relay};
use crate::ceremony::{self, sign::Asked};
use crate::judge::{Ask, Judged, judge};
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
    Signed(request): Signed,
) -> Result<Response, Failed> {
    start_here(&shared, request, "create_key").await
}

/// `POST /v1/keys/{key}/sign`
pub(super) async fn sign(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    if let Ok(id) = key.parse()
        && !shared.holds(&id).await?
    {
        let missing = Problem::new(Code::NotFound, format!("no connected node holds a key `{id}`"));
        return relay::elsewhere(&shared, &request, missing).await;
    }
    start_here(&shared, request, "sign").await
}

/// Starts the operation of a request on this node and waits for its end as long as the request says.
pub(super) async fn start_here(
    shared: &Arc<Shared>,
    request: SignedRequest,
    kind: &'static str,
) -> Result<Response, Failed> {
    let answer = begin_and_wait(shared, request).await;
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

/// The operation, ended well or not ended; the problem of one that failed.
async fn begin_and_wait(shared: &Arc<Shared>, request: SignedRequest) -> Result<Operation, Problem> {
    let until = Instant::now() + OperationQuery::parse(request.query())?.wait;
    let judged = judge(shared, request)?;
    let id = judged.operation.clone();
    let known = shared.known_operation(&judged).await?;
    if known.as_ref().is_none_or(|op| !op.status.is_final()) {
        if shared.draining.is_cancelled() {
            let detail = "this node is shutting down: ask another one, or later";
            return Err(Problem::new(Code::Unavailable, detail));
        }
        // CER.1  What cannot be is said at once, and leaves nothing behind.
        let asked = match &judged.ask {
            Ask::Sign(key, sign) => ceremony::sign::ask(shared, key, sign, shared.id).await.map(Some),
            Ask::Create(create) => ceremony::create::check(shared, &judged, create).map(|()| None),
        };
        let asked = shared.decided(&judged, asked).await?;
        // What waits for its turn holds a whole request: bounded, and said before anything is stored.
        let most = shared.config.limits.max_ceremonies.saturating_mul(QUEUED_PER_SLOT);
        if !shared.registry.is_active(&id) && shared.registry.len() >= most {
            return Err(Problem::new(
                Code::RateLimited,
                "this node has too many ceremonies: ask again later",
            ));
        }
        // Only one who goes on to coordinate pays for it.
        let active = shared.registry.is_active(&id);
        let working = (!active).then(|| shared.limiter.work_for(judged.request.client())).transpose()?;
        // Stored before anybody can wait for it.
        let begun = shared.begin(&judged).await?;
        if !begun.status.is_final()
            && let Some(hold) = shared.registry.coordinate(&id)
        {
            let work = coordinate(Arc::clone(shared), judged, asked, hold);
            shared.tasks.spawn(carried(async move {
                work.await;
                drop(working);
            }));
        }
    }
    let operation = wait(shared, &id, until).await?;
    match (operation.status, operation.error.clone()) {
        (OperationStatus::Failed, Some(problem)) => Err(problem),
        (OperationStatus::Cancelled, _) => {
            Err(Problem::new(Code::OperationCancelled, "the operation was cancelled").with_operation(id))
        }
        _ => Ok(operation),
    }
}

/// Works for the result of one operation and stores how it ended.
async fn coordinate(shared: Arc<Shared>, judged: Judged, asked: Option<Asked>, hold: Hold) {
    let stopped = shared.stop.clone();
    let deadline = shared.config.limits.ceremony_deadline;
    let work = async {
        let waited = tokio::time::timeout(deadline, shared.slots.acquire()).await;
        let Ok(Ok(_slot)) = waited else {
            let detail = "this node has too many ceremonies: ask again later";
            return Err(Problem::new(Code::RateLimited, detail));
        };
        match (&judged.ask, asked) {
            (Ask::Create(create), _) => ceremony::create::coordinate(&shared, &judged, create).await,
            (Ask::Sign(key, _), Some(asked)) => {
                ceremony::coordinate::sign(&shared, &judged, key, asked).await
            }
            (Ask::Sign(..), None) => Err(Problem::new(Code::Internal, "the request was not prepared")),
        }
    };
    let result = tokio::select! {
        result = work => result,
        () = stopped.cancelled() => {
            let detail = "this node was shut down while this ran: send the same request again";
            Err(Problem::new(Code::Unavailable, detail))
        }
    };
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
    match show_here(&shared, &id, request.query()).await {
        Err(failed) if failed.code() == Code::NotFound => {
            relay::elsewhere(&shared, &request, failed.into_problem()).await
        }
        answer => answer,
    }
}

/// The operation as this node has it, after waiting for its end.
pub(super) async fn show_here(
    shared: &Shared,
    id: &OperationId,
    query: Option<&str>,
) -> Result<Response, Failed> {
    let query = OperationQuery::parse(query)?;
    let operation = wait(shared, id, Instant::now() + query.wait).await?;
    Ok(json(StatusCode::OK, &operation))
}

/// The operation once nothing runs for it any more, or as it is when time is over.
async fn wait(shared: &Shared, id: &OperationId, until: Instant) -> Result<Operation, Problem> {
    let mut idle = Instant::now();
    loop {
        // First the watch, then the record: an end in between is not missed.
        let watch = shared.registry.watch(id);
        let stored = shared.operation(id).await?;
        let stored =
            stored.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no operation `{id}`")))?;
        let mut operation = shared.present_operation(&stored)?;
        if operation.status == OperationStatus::Succeeded {
            operation.receipts.extend(shared.receipt(id).await?);
        }
        if operation.status.is_final() {
            return Ok(operation);
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

//! Operations at rest: begun before anything runs, answered once, readable for ever.
//!
//! Only a success is an answer. A failure is kept as the error of a queued operation, is shown as failed, and the same request
//! starts the next attempt: what stands in the way, a peer whose clock is wrong as much as one that is not there, may be gone by
//! then. What this node refuses by itself is refused before the operation is stored.

use quorate_api::{
    Code, KeyId, NodeReceipt, Operation as ApiOperation, OperationId, OperationKind, OperationResult,
    OperationStatus as ApiStatus, Problem,
};
use quorate_store::{
    Begin, NewOperation, Operation, OperationFilter, OperationStatus, OperationUpdate, StoreError,
};

use quorate_log::receipt::Receipt;
use quorate_net::PeerId;
use serde::{Deserialize, Serialize};

use crate::audit::{self, Standing};
use crate::clock;
use crate::control::{Done, Known};
use crate::judge::{Ask, Judged};
use crate::keys::Record;
use crate::shared::{Shared, store_problem};

/// How often a lost race is tried again. Each loss means that somebody else made progress.
const RACES: u8 = 16;

impl Ask {
    pub(crate) fn kind(&self) -> OperationKind {
        match self {
            Self::Create(_) => OperationKind::CreateKey,
            Self::Import(_) => OperationKind::ImportKey,
            Self::Sign(_, wanted) if wanted.batch => OperationKind::SignBatch,
            Self::Sign(..) => OperationKind::Sign,
            Self::Act(_, act) => act.kind().operation(),
            Self::BackUp(_) => OperationKind::BackUp,
            Self::Change => OperationKind::ChangeDirectory,
        }
    }
}

pub(crate) fn conflict(operation: &OperationId) -> Problem {
    let detail = "this idempotency key was used with another request: choose a new one for a new request";
    Problem::new(Code::IdempotencyConflict, detail).with_operation(operation.clone())
}

fn raced(operation: &OperationId) -> Problem {
    Problem::new(Code::OperationRunning, "the operation changes too quickly: ask again")
        .with_operation(operation.clone())
}

impl Shared {
    /// The operation of a request, if it was begun here before.
    pub(crate) async fn known_operation(&self, judged: &Judged) -> Result<Option<Operation>, Problem> {
        let found = self.operation(&judged.operation).await?;
        match found {
            Some(op) if op.request_hash != judged.request.fingerprint() => Err(conflict(&judged.operation)),
            found => Ok(found),
        }
    }

    pub(crate) async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, Problem> {
        self.store.operation(id.as_str()).await.map_err(|error| store_problem(&error))
    }

    /// The record of the key that an operation is about, if this node holds it.
    pub(crate) async fn record_of(&self, op: &Operation) -> Result<Option<Record>, Problem> {
        let Some(key) = op.key_id.as_deref().and_then(|key| key.parse::<KeyId>().ok()) else {
            return Ok(None);
        };
        let key = self.known_key(&key).await?;
        key.map(|key| Record::from_bytes(&key.record)).transpose()
    }

    /// CER.5: what this node knows of an operation, for another party of its key that wants to begin it.
    pub(crate) async fn recall(
        &self,
        from: PeerId,
        operation: &str,
        fingerprint: &[u8; 32],
    ) -> Result<Known, Problem> {
        let Ok(id) = operation.parse::<OperationId>() else { return Ok(Known::Nothing) };
        let Some(op) = self.operation(&id).await? else { return Ok(Known::Nothing) };
        if self.record_of(&op).await?.is_none_or(|record| record.index_of(from).is_none()) {
            return Ok(Known::Nothing);
        }
        if op.request_hash != *fingerprint {
            return Ok(Known::Another(op.request));
        }
        Ok(match stored_result(&op)?.and_then(Done::of) {
            Some(done) => Known::Done(done),
            None if self.registry.in_session(&id) => Known::Running,
            None => Known::Nothing,
        })
    }

    /// Stores the operation unless it is there: waiting for people, queued, or for signing, which needs no count of its first attempt,
    /// running at once. Durable when it returns.
    pub(crate) async fn begin(&self, judged: &Judged, standing: &Standing) -> Result<Operation, Problem> {
        let status = match (standing, &judged.ask) {
            (Standing::Wait(_), _) => OperationStatus::PendingApproval,
            (
                Standing::Go(_),
                Ask::Create(_) | Ask::Import(_) | Ask::BackUp(_) | Ask::Change | Ask::Act(..),
            ) => OperationStatus::Queued,
            (Standing::Go(_), Ask::Sign(..)) => OperationStatus::Running,
        };
        let key_id = judged.ask.key().map(|key| key.as_str().to_owned());
        let operation = NewOperation {
            op_id: judged.operation.as_str().to_owned(),
            request_hash: judged.request.fingerprint(),
            request: judged.request.encode(),
            kind: judged.ask.kind().as_str().to_owned(),
            key_id,
            status,
            expires_at: judged.request.expires().saturating_mul(1000),
            source: judged.source,
        };
        // CER.14
        let entries = audit::begun(judged, standing)?;
        let log = |begun: &Begin| if matches!(begun, Begin::New(_)) { entries } else { Vec::new() };
        match self.store.begin_operation_logged(operation, clock::millis(), log).await {
            Ok(Begin::New(op) | Begin::Existing(op)) => Ok(op),
            Ok(Begin::Conflict) => Err(conflict(&judged.operation)),
            Err(error) => Err(store_problem(&error)),
        }
    }

    /// Marks the operation as running and counts an attempt, which it gives. An answered operation stays as it is.
    pub(crate) async fn run_attempt(&self, id: &OperationId) -> Result<u32, Problem> {
        for _ in 0..RACES {
            let op = self.operation(id).await?.ok_or_else(|| raced(id))?;
            if op.status.is_final() {
                return Err(raced(id));
            }
            let attempt = op.attempt.saturating_add(1);
            let update = OperationUpdate {
                attempt: Some(attempt),
                ..OperationUpdate::status(OperationStatus::Running)
            };
            match self.store.update_operation(&op.op_id, op.status, update, clock::millis()).await {
                Ok(_) => return Ok(attempt),
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(store_problem(&error)),
            }
        }
        Err(raced(id))
    }

    /// Stores and logs the result with the receipts of others, if there is none yet, and gives what is stored, with this node's
    /// receipt if it is new. Durable when it returns. Whoever knows the request says so, and spares a look at what is stored.
    pub(crate) async fn succeed(
        &self,
        id: &OperationId,
        request: Option<[u8; 32]>,
        key: Option<&KeyId>,
        result: OperationResult,
        receipts: Vec<NodeReceipt>,
    ) -> Result<(OperationResult, Option<Receipt>), Problem> {
        let stored = StoredResult { result, receipts };
        let bytes = serde_json::to_vec(&stored).map_err(|error| {
            Problem::new(Code::Internal, format!("the result cannot be written: {error}"))
        })?;
        let result = stored.result;
        // Mostly it runs.
        let mut running = request;
        for _ in 0..RACES {
            let Some(request) = running.take() else {
                let op = self.operation(id).await?.ok_or_else(|| raced(id))?;
                if let Some(stored) = stored_result(&op)? {
                    return Ok((stored, None));
                }
                match op.status {
                    OperationStatus::Running => running = Some(op.request_hash),
                    status if status.is_final() => return Err(raced(id)),
                    status => {
                        let next = OperationUpdate::status(OperationStatus::Running);
                        match self.store.update_operation(&op.op_id, status, next, clock::millis()).await {
                            Ok(_) => running = Some(op.request_hash),
                            Err(StoreError::Changed { .. }) => {}
                            Err(error) => return Err(store_problem(&error)),
                        }
                    }
                }
                continue;
            };
            let update = OperationUpdate {
                key_id: key.map(|key| key.as_str().to_owned()),
                result: Some(bytes.clone()),
                ..OperationUpdate::status(OperationStatus::Succeeded)
            };
            let entry = audit::outcome(id, key, &request, &result)?;
            let (was, now) = (OperationStatus::Running, clock::millis());
            match self.store.update_operation_logged(id.as_str(), was, update, now, entry).await {
                Ok((_, receipts)) => return Ok((result, receipts.into_iter().next())),
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(store_problem(&error)),
            }
        }
        Err(raced(id))
    }

    /// Stores why there is no result yet; the same request may be tried again.
    pub(crate) async fn give_up(&self, id: &OperationId, problem: &Problem) {
        let problem = problem.clone().with_operation(id.clone());
        let Ok(bytes) = serde_json::to_vec(&problem) else { return };
        for _ in 0..RACES {
            let op = match self.operation(id).await {
                Ok(Some(op)) if !op.status.is_final() => op,
                _ => return,
            };
            // The store knows no way from queued to queued.
            let status = match op.status {
                OperationStatus::Running => OperationStatus::Queued,
                _ => OperationStatus::Running,
            };
            let update = OperationUpdate { error: Some(bytes.clone()), ..OperationUpdate::status(status) };
            match self.store.update_operation(&op.op_id, op.status, update, clock::millis()).await {
                Ok(op) if op.status == OperationStatus::Queued => return,
                Ok(_) | Err(StoreError::Changed { .. }) => {}
                Err(error) => {
                    tracing::error!(operation = %id, %error, "the failure of an operation is not stored");
                    return;
                }
            }
        }
    }

    /// At start-up: what ran when the node stopped runs no more.
    pub(crate) async fn close_interrupted(&self) -> Result<u64, Problem> {
        let detail = "the node stopped while this ran: send the same request again";
        let problem = Problem::new(Code::Unavailable, detail);
        let mut count = 0_u64;
        for status in [OperationStatus::Running, OperationStatus::Queued] {
            let filter = OperationFilter { key_id: None, status: Some(status) };
            let mut after = None;
            loop {
                let page = self.store.list_operations(&filter, after, quorate_store::MAX_PAGE_LEN).await;
                let page = page.map_err(|error| store_problem(&error))?;
                for op in &page.items {
                    let open = op.status == OperationStatus::Running || op.error.is_none();
                    if let (true, Ok(id)) = (open, op.op_id.parse::<OperationId>()) {
                        self.give_up(&id, &problem).await;
                        count = count.saturating_add(1);
                    }
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Ok(count)
    }

    /// The operation as the API shows it.
    pub(crate) fn present_operation(&self, op: &Operation) -> Result<ApiOperation, Problem> {
        let unreadable = |what: &str| {
            Problem::new(Code::Internal, format!("operation `{}`: {what} is unreadable", op.op_id))
        };
        let id: OperationId = op.op_id.parse().map_err(|_| unreadable("its id"))?;
        let kind = OperationKind::parse(&op.kind).ok_or_else(|| unreadable("its kind"))?;
        let error: Option<Problem> = match &op.error {
            Some(bytes) => Some(serde_json::from_slice(bytes).map_err(|_| unreadable("its error"))?),
            None => None,
        };
        let (result, receipts) = match stored(op)? {
            Some(stored) => (Some(stored.result), stored.receipts),
            None => (None, Vec::new()),
        };
        let active = self.registry.is_active(&id);
        let status = match op.status {
            OperationStatus::Queued if error.is_some() && !active => ApiStatus::Failed,
            status => ApiStatus::parse(status.as_str()).ok_or_else(|| unreadable("its status"))?,
        };
        let key = match &op.key_id {
            Some(key) => Some(key.parse().map_err(|_| unreadable("its key"))?),
            None => None,
        };
        Ok(ApiOperation {
            key,
            kind,
            status,
            created_at: op.created_at,
            updated_at: op.updated_at,
            result,
            receipts,
            error: error
                .filter(|_| matches!(status, ApiStatus::Failed | ApiStatus::Rejected | ApiStatus::Expired)),
            progress: if status == ApiStatus::Running { self.registry.progress(&id) } else { None },
            approvals: None,
            source: op.source,
            id,
        })
    }
}

/// The result of a succeeded operation.
pub(crate) fn stored_result(op: &Operation) -> Result<Option<OperationResult>, Problem> {
    Ok(stored(op)?.map(|stored| stored.result))
}

/// A result as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct StoredResult {
    result: OperationResult,
    /// That the other nodes of the quorum logged it.
    receipts: Vec<NodeReceipt>,
}

fn stored(op: &Operation) -> Result<Option<StoredResult>, Problem> {
    match (&op.result, op.status) {
        (Some(bytes), OperationStatus::Succeeded) => serde_json::from_slice(bytes).map(Some).map_err(|_| {
            Problem::new(Code::Internal, format!("operation `{}`: its result is unreadable", op.op_id))
        }),
        _ => Ok(None),
    }
}

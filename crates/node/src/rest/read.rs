//! Reads: keys, operations, nodes, and what watches the node.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use quorate_api::webhook::WebhookKeys;
use quorate_api::{
    Code, KeyId, ListQuery, NodeStatus, OperationQuery, Page, PeerStatus, Problem, Readiness, SignedRequest,
    Version,
};
use quorate_store::{Cursor, KeyStatus, OperationFilter};

use super::answer::{Failed, json};
use super::{Signed, relay};
use crate::governance::hidden;
use crate::keys::Record;
use crate::shared::{Shared, store_problem};

fn cursor(query: &ListQuery) -> Result<Option<Cursor>, Problem> {
    let parse = |text: &String| {
        text.parse::<Cursor>()
            .map_err(|_| Problem::new(Code::InvalidRequest, "`after` must be the `next` of a page before"))
    };
    query.after.as_ref().map(parse).transpose()
}

/// `GET /v1/keys`
pub(super) async fn keys(
    State(shared): State<Arc<Shared>>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    let query = ListQuery::parse(request.query())?;
    let after = cursor(&query)?;
    let page =
        shared.store.list_keys(after, query.limit.into()).await.map_err(|error| store_problem(&error))?;
    let mut items = Vec::with_capacity(page.items.len());
    for key in &page.items {
        let tenant = Record::from_bytes(&key.record)?.tenant;
        if shared.may_see(request.client(), tenant.as_ref()) {
            items.extend(shared.present_key(key)?);
        }
    }
    Ok(json(StatusCode::OK, &Page { items, next: page.next.map(|next| next.to_string()) }))
}

/// `GET /v1/keys/{key}`
pub(super) async fn key(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    let id: KeyId = key.parse().map_err(|error| Problem::new(Code::NotFound, format!("`{key}`: {error}")))?;
    match show_key(&shared, &id, &request).await {
        Err(failed) if failed.code() == Code::NotFound => {
            relay::elsewhere(&shared, &request, None, failed.into_problem()).await
        }
        answer => answer,
    }
}

/// A key as this node has it.
pub(super) async fn show_key(
    shared: &Shared,
    id: &KeyId,
    request: &SignedRequest,
) -> Result<Response, Failed> {
    no_query(request.query())?;
    let missing = || hidden(id);
    let stored = shared.stored_key(id).await?.ok_or_else(missing)?;
    let tenant = Record::from_bytes(&stored.record)?.tenant;
    if !shared.may_see(request.client(), tenant.as_ref()) {
        return Err(missing().into());
    }
    let shown = shared.present_key(&stored)?.ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &shown))
}

/// `GET /v1/operations`
pub(super) async fn operations(
    State(shared): State<Arc<Shared>>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    let query = ListQuery::parse(request.query())?;
    let after = cursor(&query)?;
    let filter = OperationFilter::default();
    let page = shared.store.list_operations(&filter, after, query.limit.into()).await;
    let page = page.map_err(|error| store_problem(&error))?;
    let mut items = Vec::with_capacity(page.items.len());
    if query.after.is_none() {
        items.extend(shared.waiting_elsewhere(request.client()).await?);
    }
    for op in &page.items {
        if shared.may_see_request(request.client(), &op.request) {
            items.push(shared.present_operation(op)?);
        }
    }
    Ok(json(StatusCode::OK, &Page { items, next: page.next.map(|next| next.to_string()) }))
}

/// `GET /v1/nodes`
pub(super) async fn nodes(
    State(shared): State<Arc<Shared>>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    no_query(request.query())?;
    let peers = shared.network.peer_states();
    let peers = peers
        .into_iter()
        .map(|peer| PeerStatus {
            connected: peer.is_connected(),
            identity: peer.id.to_string(),
            rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            name: peer.name,
        })
        .collect();
    let status = NodeStatus {
        name: shared.config.name.clone(),
        identity: shared.id.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        peers,
        keys: active_keys(&shared).await?,
        presignatures: shared.pool.own(),
    };
    Ok(json(StatusCode::OK, &status))
}

/// `GET /v1/sealing-keys`
pub(super) async fn sealing_keys(
    State(shared): State<Arc<Shared>>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    no_query(request.query())?;
    Ok(json(StatusCode::OK, &shared.sealing_keys().await))
}

/// `GET /v1/restored`
pub(super) async fn restored(
    State(shared): State<Arc<Shared>>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    let query = ListQuery::parse(request.query())?;
    let all =
        shared.shown_restored(|record| shared.may_see(request.client(), record.tenant.as_ref())).await?;
    let after = query.after.unwrap_or_default();
    let mut items: Vec<_> = all.into_iter().filter(|item| item.key.id.as_str() > after.as_str()).collect();
    let more = items.len() > usize::from(query.limit);
    items.truncate(query.limit.into());
    let next = items.last().filter(|_| more).map(|last| last.key.id.to_string());
    Ok(json(StatusCode::OK, &Page { items, next }))
}

async fn active_keys(shared: &Shared) -> Result<u64, Problem> {
    let (mut count, mut after) = (0_u64, None);
    loop {
        let page = shared.store.list_keys(after, quorate_store::MAX_PAGE_LEN).await;
        let page = page.map_err(|error| store_problem(&error))?;
        let active = page.items.iter().filter(|key| key.status == KeyStatus::Active).count();
        count = count.saturating_add(u64::try_from(active).unwrap_or(u64::MAX));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(count),
        }
    }
}

pub(super) fn no_query(query: Option<&str>) -> Result<(), Problem> {
    match query {
        None => Ok(()),
        // `wait` makes no sense here, and nothing else is known.
        Some(query) => OperationQuery::parse(Some(query))
            .and_then(|_| Err(Problem::new(Code::InvalidRequest, "this path takes no query parameters"))),
    }
}

/// `GET /healthz`
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`
pub(super) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let mut reasons = Vec::new();
    if shared.draining.is_cancelled() {
        reasons.push("the node is shutting down".to_owned());
    }
    if let Err(error) = shared.store.meta().await {
        reasons.push(format!("the store does not answer: {error}"));
    }
    reasons.extend(shared.no_member().map(str::to_owned));
    let unsaved = shared.burns.unsaved();
    if unsaved > 0 {
        reasons.push(format!(
            "{unsaved} burn marks are not on disk: free space, and do not restart this node before"
        ));
    }
    let peers = shared.network.peer_states();
    let connected = peers.iter().filter(|peer| peer.is_connected()).count();
    if connected == 0 && !peers.is_empty() {
        let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
        reasons.push(format!("none of {} peers is connected: {}", peers.len(), names.join(", ")));
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Readiness { ready, reasons })
}

/// `GET /metrics`
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let text = shared.measured().await;
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// `GET /version`
pub(super) async fn version() -> Response {
    let version = Version {
        name: "quorate".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: vec!["v1".to_owned()],
    };
    json(StatusCode::OK, &version)
}

/// `GET /.well-known/quorate-webhook-keys`
pub(super) async fn webhook_keys(State(shared): State<Arc<Shared>>) -> Response {
    let keys = WebhookKeys {
        node: shared.config.name.clone(),
        identity: shared.id.to_string(),
        keys: vec![shared.webhook.public_key()],
    };
    json(StatusCode::OK, &keys)
}

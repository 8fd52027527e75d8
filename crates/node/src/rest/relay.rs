//! Requests about what this node does not hold: passed on to a peer that does, which judges them as if the client had asked it,
//! and its answer handed back. So every node can be asked for every key, whoever holds the shares.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use quorate_api::{ActKind, Code, Method, OperationQuery, Problem, SignedRequest};
use quorate_net::PeerId;
use tokio::time::timeout;

use super::answer::{Failed, json};
use super::{operations, read};
use crate::control::Control;
use crate::hook::MAX_TIMEOUT;
use crate::judge::authenticate;
use crate::shared::Shared;
use crate::source::to_wire;

/// Longest answer that is passed on.
const MAX_ANSWER: usize = SignedRequest::MAX_ENCODED;

/// Asks the connected peers, one after the other, until one knows what this node does not; `missing` if none does.
pub(super) async fn elsewhere(
    shared: &Shared,
    request: &SignedRequest,
    source: Option<IpAddr>,
    missing: Problem,
) -> Result<Response, Failed> {
    match ask_all(shared, request, source).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(missing.into()),
        Err(problem) => Err(problem.into()),
    }
}

async fn ask_all(
    shared: &Shared,
    request: &SignedRequest,
    source: Option<IpAddr>,
) -> Result<Option<Response>, Problem> {
    let wait = OperationQuery::parse(request.query())?.wait;
    let mut within = wait.saturating_add(shared.config.limits.answer_deadline);
    if request.method() == Method::Post {
        // It may ask its pre-sign hook.
        within = within.saturating_add(MAX_TIMEOUT);
    }
    for peer in shared.network.connected() {
        if let Some((status, body)) = ask(shared, peer, request, source, within).await?
            && status != StatusCode::NOT_FOUND
        {
            let answer = if status.is_client_error() || status.is_server_error() {
                // Said again by this node, under the name that this node gives the request.
                let Ok(problem) = serde_json::from_slice::<Problem>(&body) else { continue };
                Failed::from(problem).into_response()
            } else {
                let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
                (status, headers, Body::from(body)).into_response()
            };
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// What one peer answers; `None` if it does not.
async fn ask(
    shared: &Shared,
    peer: PeerId,
    request: &SignedRequest,
    source: Option<IpAddr>,
    within: Duration,
) -> Result<Option<(StatusCode, Vec<u8>)>, Problem> {
    let mut question = shared.relayed.ask(peer)?;
    let ticket = question.ticket;
    let lost = shared.network.watch(peer);
    shared.tell(peer, &Control::Relay { ticket, request: request.encode(), source: to_wire(source) }).await;
    tokio::select! {
        answered = timeout(within, &mut question.answered) => {
            let Ok(Ok((status, body))) = answered else { return Ok(None) };
            Ok(StatusCode::from_u16(status).ok().map(|status| (status, body)))
        }
        () = lost.lost() => Ok(None),
    }
}

/// Answers what a peer passed on. What this node does not hold either is not passed on again.
pub(crate) async fn answer(shared: &Arc<Shared>, request: &[u8], source: Option<IpAddr>) -> (u16, Vec<u8>) {
    let response = match judged(shared, request, source).await {
        Ok(response) => response,
        Err(failed) => failed.into_response(),
    };
    let (parts, body) = response.into_parts();
    match to_bytes(body, MAX_ANSWER).await {
        Ok(bytes) => (parts.status.as_u16(), bytes.to_vec()),
        Err(_) => {
            let detail = format!("the answer is too long to be passed on: ask `{}`", shared.config.name);
            let problem = Problem::new(Code::Internal, detail);
            (problem.status(), serde_json::to_vec(&problem).unwrap_or_default())
        }
    }
}

fn unknown(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::NotFound, error.to_string())
}

async fn judged(shared: &Arc<Shared>, request: &[u8], source: Option<IpAddr>) -> Result<Response, Failed> {
    let request = SignedRequest::decode(request).map_err(Problem::from)?;
    authenticate(shared, &request)?;
    let path: Vec<&str> = request.path().split('/').collect();
    match (request.method(), path.as_slice()) {
        (Method::Post, ["", "v1", "keys", _, kind @ ("sign" | "sign-batch")]) => {
            let kind = if *kind == "sign" { "sign" } else { "sign_batch" };
            operations::start_here(shared, request, source, kind).await
        }
        (Method::Post, ["", "v1", "keys", _, act]) if ActKind::parse(act).is_some() => {
            let judged = crate::judge::read(request.clone())?;
            let held = match judged.ask.key() {
                Some(id) => shared.can_act(id, &judged.ask).await?,
                None => false,
            };
            if !held {
                return Err(unknown("this node holds no such key").into());
            }
            operations::start_here(shared, request, source, judged.ask.kind().as_str()).await
        }
        (Method::Post, ["", "v1", "keys", key, "derive"]) => {
            super::derive::derive_here(shared, &key.parse().map_err(unknown)?, &request).await
        }
        (Method::Post, ["", "v1", "operations", operation, "approve" | "reject" | "withdraw"]) => {
            let ruled = shared.rule(&operation.parse().map_err(unknown)?, &request).await?;
            let ruled = ruled.ok_or_else(|| unknown("nothing waits here under this name"))?;
            Ok(json(StatusCode::OK, &ruled))
        }
        (Method::Get, ["", "v1", "keys", key]) => {
            read::show_key(shared, &key.parse().map_err(unknown)?, &request).await
        }
        (Method::Get, ["", "v1", "operations", operation]) => {
            operations::show_here(shared, &operation.parse().map_err(unknown)?, &request).await
        }
        _ => Err(unknown("this is not passed on").into()),
    }
}

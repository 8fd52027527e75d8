//! What every request passes: its id, its span, and the bucket of its address if its path needs no signature.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use quorate_api::{HEADER_REQUEST_ID, is_request_id};
use tracing::Instrument as _;

use super::answer::Failed;
use crate::shared::Shared;
use crate::trace::{self, HEADER_TRACE, Parent};

/// Whose connection a request came over.
#[derive(Clone, Copy, Debug)]
pub(super) struct From(pub(super) IpAddr);

impl From {
    /// The address of a request; all that have none are one stranger.
    pub(super) fn of(extensions: &Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.0)
    }
}

/// Whether whoever watches over the process asks for it. A flood of others must not make that fail.
fn is_probe(path: &str) -> bool {
    path == "/healthz"
}

pub(super) async fn pass(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(HEADER_REQUEST_ID).and_then(|id| id.to_str().ok());
    let id: Arc<str> = match given.filter(|id| is_request_id(id)) {
        Some(id) => id.into(),
        None => trace::fresh(),
    };
    let path = request.uri().path();
    let span = tracing::info_span!("request", request_id = %id, method = %request.method(), path);
    let parent = request.headers().get(HEADER_TRACE).and_then(|parent| parent.to_str().ok());
    if let Some(parent) = parent.and_then(Parent::parse) {
        parent.adopt(&span);
    }
    let unsigned = !path.starts_with("/v1/") && !is_probe(path);
    let address = From::of(request.extensions());
    let header = HeaderValue::from_str(&id);
    let answer = async move {
        if unsigned && let Err(problem) = shared.limiter.stranger(address) {
            shared.metrics.limited("address");
            return Failed::from(problem).into_response();
        }
        next.run(request).await
    };
    let mut response = trace::within(id, answer.instrument(span)).await;
    if let Ok(id) = header {
        response.headers_mut().insert(HeaderName::from_static(HEADER_REQUEST_ID), id);
    }
    response
}

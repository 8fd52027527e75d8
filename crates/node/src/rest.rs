//! The REST interface: one accept loop with bounds, one judge for every signed request, one way to answer a problem.

mod answer;
mod derive;
mod events;
mod governance;
mod guard;
mod log;
pub(crate) mod operations;
mod patient;
mod read;
pub(crate) mod relay;
mod serve;
mod tls;

pub(crate) use serve::serve;
pub(crate) use tls::Tls;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::routing::{get, post};
use quorate_api::{ActKind, Code, HEADER_CLIENT, Problem, SignedRequest, VerifyError, check_client};
use tokio::time::timeout;

use crate::judge::authenticate;
use crate::shared::Shared;
use answer::Failed;

/// The routes; what is not here is 404 or 405.
fn router(shared: Arc<Shared>) -> Router {
    let acts = ActKind::ALL.iter().fold(Router::new(), |router, kind| {
        router.route(&format!("/v1/keys/{{key}}/{}", kind.as_str()), post(operations::act))
    });
    acts.route("/v1/keys", post(operations::create).get(read::keys))
        .route("/v1/keys/import", post(operations::import))
        .route("/v1/backup", post(operations::back_up))
        .route("/v1/restored", get(read::restored))
        .route("/v1/sealing-keys", get(read::sealing_keys))
        .route("/v1/keys/{key}", get(read::key))
        .route("/v1/keys/{key}/sign", post(operations::sign))
        .route("/v1/keys/{key}/sign-batch", post(operations::sign_batch))
        .route("/v1/keys/{key}/derive", post(derive::derive))
        .route("/v1/operations", get(read::operations))
        .route("/v1/operations/{operation}", get(operations::show))
        .route("/v1/operations/{operation}/approve", post(governance::rule))
        .route("/v1/operations/{operation}/reject", post(governance::rule))
        .route("/v1/operations/{operation}/withdraw", post(governance::rule))
        .route("/v1/directory", get(governance::directory))
        .route("/v1/directory/changes", post(governance::change))
        .route("/v1/freezes", post(governance::freeze))
        .route("/v1/nodes", get(read::nodes))
        .route("/v1/events", get(events::stream))
        .route("/v1/log/checkpoint", get(log::checkpoint))
        .route("/v1/log/cosigned", get(log::cosigned))
        .route("/v1/log/tile/{*path}", get(log::tile))
        .route("/healthz", get(read::healthz))
        .route("/readyz", get(read::readyz))
        .route("/metrics", get(read::metrics))
        .route("/version", get(read::version))
        .route(quorate_api::webhook::KEYS_PATH, get(read::webhook_keys))
        .fallback(|| async { Failed::from(Problem::new(Code::NotFound, "there is no such path")) })
        .method_not_allowed_fallback(|| async {
            Failed::from(Problem::new(Code::MethodNotAllowed, "the path exists, this method of it does not"))
        })
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), guard::pass))
        .with_state(shared)
}

/// The address that a request came from, as far as it is known.
pub(crate) struct Source(pub(crate) Option<IpAddr>);

impl FromRequestParts<Arc<Shared>> for Source {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<guard::From>().map(|from| from.0);
        Ok(Self(peer.and_then(|peer| shared.proxies.client(peer, &parts.headers))))
    }
}

/// A request whose client, signature and expiry were checked, with its exact bytes.
pub(crate) struct Signed(pub(crate) SignedRequest);

impl FromRequest<Arc<Shared>> for Signed {
    type Rejection = Failed;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Failed> {
        let (parts, body) = request.into_parts();
        let address = guard::From::of(&parts.extensions);
        // Who proves nothing pays from its address.
        let refused = |problem: Problem| {
            let limited = shared.limiter.stranger(address);
            limited.as_ref().is_err().then(|| shared.metrics.limited("address"));
            Failed::from(limited.err().unwrap_or(problem))
        };
        // A stranger's body is not even read.
        let named = parts.headers.get(HEADER_CLIENT).and_then(|name| name.to_str().ok());
        if named.is_some_and(|name| check_client(name).is_ok() && shared.client_key(name).is_none()) {
            return Err(refused(VerifyError::UnknownClient.into()));
        }
        let limits = &shared.config.limits;
        let too_large = || {
            let detail = format!("the body is longer than {} bytes: make it smaller", limits.max_body);
            Problem::new(Code::TooLarge, detail)
        };
        let Ok(read) = timeout(limits.http_read, axum::body::to_bytes(body, limits.max_body)).await else {
            return Err(refused(Problem::new(Code::InvalidRequest, "the body did not arrive in time")));
        };
        let body = read.map_err(|_| refused(too_large()))?;
        let request =
            SignedRequest::from_http_parts(&parts.method, &parts.uri, &parts.headers, body.to_vec())
                .map_err(|error| refused(error.into()))?;
        tls::bound(&parts.extensions, &request).map_err(refused)?;
        authenticate(shared, &request).map_err(refused)?;
        shared.limiter.client(request.client()).inspect_err(|_| shared.metrics.limited("client"))?;
        Ok(Self(request))
    }
}

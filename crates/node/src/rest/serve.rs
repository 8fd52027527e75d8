//! The accept loop: bounded connections, bounded waiting for a TLS handshake, for a request's head and for whoever does not
//! take its answer, graceful end.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use super::guard::From;
use super::patient::Patient;
use super::tls::{Opened, Presented};
use crate::shared::Shared;

/// How long a connection may still write once the node stops.
const FAREWELL: Duration = Duration::from_millis(250);
/// Pause after a failed accept, such as with no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Most header fields of a request.
const MAX_HEADERS: usize = 64;
/// Most bytes of a request's head; a path alone may have 2 KiB.
const MAX_HEAD: usize = 16 * 1024;

/// Serves clients until the node drains; connections in use end with their request.
pub(crate) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let router = super::router(Arc::clone(&shared));
    let places = Arc::new(Semaphore::new(shared.config.limits.max_connections));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = shared.draining.cancelled() => return,
        };
        let Ok(place) = place else { return };
        match accepted {
            Ok((stream, address)) => {
                let (router, shared) = (router.clone(), Arc::clone(&shared));
                let from = From(address.ip());
                let tasks = shared.tasks.clone();
                tasks.spawn(async move {
                    connection(&shared, stream, from, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(shared: &Shared, stream: TcpStream, from: From, router: axum::Router) {
    // Answers are small and awaited: do not hold them back.
    stream.set_nodelay(true).unwrap_or_default();
    let Some(tls) = &shared.tls else {
        let stream = Patient::new(stream, shared.config.limits.http_write);
        return exchange(shared, stream, from, Presented::default(), router).await;
    };
    let opening = tls.open(stream, &shared.config.limits);
    let opened = tokio::select! {
        opened = opening => opened,
        () = shared.draining.cancelled() => return,
    };
    match opened {
        Ok(Opened { stream, presented }) => exchange(shared, *stream, from, presented, router).await,
        Err(error) => {
            shared.metrics.handshake_failed();
            tracing::debug!(%error, "no tls with a client");
        }
    }
}

async fn exchange<S>(shared: &Shared, stream: S, from: From, presented: Presented, router: axum::Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.limits.http_read)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    let router = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(from);
        request.extensions_mut().insert(presented.clone());
        request
    });
    let serving = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shared.draining.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving => ended,
                // What is being written, such as the last event of a stream, gets a moment.
                () = async { shared.stop.cancelled().await; tokio::time::sleep(FAREWELL).await } => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "client connection ended");
    }
}

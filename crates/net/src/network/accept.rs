//! Takes inbound connections; until one has proved an identity it may cost little and live shortly.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsStream};
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, ConnectionError};
use crate::link::{Link, Origin, locked};
use crate::network::{Shared, log_end};
use crate::tls::proved_identity;

/// Pause after the system refuses to accept, which is when it is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a refused client may take to read why.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: u64 = 64 << 10;

/// Inbound connections without an identity yet, oldest first. One too many closes the oldest: an
/// honest handshake takes milliseconds, so whoever holds connections open loses them first.
#[derive(Debug, Default)]
struct Newcomers(Mutex<VecDeque<(u64, CancellationToken)>>);

impl Newcomers {
    fn enter(&self, number: u64, max: usize) -> CancellationToken {
        let evicted = CancellationToken::new();
        let mut all = locked(&self.0);
        all.push_back((number, evicted.clone()));
        while all.len() > max.max(1) {
            if let Some((_, oldest)) = all.pop_front() {
                oldest.cancel();
            }
        }
        evicted
    }

    fn leave(&self, number: u64) {
        locked(&self.0).retain(|(other, _)| *other != number);
    }
}

pub(crate) async fn keep_accepting(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let stop = shared.around.stop.clone();
    let newcomers = Arc::new(Newcomers::default());
    let mut number = 0_u64;
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (tcp, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        number = number.wrapping_add(1);
        let evicted = newcomers.enter(number, shared.around.limits.max_unauthenticated);
        let task =
            serve(tcp, from, number, evicted, acceptor.clone(), Arc::clone(&newcomers), Arc::clone(&shared));
        shared.tasks.spawn(task);
    }
    // Also when the last handle was dropped without a shutdown.
    shared.close_inboxes();
}

async fn serve(
    tcp: TcpStream,
    from: SocketAddr,
    number: u64,
    evicted: CancellationToken,
    acceptor: TlsAcceptor,
    newcomers: Arc<Newcomers>,
    shared: Arc<Shared>,
) {
    let limit = shared.around.limits.handshake_timeout;
    let handshake = tokio::select! {
        handshake = timeout(limit, handshake(tcp, acceptor, &shared)) => {
            handshake.unwrap_or(Err(ConnectionError::SlowHandshake(limit)))
        }
        () = evicted.cancelled() => Err(ConnectionError::Evicted),
        () = shared.around.stop.cancelled() => return newcomers.leave(number),
    };
    newcomers.leave(number);
    let (stream, link) = match handshake {
        Ok(proved) => proved,
        Err(error) => {
            shared.refused.add(1);
            tracing::warn!(%from, %error, "inbound connection refused");
            return;
        }
    };
    let (outdone, removed) = (link.start_greeting(), link.removed());
    let greeting = Connection::greet(stream, Origin::Peer, Arc::clone(&link), &shared.around);
    let greeted = tokio::select! {
        greeted = timeout(limit, greeting) => greeted.unwrap_or(Err(ConnectionError::SlowHandshake(limit))),
        () = outdone.cancelled() => Err(ConnectionError::Duplicate),
        () = removed.cancelled() => Err(ConnectionError::Removed),
        () = shared.around.stop.cancelled() => return,
    };
    let ended = match greeted {
        Ok(connection) => connection.carry(&shared.around).await,
        Err(error) => Err(error),
    };
    log_end(&link, ended);
}

/// TLS, up to the proved identity of a configured peer.
async fn handshake(
    tcp: TcpStream,
    acceptor: TlsAcceptor,
    shared: &Shared,
) -> Result<(TlsStream<TcpStream>, Arc<Link>), ConnectionError> {
    tcp.set_nodelay(true)?;
    let stream = match acceptor.accept(tcp).into_fallible().await {
        Ok(stream) => stream,
        Err((error, tcp)) => {
            let _best_effort = timeout(LINGER, linger(tcp)).await;
            return Err(error.into());
        }
    };
    let id = proved_identity(stream.get_ref().1).ok_or(ConnectionError::NoIdentity)?;
    // Removed since the handshake looked.
    let link = shared.link(id).ok_or(ConnectionError::Removed)?;
    Ok((TlsStream::from(stream), link))
}

/// Closing with unread bytes resets the connection and may destroy the alert that says why.
async fn linger(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    tokio::io::copy(&mut tcp.take(LINGER_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

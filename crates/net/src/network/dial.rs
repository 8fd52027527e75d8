//! Keeps dialling one peer whenever there is no connection with it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsConnector, TlsStream};
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::connection::{Connection, ConnectionError, Surroundings};
use crate::link::{Link, Origin};
use crate::network::log_end;

/// A connection that lived this long was a good one: the next pause is short again.
const GOOD_LIFETIME: Duration = Duration::from_secs(1);

/// Pauses between dials: doubling, capped, each between half and the whole of its length.
#[derive(Debug)]
struct Backoff {
    start: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    const fn new(limits: &Limits) -> Self {
        Self { start: limits.backoff_start, cap: limits.backoff_cap, next: limits.backoff_start }
    }

    const fn reset(&mut self) {
        self.next = self.start;
    }

    fn pause(&mut self) -> Duration {
        let half = self.next / 2;
        self.next = self.next.saturating_mul(2).min(self.cap);
        // Without system randomness the pause is only less random.
        let random = u32::try_from(getrandom::u64().unwrap_or(0) % 1024).unwrap_or(0);
        half + half * random / 1024
    }
}

/// Dials for as long as the peer is one; while it has no address, it is waited for.
pub(crate) async fn keep_dialling(
    link: Arc<Link>,
    removed: CancellationToken,
    config: Arc<ClientConfig>,
    around: Surroundings,
) {
    let _ended_by_itself = removed.run_until_cancelled(keep_connected(link, config, around)).await;
}

async fn keep_connected(link: Arc<Link>, config: Arc<ClientConfig>, around: Surroundings) {
    let mut addresses = link.address.subscribe();
    let mut backoff = Backoff::new(&around.limits);
    // The other side dials first, so that two nodes that start together rarely cross.
    let mut pause = if link.we_decide { Duration::ZERO } else { backoff.pause() };
    loop {
        let dialled = around.stop.run_until_cancelled(async {
            // The sender lives in the link, so waiting cannot fail.
            drop(addresses.wait_for(|address| !address.is_empty()).await);
            addresses.mark_unchanged();
            tokio::select! {
                () = sleep(pause) => {}
                () = link.wait_until(true) => {}
                // A new address is tried at once.
                _ = addresses.changed() => {}
            }
            link.wait_until(false).await;
            dial(&link, Arc::clone(&config), &around).await
        });
        let Some(dialled) = dialled.await else { return };
        // Told to stop, a connection first writes what is queued: it looks at the stop itself.
        match dialled {
            Ok(connection) => log_end(&link, connection.carry(&around).await),
            Err(error) => log_end(&link, Err(error)),
        }
        if link.take_lifetime().is_some_and(|lifetime| lifetime >= GOOD_LIFETIME) {
            backoff.reset();
        }
        pause = backoff.pause();
    }
}

async fn dial(
    link: &Arc<Link>,
    config: Arc<ClientConfig>,
    around: &Surroundings,
) -> Result<Connection<TlsStream<TcpStream>>, ConnectionError> {
    let limit = around.limits.handshake_timeout;
    let attempt = async {
        let address = link.address.borrow().clone();
        let tcp =
            TcpStream::connect(address.as_str()).await.map_err(|error| cannot_reach(&address, &error))?;
        tcp.set_nodelay(true)?;
        // Never sent and never looked at: the key alone says who this is.
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let stream = TlsConnector::from(config).connect(name, tcp).await?;
        Connection::greet(TlsStream::from(stream), Origin::Us, Arc::clone(link), around).await
    };
    timeout(limit, attempt).await.unwrap_or(Err(ConnectionError::SlowHandshake(limit)))
}

fn cannot_reach(address: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot connect to `{address}`: {error}"))
}

//! The network of one node: starts, keeps connections up, sends, and hands out mailboxes.

mod accept;
mod dial;
mod loss;
mod peers;

pub use loss::PeerWatch;
pub use peers::PeerError;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::config::{Limits, NetConfig, Peer, StartError};
use crate::connection::{ConnectionError, Surroundings};
use crate::fault::{Leaving, Losses};
use crate::frame::{Frame, Instance, Kind, SessionTag};
use crate::identity::PeerId;
use crate::link::Link;
use crate::mailbox::{ControlReceiver, Inbox, Mailbox, OpenError};
use crate::router::Router;
use crate::stats::{Counter, PeerState, SessionBytes};
use crate::tls::{Pins, Tls};

/// Why a frame was not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The identity is not configured.
    #[error("`{id}` is not a configured peer of this node")]
    UnknownPeer {
        /// The identity.
        id: PeerId,
    },
    /// The frame is above [`crate::Limits::max_frame`].
    #[error("a frame of {length} bytes is above the limit of {limit} bytes")]
    TooLarge {
        /// The frame's length in bytes, with its header.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// There is no connection and the queue is full.
    #[error("peer `{peer}` is not connected and its queue is full")]
    NotConnected {
        /// The peer's name.
        peer: String,
    },
    /// The peer takes nothing for [`crate::Limits::send_timeout`].
    #[error("peer `{peer}` is connected but does not take what is sent to it")]
    Stalled {
        /// The peer's name.
        peer: String,
    },
    /// The network is shut down.
    #[error("the network is shut down")]
    ShutDown,
}

/// Peers that did not connect in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no connection with {} within {} ms: check that they run and that their addresses and identities are right", quoted(.missing), .waited.as_millis())]
pub struct WaitError {
    /// Names of the missing peers, or the identity of one that is not configured.
    pub missing: Vec<String>,
    /// How long was waited.
    pub waited: Duration,
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A handle to the running network; clones share it. When the last handle is dropped the network
/// stops; [`Network::shutdown`] also waits for it.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
    _stop_when_dropped: Arc<DropGuard>,
}

/// What the handles and the tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    local: SocketAddr,
    links: RwLock<BTreeMap<PeerId, Arc<Link>>>,
    /// Those of identities that are no peers any more.
    retired: Mutex<BTreeMap<PeerId, Arc<Link>>>,
    /// The identities of the links, for handshakes.
    pins: Pins,
    tls: Tls,
    around: Surroundings,
    changed: watch::Sender<u64>,
    control_taken: AtomicBool,
    tasks: TaskTracker,
    refused: Counter,
    losses: Losses,
}

impl Network {
    /// Listens, and dials every peer until it is connected. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`], when the address is taken or the peers are misconfigured.
    pub async fn start(config: NetConfig) -> Result<Self, StartError> {
        Self::start_with_losses(config, Losses::default()).await
    }

    /// As [`start`](Self::start), with frames that get lost on purpose. For tests.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with_losses(config: NetConfig, losses: Losses) -> Result<Self, StartError> {
        let NetConfig { identity, listen, peers, limits } = config;
        let own = identity.peer_id();
        let ids = check_peers(own, &peers)?;
        let tls_error = |source| StartError::Tls { source };
        let tls = Tls::new(&identity).map_err(tls_error)?;
        drop(identity);
        let pins: Pins = Arc::new(Mutex::new(ids));
        let acceptor = TlsAcceptor::from(Arc::new(tls.server_config(Arc::clone(&pins)).map_err(tls_error)?));
        let listener =
            TcpListener::bind(listen).await.map_err(|source| StartError::Listen { listen, source })?;
        let local = listener.local_addr().map_err(|source| StartError::Listen { listen, source })?;

        let changed = watch::Sender::new(0_u64);
        let links: BTreeMap<_, _> = peers
            .into_iter()
            .map(|peer| (peer.id, Arc::new(Link::new(own, peer, &limits, changed.clone()))))
            .collect();
        let drops = links.iter().map(|(id, link)| (*id, Arc::clone(&link.drops))).collect();
        let mut instance = Instance([0; 16]);
        getrandom::fill(&mut instance.0).map_err(|source| StartError::Randomness { source })?;
        let stop = CancellationToken::new();
        // Made first: when starting fails half-way, it stops what runs already.
        let stop_when_dropped = Arc::new(stop.clone().drop_guard());
        let around = Surroundings {
            own,
            instance,
            router: Arc::new(Router::new(limits.clone(), drops)),
            control: Arc::new(Inbox::new(limits.inbox_frames, limits.inbox_bytes)),
            limits,
            stop,
        };
        let shared = Arc::new(Shared {
            local,
            links: RwLock::new(links),
            retired: Mutex::default(),
            pins,
            tls,
            around,
            changed,
            control_taken: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            refused: Counter::default(),
            losses,
        });
        let links = shared.links();
        for link in &links {
            shared.keep_dialling(link).map_err(tls_error)?;
        }
        shared.tasks.spawn(accept::keep_accepting(listener, acceptor, Arc::clone(&shared)));
        tracing::info!(%local, id = %own, peers = links.len(), "network started");
        Ok(Self { shared, _stop_when_dropped: stop_when_dropped })
    }

    /// Our own identity.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.shared.around.own
    }

    /// Where we listen, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local
    }

    fn link(&self, id: PeerId) -> Result<Arc<Link>, SendError> {
        self.shared.link(id).ok_or(SendError::UnknownPeer { id })
    }

    async fn enqueue(&self, to: PeerId, frame: Frame) -> Result<(), SendError> {
        let link = self.link(to)?;
        if self.shared.around.stop.is_cancelled() {
            return Err(SendError::ShutDown);
        }
        let session = (frame.session != SessionTag::NONE).then_some(frame.session);
        if self.shared.losses.loses(&Leaving { to, session, body: &frame.body }) {
            return Ok(());
        }
        link.enqueue(frame).await
    }

    /// Queues a frame of a session for `to`; `Ok` means queued, not received. While the peer is
    /// connected and its queue is full this waits; while it is not connected the frame waits for it, up
    /// to [`crate::Limits::queue_ttl`]. A frame that was under way when the connection broke is sent
    /// again; one that was under way to a node that restarted is lost.
    ///
    /// # Errors
    /// [`SendError`]; the frame is then not sent.
    pub async fn send(&self, to: PeerId, session: SessionTag, body: Bytes) -> Result<(), SendError> {
        let frame = Frame { session, ..Frame::new(Kind::Session, body) };
        let length = frame.wire_len();
        self.enqueue(to, frame).await?;
        self.shared.around.router.count_sent(session, length);
        Ok(())
    }

    /// Queues a frame for the control receiver of `to`, under the rules of [`Network::send`].
    ///
    /// # Errors
    /// [`SendError`]; the frame is then not sent.
    pub async fn send_control(&self, to: PeerId, body: Bytes) -> Result<(), SendError> {
        self.enqueue(to, Frame::new(Kind::Control, body)).await
    }

    /// The receiver of control frames; `None` when it was taken before.
    #[must_use]
    pub fn control(&self) -> Option<ControlReceiver> {
        let taken = self.shared.control_taken.swap(true, Ordering::AcqRel);
        (!taken).then(|| ControlReceiver { inbox: Arc::clone(&self.shared.around.control) })
    }

    /// Opens a session: from now on the mailbox gets what its members send, including what they sent
    /// shortly before. Our own identity among the members is ignored.
    ///
    /// # Errors
    /// [`OpenError`] when the tag is or was in use, or a member is not a peer.
    pub fn open(&self, session: SessionTag, members: &[PeerId]) -> Result<Mailbox, OpenError> {
        let members: Vec<_> = members.iter().copied().filter(|id| *id != self.id()).collect();
        if let Some(id) = members.iter().find(|id| !self.is_peer(**id)) {
            return Err(OpenError::UnknownMember { id: *id });
        }
        self.shared.around.router.open(session, members)
    }

    /// What a session has cost, while it is open and for as long as its tag is remembered after.
    #[must_use]
    pub fn session_bytes(&self, session: SessionTag) -> Option<SessionBytes> {
        self.shared.around.router.session_bytes(session)
    }

    /// The peers with a connection now, in order of identity.
    #[must_use]
    pub fn connected(&self) -> Vec<PeerId> {
        self.shared.links().iter().filter(|link| link.is_up()).map(|link| link.id).collect()
    }

    /// Whether this peer has a connection now.
    #[must_use]
    pub fn is_connected(&self, id: PeerId) -> bool {
        self.shared.link(id).is_some_and(|link| link.is_up())
    }

    /// See [`Link::presence`]; who is no peer is not there.
    pub(crate) fn presence(&self, id: PeerId) -> (Option<Instance>, Option<Instant>) {
        self.shared.link(id).map_or_else(|| (None, Some(Instant::now())), |link| link.presence())
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.around.limits
    }

    /// Everything known of every peer, in order of identity.
    #[must_use]
    pub fn peer_states(&self) -> Vec<PeerState> {
        self.shared.links().iter().map(|link| link.state()).collect()
    }

    /// The name of a peer.
    #[must_use]
    pub fn peer_name(&self, id: PeerId) -> Option<String> {
        self.shared.link(id).map(|link| link.name())
    }

    /// How many inbound connections failed to prove a configured identity.
    #[must_use]
    pub fn refused_connections(&self) -> u64 {
        self.shared.refused.get()
    }

    /// A number that changes whenever a connection comes up or goes down.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Waits until all of `peers` are connected.
    ///
    /// # Errors
    /// [`WaitError`] names those that are not after `patience`.
    pub async fn wait_connected(&self, peers: &[PeerId], patience: Duration) -> Result<(), WaitError> {
        let mut changes = self.changes();
        let missing = || -> Vec<PeerId> {
            peers.iter().copied().filter(|id| *id != self.id() && !self.is_connected(*id)).collect()
        };
        let all = changes.wait_for(|_| missing().is_empty());
        if let Ok(Ok(_)) = timeout(patience, all).await {
            return Ok(());
        }
        let name = |id: PeerId| self.peer_name(id).unwrap_or_else(|| id.to_string());
        Err(WaitError { missing: missing().into_iter().map(name).collect(), waited: patience })
    }

    /// Stops: accepts and dials no more, writes what is queued for connected peers, closes. Waits at
    /// most [`crate::Limits::shutdown_timeout`]. All receivers end.
    pub async fn shutdown(&self) {
        self.shared.around.stop.cancel();
        self.shared.close_inboxes();
        self.shared.tasks.close();
        if timeout(self.shared.around.limits.shutdown_timeout, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not close in time");
        }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Shared {
    pub(crate) fn link(&self, id: PeerId) -> Option<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).get(&id).map(Arc::clone)
    }

    /// All links as they are now, in order of identity.
    fn links(&self) -> Vec<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    fn keep_dialling(&self, link: &Arc<Link>) -> Result<(), rustls::Error> {
        let config = Arc::new(self.tls.client_config(link.id)?);
        self.tasks.spawn(dial::keep_dialling(Arc::clone(link), link.removed(), config, self.around.clone()));
        Ok(())
    }

    fn close_inboxes(&self) {
        self.around.router.shut_down();
        self.around.control.close();
    }

    #[cfg(test)]
    pub(crate) fn router(&self) -> &Router {
        &self.around.router
    }

    #[cfg(test)]
    pub(crate) fn we_decide(&self, id: PeerId) -> bool {
        self.link(id).unwrap().we_decide
    }

    #[cfg(test)]
    pub(crate) const fn instance(&self) -> Instance {
        self.around.instance
    }

    #[cfg(test)]
    pub(crate) fn kill_connection(&self, id: PeerId) {
        self.link(id).unwrap().kill();
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("id", &self.id())
            .field("local", &self.shared.local)
            .field("connected", &self.connected())
            .finish_non_exhaustive()
    }
}

/// Keeps and logs why a connection, or the attempt at one, ended; the same reason again is not logged.
fn log_end(link: &Link, ended: Result<(), ConnectionError>) {
    let Err(error) = ended else { return };
    let peer = link.name();
    if matches!(error, ConnectionError::Duplicate) {
        tracing::debug!(peer, "another connection is in use");
    } else if link.note_error(error.to_string()) {
        if error.is_loud() {
            tracing::warn!(peer, %error, "connection closed");
        } else {
            tracing::info!(peer, %error, "not connected");
        }
    }
}

fn check_peers(own: PeerId, peers: &[Peer]) -> Result<BTreeSet<PeerId>, StartError> {
    let mut ids = BTreeSet::new();
    for Peer { id, name, .. } in peers {
        let (id, name) = (*id, name.clone());
        if id == own {
            return Err(StartError::OwnIdentity { name });
        }
        if !id.is_usable() {
            return Err(StartError::UnusableIdentity { name, id });
        }
        if !ids.insert(id) {
            return Err(StartError::DuplicatePeer { name, id });
        }
    }
    Ok(ids)
}

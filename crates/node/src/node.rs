//! A running node: start, the control loop, shutdown.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use quorate_api::{ClientPublicKey, EventKind, Problem, SignedRequest};
use quorate_net::fault::Losses;
use quorate_net::{ControlReceiver, NetConfig, Network, Peer, PeerId, StartError};
use quorate_store::fault::Faults;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin;
use crate::backup;
use crate::burns::Burns;
use crate::ceremony::act::destruction::Doomed;
use crate::ceremony::member::{Line, take_part};
use crate::config::{Config, ConfigError};
use crate::control::{CeremonyId, Control, Proposal, Ticket};
use crate::events::{self, Events};
use crate::folder::{self, FolderError};
use crate::gate::Gates;
use crate::governance::{Governance, GovernanceError};
use crate::hook::Hook;
use crate::limits::Limiter;
use crate::members::{Members, Places, Reloaded};
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::quarantine::Quarantine;
use crate::questions::Questions;
use crate::registry::{Registry, locked};
use crate::reputation::Reputation;
use crate::reseal;
use crate::rest;
use crate::shared::{Joined, Reply, Shared, store_problem};
use crate::source::{Proxies, from_wire};
use crate::trace::{self, carried};
use crate::unlock::Unlock;
use crate::webhook;

/// Replies that one member may send in one attempt: its answer and its end, and one more of each for good measure.
const REPLIES: u8 = 4;
/// Cases of one bundle that are looked at at once.
const CASES_AT_ONCE: usize = 16;
/// How long a shutdown waits for what was broken off to write down that it was.
const SETTLE: Duration = Duration::from_secs(2);
/// Time between two foldings of metric samples.
const UPKEEP: Duration = Duration::from_secs(5);
/// Time between two questions about a move that this node is in doubt about.
const DOUBT: Duration = Duration::from_millis(500);
/// How long a peer that is awaited may be without a connection before its session is given up.
const ABSENCE: Duration = Duration::from_millis(1500);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder cannot be opened.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The network between nodes cannot be started.
    #[error(transparent)]
    Network(#[from] StartError),
    /// The REST address cannot be listened on.
    #[error("cannot listen on `{listen}` for clients: {source}; free the port or configure another one")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory cannot be taken up.
    #[error(transparent)]
    Governance(#[from] GovernanceError),
    /// The records of the node cannot be read.
    #[error("{0}")]
    Records(Box<Problem>),
}

/// A running node. It stops when the last handle is dropped without notice, or by [`Node::shutdown`] in good order.
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    api: SocketAddr,
    /// Ends everything if the handle is dropped.
    _stop: tokio_util::sync::DropGuard,
}

impl Node {
    /// Starts a node: opens its folder, connects to its peers, takes requests. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`NodeError`] says what to change.
    pub async fn start(config: Config) -> Result<Self, NodeError> {
        Self::start_with_faults(config, Faults::default()).await
    }

    /// As [`start`](Self::start), with writes that fail on purpose. For tests.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with_faults(config: Config, faults: Faults) -> Result<Self, NodeError> {
        Self::start_with_losses(config, faults, Losses::default()).await
    }

    /// As [`start_with_faults`](Self::start_with_faults), with messages to other nodes that get lost on purpose. For tests.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with_losses(
        config: Config,
        faults: Faults,
        losses: Losses,
    ) -> Result<Self, NodeError> {
        config.check()?;
        let opened = folder::open(&config.data, Unlock::of(&config), faults).await?;
        let store = opened.store.clone();
        match Self::start_opened(config, opened, losses).await {
            Ok(node) => Ok(node),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    async fn start_opened(config: Config, opened: folder::Opened, losses: Losses) -> Result<Self, NodeError> {
        let folder::Opened { store, sealer, hsm, id, channel, party, witness, webhook, state_key, sealing } =
            opened;
        let invalid = |what: String| NodeError::Config(ConfigError::Check(vec![what]));
        let mut clients = HashMap::new();
        for client in &config.clients {
            let key: ClientPublicKey = client.key.parse().map_err(|error| invalid(format!("{error}")))?;
            clients.insert(client.name.clone(), key.into());
        }
        let metrics = Arc::new(Metrics::new());
        let hook = config.presign.as_ref().map(|hook| Hook::new(hook, &config.name, Arc::clone(&metrics)));
        let hook = hook.transpose().map_err(|reason| invalid(format!("[presign]: {reason}")))?;
        let proxies = Proxies::new(&config.trusted_proxies).map_err(|reason| invalid(reason.to_string()))?;
        let tls = config.tls.clone().map(rest::Tls::load).transpose().map_err(invalid)?;
        let governance = Governance::open(config.genesis.as_ref(), &store).await?;
        let regime = governance.as_ref().map(Governance::regime);
        let nodes = regime.as_ref().map(|regime| regime.state.directory().nodes());
        let own = (id, config.name.as_str());
        let members = Members::of(own, &config.peers, nodes, config.limits.max_proposals_per_peer)
            .map_err(GovernanceError::from)?;
        drop(regime);
        let peers: Vec<Peer> = members.peers().cloned().collect();
        let limits = net_limits();
        let listen = config.listen.api;
        let listener =
            TcpListener::bind(listen).await.map_err(|source| NodeError::Listen { listen, source })?;
        let api = listener.local_addr().map_err(|source| NodeError::Listen { listen, source })?;
        let network = NetConfig { identity: channel, listen: config.listen.peers, peers, limits };
        let network = Network::start_with_losses(network, losses).await?;
        if !listen.ip().is_loopback() && tls.is_none() {
            tracing::warn!(%listen, "clients are served over plain http on an address that others can reach: configure [tls], or use loopback or a proxy that does tls");
        }
        let control = network.control();
        let stop = CancellationToken::new();
        let events = Arc::new(Events::new(config.name.clone()));
        let limiter = Arc::new(Limiter::new(&config.limits));
        events::watch_store(&store, &events, &limiter)
            .await
            .map_err(|problem| NodeError::Records(Box::new(problem)))?;
        let shared = Arc::new(Shared {
            id,
            identity: Arc::new(party),
            store,
            sealer,
            hsm: Mutex::new(hsm),
            resealing: tokio::sync::Mutex::default(),
            network,
            members: Mutex::new(Arc::new(members)),
            configured: Mutex::new(config.peers.clone()),
            clients,
            governance,
            registry: Registry::default(),
            metrics,
            hook: hook.map(Arc::new),
            proxies,
            events,
            streams: Arc::new(Semaphore::new(config.limits.max_event_streams)),
            limiter,
            tls,
            slots: Semaphore::new(config.limits.max_ceremonies),
            mute: Mutex::default(),
            pace: Mutex::default(),
            quarantine: Quarantine::default(),
            reputation: Mutex::new(Reputation::new(config.limits.suspicion_half_life)),
            coordinated: Mutex::default(),
            relayed: Questions::default(),
            asked_to_prove: Questions::default(),
            unproving: Mutex::default(),
            witness,
            webhook,
            sealing,
            asked_for_restored: Questions::default(),
            asked_for_sealing_keys: Questions::default(),
            witnesses: Mutex::default(),
            contradictions: Mutex::default(),
            watching: tokio::sync::Mutex::default(),
            backing_up: tokio::sync::Mutex::default(),
            receipts: Mutex::default(),
            joined: Mutex::default(),
            materials: Mutex::default(),
            gates: Gates::default(),
            pool: Pool::new(id, &config.pool),
            moves: Mutex::default(),
            doubts: Mutex::default(),
            switching: tokio::sync::Mutex::default(),
            burns: Burns::default(),
            gate: tokio::sync::RwLock::default(),
            acting: tokio::sync::Mutex::default(),
            acted: std::sync::atomic::AtomicU64::default(),
            states: Mutex::default(),
            state_key,
            heard_orders: Mutex::default(),
            doomed: Mutex::new(Doomed::new()),
            draining: stop.child_token(),
            stop: stop.clone(),
            tasks: TaskTracker::new(),
            config,
        });
        let members = shared.members();
        shared.metrics.begin(&members.peers().map(|peer| peer.name.clone()).collect::<Vec<_>>());
        if let Some(why) = shared.no_member() {
            tracing::warn!(%id, "{why}");
        }
        let interrupted =
            shared.close_interrupted().await.map_err(|problem| NodeError::Records(Box::new(problem)))?;
        shared.log_start().await.map_err(|problem| NodeError::Records(Box::new(problem)))?;
        shared.load_quarantine().await.map_err(|problem| NodeError::Records(Box::new(problem)))?;
        shared.resume_moves().await.map_err(|problem| NodeError::Records(Box::new(problem)))?;
        shared.discard_incomplete().await.map_err(|problem| NodeError::Records(Box::new(problem)))?;
        if let Some(control) = control {
            shared.tasks.spawn(listen_to_peers(Arc::clone(&shared), control));
        }
        shared.tasks.spawn(rest::serve(Arc::clone(&shared), listener));
        admin::listen(&shared);
        shared.tasks.spawn(reseal::watch(Arc::clone(&shared)));
        shared.tasks.spawn(events::watch_peers(Arc::clone(&shared)));
        shared.tasks.spawn(backup::keep(Arc::clone(&shared)));
        let kept = webhook::start(&shared).await;
        kept.map_err(|error| NodeError::Records(Box::new(store_problem(&error))))?;
        shared.events.tell(EventKind::NodeStarted, |event| event);
        let counted = Arc::clone(&shared);
        shared.tasks.spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP);
            while counted.stop.run_until_cancelled(ticks.tick()).await.is_some() {
                counted.metrics.upkeep();
                if counted.save_burns().await.is_err() {
                    tracing::debug!("the disk takes no burn marks");
                }
                if let Err(problem) = counted.pursue_doubts().await {
                    tracing::error!(detail = %problem.detail, "what became of a move is not asked");
                }
                counted.announce_directory().await;
                if let Err(problem) = counted.announce_orders().await {
                    tracing::error!(detail = %problem.detail, "orders about keys are not announced");
                }
                counted.reconsider_orders().await;
                if let Err(problem) = counted.hand_out_proofs().await {
                    tracing::error!(detail = %problem.detail, "proofs are not handed out");
                }
                counted.destroy_what_is_due().await;
                counted.advance_all().await;
                if let Some(hook) = &counted.hook {
                    hook.forget(|id| counted.waits(id));
                }
                counted.forget_spending().await;
                if let Err(problem) = counted.offer_head().await {
                    tracing::error!(detail = %problem.detail, "the head of the log is not offered");
                }
            }
        });
        shared.tasks.spawn(Arc::clone(&shared).refresh_by_itself());
        shared.tasks.spawn(Arc::clone(&shared).fill_pool());
        let doubting = Arc::clone(&shared);
        shared.tasks.spawn(async move {
            let mut ticks = tokio::time::interval(DOUBT);
            while doubting.stop.run_until_cancelled(ticks.tick()).await.is_some() {
                if doubting.gates.any_closed()
                    && let Err(problem) = doubting.pursue_doubts().await
                {
                    tracing::error!(detail = %problem.detail, "what became of a move is not asked");
                }
            }
        });
        // Sessions run to their end even if nobody waits for them; without the network that is now.
        let (network, stopped) = (shared.network.clone(), stop.clone());
        shared.tasks.spawn(async move {
            stopped.cancelled().await;
            network.shutdown().await;
        });
        tracing::info!(name = %shared.config.name, %id, %api, peers = %shared.network.local_addr(), interrupted, "node started");
        Ok(Self { shared, api, _stop: stop.drop_guard() })
    }

    /// Where clients are served, with the real port.
    #[must_use]
    pub fn api_addr(&self) -> SocketAddr {
        self.api
    }

    /// Where the other nodes connect, with the real port.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.shared.network.local_addr()
    }

    /// The node's public identity.
    #[must_use]
    pub fn identity(&self) -> PeerId {
        self.shared.id
    }

    /// The names of the connected peers.
    #[must_use]
    pub fn connected(&self) -> Vec<String> {
        self.shared.network.connected().into_iter().map(|peer| self.shared.name_of(peer)).collect()
    }

    /// Takes up the peers of a configuration that was read again: those that are new are connected, those that are gone are refused from
    /// then on, and addresses are taken over. Of all else it says what needs a restart.
    ///
    /// # Errors
    /// [`NodeError`] if the configuration is not usable, or contradicts the directory; nothing has changed then.
    pub async fn reload(&self, config: &Config) -> Result<Reloaded, NodeError> {
        self.shared.reload(config).await
    }

    /// Waits until every peer is connected.
    ///
    /// # Errors
    /// The names of those that are not after `patience`.
    pub async fn wait_connected(&self, patience: Duration) -> Result<(), Vec<String>> {
        let peers: Vec<PeerId> = self.shared.members().peers().map(|peer| peer.id).collect();
        self.shared.network.wait_connected(&peers, patience).await.map_err(|error| error.missing)
    }

    /// Stops in good order: no new requests, ceremonies get [`Limits::shutdown_grace`](crate::config::Limits), then the
    /// network and the store close. What was broken off can be asked for again.
    pub async fn shutdown(self) {
        let shared = &self.shared;
        shared.events.tell(EventKind::NodeStopping, |event| event);
        shared.draining.cancel();
        let grace = shared.config.limits.shutdown_grace;
        let idle = async {
            while shared.registry.len() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(grace, idle).await.is_err() {
            tracing::warn!(running = shared.registry.len(), "ceremonies broken off by the shutdown");
        }
        shared.stop.cancel();
        // Without the network the sessions that are left end at once.
        shared.network.shutdown().await;
        shared.tasks.close();
        if timeout(SETTLE, shared.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        shared.save_burns_or_warn().await;
        if let Err(problem) = shared.log_stop().await {
            tracing::error!(detail = %problem.detail, "the stop is not logged");
        }
        shared.store.close().await;
        tracing::info!(name = %shared.config.name, "node stopped");
    }

    /// Waits until the node was told to stop or failed. Only a dropped handle or a shutdown ends it today.
    pub async fn wait(&self) {
        self.shared.stop.cancelled().await;
    }
}

#[expect(clippy::field_reassign_with_default, reason = "the struct is non-exhaustive")]
pub(crate) fn net_limits() -> quorate_net::Limits {
    let mut limits = quorate_net::Limits::default();
    // A proposal carries a whole request.
    limits.max_frame = SignedRequest::MAX_ENCODED + 512 * 1024;
    limits.absence_grace = ABSENCE;
    limits
}

/// Reads what peers say and hands it on. Nothing here waits for anything but the next message.
async fn listen_to_peers(shared: Arc<Shared>, mut control: ControlReceiver) {
    loop {
        let received = tokio::select! {
            received = control.recv() => received,
            () = shared.stop.cancelled() => return,
        };
        let Some((from, bytes)) = received else { return };
        let Some((traced, message)) = Control::decode(&bytes) else {
            tracing::debug!(peer = %shared.name_of(from), "control message does not decode");
            continue;
        };
        let traced = traced.filter(|_| message.asks());
        trace::for_peer(traced, || shared.name_of(from), || hear(&shared, from, message));
    }
}

/// Hands on what a peer said.
fn hear(shared: &Arc<Shared>, from: PeerId, message: Control) {
    // Said before it was removed.
    if shared.members().places(from).is_none() {
        return;
    }
    match message {
        Control::Propose(proposal) => propose(shared, from, *proposal),
        Control::Answer { ceremony, answer } => {
            reply(shared, from, ceremony, Reply::Answer(answer));
        }
        Control::Ended { ceremony, outcome } => {
            reply(shared, from, ceremony, Reply::Ended(outcome));
        }
        Control::Cancel { ceremony } => {
            if let Some(joined) = locked(&shared.joined).get(&(from, ceremony)) {
                joined.cancel.cancel();
            }
        }
        Control::Activate { ceremony } => {
            if let Some(joined) = locked(&shared.joined).get(&(from, ceremony)) {
                joined.activate.send_replace(true);
            }
        }
        Control::Recall { ceremony, operation, fingerprint } => {
            recall(shared, from, ceremony, operation, fingerprint);
        }
        Control::Recalled { ceremony, known } => {
            reply(shared, from, ceremony, Reply::Recalled(known));
        }
        Control::Offer { offer } => {
            answer(shared, from, move |shared| async move { shared.witness(from, &offer).await })
        }
        Control::Cosigned { head } => {
            answer(shared, from, move |shared| async move { shared.cosigned(from, &head).await })
        }
        Control::Seen { size } => {
            answer(shared, from, move |shared| async move { shared.seen(from, size).await });
        }
        Control::SeenHead { head } => {
            answer(shared, from, move |shared| async move { shared.put_back(from, &head).await });
        }
        Control::Case(case) => {
            answer_in(
                shared,
                from,
                |places| &places.cases,
                move |shared| async move { shared.take_case(from, &case).await },
            );
        }
        Control::Cases(cases) => {
            answer_in(
                shared,
                from,
                |places| &places.cases,
                move |shared| async move {
                    let cases = stream::iter(cases).map(Ok);
                    let take = |case| {
                        let shared = Arc::clone(&shared);
                        async move { shared.take_case(from, &case).await }
                    };
                    cases.try_for_each_concurrent(CASES_AT_ONCE, take).await
                },
            );
        }
        Control::Closed { operation, how } => {
            answer(
                shared,
                from,
                move |shared| async move { shared.take_closed(from, &operation, &how).await },
            )
        }
        Control::Directory { version, head, freezes } => {
            answer(shared, from, move |shared| async move {
                shared.compare_directory(from, version, head, freezes).await
            });
        }
        Control::Behind { version } => {
            answer(shared, from, move |shared| async move { shared.catch_up(from, version).await });
        }
        Control::Changes { entries } => {
            answer(shared, from, move |shared| async move { shared.take_changes(from, &entries).await });
        }
        Control::Freeze { request } => {
            answer(shared, from, move |shared| async move { shared.take_freeze(from, &request).await });
        }
        Control::OrdersUpTo { newest } => {
            answer(shared, from, move |shared| async move { shared.compare_orders(from, newest).await });
        }
        Control::OrdersAfter { place } => {
            answer(shared, from, move |shared| async move { shared.hand_out_orders(from, place).await });
        }
        Control::Orders { orders, upto } => {
            answer_in(
                shared,
                from,
                |places| &places.cases,
                move |shared| async move { shared.take_orders(from, &orders, upto).await },
            );
        }
        Control::Prove { ticket, operation } => answer(shared, from, move |shared| async move {
            let receipt = shared.own_receipt(from, &operation).await?;
            shared.tell(from, &Control::Proven { ticket, receipt }).await;
            Ok(())
        }),
        Control::StandDown { ceremony, package } => {
            if let Some(joined) = locked(&shared.joined).get(&(from, ceremony)) {
                joined.stand_down.send_replace(Some(package));
            }
        }
        Control::Go { ceremony, fresh } => {
            if let Some(joined) = locked(&shared.joined).get(&(from, ceremony)) {
                joined.go.send_replace(Some(fresh));
            }
        }
        Control::Successor { key, epoch, name } => answer(shared, from, move |shared| async move {
            shared.tell_of_successor(from, &key, epoch, name).await
        }),
        Control::Told { key, name, told } => answer(shared, from, move |shared| async move {
            shared.hear_of_successor(from, &key, name, told).await
        }),
        Control::InForce { key, proof } => {
            answer(shared, from, move |shared| async move { shared.hear_proof(from, &key, &proof).await })
        }
        Control::Proven { ticket, receipt } => shared.asked_to_prove.answer(from, ticket, receipt),
        Control::TellSealingKey { ticket } => answer(shared, from, move |shared| async move {
            shared.tell_sealing_key(from, ticket).await;
            Ok(())
        }),
        Control::SealingKey { ticket, key, signature } => {
            shared.asked_for_sealing_keys.answer(from, ticket, (key, signature));
        }
        Control::TellRestored { ticket, key } => {
            answer(shared, from, move |shared| async move { shared.tell_restored(from, ticket, &key).await })
        }
        Control::Restored { ticket, held } => shared.asked_for_restored.answer(from, ticket, held),
        Control::TellEpochs { ticket, keys } => {
            answer(shared, from, move |shared| async move { shared.tell_epochs(from, ticket, &keys).await })
        }
        // Whoever asks does not run as a node.
        Control::Epochs { .. } => {}
        Control::Proofs { proofs } => {
            answer(shared, from, move |shared| async move { shared.hear_proofs(from, proofs).await });
        }
        Control::ProofsSeen { proofs } => {
            answer(shared, from, move |shared| async move { shared.proofs_seen(from, &proofs).await });
        }
        Control::Relay { ticket, request, source } => {
            relay(shared, from, ticket, request, from_wire(source));
        }
        Control::Relayed { ticket, status, body } => shared.relayed.answer(from, ticket, (status, body)),
    }
}

/// Starts to look at a proposal, if its sender has not too many already.
fn propose(shared: &Arc<Shared>, from: PeerId, proposal: Proposal) {
    let Some(slots) = shared.members().places(from).map(|places| Arc::clone(&places.proposals)) else {
        return;
    };
    let Ok(slot) = slots.try_acquire_owned() else {
        shared.metrics.dropped_proposal(shared.name_of(from));
        return;
    };
    let key = (from, proposal.ceremony);
    let cancel = shared.stop.child_token();
    let (activate, activated) = watch::channel(false);
    let (stand_down, told) = watch::channel(None);
    let (go, gone) = watch::channel(None);
    {
        let mut joined = locked(&shared.joined);
        if joined.contains_key(&key) {
            return;
        }
        joined.insert(key, Joined { cancel: cancel.clone(), activate, stand_down, go });
    }
    let shared = Arc::clone(shared);
    let tasks = shared.tasks.clone();
    tasks.spawn(carried(async move {
        let line = Line { cancel, activate: activated, stand_down: told, go: gone };
        take_part(Arc::clone(&shared), from, proposal, line).await;
        locked(&shared.joined).remove(&key);
        drop(slot);
    }));
}

/// Answers what a peer passes on, if it does not pass on too much at once.
fn relay(shared: &Arc<Shared>, from: PeerId, ticket: Ticket, request: Vec<u8>, source: Option<IpAddr>) {
    let Some(slots) = shared.members().places(from).map(|places| Arc::clone(&places.proposals)) else {
        return;
    };
    let Ok(slot) = slots.try_acquire_owned() else {
        shared.metrics.dropped_proposal(shared.name_of(from));
        return;
    };
    let shared = Arc::clone(shared);
    let tasks = shared.tasks.clone();
    tasks.spawn(carried(async move {
        let (status, body) = rest::relay::answer(&shared, &request, source).await;
        shared.tell(from, &Control::Relayed { ticket, status, body }).await;
        drop(slot);
    }));
}

/// Does something small for a peer, if it does not ask too much at once.
fn answer<F>(shared: &Arc<Shared>, from: PeerId, work: impl FnOnce(Arc<Shared>) -> F)
where
    F: Future<Output = Result<(), Problem>> + Send + 'static,
{
    answer_in(shared, from, |places| &places.questions, work);
}

/// The same, with places of its own.
fn answer_in<F>(
    shared: &Arc<Shared>,
    from: PeerId,
    which: impl FnOnce(&Places) -> &Arc<Semaphore>,
    work: impl FnOnce(Arc<Shared>) -> F,
) where
    F: Future<Output = Result<(), Problem>> + Send + 'static,
{
    let Some(slots) = shared.members().places(from).map(|places| Arc::clone(which(places))) else { return };
    let Ok(slot) = slots.try_acquire_owned() else { return };
    let work = work(Arc::clone(shared));
    shared.tasks.spawn(carried(async move {
        // A store that fails has said so.
        work.await.unwrap_or_default();
        drop(slot);
    }));
}

/// Says what this node knows of an operation, if the peer does not ask too much at once.
fn recall(
    shared: &Arc<Shared>,
    from: PeerId,
    ceremony: CeremonyId,
    operation: String,
    fingerprint: [u8; 32],
) {
    let Some(slots) = shared.members().places(from).map(|places| Arc::clone(&places.questions)) else {
        return;
    };
    let Ok(slot) = slots.try_acquire_owned() else { return };
    let shared = Arc::clone(shared);
    let tasks = shared.tasks.clone();
    tasks.spawn(carried(async move {
        // A store that fails knows nothing, and says so by its silence.
        if let Ok(known) = shared.recall(from, &operation, &fingerprint).await {
            shared.tell(from, &Control::Recalled { ceremony, known }).await;
        }
        drop(slot);
    }));
}

fn reply(shared: &Shared, from: PeerId, ceremony: CeremonyId, reply: Reply) {
    let mut coordinated = locked(&shared.coordinated);
    let Some(talk) = coordinated.get_mut(&ceremony) else { return };
    let said = talk.said.entry(from).or_default();
    if *said >= REPLIES {
        return;
    }
    *said = said.saturating_add(1);
    if talk.sender.try_send((from, reply)).is_err() {
        tracing::debug!(peer = %shared.name_of(from), "reply dropped");
    }
}

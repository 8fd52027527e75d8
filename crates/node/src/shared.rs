//! What all parts of a running node share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_api::webhook::WebhookKey;
use quorate_api::{Code, Credential, KeyId, Problem};
use quorate_log::note::WitnessSigner;
use quorate_net::{Network, PeerId};
use quorate_protocol::party::{IdentityKey, LocalIdentity, PartyIndex};
use quorate_seal::{Hsm, Sealer, SealingKey};
use quorate_store::{Store, StoreError};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Recent;
use crate::burns::Burns;
use crate::ceremony::act::catch_up::Heard;
use crate::ceremony::act::destruction::Doomed;
use crate::ceremony::attempts::pace::Pace;
use crate::ceremony::moving::Doubts;
use crate::config::{self, Config};
use crate::control::{Answer, CeremonyId, Control, Known, Outcome};
use crate::events::Events;
use crate::gate::Gates;
use crate::governance::Governance;
use crate::hook::Hook;
use crate::keys::OpenMaterials;
use crate::limits::Limiter;
use crate::members::Members;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::quarantine::Quarantine;
use crate::questions::Questions;
use crate::registry::{Registry, locked};
use crate::reputation::Reputation;
use crate::rest::Tls;
use crate::source::Proxies;
use crate::trace;
use crate::witness::Witnesses;

/// The state of a running node.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) id: PeerId,
    pub(crate) identity: Arc<LocalIdentity>,
    pub(crate) store: Store,
    pub(crate) sealer: Arc<Sealer>,
    /// The HSM that the folder is sealed under, if it is.
    pub(crate) hsm: Mutex<Option<Arc<Hsm>>>,
    /// One move of the seal at a time.
    pub(crate) resealing: tokio::sync::Mutex<()>,
    pub(crate) network: Network,
    /// Who the nodes are now.
    pub(crate) members: Mutex<Arc<Members>>,
    /// The peers as the configuration has them now.
    pub(crate) configured: Mutex<Vec<config::Peer>>,
    /// Who may ask, if there is no directory.
    pub(crate) clients: HashMap<String, Credential>,
    pub(crate) governance: Option<Governance>,
    pub(crate) registry: Registry,
    pub(crate) metrics: Arc<Metrics>,
    /// Who is asked before this node agrees to sign.
    pub(crate) hook: Option<Arc<Hook>>,
    /// What changes here, for those who watch.
    pub(crate) events: Arc<Events>,
    /// Proxies that are believed when they say whom they took a request from.
    pub(crate) proxies: Proxies,
    /// Places for those who watch.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) limiter: Arc<Limiter>,
    /// How clients are served, if over TLS.
    pub(crate) tls: Option<Tls>,
    /// Operations coordinated at once.
    pub(crate) slots: Semaphore,
    /// Peers that did not answer such a question in time: they are not asked before then.
    pub(crate) mute: Mutex<HashMap<PeerId, Instant>>,
    /// Attempts that this node coordinates: where answers go.
    pub(crate) coordinated: Mutex<HashMap<CeremonyId, Coordinated>>,
    /// Requests that were passed on and wait for their answers.
    pub(crate) relayed: Questions<(u16, Vec<u8>)>,
    /// Receipts that peers were asked for.
    pub(crate) asked_to_prove: Questions<Option<String>>,
    /// Peers that did not answer that in time: they are not asked for receipts before then.
    pub(crate) unproving: Mutex<HashMap<PeerId, Instant>>,
    /// Sealing keys that peers were asked for.
    pub(crate) asked_for_restored: Questions<Option<crate::control::HeldRestored>>,
    pub(crate) asked_for_sealing_keys: Questions<(Vec<u8>, [u8; 64])>,
    /// To which shares for this node are sealed.
    pub(crate) sealing: SealingKey,
    pub(crate) witness: WitnessSigner,
    pub(crate) webhook: WebhookKey,
    pub(crate) witnesses: Mutex<Witnesses>,
    /// Peers whose logs contradicted what this node saw, and how.
    pub(crate) contradictions: Mutex<HashSet<(PeerId, &'static str)>>,
    /// Held while a head of another log is judged, or one of this log with its lines is stored.
    pub(crate) watching: tokio::sync::Mutex<()>,
    /// Held while a backup is made.
    pub(crate) backing_up: tokio::sync::Mutex<()>,
    /// This node's receipts for what it answered just now, so that the store need not prove it again.
    pub(crate) receipts: Mutex<Recent>,
    /// Attempts that this node takes part in, by coordinator: what it may still say.
    pub(crate) joined: Mutex<HashMap<(PeerId, CeremonyId), Joined>>,
    /// The secrets of keys that are open.
    pub(crate) materials: Mutex<OpenMaterials>,
    pub(crate) burns: Burns,
    /// Shared by decisions until they are logged, held alone by what changes decisions until it is in force: each decision is in the log
    /// on the side of a change, freeze or order about a key on which it was made.
    pub(crate) gate: tokio::sync::RwLock<()>,
    /// Held while the state of a key is changed by an order.
    pub(crate) acting: tokio::sync::Mutex<()>,
    /// Counts the changes of states.
    pub(crate) acted: std::sync::atomic::AtomicU64,
    /// How many orders each key has had, as far as this node knew since its start: a state that was put back is noticed.
    pub(crate) states: Mutex<HashMap<KeyId, u64>>,
    /// Under which this node marks the states of keys.
    pub(crate) state_key: zeroize::Zeroizing<[u8; 32]>,
    /// Orders that peers handed out.
    pub(crate) heard_orders: Mutex<Heard>,
    /// Destructions that this node waits for.
    pub(crate) doomed: Mutex<Doomed>,
    /// How long attempts to sign take.
    pub(crate) pace: Mutex<Pace>,
    /// What is held against other nodes.
    pub(crate) reputation: Mutex<Reputation>,
    /// Who was proven to cheat.
    pub(crate) quarantine: Quarantine,
    /// No new work.
    pub(crate) draining: CancellationToken,
    /// Who uses keys now.
    pub(crate) gates: Gates,
    /// Presignatures.
    pub(crate) pool: Pool,
    /// Keys that this node helps to move now.
    pub(crate) moves: Mutex<HashSet<KeyId>>,
    /// Moves of which this node does not know how they ended.
    pub(crate) doubts: Doubts,
    /// Held while a key changes its epoch here.
    pub(crate) switching: tokio::sync::Mutex<()>,
    /// Break off what runs.
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// What a member tells a coordinator.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Answer),
    Ended(Outcome),
    Recalled(Known),
}

/// Where the replies of one attempt go. Each member has two things to say, so nobody can crowd the others out.
#[derive(Debug)]
pub(crate) struct Coordinated {
    pub(crate) sender: mpsc::Sender<(PeerId, Reply)>,
    pub(crate) said: HashMap<PeerId, u8>,
}

/// What a coordinator may still tell a member.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) cancel: CancellationToken,
    pub(crate) activate: watch::Sender<bool>,
    /// The package of the epoch to stand down for.
    pub(crate) stand_down: watch::Sender<Option<Vec<u8>>>,
    /// What all said when they accepted to sign with presignatures.
    pub(crate) go: watch::Sender<Option<Vec<[u8; 32]>>>,
}

impl Shared {
    /// GOV.2: the key under which requests of a client are verified.
    pub(crate) fn client_key(&self, name: &str) -> Option<Credential> {
        match &self.governance {
            Some(governance) => {
                let regime = governance.regime();
                regime.state.directory().credential(name).map(|(credential, _)| credential.with.clone())
            }
            None => self.clients.get(name).cloned(),
        }
    }

    /// How far ahead the expiry of a request may lie: longer where it may have to wait for people.
    pub(crate) fn max_ahead(&self) -> Duration {
        let limits = &self.config.limits;
        if self.governance.is_some() {
            limits.request_max_ahead.max(limits.approval_max_ahead)
        } else {
            limits.request_max_ahead
        }
    }

    /// Sends a control message; a peer that cannot be reached just does not get it, and none hears of a failed check before its burn is on disk.
    pub(crate) async fn tell(&self, to: PeerId, message: &Control) {
        let Some(message) = self.hushed(message).await else { return };
        if let Err(error) = self.network.send_control(to, message.encode(trace::outgoing()).into()).await {
            tracing::debug!(peer = %self.name_of(to), %error, "control message not sent");
        }
    }

    pub(crate) fn unregister(&self, ceremony: &CeremonyId) {
        locked(&self.coordinated).remove(ceremony);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("name", &self.config.name)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The channel identity of a party is its protocol identity.
pub(crate) fn peer_of(identity: &IdentityKey) -> PeerId {
    PeerId::from_bytes(identity.to_bytes())
}

/// A failure of this node's own store.
pub(crate) fn store_problem(error: &StoreError) -> Problem {
    tracing::error!(%error, "store failed");
    Problem::new(Code::Internal, format!("this node's store failed: {error}"))
}

/// `party 2`, or the name of it.
pub(crate) fn party_name(names: &BTreeMap<PartyIndex, String>, party: PartyIndex) -> String {
    names.get(&party).cloned().unwrap_or_else(|| format!("party {party}"))
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| Problem::new(Code::Internal, "the operating system gave no random bytes"))?;
    Ok(bytes)
}

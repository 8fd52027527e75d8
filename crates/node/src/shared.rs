//! What all parts of a running node share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use quorate_api::{ClientPublicKey, Code, KeyId, Problem};
use quorate_net::{Network, PeerId};
use quorate_protocol::party::{IdentityKey, LocalIdentity, PartyIndex};
use quorate_seal::Sealer;
use quorate_store::{Store, StoreError};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::control::{Answer, CeremonyId, Control, Outcome};
use crate::keys::OpenMaterials;
use crate::metrics::Metrics;
use crate::registry::{Registry, locked};

/// The state of a running node.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) id: PeerId,
    pub(crate) identity: Arc<LocalIdentity>,
    pub(crate) store: Store,
    pub(crate) sealer: Sealer,
    pub(crate) network: Network,
    /// Names of all nodes, this one included.
    pub(crate) names: BTreeMap<PeerId, String>,
    pub(crate) clients: HashMap<String, ClientPublicKey>,
    pub(crate) registry: Registry,
    pub(crate) metrics: Metrics,
    /// Operations coordinated at once.
    pub(crate) slots: Semaphore,
    /// Proposals looked at or run at once, for each peer.
    pub(crate) peer_slots: BTreeMap<PeerId, Arc<Semaphore>>,
    /// Attempts that this node coordinates: where answers go.
    pub(crate) coordinated: Mutex<HashMap<CeremonyId, Coordinated>>,
    /// Attempts that this node takes part in, by coordinator: what it may still say.
    pub(crate) joined: Mutex<HashMap<(PeerId, CeremonyId), Joined>>,
    /// The secrets of keys that are open.
    pub(crate) materials: Mutex<OpenMaterials>,
    /// Pairs that burned since the start, by key and revision; the store has those of before, and these unless it failed.
    pub(crate) burned: Mutex<HashSet<(KeyId, u64, PeerId)>>,
    /// No new work.
    pub(crate) draining: CancellationToken,
    /// Break off what runs.
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// What a member tells a coordinator.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Answer),
    Ended(Outcome),
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
}

impl Shared {
    /// The configured name of a node, or its identity.
    pub(crate) fn name_of(&self, id: PeerId) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// The node with a name, this one included.
    pub(crate) fn by_name(&self, name: &str) -> Option<PeerId> {
        self.names.iter().find(|(_, known)| *known == name).map(|(id, _)| *id)
    }

    /// Sends a control message; a peer that cannot be reached just does not get it.
    pub(crate) async fn tell(&self, to: PeerId, message: &Control) {
        if let Err(error) = self.network.send_control(to, message.encode().into()).await {
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

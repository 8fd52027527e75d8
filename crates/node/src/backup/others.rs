//! What the other nodes know of keys that are to be restored: asked by a node that does not run, over the channels that it will have when it does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::Problem;
use quorate_keys::share::KeyId as PackageId;
use quorate_net::{NetConfig, Network, Peer, PeerId, StartError};
use quorate_store::{KeyStatus, StoreError};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::ceremony::protocols::epochs::Package;
use crate::config::{Config, ConfigError};
use crate::control::{Control, Ticket};
use crate::folder::{self, FolderError};
use crate::governance::{Governance, GovernanceError};
use crate::keys::Record;
use crate::keys::moving::epoch_of;
use crate::members::{Disagreement, Members};
use crate::node::net_limits;
use crate::shared::{Shared, random, store_problem};
use crate::unlock::Unlock;

/// Most keys of one question.
const MAX_ASKED: usize = 1024;
/// Most keys that were given away of which a node still speaks.
const MAX_AWAY: u32 = 10_000;

/// What a node knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct KnownEpoch {
    /// Names the key since its birth.
    pub(crate) key: [u8; 32],
    /// The newest epoch that is in force there, or that it saw come into force when it left.
    pub(crate) epoch: u64,
    /// Whether it has erased its share because that was ordered.
    pub(crate) destroyed: bool,
}

/// What one peer knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerKnows {
    /// Its name.
    pub node: String,
    /// The newest epoch of each key that it knows.
    pub epochs: BTreeMap<PackageId, u64>,
    /// Keys whose share it has erased because that was ordered.
    pub destroyed: BTreeSet<PackageId>,
}

/// A peer that did not say anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Silent {
    /// Its name.
    pub node: String,
    /// Why not, as far as that can be known from here.
    pub reason: String,
}

/// What came of asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Those that answered.
    pub answered: Vec<PeerKnows>,
    /// Those that did not.
    pub silent: Vec<Silent>,
}

/// Nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The directory of the cluster.
    #[error(transparent)]
    Governance(#[from] GovernanceError),
    /// Directory and configuration contradict each other.
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    /// The network.
    #[error(transparent)]
    Network(#[from] StartError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// BACKUP.16: asks the peers of a node that does not run what they know of these keys. Who does not answer within `patience` is named.
///
/// # Errors
/// [`AskError`] when nobody could be asked.
pub async fn ask_peers(config: &Config, keys: &[PackageId], patience: Duration) -> Result<Heard, AskError> {
    config.check()?;
    let opened = folder::open(&config.data, Unlock::of(config), Default::default()).await?;
    let folder::Opened { store, channel, id, .. } = opened;
    let peers = async {
        let governance = Governance::open(config.genesis.as_ref(), &store).await?;
        let regime = governance.as_ref().map(Governance::regime);
        let nodes = regime.as_ref().map(|regime| regime.state.directory().nodes());
        let members = Members::of((id, &config.name), &config.peers, nodes, 1)?;
        Ok::<Vec<Peer>, AskError>(members.peers().cloned().collect())
    };
    let peers = peers.await;
    store.close().await;
    let peers = peers?;
    // Nobody needs to find this process: it connects to those whom it asks.
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let limits = net_limits();
    let network =
        Network::start(NetConfig { identity: channel, listen, peers: peers.clone(), limits }).await?;
    let heard = ask_over(&network, peers, keys, Instant::now() + patience).await;
    network.shutdown().await;
    heard.map_err(|problem| AskError::Other(problem.detail))
}

async fn ask_over(
    network: &Network,
    peers: Vec<Peer>,
    keys: &[PackageId],
    until: Instant,
) -> Result<Heard, Problem> {
    let mut heard = Heard::default();
    let Some(mut control) = network.control() else { return Ok(heard) };
    let ids: Vec<PeerId> = peers.iter().map(|peer| peer.id).collect();
    let patience = until.saturating_duration_since(Instant::now());
    // Some of it is for their answers.
    network.wait_connected(&ids, patience.mul_f32(0.7)).await.unwrap_or_default();
    let mut waiting: BTreeSet<(PeerId, Ticket)> = BTreeSet::new();
    let mut told: BTreeMap<PeerId, PeerKnows> = BTreeMap::new();
    for peer in &peers {
        if !network.is_connected(peer.id) {
            let reason = "it is not connected: it does not run, cannot be reached at its address, or does not know this machine yet";
            heard.silent.push(Silent { node: peer.name.clone(), reason: reason.to_owned() });
            continue;
        }
        for keys in keys.chunks(MAX_ASKED) {
            let ticket: Ticket = random()?;
            let keys = keys.iter().map(|key| key.0).collect();
            let question = Control::TellEpochs { ticket, keys }.encode(None);
            if network.send_control(peer.id, question.into()).await.is_ok() {
                waiting.insert((peer.id, ticket));
            }
        }
        let knows =
            PeerKnows { node: peer.name.clone(), epochs: BTreeMap::new(), destroyed: BTreeSet::new() };
        told.insert(peer.id, knows);
    }
    while !waiting.is_empty() {
        let Ok(Some((from, bytes))) = timeout_at(until, control.recv()).await else { break };
        let Some((_, Control::Epochs { ticket, known })) = Control::decode(&bytes) else { continue };
        let (true, Some(knows)) = (waiting.remove(&(from, ticket)), told.get_mut(&from)) else { continue };
        for KnownEpoch { key, epoch, destroyed } in known.into_iter().take(MAX_ASKED) {
            let key = PackageId(key);
            let latest = knows.epochs.entry(key).or_insert(epoch);
            *latest = epoch.max(*latest);
            if destroyed {
                knows.destroyed.insert(key);
            }
        }
    }
    let missing: BTreeSet<PeerId> = waiting.iter().map(|(peer, _)| *peer).collect();
    for (peer, knows) in told {
        if missing.contains(&peer) {
            let reason = "it is connected and did not answer in time; an older version does not understand the question";
            heard.silent.push(Silent { node: knows.node, reason: reason.to_owned() });
        } else {
            heard.answered.push(knows);
        }
    }
    heard.answered.sort_by(|a, b| a.node.cmp(&b.node));
    heard.silent.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(heard)
}

/// The key of a record and its epoch.
fn named(record: &Record) -> Option<([u8; 32], u64)> {
    let package = Package::read(record.scheme, &record.package.0)?;
    // Its identity stands first in what names the key.
    Some((*package.key.first_chunk::<32>()?, package.epoch))
}

impl Shared {
    /// A peer that is about to restore shares asks what this node knows of their keys.
    pub(crate) async fn tell_epochs(
        &self,
        from: PeerId,
        ticket: Ticket,
        keys: &[[u8; 32]],
    ) -> Result<(), Problem> {
        let asked: BTreeSet<[u8; 32]> = keys.iter().take(MAX_ASKED).copied().collect();
        let mut known: BTreeMap<[u8; 32], KnownEpoch> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.store.list_keys(after, quorate_store::MAX_PAGE_LEN).await;
            let page = page.map_err(|error| store_problem(&error))?;
            for key in &page.items {
                // One that was never made may be made.
                let destroyed = key.status == KeyStatus::Destroyed && key.state.acts > 0;
                if key.status == KeyStatus::Pending || (key.status == KeyStatus::Destroyed && !destroyed) {
                    continue;
                }
                let Ok(record) = Record::from_bytes(&key.record) else { continue };
                if let Some((key, epoch)) = named(&record).filter(|(key, _)| asked.contains(key)) {
                    known.insert(key, KnownEpoch { key, epoch, destroyed });
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        // Keys that went on without this node.
        let away = self.store.all_moved_away(MAX_AWAY).await.map_err(|error| store_problem(&error))?;
        for away in away {
            let Ok(record) = Record::from_bytes(&away.record) else { continue };
            if let Some((key, _)) = named(&record).filter(|(key, _)| asked.contains(key)) {
                let epoch = epoch_of(away.epoch);
                let latest = known.entry(key).or_insert(KnownEpoch { key, epoch, destroyed: false });
                latest.epoch = latest.epoch.max(epoch);
            }
        }
        self.tell(from, &Control::Epochs { ticket, known: known.into_values().collect() }).await;
        Ok(())
    }
}

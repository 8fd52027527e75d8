//! Which nodes there are: in a governed cluster those of the directory in force, else those of the configuration. The configuration
//! says where they are. Both may change while the node runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_api::{Code, Problem};
use quorate_log::entry::Kind;
use quorate_net::{Peer, PeerId};
use quorate_policy::nodes::Nodes;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::audit;
use crate::config::{self, Config, ConfigError};
use crate::node::NodeError;
use crate::registry::locked;
use crate::shared::Shared;

/// What one peer may ask for at once.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Proposals looked at or run.
    pub(crate) proposals: Arc<Semaphore>,
    /// Questions about operations, and what else is small.
    pub(crate) questions: Arc<Semaphore>,
    /// Cases that are looked at: a slow pre-sign hook holds up nothing else.
    pub(crate) cases: Arc<Semaphore>,
}

impl Places {
    fn new(count: usize) -> Self {
        let some = || Arc::new(Semaphore::new(count));
        Self { proposals: some(), questions: some(), cases: some() }
    }
}

/// What this node is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// One of its nodes.
    Member,
    /// Not yet: it fetches the directory, and waits for the change that brings it in.
    Joining,
    /// No longer: it was removed, or another machine has its name.
    Gone,
}

/// Who the nodes are at one moment.
#[derive(Debug)]
pub(crate) struct Members {
    /// Names of all nodes in force, this one included if it is one.
    pub(crate) names: BTreeMap<PeerId, String>,
    pub(crate) standing: Standing,
    peers: BTreeMap<PeerId, Peer>,
    places: BTreeMap<PeerId, Places>,
}

/// The configuration and the directory contradict each other on this node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the directory and the configuration disagree on node `{0}`: compare names and identities; in a cluster with a directory the identities of [[peers]] may be left out"
)]
pub struct Disagreement(pub(crate) String);

fn identity_of(peer: &config::Peer) -> Option<PeerId> {
    peer.identity.parse().ok()
}

impl Members {
    /// Works out who the peers are. `configured` was checked; `nodes` are those of the directory, if there is one.
    pub(crate) fn of(
        own: (PeerId, &str),
        configured: &[config::Peer],
        nodes: Option<&Nodes>,
        places: usize,
    ) -> Result<Self, Disagreement> {
        let (id, name) = own;
        let mut names = BTreeMap::new();
        let mut peers = BTreeMap::new();
        let mut standing = Standing::Member;
        let mut add = |id: PeerId, name: &str, address: &str| {
            peers.insert(id, Peer { id, name: name.to_owned(), address: address.to_owned() });
        };
        if let Some(nodes) = nodes {
            let in_force = || {
                let known = nodes.in_force().iter();
                known.filter_map(|(name, identity)| {
                    Some((name, PeerId::from_bytes(identity.as_ref().try_into().ok()?)))
                })
            };
            names.extend(in_force().map(|(name, id)| (id, name.clone())));
            standing = match names.get(&id) {
                Some(known) if known == name => Standing::Member,
                Some(_) => return Err(Disagreement(name.to_owned())),
                None if nodes.former(id.as_bytes()).is_some() => Standing::Gone,
                None => Standing::Joining,
            };
            for (name, known) in in_force().filter(|(other, known)| *known != id && *other != name) {
                let peer = configured.iter().find(|peer| peer.name == *name);
                let address = peer.map_or("", |peer| &peer.address);
                // Outdated if it was the identity of a node once: the directory knows better.
                let other = peer.and_then(identity_of).filter(|other| *other != known);
                let other = other.filter(|other| nodes.former(other.as_bytes()).is_none());
                match (standing, other) {
                    (Standing::Gone, _) => {}
                    (_, None) => add(known, name, address),
                    // It may have been replaced since the version that this node has, which nobody else can tell.
                    (Standing::Joining, Some(other)) => add(other, name, address),
                    (Standing::Member, Some(_)) => return Err(Disagreement(name.clone())),
                }
            }
            if standing == Standing::Joining {
                let unknown = configured.iter().filter(|peer| !nodes.in_force().contains_key(&peer.name));
                for (peer, id) in unknown.filter_map(|peer| Some((peer, identity_of(peer)?))) {
                    if nodes.former(id.as_bytes()).is_none() && !names.contains_key(&id) {
                        add(id, &peer.name, &peer.address);
                    }
                }
            }
        } else {
            names.insert(id, name.to_owned());
            for (peer, id) in configured.iter().filter_map(|peer| Some((peer, identity_of(peer)?))) {
                add(id, &peer.name, &peer.address);
                names.insert(id, peer.name.clone());
            }
        }
        let places = peers.keys().map(|id| (*id, Places::new(places))).collect();
        Ok(Self { names, standing, peers, places })
    }

    /// The peers.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// What a peer may ask for; `None` for who is none.
    pub(crate) fn places(&self, peer: PeerId) -> Option<&Places> {
        self.places.get(&peer)
    }

    /// The name of a node, or of a peer that is no node yet.
    fn name(&self, id: PeerId) -> Option<&String> {
        self.names.get(&id).or_else(|| self.peers.get(&id).map(|peer| &peer.name))
    }
}

/// What a change of the peers did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Names of peers that were added.
    pub added: Vec<String>,
    /// Names of peers that were removed. One whose identity changed is here and among the added.
    pub removed: Vec<String>,
    /// Names of peers that have another address or name.
    pub moved: Vec<String>,
    /// Sections and keys of the configuration that differ from those that the node runs with: they need a restart.
    pub restart: Vec<String>,
}

#[derive(Serialize)]
struct Repinned<'a> {
    what: &'static str,
    added: &'a BTreeMap<String, String>,
    removed: &'a BTreeMap<String, String>,
}

impl Shared {
    /// Who the nodes are now. What belongs together looks once.
    pub(crate) fn members(&self) -> Arc<Members> {
        Arc::clone(&locked(&self.members))
    }

    /// The name of a node, or its identity.
    pub(crate) fn name_of(&self, id: PeerId) -> String {
        self.members().name(id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// The node with a name, this one included.
    pub(crate) fn by_name(&self, name: &str) -> Option<PeerId> {
        self.members().names.iter().find(|(_, known)| *known == name).map(|(id, _)| *id)
    }

    /// Whether the identity is that of a node now. A party of a key whose identity is not has lost its share.
    pub(crate) fn is_node(&self, id: PeerId) -> bool {
        self.members().names.contains_key(&id)
    }

    /// GOV.12: only a node of the cluster takes part in anything.
    pub(crate) fn check_member(&self) -> Result<(), Problem> {
        self.no_member().map_or(Ok(()), |why| Err(Problem::new(Code::Unavailable, why)))
    }

    /// Why this node takes part in nothing, if it does not.
    pub(crate) fn no_member(&self) -> Option<&'static str> {
        match self.members().standing {
            Standing::Member => None,
            Standing::Joining => Some(
                "this node is not one of the cluster's nodes yet: its admins bring it in with `quorate directory add-node` or `replace-node`, and then it connects by itself",
            ),
            Standing::Gone => Some(
                "this node was removed from the cluster, or another machine has taken its place: to come back it needs a fresh folder (`quorate node init`) and the admins' approval",
            ),
        }
    }

    fn wanted(&self, configured: &[config::Peer]) -> Result<Members, Disagreement> {
        let own = (self.id, self.config.name.as_str());
        let places = self.config.limits.max_proposals_per_peer;
        match &self.governance {
            Some(governance) => {
                let regime = governance.regime();
                Members::of(own, configured, Some(regime.state.directory().nodes()), places)
            }
            None => Members::of(own, configured, None, places),
        }
    }

    /// Makes the peers those that are wanted now. From then on who is none is refused, and its connections end.
    fn take_members(&self, next: Members) -> (Reloaded, BTreeMap<String, String>, BTreeMap<String, String>) {
        let mut done = Reloaded::default();
        let (mut pinned, mut unpinned) = (BTreeMap::new(), BTreeMap::new());
        let mut members = locked(&self.members);
        let mut next = next;
        for (id, places) in &mut next.places {
            if let Some(before) = members.places.get(id) {
                *places = before.clone();
            }
        }
        let (before, standing) = (members.peers.clone(), members.standing);
        let next = Arc::new(next);
        *members = Arc::clone(&next);
        // The lock is held until the network has followed: it never goes back to older members.
        for (id, gone) in before.iter().filter(|(id, _)| !next.peers.contains_key(id)) {
            self.network.remove_peer(*id);
            self.metrics.end_peer(&gone.name);
            done.removed.push(gone.name.clone());
            unpinned.insert(gone.name.clone(), id.to_string());
        }
        for (id, peer) in &next.peers {
            match before.get(id) {
                None => match self.network.add_peer(peer.clone()) {
                    Ok(()) => {
                        self.metrics.begin_peer(&peer.name);
                        done.added.push(peer.name.clone());
                        pinned.insert(peer.name.clone(), id.to_string());
                    }
                    Err(error) => tracing::error!(peer = peer.name, %error, "a node is no peer of this one"),
                },
                Some(known) if known != peer => {
                    self.network.rename_peer(*id, &peer.name);
                    self.network.set_address(*id, &peer.address);
                    done.moved.push(peer.name.clone());
                }
                Some(_) => {}
            }
        }
        drop(members);
        if next.standing != standing {
            match self.no_member() {
                None => tracing::info!("this node is one of the cluster's nodes now"),
                Some(why) => tracing::warn!("{why}"),
            }
        }
        (done, pinned, unpinned)
    }

    /// GOV.12: follows the directory that has just come into force.
    pub(crate) fn follow_nodes(&self) {
        let configured = locked(&self.configured).clone();
        let next = self.wanted(&configured).or_else(|Disagreement(name)| {
            // The admins' word counts. At the next start the operator is told.
            tracing::warn!(node = name, "the configuration has another identity for a node than the directory: the directory counts; take the identity out of [[peers]]");
            let bare = configured.iter().map(|peer| config::Peer { identity: String::new(), ..peer.clone() });
            self.wanted(&bare.collect::<Vec<_>>())
        });
        match next {
            Ok(next) => drop(self.take_members(next)),
            Err(error) => tracing::error!(%error, "the nodes of the directory are not taken up"),
        }
    }

    /// Takes up the peers of a configuration that was read again. Of everything else it only says what differs.
    pub(crate) async fn reload(&self, config: &Config) -> Result<Reloaded, NodeError> {
        config.check()?;
        let refused = |error: Disagreement| ConfigError::Check(vec![error.to_string()]);
        let next = self.wanted(&config.peers).map_err(refused)?;
        let restart = differences(&self.config, config)?;
        locked(&self.configured).clone_from(&config.peers);
        let (done, pinned, unpinned) = self.take_members(next);
        if self.governance.is_none() && !(pinned.is_empty() && unpinned.is_empty()) {
            let body = Repinned { what: "peers", added: &pinned, removed: &unpinned };
            let entry = audit::entry(Kind::Change, &body);
            let logged = match entry {
                Ok(entry) => self.log_entries(vec![entry]).await,
                Err(problem) => Err(problem),
            };
            logged.map_err(|problem| NodeError::Records(Box::new(problem)))?;
        }
        let done = Reloaded { restart, ..done };
        tracing::info!(added = ?done.added, removed = ?done.removed, moved = ?done.moved, restart = ?done.restart, "configuration read again");
        Ok(done)
    }
}

/// Top-level keys, but for the peers, in which two configurations differ.
fn differences(one: &Config, other: &Config) -> Result<Vec<String>, ConfigError> {
    let table = |config: &Config| -> Result<toml::Table, ConfigError> {
        toml::from_str(&config.to_toml()?).map_err(|error| ConfigError::Parse(error.to_string()))
    };
    let (one, other) = (table(one)?, table(other)?);
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differs =
        |key: &&&String| key.as_str() != "peers" && one.get(key.as_str()) != other.get(key.as_str());
    Ok(keys.iter().filter(differs).map(|key| (*key).clone()).collect())
}

//! Peers that come and go while the network runs.

use std::sync::{Arc, PoisonError};

use super::Network;
use crate::config::Peer;
use crate::identity::PeerId;
use crate::link::{Link, locked};

/// Why somebody does not become a peer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The identity is not a usable Ed25519 public key.
    #[error(
        "the identity `{id}` of peer `{name}` is not a usable Ed25519 public key: copy it again from the peer"
    )]
    UnusableIdentity {
        /// The peer's name.
        name: String,
        /// The identity.
        id: PeerId,
    },
    /// It is a peer already.
    #[error("the identity `{id}` is that of peer `{name}` already")]
    AlreadyPeer {
        /// The name it has.
        name: String,
        /// The identity.
        id: PeerId,
    },
    /// It is this node's own identity.
    #[error("peer `{name}` has this node's own identity")]
    OwnIdentity {
        /// The peer's name.
        name: String,
    },
    /// The TLS library refused the identity or its parameters.
    #[error("cannot set up tls with peer `{name}`: {source}")]
    Tls {
        /// The peer's name.
        name: String,
        /// What the library said.
        source: rustls::Error,
    },
}

impl Network {
    /// From now on this identity may connect, and is dialled if it has an address. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`PeerError`]; nothing has changed then.
    pub fn add_peer(&self, peer: Peer) -> Result<(), PeerError> {
        let Peer { id, name, .. } = peer.clone();
        if id == self.id() {
            return Err(PeerError::OwnIdentity { name });
        }
        if !id.is_usable() {
            return Err(PeerError::UnusableIdentity { name, id });
        }
        let shared = &self.shared;
        let mut links = shared.links.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&id) {
            return Err(PeerError::AlreadyPeer { name: link.name(), id });
        }
        let retired = locked(&shared.retired).get(&id).map(Arc::clone);
        let link = match retired {
            Some(link) => {
                link.revive(&peer);
                link
            }
            None => Arc::new(Link::new(self.id(), peer, self.limits(), shared.changed.clone())),
        };
        shared.around.router.admit(id, Arc::clone(&link.drops));
        if let Err(source) = shared.keep_dialling(&link) {
            shared.around.router.forget(id);
            return Err(PeerError::Tls { name, source });
        }
        locked(&shared.retired).remove(&id);
        links.insert(id, link);
        locked(&shared.pins).insert(id);
        drop(links);
        tracing::info!(peer = name, %id, "peer added");
        Ok(())
    }

    /// From now on this identity is refused: its connections end at once, what waits for it is forgotten, and sessions that wait for
    /// it end as lost. False if it was no peer.
    pub fn remove_peer(&self, id: PeerId) -> bool {
        let shared = &self.shared;
        let mut links = shared.links.write().unwrap_or_else(PoisonError::into_inner);
        locked(&shared.pins).remove(&id);
        let Some(link) = links.remove(&id) else { return false };
        // While the lock is held: nobody adds it again in between.
        shared.around.router.forget(id);
        // Cancelled before it can be revived.
        link.remove();
        locked(&shared.retired).insert(id, Arc::clone(&link));
        drop(links);
        shared.tasks.spawn(Arc::clone(&link).drain());
        tracing::info!(peer = link.name(), %id, "peer removed");
        true
    }

    /// Where a peer is dialled from now on; empty if it has to dial us. A connection that is up stays: its identity has not changed.
    /// False if it is no peer.
    pub fn set_address(&self, id: PeerId, address: &str) -> bool {
        let Some(link) = self.shared.link(id) else { return false };
        link.address.send_if_modified(|old| {
            let differs = old != address;
            address.clone_into(old);
            differs
        });
        true
    }

    /// Gives a peer another name. False if it is no peer.
    pub fn rename_peer(&self, id: PeerId, name: &str) -> bool {
        let Some(link) = self.shared.link(id) else { return false };
        link.call(name);
        true
    }

    /// Whether this identity is a peer now.
    #[must_use]
    pub fn is_peer(&self, id: PeerId) -> bool {
        self.shared.link(id).is_some()
    }
}

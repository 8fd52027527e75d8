//! The keys to which shares for nodes are sealed: each node's follows from its identity, which signs it, and any node passes on what its
//! peers say.

use std::time::Duration;

use futures_util::future::join_all;
use quorate_api::{Hex, NodeSealingKey, SealingKeys};
use quorate_net::PeerId;
use quorate_protocol::party::Identity as _;
use tokio::time::timeout;

use crate::control::{Control, Ticket};
use crate::shared::Shared;

/// How long a peer may take to say its key.
const TELLS: Duration = Duration::from_secs(2);

impl Shared {
    /// This node's sealing key, signed.
    fn own_sealing_key(&self) -> (Vec<u8>, [u8; 64]) {
        // PST.3
        let key = self.sealing.public().to_bytes();
        let signature = self.identity.sign(&NodeSealingKey::signed_bytes(&key));
        (key, signature)
    }

    pub(crate) async fn tell_sealing_key(&self, to: PeerId, ticket: Ticket) {
        let (key, signature) = self.own_sealing_key();
        self.tell(to, &Control::SealingKey { ticket, key, signature }).await;
    }

    /// The sealing keys of this node and of every peer that says its own in time, as far as they hold.
    pub(crate) async fn sealing_keys(&self) -> SealingKeys {
        let named = |peer: PeerId, (key, signature): (Vec<u8>, [u8; 64])| NodeSealingKey {
            name: self.name_of(peer),
            identity: Hex(peer.as_bytes().to_vec()),
            key: Hex(key),
            signature: signature.into(),
        };
        let members = self.members();
        let asked = members.names.keys().filter(|peer| **peer != self.id);
        let asked = asked.map(async |peer| {
            let said = self.ask_for_sealing_key(*peer).await.map(|said| named(*peer, said));
            said.filter(NodeSealingKey::holds).ok_or_else(|| self.name_of(*peer))
        });
        let mut answer =
            SealingKeys { keys: vec![named(self.id, self.own_sealing_key())], absent: Vec::new() };
        for said in join_all(asked).await {
            match said {
                Ok(key) => answer.keys.push(key),
                Err(name) => answer.absent.push(name),
            }
        }
        answer.keys.sort_by(|a, b| a.name.cmp(&b.name));
        answer.absent.sort();
        answer
    }

    async fn ask_for_sealing_key(&self, peer: PeerId) -> Option<(Vec<u8>, [u8; 64])> {
        if !self.network.is_connected(peer) {
            return None;
        }
        let mut question = self.asked_for_sealing_keys.ask(peer).ok()?;
        self.tell(peer, &Control::TellSealingKey { ticket: question.ticket }).await;
        timeout(TELLS, &mut question.answered).await.ok()?.ok()
    }
}

//! Nodes watch each other's logs: each offers its head to its peers, and cosigns theirs if they continue what it saw before. So a node
//! that goes back, or shows two histories, is found out by the others (`spec/41-log.md`, LOG.5 and LOG.6).

mod put_back;

use std::collections::BTreeMap;

use quorate_api::Problem;
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::Kind;
use quorate_log::note::{KeyError, WitnessSigner};
use quorate_log::offer::Offer;
use quorate_log::witness::Refusal;
use quorate_net::PeerId;
use serde::Serialize;

use crate::audit::{entry, log_key, log_name, witness_key};
use crate::clock;
use crate::control::Control;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// Cosigns heads of other nodes' logs under this node's identity.
pub(crate) fn signer(id: PeerId, seed: &[u8; 32]) -> Result<WitnessSigner, KeyError> {
    WitnessSigner::from_seed(&log_name(id), seed)
}

/// What this node knows of its own log's witnesses.
#[derive(Debug, Default)]
pub(crate) struct Witnesses {
    /// How much of this log each peer has seen, as far as it said.
    seen: BTreeMap<PeerId, u64>,
    /// The head that is being cosigned.
    head: Option<SignedCheckpoint>,
}

#[derive(Debug, Serialize)]
struct Contradiction<'a> {
    node: String,
    identity: String,
    what: &'a str,
}

impl Shared {
    /// Offers the newest head to everybody who is there and has not seen it.
    pub(crate) async fn offer_head(&self) -> Result<(), Problem> {
        for peer in self.network.connected() {
            let seen = locked(&self.witnesses).seen.get(&peer).copied().unwrap_or(0);
            if let Some(offer) = self.offer(seen).await?
                && offer.checkpoint().claim().size() != seen
            {
                self.offer_to(peer, &offer).await;
            }
        }
        Ok(())
    }

    async fn offer(&self, seen: u64) -> Result<Option<Offer>, Problem> {
        self.store.log_offer(seen).await.map_err(|error| store_problem(&error))
    }

    async fn offer_to(&self, peer: PeerId, offer: &Offer) {
        {
            let mut witnesses = locked(&self.witnesses);
            let newer = witnesses
                .head
                .as_ref()
                .is_none_or(|head| head.claim().size() < offer.checkpoint().claim().size());
            if newer {
                witnesses.head = Some(offer.checkpoint().clone());
            }
        }
        self.tell(peer, &Control::Offer { offer: offer.to_string() }).await;
    }

    /// Judges the head that a peer offers. What contradicts what was seen before is logged, and nothing is cosigned.
    pub(crate) async fn witness(&self, from: PeerId, offer: &str) -> Result<(), Problem> {
        let (Ok(key), Ok(offer)) = (log_key(from), Offer::parse(offer)) else { return Ok(()) };
        // One at a time, or an older head could replace a newer one.
        let _one = self.watching.lock().await;
        let peer = from.to_string();
        let kept = self.store.log_seen(&peer).await.map_err(|error| store_problem(&error))?;
        let kept = kept.as_deref().map(SignedCheckpoint::parse).transpose().ok().flatten();
        match offer.observe(&key, kept.as_ref()) {
            Ok(observed) => {
                let note = observed.checkpoint().to_string();
                self.store.set_log_seen(&peer, note).await.map_err(|error| store_problem(&error))?;
                if let Ok(cosigned) = observed.cosign(&self.witness, clock::seconds()) {
                    self.tell(from, &Control::Cosigned { head: cosigned.to_string() }).await;
                }
            }
            Err(Refusal::Stale { kept }) => self.tell(from, &Control::Seen { size: kept }).await,
            Err(Refusal::Rollback { kept: size, .. }) => {
                self.contradicted(from, "it went back behind a head that this node saw").await?;
                self.tell(from, &Control::Seen { size }).await;
                self.show_kept(from, kept.as_ref()).await;
            }
            Err(Refusal::Fork(evidence)) => {
                tracing::error!(peer = %self.name_of(from), %evidence, "two signed heads of one log");
                self.contradicted(from, "it has signed two histories").await?;
                self.show_kept(from, kept.as_ref()).await;
            }
            // An honest peer can prove it. This convinces nobody else, so it is not said where worse is known.
            Err(Refusal::Proof(_)) => {
                if !locked(&self.contradictions).iter().any(|(peer, _)| *peer == from) {
                    self.contradicted(from, "it does not lead to a head that this node saw").await?;
                }
                self.show_kept(from, kept.as_ref()).await;
            }
            Err(refusal) => {
                tracing::debug!(peer = %self.name_of(from), %refusal, "head of a log not cosigned");
            }
        }
        Ok(())
    }

    /// LOG.17: shows a peer the head of its log that this node saw, so that it can tell that it was put back.
    async fn show_kept(&self, to: PeerId, kept: Option<&SignedCheckpoint>) {
        if let Some(kept) = kept {
            self.tell(to, &Control::SeenHead { head: kept.to_string() }).await;
        }
    }

    /// A peer's log contradicts itself: said once for each contradiction, to the operators and to the log.
    async fn contradicted(&self, from: PeerId, what: &'static str) -> Result<(), Problem> {
        if !locked(&self.contradictions).insert((from, what)) {
            return Ok(());
        }
        self.metrics.contradiction(self.name_of(from));
        self.events.contradiction(self.name_of(from), what);
        tracing::error!(peer = %self.name_of(from), what, "the log of a peer contradicts what this node saw of it");
        let body = Contradiction { node: self.name_of(from), identity: from.to_string(), what };
        self.log_entries(vec![entry(Kind::Evidence, &body)?]).await
    }

    /// A peer saw this much of this log: it is offered again from there. If that is more than there is, this node was put back.
    pub(crate) async fn seen(&self, from: PeerId, size: u64) -> Result<(), Problem> {
        let Some(offer) = self.offer(size).await? else { return Ok(()) };
        if offer.checkpoint().claim().size() < size {
            if locked(&self.contradictions).insert((self.id, "older")) {
                tracing::error!(
                    peer = %self.name_of(from), size,
                    "a peer saw more of this node's log than there is: was an old copy of the folder restored?"
                );
            }
            return Ok(());
        }
        let before = locked(&self.witnesses).seen.insert(from, size);
        // Only one more try: the next comes with the next tick. Also a head of just this size is offered, because only the peer
        // can tell whether it is the one it saw.
        if before != Some(size) {
            self.offer_to(from, &offer).await;
        }
        Ok(())
    }

    /// Takes over a cosignature of this node's head.
    pub(crate) async fn cosigned(&self, from: PeerId, head: &str) -> Result<(), Problem> {
        let (Ok(key), Ok(copy)) = (witness_key(from), SignedCheckpoint::parse(head)) else { return Ok(()) };
        // One at a time, or a head with fewer lines could be stored over one with more.
        let _one = self.watching.lock().await;
        let note = {
            let mut witnesses = locked(&self.witnesses);
            let Some(own) = witnesses.head.as_mut() else { return Ok(()) };
            if own.take_cosignature(&copy, &key).is_err() {
                return Ok(());
            }
            let (size, note) = (own.claim().size(), own.to_string());
            witnesses.seen.insert(from, size);
            note
        };
        self.store.set_log_cosigned(note).await.map_err(|error| store_problem(&error))
    }
}

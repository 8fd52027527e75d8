//! What a node does that was put back to an older state: a snapshot of its disk does not know which pairs were burned since, so none of
//! those that it holds is used again (`spec/41-log.md`, LOG.17).

use std::collections::BTreeMap;

use quorate_api::{KeyId, Problem};
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::Kind;
use quorate_log::witness::Refusal;
use quorate_net::PeerId;
use quorate_protocol::party::PartyIndex;

use super::Contradiction;
use crate::audit::{entry, log_key};
use crate::ceremony::protocols;
use crate::keys::Record;
use crate::keys::moving::Next;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// A key in an epoch whose set-up this node holds, and who is at the other ends.
struct Pairs {
    key: KeyId,
    revision: u64,
    peers: BTreeMap<PartyIndex, PeerId>,
}

fn pairs(key: &str, revision: u64, record: &Record) -> Option<Pairs> {
    let key: KeyId = key.parse().ok()?;
    protocols::has_setup(record.scheme).then(|| Pairs { key, revision, peers: record.peers() })
}

impl Shared {
    /// LOG.17: a peer shows a head of this node's log that it saw. If this node signed it and its log does not continue it, the node was put
    /// back; then every pair is burned, once. A peer can prove that and nothing else: it cannot sign for this node.
    pub(crate) async fn put_back(&self, from: PeerId, head: &str) -> Result<(), Problem> {
        let (Ok(key), Ok(head)) = (log_key(self.id), SignedCheckpoint::parse(head)) else { return Ok(()) };
        if head.verify(&key).is_err() {
            return Ok(());
        }
        let _one = self.watching.lock().await;
        let size = head.claim().size();
        let own = self.id.to_string();
        let known = self.store.log_seen(&own).await.map_err(|error| store_problem(&error))?;
        let known = known.as_deref().map(SignedCheckpoint::parse).transpose().ok().flatten();
        if known.is_some_and(|known| known.claim().size() >= size) {
            return Ok(());
        }
        let Some(offer) = self.offer(size).await? else { return Ok(()) };
        // A proof of its own is right, so one that does not hold shows another past. It is no evidence of a fork where the old size is a power
        // of two: then the old root is not in it.
        let refused = offer.observe(&key, Some(&head));
        if !matches!(refused, Err(Refusal::Rollback { .. } | Refusal::Fork(_) | Refusal::Proof(_))) {
            return Ok(());
        }
        let what = "this node was put back to an older state: every pair of its keys is burned";
        tracing::error!(
            peer = %self.name_of(from), size,
            "{what}, because burn marks made since are lost. Refresh its keys, or give up this node and repair them at a new one: no peer cosigns its log any more"
        );
        let evidence = blake3::derive_key("quorate 2026 node put back v1", head.to_string().as_bytes());
        // All of them first: the disk may take none.
        for pairs in self.all_pairs().await? {
            self.burn_pairs(&pairs, evidence);
        }
        self.save_burns().await?;
        self.metrics.contradiction(self.config.name.clone());
        self.events.contradiction(self.config.name.clone(), what);
        let body = Contradiction { node: self.config.name.clone(), identity: own.clone(), what };
        self.log_entries(vec![entry(Kind::Evidence, &body)?]).await?;
        // Last: whoever stops before begins again.
        let kept = self.store.set_log_seen(&own, head.to_string()).await;
        kept.map_err(|error| store_problem(&error))
    }

    /// Of all keys, and of the epochs that are prepared: they may have been in use when the state of now was not yet.
    async fn all_pairs(&self) -> Result<Vec<Pairs>, Problem> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list_keys(after, quorate_store::MAX_PAGE_LEN).await;
            let page = page.map_err(|error| store_problem(&error))?;
            for key in &page.items {
                all.extend(pairs(&key.key_id, key.epoch, &Record::from_bytes(&key.record)?));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        for next in self.store.successors(None).await.map_err(|error| store_problem(&error))? {
            all.extend(pairs(&next.key_id, next.epoch, &Next::read(&next)?.record));
        }
        Ok(all)
    }

    fn burn_pairs(&self, pairs: &Pairs, evidence: [u8; 32]) {
        let Pairs { key, revision, peers } = pairs;
        for (index, peer) in peers.iter().filter(|(_, peer)| **peer != self.id) {
            self.burn_pair(key, *revision, *peer, evidence, evidence);
            // Whoever opens the key from here on sees the mark: `Shared::material`.
            if let Some(open) = locked(&self.materials).get(key) {
                open.setup.burn(*index);
            }
        }
    }
}

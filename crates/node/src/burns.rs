//! Burns of pairs: in force at once, on disk before anything else leaves (CER.8).

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use quorate_api::{KeyId, Problem};
use quorate_net::PeerId;
use quorate_store::{Burn, InstanceId, OtDirection};

use crate::clock;
use crate::control::{Answer, Control, Refusal};
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// How long the disk is left alone after it did not take a mark.
const AGAIN: Duration = Duration::from_secs(1);

/// The pairs that burned since the start; the store has those of before.
#[derive(Default)]
pub(crate) struct Burns {
    /// By key and revision.
    in_force: Mutex<HashSet<(KeyId, u64, PeerId)>>,
    /// Those of which the store has not taken every mark yet.
    unsaved: Mutex<Vec<Unsaved>>,
    /// Held while marks are stored: whoever waits for it finds them stored, or the disk as bad as before.
    saving: tokio::sync::Mutex<()>,
}

/// A pair that burned and the marks of it that are not on disk.
#[derive(Clone, PartialEq)]
struct Unsaved {
    key: KeyId,
    peer: PeerId,
    marks: Vec<Burn>,
}

impl Burns {
    /// The peers with whom a pair burned since the start, in a revision of a key.
    pub(crate) fn peers(&self, key: &KeyId, revision: u64) -> Vec<PeerId> {
        let in_force = locked(&self.in_force);
        in_force.iter().filter(|(of, at, _)| of == key && *at == revision).map(|(_, _, peer)| *peer).collect()
    }

    /// How many marks are not on disk.
    pub(crate) fn unsaved(&self) -> usize {
        locked(&self.unsaved).iter().map(|pair| pair.marks.len()).sum()
    }
}

impl Shared {
    /// Burns the pair with a peer in a revision of a key: nobody here uses it again. Durable when it returns.
    ///
    /// # Errors
    /// The store does not take the marks; the pair is burned nevertheless, and they are tried again until the disk takes them.
    pub(crate) async fn burn_pair(
        &self,
        key: &KeyId,
        revision: u64,
        peer: PeerId,
        session: [u8; 32],
        evidence_hash: [u8; 32],
    ) -> Result<(), Problem> {
        // Both directions: the pair is not used again, whichever side failed.
        let mark = |direction| {
            let instance = InstanceId {
                key_id: key.as_str().to_owned(),
                epoch: revision,
                peer: peer.as_bytes().to_vec(),
                direction,
                generation: 0,
            };
            Burn { instance, session: session.to_vec(), evidence_hash, burned_at: clock::millis() }
        };
        let marks = [OtDirection::Sender, OtDirection::Receiver].map(mark).to_vec();
        // Whoever sees the burn sees that it is not on disk, so this is first.
        locked(&self.burns.unsaved).push(Unsaved { key: key.clone(), peer, marks });
        // In memory before the disk: one that is full must not give the pair another chance.
        locked(&self.burns.in_force).insert((key.clone(), revision, peer));
        self.pool.burned(key, revision, peer);
        self.save_burns().await
    }

    /// The same, and waits for a disk that does not take the marks: nothing that follows from the burn may happen before.
    ///
    /// # Errors
    /// The node stops before the disk has taken them.
    pub(crate) async fn burn_pair_for_good(
        &self,
        key: &KeyId,
        revision: u64,
        peer: PeerId,
        session: [u8; 32],
        evidence_hash: [u8; 32],
    ) -> Result<(), Problem> {
        let mut saved = self.burn_pair(key, revision, peer, session, evidence_hash).await;
        while saved.is_err() && self.stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_some() {
            saved = self.save_burns().await;
        }
        saved
    }

    /// Stores the marks that are not on disk.
    ///
    /// # Errors
    /// The store does not take all of them.
    pub(crate) async fn save_burns(&self) -> Result<(), Problem> {
        if locked(&self.burns.unsaved).is_empty() {
            return Ok(());
        }
        let _one = self.burns.saving.lock().await;
        let unsaved = locked(&self.burns.unsaved).clone();
        let mut failed = None;
        for pair in unsaved {
            let (mut left, mut is_new) = (Vec::new(), false);
            for mark in &pair.marks {
                match self.store_burn(mark.clone()).await {
                    Ok(new) => is_new |= new,
                    Err(error) => {
                        tracing::error!(key = %pair.key, "a burn mark is not on disk yet: free space, and do not restart this node before");
                        failed = Some(store_problem(&error));
                        left.push(mark.clone());
                    }
                }
            }
            let all = left.is_empty();
            // Counted as unsaved until now: who asks meanwhile must not hear that all is well.
            let mut unsaved = locked(&self.burns.unsaved);
            let Some(at) = unsaved.iter().position(|other| *other == pair) else { continue };
            if all {
                unsaved.remove(at);
            } else if let Some(kept) = unsaved.get_mut(at) {
                kept.marks = left;
            }
            drop(unsaved);
            if all && is_new {
                self.events.burned(&pair.key, self.name_of(pair.peer));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// CER.8: what may be said to a peer while marks are not on disk. What became of an attempt is not. Whether this node takes part in one
    /// is answered as by a node whose disk takes no operation: the answer tells of the disk, whatever burned.
    pub(crate) async fn hushed<'a>(&self, message: &'a Control) -> Option<Cow<'a, Control>> {
        if !matches!(message, Control::Answer { .. } | Control::Ended { .. }) {
            return Some(Cow::Borrowed(message));
        }
        let Err(problem) = self.save_burns().await else { return Some(Cow::Borrowed(message)) };
        let Control::Answer { ceremony, .. } = message else { return None };
        let answer = Answer::Refuse(Refusal::new(&problem, None));
        Some(Cow::Owned(Control::Answer { ceremony: *ceremony, answer }))
    }
}

//! Burns of pairs: in force at once, on disk before anything else leaves (CER.8).

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use quorate_api::{Code, KeyId, Problem};
use quorate_net::PeerId;
use quorate_protocol::party::PartyIndex;
use quorate_store::{Burn, InstanceId, OtDirection};
use tokio::time::Instant;

use crate::ceremony::SHUTTING_DOWN;
use crate::clock;
use crate::control::{Answer, Control, Refusal};
use crate::keys::{OpenKey, Record};
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// How long the disk is left alone after it did not take a mark.
const AGAIN: Duration = Duration::from_secs(1);

/// The pair with a peer, in a revision of a key.
type Pair = (KeyId, u64, PeerId);

/// The pairs that burned since the start; the store has those of before.
#[derive(Default)]
pub(crate) struct Burns {
    in_force: Mutex<HashSet<Pair>>,
    /// Those of which the store has not taken every mark yet. Locked before `in_force`.
    unsaved: Mutex<HashMap<Pair, Vec<Burn>>>,
    /// Held while marks are stored, so that whoever waited for it finds them stored or the disk as bad as before: when it failed last, and how.
    saving: tokio::sync::Mutex<Option<(Instant, Problem)>>,
}

impl Burns {
    /// The parties with whom a pair burned since the start, in a revision of a key.
    pub(crate) fn parties(&self, key: &KeyId, revision: u64, record: &Record) -> BTreeSet<PartyIndex> {
        let in_force = locked(&self.in_force);
        let of_key = in_force.iter().filter(|(of, at, _)| of == key && *at == revision);
        of_key.filter_map(|(_, _, peer)| record.index_of(*peer)).collect()
    }

    /// How many marks are not on disk.
    pub(crate) fn unsaved(&self) -> usize {
        locked(&self.unsaved).values().map(Vec::len).sum()
    }
}

impl Shared {
    /// Burns the pair with a peer in a revision of a key: nobody here uses it again. The marks are still to be stored.
    pub(crate) fn burn_pair(
        &self,
        key: &KeyId,
        revision: u64,
        peer: PeerId,
        session: [u8; 32],
        evidence_hash: [u8; 32],
    ) {
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
        let pair = (key.clone(), revision, peer);
        {
            // Whoever sees it in force sees here that it is not on disk.
            let mut unsaved = locked(&self.burns.unsaved);
            // In memory before the disk: one that is full must not give the pair another chance.
            if locked(&self.burns.in_force).insert(pair.clone()) {
                unsaved.insert(pair, [OtDirection::Sender, OtDirection::Receiver].map(mark).to_vec());
            }
        }
        self.pool.burned(key, revision, peer);
    }

    /// Waits until every mark is on disk: nothing that follows from a burn may happen before.
    ///
    /// # Errors
    /// The node stops before.
    pub(crate) async fn burns_saved(&self) -> Result<(), Problem> {
        while self.save_burns().await.is_err() {
            let stopped = self.stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_none();
            if stopped {
                return Err(Problem::new(Code::Unavailable, SHUTTING_DOWN));
            }
        }
        Ok(())
    }

    /// Stores the marks that are not on disk, unless the disk has just refused one.
    ///
    /// # Errors
    /// The store does not take all of them.
    pub(crate) async fn save_burns(&self) -> Result<(), Problem> {
        if locked(&self.burns.unsaved).is_empty() {
            return Ok(());
        }
        let mut failed = self.burns.saving.lock().await;
        if let Some((at, problem)) = failed.as_ref()
            && at.elapsed() < AGAIN
            && !locked(&self.burns.unsaved).is_empty()
        {
            return Err(problem.clone());
        }
        *failed = None;
        let unsaved = locked(&self.burns.unsaved).clone();
        for (pair, marks) in unsaved {
            for mark in marks {
                match self.store_burn(mark.clone()).await {
                    Ok(_) => self.saved(&pair, &mark),
                    Err(error) => {
                        let left = self.burns.unsaved();
                        tracing::error!(
                            left,
                            "burn marks are not on disk yet: free space, and do not restart this node before"
                        );
                        *failed = Some((Instant::now(), store_problem(&error)));
                    }
                }
            }
            if let Some((_, problem)) = failed.as_ref() {
                return Err(problem.clone());
            }
        }
        Ok(())
    }

    /// A mark is on disk. It counted as unsaved until now: who asks meanwhile must not hear that all is well.
    fn saved(&self, pair: &Pair, mark: &Burn) {
        let mut unsaved = locked(&self.burns.unsaved);
        let Some(left) = unsaved.get_mut(pair) else { return };
        left.retain(|other| other.instance != mark.instance);
        if left.is_empty() {
            unsaved.remove(pair);
            drop(unsaved);
            self.events.burned(&pair.0, self.name_of(pair.2));
        }
    }

    /// The last try of a node that stops.
    pub(crate) async fn save_burns_or_warn(&self) {
        *self.burns.saving.lock().await = None;
        if self.save_burns().await.is_err() {
            tracing::error!(
                "burn marks are lost with this stop: refresh the keys that they are of before this node signs again"
            );
        }
    }

    /// CER.8: the parties with whom this node's pairs are burned, as far as it is on disk. What a session has found and not stored yet is not
    /// among them: who goes on finds it in the set-up.
    ///
    /// # Errors
    /// The disk does not take a mark.
    pub(crate) async fn burned(&self, key: &OpenKey) -> Result<BTreeSet<PartyIndex>, Problem> {
        let mut burned = self.burns.parties(&key.id, key.revision, &key.record);
        if !burned.is_empty() {
            self.save_burns().await?;
        }
        burned.extend(&key.material.burned);
        Ok(burned)
    }

    /// CER.8: what may be said to a peer. What became of an attempt waits until all marks are on disk; `None` if the node stops before. Whether
    /// this node takes part in one is answered meanwhile as by a node whose disk takes no operation: the answer tells of the disk,
    /// whatever burned.
    pub(crate) async fn hushed<'a>(&self, message: &'a Control) -> Option<Cow<'a, Control>> {
        match message {
            Control::Ended { .. } => {
                self.burns_saved().await.ok()?;
                Some(Cow::Borrowed(message))
            }
            Control::Answer { ceremony, .. } => Some(match self.save_burns().await {
                Ok(()) => Cow::Borrowed(message),
                Err(problem) => {
                    let answer = Answer::Refuse(Refusal::new(&problem, None));
                    Cow::Owned(Control::Answer { ceremony: *ceremony, answer })
                }
            }),
            _ => Some(Cow::Borrowed(message)),
        }
    }
}

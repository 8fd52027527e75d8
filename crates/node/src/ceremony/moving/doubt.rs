//! MOVE.10–MOVE.13: parties that have stood down and know no more ask each other until they do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::{ActKind, Figures, KeyId, MoveResult, OperationId, OperationResult, Problem};
use quorate_net::PeerId;
use quorate_store::{Phase, Successor};
use tokio::time::Instant;

use crate::ceremony::epoch::{Event, Standing, Word};
use crate::ceremony::protocols::epochs::Package;
use crate::control::Control;
use crate::gate::moving;
use crate::keys::moving::{Next, Proof, Statement, epoch_of, the_move};
use crate::registry::locked;
use crate::shared::{Shared, store_problem};
use crate::{audit, clock};

/// For how long what a peer said counts: it is asked again more often than that.
const FRESH: Duration = Duration::from_secs(15);
/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_millis(20);

/// What the others said of an epoch that this node has acknowledged.
#[derive(Debug)]
pub(crate) struct Doubt {
    since: Instant,
    words: BTreeMap<PeerId, (Word, Instant)>,
    statements: BTreeMap<PeerId, Statement>,
}

/// Doubts by key and epoch.
pub(crate) type Doubts = Mutex<HashMap<(KeyId, [u8; 32]), Doubt>>;

/// What a party says of an epoch that it was asked about.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Told {
    /// It has not stood down for it, and never will.
    Never,
    /// It has stood down for it, and has no proof.
    Unproven(Statement),
}

impl Shared {
    /// Asks all parties of every move that this node is not sure about, and goes on without one where that is safe.
    pub(crate) async fn pursue_doubts(self: &Arc<Self>) -> Result<(), Problem> {
        if self.store.must_erase() {
            self.store.erase_replaced().await.map_err(|error| store_problem(&error))?;
        }
        let all = self.store.successors(None).await.map_err(|error| store_problem(&error))?;
        for successor in all.iter().filter(|successor| successor.phase != Phase::Prepared) {
            let Ok(id) = successor.key_id.parse::<KeyId>() else { continue };
            self.pursue(&id, successor).await?;
        }
        Ok(())
    }

    /// Asks about the moves that concern a peer that has just come back.
    async fn pursue(self: &Arc<Self>, id: &KeyId, successor: &Successor) -> Result<(), Problem> {
        let next = Next::read(successor)?;
        let Some((old, new)) = packages(&next) else { return Ok(()) };
        let the_move = the_move(&old, &new, &next.lost);
        let question = Control::Successor { key: id.to_string(), epoch: old.epoch, name: successor.name };
        let concerned = the_move.old_parties.keys().chain(the_move.new_parties.keys());
        let concerned: std::collections::BTreeSet<PeerId> = concerned.copied().collect();
        let asked = concerned.iter().filter(|peer| **peer != self.id && self.network.is_connected(**peer));
        futures_util::future::join_all(asked.map(|peer| self.tell(*peer, &question))).await;
        if successor.phase == Phase::Acknowledged {
            self.consider_giving_up(id, successor, &next).await?;
        }
        Ok(())
    }

    /// MOVE.12
    async fn consider_giving_up(
        &self,
        id: &KeyId,
        successor: &Successor,
        next: &Next,
    ) -> Result<(), Problem> {
        let Some((old, new)) = packages(next) else { return Ok(()) };
        let the_move = the_move(&old, &new, &next.lost);
        let now = Instant::now();
        let (words, long) = {
            let mut doubts = locked(&self.doubts);
            let doubt = doubts.entry((id.clone(), successor.name)).or_insert_with(|| Doubt::new(now));
            doubt.words.retain(|_, (_, at)| now.saturating_duration_since(*at) < FRESH);
            let mut words: BTreeMap<PeerId, Word> =
                doubt.words.iter().map(|(peer, (word, _))| (*peer, *word)).collect();
            words.insert(self.id, Word::Unproven);
            (words, now.saturating_duration_since(doubt.since) >= self.config.limits.doubt)
        };
        // Before it has lasted, only a promise counts.
        let words =
            if long { words } else { words.into_iter().filter(|(_, word)| *word == Word::Never).collect() };
        if !the_move.may_give_up(&words) {
            return Ok(());
        }
        if Standing::from(Some(successor.phase)).after(Event::GiveUp).is_none() {
            return Ok(());
        }
        let epoch = epoch_of(successor.epoch);
        let entry = audit::epoch(id, epoch, &successor.name, &successor.operation, "abandoned")?;
        let (from, to) = (Phase::Acknowledged, Phase::Abandoned);
        let _one = self.switching.lock().await;
        let stored = self
            .store
            .transition_successor(id.as_str(), &successor.name, from, to, entry, clock::millis())
            .await;
        stored.map_err(|error| store_problem(&error))?;
        self.gates.open(id, 0);
        tracing::warn!(key = %id, epoch, "gave the next epoch up with enough others: the key is used as before");
        Ok(())
    }

    /// MOVE.10: a party asks what this node knows of an epoch that follows another one.
    pub(crate) async fn tell_of_successor(
        self: &Arc<Self>,
        from: PeerId,
        key: &str,
        epoch: u64,
        name: [u8; 32],
    ) -> Result<(), Problem> {
        let Ok(id) = key.parse::<KeyId>() else { return Ok(()) };
        if let Some(proof) = self.proof_after(&id, epoch).await? {
            self.tell(from, &Control::InForce { key: key.to_owned(), proof }).await;
            return Ok(());
        }
        let told = match self.successor(&id, &name).await? {
            Some(successor) => match self.statement_of(&successor)? {
                Some(statement) => Told::Unproven(statement),
                // It is not known yet.
                None => return Ok(()),
            },
            None if locked(&self.moves).contains(&id) => return Ok(()),
            None => Told::Never,
        };
        self.tell(from, &Control::Told { key: key.to_owned(), name, told }).await;
        Ok(())
    }

    /// MOVE.11: a party has said what it knows. Enough statements are a proof.
    pub(crate) async fn hear_of_successor(
        self: &Arc<Self>,
        from: PeerId,
        key: &str,
        name: [u8; 32],
        told: Told,
    ) -> Result<(), Problem> {
        let Ok(id) = key.parse::<KeyId>() else { return Ok(()) };
        let Some(successor) = self.successor(&id, &name).await? else { return Ok(()) };
        let Some(own) = self.statement_of(&successor)? else { return Ok(()) };
        let next = Next::read(&successor)?;
        let Some((old, new)) = packages(&next) else { return Ok(()) };
        let concerned = the_move(&old, &new, &next.lost);
        if !concerned.old_parties.contains_key(&from) && !concerned.new_parties.contains_key(&from) {
            return Ok(());
        }
        let statements: Vec<Statement> = {
            let mut doubts = locked(&self.doubts);
            let now = Instant::now();
            let doubt = doubts.entry((id.clone(), name)).or_insert_with(|| Doubt::new(now));
            let word = match told {
                Told::Never => Word::Never,
                Told::Unproven(statement) => {
                    if statement.is_of(from) {
                        doubt.statements.insert(from, statement);
                    }
                    Word::Unproven
                }
            };
            doubt.words.insert(from, (word, now));
            doubt.statements.values().cloned().chain([own]).collect()
        };
        if let Some(proof) = Proof::of(&next, &next.record.package.0, statements) {
            let proof = borsh::to_vec(&proof).unwrap_or_default();
            self.hear_proof(from, key, &proof).await?;
        } else if successor.phase == Phase::Acknowledged {
            self.consider_giving_up(&id, &successor, &next).await?;
        }
        Ok(())
    }

    /// MOVE.8: somebody shows a proof. Whoever changes by it tells all others that it concerns.
    pub(crate) async fn hear_proof(
        self: &Arc<Self>,
        from: PeerId,
        key: &str,
        proof: &[u8],
    ) -> Result<(), Problem> {
        let Ok(id) = key.parse::<KeyId>() else { return Ok(()) };
        let before = self.stored_key(&id).await?;
        if !self.take_proof(&id, proof).await? {
            return Ok(());
        }
        tracing::info!(key = %id, peer = %self.name_of(from), "a peer proved the key's next epoch");
        let read: Option<Proof> = borsh::from_slice(proof).ok();
        let record = before.as_ref().map(|key| crate::keys::Record::from_bytes(&key.record)).transpose()?;
        let mut concerned: std::collections::BTreeSet<PeerId> =
            record.iter().flat_map(|record| record.peers().into_values()).collect();
        if let (Some(read), Some(record)) = (&read, &record)
            && let Some(new) = Package::read(record.scheme, &read.package)
        {
            concerned.extend(new.parties().into_keys());
        }
        let news = Control::InForce { key: key.to_owned(), proof: proof.to_vec() };
        let others = concerned.iter().filter(|peer| **peer != self.id && **peer != from);
        let others = others.filter(|peer| self.network.is_connected(**peer));
        futures_util::future::join_all(others.map(|peer| self.tell(*peer, &news))).await;
        Ok(())
    }

    /// MOVE.14: refuses to sign with a party that has the key in another epoch, and one of the two learns what it missed.
    pub(crate) async fn same_epoch(
        self: &Arc<Self>,
        from: PeerId,
        key: &KeyId,
        here: u64,
        there: u64,
    ) -> Result<(), Problem> {
        if here == there {
            return Ok(());
        }
        if there < here {
            if let Some(proof) = self.proof_after(key, there).await? {
                self.tell(from, &Control::InForce { key: key.to_string(), proof }).await;
            }
        } else {
            let name = [0; 32];
            self.tell(from, &Control::Successor { key: key.to_string(), epoch: here, name }).await;
        }
        Err(moving())
    }

    /// The operation of a move that has ended here is done, whoever coordinated it and whether it is still there.
    pub(crate) async fn end_move(&self, id: &KeyId, operation: Option<&str>) {
        let Some(operation) = operation.and_then(|id| id.parse::<OperationId>().ok()) else { return };
        // Whoever coordinates it knows what it cost, and stores that.
        if self.registry.is_coordinated(&operation) {
            return;
        }
        let ended = async {
            let Some(op) = self.operation(&operation).await? else { return Ok(()) };
            let act = ActKind::ALL.into_iter().find(|act| act.operation().as_str() == op.kind);
            let Some(act) = act else { return Ok(()) };
            let key = Box::new(self.shown_after_move(id).await?);
            let result = MoveResult { act, key, figures: Figures::default() };
            let result = OperationResult::Moved(Box::new(result));
            self.succeed(&operation, None, Some(id), result, Vec::new()).await.map(|_| ())
        };
        let ended: Result<(), Problem> = ended.await;
        if let Err(problem) = ended {
            tracing::warn!(key = %id, detail = %problem.detail, "the end of a move is not stored");
        }
    }

    /// Waits until this node knows what became of an epoch for which it has stood down.
    pub(crate) async fn await_end(&self, id: &KeyId, old: &Package, until: Instant) {
        while self.gates.is_closed(id) && Instant::now() < until && !self.stop.is_cancelled() {
            tokio::time::sleep(LOOK).await;
        }
        tracing::debug!(key = %id, epoch = old.epoch, "the end of a move is known, or not in time");
    }
}

fn packages(next: &Next) -> Option<(Package, Package)> {
    let scheme = next.record.scheme;
    Some((Package::read(scheme, &next.old.0)?, Package::read(scheme, &next.record.package.0)?))
}

impl Doubt {
    fn new(since: Instant) -> Self {
        Self { since, words: BTreeMap::new(), statements: BTreeMap::new() }
    }
}

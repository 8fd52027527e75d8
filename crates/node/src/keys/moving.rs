//! The next epoch of a key at rest, and what proves to anyone that it is in force. Spec: `spec/44-moving.md`.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::{Code, Hex, KeyId, OperationId, Problem};
use quorate_net::PeerId;
use quorate_protocol::access::Access;
use quorate_protocol::party::{Identity as _, IdentityKey, MAX_PARTIES, PartyIndex};
use quorate_store::{NewSuccessor, Phase, StoreError, Successor, Switch, To};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Plain, Record, damaged, record_hash};
use crate::ceremony::epoch::{Event, Move, Standing};
use crate::ceremony::moving::Carried;
use crate::ceremony::protocols::epochs::{self, Package};
use crate::gate::moving;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};
use crate::{audit, clock};

/// The next epoch of a key as this node keeps it until it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Next {
    /// The key as it will be, but for the certificate.
    pub(crate) record: Record,
    /// The public package of the epoch that it follows.
    pub(crate) old: Hex,
    /// What comes with it to a node that had none of it.
    #[serde(default)]
    pub(crate) carried: Carried,
    /// The parties that the order declared lost, as this node judged it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lost: Vec<Lost>,
}

/// A party of the epoch that ends which is not there any more. Believed from an order that this node judged, never from a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lost {
    pub(crate) index: u16,
    /// The identity of the node that holds its restored share, and stands down for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<Hex>,
}

/// What names an epoch: the hash of its public package.
pub(crate) fn epoch_name(package: &[u8]) -> [u8; 32] {
    blake3::derive_key("quorate 2026 node name of an epoch v1", package)
}

/// The number of the epoch that a revision holds.
pub(crate) const fn epoch_of(revision: u64) -> u64 {
    revision / 2
}

/// The revision that holds all of an epoch.
pub(crate) const fn revision_of(epoch: u64) -> u64 {
    epoch.saturating_mul(2).saturating_add(1)
}

/// That a party stands down for an epoch: it holds its share of it durably if it gets one, and does not use the key in the epoch before.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Statement {
    peer: [u8; 32],
    signature: Vec<u8>,
}

/// What proves that an epoch is in force: its package, and who has stood down for it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Proof {
    pub(crate) package: Vec<u8>,
    pub(crate) statements: Vec<Statement>,
}

/// What a party signs that has no share of the new epoch.
fn leaves(package: &[u8]) -> [u8; 32] {
    blake3::derive_key("quorate 2026 node stands down v1", package)
}

impl Statement {
    /// Whether it says that it is this party's.
    pub(crate) fn is_of(&self, peer: PeerId) -> bool {
        self.peer == *peer.as_bytes()
    }

    /// Who makes it, if it is true of this package.
    fn check(&self, record: &Record, package: &[u8], next: &Package) -> Option<PeerId> {
        let peer = PeerId::from_bytes(self.peer);
        let valid = match next.parties().get(&peer) {
            Some(party) => epochs::is_acknowledged(record.scheme, package, *party, &self.signature),
            None => {
                let signature: &[u8; 64] = self.signature.as_slice().try_into().ok()?;
                IdentityKey::from_bytes(&self.peer)?.verify(&leaves(package), signature)
            }
        };
        valid.then_some(peer)
    }
}

/// A move as both packages say it, and the order of a restore.
pub(crate) fn the_move(old: &Package, new: &Package, lost: &[Lost]) -> Move {
    between(old, &new.access, new.parties(), lost)
}

/// The same before there is a new package.
pub(crate) fn between(
    old: &Package,
    new: &Access,
    new_parties: BTreeMap<PeerId, PartyIndex>,
    lost: &[Lost],
) -> Move {
    let mut this = Move {
        old: old.access.clone(),
        old_parties: BTreeMap::new(),
        new: new.clone(),
        new_parties,
        lost: BTreeSet::new(),
        restores: !lost.is_empty(),
    };
    for (peer, party) in old.parties() {
        match lost.iter().find(|lost| lost.index == party.get()) {
            None => drop(this.old_parties.insert(peer, party)),
            Some(lost) => match lost.by.as_ref().and_then(|by| by.0.as_slice().try_into().ok()) {
                Some(by) => drop(this.old_parties.insert(PeerId::from_bytes(by), party)),
                None => drop(this.lost.insert(party)),
            },
        }
    }
    this
}

impl Proof {
    /// What these statements prove together; `None` if it is not enough.
    pub(crate) fn of(next: &Next, package: &[u8], statements: Vec<Statement>) -> Option<Self> {
        let mut by_peer: BTreeMap<[u8; 32], Statement> = BTreeMap::new();
        for statement in statements {
            by_peer.insert(statement.peer, statement);
        }
        let this = Self { package: package.to_vec(), statements: by_peer.into_values().collect() };
        this.check(&next.record, &next.old.0, &next.lost).map(|_| this)
    }

    /// The new epoch, if this proves that it follows the one of a package and is in force.
    fn check(&self, record: &Record, old: &[u8], lost: &[Lost]) -> Option<Package> {
        let old = Package::read(record.scheme, old)?;
        let new = Package::read(record.scheme, &self.package)?;
        if !new.follows(&old) || self.statements.len() > 2 * MAX_PARTIES {
            return None;
        }
        let stood_down: Option<BTreeSet<PeerId>> =
            self.statements.iter().map(|statement| statement.check(record, &self.package, &new)).collect();
        the_move(&old, &new, lost).in_force(&stood_down?).then_some(new)
    }

    /// The acknowledgements of all parties of the new epoch.
    fn certificate(&self, record: &Record, new: &Package) -> Option<Vec<u8>> {
        let parties = new.parties();
        let signed = self.statements.iter().filter_map(|statement| {
            let party = parties.get(&PeerId::from_bytes(statement.peer))?;
            Some((*party, statement.signature.clone()))
        });
        epochs::certify(record.scheme, &self.package, &signed.collect())
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Problem {
    damaged(format!("the record of a next epoch cannot be read: {error}"))
}

impl Next {
    pub(crate) fn read(successor: &Successor) -> Result<Self, Problem> {
        serde_json::from_slice(&successor.record).map_err(|error| unreadable(&error))
    }
}

impl Shared {
    /// MOVE.5: stores this node's part of the next epoch. Durable when it returns; nobody may be told before.
    pub(crate) async fn prepare_epoch(
        &self,
        id: &KeyId,
        next: &Next,
        share: Option<(&[u8], &[u8])>,
        joins: bool,
        operation: &OperationId,
    ) -> Result<[u8; 32], Problem> {
        // MOVE.9
        debug_assert_eq!(Standing::Settled.after(Event::Prepare), Some(Standing::Prepared));
        let unfit = || damaged("a new epoch has no package".to_owned());
        let new = Package::read(next.record.scheme, &next.record.package.0).ok_or_else(unfit)?;
        let old = Package::read(next.record.scheme, &next.old.0).ok_or_else(unfit)?;
        let name = epoch_name(&next.record.package.0);
        let record = serde_json::to_vec(next).map_err(|error| unreadable(&error))?;
        let revision = revision_of(new.epoch);
        let sealed_share = match share {
            Some((secret, setup)) => self.seal_material(id, revision, &record, secret, setup)?,
            None => Vec::new(),
        };
        let successor = NewSuccessor {
            key_id: id.as_str().to_owned(),
            name,
            base: revision_of(old.epoch),
            epoch: revision,
            operation: operation.as_str().to_owned(),
            record,
            sealed_share,
            joins,
        };
        let entry = audit::epoch(id, new.epoch, &name, operation.as_str(), "prepared")?;
        let stored = self.store.prepare_successor(successor, entry, clock::millis()).await;
        stored.map(|()| name).map_err(|error| lost_race(&error))
    }

    /// MOVE.6: stands down for a prepared epoch. From here on this node uses the key in neither epoch. Durable when it returns.
    pub(crate) async fn stand_down(
        &self,
        id: &KeyId,
        name: &[u8; 32],
        until: Instant,
    ) -> Result<Statement, Problem> {
        let successor = self.successor(id, name).await?.ok_or_else(gone)?;
        let next = Next::read(&successor)?;
        if Standing::from(Some(successor.phase)).after(Event::StandDown).is_none() {
            return Err(gone());
        }
        self.gates.close(id);
        // POOL.6  Whatever session makes some now was begun before.
        self.pool.moved(id);
        let stood = async {
            if !self.gates.idle(id, until).await {
                let detail =
                    "this node still signs with the key in its old epoch: ask again when it is quieter";
                return Err(Problem::new(Code::OperationRunning, detail));
            }
            let epoch = epoch_of(successor.epoch);
            let entry = audit::epoch(id, epoch, name, &successor.operation, "acknowledged")?;
            let (from, to) = (Phase::Prepared, Phase::Acknowledged);
            let now = clock::millis();
            let stored = self.store.transition_successor(id.as_str(), name, from, to, entry, now).await;
            stored.map_err(|error| lost_race(&error))
        };
        if let Err(problem) = stood.await {
            // What may have been written decides.
            let in_doubt =
                !matches!(self.successor(id, name).await, Ok(Some(row)) if row.phase == Phase::Prepared);
            if !in_doubt {
                self.gates.open(id, 0);
            }
            return Err(problem);
        }
        self.stand_by(&next)
    }

    /// This node's statement for an epoch that it has acknowledged.
    fn stand_by(&self, next: &Next) -> Result<Statement, Problem> {
        let package = &next.record.package.0;
        let unfit = || damaged("a new epoch has no package".to_owned());
        let new = Package::read(next.record.scheme, package).ok_or_else(unfit)?;
        let signature = if new.parties().contains_key(&self.id) {
            epochs::acknowledge(next.record.scheme, package, self.identity.as_ref()).ok_or_else(unfit)?
        } else {
            self.identity.sign(&leaves(package)).to_vec()
        };
        Ok(Statement { peer: *self.id.as_bytes(), signature })
    }

    pub(crate) async fn successor(&self, id: &KeyId, name: &[u8; 32]) -> Result<Option<Successor>, Problem> {
        let all = self.store.successors(Some(id.as_str())).await.map_err(|error| store_problem(&error))?;
        Ok(all.into_iter().find(|successor| successor.name == *name))
    }

    /// Erases a prepared epoch that this node has not acknowledged.
    pub(crate) async fn call_off(&self, id: &KeyId, name: &[u8; 32]) {
        match self.store.discard_successor(id.as_str(), name).await {
            Ok(true) => tracing::info!(key = %id, "prepared epoch erased"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, key = %id, "a prepared epoch is not erased"),
        }
    }

    /// MOVE.8: takes a proof that an epoch is in force. Gives whether this node changed by it: then it uses the key in that epoch, or not
    /// at all any more, and what it had before is erased.
    ///
    /// # Errors
    /// The proof does not hold, or this node cannot follow it.
    pub(crate) async fn take_proof(&self, id: &KeyId, proof: &[u8]) -> Result<bool, Problem> {
        let invalid = || Problem::new(Code::InvalidRequest, "the proof of a new epoch does not hold");
        let read: Proof = borsh::from_slice(proof).map_err(|_| invalid())?;
        let _one = self.switching.lock().await;
        let name = epoch_name(&read.package);
        let all = self.store.successors(Some(id.as_str())).await.map_err(|error| store_problem(&error))?;
        let key = self.stored_key(id).await?;
        let successor = all.iter().find(|successor| successor.name == name);
        let prepared = successor.map(Next::read).transpose()?;
        let held = key.as_ref().map(|key| Record::from_bytes(&key.record)).transpose()?;
        // MOVE.18: nobody is lost because a proof says so.
        let Some((record, old, lost)) = prepared
            .as_ref()
            .map(|next| (&next.record, &next.old, next.lost.as_slice()))
            .or_else(|| held.as_ref().map(|held| (held, &held.package, [].as_slice())))
        else {
            return Ok(false);
        };
        if held.as_ref().is_some_and(|held| held.package.0 == read.package) {
            return Ok(false);
        }
        let new = read.check(record, &old.0, lost).ok_or_else(invalid)?;
        let revision = revision_of(new.epoch);
        if key.as_ref().is_some_and(|key| key.epoch >= revision) {
            return Ok(false);
        }
        // MOVE.13
        if all.iter().any(|other| other.phase == Phase::Acknowledged && other.name != name) {
            let detail = "this node is in doubt about a later attempt to move the key";
            return Err(Problem::new(Code::OperationRunning, detail));
        }
        let standing = Standing::from(successor.map(|successor| successor.phase));
        if standing.after(Event::Proven).is_none() {
            return Ok(false);
        }
        let stays = new.parties().contains_key(&self.id);
        let to = if stays {
            let (Some(successor), Some(next)) = (successor, prepared.as_ref()) else {
                return Err(damaged(format!(
                    "`{id}` is in its epoch {}, of which this node has no share",
                    new.epoch
                )));
            };
            self.held(id, successor, next, &read, &new)?
        } else {
            To::Gone { record: record.to_bytes()? }
        };
        let old = Package::read(record.scheme, &old.0).ok_or_else(invalid)?;
        let parties = old.parties();
        let operation = successor.map(|successor| successor.operation.clone());
        let switch = Switch {
            key_id: id.as_str().to_owned(),
            base: revision_of(old.epoch),
            epoch: revision,
            to,
            proof: proof.to_vec(),
            keep_proof: parties.keys().any(|peer| !new.parties().contains_key(peer)),
            operation: operation.clone(),
        };
        let how = if stays { "switched" } else { "left" };
        let entry = audit::epoch(id, new.epoch, &name, operation.as_deref().unwrap_or_default(), how)?;
        let switched = self.store.switch_key(switch, entry, clock::millis()).await;
        switched.map_err(|error| lost_race(&error))?;
        locked(&self.materials).remove(id);
        self.pool.moved(id);
        self.gates.open(id, revision);
        locked(&self.doubts).retain(|(key, _), _| key != id);
        tracing::info!(key = %id, epoch = new.epoch, stays, "key is in its next epoch");
        self.end_move(id, operation.as_deref()).await;
        Ok(true)
    }

    /// The share of the new epoch under its final record.
    fn held(
        &self,
        id: &KeyId,
        successor: &Successor,
        next: &Next,
        proof: &Proof,
        new: &Package,
    ) -> Result<To, Problem> {
        let unfit = |what: &str| damaged(format!("the next share of `{id}` {what}"));
        let opened = self
            .sealer
            .open_blob(&self.key_context(id, successor.epoch), &successor.sealed_share)
            .map_err(|error| unfit(&format!("does not open: {error}")))?;
        let plain = Plain::decode(&opened).ok_or_else(|| unfit("is malformed"))?;
        if plain.record != record_hash(&successor.record) {
            return Err(unfit("is of another record"));
        }
        let certificate = proof.certificate(&next.record, new).ok_or_else(|| unfit("has no certificate"))?;
        let record = Record { certificate: Hex(certificate), ..next.record.clone() };
        let record = record.to_bytes()?;
        let sealed_share = self.seal_material(id, successor.epoch, &record, plain.secret, plain.setup)?;
        let (scheme, public_key) = (next.record.scheme.name().to_owned(), new.public_key.clone());
        let (status, state) = (next.carried.status(), self.carried_state(id, next.carried));
        Ok(To::Held { scheme, public_key, record, sealed_share, status, state })
    }

    /// The proof of the epoch that followed one, if this node has it.
    pub(crate) async fn proof_after(&self, id: &KeyId, epoch: u64) -> Result<Option<Vec<u8>>, Problem> {
        let found = self.store.handover(id.as_str(), revision_of(epoch)).await;
        Ok(found.map_err(|error| store_problem(&error))?.map(|handover| handover.proof))
    }

    /// At the start: what was only prepared is erased, because nobody was told of it, and what was acknowledged keeps the key closed.
    pub(crate) async fn resume_moves(&self) -> Result<(), Problem> {
        let all = self.store.successors(None).await.map_err(|error| store_problem(&error))?;
        for successor in all {
            let Ok(id) = successor.key_id.parse::<KeyId>() else { continue };
            let standing = Standing::from(Some(successor.phase));
            match standing.after(Event::CalledOff) {
                Some(Standing::Settled) => self.call_off(&id, &successor.name).await,
                Some(standing) if !standing.may_use() => {
                    self.gates.close(&id);
                    tracing::warn!(key = %id, epoch = epoch_of(successor.epoch), "in doubt whether the key is in its next epoch: asking the others");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What this node says of an epoch that it has acknowledged.
    pub(crate) fn statement_of(&self, successor: &Successor) -> Result<Option<Statement>, Problem> {
        if successor.phase == Phase::Prepared {
            return Ok(None);
        }
        self.stand_by(&Next::read(successor)?).map(Some)
    }
}

fn gone() -> Problem {
    Problem::new(Code::CeremonyAborted, "this node has not prepared that epoch")
}

/// Somebody was quicker: the epoch is another one now.
fn lost_race(error: &StoreError) -> Problem {
    match error {
        StoreError::Changed { .. } | StoreError::Exists { .. } | StoreError::NotFound { .. } => moving(),
        error => store_problem(error),
    }
}

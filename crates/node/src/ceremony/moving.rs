//! Moving a key to its next epoch: refresh, reshare and repair are one ceremony with other parties. Spec: `spec/44-moving.md`.
//!
//! The next epoch is dealt and, for ECDSA, its pairs are set up; every party makes that durable. Then all stand down: each stops to use
//! the key and signs that it holds its share. These statements together prove to anyone that the epoch is in force, and whoever sees the
//! proof switches in one commit.

mod coordinate;
mod doubt;
mod member;
mod restore;
pub(crate) mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::{
    Access as Named, Code, Figures, Hex, Key as ApiKey, KeyId, KeyStatus as ApiStatus, OperationId, Problem,
};
use quorate_net::PeerId;
use quorate_protocol::access::Access;
use quorate_protocol::party::{Committee, IdentityKey, Party, PartyIndex};
use quorate_protocol::session::SessionId;
use quorate_store::{Key, KeyState, KeyStatus, Phase};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::coordinate::{Mandate, coordinate};
pub(crate) use self::doubt::{Doubts, Told};
pub(crate) use self::member::take_part;
pub(crate) use self::restore::as_before;

use super::act;
use super::act::mark;
use super::epoch::Move;
use super::protocols::epochs::{self, Dealer, Dealt, Package};
use super::{Attempt, Ceremony, Failure, protocols};
use crate::access;
use crate::clock;
use crate::gate::moving;
use crate::keys::moving::{self as next, Lost, Next, epoch_of};
use crate::keys::{Record, RecordParty, api_key, public_key};
use crate::registry::locked;
use crate::shared::{Shared, peer_of, store_problem};

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) key: KeyId,
    /// The epoch that the key is in: an order for an earlier one does nothing.
    pub(crate) epoch: u64,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// New shares for the same parties.
    Refresh,
    /// Who can sign, and the nodes that hold the shares, in the order in which new ones are numbered.
    Reshare { access: Named, parties: Vec<String> },
    /// A new share for the party of this name, under the identity that it has now.
    Repair { party: String },
    /// Dealt by restored shares: these parties are lost. Without `access` as many can sign as before, and without `parties` the structure stays.
    Restore { lost: Vec<String>, access: Option<Named>, parties: Option<Vec<String>> },
}

/// What a coordinator proposes.
pub(crate) struct Offer<'a> {
    /// The record of the key as the coordinator has it.
    pub(crate) record: &'a [u8],
    pub(crate) dealers: &'a [PartyIndex],
    pub(crate) carried: Carried,
    /// The nodes that hold restored shares, by party.
    pub(crate) holders: Holders,
}

/// The nodes that hold restored shares, by party.
pub(crate) type Holders = BTreeMap<PartyIndex, PeerId>;

/// What comes with a key to a node that had none of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(deny_unknown_fields)]
pub(crate) struct Carried {
    /// How many orders about its state the key has had.
    pub(crate) acts: u64,
    pub(crate) disabled: bool,
    pub(crate) exposed: bool,
}

impl Carried {
    pub(crate) fn of(key: &Key) -> Self {
        Self {
            acts: key.state.acts,
            disabled: key.status == KeyStatus::Disabled,
            exposed: key.state.exposed_at.is_some(),
        }
    }

    pub(crate) const fn status(self) -> KeyStatus {
        match (self.disabled, self.exposed) {
            (true, _) => KeyStatus::Disabled,
            (false, true) => KeyStatus::Exposed,
            (false, false) => KeyStatus::Active,
        }
    }
}

/// Who shall hold the key, as each node works it out for itself.
struct Target {
    access: Access,
    threshold: u16,
    parties: Vec<RecordParty>,
    last_index: u16,
    /// Who lost its share.
    lost: Option<PartyIndex>,
    /// Who is not there any more, of a restore.
    gone: Vec<Lost>,
}

fn refuse(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Unprocessable, detail)
}

fn target(
    shared: &Shared,
    record: &Record,
    old: &Package,
    what: &What,
    holders: &Holders,
) -> Result<Target, Problem> {
    let same = || Target {
        access: old.access.clone(),
        threshold: record.threshold,
        parties: record.parties.clone(),
        last_index: record.last_index(),
        lost: None,
        gone: Vec::new(),
    };
    let known = |name: &str| {
        let peer = shared.by_name(name);
        peer.ok_or_else(|| refuse(format!("this node knows no node `{name}`: configure it as a peer")))
    };
    match what {
        What::Refresh => Ok(same()),
        What::Restore { lost, access, parties } => {
            restore::target(shared, record, old, lost, access.as_ref(), parties.as_deref(), holders)
        }
        What::Repair { party } => {
            let identity = Hex(known(party)?.as_bytes().to_vec());
            let mut target = same();
            let lost = target.parties.iter_mut().find(|known| known.name == *party);
            let lost = lost.ok_or_else(|| {
                refuse(format!("`{party}` holds no share of this key: reshare it to give it one"))
            })?;
            lost.identity = identity;
            target.lost = PartyIndex::new(lost.index);
            Ok(target)
        }
        What::Reshare { access, parties } => {
            let distinct: BTreeSet<&String> = parties.iter().collect();
            if distinct.len() != parties.len() {
                return Err(refuse("a party is named twice"));
            }
            let mut last_index = record.last_index();
            let mut next = Vec::with_capacity(parties.len());
            for name in parties {
                if let Some(stays) = record.parties.iter().find(|party| party.name == *name) {
                    // S39  Under a new identity it is another party.
                    if known(name)?.as_bytes().as_slice() != stays.identity.0 {
                        return Err(refuse(format!("`{name}` has a new identity: repair its share first")));
                    }
                    next.push(stays.clone());
                    continue;
                }
                // An index is never given to somebody else, and who comes back gets another one.
                last_index =
                    last_index.checked_add(1).ok_or_else(|| refuse("the key had too many parties"))?;
                let identity = Hex(known(name)?.as_bytes().to_vec());
                next.push(RecordParty { index: last_index, name: name.clone(), identity });
            }
            next.sort_by_key(|party| party.index);
            let access = over(record, access, &next)?;
            let threshold = access::smallest(&access);
            Ok(Target { access, threshold, parties: next, last_index, lost: None, gone: Vec::new() })
        }
    }
}

/// The structure that is wanted, over the indices of who shall hold the key.
fn over(record: &Record, access: &Named, parties: &[RecordParty]) -> Result<Access, Problem> {
    let names: BTreeMap<PartyIndex, String> = parties
        .iter()
        .filter_map(|party| Some((PartyIndex::new(party.index)?, party.name.clone())))
        .collect();
    let index_of = |name: &str| names.iter().find(|(_, known)| *known == name).map(|(at, _)| *at);
    let access = access::indexed(access, &index_of)
        .ok_or_else(|| refuse("the access structure names a node that is no party"))?;
    access::check(record.scheme, &access, &names)?;
    Ok(access)
}

fn committee(parties: &[RecordParty]) -> Option<Committee> {
    let party = |party: &RecordParty| {
        let identity: [u8; 32] = party.identity.0.as_slice().try_into().ok()?;
        Some(Party { index: PartyIndex::new(party.index)?, identity: IdentityKey::from_bytes(&identity)? })
    };
    Committee::new(parties.iter().map(party).collect::<Option<_>>()?)
}

/// Held while this node works at a move of a key.
#[derive(Debug)]
pub(crate) struct Moving {
    shared: Arc<Shared>,
    key: KeyId,
}

impl Moving {
    fn begin(shared: &Arc<Shared>, key: &KeyId) -> Result<Self, Problem> {
        if locked(&shared.moves).insert(key.clone()) {
            return Ok(Self { shared: Arc::clone(shared), key: key.clone() });
        }
        Err(Problem::new(
            Code::OperationRunning,
            "the key is being moved already: ask again when that has ended",
        ))
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        locked(&self.shared.moves).remove(&self.key);
    }
}

/// A move that this node has checked against the order and its own records.
pub(crate) struct Plan {
    pub(crate) id: KeyId,
    /// The next epoch but for its package.
    next: Next,
    dealt: Dealt,
    old: Package,
    /// Parties of the session.
    session_parties: Committee,
    session: SessionId,
    /// What the names of sessions bind.
    bindings: Vec<(&'static str, Vec<u8>)>,
    /// The share that it deals, and its place.
    own: Option<Dealer>,
    me: Option<PartyIndex>,
    stays: bool,
    /// Whether it has no key of it, but perhaps a restored share.
    joins: bool,
    names: BTreeMap<PartyIndex, String>,
    /// Nobody else moves the key here meanwhile.
    _moving: Moving,
}

/// What all nodes must agree on about a key, whatever each keeps of it for itself.
fn common(record: &Record) -> Result<Vec<u8>, Problem> {
    Record { created_at: 0, ..record.clone() }.to_bytes()
}

impl Shared {
    /// The state of a key that is new here, as this node keeps it.
    pub(crate) fn carried_state(&self, id: &KeyId, carried: Carried) -> KeyState {
        let exposed_at = carried.exposed.then(clock::millis);
        let state = KeyState { acts: carried.acts, exposed_at, ..KeyState::default() };
        mark::marked(&self.state_key, id.as_str(), carried.status(), state)
    }

    /// The key as it is shown once it is in its next epoch.
    pub(crate) async fn shown_after_move(&self, id: &KeyId) -> Result<ApiKey, Problem> {
        let missing = || Problem::new(Code::NotFound, format!("this node holds no share of `{id}` any more"));
        if let Some(key) = self.stored_key(id).await? {
            return self.present_key(&key)?.ok_or_else(missing);
        }
        // It went on without this node, which wrote down how.
        let away = self.store.moved_away(id.as_str()).await.map_err(|error| store_problem(&error))?;
        let away = away.ok_or_else(missing)?;
        let record = Record::from_bytes(&away.record)?;
        let package = Package::read(record.scheme, &record.package.0).ok_or_else(missing)?;
        let public = public_key(&record, &package.public_key)?;
        let shown = api_key(id.clone(), &record, ApiStatus::Active, &public, self.config.chains.bitcoin);
        Ok(ApiKey { epoch: package.epoch, ..shown })
    }

    /// MOVE.1–MOVE.2: checks what a coordinator, perhaps this node, proposes: the record of the key as it has it, and who deals.
    pub(crate) async fn plan_move(
        self: &Arc<Self>,
        request: &[u8; 32],
        order: &Order,
        attempt: &Attempt,
        offer: Offer<'_>,
    ) -> Result<Plan, Problem> {
        let Offer { record: base, dealers, carried, holders } = offer;
        let base = Record::from_bytes(base).map_err(|_| refuse("the proposed record of the key is none"))?;
        let guard = Moving::begin(self, &order.key)?;
        let held = self.stored_key(&order.key).await?;
        if let Some(key) = &held {
            act::stays(&order.key, key)?;
        }
        let held = held.filter(|key| key.status != KeyStatus::Destroyed);
        if self.gates.is_closed(&order.key) {
            return Err(moving());
        }
        let others = self.store.successors(Some(order.key.as_str())).await;
        let others = others.map_err(|error| store_problem(&error))?;
        if others.iter().any(|other| other.phase == Phase::Acknowledged) {
            return Err(moving());
        }
        if let Some(key) = &held {
            if !matches!(key.status, KeyStatus::Active | KeyStatus::Exposed | KeyStatus::Disabled) {
                let detail = format!("the key is {} here: it cannot be moved", key.status);
                return Err(Problem::new(Code::KeyDisabled, detail));
            }
            in_epoch(order, epoch_of(key.epoch))?;
            let own = Carried::of(key);
            if (own.status(), own.exposed) != (carried.status(), carried.exposed) {
                let exposed = if own.exposed { ", and was exposed" } else { "" };
                return Err(refuse(format!(
                    "the key is {} here{exposed}: that must be settled first",
                    key.status
                )));
            }
            if common(&Record::from_bytes(&key.record)?)? != common(&base)? {
                return Err(refuse("this node has another record of the key than the one proposed"));
            }
        }
        let restored = match order.what {
            What::Restore { .. } => {
                self.check_restored(order, &base, held.is_some(), carried, &holders).await?
            }
            _ if holders.is_empty() => None,
            _ => return Err(refuse("restored shares deal where a restore was asked for")),
        };
        let package = &base.package.0;
        let old = Package::read(base.scheme, package);
        let old = old.ok_or_else(|| refuse("the proposed record of the key has no package"))?;
        in_epoch(order, old.epoch)?;
        if !epochs::is_certified(base.scheme, package, &base.certificate.0) {
            return Err(refuse("the certificate of the proposed record does not hold"));
        }
        let target = target(self, &base, &old, &order.what, &holders)?;
        let committee = committee(&target.parties).ok_or_else(|| refuse("the parties are not distinct"))?;
        let me_new = committee.iter().find(|party| peer_of(&party.identity) == self.id).map(|p| p.index);
        let me_old = match &restored {
            Some(waiting) => Some(waiting.party),
            None => old.parties().get(&self.id).copied(),
        };
        if held.is_none() && me_new.is_none() && restored.is_none() {
            return Err(Problem::new(
                Code::NotFound,
                "this node holds no share of the key and shall get none",
            ));
        }
        let deals = me_old.is_some_and(|me| dealers.contains(&me));
        if target.lost.is_some_and(|lost| dealers.contains(&lost)) {
            return Err(refuse("the party that lost its share cannot deal"));
        }
        if deals && held.is_none() && restored.is_none() {
            return Err(refuse("this node has lost its share of the key, so it cannot deal"));
        }
        let dealers = restore::dealers(&old, dealers, &target.gone, &holders)?;
        let mut names = base.names();
        names.extend(target.parties.iter().filter_map(|p| Some((PartyIndex::new(p.index)?, p.name.clone()))));
        let record = Record {
            threshold: target.threshold,
            parties: target.parties,
            last_index: Some(target.last_index),
            certificate: Hex::default(),
            package: Hex::default(),
            complete: true,
            ..base.clone()
        };
        let dealt =
            Dealt { scheme: base.scheme, old: package.clone(), dealers, access: target.access, committee };
        let bindings = vec![
            ("request", request.to_vec()),
            ("record", blake3::hash(&common(&base)?).as_bytes().to_vec()),
            ("coordinator", attempt.coordinator.as_bytes().to_vec()),
            ("attempt", attempt.number.to_le_bytes().to_vec()),
            ("nonce", attempt.ceremony.to_vec()),
        ]
        .into_iter()
        .chain(restore::binding(&holders))
        .collect::<Vec<_>>();
        let (session_parties, session) = dealt
            .session(&borrowed(&bindings))
            .ok_or_else(|| refuse("the key cannot be moved like this: the dealers are no minimal quorum, or an index would belong to two"))?;
        let own = match (&held, restored) {
            (Some(key), _) if deals => {
                let record = Record::from_bytes(&key.record)?;
                Some(Dealer::InUse(self.material(&order.key, key, &record).await?))
            }
            (None, Some(waiting)) if deals => Some(Dealer::Restored(Arc::new(waiting.share))),
            _ => None,
        };
        let next = Next { record, old: Hex(package.clone()), carried, lost: target.gone };
        Ok(Plan {
            id: order.key.clone(),
            next,
            dealt,
            old,
            session_parties,
            session,
            bindings,
            own,
            me: if deals { me_old } else { me_new },
            stays: me_new.is_some(),
            joins: held.is_none(),
            names,
            _moving: guard,
        })
    }
}

fn borrowed<'a>(bindings: &'a [(&'static str, Vec<u8>)]) -> Vec<(&'static str, &'a [u8])> {
    bindings.iter().map(|(label, bytes)| (*label, bytes.as_slice())).collect()
}

/// S20: an order is for one epoch and does nothing in a later one.
fn in_epoch(order: &Order, epoch: u64) -> Result<(), Problem> {
    if epoch == order.epoch {
        return Ok(());
    }
    let detail = format!(
        "the key is in epoch {epoch} and the request is for epoch {}: look at the key and ask again if it is still wanted",
        order.epoch
    );
    Err(Problem::new(Code::EpochOver, detail))
}

impl Plan {
    /// Who could act for the key before and after.
    fn the_move(&self) -> Move {
        next::between(&self.old, &self.dealt.access, self.new_parties(), &self.next.lost)
    }

    fn new_parties(&self) -> BTreeMap<PeerId, PartyIndex> {
        self.dealt.committee.iter().map(|party| (peer_of(&party.identity), party.index)).collect()
    }

    /// The parties of the session, as peers.
    fn session_peers(&self) -> BTreeMap<PeerId, PartyIndex> {
        self.session_parties.iter().map(|party| (peer_of(&party.identity), party.index)).collect()
    }

    /// All that it concerns: the parties before and after.
    fn concerned(&self) -> BTreeMap<PeerId, PartyIndex> {
        let the_move = self.the_move();
        let mut all = the_move.old_parties;
        all.extend(the_move.new_parties);
        all
    }

    fn ceremony<'a>(
        &self,
        shared: &'a Arc<Shared>,
        operation: &'a OperationId,
        me: PartyIndex,
        deadline: Instant,
        cancel: CancellationToken,
    ) -> Ceremony<'a> {
        Ceremony {
            shared,
            operation,
            committee: self.session_parties.clone(),
            me,
            names: self.names.clone(),
            deadline,
            cancel,
            places: Vec::new(),
            skipped: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// MOVE.3–MOVE.5: runs the protocols and makes this node's part durable. Gives what names the epoch; nothing to a node that only
    /// stands down.
    pub(crate) async fn run(
        &self,
        shared: &Arc<Shared>,
        operation: &OperationId,
        deadline: Instant,
        cancel: CancellationToken,
    ) -> Result<(Option<[u8; 32]>, Figures), Failure> {
        let Some(me) = self.me.filter(|me| self.session_peers().get(&shared.id) == Some(me)) else {
            return Ok((None, Figures::default()));
        };
        let mut ceremony = self.ceremony(shared, operation, me, deadline, cancel);
        let dealt = epochs::deal(&self.dealt, self.own.clone(), self.session, &mut ceremony).await?;
        let next = Next {
            record: Record { package: Hex(dealt.package), ..self.next.record.clone() },
            ..self.next.clone()
        };
        let name = match dealt.share {
            Some(share) => {
                let secret = share.secret_bytes();
                // MOVE.4
                let setup = if protocols::has_setup(self.dealt.scheme) {
                    ceremony.committee = self.dealt.committee.clone();
                    let bindings = borrowed(&self.bindings);
                    let session = share.session_id(protocols::SETUP, &self.dealt.committee, &bindings);
                    epochs::set_up_next(share, self.dealt.scheme, session, &mut ceremony).await?
                } else {
                    zeroize::Zeroizing::default()
                };
                shared.prepare_epoch(&self.id, &next, Some((&secret, &setup)), self.joins, operation).await
            }
            None => shared.prepare_epoch(&self.id, &next, None, self.joins, operation).await,
        };
        Ok((Some(name.map_err(Failure::local)?), ceremony.figures))
    }

    /// Stores an epoch that this node did not help to deal and gets no share of, so that it can stand down for it.
    async fn witness(
        &self,
        shared: &Arc<Shared>,
        operation: &OperationId,
        package: &[u8],
    ) -> Result<[u8; 32], Problem> {
        if self.stays || !self.dealt.admits(package) {
            return Err(refuse("the epoch to stand down for is not the one that was asked for"));
        }
        let record = Record { package: Hex(package.to_vec()), ..self.next.record.clone() };
        let next = Next { record, ..self.next.clone() };
        shared.prepare_epoch(&self.id, &next, None, self.joins, operation).await
    }
}

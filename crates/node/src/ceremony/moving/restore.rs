//! MOVE.16–MOVE.19: a move whose dealers hold shares that came out of backups, in place of parties that an order declares lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use quorate_api::{Access as Named, Code, Hex, KeyId, Problem};
use quorate_net::PeerId;
use quorate_protocol::access::Access;
use quorate_protocol::party::{Committee, IdentityKey, Party, PartyIndex};
use quorate_store::KeyStatus;
use tokio::time::timeout;

use super::coordinate::{Chosen, all_there};
use super::{Carried, Holders, Order, Target, What, committee, common, in_epoch, over, refuse};
use crate::access;
use crate::ceremony::act;
use crate::ceremony::protocols::epochs::Package;
use crate::ceremony::quorum;
use crate::control::{Control, HeldRestored};
use crate::keys::moving::{Lost, epoch_of};
use crate::keys::restored::Waiting;
use crate::keys::{Record, RecordParty};
use crate::shared::{Shared, party_name, store_problem};

/// How long a peer may take to say what it restored.
const TELLS: Duration = Duration::from_secs(2);

/// What names the holders in sessions, so that whoever was told of others has another session.
pub(super) fn binding(holders: &Holders) -> Option<(&'static str, Vec<u8>)> {
    if holders.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(holders.len().saturating_mul(34));
    for (party, peer) in holders {
        bytes.extend_from_slice(&party.get().to_be_bytes());
        bytes.extend_from_slice(peer.as_bytes());
    }
    Some(("holders", bytes))
}

fn identity(peer: PeerId) -> Hex {
    Hex(peer.as_bytes().to_vec())
}

/// MOVE.16: whose names the order says are lost, and who stands in for them.
fn gone(
    shared: &Shared,
    record: &Record,
    old: &Package,
    lost: &[String],
    holders: &Holders,
) -> Result<Vec<Lost>, Problem> {
    if committee(&record.parties).as_ref() != Some(&old.committee) {
        return Err(refuse("the record of the key names other parties than its package"));
    }
    let (members, peers) = (shared.members(), record.peers());
    if let Some(unknown) = lost.iter().find(|name| record.parties.iter().all(|party| party.name != **name)) {
        return Err(refuse(format!("`{unknown}` is no party of the key, so it cannot be lost")));
    }
    let mut gone = Vec::with_capacity(lost.len());
    for party in &record.parties {
        let index = PartyIndex::new(party.index).ok_or_else(|| refuse("a party has no index"))?;
        let known = peers.get(&index).is_some_and(|peer| members.names.contains_key(peer));
        let holder = holders.get(&index);
        if !lost.contains(&party.name) {
            if !known {
                return Err(refuse(format!(
                    "this node does not know the machine that held the share of `{}`: declare it lost, or configure it as a peer",
                    party.name
                )));
            }
            if holder.is_some_and(|holder| peers.get(&index) != Some(holder)) {
                return Err(refuse(format!(
                    "another node deals the share of `{}`, which is not lost",
                    party.name
                )));
            }
            continue;
        }
        if known {
            return Err(refuse(format!(
                "`{}` is to be lost, and this node knows it still under the identity that it had: take it out of the configuration or the directory first, so that it cannot come back",
                party.name
            )));
        }
        gone.push(Lost { index: party.index, by: holder.map(|holder| identity(*holder)) });
    }
    let stand_ins: BTreeSet<&PeerId> = holders.values().collect();
    let twice = stand_ins.len() != holders.len()
        || holders
            .iter()
            .any(|(party, holder)| peers.iter().any(|(other, peer)| peer == holder && other != party));
    if twice || holders.keys().any(|party| !peers.contains_key(party)) {
        return Err(refuse("a node deals for two parties, or for one that the key does not have"));
    }
    if holders.values().any(|holder| !members.names.contains_key(holder)) {
        return Err(refuse("this node does not know a node that holds a restored share"));
    }
    Ok(gone)
}

/// Who holds the key after a restore. Whoever deals or stands in for a party has its index; so has a machine with the name of a lost one.
pub(super) fn target(
    shared: &Shared,
    record: &Record,
    old: &Package,
    lost: &[String],
    access: Option<&Named>,
    parties: Option<&[String]>,
    holders: &Holders,
) -> Result<Target, Problem> {
    let gone = gone(shared, record, old, lost, holders)?;
    let is_gone = |party: &RecordParty| gone.iter().any(|lost| lost.index == party.index);
    let known = |name: &str| {
        let peer = shared.by_name(name);
        peer.ok_or_else(|| refuse(format!("this node knows no node `{name}`: configure it as a peer")))
    };
    let Some(names) = parties else {
        let mut next = record.parties.clone();
        let mut seated: BTreeSet<Hex> =
            next.iter().filter(|party| !is_gone(party)).map(|party| party.identity.clone()).collect();
        seated.extend(holders.values().map(|holder| identity(*holder)));
        let mut seats: BTreeMap<u16, PeerId> =
            holders.iter().map(|(party, holder)| (party.get(), *holder)).collect();
        let empty: Vec<&RecordParty> = record
            .parties
            .iter()
            .filter(|party| is_gone(party) && !seats.contains_key(&party.index))
            .collect();
        // The machine of the same name, else another one with the name of a lost party that has no place yet.
        let mut rest = Vec::new();
        for party in empty {
            match shared.by_name(&party.name) {
                Some(peer) if seated.insert(identity(peer)) => drop(seats.insert(party.index, peer)),
                _ => rest.push(party),
            }
        }
        for party in rest {
            let lost = record.parties.iter().filter(|party| is_gone(party));
            let free = lost.filter_map(|lost| shared.by_name(&lost.name));
            let peer = free.into_iter().find(|peer| seated.insert(identity(*peer))).ok_or_else(|| {
                refuse(format!(
                    "nobody takes the place of `{}`, which is lost: no other node has a name of a lost one. Name the nodes that shall hold the key",
                    party.name
                ))
            })?;
            seats.insert(party.index, peer);
        }
        for party in next.iter_mut().filter(|party| is_gone(party)) {
            if let Some(peer) = seats.get(&party.index) {
                (party.name, party.identity) = (shared.name_of(*peer), identity(*peer));
            }
        }
        return Ok(Target {
            access: old.access.clone(),
            threshold: record.threshold,
            parties: next,
            last_index: record.last_index(),
            lost: None,
            gone,
        });
    };
    let mut last_index = record.last_index();
    let mut next: Vec<RecordParty> = Vec::with_capacity(names.len());
    for name in names {
        let peer = known(name)?;
        let held = holders.iter().find(|(_, holder)| **holder == peer).map(|(party, _)| party.get());
        let same =
            record.parties.iter().find(|party| party.identity == identity(peer)).map(|party| party.index);
        let named = record.parties.iter().find(|party| party.name == *name);
        let index = match (held.or(same), named) {
            (Some(index), _) => index,
            (None, Some(party)) if is_gone(party) && holders.keys().all(|held| held.get() != party.index) => {
                party.index
            }
            (None, Some(party)) if !is_gone(party) => {
                return Err(refuse(format!(
                    "`{name}` has a new identity, and the old one is not declared lost"
                )));
            }
            _ => {
                // As ever, an index is never given to somebody else.
                last_index =
                    last_index.checked_add(1).ok_or_else(|| refuse("the key had too many parties"))?;
                last_index
            }
        };
        next.push(RecordParty { index, name: name.clone(), identity: identity(peer) });
    }
    next.sort_by_key(|party| party.index);
    let access = match access {
        Some(access) => over(record, access, &next)?,
        None => {
            let next = next.iter().filter_map(|party| PartyIndex::new(party.index));
            as_before(record, &next.collect::<Vec<_>>())?
        }
    };
    let threshold = access::smallest(&access);
    Ok(Target { access, threshold, parties: next, last_index, lost: None, gone })
}

/// As many as before of other parties.
///
/// # Errors
/// If that says not enough: the structure is more than a threshold, or there are too few.
pub(crate) fn as_before(record: &Record, parties: &[PartyIndex]) -> Result<Access, Problem> {
    let old = Package::read(record.scheme, &record.package.0);
    let old = old.ok_or_else(|| refuse("the key's package cannot be read"))?;
    let plain = Access::threshold(record.threshold, &old.committee.indices().collect::<Vec<_>>());
    if plain.as_ref() != Some(&old.access) {
        return Err(refuse(
            "the key's access structure is more than a threshold, and other parties cannot take it over as it is: say who can sign in `access` (`--access`), or name no parties, so that it stays",
        ));
    }
    Access::threshold(record.threshold, parties).ok_or_else(|| {
        refuse(format!(
            "{} of {} cannot be: the threshold is 2 to the number of parties",
            record.threshold,
            parties.len()
        ))
    })
}

/// The dealers under the identities that they have now.
pub(super) fn dealers(
    old: &Package,
    dealers: &[PartyIndex],
    gone: &[Lost],
    holders: &Holders,
) -> Result<Committee, Problem> {
    let dealers = old.committee.subset(dealers).ok_or_else(|| refuse("the dealers hold no shares"))?;
    let now = |party: &Party| match holders.get(&party.index) {
        Some(holder) => {
            IdentityKey::from_bytes(holder.as_bytes()).map(|identity| Party { index: party.index, identity })
        }
        None if gone.iter().any(|lost| lost.index == party.index.get()) => None,
        None => Some(*party),
    };
    let dealers = dealers.iter().map(now).collect::<Option<Vec<Party>>>();
    dealers
        .and_then(Committee::new)
        .ok_or_else(|| refuse("a party that is lost shall deal, and nobody holds a restored share of it"))
}

impl Carried {
    /// What is known of a key together: what was ordered last, and that it was ever exposed.
    fn with(self, other: Self) -> Self {
        let newest = if other.acts > self.acts { other } else { self };
        Self {
            acts: newest.acts,
            disabled: newest.disabled || (self.acts == other.acts && other.disabled),
            exposed: self.exposed || other.exposed,
        }
    }
}

impl Shared {
    /// MOVE.17: what this node holds of the key to be restored, compared with what is proposed. Gives its own restored share.
    pub(super) async fn check_restored(
        &self,
        order: &Order,
        base: &Record,
        in_use: bool,
        carried: Carried,
        holders: &Holders,
    ) -> Result<Option<Waiting>, Problem> {
        let waiting = if in_use { None } else { self.restored(&order.key).await? };
        self.newest(order, waiting.as_ref()).await?;
        let claimed = holders.iter().find(|(_, peer)| **peer == self.id).map(|(party, _)| *party);
        let Some(waiting) = waiting else {
            return match claimed {
                Some(_) => Err(refuse("this node has no restored share of the key")),
                None => Ok(None),
            };
        };
        in_epoch(order, waiting.epoch)?;
        if common(&waiting.record)? != common(base)? {
            return Err(refuse("this node restored another record of the key than the one proposed"));
        }
        if waiting.carried.with(carried) != carried {
            return Err(refuse("this node's backup knows more of the key's state than what is proposed"));
        }
        match claimed {
            Some(party) if party == waiting.party => Ok(Some(waiting)),
            // Somebody else restored the same share too.
            None if holders.contains_key(&waiting.party) => Ok(None),
            _ => Err(refuse("this node's restored share is another one than is proposed")),
        }
    }

    /// MOVE.16: refuses if this node knows of a later epoch, unless its own share was restored all the same.
    async fn newest(&self, order: &Order, own: Option<&Waiting>) -> Result<(), Problem> {
        let forced = own.is_some_and(|waiting| waiting.forced_below.is_some());
        let away = self.store.moved_away(order.key.as_str()).await.map_err(|error| store_problem(&error))?;
        let Some(away) = away.filter(|away| epoch_of(away.epoch) > order.epoch && !forced) else {
            return Ok(());
        };
        let detail = format!(
            "this node knows that the key went on to epoch {}, so shares of epoch {} may be stolen ones: restore a newer backup, or restore this one here by force, with a reason",
            epoch_of(away.epoch),
            order.epoch
        );
        Err(Problem::new(Code::EpochOver, detail))
    }

    /// What is known here of a key that is to be restored: as it is in use, or as it came out of a backup.
    pub(crate) async fn key_to_restore(
        &self,
        id: &KeyId,
    ) -> Result<Option<(quorate_store::Key, Record)>, Problem> {
        if let Some(key) = self.stored_key(id).await? {
            act::stays(id, &key)?;
            if key.status != KeyStatus::Destroyed {
                let record = Record::from_bytes(&key.record)?;
                self.check_record(id, &key, &record).await?;
                return Ok(Some((key, record)));
            }
        }
        let Some(waiting) = self.restored(id).await? else { return Ok(None) };
        let key = waiting.as_key(self.carried_state(id, waiting.carried))?;
        Ok(Some((key, waiting.record)))
    }

    async fn ask_for_restored(&self, peer: PeerId, key: &KeyId) -> Option<(PeerId, HeldRestored)> {
        let mut question = self.asked_for_restored.ask(peer).ok()?;
        let ticket = question.ticket;
        self.tell(peer, &Control::TellRestored { ticket, key: key.to_string() }).await;
        let said = timeout(TELLS, &mut question.answered).await.ok()?.ok()?;
        said.map(|held| (peer, held))
    }
}

/// MOVE.17: who holds a share, restored or in use, and who of them deals.
pub(super) async fn choose(shared: &Arc<Shared>, order: &Order) -> Result<Chosen, Problem> {
    let What::Restore { lost, .. } = &order.what else { return Err(refuse("this is no restore")) };
    let missing = || {
        let detail = format!(
            "this node holds no share of `{}`, neither in use nor restored: ask one that does",
            order.key
        );
        Problem::new(Code::NotFound, detail)
    };
    let (key, record) = shared.key_to_restore(&order.key).await?.ok_or_else(missing)?;
    in_epoch(order, epoch_of(key.epoch))?;
    let unreadable = || refuse("the key's package cannot be read");
    let old = Package::read(record.scheme, &record.package.0).ok_or_else(unreadable)?;
    let members: Vec<PeerId> =
        shared.members().names.keys().copied().filter(|peer| *peer != shared.id).collect();
    // Whoever is not there in time cannot deal; whether it is needed is seen below.
    drop(shared.network.wait_connected(&members, shared.config.limits.connect_grace).await);
    let there: Vec<PeerId> = members.into_iter().filter(|peer| shared.network.is_connected(*peer)).collect();
    let (mut holders, mut carried) = (Holders::new(), Carried::of(&key));
    let in_use: BTreeMap<PeerId, PartyIndex> = old.parties();
    let own = shared.restored(&order.key).await?.filter(|_| key.sealed_share.is_empty());
    shared.newest(order, own.as_ref()).await?;
    let forced = own.as_ref().is_some_and(|own| own.forced_below.is_some());
    if let Some(own) = own {
        holders.insert(own.party, shared.id);
    }
    for (peer, held) in join_all(there.iter().map(|peer| shared.ask_for_restored(*peer, &order.key)))
        .await
        .into_iter()
        .flatten()
    {
        if held.epoch > order.epoch && !forced {
            let detail = format!(
                "`{}` knows the key in epoch {}, so shares of epoch {} may be stolen ones: restore a newer backup, or use `quorate key repair` where a quorum is left",
                shared.name_of(peer),
                held.epoch,
                order.epoch
            );
            return Err(Problem::new(Code::EpochOver, detail));
        }
        if held.epoch != order.epoch || held.party.is_some_and(|party| holders.contains_key(&party)) {
            continue;
        }
        // Whoever has nothing to do with the key has nothing to say about its state.
        if held.party.is_some() || in_use.contains_key(&peer) {
            carried = carried.with(held.carried);
        }
        holders.extend(held.party.map(|party| (party, peer)));
    }
    let what = super::target(shared, &record, &old, &order.what, &holders)?;
    let next = committee(&what.parties).ok_or_else(|| refuse("the parties are not distinct"))?;
    all_there(shared, &next).await?;
    let mut ready: Vec<PartyIndex> = holders.keys().copied().collect();
    ready.extend(
        in_use
            .iter()
            .filter(|(peer, party)| {
                !holders.contains_key(party)
                    && (**peer == shared.id && !key.sealed_share.is_empty() || there.contains(peer))
            })
            .map(|(_, party)| *party),
    );
    ready.sort_by_key(|party| (next.get(*party).is_none(), *party));
    let me = holders.iter().find(|(_, peer)| **peer == shared.id).map(|(party, _)| *party);
    let me = me.or_else(|| in_use.get(&shared.id).copied()).ok_or_else(missing)?;
    let dealers = quorum::choose(&old.access, me, &quorum::unsuspected(&ready), &[]).ok_or_else(|| {
        let names = record.names();
        let have: Vec<String> = ready.iter().map(|party| party_name(&names, *party)).collect();
        let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let away: Vec<String> =
            names.iter().filter(|(party, _)| !ready.contains(party)).map(|(_, name)| name.clone()).collect();
        let detail = format!(
            "the shares of {} parties are needed, restored or in use; there are those of {}. Restore more shares and start those nodes, then ask again (declared lost: {})",
            record.threshold,
            have.join(", "),
            lost.join(", ")
        );
        Problem::new(Code::NotEnoughParties, detail).with_quorum(record.threshold, count(ready.len()), away)
    })?;
    Ok(Chosen { record, dealers, carried, holders })
}

//! When a key goes from one epoch to the next: the decisions, as functions of what is known. Spec: `spec/44-moving.md`.
//!
//! | standing | the key is used | what is durable |
//! |---|---|---|
//! | [`Standing::Settled`] | in its epoch | its share |
//! | [`Standing::Prepared`] | as before | and the share of the next epoch; nobody was told |
//! | [`Standing::InDoubt`] | not at all | and that this node stands down: the next epoch may be in force elsewhere |
//! | [`Standing::GaveUp`] | as before | and the share of the next epoch, whose proof may still turn up |

use std::collections::{BTreeMap, BTreeSet};

use quorate_net::PeerId;
use quorate_protocol::access::Access;
use quorate_protocol::party::PartyIndex;
use quorate_store::Phase;

/// Where a node stands with one successor of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    /// It knows of none, or the successor is in force.
    Settled,
    /// It has prepared it.
    Prepared,
    /// It has acknowledged it and knows no more.
    InDoubt,
    /// It has acknowledged it, and goes on without it.
    GaveUp,
}

impl From<Option<Phase>> for Standing {
    fn from(phase: Option<Phase>) -> Self {
        match phase {
            None => Self::Settled,
            Some(Phase::Prepared) => Self::Prepared,
            Some(Phase::Acknowledged) => Self::InDoubt,
            Some(Phase::Abandoned) => Self::GaveUp,
        }
    }
}

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// Its part of the protocol has ended.
    Prepare,
    /// It is told that all have prepared, and stands down.
    StandDown,
    /// The ceremony ended without that, or the node was started again.
    CalledOff,
    /// It sees the proof that the successor is in force.
    Proven,
    /// It may give up: see [`Move::may_give_up`].
    GiveUp,
}

impl Standing {
    /// MOVE.9: the state machine; `None` where there is no such step.
    pub(crate) const fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Settled, Event::Prepare) => Some(Self::Prepared),
            (Self::Prepared, Event::StandDown) => Some(Self::InDoubt),
            (Self::Prepared, Event::CalledOff) | (_, Event::Proven) => Some(Self::Settled),
            (Self::InDoubt, Event::GiveUp) => Some(Self::GaveUp),
            // What others were told of is not called off.
            (standing, Event::CalledOff) => Some(standing),
            _ => None,
        }
    }

    /// Whether the key may be used in its epoch.
    pub(crate) const fn may_use(self) -> bool {
        !matches!(self, Self::InDoubt)
    }
}

/// What a party says about a successor when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    /// It has not acknowledged it, and never will.
    Never,
    /// It has acknowledged it, and has no proof that it is in force.
    Unproven,
}

/// A move: who can act for the key before and after.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) old: Access,
    pub(crate) old_parties: BTreeMap<PeerId, PartyIndex>,
    pub(crate) new: Access,
    pub(crate) new_parties: BTreeMap<PeerId, PartyIndex>,
    /// Parties of the old epoch that an order declared lost, and whose share nobody restored: they are taken for stood down. Where an order
    /// did that, all others must stand down.
    pub(crate) lost: BTreeSet<PartyIndex>,
    /// Whether an order declared somebody lost.
    pub(crate) restores: bool,
}

fn indices(parties: &BTreeMap<PeerId, PartyIndex>, wanted: impl Fn(&PeerId) -> bool) -> Vec<PartyIndex> {
    parties.iter().filter(|(peer, _)| wanted(peer)).map(|(_, index)| *index).collect()
}

impl Move {
    /// MOVE.7: whether the successor is in force when these have stood down: every party of it, so many parties of the old epoch that they
    /// could act for the key, and so many that the rest of them cannot. MOVE.18: of a restore, all parties of the old epoch but the lost ones.
    pub(crate) fn in_force(&self, stood_down: &BTreeSet<PeerId>) -> bool {
        let mut down = indices(&self.old_parties, |peer| stood_down.contains(peer));
        down.extend(&self.lost);
        let left = indices(&self.old_parties, |peer| !stood_down.contains(peer));
        (!self.restores || left.is_empty())
            && self.new_parties.keys().all(|peer| stood_down.contains(peer))
            && self.old.is_qualified(&down)
            && !self.old.is_qualified(&left)
    }

    /// MOVE.12: whether a party in doubt may go on in the old epoch, by what it was told by each of them and knows of itself. Either it can
    /// never be in force, because somebody it needs never acknowledges; or those who say that they know no proof could act for the key,
    /// and the others cannot act for its successor.
    pub(crate) fn may_give_up(&self, words: &BTreeMap<PeerId, Word>) -> bool {
        let everybody = self.old_parties.keys().chain(self.new_parties.keys());
        let could: BTreeSet<PeerId> =
            everybody.filter(|peer| words.get(peer) != Some(&Word::Never)).copied().collect();
        let here = indices(&self.old_parties, |peer| words.contains_key(peer));
        let elsewhere = indices(&self.new_parties, |peer| !words.contains_key(peer));
        !self.in_force(&could) || (self.old.is_qualified(&here) && !self.new.is_qualified(&elsewhere))
    }

    /// Whether every set that can act for the key shares a party with every set that can act for its successor. Then no two of them can
    /// ever act in two epochs, whatever is lost and whoever gives up. Tried for committees of up to 12 together; `false` above.
    #[cfg(test)]
    pub(crate) fn intersects(&self) -> bool {
        let all: Vec<PeerId> = self.old_parties.keys().chain(self.new_parties.keys()).copied().collect();
        let all: Vec<PeerId> = all.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        all.len() <= 12
            && (0_u32..1 << all.len()).all(|mask| {
                let inside = |peer: &PeerId| {
                    let at = all.iter().position(|other| other == peer).unwrap_or_default();
                    mask >> at & 1 == 1
                };
                let old = indices(&self.old_parties, inside);
                let new = indices(&self.new_parties, |peer| !inside(peer));
                !(self.old.is_qualified(&old) && self.new.is_qualified(&new))
            })
    }
}

#[cfg(test)]
mod tests;

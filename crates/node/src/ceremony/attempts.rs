//! What is known between the attempts at one request, and which quorum is asked next.
//!
//! No clock, no network, no store: what happened goes in, the next quorum comes out. Spec: `spec/45-attempts.md`.
//!
//! | module | holds |
//! |---|---|
//! | `standing` | what is held against a party, and how it is forgotten |
//! | `pace` | how long attempts take |
//! | `turn` | one attempt, and what its end teaches |

pub(crate) mod pace;
pub(crate) mod standing;
pub(crate) mod turn;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::access::Access;
use quorate_protocol::party::PartyIndex;

use self::standing::Points;
use self::turn::{Lesson, Scope, Turn};
use super::quorum;
use quorate_api::Fault;

/// The attempts at one request, from the view of the node that coordinates it.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    me: PartyIndex,
    /// The quorum that the request names: this one or none.
    wanted: Option<Vec<PartyIndex>>,
    /// What is held against each party.
    points: BTreeMap<PartyIndex, Points>,
    /// A proof that they cheated is kept: never chosen.
    quarantined: BTreeSet<PartyIndex>,
    /// Each of these sets does not work together.
    without: Vec<Vec<PartyIndex>>,
    /// Quorums that were given up for being slow. They are tried again if no others are left.
    slow: Vec<Vec<PartyIndex>>,
    /// No others are left: the attempts from now on have all the time there is.
    patient: bool,
}

impl Attempts {
    /// Before the first attempt: with what is held against the parties since earlier requests, who is quarantined, and the parties whose
    /// pair with `me` is burned.
    pub(crate) fn new(
        me: PartyIndex,
        wanted: Option<Vec<PartyIndex>>,
        points: BTreeMap<PartyIndex, Points>,
        quarantined: BTreeSet<PartyIndex>,
        burned: &BTreeSet<PartyIndex>,
    ) -> Self {
        let without = burned.iter().map(|peer| vec![*peer]).collect();
        let (slow, patient) = (Vec::new(), false);
        Self { me, wanted, points, quarantined, without, slow, patient }
    }

    /// ATT.1: the next attempt, among those who are there. `None` if no quorum is left.
    pub(crate) fn next(&mut self, access: &Access, ready: &[PartyIndex]) -> Option<Turn> {
        if let Some(parties) = self.choose(access, ready, None) {
            // ATT.5  Given up at a time when nobody could do without the slow one, the attempt would be lost for nothing.
            let others = parties.iter().filter(|party| **party != self.me);
            let hedged = !self.patient
                && self.wanted.is_none()
                && others.clone().count() > 0
                && others.into_iter().all(|party| self.choose(access, ready, Some(*party)).is_some());
            return Some(Turn { parties, hedged, given_up: self.slow.len() });
        }
        if self.slow.is_empty() {
            return None;
        }
        self.slow.clear();
        self.patient = true;
        let parties = self.choose(access, ready, None)?;
        Some(Turn { parties, hedged: false, given_up: 0 })
    }

    fn choose(
        &self,
        access: &Access,
        ready: &[PartyIndex],
        and_not: Option<PartyIndex>,
    ) -> Option<Vec<PartyIndex>> {
        let trusted = |party: &PartyIndex| !self.quarantined.contains(party);
        if let Some(wanted) = &self.wanted {
            let there = wanted.iter().all(|party| ready.contains(party) && trusted(party));
            let failed = self.sets().any(|set| set.iter().all(|party| wanted.contains(party)));
            return (there && !failed).then(|| wanted.clone());
        }
        let ready: Vec<(PartyIndex, Points)> =
            ready.iter().filter(|party| trusted(party)).map(|party| (*party, self.points(*party))).collect();
        let without: Vec<Vec<PartyIndex>> =
            self.sets().cloned().chain(and_not.map(|party| vec![party])).collect();
        quorum::choose(access, self.me, &ready, &without)
    }

    fn sets(&self) -> impl Iterator<Item = &Vec<PartyIndex>> {
        self.without.iter().chain(&self.slow)
    }

    /// What is held against a party.
    fn points(&self, party: PartyIndex) -> Points {
        self.points.get(&party).copied().unwrap_or(0)
    }

    /// ATT.2, ATT.3: takes in how an attempt ended that failed. Gives what is to be remembered against whom.
    ///
    /// What comes out of `next` after it is never the quorum of this turn, but for one that was given up for being slow, and where it was
    /// somebody outside who lied: so there are at most twice as many attempts as quorums around this node, and one for each other party.
    pub(crate) fn learn(&mut self, turn: &Turn, lesson: &Lesson) -> Vec<(PartyIndex, Points)> {
        let others: Vec<PartyIndex> = turn.parties.iter().copied().filter(|p| *p != self.me).collect();
        let who: Vec<PartyIndex> =
            lesson.who.iter().copied().filter(|party| turn.parties.contains(party)).collect();
        // Also those who were only asked what they know.
        let new = |party: &&PartyIndex| **party != self.me && !self.excludes(**party);
        let new: Vec<PartyIndex> = lesson.who.iter().filter(new).copied().collect();
        match lesson.scope {
            Scope::Each if !new.is_empty() => self.without.extend(new.into_iter().map(|party| vec![party])),
            Scope::Together if who.iter().any(|party| *party != self.me) => self.without.push(who),
            // Also where nothing new is named: the same quorum again would be an attempt without end.
            _ if lesson.fault == Fault::Slow && turn.hedged => self.slow.push(turn.parties.clone()),
            _ => self.without.push(turn.parties.clone()),
        }
        let suspects: Vec<PartyIndex> =
            lesson.who.iter().copied().filter(|party| *party != self.me).collect();
        let suspects = if suspects.is_empty() { others } else { suspects };
        let points = standing::points(lesson.fault, suspects.len());
        for party in &suspects {
            let held = self.points.entry(*party).or_default();
            *held = held.saturating_add(points);
        }
        suspects.into_iter().map(|party| (party, points)).filter(|(_, points)| *points > 0).collect()
    }

    /// ATT.9: a proof was found that this party cheats.
    pub(crate) fn quarantine(&mut self, party: PartyIndex) {
        self.quarantined.insert(party);
    }

    /// Who is quarantined.
    pub(crate) const fn quarantined(&self) -> &BTreeSet<PartyIndex> {
        &self.quarantined
    }

    /// Whether nothing works with this party.
    pub(crate) fn excludes(&self, party: PartyIndex) -> bool {
        self.quarantined.contains(&party) || self.without.iter().any(|set| set.as_slice() == [party])
    }
}

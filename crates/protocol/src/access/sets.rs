//! Lists of the sets that decide a structure: the smallest that can act, and the largest that cannot.

use alloc::vec::Vec;

use super::Access;
use crate::party::PartyIndex;

/// Most sets that are looked at for one list. Up to 14 parties every list is complete.
const MAX_STEPS: usize = 1 << 15;

/// Most sets that are looked at to find out which parties are of use.
const MAX_PIVOT_STEPS: usize = 1 << 14;

/// A list of sets of parties, each in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sets {
    /// The sets found, in order of their members.
    pub sets: Vec<Vec<PartyIndex>>,
    /// Whether these are all: neither the limit nor the bound of the search ended the list.
    pub complete: bool,
}

impl Access {
    /// The minimal quorums: qualified sets in which nobody can be left out. At most `limit`, and fewer where the search grows too long.
    pub fn minimal_quorums(&self, limit: usize) -> Sets {
        minimal(&self.parties(), limit, &|set| self.is_qualified(set))
    }

    /// The maximal unqualified sets: sets that cannot act, though anybody more would make them. At most `limit`, and fewer where the
    /// search grows too long.
    pub fn maximal_unqualified(&self, limit: usize) -> Sets {
        let all = self.parties();
        let without = |set: &[PartyIndex]| -> Vec<PartyIndex> {
            all.iter().copied().filter(|p| !set.contains(p)).collect()
        };
        // Their complements are the smallest sets that block everybody else.
        let blocking = minimal(&all, limit, &|set| !self.is_qualified(&without(set)));
        Sets { sets: blocking.sets.iter().map(|set| without(set)).collect(), complete: blocking.complete }
    }

    /// The number of parties in the smallest quorum. Exact for structures in which no party stands twice, and for those whose quorums can
    /// all be listed; for others a lower bound.
    pub fn smallest_quorum(&self) -> usize {
        let mut leaves = 0usize;
        self.leaves(&mut |_| leaves = leaves.saturating_add(1));
        if leaves == self.parties().len() {
            return self.fewest_leaves();
        }
        let quorums = self.minimal_quorums(MAX_STEPS);
        let smallest = quorums.sets.iter().map(Vec::len).min().unwrap_or(1);
        if quorums.complete { smallest } else { smallest.min(2) }
    }

    /// The fewest leaves that satisfy the node.
    fn fewest_leaves(&self) -> usize {
        match self {
            Self::Party(_) => 1,
            Self::Threshold { k, of } => cheapest(&mut of.iter().map(Self::fewest_leaves).collect(), *k),
            Self::Ranks(ranks) => {
                // What a rank asks for may come from the ranks above it as well: the pool keeps what they did not use.
                let mut pool = Vec::new();
                let mut sum = 0usize;
                for rank in ranks {
                    pool.extend(rank.of.iter().map(Self::fewest_leaves));
                    sum = sum.saturating_add(cheapest(&mut pool, rank.k));
                }
                sum
            }
        }
    }

    /// Whether any two quorums have a party in common, so that two can never act at the same time behind each other's back. `false` also
    /// where the quorums are too many to tell.
    pub fn quorums_intersect(&self) -> bool {
        let all = self.parties();
        if let Some((k, parties)) = self.as_threshold() {
            return usize::from(k).saturating_mul(2) > parties.len();
        }
        let quorums = self.minimal_quorums(MAX_STEPS);
        quorums.complete
            && quorums.sets.iter().all(|quorum| {
                let rest: Vec<_> = all.iter().copied().filter(|p| !quorum.contains(p)).collect();
                !self.is_qualified(&rest)
            })
    }
}

/// A party that a structure has no use for: it is in no minimal quorum, so whoever can act with it can act without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// The party.
    pub party: PartyIndex,
    /// Whether that is certain: where there are too many sets to look at, a use that was not found may exist.
    pub certain: bool,
}

impl Access {
    /// The least party that is in no minimal quorum, or for which none was found. None in structures in which no party stands twice.
    pub fn idle_party(&self) -> Option<Idle> {
        let all = self.parties();
        let mut leaves = 0usize;
        self.leaves(&mut |_| leaves = leaves.saturating_add(1));
        // Each child of a threshold or of ranks turns the scale somewhere, and separate children do not hinder each other.
        if leaves == all.len() {
            return None;
        }
        let mut steps = MAX_PIVOT_STEPS;
        all.iter().find_map(|&party| {
            let others: Vec<_> = all.iter().copied().filter(|other| *other != party).collect();
            match self.turns_the_scale(party, &mut Vec::new(), &others, &mut steps) {
                Some(true) => None,
                found => Some(Idle { party, certain: found == Some(false) }),
            }
        })
    }

    /// Whether the party makes a set qualified that is not: the chosen ones with some of the rest. `None` when the steps are used up.
    /// What is chosen is never qualified by itself.
    fn turns_the_scale(
        &self,
        party: PartyIndex,
        chosen: &mut Vec<PartyIndex>,
        rest: &[PartyIndex],
        steps: &mut usize,
    ) -> Option<bool> {
        *steps = steps.checked_sub(1)?;
        let with = |more: &[PartyIndex]| self.is_qualified(&[chosen.as_slice(), more, &[party]].concat());
        if with(&[]) {
            return Some(true);
        }
        let Some((next, rest)) = rest.split_first().filter(|_| with(rest)) else { return Some(false) };
        chosen.push(*next);
        let found = if self.is_qualified(chosen) {
            Some(false)
        } else {
            self.turns_the_scale(party, chosen, rest, steps)
        };
        chosen.pop();
        match found {
            Some(false) => self.turns_the_scale(party, chosen, rest, steps),
            found => found,
        }
    }
}

/// Takes the `k` smallest out of the pool and adds them up.
fn cheapest(pool: &mut Vec<usize>, k: u16) -> usize {
    pool.sort_unstable();
    pool.drain(..usize::from(k).min(pool.len())).fold(0, usize::saturating_add)
}

/// The minimal sets that a monotone property holds for.
fn minimal(all: &[PartyIndex], limit: usize, holds: &dyn Fn(&[PartyIndex]) -> bool) -> Sets {
    let mut search = Search { all, limit, holds, steps: 0, found: Sets { sets: Vec::new(), complete: true } };
    search.extend(&mut Vec::new(), 0);
    search.found
}

struct Search<'a> {
    all: &'a [PartyIndex],
    limit: usize,
    holds: &'a dyn Fn(&[PartyIndex]) -> bool,
    steps: usize,
    found: Sets,
}

impl Search<'_> {
    /// Looks at the sets that consist of `chosen` and some of the parties from `at` on.
    fn extend(&mut self, chosen: &mut Vec<PartyIndex>, at: usize) {
        self.steps = self.steps.saturating_add(1);
        if self.steps > MAX_STEPS {
            self.found.complete = false;
        }
        if !self.found.complete {
            return;
        }
        if (self.holds)(chosen) {
            if self.is_minimal(chosen) {
                if self.found.sets.len() == self.limit {
                    self.found.complete = false;
                } else {
                    self.found.sets.push(chosen.clone());
                }
            }
            return;
        }
        let rest = self.all.get(at..).unwrap_or_default();
        let mut everything = chosen.clone();
        everything.extend_from_slice(rest);
        if !(self.holds)(&everything) {
            return;
        }
        if let Some((next, _)) = rest.split_first() {
            chosen.push(*next);
            self.extend(chosen, at.saturating_add(1));
            chosen.pop();
            self.extend(chosen, at.saturating_add(1));
        }
    }

    fn is_minimal(&self, set: &[PartyIndex]) -> bool {
        set.iter().all(|left_out| {
            let rest: Vec<_> = set.iter().copied().filter(|p| p != left_out).collect();
            !(self.holds)(&rest)
        })
    }
}

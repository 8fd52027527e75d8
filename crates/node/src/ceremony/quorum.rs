//! Choosing who signs: a minimal quorum around this node, among those who are there.

use quorate_protocol::access::Access;
use quorate_protocol::party::PartyIndex;

/// Most combinations that are looked at. With the exclusions of a few failed attempts one of the first is good.
const MAX_STEPS: usize = 20_000;

/// A minimal quorum with `me` and some of `ready`, in their order of preference, that contains none of the sets of `without`
/// whole. `None` if there is none.
pub(crate) fn choose(
    access: &Access,
    me: PartyIndex,
    ready: &[PartyIndex],
    without: &[Vec<PartyIndex>],
) -> Option<Vec<PartyIndex>> {
    let (k, parties) = access.as_threshold()?;
    let mut others: Vec<PartyIndex> = Vec::new();
    for &party in ready {
        if party != me && parties.contains(&party) && !others.contains(&party) {
            others.push(party);
        }
    }
    let mut search = Search { k: usize::from(k), others: &others, without, steps: 0 };
    let mut chosen = vec![me];
    if !search.allowed(&chosen) || !search.extend(&mut chosen, 0) {
        return None;
    }
    chosen.sort_unstable();
    access.is_minimal_quorum(&chosen).then_some(chosen)
}

struct Search<'a> {
    k: usize,
    others: &'a [PartyIndex],
    without: &'a [Vec<PartyIndex>],
    steps: usize,
}

impl Search<'_> {
    fn allowed(&self, chosen: &[PartyIndex]) -> bool {
        !self.without.iter().any(|set| !set.is_empty() && set.iter().all(|party| chosen.contains(party)))
    }

    fn extend(&mut self, chosen: &mut Vec<PartyIndex>, from: usize) -> bool {
        if chosen.len() == self.k {
            return true;
        }
        for (at, &party) in self.others.iter().enumerate().skip(from) {
            self.steps = self.steps.saturating_add(1);
            if self.steps > MAX_STEPS {
                return false;
            }
            chosen.push(party);
            if self.allowed(chosen) && self.extend(chosen, at.saturating_add(1)) {
                return true;
            }
            chosen.pop();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(i: u16) -> PartyIndex {
        PartyIndex::new(i).unwrap()
    }
    fn all(n: u16) -> Vec<PartyIndex> {
        (1..=n).map(p).collect()
    }

    #[test]
    fn quorums_are_minimal_hold_this_node_and_avoid_what_failed() {
        let access = Access::threshold(3, &all(5)).unwrap();
        let pick = |ready: &[PartyIndex], without: &[Vec<PartyIndex>]| choose(&access, p(2), ready, without);
        assert_eq!(pick(&all(5), &[]), Some(vec![p(1), p(2), p(3)]));
        assert_eq!(pick(&[p(5), p(4)], &[]), Some(vec![p(2), p(4), p(5)]), "in the order of preference");
        assert_eq!(pick(&all(5), &[vec![p(1)]]), Some(vec![p(2), p(3), p(4)]));
        assert_eq!(pick(&all(5), &[vec![p(1), p(3)]]), Some(vec![p(1), p(2), p(4)]), "a pair, not its ends");
        assert_eq!(pick(&all(5), &[vec![p(2), p(1)], vec![p(3), p(4)]]), Some(vec![p(2), p(3), p(5)]));
        assert_eq!(pick(&all(2), &[]), None);
        assert_eq!(pick(&[p(1), p(1), p(9)], &[]), None, "neither twice nor a stranger");
        assert_eq!(pick(&all(5), &[vec![p(2)]]), None, "without this node nothing");
        let alone = Access::threshold(1, &all(3)).unwrap();
        assert_eq!(choose(&alone, p(2), &[], &[]), Some(vec![p(2)]));
    }

    #[test]
    fn a_hopeless_search_ends() {
        let access = Access::threshold(32, &all(64)).unwrap();
        let without: Vec<_> = (2..=64).flat_map(|a| (2..a).map(move |b| vec![p(a), p(b)])).collect();
        assert_eq!(choose(&access, p(1), &all(64), &without), None);
    }
}

//! Choosing who signs: a minimal quorum around this node, among those who are there.

use quorate_protocol::access::Access;
use quorate_protocol::party::PartyIndex;

/// Most combinations that are looked at. With the exclusions of a few failed attempts one of the first is good.
const MAX_STEPS: usize = 20_000;

/// A minimal quorum with `me` and some of `ready`, the earlier ones preferred, that contains none of the sets of `without` whole. `None`
/// if there is none.
pub(crate) fn choose(
    access: &Access,
    me: PartyIndex,
    ready: &[PartyIndex],
    without: &[Vec<PartyIndex>],
) -> Option<Vec<PartyIndex>> {
    if !access.contains(me) {
        return None;
    }
    let mut others: Vec<PartyIndex> = Vec::new();
    for &party in ready {
        if party != me && access.contains(party) && !others.contains(&party) {
            others.push(party);
        }
    }
    let mut search = Search { access, others: &others, without, steps: 0 };
    let mut chosen = vec![me];
    if !search.allowed(&chosen) {
        return None;
    }
    let mut quorum = search.extend(&mut chosen, 0)?;
    quorum.sort_unstable();
    Some(quorum)
}

struct Search<'a> {
    access: &'a Access,
    others: &'a [PartyIndex],
    without: &'a [Vec<PartyIndex>],
    steps: usize,
}

impl Search<'_> {
    fn allowed(&self, chosen: &[PartyIndex]) -> bool {
        !self.without.iter().any(|set| !set.is_empty() && set.iter().all(|party| chosen.contains(party)))
    }

    /// A minimal quorum with the first of `chosen` and as many of the rest and of the others from `from` on as it needs.
    fn extend(&mut self, chosen: &mut Vec<PartyIndex>, from: usize) -> Option<Vec<PartyIndex>> {
        if self.access.is_qualified(chosen) {
            return self.reduced(chosen);
        }
        let rest = self.others.get(from..).unwrap_or_default();
        let everybody: Vec<PartyIndex> = chosen.iter().chain(rest).copied().collect();
        if !self.access.is_qualified(&everybody) {
            return None;
        }
        for (at, &party) in self.others.iter().enumerate().skip(from) {
            self.steps = self.steps.saturating_add(1);
            if self.steps > MAX_STEPS {
                return None;
            }
            chosen.push(party);
            if self.allowed(chosen)
                && let Some(quorum) = self.extend(chosen, at.saturating_add(1))
            {
                return Some(quorum);
            }
            chosen.pop();
        }
        None
    }

    /// Leaves out whom a qualified set can do without, the least preferred first and the first never. `None` if it could do without the
    /// first as well.
    fn reduced(&self, chosen: &[PartyIndex]) -> Option<Vec<PartyIndex>> {
        let mut quorum = chosen.to_vec();
        for party in chosen.iter().skip(1).rev() {
            let rest: Vec<PartyIndex> = quorum.iter().copied().filter(|p| p != party).collect();
            if self.access.is_qualified(&rest) {
                quorum = rest;
            }
        }
        self.access.is_minimal_quorum(&quorum).then_some(quorum)
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
        assert_eq!(choose(&access, p(6), &all(5), &[]), None, "a stranger is in no quorum");
        let alone = Access::threshold(1, &all(3)).unwrap();
        assert_eq!(choose(&alone, p(2), &[], &[]), Some(vec![p(2)]));
    }

    #[test]
    fn trees_are_searched_for_a_quorum_that_needs_this_node() {
        // 1 and 2 of (2, 3, 4)
        let inner = Access::threshold(2, &[p(2), p(3), p(4)]).unwrap();
        let access = Access::Threshold { k: 2, of: vec![Access::Party(p(1)), inner.clone()] };
        let pick =
            |me, ready: &[PartyIndex], without: &[Vec<PartyIndex>]| choose(&access, me, ready, without);
        assert_eq!(pick(p(2), &[p(4), p(3), p(1)], &[]), Some(vec![p(1), p(2), p(4)]), "3 is not needed");
        assert_eq!(pick(p(1), &all(4), &[vec![p(2), p(3)]]), Some(vec![p(1), p(2), p(4)]));
        assert_eq!(pick(p(2), &[p(3), p(4)], &[]), None, "without 1 nothing");
        assert_eq!(pick(p(1), &[p(3)], &[]), None);
        // 1 or else 2 of (2, 3, 4), with 5: a quorum around 2 does without 1.
        let either = Access::Threshold { k: 1, of: vec![Access::Party(p(1)), inner] };
        let access = Access::Threshold { k: 2, of: vec![either, Access::Party(p(5))] };
        assert_eq!(choose(&access, p(2), &[p(1), p(5), p(3)], &[]), Some(vec![p(2), p(3), p(5)]));
        assert_eq!(choose(&access, p(2), &[p(1), p(5)], &[]), None, "1 and 5 do not need 2");
    }

    #[test]
    fn a_hopeless_search_ends() {
        let access = Access::threshold(32, &all(64)).unwrap();
        let without: Vec<_> = (2..=64).flat_map(|a| (2..a).map(move |b| vec![p(a), p(b)])).collect();
        assert_eq!(choose(&access, p(1), &all(64), &without), None);
    }
}

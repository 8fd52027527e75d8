//! Choosing who signs: a minimal quorum around this node, among those who are there.

use quorate_protocol::access::Access;
use quorate_protocol::party::PartyIndex;

use super::attempts::standing::Points;

/// Most combinations that are looked at. With the exclusions of a few failed attempts one of the first is good.
const MAX_STEPS: usize = 20_000;

/// A minimal quorum with `me` and some of `ready` that contains none of the sets of `without` whole, with the fewest points of suspicion
/// in sum; of those with equally many the one that prefers the earlier ones. `None` if there is none.
pub(crate) fn choose(
    access: &Access,
    me: PartyIndex,
    ready: &[(PartyIndex, Points)],
    without: &[Vec<PartyIndex>],
) -> Option<Vec<PartyIndex>> {
    if !access.contains(me) {
        return None;
    }
    let mut others: Vec<(PartyIndex, Points)> = Vec::new();
    for &(party, points) in ready {
        if party != me && access.contains(party) && !others.iter().any(|(other, _)| *other == party) {
            others.push((party, points));
        }
    }
    others.sort_by_key(|(_, points)| *points);
    let mut search = Search { access, others: &others, without, steps: 0, best: None };
    let mut chosen = vec![me];
    if !search.allowed(&chosen) {
        return None;
    }
    search.extend(&mut chosen, 0, 0);
    let (_, mut quorum) = search.best?;
    quorum.sort_unstable();
    Some(quorum)
}

/// Parties against whom nothing counts.
pub(crate) fn unsuspected(ready: &[PartyIndex]) -> Vec<(PartyIndex, Points)> {
    ready.iter().map(|party| (*party, 0)).collect()
}

struct Search<'a> {
    access: &'a Access,
    others: &'a [(PartyIndex, Points)],
    without: &'a [Vec<PartyIndex>],
    steps: usize,
    best: Option<(Points, Vec<PartyIndex>)>,
}

impl Search<'_> {
    fn allowed(&self, chosen: &[PartyIndex]) -> bool {
        !self.without.iter().any(|set| !set.is_empty() && set.iter().all(|party| chosen.contains(party)))
    }

    /// Looks for a minimal quorum with the first of `chosen` and as many of the rest and of the others from `from` on as it needs.
    fn extend(&mut self, chosen: &mut Vec<PartyIndex>, from: usize, points: Points) {
        // What is found later on this way has no fewer.
        if self.best.as_ref().is_some_and(|(best, _)| points >= *best) {
            return;
        }
        if self.access.is_qualified(chosen) {
            if let Some(quorum) = self.reduced(chosen) {
                let points = self.points(&quorum);
                if self.best.as_ref().is_none_or(|(best, _)| points < *best) {
                    self.best = Some((points, quorum));
                }
            }
            return;
        }
        let others = self.others;
        let rest = others.get(from..).unwrap_or_default().iter().map(|(party, _)| *party);
        let everybody: Vec<PartyIndex> = chosen.iter().copied().chain(rest).collect();
        if !self.access.is_qualified(&everybody) {
            return;
        }
        for (at, &(party, more)) in others.iter().enumerate().skip(from) {
            self.steps = self.steps.saturating_add(1);
            if self.steps > MAX_STEPS {
                return;
            }
            chosen.push(party);
            if self.allowed(chosen) {
                self.extend(chosen, at.saturating_add(1), points.saturating_add(more));
            }
            chosen.pop();
        }
    }

    fn points(&self, quorum: &[PartyIndex]) -> Points {
        let of = self.others.iter().filter(|(party, _)| quorum.contains(party));
        of.fold(0, |sum, (_, points)| sum.saturating_add(*points))
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
    fn choose(
        access: &Access,
        me: PartyIndex,
        ready: &[PartyIndex],
        without: &[Vec<PartyIndex>],
    ) -> Option<Vec<PartyIndex>> {
        super::choose(access, me, &unsuspected(ready), without)
    }

    #[test]
    fn the_least_suspected_quorum_is_chosen() {
        let access = Access::threshold(3, &all(5)).unwrap();
        let pick = |points: [Points; 4], without: &[Vec<PartyIndex>]| {
            let ready: Vec<(PartyIndex, Points)> = (2..=5).map(p).zip(points).collect();
            super::choose(&access, p(1), &ready, without)
        };
        assert_eq!(pick([0, 500, 0, 0], &[]), Some(vec![p(1), p(2), p(4)]));
        assert_eq!(pick([500, 500, 0, 0], &[]), Some(vec![p(1), p(4), p(5)]));
        assert_eq!(pick([500, 400, 300, 200], &[]), Some(vec![p(1), p(4), p(5)]));
        // 4 and 5 never meet: the next best is 2 with 5, though 3 with 4 is found before it.
        assert_eq!(pick([400, 500, 200, 100], &[vec![p(4), p(5)]]), Some(vec![p(1), p(2), p(5)]));
        // Whom nobody trusts signs if nobody else is left.
        assert_eq!(pick([9000, 9000, 0, 0], &[vec![p(4)]]), Some(vec![p(1), p(2), p(5)]));
        // 2, or else 3 and 4; and 5: two of little suspicion are less than one of much.
        let pair = Access::threshold(2, &[p(3), p(4)]).unwrap();
        let either = Access::Threshold { k: 1, of: vec![Access::Party(p(2)), pair] };
        let access = Access::Threshold { k: 3, of: vec![Access::Party(p(1)), either, Access::Party(p(5))] };
        let pick = |points: [Points; 4]| {
            let ready: Vec<(PartyIndex, Points)> = (2..=5).map(p).zip(points).collect();
            super::choose(&access, p(1), &ready, &[])
        };
        assert_eq!(pick([300, 100, 100, 0]), Some(vec![p(1), p(3), p(4), p(5)]));
        assert_eq!(pick([300, 200, 200, 0]), Some(vec![p(1), p(2), p(5)]));
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

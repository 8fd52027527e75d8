//! The trial of ranks: whether each combination that should give the secret does, and no other.

use alloc::vec::Vec;

use quorate_protocol::curve::Curve;

use super::{MAX_RANKED, Unshareable, solve};

/// Most combinations that are tried for one node.
const MAX_COMBINATIONS: usize = 4096;

/// Most multiplications that the trial of one node may cost, about: the cube of each system's size.
const MAX_WORK: usize = 1 << 22;

/// One child of the node: its place, the order of its derivative, and its rank.
type Child = (u64, usize, usize);

/// Tries the ranks of one node, given as `(k, children)` from the highest on.
///
/// SHARE.6. Let `K_l` be what the ranks down to `l` ask for together. *Correct*: a satisfying set of `K` children of all ranks has a
/// regular system, and any satisfying set holds one of these. *Private*: an unqualified set lacks a child in the ranks down to some `l`.
/// Take the first such `l`, fill the set up to `K_l - 1` children there, and add all children of lower ranks: these see only
/// coefficients from `K_l` on. So if the others, cut to `K_l` coefficients, do not span the secret, the set does not either; they do not if
/// together with a child at place 0, which is the secret, they are regular.
pub(super) fn check<C: Curve>(ranks: &[(usize, usize)]) -> Result<(), Unshareable> {
    let all = ranks.iter().fold(0usize, |all, (k, _)| all.saturating_add(*k));
    if all > MAX_RANKED {
        return Err(Unshareable::TooManyOfRanks);
    }
    let most = MAX_WORK.checked_div(all.saturating_pow(3)).unwrap_or_default().min(MAX_COMBINATIONS);
    let mut trial = Trial { children: Vec::new(), needed: Vec::new(), left: most };
    let (mut order, mut x) = (0usize, 0u64);
    for (rank, (k, count)) in ranks.iter().enumerate() {
        for _ in 0..*count {
            x = x.saturating_add(1);
            trial.children.push((x, order, rank));
        }
        order = order.saturating_add(*k);
        // Private: the secret itself, and one child less than the ranks so far ask for.
        trial.run::<C>(&mut Vec::from([(0, 0)]), order, 0)?;
        trial.needed.push(order);
    }
    // Correct: as many children as all ranks ask for.
    trial.run::<C>(&mut Vec::new(), order, 0)
}

struct Trial {
    /// The children of the ranks so far.
    children: Vec<Child>,
    /// `K_l` of the ranks that have to be satisfied.
    needed: Vec<usize>,
    /// How many systems may still be tried.
    left: usize,
}

impl Trial {
    /// Adds children from `at` on to the chosen ones, up to `size`, in every way that satisfies the ranks in `needed`; tries each.
    fn run<C: Curve>(
        &mut self,
        chosen: &mut Vec<(u64, usize)>,
        size: usize,
        at: usize,
    ) -> Result<(), Unshareable> {
        if chosen.len() == size {
            self.left = self.left.checked_sub(1).ok_or(Unshareable::TooManyRanks)?;
            return solve::weights::<C>(size, chosen).map(|_| ()).ok_or(Unshareable::Unsolvable);
        }
        let rest = self.children.get(at..).unwrap_or_default();
        let Some((x, order, rank)) = rest.first().copied() else { return Ok(()) };
        let taken = chosen.iter().filter(|(x, _)| *x > 0).count();
        let above = rank.checked_sub(1).and_then(|l| self.needed.get(l)).copied().unwrap_or_default();
        if rest.len() < size.saturating_sub(chosen.len()) || taken < above {
            return Ok(());
        }
        let next = at.saturating_add(1);
        chosen.push((x, order));
        self.run::<C>(chosen, size, next)?;
        chosen.pop();
        self.run::<C>(chosen, size, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use quorate_protocol::curve::P256;

    /// Places that do not rise with the rank: `f(1)`, `f(3)` and `f'(2)` of a parabola say the same twice. Ours rise, so only a direct call
    /// shows that the trial would notice.
    #[test]
    fn a_singular_system_is_noticed() {
        assert!(solve::weights::<P256>(3, &[(1, 0), (3, 0), (2, 1)]).is_none());
        assert!(solve::weights::<P256>(3, &[(1, 0), (2, 0), (3, 1)]).is_some());
        let mut trial = Trial { children: vec![(1, 0, 0), (3, 0, 0), (2, 1, 1)], needed: vec![1], left: 9 };
        assert_eq!(trial.run::<P256>(&mut Vec::new(), 3, 0), Err(Unshareable::Unsolvable));
        assert_eq!(trial.left, 8);
    }
}

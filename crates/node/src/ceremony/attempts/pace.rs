//! How long attempts take when nobody hinders them, and how long the next one may take before another quorum is asked.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How many of the last times are kept of each kind.
const KEPT: usize = 64;
/// Fewer than these say nothing.
const FEW: usize = 8;
/// How many kinds are kept; with one more all are forgotten.
const KINDS: usize = 256;
/// How many times longer than nearly all others an attempt may take. An attempt that is given up is lost, so being wrong in one of
/// twenty would cost more than being slow.
const PATIENCE: u32 = 3;

/// What takes about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) phase: Phase,
    pub(crate) protocol: &'static str,
    pub(crate) parties: usize,
    /// The logarithm of how many signatures it makes.
    pub(crate) signatures: u32,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// The members' answers to the proposal.
    Answers,
    /// The signatures.
    Session,
}

/// The times of attempts that succeeded.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    kept: HashMap<Kind, VecDeque<Duration>>,
}

impl Pace {
    /// Takes in how long one took.
    pub(crate) fn took(&mut self, kind: Kind, time: Duration) {
        if self.kept.len() >= KINDS && !self.kept.contains_key(&kind) {
            self.kept.clear();
        }
        let kept = self.kept.entry(kind).or_default();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(time);
    }

    /// The time that 95 of 100 of the last ones did not exceed; `None` as long as they are few.
    fn p95(&self, kind: Kind) -> Option<Duration> {
        let mut kept: Vec<Duration> = self.kept.get(&kind)?.iter().copied().collect();
        if kept.len() < FEW {
            return None;
        }
        kept.sort_unstable();
        let rank = kept.len().saturating_mul(95).div_ceil(100);
        kept.get(rank.saturating_sub(1)).copied()
    }

    /// ATT.6: how long the next one may take: at least `floor`, at most `cap`, and `cap` as long as nothing is known.
    pub(crate) fn wait(&self, kind: Kind, given_up: usize, floor: Duration, cap: Duration) -> Duration {
        let known = self.p95(kind).map_or(cap, |p95| p95.saturating_mul(PATIENCE).max(floor));
        // If everybody is slow it is not for want of goodwill.
        let doubled = u32::try_from(given_up).ok().and_then(|by| 1_u32.checked_shl(by)).unwrap_or(u32::MAX);
        known.saturating_mul(doubled).min(cap)
    }
}

//! CPU time of this thread, and what several runs say together.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// CPU time that this thread has used. Other processes that share the cores do not add to it, though they do disturb caches and clocks.
pub(crate) fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Runs `work` and says how much CPU time it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(Duration, T)> {
    let begin = thread_cpu();
    let result = std::hint::black_box(work()?);
    Ok((thread_cpu().saturating_sub(begin), result))
}

/// What several runs took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Stats {
    pub(crate) median_ms: f64,
    pub(crate) min_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) runs: usize,
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The value below which `share` of the sorted values lie.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Option<f64> {
    let last = u32::try_from(sorted.len().checked_sub(1)?).ok()?;
    let at = (f64::from(last) * share).round();
    let at = (0..=last).find(|i| f64::from(*i) >= at)?;
    sorted.get(usize::try_from(at).ok()?).copied().map(milliseconds)
}

impl Stats {
    fn of(mut times: Vec<Duration>) -> anyhow::Result<Self> {
        times.sort();
        let at = |share| percentile(&times, share).context("nothing was measured");
        Ok(Self { median_ms: at(0.5)?, min_ms: at(0.0)?, max_ms: at(1.0)?, runs: times.len() })
    }
}

/// How often to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Runs at most.
    pub(crate) runs: usize,
    /// Runs at least, whatever they take.
    pub(crate) at_least: usize,
    /// No further run after this time on the clock.
    pub(crate) budget: Duration,
}

/// One thing that is measured; it returns the CPU time of one run.
pub(crate) type Contender<'a> = Box<dyn FnMut() -> anyhow::Result<Duration> + 'a>;

/// Runs the contenders in turn, so that whatever else the machine does falls on all of them alike.
pub(crate) fn compete(effort: Effort, contenders: &mut [Contender<'_>]) -> anyhow::Result<Vec<Stats>> {
    let mut times: Vec<Vec<Duration>> = contenders.iter().map(|_| Vec::new()).collect();
    let begin = Instant::now();
    for run in 0..effort.runs {
        if run >= effort.at_least && begin.elapsed() > effort.budget {
            break;
        }
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            times.push(contender()?);
        }
    }
    times.into_iter().map(Stats::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let times: Vec<_> = (1..=101).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.0), Some(1.0));
        assert_eq!(percentile(&times, 0.5), Some(51.0));
        assert_eq!(percentile(&times, 0.99), Some(100.0));
        assert_eq!(percentile(&times, 1.0), Some(101.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn contenders_run_in_turn_and_at_least_as_often_as_asked() {
        let order = std::cell::RefCell::new(Vec::new());
        let contender = |name| -> Contender<'_> {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                Ok(Duration::from_millis(2))
            })
        };
        let effort = Effort { runs: 9, at_least: 2, budget: Duration::ZERO };
        let stats = compete(effort, &mut [contender('a'), contender('b')]);
        let stats = stats.unwrap_or_default();
        assert_eq!(stats.iter().map(|s| (s.runs, s.median_ms)).collect::<Vec<_>>(), [(2, 2.0), (2, 2.0)]);
        assert_eq!(*order.borrow(), ['a', 'b', 'a', 'b']);
    }
}

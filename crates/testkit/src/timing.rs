//! Whether the time that a function takes tells its secret input: Welch's t-test over two classes of inputs, after Reparaz, Balasch and
//! Verbauwhede, *Dude, is my code constant time?* (2017).
//!
//! Samples of both classes are taken in random order, so that whatever else the machine does falls on both alike. What took longest is mostly
//! somebody else's work: the test is made on the shortest quarter, half, three quarters and 95 % of all samples, and the largest
//! statistic counts. A leak is there again when it is measured again, and noise is not: see [`Verdict::of`].

use std::hint::black_box;
use std::time::Instant;

use quorate_protocol::transcript::{Transcript, Xof, tags};

/// The largest |t| that is put down to noise.
///
/// 1,700 measurements whose classes did not differ, on two CPUs with a load of 13, gave 1.2 in the median, 2.7 in the 99th percentile and 4.4
/// at most; a value must be above this in three measurements in a row. Of planted leaks, one class is never as fast as the other.
pub const BOUND: f64 = 12.0;

/// How often a suspicious function is measured before it is called leaky.
const ATTEMPTS: usize = 3;

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The largest |t| over the crops, in the best of the attempts.
    pub t: f64,
    /// The shorter class's mean time of the middle crop in nanoseconds, and by how much the other one is longer.
    pub nanos: (f64, f64),
}

impl Verdict {
    /// Measures `run` on `samples` inputs of `prepare`, which is given the class and is not timed; again, up to three times, while the
    /// statistic is above [`BOUND`].
    pub fn of<T, R>(samples: usize, mut prepare: impl FnMut(bool) -> T, mut run: impl FnMut(T) -> R) -> Self {
        let mut best = Self { t: f64::INFINITY, nanos: (0.0, 0.0) };
        for attempt in 0..ATTEMPTS {
            let times = measure(samples, attempt, &mut prepare, &mut run);
            let verdict = judge(&times);
            if attempt == 0 || verdict.t < best.t {
                best = verdict;
            }
            if !best.leaks() {
                break;
            }
        }
        best
    }

    /// One measurement, however suspicious.
    pub fn once<T, R>(
        samples: usize,
        mut prepare: impl FnMut(bool) -> T,
        mut run: impl FnMut(T) -> R,
    ) -> Self {
        judge(&measure(samples, 0, &mut prepare, &mut run))
    }

    /// Whether the time tells the class.
    pub fn leaks(&self) -> bool {
        self.t > BOUND
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (nanos, more) = self.nanos;
        // Where one class is never as fast as the other, there is no number.
        write!(f, "|t| {:6.1}   {nanos:10.0} ns, +{more:.0} ns", self.t.min(9999.0))
    }
}

/// Class and nanoseconds of every sample, without the first tenth.
fn measure<T, R>(
    samples: usize,
    attempt: usize,
    prepare: &mut impl FnMut(bool) -> T,
    run: &mut impl FnMut(T) -> R,
) -> Vec<(bool, f64)> {
    let mut order: Xof = Transcript::new(tags::TEST).absorb_u64("order", attempt.try_into().unwrap()).xof();
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let mut byte = [0u8];
        order.fill(&mut byte);
        let class = byte[0] & 1 == 1;
        let input = black_box(prepare(black_box(class)));
        let since = Instant::now();
        black_box(run(input));
        times.push((class, since.elapsed().as_nanos() as f64));
    }
    times.split_off(samples / 10)
}

fn judge(times: &[(bool, f64)]) -> Verdict {
    let mut sorted: Vec<f64> = times.iter().map(|(_, time)| *time).collect();
    sorted.sort_by(f64::total_cmp);
    let mut verdict = Verdict { t: 0.0, nanos: (0.0, 0.0) };
    let all = |class| moments(times.iter().filter(|(of, _)| *of == class).map(|(_, time)| *time)).1;
    for percent in [25, 50, 75, 95] {
        let limit = sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)];
        let of = |class| {
            let kept = times.iter().filter(|(of, time)| *of == class && *time <= limit);
            moments(kept.map(|(_, time)| *time))
        };
        let ((n, mean_a, var_a), (m, mean_b, var_b)) = (of(false), of(true));
        // A crop in which one class is all but missing says more than its statistic could.
        let t = if n < 8.0 || m < 8.0 {
            if (n - m).abs() > 32.0 { f64::INFINITY } else { 0.0 }
        } else {
            (mean_a - mean_b).abs() / (var_a / n + var_b / m).sqrt().max(f64::MIN_POSITIVE)
        };
        verdict.t = verdict.t.max(t);
        if percent == 50 {
            let (a, b) = if n < 8.0 || m < 8.0 { (all(false), all(true)) } else { (mean_a, mean_b) };
            verdict.nanos = (a.min(b), (a - b).abs());
        }
    }
    verdict
}

/// Number, mean and variance.
fn moments(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let (mut n, mut mean, mut square) = (0.0, 0.0, 0.0);
    for value in values {
        n += 1.0;
        let off: f64 = value - mean;
        mean += off / n;
        square += off * (value - mean);
    }
    (n, mean, if n > 1.0 { square / (n - 1.0) } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistic_is_welchs() {
        // Worked by hand: means 3 and 7, variances 2.5 and 10, five values each: t = 4/√2.5.
        let a = [1.0, 2.0, 3.0, 4.0, 5.0].map(|time| (false, time));
        let b = [3.0, 5.0, 7.0, 9.0, 11.0].map(|time| (true, time));
        let (n, mean, var) = moments(b.iter().map(|(_, t)| *t));
        assert!((n - 5.0).abs() + (mean - 7.0).abs() + (var - 10.0).abs() < 1e-9);
        // Ten times as many, so that no crop is too small.
        let many: Vec<_> = a.iter().chain(&b).cycle().take(400).copied().collect();
        assert!(judge(&many).leaks());
        let same: Vec<_> = (0..400).map(|i| (i % 2 == 0, f64::from(i / 2 % 17))).collect();
        assert!(judge(&same).t < 1.0);
    }

    #[test]
    fn a_class_that_is_never_fast_leaks() {
        let times: Vec<_> = (0..400).map(|i| (i % 2 == 0, if i % 2 == 0 { 10.0 } else { 1000.0 })).collect();
        assert!(judge(&times).leaks());
    }
}

//! What is held against a party: points of suspicion, which fade.

use std::time::Duration;

use quorate_api::Fault;
use tokio::time::Instant;

/// Points of suspicion, in thousandths.
pub(crate) type Points = u32;

/// Fewer than these are none: what is left of old suspicion does not turn the order of honest nodes upside down.
const NOTHING: Points = 50;
/// More than these are not held against anybody, so that it ends.
const MOST: Points = 16_000;

/// ATT.3: what a fault costs each of so many suspects.
pub(crate) fn points(fault: Fault, suspects: usize) -> Points {
    match fault {
        Fault::Silent | Fault::Slow | Fault::Failed => 500,
        // One end of the edge is this node, or somebody else who is named too.
        Fault::Disputed => 1000,
        Fault::Cheated | Fault::Quarantined => 2000,
        // One among them.
        Fault::Suspected => 1000 / u32::try_from(suspects).unwrap_or(u32::MAX).max(1),
        // That it says no to one request says nothing of the next one.
        Fault::Absent | Fault::Refused | Fault::Other => 0,
    }
}

/// What is held against one node since earlier requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspicion {
    points: f64,
    at: Instant,
}

impl Suspicion {
    pub(crate) const fn none(now: Instant) -> Self {
        Self { points: 0.0, at: now }
    }

    /// What is left of it now. Time that goes back forgets nothing.
    fn left(&self, half_life: Duration, now: Instant) -> f64 {
        if half_life.is_zero() {
            return 0.0;
        }
        let lives = now.saturating_duration_since(self.at).as_secs_f64() / half_life.as_secs_f64();
        self.points * (-lives).exp2()
    }

    pub(crate) fn add(&mut self, points: Points, half_life: Duration, now: Instant) {
        self.points = (self.left(half_life, now) + f64::from(points)).min(f64::from(MOST));
        self.at = now.max(self.at);
    }

    /// Whole points, none if few are left.
    pub(crate) fn points(&self, half_life: Duration, now: Instant) -> Points {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::as_conversions,
            reason = "0 to MOST"
        )]
        let left = self.left(half_life, now) as Points;
        if left < NOTHING { 0 } else { left }
    }
}

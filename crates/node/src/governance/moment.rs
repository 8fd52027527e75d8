//! Whether a decision still stands a moment later: whoever coordinates would decide twice within a few milliseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::shared::Shared;

/// How long a decision stands.
const STANDS: Duration = Duration::from_secs(1);

/// Counts what could change a decision: other rules, a freeze, a ruling.
#[derive(Debug, Default)]
pub(crate) struct Turns(AtomicU64);

/// When something was decided. Taken before the decision, so that whatever happens while it is made counts too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    at: Instant,
    turns: u64,
    /// Counts the orders about keys.
    acted: u64,
}

impl Turns {
    /// Something happened that could change a decision, and can be seen by now.
    pub(super) fn turn(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn now(&self) -> Moment {
        Moment { at: Instant::now(), turns: self.0.load(Ordering::SeqCst), acted: 0 }
    }

    fn is_still(&self, moment: Moment) -> bool {
        moment.at.elapsed() < STANDS && moment.turns == self.0.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Held from before a decision until it is logged. Not longer, since who changes the directory waits for it; not twice, and taken before
    /// a turn to spend, or two would wait for each other.
    pub(crate) async fn deciding(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    /// Now, for a decision that is about to be made.
    pub(crate) fn moment(&self) -> Moment {
        let acted = self.acted.load(Ordering::SeqCst);
        let moment = self.governance.as_ref().map(|governance| governance.turns.now());
        Moment { acted, ..moment.unwrap_or_else(|| Moment { at: Instant::now(), turns: 0, acted }) }
    }

    /// Whether nothing has happened since that could change a decision, and little time passed.
    pub(crate) fn is_still(&self, moment: Moment) -> bool {
        moment.acted == self.acted.load(Ordering::SeqCst)
            && self.governance.as_ref().is_none_or(|governance| governance.turns.is_still(moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_decision_stands_for_a_second_if_nothing_happens() {
        let turns = Turns::default();
        let moment = turns.now();
        assert!(turns.is_still(moment));
        tokio::time::advance(STANDS - Duration::from_millis(1)).await;
        assert!(turns.is_still(moment));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!turns.is_still(moment));
        let moment = turns.now();
        turns.turn();
        assert!(!turns.is_still(moment) && turns.is_still(turns.now()));
    }
}

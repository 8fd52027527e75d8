//! Losing frames on purpose. For tests: a network started with [`Network::start`](crate::Network::start) loses none.

use std::fmt;
use std::sync::Arc;

use crate::frame::SessionTag;
use crate::identity::PeerId;

/// A frame that is about to be queued.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// For whom.
    pub to: PeerId,
    /// Of which session; `None` for the node itself.
    pub session: Option<SessionTag>,
    /// What it says.
    pub body: &'a [u8],
}

type Decision = dyn Fn(&Leaving<'_>) -> bool + Send + Sync;

/// Decides which frames get lost: whoever sends one hears that it was queued, and it never arrives.
#[derive(Clone, Default)]
pub struct Losses(Option<Arc<Decision>>);

impl Losses {
    /// Loses the frames for which this is true. It is asked once a frame, in the order of each sender's calls.
    pub fn of(decide: impl Fn(&Leaving<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(decide)))
    }

    pub(crate) fn loses(&self, leaving: &Leaving<'_>) -> bool {
        self.0.as_ref().is_some_and(|decide| decide(leaving))
    }
}

impl fmt::Debug for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Losses(some)" } else { "Losses(none)" })
    }
}

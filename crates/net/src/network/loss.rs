//! Waiting for the loss of a peer, for those who expect something from it outside of a session.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout_at;

use super::{Network, Shared};
use crate::frame::Instance;
use crate::identity::PeerId;

/// One peer as it was when the watch began. See [`Network::watch`].
#[derive(Debug, Clone)]
pub struct PeerWatch {
    shared: Arc<Shared>,
    id: PeerId,
    instance: Option<Instance>,
    begun: Instant,
}

impl Network {
    /// Watches a peer from now on.
    #[must_use]
    pub fn watch(&self, id: PeerId) -> PeerWatch {
        let (instance, _) = self.presence(id);
        PeerWatch { shared: Arc::clone(&self.shared), id, instance, begun: Instant::now() }
    }
}

impl PeerWatch {
    /// Whether the peer has restarted since the watch began, or is no peer any more. One that is only away has not.
    #[must_use]
    pub fn has_restarted(&self) -> bool {
        let Some(link) = self.shared.link(self.id) else { return true };
        let (instance, _) = link.presence();
        self.instance.is_none() || (instance.is_some() && instance != self.instance)
    }

    /// Ends when the peer has restarted since the watch began, and so forgot what it was doing, when it is no peer any more, or when it is without a
    /// connection for [`crate::Limits::absence_grace`]; never, if it stays.
    pub async fn lost(&self) {
        let grace = self.shared.around.limits.absence_grace;
        let mut changes = self.shared.changed.subscribe();
        loop {
            changes.borrow_and_update();
            let Some(link) = self.shared.link(self.id) else { return };
            let (instance, down_since) = link.presence();
            if self.instance.is_some() && instance.is_some() && instance != self.instance {
                return;
            }
            let changed = changes.changed();
            let Some(since) = down_since else {
                if changed.await.is_err() {
                    return;
                }
                continue;
            };
            let lost_at = since.max(self.begun) + grace;
            if lost_at <= Instant::now() || matches!(timeout_at(lost_at.into(), changed).await, Ok(Err(_))) {
                return;
            }
        }
    }
}

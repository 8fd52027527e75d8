//! What runs on this node now, for each operation. In memory only: after a restart nothing runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_api::{OperationId, Progress};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// A lock that outlives a panic of another holder: the maps inside are valid after every statement.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct Entry {
    /// A task of this node works for a result.
    coordinating: bool,
    /// This node takes part in a session, its own or another's. One at a time.
    in_session: bool,
    /// This node's own attempts that wait for the session before to end; they go before those of others.
    waiting: u32,
    progress: Option<Progress>,
    tick: watch::Sender<u64>,
}

/// The operations that this node works on. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry(Arc<Mutex<HashMap<OperationId, Entry>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Coordinator,
    Session,
    Waiting,
}

/// Held while this node does something for an operation.
#[derive(Debug)]
pub(crate) struct Hold {
    registry: Registry,
    operation: OperationId,
    role: Role,
}

impl Registry {
    /// Becomes the one coordinator of the operation on this node; `None` if there is one.
    pub(crate) fn coordinate(&self, operation: &OperationId) -> Option<Hold> {
        self.hold(operation, Role::Coordinator)
    }

    /// Takes part in another node's session of the operation; `None` while this node takes part in one of it or wants to.
    pub(crate) fn join_session(&self, operation: &OperationId) -> Option<Hold> {
        if locked(&self.0).get(operation).is_some_and(|entry| entry.waiting > 0) {
            return None;
        }
        self.hold(operation, Role::Session)
    }

    /// Begins a session of this node's own, once the one before has ended. `None` when time is over.
    pub(crate) async fn enter_session(&self, operation: &OperationId, until: Instant) -> Option<Hold> {
        let _first = self.hold(operation, Role::Waiting);
        loop {
            let watch = self.watch(operation);
            if let Some(hold) = self.hold(operation, Role::Session) {
                return Some(hold);
            }
            timeout_at(until, watch?.changed()).await.ok()?.ok()?;
        }
    }

    fn hold(&self, operation: &OperationId, role: Role) -> Option<Hold> {
        let mut map = locked(&self.0);
        let entry = map.entry(operation.clone()).or_default();
        let taken = match role {
            Role::Coordinator => std::mem::replace(&mut entry.coordinating, true),
            Role::Session => std::mem::replace(&mut entry.in_session, true),
            Role::Waiting => {
                entry.waiting = entry.waiting.saturating_add(1);
                false
            }
        };
        if taken {
            return None;
        }
        Some(Hold { registry: self.clone(), operation: operation.clone(), role })
    }

    /// Whether anything runs for it.
    pub(crate) fn is_active(&self, operation: &OperationId) -> bool {
        locked(&self.0).contains_key(operation)
    }

    /// Whether a task of this node works for its result.
    pub(crate) fn is_coordinated(&self, operation: &OperationId) -> bool {
        locked(&self.0).get(operation).is_some_and(|entry| entry.coordinating)
    }

    /// Whether this node takes part in a session of it.
    pub(crate) fn in_session(&self, operation: &OperationId) -> bool {
        locked(&self.0).get(operation).is_some_and(|entry| entry.in_session)
    }

    /// Changes whenever something for it ends; `None` if nothing runs.
    pub(crate) fn watch(&self, operation: &OperationId) -> Option<watch::Receiver<u64>> {
        locked(&self.0).get(operation).map(|entry| entry.tick.subscribe())
    }

    pub(crate) fn set_progress(&self, operation: &OperationId, progress: Progress) {
        if let Some(entry) = locked(&self.0).get_mut(operation) {
            entry.progress = Some(progress);
        }
    }

    pub(crate) fn progress(&self, operation: &OperationId) -> Option<Progress> {
        locked(&self.0).get(operation).and_then(|entry| entry.progress.clone())
    }

    /// How many operations are worked on.
    pub(crate) fn len(&self) -> usize {
        locked(&self.0).len()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut map = locked(&self.registry.0);
        let Some(entry) = map.get_mut(&self.operation) else { return };
        match self.role {
            Role::Coordinator => entry.coordinating = false,
            Role::Session => entry.in_session = false,
            Role::Waiting => entry.waiting = entry.waiting.saturating_sub(1),
        }
        entry.tick.send_modify(|tick| *tick = tick.wrapping_add(1));
        if !entry.coordinating && !entry.in_session && entry.waiting == 0 {
            map.remove(&self.operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_session_and_one_coordinator_for_each_operation() {
        let registry = Registry::default();
        let op = OperationId::from_bytes([1; 16]);
        let other = OperationId::from_bytes([2; 16]);
        let soon = || Instant::now() + std::time::Duration::from_millis(20);
        let session = registry.join_session(&op).unwrap();
        assert!(registry.join_session(&op).is_none());
        assert!(registry.enter_session(&op, soon()).await.is_none());
        let coordinator = registry.coordinate(&op).unwrap();
        assert!(registry.coordinate(&op).is_none());
        assert!(registry.join_session(&other).is_some(), "operations do not block each other");
        drop(session);
        drop(registry.join_session(&op).unwrap());
        drop(registry.enter_session(&op, soon()).await.unwrap());
        assert!(registry.is_active(&op));
        drop(coordinator);
        assert!(!registry.is_active(&op));
        assert_eq!(registry.len(), 0);
    }

    /// Others cannot keep this node from its own attempt by coming again and again.
    #[tokio::test]
    async fn an_own_attempt_goes_before_those_of_others() {
        let registry = Registry::default();
        let op = OperationId::from_bytes([1; 16]);
        let theirs = registry.join_session(&op).unwrap();
        let waiting = {
            let (registry, op) = (registry.clone(), op.clone());
            let until = Instant::now() + std::time::Duration::from_secs(5);
            tokio::spawn(async move { registry.enter_session(&op, until).await.is_some() })
        };
        tokio::task::yield_now().await;
        drop(theirs);
        assert!(registry.join_session(&op).is_none(), "somebody waits");
        assert!(waiting.await.unwrap());
        assert!(registry.join_session(&op).is_some());
    }
}

//! What runs on this node now, for each operation. In memory only: after a restart nothing runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_api::{OperationId, Progress};
use tokio::sync::watch;

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

    /// Takes part in a session of the operation; `None` while this node takes part in another one of it.
    pub(crate) fn enter_session(&self, operation: &OperationId) -> Option<Hold> {
        self.hold(operation, Role::Session)
    }

    fn hold(&self, operation: &OperationId, role: Role) -> Option<Hold> {
        let mut map = locked(&self.0);
        let entry = map.entry(operation.clone()).or_default();
        let taken = match role {
            Role::Coordinator => &mut entry.coordinating,
            Role::Session => &mut entry.in_session,
        };
        if std::mem::replace(taken, true) {
            return None;
        }
        Some(Hold { registry: self.clone(), operation: operation.clone(), role })
    }

    /// Whether anything runs for it.
    pub(crate) fn is_active(&self, operation: &OperationId) -> bool {
        locked(&self.0).contains_key(operation)
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
        }
        entry.tick.send_modify(|tick| *tick = tick.wrapping_add(1));
        if !entry.coordinating && !entry.in_session {
            map.remove(&self.operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_session_and_one_coordinator_for_each_operation() {
        let registry = Registry::default();
        let op = OperationId::from_bytes([1; 16]);
        let other = OperationId::from_bytes([2; 16]);
        let session = registry.enter_session(&op).unwrap();
        assert!(registry.enter_session(&op).is_none());
        let coordinator = registry.coordinate(&op).unwrap();
        assert!(registry.coordinate(&op).is_none());
        assert!(registry.enter_session(&other).is_some(), "operations do not block each other");
        drop(session);
        assert!(registry.enter_session(&op).is_some());
        assert!(registry.is_active(&op));
        drop(coordinator);
        assert!(!registry.is_active(&op));
        assert_eq!(registry.len(), 0);
    }
}

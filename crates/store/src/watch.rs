//! Telling of changes once they are durable, in one place, so that no way to change a record can forget it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::{KeyStatus, Operation, OperationStatus};

/// A change that is on the disk.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// An operation was begun.
    Begun(&'a Operation),
    /// An operation changed.
    Updated {
        /// As it is now.
        operation: &'a Operation,
        /// Its status before.
        before: OperationStatus,
        /// Whether the change stored an error.
        failed: bool,
    },
    /// A key was stored, or its status changed.
    Key {
        /// The key.
        key_id: &'a str,
        /// Its status now.
        status: KeyStatus,
    },
}

type Tell = Box<dyn Fn(&Change<'_>) + Send + Sync>;

/// Who is told.
#[derive(Clone, Default)]
pub(crate) struct Watcher(Arc<OnceLock<Tell>>);

impl Watcher {
    /// Gives `false` if there is one already.
    pub(crate) fn set(&self, tell: Tell) -> bool {
        self.0.set(tell).is_ok()
    }

    pub(crate) fn tell(&self, change: &Change<'_>) {
        if let Some(tell) = self.0.get() {
            tell(change);
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("set", &self.0.get().is_some()).finish()
    }
}

//! Failing writes on purpose. For tests: a store opened with [`Store::open`](crate::Store::open) has none.

use std::sync::{Arc, Mutex, PoisonError};

/// How a write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written; the caller gets [`StoreError::Io`](crate::StoreError::Io).
    BeforeCommit,
    /// The write is on the disk, but the caller gets [`StoreError::Io`](crate::StoreError::Io), as if the power went
    /// between the commit and its answer.
    AfterCommit,
    /// Nothing is written; the caller gets [`StoreError::DiskFull`](crate::StoreError::DiskFull).
    DiskFull,
}

#[derive(Debug, Default)]
struct Plan {
    writes: u64,
    faults: Vec<(u64, Fault)>,
}

/// A plan of which writes fail. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

impl Faults {
    /// Lets the write number `nth` from now fail; 1 is the next one.
    pub fn fail_nth_write(&self, nth: u64, fault: Fault) {
        let mut plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = plan.writes.saturating_add(nth);
        plan.faults.push((at, fault));
    }

    /// How many writes there were so far, failed ones included.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).writes
    }

    /// Counts one write and tells whether it shall fail.
    pub(crate) fn next(&self) -> Option<Fault> {
        let mut plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plan.writes = plan.writes.saturating_add(1);
        let now = plan.writes;
        plan.faults.iter().find(|(at, _)| *at == now).map(|(_, fault)| *fault)
    }
}

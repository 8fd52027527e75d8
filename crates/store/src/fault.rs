//! Failing writes on purpose, and dying at one. For tests: a store opened with [`Store::open`](crate::Store::open) does neither.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

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
    /// The process dies: neither this is written nor anything that is committed with it or later, and no caller gets another answer than
    /// [`StoreError::Closed`](crate::StoreError::Closed). Whoever set it cuts off what else the process does: see [`Faults::is_dead`].
    DeadBefore,
    /// The same right after the commit: it is on the disk, and nobody was told.
    DeadAfter,
}

#[derive(Debug)]
struct Planned {
    /// Counts only writes of this name.
    name: Option<String>,
    /// How many of them are still before it.
    left: u64,
    fault: Fault,
}

#[derive(Debug, Default)]
struct Plan {
    writes: u64,
    faults: Vec<Planned>,
    /// Names of the writes, if they are wanted.
    recorded: Option<Vec<String>>,
}

/// A plan of which writes fail. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    dead: Arc<watch::Sender<bool>>,
}

impl Faults {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the write number `nth` from now fail; 1 is the next one.
    pub fn fail_nth_write(&self, nth: u64, fault: Fault) {
        self.plan().faults.push(Planned { name: None, left: nth, fault });
    }

    /// The same, counting only the writes that [`recorded`](Self::recorded) calls by this name.
    pub fn fail_nth_named(&self, name: &str, nth: u64, fault: Fault) {
        self.plan().faults.push(Planned { name: Some(name.to_owned()), left: nth, fault });
    }

    /// Forgets the faults that have not come yet.
    pub fn forget(&self) {
        self.plan().faults.clear();
    }

    /// How many writes there were so far, failed ones included.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.plan().writes
    }

    /// Keeps the names of all writes from now on.
    pub fn record(&self) {
        self.plan().recorded = Some(Vec::new());
    }

    /// The names of the writes since [`record`](Self::record), in their order: what the function of the store is called that asked for
    /// each.
    #[must_use]
    pub fn recorded(&self) -> Vec<String> {
        self.plan().recorded.clone().unwrap_or_default()
    }

    /// Whether the process is dead as far as the store goes: nothing of it may reach anybody any more.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Waits until it is.
    pub async fn died(&self) {
        let mut dead = self.dead.subscribe();
        // The sender lives in `self`.
        drop(dead.wait_for(|dead| *dead).await);
    }

    pub(crate) fn die(&self) {
        self.dead.send_replace(true);
    }

    /// Counts one write and tells whether it shall fail. `of` is the type of the work that is written.
    pub(crate) fn next(&self, of: &'static str) -> Option<Fault> {
        let mut plan = self.plan();
        plan.writes = plan.writes.saturating_add(1);
        if plan.faults.is_empty() && plan.recorded.is_none() {
            return None;
        }
        let name = function(of);
        if let Some(recorded) = &mut plan.recorded {
            recorded.push(name.to_owned());
        }
        for planned in &mut plan.faults {
            if planned.name.as_deref().is_none_or(|wanted| wanted == name) {
                planned.left = planned.left.saturating_sub(1);
            }
        }
        let at = plan.faults.iter().position(|planned| planned.left == 0)?;
        Some(plan.faults.remove(at).fault)
    }
}

/// The function in which a closure stands, by the name of the closure's type.
fn function(of: &'static str) -> &'static str {
    let (mut depth, mut from, mut found) = (0_u32, 0, of);
    let mut segment = |name: &'static str| {
        let name = name.split('<').next().unwrap_or(name).trim_start_matches(':');
        if !name.is_empty() && !name.starts_with('{') {
            found = name;
        }
    };
    for (at, byte) in of.bytes().enumerate() {
        match byte {
            b'<' => depth = depth.saturating_add(1),
            b'>' => depth = depth.saturating_sub(1),
            b':' if depth == 0 => {
                segment(of.get(from..at).unwrap_or_default());
                from = at;
            }
            _ => {}
        }
    }
    segment(of.get(from..).unwrap_or_default());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_called_by_its_function() {
        let plain = "quorate_store::sqlite::keys::<impl quorate_store::sqlite::Sqlite>::insert_key::{{closure}}::{{closure}}";
        assert_eq!(function(plain), "insert_key");
        let generic = "a::<impl b::C>::begin<d::e::{{closure}}>::{{closure}}::{{closure}}";
        assert_eq!(function(generic), "begin");
    }

    #[test]
    fn faults_come_at_their_write_once() {
        let faults = Faults::default();
        faults.fail_nth_named("b", 2, Fault::DeadAfter);
        faults.fail_nth_write(2, Fault::DiskFull);
        faults.record();
        let said: Vec<_> = ["b", "a", "b", "b"].into_iter().map(|name| faults.next(name)).collect();
        assert_eq!(said, [None, Some(Fault::DiskFull), Some(Fault::DeadAfter), None]);
        assert_eq!(faults.recorded(), ["b", "a", "b", "b"]);
        assert_eq!(faults.writes(), 4);
        assert!(!faults.is_dead());
    }
}

//! Who uses a key now, so that its epoch can end: a session that may still sign in the old epoch must be over before this node says
//! that it stands down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use quorate_api::{Code, KeyId, Problem};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::registry::locked;

#[derive(Debug, Default)]
struct Gate {
    /// Nobody may begin: the next epoch may be in force elsewhere.
    closed: bool,
    /// What was opened in an earlier revision than this is over.
    floor: u64,
    sessions: usize,
    tick: watch::Sender<u64>,
}

/// One gate a key. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gates(Arc<Mutex<HashMap<KeyId, Gate>>>);

/// Held as long as a session may use the key.
#[derive(Debug)]
pub(crate) struct Pass {
    gates: Gates,
    key: KeyId,
}

/// What is said to whoever wants to use a key between two epochs.
pub(crate) fn moving() -> Problem {
    let detail = "the key goes to its next epoch, which takes a moment: send the same request again";
    let mut problem = Problem::new(Code::KeyMoving, detail);
    problem.retry_after = Some(1);
    problem
}

impl Gates {
    /// Begins to use a key as it was opened in a revision.
    ///
    /// # Errors
    /// [`Code::KeyMoving`] between two epochs, and after the end of the revision's epoch.
    pub(crate) fn enter(&self, key: &KeyId, revision: u64) -> Result<Pass, Problem> {
        let mut gates = locked(&self.0);
        let gate = gates.entry(key.clone()).or_default();
        if gate.closed || revision < gate.floor {
            return Err(moving());
        }
        gate.sessions = gate.sessions.saturating_add(1);
        Ok(Pass { gates: self.clone(), key: key.clone() })
    }

    /// Whether nobody may begin.
    pub(crate) fn is_closed(&self, key: &KeyId) -> bool {
        locked(&self.0).get(key).is_some_and(|gate| gate.closed)
    }

    /// Whether any key is between two epochs.
    pub(crate) fn any_closed(&self) -> bool {
        locked(&self.0).values().any(|gate| gate.closed)
    }

    /// Waits until a key is between two epochs no more.
    ///
    /// # Errors
    /// [`Code::KeyMoving`] if it still is when time is over.
    pub(crate) async fn pass(&self, key: &KeyId, until: Instant) -> Result<(), Problem> {
        loop {
            let mut ticks = match locked(&self.0).get(key) {
                Some(gate) if gate.closed => gate.tick.subscribe(),
                _ => return Ok(()),
            };
            if timeout_at(until, ticks.changed()).await.is_err() {
                return Err(moving());
            }
        }
    }

    /// Lets nobody begin any more.
    pub(crate) fn close(&self, key: &KeyId) {
        locked(&self.0).entry(key.clone()).or_default().closed = true;
    }

    /// Whether all sessions end before time is over.
    pub(crate) async fn idle(&self, key: &KeyId, until: Instant) -> bool {
        loop {
            let mut ticks = {
                let gates = locked(&self.0);
                match gates.get(key) {
                    Some(gate) if gate.sessions > 0 => gate.tick.subscribe(),
                    _ => return true,
                }
            };
            if timeout_at(until, ticks.changed()).await.is_err() {
                return false;
            }
        }
    }

    /// Lets sessions begin again, of this revision and later ones.
    pub(crate) fn open(&self, key: &KeyId, floor: u64) {
        let mut gates = locked(&self.0);
        let gate = gates.entry(key.clone()).or_default();
        gate.closed = false;
        gate.floor = gate.floor.max(floor);
        gate.tick.send_modify(|tick| *tick = tick.wrapping_add(1));
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut gates = locked(&self.gates.0);
        let Some(gate) = gates.get_mut(&self.key) else { return };
        gate.sessions = gate.sessions.saturating_sub(1);
        gate.tick.send_modify(|tick| *tick = tick.wrapping_add(1));
        if gate.sessions == 0 && !gate.closed && gate.floor == 0 {
            gates.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_gate_lets_out_and_not_in() {
        let gates = Gates::default();
        let key = KeyId::derive("test", b"key");
        let soon = || Instant::now() + std::time::Duration::from_millis(20);
        assert!(gates.idle(&key, soon()).await);
        let (first, second) = (gates.enter(&key, 1).unwrap(), gates.enter(&key, 1).unwrap());
        gates.close(&key);
        assert_eq!(gates.enter(&key, 1).unwrap_err().code, Code::KeyMoving);
        assert!(!gates.idle(&key, soon()).await, "two are in it");
        drop(first);
        let waiting = tokio::spawn({
            let (gates, key) = (gates.clone(), key.clone());
            async move { gates.idle(&key, Instant::now() + std::time::Duration::from_secs(5)).await }
        });
        tokio::task::yield_now().await;
        drop(second);
        assert!(waiting.await.unwrap());
        gates.open(&key, 3);
        assert_eq!(gates.enter(&key, 1).unwrap_err().code, Code::KeyMoving, "opened before");
        drop(gates.enter(&key, 3).unwrap());
        // One that never moved is forgotten.
        let other = KeyId::derive("test", b"other");
        drop(gates.enter(&other, 1).unwrap());
        assert_eq!(locked(&gates.0).len(), 1);
    }
}

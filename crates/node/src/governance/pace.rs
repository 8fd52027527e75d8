//! How often nodes ask each other for changes of the directory, and look at those that rival their own: a peer that sends the same
//! again and again costs no more than one that sends it once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use quorate_net::PeerId;
use tokio::time::Instant;

use crate::registry::locked;

/// Between two of the same.
const REST: Duration = Duration::from_millis(500);
/// What is remembered at most.
const KEPT: usize = 1_000;

/// What is not done too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    /// This peer is asked for the changes after this version.
    Changes(PeerId, u64),
    /// This peer asks for the changes after this version.
    Answer(PeerId, u64),
    /// This peer sends a change that rivals one of ours.
    Rival(PeerId),
}

/// When each was done last, and the heads of the rivals that were kept.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Mutex<BTreeMap<Ask, Instant>>,
    rivals: Mutex<BTreeSet<[u8; 32]>>,
}

impl Pace {
    /// Whether it was not done just now; from now on it was.
    pub(super) fn may(&self, ask: Ask) -> bool {
        let now = Instant::now();
        let mut last = locked(&self.last);
        last.retain(|_, at| now.duration_since(*at) < REST);
        if last.contains_key(&ask) || last.len() >= KEPT {
            return false;
        }
        last.insert(ask, now);
        true
    }

    /// Whether this rival was kept.
    pub(super) fn has_seen(&self, head: [u8; 32]) -> bool {
        locked(&self.rivals).contains(&head)
    }

    /// This rival was kept.
    pub(super) fn saw(&self, head: [u8; 32]) {
        let mut rivals = locked(&self.rivals);
        if rivals.len() < KEPT {
            rivals.insert(head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId::from_bytes([byte; 32])
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_is_not_done_twice_in_a_row() {
        let pace = Pace::default();
        let (one, other) = (peer(1), peer(2));
        assert!(pace.may(Ask::Changes(one, 0)));
        assert!(!pace.may(Ask::Changes(one, 0)));
        assert!(pace.may(Ask::Changes(other, 0)) && pace.may(Ask::Rival(one)));
        assert!(
            pace.may(Ask::Answer(one, 0)) && pace.may(Ask::Answer(one, 1)) && !pace.may(Ask::Answer(one, 1))
        );
        tokio::time::advance(REST).await;
        assert!(pace.may(Ask::Changes(one, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let pace = Pace::default();
        let asked = (0..5_000).filter(|version| pace.may(Ask::Answer(peer(1), *version))).count();
        assert_eq!(asked, KEPT);
        for nth in 0..5_000_u64 {
            let mut head = [0; 32];
            head[..8].copy_from_slice(&nth.to_le_bytes());
            pace.saw(head);
        }
        assert_eq!(locked(&pace.rivals).len(), KEPT);
        assert!(pace.has_seen([0; 32]) && !pace.has_seen([9; 32]));
    }
}

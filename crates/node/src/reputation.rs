//! What this node holds against others from one request to the next. In memory only, and it fades.

use std::collections::HashMap;
use std::time::Duration;

use quorate_net::PeerId;
use tokio::time::Instant;

use crate::ceremony::attempts::standing::{Points, Suspicion};

/// Nodes that are remembered; of more, the least suspected are forgotten.
const MOST: usize = 1024;

/// Points of suspicion by node.
#[derive(Debug)]
pub(crate) struct Reputation {
    half_life: Duration,
    kept: HashMap<PeerId, Suspicion>,
}

impl Reputation {
    pub(crate) fn new(half_life: Duration) -> Self {
        Self { half_life, kept: HashMap::new() }
    }

    /// ATT.4: holds something against a node.
    pub(crate) fn add(&mut self, peer: PeerId, points: Points, now: Instant) {
        if points == 0 || self.half_life.is_zero() {
            return;
        }
        let half_life = self.half_life;
        self.kept.retain(|_, suspicion| suspicion.points(half_life, now) > 0);
        if self.kept.len() >= MOST && !self.kept.contains_key(&peer) {
            let least = self.kept.iter().min_by_key(|(_, suspicion)| suspicion.points(half_life, now));
            if let Some(least) = least.map(|(peer, _)| *peer) {
                self.kept.remove(&least);
            }
        }
        self.kept.entry(peer).or_insert_with(|| Suspicion::none(now)).add(points, half_life, now);
    }

    /// What is held against a node now.
    pub(crate) fn points(&self, peer: &PeerId, now: Instant) -> Points {
        self.kept.get(peer).map_or(0, |suspicion| suspicion.points(self.half_life, now))
    }

    /// Forgets what is held against a node.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.kept.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(i: u16) -> PeerId {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(i.to_le_bytes()).for_each(|(to, from)| *to = from);
        PeerId::from_bytes(bytes)
    }

    #[test]
    fn suspicion_adds_up_fades_and_is_bounded() {
        let half_life = Duration::from_secs(60);
        let mut reputation = Reputation::new(half_life);
        let begin = Instant::now();
        reputation.add(peer(1), 500, begin);
        assert_eq!(reputation.points(&peer(1), begin), 500);
        assert_eq!(reputation.points(&peer(2), begin), 0);
        assert_eq!(reputation.points(&peer(1), begin + half_life), 250);
        reputation.add(peer(1), 500, begin + half_life);
        assert_eq!(reputation.points(&peer(1), begin + half_life), 750);
        assert_eq!(reputation.points(&peer(1), begin + half_life * 2), 375);
        // A clock that goes back gives no more than was held.
        assert_eq!(reputation.points(&peer(1), begin), 750);
        assert_eq!(reputation.points(&peer(1), begin + half_life * 6), 0, "what is left is nothing");
        for _ in 0..100 {
            reputation.add(peer(3), 2000, begin);
        }
        assert_eq!(reputation.points(&peer(3), begin), 16_000);
        reputation.forget(&peer(3));
        assert_eq!(reputation.points(&peer(3), begin), 0);
    }

    #[test]
    fn as_many_are_remembered_as_there_is_room_for() {
        let mut reputation = Reputation::new(Duration::from_secs(60));
        let now = Instant::now();
        for i in 0..2000 {
            reputation.add(peer(i), if i == 0 { 2000 } else { 500 }, now);
        }
        assert_eq!(reputation.kept.len(), MOST);
        assert_eq!(reputation.points(&peer(0), now), 2000, "the most suspected stay");
        reputation.add(peer(2000), 500, now + Duration::from_secs(3600));
        assert_eq!(reputation.kept.len(), 1, "what has faded goes");
        let mut forgetful = Reputation::new(Duration::ZERO);
        forgetful.add(peer(1), 2000, now);
        assert_eq!((forgetful.points(&peer(1), now), forgetful.kept.len()), (0, 0));
    }
}

//! Proofs go from node to node: whoever keeps one that counts hands it to the others until they say that they have seen it, and whoever
//! hears one checks it by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{Fault, Problem};
use quorate_net::PeerId;
use tokio::time::Instant;

use super::proof::Unproven;
use super::{Keeping, misdeed};
use crate::ceremony::attempts::standing;
use crate::control::{Control, Misdeed};
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// Proofs of one message.
const AT_ONCE: usize = 8;
/// How long a peer may take to say that it has seen what it was handed, before it is handed it again. It doubles.
const FIRST: Duration = Duration::from_secs(4);
/// The longest that becomes.
const LONGEST: Duration = Duration::from_secs(600);
/// For how long a peer is not listened to that handed over what proves nothing.
const MUTED: Duration = Duration::from_secs(60);

/// Names a proof.
type Id = [u8; 32];

/// What peers were told, and told this node.
#[derive(Debug, Default)]
pub(super) struct Spread {
    told: BTreeMap<PeerId, Told>,
    /// Whose proofs are not looked at before then.
    muted: BTreeMap<PeerId, Instant>,
}

/// What one peer was told since this node started.
#[derive(Debug, Default)]
struct Told {
    /// It has seen these.
    seen: BTreeSet<Id>,
    /// How often it was handed the others.
    handed: BTreeMap<Id, u32>,
    /// How often in a row it has not said that it saw any.
    silent: u32,
    /// It is not handed any before then.
    rest: Option<Instant>,
}

impl Told {
    /// It may be handed everything that it has not seen, now.
    fn afresh(&mut self) {
        (self.silent, self.rest) = (0, None);
    }
}

impl Spread {
    /// ATT.11: which of these proofs are handed to a peer now. From now on they were.
    fn next(&mut self, peer: PeerId, mut ids: Vec<Id>, now: Instant) -> Vec<Id> {
        let told = self.told.entry(peer).or_default();
        ids.retain(|id| !told.seen.contains(id));
        told.handed.retain(|id, _| ids.contains(id));
        if ids.is_empty() {
            told.afresh();
            return ids;
        }
        if told.rest.is_some_and(|rest| now < rest) {
            return Vec::new();
        }
        // One that the peer does not take, such as about a node that it does not know yet, keeps no other waiting.
        ids.sort_by_key(|id| (told.handed.get(id).copied().unwrap_or(0), *id));
        ids.truncate(AT_ONCE);
        for id in &ids {
            let handed = told.handed.entry(*id).or_default();
            *handed = handed.saturating_add(1);
        }
        let wait = FIRST.saturating_mul(1_u32.checked_shl(told.silent).unwrap_or(u32::MAX)).min(LONGEST);
        told.silent = told.silent.saturating_add(1);
        told.rest = now.checked_add(wait);
        ids
    }

    /// A peer has seen these, of those that are kept. Whether any is new.
    fn saw(&mut self, peer: PeerId, ids: impl Iterator<Item = Id>) -> bool {
        let told = self.told.entry(peer).or_default();
        let before = told.seen.len();
        told.seen.extend(ids);
        let new = told.seen.len() > before;
        if new {
            told.afresh();
        }
        new
    }

    /// A peer that comes back may have another folder than before, and hears everything again.
    fn forget(&mut self, peer: PeerId) {
        self.told.remove(&peer);
    }

    /// There is something new to be handed out.
    fn afresh(&mut self, is_peer: impl Fn(PeerId) -> bool) {
        self.told.retain(|peer, _| is_peer(*peer));
        self.told.values_mut().for_each(Told::afresh);
    }

    /// ATT.12: what a peer says is not looked at for a while.
    fn mute(&mut self, peer: PeerId, now: Instant) {
        self.muted.retain(|_, until| now < *until);
        self.muted.extend(now.checked_add(MUTED).map(|until| (peer, until)));
    }

    fn is_muted(&self, peer: PeerId, now: Instant) -> bool {
        self.muted.get(&peer).is_some_and(|until| now < *until)
    }
}

/// What is to be done with a proof that was heard.
enum Heard {
    /// It holds, and may be new.
    Proven,
    /// It changes nothing here.
    Seen,
    /// It may be judged later.
    NotYet,
    /// Whoever sent it does not keep to the rules.
    Wrong,
}

impl Shared {
    /// ATT.11: hands what counts here to every peer that has not seen it.
    pub(crate) async fn hand_out_proofs(&self) -> Result<(), Problem> {
        for peer in self.network.connected() {
            self.hand_out_proofs_to(peer).await?;
        }
        Ok(())
    }

    /// The same for a peer that has just connected.
    pub(crate) async fn greet_with_proofs(&self, peer: PeerId) -> Result<(), Problem> {
        locked(&self.quarantine.spread).forget(peer);
        self.hand_out_proofs_to(peer).await
    }

    async fn hand_out_proofs_to(&self, peer: PeerId) -> Result<(), Problem> {
        let counting: Vec<(PeerId, Id)> = {
            let held = locked(&self.quarantine.held);
            let counting = held.kept.iter().filter(|(_, kept)| kept.counts);
            counting.map(|((author, _), kept)| (*author, kept.id)).collect()
        };
        // Of a node that is none any more nobody needs to know. The author does: it may be honest, and its key in other hands.
        let ids =
            counting.into_iter().filter(|(author, _)| self.is_node(*author)).map(|(_, id)| id).collect();
        let ids = locked(&self.quarantine.spread).next(peer, ids, Instant::now());
        if ids.is_empty() {
            return Ok(());
        }
        let kept = self.store.proofs().await.map_err(|error| store_problem(&error))?;
        let proofs: Vec<Misdeed> =
            kept.iter().map(misdeed).filter(|proof| ids.contains(&proof.id())).collect();
        self.tell(peer, &Control::Proofs { proofs }).await;
        Ok(())
    }

    /// ATT.11: a peer says what it has seen.
    pub(crate) async fn proofs_seen(&self, from: PeerId, ids: &[Id]) -> Result<(), Problem> {
        let kept: BTreeSet<Id> = locked(&self.quarantine.held).kept.values().map(|kept| kept.id).collect();
        let ids = ids.iter().take(AT_ONCE).copied().filter(|id| kept.contains(id));
        let new = locked(&self.quarantine.spread).saw(from, ids);
        // There may be more than one message takes.
        if new { self.hand_out_proofs_to(from).await } else { Ok(()) }
    }

    /// ATT.12: a peer hands over proofs.
    pub(crate) async fn hear_proofs(
        self: &Arc<Self>,
        from: PeerId,
        proofs: Vec<Misdeed>,
    ) -> Result<(), Problem> {
        if locked(&self.quarantine.spread).is_muted(from, Instant::now()) {
            return Ok(());
        }
        let (mut seen, mut new) = (Vec::new(), false);
        for proof in proofs.into_iter().take(AT_ONCE) {
            let (id, author) = (proof.id(), proof.author());
            match self.judge_proof(&proof) {
                Heard::Seen => seen.push(id),
                Heard::NotYet => {}
                Heard::Proven => match self.keep(proof, Some(from)).await {
                    Keeping::New(_) => {
                        seen.push(id);
                        new = true;
                    }
                    Keeping::Known(_) | Keeping::Enough => seen.push(id),
                    // It is handed over again.
                    Keeping::Failed => {}
                },
                Heard::Wrong => {
                    let now = Instant::now();
                    locked(&self.quarantine.spread).mute(from, now);
                    locked(&self.reputation).add(from, standing::points(Fault::Cheated, 1), now);
                    tracing::warn!(peer = %self.name_of(from), about = %self.name_of(author), "it handed over a proof that proves nothing: no proof of its is looked at for a minute");
                    break;
                }
            }
        }
        // The peer has them itself.
        locked(&self.quarantine.spread).saw(from, seen.iter().copied());
        if !seen.is_empty() {
            self.tell(from, &Control::ProofsSeen { proofs: seen }).await;
        }
        if new {
            locked(&self.quarantine.spread).afresh(|peer| self.members().places(peer).is_some());
            self.hand_out_proofs().await?;
        }
        Ok(())
    }

    fn judge_proof(&self, proof: &Misdeed) -> Heard {
        let author = proof.author();
        {
            let held = locked(&self.quarantine.held);
            // ATT.10, and most that is heard: no signature is looked at.
            if held.kept.contains_key(&(author, proof.session)) || held.enough(author) {
                return Heard::Seen;
            }
        }
        // Which directory is older, and whether the node comes or goes, is not known.
        if !self.is_node(author) {
            return Heard::NotYet;
        }
        match proof.check() {
            Err(Unproven::Wrong) => Heard::Wrong,
            Err(Unproven::Unknown) => Heard::NotYet,
            Ok(()) if author == self.id => {
                tracing::error!(
                    "a proof shows that somebody signed two different broadcasts in one round with this node's identity: its key is in other hands, or its folder was put back or copied"
                );
                Heard::Seen
            }
            Ok(()) => Heard::Proven,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId::from_bytes([byte; 32])
    }

    fn ids(count: u8) -> Vec<Id> {
        (0..count).map(|byte| [byte; 32]).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_handed_a_proof_until_it_has_seen_it_and_ever_less_often() {
        let mut spread = Spread::default();
        let begin = Instant::now();
        let mut handed = Vec::new();
        // As often as the node looks, for a day.
        for second in (0..86_400).step_by(5) {
            let now = begin + Duration::from_secs(second);
            if !spread.next(peer(1), ids(1), now).is_empty() {
                handed.push(second);
            }
        }
        assert_eq!(handed[..6], [0, 5, 15, 35, 70, 135], "{handed:?}");
        let longest = handed.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert_eq!((longest, handed.len()), (Some(600), 151));
        // Others do not wait for it; nor does it once it is back.
        assert_eq!(spread.next(peer(2), ids(1), begin), ids(1));
        let now = begin + Duration::from_secs(86_400);
        assert!(spread.next(peer(1), ids(1), now).is_empty());
        spread.forget(peer(1));
        assert_eq!(spread.next(peer(1), ids(1), now), ids(1));
        assert!(spread.saw(peer(1), ids(1).into_iter()) && !spread.saw(peer(1), ids(1).into_iter()));
        assert!(spread.next(peer(1), ids(1), now + LONGEST * 2).is_empty(), "seen");
        // What is new goes out at once, as does more of it.
        assert_eq!(spread.next(peer(1), ids(2), now), [[1; 32]]);
        assert!(spread.next(peer(1), ids(3), now).is_empty());
        spread.afresh(|_| true);
        assert_eq!(spread.next(peer(1), ids(3), now), [[2; 32], [1; 32]]);
        spread.afresh(|of| of == peer(2));
        assert!(!spread.told.contains_key(&peer(1)), "it is no peer any more");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_not_taken_keeps_no_other_waiting() {
        let mut spread = Spread::default();
        let mut now = Instant::now();
        let mut handed = BTreeSet::new();
        for _ in 0..4 {
            let next = spread.next(peer(1), ids(30), now);
            assert!(!next.is_empty() && next.len() <= AT_ONCE);
            handed.extend(next);
            now += LONGEST;
        }
        assert_eq!(handed.len(), 30);
        // What is not kept any more, or lifted, is forgotten.
        assert_eq!(spread.next(peer(1), ids(2), now), ids(2));
        assert_eq!(spread.told[&peer(1)].handed.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_hands_over_nonsense_is_not_listened_to_for_a_while() {
        let mut spread = Spread::default();
        let now = Instant::now();
        assert!(!spread.is_muted(peer(1), now));
        spread.mute(peer(1), now);
        assert!(spread.is_muted(peer(1), now + MUTED / 2) && !spread.is_muted(peer(2), now));
        assert!(!spread.is_muted(peer(1), now + MUTED));
        spread.mute(peer(2), now + MUTED);
        assert_eq!(spread.muted.len(), 1, "what is over is forgotten");
    }
}

//! A cluster in this process whose nodes can be told when to die and what not to hear.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use borsh::BorshDeserialize;
use quorate_api::intent::Scheme;
use quorate_log::Hash;
use quorate_net::fault::{Leaving, Losses};
use quorate_net::{PeerId, SessionTag};
use quorate_node::Node;
use quorate_store::fault::Faults;

use crate::cluster::Cluster;
use crate::restore::Stock;

/// How long anything may take that must come: a machine that has much else to do is no reason to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Control messages, by their number; what is in brackets is said by a clock and belongs to no ceremony.
const NAMES: [&str; 35] = [
    "Propose",
    "Answer",
    "Ended",
    "Cancel",
    "Activate",
    "Recall",
    "Recalled",
    "Relay",
    "Relayed",
    "(Offer)",
    "(Cosigned)",
    "(Seen)",
    "(Case)",
    "(Cases)",
    "(Closed)",
    "(Directory)",
    "(Behind)",
    "(Changes)",
    "(Freeze)",
    "Prove",
    "Proven",
    "(OrdersUpTo)",
    "(OrdersAfter)",
    "(Orders)",
    "StandDown",
    "Successor",
    "Told",
    "InForce",
    "TellSealingKey",
    "SealingKey",
    "TellRestored",
    "Restored",
    "TellEpochs",
    "Epochs",
    "(SeenHead)",
];
/// How a member says that its part ended.
const OUTCOMES: [&str; 9] = [
    "Ended:signed",
    "Ended:created",
    "Ended:active",
    "Ended:failed",
    "Ended:acted",
    "Ended:prepared",
    "Ended:stood down",
    "Ended:exported",
    "Ended:?",
];

type Traced = Option<(String, Option<([u8; 16], [u8; 8])>)>;

/// What a control message is called: its version, what it is sent for, its number; of an end, how it ended.
fn control_name(body: &[u8]) -> Option<&'static str> {
    let mut rest = body.get(1..)?;
    Traced::deserialize(&mut rest).ok()?;
    let name = *NAMES.get(usize::from(*rest.first()?))?;
    if name != "Ended" {
        return Some(name);
    }
    OUTCOMES.get(usize::from(*rest.get(33)?)).copied()
}

/// A message that is not to arrive.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    pub(crate) to: usize,
    pub(crate) what: String,
    /// Counted from 1; 0 is each of them.
    pub(crate) nth: u64,
    /// From it on nothing arrives there, until the link is mended.
    pub(crate) cut: bool,
}

#[derive(Debug, Default)]
struct WireState {
    peers: Vec<PeerId>,
    sessions: Vec<SessionTag>,
    said: Vec<(usize, String)>,
    losses: Vec<Loss>,
    lost: u64,
    cut: BTreeSet<usize>,
}

/// What a node sends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Arc<Mutex<WireState>>);

impl Wire {
    fn state(&self) -> MutexGuard<'_, WireState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loses(&self, leaving: &Leaving<'_>) -> bool {
        let mut state = self.state();
        let Some(to) = state.peers.iter().position(|peer| *peer == leaving.to) else { return false };
        let what = match leaving.session {
            None => control_name(leaving.body).unwrap_or("?").to_owned(),
            Some(tag) => {
                let known = state.sessions.iter().position(|known| *known == tag);
                let nth = known.unwrap_or_else(|| {
                    state.sessions.push(tag);
                    state.sessions.len() - 1
                });
                format!("session {}", nth + 1)
            }
        };
        state.said.push((to, what.clone()));
        let WireState { losses, cut, lost, .. } = &mut *state;
        for loss in losses.iter_mut().filter(|loss| loss.to == to && loss.what == what) {
            let each = loss.nth == 0;
            // Once it has come, the next one is none.
            loss.nth = if loss.nth == 1 { u64::MAX } else { loss.nth.saturating_sub(1) };
            if each || loss.nth == u64::MAX {
                *lost += 1;
                if loss.cut {
                    cut.insert(to);
                }
                return true;
            }
        }
        cut.contains(&to)
    }

    /// From here on: what was said is forgotten, and these are lost.
    pub(crate) fn begin(&self, losses: Vec<Loss>) {
        let mut state = self.state();
        let peers = std::mem::take(&mut state.peers);
        *state = WireState { peers, losses, ..WireState::default() };
    }

    /// Everything arrives again; whether anything was lost.
    pub(crate) fn mend(&self) -> bool {
        let mut state = self.state();
        state.losses.clear();
        state.cut.clear();
        state.lost > 0
    }

    /// What was said since the beginning, and to whom, without what clocks say; those in doubt ask by a clock too.
    pub(crate) fn said(&self) -> Vec<(usize, String)> {
        let said = self.state().said.clone();
        let belongs = |what: &str| !what.starts_with('(') && !["?", "Successor", "Told"].contains(&what);
        said.into_iter().filter(|(_, what)| belongs(what)).collect()
    }
}

pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    pub(crate) faults: Vec<Faults>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) stock: Stock,
    /// How many entries the log of each node had when it was looked at last, and its root.
    pub(crate) heads: Vec<(u64, Hash)>,
}

impl Lab {
    pub(crate) async fn new(n: usize, scheme: Scheme, stock: Stock) -> Self {
        let mut cluster = Cluster::prepare(n).await;
        // How long those wait who wait in vain: a ceremony takes a tenth of it.
        let patience = if scheme == Scheme::Ed25519 { 4 } else { 12 };
        for config in &mut cluster.configs {
            config.limits.answer_deadline = Duration::from_millis(1000);
            config.limits.attempt_deadline = Duration::from_millis(2000);
            config.limits.ceremony_deadline = Duration::from_secs(patience);
            // Who was killed in one cell is asked first in the next one.
            config.limits.suspicion_half_life = Duration::ZERO;
            config.keys.destroy_delay = Duration::from_secs(1);
        }
        let faults = vec![Faults::default(); n];
        let wires = (0..n).map(|_| Wire::default()).collect();
        let heads = vec![(0, Hash::empty()); n];
        let mut this = Self { cluster, faults, wires, stock, heads };
        this.start_all().await;
        this
    }

    /// Starts what is not running, and waits until all are connected.
    pub(crate) async fn start_all(&mut self) {
        for at in 0..self.cluster.nodes.len() {
            self.start(at).await;
        }
        for node in self.cluster.nodes.iter().flatten() {
            node.wait_connected(PATIENCE).await.unwrap();
        }
    }

    /// Starts a node, if it is not running.
    pub(crate) async fn start(&mut self, at: usize) {
        let begun = Instant::now();
        while self.cluster.nodes[at].is_none() {
            self.faults[at] = Faults::default();
            let (faults, wire) = (self.faults[at].clone(), self.wires[at].clone());
            wire.state().peers.clone_from(&self.cluster.identities);
            let dead = faults.clone();
            let losses = Losses::of(move |leaving| dead.is_dead() || wire.loses(leaving));
            let config = self.cluster.configs[at].clone();
            match Node::start_with_losses(config, faults, losses).await {
                Ok(node) => self.cluster.nodes[at] = Some(node),
                // What is left of the one before still holds the folder or the port.
                Err(error) => {
                    assert!(begun.elapsed() < PATIENCE, "a killed node does not start again: {error}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    /// Ends a node without a word to anybody.
    pub(crate) fn kill(&mut self, at: usize) {
        drop(self.cluster.nodes[at].take());
    }
}

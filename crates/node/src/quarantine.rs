//! Nodes of which this one keeps a proof that they cheated: kept durably, logged, told, and lifted by an operator alone.
//! Spec: `spec/45-attempts.md`.
//!
//! | module | holds |
//! |---|---|
//! | `proof` | what a proof says, and whether it proves it |
//! | `spread` | handing proofs to other nodes, and hearing theirs |

mod proof;
mod spread;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use quorate_api::{Event, EventKind};
use quorate_log::entry::Kind;
use quorate_net::PeerId;
use quorate_protocol::abort::Abort;
use quorate_protocol::party::Committee;
use quorate_protocol::session::SessionId;
use quorate_store::{MAX_PROOFS, Proof};
use serde::{Deserialize, Serialize};

use crate::audit::entry;
use crate::clock;
use crate::control::Misdeed;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};
use crate::trace::carried;
use spread::Spread;

/// Most proofs that are shown at once, the newest.
const SHOWN: usize = 16;

/// Who is quarantined, and why.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    held: Mutex<Held>,
    /// Held while a proof is kept or lifted, so that what is in memory is what the store has.
    changing: tokio::sync::Mutex<()>,
    spread: Mutex<Spread>,
}

#[derive(Debug, Default)]
struct Held {
    quarantined: HashSet<PeerId>,
    /// The proofs that are kept, by author and session: of one session there is one.
    kept: HashMap<(PeerId, [u8; 32]), Kept>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    id: [u8; 32],
    /// Nobody has readmitted the node since.
    counts: bool,
}

impl Held {
    /// Whether as many proofs of a node count as are kept.
    fn enough(&self, author: PeerId) -> bool {
        let counting = self.kept.iter().filter(|((of, _), kept)| *of == author && kept.counts).count();
        u32::try_from(counting).is_ok_and(|counting| counting >= MAX_PROOFS)
    }
}

/// What became of a proof that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// It is kept, and was not before.
    New([u8; 32]),
    /// One about the same node and session is, which may have been lifted.
    Known([u8; 32]),
    /// As many are kept of the node as convince.
    Enough,
    /// The store does not take it.
    Failed,
}

/// A proof that a node cheated, for people and for whoever is to be convinced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofShown {
    /// Names it.
    pub proof: String,
    /// The name of the node.
    pub node: String,
    /// The identity of the node.
    pub identity: String,
    /// What it proves: `equivocation`, two different signed broadcasts in one round of one session, or `partial_signature`, a signed partial
    /// signature that does not fit its verified presignature.
    pub kind: String,
    /// The session, in hexadecimal.
    pub session: String,
    /// As which party the node took part in it.
    pub party: u64,
    /// What proves it, in hexadecimal.
    pub evidence: String,
    /// When it was found, in unix milliseconds.
    pub found_at: u64,
    /// When the node was readmitted, in unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readmitted_at: Option<u64>,
}

/// A node that may sign again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readmitted {
    /// Its name.
    pub node: String,
    /// How many proofs do not count any more.
    pub proofs: u64,
}

/// What the log says of a proof.
#[derive(Debug, Serialize)]
struct Logged<'a> {
    what: &'a str,
    node: String,
    identity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// Who handed the proof over, if this node did not find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_from: Option<String>,
}

impl Shared {
    /// ATT.8: whether a proof is kept that this node cheated, and nobody has readmitted it.
    pub(crate) fn is_quarantined(&self, peer: &PeerId) -> bool {
        locked(&self.quarantine.held).quarantined.contains(peer)
    }

    /// Takes up what was kept before the start.
    pub(crate) async fn load_quarantine(&self) -> Result<(), quorate_api::Problem> {
        let proofs = self.store.proofs().await.map_err(|error| store_problem(&error))?;
        let mut held = locked(&self.quarantine.held);
        for proof in proofs {
            let (author, counts) = (PeerId::from_bytes(proof.peer), proof.readmitted_at.is_none());
            if counts {
                held.quarantined.insert(author);
            }
            let id = misdeed(&proof).id();
            held.kept.insert((author, proof.session), Kept { id, counts });
        }
        Ok(())
    }

    /// ATT.7: if the end of a session proves to anybody that a member cheated, keeps the proof, quarantines the member, and hands the proof
    /// to the others. Gives the name of the proof.
    pub(crate) async fn keep_evidence(
        self: &Arc<Self>,
        session: SessionId,
        committee: &Committee,
        abort: &Abort,
    ) -> Option<String> {
        let misdeed = Misdeed::of(session, committee, abort)?;
        if misdeed.author() == self.id {
            return None;
        }
        match self.keep(misdeed, None).await {
            Keeping::New(id) => {
                let shared = Arc::clone(self);
                // Whoever waits for the end of the session does not wait for the network.
                self.tasks.spawn(carried(async move {
                    if let Err(problem) = shared.hand_out_proofs().await {
                        tracing::error!(detail = %problem.detail, "a proof is not handed out");
                    }
                }));
                Some(hex::encode(id))
            }
            Keeping::Known(id) => Some(hex::encode(id)),
            Keeping::Enough | Keeping::Failed => None,
        }
    }

    /// ATT.7, ATT.8: keeps a proof that was checked, and quarantines its author; `from` handed it over, if this node did not find it.
    async fn keep(&self, misdeed: Misdeed, from: Option<PeerId>) -> Keeping {
        let _alone = self.quarantine.changing.lock().await;
        let (author, id) = (misdeed.author(), misdeed.id());
        {
            let mut held = locked(&self.quarantine.held);
            // ATT.10  What was lifted is not taken up again.
            if let Some(kept) = held.kept.get(&(author, misdeed.session)) {
                return Keeping::Known(kept.id);
            }
            // In memory first: a disk that is full must not give the node another chance.
            held.quarantined.insert(author);
            if held.enough(author) {
                return Keeping::Enough;
            }
        }
        let (name, session, proof) = (self.name_of(author), hex::encode(misdeed.session), hex::encode(id));
        let heard_from = from.map(|from| self.name_of(from));
        let (kind, what) = (misdeed.kind.clone(), misdeed.what());
        let logged = Logged {
            what: &kind,
            node: name.clone(),
            identity: author.to_string(),
            proof: Some(&proof),
            session: Some(session.clone()),
            heard_from: heard_from.clone(),
        };
        let entry = match entry(Kind::Evidence, &logged) {
            Ok(entry) => entry,
            Err(problem) => {
                tracing::error!(detail = %problem.detail, "a proof is not kept");
                return Keeping::Failed;
            }
        };
        let about = (author, misdeed.session);
        let stored = Proof {
            id: proof.clone(),
            peer: misdeed.peer,
            kind: misdeed.kind,
            session: misdeed.session,
            party: misdeed.party,
            evidence: misdeed.evidence,
            found_at: clock::millis(),
            readmitted_at: None,
        };
        match self.store.keep_proof(stored, entry).await {
            Ok(true) => {
                locked(&self.quarantine.held).kept.insert(about, Kept { id, counts: true });
                let heard_from =
                    heard_from.map(|from| format!(", as a proof shows that `{from}` handed over"));
                let heard_from = heard_from.unwrap_or_default();
                tracing::error!(peer = %name, proof, %session, "quarantined: {what}{heard_from}");
                let detail = format!("{what}, in the session {session}{heard_from}");
                self.events.tell(EventKind::PeerQuarantined, |event| {
                    Event { peer: Some(name), ..event }.with_detail(&detail)
                });
                Keeping::New(id)
            }
            // The store has more than this node was told, such as of a write whose answer was lost.
            Ok(false) => match self.load_quarantine().await {
                Ok(()) => {
                    let held = locked(&self.quarantine.held);
                    held.kept.get(&about).map_or(Keeping::Enough, |kept| Keeping::Known(kept.id))
                }
                Err(_) => Keeping::Failed,
            },
            Err(error) => {
                tracing::error!(peer = %name, %error, "quarantined until this node restarts: the proof cannot be stored");
                Keeping::Failed
            }
        }
    }

    /// The newest proofs.
    pub(crate) async fn shown_proofs(&self) -> Result<Vec<ProofShown>, quorate_api::Problem> {
        let proofs = self.store.proofs().await.map_err(|error| store_problem(&error))?;
        let shown = proofs.into_iter().take(SHOWN).map(|proof| {
            let peer = PeerId::from_bytes(proof.peer);
            ProofShown {
                proof: proof.id,
                node: self.name_of(peer),
                identity: peer.to_string(),
                kind: proof.kind,
                session: hex::encode(proof.session),
                party: proof.party,
                evidence: hex::encode(proof.evidence),
                found_at: proof.found_at,
                readmitted_at: proof.readmitted_at,
            }
        });
        Ok(shown.collect())
    }

    /// ATT.10: an operator trusts a node again. The proofs stay.
    pub(crate) async fn readmit(&self, name: &str) -> Result<Readmitted, String> {
        let parsed = || name.parse::<PeerId>().ok();
        let peer = self.by_name(name).or_else(parsed).ok_or_else(|| format!("there is no node `{name}`"))?;
        let node = self.name_of(peer);
        if !self.is_quarantined(&peer) {
            return Err(format!("`{node}` is not quarantined"));
        }
        let logged = Logged {
            what: "readmitted",
            node: node.clone(),
            identity: peer.to_string(),
            proof: None,
            session: None,
            heard_from: None,
        };
        let entry = entry(Kind::Evidence, &logged).map_err(|problem| problem.detail)?;
        let _alone = self.quarantine.changing.lock().await;
        let lifted = self.store.readmit(*peer.as_bytes(), clock::millis(), entry).await;
        let proofs = lifted.map_err(|error| error.to_string())?;
        {
            let mut held = locked(&self.quarantine.held);
            held.quarantined.remove(&peer);
            let of = held.kept.iter_mut().filter(|((author, _), _)| *author == peer);
            of.for_each(|(_, kept)| kept.counts = false);
        }
        locked(&self.reputation).forget(&peer);
        tracing::warn!(peer = %node, proofs, "readmitted: it may sign again");
        self.events.tell(EventKind::PeerReadmitted, |event| Event { peer: Some(node.clone()), ..event });
        Ok(Readmitted { node, proofs })
    }
}

/// What a stored proof says.
fn misdeed(proof: &Proof) -> Misdeed {
    Misdeed {
        peer: proof.peer,
        kind: proof.kind.clone(),
        session: proof.session,
        party: proof.party,
        evidence: proof.evidence.clone(),
    }
}

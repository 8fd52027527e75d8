//! Nodes of which this one keeps a proof that they cheated: kept durably, logged, told, and lifted by an operator alone.
//! Spec: `spec/45-attempts.md`.

use std::collections::HashSet;
use std::sync::Mutex;

use quorate_api::{Event, EventKind};
use quorate_log::entry::Kind;
use quorate_net::PeerId;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::party::Committee;
use quorate_protocol::session::{SessionId, proves_equivocation};
use quorate_store::Proof;
use serde::{Deserialize, Serialize};

use crate::audit::entry;
use crate::clock;
use crate::registry::locked;
use crate::shared::{Shared, peer_of, store_problem};

/// Most proofs that are shown at once, the newest.
const SHOWN: usize = 16;

/// Who is quarantined.
#[derive(Debug, Default)]
pub(crate) struct Quarantine(Mutex<HashSet<PeerId>>);

/// A proof that a node cheated, for people and for whoever is to be convinced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofShown {
    /// Names it.
    pub proof: String,
    /// The name of the node.
    pub node: String,
    /// The identity of the node.
    pub identity: String,
    /// What it proves: `equivocation`, two different signed broadcasts in one round of one session.
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
    what: &'static str,
    node: String,
    identity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
}

impl Shared {
    /// ATT.8: whether a proof is kept that this node cheated, and nobody has readmitted it.
    pub(crate) fn is_quarantined(&self, peer: &PeerId) -> bool {
        locked(&self.quarantine.0).contains(peer)
    }

    /// Takes up what was kept before the start.
    pub(crate) async fn load_quarantine(&self) -> Result<(), quorate_api::Problem> {
        let proofs = self.store.proofs().await.map_err(|error| store_problem(&error))?;
        let standing = proofs.iter().filter(|proof| proof.readmitted_at.is_none());
        locked(&self.quarantine.0).extend(standing.map(|proof| PeerId::from_bytes(proof.peer)));
        Ok(())
    }

    /// ATT.7: if the end of a session proves to anybody that a member cheated, keeps the proof and quarantines the member. Gives the name
    /// of the proof.
    pub(crate) async fn keep_evidence(
        &self,
        session: SessionId,
        committee: &Committee,
        abort: &Abort,
    ) -> Option<String> {
        let (Check::Equivocation, Blame::Party(author)) = (abort.check, abort.blame) else { return None };
        let identity = committee.get(author)?.identity;
        if !proves_equivocation(&abort.evidence, session, author, &identity) {
            return None;
        }
        let peer = peer_of(&identity);
        if peer == self.id {
            return None;
        }
        let mut hash = blake3::Hasher::new_derive_key("quorate 2026 node proof v1");
        hash.update(peer.as_bytes()).update(&session.0).update(&abort.evidence);
        let id = hash.finalize().to_hex().to_string();
        let proof = Proof {
            id: id.clone(),
            peer: *peer.as_bytes(),
            kind: Check::Equivocation.code().to_owned(),
            session: session.0,
            party: u64::from(author.get()),
            evidence: abort.evidence.clone(),
            found_at: clock::millis(),
            readmitted_at: None,
        };
        let name = self.name_of(peer);
        let logged = Logged {
            what: "equivocation",
            node: name.clone(),
            identity: peer.to_string(),
            proof: Some(&id),
            session: Some(session.to_string()),
        };
        // In memory first: a disk that is full must not give the node another chance.
        locked(&self.quarantine.0).insert(peer);
        let entry = match entry(Kind::Evidence, &logged) {
            Ok(entry) => entry,
            Err(problem) => {
                tracing::error!(detail = %problem.detail, "a proof is not kept");
                return None;
            }
        };
        match self.store.keep_proof(proof, entry).await {
            Ok(true) => {
                tracing::error!(peer = %name, proof = id, %session, "quarantined: it signed two different broadcasts in one round");
                let detail =
                    format!("it signed two different broadcasts in one round of the session {session}");
                self.events.tell(EventKind::PeerQuarantined, |event| {
                    Event { peer: Some(name), ..event }.with_detail(&detail)
                });
                Some(id)
            }
            // As many are kept as convince.
            Ok(false) => None,
            Err(error) => {
                tracing::error!(peer = %name, %error, "quarantined until this node restarts: the proof cannot be stored");
                None
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
        };
        let entry = entry(Kind::Evidence, &logged).map_err(|problem| problem.detail)?;
        let lifted = self.store.readmit(*peer.as_bytes(), clock::millis(), entry).await;
        let proofs = lifted.map_err(|error| error.to_string())?;
        locked(&self.quarantine.0).remove(&peer);
        locked(&self.reputation).forget(&peer);
        tracing::warn!(peer = %node, proofs, "readmitted: it may sign again");
        self.events.tell(EventKind::PeerReadmitted, |event| Event { peer: Some(node.clone()), ..event });
        Ok(Readmitted { node, proofs })
    }
}

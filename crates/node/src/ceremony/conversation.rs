//! The coordinator's talk with the other members of one attempt.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use quorate_api::{Code, OperationId, Problem};
use quorate_net::{PeerId, PeerWatch};
use quorate_protocol::party::PartyIndex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::control::{Answer, CeremonyId, Control, Done, Known, Outcome, Proposal};
use crate::hook::MAX_TIMEOUT;
use crate::keys::moving::Statement;
use crate::registry::locked;
use crate::shared::{Coordinated, Reply, Shared};

/// Replies that wait for the coordinator; a member has two to send.
const QUEUE: usize = 256;
/// How long a party that does not take part may take to say what it knows of an operation.
const RECALL: Duration = Duration::from_millis(250);
/// For how long a party that did not say is not asked again.
const MUTED: Duration = Duration::from_secs(10);

/// What the members said to a proposal.
#[derive(Debug)]
pub(crate) enum Said {
    /// All take part.
    All,
    /// One had the result already.
    Done(PartyIndex, Done),
    /// One refuses; with the other end of a burned pair, if that is why.
    Refused(PartyIndex, Problem, Option<PartyIndex>),
    /// These did not answer.
    Silent(Vec<PartyIndex>),
    /// A party that was not asked to take part knows another request under the same idempotency key: its bytes.
    Another(PartyIndex, Vec<u8>),
}

/// What the parties of a key are asked that do not take part.
pub(crate) struct Recall<'a> {
    pub(crate) operation: &'a OperationId,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) bystanders: BTreeMap<PeerId, PartyIndex>,
    /// Whether an attempt that a bystander takes part in is one too many. Not where any two quorums share a member, which lets
    /// only one of them begin.
    pub(crate) alone: bool,
}

/// An attempt that was proposed. Dropping it forgets the attempt; late replies are ignored then.
pub(crate) struct Conversation {
    shared: Arc<Shared>,
    ceremony: CeremonyId,
    members: BTreeMap<PeerId, PartyIndex>,
    /// Asked what they know of the operation, not to take part.
    bystanders: BTreeMap<PeerId, PartyIndex>,
    alone: bool,
    replies: mpsc::Receiver<(PeerId, Reply)>,
    ended: BTreeMap<PartyIndex, Outcome>,
    watched: BTreeMap<PartyIndex, PeerWatch>,
    /// What the members said that are to sign with presignatures.
    fresh: BTreeMap<PartyIndex, [u8; 32]>,
    /// One of them does not have its part.
    spent: bool,
}

impl Conversation {
    /// Sends the proposal to all members at once, and the question of `recall` to its bystanders.
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        proposal: Proposal,
        members: BTreeMap<PeerId, PartyIndex>,
        recall: Option<Recall<'_>>,
    ) -> Self {
        let (sender, replies) = mpsc::channel(QUEUE);
        let ceremony = proposal.ceremony;
        locked(&shared.coordinated).insert(ceremony, Coordinated { sender, said: HashMap::new() });
        let watched = members.iter().map(|(peer, party)| (*party, shared.network.watch(*peer))).collect();
        let ended = BTreeMap::new();
        let question = recall.as_ref().map(|recall| Control::Recall {
            ceremony,
            operation: recall.operation.as_str().to_owned(),
            fingerprint: recall.fingerprint,
        });
        let alone = recall.as_ref().is_some_and(|recall| recall.alone);
        let bystanders = recall.map(|recall| recall.bystanders).unwrap_or_default();
        let shared = Arc::clone(shared);
        let (fresh, spent) = (BTreeMap::new(), false);
        let this =
            Self { shared, ceremony, members, bystanders, alone, replies, ended, watched, fresh, spent };
        let ask = async {
            if let Some(question) = &question {
                this.tell_each(this.bystanders.keys(), question).await;
            }
        };
        let propose = Control::Propose(Box::new(proposal));
        tokio::join!(this.tell_all(&propose), ask);
        this
    }

    async fn tell_all(&self, message: &Control) {
        self.tell_each(self.members.keys(), message).await;
    }

    async fn tell_each(&self, peers: impl Iterator<Item = &PeerId>, message: &Control) {
        let tell = |peer: &PeerId| self.shared.tell(*peer, message);
        futures_util::future::join_all(peers.map(tell)).await;
    }

    /// The next reply of a member, or of a bystander to what it was asked; `None` when time is over.
    async fn next(&mut self, until: Instant) -> Option<(PartyIndex, Reply)> {
        loop {
            let (peer, reply) = timeout_at(until, self.replies.recv()).await.ok()??;
            let asked = match reply {
                Reply::Recalled(_) => &self.bystanders,
                Reply::Answer(_) | Reply::Ended(_) => &self.members,
            };
            if let Some(party) = asked.get(&peer) {
                return Some((*party, reply));
            }
        }
    }

    /// Waits until all accept, one does not, or time is over. Bystanders are waited for no longer than [`RECALL`].
    pub(crate) async fn answers(&mut self, within: Duration) -> Said {
        let until = Instant::now() + within;
        // Who asks a hook of its own first may take as long as hooks may.
        let mut asking: BTreeSet<PartyIndex> = BTreeSet::new();
        let late = until + MAX_TIMEOUT;
        let recalled_by = (Instant::now() + RECALL).min(until);
        let mut awaited: BTreeSet<PartyIndex> = self.members.values().copied().collect();
        let mut asked: BTreeSet<PartyIndex> = self.bystanders.values().copied().collect();
        loop {
            let until = match (awaited.is_empty(), asked.is_empty()) {
                (true, true) => return Said::All,
                (true, false) => recalled_by,
                (false, _) if awaited.is_subset(&asking) => late,
                (false, _) => until,
            };
            let Some((party, reply)) = self.next(until).await else {
                if awaited.is_empty() {
                    self.mute(&asked);
                    return Said::All;
                }
                let silent: Vec<PartyIndex> = if Instant::now() < late {
                    awaited.difference(&asking).copied().collect()
                } else {
                    awaited.into_iter().collect()
                };
                return Said::Silent(silent);
            };
            match reply {
                Reply::Recalled(known) => {
                    asked.remove(&party);
                    match known {
                        Known::Running if self.alone => {
                            let detail = "it takes part in another attempt of the same request";
                            let problem = Problem::new(Code::OperationRunning, detail);
                            return Said::Refused(party, problem, None);
                        }
                        Known::Nothing | Known::Running => {}
                        Known::Done(done) => return Said::Done(party, done),
                        Known::Another(request) => return Said::Another(party, request),
                    }
                }
                Reply::Answer(Answer::Accept) => {
                    awaited.remove(&party);
                }
                Reply::Answer(Answer::Ready { fresh }) => {
                    self.fresh.insert(party, fresh);
                    awaited.remove(&party);
                }
                Reply::Answer(Answer::Spent) => {
                    self.spent = true;
                    let problem = Problem::new(Code::CeremonyAborted, "it does not have that presignature");
                    return Said::Refused(party, problem, None);
                }
                Reply::Answer(Answer::Asking) => {
                    asking.insert(party);
                }
                Reply::Answer(Answer::Done(done)) => return Said::Done(party, done),
                Reply::Answer(Answer::Refuse(refusal)) => {
                    return Said::Refused(party, refusal.problem(), refusal.burned);
                }
                Reply::Ended(outcome) => {
                    // Early only if its part failed at once.
                    if let Outcome::Failed(refusal) = &outcome {
                        return Said::Refused(party, refusal.problem(), refusal.burned);
                    }
                    self.ended.insert(party, outcome);
                }
            }
        }
    }

    /// Whether a member does not have its part of a presignature.
    pub(crate) const fn spent(&self) -> bool {
        self.spent
    }

    /// POOL.4: tells everybody what all said, in the order of the parties, and gives it; or a member that accepted and said nothing.
    pub(crate) async fn go(&self, me: PartyIndex, own: [u8; 32]) -> Result<Vec<[u8; 32]>, PartyIndex> {
        let mut fresh = self.fresh.clone();
        if let Some(missing) = self.members.values().find(|party| !fresh.contains_key(party)) {
            return Err(*missing);
        }
        fresh.insert(me, own);
        let fresh: Vec<[u8; 32]> = fresh.into_values().collect();
        self.tell_all(&Control::Go { ceremony: self.ceremony, fresh: fresh.clone() }).await;
        Ok(fresh)
    }

    /// Whoever hangs shall not cost every attempt the same time.
    fn mute(&self, silent: &BTreeSet<PartyIndex>) {
        let until = Instant::now() + MUTED;
        let mut mute = locked(&self.shared.mute);
        for (peer, party) in &self.bystanders {
            if silent.contains(party) {
                tracing::info!(peer = %self.shared.name_of(*peer), "not asked about operations for a while: it does not answer");
                mute.insert(*peer, until);
            }
        }
    }

    /// What each member comes to by itself, as far as it says so in time: `Ok` with the receipt of those that did it, without one from
    /// those that had done it before.
    pub(crate) async fn each(
        &mut self,
        until: Instant,
    ) -> BTreeMap<PartyIndex, Result<Option<String>, Problem>> {
        let mut said = BTreeMap::new();
        while said.len() < self.members.len() {
            let Some((party, reply)) = self.next(until).await else { break };
            match reply {
                Reply::Answer(Answer::Done(Done::Acted)) => {
                    said.insert(party, Ok(None));
                }
                Reply::Ended(Outcome::Acted { receipt }) => {
                    said.insert(party, Ok(receipt));
                }
                Reply::Answer(Answer::Refuse(refusal)) | Reply::Ended(Outcome::Failed(refusal)) => {
                    said.insert(party, Err(refusal.problem()));
                }
                _ => {}
            }
        }
        said
    }

    /// The sealed share of each member, with its receipt if it is new, as far as they come in time.
    pub(crate) async fn shares(
        &mut self,
        until: Instant,
    ) -> BTreeMap<PartyIndex, Result<(Vec<u8>, Option<String>), Problem>> {
        let mut said = BTreeMap::new();
        while said.len() < self.members.len() {
            let Some((party, reply)) = self.next(until).await else { break };
            match reply {
                Reply::Answer(Answer::Done(Done::Exported { sealed })) => {
                    said.insert(party, Ok((sealed, None)));
                }
                Reply::Ended(Outcome::Exported { sealed, receipt }) => {
                    said.insert(party, Ok((sealed, receipt)));
                }
                Reply::Answer(Answer::Refuse(refusal)) | Reply::Ended(Outcome::Failed(refusal)) => {
                    said.insert(party, Err(refusal.problem()));
                }
                _ => {}
            }
        }
        said
    }

    /// Waits for how the part of every member ended; the members that did not say, because time is over or one of them is
    /// lost, are missing.
    pub(crate) async fn outcomes(&mut self, until: Instant) -> &BTreeMap<PartyIndex, Outcome> {
        while self.ended.len() < self.members.len() {
            let awaited = self.watched.iter().filter(|(party, _)| !self.ended.contains_key(party));
            let watches: Vec<PeerWatch> = awaited.map(|(_, watch)| watch.clone()).collect();
            let lost = select_all(watches.iter().map(|watch| Box::pin(watch.lost())));
            let next = tokio::select! {
                // What was said before it went counts.
                biased;
                next = self.next(until) => next,
                _ = lost => None,
            };
            let Some((party, reply)) = next else { break };
            if let Reply::Ended(outcome) = reply {
                self.ended.insert(party, outcome);
            }
        }
        &self.ended
    }

    /// Ends with the first member that restarts or stays away, counted from the proposal; a session that begins later would
    /// take a restarted one for present.
    pub(crate) fn loss(&self) -> impl Future<Output = Option<PartyIndex>> + Send + use<> {
        let watches: Vec<(PartyIndex, PeerWatch)> =
            self.watched.iter().map(|(party, watch)| (*party, watch.clone())).collect();
        async move {
            if watches.is_empty() {
                return std::future::pending().await;
            }
            let lost = watches.iter().map(|(_, watch)| Box::pin(watch.lost()));
            let (_, first, _) = select_all(lost).await;
            watches.get(first).map(|(party, _)| *party)
        }
    }

    /// Waits for the first member whose part failed; for ever if none does.
    pub(crate) async fn failure(&mut self) -> (PartyIndex, Problem) {
        loop {
            let failed = |(party, outcome): (&PartyIndex, &Outcome)| match outcome {
                Outcome::Failed(refusal) => Some((*party, refusal.problem())),
                _ => None,
            };
            if let Some(found) = self.ended.iter().find_map(failed) {
                return found;
            }
            match self.replies.recv().await {
                Some((peer, Reply::Ended(outcome))) => {
                    if let Some(party) = self.members.get(&peer) {
                        self.ended.insert(*party, outcome);
                    }
                }
                Some(_) => {}
                None => std::future::pending::<()>().await,
            }
        }
    }

    /// Waits for the first member whose part ended with `wanted`.
    pub(crate) async fn first<T>(
        &mut self,
        until: Instant,
        wanted: impl Fn(&Outcome) -> Option<T>,
    ) -> Option<T> {
        loop {
            if let Some(found) = self.ended.values().find_map(&wanted) {
                return Some(found);
            }
            if self.ended.len() == self.members.len() {
                return None;
            }
            let (party, reply) = self.next(until).await?;
            if let Reply::Ended(outcome) = reply {
                self.ended.insert(party, outcome);
            }
        }
    }

    /// The other members.
    pub(crate) fn members(&self) -> Vec<PartyIndex> {
        self.members.values().copied().collect()
    }

    /// Tells everybody to stand down for the next epoch of the key.
    pub(crate) async fn stand_down(&mut self, package: Vec<u8>) {
        self.ended.clear();
        self.tell_all(&Control::StandDown { ceremony: self.ceremony, package }).await;
    }

    /// Waits until all have stood down; gives what they say, or the first that does not.
    pub(crate) async fn statements(
        &mut self,
        until: Instant,
    ) -> Result<Vec<Statement>, (PartyIndex, Problem)> {
        let members = self.members();
        let mut statements: BTreeMap<PartyIndex, Statement> = BTreeMap::new();
        while let Some(missing) = members.iter().find(|party| !statements.contains_key(party)) {
            match self.next(until).await {
                Some((party, Reply::Ended(Outcome::StoodDown { statement }))) => {
                    statements.insert(party, statement);
                }
                Some((party, Reply::Ended(Outcome::Failed(refusal)))) => {
                    return Err((party, refusal.problem()));
                }
                // It has proven the epoch to itself, which nobody else can yet: what it says comes before that.
                Some(_) => {}
                None => {
                    let detail = "it did not answer in time";
                    return Err((*missing, Problem::new(Code::DeadlineExceeded, detail)));
                }
            }
        }
        Ok(statements.into_values().collect())
    }

    /// Waits until all have said their last word.
    pub(crate) async fn wait(&mut self, until: Instant) {
        self.outcomes(until).await;
    }

    /// Tells everybody that the attempt is over.
    pub(crate) async fn cancel(&self) {
        self.tell_all(&Control::Cancel { ceremony: self.ceremony }).await;
    }

    /// Tells everybody to use the new key, and waits a little until they do, so that who hears of the key can use it anywhere.
    pub(crate) async fn activate(&mut self, within: Duration) {
        self.ended.clear();
        self.tell_all(&Control::Activate { ceremony: self.ceremony }).await;
        self.outcomes(Instant::now() + within).await;
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.shared.unregister(&self.ceremony);
    }
}

//! Ceremonies: one run of one or more protocols for one operation. What all kinds have in common is here.
//!
//! | module | holds |
//! |---|---|
//! | `protocols` | which protocol serves which scheme |
//! | `conversation` | the coordinator's talk with the members of one attempt |
//! | `member` | taking part in what another node coordinates |
//! | `create` | creating a key |
//! | `epoch` | the decisions when a key goes from one epoch to the next |
//! | `moving` | moving a key to its next epoch |
//! | `import` | checking what a key that is imported was split into |
//! | `sign` | signing |
//! | `act` | what else is done to a key, one file an act |
//! | `coordinate` | one quorum after the other until one signs |
//! | `attempts` | what is known between attempts, and who is asked next |
//! | `quorum` | the choice among quorums |
//!
//! Spec: `spec/40-ceremonies.md`. Every member derives everything that matters (the digest, the quorum's identities, the name of each session) from the signed
//! request and its own records; the coordinator chooses only who takes part, a random number and the number of the attempt.

pub(crate) mod act;
pub(crate) mod attempts;
pub(crate) mod conversation;
pub(crate) mod coordinate;
pub(crate) mod create;
pub(crate) mod epoch;
pub(crate) mod import;
pub(crate) mod member;
pub(crate) mod moving;
pub(crate) mod protocols;
pub(crate) mod quorum;
pub(crate) mod sign;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::attempts::turn::{Lesson, Scope};
use quorate_api::{
    Code, Fault, Figures, KeyId, OperationId, Problem, Progress as ApiProgress, RoundFigures, Skipped,
};
use quorate_ecdsa::setup::MAX_CALLS;
use quorate_net::driver;
use quorate_net::{DriverError, Effects, Missed, Patience, PeerId, Progress, Routes, SessionTag};
use quorate_protocol::abort::{Abort, Blame, Check, Consequence};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{BadParams, Effect, Params, Session, SessionId};
use quorate_store::Uses;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::audit::Logged;
use crate::clock;
use crate::control::{CeremonyId, Proposal};
use crate::gate::Pass;
use crate::keys::moving::epoch_of;
use crate::keys::{Material, Pending};
use crate::shared::{Shared, party_name, random, store_problem};
use crate::trace::carried;

pub(crate) const SHUTTING_DOWN: &str = "this node is shutting down: ask another one";

/// Why a ceremony gave no result here.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) problem: Problem,
    /// Who is named; nobody if it may have been anybody.
    pub(crate) without: Vec<PartyIndex>,
    /// What of it does not work.
    pub(crate) scope: Scope,
    /// What they did.
    pub(crate) fault: Fault,
    /// The name of the proof of it, if there is one.
    pub(crate) evidence: Option<String>,
    /// Trying again with somebody else is of no use: the failure is here.
    pub(crate) local: bool,
    /// A check failed. Which one is for this node's operators only: for some checks it would tell a cheater a bit of a secret.
    pub(crate) hushed: bool,
}

impl Failure {
    /// A failure of this node.
    pub(crate) fn local(problem: Problem) -> Self {
        let (scope, fault, evidence) = (Scope::Quorum, Fault::Suspected, None);
        Self { problem, without: Vec::new(), scope, fault, evidence, local: true, hushed: false }
    }

    /// What other nodes may know of it.
    pub(crate) fn for_peers(&self) -> Problem {
        if self.hushed {
            return Problem::new(Code::CeremonyAborted, "it ended the session: its own log says why");
        }
        self.problem.clone()
    }

    pub(crate) fn of(code: Code, detail: String, without: Vec<PartyIndex>) -> Self {
        let problem = Problem::new(code, detail);
        let (scope, fault) =
            if without.is_empty() { (Scope::Quorum, Fault::Suspected) } else { (Scope::Each, Fault::Failed) };
        Self { problem, without, scope, fault, evidence: None, local: false, hushed: false }
    }

    /// The same, with what of it does not work and what those did who are named.
    pub(crate) fn because(mut self, scope: Scope, fault: Fault) -> Self {
        (self.scope, self.fault) = (scope, fault);
        self
    }

    /// What it teaches the next attempt.
    pub(crate) fn lesson(&self) -> Lesson {
        Lesson { who: self.without.clone(), scope: self.scope, fault: self.fault }
    }
}

/// What every member of an attempt agrees on beside the request and the key.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) ceremony: CeremonyId,
    pub(crate) number: u32,
    pub(crate) coordinator: PeerId,
}

impl Attempt {
    pub(crate) fn of(proposal: &Proposal, coordinator: PeerId) -> Self {
        Self { ceremony: proposal.ceremony, number: proposal.attempt, coordinator }
    }
}

/// One ceremony of this node: runs sessions one after the other and keeps what they cost.
pub(crate) struct Ceremony<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) operation: &'a OperationId,
    /// The parties of its sessions.
    pub(crate) committee: Committee,
    pub(crate) me: PartyIndex,
    pub(crate) names: BTreeMap<PartyIndex, String>,
    pub(crate) deadline: Instant,
    /// What in the request each signature of the session is for; empty if that needs no saying.
    pub(crate) places: Vec<sign::Place>,
    /// Ends the ceremony early, at the next point where it waits for others.
    pub(crate) cancel: CancellationToken,
    /// Shown with the progress.
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) figures: Figures,
}

impl Ceremony<'_> {
    /// Runs one session to its end.
    #[tracing::instrument(name = "session", skip_all, fields(operation = %self.operation, protocol = protocol, session = %id, parties = self.committee.indices().count()))]
    pub(crate) async fn run<O: Send + 'static>(
        &mut self,
        protocol: &'static str,
        id: SessionId,
        start: impl FnOnce(Params) -> Result<Session<O>, BadParams> + Send + 'static,
        purpose: Purpose,
    ) -> Result<O, Failure> {
        // CER.7  Before anything is signed under this name: two broadcasts of one party for one round prove equivocation to anyone,
        // and the coordinator alone chooses what makes the name fresh.
        let mark = blake3::derive_key("quorate 2026 node session begun v1", &id.0);
        let parties = self.names_of(&self.committee.indices().collect::<Vec<_>>());
        let logged = Logged { session: id, protocol, operation: self.operation, parties: &parties };
        let begins = logged.begins().map_err(Failure::local)?;
        let uses = purpose.uses();
        let counted = self.shared.store.consume_logged(&mark, clock::millis(), uses, begins).await;
        let Some(counted) = counted.map_err(|error| Failure::local(store_problem(&error)))? else {
            let detail = format!("the session `{id}` was begun before: propose it with a new number");
            return Err(Failure::local(Problem::new(Code::CeremonyAborted, detail)));
        };
        // CER.7a  What was counted stays so.
        if counted > MAX_CALLS {
            let detail = format!(
                "the key has been used {MAX_CALLS} times in this epoch, which is as often as it may: refresh it"
            );
            return Err(Failure::local(Problem::new(Code::KeyBurned, detail)));
        }
        let routes = Routes::of(&self.committee);
        let tag = SessionTag::from(id);
        let mailbox = self
            .shared
            .network
            .open(tag, &routes.members())
            .map_err(|error| Failure::local(Problem::new(Code::Internal, error.to_string())))?;
        let params = Params {
            session: id,
            me: self.me,
            committee: self.committee.clone(),
            identity: self.shared.identity.clone(),
            entropy: Entropy::new(random().map_err(Failure::local)?),
        };
        let begun = Instant::now();
        let steps = protocols::steps(protocol, self.committee.len());
        let others: Vec<PartyIndex> = self.committee.indices().filter(|party| *party != self.me).collect();
        let durable = Durable { shared: Arc::clone(self.shared), session: id, purpose };
        let started = steps.run(move || start(params)).await.map_err(|error| self.failed(protocol, error))?;
        let session = match started {
            Ok(session) => session,
            Err(unfit) => {
                let failure = self.unfit(&durable, &others, &unfit).await;
                self.log_end(&logged, &failure).await?;
                return Err(failure);
            }
        };
        let within = self.deadline.saturating_duration_since(begun);
        let (events, mut happened) = mpsc::unbounded_channel();
        let shared = Arc::clone(self.shared);
        let committee = self.committee.clone();
        let called_off = self.cancel.child_token();
        // Also when whoever waits here stops waiting.
        let _called_off = called_off.clone().drop_guard();
        // CER.8  A task of its own, which ends only where the driver lets it: broken off between a failed check and the burn that must
        // follow, it would let a coordinator that calls attempts off test a secret bit by bit.
        let mut running = self.shared.tasks.spawn(carried(async move {
            let note = |progress| note(&shared, tag, &events, progress);
            let patience = Patience { within, called_off, steps };
            let ended =
                driver::run(session, mailbox, &shared.network, &routes, &durable, patience, note).await;
            // ATT.7  Kept before anybody here hears of the failure, also if nobody listens any more.
            let evidence = match &ended {
                Err(DriverError::Crashed) => {
                    durable.crashed(&others).await;
                    None
                }
                Err(DriverError::Aborted(abort)) => durable.shared.keep_evidence(id, &committee, abort).await,
                _ => None,
            };
            (ended, evidence)
        }));
        let mut follower = Follower { protocol, sent: 0, received: 0 };
        let (result, evidence) = loop {
            tokio::select! {
                biased;
                Some(event) = happened.recv() => follower.follow(self, event),
                ended = &mut running => break ended.unwrap_or((Err(DriverError::Crashed), None)),
            }
        };
        while let Ok(event) = happened.try_recv() {
            follower.follow(self, event);
        }
        let phase = if result.is_ok() { "total" } else { "failed" };
        self.shared.metrics.ceremony(protocol, phase, begun.elapsed());
        match result {
            Ok(output) => Ok(output),
            Err(error) => {
                let mut failure = self.failed(protocol, error);
                failure.evidence = evidence;
                self.log_end(&logged, &failure).await?;
                Err(failure)
            }
        }
    }

    /// What is not logged changes nothing: the session has no result.
    async fn log_end(&self, logged: &Logged<'_>, failure: &Failure) -> Result<(), Failure> {
        let ended = logged.failed(&failure.problem).map_err(Failure::local)?;
        if let Err(problem) = self.shared.log_entries(vec![ended]).await {
            tracing::error!(detail = %problem.detail, "the end of a session is not logged");
        }
        Ok(())
    }

    /// Why a session cannot begin. A pair of it that burned since the quorum was chosen is no fault of this node: others can sign.
    async fn unfit(&self, durable: &Durable, others: &[PartyIndex], unfit: &BadParams) -> Failure {
        match durable.burned_meanwhile(others).await {
            Err(error) => self.not_durable(&error),
            Ok(burned) if burned.is_empty() => {
                Failure::local(Problem::new(Code::Internal, unfit.to_string()))
            }
            Ok(burned) => {
                let names = self.names_of(&burned).join("`, `");
                let detail = format!(
                    "the pair of this node with `{names}` was burned before this session began: use other quorums, or refresh the key once you know why"
                );
                let mut failure = Failure::of(Code::CeremonyAborted, detail, burned);
                failure.hushed = true;
                // What burned it is held against them already.
                failure.because(Scope::Each, Fault::Other)
            }
        }
    }

    fn not_durable(&self, error: &dyn std::fmt::Display) -> Failure {
        // What is not on disk when the node stops is said to nobody, not even in the operation.
        if self.shared.stop.is_cancelled() {
            return Failure::local(Problem::new(Code::Unavailable, SHUTTING_DOWN));
        }
        tracing::error!(%error, "an effect is not durable");
        Failure::local(Problem::new(
            Code::Internal,
            format!("it was given up because this node cannot store: {error}"),
        ))
    }

    fn name(&self, party: PartyIndex) -> String {
        party_name(&self.names, party)
    }

    fn names_of(&self, parties: &[PartyIndex]) -> Vec<String> {
        parties.iter().map(|party| self.name(*party)).collect()
    }

    /// Turns the driver's error into what the operator and the next attempt need to know.
    fn failed(&self, protocol: &'static str, error: DriverError) -> Failure {
        match error {
            DriverError::Aborted(abort) => self.aborted(protocol, &abort),
            DriverError::PeerAborted(party) => {
                let name = self.name(party);
                let detail =
                    format!("`{name}` ended {protocol} without a reason: the log of `{name}` has it");
                // Whoever tells of the end is as likely honest, and saw somebody else cheat: it is this set that does not work.
                Failure::of(Code::CeremonyAborted, detail, Vec::new())
            }
            DriverError::Deadline(missed) => {
                // Who owes a message may wait for one that somebody else owes it.
                let failure =
                    self.missed(protocol, &missed, missed.awaiting.clone(), "did not answer in time");
                failure.because(Scope::Quorum, Fault::Silent)
            }
            // The others owe a message only because these do: a party that waits for a lost one cannot go on either.
            DriverError::Lost(missed) => {
                let lost = missed.awaiting.iter().copied();
                let lost = lost.filter(|p| missed.restarted.contains(p) || missed.unconnected.contains(p));
                let failure =
                    self.missed(protocol, &missed, lost.collect(), "restarted or lost its connection");
                failure.because(Scope::Each, Fault::Silent)
            }
            DriverError::NotDurable(error) => self.not_durable(&error),
            DriverError::CalledOff => {
                let detail = "the attempt was called off by its coordinator or by a shutdown".to_owned();
                Failure::of(Code::CeremonyAborted, detail, Vec::new())
            }
            DriverError::ShutDown => Failure::local(Problem::new(Code::Unavailable, SHUTTING_DOWN)),
            error @ (DriverError::Send(_) | DriverError::NoRoute(_) | DriverError::Crashed) => {
                Failure::local(Problem::new(Code::Internal, error.to_string()))
            }
        }
    }

    fn missed(&self, protocol: &str, missed: &Missed, who: Vec<PartyIndex>, what: &str) -> Failure {
        let names = self.names_of(&who);
        let round = missed.round.map_or("", |(_, name)| name);
        let detail = format!("`{}` {what} in {protocol}, round `{round}`", names.join("`, `"));
        Failure::of(Code::DeadlineExceeded, detail, who)
    }

    fn aborted(&self, protocol: &'static str, abort: &Abort) -> Failure {
        self.shared.metrics.abort(abort.check.code());
        tracing::warn!(
            operation = %self.operation, protocol, check = abort.check.code(), blame = %abort.blame,
            burns = matches!(abort.consequence, Consequence::Burn(_)), "a check failed"
        );
        let who = match abort.blame {
            Blame::Party(p) => format!("`{}` is at fault", self.name(p)),
            Blame::Edge(p) => format!("`{}` or this node is at fault", self.name(p)),
            Blame::Reported(p) => format!("`{}` ended it without a reason", self.name(p)),
            Blame::Nobody(why) => format!("nobody can be named: {why}"),
        };
        let mut detail = format!("{protocol}: {}; {who}", abort.check);
        if let Some(item) = abort.item {
            let place = self.places.get(usize::from(item));
            let place = place.map_or_else(|| format!("signature {item} of the session"), ToString::to_string);
            detail.push_str(&format!("; it is about {place}, counted from 0"));
        }
        if let Consequence::Burn(p) = abort.consequence {
            detail.push_str(&format!(
                "; this node does not sign with `{}` in this epoch of the key any more: use other quorums, or refresh the key once you know why",
                self.name(p)
            ));
        }
        let party = abort.blame.party();
        let mut failure = Failure::of(Code::CeremonyAborted, detail, party.into_iter().collect());
        failure.hushed = true;
        (failure.scope, failure.fault) = match abort.blame {
            Blame::Party(_) => (Scope::Each, Fault::Cheated),
            Blame::Edge(_) => (Scope::Each, Fault::Disputed),
            Blame::Reported(_) | Blame::Nobody(_) => (Scope::Quorum, Fault::Suspected),
        };
        if let Blame::Party(p) = abort.blame {
            failure.problem = failure.problem.with_culprits(vec![self.name(p)]);
        }
        failure
    }
}

/// What happened in a session, as far as somebody wants to know.
enum Event {
    Started { round: u8, awaiting: Vec<PartyIndex> },
    Finished { round: u8, name: &'static str, elapsed: Duration, sent: u64, received: u64 },
    Ended { sent: u64, received: u64 },
}

/// Keeps what is shown. What a peer can cause at will, such as rejected frames, is not among it.
fn note(shared: &Shared, tag: SessionTag, events: &mpsc::UnboundedSender<Event>, progress: Progress) {
    let event = match progress {
        Progress::RoundStarted { number, awaiting, .. } => Event::Started { round: number, awaiting },
        Progress::RoundFinished { number, name, elapsed, .. } => {
            let bytes = shared.network.session_bytes(tag).unwrap_or_default();
            let (sent, received) = (bytes.bytes_sent, bytes.bytes_received);
            Event::Finished { round: number, name, elapsed, sent, received }
        }
        Progress::Ended { bytes, .. } => {
            Event::Ended { sent: bytes.bytes_sent, received: bytes.bytes_received }
        }
        _ => return,
    };
    // Nobody listens any more to an attempt that was called off.
    events.send(event).unwrap_or_default();
}

/// Turns events into progress for those who wait and figures for the result.
struct Follower {
    protocol: &'static str,
    /// Bytes at the end of the round before.
    sent: u64,
    received: u64,
}

impl Follower {
    fn follow(&mut self, ceremony: &mut Ceremony<'_>, event: Event) {
        let figures = &mut ceremony.figures;
        match event {
            Event::Started { round, awaiting } => self.show(ceremony, round, &awaiting),
            Event::Finished { round, name, elapsed, sent, received } => {
                figures.rounds = figures.rounds.saturating_add(1);
                figures.steps.push(RoundFigures {
                    protocol: self.protocol.to_owned(),
                    round: round.into(),
                    name: name.to_owned(),
                    ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                    bytes_sent: sent.saturating_sub(self.sent),
                    bytes_received: received.saturating_sub(self.received),
                });
                (self.sent, self.received) = (sent, received);
                ceremony.shared.metrics.ceremony(self.protocol, name, elapsed);
            }
            Event::Ended { sent, received } => {
                figures.bytes_sent = figures.bytes_sent.saturating_add(sent);
                figures.bytes_received = figures.bytes_received.saturating_add(received);
            }
        }
    }

    fn show(&self, ceremony: &Ceremony<'_>, round: u8, awaiting: &[PartyIndex]) {
        let quorum: Vec<PartyIndex> = ceremony.committee.indices().collect();
        let progress = ApiProgress {
            protocol: self.protocol.to_owned(),
            round: round.into(),
            rounds: Some(protocols::rounds(self.protocol)),
            quorum: ceremony.names_of(&quorum),
            awaiting: ceremony.names_of(awaiting),
            skipped: ceremony.skipped.clone(),
        };
        ceremony.shared.registry.set_progress(ceremony.operation, progress);
    }
}

/// Makes the effects of one session durable in this node's store.
struct Durable {
    shared: Arc<Shared>,
    session: SessionId,
    purpose: Purpose,
}

/// What a session may change.
pub(crate) enum Purpose {
    /// The generation of a key: its share is stored as pending.
    Generate(Arc<create::Draft>),
    /// A session that changes nothing here.
    Say,
    /// The set-up of its pairs: stored together with the share.
    SetUp { draft: Arc<create::Draft>, package: Vec<u8>, certificate: Vec<u8>, secret: Zeroizing<Vec<u8>> },
    /// The use of a key: pairs may burn.
    ///
    /// Holds the opened key until the session has ended, also when the attempt was called off before: as long as a session can
    /// still fail a check, every other session of the key must share its set-up, or each would be a guess of its own.
    ///
    /// And the pass: the key's epoch does not end while it is out.
    Use {
        key: KeyId,
        revision: u64,
        peers: BTreeMap<PartyIndex, PeerId>,
        material: Arc<Material>,
        /// How often it multiplies with each peer.
        calls: u64,
        _pass: Pass,
    },
    /// The next epoch of a key: what it gives is stored when all of it is there, before anybody is told.
    Move,
}

/// Why an effect is not durable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EffectError {
    #[error("{0}")]
    Problem(Box<Problem>),
    #[error("the protocol asks to store `{0}`, which this ceremony does not know")]
    Unknown(&'static str),
}

impl From<Problem> for EffectError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl Purpose {
    /// How often a session multiplies with each peer of a key, if it does.
    fn uses(&self) -> Option<Uses> {
        let Self::Use { key, revision, material, calls, .. } = self else { return None };
        let uses = || Uses { key_id: key.as_str().to_owned(), epoch: epoch_of(*revision), count: *calls };
        (*calls > 0 && material.setup.exists()).then(uses)
    }
}

impl Durable {
    /// Burns the pairs with these, all of them before the disk is waited for. Neither an abort nor the end of the attempt leaves this node
    /// before it has taken the marks.
    async fn burn(&self, parties: &[PartyIndex], check: &'static str) -> Result<(), EffectError> {
        let Purpose::Use { key, revision, peers, material, .. } = &self.purpose else {
            return Err(EffectError::Unknown("burn"));
        };
        let evidence = blake3::derive_key("quorate 2026 node burn evidence v1", check.as_bytes());
        for party in parties {
            material.setup.burn(*party);
            let peer = peers.get(party).ok_or(EffectError::Unknown("burn of a stranger"))?;
            self.shared.burn_pair(key, *revision, *peer, self.session.0, evidence);
            tracing::warn!(%key, peer = %self.shared.name_of(*peer), check, "pair burned");
        }
        Ok(self.shared.burns_saved().await?)
    }

    /// A computation that broke down may have been a check of what one of the others sent, and nobody can say of whom.
    async fn crashed(&self, others: &[PartyIndex]) {
        if !matches!(&self.purpose, Purpose::Use { material, .. } if material.setup.exists()) {
            return;
        }
        if let Err(error) = self.burn(others, "crashed").await {
            tracing::error!(%error, "a burn is not durable");
        }
    }

    /// With whom pairs were burned since the quorum was chosen. What found it may still be on its way to the disk, and is waited for.
    async fn burned_meanwhile(&self, others: &[PartyIndex]) -> Result<Vec<PartyIndex>, EffectError> {
        let Purpose::Use { material, .. } = &self.purpose else { return Ok(Vec::new()) };
        let burned = material.setup.burned();
        let burned: Vec<PartyIndex> = others.iter().copied().filter(|party| burned.contains(party)).collect();
        if !burned.is_empty() {
            self.burn(&burned, Check::BurnedInstance.code()).await?;
        }
        Ok(burned)
    }

    async fn persist(&self, what: &'static str, bytes: &[u8]) -> Result<(), EffectError> {
        match &self.purpose {
            Purpose::Generate(draft) if what == quorate_keys::dkg::PENDING_SHARE => {
                let pending = Pending::decode(bytes).ok_or(EffectError::Unknown(what))?;
                Ok(draft.store_pending(&self.shared, &pending).await?)
            }
            Purpose::SetUp { draft, package, certificate, secret }
                if what == quorate_ecdsa::setup::PENDING_SETUP =>
            {
                Ok(draft
                    .store_complete(&self.shared, package.clone(), certificate.clone(), secret, bytes)
                    .await?)
            }
            Purpose::Move
                if what == quorate_keys::dkg::PENDING_SHARE
                    || what == quorate_ecdsa::setup::PENDING_SETUP =>
            {
                Ok(())
            }
            _ => Err(EffectError::Unknown(what)),
        }
    }

    async fn make(&self, effect: Effect) -> Result<(), EffectError> {
        match effect {
            Effect::Burn { peer, check } => self.burn(&[peer], check.code()).await,
            // CER.7  Durable since before the session drew its nonces, which are nowhere but in it: no other session has this name, and
            // none goes on after a restart.
            Effect::Consume => Ok(()),
            Effect::Persist { what, bytes } => self.persist(what, &bytes).await,
        }
    }
}

impl Effects for Durable {
    type Error = EffectError;

    async fn make_durable(&self, effects: Vec<Effect>) -> Result<(), EffectError> {
        for effect in effects {
            self.make(effect).await?;
        }
        Ok(())
    }
}

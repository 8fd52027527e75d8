//! Runs one protocol session over the network: messages in and out, effects made durable first.
//!
//! The order is the point (see [`Session`]): what a step wants written is durable before anything that
//! follows it leaves this node, also before the notice that ends a session. Computation runs on
//! tokio's blocking threads, so that keep-alives and other sessions go on meanwhile.
//!
//! Cancel-safe in the sense of the protocols: when the future of [`run`] is dropped, the session is
//! gone, nothing more leaves, and an effect that was being written may or may not be durable.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use quorate_protocol::abort::{Abort, Check};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::{Effect, Rejected, Session, SessionId, Transmit};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::frame::{Instance, SessionTag};
use crate::identity::PeerId;
use crate::mailbox::Mailbox;
use crate::network::{Network, SendError};
use crate::stats::SessionBytes;

impl From<SessionId> for SessionTag {
    fn from(id: SessionId) -> Self {
        Self(id.0)
    }
}

/// Makes the effects of a session durable.
pub trait Effects: Send + Sync {
    /// Why it could not.
    type Error: Error + Send + Sync + 'static;

    /// Returns once all of `effects`, in this order, would survive a crash. They come from one step;
    /// until this returns nothing of that step leaves the node, and after an error nothing ever does.
    fn make_durable(&self, effects: Vec<Effect>) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Which peer is which party, one to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    peers: BTreeMap<PartyIndex, PeerId>,
    parties: BTreeMap<PeerId, PartyIndex>,
}

impl Routes {
    /// Takes the identity of each party; ourselves may be among them. `None` when two parties have the
    /// same identity.
    #[must_use]
    pub fn new(peers: BTreeMap<PartyIndex, PeerId>) -> Option<Self> {
        let parties: BTreeMap<_, _> = peers.iter().map(|(party, peer)| (*peer, *party)).collect();
        (parties.len() == peers.len()).then_some(Self { peers, parties })
    }

    /// The routes of a committee whose identity keys are also the keys of its channels.
    #[must_use]
    pub fn of(committee: &Committee) -> Self {
        let both = || committee.iter().map(|party| (party.index, PeerId::from(party.identity)));
        // A committee holds no identity twice.
        Self { peers: both().collect(), parties: both().map(|(party, peer)| (peer, party)).collect() }
    }

    /// All identities, in order of their parties; what [`Network::open`] asks for.
    #[must_use]
    pub fn members(&self) -> Vec<PeerId> {
        self.peers.values().copied().collect()
    }

    /// The identity of a party.
    #[must_use]
    pub fn peer(&self, party: PartyIndex) -> Option<PeerId> {
        self.peers.get(&party).copied()
    }

    /// The party with an identity.
    #[must_use]
    pub fn party(&self, peer: PeerId) -> Option<PartyIndex> {
        self.parties.get(&peer).copied()
    }
}

/// What happens in a session, for people who watch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Our messages of a round are on their way; now it waits for the others'.
    RoundStarted {
        /// From 1.
        number: u8,
        /// What the round does.
        name: &'static str,
        /// Who owes a message.
        awaiting: Vec<PartyIndex>,
    },
    /// A message of the round came.
    Received {
        /// From whom.
        from: PartyIndex,
        /// Who still owes one.
        awaiting: Vec<PartyIndex>,
    },
    /// All messages of the round came and were computed with.
    RoundFinished {
        /// From 1.
        number: u8,
        /// What the round does.
        name: &'static str,
        /// Since the round started.
        elapsed: Duration,
        /// The part of it that we computed.
        computing: Duration,
    },
    /// A message could not be queued for a party; the session goes on, and ends by its deadline unless
    /// the party is not needed.
    NotSent {
        /// For whom.
        to: PartyIndex,
        /// Why.
        error: SendError,
    },
    /// A frame was dropped and the session goes on as if it had not come.
    Rejected {
        /// From whom.
        from: PartyIndex,
        /// Why.
        why: Rejected,
    },
    /// The session ended, with or without a result.
    Ended {
        /// What it cost.
        bytes: SessionBytes,
        /// Since [`run`] began.
        elapsed: Duration,
    },
}

/// Why a session gave no result.
#[derive(Debug)]
pub enum DriverError {
    /// A check failed here. The other members have been told that the session ended, not why.
    Aborted(Abort),
    /// This member ended the session and gave no reason.
    PeerAborted(PartyIndex),
    /// Not everybody answered in time. The session is dropped; nobody is to blame for certain.
    Deadline(Missed),
    /// Somebody who is awaited has restarted, and with that lost the session, or had no connection for
    /// [`crate::Limits::absence_grace`]; waiting longer is of no use.
    Lost(Missed),
    /// An effect could not be made durable; nothing that depends on it has left this node.
    NotDurable(Box<dyn Error + Send + Sync>),
    /// A message cannot be sent at all.
    Send(SendError),
    /// A party of the session has no route.
    NoRoute(PartyIndex),
    /// A computation panicked; the session is lost and nothing of that step has left this node.
    Crashed,
    /// The network was shut down.
    ShutDown,
    /// It was called off from this side, while it waited: no message that had been taken in was left unchecked.
    CalledOff,
}

/// Whom a session waited for when it was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Number, from 1, and name of the round.
    pub round: Option<(u8, &'static str)>,
    /// Who owed a message of that round.
    pub awaiting: Vec<PartyIndex>,
    /// Those of `awaiting` with whom there was no connection.
    pub unconnected: Vec<PartyIndex>,
    /// Those of `awaiting` whose node restarted since the session began.
    pub restarted: Vec<PartyIndex>,
    /// How long the session ran.
    pub waited: Duration,
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted(abort) => write!(f, "{abort}"),
            Self::PeerAborted(party) => {
                write!(f, "party {party} ended the session without a reason: its own log says why")
            }
            Self::Deadline(missed) => write!(f, "no answer in time: {missed}"),
            Self::Lost(missed) => write!(f, "given up early: {missed}"),
            Self::NotDurable(error) => {
                write!(
                    f,
                    "cannot store what must be stored before going on, so the session is given up: {error}"
                )
            }
            Self::Send(error) => write!(f, "{error}"),
            Self::NoRoute(party) => {
                write!(f, "party {party} has no address on this node: configure it as a peer")
            }
            Self::Crashed => {
                f.write_str("a computation of the session failed unexpectedly: report this as a bug")
            }
            Self::ShutDown => f.write_str("this node is shutting down"),
            Self::CalledOff => f.write_str("the session was called off"),
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} ms waiting for ", self.waited.as_millis())?;
        for (at, party) in self.awaiting.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let state = match (self.restarted.contains(party), self.unconnected.contains(party)) {
                (true, _) => " (restarted)",
                (false, true) => " (not connected)",
                (false, false) => "",
            };
            write!(f, "{comma}party {party}{state}")?;
        }
        if let Some((number, name)) = self.round {
            write!(f, " in round {number}, {name}")?;
        }
        Ok(())
    }
}

impl Error for DriverError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotDurable(error) => {
                let error: &(dyn Error + 'static) = error.as_ref();
                Some(error)
            }
            Self::Aborted(_)
            | Self::PeerAborted(_)
            | Self::Deadline(_)
            | Self::Lost(_)
            | Self::Send(_)
            | Self::NoRoute(_)
            | Self::Crashed
            | Self::ShutDown
            | Self::CalledOff => None,
        }
    }
}

/// Where the steps of a session are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// Where they are driven: each takes a fraction of a millisecond, about as long as handing it over and back.
    Here,
    /// Off the executor, which they would hold up.
    Apart,
}

impl Steps {
    /// Runs synchronous work, such as [`Session::start`].
    ///
    /// # Errors
    /// [`DriverError::Crashed`] when it panics.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DriverError> {
        match self {
            // What it moved in is gone with it, so nobody sees it half changed.
            Self::Here => catch_unwind(AssertUnwindSafe(work)).map_err(|_| DriverError::Crashed),
            Self::Apart => tokio::task::spawn_blocking(work).await.map_err(|_| DriverError::Crashed),
        }
    }
}

/// How long a session may take, what ends it before, and where it computes.
#[derive(Debug, Clone)]
pub struct Patience {
    /// From the call of [`run`].
    pub within: Duration,
    /// Ends it early, and only where it waits for others: a step that has begun is finished together with everything that
    /// follows from it. Were a session broken off between a failed check and the burn that it demands, whoever can have
    /// sessions called off could test a secret bit by bit.
    pub called_off: CancellationToken,
    /// Where its steps are computed.
    pub steps: Steps,
}

impl From<Duration> for Patience {
    /// Nobody calls it off, and its steps are heavy.
    fn from(within: Duration) -> Self {
        Self { within, called_off: CancellationToken::new(), steps: Steps::Apart }
    }
}

/// Runs `session` to its end, as long as `patience` allows. The mailbox belongs to this session and is closed
/// when the session ends. A computation in progress when time is over is awaited, not broken off.
///
/// # Errors
/// [`DriverError`]: a failed check with its blame, the party that ended the session, or exactly who
/// did not answer in time or was lost.
pub async fn run<O: Send + 'static, E: Effects>(
    session: Session<O>,
    mailbox: Mailbox,
    network: &Network,
    routes: &Routes,
    effects: &E,
    patience: impl Into<Patience>,
    progress: impl FnMut(Progress),
) -> Result<O, DriverError> {
    let begun = Instant::now();
    let Patience { within, called_off, steps } = patience.into();
    let unrouted = |party: &PartyIndex| *party != session.party() && routes.peer(*party).is_none();
    if let Some(party) = session.committee().indices().find(unrouted) {
        return Err(DriverError::NoRoute(party));
    }
    // A time beyond what the clock can count is a deadline that never comes.
    let deadline = begun.checked_add(within).unwrap_or_else(|| begun + Duration::from_secs(u32::MAX.into()));
    let (changes, instances) = (network.changes(), BTreeMap::new());
    let mut run = Run {
        mailbox,
        network,
        routes,
        effects,
        begun,
        deadline,
        called_off,
        steps,
        progress,
        changes,
        instances,
    };
    let result = run.until_end(session).await;
    let bytes = run.mailbox.bytes();
    (run.progress)(Progress::Ended { bytes, elapsed: begun.elapsed() });
    result
}

struct Run<'a, E, P> {
    mailbox: Mailbox,
    network: &'a Network,
    routes: &'a Routes,
    effects: &'a E,
    begun: Instant,
    deadline: Instant,
    called_off: CancellationToken,
    steps: Steps,
    progress: P,
    changes: watch::Receiver<u64>,
    /// The run of each party's node that takes part.
    instances: BTreeMap<PartyIndex, Instance>,
}

impl<E: Effects, P: FnMut(Progress)> Run<'_, E, P> {
    async fn until_end<O: Send + 'static>(&mut self, mut session: Session<O>) -> Result<O, DriverError> {
        loop {
            if let Some(output) = self.put_out(&mut session).await? {
                return output.map_err(ended_by);
            }
            let round = session.round();
            let started = Instant::now();
            if let Some((number, name)) = round {
                (self.progress)(Progress::RoundStarted { number, name, awaiting: session.awaiting() });
            }
            while !session.is_ready() {
                self.take_in(&mut session).await?;
                if let Some(output) = session.poll_output() {
                    return output.map_err(ended_by);
                }
            }
            let computing = Instant::now();
            let step = move || {
                session.step();
                session
            };
            session = self.steps.run(step).await?;
            if let Some((number, name)) = round {
                let (elapsed, computing) = (started.elapsed(), computing.elapsed());
                (self.progress)(Progress::RoundFinished { number, name, elapsed, computing });
            }
        }
    }

    /// Effects, then messages, then the output: never in another order.
    async fn put_out<O: 'static>(
        &mut self,
        session: &mut Session<O>,
    ) -> Result<Option<Result<O, Abort>>, DriverError> {
        let wanted: Vec<Effect> = std::iter::from_fn(|| session.poll_effect()).collect();
        if !wanted.is_empty() {
            // Not under the deadline: a write that is broken off would leave its outcome unknown.
            self.effects.make_durable(wanted).await.map_err(|error| DriverError::NotDurable(error.into()))?;
            session.effects_durable();
        }
        let transmits: Vec<Transmit> = std::iter::from_fn(|| session.poll_transmit()).collect();
        self.send(transmits).await?;
        Ok(session.poll_output())
    }

    /// To all at once: a peer that takes nothing does not hold up the others.
    async fn send(&mut self, transmits: Vec<Transmit>) -> Result<(), DriverError> {
        let (network, routes, tag) = (self.network, self.routes, self.mailbox.tag());
        let sending = transmits.into_iter().map(|Transmit { to, bytes }| async move {
            let peer = routes.peer(to).ok_or(DriverError::NoRoute(to))?;
            Ok((to, network.send(peer, tag, Bytes::from_owner(bytes)).await))
        });
        // When the time is over meanwhile, waiting for the answers says who is missing.
        let Ok(sent) = timeout_at(self.deadline, join_all(sending)).await else { return Ok(()) };
        for sent in sent {
            match sent? {
                (_, Ok(())) => {}
                (to, Err(error @ (SendError::NotConnected { .. } | SendError::Stalled { .. }))) => {
                    (self.progress)(Progress::NotSent { to, error });
                }
                (_, Err(SendError::ShutDown)) => return Err(DriverError::ShutDown),
                (_, Err(error)) => return Err(DriverError::Send(error)),
            }
        }
        Ok(())
    }

    /// Waits for one frame and gives it to the session.
    async fn take_in<O: 'static>(&mut self, session: &mut Session<O>) -> Result<(), DriverError> {
        let (peer, frame) = loop {
            // Looked at first: a member that sends without end must not hold the session open.
            if Instant::now() >= self.deadline {
                return Err(DriverError::Deadline(self.missed(session)));
            }
            let lost_at = self.lost_at(session);
            let wake = lost_at.map_or(self.deadline, |at| at.min(self.deadline));
            tokio::select! {
                biased;
                received = self.mailbox.recv() => break received.ok_or(DriverError::ShutDown)?,
                () = sleep_until(wake) => {
                    if lost_at.is_some_and(|at| Instant::now() >= at) {
                        return Err(DriverError::Lost(self.missed(session)));
                    }
                }
                // After what has come already: what is here when somebody calls off is still judged.
                () = self.called_off.cancelled() => return Err(DriverError::CalledOff),
                changed = self.changes.changed() => changed.map_err(|_| DriverError::ShutDown)?,
            }
        };
        // The mailbox takes frames of its members only; a member without a route has nothing to say.
        let Some(from) = self.routes.party(peer) else { return Ok(()) };
        (self.progress)(match session.handle_message(from, &frame) {
            Ok(()) => Progress::Received { from, awaiting: session.awaiting() },
            Err(why) => {
                tracing::debug!(session = %session.id(), %from, ?why, "frame rejected");
                Progress::Rejected { from, why }
            }
        });
        Ok(())
    }

    /// When to stop waiting for somebody who is awaited, as far as can be told now.
    fn lost_at<O: 'static>(&mut self, session: &Session<O>) -> Option<Instant> {
        let grace = self.network.limits().absence_grace;
        let mut earliest = None;
        for party in session.awaiting() {
            let Some(peer) = self.routes.peer(party) else { continue };
            let (instance, down_since) = self.network.presence(peer);
            let restarted = instance.is_some_and(|now| *self.instances.entry(party).or_insert(now) != now);
            let lost_at = match down_since {
                // Who is no peer any more does not come back to this session.
                _ if restarted || !self.network.is_peer(peer) => self.begun,
                Some(since) => Instant::from_std(since).max(self.begun) + grace,
                None => continue,
            };
            earliest = Some(earliest.map_or(lost_at, |at: Instant| at.min(lost_at)));
        }
        earliest
    }

    fn missed<O: 'static>(&self, session: &Session<O>) -> Missed {
        let awaiting = session.awaiting();
        let presence = |party: &PartyIndex| {
            self.routes.peer(*party).map_or((None, None), |peer| self.network.presence(peer))
        };
        let (unconnected, restarted) = (
            awaiting.iter().copied().filter(|party| presence(party).1.is_some()).collect(),
            awaiting
                .iter()
                .copied()
                .filter(|party| {
                    let before = self.instances.get(party);
                    before.is_some_and(|before| presence(party).0.is_some_and(|now| now != *before))
                })
                .collect(),
        );
        Missed { round: session.round(), awaiting, unconnected, restarted, waited: self.begun.elapsed() }
    }
}

fn ended_by(abort: Abort) -> DriverError {
    match abort.blame.party() {
        Some(party) if abort.check == Check::PeerAborted => DriverError::PeerAborted(party),
        _ => DriverError::Aborted(abort),
    }
}

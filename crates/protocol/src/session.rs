//! The sans-I/O session: collects, bounds, authenticates and echoes messages, so that a protocol is only its round functions.
//! Spec: `spec/01-session.md`, steps SESSION.1–SESSION.8.

mod frame;
mod round;
#[cfg(feature = "tamper")]
pub mod tamper;

pub use self::frame::{MAX_FRAME, proves_equivocation};
pub use self::round::{Context, Effect, Received, Round, Turn};

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use zeroize::Zeroizing;

use self::frame::{ABORT_ROUND, Equivocation, Frame, Seen, VERSION, is_signed, signed_bytes};
use self::round::{AnyRound, Next, RawMessage};
use crate::abort::{Abort, Blame, Check, Consequence};
use crate::party::{Committee, Identity, PartyIndex};
use crate::per_peer::PerPeer;
use crate::rng::{Entropy, HedgedRng};
use crate::transcript::{Transcript, tags};
use alloc::boxed::Box;

/// Identifies one run of one protocol. Must be unique; it is a hash over everything the parties agreed on before they start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct SessionId(pub [u8; 32]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for b in self.0.iter().take(8) {
            write!(f, "{b:02x}")?;
        }
        Ok(())
    }
}

/// What every session needs to know.
pub struct Params {
    /// Unique name of the run.
    pub session: SessionId,
    /// Ourselves; a member of the committee.
    pub me: PartyIndex,
    /// All parties of the run, ourselves included.
    pub committee: Committee,
    /// Signs our broadcasts; must be the identity that the committee lists for us.
    pub identity: Arc<dyn Identity>,
    /// Fresh randomness of the operating system.
    pub entropy: Entropy,
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Params({} as {} of {})", self.session, self.me, self.committee.len())
    }
}

/// Parameters under which no session can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadParams {
    /// We are not a member, or our identity is not the one the committee lists.
    NotAMember,
    /// The session identifier is all zero (test plan A8).
    ZeroSession,
    /// The parties cannot run this protocol for this key.
    Unsuitable(&'static str),
    /// The pairwise set-up with this party of the quorum is burned, or there is none. No session with it starts before the key is refreshed:
    /// to try again is of no use (test plan A4).
    Burned(PartyIndex),
}
impl fmt::Display for BadParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAMember => f.write_str("this party is not a member of the committee under its identity"),
            Self::ZeroSession => f.write_str("the session identifier is zero"),
            Self::Unsuitable(why) => f.write_str(why),
            Self::Burned(peer) => {
                write!(
                    f,
                    "the pairwise set-up with party {peer} is burned; do not try again, refresh the key"
                )
            }
        }
    }
}
impl core::error::Error for BadParams {}

/// A frame to send.
pub struct Transmit {
    /// The receiver.
    pub to: PartyIndex,
    /// The bytes; they may hold secrets for the receiver, so the channel must be encrypted and authenticated. Erased when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
}
impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transmit(to {}, {} bytes)", self.to, self.bytes.len())
    }
}

/// Why a frame was dropped. The session goes on as if it had not come (test plan C17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The sender is no peer of this session.
    Stranger,
    /// Longer than [`MAX_FRAME`], or than the session's own limit.
    TooLong,
    /// Not a frame.
    Malformed,
    /// Another version, session or receiver.
    Misdirected,
    /// The sender named inside is not the one of the channel (test plan S10).
    Spoofed,
    /// A round that is over, or one that the sender cannot have reached.
    WrongRound,
    /// This peer's message of this round is already here.
    Duplicate,
    /// The session has ended.
    Finished,
}

struct Live<O> {
    round: Box<dyn AnyRound<O>>,
    number: u8,
    /// Our own broadcast of this round, if the round is signed.
    own: Option<Seen>,
    received: BTreeMap<PartyIndex, Frame>,
    /// Frames of peers that are one round ahead.
    early: BTreeMap<PartyIndex, Frame>,
    /// Signed broadcasts of the round before, ours included; empty if it had none.
    before: Vec<(PartyIndex, Seen)>,
}

/// One party's view of one protocol run. No I/O, no clock, no threads.
///
/// Three kinds of methods:
/// - getters (`&self`): [`party`](Self::party), [`round`](Self::round), [`awaiting`](Self::awaiting), [`is_ready`](Self::is_ready);
/// - input: [`handle_message`](Self::handle_message), then [`step`](Self::step) when `is_ready` — the step is where the
///   computation happens, so a driver runs it off its executor;
/// - output, after construction and after every `step`, in this order until each returns `None`:
///   [`poll_effect`](Self::poll_effect), then [`effects_durable`](Self::effects_durable) once all effects are on disk, then
///   [`poll_transmit`](Self::poll_transmit), then [`poll_output`](Self::poll_output). Until the effects are acknowledged there is
///   nothing to transmit and no output.
///
/// `handle_message` never fails the run for bytes of an unknown, spoofed or duplicate sender; it returns [`Rejected`], and the caller may
/// count it. Only a failed protocol check, or a peer that ends the session, ends the run, through `poll_output`. The caller owns
/// deadlines: to give up, it drops the session and reports `awaiting()`. Sessions cannot be saved or cloned, by design.
pub struct Session<O> {
    id: SessionId,
    me: PartyIndex,
    committee: Committee,
    identity: Arc<dyn Identity>,
    rng: HedgedRng,
    max_frame: usize,
    live: Option<Live<O>>,
    effects: VecDeque<Effect>,
    undurable: bool,
    transmits: VecDeque<Transmit>,
    output: Option<Result<O, Abort>>,
}

impl<O: 'static> fmt::Debug for Session<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} as {}, {:?})", self.id, self.me, self.round())
    }
}

impl<O: 'static> Session<O> {
    /// Starts a protocol. `secret` hedges the randomness: any long-lived secret of ours, or empty. `start` computes the first messages.
    ///
    /// # Errors
    /// [`BadParams`] if we are not a member; nobody else is to blame.
    pub fn start(
        params: Params,
        secret: &[u8],
        start: impl FnOnce(&mut Context<'_>) -> Result<Turn<O>, BadParams>,
    ) -> Result<Self, BadParams> {
        Self::start_sized(params, secret, MAX_FRAME, start)
    }

    /// The same for a protocol whose frames may be longer than [`MAX_FRAME`], because of a size that the parties agreed on beforehand.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_sized(
        params: Params,
        secret: &[u8],
        max_frame: usize,
        start: impl FnOnce(&mut Context<'_>) -> Result<Turn<O>, BadParams>,
    ) -> Result<Self, BadParams> {
        let Params { session: id, me, committee, identity, entropy } = params;
        // SESSION.1
        if id.0 == [0; 32] {
            return Err(BadParams::ZeroSession);
        }
        if committee.get(me).is_none_or(|p| p.identity != identity.public()) {
            return Err(BadParams::NotAMember);
        }
        let rng = HedgedRng::new(entropy, secret, &id.0);
        let mut session = Self {
            id,
            me,
            committee,
            identity,
            rng,
            max_frame,
            live: None,
            effects: VecDeque::new(),
            undurable: false,
            transmits: VecDeque::new(),
            output: None,
        };
        let turn = start(&mut session.context([0; 32]))?;
        session.take_turn(turn, 1, BTreeMap::new(), Vec::new());
        Ok(session)
    }

    fn context(&mut self, digest: [u8; 32]) -> Context<'_> {
        Context {
            session: self.id,
            me: self.me,
            committee: &self.committee,
            identity: &*self.identity,
            rng: &mut self.rng,
            digest,
        }
    }

    /// The session's name.
    pub const fn id(&self) -> SessionId {
        self.id
    }
    /// Ourselves.
    pub const fn party(&self) -> PartyIndex {
        self.me
    }
    /// All parties of the session.
    pub const fn committee(&self) -> &Committee {
        &self.committee
    }
    /// Number, from 1, and name of the round that is awaited; `None` once the session has ended.
    pub fn round(&self) -> Option<(u8, &'static str)> {
        self.live.as_ref().map(|l| (l.number, l.round.name()))
    }
    /// Who still owes a message of this round.
    pub fn awaiting(&self) -> Vec<PartyIndex> {
        let Some(live) = &self.live else { return Vec::new() };
        self.committee.indices().filter(|i| *i != self.me && !live.received.contains_key(i)).collect()
    }
    /// Whether [`step`](Self::step) has something to do.
    pub fn is_ready(&self) -> bool {
        !self.undurable && self.live.as_ref().is_some_and(|l| l.received.len() + 1 == self.committee.len())
    }

    /// Takes a frame that came from `from` over an authenticated channel.
    ///
    /// # Errors
    /// [`Rejected`] says why the frame was dropped; the session is unchanged.
    pub fn handle_message(&mut self, from: PartyIndex, bytes: &[u8]) -> Result<(), Rejected> {
        // SESSION.2  strays are dropped, never fatal
        let Some(live) = &mut self.live else { return Err(Rejected::Finished) };
        if from == self.me || self.committee.get(from).is_none() {
            return Err(Rejected::Stranger);
        }
        if bytes.len() > self.max_frame {
            return Err(Rejected::TooLong);
        }
        let frame: Frame = borsh::from_slice(bytes).map_err(|_| Rejected::Malformed)?;
        if frame.from != from {
            return Err(Rejected::Spoofed);
        }
        if frame.version != VERSION || frame.session != self.id || frame.to != self.me {
            return Err(Rejected::Misdirected);
        }
        if frame.round == ABORT_ROUND {
            // Nothing of a dead session leaves any more, in particular no partial signature that still waits for its effect.
            self.live = None;
            self.transmits.clear();
            self.output = Some(Err(Abort::new(Check::PeerAborted, Blame::Reported(from))));
            return Ok(());
        }
        let place = if frame.round == live.number {
            &mut live.received
        } else if Some(frame.round) == live.number.checked_add(1) {
            &mut live.early
        } else {
            return Err(Rejected::WrongRound);
        };
        if place.contains_key(&from) {
            return Err(Rejected::Duplicate);
        }
        place.insert(from, frame);
        Ok(())
    }

    /// Runs the round if every peer's message is here. Does nothing otherwise.
    pub fn step(&mut self) {
        if !self.is_ready() {
            return;
        }
        let Some(live) = self.live.take() else { return };
        if let Err(abort) = self.advance(live) {
            self.fail(abort);
        }
    }

    fn advance(&mut self, live: Live<O>) -> Result<(), Abort> {
        let Live { round, number, own, received, early, before } = live;
        let broadcasts = round.broadcasts();
        // SESSION.3  a signature that nobody will echo is evidence and nothing else: it is looked at when a check fails
        let many = self.committee.len() > 2;
        let evidence_only = !many || round.is_last();
        let mut contents: Vec<(PartyIndex, Seen)> = own.into_iter().map(|seen| (self.me, seen)).collect();
        for (&peer, frame) in &received {
            contents.extend(Self::seen(peer, frame, own.is_some())?.map(|seen| (peer, seen)));
        }
        contents.sort_by_key(|(i, _)| *i);
        if !evidence_only {
            self.authenticate(&contents, number)?;
        }
        // SESSION.4  before the protocol looks at anything
        for (&peer, frame) in &received {
            self.check_echo(peer, frame, number, &before)?;
        }
        // SESSION.5
        let digest = if broadcasts {
            let items = contents.iter().map(|(i, seen)| {
                let mut item = [0u8; 34];
                let (index, content) = item.split_at_mut(2);
                index.copy_from_slice(&i.get().to_le_bytes());
                content.copy_from_slice(&seen.content);
                item
            });
            Transcript::new(tags::ECHO).absorb("session", &self.id.0).absorb_all("contents", items).digest()
        } else {
            [0; 32]
        };
        let mut received = received;
        let raw = PerPeer::try_from_fn(&self.committee, self.me, |peer| {
            let frame = received.remove(&peer).ok_or_else(|| Abort::by(peer, Check::Malformed))?;
            Ok(RawMessage { broadcast: frame.broadcast, direct: frame.direct })
        })?;
        // SESSION.6
        let turn = match round.receive(raw, &mut self.context(digest)) {
            Ok(turn) => turn,
            // A peer whose signature is wrong is named for that: what it sent convinces nobody else. A burn stays a burn.
            Err(abort) if evidence_only && abort.consequence == Consequence::Retry => {
                return Err(self.authenticate(&contents, number).err().unwrap_or(abort));
            }
            Err(abort) => return Err(abort),
        };
        // What will be echoed is signed, whatever the round says of itself.
        if evidence_only && many && matches!(turn.next, Next::Await { .. }) {
            self.authenticate(&contents, number)?;
        }
        // Between two parties there is nobody to tell something else: no echo.
        let before = if broadcasts && many { contents } else { Vec::new() };
        let next = number.checked_add(1).unwrap_or(ABORT_ROUND);
        self.take_turn(turn, next, early, before);
        Ok(())
    }

    /// What the peer said to everybody, with the signature it gave; `None` where the round is not signed.
    fn seen(peer: PartyIndex, frame: &Frame, signed: bool) -> Result<Option<Seen>, Abort> {
        match (signed, frame.signature) {
            (false, None) if frame.echo.is_empty() => Ok(None),
            (true, Some(signature)) => Ok(Some(Seen { content: frame.content(), signature })),
            _ => Err(Abort::by(peer, Check::Malformed)),
        }
    }

    /// Checks the signatures of all peers.
    fn authenticate(&self, contents: &[(PartyIndex, Seen)], round: u8) -> Result<(), Abort> {
        for (peer, seen) in contents.iter().filter(|(i, _)| *i != self.me) {
            let key = self.committee.get(*peer).map(|p| p.identity);
            if !key.is_some_and(|key| is_signed(self.id, round, *peer, &key, seen)) {
                return Err(Abort::by(*peer, Check::BroadcastSignature));
            }
        }
        Ok(())
    }

    /// Compares what `peer` says it saw in the round before with what we saw.
    fn check_echo(
        &self,
        peer: PartyIndex,
        frame: &Frame,
        round: u8,
        before: &[(PartyIndex, Seen)],
    ) -> Result<(), Abort> {
        let expected = before.iter().filter(|(i, _)| *i != peer);
        if frame.echo.len() != expected.clone().count() {
            return Err(Abort::by(peer, Check::Malformed));
        }
        for ((author, ours), theirs) in expected.zip(&frame.echo) {
            if ours.content == theirs.content {
                continue;
            }
            let key = self.committee.get(*author).map(|p| p.identity);
            let earlier = round.saturating_sub(1);
            let proven = key.is_some_and(|key| is_signed(self.id, earlier, *author, &key, theirs));
            if !proven {
                return Err(Abort::by(peer, Check::FalseEcho));
            }
            let proof =
                Equivocation { session: self.id, round: earlier, author: *author, seen: [*ours, *theirs] };
            let mut abort = Abort::by(*author, Check::Equivocation);
            abort.evidence = crate::message::encode(&proof);
            return Err(abort);
        }
        Ok(())
    }

    fn take_turn(
        &mut self,
        turn: Turn<O>,
        number: u8,
        received: BTreeMap<PartyIndex, Frame>,
        before: Vec<(PartyIndex, Seen)>,
    ) {
        // SESSION.7  the output methods hold everything back until the effects are durable
        self.undurable = !turn.effects.is_empty();
        self.effects.extend(turn.effects);
        match turn.next {
            Next::Done(output) => self.output = Some(Ok(output)),
            Next::Await { round, broadcast, direct } => {
                let signed = round.broadcasts() || !before.is_empty();
                let echo_for: Vec<Seen> =
                    before.iter().filter(|(i, _)| *i != self.me).map(|(_, seen)| *seen).collect();
                let mut frame = Frame {
                    version: VERSION,
                    session: self.id,
                    round: number,
                    from: self.me,
                    to: self.me,
                    echo: echo_for,
                    broadcast,
                    signature: None,
                    direct: Zeroizing::new(Vec::new()),
                };
                let own = signed.then(|| {
                    let content = frame.content();
                    let signature = self.identity.sign(&signed_bytes(self.id, number, self.me, &content));
                    Seen { content, signature }
                });
                frame.signature = own.map(|o| o.signature);
                for (to, body) in direct {
                    frame.to = to;
                    frame.direct = body;
                    self.transmits.push_back(Transmit { to, bytes: frame.encode() });
                }
                let early = BTreeMap::new();
                self.live = Some(Live { round, number, own, received, early, before });
            }
        }
    }

    fn fail(&mut self, abort: Abort) {
        // SESSION.8  burn first, then one notice for all
        self.live = None;
        self.transmits.clear();
        if let Consequence::Burn(peer) = abort.consequence {
            self.effects.push_back(Effect::Burn { peer, check: abort.check });
            self.undurable = true;
        }
        let notices = self.committee.indices().filter(|&to| to != self.me).map(|to| {
            // One notice for every reason: a peer must not learn which check failed.
            let notice = Frame {
                version: VERSION,
                session: self.id,
                round: ABORT_ROUND,
                from: self.me,
                to,
                echo: Vec::new(),
                broadcast: Vec::new(),
                signature: None,
                direct: Zeroizing::new(Vec::new()),
            };
            Transmit { to, bytes: notice.encode() }
        });
        self.transmits.extend(notices);
        self.output = Some(Err(abort));
    }

    /// Next change that must become durable.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }
    /// The caller confirms that every effect taken so far is durable. Ignored while effects are still queued.
    pub fn effects_durable(&mut self) {
        self.undurable = !self.effects.is_empty();
    }
    /// Next frame to send; `None` while an effect is not yet durable.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if self.undurable { None } else { self.transmits.pop_front() }
    }
    /// The result, once; `None` before the end, and while an effect is not yet durable.
    pub fn poll_output(&mut self) -> Option<Result<O, Abort>> {
        if self.undurable { None } else { self.output.take() }
    }
}

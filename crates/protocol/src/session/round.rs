//! What a protocol author writes: typed round states that turn a full set of messages into the next state.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use zeroize::Zeroizing;

use super::SessionId;
use crate::abort::{Abort, Check};
use crate::message::{Channel, Message, Nothing, decode, encode, encode_secret};
use crate::party::{Committee, Identity, PartyId, PartyIndex};
use crate::per_peer::PerPeer;
use crate::rng::HedgedRng;

/// What a round function may use beside its own state.
pub struct Context<'a> {
    /// The session.
    pub session: SessionId,
    /// Ourselves.
    pub me: PartyIndex,
    /// All parties of the session, ourselves included.
    pub committee: &'a Committee,
    /// Our long-term identity, for signatures that outlive the session.
    pub identity: &'a dyn Identity,
    /// The session's randomness.
    pub rng: &'a mut HedgedRng,
    /// Digest of all broadcasts of the round just received, in order of index; all parties that go on hold the same one or the
    /// next round names the equivocator. Zero where the round had no broadcast and in `start`.
    pub digest: [u8; 32],
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} as {})", self.session, self.me)
    }
}

impl Context<'_> {
    /// Long-term identity of a party of this session.
    pub fn id_of(&self, index: PartyIndex) -> PartyId {
        self.committee.get(index).map_or(PartyId([0; 32]), |p| p.identity.party_id())
    }
}

/// What one peer sent in one round.
#[derive(Debug)]
pub struct Received<B, D> {
    /// The same for all parties; signed, and echoed in the next round.
    pub broadcast: B,
    /// For us.
    pub direct: D,
}

/// A state that waits for one message of each peer and then computes.
///
/// Implementors hold secrets: no `Clone`, no serialisation, no revealing `Debug`. The messages that a party sends when it enters the
/// state have the same types as those it waits for.
pub trait Round: Send + Sized + 'static {
    /// What each peer broadcasts; [`Nothing`] if the round has no broadcast.
    type Broadcast: Message;
    /// What each peer sends to us alone; [`Nothing`] if the round has no such message.
    type Direct: Message;
    /// Result of the whole protocol.
    type Output;
    /// What the round does, for progress displays.
    const NAME: &'static str;
    /// Whether nothing is sent after this round. Its broadcasts are then not echoed, and their signatures serve as evidence only: they
    /// are checked when something else fails. A round that sends something all the same has them checked first.
    const LAST: bool = false;

    /// Consumes the state and one message of each peer.
    ///
    /// # Errors
    /// An [`Abort`] that names the failed check and who is to blame.
    fn receive(
        self,
        inbox: PerPeer<Received<Self::Broadcast, Self::Direct>>,
        context: &mut Context<'_>,
    ) -> Result<Turn<Self::Output>, Abort>;
}

/// A change that must be durable before any message that follows it leaves the process.
pub enum Effect {
    /// The OT instances shared with this peer must never be used again, in any process, after any restart.
    Burn {
        /// The peer.
        peer: PartyIndex,
        /// The check that failed.
        check: Check,
    },
    /// A one-time secret of this session is about to leave. Of a signature: the message counts as signed from now on (`spec/24-sign.md`).
    /// Of presigning: what the session made is void and never used (`spec/24-presign.md`).
    Consume,
    /// Secret state to seal and store.
    Persist {
        /// What it is.
        what: &'static str,
        /// Its bytes.
        bytes: Zeroizing<Vec<u8>>,
    },
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Burn { peer, check } => write!(f, "Burn({peer}, {})", check.code()),
            Self::Consume => f.write_str("Consume"),
            Self::Persist { what, .. } => write!(f, "Persist({what})"),
        }
    }
}

/// What a round function returns: effects, and either the next state with its messages or the result.
pub struct Turn<O> {
    pub(super) effects: Vec<Effect>,
    pub(super) next: Next<O>,
}

impl<O> fmt::Debug for Turn<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turn({:?})", self.effects)
    }
}

pub(super) enum Next<O> {
    Await { round: Box<dyn AnyRound<O>>, broadcast: Vec<u8>, direct: PerPeer<Zeroizing<Vec<u8>>> },
    Done(O),
}

impl<O: 'static> Turn<O> {
    /// Go on: send these messages, then wait for the same kinds from every peer.
    pub fn next<R: Round<Output = O>>(
        state: R,
        broadcast: &R::Broadcast,
        direct: PerPeer<R::Direct>,
    ) -> Self {
        let broadcast = encode(broadcast);
        let direct = direct.map(|_, m| encode_secret(&m));
        Self { effects: Vec::new(), next: Next::Await { round: Box::new(state), broadcast, direct } }
    }

    /// Go on with a round that has only a broadcast.
    pub fn broadcast<R: Round<Output = O, Direct = Nothing>>(
        state: R,
        broadcast: &R::Broadcast,
        context: &Context<'_>,
    ) -> Self {
        Self::next(state, broadcast, PerPeer::from_fn(context.committee, context.me, |_| Nothing))
    }

    /// The protocol is complete.
    pub const fn done(output: O) -> Self {
        Self { effects: Vec::new(), next: Next::Done(output) }
    }

    /// Adds an effect that must be durable before this turn's messages leave.
    #[must_use]
    pub fn after(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }
}

/// Bodies of one peer in one round, undecoded.
pub(super) struct RawMessage {
    pub(super) broadcast: Vec<u8>,
    pub(super) direct: Zeroizing<Vec<u8>>,
}

/// A [`Round`] with its types erased.
pub(super) trait AnyRound<O>: Send {
    fn name(&self) -> &'static str;
    fn broadcasts(&self) -> bool;
    fn is_last(&self) -> bool;
    fn receive(
        self: Box<Self>,
        raw: PerPeer<RawMessage>,
        context: &mut Context<'_>,
    ) -> Result<Turn<O>, Abort>;
}

impl<R: Round> AnyRound<R::Output> for R {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn broadcasts(&self) -> bool {
        R::Broadcast::CHANNEL == Channel::Broadcast
    }
    fn is_last(&self) -> bool {
        R::LAST
    }
    fn receive(
        self: Box<Self>,
        raw: PerPeer<RawMessage>,
        context: &mut Context<'_>,
    ) -> Result<Turn<R::Output>, Abort> {
        let inbox = raw.try_map(|peer, raw| {
            let malformed = || Abort::by(peer, Check::Malformed);
            Ok(Received {
                broadcast: decode(&raw.broadcast).ok_or_else(malformed)?,
                direct: decode(&raw.direct).ok_or_else(malformed)?,
            })
        })?;
        (*self).receive(inbox, context)
    }
}

//! A whole committee in one thread: every message passes through one seeded queue that reorders, duplicates, loses, and hands each
//! parcel to an adversary first.

use quorate_protocol::abort::Abort;
use quorate_protocol::party::{Committee, LocalIdentity, Party, PartyIndex};
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{BadParams, Effect, Params, Session, SessionId, tamper};
use quorate_protocol::transcript::{Transcript, Xof, tags};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The identity of party `index` in every test.
pub fn identity(index: u16) -> LocalIdentity {
    let mut seed = [7u8; 32];
    seed[..2].copy_from_slice(&index.to_le_bytes());
    LocalIdentity::from_seed(&seed)
}

/// The committee of the parties with these indices.
///
/// # Panics
/// If an index is zero or stands twice.
pub fn parties(indices: &[u16]) -> Committee {
    use quorate_protocol::party::Identity as _;
    let members =
        indices.iter().map(|&i| Party { index: PartyIndex::new(i).unwrap(), identity: identity(i).public() });
    Committee::new(members.collect()).unwrap()
}

/// Parameters of party `me` in a session; `seed` stands for the operating system's randomness.
///
/// # Panics
/// If `me` is zero.
pub fn params(session: SessionId, committee: &Committee, me: u16, seed: u64) -> Params {
    let mut entropy = [0u8; 32];
    entropy[..8].copy_from_slice(&seed.to_le_bytes());
    entropy[8..10].copy_from_slice(&me.to_le_bytes());
    Params {
        session,
        me: PartyIndex::new(me).unwrap(),
        committee: committee.clone(),
        identity: Arc::new(identity(me)),
        entropy: Entropy::new(entropy),
    }
}

/// A frame on its way.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Sender, as the channel authenticates it.
    pub from: PartyIndex,
    /// Receiver.
    pub to: PartyIndex,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// What the adversary does with a parcel.
#[derive(Debug)]
pub enum Fate {
    /// Deliver it as it is.
    Deliver,
    /// Lose it.
    Drop,
    /// Deliver these instead, in any order.
    Replace(Vec<Parcel>),
}

/// What became of everybody.
#[derive(Debug)]
pub struct Outcome<O> {
    /// Result of each party that ended; a party that still waits is absent.
    pub ended: BTreeMap<PartyIndex, Result<O, Abort>>,
    /// Whom each waiting party waits for.
    pub awaiting: BTreeMap<PartyIndex, Vec<PartyIndex>>,
    /// Effects in order, with the party that asked for them.
    pub effects: Vec<(PartyIndex, Effect)>,
    /// Bytes that each party sent.
    pub sent: BTreeMap<PartyIndex, usize>,
    /// Frames that sessions rejected.
    pub rejected: usize,
}

impl<O> Outcome<O> {
    /// All results, when every party has one.
    ///
    /// # Panics
    /// If a party aborted or still waits; the message says who and why.
    pub fn unwrap_all(self) -> BTreeMap<PartyIndex, O> {
        assert!(self.awaiting.is_empty(), "parties still wait: {:?}", self.awaiting);
        self.ended
            .into_iter()
            .map(|(i, r)| match r {
                Ok(o) => (i, o),
                Err(a) => panic!("party {i} aborted: {a}"),
            })
            .collect()
    }
    /// Every party of the run.
    pub fn parties(&self) -> BTreeSet<PartyIndex> {
        self.ended.keys().chain(self.awaiting.keys()).copied().collect()
    }
    /// The abort of a party, if that is how it ended.
    pub fn abort_of(&self, index: u16) -> Option<&Abort> {
        self.ended.get(&PartyIndex::new(index)?)?.as_ref().err()
    }
}

type Adversary = Box<dyn FnMut(&Parcel) -> Fate>;

/// Sessions of one run, and the network between them.
pub struct World<O> {
    sessions: BTreeMap<PartyIndex, Session<O>>,
    adversary: Adversary,
    stream: Xof,
    /// One parcel in this many is duplicated; 0 for none.
    pub duplicate_one_in: u64,
    /// Frames of this party are delivered only when no others are left.
    pub slow: Option<PartyIndex>,
}

impl<O> std::fmt::Debug for World<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World({:?})", self.sessions.keys())
    }
}

impl<O: 'static> World<O> {
    /// A world with these sessions; the order of deliveries follows from `seed`.
    pub fn new(seed: u64, sessions: impl IntoIterator<Item = Session<O>>) -> Self {
        Self {
            sessions: sessions.into_iter().map(|s| (s.party(), s)).collect(),
            adversary: Box::new(|_| Fate::Deliver),
            stream: Transcript::new(tags::TEST).absorb_u64("seed", seed).xof(),
            duplicate_one_in: 0,
            slow: None,
        }
    }

    /// Starts one session a member with `start`.
    ///
    /// # Panics
    /// If a session refuses its parameters.
    pub fn start(
        seed: u64,
        session: SessionId,
        committee: &Committee,
        mut start: impl FnMut(Params) -> Result<Session<O>, BadParams>,
    ) -> Self {
        let sessions: Vec<_> =
            committee.indices().map(|i| start(params(session, committee, i.get(), seed)).unwrap()).collect();
        Self::new(seed, sessions)
    }

    /// Makes a party silent from a round on: nothing that it sends in that round or later arrives.
    #[must_use]
    pub fn silence(self, party: u16, from_round: u8) -> Self {
        self.with_adversary(move |parcel| {
            let round = tamper::inspect(&parcel.bytes).map_or(u8::MAX, |p| p.round);
            if parcel.from.get() == party && round >= from_round { Fate::Drop } else { Fate::Deliver }
        })
    }

    /// Shows every parcel to an adversary before it is delivered.
    #[must_use]
    pub fn with_adversary(mut self, adversary: impl FnMut(&Parcel) -> Fate + 'static) -> Self {
        self.adversary = Box::new(adversary);
        self
    }

    fn below(&mut self, bound: usize) -> usize {
        let mut bytes = [0u8; 8];
        self.stream.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// Runs until nothing moves.
    ///
    /// # Panics
    /// Never on the account of a session.
    pub fn run(mut self) -> Outcome<O> {
        let mut outcome = Outcome {
            ended: BTreeMap::new(),
            awaiting: BTreeMap::new(),
            effects: Vec::new(),
            sent: BTreeMap::new(),
            rejected: 0,
        };
        let mut queue: Vec<Parcel> = Vec::new();
        let everyone: Vec<PartyIndex> = self.sessions.keys().copied().collect();
        for &i in &everyone {
            self.drain(i, &mut queue, &mut outcome);
        }
        // Parties without peers have nothing to wait for.
        for &i in &everyone {
            self.advance(i, &mut queue, &mut outcome);
        }
        while !queue.is_empty() {
            let mut at = self.below(queue.len());
            if queue.get(at).is_some_and(|p| Some(p.from) == self.slow) {
                at = queue.iter().position(|p| Some(p.from) != self.slow).unwrap_or(at);
            }
            let parcel = queue.swap_remove(at);
            let deliveries = match (self.adversary)(&parcel) {
                Fate::Deliver => vec![parcel],
                Fate::Drop => vec![],
                Fate::Replace(parcels) => parcels,
            };
            for parcel in deliveries {
                if self.duplicate_one_in > 0
                    && self.below(usize::try_from(self.duplicate_one_in).unwrap()) == 0
                {
                    self.deliver(&parcel, &mut queue, &mut outcome);
                }
                self.deliver(&parcel, &mut queue, &mut outcome);
            }
        }
        for (i, session) in &self.sessions {
            if session.round().is_some() {
                outcome.awaiting.insert(*i, session.awaiting());
            }
        }
        outcome
    }

    fn deliver(&mut self, parcel: &Parcel, queue: &mut Vec<Parcel>, outcome: &mut Outcome<O>) {
        let Some(session) = self.sessions.get_mut(&parcel.to) else { return };
        if session.handle_message(parcel.from, &parcel.bytes).is_err() {
            outcome.rejected += 1;
        }
        self.advance(parcel.to, queue, outcome);
    }

    fn advance(&mut self, i: PartyIndex, queue: &mut Vec<Parcel>, outcome: &mut Outcome<O>) {
        while self.sessions.get(&i).is_some_and(Session::is_ready) {
            if let Some(session) = self.sessions.get_mut(&i) {
                session.step();
            }
            self.drain(i, queue, outcome);
        }
        self.drain(i, queue, outcome);
    }

    fn drain(&mut self, i: PartyIndex, queue: &mut Vec<Parcel>, outcome: &mut Outcome<O>) {
        let Some(session) = self.sessions.get_mut(&i) else { return };
        while let Some(effect) = session.poll_effect() {
            assert!(session.poll_transmit().is_none(), "a message left before its effect was durable");
            outcome.effects.push((i, effect));
        }
        session.effects_durable();
        while let Some(transmit) = session.poll_transmit() {
            *outcome.sent.entry(i).or_default() += transmit.bytes.len();
            queue.push(Parcel { from: i, to: transmit.to, bytes: transmit.bytes.to_vec() });
        }
        if let Some(result) = session.poll_output() {
            outcome.ended.insert(i, result);
        }
    }
}

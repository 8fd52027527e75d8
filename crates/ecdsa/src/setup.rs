//! Pairwise set-up: OT seeds in both directions and a seed for shares of zero, for every pair of a key's parties, once per epoch.
//! Spec: `spec/23-setup.md`, steps SETUP.1–SETUP.7.
//!
//! | state            | waits for  | runs              |
//! |------------------|------------|-------------------|
//! | [`start`]        | nothing    | SETUP.1–SETUP.2   |
//! | `AwaitOffers`    | [`Offer`]  | SETUP.3–SETUP.4   |
//! | `AwaitAnswers`   | [`Answer`] | SETUP.5–SETUP.6   |
//! | `AwaitConfirms`  | [`Confirm`]| SETUP.7           |

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_keys::share::KeyShare;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{EcdsaCurve, Multiples, Point};
use quorate_protocol::message::{Channel, Message, Nothing, encode};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{
    BadParams, Context, Effect, Params, Received, Round, Session, SessionId, Turn,
};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_protocol::wire_struct;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::key::Key;
use crate::ot_setup::{
    AllLeaves, PuncturedLeaves, ReceiverStart, Request, Response, SetupFault, confirm_digest,
    confirm_digest_of_bytes, sender_respond,
};
use crate::zero::ZeroSeed;

/// How many multiplications one instance may serve, one for each item of a session (test plan A21). The arguments about masks and
/// multiplications add up what each of them gives away: with so many it stays below 2^-48 (`spec/22-rvole.md`). Whoever keeps the
/// set-up counts, durably and before the session starts, and runs a new set-up, as every refresh does, when they are used up.
pub const MAX_CALLS: u64 = 1 << 32;

/// Version of the encoding at rest.
const FORMAT: u8 = 1;

/// Private message of SETUP.2: the base-OT request of the direction in which the sender of this message will hold Δ, and its half of the zero seed.
pub struct Offer<C: EcdsaCurve> {
    request: Request<C>,
    seed: [u8; 32],
}
impl<C: EcdsaCurve> fmt::Debug for Offer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Offer(..)")
    }
}
wire_struct!(Offer<C: EcdsaCurve> { request, seed });
impl<C: EcdsaCurve> Message for Offer<C> {
    const STEP: &'static str = "SETUP.2";
    const TAG: u16 = 0x0201;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = Request::<C>::MAX_LEN + 32;
}

/// Private message of SETUP.4: the answer to the peer's request.
pub struct Answer<C: EcdsaCurve> {
    response: Response<C>,
}
impl<C: EcdsaCurve> fmt::Debug for Answer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}
wire_struct!(Answer<C: EcdsaCurve> { response });
impl<C: EcdsaCurve> Message for Answer<C> {
    const STEP: &'static str = "SETUP.4";
    const TAG: u16 = 0x0202;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = Response::<C>::MAX_LEN;
}

/// Message of SETUP.6: what each side saw in each direction.
#[derive(Clone, Copy, Debug, BorshSerialize, BorshDeserialize)]
pub struct Confirm {
    /// of the direction in which the sender of this message holds Δ
    mine: [u8; 32],
    /// of the other direction
    yours: [u8; 32],
    /// hash of the zero seed
    zero: [u8; 32],
}
impl Message for Confirm {
    const STEP: &'static str = "SETUP.6";
    const TAG: u16 = 0x0203;
    const CHANNEL: Channel = Channel::Direct;
    const MAX_LEN: usize = 96;
}

/// What two parties share for multiplications. `i` is ourselves, `j` the peer.
struct Pair<C: EcdsaCurve> {
    /// Instance i→j: we hold Δ and act as sender of multiplications.
    sender: PuncturedLeaves<C>,
    /// Instance j→i: the peer holds Δ, we act as receiver.
    receiver: AllLeaves<C>,
    zero: ZeroSeed,
    /// Held while a message of the peer is checked against Δ, so that check and burn are one step for all sessions (test plan A2).
    burned: Mutex<bool>,
}

/// One party's set-up with all others, for one epoch of one key. Shared by all sessions of the process.
pub struct PairwiseSetup<C: EcdsaCurve> {
    epoch_id: [u8; 32],
    pairs: BTreeMap<PartyIndex, Pair<C>>,
    /// Of the key that several signatures were made for first. A set-up serves a key and all keys below it.
    multiples: OnceLock<Arc<Multiples<C>>>,
}

impl<C: EcdsaCurve> fmt::Debug for PairwiseSetup<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PairwiseSetup<{}>({} peers, secrets withheld)", C::ID, self.pairs.len())
    }
}

impl<C: EcdsaCurve> PairwiseSetup<C> {
    /// The epoch that it belongs to.
    pub const fn epoch_id(&self) -> &[u8; 32] {
        &self.epoch_id
    }

    /// Marks the instances with a peer as unusable, in this process. The caller keeps the durable mark.
    pub fn burn(&self, peer: PartyIndex) {
        if let Some(pair) = self.pairs.get(&peer) {
            *pair.burned.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
    }

    /// Whether the instances with a peer are burned; true for a party with whom there is no set-up.
    pub fn is_burned(&self, peer: PartyIndex) -> bool {
        self.pairs.get(&peer).is_none_or(|p| *p.burned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The peers with whom the instances are burned.
    pub fn burned(&self) -> impl Iterator<Item = PartyIndex> {
        self.pairs.keys().copied().filter(|peer| self.is_burned(*peer))
    }

    /// This public key, with a table of its multiples if there is one here. For several signatures at once one is made, for the first key
    /// that asks.
    pub(crate) fn key(&self, point: Point<C>, signatures: usize) -> Key<C> {
        let kept = if signatures > 1 {
            Some(self.multiples.get_or_init(|| Arc::new(Multiples::new(point))))
        } else {
            self.multiples.get()
        };
        let own = kept.filter(|multiples| multiples.point() == point);
        own.map_or(Key::Alone(point), |multiples| Key::Table(Arc::clone(multiples)))
    }

    /// The instance in which we hold Δ towards a peer; public.
    pub(crate) fn sender_id(&self, peer: PartyIndex) -> Option<&[u8; 32]> {
        self.pairs.get(&peer).map(|p| p.sender.ot_id())
    }

    /// The refusal to evaluate anything with a burned pair. It asks for the durable burn again: the session that failed first may not
    /// have stored it yet, and even this refusal tells the peer that one of its guesses was wrong.
    pub(crate) const fn refused(peer: PartyIndex) -> Abort {
        Abort::burning(peer, Check::BurnedInstance)
    }

    /// Runs `check` against the instance in which we hold Δ, unless it is burned. A failure burns it before anybody else can ask.
    ///
    /// # Errors
    /// [`Check::BurnedInstance`] without running the check, or [`Check::OtExtension`]; both blame the pair and ask for a durable burn.
    pub(crate) fn check_with<T, E>(
        &self,
        peer: PartyIndex,
        check: impl FnOnce(&PuncturedLeaves<C>) -> Result<T, E>,
    ) -> Result<T, Abort> {
        let pair = self.pairs.get(&peer).ok_or_else(|| Self::refused(peer))?;
        let mut burned = pair.burned.lock().unwrap_or_else(PoisonError::into_inner);
        if *burned {
            return Err(Self::refused(peer));
        }
        check(&pair.sender).map_err(|_| {
            *burned = true;
            Abort::burning(peer, Check::OtExtension)
        })
    }

    pub(crate) fn receiver(&self, peer: PartyIndex) -> Option<&AllLeaves<C>> {
        self.pairs.get(&peer).map(|p| &p.receiver)
    }

    pub(crate) fn zero_seeds<'a>(
        &'a self,
        peers: impl Iterator<Item = PartyIndex> + 'a,
    ) -> impl Iterator<Item = (PartyIndex, &'a ZeroSeed)> {
        peers.filter_map(|j| self.pairs.get(&j).map(|p| (j, &p.zero)))
    }

    /// Encoding for a sealer. Burn marks are not inside: they are kept where nothing can take them back.
    pub fn secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let each = PuncturedLeaves::<C>::SECRET_LEN + AllLeaves::<C>::SECRET_LEN + 34;
        let mut out = Zeroizing::new(Vec::with_capacity(33 + self.pairs.len() * each));
        out.push(FORMAT);
        out.extend_from_slice(&self.epoch_id);
        for (peer, pair) in &self.pairs {
            out.extend_from_slice(&peer.get().to_le_bytes());
            out.extend_from_slice(pair.zero.expose());
            out.extend_from_slice(&pair.sender.to_secret_bytes());
            out.extend_from_slice(&pair.receiver.to_secret_bytes());
        }
        out
    }

    /// Decodes [`secret_bytes`](Self::secret_bytes); `None` if they are not exactly that. `burned` are the peers that the durable marks
    /// of this epoch name, without exception: a pair that is forgotten here can be tested again, bit by bit.
    pub fn from_secret_bytes(bytes: &[u8], burned: impl IntoIterator<Item = PartyIndex>) -> Option<Self> {
        let (format, rest) = bytes.split_first()?;
        let (epoch_id, mut rest) = rest.split_first_chunk::<32>()?;
        if *format != FORMAT {
            return None;
        }
        let mut pairs = BTreeMap::new();
        let mut last = None;
        while !rest.is_empty() {
            let (index, tail) = rest.split_first_chunk::<2>()?;
            let (zero, tail) = tail.split_first_chunk::<32>()?;
            let (sender, tail) = tail.split_at_checked(PuncturedLeaves::<C>::SECRET_LEN)?;
            let (receiver, tail) = tail.split_at_checked(AllLeaves::<C>::SECRET_LEN)?;
            let index = PartyIndex::new(u16::from_le_bytes(*index))?;
            if last >= Some(index) {
                return None;
            }
            last = Some(index);
            let pair = Pair {
                sender: PuncturedLeaves::from_secret_bytes(sender)?,
                receiver: AllLeaves::from_secret_bytes(receiver)?,
                zero: ZeroSeed::new(*zero),
                burned: Mutex::new(false),
            };
            pairs.insert(index, pair);
            rest = tail;
        }
        let setup = Self { epoch_id: *epoch_id, pairs, multiples: OnceLock::new() };
        burned.into_iter().for_each(|peer| setup.burn(peer));
        Some(setup)
    }
}

/// Name of the secret that [`Effect::Persist`] carries: the bytes of [`PairwiseSetup::secret_bytes`].
pub const PENDING_SETUP: &str = "pending pairwise set-up";

/// `ot_id(i→j)`: binds the epoch, this run and the direction (`spec/23-setup.md`; test plan A9).
fn ot_id(epoch_id: &[u8; 32], session: SessionId, sender: PartyIndex, receiver: PartyIndex) -> [u8; 32] {
    Transcript::new(tags::OT_ID)
        .absorb("epoch", epoch_id)
        .absorb("session", &session.0)
        .absorb_u64("sender", sender.get().into())
        .absorb_u64("receiver", receiver.get().into())
        .digest()
}

/// Starts the set-up among all parties of the key. Three rounds; the first two carry one private message to each peer, so channels must
/// be encrypted. [`Effect::Persist`] hands out the secret bytes, durable before our confirmation leaves; the set-up is usable only
/// with the result, which every party reaches only after all others have stored theirs.
///
/// # Errors
/// [`BadParams`] if the session is not among exactly the key's committee.
pub fn start<C: EcdsaCurve>(
    params: Params,
    share: &KeyShare<C>,
) -> Result<Session<PairwiseSetup<C>>, BadParams> {
    if params.committee != share.public().committee || params.me != share.index() {
        return Err(BadParams::Unsuitable("a pairwise set-up runs among exactly the parties of the key"));
    }
    let epoch_id = share.public().epoch_id();
    Session::start(params, &share.secret_bytes(), move |ctx| {
        // SETUP.1  for each peer: draw Δ and a half of the zero seed
        let mut starts = Vec::new();
        let offers = PerPeer::from_fn(ctx.committee, ctx.me, |j| {
            let (state, request) = ReceiverStart::new(&ot_id(&epoch_id, ctx.session, ctx.me, j), ctx.rng);
            let seed: [u8; 32] = ctx.rng.bytes();
            let copy = encode(&request);
            starts.push((j, Started { state, request: copy, seed: Zeroizing::new(seed) }));
            // SETUP.2
            Offer { request, seed }
        });
        let starts = starts.into_iter().collect();
        Ok(Turn::next(AwaitOffers { epoch_id, starts }, &Nothing, offers))
    })
}

struct Started<C: EcdsaCurve> {
    state: ReceiverStart<C>,
    /// O1 as sent, for the confirmation.
    request: Vec<u8>,
    seed: Zeroizing<[u8; 32]>,
}

struct AwaitOffers<C: EcdsaCurve> {
    epoch_id: [u8; 32],
    starts: BTreeMap<PartyIndex, Started<C>>,
}

fn base_ot_fault(peer: PartyIndex, fault: SetupFault) -> Abort {
    match fault {
        SetupFault::RepeatedPoint | SetupFault::IdentityPoint => Abort::by(peer, Check::BaseOt),
        SetupFault::LeafProof => Abort::new(Check::Pprf, Blame::Edge(peer)),
    }
}

impl<C: EcdsaCurve> Round for AwaitOffers<C> {
    type Broadcast = Nothing;
    type Direct = Offer<C>;
    type Output = PairwiseSetup<C>;
    const NAME: &'static str = "offer";

    fn receive(
        mut self,
        inbox: PerPeer<Received<Nothing, Offer<C>>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<PairwiseSetup<C>>, Abort> {
        let mut halves = BTreeMap::new();
        // SETUP.3  answer each request: all leaves of the direction j→i are ours
        let answers = inbox.try_map(|j, message| {
            let Offer { request, seed } = message.direct;
            let started = self.starts.remove(&j).ok_or_else(|| Abort::by(j, Check::Malformed))?;
            let id = ot_id(&self.epoch_id, ctx.session, j, ctx.me);
            let (receiver, response) =
                sender_respond(&id, &request, ctx.rng).map_err(|f| base_ot_fault(j, f))?;
            let confirm = confirm_digest(&id, &request, &response);
            let zero = zero_seed(ctx, j, &started.seed, &seed);
            halves
                .insert(j, Half { state: started.state, request: started.request, receiver, confirm, zero });
            // SETUP.4
            Ok(Answer { response })
        })?;
        Ok(Turn::next(AwaitAnswers { epoch_id: self.epoch_id, halves }, &Nothing, answers))
    }
}

/// Both halves under both names, in the order of the indices. Third parties see neither half; each of the two may choose its own, which
/// harms nobody: the seed hides the two parties' shares from the others only.
fn zero_seed(ctx: &Context<'_>, peer: PartyIndex, mine: &[u8; 32], theirs: &[u8; 32]) -> ZeroSeed {
    let (low, high) = if ctx.me < peer { (mine, theirs) } else { (theirs, mine) };
    ZeroSeed::new(
        Transcript::new(tags::ZERO_SEED)
            .absorb("session", &ctx.session.0)
            .absorb("low", low)
            .absorb("high", high)
            .digest(),
    )
}

/// What SETUP.6 tells the peer about the zero seed: 256 random bits, so their hash gives nothing away.
fn fingerprint(seed: &ZeroSeed) -> [u8; 32] {
    Transcript::new(tags::OT_CONFIRM).absorb("zero seed", seed.expose()).digest()
}

struct Half<C: EcdsaCurve> {
    state: ReceiverStart<C>,
    request: Vec<u8>,
    receiver: AllLeaves<C>,
    /// of the direction j→i
    confirm: [u8; 32],
    zero: ZeroSeed,
}

struct AwaitAnswers<C: EcdsaCurve> {
    epoch_id: [u8; 32],
    halves: BTreeMap<PartyIndex, Half<C>>,
}

impl<C: EcdsaCurve> Round for AwaitAnswers<C> {
    type Broadcast = Nothing;
    type Direct = Answer<C>;
    type Output = PairwiseSetup<C>;
    const NAME: &'static str = "answer";

    fn receive(
        mut self,
        inbox: PerPeer<Received<Nothing, Answer<C>>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<PairwiseSetup<C>>, Abort> {
        let mut pairs = BTreeMap::new();
        // SETUP.5  recover our leaves of the direction i→j and check their proof
        let confirms = inbox.try_map(|j, message| {
            let half = self.halves.remove(&j).ok_or_else(|| Abort::by(j, Check::Malformed))?;
            let response = message.direct.response;
            let id = ot_id(&self.epoch_id, ctx.session, ctx.me, j);
            let mine = confirm_digest_of_bytes(&id, &half.request, &response);
            let sender = half.state.finish(&response).map_err(|f| base_ot_fault(j, f))?;
            let pair = Pair { sender, receiver: half.receiver, zero: half.zero, burned: Mutex::new(false) };
            let zero = fingerprint(&pair.zero);
            pairs.insert(j, pair);
            Ok(Confirm { mine, yours: half.confirm, zero })
        })?;
        // SETUP.6  durable first, then the confirmation
        let setup = PairwiseSetup { epoch_id: self.epoch_id, pairs, multiples: OnceLock::new() };
        let persist = Effect::Persist { what: PENDING_SETUP, bytes: setup.secret_bytes() };
        let expected = PerPeer::from_fn(ctx.committee, ctx.me, |j| confirms.get(j).copied());
        Ok(Turn::next(AwaitConfirms { setup, expected }, &Nothing, confirms).after(persist))
    }
}

struct AwaitConfirms<C: EcdsaCurve> {
    setup: PairwiseSetup<C>,
    /// What we confirmed to each peer.
    expected: PerPeer<Option<Confirm>>,
}

impl<C: EcdsaCurve> Round for AwaitConfirms<C> {
    type Broadcast = Nothing;
    type Direct = Confirm;
    type Output = PairwiseSetup<C>;
    const NAME: &'static str = "confirm";

    fn receive(
        self,
        inbox: PerPeer<Received<Nothing, Confirm>>,
        _: &mut Context<'_>,
    ) -> Result<Turn<PairwiseSetup<C>>, Abort> {
        // SETUP.7  both sides saw the same in both directions
        for (j, message) in inbox {
            let theirs = message.direct;
            let same = self.expected.get(j).copied().flatten().is_some_and(|ours| {
                let views = ours.mine.ct_eq(&theirs.yours) & ours.yours.ct_eq(&theirs.mine);
                bool::from(views & ours.zero.ct_eq(&theirs.zero))
            });
            if !same {
                return Err(Abort::new(Check::OtConfirmation, Blame::Edge(j)));
            }
        }
        Ok(Turn::done(self.setup))
    }
}

#[cfg(test)]
mod tests;

//! Making presignatures: POOL.2. The nodes agree without a client, each by its own records and configuration.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{Code, Figures, KeyId, OperationId, Problem};
use quorate_net::PeerId;
use quorate_protocol::party::{Committee, PartyIndex};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::shelf::{Gone, Lot, Name, Ticket};
use super::{MAX_BATCH, add};
use crate::ceremony::attempts::standing::Points;
use crate::ceremony::conversation::{Conversation, Said};
use crate::ceremony::member::Line;
use crate::ceremony::protocols::has_setup;
use crate::ceremony::protocols::presign::{self, Part};
use crate::ceremony::{Attempt, Ceremony, Failure, Purpose, quorum};
use crate::control::{Answer, Control, Outcome, Proposal, Refusal, Work};
use crate::keys::OpenKey;
use crate::keys::moving::epoch_of;
use crate::registry::locked;
use crate::shared::{Shared, random};

/// The first pause after a failure; each is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often a key is opened whose pool seems to be full.
const LOOK: Duration = Duration::from_secs(5);

/// What became of an attempt to fill a pool.
struct Filled {
    /// Whether there are still fewer than there may be.
    rising: bool,
    /// Which it was; none of a key that needs no presignatures.
    lot: Option<Lot>,
}

/// What this node knows of its attempts to fill the pool of a key.
#[derive(Default)]
struct Filling {
    /// Not before then.
    until: Option<Instant>,
    failures: u32,
    /// Below the high water since it was below the low one.
    rising: bool,
    /// The lot that was looked at last, and when.
    seen: Option<(Lot, Instant)>,
}

impl Filling {
    /// Puts the next attempt off; longer with each failure, and not by much if others were only busy.
    fn pause(&mut self, problem: &Problem, quiet: Duration) {
        let base = if problem.code == Code::Unavailable {
            quiet
        } else {
            self.failures = self.failures.saturating_add(1);
            FIRST_PAUSE.saturating_mul(1 << self.failures.min(7)).min(LONGEST_PAUSE)
        };
        // So that two that hinder each other do not meet again.
        let jitter = random::<1>().ok().and_then(|bytes| bytes.first().copied()).unwrap_or_default();
        let jitter = base / 256 * u32::from(jitter);
        self.until = Some(Instant::now() + base + jitter);
    }
}

fn refuse(detail: &str) -> Problem {
    Problem::new(Code::Unprocessable, detail)
}

fn busy() -> Problem {
    Problem::new(Code::Unavailable, "this node has other things to do")
}

/// Names the sessions for people and in the log: no client asked for them.
fn operation(ceremony: &[u8; 32]) -> OperationId {
    let hash = blake3::derive_key("quorate 2026 node presigning v1", ceremony);
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    OperationId::from_bytes(id)
}

/// One session as both sides see it.
struct Session {
    key: OpenKey,
    committee: Committee,
    ticket: Ticket<Part>,
    count: u16,
}

impl Shared {
    /// Fills the pool until the node stops.
    pub(crate) async fn fill_pool(self: Arc<Self>) {
        if !self.pool.is_on() {
            return;
        }
        let quiet = self.pool.quiet();
        let mut ticks =
            tokio::time::interval(quiet.clamp(Duration::from_millis(20), Duration::from_millis(250)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known: HashMap<KeyId, Filling> = HashMap::new();
        while self.draining.run_until_cancelled(ticks.tick()).await.is_some() {
            self.pool.shelf.sweep();
            let wanted = self.pool.wanted();
            known.retain(|key, _| wanted.contains(key));
            for key in wanted {
                if !self.is_idle() {
                    break;
                }
                let filling = known.entry(key.clone()).or_default();
                if filling.until.is_some_and(|until| Instant::now() < until) || self.has_enough(filling) {
                    continue;
                }
                match self.fill(&key, filling.rising).await {
                    Ok(Filled { rising, lot }) => {
                        let seen = lot.map(|lot| (lot, Instant::now()));
                        *filling = Filling { rising, seen, ..Filling::default() };
                    }
                    Err(problem) => {
                        tracing::debug!(%key, code = %problem.code, detail = %problem.detail, "no presignatures made");
                        filling.pause(&problem, quiet);
                    }
                }
            }
        }
    }

    /// Whether there were enough of what was looked at just now, without opening the key. The quorum may be another one before long.
    fn has_enough(&self, filling: &Filling) -> bool {
        let enough = |lot: &Lot| self.pool.shelf.names(lot).len() >= self.pool.config.low;
        let seen = filling.seen.as_ref().filter(|(_, at)| at.elapsed() < LOOK);
        !filling.rising && seen.is_some_and(|(lot, _)| enough(lot))
    }

    /// Whether nobody waits for this node.
    fn is_idle(&self) -> bool {
        if self.registry.len() > 0 {
            self.pool.note();
        }
        self.pool.is_quiet()
    }

    /// How many other nodes there are.
    fn peers_now(&self) -> usize {
        self.members().peers().count()
    }

    /// Whether members have restarted since now.
    fn watch_for_restarts(&self, nodes: &[PeerId]) -> Gone {
        let others = nodes.iter().filter(|peer| **peer != self.id);
        let watches: Vec<_> = others.map(|peer| self.network.watch(*peer)).collect();
        Box::new(move || watches.iter().any(quorate_net::PeerWatch::has_restarted))
    }

    /// POOL.6: what changed since the key was opened. Asked after there is a ticket: what changes from then on makes that void.
    async fn still_good(&self, key: &OpenKey, lot: &Lot) -> Result<(), Problem> {
        self.check_usable(key).await?;
        let burned = self.burned(key).await?;
        if lot.quorum.iter().any(|party| burned.contains(party)) {
            return Err(refuse("a pair of this node in the quorum is burned"));
        }
        if self.is_frozen(&key.id, &key.record) {
            return Err(Problem::new(Code::Frozen, "the key is frozen"));
        }
        Ok(())
    }

    fn lot(&self, owner: PeerId, key: &OpenKey, quorum: &[PartyIndex]) -> Lot {
        let peers = key.record.peers();
        Lot {
            owner,
            key: key.id.clone(),
            revision: key.revision,
            quorum: quorum.to_vec(),
            nodes: quorum.iter().filter_map(|party| peers.get(party).copied()).collect(),
        }
    }

    /// Makes some for a key, if there are few.
    async fn fill(self: &Arc<Self>, id: &KeyId, rising: bool) -> Result<Filled, Problem> {
        let key = self.open_key(id, self.id).await?;
        if !has_setup(key.record.scheme) {
            return Ok(Filled { rising: false, lot: None });
        }
        let share = &key.material.share;
        let (me, peers) = (share.index(), key.record.peers());
        let there = |peer: &PeerId| {
            *peer == self.id || (self.network.is_connected(*peer) && !self.is_quarantined(peer))
        };
        // ATT.4  The quorum that a request will be signed by.
        let ready: Vec<(PartyIndex, Points)> = {
            let (now, reputation) = (Instant::now(), locked(&self.reputation));
            let there = peers.iter().filter(|(_, peer)| there(peer));
            there.map(|(party, peer)| (*party, reputation.points(peer, now))).collect()
        };
        let without: Vec<Vec<PartyIndex>> =
            self.burned(&key).await?.into_iter().map(|peer| vec![me, peer]).collect();
        let parties = quorum::choose(share.access(), me, &ready, &without);
        let parties = parties.ok_or_else(|| refuse("no quorum is there"))?;
        let committee = share.quorum(&parties).ok_or_else(|| refuse("no quorum is there"))?;
        let lot = self.lot(self.id, &key, &parties);
        let left = self.pool.shelf.names(&lot);
        let config = &self.pool.config;
        if left.len() >= config.high || (left.len() >= config.low && !rising) {
            return Ok(Filled { rising: false, lot: Some(lot) });
        }
        let count = config.high.saturating_sub(left.len()).min(config.batch).min(MAX_BATCH);
        let gone = self.watch_for_restarts(&lot.nodes);
        let full = |_| refuse("there is no place for more presignatures");
        let ticket = self.pool.shelf.begin(lot.clone(), count, self.peers_now(), gone).map_err(full)?;
        self.still_good(&key, &lot).await?;
        let rising = left.len().saturating_add(count) < config.high;
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        let session = Session { key, committee, ticket, count };
        let made = self.fill_with(session, &parties, left).await?;
        add(&self.pool.counts.made, made);
        tracing::debug!(key = %id, made, "presignatures made");
        Ok(Filled { rising: rising && made > 0, lot: Some(lot) })
    }

    async fn fill_with(
        self: &Arc<Self>,
        session: Session,
        parties: &[PartyIndex],
        left: Vec<Name>,
    ) -> Result<usize, Problem> {
        let attempt = Attempt { ceremony: random()?, number: 1, coordinator: self.id };
        let (key, count) = (&session.key, session.count);
        let proposal = Proposal {
            ceremony: attempt.ceremony,
            attempt: attempt.number,
            request: Vec::new(),
            rulings: Vec::new(),
            source: None,
            work: Work::Presign {
                key: key.id.to_string(),
                quorum: parties.to_vec(),
                epoch: epoch_of(key.revision),
                count,
                left,
            },
        };
        let peers = key.record.peers();
        let members = peers.iter().filter(|(party, peer)| **peer != self.id && parties.contains(party));
        let members: BTreeMap<PeerId, PartyIndex> = members.map(|(party, peer)| (*peer, *party)).collect();
        let expected = members.len();
        let mut talk = Conversation::open(self, proposal, members, None).await;
        match talk.answers(self.config.limits.answer_deadline).await {
            Said::All => {}
            Said::Refused(_, problem, _) => {
                talk.cancel().await;
                return Err(problem);
            }
            _ => {
                talk.cancel().await;
                return Err(refuse("a member did not answer"));
            }
        }
        let until = Instant::now() + self.config.limits.attempt_deadline;
        let Session { key, committee, ticket, .. } = session;
        let cancel = CancellationToken::clone(&self.stop);
        let made = match run(self, &key, committee, count, &attempt, until, cancel).await {
            Ok(made) => made,
            Err(failure) => {
                talk.cancel().await;
                return Err(failure.problem);
            }
        };
        // Used before a member has its part, it would be lost.
        let ended = talk.outcomes(until).await;
        let kept = ended.values().filter(|outcome| matches!(outcome, Outcome::Kept)).count();
        if kept != expected {
            return Err(refuse("a member does not keep its part"));
        }
        Ok(self.pool.shelf.put(ticket, made))
    }

    /// Whether this node helps to fill the pool of another one.
    async fn agree_to_presign(
        self: &Arc<Self>,
        from: PeerId,
        proposal: &Proposal,
    ) -> Result<(Session, OwnedSemaphorePermit), Problem> {
        let Work::Presign { key, quorum, epoch, count, left } = &proposal.work else {
            return Err(Problem::new(Code::InvalidRequest, "this makes no presignatures"));
        };
        if !self.pool.is_on() {
            return Err(refuse("this node keeps no presignatures: set `[pool]` alike at all nodes"));
        }
        if self.draining.is_cancelled() || !self.is_calm() {
            return Err(busy());
        }
        self.save_burns().await?;
        let one = Arc::clone(&self.pool.for_others).try_acquire_owned().map_err(|_| busy())?;
        let missing = || Problem::new(Code::NotFound, "this node holds no such key");
        let id: KeyId = key.parse().map_err(|_| missing())?;
        let key = self.open_key(&id, from).await?;
        if !has_setup(key.record.scheme) {
            return Err(refuse("keys of this scheme need no presignatures"));
        }
        self.same_epoch(from, &id, epoch_of(key.revision), *epoch).await?;
        let share = &key.material.share;
        let owner = key.record.index_of(from).ok_or_else(missing)?;
        let committee = share.quorum(quorum);
        let committee = committee.filter(|_| quorum.contains(&share.index()) && quorum.contains(&owner));
        let committee =
            committee.ok_or_else(|| refuse("the parties are no minimal quorum with both nodes"))?;
        let parties: Vec<PartyIndex> = committee.indices().collect();
        let lot = self.lot(from, &key, &parties);
        let many = usize::from(*count);
        if !(1..=MAX_BATCH).contains(&many) || left.len() > self.pool.config.high {
            return Err(refuse(
                "so many presignatures are not made at once or kept: set `[pool]` alike at all nodes",
            ));
        }
        self.pool.shelf.retain(&lot, left);
        let gone = self.watch_for_restarts(&lot.nodes);
        let full =
            |_| refuse("this node keeps no more presignatures of yours: set `[pool]` alike at all nodes");
        let ticket = self.pool.shelf.begin(lot.clone(), many, self.peers_now(), gone).map_err(full)?;
        self.still_good(&key, &lot).await?;
        Ok((Session { key, committee, ticket, count: *count }, one))
    }

    /// Whether nothing runs here that somebody waits for.
    fn is_calm(&self) -> bool {
        self.registry.len() == 0
    }
}

/// Runs the session of this node's side.
async fn run(
    shared: &Arc<Shared>,
    key: &OpenKey,
    committee: Committee,
    count: u16,
    attempt: &Attempt,
    deadline: Instant,
    cancel: CancellationToken,
) -> Result<Vec<(Name, Part)>, Failure> {
    let bindings: [(&'static str, &[u8]); 3] = [
        ("coordinator", attempt.coordinator.as_bytes()),
        ("nonce", &attempt.ceremony),
        ("count", &count.to_le_bytes()),
    ];
    let share = &key.material.share;
    let session = share.session_id(presign::PRESIGN, &committee, &bindings);
    let pass = shared.gates.enter(&key.id, key.revision).map_err(Failure::local)?;
    let purpose = Purpose::Use {
        key: key.id.clone(),
        revision: key.revision,
        peers: key.record.peers(),
        material: Arc::clone(&key.material),
        calls: count.into(),
        _pass: pass,
    };
    let operation = operation(&attempt.ceremony);
    let mut ceremony = Ceremony {
        shared,
        operation: &operation,
        committee,
        me: share.index(),
        names: key.record.names(),
        deadline,
        cancel,
        places: Vec::new(),
        skipped: Vec::new(),
        figures: Figures::default(),
    };
    let made = presign::make(key, count, session, &mut ceremony, purpose).await?;
    Ok(made.into_iter().map(|part| (part.name(), part)).collect())
}

/// Handles a proposal to make presignatures.
pub(crate) async fn take_part(shared: &Arc<Shared>, from: PeerId, proposal: &Proposal, line: Line) {
    let ceremony = proposal.ceremony;
    let (session, one) = match shared.agree_to_presign(from, proposal).await {
        Ok(agreed) => agreed,
        Err(problem) => {
            tracing::debug!(peer = %shared.name_of(from), code = %problem.code, detail = %problem.detail, "no presignatures made for a peer");
            let answer = Answer::Refuse(Refusal::new(&problem, None));
            shared.tell(from, &Control::Answer { ceremony, answer }).await;
            return;
        }
    };
    shared.tell(from, &Control::Answer { ceremony, answer: Answer::Accept }).await;
    let attempt = Attempt::of(proposal, from);
    let until = Instant::now() + shared.config.limits.attempt_deadline;
    let Session { key, committee, ticket, count } = session;
    let made = run(shared, &key, committee, count, &attempt, until, line.cancel).await;
    let outcome = match made.map(|made| shared.pool.shelf.put(ticket, made)) {
        Ok(0) => Outcome::Failed(Refusal::new(&refuse("they are of no use any more"), None)),
        Ok(_) => Outcome::Kept,
        Err(failure) => Outcome::Failed(Refusal::new(&failure.for_peers(), None)),
    };
    drop(one);
    shared.tell(from, &Control::Ended { ceremony, outcome }).await;
}

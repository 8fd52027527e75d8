//! What was spent, of those who spend now: sums in memory, made from the store when somebody is first asked about and kept up to
//! date from then on.
//!
//! What holds (GOV.11):
//!
//! - **One after the other, where it matters.** A [`Turn`] is held for one key and one principal from the look at what was spent until
//!   the request is counted in memory: two requests cannot both be the last one below a limit. Keys come before principals, so nobody
//!   waits in a circle. The write is waited for without the turn, so that many share one commit.
//! - **Counted before it has an effect.** [`Counter::count`] is done when the row is durable; whoever calls it goes on only then. The write
//!   happens also if nobody waits any more.
//! - **Once an operation.** The store keeps one row each. What is on its way there is in `pending`; a look finds an operation's own row in
//!   one of the two and leaves it out.
//! - **In doubt the store is right.** After a write that failed, or that counted what memory did not, the sums are marked stale and made
//!   from the store at the next look, with what is on its way. A failed write refuses its request.
//! - **Bounded.** Sums of those who did not spend for long are let go when there are too many, and come back from the store.

// The measuring program has this file under another path.
#[cfg(test)]
#[path = "counter/tests.rs"]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_policy::facts::{Amount, Spent, Sum, Windows};
use quorate_policy::window::{History, Spend, WEEK};
use quorate_store::{MAX_SPENDING_PAGE, Spending, SpentBy, Store, StoreError};
use tokio::sync::OwnedMutexGuard;

/// Most keys and principals with sums in memory.
const MAX_SUBJECTS: usize = 10_000;
/// Most cells of all sums in memory: some 200 MB.
const MAX_CELLS: usize = 2_000_000;
/// Rows are kept for longer than any window, for a clock that is set back.
const KEPT: u64 = 2 * WEEK;
/// Rows forgotten at once.
const FORGOTTEN: u32 = 500;

/// Under the empty name, which no token has, a row says for how many signatures beyond the first it counts.
pub(super) const MORE: &str = "";

/// Who spends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Key(String),
    Principal(String),
}

impl Subject {
    fn owns(&self, row: &Spending) -> bool {
        match self {
            Self::Key(key) => row.key_id == *key,
            Self::Principal(principal) => row.principal == *principal,
        }
    }

    fn by(&self) -> SpentBy<'_> {
        match self {
            Self::Key(key) => SpentBy::Key(key),
            Self::Principal(principal) => SpentBy::Principal(principal),
        }
    }
}

/// The sums of one key or principal.
#[derive(Debug)]
struct Known {
    subject: Subject,
    /// `None` until they are made from the store.
    history: Arc<tokio::sync::Mutex<Option<History>>>,
    /// To be made from the store again.
    stale: AtomicBool,
    weight: AtomicUsize,
    /// When it was used last.
    used: AtomicU64,
    total: Arc<AtomicUsize>,
}

/// The sums of one key or principal, held.
#[derive(Debug)]
struct Held {
    known: Arc<Known>,
    history: OwnedMutexGuard<Option<History>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let weight = self.history.as_ref().map_or(0, History::weight);
        let before = self.known.weight.swap(weight, Ordering::Relaxed);
        self.known.total.fetch_add(weight, Ordering::Relaxed);
        self.known.total.fetch_sub(before, Ordering::Relaxed);
    }
}

/// Where an operation was found to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nowhere,
    OnItsWay,
    Stored,
}

/// The right to decide on requests with a key by a principal.
#[derive(Debug)]
pub(crate) struct Turn {
    key: Held,
    principal: Held,
    /// Which operation was looked at, and where it is counted.
    looked: Option<(String, Seen)>,
}

impl Turn {
    /// Whether it is for these.
    pub(crate) fn is_for(&self, key: &str, principal: &str) -> bool {
        self.key.known.subject == Subject::Key(key.to_owned())
            && self.principal.known.subject == Subject::Principal(principal.to_owned())
    }
}

/// What was spent.
#[derive(Debug)]
pub(crate) struct Counter {
    store: Store,
    known: Mutex<HashMap<Subject, Arc<Known>>>,
    /// Rows on their way into the store, and how many writes of each.
    pending: Mutex<HashMap<String, (Spending, usize)>>,
    uses: AtomicU64,
    total: Arc<AtomicUsize>,
    max_subjects: usize,
    max_cells: usize,
}

impl Counter {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            max_subjects: MAX_SUBJECTS,
            max_cells: MAX_CELLS,
            known: Mutex::default(),
            pending: Mutex::default(),
            uses: AtomicU64::default(),
            total: Arc::default(),
        }
    }

    /// Waits for the turn to decide on requests with a key by a principal, at a time in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        key: &str,
        principal: &str,
        now: u64,
    ) -> Result<Turn, StoreError> {
        // Everybody takes the key first.
        let key = self.ready(Subject::Key(key.to_owned()), now).await?;
        let principal = self.ready(Subject::Principal(principal.to_owned()), now).await?;
        Ok(Turn { key, principal, looked: None })
    }

    /// Holds a subject, with its sums.
    async fn ready(self: &Arc<Self>, subject: Subject, now: u64) -> Result<Held, StoreError> {
        let mut held = self.hold(subject).await;
        if held.history.is_some() {
            return Ok(held);
        }
        // Done also if nobody waits any more: else whoever gives up too early would make everybody begin again.
        let counter = Arc::clone(self);
        let made = tokio::spawn(async move {
            held.known.stale.store(false, Ordering::Release);
            *held.history = Some(counter.load(&held.known.subject, now).await?);
            Ok(held)
        });
        made.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn hold(&self, subject: Subject) -> Held {
        let known = {
            let mut all = locked(&self.known);
            let known = all.entry(subject.clone()).or_insert_with(|| {
                Arc::new(Known {
                    subject,
                    history: Arc::default(),
                    stale: AtomicBool::default(),
                    weight: AtomicUsize::default(),
                    used: AtomicU64::default(),
                    total: Arc::clone(&self.total),
                })
            });
            let known = Arc::clone(known);
            known.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            self.let_go(&mut all);
            known
        };
        let history = Arc::clone(&known.history).lock_owned().await;
        Held { known, history }
    }

    /// Lets go of those that were not used for the longest time and that nobody holds, if there is too much; an eighth more than needed,
    /// so that it is not done each time.
    fn let_go(&self, all: &mut HashMap<Subject, Arc<Known>>) {
        let (subjects, cells) = (self.max_subjects, self.max_cells);
        if all.len() <= subjects && self.total.load(Ordering::Relaxed) <= cells {
            return;
        }
        let idle = all.values().filter(|known| Arc::strong_count(known) == 1);
        let mut idle: Vec<(u64, Subject)> =
            idle.map(|known| (known.used.load(Ordering::Relaxed), known.subject.clone())).collect();
        idle.sort_unstable_by_key(|(used, _)| *used);
        for (_, subject) in idle {
            let few = all.len() <= subjects.saturating_sub(subjects / 8);
            if few && self.total.load(Ordering::Relaxed) <= cells.saturating_sub(cells / 8) {
                break;
            }
            if let Some(known) = all.remove(&subject) {
                self.total.fetch_sub(known.weight.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }

    /// What was counted for the key and the principal of a turn until `now`, without the operation itself: signatures, and coins and
    /// tokens on the chain of what it spends. In milliseconds since the Unix epoch.
    pub(crate) async fn spent(
        &self,
        turn: &mut Turn,
        op_id: &str,
        spend: &Spend,
        now: u64,
    ) -> Result<Spent, StoreError> {
        // Before the sums are looked at: whatever is found here is in them, or they are stale.
        let (seen, own) = match self.on_its_way(op_id) {
            Some(row) => (Seen::OnItsWay, Some(row)),
            None => match self.store.spending(op_id).await? {
                Some(row) => (Seen::Stored, Some(row)),
                None => (Seen::Nowhere, None),
            },
        };
        turn.looked = Some((op_id.to_owned(), seen));
        let key = self.windows(&mut turn.key, now, spend, own.as_ref()).await?;
        let principal = self.windows(&mut turn.principal, now, spend, own.as_ref()).await?;
        Ok(Spent { key, principal })
    }

    fn on_its_way(&self, op_id: &str) -> Option<Spending> {
        locked(&self.pending).get(op_id).map(|(row, _)| row.clone())
    }

    async fn windows(
        &self,
        held: &mut Held,
        now: u64,
        spend: &Spend,
        own: Option<&Spending>,
    ) -> Result<Windows, StoreError> {
        let own = own.filter(|row| held.known.subject.owns(row)).map(read);
        let tokens = || spend.tokens.keys().map(String::as_str);
        if held.known.stale.swap(false, Ordering::AcqRel) {
            *held.history = None;
        }
        if let Some(history) = held.history.as_mut()
            && let Some(windows) = history.windows(now, &spend.chain, tokens(), own.as_ref())
        {
            return Ok(windows);
        }
        // Not there yet, or the clock was set back.
        *held.history = None;
        let mut history = self.load(&held.known.subject, now).await?;
        let windows = history.windows(now, &spend.chain, tokens(), own.as_ref());
        *held.history = Some(history);
        Ok(windows.unwrap_or_else(|| everything(spend)))
    }

    /// Makes sums from the store and what is on its way there. The caller holds the subject, so that nothing more is added meanwhile.
    async fn load(&self, subject: &Subject, now: u64) -> Result<History, StoreError> {
        // First those on their way: what is not there any more when this looks is in the store when it reads.
        let waiting =
            locked(&self.pending).values().filter(|(row, _)| subject.owns(row)).cloned().collect::<Vec<_>>();
        let ids: HashSet<&str> = waiting.iter().map(|(row, _)| row.op_id.as_str()).collect();
        let mut history = History::new(now);
        let mut after = (History::wants(now), String::new());
        loop {
            let page = self.store.spent(subject.by(), (after.0, &after.1)).await?;
            for row in page.iter().filter(|row| !ids.contains(row.op_id.as_str())) {
                history.add(&read(row));
            }
            match page.last() {
                Some(last) if u32::try_from(page.len()).is_ok_and(|len| len >= MAX_SPENDING_PAGE) => {
                    after = (last.at, last.op_id.clone());
                }
                _ => break,
            }
        }
        waiting.iter().for_each(|(row, _)| history.add(&read(row)));
        Ok(history)
    }

    /// Counts an operation: in memory at once, so that the turn can go to the next one, and in the store, which is what the future waits
    /// for. Without a turn, or without having looked at it in this turn, in the store alone.
    pub(crate) fn count(
        self: &Arc<Self>,
        row: Spending,
        turn: Option<Turn>,
    ) -> impl Future<Output = Result<(), StoreError>> + use<> {
        let write = self.begin_to_count(row, turn);
        async move {
            match write {
                None => Ok(()),
                Some(write) => write.await.unwrap_or(Err(StoreError::Closed)),
            }
        }
    }

    fn begin_to_count(
        self: &Arc<Self>,
        row: Spending,
        turn: Option<Turn>,
    ) -> Option<tokio::task::JoinHandle<Result<(), StoreError>>> {
        let looked = turn.as_ref().and_then(|turn| turn.looked.as_ref());
        let seen = looked.filter(|(op_id, _)| *op_id == row.op_id).map(|(_, seen)| *seen);
        if seen == Some(Seen::Stored) {
            return None;
        }
        let counts = seen == Some(Seen::Nowhere);
        {
            let mut pending = locked(&self.pending);
            let (_, writes) = pending.entry(row.op_id.clone()).or_insert_with(|| (row.clone(), 0));
            *writes = writes.saturating_add(1);
            if seen.is_none() {
                // Under the same lock: whoever finds it on its way makes the sums anew.
                self.doubt(&row);
            }
        }
        if let Some(mut turn) = turn.filter(|_| counts) {
            let spend = read(&row);
            for held in [&mut turn.key, &mut turn.principal] {
                let own = held.known.subject.owns(&row);
                if let Some(history) = held.history.as_mut().filter(|_| own) {
                    history.add(&spend);
                }
            }
        }
        let counter = Arc::clone(self);
        Some(tokio::spawn(async move {
            let written = counter.store.spend(row.clone()).await;
            if !matches!(written, Ok(new) if new == counts) {
                counter.doubt(&row);
            }
            let mut pending = locked(&counter.pending);
            if let Some((_, writes)) = pending.get_mut(&row.op_id) {
                *writes = writes.saturating_sub(1);
                if *writes == 0 {
                    pending.remove(&row.op_id);
                }
            }
            written.map(drop)
        }))
    }

    /// Memory and store may differ in this row: the store is right.
    fn doubt(&self, row: &Spending) {
        let all = locked(&self.known);
        for subject in [Subject::Key(row.key_id.clone()), Subject::Principal(row.principal.clone())] {
            if let Some(known) = all.get(&subject) {
                known.stale.store(true, Ordering::Release);
            }
        }
    }

    /// Forgets some of what is older than every window; gives how much.
    pub(crate) async fn forget(&self, now: u64) -> Result<u64, StoreError> {
        self.store.forget_spending(now.saturating_sub(KEPT), FORGOTTEN).await
    }
}

/// More than any limit.
fn everything(spend: &Spend) -> Windows {
    let tokens: BTreeMap<String, Amount> =
        spend.tokens.keys().map(|token| (token.clone(), Amount::MAX)).collect();
    let sum = Sum { count: u64::MAX, native: Amount::MAX, tokens };
    Windows { hour: sum.clone(), day: sum.clone(), week: sum }
}

/// What a row says. What does not read counts as everything.
fn read(row: &Spending) -> Spend {
    let native = row.native.parse();
    let mut tokens = serde_json::from_str::<BTreeMap<String, Amount>>(&row.tokens);
    let more = tokens.as_mut().ok().and_then(|tokens| tokens.remove(MORE)).unwrap_or(Amount::ZERO);
    Spend {
        at: row.at,
        chain: row.chain.clone(),
        unreadable: native.is_err() || tokens.is_err(),
        native: native.unwrap_or(Amount::MAX),
        tokens: tokens.unwrap_or_default(),
        more: u64::try_from(more.units()).unwrap_or(u64::MAX),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

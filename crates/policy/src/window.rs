//! What was spent in the last hour, day and week, in bounded memory and at a cost that does not grow with how often something is spent
//! (POL.6, GOV.11).
//!
//! A [`History`] keeps sums of buckets instead of single operations: of seconds for the hour, minutes for the day, ten minutes for the
//! week. A bucket counts until all of it has left the window. What holds:
//!
//! - A sum is never below that of what lies in the window, and never above that of what lies in a window longer by one bucket. What lies
//!   ahead of the clock counts, as if it were spent now.
//! - Taking out a bucket leaves no trace: sums are kept wider than amounts, so that one with [`Amount::MAX`] in it is exact again
//!   after that has left.
//! - When the clock went back over what was let go already, [`History::windows`] says so (`None`) instead of giving too little: begin a new
//!   history and [`add`](History::add) again what was spent since [`History::wants`].
//! - At most [`MAX_NAMES`] coins and tokens have sums of their own. While there are others, whatever has no sum of its own reads as
//!   [`Amount::MAX`].
//!
//! Nothing here has a clock; times are in milliseconds since the Unix epoch.

use std::collections::BTreeMap;

use crate::facts::{Amount, NATIVE, Spent, Sum, Windows, plain};

/// The longest window, in milliseconds.
pub const WEEK: u64 = 7 * DAY;
const DAY: u64 = 24 * HOUR;
const HOUR: u64 = 3600 * SECOND;
const SECOND: u64 = 1000;
/// Length of each window and of its buckets, in milliseconds, shortest first.
pub const WINDOWS: [(u64, u64); 3] = [(HOUR, SECOND), (DAY, 60 * SECOND), (WEEK, 600 * SECOND)];
/// Most coins and tokens with sums of their own, all chains together.
pub const MAX_NAMES: usize = 256;
/// Longest name of a chain or token with sums of its own, in bytes.
const MAX_NAME: usize = 256;

/// Signatures.
const COUNT: u16 = 0;
/// Coins and tokens without sums of their own.
const OTHERS: u16 = 1;
/// Operations of which it is not known what they spent.
const ANYTHING: u16 = 2;
/// The first coin or token.
const FIRST: u16 = 3;

/// What one operation spends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// When it was counted, in milliseconds since the Unix epoch.
    pub at: u64,
    /// The chain; empty if there is none.
    pub chain: String,
    /// The chain's own coin in its smallest unit.
    pub native: Amount,
    /// Tokens by contract or mint, in their smallest units.
    pub tokens: BTreeMap<String, Amount>,
    /// Whether it is not known what it spends: then it may be everything, on every chain.
    pub unreadable: bool,
    /// How many signatures beyond the first it counts for: of a batch, all but one of its items.
    pub more: u64,
}

/// What was spent with one key, or by one principal.
#[derive(Clone, Debug)]
pub struct History {
    /// Chain and token, or `native`.
    names: BTreeMap<(String, String), u16>,
    /// Numbers of names that are used no more.
    free: Vec<u16>,
    spans: [Span; 3],
}

/// One window.
#[derive(Clone, Debug)]
struct Span {
    length: u64,
    step: u64,
    /// By bucket, and by what is summed up in it.
    cells: BTreeMap<(u64, u16), Wide>,
    /// All cells together, and how many there are.
    sums: BTreeMap<u16, (Wide, u32)>,
    /// Everything from here on is in.
    since: u64,
}

/// A sum of more amounts than there can be: it neither overflows nor stops, so that what was added can be taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wide {
    high: u64,
    low: u128,
}

impl Wide {
    const fn of(amount: Amount) -> Self {
        Self { high: 0, low: amount.units() }
    }

    const fn is_zero(self) -> bool {
        self.high == 0 && self.low == 0
    }

    const fn plus(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        // 2^64 signatures are never reached.
        let high = self.high.saturating_add(other.high);
        Self { high: if carry { high.saturating_add(1) } else { high }, low }
    }

    /// `None` if there is not so much.
    fn minus(self, other: Self) -> Option<Self> {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        let high = self.high.checked_sub(other.high)?.checked_sub(u64::from(borrow))?;
        Some(Self { high, low })
    }

    const fn amount(self) -> Amount {
        if self.high > 0 { Amount::MAX } else { Amount::new(self.low) }
    }

    fn count(self) -> u64 {
        if self.high > 0 { u64::MAX } else { u64::try_from(self.low).unwrap_or(u64::MAX) }
    }
}

impl Span {
    /// Whether a moment is in a bucket that is held.
    const fn holds(&self, at: u64) -> bool {
        (at / self.step).saturating_add(1).saturating_mul(self.step) > self.since
    }

    fn add(&mut self, at: u64, parts: &[(u16, Wide)]) {
        if !self.holds(at) {
            return;
        }
        for (series, amount) in parts {
            let (sum, cells) = self.sums.entry(*series).or_default();
            *sum = sum.plus(*amount);
            let cell = self.cells.entry((at / self.step, *series)).or_insert_with(|| {
                *cells = cells.saturating_add(1);
                Wide::default()
            });
            *cell = cell.plus(*amount);
        }
    }

    /// Lets go of the buckets that have left the window; gives what is in none any more. `false`: it let go of too much before.
    fn turn(&mut self, now: u64, gone: &mut Vec<u16>) -> bool {
        let from = now.saturating_sub(self.length);
        if from < self.since {
            return false;
        }
        while let Some(cell) = self.cells.first_entry().filter(|cell| cell.key().0 < from / self.step) {
            let ((bucket, series), amount) = cell.remove_entry();
            self.since = self.since.max(bucket.saturating_add(1).saturating_mul(self.step));
            let Some((sum, cells)) = self.sums.get_mut(&series) else { continue };
            *sum = sum.minus(amount).unwrap_or_default();
            *cells = cells.saturating_sub(1);
            if *cells == 0 {
                self.sums.remove(&series);
                gone.push(series);
            }
        }
        true
    }
}

impl History {
    /// Nothing spent since [`wants(now)`](Self::wants).
    #[must_use]
    pub fn new(now: u64) -> Self {
        let span = |(length, step)| Span {
            length,
            step,
            cells: BTreeMap::new(),
            sums: BTreeMap::new(),
            since: now.saturating_sub(length),
        };
        Self { names: BTreeMap::new(), free: Vec::new(), spans: WINDOWS.map(span) }
    }

    /// From which moment on a history that begins now must be told everything: the whole of the oldest bucket that counts, or what is
    /// taken out of it ([`windows`](Self::windows) without an operation) was never in it.
    #[must_use]
    pub const fn wants(now: u64) -> u64 {
        let [.., (length, step)] = WINDOWS;
        let oldest = now.saturating_sub(length);
        oldest.saturating_sub(oldest % step)
    }

    /// Counts an operation. Each must be added once.
    pub fn add(&mut self, spend: &Spend) {
        let week =
            |history: &Self, series| history.spans.last().is_some_and(|span| span.sums.contains_key(&series));
        let mut parts = vec![(COUNT, spend.signatures())];
        if spend.unreadable {
            parts.push((ANYTHING, Wide::of(Amount::new(1))));
        }
        for (asset, amount) in spend.parts() {
            // A name that begins while there are others may be one of them: it would look smaller than it is.
            let others = week(self, OTHERS) || parts.iter().any(|(series, _)| *series == OTHERS);
            match self.series(&spend.chain, &asset, others) {
                Some(series) => parts.push((series, Wide::of(amount))),
                None => parts.push((OTHERS, Wide::of(Amount::new(1)))),
            }
        }
        for span in &mut self.spans {
            span.add(spend.at, &parts);
        }
        // Too old to be in any window.
        let unused: Vec<u16> =
            parts.iter().map(|(series, _)| *series).filter(|series| !week(self, *series)).collect();
        self.release(&unused);
    }

    /// The number of a coin or token, a new one if there is room.
    fn series(&mut self, chain: &str, asset: &str, full: bool) -> Option<u16> {
        let name = (chain.to_owned(), asset.to_owned());
        if let Some(series) = self.names.get(&name) {
            return Some(*series);
        }
        if full || self.names.len() >= MAX_NAMES || chain.len() > MAX_NAME || asset.len() > MAX_NAME {
            return None;
        }
        let next = u16::try_from(self.names.len()).ok()?.saturating_add(FIRST);
        let series = self.free.pop().unwrap_or(next);
        self.names.insert(name, series);
        Some(series)
    }

    /// Gives up the names of what is in no window any more.
    fn release(&mut self, gone: &[u16]) {
        if gone.iter().any(|series| *series >= FIRST) {
            let free = &mut self.free;
            self.names.retain(|_, series| {
                let keep = !gone.contains(series);
                if !keep {
                    free.push(*series);
                }
                keep
            });
        }
    }

    /// What was spent in the windows that end now: signatures on every chain, coins and tokens on one chain, without one operation that was
    /// added, if there is such. `tokens` are those that matter: one without a sum of its own is listed if it may be among the others. `None`
    /// if the clock went back too far: then begin anew.
    #[must_use]
    pub fn windows<'a>(
        &mut self,
        now: u64,
        chain: &str,
        tokens: impl IntoIterator<Item = &'a str>,
        without: Option<&Spend>,
    ) -> Option<Windows> {
        let mut gone = Vec::new();
        for span in &mut self.spans {
            // The week is longer than the others: what leaves it has left them.
            gone.clear();
            if !span.turn(now, &mut gone) {
                return None;
            }
        }
        self.release(&gone);
        let tokens: Vec<String> = tokens.into_iter().map(plain).collect();
        let mut sums = self.spans.iter().map(|span| self.sum(span, chain, &tokens, without));
        Some(Windows { hour: sums.next()?, day: sums.next()?, week: sums.next()? })
    }

    fn sum(&self, span: &Span, chain: &str, tokens: &[String], without: Option<&Spend>) -> Sum {
        let own = without.filter(|own| span.holds(own.at));
        let own_parts = own.map(Spend::parts).unwrap_or_default();
        let same_chain = own.is_some_and(|own| own.chain == chain);
        let named = |chain: &str, asset: &str| self.names.get(&(chain.to_owned(), asset.to_owned()));
        let sum = |series: u16, own: Wide| {
            let all = span.sums.get(&series).map(|(sum, _)| *sum).unwrap_or_default();
            all.minus(own).unwrap_or(all)
        };
        let times = |times: usize| Wide { high: 0, low: u128::try_from(times).unwrap_or_default() };
        let unnamed =
            |own: &Spend| own_parts.iter().filter(|(asset, _)| named(&own.chain, asset).is_none()).count();
        let others = !sum(OTHERS, times(own.map_or(0, unnamed))).is_zero();
        let anything = !sum(ANYTHING, times(usize::from(own.is_some_and(|own| own.unreadable)))).is_zero();
        let of = |asset: &str| {
            let own = own_parts.get(asset).filter(|_| same_chain).copied().unwrap_or_default();
            match named(chain, asset) {
                _ if anything => Amount::MAX,
                Some(series) => sum(*series, Wide::of(own)).amount(),
                None if others => Amount::MAX,
                None => Amount::ZERO,
            }
        };
        let known = self.names.range((chain.to_owned(), String::new())..);
        let known = known.take_while(|((of, _), _)| of == chain).map(|((_, asset), _)| asset);
        let listed = known.chain(tokens).filter(|asset| *asset != NATIVE);
        let listed = listed.map(|asset| (asset.clone(), of(asset)));
        Sum {
            count: sum(COUNT, own.map(Spend::signatures).unwrap_or_default()).count(),
            native: of(NATIVE),
            tokens: listed.filter(|(_, amount)| *amount != Amount::ZERO).collect(),
        }
    }

    /// How much memory it takes, in cells of about a hundred bytes. Some 6,000 cells a name at most.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.spans.iter().map(|span| span.cells.len()).sum::<usize>().saturating_add(1)
    }
}

impl Spent {
    /// What it will be after something more on the same chain: an item of a batch is looked at after those before it.
    #[must_use]
    pub fn and(mut self, spend: &Spend) -> Self {
        let signatures = spend.signatures().count();
        let parts = spend.parts();
        for windows in [&mut self.key, &mut self.principal] {
            for sum in [&mut windows.hour, &mut windows.day, &mut windows.week] {
                sum.count = sum.count.saturating_add(signatures);
                for (asset, amount) in &parts {
                    if asset == NATIVE {
                        sum.native = sum.native.plus(*amount);
                    } else {
                        let token = sum.tokens.entry(asset.clone()).or_insert(Amount::ZERO);
                        *token = token.plus(*amount);
                    }
                }
            }
        }
        self
    }
}

impl Spend {
    fn signatures(&self) -> Wide {
        Wide { high: 0, low: u128::from(self.more).saturating_add(1) }
    }

    /// Coins and tokens, by name as policies write it; none that is zero.
    fn parts(&self) -> BTreeMap<String, Amount> {
        let mut parts = BTreeMap::from([(NATIVE.to_owned(), self.native)]);
        for (asset, amount) in &self.tokens {
            let sum = parts.entry(plain(asset)).or_insert(Amount::ZERO);
            *sum = sum.plus(*amount);
        }
        parts.retain(|_, amount| *amount != Amount::ZERO);
        parts
    }
}

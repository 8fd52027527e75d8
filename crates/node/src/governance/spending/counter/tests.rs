//! Against a real store, with writes that fail, restarts, repetitions, clocks that go back, and little memory.

use std::time::Duration;

use quorate_policy::window::WINDOWS;
use quorate_store::fault::{Fault, Faults};

use super::*;

const START: u64 = 1_795_245_187_123;
const HOUR: u64 = 3_600_000;
const TOKEN: &str = "0x00000000000000000000000000000000000000aa";

fn row(op: &str, at: u64, key: &str, principal: &str, native: u128) -> Spending {
    let tokens = BTreeMap::from([(TOKEN.to_owned(), Amount::new(native / 2))]);
    Spending {
        op_id: op.to_owned(),
        at,
        key_id: key.to_owned(),
        principal: principal.to_owned(),
        chain: "ethereum:1".to_owned(),
        native: native.to_string(),
        tokens: serde_json::to_string(&tokens).unwrap(),
    }
}

struct Bench {
    counter: Arc<Counter>,
    store: Store,
    faults: Faults,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        let store = Store::open_with_faults(folder.path(), faults.clone()).await.unwrap();
        Self { counter: Arc::new(Counter::new(store.clone())), store, faults, _folder: folder }
    }

    fn restart(&mut self) {
        self.counter = Arc::new(Counter::new(self.store.clone()));
    }

    async fn look(&self, row: &Spending, now: u64) -> (Turn, Spent) {
        let mut turn = self.counter.turn(&row.key_id, &row.principal, now).await.unwrap();
        let spent = self.counter.spent(&mut turn, &row.op_id, &read(row), now).await.unwrap();
        (turn, spent)
    }

    /// As a request does: looks, and counts itself.
    async fn count(&self, row: &Spending, now: u64) -> Result<Spent, StoreError> {
        let (turn, spent) = self.look(row, now).await;
        self.counter.count(row.clone(), Some(turn)).await.map(|()| spent)
    }

    /// Signatures with the key in the last hour, as another operation sees them.
    async fn seen(&self, key: &str, now: u64) -> u64 {
        self.look(&row("op_other", now, key, "nobody", 0), now).await.1.key.hour.count
    }
}

/// The plain sum over rows.
fn exact(
    rows: &[Spending],
    subject: &Subject,
    without: &str,
    now: u64,
    length: u64,
) -> (u64, Amount, Amount) {
    let mut sum = (0, Amount::ZERO, Amount::ZERO);
    for row in rows.iter().filter(|row| subject.owns(row) && row.op_id != without) {
        if row.at.saturating_add(length) >= now {
            let spend = read(row);
            sum = (sum.0 + 1, sum.1.plus(spend.native), sum.2.plus(spend.tokens[TOKEN]));
        }
    }
    sum
}

fn check(spent: &Spent, rows: &[Spending], asked: &Spending, now: u64) {
    let key = (Subject::Key(asked.key_id.clone()), &spent.key);
    let principal = (Subject::Principal(asked.principal.clone()), &spent.principal);
    for (subject, windows) in [key, principal] {
        for ((length, step), sum) in WINDOWS.into_iter().zip([&windows.hour, &windows.day, &windows.week]) {
            let least = exact(rows, &subject, &asked.op_id, now, length);
            let most = exact(rows, &subject, &asked.op_id, now, length + step);
            let found = (sum.count, sum.native, sum.tokens.get(TOKEN).copied().unwrap_or_default());
            let fits = |low: (u64, Amount, Amount), high: (u64, Amount, Amount)| {
                low.0 <= high.0 && low.1 <= high.1 && low.2 <= high.2
            };
            assert!(
                fits(least, found) && fits(found, most),
                "{subject:?} {length}: {least:?} {found:?} {most:?}"
            );
        }
    }
}

/// Small and repeatable.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Whatever happens, what a decision sees is what the store has, but for the length of a bucket.
#[tokio::test]
async fn sums_are_those_of_the_rows_through_faults_restarts_and_repetitions() {
    let (mut looks, mut refused, mut restarts) = (0, 0, 0);
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let mut bench = Bench::new().await;
        let (mut now, mut rows, mut asked) = (START, Vec::<Spending>::new(), Vec::<Spending>::new());
        if seed % 3 == 0 {
            let mut small = Counter::new(bench.store.clone());
            (small.max_subjects, small.max_cells) = (3, 40);
            bench.counter = Arc::new(small);
        }
        for step in 0..60 {
            match dice.roll(10) {
                0 => now += dice.roll(3 * WEEK),
                1 => now += dice.roll(3 * HOUR),
                2 => now -= dice.roll(WEEK),
                3 => now += dice.roll(2000),
                4 if seed % 3 != 0 => {
                    bench.restart();
                    restarts += 1;
                }
                _ => {}
            }
            let old = dice.roll(4) == 0 && !asked.is_empty();
            let one = if old {
                let which = usize::try_from(dice.roll(1000)).unwrap() % asked.len();
                Spending { at: now, ..asked[which].clone() }
            } else {
                let (key, principal) = (format!("key{}", dice.roll(3)), format!("user{}", dice.roll(3)));
                let native = if dice.roll(8) == 0 { u128::MAX } else { u128::from(dice.roll(1000)) };
                row(&format!("op{step}"), now, &key, &principal, native)
            };
            asked.push(one.clone());
            let fault = match dice.roll(8) {
                0 => Some(Fault::BeforeCommit),
                1 => Some(Fault::AfterCommit),
                _ => None,
            };
            let (turn, spent) = bench.look(&one, now).await;
            check(&spent, &rows, &one, now);
            looks += 1;
            let stored = rows.iter().any(|row| row.op_id == one.op_id);
            if let Some(fault) = fault.filter(|_| !stored) {
                bench.faults.fail_nth_write(1, fault);
            }
            let counted = bench.counter.count(one.clone(), Some(turn)).await;
            assert_eq!(counted.is_err(), fault.is_some() && !stored, "a failed write refuses");
            refused += u64::from(counted.is_err());
            if !stored && fault != Some(Fault::BeforeCommit) {
                rows.push(one);
            }
        }
        assert!(locked(&bench.counter.pending).is_empty());
        if seed % 3 == 0 {
            assert!(locked(&bench.counter.known).len() <= 4, "little memory");
        }
        bench.store.close().await;
    }
    assert!(looks == 720 && refused > 50 && restarts > 20, "{looks} {refused} {restarts}");
}

/// Two requests cannot both be the last one below a limit, and the next one need not wait for the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_holds_for_requests_at_once() {
    let bench = Bench::new().await;
    let ask = async |index: u64| {
        let (key, principal) = (format!("key{}", index % 2), format!("user{}", index % 3));
        let one = row(&format!("op{index}"), START, &key, &principal, 1);
        let (turn, spent) = bench.look(&one, START).await;
        let allowed = spent.key.hour.count < 10 && spent.principal.day.native < Amount::new(8);
        if allowed {
            bench.counter.count(one, Some(turn)).await.unwrap();
        }
        allowed
    };
    let allowed = futures_util::future::join_all((0..60).map(ask)).await;
    let rows = bench.store.spent(SpentBy::Key("key0"), (0, "")).await.unwrap().len()
        + bench.store.spent(SpentBy::Key("key1"), (0, "")).await.unwrap().len();
    assert_eq!(allowed.iter().filter(|allowed| **allowed).count(), rows);
    for key in ["key0", "key1"] {
        assert_eq!(bench.store.spent(SpentBy::Key(key), (0, "")).await.unwrap().len(), 10);
    }
    for user in ["user0", "user1", "user2"] {
        assert!(bench.store.spent(SpentBy::Principal(user), (0, "")).await.unwrap().len() <= 8);
    }
    // In memory before it is on the disk.
    let first = row("op_a", START, "key9", "user9", 1);
    let (turn, _) = bench.look(&first, START).await;
    let writing = bench.counter.count(first, Some(turn));
    assert_eq!(bench.seen("key9", START).await, 1);
    writing.await.unwrap();
    assert_eq!(bench.seen("key9", START).await, 1);
}

#[tokio::test]
async fn only_the_same_key_or_principal_waits() {
    let bench = Bench::new().await;
    let turn = bench.counter.turn("key0", "user0", START).await.unwrap();
    let soon = |key, principal| {
        tokio::time::timeout(Duration::from_millis(50), bench.counter.turn(key, principal, START))
    };
    drop(soon("key1", "user1").await.expect("nothing in common"));
    assert!(soon("key0", "user1").await.is_err(), "the same key");
    assert!(soon("key1", "user0").await.is_err(), "the same principal");
    drop(turn);
    drop(soon("key0", "user1").await.unwrap());
    // A key and a principal of one name are two things.
    let turn = bench.counter.turn("one", "two", START).await.unwrap();
    drop(soon("two", "one").await.unwrap());
    drop(turn);
}

#[tokio::test]
async fn a_failed_write_is_never_free() {
    let bench = Bench::new().await;
    let one = row("op1", START, "key", "user", 5);
    bench.faults.fail_nth_write(1, Fault::BeforeCommit);
    bench.count(&one, START).await.unwrap_err();
    assert_eq!(bench.seen("key", START).await, 0, "refused, and not there");
    bench.faults.fail_nth_write(1, Fault::AfterCommit);
    bench.count(&one, START).await.unwrap_err();
    assert_eq!(bench.seen("key", START).await, 1, "refused, and there");
    let writes = bench.faults.writes();
    assert_eq!(bench.count(&one, START).await.unwrap().key.hour.count, 0, "it does not see itself");
    assert_eq!((bench.seen("key", START).await, bench.faults.writes()), (1, writes), "once is enough");
    // While it is being written it counts, whatever becomes of it.
    let two = row("op2", START, "key", "user", 5);
    let (turn, _) = bench.look(&two, START).await;
    bench.faults.fail_nth_write(1, Fault::BeforeCommit);
    let writing = bench.counter.count(two, Some(turn));
    let mut seen = bench.counter.turn("key", "nobody", START).await.unwrap();
    let nothing = Spend::default();
    let spent = bench.counter.spent(&mut seen, "op3", &nothing, START);
    let (spent, written) = tokio::join!(spent, writing);
    assert!((1..=2).contains(&spent.unwrap().key.hour.count));
    written.unwrap_err();
    drop(seen);
    assert_eq!(bench.seen("key", START).await, 1);
}

/// The client goes away while its request is counted, and comes back with the same request.
#[tokio::test]
async fn it_is_counted_though_nobody_waits() {
    let bench = Bench::new().await;
    let one = row("op1", START, "key", "user", 5);
    let (turn, _) = bench.look(&one, START).await;
    drop(bench.counter.count(one.clone(), Some(turn)));
    let again = bench.count(&one, START).await.unwrap();
    assert_eq!((again.key.hour.count, bench.seen("key", START).await), (0, 1));
    assert!(bench.store.spending("op1").await.unwrap().is_some());
}

/// What was counted while nothing looked back is there when something does.
#[tokio::test]
async fn what_memory_was_not_told_is_read_again() {
    let bench = Bench::new().await;
    assert_eq!(bench.seen("key", START).await, 0);
    let one = row("op1", START, "key", "user", 5);
    let writing = bench.counter.count(one.clone(), None);
    assert_eq!(bench.seen("key", START).await, 1, "on its way");
    writing.await.unwrap();
    assert_eq!(bench.seen("key", START).await, 1);
    let (turn, spent) = bench.look(&one, START).await;
    assert_eq!(spent.key.hour.count, 0);
    bench.counter.count(one, Some(turn)).await.unwrap();
    assert_eq!(bench.seen("key", START).await, 1);
}

#[tokio::test]
async fn what_no_window_reaches_is_forgotten_a_little_at_a_time() {
    let bench = Bench::new().await;
    let now = START + 3 * WEEK;
    for index in 0..u64::from(FORGOTTEN) + 20 {
        let one = row(&format!("old{index}"), START + index, "key", "user", 5);
        let turn = if index == 0 { Some(bench.look(&one, START).await.0) } else { None };
        drop(bench.counter.count(one, turn));
    }
    bench.count(&row("new", now - WEEK, "key", "user", 5), now).await.unwrap();
    let of = |from: u64| bench.store.spent(SpentBy::Principal("user"), (from, ""));
    assert_eq!(bench.counter.forget(START).await.unwrap(), 0);
    assert_eq!(bench.counter.forget(now).await.unwrap(), u64::from(FORGOTTEN));
    assert_eq!(bench.counter.forget(now).await.unwrap(), 20);
    assert_eq!(bench.counter.forget(now).await.unwrap(), 0);
    assert_eq!(of(0).await.unwrap().len(), 1);
    let (_, spent) = bench.look(&row("other", now, "key", "user", 5), now).await;
    assert_eq!((spent.key.day.count, spent.key.week.count), (0, 1));
}

#[tokio::test]
async fn a_row_that_does_not_read_counts_as_everything() {
    let mut bench = Bench::new().await;
    let broken = Spending { native: "many".to_owned(), ..row("op1", START, "key", "user", 5) };
    bench.counter.count(broken, None).await.unwrap();
    bench.restart();
    let (_, spent) = bench.look(&row("op2", START, "key", "user", 5), START).await;
    assert_eq!((spent.key.hour.count, spent.key.hour.native), (1, Amount::MAX));
    assert_eq!(spent.principal.week.tokens[TOKEN], Amount::MAX);
}

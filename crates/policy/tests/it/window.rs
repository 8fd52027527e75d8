//! What was spent, against the plain sum over everything that happened.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quorate_policy::facts::{Amount, Spent, Sum, Windows};
use quorate_policy::window::{History, MAX_NAMES, Spend, WEEK, WINDOWS};

const START: u64 = 1_795_245_187_123;
const CHAINS: [&str; 3] = ["ethereum:1", "bitcoin", ""];
const TOKENS: [&str; 3] = ["0xa0", "0xb1", "mint"];

/// The sum over everything that lies in a window of a length, ahead of the clock too.
fn plain_sum(done: &[Spend], now: u64, length: u64, chain: &str) -> Sum {
    let mut sum = Sum::default();
    for one in done.iter().filter(|one| one.at.saturating_add(length) >= now) {
        sum.count += 1;
        if one.chain == chain {
            sum.native = sum.native.plus(one.native);
            for (token, amount) in &one.tokens {
                let total = sum.tokens.entry(token.to_ascii_lowercase()).or_insert(Amount::ZERO);
                *total = total.plus(*amount);
            }
        }
    }
    sum
}

fn sums(windows: &Windows) -> [&Sum; 3] {
    [&windows.hour, &windows.day, &windows.week]
}

fn at_most(less: &Sum, more: &Sum) -> bool {
    let token = |sum: &Sum, token: &str| sum.tokens.get(token).copied().unwrap_or(Amount::ZERO);
    less.count <= more.count
        && less.native <= more.native
        && less.tokens.keys().all(|name| token(less, name) <= token(more, name))
}

/// Never below the plain sum, never above that of a window that is longer by one bucket.
fn close(windows: &Windows, done: &[Spend], now: u64, chain: &str) -> Result<(), String> {
    for ((length, step), sum) in WINDOWS.into_iter().zip(sums(windows)) {
        let (least, most) = (plain_sum(done, now, length, chain), plain_sum(done, now, length + step, chain));
        if !at_most(&least, sum) || !at_most(sum, &most) {
            return Err(format!("window {length} at {now}: {least:?} <= {sum:?} <= {most:?}"));
        }
    }
    Ok(())
}

/// As a node does after a start: from what was kept.
fn reloaded(done: &[Spend], now: u64) -> History {
    let mut history = History::new(now);
    let wanted = History::wants(now);
    done.iter().filter(|one| one.at >= wanted).for_each(|one| history.add(one));
    history
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        Just(Amount::ZERO),
        (1..1_000_000u128).prop_map(Amount::new),
        (u128::MAX - 5..u128::MAX).prop_map(Amount::new),
        Just(Amount::MAX),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Spend {
        chain: usize,
        native: Amount,
        tokens: Vec<(usize, Amount)>,
    },
    /// The same operation once more: it does not see itself.
    Repeat(prop::sample::Index),
    Restart,
    /// In milliseconds; the clock may go back.
    Clock(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let step = |most: u64| i64::try_from(most).unwrap();
    prop_oneof![
        6 => (0..3usize, amount(), prop::collection::vec((0..3usize, amount()), 0..3))
            .prop_map(|(chain, native, tokens)| Event::Spend { chain, native, tokens }),
        2 => any::<prop::sample::Index>().prop_map(Event::Repeat),
        1 => Just(Event::Restart),
        2 => (0..2_000i64).prop_map(Event::Clock),
        2 => (0..step(WINDOWS[0].0 * 2)).prop_map(Event::Clock),
        1 => (0..step(WINDOWS[1].0 * 2)).prop_map(Event::Clock),
        1 => (0..step(WEEK * 2)).prop_map(Event::Clock),
        1 => (-step(WEEK)..0).prop_map(Event::Clock),
        1 => (-5_000..0i64).prop_map(Event::Clock),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sums_are_never_too_small_and_too_large_by_one_bucket_at_most(events in prop::collection::vec(event(), 1..60)) {
        let (mut now, mut done) = (START, Vec::<Spend>::new());
        let mut history = History::new(now);
        for event in events {
            let mut without = None;
            match event {
                Event::Spend { chain, native, tokens } => {
                    let tokens = tokens.into_iter().map(|(token, amount)| (TOKENS[token].to_owned(), amount));
                    let spend = Spend {
                        at: now,
                        chain: CHAINS[chain].to_owned(),
                        native,
                        tokens: tokens.collect::<BTreeMap<_, _>>(),
                        unreadable: false,
 more: 0,
                    };
                    history.add(&spend);
                    done.push(spend);
                }
                Event::Repeat(which) if !done.is_empty() => without = Some(which.index(done.len())),
                Event::Repeat(_) => {}
                Event::Restart => history = reloaded(&done, now),
                Event::Clock(by) => now = now.saturating_add_signed(by),
            }
            for chain in CHAINS {
                let own = without.map(|at| &done[at]);
                let windows = history.windows(now, chain, TOKENS, own).unwrap_or_else(|| {
                    history = reloaded(&done, now);
                    history.windows(now, chain, TOKENS, own).unwrap()
                });
                let mut others = done.clone();
                if let Some(at) = without {
                    others.remove(at);
                }
                let found = close(&windows, &others, now, chain);
                prop_assert!(found.is_ok(), "{found:?}");
            }
        }
    }
}

fn spend(at: u64, native: Amount, tokens: &[(&str, Amount)]) -> Spend {
    let tokens = tokens.iter().map(|(token, amount)| ((*token).to_owned(), *amount)).collect();
    Spend { at, chain: "ethereum:1".to_owned(), native, tokens, unreadable: false, more: 0 }
}

fn one(history: &mut History, now: u64, token: &str) -> (u64, Amount, Amount) {
    let windows = history.windows(now, "ethereum:1", [token], None).unwrap();
    let of = windows.week.tokens.get(&token.to_ascii_lowercase()).copied().unwrap_or_default();
    (windows.week.count, windows.week.native, of)
}

#[test]
fn a_history_that_begins_within_a_bucket_has_all_of_it() {
    let (length, step) = WINDOWS[2];
    let old = spend(START, Amount::new(7), &[]);
    // The last moment at which the bucket of the spending counts.
    let now = START - START % step + step - 1 + length;
    let new = spend(now, Amount::new(5), &[]);
    let mut history = reloaded(&[old.clone(), new], now);
    let week = history.windows(now, "ethereum:1", [], Some(&old)).unwrap().week;
    assert_eq!(
        (week.count, week.native),
        (1, Amount::new(5)),
        "what is new stays when what is old is taken out"
    );
}

#[test]
fn what_is_not_known_leaves_no_trace_when_it_has_left() {
    let mut history = History::new(START);
    history.add(&spend(START, Amount::MAX, &[("0xA0", Amount::MAX)]));
    history.add(&spend(START + WEEK / 2, Amount::new(7), &[("0xa0", Amount::new(5))]));
    assert_eq!(one(&mut history, START + WEEK / 2, "0xa0"), (2, Amount::MAX, Amount::MAX));
    assert_eq!(one(&mut history, START + WEEK + 600_000, "0xa0"), (1, Amount::new(7), Amount::new(5)));
    assert_eq!(one(&mut history, START + 2 * WEEK, "0xa0"), (0, Amount::ZERO, Amount::ZERO));
    assert_eq!(history.weight(), 1, "and takes no room");
}

/// A batch counts for all its items, is taken out as a whole, and an item sees those before it.
#[test]
fn a_batch_counts_for_every_item() {
    let mut history = History::new(START);
    history.add(&spend(START, Amount::new(3), &[]));
    let batch = Spend { more: 4, ..spend(START, Amount::new(50), &[("0xA0", Amount::new(7))]) };
    history.add(&batch);
    assert_eq!(one(&mut history, START, "0xa0"), (6, Amount::new(53), Amount::new(7)));
    let windows = history.windows(START, "ethereum:1", ["0xa0"], Some(&batch)).unwrap();
    assert_eq!((windows.hour.count, windows.hour.native), (1, Amount::new(3)));
    assert!(windows.hour.tokens.is_empty());
    let before = Spent { key: windows.clone(), principal: windows };
    let after = before.clone().and(&spend(0, Amount::new(10), &[("0xA0", Amount::new(2))]));
    let after = after.and(&spend(0, Amount::new(1), &[("0xa0", Amount::new(3))]));
    for windows in [&after.key, &after.principal] {
        for sum in [&windows.hour, &windows.day, &windows.week] {
            assert_eq!((sum.count, sum.native), (3, Amount::new(14)));
            assert_eq!(sum.tokens.get("0xa0"), Some(&Amount::new(5)), "under the name that rules write");
        }
    }
    assert_eq!(one(&mut history, START + 2 * WEEK, "0xa0"), (0, Amount::ZERO, Amount::ZERO));
}

#[test]
fn what_does_not_read_counts_as_everything_on_every_chain() {
    let mut history = History::new(START);
    history.add(&spend(START, Amount::ZERO, &[("0xa0", Amount::new(5))]));
    let unreadable = Spend { at: START, chain: "solana".to_owned(), unreadable: true, ..Spend::default() };
    history.add(&unreadable);
    assert_eq!(one(&mut history, START, "0xa0"), (2, Amount::MAX, Amount::MAX));
    assert_eq!(one(&mut history, START, "0xb1"), (2, Amount::MAX, Amount::MAX));
    let windows = history.windows(START, "ethereum:1", ["0xa0"], Some(&unreadable)).unwrap();
    assert_eq!((windows.day.count, windows.day.native), (1, Amount::ZERO), "but not for itself");
    assert_eq!(windows.day.tokens["0xa0"], Amount::new(5));
}

#[test]
fn tokens_beyond_the_bound_are_larger_than_any_limit() {
    let mut history = History::new(START);
    let name = |index: usize| format!("0x{index:040x}");
    let token = |index: usize, at: u64| spend(at, Amount::ZERO, &[(&name(index), Amount::new(1))]);
    (0..MAX_NAMES).for_each(|index| history.add(&token(index, START)));
    assert_eq!(one(&mut history, START, &name(0)).2, Amount::new(1));
    assert_eq!(one(&mut history, START, &name(MAX_NAMES)).2, Amount::ZERO, "nothing is lost yet");
    let late = START + WEEK / 2;
    history.add(&token(MAX_NAMES, late));
    assert_eq!(one(&mut history, late, &name(0)).2, Amount::new(1), "those with sums of their own keep them");
    assert_eq!(one(&mut history, late, &name(MAX_NAMES)).2, Amount::MAX);
    assert_eq!(one(&mut history, late, &name(9999)).2, Amount::MAX, "nobody knows whether it was that one");
    let own = token(MAX_NAMES, late);
    let windows = history.windows(late, "ethereum:1", [name(MAX_NAMES).as_str()], Some(&own)).unwrap();
    assert!(!windows.week.tokens.contains_key(&name(MAX_NAMES)), "but it does not see itself");
    // The first ones have left, the one beyond has not: a name that begins now could hide what it spent before.
    let later = START + WEEK + 600_000;
    assert_eq!(one(&mut history, later, &name(0)).2, Amount::MAX);
    history.add(&token(MAX_NAMES, later));
    assert_eq!(one(&mut history, later, &name(MAX_NAMES)).2, Amount::MAX);
    // A week after the last one beyond, names are free again.
    let end = later + WEEK + 600_000;
    assert_eq!(one(&mut history, end, &name(MAX_NAMES)).2, Amount::ZERO);
    history.add(&token(MAX_NAMES, end));
    assert_eq!(one(&mut history, end, &name(MAX_NAMES)).2, Amount::new(1));
    // As after a restart.
    assert!(history.weight() < 10, "{}", history.weight());
}

#[test]
fn a_clock_that_goes_back_over_what_was_let_go_asks_for_it() {
    let mut history = History::new(START);
    history.add(&spend(START, Amount::new(7), &[]));
    assert_eq!(one(&mut history, START + 2 * WEEK, "").0, 0);
    assert!(history.windows(START + WEEK, "ethereum:1", [], None).is_none(), "too little would be worse");
    assert!(history.windows(START + WEEK + 600_000, "ethereum:1", [], None).is_some());
    // What lies ahead of the clock counts, as long as it takes.
    let mut history = History::new(START);
    history.add(&spend(START + WEEK, Amount::new(7), &[]));
    assert_eq!(one(&mut history, START, "").1, Amount::new(7));
    assert_eq!(history.windows(START, "ethereum:1", [], None).unwrap().hour.count, 1);
}

#[test]
fn memory_does_not_grow_with_how_often_something_is_spent() {
    let mut history = History::new(START);
    let month = 4 * WEEK;
    for at in (START..START + month).step_by(20_000) {
        history.add(&spend(at, Amount::new(1), &[("0xa0", Amount::new(1))]));
        if at % 1000 == 0 {
            history.windows(at, "ethereum:1", [], None).unwrap();
        }
    }
    let windows = history.windows(START + month, "ethereum:1", [], None).unwrap();
    assert!((30_240..=30_241 + 30).contains(&windows.week.count), "{}", windows.week.count);
    assert!(history.weight() < 3 * 6_060, "{}", history.weight());
}

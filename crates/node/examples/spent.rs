//! Measures what it costs to look at what was spent and to count one more, after 1,000, 100,000 and 1,000,000 signatures of one key in a
//! week: `cargo run --release -p quorate-node --example spent`. Beside it, what it costs to read and add up all rows of the week.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "a measuring program stops at the first surprise and prints; it has a part of the node's own code"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quorate_policy::facts::Amount;
use quorate_policy::window::{Spend, WEEK};
use quorate_store::{DATABASE_FILE, Spending, Store};
use rusqlite::Connection;

#[path = "../src/governance/spending/counter.rs"]
mod counter;

const KEY: &str = "key_00000000000000000000000000";
const PRINCIPAL: &str = "hot-wallet";
const TOKENS: &str = r#"{"0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48":"2500000"}"#;
const NATIVE: &str = "1000000000000000";

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn row(index: u64, at: u64) -> Spending {
    Spending {
        op_id: format!("op_{index:026}"),
        at,
        key_id: KEY.to_owned(),
        principal: PRINCIPAL.to_owned(),
        chain: "ethereum:1".to_owned(),
        native: NATIVE.to_owned(),
        tokens: TOKENS.to_owned(),
    }
}

fn fill(connection: &mut Connection, count: u64, now: u64) {
    let transaction = connection.transaction().unwrap();
    let insert = "INSERT INTO spending (op_id, at, key_id, principal, chain, native, tokens) VALUES (?, ?, ?, ?, ?, ?, ?)";
    for index in 0..count {
        let row = row(index, now - WEEK + 1 + index * (WEEK / count));
        let at = i64::try_from(row.at).unwrap();
        let values = (row.op_id, at, row.key_id, row.principal, row.chain, row.native, row.tokens);
        transaction.prepare_cached(insert).unwrap().execute(values).unwrap();
    }
    transaction.commit().unwrap();
}

/// All rows of the week, as they were read for each decision before there were sums.
fn add_up(connection: &Connection, now: u64) -> (u64, Amount) {
    let rows = "SELECT * FROM spending WHERE key_id = ?1 AND at >= ?3 \
                UNION SELECT * FROM spending WHERE principal = ?2 AND at >= ?3 ORDER BY at";
    let mut statement = connection.prepare_cached(rows).unwrap();
    let mut rows = statement.query((KEY, PRINCIPAL, i64::try_from(now - WEEK).unwrap())).unwrap();
    let (mut count, mut native) = (0, Amount::ZERO);
    while let Some(row) = rows.next().unwrap() {
        count += 1;
        native = native.plus(row.get::<_, String>("native").unwrap().parse().unwrap());
        let tokens: String = row.get("tokens").unwrap();
        let tokens: BTreeMap<String, Amount> = serde_json::from_str(&tokens).unwrap();
        std::hint::black_box(tokens);
    }
    (count, native)
}

/// The median and the slowest twentieth.
fn spread(mut taken: Vec<Duration>) -> String {
    taken.sort();
    let at = |percent: usize| taken.get(taken.len() * percent / 100).copied().unwrap_or_default();
    format!("{:.3} ms (95 %: {:.3} ms)", at(50).as_secs_f64() * 1e3, at(95).as_secs_f64() * 1e3)
}

#[tokio::main]
async fn main() {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    for count in [1_000, 100_000, 1_000_000] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let path = folder.path().join(DATABASE_FILE);
        let mut connection = Connection::open(path).unwrap();
        let begun = now();
        fill(&mut connection, count, begun);
        let mut before = Vec::new();
        for _ in 0..if count > 100_000 { 3 } else { 10 } {
            let start = Instant::now();
            std::hint::black_box(add_up(&connection, begun));
            before.push(start.elapsed());
        }
        connection.close().unwrap();
        println!("{profile}, {count} signatures in the week: all rows {}", spread(before));
        let counter = Arc::new(counter::Counter::new(store.clone()));
        let (mut first, mut looks, mut counts) = (None, Vec::new(), Vec::new());
        for index in 0..1_000 {
            let row = row(count + index, now());
            let spend = Spend {
                at: row.at,
                chain: row.chain.clone(),
                native: NATIVE.parse().unwrap(),
                tokens: serde_json::from_str(TOKENS).unwrap(),
                unreadable: false,
                more: 0,
            };
            let start = Instant::now();
            let mut turn = counter.turn(KEY, PRINCIPAL, row.at).await.unwrap();
            std::hint::black_box(counter.spent(&mut turn, &row.op_id, &spend, row.at).await.unwrap());
            let looked = start.elapsed();
            let counted = Instant::now();
            counter.count(row, Some(turn)).await.unwrap();
            if first.is_none() {
                first = Some(looked);
            } else {
                looks.push(looked);
                counts.push(counted.elapsed());
            }
        }
        println!(
            "  first look, from the store {:.1} ms; then a look {}; counted and on the disk {}",
            first.unwrap_or_default().as_secs_f64() * 1e3,
            spread(looks),
            spread(counts)
        );
        store.close().await;
    }
}

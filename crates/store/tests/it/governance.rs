//! What people decided, at rest: kept once, logged in the same commit, never changed.

use std::net::{IpAddr, Ipv4Addr};

use quorate_log::entry::{Entry, Kind};
use quorate_log::note::LogSigner;
use quorate_store::fault::{Fault, Faults};
use quorate_store::{DATABASE_FILE, Spending, SpentBy, Store};

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn entry(kind: Kind) -> Entry {
    Entry::new(kind, 1_700_000_000_000, "{}").unwrap()
}

async fn opened(folder: &std::path::Path, faults: Faults) -> Store {
    let store = Store::open_with_faults(folder, faults).await.unwrap();
    store.open_log(LogSigner::from_seed("node-a.example.com/log", &[7; 32]).unwrap()).await.unwrap();
    store
}

async fn logged(store: &Store) -> Vec<Kind> {
    let entries = store.log_entries(0, 100).await.unwrap();
    entries.iter().map(|entry| Entry::decode(entry).unwrap().kind()).collect()
}

#[tokio::test]
async fn each_thing_is_kept_and_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path(), Faults::default()).await;
    for first in [true, false] {
        let opened =
            store.open_case("op_1", b"request".to_vec(), Some(SOURCE), 5, vec![entry(Kind::Request)]).await;
        assert_eq!(opened.unwrap(), first);
        let added = store.add_ruling("op_1", [1; 32], b"yes".to_vec(), 6, entry(Kind::Approval)).await;
        assert_eq!(added.unwrap(), first);
        let frozen = store.freeze([2; 32], b"stop".to_vec(), 7, entry(Kind::Freeze)).await;
        assert_eq!(frozen.unwrap(), first);
        let kept = store.keep_fork([3; 32], b"other".to_vec(), 8, entry(Kind::Evidence)).await;
        assert_eq!(kept.unwrap(), first);
        let adopted = store.adopt(0, b"genesis".to_vec(), Vec::new(), 9, vec![entry(Kind::Change)]).await;
        assert_eq!(adopted.unwrap(), first);
    }
    let once = [Kind::Request, Kind::Approval, Kind::Freeze, Kind::Evidence, Kind::Change];
    assert_eq!(logged(&store).await, once);
    assert_eq!(store.rulings("op_1").await.unwrap(), [b"yes".to_vec()]);
    let case = store.case("op_1").await.unwrap().unwrap();
    assert_eq!((case.first_seen, case.source), (5, Some(SOURCE)));
    assert_eq!(store.freezes().await.unwrap()[0].thawed_at, None);
    // A change lifts freezes in the same commit; one of a version that is taken lifts nothing.
    assert!(!store.adopt(0, b"late".to_vec(), vec![[2; 32]], 10, Vec::new()).await.unwrap());
    assert_eq!(store.freezes().await.unwrap()[0].thawed_at, None);
    assert!(store.adopt(1, b"thaw".to_vec(), vec![[2; 32]], 11, vec![entry(Kind::Thaw)]).await.unwrap());
    assert_eq!(store.freezes().await.unwrap()[0].thawed_at, Some(11));
    let versions = store.directory(0, 10).await.unwrap();
    assert_eq!(versions, [(0, b"genesis".to_vec()), (1, b"thaw".to_vec())]);
    assert_eq!(store.open_cases(10, 0).await.unwrap().len(), 1);
    store.close_case("op_1", "succeeded").await.unwrap();
    store.close_case("op_1", "failed").await.unwrap();
    assert_eq!(store.case("op_1").await.unwrap().unwrap().closed.as_deref(), Some("succeeded"));
    assert!(store.open_cases(10, 0).await.unwrap().is_empty());
    // Another branch: what it takes the place of is kept, as is what is taken.
    let dropped = vec![([4; 32], b"thaw".to_vec())];
    let refused = store.switch_branch(1, b"other".to_vec(), Vec::new(), 12, entry(Kind::Change)).await;
    assert!(refused.unwrap_err().to_string().contains("kept for ever"), "what is not kept stays");
    assert_eq!(store.directory(1, 10).await.unwrap(), [(1, b"thaw".to_vec())]);
    store.switch_branch(1, b"other".to_vec(), dropped, 12, entry(Kind::Change)).await.unwrap();
    assert_eq!(store.directory(1, 10).await.unwrap(), [(1, b"other".to_vec())]);
    assert_eq!(store.forks().await.unwrap(), [(8, b"other".to_vec()), (12, b"thaw".to_vec())]);
    assert_eq!(logged(&store).await.len(), once.len() + 2);
    store.close().await;
    // The database itself keeps them.
    let path = folder.path().join(DATABASE_FILE);
    let connection = rusqlite::Connection::open(&path).unwrap();
    for statement in [
        "DELETE FROM directory",
        "UPDATE directory SET entry = x'00'",
        "DELETE FROM directory_forks",
        "UPDATE directory_forks SET entry = x'00'",
        "DELETE FROM rulings",
        "DELETE FROM freezes",
    ] {
        assert!(connection.execute(statement, []).is_err(), "{statement}");
    }
    connection.close().unwrap();
}

#[tokio::test]
async fn a_failed_commit_keeps_nothing_of_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let store = opened(folder.path(), faults.clone()).await;
    store.freeze([2; 32], b"stop".to_vec(), 7, entry(Kind::Freeze)).await.unwrap();
    faults.fail_nth_write(1, Fault::BeforeCommit);
    assert!(store.adopt(0, b"c".to_vec(), vec![[2; 32]], 9, vec![entry(Kind::Change)]).await.is_err());
    assert!(store.directory(0, 10).await.unwrap().is_empty());
    assert_eq!(store.freezes().await.unwrap()[0].thawed_at, None);
    assert_eq!(logged(&store).await, [Kind::Freeze]);
    assert!(store.adopt(0, b"c".to_vec(), vec![[2; 32]], 9, vec![entry(Kind::Change)]).await.unwrap());
}

/// What was spent comes in pages without gaps, also where many operations have one time, once an operation, and the oldest goes first.
#[tokio::test]
async fn what_was_spent_is_read_in_pages_and_forgotten_in_batches() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path(), Faults::default()).await;
    let one = |op: &str, at: u64| Spending {
        op_id: op.to_owned(),
        at,
        key_id: "key_1".to_owned(),
        principal: "alice".to_owned(),
        chain: "bitcoin".to_owned(),
        native: "5".to_owned(),
        tokens: "{}".to_owned(),
    };
    assert!(store.spend(one("op_first", 7)).await.unwrap());
    assert!(!store.spend(one("op_first", 900)).await.unwrap(), "once an operation");
    assert_eq!(store.spending("op_first").await.unwrap(), Some(one("op_first", 7)));
    assert_eq!(store.spending("op_none").await.unwrap(), None);
    let connection = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let many = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4999) \
                INSERT INTO spending SELECT printf('op_%05d', i), 10 + i / 3000, 'key_' || (1 + i % 2), 'alice', '', '1', '{}' FROM n";
    connection.execute(many, []).unwrap();
    connection.close().unwrap();
    let all = async |by: SpentBy<'_>, from: u64| {
        let (mut found, mut after) = (Vec::new(), (from, String::new()));
        loop {
            let page = store.spent(by, (after.0, &after.1)).await.unwrap();
            let Some(last) = page.last() else { break found };
            after = (last.at, last.op_id.clone());
            found.extend(page.into_iter().map(|row| row.op_id));
        }
    };
    let found = all(SpentBy::Principal("alice"), 0).await;
    let wanted: Vec<String> =
        std::iter::once("op_first".to_owned()).chain((0..5000).map(|i| format!("op_{i:05}"))).collect();
    assert_eq!(found, wanted);
    assert_eq!(all(SpentBy::Key("key_2"), 0).await.len(), 2500);
    assert_eq!(all(SpentBy::Principal("alice"), 11).await.len(), 2000, "from a moment on, that one too");
    assert_eq!(all(SpentBy::Key("alice"), 0).await.len(), 0);
    assert_eq!(store.forget_spending(11, 2000).await.unwrap(), 2000);
    assert_eq!(store.spending("op_first").await.unwrap(), None, "the oldest first");
    assert_eq!(store.forget_spending(11, 2000).await.unwrap(), 1001);
    assert_eq!(store.forget_spending(11, 2000).await.unwrap(), 0);
    assert_eq!(all(SpentBy::Principal("alice"), 0).await.len(), 2000);
}

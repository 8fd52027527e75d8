//! The audit log at rest: what is written with a record is in the log, proven and signed, or neither is there.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::{Entry, Id, Kind};
use quorate_log::note::LogSigner;
use quorate_log::receipt::Receipt;
use quorate_log::tile::{Level, ReadTile, Tile};
use quorate_log::verify::audit;
use quorate_log::witness::WitnessPolicy;
use quorate_store::fault::{Fault, Faults};
use quorate_store::{Begin, DATABASE_FILE, OperationStatus, OperationUpdate, Store, StoreError, Uses};

use crate::common::operation;

const NAME: &str = "node-a.example.com/log";

fn signer() -> LogSigner {
    LogSigner::from_seed(NAME, &[7; 32]).unwrap()
}

fn entry(text: &str) -> Entry {
    Entry::new(Kind::Decision, 1_700_000_000_000, text).unwrap().operation(Id::new("op_1").unwrap())
}

async fn opened(folder: &Path) -> Store {
    let store = Store::open(folder).await.unwrap();
    store.open_log(signer()).await.unwrap();
    store
}

fn nobody() -> WitnessPolicy {
    WitnessPolicy::new(0, Vec::new()).unwrap()
}

/// All tiles of a log, read once.
struct Copy(BTreeMap<(Level, u64), Vec<u8>>);

impl ReadTile for Copy {
    type Error = Infallible;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, Infallible> {
        Ok(self.0.get(&(tile.level(), tile.index())).cloned().unwrap_or_default())
    }
}

async fn head(store: &Store) -> SignedCheckpoint {
    SignedCheckpoint::parse(&store.log_head().await.unwrap().unwrap()).unwrap()
}

async fn copy(store: &Store, size: u64) -> Copy {
    let mut tiles = BTreeMap::new();
    for tile in Tile::written(0, size) {
        let bytes = store.log_tile(tile).await.unwrap().unwrap();
        tiles.insert((tile.level(), tile.index()), bytes);
    }
    Copy(tiles)
}

async fn sound(store: &Store, size: u64) {
    let head = head(store).await;
    assert_eq!(head.claim().size(), size);
    let report = audit(signer().key(), &head, &copy(store, size).await, &[], &[]).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

async fn with_database(folder: &Path, statements: &[&'static str]) {
    let connection = rusqlite::Connection::open(folder.join(DATABASE_FILE)).unwrap();
    for statement in statements {
        connection.execute(statement, []).unwrap();
    }
    connection.close().unwrap();
}

#[tokio::test]
async fn groups_of_any_size_are_proven_and_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut size = 0_u64;
    let mut receipts = Vec::new();
    // Crosses full tiles in the middle of groups, and between them.
    for (round, count) in [1_u64, 254, 1, 1, 255, 300, 7].into_iter().enumerate() {
        let store = opened(folder.path()).await;
        let writes = (0..count).map(|nth| {
            let store = store.clone();
            tokio::spawn(async move {
                let id = format!("op-{round}-{nth}");
                let begun = store
                    .begin_operation_logged(operation(&id), 1, |begun| match begun {
                        Begin::New(_) => vec![entry("begun")],
                        _ => Vec::new(),
                    })
                    .await;
                assert!(matches!(begun.unwrap(), Begin::New(_)));
                let update = OperationUpdate::status(OperationStatus::Running);
                store
                    .update_operation_logged(&id, OperationStatus::Queued, update, 2, entry(&id))
                    .await
                    .unwrap()
            })
        });
        for write in writes.collect::<Vec<_>>() {
            let (updated, receipt) = write.await.unwrap();
            assert_eq!(updated.status, OperationStatus::Running);
            let [receipt] = receipt.as_slice() else { panic!("one receipt") };
            let logged = receipt.verify(signer().key(), &nobody()).unwrap();
            assert_eq!(logged.entry.body(), updated.op_id.as_bytes());
            receipts.push(receipt.clone());
        }
        size += 2 * count;
        sound(&store, size).await;
        store.close().await;
    }
    assert_eq!((size, receipts.len()), (1638, 819));
    // Every receipt is of the history that is there at the end.
    let store = opened(folder.path()).await;
    let report =
        audit(signer().key(), &head(&store).await, &copy(&store, size).await, &[], &receipts).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let texts: Vec<Receipt> = receipts.iter().map(|r| Receipt::parse(&r.to_string()).unwrap()).collect();
    assert_eq!(texts, receipts);
    for op in ["op-0-0", "op-1-253", "op-5-299", "op-6-6"] {
        let outcome = Entry::new(Kind::Outcome, 1, op).unwrap().operation(Id::new(op).unwrap());
        assert!(store.log_receipt(op).await.unwrap().is_none());
        store.log(vec![outcome, entry("next")]).await.unwrap();
        for more in 0..3 {
            store.log((0..130).map(|_| entry("more")).collect()).await.unwrap();
            let receipt = store.log_receipt(op).await.unwrap().unwrap();
            let logged = receipt.verify(signer().key(), &nobody()).unwrap();
            assert_eq!(
                (logged.entry.body(), logged.checkpoint),
                (op.as_bytes(), head(&store).await.claim().clone()),
                "{more}"
            );
        }
    }
    let listed = store.log_entries(1630, 8).await.unwrap();
    assert_eq!(listed.len(), 8);
}

#[tokio::test]
async fn what_is_not_written_is_not_logged() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let store = Store::open_with_faults(folder.path(), faults.clone()).await.unwrap();
    assert!(matches!(store.log(vec![entry("early")]).await, Err(StoreError::NoLog)));
    assert!(matches!(store.consume_logged(b"early", 1, None, entry("early")).await, Err(StoreError::NoLog)));
    assert!(!store.is_consumed(b"early").await.unwrap(), "neither the mark nor the entry");
    store.open_log(signer()).await.unwrap();
    assert!(store.log_head().await.unwrap().is_none());
    assert!(store.consume_logged(b"nonce", 1, None, entry("used")).await.unwrap().is_some());
    assert!(store.consume_logged(b"nonce", 1, None, entry("used again")).await.unwrap().is_none());
    sound(&store, 1).await;
    faults.fail_nth_write(1, Fault::BeforeCommit);
    faults.fail_nth_write(2, Fault::DiskFull);
    faults.fail_nth_write(3, Fault::AfterCommit);
    assert!(store.consume_logged(b"before", 1, None, entry("before")).await.is_err());
    assert!(store.log(vec![entry("full")]).await.is_err());
    sound(&store, 1).await;
    assert!(store.consume_logged(b"after", 1, None, entry("after")).await.is_err());
    sound(&store, 2).await;
    assert!(store.is_consumed(b"after").await.unwrap(), "both the mark and the entry");
    // Refused by the records.
    let update = OperationUpdate::status(OperationStatus::Running);
    let refused =
        store.update_operation_logged("none", OperationStatus::Queued, update, 2, entry("none")).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })));
    sound(&store, 2).await;
}

#[tokio::test]
async fn a_log_that_was_changed_is_not_taken_up() {
    let changes: [&[&'static str]; 7] = [
        &["DROP TRIGGER log_entries_do_not_change", "UPDATE log_entries SET entry = x'01' WHERE idx = 299"],
        &["DROP TRIGGER log_entries_stay", "DELETE FROM log_entries WHERE idx = 299"],
        &["INSERT INTO log_entries (idx, entry) VALUES (300, x'01')"],
        &["DELETE FROM log_head"],
        &["UPDATE log_head SET note = replace(note, '300', '299')"],
        &["DROP TRIGGER log_tiles_do_not_change", "UPDATE log_tiles SET bytes = zeroblob(8192)"],
        &["DROP TRIGGER log_tiles_stay", "DELETE FROM log_tiles"],
    ];
    let mut refused = 0;
    for change in changes {
        let folder = tempfile::tempdir().unwrap();
        let store = opened(folder.path()).await;
        store.log((0..300).map(|nth| entry(&nth.to_string())).collect()).await.unwrap();
        store.close().await;
        with_database(folder.path(), change).await;
        let store = Store::open(folder.path()).await.unwrap();
        let error = store.open_log(signer()).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{change:?}: {error}");
        assert!(error.to_string().contains("audit log"), "{error}");
        refused += 1;
    }
    assert_eq!(refused, 7);
    // Another node's log.
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path()).await;
    store.log(vec![entry("mine")]).await.unwrap();
    let other = LogSigner::from_seed(NAME, &[8; 32]).unwrap();
    assert!(matches!(store.open_log(other).await, Err(StoreError::Corrupt { .. })));
    // The database itself keeps a program from changing it.
    let connection = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    for statement in ["UPDATE log_entries SET entry = x'00'", "DELETE FROM log_entries"] {
        let error = connection.execute(statement, []).unwrap_err();
        assert!(error.to_string().contains("kept for ever"), "{error}");
    }
}

/// covers: A21. Uses are counted with the mark that they are for, once, and in no other way; the database itself lets the count only grow.
#[tokio::test]
async fn uses_are_counted_with_their_mark() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let store = Store::open_with_faults(folder.path(), faults.clone()).await.unwrap();
    store.open_log(signer()).await.unwrap();
    let uses = |epoch, count| Some(Uses { key_id: "key".to_owned(), epoch, count });
    let consume = async |id: &[u8], uses| store.consume_logged(id, 1, uses, entry("used")).await;
    assert_eq!(consume(b"one", uses(0, 3)).await.unwrap(), Some(3));
    assert_eq!(consume(b"two", uses(0, 4)).await.unwrap(), Some(7));
    assert_eq!(consume(b"two", uses(0, 4)).await.unwrap(), None, "used before, so not counted again");
    assert_eq!(consume(b"three", uses(1, 1)).await.unwrap(), Some(1), "of another epoch");
    assert_eq!(consume(b"four", None).await.unwrap(), Some(0));
    faults.fail_nth_write(1, Fault::BeforeCommit);
    assert!(consume(b"five", uses(0, 1)).await.is_err());
    assert_eq!((store.uses("key", 0).await.unwrap(), store.is_consumed(b"five").await.unwrap()), (7, false));
    faults.fail_nth_write(1, Fault::AfterCommit);
    assert!(consume(b"five", uses(0, 1)).await.is_err());
    assert_eq!((store.uses("key", 0).await.unwrap(), store.is_consumed(b"five").await.unwrap()), (8, true));
    // What cannot be counted is not used either.
    let most = u64::try_from(i64::MAX).unwrap();
    assert!(consume(b"six", uses(0, most)).await.is_err());
    assert!(matches!(consume(b"six", uses(0, most + 1)).await, Err(StoreError::OutOfRange { .. })));
    assert!(!store.is_consumed(b"six").await.unwrap());
    sound(&store, 5).await;
    store.close().await;

    let database = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    for statement in
        ["DELETE FROM uses", "UPDATE uses SET count = count - 1", "UPDATE uses SET epoch = epoch + 7"]
    {
        let refused = database.execute(statement, []).unwrap_err();
        assert!(refused.to_string().contains("counted for ever"), "{statement}: {refused}");
    }
    drop(database);
    let store = Store::open(folder.path()).await.unwrap();
    let counted = (store.uses("key", 0).await.unwrap(), store.uses("key", 1).await.unwrap());
    assert_eq!((counted, store.uses("other", 0).await.unwrap()), ((8, 1), 0));
}

//! Writes that fail on purpose.

use quorate_store::fault::{Fault, Faults};
use quorate_store::{Begin, Store, StoreError};

use crate::common::{key, operation};

#[tokio::test]
async fn a_write_that_fails_before_its_commit_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let store = Store::open_with_faults(folder.path(), faults.clone()).await.unwrap();
    faults.fail_nth_write(1, Fault::BeforeCommit);
    faults.fail_nth_write(3, Fault::DiskFull);
    let error = store.insert_key(key("one"), 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }) && error.may_have_been_written(), "{error}");
    assert!(store.key("one").await.unwrap().is_none());
    store.insert_key(key("two"), 1).await.unwrap();
    let error = store.insert_key(key("three"), 1).await.unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }) && error.is_retryable(), "{error}");
    assert!(store.key("three").await.unwrap().is_none());
    store.insert_key(key("three"), 1).await.unwrap();
    assert_eq!(faults.writes(), 4);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let store = Store::open_with_faults(folder.path(), faults.clone()).await.unwrap();
    faults.fail_nth_write(1, Fault::AfterCommit);
    faults.fail_nth_write(2, Fault::AfterCommit);
    assert!(store.begin_operation(operation("op"), 1).await.unwrap_err().may_have_been_written());
    assert!(store.consume(b"nonce", 1).await.unwrap_err().may_have_been_written());
    assert!(matches!(store.begin_operation(operation("op"), 2).await.unwrap(), Begin::Existing(_)));
    assert!(!store.consume(b"nonce", 2).await.unwrap());
}

#[tokio::test]
async fn a_fault_hits_only_its_own_write() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let store = Store::open_with_faults(folder.path(), faults.clone()).await.unwrap();
    for nth in [3, 17, 40] {
        faults.fail_nth_write(nth, Fault::BeforeCommit);
    }
    let writes: Vec<_> = (0..50_u8)
        .map(|index| {
            let store = store.clone();
            tokio::spawn(async move { (index, store.consume(&[index], 1).await) })
        })
        .collect();
    let (mut written, mut failed) = (0, 0);
    for write in writes {
        let (index, result) = write.await.unwrap();
        assert_eq!(store.is_consumed(&[index]).await.unwrap(), result.is_ok());
        match result {
            Ok(newly) => written += u32::from(newly),
            Err(_) => failed += 1,
        }
    }
    assert_eq!((written, failed), (47, 3));
}

#[tokio::test]
async fn a_caller_that_stops_waiting_does_not_stop_the_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.consume(b"nonce", 1).await }
    });
    // Handed over, then abandoned.
    tokio::task::yield_now().await;
    waiting.abort();
    drop(waiting.await);
    store.consume(b"later", 1).await.unwrap();
    assert!(store.is_consumed(b"nonce").await.unwrap());
}

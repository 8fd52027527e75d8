//! Damaged, cut, foreign and newer files: a clear error, and the file stays as it was found.

use std::fs;
use std::path::{Path, PathBuf};

use quorate_store::{DATABASE_FILE, Store, StoreError};
use rusqlite::Connection;

use crate::common::{burn, key, operation};
use crate::crash::{Child, is_written};

fn database(folder: &Path) -> PathBuf {
    folder.join(DATABASE_FILE)
}

fn wal(folder: &Path) -> PathBuf {
    folder.join(format!("{DATABASE_FILE}-wal"))
}

/// A closed store with enough in it to fill some pages.
async fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    for index in 0..20 {
        let id = format!("id_{index}");
        let mut new = key(&id);
        new.sealed_share = vec![0xCD; 6_000];
        store.insert_key(new, 1).await.unwrap();
        store.begin_operation(operation(&id), 1).await.unwrap();
        store.burn(burn(index)).await.unwrap();
    }
    store.close().await;
    folder
}

fn connect(file: &Path) -> Connection {
    Connection::open(file).unwrap()
}

/// Opens, expects a refusal that changes nothing, and gives it.
async fn refused(folder: &Path) -> StoreError {
    let before = (fs::read(database(folder)).unwrap(), fs::read(wal(folder)).ok());
    let error = Store::open(folder).await.unwrap_err();
    let after = (fs::read(database(folder)).unwrap(), fs::read(wal(folder)).ok());
    assert!(before.0 == after.0, "the refusal changed the file: {error}");
    let lens = (before.1.as_ref().map(Vec::len), after.1.as_ref().map(Vec::len));
    assert!(before.1 == after.1, "the refusal changed the log {lens:?}: {error}");
    // The folder is free again.
    assert!(!matches!(Store::open(folder).await.unwrap_err(), StoreError::Locked { .. }));
    error
}

#[tokio::test]
async fn a_cut_file_is_refused_unchanged() {
    let folder = filled().await;
    let whole = fs::read(database(folder.path())).unwrap();
    let len = whole.len();
    assert!(len > 100_000);
    let cuts = [1, 50, 99, 100, 101, 4095, 4096, 4097, 8192, len / 2, len - 4096, len - 1];
    for cut in cuts {
        fs::write(database(folder.path()), &whole[..cut]).unwrap();
        let error = refused(folder.path()).await;
        assert!(matches!(error, StoreError::Corrupt { .. }), "{cut} bytes: {error}");
        assert!(error.to_string().contains(DATABASE_FILE), "{error}");
    }
    assert_eq!(cuts.len(), 12);
    fs::write(database(folder.path()), &whole).unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(store.list_keys(None, 100).await.unwrap().items.len(), 20);
}

#[tokio::test]
async fn a_file_cut_while_its_log_is_there_is_refused_unchanged() {
    let folder = filled().await;
    let mut child = Child::start(folder.path(), 1_000);
    child.wait_for_acknowledged(5);
    child.kill();
    let whole = fs::read(database(folder.path())).unwrap();
    let log = fs::read(wal(folder.path())).unwrap();
    assert!(!log.is_empty());
    let cuts = [100, 4097, whole.len() / 4, whole.len() / 2];
    for cut in cuts {
        fs::write(database(folder.path()), &whole[..cut]).unwrap();
        let error = refused(folder.path()).await;
        assert!(matches!(error, StoreError::Corrupt { .. }), "{cut} bytes: {error}");
    }
    assert_eq!(cuts.len(), 4);
    // Near the end, the log may hold every page that was cut off. Then nothing may be missing.
    let mut opened = 0;
    for cut in (whole.len() / 2..=whole.len()).rev().step_by(4095) {
        fs::write(database(folder.path()), &whole[..cut]).unwrap();
        fs::write(wal(folder.path()), &log).unwrap();
        match Store::open(folder.path()).await {
            Err(error) => {
                assert!(matches!(error, StoreError::Corrupt { .. }), "{cut} bytes: {error}");
                assert_ne!(cut, whole.len());
            }
            Ok(store) => {
                let keys = store.list_keys(None, 100).await.unwrap().items;
                assert_eq!(keys.len(), 20);
                assert!(keys.iter().all(|key| key.sealed_share == [0xCD; 6_000]), "{cut} bytes");
                for number in &child.acknowledged {
                    assert!(is_written(&store, *number).await, "{cut} bytes: {number} is gone");
                }
                store.close().await;
                opened += 1;
            }
        }
    }
    assert!(opened >= 1, "the whole file opens");
}

#[tokio::test]
async fn garbage_is_refused_unchanged() {
    let garbage = [
        b"not a database".to_vec(),
        vec![0; 4096],
        vec![0xFF; 100_000],
        [b"SQLite format 3\0".as_slice(), &[0x5A; 20_000]].concat(),
        b"SQLite format 3\0".to_vec(),
    ];
    for (index, bytes) in garbage.iter().enumerate() {
        // In a new folder as well as in one that had a database.
        let new = tempfile::tempdir().unwrap();
        let used = filled().await;
        for folder in [new.path(), used.path()] {
            fs::write(database(folder), bytes).unwrap();
            let error = refused(folder).await;
            assert!(matches!(error, StoreError::Corrupt { .. }), "garbage {index}: {error}");
        }
    }
    assert_eq!(garbage.len(), 5);
}

#[tokio::test]
async fn overwritten_pages_are_refused_unchanged() {
    let folder = filled().await;
    let whole = fs::read(database(folder.path())).unwrap();
    let mut cases = 0;
    // Page 1 holds the schema; the ones after it are the roots of our tables.
    for page in [1, 2, 3, 4, 5] {
        let mut damaged = whole.clone();
        let start = if page == 1 { 100 } else { (page - 1) * 4096 };
        damaged[start..start + 64].fill(0xEE);
        fs::write(database(folder.path()), &damaged).unwrap();
        let error = refused(folder.path()).await;
        assert!(matches!(error, StoreError::Corrupt { .. }), "page {page}: {error}");
        cases += 1;
    }
    assert_eq!(cases, 5);
}

#[tokio::test]
async fn a_lost_database_is_not_replaced_by_an_empty_one() {
    let folder = filled().await;
    fs::write(database(folder.path()), b"").unwrap();
    let error = refused(folder.path()).await;
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    fs::remove_file(database(folder.path())).unwrap();
    let error = Store::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert!(!database(folder.path()).exists());
}

#[tokio::test]
async fn a_foreign_database_is_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let connection = connect(&database(folder.path()));
    connection.execute_batch("CREATE TABLE theirs (id INTEGER)").unwrap();
    connection.close().unwrap();
    let error = refused(folder.path()).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn emptied_tables_are_refused() {
    let folder = filled().await;
    fs::remove_file(database(folder.path())).unwrap();
    // A sound database, but without our tables, in a folder that had them.
    let connection = connect(&database(folder.path()));
    connection.execute_batch("PRAGMA user_version = 1").unwrap();
    connection.close().unwrap();
    let error = refused(folder.path()).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_first_start_that_was_interrupted_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let connection = connect(&database(folder.path()));
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.close().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    assert!(store.consume(b"id", 1).await.unwrap());
}

#[tokio::test]
async fn a_newer_schema_is_refused_unchanged() {
    let folder = filled().await;
    let connection = connect(&database(folder.path()));
    connection
        .execute_batch(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', 1, x'00', 0)",
        )
        .unwrap();
    connection.close().unwrap();
    let error = refused(folder.path()).await;
    assert!(matches!(error, StoreError::SchemaNewer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn the_database_itself_keeps_the_marks() {
    let folder = filled().await;
    let store = Store::open(folder.path()).await.unwrap();
    store.consume(b"id", 1).await.unwrap();
    store.close().await;
    let connection = connect(&database(folder.path()));
    for statement in [
        "DELETE FROM burns",
        "UPDATE burns SET generation = 1000 WHERE generation = 1",
        "DELETE FROM consumed",
        "UPDATE consumed SET id = x'00'",
    ] {
        let error = connection.execute_batch(statement).unwrap_err();
        assert!(error.to_string().contains("kept for ever"), "{statement}: {error}");
    }
}

#[tokio::test]
async fn a_destroyed_share_is_gone_from_the_file() {
    use quorate_store::KeyStatus::{Destroyed, Pending};
    let folder = filled().await;
    let canary = b"canary: a sealed share that must go".repeat(300);
    let store = Store::open(folder.path()).await.unwrap();
    let mut new = key("doomed");
    new.sealed_share = canary.clone();
    store.insert_key(new, 1).await.unwrap();
    store.close().await;
    let holds = || {
        let bytes = fs::read(database(folder.path())).unwrap();
        bytes.windows(35).any(|window| window == &canary[..35])
    };
    assert!(holds());
    let store = Store::open(folder.path()).await.unwrap();
    store.transition_key("doomed", Pending, Destroyed, 2).await.unwrap();
    store.close().await;
    assert!(!holds());
}

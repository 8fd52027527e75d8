//! One process per data folder.

use quorate_store::{DATABASE_FILE, Store, StoreError};

use crate::crash::Child;

#[tokio::test]
async fn a_second_open_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let error = Store::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    // The refusal did not harm the first.
    assert!(store.consume(b"id", 1).await.unwrap());
    store.close().await;
    let store = Store::open(folder.path()).await.unwrap();
    assert!(store.is_consumed(b"id").await.unwrap());
}

#[tokio::test]
async fn a_folder_held_by_another_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Child::start(folder.path(), 0);
    child.wait_for_acknowledged(1);
    let error = Store::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    child.kill();
    Store::open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let clone = store.clone();
    store.close().await;
    store.close().await;
    assert!(matches!(clone.consume(b"id", 1).await, Err(StoreError::Closed)));
    assert!(matches!(clone.is_consumed(b"id").await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn dropping_the_store_unlocks_the_folder_once_its_writes_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let writes: Vec<_> = (0..20_u8)
        .map(|index| {
            let store = store.clone();
            tokio::spawn(async move { store.consume(&[index], 1).await })
        })
        .collect();
    drop(store);
    for write in writes {
        assert!(write.await.unwrap().unwrap());
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let store = loop {
        match Store::open(folder.path()).await {
            Ok(store) => break store,
            Err(StoreError::Locked { .. }) if std::time::Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert!(store.is_consumed(&[19]).await.unwrap());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b");
    let store = Store::open(&folder).await.unwrap();
    store.consume(b"id", 1).await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert!(folder.join(DATABASE_FILE).is_file());
    assert_eq!(files, 4, "lock, database, log, index of the log");
}

//! The next epoch of a key: prepared, acknowledged, in force or given up, at every point where a disk can fail or the power can go.

use std::path::Path;

use quorate_log::entry::{Entry, Kind};
use quorate_log::note::LogSigner;
use quorate_store::fault::{Fault, Faults};
use quorate_store::{KeyState, KeyStatus, NewKey, NewSuccessor, Phase, Store, StoreError, Switch, To};

use crate::common::key;

const OLD: &[u8] = b"THE OLD SHARE, WHICH MUST NOT BE FOUND ANYWHERE ONCE ITS EPOCH IS OVER";
const NEW: &[u8] = b"THE NEW SHARE, WHICH IS THE ONE TO KEEP";
const NAME: [u8; 32] = [7; 32];

fn signer() -> LogSigner {
    LogSigner::from_seed("node-a.example.com/log", &[7; 32]).unwrap()
}

fn entry() -> Entry {
    Entry::new(Kind::Share, 1, b"{}".to_vec()).unwrap()
}

/// Long enough for overflow pages, whose bytes are easily left behind.
fn share(mark: &[u8]) -> Vec<u8> {
    mark.iter().copied().cycle().take(20_000).collect()
}

fn held(mark: &[u8]) -> NewKey {
    NewKey { status: KeyStatus::Active, epoch: 1, sealed_share: share(mark), ..key("key") }
}

fn successor(name: [u8; 32]) -> NewSuccessor {
    NewSuccessor {
        key_id: "key".to_owned(),
        name,
        base: 1,
        epoch: 3,
        operation: "op".to_owned(),
        record: b"prepared record".to_vec(),
        sealed_share: share(NEW),
        joins: false,
    }
}

fn switch(to: To) -> Switch {
    let (key_id, proof, operation) = ("key".to_owned(), b"proof".to_vec(), Some("op".to_owned()));
    Switch { key_id, base: 1, epoch: 3, to, proof, keep_proof: false, operation }
}

fn to_new() -> To {
    To::Held {
        scheme: "ecdsa-secp256k1".to_owned(),
        public_key: vec![2; 33],
        record: b"new record".to_vec(),
        sealed_share: share(NEW),
        status: KeyStatus::Active,
        state: KeyState::default(),
    }
}

async fn open(folder: &Path, faults: Faults) -> Store {
    let store = Store::open_with_faults(folder, faults).await.unwrap();
    store.open_log(signer()).await.unwrap();
    store
}

fn size(store_head: &Option<String>) -> u64 {
    store_head.as_ref().map_or(0, |note| note.lines().nth(1).unwrap().parse().unwrap())
}

/// covers: S36
#[tokio::test]
async fn the_old_share_is_in_no_file_once_its_epoch_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Faults::default()).await;
    store.insert_key(held(OLD), 1).await.unwrap();
    // It was somewhere in the files, so the search can find it.
    assert!(found(folder.path(), OLD) > 0);
    store.prepare_successor(successor(NAME), entry(), 2).await.unwrap();
    store.transition_successor("key", &NAME, Phase::Prepared, Phase::Acknowledged, entry(), 3).await.unwrap();
    assert!(found(folder.path(), OLD) > 0, "not before it is certain");
    store.switch_key(switch(to_new()), entry(), 4).await.unwrap();
    assert!(!store.must_erase());
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(files >= 2, "the file and its lock at least: {files}");
    assert_eq!(found(folder.path(), OLD), 0);
    let stored = store.key("key").await.unwrap().unwrap();
    assert_eq!((stored.epoch, stored.status, stored.updated_at), (3, KeyStatus::Active, 4));
    assert_eq!((stored.record.as_slice(), stored.sealed_share), (b"new record".as_slice(), share(NEW)));
    assert!(store.successors(None).await.unwrap().is_empty());
    let proof = store.handover("key", 1).await.unwrap().unwrap();
    assert_eq!((proof.epoch, proof.proof.as_slice()), (3, b"proof".as_slice()));
    // The same once more is no step.
    let again = store.switch_key(switch(to_new()), entry(), 5).await;
    assert!(matches!(again, Err(StoreError::Changed { .. })), "{again:?}");
    store.close().await;
    assert_eq!(found(folder.path(), OLD), 0);
}

/// Power goes between the commit and the erasing: opening the folder finishes it.
#[tokio::test]
async fn what_a_crash_left_in_the_log_is_erased_when_the_folder_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Faults::default()).await;
    store.insert_key(held(OLD), 1).await.unwrap();
    assert!(store.erase_replaced().await.unwrap());
    // A reader that stays keeps the log from being emptied, as a crash would.
    let file = folder.path().join(quorate_store::DATABASE_FILE);
    let only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let reader = rusqlite::Connection::open_with_flags(file, only).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM keys", [], |row| row.get::<_, i64>(0)).unwrap();
    store.switch_key(switch(to_new()), entry(), 4).await.unwrap();
    assert!(store.must_erase(), "somebody reads");
    assert!(found(folder.path(), OLD) > 0);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let recovered = open(copy.path(), Faults::default()).await;
    assert_eq!(recovered.key("key").await.unwrap().unwrap().epoch, 3);
    assert_eq!(found(copy.path(), OLD), 0);
    // And where the reader goes, the next try succeeds.
    reader.execute_batch("COMMIT").unwrap();
    assert!(store.erase_replaced().await.unwrap());
    assert!(!store.must_erase());
    assert_eq!(found(folder.path(), OLD), 0);
}

/// How many files of the folder hold these bytes.
fn found(folder: &Path, mark: &[u8]) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.filter(|bytes| bytes.windows(mark.len()).any(|window| window == mark)).count()
}

/// Every write of the way, failing in each of the three ways: afterwards the key is whole in one epoch, and the same step can be taken again.
#[tokio::test]
async fn a_failing_disk_leaves_the_key_in_one_epoch() {
    let mut cases = 0;
    for nth in 1..=3 {
        for fault in [Fault::BeforeCommit, Fault::AfterCommit, Fault::DiskFull] {
            let folder = tempfile::tempdir().unwrap();
            let faults = Faults::default();
            let store = open(folder.path(), faults.clone()).await;
            store.insert_key(held(OLD), 1).await.unwrap();
            let before = size(&store.log_head().await.unwrap());
            faults.fail_nth_write(nth, fault);
            let prepared = store.prepare_successor(successor(NAME), entry(), 2).await;
            if prepared.is_err() {
                let again = store.prepare_successor(successor(NAME), entry(), 2).await;
                let done = fault == Fault::AfterCommit;
                assert_eq!(matches!(again, Err(StoreError::Exists { .. })), done, "{again:?}");
            }
            let acknowledge =
                || store.transition_successor("key", &NAME, Phase::Prepared, Phase::Acknowledged, entry(), 3);
            if acknowledge().await.is_err() {
                let again = acknowledge().await;
                let done = fault == Fault::AfterCommit;
                assert_eq!(matches!(again, Err(StoreError::Changed { .. })), done, "{again:?}");
            }
            assert_eq!(store.key("key").await.unwrap().unwrap().sealed_share, share(OLD));
            if let Err(error) = store.switch_key(switch(to_new()), entry(), 4).await {
                let stored = store.key("key").await.unwrap().unwrap();
                let whole = [(1, share(OLD)), (3, share(NEW))];
                assert!(whole.contains(&(stored.epoch, stored.sealed_share)), "{error}");
                assert_eq!(store.successors(None).await.unwrap().len(), usize::from(stored.epoch == 1));
                let again = store.switch_key(switch(to_new()), entry(), 4).await;
                assert_eq!(again.is_ok(), stored.epoch == 1, "{again:?}");
            }
            assert_eq!(store.key("key").await.unwrap().unwrap().sealed_share, share(NEW));
            // Each step is logged once, in its own commit.
            assert_eq!(size(&store.log_head().await.unwrap()) - before, 3, "{nth} {fault:?}");
            store.close().await;
            cases += 1;
        }
    }
    assert_eq!(cases, 9);
}

#[tokio::test]
async fn a_successor_follows_its_state_machine() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Faults::default()).await;
    let refused = store.prepare_successor(successor(NAME), entry(), 2).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    store.insert_key(held(OLD), 1).await.unwrap();
    let earlier = NewSuccessor { base: 3, epoch: 3, ..successor(NAME) };
    let refused = store.prepare_successor(earlier, entry(), 2).await;
    assert!(matches!(refused, Err(StoreError::OutOfRange { .. })), "{refused:?}");
    let other_base = NewSuccessor { base: 2, ..successor(NAME) };
    let refused = store.prepare_successor(other_base, entry(), 2).await;
    assert!(matches!(refused, Err(StoreError::Changed { .. })), "{refused:?}");
    let mut allowed = 0;
    for from in Phase::ALL {
        for to in Phase::ALL {
            allowed += u32::from(from.may_become(to));
        }
    }
    assert_eq!(allowed, 2);
    let move_to = |name: [u8; 32], from, to| {
        let store = store.clone();
        async move { store.transition_successor("key", &name, from, to, entry(), 3).await }
    };
    let other = [8; 32];
    store.prepare_successor(successor(NAME), entry(), 2).await.unwrap();
    store.prepare_successor(successor(other), entry(), 2).await.unwrap();
    let absent = move_to([9; 32], Phase::Prepared, Phase::Acknowledged).await;
    assert!(matches!(absent, Err(StoreError::NotFound { .. })), "{absent:?}");
    move_to(NAME, Phase::Prepared, Phase::Acknowledged).await.unwrap();
    let second = move_to(other, Phase::Prepared, Phase::Acknowledged).await;
    assert!(matches!(second, Err(StoreError::Changed { .. })), "one in doubt at a time: {second:?}");
    let back = move_to(NAME, Phase::Acknowledged, Phase::Prepared).await;
    assert!(matches!(back, Err(StoreError::Transition { .. })), "{back:?}");
    assert!(!store.discard_successor("key", &NAME).await.unwrap(), "others know of it");
    move_to(NAME, Phase::Acknowledged, Phase::Abandoned).await.unwrap();
    assert!(!store.discard_successor("key", &NAME).await.unwrap(), "it may still come into force");
    move_to(other, Phase::Prepared, Phase::Acknowledged).await.unwrap();
    assert_eq!(store.successors(Some("key")).await.unwrap().len(), 2);
    assert!(store.successors(Some("other")).await.unwrap().is_empty());
    // What was given up still wins if it is proven.
    store.switch_key(switch(to_new()), entry(), 4).await.unwrap();
    assert!(store.successors(None).await.unwrap().is_empty());
    let late = store.prepare_successor(successor([1; 32]), entry(), 5).await;
    assert!(matches!(late, Err(StoreError::Changed { .. })), "its base is over: {late:?}");
}

#[tokio::test]
async fn a_key_arrives_at_one_node_and_leaves_another() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let leaves = open(old.path(), Faults::default()).await;
    leaves.insert_key(held(OLD), 1).await.unwrap();
    let gone = Switch { keep_proof: true, ..switch(To::Gone { record: b"who has it now".to_vec() }) };
    leaves.switch_key(gone, entry(), 4).await.unwrap();
    assert_eq!(leaves.key("key").await.unwrap(), None);
    assert_eq!(found(old.path(), OLD), 0);
    let away = leaves.moved_away("key").await.unwrap().unwrap();
    assert_eq!((away.epoch, away.at, away.record.as_slice()), (3, 4, b"who has it now".as_slice()));

    let joins = open(new.path(), Faults::default()).await;
    joins.prepare_successor(NewSuccessor { joins: true, ..successor(NAME) }, entry(), 2).await.unwrap();
    joins.transition_successor("key", &NAME, Phase::Prepared, Phase::Acknowledged, entry(), 3).await.unwrap();
    joins.switch_key(switch(to_new()), entry(), 4).await.unwrap();
    let stored = joins.key("key").await.unwrap().unwrap();
    assert_eq!((stored.status, stored.epoch, stored.created_at), (KeyStatus::Active, 3, 4));

    // Back again, two epochs later, with another share.
    let back = NewSuccessor { joins: true, base: 5, epoch: 7, ..successor([2; 32]) };
    leaves.prepare_successor(back, entry(), 6).await.unwrap();
    let back = Switch { base: 5, epoch: 7, ..switch(to_new()) };
    leaves.switch_key(back, entry(), 7).await.unwrap();
    assert_eq!(leaves.key("key").await.unwrap().unwrap().epoch, 7);
    assert_eq!(leaves.moved_away("key").await.unwrap(), None);
    assert!(leaves.handover("key", 1).await.unwrap().is_some(), "that somebody left is kept");
    assert!(leaves.handover("key", 5).await.unwrap().is_some());
}

#[tokio::test]
async fn a_key_that_may_not_be_used_does_not_move() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Faults::default()).await;
    let mut refused = 0;
    for status in KeyStatus::ALL {
        let id = status.as_str();
        let exposed_at = (status == KeyStatus::Exposed).then_some(1);
        let state = KeyState { exposed_at, ..KeyState::default() };
        let sealed_share = if status == KeyStatus::Destroyed { Vec::new() } else { share(OLD) };
        let row = NewKey { status, state, sealed_share, key_id: id.to_owned(), ..held(OLD) };
        store.insert_key(row, 1).await.unwrap();
        let new = NewSuccessor { key_id: id.to_owned(), ..successor(NAME) };
        match store.prepare_successor(new, entry(), 2).await {
            Ok(()) => {}
            Err(StoreError::Changed { .. }) => refused += 1,
            Err(error) => panic!("{status}: {error}"),
        }
    }
    assert_eq!(refused, 3, "pending, burned and destroyed");
}

//! Every record: what is stored comes back, what is refused stays out, and all of it is there after reopening.

use crate::common::{burn, key, operation};
use quorate_store::{
    Begin, Cursor, InstanceId, KeyMove, KeyState, KeyStatus, MAX_BLOB_LEN, MAX_ID_LEN, MAX_PAGE_LEN, Meta,
    NewKey, NewOperation, OperationFilter, OperationStatus, OperationUpdate, OtDirection, Store, StoreError,
};

#[tokio::test]
async fn folder_data_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(store.meta().await.unwrap(), None);
    let meta = Meta { seal_header: vec![1, 2, 3], format: 1, created_at: 1_000 };
    assert_eq!(store.init_meta(meta.clone()).await.unwrap(), meta);
    let other = Meta { seal_header: vec![9], format: 2, created_at: 2_000 };
    assert_eq!(store.init_meta(other).await.unwrap(), meta);

    let refused = store.replace_seal_header(&[7], &[8], Vec::new()).await;
    assert!(matches!(refused, Err(StoreError::Changed { .. })), "{refused:?}");
    store.replace_seal_header(&[1, 2, 3], &[4, 5], Vec::new()).await.unwrap();
    store.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(store.meta().await.unwrap().unwrap().seal_header, [4, 5]);
}

#[tokio::test]
async fn a_replaced_header_is_in_no_file_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (old, new) = (b"the old header, under a passphrase".to_vec(), b"the new header, in a token".to_vec());
    store.init_meta(Meta { seal_header: old.clone(), format: 1, created_at: 1 }).await.unwrap();
    store.replace_seal_header(&old, &new, Vec::new()).await.unwrap();
    let files_with = |needle: &[u8]| {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|file| std::fs::read(file).unwrap().windows(needle.len()).any(|bytes| bytes == needle))
            .count()
    };
    // Without this the test would show nothing.
    assert!(files_with(&old) > 0, "the log holds what was replaced");
    assert!(store.erase_replaced().await.unwrap());
    assert_eq!((files_with(&old), files_with(&new)), (0, 1));
    assert_eq!(store.meta().await.unwrap().unwrap().seal_header, new);
    store.close().await;
}

#[tokio::test]
async fn keys_follow_their_state_machine() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut cases = 0;
    for from in KeyStatus::ALL {
        for to in KeyStatus::ALL {
            let id = format!("{from}-{to}");
            let was =
                KeyState { exposed_at: (from == KeyStatus::Exposed).then_some(5), ..KeyState::default() };
            let sealed_share = if from == KeyStatus::Destroyed { Vec::new() } else { vec![7] };
            let new = NewKey { status: from, state: was.clone(), sealed_share, ..key(&id) };
            store.insert_key(new, 10).await.unwrap();
            let exposed_at = was.exposed_at.or_else(|| (to == KeyStatus::Exposed).then_some(5));
            let state = KeyState { exposed_at, ..was.clone() };
            let same = was == state;
            let step = KeyMove { from, was, to, state, act: None };
            let result = store.move_key(&id, step, 20, Vec::new()).await;
            assert!(same || to == KeyStatus::Exposed);
            // The database holds to the same steps, whoever writes.
            let raw = sqlite(folder.path());
            let steps = "UPDATE keys SET status = ?1, exposed_at = coalesce(exposed_at, ?2), \
                         sealed_share = CASE ?1 WHEN 'destroyed' THEN x'' ELSE sealed_share END WHERE key_id = ?3";
            let raw_id = format!("{id}-raw");
            let state =
                KeyState { exposed_at: (from == KeyStatus::Exposed).then_some(5), ..KeyState::default() };
            let sealed_share = if from == KeyStatus::Destroyed { Vec::new() } else { vec![7] };
            store.insert_key(NewKey { status: from, state, sealed_share, ..key(&raw_id) }, 10).await.unwrap();
            let exposed_at = (to == KeyStatus::Exposed).then_some(5);
            let done = raw.execute(steps, (to.as_str(), exposed_at, &raw_id));
            assert_eq!(done.is_ok(), from == to || from.may_become(to), "{raw_id}: {done:?}");
            let stored = store.key(&id).await.unwrap().unwrap();
            if from.may_become(to) {
                result.unwrap();
                assert_eq!((stored.status, stored.updated_at), (to, 20), "{id}");
            } else {
                assert!(matches!(result, Err(StoreError::Transition { .. })), "{id}: {result:?}");
                assert_eq!((stored.status, stored.updated_at), (from, 10), "{id}");
            }
            let erased = stored.status == KeyStatus::Destroyed;
            assert_eq!(stored.sealed_share.is_empty(), erased, "{id}");
            cases += 1;
        }
    }
    assert_eq!(cases, 36);
    let allowed = KeyStatus::ALL
        .iter()
        .flat_map(|from| KeyStatus::ALL.iter().filter(|to| from.may_become(**to)))
        .count();
    assert_eq!(allowed, 15);

    // The state is right for the step, but not the one that is stored.
    store.insert_key(key("raced"), 10).await.unwrap();
    let raced = store.transition_key("raced", KeyStatus::Active, KeyStatus::Disabled, 20).await;
    let Err(StoreError::Changed { expected, found, .. }) = raced else { panic!("{raced:?}") };
    assert_eq!((expected.as_str(), found.as_str()), ("active", "pending"));
    let absent = store.transition_key("absent", KeyStatus::Active, KeyStatus::Disabled, 20).await;
    assert!(matches!(absent, Err(StoreError::NotFound { .. })), "{absent:?}");
}

#[tokio::test]
async fn a_key_is_stored_whole_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let new = NewKey { sealed_share: vec![0xAB; 2_000_000], ..key("key_1") };
    store.insert_key(new.clone(), 5).await.unwrap();
    let again = store.insert_key(new.clone(), 6).await;
    assert!(matches!(again, Err(StoreError::Exists { what: "key", .. })), "{again:?}");
    let stored = store.key("key_1").await.unwrap().unwrap();
    assert_eq!(stored.sealed_share, new.sealed_share);
    assert_eq!(stored.record, new.record);
    assert_eq!((stored.scheme, stored.public_key), (new.scheme, new.public_key));
    assert_eq!((stored.epoch, stored.created_at, stored.updated_at), (0, 5, 5));
    assert_eq!(store.key("key_2").await.unwrap(), None);
}

#[tokio::test]
async fn a_share_is_replaced_only_by_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.insert_key(NewKey { status: KeyStatus::Active, ..key("k") }, 1).await.unwrap();
    store.replace_share("k", 0, 1, b"record 1".to_vec(), b"share 1".to_vec(), 2).await.unwrap();
    let stored = store.key("k").await.unwrap().unwrap();
    assert_eq!(
        (stored.epoch, stored.sealed_share.as_slice(), stored.updated_at),
        (1, b"share 1".as_slice(), 2)
    );

    let stale = store.replace_share("k", 0, 2, vec![], b"stale".to_vec(), 3).await;
    assert!(matches!(stale, Err(StoreError::Changed { .. })), "{stale:?}");
    let back = store.replace_share("k", 1, 1, vec![], b"back".to_vec(), 3).await;
    assert!(matches!(back, Err(StoreError::OutOfRange { .. })), "{back:?}");
    store.transition_key("k", KeyStatus::Active, KeyStatus::Destroyed, 4).await.unwrap();
    let dead = store.replace_share("k", 1, 2, vec![], b"dead".to_vec(), 5).await;
    assert!(matches!(dead, Err(StoreError::Changed { .. })), "{dead:?}");
    assert!(store.key("k").await.unwrap().unwrap().sealed_share.is_empty());
}

#[tokio::test]
async fn burns_stay_and_differ_in_each_field() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mark = burn(1);
    assert!(!store.is_burned(&mark.instance).await.unwrap());
    assert!(store.burn(mark.clone()).await.unwrap());
    assert!(!store.burn(quorate_store::Burn { burned_at: 99, ..mark.clone() }).await.unwrap());
    assert!(store.is_burned(&mark.instance).await.unwrap());
    let others = [
        InstanceId { key_id: "other".to_owned(), ..mark.instance.clone() },
        InstanceId { epoch: 7, ..mark.instance.clone() },
        InstanceId { peer: vec![8], ..mark.instance.clone() },
        InstanceId { direction: OtDirection::Receiver, ..mark.instance.clone() },
        InstanceId { generation: 2, ..mark.instance.clone() },
    ];
    for other in &others {
        assert!(!store.is_burned(other).await.unwrap(), "{other:?}");
    }
    assert_eq!(others.len(), 5);
    store.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    assert!(store.is_burned(&mark.instance).await.unwrap());
    let page = store.list_burns("key_1", None, 10).await.unwrap();
    assert_eq!(page.items, [mark]);
    assert_eq!(page.next, None);
    assert!(store.list_burns("other", None, 10).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn an_id_is_used_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    assert!(!store.is_consumed(b"nonce").await.unwrap());
    let tries: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.consume(b"nonce", 1).await.unwrap() })
        })
        .collect();
    let mut newly = 0;
    for one in tries {
        newly += u32::from(one.await.unwrap());
    }
    assert_eq!(newly, 1);
    store.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    assert!(!store.consume(b"nonce", 2).await.unwrap());
    assert!(store.is_consumed(b"nonce").await.unwrap());
    assert!(store.consume(b"nonce 2", 2).await.unwrap());
}

#[tokio::test]
async fn an_operation_is_begun_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let tries: Vec<_> = (0..50)
        .map(|index| {
            let store = store.clone();
            tokio::spawn(async move { store.begin_operation(operation("op"), index).await.unwrap() })
        })
        .collect();
    let (mut new, mut existing) = (0, 0);
    for one in tries {
        match one.await.unwrap() {
            Begin::New(stored) => {
                assert_eq!(stored.op_id, "op");
                new += 1;
            }
            Begin::Existing(stored) => {
                assert_eq!(stored.request, b"request");
                existing += 1;
            }
            Begin::Conflict => panic!("the request is the same"),
        }
    }
    assert_eq!((new, existing), (1, 49));
    let other = NewOperation { request_hash: [2; 32], ..operation("op") };
    assert_eq!(store.begin_operation(other, 60).await.unwrap(), Begin::Conflict);
    store.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    assert!(matches!(store.begin_operation(operation("op"), 70).await.unwrap(), Begin::Existing(_)));
    let other = NewOperation { request_hash: [2; 32], ..operation("op") };
    assert_eq!(store.begin_operation(other, 80).await.unwrap(), Begin::Conflict);
}

#[tokio::test]
async fn operations_follow_their_state_machine() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (mut allowed, mut refused) = (0, 0);
    for from in OperationStatus::ALL {
        for to in OperationStatus::ALL {
            let id = format!("{from}-{to}");
            store.begin_operation(NewOperation { status: from, ..operation(&id) }, 1).await.unwrap();
            let result = store.update_operation(&id, from, OperationUpdate::status(to), 2).await;
            let stored = store.operation(&id).await.unwrap().unwrap();
            if from.may_become(to) {
                assert_eq!(result.unwrap(), stored);
                assert_eq!((stored.status, stored.updated_at), (to, 2));
                assert!(!from.is_final(), "{id}");
                allowed += 1;
            } else {
                assert!(matches!(result, Err(StoreError::Transition { .. })), "{id}");
                assert_eq!((stored.status, stored.updated_at), (from, 1));
                refused += 1;
            }
        }
    }
    assert_eq!((allowed, refused), (18, 46));
}

#[tokio::test]
async fn an_answer_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.begin_operation(operation("op"), 1).await.unwrap();
    let run = OperationUpdate { attempt: Some(1), ..OperationUpdate::status(OperationStatus::Running) };
    store.update_operation("op", OperationStatus::Queued, run.clone(), 2).await.unwrap();
    let second = store.update_operation("op", OperationStatus::Queued, run, 3).await;
    assert!(matches!(second, Err(StoreError::Changed { .. })), "{second:?}");
    let done = OperationUpdate {
        result: Some(b"signature".to_vec()),
        key_id: Some("key_9".to_owned()),
        ..OperationUpdate::status(OperationStatus::Succeeded)
    };
    store.update_operation("op", OperationStatus::Running, done, 4).await.unwrap();
    let fail =
        OperationUpdate { error: Some(b"late".to_vec()), ..OperationUpdate::status(OperationStatus::Failed) };
    let late = store.update_operation("op", OperationStatus::Running, fail, 5).await;
    assert!(matches!(late, Err(StoreError::Changed { .. })), "{late:?}");
    let absent = OperationUpdate::status(OperationStatus::Failed);
    let absent = store.update_operation("none", OperationStatus::Running, absent, 5).await;
    assert!(matches!(absent, Err(StoreError::NotFound { .. })), "{absent:?}");
    store.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    let stored = store.operation("op").await.unwrap().unwrap();
    assert_eq!(stored.status, OperationStatus::Succeeded);
    assert_eq!(stored.result.as_deref(), Some(b"signature".as_slice()));
    assert_eq!(stored.key_id.as_deref(), Some("key_9"));
    assert_eq!((stored.error, stored.attempt, stored.created_at, stored.updated_at), (None, 1, 1, 4));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    for index in 0..25_u64 {
        store.insert_key(key(&format!("key_{index:02}")), index).await.unwrap();
        let new = NewOperation {
            key_id: Some(format!("key_{}", index % 2)),
            status: if index < 5 { OperationStatus::Running } else { OperationStatus::Queued },
            ..operation(&format!("op_{index:02}"))
        };
        store.begin_operation(new, index).await.unwrap();
    }
    for size in [1, 7, 24, 25, 26, 0, u32::MAX] {
        let (mut keys, mut operations) = (Vec::new(), Vec::new());
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = store.list_keys(cursor, size).await.unwrap();
            assert!(page.items.len() <= usize::try_from(size.clamp(1, MAX_PAGE_LEN)).unwrap());
            keys.extend(page.items.into_iter().map(|key| key.key_id));
            // Through text, as a client would hand it back.
            cursor = page.next.map(|next| next.to_string().parse().unwrap());
            if cursor.is_none() {
                break;
            }
        }
        loop {
            let page = store.list_operations(&OperationFilter::default(), cursor, size).await.unwrap();
            operations.extend(page.items.into_iter().map(|operation| operation.op_id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let expected: Vec<_> = (0..25).map(|index| format!("key_{index:02}")).collect();
        assert_eq!(keys, expected, "pages of {size}");
        let expected: Vec<_> = (0..25).rev().map(|index| format!("op_{index:02}")).collect();
        assert_eq!(operations, expected, "pages of {size}");
    }
    let by_key = OperationFilter { key_id: Some("key_1".to_owned()), status: None };
    let by_status = OperationFilter { key_id: None, status: Some(OperationStatus::Running) };
    let by_both = OperationFilter { key_id: by_key.key_id.clone(), ..by_status.clone() };
    for (filter, expected) in [(by_key, 12), (by_status, 5), (by_both, 2)] {
        let page = store.list_operations(&filter, None, 100).await.unwrap();
        assert_eq!(page.items.len(), expected, "{filter:?}");
        let first = store.list_operations(&filter, None, 1).await.unwrap();
        let second = store.list_operations(&filter, first.next, 1).await.unwrap();
        assert_eq!(second.items[0], page.items[1]);
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let long = "x".repeat(MAX_ID_LEN + 1);
    let huge = vec![0; MAX_BLOB_LEN + 1];
    let results = [
        store.insert_key(key(&long), 1).await,
        store.insert_key(NewKey { sealed_share: huge.clone(), ..key("k") }, 1).await,
        store.insert_key(NewKey { record: huge.clone(), ..key("k") }, 1).await,
        store.consume(long.as_bytes(), 1).await.map(|_| ()),
        store.begin_operation(operation(&long), 1).await.map(|_| ()),
        store.begin_operation(NewOperation { request: huge.clone(), ..operation("o") }, 1).await.map(|_| ()),
    ];
    for result in &results {
        assert!(matches!(result, Err(StoreError::TooLong { .. })), "{result:?}");
    }
    let results = [
        store.insert_key(key(""), 1).await,
        store.insert_key(NewKey { epoch: u64::MAX, ..key("k") }, 1).await,
        store.consume(b"", 1).await.map(|_| ()),
        store.consume(b"id", u64::MAX).await.map(|_| ()),
        store.begin_operation(operation(""), 1).await.map(|_| ()),
    ];
    for result in &results {
        assert!(matches!(result, Err(StoreError::OutOfRange { .. })), "{result:?}");
    }
    assert!(store.list_keys(None, 10).await.unwrap().items.is_empty());
}

/// The database as another program opens it.
fn sqlite(folder: &std::path::Path) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join(quorate_store::DATABASE_FILE)).unwrap()
}

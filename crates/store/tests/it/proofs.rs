//! Proofs that other nodes cheated: kept once, bounded, never removed, lifted by an operator.

use quorate_log::entry::{Entry, Kind};
use quorate_log::note::LogSigner;
use quorate_store::fault::{Fault, Faults};
use quorate_store::{MAX_PROOFS, Proof, Store};

/// Each in a session of its own.
fn proof(peer: u8, number: u64) -> Proof {
    let mut session = [9; 32];
    session[..8].copy_from_slice(&number.to_le_bytes());
    Proof {
        id: format!("{peer:02x}{number:04x}"),
        peer: [peer; 32],
        kind: "equivocation".to_owned(),
        session,
        party: 2,
        evidence: b"two signed broadcasts".to_vec(),
        found_at: 1000 + number,
        readmitted_at: None,
    }
}

fn entry() -> Entry {
    Entry::new(Kind::Evidence, 1, b"{}".to_vec()).unwrap()
}

async fn logged(store: &Store) -> usize {
    store.log_entries(0, 100).await.unwrap().len()
}

#[tokio::test]
async fn a_proof_is_kept_once_with_its_entry_and_lifted_with_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.open_log(LogSigner::from_seed("node-a.example.com/log", &[7; 32]).unwrap()).await.unwrap();
    assert!(store.keep_proof(proof(1, 0), entry()).await.unwrap());
    assert!(!store.keep_proof(proof(1, 0), entry()).await.unwrap(), "the same again");
    let other_bytes = |number| Proof { id: "another".to_owned(), evidence: vec![1], ..proof(1, number) };
    assert!(
        !store.keep_proof(other_bytes(0), entry()).await.unwrap(),
        "the same session, proven differently"
    );
    for number in 1..10 {
        let kept = store.keep_proof(proof(1, number), entry()).await.unwrap();
        assert_eq!(kept, number < u64::from(MAX_PROOFS));
    }
    assert!(store.keep_proof(proof(2, 0), entry()).await.unwrap());
    assert_eq!(logged(&store).await, 5, "an entry for each that was kept");
    store.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    store.open_log(LogSigner::from_seed("node-a.example.com/log", &[7; 32]).unwrap()).await.unwrap();
    let kept = store.proofs().await.unwrap();
    assert_eq!((kept.len(), &kept[0], &kept[4]), (5, &proof(1, 3), &proof(2, 0)));
    assert_eq!(store.readmit([3; 32], 5000, entry()).await.unwrap(), 0);
    assert_eq!(store.readmit([1; 32], 5000, entry()).await.unwrap(), 4);
    assert_eq!(store.readmit([1; 32], 6000, entry()).await.unwrap(), 0);
    assert_eq!(logged(&store).await, 6);
    let kept = store.proofs().await.unwrap();
    let lifted =
        |peer: u8| kept.iter().filter(move |proof| proof.peer == [peer; 32]).map(|p| p.readmitted_at);
    assert!(lifted(1).all(|at| at == Some(5000)) && lifted(2).all(|at| at.is_none()));
    // What it does after that counts anew.
    assert!(!store.keep_proof(proof(1, 0), entry()).await.unwrap(), "nobody lifts it twice for the same");
    assert!(!store.keep_proof(other_bytes(0), entry()).await.unwrap(), "nor for the same session");
    assert!(store.keep_proof(proof(1, 20), entry()).await.unwrap());
    let too_long = Proof { kind: "x".repeat(10_000), ..proof(4, 0) };
    store.keep_proof(too_long, entry()).await.unwrap_err();
    store.close().await;

    let database = rusqlite::Connection::open(folder.path().join(quorate_store::DATABASE_FILE)).unwrap();
    for change in
        ["DELETE FROM proofs", "UPDATE proofs SET evidence = x'00'", "UPDATE proofs SET peer = zeroblob(32)"]
    {
        database.execute_batch(change).unwrap_err();
    }
}

#[tokio::test]
async fn a_proof_that_the_disk_does_not_take_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let store = Store::open_with_faults(folder.path(), faults.clone()).await.unwrap();
    store.open_log(LogSigner::from_seed("node-a.example.com/log", &[7; 32]).unwrap()).await.unwrap();
    let before = logged(&store).await;
    faults.fail_nth_write(1, Fault::DiskFull);
    store.keep_proof(proof(1, 0), entry()).await.unwrap_err();
    assert_eq!((store.proofs().await.unwrap().len(), logged(&store).await), (0, before));
    assert!(store.keep_proof(proof(1, 0), entry()).await.unwrap());
    store.close().await;
}

//! Backups in a folder: only what is new is written, what is not needed is deleted, and everything is checked without a secret.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use quorate_backup::{Archive, Place, Written, make_entry, survey};
use quorate_keys::backup::entry::Source;
use quorate_keys::backup::recipients::{Recipient, Recipients, RecoverySecret};
use quorate_keys::dkg::{self, Generated};
use quorate_keys::share::KeyId;
use quorate_protocol::access::Access;
use quorate_protocol::curve::Ed25519;
use quorate_protocol::party::{Identity as _, PartyIndex};
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::SessionId;
use quorate_testkit::{World, identity, parties};

type Key = BTreeMap<PartyIndex, Generated<Ed25519>>;

fn p(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

fn rng(seed: u64) -> HedgedRng {
    HedgedRng::new(Entropy::new([9; 32]), &[], &seed.to_le_bytes())
}

fn key(seed: u64) -> Key {
    let committee = parties(&[1, 2, 3]);
    let access = Access::threshold(2, &[p(1), p(2), p(3)]).unwrap();
    let session = SessionId([u8::try_from(seed).unwrap(); 32]);
    World::start(seed, session, &committee, |params| dkg::start::<Ed25519>(params, access.clone()))
        .run()
        .unwrap_all()
}

fn id(key: &Key) -> KeyId {
    key[&p(1)].share.public().key_id
}

fn recipients(first: u8) -> Recipients {
    let member = |i: u8| Recipient {
        name: format!("r{i}"),
        key: RecoverySecret::from_seed([first + i; 32].into()).public().unwrap(),
    };
    Recipients::threshold(1, vec![member(0)]).unwrap()
}

/// Backs up these keys at node `index`, each in an entry of its own.
async fn back_up(place: &Place, index: u16, keys: &[&Key], recipients: &Recipients) -> Written {
    let archive = Archive::new(place.clone(), identity(index).public());
    let held: Vec<_> = keys.iter().map(|key| (id(key), 0)).collect();
    let mut writing = archive.begin(recipients, &held).await.unwrap();
    let fresh = writing.fresh().to_vec();
    for key in keys.iter().filter(|key| fresh.contains(&(id(key), 0))) {
        let certificate = borsh::to_vec(&key[&p(index)].certificate).unwrap();
        let source = Source { share: &key[&p(index)].share, certificate: &certificate, record: b"{}" };
        let mut rng = rng(u64::from(index));
        let bytes = make_entry(&identity(index), 5, recipients, &[source], &mut rng).unwrap();
        writing.add(bytes).await.unwrap();
    }
    writing.finish(&identity(index), &format!("n{index}"), 5).await.unwrap()
}

fn place(folder: &Path) -> Place {
    Place::parse(folder.to_str().unwrap()).unwrap()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.to_str().unwrap().ends_with(ending) {
                found.push(entry);
            }
        }
    }
    found.sort();
    found
}

/// covers: S40
#[tokio::test]
async fn only_what_is_new_is_written_and_what_is_superseded_goes() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let (first, second, third) = (key(1), key(2), key(3));
    let recipients = recipients(1);
    let written = back_up(&place, 1, &[&first, &second], &recipients).await;
    assert_eq!((written.sequence, written.keys, written.fresh, written.entries), (1, 2, 2, 2));
    // Nothing new: an index and no entry.
    let written = back_up(&place, 1, &[&first, &second], &recipients).await;
    assert_eq!((written.sequence, written.keys, written.fresh, written.entries), (2, 2, 0, 0));
    // One key more, one less.
    let written = back_up(&place, 1, &[&second, &third], &recipients).await;
    assert_eq!((written.sequence, written.keys, written.fresh, written.pruned), (3, 2, 1, 0));
    assert_eq!(files(folder.path(), ".qbe").len(), 3);
    // Two backups later nothing names the first key any more: its share is gone from the place.
    for (sequence, pruned) in [(4, 1), (5, 2)] {
        let written = back_up(&place, 1, &[&second, &third], &recipients).await;
        assert_eq!((written.sequence, written.fresh, written.pruned), (sequence, 0, pruned));
    }
    assert_eq!((files(folder.path(), ".qbe").len(), files(folder.path(), ".qbi").len()), (2, 3));
    // A lost entry is written again, and other recipients mean everything again.
    fs::remove_file(&files(folder.path(), ".qbe")[0]).unwrap();
    assert_eq!(back_up(&place, 1, &[&second, &third], &recipients).await.fresh, 1);
    let others = super_recipients();
    assert_eq!(back_up(&place, 1, &[&second, &third], &others).await.fresh, 2);
    assert!(survey(&place).await.unwrap().nodes[0].entries.iter().all(|entry| entry.problem.is_none()));
}

fn super_recipients() -> Recipients {
    recipients(100)
}

/// covers: S40
#[tokio::test]
async fn a_survey_says_what_is_there_what_is_damaged_and_what_could_be_had_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    assert!(!survey(&place).await.unwrap().is_sound(), "nothing is no backup");
    let (first, second) = (key(1), key(2));
    let recipients = recipients(1);
    back_up(&place, 1, &[&first, &second], &recipients).await;
    let alone = survey(&place).await.unwrap();
    assert!(!alone.is_sound());
    assert_eq!(alone.keys.len(), 2);
    assert!(alone.keys.iter().all(|key| key.parties == [1] && !key.recoverable));
    back_up(&place, 3, &[&first, &second], &recipients).await;
    let both = survey(&place).await.unwrap();
    assert!(both.is_sound());
    assert!(both.keys.iter().all(|key| key.parties == [1, 3] && key.recoverable && key.epoch == 0));

    // A flipped bit, an exchanged file, a missing file, a damaged index: each is named.
    let entries = files(folder.path(), ".qbe");
    let good: Vec<_> = entries.iter().map(|path| fs::read(path).unwrap()).collect();
    let mut flipped = good[0].clone();
    flipped[20_000] ^= 4;
    let problem = async |expected: &str| {
        let found = survey(&place).await.unwrap();
        assert!(!found.is_sound());
        let text = format!("{found:?}");
        assert!(text.contains(expected), "{text}");
    };
    fs::write(&entries[0], flipped).unwrap();
    problem("does not hold what its name says").await;
    fs::write(&entries[0], &good[1]).unwrap();
    problem("does not hold what its name says").await;
    fs::remove_file(&entries[0]).unwrap();
    problem("is missing").await;
    fs::write(&entries[0], &good[0]).unwrap();
    assert!(survey(&place).await.unwrap().is_sound());
    // The index before a damaged one is taken, and that is said.
    back_up(&place, 1, &[&first, &second], &recipients).await;
    let index = files(folder.path(), "2.qbi").remove(0);
    let bytes = fs::read(&index).unwrap();
    fs::write(&index, &bytes[..bytes.len() - 1]).unwrap();
    problem("the index before it was taken").await;
    // A damaged newest index does not stop the next backup, and its number is not used again.
    assert_eq!(back_up(&place, 1, &[&first, &second], &recipients).await.sequence, 3);
}

#[test]
fn addresses_are_folders_or_buckets() {
    for wrong in ["", "gs://bucket/x", "s3://", "s3:///x", "s3://bucket/../x"] {
        assert!(Place::parse(wrong).is_err(), "{wrong}");
    }
}

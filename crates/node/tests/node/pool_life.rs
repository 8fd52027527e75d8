//! What ends the life of presignatures: POOL.6, each rule by itself, and every way in which a node stops.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quorate_api::KeyStatus;
use quorate_api::intent::Scheme;
use quorate_keys::backup::entry::Restored;
use quorate_node::Node;
use quorate_store::fault::{Fault, Faults};

use crate::cluster::{Cluster, WAIT, unique};
use crate::end_to_end::verify;
use crate::moving::{moved, refresh, repair, reshare};
use crate::pool::{
    cluster, destroyed, filled, for_others, message_key, metric, ready, small, used, wait_for, wait_ready,
};
use crate::shelf::{shares_of, shelf};
use crate::states::{disable, enable};

const MADE: &str = "quorate_presignatures_made_total";
const GONE: &str = "quorate_presignatures_destroyed_total";

/// Stops the making of more, so that what is gone stays gone.
async fn frozen_pool(n: usize) -> Cluster {
    let mut cluster = Cluster::prepare(n).await;
    for config in &mut cluster.configs {
        config.pool = small();
        config.pool.low = 1;
    }
    cluster.start_all().await;
    cluster
}

/// covers: B13: of an old epoch nothing is left at anybody, and the new epoch gets its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_begins_with_an_empty_pool() {
    let cluster = cluster(3).await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    filled(&cluster, 0, &key).await;
    assert_eq!(for_others(&cluster, 1).await, 4);
    moved(&cluster, 2, &key.id, &refresh(0)).await.unwrap();
    for at in [0, 1] {
        let gone = destroyed(&cluster, at, "epoch").await + destroyed(&cluster, at, "late").await;
        assert!(gone >= 4, "{gone} at {at}");
    }
    wait_ready(&cluster, 0, 4).await;
    let result = cluster.sign(0, &key.id, "in the next epoch").await.unwrap();
    verify(key.scheme, &key.public_key.0, b"in the next epoch", &result.signatures[0]);
    assert_eq!(result.figures.presignatures, 1);
}

/// covers: B13. A key that is reshared, among the same parties and to fewer, and one whose share is repaired: of the old epoch nothing is left at
/// anybody, and the next signature is made without any, until the pool is full of new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reshare_and_a_repair_leave_no_presignature() {
    let cluster = cluster(3).await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    let (mut cases, mut used_before) = (0, 0);
    for act in [reshare(0, 2, &["a", "b", "c"]), repair(1, "b"), reshare(2, 2, &["a", "b"])] {
        // Of the epoch as it is now.
        if cases == 0 {
            filled(&cluster, 0, &key).await;
        }
        wait_ready(&cluster, 0, 4).await;
        let before = gone(&cluster).await;
        let made = metric(&cluster, 0, MADE).await;
        moved(&cluster, 0, &key.id, &act).await.unwrap();
        let after = gone(&cluster).await;
        let (own, others) = (after[0] - before[0], after[1] + after[2] - before[1] - before[2]);
        assert!(own >= 4 && others >= 4, "{act:?}: {before:?} and {after:?}");
        let result = cluster.sign(0, &key.id, "in the next epoch").await.unwrap();
        verify(key.scheme, &key.public_key.0, b"in the next epoch", &result.signatures[0]);
        // All that are there now were made since; so was what signed just now, if anything did.
        wait_ready(&cluster, 0, 4).await;
        let presigned = u64::from(result.figures.presignatures);
        assert!(metric(&cluster, 0, MADE).await >= made + 4 + presigned, "{act:?}");
        let result = cluster.sign(0, &key.id, "with a new one").await.unwrap();
        verify(key.scheme, &key.public_key.0, b"with a new one", &result.signatures[0]);
        assert_eq!(result.figures.presignatures, 1, "{act:?}");
        let used_now = used(&cluster, 0).await;
        assert_eq!(used_now, used_before + 1 + presigned, "{act:?}");
        used_before = used_now;
        cases += 1;
    }
    assert_eq!(cases, 3);
}

/// How many each dropped because their epoch was over, while they waited or while they were made.
async fn gone(cluster: &Cluster) -> [u64; 3] {
    let mut gone = [0; 3];
    for (at, gone) in gone.iter_mut().enumerate() {
        *gone = destroyed(cluster, at, "epoch").await + destroyed(cluster, at, "late").await;
    }
    gone
}

/// All files below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            found.insert(entry.clone(), std::fs::read(entry).unwrap());
        }
    }
    found
}

/// covers: C2. A backup that is written while the pool is full says nothing of it: it covers, byte for byte, the shares that were written down before
/// there was any presignature, and what is new, the index, is no longer than the one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_is_in_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::prepare(2).await;
    for config in &mut cluster.configs {
        config.pool = small();
        config.backup = Some(shelf(folder.path()));
    }
    cluster.start_all().await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    let (mut before, mut full) = (Vec::new(), Vec::new());
    for at in [0, 1] {
        assert_eq!(metric(&cluster, at, MADE).await, 0);
        before.push(shares_of(&cluster, at, folder.path()).await);
    }
    let old = files(&folder.path().join("backups"));
    filled(&cluster, 0, &key).await;
    filled(&cluster, 1, &key).await;
    for at in [0, 1] {
        full.push(shares_of(&cluster, at, folder.path()).await);
        assert_eq!((ready(&cluster, at).await, for_others(&cluster, at).await), (4, 4), "full all along");
    }
    let now = files(&folder.path().join("backups"));
    assert!(old.iter().all(|(path, bytes)| now.get(path) == Some(bytes)), "what was written stays");
    // Nothing but an index of each node, as long as the one that knew of the same share.
    let is_index = |path: &Path| path.extension().is_some_and(|end| end == "qbi");
    let longest = old.iter().filter(|(path, _)| is_index(path)).map(|(_, bytes)| bytes.len()).max().unwrap();
    let new: Vec<_> = now.iter().filter(|(path, _)| !old.contains_key(*path)).collect();
    assert!(new.iter().all(|(path, bytes)| is_index(path) && bytes.len() == longest), "{new:?}");
    assert_eq!(new.len(), 2);
    for (before, full) in before.iter().zip(&full) {
        let content = |shares: &[Restored]| -> Vec<_> {
            let each = shares.iter();
            each.map(|one| (one.key_id, one.epoch, one.record.clone(), one.secret.to_vec())).collect()
        };
        assert_eq!((content(before), before.len()), (content(full), 1));
    }
}

/// A refresh in the middle of many signatures from the pool: all are signed, in one epoch or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_races_with_the_pool() {
    let cluster = cluster(3).await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    filled(&cluster, 0, &key).await;
    filled(&cluster, 1, &key).await;
    let signing = async |at: usize| {
        let mut presigned = 0;
        for n in 0..8 {
            let text = format!("{n} at {at}");
            let result = cluster.sign(at, &key.id, &text).await.unwrap();
            verify(key.scheme, &key.public_key.0, text.as_bytes(), &result.signatures[0]);
            presigned += result.figures.presignatures;
        }
        presigned
    };
    let refreshing = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        moved(&cluster, 2, &key.id, &refresh(0)).await.unwrap();
    };
    let (first, second, ()) = tokio::join!(signing(0), signing(1), refreshing);
    assert!(first + second >= 1, "none from a pool");
    for at in [0, 1] {
        assert_eq!(cluster.client(at).key(&key.id).await.unwrap().epoch, 1);
    }
    wait_ready(&cluster, 0, 4).await;
    assert_eq!(cluster.sign(0, &key.id, "afterwards").await.unwrap().figures.presignatures, 1);
}

/// Every order about the key empties its pools, at every node that hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_about_the_key_empties_its_pools() {
    let cluster = cluster(2).await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    let other = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    filled(&cluster, 0, &other).await;
    cluster.sign(0, &key.id, "the first").await.unwrap();
    wait_ready(&cluster, 0, 8).await;
    cluster.client(1).act(&key.id, &disable(0), &unique("disable"), WAIT).await.unwrap();
    assert_eq!(cluster.client(0).key(&key.id).await.unwrap().status, KeyStatus::Disabled);
    for at in [0, 1] {
        assert_eq!(destroyed(&cluster, at, "state").await, 4, "at {at}");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((ready(&cluster, 0).await, for_others(&cluster, 1).await), (4, 4), "those of the other key");
    cluster.client(1).act(&key.id, &enable(1), &unique("enable"), WAIT).await.unwrap();
    assert_eq!(cluster.sign(0, &key.id, "enabled again").await.unwrap().figures.presignatures, 0);
    wait_ready(&cluster, 0, 8).await;
}

/// A member that restarts has none of its parts, so nobody keeps theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_restarts_takes_the_others_parts_with_it() {
    let mut cluster = frozen_pool(2).await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    filled(&cluster, 0, &key).await;
    cluster.stop(1).await;
    cluster.start_node(1).await;
    cluster.start_all().await;
    wait_for(&cluster, 0, &format!("{GONE}{{reason=\"restart\"}}"), 4).await;
    assert_eq!(for_others(&cluster, 1).await % 4, 0);
    // Filled again, with the node as it is now.
    wait_ready(&cluster, 0, 4).await;
    assert_eq!(cluster.sign(0, &key.id, "with the new one").await.unwrap().figures.presignatures, 1);
}

/// Nothing gets older than it may, also if nobody asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_ones_are_dropped_by_everybody() {
    let mut cluster = Cluster::prepare(2).await;
    for config in &mut cluster.configs {
        config.pool = small();
        config.pool.max_age = Duration::from_secs(4);
    }
    cluster.start_all().await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    filled(&cluster, 0, &key).await;
    for at in [0, 1] {
        wait_for(&cluster, at, &format!("{GONE}{{reason=\"age\"}}"), 4).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The key has not signed for as long, so no more are made.
    assert_eq!((ready(&cluster, 0).await, for_others(&cluster, 1).await), (0, 0));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// covers: S26, B13, C2: whichever way a node comes back, by itself, killed, or with a disk as it was when the pool was full, it has none,
/// and the others have none for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_back_has_none() {
    let mut cases = 0;
    for how in ["stopped", "killed", "with an old disk"] {
        let mut cluster = cluster(2).await;
        let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
        filled(&cluster, 0, &key).await;
        let (data, old) = (cluster.configs[0].data.clone(), tempfile::tempdir().unwrap());
        copy(&data, old.path());
        assert_eq!(cluster.sign(0, &key.id, "after the copy").await.unwrap().figures.presignatures, 1);
        if how == "killed" {
            // No good order: what runs is broken off, and the folder is free when the last of it has let go.
            drop(cluster.nodes[0].take());
        } else {
            cluster.stop(0).await;
        }
        if how == "with an old disk" {
            std::fs::remove_dir_all(&data).unwrap();
            copy(old.path(), &data);
        }
        let until = Instant::now() + Duration::from_secs(20);
        cluster.nodes[0] = Some(loop {
            match Node::start(cluster.configs[0].clone()).await {
                Ok(node) => break node,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        });
        assert_eq!(
            (ready(&cluster, 0).await, metric(&cluster, 0, "quorate_presignatures_made_total").await),
            (0, 0),
            "{how}"
        );
        cluster.start_all().await;
        wait_for(&cluster, 1, "quorate_presignatures_for_others{scheme=\"ecdsa-secp256k1\"}", 0).await;
        if how != "with an old disk" {
            let result = cluster.sign(0, &key.id, how).await.unwrap();
            verify(key.scheme, &key.public_key.0, how.as_bytes(), &result.signatures[0]);
            assert_eq!(result.figures.presignatures, 0);
        }
        cases += 1;
    }
    assert_eq!(cases, 3);
}

/// covers: S26, S27, C2: a write fails, or the node stops right before or after it, at every write between the request and its answer, at the
/// owner and at the member. Whatever becomes of the request, its presignature is gone at both, and no other than it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_signing_breaks_off_the_presignature_is_gone() {
    let mut cluster = frozen_pool(2).await;
    let faults = [Faults::default(), Faults::default()];
    for at in [0, 1] {
        cluster.stop(at).await;
    }
    for at in [0, 1] {
        let node = Node::start_with_faults(cluster.configs[at].clone(), faults[at].clone()).await;
        cluster.nodes[at] = Some(node.unwrap());
    }
    cluster.start_all().await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    filled(&cluster, 0, &key).await;
    for plan in &faults {
        plan.record();
    }
    assert_eq!(cluster.sign(0, &key.id, "recorded").await.unwrap().figures.presignatures, 1);
    let writes = faults.each_ref().map(|plan| plan.recorded());
    // The request, the session, the outcome.
    assert!(writes.iter().all(|names| names.len() >= 3), "{writes:?}");
    let (mut cases, mut from_pool) = (0, 0);
    for at in [0, 1] {
        for nth in 1..=u64::try_from(writes[at].len()).unwrap() {
            for fault in [Fault::BeforeCommit, Fault::AfterCommit] {
                // Made again once there is none left.
                let until = Instant::now() + Duration::from_secs(30);
                while ready(&cluster, 0).await == 0 {
                    assert!(Instant::now() < until, "never filled again");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                let before = [ready(&cluster, 0).await, for_others(&cluster, 1).await];
                let spent = used(&cluster, 0).await;
                faults[at].fail_nth_write(nth, fault);
                let text = unique("with a fault");
                let result = cluster.sign(0, &key.id, &text).await;
                faults[at].forget();
                if let Ok(result) = &result {
                    verify(key.scheme, &key.public_key.0, text.as_bytes(), &result.signatures[0]);
                    from_pool += result.figures.presignatures;
                }
                // Used means gone, at both. What is left was not taken, because the request was not even begun.
                let after = [ready(&cluster, 0).await, for_others(&cluster, 1).await];
                let what = format!("write {nth} at {at}, {fault:?}: {before:?} and {after:?}");
                let fell = [after[0] < before[0], after[1] < before[1]];
                assert!(fell[0] || (after == before && result.is_err()), "{what}");
                assert!(used(&cluster, 0).await == spent || fell == [true, true], "{what}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 2 * (writes[0].len() + writes[1].len()));
    assert!(from_pool > 0);
}

//! Nodes back their shares up by the clock; anybody can check what they wrote.

use std::path::Path;
use std::time::Duration;

use quorate_api::EventKind;
use quorate_api::intent::Scheme;
use quorate_backup::{Place, survey, text};
use quorate_keys::backup::recipients::RecoverySecret;
use quorate_log::entry::{Entry, Kind};
use quorate_node::config::Backup;
use zeroize::Zeroizing;

use crate::cluster::Cluster;
use crate::events::kept;

/// Writes public halves of recovery keys; gives the configuration that names them.
fn to(folder: &Path) -> Backup {
    let files = ["alice", "bob", "carol"].iter().zip(1u8..).map(|(name, seed)| {
        let key = RecoverySecret::from_seed(Zeroizing::new([seed; 32])).public().unwrap();
        let path = folder.join(name);
        std::fs::write(&path, text::public_line(name, &key)).unwrap();
        path
    });
    Backup {
        to: folder.join("backups").to_str().unwrap().to_owned(),
        every: Duration::from_secs(3600),
        recipients: files.collect(),
        access: "2 of 3".to_owned(),
        keys_per_file: 16,
    }
}

async fn until(mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not come true");
}

/// covers: S40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_are_backed_up_and_the_backup_is_enough() {
    let shelf = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(3).await;
    let first = cluster.create(Scheme::Ed25519, 2, None).await;
    let second = cluster.create(Scheme::EcdsaSecp256k1, 2, None).await;
    // Started again with a place, each node finds that a backup is due.
    for at in 0..3 {
        cluster.stop(at).await;
        cluster.configs[at].backup = Some(to(shelf.path()));
    }
    cluster.start_all().await;
    let place = Place::parse(&to(shelf.path()).to).unwrap();
    until(async || survey(&place).await.unwrap().nodes.iter().filter(|node| node.keys == 2).count() == 3)
        .await;
    let found = survey(&place).await.unwrap();
    assert!(found.is_sound(), "{found:#?}");
    assert_eq!(found.keys.len(), 2);
    for key in &found.keys {
        assert_eq!((key.parties.clone(), key.epoch), (vec![1, 2, 3], 0));
        let known =
            [&first, &second].iter().any(|known| known.public_key.to_string().ends_with(&key.public_key));
        assert!(known, "{} is no public key of {first:?} or {second:?}", key.public_key);
    }
    // Two files a node: one for each curve.
    assert!(found.nodes.iter().all(|node| node.entries.len() == 2 && node.sequence == 1));
    until(async || !told(&cluster, EventKind::BackupWritten).await.is_empty()).await;
    let (_, metrics) = cluster.get(0, "/metrics").await;
    let stamp =
        metrics.lines().find_map(|line| line.strip_prefix("quorate_last_backup_timestamp_seconds ")).unwrap();
    assert!(stamp.parse::<f64>().unwrap() > 1.7e9, "{stamp}");
    assert!(metrics.contains("quorate_backup_keys 2"));
    cluster.stop(0).await;
    let store = quorate_store::Store::open(&cluster.configs[0].data).await.unwrap();
    let logged = store.log_entries(0, 1000).await.unwrap();
    let logged: Vec<_> = logged.iter().map(|bytes| Entry::decode(bytes).unwrap().kind()).collect();
    assert_eq!(logged.iter().filter(|kind| **kind == Kind::Backup).count(), 1, "{logged:?}");
    store.close().await;
}

async fn told(cluster: &Cluster, kind: EventKind) -> Vec<quorate_api::Event> {
    kept(cluster, 0).await.into_iter().filter(|event| event.kind == kind).collect()
}

/// covers: S40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_fails_is_told_and_the_node_goes_on() {
    let shelf = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::prepare(2).await;
    let mut broken = to(shelf.path());
    broken.access = "2 of 4".to_owned();
    cluster.configs[0].backup = Some(broken);
    cluster.start_all().await;
    until(async || !told(&cluster, EventKind::BackupFailed).await.is_empty()).await;
    let failures = told(&cluster, EventKind::BackupFailed).await;
    let detail = failures[0].detail.clone().unwrap();
    assert!(detail.contains("there are 3 recovery keys"), "{detail}");
    let (_, metrics) = cluster.get(0, "/metrics").await;
    assert!(metrics.contains("quorate_backup_failures_total 1"));
    cluster.create(Scheme::Ed25519, 2, None).await;
}

//! Nodes back their shares up by the clock; anybody can check what they wrote.

use std::path::Path;
use std::time::Duration;

use quorate_api::intent::Scheme;
use quorate_api::{BackUp, BackupResult, Code, EventKind, Operation, OperationResult, OperationStatus};
use quorate_backup::{Archive, Place, survey, text};
use quorate_keys::backup::recipients::RecoverySecret;
use quorate_log::entry::{Entry, Kind};
use quorate_node::config::Backup;
use quorate_node::{Force, Known, RestoreError, init_with, restore};
use quorate_protocol::party::{IdentityKey, PartyIndex};
use quorate_seal::Params;
use quorate_store::Store;
use zeroize::Zeroizing;

use crate::cluster::{Cluster, WAIT, passphrase, problem, unique};
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
        access: "2 of (alice, bob, carol)".to_owned(),
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
    // Once: it writes the recipients' files, and a node that reads one meanwhile finds it empty.
    let backup = to(shelf.path());
    // Started again with a place, each node finds that a backup is due.
    for at in 0..3 {
        cluster.stop(at).await;
        cluster.configs[at].backup = Some(backup.clone());
    }
    cluster.start_all().await;
    let place = Place::parse(&backup.to).unwrap();
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
    let store = Store::open(&cluster.configs[0].data).await.unwrap();
    let logged = store.log_entries(0, 1000).await.unwrap();
    let logged: Vec<_> = logged.iter().map(|bytes| Entry::decode(bytes).unwrap().kind()).collect();
    assert_eq!(logged.iter().filter(|kind| **kind == Kind::Backup).count(), 1, "{logged:?}");
    store.close().await;
    restored_shares_do_not_sign(&cluster, &place).await;
}

/// Node 0 is lost; its shares come back on a fresh machine, where they are no keys.
async fn restored_shares_do_not_sign(cluster: &Cluster, place: &Place) {
    let lost = IdentityKey::from_bytes(cluster.identities[0].as_bytes()).unwrap();
    let archive = Archive::new(place.clone(), lost);
    let index = archive.newest().await.unwrap().unwrap().index;
    let mut shares = Vec::new();
    for covered in &index.keys {
        let entry = archive.entry(covered.entry).await.unwrap();
        let part = |(index, seed): (u16, u8)| {
            let key = RecoverySecret::from_seed(Zeroizing::new([seed; 32]));
            entry.open_part(PartyIndex::new(index).unwrap(), &key).unwrap()
        };
        shares.extend(entry.join(&[(1, 1), (3, 3)].map(part)).unwrap().restored);
    }
    assert_eq!(shares.len(), 2);
    let fresh = tempfile::tempdir().unwrap();
    let mut config = cluster.configs[0].clone();
    config.data = fresh.path().join("data");
    init_with(&config.data, "node-a", passphrase(), Params::FLOOR).await.unwrap();

    // A later epoch is known: refused, and nothing is kept, unless somebody says why.
    let later = Known::from([(shares[1].key_id, 1)]);
    let refused = restore(&config, &shares, &later, None, "fire").await.unwrap_err();
    assert!(matches!(refused, RestoreError::Older { epoch: 0, known: 1, .. }), "{refused}");
    let store = Store::open(&config.data).await.unwrap();
    assert!(store.restored().await.unwrap().is_empty());
    store.close().await;
    let force = Force { reason: "the epoch 1 machines burned before they were backed up".to_owned() };
    let report = restore(&config, &shares, &later, Some(&force), "fire").await.unwrap();
    assert_eq!(report.shares.iter().map(|share| share.forced_below).collect::<Vec<_>>(), [None, Some(1)]);
    // Without a later one it goes without force, and again without harm.
    let report = restore(&config, &shares, &Known::new(), None, "fire").await.unwrap();
    assert!(report.shares.iter().all(|share| share.party == 1 && share.forced_below.is_none()));
    // Over a share that is there nothing is restored.
    let over = restore(&cluster.configs[0], &shares, &Known::new(), None, "fire").await.unwrap_err();
    assert!(matches!(over, RestoreError::Held { held: 0, .. }), "{over}");

    let store = Store::open(&config.data).await.unwrap();
    assert!(store.list_keys(None, 10).await.unwrap().items.is_empty(), "a restored share is no key");
    assert_eq!(store.restored().await.unwrap().len(), 2);
    let logged = store.log_entries(0, 1000).await.unwrap();
    let logged: Vec<_> = logged.iter().map(|bytes| Entry::decode(bytes).unwrap()).collect();
    let reasons = logged.iter().filter(|entry| entry.kind() == Kind::Backup);
    let reasons: Vec<_> = reasons.map(|entry| String::from_utf8_lossy(entry.body()).into_owned()).collect();
    assert_eq!(reasons.len(), 4);
    assert!(
        reasons[1].contains("burned before they were backed up") && reasons[1].contains("\"forced_below\":1")
    );
    store.close().await;
    // The shares rest sealed.
    let secrets = shares.iter().map(|share| share.secret[3..].to_vec());
    for secret in secrets {
        for file in std::fs::read_dir(&config.data).unwrap().map(|file| file.unwrap().path()) {
            let bytes = std::fs::read(&file).unwrap_or_default();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", file.display());
        }
    }
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
    broken.access = "2 of (alice, bob)".to_owned();
    cluster.configs[0].backup = Some(broken);
    cluster.start_all().await;
    until(async || !told(&cluster, EventKind::BackupFailed).await.is_empty()).await;
    let failures = told(&cluster, EventKind::BackupFailed).await;
    let detail = failures[0].detail.clone().unwrap();
    assert!(detail.contains("`carol` is not in it"), "{detail}");
    let (_, metrics) = cluster.get(0, "/metrics").await;
    assert!(metrics.contains("quorate_backup_failures_total 1"));
    cluster.create(Scheme::Ed25519, 2, None).await;
}

fn backed_up(operation: &Operation) -> BackupResult {
    match operation.result.as_ref() {
        Some(OperationResult::BackUp(result)) => (**result).clone(),
        other => panic!("no backup in {:?}: {other:?}", operation.status),
    }
}

fn why(reason: &str) -> BackUp {
    BackUp { reason: Some(reason.to_owned()) }
}

/// A client asks one node to back up, gets what was written, and gets the same again; a node without a place says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_backs_up_when_it_is_asked_to() {
    let shelf = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::prepare(2).await;
    cluster.configs[0].backup = Some(Backup { keys_per_file: 1, ..to(shelf.path()) });
    cluster.start_all().await;
    // The first one, which is due at the start, is empty.
    until(async || !told(&cluster, EventKind::BackupWritten).await.is_empty()).await;
    for scheme in [Scheme::Ed25519, Scheme::Ed25519, Scheme::EcdsaSecp256k1] {
        cluster.create(scheme, 2, None).await;
    }
    let client = cluster.client(0);
    let asked = client.back_up(&why("before the update"), "now", WAIT).await.unwrap();
    let done = backed_up(&asked);
    assert_eq!((done.node.as_str(), done.keys, done.fresh, done.sequence), ("node-a", 3, 3, 2));
    assert_eq!(done.to, to(shelf.path()).to);
    assert!(done.bytes > 3 * 100_000, "{done:?}");
    assert_eq!(asked.receipts.len(), 1, "it is proved that the node logged it");
    let place = Place::parse(&done.to).unwrap();
    let found = survey(&place).await.unwrap();
    assert_eq!((found.nodes[0].sequence, found.nodes[0].keys), (2, 3));
    // The same request is the same backup, also after a restart; another one finds nothing new.
    cluster.stop(0).await;
    cluster.start_all().await;
    let client = cluster.client(0);
    let again = client.back_up(&why("before the update"), "now", WAIT).await.unwrap();
    assert_eq!((again.id.clone(), backed_up(&again).sequence), (asked.id.clone(), 2));
    let next = backed_up(&client.back_up(&BackUp::default(), "next", WAIT).await.unwrap());
    assert_eq!((next.keys, next.fresh, next.sequence), (3, 0, 3));
    let entries = crate::audit::entries(&cluster, 0).await;
    let bodies = entries.iter().filter(|entry| entry.kind() == Kind::Backup);
    let bodies: Vec<_> = bodies.map(|entry| String::from_utf8_lossy(entry.body()).into_owned()).collect();
    assert_eq!(bodies.len(), 3, "{bodies:?}");
    assert!(bodies[1].contains("\"reason\":\"before the update\""), "{bodies:?}");
    let refused = cluster.client(1).back_up(&why("x"), "here", WAIT).await.map_err(problem).unwrap_err();
    assert_eq!((refused.code, refused.status()), (Code::Unsupported, 501));
    assert!(refused.detail.contains("docs/backup.md"), "{}", refused.detail);
    // A place that is gone is an error with its reason, and can be asked for again.
    let folder = shelf.path().join("backups");
    std::fs::rename(&folder, shelf.path().join("away")).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let failed = client.back_up(&BackUp::default(), "broken", WAIT).await.map_err(problem).unwrap_err();
    assert!(failed.detail.contains("the backup failed"), "{}", failed.detail);
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(shelf.path().join("away"), &folder).unwrap();
    assert_eq!(backed_up(&client.back_up(&BackUp::default(), "broken", WAIT).await.unwrap()).keys, 3);
}

const RULES: &str = r#"
@id("keys")
permit (principal in Group::"admins", action == Action::"create_key", resource);
@id("backups")
@quorum("2 of Group::\"admins\"")
permit (principal in Group::"admins", action == Action::"backup", resource);
"#;

/// With a directory the policies say who may, and people can be asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_judge_backups() {
    let shelf = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::governed(3, &[("rules", RULES)]).await;
    for at in 0..2 {
        cluster.stop(at).await;
        cluster.configs[at].backup = Some(to(shelf.path()));
    }
    cluster.start_all().await;
    crate::governed::create(&cluster, "alice").await;
    let ask = async |at: usize, who: &str| {
        let client = cluster.as_user(at, who);
        client.back_up(&why("the audit"), &unique("backup"), Duration::ZERO).await.map_err(problem)
    };
    let refused = ask(0, "dave").await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied, "{}", refused.detail);
    let asked = ask(0, "alice").await.unwrap();
    assert_eq!(asked.status, OperationStatus::PendingApproval);
    let words = asked.approvals.clone().unwrap().summary.unwrap();
    assert!(words.headline.contains("back up") && words.details[0].contains("the audit"), "{words}");
    cluster.rule(1, "bob", "approve", &asked).await.unwrap();
    cluster.rule(2, "carol", "approve", &asked).await.unwrap();
    let done = backed_up(&cluster.ended(0, "alice", &asked).await);
    assert_eq!((done.node.as_str(), done.keys), ("node-a", 1));
    // The others were asked to agree, not to back up.
    let other = Place::parse(&done.to).unwrap();
    let found = survey(&other).await.unwrap();
    let keys: Vec<(&str, usize)> = found.nodes.iter().map(|node| (node.name.as_str(), node.keys)).collect();
    assert!(keys.contains(&("node-a", 1)) && !keys.contains(&("node-b", 1)), "{keys:?}");
}

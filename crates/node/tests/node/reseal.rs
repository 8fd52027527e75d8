//! A folder that moves to another passphrase while its node works, and writes that fail on the way.

use std::path::{Path, PathBuf};

use quorate_api::intent::{Purpose, Scheme};
use quorate_log::entry::Kind;
use quorate_node::{AdminError, Node, Target, Unlock, ask_running};
use quorate_seal::PassphraseSource;
use quorate_store::fault::{Fault, Faults};

use crate::cluster::Cluster;

fn secret(folder: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn to(path: &Path) -> Target {
    Target::Passphrase(PassphraseSource::File(path.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_changes_under_a_running_node_and_the_log_says_so() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let home = cluster.configs[0].data.parent().unwrap().to_owned();
    let new = secret(&home, "new", "another passphrase");
    let nobody = ask_running(&home, &to(&new)).await.unwrap_err();
    assert!(matches!(nobody, AdminError::NotRunning(_)), "{nobody:?}");
    let missing = ask_running(&cluster.configs[0].data, &to(&home.join("none"))).await.unwrap_err();
    assert!(missing.to_string().contains("none"), "{missing}");
    let done = ask_running(&cluster.configs[0].data, &to(&new)).await.unwrap();
    assert!(done.online && done.erased && !done.made, "{done:?}");
    cluster.sign(0, &key.id, "in between").await.unwrap();
    cluster.stop(0).await;

    let old = cluster.configs[0].seal.passphrase_file.clone().unwrap();
    let wrong = Node::start(cluster.configs[0].clone()).await.unwrap_err();
    assert!(wrong.to_string().contains("wrong passphrase"), "{wrong}");
    // A node that does not run is opened for it.
    let unlock = Unlock::passphrase_at(PassphraseSource::File(new));
    let back = quorate_node::reseal(&cluster.configs[0], unlock, to(&old)).await.unwrap();
    assert!(!back.online, "{back:?}");
    cluster.start_all().await;
    cluster.sign(0, &key.id, "afterwards").await.unwrap();
    let entries = crate::audit::entries(&cluster, 0).await;
    let moves = entries.iter().filter(|entry| entry.kind() == Kind::Seal);
    let bodies: Vec<String> = moves.map(|entry| String::from_utf8_lossy(entry.body()).into_owned()).collect();
    assert_eq!(bodies, [r#"{"from":"a passphrase","to":"a passphrase"}"#; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_leaves_the_old_or_the_new_passphrase() {
    let cluster = Cluster::prepare(1).await;
    let mut config = cluster.configs[0].clone();
    let home = config.data.parent().unwrap().to_owned();
    let mut cases = 0;
    for (at, (fault, moved)) in
        [(Fault::BeforeCommit, false), (Fault::DiskFull, false), (Fault::AfterCommit, true)]
            .into_iter()
            .enumerate()
    {
        let old = config.seal.passphrase_file.clone().unwrap();
        let new = secret(&home, &format!("new-{at}"), &format!("passphrase number {at}"));
        let faults = Faults::default();
        let node = Node::start_with_faults(config.clone(), faults.clone()).await.unwrap();
        // Whatever else is written just now.
        for nth in 1..=4 {
            faults.fail_nth_write(nth, fault);
        }
        let failed = ask_running(&config.data, &to(&new)).await.unwrap_err();
        assert!(failed.to_string().contains("run the same command again"), "{failed}");
        node.shutdown().await;
        let (opens, refuses) = if moved { (new, old) } else { (old, new) };
        config.seal.passphrase_file = Some(refuses);
        let refused = Node::start(config.clone()).await.unwrap_err();
        assert!(refused.to_string().contains("wrong passphrase"), "{fault:?}: {refused}");
        config.seal.passphrase_file = Some(opens);
        let node = Node::start(config.clone()).await.unwrap();
        node.shutdown().await;
        cases += 1;
    }
    assert_eq!(cases, 3);
}

async fn header(config: &quorate_node::Config) -> Vec<u8> {
    let store = quorate_store::Store::open(&config.data).await.unwrap();
    let header = store.meta().await.unwrap().unwrap().seal_header;
    store.close().await;
    header
}

/// covers: SEAL.14: the same passphrase under another salt, with the node running and stopped; another passphrase is refused, and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_is_made_anew_under_the_same_passphrase() {
    let mut cluster = Cluster::start(2).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    cluster.stop(0).await;
    let config = cluster.configs[0].clone();
    let first = header(&config).await;
    let unlock = Unlock::of(&config);
    let done = quorate_node::reseal(&config, unlock, Target::Same).await.unwrap();
    assert_eq!((done.from.as_str(), done.to.as_str(), done.online), ("a passphrase", "a passphrase", false));
    let second = header(&config).await;
    // Of the passphrase's header the salt follows kind and costs.
    assert_ne!(first[22..54], second[22..54]);
    cluster.start_all().await;
    cluster.sign(0, &key.id, "in between").await.unwrap();
    let done = ask_running(&config.data, &Target::Same).await.unwrap();
    assert!(done.online && done.erased, "{done:?}");
    let file = config.seal.passphrase_file.clone().unwrap();
    let right = std::fs::read(&file).unwrap();
    std::fs::write(&file, "another passphrase").unwrap();
    let refused = ask_running(&config.data, &Target::Same).await.unwrap_err().to_string();
    assert!(refused.contains("wrong passphrase") && refused.contains("--to"), "{refused}");
    cluster.stop(0).await;
    let third = header(&config).await;
    assert_ne!(second, third);
    std::fs::write(&file, right).unwrap();
    for entry in std::fs::read_dir(&config.data).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&entry).unwrap_or_default();
        for old in [&first, &second] {
            let salt = &old[22..54];
            assert!(!bytes.windows(32).any(|window| window == salt), "{}", entry.display());
        }
    }
    cluster.start_all().await;
    cluster.sign(0, &key.id, "afterwards").await.unwrap();
}

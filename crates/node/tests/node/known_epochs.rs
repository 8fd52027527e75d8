//! What nodes say of keys that another one is about to restore.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Act, Destroy, Key, Refresh, Reshare};
use quorate_keys::share::{KeyId as PackageId, PublicPackage};
use quorate_node::{Heard, ask_peers};
use quorate_protocol::curve::Ed25519;
use quorate_store::Store;

use crate::cluster::{Cluster, WAIT, unique};
use crate::governed::until;

/// How a backup names a key: since its birth.
async fn named(cluster: &Cluster, at: usize, key: &Key) -> PackageId {
    let store = Store::open(&cluster.configs[at].data).await.unwrap();
    let stored = store.key(key.id.as_str()).await.unwrap().unwrap();
    store.close().await;
    let record: serde_json::Value = serde_json::from_slice(&stored.record).unwrap();
    let package = hex::decode(record["package"].as_str().unwrap()).unwrap();
    PublicPackage::<Ed25519>::from_bytes(&package).unwrap().key_id
}

async fn act(cluster: &Cluster, key: &Key, act: &Act) {
    cluster.client(1).act(&key.id, act, &unique("act"), WAIT).await.unwrap();
}

fn epochs(heard: &Heard) -> BTreeMap<&str, Vec<u64>> {
    heard.answered.iter().map(|peer| (peer.node.as_str(), peer.epochs.values().copied().collect())).collect()
}

/// covers: S40: a node that restores hears of epochs, of keys that went on without the one that is asked, and of destroyed ones; who is silent is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_say_which_epoch_is_in_force_and_what_was_destroyed() {
    let mut cluster = Cluster::prepare(4).await;
    for config in &mut cluster.configs {
        config.keys.destroy_delay = Duration::from_secs(1);
    }
    cluster.start_all().await;
    let purpose = || Some(vec![Purpose::Message]);
    let refreshed = cluster.create(Scheme::Ed25519, 2, purpose()).await;
    let handed_on = cluster.create(Scheme::Ed25519, 2, purpose()).await;
    let destroyed = cluster.create(Scheme::Ed25519, 2, purpose()).await;
    act(&cluster, &refreshed, &Act::Refresh(Refresh { epoch: 0, reason: None })).await;
    let parties = Some(["node-a", "node-b"].map(str::to_owned).to_vec());
    let reshare = Reshare { epoch: 0, threshold: Some(2), access: None, parties, reason: None };
    act(&cluster, &handed_on, &Act::Reshare(reshare)).await;
    act(&cluster, &destroyed, &Act::Destroy(Destroy { base: 0, delay: None, reason: None })).await;
    for at in 0..4 {
        let gone = async || cluster.client(at).key(&destroyed.id).await.unwrap().status;
        until(async || gone().await == quorate_api::KeyStatus::Destroyed).await;
    }
    cluster.stop(0).await;
    let mut names = Vec::new();
    for key in [&refreshed, &handed_on, &destroyed] {
        names.push(named(&cluster, 0, key).await);
    }
    let unknown = PackageId([9; 32]);
    let wanted = [names[0], names[1], names[2], unknown];
    let config = cluster.configs[0].clone();
    let patience = Duration::from_secs(5);
    let heard = ask_peers(&config, &wanted, patience).await.unwrap();
    assert_eq!(heard.silent, []);
    assert_eq!(heard.answered.len(), 3, "{heard:?}");
    for peer in &heard.answered {
        assert_eq!(peer.epochs.get(&names[0]), Some(&1), "{peer:?}");
        // Also the nodes that gave it away.
        assert_eq!(peer.epochs.get(&names[1]), Some(&1), "{peer:?}");
        assert!(peer.destroyed.contains(&names[2]) && peer.destroyed.len() == 1, "{peer:?}");
        assert!(!peer.epochs.contains_key(&unknown));
    }
    // Only what was asked about is told.
    let heard = ask_peers(&config, &[names[0]], patience).await.unwrap();
    assert_eq!(epochs(&heard), [("node-b", vec![1]), ("node-c", vec![1]), ("node-d", vec![1])].into());
    // One is off, and to one this machine is a stranger.
    cluster.stop(2).await;
    cluster.stop(3).await;
    cluster.configs[3].peers.retain(|peer| peer.name != "node-a");
    cluster.start_node(3).await;
    let heard = ask_peers(&config, &[names[0]], patience).await.unwrap();
    assert_eq!(epochs(&heard), [("node-b", vec![1])].into());
    let silent: Vec<&str> = heard.silent.iter().map(|silent| silent.node.as_str()).collect();
    assert_eq!(silent, ["node-c", "node-d"]);
    assert!(heard.silent.iter().all(|silent| silent.reason.contains("not connected")), "{heard:?}");
    // The folder was only read.
    cluster.start_node(0).await;
    cluster.sign(0, &refreshed.id, "as before").await.unwrap();
}

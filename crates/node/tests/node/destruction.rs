//! Many keys whose time has come at once.

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Act, Destroy, KeyId};
use quorate_seal::{Context, Sealer};
use quorate_store::{Key, KeyState, KeyStatus, NewKey, Store};

use crate::cluster::{Cluster, now, passphrase};
use crate::governed::until;
use crate::states::order;

/// Keys that can be erased, and those that cannot, more of them than are read at once.
const DUE: u16 = 450;
const HELD: u16 = 250;

/// The key under which a node marks states, from its sealed identity.
async fn state_key(data: &std::path::Path, store: &Store) -> [u8; 32] {
    let meta = store.meta().await.unwrap().unwrap();
    let sealer = Sealer::open(&passphrase(), &meta.seal_header).unwrap();
    let file = std::fs::read(data.join("identity")).unwrap();
    let (node, sealed) = file.split_first_chunk::<32>().unwrap();
    let context = Context { node: *node, kind: "identity", key_id: "", epoch: 0, format: 1 };
    let seed = sealer.open_blob(&context, sealed).unwrap();
    blake3::derive_key("quorate 2026 node key state v1", &seed)
}

/// As `ceremony/act/mark.rs` says it.
fn marked(key: &[u8; 32], id: &str, status: KeyStatus, state: KeyState) -> KeyState {
    let mut hash = blake3::Hasher::new_keyed(key);
    for text in [id, status.as_str()] {
        hash.update(&u64::try_from(text.len()).unwrap().to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.update(&state.acts.to_be_bytes());
    for at in [state.exposed_at, state.destroys_at] {
        hash.update(&[u8::from(at.is_some())]);
        hash.update(&at.unwrap_or_default().to_be_bytes());
    }
    KeyState { mark: hash.finalize().as_bytes().to_vec(), ..state }
}

fn id(at: u16) -> KeyId {
    let mut bytes = [0xd0; 16];
    bytes[..2].copy_from_slice(&at.to_be_bytes());
    KeyId::from_bytes(bytes)
}

/// A copy of a key under another name, whose time is over.
fn copy(mark: &[u8; 32], key: &Key, at: u16, record: Vec<u8>, destroys_at: u64) -> NewKey {
    let id = id(at);
    let state = KeyState { acts: 1, exposed_at: None, destroys_at: Some(destroys_at), mark: Vec::new() };
    NewKey {
        key_id: id.as_str().to_owned(),
        status: KeyStatus::Disabled,
        scheme: key.scheme.clone(),
        public_key: key.public_key.clone(),
        epoch: key.epoch,
        record,
        sealed_share: vec![0x5e; 64],
        state: marked(mark, id.as_str(), KeyStatus::Disabled, state),
    }
}

/// covers: KST.7: keys that cannot be erased, however many and whenever they were due, hold up none that can, and all of these are erased soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_keys_are_erased_past_those_that_are_held() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    // One that waits for long is not touched.
    let later = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let month = Act::Destroy(Destroy { base: 0, delay: Some(30 * 86_400), reason: None });
    order(&cluster, 0, &later, &month).await.unwrap();
    cluster.stop(0).await;
    let data = cluster.configs[0].data.clone();
    let store = Store::open(&data).await.unwrap();
    let mark = state_key(&data, &store).await;
    let stored = store.key(key.id.as_str()).await.unwrap().unwrap();
    // Of these the other parties are not there, so it cannot be known whether they were called off.
    let mut held: serde_json::Value = serde_json::from_slice(&stored.record).unwrap();
    for party in held["parties"].as_array_mut().unwrap().iter_mut().skip(1) {
        party["identity"] = "ee".repeat(32).into();
    }
    let held = serde_json::to_vec(&held).unwrap();
    let due = now() * 1000 - 60_000;
    for at in 0..HELD {
        let record = held.clone();
        store.insert_key(copy(&mark, &stored, at, record, due - 1000), 1).await.unwrap();
    }
    for at in HELD..HELD + DUE {
        let record = stored.record.clone();
        store.insert_key(copy(&mark, &stored, at, record, due), 1).await.unwrap();
    }
    store.close().await;

    cluster.start_all().await;
    let left = async || {
        let (_, metrics) = cluster.get(0, "/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("quorate_keys_to_be_destroyed "));
        line.unwrap().parse::<u16>().unwrap()
    };
    until(async || left().await == HELD + 1).await;
    cluster.sign(0, &key.id, "a key that nobody destroys").await.unwrap();
    cluster.stop(0).await;
    let store = Store::open(&data).await.unwrap();
    let (mut erased, mut kept) = (0, 0);
    for at in 0..HELD + DUE {
        let key = store.key(id(at).as_str()).await.unwrap().unwrap();
        match (key.status, key.sealed_share.is_empty()) {
            (KeyStatus::Destroyed, true) if at >= HELD => erased += 1,
            (KeyStatus::Disabled, false) if at < HELD => kept += 1,
            other => panic!("key {at}: {other:?}"),
        }
    }
    assert_eq!((erased, kept), (DUE, HELD));
    let waits = store.key(later.id.as_str()).await.unwrap().unwrap();
    assert_eq!((waits.status, waits.state.destroys_at.is_some()), (KeyStatus::Disabled, true));
    store.close().await;
}

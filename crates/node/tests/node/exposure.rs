//! A node that says alone that a key was exported.

use std::path::Path;
use std::time::Duration;

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Act, Export, Hex, Key, KeyStatus, Method, Request, SignedRequest};
use quorate_seal::SealingKey;
use quorate_store::Store;

use crate::byzantine::{Answer, Traitor, Work};
use crate::cluster::{CLIENT, Cluster, WAIT, client_key, now, unique};
use crate::governed::until;

fn export() -> Export {
    let recipient = Hex(SealingKey::one_time().unwrap().public().to_bytes());
    Export { reason: "moving to cold storage".to_owned(), recipient, expires: now() + 600 }
}

/// A request to export that the holder of a key of this seed signs as the client.
fn request(key: &Key, seed: u8, expires: u64) -> SignedRequest {
    let path = format!("/v1/keys/{}/export", key.id);
    let body = serde_json::to_vec(&export()).unwrap();
    let request = Request::new(Method::Post, &path, CLIENT, expires, unique("export"), body);
    request.unwrap().sign(&client_key(seed))
}

async fn shown(cluster: &Cluster, at: usize, key: &Key) -> (KeyStatus, bool) {
    let shown = cluster.client(at).key(&key.id).await.unwrap();
    (shown.status, shown.exposed_at.is_some())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
        if file.path().is_file() {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

/// One node of three, two of which can sign, has a request that was really signed and a receipt that it really gave its share; the others have done
/// nothing of it. Its word alone marks nothing (KST.6), however often it is said, with whose receipt, or as whose request. What a node would agree to
/// itself, on a request that is in time, it takes from anybody.
///
/// covers: S41
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_alone_does_not_make_others_count_a_key_as_exposed() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let kept = tempfile::tempdir().unwrap();
    for at in 0..3 {
        cluster.stop(at).await;
        copy(&cluster.configs[at].data, &kept.path().join(at.to_string()));
    }
    cluster.start_all().await;
    let client = cluster.client(2).valid_for(Duration::from_secs(2));
    client.act(&key.id, &Act::Export(export()), &unique("export"), WAIT).await.unwrap();
    assert_eq!(shown(&cluster, 0, &key).await, (KeyStatus::Exposed, true));
    // Node a and b as if they had never heard of it.
    let mut receipts = Vec::new();
    let mut asked = Vec::new();
    for at in 0..3 {
        cluster.stop(at).await;
        let store = Store::open(&cluster.configs[at].data).await.unwrap();
        let acts = store.key_acts_after(0, 10).await.unwrap();
        assert_eq!(acts.len(), 1);
        asked.clone_from(&acts[0].1.request);
        receipts.push(store.log_receipt(&acts[0].1.op_id).await.unwrap().unwrap().to_string());
        store.close().await;
        if at < 2 {
            std::fs::remove_dir_all(&cluster.configs[at].data).unwrap();
            copy(&kept.path().join(at.to_string()), &cluster.configs[at].data);
        }
    }
    let expires = SignedRequest::decode(&asked).unwrap().request().expires();
    until(async || now() > expires).await;
    cluster.start_all().await;
    let traitor = Traitor::replace(&mut cluster, 2).await;

    let stranger = request(&key, 9, now() + 60).encode();
    let late = request(&key, 1, now() - 1).encode();
    let mut claims = 0;
    for (request, receipt) in [
        (&asked, Some(&receipts[2])),
        (&asked, Some(&receipts[2])),
        // What the other one said of itself, in another history, as its own.
        (&asked, Some(&receipts[1])),
        (&asked, None),
        (&stranger, Some(&receipts[2])),
        (&late, Some(&receipts[2])),
    ] {
        for at in 0..2 {
            traitor.hand_out(cluster.identities[at], request, receipt.map(String::as_str)).await;
        }
        claims += 1;
    }
    assert_eq!(claims, 6);
    // They look again at what waits, and tell each other what they know, every five seconds.
    tokio::time::sleep(Duration::from_secs(7)).await;
    for at in 0..2 {
        assert_eq!(shown(&cluster, at, &key).await, (KeyStatus::Active, false), "node {at}");
        cluster.sign(at, &key.id, "not exposed").await.unwrap();
    }
    // The same words about what the client asks now: each agrees by itself.
    let now_asked = request(&key, 1, now() + 60).encode();
    for at in 0..2 {
        traitor.hand_out(cluster.identities[at], &now_asked, None).await;
        until(async || shown(&cluster, at, &key).await == (KeyStatus::Exposed, true)).await;
    }
}

/// A coordinator that moves a key which is off says of it what others do not know, or keeps to itself what they do: they do not move it with it, so that
/// whoever joins hears the truth.
///
/// covers: S41
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_alone_does_not_say_whether_a_key_was_exposed() {
    let mut cluster = Cluster::start(3).await;
    let mut keys = Vec::new();
    for exposed in [false, true] {
        let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
        if exposed {
            let act = Act::Export(export());
            cluster.client(0).act(&key.id, &act, &unique("export"), WAIT).await.unwrap();
        }
        crate::states::order(&cluster, 0, &key, &crate::states::disable(0)).await.unwrap();
        keys.push((key, exposed));
    }
    let mut traitor = Traitor::replace(&mut cluster, 2).await;
    let store = Store::open(&cluster.configs[2].data).await.unwrap();
    let mut cases = 0;
    for (key, exposed) in &keys {
        let record = store.key(key.id.as_str()).await.unwrap().unwrap().record;
        for claimed in [!exposed, *exposed] {
            let work =
                Work::Move { record: record.clone(), dealers: vec![1, 3], carried: (1, true, claimed) };
            let body = br#"{"epoch":0}"#.to_vec();
            let path = format!("/v1/keys/{}/refresh", key.id);
            let request = Request::new(Method::Post, &path, CLIENT, now() + 60, unique("refresh"), body);
            let request = request.unwrap().sign(&client_key(1)).encode();
            let to = cluster.identities[0];
            let (ceremony, answer) = traitor.propose(to, request, work).await;
            match answer {
                Some(Answer::Refuse { detail, .. }) if claimed != *exposed => {
                    assert!(detail.contains("must be settled first"), "{detail}");
                }
                Some(Answer::Accept) if claimed == *exposed => {}
                other => panic!("exposed {exposed}, claimed {claimed}: {other:?}"),
            }
            traitor.call_off(to, ceremony).await;
            cases += 1;
        }
    }
    assert_eq!(cases, 4);
    store.close().await;
}

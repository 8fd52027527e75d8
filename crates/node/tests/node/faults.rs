//! Nodes that are silent, burned pairs, interrupted operations, slow clients, folders that are not what they should be.

use std::io::Read as _;
use std::time::{Duration, Instant};

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Act, Code, KeyId, KeyStatus, OperationStatus, Refresh};
use quorate_net::PeerId;
use quorate_node::{Config, FolderError, Node, NodeError, init_with};
use quorate_seal::{Params, Passphrase};
use quorate_store::fault::{Fault, Faults};
use quorate_store::{
    Burn, InstanceId, KeyStatus as StoredStatus, NewOperation, OtDirection, Store, StoreError,
};
use zeroize::Zeroizing;

use crate::byzantine::Traitor;
use crate::cluster::{CLIENT, Cluster, WAIT, client_key, message, now, passphrase, problem, signed, unique};
use crate::requests::sign_request;

fn quick(cluster: &mut Cluster) {
    for config in &mut cluster.configs {
        config.limits.answer_deadline = Duration::from_millis(800);
        config.limits.attempt_deadline = Duration::from_millis(1500);
        // Every request is to meet whoever is silent.
        config.limits.suspicion_half_life = Duration::ZERO;
    }
}

fn message_purpose() -> Option<Vec<Purpose>> {
    Some(vec![Purpose::Message])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_member_is_replaced_and_named() {
    let mut cluster = Cluster::prepare(3).await;
    quick(&mut cluster);
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, message_purpose()).await;
    let mut traitor = Traitor::replace(&mut cluster, 1).await;
    // Connected, and it says nothing at all.
    let result = cluster.sign(0, &key.id, "first").await.unwrap();
    assert_eq!(result.quorum, ["node-a", "node-c"]);
    assert_eq!(result.skipped.len(), 1);
    assert_eq!(result.skipped[0].party, "node-b");
    assert!(result.skipped[0].reason.contains("did not answer the proposal"), "{:?}", result.skipped);
    // It accepts, and then says nothing.
    traitor.drain().await;
    let (accepted, result) =
        tokio::join!(traitor.accept_only(Duration::from_secs(10)), cluster.sign(0, &key.id, "second"));
    let result = result.unwrap();
    assert!(accepted);
    assert_eq!(result.quorum, ["node-a", "node-c"]);
    assert_eq!(result.skipped.len(), 1);
    assert!(
        result.skipped[0].reason.contains("did not answer in time in frost-ed25519"),
        "{:?}",
        result.skipped
    );
    // Without a third node there is nobody to replace it, and the problem says who it was.
    cluster.stop(2).await;
    let error = cluster.sign(0, &key.id, "third").await.unwrap_err();
    assert_eq!(error.code, Code::NotEnoughParties);
    assert!(error.detail.contains("`node-b` did not answer") && error.detail.contains("node-c"), "{error}");
}

pub(crate) async fn burn(cluster: &Cluster, at: usize, key: &KeyId, peer: PeerId) {
    let store = Store::open(&cluster.configs[at].data).await.unwrap();
    let epoch = store.key(key.as_str()).await.unwrap().unwrap().epoch;
    let instance = InstanceId {
        key_id: key.as_str().to_owned(),
        epoch,
        peer: peer.as_bytes().to_vec(),
        direction: OtDirection::Sender,
        generation: 0,
    };
    let burn = Burn { instance, session: vec![1; 32], evidence_hash: [2; 32], burned_at: 1 };
    assert!(store.burn(burn).await.unwrap());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burned_pair_never_signs_together_again() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, message_purpose()).await;
    let schnorr = cluster.create(Scheme::Bip340, 2, message_purpose()).await;
    assert_eq!(cluster.sign(0, &key.id, "before").await.unwrap().quorum, ["node-a", "node-b"]);
    // b has burned its pair with a.
    cluster.stop(1).await;
    burn(&cluster, 1, &key.id, cluster.identities[0]).await;
    cluster.start_all().await;
    // a does not know: b refuses, and a goes on with c.
    let result = cluster.sign(0, &key.id, "after").await.unwrap();
    assert_eq!(result.quorum, ["node-a", "node-c"]);
    assert!(result.skipped[0].reason.contains("burned after a failed check"), "{:?}", result.skipped);
    // b knows: it does not even ask a.
    let result = cluster.sign(1, &key.id, "after").await.unwrap();
    assert_eq!((result.quorum, result.skipped), (vec!["node-b".to_owned(), "node-c".to_owned()], vec![]));
    // Other keys are not touched, and neither is a scheme without such set-ups.
    assert_eq!(cluster.sign(1, &schnorr.id, "after").await.unwrap().quorum, ["node-a", "node-b"]);
    // Without c there is no quorum left, on either side, and it says why.
    cluster.stop(2).await;
    for at in [0, 1] {
        let error = cluster.sign(at, &key.id, "too few").await.unwrap_err();
        assert_eq!(error.code, Code::NotEnoughParties, "{error}");
        assert!(error.detail.contains("burned") && error.detail.contains("node-c"), "{error}");
    }
    // With all nodes of a 2 of 2 there, it is the burn alone.
    cluster.start_all().await;
    let create = quorate_api::CreateKey {
        parties: Some(vec!["node-a".to_owned(), "node-b".to_owned()]),
        ..crate::cluster::create_key(Scheme::EcdsaP256, 2, message_purpose())
    };
    let operation = cluster.client(0).create_key(&create, &unique("pair"), WAIT).await.unwrap();
    let pair = crate::cluster::created(&operation);
    cluster.sign(0, &pair.id, "before").await.unwrap();
    cluster.stop(0).await;
    burn(&cluster, 0, &pair.id, cluster.identities[1]).await;
    cluster.start_all().await;
    for at in [0, 1] {
        let error = cluster.sign(at, &pair.id, "after").await.unwrap_err();
        assert_eq!(error.code, Code::KeyBurned, "{error}");
        assert!(error.detail.contains("refresh the key"), "{error}");
    }
    let refresh = Act::Refresh(Refresh { epoch: 0, reason: None });
    crate::moving::moved(&cluster, 1, &pair.id, &refresh).await.unwrap();
    cluster.sign(0, &pair.id, "in the next epoch").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_interrupted_can_be_asked_again() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, message_purpose()).await;
    cluster.stop(0).await;
    // As if the node had died while it ran: the operation is stored and has no result.
    let once = unique("interrupted");
    let request = sign_request(&key.id, &message("again"), CLIENT, now() + 60, &once).sign(&client_key(1));
    let store = Store::open(&cluster.configs[0].data).await.unwrap();
    let operation = NewOperation {
        op_id: request.operation_id().to_string(),
        request_hash: request.fingerprint(),
        request: request.encode(),
        kind: "sign".to_owned(),
        key_id: Some(key.id.to_string()),
        status: quorate_store::OperationStatus::Running,
        expires_at: u64::MAX / 2,
        source: None,
    };
    store.begin_operation(operation, 1).await.unwrap();
    store.close().await;
    cluster.start_all().await;
    let client = cluster.client(0);
    let seen = client.operation(&request.operation_id(), Duration::ZERO).await.unwrap();
    assert_eq!(seen.status, OperationStatus::Failed);
    let error = seen.error.unwrap();
    assert!(error.code.retryable() && error.detail.contains("send the same request again"), "{error}");
    // The same request is another attempt of the same operation.
    let done = client.sign(&key.id, &message("again"), &once, WAIT).await.unwrap();
    assert_eq!((done.id.clone(), done.status), (request.operation_id(), OperationStatus::Succeeded));
    assert!(done.error.is_none());
    // And then it is answered for ever.
    let again = client.sign(&key.id, &message("again"), &once, WAIT).await.unwrap();
    assert_eq!(signed(&again).signatures, signed(&done).signatures);
}

/// Starts a node again that was dropped: its folder is locked until its last write is done.
async fn restart(cluster: &mut Cluster, at: usize) {
    let begun = Instant::now();
    loop {
        match Node::start(cluster.configs[at].clone()).await {
            Ok(node) => break cluster.nodes[at] = Some(node),
            Err(error) if begun.elapsed() > Duration::from_secs(20) => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    cluster.start_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_without_notice_loses_nothing() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, message_purpose()).await;
    let mut cases = 0;
    for delay in [0, 5, 20, 60] {
        let once = unique("dies");
        let client = cluster.client(0);
        let (id, sign, at) = (key.id.clone(), message("dies"), once.clone());
        let asking = tokio::spawn(async move { client.sign(&id, &sign, &at, Duration::from_secs(3)).await });
        tokio::time::sleep(Duration::from_millis(delay)).await;
        // No shutdown: the handle is dropped in the middle of whatever runs.
        drop(cluster.nodes[0].take());
        asking.abort();
        restart(&mut cluster, 0).await;
        let done = cluster.client(0).sign(&key.id, &message("dies"), &once, WAIT).await.unwrap();
        assert_eq!(done.status, OperationStatus::Succeeded);
        cases += 1;
    }
    assert_eq!(cases, 4);
}

/// A member that dies in a creation: the same request makes a key in the end, and every key that is in use works everywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_breaks_off_can_be_asked_again() {
    let mut cluster = Cluster::prepare(3).await;
    quick(&mut cluster);
    cluster.start_all().await;
    let mut cases = 0;
    for (delay, scheme) in
        [(0, Scheme::Ed25519), (10, Scheme::EcdsaP256), (30, Scheme::Ed25519), (60, Scheme::EcdsaSecp256k1)]
    {
        let once = unique("create");
        let create = crate::cluster::create_key(scheme, 2, message_purpose());
        let started = cluster.client(0).create_key(&create, &once, Duration::ZERO).await;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        drop(cluster.nodes[1].take());
        started.unwrap();
        restart(&mut cluster, 1).await;
        let begun = Instant::now();
        let key = loop {
            match cluster.client(0).create_key(&create, &once, WAIT).await {
                Ok(operation) => break crate::cluster::created(&operation),
                Err(error) => {
                    let error = problem(error);
                    assert!(error.code.retryable(), "{delay} ms: {error}");
                    assert!(begun.elapsed() < Duration::from_secs(40), "{delay} ms: {error}");
                }
            }
        };
        let named = |names: [&str; 2]| quorate_api::Sign {
            quorum: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            ..message("works")
        };
        for names in [["node-a", "node-b"], ["node-a", "node-c"]] {
            let client = cluster.client(0);
            client.sign(&key.id, &named(names), &unique("works"), WAIT).await.unwrap();
        }
        cluster.sign(1, &key.id, "works").await.unwrap();
        cluster.sign(2, &key.id, "works").await.unwrap();
        cases += 1;
    }
    assert_eq!(cases, 4);
    let query = quorate_api::ListQuery { limit: 200, after: None };
    let keys = cluster.client(0).keys(&query).await.unwrap().items;
    let active = keys.iter().filter(|key| key.status == KeyStatus::Active).count();
    assert_eq!(active, 4, "one for each request: {keys:?}");
}

/// Puts a key of a stopped node back to what it was before it became active: the status, and what the node said of it then, under the key
/// that only it has (`spec/43-key-states.md`). The database itself does not let a key go back.
async fn back_to_pending(cluster: &Cluster, at: usize, key: &KeyId, and: &str) {
    let seed = crate::unseal::unseal(&cluster.configs[at].data).await.identity_seed;
    let mut mark = blake3::Hasher::new_keyed(&blake3::derive_key("quorate 2026 node key state v1", &seed));
    for text in [key.as_str(), "pending"] {
        mark.update(&u64::try_from(text.len()).unwrap().to_be_bytes());
        mark.update(text.as_bytes());
    }
    // No orders, not exposed, not to be destroyed.
    mark.update(&[0; 8 + 9 + 9]);
    let path = cluster.configs[at].data.join(quorate_store::DATABASE_FILE);
    let database = rusqlite::Connection::open(&path).unwrap();
    let trigger = "SELECT sql FROM sqlite_master WHERE name = 'keys_change_by_steps'";
    let trigger: String = database.query_row(trigger, [], |row| row.get(0)).unwrap();
    database.execute_batch("DROP TRIGGER keys_change_by_steps").unwrap();
    let change = format!("UPDATE keys SET status = 'pending', mark = x'{}'{and}", mark.finalize().to_hex());
    assert_eq!(database.execute(&change, []).unwrap(), 1);
    database.execute_batch(&trigger).unwrap();
    database.close().unwrap();
}

/// A creation that did not end here leaves a key that is shown, and that cannot be used unless all of it is here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_keys_are_shown_and_do_not_sign() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, message_purpose()).await;
    let named =
        quorate_api::Sign { quorum: Some(vec!["node-a".to_owned(), "node-b".to_owned()]), ..message("now") };
    // As if b had died after everything was there, but before it heard that all others have theirs.
    cluster.stop(1).await;
    back_to_pending(&cluster, 1, &key.id, "").await;
    cluster.start_all().await;
    assert_eq!(cluster.client(1).key(&key.id).await.unwrap().status, KeyStatus::Pending);
    // Its use shows that the creation is over.
    cluster.client(0).sign(&key.id, &named, &unique("now"), WAIT).await.unwrap();
    assert_eq!(cluster.client(1).key(&key.id).await.unwrap().status, KeyStatus::Active);
    cluster.sign(1, &key.id, "and here too").await.unwrap();
    // As if it had died in the middle of the creation: nobody can have been told to use the key, so nothing is kept.
    cluster.stop(1).await;
    let incomplete =
        ", record = CAST(replace(CAST(record AS TEXT), '\"complete\":true', '\"complete\":false') AS BLOB)";
    back_to_pending(&cluster, 1, &key.id, incomplete).await;
    cluster.start_all().await;
    assert!(
        cluster.client(1).keys(&quorate_api::ListQuery::parse(None).unwrap()).await.unwrap().items.is_empty()
    );
    let error = cluster.client(0).sign(&key.id, &named, &unique("now"), WAIT).await.unwrap_err();
    let error = problem(error);
    assert!(error.code == Code::NotFound && error.detail.contains("`node-b` refuses"), "{error}");
    let result = cluster.sign(0, &key.id, "without b").await.unwrap();
    assert_eq!(result.quorum, ["node-a", "node-c"]);
}

/// What the store holds is bound to the seal: a key given another purpose, or another key's share, does not open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_record_is_noticed() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Solana])).await;
    let error = cluster.sign(0, &key.id, "not for this").await.unwrap_err();
    assert_eq!(error.code, Code::PurposeNotAllowed);
    for at in 0..3 {
        cluster.stop(at).await;
        let store = Store::open(&cluster.configs[at].data).await.unwrap();
        let old = store.key(key.id.as_str()).await.unwrap().unwrap();
        assert_eq!(old.status, StoredStatus::Active);
        let record = String::from_utf8(old.record).unwrap().replace("\"solana\"", "\"message\"");
        store
            .replace_share(
                key.id.as_str(),
                old.epoch,
                old.epoch + 1,
                record.into_bytes(),
                old.sealed_share,
                1,
            )
            .await
            .unwrap();
        store.close().await;
    }
    cluster.start_all().await;
    let error = cluster.sign(0, &key.id, "not for this").await.unwrap_err();
    assert_eq!(error.code, Code::Internal);
    assert!(error.detail.contains("does not open"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hold_nobody_up() {
    let mut cluster = Cluster::prepare(3).await;
    for config in &mut cluster.configs {
        config.limits.http_read = Duration::from_millis(400);
        config.limits.max_connections = 4;
    }
    cluster.start_all().await;
    let address = cluster.nodes[0].as_ref().unwrap().api_addr();
    // More than there is room for: silent ones, and ones that never end their head or their body.
    let starts: [&[u8]; 3] = [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
    ];
    let mut slow = Vec::new();
    for number in 0..12 {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(starts[number % 3]).unwrap();
        slow.push(stream);
    }
    let begun = Instant::now();
    assert!(cluster.client(0).nodes().await.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let mut closed = 0;
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut rest = Vec::new();
        if stream.read_to_end(&mut rest).is_ok() {
            closed += 1;
        }
    }
    assert_eq!(closed, 12, "every slow connection is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_only_with_its_own_folder_and_passphrase() {
    let mut cluster = Cluster::start(2).await;
    let config = cluster.configs[0].clone();
    // In use.
    let error = Node::start(config.clone()).await.unwrap_err();
    assert!(matches!(error, NodeError::Folder(FolderError::Store(StoreError::Locked { .. }))), "{error}");
    cluster.stop(0).await;
    // Made before.
    let error = init_with(&config.data, "node-a", passphrase(), Params::FLOOR).await.unwrap_err();
    assert!(matches!(error, FolderError::Initialised(_)), "{error}");
    // Another passphrase.
    let file = config.seal.passphrase_file.clone().unwrap();
    std::fs::write(&file, "wrong").unwrap();
    let error = Node::start(config.clone()).await.unwrap_err();
    assert!(error.to_string().contains("wrong passphrase"), "{error}");
    std::fs::write(&file, crate::cluster::PASSPHRASE).unwrap();
    // No node in it.
    let empty = tempfile::tempdir().unwrap();
    let other = Config { data: empty.path().to_owned(), ..config.clone() };
    let error = Node::start(other).await.unwrap_err();
    assert!(matches!(error, NodeError::Folder(FolderError::Uninitialised(_))), "{error}");
    // Another node's identity.
    let identity = config.data.join("identity");
    let good = std::fs::read(&identity).unwrap();
    std::fs::copy(cluster.configs[1].data.join("identity"), &identity).unwrap();
    let error = Node::start(config.clone()).await.unwrap_err();
    assert!(matches!(error, NodeError::Folder(FolderError::Identity(_))), "{error}");
    std::fs::write(&identity, &good).unwrap();
    // The port is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut other = config.clone();
    other.listen.api = taken.local_addr().unwrap();
    let error = Node::start(other).await.unwrap_err();
    assert!(matches!(error, NodeError::Listen { .. }), "{error}");
    // And after all that it starts.
    cluster.start_all().await;
    let empty = Passphrase::new(Zeroizing::new(Vec::new()));
    assert!(empty.is_err());
    assert!(
        problem(cluster.client(0).key(&KeyId::from_bytes([1; 16])).await.unwrap_err()).code == Code::NotFound
    );
}

/// Any write of a node may fail, written or not: nothing that depends on it leaves, the others go on, and the same request succeeds
/// once the disk does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_loses_nothing() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, message_purpose()).await;
    let (mut at_coordinator, mut at_member, mut failed) = (0, 0, 0);
    let faults = Faults::default();
    cluster.stop(0).await;
    cluster.nodes[0] =
        Some(Node::start_with_faults(cluster.configs[0].clone(), faults.clone()).await.unwrap());
    cluster.start_all().await;
    for fault in [Fault::BeforeCommit, Fault::AfterCommit, Fault::DiskFull] {
        for nth in 1..=4 {
            // The node whose disk fails coordinates.
            let (once, sign) = (unique("disk"), message("disk"));
            faults.fail_nth_write(nth, fault);
            let first = cluster.client(0).sign(&key.id, &sign, &once, WAIT).await;
            if let Err(error) = first {
                let error = problem(error);
                assert!(error.code.retryable(), "{fault:?} {nth}: {error}");
                failed += 1;
            }
            // Let the plan run out.
            cluster.sign(0, &key.id, "in between").await.ok();
            cluster.sign(0, &key.id, "in between").await.ok();
            let done = cluster.client(0).sign(&key.id, &sign, &once, WAIT).await.unwrap();
            assert_eq!(done.status, OperationStatus::Succeeded, "{fault:?} {nth}");
            at_coordinator += 1;
            // And as a member: the coordinator signs with the other one, or with it if that write did not matter.
            faults.fail_nth_write(nth, fault);
            let result = cluster.sign(1, &key.id, "as a member").await;
            let result = result.unwrap_or_else(|error| panic!("{fault:?} {nth}: {error}"));
            assert_eq!(result.quorum.len(), 2);
            cluster.sign(1, &key.id, "in between").await.unwrap();
            cluster.sign(0, &key.id, "in between").await.ok();
            at_member += 1;
        }
    }
    assert_eq!((at_coordinator, at_member), (12, 12));
    assert!(failed > 0, "some of the writes mattered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_in_a_ceremony_leaves_it_to_be_asked_again() {
    let mut cluster = Cluster::prepare(3).await;
    cluster.configs[0].limits.shutdown_grace = Duration::from_millis(300);
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 3, message_purpose()).await;
    let mut traitor = Traitor::replace(&mut cluster, 1).await;
    let once = unique("shutdown");
    let client = cluster.client(0);
    let started = client.sign(&key.id, &message("shutdown"), &once, Duration::ZERO).await.unwrap();
    assert_eq!(started.status, OperationStatus::Running);
    // b accepts and says nothing more, so the ceremony hangs.
    let node = cluster.nodes[0].take().unwrap();
    let begun = Instant::now();
    let (_, took) = tokio::join!(traitor.accept_only(Duration::from_millis(500)), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        node.shutdown().await;
        begun.elapsed()
    });
    assert!(took < Duration::from_secs(6), "{took:?}");
    drop(traitor);
    cluster.start_all().await;
    let client = cluster.client(0);
    let seen = client.operation(&started.id, Duration::ZERO).await.unwrap();
    assert_eq!(seen.status, OperationStatus::Failed);
    assert!(seen.error.unwrap().code.retryable());
    let done = client.sign(&key.id, &message("shutdown"), &once, WAIT).await.unwrap();
    assert_eq!((done.id, done.status), (started.id, OperationStatus::Succeeded));
}

/// Nodes compare what they know of each other before they make a key together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_each_other_differently_make_no_key() {
    let mut cluster = Cluster::prepare(3).await;
    // b calls c by another name.
    cluster.configs[1].peers[1].name = "node-z".to_owned();
    cluster.start_all().await;
    let create = crate::cluster::create_key(Scheme::Ed25519, 2, None);
    let error = cluster.client(0).create_key(&create, &unique("names"), WAIT).await.unwrap_err();
    let error = problem(error);
    assert_eq!(error.code, Code::Unprocessable);
    assert!(error.detail.contains("`node-b` refuses") && error.detail.contains("node-z"), "{error}");
    // Among those that agree it works.
    let two = quorate_api::CreateKey {
        parties: Some(vec!["node-a".to_owned(), "node-c".to_owned()]),
        ..crate::cluster::create_key(Scheme::Ed25519, 2, None)
    };
    cluster.client(0).create_key(&two, &unique("names"), WAIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_says_how_it_is() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, message_purpose()).await;
    for text in ["1", "2", "3"] {
        cluster.sign(0, &key.id, text).await.unwrap();
    }
    let get = |path: &'static str| cluster.get(0, path);
    assert_eq!(get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get("/readyz").await.0, 200);
    assert!(get("/version").await.1.contains("\"quorate\""));
    let (status, metrics) = get("/metrics").await;
    assert_eq!(status, 200);
    for name in [
        "quorate_requests_total{kind=\"sign\",result=\"succeeded\"} 3",
        "quorate_requests_total{kind=\"create_key\",result=\"succeeded\"} 1",
        "quorate_ceremony_seconds_count{protocol=\"frost-ed25519\",phase=\"total\"} 3",
        "quorate_ceremony_seconds_count{protocol=\"dkg\",phase=\"total\"} 1",
        "quorate_ceremonies_active 0",
        "quorate_peer_up{peer=\"node-b\"} 1",
        "quorate_frames_dropped_total{peer=\"node-b\",reason=\"inbox_full\"} 0",
    ] {
        assert!(metrics.contains(name), "no `{name}` in\n{metrics}");
    }
    // Lists come in pages, each item once.
    let (mut after, mut seen) = (None, std::collections::BTreeSet::new());
    for page in 1.. {
        let query = quorate_api::ListQuery { limit: 1, after };
        let answer = cluster.client(0).operations(&query).await.unwrap();
        assert!(answer.items.len() <= 1 && page < 10);
        seen.extend(answer.items.into_iter().map(|operation| operation.id));
        after = answer.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 4);
    let nodes = cluster.client(0).nodes().await.unwrap();
    assert_eq!((nodes.keys, nodes.peers.len()), (1, 2));
    cluster.stop(1).await;
    cluster.stop(2).await;
    let begun = Instant::now();
    loop {
        let (status, body) = {
            let url = format!("{}/readyz", cluster.url(0));
            let ready = quorate_api::client::readiness(&cluster.url(0)).await.unwrap();
            (if ready.ready { 200 } else { 503 }, format!("{url}: {:?}", ready.reasons))
        };
        if status == 503 {
            assert!(body.contains("none of 2 peers"), "{body}");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "still ready: {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

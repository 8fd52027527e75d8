//! A disk that does not take a burn: until it does, nobody hears that a check failed.

use std::time::{Duration, Instant};

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, EventKind, ListQuery, Operation, OperationKind};
use quorate_log::entry::Kind;
use quorate_store::fault::{Fault, Faults};
use tokio::time::timeout;

use crate::burn_kill::until_death;
use crate::byzantine::{Answer, Traitor, Work};
use crate::cluster::{CLIENT, Cluster, WAIT, client_key, message, now, problem, unique};
use crate::requests::sign_request;

/// How long the cheater listens while the mark is not on disk: several tries of the node.
const LISTENS: Duration = Duration::from_secs(3);

/// Lets the disk take no burn from now on; more writes than any test makes.
fn take_no_burn(faults: &Faults) {
    for nth in 1..=500 {
        faults.fail_nth_named("burn", nth, Fault::DiskFull);
    }
}

/// The first node anew, on a disk that takes no burn, beside a third one that cheats.
async fn cheater_and_full_disk(cluster: &mut Cluster) -> (Traitor, Faults) {
    let faults = Faults::default();
    cluster.die_and_start(0, &faults).await;
    let traitor = Traitor::replace(cluster, 2).await;
    let ids = [cluster.identities[0], cluster.identities[1]];
    traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();
    take_no_burn(&faults);
    (traitor, faults)
}

/// covers: A1: a burn that the disk does not take holds at once, is not hidden from who runs the node, and is stored as soon as the disk
/// takes it. Until then neither a peer nor a client is told of it: not by the end of the attempt, nor by an abort, nor by what is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burn_is_not_lost_with_a_full_disk() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await.id;
    let (mut traitor, faults) = cheater_and_full_disk(&mut cluster).await;
    let ended = timeout(LISTENS, traitor.cheat(&cluster, &key, false)).await;
    assert!(ended.is_err(), "{ended:?}");
    assert!(!traitor.hears_of_it(Duration::from_millis(300)).await);

    let readiness = || cluster.get(0, "/readyz");
    let (status, text) = readiness().await;
    assert!(status == 503 && text.contains("2 burn marks are not on disk"), "{status} {text}");
    let metrics = cluster.get(0, "/metrics").await.1;
    assert!(metrics.contains("\nquorate_burns_unsaved 2\n"));
    let logged = async || {
        let logged = crate::receipts::entries(&cluster, 0).await;
        logged.iter().filter(|entry| entry.kind() == Kind::Burn).count()
    };
    let told = async || {
        let told = crate::events::kept(&cluster, 0).await;
        told.iter().filter(|event| event.kind == EventKind::PairBurned).count()
    };
    assert_eq!((logged().await, told().await), (0, 0), "neither mark nor entry nor event");

    let request = sign_request(&key, &message("again"), CLIENT, now() + 60, &unique("again"));
    let request = request.sign(&client_key(1)).encode();
    let honest = cluster.identities[0];
    let two = || Work::Sign { quorum: vec![1, 3], epoch: 0 };
    let (_, answer) = traitor.propose(honest, request.clone(), two()).await;
    match &answer {
        Some(Answer::Refuse { code, detail, burned: None }) => {
            assert_eq!(code, "internal");
            assert!(detail.contains("store failed") && !detail.contains("burn"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    let mut both = message("both");
    both.quorum = Some(vec!["node-a".to_owned(), "node-c".to_owned()]);
    let refused = cluster.client(0).sign(&key, &both, &unique("both"), WAIT).await;
    assert_eq!(problem(refused.unwrap_err()).code, Code::Internal);

    faults.forget();
    let until = Instant::now() + Duration::from_secs(20);
    while readiness().await.0 != 200 {
        assert!(Instant::now() < until, "never stored");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(traitor.hears_of_it(Duration::from_secs(12)).await, "now it is told");
    assert_eq!((logged().await, told().await), (2, 1), "both directions, one pair");
    let (_, answer) = traitor.propose(honest, request.clone(), two()).await;
    assert!(matches!(answer, Some(Answer::Refuse { code, .. }) if code == "key_burned"));
    cluster.stop(0).await;
    cluster.start_node(0).await;
    traitor.network.wait_connected(&[honest], Duration::from_secs(10)).await.unwrap();
    let (_, answer) = traitor.propose(honest, request, two()).await;
    assert!(matches!(answer, Some(Answer::Refuse { code, .. }) if code == "key_burned"));
}

/// covers: A1, A4: a request of a client was on its way with the cheater when a check of another one failed. It is not called off before the burn
/// is on disk, and then the client hears that asking again is of no use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_on_its_way_waits_for_the_burn_of_another() {
    let mut cluster = Cluster::prepare(3).await;
    // The cheater takes its time to accept.
    cluster.configs[0].limits.answer_deadline = Duration::from_secs(20);
    cluster.start_all().await;
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await.id;
    let (mut traitor, faults) = cheater_and_full_disk(&mut cluster).await;
    let mut both = message("both");
    both.quorum = Some(vec!["node-a".to_owned(), "node-c".to_owned()]);
    let (client, honest, once) = (cluster.client(0), cluster.identities[0], unique("both"));
    let asked = client.sign(&key, &both, &once, WAIT);
    let cheats = async {
        let (waiting, _) = traitor.next_proposal(Duration::from_secs(10)).await.unwrap();
        let ended = timeout(LISTENS, traitor.cheat(&cluster, &key, false)).await;
        assert!(ended.is_err(), "{ended:?}");
        traitor.accept(honest, waiting).await;
        assert!(!traitor.is_called_off(waiting, LISTENS).await, "the burn is not on disk");
        faults.forget();
        assert!(traitor.is_called_off(waiting, Duration::from_secs(10)).await);
    };
    let (refused, ()) = tokio::join!(asked, cheats);
    let refused = problem(refused.unwrap_err());
    assert_eq!(refused.code, Code::KeyBurned, "{refused}");
    assert!(!refused.code.retryable() && refused.detail.contains("refresh the key"), "{refused}");
    // What goes to webhooks does not say what it was.
    let told = crate::events::kept(&cluster, 0).await;
    let failed = told.iter().find(|event| event.code == Some(Code::KeyBurned)).unwrap();
    assert_eq!(failed.detail, None);
    // Nor is it of use to wait for the one who is away.
    traitor.network.shutdown().await;
    let refused = client.sign(&key, &both, &unique("away"), WAIT).await;
    assert_eq!(problem(refused.unwrap_err()).code, Code::KeyBurned);
}

/// covers: A1, A3. The disk does not take the burn, and then the node dies or is stopped. Whatever the disk has in the end, the cheater was not
/// told that it failed before the burn was there; where the burn is there, it holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_ends_before_the_disk_takes_a_burn_has_said_nothing() {
    let mut cluster = Cluster::start(3).await;
    let create = async || cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await.id;
    let mut keys = [create().await, create().await, create().await].into_iter();
    let mut traitor = Traitor::replace(&mut cluster, 2).await;
    let ids = [cluster.identities[0], cluster.identities[1]];
    let mut faults = Faults::default();
    let (mut ends, mut stored) = (Vec::new(), 0);
    for end in [Some(Fault::DeadBefore), Some(Fault::DeadAfter), None] {
        cluster.die_and_start(0, &faults).await;
        traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();
        let key = keys.next().unwrap();
        // Both directions are refused once.
        match end {
            Some(fault) => {
                for nth in [1, 2] {
                    faults.fail_nth_named("burn", nth, Fault::DiskFull);
                }
                faults.fail_nth_named("burn", 3, fault);
            }
            None => take_no_burn(&faults),
        }
        let case = format!("{end:?}");
        let told = if end.is_some() {
            until_death(&faults, &case, traitor.cheat(&cluster, &key, false)).await.is_some()
        } else {
            let ended = timeout(LISTENS, traitor.cheat(&cluster, &key, false)).await;
            cluster.stop(0).await;
            ended.is_ok()
        };
        assert!(!told && !traitor.was_told().await, "{case}");
        faults = Faults::default();
        if end.is_some() {
            cluster.die_and_start(0, &faults).await;
        } else {
            cluster.start_node(0).await;
        }
        traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();
        // Nor is it in what the node keeps of the request.
        let operations = cluster.client(0).operations(&ListQuery { limit: 200, after: None }).await.unwrap();
        let asked = |operation: &&Operation| {
            operation.kind == OperationKind::Sign && operation.key.as_ref() == Some(&key)
        };
        let kept = operations.items.iter().find(asked).unwrap();
        if let (None, Some(failed)) = (end, &kept.error) {
            assert!(!failed.detail.contains("store") && !failed.detail.contains("burn"), "{failed}");
            stored += 1;
        }
        let mut both = message("with the cheater");
        both.quorum = Some(vec!["node-a".to_owned(), "node-c".to_owned()]);
        let refused = cluster.client(0).sign(&key, &both, &unique("burned"), WAIT).await;
        let is_burned = problem(refused.unwrap_err()).code == Code::KeyBurned;
        assert_eq!(is_burned, end == Some(Fault::DeadAfter), "{case}: what the disk has");
        assert_eq!(
            cluster.sign(0, &key, "with the other").await.unwrap().quorum,
            ["node-a", "node-b"],
            "{case}"
        );
        ends.push(is_burned);
    }
    assert_eq!((ends.as_slice(), stored), ([false, true, false].as_slice(), 1));
}

//! A node that dies between a failed check and the word that it failed.

use std::time::Duration;

use quorate_api::client::ClientError;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, Problem};
use quorate_store::fault::{Fault, Faults};

use crate::byzantine::Traitor;
use crate::cluster::{Cluster, WAIT, message, problem, unique};
use crate::end_to_end::verify;

/// What a node writes from the proposal to the word that the attempt failed: the operation, the mark of the session, the burn of each
/// direction, that the session failed, the outcome.
const WRITES: [&str; 6] = ["begin_operation", "consume", "burn", "burn", "log", "update_operation"];

/// What was recorded, without what a node writes by the clock.
pub(crate) fn recorded(faults: &Faults) -> Vec<String> {
    let mut recorded = faults.recorded();
    recorded.retain(|name| !name.starts_with("set_log_"));
    recorded
}

/// Each write as a name and which one of that name it is.
pub(crate) fn points(writes: &[&str]) -> Vec<(String, u64)> {
    let nth = |at: usize| writes[..=at].iter().filter(|name| **name == writes[at]).count();
    (0..writes.len()).map(|at| (writes[at].to_owned(), u64::try_from(nth(at)).unwrap())).collect()
}

/// What comes of the work, if it ends before the node dies, which it does in any case.
pub(crate) async fn until_death<T>(
    faults: &Faults,
    case: &str,
    work: impl Future<Output = Option<T>>,
) -> Option<T> {
    let ended = tokio::select! {
        biased;
        () = faults.died() => None,
        ended = work => ended,
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), faults.died()).await.is_ok(), "{case}");
    ended
}

/// covers: A1, A3. The node dies at each of its writes from the proposal to the word that the attempt failed, right before and right after it.
/// Whenever it can have said a word, and as soon as the first mark is on its disk, it comes back with the burn: it signs with the
/// cheater no more, and with the other as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_over_a_failed_check_comes_back_with_the_burn() {
    let mut cluster = Cluster::prepare(3).await;
    // Whether a pair is burned is asked where the cheater says nothing.
    cluster.configs[0].limits.answer_deadline = Duration::from_millis(500);
    cluster.start_all().await;
    let points = points(&WRITES);
    let mut keys = Vec::new();
    for _ in 0..=2 * points.len() {
        keys.push(cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await);
    }
    let mut traitor = Traitor::replace(&mut cluster, 2).await;
    let mut faults = Faults::default();
    cluster.die_and_start(0, &faults).await;
    let ids = [cluster.identities[0], cluster.identities[1]];
    traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();
    faults.record();
    let key = keys.pop().unwrap();
    assert!(traitor.cheat(&cluster, &key.id, false).await.is_some(), "told that it failed");
    assert!(traitor.was_told().await, "by an abort too");
    assert_eq!(recorded(&faults), WRITES);
    let first_mark = WRITES.iter().position(|name| *name == "burn").unwrap();
    let (mut cases, mut burned) = (0, 0);
    for (at, (name, nth)) in points.iter().enumerate() {
        for fault in [Fault::DeadBefore, Fault::DeadAfter] {
            let case = format!("{fault:?}, write {at}: {name} {nth}");
            let key = keys.pop().unwrap();
            faults.fail_nth_named(name, *nth, fault);
            let ended = until_death(&faults, &case, traitor.cheat(&cluster, &key.id, false)).await;
            faults = Faults::default();
            cluster.die_and_start(0, &faults).await;
            let told = traitor.was_told().await || ended.is_some();
            traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();

            let mut both = message("with the cheater");
            both.quorum = Some(vec!["node-a".to_owned(), "node-c".to_owned()]);
            let refused = cluster.client(0).sign(&key.id, &both, &unique("burned"), WAIT).await;
            let is_burned = problem(refused.unwrap_err()).code == Code::KeyBurned;
            assert!(is_burned || !told, "{case}");
            let marked = (at, fault == Fault::DeadAfter) >= (first_mark, true);
            assert_eq!(is_burned, marked, "{case}");
            let signed = cluster.sign(0, &key.id, "with the other").await.unwrap();
            assert_eq!(signed.quorum, ["node-a", "node-b"], "{case}");
            verify(key.scheme, &key.public_key.0, b"with the other", &signed.signatures[0]);
            cases += 1;
            burned += usize::from(is_burned);
        }
    }
    assert_eq!((cases, burned, keys.len()), (2 * WRITES.len(), 2 * (WRITES.len() - first_mark) - 1, 0));
}

/// What a node writes from the request of a client to the answer that it failed.
const COORDINATED: [&str; 6] = ["begin_operation", "consume", "burn", "burn", "log", "update_operation"];

/// covers: A1, A3. The same for a node that a client asked to sign, and that a member cheats: neither the member nor the client hears that it
/// failed before the burn is on disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_dies_over_a_failed_check_comes_back_with_the_burn() {
    let mut cluster = Cluster::prepare(3).await;
    cluster.configs[0].limits.answer_deadline = Duration::from_millis(500);
    cluster.start_all().await;
    let points = points(&COORDINATED);
    let mut keys = Vec::new();
    for _ in 0..=2 * points.len() {
        keys.push(cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await.id);
    }
    let mut traitor = Traitor::replace(&mut cluster, 2).await;
    let mut faults = Faults::default();
    cluster.die_and_start(0, &faults).await;
    let ids = [cluster.identities[0], cluster.identities[1]];
    traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();
    let mut both = message("cheat");
    both.quorum = Some(vec!["node-a".to_owned(), "node-c".to_owned()]);

    faults.record();
    let (key, once) = (keys.pop().unwrap(), unique("cheat"));
    let client = cluster.client(0);
    let (refused, told) =
        tokio::join!(client.sign(&key, &both, &once, WAIT), traitor.cheat_as_member(&cluster, &key, "cheat"));
    assert_eq!(problem(refused.unwrap_err()).code, Code::KeyBurned);
    assert!(told && traitor.was_told().await);
    assert_eq!(recorded(&faults), COORDINATED);

    let first_mark = COORDINATED.iter().position(|name| *name == "burn").unwrap();
    let (mut cases, mut burned) = (0, 0);
    for (at, (name, nth)) in points.iter().enumerate() {
        for fault in [Fault::DeadBefore, Fault::DeadAfter] {
            let case = format!("{fault:?}, write {at}: {name} {nth}");
            let (key, once) = (keys.pop().unwrap(), unique("cheat"));
            faults.fail_nth_named(name, *nth, fault);
            traitor.drain().await;
            let client = cluster.client(0);
            let work = async {
                let asked = client.sign(&key, &both, &once, WAIT);
                let (answer, told) = tokio::join!(asked, traitor.cheat_as_member(&cluster, &key, "cheat"));
                let verdict = |problem: &Problem| problem.code == Code::KeyBurned;
                let heard = matches!(&answer, Err(ClientError::Problem(problem)) if verdict(problem));
                (told || heard).then_some(())
            };
            let ended = until_death(&faults, &case, work).await;
            faults = Faults::default();
            cluster.die_and_start(0, &faults).await;
            let told = traitor.was_told().await || ended.is_some();
            traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();

            let refused = cluster.client(0).sign(&key, &both, &unique("burned"), WAIT).await;
            let is_burned = problem(refused.unwrap_err()).code == Code::KeyBurned;
            assert!(is_burned || !told, "{case}");
            assert_eq!(is_burned, (at, fault == Fault::DeadAfter) >= (first_mark, true), "{case}");
            let signed = cluster.sign(0, &key, "with the other").await.unwrap();
            assert_eq!(signed.quorum, ["node-a", "node-b"], "{case}");
            cases += 1;
            burned += usize::from(is_burned);
        }
    }
    assert_eq!((cases, burned), (2 * COORDINATED.len(), 2 * (COORDINATED.len() - first_mark) - 1));
}

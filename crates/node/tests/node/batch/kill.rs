//! A node that dies at a write while it signs a batch: with a cheater, and among honest nodes as the one that was asked and as a member.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use quorate_api::{Method, Request, Sign, SignatureResult, SignedRequest};
use quorate_net::SessionTag;
use quorate_net::fault::Losses;
use quorate_node::Node;
use quorate_store::fault::{Fault, Faults};
use tokio::time::timeout;

use super::*;
use crate::burn_kill::{points, recorded, until_death};
use crate::byzantine::Traitor;
use crate::cluster::{CLIENT, client_key, message, now};

/// A batch in the last of whose sessions a member is cheated.
struct Cheated {
    items: usize,
    /// What the member writes.
    writes: &'static [&'static str],
    /// Where it dies first: what is before goes as in a batch of fewer sessions.
    from: usize,
}

/// Of one session, and of two: the first takes 24.
const CHEATED: [Cheated; 2] = [
    Cheated {
        items: 3,
        writes: &["begin_operation", "consume", "burn", "burn", "log", "update_operation"],
        from: 0,
    },
    Cheated {
        items: 26,
        writes: &["begin_operation", "consume", "consume", "burn", "burn", "log", "update_operation"],
        from: 2,
    },
];

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("message {at}")).collect()
}

fn by(texts: &[String], quorum: [&str; 2]) -> SignBatch {
    let quorum = Some(quorum.map(|letter| format!("node-{letter}")).to_vec());
    SignBatch { items: texts.iter().map(|text| item(text, None)).collect(), quorum }
}

fn signatures(result: &SignBatchResult) -> Vec<&[SignatureResult]> {
    result.items.iter().map(|item| &item.signatures[..]).collect()
}

/// As a client signs it that asks another node.
fn batch_request(key: &KeyId, batch: &SignBatch) -> SignedRequest {
    let path = format!("/v1/keys/{key}/sign-batch?wait=10s");
    let body = serde_json::to_vec(batch).unwrap();
    let request = Request::new(Method::Post, path, CLIENT, now() + 60, unique("cheat"), body);
    request.unwrap().sign(&client_key(1))
}

/// One result an item, in their order, each valid and none with the nonce of another.
fn check(key: &Key, texts: &[String], result: &SignBatchResult, nonces: &mut BTreeSet<Vec<u8>>, case: &str) {
    assert_eq!(result.items.len(), texts.len(), "{case}");
    for (text, item) in texts.iter().zip(&result.items) {
        let [signature] = &item.signatures[..] else { panic!("{case}: {item:?}") };
        verify(key.scheme, &key.public_key.0, text.as_bytes(), signature);
        assert!(nonces.insert(signature.signature.0[..32].to_vec()), "{case}: a nonce comes back");
    }
}

/// covers: A1, A3. The node dies at each of its writes from the proposal of a batch to the word that it failed, right before and right after it: with
/// a cheater in its only session, and with one that is honest in the first and cheats in the second. Whenever it can have said a word, and as soon as
/// the first mark is on its disk, it comes back with the burn: it signs no batch with the cheater, and every item with the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_over_a_failed_check_of_a_batch_comes_back_with_the_burn() {
    let mut cluster = Cluster::prepare(3).await;
    // Whether a pair is burned is asked where the cheater says nothing.
    cluster.configs[0].limits.answer_deadline = Duration::from_millis(500);
    cluster.start_all().await;
    let mut keys = Vec::new();
    for _ in 0..CHEATED.map(|of| 2 * (of.writes.len() - of.from) + 1).iter().sum() {
        keys.push(cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await);
    }
    let mut traitor = Traitor::replace(&mut cluster, 2).await;
    let mut faults = Faults::default();
    cluster.die_and_start(0, &faults).await;
    let ids = [cluster.identities[0], cluster.identities[1]];
    let (mut cases, mut burned, mut nonces) = (0, 0, BTreeSet::new());
    for Cheated { items, writes, from } in CHEATED {
        let texts = texts(items);
        let texts_of: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (with_cheater, with_other) = (by(&texts, ["a", "c"]), by(&texts, ["a", "b"]));
        traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();
        faults.record();
        let key = keys.pop().unwrap();
        let request = batch_request(&key.id, &with_cheater);
        let ended = traitor.cheat_over(&cluster, &key.id, &request, &texts_of, false).await;
        assert!(ended.is_some(), "told that it failed");
        assert!(traitor.was_told().await, "by an abort too");
        assert_eq!(recorded(&faults), writes);
        let first_mark = writes.iter().position(|name| *name == "burn").unwrap();
        for (at, (name, nth)) in points(writes).iter().enumerate().skip(from) {
            for fault in [Fault::DeadBefore, Fault::DeadAfter] {
                let case = format!("{items} items, {fault:?}, write {at}: {name} {nth}");
                let key = keys.pop().unwrap();
                let request = batch_request(&key.id, &with_cheater);
                faults.fail_nth_named(name, *nth, fault);
                let cheating = traitor.cheat_over(&cluster, &key.id, &request, &texts_of, false);
                let ended = until_death(&faults, &case, cheating).await;
                faults = Faults::default();
                cluster.die_and_start(0, &faults).await;
                let told = traitor.was_told().await || ended.is_some();
                traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();

                let client = cluster.client(0);
                let refused = client.sign_batch(&key.id, &with_cheater, &unique("burned"), WAIT).await;
                let is_burned = problem(refused.unwrap_err()).code == Code::KeyBurned;
                assert!(is_burned || !told, "{case}");
                let marked = (at, fault == Fault::DeadAfter) >= (first_mark, true);
                assert_eq!(is_burned, marked, "{case}");
                let signed = client.sign_batch(&key.id, &with_other, &unique("other"), WAIT).await.unwrap();
                check(&key, &texts, &all(&signed), &mut nonces, &case);
                cases += 1;
                burned += usize::from(is_burned);
            }
        }
    }
    // Before the first mark is on the disk, and from then on.
    assert_eq!((cases, burned, keys.len()), (12 + 10, 7 + 7, 0));
    assert_eq!(nonces.len(), 12 * 3 + 10 * 26);
}

/// The names of the sessions that a node said anything in, in one of its lives.
#[derive(Clone, Debug, Default)]
struct Said(Arc<Mutex<BTreeSet<SessionTag>>>);

impl Said {
    fn names(&self) -> BTreeSet<SessionTag> {
        self.0.lock().unwrap().clone()
    }

    /// Breaks a node off without any order and starts it again from what is on its disk, with its ears open.
    async fn start_anew(cluster: &mut Cluster, at: usize, faults: &Faults) -> Self {
        drop(cluster.nodes[at].take());
        let this = Self::default();
        let until = Instant::now() + Duration::from_secs(20);
        cluster.nodes[at] = Some(loop {
            let (dead, said) = (faults.clone(), this.clone());
            let losses = Losses::of(move |leaving| {
                if dead.is_dead() {
                    return true;
                }
                said.0.lock().unwrap().extend(leaving.session);
                false
            });
            match Node::start_with_losses(cluster.configs[at].clone(), faults.clone(), losses).await {
                Ok(node) => break node,
                // What is left of the one before still holds the folder or the port.
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        for node in cluster.nodes.iter().flatten() {
            node.wait_connected(Duration::from_secs(10)).await.unwrap();
        }
        this
    }
}

/// The same request until it is answered; whatever is said in between must be that asking again is right.
async fn insist(
    cluster: &Cluster,
    at: usize,
    key: &KeyId,
    batch: &SignBatch,
    once: &str,
    case: &str,
) -> Operation {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let problem: Problem = match cluster.client(at).sign_batch(key, batch, once, WAIT).await {
            Ok(operation) if operation.status.is_final() => return operation,
            Ok(_) => continue,
            Err(error) => problem(error),
        };
        assert!(problem.code.retryable() && Instant::now() < until, "{case}: {problem}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// covers: A8. A node dies at each of its writes of an honest batch, right before and right after it: as the one that was asked and as a member, in a batch
/// of one session and in one of two. It says nothing in a session before the mark of its name is on the disk, and nothing more under a name of an
/// earlier life; the same request, asked again, gives one valid result an item, the same at every node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_a_node_that_dies_is_signed_when_it_is_asked_again() {
    let mut cluster = Cluster::start(3).await;
    let (mut cases, mut stored) = (0, 0);
    for (scheme, items, sessions) in [(Scheme::EcdsaSecp256k1, 26, 2), (Scheme::Ed25519, 3, 1)] {
        let key = cluster.create(scheme, 2, Some(vec![Purpose::Message])).await;
        let texts = texts(items);
        let request = by(&texts, ["a", "b"]);
        let writes = [vec!["begin_operation"], vec!["consume"; sessions], vec!["update_operation"]].concat();
        let mut nonces = BTreeSet::new();
        for victim in [0, 1] {
            let faults = Faults::default();
            let said = Said::start_anew(&mut cluster, victim, &faults).await;
            faults.record();
            let done = insist(&cluster, 0, &key.id, &request, &unique("batch"), "undisturbed").await;
            check(&key, &texts, &all(&done), &mut nonces, "undisturbed");
            assert_eq!(recorded(&faults), writes, "node {victim}");
            let mut ever = said.names();
            assert_eq!(ever.len(), sessions);
            for (at, (name, nth)) in points(&writes).iter().enumerate() {
                for fault in [Fault::DeadBefore, Fault::DeadAfter] {
                    let case = format!("{}, node {victim}, {fault:?}, {name} {nth}", scheme.name());
                    let faults = Faults::default();
                    let said = Said::start_anew(&mut cluster, victim, &faults).await;
                    faults.fail_nth_named(name, *nth, fault);
                    let (client, once) = (cluster.client(0), unique("batch"));
                    let asking = {
                        let (id, request, once) = (key.id.clone(), request.clone(), once.clone());
                        tokio::spawn(async move { client.sign_batch(&id, &request, &once, WAIT).await })
                    };
                    let died = timeout(Duration::from_secs(20), faults.died()).await;
                    assert!(died.is_ok(), "{case}: it lives");
                    let spoken = said.names();
                    let marked = writes[..at].iter().filter(|name| **name == "consume").count();
                    assert_eq!(spoken.len(), marked, "{case}: sessions in which it spoke");
                    assert!(ever.is_disjoint(&spoken), "{case}");
                    ever.extend(spoken);
                    let said = Said::start_anew(&mut cluster, victim, &Faults::default()).await;
                    let first = match asking.await.unwrap() {
                        Ok(operation) if operation.status.is_final() => Some(all(&operation)),
                        Ok(_) => None,
                        // Whatever a dying node says.
                        Err(_) if victim == 0 => None,
                        Err(error) => {
                            let problem = problem(error);
                            assert!(problem.code.retryable(), "{case}: {problem}");
                            None
                        }
                    };
                    let result = all(&insist(&cluster, 0, &key.id, &request, &once, &case).await);
                    check(&key, &texts, &result, &mut nonces, &case);
                    assert_eq!(result.quorum, ["node-a", "node-b"], "{case}");
                    let same = first.is_none_or(|first| signatures(&first) == signatures(&result));
                    assert!(same, "{case}: another answer than the first");
                    for at in 1..3 {
                        let there = all(&insist(&cluster, at, &key.id, &request, &once, &case).await);
                        assert_eq!(signatures(&there), signatures(&result), "{case}: at node {at}");
                    }
                    let again = said.names();
                    assert!(ever.is_disjoint(&again), "{case}: it spoke under a name of an earlier life");
                    cases += 1;
                    stored += usize::from(again.is_empty());
                    ever.extend(again);
                }
            }
        }
        // With the pair of all of this.
        let request = Sign { quorum: request.quorum, ..message("one more") };
        cluster.client(0).sign(&key.id, &request, &unique("one"), WAIT).await.unwrap();
        assert_eq!(nonces.len(), items * 2 * (1 + 2 * writes.len()));
    }
    // Whoever of the two did not die at the last write had the result, and nothing was signed again.
    assert_eq!((cases, stored), (2 * 2 * (4 + 3), 2 * 2 * 2));
}

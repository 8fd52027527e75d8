//! A node that got its share by a move is asked like the others what people agreed to.

use std::time::Duration;

use quorate_api::{Act, Code, Key, Operation, OperationResult, OperationStatus, Problem, Reshare, Sign};
use quorate_log::entry::{Entry, Kind};
use quorate_policy::change::Step;

use crate::cluster::{Cluster, WAIT, message, problem, signed, unique};
use crate::governed::{create, until};

const RULES: &str = r#"
@id("keys")
permit (principal in Group::"admins", action in [Action::"create_key", Action::"reshare"], resource);
@id("use")
@quorum("2 of Group::\"finance\"")
permit (principal in Group::"admins", action in Action::"sign", resource);
"#;

/// Node d, new to the directory and to the key, is the fourth; node c has left the key.
async fn joined() -> (Cluster, Key) {
    let mut cluster = Cluster::governed(3, &[("rules", RULES)]).await;
    let key = create(&cluster, "alice").await;
    let four = cluster.machine("node-d").await;
    cluster.configs[four].peers = cluster.peers_of(four);
    cluster.configs[four].genesis = cluster.configs[0].genesis.clone();
    cluster.configs[four].clients.clear();
    cluster.start_node(four).await;
    let identity = cluster.identity_hex(four);
    cluster.agree(0, vec![Step::AddNode { name: "node-d".to_owned(), identity }]).await;
    until(async || cluster.readiness(four).await.contains("\"ready\":true")).await;
    // It is ready once it has the directory, from anybody; a move needs it to reach all of them.
    cluster.start_all().await;
    let reshare = Act::Reshare(Reshare {
        epoch: 0,
        threshold: Some(2),
        access: None,
        parties: Some(["node-a", "node-b", "node-d"].map(str::to_owned).to_vec()),
        reason: None,
    });
    let moved = cluster.as_user(0, "alice").act(&key.id, &reshare, &unique("join"), WAIT).await.unwrap();
    let Some(OperationResult::Moved(moved)) = moved.result else { panic!("not moved: {moved:?}") };
    assert_eq!(moved.key.parties, ["node-a", "node-b", "node-d"]);
    (cluster, *moved.key)
}

/// With node d in the quorum.
fn with_d(text: &str) -> Sign {
    Sign { quorum: Some(["node-a", "node-d"].map(str::to_owned).to_vec()), ..message(text) }
}

/// A request that waits for people.
struct Asked {
    operation: Operation,
    text: &'static str,
    name: String,
}

async fn asked(cluster: &Cluster, at: usize, key: &Key, text: &'static str) -> Asked {
    let (client, name) = (cluster.as_user(at, "alice"), unique("sign"));
    let operation = client.sign(&key.id, &with_d(text), &name, Duration::ZERO).await.unwrap();
    assert_eq!(operation.status, OperationStatus::PendingApproval);
    Asked { operation, text, name }
}

/// The nodes of the quorum, once it is signed. Nobody else can sign in place of one that is too slow to answer, and then whoever asked asks again:
/// what people said holds for the repetition, which must not wait for them.
async fn quorum_of(cluster: &Cluster, at: usize, asked: &Asked, key: &Key) -> Vec<String> {
    let client = cluster.as_user(at, "alice");
    for _ in 0..5 {
        let ended = cluster.ended(at, "alice", &asked.operation).await;
        match &ended.error {
            Some(problem) if problem.code == Code::DeadlineExceeded => {}
            _ => return signed(&ended).quorum,
        }
        drop(client.sign(&key.id, &with_d(asked.text), &asked.name, WAIT).await);
    }
    panic!("too slow again and again");
}

async fn status(cluster: &Cluster, at: usize, operation: &Operation) -> OperationStatus {
    let client = cluster.as_user(at, "alice");
    client.operation(&operation.id, Duration::ZERO).await.unwrap().status
}

/// covers: S21: at the node that joined, the same people count and nobody else, wherever they say it, and also what was said while it was away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joined_by_a_move_hears_who_agrees() {
    let (mut cluster, key) = joined().await;
    let mut quorums = Vec::new();
    // It is asked first.
    let first = asked(&cluster, 3, &key, "asked at d").await;
    for who in ["dave", "alice"] {
        let refused: Problem = cluster.rule(3, who, "approve", &first.operation).await.unwrap_err();
        assert_eq!(refused.code, Code::Forbidden, "{who}: {refused}");
    }
    cluster.rule(3, "bob", "approve", &first.operation).await.unwrap();
    drop(cluster.rule(3, "bob", "approve", &first.operation).await);
    assert_eq!(
        status(&cluster, 3, &first.operation).await,
        OperationStatus::PendingApproval,
        "one person is not two"
    );
    cluster.rule(0, "carol", "approve", &first.operation).await.unwrap();
    quorums.push(quorum_of(&cluster, 3, &first, &key).await);
    // It is away while the first one agrees, and hears the second one itself.
    cluster.stop(3).await;
    let second = asked(&cluster, 0, &key, "asked at a").await;
    cluster.rule(0, "bob", "approve", &second.operation).await.unwrap();
    cluster.start_all().await;
    until(async || {
        let client = cluster.as_user(3, "alice");
        client
            .operation(&second.operation.id, Duration::ZERO)
            .await
            .is_ok_and(|shown| shown.approvals.is_some())
    })
    .await;
    cluster.rule(3, "carol", "approve", &second.operation).await.unwrap();
    quorums.push(quorum_of(&cluster, 0, &second, &key).await);
    // A no of one of the two ends it there too.
    let third = asked(&cluster, 0, &key, "not this one").await;
    until(async || cluster.rule(3, "bob", "reject", &third.operation).await.is_ok()).await;
    for at in [0, 3] {
        until(async || status(&cluster, at, &third.operation).await.is_final()).await;
        assert_ne!(status(&cluster, at, &third.operation).await, OperationStatus::Succeeded);
    }
    assert_eq!(quorums, [["node-a", "node-d"], ["node-a", "node-d"]]);
}

/// covers: S23: the other one of the quorum has its policies switched off; the node that joined does not sign with it what nobody agreed to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joined_by_a_move_judges_by_itself() {
    let (mut cluster, key) = joined().await;
    cluster.stop(0).await;
    cluster.ungovern(0).await;
    cluster.configs[0].peers = cluster.peers_of(0);
    cluster.start_all().await;
    let before = outcomes(&cluster, &key).await;
    let client = cluster.client_as(0, "alice", 1);
    let refused = client.sign(&key.id, &with_d("nobody agreed"), &unique("sign"), WAIT).await;
    let refused = problem(refused.unwrap_err());
    assert!(matches!(refused.code, Code::ApprovalMissing | Code::NotEnoughParties), "{refused}");
    assert!(refused.detail.contains("2 of Group::\"finance\""), "{refused}");
    assert_eq!(outcomes(&cluster, &key).await, before, "d signed");
}

/// How often node d logged that something about the key was done.
async fn outcomes(cluster: &Cluster, key: &Key) -> usize {
    let entries = crate::audit::entries(cluster, 3).await;
    let about = |entry: &&Entry| entry.key_id().is_some_and(|id| id.as_str() == key.id.as_str());
    entries.iter().filter(|entry| entry.kind() == Kind::Outcome).filter(about).count()
}

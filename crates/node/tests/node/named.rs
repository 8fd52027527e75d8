//! One request has one name on every node, also where it waits for people.

use quorate_api::{EventKind, Operation, OperationId, OperationStatus, Scope, SetFreeze};

use crate::cluster::{Cluster, message, signed, unique};
use crate::events::kept;
use crate::governed::{create, until};

const TWO: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);
@id("two")
@quorum("2 of Group::\"finance\"")
permit (principal in Group::"admins", action, resource);
"#;

/// The names under which a node tells of one kind of event of an operation.
async fn names(cluster: &Cluster, at: usize, kind: EventKind, id: &OperationId) -> Vec<String> {
    let events = kept(cluster, at).await;
    let of = events.into_iter().filter(|event| event.kind == kind && event.operation.as_ref() == Some(id));
    of.map(|event| event.request_id.unwrap_or_else(|| panic!("{kind} of node {at} has no name"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_people_has_one_name_everywhere() {
    let cluster = Cluster::governed(3, &[("two", TWO)]).await;
    let key = create(&cluster, "alice").await;
    let mut sign = message("named");
    sign.quorum = Some(vec!["node-a".to_owned(), "node-b".to_owned()]);
    let asked: Operation = cluster.pay(0, "alice", &key, &sign).await.unwrap();
    assert_eq!(asked.status, OperationStatus::PendingApproval);
    let mut wanted = Vec::new();
    for at in 0..3 {
        until(async || names(&cluster, at, EventKind::ApprovalWanted, &asked.id).await.len() == 1).await;
        wanted.extend(names(&cluster, at, EventKind::ApprovalWanted, &asked.id).await);
    }
    wanted.dedup();
    assert_eq!(wanted.len(), 1, "{wanted:?}");

    // It goes on with the second approval, at another node than was asked, and under the name of that.
    cluster.rule(1, "bob", "approve", &asked).await.unwrap();
    // Every node hears of this one first: approvals that are on their way at once arrive in any order.
    for at in 0..3 {
        until(async || names(&cluster, at, EventKind::ApprovalGiven, &asked.id).await.len() == 1).await;
    }
    cluster.rule(2, "carol", "approve", &asked).await.unwrap();
    let done = cluster.ended(0, "alice", &asked).await;
    assert_eq!(signed(&done).quorum, ["node-a", "node-b"]);
    let mut given = Vec::new();
    for at in 0..3 {
        until(async || names(&cluster, at, EventKind::ApprovalGiven, &asked.id).await.len() == 2).await;
        given.push(names(&cluster, at, EventKind::ApprovalGiven, &asked.id).await);
    }
    given.dedup();
    let [given] = given.as_slice() else { panic!("{given:?}") };
    assert!(given[0] != given[1] && !given.contains(&wanted[0]), "{given:?} {wanted:?}");
    for at in 0..2 {
        let ended = names(&cluster, at, EventKind::OperationSucceeded, &asked.id).await;
        assert_eq!(ended, given[1..], "node {at}");
    }

    // A freeze is passed on as well.
    let body = SetFreeze { scope: Scope::Key { key: key.id.clone() }, reason: None };
    cluster.as_user(0, "bob").freeze(&body, &unique("freeze")).await.unwrap();
    let mut frozen = Vec::new();
    for at in 0..3 {
        let told =
            async || kept(&cluster, at).await.into_iter().find(|event| event.kind == EventKind::Frozen);
        until(async || told().await.is_some()).await;
        frozen.push(told().await.unwrap().request_id.unwrap());
    }
    frozen.dedup();
    assert_eq!(frozen.len(), 1, "{frozen:?}");
}

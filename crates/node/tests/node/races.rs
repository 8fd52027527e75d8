//! A change of the directory while people approve: whatever the order, no node agrees under a directory that it had left.

use std::time::Duration;

use quorate_api::{OperationStatus, Problem};
use quorate_log::entry::{Entry, Kind};
use quorate_policy::change::Step;
use quorate_policy::directory::Members;

use crate::audit::entries;
use crate::cluster::{Cluster, message};
use crate::governed::{create, name, until};

const FINANCE: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);

@id("finance")
@quorum("2 of Group::\"finance\"")
permit (principal in Group::"admins", action == Action::"sign:message", resource);
"#;

fn finance(who: &[&str]) -> Vec<Step> {
    let principals = who.iter().map(|who| name(who)).collect();
    vec![Step::SetGroup { name: name("finance"), members: Members { principals, ..Members::default() } }]
}

fn body(entry: &Entry) -> serde_json::Value {
    serde_json::from_slice(entry.body()).unwrap()
}

/// carol approves at one node while the admins remove her at another. A signature may come of it, or none; but a node that agrees
/// does so before it takes the change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_races_with_approvals_fails_closed() {
    const ROUNDS: u64 = 8;
    let cluster = Cluster::governed(3, &[("finance", FINANCE)]).await;
    let key = create(&cluster, "alice").await;
    let (mut signed, mut waited) = (0, 0);
    for round in 0..ROUNDS {
        let asked = cluster.pay(0, "alice", &key, &message("m")).await.unwrap();
        for at in [1, 2] {
            let there = cluster.as_user(at, "bob");
            until(async || {
                let shown = there.operation(&asked.id, Duration::ZERO).await;
                shown.is_ok_and(|shown| shown.approvals.is_some())
            })
            .await;
        }
        cluster.rule(0, "bob", "approve", &asked).await.unwrap();
        let change = cluster.change(1, "alice", finance(&["bob", "dave"])).await.unwrap();
        let approve = async {
            tokio::time::sleep(Duration::from_millis(4 * round)).await;
            // Too late is a good answer.
            let approved: Result<_, Problem> = cluster.rule(2, "carol", "approve", &asked).await;
            drop(approved);
        };
        let remove = async {
            tokio::time::sleep(Duration::from_millis(4 * (ROUNDS - round))).await;
            cluster.rule(1, "bob", "approve", &change).await.unwrap();
        };
        tokio::join!(approve, remove);
        let version = 2 * round + 1;
        until(async || cluster.versions("alice").await == [version; 3]).await;
        let client = cluster.as_user(0, "alice");
        let mut status = OperationStatus::Running;
        until(async || {
            status = client.operation(&asked.id, Duration::ZERO).await.unwrap().status;
            status.is_final() || status == OperationStatus::PendingApproval
        })
        .await;
        let mut agreed = 0;
        for at in 0..3 {
            let log = entries(&cluster, at).await;
            let changed = log.iter().position(|e| e.kind() == Kind::Change && body(e)["version"] == version);
            let permits = |e: &Entry| {
                e.kind() == Kind::Decision
                    && e.operation_id().is_some_and(|id| id.as_str() == asked.id.as_str())
                    && body(e)["decision"] == "permit"
            };
            if let Some(permitted) = log.iter().position(permits) {
                assert!(permitted < changed.unwrap(), "round {round}: node {at} agreed after the change");
                agreed += 1;
            }
        }
        match status {
            OperationStatus::Succeeded => {
                assert!(agreed >= 2, "round {round}: signed by {agreed} nodes");
                signed += 1;
            }
            OperationStatus::PendingApproval => {
                let shown = client.operation(&asked.id, Duration::ZERO).await.unwrap().approvals.unwrap();
                assert_eq!(shown.missing[0].candidates, ["dave"], "round {round}: carol counts no more");
                cluster.rule(0, "alice", "reject", &asked).await.unwrap();
                waited += 1;
            }
            // One node agreed in time, and the others did not.
            _ => waited += 1,
        }
        let back = cluster.change(1, "alice", finance(&["bob", "carol"])).await.unwrap();
        cluster.rule(1, "bob", "approve", &back).await.unwrap();
        until(async || cluster.versions("alice").await == [version + 1; 3]).await;
    }
    assert_eq!(signed + waited, ROUNDS);
    // The first rounds approve long before the change, the last ones long after.
    println!("{signed} signed, {waited} waited");
}

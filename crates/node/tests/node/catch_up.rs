//! What a node learns that was away, and what it keeps of a branch that is not its own.

use std::time::Duration;

use quorate_api::{Operation, OperationStatus};
use quorate_log::entry::Kind;
use quorate_policy::change::Step;
use quorate_policy::directory::Members;

use crate::audit::entries;
use crate::cluster::Cluster;
use crate::governed::{create, fresh, name, sign, until};

fn finance(who: &[&str]) -> Vec<Step> {
    let members =
        Members { principals: who.iter().map(|who| name(who)).collect(), groups: Default::default() };
    vec![Step::SetGroup { name: name("finance"), members }]
}

/// A change that two admins agree to at one node.
async fn agreed(cluster: &Cluster, at: usize, (by, and): (&str, &str), who: &[&str]) -> Operation {
    let asked = cluster.change(at, by, finance(who)).await.unwrap();
    cluster.rule(at, and, "approve", &asked).await.unwrap()
}

async fn version(cluster: &Cluster, at: usize) -> u64 {
    cluster.as_user(at, "alice").directory().await.unwrap().version
}

/// The changes of a long absence come in bundles, each checked like the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_for_long_catches_up() {
    const CHANGES: u64 = 70;
    let mut cluster = Cluster::governed(3, &[]).await;
    cluster.stop(2).await;
    for nth in 0..CHANGES {
        let who: &[&str] = if nth % 2 == 0 { &["bob"] } else { &["carol"] };
        let done = agreed(&cluster, 0, ("alice", "bob"), who).await;
        assert_eq!(done.status, OperationStatus::Succeeded, "change {nth}");
    }
    cluster.start_all().await;
    until(async || version(&cluster, 2).await == CHANGES).await;
    let head = async |at| cluster.as_user(at, "alice").directory().await.unwrap().head;
    assert_eq!(head(2).await, head(0).await);
}

const PAYMENTS: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);

@id("agreed")
@quorum("2 of Group::\"admins\"")
permit (principal in Group::"admins", action == Action::"sign:message", resource);
"#;

/// covers: GOV.4: a request, an approval and its withdrawal that a node missed reach it when it comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_learns_what_people_said() {
    let mut cluster = Cluster::governed(3, &[("payments", PAYMENTS)]).await;
    let key = create(&cluster, "alice").await;
    let ask =
        async |cluster: &Cluster| cluster.pay(0, "alice", &key, &crate::cluster::message("m")).await.unwrap();
    let known = ask(&cluster).await;
    until(async || cluster.as_user(2, "bob").operation(&known.id, Duration::ZERO).await.is_ok()).await;
    cluster.stop(2).await;
    let missed = ask(&cluster).await;
    let withdrawn = ask(&cluster).await;
    cluster.rule(0, "bob", "approve", &known).await.unwrap();
    cluster.rule(0, "carol", "approve", &missed).await.unwrap();
    let shown = cluster.rule(0, "carol", "approve", &withdrawn).await.unwrap().approvals.unwrap();
    let mut withdrawal = shown.rule(&withdrawn.id, fresh(), None).unwrap();
    withdrawal.withdraws = shown.approved[0].nonces.clone();
    cluster.as_user(0, "carol").rule(&withdrawn.id, "withdraw", &withdrawal).await.unwrap();
    cluster.start_all().await;
    let approved = async |operation: &Operation| {
        let shown = cluster.as_user(2, "bob").operation(&operation.id, Duration::ZERO).await.ok()?;
        let approved = shown.approvals?.approved;
        Some(approved.into_iter().map(|approved| approved.by).collect::<Vec<_>>())
    };
    until(async || approved(&known).await == Some(vec!["bob".to_owned()])).await;
    until(async || approved(&missed).await == Some(vec!["carol".to_owned()])).await;
    until(async || approved(&withdrawn).await.is_some()).await;
    assert_eq!(approved(&withdrawn).await.unwrap(), Vec::<String>::new());
    // Whoever missed it all can be asked, and completes it.
    cluster.rule(2, "bob", "approve", &missed).await.unwrap();
    assert_eq!(cluster.ended(0, "alice", &missed).await.status, OperationStatus::Succeeded);
}

async fn evidence(cluster: &Cluster, at: usize) -> usize {
    entries(cluster, at).await.iter().filter(|entry| entry.kind() == Kind::Evidence).count()
}

/// covers: GOV.7: two branches are kept and shown by both sides, neither gives way by itself, and people can end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_branches_are_evidence_and_people_choose() {
    let mut cluster = Cluster::governed(2, &[("all", ALL)]).await;
    let key = create(&cluster, "alice").await;
    // Each node adopts a change of the first version while the other is away; one goes on from there.
    cluster.stop(1).await;
    agreed(&cluster, 0, ("alice", "bob"), &["bob"]).await;
    cluster.stop(0).await;
    cluster.start_node(1).await;
    agreed(&cluster, 1, ("carol", "bob"), &["carol"]).await;
    agreed(&cluster, 1, ("carol", "bob"), &["bob", "carol"]).await;
    cluster.start_node(0).await;
    until(async || evidence(&cluster, 0).await == 1 && evidence(&cluster, 1).await == 1).await;
    let views = [
        cluster.as_user(0, "alice").directory().await.unwrap(),
        cluster.as_user(1, "alice").directory().await.unwrap(),
    ];
    assert_eq!((views[0].version, views[1].version), (1, 2), "each stays with its own");
    let (fork, other) = (&views[0].forks[0], &views[1].forks[0]);
    assert_eq!((views[0].forks.len(), views[1].forks.len()), (1, 1));
    assert_eq!((fork.version, other.version), (1, 1));
    assert_eq!((&fork.ours, &fork.theirs), (&other.theirs, &other.ours));
    assert_eq!((fork.client.as_str(), other.client.as_str()), ("carol", "alice"));
    assert!(fork.steps.to_string().contains("carol"), "{}", fork.steps);
    // A signature needs nothing of the change, and both nodes permit it.
    sign(&cluster, 0, "alice", &key).await.unwrap();
    // Saying it again adds no evidence.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((evidence(&cluster, 0).await, evidence(&cluster, 1).await), (1, 1));

    let theirs: [u8; 32] = fork.theirs.as_ref().try_into().unwrap();
    let running = quorate_node::switch_branch(&cluster.configs[0], theirs).await.unwrap_err();
    assert!(running.to_string().contains("in use"), "{running}");
    cluster.stop(0).await;
    let unknown = quorate_node::switch_branch(&cluster.configs[0], [7; 32]).await.unwrap_err();
    assert!(unknown.to_string().contains(&fork.theirs.to_string()), "{unknown}");
    let switched = quorate_node::switch_branch(&cluster.configs[0], theirs).await.unwrap();
    assert_eq!((switched.version, switched.dropped), (1, 1));
    cluster.start_all().await;
    until(async || version(&cluster, 0).await == 2).await;
    let view = cluster.as_user(0, "alice").directory().await.unwrap();
    assert_eq!(view.head, views[1].head);
    assert_eq!(view.forks[0].theirs, views[0].head, "what was given up is kept");
    // One branch again: the next change reaches both.
    agreed(&cluster, 0, ("alice", "bob"), &["bob"]).await;
    until(async || version(&cluster, 1).await == 3).await;
}

/// Everybody may do everything.
const ALL: &str = "@id(\"all\") permit (principal, action, resource);";

//! Where a request came from, as the policies of every node see it.

use std::net::IpAddr;
use std::time::Duration;

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, CreateKey, Key, Method, Operation, OperationStatus, Problem, Request};

use crate::cluster::{Cluster, WAIT, client_key, create_key, created, message, now, unique};
use crate::governed::{create, until};
use crate::limits::ask;

/// From the office alone, from anywhere else with somebody of finance, from one place never.
const BY_PLACE: [(&str, &str); 4] = [
    ("keys", "@id(\"keys\") permit (principal, action == Action::\"create_key\", resource);"),
    (
        "office",
        "@id(\"office\") permit (principal, action in Action::\"sign\", resource) when {
           context has source_ip && context.source_ip.isInRange(ip(\"10.1.0.0/16\")) };",
    ),
    (
        "elsewhere",
        "@id(\"elsewhere\") @quorum(\"1 of Group::\\\"finance\\\"\")
         permit (principal, action in Action::\"sign\", resource);",
    ),
    (
        "never",
        "@id(\"never\") forbid (principal, action in Action::\"sign\", resource) when {
           context has source_ip && context.source_ip.isInRange(ip(\"198.51.100.0/24\")) };",
    ),
];

/// A cluster of three in which `trusting` believes the proxy on this machine.
async fn behind_a_proxy(trusting: usize) -> Cluster {
    let mut cluster = Cluster::prepare(3).await;
    cluster.configs[trusting].trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    cluster.govern(&BY_PLACE).await;
    cluster.start_all().await;
    cluster
}

/// alice asks a node for a signature; the proxy before it wrote this.
async fn through(
    cluster: &Cluster,
    at: usize,
    key: &Key,
    forwarded: Option<&str>,
) -> Result<Operation, Problem> {
    let body = serde_json::to_vec(&message("m")).unwrap();
    let path = format!("/v1/keys/{}/sign?wait=3s", key.id);
    let request = Request::new(Method::Post, &path, "alice", now() + 600, unique("from"), body);
    let signed = request.unwrap().sign(&client_key(1));
    let header = forwarded.map(|value| ("x-forwarded-for", value));
    let (status, _, body) = ask(&cluster.url(at), &signed, header).await;
    if status < 300 {
        Ok(serde_json::from_slice(&body).unwrap())
    } else {
        Err(serde_json::from_slice(&body).unwrap())
    }
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_see_the_address_that_the_asked_node_saw() {
    let mut cluster = behind_a_proxy(0).await;
    let key = create(&cluster, "alice").await;
    let done = through(&cluster, 0, &key, Some("10.1.2.3")).await.unwrap();
    assert_eq!((done.status, done.source), (OperationStatus::Succeeded, ip("10.1.2.3")));
    // Whoever took part decided on the same, and shows it.
    let quorum = crate::cluster::signed(&done).quorum;
    let member = if quorum.contains(&"node-b".to_owned()) { 1 } else { 2 };
    let shown = cluster.as_user(member, "alice").operation(&done.id, WAIT).await.unwrap();
    assert_eq!(shown.source, ip("10.1.2.3"));
    let refused = through(&cluster, 0, &key, Some("198.51.100.9")).await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied);
    assert!(refused.detail.contains("never"), "{refused}");
    // What the client wrote itself does not count; what nobody trusts is not read; what is not said is not known.
    let cases = [
        (0, Some("10.1.2.3, 203.0.113.5"), ip("203.0.113.5")),
        (1, Some("10.1.2.3"), ip("127.0.0.1")),
        (0, None, None),
        (0, Some("10.1.2.3, unknown"), None),
    ];
    let mut waiting = Vec::new();
    for (at, forwarded, source) in cases {
        let waits = through(&cluster, at, &key, forwarded).await.unwrap();
        assert_eq!((waits.status, waits.source), (OperationStatus::PendingApproval, source), "{forwarded:?}");
        waiting.push(waits);
    }
    // It is with the case: at other nodes, and after a restart.
    let first = waiting.remove(0);
    until(async || cluster.as_user(1, "bob").operation(&first.id, Duration::ZERO).await.is_ok()).await;
    let heard = cluster.as_user(1, "bob").operation(&first.id, Duration::ZERO).await.unwrap();
    assert_eq!(heard.source, ip("203.0.113.5"));
    cluster.stop(0).await;
    cluster.start_all().await;
    let kept = cluster.as_user(0, "alice").operation(&first.id, Duration::ZERO).await.unwrap();
    assert_eq!(kept.source, ip("203.0.113.5"));
    cluster.rule(0, "bob", "approve", &first).await.unwrap();
    until(async || {
        let shown = cluster.as_user(0, "alice").operation(&first.id, Duration::ZERO).await.unwrap();
        shown.status == OperationStatus::Succeeded
    })
    .await;
}

/// A node without a share passes the address on with the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_goes_with_a_request_that_is_passed_on() {
    let cluster = behind_a_proxy(2).await;
    let parties = Some(vec!["node-a".to_owned(), "node-b".to_owned()]);
    let wanted = CreateKey { parties, ..create_key(Scheme::Ed25519, 2, Some(vec![Purpose::Message])) };
    let made = cluster.as_user(0, "alice").create_key(&wanted, &unique("create"), WAIT).await.unwrap();
    assert_eq!(made.source, ip("127.0.0.1"));
    let key = created(&made);
    let done = through(&cluster, 2, &key, Some("10.1.2.3")).await.unwrap();
    assert_eq!((done.status, done.source), (OperationStatus::Succeeded, ip("10.1.2.3")));
    let refused = through(&cluster, 2, &key, Some("198.51.100.9")).await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied);
    let waits = through(&cluster, 2, &key, None).await.unwrap();
    assert_eq!((waits.status, waits.source), (OperationStatus::PendingApproval, None));
}

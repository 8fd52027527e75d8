//! A person who signs with a passkey, before running nodes.

use std::time::Duration;

use quorate_api::{
    Assertion, Code, Method, Operation, OperationStatus, PasskeyPublicKey, Problem, Request, SignedRequest,
};
use quorate_policy::change::Step;
use quorate_policy::directory::{Members, PrincipalKind};

use crate::cluster::{Cluster, now, signed, unique};
use crate::governed::{create, name};
use crate::requests::send;

#[path = "../../../api/tests/passkeys/forge.rs"]
mod forge;

use forge::{BAD, Draft, GOOD, ORIGINS, RP_ID};

const ID: [u8; 16] = [5; 16];

const POLICY: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);

@id("phones")
@quorum("1 of Group::\"phones\"")
permit (principal in Group::"admins", action, resource);
"#;

/// The request by which erin approves, made from what a node shows.
fn approval(operation: &Operation) -> Request {
    let rule = operation.approvals.as_ref().unwrap().rule(&operation.id, [7; 32], None).unwrap();
    let path = format!("/v1/operations/{}/approve", operation.id);
    let body = serde_json::to_vec(&rule).unwrap();
    Request::new(Method::Post, path, "erin-phone", now() + 600, unique("approve"), body).unwrap()
}

async fn refused(cluster: &Cluster, at: usize, request: &SignedRequest) -> Problem {
    let (status, _, body) = send(&cluster.url(at), request).await;
    let problem: Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, problem.code), (401, Code::SignatureInvalid), "{problem}");
    problem
}

/// covers: S25: each rule again, at nodes that listen; then the good assertion decides, at a node that does not coordinate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passkey_approves_what_a_policy_asks_for() {
    let secret = p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap();
    let point = hex::encode(secret.verifying_key().to_sec1_point(true).as_bytes());
    let key = format!("p256:{point}").parse().unwrap();
    let passkey = PasskeyPublicKey::new(key, ID, RP_ID, ORIGINS).unwrap();
    let phones = Members { principals: [name("erin")].into(), groups: Default::default() };
    let people = vec![
        Step::AddPrincipal { name: name("erin"), kind: PrincipalKind::User, tenant: None },
        Step::AddCredential { name: name("erin-phone"), principal: name("erin"), with: passkey.into() },
        Step::SetGroup { name: name("phones"), members: phones },
    ];
    let mut cluster = Cluster::prepare(3).await;
    cluster.govern_with(&[("phones", POLICY)], people).await;
    cluster.start_all().await;

    let key = create(&cluster, "alice").await;
    let ask = async || cluster.pay(0, "alice", &key, &crate::cluster::message("m")).await.unwrap();
    let (asked, other) = (ask().await, ask().await);
    for operation in [&asked, &other] {
        assert_eq!(operation.status, OperationStatus::PendingApproval);
        let there = cluster.as_user(1, "alice");
        crate::governed::until(async || there.operation(&operation.id, Duration::ZERO).await.is_ok()).await;
    }
    let request = approval(&asked);
    let challenge = request.challenge();
    for (index, (what, change, expected)) in BAD.iter().enumerate() {
        let mut draft = Draft::new(&ID, &challenge);
        change(&mut draft, &challenge);
        let problem =
            refused(&cluster, index % 3, &request.clone().with_assertion(draft.sign(&secret))).await;
        assert!(problem.detail.ends_with(&expected.to_string()), "{what}: {problem}");
    }
    // What honest browsers do is accepted: she looks at what she is asked for.
    for (index, (what, change)) in GOOD.iter().enumerate() {
        let path = format!("/v1/operations/{}", asked.id);
        let look = Request::new(Method::Get, path, "erin-phone", now() + 600, "", Vec::new()).unwrap();
        let mut draft = Draft::new(&ID, &look.challenge());
        change(&mut draft, &look.challenge());
        let look = look.clone().with_assertion(draft.sign(&secret));
        let (status, _, body) = send(&cluster.url(index % 2), &look).await;
        assert_eq!(status, 200, "{what}: {}", String::from_utf8_lossy(&body));
    }
    // The assertion is for this approval and for no other.
    let assertion: Assertion = Draft::new(&ID, &challenge).sign(&secret);
    let moved = approval(&other).with_assertion(assertion.clone());
    assert!(refused(&cluster, 1, &moved).await.detail.contains("challenge"));
    let (status, _, body) = send(&cluster.url(1), &request.with_assertion(assertion)).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let done = cluster.ended(0, "alice", &asked).await;
    assert_eq!(done.status, OperationStatus::Succeeded);
    signed(&done);
    let waits = cluster.as_user(0, "alice").operation(&other.id, Duration::ZERO).await.unwrap();
    assert_eq!(waits.status, OperationStatus::PendingApproval);
}

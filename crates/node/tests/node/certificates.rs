//! Workloads that sign with certificates of an authority, before running nodes.

use std::time::Duration;

use quorate_api::client::Client;
use quorate_api::{Code, Method, Operation, OperationStatus, Problem, Request, SignedRequest};
use quorate_policy::change::Step;
use quorate_policy::directory::PrincipalKind;

use crate::cluster::{Cluster, WAIT, message, now, signed, unique};
use crate::governed::{create, name};
use crate::requests::{send, sign_request};

#[path = "../../../api/tests/certificates/house.rs"]
pub(crate) mod house;

use house::House;

/// Admins make keys; services sign.
pub(crate) const POLICY: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);

@id("services")
permit (principal is Service, action, resource);
"#;

/// A service of the name of each identity, with it as its credential.
pub(crate) fn services(house: &House) -> Vec<Step> {
    let steps = house.identities().into_iter().flat_map(|(who, identity)| {
        [
            Step::AddPrincipal { name: name(who), kind: PrincipalKind::Service, tenant: None },
            Step::AddCredential { name: name(who), principal: name(who), with: identity.into() },
        ]
    });
    steps.collect()
}

async fn refused(cluster: &Cluster, at: usize, request: &SignedRequest) -> Problem {
    let (status, _, body) = send(&cluster.url(at), request).await;
    let problem: Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, problem.code), (401, Code::SignatureInvalid), "{problem}");
    problem
}

/// covers: S17, S25: each rule again, at every node; then what is certified signs, and a renewed certificate is the same service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_signs_with_its_certificate() {
    let house = House::new(now() + 600);
    let mut cluster = Cluster::prepare(3).await;
    cluster.govern_with(&[("services", POLICY)], services(&house)).await;
    cluster.start_all().await;
    let key = create(&cluster, "alice").await;
    let ask = |who: &str| sign_request(&key.id, &message("m"), who, house.around, &unique("certificate"));

    let mut cases = 0;
    for ((what, request), expected) in house.bad(&ask) {
        for at in 0..3 {
            let problem = refused(&cluster, at, &request).await;
            assert!(problem.detail.ends_with(&expected.to_string()), "{what}: {problem}");
            cases += 1;
        }
    }
    assert_eq!(cases, 3 * 32);
    // Signed for one request and sent with another.
    let certificate = house.payments();
    let first = ask("payments").sign_with_certificate(&certificate);
    let moved = ask("payments").with_signature(first.signature().clone());
    assert!(refused(&cluster, 1, &moved).await.detail.contains("does not verify"));
    // A person's key under the service's name, and the certificate under a person's.
    let by_key = ask("payments").sign(&crate::cluster::client_key(1));
    assert!(refused(&cluster, 2, &by_key).await.detail.contains("another kind"));
    assert!(
        refused(&cluster, 2, &ask("alice").sign_with_certificate(&certificate))
            .await
            .detail
            .contains("another kind")
    );

    let cases = house.good(&ask);
    assert_eq!(cases.len(), 15);
    for (at, (what, request)) in cases.into_iter().enumerate() {
        let (status, _, body) = send(&cluster.url(at % 3), &request).await;
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, 200, "{what}: {text}");
        let operation: Operation = serde_json::from_slice(&body).unwrap();
        assert_eq!(operation.status, OperationStatus::Succeeded, "{what}: {text}");
        signed(&operation);
    }
    // A retry with a renewed certificate is the same operation, also after a restart.
    let again = Request::new(
        Method::Post,
        first.path_and_query(),
        "payments",
        house.around,
        first.idempotency_key(),
        first.body().to_vec(),
    );
    let renewed = house.good(&ask).into_iter().find(|(what, _)| what.contains("renewal")).unwrap().1;
    let chain = match renewed.signature() {
        quorate_api::RequestSignature::Certificate(by) => by.chain().to_vec(),
        other => panic!("{other:?}"),
    };
    let (_, _, body) = send(&cluster.url(0), &first).await;
    let done: Operation = serde_json::from_slice(&body).unwrap();
    cluster.stop(0).await;
    cluster.start_all().await;
    let again = house::sign(again.unwrap(), chain, &house::client_key(8));
    let text = |operation: &Operation| serde_json::to_string(&operation.result).unwrap();
    let (status, _, body) = send(&cluster.url(0), &again).await;
    let repeated: Operation = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &repeated.id, text(&repeated)), (200, &done.id, text(&done)));
    // The library's client, whose requests end with its certificate at the latest.
    let client = Client::with_certificate(&cluster.url(2), "payments", house.payments()).unwrap();
    let client = client.valid_for(Duration::from_secs(30 * 24 * 3600));
    let operation = client.sign(&key.id, &message("n"), &unique("library"), WAIT).await.unwrap();
    signed(&operation);
}

/// Whoever runs an authority must not be able to approve: certificates are for services alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_have_no_certificates() {
    let house = House::new(now() + 600);
    let cluster = Cluster::governed(1, &[("services", POLICY)]).await;
    let with = house::identity(&house.root, house::SPIFFE);
    let add = |kind| {
        vec![
            Step::AddPrincipal { name: name("erin"), kind, tenant: None },
            Step::AddCredential { name: name("erin"), principal: name("erin"), with: with.clone().into() },
        ]
    };
    let refused = cluster.change(0, "alice", add(PrincipalKind::User)).await.unwrap_err();
    assert_eq!(refused.code, Code::Unprocessable);
    assert!(refused.detail.contains("certificates are for services"), "{}", refused.detail);
    let asked = cluster.change(0, "alice", add(PrincipalKind::Service)).await.unwrap();
    // Whoever approves it reads for which name which authority will speak.
    let words = asked.approvals.as_ref().unwrap().summary.as_ref().unwrap().details.join("\n");
    let authority = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(with.ca()));
    assert!(words.contains(house::SPIFFE) && words.contains(&authority), "{words}");
    cluster.rule(0, "bob", "approve", &asked).await.unwrap();
    assert_eq!(cluster.versions("alice").await, [1]);
    // The same name of the same authority is one service.
    let twin = vec![
        Step::AddPrincipal { name: name("twin"), kind: PrincipalKind::Service, tenant: None },
        Step::AddCredential { name: name("twin"), principal: name("twin"), with: with.into() },
    ];
    let refused = cluster.change(0, "alice", twin).await.unwrap_err();
    assert!(refused.detail.contains("`twin` is enrolled as `erin`"), "{}", refused.detail);
}

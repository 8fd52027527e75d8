//! Requests: who may ask, once and again.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use quorate_api::intent::{Intent, Network, PublicKey, Purpose, Scheme, build};
use quorate_api::{
    Code, KeyId, ListQuery, Method, OperationStatus, PROBLEM_CONTENT_TYPE, Problem, Request, Sign,
    SignedRequest,
};

use crate::cluster::{CLIENT, Cluster, WAIT, client_key, create_key, message, now, problem, signed, unique};

/// Sends a request as it is and gives status and body.
pub(crate) async fn send(url: &str, request: &SignedRequest) -> (u16, String, Vec<u8>) {
    let http: Http<_, Full<bytes::Bytes>> = Http::builder(TokioExecutor::new()).build_http();
    let mut builder = http::Request::builder()
        .method(request.method().as_str())
        .uri(format!("{url}{}", request.path_and_query()));
    for (name, value) in request.to_headers() {
        builder = builder.header(name, value);
    }
    let body = Full::new(bytes::Bytes::copy_from_slice(request.body()));
    let response = http.request(builder.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let content = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    (status, content.unwrap_or_default(), body)
}

pub(crate) fn sign_request(key: &KeyId, sign: &Sign, client: &str, expires: u64, once: &str) -> Request {
    let body = serde_json::to_vec(sign).unwrap();
    let path = format!("/v1/keys/{key}/sign?wait=10s");
    Request::new(Method::Post, path, client, expires, once, body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_enrolled_clients_get_in_and_only_in_time() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let url = cluster.url(0);
    let request = |client: &str, expires: u64| {
        sign_request(&key.id, &message("hello"), client, expires, &unique("refused"))
    };
    let own = client_key(1);
    let other = client_key(2);
    let forged = request(CLIENT, now() + 60);
    let moved = {
        let signed = request(CLIENT, now() + 60).sign(&own);
        // The same signature over another body.
        let body = serde_json::to_vec(&message("goodbye")).unwrap();
        Request::new(
            Method::Post,
            signed.path_and_query(),
            CLIENT,
            signed.expires(),
            signed.idempotency_key(),
            body,
        )
        .unwrap()
        .with_signature(signed.signature().clone())
    };
    let path = |path: &str, body: &[u8]| {
        Request::new(Method::Post, path, CLIENT, now() + 60, unique("refused"), body.to_vec())
            .unwrap()
            .sign(&own)
    };
    let get =
        |path: &str| Request::new(Method::Get, path, CLIENT, now() + 60, "", vec![]).unwrap().sign(&own);
    let cases: Vec<(&str, SignedRequest, Code)> = vec![
        ("unknown client", request("mallory", now() + 60).sign(&own), Code::UnknownClient),
        ("another's key", request(CLIENT, now() + 60).sign(&other), Code::SignatureInvalid),
        ("no signature", forged.with_signature([0; 64]), Code::SignatureInvalid),
        ("another body", moved, Code::SignatureInvalid),
        ("expired", request(CLIENT, now() - 10).sign(&own), Code::RequestExpired),
        ("far ahead", request(CLIENT, now() + 100_000).sign(&own), Code::ExpiryTooFar),
        ("no json", path("/v1/keys", b"{"), Code::InvalidRequest),
        (
            "unknown field",
            path("/v1/keys", br#"{"scheme":"ed25519","threshold":2,"x":1}"#),
            Code::InvalidRequest,
        ),
        ("threshold", path("/v1/keys", br#"{"scheme":"ed25519","threshold":4}"#), Code::Unprocessable),
        ("zero", path("/v1/keys", br#"{"scheme":"ed25519","threshold":0}"#), Code::InvalidRequest),
        (
            "stranger",
            path("/v1/keys", br#"{"scheme":"ed25519","threshold":2,"parties":["node-a","node-x"]}"#),
            Code::Unprocessable,
        ),
        (
            "not a party",
            path("/v1/keys", br#"{"scheme":"ed25519","threshold":2,"parties":["node-b","node-c"]}"#),
            Code::Unprocessable,
        ),
        (
            "purposes",
            path("/v1/keys", br#"{"scheme":"ed25519","threshold":2,"purposes":["message","solana"]}"#),
            Code::Unprocessable,
        ),
        (
            "no such key",
            sign_request(&KeyId::from_bytes([7; 16]), &message("x"), CLIENT, now() + 60, &unique("r"))
                .sign(&own),
            Code::NotFound,
        ),
        ("not a key", path("/v1/keys/nonsense/sign", b"{}"), Code::NotFound),
        ("no such path", get("/v1/nothing"), Code::NotFound),
        ("wrong method", get(&format!("/v1/keys/{}/sign", key.id)), Code::MethodNotAllowed),
        ("bad wait", path(&format!("/v1/keys/{}/sign?wait=10h", key.id), b"{}"), Code::InvalidRequest),
        ("bad query", get("/v1/keys?limit=0"), Code::InvalidRequest),
        ("bad cursor", get("/v1/keys?limit=5&after=zz"), Code::InvalidRequest),
        ("no such operation", get("/v1/operations/op_00000000000000000000000000000000"), Code::NotFound),
    ];
    let count = cases.len();
    for (name, request, code) in cases {
        let (status, content, body) = send(&url, &request).await;
        assert_eq!(content, PROBLEM_CONTENT_TYPE, "{name}");
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!((problem.code, status), (code, code.status()), "{name}: {problem}");
        assert!(problem.request_id.is_some(), "{name}");
    }
    assert_eq!(count, 21);
    // The purposes and the intent are judged before anything starts.
    let raw = Sign { intent: Intent::Message { message: "zz".to_owned() }, path: None, quorum: None };
    let error = cluster.client(0).sign(&key.id, &raw, &unique("r"), WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::IntentInvalid);
    let solana =
        Sign { intent: Intent::SolanaMessage { message: "AAAA".to_owned() }, path: None, quorum: None };
    let error = cluster.client(0).sign(&key.id, &solana, &unique("r"), WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::PurposeNotAllowed);
    let page = cluster.client(0).operations(&ListQuery { limit: 200, after: None }).await.unwrap();
    assert_eq!(page.items.len(), 1, "nothing refused has left a trace but the creation of the key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_once() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let once = unique("once");
    // Many at once, at one node: one ceremony.
    let calls = (0..8).map(|_| {
        let (client, key, once) = (cluster.client(0), key.id.clone(), once.clone());
        async move { client.sign(&key, &message("same"), &once, WAIT).await.unwrap() }
    });
    let answers = futures_util::future::join_all(calls).await;
    let first = signed(&answers[0]);
    for answer in &answers {
        assert_eq!(answer.id, answers[0].id);
        assert_eq!(signed(answer).signatures, first.signatures);
        assert_eq!(signed(answer).figures, first.figures);
    }
    // The same key with another body, at the node that knows it and at one that took part.
    let other = message("other");
    let error = cluster.client(0).sign(&key.id, &other, &once, WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::IdempotencyConflict);
    let member = usize::from(first.quorum[1] == "node-b") + 2 * usize::from(first.quorum[1] == "node-c");
    let error = cluster.client(member).sign(&key.id, &other, &once, WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::IdempotencyConflict);
    // Another client may use the same words.
    let create = create_key(Scheme::Ed25519, 2, None);
    let error = cluster.client(0).create_key(&create, &once, WAIT).await.unwrap_err();
    assert_eq!(problem(error).code, Code::IdempotencyConflict, "another path is another request");
    // The other nodes give the same answer, whether they took part or not.
    for at in 1..3 {
        let answer = cluster.client(at).sign(&key.id, &message("same"), &once, WAIT).await.unwrap();
        assert_eq!(answer.id, answers[0].id);
        assert_eq!(signed(&answer).signatures, first.signatures, "node {at}");
    }
    // Without waiting: 202, then the operation.
    let later =
        cluster.client(0).sign(&key.id, &message("later"), &unique("later"), Duration::ZERO).await.unwrap();
    let ended = cluster.client(0).wait(&later.id, WAIT, WAIT, |_| {}).await.unwrap();
    assert_eq!(ended.status, OperationStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_coordinators_of_one_request_agree() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let mut rounds = 0;
    for round in 0..5 {
        let once = unique("both");
        let text = format!("at all nodes at once, {round}");
        let calls = (0..3).map(|at| {
            let (client, key, once) = (cluster.client(at), key.id.clone(), once.clone());
            let sign = message(&text);
            async move { client.sign(&key, &sign, &once, WAIT).await.unwrap() }
        });
        let answers = futures_util::future::join_all(calls).await;
        for answer in &answers {
            assert_eq!(answer.id, answers[0].id);
            assert_eq!(answer.status, OperationStatus::Succeeded);
        }
        rounds += 1;
    }
    assert_eq!(rounds, 5);
    // All three are needed: nobody can go on without the others.
    let key = cluster.create(Scheme::Ed25519, 3, Some(vec![Purpose::Message])).await;
    let once = unique("all");
    let calls = (0..3).map(|at| {
        let (client, key, once) = (cluster.client(at), key.id.clone(), once.clone());
        async move { signed(&client.sign(&key, &message("three of three"), &once, WAIT).await.unwrap()) }
    });
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer.signatures == answers[0].signatures), "one ceremony");
}

/// covers: S23: a node that does not know the client does not take part, whatever the coordinator thinks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_judges_the_client_itself() {
    let mut cluster = Cluster::prepare(3).await;
    let bob = client_key(2).public_key().to_string();
    // `bob` is enrolled at a alone, `carol` at a and c.
    for at in [0, 2] {
        let key = client_key(3).public_key().to_string();
        cluster.configs[at].clients.push(quorate_node::config::Client { name: "carol".to_owned(), key });
    }
    cluster.configs[0].clients.push(quorate_node::config::Client { name: "bob".to_owned(), key: bob });
    // c knows bob under another key.
    let other = client_key(4).public_key().to_string();
    cluster.configs[2].clients.push(quorate_node::config::Client { name: "bob".to_owned(), key: other });
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let error = cluster.client_as(0, "bob", 2).sign(&key.id, &message("m"), &unique("bob"), WAIT).await;
    let error = problem(error.unwrap_err());
    assert!(error.detail.contains("`node-b`") && error.detail.contains("`node-c`"), "{error}");
    assert!(matches!(error.code, Code::UnknownClient | Code::SignatureInvalid), "{error}");
    let operation =
        cluster.client_as(0, "carol", 3).sign(&key.id, &message("m"), &unique("carol"), WAIT).await;
    let result = signed(&operation.unwrap());
    assert_eq!(result.quorum, ["node-a", "node-c"]);
    assert_eq!(result.skipped.len(), 1);
    assert_eq!(result.skipped[0].party, "node-b");
    assert!(result.skipped[0].reason.contains("no client of this name"), "{}", result.skipped[0].reason);
    // Creation needs all.
    let create = create_key(Scheme::Ed25519, 2, None);
    let error = cluster.client_as(0, "carol", 3).create_key(&create, &unique("carol"), WAIT).await;
    let error = problem(error.unwrap_err());
    assert!(error.code == Code::UnknownClient && error.detail.contains("`node-b`"), "{error}");
}

/// A request that one node takes to be out of time is refused there and nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_judges_the_time_itself() {
    let mut cluster = Cluster::prepare(3).await;
    cluster.configs[1].limits.request_max_ahead = Duration::from_secs(5);
    cluster.start_all().await;
    let parties = Some(vec!["node-a".to_owned(), "node-b".to_owned(), "node-c".to_owned()]);
    let create =
        quorate_api::CreateKey { parties, ..create_key(Scheme::Ed25519, 2, Some(vec![Purpose::Message])) };
    let error = cluster.client(0).create_key(&create, &unique("far"), WAIT).await.unwrap_err();
    let error = problem(error);
    assert!(error.code == Code::ExpiryTooFar && error.detail.contains("`node-b` refuses"), "{error}");
    // Signed for a nearer time it is accepted by all.
    let body = serde_json::to_vec(&create).unwrap();
    let near =
        Request::new(Method::Post, "/v1/keys?wait=20s", CLIENT, now() + 4, unique("near"), body).unwrap();
    let (status, _, body) = send(&cluster.url(0), &near.sign(&client_key(1))).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let key = crate::cluster::created(&serde_json::from_slice(&body).unwrap());
    let result = cluster.sign(0, &key.id, "far ahead").await.unwrap();
    assert_eq!(result.quorum, ["node-a", "node-c"]);
    assert!(result.skipped[0].reason.contains("`node-b` refuses: the expiry lies more than 5 s ahead"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_quorum_signs_or_nobody() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let named = |names: &[&str]| Sign {
        quorum: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..message("named")
    };
    let client = cluster.client(0);
    let mut cases = 0;
    for names in [["node-a", "node-c"], ["node-c", "node-a"], ["node-b", "node-c"]] {
        let operation = client.sign(&key.id, &named(&names), &unique("named"), WAIT).await.unwrap();
        let mut wanted = names;
        wanted.sort_unstable();
        assert_eq!(signed(&operation).quorum, wanted);
        cases += 1;
    }
    for names in [&["node-a"][..], &["node-a", "node-b", "node-c"], &["node-a", "node-x"]] {
        let error = client.sign(&key.id, &named(names), &unique("named"), WAIT).await.unwrap_err();
        assert_eq!(problem(error).code, Code::Unprocessable, "{names:?}");
        cases += 1;
    }
    assert_eq!(cases, 6);
    cluster.stop(1).await;
    let error =
        client.sign(&key.id, &named(&["node-a", "node-b"]), &unique("named"), WAIT).await.unwrap_err();
    let error = problem(error);
    assert_eq!(error.code, Code::NotEnoughParties);
    assert_eq!(error.quorum.unwrap().missing, ["node-b"]);
}

/// Many requests at all nodes at once: each is signed by the first quorum asked, nobody is dropped or taken for silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_all_nodes_at_once() {
    let cluster = Cluster::start(3).await;
    let ecdsa = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await;
    let eddsa = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let calls = (0..48).map(|number| {
        let key = if number % 2 == 0 { ecdsa.id.clone() } else { eddsa.id.clone() };
        let (client, text) = (cluster.client(number % 3), format!("request {number}"));
        async move { signed(&client.sign(&key, &message(&text), &unique("many"), WAIT).await.unwrap()) }
    });
    let results = futures_util::future::join_all(calls).await;
    assert_eq!(results.len(), 48);
    for result in results {
        assert!(result.skipped.is_empty(), "{:?}", result.skipped);
        assert_eq!(result.quorum.len(), 2);
    }
}

/// covers: S24, C5, C14: a key signs for its own purposes alone, a digest only if it is for digests, so what is signed for one can never be shown as something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_signs_for_its_own_purpose_alone() {
    let cluster = Cluster::start(2).await;
    let purposes = [Purpose::Ethereum, Purpose::Bitcoin, Purpose::Message, Purpose::Raw];
    let (mut allowed, mut refused) = (0, 0);
    for purpose in purposes {
        let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![purpose])).await;
        let public_key = PublicKey::new(key.scheme, &key.public_key.0).unwrap();
        let spend = build::BitcoinSpend {
            txid: "4f5ddd31a0a4b2c1d9f8e7b6a5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6".to_owned(),
            vout: 0,
            amount_sat: 250_000,
            to: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".to_owned(),
            send_sat: 100_000,
            fee_sat: 1_000,
        };
        // The content of the message is what an Ethereum wallet would sign: only the purpose keeps the two apart.
        let text = b"\x19Ethereum Signed Message:\n5login";
        let intents = [
            Intent::EthereumMessage { message: hex::encode("login") },
            build::bitcoin_spend(&public_key, &spend, Network::Mainnet).unwrap(),
            build::message(text),
            Intent::RawDigest { digest: "07".repeat(32) },
        ];
        for intent in intents {
            let own = intent.purpose() == purpose;
            let sign = Sign { intent, path: None, quorum: None };
            match cluster.client(0).sign(&key.id, &sign, &unique("sign"), WAIT).await.map_err(problem) {
                Ok(operation) => {
                    assert!(own);
                    assert_eq!(signed(&operation).key, key.id);
                    allowed += 1;
                }
                Err(problem) => {
                    assert!(!own, "{}", problem.detail);
                    assert_eq!(problem.code, Code::PurposeNotAllowed);
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((allowed, refused), (4, 12));
    // No key carries a purpose beside one that could be shown as it.
    for purposes in [vec![Purpose::Raw, Purpose::Ethereum], vec![Purpose::Message, Purpose::Bitcoin]] {
        let create = create_key(Scheme::EcdsaSecp256k1, 2, Some(purposes));
        let error = cluster.client(0).create_key(&create, &unique("create"), WAIT).await.unwrap_err();
        assert_eq!(problem(error).code, Code::Unprocessable);
    }
}

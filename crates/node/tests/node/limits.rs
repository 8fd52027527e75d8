//! Bounds on what one client, one address and one connection may cost, with real sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, OperationStatus, Problem, SignBatch, SignItem, SignedRequest};
use quorate_node::config;
use quorate_policy::change::Step;
use quorate_policy::directory::PrincipalKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cluster::{
    CLIENT, Cluster, WAIT, client_key, create_key, created, get_request, message, now, problem, unique,
};
use crate::governed::name;
use crate::requests::sign_request;

/// Status, a header and the body of an answer.
pub(crate) async fn ask(
    url: &str,
    request: &SignedRequest,
    extra: Option<(&str, &str)>,
) -> (u16, http::HeaderMap, Vec<u8>) {
    let http: Http<_, http_body_util::Full<bytes::Bytes>> = Http::builder(TokioExecutor::new()).build_http();
    let mut builder = http::Request::builder()
        .method(request.method().as_str())
        .uri(format!("{url}{}", request.path_and_query()));
    for (name, value) in request.to_headers() {
        builder = builder.header(name, value);
    }
    if let Some((name, value)) = extra {
        builder = builder.header(name, value);
    }
    let body = http_body_util::Full::new(bytes::Bytes::copy_from_slice(request.body()));
    let response = http.request(builder.body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

fn limited(answer: &(u16, http::HeaderMap, Vec<u8>)) -> Option<u32> {
    if answer.0 != 429 {
        return None;
    }
    let problem: Problem = serde_json::from_slice(&answer.2).unwrap();
    assert_eq!(problem.code, Code::RateLimited);
    let header: u32 = answer.1["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(problem.retry_after, Some(header));
    Some(header)
}

async fn status(url: &str, path: &str) -> u16 {
    let http: Http<_, Empty<bytes::Bytes>> = Http::builder(TokioExecutor::new()).build_http();
    http.get(format!("{url}{path}").parse().unwrap()).await.unwrap().status().as_u16()
}

fn enrol_bob(cluster: &mut Cluster) {
    for node in &mut cluster.configs {
        node.clients
            .push(config::Client { name: "bob".to_owned(), key: client_key(2).public_key().to_string() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_has_a_bucket_of_its_own() {
    let mut cluster = Cluster::prepare(1).await;
    enrol_bob(&mut cluster);
    cluster.configs[0].limits.requests_per_second = 2;
    cluster.configs[0].limits.requests_burst = 5;
    cluster.start_all().await;
    let url = cluster.url(0);
    let request = get_request("/v1/keys", CLIENT, 1);
    for nth in 0..5 {
        assert_eq!(ask(&url, &request, None).await.0, 200, "request {nth}");
    }
    let after = limited(&ask(&url, &request, None).await).expect("the sixth is too many");
    assert_eq!(after, 1);
    assert_eq!(ask(&url, &get_request("/v1/keys", "bob", 2), None).await.0, 200, "bob is another client");
    // Who takes alice's name without her key pays for himself.
    assert_eq!(ask(&url, &get_request("/v1/keys", "bob", 3), None).await.0, 401);
    tokio::time::sleep(Duration::from_secs(after.into())).await;
    assert_eq!(ask(&url, &request, None).await.0, 200, "after what `Retry-After` says");
    assert!(
        cluster.get(0, "/metrics").await.1.contains("quorate_requests_limited_total{whose=\"client\"} 1")
    );
}

/// A batch is taken however large it is, and its client pays for every item before it may ask again; the same batch again costs one request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_of_a_batch_is_paid_for() {
    let mut cluster = Cluster::prepare(2).await;
    enrol_bob(&mut cluster);
    for node in &mut cluster.configs {
        node.limits.requests_per_second = 10;
        node.limits.requests_burst = 20;
    }
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let item = SignItem { intent: message("again and again").intent, path: None };
    let batch = SignBatch { items: vec![item; 100], quorum: None };
    let (client, repeat) = (cluster.client(0), unique("batch"));
    let first = client.sign_batch(&key.id, &batch, &repeat, WAIT).await.unwrap();
    assert_eq!(first.status, OperationStatus::Succeeded);
    let url = cluster.url(0);
    let request = get_request("/v1/keys", CLIENT, 1);
    let after = limited(&ask(&url, &request, None).await).expect("a hundred were asked for");
    assert!((2..=9).contains(&after), "{after}");
    assert_eq!(ask(&url, &get_request("/v1/keys", "bob", 2), None).await.0, 200, "bob owes nothing");
    tokio::time::sleep(Duration::from_secs(after.into())).await;
    assert_eq!(ask(&url, &request, None).await.0, 200, "after what `Retry-After` says");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let again = client.sign_batch(&key.id, &batch, &repeat, WAIT).await.unwrap();
    assert_eq!(again.id, first.id);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(ask(&url, &request, None).await.0, 200, "nothing was signed, so nothing is owed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_limited_by_address_and_lock_no_client_out() {
    let mut cluster = Cluster::prepare(1).await;
    cluster.configs[0].limits.unsigned_per_second = 1;
    cluster.configs[0].limits.unsigned_burst = 6;
    cluster.start_all().await;
    let url = cluster.url(0);
    let strangers = [
        get_request("/v1/keys", "mallory", 1),
        get_request("/v1/keys", CLIENT, 9),
        get_request("/v1/nothing", CLIENT, 9),
    ];
    for stranger in &strangers[..2] {
        for _ in 0..2 {
            assert_eq!(ask(&url, stranger, None).await.0, 401);
        }
    }
    assert_eq!((status(&url, "/version").await, status(&url, "/metrics").await), (200, 200));
    for stranger in &strangers[..2] {
        assert!(limited(&ask(&url, stranger, None).await).is_some());
    }
    assert_eq!(status(&url, "/version").await, 429);
    assert_eq!(status(&url, "/healthz").await, 200, "who watches the process is not refused");
    assert_eq!(ask(&url, &get_request("/v1/keys", CLIENT, 1), None).await.0, 200, "from the same address");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_only_so_many_operations_that_have_not_ended() {
    let mut cluster = Cluster::prepare(2).await;
    enrol_bob(&mut cluster);
    for node in &mut cluster.configs {
        node.limits.max_pending_per_client = 2;
        node.limits.connect_grace = Duration::from_secs(3);
    }
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    cluster.stop(1).await;
    let url = cluster.url(0);
    // Each waits for the node that is not there.
    let begin = |client: &'static str, seed: u8, text: &str| {
        let request = sign_request(&key.id, &message(text), client, now() + 60, &unique("pending"));
        let path = request.path().to_owned();
        let request = quorate_api::Request::new(
            request.method(),
            path,
            client,
            request.expires(),
            request.idempotency_key(),
            request.body().to_vec(),
        );
        request.unwrap().sign(&client_key(seed))
    };
    let first = begin(CLIENT, 1, "one");
    assert_eq!(ask(&url, &first, None).await.0, 202);
    assert_eq!(ask(&url, &begin(CLIENT, 1, "two"), None).await.0, 202);
    let third = begin(CLIENT, 1, "three");
    assert!(limited(&ask(&url, &third, None).await).is_some());
    assert_eq!(ask(&url, &first, None).await.0, 202, "a repetition is no new operation");
    assert_eq!(ask(&url, &begin("bob", 2, "four"), None).await.0, 202);
    let listed =
        cluster.client(0).operations(&quorate_api::ListQuery { limit: 50, after: None }).await.unwrap();
    assert_eq!(listed.items.len(), 4, "what was refused left nothing behind");
    // They end, and there is room.
    let begun = Instant::now();
    while limited(&ask(&url, &third, None).await).is_some() {
        assert!(begun.elapsed() < Duration::from_secs(8));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_taken_over_or_made_and_comes_back() {
    let cluster = Cluster::start(1).await;
    let url = cluster.url(0);
    let mut cases = 0;
    for (given, taken) in [
        (Some("trace-0017.a_B"), true),
        (Some("has space"), false),
        (Some(&*"x".repeat(65)), false),
        (Some(""), false),
        (None, false),
    ] {
        for path in ["/v1/keys", "/v1/keys?limit=0", "/v1/nothing"] {
            let extra = given.map(|given| ("x-request-id", given));
            let (status, headers, body) = ask(&url, &get_request(path, CLIENT, 1), extra).await;
            let id = headers["x-request-id"].to_str().unwrap();
            match given {
                Some(given) if taken => assert_eq!(id, given),
                _ => assert!(id.starts_with("req_") && id.len() == 20, "{id}"),
            }
            if status != 200 {
                let problem: Problem = serde_json::from_slice(&body).unwrap();
                assert_eq!(problem.request_id.as_deref(), Some(id));
            }
            cases += 1;
        }
    }
    assert_eq!(cases, 15);
}

/// A node with room for one connection: whoever holds it and does nothing useful must lose it.
async fn with_one_place() -> (Cluster, SocketAddr) {
    let mut cluster = Cluster::prepare(1).await;
    let limits = &mut cluster.configs[0].limits;
    limits.max_connections = 1;
    limits.http_read = Duration::from_millis(400);
    limits.http_write = Duration::from_millis(400);
    limits.unsigned_burst = 1_000_000;
    cluster.start_all().await;
    let address = cluster.nodes[0].as_ref().unwrap().api_addr();
    (cluster, address)
}

/// The place is free again soon.
async fn is_served(address: SocketAddr, what: &str) {
    let asked = async {
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(b"GET /healthz HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
    };
    timeout(Duration::from_secs(10), asked).await.unwrap_or_else(|_| panic!("{what} holds its connection"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_lose_their_connection() {
    let (_cluster, address) = with_one_place().await;
    let mut cases = 0;

    let _silent = TcpStream::connect(address).await.unwrap();
    is_served(address, "a client that says nothing").await;
    cases += 1;

    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: n\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 512]).await.unwrap() > 0);
    is_served(address, "a client that has asked once and stays").await;
    cases += 1;

    // A byte now and then: of the head, of the body, of the answer.
    let head: &[u8] = b"GET /healthz HTTP/1.1\r\nx: ";
    let body: &[u8] =
        b"POST /v1/keys HTTP/1.1\r\nhost: n\r\nquorate-client: alice\r\ncontent-length: 1000\r\n\r\n";
    for (what, start) in [("a slow head", head), ("a slow body", body)] {
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(start).await.unwrap();
        let trickle = tokio::spawn(async move {
            while slow.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        is_served(address, what).await;
        trickle.abort();
        cases += 1;
    }
    for (what, reads) in [("a client that takes no answer", false), ("a slow reader", true)] {
        let slow = TcpStream::connect(address).await.unwrap();
        let (mut from, mut to) = slow.into_split();
        // Far more answers than the buffers of the system hold.
        let asking = tokio::spawn(async move {
            while to.write_all(&b"GET /metrics HTTP/1.1\r\nhost: n\r\n\r\n".repeat(64)).await.is_ok() {}
        });
        // Until nothing moves any more.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let reading = tokio::spawn(async move {
            while reads && from.read(&mut [0; 1]).await.is_ok_and(|read| read > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            from
        });
        is_served(address, what).await;
        asking.abort();
        reading.abort();
        cases += 1;
    }
    assert_eq!(cases, 6);
}

/// Who watches and does not read holds up nobody: neither those who sign nor the other watchers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_does_not_read_costs_nothing() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let mut deaf = Vec::new();
    for _ in 0..20 {
        deaf.push(crate::events::watch(&cluster, 0, Some(0)).await);
    }
    let mut reader = crate::events::watch(&cluster, 0, None).await;
    for nth in 0..20 {
        cluster.sign(0, &key.id, &format!("message {nth}")).await.unwrap();
        let told = reader.until(quorate_api::EventKind::OperationSucceeded).await;
        assert_eq!(told.len(), 3);
    }
}

/// Who asks waits for two admins.
const WAITS: &str = r#"
@id("create")
permit (principal, action == Action::"create_key", resource);

@id("sign")
@quorum("2 of Group::\"admins\"")
permit (principal, action == Action::"sign:message", resource);
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_of_a_tenant_share_what_it_may_begin() {
    let mut cluster = Cluster::prepare(2).await;
    for node in &mut cluster.configs {
        node.limits.max_pending_per_tenant = 3;
    }
    let member = |who: &str, seed: u8, of: &str| {
        [
            Step::AddPrincipal { name: name(who), kind: PrincipalKind::User, tenant: Some(name(of)) },
            Step::AddCredential {
                name: name(who),
                principal: name(who),
                with: client_key(seed).public_key().into(),
            },
        ]
    };
    let tenants = ["acme", "zeta"].map(|of| Step::AddTenant { name: name(of) });
    let people = [member("tina", 11, "acme"), member("tom", 13, "acme"), member("zoe", 12, "zeta")].concat();
    cluster.govern_with(&[("waits", WAITS)], [tenants.to_vec(), people].concat()).await;
    cluster.start_all().await;
    let client = |who: &str, seed: u8| cluster.client_as(0, who, seed);
    let create = create_key(Scheme::Ed25519, 2, Some(vec![Purpose::Message]));
    let mut keys = Vec::new();
    for (who, seed) in [("tina", 11), ("zoe", 12)] {
        let made = client(who, seed).create_key(&create, &unique("create"), WAIT).await.unwrap();
        keys.push(created(&made).id);
    }
    let ask = async |who: &str, seed: u8, key: usize| {
        let asked = client(who, seed).sign(&keys[key], &message("m"), &unique("sign"), Duration::ZERO).await;
        asked.map_err(problem)
    };
    let first = ask("tina", 11, 0).await.unwrap();
    ask("tina", 11, 0).await.unwrap();
    ask("tom", 13, 0).await.unwrap();
    for (who, seed) in [("tom", 13), ("tina", 11)] {
        let refused = ask(who, seed, 0).await.unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        assert!(refused.detail.contains("tenant `acme`"), "{}", refused.detail);
    }
    ask("zoe", 12, 1).await.unwrap();
    cluster.rule(0, "alice", "reject", &first).await.unwrap();
    ask("tom", 13, 0).await.unwrap();
    assert!(ask("tom", 13, 0).await.is_err());
}

//! The pre-sign hook, played by a small server of the test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quorate_api::intent::{Purpose, Scheme, build};
use quorate_api::webhook::{
    HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, KEYS_PATH, TOLERANCE, WebhookKey, WebhookKeys, verify,
};
use quorate_api::{Code, Key, Operation, OperationStatus, Problem, SignBatch, SignItem};
use quorate_node::config;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpListener;

use crate::cluster::{Cluster, WAIT, message, now, problem, unique};
use crate::governed::{create, sign, until};
use crate::webhooks::tls_acceptor;

/// What a hook does with a question.
#[derive(Clone, Debug)]
enum Does {
    /// Says this, with the hash of the question and a signature.
    Says(Value),
    /// The same, under another key.
    Forges,
    /// Signs one thing and sends another.
    Tampers,
    /// Says what it said to the first question.
    Replays,
    /// Has read another question.
    Misreads,
    /// Another status.
    Status(u16),
    /// More than is read.
    Floods,
    /// One byte every 100 ms.
    Dribbles,
    /// Nothing.
    Nothing,
    /// Closes at once.
    Hangs,
    /// Says yes after a while.
    Slow(Duration),
}

/// A question as it came.
#[derive(Clone, Debug)]
struct Asked {
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
    at: Instant,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Headers and body.
type Sent = (String, Vec<u8>);

#[derive(Clone)]
struct Hook {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    does: Arc<Mutex<Does>>,
    /// The first answer.
    first: Arc<Mutex<Option<Sent>>>,
}

fn hook_key() -> WebhookKey {
    WebhookKey::from_seed(&[42; 32])
}

fn yes() -> Does {
    Does::Says(json!({ "allow": true }))
}

impl Hook {
    async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            at: listener.local_addr().unwrap(),
            asked: Arc::default(),
            does: Arc::new(Mutex::new(does)),
            first: Arc::default(),
        };
        let hook = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(hook.clone().answer(stream));
            }
        });
        this
    }

    /// Answers over TLS too; gives the port.
    async fn secure(&self, acceptor: tokio_rustls::TlsAcceptor) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hook = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, hook) = (acceptor.clone(), hook.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        hook.answer(stream).await;
                    }
                });
            }
        });
        port
    }

    fn config(&self) -> Option<config::Presign> {
        Some(config::Presign {
            url: format!("http://{}/ask?token=s3cret", self.at),
            key: hook_key().public_key().to_string(),
            ca_file: None,
            timeout: Duration::from_secs(1),
        })
    }

    fn now_does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.asked().len()
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) {
        let mut text = Vec::new();
        let (head, body) = loop {
            let mut some = [0; 4096];
            let read = stream.read(&mut some).await.unwrap_or(0);
            if read == 0 {
                return;
            }
            text.extend_from_slice(&some[..read]);
            let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8(text[..end].to_vec()).unwrap();
            let length: usize = field(&head, "content-length").parse().unwrap();
            if text.len() >= end + 4 + length {
                break (head, text[end + 4..].to_vec());
            }
        };
        assert!(head.starts_with("POST /ask?token=s3cret HTTP/1.1"), "{head}");
        let asked = Asked {
            id: field(&head, HEADER_ID),
            timestamp: field(&head, HEADER_TIMESTAMP),
            signature: field(&head, HEADER_SIGNATURE),
            body,
            at: Instant::now(),
        };
        self.asked.lock().unwrap().push(asked.clone());
        let does = self.does.lock().unwrap().clone();
        let good = |mut said: Value| {
            said["question"] = hex::encode(Sha256::digest(&asked.body)).into();
            serde_json::to_vec(&said).unwrap()
        };
        let signed = |key: &WebhookKey, body: &[u8]| {
            let (id, time) = (&asked.id, now());
            let signature = key.sign(id, time, body);
            format!("{HEADER_ID}: {id}\r\n{HEADER_TIMESTAMP}: {time}\r\n{HEADER_SIGNATURE}: {signature}\r\n")
        };
        let allow = good(json!({ "allow": true }));
        let (status, headers, body) = match does {
            Does::Says(said) => {
                let body = good(said);
                (200, signed(&hook_key(), &body), body)
            }
            Does::Forges => (200, signed(&WebhookKey::from_seed(&[43; 32]), &allow), allow),
            Does::Tampers => (200, signed(&hook_key(), &good(json!({ "allow": false }))), allow),
            Does::Replays => {
                let (headers, body) = self.first.lock().unwrap().clone().unwrap();
                (200, headers, body)
            }
            Does::Misreads => {
                let body =
                    serde_json::to_vec(&json!({ "allow": true, "question": "00".repeat(32) })).unwrap();
                (200, signed(&hook_key(), &body), body)
            }
            Does::Status(status) => (status, signed(&hook_key(), &allow), allow),
            Does::Floods => {
                let body = good(json!({ "allow": true, "reason": "x".repeat(70_000) }));
                (200, signed(&hook_key(), &body), body)
            }
            Does::Slow(after) => {
                tokio::time::sleep(after).await;
                let body = good(json!({ "allow": true, "facts": { "texts": { "risk": "low" } } }));
                (200, signed(&hook_key(), &body), body)
            }
            Does::Nothing => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                return;
            }
            Does::Hangs => return,
            Does::Dribbles => (200, signed(&hook_key(), &allow), allow),
        };
        self.first.lock().unwrap().get_or_insert((headers.clone(), body.clone()));
        let location = "location: http://127.0.0.1:1/";
        let head =
            format!("HTTP/1.1 {status} x\r\n{location}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        let bytes = [head.into_bytes(), body].concat();
        if matches!(*self.does.lock().unwrap(), Does::Dribbles) {
            for byte in bytes {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            return;
        }
        stream.write_all(&bytes).await.unwrap_or_default();
    }
}

fn field(head: &str, name: &str) -> String {
    let value = |line: &str| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    };
    head.lines().find_map(value).unwrap_or_else(|| panic!("no {name} in {head}"))
}

/// Keys for everybody; signatures if the hook of the node that decides says `risk` is `low`, else with finance.
const BY_RISK: [(&str, &str); 3] = [
    ("keys", "@id(\"keys\") permit (principal, action == Action::\"create_key\", resource);"),
    (
        "low",
        "@id(\"low\") permit (principal, action in Action::\"sign\", resource) when {
           context.extra.texts.hasTag(\"risk\") && context.extra.texts.getTag(\"risk\") == \"low\" };",
    ),
    (
        "high",
        "@id(\"high\") @quorum(\"1 of Group::\\\"finance\\\"\") permit (principal, action in Action::\"sign\", resource);",
    ),
];

/// A governed cluster of three in which the nodes of `hooks` have one each.
async fn governed(hooks: &[Option<&Hook>; 3]) -> Cluster {
    let mut cluster = Cluster::prepare(3).await;
    for (config, hook) in cluster.configs.iter_mut().zip(hooks) {
        config.presign = hook.and_then(Hook::config);
    }
    cluster.govern(&BY_RISK).await;
    cluster.start_all().await;
    cluster
}

async fn begin(cluster: &Cluster, at: usize, who: &str, key: &Key) -> Result<Operation, Problem> {
    let asked = cluster.as_user(at, who).sign(&key.id, &message("m"), &unique("sign"), Duration::ZERO).await;
    asked.map_err(problem)
}

fn risk(level: &str) -> Does {
    Does::Says(json!({ "allow": true, "facts": { "texts": { "risk": level } } }))
}

/// What the hook says decides, at each node by its own hook; it is asked with everything that it must know, signed by the node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_of_the_hook_permits() {
    let (a, b, c) =
        (Hook::start(risk("low")).await, Hook::start(risk("low")).await, Hook::start(risk("low")).await);
    let cluster = governed(&[Some(&a), Some(&b), Some(&c)]).await;
    let key = create(&cluster, "alice").await;
    assert_eq!(a.count() + b.count() + c.count(), 0, "no question about keys");
    sign(&cluster, 0, "alice", &key).await.unwrap();
    // The node that was asked and one more signed, each after its own hook.
    assert_eq!(a.count(), 1);
    assert_eq!(b.count() + c.count(), 1);
    let published: WebhookKeys = serde_json::from_str(&cluster.get(0, KEYS_PATH).await.1).unwrap();
    let asked = a.asked().remove(0);
    let Asked { id, timestamp, signature, body, .. } = &asked;
    assert_eq!(verify(&published.keys, id, timestamp, signature, body, now(), TOLERANCE), Ok(()));
    let question = asked.json();
    assert_eq!(question["node"], "node-a");
    assert_eq!(question["cluster"], "test");
    assert_eq!(question["principal"], "alice");
    assert_eq!(question["action"], "sign:message");
    assert_eq!(question["key"], key.id.to_string());
    assert_eq!(question["facts"]["kind"], "message");
    assert_eq!(question["source"], "127.0.0.1");
    assert_eq!(question["nonce"].as_str().unwrap().len(), 64);
    assert_eq!(question["request_hash"].as_str().unwrap().len(), 64);
    assert!(question["summary"]["headline"].as_str().unwrap().contains("message"), "{question}");
    // One node alone is not talked into it: of the two quorums with node a, each has a node whose hook sees a risk.
    b.now_does(risk("high"));
    c.now_does(risk("high"));
    let waits = begin(&cluster, 0, "alice", &key).await;
    let shown = match waits {
        Ok(operation) => {
            cluster.as_user(0, "alice").operation(&operation.id, WAIT).await.unwrap().error.unwrap()
        }
        Err(problem) => problem,
    };
    assert!(shown.detail.contains("finance"), "{shown}");
    // Without a policy that looks, the facts of an own hook ask for people.
    a.now_does(risk("high"));
    let waits = begin(&cluster, 0, "alice", &key).await.unwrap();
    assert_eq!(waits.status, OperationStatus::PendingApproval);
    let metrics = cluster.get(0, "/metrics").await.1;
    assert!(metrics.contains("quorate_presign_questions_total{result=\"allowed\"} 3"), "{metrics}");
    assert!(metrics.contains("quorate_presign_seconds"), "{metrics}");
}

/// A batch is one question, about every item, and no hook can take the first item for all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_one_question() {
    let hook = Hook::start(yes()).await;
    let mut cluster = Cluster::prepare(2).await;
    cluster.configs[0].presign = hook.config();
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let item = |text: &str, path: Option<&str>| SignItem {
        intent: build::message(text.as_bytes()),
        path: path.map(|path| path.parse().unwrap()),
    };
    let batch = SignBatch { items: vec![item("one", None), item("two", Some("m/3"))], quorum: None };
    let sign = async || {
        let answer = cluster.client(0).sign_batch(&key.id, &batch, &unique("batch"), WAIT).await;
        answer.map(|operation| operation.status).map_err(problem)
    };
    assert_eq!(sign().await, Ok(OperationStatus::Succeeded));
    assert_eq!(hook.count(), 1);
    let question = hook.asked().remove(0).json();
    assert_eq!((&question["version"], &question["action"]), (&json!(2), &json!("sign:message")));
    for absent in ["facts", "path", "public_key"] {
        assert!(question.get(absent).is_none(), "{absent}");
    }
    let items = question["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["public_key"], json!(key.public_key));
    assert_eq!((&items[0]["path"], &items[1]["path"]), (&Value::Null, &json!("m/3")));
    assert_ne!(items[1]["public_key"], items[0]["public_key"]);
    for (item, text) in items.iter().zip(["one", "two"]) {
        assert!(item["summary"]["headline"].as_str().unwrap().contains(text), "{item}");
        assert_eq!(item["facts"]["text"], text);
    }
    hook.now_does(Does::Says(json!({ "allow": false, "reason": "not both" })));
    let refused = sign().await.unwrap_err();
    assert_eq!(refused.code, Code::PresignDenied);
    assert!(refused.detail.contains("not both"), "{}", refused.detail);
}

/// A no is shown with its reason, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_says_no_is_heard() {
    let a = Hook::start(yes()).await;
    let mut cluster = Cluster::prepare(2).await;
    cluster.configs[0].presign = a.config();
    cluster.start_all().await;
    // Without a directory a hook is a veto.
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    cluster.sign(0, &key.id, "fine").await.unwrap();
    let question = a.asked().remove(0).json();
    assert_eq!((question["client"].as_str(), question.get("principal")), (Some("alice"), None));
    a.now_does(Does::Says(json!({ "allow": false, "reason": "sanctions\u{1b}[2J list 7" })));
    let refused = cluster.sign(0, &key.id, "not").await.unwrap_err();
    assert_eq!(refused.code, Code::PresignDenied);
    assert!(refused.detail.contains("`node-a` does not allow it: sanctions[2J list 7"), "{}", refused.detail);
    assert!(!refused.code.retryable());
    // Nothing is stored of what was refused at once, and it is in the log.
    let listed = cluster.client(0).operations(&quorate_api::ListQuery::parse(None).unwrap()).await.unwrap();
    assert_eq!(listed.items.len(), 2);
    // As a member it refuses too, and the one who coordinates says who and why.
    let refused = cluster.sign(1, &key.id, "nor there").await.unwrap_err();
    assert_eq!(refused.code, Code::PresignDenied);
    assert!(refused.detail.contains("`node-a` refuses") && refused.detail.contains("sanctions"), "{refused}");
    let metrics = cluster.get(0, "/metrics").await.1;
    assert!(metrics.contains("quorate_presign_questions_total{result=\"denied\"} 2"), "{metrics}");
}

/// Whatever is no valid answer in time is a no, says what was wrong and where, and never what may be secret in the address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_and_everything_odd_is_a_no() {
    let a = Hook::start(yes()).await;
    let mut cluster = Cluster::prepare(2).await;
    cluster.configs[0].presign = a.config();
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    cluster.sign(0, &key.id, "fine").await.unwrap();
    let long = "x".repeat(1025);
    let cases: Vec<(Does, &str)> = vec![
        (Does::Nothing, "no answer within 1 s"),
        (Does::Slow(Duration::from_secs(2)), "no answer within 1 s"),
        (Does::Dribbles, "no answer within 1 s"),
        (Does::Hangs, "the exchange failed"),
        (Does::Status(302), "it answered 302"),
        (Does::Status(500), "it answered 500"),
        (Does::Status(204), "it answered 204"),
        (Does::Forges, "no signature of this delivery is by a known key"),
        (Does::Tampers, "no signature of this delivery is by a known key"),
        (Does::Replays, "another `webhook-id`"),
        (Does::Misreads, "the answer is to another question"),
        (Does::Floods, "longer than 65536 bytes"),
        (Does::Says(json!({})), "missing field `allow`"),
        (Does::Says(json!({ "allow": "yes" })), "the answer's body"),
        (
            Does::Says(json!({ "allow": true, "facts": { "texts": { "risk": 1 } } })),
            "the fact `risk` is not of the type",
        ),
        (Does::Says(json!({ "allow": true, "facts": { "texts": { "risk": long } } })), "the fact `risk`"),
        (Does::Says(json!({ "allow": true, "more": 1 })), "unknown field `more`"),
    ];
    let count = cases.len();
    for (does, words) in cases {
        a.now_does(does.clone());
        let begun = Instant::now();
        let refused = cluster.sign(0, &key.id, "m").await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(3), "{does:?}");
        assert_eq!(refused.code, Code::PresignFailed, "{does:?}: {refused}");
        assert!(refused.code.retryable());
        assert!(refused.detail.contains(words), "{does:?}: {refused}");
        assert!(refused.detail.contains(&a.at.to_string()), "{refused}");
        assert!(!refused.detail.contains("s3cret"), "{refused}");
    }
    let metrics = cluster.get(0, "/metrics").await.1;
    assert!(
        metrics.contains(&format!("quorate_presign_questions_total{{result=\"failed\"}} {count}")),
        "{metrics}"
    );
    // The same request again, once the hook is well.
    a.now_does(Does::Status(503));
    let once = unique("sign");
    let client = cluster.client(0);
    let failed = client.sign(&key.id, &message("again"), &once, WAIT).await.map_err(problem).unwrap_err();
    assert_eq!(failed.code, Code::PresignFailed);
    a.now_does(yes());
    let begun = Instant::now();
    while let Err(error) = client.sign(&key.id, &message("again"), &once, WAIT).await {
        assert_eq!(problem(error).code, Code::PresignFailed);
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// One hook of three is down: its node takes no part, the others do; what is asked of it is refused with a way out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_is_down_takes_its_node_out() {
    let (a, b, c) =
        (Hook::start(risk("low")).await, Hook::start(risk("low")).await, Hook::start(risk("low")).await);
    let mut cluster = governed(&[Some(&a), Some(&b), Some(&c)]).await;
    let key = create(&cluster, "alice").await;
    b.now_does(Does::Nothing);
    // Slower than a node may be that says nothing of its hook: the quorum waits for it.
    cluster.stop(0).await;
    cluster.configs[0].limits.answer_deadline = Duration::from_millis(300);
    cluster.start_all().await;
    let begun = Instant::now();
    let mut skipped = 0;
    for _ in 0..4 {
        let done = cluster.as_user(0, "alice").sign(&key.id, &message("m"), &unique("sign"), WAIT).await;
        let result = crate::cluster::signed(&done.unwrap());
        assert_eq!(result.quorum, ["node-a", "node-c"]);
        for one in &result.skipped {
            assert_eq!(one.party, "node-b");
            assert!(one.reason.contains("pre-sign hook of `node-b`"), "{}", one.reason);
            skipped += 1;
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
    let refused = sign(&cluster, 1, "alice", &key).await.unwrap_err();
    assert_eq!(refused.code, Code::PresignFailed);
    assert!(refused.detail.contains("`node-b` signs nothing without one: mend the hook"), "{refused}");
    assert!(skipped > 0, "node b was never asked");
    // With a second one down no quorum is left, and the answer says why.
    c.now_does(Does::Nothing);
    let refused = sign(&cluster, 0, "alice", &key).await.unwrap_err();
    assert!(refused.code.retryable(), "{refused}");
    assert!(
        refused.detail.contains("hook of `node-b`") && refused.detail.contains("hook of `node-c`"),
        "{refused}"
    );
    // A hook that needs longer than nodes may take to answer a proposal is waited for.
    b.now_does(Does::Slow(Duration::from_millis(700)));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    sign(&cluster, 0, "alice", &key).await.unwrap();
}

/// What waits for people is not asked about again and again, and is asked about anew when they have agreed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_is_asked_anew_when_people_have_agreed() {
    let a = Hook::start(risk("high")).await;
    let mut cluster = governed(&[Some(&a), None, None]).await;
    let key = create(&cluster, "alice").await;
    let waits = begin(&cluster, 0, "alice", &key).await.unwrap();
    assert_eq!(waits.status, OperationStatus::PendingApproval);
    for _ in 0..20 {
        cluster.as_user(0, "alice").operation(&waits.id, Duration::ZERO).await.unwrap();
    }
    assert_eq!(a.count(), 1, "looking asks nobody");
    tokio::time::sleep(Duration::from_millis(5500)).await;
    assert_eq!(a.count(), 1, "time alone asks nobody");
    // What the hook says by then is what counts.
    a.now_does(Does::Says(json!({ "allow": false, "reason": "the receiver was listed meanwhile" })));
    cluster.rule(0, "bob", "approve", &waits).await.unwrap();
    until(async || {
        let shown = cluster.as_user(0, "alice").operation(&waits.id, Duration::ZERO).await.unwrap();
        shown.status == OperationStatus::Rejected
    })
    .await;
    let ended =
        cluster.as_user(0, "alice").operation(&waits.id, Duration::ZERO).await.unwrap().error.unwrap();
    assert!(ended.detail.contains("the receiver was listed meanwhile"), "{ended}");
    assert_eq!(a.count(), 2);
    // And when it still allows it, it goes on by itself; a hook that fails just then is asked again later.
    a.now_does(risk("high"));
    let waits = begin(&cluster, 0, "alice", &key).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3200)).await;
    a.now_does(Does::Status(500));
    cluster.rule(0, "bob", "approve", &waits).await.unwrap();
    until(async || a.count() >= 4).await;
    let shown = cluster.as_user(0, "alice").operation(&waits.id, Duration::ZERO).await.unwrap();
    assert_eq!(shown.status, OperationStatus::PendingApproval);
    a.now_does(risk("high"));
    until(async || {
        let shown = cluster.as_user(0, "alice").operation(&waits.id, Duration::ZERO).await.unwrap();
        shown.status == OperationStatus::Succeeded
    })
    .await;
    assert!(a.count() <= 6, "{}", a.count());
    // While the hook is down a no is heard nevertheless, and counts as soon as the node can decide again.
    let waits = begin(&cluster, 0, "alice", &key).await.unwrap();
    assert_eq!(waits.status, OperationStatus::PendingApproval);
    cluster.stop(0).await;
    a.now_does(Does::Status(500));
    cluster.start_all().await;
    let approved = cluster.rule(0, "bob", "approve", &waits).await.unwrap_err();
    assert_eq!(approved.code, Code::PresignFailed);
    cluster.rule(0, "bob", "reject", &waits).await.unwrap();
    a.now_does(risk("low"));
    until(async || {
        let shown = cluster.as_user(0, "alice").operation(&waits.id, Duration::ZERO).await.unwrap();
        shown.status == OperationStatus::Rejected
    })
    .await;
    let times: Vec<Instant> = a.asked().iter().map(|asked| asked.at).collect();
    assert!(times.windows(2).all(|two| two[1] >= two[0]));
}

/// Many who ask for the same are one question, and a slow hook holds up nobody who does not need it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_bounded_and_hold_up_nobody_else() {
    let a = Hook::start(Does::Slow(Duration::from_millis(600))).await;
    let mut cluster = governed(&[Some(&a), None, None]).await;
    cluster.stop(0).await;
    // So that requests are decided one after the other.
    cluster.configs[0].breaker.signatures_per_hour = Some(1000);
    cluster.start_all().await;
    let key = create(&cluster, "alice").await;
    let once = unique("sign");
    let client = cluster.as_user(0, "alice");
    let ask = || async { client.sign(&key.id, &message("m"), &once, Duration::ZERO).await.map_err(problem) };
    let all = futures_util::future::join_all((0..20).map(|_| ask()));
    let others = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        create(&cluster, "bob").await;
        cluster.as_user(0, "alice").directory().await.unwrap();
        begun.elapsed()
    };
    let begun = Instant::now();
    let (asked, other) = tokio::join!(all, others);
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert!(other < Duration::from_secs(2), "{other:?}");
    assert_eq!(a.count(), 1);
    // Each request is a question of its own, and they do not wait for each other, although all are counted one after the other.
    let client = cluster.as_user(0, "alice");
    let begun = Instant::now();
    let eight = (0..8).map(|_| async {
        client.sign(&key.id, &message("m"), &unique("sign"), Duration::ZERO).await.map_err(problem).unwrap();
    });
    futures_util::future::join_all(eight).await;
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    assert!(a.count() >= 9);
}

/// A hook elsewhere must prove its name under an authority that is trusted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_elsewhere_must_prove_its_name() {
    let a = Hook::start(yes()).await;
    let folder = tempfile::tempdir().unwrap();
    let (certificate, acceptor) = tls_acceptor(folder.path());
    let port = a.secure(acceptor).await;
    let mut cluster = Cluster::prepare(2).await;
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let cases = [
        ("localhost", Some(certificate.clone()), true),
        ("localhost", None, false),
        ("127.0.0.1", Some(certificate), false),
    ];
    for (host, ca_file, good) in cases {
        cluster.stop(0).await;
        let hook = a.config().unwrap();
        let url = format!("https://{host}:{port}/ask?token=s3cret");
        cluster.configs[0].presign = Some(config::Presign { url, ca_file, ..hook });
        cluster.start_all().await;
        match cluster.sign(0, &key.id, "m").await {
            Ok(_) => assert!(good, "{host}"),
            Err(problem) => {
                assert!(!good, "{problem}");
                assert_eq!(problem.code, Code::PresignFailed);
                assert!(problem.detail.contains("cannot connect"), "{problem}");
            }
        }
    }
    assert_eq!(a.count(), 1, "who does not prove its name is told nothing");
}

/// The example of the book, as it stands there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_of_the_book_answers() {
    let mut cluster = Cluster::prepare(2).await;
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let keys: WebhookKeys = serde_json::from_str(&cluster.get(0, KEYS_PATH).await.1).unwrap();
    let book = include_str!("../../../../docs/presign.md");
    let (_, code) = book.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("hook.py");
    std::fs::write(&script, code).unwrap();
    let port = crate::cluster::free_address().port();
    // The environment of schemathesis has the package too.
    let beside = std::env::var_os("QUORATE_TEST_SCHEMATHESIS")
        .map(|tool| PathBuf::from(tool).with_file_name("python"));
    let python = beside.unwrap_or_else(|| "python3".into());
    let mut hook = tokio::process::Command::new(python)
        .arg(&script)
        .arg(folder.path().join("hook.key"))
        .arg(keys.keys[0].to_string())
        .arg(port.to_string())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(hook.stdout.take().unwrap()).lines();
    let line =
        lines.next_line().await.unwrap().expect("the example needs python3 and its package `cryptography`");
    let own = line.strip_prefix("key = \"").and_then(|line| line.strip_suffix('"')).unwrap().to_owned();
    cluster.stop(0).await;
    cluster.configs[0].presign = Some(config::Presign {
        url: format!("http://127.0.0.1:{port}/"),
        key: own,
        ca_file: None,
        timeout: Duration::from_secs(5),
    });
    cluster.start_all().await;
    until(async || cluster.sign(0, &key.id, "as in the book").await.is_ok()).await;
    let item = SignItem { intent: build::message(b"two of them"), path: None };
    let batch = SignBatch { items: vec![item; 2], quorum: None };
    until(async || cluster.client(0).sign_batch(&key.id, &batch, &unique("book"), WAIT).await.is_ok()).await;
}

//! The pre-sign hook, played by a small server of the test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::webhook::{
    HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, KEYS_PATH, TOLERANCE, WebhookKey, WebhookKeys, verify,
};
use quorate_api::{Code, Key, Operation, OperationStatus, Problem};
use quorate_node::config;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::{Cluster, WAIT, message, now, problem, unique};
use crate::governed::{create, sign, until};

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

#[derive(Clone)]
struct Hook {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    does: Arc<Mutex<Does>>,
    /// The headers and body of the first answer.
    first: Arc<Mutex<Option<(String, Vec<u8>)>>>,
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

    async fn answer(self, mut stream: TcpStream) {
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
                (200, signed(&hook_key(), &allow), allow)
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

//! Webhooks, received by a small server of the test.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::webhook::{
    HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, KEYS_PATH, TOLERANCE, WebhookError, WebhookKeys, verify,
};
use quorate_api::{Event, EventKind};
use quorate_node::config::Webhook;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::cluster::{Cluster, now};

/// A delivery as it came.
#[derive(Clone, Debug)]
struct Delivery {
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
    /// What it was answered.
    status: u16,
}

impl Delivery {
    fn event(&self) -> Event {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<Delivery>>>);

impl Received {
    fn all(&self) -> Vec<Delivery> {
        self.0.lock().unwrap().clone()
    }

    fn accepted(&self) -> Vec<Delivery> {
        self.all().into_iter().filter(|delivery| delivery.status == 200).collect()
    }

    /// Waits until an accepted delivery is of this kind.
    async fn until(&self, kind: EventKind) -> Delivery {
        let begun = Instant::now();
        loop {
            if let Some(found) = self.accepted().into_iter().find(|delivery| delivery.event().kind == kind) {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "no {kind} in {:?}", self.all());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Listens, and answers the n-th delivery, counted from 0, with what `answer` says; 0 is no answer at all.
async fn receiver(
    at: SocketAddr,
    answer: impl Fn(usize) -> u16 + Send + Sync + 'static,
) -> (SocketAddr, Received) {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Received::default();
    let (into, answer) = (received.clone(), Arc::new(answer));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(take(stream, into.clone(), Arc::clone(&answer)));
        }
    });
    (address, received)
}

async fn take<S>(mut stream: S, into: Received, answer: Arc<impl Fn(usize) -> u16 + Send + Sync + 'static>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut text = Vec::new();
    let (head, body) = loop {
        let mut some = [0; 4096];
        let read = stream.read(&mut some).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        text.extend_from_slice(&some[..read]);
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(text[..end].to_vec()).unwrap().to_lowercase();
        let length: usize = field(&head, "content-length").parse().unwrap();
        if text.len() >= end + 4 + length {
            let raw = String::from_utf8(text[..end].to_vec()).unwrap();
            break (raw, text[end + 4..].to_vec());
        }
    };
    assert!(head.starts_with("POST /hook?x=1 HTTP/1.1"), "{head}");
    assert_eq!(field(&head, "content-type"), "application/json");
    let status = {
        let mut all = into.0.lock().unwrap();
        let status = answer(all.len());
        let of = |name: &str| field(&head, name);
        let (id, timestamp, signature) = (of(HEADER_ID), of(HEADER_TIMESTAMP), of(HEADER_SIGNATURE));
        all.push(Delivery { id, timestamp, signature, body, status });
        status
    };
    if status == 0 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        return;
    }
    let answer = format!("HTTP/1.1 {status} x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap_or_default();
}

fn field(head: &str, name: &str) -> String {
    let value = |line: &str| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    };
    head.lines().find_map(value).unwrap_or_else(|| panic!("no {name} in {head}"))
}

fn hook(address: SocketAddr, events: &[&str]) -> Webhook {
    Webhook {
        url: format!("http://{address}/hook?x=1"),
        events: events.iter().map(|name| (*name).to_owned()).collect(),
        timeout: Duration::from_millis(300),
        first_retry: Duration::from_millis(50),
        longest_retry: Duration::from_millis(100),
        ..Webhook::default()
    }
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_signed_and_only_those_that_were_chosen() {
    let mut cluster = Cluster::prepare(2).await;
    let (all_at, all) = receiver(any(), |_| 200).await;
    let (some_at, some) = receiver(any(), |_| 200).await;
    cluster.configs[0].webhooks = vec![hook(all_at, &[]), hook(some_at, &["operation.succeeded", "key.*"])];
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    cluster.sign(0, &key.id, "told").await.unwrap();
    all.until(EventKind::NodeStarted).await;
    let (status, published) = cluster.get(0, KEYS_PATH).await;
    assert_eq!(status, 200);
    let published: WebhookKeys = serde_json::from_str(&published).unwrap();
    assert_eq!(published.identity, cluster.identities[0].to_string());
    // Two operations end.
    let begun = Instant::now();
    let ended = |received: &Received| {
        let kinds = received.accepted().into_iter().map(|delivery| delivery.event().kind);
        kinds.filter(|kind| *kind == EventKind::OperationSucceeded).count()
    };
    while ended(&all) < 2 || ended(&some) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut cases = 0;
    for delivery in all.accepted().iter().chain(&some.accepted()) {
        let check = |delivery: &Delivery, at: u64| {
            let Delivery { id, timestamp, signature, body, .. } = delivery;
            verify(&published.keys, id, timestamp, signature, body, at, TOLERANCE)
        };
        assert_eq!(check(delivery, now()), Ok(()));
        assert_eq!(check(delivery, now() + 2 * TOLERANCE), Err(WebhookError::Timestamp), "a replay");
        let changed = Delivery { id: format!("{}0", delivery.id), ..delivery.clone() };
        assert_eq!(check(&changed, now()), Err(WebhookError::Signature));
        cases += 1;
    }
    assert!(cases > 10, "{cases}");
    let chosen: BTreeSet<EventKind> = some.accepted().iter().map(|delivery| delivery.event().kind).collect();
    assert!(
        chosen.len() >= 2
            && chosen
                .iter()
                .all(|kind| { *kind == EventKind::OperationSucceeded || kind.as_str().starts_with("key.") }),
        "{chosen:?}"
    );
    let metrics = cluster.get(0, "/metrics").await.1;
    assert!(metrics.contains("quorate_webhook_tries_total{") && metrics.contains("result=\"delivered\""));
    // The other node has another key.
    let other: WebhookKeys = serde_json::from_str(&cluster.get(1, KEYS_PATH).await.1).unwrap();
    assert_ne!(other.keys, published.keys);
}

/// Errors, redirects and silence are tried again, under the same id; what says that it is gone is not, nor is anything for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_taken_is_tried_again_and_not_for_ever() {
    let mut cluster = Cluster::prepare(1).await;
    let (at, retried) = receiver(any(), |nth| [500, 302, 0, 404, 200][nth.min(4)]).await;
    let (gone_at, gone) = receiver(any(), |_| 410).await;
    let (never_at, never) = receiver(any(), |_| 503).await;
    cluster.configs[0].webhooks = vec![
        hook(at, &["node.started"]),
        hook(gone_at, &["node.started"]),
        Webhook { attempts: 3, ..hook(never_at, &["node.started"]) },
    ];
    cluster.start_all().await;
    let taken = retried.until(EventKind::NodeStarted).await;
    let tries = retried.all();
    assert_eq!(tries.iter().map(|delivery| delivery.status).collect::<Vec<_>>(), [500, 302, 0, 404, 200]);
    assert!(tries.iter().all(|delivery| (&delivery.id, &delivery.body) == (&taken.id, &taken.body)));
    let begun = Instant::now();
    while never.all().len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((gone.all().len(), never.all().len()), (1, 3));
    let metrics = cluster.get(0, "/metrics").await.1;
    assert_eq!(
        metrics.lines().filter(|line| line.contains("result=\"given_up\"") && line.ends_with(" 1")).count(),
        2
    );
}

/// What waited when the node stopped is delivered after it started again, once the receiver is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_survives_a_restart() {
    let mut cluster = Cluster::prepare(1).await;
    let (at, dropped) = receiver(any(), |_| 503).await;
    // Nobody listens there yet.
    let free = TcpListener::bind(any()).await.unwrap().local_addr().unwrap();
    cluster.configs[0].webhooks = vec![
        Webhook { attempts: 32, ..hook(free, &["node.*"]) },
        Webhook { attempts: 32, ..hook(at, &["node.*"]) },
    ];
    cluster.start_all().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.stop(0).await;
    // A receiver that is not configured any more gets nothing of what waited for it.
    cluster.configs[0].webhooks.pop();
    let before = dropped.all();
    let (_, received) = receiver(free, |_| 200).await;
    cluster.start_all().await;
    let begun = Instant::now();
    let starts = || {
        let starts = received.accepted().into_iter().filter(|d| d.event().kind == EventKind::NodeStarted);
        starts.map(|delivery| delivery.event().id).collect::<BTreeSet<_>>()
    };
    while starts().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", received.all());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!before.is_empty());
    assert_eq!(dropped.all().len(), before.len());
}

/// A certificate for `localhost`, made by openssl, and who shows it.
pub(crate) fn tls_acceptor(folder: &Path) -> (PathBuf, tokio_rustls::TlsAcceptor) {
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let openssl = std::env::var_os("QUORATE_TEST_OPENSSL").unwrap_or_else(|| "openssl".into());
    let made = std::process::Command::new(openssl)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=receiver", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let chain = vec![CertificateDer::from_pem_file(&certificate).unwrap()];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap().with_no_client_auth();
    let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(&key).unwrap()).unwrap();
    (certificate, tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}

/// A server that shows such a certificate.
async fn tls_receiver(folder: &Path) -> (u16, PathBuf, Received) {
    let (certificate, acceptor) = tls_acceptor(folder);
    let listener = TcpListener::bind(any()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Received::default();
    let into = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, into) = (acceptor.clone(), into.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    take(stream, into, Arc::new(|_| 200)).await;
                }
            });
        }
    });
    (port, certificate, received)
}

/// Over TLS, to who proves the name under a trusted authority, and to nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_elsewhere_must_prove_their_name() {
    let mut cluster = Cluster::prepare(1).await;
    let folder = tempfile::tempdir().unwrap();
    let (port, certificate, received) = tls_receiver(folder.path()).await;
    let tls = |host: &str, ca_file: Option<PathBuf>| Webhook {
        url: format!("https://{host}:{port}/hook?x=1"),
        ca_file,
        attempts: 2,
        ..hook(any(), &["node.started"])
    };
    // Not trusted; trusted, but another name.
    cluster.configs[0].webhooks = vec![tls("localhost", None), tls("127.0.0.1", Some(certificate.clone()))];
    cluster.start_all().await;
    let begun = Instant::now();
    loop {
        let metrics = cluster.get(0, "/metrics").await.1;
        if metrics.lines().filter(|line| line.contains("result=\"given_up\"")).count() == 2 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{metrics}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(received.all().is_empty());
    cluster.stop(0).await;
    cluster.configs[0].webhooks = vec![tls("localhost", Some(certificate))];
    cluster.start_all().await;
    received.until(EventKind::NodeStarted).await;
}

//! The stream of events, over HTTP.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, Event, EventKind, OperationId, Problem, SignedRequest};
use tokio::time::timeout;

use crate::cluster::{CLIENT, Cluster, WAIT, get_request, message, unique};

const SOON: Duration = Duration::from_secs(5);

/// An open stream.
pub(crate) struct Stream {
    body: hyper::body::Incoming,
    text: String,
}

type Refused = (u16, Option<String>, Problem);

/// Opens the stream of a node, after an event if one is named.
pub(crate) async fn open(url: &str, request: &SignedRequest, after: Option<&str>) -> Result<Stream, Refused> {
    let http: Http<_, Empty<bytes::Bytes>> = Http::builder(TokioExecutor::new()).build_http();
    let mut builder = http::Request::builder().uri(format!("{url}{}", request.path_and_query()));
    for (name, value) in request.to_headers() {
        builder = builder.header(name, value);
    }
    if let Some(after) = after {
        builder = builder.header("Last-Event-ID", after);
    }
    let response = http.request(builder.body(Empty::new()).unwrap()).await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, retry, content) =
        (response.status().as_u16(), header("retry-after"), header("content-type").unwrap());
    if status != 200 {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        return Err((status, retry, serde_json::from_slice(&body).unwrap()));
    }
    assert_eq!(content, "text/event-stream");
    Ok(Stream { body: response.into_body(), text: String::new() })
}

pub(crate) async fn watch(cluster: &Cluster, at: usize, after: Option<u64>) -> Stream {
    let after = after.map(|after| after.to_string());
    open(&cluster.url(at), &get_request("/v1/events", CLIENT, 1), after.as_deref()).await.unwrap()
}

/// All events that a node still has, from its start on.
pub(crate) async fn kept(cluster: &Cluster, at: usize) -> Vec<Event> {
    kept_for(cluster, at, CLIENT, 1).await
}

/// The same as another client sees them.
pub(crate) async fn kept_for(cluster: &Cluster, at: usize, client: &str, seed: u8) -> Vec<Event> {
    let request = get_request("/v1/events", client, seed);
    let mut stream = open(&cluster.url(at), &request, Some("0")).await.unwrap();
    let mut all = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_millis(300), stream.next()).await {
        all.push(event);
    }
    assert_eq!(all.first().unwrap().kind, EventKind::Gap, "0 is no place of this node");
    all.remove(0);
    all
}

impl Stream {
    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned());
                    block.lines().find_map(value)
                };
                let Some(data) = field("data") else { continue };
                let event: Event = serde_json::from_str(&data).unwrap();
                assert_eq!(field("id").unwrap(), event.id.to_string());
                assert_eq!(field("event").unwrap(), event.kind.as_str());
                return Some(event);
            }
            let frame = self.body.frame().await?.ok()?;
            self.text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    }

    /// Events up to the first of a kind.
    pub(crate) async fn until(&mut self, kind: EventKind) -> Vec<Event> {
        let mut all = Vec::new();
        while all.last().is_none_or(|event: &Event| event.kind != kind) {
            let next = timeout(SOON, self.next()).await;
            let next = next.unwrap_or_else(|_| panic!("no {kind} after {all:?}"));
            all.push(next.unwrap_or_else(|| panic!("the stream ended before {kind}, after {all:?}")));
        }
        all
    }
}

fn kinds(events: &[Event], operation: &OperationId) -> Vec<EventKind> {
    events.iter().filter(|e| e.operation.as_ref() == Some(operation)).map(|e| e.kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_told_in_order_by_every_node_that_sees_it() {
    let cluster = Cluster::start(3).await;
    let mut streams = Vec::new();
    for at in 0..3 {
        streams.push(watch(&cluster, at, None).await);
    }
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let (mut operations, mut requests) = (Vec::new(), Vec::new());
    for (at, stream) in streams.iter_mut().enumerate() {
        let mut events = stream.until(EventKind::OperationSucceeded).await;
        if events.iter().all(|event| event.kind != EventKind::KeyActive) {
            events.extend(stream.until(EventKind::KeyActive).await);
        }
        let created = events.iter().find(|event| event.kind == EventKind::OperationCreated).unwrap();
        let operation = created.operation.clone().unwrap();
        let told = kinds(&events, &operation);
        let [first, .., last] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((*first, *last), (EventKind::OperationCreated, EventKind::OperationSucceeded));
        assert!(told.contains(&EventKind::OperationRunning));
        for kind in [EventKind::KeyCreating, EventKind::KeyActive] {
            let of_key = events.iter().filter(|event| event.kind == kind);
            assert_eq!(of_key.filter(|event| event.key.as_ref() == Some(&key.id)).count(), 1, "{kind}");
        }
        assert!(events.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert!(events.iter().all(|event| event.node == format!("node-{}", ["a", "b", "c"][at])));
        // Every node names the client's request.
        requests.push(created.request_id.clone().unwrap());
        let request = |event: &Event| event.operation.is_some() && event.request_id == created.request_id;
        assert!(events.iter().filter(|event| event.operation.is_some()).all(request), "{events:?}");
        operations.push(operation);
    }
    operations.dedup();
    requests.dedup();
    assert_eq!((operations.len(), requests.len()), (1, 1), "one id at all nodes: {requests:?}");
    let result = cluster.sign(0, &key.id, "told").await.unwrap();
    assert_eq!(result.quorum, ["node-a", "node-b"]);
    for stream in &mut streams[..2] {
        let events = stream.until(EventKind::OperationSucceeded).await;
        let wanted =
            [EventKind::OperationCreated, EventKind::OperationRunning, EventKind::OperationSucceeded];
        assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), wanted);
        assert!(events.iter().all(|event| event.key.as_ref() == Some(&key.id)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_where_it_broke_off() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let mut stream = watch(&cluster, 0, None).await;
    cluster.sign(0, &key.id, "one").await.unwrap();
    let last = stream.until(EventKind::OperationSucceeded).await.pop().unwrap();
    drop(stream);
    cluster.sign(0, &key.id, "two").await.unwrap();
    let missed = watch(&cluster, 0, Some(last.id)).await.until(EventKind::OperationSucceeded).await;
    assert_eq!(missed.len(), 3, "{missed:?}");
    assert_eq!(missed[0].id, last.id + 1);
    // A place of another node, of another time: said, then everything that is kept.
    for stranger in [1, last.id + 1_000_000] {
        let events = watch(&cluster, 0, Some(stranger)).await.until(EventKind::OperationSucceeded).await;
        assert_eq!((events[0].kind, events[0].after), (EventKind::Gap, Some(stranger)));
        assert!(events.iter().any(|event| event.kind == EventKind::NodeStarted));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_clients_may_watch_and_only_so_many() {
    let mut cluster = Cluster::prepare(1).await;
    cluster.configs[0].limits.max_event_streams = 2;
    cluster.start_all().await;
    let url = cluster.url(0);
    let get = |client: &str, seed: u8| get_request("/v1/events", client, seed);
    let mut cases = 0;
    for (request, after, code) in [
        (get("mallory", 1), None, Code::UnknownClient),
        (get(CLIENT, 2), None, Code::SignatureInvalid),
        (get(CLIENT, 1), Some("x"), Code::InvalidRequest),
        (get(CLIENT, 1), Some("-1"), Code::InvalidRequest),
        (get(CLIENT, 1), Some("99999999999999999999999"), Code::InvalidRequest),
        (get_request("/v1/events?x=1", CLIENT, 1), None, Code::InvalidRequest),
    ] {
        let (status, _, problem) = open(&url, &request, after).await.err().unwrap();
        assert_eq!((problem.code, status), (code, code.status()), "{after:?}");
        cases += 1;
    }
    assert_eq!(cases, 6);
    let one = open(&url, &get(CLIENT, 1), None).await.ok().unwrap();
    let _two = open(&url, &get(CLIENT, 1), None).await.ok().unwrap();
    let (status, retry, problem) = open(&url, &get(CLIENT, 1), None).await.err().unwrap();
    assert_eq!((status, problem.code), (429, Code::RateLimited));
    assert_eq!(retry, problem.retry_after.map(|seconds| seconds.to_string()));
    assert!(retry.is_some());
    drop(one);
    let begun = Instant::now();
    while open(&url, &get(CLIENT, 1), None).await.is_err() {
        assert!(begun.elapsed() < SOON, "the place of a stream that ended is not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_and_the_node_itself_are_told_of_and_a_shutdown_ends_streams_at_once() {
    let mut cluster = Cluster::start(2).await;
    // What comes and goes between two looks is not told, so the first connection is awaited.
    let mut stream = watch(&cluster, 0, Some(0)).await;
    stream.until(EventKind::PeerUp).await;
    cluster.stop(1).await;
    let down = stream.until(EventKind::PeerDown).await.pop().unwrap();
    assert_eq!(down.peer.as_deref(), Some("node-b"));
    cluster.start_node(1).await;
    let up = stream.until(EventKind::PeerUp).await.pop().unwrap();
    assert_eq!(up.peer.as_deref(), Some("node-b"));
    let begun = Instant::now();
    let stopping = tokio::spawn(async move {
        let last = stream.until(EventKind::NodeStopping).await.pop().unwrap();
        (last.kind, timeout(SOON, stream.next()).await.unwrap().is_none(), Instant::now())
    });
    cluster.stop(0).await;
    let (kind, ended, when) = stopping.await.unwrap();
    assert_eq!((kind, ended), (EventKind::NodeStopping, true));
    assert!(when - begun < Duration::from_secs(1), "the stream ended after {:?}", when - begun);
}

/// What nobody can do is told as what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_with_its_reason() {
    let mut cluster = Cluster::start(2).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    cluster.stop(1).await;
    let mut stream = watch(&cluster, 0, None).await;
    let refused = cluster.client(0).sign(&key.id, &message("alone"), &unique("alone"), WAIT).await;
    assert!(refused.is_err());
    let failed = stream.until(EventKind::OperationFailed).await.pop().unwrap();
    assert_eq!(failed.code, Some(Code::NotEnoughParties));
    assert!(failed.detail.unwrap().contains("node-b"));
}

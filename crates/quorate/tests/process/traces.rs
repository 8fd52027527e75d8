//! Traces reach a collector: one operation can be followed over the nodes by its id.

use crate::support::{CLIENT, Cluster, create, fresh, get};
use quorate_api::intent::Scheme;
use quorate_api::{ClientKey, Method, Request};
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Batches = Arc<Mutex<Vec<Vec<u8>>>>;

/// Takes what is posted to `/v1/traces`, and understands none of it.
fn collector() -> (SocketAddr, Batches) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let batches = Batches::default();
    let into = Arc::clone(&batches);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let into = Arc::clone(&into);
            std::thread::spawn(move || take(stream, &into));
        }
    });
    (address, batches)
}

fn take(mut stream: TcpStream, into: &Batches) {
    let mut bytes = Vec::new();
    let mut some = [0; 16 * 1024];
    loop {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4);
        if let Some(end) = head {
            let text = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let length: usize = field("content-length:").unwrap().parse().unwrap();
            if bytes.len() >= end + length {
                assert!(text.starts_with("post /v1/traces http/1.1"), "{text}");
                assert_eq!(field("content-type:"), Some("application/x-protobuf"));
                into.lock().unwrap().push(bytes[end..end + length].to_vec());
                bytes.drain(..end + length);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").unwrap();
                continue;
            }
        }
        match stream.read(&mut some) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&some[..read]),
        }
    }
}

/// One batch is one node's: its resource stands in front.
fn is_of(batch: &[u8], name: &str) -> bool {
    let mut instance = b"service.instance.id\x12".to_vec();
    instance.extend([u8::try_from(name.len() + 2).unwrap(), 0x0a, u8::try_from(name.len()).unwrap()]);
    instance.extend(name.as_bytes());
    batch.windows(instance.len()).any(|part| part == instance)
}

fn holds(batch: &[u8], what: &str) -> bool {
    batch.windows(what.len()).any(|part| part == what.as_bytes())
}

#[test]
fn an_operation_is_traced_over_its_nodes() {
    let (address, batches) = collector();
    let telemetry = format!("[telemetry]\notlp_endpoint = \"http://{address}\"");
    let mut cluster = Cluster::start(&telemetry);
    let key = cluster.create(0, Scheme::Ed25519);
    let operation = cluster.must_sign(0, &key, Some(&["a", "b"]));
    assert!(get(cluster.nodes[0].api, "/version").unwrap().to_lowercase().contains("\r\nx-request-id: req_"));
    // A node sends what it has when it ends, if not before.
    for node in &mut cluster.nodes {
        let (status, took) = node.stop();
        assert_eq!(status.code(), Some(0), "{}", node.log());
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    let id = operation.id.as_str();
    let traced_by = |name: &str| {
        let all = batches.lock().unwrap();
        let of_node = all.iter().filter(|batch| is_of(batch, name));
        of_node
            .filter(|batch| holds(batch, id) && holds(batch, "ceremony") && holds(batch, "frost-ed25519"))
            .count()
    };
    let begun = Instant::now();
    while traced_by("a") == 0 || traced_by("b") == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "a {}, b {}, batches {}",
            traced_by("a"),
            traced_by("b"),
            batches.lock().unwrap().len()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(traced_by("c"), 0, "it did not take part");
    let all = batches.lock().unwrap();
    assert!(all.iter().all(|batch| !batch.is_empty()));
    assert!(all.iter().any(|batch| holds(batch, "request_id") && holds(batch, "req_")));
}

/// Creates a key over HTTP, as part of a trace of the client's own.
fn create_within(cluster: &Cluster, id: &str, trace: &str) {
    let key = ClientKey::from_pem(&fs::read_to_string(cluster.client_key()).unwrap()).unwrap();
    let body = serde_json::to_vec(&create(Scheme::Ed25519)).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let request = Request::new(Method::Post, "/v1/keys?wait=40s", CLIENT, now + 60, fresh(), body.clone());
    let request = request.unwrap().sign(&key);
    let mut stream = TcpStream::connect(cluster.nodes[0].api).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(50))).unwrap();
    let mut text = "POST /v1/keys?wait=40s HTTP/1.1\r\nhost: node\r\nconnection: close\r\n".to_owned();
    for (name, value) in request.to_headers() {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!(
        "x-request-id: {id}\r\ntraceparent: {trace}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    stream.write_all(&[text.as_bytes(), &body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_lowercase().contains(&format!("x-request-id: {id}")), "{answer}");
}

/// covers: one request id, and the trace of the client, on every node that works for a request.
#[test]
fn a_request_has_one_name_on_every_node() {
    let (address, batches) = collector();
    let mut cluster = Cluster::start(&format!(
        "[telemetry]\notlp_endpoint = \"http://{address}\"\n[log]\nformat = \"json\""
    ));
    let (id, trace) = ("client-7.create_x", "4bf92f3577b34da6a3ce929d0e0e4736");
    // The client does not look at this one of its traces; the nodes show what they do all the same.
    create_within(&cluster, id, &format!("00-{trace}-00f067aa0ba902b7-00"));
    let mut logged = 0;
    for node in &mut cluster.nodes {
        node.stop();
        // In the lines for people and programs that read them.
        let lines = node.log();
        let line = lines.lines().find(|line| line.contains("key is active"));
        let line: Value = serde_json::from_str(line.unwrap_or_else(|| panic!("{lines}"))).unwrap();
        let spans = line["spans"].as_array().unwrap();
        assert!(spans.iter().any(|span| span["request_id"] == id), "{}: {line}", node.name);
        logged += 1;
    }
    assert_eq!(logged, 3);
    // In the spans that are exported: under the same name, and in the trace of the client.
    let trace: Vec<u8> = hex::decode(trace).unwrap();
    let all = batches.lock().unwrap();
    for name in ["a", "b", "c"] {
        let of_node: Vec<&Vec<u8>> = all.iter().filter(|batch| is_of(batch, name)).collect();
        let named = of_node.iter().filter(|batch| holds(batch, id) && holds(batch, "ceremony"));
        let traced = named.filter(|batch| batch.windows(16).any(|bytes| bytes == trace)).count();
        assert!(traced > 0, "{name}: {} batches", of_node.len());
    }
}

/// A collector that is not there costs nothing but the traces.
#[test]
fn a_missing_collector_holds_nobody_up() {
    let telemetry = format!("[telemetry]\notlp_endpoint = \"http://{}\"", crate::support::port());
    let mut cluster = Cluster::start(&telemetry);
    let key = cluster.create(0, Scheme::Ed25519);
    let begun = Instant::now();
    for _ in 0..20 {
        cluster.must_sign(0, &key, None);
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    for node in &mut cluster.nodes {
        let (status, took) = node.stop();
        assert_eq!(status.code(), Some(0), "{}", node.log());
        assert!(took < Duration::from_secs(12), "{took:?}");
    }
}

//! A node for the tests: takes only requests that are signed by the enrolled client, and answers as it is told.

use http::{HeaderMap, HeaderName, HeaderValue};
use quorate_api::{ClientPublicKey, Problem, SignedRequest, verify_request};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// Status and body of an answer.
pub(crate) type Answer = (u16, String);

/// A running node and what it was asked.
pub(crate) struct FakeNode {
    pub(crate) url: String,
    pub(crate) requests: Arc<Mutex<Vec<SignedRequest>>>,
}

/// The problem as an answer.
pub(crate) fn problem(problem: &Problem) -> Answer {
    (problem.status(), String::from_utf8(problem.to_json()).unwrap())
}

impl FakeNode {
    /// Starts a node that verifies each request under `key` and lets `answer` answer it.
    pub(crate) fn start(
        name: &'static str,
        key: ClientPublicKey,
        answer: impl Fn(&SignedRequest) -> Answer + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
                let lookup = |client: &str| Some(key.clone().into()).filter(|_| client == name);
                let (status, body) = match verify_request(&request, lookup, now, 3600) {
                    Ok(()) => answer(&request),
                    Err(error) => problem(&error.into()),
                };
                seen.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).unwrap();
            }
        });
        Self { url, requests }
    }
}

fn read(stream: &TcpStream) -> Option<SignedRequest> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split_whitespace();
    let (method, uri) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let mut headers = HeaderMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?);
    }
    let length = headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(SignedRequest::from_http_parts(&method, &uri, &headers, body).unwrap())
}

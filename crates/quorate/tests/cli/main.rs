//! The real binary: exit codes, output and the files it writes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod node;

use node::{Answer, FakeNode, problem};
use quorate_api::{ClientKey, Code, Method, Problem, SignedRequest};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

const KEY: &str = "key_0123456789abcdef0123456789abcdef";
const OP: &str = "op_0123456789abcdef0123456789abcdef";

/// A folder with a client key named `alice`.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: TempDir::new().unwrap() };
        let made = bench.quorate(&["client", "keygen", "--name", "alice", "--out", &bench.path("alice.pem")]);
        assert_eq!(code(&made), 0, "{}", stderr(&made));
        bench
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn quorate(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUORATE")) {
            command.env_remove(name);
        }
        command.env("QUORATE_CONTEXTS", self.path("contexts.toml")).args(arguments).output().unwrap()
    }

    fn node(&self, answer: impl Fn(&SignedRequest) -> Answer + Send + 'static) -> FakeNode {
        let pem = fs::read_to_string(self.path("alice.pem")).unwrap();
        FakeNode::start("alice", ClientKey::from_pem(&pem).unwrap().public_key(), answer)
    }

    fn at(&self, node: &FakeNode, arguments: &[&str]) -> Output {
        let key = self.path("alice.pem");
        let connection = ["--node", &node.url, "--client", "alice", "--client-key", &key];
        self.quorate(&[arguments, &connection].concat())
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn key() -> Value {
    json!({
        "id": KEY, "scheme": "ed25519", "status": "active", "threshold": 2, "parties": ["a", "b", "c"],
        "access": "2 of (a, b, c)", "quorums": [["a", "b"], ["a", "c"], ["b", "c"]], "more_quorums": false,
        "public_key": "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "addresses": [{ "chain": "solana", "kind": "account", "address": "5555" }],
        "purposes": ["solana"], "epoch": 1, "label": "treasury", "created_at": 1, "acts": 0
    })
}

fn operation(kind: &str, status: &str) -> Value {
    json!({ "id": OP, "kind": kind, "status": status, "key": KEY, "created_at": 1, "updated_at": 1 })
}

fn created() -> Value {
    let mut operation = operation("create_key", "succeeded");
    operation["result"] = json!({
        "kind": "create_key", "key": key(),
        "figures": { "rounds": 4, "bytes_sent": 10, "bytes_received": 20, "ms": 30 }
    });
    operation
}

/// RFC 8032, 7.1, test 2, as the result of signing.
fn signed() -> Value {
    let mut operation = operation("sign", "succeeded");
    operation["result"] = json!({
        "kind": "sign", "key": KEY, "scheme": "ed25519",
        "signatures": [{
            "public_key": "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "message": "72",
            "signature": "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        }],
        "summary": { "headline": "sign the message \"r\"", "details": [], "warnings": [], "blind": false, "transfers": [] },
        "quorum": ["a", "c"], "skipped": [{ "party": "b", "reason": "not connected" }],
        "figures": {
            "rounds": 2, "bytes_sent": 10, "bytes_received": 20, "ms": 30,
            "steps": [{
                "protocol": "frost-sign", "round": 1, "name": "commit", "ms": 1, "bytes_sent": 4, "bytes_received": 5
            }]
        }
    });
    operation
}

#[test]
fn wrong_usage_ends_with_2() {
    let bench = Bench::new();
    let open = bench.path("open.pem");
    fs::copy(bench.path("alice.pem"), &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let no_key = bench.path("no.pem");
    let alice = bench.path("alice.pem");
    let cases: Vec<Vec<&str>> = vec![
        vec![],
        vec!["frobnicate"],
        vec!["key"],
        vec!["key", "list", "--limit", "0"],
        vec!["key", "list"],
        vec!["key", "list", "--node", "http://127.0.0.1:1"],
        vec!["key", "list", "--node", "http://127.0.0.1:1", "--client", "alice"],
        vec!["key", "list", "--node", "http://127.0.0.1:1", "--client", "alice", "--client-key", &no_key],
        vec!["key", "list", "--node", "http://127.0.0.1:1", "--client", "alice", "--client-key", &open],
        vec!["key", "list", "--node", "127.0.0.1:1", "--client", "alice", "--client-key", &alice],
        vec!["key", "list", "--node", "http://127.0.0.1:1", "--client", "a b", "--client-key", &alice],
        vec!["key", "list", "--context", "nowhere"],
        vec!["key", "list", "-o", "xml"],
        vec!["key", "list", "--wait", "soon"],
        vec!["key", "show", "treasury"],
        vec!["key", "create", "--scheme", "rsa", "--threshold", "2"],
        vec!["key", "create", "--threshold", "2"],
        vec!["key", "create", "--scheme", "ed25519", "--threshold", "2", "--parties", "A"],
        vec!["key", "sign", KEY],
        vec!["key", "sign", KEY, "--message", "a", "--digest", "00"],
        vec!["key", "sign", KEY, "--message-hex", "xy"],
        vec!["key", "sign", KEY, "--message", "@/does/not/exist"],
        vec!["key", "sign", KEY, "--intent", "{}"],
        vec!["key", "verify", "--message", "a"],
        vec!["key", "verify", "--result", "{}"],
        vec![
            "key",
            "verify",
            "--scheme",
            "ed25519",
            "--public-key",
            "00",
            "--signature",
            "00",
            "--digest",
            "00",
        ],
        vec!["client", "keygen", "--name", "a b", "--out", "x"],
    ];
    let count = cases.len();
    for arguments in cases {
        let done = bench.quorate(&arguments);
        assert_eq!(code(&done), 2, "{arguments:?}: {}", stderr(&done));
        assert!(stdout(&done).is_empty(), "{arguments:?}");
        assert!(!stderr(&done).is_empty(), "{arguments:?}");
    }
    assert_eq!(count, 27);
}

#[test]
fn help_openapi_and_completion_need_nothing() {
    let bench = Bench::new();
    for arguments in
        [vec!["--help"], vec!["key", "sign", "--help"], vec!["help", "op", "wait"], vec!["--version"]]
    {
        let done = bench.quorate(&arguments);
        assert_eq!(code(&done), 0, "{arguments:?}");
        assert!(stdout(&done).contains("quorate"), "{arguments:?}");
    }
    let document: Value = serde_json::from_slice(&bench.quorate(&["openapi"]).stdout).unwrap();
    assert!(document["paths"]["/v1/keys/{key}/sign"]["post"].is_object());
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&bench.quorate(&["completion", shell]));
        assert!(script.contains("keygen"), "{shell}");
    }
}

#[test]
fn a_client_key_is_private_and_never_overwritten() {
    let bench = Bench::new();
    let path = PathBuf::from(bench.path("bob.pem"));
    for algorithm in ["ed25519", "p256"] {
        let file = bench.path(algorithm);
        let arguments = ["client", "keygen", "--name", "bob", "--algorithm", algorithm, "--out", &file];
        let done = bench.quorate(&arguments);
        assert_eq!(code(&done), 0, "{}", stderr(&done));
        let text = stdout(&done);
        let (_, lines) = text.trim_end().rsplit_once("\n\n").unwrap();
        assert!(lines.starts_with(&format!("[[clients]]\nname = \"bob\"\nkey = \"{algorithm}:")), "{lines}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&file).unwrap();
        assert_eq!(code(&bench.quorate(&arguments)), 1);
        assert_eq!(fs::read(&file).unwrap(), before);
        let shown = bench.quorate(&["client", "show", "--name", "bob", &file, "-o", "json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["enrolment"], lines);
    }
    assert!(!path.exists());
}

#[test]
fn keys_are_listed_and_shown_to_people_and_programs() {
    let bench = Bench::new();
    let node = bench.node(|request| match request.path() {
        "/v1/keys" => (200, json!({ "items": [key()], "next": "c1" }).to_string()),
        _ => (200, key().to_string()),
    });
    let done = bench.at(&node, &["key", "list", "--limit", "1"]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(stdout(&done).contains("2 of 3"));
    assert!(stderr(&done).contains("--after c1"));
    let done = bench.at(&node, &["key", "list", "-o", "json"]);
    let page: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(page["items"][0], key());
    assert!(done.stderr.is_empty());
    let done = bench.at(&node, &["key", "show", KEY]);
    assert!(stdout(&done).contains("solana account 5555"));
    assert!(stdout(&done).contains("2 of (a, b, c)") && stdout(&done).contains("b, c"));
    let requests = node.requests.lock().unwrap();
    assert_eq!(requests[0].path_and_query(), "/v1/keys?limit=1");
    assert_eq!(requests.len(), 3);
}

#[test]
fn a_key_is_created_after_waiting_and_nothing_is_shown_when_piped() {
    let bench = Bench::new();
    let asked = AtomicUsize::new(0);
    let node = bench.node(move |request| match request.method() {
        Method::Post => (202, operation("create_key", "queued").to_string()),
        _ if asked.fetch_add(1, Ordering::Relaxed) < 2 => {
            let mut running = operation("create_key", "running");
            running["progress"] = json!({ "protocol": "dkg", "round": 2, "rounds": 4, "awaiting": ["b"] });
            (200, running.to_string())
        }
        _ => (200, created().to_string()),
    });
    let arguments = [
        "key",
        "create",
        "--scheme",
        "ed25519",
        "--threshold",
        "2",
        "--parties",
        "a,b,c",
        "--purpose",
        "solana",
        "--label",
        "treasury",
        "--idempotency-key",
        "k-7",
        "-o",
        "json",
    ];
    let done = bench.at(&node, &arguments);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(done.stderr.is_empty(), "{}", stderr(&done));
    let result: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(result["result"]["key"], key());
    let requests = node.requests.lock().unwrap();
    assert_eq!(requests[0].idempotency_key(), "k-7");
    assert_eq!(requests[0].path_and_query(), "/v1/keys?wait=10s");
    let body: Value = serde_json::from_slice(requests[0].body()).unwrap();
    let expected = json!({
        "scheme": "ed25519", "threshold": 2, "parties": ["a", "b", "c"], "purposes": ["solana"], "label": "treasury"
    });
    assert_eq!(body, expected);
    assert_eq!(requests.len(), 4);
    assert!(requests[1].path().ends_with(OP));
}

#[test]
fn who_can_sign_is_said_once() {
    let bench = Bench::new();
    let node = bench.node(|_| {
        let mut key = key();
        key["access"] = "a and 1 of (b, c)".into();
        key["quorums"] = json!([["a", "b"], ["a", "c"]]);
        let mut operation = created();
        operation["result"]["key"] = key;
        (200, operation.to_string())
    });
    let create = |more: &[&str]| bench.at(&node, &[&["key", "create", "--scheme", "ed25519"], more].concat());
    let done = create(&["--access", " a and (b or c)"]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(stdout(&done).contains("a and (b or c)") && stdout(&done).contains("a, c"), "{}", stdout(&done));
    let body: Value = serde_json::from_slice(node.requests.lock().unwrap()[0].body()).unwrap();
    assert_eq!(body, json!({ "scheme": "ed25519", "access": "a and (b or c)" }));
    let refused: [&[&str]; 4] = [
        &[],
        &["--access", "a and b", "--threshold", "2"],
        &["--access", "a and b", "--parties", "a,b"],
        &["--access", "4 of (a, b)"],
    ];
    for arguments in refused {
        assert_eq!(code(&create(arguments)), 2, "{arguments:?}");
    }
    assert!(stderr(&create(refused[3])).contains("at character 1: `4` is not between 1 and 2"));
    assert_eq!(node.requests.lock().unwrap().len(), 1, "nothing was asked");
}

/// Who can sign now and afterwards is shown with all quorums before a key is given to others, and said to the node in one notation.
#[test]
fn a_reshare_shows_who_can_sign_before_and_after() {
    let bench = Bench::new();
    let node = bench.node(|request| {
        let mut key = key();
        if request.method() == Method::Get {
            return (200, key.to_string());
        }
        key["access"] = "a and 2 of (b, c, d)".into();
        key["quorums"] = json!([["a", "b", "c"], ["a", "b", "d"], ["a", "c", "d"]]);
        let figures = created()["result"]["figures"].clone();
        let mut operation = created();
        operation["kind"] = "reshare_key".into();
        operation["result"] = json!({ "kind": "moved", "act": "reshare", "key": key, "figures": figures });
        (200, operation.to_string())
    });
    let reshare = |more: &[&str]| bench.at(&node, &[&["key", "reshare", KEY], more].concat());
    let done = reshare(&["--access", "(a) and (2 of (b,c,d))"]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    let shown = stderr(&done);
    let (before, after) = shown.split_once("who can sign afterwards: a and 2 of (b, c, d)").unwrap();
    assert!(before.contains("who can sign now: 2 of (a, b, c)\n  a, b\n  a, c\n  b, c"), "{shown}");
    assert!(after.contains("\n  a, b, c\n  a, b, d\n  a, c, d"), "{shown}");
    assert!(stdout(&done).contains("a, c, d"), "{}", stdout(&done));
    let body =
        |at: usize| -> Value { serde_json::from_slice(node.requests.lock().unwrap()[at].body()).unwrap() };
    assert_eq!(body(1), json!({ "epoch": 1, "access": "a and 2 of (b, c, d)" }));
    assert_eq!(code(&reshare(&["--threshold", "2", "--parties", "a,c,d"])), 0);
    assert_eq!(body(3), json!({ "epoch": 1, "threshold": 2, "parties": ["a", "c", "d"] }));
    let refused: [&[&str]; 6] = [
        &[],
        &["--threshold", "2"],
        &["--parties", "a,b"],
        &["--access", "a and b", "--threshold", "2", "--parties", "a,b"],
        &["--access", "a and b", "--parties", "a,b"],
        &["--access", "2 of (a, b"],
    ];
    for arguments in refused {
        assert_eq!(code(&reshare(arguments)), 2, "{arguments:?}");
    }
    assert_eq!(node.requests.lock().unwrap().len(), 4, "nothing was asked");
}

#[test]
fn every_way_to_say_what_to_sign_becomes_its_intent() {
    let bench = Bench::new();
    let node = bench.node(|_| (200, signed().to_string()));
    let file = bench.path("in");
    let at_file = format!("@{file}");
    let cases: Vec<(Vec<&str>, &[u8], Value)> = vec![
        (vec!["--ethereum-tx", "0x02F0"], b"", json!({ "kind": "ethereum_transaction", "tx": "02f0" })),
        (
            vec!["--ethereum-tx", &at_file],
            b" 02f0\n",
            json!({ "kind": "ethereum_transaction", "tx": "02f0" }),
        ),
        (vec!["--ethereum-message", "hi"], b"", json!({ "kind": "ethereum_message", "message": "6869" })),
        (
            vec!["--typed-data", &at_file],
            b"{\"a\":1}",
            json!({ "kind": "ethereum_typed_data", "typed_data": { "a": 1 } }),
        ),
        (vec!["--psbt", "cHNidP8="], b"", json!({ "kind": "bitcoin_psbt", "psbt": "cHNidP8=" })),
        (vec!["--psbt", &at_file], b"psbt\xff", json!({ "kind": "bitcoin_psbt", "psbt": "cHNidP8=" })),
        (vec!["--solana-message", "AQID"], b"", json!({ "kind": "solana_message", "message": "AQID" })),
        (vec!["--message", "hi"], b"", json!({ "kind": "message", "message": "6869" })),
        (vec!["--message", &at_file], b"hi\n", json!({ "kind": "message", "message": "68690a" })),
        (vec!["--message-hex", "6869"], b"", json!({ "kind": "message", "message": "6869" })),
        (vec!["--digest", "0xAA"], b"", json!({ "kind": "raw_digest", "digest": "aa" })),
        (
            vec!["--intent", &at_file],
            b"{\"kind\":\"message\",\"message\":\"00\"}",
            json!({ "kind": "message", "message": "00" }),
        ),
    ];
    for (arguments, content, intent) in &cases {
        fs::write(&file, content).unwrap();
        let done =
            bench.at(&node, &[&["key", "sign", KEY, "--quorum", "a,c"], arguments.as_slice()].concat());
        assert_eq!(code(&done), 0, "{arguments:?}: {}", stderr(&done));
        assert!(stdout(&done).contains("signed by a, c in 2 rounds, 30 bytes, 30 ms"), "{}", stdout(&done));
        assert!(stdout(&done).contains("frost-sign  1      commit  1   4     5"), "{}", stdout(&done));
        let requests = node.requests.lock().unwrap();
        let body: Value = serde_json::from_slice(requests.last().unwrap().body()).unwrap();
        assert_eq!(body, json!({ "intent": intent, "quorum": ["a", "c"] }));
    }
    let requests = node.requests.lock().unwrap();
    assert_eq!(requests.len(), 12);
    let keys: std::collections::BTreeSet<_> =
        requests.iter().map(|request| request.idempotency_key().to_owned()).collect();
    assert_eq!(keys.len(), 12, "each request has its own idempotency key");
}

#[test]
fn a_node_cannot_draw_on_the_terminal() {
    let bench = Bench::new();
    let hostile = "a\u{1b}[2J\u{202e}\rb";
    let node = bench.node(move |request| match request.method() {
        Method::Get => {
            let mut key = key();
            key["label"] = json!(hostile);
            (200, key.to_string())
        }
        _ => problem(&Problem::new(Code::Internal, hostile)),
    });
    let done = bench.at(&node, &["key", "show", KEY]);
    assert!(stdout(&done).contains("a\u{fffd}[2J\u{fffd}\u{fffd}b"), "{:?}", stdout(&done));
    let done = bench.at(&node, &["key", "sign", KEY, "--message", "hi"]);
    assert!(stderr(&done).contains("a\u{fffd}[2J\u{fffd}\u{fffd}b"), "{:?}", stderr(&done));
}

#[test]
fn problems_become_exit_codes() {
    let bench = Bench::new();
    let cases = [
        (Code::PurposeNotAllowed, 3),
        (Code::Forbidden, 3),
        (Code::UnknownClient, 3),
        (Code::NotEnoughParties, 4),
        (Code::DeadlineExceeded, 5),
        (Code::CeremonyAborted, 1),
        (Code::IdempotencyConflict, 1),
        (Code::Internal, 1),
    ];
    for (problem_code, expected) in cases {
        let node = bench
            .node(move |_| problem(&Problem::new(problem_code, "because").with_culprits(vec!["b".into()])));
        let done = bench.at(&node, &["key", "sign", KEY, "--message", "hi"]);
        assert_eq!(code(&done), expected, "{problem_code}");
        assert!(stdout(&done).is_empty());
        assert!(stderr(&done).contains("because; at fault: b"), "{}", stderr(&done));
        let done = bench.at(&node, &["key", "sign", KEY, "--message", "hi", "-o", "json"]);
        let error: Value = serde_json::from_slice(&done.stderr).unwrap();
        assert_eq!(error["error"]["code"], problem_code.as_str());
    }
}

#[test]
fn a_failed_operation_fails_wait_but_not_show() {
    let bench = Bench::new();
    let node = bench.node(|_| {
        let mut failed = operation("sign", "failed");
        failed["error"] = serde_json::to_value(Problem::new(Code::NotEnoughParties, "b left")).unwrap();
        (200, failed.to_string())
    });
    let done = bench.at(&node, &["op", "show", OP]);
    assert_eq!(code(&done), 0);
    assert!(stdout(&done).contains("not enough parties are connected: b left"));
    assert_eq!(code(&bench.at(&node, &["op", "wait", OP])), 4);
}

#[test]
fn an_operation_that_does_not_end_times_out_with_5() {
    let bench = Bench::new();
    let node = bench.node(|_| (202, operation("sign", "running").to_string()));
    for arguments in [vec!["op", "wait", OP], vec!["key", "sign", KEY, "--message", "hi"]] {
        let done = bench.at(&node, &[arguments.as_slice(), &["--wait", "300ms"]].concat());
        assert_eq!(code(&done), 5, "{}", stderr(&done));
        assert!(stderr(&done).contains(OP));
    }
    let done = bench.at(&node, &["key", "sign", KEY, "--message", "hi", "--wait", "0s"]);
    assert_eq!(code(&done), 0);
    assert_eq!(stdout(&done), format!("{OP} running\n"));
}

#[test]
fn a_node_that_is_not_there_or_not_a_node_is_named() {
    let bench = Bench::new();
    let node = bench.node(|_| (200, "<html>".to_owned()));
    let done = bench.at(&node, &["key", "list"]);
    assert_eq!(code(&done), 1);
    assert!(stderr(&done).contains("is it a quorate node?"), "{}", stderr(&done));
    let gone = FakeNode { url: "http://127.0.0.1:1".to_owned(), requests: node.requests };
    let done = bench.at(&gone, &["key", "list"]);
    assert_eq!(code(&done), 1);
    assert!(stderr(&done).contains("is the node running"), "{}", stderr(&done));
}

#[test]
fn a_context_gives_the_connection_and_flags_win() {
    let bench = Bench::new();
    let node = bench.node(|_| (200, json!({ "items": [] }).to_string()));
    let context = format!(
        "current = \"local\"\n[contexts.local]\nnode = \"{}\"\nclient = \"alice\"\nclient_key = \"alice.pem\"\n\
         [contexts.other]\nnode = \"http://127.0.0.1:1\"\nclient = \"alice\"\nclient_key = \"alice.pem\"\n",
        node.url
    );
    fs::write(bench.path("contexts.toml"), context).unwrap();
    assert_eq!(code(&bench.quorate(&["key", "list"])), 0);
    assert_eq!(code(&bench.quorate(&["key", "list", "--context", "other"])), 1);
    assert_eq!(code(&bench.quorate(&["key", "list", "--context", "other", "--node", &node.url])), 0);
    assert_eq!(code(&bench.quorate(&["key", "list", "--client", "bob"])), 3);
    fs::write(bench.path("contexts.toml"), "curent = 1").unwrap();
    let done = bench.quorate(&["key", "list"]);
    assert_eq!(code(&done), 2);
    assert!(stderr(&done).contains("contexts.toml"));
}

#[test]
fn signatures_are_verified_without_a_node() {
    let bench = Bench::new();
    let result = bench.path("signed.json");
    fs::write(&result, signed().to_string()).unwrap();
    let done = bench.quorate(&["key", "verify", "--result", &format!("@{result}")]);
    assert_eq!((code(&done), stdout(&done).as_str()), (0, "valid\n"), "{}", stderr(&done));
    let signature = signed()["result"]["signatures"][0].clone();
    let text = |field: &str| signature[field].as_str().unwrap().to_owned();
    let check = |message: &str| {
        let (key, signature) = (text("public_key"), text("signature"));
        let arguments =
            ["key", "verify", "--scheme", "ed25519", "--public-key", &key, "--signature", &signature];
        code(&bench.quorate(&[&arguments, ["--message", message].as_slice()].concat()))
    };
    assert_eq!(check("r"), 0);
    assert_eq!(check("s"), 1);
    let mut forged = signed();
    forged["result"]["signatures"][0]["message"] = json!("73");
    fs::write(&result, forged.to_string()).unwrap();
    assert_eq!(code(&bench.quorate(&["key", "verify", "--result", &format!("@{result}")])), 1);
}

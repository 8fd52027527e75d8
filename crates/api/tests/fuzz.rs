//! The seeds of the fuzz target `request`, and a fixed run of mutations over them.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use quorate_api::{Assertion, ClientAlgorithm, ClientKey, Method, Request};

#[path = "../../../fuzz/checks/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/checks/request.rs"]
mod request_check;

const COUNT: usize = 20_000;

#[test]
fn requests() {
    let key = ClientKey::from_entropy(ClientAlgorithm::Ed25519, &[7; 32]).unwrap();
    let signed = |method, path: &str, idempotency: &str, body: &str| {
        let expires = 1_800_000_000;
        Request::new(method, path, "alice", expires, idempotency, body.into()).unwrap().sign(&key).encode()
    };
    let assertion = Assertion::new(vec![1; 16], vec![2; 37], b"{}".to_vec(), vec![3; 70]).unwrap();
    let by_passkey = Request::new(
        Method::Post,
        "/v1/operations/op_1/approve",
        "bob",
        1_800_000_000,
        "a-1",
        b"{}".to_vec(),
    );
    let by_passkey = by_passkey.unwrap().with_assertion(assertion).encode();
    let sign = r#"{"intent":{"kind":"message","message":"616263"}}"#;
    let made = [
        ("create_key", signed(Method::Post, "/v1/keys?wait=10s", "k-1", r#"{"threshold":2}"#)),
        ("sign", signed(Method::Post, "/v1/keys/key_1/sign", "s-1", sign)),
        ("read", signed(Method::Get, "/v1/operations/op_1", "", "")),
        ("change", signed(Method::Patch, "/v1/keys/key_1", "c-1", "{}")),
        ("passkey", by_passkey),
        ("remove", signed(Method::Delete, "/v1/keys/key_1", "d-1", "")),
    ];
    let seeds = mutate::seeds("request", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, request_check::check);
    assert_eq!(ran, 6 + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
}

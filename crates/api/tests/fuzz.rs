//! The seeds of the fuzz targets `access`, `assertion` and `request`, and a fixed run of mutations over them.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use ed25519_dalek::Signer as _;
use quorate_api::{
    Assertion, ClientAlgorithm, ClientKey, Method, PasskeyPublicKey, Request, RequestSignature,
};
use sha2::{Digest as _, Sha256};

#[path = "../../../fuzz/checks/access.rs"]
mod access_check;
#[path = "../../../fuzz/checks/assertion.rs"]
mod assertion_check;
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

#[test]
fn access_structures() {
    let made = [
        ("flat", b"2 of (a, b, c)".to_vec()),
        ("ranks", b"1 of (m1, m2) over 2 of (t1, t2, t3)".to_vec()),
        ("tree", b"user and 2 of (a*2, b, \"of\") or (x and y)".to_vec()),
    ];
    let seeds = mutate::seeds("access", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, access_check::check);
    assert_eq!(ran, 3 + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
}

#[test]
fn assertions() {
    use assertion_check::{CHALLENGE, CLIENT, DATA, PASSKEY};
    let data = hex::decode(DATA).unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let signed = [&data[..], Sha256::digest(CLIENT.as_bytes()).as_slice()].concat();
    let signature = key.sign(&signed).to_bytes().to_vec();
    let assertion = Assertion::new([1; 16], data, CLIENT.as_bytes(), signature.clone()).unwrap();
    let passkey: PasskeyPublicKey = PASSKEY.parse().unwrap();
    // Without this the check would be about nothing.
    assert_eq!(passkey.verify(&CHALLENGE, &assertion), Ok(()));
    use base64::Engine as _;
    let text = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let id = text(assertion.credential_id());
    let browser = format!(
        r#"{{"id":"{id}","rawId":"{id}","type":"public-key","response":{{"authenticatorData":"{}","clientDataJSON":"{}","signature":"{}"}}}}"#,
        text(assertion.authenticator_data()),
        text(assertion.client_data_json()),
        text(&signature)
    );
    let made = [
        ("browser", browser.into_bytes()),
        ("key", RequestSignature::from([0xa5; 64]).to_header().into_bytes()),
        ("passkey", RequestSignature::from(assertion).to_header().into_bytes()),
    ];
    let seeds = mutate::seeds("assertion", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, assertion_check::check);
    assert_eq!(ran, 3 + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
}

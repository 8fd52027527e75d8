//! The seeds of the fuzz targets `access`, `assertion`, `body` and `request`, and a fixed run of mutations over them.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use ed25519_dalek::Signer as _;
use quorate_api::{
    ActKind, Assertion, CertificateSignature, ClientAlgorithm, ClientKey, KeyId, Method, OperationId,
    PasskeyPublicKey, Request, RequestSignature, certificate_key, certificate_validity,
};
use sha2::{Digest as _, Sha256};

#[path = "../../../fuzz/checks/access.rs"]
mod access_check;
#[path = "../../../fuzz/checks/assertion.rs"]
mod assertion_check;
#[path = "../../../fuzz/checks/body.rs"]
mod body_check;
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
    let certificate = include_bytes!("data/client.der").to_vec();
    assert!(certificate_validity(&certificate).is_some() && certificate_key(&certificate).is_some());
    let by_certificate = Request::new(Method::Post, "/v1/keys", "payments", 1_800_000_000, "p-1", vec![]);
    let signature = CertificateSignature::new(vec![certificate, vec![0x30; 9]], [4; 64]).unwrap();
    let by_certificate = by_certificate.unwrap().with_signature(signature).encode();
    let sign = r#"{"intent":{"kind":"message","message":"616263"}}"#;
    let made = [
        ("create_key", signed(Method::Post, "/v1/keys?wait=10s", "k-1", r#"{"threshold":2}"#)),
        ("sign", signed(Method::Post, "/v1/keys/key_1/sign", "s-1", sign)),
        ("read", signed(Method::Get, "/v1/operations/op_1", "", "")),
        ("change", signed(Method::Patch, "/v1/keys/key_1", "c-1", "{}")),
        ("passkey", by_passkey),
        ("certificate", by_certificate),
        ("remove", signed(Method::Delete, "/v1/keys/key_1", "d-1", "")),
    ];
    let seeds = mutate::seeds("request", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, request_check::check);
    assert_eq!(ran, 7 + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
    assert_eq!(mutate::found("request", request_check::check), 64);
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
    assert_eq!(mutate::found("access", access_check::check), 65);
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
    assert_eq!(mutate::found("assertion", assertion_check::check), 64);
}

#[test]
fn bodies() {
    use body_check::{BODIES, TEXT};
    let (hash, key) = ("5a".repeat(32), "ab".repeat(1216));
    let intent = r#""intent":{"kind":"message","message":"616263"}"#;
    let bodies = [
        ("create", r#"{"scheme":"ecdsa-secp256k1","threshold":2,"parties":["a","b","c"],"label":"hot","purposes":["ethereum"]}"#.to_owned()),
        ("import", format!(r#"{{"scheme":"ed25519","access":"2 of (a, b)","commitment":["02","03"],"chain_code":"{hash}","expires":1800000000,"deals":["aa","bb"]}}"#)),
        ("sign", format!(r#"{{{intent},"path":"m/0/1","quorum":["a","b"]}}"#)),
        ("sign_batch", format!(r#"{{"items":[{{{intent}}},{{{intent},"path":"m/7"}}]}}"#)),
        ("derive", r#"{"paths":["m/0/1","m/2"]}"#.to_owned()),
        ("rule", format!(r#"{{"request_hash":"{hash}","nonce":"{hash}","withdraws":["{hash}"],"reason":"a reason"}}"#)),
        ("freeze", r#"{"scope":{"kind":"tenant","tenant":"acme"},"reason":"a reason"}"#.to_owned()),
        ("back_up", r#"{"reason":"a reason"}"#.to_owned()),
    ];
    assert_eq!(bodies.len(), BODIES.len());
    let acts = [
        ("disable", r#"{"base":1,"reason":"a reason"}"#.to_owned()),
        ("enable", r#"{"base":2}"#.to_owned()),
        ("destroy", r#"{"base":3,"delay":604800}"#.to_owned()),
        ("keep", r#"{"base":4}"#.to_owned()),
        ("refresh", r#"{"epoch":1}"#.to_owned()),
        ("reshare", r#"{"epoch":1,"threshold":2,"parties":["a","b","c"]}"#.to_owned()),
        ("repair", r#"{"epoch":1,"party":"b"}"#.to_owned()),
        ("restore", r#"{"epoch":1,"lost":["c"],"access":"2 of (a, b, d)"}"#.to_owned()),
        ("export", format!(r#"{{"reason":"a reason","recipient":"{key}","expires":1800000000}}"#)),
    ];
    let kinds = ActKind::ALL.map(ActKind::as_str);
    assert_eq!(acts.each_ref().map(|(name, _)| *name), kinds);
    let passkey: PasskeyPublicKey = assertion_check::PASSKEY.parse().unwrap();
    let client = ClientKey::from_entropy(ClientAlgorithm::Ed25519, &[7; 32]).unwrap();
    let texts = [
        ("key", KeyId::from_bytes([7; 16]).to_string()),
        ("operation", OperationId::from_bytes([7; 16]).to_string()),
        ("path", "m/0/2147483647".to_owned()),
        ("client", client.public_key().to_string()),
        ("enrolled", passkey.to_string()),
        ("wait", "1500ms".to_owned()),
    ];
    let body =
        |(kind, (name, text)): (u8, (&'static str, String))| (name, [vec![kind], text.into_bytes()].concat());
    let mut made: Vec<_> = (0..).zip(bodies.into_iter().chain(acts)).map(body).collect();
    made.extend(texts.map(|text| body((TEXT, text))));
    let seeds = mutate::seeds("body", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, body_check::check);
    assert_eq!(ran, 23 + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
    assert_eq!(mutate::found("body", body_check::check), 64);
}

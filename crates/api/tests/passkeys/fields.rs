//! That nothing of a signed request can be changed, whoever signed it.

use super::house::{House, SPIFFE, identity};
use super::{enrolled, key, signed};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use quorate_api::{
    ClientAlgorithm, ClientKey, Credential, HEADER_SIGNATURE, Method, Request, RequestParts, SignedRequest,
    verify_request,
};

/// A request with something in each field, by each kind of credential.
fn all_kinds() -> Vec<(Credential, SignedRequest)> {
    let body = r#"{"intent":{"kind":"message","text":"pay 5"},"path":"m/1/2","tenant":"a","policy":3}"#;
    let path = "/v1/keys/key_00112233445566778899aabbccddeeff/sign?wait=10s";
    let request =
        Request::new(Method::Post, path, "alice", 1_800_000_000, "k-1", body.as_bytes().to_vec()).unwrap();
    let mut kinds = Vec::new();
    for algorithm in [ClientAlgorithm::Ed25519, ClientAlgorithm::P256] {
        let client = ClientKey::from_entropy(algorithm, &[7; 32]).unwrap();
        kinds.push((client.public_key().into(), request.clone().sign(&client)));
        let passkey = key(algorithm);
        kinds.push((enrolled(&passkey).into(), signed(request.clone(), &passkey)));
    }
    let house = House::new(1_800_000_000);
    let certificate = house.payments();
    kinds.push((identity(&house.root, SPIFFE).into(), request.sign_with_certificate(&certificate)));
    kinds
}

/// Accepted as anybody's: the worst a lookup could do.
fn accepted(credential: &Credential, request: &SignedRequest) -> bool {
    verify_request(request, |_| Some(credential.clone()), request.expires(), 60).is_ok()
}

/// Every text with one bit changed; `None` where that is no text.
fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

/// The request with each bit of each field changed, field by field; `None` where the change is no text.
///
/// The pattern names every field: a field that is added to a request does not compile until it is changed here too.
fn changes(parts: &RequestParts) -> Vec<(&'static str, Vec<Option<RequestParts>>)> {
    let RequestParts { method, path, client, expires, idempotency_key, body } = parts;
    let with = |set: &dyn Fn(&mut RequestParts)| {
        let mut changed = parts.clone();
        set(&mut changed);
        Some(changed)
    };
    let text = |bytes: Vec<u8>, set: fn(&mut RequestParts, String)| {
        String::from_utf8(bytes).ok().and_then(|text| with(&|parts| set(parts, text.clone())))
    };
    let others = Method::ALL.into_iter().filter(|other| other != method);
    vec![
        ("method", others.map(|other| with(&|parts| parts.method = other)).collect()),
        ("path", flipped(path.as_bytes()).map(|b| text(b, |parts, text| parts.path = text)).collect()),
        ("client", flipped(client.as_bytes()).map(|b| text(b, |parts, text| parts.client = text)).collect()),
        ("expires", (0..64).map(|bit| with(&|parts| parts.expires = expires ^ (1 << bit))).collect()),
        (
            "idempotency key",
            flipped(idempotency_key.as_bytes())
                .map(|b| text(b, |parts, text| parts.idempotency_key = text))
                .collect(),
        ),
        ("body", flipped(body).map(|body| with(&|parts| parts.body.clone_from(&body))).collect()),
    ]
}

/// covers: S17: each bit of each field, under the signature of every kind of credential.
#[test]
fn every_bit_of_every_signed_field_is_under_the_signature() {
    for (credential, request) in all_kinds() {
        assert!(accepted(&credential, &request));
        let parts = request.request().clone().into_parts();
        let (mut refused, mut malformed, mut bits) = (0, 0, 0);
        for (field, changed) in changes(&parts) {
            assert!(!changed.is_empty(), "{field} is empty: nothing of it is tried");
            let before = refused;
            for parts in changed {
                bits += 1;
                let Some(Ok(changed)) = parts.map(Request::from_parts) else {
                    malformed += 1;
                    continue;
                };
                assert_ne!(changed.signing_bytes(), request.signing_bytes(), "{field} is not signed");
                assert_ne!(changed.challenge(), request.challenge(), "{field} is not in the challenge");
                let changed = changed.with_signature(request.signature().clone());
                assert!(!accepted(&credential, &changed), "{field} can be changed");
                refused += 1;
            }
            assert!(refused > before, "no change of {field} was well-formed");
        }
        let texts = parts.path.len() + parts.client.len() + parts.idempotency_key.len() + parts.body.len();
        assert_eq!(bits, Method::ALL.len() - 1 + 64 + 8 * texts);
        assert_eq!(bits, refused + malformed);
        assert!(refused > 8 * parts.body.len() + 64 + 400, "{refused} of {bits}");
    }
}

/// covers: S17: each bit of what travels between nodes, the signature included.
#[test]
fn every_bit_between_nodes_matters() {
    for (credential, request) in all_kinds() {
        let encoded = request.encode();
        let mut cases = 0;
        for changed in flipped(&encoded) {
            let verdict = SignedRequest::decode(&changed).map(|request| accepted(&credential, &request));
            assert_ne!(verdict, Ok(true), "bit {cases} can be changed");
            cases += 1;
        }
        assert_eq!(cases, encoded.len() * 8);
    }
}

/// covers: S17: each bit of the request line, of each header and of the body, as HTTP carries them.
#[test]
fn every_bit_over_http_matters() {
    for (credential, request) in all_kinds() {
        let headers = request.to_headers();
        assert_eq!(headers.len(), 4);
        let map = |headers: &[(&str, Vec<u8>)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(
                    HeaderName::from_bytes(name.as_bytes()).ok()?,
                    HeaderValue::from_bytes(value).ok()?,
                );
            }
            Some(map)
        };
        let good: Vec<(&str, Vec<u8>)> =
            headers.iter().map(|(name, value)| (*name, value.clone().into_bytes())).collect();
        let uri: Uri = request.path_and_query().parse().unwrap();
        let read = |headers: &[(&str, Vec<u8>)], uri: &Uri, body: &[u8]| {
            let headers = map(headers)?;
            let read = SignedRequest::from_http_parts(&http::Method::POST, uri, &headers, body.to_vec());
            Some(accepted(&credential, &read.ok()?))
        };
        assert_eq!(read(&good, &uri, request.body()), Some(true));
        let mut cases = 0;
        for (index, (name, value)) in good.iter().enumerate() {
            for value in flipped(value) {
                let mut changed = good.clone();
                changed[index].1 = value;
                assert_ne!(read(&changed, &uri, request.body()), Some(true), "{name} can be changed");
                cases += 1;
            }
        }
        for path in flipped(request.path_and_query().as_bytes()) {
            if let Ok(uri) = Uri::try_from(path) {
                assert_ne!(read(&good, &uri, request.body()), Some(true), "`{uri}` in place of the path");
            }
            cases += 1;
        }
        for body in flipped(request.body()) {
            assert_ne!(read(&good, &uri, &body), Some(true));
            cases += 1;
        }
        let signature = headers.iter().find(|(name, _)| *name == HEADER_SIGNATURE).unwrap().1.len();
        assert!(cases > 8 * (signature + request.body().len() + request.path_and_query().len()));
    }
}

//! Signed requests: what is signed, what is refused, and that there is one encoding.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "test code")]

use http::{HeaderMap, HeaderValue, Uri};
use quorate_api::{
    ClientAlgorithm, ClientKey, ClientPublicKey, Credential, HEADER_CLIENT, HEADER_EXPIRES,
    HEADER_IDEMPOTENCY_KEY, HEADER_SIGNATURE, MAX_BODY, MAX_PATH, Method, Request, RequestError,
    RequestSignature, SignedRequest, VerifyError, verify_request,
};

const ALGORITHMS: [ClientAlgorithm; 2] = [ClientAlgorithm::Ed25519, ClientAlgorithm::P256];

fn key(algorithm: ClientAlgorithm) -> ClientKey {
    ClientKey::from_entropy(algorithm, &[7; 32]).unwrap()
}

fn request() -> Request {
    Request::new(
        Method::Post,
        "/v1/keys?wait=10s",
        "alice",
        1_800_000_000,
        "k-1",
        b"{\"threshold\":2}".to_vec(),
    )
    .unwrap()
}

fn parts(request: &SignedRequest) -> (http::Method, Uri, HeaderMap, Vec<u8>) {
    let mut headers = HeaderMap::new();
    for (name, value) in request.to_headers() {
        headers.append(name, HeaderValue::from_str(&value).unwrap());
    }
    let method = http::Method::from_bytes(request.method().as_str().as_bytes()).unwrap();
    (method, request.path_and_query().parse().unwrap(), headers, request.body().to_vec())
}

fn from_headers(headers: &HeaderMap) -> Result<SignedRequest, RequestError> {
    let (method, uri, _, body) = parts(&request().sign(&key(ClientAlgorithm::Ed25519)));
    SignedRequest::from_http_parts(&method, &uri, headers, body)
}

#[test]
fn both_algorithms_round_trip_through_headers_and_bytes() {
    for algorithm in ALGORITHMS {
        let key = key(algorithm);
        let signed = request().sign(&key);
        let (method, uri, headers, body) = parts(&signed);
        assert_eq!(SignedRequest::from_http_parts(&method, &uri, &headers, body).unwrap(), signed);
        let encoded = signed.encode();
        assert!(encoded.len() <= SignedRequest::MAX_ENCODED);
        let decoded = SignedRequest::decode(&encoded).unwrap();
        assert_eq!(decoded, signed);
        assert_eq!(decoded.encode(), encoded);
        assert_eq!(decoded.operation_id(), signed.operation_id());
        key.public_key().verify(&decoded).unwrap();
        let text = key.public_key().to_string();
        assert_eq!(text.parse::<ClientPublicKey>().unwrap(), key.public_key());
        let pem = key.to_pem().unwrap();
        assert_eq!(ClientKey::from_pem(&pem).unwrap().public_key(), key.public_key());
    }
}

#[test]
fn every_flipped_bit_of_an_encoded_request_is_refused() {
    for algorithm in ALGORITHMS {
        let key = key(algorithm);
        let encoded = request().sign(&key).encode();
        let mut cases = 0;
        for bit in 0..encoded.len() * 8 {
            let mut changed = encoded.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let verdict = SignedRequest::decode(&changed).map(|request| key.public_key().verify(&request));
            assert!(!matches!(verdict, Ok(Ok(()))), "bit {bit} can be flipped under {algorithm:?}");
            cases += 1;
        }
        assert_eq!(cases, encoded.len() * 8);
        assert!(cases > 1000);
    }
}

#[test]
fn the_other_s_of_a_p256_signature_is_refused() {
    let key = key(ClientAlgorithm::P256);
    let signed = request().sign(&key);
    let RequestSignature::Key(signature) = signed.signature() else { panic!("a key signed") };
    let signature = p256::ecdsa::Signature::from_slice(signature).unwrap();
    let (r, s) = (signature.r(), -*signature.s());
    let high = p256::ecdsa::Signature::from_scalars(r.to_bytes(), s.to_bytes()).unwrap();
    let high: [u8; 64] = high.to_bytes().into();
    let high = request().with_signature(high);
    assert_eq!(key.public_key().verify(&high), Err(VerifyError::SignatureInvalid));
}

#[test]
fn the_encoding_is_canonical() {
    let encoded = request().sign(&key(ClientAlgorithm::Ed25519)).encode();
    let mut longer = encoded.clone();
    longer.push(0);
    assert_eq!(SignedRequest::decode(&longer), Err(RequestError::Encoding));
    for length in 0..encoded.len() {
        assert!(SignedRequest::decode(&encoded[..length]).is_err(), "a prefix of {length} bytes decodes");
    }
    let mut huge = encoded.clone();
    huge[2..6].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(SignedRequest::decode(&huge), Err(RequestError::Encoding));
    let mut version = encoded;
    for other in [0, 1, 3, 255] {
        version[0] = other;
        assert_eq!(SignedRequest::decode(&version), Err(RequestError::Version(other)));
    }
}

#[test]
fn signing_bytes_are_as_documented() {
    let mut expected = Vec::new();
    let mut field = |bytes: &[u8], length: bool| {
        if length {
            expected.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
        }
        expected.extend_from_slice(bytes);
    };
    field(b"quorate-request-v1", true);
    field(b"POST", true);
    field(b"/v1/keys?wait=10s", true);
    field(b"alice", true);
    field(&1_800_000_000_u64.to_be_bytes(), false);
    field(b"k-1", true);
    // sha256 of {"threshold":2}, computed with sha256sum
    field(&hex::decode("ce6d9a5dccc8600d8d3fc3e704b9cc48e6746e7530536c63b684dc021805e127").unwrap(), true);
    assert_eq!(request().signing_bytes(), expected);
}

#[test]
fn a_retry_keeps_operation_and_fingerprint_but_not_the_hash() {
    let body = request().body().to_vec();
    let retry = Request::new(Method::Post, "/v1/keys?wait=5s", "alice", 1_800_000_060, "k-1", body).unwrap();
    assert_eq!(retry.operation_id(), request().operation_id());
    assert_eq!(retry.fingerprint(), request().fingerprint());
    assert_ne!(retry.request_hash(), request().request_hash());
    let other =
        Request::new(Method::Post, "/v1/keys", "alice", 1_800_000_000, "k-1", b"{}".to_vec()).unwrap();
    assert_eq!(other.operation_id(), request().operation_id());
    assert_ne!(other.fingerprint(), request().fingerprint());
    let bob = Request::new(Method::Post, "/v1/keys", "bob", 1_800_000_000, "k-1", b"{}".to_vec()).unwrap();
    assert_ne!(bob.operation_id(), request().operation_id());
    assert!(bob.operation_id().as_str().starts_with("op_"));
    assert_eq!(bob.operation_id().as_str().len(), 35);
}

#[test]
fn fields_out_of_bounds_are_refused() {
    let new = |method, path: &str, client: &str, key: &str, body: usize| {
        Request::new(method, path, client, 1, key, vec![b' '; body]).map(|_| ())
    };
    let long = |length: usize| format!("/{}", "a".repeat(length - 1));
    let cases = [
        (new(Method::Post, "/v1/keys", "alice", "k", MAX_BODY), Ok(())),
        (new(Method::Post, "/v1/keys", "alice", "k", MAX_BODY + 1), Err(RequestError::BodyTooLarge)),
        (new(Method::Get, "/v1/keys", "alice", "", 0), Ok(())),
        (new(Method::Get, "/v1/keys", "alice", "", 1), Err(RequestError::BodyOnGet)),
        (new(Method::Post, "/v1/keys", "alice", "", 0), Err(RequestError::IdempotencyKey)),
        (new(Method::Delete, "/v1/keys", "alice", "", 0), Err(RequestError::IdempotencyKey)),
        (new(Method::Post, "/v1/keys", "alice", &"k".repeat(128), 0), Ok(())),
        (new(Method::Post, "/v1/keys", "alice", &"k".repeat(129), 0), Err(RequestError::IdempotencyKey)),
        (new(Method::Post, "/v1/keys", "alice", "a b", 0), Err(RequestError::IdempotencyKey)),
        (new(Method::Post, &long(MAX_PATH), "alice", "k", 0), Ok(())),
        (new(Method::Post, &long(MAX_PATH + 1), "alice", "k", 0), Err(RequestError::Path)),
        (new(Method::Post, "v1/keys", "alice", "k", 0), Err(RequestError::Path)),
        (new(Method::Post, "", "alice", "k", 0), Err(RequestError::Path)),
        (new(Method::Post, "/v1/keys#a", "alice", "k", 0), Err(RequestError::Path)),
        (new(Method::Post, "/v1/k\u{e9}ys", "alice", "k", 0), Err(RequestError::Path)),
        (new(Method::Post, "/v1/keys", "", "k", 0), Err(RequestError::Client)),
        (new(Method::Post, "/v1/keys", "-alice", "k", 0), Err(RequestError::Client)),
        (new(Method::Post, "/v1/keys", "al ice", "k", 0), Err(RequestError::Client)),
        (new(Method::Post, "/v1/keys", &"a".repeat(65), "k", 0), Err(RequestError::Client)),
    ];
    for (index, (found, expected)) in cases.into_iter().enumerate() {
        assert_eq!(found, expected, "case {index}");
    }
}

#[test]
fn headers_have_one_form() {
    let good = parts(&request().sign(&key(ClientAlgorithm::Ed25519))).2;
    assert!(from_headers(&good).is_ok());
    for name in [HEADER_CLIENT, HEADER_EXPIRES, HEADER_SIGNATURE, HEADER_IDEMPOTENCY_KEY] {
        let mut missing = good.clone();
        missing.remove(name);
        assert_eq!(from_headers(&missing), Err(RequestError::MissingHeader(name)));
        let mut repeated = good.clone();
        repeated.append(name, good.get(name).unwrap().clone());
        assert_eq!(from_headers(&repeated), Err(RequestError::RepeatedHeader(name)));
    }
    let signature = good.get(HEADER_SIGNATURE).unwrap().to_str().unwrap().to_owned();
    let cases = [
        (HEADER_EXPIRES, "+1".to_owned(), RequestError::Expires),
        (HEADER_EXPIRES, "01".to_owned(), RequestError::Expires),
        (HEADER_EXPIRES, String::new(), RequestError::Expires),
        (HEADER_EXPIRES, "1e9".to_owned(), RequestError::Expires),
        (HEADER_EXPIRES, "18446744073709551616".to_owned(), RequestError::Expires),
        (HEADER_SIGNATURE, signature.to_uppercase(), RequestError::Signature),
        (HEADER_SIGNATURE, signature[2..].to_owned(), RequestError::Signature),
        (HEADER_SIGNATURE, format!("{signature}00"), RequestError::Signature),
        (HEADER_SIGNATURE, format!("0x{}", &signature[2..]), RequestError::Signature),
        (HEADER_IDEMPOTENCY_KEY, String::new(), RequestError::IdempotencyKey),
        (HEADER_CLIENT, "alice,bob".to_owned(), RequestError::Client),
    ];
    for (name, value, expected) in cases {
        let mut changed = good.clone();
        changed.insert(name, HeaderValue::from_str(&value).unwrap());
        assert_eq!(from_headers(&changed), Err(expected), "{name}: {value}");
    }
}

#[test]
fn a_get_may_omit_its_idempotency_key() {
    let get = Request::new(Method::Get, "/v1/keys?limit=5", "alice", 5, "", Vec::new()).unwrap();
    let signed = get.sign(&key(ClientAlgorithm::Ed25519));
    let (method, uri, mut headers, body) = parts(&signed);
    assert!(!headers.contains_key(HEADER_IDEMPOTENCY_KEY));
    assert_eq!(SignedRequest::from_http_parts(&method, &uri, &headers, body).unwrap(), signed);
    headers.insert(HEADER_IDEMPOTENCY_KEY, HeaderValue::from_static(""));
    let refused = SignedRequest::from_http_parts(&method, &uri, &headers, Vec::new());
    assert_eq!(refused, Err(RequestError::IdempotencyKey));
    let refused = SignedRequest::from_http_parts(&http::Method::OPTIONS, &uri, &headers, Vec::new());
    assert_eq!(refused, Err(RequestError::Method));
}

#[test]
fn a_request_is_judged_by_client_then_signature_then_time() {
    for algorithm in ALGORITHMS {
        let key = key(algorithm);
        let other = ClientKey::from_entropy(algorithm, &[8; 32]).unwrap();
        let signed = request().sign(&key);
        let expires = signed.expires();
        let judge = |key: Option<ClientPublicKey>, now| {
            verify_request(&signed, |name| key.filter(|_| name == "alice").map(Credential::from), now, 60)
        };
        let own = || Some(key.public_key());
        assert_eq!(judge(own(), expires), Ok(()));
        assert_eq!(judge(own(), expires - 60), Ok(()));
        assert_eq!(judge(own(), expires + 1), Err(VerifyError::Expired));
        assert_eq!(judge(own(), expires - 61), Err(VerifyError::TooFarAhead { max_ahead: 60 }));
        assert_eq!(judge(None, expires), Err(VerifyError::UnknownClient));
        assert_eq!(judge(Some(other.public_key()), expires + 1), Err(VerifyError::SignatureInvalid));
    }
}

#[test]
fn public_keys_have_one_text() {
    let ed25519 = key(ClientAlgorithm::Ed25519).public_key().to_string();
    let p256 = key(ClientAlgorithm::P256).public_key().to_string();
    let small_order = format!("ed25519:01{}", "00".repeat(31));
    for text in [
        ed25519.to_uppercase(),
        ed25519.replace("ed25519:", "ed25519:0x"),
        ed25519.replace("ed25519", "p256"),
        p256.replace("p256", "ed25519"),
        p256.replace("p256", "secp256k1"),
        format!("{ed25519}\n"),
        ed25519[..ed25519.len() - 2].to_owned(),
        small_order,
        String::new(),
    ] {
        assert!(text.parse::<ClientPublicKey>().is_err(), "`{text}` is accepted");
    }
}

#[test]
fn a_key_made_by_openssl_is_read_and_written_alike() {
    // openssl genpkey -algorithm ed25519, and -algorithm EC -pkeyopt ec_paramgen_curve:P-256
    let ed25519 = ClientKey::from_pem(include_str!("data/openssl-ed25519.pem")).unwrap();
    assert_eq!(ed25519.public_key().to_string(), include_str!("data/openssl-ed25519.pub").trim());
    assert_eq!(*ed25519.to_pem().unwrap(), include_str!("data/openssl-ed25519.pem"));
    let p256 = ClientKey::from_pem(include_str!("data/openssl-p256.pem")).unwrap();
    assert_eq!(p256.public_key().to_string(), include_str!("data/openssl-p256.pub").trim());
    assert_eq!(*p256.to_pem().unwrap(), include_str!("data/openssl-p256.pem"));
}

#[test]
fn signatures_made_by_openssl_from_the_documentation_verify() {
    // The signing bytes were put together by a script from the documentation; then
    // `openssl pkeyutl -sign -rawin` and `openssl dgst -sha256 -sign` (taken apart, with low s).
    let vectors = [
        (
            include_str!("data/openssl-ed25519.pub"),
            "7d8754fce7645823660d7d21202a4d8bd2af1f4f2c9f627316c005adb2c0bcdc\
             0fff16c19627ae9b1944cb835bc23919ea0c869d396d2e573c77087aeb443c0d",
        ),
        (
            include_str!("data/openssl-p256.pub"),
            "a1f9175a2232df316e9fca9deb62a60fac9e58e20444dfed509228c004ad46d4\
             6742edeb3680262c2d2b40589c16f87ab0fe2ecbe948629aa18ef1eb1f7a3bb1",
        ),
    ];
    for (public_key, signature) in vectors {
        let key: ClientPublicKey = public_key.trim().parse().unwrap();
        let signature: [u8; 64] = hex::decode(signature).unwrap().try_into().unwrap();
        let signed = request().with_signature(signature);
        assert_eq!(key.verify(&signed), Ok(()));
    }
}

#[test]
fn debug_shows_no_secret() {
    for algorithm in ALGORITHMS {
        let shown = format!("{:?}", key(algorithm));
        assert!(shown.contains(&key(algorithm).public_key().to_string()));
        assert!(!shown.contains(&hex::encode([7; 32])));
    }
}

proptest::proptest! {
    #[test]
    fn whatever_decodes_is_canonical(bytes: Vec<u8>, at: usize, value: u8) {
        if let Ok(request) = SignedRequest::decode(&bytes) {
            assert_eq!(request.encode(), bytes);
        }
        // Random bytes hardly ever decode: also change one byte of a good request.
        let mut changed = request().sign(&key(ClientAlgorithm::Ed25519)).encode();
        let index = at % changed.len();
        changed[index] = value;
        if let Ok(request) = SignedRequest::decode(&changed) {
            assert_eq!(request.encode(), changed);
        }
    }

    #[test]
    fn different_requests_have_different_signing_bytes(path in "/[a-z/?=]{0,12}", client in "[a-z]{1,6}", key in "[!-~]{1,6}", body: Vec<u8>) {
        let other = Request::new(Method::Post, path, client, 1_800_000_000, key, body).unwrap();
        assert_eq!(other == request(), other.signing_bytes() == request().signing_bytes());
        let moved = Request::new(
            Method::Post,
            format!("{}x", other.path_and_query()),
            other.client(),
            other.expires(),
            other.idempotency_key(),
            other.body().to_vec(),
        );
        assert_ne!(moved.unwrap().signing_bytes(), other.signing_bytes());
    }
}

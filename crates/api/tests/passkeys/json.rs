//! Encodings: JSON of browsers, the header, the bytes between nodes.

use super::forge::{Draft, base64url};
use super::{ID, enrolled, key, request, signed};
use http::{HeaderMap, HeaderValue, Uri};
use quorate_api::{
    Assertion, AssertionError, ClientAlgorithm, Credential, HEADER_SIGNATURE, MAX_ASSERTION_SIGNATURE,
    MAX_AUTHENTICATOR_DATA, MAX_CLIENT_DATA, MAX_CREDENTIAL_ID, RequestError, RequestSignature,
    SignedRequest,
};
use serde_json::{Value, json};

fn assertion() -> Assertion {
    Draft::new(&ID, &request().challenge()).sign(&key(ClientAlgorithm::P256))
}

fn browser(assertion: &Assertion) -> Value {
    json!({
        "id": base64url(assertion.credential_id()),
        "rawId": base64url(assertion.credential_id()),
        "type": "public-key",
        "authenticatorAttachment": "platform",
        "clientExtensionResults": { "prf": { "results": { "first": "c2VjcmV0IHNlY3JldCBzZWNyZXQ" } } },
        "response": {
            "authenticatorData": base64url(assertion.authenticator_data()),
            "clientDataJSON": base64url(assertion.client_data_json()),
            "signature": base64url(assertion.signature()),
            "userHandle": "AAAA",
        },
    })
}

/// A change of the browser's JSON.
type Edit = fn(&mut Value);

#[test]
fn the_json_of_browsers_is_read_and_extensions_stay_behind() {
    let assertion = assertion();
    let read = Assertion::from_json(&browser(&assertion).to_string()).unwrap();
    assert_eq!(read, assertion);
    // The secret of the PRF extension goes nowhere.
    let shown = format!("{read:?} {}", RequestSignature::from(read.clone()).to_header());
    assert!(!shown.contains("prf") && !shown.contains("c2VjcmV0"));
    let cases: &[Edit] = &[
        |json| json["id"] = json!("AAAA"),
        |json| json["type"] = json!("password"),
        |json| json["rawId"] = Value::Null,
        |json| json["response"] = Value::Null,
        |json| json["response"]["signature"] = json!("AA=="),
        |json| json["response"]["signature"] = json!("A+/A"),
        |json| json["response"]["signature"] = json!("AB"),
        |json| json["response"]["signature"] = json!("A A A"),
        |json| json["response"]["signature"] = json!([1, 2]),
        |json| json["response"]["clientDataJSON"] = json!({}),
        |json| drop(json["response"].as_object_mut().unwrap().remove("authenticatorData")),
    ];
    for (index, change) in cases.iter().enumerate() {
        let mut json = browser(&assertion);
        change(&mut json);
        assert_eq!(Assertion::from_json(&json.to_string()), Err(AssertionError::Json), "case {index}");
    }
    for text in ["", "null", "[]", "{}", &format!("{} ", browser(&assertion)).repeat(2)] {
        assert_eq!(Assertion::from_json(text), Err(AssertionError::Json), "{text}");
    }
    let twice = browser(&assertion).to_string().replacen("\"type\"", "\"type\":\"public-key\",\"type\"", 1);
    assert_eq!(Assertion::from_json(&twice), Err(AssertionError::Json));
    let long = browser(&assertion).to_string() + &" ".repeat(64 * 1024);
    assert_eq!(Assertion::from_json(&long), Err(AssertionError::Json));
}

#[test]
fn each_part_has_its_bounds() {
    let new = |a: usize, b: usize, c: usize, d: usize| {
        Assertion::new(vec![1; a], vec![1; b], vec![1; c], vec![1; d]).map(|_| ())
    };
    let (id, data, client, signature) =
        (MAX_CREDENTIAL_ID, MAX_AUTHENTICATOR_DATA, MAX_CLIENT_DATA, MAX_ASSERTION_SIGNATURE);
    assert_eq!(new(1, 1, 1, 1), Ok(()));
    assert_eq!(new(id, data, client, signature), Ok(()));
    for (found, expected) in [
        (new(0, 1, 1, 1), AssertionError::CredentialId),
        (new(id + 1, 1, 1, 1), AssertionError::CredentialId),
        (new(1, 0, 1, 1), AssertionError::AuthenticatorData),
        (new(1, data + 1, 1, 1), AssertionError::AuthenticatorData),
        (new(1, 1, 0, 1), AssertionError::ClientData),
        (new(1, 1, client + 1, 1), AssertionError::ClientData),
        (new(1, 1, 1, 0), AssertionError::Signature),
        (new(1, 1, 1, signature + 1), AssertionError::Signature),
    ] {
        assert_eq!(found, Err(expected));
    }
    let largest = Assertion::new(vec![1; id], vec![1; data], vec![1; client], vec![1; signature]).unwrap();
    assert_eq!(largest.to_bytes().len(), Assertion::MAX_ENCODED);
    let header = RequestSignature::from(largest.clone()).to_header();
    assert!(header.len() < 8 * 1024 - 256, "{} bytes", header.len());
    assert_eq!(RequestSignature::from_header(&header), Some(largest.clone().into()));
    assert!(request().with_assertion(largest).encode().len() <= SignedRequest::MAX_ENCODED);
}

#[test]
fn headers_and_bytes_have_one_form() {
    for algorithm in [ClientAlgorithm::P256, ClientAlgorithm::Ed25519] {
        let key = key(algorithm);
        let signed = signed(request(), &key);
        let mut headers = HeaderMap::new();
        for (name, value) in signed.to_headers() {
            headers.append(name, HeaderValue::from_str(&value).unwrap());
        }
        let uri: Uri = signed.path_and_query().parse().unwrap();
        let from = |headers: &HeaderMap| {
            SignedRequest::from_http_parts(&http::Method::POST, &uri, headers, signed.body().to_vec())
        };
        assert_eq!(from(&headers).unwrap(), signed);
        let decoded = SignedRequest::decode(&signed.encode()).unwrap();
        assert_eq!(decoded, signed);
        assert_eq!(Credential::from(enrolled(&key)).verify(&decoded), Ok(()));

        let text = headers[HEADER_SIGNATURE].to_str().unwrap().to_owned();
        let encoded = text.strip_prefix("passkey:").unwrap();
        let RequestSignature::Passkey(assertion) = signed.signature() else { panic!("a passkey signed") };
        assert_eq!(encoded, base64url(&assertion.to_bytes()));
        let longer = base64url(&[assertion.to_bytes(), vec![0]].concat());
        let mut unused_bits = encoded.to_owned();
        let last = unused_bits.pop().unwrap();
        unused_bits.push(if last == 'B' { 'C' } else { 'B' });
        for value in [
            format!("{text}="),
            format!("passkey:passkey:{encoded}"),
            format!("Passkey:{encoded}"),
            format!("passkey: {encoded}"),
            format!("passkey:{longer}"),
            format!("passkey:{}", &encoded[..encoded.len() - 4]),
            format!("passkey:{}", encoded.replace('A', "+")),
            format!("passkey:{}", "A".repeat(12 * 1024)),
            "passkey:".to_owned(),
            "00".repeat(65),
        ] {
            let mut changed = headers.clone();
            changed.insert(HEADER_SIGNATURE, HeaderValue::from_str(&value).unwrap());
            assert_eq!(from(&changed), Err(RequestError::Signature), "{value}");
        }
        let mut changed = headers.clone();
        changed.insert(HEADER_SIGNATURE, HeaderValue::from_str(&format!("passkey:{unused_bits}")).unwrap());
        assert_ne!(from(&changed).ok(), Some(signed.clone()));

        let bytes = signed.encode();
        for length in 0..bytes.len() {
            assert!(SignedRequest::decode(&bytes[..length]).is_err(), "a prefix of {length} bytes decodes");
        }
        assert_eq!(SignedRequest::decode(&[&bytes[..], &[0]].concat()), Err(RequestError::Encoding));
        let kind = bytes.len() - assertion.to_bytes().len() - 1;
        assert_eq!(bytes[kind], 1);
        for other in [0, 2, 255] {
            let mut changed = bytes.clone();
            changed[kind] = other;
            assert_eq!(SignedRequest::decode(&changed), Err(RequestError::Encoding), "kind {other}");
        }
        for part in assertion_bytes(&bytes[kind + 1..]) {
            let mut changed = bytes.clone();
            changed[kind + 1 + part..][..4].copy_from_slice(&u32::MAX.to_be_bytes());
            assert_eq!(SignedRequest::decode(&changed), Err(RequestError::Encoding));
            changed[kind + 1 + part..][..4].copy_from_slice(&0_u32.to_be_bytes());
            assert_eq!(SignedRequest::decode(&changed), Err(RequestError::Encoding));
        }
    }
}

/// Where the four lengths stand.
fn assertion_bytes(bytes: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        places.push(at);
        at += 4 + usize::try_from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
    }
    assert_eq!(places.len(), 4);
    places
}

proptest::proptest! {
    #[test]
    fn whatever_decodes_is_canonical(bytes: Vec<u8>, at: usize, value: u8) {
        let good = assertion().to_bytes();
        let mut changed = good.clone();
        changed[at % good.len()] = value;
        for bytes in [bytes, changed] {
            if let Ok(assertion) = Assertion::from_bytes(&bytes) {
                assert_eq!(assertion.to_bytes(), bytes);
                let header = RequestSignature::from(assertion.clone()).to_header();
                assert_eq!(RequestSignature::from_header(&header), Some(assertion.into()));
            }
        }
    }
}

//! Certificates: what is enrolled, what is accepted, what is refused, and what travels.

#![expect(clippy::unwrap_used, clippy::unreachable, reason = "test code")]

mod house;

use house::{DNS, House, SPIFFE, client_key, dns, identity, leaf, root, uri};
use quorate_api::{
    CertificateError, CertificateIdentity, CertificateIdentityError, CertificateSignature, ClientCertificate,
    ClientCertificateError, Code, Credential, MAX_CHAIN, MAX_CHAIN_BYTES, Method, Problem, Request,
    RequestError, RequestSignature, SignedRequest, VerifyError, verify_request,
};
use std::collections::BTreeSet;

const EXPIRES: u64 = 1_800_000_000;

fn ask(client: &str) -> Request {
    let body = br#"{"intent":{"kind":"message","text":"pay 5"}}"#.to_vec();
    Request::new(Method::Post, "/v1/keys", client, EXPIRES, "k-1", body).unwrap()
}

fn judge(house: &House, request: &SignedRequest, now: u64) -> Result<(), VerifyError> {
    let lookup = |client: &str| {
        let found = house.identities().into_iter().find(|(name, _)| *name == client);
        found.map(|(_, identity)| Credential::from(identity))
    };
    verify_request(request, lookup, now, 600)
}

#[test]
fn what_authorities_certify_is_accepted() {
    let house = House::new(EXPIRES);
    let cases = house.good(&ask);
    assert_eq!(cases.len(), 15);
    for (what, request) in cases {
        assert_eq!(judge(&house, &request, EXPIRES - 60), Ok(()), "{what}");
        // The same answer for ever: no clock is part of it.
        let enrolled = house.identities().into_iter().find(|(name, _)| *name == request.client()).unwrap().1;
        assert_eq!(Credential::from(enrolled).verify(&request), Ok(()), "{what}");
        assert_eq!(judge(&house, &request, EXPIRES + 1), Err(VerifyError::Expired), "{what}");
        assert_eq!(SignedRequest::decode(&request.encode()).unwrap(), request, "{what}");
    }
}

/// covers: S17: each rule broken, one at a time, with everything else as it should be.
#[test]
fn each_rule_is_needed() {
    let house = House::new(EXPIRES);
    let cases = house.bad(&ask);
    assert_eq!(cases.len(), 32);
    let mut seen = BTreeSet::new();
    for ((what, request), expected) in cases {
        let error = judge(&house, &request, EXPIRES - 60).unwrap_err();
        assert_eq!(error, VerifyError::Certificate(expected), "{what}");
        assert_eq!(Problem::from(error).code, Code::SignatureInvalid);
        seen.insert(format!("{expected:?}"));
    }
    let all: BTreeSet<String> = CertificateError::ALL.iter().map(|error| format!("{error:?}")).collect();
    assert_eq!(seen, all);
}

#[test]
fn one_kind_is_never_judged_as_another() {
    let house = House::new(EXPIRES);
    let (key, certificate) = (client_key(7), house.payments());
    let by_certificate = ask("payments").sign_with_certificate(&certificate);
    let by_key = ask("payments").sign(&key);
    let (as_key, as_certificate) =
        (Credential::from(key.public_key()), Credential::from(identity(&house.root, SPIFFE)));
    assert_eq!(as_key.verify(&by_key), Ok(()));
    assert_eq!(as_certificate.verify(&by_certificate), Ok(()));
    assert_eq!(as_key.verify(&by_certificate), Err(VerifyError::CredentialKind));
    assert_eq!(as_certificate.verify(&by_key), Err(VerifyError::CredentialKind));
    // The same key made both, and neither's bytes are the other's.
    let RequestSignature::Certificate(certificate) = by_certificate.signature() else { unreachable!() };
    let moved = ask("payments").with_signature(*certificate.signature());
    assert_eq!(as_key.verify(&moved), Err(VerifyError::SignatureInvalid));
    assert!(as_certificate.fits(by_certificate.signature()) && !as_key.fits(by_certificate.signature()));
}

#[test]
fn a_chain_is_bounded_and_has_one_encoding() {
    let some = |count: usize, length: usize| CertificateSignature::new(vec![vec![7; length]; count], [1; 64]);
    for (count, length, fits) in [
        (0, 1, false),
        (1, 0, false),
        (1, 1, true),
        (MAX_CHAIN, MAX_CHAIN_BYTES / MAX_CHAIN, true),
        (MAX_CHAIN, MAX_CHAIN_BYTES / MAX_CHAIN + 1, false),
        (MAX_CHAIN + 1, 1, false),
        (1, MAX_CHAIN_BYTES, true),
        (1, MAX_CHAIN_BYTES + 1, false),
    ] {
        assert_eq!(some(count, length).is_some(), fits, "{count} {length}");
    }
    let largest = some(MAX_CHAIN, MAX_CHAIN_BYTES / MAX_CHAIN).unwrap();
    let bytes = largest.to_bytes();
    assert_eq!(bytes.len(), CertificateSignature::MAX_ENCODED);
    assert_eq!(CertificateSignature::from_bytes(&bytes).unwrap(), largest);
    let header = RequestSignature::from(largest.clone()).to_header();
    assert!(header.len() <= 11 * 1024 + 100, "{}", header.len());
    assert_eq!(RequestSignature::from_header(&header), Some(largest.into()));
    assert_eq!(RequestSignature::from_header(&format!("{header}A")), None);
    assert_eq!(RequestSignature::from_header(&format!("{header}=")), None);
    // Each length and the count, one more and one less; bytes behind the end.
    let small = CertificateSignature::new(vec![vec![7; 3], vec![8; 2]], [1; 64]).unwrap().to_bytes();
    for (at, change) in [(0, 1_u8), (0, 255), (4, 1), (4, 255), (11, 1), (11, 255)] {
        let mut wrong = small.clone();
        wrong[at] = wrong[at].wrapping_add(change);
        assert_eq!(CertificateSignature::from_bytes(&wrong), Err(RequestError::Encoding), "{at} {change}");
    }
    for at in 0..small.len() {
        assert_eq!(CertificateSignature::from_bytes(&small[..at]), Err(RequestError::Encoding), "{at}");
    }
    assert_eq!(CertificateSignature::from_bytes(&[&small[..], &[0]].concat()), Err(RequestError::Encoding));
}

/// covers: S17: each bit of what travels between nodes; of the chain a bit may be free where no rule looks, never of what is asked.
#[test]
fn every_bit_between_nodes_matters() {
    let house = House::new(EXPIRES);
    let certificate = leaf(&house.root, &client_key(7), vec![uri(SPIFFE)], EXPIRES, &|_| {});
    let request = ask("payments");
    let signed = request
        .clone()
        .sign_with_certificate(&ClientCertificate::new(vec![certificate], client_key(7)).unwrap());
    let credential = Credential::from(identity(&house.root, SPIFFE));
    let encoded = signed.encode();
    for bit in 0..encoded.len() * 8 {
        let mut changed = encoded.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let accepted =
            SignedRequest::decode(&changed).is_ok_and(|request| credential.verify(&request).is_ok());
        assert!(!accepted, "bit {bit} can be changed");
    }
}

#[test]
fn only_authorities_with_our_algorithms_and_plain_names_are_enrolled() {
    use CertificateIdentityError as E;
    let authority = root("root", EXPIRES, &|_| {});
    let ca = authority.der().to_vec();
    for name in [SPIFFE, DNS, "urn:example:1", "https://example.org/a", "localhost", "a-1.example"] {
        let enrolled = CertificateIdentity::new(ca.clone(), name).unwrap();
        assert_eq!((enrolled.ca(), enrolled.name()), (ca.as_slice(), name));
        let credential = Credential::from(enrolled.clone());
        assert_eq!(credential.to_string().parse(), Ok(credential.clone()), "{name}");
        let json = serde_json::to_value(&credential).unwrap();
        assert_eq!(json["certificate"]["name"], name);
        assert_eq!(serde_json::from_value::<Credential>(json).unwrap(), credential);
        let pem = authority.pem();
        assert_eq!(CertificateIdentity::from_pem(pem.as_bytes(), name), Ok(enrolled));
        assert_eq!(CertificateIdentity::from_pem(format!("{pem}{pem}").as_bytes(), name), Err(E::Pem));
    }
    let long = format!("spiffe://{}", "a".repeat(2040));
    for name in [
        "",
        "*.example.org",
        "Example.org",
        "a..b",
        "-a.b",
        "a b",
        "spiffe://",
        "SPIFFE://a/b",
        "spiffe://a/ b",
        "10.0.0.1",
        ":a",
        "a:",
        "1a:b",
        long.as_str(),
        "example.org.",
    ] {
        assert_eq!(CertificateIdentity::new(ca.clone(), name), Err(E::Name), "{name}");
    }
    let client = leaf(&authority, &client_key(7), vec![dns(DNS)], EXPIRES, &|_| {});
    assert_eq!(CertificateIdentity::new(client, DNS), Err(E::NotAuthority));
    assert_eq!(
        CertificateIdentity::new(house::self_signed(&client_key(7), EXPIRES), DNS),
        Err(E::NotAuthority)
    );
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let other = params.self_signed(&key).unwrap().der().to_vec();
    assert_eq!(CertificateIdentity::new(other, DNS), Err(E::Algorithm));
    for bytes in [vec![], vec![0x30, 0], vec![7; 5000], ca[..ca.len() - 1].to_vec()] {
        assert_eq!(CertificateIdentity::new(bytes, DNS), Err(E::Certificate));
    }
    for text in ["certificate:", "certificate:AA", "certificate:A=:x", "certificate:%%:x"] {
        assert!(text.parse::<Credential>().is_err(), "{text}");
    }
    let unknown = serde_json::json!({ "certificate": { "ca": "", "name": "a", "more": 1 } });
    assert!(serde_json::from_value::<Credential>(unknown).is_err());
}

#[test]
fn a_client_takes_the_pair_that_belongs_together() {
    use ClientCertificateError as E;
    let house = House::new(EXPIRES);
    let own = leaf(&house.root, &client_key(7), vec![uri(SPIFFE)], EXPIRES, &|_| {});
    let made = ClientCertificate::new(vec![own.clone()], client_key(7)).unwrap();
    assert_eq!(made.not_after(), EXPIRES + 24 * 3600);
    assert!(!format!("{made:?}").contains("07070707"));
    let error = |chain: Vec<Vec<u8>>, seed| ClientCertificate::new(chain, client_key(seed)).unwrap_err();
    assert_eq!(error(vec![own.clone()], 8), E::Key);
    assert_eq!(error(vec![], 7), E::Chain);
    assert_eq!(error(vec![own.clone(); 5], 7), E::Chain);
    assert_eq!(error(vec![vec![1]], 7), E::Certificate);
    let pem = |text: &str| ClientCertificate::from_pem(text.as_bytes(), client_key(7)).unwrap_err();
    assert_eq!(pem("nothing"), E::Pem);
    assert_eq!(pem("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), E::Pem);
}

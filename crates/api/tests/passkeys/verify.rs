//! The rules, one after another.

use super::forge::{BAD, Draft, GOOD, ORIGINS, RP_ID, client_data, other_s};
use super::software::Software;
use super::{ID, Key, enrolled, key, public_key, request, signed};
use quorate_api::{
    Assertion, CHALLENGE_TAG, ClientAlgorithm, ClientKey, Code, Credential, Method, PasskeyError,
    PasskeyPublicKey, Problem, Request, RequestSignature, VerifyError, verify_request,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

const ES256: ClientAlgorithm = ClientAlgorithm::P256;
const EDDSA: ClientAlgorithm = ClientAlgorithm::Ed25519;

#[test]
fn what_honest_browsers_and_authenticators_do_is_accepted() {
    let challenge = request().challenge();
    let mut accepted = 0;
    for algorithm in [ES256, EDDSA] {
        let key = key(algorithm);
        for (name, change) in GOOD {
            if algorithm == EDDSA && *name == "the other s" {
                continue;
            }
            let mut draft = Draft::new(&ID, &challenge);
            change(&mut draft, &challenge);
            assert_eq!(enrolled(&key).verify(&challenge, &draft.sign(&key)), Ok(()), "{name}, {algorithm:?}");
            accepted += 1;
        }
    }
    assert_eq!(accepted, 2 * GOOD.len() - 1);
    assert_eq!(accepted, 21);
}

/// covers: S25: each rule is broken alone, over a good signature, and refused by its own name.
#[test]
fn each_broken_rule_is_refused_by_name() {
    let request = request();
    let challenge = request.challenge();
    let mut reasons = BTreeSet::new();
    let mut refused = 0;
    for algorithm in [ES256, EDDSA] {
        let key = key(algorithm);
        let credential = Credential::from(enrolled(&key));
        for (name, change, expected) in BAD {
            let mut draft = Draft::new(&ID, &challenge);
            change(&mut draft, &challenge);
            let signed = request.clone().with_assertion(draft.sign(&key));
            let verdict = verify_request(&signed, |_| Some(credential.clone()), request.expires(), 60);
            assert_eq!(verdict, Err(VerifyError::Passkey(*expected)), "{name}, {algorithm:?}");
            let problem = Problem::from(verdict.unwrap_err());
            assert_eq!(problem.code, Code::SignatureInvalid);
            assert!(problem.detail.ends_with(&expected.to_string()), "{}", problem.detail);
            reasons.insert(format!("{expected:?}"));
            refused += 1;
        }
    }
    assert_eq!(refused, 2 * BAD.len());
    assert_eq!(BAD.len(), 47);
    // Every reason is shown once at least, and no two read alike.
    assert_eq!(reasons.len(), PasskeyError::ALL.len());
    let texts: BTreeSet<String> = PasskeyError::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), PasskeyError::ALL.len());
}

/// covers: S25: of all bits that an authenticator signs, those of the counter, the reserved flags and the one that says that
/// the passkey may be synchronised are not judged. Every other one is.
#[test]
fn each_bit_of_signed_authenticator_data_is_judged_or_is_known_not_to_be() {
    let challenge = request().challenge();
    let key = key(ES256);
    let mut free = Vec::new();
    for bit in 0..37 * 8 {
        let mut draft = Draft::new(&ID, &challenge);
        draft.bit = Some(bit);
        if enrolled(&key).verify(&challenge, &draft.sign(&key)).is_ok() {
            free.push(bit);
        }
    }
    let flags = 32 * 8;
    let expected: Vec<usize> = [flags + 1, flags + 3, flags + 5].into_iter().chain(33 * 8..37 * 8).collect();
    assert_eq!(free, expected);
}

#[test]
fn the_challenge_is_as_documented() {
    let request = request();
    let bytes = request.signing_bytes();
    let mut hash = Sha256::new();
    for field in [CHALLENGE_TAG.as_bytes(), &bytes] {
        hash.update(u32::try_from(field.len()).unwrap().to_be_bytes());
        hash.update(field);
    }
    assert_eq!(request.challenge().as_slice(), hash.finalize().as_slice());
    assert_eq!(CHALLENGE_TAG, "quorate-passkey-challenge-v1");
    // Computed by a script from the documentation.
    let request = Request::new(Method::Get, "/v1/keys", "alice", 5, "", Vec::new()).unwrap();
    assert_eq!(hex::encode(request.challenge()), include_str!("../data/challenge.txt").trim());
}

/// covers: S25: whatever is seen again, or seen in another shape, is for the same challenge, operation and request; there
/// it is recognised, and no rule on the assertion's bytes would do it.
#[test]
fn a_replay_is_known_by_its_challenge_alone() {
    let key = key(ES256);
    let credential = Credential::from(enrolled(&key));
    let first = signed(request(), &key);
    let RequestSignature::Passkey(assertion) = first.signature() else { panic!("a passkey signed") };
    let reshaped = Assertion::new(
        assertion.credential_id(),
        assertion.authenticator_data(),
        assertion.client_data_json(),
        other_s(assertion.signature()),
    )
    .unwrap();
    // The authenticator was asked twice: another counter, another signature.
    let mut draft = Draft::new(&ID, &request().challenge());
    draft.counter = 1;
    let again = draft.sign(&key);
    let seen = [assertion.as_ref().clone(), reshaped, again];
    for other in &seen {
        let replay = request().with_assertion(other.clone());
        assert_eq!(verify_request(&replay, |_| Some(credential.clone()), replay.expires(), 60), Ok(()));
        assert_eq!(replay.challenge(), first.challenge());
        assert_eq!(replay.operation_id(), first.operation_id());
        assert_eq!(replay.request_hash(), first.request_hash());
        assert_eq!(replay.fingerprint(), first.fingerprint());
    }
    assert_eq!(seen.iter().map(|one| one.to_bytes()).collect::<BTreeSet<_>>().len(), 3);
    // For any other request it is the wrong challenge.
    let mut parts = request().into_parts();
    parts.idempotency_key.push('2');
    let other = Request::from_parts(parts).unwrap().with_assertion(assertion.as_ref().clone());
    let refused = Err(VerifyError::Passkey(PasskeyError::Challenge));
    assert_eq!(verify_request(&other, |_| Some(credential.clone()), other.expires(), 60), refused);
}

#[test]
fn a_credential_is_used_as_what_it_is_enrolled_as() {
    // One secret, enrolled as a key and as a passkey.
    let client = ClientKey::from_entropy(ES256, &[9; 32]).unwrap();
    let passkey = enrolled(&key(ES256));
    assert_eq!(passkey.key(), &client.public_key());
    let by_key = request().sign(&client);
    let by_passkey = signed(request(), &key(ES256));
    let (as_key, as_passkey) = (Credential::from(client.public_key()), Credential::from(passkey));
    assert_eq!(as_key.verify(&by_key), Ok(()));
    assert_eq!(as_passkey.verify(&by_passkey), Ok(()));
    assert_eq!(as_key.verify(&by_passkey), Err(VerifyError::CredentialKind));
    assert_eq!(as_passkey.verify(&by_key), Err(VerifyError::CredentialKind));
    assert_eq!(client.public_key().verify(&by_passkey), Err(VerifyError::CredentialKind));
    assert_eq!(Problem::from(VerifyError::CredentialKind).code, Code::SignatureInvalid);
    let other = PasskeyPublicKey::new(public_key(&key(ES256)), [7; 16], RP_ID, ORIGINS)
        .map(Credential::from)
        .unwrap();
    for (credential, of_key, of_passkey) in
        [(as_key, true, false), (as_passkey, false, true), (other, false, false)]
    {
        assert_eq!(credential.fits(by_key.signature()), of_key);
        assert_eq!(credential.fits(by_passkey.signature()), of_passkey);
    }
}

#[test]
fn a_passkey_is_judged_before_the_clock() {
    let key = key(EDDSA);
    let credential = Credential::from(enrolled(&key));
    let good = signed(request(), &key);
    let judge = |now| verify_request(&good, |_| Some(credential.clone()), now, 60);
    assert_eq!(judge(good.expires()), Ok(()));
    assert_eq!(judge(good.expires() + 1), Err(VerifyError::Expired));
    assert_eq!(judge(good.expires() - 61), Err(VerifyError::TooFarAhead { max_ahead: 60 }));
    assert_eq!(verify_request(&good, |_| None, good.expires(), 60), Err(VerifyError::UnknownClient));
    let mut draft = Draft::new(&ID, &good.challenge());
    draft.client_data = client_data("webauthn.get", &good.challenge(), "https://evil.example", "");
    let bad = request().with_assertion(draft.sign(&key));
    let late = verify_request(&bad, |_| Some(credential.clone()), bad.expires() + 1, 60);
    assert_eq!(late, Err(VerifyError::Passkey(PasskeyError::Origin)));
}

/// covers: S25: the same list, asked of a software authenticator that shares no code with us.
#[test]
fn a_software_authenticator_is_accepted_and_its_misuse_refused() {
    let (rp, origin, other_origin) =
        ("example.com", "https://approve.example.com", "https://pay.example.com");
    let create = |rp: &str| {
        json!({
            "rp": { "id": rp, "name": "Quorate" },
            "user": { "id": "AAAA", "name": "alice", "displayName": "Alice" },
            "challenge": "AAAA",
            "pubKeyCredParams": [{ "type": "public-key", "alg": -7 }],
            "authenticatorSelection": { "userVerification": "required" },
        })
    };
    let get = |rp: &str, request: &Request, verification: &str| {
        let challenge = super::forge::base64url(&request.challenge());
        json!({ "rpId": rp, "challenge": challenge, "userVerification": verification })
    };
    let mut alice = Software::new();
    let registration = alice.create(origin, create(rp));
    let enrolled = PasskeyPublicKey::from_registration_json(&registration, rp, [origin]).unwrap();
    assert_eq!(enrolled.algorithm(), ES256);
    let judge = |json: &str| {
        let signed = request().with_assertion(Assertion::from_json(json).unwrap());
        Credential::from(enrolled.clone()).verify(&signed)
    };
    assert_eq!(judge(&alice.get(origin, get(rp, &request(), "required")).unwrap()), Ok(()));
    assert_eq!(judge(&alice.get(origin, get(rp, &request(), "preferred")).unwrap()), Ok(()));

    let mut parts = request().into_parts();
    parts.body.push(b' ');
    let other_request = Request::from_parts(parts).unwrap();
    let mut subdomain = Software::new();
    subdomain.create(origin, create("approve.example.com"));
    let mut other_credential = Software::new();
    other_credential.create(origin, create(rp));
    let named = |json: String| {
        // Another credential under the name of the enrolled one.
        let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let id: serde_json::Value = serde_json::from_str(&registration).unwrap();
        (value["id"], value["rawId"]) = (id["id"].clone(), id["rawId"].clone());
        value.to_string()
    };
    let cases = [
        (alice.get(other_origin, get(rp, &request(), "required")), PasskeyError::Origin),
        (alice.get(origin, get(rp, &request(), "discouraged")), PasskeyError::UserVerification),
        (alice.get(origin, get(rp, &other_request, "required")), PasskeyError::Challenge),
        (other_credential.get(origin, get(rp, &request(), "required")), PasskeyError::Credential),
        (other_credential.get(origin, get(rp, &request(), "required")).map(named), PasskeyError::Signature),
        (
            subdomain.get(origin, get("approve.example.com", &request(), "required")).map(named),
            PasskeyError::RelyingParty,
        ),
    ];
    for (index, (json, expected)) in cases.into_iter().enumerate() {
        assert_eq!(judge(&json.unwrap()), Err(VerifyError::Passkey(expected)), "case {index}");
    }
    // An honest browser does not even ask for another site's passkey.
    alice.get("https://evil.test", get(rp, &request(), "required")).unwrap_err();
}

#[test]
fn a_key_of_the_other_algorithm_is_not_tried() {
    let challenge = request().challenge();
    for (one, other) in [(ES256, EDDSA), (EDDSA, ES256)] {
        let assertion = Draft::new(&ID, &challenge).sign(&key(one));
        assert_eq!(enrolled(&key(other)).verify(&challenge, &assertion), Err(PasskeyError::Signature));
    }
    let Key::P256(secret) = key(ES256) else { panic!("an ES256 key") };
    // r ‖ s as client keys write it is not the form of an assertion.
    let assertion = Draft::new(&ID, &challenge).sign(&Key::P256(secret));
    let raw = p256::ecdsa::Signature::from_der(assertion.signature()).unwrap().to_bytes();
    let raw = Assertion::new(ID, assertion.authenticator_data(), assertion.client_data_json(), raw.to_vec());
    assert_eq!(enrolled(&key(ES256)).verify(&challenge, &raw.unwrap()), Err(PasskeyError::Signature));
}

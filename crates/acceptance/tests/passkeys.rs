//! Passkeys: webauthn-rs, which shares no code with us, judges the cases that our own tests judge, over the same challenge. What
//! it refuses we must not accept; what a honest browser may do, both accept.

#[path = "../../api/tests/passkeys/forge.rs"]
mod forge;
#[path = "../../api/tests/passkeys/software.rs"]
mod software;

use forge::{BAD, Draft, GOOD, ORIGINS, RP_ID, base64url};
use passkey::crypto::coset::Label;
use quorate_api::{Assertion, Credential, Method, PasskeyError, PasskeyPublicKey, Request};
use serde_json::{Value, json};
use software::Software;
use webauthn_rs::prelude::{
    Passkey, PasskeyAuthentication, PublicKeyCredential, RegisterPublicKeyCredential, Url, Uuid, Webauthn,
    WebauthnBuilder,
};

/// What webauthn-rs keeps of a passkey, and what we keep of it.
struct Enrolled {
    server: Webauthn,
    theirs: Passkey,
    ours: PasskeyPublicKey,
    key: p256::ecdsa::SigningKey,
    browser: Software,
}

/// One registration on a page of the first origin, read by both.
fn enrol() -> Enrolled {
    let origin = Url::parse(ORIGINS[0]).unwrap();
    let server = WebauthnBuilder::new(RP_ID, &origin)
        .unwrap()
        .append_allowed_origin(&Url::parse(ORIGINS[1]).unwrap())
        .build()
        .unwrap();
    let (options, state) =
        server.start_passkey_registration(Uuid::from_u128(1), "alice", "Alice", None).unwrap();
    let options = serde_json::to_value(options).unwrap()["publicKey"].take();
    let mut browser = Software::new();
    let registration = browser.create(ORIGINS[0], options);
    let response: RegisterPublicKeyCredential = serde_json::from_str(&registration).unwrap();
    let theirs = server.finish_passkey_registration(&response, &state).unwrap();
    let ours = PasskeyPublicKey::from_registration_json(&registration, RP_ID, ORIGINS).unwrap();
    let stored = browser.0.authenticator().store().as_ref().unwrap();
    let secret = stored.key.params.iter().find(|(label, _)| *label == Label::Int(-4)).unwrap();
    let secret = secret.1.as_bytes().unwrap();
    let key = p256::ecdsa::SigningKey::from_slice(secret).unwrap();
    assert_eq!(stored.credential_id.as_slice(), ours.credential_id());
    Enrolled { server, theirs, ours, key, browser }
}

fn request() -> Request {
    Request::new(Method::Post, "/v1/operations/op_1/approve", "alice", 1_800_000_000, "k-1", b"{}".to_vec())
        .unwrap()
}

/// What a browser would post.
fn posted(assertion: &Assertion) -> Value {
    json!({
        "id": base64url(assertion.credential_id()),
        "rawId": base64url(assertion.credential_id()),
        "type": "public-key",
        "extensions": {},
        "response": {
            "authenticatorData": base64url(assertion.authenticator_data()),
            "clientDataJSON": base64url(assertion.client_data_json()),
            "signature": base64url(assertion.signature()),
        },
    })
}

impl Enrolled {
    /// The verdict of webauthn-rs, made to have asked for our challenge.
    ///
    /// It keeps from the registration whether a passkey may be synchronised, and insists on it; we keep nothing of
    /// that. So it is asked as if it had been told either, and accepts if it accepts one.
    fn they_accept(&self, challenge: &[u8; 32], assertion: &Assertion) -> Result<(), String> {
        let mut verdict = Err(String::new());
        for synchronised in [false, true] {
            let mut passkey = serde_json::to_value(&self.theirs).unwrap();
            for member in ["backup_eligible", "backup_state"] {
                assert!(passkey["cred"][member].is_boolean());
                passkey["cred"][member] = json!(synchronised);
            }
            let passkey: Passkey = serde_json::from_value(passkey).unwrap();
            let (_, state) = self.server.start_passkey_authentication(&[passkey]).unwrap();
            let mut state = serde_json::to_value(state).unwrap();
            assert!(state["ast"]["challenge"].is_string());
            state["ast"]["challenge"] = json!(base64url(challenge));
            let state: PasskeyAuthentication = serde_json::from_value(state).unwrap();
            verdict = serde_json::from_value::<PublicKeyCredential>(posted(assertion))
                .map_err(|error| error.to_string())
                .and_then(|response| {
                    self.server
                        .finish_passkey_authentication(&response, &state)
                        .map_err(|error| format!("{error:?}"))
                })
                .map(|result| assert!(result.user_verified()));
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }
}

/// covers: S25: another verifier agrees, case by case.
#[test]
fn whatever_webauthn_rs_refuses_we_refuse() {
    let enrolled = enrol();
    let challenge = request().challenge();
    let judge = |assertion: &Assertion| {
        (enrolled.ours.verify(&challenge, assertion), enrolled.they_accept(&challenge, assertion))
    };
    for (name, change) in GOOD {
        let mut draft = Draft::new(enrolled.ours.credential_id(), &challenge);
        change(&mut draft, &challenge);
        let (ours, theirs) = judge(&draft.sign(&enrolled.key));
        assert_eq!(ours, Ok(()), "{name}");
        assert_eq!(theirs, Ok(()), "{name}");
    }
    let mut only_ours = Vec::new();
    for (name, change, expected) in BAD {
        let mut draft = Draft::new(enrolled.ours.credential_id(), &challenge);
        change(&mut draft, &challenge);
        let (ours, theirs) = judge(&draft.sign(&enrolled.key));
        assert_eq!(ours, Err(*expected), "{name}");
        if theirs.is_ok() {
            only_ours.push(*name);
        }
    }
    assert_eq!((GOOD.len(), BAD.len()), (11, 47));
    assert_eq!(only_ours, STRICTER);
}

/// What webauthn-rs accepts and we refuse, each for a reason in `spec/51-passkeys.md`. It compares origins as parsed addresses, does not
/// look at frames in assertions, and reads no further than it needs.
const STRICTER: &[&str] = &[
    "a frame that is neither",
    "padded challenge",
    "upper case",
    "trailing slash",
    "frame of another origin",
    "frame of another origin, named",
    "top origin alone",
    "top origin of nothing",
    "bytes without a flag",
    "credential data",
    "bytes after the extensions",
    "extensions without end",
];

/// covers: S25: each bit of what is signed changed *before* it is signed: whatever we accept of that, webauthn-rs accepts.
#[test]
fn whatever_we_accept_webauthn_rs_accepts() {
    let enrolled = enrol();
    let challenge = request().challenge();
    let good = Draft::new(enrolled.ours.credential_id(), &challenge);
    let mut drafts = Vec::new();
    for bit in 0..37 * 8 {
        drafts.push(Draft { bit: Some(bit), ..good.clone() });
    }
    for bit in 0..good.client_data.len() * 8 {
        let mut changed = good.client_data.clone().into_bytes();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(client_data) = String::from_utf8(changed) {
            drafts.push(Draft { client_data, ..good.clone() });
        }
    }
    let (cases, mut accepted) = (drafts.len(), 0);
    for draft in drafts {
        let client_data = draft.client_data.clone();
        let assertion = draft.sign(&enrolled.key);
        if enrolled.ours.verify(&challenge, &assertion).is_ok() {
            let theirs = enrolled.they_accept(&challenge, &assertion);
            let data = assertion.authenticator_data();
            assert_eq!(theirs, Ok(()), "{client_data} {data:02x?}");
            accepted += 1;
        }
    }
    // Seven bits of each character of the client data; 35 free bits of authenticator data, and some of `crossOrigin`,
    // which then is a member that nobody knows.
    assert_eq!(cases, 37 * 8 + 7 * good.client_data.len());
    assert!((35..35 + 8 * "crossOrigin".len()).contains(&accepted), "{accepted}");
}

#[test]
fn a_software_authenticator_satisfies_both() {
    let mut enrolled = enrol();
    let request = request();
    let challenge = request.challenge();
    let options = json!({
        "rpId": RP_ID, "challenge": base64url(&challenge), "userVerification": "required",
        "allowCredentials": [{ "type": "public-key", "id": base64url(enrolled.ours.credential_id()) }],
    });
    let json = enrolled.browser.get(ORIGINS[1], options).unwrap();
    let assertion = Assertion::from_json(&json).unwrap();
    assert_eq!(enrolled.they_accept(&challenge, &assertion), Ok(()));
    let signed = request.with_assertion(assertion.clone());
    assert_eq!(Credential::from(enrolled.ours.clone()).verify(&signed), Ok(()));
    let mut other = challenge;
    other[0] ^= 1;
    assert_eq!(enrolled.ours.verify(&other, &assertion), Err(PasskeyError::Challenge));
    assert!(enrolled.they_accept(&other, &assertion).is_err());
}

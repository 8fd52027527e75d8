//! Passkeys in Chromium: what the browser registers can be enrolled, what it signs is accepted, and its misuse is refused.

use quorate_acceptance::{Browser, Site};
use quorate_api::{
    Assertion, ClientAlgorithm, Credential, Method, PasskeyError, PasskeyKeyError, PasskeyPublicKey, Request,
    SignedRequest, VerifyError, verify_request,
};
use serde_json::{Value, json};

const RP_ID: &str = "localhost";
const EXPIRES: u64 = 1_800_000_000;

const CREATE: &str = "
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(argument);
    const credential = await navigator.credentials.create({ publicKey });
    return JSON.stringify(credential.toJSON());";
const GET: &str = "
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(argument);
    const credential = await navigator.credentials.get({ publicKey });
    return JSON.stringify(credential.toJSON());";

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn request(number: u64) -> Request {
    let body = format!(r#"{{"request_hash":"{:064x}"}}"#, number);
    Request::new(
        Method::Post,
        "/v1/operations/op_1/approve",
        "alice",
        EXPIRES,
        format!("k-{number}"),
        body.into_bytes(),
    )
    .unwrap()
}

/// Registers a passkey on the page; the JSON that the browser gives.
fn create(browser: &Browser, algorithm: i32, verification: &str) -> Result<String, String> {
    let options = json!({
        "rp": { "id": RP_ID, "name": "Quorate" },
        "user": { "id": "AAAA", "name": "alice", "displayName": "Alice" },
        "challenge": base64url(&[7; 32]),
        "pubKeyCredParams": [{ "type": "public-key", "alg": algorithm }],
        "authenticatorSelection": { "userVerification": verification, "residentKey": "discouraged" },
        "timeout": 10_000,
    });
    browser.run(CREATE, &options).map(|json| json.as_str().unwrap().to_owned())
}

/// Signs the challenge of `request` on the page or in the frame.
fn get(browser: &Browser, id: &[u8], request: &Request, verification: &str) -> Result<Assertion, String> {
    let options = json!({
        "rpId": RP_ID,
        "challenge": base64url(&request.challenge()),
        "allowCredentials": [{ "type": "public-key", "id": base64url(id) }],
        "userVerification": verification,
        "timeout": 10_000,
    });
    let json = browser.run(GET, &options)?;
    Ok(Assertion::from_json(json.as_str().unwrap()).unwrap())
}

/// The verdict of a node that is handed the request by another one.
fn judge(passkey: &PasskeyPublicKey, request: Request, assertion: Assertion) -> Result<(), VerifyError> {
    let sent = request.with_assertion(assertion).encode();
    let request = SignedRequest::decode(&sent).unwrap();
    verify_request(&request, |_| Some(Credential::from(passkey.clone())), EXPIRES, 60)
}

/// covers: S25: with a real browser, on three sites of one relying party.
#[test]
fn chromium_signs_and_its_misuse_is_refused() {
    let (home, other) = (Site::start(), Site::start());
    let browser = Browser::start();
    browser.open(&home.origin());
    let authenticator = browser.authenticator(None, true);
    let refused = |error| Err(VerifyError::Passkey(error));

    let mut accepted = 0;
    let mut first = None;
    for (algorithm, expected) in [(-7, ClientAlgorithm::P256), (-8, ClientAlgorithm::Ed25519)] {
        let registration = create(&browser, algorithm, "required").unwrap();
        let passkey =
            PasskeyPublicKey::from_registration_json(&registration, RP_ID, [home.origin()]).unwrap();
        assert_eq!(passkey.algorithm(), expected);
        for number in 1..=3 {
            let assertion = get(&browser, passkey.credential_id(), &request(number), "required").unwrap();
            assert_eq!(judge(&passkey, request(number), assertion.clone()), Ok(()));
            let another = judge(&passkey, request(number + 1), assertion);
            assert_eq!(another, refused(PasskeyError::Challenge));
            accepted += 1;
        }
        first.get_or_insert(passkey);
    }
    assert_eq!(accepted, 6);
    let passkey = first.unwrap();
    let id = passkey.credential_id();

    // RSA is registered by the browser and refused by us, with a reason.
    let rsa = create(&browser, -257, "required").unwrap();
    let found = PasskeyPublicKey::from_registration_json(&rsa, RP_ID, [home.origin()]);
    assert_eq!(found, Err(PasskeyKeyError::Algorithm));

    // Somebody else's passkey of the same site.
    let registration = create(&browser, -7, "required").unwrap();
    let second = PasskeyPublicKey::from_registration_json(&registration, RP_ID, [home.origin()]).unwrap();
    let assertion = get(&browser, second.credential_id(), &request(1), "required").unwrap();
    assert_eq!(judge(&passkey, request(1), assertion), refused(PasskeyError::Credential));

    // A page of the same domain on another port.
    browser.open(&other.origin());
    let assertion = get(&browser, id, &request(1), "required").unwrap();
    assert_eq!(judge(&passkey, request(1), assertion), refused(PasskeyError::Origin));

    // The right page, in a frame of that other one.
    browser.open(&format!("{}/frame?{}/", other.origin(), home.origin()));
    browser.enter_frame();
    let place = browser.run("return location.origin;", &Value::Null).unwrap();
    assert_eq!(place, json!(home.origin()));
    let assertion = get(&browser, id, &request(1), "required").unwrap();
    let client_data: Value = serde_json::from_slice(assertion.client_data_json()).unwrap();
    assert_eq!(client_data["origin"], json!(home.origin()));
    assert_eq!(judge(&passkey, request(1), assertion), refused(PasskeyError::CrossOrigin));

    // In a frame of its own origin it is itself.
    browser.open(&format!("{0}/frame?{0}/", home.origin()));
    browser.enter_frame();
    let assertion = get(&browser, id, &request(1), "required").unwrap();
    assert_eq!(judge(&passkey, request(1), assertion), Ok(()));

    // A user who cannot be verified gets no assertion at all.
    browser.open(&home.origin());
    browser.set_verified(&authenticator, false);
    let error = get(&browser, id, &request(1), "required").unwrap_err();
    assert!(error.starts_with("NotAllowedError"), "{error}");

    // An authenticator that verifies nobody gives one, and it is not enough.
    browser.authenticator(Some(&authenticator), false);
    let registration = create(&browser, -7, "discouraged").unwrap();
    let weak = PasskeyPublicKey::from_registration_json(&registration, RP_ID, [home.origin()]).unwrap();
    let assertion = get(&browser, weak.credential_id(), &request(1), "discouraged").unwrap();
    assert_eq!(judge(&weak, request(1), assertion), refused(PasskeyError::UserVerification));
}

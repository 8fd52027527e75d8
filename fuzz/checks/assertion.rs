//! The signature of a request, as its header or as a browser's JSON has it: one form, and nothing verifies but what was signed.

use quorate_api::{Assertion, PasskeyPublicKey, RequestSignature};

/// The passkey of the entropy `[9; 32]`.
pub(crate) const PASSKEY: &str = "passkey:ed25519:fd1724385aa0c75b64fb78cd602fa1d991fdebf76b13c58ed702eac835e9f618:AQEBAQEBAQEBAQEBAQEBAQ:example.com:https://example.com";
pub(crate) const CHALLENGE: [u8; 32] = [5; 32];
/// The hash of `example.com`; present and verified; no counter.
pub(crate) const DATA: &str = "a379a6f6eeafb9a55e378c118034e2751e682fab9f2d30ab13d2125586ce19470500000000";
pub(crate) const CLIENT: &str = r#"{"type":"webauthn.get","challenge":"BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU","origin":"https://example.com","crossOrigin":false}"#;

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let assertion = match RequestSignature::from_header(text) {
        Some(signature) => {
            assert_eq!(signature.to_header(), text, "two forms of one signature");
            let RequestSignature::Passkey(assertion) = signature else { return true };
            *assertion
        }
        None => match Assertion::from_json(text) {
            Ok(assertion) => assertion,
            Err(_) => return false,
        },
    };
    assert_eq!(Assertion::from_bytes(&assertion.to_bytes()).as_ref(), Ok(&assertion));
    let passkey: PasskeyPublicKey = PASSKEY.parse().unwrap();
    if passkey.verify(&CHALLENGE, &assertion).is_ok() {
        assert_eq!(hex::encode(assertion.authenticator_data()), DATA, "data that nobody signed");
        assert_eq!(assertion.client_data_json(), CLIENT.as_bytes(), "client data that nobody signed");
    }
    true
}

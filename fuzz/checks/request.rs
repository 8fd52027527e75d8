//! A signed request: one encoding, and what was read is within its bounds, its certificates too.

use quorate_api::{
    MAX_BODY, MAX_CHAIN, MAX_CHAIN_BYTES, MAX_CLIENT, MAX_IDEMPOTENCY_KEY, MAX_PATH, RequestSignature,
    SignedRequest, certificate_key, certificate_validity,
};

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(request) = SignedRequest::decode(bytes) else { return false };
    assert_eq!(request.encode(), bytes, "two encodings of one request");
    assert!(request.path_and_query().len() <= MAX_PATH && request.client().len() <= MAX_CLIENT);
    assert!(request.idempotency_key().len() <= MAX_IDEMPOTENCY_KEY && request.body().len() <= MAX_BODY);
    if let RequestSignature::Certificate(by) = request.signature() {
        assert!(by.chain().len() <= MAX_CHAIN && by.chain().concat().len() <= MAX_CHAIN_BYTES);
        for certificate in by.chain() {
            if let Some((begins, _)) = certificate_validity(certificate) {
                assert!(certificate_key(certificate).is_some(), "valid from {begins} on, and without a key");
            }
        }
    }
    true
}

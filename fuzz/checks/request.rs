//! A signed request: one encoding, and what was read is within its bounds.

use quorate_api::{MAX_BODY, MAX_CLIENT, MAX_IDEMPOTENCY_KEY, MAX_PATH, SignedRequest};

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(request) = SignedRequest::decode(bytes) else { return false };
    assert_eq!(request.encode(), bytes, "two encodings of one request");
    assert!(request.path_and_query().len() <= MAX_PATH && request.client().len() <= MAX_CLIENT);
    assert!(request.idempotency_key().len() <= MAX_IDEMPOTENCY_KEY && request.body().len() <= MAX_BODY);
    true
}

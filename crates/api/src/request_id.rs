//! Request ids: how a client, the node's log and its answers name one HTTP request.

/// Header that carries it, in both directions.
pub const HEADER_REQUEST_ID: &str = "x-request-id";
/// Longest request id, in bytes.
pub const MAX_REQUEST_ID: usize = 64;

/// Whether `id` is taken over from a client: 1 to 64 of `a-z A-Z 0-9 . _ -`. Anything else is replaced by one of the node's.
pub fn is_request_id(id: &str) -> bool {
    (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_plain_ids_are_taken_over() {
        for good in ["a", "req_0011", "4bf92f35-77b3.x", &"x".repeat(64)] {
            assert!(is_request_id(good), "{good}");
        }
        for bad in ["", "a b", "a\nb", "ä", "{}", &"x".repeat(65)] {
            assert!(!is_request_id(bad), "{bad}");
        }
    }
}

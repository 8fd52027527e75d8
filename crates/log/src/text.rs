//! The small pieces of text that the C2SP formats share: base64, decimal numbers, key names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// RFC 4648, section 4, with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The inverse; padding must be there and unused bits zero, so that bytes have one text.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A decimal number below 2⁶³ without sign or leading zeros.
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !(text.is_empty() || text.starts_with('0'));
    let value: u64 = if digits && canonical { text.parse().ok()? } else { return None };
    (value <= crate::MAX_SIZE).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("9223372036854775807"), Some(crate::MAX_SIZE));
        for bad in
            ["", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "9223372036854775808", "99999999999999999999"]
        {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn base64_has_one_form() {
        assert_eq!(from_base64("AQ==").unwrap(), [1]);
        for bad in ["AQ", "AQ=", "AR==", "A Q==", "AQ==\n", "AQ==AQ==", "_w=="] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }
}

//! An entry of the log: one encoding, and a view of it for people that is one line.

use quorate_log::entry::Entry;

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(entry) = Entry::decode(bytes) else { return false };
    assert_eq!(entry.encode(), bytes, "two encodings of one entry");
    assert!(bytes.len() <= Entry::MAX_LEN);
    true
}

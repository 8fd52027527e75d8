//! What nodes read that is neither of a session nor of a client: messages of other nodes, proofs of epochs, records and what was sealed of keys. What
//! decodes has one encoding, and texts for people are bounded and plain.

use quorate_node::fuzz;

/// The first byte of an input says what the others are.
pub(crate) const CONTROL: u8 = 0;
pub(crate) const PROOF: u8 = 1;
pub(crate) const RECORD: u8 = 2;
pub(crate) const SEALED: u8 = 3;
pub(crate) const PENDING: u8 = 4;

pub(crate) fn check(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        Some((&CONTROL, bytes)) => control(bytes),
        Some((&PROOF, bytes)) => one_form(bytes, fuzz::proof),
        Some((&RECORD, bytes)) => {
            // JSON has many forms; the one that is written reads back.
            let Some(written) = fuzz::record(bytes) else { return false };
            one_form(&written, fuzz::record)
        }
        Some((&SEALED, bytes)) => one_form(bytes, fuzz::sealed),
        Some((&PENDING, bytes)) => {
            let Some((package, secret)) = fuzz::pending(bytes) else { return false };
            assert_eq!(
                package.len() + secret.len() + 8,
                bytes.len(),
                "a pending share with more than its parts"
            );
            true
        }
        _ => false,
    }
}

fn one_form(bytes: &[u8], read: fn(&[u8]) -> Option<Vec<u8>>) -> bool {
    let Some(again) = read(bytes) else { return false };
    assert_eq!(again, bytes, "two encodings of one thing");
    true
}

fn control(bytes: &[u8]) -> bool {
    let Some((again, refusal)) = fuzz::control(bytes) else { return false };
    if again != bytes {
        // Only the name of a request is left out, when no node would give it.
        assert_eq!((bytes.get(1), again.get(1)), (Some(&1), Some(&0)), "two encodings of one message");
        assert!(bytes.ends_with(&again[2..]), "another message than was sent");
        assert_eq!(fuzz::control(&again).map(|(bytes, _)| bytes), Some(again));
    }
    if let Some(refusal) = refusal {
        assert!(refusal.detail.chars().count() <= 600 && !refusal.detail.contains(char::is_control));
    }
    true
}

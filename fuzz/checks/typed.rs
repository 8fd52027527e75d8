//! What people type or keep in files of theirs: recovery keys, who of them can open, places for backups, links to keys in an HSM. What is taken reads back as it
//! is written; what is refused is refused in few words that repeat no secret.

use quorate_backup::Place;
use quorate_backup::text::{self, TextError};
use quorate_seal::HsmUri;

/// The first byte of an input says what the others are.
pub(crate) const KEYS: u8 = b'k';
pub(crate) const ACCESS: u8 = b'a';
pub(crate) const PLACE: u8 = b'p';
pub(crate) const HSM: u8 = b'h';

/// The longest account of what is wrong with a text, beside the text itself where that is repeated.
const WORDS: usize = 600;

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Some((&what, bytes)) = bytes.split_first() else { return false };
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match what {
        KEYS => keys(text),
        ACCESS => access(text),
        PLACE => place(text),
        HSM => hsm(text),
        _ => false,
    }
}

fn keys(text: &str) -> bool {
    let public = match text::public_keys(text) {
        Ok(public) => public,
        Err(error) => return refused(&error.to_string(), 0),
    };
    for recipient in &public {
        let line = text::public_line(&recipient.name, &recipient.key);
        let again = text::public_keys(&line).expect("what was read is written as it is read");
        assert_eq!(again.as_slice(), std::slice::from_ref(recipient));
    }
    // The whole text behind one of the lines is another text: what it says of the secret is judged by itself.
    match text::open_secret(text, None) {
        Ok((name, secret)) => {
            assert_eq!(name, public[0].name, "the secret is that of the first");
            assert_eq!(secret.public().as_ref(), Some(&public[0].key), "a secret that is not of its key");
        }
        Err(TextError::NeedsPassphrase) => assert!(text::is_sealed(text)),
        Err(error) => drop(refused(&error.to_string(), 0)),
    }
    !public.is_empty()
}

fn access(text: &str) -> bool {
    match text::parse_access(text) {
        Ok(access) => {
            let written = access.to_string();
            let again = text::parse_access(&written).expect("what was read is written as it is read");
            assert_eq!(again.to_string(), written);
            assert_eq!(again.names(), access.names());
            true
        }
        // The text is the person's own; names and pieces of it are repeated.
        Err(error) => refused(&error.to_string(), 3 * text.len()),
    }
}

fn place(text: &str) -> bool {
    // Each makes the client that would speak to the bucket, which takes long: so only some do.
    if text.starts_with("s3://") && !text.len().is_multiple_of(9) {
        return false;
    }
    match Place::parse(text) {
        Ok(place) => {
            assert_eq!(place.to_string(), text);
            assert!(text.starts_with("s3://") || !text.contains("://"));
            true
        }
        Err(error) => refused(&error.to_string(), 3 * text.len()),
    }
}

fn hsm(text: &str) -> bool {
    match text.parse::<HsmUri>() {
        Ok(uri) => {
            let written = uri.to_string();
            assert_eq!(written.parse(), Ok(uri), "`{written}`");
            let mut attributes = written.split([':', '?', '&', ';']);
            assert!(!attributes.any(|part| part.starts_with("pin-value=")), "a PIN has no place in a link");
            true
        }
        Err(error) => {
            let said = error.to_string();
            if let Some(other) = with_another_pin(text) {
                let again = other.parse::<HsmUri>().expect_err("another PIN makes no link of it");
                assert_eq!(again.to_string(), said, "a PIN is repeated");
            }
            refused(&said, 0)
        }
    }
}

/// The link with other PINs of the same length, if there is one in it.
fn with_another_pin(text: &str) -> Option<String> {
    let rest = text.strip_prefix("pkcs11:")?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut is_inside = false;
    let mut other = |part: &str| match part.strip_prefix("pin-value=") {
        Some(pin) => {
            is_inside = true;
            format!("pin-value={}", "x".repeat(pin.len()))
        }
        None => part.to_owned(),
    };
    let path: Vec<String> = path.split(';').map(&mut other).collect();
    let query: Vec<String> = query.split('&').map(&mut other).collect();
    is_inside.then(|| format!("pkcs11:{}?{}", path.join(";"), query.join("&")))
}

/// An account of what is wrong, which may repeat so much of the text: `false`, for the caller's answer.
fn refused(said: &str, repeats: usize) -> bool {
    assert!(!said.is_empty() && said.len() <= WORDS + repeats, "{said}");
    assert!(repeats > 0 || !said.chars().any(char::is_control), "{said:?}");
    false
}

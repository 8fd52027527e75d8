//! A private key of any format: bounded work, and an export that gives the same key.

use quorate_material::{Ask, MaterialError, read};

pub(crate) fn check(bytes: &[u8]) -> bool {
    // No password: what an encrypted file costs is judged before it is asked for.
    let ask = Ask { curve: None, ..Ask::default() };
    let curve = Some(quorate_material::CurveId::Secp256k1);
    let key = read(bytes, &ask).or_else(|_| read(bytes, &Ask { curve, ..Ask::default() }));
    let key = match key {
        Ok(key) => key,
        Err(error) => return error == MaterialError::PasswordNeeded,
    };
    let again = read(key.to_export().as_bytes(), &Ask::default());
    let Ok(again) = again else { panic!("an export cannot be read") };
    assert_eq!(again.public_key(), key.public_key(), "an export of another key");
    assert_eq!(again.scalar(), key.scalar(), "an export of another key");
    true
}

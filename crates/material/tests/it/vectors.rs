//! The vectors of BIP-39, BIP-32, SLIP-0010 and of Ethereum's keystore.

use quorate_material::{Ask, DerivationPath, ExtendedKey, Format, MaterialError, read};
use quorate_protocol::curve::CurveId;
use serde_json::Value;

use crate::{secret, text};

fn rows(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap()
}

fn str_of<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap()
}

/// The 24 English vectors that Trezor published with BIP-39, with the passphrase TREZOR: the words give the root key.
#[test]
fn bip39() {
    let rows = rows(include_str!("../vectors/bip39.json"));
    let passphrase = secret("TREZOR");
    for row in &rows {
        let words = str_of(row, "words");
        let path = DerivationPath::default();
        let ask = Ask {
            curve: Some(CurveId::Secp256k1),
            path: Some(&path),
            password: Some(&passphrase),
            ..Ask::default()
        };
        let key = text(words, &ask).unwrap();
        let root = ExtendedKey::from_xprv(str_of(row, "root")).unwrap();
        assert_eq!(key.scalar(), root.secret(), "{words}");
        assert_eq!(key.chain_code(), Some(root.chain_code()), "{words}");
        // The seed alone gives the same key.
        let ask = Ask { format: Some(Format::Seed), password: None, ..ask };
        assert_eq!(text(str_of(row, "seed"), &ask).unwrap().scalar(), root.secret(), "{words}");
    }
    assert_eq!(rows.len(), 24);
}

/// Vectors 1 to 4 of BIP-32, from the seed and from each parent; and the 16 refusals of vector 5.
#[test]
fn bip32() {
    let file: Value = serde_json::from_str(include_str!("../vectors/bip32.json")).unwrap();
    let valid = file["valid"].as_array().unwrap();
    for row in valid {
        let path: DerivationPath = str_of(row, "path").parse().unwrap();
        let seed = hex::decode(str_of(row, "seed")).unwrap();
        let key = ExtendedKey::master(CurveId::Secp256k1, &seed).unwrap().at(&path).unwrap();
        let expected = ExtendedKey::from_xprv(str_of(row, "xprv")).unwrap();
        assert_eq!((key.secret(), key.chain_code()), (expected.secret(), expected.chain_code()), "{row}");
        let read = read(str_of(row, "xprv").as_bytes(), &Ask::default()).unwrap();
        assert_eq!(read.scalar(), expected.secret());
        // The public key is the one inside the extended public key: 33 bytes before the checksum.
        let public = bitcoin::bip32::Xpub::decode(&bs58_check(str_of(row, "xpub"))).unwrap().public_key;
        assert_eq!(read.public_key(), public.serialize());
        let refused = text(str_of(row, "xpub"), &Ask::default()).unwrap_err();
        assert!(refused.to_string().contains("public key"), "{refused}");
    }
    let invalid = file["invalid"].as_array().unwrap();
    for row in invalid {
        let ask = Ask { format: Some(Format::ExtendedKey), ..Ask::default() };
        let refused = text(row.as_str().unwrap(), &ask).unwrap_err();
        let named = matches!(
            refused,
            MaterialError::Malformed { .. } | MaterialError::Unsupported { .. } | MaterialError::Scalar(_)
        );
        assert!(named, "{row}: {refused}");
    }
    assert_eq!((valid.len(), invalid.len()), (17, 16));
}

fn bs58_check(text: &str) -> Vec<u8> {
    bitcoin::base58::decode_check(text).unwrap()
}

/// The vectors of SLIP-0010 for its three curves, with the two that must try again.
#[test]
fn slip10() {
    let rows = rows(include_str!("../vectors/slip10.json"));
    for row in &rows {
        let curve = [CurveId::Secp256k1, CurveId::P256, CurveId::Ed25519]
            .into_iter()
            .find(|curve| curve.name() == str_of(row, "curve"))
            .unwrap();
        let path: DerivationPath = str_of(row, "path").parse().unwrap();
        let seed = hex::decode(str_of(row, "seed")).unwrap();
        let key = ExtendedKey::master(curve, &seed).unwrap().at(&path).unwrap();
        assert_eq!(hex::encode(key.secret()), str_of(row, "private"), "{row}");
        assert_eq!(hex::encode(key.chain_code()), str_of(row, "chain_code"), "{row}");
        let ask = Ask { format: Some(Format::Seed), curve: Some(curve), path: Some(&path), password: None };
        let material = text(str_of(row, "seed"), &ask).unwrap();
        let public = str_of(row, "public");
        // SLIP-0010 writes a zero byte before a key of Ed25519.
        let public = if curve == CurveId::Ed25519 { &public[2..] } else { public };
        assert_eq!(hex::encode(material.public_key()), public, "{row}");
    }
    assert_eq!(rows.len(), 40);
}

/// The two files of Ethereum's own tests, one for each way to stretch the password.
#[test]
fn keystore() {
    let rows = rows(include_str!("../vectors/keystore.json"));
    for row in &rows {
        let file = row["file"].to_string();
        let password = secret(str_of(row, "password"));
        let key = text(&file, &Ask { password: Some(&password), ..Ask::default() }).unwrap();
        assert_eq!(hex::encode(key.scalar()), str_of(row, "private"));
        assert_eq!(key.format(), Format::Keystore);
        assert_eq!(text(&file, &Ask::default()).unwrap_err(), MaterialError::PasswordNeeded);
    }
    assert_eq!(rows.len(), 2);
    // With its address; and refused with another one, after the password was right.
    let mut file = rows[0]["file"].clone();
    let password = secret("testpassword");
    for (address, fits) in [
        ("008aeeda4d805471df9b2a5b0f38a0c3bcba786b", true),
        ("0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b", true),
        ("108aeeda4d805471df9b2a5b0f38a0c3bcba786b", false),
    ] {
        file["address"] = address.into();
        let read = text(&file.to_string(), &Ask { password: Some(&password), ..Ask::default() });
        assert_eq!(read.is_ok(), fits, "{address}");
        if !fits {
            assert_eq!(read.unwrap_err(), MaterialError::Mismatch { what: "address" });
        }
    }
}

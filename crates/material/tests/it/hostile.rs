//! Files that want to exhaust us, and damaged ones: a named refusal at once, and never a word of what was in them.

use std::time::{Duration, Instant};

use quorate_material::{Ask, Format, MAX_INPUT, MaterialError, read};
use quorate_protocol::curve::CurveId;
use serde_json::{Value, json};

use crate::{secret, text};

fn keystore() -> Value {
    let rows: Vec<Value> = serde_json::from_str(include_str!("../vectors/keystore.json")).unwrap();
    rows[1]["file"].clone()
}

/// Parameters that would take terabytes or years are refused before anything is computed, and before a password is asked for.
#[test]
fn bombs() {
    let scrypt = [
        (1_u64 << 40, 8_u64, 1_u64),
        (1 << 20, 8, 1),
        (1 << 18, 1 << 20, 1),
        (1 << 18, 8, 1 << 20),
        (u64::MAX, u64::MAX, u64::MAX),
        (0, 0, 0),
        (262_143, 8, 1),
    ];
    let begun = Instant::now();
    let mut refused = 0;
    for (n, r, p) in scrypt {
        let mut file = keystore();
        file["crypto"]["kdfparams"]["n"] = n.into();
        file["crypto"]["kdfparams"]["r"] = r.into();
        file["crypto"]["kdfparams"]["p"] = p.into();
        let error = text(&file.to_string(), &Ask::default()).unwrap_err();
        assert!(matches!(error, MaterialError::TooExpensive { .. }), "{n} {r} {p}: {error}");
        refused += 1;
    }
    for rounds in [0_u64, 10_000_001, u64::MAX] {
        let mut file = keystore();
        file["crypto"]["kdf"] = "pbkdf2".into();
        file["crypto"]["kdfparams"] = json!({"c": rounds, "dklen": 32, "prf": "hmac-sha256", "salt": "00"});
        let error = text(&file.to_string(), &Ask::default()).unwrap_err();
        assert!(matches!(error, MaterialError::TooExpensive { .. }), "{rounds}: {error}");
        refused += 1;
    }
    assert_eq!(refused, 10);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// Each field of a keystore, broken: the refusal names the field or the password.
#[test]
fn keystores_with_one_broken_field() {
    let cases: [(&[&str], Value, &str); 16] = [
        (&["version"], json!(1), "version 1"),
        (&["version"], json!(4), "BLS"),
        (&["version"], json!("3"), "version"),
        (&["crypto"], json!({}), "missing"),
        (&["crypto", "cipher"], json!("aes-256-cbc"), "aes-128-ctr"),
        (&["crypto", "cipherparams", "iv"], json!("00"), "`iv`"),
        (&["crypto", "ciphertext"], json!("00"), "`ciphertext`"),
        (&["crypto", "ciphertext"], json!("zz".repeat(32)), "`ciphertext`"),
        (&["crypto", "ciphertext"], json!("00".repeat(32)), "password"),
        (&["crypto", "mac"], json!("00".repeat(31)), "`mac`"),
        (&["crypto", "mac"], json!("00".repeat(32)), "password"),
        (&["crypto", "kdf"], json!("argon2id"), "`kdf`"),
        (&["crypto", "kdfparams", "dklen"], json!(16), "`dklen`"),
        (&["crypto", "kdfparams", "dklen"], json!(1_u64 << 40), "`dklen`"),
        (&["crypto", "kdfparams", "salt"], json!("00".repeat(257)), "`salt`"),
        (&["crypto", "kdfparams", "n"], json!(null), "`n`"),
    ];
    let count = cases.len();
    for (path, value, hint) in cases {
        let mut file = keystore();
        // A cheap stretch, so that the cases which get so far do not take long.
        file["crypto"]["kdfparams"]["n"] = 2.into();
        let mut at = &mut file;
        for name in path {
            at = &mut at[*name];
        }
        *at = value;
        let password = secret("testpassword");
        let error =
            text(&file.to_string(), &Ask { password: Some(&password), ..Ask::default() }).unwrap_err();
        assert!(error.to_string().contains(hint), "{path:?}: {error}");
    }
    assert_eq!(count, 16);
}

/// Damaged texts of each format.
#[test]
fn damaged_texts() {
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let k1 = Ask { curve: Some(CurveId::Secp256k1), ..Ask::default() };
    let long = "a".repeat(MAX_INPUT + 1);
    let wif = "KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617";
    let cases: [(&str, Option<Format>); 22] = [
        ("", None),
        ("hello", None),
        (&long, None),
        (&"0".repeat(64), None),
        (order, None),
        (&"f".repeat(64), None),
        (&"0".repeat(63), None),
        (&"0".repeat(65), Some(Format::Hex)),
        (&"g".repeat(64), Some(Format::Hex)),
        (&"11".repeat(64), None),
        (&wif.replace("98617", "98618"), None),
        (&wif[..51], None),
        ("", Some(Format::Wif)),
        ("1", Some(Format::Wif)),
        (&"1".repeat(2000), Some(Format::Wif)),
        ("[1,2,3]", None),
        ("[256]", None),
        ("{", None),
        ("{}", None),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", None),
        ("-----BEGIN PRIVATE KEY-----", None),
        ("quorate private key v1\nnumber: 00", None),
    ];
    for (input, format) in cases {
        let ask = Ask { format, ..Ask { curve: k1.curve, ..Ask::default() } };
        let error = text(input, &ask).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(input.len() < 8 || !said.contains(input), "{said}");
    }
    assert_eq!(cases.len(), 22);
    for bytes in
        [[0x30, 0x80, 0, 0].as_slice(), &[0xff; 64], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0]]
    {
        assert!(read(bytes, &k1).is_err(), "{bytes:?}");
    }
}

/// `Debug` of everything that holds a secret says nothing of it.
#[test]
fn debug_is_silent() {
    let number = "5a".repeat(32);
    let key = text(&number, &Ask { curve: Some(CurveId::Secp256k1), ..Ask::default() }).unwrap();
    let said = format!("{key:?} {:?}", secret("5a5a5a"));
    assert!(!said.contains("5a5a") && !said.contains("90, 90"), "{said}");
}

//! What can be enrolled, and how it is written.

use super::forge::{ORIGINS, RP_ID, base64url};
use super::{ID, Key, enrolled, key, public_key};
use ed25519::pkcs8::EncodePublicKey as _;
use quorate_api::{
    ClientAlgorithm, ClientPublicKey, Credential, CredentialError, MAX_CREDENTIAL_ID, PasskeyKeyError,
    PasskeyPublicKey,
};
use serde_json::json;

fn spki(key: &Key) -> Vec<u8> {
    match key {
        Key::P256(key) => p256::PublicKey::from(key.verifying_key()).to_public_key_der().unwrap().into_vec(),
        Key::Ed25519(key) => key.verifying_key().to_public_key_der().unwrap().into_vec(),
    }
}

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text.split_whitespace().collect::<String>()).unwrap()
}

#[test]
fn keys_of_browsers_are_read() {
    for algorithm in [ClientAlgorithm::P256, ClientAlgorithm::Ed25519] {
        let key = key(algorithm);
        let read = PasskeyPublicKey::from_spki(&spki(&key), ID, RP_ID, ORIGINS).unwrap();
        assert_eq!(read, enrolled(&key));
        assert_eq!(read.algorithm(), algorithm);
        let number = if algorithm == ClientAlgorithm::P256 { -7 } else { -8 };
        let registration = |number: i64, public_key: Option<String>| {
            let json = json!({
                "id": base64url(&ID), "rawId": base64url(&ID), "type": "public-key",
                "clientExtensionResults": {},
                "response": {
                    "publicKey": public_key, "publicKeyAlgorithm": number, "transports": ["internal"],
                    "attestationObject": "AAAA", "clientDataJSON": "AAAA", "authenticatorData": "AAAA",
                },
            });
            PasskeyPublicKey::from_registration_json(&json.to_string(), RP_ID, ORIGINS)
        };
        let good = Some(base64url(&spki(&key)));
        assert_eq!(registration(number, good.clone()), Ok(enrolled(&key)));
        assert_eq!(registration(-15 - number, good.clone()), Err(PasskeyKeyError::Key));
        assert_eq!(registration(-257, None), Err(PasskeyKeyError::Algorithm));
        assert_eq!(registration(-35, good), Err(PasskeyKeyError::Algorithm));
        assert_eq!(registration(number, None), Err(PasskeyKeyError::Json));
    }
    for text in ["", "{}", "null", &" ".repeat(70_000)] {
        let found = PasskeyPublicKey::from_registration_json(text, RP_ID, ORIGINS);
        assert_eq!(found, Err(PasskeyKeyError::Json));
    }
}

#[test]
fn other_keys_are_refused_with_a_reason() {
    let read = |der: &[u8]| PasskeyPublicKey::from_spki(der, ID, RP_ID, ORIGINS).map(|_| ());
    let p256 = spki(&key(ClientAlgorithm::P256));
    // RSA with the modulus 0xc5 … (openssl genrsa 512), secp256k1's generator, and Ed25519's identity.
    let rsa = hex("305c 300d 0609 2a864886f70d010101 0500 034b 00 3048 0241 00")
        .into_iter()
        .chain([0xc5; 64])
        .chain(hex("0203 010001"))
        .collect::<Vec<_>>();
    assert_eq!(read(&rsa), Err(PasskeyKeyError::Algorithm));
    assert!(PasskeyKeyError::Algorithm.to_string().contains("RS256"));
    let secp256k1 = hex("3056 3010 0607 2a8648ce3d0201 0605 2b8104000a 0342 00 04
        79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798
        483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8");
    assert_eq!(read(&secp256k1), Err(PasskeyKeyError::Key));
    let weak = [hex("302a 3005 0603 2b6570 0321 00 01"), vec![0; 31]].concat();
    assert_eq!(read(&weak), Err(PasskeyKeyError::Key));
    let mut off_curve = p256.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    assert_eq!(read(&off_curve), Err(PasskeyKeyError::Key));
    for length in 0..p256.len() {
        assert_eq!(read(&p256[..length]), Err(PasskeyKeyError::Key), "a prefix of {length} bytes");
    }
    assert_eq!(read(&[&p256[..], &[0]].concat()), Err(PasskeyKeyError::Key));
}

#[test]
fn relying_party_and_origins_fit_together() {
    let key = public_key(&key(ClientAlgorithm::P256));
    let new = |rp_id: &str, origins: &[&str]| {
        PasskeyPublicKey::new(key.clone(), ID, rp_id, origins.iter().copied()).map(|_| ())
    };
    let long = format!("{}.example", ["a".repeat(60).as_str(); 4].join("."));
    assert_eq!(long.len(), 251);
    let eight: Vec<String> = (1..=9).map(|port| format!("https://a.example:{port}")).collect();
    let eight: Vec<&str> = eight.iter().map(String::as_str).collect();
    for (rp_id, origins) in [
        ("a.example", &["https://a.example"][..]),
        ("a.example", &["https://a.example:8443", "https://b.a.example"]),
        ("localhost", &["http://localhost:8080", "https://localhost"]),
        ("wallet.localhost", &["http://wallet.localhost:1"]),
        ("xn--bcher-kva.example", &["https://xn--bcher-kva.example"]),
        (&long, &[&format!("https://{long}:65535")]),
        ("a.example", &eight[..8]),
    ] {
        assert_eq!(new(rp_id, origins), Ok(()), "{rp_id} {origins:?}");
    }
    let longer = format!("aaa{long}");
    for rp_id in [
        "",
        ".",
        "a..b",
        ".a",
        "a.",
        "A.example",
        "a_b",
        "-a",
        "a-",
        "a b",
        "bücher.example",
        "a:1",
        "127.0.0.1",
        "1",
        &longer,
    ] {
        assert_eq!(new(rp_id, &["https://a.example"]), Err(PasskeyKeyError::RpId), "{rp_id}");
    }
    let origins: &[&[&str]] = &[
        &[],
        &eight,
        &["https://a.example", "https://a.example"],
        &["http://a.example"],
        &["https://b.example"],
        &["https://ba.example"],
        &["https://a.example.b.example"],
        &["https://example"],
        &["https://a.example/"],
        &["https://a.example?"],
        &["https://a.example#"],
        &["https://user@a.example"],
        &["https://A.example"],
        &["https://a.example:443"],
        &["https://a.example:0"],
        &["https://a.example:"],
        &["https://a.example:01"],
        &["https://a.example:+1"],
        &["https://a.example:65536"],
        &["https://a.example:1:2"],
        &["https://a.example "],
        &["https://"],
        &["a.example"],
        &["null"],
        &["android:apk-key-hash:abc"],
        &["http://localhost"],
    ];
    for origins in origins {
        assert_eq!(new("a.example", origins), Err(PasskeyKeyError::Origin), "{origins:?}");
    }
    assert_eq!(origins.len(), 26);
    assert_eq!(new("localhost", &["http://localhost:80"]), Err(PasskeyKeyError::Origin));
    for length in [0, MAX_CREDENTIAL_ID + 1] {
        let found = PasskeyPublicKey::new(key.clone(), vec![1; length], RP_ID, ORIGINS);
        assert_eq!(found, Err(PasskeyKeyError::CredentialId));
    }
}

#[test]
fn text_and_json_are_strict() {
    for algorithm in [ClientAlgorithm::P256, ClientAlgorithm::Ed25519] {
        let passkey = enrolled(&key(algorithm));
        let (name, digits) = (algorithm.as_str(), hex::encode(passkey.key().to_bytes()));
        let text = passkey.to_string();
        let id = base64url(&ID);
        assert_eq!(
            text,
            format!("passkey:{name}:{digits}:{id}:quorate.example:{},{}", ORIGINS[0], ORIGINS[1])
        );
        assert_eq!(text.parse(), Ok(passkey.clone()));
        assert_eq!(text.parse(), Ok(Credential::from(passkey.clone())));
        assert_eq!(format!("{passkey:?}"), text);
        let credential = Credential::from(passkey.clone());
        let json = json!({ "passkey": {
            "key": format!("{name}:{digits}"), "credential_id": id, "rp_id": RP_ID, "origins": ORIGINS,
        }});
        assert_eq!(serde_json::to_value(&credential).unwrap(), json);
        assert_eq!(serde_json::from_value::<Credential>(json.clone()).unwrap(), credential);
        let key: ClientPublicKey = passkey.key().clone();
        let key_json = json!({ "key": key.to_string() });
        assert_eq!(serde_json::to_value(Credential::from(key.clone())).unwrap(), key_json);
        assert_eq!(serde_json::from_value::<Credential>(key_json).unwrap(), Credential::from(key.clone()));
        assert_eq!(key.to_string().parse(), Ok(Credential::from(key)));

        let mut cases = 0;
        let mut refuse = |changed: serde_json::Value| {
            assert!(serde_json::from_value::<Credential>(changed.clone()).is_err(), "{changed}");
            cases += 1;
        };
        for member in ["key", "credential_id", "rp_id", "origins"] {
            let mut missing = json.clone();
            missing["passkey"].as_object_mut().unwrap().remove(member);
            refuse(missing);
            let mut null = json.clone();
            null["passkey"][member] = serde_json::Value::Null;
            refuse(null);
        }
        let mut more = json.clone();
        more["passkey"]["user_verification"] = json!(false);
        refuse(more);
        let mut both = json.clone();
        both["key"] = json!("x");
        refuse(both);
        let mut padded = json.clone();
        padded["passkey"]["credential_id"] = json!(format!("{id}=="));
        refuse(padded);
        refuse(json!({}));
        refuse(json!(text));
        refuse(json["passkey"].clone());
        assert_eq!(cases, 14);
    }
}

#[test]
fn malformed_text_is_refused_with_a_reason() {
    let text = enrolled(&key(ClientAlgorithm::P256)).to_string();
    let id = base64url(&ID);
    for (changed, expected) in [
        (String::new(), PasskeyKeyError::Text),
        ("passkey".to_owned(), PasskeyKeyError::Text),
        (text.replacen("passkey:", "", 1), PasskeyKeyError::Text),
        (text.replacen(":p256:", ":p384:", 1), PasskeyKeyError::Key),
        (text.replacen(&id, &format!("{id}="), 1), PasskeyKeyError::CredentialId),
        (text.replacen(&id, "", 1), PasskeyKeyError::CredentialId),
        (text.replacen(":quorate.", ":Quorate.", 1), PasskeyKeyError::RpId),
        (format!("{text},"), PasskeyKeyError::Origin),
        (format!("{text}\n"), PasskeyKeyError::Origin),
        (text.split_once(":https").unwrap().0.to_owned(), PasskeyKeyError::Text),
    ] {
        assert_eq!(changed.parse::<PasskeyPublicKey>(), Err(expected), "{changed}");
        let error = changed.parse::<Credential>().unwrap_err();
        assert_eq!(changed.starts_with("passkey:"), error == CredentialError::Passkey(expected), "{changed}");
    }
}

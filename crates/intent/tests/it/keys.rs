//! Schemes, public keys and purposes.

use quorate_intent::{Network, PublicKey, Purpose, Scheme, check_purposes, default_purposes};
use std::collections::BTreeSet;

#[test]
fn names_round_trip() {
    let mut count = 0;
    for scheme in Scheme::ALL {
        assert_eq!(scheme.name().parse::<Scheme>().unwrap(), scheme);
        assert_eq!(serde_json::to_value(scheme).unwrap(), scheme.name());
        count += 1;
    }
    for purpose in Purpose::ALL {
        assert_eq!(purpose.name().parse::<Purpose>().unwrap(), purpose);
        assert_eq!(serde_json::to_value(purpose).unwrap(), purpose.name());
        count += 1;
    }
    for network in Network::ALL {
        assert_eq!(network.name().parse::<Network>().unwrap(), network);
        assert_eq!(serde_json::to_value(network).unwrap(), network.name());
        count += 1;
    }
    assert_eq!(count, 12);
    let error = "rsa\u{1b}[2J".parse::<Scheme>().unwrap_err();
    assert_eq!(error.code(), "unknown_name");
    assert!(!error.to_string().contains('\u{1b}'));
}

#[test]
fn public_keys_are_validated() {
    let generator = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let p256 = "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    let ed = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let good = [
        (Scheme::EcdsaSecp256k1, generator),
        (Scheme::Bip340, generator),
        (Scheme::EcdsaP256, p256),
        (Scheme::Ed25519, ed),
    ];
    for (scheme, hex) in good {
        let key = PublicKey::new(scheme, &hex::decode(hex).unwrap()).unwrap();
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
        assert_eq!(key.x_only().is_some(), scheme == Scheme::Bip340);
        assert_eq!(key.to_hex(), hex);
    }
    let zero = "00".repeat(32);
    let bad = [
        (Scheme::EcdsaSecp256k1, "02".to_owned() + &"ff".repeat(32)),
        // x = 5 is not on secp256k1.
        (Scheme::EcdsaSecp256k1, "02".to_owned() + &"00".repeat(31) + "05"),
        (Scheme::EcdsaSecp256k1, generator[2..].to_owned()),
        (Scheme::Bip340, "04".to_owned() + &generator[2..]),
        (Scheme::EcdsaP256, "02".to_owned() + &"ff".repeat(32)),
        (Scheme::EcdsaP256, "00".to_owned()),
        // The identity, a point of order 4, a non-canonical identity, and no point at all.
        (Scheme::Ed25519, "01".to_owned() + &zero[2..]),
        (Scheme::Ed25519, zero.clone()),
        (Scheme::Ed25519, "ee".to_owned() + &"ff".repeat(30) + "7f"),
        (Scheme::Ed25519, "02".to_owned() + &zero[2..]),
        // y = 3: on the curve, of large order, outside the subgroup; and its second encoding.
        (Scheme::Ed25519, "03".to_owned() + &zero[2..]),
        (Scheme::Ed25519, "f0".to_owned() + &"ff".repeat(30) + "7f"),
        (Scheme::Ed25519, generator.to_owned()),
    ];
    let mut refused = 0;
    for (scheme, hex) in bad {
        let error = PublicKey::new(scheme, &hex::decode(&hex).unwrap()).expect_err(&hex);
        assert_eq!(error.code(), "public_key_invalid");
        refused += 1;
    }
    assert_eq!(refused, 13);
}

#[test]
fn every_set_of_purposes_is_decided() {
    let mut allowed = Vec::new();
    let mut cases = 0;
    for scheme in Scheme::ALL {
        assert!(check_purposes(scheme, &default_purposes(scheme)).is_ok());
        assert!(!default_purposes(scheme).contains(&Purpose::Raw));
        for bits in 0_u32..32 {
            cases += 1;
            let set: BTreeSet<Purpose> = Purpose::ALL
                .iter()
                .enumerate()
                .filter(|(i, _)| bits >> i & 1 == 1)
                .map(|(_, p)| *p)
                .collect();
            if check_purposes(scheme, &set).is_ok() {
                let names: Vec<&str> = set.iter().map(|p| p.name()).collect();
                allowed.push(format!("{scheme}: {}", names.join("+")));
            }
        }
    }
    assert_eq!(cases, 128);
    assert_eq!(
        allowed,
        [
            "ecdsa-secp256k1: ethereum",
            "ecdsa-secp256k1: bitcoin",
            "ecdsa-secp256k1: ethereum+bitcoin",
            "ecdsa-secp256k1: message",
            "ecdsa-secp256k1: raw",
            "ecdsa-p256: message",
            "ecdsa-p256: raw",
            "ed25519: solana",
            "ed25519: message",
            "bip340: bitcoin",
            "bip340: message",
            "bip340: raw",
        ]
    );
}

#[test]
fn refused_purposes_say_why() {
    let both = BTreeSet::from([Purpose::Message, Purpose::Solana]);
    let error = check_purposes(Scheme::Ed25519, &both).unwrap_err();
    assert_eq!(error.code(), "purpose_not_alone");
    assert!(error.to_string().contains("content of a transaction"));
    assert!(error.to_string().contains("create a second key"));
    let error = check_purposes(Scheme::EcdsaP256, &BTreeSet::from([Purpose::Bitcoin])).unwrap_err();
    assert_eq!(error.code(), "purpose_unfit");
    assert!(error.to_string().contains("message, raw"));
    assert_eq!(check_purposes(Scheme::Bip340, &BTreeSet::new()).unwrap_err().code(), "purpose_missing");
}

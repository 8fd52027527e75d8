//! Extended public keys as text, against the vectors of BIP-32.

use bitcoin::bip32::Xpub;
use quorate_intent::{Network, PublicKey, Scheme, XpubPlace, xpub};
use serde_json::Value;
use std::collections::BTreeMap;

fn key(scheme: Scheme, xpub: &Xpub) -> PublicKey {
    PublicKey::new(scheme, &xpub.public_key.serialize()).unwrap()
}

/// What is written is the text of the vectors: roots, and the children of steps that are not hardened.
#[test]
fn the_text_is_that_of_bip32() {
    let file: Value =
        serde_json::from_str(include_str!("../../../material/tests/vectors/bip32.json")).unwrap();
    let rows = file["valid"].as_array().unwrap();
    let place = |row: &Value| (row["seed"].to_string(), row["path"].as_str().unwrap().to_owned());
    let known: BTreeMap<_, _> = rows.iter().map(|row| (place(row), row["xpub"].as_str().unwrap())).collect();
    let mut cases = 0;
    for ((seed, path), text) in &known {
        let parsed: Xpub = text.parse().unwrap();
        let parent = match path.rsplit_once('/') {
            None => None,
            Some((_, number)) if number.ends_with('\'') => continue,
            Some((parent, number)) => {
                let parent: Xpub = known[&(seed.clone(), parent.to_owned())].parse().unwrap();
                Some((key(Scheme::Bip340, &parent), number.parse().unwrap()))
            }
        };
        let place =
            XpubPlace { parent: parent.as_ref().map(|(key, number)| (key, *number)), depth: parsed.depth };
        let chain_code = parsed.chain_code.to_bytes();
        for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
            let written = xpub(&key(scheme, &parsed), chain_code, place, Network::Mainnet);
            assert_eq!(written.as_deref(), Some(*text));
            let elsewhere = xpub(&key(scheme, &parsed), chain_code, place, Network::Regtest).unwrap();
            assert!(elsewhere.starts_with("tpub"), "{elsewhere}");
            cases += 1;
        }
    }
    assert_eq!(cases, 2 * (4 + 6));
}

#[test]
fn other_curves_have_no_such_text() {
    let place = XpubPlace { parent: None, depth: 0 };
    let p256 = hex::decode("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296").unwrap();
    let ed25519 = hex::decode("5866666666666666666666666666666666666666666666666666666666666666").unwrap();
    for (scheme, bytes) in [(Scheme::EcdsaP256, p256), (Scheme::Ed25519, ed25519)] {
        let key = PublicKey::new(scheme, &bytes).unwrap();
        assert_eq!(xpub(&key, [0; 32], place, Network::Mainnet), None, "{scheme}");
    }
}

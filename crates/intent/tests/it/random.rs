//! Random and damaged inputs: no parser panics, and two nodes always agree.

use crate::sign::{NET, Whole};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use quorate_intent::build::{
    BitcoinSpend, EthereumTransfer, bitcoin_spend, ethereum_transfer, solana_transfer,
};
use quorate_intent::{Intent, PublicKey, Scheme};

const SECRET: &str = "4646464646464646464646464646464646464646464646464646464646464646";

fn key(scheme: Scheme) -> PublicKey {
    Whole::new(scheme, SECRET).key
}

/// Every kind that carries `bytes`, under every scheme that could sign it.
fn all(bytes: &[u8]) -> Vec<(Intent, Scheme)> {
    let hexed = hex::encode(bytes);
    let based = STANDARD.encode(bytes);
    let text = String::from_utf8_lossy(bytes).into_owned();
    let typed_data = serde_json::from_slice(bytes).unwrap_or(serde_json::Value::String(text));
    vec![
        (Intent::EthereumTransaction { tx: hexed.clone() }, Scheme::EcdsaSecp256k1),
        (Intent::EthereumMessage { message: hexed.clone() }, Scheme::EcdsaSecp256k1),
        (Intent::EthereumTypedData { typed_data }, Scheme::EcdsaSecp256k1),
        (Intent::BitcoinPsbt { psbt: based.clone() }, Scheme::EcdsaSecp256k1),
        (Intent::BitcoinPsbt { psbt: based.clone() }, Scheme::Bip340),
        (Intent::SolanaMessage { message: based }, Scheme::Ed25519),
        (Intent::Message { message: hexed.clone() }, Scheme::EcdsaP256),
        (Intent::RawDigest { digest: hexed }, Scheme::Bip340),
    ]
}

/// Prepares twice and compares; whatever is accepted can also be finished.
fn agree(intent: &Intent, scheme: Scheme) -> bool {
    let key = key(scheme);
    let (first, second) = (intent.prepare(&key, NET), intent.prepare(&key, NET));
    match (&first, &second) {
        (Ok(a), Ok(b)) => {
            assert_eq!((&a.inputs, &a.summary, a.message()), (&b.inputs, &b.summary, b.message()));
            assert!(!a.inputs.is_empty());
            if scheme != Scheme::EcdsaP256 {
                a.finish(&Whole::new(scheme, SECRET).sign_all(a)).unwrap();
            }
        }
        (Err(a), Err(b)) => assert_eq!(a, b),
        _ => panic!("{intent:?} is accepted once and refused once"),
    }
    first.is_ok()
}

/// One good request of each parser.
fn make_seeds() -> Vec<(Vec<u8>, Scheme)> {
    let spend = BitcoinSpend {
        txid: "22".repeat(32),
        vout: 0,
        amount_sat: 900_000,
        to: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".into(),
        send_sat: 500_000,
        fee_sat: 500,
    };
    let transfer = EthereumTransfer {
        chain_id: 1,
        to: format!("0x{}", "35".repeat(20)),
        gas_limit: 21_000,
        max_fee_per_gas: 9,
        data: vec![1, 2, 3, 4],
        ..EthereumTransfer::default()
    };
    let to = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
    let intents = [
        (ethereum_transfer(&transfer).unwrap(), Scheme::EcdsaSecp256k1),
        (bitcoin_spend(&key(Scheme::EcdsaSecp256k1), &spend, NET).unwrap(), Scheme::EcdsaSecp256k1),
        (bitcoin_spend(&key(Scheme::Bip340), &spend, NET).unwrap(), Scheme::Bip340),
        (solana_transfer(&key(Scheme::Ed25519), to, 5, to).unwrap(), Scheme::Ed25519),
    ];
    let mut seeds: Vec<(Vec<u8>, Scheme)> = intents
        .into_iter()
        .map(|(intent, scheme)| {
            assert!(agree(&intent, scheme));
            let bytes = match intent {
                Intent::EthereumTransaction { tx } => hex::decode(tx).unwrap(),
                Intent::BitcoinPsbt { psbt: text } | Intent::SolanaMessage { message: text } => {
                    STANDARD.decode(text).unwrap()
                }
                other => panic!("{other:?}"),
            };
            (bytes, scheme)
        })
        .collect();
    let version0 = bitcoin::Psbt::deserialize(&seeds[1].0).unwrap();
    let version2 = crate::bitcoin_psbt::version2(&version0, &[(6, vec![3])], &[(0x12, vec![0, 1, 0, 0])]);
    assert!(agree(&Intent::BitcoinPsbt { psbt: STANDARD.encode(&version2) }, Scheme::EcdsaSecp256k1));
    seeds.push((version2, Scheme::EcdsaSecp256k1));
    let typed = br#"{"types":{"T":[{"name":"a","type":"uint8[]"},{"name":"b","type":"bytes2"}]},"primaryType":"T","domain":{"name":"n","chainId":1},"message":{"a":[1,2],"b":"0x0102"}}"#;
    seeds.push((typed.to_vec(), Scheme::EcdsaSecp256k1));
    assert_eq!(seeds.len(), 6);
    seeds
}

pub(crate) fn seeds() -> &'static [(Vec<u8>, Scheme)] {
    static SEEDS: std::sync::OnceLock<Vec<(Vec<u8>, Scheme)>> = std::sync::OnceLock::new();
    SEEDS.get_or_init(make_seeds)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600), first in prop::sample::select(vec![None, Some(1_u8), Some(2), Some(0xf8), Some(0x80)])) {
        let mut bytes = bytes;
        if let (Some(first), Some(slot)) = (first, bytes.first_mut()) {
            *slot = first;
        }
        for (intent, scheme) in all(&bytes) {
            agree(&intent, scheme);
        }
        for (intent, scheme) in all(&[b"psbt\xff", &bytes[..]].concat()) {
            agree(&intent, scheme);
        }
    }

    #[test]
    fn damaged_requests(
        seed in 0..6_usize,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        kind in 0..4_u8,
    ) {
        let (mut bytes, _) = seeds()[seed].clone();
        let at = at.index(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => bytes.truncate(at),
            2 => bytes.insert(at, byte),
            _ => { bytes.remove(at); }
        }
        for (intent, scheme) in all(&bytes) {
            agree(&intent, scheme);
        }
    }

    #[test]
    fn random_text(text in "\\PC{0,80}") {
        let key = key(Scheme::EcdsaSecp256k1);
        let _ = Intent::EthereumTransaction { tx: text.clone() }.prepare(&key, NET);
        let _ = Intent::BitcoinPsbt { psbt: text.clone() }.prepare(&key, NET);
        let _ = Intent::Message { message: text.clone() }.prepare(&key, NET);
        let _ = serde_json::from_str::<Intent>(&text);
        let _ = PublicKey::new(Scheme::Ed25519, text.as_bytes());
    }
}

//! Plain messages, raw digests and the JSON of an intent.

use crate::sign::{NET, Whole, digest};
use quorate_intent::{Intent, Purpose, Scheme, Signature, ToSign, build};

const SECRET: &str = "4646464646464646464646464646464646464646464646464646464646464646";
/// SHA-256 of `abc` (FIPS 180-4).
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_message_is_hashed_except_under_ed25519() {
    let mut schemes = 0;
    for scheme in Scheme::ALL {
        let whole = Whole::new(scheme, SECRET);
        let prepared = build::message(b"abc").prepare(&whole.key, NET).unwrap();
        match (&prepared.inputs[..], scheme) {
            ([ToSign::Ed25519Message(message)], Scheme::Ed25519) => assert_eq!(message, b"abc"),
            ([ToSign::Bip340 { message, taproot_tweak: false }], Scheme::Bip340) => {
                assert_eq!(hex::encode(message), ABC);
            }
            ([ToSign::Prehash(hash)], Scheme::EcdsaP256 | Scheme::EcdsaSecp256k1) => {
                assert_eq!(hex::encode(hash), ABC);
            }
            (other, scheme) => panic!("{scheme}: {other:?}"),
        }
        assert_eq!(prepared.purpose, Purpose::Message);
        assert_eq!(prepared.message_hex().as_deref(), Some("616263"));
        assert_eq!(prepared.digest_hex().is_none(), scheme == Scheme::Ed25519);
        assert_eq!(prepared.summary.headline, "sign the message \"abc\"");
        assert!(!prepared.summary.blind);
        schemes += 1;
    }
    assert_eq!(schemes, 4);
}

#[test]
fn text_of_the_sender_cannot_act_on_a_terminal() {
    let whole = Whole::new(Scheme::EcdsaP256, SECRET);
    let text = "pay\u{202e}\u{1b}[2Jme";
    let prepared = build::message(text.as_bytes()).prepare(&whole.key, NET).unwrap();
    assert!(prepared.summary.to_string().is_ascii());
    let prepared = build::message("a\u{202e}b\nc".as_bytes()).prepare(&whole.key, NET).unwrap();
    assert_eq!(prepared.summary.headline, "sign the message \"a\\u{202e}b\\nc\"");
    let prepared = build::message(&[0xff; 40]).prepare(&whole.key, NET).unwrap();
    assert!(prepared.summary.blind);
    assert!(prepared.summary.headline.contains("40 bytes that are not text"));
    let prepared = build::message(&b"x".repeat(5000)).prepare(&whole.key, NET).unwrap();
    assert!(prepared.summary.headline.len() < 300);
}

#[test]
fn raw_digests_are_blind_and_exact() {
    let whole = Whole::new(Scheme::EcdsaSecp256k1, SECRET);
    let intent = Intent::RawDigest { digest: format!("0x{ABC}") };
    let prepared = intent.prepare(&whole.key, NET).unwrap();
    assert_eq!(digest(&prepared), ABC);
    assert!(prepared.summary.blind && prepared.message().is_none());
    for (bad, code) in [
        (&ABC[2..], "intent_malformed"),
        (&format!("{ABC}00"), "intent_too_large"),
        ("zz", "intent_encoding"),
        ("", "intent_malformed"),
    ] {
        let error = Intent::RawDigest { digest: bad.to_owned() }.prepare(&whole.key, NET).unwrap_err();
        assert_eq!(error.code(), code, "{bad}");
    }
    let ed = Whole::new(Scheme::Ed25519, SECRET);
    assert_eq!(intent.prepare(&ed.key, NET).unwrap_err().code(), "intent_wrong_scheme");
}

#[test]
fn sizes_are_bounded_before_decoding() {
    let whole = Whole::new(Scheme::EcdsaSecp256k1, SECRET);
    let huge = "00".repeat(1 << 20);
    let intents = [
        Intent::Message { message: huge.clone() },
        Intent::EthereumMessage { message: huge.clone() },
        Intent::EthereumTransaction { tx: huge.clone() },
        Intent::BitcoinPsbt { psbt: huge.clone() },
        Intent::RawDigest { digest: huge.clone() },
        Intent::EthereumTypedData {
            typed_data: serde_json::json!({ "types": {}, "primaryType": "A", "domain": {}, "message": huge }),
        },
    ];
    assert_eq!(intents.len(), 6);
    for intent in intents {
        let error = intent.prepare(&whole.key, NET).unwrap_err();
        assert_eq!(error.code(), "intent_too_large", "{}", intent.kind());
        assert!(error.to_string().len() < 200);
    }
    let ed = Whole::new(Scheme::Ed25519, SECRET);
    let error = Intent::SolanaMessage { message: huge }.prepare(&ed.key, NET).unwrap_err();
    assert_eq!(error.code(), "intent_too_large");
}

#[test]
fn the_json_is_strict() {
    let good = [
        (r#"{"kind":"ethereum_transaction","tx":"02"}"#, Purpose::Ethereum),
        (r#"{"kind":"ethereum_message","message":"00"}"#, Purpose::Ethereum),
        (r#"{"kind":"ethereum_typed_data","typed_data":{}}"#, Purpose::Ethereum),
        (r#"{"kind":"bitcoin_psbt","psbt":""}"#, Purpose::Bitcoin),
        (r#"{"kind":"solana_message","message":""}"#, Purpose::Solana),
        (r#"{"kind":"message","message":"00"}"#, Purpose::Message),
        (r#"{"kind":"raw_digest","digest":"00"}"#, Purpose::Raw),
    ];
    assert_eq!(good.len(), 7);
    for (json, purpose) in good {
        let intent: Intent = serde_json::from_str(json).unwrap();
        assert_eq!(intent.purpose(), purpose);
        assert_eq!(serde_json::to_string(&intent).unwrap(), json);
    }
    let bad = [
        r#"{"kind":"message","message":"00","extra":1}"#,
        r#"{"kind":"message"}"#,
        r#"{"kind":"message","message":7}"#,
        r#"{"kind":"pay","message":"00"}"#,
        r#"{"message":"00"}"#,
        r#"{"kind":"message","message":"00","message":"01"}"#,
    ];
    assert_eq!(bad.len(), 6);
    for json in bad {
        assert!(serde_json::from_str::<Intent>(json).is_err(), "{json}");
    }
}

#[test]
fn every_kind_asks_for_a_fitting_scheme() {
    let kinds = [
        (Intent::EthereumMessage { message: "00".into() }, vec![Scheme::EcdsaSecp256k1]),
        (Intent::BitcoinPsbt { psbt: String::new() }, vec![Scheme::EcdsaSecp256k1, Scheme::Bip340]),
        (Intent::SolanaMessage { message: String::new() }, vec![Scheme::Ed25519]),
    ];
    let mut refused = 0;
    for (intent, fits) in kinds {
        for scheme in Scheme::ALL {
            let result = intent.prepare(&Whole::new(scheme, SECRET).key, NET);
            let wrong = result.as_ref().err().is_some_and(|e| e.code() == "intent_wrong_scheme");
            assert_eq!(wrong, !fits.contains(&scheme), "{} {scheme}", intent.kind());
            refused += usize::from(wrong);
        }
    }
    assert_eq!(refused, 8);
}

#[test]
fn signatures_of_a_wrong_form_are_refused() {
    let whole = Whole::new(Scheme::EcdsaSecp256k1, SECRET);
    let prepared = build::message(b"abc").prepare(&whole.key, NET).unwrap();
    let good = whole.sign_all(&prepared);
    assert_eq!(prepared.finish(&good).unwrap().signatures, good);
    assert_eq!(prepared.finish(&[]).unwrap_err().code(), "signature_count");
    let twice = [good.clone(), good.clone()].concat();
    assert_eq!(prepared.finish(&twice).unwrap_err().code(), "signature_count");
    let half = hex::decode("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1").unwrap();
    let alter = |change: &dyn Fn(&mut Signature)| {
        let mut signature = good[0].clone();
        change(&mut signature);
        prepared.finish(&[signature]).unwrap_err().code()
    };
    assert_eq!(alter(&|s| s.bytes[..32].fill(0)), "signature_unfit");
    assert_eq!(alter(&|s| s.bytes[32..].fill(0)), "signature_unfit");
    assert_eq!(alter(&|s| s.bytes[..32].fill(0xff)), "signature_unfit");
    assert_eq!(alter(&|s| s.bytes[32..].copy_from_slice(&half)), "signature_unfit");
    assert_eq!(alter(&|s| s.recovery_id = Some(2)), "signature_unfit");
}

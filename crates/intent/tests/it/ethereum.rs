//! Ethereum transactions and personal messages.

use crate::sign::{NET, Whole, digest};
use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{SignableTransaction, Transaction, TxEip2930, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{TxKind, U256};
use quorate_intent::build::{EthereumTransfer, ethereum_transfer};
use quorate_intent::{Intent, Prepared, Scheme};

const SECRET: &str = "4646464646464646464646464646464646464646464646464646464646464646";
const SENDER: &str = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F";
const TO: &str = "0x3535353535353535353535353535353535353535";
/// The signing data of EIP-155's example.
const EIP155: &str =
    "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080";

fn whole() -> Whole {
    Whole::new(Scheme::EcdsaSecp256k1, SECRET)
}

fn prepare(tx: impl AsRef<[u8]>) -> Result<Prepared, quorate_intent::IntentError> {
    Intent::EthereumTransaction { tx: hex::encode(tx) }.prepare(&whole().key, NET)
}

fn unhex(h: &str) -> Vec<u8> {
    hex::decode(h).unwrap()
}

fn transfer() -> EthereumTransfer {
    EthereumTransfer {
        chain_id: 1,
        nonce: 3,
        to: TO.to_owned(),
        value_wei: 1_500_000_000_000_000_000,
        gas_limit: 21_000,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        data: Vec::new(),
    }
}

#[test]
fn eip155_example() {
    let prepared = prepare(unhex(EIP155)).unwrap();
    assert_eq!(digest(&prepared), "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53");
    assert_eq!(prepared.message_hex().as_deref(), Some(EIP155));
    let finished = prepared.finish(&whole().sign_all(&prepared)).unwrap();
    assert_eq!(
        hex::encode(finished.raw_tx.unwrap()),
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd9\
         39bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b\
         297fb1966a3b6d83"
    );
    assert_eq!(prepared.summary.headline, format!("send 1 ETH to {TO} on mainnet, fee at most 0.00042 ETH"));
}

/// All three types: the finished bytes decode as a transaction of the key, with the fields that were sent.
#[test]
fn finished_transactions_recover_the_sender() {
    let eip2930 = TxEip2930 {
        chain_id: 137,
        nonce: 1,
        gas_price: 7,
        gas_limit: 30_000,
        to: TxKind::Call(TO.parse().unwrap()),
        value: U256::from(5),
        access_list: Default::default(),
        input: vec![1, 2, 3, 4, 5].into(),
    };
    let legacy = TxLegacy {
        chain_id: Some(31337),
        nonce: 0,
        gas_price: 1,
        gas_limit: 60_000,
        to: TxKind::Create,
        value: U256::ZERO,
        input: vec![0x60, 0x80].into(),
    };
    let Intent::EthereumTransaction { tx } = ethereum_transfer(&transfer()).unwrap() else { panic!("kind") };
    let payloads = [unhex(&tx), eip2930.encoded_for_signing(), legacy.encoded_for_signing()];
    let mut types = Vec::new();
    for payload in &payloads {
        let prepared = prepare(payload).unwrap();
        let finished = prepared.finish(&whole().sign_all(&prepared)).unwrap();
        let raw = finished.raw_tx.unwrap();
        let envelope = TxEnvelope::decode_2718_exact(&raw).unwrap();
        assert_eq!(envelope.recover_signer().unwrap().to_string(), SENDER);
        assert_eq!(finished.txid.unwrap(), envelope.tx_hash().to_string());
        assert_eq!(hex::encode(envelope.signature_hash()), digest(&prepared));
        types.push((envelope.tx_type() as u8, envelope.chain_id().unwrap(), prepared.summary));
    }
    assert_eq!(types.iter().map(|t| (t.0, t.1)).collect::<Vec<_>>(), [(2, 1), (1, 137), (0, 31337)]);
    let summary = &types[0].2;
    assert_eq!(summary.headline, format!("send 1.5 ETH to {TO} on mainnet, fee at most 0.00063 ETH"));
    assert_eq!(summary.details[0], format!("from {SENDER}, nonce 3"));
    assert!(!summary.blind);
    let paid = &summary.transfers[0];
    assert_eq!((paid.chain.as_str(), paid.amount.as_str()), ("ethereum:1", "1500000000000000000"));
    assert!(types[1].2.blind && types[1].2.headline.contains("call 0x01020304"));
    assert!(types[1].2.headline.contains("on polygon, fee at most 0.00000000000021 POL"));
    assert!(types[2].2.blind && types[2].2.headline.starts_with("create a contract"));
}

#[test]
fn token_calls_are_read() {
    let word = |who: &str| format!("{:0>64}", who.trim_start_matches("0x"));
    let data = |selector: &str, amount: &str| unhex(&format!("{selector}{}{amount:0>64}", word(TO)));
    let headline = |data: Vec<u8>| {
        let intent = ethereum_transfer(&EthereumTransfer { data, value_wei: 0, ..transfer() }).unwrap();
        intent.prepare(&whole().key, NET).unwrap().summary
    };
    let sent = headline(data("a9059cbb", "ff"));
    assert!(sent.headline.starts_with(&format!("transfer 255 smallest units of token {TO} to {TO}")));
    assert_eq!((sent.blind, sent.transfers.len()), (false, 1));
    let allowed = headline(data("095ea7b3", &"f".repeat(64)));
    assert!(allowed.headline.contains("to spend all smallest units"));
    assert_eq!(allowed.warnings.len(), 1);
    let mut dirty = data("a9059cbb", "ff");
    dirty[4] = 1;
    assert!(headline(dirty).blind);
}

#[test]
fn everything_else_is_refused() {
    let Intent::EthereumTransaction { tx } = ethereum_transfer(&transfer()).unwrap() else { panic!("kind") };
    let good = unhex(&tx);
    assert!(prepare(&good).is_ok());
    let signed = |payload: &[u8]| {
        let prepared = prepare(payload).unwrap();
        prepared.finish(&whole().sign_all(&prepared)).unwrap().raw_tx.unwrap()
    };
    let with = |change: &dyn Fn(&mut EthereumTransfer)| {
        let mut t = transfer();
        change(&mut t);
        let Intent::EthereumTransaction { tx } = ethereum_transfer(&t).unwrap() else { panic!("kind") };
        unhex(&tx)
    };
    let mut padded_list = good.clone();
    // The list's length in two bytes where one would do.
    padded_list.splice(1..2, [0xf8, good[1] - 0xc0]);
    // A nonce of 0x00 instead of the empty string.
    let zero_nonce = [&[0xec, 0x00], &unhex(EIP155)[2..]].concat();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "intent_malformed"),
        ("type only", vec![2], "intent_malformed"),
        ("trailing byte", [&good[..], &[0]].concat(), "intent_malformed"),
        ("truncated", good[..good.len() - 1].to_vec(), "intent_malformed"),
        ("another type byte", [&[1], &good[1..]].concat(), "intent_malformed"),
        ("blob", [&[3], &good[1..]].concat(), "intent_unsupported"),
        ("set code", [&[4], &good[1..]].concat(), "intent_unsupported"),
        ("eip-7702 authorization", [&[5], &good[1..]].concat(), "intent_malformed"),
        ("personal message", b"\x19Ethereum Signed Message:\n0".to_vec(), "intent_malformed"),
        ("signed 1559", signed(&good), "intent_already_signed"),
        ("signed legacy", signed(&unhex(EIP155)), "intent_already_signed"),
        (
            "legacy without chain",
            unhex("e9098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080"),
            "intent_unsupported",
        ),
        ("legacy trailing", [unhex(EIP155), vec![0x80]].concat(), "intent_malformed"),
        ("padded list", padded_list, "intent_malformed"),
        ("zero nonce", zero_nonce, "intent_malformed"),
        ("string", unhex("83010203"), "intent_malformed"),
        ("chain 0", with(&|t| t.chain_id = 0), "intent_malformed"),
        ("tip above fee", with(&|t| t.max_priority_fee_per_gas = t.max_fee_per_gas + 1), "intent_malformed"),
    ];
    assert_eq!(cases.len(), 18);
    for (name, payload, code) in cases {
        let error = prepare(&payload).expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
    }
}

/// Known hashes of `eth_sign`: from the documentation of ethers and of web3.
#[test]
fn eip191_known_hashes() {
    let known = [
        ("Hello World", "a1de988600a42c4b4ab089b619297c17d53cffae5d5120d82d8a92d0bb3b78f2"),
        ("Some data", "1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655"),
    ];
    let mut cases = 0;
    for (text, hash) in known {
        let intent = Intent::EthereumMessage { message: hex::encode(text) };
        let prepared = intent.prepare(&whole().key, NET).unwrap();
        assert_eq!(digest(&prepared), hash);
        let finished = prepared.finish(&whole().sign_all(&prepared)).unwrap();
        let bytes = finished.ethereum_signature.unwrap();
        let signature = alloy_primitives::Signature::from_raw(&bytes).unwrap();
        let hash = hash.parse().unwrap();
        assert_eq!(signature.recover_address_from_prehash(&hash).unwrap().to_string(), SENDER);
        assert!(finished.raw_tx.is_none() && finished.txid.is_none());
        cases += 1;
    }
    assert_eq!(cases, 2);
}

#[test]
fn ethereum_needs_the_recovery_id() {
    let prepared = prepare(unhex(EIP155)).unwrap();
    let mut signatures = whole().sign_all(&prepared);
    signatures[0].recovery_id = None;
    assert_eq!(prepared.finish(&signatures).unwrap_err().code(), "signature_unfit");
}

//! Facts and words against the transactions that were built, and against every single changed byte.

use crate::facts::{OWN, TOKEN, check_agreement, data, uint, who};
use crate::random::seeds;
use crate::sign::{NET, Whole};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxLegacy};
use alloy_primitives::{Address, TxKind, U256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use quorate_intent::build::{BitcoinSpend, bitcoin_spend, solana_transfer};
use quorate_intent::{
    Amount, Facts, Intent, IntentError, Prepared, PublicKey, Scheme, Summary, ToSign, facts,
};
use serde_json::json;
use std::cell::Cell;
use std::sync::LazyLock;

const SECRET: &str = "4646464646464646464646464646464646464646464646464646464646464646";

/// Runs `test` on 256 values drawn under a fixed seed.
fn every<S: Strategy>(strategy: &S, test: impl Fn(S::Value)) {
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let ran = Cell::new(0);
    runner
        .run(strategy, |value| {
            test(value);
            ran.set(ran.get() + 1);
            Ok(())
        })
        .unwrap();
    assert_eq!(ran.get(), 256);
}

fn addresses() -> impl Strategy<Value = Address> {
    prop_oneof![any::<[u8; 20]>().prop_map(Address::from), Just(OWN), Just(Address::ZERO)]
}

fn numbers() -> impl Strategy<Value = U256> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(U256::from_be_bytes),
        any::<u64>().prop_map(U256::from),
        Just(U256::ZERO),
        Just(U256::MAX)
    ]
}

/// The three types with the same content.
fn payload(kind: u8, chain: u64, to: Address, value: U256, fee: (u64, u128), input: Vec<u8>) -> Vec<u8> {
    let (gas_limit, price) = fee;
    let (to, input) = (TxKind::Call(to), input.into());
    match kind {
        0 => TxLegacy { chain_id: Some(chain), nonce: 1, gas_price: price, gas_limit, to, value, input }
            .encoded_for_signing(),
        1 => TxEip2930 {
            chain_id: chain,
            nonce: 1,
            gas_price: price,
            gas_limit,
            to,
            value,
            input,
            access_list: Default::default(),
        }
        .encoded_for_signing(),
        _ => TxEip1559 {
            chain_id: chain,
            nonce: 1,
            max_fee_per_gas: price,
            max_priority_fee_per_gas: price / 2,
            gas_limit,
            to,
            value,
            input,
            access_list: Default::default(),
        }
        .encoded_for_signing(),
    }
}

fn prepare(intent: &Intent, scheme: Scheme) -> Result<Prepared, IntentError> {
    static KEYS: LazyLock<[PublicKey; 4]> =
        LazyLock::new(|| Scheme::ALL.map(|scheme| Whole::new(scheme, SECRET).key));
    intent.prepare(KEYS.iter().find(|key| key.scheme == scheme).unwrap(), NET)
}

fn ethereum(payload: &[u8]) -> Prepared {
    let intent = Intent::EthereumTransaction { tx: hex::encode(payload) };
    let prepared = prepare(&intent, Scheme::EcdsaSecp256k1).unwrap();
    check_agreement(&prepared);
    prepared
}

#[test]
fn ethereum_payments_are_described_as_built() {
    let chains = prop_oneof![1..=u64::MAX, Just(1), Just(8453), Just(137)];
    let strategy = (0..3_u8, chains, addresses(), numbers(), any::<(u64, u128)>());
    every(&strategy, |(kind, chain, to, value, fee)| {
        let prepared = ethereum(&payload(kind, chain, to, value, fee, vec![]));
        let facts = &prepared.facts;
        assert_eq!(facts.chain, Some(format!("ethereum:{chain}")));
        assert_eq!(facts.native_out, Amount::from(value));
        assert_eq!((facts.transfers.len(), facts.transfers[0].asset.as_str()), (1, "native"));
        assert_eq!(facts.transfers[0].to, to.to_string());
        assert_eq!(facts.transfers[0].amount.to_string(), value.to_string());
        if let Some(bound) = facts.fee_max {
            assert_eq!(bound, Amount::from(U256::from(fee.0) * U256::from(fee.1)));
        }
        assert!(!facts.blind && facts.approvals.is_empty() && facts.calls.is_empty());
        assert!(prepared.summary.headline.contains(&format!(" to {to} on ")));
        let named = ["mainnet", "base", "polygon"].iter().any(|n| prepared.summary.headline.contains(n));
        assert!(named || prepared.summary.headline.contains(&format!("on chain {chain},")));
    });
}

#[test]
fn token_calls_are_described_as_built() {
    let strategy = (0..4_usize, addresses(), addresses(), numbers(), numbers());
    every(&strategy, |(method, contract, other, number, value)| {
        let signature = [
            "transfer(address,uint256)",
            "approve(address,uint256)",
            "increaseAllowance(address,uint256)",
            "transferFrom(address,address,uint256)",
        ][method];
        let arguments = if method == 3 {
            vec![who(OWN), who(other), uint(number)]
        } else {
            vec![who(other), uint(number)]
        };
        let prepared = ethereum(&payload(2, 1, contract, value, (9, 9), data(signature, arguments)));
        let facts = &prepared.facts;
        assert_eq!((facts.blind, facts.calls[0].method.as_deref()), (false, Some(signature)));
        assert_eq!((facts.calls[0].value, facts.native_out), (value.into(), value.into()));
        let tokens: Vec<&facts::Movement> = facts.transfers.iter().filter(|t| t.asset != "native").collect();
        if method == 0 || method == 3 {
            assert_eq!((tokens.len(), facts.approvals.len()), (1, 0));
            assert_eq!((&tokens[0].asset, &tokens[0].to), (&contract.to_string(), &other.to_string()));
            assert_eq!((tokens[0].amount, &tokens[0].from), (number.into(), &None));
        } else {
            assert_eq!((tokens.len(), facts.approvals.len()), (0, 1));
            let approval = &facts.approvals[0];
            assert_eq!((&approval.token, &approval.spender), (&contract.to_string(), &other.to_string()));
            assert_eq!(approval.amount, number.into());
            assert_eq!(approval.unlimited, Amount::from(number).is_endless());
        }
        assert!(prepared.summary.headline.contains(&other.to_string()));
        assert!(prepared.summary.headline.contains(&number.to_string()) || number == U256::MAX);
    });
}

/// Data that no method was encoded into are blind, whatever they are.
#[test]
fn random_data_are_blind() {
    let bytes = prop::collection::vec(any::<u8>(), 1..200);
    let near = prop::sample::select(vec!["", "a9059cbb", "095ea7b3", "2eb2c2d6", "d0e30db0"]);
    every(&(near, bytes), |(selector, bytes)| {
        let input = [hex::decode(selector).unwrap(), bytes].concat();
        let prepared = ethereum(&payload(2, 1, TOKEN, U256::ZERO, (9, 9), input));
        assert!(prepared.facts.blind && prepared.facts.transfers.is_empty());
        assert!(prepared.facts.approvals.is_empty() && prepared.facts.calls[0].method.is_none());
    });
}

#[test]
fn permits_are_described_as_built() {
    let strategy = (addresses(), addresses(), numbers(), 0..3_u8, any::<u64>());
    every(&strategy, |(token, spender, number, spelling, chain)| {
        let value = match spelling {
            0 => json!(number.to_string()),
            1 => json!(format!("0x{number:x}")),
            _ => json!(format!("0x{number:064X}")),
        };
        let names = ["owner", "spender", "value", "nonce", "deadline"];
        let kinds = ["address", "address", "uint256", "uint256", "uint256"];
        let fields: Vec<_> =
            names.iter().zip(kinds).map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
        let typed_data = json!({
            "types": { "Permit": fields },
            "primaryType": "Permit",
            "domain": { "chainId": chain, "verifyingContract": token.to_string() },
            "message": {
                "owner": OWN.to_string(), "spender": spender.to_string().to_lowercase(), "value": value,
                "nonce": 0, "deadline": 1
            }
        });
        let prepared = prepare(&Intent::EthereumTypedData { typed_data }, Scheme::EcdsaSecp256k1).unwrap();
        check_agreement(&prepared);
        let approval = &prepared.facts.approvals[0];
        assert_eq!((&approval.token, &approval.spender), (&token.to_string(), &spender.to_string()));
        assert_eq!((approval.amount, approval.by_signature), (number.into(), true));
        assert_eq!(prepared.facts.domain.as_ref().unwrap().chain_id, Some(chain.into()));
        assert!(!prepared.facts.blind && prepared.facts.transfers.is_empty());
    });
}

#[test]
fn bitcoin_and_solana_payments_are_described_as_built() {
    let strategy =
        (1_000..1_000_000_000_u64, 0..100_000_u64, 546..1_000_000_u64, any::<u64>(), any::<[u8; 32]>());
    every(&strategy, |(send, fee, change, lamports, to)| {
        let spend = BitcoinSpend {
            txid: hex::encode(to),
            vout: 3,
            amount_sat: send + fee + change,
            to: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".into(),
            send_sat: send,
            fee_sat: fee,
        };
        if to != [0; 32] {
            let key = Whole::new(Scheme::Bip340, SECRET).key;
            let prepared = prepare(&bitcoin_spend(&key, &spend, NET).unwrap(), Scheme::Bip340).unwrap();
            check_agreement(&prepared);
            assert_eq!(prepared.facts.native_out, send.into());
            assert_eq!(prepared.facts.fee_max, Some(fee.into()));
            assert_eq!(prepared.facts.recipients.iter().collect::<Vec<_>>(), [&spend.to]);
        }
        let key = Whole::new(Scheme::Ed25519, SECRET).key;
        let to = solana_pubkey::Pubkey::from(to).to_string();
        let intent = solana_transfer(&key, &to, lamports, &to).unwrap();
        if to != solana_pubkey::Pubkey::default().to_string() {
            let prepared = prepare(&intent, Scheme::Ed25519).unwrap();
            check_agreement(&prepared);
            assert_eq!(prepared.facts.native_out, lamports.into());
            assert_eq!((prepared.facts.transfers[0].to.clone(), prepared.facts.blind), (to, false));
        }
    });
}

/// What a node would show and sign.
type Seen = (Vec<ToSign>, Facts, Summary);

fn seen(bytes: &[u8], scheme: Scheme) -> Option<Seen> {
    let intent = match (bytes.first()?, scheme) {
        (b'{', _) => Intent::EthereumTypedData { typed_data: serde_json::from_slice(bytes).ok()? },
        (b'p', _) => Intent::BitcoinPsbt { psbt: STANDARD.encode(bytes) },
        (_, Scheme::Ed25519) => Intent::SolanaMessage { message: STANDARD.encode(bytes) },
        _ => Intent::EthereumTransaction { tx: hex::encode(bytes) },
    };
    let prepared = prepare(&intent, scheme).ok()?;
    check_agreement(&prepared);
    Some((prepared.inputs, prepared.facts, prepared.summary))
}

/// Each byte of each kind of transaction, changed in ten ways. What is still accepted signs something else; only typed
/// data have second spellings, and those mean the same.
#[test]
fn no_changed_byte_keeps_the_digest() {
    let approve = data("approve(address,uint256)", vec![who(OWN), uint(U256::from(77))]);
    let mut all: Vec<(Vec<u8>, Scheme)> = seeds().to_vec();
    for kind in 0..3 {
        let bytes = payload(kind, 1, TOKEN, U256::from(5), (60_000, 1_000_000_000), approve.clone());
        all.push((bytes, Scheme::EcdsaSecp256k1));
    }
    assert_eq!(all.len(), 9);
    let (mut tried, mut accepted, mut respelled) = (0, 0, 0);
    for (bytes, scheme) in all {
        let (inputs, facts, summary) = seen(&bytes, scheme).unwrap();
        let typed = bytes.first() == Some(&b'{');
        // Of a version 2 PSBT the fields that say what may be modified, or its locks, are no part of what is signed.
        let second_version = bytes.starts_with(b"psbt\xff\x01\x02");
        for at in 0..bytes.len() {
            let original = bytes[at];
            let flips = (0..8).map(|bit| original ^ (1 << bit));
            for byte in flips.chain([0, 0xff]).filter(|byte| *byte != original) {
                let mut changed = bytes.clone();
                changed[at] = byte;
                tried += 1;
                let Some(now) = seen(&changed, scheme) else { continue };
                accepted += 1;
                if now.0 == inputs {
                    assert!(typed || second_version, "byte {at} of {} has no effect", hex::encode(&bytes));
                    assert_eq!(now.1, facts, "byte {at} changes the facts and not the digest");
                    if second_version {
                        assert_eq!(now.2, summary, "byte {at} changes the words and not the digest");
                    }
                    respelled += 1;
                }
            }
        }
    }
    assert!(tried > 11_000, "{tried}");
    assert!(accepted > 2_000, "{accepted}");
    assert!(respelled < accepted / 20, "{respelled} of {accepted}");
}

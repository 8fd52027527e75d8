//! Ethereum: anvil executes what a quorum signed, and libsecp256k1 and the chain's own precompile recover the
//! signer of messages.

use alloy_consensus::{SignableTransaction as _, TxEip2930, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{B256, TxKind, U256, keccak256};
use quorate_acceptance::{Anvil, Request, ThresholdKey};
use quorate_intent::build::{EthereumTransfer, ethereum_transfer};
use quorate_intent::{Intent, Scheme, ToSign};
use serde_json::json;

const CHAIN: u64 = 31_337;
const ETHER: u128 = 1_000_000_000_000_000_000;
const GWEI: u128 = 1_000_000_000;

/// A receiver that nobody else uses.
fn receiver(number: u8) -> String {
    format!("0x{}", hex::encode([&[0xee; 19][..], &[number]].concat()))
}

fn unsigned(tx: Vec<u8>) -> Intent {
    Intent::EthereumTransaction { tx: hex::encode(tx) }
}

fn eip1559(chain_id: u64, nonce: u64, to: &str, value_wei: u128, data: &[u8]) -> Intent {
    ethereum_transfer(&EthereumTransfer {
        chain_id,
        nonce,
        to: to.to_owned(),
        value_wei,
        gas_limit: 60_000,
        max_fee_per_gas: 20 * GWEI,
        max_priority_fee_per_gas: GWEI,
        data: data.to_vec(),
    })
    .unwrap()
}

fn eip2930(nonce: u64, to: &str, value: u128) -> Intent {
    let to = to.parse().unwrap();
    let list = AccessListItem { address: to, storage_keys: vec![B256::repeat_byte(1), B256::repeat_byte(2)] };
    let tx = TxEip2930 {
        chain_id: CHAIN,
        nonce,
        gas_price: 20 * GWEI,
        gas_limit: 60_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        access_list: AccessList(vec![list]),
        input: Default::default(),
    };
    unsigned(tx.encoded_for_signing())
}

fn legacy(nonce: u64, to: &str, value: u128) -> Intent {
    let tx = TxLegacy {
        chain_id: Some(CHAIN),
        nonce,
        gas_price: 20 * GWEI,
        gas_limit: 21_000,
        to: TxKind::Call(to.parse().unwrap()),
        value: U256::from(value),
        input: Default::default(),
    };
    unsigned(tx.encoded_for_signing())
}

/// A chain on which `key` has ten ether.
fn funded(key: &ThresholdKey) -> (Anvil, String) {
    let chain = Anvil::start();
    let address = key.address("ethereum");
    assert_eq!(chain.quantity("eth_chainId", json!([])), u128::from(CHAIN));
    chain.call("anvil_setBalance", json!([address, format!("0x{:x}", 10 * ETHER)])).unwrap();
    assert_eq!(chain.balance(&address), 10 * ETHER);
    (chain, address)
}

fn raw_hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Broadcasts, and checks receipt and balance. Returns what the sender paid for gas.
fn accepted(chain: &Anvil, from: &str, to: &str, value: u128, kind: &str, request: &Request) -> u128 {
    let before = chain.balance(to);
    let hash = chain.call("eth_sendRawTransaction", json!([raw_hex(request.raw_tx())])).unwrap();
    assert_eq!(hash.as_str(), request.finished.txid.as_deref(), "the chain names the transaction as we do");
    let receipt = chain.receipt(&hash);
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    assert_eq!(receipt["type"], kind, "{receipt}");
    assert_eq!(receipt["from"].as_str().unwrap(), from.to_lowercase(), "the sender is the threshold address");
    assert_eq!(chain.balance(to), before + value, "the receiver has the value");
    let number = |field: &str| {
        u128::from_str_radix(receipt[field].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    number("gasUsed") * number("effectiveGasPrice")
}

#[test]
fn anvil_executes_all_three_kinds_of_transaction() {
    let key = ThresholdKey::generate(Scheme::EcdsaSecp256k1, 2, 3, 11);
    let (chain, from) = funded(&key);
    let (mut cases, mut spent, mut nonce) = (0, 0, 0);
    // Every quorum of the key signs every kind.
    for first in 0..3 {
        let quorum = key.quorum(first);
        let to = receiver(u8::try_from(first).unwrap());
        let value = ETHER / 10 + u128::from(first);
        let intents = [
            ("0x2", eip1559(CHAIN, nonce, &to, value, &[])),
            ("0x2", eip1559(CHAIN, nonce + 1, &to, value, b"a note for the receiver")),
            ("0x1", eip2930(nonce + 2, &to, value)),
            ("0x0", legacy(nonce + 3, &to, value)),
        ];
        for (kind, intent) in intents {
            let request = key.request_by(&intent, &quorum);
            spent += value + accepted(&chain, &from, &to, value, kind, &request);
            nonce += 1;
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
    assert_eq!(chain.nonce(&from), nonce);
    assert_eq!(chain.balance(&from), 10 * ETHER - spent, "nothing but values and fees has left");
}

#[test]
fn other_sizes_of_committee_send_as_well() {
    let mut cases = 0;
    for (k, n) in [(2, 2), (3, 3), (3, 5)] {
        let key = ThresholdKey::generate(Scheme::EcdsaSecp256k1, k, n, 12);
        let (chain, from) = funded(&key);
        let request = key.request(&eip1559(CHAIN, 0, &receiver(9), ETHER, &[]));
        accepted(&chain, &from, &receiver(9), ETHER, "0x2", &request);
        cases += 1;
    }
    assert_eq!(cases, 3);
}

/// `n - s` of an encoded signature. With the other parity too it would be valid for this node, though not for
/// Ethereum (EIP-2): that ours is low is judged by libsecp256k1, in `verifiers`.
fn high_s(signature: &[u8; 64]) -> [u8; 64] {
    let order =
        U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
    let s = U256::from_be_slice(&signature[32..]);
    let mut out = *signature;
    out[32..].copy_from_slice(&(order - s).to_be_bytes::<32>());
    out
}

#[test]
fn anvil_refuses_what_was_tampered_with() {
    let key = ThresholdKey::generate(Scheme::EcdsaSecp256k1, 2, 3, 13);
    let (chain, from) = funded(&key);
    let to = receiver(7);
    let good = key.request(&eip1559(CHAIN, 0, &to, ETHER, &[]));
    let raw = good.raw_tx();
    let signature = good.finished.signatures[0].bytes;
    // RLP: a byte of length before r and s, and the parity as one byte (0x80 or 0x01) before those of r.
    let find =
        |number: &[u8]| raw.windows(32).position(|w| w == number).expect("r and s are in it, without zeros");
    let (r, at) = (find(&signature[..32]), find(&signature[32..]));
    let parity = r - 2;
    assert_eq!((at + 32, at - r), (raw.len(), 33), "the transaction ends with parity, r and s");
    assert!(matches!(raw[parity], 0x80 | 0x01));
    let value = raw.windows(9).position(|w| w[0] == 0x88 && w[1..] == (ETHER as u64).to_be_bytes()).unwrap();

    let flip = |position: usize, mask: u8| {
        let mut bytes = raw.to_vec();
        bytes[position] ^= mask;
        bytes
    };
    let mut other_s = raw.to_vec();
    other_s[at..at + 32].copy_from_slice(&high_s(&signature)[32..]);
    let cases = [
        ("a bit of s", flip(at + 31, 0x01)),
        ("a bit in the middle of s", flip(at + 16, 0x10)),
        ("a bit of r", flip(r + 31, 0x01)),
        ("the parity", flip(parity, 0x81)),
        ("the value", flip(value + 8, 0x01)),
        ("the high s", other_s),
        ("another chain", key.request(&eip1559(1, 0, &to, ETHER, &[])).raw_tx().to_vec()),
    ];
    let mut refused = 0;
    for (what, bytes) in &cases {
        assert_ne!(bytes, raw, "{what}");
        let error = chain.call("eth_sendRawTransaction", json!([raw_hex(bytes)]));
        assert!(error.is_err(), "{what} was accepted: {error:?}");
        assert_eq!((chain.balance(&to), chain.nonce(&from)), (0, 0), "{what}");
        refused += 1;
    }
    assert_eq!(refused, 7);

    // The same bytes untouched are accepted, once.
    accepted(&chain, &from, &to, ETHER, "0x2", &good);
    chain.call("eth_sendRawTransaction", json!([raw_hex(raw)])).unwrap_err();
    assert_eq!((chain.balance(&to), chain.nonce(&from)), (ETHER, 1));
}

/// The address that libsecp256k1 recovers from `r ‖ s ‖ v`.
fn recovered(digest: [u8; 32], signature: &[u8]) -> Option<String> {
    use secp256k1::Message;
    use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
    let id = RecoveryId::try_from(i32::from(signature[64]) - 27).ok()?;
    let signature = RecoverableSignature::from_compact(&signature[..64], id).ok()?;
    let key = signature.recover_ecdsa(Message::from_digest(digest)).ok()?;
    Some(format!("0x{}", hex::encode(&keccak256(&key.serialize_uncompressed()[1..])[12..])))
}

/// The same by the precompiled contract at address 1, as contracts do it.
fn ecrecover(chain: &Anvil, digest: [u8; 32], signature: &[u8]) -> String {
    let mut v = [0_u8; 32];
    v[31] = signature[64];
    let data = raw_hex(&[&digest, &v, &signature[..64]].concat());
    let call = json!([{ "to": "0x0000000000000000000000000000000000000001", "data": data }, "latest"]);
    let word = chain.call("eth_call", call).unwrap();
    format!("0x{}", &word.as_str().unwrap()[26..])
}

#[test]
fn signers_of_messages_and_typed_data_are_recovered() {
    let personal = |text: &[u8]| Intent::EthereumMessage { message: hex::encode(text) };
    let typed = Intent::EthereumTypedData {
        typed_data: json!({
            "types": {
                "EIP712Domain": [
                    { "name": "name", "type": "string" },
                    { "name": "version", "type": "string" },
                    { "name": "chainId", "type": "uint256" },
                    { "name": "verifyingContract", "type": "address" }
                ],
                "Person": [{ "name": "name", "type": "string" }, { "name": "wallet", "type": "address" }],
                "Mail": [
                    { "name": "from", "type": "Person" },
                    { "name": "to", "type": "Person" },
                    { "name": "contents", "type": "string" }
                ]
            },
            "primaryType": "Mail",
            "domain": {
                "name": "Ether Mail",
                "version": "1",
                "chainId": 1,
                "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"
            },
            "message": {
                "from": { "name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826" },
                "to": { "name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB" },
                "contents": "Hello, Bob!"
            }
        }),
    };
    // The digest of the example is in the standard (EIP-712); those of EIP-191 are computed here from its text.
    let hashed = |text: &[u8]| {
        keccak256([format!("\x19Ethereum Signed Message:\n{}", text.len()).as_bytes(), text].concat()).0
    };
    let mail: [u8; 32] = hex::decode("be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2")
        .unwrap()
        .try_into()
        .unwrap();
    let cases = [
        (personal(b"hello"), hashed(b"hello")),
        (personal(b""), hashed(b"")),
        (personal(&[0xff; 100]), hashed(&[0xff; 100])),
        (typed, mail),
    ];

    let chain = Anvil::start();
    let mut count = 0;
    for (k, n) in [(2, 2), (2, 3), (3, 4)] {
        let key = ThresholdKey::generate(Scheme::EcdsaSecp256k1, k, n, 14);
        let own = key.address("ethereum").to_lowercase();
        for (intent, digest) in &cases {
            let request = key.request(intent);
            assert_eq!(request.inputs, [ToSign::Prehash(*digest)], "the digest is the standard's");
            let signature = request.finished.ethereum_signature.expect("a message has a signature");
            assert_eq!(signature.len(), 65);
            assert_eq!(recovered(*digest, &signature).as_deref(), Some(own.as_str()));
            assert_eq!(ecrecover(&chain, *digest, &signature), own);
            let mut other = *digest;
            other[0] ^= 1;
            assert_ne!(recovered(other, &signature).as_deref(), Some(own.as_str()));
            count += 1;
        }
    }
    assert_eq!(count, 12);
}

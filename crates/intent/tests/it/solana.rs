//! Solana messages against the chain's own serializer.

use crate::sign::{NET, Whole};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Verifier;
use quorate_intent::build::solana_transfer;
use quorate_intent::{Intent, IntentError, Prepared, Scheme};
use solana_hash::Hash;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::v0::{Message as V0, MessageAddressTableLookup};
use solana_message::{MessageHeader, VersionedMessage, legacy::Message as Legacy};
use solana_pubkey::Pubkey;

const SECRET: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const OWN: &str = "FVen3X669xLzsi6N2V91DoiyzHzg1uAgqiT8jZ9nS96Z";
const OTHER: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const BLOCKHASH: &str = "SysvarRecentB1ockHashes11111111111111111111";

fn prepare(bytes: &[u8]) -> Result<Prepared, IntentError> {
    Intent::SolanaMessage { message: STANDARD.encode(bytes) }.prepare(&whole().key, NET)
}

fn whole() -> Whole {
    Whole::new(Scheme::Ed25519, SECRET)
}

fn own() -> Pubkey {
    let key: [u8; 32] = whole().key.bytes().try_into().unwrap();
    key.into()
}

fn header(signatures: u8, readonly: u8) -> MessageHeader {
    MessageHeader {
        num_required_signatures: signatures,
        num_readonly_signed_accounts: 0,
        num_readonly_unsigned_accounts: readonly,
    }
}

/// A transfer of `lamports` from account 0 to account 1 by program `program`.
fn transfer(program: u8, lamports: u64) -> CompiledInstruction {
    let data = [2_u32.to_le_bytes().as_slice(), &lamports.to_le_bytes()].concat();
    CompiledInstruction { program_id_index: program, accounts: vec![0, 1], data }
}

fn legacy() -> Legacy {
    Legacy {
        header: header(1, 1),
        account_keys: vec![own(), OTHER.parse().unwrap(), Pubkey::default()],
        recent_blockhash: BLOCKHASH.parse().unwrap(),
        instructions: vec![transfer(2, 1_000_000_000)],
    }
}

fn v0() -> V0 {
    let legacy = legacy();
    V0 {
        header: legacy.header,
        account_keys: legacy.account_keys,
        recent_blockhash: legacy.recent_blockhash,
        instructions: legacy.instructions,
        address_table_lookups: vec![MessageAddressTableLookup {
            account_key: Pubkey::new_from_array([5; 32]),
            writable_indexes: vec![7],
            readonly_indexes: vec![1, 2],
        }],
    }
}

#[test]
fn the_builder_writes_what_the_chain_writes() {
    let intent = solana_transfer(&whole().key, OTHER, 1_000_000_000, BLOCKHASH).unwrap();
    let Intent::SolanaMessage { message } = &intent else { panic!("kind") };
    assert_eq!(STANDARD.decode(message).unwrap(), legacy().serialize());
    let prepared = intent.prepare(&whole().key, NET).unwrap();
    let summary = &prepared.summary;
    assert_eq!(summary.headline, format!("transfer 1 SOL from {OWN} to {OTHER}"));
    assert_eq!(summary.details[0], format!("{OWN} signs and pays the fee: {OWN}"));
    assert!(!summary.blind);
    assert_eq!(summary.transfers[0].amount, "1000000000");
    let to_self = solana_transfer(&whole().key, OWN, 1, BLOCKHASH).unwrap();
    assert!(to_self.prepare(&whole().key, NET).is_ok());
    assert!(solana_transfer(&whole().key, "nobody", 1, BLOCKHASH).is_err());
    assert!(solana_transfer(&whole().key, OTHER, 1, "0").is_err());
}

/// Legacy and v0, short and long lists: what the chain's serializer writes is read, signed as it is, and wrapped.
#[test]
fn both_versions_round_trip() {
    let mut wide = legacy();
    wide.instructions[0].data = vec![0xab; 300];
    let messages = [
        VersionedMessage::Legacy(legacy()),
        VersionedMessage::Legacy(wide),
        VersionedMessage::V0(v0()),
        VersionedMessage::V0(V0 { address_table_lookups: vec![], ..v0() }),
    ];
    let mut count = 0;
    for message in messages {
        let bytes = message.serialize();
        let prepared = prepare(&bytes).unwrap();
        assert_eq!(prepared.message(), Some(&bytes[..]));
        let tables = message.address_table_lookups().is_some_and(|l| !l.is_empty());
        let long = message.instructions()[0].data.len() > 12;
        assert_eq!(prepared.summary.blind, tables || long);
        let signatures = whole().sign_all(&prepared);
        let finished = prepared.finish(&signatures).unwrap();
        let raw = finished.raw_tx.unwrap();
        assert_eq!(raw, [&[1], &signatures[0].bytes[..], &bytes].concat());
        let id: solana_signature::Signature = finished.txid.unwrap().parse().unwrap();
        assert_eq!(id.as_ref(), &raw[1..65]);
        let key = ed25519_dalek::VerifyingKey::from_bytes(whole().key.bytes().try_into().unwrap()).unwrap();
        key.verify(&raw[65..], &ed25519_dalek::Signature::from_slice(&raw[1..65]).unwrap()).unwrap();
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn with_other_signers_the_transaction_is_partial() {
    let mut message = legacy();
    message.header = header(2, 1);
    message.account_keys = vec![OTHER.parse().unwrap(), own(), Pubkey::default()];
    let prepared = prepare(&message.serialize()).unwrap();
    assert!(prepared.summary.details[0].contains("another account pays the fee"));
    let signatures = whole().sign_all(&prepared);
    let finished = prepared.finish(&signatures).unwrap();
    assert!(finished.raw_tx.is_none() && finished.txid.is_none());
    let partial = finished.partial_tx.unwrap();
    assert_eq!(partial, [&[2], &[0; 64][..], &signatures[0].bytes, &message.serialize()].concat());
}

#[test]
fn unknown_programs_are_blind_and_known_ones_are_read() {
    let mut message = legacy();
    message.account_keys[2] = Pubkey::new_from_array([3; 32]);
    let summary = prepare(&message.serialize()).unwrap().summary;
    assert!(summary.blind && summary.headline.starts_with("call program"));

    let mint = Pubkey::new_from_array([4; 32]);
    let mut message = legacy();
    message.account_keys = vec![own(), Pubkey::new_from_array([6; 32]), mint, OTHER.parse().unwrap()];
    let data = [[12].as_slice(), &1_500_000_u64.to_le_bytes(), &[6]].concat();
    message.instructions =
        vec![CompiledInstruction { program_id_index: 3, accounts: vec![0, 2, 1, 0], data }];
    let summary = prepare(&message.serialize()).unwrap().summary;
    assert!(summary.headline.starts_with(&format!("transfer 1.5 of token {mint}")), "{}", summary.headline);
    assert_eq!((summary.blind, summary.transfers[0].asset.clone()), (false, mint.to_string()));

    let mut message = legacy();
    let nonce = CompiledInstruction { program_id_index: 2, accounts: vec![1, 1, 0], data: vec![4, 0, 0, 0] };
    message.instructions.insert(0, nonce);
    assert!(prepare(&message.serialize()).unwrap().summary.warnings[0].contains("does not expire"));
}

type Change = fn(&mut Legacy);

#[test]
fn everything_else_is_refused() {
    let good = legacy().serialize();
    let bytes: [(&str, Vec<u8>, &str); 8] = [
        ("empty", vec![], "intent_malformed"),
        ("truncated", good[..good.len() - 1].to_vec(), "intent_malformed"),
        ("trailing byte", [&good[..], &[0]].concat(), "intent_malformed"),
        ("signed transaction", [&[1], &[0; 64][..], &good].concat(), "intent_malformed"),
        ("long form of a length", [&good[..3], &[0x83, 0], &good[4..]].concat(), "intent_malformed"),
        ("version 1", [&[0x81], &good[..]].concat(), "intent_unsupported"),
        ("off-chain message", b"\xffsolana offchain".to_vec(), "intent_unsupported"),
        ("v0 without its tables", [&[0x80], &good[..]].concat(), "intent_malformed"),
    ];
    assert_eq!(bytes.len(), 8);
    for (name, bytes, code) in bytes {
        let error = prepare(&bytes).expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
    }
    let changes: [(&str, Change, &str); 7] = [
        ("another signer", |m| m.account_keys[0] = Pubkey::new_from_array([8; 32]), "intent_not_ours"),
        (
            "present but no signer",
            |m| {
                m.account_keys[0] = Pubkey::new_from_array([8; 32]);
                m.account_keys[1] = own();
            },
            "intent_not_ours",
        ),
        ("account twice", |m| m.account_keys[1] = m.account_keys[0], "intent_malformed"),
        ("no signer at all", |m| m.header.num_required_signatures = 0, "intent_malformed"),
        ("more signers than accounts", |m| m.header.num_required_signatures = 4, "intent_malformed"),
        ("program out of range", |m| m.instructions[0].program_id_index = 3, "intent_malformed"),
        ("account out of range", |m| m.instructions[0].accounts[1] = 9, "intent_malformed"),
    ];
    assert_eq!(changes.len(), 7);
    for (name, change, code) in changes {
        let mut message = legacy();
        change(&mut message);
        let error = prepare(&message.serialize()).expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
    }
    // Room for one signature, not for the two that are required.
    let mut large = legacy();
    large.header.num_required_signatures = 2;
    large.instructions[0].data = vec![0; 985];
    assert_eq!(prepare(&large.serialize()).unwrap_err().code(), "intent_too_large");
    large.header.num_required_signatures = 1;
    assert!(prepare(&large.serialize()).is_ok());
    assert_eq!(legacy().recent_blockhash, BLOCKHASH.parse::<Hash>().unwrap());
}

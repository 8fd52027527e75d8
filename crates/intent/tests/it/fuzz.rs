//! The seeds of the fuzz targets of this crate, and a fixed run of mutations over them.

use crate::facts::{BOB, EVE, OWN, TOKEN, data, uint, who};
use crate::random::seeds as requests;
use crate::sign::Whole;
use crate::{agree_check, ethereum_check, mutate, psbt_check, solana_check, typed_check};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxLegacy};
use alloy_dyn_abi::DynSolValue;
use alloy_primitives::U256;
use quorate_intent::Scheme;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::v0::{Message as V0, MessageAddressTableLookup};
use solana_message::{MessageHeader, VersionedMessage, legacy::Message as Legacy};
use solana_pubkey::{Pubkey, pubkey};

const SECRET: &str = "4646464646464646464646464646464646464646464646464646464646464646";
/// Mutations of each target: 20,000 in all.
const COUNT: usize = 5_000;

type Seeds = Vec<(&'static str, Vec<u8>)>;

/// Runs one target and checks that the mutations reach both what is accepted and what is refused.
fn run(target: &str, seeds: &Seeds, check: fn(&[u8]) -> bool) {
    let seeds = mutate::seeds(target, seeds);
    let (ran, accepted) = mutate::run(&seeds, COUNT, check);
    assert_eq!(ran, seeds.len() + COUNT);
    assert!((COUNT / 200..COUNT).contains(&accepted), "{target}: {accepted} accepted");
    assert_eq!(mutate::found(target, check), 64, "{target}");
}

#[test]
fn the_keys_of_the_targets_are_the_keys_of_the_seeds() {
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::Ed25519] {
        assert_eq!(agree_check::key(scheme).to_hex(), Whole::new(scheme, SECRET).key.to_hex());
    }
}

#[test]
fn ethereum_transactions() {
    let call = |input: Vec<u8>| {
        TxEip1559 {
            chain_id: 1,
            nonce: 7,
            gas_limit: 60_000,
            max_fee_per_gas: 30_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TOKEN.into(),
            value: U256::from(1),
            access_list: Default::default(),
            input: input.into(),
        }
        .encoded_for_signing()
    };
    let list = || DynSolValue::Array(vec![uint(U256::from(1)), uint(U256::from(2))]);
    let access = alloy_eips::eip2930::AccessListItem { address: BOB, storage_keys: vec![Default::default()] };
    let eip2930 =
        TxEip2930 { chain_id: 10, to: BOB.into(), access_list: vec![access].into(), ..Default::default() };
    let legacy = TxLegacy { chain_id: Some(137), to: BOB.into(), value: U256::MAX, ..Default::default() };
    let one = uint(U256::from(1));
    let seeds = vec![
        ("legacy", legacy.encoded_for_signing()),
        ("eip2930", eip2930.encoded_for_signing()),
        ("eip1559", call(vec![])),
        ("transfer", call(data("transfer(address,uint256)", vec![who(BOB), one.clone()]))),
        ("approve", call(data("approve(address,uint256)", vec![who(EVE), uint(U256::MAX)]))),
        ("transfer_from", call(data("transferFrom(address,address,uint256)", vec![who(OWN), who(BOB), one]))),
        (
            "approve_all",
            call(data("setApprovalForAll(address,bool)", vec![who(EVE), DynSolValue::Bool(true)])),
        ),
        (
            "batch",
            call(data(
                "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
                vec![who(OWN), who(BOB), list(), list(), DynSolValue::Bytes(vec![])],
            )),
        ),
        ("unknown_call", call(vec![1, 2, 3, 4, 5])),
    ];
    run("ethereum_transaction", &seeds, ethereum_check::check);
}

/// Texts, because the order of a JSON object's members is not ours to choose.
#[test]
fn typed_data() {
    let seeds = [("permit", PERMIT), ("permit2", PERMIT2), ("atoms", ATOMS)];
    run("typed_data", &seeds.map(|(name, text)| (name, text.into())).to_vec(), typed_check::check);
}

#[test]
fn psbts() {
    let made = requests();
    let seeds =
        vec![("p2wpkh", made[1].0.clone()), ("p2tr", made[2].0.clone()), ("version2", made[4].0.clone())];
    run("psbt", &seeds, psbt_check::check);
}

#[test]
fn solana_messages() {
    let own = Pubkey::try_from(Whole::new(Scheme::Ed25519, SECRET).key.bytes()).unwrap();
    let programs = [
        pubkey!("11111111111111111111111111111111"),
        pubkey!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
        pubkey!("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"),
        pubkey!("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
        pubkey!("ComputeBudget111111111111111111111111111111"),
    ];
    let others = [1, 2, 3].map(|n| Pubkey::new_from_array([n; 32]));
    let account_keys = [&[own], &others[..], &programs].concat();
    let header = MessageHeader {
        num_required_signatures: 1,
        num_readonly_signed_accounts: 0,
        num_readonly_unsigned_accounts: 5,
    };
    let run_of = |program_id_index: u8, accounts: &[u8], data: Vec<u8>| CompiledInstruction {
        program_id_index,
        accounts: accounts.to_vec(),
        data,
    };
    let blockhash = || solana_hash::Hash::new_from_array([9; 32]);
    let legacy = |instructions| {
        let account_keys = account_keys.clone();
        VersionedMessage::Legacy(Legacy { header, account_keys, recent_blockhash: blockhash(), instructions })
            .serialize()
    };
    let token = |kind: u8, rest: &[u8]| [&[kind], &7_u64.to_le_bytes()[..], rest].concat();
    let transfer = run_of(4, &[0, 1], [&[2, 0, 0, 0], &5_u64.to_le_bytes()[..]].concat());
    let tokens = vec![
        run_of(8, &[], [&[2], &9_u32.to_le_bytes()[..]].concat()),
        run_of(6, &[0, 1, 2, 3], vec![1]),
        run_of(5, &[1, 3, 2, 0], token(12, &[6])),
        run_of(5, &[1, 2, 0], token(4, &[])),
        run_of(5, &[1, 0], [&[6, 2, 1], &[4; 32][..]].concat()),
        run_of(7, &[], b"memo".to_vec()),
    ];
    let nonce = vec![run_of(4, &[1, 2, 0], vec![4, 0, 0, 0]), transfer.clone()];
    let lookup = MessageAddressTableLookup {
        account_key: others[0],
        writable_indexes: vec![7],
        readonly_indexes: vec![1, 2],
    };
    let v0 = VersionedMessage::V0(V0 {
        header,
        account_keys: account_keys.clone(),
        recent_blockhash: blockhash(),
        instructions: vec![transfer.clone()],
        address_table_lookups: vec![lookup],
    });
    let seeds = vec![
        ("transfer", legacy(vec![transfer])),
        ("tokens", legacy(tokens)),
        ("nonce", legacy(nonce)),
        ("v0", v0.serialize()),
    ];
    run("solana_message", &seeds, solana_check::check);
}

const PERMIT: &str = r#"{
  "types": {
    "Permit": [
      {"name": "owner", "type": "address"},
      {"name": "spender", "type": "address"},
      {"name": "value", "type": "uint256"},
      {"name": "nonce", "type": "uint256"},
      {"name": "deadline", "type": "uint256"}
    ]
  },
  "primaryType": "Permit",
  "domain": {"chainId": 1, "name": "n", "verifyingContract": "0x1111111111111111111111111111111111111111", "version": "1"},
  "message": {
    "deadline": 1,
    "nonce": 0,
    "owner": "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F",
    "spender": "0x3333333333333333333333333333333333333333",
    "value": "77"
  }
}
"#;
const PERMIT2: &str = r#"{
  "types": {
    "PermitBatch": [
      {"name": "details", "type": "PermitDetails[]"},
      {"name": "spender", "type": "address"},
      {"name": "sigDeadline", "type": "uint256"}
    ],
    "PermitDetails": [
      {"name": "token", "type": "address"},
      {"name": "amount", "type": "uint160"},
      {"name": "expiration", "type": "uint48"},
      {"name": "nonce", "type": "uint48"}
    ]
  },
  "primaryType": "PermitBatch",
  "domain": {"chainId": 1, "name": "Permit2", "verifyingContract": "0x000000000022D473030F116dDEE9F6B43aC78BA3"},
  "message": {
    "details": [{"amount": "1", "expiration": 2, "nonce": 3, "token": "0x1111111111111111111111111111111111111111"}],
    "sigDeadline": 9,
    "spender": "0x3333333333333333333333333333333333333333"
  }
}
"#;
const ATOMS: &str = r#"{
  "types": {
    "All": [
      {"name": "a", "type": "bool"},
      {"name": "b", "type": "int16"},
      {"name": "c", "type": "bytes4"},
      {"name": "d", "type": "bytes"},
      {"name": "e", "type": "uint256[2][]"},
      {"name": "f", "type": "Leaf[]"},
      {"name": "g", "type": "string"}
    ],
    "EIP712Domain": [
      {"name": "name", "type": "string"}
    ],
    "Leaf": [
      {"name": "v", "type": "uint8"}
    ]
  },
  "primaryType": "All",
  "domain": {"name": "x"},
  "message": {
    "a": true,
    "b": -3,
    "c": "0x01020304",
    "d": "0x05",
    "e": [[1, "2"]],
    "f": [{"v": 255}],
    "g": "é"
  }
}
"#;

//! Solana instructions that are read, and those next to them that are not.

use crate::facts::check_agreement;
use crate::sign::{NET, Whole};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quorate_intent::{Amount, Intent, Prepared, Scheme};
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{MessageHeader, legacy::Message};
use solana_pubkey::{Pubkey, pubkey};

const SECRET: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const SYSTEM: Pubkey = pubkey!("11111111111111111111111111111111");
const TOKEN: Pubkey = pubkey!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const TOKEN_2022: Pubkey = pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
const ASSOCIATED: Pubkey = pubkey!("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
const MEMO: Pubkey = pubkey!("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
const BUDGET: Pubkey = pubkey!("ComputeBudget111111111111111111111111111111");
const ED25519: Pubkey = pubkey!("Ed25519SigVerify111111111111111111111111111");

fn whole() -> Whole {
    Whole::new(Scheme::Ed25519, SECRET)
}

fn own() -> Pubkey {
    <[u8; 32]>::try_from(whole().key.bytes()).unwrap().into()
}

/// Account 0 is ours, 1 to 4 are `[1; 32]` to `[4; 32]`, then the programs.
fn account(n: u8) -> Pubkey {
    if n == 0 { own() } else { Pubkey::new_from_array([n; 32]) }
}

/// A transaction of instructions: program, accounts, data.
fn run(instructions: &[(Pubkey, Vec<u8>, Vec<u8>)]) -> Prepared {
    let mut keys: Vec<Pubkey> = (0..5).map(account).collect();
    for (program, ..) in instructions {
        if !keys.contains(program) {
            keys.push(*program);
        }
    }
    let message = Message {
        header: MessageHeader {
            num_required_signatures: 1,
            num_readonly_signed_accounts: 0,
            num_readonly_unsigned_accounts: 0,
        },
        recent_blockhash: solana_hash::Hash::new_from_array([9; 32]),
        instructions: instructions
            .iter()
            .map(|(program, accounts, data)| CompiledInstruction {
                program_id_index: keys.iter().position(|key| key == program).unwrap() as u8,
                accounts: accounts.clone(),
                data: data.clone(),
            })
            .collect(),
        account_keys: keys,
    };
    let message = STANDARD.encode(message.serialize());
    let prepared = Intent::SolanaMessage { message }.prepare(&whole().key, NET).unwrap();
    check_agreement(&prepared);
    prepared
}

fn one(program: Pubkey, accounts: &[u8], data: &[u8]) -> Prepared {
    run(&[(program, accounts.to_vec(), data.to_vec())])
}

fn with_amount(kind: u8, amount: u64, rest: &[u8]) -> Vec<u8> {
    [&[kind], &amount.to_le_bytes()[..], rest].concat()
}

/// Program, accounts, data, method, headline, blind.
type Case = (Pubkey, &'static [u8], Vec<u8>, &'static str, String, bool);

#[test]
fn known_instructions_are_read() {
    let transfer = [&2_u32.to_le_bytes()[..], &1_500_000_000_u64.to_le_bytes()].concat();
    let authority = |kind: u8| [&[6, kind, 1], &[4; 32][..]].concat();
    let (a, b, c, d) = (account(1), account(2), account(3), account(4));
    let me = own();
    let cases: Vec<Case> = vec![
        (SYSTEM, &[0, 1], transfer, "transfer", format!("transfer 1.5 SOL from {me} to {a}"), false),
        (
            TOKEN,
            &[1, 2, 0],
            with_amount(3, 7, &[]),
            "transfer",
            format!("transfer 7 smallest units of a token from token account {a} to {b}"),
            true,
        ),
        (
            TOKEN,
            &[1, 3, 2, 0],
            with_amount(12, 1_500_000, &[6]),
            "transferChecked",
            format!("transfer 1.5 of token {c} from token account {a} to {b}"),
            false,
        ),
        (
            TOKEN,
            &[1, 2, 0],
            with_amount(4, 7, &[]),
            "approve",
            format!("allow {b} to spend 7 smallest units of a token from token account {a}"),
            true,
        ),
        (
            TOKEN_2022,
            &[1, 3, 2, 0],
            with_amount(13, u64::MAX, &[0]),
            "approveChecked",
            format!("allow {b} to spend 18446744073709551615 of token {c} from token account {a}"),
            false,
        ),
        (
            TOKEN,
            &[1, 0],
            vec![5],
            "revoke",
            format!("take back the right of whoever may spend from token account {a}"),
            false,
        ),
        (
            TOKEN,
            &[1, 0],
            authority(0),
            "setAuthority",
            format!("let {d} mint tokens of {a} from now on"),
            false,
        ),
        (
            TOKEN,
            &[1, 0],
            authority(2),
            "setAuthority",
            format!("let {d} own token account {a} from now on"),
            true,
        ),
        (
            TOKEN,
            &[1, 0],
            vec![6, 1, 0],
            "setAuthority",
            format!("give up for ever the right to freeze accounts of {a}"),
            false,
        ),
        (
            ASSOCIATED,
            &[0, 1, 2, 3],
            vec![1],
            "createIdempotent",
            format!("create token account {a} of {b} for token {c}, its rent paid by {me}"),
            false,
        ),
        (MEMO, &[], "invoice \u{202e}7".into(), "memo", r#"note "invoice \u{202e}7""#.to_owned(), false),
    ];
    let count = cases.len();
    for (program, accounts, data, method, headline, blind) in cases {
        let prepared = one(program, accounts, &data);
        let facts = &prepared.facts;
        assert_eq!(prepared.summary.headline, headline);
        assert_eq!(facts.blind, blind, "{}", prepared.summary);
        assert_eq!(facts.calls[0].method.as_deref(), Some(method));
        assert_eq!(facts.calls[0].contract, program.to_string());
        assert_eq!((facts.kind.as_str(), facts.chain.as_deref()), ("solana_message", Some("solana")));
        assert_eq!(facts.fee_max, Some(5000_u64.into()));
        // A byte more is another instruction, or none.
        if method != "memo" {
            let longer = one(program, accounts, &[&data[..], &[0]].concat());
            assert!(longer.facts.blind && longer.facts.calls[0].method.is_none(), "{method}");
            assert!(longer.facts.transfers.is_empty() && longer.facts.approvals.is_empty());
        }
        if let Some(fewer) = accounts.len().checked_sub(1) {
            let fewer = one(program, &accounts[..fewer], &data);
            assert!(fewer.facts.blind && fewer.facts.calls[0].method.is_none(), "{method}");
        }
    }
    assert_eq!(count, 11);
}

#[test]
fn facts_of_a_payment() {
    let lamports = |amount: u64| [&2_u32.to_le_bytes()[..], &amount.to_le_bytes()].concat();
    let prepared = run(&[
        (BUDGET, vec![], [&[2][..], &100_000_u32.to_le_bytes()].concat()),
        (BUDGET, vec![], [&[3][..], &2_000_000_u64.to_le_bytes()].concat()),
        (SYSTEM, vec![0, 1], lamports(u64::MAX)),
        (SYSTEM, vec![0, 2], lamports(u64::MAX)),
        (SYSTEM, vec![3, 2], lamports(5)),
        (ASSOCIATED, vec![0, 1, 2, 3], vec![]),
        (TOKEN, vec![1, 3, 2, 0], with_amount(12, 9, &[0])),
        (MEMO, vec![], b"thanks".to_vec()),
    ]);
    let facts = &prepared.facts;
    assert!(!facts.blind, "{}", prepared.summary);
    assert_eq!(
        facts.native_out,
        Amount::from(2 * u128::from(u64::MAX)),
        "what another account pays is not ours"
    );
    assert_eq!(facts.fee_max, Some(205_000_u64.into()));
    assert_eq!(facts.message.as_deref(), Some("thanks"));
    assert_eq!((facts.transfers.len(), facts.calls.len()), (4, 8));
    assert_eq!(facts.transfers[2].from, Some(account(3).to_string()));
    assert_eq!(facts.recipients, [1, 2].map(|n| account(n).to_string()).into_iter().collect());
    assert_eq!(prepared.summary.headline, "run 6 Solana instructions");
    // Two memos: neither is the message.
    let two = run(&[(MEMO, vec![], b"a".to_vec()), (MEMO, vec![], b"b".to_vec())]);
    assert!(two.facts.message.is_none() && !two.facts.blind);
}

#[test]
fn what_is_not_known_is_blind() {
    let mut foreign = 0;
    for (program, data) in [
        (Pubkey::new_from_array([77; 32]), vec![2, 0, 0, 0]),
        (SYSTEM, vec![0; 52]),
        (SYSTEM, vec![2, 0, 0, 0]),
        (TOKEN, vec![9]),
        (TOKEN, vec![25]),
        (TOKEN, [&[6, 4, 1], &[4; 32][..]].concat()),
        (TOKEN, vec![6, 2, 2]),
        (ASSOCIATED, vec![2]),
        (MEMO, vec![0xff]),
        (BUDGET, vec![0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (ED25519, vec![1, 0]),
    ] {
        let prepared = one(program, &[0, 1, 2, 3], &data);
        assert!(prepared.facts.blind, "{program} {data:?}");
        assert!(prepared.facts.recipients.contains(&program.to_string()));
        assert!(prepared.summary.headline.starts_with(&format!("call program {program}")));
        assert_eq!(prepared.facts.fee_max.is_none(), program == ED25519);
        foreign += 1;
    }
    assert_eq!(foreign, 11);
    let nonce = run(&[(SYSTEM, vec![1, 2, 0], vec![4, 0, 0, 0]), (MEMO, vec![], b"x".to_vec())]);
    assert!(!nonce.facts.blind && nonce.summary.warnings[0].contains("durable nonce"));
    assert_eq!(nonce.facts.calls[0].method.as_deref(), Some("advanceNonceAccount"));
}

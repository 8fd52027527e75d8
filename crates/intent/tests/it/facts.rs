//! Facts and words of calls that are known, against encodings made here from their signatures.

use crate::sign::{NET, Whole};
use alloy_dyn_abi::DynSolValue;
use alloy_primitives::{Address, U256, address, keccak256};
use quorate_intent::build::{BitcoinSpend, EthereumTransfer, bitcoin_spend, ethereum_transfer};
use quorate_intent::facts::{Approval, Movement};
use quorate_intent::{Amount, Facts, Intent, Prepared, Scheme, Summary};

const SECRET: &str = "4646464646464646464646464646464646464646464646464646464646464646";
pub(crate) const OWN: Address = address!("9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F");
pub(crate) const TOKEN: Address = address!("1111111111111111111111111111111111111111");
pub(crate) const BOB: Address = address!("2222222222222222222222222222222222222222");
pub(crate) const EVE: Address = address!("3333333333333333333333333333333333333333");

pub(crate) fn whole() -> Whole {
    Whole::new(Scheme::EcdsaSecp256k1, SECRET)
}

/// Call data of `signature` with `arguments`.
pub(crate) fn data(signature: &str, arguments: Vec<DynSolValue>) -> Vec<u8> {
    let selector = keccak256(signature.as_bytes());
    [&selector[..4], &DynSolValue::Tuple(arguments).abi_encode_params()].concat()
}

pub(crate) fn uint(value: impl Into<U256>) -> DynSolValue {
    DynSolValue::Uint(value.into(), 256)
}

pub(crate) fn who(value: Address) -> DynSolValue {
    DynSolValue::Address(value)
}

pub(crate) fn call_on(chain_id: u64, to: Address, value_wei: u128, data: Vec<u8>) -> Prepared {
    let transfer = EthereumTransfer {
        chain_id,
        nonce: 3,
        to: to.to_string(),
        value_wei,
        gas_limit: 60_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1,
        data,
    };
    ethereum_transfer(&transfer).unwrap().prepare(&whole().key, NET).unwrap()
}

pub(crate) fn call(data: Vec<u8>) -> Prepared {
    call_on(1, TOKEN, 0, data)
}

fn moved(from: Option<Address>, to: Address, amount: u64, token_id: Option<u64>) -> Movement {
    Movement {
        asset: TOKEN.to_string(),
        from: from.map(|a| a.to_string()),
        to: to.to_string(),
        amount: amount.into(),
        token_id: token_id.map(Amount::from),
    }
}

fn allowed(spender: Address, amount: Amount, unlimited: bool) -> Approval {
    Approval {
        token: TOKEN.to_string(),
        spender: spender.to_string(),
        amount,
        unlimited,
        by_signature: false,
    }
}

type Case = (&'static str, Vec<DynSolValue>, &'static str, Vec<Movement>, Vec<Approval>, Vec<Address>);

#[test]
fn token_methods_of_the_standards() {
    let list = |numbers: &[u64]| DynSolValue::Array(numbers.iter().map(|n| uint(U256::from(*n))).collect());
    let n = |value: u64| uint(U256::from(value));
    let bytes = || DynSolValue::Bytes(vec![]);
    let endless = Amount::MAX;
    let cases: Vec<Case> = vec![
        (
            "transfer(address,uint256)",
            vec![who(BOB), n(255)],
            "transfer 255 smallest units of token T to B",
            vec![moved(None, BOB, 255, None)],
            vec![],
            vec![BOB],
        ),
        (
            "transferFrom(address,address,uint256)",
            vec![who(EVE), who(BOB), n(7)],
            "transfer 7 smallest units (or number 7) of token T from E to B",
            vec![moved(Some(EVE), BOB, 7, None)],
            vec![],
            vec![BOB],
        ),
        (
            "transferFrom(address,address,uint256)",
            vec![who(OWN), who(BOB), n(7)],
            "transfer 7 smallest units (or number 7) of token T to B",
            vec![moved(None, BOB, 7, None)],
            vec![],
            vec![BOB],
        ),
        (
            "approve(address,uint256)",
            vec![who(BOB), n(9)],
            "allow B to spend 9 smallest units (or number 9) of token T",
            vec![],
            vec![allowed(BOB, 9_u64.into(), false)],
            vec![BOB],
        ),
        (
            "approve(address,uint256)",
            vec![who(BOB), uint(U256::MAX)],
            "allow B to spend all smallest units of token T",
            vec![],
            vec![allowed(BOB, endless, true)],
            vec![BOB],
        ),
        (
            "increaseAllowance(address,uint256)",
            vec![who(BOB), n(9)],
            "allow B to spend 9 more smallest units of token T",
            vec![],
            vec![allowed(BOB, 9_u64.into(), false)],
            vec![BOB],
        ),
        (
            "decreaseAllowance(address,uint256)",
            vec![who(BOB), n(9)],
            "allow B to spend 9 fewer smallest units of token T",
            vec![],
            vec![],
            vec![],
        ),
        (
            "safeTransferFrom(address,address,uint256)",
            vec![who(OWN), who(BOB), n(77)],
            "transfer 1 of number 77 of token T to B",
            vec![moved(None, BOB, 1, Some(77))],
            vec![],
            vec![BOB],
        ),
        (
            "safeTransferFrom(address,address,uint256,bytes)",
            vec![who(OWN), who(BOB), n(77), bytes()],
            "transfer 1 of number 77 of token T to B",
            vec![moved(None, BOB, 1, Some(77))],
            vec![],
            vec![BOB],
        ),
        (
            "setApprovalForAll(address,bool)",
            vec![who(EVE), DynSolValue::Bool(true)],
            "allow E to move every token of T that this account has",
            vec![],
            vec![allowed(EVE, endless, true)],
            vec![EVE],
        ),
        (
            "setApprovalForAll(address,bool)",
            vec![who(EVE), DynSolValue::Bool(false)],
            "no longer allow E to move every token of T",
            vec![],
            vec![allowed(EVE, Amount::ZERO, false)],
            vec![EVE],
        ),
        (
            "safeTransferFrom(address,address,uint256,uint256,bytes)",
            vec![who(EVE), who(BOB), n(5), n(6), bytes()],
            "transfer 6 of number 5 of token T from E to B",
            vec![moved(Some(EVE), BOB, 6, Some(5))],
            vec![],
            vec![BOB],
        ),
        (
            "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
            vec![who(OWN), who(BOB), list(&[1, 2]), list(&[3, 4]), bytes()],
            "transfer 3 of number 1 and 4 of number 2 of token T to B",
            vec![moved(None, BOB, 3, Some(1)), moved(None, BOB, 4, Some(2))],
            vec![],
            vec![BOB],
        ),
    ];
    let count = cases.len();
    for (method, arguments, words, transfers, approvals, recipients) in cases {
        let prepared = call(data(method, arguments));
        let facts = &prepared.facts;
        let words = words
            .split(' ')
            .map(|word| match word {
                "T" => TOKEN.to_string(),
                "B" => BOB.to_string(),
                "E" => EVE.to_string(),
                word => word.to_owned(),
            })
            .collect::<Vec<_>>()
            .join(" ");
        let tail = "on mainnet, fee at most 0.0006 ETH";
        assert_eq!(prepared.summary.headline, format!("{words} {tail}"));
        assert!(!facts.blind, "{method}");
        assert_eq!(facts.transfers, transfers, "{method}");
        assert_eq!(facts.approvals, approvals, "{method}");
        assert_eq!(facts.recipients, recipients.iter().map(Address::to_string).collect(), "{method}");
        assert_eq!(facts.calls[0].method.as_deref(), Some(method));
        assert_eq!(facts.calls[0].contract, TOKEN.to_string());
        assert_eq!(facts.calls[0].selector, format!("0x{}", hex::encode(&keccak256(method)[..4])));
        assert_eq!(facts.native_out, Amount::ZERO);
        let grants = approvals.iter().any(|approval| !approval.amount.is_zero());
        assert_eq!(!prepared.summary.warnings.is_empty(), grants, "{method}");
        check_agreement(&prepared);
    }
    assert_eq!(count, 13);
}

/// What must hold between words and facts of any request.
pub(crate) fn check_agreement(prepared: &Prepared) {
    let (facts, summary): (&Facts, &Summary) = (&prepared.facts, &prepared.summary);
    assert_eq!(facts.blind, summary.blind);
    assert_eq!(facts.transfers.len(), summary.transfers.len());
    for (fact, word) in facts.transfers.iter().zip(&summary.transfers) {
        assert_eq!(
            (&fact.asset, &fact.to, fact.amount.to_string()),
            (&word.asset, &word.to, word.amount.clone())
        );
        assert_eq!(Some(&word.chain), facts.chain.as_ref());
        assert!(facts.recipients.contains(&fact.to));
    }
    assert!(facts.approvals.iter().all(|approval| facts.recipients.contains(&approval.spender)));
    assert!(!facts.blind || !summary.warnings.is_empty(), "blind without saying why: {summary}");
    let json = serde_json::to_string(facts).unwrap();
    assert_eq!(&serde_json::from_str::<Facts>(&json).unwrap(), facts);
    assert!(summary.to_string().chars().all(|c| c == '\n' || c == '…' || !c.is_control()));
}

#[test]
fn coins_are_wrapped_only_by_the_known_contract_of_the_chain() {
    let weth = address!("C02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2");
    let wrap = call_on(1, weth, 5 * 10_u128.pow(17), data("deposit()", vec![]));
    assert!(
        wrap.summary.headline.starts_with(&format!("wrap 0.5 ETH into token {weth}, sending 0.5 ETH along,"))
    );
    assert!(!wrap.facts.blind);
    assert_eq!(wrap.facts.native_out.to_string(), "500000000000000000");
    assert_eq!(wrap.facts.calls[0].value, wrap.facts.native_out);
    let unwrap = call_on(1, weth, 0, data("withdraw(uint256)", vec![uint(U256::from(1))]));
    assert!(unwrap.summary.headline.starts_with("unwrap 0.000000000000000001 ETH from token"));
    assert!(!unwrap.facts.blind && unwrap.facts.transfers.is_empty());
    let mut blind = 0;
    for (chain, contract) in [(1, TOKEN), (10, weth), (777, weth)] {
        for call in [data("deposit()", vec![]), data("withdraw(uint256)", vec![uint(U256::from(1))])] {
            let prepared = call_on(chain, contract, 0, call);
            assert!(prepared.facts.blind && prepared.facts.recipients.contains(&contract.to_string()));
            blind += 1;
        }
    }
    assert_eq!(blind, 6);
}

#[test]
fn chains_are_named_and_fees_are_bounded_where_that_is_certain() {
    let cases = [
        (1, "send 1 ETH to B on mainnet, fee at most 0.0006 ETH", true),
        (11_155_111, "send 1 ETH to B on sepolia, fee at most 0.0006 ETH", true),
        (17_000, "send 1 ETH to B on holesky, fee at most 0.0006 ETH", true),
        (560_048, "send 1 ETH to B on hoodi, fee at most 0.0006 ETH", true),
        (8453, "send 1 ETH to B on base, gas fee at most 0.0006 ETH", false),
        (10, "send 1 ETH to B on optimism, gas fee at most 0.0006 ETH", false),
        (42_161, "send 1 ETH to B on arbitrum, fee at most 0.0006 ETH", true),
        (137, "send 1 POL to B on polygon, fee at most 0.0006 POL", true),
        (56, "send 1 BNB to B on bsc, fee at most 0.0006 BNB", true),
        (12_345, "send 1 native coin to B on chain 12345, gas fee at most 0.0006 native coin", false),
    ];
    let count = cases.len();
    for (chain, words, bounded) in cases {
        let prepared = call_on(chain, BOB, 10_u128.pow(18), vec![]);
        assert_eq!(prepared.summary.headline, words.replace(" B ", &format!(" {BOB} ")));
        let fee = bounded.then(|| Amount::from(600_000_000_000_000_u64));
        assert_eq!(prepared.facts.fee_max, fee, "{chain}");
        assert_eq!(prepared.facts.chain.as_deref(), Some(format!("ethereum:{chain}").as_str()));
        assert_eq!(prepared.facts.kind, "ethereum_transaction");
        assert!(prepared.facts.calls.is_empty());
        check_agreement(&prepared);
    }
    assert_eq!(count, 10);
}

#[test]
fn bitcoin_counts_what_leaves() {
    let mut kinds = 0;
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        let key = Whole::new(scheme, SECRET).key;
        let spend = BitcoinSpend {
            txid: "11".repeat(32),
            vout: 0,
            amount_sat: 1_000_000,
            to: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".into(),
            send_sat: 600_000,
            fee_sat: 282,
        };
        let prepared = bitcoin_spend(&key, &spend, NET).unwrap().prepare(&key, NET).unwrap();
        let facts = &prepared.facts;
        assert_eq!((facts.kind.as_str(), facts.chain.as_deref()), ("bitcoin_psbt", Some("bitcoin")));
        assert_eq!((facts.native_out, facts.fee_max), (600_000_u64.into(), Some(282_u64.into())));
        assert_eq!(facts.recipients.iter().collect::<Vec<_>>(), [&spend.to]);
        assert!(!facts.blind && facts.calls.is_empty());
        // 140.5 virtual bytes with input and change P2WPKH, 142 with both P2TR; the rate is rounded down.
        let rate = if scheme == Scheme::Bip340 { "fee rate about 1.9 " } else { "fee rate about 2 " };
        assert!(prepared.summary.details.iter().any(|d| d.starts_with(rate)), "{}", prepared.summary);
        check_agreement(&prepared);
        kinds += 1;
    }
    assert_eq!(kinds, 2);
}

#[test]
fn messages_carry_their_text() {
    let key = whole().key;
    let text = "log in as \u{202e}admin";
    let read = Intent::EthereumMessage { message: hex::encode(text) }.prepare(&key, NET).unwrap();
    assert_eq!(read.facts.message.as_deref(), Some(text));
    assert_eq!(read.facts.kind, "ethereum_message");
    assert!(read.facts.chain.is_none() && !read.facts.blind);
    assert!(read.summary.warnings.iter().any(|w| w.contains("invisible")), "{}", read.summary);
    let blind = Intent::Message { message: "ff00".into() }.prepare(&key, NET).unwrap();
    assert!(blind.facts.message.is_none() && blind.facts.blind);
    let digest = Intent::RawDigest { digest: "00".repeat(32) }.prepare(&key, NET).unwrap();
    assert!(digest.facts.blind && digest.facts.message.is_none());
    assert_eq!(digest.facts.kind, "raw_digest");
    for prepared in [read, blind, digest] {
        check_agreement(&prepared);
    }
}

#[test]
fn amounts_are_exact_and_have_one_form() {
    let max = U256::MAX.to_string();
    assert_eq!(Amount::parse(&max).unwrap(), Amount::MAX);
    assert_eq!(Amount::parse("0").unwrap(), Amount::ZERO);
    assert_eq!(Amount::parse("9223372036854775807").unwrap().to_i64(), Some(i64::MAX));
    assert_eq!(Amount::parse("9223372036854775808").unwrap().to_i64(), None);
    assert_eq!(Amount::from(u128::MAX).to_u128(), Some(u128::MAX));
    assert_eq!(Amount::from(u128::MAX).checked_add(Amount::from(1_u64)).unwrap().to_u128(), None);
    assert!(Amount::MAX.checked_add(Amount::from(1_u64)).is_none());
    assert_eq!(Amount::MAX.saturating_add(Amount::MAX), Amount::MAX);
    assert!(Amount::parse("10").unwrap() > Amount::parse("9").unwrap());
    let over = format!("{}6", &max[..max.len() - 1]);
    let bad = ["", "-1", "+1", "01", "00", " 1", "1 ", "1.0", "1e3", "0x1", "1_000", &over, &"9".repeat(79)];
    let count = bad.len();
    for text in bad {
        assert!(Amount::parse(text).is_err(), "{text}");
        assert!(serde_json::from_str::<Amount>(&format!("\"{text}\"")).is_err());
    }
    assert_eq!(count, 13);
    assert!(serde_json::from_str::<Amount>("7").is_err(), "a JSON number may have been rounded on its way");
    assert_eq!(serde_json::to_string(&Amount::from(7_u64)).unwrap(), "\"7\"");
    let endless = [
        U256::MAX,
        U256::MAX - U256::from(1),
        U256::from(1) << 127,
        (U256::from(1) << 160) - U256::from(1),
        (U256::from(1) << 96) - U256::from(1),
    ];
    assert_eq!(endless.into_iter().filter(|n| Amount::from(*n).is_endless()).count(), 5);
    let limited =
        [U256::ZERO, U256::from(u64::MAX), U256::from(1) << 96, (U256::from(1) << 127) - U256::from(1)];
    assert_eq!(limited.into_iter().filter(|n| Amount::from(*n).is_endless()).count(), 0);
}

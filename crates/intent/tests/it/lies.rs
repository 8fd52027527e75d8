//! Requests made to be read as something else than what they do.

use crate::facts::{BOB, EVE, OWN, TOKEN, call, call_on, check_agreement, data, uint, who, whole};
use crate::sign::NET;
use alloy_dyn_abi::DynSolValue;
use alloy_primitives::{U256, address, keccak256};
use quorate_intent::{Amount, Intent, IntentError, Prepared};
use serde_json::{Value, json};

/// Every way to write the arguments of a known call that is not its canonical encoding.
#[test]
fn other_encodings_of_known_calls_are_blind() {
    let transfer = data("transfer(address,uint256)", vec![who(BOB), uint(U256::from(5))]);
    let list = |n: u64| DynSolValue::Array(vec![uint(U256::from(n))]);
    let batch = data(
        "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
        vec![who(OWN), who(BOB), list(1), list(2), DynSolValue::Bytes(vec![])],
    );
    let uneven = data(
        "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
        vec![who(OWN), who(BOB), list(1), DynSolValue::Array(vec![]), DynSolValue::Bytes(vec![])],
    );
    let all = data("setApprovalForAll(address,bool)", vec![who(EVE), DynSolValue::Bool(true)]);
    let handed = data(
        "safeTransferFrom(address,address,uint256,bytes)",
        vec![who(OWN), who(BOB), uint(U256::from(1)), DynSolValue::Bytes(vec![1])],
    );
    assert!(!call(transfer.clone()).facts.blind && !call(batch.clone()).facts.blind);
    let changed = |bytes: &[u8], at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        bytes
    };
    // The two lists of the batch share one tail: the contract reads the same numbers as ids and as amounts.
    let shared = [&batch[..4 + 96], &batch[4 + 64..4 + 96], &batch[4 + 128..]].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("dirty padding of an address", changed(&transfer, 4, 1)),
        ("dirty padding beside the address", changed(&transfer, 15, 1)),
        ("trailing byte", [&transfer[..], &[0]].concat()),
        ("trailing word", [&transfer[..], &[0; 32]].concat()),
        ("second call behind the first", [&transfer[..], &transfer[..]].concat()),
        ("last byte missing", transfer[..transfer.len() - 1].to_vec()),
        ("no amount", transfer[..36].to_vec()),
        ("selector only", transfer[..4].to_vec()),
        ("half a selector", transfer[..3].to_vec()),
        ("other selector, same arguments", changed(&transfer, 0, 0xaa)),
        ("boolean that is 2", changed(&all, all.len() - 1, 2)),
        ("boolean with dirty padding", changed(&all, all.len() - 32, 1)),
        ("offset into another place", changed(&batch, 4 + 95, 0xc0)),
        ("lists that share a tail", shared),
        ("lists of two lengths", uneven),
        ("offset beyond the end", changed(&batch, 4 + 64, 0xff)),
        ("length beyond the end", changed(&batch, 4 + 160, 0xff)),
        ("bytes handed to the receiver", handed),
        ("arguments for deposit", [&data("deposit()", vec![])[..], &[0; 32]].concat()),
    ];
    let count = cases.len();
    for (name, data) in cases {
        let prepared = call(data);
        assert!(prepared.facts.blind, "{name}: {}", prepared.summary);
        assert!(prepared.facts.recipients.contains(&TOKEN.to_string()), "{name}");
        check_agreement(&prepared);
        if name != "bytes handed to the receiver" {
            assert!(prepared.facts.calls[0].method.is_none(), "{name}");
            assert!(prepared.facts.transfers.is_empty() && prepared.facts.approvals.is_empty(), "{name}");
            assert!(prepared.summary.headline.starts_with("call 0x"), "{name}: {}", prepared.summary);
        }
    }
    assert_eq!(count, 19);
}

/// Calls that carry calls: what is inside decides, and is not looked at.
#[test]
fn calls_within_calls_are_blind() {
    let inner = data("transfer(address,uint256)", vec![who(BOB), uint(U256::from(5))]);
    let bytes = || DynSolValue::Bytes(inner.clone());
    let n = |value: u64| uint(U256::from(value));
    let cases: Vec<(&str, Vec<DynSolValue>)> = vec![
        ("multicall(bytes[])", vec![DynSolValue::Array(vec![bytes(), bytes()])]),
        ("multicall(uint256,bytes[])", vec![n(1), DynSolValue::Array(vec![bytes()])]),
        (
            "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
            vec![who(TOKEN), n(0), bytes(), n(1), n(0), n(0), n(0), who(EVE), who(EVE), bytes()],
        ),
        ("execute(address,uint256,bytes)", vec![who(TOKEN), n(0), bytes()]),
        ("functionDelegateCall(address,bytes)", vec![who(EVE), bytes()]),
        ("upgradeToAndCall(address,bytes)", vec![who(EVE), bytes()]),
        ("aggregate((address,bytes)[])", vec![DynSolValue::Array(vec![])]),
        ("transferOwnership(address)", vec![who(EVE)]),
        ("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", vec![who(OWN), who(EVE), n(1)]),
    ];
    let count = cases.len();
    for (signature, arguments) in cases {
        let prepared = call(data(signature, arguments));
        assert!(prepared.facts.blind, "{signature}");
        assert!(prepared.facts.calls[0].method.is_none());
        assert_eq!(
            prepared.facts.calls[0].selector,
            format!("0x{}", hex::encode(&keccak256(signature)[..4]))
        );
        assert!(prepared.facts.transfers.is_empty() && prepared.facts.approvals.is_empty());
        check_agreement(&prepared);
    }
    assert_eq!(count, 9);
}

/// Coins that ride on a token call are in the words and in the sum.
#[test]
fn coins_sent_along_are_not_hidden() {
    let transfer = data("transfer(address,uint256)", vec![who(BOB), uint(U256::from(5))]);
    let prepared = call_on(1, TOKEN, 10_u128.pow(18), transfer);
    assert!(prepared.summary.headline.contains(", sending 1 ETH along,"));
    assert_eq!(prepared.facts.native_out.to_string(), "1000000000000000000");
    let both = [BOB.to_string(), TOKEN.to_string()].into_iter().collect();
    assert_eq!(prepared.facts.recipients, both);
    check_agreement(&prepared);
}

/// The largest fields there are: sums saturate rather than wrap.
#[test]
fn the_largest_amounts_do_not_wrap() {
    let tx = alloy_consensus::TxLegacy {
        chain_id: Some(1),
        gas_price: u128::MAX,
        gas_limit: u64::MAX,
        to: BOB.into(),
        value: U256::MAX,
        ..Default::default()
    };
    let tx = hex::encode(alloy_consensus::SignableTransaction::encoded_for_signing(&tx));
    let prepared = Intent::EthereumTransaction { tx }.prepare(&whole().key, NET).unwrap();
    let fee = U256::from(u128::MAX) * U256::from(u64::MAX);
    assert_eq!(prepared.facts.fee_max, Some(Amount::from(fee)));
    assert_eq!(prepared.facts.native_out, Amount::MAX);
    check_agreement(&prepared);
    let transfer = data("transfer(address,uint256)", vec![who(BOB), uint(U256::MAX)]);
    assert_eq!(call(transfer).facts.transfers[0].amount, Amount::MAX);
}

/// Types 3 and 4 hand out blobs and code: refused in words, not parsed as something near.
#[test]
fn blob_and_code_transactions_are_refused() {
    let mut refused = 0;
    for (kind, name) in [(3_u8, "type 3"), (4, "type 4")] {
        for body in [vec![], vec![0xc0], vec![0xff; 64]] {
            let tx = hex::encode([&[kind], &body[..]].concat());
            let error = Intent::EthereumTransaction { tx }.prepare(&whole().key, NET).unwrap_err();
            assert_eq!(error.code(), "intent_unsupported");
            assert!(error.to_string().contains(name) && error.to_string().contains("send type 2"));
            refused += 1;
        }
    }
    assert_eq!(refused, 6);
}

fn typed(value: Value) -> Result<Prepared, IntentError> {
    Intent::EthereumTypedData { typed_data: value }.prepare(&whole().key, NET)
}

const PERMIT2: &str = "0x000000000022D473030F116dDEE9F6B43aC78BA3";

fn fields(list: &[(&str, &str)]) -> Value {
    list.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect()
}

fn erc2612() -> Value {
    json!({
        "types": { "Permit": fields(&[
            ("owner", "address"), ("spender", "address"), ("value", "uint256"), ("nonce", "uint256"),
            ("deadline", "uint256"),
        ]) },
        "primaryType": "Permit",
        "domain": { "name": "USD Coin", "version": "2", "chainId": 1, "verifyingContract": TOKEN.to_string() },
        "message": {
            "owner": OWN.to_string(), "spender": EVE.to_string(), "value": "0xff", "nonce": 0, "deadline": 99
        }
    })
}

fn permit2(primary: &str, list: bool) -> Value {
    let (inner, field) = if primary.contains("Transfer") {
        ("TokenPermissions", "permitted")
    } else {
        ("PermitDetails", "details")
    };
    let kind = if list { format!("{inner}[]") } else { inner.to_owned() };
    let one = |token: &str, amount: &str| match inner {
        "PermitDetails" => json!({ "token": token, "amount": amount, "expiration": 1000, "nonce": 0 }),
        _ => json!({ "token": token, "amount": amount }),
    };
    let first = one(&TOKEN.to_string(), "12");
    let value = if list { json!([first, one(&BOB.to_string(), "13")]) } else { first };
    let (declared, outer, mut message) = if inner == "PermitDetails" {
        (
            fields(&[
                ("token", "address"),
                ("amount", "uint160"),
                ("expiration", "uint48"),
                ("nonce", "uint48"),
            ]),
            fields(&[(field, &kind), ("spender", "address"), ("sigDeadline", "uint256")]),
            json!({ "spender": EVE.to_string(), "sigDeadline": 5 }),
        )
    } else {
        (
            fields(&[("token", "address"), ("amount", "uint256")]),
            fields(&[(field, &kind), ("spender", "address"), ("nonce", "uint256"), ("deadline", "uint256")]),
            json!({ "spender": EVE.to_string(), "nonce": 1, "deadline": 5 }),
        )
    };
    message[field] = value;
    let mut types = json!({ inner: declared });
    types[primary] = outer;
    json!({
        "types": types,
        "primaryType": primary,
        "domain": { "name": "Permit2", "chainId": 1, "verifyingContract": PERMIT2 },
        "message": message
    })
}

#[test]
fn an_allowance_by_signature_is_an_approval() {
    let prepared = typed(erc2612()).unwrap();
    let facts = &prepared.facts;
    assert_eq!(
        prepared.summary.headline,
        format!("let {EVE} take 255 smallest units of token {TOKEN} by signature, on mainnet")
    );
    assert!(!facts.blind && prepared.summary.warnings.len() == 1);
    let approval = &facts.approvals[0];
    assert_eq!((&approval.token, &approval.spender), (&TOKEN.to_string(), &EVE.to_string()));
    assert_eq!((approval.amount, approval.unlimited, approval.by_signature), (255_u64.into(), false, true));
    let domain = facts.domain.as_ref().unwrap();
    assert_eq!((domain.name.as_deref(), domain.chain_id), (Some("USD Coin"), Some(1_u64.into())));
    assert_eq!(domain.verifying_contract, Some(TOKEN.to_string()));
    assert_eq!(facts.primary_type.as_deref(), Some("Permit"));
    assert_eq!(facts.chain.as_deref(), Some("ethereum:1"));
    check_agreement(&prepared);

    let mut dai = erc2612();
    dai["types"]["Permit"] = fields(&[
        ("holder", "address"),
        ("spender", "address"),
        ("nonce", "uint256"),
        ("expiry", "uint256"),
        ("allowed", "bool"),
    ]);
    for (allowed, amount) in [(true, Amount::MAX), (false, Amount::ZERO)] {
        dai["message"] = json!({
            "holder": OWN.to_string(), "spender": EVE.to_string(), "nonce": 0, "expiry": 0, "allowed": allowed
        });
        let prepared = typed(dai.clone()).unwrap();
        assert!(!prepared.facts.blind);
        let approval = &prepared.facts.approvals[0];
        assert_eq!((approval.amount, approval.unlimited), (amount, allowed));
    }

    let kinds = [
        ("PermitSingle", false),
        ("PermitBatch", true),
        ("PermitTransferFrom", false),
        ("PermitBatchTransferFrom", true),
    ];
    let mut count = 0;
    for (primary, list) in kinds {
        let prepared = typed(permit2(primary, list)).unwrap();
        let facts = &prepared.facts;
        assert!(!facts.blind, "{primary}: {}", prepared.summary);
        let amounts: Vec<u64> = facts.approvals.iter().map(|a| a.amount.to_i64().unwrap() as u64).collect();
        assert_eq!(amounts, if list { vec![12, 13] } else { vec![12] });
        assert!(facts.approvals.iter().all(|a| a.by_signature && a.spender == EVE.to_string()));
        assert!(
            prepared
                .summary
                .headline
                .starts_with(&format!("let {EVE} take 12 smallest units of token {TOKEN}"))
        );
        check_agreement(&prepared);
        // The same message to another contract gives that contract a right that nobody can judge.
        let mut other = permit2(primary, list);
        other["domain"]["verifyingContract"] = json!(BOB.to_string());
        let prepared = typed(other).unwrap();
        assert!(prepared.facts.blind && !prepared.facts.approvals.is_empty());
        assert!(prepared.facts.recipients.contains(&BOB.to_string()));
        count += 1;
    }
    assert_eq!(count, 4);

    let mut witness = permit2("PermitWitnessTransferFrom", false);
    witness["types"]["Order"] = fields(&[("payload", "bytes")]);
    witness["types"]["PermitWitnessTransferFrom"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "witness", "type": "Order" }));
    witness["message"]["witness"] = json!({ "payload": "0x01" });
    let prepared = typed(witness).unwrap();
    assert!(prepared.facts.blind && prepared.facts.approvals[0].amount == 12_u64.into());
    check_agreement(&prepared);
}

type Change = fn(&mut Value);

/// Typed data near a permit that hash as something else, or are of no known type, are blind.
#[test]
fn lookalikes_of_permits_are_blind() {
    let cases: [(&str, Change); 8] = [
        ("another size", |v| v["types"]["Permit"][2]["type"] = json!("uint128")),
        ("fields in another order", |v| v["types"]["Permit"].as_array_mut().unwrap().swap(0, 1)),
        ("one field more", |v| {
            v["types"]["Permit"].as_array_mut().unwrap().push(json!({ "name": "extra", "type": "bool" }));
            v["message"]["extra"] = json!(true);
        }),
        ("another name", |v| {
            v["types"]["permit"] = v["types"]["Permit"].take();
            v["types"].as_object_mut().unwrap().remove("Permit");
            v["primaryType"] = json!("permit");
        }),
        ("an array", |v| {
            v["types"]["Permit"][2]["type"] = json!("uint256[]");
            v["message"]["value"] = json!([1]);
        }),
        ("no contract", |v| {
            v["domain"].as_object_mut().unwrap().remove("verifyingContract");
        }),
        ("a Safe transaction", |v| {
            v["types"] =
                json!({ "SafeTx": fields(&[("to", "address"), ("data", "bytes"), ("operation", "uint8")]) });
            v["primaryType"] = json!("SafeTx");
            v["message"] = json!({ "to": TOKEN.to_string(), "data": "0x", "operation": 1 });
        }),
        ("an order", |v| {
            v["types"] = json!({ "OrderComponents": fields(&[("offerer", "address")]) });
            v["primaryType"] = json!("OrderComponents");
            v["message"] = json!({ "offerer": OWN.to_string() });
        }),
    ];
    let count = cases.len();
    for (name, change) in cases {
        let mut value = erc2612();
        change(&mut value);
        let prepared = typed(value).unwrap();
        assert!(prepared.facts.blind, "{name}: {}", prepared.summary);
        assert!(prepared.facts.approvals.is_empty(), "{name}");
        assert!(prepared.summary.headline.starts_with("sign typed data"), "{name}");
        check_agreement(&prepared);
    }
    assert_eq!(count, 8);
    let mut foreign = erc2612();
    foreign["message"]["owner"] = json!(BOB.to_string());
    let prepared = typed(foreign).unwrap();
    assert!(prepared.summary.warnings.iter().any(|w| w.contains("is not this key")));
}

/// Names and values of the sender can neither reorder a line nor pass for words of ours.
#[test]
fn text_in_typed_data_stays_inside_its_quotes() {
    let hostile =
        ["\u{202e}niamod", "a\", chain 1, contract \"b", "x\nwarning: none", "\u{200b}", "\u{1b}[2J"];
    let mut shown = 0;
    for text in hostile {
        let mut value = erc2612();
        value["domain"]["name"] = json!(text);
        value["domain"]["version"] = json!(text);
        value["types"]["Note"] = fields(&[("text", "string")]);
        value["primaryType"] = json!("Note");
        value["message"] = json!({ "text": text });
        let prepared = typed(value).unwrap();
        let words = prepared.summary.to_string();
        assert!(words.is_ascii(), "{words}");
        let quoted = format!("{text:?}");
        assert!(prepared.summary.headline.contains(&format!("for {quoted}, chain 1, contract")));
        assert!(prepared.summary.details.contains(&format!("text: {quoted}")), "{words}");
        assert_eq!(
            words.lines().count(),
            1 + prepared.summary.details.len() + prepared.summary.warnings.len()
        );
        assert_eq!(prepared.facts.domain.unwrap().name.as_deref(), Some(text));
        shown += 1;
    }
    assert_eq!(shown, 5);
}

/// Numbers in every accepted spelling mean the same in facts and hash.
#[test]
fn spellings_of_a_number_mean_one_number() {
    let mut digests = Vec::new();
    for value in [json!(255), json!("255"), json!("0xff"), json!("0xFF"), json!("0255"), json!("0x00ff")] {
        let mut permit = erc2612();
        permit["message"]["value"] = value;
        let prepared = typed(permit).unwrap();
        assert_eq!(prepared.facts.approvals[0].amount, 255_u64.into());
        digests.push(prepared.digest_hex().unwrap());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
    let endless = address!("0000000000000000000000000000000000000001");
    let mut permit = permit2("PermitSingle", false);
    permit["message"]["details"]["amount"] = json!(format!("0x{}", "ff".repeat(20)));
    permit["message"]["spender"] = json!(endless.to_string());
    let prepared = typed(permit).unwrap();
    assert!(prepared.facts.approvals[0].unlimited);
    assert!(prepared.summary.warnings.iter().any(|w| w.contains("no limit")));
}

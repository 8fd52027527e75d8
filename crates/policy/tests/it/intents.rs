//! From the bytes that would be signed to the decision: what policies see of real intents.

use quorate_intent::build::{
    BitcoinSpend, EthereumTransfer, bitcoin_spend, ethereum_transfer, message, solana_transfer,
};
use quorate_intent::{Intent, Network, Prepared, PublicKey, Scheme};
use quorate_policy::facts::{Action, Facts, IntentFacts, KINDS, KeyFacts, Resource};

use crate::house::{compile, facts, house, key};

const POINT: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
const TO: &str = "0x00000000000000000000000000000000000000Aa";
const TOKEN: &str = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";

fn prepared(intent: &Intent, scheme: Scheme) -> Prepared {
    let point = hex::decode(POINT).unwrap();
    let ed25519 = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
    let bytes = if scheme == Scheme::Ed25519 { &ed25519[..] } else { &point };
    intent.prepare(&PublicKey::new(scheme, bytes).unwrap(), Network::Mainnet).unwrap()
}

/// A transaction with this call data: a selector and arguments of 32 bytes each.
fn call(to: &str, wei: u128, data: &str) -> Intent {
    let transfer = EthereumTransfer {
        chain_id: 1,
        nonce: 7,
        to: to.to_owned(),
        value_wei: wei,
        gas_limit: 100_000,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1,
        data: hex::decode(data).unwrap(),
    };
    ethereum_transfer(&transfer).unwrap()
}

fn argument(hex: &str) -> String {
    format!("{:0>64}", hex.trim_start_matches("0x"))
}

/// Whether a rule with this condition permits the intent.
fn holds(prepared: &Prepared, condition: &str) -> bool {
    let rule = format!(
        "@id(\"r\") @blind(\"allowed\") permit(principal, action in Action::\"sign\", resource) when {{ {condition} }};"
    );
    let directory = house(&[&rule]);
    let asked = Facts {
        action: Action::Sign(prepared.purpose),
        resource: Resource::Key(KeyFacts { purposes: [prepared.purpose].into(), ..key() }),
        ..facts("anna", IntentFacts::of(&prepared.facts, &prepared.summary))
    };
    let policies = compile(&directory);
    let explanation = policies.explain(&directory, &asked);
    assert!(explanation.rules.len() == 1, "{explanation}");
    policies.decide(&directory, &asked).effect == quorate_policy::decide::Effect::Permit
}

#[test]
fn policies_see_of_an_intent_what_its_bytes_say() {
    let secp = Scheme::EcdsaSecp256k1;
    let (to, token) = (TO.to_lowercase(), TOKEN.to_lowercase());
    let coin = prepared(&call(TO, 1_500_000_000_000_000_000, ""), secp);
    let send = format!("a9059cbb{}{}", argument(TO), argument("6acfc0"));
    let send = prepared(&call(TOKEN, 0, &send), secp);
    let approve = format!("095ea7b3{}{}", argument(TO), "f".repeat(64));
    let approve = prepared(&call(TOKEN, 0, &approve), secp);
    let unknown = prepared(&call(TOKEN, 5, "deadbeef"), secp);
    let spend = BitcoinSpend {
        txid: "11".repeat(32),
        vout: 0,
        amount_sat: 200_000_000,
        to: "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3".to_owned(),
        send_sat: 150_000_001,
        fee_sat: 1000,
    };
    let point = PublicKey::new(secp, &hex::decode(POINT).unwrap()).unwrap();
    let bitcoin = prepared(&bitcoin_spend(&point, &spend, Network::Mainnet).unwrap(), secp);
    let ed25519 = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
    let solana = PublicKey::new(Scheme::Ed25519, &ed25519).unwrap();
    let (payee, hash) = ("4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi", "11111111111111111111111111111111");
    let solana = solana_transfer(&solana, payee, 2_000_000_001, hash).unwrap();
    let solana = prepared(&solana, Scheme::Ed25519);
    let text = prepared(&Intent::EthereumMessage { message: hex::encode("login 7") }, secp);
    let raw = prepared(&Intent::RawDigest { digest: "22".repeat(32) }, secp);
    let plain = prepared(&message(b"hello"), Scheme::Ed25519);

    let fields = ["owner", "spender", "value", "nonce", "deadline"].map(|name| {
        let kind = if ["owner", "spender"].contains(&name) { "address" } else { "uint256" };
        serde_json::json!({ "name": name, "type": kind })
    });
    let own = &quorate_intent::addresses(&point, Network::Mainnet)[0].address;
    let permit = Intent::EthereumTypedData {
        typed_data: serde_json::json!({
            "types": { "Permit": fields }, "primaryType": "Permit",
            "domain": { "name": "USD Coin", "chainId": 1, "verifyingContract": TOKEN },
            "message": { "owner": own, "spender": TO, "value": "7000000", "nonce": 0, "deadline": 1 },
        }),
    };
    let permit = prepared(&permit, secp);

    let rows: Vec<(&str, &Prepared, String)> = vec![
        ("permit", &permit, format!("context.kind == Kind::\"ethereum_typed_data\" && context.complete && context.spenders == [\"{to}\"]")),
        ("permit", &permit, format!("context.token_units.hasTag(\"{token}\") && context.token_units.getTag(\"{token}\") == 7000000")),
        ("permit", &permit, format!("context.primary_type == \"Permit\" && context.domain == \"USD Coin\" && context.contracts == [\"{token}\"]")),
        ("coin", &coin, "context.native_micro == 1500000 && context.fee_micro == 3000".to_owned()),
        ("coin", &coin, format!("context.recipients == [\"{to}\"] && context.assets == [\"native\"]")),
        ("coin", &coin, "context.chain == \"ethereum:1\" && context.complete && !context.blind".to_owned()),
        ("send", &send, format!("context.token_units.hasTag(\"{token}\") && context.token_units.getTag(\"{token}\") == 7000000")),
        ("send", &send, format!("context.native_micro == 0 && context.recipients == [\"{to}\"] && context.contracts == [\"{token}\"]")),
        ("send", &send, "context.methods == [\"transfer(address,uint256)\"] && context.spenders.isEmpty()".to_owned()),
        ("approve", &approve, format!("context.spenders == [\"{to}\"] && context.assets == [\"{token}\"]")),
        ("approve", &approve, format!("context.token_e12.hasTag(\"{token}\") && context.token_e12.getTag(\"{token}\") > 999999999999999999")),
        ("unknown", &unknown, "context.blind && !context.complete && context.native_micro == 1".to_owned()),
        ("unknown", &unknown, format!("context.recipients.contains(\"unknown\") && context.recipients.contains(\"{token}\") && context.methods == [\"0xdeadbeef\"]")),
        ("bitcoin", &bitcoin, "context.chain == \"bitcoin\" && context.native_micro == 1500001 && context.fee_micro == 10".to_owned()),
        ("bitcoin", &bitcoin, format!("context.recipients == [\"{}\"]", spend.to)),
        ("solana", &solana, format!("context.chain == \"solana\" && context.native_micro == 2000001 && context.recipients == [\"{payee}\"]")),
        ("text", &text, "context.text == \"login 7\" && context.native_micro == 0 && context.kind == Kind::\"ethereum_message\"".to_owned()),
        ("text", &text, "context.text like \"login *\" && context.chain == \"\" && context.recipients.isEmpty()".to_owned()),
        ("raw", &raw, "context.blind && context.native_micro > 999999999999999999 && context.recipients.contains(\"unknown\")".to_owned()),
        ("plain", &plain, "context.kind == Kind::\"message\" && context.complete && context.fee_micro == 0".to_owned()),
    ];
    assert_eq!(rows.len(), 20);
    for (what, prepared, condition) in rows {
        assert!(
            holds(prepared, &condition),
            "{what}: {condition}: {:#?}",
            IntentFacts::of(&prepared.facts, &prepared.summary)
        );
        assert!(!holds(prepared, &format!("!({condition})")), "{what}: {condition}");
        assert!(KINDS.contains(&prepared.facts.kind.as_str()));
    }
}

/// What is read from a summary alone never looks smaller than what is read from the bytes.
#[test]
fn a_summary_alone_says_less_and_permits_less() {
    let secp = Scheme::EcdsaSecp256k1;
    let approve = format!("095ea7b3{}{}", argument(TO), argument("01"));
    let mut compared = 0;
    for intent in [
        call(TO, 1_000_000_000_000_000_000, ""),
        call(TOKEN, 0, &approve),
        call(TOKEN, 0, "deadbeef"),
        Intent::EthereumMessage { message: hex::encode("login 7") },
        Intent::RawDigest { digest: "22".repeat(32) },
    ] {
        let prepared = prepared(&intent, secp);
        let (whole, part) = (
            IntentFacts::of(&prepared.facts, &prepared.summary),
            IntentFacts::from_summary(&prepared.summary, intent.kind()),
        );
        assert_eq!((&whole.kind, whole.blind), (&part.kind, part.blind));
        assert!(whole.complete || !part.complete, "{intent:?}");
        assert!(part.fee.is_none_or(|fee| whole.fee.is_some_and(|whole| whole <= fee)), "{intent:?}");
        compared += 1;
    }
    assert_eq!(compared, 5);
}

//! EIP-712: the standard's example, and typed data that would show one thing and sign another.

use crate::sign::{NET, Whole, digest};
use quorate_intent::{Intent, IntentError, Prepared, Scheme};
use serde_json::{Value, json};

/// The example of EIP-712, signed with keccak256("cow").
fn mail() -> Value {
    json!({
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
    })
}

fn cow() -> Whole {
    Whole::new(Scheme::EcdsaSecp256k1, &hex::encode(alloy_primitives::keccak256(b"cow")))
}

fn prepare(typed_data: Value) -> Result<Prepared, IntentError> {
    Intent::EthereumTypedData { typed_data }.prepare(&cow().key, NET)
}

#[test]
fn the_mail_example() {
    let prepared = prepare(mail()).unwrap();
    assert_eq!(digest(&prepared), "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2");
    let preimage = prepared.message().unwrap();
    assert_eq!(hex::encode(alloy_primitives::keccak256(preimage)), digest(&prepared));
    let finished = prepared.finish(&cow().sign_all(&prepared)).unwrap();
    assert_eq!(
        hex::encode(finished.ethereum_signature.unwrap()),
        "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d\
         07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b91562\
         1c"
    );
    let summary = prepared.summary;
    assert_eq!(
        summary.headline,
        "sign typed data `Mail` for \"Ether Mail\", chain 1, contract 0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"
    );
    assert_eq!(summary.details[1], "from.name: \"Cow\"");
    assert_eq!(summary.details[5], "contents: \"Hello, Bob!\"");
    // Every value is shown, yet what a contract does with a signed `Mail` is not in it.
    assert!(summary.blind);
}

#[test]
fn a_changed_value_changes_the_hash() {
    let mut other = mail();
    other["message"]["contents"] = json!("Hello, Eve!");
    assert_ne!(digest(&prepare(other).unwrap()), digest(&prepare(mail()).unwrap()));
    // Without the declared domain, as some libraries send it, the hash is the same.
    let mut without = mail();
    without["types"].as_object_mut().unwrap().remove("EIP712Domain");
    assert_eq!(digest(&prepare(without).unwrap()), digest(&prepare(mail()).unwrap()));
    // Numbers may be strings, decimal or hex.
    for chain in [json!("1"), json!("0x1")] {
        let mut text = mail();
        text["domain"]["chainId"] = chain;
        assert_eq!(digest(&prepare(text).unwrap()), digest(&prepare(mail()).unwrap()));
    }
}

#[test]
fn all_atoms_and_arrays() {
    let data = json!({
        "types": {
            "Leaf": [{ "name": "v", "type": "uint8" }],
            "All": [
                { "name": "a", "type": "bool" },
                { "name": "b", "type": "int16" },
                { "name": "c", "type": "bytes4" },
                { "name": "d", "type": "bytes" },
                { "name": "e", "type": "uint256[2][]" },
                { "name": "f", "type": "Leaf[]" }
            ]
        },
        "primaryType": "All",
        "domain": { "name": "x" },
        "message": {
            "a": true, "b": -3, "c": "0x01020304", "d": "0x", "e": [[1, "2"], ["0x3", 4]], "f": [{ "v": 255 }]
        }
    });
    let summary = prepare(data.clone()).unwrap().summary;
    assert_eq!(
        summary.details[1..],
        [
            "a: true",
            "b: -3",
            "c: 0x01020304",
            "d: 0x",
            "e[0][0]: 1",
            "e[0][1]: 2",
            "e[1][0]: 0x3",
            "e[1][1]: 4",
            "f[0].v: 255"
        ]
    );
    assert!(summary.warnings.iter().any(|w| w.contains("names no chain")));
    let wrong: [(&str, Value); 14] = [
        ("a", json!("true")),
        ("a", json!(1)),
        ("b", json!(32768)),
        ("b", json!("0x3")),
        ("b", json!(1.0)),
        ("c", json!("0x010203")),
        ("c", json!("01020304")),
        ("d", json!([1, 2])),
        ("d", json!("0x0")),
        ("e", json!([[1]])),
        ("e", json!([[1, 2, 3]])),
        ("e", json!([[1, 1e80]])),
        ("f", json!([{ "v": 256 }])),
        ("f", json!({ "v": 1 })),
    ];
    let mut refused = 0;
    for (field, value) in wrong {
        let mut changed = data.clone();
        changed["message"][field] = value.clone();
        let error = prepare(changed).expect_err(&format!("{field} {value}"));
        assert_eq!(error.code(), "intent_malformed");
        refused += 1;
    }
    assert_eq!(refused, 14);
}

type Change = fn(&mut Value);

#[test]
fn what_is_shown_is_what_is_signed() {
    let changes: [(&str, Change); 17] = [
        ("unsigned top-level field", |v| v["note"] = json!("hi")),
        ("value outside the type", |v| v["message"]["amount"] = json!(1)),
        ("nested value outside the type", |v| v["message"]["to"]["amount"] = json!(1)),
        ("missing value", |v| {
            v["message"].as_object_mut().unwrap().remove("contents");
        }),
        ("unknown domain field", |v| v["domain"]["owner"] = json!("me")),
        ("domain field not declared", |v| v["domain"]["salt"] = json!(format!("0x{}", "00".repeat(32)))),
        ("declared domain field absent", |v| {
            v["domain"].as_object_mut().unwrap().remove("version");
        }),
        ("domain declared in another order", |v| {
            v["types"]["EIP712Domain"].as_array_mut().unwrap().swap(0, 1)
        }),
        ("domain of another type", |v| v["types"]["EIP712Domain"][2]["type"] = json!("uint64")),
        ("primary type unknown", |v| v["primaryType"] = json!("Letter")),
        ("primary type is the domain", |v| v["primaryType"] = json!("EIP712Domain")),
        ("field type unknown", |v| v["types"]["Mail"][0]["type"] = json!("Human")),
        ("type alias", |v| v["types"]["Person"][0]["type"] = json!("uint")),
        ("struct named like an atom", |v| v["types"]["uint256"] = json!([])),
        ("field twice", |v| {
            v["types"]["Mail"][1]["name"] = json!("from");
            v["message"].as_object_mut().unwrap().remove("to");
        }),
        ("name with a comma", |v| v["types"]["Mail"][1]["name"] = json!("to,uint256 x")),
        ("tuple", |v| v["types"]["Mail"][1]["type"] = json!("(uint256,uint256)")),
    ];
    assert_eq!(changes.len(), 17);
    for (name, change) in changes {
        let mut value = mail();
        change(&mut value);
        let error = prepare(value).expect_err(name);
        assert_eq!(error.code(), "intent_malformed", "{name}: {error}");
    }
    assert_eq!(prepare(json!("text")).unwrap_err().code(), "intent_malformed");
    assert_eq!(prepare(json!(null)).unwrap_err().code(), "intent_malformed");
}

/// Types that grow without bound when they are expanded, or values that do.
#[test]
fn bombs_are_refused() {
    let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    let data = |types: Value, message: Value| json!({ "types": types, "primaryType": "T0", "domain": {}, "message": message });
    let mut doubling = serde_json::Map::new();
    for i in 0..15 {
        let next = format!("T{}[]", i + 1);
        doubling.insert(format!("T{i}"), json!([field("a", &next), field("b", &next)]));
    }
    doubling.insert("T15".into(), json!([]));
    let mut long = serde_json::Map::new();
    for i in 0..60 {
        long.insert(format!("T{i}"), json!([field("a", &format!("T{}[]", i + 1))]));
    }
    long.insert("T60".into(), json!([]));
    let many: serde_json::Map<String, Value> = (0..65).map(|i| (format!("T{i}"), json!([]))).collect();
    let list = vec![json!(1); 1025];
    let deep = format!("uint8{}", "[]".repeat(17));
    let cases = [
        data(Value::Object(doubling), json!({ "a": [], "b": [] })),
        data(Value::Object(long), json!({ "a": [] })),
        data(Value::Object(many), json!({})),
        data(json!({ "T0": [field("a", "T0[]")] }), json!({ "a": [] })),
        data(json!({ "T0": [field("a", "T1[]")], "T1": [field("a", "T0[]")] }), json!({ "a": [] })),
        data(json!({ "T0": [field("a", "uint8[]")] }), json!({ "a": list })),
        data(json!({ "T0": [field("a", &deep)] }), json!({ "a": [] })),
        data(json!({ "T0": [field("a", "uint8[99999999999999]")] }), json!({ "a": [] })),
    ];
    assert_eq!(cases.len(), 8);
    for (index, case) in cases.into_iter().enumerate() {
        let error = prepare(case).expect_err(&index.to_string());
        assert!(["intent_too_large", "intent_malformed"].contains(&error.code()), "{index}: {error}");
    }
}

//! Many things signed by one command: `quorate key sign-batch` against real nodes, and its result through `quorate key verify`.

use std::fs;
use std::path::PathBuf;

use quorate_api::intent::build::{EthereumTransfer, ethereum_transfer};
use serde_json::{Value, json};

use crate::support::{Cluster, Ran, get};

const PAYEE: &str = "0x3535353535353535353535353535353535353535";

/// A key of two of three, with these purposes.
fn key(cluster: &Cluster, scheme: &str, purposes: &str) -> (String, String) {
    let create = ["key", "create", "--scheme", scheme, "--threshold", "2", "--purpose", purposes];
    let made = cluster.cli(0, &create).ok().json();
    let key = &made["result"]["key"];
    (key["id"].as_str().unwrap().to_owned(), key["public_key"].as_str().unwrap().to_owned())
}

fn file(cluster: &Cluster, items: &Value) -> PathBuf {
    let file = cluster.folder.path().join("items.json");
    fs::write(&file, items.to_string()).unwrap();
    file
}

fn sign(cluster: &Cluster, node: usize, key: &str, items: &Value) -> Ran {
    let from = format!("@{}", file(cluster, items).display());
    cluster.cli(node, &["key", "sign-batch", key, &from])
}

/// Verifies what a command printed, item by item and as a whole; the latter is how many signatures it counts.
fn verified(cluster: &Cluster, operation: &Value) -> Value {
    let printed = cluster.folder.path().join("result.json");
    fs::write(&printed, operation.to_string()).unwrap();
    let from = format!("@{}", printed.display());
    let said = cluster.cli(0, &["key", "verify", "--result", &from]).ok().json();
    assert_eq!(said["valid"], true);
    said["signatures"].clone()
}

fn message(text: &str) -> Value {
    json!({ "intent": { "kind": "message", "message": hex::encode(text) } })
}

fn payment(chain_id: u64, nonce: u64) -> Value {
    let transfer = EthereumTransfer {
        chain_id,
        nonce,
        to: PAYEE.to_owned(),
        value_wei: 1,
        gas_limit: 21_000,
        max_fee_per_gas: 1,
        max_priority_fee_per_gas: 1,
        data: Vec::new(),
    };
    json!({ "intent": ethereum_transfer(&transfer).unwrap() })
}

/// Whether a node has begun a session that signs many things.
fn has_begun(cluster: &Cluster, node: usize) -> bool {
    let text = get(cluster.nodes[node].api, "/metrics").unwrap();
    text.lines().any(|line| line.starts_with("quorate_ceremony") && line.contains("-batch\""))
}

#[test]
fn batches_are_signed_in_order_and_verify() {
    let cluster = Cluster::start("");
    let mut checked = 0;

    // Messages, one twice, one below the key; through each node.
    let (id, public_key) = key(&cluster, "ed25519", "message");
    let child = cluster.cli(1, &["key", "derive", &id, "m/0/7"]).ok().json();
    let mut texts = vec!["one", "two", "one"];
    let mut items: Vec<Value> = texts.iter().map(|text| message(text)).collect();
    texts.push("below");
    items.push(json!({ "intent": message("below")["intent"], "path": "m/0/7" }));
    for node in 0..3 {
        let operation = sign(&cluster, node, &id, &json!(items)).ok().json();
        assert_eq!((&operation["kind"], &operation["status"]), (&json!("sign_batch"), &json!("succeeded")));
        let signed = operation["result"]["items"].as_array().unwrap();
        assert_eq!(signed.len(), texts.len());
        for (text, item) in texts.iter().zip(signed) {
            let [signature] = &item["signatures"].as_array().unwrap()[..] else { panic!("{item}") };
            assert_eq!(signature["message"], hex::encode(text));
            let by = if *text == "below" { &child["children"][0]["public_key"] } else { &json!(public_key) };
            assert_eq!(&signature["public_key"], by);
            // Alone as well, by what the caller knows and not by what the result says.
            let (by, signature) = (by.as_str().unwrap(), signature["signature"].as_str().unwrap());
            let verify =
                ["key", "verify", "--scheme", "ed25519", "--public-key", by, "--signature", signature];
            cluster.cli(node, &[&verify[..], &["--message", text]].concat()).ok();
            let other = cluster.cli(node, &[&verify[..], &["--message", "another"]].concat());
            assert_eq!(other.code, 1, "{other:?}");
            checked += 1;
        }
        assert_ne!(signed[0]["signatures"], signed[2]["signatures"], "the same message, with another nonce");
        assert_eq!(verified(&cluster, &operation), texts.len());
        // In another order it does not verify: each signature is for its own item.
        let mut swapped = operation.clone();
        swapped["result"]["items"][0]["signatures"][0]["signature"] =
            operation["result"]["items"][1]["signatures"][0]["signature"].clone();
        let from = swapped.to_string();
        let refused = cluster.cli(node, &["key", "verify", "--result", &from]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("signature 0"), "{refused:?}");
    }
    assert_eq!(checked, 12);

    // Transactions, as their network takes them.
    let (id, _) = key(&cluster, "ecdsa-secp256k1", "ethereum");
    let items: Vec<Value> = (0..3).map(|nonce| payment(1, nonce)).collect();
    let operation = sign(&cluster, 1, &id, &json!(items)).ok().json();
    let signed = operation["result"]["items"].as_array().unwrap();
    let mut transactions: Vec<&str> = signed.iter().map(|item| item["raw_tx"].as_str().unwrap()).collect();
    transactions.sort_unstable();
    transactions.dedup();
    assert_eq!(transactions.len(), 3);
    assert!(transactions.iter().all(|tx| tx.starts_with("02f8")), "{transactions:?}");
    assert_eq!(verified(&cluster, &operation), 3);

    // Digests, for a key that may.
    let (id, public_key) = key(&cluster, "ecdsa-p256", "raw");
    let digests: Vec<String> = (1_u8..=5).map(|n| hex::encode([n; 32])).collect();
    let items: Vec<Value> = digests
        .iter()
        .map(|digest| json!({ "intent": { "kind": "raw_digest", "digest": digest } }))
        .collect();
    let operation = sign(&cluster, 2, &id, &json!(items)).ok().json();
    for (digest, item) in digests.iter().zip(operation["result"]["items"].as_array().unwrap()) {
        let signature = item["signatures"][0]["signature"].as_str().unwrap();
        let verify = ["key", "verify", "--scheme", "ecdsa-p256", "--public-key", &public_key];
        cluster.cli(2, &[&verify[..], &["--signature", signature, "--digest", digest]].concat()).ok();
    }
    assert_eq!(verified(&cluster, &operation), 5);
}

#[test]
fn a_wrong_item_is_refused_by_its_number_and_nothing_is_signed() {
    let cluster = Cluster::start("");
    let (id, _) = key(&cluster, "ecdsa-secp256k1", "ethereum");
    let with = |wrong: Value| json!([payment(1, 0), payment(1, 1), wrong, payment(1, 2)]);
    let mut below = payment(1, 3);
    below["path"] = json!("m/0'");
    // What nodes refuse, with the place in the problem, and how the command ends.
    let refused = [
        (with(json!({ "intent": { "kind": "ethereum_transaction", "tx": "00" } })), "intent_invalid", 1),
        (with(message("not for this key")), "purpose_not_allowed", 3),
        (with(below), "hardened_path", 1),
        (with(payment(137, 3)), "unprocessable", 1),
    ];
    let mut cases = 0;
    for (items, code, exit) in &refused {
        for node in 0..3 {
            let ran = sign(&cluster, node, &id, items);
            assert_eq!((ran.code, ran.out.as_str()), (*exit, ""), "{ran:?}");
            let error = ran.error();
            assert_eq!(error["code"], *code, "{error}");
            assert!(error["detail"].as_str().unwrap().starts_with("item 2: "), "{error}");
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
    // What the command refuses before it asks anybody.
    let mut unknown = payment(1, 3);
    unknown["quorum"] = json!(["a", "b"]);
    let many = json!(vec![payment(1, 0); 257]);
    for (items, says) in
        [(json!([]), "1 to 256 items, not 0"), (many, "not 257"), (json!([unknown]), "quorum")]
    {
        let ran = sign(&cluster, 0, &id, &items);
        assert!(ran.code == 2 && ran.err.contains(says), "{ran:?}");
    }
    assert!(!(0..3).any(|node| has_begun(&cluster, node)), "nothing was begun");
    let listed = cluster.cli(0, &["op", "list"]).ok().json();
    let kinds: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|op| &op["kind"]).collect();
    assert_eq!(kinds, [&json!("create_key")]);

    // The same batch without the wrong item is signed.
    let right = json!([payment(1, 0), payment(1, 1), payment(1, 2)]);
    let operation = sign(&cluster, 0, &id, &right).ok().json();
    assert_eq!(verified(&cluster, &operation), 3);
    assert!(has_begun(&cluster, 0));
}

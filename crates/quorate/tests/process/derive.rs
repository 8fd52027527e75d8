//! Keys below keys on the command line of real processes.

use serde_json::{Value, json};

use crate::import::{ACCOUNT as ETHEREUM_ACCOUNT, WORDS, imported};
use crate::support::Cluster;

/// The extended private key at m/0' of the first vector of BIP-32, and the key at m/0'/1 below it.
const XPRV: &str = "xprv9uHRZZhk6KAJC1avXpDAp4MDc3sQKNxDiPvvkX8Br5ngLNv1TxvUxt4cV1rGL5hj6KCesnDYUhd7oWgT11eZG7XnxHrnYeSvkzY7d2bhkJ7";
const CHILD: &str = "03501e454bf00751f24b1b489aa925215d66af2234e3891c3b21a52bedb3cd711c";
const CHAIN_CODE: &str = "2a7857631386ba23dacac34180dd1983734e444fdbf774041578e9b6adb37c19";

#[test]
fn keys_below_keys_are_shown_and_sign() {
    let cluster = Cluster::start("");
    let wait = ["--wait", "40s"];
    let ask = |args: &[&str]| cluster.key(&[args, &wait].concat()).ok().json();
    let made = ask(&["create", "--scheme", "ecdsa-secp256k1", "--threshold", "2"]);
    let id = made["result"]["key"]["id"].as_str().unwrap();
    let derived = ask(&["derive", id, "m", "m/0/7"]);
    let [root, child] = [&derived["children"][0], &derived["children"][1]];
    assert_eq!(root["public_key"], made["result"]["key"]["public_key"]);
    assert_eq!(root["addresses"], made["result"]["key"]["addresses"]);
    assert_eq!(child["addresses"].as_array().unwrap().len(), 2);
    assert_ne!(child["addresses"], root["addresses"]);
    let signed = ask(&["sign", id, "--path", "m/0/7", "--ethereum-message", "hello"]);
    assert_eq!(signed["result"]["path"], "m/0/7");
    assert_eq!(signed["result"]["signatures"][0]["public_key"], child["public_key"]);
    let verified = ask(&["verify", "--result", &signed.to_string()]);
    assert_eq!(verified["valid"], true);

    let hardened = cluster.key(&["sign", id, "--path", "m/44'/0'", "--ethereum-message", "hello"]);
    assert!(hardened.code == 1 && hardened.err.contains("use `m/44/0`"), "{hardened:?}");
    let malformed = cluster.key(&["derive", id, "m/0/x"]);
    assert!(malformed.code == 2 && malformed.err.contains("number 2 of the path"), "{malformed:?}");

    // An account of another wallet goes on below where it is.
    let file = cluster.secret("account", XPRV);
    let pins = cluster.pins();
    let mut import = vec!["import", "--from", file.to_str().unwrap(), "--scheme", "ecdsa-secp256k1", "--yes"];
    import.extend(["--threshold", "2"]);
    import.extend(pins.iter().map(String::as_str));
    let created = ask(&import);
    let id = created["result"]["key"]["id"].as_str().unwrap();
    let derived: Value = ask(&["derive", id, "m/1"]);
    let child = &derived["children"][0];
    assert_eq!((&child["public_key"], &child["chain_code"]), (&json!(CHILD), &json!(CHAIN_CODE)));

    // The last hardened step of a seed phrase is taken at the import; what wallets show below it is here too.
    let words = cluster.secret("words", WORDS);
    let account = ["--scheme", "ecdsa-secp256k1", "--path", "m/44'/60'/0'"];
    let key = imported(cluster.import(&words, &account));
    let derived = ask(&["derive", key["id"].as_str().unwrap(), "m/0/0"]);
    assert_eq!(derived["children"][0]["addresses"][0]["address"], ETHEREUM_ACCOUNT);
}

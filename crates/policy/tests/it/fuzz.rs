//! The seeds of the fuzz targets of this crate, and a fixed run of mutations over them.

use quorate_api::{ChangeDirectory, Hex, Method, Request, Rule, SignedRequest};
use quorate_policy::chain::{Entry, PATH};
use quorate_policy::change::Step;
use quorate_policy::genesis::GenesisFile;
use serde_json::json;

use crate::fuzz_house::TERMS;
use crate::{chain_check, change_check, genesis_check, mutate, policy_check, quorum_check, suite_check};

/// Inputs of each target that are kept of what fuzzers found.
const FOUND: usize = 64;

type Made = Vec<(&'static str, Vec<u8>)>;

/// Runs one target and checks that the mutations reach both what is accepted and what is refused.
fn run(target: &str, made: &Made, count: usize, check: fn(&[u8]) -> bool) {
    let seeds = mutate::seeds(target, made);
    let (ran, accepted) = mutate::run(&seeds, count, check);
    assert_eq!(ran, seeds.len() + count);
    assert!((count / 200..count).contains(&accepted), "{target}: {accepted} accepted");
    assert_eq!(mutate::found(target, check), FOUND, "{target}");
}

fn texts(made: &[(&'static str, &str)]) -> Made {
    made.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect()
}

#[test]
fn policy_texts() {
    let small = "@id(\"pay\")\npermit (principal in Group::\"finance\", action == Action::\"sign:ethereum\", resource)\nwhen { context.native_micro < 100000 && context.complete };\n";
    let people = "@id(\"large\") @reason(\"large payments\") @quorum(\"2 of Group::\\\"finance\\\" and User::\\\"erik\\\"\") @requester(\"counts\")\n@delay(\"1h\") @expires(\"24h\") @blind(\"allowed\") permit (principal, action in [Action::\"sign\", Action::\"create_key\"], resource);\n";
    let forbids = "@id(\"all\") permit (principal, action, resource);\n@id(\"never\") forbid (principal, action == Action::\"sign:raw\", resource) unless { principal in Role::\"cfo\" };\n";
    let facts = "@id(\"hours\") permit (principal is User, action == Action::\"sign:message\", resource is Key) when {\n  context.hour >= 8 && context.hour < 18 && context.text like \"hel*\" && resource.scheme == Scheme::\"ed25519\" &&\n  !(context has source_ip && context.source_ip.isInRange(ip(\"10.0.0.0/8\"))) && context.spent.key.day.count < 10\n};\n";
    let made = texts(&[("facts", facts), ("forbids", forbids), ("people", people), ("small", small)]);
    run("policy_text", &made, 1_000, policy_check::check);
}

#[test]
fn quorums() {
    let made = texts(&[
        ("both", "2 of Group::\"finance\" and User::\"erik\""),
        ("either", "Role::\"cfo\" or 3 of Group::\"finance\""),
        (
            "nested",
            "2 of (User::\"anna\", User::\"bert\" and Role::\"cfo\", (Group::\"finance\" or User::\"erik\"))",
        ),
    ]);
    run("quorum", &made, 20_000, quorum_check::check);
}

#[test]
fn suites() {
    let one = "[[case]]\nname = \"small\"\nprincipal = \"anna\"\naction = \"sign:ethereum\"\nintent = { chain = \"ethereum:1\", moves = [{ to = \"0xaa\", coins = \"0.05\" }] }\nexpect = \"permit\"\nrule = \"pay\"\n";
    let two = "[[case]]\nname = \"large\"\nprincipal = \"anna\"\naction = \"sign:bitcoin\"\nkey = { tenant = \"acme\", label = \"hot\", scheme = \"ecdsa-secp256k1\" }\nintent = { moves = [{ how = \"transfer\", to = \"bc1q\", amount = \"500000000\" }], fee = \"10\" }\nat = 2026-01-05T12:00:00Z\nafter = \"90m\"\nsource = \"10.1.2.3\"\nextra = { risk = \"low\", score = 7 }\napprovals = [\"bert\", \"erik\"]\nexpect = \"permit\"\n\n[[case]]\nname = \"no\"\nprincipal = \"bot\"\naction = \"create_key\"\nwanted = { threshold = 2, parties = 3, scheme = \"ed25519\", purposes = [\"message\"] }\nrejections = [\"erik\"]\nexpect = \"deny\"\n";
    run("policy_suite", &texts(&[("one", one), ("two", two)]), 3_000, suite_check::check);
}

#[test]
fn geneses() {
    let bare = GenesisFile { terms: TERMS.to_owned(), signatures: Default::default() };
    let mut signed = bare.clone();
    assert_eq!(signed.sign(&[7; 32]).unwrap(), "n1");
    assert!(bare.verify().is_err() && signed.verify().is_ok());
    let made = [("bare", &bare), ("signed", &signed)];
    let made = made.map(|(name, file)| (name, serde_json::to_vec(file).unwrap())).to_vec();
    run("genesis", &made, 3_000, genesis_check::check);
}

#[test]
fn changes() {
    let change = |steps: serde_json::Value| {
        let body = json!({ "base": 3, "previous": "5a".repeat(32), "reason": "a reason", "steps": steps });
        body.to_string().into_bytes()
    };
    let carl = "ed25519:ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c";
    let people = json!([
        { "step": "add_principal", "name": "carl", "kind": "user", "tenant": "acme" },
        { "step": "add_credential", "name": "carl-key", "principal": "carl", "with": { "key": carl } },
        { "step": "set_group", "name": "buyers", "members": { "principals": ["carl"], "groups": ["finance"] } },
        { "step": "set_role", "name": "cfo", "members": { "principals": ["anna"], "groups": [] } },
        { "step": "set_disabled", "name": "bot", "disabled": true },
    ]);
    let rules = json!([
        { "step": "set_policy", "name": "more", "text": "@id(\"x\") permit (principal, action, resource);" },
        { "step": "set_admins", "rule": { "quorum": "User::\"erik\"", "requester_counts": true } },
        { "step": "remove", "what": "policy", "name": "house" },
        { "step": "thaw", "freezes": ["77".repeat(32)] },
        { "step": "add_tenant", "name": "zeta" },
    ]);
    let made = vec![("people", change(people)), ("rules", change(rules))];
    run("change", &made, 10_000, change_check::check);
}

#[test]
fn chains() {
    fn by(client: &str, path: &str, body: &impl serde::Serialize) -> SignedRequest {
        let body = serde_json::to_vec(body).unwrap();
        let request = Request::new(Method::Post, path, client, 1_800_000_000, "a-1", body).unwrap();
        request.sign(&chain_check::key(client).unwrap())
    }
    let change = |steps: serde_json::Value| {
        let steps: Vec<Step> = serde_json::from_value(steps).unwrap();
        let (base, previous) = (chain_check::state().version(), Hex(chain_check::state().head().to_vec()));
        by("anna-key", PATH, &ChangeDirectory { base, previous, steps, reason: Some("a reason".to_owned()) })
    };
    let ruled = |who: &str, verdict: &str, about: &SignedRequest, withdraws: &[u8]| {
        let nonce = |byte: &u8| Hex(vec![*byte; 32]);
        let withdraws = withdraws.iter().map(nonce).collect();
        let body = Rule {
            request_hash: Hex(about.request_hash().to_vec()),
            nonce: nonce(&1),
            withdraws,
            reason: None,
        };
        by(who, &format!("/v1/operations/{}/{verdict}", about.operation_id()), &body)
    };
    let two = change(json!([{ "step": "add_tenant", "name": "zeta" }]));
    let two = Entry { rulings: vec![ruled("bert-key", "approve", &two, &[])], request: two };
    let three = change(json!([
        { "step": "add_principal", "name": "carl", "kind": "user", "tenant": "acme" },
        { "step": "set_admins", "rule": { "quorum": "User::\"erik\"", "requester_counts": true } },
    ]));
    let rulings = vec![
        ruled("bert-key", "approve", &three, &[]),
        ruled("bert-key", "withdraw", &three, &[9]),
        ruled("erik-key", "approve", &three, &[]),
    ];
    let three = Entry { rulings, request: three };
    for good in [&two, &three] {
        assert!(chain_check::state().adopt(good, None).is_ok());
    }
    run("chain", &vec![("two", two.encode()), ("three", three.encode())], 10_000, chain_check::check);
}

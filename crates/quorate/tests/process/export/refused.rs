//! What is refused before a key counts as exposed, each with its way out; and people who agree first.

use super::{age_key, decrypt, line};
use crate::support::{Cluster, Guard, HANGS, Ran, ended, program, run, terminate, write_private};
use quorate_api::KeyStatus;
use quorate_api::intent::Scheme;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

#[test]
fn what_is_refused_exposes_nothing() {
    let mut cluster = Cluster::start("connect_grace = \"300ms\"");
    let key = cluster.create(0, Scheme::EcdsaSecp256k1);
    let edwards = cluster.create(0, Scheme::Ed25519);
    let holder = age_key();
    let to = holder.to_public().to_string();
    let path = cluster.folder.path().join("key.age");
    let file = path.to_str().unwrap();
    let taken = cluster.folder.path().join("taken");
    write_private(&taken, b"mine");
    let (digest, short) = ("ab".repeat(32), "ab".repeat(31));
    let ask = |key: &str, more: &[&str]| cluster.cli(0, &[&["key", "export", key][..], more].concat());
    let because = ["--reason", "a reason", "--yes"];
    let sealed = ["--to", &to, "--out", file];
    let none = format!("key_{}", "0".repeat(32));
    let cases: &[(&str, &[&[&str]], i32, &str)] = &[
        (key.as_str(), &[&sealed, &["--yes"]], 2, "--reason"),
        (key.as_str(), &[&sealed, &["--reason", "", "--yes"]], 2, "a reason is needed"),
        (key.as_str(), &[&sealed, &["--reason", "a reason"]], 2, "--yes"),
        (key.as_str(), &[&because], 2, "--to"),
        (key.as_str(), &[&because, &["--to", &to]], 2, "--out"),
        (key.as_str(), &[&because, &sealed, &["--sign-message", "m"]], 2, "cannot be used with"),
        (
            key.as_str(),
            &[&because, &["--sign-digest", &digest, "--sign-message", "m"]],
            2,
            "cannot be used with",
        ),
        (key.as_str(), &[&because, &["--to", "age1nobody", "--out", file]], 2, "age-keygen"),
        (key.as_str(), &[&because, &["--to", "AGE-SECRET-KEY-1QQQQ", "--out", file]], 2, "make another one"),
        (key.as_str(), &[&because, &["--to", &to, "--out", taken.to_str().unwrap()]], 2, "cannot write"),
        (key.as_str(), &[&because, &["--to", &to, "--out", "/nonexistent/key.age"]], 2, "cannot write"),
        (
            key.as_str(),
            &[&because, &sealed, &["--format", "keystore"]],
            2,
            "expected quorate, hex, pkcs8, wif",
        ),
        (edwards.as_str(), &[&because, &sealed, &["--format", "pkcs8"]], 2, "take `quorate`"),
        (edwards.as_str(), &[&because, &["--sign-digest", &digest]], 2, "--sign-message"),
        (key.as_str(), &[&because, &["--sign-digest", &short]], 2, "a digest has 32 bytes"),
        (key.as_str(), &[&because, &sealed, &["--expires", "25h"]], 2, "24h"),
        (key.as_str(), &[&because, &sealed, &["--derive", "m/0"]], 2, "the private key above it"),
        (&none, &[&because, &sealed], 1, "key"),
    ];
    let mut ran = 0;
    for (key, more, code, words) in cases {
        let refused = ask(key, &more.concat());
        assert_eq!(refused.code, *code, "{words}: {refused:?}");
        assert!(refused.err.contains(words), "`{words}` is not in {refused:?}");
        assert!(!refused.err.contains("QQQQ"), "{refused:?}");
        assert_eq!(refused.out, "");
        ran += 1;
    }
    assert_eq!(ran, 18);
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
    // A disabled key, and an option that would print the key.
    cluster.cli(0, &["key", "disable", edwards.as_str(), "--yes"]).ok();
    let refused = ask(edwards.as_str(), &[&because[..], &sealed].concat());
    assert!(refused.code == 1 && refused.err.contains("quorate key enable"), "{refused:?}");
    for option in ["--print", "--stdout", "--plain", "--hex"] {
        assert_eq!(ask(key.as_str(), &[&because[..], &sealed, &[option]].concat()).code, 2);
    }
    // Nobody else is there: a refusal with its own code, and who is missing.
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let refused = cluster.export(&key, &sealed);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(
        refused.err.contains("not connected") && refused.err.contains("start or convince"),
        "{refused:?}"
    );
    assert!(!path.exists());
    for node in &mut cluster.nodes[1..] {
        node.start();
    }
    cluster.wait_connected();
    for node in 0..3 {
        assert_eq!(cluster.status(node, &key), KeyStatus::Active, "node {node}");
    }
    // The same words with everybody there, also with one away: exposed where the shares came from.
    cluster.nodes[2].kill();
    let exported = cluster.export(&key, &sealed).ok().json();
    assert_eq!(exported["without"][0]["party"], "c", "{exported}");
    assert_eq!(
        line(&decrypt(&path, &holder), "public-key"),
        hex::decode(exported["public_key"].as_str().unwrap()).unwrap()
    );
}

/// Started by hand it does nothing, whatever it is told.
#[test]
fn the_hidden_command_is_for_nobody_else() {
    let started = run(program().arg("assemble-key"));
    assert!(started.code == 2 && started.out.is_empty(), "{started:?}");
    assert!(!run(program().arg("--help")).out.contains("assemble-key"));
}

const POLICY: &str = r#"
@id("alone")
permit (principal in Group::"admins", action in [Action::"create_key", Action::"sign"], resource);
@id("out")
@quorum("2 of Group::\"admins\"")
@requester("counts")
permit (principal in Group::"admins", action == Action::"export", resource)
unless { resource.exposed };
@id("never-again")
forbid (principal, action in Action::"sign", resource) when { resource.exposed };
"#;

fn quorate(folder: &Path, arguments: &[&str]) -> Ran {
    run(program().args(arguments).current_dir(folder))
}

/// A command that waits for approvals, what it says further, and the operation.
fn waiting(at: &Path, arguments: &[&str]) -> (Guard, impl Iterator<Item = String> + use<>, String) {
    let mut command = program();
    command.args(arguments).current_dir(at).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Guard(command.spawn().unwrap());
    let mut said = BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let waits = said.find(|line| line.contains("waits for approvals")).unwrap();
    let operation = waits.split(' ').next().unwrap().to_owned();
    assert!(waits.contains(&format!("quorate reject {operation}")), "{waits}");
    (child, said, operation)
}

/// The command waits while people decide; a key that was out once is refused from then on, as its policy says.
#[test]
fn people_agree_while_the_command_waits() {
    let mut cluster = Cluster::prepare("");
    let folder = tempfile::TempDir::with_prefix("quorate-agreed-").unwrap();
    let at = folder.path();
    let mut init =
        ["cluster", "init", "--name", "acme", "--out", "genesis.json", "--policy", "p=policy.cedar"]
            .map(str::to_owned)
            .to_vec();
    std::fs::write(at.join("policy.cedar"), POLICY).unwrap();
    for who in ["alice", "bob"] {
        let made =
            quorate(at, &["client", "keygen", "--name", who, "--out", &format!("{who}.pem"), "-o", "json"]);
        let key = made.ok().json()["public_key"].as_str().unwrap().to_owned();
        init.extend(["--admin".to_owned(), format!("{who}={key}")]);
    }
    for node in &cluster.nodes {
        init.extend(["--identity".to_owned(), format!("{}={}", node.name, node.identity)]);
    }
    quorate(at, &init.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    for node in &cluster.nodes {
        let config = node.config();
        let text = std::fs::read_to_string(&config).unwrap();
        let (before, _) = text.split_once("[[clients]]").unwrap();
        let governed = format!("genesis = \"{}\"\n{before}", at.join("genesis.json").display());
        std::fs::write(&config, governed).unwrap();
        quorate(at, &["cluster", "sign", "--config", config.to_str().unwrap(), "genesis.json"]).ok();
    }
    cluster.nodes.iter_mut().for_each(|node| node.start());
    cluster.wait_connected();
    let (a, b) = (cluster.nodes[0].url(), cluster.nodes[1].url());
    let alice = ["--node", &a, "--client", "alice", "--client-key", "alice.pem", "-o", "json"];
    let bob = ["--node", &b, "--client", "bob", "--client-key", "bob.pem", "-o", "json"];
    let ask = |who: &[&str], arguments: &[&str]| quorate(at, &[arguments, who].concat());
    let create =
        ["key", "create", "--scheme", "bip340", "--threshold", "2", "--purpose", "message", "--wait", "30s"];
    let made = ask(&alice, &create).ok().json();
    let key = made["result"]["key"]["id"].as_str().unwrap().to_owned();
    let sign = ["key", "sign", &key, "--message", "m", "--wait", "30s"];
    ask(&alice, &sign).ok();

    // Stopped while it waits: it says what is left to do, and leaves nothing else.
    let to = age_key().to_public().to_string();
    let sealed = ["key", "export", &key, "--reason", "x", "--yes", "--to", &to, "--out", "key.age"];
    let (mut child, mut said, operation) = waiting(at, &[&sealed[..], &alice].concat());
    assert!(at.join("key.age").exists());
    terminate(child.0.id());
    assert_eq!(ended(&mut child.0, HANGS).code(), Some(1));
    let last = said.find(|line| line.contains("stopped by")).unwrap();
    assert!(last.contains(&format!("quorate reject {operation}")) && !at.join("key.age").exists(), "{last}");
    ask(&bob, &["reject", &operation, "--yes"]).ok();

    let message = "a sweep";
    let export = ["key", "export", &key, "--reason", "cold storage", "--yes", "--sign-message", message];
    let (mut child, said, operation) = waiting(at, &[&export[..], &alice, &["--wait", "1s"]].concat());
    let operation = operation.as_str();
    // Longer than `--wait`, which does not matter here.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(child.0.try_wait().unwrap().is_none(), "it waits");
    assert_eq!(ask(&bob, &["key", "show", &key]).ok().json()["status"], "active", "one is not two");
    let shown = ask(&bob, &["op", "show", operation]).ok().out;
    assert!(shown.contains("cold storage") && shown.contains("private key"), "{shown}");
    // The node that was asked goes away and comes back: the same operation, and the same one-time key.
    cluster.nodes[0].kill();
    std::thread::sleep(std::time::Duration::from_millis(500));
    cluster.nodes[0].start();
    cluster.wait_connected();
    ask(&bob, &["approve", operation, "--yes"]).ok();
    let out = std::io::read_to_string(child.0.stdout.take().unwrap()).unwrap();
    assert!(ended(&mut child.0, HANGS).success(), "{out}{:?}", said.collect::<Vec<_>>());
    let exported: serde_json::Value = serde_json::from_str(&out).unwrap();
    let (public, signature) =
        (exported["public_key"].as_str().unwrap(), exported["signature"].as_str().unwrap());
    let verify = ["key", "verify", "--scheme", "bip340", "--public-key", public, "--message", message];
    quorate(at, &[&verify[..], &["--signature", signature]].concat()).ok();
    assert_eq!(ask(&bob, &["key", "show", &key]).ok().json()["status"], "exposed");
    // What the policy says of exposed keys.
    assert_eq!(ask(&alice, &sign).code, 3);
    assert_eq!(ask(&alice, &export).code, 3, "not a second time");
}

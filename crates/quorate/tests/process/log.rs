//! What nodes wrote down, read and checked with the program.

use crate::support::{Cluster, run};
use quorate_api::intent::Scheme;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

#[test]
fn receipts_and_logs_are_checked_offline_and_changes_are_named() {
    let mut cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::Ed25519);
    let identities: BTreeMap<&str, String> =
        cluster.nodes.iter().map(|node| (node.name, node.identity.clone())).collect();
    // A result with its receipts, as a program gets it.
    let signed = cluster.cli(1, &["key", "sign", key.as_str(), "--message", "logged"]).ok().out;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("operation.json");
    fs::write(&file, &signed).unwrap();
    let file = file.to_str().unwrap();
    let proven = cluster.cli(0, &["log", "verify", file]).ok().json();
    let proven = proven.as_array().unwrap();
    assert_eq!(proven.len(), 2);
    for one in proven {
        assert_eq!(identities[one["node"].as_str().unwrap()], one["identity"].as_str().unwrap());
        assert_eq!(one["entry"]["kind"], "outcome");
    }
    // Of the wrong people, and with one character changed.
    let strangers = "ab".repeat(32);
    let refused = cluster.cli(0, &["log", "verify", file, "--identity", &strangers]);
    assert!(refused.code == 1 && refused.err.contains("none of the identities"), "{refused:?}");
    let lies: [fn(&mut Value); 4] = [
        |operation| operation["id"] = "op_00000000000000000000000000000000".into(),
        |operation| operation["result"]["signatures"][0]["signature"] = "00".into(),
        |operation| operation["result"]["quorum"] = serde_json::json!(["somebody", "else"]),
        |operation| {
            let receipt = operation["receipts"][0]["receipt"].as_str().unwrap();
            operation["receipts"][0]["receipt"] = receipt.replacen("index ", "index 1", 1).into();
        },
    ];
    let mut refused = 0;
    for lie in lies {
        let mut operation: Value = serde_json::from_str(&signed).unwrap();
        lie(&mut operation);
        let path = folder.path().join("lie.json");
        fs::write(&path, operation.to_string()).unwrap();
        let ran = cluster.cli(0, &["log", "verify", path.to_str().unwrap()]);
        assert!(ran.code == 1 && ran.err.contains("does not hold"), "{ran:?}");
        refused += 1;
    }
    assert_eq!(refused, 4);
    // The whole log of a running node; its head is kept, and compared later.
    let head = folder.path().join("head.txt");
    let head = head.to_str().unwrap();
    let judged =
        cluster.cli(0, &["log", "verify", "--save", head, "--identity", &cluster.nodes[0].identity.clone()]);
    let judged = judged.ok().json();
    assert_eq!((judged["good"].as_bool(), judged["findings"].as_array().unwrap().len()), (Some(true), 0));
    cluster.must_sign(0, &key, None);
    let later = cluster.cli(0, &["log", "verify", "--seen", head]).ok().json();
    assert!(later["entries"].as_u64() > judged["entries"].as_u64());
    // People read the end of it, programs all of it.
    let tail = cluster.cli(0, &["log", "tail", "-n", "3"]).ok().json();
    assert_eq!(tail.as_array().unwrap().len(), 3);
    let export = cluster.cli(0, &["log", "export"]).ok().out;
    let kinds: Vec<String> = export
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["kind"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(u64::try_from(kinds.len()).unwrap(), later["entries"].as_u64().unwrap());
    assert_eq!(kinds[0], "start");
    for kind in ["request", "decision", "ceremony", "outcome"] {
        assert!(kinds.iter().any(|found| found == kind), "{kind}: {kinds:?}");
    }
    // A rolled-back node: its older folder is put back, and the head that was seen tells.
    cluster.nodes[0].stop();
    let data = cluster.nodes[0].data();
    let copy = folder.path().join("copy");
    copy_folder(&data, &copy);
    cluster.nodes[0].start();
    cluster.wait_connected();
    cluster.must_sign(0, &key, None);
    cluster.cli(0, &["log", "verify", "--save", head]).ok();
    cluster.nodes[0].stop();
    fs::remove_dir_all(&data).unwrap();
    copy_folder(&copy, &data);
    cluster.nodes[0].start();
    cluster.wait_connected();
    let refused = cluster.cli(0, &["log", "verify", "--seen", head]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.out.contains("the log went back from"), "{refused:?}");
    // It goes on, and has signed two histories by then.
    for _ in 0..3 {
        cluster.must_sign(0, &key, None);
    }
    let refused = cluster.cli(0, &["log", "verify", "--seen", head]);
    assert!(refused.code == 1 && refused.out.contains("two histories"), "{refused:?}");
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    run(std::process::Command::new("cp").arg("-a").arg(from).arg(to)).ok();
}

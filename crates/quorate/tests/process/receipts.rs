//! What proves that nodes logged an outcome, and that others saw their logs: checked with the program, and changed to see whether it is found.

use crate::support::{Cluster, Ran, WAIT, create, fresh, run};
use quorate_api::Operation;
use quorate_api::intent::Scheme;
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::tile::Tile;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

type Change<'a> = (&'a str, &'a str, Box<dyn Fn(&mut Value)>);

fn file(folder: &Path, name: &str, operation: &Value) -> String {
    let path = folder.join(name);
    fs::write(&path, operation.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn known(cluster: &Cluster) -> Vec<String> {
    let identity = |node: &crate::support::Node| ["--identity".to_owned(), node.identity.clone()];
    cluster.nodes.iter().flat_map(identity).collect()
}

/// `log verify` at a node.
fn verify(cluster: &Cluster, node: usize, arguments: &[&str], more: &[String]) -> Ran {
    let mut all = vec!["log", "verify"];
    all.extend(arguments);
    all.extend(more.iter().map(String::as_str));
    cluster.cli(node, &all)
}

/// LOG.15: every party of a new key proves that it logged the creation, and what is missing, forged or about something
/// else is found.
#[test]
fn a_creation_is_proven_by_all_its_parties() {
    let mut cluster = Cluster::start("");
    let client = cluster.client(0);
    let made: Vec<Value> = (0..2)
        .map(|_| {
            let wanted = create(Scheme::Ed25519);
            let done = cluster.runtime.block_on(client.create_key(&wanted, &fresh(), WAIT)).unwrap();
            serde_json::to_value(done).unwrap()
        })
        .collect();
    let (operation, other) = (made[0].clone(), made[1].clone());
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "good.json", &operation);
    let proven = verify(&cluster, 0, &[&good], &known(&cluster)).ok().json();
    let mut nodes: Vec<&str> =
        proven.as_array().unwrap().iter().map(|one| one["node"].as_str().unwrap()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["a", "b", "c"]);
    let at = |node: &str| {
        let receipts = operation["receipts"].as_array().unwrap();
        receipts.iter().position(|receipt| receipt["node"] == node).unwrap()
    };
    let (a, b) = (at("a"), at("b"));
    let of_another = {
        let receipts = other["receipts"].as_array().unwrap();
        receipts.iter().find(|receipt| receipt["node"] == "b").unwrap()["receipt"].clone()
    };
    let strangers = Cluster::stranger(&cluster);
    let changes: Vec<Change<'_>> = vec![
        (
            "a receipt is gone",
            "`b` took part, and the receipt is missing",
            Box::new(move |o| {
                o["receipts"].as_array_mut().unwrap().remove(b);
            }),
        ),
        (
            "a receipt is there twice",
            "two of the receipts are of one node",
            Box::new(move |o| {
                let twin = o["receipts"][a].clone();
                o["receipts"][b] = twin;
                o["receipts"][b]["node"] = "b".into();
            }),
        ),
        (
            "of another operation",
            "it is about `op_",
            Box::new(move |o| o["receipts"][b]["receipt"] = of_another.clone()),
        ),
        (
            "of a stranger's log",
            "the receipt of `b` does not hold",
            Box::new(move |o| {
                o["receipts"][b]["identity"] = strangers.clone().into();
            }),
        ),
        (
            "a changed entry",
            "the receipt of `b` does not hold",
            Box::new(move |o| {
                let receipt = o["receipts"][b]["receipt"].as_str().unwrap().to_owned();
                let (before, entry) = receipt.split_once("extra ").unwrap();
                let flipped = if entry.starts_with("AQY") {
                    entry.replacen("AQY", "AQU", 1)
                } else {
                    entry.replacen('A', "B", 1)
                };
                o["receipts"][b]["receipt"] = format!("{before}extra {flipped}").into();
            }),
        ),
        (
            "another key",
            "it is about another result",
            Box::new(|o| {
                o["result"]["key"]["public_key"] = "07".repeat(32).into();
            }),
        ),
        (
            "other parties",
            "it is about another result",
            Box::new(|o| {
                o["result"]["key"]["parties"] = json!(["a", "b"]);
            }),
        ),
    ];
    let mut found = 0;
    for (what, said, change) in &changes {
        let mut changed = operation.clone();
        change(&mut changed);
        assert_ne!(changed, operation, "{what}");
        let path = file(folder.path(), "changed.json", &changed);
        let ran = verify(&cluster, 0, &[&path], &[]);
        assert!(ran.code == 1 && ran.err.contains(said), "{what}: {ran:?}");
        found += 1;
    }
    assert_eq!(found, 7);
    // Kept with the result: alone and after a restart the node that created the key has all three.
    for node in &mut cluster.nodes {
        node.stop();
    }
    cluster.nodes[0].start();
    cluster.nodes[0].wait_connected(&[]);
    let shown = cluster.cli(0, &["op", "show", operation["id"].as_str().unwrap()]).ok().json();
    let path = file(folder.path(), "later.json", &shown);
    let proven = verify(&cluster, 0, &[&path], &known(&cluster)).ok().json();
    assert_eq!(proven.as_array().unwrap().len(), 3);
}

/// Copies the log of a node into a folder, with the head that others cosigned.
fn copy(cluster: &Cluster, node: usize, folder: &Path) -> PathBuf {
    let client = cluster.client(node);
    let to = folder.join(format!("copy-{node}"));
    cluster.runtime.block_on(async {
        let cosigned = client.log_cosigned().await.unwrap();
        let note = client.log_checkpoint().await.unwrap();
        let head = SignedCheckpoint::parse(&note).unwrap();
        for tile in Tile::written(0, head.claim().size()) {
            let path = to.join(tile.to_string());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, client.log_tile(&tile.to_string()).await.unwrap()).unwrap();
        }
        fs::write(to.join("checkpoint"), note).unwrap();
        fs::write(to.join("cosigned"), cosigned).unwrap();
    });
    to
}

fn until_ok(within: Duration, mut try_once: impl FnMut() -> Ran) -> Ran {
    let begun = Instant::now();
    loop {
        let ran = try_once();
        if ran.code == 0 {
            return ran;
        }
        assert!(begun.elapsed() < within, "{ran:?}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// covers: S47: it is seen who cosigned a log, a number of them can be demanded, and a cosignature that is not of this head, not of
/// this witness, or not whole is found.
#[test]
fn cosignatures_are_checked_and_can_be_demanded() {
    let cluster = Cluster::start("");
    let known = known(&cluster);
    let key = cluster.create(0, Scheme::Ed25519);
    let seen =
        until_ok(Duration::from_secs(30), || verify(&cluster, 0, &["--witnesses", "2"], &known)).json();
    assert_eq!((&seen["witnesses"]["found"], &seen["witnesses"]["of"]), (&json!(2), &json!(2)), "{seen}");
    until_ok(Duration::from_secs(30), || verify(&cluster, 2, &["--witnesses", "2"], &known));
    // Names that nobody knows prove nothing, so they cannot be demanded.
    let ran = verify(&cluster, 0, &["--witnesses", "1"], &[]);
    assert!(ran.code == 2 && ran.err.contains("give the identity of each other node"), "{ran:?}");
    let shown = verify(&cluster, 0, &[], &[]).ok().json();
    assert_eq!((&shown["witnesses"]["found"], &shown["witnesses"]["of"]), (&json!(0), &json!(0)));
    assert_eq!(shown["witnesses"]["cosignatures"].as_array().unwrap().len(), 2);
    let own = ["--identity".to_owned(), cluster.nodes[0].identity.clone()];
    let stranger = [own.as_slice(), &["--identity".to_owned(), Cluster::stranger(&cluster)]].concat();
    let ran = verify(&cluster, 0, &["--witnesses", "1"], &stranger);
    assert!(ran.code == 1 && ran.err.contains("0 of the 1 witnesses"), "{ran:?}");

    // A receipt does not wait for witnesses; whoever wants them asks the node later.
    let signed = cluster.must_sign(0, &key, Some(&["a", "b"]));
    let folder = tempfile::tempdir().unwrap();
    let operation = file(folder.path(), "operation.json", &serde_json::to_value(&signed).unwrap());
    let proven = verify(&cluster, 0, &[&operation, "--witnesses", "2"], &known).ok().json();
    let one = proven.as_array().unwrap().iter().find(|one| one["node"] == "a").unwrap();
    assert!(one["live"]["entries"].as_u64() > one["index"].as_u64(), "{one}");
    assert_eq!(one["live"]["witnesses"]["found"], 2);
    let ran = verify(&cluster, 2, &[&operation, "--live"], &known);
    assert!(ran.code == 1 && ran.err.contains("gave none of these receipts"), "{ran:?}");
    lies(&cluster, folder.path(), &known);
    goes_back(cluster, &operation, folder.path());
}

/// What is wrong with the cosignatures of a copy.
fn lies(cluster: &Cluster, folder: &Path, known: &[String]) {
    let good = copy(cluster, 0, folder);
    let path = good.to_str().unwrap().to_owned();
    let judged = verify(cluster, 0, &[&path, "--witnesses", "2"], known).ok().json();
    assert_eq!(judged["witnesses"]["found"], 2);
    let others = copy(cluster, 2, folder);
    let cosigned = fs::read_to_string(good.join("cosigned")).unwrap();
    let theirs = fs::read_to_string(others.join("cosigned")).unwrap();
    let b = cluster.nodes[1].identity.as_str();
    let line = |note: &str| {
        note.lines().find(|line| line.starts_with('\u{2014}') && line.contains(b)).unwrap().to_owned()
    };
    let own = line(&cosigned);
    // The last character but the padding belongs to the signature.
    let mut flipped = own.clone().into_bytes();
    let place = flipped.len() - 9;
    flipped[place] = if flipped[place] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let stranger = "ab".repeat(32);
    let cases = [
        ("changed", flipped, format!("the cosignature of `{b}` does not verify")),
        ("of another log's head", line(&theirs), format!("the cosignature of `{b}` does not verify")),
        ("under another name", own.replace(b, &stranger), "1 of the 2 witnesses asked for".to_owned()),
    ];
    let count = cases.len();
    for (what, lie, said) in cases {
        assert_ne!(lie, own, "{what}");
        fs::write(good.join("cosigned"), cosigned.replace(&own, &lie)).unwrap();
        let ran = verify(cluster, 0, &[&path, "--witnesses", "2"], known);
        let told = format!("{}{}", ran.out, ran.err);
        assert!(ran.code == 1 && told.contains(&said), "{what}: {ran:?}");
    }
    assert_eq!(count, 3);
    // One of them is gone, and all of them.
    let without = cosigned.replace(&format!("{own}\n"), "");
    fs::write(good.join("cosigned"), without).unwrap();
    let ran = verify(cluster, 0, &[&path, "--witnesses", "2"], known);
    assert!(ran.code == 1 && ran.err.contains("1 of the 2 witnesses"), "{ran:?}");
    fs::remove_file(good.join("cosigned")).unwrap();
    let ran = verify(cluster, 0, &[&path, "--witnesses", "1"], known);
    assert!(ran.code == 1 && ran.err.contains("0 of the 1 witnesses"), "{ran:?}");
    verify(cluster, 0, &[&path], known).ok();
    // The head that others cosigned is not part of the copy: the log of another node.
    fs::write(good.join("cosigned"), theirs).unwrap();
    let ran = verify(cluster, 0, &[&path], known);
    assert!(ran.code == 1 && ran.out.contains("not signed by the log"), "{ran:?}");
}

/// A node that forgets what it gave a receipt for is found out by the receipt.
fn goes_back(mut cluster: Cluster, operation: &str, folder: &Path) {
    let data = cluster.nodes[0].data();
    let old = folder.join("old");
    cluster.nodes[0].stop();
    let copy = |from: &Path, to: &Path| run(std::process::Command::new("cp").arg("-a").args([from, to])).ok();
    copy(&data, &old);
    cluster.nodes[0].start();
    cluster.wait_connected();
    let key = cluster.create(0, Scheme::Ed25519);
    let later: Operation = cluster.must_sign(0, &key, Some(&["a", "b"]));
    let later = file(folder, "later.json", &serde_json::to_value(&later).unwrap());
    verify(&cluster, 0, &[&later, "--live"], &[]).ok();
    cluster.nodes[0].stop();
    fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);
    cluster.nodes[0].start();
    cluster.wait_connected();
    // What was logged before is still there, what came after is not.
    verify(&cluster, 0, &[operation, "--live"], &[]).ok();
    let ran = verify(&cluster, 0, &[&later, "--live"], &[]);
    assert!(ran.code == 1 && ran.err.contains("the log went back from"), "{ran:?}");
    let offline = verify(&cluster, 0, &[&later], &[]).ok().json();
    assert_eq!(offline.as_array().unwrap().len(), 2, "offline nothing is known of it");
    for _ in 0..6 {
        cluster.create(1, Scheme::Ed25519);
    }
    let ran = verify(&cluster, 0, &[&later, "--live"], &[]);
    assert!(
        ran.code == 1 && ran.err.contains("two histories") && ran.err.contains("quorate-fork/v1"),
        "{ran:?}"
    );
}

//! The life of a key in one command: every move is told, and after each the same addresses sign.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{HANGS, Place, program, run_within};

#[test]
fn the_story_of_a_key_is_told_and_leaves_nothing() {
    let _place = Place::take();
    let temporary = TempDir::with_prefix("quorate-life-").unwrap();
    let mut command = program();
    command.args(["demo", "lifecycle", "--json"]).env("TMPDIR", temporary.path());
    // Backups are some seconds of arithmetic, also where other tests want the processor.
    let told = run_within(&mut command, HANGS * 5).ok();
    let events: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |step: &str| events.iter().filter(|event| event["step"] == step).collect::<Vec<_>>();
    let created = of("create");
    // Three and one more at first, three fresh ones at last.
    assert_eq!((created.len(), of("start").len(), of("restart").len()), (2, 7, 2));
    let born: BTreeMap<&str, &Value> =
        created.iter().map(|key| (key["key"].as_str().unwrap(), *key)).collect();
    let moves = of("moved");
    let acts: Vec<&str> = moves.iter().map(|event| event["act"].as_str().unwrap()).collect();
    let each = ["refresh", "reshare", "reshare", "repair", "reshare", "restore"];
    assert_eq!(acts, each.map(|act| [act; 2]).concat());
    for (at, event) in moves.iter().enumerate() {
        let born = born[event["key"].as_str().unwrap()];
        assert_eq!(event["public_key"], born["public_key"]);
        assert_eq!(event["addresses"], born["addresses"]);
        assert_eq!(event["epoch"], at / 2 + 1);
    }
    let last = moves.last().unwrap();
    assert_eq!((&last["threshold"], &last["parties"]), (&3.into(), &serde_json::json!(["a", "c", "d"])));
    // Two keys, at birth, after each move, and while a node is away.
    let signed = of("sign");
    assert_eq!(signed.len(), 16);
    let keys: Vec<&Value> = created.iter().map(|key| &key["public_key"]).collect();
    assert!(signed.iter().all(|event| keys.contains(&&event["public_key"])));
    assert_eq!((of("lost")[0]["node"].as_str(), of("refused").len()), (Some("c"), 1));
    assert_eq!(of("refused")[0]["code"], "not_enough_parties");
    // Everything is lost, and comes back from backups and two of three recovery keys.
    assert_eq!(of("backed_up").len(), 3);
    assert_eq!(of("disaster")[0]["nodes"], serde_json::json!(["a", "c", "d"]));
    assert_eq!((&of("verified")[0]["sound"], &of("verified")[0]["nodes"]), (&true.into(), &3.into()));
    assert_eq!((of("asked").len(), of("answered").len(), of("took_in").len()), (3, 6, 3));
    assert!(of("took_in").iter().all(|event| event["shares"] == 2));
    let identities = |from: usize, to: usize| {
        let started = of("start");
        let of = started[from..to].iter().map(|event| event["identity"].as_str().unwrap().to_owned());
        of.collect::<std::collections::BTreeSet<_>>()
    };
    assert!(identities(0, 4).is_disjoint(&identities(4, 7)), "the machines are fresh");
    assert_eq!(events.last().unwrap()["ok"], true);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "a folder is left");
}

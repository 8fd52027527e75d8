//! The disaster drill in one command.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{HANGS, Place, program, run_within};

/// covers: S40
#[test]
fn every_node_is_lost_and_the_same_addresses_sign() {
    let _place = Place::take();
    let temporary = TempDir::with_prefix("quorate-drill-").unwrap();
    let mut command = program();
    command.args(["drill", "--json"]).env("TMPDIR", temporary.path());
    // Backups are some seconds of arithmetic, also where other tests want the processor.
    let told = run_within(&mut command, HANGS * 5).ok();
    let events: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = |step: &str| events.iter().position(|event| event["step"] == step).unwrap();
    let of = |step: &str| events.iter().filter(|event| event["step"] == step).collect::<Vec<_>>();
    assert_eq!((of("create").len(), of("backed_up").len(), of("disaster").len()), (4, 3, 1));
    let identities: BTreeSet<&str> =
        of("start").iter().map(|event| event["identity"].as_str().unwrap()).collect();
    assert_eq!(identities.len(), 6, "three machines, and three others");
    // Two machines restore, with two answers each, and hold a share of each key; the third has none.
    assert_eq!((of("asked").len(), of("answered").len()), (2, 4));
    let shares: Vec<_> = of("took_in").iter().map(|event| event["shares"].as_u64().unwrap()).collect();
    assert_eq!(shares, [4, 4]);
    // Everything signed before the disaster signs after it.
    let signs = |events: &[Value]| events.iter().filter(|event| event["step"] == "sign").count();
    assert_eq!((signs(&events[..at("disaster")]), signs(&events[at("disaster")..])), (5, 5));
    let report = &events[events.len() - 2];
    assert_eq!(report["step"], "drilled");
    let keys = report["keys"].as_array().unwrap();
    for (created, key) in of("create").iter().zip(keys) {
        assert_eq!((&created["key"], &created["public_key"]), (&key["key"], &key["public_key"]));
        assert_eq!((&created["addresses"], &key["same"]), (&key["after"], &true.into()));
        assert_eq!(key["epochs"], serde_json::json!([0, 1]));
    }
    assert_eq!((keys.len(), report["steps"].as_array().unwrap().len()), (4, 7));
    assert!(report["recovered_s"].as_f64().unwrap() < report["elapsed_s"].as_f64().unwrap());
    assert_eq!(events.last().unwrap()["ok"], true);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "a folder is left");
}

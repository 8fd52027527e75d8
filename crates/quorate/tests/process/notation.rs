//! Who can sign, said on the command line of real processes: for a new key, for one that is given to others, and for one from outside.

use serde_json::{Value, json};

use crate::support::Cluster;

/// The key of a result.
fn key(operation: &Value) -> &Value {
    &operation["result"]["key"]
}

#[test]
fn a_structure_is_created_changed_and_imported() {
    let cluster = Cluster::start("");
    let wait = ["--wait", "40s"];
    let ask = |args: &[&str]| cluster.key(&[args, &wait].concat()).ok().json();
    let made = ask(&["create", "--scheme", "ed25519", "--purpose", "message", "--access", "a and (b or c)"]);
    assert_eq!(key(&made)["access"], "a and (b or c)");
    assert_eq!(key(&made)["quorums"], json!([["a", "b"], ["a", "c"]]));
    let id = key(&made)["id"].as_str().unwrap();

    // In other words than those in which it is shown; with a weight that makes b a must.
    let moved = ask(&["reshare", id, "--access", "3 of (((b))*2,a , c)"]);
    assert_eq!((&key(&moved)["access"], &key(&moved)["epoch"]), (&json!("3 of (b*2, a, c)"), &json!(1)));
    assert_eq!(key(&moved)["quorums"], json!([["a", "b"], ["b", "c"]]));
    assert_eq!(key(&moved)["public_key"], key(&made)["public_key"]);
    let signed = ask(&["sign", id, "--message", "hello"]);
    let quorum = signed["result"]["quorum"].as_array().unwrap();
    assert!(quorum.len() == 2 && quorum.contains(&"b".into()), "{signed}");

    // Refused by the nodes, with the name of whoever has no use, and by the command line.
    let refused = cluster.key(&["reshare", id, "--access", "a and (a or b or c) and c"]);
    assert!(refused.code != 0 && refused.err.contains("`b` is in no minimal quorum"), "{refused:?}");
    let refused = cluster.key(&["reshare", id, "--access", "3 of (a, b)"]);
    assert!(refused.code == 2 && refused.err.contains("at character 1"), "{refused:?}");

    let digits = cluster.secret("digits", &"07".repeat(32));
    let pins = cluster.pins();
    let mut import = vec!["import", "--from", digits.to_str().unwrap(), "--scheme", "ed25519", "--yes"];
    import.extend(pins.iter().map(String::as_str));
    let refused = cluster.key(&[import.as_slice(), &["--access", "4 of (a*2, b*2, c)"]].concat());
    assert!(refused.code == 2 && refused.err.contains("`c` is in no minimal quorum"), "{refused:?}");
    let imported = ask(&[import.as_slice(), &["--access", "c and (a or b)"]].concat());
    assert_eq!(key(&imported)["quorums"], json!([["a", "c"], ["b", "c"]]));
    assert_eq!(
        (&key(&imported)["imported"], &key(&imported)["access"]),
        (&true.into(), &json!("c and (a or b)"))
    );
}

//! Nodes that stop and come back.

use crate::support::Cluster;
use quorate_api::intent::Scheme;

/// covers: S44
#[test]
fn down_to_the_threshold_it_signs_and_below_it_says_who_is_missing() {
    let mut cluster = Cluster::start("connect_grace = \"300ms\"");
    let keys = [Scheme::Ed25519, Scheme::Bip340, Scheme::EcdsaP256].map(|scheme| cluster.create(0, scheme));
    assert_eq!(cluster.nodes[2].stop().0.code(), Some(0));
    for key in &keys {
        cluster.must_sign(0, key, None);
        cluster.must_sign(1, key, None);
    }
    let refused = cluster.cli(0, &["key", "sign", keys[0].as_str(), "--message", "x", "--quorum", "a,c"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert_eq!(refused.error()["quorum"]["missing"], serde_json::json!(["c"]), "{refused:?}");

    cluster.nodes[1].kill();
    for key in &keys {
        let refused = cluster.cli(0, &["key", "sign", key.as_str(), "--message", "x"]);
        assert_eq!(refused.code, 4, "{refused:?}");
        let error = refused.error();
        assert_eq!(error["status"], 503, "{error}");
        assert_eq!(error["code"], "not_enough_parties", "{error}");
        assert_eq!(error["retryable"], true, "{error}");
        assert_eq!(
            (&error["quorum"]["needed"], &error["quorum"]["ready"]),
            (&2.into(), &1.into()),
            "{error}"
        );
        let mut missing: Vec<&str> = error["quorum"]["missing"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        missing.sort_unstable();
        assert_eq!(missing, ["b", "c"], "{error}");
        assert!(refused.took.as_secs() < 15, "{refused:?}");
    }
    let refused = cluster.cli(0, &["key", "create", "--scheme", "ed25519", "--threshold", "2"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert_eq!(refused.error()["quorum"]["needed"], 3, "{refused:?}");

    for node in [1, 2] {
        cluster.nodes[node].start();
    }
    cluster.wait_connected();
    for key in &keys {
        for node in 0..3 {
            cluster.must_sign(node, key, None);
        }
    }
}

//! A peer under an identity that it does not have.

use crate::support::{Cluster, get};
use quorate_api::client::ClientError;
use quorate_api::intent::Scheme;
use std::fs;
use std::time::{Duration, Instant};

/// covers: S10
#[test]
fn a_peer_under_a_wrong_identity_is_not_connected_and_the_others_sign() {
    let mut cluster = Cluster::start("connect_grace = \"300ms\"");
    let key = cluster.create(0, Scheme::Ed25519);
    // A real identity, but of nobody: a fourth node that never ran.
    let (right, wrong) = (cluster.nodes[2].identity.clone(), Cluster::stranger(&cluster));
    cluster.nodes[0].stop();
    let config = fs::read_to_string(cluster.nodes[0].config()).unwrap();
    fs::write(cluster.nodes[0].config(), config.replace(&right, &wrong)).unwrap();
    cluster.nodes[0].start();
    cluster.nodes[0].wait_connected(&["b"]);

    let begun = Instant::now();
    let reason = loop {
        let log = cluster.nodes[0].log();
        let line = log
            .lines()
            .rev()
            .find(|line| line.contains("peer=\"c\"") && line.contains("error="))
            .map(str::to_owned);
        if let Some(line) = line {
            break line;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "no reason in the log:\n{log}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(reason.contains("identity"), "the reason does not name the identity: {reason}");
    let status = cluster.cli(0, &["node", "status"]).ok().json();
    let peer = |name: &str| {
        let peers = status["peers"].as_array().unwrap();
        peers.iter().find(|peer| peer["name"] == name).unwrap().clone()
    };
    assert_eq!(peer("c")["connected"], false);
    assert_eq!(peer("c")["identity"], wrong.as_str());
    assert_eq!(peer("b")["connected"], true);
    assert!(get(cluster.nodes[0].api, "/readyz").unwrap().contains("200 OK"));

    for (node, other) in [(0, "b"), (1, "a"), (2, "b"), (1, "c")] {
        let name = cluster.nodes[node].name;
        cluster.must_sign(node, &key, Some(&[name, other]));
    }
    for node in 0..3 {
        cluster.must_sign(node, &key, None);
    }
    for (node, quorum) in [(0, ["a", "c"]), (2, ["a", "c"])] {
        match cluster.sign(node, &key, Some(&quorum)) {
            Err(ClientError::Problem(problem)) => {
                assert_eq!(problem.status(), 503, "{problem}");
                let missing = problem.quorum.unwrap().missing;
                assert_eq!(missing, [quorum[usize::from(node == 0)]]);
            }
            other => panic!("{other:?}"),
        }
    }
    // A new key needs all of them: refused with the name of the one that is not there.
    let refused = cluster.cli(0, &["key", "create", "--scheme", "ed25519", "--threshold", "2"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert_eq!(refused.error()["quorum"]["missing"][0], "c");
}

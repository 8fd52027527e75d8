//! `quorate bench` on a cluster of real processes.

use serde_json::Value;

use crate::support::{CLIENT, Cluster, Ran, program, run};
use quorate_api::intent::Scheme;

fn bench(cluster: &Cluster, arguments: &[&str]) -> Ran {
    let mut command = program();
    command.args(["bench", "--wait", "40s", "--node", &cluster.nodes[0].url()]).args(arguments);
    run(command.args(["--client", CLIENT, "--client-key"]).arg(cluster.client_key()))
}

/// How many operations of a kind, with which status, a node lists.
fn operations(cluster: &Cluster, node: usize, kind: &str) -> usize {
    let listed = cluster.cli(node, &["op", "list", "--limit", "200"]).ok().json();
    let items = listed["items"].as_array().unwrap();
    items.iter().filter(|item| item["kind"] == kind && item["status"] == "succeeded").count()
}

#[test]
fn a_load_is_measured_and_its_key_goes() {
    let cluster = Cluster::start("requests_per_second = 100000\nrequests_burst = 100000");
    let nodes = cluster.nodes.iter().map(|node| node.url()).collect::<Vec<_>>().join(",");
    let json = ["--clients", "1,3", "--seconds", "1", "--nodes", &nodes, "--json", "--scheme", "ed25519"];
    let found = bench(&cluster, &json).ok().json();
    assert_eq!((&found["temporary"], &found["scheme"]), (&Value::Bool(true), &Value::from("ed25519")));
    let loads = found["loads"].as_array().unwrap();
    assert_eq!(loads.iter().map(|load| load["clients"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3]);
    for load in loads {
        let [p50, p95, p99, max] =
            ["p50_ms", "p95_ms", "p99_ms", "max_ms"].map(|name| load[name].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 <= max, "{load}");
        assert_eq!((&load["failed"], &load["from_pools"]), (&Value::from(0), &Value::from(0)), "{load}");
        let rate = load["signatures"].as_f64().unwrap() / load["seconds"].as_f64().unwrap();
        assert!((rate / load["per_second"].as_f64().unwrap() - 1.0).abs() < 1e-6, "{load}");
    }
    // What was made for the load signs no more.
    let key = found["key"].as_str().unwrap();
    let shown = cluster.cli(0, &["key", "show", key]).ok().json();
    assert_eq!(shown["label"], "bench");
    assert!(shown["status"] == "disabled" && shown["destroys_at"].is_u64(), "{shown}");

    // One's own key stays; a batch is one request; people get a table.
    let key = cluster.create(0, Scheme::EcdsaSecp256k1);
    let own = ["--key", &key.to_string(), "--clients", "1", "--seconds", "1", "--batch", "3"];
    let found = bench(&cluster, &[&own[..], &["--json"]].concat()).ok().json();
    let load = &found["loads"][0];
    let (requests, signatures) = (load["requests"].as_u64().unwrap(), load["signatures"].as_u64().unwrap());
    assert!(requests > 0 && signatures == 3 * requests && load["warm_up"] == 3, "{load}");
    let made = operations(&cluster, 0, "sign_batch");
    assert!(made >= usize::try_from(requests).unwrap().min(100), "{made} of {requests}");
    let table = bench(&cluster, &own).ok();
    assert!(table.out.contains("SIGNATURES/S") && table.out.contains("3 messages a request"), "{table:?}");
    assert!(table.err.is_empty(), "{table:?}");
    assert_eq!(cluster.cli(0, &["key", "show", &key.to_string()]).ok().json()["status"], "active");
}

#[test]
fn errors_are_counted_by_their_code_or_said_at_once() {
    // Five requests, then one a second: most of a load is refused.
    let mut cluster = Cluster::start("requests_per_second = 1\nrequests_burst = 5");
    let key = cluster.create(0, Scheme::Ed25519).to_string();
    let load = ["--key", &key, "--clients", "2", "--seconds", "3", "--json"];
    let found = bench(&cluster, &load).ok().json();
    let load = &found["loads"][0];
    assert!(load["failed"].as_u64().unwrap() > 5 && load["signatures"].as_u64().unwrap() > 0, "{load}");
    assert_eq!(load["errors"].as_object().unwrap().keys().collect::<Vec<_>>(), ["rate_limited"], "{load}");
    assert_eq!(load["errors"]["rate_limited"], load["failed"]);
    assert!(load["first_error"].as_str().unwrap().contains("requests"), "{load}");

    // A key that signs no messages is refused, and so is a load that nobody can carry.
    std::thread::sleep(std::time::Duration::from_secs(5));
    let made =
        cluster.cli(0, &["key", "create", "--scheme", "ecdsa-secp256k1", "--threshold", "2"]).ok().json();
    let id = made["result"]["key"]["id"].as_str().unwrap();
    let wrong = bench(&cluster, &["--key", id]);
    assert!(wrong.code == 1 && wrong.err.contains("--purpose message"), "{wrong:?}");
    let both = bench(&cluster, &["--key", id, "--scheme", "ed25519"]);
    assert_eq!(both.code, 2, "{both:?}");
    for node in &mut cluster.nodes {
        node.kill();
    }
    let nobody = bench(&cluster, &["--key", &key]);
    assert!(nobody.code == 1 && nobody.err.contains("is the node running"), "{nobody:?}");
}

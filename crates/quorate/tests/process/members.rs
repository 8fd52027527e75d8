//! Nodes that come and go while a cluster of processes runs.

use crate::support::{Cluster, Node, Ran, port, program, run, write_private};
use std::fs;
use std::path::Path;

/// A machine that `quorate node join` made, not started.
pub(crate) fn joined(cluster: &Cluster, name: &'static str, arguments: &[&str]) -> (Node, Ran) {
    let home = cluster.folder.path().join(name);
    fs::create_dir(&home).unwrap();
    write_private(&home.join("passphrase"), b"of a fresh machine");
    let (api, peers) = (port(), port());
    let (listen_api, listen_peers) = (api.to_string(), peers.to_string());
    let mut command = program();
    command.current_dir(&home).args(["node", "join", "--name", name, "--passphrase-file", "passphrase"]);
    command.args(["--listen-api", &listen_api, "--listen-peers", &listen_peers, "-o", "json"]);
    for node in &cluster.nodes {
        command.args(["--peer", &format!("{}={}", node.name, node.peers)]);
    }
    let ran = run(command.args(arguments)).ok();
    let identity = ran.json()["identity"].as_str().unwrap().to_owned();
    (Node::made(name, home, api, peers, identity), ran)
}

fn reload(config: &Path) -> Ran {
    run(program().args(["node", "reload", "-o", "json", "--config"]).arg(config))
}

/// What docs/operating.md says about a fourth node in a cluster without a directory, with the commands that it names.
#[test]
fn a_machine_joins_and_leaves_while_the_cluster_runs() {
    let cluster = Cluster::start("");
    let client = fs::read_to_string(cluster.nodes[0].config()).unwrap();
    let (_, client) = client.split_once("[[clients]]").unwrap();
    let key = client.split("key = \"").nth(1).unwrap().split('"').next().unwrap();
    let identities: Vec<String> =
        cluster.nodes.iter().map(|node| format!("{}={}", node.name, node.identity)).collect();
    let client = format!("operator={key}");
    let mut arguments = vec!["--client-key-of", client.as_str()];
    identities.iter().for_each(|identity| arguments.extend(["--identity", identity]));
    let (mut d, made) = joined(&cluster, "d", &arguments);
    let next = made.json()["next"].as_str().unwrap().to_owned();
    assert!(next.contains("[[peers]]") && next.contains("quorate node reload"), "{next}");
    // It does not run: nobody answers.
    let nobody = reload(&d.config());
    assert!(nobody.code == 2 && nobody.err.contains("no node runs"), "{nobody:?}");
    d.start();
    let before = fs::read_to_string(cluster.nodes[0].config()).unwrap();
    for node in &cluster.nodes {
        let mut text = fs::read_to_string(node.config()).unwrap();
        text.push_str(&format!(
            "[[peers]]\nname = \"d\"\naddress = \"{}\"\nidentity = \"{}\"\n",
            d.peers, d.identity
        ));
        fs::write(node.config(), text).unwrap();
        let done = reload(&node.config()).ok().json();
        assert_eq!(
            (&done["added"][0], done["restart"].as_array().unwrap().len()),
            (&"d".into(), 0),
            "{done}"
        );
    }
    d.wait_connected(&["a", "b", "c"]);
    let created = cluster.cli(0, &["key", "create", "--scheme", "ed25519", "--threshold", "2"]).ok().json();
    assert_eq!(created["result"]["key"]["parties"].as_array().map(Vec::len), Some(4), "{created}");
    // A configuration that does not read changes nothing, and says so to whoever asks.
    let config = cluster.nodes[0].config();
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{good}nonsense = 1\n")).unwrap();
    assert_ne!(reload(&config).code, 0);
    run(std::process::Command::new("kill").args(["-HUP", &cluster.nodes[0].pid().to_string()])).ok();
    let deadline = std::time::Instant::now() + crate::support::WAIT;
    while !cluster.nodes[0].log().contains("the node goes on as before") {
        assert!(std::time::Instant::now() < deadline, "{}", cluster.logs());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // What needs a restart is named.
    fs::write(&config, good.replace("[limits]\n", "[limits]\nmax_body = 4096\n")).unwrap();
    let done = reload(&config).ok().json();
    assert_eq!(done["restart"][0], "limits", "{done}");
    // Out again.
    fs::write(&config, before).unwrap();
    let done = reload(&config).ok().json();
    assert_eq!(done["removed"][0], "d", "{done}");
    let deadline = std::time::Instant::now() + crate::support::WAIT;
    while d.connected() != ["b", "c"] || !d.log().contains("refused our identity") {
        assert!(std::time::Instant::now() < deadline, "{:?}\n{}", d.connected(), d.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let metrics = crate::support::get(cluster.nodes[0].api, "/metrics").unwrap();
    assert!(metrics.contains("quorate_peer_up{peer=\"d\"} 0"), "{metrics}");
}

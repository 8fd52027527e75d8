//! The nodes of a cluster change while it runs.

use std::path::Path;
use std::time::Duration;

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, CreateKey, Hex, Key, OperationStatus};
use quorate_node::config::Config;
use quorate_node::{Node, PeerId};
use quorate_policy::change::Step;

use crate::cluster::{Cluster, WAIT, create_key, created, message, problem, signed, unique};
use crate::governed::{create, sign, until};

/// Anybody who signs messages may create keys: what is tested here is who the nodes are.
const FREE: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);
@id("sign")
permit (principal in Group::"admins", action == Action::"sign:message", resource);
"#;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn connected(node: &Node) -> Vec<String> {
    let mut names = node.connected();
    names.sort();
    names
}

/// The bodies of the changes in a node's log.
async fn changes(cluster: &Cluster, at: usize) -> Vec<String> {
    let entries = crate::audit::entries(cluster, at).await;
    let changes = entries.iter().filter(|entry| entry.kind() == quorate_log::entry::Kind::Change);
    changes.map(|change| String::from_utf8_lossy(change.body()).into_owned()).collect()
}

impl Cluster {
    fn node(&self, at: usize) -> &Node {
        self.nodes[at].as_ref().unwrap()
    }

    async fn reload(&mut self, at: usize) -> quorate_node::Reloaded {
        self.configs[at].peers = self.peers_of(at);
        self.node(at).reload(&self.configs[at]).await.unwrap()
    }

    /// A fresh machine takes the name of a node, which is stopped: its place among the nodes, and the old configuration with a copy
    /// of the old folder, as a thief would have it.
    async fn lose(&mut self, at: usize) -> (PeerId, Config) {
        self.stop(at).await;
        let old = self.configs[at].clone();
        let stolen = self.folders[at].path().join("stolen");
        copy(&old.data, &stolen);
        let identity = self.identities[at];
        let name = old.name.clone();
        let new = self.machine(&name).await;
        let (mut config, folder) = (self.configs.remove(new), self.folders.remove(new));
        self.nodes.remove(new);
        self.identities[at] = self.identities.remove(new);
        config.listen = old.listen.clone();
        config.genesis = old.genesis.clone();
        config.clients = old.clients.clone();
        self.configs[at] = config;
        // The old folder stays for as long as the cluster.
        let before = std::mem::replace(&mut self.folders[at], folder);
        self.kept.push(before);
        self.configs[at].peers = self.peers_of(at);
        (identity, Config { data: stolen, ..old })
    }

    pub(crate) async fn readiness(&self, at: usize) -> String {
        self.get(at, "/readyz").await.1
    }

    pub(crate) async fn agree(&self, at: usize, steps: Vec<Step>) {
        let asked = self.change(at, "alice", steps).await.unwrap();
        let done = self.rule(at, "bob", "approve", &asked).await.unwrap();
        assert_eq!(done.status, OperationStatus::Succeeded);
    }

    pub(crate) fn identity_hex(&self, at: usize) -> Hex {
        Hex(self.identities[at].as_bytes().to_vec())
    }

    async fn create_as(&self, at: usize, who: &str, create: &CreateKey) -> Key {
        let operation = self.as_user(at, who).create_key(create, &unique("create"), WAIT).await.unwrap();
        created(&operation)
    }
}

/// A thief with the old folder and key: every node refuses it in the handshake, whoever dials.
async fn refused_everywhere(mut thief: Config) {
    let others = thief.peers.len();
    // Its address is that of the fresh machine.
    thief.listen.peers = "127.0.0.1:0".parse().unwrap();
    let old = Node::start(thief).await.unwrap();
    let missing = old.wait_connected(Duration::from_secs(2)).await.unwrap_err();
    assert!(old.connected().is_empty(), "the old identity is refused by everybody: {:?}", old.connected());
    assert_eq!(missing.len(), others, "{missing:?}");
    old.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_added_to_a_running_cluster() {
    let mut cluster = Cluster::start(3).await;
    let four = cluster.machine("node-d").await;
    cluster.configs[four].peers = cluster.peers_of(four);
    cluster.start_node(four).await;
    // One node alone introduces nobody: the others know no such node, at TLS and in a key.
    let reloaded = cluster.reload(0).await;
    assert_eq!((reloaded.added, reloaded.removed.len()), (vec!["node-d".to_owned()], 0));
    until(async || connected(cluster.node(four)) == ["node-a"]).await;
    let all = create_key(Scheme::Ed25519, 3, Some(vec![Purpose::Message]));
    let alone =
        cluster.client(0).create_key(&all, &unique("create"), WAIT).await.map_err(problem).unwrap_err();
    assert!(alone.detail.contains("node-d") || alone.detail.contains("parties proposed"), "{}", alone.detail);
    assert_eq!(connected(cluster.node(four)), ["node-a"]);
    assert_eq!(connected(cluster.node(1)), ["node-a", "node-c"]);
    // Everybody.
    for at in 1..3 {
        cluster.reload(at).await;
    }
    cluster.start_all().await;
    let key = cluster.create(Scheme::Ed25519, 3, Some(vec![Purpose::Message])).await;
    assert_eq!(key.parties, ["node-a", "node-b", "node-c", "node-d"]);
    let with = quorate_api::Sign {
        quorum: Some(["node-a", "node-b", "node-d"].map(str::to_owned).to_vec()),
        ..message("four")
    };
    let done = cluster.client(four).sign(&key.id, &with, &unique("sign"), WAIT).await.unwrap();
    assert_eq!(signed(&done).quorum, ["node-a", "node-b", "node-d"]);
    // What else differs is said, and not done.
    cluster.configs[0].limits.max_body = 4096;
    let again = cluster.reload(0).await;
    assert_eq!((again.added.len(), again.moved.len(), again.restart), (0, 0, vec!["limits".to_owned()]));
    // A configuration that is none changes nothing.
    let mut broken = cluster.configs[0].clone();
    broken.peers[0].identity = "00".to_owned();
    assert!(cluster.node(0).reload(&broken).await.is_err());
    assert_eq!(connected(cluster.node(0)), ["node-b", "node-c", "node-d"]);
    // And it is in the log.
    let logged = changes(&cluster, 0).await;
    assert!(logged.iter().any(|change| change.contains("node-d")), "{logged:?}");
}

/// covers: S39: in a cluster without a directory the operators re-pin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_machine_is_replaced_and_its_key_is_useless() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let whole = cluster.create(Scheme::Ed25519, 3, Some(vec![Purpose::Message])).await;
    let (_, thief) = cluster.lose(2).await;
    for at in 0..2 {
        let done = cluster.reload(at).await;
        assert_eq!((done.added, done.removed), (vec!["node-c".to_owned()], vec!["node-c".to_owned()]));
    }
    cluster.start_all().await;
    refused_everywhere(thief).await;
    // The share went with the machine: the others sign without it, and say so.
    let shown = cluster.client(0).key(&key.id).await.unwrap();
    assert_eq!((shown.lost, shown.parties.len()), (vec!["node-c".to_owned()], 3));
    let signed = cluster.sign(0, &key.id, "two are enough").await.unwrap();
    assert_eq!(signed.quorum, ["node-a", "node-b"]);
    let stuck = cluster.sign(1, &whole.id, "all are needed").await.unwrap_err();
    assert_eq!(stuck.code, Code::NotEnoughParties);
    assert!(stuck.detail.contains("the machine of `node-c` was replaced"), "{}", stuck.detail);
    // The fresh machine holds nothing of it, passes the request on, and takes part in what is new.
    assert!(cluster.sign(2, &key.id, "passed on").await.is_ok());
    let fresh = cluster.create(Scheme::Ed25519, 3, Some(vec![Purpose::Message])).await;
    cluster.sign(2, &fresh.id, "new").await.unwrap();
    assert!(cluster.client(1).key(&fresh.id).await.unwrap().lost.is_empty());
}

/// covers: GOV.12: the admins add a node, also to a node that was away; it begins with the genesis alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_add_a_node() {
    let mut cluster = Cluster::governed(3, &[("free", FREE)]).await;
    // It has missed something before it comes, and learns it.
    cluster.agree(0, vec![Step::AddTenant { name: crate::governed::name("north") }]).await;
    let four = cluster.machine("node-d").await;
    cluster.configs[four].peers = cluster.peers_of(four);
    cluster.configs[four].genesis = cluster.configs[0].genesis.clone();
    cluster.configs[four].clients.clear();
    cluster.start_node(four).await;
    assert!(cluster.readiness(four).await.contains("not one of the cluster's nodes yet"));
    let early =
        cluster.change(four, "alice", vec![Step::AddTenant { name: crate::governed::name("x") }]).await;
    assert_eq!(early.unwrap_err().code, Code::Unavailable);
    cluster.stop(2).await;
    // Asked for, and not agreed to: nobody is let in.
    let add = Step::AddNode { name: "node-d".to_owned(), identity: cluster.identity_hex(four) };
    let asked = cluster.change(0, "alice", vec![add]).await.unwrap();
    let words = asked.approvals.clone().unwrap().summary.unwrap();
    let identity = cluster.identities[four].to_string();
    assert!(words.details[0].contains("add node node-d") && words.details[0].contains(&identity), "{words}");
    assert!(!words.warnings.is_empty());
    assert_eq!(cluster.rule(0, "dave", "approve", &asked).await.unwrap_err().code, Code::Forbidden);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(connected(cluster.node(four)).is_empty());
    cluster.rule(1, "bob", "approve", &asked).await.unwrap();
    until(async || connected(cluster.node(four)) == ["node-a", "node-b"]).await;
    until(async || cluster.as_user(four, "alice").directory().await.unwrap().version == 2).await;
    cluster.start_all().await;
    until(async || connected(cluster.node(2)) == ["node-a", "node-b", "node-d"]).await;
    until(async || cluster.readiness(four).await.contains("\"ready\":true")).await;
    let nodes = cluster.as_user(four, "alice").directory().await.unwrap().nodes;
    assert_eq!((nodes.len(), nodes["node-d"].to_string()), (4, identity));
    let key =
        cluster.create_as(four, "alice", &create_key(Scheme::Ed25519, 4, Some(vec![Purpose::Message]))).await;
    assert_eq!(key.parties, ["node-a", "node-b", "node-c", "node-d"]);
    sign(&cluster, four, "bob", &key).await.unwrap();
    // A restart with the configuration of before: the directory knows the node.
    cluster.stop(0).await;
    cluster.start_node(0).await;
    until(async || connected(cluster.node(0)) == ["node-b", "node-c", "node-d"]).await;
    sign(&cluster, 0, "alice", &key).await.unwrap();
    let logged = changes(&cluster, 0).await;
    assert!(logged.iter().any(|change| change.contains("\"node-d\"")), "{logged:?}");
}

/// covers: S39, GOV.12: a fresh machine under the old name, and the old machine is refused by everybody, also by a node that was away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_replace_a_node() {
    let mut cluster = Cluster::governed(3, &[("free", FREE)]).await;
    let key = create(&cluster, "alice").await;
    let (_, thief) = cluster.lose(2).await;
    cluster.start_node(2).await;
    cluster.stop(1).await;
    // Two of three admins are there, at one node.
    let step = Step::ReplaceNode { name: "node-c".to_owned(), identity: cluster.identity_hex(2) };
    cluster.agree(0, vec![step.clone()]).await;
    until(async || connected(cluster.node(0)) == ["node-c"]).await;
    until(async || cluster.as_user(2, "alice").directory().await.unwrap().version == 1).await;
    // It was away, and its configuration has the old identity: the directory counts.
    cluster.start_node(1).await;
    until(async || connected(cluster.node(1)) == ["node-a", "node-c"]).await;
    until(async || connected(cluster.node(2)) == ["node-a", "node-b"]).await;
    refused_everywhere(thief).await;
    assert_eq!(cluster.as_user(1, "alice").key(&key.id).await.unwrap().lost, ["node-c"]);
    sign(&cluster, 1, "alice", &key).await.unwrap();
    // Back it does not come, and the directory says why.
    let refused = cluster.change(0, "alice", vec![step]).await.unwrap_err();
    assert!(refused.detail.contains("is that of node `node-c`"), "{}", refused.detail);
    // Stopped and started again, everybody still knows.
    for at in 0..3 {
        cluster.stop(at).await;
    }
    cluster.start_all().await;
    sign(&cluster, 0, "bob", &key).await.unwrap();
}

/// covers: GOV.12: a node that was removed is refused, by its name and by its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_remove_a_node() {
    let mut cluster = Cluster::governed(4, &[("free", FREE)]).await;
    let key = create(&cluster, "alice").await;
    cluster.agree(0, vec![Step::RemoveNode { name: "node-d".to_owned() }]).await;
    until(async || cluster.versions("alice").await[..3] == [1, 1, 1]).await;
    until(async || connected(cluster.node(3)).is_empty()).await;
    assert_eq!(connected(cluster.node(0)), ["node-b", "node-c"]);
    assert_eq!(cluster.as_user(0, "alice").key(&key.id).await.unwrap().lost, ["node-d"]);
    let next =
        cluster.create_as(1, "alice", &create_key(Scheme::Ed25519, 2, Some(vec![Purpose::Message]))).await;
    assert_eq!(next.parties, ["node-a", "node-b", "node-c"]);
    // Its identity is not taken back under any name.
    let again = Step::AddNode { name: "node-e".to_owned(), identity: cluster.identity_hex(3) };
    let refused = cluster.change(0, "alice", vec![again]).await.unwrap_err();
    assert_eq!(refused.code, Code::Unprocessable);
    assert!(refused.detail.contains("was given up when node `node-d` was removed"), "{}", refused.detail);
    // Nor does it get in by waiting.
    cluster.stop(3).await;
    cluster.start_node(3).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(connected(cluster.node(3)).is_empty());
    sign(&cluster, 2, "carol", &next).await.unwrap();
}

/// covers: GOV.12: in a governed cluster the configuration moves addresses and nobody's identity.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_introduces_nobody_to_a_governed_cluster() {
    let mut cluster = Cluster::governed(2, &[("free", FREE)]).await;
    let third = cluster.machine("node-c").await;
    cluster.configs[third].genesis = cluster.configs[0].genesis.clone();
    cluster.configs[third].clients.clear();
    cluster.configs[third].peers = cluster.peers_of(third);
    cluster.start_node(third).await;
    // Whatever the operator of one node writes into its configuration.
    let done = cluster.reload(0).await;
    assert!(done.added.is_empty(), "{done:?}");
    let mut other = cluster.configs[0].clone();
    other.peers[0].identity = cluster.identities[third].to_string();
    other.peers.truncate(1);
    let refused = cluster.node(0).reload(&other).await.unwrap_err().to_string();
    assert!(refused.contains("disagree on node `node-b`"), "{refused}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(connected(cluster.node(0)), ["node-b"]);
    assert!(connected(cluster.node(third)).is_empty());
    // Identities may be left out.
    let mut bare = cluster.configs[0].clone();
    for peer in &mut bare.peers {
        peer.identity.clear();
    }
    cluster.node(0).reload(&bare).await.unwrap();
    // An address that is moved is used when the connection is next made.
    bare.peers[0].address = "127.0.0.1:1".to_owned();
    assert_eq!(cluster.node(0).reload(&bare).await.unwrap().moved, ["node-b"]);
    assert_eq!(connected(cluster.node(0)), ["node-b"]);
}

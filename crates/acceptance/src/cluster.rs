//! A cluster of real node processes, made with the program's own commands.

use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a command, or the start of the nodes, may take.
const TIMEOUT: Duration = Duration::from_secs(60);
const NODES: [&str; 3] = ["a", "b", "c"];
/// Who may ask.
const PEOPLE: [&str; 2] = ["alice", "bob"];

/// Three nodes and two clients, `alice` and `bob`; dropped, they end and leave nothing.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    name: &'static str,
    api: SocketAddr,
    child: Option<Child>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().filter_map(|node| node.child.as_mut()) {
            // An error means that it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Names with a public key each.
type Named = Vec<(&'static str, String)>;

impl Cluster {
    /// Nodes that know their clients from their configuration. `limits` is the TOML of that section.
    ///
    /// # Panics
    /// If `QUORATE_TEST_BINARY` is missing, a command fails or a node does not come up.
    pub fn start(limits: &str) -> Self {
        let (mut cluster, _, keys) = Self::prepare(limits);
        for node in &cluster.nodes {
            let mut config = cluster.config(node);
            for (name, key) in &keys {
                config.push_str(&format!("[[clients]]\nname = \"{name}\"\nkey = \"{key}\"\n"));
            }
            fs::write(cluster.path(node.name).join("quorate.toml"), config).expect("the folder is writable");
        }
        cluster.up();
        cluster
    }

    /// Nodes with a directory, whose admins are the clients, two of whom must agree to a change, and this policy (Cedar).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn governed(limits: &str, policy: &str) -> Self {
        let (mut cluster, identities, keys) = Self::prepare(limits);
        fs::write(cluster.path("first.cedar"), policy).expect("the folder is writable");
        let identities: Vec<String> = identities.iter().map(|(name, id)| format!("{name}={id}")).collect();
        let keys: Vec<String> = keys.iter().map(|(name, key)| format!("{name}={key}")).collect();
        let mut init = vec!["cluster", "init", "--name", "acme", "--out", "genesis.json"];
        init.extend(["--policy", "first=first.cedar"]);
        identities.iter().for_each(|identity| init.extend(["--identity", identity]));
        keys.iter().for_each(|key| init.extend(["--admin", key]));
        cluster.run(&init);
        for node in &cluster.nodes {
            let genesis = format!("genesis = \"{}\"\n", cluster.path("genesis.json").display());
            let config = cluster.path(node.name).join("quorate.toml");
            fs::write(&config, genesis + &cluster.config(node)).expect("the folder is writable");
            cluster.run(&["cluster", "sign", "--config", &config.display().to_string(), "genesis.json"]);
        }
        cluster.up();
        cluster
    }

    fn prepare(limits: &str) -> (Self, Named, Named) {
        let folder = TempDir::with_prefix("quorate-cluster-").expect("a temporary folder");
        let nodes = NODES.into_iter().map(|name| Node { name, api: free(), child: None }).collect();
        let cluster = Self { folder, nodes };
        let peers = NODES.map(|_| free());
        let mut identities = Vec::new();
        for node in NODES {
            fs::create_dir(cluster.path(node)).expect("the folder is writable");
            let passphrase = cluster.path(node).join("passphrase");
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create_new(true).mode(0o600).open(passphrase).expect("a new file");
            std::io::Write::write_all(&mut file, b"of a test that ends in minutes")
                .expect("the folder is writable");
            let (data, passphrase) = (format!("{node}/data"), format!("{node}/passphrase"));
            let made = cluster.json(&[
                "node",
                "init",
                "--name",
                node,
                "--data",
                &data,
                "--passphrase-file",
                &passphrase,
            ]);
            identities.push((node, made["identity"].as_str().expect("an identity").to_owned()));
        }
        let keys = PEOPLE.map(|name| {
            let made = cluster.json(&["client", "keygen", "--name", name, "--out", &format!("{name}.pem")]);
            (name, made["public_key"].as_str().expect("a public key").to_owned())
        });
        for (index, (node, api)) in cluster.nodes.iter().map(|node| (node.name, node.api)).enumerate() {
            let mut text = format!(
                "name = \"{node}\"\ndata = \"data\"\n[listen]\npeers = \"{}\"\napi = \"{api}\"\n[seal]\npassphrase_file = \"passphrase\"\n[pool]\nhigh = 0\n[limits]\n{limits}\n",
                peers[index]
            );
            for (other, (name, identity)) in
                identities.iter().enumerate().filter(|(other, _)| *other != index)
            {
                let address = peers[other];
                text.push_str(&format!(
                    "[[peers]]\nname = \"{name}\"\naddress = \"{address}\"\nidentity = \"{identity}\"\n"
                ));
            }
            fs::write(cluster.path(node).join("base.toml"), text).expect("the folder is writable");
        }
        (cluster, identities, keys.to_vec())
    }

    fn config(&self, node: &Node) -> String {
        fs::read_to_string(self.path(node.name).join("base.toml")).expect("it was written")
    }

    fn up(&mut self) {
        for index in 0..self.nodes.len() {
            let home = self.path(self.nodes[index].name);
            let log = fs::File::create(home.join("log")).expect("the folder is writable");
            let mut command = self.command();
            command
                .args(["node", "run", "--config"])
                .arg(home.join("quorate.toml"))
                .stderr(log)
                .stdout(Stdio::null());
            self.nodes[index].child = Some(command.spawn().expect("the program starts"));
        }
        let begun = Instant::now();
        while !self.nodes.iter().all(|node| self.sees_all(node)) {
            assert!(begun.elapsed() < TIMEOUT, "the nodes do not come up:\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn sees_all(&self, node: &Node) -> bool {
        let said = self.try_run(&["node", "status", "-o", "json", "--node", &format!("http://{}", node.api)]);
        let status: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        status["peers"]
            .as_array()
            .is_some_and(|peers| peers.len() == 2 && peers.iter().all(|p| p["connected"] == true))
    }

    /// The address of the first node.
    pub fn url(&self) -> String {
        format!("http://{}", self.nodes[0].api)
    }

    /// A place in the cluster's folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names and key files of the clients.
    pub fn clients(&self) -> Vec<(&'static str, PathBuf)> {
        PEOPLE.into_iter().map(|name| (name, self.path(format!("{name}.pem")))).collect()
    }

    /// Runs the command line in the cluster's folder, as `alice` at the first node unless the arguments say otherwise.
    ///
    /// # Panics
    /// If it fails.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.run(&[arguments, &["-o", "json"]].concat());
        serde_json::from_slice(&said.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {said:?}"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let said = self.try_run(arguments);
        assert!(said.status.success(), "{arguments:?}: {said:?}\n{}", self.logs());
        said
    }

    fn try_run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.env("QUORATE_NODE", self.url()).env("QUORATE_CLIENT", PEOPLE[0]);
        command.env("QUORATE_CLIENT_KEY", self.path("alice.pem"));
        command.args(arguments).output().expect("the program starts")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(crate::tool("QUORATE_TEST_BINARY", "cargo build -p quorate"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUORATE")) {
            command.env_remove(name);
        }
        command
            .env("QUORATE_CONTEXTS", self.path("none"))
            .stdin(Stdio::null())
            .current_dir(self.folder.path());
        command
    }

    /// The last lines of each node's log.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let log = fs::read_to_string(self.path(node.name).join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            text.push_str(&format!(
                "--- {}\n{}\n",
                node.name,
                lines[lines.len().saturating_sub(12)..].join("\n")
            ));
        }
        text
    }

    /// Names of nodes that have ended.
    pub fn ended(&mut self) -> Vec<&'static str> {
        let ended =
            |node: &mut Node| node.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
        self.nodes.iter_mut().filter_map(|node| ended(node).then_some(node.name)).collect()
    }
}

/// Below the ports that the system gives to outgoing connections, and never twice in a process.
fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = u16::try_from(std::process::id() % 400).unwrap_or_default() * 30;
    loop {
        let port = 20_000 + base.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

//! A cluster of node processes on loopback, each with its own folder, identity and sealed store: what `demo` and `dev` run on. It begins
//! with three; nodes can be added, removed and lose their disks.

use anyhow::{Context as _, bail, ensure};
use quorate_api::client::Client;
use quorate_api::{ClientAlgorithm, ClientKey, ClientPublicKey, Hex};
use quorate_node::config::{Backup, Client as EnrolledClient, Config, Limits, Listen, Peer, Pool, Seal};
use quorate_policy::change::{AdminRule, Step};
use quorate_policy::directory::PrincipalKind;
use quorate_policy::genesis::Terms;
use quorate_policy::name::Name;
use quorate_seal::PassphraseSource;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Names of the nodes.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];
/// Name of the client that the nodes know.
pub(crate) const CLIENT: &str = "operator";
/// How long a node may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// How long a node may take to end by itself.
const GONE_WITHIN: Duration = Duration::from_secs(8);

/// One node of the cluster.
#[derive(Debug)]
pub(crate) struct LocalNode {
    /// Its name.
    pub(crate) name: String,
    /// Its folder, with configuration, passphrase, data and log.
    pub(crate) folder: PathBuf,
    /// Where its REST interface listens.
    pub(crate) api: SocketAddr,
    /// Where other nodes reach it.
    pub(crate) peers: SocketAddr,
    /// Its public identity.
    pub(crate) identity: String,
    process: Option<Child>,
}

/// The nodes and the client that they know.
#[derive(Debug)]
pub(crate) struct LocalCluster {
    /// The nodes.
    pub(crate) nodes: Vec<LocalNode>,
    /// The file with the client's private key.
    pub(crate) client_key: PathBuf,
    /// How the nodes back up, once they are configured.
    pub(crate) backup: Option<Backup>,
    /// How its nodes keep presignatures.
    pub(crate) pool: Pool,
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut f| f.write_all(content)).with_context(|| format!("cannot write `{}`", path.display()))
}

/// Makes a client key and writes its private half to a file.
pub(crate) fn new_client_key(path: &Path) -> anyhow::Result<ClientPublicKey> {
    let mut entropy = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *entropy).context("the operating system gave no random bytes")?;
    let key = ClientKey::from_entropy(ClientAlgorithm::Ed25519, &entropy)?;
    write_private(path, key.to_pem()?.as_bytes())?;
    Ok(key.public_key())
}

fn random_hex() -> anyhow::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *bytes).context("the operating system gave no random bytes")?;
    Ok(Zeroizing::new(hex::encode(*bytes)))
}

/// Free ports, all different. Below those that the system gives to outgoing connections, so that a node that was stopped finds its
/// own again.
fn free_ports(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    const FIRST: u16 = 10_000;
    const LAST: u16 = 32_000;
    let mut random = [0u8; 2];
    getrandom::fill(&mut random).context("the operating system gave no random bytes")?;
    let start = u16::from_le_bytes(random) % (LAST - FIRST);
    let mut listeners = Vec::with_capacity(count);
    for port in (FIRST + start..LAST).chain(FIRST..FIRST + start) {
        if listeners.len() == count {
            break;
        }
        // Kept until all are chosen.
        listeners.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    }
    ensure!(listeners.len() == count, "no free port on loopback between {FIRST} and {LAST}");
    listeners.iter().map(|l| Ok(l.local_addr()?)).collect()
}

impl LocalCluster {
    /// Makes the folders, identities, passphrases, client key and configurations of three nodes below `folder`.
    pub(crate) async fn create(folder: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let client_key = folder.join("operator.pem");
        new_client_key(&client_key)?;
        let ports = free_ports(2 * NAMES.len())?;
        let mut nodes = Vec::new();
        for (name, ports) in NAMES.iter().zip(ports.chunks_exact(2)) {
            nodes.push(LocalNode::make(folder, name, ports).await?);
        }
        let cluster = Self { nodes, client_key, backup: None, pool: Pool::default() };
        cluster.configure()?;
        Ok(cluster)
    }

    /// Whether the nodes are under a genesis.
    fn genesis(&self) -> Option<PathBuf> {
        self.nodes.iter().map(|node| node.folder.join("genesis.json")).find(|file| file.exists())
    }

    /// Writes the configuration of every node, with all others as they are now.
    pub(crate) fn configure(&self) -> anyhow::Result<()> {
        let key = crate::connection::read_client_key(&self.client_key)?.public_key();
        let enrolled = EnrolledClient { name: CLIENT.to_owned(), key: key.to_string() };
        let governed = self.genesis().is_some();
        for node in &self.nodes {
            let mut config = self.config_of(node, &enrolled);
            if governed {
                config.genesis = Some(PathBuf::from("genesis.json"));
                config.clients.clear();
            }
            let path = node.folder.join("quorate.toml");
            let fresh = node.folder.join("quorate.toml.new");
            write_private(&fresh, config.to_toml()?.as_bytes())?;
            fs::rename(&fresh, &path)?;
        }
        Ok(())
    }

    /// Puts the cluster, which has not been started, under a genesis with these admins, first steps and policies; the client becomes
    /// a service of the same name.
    pub(crate) async fn govern(&self, admins: AdminRule, steps: Vec<Step>) -> anyhow::Result<()> {
        let client = crate::connection::read_client_key(&self.client_key)?;
        let service: Name = CLIENT.parse()?;
        let mut first = vec![
            Step::AddPrincipal { name: service.clone(), kind: PrincipalKind::Service, tenant: None },
            Step::AddCredential {
                name: service.clone(),
                principal: service,
                with: client.public_key().into(),
            },
        ];
        first.extend(steps);
        let nodes = self.nodes.iter().map(|node| {
            Ok((node.name.clone(), Hex::try_from(node.identity.clone()).map_err(anyhow::Error::msg)?))
        });
        let nodes = nodes.collect::<anyhow::Result<_>>()?;
        let terms = Terms { version: 1, cluster: "local".parse()?, nodes, admins, steps: first };
        let mut genesis = crate::commands::cluster::draft(&terms)?;
        for node in &self.nodes {
            let passphrase = PassphraseSource::File(node.folder.join("passphrase")).read()?;
            quorate_node::sign_genesis(&node.folder.join("data"), passphrase, &mut genesis).await?;
        }
        for node in &self.nodes {
            write_private(&node.folder.join("genesis.json"), &serde_json::to_vec(&genesis)?)?;
        }
        self.configure()
    }

    /// The address of a node's REST interface.
    pub(crate) fn url(&self, name: &str) -> anyhow::Result<String> {
        let node = self.nodes.iter().find(|node| node.name == name);
        Ok(format!("http://{}", node.with_context(|| format!("there is no node `{name}`"))?.api))
    }

    fn config_of(&self, node: &LocalNode, client: &EnrolledClient) -> Config {
        let others = self.nodes.iter().filter(|other| other.name != node.name);
        Config {
            genesis: None,
            trusted_proxies: Vec::new(),
            name: node.name.clone(),
            data: PathBuf::from("data"),
            listen: Listen { peers: node.peers, api: node.api },
            tls: None,
            host: Default::default(),
            seal: Seal { passphrase_file: Some(PathBuf::from("passphrase")), ..Seal::default() },
            breaker: Default::default(),
            keys: Default::default(),
            limits: Limits {
                // One person on one machine: what is measured with this cluster is the cluster, not the limit of its only client.
                requests_per_second: 100_000,
                requests_burst: 100_000,
                ..Limits::default()
            },
            log: Default::default(),
            telemetry: Default::default(),
            chains: Default::default(),
            peers: others
                .map(|other| Peer {
                    name: other.name.clone(),
                    address: other.peers.to_string(),
                    identity: other.identity.clone(),
                })
                .collect(),
            clients: vec![client.clone()],
            presign: None,
            pool: self.pool.clone(),
            webhooks: Vec::new(),
            backup: self.backup.clone(),
            refresh: Default::default(),
        }
    }

    /// The node of that name.
    pub(crate) fn node(&mut self, name: &str) -> anyhow::Result<&mut LocalNode> {
        self.nodes.iter_mut().find(|n| n.name == name).with_context(|| format!("there is no node `{name}`"))
    }

    /// A client of one node.
    pub(crate) fn client(&self, name: &str) -> anyhow::Result<Client> {
        let node = self
            .nodes
            .iter()
            .find(|n| n.name == name)
            .with_context(|| format!("there is no node `{name}`"))?;
        let key = crate::connection::read_client_key(&self.client_key)?;
        Ok(Client::new(&format!("http://{}", node.api), CLIENT, key)?)
    }

    /// Waits until the node of that name sees `peers` others.
    pub(crate) async fn wait_ready(&mut self, name: &str, peers: usize) -> anyhow::Result<()> {
        let client = self.client(name)?;
        let started = Instant::now();
        loop {
            let connected =
                client.nodes().await.map(|status| status.peers.iter().filter(|p| p.connected).count());
            if connected.as_ref().is_ok_and(|n| *n >= peers) {
                return Ok(());
            }
            let node = self.node(name)?;
            if let Some(status) = node.process.as_mut().and_then(|p| p.try_wait().ok().flatten()) {
                bail!("node `{name}` ended with {status}; its last words:\n{}", node.last_words());
            }
            if started.elapsed() > READY_WITHIN {
                let seen =
                    connected.map_or_else(|e| e.to_string(), |n| format!("it sees {n} of {peers} peers"));
                bail!("node `{name}` was not ready in time: {seen}; its last words:\n{}", node.last_words());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until one node has noticed that another is gone.
    pub(crate) async fn wait_gone(&self, name: &str, gone: &str) -> anyhow::Result<()> {
        let client = self.client(name)?;
        let started = Instant::now();
        while started.elapsed() < READY_WITHIN {
            let status = client.nodes().await?;
            if status.peers.iter().any(|p| p.name == gone && !p.connected) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        bail!("node `{name}` does not notice that `{gone}` is gone")
    }
}

impl LocalCluster {
    /// Makes one more node, which knows all others and is not started. In a cluster without a directory the others know it once they
    /// are [told](Self::tell); in one with a directory the admins have to let it in.
    pub(crate) async fn add(&mut self, name: &str) -> anyhow::Result<&mut LocalNode> {
        ensure!(self.nodes.iter().all(|node| node.name != name), "there is a node `{name}` already");
        let folder = self.client_key.parent().context("the cluster has no folder")?;
        let node = LocalNode::make(folder, name, &free_ports(2)?).await?;
        if let Some(genesis) = self.genesis() {
            fs::copy(genesis, node.folder.join("genesis.json"))?;
        }
        self.nodes.push(node);
        self.configure()?;
        self.node(name)
    }

    /// Takes a node out of the configurations of the others, and kills it.
    pub(crate) fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        self.node(name)?.kill();
        self.nodes.retain(|node| node.name != name);
        self.configure()
    }

    /// A node loses its disk: it is killed, its data folder is gone, and a fresh one with another identity, which is given back, is made
    /// in its place. It is not started.
    pub(crate) async fn wipe(&mut self, name: &str) -> anyhow::Result<String> {
        let node = self.node(name)?;
        node.kill();
        fs::remove_dir_all(node.folder.join("data"))?;
        let passphrase = PassphraseSource::File(node.folder.join("passphrase")).read()?;
        let report = quorate_node::init(&node.folder.join("data"), name, passphrase).await?;
        let identity = report.identity.to_string();
        node.identity.clone_from(&identity);
        self.configure()?;
        Ok(identity)
    }

    /// All nodes are killed, and everything that was on their machines is gone. The client keeps its key.
    pub(crate) fn lose_everything(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            node.kill();
            fs::remove_dir_all(&node.folder)?;
        }
        self.nodes.clear();
        Ok(())
    }

    /// Fresh machines with identities of their own, which are not started.
    pub(crate) async fn begin_anew(&mut self, names: &[String]) -> anyhow::Result<()> {
        let folder = self.client_key.parent().context("the cluster has no folder")?.to_owned();
        let ports = free_ports(names.len().saturating_mul(2))?;
        for (name, ports) in names.iter().zip(ports.chunks_exact(2)) {
            self.nodes.push(LocalNode::make(&folder, name, ports).await?);
        }
        self.configure()
    }

    /// Lets every node that runs read its configuration again (SIGHUP).
    pub(crate) fn tell(&self) -> anyhow::Result<()> {
        for process in self.nodes.iter().filter_map(|node| node.process.as_ref()) {
            let told = Command::new("kill").args(["-HUP", &process.id().to_string()]).status()?;
            ensure!(told.success(), "a node cannot be told to read its configuration again");
        }
        Ok(())
    }
}

impl LocalNode {
    /// Makes the folder, passphrase and identity of a node.
    async fn make(folder: &Path, name: &str, ports: &[SocketAddr]) -> anyhow::Result<Self> {
        let [peers, api] = ports else { bail!("ports come in pairs") };
        let home = folder.join(name);
        fs::DirBuilder::new().mode(0o700).create(&home)?;
        write_private(&home.join("passphrase"), random_hex()?.as_bytes())?;
        let passphrase = PassphraseSource::File(home.join("passphrase")).read()?;
        let report = quorate_node::init(&home.join("data"), name, passphrase).await?;
        Ok(Self {
            name: name.to_owned(),
            folder: home,
            api: *api,
            peers: *peers,
            identity: report.identity.to_string(),
            process: None,
        })
    }

    /// Starts the node as a process of its own; its log goes to `log` in its folder.
    pub(crate) fn start(&mut self) -> anyhow::Result<u32> {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("log"))?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        // What is set for a node of the user's own must not change this one.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"QUORATE_"))
        {
            command.env_remove(name);
        }
        let child = command
            .args(["node", "run", "--config"])
            .arg(self.folder.join("quorate.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start node `{}`", self.name))?;
        let pid = child.id();
        self.process = Some(child);
        Ok(pid)
    }

    /// Kills the node at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            // An error means that it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the node to end (SIGTERM) and waits for it; kills it if it does not.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.process.take() else { return };
        let asked =
            Command::new("kill").args(["-TERM", &child.id().to_string()]).status().is_ok_and(|s| s.success());
        let started = Instant::now();
        while asked && started.elapsed() < GONE_WITHIN {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    fn last_words(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(self.folder.join("log")) {
            let _ = file.read_to_string(&mut text);
        }
        let lines: Vec<_> = text.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        self.kill();
    }
}

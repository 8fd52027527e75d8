//! A cluster of node processes, and the command line as its client. Everything that is started ends when its handle is dropped.

use quorate_api::client::{Client, ClientError};
use quorate_api::intent::{Intent, Purpose, Scheme};
use quorate_api::{ClientAlgorithm, ClientKey, CreateKey, KeyId, Operation, OperationResult, Sign};
use quorate_seal::{Params, PassphraseSource};
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];
pub(crate) const CLIENT: &str = "operator";
/// How long anything in these tests may take before it counts as hanging.
pub(crate) const HANGS: Duration = Duration::from_secs(60);
/// What a request may wait for: above the node's own deadline of a ceremony.
pub(crate) const WAIT: Duration = Duration::from_secs(40);

/// Clusters are heavy and some tests measure times: two at once.
static PLACES: (Mutex<usize>, Condvar) = (Mutex::new(2), Condvar::new());

/// A test that may start processes.
pub(crate) struct Place(());

impl Place {
    pub(crate) fn take() -> Self {
        let free = PLACES.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = PLACES.1.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Self(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *PLACES.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        PLACES.1.notify_one();
    }
}

/// Ports below those that the system gives to outgoing connections, so that a killed node finds its own again.
pub(crate) fn port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + u16::try_from(std::process::id() % 600).unwrap() * 20;
    loop {
        let port = base.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000 + 20_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The program, without what the caller's environment says about it.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUORATE")) {
        command.env_remove(name);
    }
    command.env("QUORATE_CONTEXTS", "/nonexistent/contexts.toml").stdin(Stdio::null());
    command
}

/// A process that does not outlive the test.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn terminate(pid: u32) {
    assert!(Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap().success());
}

/// Waits for a child, which must not hang.
pub(crate) fn ended(child: &mut Child, within: Duration) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < within, "the process has not ended within {within:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Ran {
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error as programs see it.
    pub(crate) fn error(&self) -> Value {
        let error: Value =
            serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        error["error"].clone()
    }
}

/// Runs a command to its end, which must come.
pub(crate) fn run(command: &mut Command) -> Ran {
    run_within(command, HANGS)
}

/// The same for one that has more to do.
pub(crate) fn run_within(command: &mut Command, within: Duration) -> Ran {
    let begun = Instant::now();
    let mut child = Guard(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let out = reader(child.0.stdout.take().unwrap());
    let err = reader(child.0.stderr.take().unwrap());
    let status = ended(&mut child.0, within);
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    Ran { code: status.code().unwrap_or(-1), out, err, took: begun.elapsed() }
}

fn reader(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        from.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    })
}

pub(crate) fn write_private(path: &Path, content: &[u8]) {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).unwrap().write_all(content).unwrap();
}

/// One node.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) home: PathBuf,
    pub(crate) api: SocketAddr,
    pub(crate) peers: SocketAddr,
    pub(crate) identity: String,
    /// Variables that the node is started with.
    pub(crate) environment: Vec<(String, String)>,
    child: Option<Guard>,
}

impl Node {
    /// One that a command made.
    pub(crate) fn made(
        name: &'static str,
        home: PathBuf,
        api: SocketAddr,
        peers: SocketAddr,
        identity: String,
    ) -> Self {
        Self { name, home, api, peers, identity, environment: Vec::new(), child: None }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.home.join("quorate.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.api)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").0.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    pub(crate) fn start(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.home.join("log")).unwrap();
        let child = program()
            .args(["node", "run", "--config"])
            .arg(self.config())
            .envs(self.environment.clone())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(Guard(child));
    }

    /// As a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child = None;
    }

    /// SIGTERM; gives how and after how long it ended.
    pub(crate) fn stop(&mut self) -> (ExitStatus, Duration) {
        let mut child = self.child.take().expect("the node runs");
        let begun = Instant::now();
        terminate(child.0.id());
        (ended(&mut child.0, HANGS), begun.elapsed())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.0.try_wait().unwrap().is_none())
    }

    /// Runs the node in the foreground, where it is expected to refuse to start.
    pub(crate) fn run_refused(&self, environment: &[(&str, String)]) -> Ran {
        let mut command = program();
        command.args(["node", "run", "--config"]).arg(self.config()).envs(self.environment.clone());
        run(command.envs(environment.iter().map(|(name, value)| (name, value))))
    }

    /// Names of the peers that the node is connected to.
    pub(crate) fn connected(&self) -> Vec<&'static str> {
        let Some(text) = get(self.api, "/metrics") else { return Vec::new() };
        let up = |name: &str| text.contains(&format!("quorate_peer_up{{peer=\"{name}\"}} 1"));
        NAMES.into_iter().filter(|name| up(name)).collect()
    }

    pub(crate) fn wait_connected(&mut self, wanted: &[&str]) {
        let begun = Instant::now();
        loop {
            let connected = self.connected();
            if wanted.iter().all(|name| connected.contains(name)) && get(self.api, "/healthz").is_some() {
                return;
            }
            assert!(self.is_running(), "node {} has ended:\n{}", self.name, self.log());
            assert!(
                begun.elapsed() < HANGS,
                "node {} sees {connected:?} and not {wanted:?}:\n{}",
                self.name,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// An unsigned GET; `None` if nobody answers. Gives head and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).ok()?;
    (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Three nodes that know each other and one client.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) folder: TempDir,
    pub(crate) runtime: Runtime,
    /// Everything that the command line said.
    pub(crate) said: Mutex<Vec<String>>,
    _place: Place,
}

impl Cluster {
    /// Folders, identities and configurations; nothing runs yet. `limits` is the TOML of that section.
    pub(crate) fn prepare(limits: &str) -> Self {
        let place = Place::take();
        let runtime = Runtime::new().unwrap();
        let folder = TempDir::with_prefix("quorate-process-").unwrap();
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).unwrap();
        let client = ClientKey::from_entropy(ClientAlgorithm::Ed25519, &entropy).unwrap();
        write_private(&folder.path().join("operator.pem"), client.to_pem().unwrap().as_bytes());
        let nodes: Vec<Node> = NAMES
            .into_iter()
            .map(|name| {
                let home = folder.path().join(name);
                fs::create_dir(&home).unwrap();
                let mut secret = [0; 24];
                getrandom::fill(&mut secret).unwrap();
                write_private(&home.join("passphrase"), hex::encode(secret).as_bytes());
                let passphrase = PassphraseSource::File(home.join("passphrase")).read().unwrap();
                // The least costs that a node accepts: these tests start many.
                let data = home.join("data");
                let made = quorate_node::init_with(&data, name, passphrase, Params::FLOOR);
                let identity = runtime.block_on(made).unwrap().identity.to_string();
                Node {
                    name,
                    home,
                    api: port(),
                    peers: port(),
                    identity,
                    environment: Vec::new(),
                    child: None,
                }
            })
            .collect();
        let cluster = Self { nodes, folder, runtime, said: Mutex::default(), _place: place };
        for node in &cluster.nodes {
            let mut text = format!(
                "name = \"{}\"\ndata = \"data\"\n[listen]\npeers = \"{}\"\napi = \"{}\"\n[seal]\npassphrase_file = \"passphrase\"\n[pool]\nhigh = 0\n[limits]\n{limits}\n",
                node.name, node.peers, node.api
            );
            for other in cluster.nodes.iter().filter(|other| other.name != node.name) {
                text.push_str(&format!(
                    "[[peers]]\nname = \"{}\"\naddress = \"{}\"\nidentity = \"{}\"\n",
                    other.name, other.peers, other.identity
                ));
            }
            text.push_str(&format!("[[clients]]\nname = \"{CLIENT}\"\nkey = \"{}\"\n", client.public_key()));
            fs::write(node.config(), text).unwrap();
        }
        cluster
    }

    /// A cluster that is up.
    pub(crate) fn start(limits: &str) -> Self {
        let mut cluster = Self::prepare(limits);
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster.wait_connected();
        cluster
    }

    /// Waits until every node is connected to every other.
    pub(crate) fn wait_connected(&mut self) {
        for node in &mut self.nodes {
            let others: Vec<&str> = NAMES.into_iter().filter(|name| *name != node.name).collect();
            node.wait_connected(&others);
        }
    }

    pub(crate) fn client_key(&self) -> PathBuf {
        self.folder.path().join("operator.pem")
    }

    /// The command line as the enrolled client of one node, printing JSON.
    pub(crate) fn cli(&self, node: usize, arguments: &[&str]) -> Ran {
        self.cli_as(node, CLIENT, &self.client_key(), arguments)
    }

    pub(crate) fn cli_as(&self, node: usize, client: &str, key: &Path, arguments: &[&str]) -> Ran {
        let mut command = program();
        command.args(arguments).args(["-o", "json", "--wait", "40s", "--node", &self.nodes[node].url()]);
        let ran = run(command.args(["--client", client, "--client-key"]).arg(key));
        self.said.lock().unwrap().extend([ran.out.clone(), ran.err.clone()]);
        ran
    }

    pub(crate) fn client(&self, node: usize) -> Arc<Client> {
        let pem = fs::read_to_string(self.client_key()).unwrap();
        let key = ClientKey::from_pem(&pem).unwrap();
        Arc::new(Client::new(&self.nodes[node].url(), CLIENT, key).unwrap())
    }

    /// A 2-of-3 key for plain messages.
    pub(crate) fn create(&self, node: usize, scheme: Scheme) -> KeyId {
        let repeat = fresh();
        let client = self.client(node);
        let done = self.runtime.block_on(client.create_key(&create(scheme), &repeat, WAIT));
        created(&done.unwrap_or_else(|error| panic!("{error}\n{}", self.logs())))
    }

    /// Signs a fresh message and verifies the signature by the command line, with libraries that share no code with the signers.
    pub(crate) fn sign(
        &self,
        node: usize,
        key: &KeyId,
        quorum: Option<&[&str]>,
    ) -> Result<Operation, ClientError> {
        let client = self.client(node);
        let message = fresh();
        let done = self.runtime.block_on(client.sign(key, &sign(&message, quorum), &message, WAIT))?;
        self.verify(&done);
        Ok(done)
    }

    pub(crate) fn must_sign(&self, node: usize, key: &KeyId, quorum: Option<&[&str]>) -> Operation {
        self.sign(node, key, quorum)
            .unwrap_or_else(|error| panic!("{} does not sign: {error}\n{}", NAMES[node], self.logs()))
    }

    pub(crate) fn verify(&self, operation: &Operation) {
        let file = self.folder.path().join("operation.json");
        fs::write(&file, serde_json::to_vec(operation).unwrap()).unwrap();
        run(program().args(["key", "verify", "--result"]).arg(format!("@{}", file.display()))).ok();
    }

    /// The last lines of each node's log.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let log = node.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(12)..];
            text.push_str(&format!("--- {}\n{}\n", node.name, tail.join("\n")));
        }
        text
    }
}

pub(crate) fn fresh() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    hex::encode(bytes)
}

pub(crate) fn create(scheme: Scheme) -> CreateKey {
    CreateKey {
        scheme,
        threshold: Some(2),
        access: None,
        parties: None,
        purposes: Some(vec![Purpose::Message]),
        label: None,
    }
}

pub(crate) fn sign(message: &str, quorum: Option<&[&str]>) -> Sign {
    let quorum = quorum.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    Sign { intent: Intent::Message { message: hex::encode(message) }, path: None, quorum }
}

pub(crate) fn created(operation: &Operation) -> KeyId {
    match &operation.result {
        Some(OperationResult::CreateKey { key, .. }) => key.id.clone(),
        other => panic!("no key was created: {other:?}"),
    }
}

/// The whole result, as programs read it.
pub(crate) fn result(operation: &Operation) -> Value {
    serde_json::to_value(operation.result.as_ref().expect("a result")).unwrap()
}

/// The signatures of a result, in hex.
pub(crate) fn signatures(operation: &Operation) -> Vec<String> {
    match &operation.result {
        Some(OperationResult::Sign(result)) => {
            result.signatures.iter().map(|s| s.signature.to_string()).collect()
        }
        other => panic!("nothing was signed: {other:?}"),
    }
}

/// Small numbers that look random and are the same in every run.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    /// From 0 to 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap()) / f64::from(u32::MAX)
    }
}

impl Cluster {
    /// The identity of a node that nobody runs.
    pub(crate) fn stranger(cluster: &Self) -> String {
        let home = cluster.folder.path().join("stranger");
        fs::create_dir(&home).unwrap();
        write_private(&home.join("passphrase"), b"a stranger");
        let passphrase = PassphraseSource::File(home.join("passphrase")).read().unwrap();
        let data = home.join("data");
        let made = quorate_node::init_with(&data, "stranger", passphrase, Params::FLOOR);
        cluster.runtime.block_on(made).unwrap().identity.to_string()
    }
}

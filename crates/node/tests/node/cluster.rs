//! A cluster of nodes in this process.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_body_util::BodyExt as _;
use quorate_api::client::{Client, ClientError};
use quorate_api::intent::{Purpose, Scheme, build};
use quorate_api::{
    ClientAlgorithm, ClientKey, CreateKey, Key, KeyId, Operation, OperationResult, Problem, Sign, SignResult,
};
use quorate_net::fault::Losses;
use quorate_node::config::{self, Config, Limits, Listen, Seal};
use quorate_node::{Node, PeerId, init_with};
use quorate_seal::{Params, Passphrase};
use quorate_store::fault::Faults;
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(crate) const WAIT: Duration = Duration::from_secs(30);
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";
pub(crate) const CLIENT: &str = "alice";

pub(crate) struct Cluster {
    pub(crate) folders: Vec<TempDir>,
    pub(crate) configs: Vec<Config>,
    pub(crate) identities: Vec<PeerId>,
    pub(crate) nodes: Vec<Option<Node>>,
    /// Folders of machines that are gone.
    pub(crate) kept: Vec<TempDir>,
}

pub(crate) fn client_key(seed: u8) -> ClientKey {
    ClientKey::from_entropy(ClientAlgorithm::Ed25519, &[seed; 32]).unwrap()
}

pub(crate) fn passphrase() -> Passphrase {
    Passphrase::new(Zeroizing::new(PASSPHRASE.as_bytes().to_vec())).unwrap()
}

/// Below the ports that the system gives to outgoing connections, so that a stopped node finds its own again.
pub(crate) fn free_address() -> SocketAddr {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let port = 10_000 + (base + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

pub(crate) fn quick_limits() -> Limits {
    Limits { shutdown_grace: Duration::from_secs(2), ..Limits::default() }
}

impl Cluster {
    /// Makes the folders and configurations of `n` nodes `a`, `b`, `c` … that know each other and the client.
    pub(crate) async fn prepare(n: usize) -> Self {
        let mut this = Self {
            folders: Vec::new(),
            configs: Vec::new(),
            identities: Vec::new(),
            nodes: Vec::new(),
            kept: Vec::new(),
        };
        for letter in ('a'..='z').take(n) {
            this.machine(&format!("node-{letter}")).await;
        }
        for at in 0..n {
            this.configs[at].peers = this.peers_of(at);
        }
        this
    }

    /// Makes the folder and configuration of one more node, without peers; its place among the others.
    pub(crate) async fn machine(&mut self, name: &str) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passphrase");
        std::fs::write(&file, PASSPHRASE).unwrap();
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let data = folder.path().join("data");
        let report = init_with(&data, name, passphrase(), Params::FLOOR).await.unwrap();
        self.identities.push(report.identity);
        self.configs.push(Config {
            name: name.to_owned(),
            data,
            genesis: None,
            trusted_proxies: Vec::new(),
            listen: Listen { peers: free_address(), api: "127.0.0.1:0".parse().unwrap() },
            tls: None,
            host: Default::default(),
            seal: Seal { passphrase_file: Some(file), ..Seal::default() },
            limits: quick_limits(),
            breaker: config::Breaker::default(),
            refresh: config::Refresh::default(),
            keys: config::Keys::default(),
            // What nodes do by themselves would disturb what tests count.
            pool: config::Pool { high: 0, ..config::Pool::default() },
            log: config::Log::default(),
            telemetry: config::Telemetry::default(),
            chains: config::Chains::default(),
            peers: Vec::new(),
            presign: None,
            webhooks: Vec::new(),
            backup: None,
            clients: vec![config::Client {
                name: CLIENT.to_owned(),
                key: client_key(1).public_key().to_string(),
            }],
        });
        self.folders.push(folder);
        self.nodes.push(None);
        self.nodes.len() - 1
    }

    /// All others, as a node's configuration has them.
    pub(crate) fn peers_of(&self, at: usize) -> Vec<config::Peer> {
        let others = (0..self.configs.len()).filter(|other| *other != at);
        others
            .map(|other| config::Peer {
                name: self.configs[other].name.clone(),
                address: self.configs[other].listen.peers.to_string(),
                identity: self.identities[other].to_string(),
            })
            .collect()
    }

    /// A running, connected cluster.
    pub(crate) async fn start(n: usize) -> Self {
        let mut this = Self::prepare(n).await;
        this.start_all().await;
        this
    }

    /// The same, of nodes that hold nothing against each other from one request to the next, so that every request meets a liar anew.
    pub(crate) async fn forgetful(n: usize) -> Self {
        let mut this = Self::prepare(n).await;
        for config in &mut this.configs {
            config.limits.suspicion_half_life = Duration::ZERO;
        }
        this.start_all().await;
        this
    }

    pub(crate) async fn start_all(&mut self) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_none() {
                self.start_node(at).await;
            }
        }
        for node in self.nodes.iter().flatten() {
            node.wait_connected(Duration::from_secs(10)).await.unwrap();
        }
    }

    pub(crate) async fn start_node(&mut self, at: usize) {
        self.nodes[at] = Some(Node::start(self.configs[at].clone()).await.unwrap());
    }

    /// Breaks a node off without any order, and starts it again from what is on its disk, once the last of it has let go of that. When the
    /// faults say that the new one dies, nothing leaves it any more.
    pub(crate) async fn die_and_start(&mut self, at: usize, faults: &Faults) {
        drop(self.nodes[at].take());
        let until = Instant::now() + Duration::from_secs(20);
        self.nodes[at] = Some(loop {
            let dead = faults.clone();
            let silent = Losses::of(move |_| dead.is_dead());
            match Node::start_with_losses(self.configs[at].clone(), faults.clone(), silent).await {
                Ok(node) => break node,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
    }

    pub(crate) async fn stop(&mut self, at: usize) {
        self.nodes[at].take().unwrap().shutdown().await;
    }

    /// The URL of a node.
    pub(crate) fn url(&self, at: usize) -> String {
        format!("http://{}", self.nodes[at].as_ref().unwrap().api_addr())
    }

    /// Status and text of a path that needs no signature.
    pub(crate) async fn get(&self, at: usize, path: &str) -> (u16, String) {
        let http: hyper_util::client::legacy::Client<_, http_body_util::Empty<bytes::Bytes>> =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        let url = format!("{}{path}", self.url(at));
        let response = http.get(url.parse().unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The enrolled client at a node.
    pub(crate) fn client(&self, at: usize) -> Client {
        self.client_as(at, CLIENT, 1)
    }

    pub(crate) fn client_as(&self, at: usize, name: &str, seed: u8) -> Client {
        Client::new(&self.url(at), name, client_key(seed)).unwrap()
    }

    /// Creates a key at node 0.
    pub(crate) async fn create(&self, scheme: Scheme, threshold: u16, purposes: Option<Vec<Purpose>>) -> Key {
        let create = create_key(scheme, threshold, purposes);
        let operation = self.client(0).create_key(&create, &unique("create"), WAIT).await.unwrap();
        created(&operation)
    }

    pub(crate) async fn sign(&self, at: usize, key: &KeyId, text: &str) -> Result<SignResult, Problem> {
        let answer = self.client(at).sign(key, &message(text), &unique("sign"), WAIT).await;
        answer.map(|operation| signed(&operation)).map_err(problem)
    }
}

pub(crate) fn create_key(scheme: Scheme, threshold: u16, purposes: Option<Vec<Purpose>>) -> CreateKey {
    CreateKey {
        scheme,
        threshold: Some(threshold),
        access: None,
        parties: None,
        purposes,
        label: Some("test".to_owned()),
    }
}

pub(crate) fn message(text: &str) -> Sign {
    Sign { intent: build::message(text.as_bytes()), path: None, quorum: None }
}

/// An idempotency key that was not used before.
pub(crate) fn unique(what: &str) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A signed GET.
pub(crate) fn get_request(path: &str, client: &str, seed: u8) -> quorate_api::SignedRequest {
    let request = quorate_api::Request::new(quorate_api::Method::Get, path, client, now() + 60, "", vec![]);
    request.unwrap().sign(&client_key(seed))
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn created(operation: &Operation) -> Key {
    match operation.result.as_ref() {
        Some(OperationResult::CreateKey { key, .. }) => (**key).clone(),
        other => panic!("no key in {:?}: {other:?}", operation.status),
    }
}

pub(crate) fn signed(operation: &Operation) -> SignResult {
    match operation.result.as_ref() {
        Some(OperationResult::Sign(result)) => (**result).clone(),
        other => panic!("no signature in {:?}: {other:?}, {:?}", operation.status, operation.error),
    }
}

pub(crate) fn problem(error: ClientError) -> Problem {
    match error {
        ClientError::Problem(problem) => *problem,
        other => panic!("{other}"),
    }
}

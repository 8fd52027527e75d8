//! A cluster with a directory: changes, approvals, freezes, each decided by every node by itself.

use std::time::Duration;

use quorate_api::client::{Client, ClientError};
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{ChangeDirectory, Code, Hex, Key, Operation, OperationStatus, Problem, Scope, SetFreeze};
use quorate_node::sign_genesis;
use quorate_policy::change::{AdminRule, Step};
use quorate_policy::directory::{Members, PrincipalKind};
use quorate_policy::genesis::{GenesisFile, Terms};
use quorate_policy::name::Name;

use crate::cluster::{
    Cluster, WAIT, client_key, create_key, created, message, passphrase, problem, signed, unique,
};

const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn user(who: &str, seed: u8) -> [Step; 2] {
    [
        Step::AddPrincipal { name: name(who), kind: PrincipalKind::User, tenant: None },
        Step::AddCredential { name: name(who), principal: name(who), key: client_key(seed).public_key() },
    ]
}

fn members(who: &[&str]) -> Members {
    Members { principals: who.iter().map(|who| name(who)).collect(), groups: Default::default() }
}

/// Seeds of the people's keys.
const PEOPLE: [(&str, u8); 4] = [("alice", 1), ("bob", 2), ("carol", 3), ("dave", 4)];

/// alice, bob and carol are admins, of whom two decide; bob and carol are finance; dave is nobody.
fn steps(policies: &[(&str, &str)]) -> Vec<Step> {
    let mut steps: Vec<Step> = PEOPLE.iter().flat_map(|(who, seed)| user(who, *seed)).collect();
    steps.push(Step::SetGroup { name: name("admins"), members: members(&["alice", "bob", "carol"]) });
    steps.push(Step::SetGroup { name: name("finance"), members: members(&["bob", "carol"]) });
    let policy = |(id, text): &(&str, &str)| Step::SetPolicy { name: name(id), text: (*text).to_owned() };
    steps.extend(policies.iter().map(policy));
    steps
}

impl Cluster {
    /// A running cluster under a genesis with these policies.
    pub(crate) async fn governed(n: usize, policies: &[(&str, &str)]) -> Self {
        let mut this = Self::prepare(n).await;
        this.govern(policies).await;
        this.start_all().await;
        this
    }

    /// Puts a cluster that is not running under a genesis.
    pub(crate) async fn govern(&mut self, policies: &[(&str, &str)]) {
        let nodes = self.configs.iter().zip(&self.identities);
        let terms = Terms {
            version: 1,
            cluster: name("test"),
            nodes: nodes.map(|(config, id)| (config.name.clone(), Hex(id.as_bytes().to_vec()))).collect(),
            admins: AdminRule { quorum: "2 of Group::\"admins\"".parse().unwrap(), requester_counts: true },
            steps: steps(policies),
        };
        let mut genesis = GenesisFile::new(&terms).unwrap();
        for config in &self.configs {
            let name = sign_genesis(&config.data, passphrase(), &mut genesis).await.unwrap();
            assert_eq!(name, config.name);
        }
        let text = serde_json::to_string(&genesis).unwrap();
        for (config, folder) in self.configs.iter_mut().zip(&self.folders) {
            let file = folder.path().join("genesis.json");
            std::fs::write(&file, &text).unwrap();
            config.genesis = Some(file);
            config.clients.clear();
        }
    }

    pub(crate) fn as_user(&self, at: usize, who: &str) -> Client {
        let seed = PEOPLE.iter().find(|(name, _)| *name == who).unwrap().1;
        self.client_as(at, who, seed).valid_for(LONG)
    }

    pub(crate) async fn change(&self, at: usize, who: &str, steps: Vec<Step>) -> Result<Operation, Problem> {
        let client = self.as_user(at, who);
        let directory = client.directory().await.unwrap();
        let change =
            ChangeDirectory { base: directory.version, previous: directory.head, steps, reason: None };
        client.change_directory(&change, &unique("change"), Duration::ZERO).await.map_err(problem)
    }

    /// What a person says at a node about an operation, as that node shows it.
    pub(crate) async fn rule(
        &self,
        at: usize,
        who: &str,
        verdict: &str,
        operation: &Operation,
    ) -> Result<Operation, Problem> {
        let client = self.as_user(at, who);
        let shown = client.operation(&operation.id, Duration::ZERO).await.map_err(problem)?;
        let approvals = shown.approvals.or_else(|| operation.approvals.clone()).unwrap();
        let rule = approvals.rule(&operation.id, fresh(), None).unwrap();
        client.rule(&operation.id, verdict, &rule).await.map_err(problem)
    }

    pub(crate) async fn versions(&self, who: &str) -> Vec<u64> {
        let mut versions = Vec::new();
        for at in 0..self.nodes.len() {
            versions.push(self.as_user(at, who).directory().await.unwrap().version);
        }
        versions
    }
}

pub(crate) fn fresh() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) async fn until(mut done: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + WAIT;
    while !done().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn group(of: &[&str]) -> Vec<Step> {
    vec![Step::SetGroup { name: name("finance"), members: members(of) }]
}

/// A change waits for a second admin, whom every node counts by itself; then every node has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_needs_the_admins() {
    let mut cluster = Cluster::governed(3, &[]).await;
    let asked = cluster.change(0, "alice", group(&["bob", "carol", "dave"])).await.unwrap();
    assert_eq!(asked.status, OperationStatus::PendingApproval);
    let approvals = asked.approvals.clone().unwrap();
    assert_eq!(approvals.requester, "alice");
    assert_eq!((approvals.missing[0].count, approvals.missing[0].of.as_str()), (1, "Group::\"admins\""));
    assert_eq!(approvals.missing[0].candidates, ["bob", "carol"]);
    let words = approvals.summary.unwrap();
    assert!(words.details[0].contains("group finance is bob, carol, dave"), "{words}");
    // Whoever is no admin does not count, and the one who asked counts once.
    let refused = cluster.rule(0, "dave", "approve", &asked).await.unwrap_err();
    assert_eq!(refused.code, Code::Forbidden);
    assert!(refused.detail.contains("`dave`") && refused.detail.contains("admins"), "{}", refused.detail);
    let waits = cluster.rule(0, "alice", "approve", &asked).await.unwrap();
    assert_eq!(waits.status, OperationStatus::PendingApproval);
    assert_eq!(cluster.versions("alice").await, [0, 0, 0]);
    // Another admin, at another node.
    until(async || cluster.as_user(1, "bob").operation(&asked.id, Duration::ZERO).await.is_ok()).await;
    cluster.rule(1, "bob", "approve", &asked).await.unwrap();
    until(async || cluster.versions("alice").await == [1, 1, 1]).await;
    let done = cluster.as_user(0, "alice").operation(&asked.id, WAIT).await.unwrap();
    assert_eq!(done.status, OperationStatus::Succeeded);
    let late = cluster.rule(2, "carol", "approve", &asked).await;
    assert!(late.is_err(), "{late:?}");
    // Rejected by one of those who decide.
    let asked = cluster.change(0, "alice", group(&["bob"])).await.unwrap();
    cluster.rule(0, "carol", "reject", &asked).await.unwrap();
    let ended = cluster.as_user(0, "alice").operation(&asked.id, WAIT).await.unwrap();
    assert_eq!(ended.status, OperationStatus::Rejected);
    assert!(ended.error.unwrap().detail.contains("`carol` rejected it"));
    // A node that was away fetches what it misses, and every node has it after a restart.
    cluster.stop(2).await;
    let asked = cluster.change(0, "carol", group(&["bob", "carol"])).await.unwrap();
    cluster.rule(0, "bob", "approve", &asked).await.unwrap();
    cluster.start_all().await;
    until(async || cluster.versions("alice").await == [2, 2, 2]).await;
    for at in 0..3 {
        cluster.stop(at).await;
    }
    cluster.start_all().await;
    assert_eq!(cluster.versions("alice").await, [2, 2, 2]);
}

/// covers: S20: a change made for an older version is refused, however well it is signed and approved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_change_cannot_be_replayed() {
    let cluster = Cluster::governed(3, &[]).await;
    let first = cluster.change(0, "alice", group(&["bob"])).await.unwrap();
    let rival = cluster.change(1, "carol", group(&["carol"])).await.unwrap();
    cluster.rule(0, "bob", "approve", &first).await.unwrap();
    until(async || cluster.versions("alice").await == [1, 1, 1]).await;
    // The rival waits for the version before, and can never be approved.
    until(async || {
        let shown = cluster.as_user(1, "carol").operation(&rival.id, Duration::ZERO).await.unwrap();
        shown.status == OperationStatus::Rejected
    })
    .await;
    let shown = cluster.as_user(1, "carol").operation(&rival.id, Duration::ZERO).await.unwrap();
    assert_eq!(shown.error.unwrap().code, Code::DirectoryChanged);
    // Nobody locks everybody out.
    let alone = vec![Step::SetGroup { name: name("admins"), members: members(&["alice"]) }];
    let refused = cluster.change(0, "alice", alone).await.unwrap_err();
    assert_eq!(refused.code, Code::Unprocessable);
    assert!(refused.detail.contains("nobody could make another one"), "{}", refused.detail);
}

/// Any admin freezes alone and at once, everywhere; only the admins together lift it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_admin_freezes_and_two_thaw() {
    let cluster = Cluster::governed(3, &[("all", ALL)]).await;
    let key = create(&cluster, "alice").await;
    sign(&cluster, 0, "alice", &key).await.unwrap();
    let freeze = SetFreeze { scope: Scope::Key { key: key.id.clone() }, reason: Some("odd".to_owned()) };
    let refused = cluster.as_user(0, "dave").freeze(&freeze, &unique("freeze")).await.map_err(problem);
    assert_eq!(refused.unwrap_err().code, Code::Forbidden);
    let frozen = cluster.as_user(1, "carol").freeze(&freeze, &unique("freeze")).await.unwrap();
    assert_eq!(frozen.by, "carol");
    until(async || {
        let mut all = true;
        for at in 0..3 {
            all &= cluster.as_user(at, "alice").directory().await.unwrap().freezes.len() == 1;
        }
        all
    })
    .await;
    for at in 0..3 {
        let refused = sign(&cluster, at, "alice", &key).await.unwrap_err();
        assert_eq!(refused.code, Code::Frozen);
        assert!(refused.detail.contains("carol") && refused.detail.contains("odd"), "{}", refused.detail);
    }
    let thaw = vec![Step::Thaw { freezes: vec![frozen.id.clone()] }];
    let asked = cluster.change(0, "alice", thaw).await.unwrap();
    cluster.rule(0, "bob", "approve", &asked).await.unwrap();
    until(async || cluster.versions("alice").await == [1, 1, 1]).await;
    sign(&cluster, 2, "alice", &key).await.unwrap();
}

/// Everybody may do everything.
const ALL: &str = "@id(\"all\") permit (principal, action, resource);";

pub(crate) async fn create(cluster: &Cluster, who: &str) -> Key {
    let create = create_key(Scheme::Ed25519, 2, Some(vec![Purpose::Message]));
    let operation = cluster.as_user(0, who).create_key(&create, &unique("create"), WAIT).await.unwrap();
    created(&operation)
}

pub(crate) async fn sign(cluster: &Cluster, at: usize, who: &str, key: &Key) -> Result<(), Problem> {
    let asked = cluster.as_user(at, who).sign(&key.id, &message("m"), &unique("sign"), WAIT).await;
    let operation: Result<Operation, ClientError> = asked;
    operation.map(|operation| drop(signed(&operation))).map_err(problem)
}

/// A node cannot be talked out of its directory, nor into another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_keeps_its_genesis() {
    let mut cluster = Cluster::governed(2, &[]).await;
    let other = Cluster::governed(2, &[]).await;
    cluster.stop(0).await;
    let own = cluster.configs[0].clone();
    let mut without = own.clone();
    without.genesis = None;
    let error = quorate_node::Node::start(without).await.unwrap_err();
    assert!(error.to_string().contains("governed by another genesis"), "{error}");
    let mut foreign = own.clone();
    foreign.genesis = other.configs[0].genesis.clone();
    let error = quorate_node::Node::start(foreign).await.unwrap_err();
    assert!(error.to_string().contains("disagree on node"), "{error}");
    let mut both = own.clone();
    both.clients.push(quorate_node::config::Client { name: "x".to_owned(), key: "ed25519:00".to_owned() });
    let error = quorate_node::Node::start(both).await.unwrap_err();
    assert!(error.to_string().contains("remove the [[clients]]"), "{error}");
    cluster.start_node(0).await;
}

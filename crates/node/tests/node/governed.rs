//! A cluster with a directory: changes, approvals, freezes, each decided by every node by itself.

use std::time::Duration;

use quorate_api::client::{Client, ClientError};
use quorate_api::intent::build::EthereumTransfer;
use quorate_api::intent::{Purpose, Scheme, build};
use quorate_api::{
    ChangeDirectory, Code, EventKind, Hex, Key, ListQuery, Operation, OperationStatus, Problem, Scope,
    SetFreeze, Sign,
};
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
        Step::AddCredential {
            name: name(who),
            principal: name(who),
            with: client_key(seed).public_key().into(),
        },
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
        self.govern_with(policies, Vec::new()).await;
    }

    /// As [`govern`](Self::govern), with more people.
    pub(crate) async fn govern_with(&mut self, policies: &[(&str, &str)], more: Vec<Step>) {
        let nodes = self.configs.iter().zip(&self.identities);
        let terms = Terms {
            version: 1,
            cluster: name("test"),
            nodes: nodes.map(|(config, id)| (config.name.clone(), Hex(id.as_bytes().to_vec()))).collect(),
            admins: AdminRule { quorum: "2 of Group::\"admins\"".parse().unwrap(), requester_counts: true },
            steps: [steps(policies), more].concat(),
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
    assert!(error.to_string().contains("governed by another genesis"), "{error}");
    let mut wrong = own.clone();
    wrong.peers[0].identity = other.identities[1].to_string();
    let error = quorate_node::Node::start(wrong).await.unwrap_err();
    assert!(error.to_string().contains("disagree on node `node-b`"), "{error}");
    let mut both = own.clone();
    both.clients.push(quorate_node::config::Client { name: "x".to_owned(), key: "ed25519:00".to_owned() });
    let error = quorate_node::Node::start(both).await.unwrap_err();
    assert!(error.to_string().contains("remove the [[clients]]"), "{error}");
    cluster.start_node(0).await;
}

/// Small payments pass, large ones wait for finance, and nothing else passes.
const PAYMENTS: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);

@id("small")
@reason("up to one ether a payment")
permit (principal in Group::"admins", action == Action::"sign:ethereum", resource)
when { context.complete && context.native_micro <= 1000000 };

@id("large")
@reason("above that finance decides")
@quorum("2 of Group::\"finance\"")
permit (principal in Group::"admins", action == Action::"sign:ethereum", resource);

@id("never")
forbid (principal, action == Action::"sign:ethereum", resource)
when { context.recipients.contains("0x00000000000000000000000000000000000000ba") };
"#;

pub(crate) fn payment(finney: u64, to: &str) -> Sign {
    let transfer = EthereumTransfer {
        chain_id: 1,
        nonce: 7,
        to: to.to_owned(),
        value_wei: u128::from(finney) * 1_000_000_000_000_000,
        gas_limit: 21_000,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        data: Vec::new(),
    };
    Sign { intent: build::ethereum_transfer(&transfer).unwrap(), path: None, quorum: None }
}

const PAYEE: &str = "0x000000000000000000000000000000000000dEaD";

pub(crate) async fn wallet(cluster: &Cluster) -> Key {
    let create = create_key(Scheme::EcdsaSecp256k1, 2, None);
    let operation = cluster.as_user(0, "alice").create_key(&create, &unique("create"), WAIT).await.unwrap();
    created(&operation)
}

impl Cluster {
    pub(crate) async fn pay(
        &self,
        at: usize,
        who: &str,
        key: &Key,
        sign: &Sign,
    ) -> Result<Operation, Problem> {
        self.as_user(at, who).sign(&key.id, sign, &unique("pay"), Duration::ZERO).await.map_err(problem)
    }

    pub(crate) async fn ended(&self, at: usize, who: &str, operation: &Operation) -> Operation {
        let client = self.as_user(at, who);
        let mut ended = operation.clone();
        until(async || {
            ended = client.operation(&operation.id, Duration::from_secs(1)).await.unwrap();
            ended.status.is_final()
        })
        .await;
        ended
    }
}

/// covers: S21: who counts: not the requester, not a stranger, not twice, not a person who was removed since; and a rejection ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_payment_waits_for_the_right_people() {
    let cluster = Cluster::governed(3, &[("payments", PAYMENTS)]).await;
    let key = wallet(&cluster).await;
    // Up to the limit at once, with the rule in the log.
    let small = cluster.pay(0, "alice", &key, &payment(1000, PAYEE)).await.unwrap();
    assert_eq!(cluster.ended(0, "alice", &small).await.status, OperationStatus::Succeeded);
    // Forbidden is forbidden, whoever would agree; and who has no rule is told so.
    let never = payment(1, "0x00000000000000000000000000000000000000bA");
    let refused = cluster.pay(0, "alice", &key, &never).await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied);
    assert!(refused.detail.contains("`never`"), "{}", refused.detail);
    let refused = cluster.pay(0, "dave", &key, &payment(1, PAYEE)).await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied);
    // Above the limit finance decides. bob asks, so bob does not count.
    let large = cluster.pay(0, "bob", &key, &payment(1001, PAYEE)).await.unwrap();
    assert_eq!(large.status, OperationStatus::PendingApproval);
    let approvals = large.approvals.clone().unwrap();
    assert_eq!(approvals.rule.as_deref(), Some("large"));
    assert!(approvals.summary.unwrap().headline.contains("1.001 ETH"));
    assert_eq!(approvals.missing[0].count, 2);
    for (who, why) in [("dave", "does not count"), ("alice", "does not count"), ("bob", "wants others")] {
        let refused = cluster.rule(0, who, "approve", &large).await.unwrap_err();
        assert_eq!(refused.code, Code::Forbidden, "{who}");
        assert!(refused.detail.contains(why), "{}", refused.detail);
    }
    // Asked by alice: bob and carol, each at a node of their own.
    let large = cluster.pay(0, "alice", &key, &payment(2500, PAYEE)).await.unwrap();
    for at in [1, 2] {
        let there = cluster.as_user(at, "bob");
        until(async || there.operation(&large.id, Duration::ZERO).await.is_ok()).await;
    }
    let words = cluster.as_user(2, "bob").operation(&large.id, Duration::ZERO).await.unwrap();
    assert!(
        words.approvals.unwrap().summary.unwrap().headline.contains("2.5 ETH"),
        "made by the node that is asked"
    );
    cluster.rule(1, "bob", "approve", &large).await.unwrap();
    // Once more counts once.
    let waits = cluster.rule(1, "bob", "approve", &large).await.unwrap();
    assert_eq!(waits.status, OperationStatus::PendingApproval);
    assert_eq!(waits.approvals.unwrap().missing[0].candidates, ["carol"]);
    cluster.rule(2, "carol", "approve", &large).await.unwrap();
    let done = cluster.ended(0, "alice", &large).await;
    assert_eq!(done.status, OperationStatus::Succeeded);
    signed(&done);
    // A withdrawal takes it back.
    let large = cluster.pay(0, "alice", &key, &payment(3000, PAYEE)).await.unwrap();
    let shown = cluster.rule(0, "bob", "approve", &large).await.unwrap();
    let approvals = shown.approvals.unwrap();
    let mut withdrawal = approvals.rule(&large.id, fresh(), None).unwrap();
    withdrawal.withdraws = approvals.approved[0].nonces.clone();
    cluster.as_user(0, "bob").rule(&large.id, "withdraw", &withdrawal).await.unwrap();
    let shown = cluster.rule(0, "carol", "approve", &large).await.unwrap();
    assert_eq!(shown.status, OperationStatus::PendingApproval);
    assert_eq!(shown.approvals.unwrap().approved.len(), 1);
    // A person who is removed no longer counts: bob approves again, but carol is disabled before.
    let disable = vec![Step::SetDisabled { name: name("carol"), disabled: true }];
    let refused = cluster.change(0, "alice", disable.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::Unprocessable, "the rule `large` could not be satisfied any more");
    let with_dave = [group(&["bob", "carol", "dave"]), disable].concat();
    let asked = cluster.change(0, "alice", with_dave).await.unwrap();
    cluster.rule(0, "bob", "approve", &asked).await.unwrap();
    until(async || cluster.versions("alice").await == [1, 1, 1]).await;
    let shown = cluster.rule(0, "bob", "approve", &large).await.unwrap();
    assert_eq!(shown.status, OperationStatus::PendingApproval, "carol does not count any more");
    cluster.rule(0, "dave", "reject", &large).await.unwrap();
    let ended = cluster.ended(0, "alice", &large).await;
    assert_eq!(ended.status, OperationStatus::Rejected);
    assert!(ended.error.unwrap().detail.contains("`dave` rejected it"));
}

/// An approval is for exact bytes: of another body, another operation, an old one, or with a flipped bit it counts for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_for_exact_bytes() {
    let cluster = Cluster::governed(3, &[("payments", PAYMENTS)]).await;
    let key = wallet(&cluster).await;
    let one = cluster.pay(0, "alice", &key, &payment(2000, PAYEE)).await.unwrap();
    let two = cluster.pay(0, "alice", &key, &payment(9000, PAYEE)).await.unwrap();
    let approve_one = one.approvals.clone().unwrap().rule(&one.id, fresh(), None).unwrap();
    let mut cases = 0;
    let mut refused = async |id, rule: &quorate_api::Rule, code: Code| {
        let error = cluster.as_user(0, "bob").rule(id, "approve", rule).await.map_err(problem).unwrap_err();
        assert_eq!(error.code, code, "{}", error.detail);
        cases += 1;
    };
    refused(&two.id, &approve_one, Code::Unprocessable).await;
    for bit in 0..256 {
        let mut bent = approve_one.clone();
        bent.request_hash.0[bit / 8] ^= 1 << (bit % 8);
        bent.nonce = Hex(fresh().to_vec());
        refused(&one.id, &bent, Code::Unprocessable).await;
    }
    let mut short = approve_one.clone();
    short.nonce.0.pop();
    refused(&one.id, &short, Code::InvalidRequest).await;
    let mut mixed = approve_one.clone();
    mixed.withdraws.push(Hex(fresh().to_vec()));
    refused(&one.id, &mixed, Code::InvalidRequest).await;
    assert_eq!(cases, 259);
    let shown = cluster.as_user(0, "alice").operation(&one.id, Duration::ZERO).await.unwrap();
    assert!(shown.approvals.unwrap().approved.is_empty());
    // What the approver's program shows is worked out from the bytes: a node that shows other bytes is found out.
    let mut lying = one.approvals.clone().unwrap();
    lying.request = two.approvals.clone().unwrap().request;
    assert!(lying.rule(&one.id, fresh(), None).unwrap_err().contains("another operation"));
    let mut lying = one.approvals.clone().unwrap();
    lying.request_hash = two.approvals.unwrap().request_hash;
    assert!(lying.rule(&one.id, fresh(), None).unwrap_err().contains("another hash"));
}

/// covers: S23: two nodes of three follow the policy and one has it switched off: nothing is signed that the policy does not allow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_without_policy_signs_nothing_alone() {
    let mut cluster = Cluster::governed(3, &[("payments", PAYMENTS)]).await;
    let key = wallet(&cluster).await;
    // Node c takes every enrolled client at its word from now on, as if its operator had switched the policies off.
    cluster.stop(2).await;
    cluster.ungovern(2).await;
    cluster.start_all().await;
    let large = payment(50_000, PAYEE);
    let refused = cluster.client_as(2, "alice", 1).sign(&key.id, &large, &unique("pay"), WAIT).await;
    let refused = problem(refused.unwrap_err());
    assert!(
        matches!(refused.code, Code::ApprovalMissing | Code::NotEnoughParties),
        "{} {}",
        refused.code,
        refused.detail
    );
    assert!(refused.detail.contains("2 of Group::\"finance\""), "{}", refused.detail);
    // What the policy allows is signed with it as well.
    let small =
        cluster.client_as(2, "alice", 1).sign(&key.id, &payment(1, PAYEE), &unique("pay"), WAIT).await;
    signed(&small.unwrap());
}

impl Cluster {
    /// Makes a node forget that it is governed, as only whoever owns its machine could.
    pub(crate) async fn ungovern(&mut self, at: usize) {
        let config = &mut self.configs[at];
        config.genesis = None;
        config.clients = PEOPLE
            .iter()
            .map(|(who, seed)| quorate_node::config::Client {
                name: (*who).to_owned(),
                key: client_key(*seed).public_key().to_string(),
            })
            .collect();
        let path = config.data.join(quorate_store::DATABASE_FILE);
        let connection = rusqlite::Connection::open(path).unwrap();
        for statement in ["DROP TRIGGER directory_stays", "DELETE FROM directory"] {
            connection.execute_batch(statement).unwrap();
        }
        connection.close().unwrap();
    }
}

/// covers: S49: what belongs to a tenant is not there for another one, whatever is asked about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_sees_only_its_own() {
    let mut cluster = Cluster::prepare(3).await;
    let tenant = |who: &str, seed: u8, of: &str| {
        [
            Step::AddTenant { name: name(of) },
            Step::AddPrincipal { name: name(who), kind: PrincipalKind::User, tenant: Some(name(of)) },
            Step::AddCredential {
                name: name(who),
                principal: name(who),
                with: client_key(seed).public_key().into(),
            },
        ]
    };
    let extra = [tenant("tina", 11, "acme"), tenant("zoe", 12, "zeta")].concat();
    cluster.govern_with(&[("all", ALL)], extra).await;
    cluster.start_all().await;
    let (tina, zoe, alice) =
        (cluster.client_as(0, "tina", 11), cluster.client_as(0, "zoe", 12), cluster.as_user(0, "alice"));
    let create = create_key(Scheme::Ed25519, 2, Some(vec![Purpose::Message]));
    let operation = tina.create_key(&create, &unique("create"), WAIT).await.unwrap();
    let key = created(&operation);
    tina.sign(&key.id, &message("own"), &unique("sign"), WAIT).await.unwrap();
    alice.key(&key.id).await.unwrap();
    let nothing = "key_00000000000000000000000000000000".parse().unwrap();
    let list = ListQuery { limit: 50, after: None };
    assert_eq!(tina.keys(&list).await.unwrap().items.len(), 1);
    assert!(zoe.keys(&list).await.unwrap().items.is_empty());
    assert!(zoe.operations(&list).await.unwrap().items.is_empty());
    // The answers for what is another's and for what is not there differ in nothing but the name that was asked for.
    let same = |theirs: Problem, absent: Problem, key: &quorate_api::KeyId, nothing: &quorate_api::KeyId| {
        assert_eq!((theirs.code, absent.code), (Code::NotFound, Code::NotFound));
        assert_eq!(theirs.detail.replace(key.as_str(), "X"), absent.detail.replace(nothing.as_str(), "X"));
    };
    assert_eq!(problem(zoe.directory().await.unwrap_err()).code, Code::Forbidden);
    assert_eq!(problem(zoe.log_checkpoint().await.unwrap_err()).code, Code::Forbidden);
    let change =
        ChangeDirectory { base: 0, previous: Hex(vec![0; 32]), steps: group(&["bob"]), reason: None };
    let refused = zoe.change_directory(&change, &unique("change"), Duration::ZERO).await.unwrap_err();
    assert_eq!(problem(refused).code, Code::Forbidden);
    for at in 0..3 {
        let zoe = cluster.client_as(at, "zoe", 12);
        let shown = (zoe.key(&key.id).await, zoe.key(&nothing).await);
        same(problem(shown.0.unwrap_err()), problem(shown.1.unwrap_err()), &key.id, &nothing);
        let theirs = zoe.sign(&key.id, &message("m"), &unique("sign"), WAIT).await.unwrap_err();
        let absent = zoe.sign(&nothing, &message("m"), &unique("sign"), WAIT).await.unwrap_err();
        same(problem(theirs), problem(absent), &key.id, &nothing);
        let hidden = zoe.operation(&operation.id, Duration::ZERO).await.unwrap_err();
        assert_eq!(problem(hidden).code, Code::NotFound);
        let about = |events: Vec<quorate_api::Event>| {
            let of_key = |event: &quorate_api::Event| event.key.as_ref() == Some(&key.id);
            let all = events.len();
            (all, events.iter().filter(|e| of_key(e) || e.operation.as_ref() == Some(&operation.id)).count())
        };
        let (all, theirs) = about(crate::events::kept_for(&cluster, at, "zoe", 12).await);
        assert!(all > 0 && theirs == 0, "{all} {theirs}");
        assert!(about(crate::events::kept_for(&cluster, at, "tina", 11).await).1 >= 4);
        assert!(about(crate::events::kept_for(&cluster, at, "alice", 1).await).1 >= 4);
    }
}

/// covers: S48: beyond a rate or an amount a node freezes the key by itself, also across a restart; the admins thaw it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_circuit_breaker_freezes_by_itself() {
    let mut cluster = Cluster::prepare(2).await;
    cluster.govern(&[("payments", PAYMENTS)]).await;
    for config in &mut cluster.configs {
        config.breaker.signatures_per_hour = Some(3);
        config.breaker.coins_per_day = [("ethereum:1".to_owned(), 2)].into();
    }
    cluster.start_all().await;
    let key = wallet(&cluster).await;
    let refused = async |cluster: &Cluster, key: &Key, finney: u64| {
        cluster.pay(0, "alice", key, &payment(finney, PAYEE)).await.unwrap_err()
    };
    // By amount: 1.9 of 2 coins are spent, 0.2 more is too much; half of it would not have been.
    for finney in [1000, 900] {
        let paid = cluster.pay(0, "alice", &key, &payment(finney, PAYEE)).await.unwrap();
        assert_eq!(cluster.ended(0, "alice", &paid).await.status, OperationStatus::Succeeded);
    }
    let problem = refused(&cluster, &key, 200).await;
    assert_eq!(problem.code, Code::Frozen);
    assert!(
        problem.detail.contains("circuit breaker") && problem.detail.contains("in a day"),
        "{}",
        problem.detail
    );
    assert_eq!(refused(&cluster, &key, 1).await.code, Code::Frozen, "it stays frozen, for small ones too");
    cluster.stop(0).await;
    cluster.start_all().await;
    assert_eq!(refused(&cluster, &key, 1).await.code, Code::Frozen, "and over a restart");
    let freezes = cluster.as_user(0, "alice").directory().await.unwrap().freezes;
    assert_eq!(freezes.len(), 1);
    let thaw = vec![Step::Thaw { freezes: vec![freezes[0].id.clone()] }];
    let asked = cluster.change(0, "alice", thaw).await.unwrap();
    cluster.rule(0, "bob", "approve", &asked).await.unwrap();
    until(async || cluster.as_user(0, "alice").directory().await.unwrap().version == 1).await;
    let paid = cluster.pay(0, "alice", &key, &payment(50, PAYEE)).await.unwrap();
    assert_eq!(cluster.ended(0, "alice", &paid).await.status, OperationStatus::Succeeded);
    // By rate: that was the third within the hour.
    let problem = refused(&cluster, &key, 1).await;
    assert!(problem.detail.contains("more than 3 signatures"), "{}", problem.detail);
}

/// A rule sees what this node agreed to before, by key and by principal, and two requests at once cannot both be the last one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_looks_at_what_was_spent() {
    const BUDGET: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);
@id("budget")
permit (principal in Group::"admins", action == Action::"sign:ethereum", resource)
when { context.complete && context.native_micro + context.spent.principal.day.native_micro <= 3000000 };
"#;
    let cluster = Cluster::governed(2, &[("budget", BUDGET)]).await;
    let key = wallet(&cluster).await;
    let pay = async |who: &'static str, finney: u64| {
        let asked =
            cluster.as_user(0, who).sign(&key.id, &payment(finney, PAYEE), &unique("pay"), WAIT).await;
        asked.map_err(problem).map(|operation| operation.status)
    };
    let (one, two, three) = tokio::join!(pay("alice", 2000), pay("alice", 2000), pay("alice", 2000));
    let all = [one, two, three];
    let paid = all.iter().filter(|answer| answer.is_ok()).count();
    let denied =
        all.iter().filter(|answer| answer.as_ref().is_err_and(|problem| problem.code == Code::PolicyDenied));
    assert_eq!((paid, denied.count()), (1, 2), "{all:?}");
    assert_eq!(pay("alice", 1000).await, Ok(OperationStatus::Succeeded), "up to the limit");
    assert_eq!(pay("alice", 1).await.unwrap_err().code, Code::PolicyDenied);
    assert_eq!(pay("bob", 3000).await, Ok(OperationStatus::Succeeded), "each principal has its own");
}

/// covers: S16: a store that lies about what people said, or about the directory, lets nothing pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_database_authorises_nothing() {
    let mut cluster = Cluster::governed(3, &[("payments", PAYMENTS)]).await;
    let key = wallet(&cluster).await;
    let small = cluster.pay(0, "alice", &key, &payment(2000, PAYEE)).await.unwrap();
    cluster.rule(0, "bob", "approve", &small).await.unwrap();
    let large = cluster.pay(0, "alice", &key, &payment(900_000, PAYEE)).await.unwrap();
    cluster.rule(0, "carol", "approve", &large).await.unwrap();
    cluster.stop(0).await;
    let change = async |config: &quorate_node::Config, statement: String| {
        let path = config.data.join(quorate_store::DATABASE_FILE);
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch(&statement).unwrap();
        connection.close().unwrap();
    };
    let own = cluster.configs[0].clone();
    // bob's approval of the small payment, put under the large one, and that one called approved.
    let moved = format!(
        "INSERT INTO rulings (op_id, hash, ruling, received_at) SELECT '{}', hash, ruling, received_at \
         FROM rulings WHERE op_id = '{}'",
        large.id, small.id
    );
    change(&own, moved).await;
    change(&own, format!("UPDATE operations SET status = 'queued' WHERE op_id = '{}'", large.id)).await;
    cluster.start_all().await;
    let again = cluster.as_user(1, "alice").operation(&large.id, Duration::ZERO).await.unwrap();
    assert_eq!(again.approvals.unwrap().missing[0].candidates, ["bob"]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let shown = cluster.as_user(0, "alice").operation(&large.id, Duration::ZERO).await.unwrap();
    assert_ne!(shown.status, OperationStatus::Succeeded, "{shown:?}");
    // A directory that nobody signed does not open.
    let asked = cluster.change(0, "alice", group(&["bob", "carol", "dave"])).await.unwrap();
    cluster.rule(0, "bob", "approve", &asked).await.unwrap();
    until(async || cluster.versions("alice").await == [1, 1, 1]).await;
    cluster.stop(0).await;
    let forged = "DROP TRIGGER directory_does_not_change; \
                  UPDATE directory SET entry = CAST(substr(entry, 1, 200) || x'ff' || substr(entry, 202) AS BLOB) WHERE version = 1";
    change(&own, forged.to_owned()).await;
    let error = quorate_node::Node::start(own).await.unwrap_err();
    assert!(error.to_string().contains("does not verify"), "{error}");
}

/// Whoever watches a node learns who is wanted, what was said, and what changed, also of what was asked at another node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_learn_that_they_are_wanted_at_their_own_node() {
    let cluster = Cluster::governed(2, &[]).await;
    let mut stream = crate::events::watch(&cluster, 1, None).await;
    let asked = cluster.change(0, "alice", group(&["bob"])).await.unwrap();
    let wanted = stream.until(EventKind::ApprovalWanted).await.pop().unwrap();
    assert_eq!(wanted.operation.as_ref(), Some(&asked.id));
    cluster.rule(1, "bob", "approve", &asked).await.unwrap();
    let given = stream.until(EventKind::ApprovalGiven).await.pop().unwrap();
    assert_eq!(given.detail.as_deref(), Some("bob: approve"));
    let changed = stream.until(EventKind::DirectoryChanged).await.pop().unwrap();
    assert!(changed.detail.unwrap().starts_with("version 1"));
    let freeze = SetFreeze { scope: Scope::Everything, reason: None };
    cluster.as_user(0, "carol").freeze(&freeze, &unique("freeze")).await.unwrap();
    let frozen = stream.until(EventKind::Frozen).await.pop().unwrap();
    assert_eq!(frozen.detail.as_deref(), Some("everything by carol"));
    // Everything is everything; a change still goes through, or nobody could thaw.
    let create = create_key(Scheme::Ed25519, 2, Some(vec![Purpose::Message]));
    let refused = cluster.as_user(1, "alice").create_key(&create, &unique("create"), WAIT).await.unwrap_err();
    assert_eq!(problem(refused).code, Code::Frozen);
}

/// What a request was shown as is what it is: another one under the same idempotency key is none, at any node, whatever it asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_is_one_request_at_every_node() {
    const LATER: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);
@id("later")
@delay("2s")
permit (principal in Group::"admins", action == Action::"sign:ethereum", resource);
"#;
    let cluster = Cluster::governed(3, &[("later", LATER)]).await;
    let key = wallet(&cluster).await;
    let (alice, at_b) = (cluster.as_user(0, "alice"), cluster.as_user(1, "alice"));
    let directory = alice.directory().await.unwrap();
    let harmless = ChangeDirectory {
        base: directory.version,
        previous: directory.head,
        steps: group(&["bob"]),
        reason: None,
    };
    let asked = alice.change_directory(&harmless, "one-key", Duration::ZERO).await.unwrap();
    // Its own list: a single operation it would also show on the word of another node.
    let list = ListQuery { limit: 200, after: None };
    until(async || at_b.operations(&list).await.unwrap().items.iter().any(|op| op.id == asked.id)).await;
    let refused = at_b.sign(&key.id, &payment(1, PAYEE), "one-key", WAIT).await.unwrap_err();
    assert_eq!(problem(refused).code, Code::IdempotencyConflict);
    // A delay counts from when a node first saw these very bytes, and is waited for.
    let begun = tokio::time::Instant::now();
    let waits = cluster.pay(0, "alice", &key, &payment(1, PAYEE)).await.unwrap();
    assert_eq!(waits.status, OperationStatus::PendingApproval);
    assert!(waits.approvals.unwrap().not_before.is_some());
    let waits = cluster.as_user(0, "alice").operation(&waits.id, Duration::ZERO).await.unwrap();
    assert_eq!(cluster.ended(0, "alice", &waits).await.status, OperationStatus::Succeeded);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

/// A no is heard while a key is frozen, and whoever asked may take it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_is_heard_at_any_time() {
    let cluster = Cluster::governed(2, &[("payments", PAYMENTS)]).await;
    let key = wallet(&cluster).await;
    let own = cluster.pay(0, "alice", &key, &payment(2000, PAYEE)).await.unwrap();
    cluster.rule(0, "alice", "reject", &own).await.unwrap();
    assert_eq!(cluster.ended(0, "alice", &own).await.status, OperationStatus::Rejected);
    let large = cluster.pay(0, "alice", &key, &payment(2000, PAYEE)).await.unwrap();
    let freeze = SetFreeze { scope: Scope::Key { key: key.id.clone() }, reason: None };
    let frozen = cluster.as_user(0, "carol").freeze(&freeze, &unique("freeze")).await.unwrap();
    assert_eq!(cluster.rule(0, "bob", "approve", &large).await.unwrap_err().code, Code::Frozen);
    cluster.rule(0, "bob", "reject", &large).await.unwrap();
    let thaw = vec![Step::Thaw { freezes: vec![frozen.id] }];
    let asked = cluster.change(0, "alice", thaw).await.unwrap();
    cluster.rule(0, "bob", "approve", &asked).await.unwrap();
    let ended = cluster.ended(0, "alice", &large).await;
    assert_eq!(ended.status, OperationStatus::Rejected, "not carried out by the thaw");
}

//! The story of people: a payment over a limit waits, a wrong approver is refused, the right two approve with passkeys, it is signed,
//! the log proves it without the nodes, a changed byte is found, and an admin freezes the key.

use crate::commands::log::{check_copy, check_receipts, copy};
use crate::local::{CLIENT, LocalCluster, NAMES};
use anyhow::{Context as _, bail, ensure};
use quorate_api::client::{Client, ClientError};
use quorate_api::{
    ChangeDirectory, Code, CreateKey, Key, Operation, OperationResult, OperationStatus, Scope, SetFreeze,
    Sign,
};
use quorate_intent::Scheme;
use quorate_intent::build::{EthereumTransfer, ethereum_transfer};
use quorate_policy::change::{AdminRule, Step};
use quorate_policy::directory::{Members, PrincipalKind};
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::passkey::Person;
use super::report::{Event, Report};
use super::steps::{ETHEREUM_TO, check, finish, fresh};

const WAIT: Duration = Duration::from_secs(30);

/// What the nodes enforce from the beginning.
const POLICY: &str = r#"
@id("create")
permit (principal == Service::"operator", action == Action::"create_key", resource);

@id("small-payments")
@reason("up to one ether at once")
permit (principal == Service::"operator", action == Action::"sign:ethereum", resource)
when { context.complete && context.native_micro <= 1000000 };

@id("large-payments")
@reason("above one ether finance decides")
@quorum("2 of Group::\"finance\"")
permit (principal == Service::"operator", action == Action::"sign:ethereum", resource);
"#;

/// The people: alice, bob and carol are admins, bob and carol are finance, mallory is neither.
struct People {
    alice: Person,
    bob: Person,
    carol: Person,
    mallory: Person,
}

impl People {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            alice: Person::new("alice")?,
            bob: Person::new("bob")?,
            carol: Person::new("carol")?,
            mallory: Person::new("mallory")?,
        })
    }

    fn steps(&self) -> anyhow::Result<Vec<Step>> {
        let mut steps = Vec::new();
        for person in [&self.alice, &self.bob, &self.carol, &self.mallory] {
            let name: quorate_policy::name::Name = person.name.parse()?;
            steps.push(Step::AddPrincipal { name: name.clone(), kind: PrincipalKind::User, tenant: None });
            steps.push(Step::AddCredential {
                name: name.clone(),
                principal: name,
                with: person.credential()?,
            });
        }
        let group = |name: &str, who: &[&str]| {
            let principals = who.iter().map(|who| who.parse()).collect::<Result<_, _>>()?;
            let members = Members { principals, ..Members::default() };
            anyhow::Ok(Step::SetGroup { name: name.parse()?, members })
        };
        steps.push(group("admins", &["alice", "bob", "carol"])?);
        steps.push(group("finance", &["bob", "carol"])?);
        steps.push(Step::SetPolicy { name: "payments".parse()?, text: POLICY.to_owned() });
        Ok(steps)
    }
}

/// Tells the story.
pub(super) async fn story(report: &Report<'_>) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("quorate-demo-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    report.chapter("Three nodes start under a genesis that the operators of all three have signed")?;
    let people = People::new()?;
    let mut cluster = LocalCluster::create(folder.path()).await?;
    let admins = AdminRule { quorum: "2 of Group::\"admins\"".parse()?, requester_counts: true };
    cluster.govern(admins, people.steps()?).await?;
    for node in &mut cluster.nodes {
        let pid = node.start()?;
        report.tell(&Event::node("start", node, pid))?;
    }
    for name in NAMES {
        cluster.wait_ready(name, 2).await?;
    }
    let operator = cluster.client("a")?.valid_for(Duration::from_secs(600));

    report.chapter("The payment service asks for a key; a rule permits it")?;
    let wanted = CreateKey {
        scheme: Scheme::EcdsaSecp256k1,
        threshold: Some(2),
        access: None,
        parties: None,
        purposes: None,
        label: Some("treasury".to_owned()),
    };
    let operation = operator.create_key(&wanted, &fresh()?, WAIT).await?;
    let OperationResult::CreateKey { key, figures } = finish(&operator, operation).await? else {
        bail!("asked for a key, got something else");
    };
    report.tell(&Event::created(&key, &figures))?;

    report.chapter("A payment of half an ether is below the limit: signed at once")?;
    let small = pay(&operator, &key, 500_000_000_000_000_000).await?;
    signed(&operator, &key, small, "Payment of 0.5 ETH", report).await?;

    report.chapter(
        "A payment of 1.5 ether waits for two people of finance, in words that each node makes itself",
    )?;
    let large = pay(&operator, &key, 1_500_000_000_000_000_000).await?;
    waits(&large, report)?;
    let id = &large.id;
    denied(&people.mallory, rule(&cluster, &people.mallory, "a", &large).await, Code::Forbidden, report)?;
    let after = rule(&cluster, &people.bob, "b", &large).await?;
    ruled("bob", "b", &after, report)?;
    let after = rule(&cluster, &people.carol, "c", &large).await?;
    ruled("carol", "c", &after, report)?;
    let done = operator.wait(id, WAIT, Duration::from_secs(1), |_| ()).await?;
    signed(&operator, &key, done.clone(), "Payment of 1.5 ETH", report).await?;

    report.chapter("The record is checked without the nodes")?;
    let identities = cluster.nodes.iter().map(|node| node.identity.parse()).collect::<Result<Vec<_>, _>>()?;
    let done = operator.operation(id, Duration::ZERO).await?;
    let receipts = check_receipts(&done, &identities)?;
    ensure!(receipts > 0, "the result carries no receipts");
    let kept = folder.path().join("log-of-a");
    let identity = cluster.node("a")?.identity.clone();
    copy(&operator, &kept).await?;
    let (entries, findings) = check_copy(&kept, &identity)?;
    ensure!(findings.is_empty(), "the log of a is not as it was signed: {findings:?}");
    let checked = |what: String, findings: Vec<String>| Event::Checked {
        what,
        node: "a".to_owned(),
        entries,
        good: findings.is_empty(),
        findings,
    };
    report.tell(&checked(format!("{receipts} receipts hold; the log"), findings))?;
    change_a_byte(&kept)?;
    let (_, findings) = check_copy(&kept, &identity)?;
    ensure!(!findings.is_empty(), "a changed byte was not found");
    report.tell(&checked("with one byte changed, the log".to_owned(), findings))?;

    report.chapter("An admin freezes the key, alone and at once; two admins thaw it")?;
    freeze_and_thaw(&cluster, &people, &operator, &key, report).await?;

    for node in &mut cluster.nodes {
        node.stop();
    }
    drop(cluster);
    folder.close().context("cannot remove the temporary folder")
}

async fn pay(client: &Client, key: &Key, value_wei: u128) -> anyhow::Result<Operation> {
    let transfer = EthereumTransfer {
        chain_id: 1,
        nonce: 7,
        to: ETHEREUM_TO.to_owned(),
        value_wei,
        gas_limit: 21_000,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        data: Vec::new(),
    };
    let request = Sign { intent: ethereum_transfer(&transfer)?, path: None, quorum: None };
    Ok(client.sign(&key.id, &request, &fresh()?, Duration::from_secs(5)).await?)
}

/// The signature, verified by a library that shares no code with ours.
async fn signed(
    client: &Client,
    key: &Key,
    operation: Operation,
    what: &str,
    report: &Report<'_>,
) -> anyhow::Result<()> {
    let OperationResult::Sign(result) = finish(client, operation).await? else {
        bail!("asked for a signature, got something else");
    };
    let verified_by = check(key, &result, None)?;
    let address = key.addresses.iter().find(|address| address.chain == "ethereum");
    let chain = address.map(|address| (address.chain.clone(), address.address.clone()));
    for signature in &result.signatures {
        report.tell(&Event::signed(what, chain.clone(), &result, signature, verified_by))?;
    }
    Ok(())
}

fn missing(operation: &Operation) -> Vec<String> {
    let approvals = operation.approvals.iter().flat_map(|approvals| &approvals.missing);
    approvals.map(|missing| format!("{} of {}", missing.count, missing.of)).collect()
}

fn waits(operation: &Operation, report: &Report<'_>) -> anyhow::Result<()> {
    ensure!(operation.status == OperationStatus::PendingApproval, "the payment should have waited");
    let approvals = operation.approvals.as_ref().context("nobody is asked")?;
    report.tell(&Event::Waits {
        operation: operation.id.to_string(),
        asked_by: approvals.requester.clone(),
        words: approvals.summary.as_ref().map(|words| words.headline.clone()).unwrap_or_default(),
        rule: approvals.rule.clone(),
        missing: missing(operation),
    })
}

/// A person looks at an operation at a node, and approves what the request's bytes say.
async fn rule(
    cluster: &LocalCluster,
    person: &Person,
    node: &str,
    operation: &Operation,
) -> anyhow::Result<Operation> {
    let client = person.client(&cluster.url(node)?)?;
    let mut tries = 0;
    let shown = loop {
        match client.operation(&operation.id, Duration::ZERO).await {
            Ok(shown) if shown.approvals.is_some() => break shown,
            // It may not have been told of it yet.
            Ok(_) | Err(ClientError::Problem(_)) if tries < 200 => tries += 1,
            Ok(_) => bail!("node {node} asks nobody about `{}`", operation.id),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let approvals = shown.approvals.as_ref().context("nobody is asked")?;
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).context("the operating system gave no random bytes")?;
    let rule = approvals.rule(&operation.id, nonce, None).map_err(anyhow::Error::msg)?;
    Ok(client.rule(&operation.id, "approve", &rule).await?)
}

fn ruled(by: &str, node: &'static str, after: &Operation, report: &Report<'_>) -> anyhow::Result<()> {
    report.tell(&Event::Ruled {
        by: by.to_owned(),
        verdict: "approve",
        with: "passkey",
        node,
        status: after.status.as_str().to_owned(),
        still_missing: missing(after),
    })
}

/// Expects a refusal with this code.
fn denied<T>(who: &Person, answer: anyhow::Result<T>, code: Code, report: &Report<'_>) -> anyhow::Result<()> {
    refusal(who.name, answer, code, report)
}

fn refusal<T>(who: &str, answer: anyhow::Result<T>, code: Code, report: &Report<'_>) -> anyhow::Result<()> {
    let Err(error) = answer else { bail!("{who} should have been refused") };
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Problem(problem)) if problem.code == code => report.tell(&Event::Denied {
            who: who.to_owned(),
            code: problem.code.as_str().to_owned(),
            detail: problem.detail.clone(),
        }),
        _ => Err(error.context(format!("{who} was refused, but not as expected"))),
    }
}

/// Changes the last byte of the last bundle of entries in a copy of a log.
fn change_a_byte(kept: &Path) -> anyhow::Result<()> {
    let mut open = vec![kept.join("tile").join("entries")];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let file = files.last().context("the copy holds no entries")?;
    let mut bytes = fs::read(file)?;
    let last = bytes.last_mut().context("a bundle of entries is empty")?;
    *last ^= 1;
    Ok(fs::write(file, bytes)?)
}

async fn freeze_and_thaw(
    cluster: &LocalCluster,
    people: &People,
    operator: &Client,
    key: &Key,
    report: &Report<'_>,
) -> anyhow::Result<()> {
    let carol = people.carol.client(&cluster.url("c")?)?;
    let scope = Scope::Key { key: key.id.clone() };
    let frozen =
        carol.freeze(&SetFreeze { scope, reason: Some("unknown payee".to_owned()) }, &fresh()?).await?;
    report.tell(&Event::Frozen { what: format!("key {}", key.id), by: frozen.by.clone(), thawed: false })?;
    // Node a learns of it in a moment; what is asked of it is refused from then on.
    let mut answer = pay(operator, key, 1).await;
    for _ in 0..200 {
        if answer.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        answer = pay(operator, key, 1).await;
    }
    refusal(CLIENT, answer, Code::Frozen, report)?;
    let alice = people.alice.client(&cluster.url("a")?)?;
    let directory = alice.directory().await?;
    let thaw = ChangeDirectory {
        base: directory.version,
        previous: directory.head,
        steps: vec![Step::Thaw { freezes: vec![frozen.id] }],
        reason: Some("the payee is known now".to_owned()),
    };
    let asked = alice.change_directory(&thaw, &fresh()?, Duration::ZERO).await?;
    waits(&asked, report)?;
    let after = rule(cluster, &people.bob, "b", &asked).await?;
    ruled("bob", "b", &after, report)?;
    alice.wait(&asked.id, WAIT, Duration::from_secs(1), |_| ()).await?;
    report.tell(&Event::Frozen {
        what: format!("key {}", key.id),
        by: "alice and bob".to_owned(),
        thawed: true,
    })?;
    let paid = pay(operator, key, 1).await?;
    signed(operator, key, paid, "Payment after the thaw", report).await
}

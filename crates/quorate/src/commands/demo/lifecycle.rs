//! The story of a key that outlives disks, machines and committees: new shares, a node more, a node less, a lost disk, a higher threshold,
//! and the loss of every node.
//! The addresses stay what they were, and after every step a library that shares no code with ours accepts a signature.

use crate::local::{LocalCluster, NAMES};
use anyhow::{Context as _, bail, ensure};
use quorate_api::client::{Client, ClientError};
use quorate_api::{Act, Code, CreateKey, Key, OperationResult, Refresh, Repair, Reshare, Restore, Sign};
use quorate_intent::build::{EthereumTransfer, ethereum_transfer, message};
use quorate_intent::{Purpose, Scheme};
use std::time::{Duration, Instant};

use super::disaster::Vault;
use super::report::{Event, Report};
use super::steps::{ETHEREUM_TO, finish, fresh, sign};

const WAIT: Duration = Duration::from_secs(30);
/// How long nodes may take to let a new one in.
const KNOWN_WITHIN: Duration = Duration::from_secs(15);

/// The keys of the story: one that needs pairwise set-ups, one that does not.
struct Keys {
    ethereum: Key,
    ed25519: Key,
}

/// Tells the story.
pub(super) async fn story(report: &Report<'_>) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("quorate-demo-")
        .tempdir()
        .context("cannot make a temporary folder")?;

    report
        .chapter("Three people make recovery keys; three nodes create two keys, of which any two can sign")?;
    let mut cluster = LocalCluster::create(folder.path()).await?;
    let vault = Vault::make(folder.path(), &mut cluster, report).await?;
    for node in &mut cluster.nodes {
        let pid = node.start()?;
        report.tell(&Event::node("start", node, pid))?;
    }
    for name in NAMES {
        cluster.wait_ready(name, 2).await?;
    }
    let a = cluster.client("a")?;
    let mut keys = Keys {
        ethereum: create(&a, Scheme::EcdsaSecp256k1, report).await?,
        ed25519: create(&a, Scheme::Ed25519, report).await?,
    };
    both_sign(&a, &keys, "At birth", Some(["a", "b"]), report).await?;

    report.chapter("Refresh: every node gets a new share, the old ones are worthless and erased")?;
    refresh(&a, &mut keys, report).await?;
    both_sign(&a, &keys, "After the refresh", Some(["b", "c"]), report).await?;

    report.chapter("A fourth node joins, and gets shares of keys that were made before it existed")?;
    cluster.add("d").await?;
    cluster.tell()?;
    let node = cluster.node("d")?;
    let pid = node.start()?;
    report.tell(&Event::node("start", node, pid))?;
    known(&mut cluster, report, "d", 3).await?;
    reshare(&a, &mut keys, 2, &["a", "b", "c", "d"], report).await?;
    both_sign(&cluster.client("d")?, &keys, "With the new node", Some(["a", "d"]), report).await?;

    report.chapter("Node b leaves: the others share the keys anew without it")?;
    reshare(&a, &mut keys, 2, &["a", "c", "d"], report).await?;
    cluster.remove("b")?;
    cluster.tell()?;
    report.tell(&Event::Stop { node: "b".to_owned() })?;
    both_sign(&a, &keys, "Without b", Some(["c", "d"]), report).await?;

    report.chapter("The disk of node c is lost; a fresh machine takes its place and gets shares again")?;
    let identity = cluster.wipe("c").await?;
    report.tell(&Event::Lost { node: "c".to_owned(), identity })?;
    both_sign(&a, &keys, "While c is away", Some(["a", "d"]), report).await?;
    cluster.tell()?;
    let node = cluster.node("c")?;
    let pid = node.start()?;
    report.tell(&Event::node("restart", node, pid))?;
    known(&mut cluster, report, "c", 2).await?;
    repair(&a, &mut keys, "c", report).await?;
    both_sign(&cluster.client("c")?, &keys, "With the repaired node", Some(["c", "d"]), report).await?;

    report.chapter("From now on three must sign; two are not enough")?;
    reshare(&a, &mut keys, 3, &["a", "c", "d"], report).await?;
    both_sign(&a, &keys, "All three", None, report).await?;
    cluster.node("d")?.kill();
    report.tell(&Event::Stop { node: "d".to_owned() })?;
    cluster.wait_gone("a", "d").await?;
    refused(&a, &keys.ed25519, report).await?;

    report.chapter("Node d comes back, and every node backs its shares up; anybody can check that")?;
    let node = cluster.node("d")?;
    let pid = node.start()?;
    report.tell(&Event::node("restart", node, pid))?;
    known(&mut cluster, report, "d", 2).await?;
    vault.back_up(&cluster, report).await?;

    report.chapter("Everything is lost: all machines, with disks, identities and shares")?;
    let names = Vault::strike(&mut cluster, report)?;

    report
        .chapter("Fresh machines get the shares again: from backups, and from two people who answer apart")?;
    vault.recover(&mut cluster, &names, 3, report).await?;

    report.chapter(
        "The restored shares deal new ones, and are erased; the addresses are those of the beginning",
    )?;
    let a = cluster.client("a")?;
    restore(&a, &mut keys, &names, report).await?;
    both_sign(&cluster.client("d")?, &keys, "After the disaster", None, report).await?;

    for node in &mut cluster.nodes {
        node.stop();
    }
    drop(cluster);
    folder.close().context("cannot remove the temporary folder")
}

async fn create(client: &Client, scheme: Scheme, report: &Report<'_>) -> anyhow::Result<Key> {
    let purposes = (scheme == Scheme::Ed25519).then(|| vec![Purpose::Message]);
    let wanted = CreateKey {
        scheme,
        threshold: Some(2),
        access: None,
        parties: None,
        purposes,
        label: Some("for ever".to_owned()),
    };
    let operation = client.create_key(&wanted, &fresh()?, WAIT).await?;
    let OperationResult::CreateKey { key, figures } = finish(client, operation).await? else {
        bail!("asked for a key, got something else");
    };
    report.tell(&Event::created(&key, &figures))?;
    Ok(*key)
}

/// A transfer under the one key, a message under the other.
async fn both_sign(
    client: &Client,
    keys: &Keys,
    when: &str,
    quorum: Option<[&str; 2]>,
    report: &Report<'_>,
) -> anyhow::Result<()> {
    let transfer = EthereumTransfer {
        chain_id: 1,
        nonce: 7,
        to: ETHEREUM_TO.to_owned(),
        value_wei: 1_500_000_000_000_000_000,
        gas_limit: 21_000,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        data: Vec::new(),
    };
    let what = format!("{when}: Ethereum transfer");
    sign(client, &keys.ethereum, ethereum_transfer(&transfer)?, quorum, &what, Some("ethereum"), report)
        .await?;
    let what = format!("{when}: message");
    sign(client, &keys.ed25519, message(when.as_bytes()), quorum, &what, None, report).await
}

async fn refresh(client: &Client, keys: &mut Keys, report: &Report<'_>) -> anyhow::Result<()> {
    for key in [&mut keys.ethereum, &mut keys.ed25519] {
        let act = Act::Refresh(Refresh { epoch: key.epoch, reason: None });
        moved(client, key, &act, report).await?;
    }
    Ok(())
}

async fn reshare(
    client: &Client,
    keys: &mut Keys,
    threshold: u16,
    parties: &[&str],
    report: &Report<'_>,
) -> anyhow::Result<()> {
    for key in [&mut keys.ethereum, &mut keys.ed25519] {
        let act = Act::Reshare(Reshare {
            epoch: key.epoch,
            threshold: Some(threshold),
            access: None,
            parties: Some(parties.iter().map(|name| (*name).to_owned()).collect()),
            reason: None,
        });
        moved(client, key, &act, report).await?;
    }
    Ok(())
}

async fn repair(client: &Client, keys: &mut Keys, party: &str, report: &Report<'_>) -> anyhow::Result<()> {
    for key in [&mut keys.ethereum, &mut keys.ed25519] {
        let act = Act::Repair(Repair { epoch: key.epoch, party: party.to_owned(), reason: None });
        moved(client, key, &act, report).await?;
    }
    Ok(())
}

async fn restore(
    client: &Client,
    keys: &mut Keys,
    lost: &[String],
    report: &Report<'_>,
) -> anyhow::Result<()> {
    for key in [&mut keys.ethereum, &mut keys.ed25519] {
        let (epoch, lost) = (key.epoch, lost.to_vec());
        let reason = Some("every node was lost".to_owned());
        let act = Act::Restore(Restore { epoch, lost, parties: None, threshold: None, access: None, reason });
        moved(client, key, &act, report).await?;
    }
    Ok(())
}

/// Moves a key, and demands that nothing of it changed that others can see.
async fn moved(client: &Client, key: &mut Key, act: &Act, report: &Report<'_>) -> anyhow::Result<()> {
    let operation = client.act(&key.id, act, &fresh()?, WAIT).await?;
    let OperationResult::Moved(done) = finish(client, operation).await? else {
        bail!("asked to move a key, got something else");
    };
    ensure!(done.key.id == key.id && done.key.public_key == key.public_key, "another key came out");
    ensure!(done.key.addresses == key.addresses, "the addresses changed");
    ensure!(done.key.epoch > key.epoch, "the key is in its old epoch still");
    report.tell(&Event::moved(&done))?;
    *key = *done.key;
    Ok(())
}

/// Waits until a node that is new, or new under its name, sees all others.
async fn known(
    cluster: &mut LocalCluster,
    report: &Report<'_>,
    name: &str,
    peers: usize,
) -> anyhow::Result<()> {
    cluster.wait_ready(name, peers).await?;
    // And they it: a connection has two ends.
    let others: Vec<String> =
        cluster.nodes.iter().map(|node| node.name.clone()).filter(|other| other != name).collect();
    let started = Instant::now();
    for other in others {
        let client = cluster.client(&other)?;
        while !client.nodes().await?.peers.iter().any(|peer| peer.name == name && peer.connected) {
            ensure!(started.elapsed() < KNOWN_WITHIN, "node {other} does not see `{name}`");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    report.tell(&Event::Known { node: name.to_owned(), peers })
}

/// Two nodes of a key that needs three: expects the error that says so.
async fn refused(client: &Client, key: &Key, report: &Report<'_>) -> anyhow::Result<()> {
    let request = Sign { intent: message(b"two are not enough"), path: None, quorum: None };
    let started = Instant::now();
    match client.sign(&key.id, &request, &fresh()?, WAIT).await {
        Err(ClientError::Problem(problem)) if problem.code == Code::NotEnoughParties => {
            report.tell(&Event::refused(&problem, started.elapsed())?)
        }
        Err(other) => Err(anyhow::Error::new(other).context("refused, but not for want of parties")),
        Ok(_) => bail!("two of three nodes signed"),
    }
}

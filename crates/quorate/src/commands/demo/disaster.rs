//! Losing every node and coming back from backups and recovery keys alone: what `quorate drill` does and the life of a key ends with. Everything
//! is done as people do it, with the commands of this program, each a process of its own.

use crate::local::{CLIENT, LocalCluster};
use anyhow::{Context as _, bail, ensure};
use quorate_node::config::Backup;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

use super::report::{Event, Report};

/// The holders of recovery keys.
const HOLDERS: [&str; 3] = ["alice", "bob", "carol"];
/// Which of them answer.
const ANSWER: [&str; 2] = ["alice", "carol"];
/// Who of them can open a backup.
const ACCESS: &str = "2 of (alice, bob, carol)";

/// A place for backups, and recovery keys that are neither there nor at a node.
#[derive(Debug)]
pub(crate) struct Vault {
    folder: PathBuf,
}

/// What a node had, as the place with the backups says it.
#[derive(Debug)]
struct Found {
    name: String,
    identity: String,
}

/// This program with these arguments, as a user would run it.
async fn ran(args: &[&str]) -> anyhow::Result<Vec<u8>> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    // What is set for a node of the user's own must not change this one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"QUORATE_"))
    {
        command.env_remove(name);
    }
    let ran = command.args(args).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let ran = ran.context("cannot run this program's own file")?;
    if !ran.status.success() {
        bail!("`quorate {}` failed: {}", args.join(" "), String::from_utf8_lossy(&ran.stderr).trim());
    }
    Ok(ran.stdout)
}

/// The same, for what it prints as JSON.
async fn tool(args: &[&str]) -> anyhow::Result<Value> {
    let all: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
    let printed = ran(&all).await?;
    serde_json::from_slice(&printed).with_context(|| format!("`quorate {}` printed no JSON", args.join(" ")))
}

fn text(value: &Value, name: &str) -> anyhow::Result<String> {
    let found = value.get(name).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("there is no `{name}`"))
}

fn number(value: &Value, name: &str) -> anyhow::Result<u64> {
    value.get(name).and_then(Value::as_u64).with_context(|| format!("there is no `{name}`"))
}

fn shown(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the temporary folder has a name that is no text")
}

impl Vault {
    /// Makes the recovery keys below a folder; the nodes of the cluster, which has not been started, back up to it from then on.
    pub(crate) async fn make(
        folder: &Path,
        cluster: &mut LocalCluster,
        report: &Report<'_>,
    ) -> anyhow::Result<Self> {
        let this = Self { folder: folder.join("vault") };
        fs::create_dir(&this.folder)?;
        let mut fingerprints = Vec::new();
        for holder in HOLDERS {
            let out = this.recovery_key(holder);
            let made = tool(&["recovery-key", "create", "--name", holder, "--out", shown(&out)?]).await?;
            fingerprints.push(text(&made, "fingerprint")?);
        }
        cluster.backup = Some(Backup {
            to: shown(&this.place())?.to_owned(),
            every: Duration::from_secs(24 * 3600),
            recipients: HOLDERS
                .iter()
                .map(|holder| this.folder.join(format!("{holder}.recovery.pub")))
                .collect(),
            access: ACCESS.to_owned(),
            keys_per_file: 16,
        });
        cluster.configure()?;
        report.tell(&Event::RecoveryKeys {
            holders: HOLDERS.map(str::to_owned).to_vec(),
            access: ACCESS.to_owned(),
            fingerprints,
        })?;
        Ok(this)
    }

    fn recovery_key(&self, holder: &str) -> PathBuf {
        self.folder.join(format!("{holder}.recovery"))
    }

    fn place(&self) -> PathBuf {
        self.folder.join("backups")
    }

    /// Backs up every node now.
    pub(crate) async fn back_up(&self, cluster: &LocalCluster, report: &Report<'_>) -> anyhow::Result<()> {
        // At the same time, as nodes do.
        let running: Vec<_> = cluster
            .nodes
            .iter()
            .map(|node| {
                let config = node.folder.join("quorate.toml");
                let made = async move { tool(&["backup", "create", "--config", shown(&config)?]).await };
                (node, tokio::spawn(made))
            })
            .collect();
        for (node, made) in running {
            let done = made.await??;
            report.tell(&Event::BackedUp {
                node: node.name.clone(),
                keys: number(&done, "keys")?,
                bytes: number(&done, "bytes")?,
            })?;
        }
        Ok(())
    }

    /// Checks the place as somebody who has no secret; gives the nodes that hold keys there in their newest epoch.
    async fn verify(&self, report: &Report<'_>) -> anyhow::Result<Vec<Found>> {
        let place = self.place();
        let survey = tool(&["backup", "verify", shown(&place)?]).await?;
        let empty = Vec::new();
        let list = |name: &str| survey.get(name).and_then(Value::as_array).unwrap_or(&empty);
        let mut found: Vec<(u64, Found)> = Vec::new();
        for node in list("nodes") {
            if number(node, "keys")? > 0 {
                let (name, identity) = (text(node, "name")?, text(node, "identity")?);
                found.push((number(node, "created_at")?, Found { name, identity }));
            }
        }
        // A machine that was replaced has its name twice: the later one counts.
        found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let mut named = std::collections::BTreeSet::new();
        found.retain(|(_, node)| named.insert(node.name.clone()));
        let sound = survey.get("sound").and_then(Value::as_bool).unwrap_or_default();
        report.tell(&Event::Verified { nodes: found.len(), keys: list("keys").len(), sound })?;
        ensure!(sound, "the backups are not sound");
        let mut found: Vec<Found> = found.into_iter().map(|(_, node)| node).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The disaster: every node is killed, and its folder with configuration, passphrase, identity, shares and log is gone.
    pub(crate) fn strike(cluster: &mut LocalCluster, report: &Report<'_>) -> anyhow::Result<Vec<String>> {
        let names: Vec<String> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
        cluster.lose_everything()?;
        report.tell(&Event::Disaster { nodes: names.clone() })?;
        Ok(names)
    }

    /// Fresh machines with identities of their own take the shares of so many lost ones in: a request, answers by people who are apart, the
    /// shares. Then all are started.
    pub(crate) async fn recover(
        &self,
        cluster: &mut LocalCluster,
        names: &[String],
        quorum: usize,
        report: &Report<'_>,
    ) -> anyhow::Result<()> {
        let found = self.verify(report).await?;
        ensure!(found.len() >= quorum, "the backups are of {} nodes, and {quorum} are needed", found.len());
        cluster.begin_anew(names).await?;
        for lost in found.iter().take(quorum) {
            self.take_in(cluster, lost, report).await?;
        }
        for node in &mut cluster.nodes {
            let pid = node.start()?;
            report.tell(&Event::node("start", node, pid))?;
        }
        for name in names {
            cluster.wait_ready(name, names.len().saturating_sub(1)).await?;
        }
        Ok(())
    }

    /// What a holder of a recovery key does, wherever the key is.
    async fn answer(
        &self,
        holder: &str,
        request: &Path,
        fingerprint: &str,
        folder: &Path,
    ) -> anyhow::Result<PathBuf> {
        let (key, place) = (self.recovery_key(holder), self.place());
        let out = folder.join(format!("{holder}.answer"));
        let (key, place) = (shown(&key)?, shown(&place)?);
        let asked = ["backup", "answer", shown(request)?, "--fingerprint", fingerprint];
        let with = ["--key", key, "--from", place, "--out", shown(&out)?];
        let args: Vec<&str> = asked.into_iter().chain(with).collect();
        tool(&args).await?;
        Ok(out)
    }

    async fn take_in(&self, cluster: &LocalCluster, lost: &Found, report: &Report<'_>) -> anyhow::Result<()> {
        let node = cluster.nodes.iter().find(|node| node.name == lost.name);
        let node = node.with_context(|| format!("there is no fresh machine for `{}`", lost.name))?;
        let place = self.place();
        let (request, one_time) = (node.folder.join("request"), node.folder.join("one-time"));
        let asked = tool(&[
            "backup",
            "request",
            "--from",
            shown(&place)?,
            "--of",
            &lost.identity,
            "--reason",
            "disaster drill",
            "--out",
            shown(&request)?,
            "--one-time",
            shown(&one_time)?,
        ])
        .await?;
        // People tell each other on the phone.
        let fingerprint = text(&asked, "fingerprint")?;
        report.tell(&Event::Asked {
            node: node.name.clone(),
            of: lost.identity.clone(),
            keys: number(&asked, "keys")?,
            fingerprint: fingerprint.clone(),
        })?;
        let mut answers = Vec::new();
        let [one, other] = ANSWER;
        let (one, other) = tokio::try_join!(
            self.answer(one, &request, &fingerprint, &node.folder),
            self.answer(other, &request, &fingerprint, &node.folder)
        )?;
        for (holder, out) in ANSWER.iter().zip([one, other]) {
            report.tell(&Event::Answered { by: (*holder).to_owned(), node: node.name.clone() })?;
            answers.push(out);
        }
        let config = node.folder.join("quorate.toml");
        let mut args = vec![
            "backup",
            "restore",
            shown(&request)?,
            "--one-time",
            shown(&one_time)?,
            "--from",
            shown(&place)?,
            "--config",
            shown(&config)?,
            // The others are gone, or not up yet.
            "--patience",
            "1s",
        ];
        for answer in &answers {
            args.push(shown(answer)?);
        }
        let restored = tool(&args).await?;
        let shares = restored.get("shares").and_then(Value::as_array).map_or(0, Vec::len);
        // As the command says: what opened them is deleted.
        for file in answers.iter().chain([&one_time, &request]) {
            fs::remove_file(file)?;
        }
        report.tell(&Event::TookIn { node: node.name.clone(), shares })
    }
}

/// `quorate key restore --all` at a node, as its client.
pub(crate) async fn restore_all(cluster: &LocalCluster, at: &str) -> anyhow::Result<()> {
    let (url, key) = (cluster.url(at)?, shown(&cluster.client_key)?);
    let order = ["key", "restore", "--all", "--yes", "--reason", "disaster drill"];
    let connection = ["--node", &url, "--client", CLIENT, "--client-key", key];
    let args: Vec<&str> = order.into_iter().chain(connection).collect();
    ran(&args).await.map(|_| ())
}

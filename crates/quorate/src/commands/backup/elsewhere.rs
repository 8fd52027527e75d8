//! What is known elsewhere of keys that are to be restored: in the place of the backups, at the other nodes, and in exported logs.

use crate::failure::usage;
use anyhow::Context as _;
use quorate_backup::{Archive, Place};
use quorate_keys::backup::entry::Restored;
use quorate_keys::share::KeyId as PackageId;
use quorate_node::{Heard, Known, Silent};
use quorate_protocol::party::IdentityKey;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// Longest line of an exported log.
const MAX_LINE: u64 = 4 << 20;

/// Who was asked, for the report.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sources {
    /// Nodes whose backups are in the place.
    pub(super) backups: Vec<String>,
    /// Peers that answered.
    pub(super) peers: Vec<String>,
    /// Logs that were read.
    pub(super) logs: Vec<PathBuf>,
    /// Whoever might have known more, and said nothing.
    pub(super) silent: Vec<Silent>,
}

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    latest: BTreeMap<PackageId, (u64, String)>,
    destroyed: BTreeMap<PackageId, String>,
    pub(super) sources: Sources,
}

impl Elsewhere {
    fn take(&mut self, key: PackageId, epoch: u64, who: &str) {
        let latest = self.latest.entry(key).or_insert_with(|| (epoch, who.to_owned()));
        if epoch > latest.0 {
            *latest = (epoch, who.to_owned());
        }
    }

    /// The newest indexes in the place, whichever node's they are.
    pub(super) async fn read_place(&mut self, place: &Place) -> anyhow::Result<()> {
        let mut folders: BTreeSet<String> = BTreeSet::new();
        for name in place.list("").await? {
            folders.extend(name.split_once('/').map(|(folder, _)| folder.to_owned()));
        }
        for folder in folders {
            let identity = hex::decode(&folder).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let Some(identity) = identity.and_then(|bytes| IdentityKey::from_bytes(&bytes)) else { continue };
            match Archive::new(place.clone(), identity).newest().await {
                Ok(Some(found)) => {
                    let who = format!("the backup of `{}`", found.index.name);
                    for covered in &found.index.keys {
                        self.take(covered.key_id, covered.epoch, &who);
                    }
                    self.sources.backups.push(found.index.name.clone());
                }
                Ok(None) => {}
                Err(error) => {
                    let node = format!("backup {folder}");
                    self.sources.silent.push(Silent { node, reason: error.to_string() });
                }
            }
        }
        Ok(())
    }

    /// What peers said.
    pub(super) fn read_peers(&mut self, heard: Heard) {
        for peer in heard.answered {
            let who = format!("node `{}`", peer.node);
            for (key, epoch) in peer.epochs {
                self.take(key, epoch, &who);
            }
            for key in peer.destroyed {
                self.destroyed.insert(key, who.clone());
            }
            self.sources.peers.push(peer.node);
        }
        self.sources.silent.extend(heard.silent);
    }

    /// An exported log, one JSON object a line. It is believed as far as it says that there is something newer.
    pub(super) fn read_log(&mut self, path: &Path, shares: &[Restored]) -> anyhow::Result<()> {
        let shown = path.display();
        let mut names = Names::of(shares);
        let file = File::open(path).map_err(|error| usage(format!("cannot read `{shown}`: {error}")))?;
        let mut lines = BufReader::new(file);
        let who = format!("the log `{shown}`");
        for number in 1.. {
            let mut line = String::new();
            let read = lines.by_ref().take(MAX_LINE).read_line(&mut line);
            if read.with_context(|| format!("cannot read `{shown}`"))? == 0 {
                break;
            }
            let Ok(line) = serde_json::from_str::<Line>(&line) else {
                return Err(usage(format!(
                    "line {number} of `{shown}` is none of `quorate log export`, which prints one JSON object a line"
                )));
            };
            let (Some(key), true) = (line.key, line.kind == "share") else { continue };
            let body = line.body.map(serde_json::from_value::<Share>);
            let Some(Ok(body)) = body else { continue };
            let step = (body.from.as_str(), body.to.as_str());
            // A key is born under the name of the operation that made it.
            if step == ("pending", "active") {
                names.learn(&key, &body.operation);
            }
            let Some(named) = names.get(&key) else { continue };
            if let ("switched" | "left", Some(epoch)) = (body.step.as_str(), body.epoch) {
                self.take(named, epoch, &who);
            }
            if step.1 == "destroyed" && step.0 != "pending" {
                self.destroyed.insert(named, who.clone());
            }
        }
        self.sources.logs.push(path.to_owned());
        Ok(())
    }

    /// Refuses what is older than what is known, or destroyed; each with who says so.
    pub(super) fn check(&self, shares: &[Restored]) -> anyhow::Result<()> {
        for share in shares {
            let key = hex::encode(share.key_id.0);
            if let Some(who) = self.destroyed.get(&share.key_id) {
                anyhow::bail!(
                    "{who} says that key `{key}` was destroyed: nothing is restored. Leave it out (`quorate backup request --public-key` names those that are wanted), or say why it must come back with --force --reason"
                );
            }
            if let Some((epoch, who)) =
                self.latest.get(&share.key_id).filter(|(epoch, _)| *epoch > share.epoch)
            {
                anyhow::bail!(
                    "the backup holds key `{key}` in epoch {}, and {who} says that it is in epoch {epoch}: whoever holds shares of that one can sign, and these shares may be stolen ones. Nothing is restored. Find a newer backup, repair the node from the others (`quorate key repair`), or say why with --force --reason",
                    share.epoch
                );
            }
        }
        Ok(())
    }

    /// The epochs alone.
    pub(super) fn known(&self) -> Known {
        self.latest.iter().map(|(key, (epoch, _))| (*key, *epoch)).collect()
    }
}

/// A line of an exported log, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Line {
    kind: String,
    key: Option<String>,
    body: Option<serde_json::Value>,
}

/// Its body, where it is about a share.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Share {
    from: String,
    to: String,
    operation: String,
    step: String,
    epoch: Option<u64>,
}

/// What a backup keeps beside a share, as far as it names the key.
#[derive(Debug, Deserialize)]
struct Beside {
    key: Option<String>,
    operation: Option<String>,
    record: Option<Box<Self>>,
}

/// How logs name the keys.
struct Names {
    by_name: BTreeMap<String, PackageId>,
    by_operation: BTreeMap<String, PackageId>,
}

impl Names {
    fn of(shares: &[Restored]) -> Self {
        let mut this = Self { by_name: BTreeMap::new(), by_operation: BTreeMap::new() };
        for share in shares {
            let Ok(Beside { key, operation, record }) = serde_json::from_slice(&share.record) else {
                continue;
            };
            this.by_name.extend(key.map(|name| (name, share.key_id)));
            let operation = operation.or_else(|| record.and_then(|record| record.operation));
            this.by_operation.extend(operation.map(|operation| (operation, share.key_id)));
        }
        this
    }

    fn learn(&mut self, key: &str, operation: &str) {
        if let Some(named) = self.by_operation.get(operation) {
            self.by_name.insert(key.to_owned(), *named);
        }
    }

    fn get(&self, key: &str) -> Option<PackageId> {
        self.by_name.get(key).copied()
    }
}

//! What lies in a place, and whether it would be enough.

use std::collections::{BTreeMap, BTreeSet};

use quorate_keys::backup::entry::{AnyEntry, ContentId};
use quorate_protocol::party::IdentityKey;
use serde::Serialize;

use crate::archive::{Archive, ArchiveError};
use crate::place::Place;

/// Everything that lies in a place.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Survey {
    /// By identity.
    pub nodes: Vec<NodeReport>,
    /// By key.
    pub keys: Vec<KeyReport>,
}

/// The files of one node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    /// Its identity, in hexadecimal.
    pub identity: String,
    /// Its name, as it says; empty without an index.
    pub name: String,
    /// Number of the newest index; 0 without one.
    pub sequence: u64,
    /// When that was made, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// Keys in it.
    pub keys: usize,
    /// The entries that it names.
    pub entries: Vec<EntryReport>,
    /// What is wrong beside them.
    pub problems: Vec<String>,
}

/// One entry.
#[derive(Clone, Debug, Serialize)]
pub struct EntryReport {
    /// Its name.
    pub id: String,
    /// Keys in it.
    pub keys: usize,
    /// Who can open it, such as `2 of (alice, bob, carol)`.
    pub access: String,
    /// Names of the recovery keys, in order of number.
    pub recipients: Vec<String>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// One key, as far as all nodes in the place have it.
#[derive(Clone, Debug, Serialize)]
pub struct KeyReport {
    /// The key's identity, as it was fixed at birth, in hexadecimal.
    pub key: String,
    /// Its public key, in hexadecimal.
    pub public_key: String,
    /// Its curve.
    pub curve: String,
    /// The latest epoch that was backed up by anybody.
    pub epoch: u64,
    /// Who can sign.
    pub access: String,
    /// Parties whose share of that epoch is here and verifies.
    pub parties: Vec<u16>,
    /// Whether those parties are enough to have the key again.
    pub recoverable: bool,
}

impl Survey {
    /// Whether nothing is wrong with any file, and every key could be had again.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let nodes = self
            .nodes
            .iter()
            .all(|node| node.problems.is_empty() && node.entries.iter().all(|entry| entry.problem.is_none()));
        nodes && !self.nodes.is_empty() && self.keys.iter().all(|key| key.recoverable)
    }
}

/// Checks every node's newest index in a place and every entry that it names: signatures, packages, certificates, and whether the
/// recovery keys can open each share. No secret is needed. About 0.2 s an entry.
///
/// # Errors
/// [`ArchiveError`] if the place cannot be read at all; everything else is in the survey.
pub async fn survey(place: &Place) -> Result<Survey, ArchiveError> {
    let mut folders: BTreeSet<String> = BTreeSet::new();
    for name in place.list("").await? {
        folders.extend(name.split_once('/').map(|(folder, _)| folder.to_owned()));
    }
    let mut survey = Survey::default();
    let mut keys: BTreeMap<[u8; 32], Vec<Seen>> = BTreeMap::new();
    for folder in folders {
        let identity =
            hex::decode(&folder).ok().and_then(|bytes| IdentityKey::from_bytes(&bytes.try_into().ok()?));
        let Some(identity) = identity else { continue };
        survey.nodes.push(node(place, identity, &mut keys).await?);
    }
    survey.keys = keys.into_iter().map(|(key, seen)| report(key, &seen)).collect();
    Ok(survey)
}

/// One share that verifies.
struct Seen {
    epoch: u64,
    index: u16,
    entry: AnyEntry,
    at: usize,
}

async fn node(
    place: &Place,
    identity: IdentityKey,
    keys: &mut BTreeMap<[u8; 32], Vec<Seen>>,
) -> Result<NodeReport, ArchiveError> {
    let archive = Archive::new(place.clone(), identity);
    let mut report = NodeReport {
        identity: hex::encode(identity.to_bytes()),
        name: String::new(),
        sequence: 0,
        created_at: 0,
        keys: 0,
        entries: Vec::new(),
        problems: Vec::new(),
    };
    let found = match archive.newest().await {
        Ok(Some(found)) => found,
        Ok(None) => {
            report.problems.push("there is no index: no backup of this node was finished".to_owned());
            return Ok(report);
        }
        Err(ArchiveError::Place(error)) => return Err(error.into()),
        Err(error) => {
            report.problems.push(error.to_string());
            return Ok(report);
        }
    };
    report.problems.extend(
        found.damaged.iter().map(|name| format!("`{name}` cannot be read; the index before it was taken")),
    );
    let index = found.index;
    (report.name, report.sequence) = (index.name, index.sequence);
    (report.created_at, report.keys) = (index.created_at, index.keys.len());
    let mut wanted: BTreeMap<ContentId, Vec<_>> = BTreeMap::new();
    for covered in &index.keys {
        wanted.entry(covered.entry).or_default().push((covered.key_id, covered.epoch));
    }
    for (id, covered) in wanted {
        let checked = match archive.entry(id).await {
            Ok(entry) => verified(entry).await,
            Err(ArchiveError::Place(error)) => return Err(error.into()),
            Err(error) => Err(error.to_string()),
        };
        let blank = |problem| EntryReport {
            id: id.to_string(),
            keys: covered.len(),
            access: String::new(),
            recipients: Vec::new(),
            problem: Some(problem),
        };
        let entry = match checked {
            Ok(entry) => entry,
            Err(problem) => {
                report.entries.push(blank(problem));
                continue;
            }
        };
        let items = entry.items();
        let absent = covered
            .iter()
            .filter(|(key, epoch)| !items.iter().any(|item| item.key_id == *key && item.epoch == *epoch))
            .count();
        report.entries.push(EntryReport {
            access: crate::text::named_access(entry.recipients()),
            recipients: entry.recipients().members().iter().map(|member| member.name.clone()).collect(),
            problem: (absent > 0).then(|| format!("{absent} keys are not in it, though the index says so")),
            ..blank(String::new())
        });
        for (at, item) in items.iter().enumerate() {
            if covered.contains(&(item.key_id, item.epoch)) {
                let seen = Seen { epoch: item.epoch, index: item.index.get(), entry: entry.clone(), at };
                keys.entry(item.key_id.0).or_default().push(seen);
            }
        }
    }
    Ok(report)
}

async fn verified(entry: AnyEntry) -> Result<AnyEntry, String> {
    let verify = move || entry.verify().map(|()| entry);
    match tokio::task::spawn_blocking(verify).await {
        Ok(done) => done.map_err(|fault| fault.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn report(key: [u8; 32], seen: &[Seen]) -> KeyReport {
    let epoch = seen.iter().map(|seen| seen.epoch).max().unwrap_or(0);
    let newest: Vec<&Seen> = seen.iter().filter(|seen| seen.epoch == epoch).collect();
    let mut parties: Vec<u16> = newest.iter().map(|seen| seen.index).collect();
    parties.sort_unstable();
    parties.dedup();
    let first = newest.first().and_then(|seen| seen.entry.items().into_iter().nth(seen.at));
    // All must be shares of the same package: the same epoch id.
    let same = newest.iter().all(|seen| {
        let item = seen.entry.items().into_iter().nth(seen.at);
        item.as_ref().map(|item| item.epoch_id) == first.as_ref().map(|item| item.epoch_id)
    });
    KeyReport {
        key: hex::encode(key),
        public_key: first.as_ref().map(|item| hex::encode(&item.public_key)).unwrap_or_default(),
        curve: first.as_ref().map(|item| item.curve.to_string()).unwrap_or_default(),
        epoch,
        access: first.as_ref().map(|item| item.access.to_string()).unwrap_or_default(),
        recoverable: same && first.is_some_and(|item| item.can_act(&parties)),
        parties,
    }
}

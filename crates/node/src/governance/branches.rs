//! Two branches of the directory: what is shown of them, and how the operator of a node takes the other one.
//!
//! It takes two changes of one version, both approved by the admins, that nodes adopted at the same moment (GOV.7). Each node stays
//! with its own, because to follow whoever speaks last would let a change that was never used come back at any time. So people
//! choose: on the nodes of the branch that is given up, the operator says so, with the node stopped.

use quorate_api::{Fork, Hex};
use quorate_log::entry::Kind;
use quorate_policy::chain::{self, ChainError, Entry, State};
use quorate_policy::change::Step;
use quorate_policy::genesis::{Genesis, GenesisFile};
use quorate_store::{Store, StoreError};
use serde::Serialize;

use super::{GovernanceError, Regime};
use crate::audit;
use crate::clock;
use crate::config::{Config, ConfigError};
use crate::folder::{self, FolderError};
use crate::shared::Shared;
use crate::unlock::Unlock;

/// What a node changed to another branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switched {
    /// The version at which the branches part.
    pub version: u64,
    /// How many changes of its own the node gave up. They are kept as evidence.
    pub dropped: usize,
}

/// Why a node stays with its branch.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The passphrase cannot be had.
    #[error(transparent)]
    Passphrase(#[from] quorate_seal::PassphraseError),
    /// The data folder cannot be opened, such as while the node runs.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is no genesis, or it does not verify.
    #[error(transparent)]
    Governance(#[from] GovernanceError),
    /// No such branch was seen.
    #[error("this node has seen no branch `{wanted}`; it has seen {}", shown(.known))]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// The heads of those it has.
        known: Vec<String>,
    },
    /// The change does not continue this node's chain.
    #[error("the other branch does not hold on this node's chain: {0}")]
    Invalid(ChainError),
    /// The policies of the other branch do not read.
    #[error("{0}")]
    Policies(String),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn shown(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

#[derive(Serialize)]
struct Taken {
    version: u64,
    head: String,
    dropped: Vec<String>,
}

/// A kept change with the version and head that it would have.
fn read(bytes: &[u8]) -> Option<(u64, [u8; 32], Entry)> {
    let entry = Entry::decode(bytes).ok()?;
    let (version, head) = chain::outcome(&entry.request)?;
    Some((version, head, entry))
}

impl Shared {
    /// GOV.7: the branches that this node has seen beside its own.
    pub(crate) async fn forks(&self) -> Result<Vec<Fork>, quorate_api::Problem> {
        let kept = self.store.forks().await.map_err(|error| crate::shared::store_problem(&error))?;
        let mut forks = Vec::new();
        for (at, bytes) in kept {
            let Some((version, theirs, entry)) = read(&bytes) else { continue };
            let ours = self.change_after(version.saturating_sub(1)).await?;
            let Some((_, ours)) = ours.and_then(|ours| chain::outcome(&ours.request)) else { continue };
            // Taken since.
            if ours == theirs {
                continue;
            }
            let body: Option<quorate_api::ChangeDirectory<Step>> =
                quorate_api::parse_body(entry.request.body()).ok();
            forks.push(Fork {
                version,
                ours: Hex(ours.to_vec()),
                theirs: Hex(theirs.to_vec()),
                client: entry.request.client().to_owned(),
                steps: body.and_then(|body| serde_json::to_value(body.steps).ok()).unwrap_or_default(),
                seen_at: at,
            });
        }
        Ok(forks)
    }
}

/// Lets the node of a configuration, which must not be running, take a branch of the directory that it has kept as evidence in place of
/// its own, from the version on at which they part. What it gives up is kept as evidence; all of it is logged.
///
/// # Errors
/// [`SwitchError`]; nothing is changed then.
pub async fn switch_branch(config: &Config, head: [u8; 32]) -> Result<Switched, SwitchError> {
    config.check()?;
    let path = config.genesis.as_ref().ok_or_else(|| {
        ConfigError::Check(vec!["it names no genesis, so this node has no directory".to_owned()])
    })?;
    let text = std::fs::read_to_string(path)
        .map_err(|source| GovernanceError::Read { path: path.clone(), source })?;
    let invalid = |source| GovernanceError::Genesis { path: path.clone(), source };
    let genesis = GenesisFile::parse(&text).and_then(|file| file.verify()).map_err(invalid)?;
    let opened = folder::open(&config.data, Unlock::of(config), Default::default()).await?;
    let switched = take(&opened.store, &genesis, head).await;
    opened.store.close().await;
    switched
}

async fn take(store: &Store, genesis: &Genesis, head: [u8; 32]) -> Result<Switched, SwitchError> {
    let kept = store.forks().await?;
    let kept: Vec<_> = kept.iter().filter_map(|(_, bytes)| Some((read(bytes)?, bytes))).collect();
    let found = kept.iter().find(|((_, theirs, _), _)| *theirs == head);
    let Some(((version, _, entry), bytes)) = found else {
        let known = kept.iter().map(|((_, theirs, _), _)| hex::encode(theirs)).collect();
        return Err(SwitchError::Unknown { wanted: hex::encode(head), known });
    };
    let mut state = State::of_genesis(genesis);
    let mut dropped = Vec::new();
    let mut from = 1;
    loop {
        let page = store.directory(from, quorate_store::MAX_PAGE_LEN).await?;
        let Some((last, _)) = page.last() else { break };
        from = last.saturating_add(1);
        for (at, bytes) in page {
            let damaged =
                |error: ChainError| GovernanceError::Damaged { version: at, reason: error.to_string() };
            if at < *version {
                let own = Entry::decode(&bytes).map_err(damaged)?;
                state = state.adopt(&own, None).map_err(damaged)?.next;
            } else {
                let (_, head, _) = read(&bytes).ok_or_else(|| damaged(ChainError::Encoding))?;
                dropped.push((head, bytes));
            }
        }
    }
    let next = state.adopt(entry, None).map_err(SwitchError::Invalid)?.next;
    Regime::of(next).map_err(|problem| SwitchError::Policies(problem.detail))?;
    let taken = Taken {
        version: *version,
        head: hex::encode(head),
        dropped: dropped.iter().map(|(head, _)| hex::encode(head)).collect(),
    };
    let log =
        audit::entry(Kind::Change, &taken).map_err(|problem| GovernanceError::Log(Box::new(problem)))?;
    let count = dropped.len();
    store.switch_branch(*version, (*bytes).clone(), dropped, clock::millis(), log).await?;
    Ok(Switched { version: *version, dropped: count })
}

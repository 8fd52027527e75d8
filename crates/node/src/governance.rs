//! Who may do what here: the directory and policies in force, as this node has verified them itself (`spec/42-governance.md`).
//!
//! A node with a genesis is *governed*: it knows people by the directory, and permits what the policies permit. A node without one
//! knows the clients of its configuration, and each of them may use every key.
//!
//! | module | holds |
//! |---|---|
//! | `branches` | two branches of the directory, and taking the other one |
//! | `cases` | requests that wait for people: what they said, and what follows |
//! | `changes` | the chain of changes: adopting, catching up, forks |
//! | `freezes` | what an admin stopped |
//! | `moment` | whether a decision still stands |
//! | `pace` | how often peers are asked and heard |
//! | `permit` | the decision on one request |
//! | `spending` | what was agreed to before |

pub(crate) mod branches;
pub(crate) mod cases;
mod changes;
mod freezes;
pub(crate) mod moment;
mod pace;
pub(crate) mod permit;
pub(crate) mod spending;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use quorate_api::{Code, KeyId, OperationId, Problem, SignedRequest};
use quorate_net::PeerId;
use quorate_policy::chain::{ChainError, Entry, State};
use quorate_policy::change::Step;
use quorate_policy::directory::Principal;
use quorate_policy::genesis::{Genesis, GenesisError, GenesisFile};
use quorate_policy::name::Name;
use quorate_store::{MAX_PAGE_LEN, Store, StoreError};

use crate::audit;
use crate::clock;
use crate::keys::Record;
use crate::members::Disagreement;
use crate::registry::locked;
use crate::shared::Shared;
use freezes::Freezes;
use permit::Rules;

/// Why a governed node does not start.
#[derive(Debug, thiserror::Error)]
pub enum GovernanceError {
    /// The file cannot be read.
    #[error("the genesis `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no valid genesis.
    #[error("the genesis `{}`: {source}", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: GenesisError,
    },
    /// The configuration names other nodes.
    #[error(transparent)]
    Nodes(#[from] Disagreement),
    /// The folder was begun under another genesis, or the configuration names none any more.
    #[error("this data folder is governed by another genesis: configure the one that it was started with")]
    Another,
    /// The chain in the store does not verify.
    #[error(
        "version {version} of the directory in this node's store does not verify: {reason}; restore the folder from a backup"
    )]
    Damaged {
        /// Which.
        version: u64,
        /// What is wrong.
        reason: String,
    },
    /// The policies in force do not read, such as with an older program than the one that took them.
    #[error(
        "{0}; nothing can be decided with them: mend them in the genesis, or run the version of the program that took them"
    )]
    Policies(String),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be logged.
    #[error("{0}")]
    Log(Box<Problem>),
}

/// A directory in force and its policies, read once.
pub(crate) struct Regime {
    pub(crate) state: State,
    pub(crate) rules: Rules,
}

impl Regime {
    /// Reads the policies of a directory.
    fn of(state: State) -> Result<Self, Problem> {
        let rules = Rules::compile(state.directory())?;
        Ok(Self { state, rules })
    }

    /// Whether some rule, or that of the admins, could ask this person: what nobody asks for is not kept.
    pub(crate) fn asks(&self, user: &Name) -> bool {
        let directory = self.state.directory();
        directory.admins().quorum.concerns(directory, user) || self.rules.ask(directory, user)
    }

    /// The principal behind a credential.
    pub(crate) fn principal(&self, client: &str) -> Option<(&Name, &Principal)> {
        let (credential, principal) = self.state.directory().credential(client)?;
        Some((&credential.principal, principal))
    }
}

/// How this node came to know a case.
#[derive(Clone, Debug)]
struct Told {
    /// Which peer told of it first, since the start; `None` for one that a client asked for here.
    by: Option<PeerId>,
    /// Who asks.
    client: String,
}

/// What a governed node knows.
pub(crate) struct Governance {
    pub(crate) cluster: Name,
    regime: Mutex<Arc<Regime>>,
    /// Held while a change is adopted.
    adopting: tokio::sync::Mutex<()>,
    freezes: Mutex<Freezes>,
    /// What was agreed to before, and whose turn it is to look at it.
    pub(crate) counter: Arc<spending::Counter>,
    /// Cases whose end this node does not know.
    waiting: Mutex<BTreeMap<OperationId, Told>>,
    /// The version of the directory at the last look at everything that waits.
    looked: Mutex<u64>,
    pace: pace::Pace,
    turns: moment::Turns,
    genesis: Genesis,
}

impl Governance {
    /// Reads the genesis that the configuration names, and the chain that the store has.
    pub(crate) async fn open(path: Option<&PathBuf>, store: &Store) -> Result<Option<Self>, GovernanceError> {
        let stored = store.directory(0, 1).await?;
        let Some(path) = path else {
            // Policies are not switched off by leaving a line out.
            return if stored.is_empty() { Ok(None) } else { Err(GovernanceError::Another) };
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| GovernanceError::Read { path: path.clone(), source })?;
        let invalid = |source| GovernanceError::Genesis { path: path.clone(), source };
        let genesis = GenesisFile::parse(&text).and_then(|file| file.verify()).map_err(invalid)?;
        let mut state = State::of_genesis(&genesis);
        match stored.first() {
            None => {
                let entry = audit::changed(&state, None, &genesis.terms().steps, None);
                let entry = entry.map_err(|problem| GovernanceError::Log(Box::new(problem)))?;
                store.adopt(0, genesis.hash().to_vec(), Vec::new(), clock::millis(), vec![entry]).await?;
            }
            Some((_, hash)) if *hash == genesis.hash() => {}
            Some(_) => return Err(GovernanceError::Another),
        }
        let mut freezes = Freezes::default();
        loop {
            let from = state.version().saturating_add(1);
            let page = store.directory(from, MAX_PAGE_LEN).await?;
            if page.is_empty() {
                break;
            }
            for (version, bytes) in page {
                let damaged =
                    |error: ChainError| GovernanceError::Damaged { version, reason: error.to_string() };
                let entry = Entry::decode(&bytes).map_err(damaged)?;
                // Its times were judged when it was adopted.
                let adopted = state.adopt(&entry, None).map_err(damaged)?;
                freezes.thaw(&adopted.steps);
                state = adopted.next;
            }
        }
        let regime = Regime::of(state).map_err(|problem| GovernanceError::Policies(problem.detail))?;
        for stored in store.freezes().await? {
            freezes.restore(&stored);
        }
        let mut waiting = BTreeMap::new();
        let mut read = 0_u32;
        loop {
            let page = store.open_cases(MAX_PAGE_LEN, read).await?;
            let count = u32::try_from(page.len()).unwrap_or(u32::MAX);
            waiting.extend(page.into_iter().filter_map(|case| {
                let client = SignedRequest::decode(&case.request).ok()?.client().to_owned();
                Some((case.op_id.parse().ok()?, Told { by: None, client }))
            }));
            read = read.saturating_add(count);
            if count < MAX_PAGE_LEN {
                break;
            }
        }
        Ok(Some(Self {
            cluster: genesis.terms().cluster.clone(),
            regime: Mutex::new(Arc::new(regime)),
            adopting: tokio::sync::Mutex::default(),
            freezes: Mutex::new(freezes),
            counter: Arc::new(spending::Counter::new(store.clone())),
            waiting: Mutex::new(waiting),
            looked: Mutex::default(),
            pace: pace::Pace::default(),
            turns: moment::Turns::default(),
            genesis,
        }))
    }

    /// What is in force now. A decision uses one regime from its beginning to its end.
    pub(crate) fn regime(&self) -> Arc<Regime> {
        Arc::clone(&locked(&self.regime))
    }
}

impl std::fmt::Debug for Governance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Governance").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// What this node is not, if it has no genesis.
pub(crate) fn ungoverned() -> Problem {
    let detail = "this node has no directory: its clients are those of its configuration; start a cluster with `quorate cluster init`";
    Problem::new(Code::Unsupported, detail)
}

/// Why a change is not taken, as the API says it.
fn chain_problem(error: &ChainError) -> Problem {
    let code = match error {
        ChainError::Base { .. } | ChainError::Fork(_) => Code::DirectoryChanged,
        ChainError::Unknown(_) => Code::UnknownClient,
        ChainError::Signature(_) => Code::SignatureInvalid,
        ChainError::Time => Code::RequestExpired,
        ChainError::Body(_) | ChainError::Encoding | ChainError::NoChange => Code::InvalidRequest,
        ChainError::Missing(_) | ChainError::Ruling(_) => Code::ApprovalMissing,
        ChainError::Rejected(_) => Code::OperationRejected,
        ChainError::Change(_) => Code::Unprocessable,
    };
    Problem::new(code, error.to_string())
}

/// The freezes that steps lift.
fn thawed(steps: &[Step]) -> Vec<[u8; 32]> {
    let hashes = steps.iter().flat_map(|step| match step {
        Step::Thaw { freezes } => freezes.as_slice(),
        _ => &[],
    });
    hashes.filter_map(|hash| hash.as_ref().try_into().ok()).collect()
}

/// What is not there, and what may not be seen: nobody can tell which.
pub(crate) fn hidden(what: impl std::fmt::Display) -> Problem {
    Problem::new(Code::NotFound, format!("no connected node holds a key `{what}`"))
}

impl Shared {
    /// The principal behind a client and its tenant, for what it makes.
    pub(crate) fn owner(&self, client: &str) -> (Option<Name>, Option<Name>) {
        let Some(governance) = &self.governance else { return (None, None) };
        let regime = governance.regime();
        match regime.principal(client) {
            Some((name, principal)) => (Some(name.clone()), principal.tenant.clone()),
            None => (None, None),
        }
    }

    /// GOV.10: a key of another tenant is not there, whatever else would be said about it.
    pub(crate) async fn check_key_sight(&self, client: &str, key: &KeyId) -> Result<(), Problem> {
        if self.governance.is_none() {
            return Ok(());
        }
        let tenant = match self.known_key(key).await? {
            Some(stored) => Record::from_bytes(&stored.record)?.tenant,
            None => match self.restored(key).await? {
                Some(waiting) => waiting.record.tenant,
                None => return Ok(()),
            },
        };
        if self.may_see(client, tenant.as_ref()) { Ok(()) } else { Err(hidden(key)) }
    }

    /// GOV.10: what concerns the whole cluster is for those who run it.
    pub(crate) fn check_insider(&self, client: &str) -> Result<(), Problem> {
        if self.may_see(client, None) {
            return Ok(());
        }
        let detail = "this is for those who run the cluster: you belong to a tenant";
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// GOV.10: whether a client may see what belongs to a tenant. Those who run the cluster see everything.
    pub(crate) fn may_see(&self, client: &str, tenant: Option<&Name>) -> bool {
        let Some(governance) = &self.governance else { return true };
        let regime = governance.regime();
        regime
            .principal(client)
            .is_some_and(|(_, principal)| principal.tenant.is_none() || principal.tenant.as_ref() == tenant)
    }

    /// What a governed node knows.
    pub(crate) fn governed(&self) -> Result<&Governance, Problem> {
        self.governance.as_ref().ok_or_else(ungoverned)
    }
}

//! The chain: which directory is in force, as a list of changes that the admins of the directory before signed.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::{ChangeDirectory, Method, Problem, SignedRequest, parse_body};
use quorate_intent::Summary;

use crate::approval::{self, Now, RulingError, Tally};
use crate::change::{ChangeError, Step};
use crate::directory::Directory;
use crate::genesis::Genesis;
use crate::name::Name;
use crate::quorum::{Missing, Progress};

const HASH: &str = "quorate 2026 directory change v1";
/// Most rulings that one entry carries.
pub const MAX_RULINGS: usize = 64;
/// The path of a change.
pub const PATH: &str = "/v1/directory/changes";

/// A directory and its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    version: u64,
    head: [u8; 32],
    directory: Directory,
}

/// One change with the approvals that made it valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The request for the change.
    pub request: SignedRequest,
    /// What people said about it.
    pub rulings: Vec<SignedRequest>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Wire {
    request: Vec<u8>,
    rulings: Vec<Vec<u8>>,
}

/// Why a change is not the next one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The bytes are no entry.
    #[error("the bytes are no entry of the chain")]
    Encoding,
    /// The request is for something else.
    #[error("this request changes nothing in the directory")]
    NoChange,
    /// The body does not read.
    #[error("{0}")]
    Body(String),
    /// It was made for another version.
    #[error(
        "the change was made for version {base} of the directory, which is at {now}: show the directory, and propose it again"
    )]
    Base {
        /// What it was made for.
        base: u64,
        /// What is in force.
        now: u64,
    },
    /// It continues another history.
    #[error(
        "the change continues another history of version {0}: this node and its author have different directories"
    )]
    Fork(u64),
    /// Who asks is not in the directory, or is disabled.
    #[error("no enabled principal has the credential `{0}`")]
    Unknown(String),
    /// The request's signature does not verify.
    #[error("the signature of the request does not verify under the credential `{0}`")]
    Signature(String),
    /// Its time is over or too far away.
    #[error("the request is not valid now: it has expired or expires too far ahead")]
    Time,
    /// A ruling does not count.
    #[error("an approval does not count: {0}")]
    Ruling(#[from] RulingError),
    /// Somebody who counts said no.
    #[error("`{0}` rejected it")]
    Rejected(Name),
    /// People are missing.
    #[error("it needs {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "))]
    Missing(Vec<Missing>),
    /// The steps cannot be taken.
    #[error("{0}")]
    Change(#[from] ChangeError),
}

/// A request for a change that was read and whose requester is known; nobody has agreed to it yet.
#[derive(Clone, Debug)]
pub struct Proposed {
    /// Who asks.
    pub requester: Name,
    /// The steps.
    pub steps: Vec<Step>,
    /// Why, in the requester's words.
    pub reason: Option<String>,
    /// The state if it is adopted.
    pub next: State,
}

impl Proposed {
    /// What the change does, in words made from its steps.
    #[must_use]
    pub fn words(&self) -> Summary {
        let mut summary = Summary {
            headline: format!("change the directory to version {}", self.next.version),
            details: self.steps.iter().map(Step::words).collect(),
            ..Summary::default()
        };
        if let Some(reason) = &self.reason {
            summary.details.push(format!("reason: {reason:?}"));
        }
        let admins = self.next.directory.admins();
        if self.steps.iter().any(|step| matches!(step, Step::SetAdmins { .. })) {
            summary.warnings.push(format!("from then on {} decide on changes", admins.quorum));
        }
        summary.warnings.extend(self.steps.iter().filter_map(Step::warning));
        summary
    }
}

impl State {
    /// The state before any change.
    #[must_use]
    pub fn of_genesis(genesis: &Genesis) -> Self {
        Self { version: 0, head: genesis.hash(), directory: genesis.directory().clone() }
    }

    /// Counts the changes.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Names the whole history.
    #[must_use]
    pub fn head(&self) -> [u8; 32] {
        self.head
    }

    /// The directory in force.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Reads a request for a change: the requester, its signature, the version it continues, the steps. Who must agree is not
    /// judged here.
    ///
    /// # Errors
    /// The first check that fails; the requester is at fault, or somebody was quicker.
    pub fn propose(&self, request: &SignedRequest, now: Now) -> Result<Proposed, ChainError> {
        if request.method() != Method::Post || request.path() != PATH {
            return Err(ChainError::NoChange);
        }
        let unknown = || ChainError::Unknown(request.client().to_owned());
        let (credential, _) = self.directory.credential(request.client()).ok_or_else(unknown)?;
        let requester = credential.principal.clone();
        let wrong = |_| ChainError::Signature(request.client().to_owned());
        credential.with.verify(request).map_err(wrong)?;
        if let Some((now, max_ahead)) = now
            && !(now..=now.saturating_add(max_ahead)).contains(&request.expires())
        {
            return Err(ChainError::Time);
        }
        let body: ChangeDirectory<Step> =
            parse_body(request.body()).map_err(|Problem { detail, .. }| ChainError::Body(detail))?;
        if body.base != self.version {
            return Err(ChainError::Base { base: body.base, now: self.version });
        }
        if body.previous.as_ref() != self.head {
            return Err(ChainError::Fork(body.base));
        }
        let directory = self.directory.changed(&body.steps)?;
        let next =
            Self { version: self.version.saturating_add(1), head: after(&self.head, request), directory };
        Ok(Proposed { requester, steps: body.steps, reason: body.reason, next })
    }

    /// The state after an entry: the change is the next one, and the people who must agree do.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn adopt(&self, entry: &Entry, now: Now) -> Result<Proposed, ChainError> {
        let proposed = self.propose(&entry.request, now)?;
        let rulings = entry.rulings.iter();
        let rulings = rulings
            .map(|ruling| {
                let judged = approval::judge(&self.directory, &entry.request, ruling, None)?;
                // Only an approval ends with its time.
                match judged.verdict {
                    approval::Verdict::Approve => {
                        approval::judge(&self.directory, &entry.request, ruling, now)
                    }
                    approval::Verdict::Reject | approval::Verdict::Withdraw => Ok(judged),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let tally = Tally::of(&rulings);
        match self.agreement(&proposed.requester, &tally) {
            Agreement::Agreed => Ok(proposed),
            Agreement::Rejected(by) => Err(ChainError::Rejected(by)),
            Agreement::Missing(missing) => Err(ChainError::Missing(missing)),
        }
    }

    /// Whether the admins agree.
    #[must_use]
    pub fn agreement(&self, requester: &Name, tally: &Tally) -> Agreement {
        let rule = self.directory.admins();
        let concerned = |user: &&Name| *user == requester || rule.quorum.concerns(&self.directory, user);
        if let Some(by) = tally.rejected.iter().find(concerned) {
            return Agreement::Rejected(by.clone());
        }
        // Who cannot count is not asked.
        let without = (!rule.requester_counts).then_some(requester);
        let agreed = tally.agreed(requester, rule.requester_counts);
        match rule.quorum.progress_without(&self.directory, &agreed, without) {
            Progress::Satisfied => Agreement::Agreed,
            Progress::Missing(missing) => Agreement::Missing(missing),
        }
    }
}

/// The version and head that the directory has if this request is adopted; `None` if it asks for no change.
#[must_use]
pub fn outcome(request: &SignedRequest) -> Option<(u64, [u8; 32])> {
    let body: ChangeDirectory<Step> = parse_body(request.body()).ok()?;
    let previous: [u8; 32] = body.previous.as_ref().try_into().ok()?;
    Some((body.base.checked_add(1)?, after(&previous, request)))
}

fn after(previous: &[u8; 32], request: &SignedRequest) -> [u8; 32] {
    blake3::derive_key(HASH, &[&previous[..], &request.request_hash()].concat())
}

/// What the people who must agree have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Enough agree.
    Agreed,
    /// One of them said no.
    Rejected(Name),
    /// Some have said nothing.
    Missing(Vec<Missing>),
}

impl Entry {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let rulings = self.rulings.iter().map(SignedRequest::encode).collect();
        // Writing into a vector does not fail.
        borsh::to_vec(&Wire { request: self.request.encode(), rulings }).unwrap_or_default()
    }

    /// Reads [`encode`](Self::encode).
    ///
    /// # Errors
    /// [`ChainError::Encoding`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ChainError> {
        let wire: Wire = borsh::from_slice(bytes).map_err(|_| ChainError::Encoding)?;
        if wire.rulings.len() > MAX_RULINGS {
            return Err(ChainError::Encoding);
        }
        let read = |bytes: &[u8]| SignedRequest::decode(bytes).map_err(|_| ChainError::Encoding);
        let rulings = wire.rulings.iter().map(|ruling| read(ruling)).collect::<Result<_, _>>()?;
        Ok(Self { request: read(&wire.request)?, rulings })
    }
}

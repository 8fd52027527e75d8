//! Operations and their states.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::{StoreError, limits};

/// The state of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationStatus {
    /// Waits for other principals.
    PendingApproval,
    /// Waits for its turn.
    Queued,
    /// A ceremony runs.
    Running,
    /// Done; there is a result.
    Succeeded,
    /// Given up; there is an error.
    Failed,
    /// A principal or the policy said no.
    Rejected,
    /// Its time ran out.
    Expired,
    /// The requester took it back.
    Cancelled,
}

impl OperationStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::PendingApproval,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Rejected,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The word for it in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingApproval => "pending_approval",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the operation was answered. An answer stays.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::PendingApproval | Self::Queued | Self::Running)
    }

    /// The state machine. `running` may follow itself (the next attempt) and go back to `queued` (after a restart).
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::PendingApproval => !matches!(next, Self::PendingApproval | Self::Running | Self::Succeeded),
            Self::Queued => !matches!(next, Self::PendingApproval | Self::Queued),
            Self::Running => !matches!(next, Self::PendingApproval),
            _ => false,
        }
    }
}

impl fmt::Display for OperationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OperationStatus {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or(StoreError::OutOfRange { what: "operation status" })
    }
}

/// An operation to be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOperation {
    /// Its id, which is the idempotency key of the request.
    pub op_id: String,
    /// Hash of the request: the same id with another hash is refused.
    pub request_hash: [u8; 32],
    /// The exact bytes of the request.
    pub request: Vec<u8>,
    /// What is asked for.
    pub kind: String,
    /// The key it is about, if it exists already.
    pub key_id: Option<String>,
    /// The status to start with.
    pub status: OperationStatus,
    /// When it ends unanswered, in milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// Where it came from, as the node says that took it from the client.
    pub source: Option<IpAddr>,
}

impl NewOperation {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        limits::id("operation id", self.op_id.as_bytes())?;
        limits::id("operation kind", self.kind.as_bytes())?;
        if let Some(key_id) = &self.key_id {
            limits::id("key id", key_id.as_bytes())?;
        }
        limits::signed("expiry", self.expires_at)?;
        limits::blob("request", &self.request)
    }

    /// As it is stored at this time.
    pub(crate) fn begun(self, now: u64) -> Operation {
        Operation {
            op_id: self.op_id,
            request_hash: self.request_hash,
            request: self.request,
            kind: self.kind,
            key_id: self.key_id,
            status: self.status,
            result: None,
            error: None,
            attempt: 0,
            created_at: now,
            updated_at: now,
            expires_at: self.expires_at,
            source: self.source,
        }
    }
}

/// A stored operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub op_id: String,
    /// Hash of the request.
    pub request_hash: [u8; 32],
    /// The exact bytes of the request.
    pub request: Vec<u8>,
    /// What is asked for.
    pub kind: String,
    /// The key it is about.
    pub key_id: Option<String>,
    /// Its status.
    pub status: OperationStatus,
    /// The result, once it succeeded.
    pub result: Option<Vec<u8>>,
    /// The error, once it failed.
    pub error: Option<Vec<u8>>,
    /// How many ceremonies were started for it.
    pub attempt: u32,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When it changed last, in milliseconds since the Unix epoch.
    pub updated_at: u64,
    /// When it ends unanswered, in milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// Where it came from, as the node says that took it from the client.
    pub source: Option<IpAddr>,
}

/// What beginning an operation found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// It is new: the caller, and no one else, runs it.
    New(Operation),
    /// The same request was begun before: answer from this.
    Existing(Operation),
    /// The id is taken by another request.
    Conflict,
}

/// A change of an operation. `None` keeps what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationUpdate {
    /// The next status.
    pub status: OperationStatus,
    /// The key it turned out to be about.
    pub key_id: Option<String>,
    /// The result.
    pub result: Option<Vec<u8>>,
    /// The error.
    pub error: Option<Vec<u8>>,
    /// How many ceremonies were started for it.
    pub attempt: Option<u32>,
}

impl OperationUpdate {
    /// A change of the status alone.
    #[must_use]
    pub const fn status(status: OperationStatus) -> Self {
        Self { status, key_id: None, result: None, error: None, attempt: None }
    }

    /// Whether it is in bounds and a step from `expected`.
    pub(crate) fn check(&self, op_id: &str, expected: OperationStatus) -> Result<(), StoreError> {
        if !expected.may_become(self.status) {
            let (id, from, to) = (op_id.to_owned(), expected.as_str(), self.status.as_str());
            return Err(StoreError::Transition { what: "operation", id, from, to });
        }
        if let Some(key_id) = &self.key_id {
            limits::id("key id", key_id.as_bytes())?;
        }
        limits::blob("result", self.result.as_deref().unwrap_or_default())?;
        limits::blob("error", self.error.as_deref().unwrap_or_default())
    }
}

/// Which operations to list. `None` means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// Those about this key.
    pub key_id: Option<String>,
    /// Those in this status.
    pub status: Option<OperationStatus>,
}

//! Operations: the life of a request as the API shows it.

use crate::act::StateResult;
use crate::backup::BackupResult;
use crate::export::ExportResult;
use crate::governance::Approvals;
use crate::id::{Hex, KeyId, OperationId};
use crate::key::Key;
use crate::moving::MoveResult;
use crate::problem::Problem;
use crate::sign::{Figures, SignBatchResult, SignResult, Skipped};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Create a key.
    CreateKey,
    /// Sign.
    Sign,
    /// Sign many things at once.
    SignBatch,
    /// Change the directory or the policies.
    ChangeDirectory,
    /// Disable a key.
    DisableKey,
    /// Enable a key again.
    EnableKey,
    /// Destroy a key after a delay.
    DestroyKey,
    /// Call a destruction off.
    KeepKey,
    /// Give the parties of a key new shares.
    RefreshKey,
    /// Give a key to other parties.
    ReshareKey,
    /// Give a party its share again.
    RepairKey,
    /// Give a key new shares from restored ones.
    RestoreKey,
    /// Import a key.
    ImportKey,
    /// Export a key.
    ExportKey,
    /// Back up the shares of one node.
    BackUp,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::CreateKey,
        Self::Sign,
        Self::SignBatch,
        Self::ChangeDirectory,
        Self::DisableKey,
        Self::EnableKey,
        Self::DestroyKey,
        Self::KeepKey,
        Self::RefreshKey,
        Self::ReshareKey,
        Self::RepairKey,
        Self::RestoreKey,
        Self::ImportKey,
        Self::ExportKey,
        Self::BackUp,
    ];

    /// The name as JSON, metrics and the store write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateKey => "create_key",
            Self::Sign => "sign",
            Self::SignBatch => "sign_batch",
            Self::ChangeDirectory => "change_directory",
            Self::DisableKey => "disable_key",
            Self::EnableKey => "enable_key",
            Self::DestroyKey => "destroy_key",
            Self::KeepKey => "keep_key",
            Self::RefreshKey => "refresh_key",
            Self::ReshareKey => "reshare_key",
            Self::RepairKey => "repair_key",
            Self::RestoreKey => "restore_key",
            Self::ImportKey => "import_key",
            Self::ExportKey => "export_key",
            Self::BackUp => "back_up",
        }
    }

    /// Reads [`as_str`](Self::as_str).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// It waits for approvals.
    PendingApproval,
    /// It will start.
    Queued,
    /// A ceremony runs.
    Running,
    /// It ended with a result.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// An approver or a policy said no.
    Rejected,
    /// It was not approved or started in time.
    Expired,
    /// Somebody cancelled it.
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

    /// The name as JSON and the store write it.
    pub fn as_str(self) -> &'static str {
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

    /// Reads [`as_str`](Self::as_str).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::PendingApproval | Self::Queued | Self::Running)
    }

    /// Whether an operation may go from this status to `next`. A final status stays.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::PendingApproval => {
                matches!(next, Self::Queued | Self::Rejected | Self::Expired | Self::Cancelled | Self::Failed)
            }
            Self::Queued => matches!(next, Self::Running | Self::Failed | Self::Expired | Self::Cancelled),
            Self::Running => matches!(next, Self::Succeeded | Self::Failed | Self::Cancelled),
            Self::Succeeded | Self::Failed | Self::Rejected | Self::Expired | Self::Cancelled => false,
        }
    }
}

/// That a node logged the outcome of an operation: anyone can check it offline, knowing only the node's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeReceipt {
    /// The node's name.
    pub node: String,
    /// Its identity, 32 bytes in hex.
    pub identity: String,
    /// The entry, its place, the proof that it is in the node's log, and the signed head of the log, in the text form of
    /// <https://c2sp.org/tlog-proof>.
    pub receipt: String,
}

/// What a succeeded operation gave.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OperationResult {
    /// The created key.
    CreateKey {
        /// The key.
        key: Box<Key>,
        /// What its generation cost.
        figures: Figures,
    },
    /// The signatures.
    Sign(Box<SignResult>),
    /// What many things that were signed together gave.
    SignBatch(Box<SignBatchResult>),
    /// The directory after the change.
    ChangeDirectory {
        /// Its version.
        version: u64,
        /// What names its whole history, 32 bytes.
        head: Hex,
    },
    /// What became of an order about a key's state.
    KeyState(Box<StateResult>),
    /// The key after its shares were replaced.
    Moved(Box<MoveResult>),
    /// Sealed shares of a key that is exported.
    ExportKey(Box<ExportResult>),
    /// What a backup wrote.
    BackUp(Box<BackupResult>),
}

/// How far a running operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// The protocol that runs, such as `dkg` or `ecdsa-sign`.
    pub protocol: String,
    /// The round that is collected now, from 1.
    pub round: u16,
    /// How many rounds there are, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u16>,
    /// The nodes that take part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quorum: Vec<String>,
    /// The nodes whose messages are still missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaiting: Vec<String>,
    /// The nodes that were given up on the way here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// The life of one request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its identifier.
    pub id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// Where it stands.
    pub status: OperationStatus,
    /// The key it is about; for a create operation the key that will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// When it was asked for, in unix milliseconds.
    pub created_at: u64,
    /// When it last changed, in unix milliseconds.
    pub updated_at: u64,
    /// The result, once it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<OperationResult>,
    /// That the nodes which took part logged the outcome, once it succeeded; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<NodeReceipt>,
    /// The error, once it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// How far it is, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Who has agreed and who is missing, while it waits for people; not in lists of other nodes' operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Box<Approvals>>,
    /// The address it came from, as the node says that took it from the client; the asked node may not be that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub source: Option<IpAddr>,
}

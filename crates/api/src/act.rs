//! What is done to a key that exists, other than signing with it: one body and one route an act.

use crate::bounded::{self, parse_body};
use crate::export::Export;
use crate::id::KeyId;
use crate::key::KeyStatus;
use crate::moving::{Refresh, Repair, Reshare, Restore};
use crate::operation::OperationKind;
use crate::problem::{Code, Problem};
use crate::schema;
use crate::sign::Skipped;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The largest count of acts of one key.
pub const MAX_ACTS: u64 = 1_000_000_000;
/// The longest delay of a destruction that can be asked for, in seconds: a year.
pub const MAX_DESTROY_DELAY: u64 = 366 * 86_400;

/// Which act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActKind {
    /// Nobody signs with the key until it is enabled again.
    Disable,
    /// A disabled key can be used again.
    Enable,
    /// Every share is erased after a delay; until then nobody signs with the key.
    Destroy,
    /// A destruction that has not happened is called off; the key stays disabled.
    Keep,
    /// The parties get new shares.
    Refresh,
    /// Other parties, or another number of them, get new shares.
    Reshare,
    /// The parties get new shares, one of them under another identity or after it lost its own.
    Repair,
    /// The parties get new shares, dealt from shares that came out of backups.
    Restore,
    /// The private key is put together outside of the nodes, once.
    Export,
}

impl ActKind {
    /// Every act.
    pub const ALL: [Self; 9] = [
        Self::Disable,
        Self::Enable,
        Self::Destroy,
        Self::Keep,
        Self::Refresh,
        Self::Reshare,
        Self::Repair,
        Self::Restore,
        Self::Export,
    ];

    /// The name in JSON, in the log, and at the end of the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Destroy => "destroy",
            Self::Keep => "keep",
            Self::Refresh => "refresh",
            Self::Reshare => "reshare",
            Self::Repair => "repair",
            Self::Restore => "restore",
            Self::Export => "export",
        }
    }

    /// Reads [`as_str`](Self::as_str).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The kind of its operation.
    pub const fn operation(self) -> OperationKind {
        match self {
            Self::Disable => OperationKind::DisableKey,
            Self::Enable => OperationKind::EnableKey,
            Self::Destroy => OperationKind::DestroyKey,
            Self::Keep => OperationKind::KeepKey,
            Self::Refresh => OperationKind::RefreshKey,
            Self::Reshare => OperationKind::ReshareKey,
            Self::Repair => OperationKind::RepairKey,
            Self::Restore => OperationKind::RestoreKey,
            Self::Export => OperationKind::ExportKey,
        }
    }

    /// The path of the act for a key.
    pub fn path(self, key: &KeyId) -> String {
        format!("/v1/keys/{key}/{}", self.as_str())
    }
}

/// Body of `POST /v1/keys/{key}/disable`, `…/enable` and `…/keep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// How many orders about its state the key has had, as `acts` of the key says: an order for an older state does nothing.
    #[serde(deserialize_with = "bounded::acts")]
    #[schema(maximum = 1_000_000_000)]
    pub base: u64,
    /// Why, for the others and the log.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub reason: Option<String>,
}

/// Body of `POST /v1/keys/{key}/destroy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Destroy {
    /// How many orders about its state the key has had, as `acts` of the key says: an order for an older state does nothing.
    #[serde(deserialize_with = "bounded::acts")]
    #[schema(maximum = 1_000_000_000)]
    pub base: u64,
    /// After how many seconds the shares are erased, counted by each node from when it logged its decision. Not less than the nodes'
    /// own `[keys] destroy_delay`, which is also what holds without it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::destroy_delay")]
    #[schema(minimum = 1, maximum = 31_622_400)]
    pub delay: Option<u64>,
    /// Why, for the others and the log.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub reason: Option<String>,
}

/// An act with its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Act {
    /// Nobody signs with the key until it is enabled again.
    Disable(Order),
    /// A disabled key can be used again.
    Enable(Order),
    /// Every share is erased after a delay.
    Destroy(Destroy),
    /// A destruction is called off.
    Keep(Order),
    /// The parties get new shares.
    Refresh(Refresh),
    /// Other parties, or another number of them, get new shares.
    Reshare(Reshare),
    /// A party gets a share again.
    Repair(Repair),
    /// The parties get new shares from restored ones.
    Restore(Restore),
    /// The private key is put together outside of the nodes.
    Export(Export),
}

impl Act {
    /// Reads the body of a request for an act.
    ///
    /// # Errors
    /// As [`parse_body`].
    pub fn parse(kind: ActKind, body: &[u8]) -> Result<Self, Problem> {
        let whole = |why| Problem::new(Code::InvalidRequest, format!("the body: {why}"));
        Ok(match kind {
            ActKind::Disable => Self::Disable(parse_body(body)?),
            ActKind::Enable => Self::Enable(parse_body(body)?),
            ActKind::Destroy => Self::Destroy(parse_body(body)?),
            ActKind::Keep => Self::Keep(parse_body(body)?),
            ActKind::Refresh => Self::Refresh(parse_body(body)?),
            ActKind::Reshare => {
                let reshare: Reshare = parse_body(body)?;
                reshare.check().map_err(whole)?;
                Self::Reshare(reshare)
            }
            ActKind::Repair => Self::Repair(parse_body(body)?),
            ActKind::Restore => {
                let restore: Restore = parse_body(body)?;
                restore.check().map_err(whole)?;
                Self::Restore(restore)
            }
            ActKind::Export => Self::Export(parse_body(body)?),
        })
    }

    /// Which act it is.
    pub const fn kind(&self) -> ActKind {
        match self {
            Self::Disable(_) => ActKind::Disable,
            Self::Enable(_) => ActKind::Enable,
            Self::Destroy(_) => ActKind::Destroy,
            Self::Keep(_) => ActKind::Keep,
            Self::Refresh(_) => ActKind::Refresh,
            Self::Reshare(_) => ActKind::Reshare,
            Self::Repair(_) => ActKind::Repair,
            Self::Restore(_) => ActKind::Restore,
            Self::Export(_) => ActKind::Export,
        }
    }

    /// Why, if whoever asked said so.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Disable(order) | Self::Enable(order) | Self::Keep(order) => order.reason.as_deref(),
            Self::Destroy(destroy) => destroy.reason.as_deref(),
            Self::Refresh(refresh) => refresh.reason.as_deref(),
            Self::Reshare(reshare) => reshare.reason.as_deref(),
            Self::Repair(repair) => repair.reason.as_deref(),
            Self::Restore(restore) => restore.reason.as_deref(),
            Self::Export(export) => Some(&export.reason),
        }
    }

    /// Of an order about the key's state: how many there were before it. Of any other act 0.
    pub const fn base(&self) -> u64 {
        match self {
            Self::Disable(order) | Self::Enable(order) | Self::Keep(order) => order.base,
            Self::Destroy(destroy) => destroy.base,
            Self::Refresh(_) | Self::Reshare(_) | Self::Repair(_) | Self::Restore(_) => 0,
            Self::Export(_) => 0,
        }
    }
}

/// What became of an order about a key's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateResult {
    /// The key.
    pub key: KeyId,
    /// What was ordered.
    pub act: ActKind,
    /// Which order about the key's state it was, from 1.
    pub number: u64,
    /// The key's status at the node that answers, when the order was carried out.
    pub status: KeyStatus,
    /// When that node erases its share, in unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroys_at: Option<u64>,
    /// The nodes that have done it, as their receipts prove.
    pub by: Vec<String>,
    /// The other nodes of the key, and why not yet: they catch up when they are back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Skipped>,
}

//! Events: what changes at a node, as `GET /v1/events` streams it and webhooks deliver it.

use crate::id::{KeyId, OperationId};
use crate::problem::Code;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Longest [`Event::detail`], in characters.
pub const MAX_EVENT_DETAIL: usize = 300;
/// Header with which a client goes on where its stream broke off, and where an event says its place.
pub const HEADER_LAST_EVENT_ID: &str = "last-event-id";

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What an event says: the `event` of the stream, and `type` in its data.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name, the same in JSON, in the stream and in the configuration.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    /// An operation began at this node, by a client's request or by another node's proposal.
    OperationCreated = "operation.created";
    /// It waits for approvals.
    OperationPending = "operation.pending";
    /// It will start.
    OperationQueued = "operation.queued";
    /// An attempt of it runs.
    OperationRunning = "operation.running";
    /// It has its result here.
    OperationSucceeded = "operation.succeeded";
    /// This node's part in it ended without a result; the same request may be tried again.
    OperationFailed = "operation.failed";
    /// An approver or a policy said no.
    OperationRejected = "operation.rejected";
    /// It was not approved or started in time.
    OperationExpired = "operation.expired";
    /// Somebody cancelled it.
    OperationCancelled = "operation.cancelled";
    /// This node has stored a share of a key that is being created.
    KeyCreating = "key.creating";
    /// The key can be used.
    KeyActive = "key.active";
    /// The key was disabled.
    KeyDisabled = "key.disabled";
    /// The private key is or was outside of its shares.
    KeyExposed = "key.exposed";
    /// This node erases its share at the time in the detail, unless somebody asks to keep the key.
    KeyDestruction = "key.destruction";
    /// This node erases its share soon.
    KeyDestructionNear = "key.destruction_near";
    /// The destruction was called off.
    KeyKept = "key.kept";
    /// The share of this node may not be used any more.
    KeyBurned = "key.burned";
    /// The share of this node was erased.
    KeyDestroyed = "key.destroyed";
    /// A check failed, and this node will never again sign with `peer` under this key.
    PairBurned = "pair.burned";
    /// The log of `peer` contradicts what this node saw of it.
    LogContradiction = "log.contradiction";
    /// A request waits for people, asked for at this node or at another one.
    ApprovalWanted = "approval.wanted";
    /// Somebody approved, rejected or withdrew; the detail says who and what.
    ApprovalGiven = "approval.given";
    /// The directory or the policies changed; the detail says the version.
    DirectoryChanged = "directory.changed";
    /// An admin, or this node's circuit breaker, has frozen something; the detail says what.
    Frozen = "frozen";
    /// The shares of this node were backed up; the detail says how many.
    BackupWritten = "backup.written";
    /// They could not be backed up; the detail says why. It is tried again.
    BackupFailed = "backup.failed";
    /// The node takes requests.
    NodeStarted = "node.started";
    /// The node is shutting down; the stream ends.
    NodeStopping = "node.stopping";
    /// A connection with `peer` came up.
    PeerUp = "peer.up";
    /// It went down.
    PeerDown = "peer.down";
    /// This node keeps a proof that `peer` cheated, and does not sign with it any more; the detail says what it did.
    PeerQuarantined = "peer.quarantined";
    /// An operator of this node lets it sign with `peer` again.
    PeerReadmitted = "peer.readmitted";
    /// Events between `after` and this one are not kept any more: ask for what they were about.
    Gap = "gap";
}

impl EventKind {
    /// Reads [`as_str`](Self::as_str).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

// Not derived: the derive does not see the names, which come out of the macro above.
impl utoipa::PartialSchema for EventKind {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let names = Self::ALL.iter().map(|kind| kind.as_str());
        let text = utoipa::openapi::schema::SchemaType::new(utoipa::openapi::schema::Type::String);
        let object = utoipa::openapi::schema::ObjectBuilder::new().schema_type(text).enum_values(Some(names));
        utoipa::openapi::Schema::Object(object.build()).into()
    }
}

impl ToSchema for EventKind {}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something changed at one node. It holds no secret, and its size is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place: larger than that of every event before it at this node, also of those before a restart.
    pub id: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// When, in unix milliseconds by the node's clock.
    pub time: u64,
    /// The node that says so.
    pub node: String,
    /// The operation it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// The key it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// The request that caused it at this node, if a client's request did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The other node it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Counts the attempts of the operation, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The code of the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 300)]
    pub detail: Option<String>,
    /// Of a gap: the last event before it that the client has, or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl Event {
    /// An event about nothing yet.
    pub fn new(id: u64, kind: EventKind, time: u64, node: impl Into<String>) -> Self {
        Self {
            id,
            kind,
            time,
            node: node.into(),
            operation: None,
            key: None,
            request_id: None,
            peer: None,
            attempt: None,
            code: None,
            detail: None,
            after: None,
        }
    }

    /// The same event with a detail, cut to [`MAX_EVENT_DETAIL`] characters.
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        self.detail = Some(detail.chars().filter(|c| !c.is_control()).take(MAX_EVENT_DETAIL).collect());
        self
    }
}

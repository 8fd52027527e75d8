//! What is asked for when a key's shares are replaced, and what came of it.

use crate::access::Access;
use crate::act::ActKind;
use crate::bounded;
use crate::key::{Key, in_one_form, said_in_full};
use crate::schema;
use crate::sign::Figures;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The largest epoch of a key.
pub const MAX_EPOCH: u64 = 1_000_000_000;

/// Body of `POST /v1/keys/{key}/refresh`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The epoch that the key is in: a request for an earlier one does nothing.
    #[serde(deserialize_with = "bounded::epoch")]
    #[schema(maximum = 1_000_000_000)]
    pub epoch: u64,
    /// Why, for the others and the log.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub reason: Option<String>,
}

/// Body of `POST /v1/keys/{key}/reshare`. Who can sign afterwards is said by either `threshold` with `parties`, or `access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reshare {
    /// The epoch that the key is in: a request for an earlier one does nothing.
    #[serde(deserialize_with = "bounded::epoch")]
    #[schema(maximum = 1_000_000_000)]
    pub epoch: u64,
    /// How many parties can sign afterwards. Not beside `access`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "bounded::optional_threshold"
    )]
    #[schema(minimum = 2, maximum = 64)]
    pub threshold: Option<u16>,
    /// Who can sign afterwards, over the names of nodes, as in `user and 2 of (a, b, c)`, `3 of (a*2, b, c)` or
    /// `1 of (m1, m2) over 2 of (t1, t2, t3)`. The nodes it names hold the shares; none of them can sign alone. Not beside `threshold` and
    /// `parties`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::access")]
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Access>,
    /// The names of the nodes that hold a share afterwards; needed with `threshold`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::node_names")]
    #[schema(min_items = 1, max_items = 64, value_type = Option<Vec<schema::NodeName>>)]
    pub parties: Option<Vec<String>>,
    /// Why, for the others and the log.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub reason: Option<String>,
}

impl Reshare {
    /// Whether who can sign is said exactly once, and in full.
    ///
    /// # Errors
    /// A sentence that says what to leave out or add.
    pub fn check(&self) -> Result<(), &'static str> {
        said_in_full(self.threshold, self.access.as_ref(), self.parties.as_deref())
    }

    /// Who can sign afterwards, and the nodes that hold the shares, in the order in which those that are new are numbered: that of
    /// `parties`, or the alphabet. The same for every reader of the body. `None` if [`check`](Self::check) finds something.
    #[must_use]
    pub fn wanted(&self) -> Option<(Access, Vec<String>)> {
        in_one_form(self.threshold, self.access.as_ref(), self.parties.as_deref())
    }
}

/// Body of `POST /v1/keys/{key}/repair`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// The epoch that the key is in: a request for an earlier one does nothing.
    #[serde(deserialize_with = "bounded::epoch")]
    #[schema(maximum = 1_000_000_000)]
    pub epoch: u64,
    /// The node that lost its share: the name under which the key knows it. The identity that gets the new share is the one that the nodes
    /// have under this name now.
    #[serde(deserialize_with = "bounded::node_name")]
    #[schema(value_type = schema::NodeName)]
    pub party: String,
    /// Why, for the others and the log.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub reason: Option<String>,
}

/// Body of `POST /v1/keys/{key}/restore`. Who can sign afterwards is said by either `threshold` and `parties`, or `access`, or not at all: then the
/// structure stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The epoch of the restored shares: a request for an earlier one does nothing.
    #[serde(deserialize_with = "bounded::epoch")]
    #[schema(maximum = 1_000_000_000)]
    pub epoch: u64,
    /// The parties of that epoch that are lost, by the names under which the key knows them, with every copy of their shares but those in
    /// backups. Whoever orders this answers for it: if a quorum of them is not lost, two committees can sign.
    #[serde(deserialize_with = "bounded::some_node_names")]
    #[schema(min_items = 1, max_items = 64, value_type = Vec<schema::NodeName>)]
    pub lost: Vec<String>,
    /// The names of the nodes that hold a share afterwards. Without it, and without `access`, the structure stays, and whoever has the restored
    /// share of a lost party, or its name, takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::node_names")]
    #[schema(min_items = 1, max_items = 64, value_type = Option<Vec<schema::NodeName>>)]
    pub parties: Option<Vec<String>>,
    /// How many of them can sign; only with `parties`. Without it as many as before.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "bounded::optional_threshold"
    )]
    #[schema(minimum = 2, maximum = 64)]
    pub threshold: Option<u16>,
    /// Who can sign afterwards, over the names of nodes, in the notation of a reshare. The nodes it names hold the shares; none of them can sign
    /// alone. Not beside `threshold` and `parties`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::access")]
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Access>,
    /// Why, for the others and the log.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub reason: Option<String>,
}

impl Restore {
    /// Whether who can sign is said at most once, and in full.
    ///
    /// # Errors
    /// A sentence that says what to leave out or add.
    pub fn check(&self) -> Result<(), &'static str> {
        match (self.threshold, &self.access) {
            (None, None) => Ok(()),
            (threshold, access) => said_in_full(threshold, access.as_ref(), self.parties.as_deref()),
        }
    }

    /// Who can sign afterwards, where the body says it in full, and the nodes that hold the shares, in the order of
    /// [`Reshare::wanted`]. The same for every reader of the body.
    #[must_use]
    pub fn wanted(&self) -> Option<(Access, Vec<String>)> {
        in_one_form(self.threshold, self.access.as_ref(), self.parties.as_deref())
    }
}

/// A share that came out of a backup and waits at a node: nothing signs with it. `GET /v1/restored` lists them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoredKey {
    /// The key as the backup has it. Its epoch is that of the share; `lost` are the parties whose machines are not known any more.
    pub key: Box<Key>,
    /// Whose share it was.
    pub party: String,
    /// When it was restored, in unix milliseconds.
    pub restored_at: u64,
}

/// What came of a refresh, reshare, repair or restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveResult {
    /// What was asked for.
    pub act: ActKind,
    /// The key as it is now. The public key and the addresses are those of before.
    pub key: Box<Key>,
    /// What it cost, at the node that coordinated it.
    pub figures: Figures,
}

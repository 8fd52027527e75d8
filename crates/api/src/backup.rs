//! Backing up now: what is asked of one node, and what it wrote.

use crate::bounded;
use crate::schema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /v1/backup`: the node that is asked backs up its own shares, to where its configuration says. The other nodes are asked each for
/// themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackUp {
    /// Why, for those who must agree and for the log.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub reason: Option<String>,
}

/// What a backup wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupResult {
    /// The node whose shares they are.
    pub node: String,
    /// Where they lie.
    pub to: String,
    /// The number of its index.
    pub sequence: u64,
    /// How many keys the index names.
    pub keys: usize,
    /// Of how many of them the shares were encrypted anew.
    pub fresh: usize,
    /// How many bytes were written.
    pub bytes: usize,
    /// How many files were deleted, because nothing named them any more.
    pub pruned: usize,
}

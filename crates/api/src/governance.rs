//! Bodies of requests about who may do what: changes of the directory, approvals, freezes.

use crate::bounded;
use crate::id::Hex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /v1/directory/changes`: steps to take together, after a quorum of the admins has agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeDirectory<S> {
    /// The version of the directory that the change was made for.
    pub base: u64,
    /// The head of that version, 32 bytes.
    pub previous: Hex,
    /// What to do, in order.
    pub steps: Vec<S>,
    /// Why, for the people who approve it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(min_length = 1, max_length = 128)]
    pub reason: Option<String>,
}

/// Body of `POST /v1/operations/{operation}/approve`, `…/reject` and `…/withdraw`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The hash of the request's bytes, as the operation shows it after the approver's program has worked it out itself; 32 bytes.
    pub request_hash: Hex,
    /// 32 fresh random bytes.
    pub nonce: Hex,
    /// In a withdrawal: the fresh bytes of the approvals that are taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub withdraws: Vec<Hex>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(min_length = 1, max_length = 128)]
    pub reason: Option<String>,
}

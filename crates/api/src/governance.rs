//! Bodies of requests about who may do what: changes of the directory, approvals, freezes.

use crate::id::{Hex, KeyId, OperationId};
use crate::request::SignedRequest;
use crate::{bounded, schema};
use quorate_intent::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Body of `POST /v1/directory/changes`: steps to take together, after a quorum of the admins has agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeDirectory<S> {
    /// The version of the directory that the change was made for.
    pub base: u64,
    /// The head of that version, 32 bytes.
    #[schema(value_type = schema::Bytes32)]
    pub previous: Hex,
    /// What to do, in order.
    #[schema(min_items = 1, max_items = 10_000)]
    pub steps: Vec<S>,
    /// Why, for the people who approve it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub reason: Option<String>,
}

/// Body of `POST /v1/operations/{operation}/approve`, `…/reject` and `…/withdraw`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The hash of the request's bytes, as the operation shows it after the approver's program has worked it out itself; 32 bytes.
    #[schema(value_type = schema::Bytes32)]
    pub request_hash: Hex,
    /// 32 fresh random bytes.
    #[schema(value_type = schema::Bytes32)]
    pub nonce: Hex,
    /// In a withdrawal: the fresh bytes of the approvals that are taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64, value_type = Vec<schema::Bytes32>)]
    pub withdraws: Vec<Hex>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub reason: Option<String>,
}

/// Where the approvals of an operation stand, as the node that answers has counted and judged them itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approvals {
    /// Who asks.
    pub requester: String,
    /// The signed request in its canonical encoding: an approver's program works the hash out from it, and shows what it reads.
    pub request: Hex,
    /// The hash that an approval names, 32 bytes.
    pub request_hash: Hex,
    /// What is asked for, in words made from the bytes; absent if this node has no share of the key and cannot read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Summary>)]
    pub summary: Option<Summary>,
    /// The rule that would allow it, if people agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Who has approved, with when each approval ends, in unix seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<Approved>,
    /// Who has rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<String>,
    /// Who is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingPeople>,
    /// Not before this moment, in unix seconds, because the rule has a delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// When it ends unapproved, in unix seconds.
    pub expires: u64,
}

impl Approvals {
    /// The request behind the approvals, read from its bytes, if it is that of operation `id`. What a person approves is its
    /// [`request_hash`](crate::Request::request_hash), worked out here and not taken from the node's word.
    ///
    /// # Errors
    /// What the node's answer contradicts: do not approve then.
    pub fn request(&self, id: &OperationId) -> Result<SignedRequest, &'static str> {
        let request =
            SignedRequest::decode(&self.request.0).map_err(|_| "the request's bytes do not read")?;
        if request.operation_id() != *id {
            return Err("the request's bytes are those of another operation");
        }
        if request.request_hash().as_slice() != self.request_hash.0 {
            return Err("the node shows another hash than the request's bytes have");
        }
        Ok(request)
    }

    /// What approves exactly these bytes; `nonce` is 32 fresh random bytes.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub fn rule(
        &self,
        id: &OperationId,
        nonce: [u8; 32],
        reason: Option<String>,
    ) -> Result<Rule, &'static str> {
        let request_hash = Hex(self.request(id)?.request_hash().to_vec());
        Ok(Rule { request_hash, nonce: Hex(nonce.to_vec()), withdraws: Vec::new(), reason })
    }
}

/// An approval that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approved {
    /// Who.
    pub by: String,
    /// Until when, in unix seconds.
    pub until: u64,
    /// The fresh bytes in it: a withdrawal names them.
    pub nonces: Vec<Hex>,
}

/// People that are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingPeople {
    /// How many.
    pub count: u16,
    /// Of whom, such as `Group::"finance"`.
    pub of: String,
    /// Who could be asked, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

/// What a freeze stops.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// One key.
    Key {
        /// The key.
        key: KeyId,
    },
    /// All keys of a tenant, and its requests.
    Tenant {
        /// The tenant.
        tenant: String,
    },
    /// Everything but thawing.
    Everything,
}

/// Body of `POST /v1/freezes`: any admin stops something at once and alone. Only a change of the directory lifts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetFreeze {
    /// What to stop.
    pub scope: Scope,
    /// Why, for the others.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub reason: Option<String>,
}

/// A freeze that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Freeze {
    /// The hash of the request that set it: a thaw names it, 32 bytes.
    pub id: Hex,
    /// What it stops.
    pub scope: Scope,
    /// Who set it.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When this node first saw it, in unix milliseconds.
    pub frozen_at: u64,
}

/// The directory in force at the node that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DirectoryView {
    /// What the cluster is called.
    pub cluster: String,
    /// Counts the changes since the genesis.
    pub version: u64,
    /// Names the whole history: the next change names it, 32 bytes.
    pub head: Hex,
    /// Who must agree to a change.
    pub admins: AdminView,
    /// The nodes in force by name, with their identities of 32 bytes.
    #[serde(default)]
    pub nodes: BTreeMap<String, Hex>,
    /// The tenants.
    pub tenants: Vec<String>,
    /// Users and services by name.
    #[schema(value_type = Object)]
    pub principals: serde_json::Value,
    /// Groups and their direct members by name.
    #[schema(value_type = Object)]
    pub groups: serde_json::Value,
    /// Roles and who has them by name.
    #[schema(value_type = Object)]
    pub roles: serde_json::Value,
    /// Credentials by the name that requests use.
    #[schema(value_type = Object)]
    pub credentials: serde_json::Value,
    /// Policies by name, in Cedar.
    #[schema(value_type = Object)]
    pub policies: serde_json::Value,
    /// The freezes in force.
    pub freezes: Vec<Freeze>,
    /// Branches that other nodes follow: the admins approved two changes of one version. Empty in a healthy cluster.
    #[serde(default)]
    pub forks: Vec<Fork>,
}

/// A change that the admins approved beside the one that this node adopted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fork {
    /// The version that both changes make.
    pub version: u64,
    /// The head of this node's branch at that version, 32 bytes.
    pub ours: Hex,
    /// The head of the other branch, 32 bytes.
    pub theirs: Hex,
    /// Who asked for the other change: a credential.
    pub client: String,
    /// What the other change does.
    #[schema(value_type = Object)]
    pub steps: serde_json::Value,
    /// When this node learned of it, in unix milliseconds.
    pub seen_at: u64,
}

/// Who must agree to a change of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdminView {
    /// The quorum expression.
    pub quorum: String,
    /// Whether the one who asks counts as one of them.
    pub requester_counts: bool,
}

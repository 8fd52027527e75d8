//! Exporting a key: what is asked for and what comes back.

use crate::bounded;
use crate::id::{Hex, KeyId};
use crate::schema;
use crate::sign::Skipped;
use quorate_intent::Scheme;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far ahead an export may end, in seconds: a day.
pub const MAX_EXPORT_AHEAD: u64 = 86_400;

/// Body of `POST /v1/keys/{key}/export`: put the private key together outside of the nodes, once. Every node that takes part marks the key as exposed for ever,
/// before its share leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Why, for those who must agree and for the log.
    #[serde(deserialize_with = "bounded::reason")]
    #[schema(value_type = schema::Label)]
    pub reason: String,
    /// A one-time HPKE public key (X-Wing, 1216 bytes in hex) whose other half only the exporting process has.
    #[serde(deserialize_with = "bounded::sealing_key")]
    pub recipient: Hex,
    /// Until when shares may be given, in unix seconds; at most a day ahead.
    pub expires: u64,
}

/// One party's share, sealed to the recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealedShare {
    /// The name of the party.
    pub party: String,
    /// Its number in the key.
    pub index: u16,
    /// Its identity, which the label of the sealing names.
    pub identity: Hex,
    /// The share.
    pub sealed: Hex,
}

/// What an export gives: sealed shares, and what they are checked against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportResult {
    /// The key.
    pub key: KeyId,
    /// Its scheme.
    #[schema(value_type = schema::Scheme)]
    pub scheme: Scheme,
    /// Its public key.
    pub public_key: Hex,
    /// The public package of its epoch, as its parties keep it.
    pub package: Hex,
    /// The epoch.
    pub epoch: u64,
    /// The hash of the signed request, which the label of the sealing names.
    pub request: Hex,
    /// Until when the shares may be used, in unix seconds.
    pub expires: u64,
    /// The names of all parties of the key.
    pub parties: Vec<String>,
    /// The shares; asked at another node than the one that coordinated, its own alone.
    pub shares: Vec<SealedShare>,
    /// The parties that gave none, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Skipped>,
}

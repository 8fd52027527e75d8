//! Keys: how one is asked for and how it is shown.

use crate::access::Access;
use crate::id::{Hex, KeyId};
use crate::{bounded, schema};
use quorate_intent::{Address, Purpose, Scheme};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /v1/keys`: create a key by distributed key generation. Who can sign is said by either `threshold`, with or without
/// `parties`, or `access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// The signature scheme; it cannot change later.
    #[schema(value_type = schema::Scheme)]
    pub scheme: Scheme,
    /// How many parties can sign: *threshold of n*. Not beside `access`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "bounded::optional_threshold"
    )]
    #[schema(minimum = 2, maximum = 64)]
    pub threshold: Option<u16>,
    /// Who can sign, over the names of nodes, as in `user and 2 of (a, b, c)`, `3 of (a*2, b, c)` or
    /// `1 of (m1, m2) over 2 of (t1, t2, t3)`. The nodes it names each get their shares; none of them can sign alone. Not beside `threshold`
    /// and `parties`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::access")]
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Access>,
    /// The names of the nodes that each get a share; all known nodes if absent. Not beside `access`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::node_names")]
    #[schema(min_items = 1, max_items = 64, value_type = Option<Vec<schema::NodeName>>)]
    pub parties: Option<Vec<String>>,
    /// What the key may sign; the defaults of its scheme if absent (`message` and `raw` stand alone).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::purposes")]
    #[schema(value_type = Option<Vec<schema::Purpose>>)]
    pub purposes: Option<Vec<Purpose>>,
    /// A name for people; need not be unique.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub label: Option<String>,
}

impl CreateKey {
    /// Whether who can sign is said exactly once.
    ///
    /// # Errors
    /// A sentence that says what to leave out or add.
    pub fn check(&self) -> Result<(), &'static str> {
        said_once(self.threshold, self.access.as_ref(), self.parties.as_deref())
    }
}

/// Whether who can sign is said exactly once.
pub(crate) fn said_once(
    threshold: Option<u16>,
    access: Option<&Access>,
    parties: Option<&[String]>,
) -> Result<(), &'static str> {
    match (threshold, access, parties) {
        (Some(_), None, _) | (None, Some(_), None) => Ok(()),
        (Some(_), Some(_), _) => Err("give either `threshold` or `access`, not both"),
        (None, Some(_), Some(_)) => Err("`access` names its nodes: leave out `parties`"),
        (None, None, _) => Err("say who can sign: `threshold` or `access` is missing"),
    }
}

/// The same where `threshold` does not stand for all known nodes.
pub(crate) fn said_in_full(
    threshold: Option<u16>,
    access: Option<&Access>,
    parties: Option<&[String]>,
) -> Result<(), &'static str> {
    said_once(threshold, access, parties)?;
    if threshold.is_some() && parties.is_none() {
        return Err("`threshold` needs `parties`: name every node that shall hold a share");
    }
    Ok(())
}

/// Who can sign in one form, and the nodes in the order in which they are numbered: that of `parties`, or the alphabet.
pub(crate) fn in_one_form(
    threshold: Option<u16>,
    access: Option<&Access>,
    parties: Option<&[String]>,
) -> Option<(Access, Vec<String>)> {
    said_in_full(threshold, access, parties).ok()?;
    if let Some(access) = access {
        return Some((access.clone(), access.names().into_iter().map(str::to_owned).collect()));
    }
    let parties = parties?.to_vec();
    Some((Access::threshold(threshold?, parties.iter().map(String::as_str)), parties))
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// The key generation runs or did not end.
    Pending,
    /// The key can be used.
    Active,
    /// The key was disabled and can be enabled again. A key that waits for its destruction is disabled too.
    Disabled,
    /// The private key was outside of its shares once, such as in an export. It can be used unless a policy refuses it.
    Exposed,
    /// The key's shares may not be used any more: a check failed whose failure can leak secrets.
    Burned,
    /// The share of the node that answers is erased; the key never comes back there.
    Destroyed,
}

impl KeyStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Active, Self::Disabled, Self::Exposed, Self::Burned, Self::Destroyed];

    /// The name as JSON writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Exposed => "exposed",
            Self::Burned => "burned",
            Self::Destroyed => "destroyed",
        }
    }
}

/// A key as the API shows it. No part of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its identifier.
    pub id: KeyId,
    /// The signature scheme.
    #[schema(value_type = schema::Scheme)]
    pub scheme: Scheme,
    /// Whether it can be used.
    pub status: KeyStatus,
    /// How many parties the smallest quorum has: the *threshold of n* of a plain threshold.
    pub threshold: u16,
    /// Who can sign.
    #[schema(value_type = schema::Access)]
    pub access: Access,
    /// The minimal quorums: sets of nodes that can sign, and in which nobody can be left out. At most 32.
    pub quorums: Vec<Vec<String>>,
    /// Whether there are more minimal quorums than are listed.
    pub more_quorums: bool,
    /// The names of the nodes that hold a share.
    pub parties: Vec<String>,
    /// The public key: 33-byte compressed point (ECDSA, BIP-340) or 32 bytes (Ed25519), in hex.
    pub public_key: Hex,
    /// The addresses of this key on the chains it may sign for.
    #[schema(value_type = Vec<schema::Address>)]
    pub addresses: Vec<Address>,
    /// What the key may sign.
    #[schema(value_type = Vec<schema::Purpose>)]
    pub purposes: Vec<Purpose>,
    /// Raised whenever the shares change; the public key stays.
    pub epoch: u64,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When the key was created, in unix milliseconds.
    pub created_at: u64,
    /// How many orders about its state (disable, enable, destroy, keep) the key has had at the node that answers: the next one names it.
    #[serde(default)]
    pub acts: u64,
    /// When the node that answers was told that the private key is or was outside of its shares, in unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_at: Option<u64>,
    /// When the node that answers erases its share, in unix milliseconds, unless somebody asks to keep the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroys_at: Option<u64>,
    /// Whether the key was made outside and imported: whoever imported it had the whole private key, and may have it still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// Those of the parties whose machine was replaced or removed, and its share with it: the others sign without them until they are
    /// repaired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub lost: Vec<String>,
}

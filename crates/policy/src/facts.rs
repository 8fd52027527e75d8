//! What a decision is made from: plain data, the same on every node that has the same bytes, clock and counters.
//!
//! Nothing here may make a request look smaller than it is. What a node cannot read has the largest amount there is, goes to
//! `unknown` and moves the asset `unknown`, so that a rule with an upper bound or a list of receivers does not let it pass.

mod action;
mod amount;
mod intent;

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use quorate_api::{DerivationPath, KeyId, KeyStatus};
use quorate_intent::{Purpose, Scheme};
use serde::{Deserialize, Serialize};

pub use self::action::{Action, UnknownAction};
pub use self::amount::{Amount, AmountError, CAP};
pub(crate) use self::intent::plain;
pub use self::intent::{IntentFacts, KINDS, Move, Moves, NATIVE, UNKNOWN};
use crate::name::Name;

/// Most facts of a pre-sign webhook.
pub const MAX_EXTRA: usize = 64;
/// Longest name of a fact of a pre-sign webhook, in bytes.
pub const MAX_EXTRA_NAME: usize = 64;
/// Longest text of a fact of a pre-sign webhook, in bytes.
pub const MAX_EXTRA_TEXT: usize = 1024;
/// Most receivers, assets, methods or contracts of one request.
pub const MAX_SET: usize = 4096;
/// The last second that a decision can be about: the end of the year 9999.
pub const MAX_NOW: u64 = 253_402_300_799;

/// What a decision is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Who asks.
    pub principal: Name,
    /// For what.
    pub action: Action,
    /// On what.
    pub resource: Resource,
    /// The node's time, in unix seconds.
    pub now: u64,
    /// Where the request came from, as the node says that took it from the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// What would be signed; of signing only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<IntentFacts>,
    /// Where below the key the one is that would sign; `m` is the key itself.
    #[serde(default, skip_serializing_if = "DerivationPath::is_root")]
    pub path: DerivationPath,
    /// Which key would be made; of `create_key` and `import` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Wanted>,
    /// What this node saw being spent before, without this request.
    #[serde(default)]
    pub spent: Spent,
    /// What a pre-sign webhook answered: texts, whole numbers and yes or no, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Resource {
    /// A key.
    Key(KeyFacts),
    /// A tenant, in which a key would be made.
    Tenant {
        /// Its name.
        name: Name,
    },
    /// The cluster itself: a key of no tenant would be made.
    Cluster,
}

/// What policies see of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFacts {
    /// Its identifier.
    pub id: KeyId,
    /// The tenant it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Name>,
    /// Its name for people; empty if it has none.
    #[serde(default)]
    pub label: String,
    /// Its scheme.
    pub scheme: Scheme,
    /// What it may sign.
    pub purposes: BTreeSet<Purpose>,
    /// Who asked for it, as the directory names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Name>,
    /// Its status at this node.
    #[serde(default = "active")]
    pub status: KeyStatus,
    /// Whether the private key is or was outside of its shares, whatever its status is now.
    #[serde(default)]
    pub exposed: bool,
}

const fn active() -> KeyStatus {
    KeyStatus::Active
}

/// The key that a request wants made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its scheme.
    pub scheme: Scheme,
    /// What it may sign.
    pub purposes: BTreeSet<Purpose>,
    /// How many parties can sign.
    pub threshold: u16,
    /// How many parties get a share.
    pub parties: u16,
    /// Its name for people; empty if it has none.
    #[serde(default)]
    pub label: String,
}

/// What a node saw being spent before a request, by the request's key and by its principal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// With this key.
    #[serde(default)]
    pub key: Windows,
    /// By this principal, with any key.
    #[serde(default)]
    pub principal: Windows,
}

/// Sums over the last hour, day and week, each ending now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// 3,600 seconds.
    #[serde(default)]
    pub hour: Sum,
    /// 86,400 seconds.
    #[serde(default)]
    pub day: Sum,
    /// 604,800 seconds.
    #[serde(default)]
    pub week: Sum,
}

/// What was spent on the request's chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// How many signatures, on any chain.
    #[serde(default)]
    pub count: u64,
    /// The chain's own coin, in its smallest unit.
    #[serde(default)]
    pub native: Amount,
    /// Tokens by contract or mint, in their smallest units.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, Amount>,
}

/// Why no decision can be made from facts. The node that made them is at fault, or the request is too large to judge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// The action is not for such a thing.
    #[error("`{action}` is not done to a {resource}")]
    Resource {
        /// The action.
        action: Action,
        /// What it would be done to.
        resource: &'static str,
    },
    /// Signing without an intent, or an intent without signing.
    #[error("`{0}` comes with {1}")]
    Needs(Action, &'static str),
    /// No kind of intent that policies know.
    #[error("`{0}` is no kind of request that policies know")]
    Kind(String),
    /// Too much of something.
    #[error("there are more than {1} {0}")]
    TooMany(&'static str, usize),
    /// A fact of the webhook is no text, whole number or yes or no, or too long.
    #[error("the fact `{0}` is not a text of at most {MAX_EXTRA_TEXT} bytes, a whole number, true or false")]
    Extra(String),
    /// The name of a fact of the webhook.
    #[error("the name of a fact has 1 to {MAX_EXTRA_NAME} of the characters a-z 0-9 _")]
    ExtraName,
    /// A time that cannot be.
    #[error("the time {0} is after the year 9999")]
    Time(u64),
    /// The policy engine does not take them.
    #[error("the policy engine does not take them: {0}")]
    Engine(String),
}

impl Resource {
    /// What it is, in a word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Tenant { .. } => "tenant",
            Self::Cluster => "cluster",
        }
    }

    /// The tenant it belongs to.
    #[must_use]
    pub const fn tenant(&self) -> Option<&Name> {
        match self {
            Self::Key(key) => key.tenant.as_ref(),
            Self::Tenant { name } => Some(name),
            Self::Cluster => None,
        }
    }
}

impl Facts {
    /// Checks that the parts belong together and are not too many.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<(), FactsError> {
        let action = self.action;
        if action.is_on_key() != matches!(self.resource, Resource::Key(_)) {
            return Err(FactsError::Resource { action, resource: self.resource.kind() });
        }
        if action.is_on_node() && !matches!(self.resource, Resource::Cluster) {
            return Err(FactsError::Resource { action, resource: self.resource.kind() });
        }
        if matches!(action, Action::Sign(_)) != self.intent.is_some() {
            let what = if self.intent.is_some() { "nothing to sign" } else { "what is to be signed" };
            return Err(FactsError::Needs(action, what));
        }
        if !matches!(action, Action::Sign(_)) && !self.path.is_root() {
            return Err(FactsError::Needs(action, "a path below the key"));
        }
        if action.makes_key() != self.wanted.is_some() {
            let what = if self.wanted.is_some() { "no new key" } else { "the key that is wanted" };
            return Err(FactsError::Needs(action, what));
        }
        if self.now > MAX_NOW {
            return Err(FactsError::Time(self.now));
        }
        if let Some(intent) = &self.intent {
            intent.check()?;
        }
        check_extra(&self.extra)
    }
}

/// Whether facts of a pre-sign webhook are few and small enough, and have plain names.
///
/// # Errors
/// What does not fit.
pub fn check_extra(extra: &BTreeMap<String, serde_json::Value>) -> Result<(), FactsError> {
    if extra.len() > MAX_EXTRA {
        return Err(FactsError::TooMany("facts of the webhook", MAX_EXTRA));
    }
    for (name, value) in extra {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || name.len() > MAX_EXTRA_NAME || !name.chars().all(plain) {
            return Err(FactsError::ExtraName);
        }
        let fits = match value {
            serde_json::Value::String(text) => text.len() <= MAX_EXTRA_TEXT,
            serde_json::Value::Number(number) => number.as_i64().is_some(),
            serde_json::Value::Bool(_) => true,
            _ => false,
        };
        if !fits {
            return Err(FactsError::Extra(name.clone()));
        }
    }
    Ok(())
}

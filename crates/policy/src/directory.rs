//! The directory: who exists, with which credentials, in which groups and roles, and the policies in force.
//!
//! It is a value. Changes make a new one ([`change`](crate::change)); the chain says which one is in force
//! ([`chain`](crate::chain)).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::change::AdminRule;
use crate::name::Name;
use crate::nodes::Nodes;
use crate::quorum::People;

/// Most users, groups, credentials, … of each kind.
pub const MAX_ITEMS: usize = 100_000;
/// Longest policy text, in bytes.
pub const MAX_POLICY: usize = 64 * 1024;
/// Deepest nesting of groups.
pub const MAX_NESTING: usize = 16;

/// A person or a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// Which of the two. Only people approve.
    pub kind: PrincipalKind,
    /// The tenant it belongs to; `None` for those who run the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Name>,
    /// Whether its requests and approvals are refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// A person or a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program.
    Service,
}

/// Who is in a group or has a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// Users and services.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub principals: BTreeSet<Name>,
    /// All members of these groups too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<Name>,
}

/// What a principal proves itself with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Whose it is.
    pub principal: Name,
    /// What its signatures verify under.
    pub with: quorate_api::Credential,
}

/// Everybody and everything that may ask, approve or decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub(crate) tenants: BTreeSet<Name>,
    pub(crate) principals: BTreeMap<Name, Principal>,
    pub(crate) groups: BTreeMap<Name, Members>,
    pub(crate) roles: BTreeMap<Name, Members>,
    pub(crate) credentials: BTreeMap<Name, Credential>,
    pub(crate) policies: BTreeMap<Name, String>,
    pub(crate) admins: AdminRule,
    pub(crate) nodes: Nodes,
    /// The groups and roles of each principal, also through groups in groups.
    pub(crate) member_of: BTreeMap<Name, Membership>,
}

/// What one principal belongs to, directly or through groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Its groups.
    pub groups: BTreeSet<Name>,
    /// Its roles.
    pub roles: BTreeSet<Name>,
}

impl Directory {
    /// The tenants.
    pub fn tenants(&self) -> impl Iterator<Item = &Name> {
        self.tenants.iter()
    }

    /// Users and services by name.
    #[must_use]
    pub fn principals(&self) -> &BTreeMap<Name, Principal> {
        &self.principals
    }

    /// The groups and their direct members.
    #[must_use]
    pub fn groups(&self) -> &BTreeMap<Name, Members> {
        &self.groups
    }

    /// The roles and who has them directly.
    #[must_use]
    pub fn roles(&self) -> &BTreeMap<Name, Members> {
        &self.roles
    }

    /// The credentials by the name that requests use.
    #[must_use]
    pub fn credentials(&self) -> &BTreeMap<Name, Credential> {
        &self.credentials
    }

    /// The policies, in Cedar.
    #[must_use]
    pub fn policies(&self) -> &BTreeMap<Name, String> {
        &self.policies
    }

    /// Who must agree to a change.
    #[must_use]
    pub fn admins(&self) -> &AdminRule {
        &self.admins
    }

    /// The nodes of the cluster.
    #[must_use]
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// What a principal belongs to, directly or through groups.
    #[must_use]
    pub fn membership(&self, principal: &str) -> Option<&Membership> {
        self.member_of.get(principal)
    }

    /// The credential that a request names, with its principal's name, if the principal exists and is not disabled.
    #[must_use]
    pub fn credential(&self, client: &str) -> Option<(&Credential, &Principal)> {
        let credential = self.credentials.get(client)?;
        let principal = self.principals.get(&credential.principal)?;
        (!principal.disabled).then_some((credential, principal))
    }

    /// Whether such people are in the directory at all.
    #[must_use]
    pub fn knows(&self, people: &People) -> bool {
        match people {
            People::User(name) => {
                self.principals.get(name).is_some_and(|principal| principal.kind == PrincipalKind::User)
            }
            People::Group(name) => self.groups.contains_key(name),
            People::Role(name) => self.roles.contains_key(name),
        }
    }

    /// Whether a principal is one of these people.
    #[must_use]
    pub fn is(&self, principal: &Name, people: &People) -> bool {
        let membership = self.member_of.get(principal);
        match people {
            People::User(name) => principal == name,
            People::Group(name) => membership.is_some_and(|of| of.groups.contains(name)),
            People::Role(name) => membership.is_some_and(|of| of.roles.contains(name)),
        }
    }

    /// Whether this principal's approvals count: a person who is not disabled.
    #[must_use]
    pub fn may_approve(&self, principal: &Name) -> bool {
        let found = self.principals.get(principal);
        found.is_some_and(|found| found.kind == PrincipalKind::User && !found.disabled)
    }

    /// Everybody whose approvals could count: people who are not disabled and have a credential.
    pub fn approvers(&self) -> impl Iterator<Item = &Name> {
        let with_credential: BTreeSet<&Name> =
            self.credentials.values().map(|credential| &credential.principal).collect();
        with_credential.into_iter().filter(|name| self.may_approve(name))
    }
}

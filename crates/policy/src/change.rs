//! One change of the directory or the policies: a list of steps that are taken together or not at all.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::directory::{
    Credential, Directory, MAX_ITEMS, MAX_NESTING, MAX_POLICY, Members, Membership, Principal, PrincipalKind,
};
use crate::name::Name;
use crate::nodes::{Nodes, NodesError};
use crate::quorum::{Quorum, QuorumError};

/// Most steps of one change.
pub const MAX_STEPS: usize = 10_000;

/// Who must agree to a change, and to a thaw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminRule {
    /// Who must agree.
    pub quorum: Quorum,
    /// Whether the one who asks for the change counts as one of them.
    pub requester_counts: bool,
}

/// A thing that a step removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A tenant that nobody belongs to.
    Tenant,
    /// A user or service without credentials or memberships.
    Principal,
    /// A group that nothing refers to.
    Group,
    /// A role.
    Role,
    /// A credential.
    Credential,
    /// A policy.
    Policy,
}

/// One step of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Adds a tenant.
    AddTenant {
        /// Its name.
        name: Name,
    },
    /// Adds a user or service.
    AddPrincipal {
        /// Its name.
        name: Name,
        /// Which of the two.
        kind: PrincipalKind,
        /// The tenant it belongs to, for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<Name>,
    },
    /// Disables or enables a user or service. The credentials of one who is disabled are refused, its approvals no longer count.
    SetDisabled {
        /// Its name.
        name: Name,
        /// Whether it is refused.
        disabled: bool,
    },
    /// Adds a credential.
    AddCredential {
        /// The name that requests use.
        name: Name,
        /// Whose it is.
        principal: Name,
        /// A key or a passkey; none serves two credentials.
        with: quorate_api::Credential,
    },
    /// Adds a group or replaces its members.
    SetGroup {
        /// Its name.
        name: Name,
        /// Its members.
        members: Members,
    },
    /// Adds a role or replaces who has it.
    SetRole {
        /// Its name.
        name: Name,
        /// Who has it.
        members: Members,
    },
    /// Adds a policy or replaces its text.
    SetPolicy {
        /// Its name.
        name: Name,
        /// Cedar, with `@quorum`, `@delay`, `@expires`, `@id` and `@reason`.
        text: String,
    },
    /// Replaces who must agree to changes.
    SetAdmins {
        /// The new rule.
        rule: AdminRule,
    },
    /// Removes something that nothing refers to any more.
    Remove {
        /// Which kind of thing.
        what: What,
        /// Its name.
        name: Name,
    },
    /// Lifts freezes. They are named by the hashes of the requests that set them, so a freeze that the admins did not see stays.
    Thaw {
        /// The hashes, 32 bytes each.
        freezes: Vec<quorate_api::Hex>,
    },
    /// Adds a node. It begins without shares.
    AddNode {
        /// Its name.
        name: String,
        /// The identity that `quorate node init` printed there, 32 bytes.
        identity: quorate_api::Hex,
    },
    /// Puts a fresh machine in the place of a node: another identity under the same name. The one before is refused from then on.
    ReplaceNode {
        /// Its name.
        name: String,
        /// The identity that `quorate node init` printed on the fresh machine, 32 bytes.
        identity: quorate_api::Hex,
    },
    /// Removes a node. Its identity is refused from then on.
    RemoveNode {
        /// Its name.
        name: String,
    },
}

/// Why a change cannot be. What it says is for whoever asks for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is one already.
    #[error("there is a {0} `{1}` already")]
    Exists(&'static str, Name),
    /// There is none.
    #[error("there is no {0} `{1}`")]
    Missing(&'static str, Name),
    /// The key belongs to another credential: one person would count as two.
    #[error("the key of `{0}` is enrolled as `{1}` already: a key serves one credential")]
    KeyTwice(Name, Name),
    /// A certificate for a person: whoever runs the authority could approve as them.
    #[error(
        "`{0}` is a certificate and `{1}` is a user: certificates are for services, since their authority could approve as anybody it certifies; enrol a key or a passkey"
    )]
    CertificateOfUser(Name, Name),
    /// Something refers to it.
    #[error("`{0}` cannot be removed: `{1}` refers to it")]
    InUse(Name, Name),
    /// A group is in itself, or too deep in others.
    #[error("group `{0}` is part of itself, or nested deeper than {MAX_NESTING} groups")]
    Nested(Name),
    /// There would be too many.
    #[error("there would be more than {MAX_ITEMS} of a kind")]
    TooMany,
    /// No steps, or too many.
    #[error("a change has 1 to {MAX_STEPS} steps")]
    Steps,
    /// A policy text is too long.
    #[error("policy `{0}` is longer than {MAX_POLICY} bytes: split it")]
    PolicyTooLong(Name),
    /// Nobody could change anything any more.
    #[error("after this change nobody could make another one: {0}")]
    LockedOut(QuorumError),
    /// The nodes cannot be changed so.
    #[error(transparent)]
    Nodes(#[from] NodesError),
    /// A hash of a freeze is not 32 bytes.
    #[error("a freeze is named by the 32 bytes of its hash")]
    Freeze,
}

impl Step {
    /// Whether it changes which nodes there are.
    #[must_use]
    pub const fn is_about_nodes(&self) -> bool {
        matches!(self, Self::AddNode { .. } | Self::ReplaceNode { .. } | Self::RemoveNode { .. })
    }

    /// What whoever approves it should have thought of.
    pub(crate) fn warning(&self) -> Option<String> {
        match self {
            Self::AddNode { name, .. } => Some(format!(
                "whoever runs {name} can be made a party of new keys: compare the identity with what the machine shows, over a channel that nobody else writes to"
            )),
            Self::ReplaceNode { name, .. } => Some(format!(
                "the shares of {name} are on the old machine only: until they are repaired, keys are used without {name}, and those that cannot do without it are not used"
            )),
            Self::RemoveNode { name } => Some(format!(
                "keys of which {name} is a party go on without it, with one party less to spare: reshare them first"
            )),
            _ => None,
        }
    }

    /// What it does, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let list = |members: &Members| {
            let principals = members.principals.iter().map(ToString::to_string);
            let groups = members.groups.iter().map(|group| format!("group {group}"));
            let all: Vec<String> = principals.chain(groups).collect();
            if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
        };
        let kind = |kind: PrincipalKind| match kind {
            PrincipalKind::User => "user",
            PrincipalKind::Service => "service",
        };
        match self {
            Self::AddTenant { name } => format!("add tenant {name}"),
            Self::AddPrincipal { name, kind: which, tenant: None } => {
                format!("add {} {name}", kind(*which))
            }
            Self::AddPrincipal { name, kind: which, tenant: Some(tenant) } => {
                format!("add {} {name} of tenant {tenant}", kind(*which))
            }
            Self::SetDisabled { name, disabled: true } => format!("disable {name}"),
            Self::SetDisabled { name, disabled: false } => format!("enable {name}"),
            Self::AddCredential { name, principal, with: quorate_api::Credential::Certificate(identity) } => {
                let authority = hex::encode(identity.fingerprint());
                format!(
                    "let {principal} ask as {name}, with every certificate of the authority {authority} (SHA-256) for {}",
                    identity.name()
                )
            }
            Self::AddCredential { name, principal, with } => {
                format!("let {principal} ask and approve as {name}, with {with}")
            }
            Self::SetGroup { name, members } => format!("group {name} is {}", list(members)),
            Self::SetRole { name, members } => format!("role {name} have {}", list(members)),
            Self::SetPolicy { name, text } => format!("policy {name} is {text:?}"),
            Self::SetAdmins { rule } => {
                let counts = if rule.requester_counts { "counts" } else { "does not count" };
                format!("changes need {}, and whoever asks {counts}", rule.quorum)
            }
            Self::Remove { what, name } => {
                let what = match what {
                    What::Tenant => "tenant",
                    What::Principal => "user or service",
                    What::Group => "group",
                    What::Role => "role",
                    What::Credential => "credential",
                    What::Policy => "policy",
                };
                format!("remove {what} {name}")
            }
            Self::Thaw { freezes } => {
                let ids: Vec<String> = freezes.iter().map(ToString::to_string).collect();
                format!("lift the freezes {}", ids.join(", "))
            }
            Self::AddNode { name, identity } => {
                format!("add node {name} with the identity {identity}, which begins without shares")
            }
            Self::ReplaceNode { name, identity } => format!(
                "node {name} is a fresh machine with the identity {identity}, and the one before is refused for ever"
            ),
            Self::RemoveNode { name } => {
                format!("remove node {name}, and its identity is refused for ever")
            }
        }
    }
}

impl Directory {
    /// An empty directory under this rule; nothing can be done with it before the genesis adds people.
    pub(crate) fn empty(admins: AdminRule) -> Self {
        Self {
            tenants: BTreeSet::new(),
            principals: BTreeMap::new(),
            groups: BTreeMap::new(),
            roles: BTreeMap::new(),
            credentials: BTreeMap::new(),
            policies: BTreeMap::new(),
            admins,
            nodes: Nodes::default(),
            member_of: BTreeMap::new(),
        }
    }

    /// The directory after the steps, if all of them can be taken and somebody could still make another change.
    ///
    /// # Errors
    /// The first step that cannot be, or what the result lacks.
    pub fn changed(&self, steps: &[Step]) -> Result<Self, ChangeError> {
        if steps.is_empty() || steps.len() > MAX_STEPS {
            return Err(ChangeError::Steps);
        }
        let mut next = self.clone();
        for step in steps {
            next.take(step)?;
        }
        next.settle()?;
        Ok(next)
    }

    fn take(&mut self, step: &Step) -> Result<(), ChangeError> {
        match step {
            Step::AddTenant { name } => {
                fits(self.tenants.len())?;
                if !self.tenants.insert(name.clone()) {
                    return Err(ChangeError::Exists("tenant", name.clone()));
                }
            }
            Step::AddPrincipal { name, kind, tenant } => {
                fits(self.principals.len())?;
                if let Some(tenant) = tenant.as_ref().filter(|tenant| !self.tenants.contains(*tenant)) {
                    return Err(ChangeError::Missing("tenant", tenant.clone()));
                }
                let principal = Principal { kind: *kind, tenant: tenant.clone(), disabled: false };
                add(&mut self.principals, "user or service", name, principal)?;
            }
            Step::SetDisabled { name, disabled } => {
                let principal = self.principals.get_mut(name);
                principal.ok_or_else(|| ChangeError::Missing("user or service", name.clone()))?.disabled =
                    *disabled;
            }
            Step::AddCredential { name, principal, with } => {
                fits(self.credentials.len())?;
                if !self.principals.contains_key(principal) {
                    return Err(ChangeError::Missing("user or service", principal.clone()));
                }
                let credential = Credential { principal: principal.clone(), with: with.clone() };
                add(&mut self.credentials, "credential", name, credential)?;
            }
            Step::SetGroup { name, members } => {
                fits(self.groups.len())?;
                self.groups.insert(name.clone(), members.clone());
            }
            Step::SetRole { name, members } => {
                fits(self.roles.len())?;
                self.roles.insert(name.clone(), members.clone());
            }
            Step::SetPolicy { name, text } => {
                fits(self.policies.len())?;
                if text.len() > MAX_POLICY {
                    return Err(ChangeError::PolicyTooLong(name.clone()));
                }
                self.policies.insert(name.clone(), text.clone());
            }
            Step::SetAdmins { rule } => self.admins = rule.clone(),
            Step::Remove { what, name } => self.remove(*what, name)?,
            Step::AddNode { name, identity } => self.nodes.add(name, identity)?,
            Step::ReplaceNode { name, identity } => self.nodes.replace(name, identity)?,
            Step::RemoveNode { name } => self.nodes.remove(name)?,
            Step::Thaw { freezes } => {
                if freezes.is_empty() || freezes.iter().any(|hash| hash.0.len() != 32) {
                    return Err(ChangeError::Freeze);
                }
            }
        }
        Ok(())
    }

    fn remove(&mut self, what: What, name: &Name) -> Result<(), ChangeError> {
        let (kind, found) = match what {
            What::Tenant => ("tenant", self.tenants.remove(name)),
            What::Principal => ("user or service", self.principals.remove(name).is_some()),
            What::Group => ("group", self.groups.remove(name).is_some()),
            What::Role => ("role", self.roles.remove(name).is_some()),
            What::Credential => ("credential", self.credentials.remove(name).is_some()),
            What::Policy => ("policy", self.policies.remove(name).is_some()),
        };
        if found { Ok(()) } else { Err(ChangeError::Missing(kind, name.clone())) }
    }

    /// Checks what must hold between the parts, and works out who belongs to what.
    pub(crate) fn settle(&mut self) -> Result<(), ChangeError> {
        for (name, principal) in &self.principals {
            if let Some(tenant) = principal.tenant.as_ref().filter(|tenant| !self.tenants.contains(*tenant)) {
                return Err(ChangeError::InUse(tenant.clone(), name.clone()));
            }
        }
        let mut keys: BTreeMap<Vec<u8>, &Name> = BTreeMap::new();
        for (name, credential) in &self.credentials {
            if !self.principals.contains_key(&credential.principal) {
                return Err(ChangeError::InUse(credential.principal.clone(), name.clone()));
            }
            // CRT.1 An authority can speak for every name it certifies: that must not be how people are counted.
            let user =
                self.principals.get(&credential.principal).is_some_and(|of| of.kind == PrincipalKind::User);
            if user && matches!(credential.with, quorate_api::Credential::Certificate(_)) {
                return Err(ChangeError::CertificateOfUser(name.clone(), credential.principal.clone()));
            }
            if let Some(first) = keys.insert(public_key(&credential.with), name) {
                return Err(ChangeError::KeyTwice(name.clone(), first.clone()));
            }
        }
        for (name, members) in self.groups.iter().chain(&self.roles) {
            if let Some(gone) =
                members.principals.iter().find(|member| !self.principals.contains_key(*member))
            {
                return Err(ChangeError::InUse(gone.clone(), name.clone()));
            }
            if let Some(gone) = members.groups.iter().find(|group| !self.groups.contains_key(*group)) {
                return Err(ChangeError::InUse(gone.clone(), name.clone()));
            }
        }
        self.member_of = self.memberships()?;
        self.check_admins()
    }

    /// Who belongs to what, through groups in groups.
    fn memberships(&self) -> Result<BTreeMap<Name, Membership>, ChangeError> {
        let mut member_of: BTreeMap<Name, Membership> = BTreeMap::new();
        for group in self.groups.keys() {
            for principal in self.all_members(group)? {
                member_of.entry(principal.clone()).or_default().groups.insert(group.clone());
            }
        }
        for (role, members) in &self.roles {
            let mut all: BTreeSet<&Name> = members.principals.iter().collect();
            for group in &members.groups {
                all.extend(self.all_members(group)?);
            }
            for principal in all {
                member_of.entry(principal.clone()).or_default().roles.insert(role.clone());
            }
        }
        Ok(member_of)
    }

    /// Everybody in a group. Level by level, so that a group that is part of itself is found by its depth.
    fn all_members(&self, group: &Name) -> Result<BTreeSet<&Name>, ChangeError> {
        let mut all = BTreeSet::new();
        let mut level = BTreeSet::from([group]);
        for _ in 0..MAX_NESTING {
            let members: Vec<&Members> = level.iter().filter_map(|name| self.groups.get(*name)).collect();
            all.extend(members.iter().flat_map(|members| &members.principals));
            level = members.iter().flat_map(|members| &members.groups).collect();
            if level.is_empty() {
                return Ok(all);
            }
        }
        Err(ChangeError::Nested(group.clone()))
    }

    /// Nobody locks themselves out: somebody could ask for a change and get it.
    fn check_admins(&self) -> Result<(), ChangeError> {
        let AdminRule { quorum, requester_counts } = &self.admins;
        quorum.check(self, None).map_err(ChangeError::LockedOut)?;
        if *requester_counts {
            return Ok(());
        }
        // Whoever asks does not count: somebody must be left who is not needed. Whom the quorum does not concern never is.
        let enabled = |name: &&Name| self.principals.get(*name).is_some_and(|principal| !principal.disabled);
        let asking: BTreeSet<&Name> =
            self.credentials.values().map(|credential| &credential.principal).filter(enabled).collect();
        if asking.iter().any(|name| !quorum.concerns(self, name)) {
            return Ok(());
        }
        let mut last = Ok(());
        for name in asking {
            last = quorum.check(self, Some(name));
            if last.is_ok() {
                break;
            }
        }
        last.map_err(ChangeError::LockedOut)
    }
}

/// The bytes of the public key behind a credential: a passkey's own key, wherever it may be used, and for a certificate its
/// authority's with the name.
fn public_key(credential: &quorate_api::Credential) -> Vec<u8> {
    match credential {
        quorate_api::Credential::Key(key) => key.to_bytes(),
        quorate_api::Credential::Passkey(passkey) => passkey.key().to_bytes(),
        quorate_api::Credential::Certificate(identity) => identity.subject(),
    }
}

fn fits(len: usize) -> Result<(), ChangeError> {
    if len < MAX_ITEMS { Ok(()) } else { Err(ChangeError::TooMany) }
}

fn add<T>(map: &mut BTreeMap<Name, T>, kind: &'static str, name: &Name, item: T) -> Result<(), ChangeError> {
    if map.contains_key(name) {
        return Err(ChangeError::Exists(kind, name.clone()));
    }
    map.insert(name.clone(), item);
    Ok(())
}

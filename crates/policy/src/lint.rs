//! What is allowed in policies and probably not meant.

use std::collections::BTreeSet;

use cedar_policy::{PrincipalConstraint, ResourceConstraint};
use serde_json::Value;

use crate::annotation::Rule;
use crate::directory::Directory;
use crate::facts::Action;
use crate::finding::{Finding, Severity};
use crate::name::Name;
use crate::policies::Policies;
use crate::quorum::{People, Progress, Quorum};

/// People that are tried one by one before a quorum counts as one that is large enough.
const TRIED: usize = 64;

/// Everything that is wrong with the policies of a directory, and everything that is probably not meant; errors first.
#[must_use]
pub fn lint(directory: &Directory) -> Vec<Finding> {
    let (policies, mut findings) = Policies::check(directory);
    if let Some(policies) = &policies {
        for (rule, permits) in policies.rules() {
            let mut words = Vec::new();
            if permits {
                policies.permit(directory, rule, &mut words);
            }
            policies.people(directory, rule, &mut words);
            let place = policies.places.get(&rule.id);
            findings.extend(words.into_iter().map(|words| Finding {
                severity: Severity::Warning,
                policy: Some(rule.policy.clone()),
                position: place.map(|(_, position)| *position),
                rule: Some(rule.id.clone()),
                words,
            }));
        }
        if policies.permits.is_empty() {
            let words = "no rule permits anything: every request is refused".to_owned();
            let severity = Severity::Warning;
            findings.push(Finding { severity, policy: None, position: None, rule: None, words });
        }
    }
    findings.sort();
    findings
}

impl Policies {
    fn permit(&self, directory: &Directory, rule: &Rule, words: &mut Vec<String>) {
        let Some(policy) = self.policy(rule) else { return };
        let anybody = matches!(policy.principal_constraint(), PrincipalConstraint::Any);
        if anybody && !policy.has_non_scope_constraint() && rule.quorum.is_none() {
            words.push("everybody in the directory, services too, may do this at once: name a group, a condition or a quorum".to_owned());
        }
        if rule.blind && rule.quorum.is_none() {
            words.push("it lets pass what nobody can read, and nobody is asked".to_owned());
        }
        if rule.delay.is_some() && rule.quorum.is_none() {
            words.push(
                "during its delay nobody can reject it, for it asks nobody: only a freeze stops it"
                    .to_owned(),
            );
        }
        let actions: Vec<String> = self.actions(rule);
        for action in [Action::Export, Action::Import] {
            if rule.quorum.is_none() && actions.iter().any(|known| known == action.name()) {
                words.push(format!(
                    "it permits `{action}`, where the private key exists, and nobody is asked"
                ));
            }
        }
        if rule.quorum.is_none() && actions.iter().any(|known| known == Action::Destroy.name()) {
            words.push(
                "it permits `destroy`, after which the key is gone for ever, and nobody is asked".to_owned(),
            );
        }
        let json = policy.to_json().unwrap_or_default();
        if rule.quorum.is_none() && uses(&json, "source_ip") {
            words.push("the address is what the asked node says: a node that lies opens this to everybody in its scope; name only those who may do it anyway, or ask people too".to_owned());
        }
        let signs: Vec<&String> = actions.iter().filter(|action| action.starts_with("sign:")).collect();
        let one_coin = !signs.is_empty()
            && (signs.iter().all(|action| *action == "sign:bitcoin")
                || signs.iter().all(|action| *action == "sign:solana"));
        let amounts = ["native_micro", "fee_micro"].iter().any(|name| uses(&json, name));
        if amounts && !one_coin && !uses(&json, "chain") {
            words.push("it compares amounts of a coin without saying of which chain: a millionth of a coin is worth different things, add `context.chain == \"ethereum:1\"`".to_owned());
        }
        if let Some(quorum) = &rule.quorum {
            quorum_words(directory, rule, quorum, words);
            if let Some(tenant) = tenant(&policy.principal_constraint(), &policy.resource_constraint()) {
                of_tenant(directory, quorum, &tenant, words);
            }
        }
    }

    /// The actions that a rule can be about.
    fn actions(&self, rule: &Rule) -> Vec<String> {
        let environments = self.policy(rule).map(|policy| policy.get_valid_request_envs(&self.schema));
        let actions: BTreeSet<String> =
            environments.into_iter().flatten().map(|env| env.action().id().unescaped().to_owned()).collect();
        actions.into_iter().collect()
    }

    /// People and groups that are named and cannot be anybody.
    fn people(&self, directory: &Directory, rule: &Rule, words: &mut Vec<String>) {
        let literals = self.policy(rule).map(cedar_policy::Policy::entity_literals).unwrap_or_default();
        for literal in literals {
            let name = literal.id().unescaped();
            match literal.type_name().to_string().as_str() {
                kind @ ("User" | "Service")
                    if directory.principals().get(name).is_some_and(|principal| principal.disabled) =>
                {
                    words.push(format!("{kind}::\"{name}\" is disabled"));
                }
                kind @ ("Group" | "Role") => {
                    let Ok(parsed) = name.parse::<Name>() else { continue };
                    let people = if kind == "Group" { People::Group(parsed) } else { People::Role(parsed) };
                    if !directory.principals().keys().any(|user| directory.is(user, &people)) {
                        words.push(format!("{people} has no members"));
                    }
                }
                _ => {}
            }
        }
    }
}

/// Whether one person's request could never pass, or whether one person alone is enough.
fn quorum_words(directory: &Directory, rule: &Rule, quorum: &Quorum, words: &mut Vec<String>) {
    let concerned: Vec<&Name> =
        directory.approvers().filter(|user| quorum.concerns(directory, user)).take(TRIED).collect();
    if rule.requester_counts {
        let alone = concerned.iter().find(|user| {
            let only = BTreeSet::from([(**user).clone()]);
            matches!(quorum.progress(directory, &only), Progress::Satisfied)
        });
        if let Some(alone) = alone {
            words.push(format!("`{alone}` alone is enough for a request of their own: the requester counts"));
        }
        return;
    }
    // With so many there is always somebody else.
    if concerned.len() >= TRIED {
        return;
    }
    let mut stuck =
        concerned.into_iter().filter_map(|user| Some((user, quorum.check(directory, Some(user)).err()?)));
    if let Some((user, error)) = stuck.next() {
        words.push(format!(
            "a request of `{user}` can never pass by it, because the requester does not count: {error}"
        ));
    }
}

/// The tenant that a rule is about.
fn tenant(principal: &PrincipalConstraint, resource: &ResourceConstraint) -> Option<Name> {
    let of_resource = match resource {
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => {
            Some(uid)
        }
        _ => None,
    };
    let of_principal = match principal {
        PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => Some(uid),
        _ => None,
    };
    let named = of_resource.into_iter().chain(of_principal);
    let mut tenants = named.filter(|uid| uid.type_name().to_string() == "Tenant");
    tenants.next()?.id().unescaped().parse().ok()
}

/// Whether the people of a tenant can satisfy a quorum without people of others.
fn of_tenant(directory: &Directory, quorum: &Quorum, tenant: &Name, words: &mut Vec<String>) {
    let own = |user: &&Name| {
        directory.principals().get(*user).is_some_and(|principal| principal.tenant.as_ref() == Some(tenant))
    };
    let people: BTreeSet<Name> = directory.approvers().filter(own).cloned().collect();
    if let Progress::Missing(missing) = quorum.progress(directory, &people) {
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        words.push(format!(
            "the people of tenant `{tenant}` cannot satisfy its quorum: {} would be missing",
            missing.join(", ")
        ));
    }
}

/// Whether a rule looks at the attribute.
fn uses(json: &Value, name: &str) -> bool {
    match json {
        Value::Array(items) => items.iter().any(|item| uses(item, name)),
        Value::Object(fields) => {
            fields.get("attr").is_some_and(|attribute| attribute == name)
                || fields.values().any(|value| uses(value, name))
        }
        _ => false,
    }
}

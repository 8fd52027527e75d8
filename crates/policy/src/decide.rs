//! The decision: which rules let a request pass, and whether the people whom they ask for have agreed.
//!
//! | rule of the house | how |
//! |---|---|
//! | nothing passes unless a rule permits it | [`Why::NoRule`] |
//! | one `forbid` is stronger than every `permit` | [`Effect::Forbid`] |
//! | a rule that cannot be worked out never helps a request: a `permit` is no alternative, a `forbid` refuses | [`Why::Unanswerable`] |
//! | what cannot be read passes only a rule that says so | [`Why::Blind`] |
//! | who belongs to a tenant has nothing to do with another tenant's keys | [`Why::OtherTenant`] |
//! | each rule that permits is a way of its own: the first whose people agreed is taken | [`Decision::judge`] |

use std::collections::BTreeSet;
use std::fmt;

use cedar_policy::AuthorizationError;
use quorate_intent::Purpose;

use crate::annotation::Rule;
use crate::approval::Tally;
use crate::directory::Directory;
use crate::engine::Question;
use crate::facts::{Action, Facts, FactsError, Resource};
use crate::name::Name;
use crate::policies::Policies;
use crate::quorum::{Missing, Progress};

/// What the rules say about a request, before anybody agreed to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What they come to.
    pub effect: Effect,
    /// The rules that let it pass, by `@id`; each is enough. Empty unless the effect is [`Effect::Permit`].
    pub alternatives: Vec<Rule>,
    /// Rules that permit and could not be worked out, by `@id`, and why. They are no alternatives.
    pub errors: Vec<(Name, String)>,
    /// How many rules were looked at.
    pub considered: usize,
}

/// What the rules come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It may be done in each of the ways that the alternatives say.
    Permit,
    /// These rules forbid it.
    Forbid(Vec<Rule>),
    /// Nothing permits it.
    Deny(Why),
}

/// Why nothing permits a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Who asks is not in the directory.
    #[error("`{0}` is not in the directory")]
    Unknown(Name),
    /// Who asks is disabled.
    #[error("`{0}` is disabled")]
    Disabled(Name),
    /// The key may not do this.
    #[error("the key has not the purpose `{0}`")]
    Purpose(Purpose),
    /// It belongs to another tenant.
    #[error("it belongs to tenant `{of}`, and `{who}` to another")]
    OtherTenant {
        /// The tenant of the key.
        of: Name,
        /// Who asks.
        who: Name,
    },
    /// No rule permits it.
    #[error("no rule permits `{who}` to {action} here")]
    NoRule {
        /// Who asks.
        who: Name,
        /// For what.
        action: Action,
    },
    /// Rules permit it, but not blind.
    #[error("part of it cannot be read ({what}), and no rule that applies says `@blind(\"allowed\")`: {}", names(.rules))]
    Blind {
        /// What cannot be read.
        what: String,
        /// The rules that would permit it.
        rules: Vec<Name>,
    },
    /// A rule that forbids could not be worked out.
    #[error("the rule `{rule}` could not be worked out, so that nothing passes: {error}")]
    Unanswerable {
        /// The rule.
        rule: String,
        /// Why not.
        error: String,
    },
    /// There are no facts to decide on.
    #[error("nothing can be decided: {0}")]
    Facts(#[from] FactsError),
}

/// What follows for a request from the rules and from what people said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done now.
    Go {
        /// The rule that lets it pass.
        rule: Box<Rule>,
    },
    /// Somebody must still agree, or time must pass.
    Wait {
        /// The rule that is nearest to letting it pass.
        rule: Box<Rule>,
        /// Who is missing; empty if only time must pass.
        missing: Vec<Missing>,
        /// The moment before which nothing happens even if everybody agrees, in unix seconds; `None` if it is over.
        not_before: Option<u64>,
        /// The last moment at which the rule lets it pass, in unix seconds.
        expires: u64,
    },
    /// It is not done.
    No {
        /// The rule that says so, if one does.
        rule: Option<Name>,
        /// Why, in words.
        words: String,
    },
}

impl Policies {
    /// Decides on the facts. The directory is the one that the policies were compiled for.
    #[must_use]
    pub fn decide(&self, directory: &Directory, facts: &Facts) -> Decision {
        let considered = self.permits.len().saturating_add(self.forbids.len());
        let deny = |why: Why| Decision {
            effect: Effect::Deny(why),
            alternatives: Vec::new(),
            errors: Vec::new(),
            considered,
        };
        let question = match self.question(directory, facts) {
            Ok(question) => question,
            Err(why) => return deny(why),
        };
        let response = self.authorizer.is_authorized(&question.request, &self.set, &question.entities);
        let (mut errors, mut unanswerable) = (Vec::new(), None);
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            let (id, words): (&str, _) = (error.policy_id().as_ref(), error.inner().to_string());
            match self.permits.get_key_value(id) {
                Some((id, _)) => errors.push((id.clone(), words)),
                // Also if it were a rule that is not known: it could be one that forbids.
                None => unanswerable = Some((id.to_owned(), words)),
            }
        }
        errors.sort();
        let reasons: BTreeSet<&str> = response.diagnostics().reason().map(AsRef::as_ref).collect();
        let forbidding: Vec<Rule> = reasons.iter().filter_map(|id| self.forbids.get(*id)).cloned().collect();
        let mut decision = Decision { effect: Effect::Permit, alternatives: Vec::new(), errors, considered };
        if !forbidding.is_empty() {
            decision.effect = Effect::Forbid(forbidding);
            return decision;
        }
        if let Some((rule, error)) = unanswerable {
            decision.effect = Effect::Deny(Why::Unanswerable { rule, error });
            return decision;
        }
        let mut permitting: Vec<Rule> =
            reasons.iter().filter_map(|id| self.permits.get(*id)).cloned().collect();
        if permitting.is_empty() || response.decision() != cedar_policy::Decision::Allow {
            let (who, action) = (facts.principal.clone(), facts.action);
            decision.effect = Effect::Deny(Why::NoRule { who, action });
            return decision;
        }
        if let Some(intent) = facts.intent.as_ref().filter(|intent| intent.blind) {
            let seeing: Vec<Name> =
                permitting.iter().filter(|rule| !rule.blind).map(|rule| rule.id.clone()).collect();
            permitting.retain(|rule| rule.blind);
            if permitting.is_empty() {
                let what = intent.unreadable.join("; ");
                let what = if what.is_empty() { intent.kind.clone() } else { what };
                decision.effect = Effect::Deny(Why::Blind { what, rules: seeing });
                return decision;
            }
        }
        decision.alternatives = permitting;
        decision
    }

    /// The facts as the engine wants them, if nothing that is built in stands against them.
    pub(crate) fn question(&self, directory: &Directory, facts: &Facts) -> Result<Question, Why> {
        built_in(directory, facts)?;
        Ok(self.vocabulary.question(&self.schema, directory, facts)?)
    }
}

/// What holds whatever the policies say.
fn built_in(directory: &Directory, facts: &Facts) -> Result<(), Why> {
    let who = &facts.principal;
    let principal = directory.principals().get(who).ok_or_else(|| Why::Unknown(who.clone()))?;
    if principal.disabled {
        return Err(Why::Disabled(who.clone()));
    }
    facts.check()?;
    if let (Some(own), Some(of)) = (&principal.tenant, facts.resource.tenant())
        && own != of
    {
        return Err(Why::OtherTenant { of: of.clone(), who: who.clone() });
    }
    if let (Action::Sign(purpose), Resource::Key(key)) = (facts.action, &facts.resource)
        && !key.purposes.contains(&purpose)
    {
        return Err(Why::Purpose(purpose));
    }
    Ok(())
}

/// How far one alternative is.
struct Way<'a> {
    rule: &'a Rule,
    missing: Vec<Missing>,
    not_before: Option<u64>,
    expires: u64,
}

impl Decision {
    /// What follows for the request from what people said. `created` is when this node first saw it; times are unix seconds.
    ///
    /// A rejection by somebody whose word matters to one of the alternatives ends it, and so does one by the requester. An
    /// approval counts until its own time is over. A delay and the time for approvals begin at `created`.
    #[must_use]
    pub fn judge(
        &self,
        directory: &Directory,
        requester: &Name,
        tally: &Tally,
        created: u64,
        now: u64,
    ) -> Verdict {
        match &self.effect {
            Effect::Permit => {}
            Effect::Forbid(rules) => {
                let rule = rules.first().map(|rule| rule.id.clone());
                return Verdict::No { rule, words: self.words() };
            }
            Effect::Deny(why) => {
                let rule = match why {
                    Why::Unanswerable { rule, .. } => rule.parse().ok(),
                    _ => None,
                };
                return Verdict::No { rule, words: self.words() };
            }
        }
        if tally.rejected.contains(requester) {
            return Verdict::No { rule: None, words: format!("`{requester}` took it back") };
        }
        for rule in &self.alternatives {
            let Some(quorum) = &rule.quorum else { continue };
            if let Some(by) = tally.rejected.iter().find(|by| quorum.concerns(directory, by)) {
                let words = format!("`{by}` rejected it, whom rule `{}` asks", rule.id);
                return Verdict::No { rule: Some(rule.id.clone()), words };
            }
        }
        let valid = tally.valid_at(now);
        let ways = self.alternatives.iter().map(|rule| way(rule, directory, requester, &valid, created, now));
        let mut open: Vec<Way<'_>> = ways.filter(|way| now <= way.expires).collect();
        // The nearest first: whom it takes fewest people, then least time.
        open.sort_by_key(|way| {
            let people: usize = way.missing.iter().map(|missing| missing.count).sum();
            (people, way.not_before, way.rule.id.clone())
        });
        match open.into_iter().next() {
            Some(Way { rule, missing, not_before: None, .. }) if missing.is_empty() => {
                Verdict::Go { rule: Box::new(rule.clone()) }
            }
            Some(Way { rule, missing, not_before, expires }) => {
                Verdict::Wait { rule: Box::new(rule.clone()), missing, not_before, expires }
            }
            None => {
                let rule = self.alternatives.first();
                let words =
                    format!("nobody agreed in time: {}", names(self.alternatives.iter().map(|r| &r.id)));
                Verdict::No { rule: rule.map(|rule| rule.id.clone()), words }
            }
        }
    }

    /// The decision in words.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.effect {
            Effect::Permit => {
                let ways: Vec<String> = self.alternatives.iter().map(ToString::to_string).collect();
                format!("permitted by {}", ways.join(" or by "))
            }
            Effect::Forbid(rules) => {
                let rules: Vec<String> = rules.iter().map(named).collect();
                format!("forbidden by {}", rules.join(" and "))
            }
            Effect::Deny(why) => why.to_string(),
        }
    }
}

fn way<'a>(
    rule: &'a Rule,
    directory: &Directory,
    requester: &Name,
    valid: &Tally,
    created: u64,
    now: u64,
) -> Way<'a> {
    let missing = match &rule.quorum {
        None => Vec::new(),
        Some(quorum) => {
            // The requester cannot help where the rule does not count them.
            let without = (!rule.requester_counts).then_some(requester);
            let agreed = valid.agreed(requester, rule.requester_counts);
            match quorum.progress_without(directory, &agreed, without) {
                Progress::Satisfied => Vec::new(),
                Progress::Missing(missing) => missing,
            }
        }
    };
    let not_before = rule.delay.map(|delay| created.saturating_add(delay)).filter(|moment| now < *moment);
    Way { rule, missing, not_before, expires: created.saturating_add(rule.lifetime()) }
}

impl Verdict {
    /// Whether it may be done now.
    #[must_use]
    pub const fn is_go(&self) -> bool {
        matches!(self, Self::Go { .. })
    }

    /// The rule that it comes from.
    #[must_use]
    pub fn rule(&self) -> Option<&Name> {
        match self {
            Self::Go { rule } | Self::Wait { rule, .. } => Some(&rule.id),
            Self::No { rule, .. } => rule.as_ref(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go { rule } => write!(f, "rule {} permits it", named(rule)),
            Self::Wait { rule, missing, not_before, expires: _ } => {
                write!(f, "rule {} ", named(rule))?;
                let missing: Vec<String> = missing.iter().map(wanting).collect();
                match (missing.is_empty(), not_before) {
                    (false, None) => write!(f, "needs {}", missing.join(" and ")),
                    (false, Some(_)) => {
                        write!(f, "needs {}, and its delay is not over", missing.join(" and "))
                    }
                    (true, _) => write!(f, "has everybody it needs; its delay is not over"),
                }
            }
            Self::No { words, .. } => f.write_str(words),
        }
    }
}

/// `1 more of Group::"finance" (ask anna, bert)`.
fn wanting(missing: &Missing) -> String {
    let who = if missing.of.starts_with("User::") {
        missing.of.clone()
    } else {
        format!("{} more of {}", missing.count, missing.of)
    };
    let ask: Vec<&str> = missing.candidates.iter().take(5).map(Name::as_str).collect();
    if ask.is_empty() || missing.of.starts_with("User::") {
        who
    } else {
        format!("{who} (ask {})", ask.join(", "))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&named(self))?;
        if let Some(quorum) = &self.quorum {
            write!(f, " if {quorum} agree")?;
        }
        if let Some(delay) = self.delay {
            write!(f, " after {}", span(delay))?;
        }
        Ok(())
    }
}

/// The rule's name, and its reason.
fn named(rule: &Rule) -> String {
    match &rule.reason {
        Some(reason) => format!("`{}` ({reason})", rule.id),
        None => format!("`{}`", rule.id),
    }
}

fn names<'a>(names: impl IntoIterator<Item = &'a Name>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Seconds in the largest unit that divides them.
fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size));
    match unit {
        Some((size, name)) => format!("{}{name}", seconds / size),
        None => format!("{seconds}s"),
    }
}

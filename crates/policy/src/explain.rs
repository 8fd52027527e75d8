//! Why each rule applies to a request or does not, clause by clause.

use core::fmt;

use cedar_policy::{AuthorizationError, EvalResult, Policy, PolicySet};
use serde_json::{Value, json};

use crate::annotation::Rule;
use crate::decide::{Decision, Why};
use crate::directory::Directory;
use crate::engine::Question;
use crate::facts::Facts;
use crate::policies::Policies;

/// Longest clause or value that is shown, in characters.
const SHOWN: usize = 400;

/// A decision, and what each rule had to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Every rule, those that permit first. Empty if the request did not get as far as the rules.
    pub rules: Vec<Looked>,
}

/// A rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The rule.
    pub rule: Rule,
    /// Whether it permits or forbids.
    pub permits: bool,
    /// Whether it applies.
    pub applies: Applies,
}

/// Whether a rule applies to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applies {
    /// Everything that it asks for is so.
    Yes,
    /// The first clause that is not so.
    No(Clause),
    /// The first clause that could not be worked out, and why.
    Error(Clause, String),
}

/// A clause of a rule, and the facts that it looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// As a policy would write it, or in words for what stands in the parentheses.
    pub text: String,
    /// The facts of the context in it, with their values for this request.
    pub values: Vec<(String, String)>,
}

/// What a clause comes to.
enum Outcome {
    Holds,
    Fails,
    Error(String),
}

impl Policies {
    /// Explains a decision.
    #[must_use]
    pub fn explain(&self, directory: &Directory, facts: &Facts) -> Explanation {
        let decision = self.decide(directory, facts);
        let rules = match self.question(directory, facts) {
            Ok(question) => self.rules().map(|(rule, permits)| self.look(&question, rule, permits)).collect(),
            Err(_) => Vec::new(),
        };
        Explanation { decision, rules }
    }

    fn look(&self, question: &Question, rule: &Rule, permits: bool) -> Looked {
        let json = self.policy(rule).and_then(|policy| policy.to_json().ok()).unwrap_or_default();
        let mut applies = Applies::Yes;
        for (clause, text) in clauses(&json) {
            match self.works_out(question, &clause) {
                Outcome::Holds => continue,
                Outcome::Fails => applies = Applies::No(describe(question, &clause, text)),
                Outcome::Error(error) => {
                    applies = Applies::Error(describe(question, &clause, text), error);
                }
            }
            break;
        }
        Looked { rule: rule.clone(), permits, applies }
    }

    /// Whether a policy of this one clause would be satisfied.
    fn works_out(&self, question: &Question, clause: &Value) -> Outcome {
        let set = Policy::from_json(None, clause.clone())
            .map_err(|error| error.to_string())
            .and_then(|policy| PolicySet::from_policies([policy]).map_err(|error| error.to_string()));
        let set = match set {
            Ok(set) => set,
            Err(error) => return Outcome::Error(error),
        };
        let response = self.authorizer.is_authorized(&question.request, &set, &question.entities);
        match (response.diagnostics().errors().next(), response.decision()) {
            (Some(AuthorizationError::PolicyEvaluationError(error)), _) => {
                Outcome::Error(error.inner().to_string())
            }
            (None, cedar_policy::Decision::Allow) => Outcome::Holds,
            (None, cedar_policy::Decision::Deny) => Outcome::Fails,
        }
    }
}

/// The parts of a rule that must all hold, in order, each as a policy of its own, with words for what stands in its parentheses.
fn clauses(policy: &Value) -> Vec<(Value, Option<String>)> {
    let any = || json!({ "op": "All" });
    let mut clauses = Vec::new();
    for part in ["principal", "action", "resource"] {
        let Some(scope) = policy.get(part).filter(|scope| **scope != any()) else { continue };
        let mut clause = json!({
            "effect": "permit", "principal": any(), "action": any(), "resource": any(), "conditions": [],
        });
        if let Some(slot) = clause.get_mut(part) {
            *slot = scope.clone();
        }
        clauses.push((clause, Some(format!("the {part} is {}", scope_words(scope)))));
    }
    for condition in policy.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        let kind = condition.get("kind").cloned().unwrap_or_default();
        let mut bodies = Vec::new();
        let body = condition.get("body").cloned().unwrap_or_default();
        if kind == "when" {
            conjuncts(&body, &mut bodies);
        } else {
            bodies.push(body);
        }
        for body in bodies {
            let clause = json!({
                "effect": "permit", "principal": any(), "action": any(), "resource": any(),
                "conditions": [{ "kind": kind, "body": body }],
            });
            clauses.push((clause, None));
        }
    }
    clauses
}

/// `a && b && c` as its parts.
fn conjuncts(body: &Value, into: &mut Vec<Value>) {
    match body.get("&&").map(|and| (and.get("left"), and.get("right"))) {
        Some((Some(left), Some(right))) => {
            conjuncts(left, into);
            conjuncts(right, into);
        }
        _ => into.push(body.clone()),
    }
}

/// `in Group::"finance"`.
fn scope_words(scope: &Value) -> String {
    let entity = |value: &Value| {
        let field = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{}::\"{}\"", field("type"), field("id"))
    };
    let mut words = Vec::new();
    let kind = scope.get("entity_type").and_then(Value::as_str);
    words.extend(kind.map(|kind| format!("a {kind}")));
    let of = scope.get("in").unwrap_or(scope);
    let op = if scope.get("in").is_some() || scope.get("op") == Some(&json!("in")) { "in " } else { "" };
    words.extend(of.get("entity").map(|one| format!("{op}{}", entity(one))));
    let several = of.get("entities").and_then(Value::as_array);
    words.extend(several.map(|several| {
        let names: Vec<String> = several.iter().map(entity).collect();
        format!("{op}[{}]", names.join(", "))
    }));
    words.join(" ")
}

fn describe(question: &Question, clause: &Value, words: Option<String>) -> Clause {
    if let Some(text) = words {
        return Clause { text, values: Vec::new() };
    }
    let text = Policy::from_json(None, clause.clone()).ok().and_then(|policy| policy.to_cedar());
    let text = text.unwrap_or_default();
    // What the policy that was made for it has around it.
    let body = text.split_once('{').and_then(|(head, rest)| {
        let body = rest.rsplit_once('}')?.0.trim();
        Some(if head.contains("unless") { format!("not ({body})") } else { body.to_owned() })
    });
    let mut names = Vec::new();
    context_facts(clause, &mut names);
    let context = question.request.context();
    let value = |name: &String| {
        // What has parts says nothing in one line.
        let value = context.and_then(|context| context.get(name));
        let value = value.filter(|value| !matches!(value, EvalResult::Record(_) | EvalResult::EntityUid(_)));
        value.map(|value| (name.clone(), cut(&value.to_string())))
    };
    Clause { text: cut(&body.unwrap_or(text)), values: names.iter().filter_map(value).collect() }
}

/// The facts `context.x` in a clause, each once.
fn context_facts(json: &Value, names: &mut Vec<String>) {
    match json {
        Value::Array(items) => items.iter().for_each(|item| context_facts(item, names)),
        Value::Object(fields) => {
            for access in [fields.get("."), fields.get("has")].into_iter().flatten() {
                let of = access.get("left").and_then(|left| left.get("Var"));
                if let (Some(Value::String(of)), Some(Value::String(name))) = (of, access.get("attr"))
                    && of == "context"
                    && !names.contains(name)
                {
                    names.push(name.clone());
                }
            }
            fields.values().for_each(|value| context_facts(value, names));
        }
        _ => {}
    }
}

fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

impl Why {
    /// Whether the policies had a say in it.
    #[must_use]
    pub const fn is_by_policy(&self) -> bool {
        matches!(self, Self::NoRule { .. } | Self::Blind { .. } | Self::Unanswerable { .. })
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        let values: Vec<String> =
            self.values.iter().map(|(name, value)| format!("{name} is {value}")).collect();
        if values.is_empty() { Ok(()) } else { write!(f, " [{}]", values.join(", ")) }
    }
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = if self.permits { "permit" } else { "forbid" };
        write!(f, "{effect} `{}` ", self.rule.id)?;
        match &self.applies {
            Applies::Yes => f.write_str("applies"),
            Applies::No(clause) => write!(f, "does not apply, this is not so: {clause}"),
            Applies::Error(clause, error) => write!(f, "could not be worked out: {clause}: {error}"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.decision.words())?;
        for looked in &self.rules {
            write!(f, "\n  {looked}")?;
        }
        Ok(())
    }
}

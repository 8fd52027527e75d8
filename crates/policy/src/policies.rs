//! The policies of a directory, parsed and checked: what cannot be judged later is refused here.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::OnceLock;

use cedar_policy::{
    Authorizer, Effect, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, ValidationWarning,
    Validator,
};
use miette::Diagnostic;

use crate::annotation::Rule;
use crate::directory::{Directory, PrincipalKind};
use crate::engine::Vocabulary;
use crate::facts::CAP;
use crate::finding::{Finding, Position, Severity};
use crate::name::Name;
use crate::schema;
use crate::source::{Source, nearest};

/// Most rules of all policies together.
pub const MAX_RULES: usize = 1000;

/// The schema and the names in it. They are the same for every directory, and reading them takes longer than a decision.
static ENGINE: OnceLock<Result<(Schema, Vocabulary), String>> = OnceLock::new();

fn engine() -> Result<(Schema, Vocabulary), String> {
    let (schema, _) = Schema::from_cedarschema_str(&schema::text()).map_err(|error| error.to_string())?;
    Ok((schema, Vocabulary::new()?))
}

/// The policies of a directory, ready to decide.
pub struct Policies {
    pub(crate) schema: Schema,
    pub(crate) set: PolicySet,
    pub(crate) permits: BTreeMap<Name, Rule>,
    pub(crate) forbids: BTreeMap<Name, Rule>,
    /// Where each rule stands.
    pub(crate) places: BTreeMap<Name, (Name, Position)>,
    pub(crate) authorizer: Authorizer,
    pub(crate) vocabulary: Vocabulary,
}

/// What is found while the texts are read.
struct Reader<'a> {
    directory: &'a Directory,
    findings: Vec<Finding>,
    set: PolicySet,
    permits: BTreeMap<Name, Rule>,
    forbids: BTreeMap<Name, Rule>,
    /// Where each rule stands.
    places: BTreeMap<Name, (Name, Position)>,
}

impl Policies {
    /// Reads and checks all policies of a directory.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the policies' names. Warnings are not among them; see
    /// [`check`](Self::check).
    pub fn compile(directory: &Directory) -> Result<Self, Vec<Finding>> {
        let (policies, findings) = Self::check(directory);
        policies.ok_or_else(|| {
            findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect()
        })
    }

    /// Reads and checks all policies of a directory, and says everything there is to say about them. There are policies if no
    /// finding is an error.
    #[must_use]
    pub fn check(directory: &Directory) -> (Option<Self>, Vec<Finding>) {
        let mut reader = Reader {
            directory,
            findings: Vec::new(),
            set: PolicySet::new(),
            permits: BTreeMap::new(),
            forbids: BTreeMap::new(),
            places: BTreeMap::new(),
        };
        for (name, text) in directory.policies() {
            reader.text(name, text);
        }
        let count = reader.permits.len().saturating_add(reader.forbids.len());
        if count > MAX_RULES {
            reader.general(format!("there are {count} rules, more than {MAX_RULES}: join some"));
        }
        let (schema, vocabulary) = match ENGINE.get_or_init(engine) {
            Ok((schema, vocabulary)) => (schema.clone(), vocabulary.clone()),
            Err(error) => {
                reader.general(format!("the schema does not read: {error}"));
                return (None, reader.findings);
            }
        };
        reader.validate(&schema);
        reader.findings.sort();
        reader.findings.dedup();
        let Reader { findings, set, permits, forbids, places, .. } = reader;
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return (None, findings);
        }
        let authorizer = Authorizer::new();
        (Some(Self { schema, set, permits, forbids, places, authorizer, vocabulary }), findings)
    }

    /// The rules that permit, by their `@id`.
    #[must_use]
    pub fn permits(&self) -> &BTreeMap<Name, Rule> {
        &self.permits
    }

    /// The rules that forbid, by their `@id`.
    #[must_use]
    pub fn forbids(&self) -> &BTreeMap<Name, Rule> {
        &self.forbids
    }

    /// All rules, those that permit first, and whether they do.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (&Rule, bool)> {
        let permits = self.permits.values().map(|rule| (rule, true));
        permits.chain(self.forbids.values().map(|rule| (rule, false)))
    }

    /// The rule as the engine has it.
    pub(crate) fn policy(&self, rule: &Rule) -> Option<&Policy> {
        self.set.policy(&PolicyId::new(rule.id.as_str()))
    }
}

impl core::fmt::Debug for Policies {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Policies").field("permits", &self.permits).field("forbids", &self.forbids).finish()
    }
}

impl Reader<'_> {
    fn general(&mut self, words: String) {
        let severity = Severity::Error;
        self.findings.push(Finding { severity, policy: None, position: None, rule: None, words });
    }

    fn add(&mut self, severity: Severity, place: (&Name, Position), rule: Option<&Name>, words: String) {
        let (policy, position) = (Some(place.0.clone()), Some(place.1));
        self.findings.push(Finding { severity, policy, position, rule: rule.cloned(), words });
    }

    fn text(&mut self, name: &Name, text: &str) {
        let set: PolicySet = match text.parse() {
            Ok(set) => set,
            Err(errors) => {
                let errors: cedar_policy::ParseErrors = errors;
                for error in errors.iter() {
                    let position = Position::of(text, offset(error).unwrap_or_default());
                    self.add(Severity::Error, (name, position), None, in_words(error, error));
                }
                return;
            }
        };
        let source = Source::new(text);
        if set.num_of_templates() > 0 {
            let words = "templates are not used: write the people and keys into the rule".to_owned();
            self.add(Severity::Error, (name, Position::of(text, 0)), None, words);
        }
        if set.is_empty() {
            let words = "it has no rule".to_owned();
            self.add(Severity::Warning, (name, Position::of(text, 0)), None, words);
        }
        for policy in set.policies() {
            // The parser numbers the rules of a text: `policy0`, `policy1`, …
            let index = policy.id().to_string().trim_start_matches("policy").parse().unwrap_or(usize::MAX);
            self.rule(name, text, &source, index, policy);
        }
    }

    fn rule(&mut self, name: &Name, text: &str, source: &Source, index: usize, policy: &Policy) {
        let start = Position::of(text, source.rule(index).unwrap_or_default());
        let permits = policy.effect() == Effect::Permit;
        let (rule, errors) = Rule::read(name, permits, policy.annotations());
        let id = rule.as_ref().map(|rule| rule.id.clone());
        for error in errors {
            self.add(Severity::Error, (name, start), id.as_ref(), error.to_string());
        }
        if let Some(error) =
            rule.as_ref().and_then(|rule| rule.quorum.as_ref()?.check(self.directory, None).err())
        {
            self.add(Severity::Error, (name, start), id.as_ref(), format!("`@quorum`: {error}"));
        }
        for literal in policy.entity_literals() {
            if let Some(words) = self.literal(&literal) {
                let (kind, id_text) = (literal.type_name().to_string(), literal.id().unescaped().to_owned());
                let at = source.literal(index, &kind, &id_text);
                let position = at.map_or(start, |at| Position::of(text, at));
                self.add(Severity::Error, (name, position), id.as_ref(), words);
            }
        }
        match policy.to_json() {
            Ok(json) => {
                let mut wrong = Vec::new();
                values(&json, &mut wrong);
                for (literal, words) in wrong {
                    let position = source.text(index, &literal).map_or(start, |at| Position::of(text, at));
                    self.add(Severity::Error, (name, position), id.as_ref(), words);
                }
            }
            Err(error) => self.add(Severity::Error, (name, start), id.as_ref(), error.to_string()),
        }
        let Some(rule) = rule else { return };
        if let Some((other, at)) = self.places.get(&rule.id) {
            let words = format!(
                "there is a rule of that name already, in `{other}` at {}:{}: a decision could not say which",
                at.line, at.column
            );
            self.add(Severity::Error, (name, start), id.as_ref(), words);
            return;
        }
        if let Err(error) = self.set.add(policy.new_id(PolicyId::new(rule.id.as_str()))) {
            self.add(Severity::Error, (name, start), id.as_ref(), error.to_string());
            return;
        }
        self.places.insert(rule.id.clone(), (name.clone(), start));
        let rules = if permits { &mut self.permits } else { &mut self.forbids };
        rules.insert(rule.id.clone(), rule);
    }

    /// What is wrong with an entity that a rule names.
    fn literal(&self, literal: &EntityUid) -> Option<String> {
        let (kind, name) = (literal.type_name().to_string(), literal.id().unescaped());
        let principals = |wanted: PrincipalKind| {
            let all = self.directory.principals().iter();
            all.filter(move |(_, principal)| principal.kind == wanted).map(|(name, _)| name.as_str())
        };
        let (known, near) = match kind.as_str() {
            "User" => lookup(name, || principals(PrincipalKind::User)),
            "Service" => lookup(name, || principals(PrincipalKind::Service)),
            "Group" => lookup(name, || self.directory.groups().keys().map(Name::as_str)),
            "Role" => lookup(name, || self.directory.roles().keys().map(Name::as_str)),
            "Tenant" => lookup(name, || self.directory.tenants().map(Name::as_str)),
            "Cluster" => lookup(name, || ["cluster"].into_iter()),
            "Key" => {
                let read = name.parse::<quorate_api::KeyId>();
                return read.err().map(|error| format!("`Key::\"{name}\"` is no key: {error}"));
            }
            "Units" | "Texts" | "Flags" => {
                return Some(format!("`{kind}` is not named in a rule: it is in the context"));
            }
            // The validator knows actions and the words of enumerations.
            _ => return None,
        };
        if known {
            return None;
        }
        let other = match (kind.as_str(), self.directory.principals().get(name).map(|found| found.kind)) {
            ("User", Some(PrincipalKind::Service)) => Some(format!("Service::\"{name}\"")),
            ("Service", Some(PrincipalKind::User)) => Some(format!("User::\"{name}\"")),
            _ => near.map(|near| format!("{kind}::\"{near}\"")),
        };
        let hint = other.map(|other| format!(", did you mean {other}?")).unwrap_or_default();
        Some(format!("there is no {kind}::\"{name}\" in the directory{hint}"))
    }

    fn validate(&mut self, schema: &Schema) {
        let result = Validator::new(schema.clone()).validate(&self.set, ValidationMode::Strict);
        let errors = result
            .validation_errors()
            .map(|error| (error.policy_id(), Severity::Error, offset(error), in_words(error, error)));
        let warnings = result.validation_warnings().map(|warning| {
            let severity = match warning {
                // A `permit` that never permits is safe, a `forbid` that never forbids is not; text that looks like
                // other text is neither.
                ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_)
                    if self.permits.contains_key(AsRef::<str>::as_ref(warning.policy_id())) =>
                {
                    Severity::Warning
                }
                _ => Severity::Error,
            };
            (warning.policy_id(), severity, offset(warning), in_words(warning, warning))
        });
        let found: Vec<_> = errors.chain(warnings).collect();
        for (id, severity, at, words) in found {
            let id: &str = id.as_ref();
            let Some((rule, (policy, start))) = self.places.get_key_value(id) else { continue };
            let (rule, policy, start) = (rule.clone(), policy.clone(), *start);
            let text = self.directory.policies().get(&policy).map_or("", String::as_str);
            let position = at.map_or(start, |at| Position::of(text, at));
            self.add(severity, (&policy, position), Some(&rule), words);
        }
    }
}

/// Whether a name is one of `names`, and the nearest if it is not.
fn lookup<'a, I: Iterator<Item = &'a str>>(name: &str, names: impl Fn() -> I) -> (bool, Option<&'a str>) {
    let known = names().any(|known| known == name);
    (known, if known { None } else { nearest(name, names()) })
}

/// Values in a rule that can never mean what they say: a literal as it is written, and what is wrong with it.
fn values(json: &serde_json::Value, wrong: &mut Vec<(String, String)>) {
    match json {
        serde_json::Value::Array(items) => items.iter().for_each(|item| values(item, wrong)),
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("Value", serde_json::Value::String(text)) => wrong.extend(capitals(text)),
                    ("pattern", serde_json::Value::Array(parts)) => {
                        // One part a character, and the wildcards between them.
                        let text = parts.iter().map(|part| {
                            let literal = part.get("Literal").and_then(serde_json::Value::as_str);
                            literal.unwrap_or("*")
                        });
                        let text: String = text.collect();
                        wrong.extend(text.split('*').filter_map(capitals));
                    }
                    ("Value", serde_json::Value::Number(number)) => {
                        if number.as_i64().is_none_or(|number| number >= CAP) {
                            let words = format!(
                                "no amount in a policy reaches {number}: they stop at {CAP}; use larger steps, such as `native_micro` or `token_e12`"
                            );
                            wrong.push((number.to_string(), words));
                        }
                    }
                    _ => values(value, wrong),
                }
            }
        }
        _ => {}
    }
}

/// An address or a selector with capitals, and what is wrong with it.
fn capitals(text: &str) -> Option<(String, String)> {
    let digits = text.strip_prefix("0x")?;
    let wrong = digits.chars().all(|c| c.is_ascii_hexdigit()) && digits.contains(|c| matches!(c, 'A'..='F'));
    let lower = text.to_ascii_lowercase();
    let words =
        || format!("`{text}` never equals anything: in policies hexadecimal is lower case, write `{lower}`");
    wrong.then(|| (text.to_owned(), words()))
}

fn offset(diagnostic: &dyn Diagnostic) -> Option<usize> {
    diagnostic.labels()?.next().map(|label| label.offset())
}

fn in_words(error: &dyn Display, diagnostic: &dyn Diagnostic) -> String {
    match diagnostic.help() {
        Some(help) => format!("{error} ({help})"),
        None => error.to_string(),
    }
}

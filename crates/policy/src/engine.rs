//! Facts in the policy engine's terms: only the principal, what it belongs to, the resource and its tenant, so that a decision costs the
//! same in a directory of ten people and of ten thousand.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema,
};

use crate::directory::{Directory, PrincipalKind};
use crate::facts::{
    Action, Amount, CAP, Facts, FactsError, IntentFacts, NATIVE, Resource, Sum, Wanted, Windows, plain,
};
use crate::name::Name;
use crate::schema::WEEKDAYS;

/// The identifier of the one cluster.
pub(crate) const CLUSTER: &str = "cluster";

/// The engine's types, read once.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    types: BTreeMap<&'static str, EntityTypeName>,
}

/// A question in the engine's terms.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
}

/// A question that is being put together.
struct Draft<'a> {
    vocabulary: &'a Vocabulary,
    entities: Vec<Entity>,
    context: Vec<(String, RestrictedExpression)>,
}

type Value = RestrictedExpression;
type Made<T> = Result<T, FactsError>;

const TYPES: [&str; 16] = [
    "Action", "User", "Service", "Group", "Role", "Tenant", "Cluster", "Key", "Scheme", "Purpose", "Kind",
    "Weekday", "Status", "Units", "Texts", "Flags",
];

impl Vocabulary {
    pub(crate) fn new() -> Result<Self, String> {
        let read = |name: &'static str| match name.parse() {
            Ok(read) => Ok((name, read)),
            Err(error) => Err(format!("{error}")),
        };
        TYPES.into_iter().map(read).collect::<Result<_, String>>().map(|types| Self { types })
    }

    pub(crate) fn uid(&self, kind: &str, name: &str) -> Made<EntityUid> {
        let kind = self.types.get(kind).ok_or_else(|| FactsError::Engine(format!("no type {kind}")))?;
        Ok(EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name)))
    }

    fn value(&self, kind: &str, name: &str) -> Made<Value> {
        self.uid(kind, name).map(Value::new_entity_uid)
    }

    /// Puts the facts into the engine's terms.
    pub(crate) fn question(&self, schema: &Schema, directory: &Directory, facts: &Facts) -> Made<Question> {
        let mut draft = Draft { vocabulary: self, entities: Vec::new(), context: Vec::new() };
        let principal = draft.principal(directory, &facts.principal)?;
        let resource = draft.resource(&facts.resource)?;
        let action = draft.action(facts.action)?;
        draft.time(facts.now)?;
        if let Some(source) = facts.source {
            draft.put("source_ip", Value::new_ip(source.to_string()));
        }
        draft.extra(&facts.extra)?;
        if let Some(intent) = &facts.intent {
            draft.intent(intent)?;
            draft.put("path", Value::new_string(facts.path.to_string()));
            let windows = [("key", &facts.spent.key), ("principal", &facts.spent.principal)];
            let chain = intent.chain.as_deref().unwrap_or_default();
            let spent = windows.map(|(whose, windows)| Ok((whose, draft.windows(whose, chain, windows)?)));
            let spent = record(spent.into_iter().collect::<Made<Vec<_>>>()?)?;
            draft.put("spent", spent);
        }
        if let Some(wanted) = &facts.wanted {
            draft.wanted(wanted)?;
        }
        let context = Context::from_pairs(draft.context).map_err(engine)?;
        let request = Request::new(principal, action, resource, context, Some(schema)).map_err(engine)?;
        let entities = Entities::from_entities(draft.entities, None).map_err(engine)?;
        Ok(Question { request, entities })
    }
}

impl Draft<'_> {
    fn put(&mut self, name: &str, value: Value) {
        self.context.push((name.to_owned(), value));
    }

    fn entity(
        &mut self,
        uid: EntityUid,
        attributes: Vec<(&str, Value)>,
        parents: Vec<EntityUid>,
    ) -> Made<()> {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
        let entity = Entity::new(uid, attributes.collect(), parents.into_iter().collect()).map_err(engine)?;
        self.entities.push(entity);
        Ok(())
    }

    fn cluster(&mut self) -> Made<EntityUid> {
        self.vocabulary.uid("Cluster", CLUSTER)
    }

    /// A tenant and the cluster it is in. Once, for the engine takes an entity once.
    fn tenant(&mut self, name: &Name) -> Made<EntityUid> {
        let uid = self.vocabulary.uid("Tenant", name.as_str())?;
        if !self.entities.iter().any(|entity| entity.uid() == uid) {
            let cluster = self.cluster()?;
            self.entity(uid.clone(), Vec::new(), vec![cluster])?;
        }
        Ok(uid)
    }

    // POL.1 Only the principal and what it belongs to.
    fn principal(&mut self, directory: &Directory, name: &Name) -> Made<EntityUid> {
        let found = directory.principals().get(name);
        let kind = match found.map(|found| found.kind) {
            Some(PrincipalKind::Service) => "Service",
            _ => "User",
        };
        let uid = self.vocabulary.uid(kind, name.as_str())?;
        let mut attributes = vec![("name", Value::new_string(name.to_string()))];
        let mut parents = Vec::new();
        if let Some(membership) = directory.membership(name.as_str()) {
            for group in &membership.groups {
                parents.push(self.vocabulary.uid("Group", group.as_str())?);
            }
            for role in &membership.roles {
                parents.push(self.vocabulary.uid("Role", role.as_str())?);
            }
        }
        if let Some(tenant) = found.and_then(|found| found.tenant.as_ref()) {
            let tenant = self.tenant(tenant)?;
            attributes.push(("tenant", Value::new_entity_uid(tenant.clone())));
            parents.push(tenant);
        }
        self.entity(uid.clone(), attributes, parents)?;
        Ok(uid)
    }

    fn resource(&mut self, resource: &Resource) -> Made<EntityUid> {
        let key = match resource {
            Resource::Cluster => return self.cluster(),
            Resource::Tenant { name } => return self.tenant(name),
            Resource::Key(key) => key,
        };
        let uid = self.vocabulary.uid("Key", &key.id.to_string())?;
        let purposes = key.purposes.iter().map(|purpose| self.vocabulary.value("Purpose", purpose.name()));
        let mut attributes = vec![
            ("label", Value::new_string(key.label.clone())),
            ("scheme", self.vocabulary.value("Scheme", key.scheme.name())?),
            ("purposes", Value::new_set(purposes.collect::<Made<Vec<_>>>()?)),
            (
                "created_by",
                Value::new_string(key.created_by.as_ref().map(Name::to_string).unwrap_or_default()),
            ),
            ("status", self.vocabulary.value("Status", key.status.as_str())?),
            ("exposed", Value::new_bool(key.exposed)),
        ];
        let mut parents = vec![self.cluster()?];
        if let Some(tenant) = &key.tenant {
            let tenant = self.tenant(tenant)?;
            attributes.push(("tenant", Value::new_entity_uid(tenant.clone())));
            parents.push(tenant);
        }
        self.entity(uid.clone(), attributes, parents)?;
        Ok(uid)
    }

    fn action(&mut self, action: Action) -> Made<EntityUid> {
        let uid = self.vocabulary.uid("Action", action.name())?;
        let parents = match action {
            Action::Sign(_) => vec![self.vocabulary.uid("Action", Action::SIGN)?],
            _ => Vec::new(),
        };
        self.entity(uid.clone(), Vec::new(), parents)?;
        Ok(uid)
    }

    fn time(&mut self, now: u64) -> Made<()> {
        let (days, seconds) = (now / 86_400, now % 86_400);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let date = date(days);
        self.put("now", Value::new_datetime(format!("{date}T{hour:02}:{minute:02}:{second:02}Z")));
        self.put("hour", Value::new_long(long(hour)));
        self.put("minute", Value::new_long(long(minute)));
        let weekday = usize::try_from(days % 7).ok().and_then(|day| WEEKDAYS.get(day));
        let weekday = self.vocabulary.value("Weekday", weekday.copied().unwrap_or_default())?;
        self.put("weekday", weekday);
        Ok(())
    }

    // POL.7 One table a type.
    fn extra(&mut self, extra: &BTreeMap<String, serde_json::Value>) -> Made<()> {
        let (mut texts, mut numbers, mut flags) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in extra {
            match value {
                serde_json::Value::String(text) => {
                    texts.push((name.clone(), Value::new_string(text.clone())))
                }
                serde_json::Value::Bool(flag) => flags.push((name.clone(), Value::new_bool(*flag))),
                value => {
                    let number = value.as_i64().ok_or_else(|| FactsError::Extra(name.clone()))?;
                    numbers.push((name.clone(), Value::new_long(number)));
                }
            }
        }
        let extra = [
            ("texts", self.tags("Texts", "extra", texts)?),
            ("numbers", self.tags("Units", "extra", numbers)?),
            ("flags", self.tags("Flags", "extra", flags)?),
        ];
        self.put("extra", record(extra.into())?);
        Ok(())
    }

    fn intent(&mut self, intent: &IntentFacts) -> Made<()> {
        let totals = intent.totals();
        let chain = intent.chain.as_deref().unwrap_or_default();
        self.put("kind", self.vocabulary.value("Kind", &intent.kind)?);
        self.put("chain", Value::new_string(chain.to_owned()));
        self.put("blind", Value::new_bool(intent.blind));
        self.put("complete", Value::new_bool(intent.complete));
        self.put("native_micro", Value::new_long(micro(totals.native, chain)));
        self.put("fee_micro", Value::new_long(micro(intent.fee.unwrap_or(Amount::MAX), chain)));
        let (units, steps) = self.tokens("request", &totals.tokens)?;
        self.put("token_units", units);
        self.put("token_e12", steps);
        self.put("primary_type", Value::new_string(intent.primary_type.clone()));
        self.put("domain", Value::new_string(intent.domain.clone()));
        self.put("text", Value::new_string(intent.text.clone()));
        let lower = |texts: &BTreeSet<String>| texts.iter().map(|text| plain(text)).collect();
        for (name, texts) in [
            ("assets", totals.assets),
            ("recipients", totals.recipients),
            ("spenders", totals.spenders),
            ("methods", lower(&intent.methods)),
            ("contracts", lower(&intent.contracts)),
        ] {
            self.put(name, Value::new_set(texts.into_iter().map(Value::new_string)));
        }
        Ok(())
    }

    fn wanted(&mut self, wanted: &Wanted) -> Made<()> {
        let purposes = wanted.purposes.iter().map(|purpose| self.vocabulary.value("Purpose", purpose.name()));
        let purposes = Value::new_set(purposes.collect::<Made<Vec<_>>>()?);
        self.put("scheme", self.vocabulary.value("Scheme", wanted.scheme.name())?);
        self.put("purposes", purposes);
        self.put("threshold", Value::new_long(i64::from(wanted.threshold)));
        self.put("parties", Value::new_long(i64::from(wanted.parties)));
        self.put("label", Value::new_string(wanted.label.clone()));
        Ok(())
    }

    // POL.6 What was spent before, as the caller counted it.
    fn windows(&mut self, whose: &str, chain: &str, windows: &Windows) -> Made<Value> {
        let windows = [("hour", &windows.hour), ("day", &windows.day), ("week", &windows.week)];
        let sums = windows.map(|(span, sum)| Ok((span, self.sum(&format!("{whose}.{span}"), chain, sum)?)));
        record(sums.into_iter().collect::<Made<Vec<_>>>()?)
    }

    fn sum(&mut self, name: &str, chain: &str, sum: &Sum) -> Made<Value> {
        let (units, steps) = self.tokens(name, &sum.tokens)?;
        record(vec![
            ("count", Value::new_long(long(sum.count))),
            ("native_micro", Value::new_long(micro(sum.native, chain))),
            ("token_units", units),
            ("token_e12", steps),
        ])
    }

    /// Amounts by token, in smallest units and in steps of 10^12 of them.
    fn tokens(&mut self, name: &str, tokens: &BTreeMap<String, Amount>) -> Made<(Value, Value)> {
        let mut in_steps = |suffix: &str, digits: u32| {
            let steps = tokens.iter().filter(|(asset, _)| asset.as_str() != NATIVE);
            let steps = steps.map(|(asset, amount)| (plain(asset), Value::new_long(amount.in_steps(digits))));
            self.tags("Units", &format!("{name}.{suffix}"), steps.collect())
        };
        Ok((in_steps("units", 0)?, in_steps("e12", 12)?))
    }

    /// A thing whose tags are these.
    fn tags(&mut self, kind: &str, name: &str, tags: Vec<(String, Value)>) -> Made<Value> {
        let uid = self.vocabulary.uid(kind, name)?;
        // What has no tags need not be there.
        if !tags.is_empty() {
            self.entities.push(Entity::new_with_tags(uid.clone(), [], [], tags).map_err(engine)?);
        }
        Ok(Value::new_entity_uid(uid))
    }
}

fn record(fields: Vec<(&str, Value)>) -> Made<Value> {
    Value::new_record(fields.into_iter().map(|(name, value)| (name.to_owned(), value))).map_err(engine)
}

/// Nothing is nothing on every chain; anything else on a chain whose coin is not known is more than any limit.
fn micro(amount: Amount, chain: &str) -> i64 {
    if amount == Amount::ZERO { 0 } else { amount.in_micro(chain) }
}

fn long(number: u64) -> i64 {
    i64::try_from(number).map_or(CAP, |number| number.min(CAP))
}

fn engine(error: impl core::fmt::Display) -> FactsError {
    FactsError::Engine(error.to_string())
}

/// The date of a day counted from 1970-01-01, in the Gregorian calendar. It is worked out in years that begin in March, so that the
/// leap day is the last of its year.
fn date(days: u64) -> String {
    // 719,468 days lie between the first of March of the year 0 and 1970; 146,097 are 400 years.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", 400 * era + year + next)
}

/// The day of a date counted from 1970-01-01: the inverse of [`date`], for the years 1970 to 9999.
pub(crate) fn days(year: u16, month: u8, day: u8) -> Option<u64> {
    let written = format!("{year:04}-{month:02}-{day:02}");
    let (year, month, day) = (u64::from(year), u64::from(month), u64::from(day));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    let count = 365 * year + leaps + (153 * month + 2) / 5 + day;
    let days = count.checked_sub(719_469)?;
    // Only what is a date comes back as it was.
    (date(days) == written).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (day, expected) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (364, "1970-12-31"),
            (365, "1971-01-01"),
            (789, "1972-02-29"),
            (790, "1972-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_778, "2026-11-21"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
            (2_932_896, "9999-12-31"),
        ] {
            assert_eq!(date(day), expected);
            let part = |range: core::ops::Range<usize>| expected.get(range).unwrap().parse::<u16>().unwrap();
            let small = |range| u8::try_from(part(range)).unwrap();
            assert_eq!(days(part(0..4), small(5..7), small(8..10)), Some(day));
        }
        assert_eq!(days(2026, 2, 29), None);
        assert_eq!(days(2026, 13, 1), None);
        assert_eq!(days(2026, 0, 1), None);
        assert_eq!(days(1969, 12, 31), None);
        assert_eq!(days(0, 1, 1), None);
    }
}

//! The decision on one request: every node makes its own, on its own directory, policies, freezes and count of what people said.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use quorate_api::{
    BackUp, Code, CreateKey, DerivationPath, KeyId, KeyStatus, MissingPeople, Problem, SignedRequest,
};
use quorate_intent::{Summary, default_purposes};
use quorate_policy::approval::Tally;
use quorate_policy::chain::{Agreement, Proposed};
use quorate_policy::decide::{Effect, Verdict};
use quorate_policy::directory::{Directory, Principal};
use quorate_policy::facts::{Action, Facts, IntentFacts, KeyFacts, Resource, Spent, Wanted};
use quorate_policy::name::Name;
use quorate_policy::policies::Policies;
use quorate_policy::quorum::{Missing, Quorum};
use quorate_store::Key;

use super::spending::{Spends, Turn};
use super::{Regime, chain_problem};
use crate::access;
use crate::ceremony::act;
use crate::ceremony::sign::{Asked, Item};
use crate::clock;
use crate::hook::Need;
use crate::judge::{Ask, Judged};
use crate::keys::Record;
use crate::shared::Shared;

/// The policies of a directory, read.
#[derive(Debug)]
pub(crate) struct Rules {
    policies: Policies,
    looks_back: bool,
}

/// The rule under which the directory changes.
pub(super) const ADMINS: &str = "admins";

impl Rules {
    /// Reads and checks all policies.
    pub(super) fn compile(directory: &Directory) -> Result<Self, Problem> {
        let policies = Policies::compile(directory).map_err(|findings| {
            let words: Vec<String> = findings.iter().map(ToString::to_string).collect();
            Problem::new(Code::Unprocessable, format!("the policies are not valid: {}", words.join("; ")))
        })?;
        let looks_back = directory.policies().values().any(|text| text.contains("spent"));
        Ok(Self { policies, looks_back })
    }

    /// Whether a rule could ask this person.
    pub(super) fn ask(&self, directory: &Directory, user: &Name) -> bool {
        let quorums = self.policies.permits().values().filter_map(|rule| rule.quorum.as_ref());
        quorums.into_iter().any(|quorum| quorum.concerns(directory, user))
    }

    /// Whether a rule may look at what was spent before.
    pub(super) fn looks_back(&self) -> bool {
        self.looks_back
    }
}

/// What is decided on.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// A signature.
    Sign(&'a Asked),
    /// A new key.
    Create(&'a CreateKey),
    /// Something else that is done to a key.
    Act(&'a act::Asked),
    /// A key that is imported.
    Import(&'a CreateKey),
    /// A backup of this node's shares.
    BackUp,
    /// A change of the directory.
    Change(&'a Proposed),
}

/// What a request is about, owned.
pub(crate) enum Prepared {
    Sign(Box<Asked>),
    Create(Box<CreateKey>),
    Act(Box<act::Asked>),
    Import(Box<CreateKey>),
    BackUp(BackUp),
    Change(Box<Proposed>),
}

impl Prepared {
    pub(crate) fn subject(&self) -> Subject<'_> {
        match self {
            Self::Sign(asked) => Subject::Sign(asked),
            Self::Create(create) => Subject::Create(create),
            Self::Act(asked) => Subject::Act(asked),
            Self::Import(create) => Subject::Import(create),
            Self::BackUp(_) => Subject::BackUp,
            Self::Change(proposed) => Subject::Change(proposed),
        }
    }

    /// What is asked for, in words.
    pub(crate) fn summary(&self) -> Summary {
        match self {
            Self::Sign(asked) => asked.summary(),
            Self::Create(create) | Self::Import(create) => {
                let what = match self {
                    Self::Import(_) => "import a private key that the requester has, as a key",
                    _ => "create a key",
                };
                let label =
                    create.label.as_ref().map(|label| format!(" called {label:?}")).unwrap_or_default();
                Summary {
                    headline: format!(
                        "{what} for {}{label}, of which {} can sign",
                        create.scheme,
                        who_can_sign(create)
                    ),
                    ..Summary::default()
                }
            }
            Self::Act(asked) => asked.summary(),
            Self::BackUp(what) => Summary {
                headline: "back up the shares of the node that was asked, to where its configuration says"
                    .to_owned(),
                details: what.reason.iter().map(|reason| format!("reason: {reason:?}")).collect(),
                ..Summary::default()
            },
            Self::Change(proposed) => proposed.words(),
        }
    }
}

/// What this node decides.
#[derive(Debug)]
pub(crate) enum Permission {
    /// It may be done, by this rule.
    Go(Option<String>),
    /// Not yet.
    Wait(Box<Waiting>),
    /// No.
    No(Problem),
}

impl Permission {
    /// What is decided on things that are signed together, from what is decided on each: they go when all may go.
    fn of_all(all: Vec<Self>) -> Self {
        let (mut rules, mut waits): (Vec<String>, Vec<Waiting>) = (Vec::new(), Vec::new());
        for one in all {
            match one {
                Self::No(problem) => return Self::No(problem),
                Self::Wait(waiting) => waits.push(*waiting),
                Self::Go(rule) => rules.extend(rule),
            }
        }
        match waits.into_iter().reduce(Waiting::and) {
            Some(waiting) => Self::Wait(Box::new(waiting)),
            None => {
                let mut seen = BTreeSet::new();
                rules.retain(|rule| seen.insert(rule.clone()));
                Self::Go((!rules.is_empty()).then(|| rules.join(", ")))
            }
        }
    }
}

/// What is waited for.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) rule: Option<String>,
    pub(crate) missing: Vec<Missing>,
    /// In unix seconds.
    pub(crate) not_before: Option<u64>,
    /// In unix seconds.
    pub(crate) expires: u64,
    /// Whose word matters: the quorums of all rules that could allow it, and whether the requester counts.
    pub(crate) concerned: Vec<(Quorum, bool)>,
}

impl Waiting {
    /// Both are waited for.
    fn and(mut self, other: Self) -> Self {
        for missing in other.missing {
            if !self.missing.contains(&missing) {
                self.missing.push(missing);
            }
        }
        for concerned in other.concerned {
            if !self.concerned.contains(&concerned) {
                self.concerned.push(concerned);
            }
        }
        self.rule = match (self.rule, other.rule) {
            (Some(one), Some(other)) if !one.split(", ").any(|known| known == other) => {
                Some(format!("{one}, {other}"))
            }
            (one, other) => one.or(other),
        };
        self.not_before = self.not_before.max(other.not_before);
        self.expires = self.expires.min(other.expires);
        self
    }

    /// Whether what this person says can matter.
    pub(crate) fn concerns(&self, directory: &Directory, user: &Name) -> bool {
        self.concerned.iter().any(|(quorum, _)| quorum.concerns(directory, user))
    }

    /// Whether some rule lets the requester count.
    pub(crate) fn requester_counts(&self) -> bool {
        self.concerned.iter().any(|(_, counts)| *counts)
    }

    /// Why it is not done, for whoever wanted it done now.
    pub(crate) fn problem(&self) -> Problem {
        let mut words: Vec<String> =
            self.missing.iter().map(|missing| format!("it needs {missing}")).collect();
        if let Some(moment) = self.not_before {
            words.push(format!("it waits until {moment} (unix seconds), as its rule says"));
        }
        Problem::new(Code::ApprovalMissing, words.join(", and "))
    }

    pub(crate) fn missing(&self) -> Vec<MissingPeople> {
        let shown = |missing: &Missing| MissingPeople {
            count: u16::try_from(missing.count).unwrap_or(u16::MAX),
            of: missing.of.clone(),
            candidates: missing.candidates.iter().map(ToString::to_string).collect(),
        };
        self.missing.iter().map(shown).collect()
    }
}

impl Shared {
    /// The time and how far ahead an expiry may lie, in unix seconds.
    pub(crate) fn now(&self) -> (u64, u64) {
        (clock::seconds(), self.max_ahead().as_secs())
    }

    /// Reads what a request is about, as far as this node can.
    pub(crate) async fn prepare(
        &self,
        judged: &Judged,
        coordinator: quorate_net::PeerId,
    ) -> Result<Prepared, Problem> {
        self.prepare_with(judged, coordinator, Need::Any).await
    }

    /// The same, with an answer of the pre-sign hook that is as new as needed.
    pub(crate) async fn prepare_with(
        &self,
        judged: &Judged,
        coordinator: quorate_net::PeerId,
        need: Need,
    ) -> Result<Prepared, Problem> {
        Ok(match &judged.ask {
            Ask::Sign(key, sign) => {
                self.check_key_sight(judged.request.client(), key).await?;
                let mut asked = crate::ceremony::sign::ask(self, key, sign, coordinator).await?;
                // Whoever may not sign now need not be asked about.
                let tenant = asked.key.record.tenant.as_ref();
                let frozen = self.governance.as_ref().and_then(|known| known.frozen(Some(key), tenant));
                if frozen.is_none() {
                    asked.said = self.consult(judged, &asked, need).await?;
                }
                Prepared::Sign(Box::new(asked))
            }
            Ask::Create(create) => {
                crate::ceremony::create::check(self, judged, create)?;
                Prepared::Create(Box::new(create.clone()))
            }
            Ask::Act(key, act) => {
                self.check_key_sight(judged.request.client(), key).await?;
                Prepared::Act(Box::new(act::ask(self, key, act, coordinator).await?))
            }
            Ask::Import(import) => {
                let create = import.create();
                crate::ceremony::create::check(self, judged, &create)?;
                Prepared::Import(Box::new(create))
            }
            Ask::BackUp(what) => {
                // Tenants do not decide on the keys of all.
                self.check_insider(judged.request.client())?;
                Prepared::BackUp(what.clone())
            }
            Ask::Change => Prepared::Change(Box::new(self.proposed(&judged.request)?)),
        })
    }

    /// A change of the directory, read against what is in force.
    pub(crate) fn proposed(&self, request: &SignedRequest) -> Result<Proposed, Problem> {
        let regime = self.governed()?.regime();
        // GOV.10: tenants do not decide on the cluster, nor keep those busy who do.
        self.check_insider(request.client())?;
        let proposed =
            regime.state.propose(request, Some(self.now())).map_err(|error| chain_problem(&error))?;
        Regime::of(proposed.next.clone())?;
        Ok(proposed)
    }

    /// GOV.3: what this node decides on a request, now. Without a genesis everything that the key allows is permitted.
    pub(crate) async fn permission(
        &self,
        judged: &Judged,
        subject: Subject<'_>,
    ) -> Result<Permission, Problem> {
        self.permission_in_turn(judged, subject, None).await
    }

    /// The same for whoever has the turn of the key and principal, from [`spender`](Self::spender).
    pub(crate) async fn permission_in_turn(
        &self,
        judged: &Judged,
        subject: Subject<'_>,
        turn: Option<&mut Turn>,
    ) -> Result<Permission, Problem> {
        if let Subject::Sign(asked) = subject {
            self.check_usable(&asked.key).await?;
        }
        let Some(governance) = &self.governance else {
            if let Subject::Sign(asked) = subject {
                self.said(asked)?;
            }
            return Ok(Permission::Go(None));
        };
        let regime = governance.regime();
        let unknown = || Problem::new(Code::UnknownClient, "no enabled principal has this credential");
        let (requester, principal) = regime.principal(judged.request.client()).ok_or_else(unknown)?;
        let key = match (&judged.ask, subject) {
            (Ask::Sign(key, _) | Ask::Act(key, _), _) => Some(key),
            _ => None,
        };
        let tenant = match subject {
            Subject::Sign(asked) => asked.key.record.tenant.as_ref(),
            Subject::Act(asked) => asked.record.tenant.as_ref(),
            Subject::Create(_) | Subject::Import(_) | Subject::BackUp | Subject::Change(_) => None,
        };
        let despite_freeze = match subject {
            // A backup takes nothing away and gives nobody anything.
            Subject::Change(_) | Subject::BackUp => true,
            Subject::Act(asked) => asked.about().despite_freeze,
            Subject::Sign(_) | Subject::Create(_) | Subject::Import(_) => false,
        };
        if !despite_freeze && let Some(problem) = governance.frozen(key, tenant.or(principal.tenant.as_ref()))
        {
            return Ok(Permission::No(problem));
        }
        match subject {
            Subject::Change(proposed) => {
                let tally = self.tally(judged, &regime).await?;
                let rule = regime.state.directory().admins();
                Ok(match regime.state.agreement(&proposed.requester, &tally) {
                    Agreement::Agreed => Permission::Go(Some(ADMINS.to_owned())),
                    Agreement::Rejected(by) => Permission::No(rejected(&by)),
                    Agreement::Missing(missing) => Permission::Wait(Box::new(Waiting {
                        rule: Some(ADMINS.to_owned()),
                        missing,
                        not_before: None,
                        expires: judged.request.expires(),
                        concerned: vec![(rule.quorum.clone(), rule.requester_counts)],
                    })),
                })
            }
            Subject::Sign(asked) => {
                // Nothing is not allowed for want of something to refuse.
                asked.first()?;
                let intents: Vec<_> = asked.items.iter().map(Item::facts).collect();
                let spends = Spends::of_all(&asked.key.id, requester, &intents);
                let mut spent = Spent::default();
                if let Some(spends) = spends.as_ref().filter(|_| self.looks_back(&regime)) {
                    spent = self.spent(&judged.operation, spends, turn).await?;
                }
                let mut all = Vec::with_capacity(intents.len());
                let mut people = None;
                let mut before = spent.clone();
                for (at, (item, intent)) in asked.items.iter().zip(intents).enumerate() {
                    // GOV.3a  Each item is looked at as if those before it had been signed.
                    let after = before.clone().and(&Spends::of(&asked.key.id, requester, &intent).spend(0));
                    let facts = self.facts_of_signing(requester, judged.source, asked, item, intent)?;
                    let facts = Facts { spent: core::mem::replace(&mut before, after), ..facts };
                    let permission = self.by_policy(judged, &regime, requester, &facts, &mut people).await?;
                    match permission {
                        Permission::No(problem) => return Ok(Permission::No(asked.about(at, problem))),
                        permission => all.push(permission),
                    }
                }
                let permission = Permission::of_all(all);
                match (&permission, spends) {
                    (Permission::Go(_), Some(spends)) => {
                        // GOV.11
                        match self.config.breaker.trips(&spends, &spent) {
                            Some(why) => self.trip(&asked.key.id, &why).await.map(Permission::No),
                            None => Ok(permission),
                        }
                    }
                    _ => Ok(permission),
                }
            }
            Subject::Act(asked) => {
                let facts = Facts {
                    principal: requester.clone(),
                    action: asked.about().action,
                    resource: Resource::Key(key_facts(&asked.id, &asked.record, &asked.key)),
                    now: clock::seconds(),
                    source: judged.source,
                    intent: None,
                    wanted: None,
                    path: DerivationPath::default(),
                    spent: Spent::default(),
                    extra: BTreeMap::new(),
                };
                self.by_policy(judged, &regime, requester, &facts, &mut None).await
            }
            Subject::BackUp => {
                let facts = Facts {
                    principal: requester.clone(),
                    action: Action::Backup,
                    resource: Resource::Cluster,
                    now: clock::seconds(),
                    source: judged.source,
                    intent: None,
                    wanted: None,
                    path: DerivationPath::default(),
                    spent: Spent::default(),
                    extra: BTreeMap::new(),
                };
                self.by_policy(judged, &regime, requester, &facts, &mut None).await
            }
            Subject::Create(create) | Subject::Import(create) => {
                let mut facts = facts_of_creation(
                    requester,
                    principal,
                    judged.source,
                    create,
                    self.members().names.len(),
                );
                if matches!(subject, Subject::Import(_)) {
                    facts.action = Action::Import;
                }
                self.by_policy(judged, &regime, requester, &facts, &mut None).await
            }
        }
    }

    /// GOV.3: what the policies say, with what people said where it matters.
    async fn by_policy(
        &self,
        judged: &Judged,
        regime: &Regime,
        requester: &Name,
        facts: &Facts,
        known: &mut Option<(Tally, u64)>,
    ) -> Result<Permission, Problem> {
        let directory = regime.state.directory();
        let decision = regime.rules.policies.decide(directory, facts);
        let now = facts.now;
        // People are asked only where some rule asks for them or for time: most requests are decided without a look at the store.
        let people = decision.alternatives.iter().all(|rule| rule.quorum.is_some() || rule.delay.is_some());
        // Where people were asked before, what they said counts also if by now some rule would ask nobody: the hook may say other facts.
        let people = people || self.waits(&judged.operation);
        let nobody = (Tally::default(), now);
        let (tally, first_seen) = if people && decision.effect == Effect::Permit {
            // Of a batch, people are asked about all of it: looked up once.
            if known.is_none() {
                let case = self.case(&judged.operation).await?;
                // Only of these very bytes, and while they wait: a delay that nobody could have seen passing is none.
                let own = judged.request.encode();
                let case = case.filter(|case| case.request == own && case.closed.is_none());
                let first_seen = case.map_or(now, |case| case.first_seen / 1000);
                *known = Some((self.tally(judged, regime).await?, first_seen));
            }
            known.as_ref().unwrap_or(&nobody)
        } else {
            &nobody
        };
        Ok(match decision.judge(directory, requester, tally, *first_seen, now) {
            Verdict::Go { rule } => Permission::Go(Some(rule.id.to_string())),
            Verdict::Wait { rule, missing, not_before, expires } => {
                let concerned = decision
                    .alternatives
                    .iter()
                    .filter_map(|rule| rule.quorum.clone().map(|quorum| (quorum, rule.requester_counts)));
                Permission::Wait(Box::new(Waiting {
                    rule: Some(rule.id.to_string()),
                    missing,
                    not_before,
                    expires: expires.min(judged.request.expires()),
                    concerned: concerned.collect(),
                }))
            }
            Verdict::No { words, .. } if !tally.rejected.is_empty() => {
                Permission::No(Problem::new(Code::OperationRejected, words))
            }
            Verdict::No { rule, words } => {
                self.metrics.policy_denied(rule.as_ref().map_or("none", Name::as_str));
                Permission::No(Problem::new(Code::PolicyDenied, words))
            }
        })
    }

    fn facts_of_signing(
        &self,
        requester: &Name,
        source: Option<IpAddr>,
        asked: &Asked,
        item: &Item,
        intent: IntentFacts,
    ) -> Result<Facts, Problem> {
        let key = KeyFacts {
            status: asked.key.status,
            exposed: asked.key.exposed,
            ..record_facts(&asked.key.id, &asked.key.record)
        };
        Ok(Facts {
            principal: requester.clone(),
            action: Action::Sign(item.prepared.purpose),
            resource: Resource::Key(key),
            now: clock::seconds(),
            source,
            intent: Some(intent),
            path: item.path.clone(),
            wanted: None,
            spent: Spent::default(),
            extra: self.said(asked)?,
        })
    }
}

/// What policies see of a key.
fn key_facts(id: &KeyId, record: &Record, key: &Key) -> KeyFacts {
    KeyFacts {
        status: act::state::api_status(key.status),
        exposed: key.state.exposed_at.is_some(),
        ..record_facts(id, record)
    }
}

fn record_facts(id: &KeyId, record: &Record) -> KeyFacts {
    KeyFacts {
        id: id.clone(),
        tenant: record.tenant.clone(),
        label: record.label.clone().unwrap_or_default(),
        scheme: record.scheme,
        purposes: record.purposes.clone(),
        created_by: record.created_by.clone(),
        status: KeyStatus::Active,
        exposed: false,
    }
}

/// Who is to sign with a new key, in words.
fn who_can_sign(create: &CreateKey) -> String {
    match (&create.access, create.threshold) {
        (Some(access), _) => access.to_string(),
        (None, threshold) => format!("{} parties", threshold.unwrap_or_default()),
    }
}

fn facts_of_creation(
    requester: &Name,
    principal: &Principal,
    source: Option<IpAddr>,
    create: &CreateKey,
    nodes: usize,
) -> Facts {
    let (threshold, parties) = match &create.access {
        None => (create.threshold.unwrap_or_default(), create.parties.as_ref().map_or(nodes, Vec::len)),
        Some(access) => {
            let names: Vec<String> = access.names().into_iter().map(str::to_owned).collect();
            let wanted = access::wanted(create, &names);
            (wanted.as_ref().map_or(0, access::smallest), names.len())
        }
    };
    let purposes = match &create.purposes {
        Some(purposes) => purposes.iter().copied().collect(),
        None => default_purposes(create.scheme),
    };
    Facts {
        principal: requester.clone(),
        action: Action::CreateKey,
        resource: match &principal.tenant {
            Some(name) => Resource::Tenant { name: name.clone() },
            None => Resource::Cluster,
        },
        now: clock::seconds(),
        source,
        intent: None,
        wanted: Some(Wanted {
            scheme: create.scheme,
            purposes,
            threshold,
            parties: u16::try_from(parties).unwrap_or(u16::MAX),
            label: create.label.clone().unwrap_or_default(),
        }),
        path: DerivationPath::default(),
        spent: Spent::default(),
        extra: BTreeMap::new(),
    }
}

impl Shared {
    /// CER.4, GOV.3: a member is convinced by itself or does not take part. Gives the rule that allows it.
    pub(crate) async fn convinced(
        &self,
        judged: &Judged,
        subject: Subject<'_>,
    ) -> Result<Option<String>, Problem> {
        self.convinced_in_turn(judged, subject, None).await
    }

    /// The same for whoever has the turn of the key and principal, from [`spender`](Self::spender).
    pub(crate) async fn convinced_in_turn(
        &self,
        judged: &Judged,
        subject: Subject<'_>,
        turn: Option<&mut Turn>,
    ) -> Result<Option<String>, Problem> {
        let refused = match self.permission_in_turn(judged, subject, turn).await? {
            Permission::Go(rule) => {
                if let Subject::Sign(asked) = subject {
                    self.still_says(asked)?;
                }
                return Ok(rule);
            }
            Permission::Wait(waiting) => {
                // Seen first now: a delay counts from here at the latest.
                self.hear(judged).await?;
                waiting.problem()
            }
            Permission::No(problem) => problem,
        };
        self.decided(judged, Err(refused)).await
    }
}

pub(super) fn rejected(by: &Name) -> Problem {
    Problem::new(Code::OperationRejected, format!("`{by}` rejected it: ask them why, and send a new request"))
}

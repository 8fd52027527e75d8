//! The pre-sign hook: a program of this node's operator that is asked before this node agrees to sign (`spec/53-hook.md`). It can say
//! no, and it can say facts that rules look at. Each node asks its own; nothing is believed of what another node's hook said.
//!
//! | module | holds |
//! |---|---|
//! | `answer` | what an answer must be |

pub(crate) mod answer;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_api::webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, WebhookPublicKey};
use quorate_api::{Code, OperationId, Problem};
use quorate_intent::Summary;
use quorate_policy::facts::{Action, IntentFacts};
use serde::Serialize;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::ceremony::sign::{Asked, Item};
use crate::clock;
use crate::config;
use crate::governance::permit::{Permission, Prepared};
use crate::judge::{Ask, Judged};
use crate::metrics::Metrics;
use crate::registry::locked;
use crate::shared::{Shared, random};
use crate::webhook::post::{PostError, Receiver};
use crate::webhook::shown;
use answer::{AnswerError, Headers};

/// For how long this node acts on an answer.
const FRESH: Duration = Duration::from_secs(3);
/// How old an answer may be when a signature begins: asked for just before, whatever else was waited for.
const OLDEST: Duration = Duration::from_secs(15);
/// For how long a question that failed is not asked again.
const RETRY: Duration = Duration::from_secs(1);
/// Questions at once; of one client a quarter of it.
const AT_ONCE: usize = 64;
/// Requests of one client that may wait for answers.
const WAITING: usize = 128;
/// Operations whose answers are kept at once.
const MAX_KEPT: usize = 16_384;
/// Longest answer in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The most that `[presign] timeout` may be.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// What a hook said that does not mind.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) facts: BTreeMap<String, serde_json::Value>,
    at: Instant,
}

/// How new an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// For looking: what was answered last will do.
    Any,
    /// For acting.
    Fresh,
}

/// Why there is no answer that counts.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{0}")]
    Post(#[from] PostError),
    #[error("{0}")]
    Answer(#[from] AnswerError),
    #[error("it is asked too much at once")]
    Busy,
    #[error("the question broke off")]
    Broke,
    #[error("it was not asked")]
    Unasked,
    #[error("its last answer is too old")]
    Old,
}

/// What the hook said: yes with facts, or no.
type Heard = Result<Arc<Said>, Problem>;

/// What is known of one operation.
#[derive(Debug, Default)]
struct Entry {
    /// Held while it is asked about: one question an operation at a time.
    asking: Arc<tokio::sync::Mutex<()>>,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    /// About which bytes, and what was said.
    said: Option<([u8; 32], Instant, Heard)>,
    failed: Option<([u8; 32], Instant, Problem)>,
}

impl Entry {
    fn known(&self, request: [u8; 32], need: Need) -> Option<Heard> {
        let last = locked(&self.last);
        if let Some((about, at, said)) = &last.said
            && *about == request
            && (need == Need::Any || at.elapsed() <= FRESH)
        {
            return Some(said.clone());
        }
        let failed = last.failed.as_ref().filter(|(about, at, _)| *about == request && at.elapsed() <= RETRY);
        failed.map(|(_, _, problem)| Err(problem.clone()))
    }
}

/// Places of one client, so that none takes those of the others.
#[derive(Debug)]
struct OfClient {
    waiting: Semaphore,
    asking: Arc<Semaphore>,
}

impl Default for OfClient {
    fn default() -> Self {
        let asking = Arc::new(Semaphore::new(AT_ONCE / 4));
        Self { waiting: Semaphore::new(WAITING), asking }
    }
}

/// The hook of this node.
pub(crate) struct Hook {
    receiver: Receiver,
    /// Its place, without what may be secret in its address.
    to: String,
    node: String,
    key: WebhookPublicKey,
    within: Duration,
    places: Arc<Semaphore>,
    clients: Mutex<HashMap<String, Arc<OfClient>>>,
    entries: Mutex<HashMap<OperationId, Arc<Entry>>>,
    /// Operations that go on once the hook has answered.
    awaited: Mutex<HashSet<OperationId>>,
    metrics: Arc<Metrics>,
}

/// What the hook is asked, as JSON.
#[derive(Debug, Serialize)]
struct Question<'a> {
    version: u8,
    /// Fresh random bytes: an answer is for this question only.
    nonce: &'a str,
    /// In unix seconds.
    time: u64,
    node: &'a str,
    identity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a str>,
    operation: &'a OperationId,
    /// Names the bytes that the client signed.
    request_hash: String,
    client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<IpAddr>,
    key: &'a str,
    /// Where below the key the one is that would sign; absent if the key itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The public key that would sign; of a batch, each item says its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    action: String,
    summary: Summary,
    /// Of what would be signed; of a batch, each item has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<IntentFacts>,
    /// All that would be signed together, if it is a batch: one answer for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<QuestionItem<'a>>,
}

/// One item of a batch.
#[derive(Debug, Serialize)]
struct QuestionItem<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    public_key: String,
    summary: &'a Summary,
    facts: IntentFacts,
}

impl<'a> QuestionItem<'a> {
    fn of(item: &'a Item) -> Self {
        Self {
            path: (!item.path.is_root()).then(|| item.path.to_string()),
            public_key: item.public_key.to_hex(),
            summary: &item.prepared.summary,
            facts: item.facts(),
        }
    }
}

/// A question that can be sent.
struct Sealed {
    id: String,
    time: u64,
    signature: String,
    body: Vec<u8>,
}

impl Hook {
    pub(crate) fn new(hook: &config::Presign, node: &str, metrics: Arc<Metrics>) -> Result<Self, String> {
        let receiver = Receiver::new(&hook.url, hook.ca_file.as_deref(), hook.timeout)?;
        Ok(Self {
            receiver,
            to: shown(&hook.url).to_owned(),
            node: node.to_owned(),
            key: hook.key.parse().map_err(|error| format!("{error}"))?,
            within: hook.timeout,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            clients: Mutex::default(),
            entries: Mutex::default(),
            awaited: Mutex::default(),
            metrics,
        })
    }

    fn entry(&self, operation: &OperationId) -> Arc<Entry> {
        let mut entries = locked(&self.entries);
        if entries.len() >= MAX_KEPT && !entries.contains_key(operation) {
            entries.retain(|_, entry| Arc::strong_count(entry) > 1);
        }
        Arc::clone(entries.entry(operation.clone()).or_default())
    }

    fn client(&self, name: &str) -> Arc<OfClient> {
        let mut clients = locked(&self.clients);
        if clients.len() >= MAX_KEPT && !clients.contains_key(name) {
            clients.retain(|_, client| Arc::strong_count(client) > 1);
        }
        Arc::clone(clients.entry(name.to_owned()).or_default())
    }

    /// What is known without asking.
    pub(crate) fn known(&self, judged: &Judged, need: Need) -> Option<Heard> {
        let entry = locked(&self.entries).get(&judged.operation).cloned()?;
        entry.known(judged.request.request_hash(), need)
    }

    /// Forgets what nobody will ask for again.
    pub(crate) fn forget(&self, waits: impl Fn(&OperationId) -> bool) {
        let recent = |last: &Last| {
            let said = last.said.as_ref().map(|(_, at, _)| *at);
            let failed = last.failed.as_ref().map(|(_, at, _)| *at);
            said.max(failed).is_none_or(|at| at.elapsed() <= OLDEST)
        };
        locked(&self.entries)
            .retain(|id, entry| Arc::strong_count(entry) > 1 || recent(&locked(&entry.last)) || waits(id));
    }

    /// PRE.7
    fn failed(&self, why: &NoAnswer) -> Problem {
        let (node, to) = (&self.node, &self.to);
        let detail = format!(
            "the pre-sign hook of `{node}` at {to} gave no valid answer: {why}; `{node}` signs nothing without one: mend the hook, then ask again"
        );
        Problem::new(Code::PresignFailed, detail)
    }

    /// PRE.7
    fn denied(&self, reason: &str) -> Problem {
        let (node, words) = (&self.node, if reason.is_empty() { "it gives no reason" } else { reason });
        Problem::new(Code::PresignDenied, format!("the pre-sign hook of `{node}` does not allow it: {words}"))
    }

    /// One question over the network.
    async fn exchange(&self, question: &Sealed, until: Instant) -> Result<Heard, NoAnswer> {
        let Sealed { id, time, signature, body } = question;
        let answered = timeout_at(until, self.receiver.ask(id, *time, signature, body, MAX_ANSWER)).await;
        let answered = answered.map_err(|_| PostError::Slow(self.within))??;
        let header = |name| answered.headers.get(name).and_then(|value| value.to_str().ok());
        let headers = Headers {
            id: header(HEADER_ID),
            timestamp: header(HEADER_TIMESTAMP),
            signature: header(HEADER_SIGNATURE),
        };
        let answer = answer::read(&self.key, id, body, &headers, &answered.body, clock::seconds())?;
        Ok(if answer.allow {
            Ok(Arc::new(Said { facts: answer.facts, at: Instant::now() }))
        } else {
            Err(self.denied(&answer.reason))
        })
    }

    /// Asks, and keeps what comes of it.
    async fn ask(
        self: Arc<Self>,
        entry: Arc<Entry>,
        one: OwnedMutexGuard<()>,
        about: [u8; 32],
        operation: OperationId,
        question: Sealed,
        until: Instant,
    ) -> Heard {
        let begun = Instant::now();
        let answered = self.exchange(&question, until).await;
        let result = match &answered {
            Ok(Ok(_)) => "allowed",
            Ok(Err(_)) => "denied",
            Err(_) => "failed",
        };
        self.metrics.presign(result, begun.elapsed());
        let now = Instant::now();
        let said = match answered {
            Ok(said) => {
                if let Err(problem) = &said {
                    tracing::info!(%operation, detail = %problem.detail, "the pre-sign hook says no");
                }
                *locked(&entry.last) = Last { said: Some((about, now, said.clone())), failed: None };
                said
            }
            Err(why) => {
                tracing::warn!(%operation, to = self.to, %why, "the pre-sign hook gave no valid answer");
                let problem = self.failed(&why);
                locked(&entry.last).failed = Some((about, now, problem.clone()));
                Err(problem)
            }
        };
        drop(one);
        said
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Shared {
    /// PRE.1, PRE.8: what the hook of this node says of a signature, if there is a hook. Asked unless it said so just now; the question
    /// goes on, and its answer is kept, also if whoever waits for it goes.
    pub(crate) async fn consult(
        &self,
        judged: &Judged,
        asked: &Asked,
        need: Need,
    ) -> Result<Option<Arc<Said>>, Problem> {
        let Some(hook) = &self.hook else { return Ok(None) };
        let about = judged.request.request_hash();
        let entry = hook.entry(&judged.operation);
        if let Some(known) = entry.known(about, need) {
            return known.map(Some);
        }
        let until = Instant::now() + hook.within;
        let busy = || hook.failed(&NoAnswer::Busy);
        let client = hook.client(judged.request.client());
        let _waiting = client.waiting.try_acquire().map_err(|_| {
            Problem::new(
                Code::RateLimited,
                "too many requests of this client wait for the pre-sign hook: ask again later",
            )
        })?;
        let one = timeout_at(until, Arc::clone(&entry.asking).lock_owned()).await.map_err(|_| busy())?;
        // Somebody else was quicker.
        if let Some(known) = entry.known(about, need) {
            return known.map(Some);
        }
        let places = async {
            let of_client = Arc::clone(&client.asking).acquire_owned().await;
            (of_client, Arc::clone(&hook.places).acquire_owned().await)
        };
        let place = timeout_at(until, places).await.map_err(|_| busy())?;
        let question = self.question(judged, asked)?;
        let work = Arc::clone(hook).ask(entry, one, about, judged.operation.clone(), question, until);
        let stop = self.stop.clone();
        let asking = self.tasks.spawn(crate::trace::carried(async move {
            let said = stop.run_until_cancelled(work).await;
            drop(place);
            said
        }));
        match asking.await {
            Ok(Some(said)) => said.map(Some),
            Ok(None) | Err(_) => Err(hook.failed(&NoAnswer::Broke)),
        }
    }

    /// PRE.2
    fn question(&self, judged: &Judged, asked: &Asked) -> Result<Sealed, Problem> {
        let nonce = hex::encode(random::<32>()?);
        let time = clock::seconds();
        let record = &asked.key.record;
        let first = asked.first()?;
        let items = if asked.batch { asked.items.iter().map(QuestionItem::of).collect() } else { Vec::new() };
        let (path, public_key, facts) = if asked.batch {
            (None, None, None)
        } else {
            let QuestionItem { path, public_key, facts, .. } = QuestionItem::of(first);
            (path, Some(public_key), Some(facts))
        };
        let question = Question {
            // A hook that does not know batches must not take the first item for all.
            version: if asked.batch { 2 } else { 1 },
            nonce: &nonce,
            time,
            node: &self.config.name,
            identity: self.id.to_string(),
            cluster: self.governance.as_ref().map(|governance| governance.cluster.as_str()),
            operation: &judged.operation,
            request_hash: hex::encode(judged.request.request_hash()),
            client: judged.request.client(),
            principal: self.owner(judged.request.client()).0.map(|name| name.to_string()),
            source: judged.source,
            key: asked.key.id.as_str(),
            path,
            public_key,
            label: record.label.as_deref(),
            tenant: record.tenant.as_ref().map(|tenant| tenant.as_str()),
            action: Action::Sign(first.prepared.purpose).to_string(),
            summary: asked.summary(),
            facts,
            items,
        };
        let body = serde_json::to_vec(&question).map_err(|error| {
            Problem::new(Code::Internal, format!("the question for the hook cannot be written: {error}"))
        })?;
        let id = format!("psq_{nonce}");
        let signature = self.webhook.sign(&id, time, &body);
        Ok(Sealed { id, time, signature, body })
    }

    /// PRE.9: nothing is decided without what the hook said.
    pub(crate) fn said(&self, asked: &Asked) -> Result<BTreeMap<String, serde_json::Value>, Problem> {
        match (&self.hook, &asked.said) {
            (None, _) => Ok(BTreeMap::new()),
            (Some(_), Some(said)) => Ok(said.facts.clone()),
            (Some(hook), None) => Err(hook.failed(&NoAnswer::Unasked)),
        }
    }

    /// PRE.9: nothing is signed on what the hook said long ago.
    pub(crate) fn still_says(&self, asked: &Asked) -> Result<(), Problem> {
        match (&self.hook, &asked.said) {
            (None, _) => Ok(()),
            (Some(_), Some(said)) if said.at.elapsed() <= OLDEST => Ok(()),
            (Some(hook), _) => Err(hook.failed(&NoAnswer::Old)),
        }
    }

    /// As [`prepare`](Self::prepare), for whoever goes on with what waits. Nothing waits here for the hook: if it must be asked first, a
    /// task does that and looks at the case again.
    pub(crate) async fn prepare_to_go(self: &Arc<Self>, judged: &Judged) -> Result<Prepared, Problem> {
        let (Some(hook), Ask::Sign(..)) = (&self.hook, &judged.ask) else {
            return self.prepare(judged, self.id).await;
        };
        if hook.known(judged, Need::Any).is_some() {
            let prepared = self.prepare(judged, self.id).await?;
            // PRE.8  On an old answer people may be waited for, and nothing be done.
            let fresh = hook.known(judged, Need::Fresh).is_some_and(|known| known.is_ok());
            if fresh || !matches!(self.permission(judged, prepared.subject()).await?, Permission::Go(_)) {
                return Ok(prepared);
            }
        }
        self.ask_and_look_again(judged);
        Err(Problem::new(Code::PresignFailed, "the pre-sign hook is being asked"))
    }

    fn ask_and_look_again(self: &Arc<Self>, judged: &Judged) {
        let Some(hook) = &self.hook else { return };
        if !locked(&hook.awaited).insert(judged.operation.clone()) {
            return;
        }
        let (shared, hook, judged) = (Arc::clone(self), Arc::clone(hook), judged.clone());
        self.tasks.spawn(crate::trace::carried(async move {
            let prepared = shared.prepare_with(&judged, shared.id, Need::Fresh).await;
            locked(&hook.awaited).remove(&judged.operation);
            // What failed, or was not asked, is asked at the next look at everything that waits.
            let failed = prepared.is_err_and(|problem| problem.code == Code::PresignFailed);
            if !failed
                && hook.known(&judged, Need::Fresh).is_some()
                && let Err(problem) = shared.advance(&judged.operation).await
            {
                tracing::warn!(operation = %judged.operation, detail = %problem.detail, "a case cannot be looked at");
            }
        }));
    }
}

//! What this node writes into its log. Each entry is stored in the commit of the record that it is about, before anything that
//! follows from it leaves the node.
//!
//! | kind | when | body |
//! |---|---|---|
//! | `start`, `stop` | the node starts, stops in order | version |
//! | `request` | an operation begins here | client, hashes of the request and of the signed bytes, method, path, derivation path, number of items of a batch, source address |
//! | `decision` | the same commit, or when a request of an enrolled client is refused | hash, decision, why |
//! | `ceremony` | a session begins, or ends without a result | session, protocol, parties; then the problem, who is at fault |
//! | `outcome` | a result is stored | hash of the request, hash of the result, quorum; derivation path and public key of a key below the key |
//! | `evidence` | the log of a peer contradicts what this node saw of it | who, and what |
//! | `evidence` | the directory forked | both heads |
//! | `approval`, `rejection` | a person says something about a request | hashes of request and ruling, who, with which credential, the verdict |
//! | `decision` | a request that waited for people goes on, or ends without them | which, why |
//! | `change`, `thaw` | the directory has a new version | version, head, who, hash of the request |
//! | `freeze` | somebody, or this node's circuit breaker, froze something | what, who, why |
//! | `share` | this node's share of a key becomes usable, is ordered to another state, or is erased | from, to; which order, and why |
//! | `share` | the next epoch of a key is prepared, acknowledged, abandoned, or in force here | epoch, its name, step |
//! | `burn` | a check failed: this node never again signs with that one under this key | with whom, session, end of the transfer |
//! | `seal` | the folder is sealed under something else | from, to |
//!
//! Bodies are JSON objects with their fields in the order of the structs below.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;

use quorate_api::{
    ActKind, Code, Hex, KeyId, NodeReceipt, OperationId, OperationResult, Problem, SignBatchResult,
    SignResult, SignedRequest,
};
use quorate_log::entry::{Entry, EntryError, Id, Kind};
use quorate_log::note::{KeyError, LogKey, LogSigner, WitnessKey};
use quorate_log::receipt::Receipt;
use quorate_log::witness::WitnessPolicy;
use quorate_net::PeerId;
use quorate_policy::chain::State;
use quorate_policy::change::Step;
use quorate_policy::name::Name;
use quorate_protocol::session::SessionId;
use quorate_store::{Burn, Key, KeyStatus, StoreError};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::judge::{Ask, Judged};
use crate::keys::Record;
use crate::registry::locked;
use crate::shared::Shared;

/// The name of a node's log. It follows from the identity, so whoever knows a node can check what it logged.
pub(crate) fn log_name(id: PeerId) -> String {
    format!("quorate/{id}")
}

/// The key that signs a node's log: its identity. What else that key signs is never of this form: see `spec/41-log.md`.
///
/// # Errors
/// [`KeyError`] for bytes that are no public key.
pub fn log_key(id: PeerId) -> Result<LogKey, KeyError> {
    LogKey::new(&log_name(id), id.as_bytes())
}

/// The key under which a node cosigns the logs of others: its identity too.
///
/// # Errors
/// [`KeyError`] for bytes that are no public key.
pub fn witness_key(id: PeerId) -> Result<WitnessKey, KeyError> {
    WitnessKey::new(&log_name(id), id.as_bytes())
}

/// Signs the log of the node with this identity seed.
pub(crate) fn log_signer(id: PeerId, seed: &[u8; 32]) -> Result<LogSigner, KeyError> {
    LogSigner::from_seed(&log_name(id), seed)
}

#[derive(Debug, Serialize)]
struct Started {
    version: &'static str,
    name: String,
}

#[derive(Debug, Serialize)]
struct Requested<'a> {
    client: &'a str,
    /// What a retry shares with it.
    request: String,
    /// The hash of the bytes that were signed, expiry included.
    signed: String,
    method: &'static str,
    path: &'a str,
    /// Where below the key the one is that shall sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    derivation: Option<String>,
    /// How many things shall be signed together, of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<usize>,
    /// Where it came from, as the node says that took it from the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<IpAddr>,
}

#[derive(Debug, Serialize)]
struct Decided<'a> {
    request: String,
    decision: &'static str,
    why: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Unanswered {
    ended: &'static str,
    why: &'static str,
}

#[derive(Debug, Serialize)]
struct Changed<'a> {
    version: u64,
    head: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<String>,
    steps: usize,
    thaws: bool,
    /// The nodes from then on, if it is about them.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<&'a BTreeMap<String, Hex>>,
}

/// How an operation begins at this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may run, by this rule.
    Go(Option<String>),
    /// People must agree first, for this rule.
    Wait(Option<String>),
}

#[derive(Debug, Serialize)]
struct Session<'a> {
    session: String,
    protocol: &'static str,
    parties: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    culprits: &'a [String],
}

/// The body of an `outcome`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ended {
    request: String,
    result: String,
    quorum: Vec<String>,
    /// Where below the key the one is that signed, and under which public key its signatures verify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    derivation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<Hex>,
}

impl Ended {
    fn of(request: &[u8; 32], result: &OperationResult) -> Self {
        let below = match result {
            OperationResult::Sign(result) => below(result),
            _ => None,
        };
        let (derivation, public_key) = below.map(|(path, key)| (path, key.clone())).unzip();
        let (result, quorum) = (result_hash(result), logged_parties(result));
        Self { request: hex::encode(request), result, quorum, derivation, public_key }
    }
}

pub(crate) fn entry(kind: Kind, body: &impl Serialize) -> Result<Entry, Problem> {
    let body = serde_json::to_vec(body).map_err(|error| unwritable(&error))?;
    Entry::new(kind, clock::millis(), body).map_err(|error| unwritable(&error))
}

pub(crate) fn about(entry: Entry, operation: &OperationId, key: Option<&KeyId>) -> Result<Entry, Problem> {
    let id = |text: &str| Id::new(text).map_err(|error: EntryError| unwritable(&error));
    let entry = entry.operation(id(operation.as_str())?);
    Ok(match key {
        Some(key) => entry.key(id(key.as_str())?),
        None => entry,
    })
}

fn unwritable(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(Code::Internal, format!("an entry of the log cannot be written: {error}"))
}

/// The hash of a result, the same at every node that has it: the signatures or the public key.
fn result_hash(result: &OperationResult) -> String {
    let mut hash = blake3::Hasher::new_derive_key("quorate 2026 node logged result v1");
    match result {
        OperationResult::Sign(result) => {
            for signature in &result.signatures {
                hash.update(&signature.signature.0);
            }
            // DERIVE.8  what a key below the key signed is another result, whatever the bytes are
            if let Some((path, public_key)) = below(result) {
                hash.update(path.as_bytes());
                hash.update(&public_key.0);
            }
        }
        OperationResult::SignBatch(result) => return batch_hash(result),
        OperationResult::CreateKey { key, .. } => {
            hash.update(&key.public_key.0);
        }
        OperationResult::ChangeDirectory { head, .. } => {
            hash.update(&head.0);
        }
        OperationResult::KeyState(result) => return ordered_hash(&result.key, result.act, result.number),
        OperationResult::Moved(result) => {
            hash.update(&result.key.public_key.0);
            hash.update(&result.key.epoch.to_be_bytes());
        }
        // The shares of all are known to one node only, and sealed anew each time.
        OperationResult::ExportKey(result) => {
            hash.update(&result.request.0);
            hash.update(&result.package.0);
        }
        OperationResult::BackUp(result) => {
            hash.update(&result.sequence.to_be_bytes());
            hash.update(result.to.as_bytes());
        }
    }
    hash.finalize().to_hex().to_string()
}

/// Binds every item: where it stands, which key signed, and all its signatures.
fn batch_hash(result: &SignBatchResult) -> String {
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX).to_be_bytes();
    let mut hash = blake3::Hasher::new_derive_key("quorate 2026 node logged batch v1");
    hash.update(&number(result.items.len()));
    for item in &result.items {
        let path = item.path.as_ref().map(ToString::to_string).unwrap_or_default();
        hash.update(&number(path.len())).update(path.as_bytes()).update(&number(item.signatures.len()));
        for signature in &item.signatures {
            for bytes in [&signature.public_key.0, &signature.signature.0] {
                hash.update(&number(bytes.len())).update(bytes);
            }
        }
    }
    hash.finalize().to_hex().to_string()
}

/// Where below the key the one is that signed, and the public key under which its signatures verify.
fn below(result: &SignResult) -> Option<(String, &Hex)> {
    let path = result.path.as_ref().filter(|path| !path.is_root())?;
    Some((path.to_string(), &result.signatures.first()?.public_key))
}

/// The nodes that took part in what gave a result, by name: the quorum that signed, or the parties of a new key. Empty for a change of the
/// directory, which every node adopts by itself.
#[must_use]
pub fn participants(result: &OperationResult) -> Vec<String> {
    match result {
        OperationResult::Sign(result) => result.quorum.clone(),
        OperationResult::SignBatch(result) => result.quorum.clone(),
        OperationResult::CreateKey { key, .. } => key.parties.clone(),
        OperationResult::KeyState(result) => result.by.clone(),
        OperationResult::Moved(result) => result.key.parties.clone(),
        OperationResult::ExportKey(result) => result.shares.iter().map(|share| share.party.clone()).collect(),
        OperationResult::BackUp(result) => vec![result.node.clone()],
        OperationResult::ChangeDirectory { .. } => Vec::new(),
    }
}

/// The nodes that a result is logged with: the participants. None for an order about a key, because each node logs it before it can know who
/// else did it, and parties come and go.
pub(crate) fn logged_parties(result: &OperationResult) -> Vec<String> {
    match result {
        OperationResult::KeyState(_) => Vec::new(),
        // Each node logs it before it can know who else gave a share.
        OperationResult::ExportKey(result) => result.parties.clone(),
        result => participants(result),
    }
}

/// The nodes that can prove a result: of an order about a key all that had a share of it.
pub(crate) fn concerned(result: &OperationResult) -> Vec<String> {
    let OperationResult::KeyState(result) = result else { return participants(result) };
    let others = result.without.iter().map(|skipped| &skipped.party);
    result.by.iter().chain(others).cloned().collect()
}

fn ordered_hash(key: &KeyId, act: ActKind, number: u64) -> String {
    let mut hash = blake3::Hasher::new_derive_key("quorate 2026 node logged order v1");
    hash.update(&number.to_be_bytes());
    hash.update(key.as_str().as_bytes());
    hash.update(b" ");
    hash.update(act.as_str().as_bytes());
    hash.finalize().to_hex().to_string()
}

/// What every node of a key logs as the outcome of an order.
pub(crate) fn ordered(
    operation: &OperationId,
    key: &KeyId,
    request: &[u8; 32],
    act: ActKind,
    number: u64,
) -> Result<Entry, Problem> {
    let result = ordered_hash(key, act, number);
    let (request, quorum) = (hex::encode(request), Vec::new());
    let body = Ended { request, result, quorum, derivation: None, public_key: None };
    about(entry(Kind::Outcome, &body)?, operation, Some(key))
}

/// Whether a logged outcome is that of this result: the same signatures or public key, and the same parties.
#[must_use]
pub fn logged_result(entry: &Entry, result: &OperationResult) -> bool {
    entry.kind() == Kind::Outcome
        && serde_json::from_slice::<Ended>(entry.body()).is_ok_and(|ended| {
            Ended { request: ended.request.clone(), ..Ended::of(&[0; 32], result) } == ended
        })
}

#[derive(Debug, Serialize)]
struct Moved<'a> {
    from: &'a str,
    to: &'a str,
    operation: &'a str,
    /// Whether somebody had the whole private key before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    imported: bool,
}

#[derive(Debug, Serialize)]
struct Burned {
    node: String,
    identity: String,
    revision: u64,
    direction: &'static str,
    session: String,
}

pub(crate) fn about_key(entry: Entry, key: &str) -> Result<Entry, Problem> {
    Ok(entry.key(Id::new(key).map_err(|error| unwritable(&error))?))
}

/// This node's share of a key changes its status.
pub(crate) fn moved(key: &Key, to: KeyStatus) -> Result<Entry, Problem> {
    let record = Record::from_bytes(&key.record)?;
    let body = Moved {
        from: key.status.as_str(),
        to: to.as_str(),
        operation: record.operation.as_str(),
        imported: record.imported,
    };
    about_key(entry(Kind::Share, &body)?, &key.key_id)
}

#[derive(Debug, Serialize)]
struct EpochStep<'a> {
    epoch: u64,
    /// The hash of what everybody may know of it.
    name: String,
    step: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    operation: &'a str,
}

/// This node's part of the next epoch of a key: prepared, acknowledged, abandoned, or in force.
pub(crate) fn epoch(
    key: &KeyId,
    epoch: u64,
    name: &[u8; 32],
    operation: &str,
    step: &'static str,
) -> Result<Entry, Problem> {
    let body = EpochStep { epoch, name: hex::encode(name), step, operation };
    about_key(entry(Kind::Share, &body)?, key.as_str())
}

/// What is logged of a session.
pub(crate) struct Logged<'a> {
    pub(crate) session: SessionId,
    pub(crate) protocol: &'static str,
    pub(crate) operation: &'a OperationId,
    pub(crate) parties: &'a [String],
}

impl Logged<'_> {
    /// It begins.
    pub(crate) fn begins(&self) -> Result<Entry, Problem> {
        self.entry(None, &[])
    }

    /// It ended without a result. Which check failed is not said: the log can be read by others.
    pub(crate) fn failed(&self, why: &Problem) -> Result<Entry, Problem> {
        self.entry(Some(why.code.as_str()), &why.culprits)
    }

    fn entry(&self, failed: Option<&str>, culprits: &[String]) -> Result<Entry, Problem> {
        let (session, protocol) = (self.session.to_string(), self.protocol);
        let body = Session { session, protocol, parties: self.parties, failed, culprits };
        about(entry(Kind::Ceremony, &body)?, self.operation, None)
    }
}

/// A request is heard of: what was asked, by whom.
fn asked(judged: &Judged) -> Result<Entry, Problem> {
    let (below, items) = match &judged.ask {
        Ask::Sign(_, wanted) if wanted.batch => (None, Some(wanted.items.len())),
        Ask::Sign(_, wanted) => {
            let path = wanted.items.first().and_then(|item| item.path.as_ref());
            (path.filter(|path| !path.is_root()), None)
        }
        _ => (None, None),
    };
    let asked = Requested {
        client: judged.request.client(),
        request: hex::encode(judged.request.fingerprint()),
        signed: hex::encode(judged.request.request_hash()),
        method: judged.request.method().as_str(),
        path: judged.request.path(),
        derivation: below.map(ToString::to_string),
        items,
        source: judged.source,
    };
    about(entry(Kind::Request, &asked)?, &judged.operation, judged.ask.key())
}

/// What this node decides on a request.
pub(crate) fn decided(judged: &Judged, decision: &'static str, rule: Option<&str>) -> Result<Entry, Problem> {
    let why = match rule {
        Some(_) => "the rule allows it",
        None => "the client is enrolled and the key allows the purpose",
    };
    decision_entry(judged, decision, why, rule)
}

fn decision_entry(
    judged: &Judged,
    decision: &'static str,
    why: &'static str,
    rule: Option<&str>,
) -> Result<Entry, Problem> {
    let request = hex::encode(judged.request.fingerprint());
    let body = Decided { request, decision, why, rule };
    about(entry(Kind::Decision, &body)?, &judged.operation, judged.ask.key())
}

/// An operation begins: what was asked, and that this node takes part or waits for people.
pub(crate) fn begun(judged: &Judged, standing: &Standing) -> Result<Vec<Entry>, Problem> {
    let decision = match standing {
        Standing::Go(rule) => decided(judged, "permit", rule.as_deref())?,
        Standing::Wait(rule) => decision_entry(judged, "wait", "people must agree", rule.as_deref())?,
    };
    Ok(vec![asked(judged)?, decision])
}

/// A peer passes on a request that waits for people.
pub(crate) fn heard(judged: &Judged) -> Result<Vec<Entry>, Problem> {
    Ok(vec![asked(judged)?])
}

/// An operation that waited for people ends without them.
pub(crate) fn ended(id: &OperationId, how: &'static str, why: &Problem) -> Result<Entry, Problem> {
    let body = Unanswered { ended: how, why: why.code.as_str() };
    about(entry(Kind::Decision, &body)?, id, None)
}

/// The directory has a new version; version 0 is the genesis.
pub(crate) fn changed(
    state: &State,
    requester: Option<&Name>,
    steps: &[Step],
    request: Option<&SignedRequest>,
) -> Result<Entry, Problem> {
    let nodes = request.is_none() || steps.iter().any(Step::is_about_nodes);
    let body = Changed {
        version: state.version(),
        head: hex::encode(state.head()),
        by: requester.map(Name::as_str),
        signed: request.map(|request| hex::encode(request.request_hash())),
        steps: steps.len(),
        thaws: steps.iter().any(|step| matches!(step, Step::Thaw { .. })),
        nodes: nodes.then(|| state.directory().nodes().in_force()),
    };
    let kind = if body.thaws { Kind::Thaw } else { Kind::Change };
    let entry = entry(kind, &body)?;
    match request {
        Some(request) => about(entry, &request.operation_id(), None),
        None => Ok(entry),
    }
}

/// A judgement on what was asked, and not on who asks or whether now is a good time.
const fn is_judgement(code: Code) -> bool {
    matches!(
        code,
        Code::Forbidden
            | Code::PurposeNotAllowed
            | Code::IntentInvalid
            | Code::HardenedPath
            | Code::Unprocessable
            | Code::KeyDisabled
            | Code::KeyBurned
            | Code::KeyChanged
            | Code::KeyDestroyed
            | Code::PolicyDenied
            | Code::PresignDenied
            | Code::PresignFailed
            | Code::Frozen
    )
}

/// A request of an enrolled client is refused.
fn refused(judged: &Judged, why: &Problem) -> Result<Vec<Entry>, Problem> {
    Ok(vec![asked(judged)?, decision_entry(judged, "deny", why.code.as_str(), None)?])
}

/// A result is stored.
pub(crate) fn outcome(
    operation: &OperationId,
    key: Option<&KeyId>,
    request: &[u8; 32],
    result: &OperationResult,
) -> Result<Entry, Problem> {
    about(entry(Kind::Outcome, &Ended::of(request, result))?, operation, key)
}

/// The newest receipts, until they are shown.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    receipts: HashMap<OperationId, Receipt>,
    order: VecDeque<OperationId>,
}

impl Recent {
    /// Most receipts that are kept.
    const KEPT: usize = 256;

    pub(crate) fn put(&mut self, operation: OperationId, receipt: Receipt) {
        self.order.push_back(operation.clone());
        self.receipts.insert(operation, receipt);
        while self.order.len() > Self::KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.receipts.remove(&oldest);
            }
        }
    }

    fn take(&mut self, operation: &OperationId) -> Option<Receipt> {
        self.receipts.remove(operation)
    }
}

impl Shared {
    /// Stores and logs a burn mark. Which check failed is not said: the log can be read by others.
    pub(crate) async fn store_burn(&self, burn: Burn) -> Result<bool, StoreError> {
        let peer = <[u8; 32]>::try_from(burn.instance.peer.as_slice()).map(PeerId::from_bytes);
        let name = |peer: &PeerId| (self.name_of(*peer), peer.to_string());
        let (node, identity) = peer.as_ref().map(name).unwrap_or_default();
        let body = Burned {
            node,
            identity,
            revision: burn.instance.epoch,
            direction: burn.instance.direction.as_str(),
            session: hex::encode(&burn.session),
        };
        let logged = entry(Kind::Burn, &body).and_then(|entry| about_key(entry, &burn.instance.key_id));
        match logged {
            Ok(entry) => self.store.burn_logged(burn, entry).await,
            // The mark matters more than its entry.
            Err(problem) => {
                tracing::error!(detail = %problem.detail, "a burn mark is not logged");
                self.store.burn(burn).await
            }
        }
    }

    /// Logs a refusal of what was asked; everything else passes as it is.
    pub(crate) async fn decided<T>(&self, judged: &Judged, answer: Result<T, Problem>) -> Result<T, Problem> {
        if let Err(problem) = &answer
            && is_judgement(problem.code)
        {
            self.log_entries(refused(judged, problem)?).await?;
        }
        answer
    }

    /// The node starts: from here on everything is logged.
    pub(crate) async fn log_start(&self) -> Result<(), Problem> {
        self.log_life(Kind::Start).await
    }

    /// The node stops in order.
    pub(crate) async fn log_stop(&self) -> Result<(), Problem> {
        self.log_life(Kind::Stop).await
    }

    async fn log_life(&self, kind: Kind) -> Result<(), Problem> {
        let body = Started { version: env!("CARGO_PKG_VERSION"), name: self.config.name.clone() };
        self.log_entries(vec![entry(kind, &body)?]).await
    }

    /// Logs entries that belong to no record.
    pub(crate) async fn log_entries(&self, entries: Vec<Entry>) -> Result<(), Problem> {
        self.store.log(entries).await.map_err(|error| crate::shared::store_problem(&error))
    }

    /// This node's receipt for the outcome of an operation: the one it got when it was stored, if that was just now, or one under the
    /// newest head.
    pub(crate) async fn receipt(&self, operation: &OperationId) -> Result<Option<NodeReceipt>, Problem> {
        let recent = locked(&self.receipts).take(operation);
        let receipt = match recent {
            Some(receipt) => Some(receipt),
            None => {
                let receipt = self.store.log_receipt(operation.as_str()).await;
                receipt.map_err(|error| crate::shared::store_problem(&error))?
            }
        };
        Ok(receipt.map(|receipt| NodeReceipt {
            node: self.config.name.clone(),
            identity: self.id.to_string(),
            receipt: receipt.to_string(),
        }))
    }

    /// The receipt of another node, if it proves that the node logged this result of this request.
    pub(crate) fn accept_receipt(
        &self,
        from: PeerId,
        receipt: &str,
        expected: &Entry,
    ) -> Option<NodeReceipt> {
        let nobody = WitnessPolicy::new(0, Vec::new()).ok()?;
        let logged = Receipt::parse(receipt).ok()?.verify(&log_key(from).ok()?, &nobody).ok()?;
        let same = logged.entry.kind() == Kind::Outcome
            && logged.entry.body() == expected.body()
            && logged.entry.operation_id() == expected.operation_id()
            && logged.entry.key_id() == expected.key_id();
        same.then(|| NodeReceipt {
            node: self.name_of(from),
            identity: from.to_string(),
            receipt: receipt.to_owned(),
        })
    }
}

//! Requests that wait for people: kept by every node that hears of them, counted by each on its own, carried out by the node that the
//! client asked. A change of the directory is carried out by every node.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_api::{
    Approvals, Approved, Code, EventKind, Hex, Operation as ApiOperation, OperationId,
    OperationStatus as ApiStatus, Problem, SignedRequest,
};
use quorate_log::entry::Kind;
use quorate_net::PeerId;
use quorate_policy::approval::{self, Ruling, RulingError, Tally, Verdict};
use quorate_policy::chain::{Entry, MAX_RULINGS};
use quorate_policy::name::Name;
use quorate_store::{Case, Operation, OperationStatus, OperationUpdate};
use serde::Serialize;

use super::permit::{Permission, Prepared, Waiting};
use super::{Regime, Told};
use crate::audit;
use crate::clock;
use crate::control::{self, BUNDLE, Control};
use crate::judge::{Ask, Judged, judge};
use crate::registry::locked;
use crate::shared::{Shared, store_problem};
use crate::source::{from_wire, to_wire};

/// Most cases of other nodes' clients that a list shows.
const SHOWN: usize = 200;
/// Most rulings of one person on one request that are kept.
const MAX_KEPT: usize = 16;
/// Most cases that wait at once.
const MAX_WAITING: usize = 10_000;

#[derive(Serialize)]
struct LoggedRuling<'a> {
    request: String,
    by: &'a str,
    credential: &'a str,
    verdict: &'static str,
    nonce: String,
    /// Names the signed bytes of the ruling.
    ruling: String,
}

/// Why a ruling does not count, as the API says it.
fn ruling_problem(error: &RulingError) -> Problem {
    let code = match error {
        RulingError::NoRuling | RulingError::Body(_) => Code::InvalidRequest,
        RulingError::OtherOperation(_) | RulingError::OtherRequest => Code::Unprocessable,
        RulingError::Unknown(_) => Code::UnknownClient,
        RulingError::Service(_) => Code::Forbidden,
        RulingError::Signature(_) => Code::SignatureInvalid,
        RulingError::Expired => Code::RequestExpired,
        RulingError::TooFarAhead => Code::ExpiryTooFar,
    };
    Problem::new(code, error.to_string())
}

impl Shared {
    /// Whether an operation waits, or waited, for people, as far as this node knows.
    pub(crate) fn waits(&self, id: &OperationId) -> bool {
        self.governance.as_ref().is_some_and(|governance| locked(&governance.waiting).contains_key(id))
    }

    /// The request that people were asked about, if this one repeats it: approvals are for exact bytes, and a repetition has another
    /// expiry.
    pub(crate) async fn first_of(&self, judged: Judged) -> Result<Judged, Problem> {
        let Some(case) = self.case(&judged.operation).await? else { return Ok(judged) };
        let Ok(first) = SignedRequest::decode(&case.request) else { return Ok(judged) };
        if first.fingerprint() != judged.request.fingerprint() {
            return Err(crate::operations::conflict(&judged.operation));
        }
        match judge(self, first) {
            Ok(first) => Ok(first.from(judged.source)),
            Err(_) => Ok(judged),
        }
    }

    pub(crate) async fn case(&self, id: &OperationId) -> Result<Option<Case>, Problem> {
        if self.governance.is_none() {
            return Ok(None);
        }
        self.store.case(id.as_str()).await.map_err(|error| store_problem(&error))
    }

    /// GOV.4: keeps a request that waits for people, and tells the peers.
    pub(crate) async fn open_case(&self, judged: &Judged) -> Result<(), Problem> {
        let governance = self.governed()?;
        let id = &judged.operation;
        let bytes = judged.request.encode();
        let opened =
            self.store.open_case(id.as_str(), bytes, judged.source, clock::millis(), Vec::new()).await;
        opened.map_err(|error| store_problem(&error))?;
        let told = Told { by: None, client: judged.request.client().to_owned() };
        if locked(&governance.waiting).insert(id.clone(), told).is_none() {
            self.tell_wanted(judged);
        }
        self.pass_on(id, None).await
    }

    /// Keeps a request that waits for people, of which a coordinator told.
    pub(super) async fn hear(&self, judged: &Judged) -> Result<(), Problem> {
        let governance = self.governed()?;
        if self.is_full(judged)? {
            return Ok(());
        }
        let (id, bytes) = (&judged.operation, judged.request.encode());
        let opened = self
            .store
            .open_case(id.as_str(), bytes, judged.source, clock::millis(), audit::heard(judged)?)
            .await;
        if opened.map_err(|error| store_problem(&error))? {
            let told = Told { by: None, client: judged.request.client().to_owned() };
            locked(&governance.waiting).insert(id.clone(), told);
            self.tell_wanted(judged);
        }
        Ok(())
    }

    fn tell_wanted(&self, judged: &Judged) {
        self.events.tell(EventKind::ApprovalWanted, |event| quorate_api::Event {
            operation: Some(judged.operation.clone()),
            key: judged.ask.key().cloned(),
            ..event
        });
    }

    /// Tells the peers, but not the one it came from, what this node has of a case.
    async fn pass_on(&self, id: &OperationId, from: Option<PeerId>) -> Result<(), Problem> {
        let Some(case) = self.case(id).await? else { return Ok(()) };
        let rulings = self.rulings(id).await?;
        let message =
            Control::Case(control::Case { request: case.request, rulings, source: to_wire(case.source) });
        for peer in self.network.connected().into_iter().filter(|peer| Some(*peer) != from) {
            self.tell(peer, &message).await;
        }
        Ok(())
    }

    /// GOV.4: a peer that was not there learns what waits, and what people said meanwhile.
    pub(crate) async fn greet(&self, peer: PeerId) -> Result<(), Problem> {
        self.announce_orders_to(peer).await?;
        self.greet_with_proofs(peer).await?;
        let Some(governance) = &self.governance else { return Ok(()) };
        self.announce_directory_to(peer).await;
        let waiting: Vec<OperationId> = locked(&governance.waiting).keys().cloned().collect();
        let (mut cases, mut bytes) = (Vec::new(), 0_usize);
        for id in waiting {
            let Some(case) = self.case(&id).await? else { continue };
            let rulings = self.rulings(&id).await?;
            let case = control::Case { request: case.request, rulings, source: to_wire(case.source) };
            if !cases.is_empty() && bytes.saturating_add(case.len()) > BUNDLE {
                self.tell(peer, &Control::Cases(std::mem::take(&mut cases))).await;
                bytes = 0;
            }
            bytes = bytes.saturating_add(case.len());
            cases.push(case);
        }
        if !cases.is_empty() {
            self.tell(peer, &Control::Cases(cases)).await;
        }
        Ok(())
    }

    /// What people said about an operation, as they signed it: if it is more than is passed on, then the last words of each first, so
    /// that nobody crowds the others out.
    pub(crate) async fn rulings(&self, id: &OperationId) -> Result<Vec<Vec<u8>>, Problem> {
        let rulings = self.store.rulings(id.as_str()).await.map_err(|error| store_problem(&error))?;
        if rulings.len() <= MAX_RULINGS {
            return Ok(rulings);
        }
        let mut said: BTreeMap<Option<Name>, usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, Vec<u8>)> = Vec::with_capacity(rulings.len());
        for ruling in rulings.into_iter().rev() {
            let by = SignedRequest::decode(&ruling).ok().and_then(|ruling| self.owner(ruling.client()).0);
            let later = said.entry(by).or_default();
            ranked.push((*later, ruling));
            *later = later.saturating_add(1);
        }
        // A stable order: what each said last, then what each said before that.
        ranked.sort_by_key(|(later, _)| *later);
        Ok(ranked.into_iter().take(MAX_RULINGS).map(|(_, ruling)| ruling).collect())
    }

    /// What people said about a request, for the members of its ceremony.
    pub(crate) async fn rulings_for(&self, judged: &Judged) -> Result<Vec<Vec<u8>>, Problem> {
        // Most requests never waited for anybody.
        if !self.waits(&judged.operation) {
            return Ok(Vec::new());
        }
        self.rulings(&judged.operation).await
    }

    /// Keeps what a coordinator says that people said. What does not hold is left out, and then something is missing.
    pub(crate) async fn take_rulings(&self, judged: &Judged, rulings: &[Vec<u8>]) -> Result<(), Problem> {
        if self.governance.is_none() {
            return Ok(());
        }
        for ruling in rulings.iter().take(MAX_RULINGS) {
            let Ok(ruling) = SignedRequest::decode(ruling) else { continue };
            if let Err(problem) = self.keep_ruling(&judged.request, &ruling).await {
                tracing::info!(operation = %judged.operation, detail = %problem.detail, "a ruling does not hold");
            }
        }
        Ok(())
    }

    /// A peer passes a case on. The request is judged as if the client had sent it here; each ruling by itself.
    pub(crate) async fn take_case(
        self: &Arc<Self>,
        from: PeerId,
        case: &control::Case,
    ) -> Result<(), Problem> {
        let governance = self.governed()?;
        let Ok(request) = SignedRequest::decode(&case.request) else { return Ok(()) };
        let judged = match judge(self, request) {
            Ok(judged) => judged.from(from_wire(case.source)),
            Err(problem) => {
                tracing::info!(peer = %self.name_of(from), detail = %problem.detail, "a case that was passed on does not hold");
                return Ok(());
            }
        };
        let id = judged.operation.clone();
        let known = self.case(&id).await?.is_some();
        if !known {
            // Only what this node would ask people about itself.
            let Ok(prepared) = self.prepare(&judged, self.id).await else { return Ok(()) };
            let permission = self.permission(&judged, prepared.subject()).await?;
            if self.is_full(&judged)? || !matches!(permission, Permission::Wait(_)) {
                return Ok(());
            }
        }
        let entries = audit::heard(&judged)?;
        let opened = self
            .store
            .open_case(id.as_str(), judged.request.encode(), judged.source, clock::millis(), entries)
            .await;
        let mut news = opened.map_err(|error| store_problem(&error))?;
        if news {
            let told = Told { by: Some(from), client: judged.request.client().to_owned() };
            locked(&governance.waiting).insert(id.clone(), told);
            self.tell_wanted(&judged);
        } else if self.case(&id).await?.is_some_and(|case| case.request != judged.request.encode()) {
            // Another request under the same idempotency key: the first one stands.
            return Ok(());
        }
        for ruling in case.rulings.iter().take(MAX_RULINGS) {
            let Ok(ruling) = SignedRequest::decode(ruling) else { continue };
            match self.keep_ruling(&judged.request, &ruling).await {
                Ok((_, fresh)) => news |= fresh,
                Err(problem) => {
                    tracing::info!(peer = %self.name_of(from), detail = %problem.detail, "a ruling that was passed on does not hold");
                }
            }
        }
        if news {
            self.advance(&id).await?;
        }
        Ok(())
    }

    /// Checks a ruling and keeps it; whether it is new.
    pub(crate) async fn keep_ruling(
        &self,
        about: &SignedRequest,
        ruling: &SignedRequest,
    ) -> Result<(Ruling, bool), Problem> {
        let regime = self.governed()?.regime();
        let judge = |now| approval::judge(regime.state.directory(), about, ruling, now);
        let mut judged = judge(None).map_err(|error| ruling_problem(&error))?;
        // A no does not lose its meaning by age, also if it comes late.
        if judged.verdict == Verdict::Approve {
            judged = judge(Some(self.now())).map_err(|error| ruling_problem(&error))?;
        }
        let asked = regime.principal(about.client()).is_some_and(|(name, _)| *name == judged.by);
        if !asked && !regime.asks(&judged.by) {
            let detail = format!("no rule asks `{}` for anything", judged.by);
            return Err(Problem::new(Code::Forbidden, detail));
        }
        let id = about.operation_id();
        let kept = self.store.rulings(id.as_str()).await.map_err(|error| store_problem(&error))?;
        let of_same = |bytes: &Vec<u8>| {
            let kept = SignedRequest::decode(bytes).ok();
            kept.and_then(|kept| self.owner(kept.client()).0).as_ref() == Some(&judged.by)
        };
        // Each person has room of their own: nobody can crowd the others out.
        if kept.iter().filter(|bytes| of_same(bytes)).count() >= MAX_KEPT {
            let detail = format!("`{}` has said too much about this operation", judged.by);
            return Err(Problem::new(Code::RateLimited, detail));
        }
        let logged = LoggedRuling {
            request: hex::encode(about.request_hash()),
            by: judged.by.as_str(),
            credential: ruling.client(),
            verdict: judged.verdict.as_str(),
            nonce: hex::encode(judged.nonce),
            ruling: hex::encode(ruling.request_hash()),
        };
        let kind = if judged.verdict == Verdict::Approve { Kind::Approval } else { Kind::Rejection };
        let entry = audit::about(audit::entry(kind, &logged)?, &id, None)?;
        let added = self.store.add_ruling(
            id.as_str(),
            ruling.request_hash(),
            ruling.encode(),
            clock::millis(),
            entry,
        );
        let fresh = added.await.map_err(|error| store_problem(&error))?;
        if fresh {
            self.governed()?.turns.turn();
            let detail = format!("{}: {}", judged.by, judged.verdict.as_str());
            self.events.tell(EventKind::ApprovalGiven, |event| {
                quorate_api::Event { operation: Some(id.clone()), ..event }.with_detail(&detail)
            });
        }
        Ok((judged, fresh))
    }

    /// What the rulings on a request come to, now, under the directory in force: whoever was removed since does not count any more.
    pub(crate) async fn tally(&self, judged: &Judged, regime: &Regime) -> Result<Tally, Problem> {
        let rulings = self.store.rulings(judged.operation.as_str()).await;
        let rulings = rulings.map_err(|error| store_problem(&error))?;
        let (now, _) = self.now();
        let valid = rulings.iter().filter_map(|bytes| {
            let ruling = SignedRequest::decode(bytes).ok()?;
            let ruling = approval::judge(regime.state.directory(), &judged.request, &ruling, None).ok()?;
            // An approval ends with its time; a withdrawal or a rejection stays, or what was taken back would come back.
            (ruling.verdict != Verdict::Approve || ruling.expires >= now).then_some(ruling)
        });
        Ok(Tally::of(&valid.collect::<Vec<_>>()))
    }

    /// A person says something about an operation, at this node.
    pub(crate) async fn rule(
        self: &Arc<Self>,
        id: &OperationId,
        ruling: &SignedRequest,
    ) -> Result<Option<ApiOperation>, Problem> {
        self.governed()?;
        let Some(case) = self.case(id).await? else { return Ok(None) };
        self.check_sight(ruling.client(), id).await?;
        let unreadable = |_| Problem::new(Code::Internal, "the stored request is unreadable");
        let about = SignedRequest::decode(&case.request).map_err(unreadable)?;
        let judged = judge(self, about)?.from(case.source);
        let approves = approval::read_path(ruling).is_ok_and(|(verdict, _)| verdict == Verdict::Approve);
        let permission = match self.prepare(&judged, self.id).await {
            Ok(prepared) => self.permission(&judged, prepared.subject()).await?,
            Err(problem)
                if matches!(problem.code, Code::PresignFailed | Code::PresignDenied) && !approves =>
            {
                Permission::No(problem)
            }
            Err(problem) => return Err(problem),
        };
        match permission {
            Permission::Wait(waiting) => self.may_rule(&judged, &waiting, ruling)?,
            // A no is heard as long as nothing is done, also while the key is frozen.
            _ if !approves => {
                if self.operation(id).await?.is_some_and(|row| row.status.is_final()) {
                    let detail = "it has ended: look at the operation";
                    return Err(Problem::new(Code::OperationCancelled, detail).with_operation(id.clone()));
                }
            }
            Permission::Go(_) => {
                let detail = "enough people have agreed already: look at the operation";
                return Err(Problem::new(Code::OperationCancelled, detail).with_operation(id.clone()));
            }
            Permission::No(problem) => return Err(problem.with_operation(id.clone())),
        }
        let (_, fresh) = self.keep_ruling(&judged.request, ruling).await?;
        if fresh {
            tracing::info!(operation = %id, by = ruling.client(), path = ruling.path(), "ruled");
            self.pass_on(id, None).await?;
            self.advance(id).await?;
        }
        self.show_waiting(id).await
    }

    /// Whether what this person says can matter here: said before it is kept, so that a wrong approver learns it.
    fn may_rule(&self, judged: &Judged, waiting: &Waiting, ruling: &SignedRequest) -> Result<(), Problem> {
        let regime = self.governed()?.regime();
        let directory = regime.state.directory();
        let unknown = || Problem::new(Code::UnknownClient, "no enabled principal has this credential");
        let (by, _) = regime.principal(ruling.client()).ok_or_else(unknown)?;
        let requester = regime.principal(judged.request.client()).map(|(name, _)| name);
        let approves = approval::read_path(ruling).is_ok_and(|(verdict, _)| verdict == Verdict::Approve);
        if !approves && requester == Some(by) {
            // Whoever asked may take it back.
            return Ok(());
        }
        if approves && requester == Some(by) && !waiting.requester_counts() {
            let detail = format!("`{by}` asked for this, and the rule wants others to approve it");
            return Err(Problem::new(Code::Forbidden, detail).with_operation(judged.operation.clone()));
        }
        if !waiting.concerns(directory, by) {
            let wanted: Vec<String> =
                waiting.concerned.iter().map(|(quorum, _)| quorum.to_string()).collect();
            let detail =
                format!("what `{by}` says does not count here: the rules ask for {}", wanted.join(", or "));
            return Err(Problem::new(Code::Forbidden, detail).with_operation(judged.operation.clone()));
        }
        Ok(())
    }

    /// Looks at a case again, after a ruling, a change, or some time: goes on with it if it may, ends it if it cannot.
    pub(crate) async fn advance(self: &Arc<Self>, id: &OperationId) -> Result<(), Problem> {
        let Some(case) = self.case(id).await?.filter(|case| case.closed.is_none()) else { return Ok(()) };
        let row = self.operation(id).await?;
        let Ok(request) = SignedRequest::decode(&case.request) else { return Ok(()) };
        let judged = match judge(self, request) {
            Ok(judged) => judged.from(case.source),
            Err(problem) if problem.code == Code::RequestExpired => {
                let detail = "it was not approved in time: send a new request";
                let problem = Problem::new(Code::OperationExpired, detail);
                return self.end(id, row.as_ref(), OperationStatus::Expired, &problem).await;
            }
            // Such as a requester who was removed.
            Err(problem) => return self.end(id, row.as_ref(), OperationStatus::Rejected, &problem).await,
        };
        let pending = row.as_ref().is_some_and(|row| row.status == OperationStatus::PendingApproval);
        if !pending && !matches!(judged.ask, Ask::Change) {
            return Ok(());
        }
        let prepared = match self.prepare_to_go(&judged).await {
            Ok(prepared) => prepared,
            Err(problem) if problem.code.retryable() => return Ok(()),
            Err(problem) if problem.code == Code::DirectoryChanged => {
                // By this very change, perhaps, which another node was quicker to adopt.
                if self.was_adopted(&judged.request).await? {
                    return Ok(());
                }
                return self.end(id, row.as_ref(), OperationStatus::Rejected, &problem).await;
            }
            Err(problem) => return self.end(id, row.as_ref(), OperationStatus::Rejected, &problem).await,
        };
        let deciding = self.deciding().await;
        let mut turn = self.spender(&judged).await?;
        match self.permission_in_turn(&judged, prepared.subject(), turn.as_mut()).await? {
            Permission::Wait(waiting) if waiting.expires < clock::seconds() => {
                let detail = "it was not approved in time: send a new request";
                let problem = Problem::new(Code::OperationExpired, detail);
                self.end(id, row.as_ref(), OperationStatus::Expired, &problem).await
            }
            Permission::Wait(_) => Ok(()),
            // Thawed, it goes on.
            Permission::No(problem) if problem.code == Code::Frozen => Ok(()),
            Permission::No(problem) => self.end(id, row.as_ref(), OperationStatus::Rejected, &problem).await,
            Permission::Go(rule) => {
                if let Prepared::Sign(asked) = &prepared {
                    self.spend(id, self.spends(&judged, asked).as_ref(), turn).await?;
                }
                if pending {
                    self.promote(&judged, rule.as_deref()).await?;
                }
                drop(deciding);
                match prepared {
                    Prepared::Change(_) => self.carry_out(&judged).await.map(drop),
                    prepared => {
                        crate::rest::operations::go_on(self, judged, prepared);
                        Ok(())
                    }
                }
            }
        }
    }

    /// The change with what people said about it that counts.
    pub(crate) async fn entry_of(&self, judged: &Judged) -> Result<Entry, Problem> {
        let regime = self.governed()?.regime();
        let (now, _) = self.now();
        let counts = |ruling: &SignedRequest| {
            let ruling = approval::judge(regime.state.directory(), &judged.request, ruling, None);
            ruling.is_ok_and(|ruling| ruling.verdict != Verdict::Approve || ruling.expires >= now)
        };
        let rulings = self.rulings(&judged.operation).await?;
        let rulings = rulings.iter().filter_map(|bytes| SignedRequest::decode(bytes).ok()).filter(counts);
        Ok(Entry { request: judged.request.clone(), rulings: rulings.collect() })
    }

    /// Enough people agreed: from now on it runs as if nobody had been asked.
    pub(crate) async fn promote(&self, judged: &Judged, rule: Option<&str>) -> Result<(), Problem> {
        let entry = audit::decided(judged, "permit", rule)?;
        let update = OperationUpdate::status(OperationStatus::Queued);
        let id = judged.operation.as_str();
        let promoted = self
            .store
            .update_operation_logged(id, OperationStatus::PendingApproval, update, clock::millis(), entry)
            .await;
        match promoted {
            Ok(_) | Err(quorate_store::StoreError::Changed { .. }) => Ok(()),
            Err(error) => Err(store_problem(&error)),
        }
    }

    /// It will not be done.
    async fn end(
        &self,
        id: &OperationId,
        row: Option<&Operation>,
        status: OperationStatus,
        problem: &Problem,
    ) -> Result<(), Problem> {
        if row.is_some_and(|row| row.status == OperationStatus::PendingApproval) {
            let stored = problem.clone().with_operation(id.clone());
            let error = serde_json::to_vec(&stored).ok();
            let update = OperationUpdate { error, ..OperationUpdate::status(status) };
            let entry = audit::ended(id, status.as_str(), problem)?;
            let updated = self
                .store
                .update_operation_logged(
                    id.as_str(),
                    OperationStatus::PendingApproval,
                    update,
                    clock::millis(),
                    entry,
                )
                .await;
            match updated {
                Ok(_) | Err(quorate_store::StoreError::Changed { .. }) => {}
                Err(error) => return Err(store_problem(&error)),
            }
            tracing::info!(operation = %id, status = status.as_str(), detail = %problem.detail, "operation ended");
        }
        // Whoever only heard of it does not say how it ends, but stops waiting.
        if row.is_some() {
            self.tell_closed(id, status.as_str()).await;
        }
        self.close(id, status.as_str()).await
    }

    /// Stops waiting.
    pub(crate) async fn close(&self, id: &OperationId, how: &str) -> Result<(), Problem> {
        let governance = self.governed()?;
        let waited = locked(&governance.waiting).remove(id);
        if waited.is_some() {
            self.store.close_case(id.as_str(), how).await.map_err(|error| store_problem(&error))?;
        }
        Ok(())
    }

    /// The node that the client asked tells the others how it ended.
    pub(crate) async fn tell_closed(&self, id: &OperationId, how: &str) {
        for peer in self.network.connected() {
            self.tell(peer, &Control::Closed { operation: id.to_string(), how: how.to_owned() }).await;
        }
    }

    /// A peer says how a case ended. A hint for people: nothing is decided by it.
    pub(crate) async fn take_closed(&self, from: PeerId, operation: &str, how: &str) -> Result<(), Problem> {
        let (Ok(id), Some(status)) = (operation.parse::<OperationId>(), ApiStatus::parse(how)) else {
            return Ok(());
        };
        // Only whoever told of it says that it ended; nobody else can hide it from people.
        let told = self.governed()?;
        let told = locked(&told.waiting).get(&id).is_some_and(|told| told.by == Some(from));
        if told && status.is_final() && self.operation(&id).await?.is_none() {
            self.close(&id, status.as_str()).await?;
        }
        Ok(())
    }

    /// Looks at everything that waits: delays end, times run out, policies change.
    pub(crate) async fn advance_all(self: &Arc<Self>) {
        let Some(governance) = &self.governance else { return };
        let waiting: Vec<OperationId> = locked(&governance.waiting).keys().cloned().collect();
        let version = governance.regime().state.version();
        let changed = std::mem::replace(&mut *locked(&governance.looked), version) != version;
        for id in waiting {
            // What a change waits for comes with rulings; only a new directory or its own end makes it worth another look.
            if !changed && !self.is_due(&id).await {
                continue;
            }
            if let Err(problem) = self.advance(&id).await {
                tracing::warn!(operation = %id, detail = %problem.detail, "a case cannot be looked at");
            }
        }
    }

    /// Whether time alone may have changed something: for all but changes of the directory that have not expired.
    async fn is_due(&self, id: &OperationId) -> bool {
        let Ok(Some(case)) = self.case(id).await else { return false };
        let Ok(request) = SignedRequest::decode(&case.request) else { return false };
        request.path() != quorate_policy::chain::PATH || request.expires() < clock::seconds()
    }

    /// Whether there is no room for another case of this client that somebody else tells of: each client has its own.
    fn is_full(&self, judged: &Judged) -> Result<bool, Problem> {
        let waiting = locked(&self.governed()?.waiting);
        let own = waiting.values().filter(|told| told.client == judged.request.client()).count();
        let limits = &self.config.limits;
        if own >= limits.max_pending_per_client || waiting.len() >= MAX_WAITING {
            return Ok(true);
        }
        let (_, tenant) = self.owner(judged.request.client());
        let of_tenant = |told: &&Told| self.owner(&told.client).1 == tenant;
        Ok(tenant.is_some() && waiting.values().filter(of_tenant).count() >= limits.max_pending_per_tenant)
    }

    /// The operation with where its approvals stand, if it waits for people or did.
    pub(crate) async fn show_waiting(&self, id: &OperationId) -> Result<Option<ApiOperation>, Problem> {
        let case = self.case(id).await?;
        let mut operation = match (self.operation(id).await?, &case) {
            (Some(row), _) => self.present_operation(&row)?,
            (None, Some(case)) => self.present_case(case)?,
            (None, None) => return Ok(None),
        };
        if let (Some(case), ApiStatus::PendingApproval) = (&case, operation.status) {
            operation.approvals = self.approvals(case).await.map(Box::new);
        }
        Ok(Some(operation))
    }

    /// Whether a client may see what came of a request: it is of its own tenant, or the client runs the cluster.
    pub(crate) fn may_see_request(&self, client: &str, request: &[u8]) -> bool {
        if self.governance.is_none() {
            return true;
        }
        let Ok(request) = SignedRequest::decode(request) else { return false };
        let (_, tenant) = self.owner(request.client());
        self.may_see(client, tenant.as_ref())
    }

    /// What a client may not see is not there.
    pub(crate) async fn check_sight(&self, client: &str, id: &OperationId) -> Result<(), Problem> {
        if self.governance.is_none() {
            return Ok(());
        }
        let request = match self.operation(id).await? {
            Some(row) => Some(row.request),
            None => self.case(id).await?.map(|case| case.request),
        };
        match request {
            Some(request) if self.may_see_request(client, &request) => Ok(()),
            _ => Err(Problem::new(Code::NotFound, format!("there is no operation `{id}`"))),
        }
    }

    /// Cases that clients of other nodes asked for, newest first, as far as this client may see them.
    pub(crate) async fn waiting_elsewhere(&self, client: &str) -> Result<Vec<ApiOperation>, Problem> {
        if self.governance.is_none() {
            return Ok(Vec::new());
        }
        let cases = self.store.open_cases(quorate_store::MAX_PAGE_LEN, 0).await;
        let cases = cases.map_err(|error| store_problem(&error))?;
        let mut found = Vec::new();
        for case in cases.iter().filter(|case| self.may_see_request(client, &case.request)).take(SHOWN) {
            if let Ok(id) = case.op_id.parse::<OperationId>()
                && self.operation(&id).await?.is_none()
            {
                found.push(self.present_case(case)?);
            }
        }
        Ok(found)
    }

    /// A case that another node's client asked for.
    fn present_case(&self, case: &Case) -> Result<ApiOperation, Problem> {
        let unreadable = || Problem::new(Code::Internal, format!("case `{}` is unreadable", case.op_id));
        let request = SignedRequest::decode(&case.request).map_err(|_| unreadable())?;
        let judged = crate::judge::read(request)?;
        let status = case.closed.as_deref().and_then(ApiStatus::parse).unwrap_or(ApiStatus::PendingApproval);
        Ok(ApiOperation {
            id: judged.operation.clone(),
            kind: judged.ask.kind(),
            status,
            key: judged.ask.key().cloned(),
            created_at: case.first_seen,
            updated_at: case.first_seen,
            result: None,
            receipts: Vec::new(),
            error: None,
            progress: None,
            approvals: None,
            source: case.source,
        })
    }

    async fn approvals(&self, case: &Case) -> Option<Approvals> {
        let regime = self.governance.as_ref()?.regime();
        let request = SignedRequest::decode(&case.request).ok()?;
        let requester = regime.principal(request.client()).map(|(name, _)| name.to_string());
        let mut shown = Approvals {
            requester: requester.unwrap_or_else(|| request.client().to_owned()),
            request: Hex(case.request.clone()),
            request_hash: Hex(request.request_hash().to_vec()),
            summary: None,
            rule: None,
            approved: Vec::new(),
            rejected: Vec::new(),
            missing: Vec::new(),
            not_before: None,
            expires: request.expires(),
        };
        let Ok(judged) = judge(self, request) else { return Some(shown) };
        let judged = judged.from(case.source);
        let Ok(prepared) = self.prepare(&judged, self.id).await else { return Some(shown) };
        shown.summary = Some(prepared.summary());
        if let Ok(Permission::Wait(waiting)) = self.permission(&judged, prepared.subject()).await {
            shown.missing = waiting.missing();
            shown.rule.clone_from(&waiting.rule);
            shown.not_before = waiting.not_before;
            shown.expires = waiting.expires;
        }
        let tally = self.tally(&judged, &regime).await.ok()?;
        shown.rejected = tally.rejected.iter().map(ToString::to_string).collect();
        let approved = tally.approved.iter().map(|(by, until)| Approved {
            by: by.to_string(),
            until: *until,
            nonces: tally.nonces(by).map(|nonce| Hex(nonce.to_vec())).collect(),
        });
        shown.approved = approved.collect();
        Some(shown)
    }
}

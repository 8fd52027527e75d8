//! The chain of changes: adopting the next one, fetching what is missing, keeping what forks.

use std::sync::Arc;

use quorate_api::{Code, EventKind, OperationResult, Problem, SignedRequest};
use quorate_log::entry::Kind;
use quorate_net::PeerId;
use quorate_policy::chain::{self, ChainError, Entry, State};
use quorate_store::{MAX_PAGE_LEN, OperationStatus};
use serde::Serialize;

use super::permit::ADMINS;
use super::{Regime, chain_problem, thawed};
use crate::audit;
use crate::clock;
use crate::control::Control;
use crate::judge::{Judged, read};
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

#[derive(Serialize)]
struct Forked {
    what: &'static str,
    version: u64,
    ours: String,
    theirs: String,
    from: String,
}

impl Shared {
    /// GOV.5: adopts a change if it is the next one and the admins agree. Durable and logged when it returns; the peers are told.
    /// `now` judges times, which only whoever is first can.
    pub(crate) async fn adopt(
        self: &Arc<Self>,
        entry: &Entry,
        judge_times: bool,
    ) -> Result<OperationResult, Problem> {
        let governance = self.governed()?;
        let one = governance.adopting.lock().await;
        let before = governance.regime();
        let now = judge_times.then(|| self.now());
        let adopted = before.state.adopt(entry, now).map_err(|error| chain_problem(&error))?;
        let regime = Regime::of(adopted.next)?;
        let version = regime.state.version();
        let logged =
            audit::changed(&regime.state, Some(&adopted.requester), &adopted.steps, Some(&entry.request))?;
        let bytes = entry.encode();
        let stored = self
            .store
            .adopt(version, bytes.clone(), thawed(&adopted.steps), clock::millis(), vec![logged])
            .await;
        if !stored.map_err(|error| store_problem(&error))? {
            return Err(Problem::new(Code::Internal, "the store has another change of this version"));
        }
        governance.note_thaws(&adopted.steps);
        let head = regime.state.head();
        *locked(&governance.regime) = Arc::new(regime);
        tracing::info!(version, by = %adopted.requester, "the directory changed");
        self.events.tell(EventKind::DirectoryChanged, |event| {
            event.with_detail(&format!("version {version}, asked for by {}", adopted.requester))
        });
        self.answer_change(&entry.request, version, head).await?;
        // A peer that reads slowly holds up nobody else.
        drop(one);
        for peer in self.network.connected() {
            self.tell(peer, &Control::Change { entry: bytes.clone() }).await;
        }
        Ok(OperationResult::ChangeDirectory { version, head: head.into() })
    }

    /// Adopts the change of a request to which enough people agreed, unless another node was quicker with this very change.
    pub(crate) async fn carry_out(self: &Arc<Self>, judged: &Judged) -> Result<OperationResult, Problem> {
        let entry = self.entry_of(judged).await?;
        match self.adopt(&entry, true).await {
            Err(problem) if problem.code == Code::DirectoryChanged => {
                let (true, Some((version, head))) =
                    (self.was_adopted(&judged.request).await?, chain::outcome(&judged.request))
                else {
                    return Err(problem);
                };
                Ok(OperationResult::ChangeDirectory { version, head: head.into() })
            }
            adopted => adopted,
        }
    }

    /// Whoever asked this node for the change gets the answer, whoever adopted it first.
    async fn answer_change(
        &self,
        request: &SignedRequest,
        version: u64,
        head: [u8; 32],
    ) -> Result<(), Problem> {
        let judged = read(request.clone())?;
        let id = &judged.operation;
        let status = self.operation(id).await?.map(|op| op.status);
        if status == Some(OperationStatus::PendingApproval) {
            self.promote(&judged, Some(ADMINS)).await?;
        }
        if status.is_some_and(|status| !status.is_final()) {
            let result = OperationResult::ChangeDirectory { version, head: head.into() };
            self.succeed(id, None, result, Vec::new()).await?;
        }
        self.close(id, "succeeded").await
    }

    /// Whether a change was adopted here, by whomever: then it is answered.
    pub(super) async fn was_adopted(&self, request: &SignedRequest) -> Result<bool, Problem> {
        let Some((version, head)) = chain::outcome(request) else { return Ok(false) };
        let stored = self.store.directory(version, 1).await.map_err(|error| store_problem(&error))?;
        let same = |bytes: &[u8]| Entry::decode(bytes).is_ok_and(|entry| entry.request == *request);
        if !stored.first().is_some_and(|(at, bytes)| *at == version && same(bytes)) {
            return Ok(false);
        }
        self.answer_change(request, version, head).await?;
        Ok(true)
    }

    /// GOV.6: says what this node has, so that whoever is behind can ask.
    pub(crate) async fn announce_directory(&self) {
        let Some(governance) = &self.governance else { return };
        let regime = governance.regime();
        let (version, head) = (regime.state.version(), regime.state.head());
        let freezes = governance.freeze_digest();
        for peer in self.network.connected() {
            self.tell(peer, &Control::Directory { version, head, freezes }).await;
        }
    }

    /// A peer says what it has.
    pub(crate) async fn compare_directory(
        &self,
        from: PeerId,
        version: u64,
        head: [u8; 32],
        freezes: [u8; 32],
    ) -> Result<(), Problem> {
        let Some(governance) = &self.governance else { return Ok(()) };
        let regime = governance.regime();
        let own = regime.state.version();
        if version > own || freezes != governance.freeze_digest() {
            self.tell(from, &Control::Behind { version: own }).await;
        } else if version == own && head != regime.state.head() {
            // Its change comes with the question, and is kept as evidence.
            self.tell(from, &Control::Behind { version: own.saturating_sub(1) }).await;
        }
        Ok(())
    }

    /// A peer wants what it misses.
    pub(crate) async fn catch_up(&self, from: PeerId, version: u64) -> Result<(), Problem> {
        let Some(governance) = &self.governance else { return Ok(()) };
        for request in governance.freeze_requests() {
            self.tell(from, &Control::Freeze { request }).await;
        }
        let after = version.saturating_add(1);
        let changes = self.store.directory(after, MAX_PAGE_LEN).await;
        for (_, entry) in changes.map_err(|error| store_problem(&error))? {
            self.tell(from, &Control::Change { entry }).await;
        }
        Ok(())
    }

    /// A peer passes a change on. Adopted if it is the next one, kept as evidence if it is a rival of one that was adopted.
    pub(crate) async fn take_change(self: &Arc<Self>, from: PeerId, bytes: &[u8]) -> Result<(), Problem> {
        let governance = self.governed()?;
        let Ok(entry) = Entry::decode(bytes) else { return Ok(()) };
        let regime = governance.regime();
        match regime.state.adopt(&entry, None) {
            Ok(_) => {
                if let Err(problem) = self.adopt(&entry, false).await {
                    tracing::warn!(peer = %self.name_of(from), detail = %problem.detail, "a change is not adopted");
                }
                Ok(())
            }
            Err(ChainError::Base { base, now }) if base < now => self.rival(from, &entry, base).await,
            Err(ChainError::Fork(base)) => self.rival(from, &entry, base).await,
            Err(ChainError::Base { .. }) => {
                self.tell(from, &Control::Behind { version: regime.state.version() }).await;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(peer = %self.name_of(from), %error, "a change that was passed on does not hold");
                Ok(())
            }
        }
    }

    /// GOV.7: whether a change rivals the one that this node adopted on the same base.
    async fn rival(&self, from: PeerId, entry: &Entry, base: u64) -> Result<(), Problem> {
        let governance = self.governed()?;
        let own =
            self.store.directory(base.saturating_add(1), 1).await.map_err(|error| store_problem(&error))?;
        let same = |bytes: &[u8]| Entry::decode(bytes).is_ok_and(|own| own.request == entry.request);
        // Mostly it is the very change that this node has: everybody passes it on.
        if own.first().is_some_and(|(_, bytes)| same(bytes)) {
            return Ok(());
        }
        let mut state = State::of_genesis(&governance.genesis);
        let versions = self.store.directory(1, MAX_PAGE_LEN).await.map_err(|error| store_problem(&error))?;
        for (version, bytes) in versions {
            let Ok(own) = Entry::decode(&bytes) else { return Ok(()) };
            let Ok(adopted) = state.adopt(&own, None) else { return Ok(()) };
            if version == base.saturating_add(1) {
                if own.request == entry.request {
                    return Ok(());
                }
                // Only what would have been valid is a fork; everything else is noise.
                let Ok(theirs) = state.adopt(entry, None) else { return Ok(()) };
                let (ours, theirs) = (adopted.next.head(), theirs.next.head());
                let body = Forked {
                    what: "two changes of one version, both approved",
                    version,
                    ours: hex::encode(ours),
                    theirs: hex::encode(theirs),
                    from: self.name_of(from),
                };
                let logged = audit::entry(Kind::Evidence, &body)?;
                let kept = self.store.keep_fork(theirs, entry.encode(), clock::millis(), logged).await;
                if kept.map_err(|error| store_problem(&error))? {
                    self.metrics.contradiction(self.name_of(from));
                    tracing::error!(
                        peer = %self.name_of(from), version, ours = %hex::encode(ours), theirs = %hex::encode(theirs),
                        "the admins approved two changes of one version, and nodes adopted different ones: both are kept"
                    );
                }
                return Ok(());
            }
            state = adopted.next;
        }
        Ok(())
    }
}

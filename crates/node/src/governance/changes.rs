//! The chain of changes: adopting the next one, fetching what is missing, keeping what forks.

use std::sync::Arc;

use quorate_api::{Code, EventKind, OperationResult, Problem, SignedRequest};
use quorate_log::entry::Kind;
use quorate_net::PeerId;
use quorate_policy::chain::{self, ChainError, Entry, State};
use quorate_policy::change::Step;
use quorate_store::OperationStatus;
use serde::Serialize;

use super::pace::Ask;
use super::permit::ADMINS;
use super::{Regime, chain_problem, thawed};
use crate::audit;
use crate::clock;
use crate::control::{BUNDLE, Control};
use crate::judge::{Judged, read};
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// Most changes of one answer to a peer that is behind.
const AT_ONCE: u32 = 64;

/// From where changes are asked for to find out where two branches part.
fn before(version: u64) -> u64 {
    version.saturating_sub(u64::from(AT_ONCE))
}

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
        let alone = self.gate.write().await;
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
        governance.turns.turn();
        // On the same side of every decision as the directory.
        if adopted.steps.iter().any(Step::is_about_nodes) {
            self.follow_nodes();
        }
        drop(alone);
        tracing::info!(version, by = %adopted.requester, "the directory changed");
        self.events.tell(EventKind::DirectoryChanged, |event| {
            event.with_detail(&format!("version {version}, asked for by {}", adopted.requester))
        });
        self.answer_change(&entry.request, version, head).await?;
        // A peer that reads slowly holds up nobody else.
        drop(one);
        for peer in self.network.connected() {
            self.tell(peer, &Control::Changes { entries: vec![bytes.clone()] }).await;
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
            self.succeed(id, None, None, result, Vec::new()).await?;
        }
        self.close(id, "succeeded").await
    }

    /// Whether a change was adopted here, by whomever: then it is answered.
    pub(super) async fn was_adopted(&self, request: &SignedRequest) -> Result<bool, Problem> {
        let Some((version, head)) = chain::outcome(request) else { return Ok(false) };
        let adopted = self.change_after(version.saturating_sub(1)).await?;
        if adopted.is_none_or(|entry| entry.request != *request) {
            return Ok(false);
        }
        self.answer_change(request, version, head).await?;
        Ok(true)
    }

    /// GOV.6: says what this node has, so that whoever is behind can ask.
    pub(crate) async fn announce_directory(&self) {
        if self.governance.is_some() {
            for peer in self.network.connected() {
                self.announce_directory_to(peer).await;
            }
        }
    }

    pub(super) async fn announce_directory_to(&self, peer: PeerId) {
        let Some(governance) = &self.governance else { return };
        let regime = governance.regime();
        let (version, head) = (regime.state.version(), regime.state.head());
        let freezes = governance.freeze_digest();
        self.tell(peer, &Control::Directory { version, head, freezes }).await;
    }

    /// Asks a peer for what this node misses, but not again and again.
    async fn ask_for_changes(&self, peer: PeerId, version: u64) -> Result<(), Problem> {
        if self.governed()?.pace.may(Ask::Changes(peer, version)) {
            self.tell(peer, &Control::Behind { version }).await;
        }
        Ok(())
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
            self.ask_for_changes(from, own).await?;
        } else if version == own && head != regime.state.head() {
            // Its change comes with the question, and is kept as evidence.
            self.ask_for_changes(from, before(own)).await?;
        }
        Ok(())
    }

    /// A peer wants what it misses: as many changes as go into one message. If it took them and misses more, it asks again.
    pub(crate) async fn catch_up(&self, from: PeerId, version: u64) -> Result<(), Problem> {
        let Some(governance) = &self.governance else { return Ok(()) };
        if !governance.pace.may(Ask::Answer(from, version)) {
            return Ok(());
        }
        for request in governance.freeze_requests() {
            self.tell(from, &Control::Freeze { request }).await;
        }
        let after = version.saturating_add(1);
        let changes = self.store.directory(after, AT_ONCE).await.map_err(|error| store_problem(&error))?;
        let (mut entries, mut bytes) = (Vec::new(), 0_usize);
        for (_, entry) in changes {
            bytes = bytes.saturating_add(entry.len());
            if !entries.is_empty() && bytes > BUNDLE {
                break;
            }
            entries.push(entry);
        }
        if !entries.is_empty() {
            self.tell(from, &Control::Changes { entries }).await;
        }
        Ok(())
    }

    /// A peer passes changes on. Each is adopted if it is the next one, kept as evidence if it is a rival of one that was adopted.
    pub(crate) async fn take_changes(
        self: &Arc<Self>,
        from: PeerId,
        entries: &[Vec<u8>],
    ) -> Result<(), Problem> {
        let governance = self.governed()?;
        let had = governance.regime().state.version();
        for bytes in entries {
            let Ok(entry) = Entry::decode(bytes) else { return Ok(()) };
            let regime = governance.regime();
            let next = match regime.state.adopt(&entry, None) {
                Ok(_) => match self.adopt(&entry, false).await {
                    Ok(_) => true,
                    Err(problem) => {
                        tracing::warn!(peer = %self.name_of(from), detail = %problem.detail, "a change is not adopted");
                        false
                    }
                },
                Err(ChainError::Base { base, now }) if base < now => {
                    self.rival(from, &entry, base).await?;
                    true
                }
                Err(ChainError::Fork(base)) => {
                    // It continues another branch: what rivals ours came before.
                    self.ask_for_changes(from, before(base)).await?;
                    false
                }
                Err(ChainError::Base { .. }) => {
                    self.ask_for_changes(from, regime.state.version()).await?;
                    false
                }
                Err(error) => {
                    tracing::warn!(peer = %self.name_of(from), %error, "a change that was passed on does not hold");
                    false
                }
            };
            if !next {
                return Ok(());
            }
        }
        let now = governance.regime().state.version();
        // Several at once are an answer, and there may be more.
        if entries.len() > 1 && now > had {
            self.tell(from, &Control::Behind { version: now }).await;
        }
        Ok(())
    }

    /// GOV.7: whether a change rivals the one that this node adopted on the same base.
    async fn rival(&self, from: PeerId, entry: &Entry, base: u64) -> Result<(), Problem> {
        let governance = self.governed()?;
        let own = self.change_after(base).await?;
        // Mostly it is the very change that this node has: everybody passes it on.
        if own.as_ref().is_none_or(|own| own.request == entry.request) {
            return Ok(());
        }
        // To look at one is work, and a peer can send many.
        let Some((version, theirs)) = chain::outcome(&entry.request) else { return Ok(()) };
        if governance.pace.has_seen(theirs) || !governance.pace.may(Ask::Rival(from)) {
            return Ok(());
        }
        let mut state = State::of_genesis(&governance.genesis);
        while state.version() < base {
            let Some(own) = self.change_after(state.version()).await? else { return Ok(()) };
            let Ok(adopted) = state.adopt(&own, None) else { return Ok(()) };
            state = adopted.next;
        }
        let Some(own) = own else { return Ok(()) };
        let ours = state.adopt(&own, None).ok();
        // Only what would have been valid is a fork; everything else is noise.
        let (ours, rival) = match (ours, state.adopt(entry, None)) {
            (Some(ours), Ok(rival)) => (ours, rival),
            (Some(_), Err(ChainError::Fork(_))) => return self.ask_for_changes(from, before(base)).await,
            _ => return Ok(()),
        };
        let (ours, theirs) = (ours.next.head(), rival.next.head());
        let body = Forked {
            what: "two changes of one version, both approved",
            version,
            ours: hex::encode(ours),
            theirs: hex::encode(theirs),
            from: self.name_of(from),
        };
        let logged = audit::entry(Kind::Evidence, &body)?;
        let kept = self.store.keep_fork(theirs, entry.encode(), clock::millis(), logged).await;
        let kept = kept.map_err(|error| store_problem(&error))?;
        governance.pace.saw(theirs);
        if kept {
            self.metrics.contradiction(self.name_of(from));
            tracing::error!(
                peer = %self.name_of(from), version, ours = %hex::encode(ours), theirs = %hex::encode(theirs),
                "the admins approved two changes of one version, and nodes adopted different ones: both are kept"
            );
            // So that the other side has the evidence too.
            self.tell(from, &Control::Changes { entries: vec![own.encode()] }).await;
        }
        Ok(())
    }

    /// The change that this node adopted on a version.
    pub(super) async fn change_after(&self, version: u64) -> Result<Option<Entry>, Problem> {
        let next = version.saturating_add(1);
        let stored = self.store.directory(next, 1).await.map_err(|error| store_problem(&error))?;
        Ok(stored.first().filter(|(at, _)| *at == next).and_then(|(_, bytes)| Entry::decode(bytes).ok()))
    }
}

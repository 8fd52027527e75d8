//! Creating a key: what differs from other ceremonies.
//!
//! Generation, then for ECDSA the set-up of every pair, then two steps that make the key appear everywhere or nowhere: every
//! member says that it holds everything durably, and only then the coordinator, who has stored the result, lets all use it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use quorate_api::{
    Code, CreateKey, Figures, Hex, Key as ApiKey, KeyId, KeyStatus, OperationId, OperationResult, Problem,
};
use quorate_intent::{PublicKey, check_purposes, default_purposes};
use quorate_net::PeerId;
use quorate_protocol::access::Access;
use quorate_protocol::message::encode;
use quorate_protocol::party::{Committee, IdentityKey, Party, PartyIndex};
use quorate_protocol::session::SessionId;
use quorate_protocol::transcript::{Transcript, tags};
use quorate_store::KeyStatus as StoredStatus;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::conversation::{Conversation, Said};
use super::protocols::Share;
use super::{Attempt, Ceremony, Failure, import, protocols};
use crate::access;
use crate::clock;
use crate::control::{Done, Member, Outcome, Proposal, Work};
use crate::governance::permit::Subject;
use crate::judge::{Ask, Judged};
use crate::keys::{Pending, Record, RecordParty, api_key};
use crate::operations::stored_result;
use crate::shared::{Shared, peer_of, random};
use crate::source::to_wire;

/// A key on its way into the store.
pub(crate) struct Draft {
    pub(crate) id: KeyId,
    /// The record but for package and certificate, which the generation gives.
    record: Record,
}

impl Draft {
    fn complete_record(&self, package: Vec<u8>, certificate: Vec<u8>) -> Record {
        let (package, certificate) = (Hex(package), Hex(certificate));
        Record { package, certificate, complete: true, ..self.record.clone() }
    }

    /// Stores the share that the generation hands out. Durable when it returns.
    pub(crate) async fn store_pending(&self, shared: &Shared, pending: &Pending) -> Result<(), Problem> {
        let public_key = protocols::package_public_key(self.record.scheme, &pending.package)
            .ok_or_else(|| Problem::new(Code::Internal, "the generated key has no package"))?;
        let record = Record { package: Hex(pending.package.clone()), ..self.record.clone() };
        shared.store_pending(&self.id, &record, public_key, &pending.secret).await
    }

    /// Stores everything this party needs to sign; the key stays pending. Durable when it returns.
    pub(crate) async fn store_complete(
        &self,
        shared: &Shared,
        package: Vec<u8>,
        certificate: Vec<u8>,
        secret: &[u8],
        setup: &[u8],
    ) -> Result<(), Problem> {
        shared.store_complete(&self.id, &self.complete_record(package, certificate), secret, setup).await
    }
}

/// A creation that this node has checked against the request and its own configuration.
pub(crate) struct Plan {
    pub(crate) draft: Arc<Draft>,
    committee: Committee,
    access: Access,
    me: PartyIndex,
    session: SessionId,
    /// This node's share of the key as it was imported, which is never stored.
    imported: Option<Arc<Share>>,
}

/// The members as the request wants them: in its order, or all known nodes by name, or those of its access structure by name.
fn members(shared: &Shared, create: &CreateKey) -> Result<Vec<Member>, Problem> {
    create.check().map_err(|why| Problem::new(Code::InvalidRequest, format!("the body: {why}")))?;
    let names: Vec<String> = match (&create.parties, &create.access) {
        (Some(names), _) => names.clone(),
        (None, Some(access)) => access.names().into_iter().map(str::to_owned).collect(),
        (None, None) => {
            shared.members().names.values().cloned().collect::<BTreeSet<_>>().into_iter().collect()
        }
    };
    let mut members = Vec::with_capacity(names.len());
    for (index, name) in (1_u16..).zip(names) {
        let unknown = || {
            let detail = format!("this node knows no node `{name}`: configure it as a peer");
            Problem::new(Code::Unprocessable, detail)
        };
        let peer = shared.by_name(&name).ok_or_else(unknown)?;
        let identity = IdentityKey::from_bytes(peer.as_bytes()).ok_or_else(unknown)?;
        let index = PartyIndex::new(index).ok_or_else(unknown)?;
        members.push(Member { index, name, identity });
    }
    Ok(members)
}

/// Checks what a coordinator, perhaps this node, proposes.
pub(crate) fn plan(
    shared: &Shared,
    judged: &Judged,
    create: &CreateKey,
    attempt: &Attempt,
    members: &[Member],
) -> Result<Plan, Problem> {
    let refuse = |detail: String| Problem::new(Code::Unprocessable, detail);
    let purposes = match &create.purposes {
        Some(purposes) => purposes.iter().copied().collect(),
        None => default_purposes(create.scheme),
    };
    check_purposes(create.scheme, &purposes).map_err(|error| refuse(error.to_string()))?;
    // The parties are those of the request, or all that this node knows, under the identities that this node knows.
    let nodes = shared.members();
    create.check().map_err(|why| refuse(why.to_owned()))?;
    let wanted: BTreeSet<&str> = match (&create.parties, &create.access) {
        (Some(names), _) => names.iter().map(String::as_str).collect(),
        (None, Some(access)) => access.names().into_iter().collect(),
        (None, None) => nodes.names.values().map(String::as_str).collect(),
    };
    let named: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    if wanted != named || named.len() != members.len() {
        let detail =
            format!("the parties proposed are {}, and this node expects {}", list(&named), list(&wanted));
        return Err(refuse(detail));
    }
    for (expected, member) in (1_u16..).zip(members) {
        if shared.by_name(&member.name) != Some(peer_of(&member.identity)) {
            let detail = format!(
                "this node knows `{}` under another identity: compare the configurations",
                member.name
            );
            return Err(refuse(detail));
        }
        if member.index.get() != expected {
            return Err(refuse("the parties are not numbered 1, 2, 3 …".to_owned()));
        }
    }
    let parties = members.iter().map(|m| Party { index: m.index, identity: m.identity }).collect();
    let committee =
        Committee::new(parties).ok_or_else(|| refuse("the parties are not distinct".to_owned()))?;
    let party_of = |peer: PeerId| members.iter().find(|m| peer_of(&m.identity) == peer).map(|m| m.index);
    let me = party_of(shared.id).ok_or_else(|| {
        refuse("this node is not among the parties: ask one of them to create the key".to_owned())
    })?;
    if party_of(attempt.coordinator).is_none() {
        return Err(refuse("the coordinator is not among the parties".to_owned()));
    }
    let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    let access = access::wanted(create, &names)
        .ok_or_else(|| refuse("the access structure names a node that is no party".to_owned()))?;
    access::check(create.scheme, &access, &members.iter().map(|m| (m.index, m.name.clone())).collect())?;
    let id = key_id(judged, attempt);
    let (created_by, tenant) = shared.owner(judged.request.client());
    let record = Record {
        version: crate::keys::MARKED,
        tenant,
        created_by,
        scheme: create.scheme,
        label: create.label.clone(),
        purposes,
        threshold: access::smallest(&access),
        parties: members
            .iter()
            .map(|m| RecordParty {
                index: m.index.get(),
                name: m.name.clone(),
                identity: Hex(m.identity.to_bytes().to_vec()),
            })
            .collect(),
        operation: judged.operation.clone(),
        created_at: clock::millis(),
        last_index: None,
        complete: false,
        imported: matches!(judged.ask, Ask::Import(_)),
        package: Hex::default(),
        certificate: Hex::default(),
    };
    let imported = match &judged.ask {
        Ask::Import(import) => {
            Some(Arc::new(import::accept(shared, judged, import, &committee, &access, me)?))
        }
        _ => None,
    };
    let mut hash = Transcript::new(tags::SESSION_ID);
    hash.absorb("protocol", b"dkg")
        .absorb("scheme", create.scheme.name().as_bytes())
        .absorb("key", id.as_str().as_bytes())
        .absorb("access", &encode(&access))
        .absorb("request", &judged.request.request_hash())
        .absorb("coordinator", attempt.coordinator.as_bytes())
        .absorb_u64("attempt", attempt.number.into())
        .absorb("nonce", &attempt.ceremony);
    committee.absorb_into(&mut hash);
    let session = SessionId(hash.digest());
    Ok(Plan { draft: Arc::new(Draft { id, record }), committee, access, me, session, imported })
}

fn list(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

/// The key of an attempt: a later attempt makes another key, because a share of the first may be left somewhere.
fn key_id(judged: &Judged, attempt: &Attempt) -> KeyId {
    if attempt.number == 1 {
        return KeyId::of_operation(&judged.operation);
    }
    let material = format!("{} {}", judged.operation, attempt.number);
    KeyId::derive("quorate 2026 node key id of a later attempt v1", material.as_bytes())
}

impl Plan {
    pub(crate) fn names(&self) -> BTreeMap<PartyIndex, String> {
        self.draft.record.names()
    }

    pub(crate) fn ceremony<'a>(
        &self,
        shared: &'a Arc<Shared>,
        judged: &'a Judged,
        deadline: Instant,
        cancel: CancellationToken,
    ) -> Ceremony<'a> {
        Ceremony {
            shared,
            operation: &judged.operation,
            committee: self.committee.clone(),
            me: self.me,
            names: self.names(),
            deadline,
            cancel,
            places: Vec::new(),
            skipped: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// CER.11: runs the protocols and stores what this party needs; the key stays pending.
    #[tracing::instrument(name = "ceremony", skip_all, fields(operation = %judged.operation, attempt = attempt.number, coordinator = %attempt.coordinator))]
    pub(crate) async fn run(
        &self,
        judged: &Judged,
        attempt: &Attempt,
        ceremony: &mut Ceremony<'_>,
    ) -> Result<ApiKey, Failure> {
        let shared = Arc::clone(ceremony.shared);
        let scheme = self.draft.record.scheme;
        let draft = &self.draft;
        let (share, certificate) = match &self.imported {
            Some(dealt) => protocols::import::renew(dealt, self.session, ceremony, draft).await?,
            None => protocols::generate(scheme, self.access.clone(), self.session, ceremony, draft).await?,
        };
        let (package, public_key) = (share.package(), share.public_key());
        let record = draft.complete_record(package.clone(), certificate.clone());
        if protocols::has_setup(scheme) {
            let bindings: [(&'static str, &[u8]); 4] = [
                ("request", &judged.request.request_hash()),
                ("coordinator", attempt.coordinator.as_bytes()),
                ("attempt", &attempt.number.to_le_bytes()),
                ("nonce", &attempt.ceremony),
            ];
            let session = share.session_id(protocols::SETUP, &self.committee, &bindings);
            protocols::set_up(share, certificate, scheme, session, ceremony, draft).await?;
        } else {
            let stored =
                draft.store_complete(&shared, package, certificate, &share.secret_bytes(), &[]).await;
            stored.map_err(Failure::local)?;
        }
        let public = PublicKey::new(scheme, &public_key)
            .map_err(|error| Failure::local(Problem::new(Code::Internal, error.to_string())))?;
        Ok(api_key(self.draft.id.clone(), &record, KeyStatus::Active, &public, shared.config.chains.bitcoin))
    }
}

/// Coordinates the creation of a key. All parties must take part, so there is no second quorum to try.
pub(crate) async fn coordinate(
    shared: &Arc<Shared>,
    judged: &Judged,
    create: &CreateKey,
) -> Result<OperationResult, Problem> {
    let deadline = Instant::now() + shared.config.limits.ceremony_deadline;
    loop {
        let entered = shared.registry.enter_session(&judged.operation, deadline).await;
        let hold = entered.ok_or_else(busy)?;
        if let Some(op) = shared.operation(&judged.operation).await?
            && let Some(done) = stored_result(&op)?
        {
            return Ok(done);
        }
        match try_once(shared, judged, create, deadline).await {
            Err(problem) if problem.code == Code::OperationRunning => {
                drop(hold);
                if Instant::now() >= deadline {
                    return Err(problem);
                }
                let jitter = u64::from(random::<1>()?.first().copied().unwrap_or(0));
                sleep(std::time::Duration::from_millis(50 + jitter)).await;
            }
            result => return result,
        }
    }
}

fn busy() -> Problem {
    Problem::new(Code::OperationRunning, "another node works on the same request: ask for its result again")
}

async fn try_once(
    shared: &Arc<Shared>,
    judged: &Judged,
    create: &CreateKey,
    deadline: Instant,
) -> Result<OperationResult, Problem> {
    let begun = Instant::now();
    let members = members(shared, create)?;
    connected(shared, &members).await?;
    let number = shared.run_attempt(&judged.operation).await?;
    let attempt = Attempt { ceremony: random()?, number, coordinator: shared.id };
    let plan = plan(shared, judged, create, &attempt, &members)?;
    let others: BTreeMap<PeerId, PartyIndex> = members
        .iter()
        .map(|member| (peer_of(&member.identity), member.index))
        .filter(|(peer, _)| *peer != shared.id)
        .collect();
    // GOV.3
    let subject = match &judged.ask {
        Ask::Import(_) => Subject::Import(create),
        _ => Subject::Create(create),
    };
    shared.convinced(judged, subject).await?;
    let proposal = Proposal {
        ceremony: attempt.ceremony,
        attempt: number,
        request: judged.request.encode(),
        rulings: shared.rulings_for(judged).await?,
        source: to_wire(judged.source),
        work: Work::Create { members },
    };
    let mut talk = Conversation::open(shared, proposal, others, None).await;
    let result = together(shared, judged, &plan, &attempt, &mut talk, deadline).await;
    match result {
        Ok((key, mut figures)) => {
            figures.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let result = OperationResult::CreateKey { key: Box::new(key), figures };
            let (stored, _) =
                shared.succeed(&judged.operation, None, Some(&plan.draft.id), result, Vec::new()).await?;
            // CER.12  The key exists from here on, whatever happens: its first use would make it active too.
            if let Err(problem) = shared.activate(&plan.draft.id).await {
                tracing::error!(key = %plan.draft.id, detail = %problem.detail, "new key not active yet");
            }
            talk.activate(shared.config.limits.answer_deadline).await;
            // CER.15
            shared.gather_receipts(&judged.operation).await;
            Ok(stored)
        }
        Err(problem) => {
            talk.cancel().await;
            shared.discard_pending(&plan.draft.id).await;
            Err(problem)
        }
    }
}

async fn together(
    shared: &Arc<Shared>,
    judged: &Judged,
    plan: &Plan,
    attempt: &Attempt,
    talk: &mut Conversation,
    deadline: Instant,
) -> Result<(ApiKey, Figures), Problem> {
    let names = plan.names();
    let name = |party: &PartyIndex| names.get(party).cloned().unwrap_or_default();
    match talk.answers(shared.config.limits.answer_deadline).await {
        Said::All => {}
        Said::Refused(_, problem, _) if problem.code == Code::OperationRunning => return Err(busy()),
        Said::Refused(party, problem, _) => {
            let detail = format!("`{}` refuses: {}", name(&party), problem.detail);
            return Err(Problem::new(problem.code, detail));
        }
        Said::Silent(silent) => {
            let silent: Vec<String> = silent.iter().map(name).collect();
            let detail = format!("`{}` did not answer the proposal", silent.join("`, `"));
            return Err(Problem::new(Code::DeadlineExceeded, detail));
        }
        Said::Done(party, Done::Created { key }) => {
            end_known(shared, &judged.operation, &key).await?;
            let detail = format!(
                "`{}` has created the key `{key}` for this request before: use that one",
                name(&party)
            );
            // Open, not final: this node's own share of that key becomes active with its first use.
            return Err(Problem::new(Code::OperationRunning, detail));
        }
        Said::Done(party, Done::Signed { .. } | Done::Acted | Done::Exported { .. })
        | Said::Another(party, _) => {
            let detail = format!("`{}` answered something else than was asked", name(&party));
            return Err(Problem::new(Code::CeremonyAborted, detail));
        }
    }
    let called_off = shared.stop.child_token();
    let mut ceremony = plan.ceremony(shared, judged, deadline, called_off.clone());
    let key = {
        let loss = talk.loss();
        let given_up = pin!(async {
            tokio::select! {
                (party, problem) = talk.failure() => {
                    Problem::new(Code::CeremonyAborted, format!("`{}` failed: {}", name(&party), problem.detail))
                }
                party = loss => {
                    let party = party.map(|party| name(&party)).unwrap_or_default();
                    let detail = format!("`{party}` restarted or lost its connection while the key was made");
                    Problem::new(Code::DeadlineExceeded, detail)
                }
            }
        });
        match select(pin!(plan.run(judged, attempt, &mut ceremony)), given_up).await {
            Either::Left((key, _)) => key.map_err(|failure| failure.problem)?,
            Either::Right((problem, run)) => {
                // CER.13  To its end, so that whoever erases the share finds all of it.
                called_off.cancel();
                run.await.map(|_| ()).unwrap_or_default();
                return Err(problem);
            }
        }
    };
    let outcomes = talk.outcomes(deadline).await;
    for party in plan.committee.indices().filter(|party| *party != plan.me) {
        match outcomes.get(&party) {
            Some(Outcome::Created { public_key }) if *public_key == key.public_key.0 => {}
            Some(Outcome::Failed(refusal)) => {
                let detail = format!("`{}` failed: {}", name(&party), refusal.problem().detail);
                return Err(Problem::new(Code::CeremonyAborted, detail));
            }
            Some(_) => {
                let detail = format!("`{}` reports another key than this node has", name(&party));
                return Err(Problem::new(Code::CeremonyAborted, detail));
            }
            None => {
                let detail = format!("`{}` did not confirm that it has stored its share", name(&party));
                return Err(Problem::new(Code::DeadlineExceeded, detail));
            }
        }
    }
    Ok((key, ceremony.figures))
}

/// A party says that this operation has created a key. If this node uses it, it was told so itself, and stopped before it stored that.
async fn end_known(shared: &Shared, operation: &OperationId, key: &str) -> Result<(), Problem> {
    let Ok(id) = key.parse::<KeyId>() else { return Ok(()) };
    let Some(key) = shared.stored_key(&id).await? else { return Ok(()) };
    let unused = matches!(key.status, StoredStatus::Pending | StoredStatus::Destroyed);
    if unused || Record::from_bytes(&key.record)?.operation != *operation {
        return Ok(());
    }
    let Some(shown) = shared.present_key(&key)? else { return Ok(()) };
    let result = OperationResult::CreateKey { key: Box::new(shown), figures: Figures::default() };
    shared.succeed(operation, None, Some(&id), result, Vec::new()).await.map(|_| ())
}

/// Whether all members are there; waits a little for those that are not.
async fn connected(shared: &Shared, members: &[Member]) -> Result<(), Problem> {
    let peers: Vec<PeerId> = members.iter().map(|member| peer_of(&member.identity)).collect();
    let grace = shared.config.limits.connect_grace;
    let Err(error) = shared.network.wait_connected(&peers, grace).await else { return Ok(()) };
    let needed = u16::try_from(members.len()).unwrap_or(u16::MAX);
    let absent = u16::try_from(error.missing.len()).unwrap_or(u16::MAX);
    let detail = format!(
        "all {needed} nodes are needed to create a key; not there: {}; start them or repair their connection and ask again",
        error.missing.join(", ")
    );
    Err(Problem::new(Code::NotEnoughParties, detail).with_quorum(
        needed,
        needed.saturating_sub(absent),
        error.missing,
    ))
}

/// What can be said about a request to create a key before anything is asked of others.
pub(crate) fn check(shared: &Shared, judged: &Judged, create: &CreateKey) -> Result<(), Problem> {
    let members = members(shared, create)?;
    let attempt = Attempt { ceremony: [0; 32], number: 1, coordinator: shared.id };
    plan(shared, judged, create, &attempt, &members).map(|_| ())
}

//! Export: every node gives its share, sealed to a one-time key of whoever exports, and marks the key as exposed before.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_api::{
    Act, Code, Export, ExportResult, Fault, Hex, KeyId, MAX_EXPORT_AHEAD, OperationResult, Problem,
    SealedShare, Skipped,
};
use quorate_log::entry::{Entry, Kind};
use quorate_net::PeerId;
use quorate_policy::facts::Action;
use quorate_protocol::party::PartyIndex;
use quorate_seal::{Label, SealingPublicKey};
use quorate_store::{Key, KeyStatus};
use serde::Serialize;
use tokio::time::Instant;

use super::{About, Asked, ask, burned};
use crate::audit;
use crate::ceremony::conversation::Conversation;
use crate::ceremony::protocols;
use crate::clock;
use crate::control::{Control, Outcome, Proposal, Refusal, Work};
use crate::governance::permit::Subject;
use crate::judge::{Ask, Judged};
use crate::keys::Record;
use crate::operations::stored_result;
use crate::shared::{Shared, party_name, random};
use crate::source::to_wire;

pub(super) const ABOUT: About = About {
    action: Action::Export,
    despite_freeze: false,
    words: |act| match act {
        Act::Export(export) => format!(
            "put together outside of the nodes, until {} (unix seconds), the private key of",
            export.expires
        ),
        _ => "put together the private key of".to_owned(),
    },
    check: |key| {
        burned(key)?;
        if key.status.is_usable() {
            return Ok(());
        }
        let detail =
            "a disabled key is not exported: whoever may, enables it first with `quorate key enable`";
        Err(Problem::new(Code::KeyDisabled, detail))
    },
};

/// Why a share travels, in its label.
const PURPOSE: &str = "export";

#[derive(Serialize)]
struct Exposed<'a> {
    from: &'a str,
    to: &'a str,
    operation: &'a str,
    act: &'a str,
    reason: &'a str,
    expires: u64,
}

fn export_of(asked: &Asked) -> Result<&Export, Problem> {
    match &asked.act {
        Act::Export(export) => Ok(export),
        _ => Err(Problem::new(Code::Internal, "this exports nothing")),
    }
}

/// EXP.2: what any node can say about the request alone.
fn check(export: &Export) -> Result<SealingPublicKey, Problem> {
    let refuse = |detail: String| Problem::new(Code::Unprocessable, detail);
    let now = clock::seconds();
    if export.expires <= now {
        return Err(refuse("the time of this export is over: ask anew".to_owned()));
    }
    if export.expires > now.saturating_add(MAX_EXPORT_AHEAD) {
        return Err(refuse(format!("an export ends within {MAX_EXPORT_AHEAD} seconds: ask for less")));
    }
    SealingPublicKey::from_bytes(&export.recipient.0).map_err(|error| refuse(format!("`recipient`: {error}")))
}

/// What is logged of a key that is marked.
fn exposed(judged: &Judged, id: &KeyId, key: &Key, export: &Export) -> Result<Entry, Problem> {
    let body = Exposed {
        from: key.status.as_str(),
        to: KeyStatus::Exposed.as_str(),
        operation: judged.operation.as_str(),
        act: "export",
        reason: &export.reason,
        expires: export.expires,
    };
    audit::about(audit::entry(Kind::Share, &body)?, &judged.operation, Some(id))
}

impl Shared {
    /// EXP.3: says for ever that the private key is outside. Durable and logged when it returns; gives the key as it is then.
    async fn expose_for(&self, judged: &Judged, id: &KeyId, export: &Export) -> Result<Key, Problem> {
        let gone = || crate::governance::hidden(id);
        let key = self.stored_key(id).await?.ok_or_else(gone)?;
        (ABOUT.check)(&key)?;
        self.expose(judged, id, exposed(judged, id, &key, export)?).await?;
        let key = self.stored_key(id).await?.ok_or_else(gone)?;
        (ABOUT.check)(&key)?;
        tracing::warn!(key = %id, operation = %judged.operation, "a share of the key is given out");
        Ok(key)
    }

    /// EXP.3: a node that was away says it too. Its own share stays where it is.
    pub(super) async fn expose_late(&self, judged: &Judged, proved: bool) -> Result<(), Problem> {
        let Ask::Act(id, Act::Export(export)) = &judged.ask else {
            return Err(Problem::new(Code::Internal, "this exports nothing"));
        };
        let key = self.stored_key(id).await?.ok_or_else(|| crate::governance::hidden(id))?;
        self.expose(judged, id, exposed(judged, id, &key, export)?).await?;
        tracing::warn!(key = %id, operation = %judged.operation, proved, "the key was exported while this node was away");
        Ok(())
    }

    /// What every node logs that gave its share to an export.
    pub(super) fn export_outcome(
        judged: &Judged,
        id: &KeyId,
        export: &Export,
        record: &Record,
    ) -> Result<Entry, Problem> {
        let mut parties: Vec<String> = record.parties.iter().map(|party| party.name.clone()).collect();
        parties.sort();
        let result = ExportResult {
            key: id.clone(),
            scheme: record.scheme,
            public_key: Hex(Vec::new()),
            package: record.package.clone(),
            epoch: record.epoch(),
            request: Hex(judged.request.request_hash().to_vec()),
            expires: export.expires,
            parties,
            shares: Vec::new(),
            without: Vec::new(),
        };
        let result = OperationResult::ExportKey(Box::new(result));
        audit::outcome(&judged.operation, Some(id), &judged.request.fingerprint(), &result)
    }

    /// EXP.3–EXP.4: marks the key, then seals this node's share to the recipient.
    async fn give_share(&self, judged: &Judged, asked: &Asked) -> Result<ExportResult, Problem> {
        let export = export_of(asked)?;
        let recipient = check(export)?;
        // A share of an epoch that is over elsewhere would be given, and the key marked, for nothing.
        let revision = self.stored_key(&asked.id).await?.map_or(0, |key| key.epoch);
        let _pass = self.gates.enter(&asked.id, revision)?;
        let key = self.expose_for(judged, &asked.id, export).await?;
        let record = &Record::from_bytes(&key.record)?;
        let material = self.material(&asked.id, &key, record).await?;
        let request = judged.request.request_hash();
        let label = Label {
            purpose: PURPOSE,
            binding: request,
            key: asked.id.as_str(),
            epoch: record.epoch(),
            party: *self.id.as_bytes(),
            expires: export.expires,
        };
        // EXP.4
        let sealed = recipient.seal(&label, &material.share.rows());
        let sealed = sealed.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        let own = SealedShare {
            party: self.config.name.clone(),
            index: material.share.index().get(),
            identity: Hex(self.id.as_bytes().to_vec()),
            sealed: Hex(sealed),
        };
        let mut parties: Vec<String> = record.parties.iter().map(|party| party.name.clone()).collect();
        parties.sort();
        Ok(ExportResult {
            key: asked.id.clone(),
            scheme: record.scheme,
            public_key: Hex(key.public_key),
            package: record.package.clone(),
            epoch: record.epoch(),
            request: Hex(request.to_vec()),
            expires: export.expires,
            parties,
            shares: vec![own],
            without: Vec::new(),
        })
    }
}

/// A member that agreed: gives its share. The result is kept, so that it is the same whenever it is asked again.
pub(crate) async fn take_part(
    shared: &Arc<Shared>,
    from: PeerId,
    judged: &Judged,
    ceremony: [u8; 32],
    asked: &Asked,
) {
    let given = async {
        let result = shared.give_share(judged, asked).await?;
        let sealed = result.shares.first().map(|share| share.sealed.0.clone()).unwrap_or_default();
        let result = OperationResult::ExportKey(Box::new(result));
        let fingerprint = judged.request.fingerprint();
        let stored =
            shared.succeed(&judged.operation, Some(fingerprint), Some(&asked.id), result, Vec::new());
        let (_, receipt) = stored.await?;
        Ok::<_, Problem>(Outcome::Exported { sealed, receipt: receipt.map(|receipt| receipt.to_string()) })
    };
    let outcome = match given.await {
        Ok(outcome) => outcome,
        Err(problem) => {
            tracing::info!(operation = %judged.operation, detail = %problem.detail, "this node gives no share");
            shared.give_up(&judged.operation, &problem).await;
            Outcome::Failed(Refusal::new(&problem, None))
        }
    };
    shared.tell(from, &Control::Ended { ceremony, outcome }).await;
}

/// EXP.2–EXP.5: asks all nodes of the key for their shares, and is content with as many as can sign.
pub(crate) async fn coordinate(
    shared: &Arc<Shared>,
    judged: &Judged,
    asked: Asked,
) -> Result<OperationResult, Problem> {
    let deadline = Instant::now() + shared.config.limits.ceremony_deadline;
    let entered = shared.registry.enter_session(&judged.operation, deadline).await;
    let busy = || Problem::new(Code::OperationRunning, "this export is being carried out: ask again");
    let _hold = entered.ok_or_else(busy)?;
    if let Some(op) = shared.operation(&judged.operation).await?
        && let Some(done) = stored_result(&op)?
    {
        return Ok(done);
    }
    check(export_of(&asked)?)?;
    let number = shared.run_attempt(&judged.operation).await?;
    // GOV.3  Whatever changed since counts.
    let asked = ask(shared, &asked.id, &asked.act, shared.id).await?;
    shared.convinced(judged, Subject::Act(&asked)).await?;
    let record = asked.record.clone();
    let access = protocols::package_access(&record.package.0)
        .ok_or_else(|| Problem::new(Code::Internal, "the key's package cannot be read"))?;
    let me = record.index_of(shared.id);
    let me = me.ok_or_else(|| Problem::new(Code::NotFound, "this node holds no share of the key"))?;
    let others: BTreeMap<PeerId, PartyIndex> = record
        .peers()
        .into_iter()
        .filter(|(_, peer)| *peer != shared.id)
        .map(|(at, peer)| (peer, at))
        .collect();
    let peers: Vec<PeerId> = others.keys().copied().collect();
    shared.network.wait_connected(&peers, shared.config.limits.connect_grace).await.unwrap_or_default();
    let names = record.names();
    let (members, away): (BTreeMap<_, _>, BTreeMap<_, _>) =
        others.into_iter().partition(|(peer, _)| shared.network.is_connected(*peer));
    let skip = |at: &PartyIndex, reason: String, fault| {
        Skipped::new(party_name(&names, *at), reason).with_fault(fault)
    };
    let mut without: Vec<Skipped> =
        away.values().map(|at| skip(at, "it is not connected".to_owned(), Fault::Absent)).collect();
    let qualified = |with: &[PartyIndex]| access.is_qualified(&[with, &[me]].concat());
    let too_few = |without: Vec<Skipped>, ready: usize, left: &str| {
        let why: Vec<String> = without.iter().map(|s| format!("`{}`: {}", s.party, s.reason)).collect();
        let detail = format!(
            "the shares of {ready} nodes do not give the key: {}; {left}start or convince the others, then send the same request again",
            why.join("; ")
        );
        let (needed, ready) = (record.threshold, u16::try_from(ready).unwrap_or(u16::MAX));
        let missing = without.into_iter().map(|skipped| skipped.party).collect();
        Problem::new(Code::NotEnoughParties, detail).with_quorum(needed, ready, missing)
    };
    // EXP.2  Where too few are there, nobody marks anything.
    if !qualified(&members.values().copied().collect::<Vec<_>>()) {
        return Err(too_few(without, members.len().saturating_add(1), ""));
    }
    let mut result = shared.give_share(judged, &asked).await?;
    let proposal = Proposal {
        ceremony: random()?,
        attempt: number,
        request: judged.request.encode(),
        rulings: shared.rulings_for(judged).await?,
        source: to_wire(judged.source),
        work: Work::Act,
    };
    let within = shared.config.limits.answer_deadline.min(deadline.saturating_duration_since(Instant::now()));
    let mut given = Vec::new();
    let mut receipts = Vec::new();
    let outcome = OperationResult::ExportKey(Box::new(result.clone()));
    let outcome =
        audit::outcome(&judged.operation, Some(&asked.id), &judged.request.fingerprint(), &outcome)?;
    {
        let mut talk = Conversation::open(shared, proposal, members.clone(), None).await;
        let said = talk.shares(Instant::now() + within).await;
        for (peer, at) in &members {
            match said.get(at) {
                Some(Ok((sealed, receipt))) => {
                    given.push(*at);
                    result.shares.push(SealedShare {
                        party: party_name(&names, *at),
                        index: at.get(),
                        identity: Hex(peer.as_bytes().to_vec()),
                        sealed: Hex(sealed.clone()),
                    });
                    receipts.extend(
                        receipt.as_ref().and_then(|text| shared.accept_receipt(*peer, text, &outcome)),
                    );
                }
                Some(Err(problem)) => without.push(skip(at, problem.detail.clone(), Fault::Refused)),
                None => without.push(skip(at, "it did not answer in time".to_owned(), Fault::Silent)),
            }
        }
    }
    // EXP.5
    if !qualified(&given) {
        let left = "the key counts as exposed at the nodes that gave theirs; ";
        return Err(too_few(without, given.len().saturating_add(1), left));
    }
    result.shares.sort_by_key(|share| share.index);
    result.without = without;
    let fingerprint = judged.request.fingerprint();
    let result = OperationResult::ExportKey(Box::new(result));
    let (result, _) =
        shared.succeed(&judged.operation, Some(fingerprint), Some(&asked.id), result, receipts).await?;
    Ok(result)
}

//! Signing: what differs from other ceremonies.

mod batch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use quorate_api::{
    Code, DerivationPath, Figures, Hex, KeyId, OperationResult, Problem, SignBatchResult, SignItem,
    SignResult, SignatureResult, SignedItem, Skipped,
};
use quorate_intent::{Prepared, PublicKey, Signature, ToSign};
use quorate_net::PeerId;
use quorate_policy::facts::IntentFacts;
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::SessionId;

use super::{Attempt, Ceremony, Failure, Purpose, protocols};
use crate::access;
use crate::control::WireSignature;
use crate::governance::moment::Moment;
use crate::hook::Said;
use crate::judge::{Judged, ToBeSigned};
use crate::keys::OpenKey;
use crate::keys::moving::epoch_of;
use crate::shared::{Shared, party_name};
use crate::verify::verify;

/// A signing request that this node has checked against its own key record and its own reading of the intents.
pub(crate) struct Asked {
    pub(crate) key: OpenKey,
    /// What is signed; more than one thing of a batch only.
    pub(crate) items: Vec<Item>,
    /// Whether the answer is a list, be it of one.
    pub(crate) batch: bool,
    /// The quorum that the request names.
    pub(super) wanted: Option<Vec<PartyIndex>>,
    pub(super) names: BTreeMap<PartyIndex, String>,
    pub(crate) peers: BTreeMap<PartyIndex, PeerId>,
    /// With whom this node's set-up is burned.
    pub(crate) burned: BTreeSet<PartyIndex>,
    /// What the pre-sign hook of this node said, if there is one and it was asked.
    pub(crate) said: Option<Arc<Said>>,
    /// When this node decided that it may be signed, if that was all it needed.
    pub(crate) decided: Option<Moment>,
}

/// One of the things that are signed.
pub(crate) struct Item {
    /// Where below the key the one is that signs.
    pub(crate) path: DerivationPath,
    /// The public key there, which everything is about that is signed.
    pub(crate) public_key: PublicKey,
    pub(crate) prepared: Prepared,
}

impl Item {
    fn new(shared: &Shared, key: &OpenKey, wanted: &SignItem) -> Result<Self, Problem> {
        let purpose = wanted.intent.purpose();
        if !key.record.purposes.contains(&purpose) {
            let allowed: Vec<&str> = key.record.purposes.iter().map(|p| p.name()).collect();
            let detail =
                format!("this key may sign for {}, not for {purpose}: use another key", allowed.join(", "));
            return Err(Problem::new(Code::PurposeNotAllowed, detail));
        }
        // DERIVE.6  senders, addresses and inputs are those of the key that signs
        let path = wanted.path.clone().unwrap_or_default();
        let public_key = if path.is_root() {
            key.public_key.clone()
        } else {
            key.material.share.child(key.record.scheme, &path)?.public_key
        };
        let mut prepared = wanted
            .intent
            .prepare(&public_key, shared.config.chains.bitcoin)
            .map_err(|error| Problem::new(Code::IntentInvalid, error.to_string()))?;
        if !path.is_root() {
            // For those who must agree: the key that they know is not the one that signs.
            let which = format!("by the key at {path} below {}", key.id);
            prepared.summary.details.push(which);
        }
        Ok(Self { path, public_key, prepared })
    }

    /// What policies and the hook see of it.
    pub(crate) fn facts(&self) -> IntentFacts {
        IntentFacts::of(&self.prepared.facts, &self.prepared.summary)
    }

    /// What its signatures, which are as many as it has inputs, give.
    fn signed(&self, signatures: &[Signature]) -> Result<SignedItem, Problem> {
        let failed = |detail: String| Problem::new(Code::Internal, detail);
        let finished = self.prepared.finish(signatures).map_err(|error| failed(error.to_string()))?;
        let mut shown = Vec::with_capacity(signatures.len());
        for (index, (what, signature)) in self.prepared.inputs.iter().zip(signatures).enumerate() {
            let Some(public_key) = verify(&self.public_key, what, signature) else {
                tracing::error!("a joint signature does not verify");
                return Err(failed(
                    "the joint signature does not verify under the public key: report this as a bug"
                        .to_owned(),
                ));
            };
            let (digest, message) = match what {
                ToSign::Prehash(digest) => (Some(Hex(digest.to_vec())), self.prepared.message()),
                ToSign::Bip340 { message, .. } => (Some(Hex(message.clone())), self.prepared.message()),
                ToSign::Ed25519Message(message) => (None, Some(message.as_slice())),
            };
            shown.push(SignatureResult {
                input: self.prepared.input(index),
                public_key: Hex(public_key),
                digest,
                message: message.map(Hex::from),
                signature: Hex(signature.bytes.to_vec()),
                recovery_id: signature.recovery_id,
            });
        }
        Ok(SignedItem {
            path: (!self.path.is_root()).then(|| self.path.clone()),
            signatures: shown,
            raw_tx: finished.raw_tx.map(Hex),
            partial_tx: finished.partial_tx.map(Hex),
            txid: finished.txid,
            psbt: finished.psbt,
            ethereum_signature: finished.ethereum_signature.map(Hex),
            summary: self.prepared.summary.clone(),
        })
    }
}

/// For people: which part of a request a signature is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Of a batch.
    item: Option<usize>,
    /// Of a Bitcoin transaction.
    input: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.item, self.input) {
            (Some(item), Some(input)) => write!(f, "item {item} of the request, input {input}"),
            (Some(item), None) => write!(f, "item {item} of the request"),
            (None, Some(input)) => write!(f, "input {input} of the transaction"),
            (None, None) => f.write_str("the request"),
        }
    }
}

/// One signature of a request: which item, which input of it.
#[derive(Clone, Copy)]
pub(crate) struct Single<'a> {
    pub(crate) item: &'a Item,
    place: Place,
    index: u32,
    pub(crate) what: &'a ToSign,
}

impl Single<'_> {
    /// What is signed, and what is done to the key before.
    fn content(&self) -> (&[u8], &'static [u8]) {
        match self.what {
            ToSign::Prehash(digest) => (digest, b"none"),
            ToSign::Ed25519Message(message) => (message, b"none"),
            ToSign::Bip340 { message, taproot_tweak: false } => (message, b"none"),
            ToSign::Bip340 { message, taproot_tweak: true } => (message, b"key path"),
        }
    }
}

/// Checks the request for the node that coordinates it: key, purpose, intents.
pub(crate) async fn ask(
    shared: &Shared,
    key: &KeyId,
    sign: &ToBeSigned,
    coordinator: PeerId,
) -> Result<Asked, Problem> {
    let key = shared.open_key(key, coordinator).await?;
    let mut items = Vec::with_capacity(sign.items.len());
    for (at, wanted) in sign.items.iter().enumerate() {
        let item = Item::new(shared, &key, wanted);
        items.push(item.map_err(|problem| if sign.batch { of_item(at, problem) } else { problem })?);
    }
    batch::check(&items, sign.batch)?;
    let names = key.record.names();
    let peers = key.record.peers();
    let wanted = match &sign.quorum {
        None => None,
        Some(wanted) => {
            let index = |name: &String| {
                let found = names.iter().find(|(_, known)| *known == name).map(|(index, _)| *index);
                found.ok_or_else(|| {
                    Problem::new(Code::Unprocessable, format!("`{name}` holds no share of this key"))
                })
            };
            let mut wanted = wanted.iter().map(index).collect::<Result<Vec<_>, _>>()?;
            wanted.sort_unstable();
            if key.material.share.quorum(&wanted).is_none() {
                let who = access::named(key.material.share.access(), &names);
                let detail = format!(
                    "these nodes are no quorum in which nobody can be left out; who can sign is `{who}`"
                );
                return Err(Problem::new(Code::Unprocessable, detail));
            }
            Some(wanted)
        }
    };
    let burned = shared.burned(&key).await?;
    let batch = sign.batch;
    Ok(Asked { key, items, batch, wanted, names, peers, burned, said: None, decided: None })
}

/// A problem with one item of a batch, counted from 0.
fn of_item(at: usize, problem: Problem) -> Problem {
    Problem { detail: format!("item {at}: {}", problem.detail), ..problem }
}

impl Asked {
    pub(crate) fn me(&self) -> PartyIndex {
        self.key.material.share.index()
    }

    /// The epoch of the key that it was opened in.
    pub(crate) fn epoch(&self) -> u64 {
        epoch_of(self.key.revision)
    }

    /// The first of what is signed, which says what holds for all of it: purpose and chain.
    pub(crate) fn first(&self) -> Result<&Item, Problem> {
        self.items.first().ok_or_else(|| Problem::new(Code::Internal, "a request without anything to sign"))
    }

    /// A problem with one of the items.
    pub(crate) fn about(&self, at: usize, problem: Problem) -> Problem {
        if self.batch { of_item(at, problem) } else { problem }
    }

    /// All signatures that are needed, in order.
    pub(crate) fn singles(&self) -> Vec<Single<'_>> {
        let mut singles = Vec::with_capacity(self.items.len());
        for (at, item) in self.items.iter().enumerate() {
            let inputs = (0_u32..).zip(item.prepared.inputs.iter().enumerate());
            singles.extend(inputs.map(|(index, (nth, what))| {
                let place = Place { item: self.batch.then_some(at), input: item.prepared.input(nth) };
                Single { item, place, index, what }
            }));
        }
        singles
    }

    pub(crate) fn name(&self, party: PartyIndex) -> String {
        party_name(&self.names, party)
    }

    /// Checks the parties that a coordinator chose.
    pub(crate) fn quorum(&self, parties: &[PartyIndex]) -> Result<Committee, Problem> {
        let committee = self.key.material.share.quorum(parties);
        let committee = committee.ok_or_else(|| {
            Problem::new(Code::Unprocessable, "the proposed parties are no minimal quorum of this key")
        })?;
        let indices: Vec<PartyIndex> = committee.indices().collect();
        if self.wanted.as_ref().is_some_and(|wanted| *wanted != indices) {
            return Err(Problem::new(Code::Unprocessable, "the request names another quorum"));
        }
        Ok(committee)
    }

    /// The name of the session that makes one signature: binds all that the parties must agree on.
    fn session(
        &self,
        committee: &Committee,
        judged: &Judged,
        attempt: &Attempt,
        one: Single<'_>,
    ) -> SessionId {
        let (content, tweak) = one.content();
        let path = one.item.path.to_string();
        let bindings: [(&'static str, &[u8]); 9] = [
            ("request", &judged.request.request_hash()),
            ("coordinator", attempt.coordinator.as_bytes()),
            ("attempt", &attempt.number.to_le_bytes()),
            ("nonce", &attempt.ceremony),
            ("input", &one.index.to_le_bytes()),
            ("content", content),
            ("tweak", tweak),
            // DERIVE.7  parties that were told different paths never meet
            ("path", path.as_bytes()),
            ("public key", one.item.public_key.bytes()),
        ];
        let protocol = protocols::sign_protocol(self.key.record.scheme);
        self.key.material.share.session_id(protocol, committee, &bindings)
    }

    /// Whether the signatures are what was asked for.
    fn check(&self, signatures: &[Signature]) -> bool {
        let singles = self.singles();
        signatures.len() == singles.len()
            && singles
                .iter()
                .zip(signatures)
                .all(|(one, signature)| verify(&one.item.public_key, one.what, signature).is_some())
    }

    /// Signatures of another node, if they are what was asked for.
    pub(super) fn accept(&self, signatures: &[WireSignature]) -> Option<Vec<Signature>> {
        let signatures: Vec<Signature> =
            signatures.iter().map(|s| Signature { bytes: s.bytes, recovery_id: s.recovery_id }).collect();
        self.check(&signatures).then_some(signatures)
    }

    /// The answer to the request, with signatures that are verified here: nothing is stored or answered that did not come out of this.
    pub(crate) fn result(
        &self,
        signatures: &[Signature],
        quorum: Vec<String>,
        skipped: Vec<Skipped>,
        figures: Figures,
    ) -> Result<OperationResult, Problem> {
        let (key, scheme) = (self.key.id.clone(), self.key.record.scheme);
        let mut rest = signatures;
        let mut items = Vec::with_capacity(self.items.len());
        for item in &self.items {
            let (own, others) = rest.split_at_checked(item.prepared.inputs.len()).unwrap_or((rest, &[]));
            items.push(item.signed(own)?);
            rest = others;
        }
        if self.batch {
            let result = SignBatchResult { key, scheme, items, quorum, skipped, figures };
            return Ok(OperationResult::SignBatch(Box::new(result)));
        }
        let none = || Problem::new(Code::Internal, "a request without anything to sign");
        let one = items.pop().ok_or_else(none)?;
        Ok(OperationResult::Sign(Box::new(SignResult {
            key,
            path: one.path,
            scheme,
            signatures: one.signatures,
            raw_tx: one.raw_tx,
            partial_tx: one.partial_tx,
            txid: one.txid,
            psbt: one.psbt,
            ethereum_signature: one.ethereum_signature,
            summary: one.summary,
            quorum,
            skipped,
            figures,
        })))
    }

    /// What a session may change that multiplies so often with each peer.
    pub(crate) fn purpose(&self, ceremony: &Ceremony<'_>, calls: usize) -> Result<Purpose, Problem> {
        let (key, revision, peers) = (self.key.id.clone(), self.key.revision, self.peers.clone());
        let material = Arc::clone(&self.key.material);
        let pass = ceremony.shared.gates.enter(&key, revision)?;
        let calls = u64::try_from(calls).unwrap_or(u64::MAX);
        Ok(Purpose::Use { key, revision, peers, material, calls, _pass: pass })
    }
}

/// Runs the sessions of one attempt: one for one signature, and for many as few as their messages allow. What they give is verified by
/// [`Asked::result`], without which nothing of it goes anywhere.
#[tracing::instrument(name = "ceremony", skip_all, fields(operation = %judged.operation, attempt = attempt.number, coordinator = %attempt.coordinator))]
pub(crate) async fn run(
    asked: &Asked,
    judged: &Judged,
    attempt: &Attempt,
    ceremony: &mut Ceremony<'_>,
) -> Result<Vec<Signature>, Failure> {
    let singles = asked.singles();
    // CER.8a
    match singles.as_slice() {
        [one] => {
            // The share of a child lives as long as its session.
            let path = &one.item.path;
            let child = if path.is_root() {
                None
            } else {
                Some(Arc::new(asked.key.material.share.below(path).map_err(Failure::local)?))
            };
            let session = asked.session(&ceremony.committee, judged, attempt, *one);
            let purpose = asked.purpose(ceremony, 1).map_err(Failure::local)?;
            let signed =
                protocols::sign(&asked.key, child.as_ref(), one.what, session, ceremony, purpose).await?;
            Ok(vec![signed])
        }
        many => batch::run(asked, many, judged, attempt, ceremony).await,
    }
}

/// A signature on its way to another node.
pub(crate) fn to_wire(signatures: &[Signature]) -> Vec<WireSignature> {
    signatures.iter().map(|s| WireSignature { bytes: s.bytes, recovery_id: s.recovery_id }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_that_of_the_request() {
        let shown = |item, input| Place { item, input }.to_string();
        assert_eq!(shown(Some(30), None), "item 30 of the request");
        assert_eq!(shown(Some(30), Some(2)), "item 30 of the request, input 2");
        assert_eq!(shown(None, Some(2)), "input 2 of the transaction");
        assert_eq!(shown(None, None), "the request");
    }
}

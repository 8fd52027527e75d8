//! Signing: what differs from other ceremonies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_api::{
    Code, DerivationPath, Figures, Hex, KeyId, OperationResult, Problem, Sign, SignResult, SignatureResult,
    Skipped,
};
use quorate_intent::{Prepared, PublicKey, Signature, ToSign};
use quorate_net::PeerId;
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::SessionId;

use super::{Attempt, Ceremony, Failure, Purpose, protocols};
use crate::access;
use crate::control::WireSignature;
use crate::governance::moment::Moment;
use crate::judge::Judged;
use crate::keys::OpenKey;
use crate::keys::moving::epoch_of;
use crate::presign::Said;
use crate::shared::{Shared, party_name};
use crate::verify::verify;

/// A signing request that this node has checked against its own key record and its own reading of the intent.
pub(crate) struct Asked {
    pub(crate) key: OpenKey,
    /// Where below the key the one is that signs.
    pub(crate) path: DerivationPath,
    /// The public key there, which everything is about that is signed.
    pub(crate) public_key: PublicKey,
    pub(crate) prepared: Prepared,
    /// The quorum that the request names.
    pub(super) wanted: Option<Vec<PartyIndex>>,
    pub(super) names: BTreeMap<PartyIndex, String>,
    pub(super) peers: BTreeMap<PartyIndex, PeerId>,
    /// With whom this node's set-up is burned.
    pub(crate) burned: BTreeSet<PartyIndex>,
    /// What the pre-sign hook of this node said, if there is one and it was asked.
    pub(crate) said: Option<Arc<Said>>,
    /// When this node decided that it may be signed, if that was all it needed.
    pub(crate) decided: Option<Moment>,
}

/// Checks the request for the node that coordinates it: key, purpose, intent.
pub(crate) async fn ask(
    shared: &Shared,
    key: &KeyId,
    sign: &Sign,
    coordinator: PeerId,
) -> Result<Asked, Problem> {
    let key = shared.open_key(key, coordinator).await?;
    let purpose = sign.intent.purpose();
    if !key.record.purposes.contains(&purpose) {
        let allowed: Vec<&str> = key.record.purposes.iter().map(|p| p.name()).collect();
        let detail =
            format!("this key may sign for {}, not for {purpose}: use another key", allowed.join(", "));
        return Err(Problem::new(Code::PurposeNotAllowed, detail));
    }
    // DERIVE.6  senders, addresses and inputs are those of the key that signs
    let path = sign.path.clone().unwrap_or_default();
    let public_key = if path.is_root() {
        key.public_key.clone()
    } else {
        key.material.share.child(key.record.scheme, &path)?.public_key
    };
    let mut prepared = sign
        .intent
        .prepare(&public_key, shared.config.chains.bitcoin)
        .map_err(|error| Problem::new(Code::IntentInvalid, error.to_string()))?;
    if !path.is_root() {
        // For those who must agree: the key that they know is not the one that signs.
        let which = format!("by the key at {path} below {}", key.id);
        prepared.summary.details.push(which);
    }
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
    let burned = key.material.setup.burned();
    Ok(Asked { key, path, public_key, prepared, wanted, names, peers, burned, said: None, decided: None })
}

impl Asked {
    pub(crate) fn me(&self) -> PartyIndex {
        self.key.material.share.index()
    }

    /// The epoch of the key that it was opened in.
    pub(crate) fn epoch(&self) -> u64 {
        epoch_of(self.key.revision)
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

    /// The name of the session that signs one input: binds all that the parties must agree on.
    fn session(
        &self,
        committee: &Committee,
        judged: &Judged,
        attempt: &Attempt,
        index: u32,
        what: &ToSign,
    ) -> SessionId {
        let (content, tweak): (&[u8], &[u8]) = match what {
            ToSign::Prehash(digest) => (digest, b"none"),
            ToSign::Ed25519Message(message) => (message, b"none"),
            ToSign::Bip340 { message, taproot_tweak: false } => (message, b"none"),
            ToSign::Bip340 { message, taproot_tweak: true } => (message, b"key path"),
        };
        let path = self.path.to_string();
        let bindings: [(&'static str, &[u8]); 9] = [
            ("request", &judged.request.request_hash()),
            ("coordinator", attempt.coordinator.as_bytes()),
            ("attempt", &attempt.number.to_le_bytes()),
            ("nonce", &attempt.ceremony),
            ("input", &index.to_le_bytes()),
            ("content", content),
            ("tweak", tweak),
            // DERIVE.7  parties that were told different paths never meet
            ("path", path.as_bytes()),
            ("public key", self.public_key.bytes()),
        ];
        let protocol = protocols::sign_protocol(self.key.record.scheme);
        self.key.material.share.session_id(protocol, committee, &bindings)
    }

    /// Whether the signatures are what was asked for.
    fn check(&self, signatures: &[Signature]) -> bool {
        let inputs = &self.prepared.inputs;
        signatures.len() == inputs.len()
            && inputs
                .iter()
                .zip(signatures)
                .all(|(what, signature)| verify(&self.public_key, what, signature).is_some())
    }

    /// Signatures of another node, if they are what was asked for.
    pub(super) fn accept(&self, signatures: &[WireSignature]) -> Option<Vec<Signature>> {
        let signatures: Vec<Signature> =
            signatures.iter().map(|s| Signature { bytes: s.bytes, recovery_id: s.recovery_id }).collect();
        self.check(&signatures).then_some(signatures)
    }

    /// The answer to the request.
    pub(crate) fn result(
        &self,
        signatures: &[Signature],
        quorum: Vec<String>,
        skipped: Vec<Skipped>,
        figures: Figures,
    ) -> Result<OperationResult, Problem> {
        let failed = |detail: String| Problem::new(Code::Internal, detail);
        let finished = self.prepared.finish(signatures).map_err(|error| failed(error.to_string()))?;
        let mut shown = Vec::with_capacity(signatures.len());
        for (index, (what, signature)) in self.prepared.inputs.iter().zip(signatures).enumerate() {
            let public_key = verify(&self.public_key, what, signature)
                .ok_or_else(|| failed("the joint signature does not verify".to_owned()))?;
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
        Ok(OperationResult::Sign(Box::new(SignResult {
            key: self.key.id.clone(),
            path: (!self.path.is_root()).then(|| self.path.clone()),
            scheme: self.key.record.scheme,
            signatures: shown,
            raw_tx: finished.raw_tx.map(Hex),
            partial_tx: finished.partial_tx.map(Hex),
            txid: finished.txid,
            psbt: finished.psbt,
            ethereum_signature: finished.ethereum_signature.map(Hex),
            summary: self.prepared.summary.clone(),
            quorum,
            skipped,
            figures,
        })))
    }
}

/// Runs the sessions of one attempt, input by input.
#[tracing::instrument(name = "ceremony", skip_all, fields(operation = %judged.operation, attempt = attempt.number, coordinator = %attempt.coordinator))]
pub(crate) async fn run(
    asked: &Asked,
    judged: &Judged,
    attempt: &Attempt,
    ceremony: &mut Ceremony<'_>,
) -> Result<Vec<Signature>, Failure> {
    let mut signatures = Vec::with_capacity(asked.prepared.inputs.len());
    // The share of a child lives as long as its sessions.
    let child = if asked.path.is_root() {
        None
    } else {
        Some(Arc::new(asked.key.material.share.below(&asked.path).map_err(Failure::local)?))
    };
    for (index, what) in (0_u32..).zip(&asked.prepared.inputs) {
        let session = asked.session(&ceremony.committee, judged, attempt, index, what);
        let (key, revision, peers) = (asked.key.id.clone(), asked.key.revision, asked.peers.clone());
        let material = Arc::clone(&asked.key.material);
        let pass = ceremony.shared.gates.enter(&key, revision).map_err(Failure::local)?;
        let purpose = Purpose::Use { key, revision, peers, material, _pass: pass };
        let signature = protocols::sign(&asked.key, child.as_ref(), what, session, ceremony, purpose).await?;
        if verify(&asked.public_key, what, &signature).is_none() {
            tracing::error!(operation = %judged.operation, "the joint signature does not verify");
            let detail = "the joint signature does not verify under the public key: report this as a bug";
            return Err(Failure::local(Problem::new(Code::Internal, detail)));
        }
        signatures.push(signature);
    }
    Ok(signatures)
}

/// A signature on its way to another node.
pub(crate) fn to_wire(signatures: &[Signature]) -> Vec<WireSignature> {
    signatures.iter().map(|s| WireSignature { bytes: s.bytes, recovery_id: s.recovery_id }).collect()
}

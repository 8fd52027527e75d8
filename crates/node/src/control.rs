//! What nodes say to each other outside of sessions. The channel proves who speaks; every field is checked again by
//! whoever acts on it.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::{Code, OperationResult, Problem, SignatureResult};
use quorate_protocol::party::{IdentityKey, PartyIndex};

use crate::backup::others::KnownEpoch;
use crate::ceremony::moving::{Carried, Told};
use crate::keys::moving::Statement;
use crate::source::WireSource;
use crate::trace::Traced;

/// Every message says which client request it is for, if it is for one: see [`Traced`].
const VERSION: u8 = 4;
/// Longest text of a refusal that is kept, in characters.
const MAX_DETAIL: usize = 600;

/// Names one attempt of one operation: drawn at random by the coordinator, so no two attempts share a session.
pub(crate) type CeremonyId = [u8; 32];

/// A control message.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Control {
    /// Coordinator to member: take part in this.
    Propose(Box<Proposal>),
    /// Member to coordinator.
    Answer { ceremony: CeremonyId, answer: Answer },
    /// Member to coordinator: how its part ended.
    Ended { ceremony: CeremonyId, outcome: Outcome },
    /// Coordinator to member: this attempt is over.
    Cancel { ceremony: CeremonyId },
    /// Coordinator to member: every party holds its share of the new key, use it.
    Activate { ceremony: CeremonyId },
    /// Coordinator to the parties of the key that it does not ask to take part: do you know this operation? Without it a
    /// quorum that shares no member with an earlier one would sign again what was signed before.
    Recall { ceremony: CeremonyId, operation: String, fingerprint: [u8; 32] },
    /// The answer to it.
    Recalled { ceremony: CeremonyId, known: Known },
    /// A request about what the sender does not hold.
    Relay { ticket: Ticket, request: Vec<u8>, source: Option<WireSource> },
    /// The answer to it: HTTP status and JSON.
    Relayed { ticket: Ticket, status: u16, body: Vec<u8> },
    /// The head of the sender's log, with the proof that it continues what the receiver saw: an offer of tlog-witness.
    Offer { offer: String },
    /// The offered head with the sender's cosignature.
    Cosigned { head: String },
    /// The sender saw this much of the receiver's log: the proof must begin there.
    Seen { size: u64 },
    /// News of a request that waits for people.
    Case(Case),
    /// All that waits for people at the sender, for a peer that was not there.
    Cases(Vec<Case>),
    /// How a case ended at the node that the client asked; a hint for people.
    Closed { operation: String, how: String },
    /// The sender's directory, and what names the freezes that it knows.
    Directory { version: u64, head: [u8; 32], freezes: [u8; 32] },
    /// The sender wants the changes after this version, and all freezes.
    Behind { version: u64 },
    /// Changes of the directory, one after the other, each with what makes it valid.
    Changes { entries: Vec<Vec<u8>> },
    /// A freeze: the signed request for it.
    Freeze { request: Vec<u8> },
    /// Do you have a receipt for the outcome of this operation?
    Prove { ticket: Ticket, operation: String },
    /// The answer to it: a receipt as text, if there is one.
    Proven { ticket: Ticket, receipt: Option<String> },
    /// The sender's list of orders about keys goes so far.
    OrdersUpTo { newest: u64 },
    /// The sender wants the orders after this place of the receiver's list.
    OrdersAfter { place: u64 },
    /// Orders that the sender carried out, up to this place of its list.
    Orders { orders: Vec<TakenOrder>, upto: u64 },
    /// Coordinator to member: every party has its part of the key's next epoch, which is this package; stand down.
    StandDown { ceremony: CeremonyId, package: Vec<u8> },
    /// What do you know of the epoch of this name, which follows this epoch of the key?
    Successor { key: String, epoch: u64, name: [u8; 32] },
    /// The answer to it.
    Told { key: String, name: [u8; 32], told: Told },
    /// The key is in its next epoch: a proof of it.
    InForce { key: String, proof: Vec<u8> },
    /// What is your sealing key?
    TellSealingKey { ticket: Ticket },
    /// The answer to it, with the signature of the sender's identity.
    SealingKey { ticket: Ticket, key: Vec<u8>, signature: [u8; 64] },
    /// What do you hold of this key, restored or in use?
    TellRestored { ticket: Ticket, key: String },
    /// The answer to it.
    Restored { ticket: Ticket, held: Option<HeldRestored> },
    /// What do you know of the epochs of these keys? Their names are those of their birth.
    TellEpochs { ticket: Ticket, keys: Vec<[u8; 32]> },
    /// The answer to it, about those that the sender knows.
    Epochs { ticket: Ticket, known: Vec<KnownEpoch> },
    /// The head of the receiver's log that the sender saw, which what the receiver offers contradicts.
    SeenHead { head: String },
    /// Coordinator to member: what every party of the quorum said when it accepted to sign with presignatures, in their order. Sign.
    Go { ceremony: CeremonyId, fresh: Vec<[u8; 32]> },
    /// Proofs that nodes cheated, which the sender keeps.
    Proofs { proofs: Vec<Misdeed> },
    /// Names of proofs that the sender has seen: they need not be handed to it again.
    ProofsSeen { proofs: Vec<[u8; 32]> },
}

/// That a node cheated, and what proves it to anybody.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Misdeed {
    /// The identity of the node.
    pub(crate) peer: [u8; 32],
    /// What it is proven to have done.
    pub(crate) kind: String,
    /// The session in which it did so.
    pub(crate) session: [u8; 32],
    /// As which party.
    pub(crate) party: u64,
    /// What proves it.
    pub(crate) evidence: Vec<u8>,
}

/// What the sender holds of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct HeldRestored {
    pub(crate) epoch: u64,
    /// Whose restored share it has; none of one that has a share in use, or knows how far the key went without it.
    pub(crate) party: Option<PartyIndex>,
    /// What it knows of the key's state.
    pub(crate) carried: Carried,
}

/// A request that waits for people, and what they said: signed requests all.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Case {
    pub(crate) request: Vec<u8>,
    pub(crate) rulings: Vec<Vec<u8>>,
    /// Where it came from, as the sender says.
    pub(crate) source: Option<WireSource>,
}

impl Case {
    /// Its bytes in a message, about.
    pub(crate) fn len(&self) -> usize {
        self.rulings.iter().fold(self.request.len(), |sum, ruling| sum.saturating_add(ruling.len()))
    }
}

/// An order about a key that the sender carried out.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct TakenOrder {
    /// The signed request.
    pub(crate) request: Vec<u8>,
    /// That the sender logged that it did.
    pub(crate) receipt: Option<String>,
}

/// Most bytes of what one message carries of many things; a single larger one goes alone.
pub(crate) const BUNDLE: usize = 256 * 1024;

/// Names one question.
pub(crate) type Ticket = [u8; 16];

/// What a node knows of an operation.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Known {
    /// Nothing that matters.
    Nothing,
    /// It takes part in an attempt of it now.
    Running,
    /// Its result.
    Done(Done),
    /// Another request under the same idempotency key: its bytes, as the client signed them.
    Another(Vec<u8>),
}

/// One attempt of one operation.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Proposal {
    pub(crate) ceremony: CeremonyId,
    /// Counts the attempts of the operation, from 1.
    pub(crate) attempt: u32,
    /// The signed request, exactly as the client signed it.
    pub(crate) request: Vec<u8>,
    /// What people said about it, as they signed it.
    pub(crate) rulings: Vec<Vec<u8>>,
    /// Where the request came from, as the coordinator says.
    pub(crate) source: Option<WireSource>,
    pub(crate) work: Work,
}

/// What the coordinator chose; everything else follows from the request.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Work {
    /// Create a key among these.
    Create { members: Vec<Member> },
    /// Sign with these parties of the key in its epoch.
    Sign { quorum: Vec<PartyIndex>, epoch: u64 },
    /// Move the key, whose record at the coordinator is this, with these dealers.
    Move { record: Vec<u8>, dealers: Vec<PartyIndex>, carried: Carried },
    /// The same by schedule: there is no request.
    Refresh { key: String, epoch: u64, record: Vec<u8>, dealers: Vec<PartyIndex>, carried: Carried },
    /// Carry out the order of the request.
    Act,
    /// Move the key to its next epoch with these dealers, some of which hold restored shares: the nodes that do, by party.
    Restore {
        record: Vec<u8>,
        dealers: Vec<PartyIndex>,
        carried: Carried,
        holders: Vec<(PartyIndex, [u8; 32])>,
    },
    /// Make presignatures of the key in its epoch with these parties. There is no request. Of those made before the sender has these left.
    Presign { key: String, quorum: Vec<PartyIndex>, epoch: u64, count: u16, left: Vec<[u8; 32]> },
    /// Sign with these parties and presignatures, one for each input. They are the sender's.
    Spend { quorum: Vec<PartyIndex>, epoch: u64, presignatures: Vec<[u8; 32]> },
}

/// A party of a key that is to be.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Member {
    pub(crate) index: PartyIndex,
    pub(crate) name: String,
    pub(crate) identity: IdentityKey,
}

/// What a member says to a proposal.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Answer {
    Accept,
    Refuse(Refusal),
    /// The operation was done before.
    Done(Done),
    /// It asks its pre-sign hook first, and answers again.
    Asking,
    /// It signs with the presignatures that were named, once it hears what all said: these are its bytes.
    Ready {
        fresh: [u8; 32],
    },
    /// It does not have them.
    Spent,
}

/// Why not, as code and text.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Refusal {
    code: String,
    detail: String,
    /// The other end of a burned pair, if that is why.
    pub(crate) burned: Option<PartyIndex>,
}

impl Refusal {
    pub(crate) fn new(problem: &Problem, burned: Option<PartyIndex>) -> Self {
        Self { code: problem.code.as_str().to_owned(), detail: problem.detail.clone(), burned }
    }

    /// The refusal as a problem: an unknown code or a text that is too long is cut down to what this node knows.
    pub(crate) fn problem(&self) -> Problem {
        let code = Code::ALL.iter().copied().find(|code| code.as_str() == self.code);
        let detail: String = self.detail.chars().filter(|c| !c.is_control()).take(MAX_DETAIL).collect();
        Problem::new(code.unwrap_or(Code::CeremonyAborted), detail)
    }
}

/// The stored result of a member, enough to be checked by anyone who has the request.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Done {
    /// These signatures, made by these parties.
    Signed { signatures: Vec<WireSignature>, quorum: Vec<String> },
    /// This key.
    Created { key: String },
    /// The order is carried out.
    Acted,
    /// This share of a key that is exported.
    Exported { sealed: Vec<u8> },
}

impl Done {
    /// The stored result as another node can check it; `None` for what no ceremony gives.
    pub(crate) fn of(result: OperationResult) -> Option<Self> {
        match result {
            OperationResult::Sign(result) => {
                let signatures = result.signatures.iter().filter_map(WireSignature::of).collect();
                Some(Self::Signed { signatures, quorum: result.quorum })
            }
            OperationResult::SignBatch(result) => {
                let all = result.items.iter().flat_map(|item| &item.signatures);
                let signatures = all.filter_map(WireSignature::of).collect();
                Some(Self::Signed { signatures, quorum: result.quorum })
            }
            OperationResult::CreateKey { key, .. } => Some(Self::Created { key: key.id.to_string() }),
            OperationResult::KeyState(_) | OperationResult::Moved(_) => Some(Self::Acted),
            // A member has its own alone.
            OperationResult::ExportKey(result) => match result.shares.as_slice() {
                [own] => Some(Self::Exported { sealed: own.sealed.0.clone() }),
                _ => None,
            },
            OperationResult::ChangeDirectory { .. } | OperationResult::BackUp(_) => None,
        }
    }
}

/// How a member's part ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Outcome {
    Signed {
        signatures: Vec<WireSignature>,
        /// That the member logged it.
        receipt: Option<String>,
    },
    Created {
        public_key: Vec<u8>,
    },
    /// The new key is in use here.
    Active,
    Failed(Refusal),
    /// The order is carried out; that it was logged.
    Acted {
        receipt: Option<String>,
    },
    /// Its part of the key's next epoch is durable; without a name if it has none.
    Prepared {
        epoch: Option<[u8; 32]>,
    },
    /// It has stood down.
    StoodDown {
        statement: Statement,
    },
    /// The member's share of a key that is exported; that it was logged.
    Exported {
        sealed: Vec<u8>,
        receipt: Option<String>,
    },
    /// It keeps its parts of what was made.
    Kept,
}

/// A signature; the receiver verifies it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct WireSignature {
    pub(crate) bytes: [u8; 64],
    pub(crate) recovery_id: Option<u8>,
}

impl WireSignature {
    fn of(shown: &SignatureResult) -> Option<Self> {
        let bytes: [u8; 64] = shown.signature.0.as_slice().try_into().ok()?;
        Some(Self { bytes, recovery_id: shown.recovery_id })
    }
}

impl Control {
    /// Whether it asks for work, and does not only answer or end what is under way.
    pub(crate) const fn asks(&self) -> bool {
        !matches!(
            self,
            Self::Answer { .. }
                | Self::Ended { .. }
                | Self::Cancel { .. }
                | Self::Activate { .. }
                | Self::Recalled { .. }
                | Self::Relayed { .. }
                | Self::Proven { .. }
                | Self::StandDown { .. }
                | Self::Go { .. }
                | Self::Told { .. }
                | Self::InForce { .. }
                | Self::SealingKey { .. }
                | Self::Restored { .. }
                | Self::Epochs { .. }
                | Self::ProofsSeen { .. }
        )
    }

    pub(crate) fn encode(&self, traced: Option<Traced>) -> Vec<u8> {
        let mut out = vec![VERSION];
        // Writing into a vector does not fail.
        out.extend_from_slice(&borsh::to_vec(&(traced, self)).unwrap_or_default());
        out
    }

    /// `None` for anything but the bytes of a message of this version. A request id that no node would give is left out.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Option<Traced>, Self)> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (traced, message): (Option<Traced>, Self) = borsh::from_slice(rest).ok()?;
        Some((traced.filter(Traced::is_valid), message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_comes_along_and_only_a_plain_short_one_is_believed() {
        let message = Control::Seen { size: 7 };
        let sent = |request: &str| {
            let traced = Traced { request: request.to_owned(), parent: None };
            Control::decode(&message.encode(Some(traced)))
        };
        let (traced, same) = sent("req_00ff.x-1").unwrap();
        assert_eq!((traced.unwrap().request.as_str(), same), ("req_00ff.x-1", message.clone()));
        for bad in ["", "a b", "a\nforged line", &"x".repeat(65), &"x".repeat(100_000)] {
            let (traced, same) = sent(bad).unwrap();
            assert_eq!((traced, same), (None, message.clone()), "{bad:?}");
        }
        assert_eq!(Control::decode(&message.encode(None)), Some((None, message.clone())));
        // Another version, and a byte too many.
        let mut bytes = message.encode(None);
        bytes.push(0);
        assert_eq!(Control::decode(&bytes), None);
        bytes.pop();
        bytes[0] = 1;
        assert_eq!(Control::decode(&bytes), None);
    }
}

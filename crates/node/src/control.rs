//! What nodes say to each other outside of sessions. The channel proves who speaks; every field is checked again by
//! whoever acts on it.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::{Code, Problem};
use quorate_protocol::party::{IdentityKey, PartyIndex};

const VERSION: u8 = 1;
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
}

/// One attempt of one operation.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Proposal {
    pub(crate) ceremony: CeremonyId,
    /// Counts the attempts of the operation, from 1.
    pub(crate) attempt: u32,
    /// The signed request, exactly as the client signed it.
    pub(crate) request: Vec<u8>,
    pub(crate) work: Work,
}

/// What the coordinator chose; everything else follows from the request.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Work {
    /// Create a key among these.
    Create { members: Vec<Member> },
    /// Sign with these parties of the key.
    Sign { quorum: Vec<PartyIndex> },
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
}

/// How a member's part ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Outcome {
    Signed {
        signatures: Vec<WireSignature>,
    },
    Created {
        public_key: Vec<u8>,
    },
    /// The new key is in use here.
    Active,
    Failed(Refusal),
}

/// A signature; the receiver verifies it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct WireSignature {
    pub(crate) bytes: [u8; 64],
    pub(crate) recovery_id: Option<u8>,
}

impl Control {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        // Writing into a vector does not fail.
        out.extend_from_slice(&borsh::to_vec(self).unwrap_or_default());
        out
    }

    /// `None` for anything but the bytes of a message of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        borsh::from_slice(rest).ok()
    }
}

//! Signing: what is asked and what comes out.

use std::fmt;

use crate::derive::DerivationPath;
use crate::id::{Hex, KeyId};
use crate::{bounded, schema};
use quorate_intent::{Intent, Scheme, Summary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /v1/keys/{key}/sign`. Every node of the quorum computes what is signed from the
/// intent itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// What to sign.
    #[schema(value_type = schema::Intent)]
    pub intent: Intent,
    /// Where below the key the one is that signs, such as `m/0/7`; the key itself if absent. No number may be hardened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Path>)]
    pub path: Option<DerivationPath>,
    /// The nodes that shall sign; chosen among the connected ones if absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::node_names")]
    #[schema(min_items = 1, max_items = 64, value_type = Option<Vec<schema::NodeName>>)]
    pub quorum: Option<Vec<String>>,
}

/// Most things that one request can have signed.
pub const MAX_BATCH: usize = 256;

/// Body of `POST /v1/keys/{key}/sign-batch`: many things that are signed together, all or none. All are for one purpose and one chain,
/// and need at most 256 signatures.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignBatch {
    /// What to sign; the results come in this order. The same thing may stand here more than once.
    #[serde(deserialize_with = "bounded::items")]
    #[schema(min_items = 1, max_items = 256)]
    pub items: Vec<SignItem>,
    /// The nodes that shall sign; chosen among the connected ones if absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::node_names")]
    #[schema(min_items = 1, max_items = 64, value_type = Option<Vec<schema::NodeName>>)]
    pub quorum: Option<Vec<String>>,
}

/// One of the things to sign.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignItem {
    /// What to sign.
    #[schema(value_type = schema::Intent)]
    pub intent: Intent,
    /// Where below the key the one is that signs, such as `m/0/7`; the key itself if absent. No number may be hardened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Path>)]
    pub path: Option<DerivationPath>,
}

/// What signing many things gave.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignBatchResult {
    /// The key that signed.
    pub key: KeyId,
    /// Its scheme.
    #[schema(value_type = schema::Scheme)]
    pub scheme: Scheme,
    /// What each item of the request gave, in their order.
    pub items: Vec<SignedItem>,
    /// The nodes that signed.
    pub quorum: Vec<String>,
    /// The nodes that were asked and did not take part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// What it cost, all together.
    pub figures: Figures,
}

/// What one item gave: as [`SignResult`], without what all items share.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignedItem {
    /// Where below the key the one is that signed; absent if it signed itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Path>)]
    pub path: Option<DerivationPath>,
    /// One signature, or one for each input of a Bitcoin transaction.
    pub signatures: Vec<SignatureResult>,
    /// The signed transaction in the form its network takes, if the intent was a transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_tx: Option<Hex>,
    /// A Solana transaction with this key's signature, if others must still sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_tx: Option<Hex>,
    /// The transaction's identifier as its network writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txid: Option<String>,
    /// The PSBT with the signatures in it, in base64, if others must still sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psbt: Option<String>,
    /// `r ‖ s ‖ v` with `v` 27 or 28, as wallets take it, for Ethereum messages and typed data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ethereum_signature: Option<Hex>,
    /// What was signed, in words.
    #[schema(value_type = schema::Summary)]
    pub summary: Summary,
}

/// What signing gave: signatures, and the finished transaction where there is one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignResult {
    /// The key that signed.
    pub key: KeyId,
    /// Where below the key the one is that signed; absent if it signed itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Path>)]
    pub path: Option<DerivationPath>,
    /// Its scheme.
    #[schema(value_type = schema::Scheme)]
    pub scheme: Scheme,
    /// One signature, or one for each input of a Bitcoin transaction.
    pub signatures: Vec<SignatureResult>,
    /// The signed transaction in the form its network takes, if the intent was a transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_tx: Option<Hex>,
    /// A Solana transaction with this key's signature, if others must still sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_tx: Option<Hex>,
    /// The transaction's identifier as its network writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txid: Option<String>,
    /// The PSBT with the signatures in it, in base64, if others must still sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psbt: Option<String>,
    /// `r ‖ s ‖ v` with `v` 27 or 28, as wallets take it, for Ethereum messages and typed data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ethereum_signature: Option<Hex>,
    /// What was signed, in words.
    #[schema(value_type = schema::Summary)]
    pub summary: Summary,
    /// The nodes that signed.
    pub quorum: Vec<String>,
    /// The nodes that were asked and did not take part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// What it cost.
    pub figures: Figures,
}

/// One signature and what it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignatureResult {
    /// The input of the Bitcoin transaction that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u32>,
    /// The public key under which it verifies: the key's own, that at the path, or for a Taproot spend the tweaked x-only output key.
    pub public_key: Hex,
    /// The 32-byte digest that was signed, where the scheme signs a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Hex>,
    /// The bytes that were signed, where the scheme signs bytes (Ed25519), or the message behind the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Hex>,
    /// The signature: `r ‖ s` for ECDSA (low `s`), `R ‖ s` for Ed25519 and BIP-340; 64 bytes.
    pub signature: Hex,
    /// The recovery id of an ECDSA signature over secp256k1, 0 or 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_id: Option<u8>,
}

/// A node that did not take part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Skipped {
    /// Its name.
    pub party: String,
    /// Why, for people.
    pub reason: String,
    /// Why, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The name of the proof of it that this node keeps, in hexadecimal, if there is one that convinces others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

impl Skipped {
    /// A node that did not take part, and why, for people.
    #[must_use]
    pub const fn new(party: String, reason: String) -> Self {
        Self { party, reason, fault: None, evidence: None }
    }

    /// The same, with why for programs.
    #[must_use]
    pub const fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.party)?;
        if let Some(fault) = self.fault {
            write!(f, " ({fault})")?;
        }
        write!(f, ": {}", self.reason)?;
        if let Some(evidence) = &self.evidence {
            write!(f, "; proof {evidence}")?;
        }
        Ok(())
    }
}

/// Why a node did not take part, as far as whoever coordinated could know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It is not connected.
    Absent,
    /// It did not say what it owed within the time of an answer or an attempt, restarted, or lost its connection.
    Silent,
    /// It took longer than such attempts take, and others could sign without it.
    Slow,
    /// It does not take part in this, and says so.
    Refused,
    /// It broke a rule of the protocol, and nobody else can have.
    Cheated,
    /// It broke a rule of the protocol, or the node did that says so: which of the two nobody else can tell.
    Disputed,
    /// It ended its part with a failure of its own.
    Failed,
    /// It was in a quorum that gave no signature, and nobody can tell through whom.
    Suspected,
    /// A proof that it cheated before is kept here.
    Quarantined,
    /// Something that this version has no name for.
    #[serde(other)]
    Other,
}

impl Fault {
    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Refused => "refused",
            Self::Cheated => "cheated",
            Self::Disputed => "disputed",
            Self::Failed => "failed",
            Self::Suspected => "suspected",
            Self::Quarantined => "quarantined",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a ceremony cost, as its coordinator saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Figures {
    /// Rounds of messages.
    pub rounds: u16,
    /// Bytes the coordinator's party sent.
    pub bytes_sent: u64,
    /// Bytes the coordinator's party received.
    pub bytes_received: u64,
    /// From the start of the first ceremony to the verified result, in milliseconds.
    pub ms: u64,
    /// How many of the signatures were made with presignatures, which leaves one round of messages.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub presignatures: u32,
    /// Round by round, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<RoundFigures>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What one round of one protocol cost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct RoundFigures {
    /// The protocol, such as `dkg` or `ecdsa-sign`.
    pub protocol: String,
    /// The round, from 1.
    pub round: u16,
    /// What the round does.
    pub name: String,
    /// From its start to the end of its computation, in milliseconds.
    pub ms: u64,
    /// Bytes this node's party sent in it.
    pub bytes_sent: u64,
    /// Bytes this node's party received in it.
    pub bytes_received: u64,
}

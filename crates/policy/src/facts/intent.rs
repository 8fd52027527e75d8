//! What policies see of what would be signed.

use std::collections::{BTreeMap, BTreeSet};

use quorate_intent::Summary;
use serde::{Deserialize, Serialize};

use super::{Amount, FactsError, MAX_SET};

/// Every kind of intent, as [`quorate_intent::Intent::kind`] names them.
pub const KINDS: [&str; 7] = [
    "ethereum_transaction",
    "ethereum_message",
    "ethereum_typed_data",
    "bitcoin_psbt",
    "solana_message",
    "message",
    "raw_digest",
];
/// The asset that is a chain's own coin.
pub const NATIVE: &str = "native";
/// The asset, receiver, spender, method or contract of what cannot be read.
pub const UNKNOWN: &str = "unknown";

/// What policies see of what would be signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntentFacts {
    /// One of [`KINDS`].
    pub kind: String,
    /// The chain, as in `ethereum:1`, `bitcoin`, `solana`; none for a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Whether part of the meaning cannot be read. Only a rule that says `@blind("allowed")` lets it pass.
    #[serde(default)]
    pub blind: bool,
    /// What cannot be read, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Whether `moves` has everything that could leave because of the signature.
    #[serde(default)]
    pub complete: bool,
    /// What leaves, or may be taken afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
    /// The methods that are called, as in `transfer(address,uint256)`, or their selectors.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub methods: BTreeSet<String>,
    /// The contracts or programs that are called.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub contracts: BTreeSet<String>,
    /// The highest fee in the chain's smallest unit; `None` if nothing bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<Amount>,
}

/// One thing that leaves, or may be taken afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// How.
    #[serde(default)]
    pub how: Moves,
    /// `native`, or the token's contract or mint.
    pub asset: String,
    /// Who receives it or may take it.
    pub to: String,
    /// How much, in smallest units.
    pub amount: Amount,
}

/// How something leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moves {
    /// At once.
    #[default]
    Transfer,
    /// When the spender takes it. It counts as if all of it left.
    Allowance,
}

/// Totals of what moves.
#[derive(Debug)]
pub(crate) struct Totals {
    /// The chain's own coin.
    pub(crate) native: Amount,
    /// Tokens by contract or mint.
    pub(crate) tokens: BTreeMap<String, Amount>,
    pub(crate) assets: BTreeSet<String>,
    pub(crate) recipients: BTreeSet<String>,
    pub(crate) spenders: BTreeSet<String>,
}

impl IntentFacts {
    /// From a summary as the intent crate makes it. A summary does not list allowances, calls and fees, so whatever has a warning
    /// counts as incomplete, and every fee as unbounded.
    #[must_use]
    pub fn from_summary(summary: &Summary, kind: &str) -> Self {
        let transaction = matches!(kind, "ethereum_transaction" | "bitcoin_psbt" | "solana_message");
        // Text that a wallet shows its user moves nothing on a chain. Typed data may be a permit.
        let text = matches!(kind, "ethereum_message" | "message");
        let moves = summary.transfers.iter().map(|transfer| Move {
            how: Moves::Transfer,
            asset: plain(&transfer.asset),
            to: plain(&transfer.to),
            amount: transfer.amount.parse().unwrap_or(Amount::MAX),
        });
        let chain = summary.transfers.first().map(|transfer| transfer.chain.clone());
        let one_chain = summary.transfers.iter().all(|transfer| Some(&transfer.chain) == chain.as_ref());
        Self {
            kind: kind.to_owned(),
            chain: chain.or_else(|| match kind {
                "bitcoin_psbt" => Some("bitcoin".to_owned()),
                "solana_message" => Some("solana".to_owned()),
                _ => None,
            }),
            blind: summary.blind,
            unreadable: if summary.blind { vec![summary.headline.clone()] } else { Vec::new() },
            complete: !summary.blind && one_chain && ((transaction && summary.warnings.is_empty()) || text),
            moves: moves.collect(),
            methods: BTreeSet::new(),
            contracts: BTreeSet::new(),
            fee: text.then_some(Amount::ZERO),
        }
    }

    /// From the facts that the intent crate reads from the bytes, and its words for what cannot be read.
    #[must_use]
    pub fn of(facts: &quorate_intent::Facts, summary: &Summary) -> Self {
        let units = |amount: &quorate_intent::Amount| amount.to_string().parse().unwrap_or(Amount::MAX);
        let transfers = facts.transfers.iter().map(|movement| Move {
            how: Moves::Transfer,
            asset: plain(&movement.asset),
            to: plain(&movement.to),
            amount: units(&movement.amount),
        });
        let allowances = facts.approvals.iter().map(|approval| Move {
            how: Moves::Allowance,
            asset: plain(&approval.token),
            to: plain(&approval.spender),
            amount: if approval.unlimited { Amount::MAX } else { units(&approval.amount) },
        });
        let moves: Vec<Move> = transfers.chain(allowances).collect();
        let methods =
            facts.calls.iter().map(|call| call.method.clone().unwrap_or_else(|| call.selector.clone()));
        // Text that a wallet shows its user moves nothing on a chain.
        let text = matches!(facts.kind.as_str(), "ethereum_message" | "message");
        Self {
            kind: facts.kind.clone(),
            chain: facts.chain.clone(),
            blind: facts.blind,
            unreadable: if facts.blind { vec![summary.headline.clone()] } else { Vec::new() },
            complete: !facts.blind && moves.iter().all(|one| one.asset != UNKNOWN),
            moves,
            methods: methods.collect(),
            contracts: facts.calls.iter().map(|call| plain(&call.contract)).collect(),
            fee: facts.fee_max.as_ref().map(units).or_else(|| text.then_some(Amount::ZERO)),
        }
    }

    pub(super) fn check(&self) -> Result<(), FactsError> {
        if !KINDS.contains(&self.kind.as_str()) {
            return Err(FactsError::Kind(self.kind.clone()));
        }
        if self.moves.len() > MAX_SET {
            return Err(FactsError::TooMany("payments", MAX_SET));
        }
        if self.methods.len() > MAX_SET || self.contracts.len() > MAX_SET {
            return Err(FactsError::TooMany("calls", MAX_SET));
        }
        Ok(())
    }

    /// Adds up what moves. What is not complete moves more than any limit, to nobody knows whom.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals {
            native: if self.complete { Amount::ZERO } else { Amount::MAX },
            tokens: BTreeMap::new(),
            assets: BTreeSet::new(),
            recipients: BTreeSet::new(),
            spenders: BTreeSet::new(),
        };
        if !self.complete {
            totals.assets.insert(UNKNOWN.to_owned());
            totals.recipients.insert(UNKNOWN.to_owned());
            totals.spenders.insert(UNKNOWN.to_owned());
        }
        for step in &self.moves {
            let (asset, to) = (plain(&step.asset), plain(&step.to));
            if asset == NATIVE {
                totals.native = totals.native.plus(step.amount);
            } else {
                // A token of which only a part can be read has no known total.
                let start = if self.complete { Amount::ZERO } else { Amount::MAX };
                let total = totals.tokens.entry(asset.clone()).or_insert(start);
                *total = total.plus(step.amount);
            }
            totals.assets.insert(asset);
            if step.how == Moves::Allowance {
                totals.spenders.insert(to.clone());
            }
            totals.recipients.insert(to);
        }
        totals
    }
}

/// How policies write an address: hexadecimal ones in lower case, because capitals in them are only a checksum.
pub(crate) fn plain(address: &str) -> String {
    if address.starts_with("0x") { address.to_ascii_lowercase() } else { address.to_owned() }
}

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
    /// The contracts or programs that are called, or that would check typed data.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub contracts: BTreeSet<String>,
    /// Who may receive something beside those in `moves`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub recipients: BTreeSet<String>,
    /// How much of the chain's own coin leaves in all, where that is known although not everything is. `None`: what `moves` says, if
    /// it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Amount>,
    /// The primary type of typed data (EIP-712); empty for anything else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub primary_type: String,
    /// The name of the domain of typed data (EIP-712); empty for anything else, or if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// The text of a readable message or of a transaction's memo; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
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
    /// From what the intent crate read in the bytes that would be signed, and its words for what cannot be read.
    #[must_use]
    pub fn of(facts: &quorate_intent::Facts, summary: &Summary) -> Self {
        let amount = |amount: quorate_intent::Amount| amount.to_u128().map_or(Amount::MAX, Amount::new);
        let transfers = facts.transfers.iter().map(|transfer| Move {
            how: Moves::Transfer,
            asset: transfer.asset.clone(),
            to: transfer.to.clone(),
            amount: amount(transfer.amount),
        });
        let allowances = facts.approvals.iter().map(|approval| Move {
            how: Moves::Allowance,
            asset: approval.token.clone(),
            to: approval.spender.clone(),
            amount: if approval.unlimited { Amount::MAX } else { amount(approval.amount) },
        });
        let moves: Vec<Move> = transfers.chain(allowances).collect();
        let kind = facts.kind.as_str();
        let transaction = matches!(kind, "ethereum_transaction" | "bitcoin_psbt" | "solana_message");
        // A message pays nobody for being taken up. A digest may be that of a transaction.
        let message = matches!(kind, "ethereum_message" | "ethereum_typed_data" | "message");
        // A Solana transaction of which a part cannot be read may send more than is seen.
        let whole = transaction && (!facts.blind || facts.chain.as_deref() != Some("solana"));
        // What the key moves out of other accounts counts as if it were its own.
        let of_others =
            facts.transfers.iter().filter(|transfer| transfer.asset == NATIVE && transfer.from.is_some());
        let native =
            of_others.fold(amount(facts.native_out), |sum, transfer| sum.plus(amount(transfer.amount)));
        let domain = facts.domain.as_ref();
        let contracts = facts.calls.iter().map(|call| call.contract.clone());
        let methods =
            facts.calls.iter().map(|call| call.method.clone().unwrap_or_else(|| call.selector.clone()));
        Self {
            kind: facts.kind.clone(),
            chain: facts.chain.clone(),
            blind: facts.blind,
            unreadable: if facts.blind { vec![summary.headline.clone()] } else { Vec::new() },
            complete: !facts.blind && moves.iter().all(|one| one.asset != UNKNOWN),
            moves,
            methods: methods.collect(),
            contracts: contracts.chain(domain.and_then(|domain| domain.verifying_contract.clone())).collect(),
            recipients: facts.recipients.clone(),
            native: whole.then_some(native),
            primary_type: facts.primary_type.clone().unwrap_or_default(),
            domain: domain.and_then(|domain| domain.name.clone()).unwrap_or_default(),
            text: facts.message.clone().unwrap_or_default(),
            fee: if message { Some(Amount::ZERO) } else { facts.fee_max.map(amount) },
        }
    }

    /// From a summary alone, where there is no more; see [`of`](Self::of). A summary does not list allowances, calls and fees, so
    /// whatever has a warning counts as incomplete, and every fee as unbounded.
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
            recipients: BTreeSet::new(),
            native: None,
            primary_type: String::new(),
            domain: String::new(),
            text: String::new(),
            fee: text.then_some(Amount::ZERO),
        }
    }

    pub(super) fn check(&self) -> Result<(), FactsError> {
        if !KINDS.contains(&self.kind.as_str()) {
            return Err(FactsError::Kind(self.kind.clone()));
        }
        if self.moves.len() > MAX_SET {
            return Err(FactsError::TooMany("payments", MAX_SET));
        }
        if self.recipients.len() > MAX_SET {
            return Err(FactsError::TooMany("receivers", MAX_SET));
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
        // POL.3 What cannot be read goes to nobody knows whom.
        if !self.complete {
            totals.assets.insert(UNKNOWN.to_owned());
            totals.recipients.insert(UNKNOWN.to_owned());
            totals.spenders.insert(UNKNOWN.to_owned());
        }
        // POL.4 Payments and allowances alike.
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
        totals.recipients.extend(self.recipients.iter().map(|who| plain(who)));
        if let Some(native) = self.native {
            totals.native = native;
        }
        totals
    }
}

/// How policies write an address: hexadecimal ones in lower case, because capitals in them are only a checksum.
// POL.5 One spelling, so that a comparison of texts compares addresses.
pub(crate) fn plain(address: &str) -> String {
    if address.starts_with("0x") { address.to_ascii_lowercase() } else { address.to_owned() }
}

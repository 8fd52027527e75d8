//! What a request does, as plain data for policies.
//!
//! Everything here is read from the bytes that are signed, so it is the same on every node. What cannot be read is
//! missing, and [`Facts::blind`] says that something is.

mod amount;

pub use amount::Amount;

use crate::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most entries of each list. A request with more is cut and [`Facts::blind`].
pub const MAX_FACTS: usize = 1024;

/// What a signature would do. Addresses are written as their chain writes them: Ethereum ones with the mixed case of EIP-55.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The intent's kind, such as `ethereum_transaction`.
    pub kind: String,
    /// `ethereum:<chain id>`, `bitcoin` or `solana`; absent if the signature names no chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// True if any part of the meaning cannot be read. The lists below may then be incomplete.
    pub blind: bool,
    /// What moves by this signature alone.
    pub transfers: Vec<Movement>,
    /// Smallest units of the chain's own coin that are sent from the key's own account, without the fee, in all transfers together.
    /// With `blind`, a Solana transaction may send more; the amount of an Ethereum or Bitcoin transaction is always whole.
    /// Where others fund a Bitcoin transaction too, their part is counted with it.
    pub native_out: Amount,
    /// Rights that others get (or, with amount 0, lose) to move what the key holds.
    pub approvals: Vec<Approval>,
    /// The code that runs: the contract and method of an Ethereum transaction, the programs of a Solana one.
    pub calls: Vec<Call>,
    /// Everyone who may receive value or rights by this: receivers, spenders, and the called contract where coins are sent to it
    /// or where what it does cannot be read. Change back to the key of a Bitcoin transaction is left out.
    pub recipients: BTreeSet<String>,
    /// The most that the fee can be, in the smallest unit; absent where nothing bounds it or the chain's rules are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_max: Option<Amount>,
    /// The exact text of a readable message or of the one memo of a transaction. Chosen by the sender: escape before showing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The domain of typed data (EIP-712).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// The primary type of typed data (EIP-712).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_type: Option<String>,
}

/// One movement of coins or tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Movement {
    /// `native`, the address of the token's contract or mint, or `unknown` where the bytes do not name it.
    pub asset: String,
    /// Whom it is taken from, if the bytes say so; absent for the key's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who receives.
    pub to: String,
    /// How much, in the smallest unit.
    pub amount: Amount,
    /// Which one, for tokens with an identity (ERC-721, ERC-1155).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<Amount>,
}

/// A right to move tokens that somebody gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Address of the token's contract or mint, or `unknown` where the bytes do not name it.
    pub token: String,
    /// Who gets the right.
    pub spender: String,
    /// How much, in the smallest unit: the new allowance, or what is added to it (`increaseAllowance`). 0 takes a currency's
    /// allowance away; `approve` of a token with an identity has its number here. The largest number for a right without amount (`setApprovalForAll`).
    pub amount: Amount,
    /// True for amounts that limit nothing ([`Amount::is_endless`]) and for rights without amount.
    pub unlimited: bool,
    /// True if a signature, not a transaction, gives the right: whoever holds the signature decides when.
    pub by_signature: bool,
}

/// One call of a contract or program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Address of the contract or program.
    pub contract: String,
    /// The first four bytes of the data as `0x…` (fewer if there are fewer); the discriminator of a Solana instruction that
    /// could be read.
    pub selector: String,
    /// Canonical signature such as `transfer(address,uint256)`, or the name of a Solana instruction such as
    /// `transferChecked`; absent if the data are not exactly such a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Smallest units of the chain's own coin that are sent along.
    pub value: Amount,
}

/// What an EIP-712 domain says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// Its name, chosen by the sender: escape before showing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version, chosen by the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Chain id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<Amount>,
    /// The contract that checks the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifying_contract: Option<String>,
}

impl Facts {
    /// The words' counterpart on `chain`.
    pub(crate) fn on(chain: impl Into<String>) -> Self {
        Self { chain: Some(chain.into()), ..Self::default() }
    }

    /// Notes a movement, its receiver, and its part of the sum.
    pub(crate) fn moves(&mut self, movement: Movement) {
        self.recipients.insert(movement.to.clone());
        if movement.asset == NATIVE && movement.from.is_none() {
            self.native_out = self.native_out.saturating_add(movement.amount);
        }
        self.transfers.push(movement);
    }

    /// Notes a payment in the chain's own coin from the key's own account.
    pub(crate) fn pays(&mut self, to: String, amount: Amount) {
        self.moves(Movement { asset: NATIVE.to_owned(), from: None, to, amount, token_id: None });
    }

    /// Notes a right and who gets it.
    pub(crate) fn allows(&mut self, approval: Approval) {
        self.recipients.insert(approval.spender.clone());
        self.approvals.push(approval);
    }
}

/// The asset's name for a chain's own coin.
pub(crate) const NATIVE: &str = "native";
/// The asset's name where the bytes do not tell.
pub(crate) const UNKNOWN: &str = "unknown";

/// Brings the two views of one request together: one `blind`, the same payments, bounded lists.
pub(crate) fn settle(kind: &str, facts: &mut Facts, summary: &mut Summary) {
    kind.clone_into(&mut facts.kind);
    let lists = [facts.transfers.len(), facts.approvals.len(), facts.calls.len(), facts.recipients.len()];
    if lists.into_iter().any(|len| len > MAX_FACTS) || summary.details.len() > MAX_FACTS {
        facts.transfers.truncate(MAX_FACTS);
        facts.approvals.truncate(MAX_FACTS);
        facts.calls.truncate(MAX_FACTS);
        facts.recipients = core::mem::take(&mut facts.recipients).into_iter().take(MAX_FACTS).collect();
        summary.details.truncate(MAX_FACTS);
        summary.blind = true;
        summary.warn(format!("there is more in it than can be shown: only the first {MAX_FACTS} are listed"));
    }
    facts.blind = summary.blind;
    let chain = facts.chain.clone().unwrap_or_default();
    summary.transfers = facts.transfers.iter().map(|movement| movement.summary(&chain)).collect();
}

impl Movement {
    fn summary(&self, chain: &str) -> crate::Transfer {
        crate::Transfer {
            chain: chain.to_owned(),
            asset: self.asset.clone(),
            to: self.to.clone(),
            amount: self.amount.to_string(),
        }
    }
}

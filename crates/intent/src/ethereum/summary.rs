//! An Ethereum transaction in words and facts.

use super::abi::{self, Does};
use super::chain::Chain;
use super::{Unsigned, WHAT};
use crate::facts::{Approval, Call, Movement};
use crate::{Amount, Facts, IntentError, Summary};
use alloy_primitives::{Address, TxKind, U256};

/// Most numbered tokens that a headline names.
const NAMED: usize = 4;

/// Checks what no chain would accept, and describes the rest.
pub(super) fn transaction(tx: &Unsigned, from: Option<Address>) -> Result<(Summary, Facts), IntentError> {
    let view: &dyn View = match tx {
        Unsigned::Legacy(tx) => tx,
        Unsigned::Eip2930(tx) => tx,
        Unsigned::Eip1559(tx) => tx,
    };
    let chain = match view.chain() {
        Some(chain) if chain != 0 => Chain::new(U256::from(chain)),
        _ => return Err(IntentError::malformed(WHAT, "its chain id is 0: a signature must name its chain")),
    };
    if view.tip().is_some_and(|tip| tip > view.max_fee()) {
        return Err(IntentError::malformed(WHAT, "its priority fee is above its maximum fee"));
    }
    // At most 2^192, so it cannot overflow.
    let fee = U256::from(view.gas()).saturating_mul(U256::from(view.max_fee()));
    let value = view.value();
    let mut facts = Facts::on(chain.fact());
    let mut summary = Summary::default();
    let fee_word = if chain.gas_is_all() == Some(true) { "fee" } else { "gas fee" };
    let tail = format!("on {}, {fee_word} at most {}", chain.name(), chain.money(fee));
    match chain.gas_is_all() {
        Some(true) => facts.fee_max = Some(fee.into()),
        Some(false) => {
            summary.detail("plus this chain's data fee, which the transaction does not bound");
        }
        None => {
            summary.detail("whether this chain charges more than gas is not known");
        }
    }
    match view.to() {
        TxKind::Create => {
            let with =
                if value.is_zero() { String::new() } else { format!(" and send it {}", chain.money(value)) };
            summary.headline =
                format!("create a contract from {} bytes of code{with} {tail}", view.data().len());
            summary.blind = true;
            summary.warn("what the contract's code does cannot be read from the transaction");
            facts.native_out = value.into();
        }
        TxKind::Call(to) => {
            if !value.is_zero() || view.data().is_empty() {
                facts.pays(to.to_string(), value.into());
            }
            if view.data().is_empty() {
                summary.headline = format!("send {} to {to} {tail}", chain.money(value));
            } else {
                let call = Called { to, value, chain, own: from };
                call.describe(view.data(), &tail, &mut summary, &mut facts);
            }
        }
    }
    if let Some(from) = from {
        summary.detail(format!("from {from}, nonce {}", view.nonce_value()));
    }
    summary.detail(format!("gas limit {}, at most {} wei a gas", view.gas(), view.max_fee()));
    let entries = view.access_entries();
    if entries > 0 {
        summary.detail(format!("access list with {entries} addresses"));
    }
    Ok((summary, facts))
}

/// A transaction with data to a contract.
struct Called {
    to: Address,
    value: U256,
    chain: Chain,
    own: Option<Address>,
}

impl Called {
    fn describe(&self, data: &[u8], tail: &str, summary: &mut Summary, facts: &mut Facts) {
        let method = abi::read(data);
        let selector = format!("0x{}", hex::encode(data.get(..4).unwrap_or(data)));
        facts.calls.push(Call {
            contract: self.to.to_string(),
            selector: selector.clone(),
            method: method.as_ref().map(|m| m.signature.to_owned()),
            value: self.value.into(),
        });
        let with = if self.value.is_zero() {
            String::new()
        } else {
            format!(", sending {} along,", self.chain.money(self.value))
        };
        let words = match &method {
            Some(method) => self.method(&method.does, summary, facts),
            None => {
                self.unread(summary, facts);
                format!("call {selector} of {} with {} bytes of data", self.to, data.len())
            }
        };
        summary.headline = format!("{words}{with} {tail}");
    }

    /// The words of a method that was read.
    fn method(&self, does: &Does, summary: &mut Summary, facts: &mut Facts) -> String {
        let token = self.to;
        let whose = |from: &Address| {
            if Some(*from) == self.own { String::new() } else { format!(" from {from}") }
        };
        match does {
            Does::Transfer { to, amount } => {
                facts.moves(self.movement(None, *to, *amount));
                format!("transfer {amount} smallest units of token {token} to {to}")
            }
            Does::TransferFrom { from, to, number } => {
                facts.moves(self.movement(Some(from), *to, *number));
                summary.detail(ambiguous(*number));
                format!(
                    "transfer {number} smallest units (or number {number}) of token {token}{} to {to}",
                    whose(from)
                )
            }
            Does::Approve { spender, number } => {
                self.allow(facts, summary, *spender, *number);
                if *number == U256::MAX {
                    return format!("allow {spender} to spend all smallest units of token {token}");
                }
                summary.detail(ambiguous(*number));
                let much = much(*number);
                format!(
                    "allow {spender} to spend {much} smallest units (or number {number}) of token {token}"
                )
            }
            Does::IncreaseAllowance { spender, amount } => {
                self.allow(facts, summary, *spender, *amount);
                let much = much(*amount);
                format!("allow {spender} to spend {much} more smallest units of token {token}")
            }
            Does::DecreaseAllowance { spender, amount } => {
                format!("allow {spender} to spend {amount} fewer smallest units of token {token}")
            }
            Does::MoveNumbered { from, to, tokens, data } => {
                for (id, amount) in tokens {
                    let movement = self.movement(Some(from), *to, *amount);
                    facts.moves(Movement { token_id: Some((*id).into()), ..movement });
                }
                // Also with an empty list the receiver is called.
                facts.recipients.insert(to.to_string());
                if *data > 0 {
                    self.unread(summary, facts);
                    summary.detail(format!("{data} bytes are handed to the receiver, who may act on them"));
                }
                let list: Vec<String> =
                    tokens.iter().map(|(id, amount)| format!("{amount} of number {id}")).collect();
                let what = if list.len() <= NAMED {
                    list.join(" and ")
                } else {
                    summary.details.extend(list);
                    format!("{} kinds", tokens.len())
                };
                let what = if what.is_empty() { "nothing".to_owned() } else { what };
                format!("transfer {what} of token {token}{} to {to}", whose(from))
            }
            Does::ApproveAll { operator, approved } => {
                if *approved {
                    self.allow(facts, summary, *operator, U256::MAX);
                    format!("allow {operator} to move every token of {token} that this account has")
                } else {
                    facts.allows(self.approval(*operator, U256::ZERO));
                    format!("no longer allow {operator} to move every token of {token}")
                }
            }
            Does::Deposit | Does::Withdraw { .. } if !self.chain.is_wrapper(token) => {
                self.unread(summary, facts);
                match does {
                    Does::Withdraw { amount } => format!("call withdraw({amount}) of {token}"),
                    _ => format!("call deposit() of {token}"),
                }
            }
            Does::Deposit => format!("wrap {} into token {token}", self.chain.money(self.value)),
            Does::Withdraw { amount } => {
                format!("unwrap {} from token {token}", self.chain.money(*amount))
            }
        }
    }

    /// A call that can do whatever the contract was made for, also hand on rights it was given.
    fn unread(&self, summary: &mut Summary, facts: &mut Facts) {
        summary.blind = true;
        summary.warn("what the called contract does cannot be read from the transaction");
        facts.recipients.insert(self.to.to_string());
    }

    fn movement(&self, from: Option<&Address>, to: Address, amount: U256) -> Movement {
        Movement {
            asset: self.to.to_string(),
            from: from.filter(|from| Some(**from) != self.own).map(Address::to_string),
            to: to.to_string(),
            amount: amount.into(),
            token_id: None,
        }
    }

    fn approval(&self, spender: Address, amount: U256) -> Approval {
        let amount = Amount::from(amount);
        Approval {
            token: self.to.to_string(),
            spender: spender.to_string(),
            amount,
            unlimited: amount.is_endless(),
            by_signature: false,
        }
    }

    fn allow(&self, facts: &mut Facts, summary: &mut Summary, spender: Address, amount: U256) {
        let approval = self.approval(spender, amount);
        summary.warn(if approval.unlimited {
            "an allowance without limit lets the spender move all tokens later without another signature"
        } else {
            "an allowance lets the spender move tokens later without another signature"
        });
        facts.allows(approval);
    }
}

fn ambiguous(number: U256) -> String {
    format!("the bytes do not tell {number} units of a currency from the one token with number {number}")
}

/// An allowance in words.
pub(super) fn much(amount: U256) -> String {
    match Amount::from(amount) {
        amount if amount == Amount::MAX => "all".to_owned(),
        amount if amount.is_endless() => format!("an endless {amount}"),
        amount => amount.to_string(),
    }
}

/// The parts of the three transaction types that a summary needs.
trait View {
    fn chain(&self) -> Option<u64>;
    fn gas(&self) -> u64;
    fn max_fee(&self) -> u128;
    fn tip(&self) -> Option<u128>;
    fn value(&self) -> U256;
    fn data(&self) -> &[u8];
    fn to(&self) -> TxKind;
    fn nonce_value(&self) -> u64;
    fn access_entries(&self) -> usize;
}

impl<T: alloy_consensus::Transaction> View for T {
    fn chain(&self) -> Option<u64> {
        self.chain_id()
    }
    fn gas(&self) -> u64 {
        self.gas_limit()
    }
    fn max_fee(&self) -> u128 {
        self.max_fee_per_gas()
    }
    fn tip(&self) -> Option<u128> {
        self.max_priority_fee_per_gas()
    }
    fn value(&self) -> U256 {
        alloy_consensus::Transaction::value(self)
    }
    fn data(&self) -> &[u8] {
        self.input()
    }
    fn to(&self) -> TxKind {
        self.kind()
    }
    fn nonce_value(&self) -> u64 {
        self.nonce()
    }
    fn access_entries(&self) -> usize {
        self.access_list().map_or(0, |list| list.0.len())
    }
}

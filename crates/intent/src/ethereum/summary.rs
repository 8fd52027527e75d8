//! An Ethereum transaction in words.

use super::{Unsigned, WHAT};
use crate::summary::decimal;
use crate::{IntentError, Summary, Transfer};
use alloy_primitives::{Address, TxKind, U256};

/// `transfer(address,uint256)` of ERC-20.
const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
/// `approve(address,uint256)` of ERC-20.
const APPROVE: [u8; 4] = [0x09, 0x5e, 0xa7, 0xb3];

/// Chains whose coin is ether. Elsewhere the coin's name is not known from the transaction.
const ETHER_CHAINS: [u64; 9] = [1, 10, 8453, 42161, 59144, 17000, 560_048, 11_155_111, 31337];

/// Chains that charge for data on top of gas (OP Stack): no field of the transaction bounds that part.
const DATA_FEE_CHAINS: [u64; 2] = [10, 8453];

/// Checks what no chain would accept, and describes the rest.
pub(super) fn transaction(tx: &Unsigned, from: Option<Address>) -> Result<Summary, IntentError> {
    let view: &dyn View = match tx {
        Unsigned::Legacy(tx) => tx,
        Unsigned::Eip2930(tx) => tx,
        Unsigned::Eip1559(tx) => tx,
    };
    let chain = match view.chain() {
        Some(chain) if chain != 0 => chain,
        _ => return Err(IntentError::malformed(WHAT, "its chain id is 0: a signature must name its chain")),
    };
    if view.tip().is_some_and(|tip| tip > view.max_fee()) {
        return Err(IntentError::malformed(WHAT, "its priority fee is above its maximum fee"));
    }
    let fee = U256::from(view.gas()).saturating_mul(U256::from(view.max_fee()));
    let coin = if ETHER_CHAINS.contains(&chain) { "ETH" } else { "native coin" };
    let money = |wei: U256| format!("{} {coin}", decimal(wei, 18));

    let value = view.value();
    let data = view.data();
    let tail = format!("on chain {chain}, fee at most {}", money(fee));
    let mut summary = match view.to() {
        TxKind::Create => {
            let with = if value.is_zero() { String::new() } else { format!(" and send it {}", money(value)) };
            let mut s =
                Summary::new(format!("create a contract from {} bytes of code{with} {tail}", data.len()));
            s.blind = true;
            s.warn("what the contract's code does cannot be read from the transaction");
            s
        }
        TxKind::Call(to) => call(to, value, data, chain, &money, &tail),
    };
    if let (TxKind::Call(to), false) = (view.to(), value.is_zero()) {
        summary.transfers.push(transfer(chain, "native", to, value));
    }
    if DATA_FEE_CHAINS.contains(&chain) {
        summary.detail("plus this chain's data fee, which the transaction does not bound");
    }
    if let Some(from) = from {
        summary.detail(format!("from {from}, nonce {}", view.nonce_value()));
    }
    summary.detail(format!("gas limit {}, at most {} wei a gas", view.gas(), view.max_fee()));
    let entries = view.access_entries();
    if entries > 0 {
        summary.detail(format!("access list with {entries} addresses"));
    }
    Ok(summary)
}

fn transfer(chain: u64, asset: &str, to: Address, amount: U256) -> Transfer {
    Transfer {
        chain: format!("ethereum:{chain}"),
        asset: asset.to_owned(),
        to: to.to_string(),
        amount: amount.to_string(),
    }
}

fn call(
    to: Address,
    value: U256,
    data: &[u8],
    chain: u64,
    money: &dyn Fn(U256) -> String,
    tail: &str,
) -> Summary {
    if data.is_empty() {
        return Summary::new(format!("send {} to {to} {tail}", money(value)));
    }
    let with = if value.is_zero() { String::new() } else { format!(", sending {} along,", money(value)) };
    match erc20(data) {
        Some((TRANSFER, who, amount)) => {
            let mut s =
                Summary::new(format!("transfer {amount} smallest units of token {to} to {who}{with} {tail}"));
            s.transfers.push(transfer(chain, &to.to_string(), who, amount));
            s
        }
        Some((_, who, amount)) => {
            let much = if amount == U256::MAX { "all".to_owned() } else { amount.to_string() };
            let mut s = Summary::new(format!(
                "allow {who} to spend {much} smallest units of token {to}{with} {tail}"
            ));
            s.warn("an allowance lets the spender move tokens later without another signature");
            s
        }
        None => {
            let selector = hex::encode(data.get(..4).unwrap_or(data));
            let mut s = Summary::new(format!(
                "call 0x{selector} of {to} with {} bytes of data{with} {tail}",
                data.len()
            ));
            s.blind = true;
            s.warn("what the called contract does cannot be read from the transaction");
            s
        }
    }
}

/// Selector, address and amount of an ERC-20 transfer or approval in its one canonical encoding.
fn erc20(data: &[u8]) -> Option<([u8; 4], Address, U256)> {
    let (selector, arguments) = data.split_first_chunk::<4>()?;
    if !matches!(*selector, TRANSFER | APPROVE) || arguments.len() != 64 {
        return None;
    }
    let (pad, rest) = arguments.split_first_chunk::<12>()?;
    let (who, amount) = rest.split_first_chunk::<20>()?;
    if *pad != [0; 12] {
        return None;
    }
    Some((*selector, Address::from(*who), U256::try_from_be_slice(amount)?))
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

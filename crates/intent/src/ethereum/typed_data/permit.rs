//! Typed data that hand out rights: ERC-2612 and DAI permits, and Permit2.
//!
//! A message counts as one of these only if its types are exactly those of the standard, because the contract hashes exactly
//! those: with another type string the signature is not a permit, whatever it looks like.

use super::super::chain::Chain;
use super::super::summary::much;
use super::{Type, Types};
use crate::facts::Approval;
use crate::summary::clip;
use crate::{Amount, Facts, Summary};
use alloy_primitives::{Address, U256, address};
use core::str::FromStr as _;
use serde_json::{Map, Value};

/// Permit2 has this address on every chain that it was deployed to in the usual way.
const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");

type Fields = &'static [(&'static str, &'static str)];

const ERC2612: Fields = &[
    ("owner", "address"),
    ("spender", "address"),
    ("value", "uint256"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
];
const DAI: Fields = &[
    ("holder", "address"),
    ("spender", "address"),
    ("nonce", "uint256"),
    ("expiry", "uint256"),
    ("allowed", "bool"),
];
const DETAILS: Fields =
    &[("token", "address"), ("amount", "uint160"), ("expiration", "uint48"), ("nonce", "uint48")];
const SINGLE: Fields = &[("details", "PermitDetails"), ("spender", "address"), ("sigDeadline", "uint256")];
const BATCH: Fields = &[("details", "PermitDetails[]"), ("spender", "address"), ("sigDeadline", "uint256")];
const PERMISSIONS: Fields = &[("token", "address"), ("amount", "uint256")];
const TRANSFER: Fields = &[
    ("permitted", "TokenPermissions"),
    ("spender", "address"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
];
const BATCH_TRANSFER: Fields = &[
    ("permitted", "TokenPermissions[]"),
    ("spender", "address"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
];

/// The typed data after all checks of form.
pub(super) struct Signed<'a> {
    pub(super) types: &'a Types<'a>,
    pub(super) primary: &'a str,
    pub(super) message: &'a Map<String, Value>,
    pub(super) contract: Option<Address>,
    pub(super) chain: Option<Chain>,
    pub(super) own: Option<Address>,
}

/// A right before it is written down: token, amount, and its time limit.
struct Right {
    token: Address,
    amount: U256,
    until: Option<U256>,
}

impl Signed<'_> {
    /// Writes down the rights that the message gives, and its headline. False if the type is none that is known.
    pub(super) fn describe(&self, summary: &mut Summary, facts: &mut Facts) -> bool {
        let Some(contract) = self.contract else { return false };
        let (witness, read) = match self.primary {
            "Permit" if self.is("Permit", ERC2612) => (false, self.erc2612(contract, summary)),
            "Permit" if self.is("Permit", DAI) => (false, self.dai(contract, summary)),
            "PermitSingle" | "PermitBatch" if self.is("PermitDetails", DETAILS) => {
                let single = self.primary == "PermitSingle";
                let fields = if single { SINGLE } else { BATCH };
                (false, self.is(self.primary, fields).then(|| self.permit2("details")).flatten())
            }
            "PermitTransferFrom" if self.is("TokenPermissions", PERMISSIONS) => {
                (false, self.is(self.primary, TRANSFER).then(|| self.permit2("permitted")).flatten())
            }
            "PermitBatchTransferFrom" if self.is("TokenPermissions", PERMISSIONS) => {
                (false, self.is(self.primary, BATCH_TRANSFER).then(|| self.permit2("permitted")).flatten())
            }
            // The witness is some further struct whose meaning is the spender's: only the rights are certain.
            "PermitWitnessTransferFrom" if self.is("TokenPermissions", PERMISSIONS) => {
                (true, self.begins(TRANSFER).then(|| self.permit2("permitted")).flatten())
            }
            "PermitBatchWitnessTransferFrom" if self.is("TokenPermissions", PERMISSIONS) => {
                (true, self.begins(BATCH_TRANSFER).then(|| self.permit2("permitted")).flatten())
            }
            _ => return false,
        };
        let (Some(rights), Some(spender)) = (read, self.address("spender")) else { return false };
        let words: Vec<String> = rights.iter().map(Right::words).collect();
        let what = match words.len() {
            0 => "nothing".to_owned(),
            1..=3 => words.join(" and "),
            n => format!("{n} tokens"),
        };
        let chain = self.chain.map_or_else(|| "any chain".to_owned(), Chain::name);
        summary.headline = format!("let {spender} take {what} by signature, on {chain}");
        for right in rights {
            let amount = Amount::from(right.amount);
            let unlimited = amount.is_endless();
            facts.allows(Approval {
                token: right.token.to_string(),
                spender: spender.to_string(),
                amount,
                unlimited,
                by_signature: true,
            });
            if unlimited {
                summary.warn("the allowance has no limit");
            }
        }
        facts.recipients.insert(spender.to_string());
        summary.warn("such a signature can let others move tokens without a transaction of yours");
        let permit2 = self.primary != "Permit";
        if permit2 && contract != PERMIT2 {
            summary.warn(format!("{contract} is not Permit2: what it does with the signature is not known"));
        }
        !witness && (!permit2 || contract == PERMIT2)
    }

    fn erc2612(&self, token: Address, summary: &mut Summary) -> Option<Vec<Right>> {
        self.owner("owner", summary)?;
        Some(vec![Right { token, amount: self.number("value")?, until: None }])
    }

    /// `allowed` gives all or takes all.
    fn dai(&self, token: Address, summary: &mut Summary) -> Option<Vec<Right>> {
        self.owner("holder", summary)?;
        let allowed = self.message.get("allowed")?.as_bool()?;
        let amount = if allowed { U256::MAX } else { U256::ZERO };
        Some(vec![Right { token, amount, until: None }])
    }

    fn owner(&self, field: &str, summary: &mut Summary) -> Option<()> {
        let owner = self.address(field)?;
        if Some(owner) != self.own {
            summary.warn(format!("the tokens of {owner} are meant, which is not this key"));
        }
        Some(())
    }

    fn permit2(&self, field: &str) -> Option<Vec<Right>> {
        let value = self.message.get(field)?;
        let one = core::slice::from_ref(value);
        let list = value.as_array().map_or(one, Vec::as_slice);
        list.iter()
            .map(|entry| {
                Some(Right {
                    token: address_of(entry.get("token")?)?,
                    amount: number_of(entry.get("amount")?)?,
                    until: entry.get("expiration").and_then(number_of),
                })
            })
            .collect()
    }

    /// Whether struct `name` has exactly `fields`.
    fn is(&self, name: &str, fields: Fields) -> bool {
        self.types.get(name).is_some_and(|declared| {
            declared.len() == fields.len() && declared.iter().zip(fields).all(|(a, b)| same(a, b))
        })
    }

    /// Whether the primary struct begins with `fields` and has one more.
    fn begins(&self, fields: Fields) -> bool {
        self.types.get(self.primary).is_some_and(|declared| {
            declared.len() == fields.len().saturating_add(1)
                && declared.iter().zip(fields).all(|(a, b)| same(a, b))
        })
    }

    fn address(&self, field: &str) -> Option<Address> {
        address_of(self.message.get(field)?)
    }

    fn number(&self, field: &str) -> Option<U256> {
        number_of(self.message.get(field)?)
    }
}

impl Right {
    fn words(&self) -> String {
        // Permit2 takes the largest uint160 for endless; `much` says so by its size.
        let until = self.until.map_or_else(String::new, |time| format!(" until unix time {time}"));
        format!("{} smallest units of token {}{until}", much(self.amount), self.token)
    }
}

fn same(declared: &(&str, Type<'_>), standard: &(&str, &str)) -> bool {
    let (stem, array) = match standard.1.strip_suffix("[]") {
        Some(stem) => (stem, true),
        None => (standard.1, false),
    };
    let sizes: &[Option<usize>] = if array { &[None] } else { &[] };
    declared.0 == standard.0 && declared.1.stem == stem && declared.1.sizes == sizes
}

/// An address as [`super::atom`] lets it through.
pub(super) fn address_of(value: &Value) -> Option<Address> {
    Address::from_str(value.as_str()?).ok()
}

/// An unsigned integer as [`super::integer`] lets it through.
pub(super) fn number_of(value: &Value) -> Option<U256> {
    if let Some(number) = value.as_u64() {
        return Some(U256::from(number));
    }
    let text = value.as_str()?;
    match text.strip_prefix("0x") {
        Some(digits) => U256::from_str_radix(digits, 16).ok(),
        None => U256::from_str_radix(text, 10).ok(),
    }
}

/// What the domain says, as data.
pub(super) fn domain_facts(domain: &Map<String, Value>) -> crate::facts::Domain {
    let text = |key: &str| domain.get(key).and_then(Value::as_str).map(str::to_owned);
    crate::facts::Domain {
        name: text("name"),
        version: text("version"),
        chain_id: domain.get("chainId").and_then(number_of).map(Amount::from),
        verifying_contract: domain.get("verifyingContract").map(|value| {
            address_of(value).map_or_else(|| clip(&value.to_string(), 80), |address| address.to_string())
        }),
    }
}

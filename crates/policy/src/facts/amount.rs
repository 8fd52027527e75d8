//! Amounts, and how they fit the 64-bit numbers of policies without looking smaller than they are.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest number that policies see. What is larger, or not known, is this: a bound below it is sound, and nine of them
/// can be added without overflow.
pub const CAP: i64 = 1_000_000_000_000_000_000;

/// An amount in smallest units (wei, satoshi, lamport). It stops at the largest 128-bit number instead of wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(u128);

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no amount: write smallest units as a decimal number")]
pub struct AmountError(String);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// More than any limit, or not known.
    pub const MAX: Self = Self(u128::MAX);

    /// So many smallest units.
    #[must_use]
    pub const fn new(units: u128) -> Self {
        Self(units)
    }

    /// Smallest units.
    #[must_use]
    pub const fn units(self) -> u128 {
        self.0
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// In steps of 10^`digits` smallest units, rounded up, at most [`CAP`].
    #[must_use]
    pub fn in_steps(self, digits: u32) -> i64 {
        let steps = 10u128.checked_pow(digits).map_or(1, |step| self.0.div_ceil(step));
        i64::try_from(steps).map_or(CAP, |steps| steps.min(CAP))
    }

    /// Millionths of a coin, rounded up, at most [`CAP`], for the coin of `chain`. [`CAP`] if the chain is not known.
    #[must_use]
    pub fn in_micro(self, chain: &str) -> i64 {
        decimals(chain).map_or(CAP, |decimals| self.in_steps(decimals.saturating_sub(6)))
    }

    /// From a decimal number of coins of `chain`, as in `1.5`. `None` if it is no number, has more places than the coin, or the coin is
    /// not known.
    #[must_use]
    pub fn of_coins(text: &str, chain: &str) -> Option<Self> {
        let places = usize::try_from(decimals(chain)?).ok()?;
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        if whole.is_empty() || part.is_empty() || part.len() > places {
            return None;
        }
        format!("{whole}{part:0<places$}").parse().ok()
    }
}

/// Decimal places of a chain's own coin.
fn decimals(chain: &str) -> Option<u32> {
    match chain {
        "bitcoin" => Some(8),
        "solana" => Some(9),
        _ => chain.starts_with("ethereum:").then_some(18),
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    /// Reads a decimal number of any length; what does not fit becomes the largest amount.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.is_empty() || text.len() > 100 || !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(AmountError(text.chars().take(40).collect()));
        }
        Ok(text.parse().map_or(Self::MAX, Self))
    }
}

impl TryFrom<String> for Amount {
    type Error = AmountError;

    fn try_from(text: String) -> Result<Self, AmountError> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

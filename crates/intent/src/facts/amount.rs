//! Exact amounts.

use crate::IntentError;
use alloy_primitives::U256;
use core::{fmt, str::FromStr};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A number from 0 to 2^256 - 1, written in decimal. Never rounded.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(U256);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(U256::ZERO);
    /// 2^256 - 1.
    pub const MAX: Self = Self(U256::MAX);

    /// Reads decimal digits without sign, space or leading zeros.
    ///
    /// # Errors
    /// [`IntentError::Malformed`] if the text is anything else, or above 2^256 - 1.
    pub fn parse(text: &str) -> Result<Self, IntentError> {
        let plain = !text.is_empty()
            && text.len() <= 78
            && text.bytes().all(|b| b.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        plain
            .then(|| U256::from_str_radix(text, 10).ok())
            .flatten()
            .map(Self)
            .ok_or_else(|| IntentError::malformed("the amount", "write a decimal number below 2^256"))
    }

    /// The amount as a signed 64-bit integer, or `None` if it is larger than one can be.
    #[must_use]
    pub fn to_i64(self) -> Option<i64> {
        i64::try_from(self.0).ok()
    }

    /// The amount as an unsigned 128-bit integer, or `None` if it is larger than one can be.
    #[must_use]
    pub fn to_u128(self) -> Option<u128> {
        u128::try_from(self.0).ok()
    }

    /// The sum, or `None` if it is above 2^256 - 1.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum, or 2^256 - 1 if it is above that.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Whether the amount is 0.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Whether the number limits an allowance at all: 2^127 and more is above the supply of any token, and some tokens take
    /// 2^96 - 1 for endless.
    #[must_use]
    pub fn is_endless(self) -> bool {
        self.0.bit_len() >= 128 || (self.0.bit_len() == 96 && self.0.count_ones() == 96)
    }
}

impl From<U256> for Amount {
    fn from(value: U256) -> Self {
        Self(value)
    }
}

impl From<u64> for Amount {
    fn from(value: u64) -> Self {
        Self(U256::from(value))
    }
}

impl From<u128> for Amount {
    fn from(value: u128) -> Self {
        Self(U256::from(value))
    }
}

impl FromStr for Amount {
    type Err = IntentError;

    fn from_str(text: &str) -> Result<Self, IntentError> {
        Self::parse(text)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amount({})", self.0)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

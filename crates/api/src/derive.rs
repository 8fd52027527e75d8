//! Derivation: paths below keys, and the keys that are there.

use core::fmt;
use core::str::FromStr;

use crate::id::{Hex, KeyId};
use crate::{bounded, schema};
use quorate_intent::{Address, Scheme};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most numbers of a path.
pub const MAX_PATH_DEPTH: usize = 16;
/// Most paths of one request.
pub const MAX_PATHS: usize = 100;
/// From this number on a child is hardened (BIP-32).
const HARDENED: u32 = 1 << 31;

/// Where below a key another one is, as in `m/0/7`: `m` is the key itself. A number that is marked as hardened (`'`, `h` or `H`) is read,
/// so that it can be said why it leads nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DerivationPath(Vec<u32>);

impl DerivationPath {
    /// The numbers, hardened ones from 2^31.
    #[must_use]
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }

    /// Whether it is the key itself.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The first hardened number, without its mark.
    #[must_use]
    pub fn hardened(&self) -> Option<u32> {
        self.0.iter().find(|number| **number >= HARDENED).map(|number| number & !HARDENED)
    }

    /// The same without the marks of hardened numbers: another path, to other keys.
    #[must_use]
    pub fn plain(&self) -> Self {
        Self(self.0.iter().map(|number| number & !HARDENED).collect())
    }
}

impl fmt::Display for DerivationPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("m")?;
        for number in &self.0 {
            let mark = if *number >= HARDENED { "'" } else { "" };
            write!(f, "/{}{mark}", number & !HARDENED)?;
        }
        Ok(())
    }
}

/// A text that is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `m`.
    #[error("a path begins with `m`, the key itself, as in `m/0/7`")]
    Root,
    /// A part of it is no number.
    #[error("number {0} of the path is none of 0 to 2147483647, written without leading zeros")]
    Number(usize),
    /// It is longer than any key is deep.
    #[error("a path has at most {MAX_PATH_DEPTH} numbers")]
    TooDeep,
}

impl FromStr for DerivationPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut parts = text.split('/');
        if parts.next() != Some("m") {
            return Err(PathError::Root);
        }
        let mut numbers = Vec::new();
        for (at, part) in (1..).zip(parts) {
            if numbers.len() == MAX_PATH_DEPTH {
                return Err(PathError::TooDeep);
            }
            let (digits, mark) = match part.strip_suffix(['\'', 'h', 'H']) {
                Some(digits) => (digits, HARDENED),
                None => (part, 0),
            };
            // `parse` alone would take a sign and zeros before the number: a path has one form.
            let plain = digits.bytes().all(|digit| digit.is_ascii_digit())
                && (digits == "0" || !digits.starts_with('0'));
            let number = digits.parse::<u32>().ok().filter(|number| plain && *number < HARDENED);
            numbers.push(number.ok_or(PathError::Number(at))? | mark);
        }
        Ok(Self(numbers))
    }
}

impl TryFrom<String> for DerivationPath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        text.parse()
    }
}

impl From<DerivationPath> for String {
    fn from(path: DerivationPath) -> Self {
        path.to_string()
    }
}

/// Body of `POST /v1/keys/{key}/derive`: which keys below a key are wanted. It starts no operation; the answer follows from what everybody
/// may know of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Derive {
    /// Their paths, such as `m/0/7`; `m` is the key itself.
    #[serde(deserialize_with = "bounded::paths")]
    #[schema(min_items = 1, max_items = 100, value_type = Vec<schema::Path>)]
    pub paths: Vec<DerivationPath>,
}

/// Keys below a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DerivedKeys {
    /// The key that they are below.
    pub key: KeyId,
    /// The signature scheme of all of them.
    #[schema(value_type = schema::Scheme)]
    pub scheme: Scheme,
    /// One for each path, in the order of the request.
    pub children: Vec<DerivedKey>,
}

/// A key below a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DerivedKey {
    /// Where it is.
    #[schema(value_type = schema::Path)]
    pub path: DerivationPath,
    /// The public key: 33-byte compressed point (ECDSA, BIP-340) or 32 bytes (Ed25519), in hex.
    pub public_key: Hex,
    /// The chain code, 32 bytes in hex: with it and the public key anybody can compute the public keys below this one.
    pub chain_code: Hex,
    /// Both in the form of BIP-32, for the two schemes over secp256k1. The key of the path `m` counts as a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xpub: Option<String>,
    /// Its addresses on the chains that the key may sign for.
    #[schema(value_type = Vec<schema::Address>)]
    pub addresses: Vec<Address>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form() {
        for (text, shown) in
            [("m", "m"), ("m/0/7", "m/0/7"), ("m/2147483647", "m/2147483647"), ("m/44h/0H/1'", "m/44'/0'/1'")]
        {
            assert_eq!(text.parse::<DerivationPath>().unwrap().to_string(), shown);
        }
        let deep = format!("m{}", "/0".repeat(MAX_PATH_DEPTH));
        assert_eq!(deep.parse::<DerivationPath>().unwrap().numbers().len(), MAX_PATH_DEPTH);
        assert_eq!(format!("{deep}/0").parse::<DerivationPath>(), Err(PathError::TooDeep));
        for text in ["", "0", "M/0", "/0", " m", "m0"] {
            assert_eq!(text.parse::<DerivationPath>(), Err(PathError::Root), "{text}");
        }
        for text in ["m/", "m/a", "m/+1", "m/-1", "m/01", "m/00", "m/2147483648", "m/1''", "m/'", "m/ 1"] {
            assert_eq!(text.parse::<DerivationPath>(), Err(PathError::Number(1)), "{text}");
        }
        assert_eq!("m/0/x".parse::<DerivationPath>(), Err(PathError::Number(2)));
        let path: DerivationPath = "m/3/44'/0h".parse().unwrap();
        assert_eq!((path.hardened(), path.plain().to_string()), (Some(44), "m/3/44/0".to_owned()));
        assert_eq!((path.plain().hardened(), DerivationPath::default().is_root()), (None, true));
    }
}

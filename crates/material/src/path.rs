//! Paths of derivation: `m/44'/60'/0'/0/0`.

use crate::MaterialError;
use std::fmt;
use std::str::FromStr;

/// Most numbers of a path.
pub const MAX_DEPTH: usize = 16;
/// From this number on a child is hardened (BIP-32).
const HARDENED: u32 = 1 << 31;

/// Where below a root a key is (BIP-32): numbers, the hardened ones marked by `'`, `h` or `H`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DerivationPath(Vec<u32>);

impl DerivationPath {
    /// The numbers, hardened ones from 2^31.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        &self.0
    }

    /// Whether a number of the path is not hardened: then the key and the extended public key above it give the private key above it.
    #[must_use]
    pub fn opens_its_parent(&self) -> bool {
        self.0.last().is_some_and(|index| !is_hardened(*index))
    }
}

pub(crate) const fn is_hardened(index: u32) -> bool {
    index >= HARDENED
}

impl FromStr for DerivationPath {
    type Err = MaterialError;

    fn from_str(text: &str) -> Result<Self, MaterialError> {
        let mut parts = text.split('/');
        if parts.next() != Some("m") {
            return Err(MaterialError::Path);
        }
        let mut indices = Vec::new();
        for part in parts {
            let (digits, hardened) = match part.strip_suffix(['\'', 'h', 'H']) {
                Some(digits) => (digits, HARDENED),
                None => (part, 0),
            };
            // `parse` alone would take a sign.
            let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
            let index = digits.parse::<u32>().ok().filter(|index| plain && *index < HARDENED);
            indices.push(index.ok_or(MaterialError::Path)? | hardened);
            if indices.len() > MAX_DEPTH {
                return Err(MaterialError::Path);
            }
        }
        Ok(Self(indices))
    }
}

impl fmt::Display for DerivationPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("m")?;
        for index in &self.0 {
            let mark = if is_hardened(*index) { "'" } else { "" };
            write!(f, "/{}{mark}", index & !HARDENED)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_meaning() {
        for (text, plain, opens) in [
            ("m", "m", false),
            ("m/44'/60h/0H/0/0", "m/44'/60'/0'/0/0", true),
            ("m/0/2147483647'", "m/0/2147483647'", false),
        ] {
            let path: DerivationPath = text.parse().unwrap();
            assert_eq!(path.to_string(), plain);
            assert_eq!(path.opens_its_parent(), opens);
        }
        let deep = format!("m{}", "/0".repeat(MAX_DEPTH + 1));
        for text in [
            "",
            "44'",
            "M/0",
            "m/",
            "m//0",
            "m/0/",
            "m/+1",
            "m/-1",
            "m/2147483648",
            "m/1''",
            "m/x",
            "m/ 1",
            &deep,
        ] {
            assert_eq!(text.parse::<DerivationPath>(), Err(MaterialError::Path), "{text}");
        }
    }
}

//! Which format it is, and the way to its reader.

use crate::secret::Secret;
use crate::text::EXPORT_HEADER;
use crate::{DerivationPath, Material, MaterialError, der, derive, keystore, text, wif, words};
use quorate_protocol::curve::CurveId;
use std::fmt;
use std::str::FromStr;

/// Longest file, in bytes.
pub const MAX_INPUT: usize = 64 << 10;

/// A format of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// 64 hexadecimal digits; for Ed25519 a seed, or 128 digits with the public key.
    Hex,
    /// 32 to 128 hexadecimal digits: the seed of BIP-32 from which a path is derived.
    Seed,
    /// PKCS#8 or SEC 1, DER or PEM, plain or encrypted.
    Pkcs8,
    /// Words of BIP-39 and a path.
    Words,
    /// An extended private key, `xprv…`, and a path.
    ExtendedKey,
    /// Ethereum keystore, version 3.
    Keystore,
    /// Bitcoin's wallet import format.
    Wif,
    /// The file of a Solana key pair.
    Solana,
    /// The file that our own export writes.
    Quorate,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 9] = [
        Self::Hex,
        Self::Seed,
        Self::Pkcs8,
        Self::Words,
        Self::ExtendedKey,
        Self::Keystore,
        Self::Wif,
        Self::Solana,
        Self::Quorate,
    ];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Seed => "seed",
            Self::Pkcs8 => "pkcs8",
            Self::Words => "bip39",
            Self::ExtendedKey => "xprv",
            Self::Keystore => "keystore",
            Self::Wif => "wif",
            Self::Solana => "solana",
            Self::Quorate => "quorate",
        }
    }

    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = MaterialError;

    fn from_str(name: &str) -> Result<Self, MaterialError> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or(MaterialError::Unrecognised)
    }
}

/// What the caller knows about the bytes.
#[derive(Debug, Default)]
pub struct Ask<'a> {
    /// The format; found out from the bytes if absent.
    pub format: Option<Format>,
    /// The curve; needed where the format does not say it, compared where it does.
    pub curve: Option<CurveId>,
    /// The path below words, seeds and extended keys.
    pub path: Option<&'a DerivationPath>,
    /// The password of the file, or the passphrase of BIP-39.
    pub password: Option<&'a Secret>,
}

/// Finds out the format. A seed in hexadecimal digits must be named: it looks like a key.
///
/// # Errors
/// [`MaterialError::TooLong`], [`MaterialError::NotText`], or [`MaterialError::Unrecognised`].
pub fn detect(bytes: &[u8]) -> Result<Format, MaterialError> {
    if bytes.len() > MAX_INPUT {
        return Err(MaterialError::TooLong);
    }
    // A sequence of DER with a length that no text has as its second character, or the text of one.
    if bytes.first() == Some(&0x30) && std::str::from_utf8(bytes).map_or(true, |text| text.contains('\0')) {
        return Ok(Format::Pkcs8);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| MaterialError::NotText)?.trim();
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let base58 = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let prefixed = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    Ok(match text.len() {
        _ if text.contains("-----BEGIN ") => Format::Pkcs8,
        _ if text.starts_with('{') => Format::Keystore,
        _ if text.starts_with('[') => Format::Solana,
        _ if text.starts_with(EXPORT_HEADER) => Format::Quorate,
        _ if is_hex && [64, 128].contains(&digits.len()) => Format::Hex,
        100..=128 if base58 && prefixed(&["xp", "tp", "yp", "zp", "up", "vp"]) => Format::ExtendedKey,
        51 | 52 if base58 => Format::Wif,
        _ if text.split_whitespace().count() >= 12 => Format::Words,
        _ => return Err(MaterialError::Unrecognised),
    })
}

/// Reads a private key.
///
/// # Errors
/// What is missing, wrong or unsupported, without repeating the bytes: see [`MaterialError`].
pub fn read(bytes: &[u8], ask: &Ask<'_>) -> Result<Material, MaterialError> {
    if bytes.len() > MAX_INPUT {
        return Err(MaterialError::TooLong);
    }
    let format = ask.format.map_or_else(|| detect(bytes), Ok)?;
    let rooted = matches!(format, Format::Words | Format::Seed | Format::ExtendedKey);
    if ask.path.is_some() && !rooted {
        return Err(MaterialError::PathWithoutRoot);
    }
    let curve = || ask.curve.ok_or(MaterialError::CurveNeeded);
    let path = || ask.path.ok_or(MaterialError::PathNeeded);
    let utf8 = || std::str::from_utf8(bytes).map(str::trim).map_err(|_| MaterialError::NotText);
    let material = match format {
        Format::Pkcs8 => match std::str::from_utf8(bytes) {
            Ok(pem) if pem.contains("-----BEGIN ") => der::pem(pem, ask.password),
            _ => der::der(bytes, ask.password),
        },
        Format::Hex => text::hex(utf8()?, curve()?),
        Format::Seed => text::seed(utf8()?, curve()?, path()?),
        Format::Words => words::read(utf8()?, ask.password, curve()?, path()?),
        Format::ExtendedKey => derive::read(utf8()?, ask.path),
        Format::Keystore => keystore::read(utf8()?, ask.password),
        Format::Wif => wif::read(utf8()?),
        Format::Solana => text::solana(utf8()?),
        Format::Quorate => text::export(utf8()?),
    }?;
    match ask.curve {
        Some(asked) if asked != material.curve() => {
            Err(MaterialError::CurveDiffers { found: material.curve(), asked })
        }
        _ => Ok(material),
    }
}

//! Why something is not a private key that can be imported.

use crate::cost;
use crate::read::{Format, MAX_INPUT};
use quorate_protocol::curve::CurveId;

/// Why nothing was read. No message repeats what was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// Longer than [`MAX_INPUT`].
    #[error("the file is longer than {MAX_INPUT} bytes: no format of a private key is")]
    TooLong,
    /// None of the formats.
    #[error(
        "this is no private key in a format that is known here: name it with `--format`, one of {}",
        Format::names()
    )]
    Unrecognised,
    /// The text is not UTF-8.
    #[error("the file is neither text nor DER")]
    NotText,
    /// The format leaves the curve open.
    #[error("this format does not say which curve the key is for: name the scheme")]
    CurveNeeded,
    /// The curve of the file is another one than was asked for.
    #[error("the file holds a key for {found}, and the scheme asks for {asked}")]
    CurveDiffers {
        /// The curve in the file.
        found: CurveId,
        /// The curve that the caller named.
        asked: CurveId,
    },
    /// The format leaves the path open.
    #[error(
        "words and seeds are the root of many keys: name one with `--path`, such as m/44'/60'/0'/0/0 (Ethereum), m/84'/0'/0'/0/0 (Bitcoin), m/44'/501'/0'/0' (Solana) or m (the root itself)"
    )]
    PathNeeded,
    /// A path was given with a format that has none.
    #[error("a path has a meaning only for words and extended keys")]
    PathWithoutRoot,
    /// The path is malformed.
    #[error("the path must be `m` and up to 16 numbers below 2147483648, such as m/44'/60'/0'/0/0")]
    Path,
    /// Ed25519 has no public derivation.
    #[error("keys of Ed25519 are derived by hardened numbers alone: write every number of the path with a '")]
    PathNotHardened,
    /// The child with this number does not exist (BIP-32; it happens once in 2^127).
    #[error("there is no key at this path: BIP-32 says to take the next number")]
    NoChild,
    /// The seed of a derivation is too short or too long.
    #[error("a seed has 16 to 64 bytes")]
    Seed,
    /// A password is needed.
    #[error("the file is encrypted: give its password, by prompt, `--password-file` or `--password-fd`")]
    PasswordNeeded,
    /// The password does not open the file.
    #[error("the password does not open the file, or the file is damaged")]
    Password,
    /// Opening would take more than we are willing to spend on a file from outside.
    #[error(
        "opening this file would take {what}, more than the bound of {}: whoever wrote it may want to exhaust this machine; if the file is yours, write it anew with the usual parameters",
        cost::bounds()
    )]
    TooExpensive {
        /// What it would take, in words.
        what: String,
    },
    /// The scalar is zero or not below the order of the group.
    #[error(
        "the number in the file is no private key of {0}: it must be above zero and below the order of the group"
    )]
    Scalar(CurveId),
    /// What the file says about the public key does not belong to its private key.
    #[error(
        "the {what} in the file does not belong to the private key in it: the file is damaged or was put together"
    )]
    Mismatch {
        /// What it says: an address or a public key.
        what: &'static str,
    },
    /// Digits, length or checksum are wrong.
    #[error("{format}: {what}")]
    Malformed {
        /// The format that it was read as.
        format: Format,
        /// What is wrong.
        what: &'static str,
    },
    /// A well-formed file of a kind that cannot be imported.
    #[error("{format}: {what}")]
    Unsupported {
        /// The format that it was read as.
        format: Format,
        /// What it is, and the way out.
        what: String,
    },
    /// The key cannot be written in this format.
    #[error("a key of {curve} is not written as {format}: {why}")]
    NotWritten {
        /// The format that was asked for.
        format: Format,
        /// The curve of the key.
        curve: CurveId,
        /// Why, and the way out.
        why: &'static str,
    },
    /// A key of this curve does not sign so, or not this.
    #[error("a key of {curve} signs {expected}")]
    NotSigned {
        /// The curve of the key.
        curve: CurveId,
        /// What it signs.
        expected: &'static str,
    },
    /// A word is not in the lists of BIP-39, or the lists disagree.
    #[error("word {0} is in none of the lists of BIP-39, or not in that of the other words")]
    Word(usize),
}

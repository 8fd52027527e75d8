//! What a key may be used for.

use crate::{IntentError, Scheme};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One kind of thing that a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Ethereum transactions, EIP-191 messages and EIP-712 typed data. Their prefixes keep these apart.
    Ethereum,
    /// Inputs of Bitcoin transactions.
    Bitcoin,
    /// Solana transactions.
    Solana,
    /// Plain messages. Stands alone.
    Message,
    /// Any 32-byte digest, unseen. Stands alone, never by default.
    Raw,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 5] = [Self::Ethereum, Self::Bitcoin, Self::Solana, Self::Message, Self::Raw];

    /// The name used in JSON, on the command line and in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethereum => "ethereum",
            Self::Bitcoin => "bitcoin",
            Self::Solana => "solana",
            Self::Message => "message",
            Self::Raw => "raw",
        }
    }

    /// Whether a key of `scheme` can serve this purpose at all.
    ///
    /// `raw` does not fit Ed25519, which hashes by itself: there a digest is a message.
    #[must_use]
    pub const fn fits(self, scheme: Scheme) -> bool {
        match self {
            Self::Ethereum => matches!(scheme, Scheme::EcdsaSecp256k1),
            Self::Bitcoin => matches!(scheme, Scheme::EcdsaSecp256k1 | Scheme::Bip340),
            Self::Solana => matches!(scheme, Scheme::Ed25519),
            Self::Message => true,
            Self::Raw => !matches!(scheme, Scheme::Ed25519),
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Purpose {
    type Err = IntentError;

    fn from_str(name: &str) -> Result<Self, IntentError> {
        Self::ALL.into_iter().find(|p| p.name() == name).ok_or_else(|| IntentError::UnknownName {
            what: "purpose",
            name: crate::summary::clip(name, 40),
            known: "ethereum, bitcoin, solana, message, raw",
        })
    }
}

/// The purposes a new key gets when its creator names none.
#[must_use]
pub fn default_purposes(scheme: Scheme) -> BTreeSet<Purpose> {
    match scheme {
        Scheme::EcdsaSecp256k1 => BTreeSet::from([Purpose::Ethereum, Purpose::Bitcoin]),
        Scheme::EcdsaP256 => BTreeSet::from([Purpose::Message]),
        Scheme::Ed25519 => BTreeSet::from([Purpose::Solana]),
        Scheme::Bip340 => BTreeSet::from([Purpose::Bitcoin]),
    }
}

/// Checks that a key of `scheme` may carry `purposes` together.
///
/// A key carries a set of purposes, and an intent is signed only if its purpose is in the set. Two of them
/// must stand alone, because what they sign can be chosen to be the content of a transaction:
///
/// - `message` under ECDSA and BIP-340 signs SHA-256 of the sender's bytes. Let the bytes be SHA-256 of a
///   Bitcoin transaction's signing preimage: the digest then is the double SHA-256 that the network checks
///   (BIP-143). A BIP-341 sighash is likewise SHA-256 of bytes that the sender knows. Under Ed25519 the
///   sender's bytes are signed as they are, and a Solana transaction message is such bytes.
/// - `raw` signs any 32 bytes, so it contains every other purpose. There is no safe company for it.
///
/// # Errors
/// [`IntentError::PurposeMissing`], [`IntentError::PurposeUnfit`] or [`IntentError::PurposeNotAlone`].
pub fn check_purposes(scheme: Scheme, purposes: &BTreeSet<Purpose>) -> Result<(), IntentError> {
    let fits = || {
        let names: Vec<&str> = Purpose::ALL.iter().filter(|p| p.fits(scheme)).map(|p| p.name()).collect();
        names.join(", ")
    };
    if purposes.is_empty() {
        return Err(IntentError::PurposeMissing { fits: fits() });
    }
    if let Some(&purpose) = purposes.iter().find(|p| !p.fits(scheme)) {
        return Err(IntentError::PurposeUnfit { purpose, scheme, fits: fits() });
    }
    if purposes.len() > 1 {
        if purposes.contains(&Purpose::Raw) {
            let because = "a raw digest can be the digest of anything";
            return Err(IntentError::PurposeNotAlone { purpose: Purpose::Raw, because });
        }
        if purposes.contains(&Purpose::Message) {
            let because = "a plain message can be the content of a transaction";
            return Err(IntentError::PurposeNotAlone { purpose: Purpose::Message, because });
        }
    }
    Ok(())
}

//! What comes out of an intent: the inputs to sign, and the signed result.

use crate::encoding::{hex_option, hex64};
use crate::{Facts, IntentError, Purpose, Scheme, Summary, ethereum, psbt, solana};
use bitcoin::secp256k1;
use serde::{Deserialize, Serialize};

/// One signature that is needed, in the form the signing protocol takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToSign {
    /// A digest for ECDSA, signed as it is.
    Prehash([u8; 32]),
    /// A message for Ed25519, which hashes by itself.
    Ed25519Message(Vec<u8>),
    /// A message for BIP-340.
    Bip340 {
        /// The message: always 32 bytes here, a BIP-341 sighash or a SHA-256.
        message: Vec<u8>,
        /// Sign with the key tweaked for a key path spend without script tree (BIP-341, BIP-86):
        /// `d + H_TapTweak(x)` on the even-y key. False signs with the key itself.
        taproot_tweak: bool,
    },
}

impl ToSign {
    /// The 32 bytes that are signed, in hex; `None` for Ed25519.
    #[must_use]
    pub fn digest_hex(&self) -> Option<String> {
        match self {
            Self::Prehash(digest) => Some(hex::encode(digest)),
            Self::Bip340 { message, .. } => Some(hex::encode(message)),
            Self::Ed25519Message(_) => None,
        }
    }
}

/// A signature as the protocols deliver it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// `r || s`, big-endian, low s (ECDSA); `R || s` (Ed25519); `x(R) || s` (BIP-340).
    #[serde(with = "hex64")]
    pub bytes: [u8; 64],
    /// Parity of `R`'s y coordinate, for ECDSA over secp256k1. Ethereum needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_id: Option<u8>,
}

/// The result of [`Prepared::finish`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// The transaction as it is broadcast, if it is complete: EIP-2718 bytes, a Bitcoin transaction, a
    /// Solana wire transaction.
    #[serde(with = "hex_option", skip_serializing_if = "Option::is_none")]
    pub raw_tx: Option<Vec<u8>>,
    /// A Solana wire transaction with our signature set and those of the other signers still zero.
    #[serde(with = "hex_option", skip_serializing_if = "Option::is_none")]
    pub partial_tx: Option<Vec<u8>>,
    /// The PSBT with our signatures added, in its own version, if others must still sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psbt: Option<String>,
    /// The transaction's id as its chain writes it, if the transaction is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txid: Option<String>,
    /// `r || s || v` with v 27 or 28, as `ecrecover` and wallets take it: Ethereum messages and typed data only.
    #[serde(with = "hex_option", skip_serializing_if = "Option::is_none")]
    pub ethereum_signature: Option<Vec<u8>>,
    /// The signatures, in the order of [`Prepared::inputs`].
    pub signatures: Vec<Signature>,
}

/// An intent that was checked against a key.
///
/// The same intent and key give the same value on every node.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What has to be signed, in order. Never empty.
    pub inputs: Vec<ToSign>,
    /// What it means, in words.
    pub summary: Summary,
    /// What it means, as data for policies.
    pub facts: Facts,
    /// The purpose the key must carry.
    pub purpose: Purpose,
    pub(crate) message: Option<Vec<u8>>,
    pub(crate) body: Body,
    pub(crate) scheme: Scheme,
}

/// How signatures become a result.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    EthereumTransaction(ethereum::Unsigned),
    EthereumSignature,
    Bitcoin(Box<psbt::Plan>),
    Solana(solana::Plan),
    Plain,
}

impl Prepared {
    /// The 32 bytes that are signed, in hex: of the first input if there are several. `None` for Ed25519.
    #[must_use]
    pub fn digest_hex(&self) -> Option<String> {
        self.inputs.first().and_then(ToSign::digest_hex)
    }

    /// Which input of a Bitcoin transaction the signature at `index` is for; `None` for anything else.
    #[must_use]
    pub fn input(&self, index: usize) -> Option<u32> {
        match &self.body {
            Body::Bitcoin(plan) => plan.input(index),
            Body::EthereumTransaction(_) | Body::EthereumSignature | Body::Solana(_) | Body::Plain => None,
        }
    }

    /// The bytes behind the signature, if they are at hand: what is hashed into the digest (Keccak-256 for
    /// Ethereum, SHA-256 for a plain message), or what Ed25519 signs. `None` for Bitcoin and raw digests.
    #[must_use]
    pub fn message(&self) -> Option<&[u8]> {
        self.message.as_deref()
    }

    /// [`Self::message`] in hex.
    #[must_use]
    pub fn message_hex(&self) -> Option<String> {
        self.message.as_ref().map(hex::encode)
    }

    /// Puts the signatures, one for each of [`Self::inputs`] in order, where they belong.
    ///
    /// Checks structure only (number, range of r and s, low s, recovery id). That a signature verifies is the
    /// signing protocol's business, before it releases one.
    ///
    /// # Errors
    /// [`IntentError::SignatureCount`] or [`IntentError::Signature`].
    pub fn finish(&self, signatures: &[Signature]) -> Result<Finished, IntentError> {
        if signatures.len() != self.inputs.len() {
            return Err(IntentError::SignatureCount { given: signatures.len(), needed: self.inputs.len() });
        }
        for (index, signature) in signatures.iter().enumerate() {
            check(self.scheme, signature).map_err(|reason| IntentError::Signature { index, reason })?;
        }
        let first = signatures.first().ok_or(IntentError::SignatureCount { given: 0, needed: 1 })?;
        let mut finished = match &self.body {
            Body::EthereumTransaction(unsigned) => unsigned.finish(first)?,
            Body::EthereumSignature => ethereum::finish_message(first)?,
            Body::Bitcoin(plan) => plan.finish(signatures)?,
            Body::Solana(plan) => plan.finish(first),
            Body::Plain => Finished::default(),
        };
        finished.signatures = signatures.to_vec();
        Ok(finished)
    }
}

/// Structure of one signature.
fn check(scheme: Scheme, signature: &Signature) -> Result<(), &'static str> {
    let range = "r and s must be from 1 to the group's order minus 1";
    match scheme {
        Scheme::EcdsaSecp256k1 => {
            let parsed = secp256k1::ecdsa::Signature::from_compact(&signature.bytes).map_err(|_| range)?;
            let (r, s) = signature.bytes.split_at(32);
            if r.iter().all(|b| *b == 0) || s.iter().all(|b| *b == 0) {
                return Err(range);
            }
            let mut low = parsed;
            low.normalize_s();
            if low != parsed {
                return Err("s is above half of the group's order: chains refuse it, negate s");
            }
            match signature.recovery_id {
                None | Some(0 | 1) => Ok(()),
                Some(_) => Err("the recovery id must be 0 or 1"),
            }
        }
        Scheme::EcdsaP256 => {
            p256::ecdsa::Signature::from_slice(&signature.bytes).map(|_| ()).map_err(|_| range)
        }
        Scheme::Ed25519 | Scheme::Bip340 => Ok(()),
    }
}

//! The body of a signing request.

use crate::encoding::{base64_bytes, hex_bytes};
use crate::{
    IntentError, Network, Prepared, PublicKey, Purpose, Scheme, ethereum, facts, message, psbt, solana,
};
use serde::{Deserialize, Serialize};

/// Largest unsigned Ethereum transaction in bytes: what execution clients accept in their pools (128 KiB).
const MAX_ETHEREUM_TX: usize = 128 * 1024;
/// Largest plain or EIP-191 message in bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// Largest PSBT in bytes. Previous transactions inside it are what makes one large.
const MAX_PSBT: usize = 512 * 1024;

/// What a client asks to sign: the JSON object `{ "kind": …, … }`, unknown fields refused.
///
/// Hex may carry `0x`; base64 is the padded standard alphabet. Everything is bounded in size when it is
/// prepared, before it is decoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Intent {
    /// An unsigned Ethereum transaction.
    EthereumTransaction {
        /// Hex of the payload that is hashed for signing: `0x02 || rlp` (EIP-1559), `0x01 || rlp` (EIP-2930), or the
        /// nine items of a legacy transaction with chain id (EIP-155).
        tx: String,
    },
    /// A personal message (EIP-191, version `E`).
    EthereumMessage {
        /// Hex of the message, without the prefix.
        message: String,
    },
    /// Typed structured data (EIP-712).
    EthereumTypedData {
        /// The object with `types`, `primaryType`, `domain` and `message`.
        typed_data: serde_json::Value,
    },
    /// A partially signed Bitcoin transaction. All inputs that pay to the key are signed.
    BitcoinPsbt {
        /// Base64 of a PSBT, version 0 (BIP-174) or 2 (BIP-370).
        psbt: String,
    },
    /// A Solana transaction message.
    SolanaMessage {
        /// Base64 of the message without signatures, legacy or v0.
        message: String,
    },
    /// A plain message: SHA-256 of it is signed, except that Ed25519 signs the bytes themselves.
    Message {
        /// Hex of the message.
        message: String,
    },
    /// A digest that nobody can read.
    RawDigest {
        /// Hex of 32 bytes.
        digest: String,
    },
}

impl Intent {
    /// The `kind` in its JSON form.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::EthereumTransaction { .. } => "ethereum_transaction",
            Self::EthereumMessage { .. } => "ethereum_message",
            Self::EthereumTypedData { .. } => "ethereum_typed_data",
            Self::BitcoinPsbt { .. } => "bitcoin_psbt",
            Self::SolanaMessage { .. } => "solana_message",
            Self::Message { .. } => "message",
            Self::RawDigest { .. } => "raw_digest",
        }
    }

    /// The purpose a key must carry to sign this.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        match self {
            Self::EthereumTransaction { .. }
            | Self::EthereumMessage { .. }
            | Self::EthereumTypedData { .. } => Purpose::Ethereum,
            Self::BitcoinPsbt { .. } => Purpose::Bitcoin,
            Self::SolanaMessage { .. } => Purpose::Solana,
            Self::Message { .. } => Purpose::Message,
            Self::RawDigest { .. } => Purpose::Raw,
        }
    }

    /// Parses and checks the request for `key` and computes what is signed.
    ///
    /// Deterministic and total. `network` only decides how Bitcoin addresses look in the summary; it must come
    /// from the node's own configuration. Whether the key carries [`Self::purpose`] is for the caller to check.
    ///
    /// # Errors
    /// Anything that is not exactly one acceptable unsigned request for this key; see [`IntentError`].
    pub fn prepare(&self, key: &PublicKey, network: Network) -> Result<Prepared, IntentError> {
        self.check_scheme(key.scheme)?;
        let mut prepared = self.parse(key, network)?;
        facts::settle(self.kind(), &mut prepared.facts, &mut prepared.summary);
        Ok(prepared)
    }

    fn parse(&self, key: &PublicKey, network: Network) -> Result<Prepared, IntentError> {
        match self {
            Self::EthereumTransaction { tx } => {
                ethereum::prepare(&hex_bytes("the transaction", tx, MAX_ETHEREUM_TX)?, key)
            }
            Self::EthereumMessage { message } => {
                Ok(ethereum::prepare_message(&hex_bytes("the message", message, MAX_MESSAGE)?, key))
            }
            Self::EthereumTypedData { typed_data } => ethereum::prepare_typed_data(typed_data, key),
            Self::BitcoinPsbt { psbt } => {
                psbt::prepare(&base64_bytes("the psbt", psbt, MAX_PSBT)?, key, network)
            }
            Self::SolanaMessage { message } => {
                solana::prepare(&base64_bytes("the message", message, solana::MAX_MESSAGE)?, key)
            }
            Self::Message { message } => {
                Ok(message::prepare(&hex_bytes("the message", message, MAX_MESSAGE)?, key))
            }
            Self::RawDigest { digest } => message::prepare_digest(&hex_bytes("the digest", digest, 32)?, key),
        }
    }

    /// The schemes that can sign each kind.
    fn check_scheme(&self, scheme: Scheme) -> Result<(), IntentError> {
        if self.purpose().fits(scheme) {
            return Ok(());
        }
        let needs = match self.purpose() {
            Purpose::Ethereum => "an ecdsa-secp256k1 key",
            Purpose::Bitcoin => "an ecdsa-secp256k1 key (p2wpkh) or a bip340 key (p2tr)",
            Purpose::Solana => "an ed25519 key",
            Purpose::Message => "any key whose purpose is `message`",
            Purpose::Raw => "an ecdsa or bip340 key; with ed25519, send the bytes as a `message`",
        };
        Err(IntentError::WrongScheme { intent: self.kind(), scheme, needs })
    }
}

//! OpenAPI schemas of the types that `quorate-intent` owns, which does not know OpenAPI.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

/// A string with a pattern.
pub(crate) fn pattern(pattern: &str) -> Schema {
    Schema::Object(
        ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).pattern(Some(pattern)).build(),
    )
}

/// A signature scheme.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Scheme {
    /// ECDSA over secp256k1.
    EcdsaSecp256k1,
    /// ECDSA over P-256.
    EcdsaP256,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// Schnorr over secp256k1 (BIP-340).
    Bip340,
}

/// What a key may sign.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Purpose {
    /// Ethereum transactions and messages.
    Ethereum,
    /// Bitcoin transactions.
    Bitcoin,
    /// Solana transactions.
    Solana,
    /// Plain messages.
    Message,
    /// Digests that nobody can read.
    Raw,
}

/// What to sign. Hex may carry `0x`; base64 is the padded standard alphabet.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Intent {
    /// An unsigned Ethereum transaction (EIP-1559, EIP-2930 or EIP-155).
    EthereumTransaction {
        /// Hex of the bytes that are hashed for signing.
        #[schema(
            pattern = "^(0x)?([0-9a-fA-F]{2})*$",
            example = "02f001078459682f008506fc23ac0082520894333333333333333333333333333333333333333388016345785d8a000080c0"
        )]
        tx: String,
    },
    /// A personal message (EIP-191).
    EthereumMessage {
        /// Hex of the message without the prefix.
        #[schema(pattern = "^(0x)?([0-9a-fA-F]{2})*$")]
        message: String,
    },
    /// Typed structured data (EIP-712).
    EthereumTypedData {
        /// The object with `types`, `primaryType`, `domain` and `message`.
        #[schema(value_type = Object)]
        typed_data: serde_json::Value,
    },
    /// A partially signed Bitcoin transaction; all inputs that pay to the key are signed.
    BitcoinPsbt {
        /// Base64 of a PSBT, version 0 or 2.
        #[schema(pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$")]
        psbt: String,
    },
    /// A Solana transaction message.
    SolanaMessage {
        /// Base64 of the message without signatures, legacy or v0.
        #[schema(pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$")]
        message: String,
    },
    /// A plain message: SHA-256 of it is signed; Ed25519 signs the bytes themselves.
    Message {
        /// Hex of the message.
        #[schema(pattern = "^(0x)?([0-9a-fA-F]{2})*$", example = "68656c6c6f")]
        message: String,
    },
    /// A digest that nobody can read.
    RawDigest {
        /// Hex of 32 bytes.
        #[schema(pattern = "^(0x)?[0-9a-fA-F]{64}$")]
        digest: String,
    },
}

/// An address of a key.
#[derive(Serialize, ToSchema)]
pub(crate) struct Address {
    /// The chain.
    chain: String,
    /// The form of the address on that chain.
    kind: String,
    /// The address as the chain writes it.
    address: String,
}

/// What was signed, in words made from the signed bytes.
#[derive(Serialize, ToSchema)]
pub(crate) struct Summary {
    /// The whole request in one sentence.
    headline: String,
    /// More facts, one a line.
    details: Vec<String>,
    /// What deserves a second look.
    warnings: Vec<String>,
    /// True if part of the meaning cannot be read from the bytes.
    blind: bool,
    /// The payments that could be read; incomplete when `blind`.
    transfers: Vec<Transfer>,
}

/// One payment.
#[derive(Serialize, ToSchema)]
pub(crate) struct Transfer {
    /// The chain: `ethereum:<chain id>`, `bitcoin` or `solana`.
    chain: String,
    /// `native`, or the address of the token.
    asset: String,
    /// Who receives.
    to: String,
    /// Amount in the smallest unit, decimal.
    amount: String,
}

/// One step of a change of the directory: its name in `step`, and beside it what that step needs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Step {
    /// `add_tenant`, `add_principal`, `set_disabled`, `add_credential`, `set_group`, `set_role`, `set_policy`, `set_admins`, `remove` or `thaw`.
    step: String,
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, serde_json::Value>,
}

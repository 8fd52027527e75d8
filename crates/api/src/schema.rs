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

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $shown:literal, $pattern:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<Schema> {
                pattern($pattern).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                $shown.into()
            }
        }
    };
}

text! {
    /// A name of the directory.
    Name, "DirectoryName", "^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$"
}
text! {
    /// A hash, or as many fresh bytes.
    Bytes32, "Bytes32", "^[0-9a-f]{64}$"
}
text! {
    /// The name of a node.
    NodeName, "NodeName", "^[0-9a-z][0-9a-z-]{0,62}$"
}
text! {
    /// Who can sign: `k of (x, y, ...)`, `x and y`, `x or y`, `x*2` in a list for a weight, `k of (...) over k of (...)` for ranks, over names of nodes.
    Access, "Access", "^[0-9a-z(\"][0-9a-z ,*()\"-]{0,4095}$"
}
text! {
    /// Where below a key another one is: `m` is the key itself, `m/0/7` two steps below. A hardened number (`'`) is understood and refused,
    /// because no node has the private key that it needs.
    Path, "DerivationPath", "^m(/(0|[1-9][0-9]{0,9})['hH]?){0,16}$"
}
text! {
    /// What people read, on one line.
    Label, "Label", r"^[^\u0000-\u001f\u007f-\u009f]{1,128}$"
}

/// One step of a change of the directory.
#[derive(Serialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = Step)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Step {
    /// Adds a tenant.
    AddTenant {
        /// Its name.
        #[schema(value_type = Name)]
        name: String,
    },
    /// Adds a user or service.
    AddPrincipal {
        /// Its name.
        #[schema(value_type = Name)]
        name: String,
        /// Which of the two; only people approve.
        kind: PrincipalKind,
        /// The tenant it belongs to, for ever.
        #[schema(value_type = Option<Name>)]
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
    },
    /// Disables or enables a user or service.
    SetDisabled {
        /// Its name.
        #[schema(value_type = Name)]
        name: String,
        /// Whether it is refused.
        disabled: bool,
    },
    /// Adds a credential.
    AddCredential {
        /// The name that requests use.
        #[schema(value_type = Name)]
        name: String,
        /// Whose it is.
        #[schema(value_type = Name)]
        principal: String,
        /// `{ "key": "ed25519:…" }` or `{ "passkey": { … } }`; none serves two credentials.
        #[schema(value_type = Object)]
        with: serde_json::Value,
    },
    /// Adds a group or replaces its members.
    SetGroup {
        /// Its name.
        #[schema(value_type = Name)]
        name: String,
        /// Its members.
        members: Members,
    },
    /// Adds a role or replaces who has it.
    SetRole {
        /// Its name.
        #[schema(value_type = Name)]
        name: String,
        /// Who has it.
        members: Members,
    },
    /// Adds a policy or replaces its text.
    SetPolicy {
        /// Its name.
        #[schema(value_type = Name)]
        name: String,
        /// Cedar, with `@id`, `@quorum` and the other annotations.
        #[schema(
            max_length = 65536,
            example = "@id(\"x\") permit (principal in Group::\"admins\", action, resource);"
        )]
        text: String,
    },
    /// Replaces who must agree to changes.
    SetAdmins {
        /// The new rule.
        rule: AdminRule,
    },
    /// Removes something that nothing refers to any more.
    Remove {
        /// Which kind of thing.
        what: What,
        /// Its name.
        #[schema(value_type = Name)]
        name: String,
    },
    /// Lifts freezes, named by their ids.
    Thaw {
        /// The ids, 32 bytes each.
        #[schema(min_items = 1, value_type = Vec<Bytes32>)]
        freezes: Vec<String>,
    },
    /// Adds a node. It begins without shares.
    AddNode {
        /// Its name.
        #[schema(value_type = NodeName)]
        name: String,
        /// The identity that `quorate node init` printed there.
        #[schema(value_type = Bytes32)]
        identity: String,
    },
    /// Puts a fresh machine in the place of a node: another identity under the same name.
    ReplaceNode {
        /// Its name.
        #[schema(value_type = NodeName)]
        name: String,
        /// The identity that `quorate node init` printed on the fresh machine.
        #[schema(value_type = Bytes32)]
        identity: String,
    },
    /// Removes a node. Its identity is refused from then on.
    RemoveNode {
        /// Its name.
        #[schema(value_type = NodeName)]
        name: String,
    },
}

/// A person or a program.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum PrincipalKind {
    /// A person.
    User,
    /// A program.
    Service,
}

/// Who is in a group or has a role.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Members {
    /// Users and services.
    #[schema(value_type = Vec<Name>, required = false)]
    principals: Vec<String>,
    /// All members of these groups too.
    #[schema(value_type = Vec<Name>, required = false)]
    groups: Vec<String>,
}

/// Who must agree to changes of the directory.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminRule {
    /// The quorum expression.
    #[schema(example = "2 of Group::\"admins\"")]
    quorum: String,
    /// Whether the one who asks counts as one of them.
    requester_counts: bool,
}

/// A thing that a step removes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum What {
    /// A tenant that nobody belongs to.
    Tenant,
    /// A user or service without credentials or memberships.
    Principal,
    /// A group that nothing refers to.
    Group,
    /// A role.
    Role,
    /// A credential.
    Credential,
    /// A policy.
    Policy,
}

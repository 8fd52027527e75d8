//! Importing a key, and the keys to which shares are sealed.

use crate::access::Access;
use crate::bounded;
use crate::id::Hex;
use crate::key::{CreateKey, said_in_full};
use crate::schema;
use quorate_intent::{Purpose, Scheme};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// First in what a node signs about its sealing key, so that the signature says nothing else.
const SEALING_TAG: &[u8] = b"quorate-sealing-key-v1";
/// Bytes of a sealing key.
pub(crate) const SEALING_KEY: usize = 1216;
/// Most bytes of one sealed share.
pub const MAX_SEALED: usize = 16 * 1024;
/// Most points of a commitment.
pub const MAX_COMMITMENT: usize = 1024;

/// Body of `POST /v1/keys/import`: share a private key out that the client has, for those who can sign by either `threshold` with `parties`,
/// or `access`. The client splits it, seals each party its part, and forgets it;
/// the nodes check their parts, and make new shares before the key is used, so that the client knows none that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportKey {
    /// The signature scheme; it cannot change later.
    #[schema(value_type = schema::Scheme)]
    pub scheme: Scheme,
    /// How many parties can sign: *threshold of n*. Not beside `access`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "bounded::optional_threshold"
    )]
    #[schema(minimum = 2, maximum = 64)]
    pub threshold: Option<u16>,
    /// Who can sign, over the names of nodes, as in `user and 2 of (a, b, c)`. The nodes it names get their shares and are numbered in
    /// alphabetical order. Not beside `threshold` and `parties`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::access")]
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Access>,
    /// The names of the nodes that each get a share, in the order of their numbers; needed with `threshold`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::node_names")]
    #[schema(min_items = 1, max_items = 64, value_type = Option<Vec<schema::NodeName>>)]
    pub parties: Option<Vec<String>>,
    /// What the key may sign; the defaults of its scheme if absent (`message` and `raw` stand alone).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::purposes")]
    #[schema(value_type = Option<Vec<schema::Purpose>>)]
    pub purposes: Option<Vec<Purpose>>,
    /// A name for people; need not be unique.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::label")]
    #[schema(value_type = Option<schema::Label>)]
    pub label: Option<String>,
    /// What every part is checked against (Feldman): points in hex, the public key first.
    #[serde(deserialize_with = "bounded::commitment")]
    #[schema(min_items = 1, max_items = 1024)]
    pub commitment: Vec<Hex>,
    /// The chain code for derivation, 32 bytes; of a key that has none, fresh random bytes.
    #[serde(deserialize_with = "bounded::bytes32")]
    #[schema(value_type = schema::Bytes32)]
    pub chain_code: Hex,
    /// Until when the parts may be used, in unix seconds.
    pub expires: u64,
    /// Each party's part, sealed to its node, in the order of the numbers.
    #[serde(deserialize_with = "bounded::deals")]
    #[schema(min_items = 1, max_items = 64)]
    pub deals: Vec<Hex>,
}

impl ImportKey {
    /// Whether who can sign is said exactly once, and in full.
    ///
    /// # Errors
    /// A sentence that says what to leave out or add.
    pub fn check(&self) -> Result<(), &'static str> {
        said_in_full(self.threshold, self.access.as_ref(), self.parties.as_deref())
    }

    /// The key that is wanted, without its secrets.
    pub fn create(&self) -> CreateKey {
        CreateKey {
            scheme: self.scheme,
            threshold: self.threshold,
            access: self.access.clone(),
            parties: self.parties.clone(),
            purposes: self.purposes.clone(),
            label: self.label.clone(),
        }
    }

    /// What the sealed parts belong to: a hash over everything else in the body. A part opens in no other import.
    pub fn binding(&self) -> [u8; 32] {
        // Without `..`, so that a field that is added cannot be left out.
        let Self {
            scheme,
            threshold,
            access,
            parties,
            purposes,
            label,
            commitment,
            chain_code,
            expires,
            deals: _,
        } = self;
        let parts = (scheme, threshold, access, parties, purposes, label, commitment, chain_code, expires);
        // Names, numbers and hex always have JSON.
        blake3::derive_key(
            "quorate 2026 api import binding v1",
            &serde_json::to_vec(&parts).unwrap_or_default(),
        )
    }
}

/// The key to which shares for a node are sealed, as the node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeSealingKey {
    /// The node's name.
    pub name: String,
    /// Its public identity key, 32 bytes in hex.
    pub identity: Hex,
    /// An HPKE public key for X-Wing, 1216 bytes in hex.
    pub key: Hex,
    /// The identity's signature over it, 64 bytes in hex.
    pub signature: Hex,
}

impl NodeSealingKey {
    /// What the identity signs.
    pub fn signed_bytes(key: &[u8]) -> Vec<u8> {
        [SEALING_TAG, key].concat()
    }

    /// Whether the identity says that this is its key. Whether the identity is that of the right machine is for people to compare.
    pub fn holds(&self) -> bool {
        let identity = <&[u8; 32]>::try_from(self.identity.0.as_slice()).ok();
        let identity = identity.and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(bytes).ok());
        let signature = ed25519_dalek::Signature::from_slice(&self.signature.0);
        match (identity, signature) {
            (Some(identity), Ok(signature)) if self.key.0.len() == SEALING_KEY => {
                identity.verify_strict(&Self::signed_bytes(&self.key.0), &signature).is_ok()
            }
            _ => false,
        }
    }
}

/// Answer of `GET /v1/sealing-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealingKeys {
    /// The keys of the asked node and of the peers that answered it.
    pub keys: Vec<NodeSealingKey>,
    /// The names of the peers that did not.
    pub absent: Vec<String>,
}

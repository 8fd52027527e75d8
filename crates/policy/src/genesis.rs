//! The genesis: the nodes of a cluster and the first people, signed by every node's operator with the node's identity key.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use quorate_api::Hex;
use serde::{Deserialize, Serialize};

use crate::change::{AdminRule, ChangeError, Step};
use crate::directory::Directory;
use crate::name::Name;
use crate::nodes::Nodes;

const TAG: &[u8] = b"quorate-genesis-v1";
const HASH: &str = "quorate 2026 genesis v1";
/// Most nodes of a cluster.
pub const MAX_NODES: usize = 64;
/// Largest genesis file, in bytes.
pub const MAX_LEN: usize = 1 << 20;

/// What the operators of the nodes agree on when a cluster begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// 1.
    pub version: u16,
    /// What the cluster is called.
    pub cluster: Name,
    /// The nodes' identities by their names.
    pub nodes: BTreeMap<String, Hex>,
    /// Who must agree to changes.
    pub admins: AdminRule,
    /// The first people, credentials, groups, policies.
    pub steps: Vec<Step>,
}

/// A genesis as a file holds it: the exact text that was signed, and the signatures by node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFile {
    /// The terms as JSON text: these bytes are signed.
    pub terms: String,
    /// By the name of the node: the Ed25519 signature of its identity key, 64 bytes.
    pub signatures: BTreeMap<String, Hex>,
}

/// Why there is no valid genesis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// It does not read.
    #[error("the genesis does not read: {0}")]
    Malformed(String),
    /// No nodes, too many, or a malformed identity.
    #[error("a genesis has 1 to {MAX_NODES} nodes with different identities of 32 bytes")]
    Nodes,
    /// A node comes by a step: its operator would not have signed.
    #[error(
        "the nodes of a genesis are listed, since the operator of each signs it: take the steps about nodes out"
    )]
    NodeSteps,
    /// The first people do not make a directory.
    #[error("the genesis has no valid directory: {0}")]
    Directory(#[from] ChangeError),
    /// Not every operator has signed.
    #[error("the operators of `{}` have not signed: run `quorate cluster sign` with their configurations", .0.join("`, `"))]
    Unsigned(Vec<String>),
    /// A signature does not verify.
    #[error("the signature of `{0}` does not verify under its identity")]
    Signature(String),
    /// The signer is no node of it.
    #[error("this node's identity is not in the genesis")]
    Stranger,
}

/// A genesis that every node's operator has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    terms: Terms,
    hash: [u8; 32],
    directory: Directory,
}

impl Terms {
    /// The directory that the steps make.
    ///
    /// # Errors
    /// The first step that cannot be taken, or what the directory lacks.
    pub fn directory(&self) -> Result<Directory, ChangeError> {
        let mut directory = Directory::empty(self.admins.clone());
        directory.nodes = Nodes::new(self.nodes.clone());
        directory.changed(&self.steps)
    }
}

impl GenesisFile {
    /// A genesis that nobody has signed.
    ///
    /// # Errors
    /// [`GenesisError`] if the terms make no cluster.
    pub fn new(terms: &Terms) -> Result<Self, GenesisError> {
        let text =
            serde_json::to_string(terms).map_err(|error| GenesisError::Malformed(error.to_string()))?;
        read(&text)?;
        Ok(Self { terms: text, signatures: BTreeMap::new() })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`GenesisError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, GenesisError> {
        if text.len() > MAX_LEN {
            return Err(GenesisError::Malformed(format!("it is longer than {MAX_LEN} bytes")));
        }
        serde_json::from_str(text).map_err(|error| GenesisError::Malformed(error.to_string()))
    }

    /// The terms, for people to look at before they sign.
    ///
    /// # Errors
    /// [`GenesisError`] if they make no cluster.
    pub fn terms(&self) -> Result<Terms, GenesisError> {
        read(&self.terms).map(|(terms, _)| terms)
    }

    /// Adds the signature of the node with this identity seed.
    ///
    /// # Errors
    /// [`GenesisError::Stranger`] if it is no node of the genesis.
    pub fn sign(&mut self, seed: &[u8; 32]) -> Result<String, GenesisError> {
        let key = SigningKey::from_bytes(seed);
        let identity = key.verifying_key().to_bytes();
        let terms = self.terms()?;
        let name = terms.nodes.iter().find(|(_, node)| node.0 == identity).map(|(name, _)| name.clone());
        let name = name.ok_or(GenesisError::Stranger)?;
        let signature = key.sign(&signed(&hash(&self.terms)));
        self.signatures.insert(name.clone(), Hex(signature.to_bytes().to_vec()));
        Ok(name)
    }

    /// GOV.1: checks that every node has signed.
    ///
    /// # Errors
    /// [`GenesisError`] names who has not, or what is wrong.
    pub fn verify(&self) -> Result<Genesis, GenesisError> {
        let (terms, directory) = read(&self.terms)?;
        let hash = hash(&self.terms);
        let missing: Vec<String> =
            terms.nodes.keys().filter(|name| !self.signatures.contains_key(*name)).cloned().collect();
        if !missing.is_empty() {
            return Err(GenesisError::Unsigned(missing));
        }
        for (name, signature) in &self.signatures {
            let wrong = || GenesisError::Signature(name.clone());
            let identity = terms.nodes.get(name).ok_or_else(wrong)?;
            let identity = <[u8; 32]>::try_from(identity.as_ref()).map_err(|_| wrong())?;
            let key = VerifyingKey::from_bytes(&identity).map_err(|_| wrong())?;
            let signature = Signature::from_slice(signature.as_ref()).map_err(|_| wrong())?;
            key.verify_strict(&signed(&hash), &signature).map_err(|_| wrong())?;
        }
        Ok(Genesis { terms, hash, directory })
    }
}

impl Genesis {
    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Names the genesis: the head of an empty chain.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The first directory.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }
}

fn hash(terms: &str) -> [u8; 32] {
    blake3::derive_key(HASH, terms.as_bytes())
}

fn signed(hash: &[u8; 32]) -> Vec<u8> {
    [TAG, hash].concat()
}

fn read(text: &str) -> Result<(Terms, Directory), GenesisError> {
    let terms: Terms =
        serde_json::from_str(text).map_err(|error| GenesisError::Malformed(error.to_string()))?;
    if terms.version != 1 {
        return Err(GenesisError::Malformed(format!("version {} is not known", terms.version)));
    }
    let identities: std::collections::BTreeSet<&[u8]> = terms.nodes.values().map(AsRef::as_ref).collect();
    let sizes = (1..=MAX_NODES).contains(&terms.nodes.len()) && identities.len() == terms.nodes.len();
    if !sizes || identities.iter().any(|identity| identity.len() != 32) {
        return Err(GenesisError::Nodes);
    }
    if terms.steps.iter().any(Step::is_about_nodes) {
        return Err(GenesisError::NodeSteps);
    }
    let directory = terms.directory()?;
    Ok((terms, directory))
}

//! The nodes of the cluster: those of the genesis, as changes have added, replaced and removed them.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;
use quorate_api::{Hex, check_node_name};

use crate::genesis::MAX_NODES;

/// Which nodes there are, and which identities were a node's once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    in_force: BTreeMap<String, Hex>,
    /// The names that they had, by identity.
    former: BTreeMap<Hex, String>,
}

/// Why the nodes cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodesError {
    /// The name cannot name a node.
    #[error("`{0}` cannot name a node: {1}")]
    Name(String, String),
    /// There is one already.
    #[error("there is a node `{0}` already: replace it if it is a fresh machine, or choose another name")]
    Exists(String),
    /// There is none.
    #[error("there is no node `{0}`")]
    Missing(String),
    /// The identity is none.
    #[error(
        "the identity of node `{0}` is not a usable Ed25519 public key: copy the 64 hexadecimal digits that `quorate node init` printed"
    )]
    Identity(String),
    /// Another node has it.
    #[error("the identity of node `{0}` is that of node `{1}`: each machine has its own")]
    Twice(String, String),
    /// It was a node's before, and whoever has its key may not come back.
    #[error(
        "the identity of node `{0}` was given up when node `{1}` was removed or replaced: run `quorate node init` with a fresh folder, and name the identity that it prints"
    )]
    Former(String, String),
    /// There would be nobody left.
    #[error("`{0}` is the last node: a cluster has at least one")]
    Last(String),
    /// There would be too many.
    #[error("a cluster has at most {MAX_NODES} nodes")]
    TooMany,
}

impl Nodes {
    /// Those of a genesis.
    pub(crate) fn new(in_force: BTreeMap<String, Hex>) -> Self {
        Self { in_force, former: BTreeMap::new() }
    }

    /// The nodes by name, with their identities of 32 bytes.
    #[must_use]
    pub fn in_force(&self) -> &BTreeMap<String, Hex> {
        &self.in_force
    }

    /// The name that an identity had before its node was removed or replaced: it is refused for ever.
    #[must_use]
    pub fn former(&self, identity: &[u8]) -> Option<&str> {
        self.former.get(&Hex(identity.to_vec())).map(String::as_str)
    }

    /// GOV.12: adds a node under a name of its own.
    pub(crate) fn add(&mut self, name: &str, identity: &Hex) -> Result<(), NodesError> {
        check_node_name(name).map_err(|reason| NodesError::Name(name.to_owned(), reason))?;
        if self.in_force.contains_key(name) {
            return Err(NodesError::Exists(name.to_owned()));
        }
        if self.in_force.len() >= MAX_NODES {
            return Err(NodesError::TooMany);
        }
        self.check(name, identity)?;
        self.in_force.insert(name.to_owned(), identity.clone());
        Ok(())
    }

    /// GOV.12: a node gets another identity, and the one before never comes back.
    pub(crate) fn replace(&mut self, name: &str, identity: &Hex) -> Result<(), NodesError> {
        if !self.in_force.contains_key(name) {
            return Err(NodesError::Missing(name.to_owned()));
        }
        self.check(name, identity)?;
        if let Some(before) = self.in_force.insert(name.to_owned(), identity.clone()) {
            self.former.insert(before, name.to_owned());
        }
        Ok(())
    }

    /// GOV.12: removes a node, and its identity never comes back.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), NodesError> {
        if self.in_force.len() == 1 && self.in_force.contains_key(name) {
            return Err(NodesError::Last(name.to_owned()));
        }
        let identity = self.in_force.remove(name).ok_or_else(|| NodesError::Missing(name.to_owned()))?;
        self.former.insert(identity, name.to_owned());
        Ok(())
    }

    /// An identity that nobody has or had.
    fn check(&self, name: &str, identity: &Hex) -> Result<(), NodesError> {
        let key = <[u8; 32]>::try_from(identity.as_ref()).ok();
        let key = key.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        if key.is_none_or(|key| key.is_weak()) {
            return Err(NodesError::Identity(name.to_owned()));
        }
        if let Some((other, _)) = self.in_force.iter().find(|(_, known)| *known == identity) {
            return Err(NodesError::Twice(name.to_owned(), other.clone()));
        }
        match self.former.get(identity) {
            Some(before) => Err(NodesError::Former(name.to_owned(), before.clone())),
            None => Ok(()),
        }
    }
}

//! The directory that a node shows, read back: so that policies can be judged in it elsewhere.

use quorate_api::DirectoryView;
use serde::de::DeserializeOwned;

use crate::change::{AdminRule, ChangeError};
use crate::directory::Directory;
use crate::nodes::Nodes;
use crate::quorum::QuorumError;

/// Why what a node shows is no directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// A part of it does not read.
    #[error("the node shows {0} that do not read, is it of another version? {1}")]
    Malformed(&'static str, String),
    /// The quorum of the admins does not read.
    #[error("the node shows a quorum of the admins that does not read, is it of another version? {0}")]
    Quorum(#[from] QuorumError),
    /// The parts do not belong together.
    #[error("the node shows a directory that cannot be: {0}")]
    Directory(#[from] ChangeError),
}

impl Directory {
    /// The directory that `view` shows. Nothing of it is proved: it is what one node says.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn of_view(view: &DirectoryView) -> Result<Self, ViewError> {
        let tenants = view.tenants.iter().map(|name| name.parse());
        let tenants = tenants.collect::<Result<_, crate::name::NameError>>();
        let quorum = view.admins.quorum.parse()?;
        let mut directory = Self::empty(AdminRule { quorum, requester_counts: view.admins.requester_counts });
        directory.nodes = Nodes::new(view.nodes.clone());
        directory.tenants = tenants.map_err(|error| ViewError::Malformed("tenants", error.to_string()))?;
        directory.principals = part("people", &view.principals)?;
        directory.groups = part("groups", &view.groups)?;
        directory.roles = part("roles", &view.roles)?;
        directory.credentials = part("credentials", &view.credentials)?;
        directory.policies = part("policies", &view.policies)?;
        directory.settle()?;
        Ok(directory)
    }
}

fn part<T: DeserializeOwned>(what: &'static str, value: &serde_json::Value) -> Result<T, ViewError> {
    T::deserialize(value).map_err(|error| ViewError::Malformed(what, error.to_string()))
}

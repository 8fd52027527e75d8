//! What people do: approve, change the directory, freeze.

use std::time::Duration;

use serde::Serialize;

use super::{Client, ClientError};
use crate::governance::{ChangeDirectory, DirectoryView, Freeze, Rule, SetFreeze};
use crate::id::{Hex, OperationId};
use crate::operation::Operation;
use crate::request::Method;

impl Client {
    /// The directory, the policies and the freezes in force at the node.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn directory(&self) -> Result<DirectoryView, ClientError> {
        self.read("/v1/directory").await
    }

    /// Asks for a change of the directory and waits up to `wait` (at most [`MAX_WAIT`](crate::MAX_WAIT)) for the admins.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn change_directory<S: Serialize>(
        &self,
        change: &ChangeDirectory<S>,
        idempotency_key: &str,
        wait: Duration,
    ) -> Result<Operation, ClientError> {
        self.start("/v1/directory/changes", change, idempotency_key, wait).await
    }

    /// Approves, rejects or withdraws (`verdict` is the last part of the path). `rule` names the hash that
    /// [`Approvals::rule`](crate::Approvals::rule) makes from the request's bytes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rule(&self, id: &OperationId, verdict: &str, rule: &Rule) -> Result<Operation, ClientError> {
        let path = format!("/v1/operations/{id}/{verdict}");
        let key = Hex(rule.nonce.0.clone()).to_string();
        self.send(Method::Post, &path, &key, serde_json::to_vec(rule)?, Duration::ZERO).await
    }

    /// Freezes at once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn freeze(&self, freeze: &SetFreeze, idempotency_key: &str) -> Result<Freeze, ClientError> {
        let body = serde_json::to_vec(freeze)?;
        self.send(Method::Post, "/v1/freezes", idempotency_key, body, Duration::ZERO).await
    }
}

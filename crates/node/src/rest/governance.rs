//! People: approvals, the directory, freezes.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use quorate_api::{AdminView, Code, DirectoryView, Hex, OperationId, Problem};
use serde::Serialize;

use super::answer::{Failed, json};
use super::read::no_query;
use super::{Signed, Source, operations, relay};
use crate::shared::Shared;

/// `POST /v1/operations/{operation}/approve`, `…/reject`, `…/withdraw`
pub(super) async fn rule(
    State(shared): State<Arc<Shared>>,
    Path(operation): Path<String>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    no_query(request.query())?;
    shared.governed()?;
    let id = operation.parse::<OperationId>();
    let id = id.map_err(|error| Problem::new(Code::NotFound, format!("`{operation}`: {error}")))?;
    match shared.rule(&id, &request).await? {
        Some(operation) => Ok(json(StatusCode::OK, &operation)),
        None => {
            let missing = Problem::new(Code::NotFound, format!("no operation `{id}` waits for anybody"));
            relay::elsewhere(&shared, &request, None, missing).await
        }
    }
}

/// `GET /v1/directory`
pub(super) async fn directory(
    State(shared): State<Arc<Shared>>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    no_query(request.query())?;
    let governance = shared.governed()?;
    shared.check_insider(request.client())?;
    let regime = governance.regime();
    let directory = regime.state.directory();
    let view = DirectoryView {
        cluster: governance.cluster.to_string(),
        version: regime.state.version(),
        head: Hex(regime.state.head().to_vec()),
        admins: AdminView {
            quorum: directory.admins().quorum.to_string(),
            requester_counts: directory.admins().requester_counts,
        },
        nodes: directory.nodes().in_force().clone(),
        tenants: directory.tenants().map(ToString::to_string).collect(),
        principals: value(directory.principals())?,
        groups: value(directory.groups())?,
        roles: value(directory.roles())?,
        credentials: value(directory.credentials())?,
        policies: value(directory.policies())?,
        freezes: governance.freezes(),
        forks: shared.forks().await?,
    };
    Ok(json(StatusCode::OK, &view))
}

fn value(of: &impl Serialize) -> Result<serde_json::Value, Problem> {
    serde_json::to_value(of)
        .map_err(|error| Problem::new(Code::Internal, format!("the directory cannot be shown: {error}")))
}

/// `POST /v1/directory/changes`
pub(super) async fn change(
    State(shared): State<Arc<Shared>>,
    Source(source): Source,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    shared.governed()?;
    operations::start_here(&shared, request, source, "change_directory").await
}

/// `POST /v1/freezes`
pub(super) async fn freeze(
    State(shared): State<Arc<Shared>>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    no_query(request.query())?;
    Ok(json(StatusCode::OK, &shared.freeze(&request).await?))
}

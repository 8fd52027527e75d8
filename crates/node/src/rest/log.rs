//! The log as C2SP tlog-tiles serves it, below `/v1/log`: what an auditor needs to judge it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use quorate_api::{Code, Problem};
use quorate_log::Hash;
use quorate_log::tile::{Level, Tile};

use super::Signed;
use super::answer::Failed;
use super::read::no_query;
use crate::shared::{Shared, store_problem};

/// `GET /v1/log/checkpoint`
pub(super) async fn checkpoint(
    State(shared): State<Arc<Shared>>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    no_query(request.query())?;
    shared.check_insider(request.client())?;
    let head = shared.store.log_head().await.map_err(|error| store_problem(&error))?;
    let head = head.ok_or_else(|| Problem::new(Code::NotFound, "the log is empty"))?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], head).into_response())
}

/// `GET /v1/log/cosigned`
pub(super) async fn cosigned(
    State(shared): State<Arc<Shared>>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    no_query(request.query())?;
    shared.check_insider(request.client())?;
    let head = shared.store.log_cosigned().await.map_err(|error| store_problem(&error))?;
    let missing = "no other node has cosigned a head of this log yet: ask again in some seconds";
    let head = head.ok_or_else(|| Problem::new(Code::NotFound, missing))?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], head).into_response())
}

/// `GET /v1/log/tile/{path}`
pub(super) async fn tile(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    no_query(request.query())?;
    shared.check_insider(request.client())?;
    let unknown = |detail: String| Problem::new(Code::NotFound, detail);
    let tile = Tile::parse(&format!("tile/{path}")).map_err(|error| unknown(error.to_string()))?;
    let bytes = shared.store.log_tile(tile).await.map_err(|error| store_problem(&error))?;
    let bytes = bytes.and_then(|bytes| narrowed(tile, bytes));
    let bytes = bytes.ok_or_else(|| unknown(format!("the log has no `{tile}` yet")))?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], Body::from(bytes)).into_response())
}

/// Exactly as wide as asked; `None` if the log has less.
fn narrowed(tile: Tile, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    match tile.level() {
        Level::Hashes(_) => {
            let len = usize::from(tile.width()).saturating_mul(Hash::LEN);
            bytes.truncate(len);
            (bytes.len() == len).then_some(bytes)
        }
        Level::Entries => quorate_log::tile::entries(tile, &bytes).is_ok().then_some(bytes),
    }
}

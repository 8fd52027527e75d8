//! Keys below keys: what follows from what everybody may know of a key, so that the node that is asked answers alone.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use quorate_api::{
    Code, DerivationPath, Derive, DerivedKey, DerivedKeys, Hex, KeyId, Problem, SignedRequest, parse_body,
};
use quorate_intent::{Network, XpubPlace, xpub};
use quorate_store::KeyStatus;

use super::answer::{Failed, json};
use super::{Signed, read, relay};
use crate::ceremony::act;
use crate::governance::hidden;
use crate::keys::{Material, Record, addresses};
use crate::shared::Shared;

/// `POST /v1/keys/{key}/derive`
pub(super) async fn derive(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    let id: KeyId = key.parse().map_err(|error| Problem::new(Code::NotFound, format!("`{key}`: {error}")))?;
    match derive_here(&shared, &id, &request).await {
        Err(failed) if failed.code() == Code::NotFound => {
            relay::elsewhere(&shared, &request, None, failed.into_problem()).await
        }
        answer => answer,
    }
}

/// As this node has the key. Whoever may see it may see what is below it.
pub(super) async fn derive_here(
    shared: &Shared,
    id: &KeyId,
    request: &SignedRequest,
) -> Result<Response, Failed> {
    read::no_query(request.query())?;
    let Derive { paths } = parse_body(request.body())?;
    let missing = || hidden(id);
    let stored = shared.stored_key(id).await?.ok_or_else(missing)?;
    let record = Record::from_bytes(&stored.record)?;
    if !shared.may_see(request.client(), record.tenant.as_ref()) {
        return Err(missing().into());
    }
    match stored.status {
        KeyStatus::Pending => return Err(missing().into()),
        KeyStatus::Destroyed if stored.state.acts == 0 => return Err(missing().into()),
        KeyStatus::Destroyed => return Err(act::destroyed(id).into()),
        KeyStatus::Active | KeyStatus::Exposed | KeyStatus::Disabled | KeyStatus::Burned => {}
    }
    // Coins will go to what is answered: the package is that under which the share opens, not what the store says.
    let material = shared.material(id, &stored, &record).await?;
    let (scheme, network) = (record.scheme, shared.config.chains.bitcoin);
    // A hundred deep paths are more than a few microseconds.
    let derived = move || paths.into_iter().map(|path| child(&record, &material, path, network)).collect();
    let broke =
        |error| Problem::new(Code::Internal, format!("the computation broke off: {error}, ask again"));
    let children = tokio::task::spawn_blocking(derived).await.map_err(broke)?;
    let children: Result<Vec<DerivedKey>, Problem> = children;
    Ok(json(StatusCode::OK, &DerivedKeys { key: id.clone(), scheme, children: children? }))
}

fn child(
    record: &Record,
    material: &Material,
    path: DerivationPath,
    network: Network,
) -> Result<DerivedKey, Problem> {
    let child = material.share.child(record.scheme, &path)?;
    let parent = child.parent.as_ref().map(|(key, number)| (key, *number));
    let place = XpubPlace { parent, depth: child.depth };
    Ok(DerivedKey {
        path,
        public_key: Hex(child.public_key.bytes().to_vec()),
        xpub: xpub(&child.public_key, child.chain_code, place, network),
        chain_code: Hex(child.chain_code.to_vec()),
        addresses: addresses(record, &child.public_key, network),
    })
}

//! Freezes: any admin stops a key, a tenant or everything, alone and at once. Only a change of the directory lifts one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_api::{
    Code, EventKind, Freeze, Hex, KeyId, Method, Problem, Scope, SetFreeze, SignedRequest, parse_body,
};
use quorate_log::entry::Kind;
use quorate_net::PeerId;
use quorate_policy::change::Step;
use quorate_policy::name::Name;
use serde::Serialize;

use super::{Governance, thawed};
use crate::audit;
use crate::clock;
use crate::control::Control;
use crate::registry::locked;
use crate::shared::{Shared, store_problem};

/// Most freezes of one admin that are in force.
const MAX_FREEZES: usize = 500;

#[derive(Debug)]
struct Frozen {
    scope: Scope,
    reason: Option<String>,
    client: String,
    frozen_at: u64,
    request: Vec<u8>,
}

/// All freezes that this node knows, and which were lifted.
#[derive(Debug, Default)]
pub(crate) struct Freezes {
    set: BTreeMap<[u8; 32], Frozen>,
    /// From the chain of changes, so that a freeze that comes after its thaw stays lifted.
    lifted: BTreeSet<[u8; 32]>,
}

/// What stands for the request of a freeze that this node set by itself.
const BREAKER: &[u8] = b"quorate circuit breaker v1\n";

impl Frozen {
    /// By the circuit breaker. There is no request, so it is passed on to nobody: every node has a breaker of its own.
    fn tripped(body: SetFreeze, frozen_at: u64) -> Self {
        let client = "the circuit breaker of this node".to_owned();
        Self { scope: body.scope, reason: body.reason, client, frozen_at, request: Vec::new() }
    }
}

impl Freezes {
    pub(super) fn thaw(&mut self, steps: &[Step]) {
        self.lifted.extend(thawed(steps));
    }

    /// Takes up what the store has.
    pub(super) fn restore(&mut self, stored: &quorate_store::Freeze) {
        if let Some(tripped) = stored.request.strip_prefix(BREAKER) {
            let Ok(body) = serde_json::from_slice::<SetFreeze>(tripped) else { return };
            self.set.insert(stored.hash, Frozen::tripped(body, stored.frozen_at));
            return;
        }
        let Ok(request) = SignedRequest::decode(&stored.request) else { return };
        let Ok(body) = parse_body::<SetFreeze>(request.body()) else { return };
        let frozen = Frozen {
            scope: body.scope,
            reason: body.reason,
            client: request.client().to_owned(),
            frozen_at: stored.frozen_at,
            request: stored.request.clone(),
        };
        self.set.insert(stored.hash, frozen);
    }

    fn in_force(&self) -> impl Iterator<Item = (&[u8; 32], &Frozen)> {
        self.set.iter().filter(|(hash, _)| !self.lifted.contains(*hash))
    }
}

#[derive(Serialize)]
struct LoggedFreeze<'a> {
    id: String,
    scope: &'a Scope,
    client: &'a str,
    reason: Option<&'a str>,
}

impl Governance {
    /// The freeze that stops a key or a tenant, if there is one.
    pub(crate) fn frozen(&self, key: Option<&KeyId>, tenant: Option<&Name>) -> Option<Problem> {
        let freezes = locked(&self.freezes);
        let (id, frozen) = freezes.in_force().find(|(_, frozen)| match &frozen.scope {
            Scope::Everything => true,
            Scope::Key { key: stopped } => key == Some(stopped),
            Scope::Tenant { tenant: stopped } => tenant.is_some_and(|tenant| tenant.as_str() == stopped),
        })?;
        let what = match &frozen.scope {
            Scope::Everything => "everything is".to_owned(),
            Scope::Key { key } => format!("key `{key}` is"),
            Scope::Tenant { tenant } => format!("tenant `{tenant}` is"),
        };
        let why = frozen.reason.as_ref().map(|reason| format!(" ({reason:?})")).unwrap_or_default();
        let detail = format!(
            "{what} frozen by `{}`{why}: the admins lift it with `quorate directory thaw {}`",
            frozen.client,
            hex::encode(id)
        );
        Some(Problem::new(Code::Frozen, detail))
    }

    /// The freezes in force.
    pub(crate) fn freezes(&self) -> Vec<Freeze> {
        let regime = self.regime();
        let freezes = locked(&self.freezes);
        let show = |(id, frozen): (&[u8; 32], &Frozen)| Freeze {
            id: Hex(id.to_vec()),
            scope: frozen.scope.clone(),
            by: regime
                .principal(&frozen.client)
                .map_or_else(|| frozen.client.clone(), |(name, _)| name.to_string()),
            reason: frozen.reason.clone(),
            frozen_at: frozen.frozen_at,
        };
        freezes.in_force().map(show).collect()
    }

    /// Names the set of freezes that nodes share: whoever has another one asks.
    pub(super) fn freeze_digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new_derive_key("quorate 2026 node freezes v1");
        let freezes = locked(&self.freezes);
        for (id, _) in freezes.set.iter().filter(|(_, frozen)| !frozen.request.is_empty()) {
            hash.update(id);
        }
        *hash.finalize().as_bytes()
    }

    pub(super) fn freeze_requests(&self) -> Vec<Vec<u8>> {
        let freezes = locked(&self.freezes);
        let requests = freezes.set.values().map(|frozen| &frozen.request);
        requests.filter(|request| !request.is_empty()).cloned().collect()
    }

    pub(super) fn note_thaws(&self, steps: &[Step]) {
        locked(&self.freezes).thaw(steps);
    }
}

impl Shared {
    /// GOV.9: freezes at once. The request's signature was checked; that its author is an admin is checked here.
    pub(crate) async fn freeze(self: &Arc<Self>, request: &SignedRequest) -> Result<Freeze, Problem> {
        let governance = self.governed()?;
        let regime = governance.regime();
        if request.method() != Method::Post || request.path() != "/v1/freezes" {
            return Err(Problem::new(Code::InvalidRequest, "this request freezes nothing"));
        }
        let unknown = || Problem::new(Code::UnknownClient, "no enabled principal has this credential");
        let (by, _) = regime.principal(request.client()).ok_or_else(unknown)?;
        let admins = &regime.state.directory().admins().quorum;
        if !regime.state.directory().may_approve(by) || !admins.concerns(regime.state.directory(), by) {
            let detail = format!("`{by}` is no admin: only those who decide on changes may freeze, {admins}");
            return Err(Problem::new(Code::Forbidden, detail));
        }
        let body: SetFreeze = parse_body(request.body())?;
        let id = request.request_hash();
        {
            let freezes = locked(&governance.freezes);
            // Each admin has room of their own: nobody can keep another one from freezing.
            let own = freezes.in_force().filter(|(_, frozen)| frozen.client == request.client()).count();
            if own >= MAX_FREEZES && !freezes.set.contains_key(&id) {
                let detail = "you have set too many freezes: freeze everything, or let some be lifted";
                return Err(Problem::new(Code::RateLimited, detail));
            }
        }
        let frozen_at = clock::millis();
        let logged = LoggedFreeze {
            id: hex::encode(id),
            scope: &body.scope,
            client: request.client(),
            reason: body.reason.as_deref(),
        };
        let entry = audit::entry(Kind::Freeze, &logged)?;
        let bytes = request.encode();
        // In force at once, even if the disk refuses it.
        let fresh = {
            let mut freezes = locked(&governance.freezes);
            let frozen = Frozen {
                scope: body.scope.clone(),
                reason: body.reason.clone(),
                client: request.client().to_owned(),
                frozen_at,
                request: bytes.clone(),
            };
            let fresh = !freezes.set.contains_key(&id);
            freezes.set.entry(id).or_insert(frozen);
            fresh
        };
        governance.turns.turn();
        if fresh {
            tracing::warn!(by = %by, scope = ?body.scope, "frozen");
            self.tell_frozen(&body.scope, by.as_str());
            for peer in self.network.connected() {
                self.tell(peer, &Control::Freeze { request: bytes.clone() }).await;
            }
        }
        // What was decided before is logged before.
        drop(self.gate.write().await);
        let stored = self.store.freeze(id, bytes, frozen_at, entry).await;
        stored.map_err(|error| store_problem(&error))?;
        Ok(Freeze {
            id: Hex(id.to_vec()),
            scope: body.scope,
            by: by.to_string(),
            reason: body.reason,
            frozen_at,
        })
    }

    fn tell_frozen(&self, scope: &Scope, by: &str) {
        let (what, key) = match scope {
            Scope::Key { key } => (key.to_string(), Some(key.clone())),
            Scope::Tenant { tenant } => (format!("tenant {tenant}"), None),
            Scope::Everything => ("everything".to_owned(), None),
        };
        self.events.tell(EventKind::Frozen, |event| {
            quorate_api::Event { key, ..event }.with_detail(&format!("{what} by {by}"))
        });
    }

    /// GOV.11: freezes a key by itself, and says so.
    pub(super) async fn trip(&self, key: &KeyId, why: &str) -> Result<Problem, Problem> {
        let governance = self.governed()?;
        let frozen_at = clock::millis();
        let body = SetFreeze { scope: Scope::Key { key: key.clone() }, reason: Some(why.to_owned()) };
        let json = serde_json::to_vec(&body)
            .map_err(|error| Problem::new(Code::Internal, format!("a freeze cannot be written: {error}")))?;
        let bytes = [BREAKER, &json].concat();
        let named = [&bytes[..], self.id.as_bytes(), &frozen_at.to_be_bytes()].concat();
        let id = blake3::derive_key("quorate 2026 node circuit breaker v1", &named);
        let logged = LoggedFreeze {
            id: hex::encode(id),
            scope: &body.scope,
            client: "circuit breaker",
            reason: body.reason.as_deref(),
        };
        let entry = audit::entry(Kind::Freeze, &logged)?;
        // In force even if the disk refuses it.
        locked(&governance.freezes).set.insert(id, Frozen::tripped(body, frozen_at));
        governance.turns.turn();
        tracing::error!(%key, why, "the circuit breaker of this node has frozen a key");
        self.tell_frozen(&Scope::Key { key: key.clone() }, "the circuit breaker");
        let stored = self.store.freeze(id, bytes, frozen_at, entry).await;
        stored.map_err(|error| store_problem(&error))?;
        let frozen = governance.frozen(Some(key), None);
        Ok(frozen.unwrap_or_else(|| Problem::new(Code::Frozen, "the key is frozen")))
    }

    /// A peer passes a freeze on. Its time does not matter: a freeze is lifted by a change, never by age.
    pub(crate) async fn take_freeze(self: &Arc<Self>, from: PeerId, request: &[u8]) -> Result<(), Problem> {
        let governance = self.governed()?;
        let Ok(request) = SignedRequest::decode(request) else { return Ok(()) };
        let known = locked(&governance.freezes).set.contains_key(&request.request_hash());
        let regime = governance.regime();
        let valid = regime
            .state
            .directory()
            .credential(request.client())
            .is_some_and(|(credential, _)| credential.with.verify(&request).is_ok());
        if known || !valid {
            return Ok(());
        }
        if let Err(problem) = self.freeze(&request).await {
            tracing::warn!(peer = %self.name_of(from), detail = %problem.detail, "a freeze that was passed on is not taken");
        }
        Ok(())
    }
}

//! What this node agreed to sign, for rules that look back and for the circuit breaker. It counts when the node agrees, not when a
//! signature comes out of it: what was allowed may have been used.

use std::collections::BTreeMap;

use quorate_api::{KeyId, OperationId, Problem};
use quorate_policy::facts::{Amount, IntentFacts, NATIVE, Spent, Sum};
use quorate_policy::name::Name;
use quorate_store::Spending;

use super::Regime;
use crate::ceremony::sign::Asked;
use crate::clock;
use crate::config::Breaker;
use crate::judge::Judged;
use crate::shared::{Shared, store_problem};

/// The longest window, in milliseconds.
const WEEK: u64 = 7 * DAY;
const DAY: u64 = 24 * HOUR;
const HOUR: u64 = 3_600_000;

/// What one operation signs away, on its way into the store.
#[derive(Clone, Debug)]
pub(crate) struct Spends {
    pub(crate) key: KeyId,
    pub(crate) principal: Name,
    pub(crate) chain: String,
    pub(crate) native: Amount,
    pub(crate) tokens: BTreeMap<String, Amount>,
}

impl Spends {
    pub(super) fn of(key: &KeyId, principal: &Name, intent: &IntentFacts) -> Self {
        let mut spends = Self {
            key: key.clone(),
            principal: principal.clone(),
            chain: intent.chain.clone().unwrap_or_default(),
            native: Amount::ZERO,
            tokens: BTreeMap::new(),
        };
        for one in &intent.moves {
            if one.asset != NATIVE {
                let sum = spends.tokens.entry(one.asset.clone()).or_insert(Amount::ZERO);
                *sum = sum.plus(one.amount);
            }
        }
        // What is not known counts as more than any limit.
        let known = intent.native.or_else(|| intent.complete.then_some(Amount::ZERO)).unwrap_or(Amount::MAX);
        let listed = intent.moves.iter().filter(|one| one.asset == NATIVE);
        let listed = listed.fold(Amount::ZERO, |sum, one| sum.plus(one.amount));
        spends.native = known.max(listed);
        spends
    }
}

impl Shared {
    /// What an operation signs away, to be counted when this node agrees to it.
    pub(crate) fn spends(&self, judged: &Judged, asked: &Asked) -> Option<Spends> {
        let governance = self.governance.as_ref()?;
        let regime = governance.regime();
        let (principal, _) = regime.principal(judged.request.client())?;
        let intent = IntentFacts::of(&asked.prepared.facts, &asked.prepared.summary);
        Some(Spends::of(&asked.key.id, principal, &intent))
    }

    /// Held while a request is decided and counted, if anything looks back.
    pub(crate) async fn spender(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let governance = self.governance.as_ref()?;
        if !self.looks_back(&governance.regime()) {
            return None;
        }
        Some(governance.spender.lock().await)
    }

    /// Whether a rule or the circuit breaker looks at what was spent before.
    pub(super) fn looks_back(&self, regime: &Regime) -> bool {
        regime.rules.looks_back() || self.config.breaker != Breaker::default()
    }

    /// Counts an operation that this node agrees to. Durable when it returns.
    pub(crate) async fn spend(&self, id: &OperationId, spends: Option<&Spends>) -> Result<(), Problem> {
        let Some(spends) = spends else { return Ok(()) };
        let unwritable = |error: serde_json::Error| {
            Problem::new(quorate_api::Code::Internal, format!("what is spent cannot be written: {error}"))
        };
        let spending = Spending {
            op_id: id.to_string(),
            at: clock::millis(),
            key_id: spends.key.to_string(),
            principal: spends.principal.to_string(),
            chain: spends.chain.clone(),
            native: spends.native.to_string(),
            tokens: serde_json::to_string(&spends.tokens).map_err(unwritable)?,
        };
        self.store.spend(spending).await.map_err(|error| store_problem(&error))
    }

    /// What was counted before for the key and for the principal, without this operation.
    pub(super) async fn spent(&self, id: &OperationId, spends: &Spends) -> Result<Spent, Problem> {
        let now = clock::millis();
        let since = now.saturating_sub(WEEK);
        let rows = self.store.spent(spends.key.as_str(), spends.principal.as_str(), since).await;
        let rows = rows.map_err(|error| store_problem(&error))?;
        let mut spent = Spent::default();
        for row in rows.iter().filter(|row| row.op_id != id.as_str()) {
            let age = now.saturating_sub(row.at);
            let by_key = row.key_id == spends.key.as_str();
            let by_principal = row.principal == spends.principal.as_str();
            let windows = [(by_key, &mut spent.key), (by_principal, &mut spent.principal)];
            for (_, windows) in windows.into_iter().filter(|(counts, _)| *counts) {
                let sums = [(HOUR, &mut windows.hour), (DAY, &mut windows.day), (WEEK, &mut windows.week)];
                for (_, sum) in sums.into_iter().filter(|(length, _)| age <= *length) {
                    add(sum, row, row.chain == spends.chain);
                }
            }
        }
        Ok(spent)
    }
}

/// Signatures count on every chain, coins and tokens on the request's own. What does not read counts as everything.
fn add(sum: &mut Sum, row: &Spending, same_chain: bool) {
    sum.count = sum.count.saturating_add(1);
    if !same_chain {
        return;
    }
    sum.native = sum.native.plus(row.native.parse().unwrap_or(Amount::MAX));
    match serde_json::from_str::<BTreeMap<String, Amount>>(&row.tokens) {
        Ok(tokens) => {
            for (token, amount) in tokens {
                let total = sum.tokens.entry(token).or_insert(Amount::ZERO);
                *total = total.plus(amount);
            }
        }
        Err(_) => sum.native = Amount::MAX,
    }
}

impl Breaker {
    /// Why a further signature trips it, if it does.
    pub(super) fn trips(&self, spends: &Spends, spent: &Spent) -> Option<String> {
        let count = spent.key.hour.count.saturating_add(1);
        if let Some(most) = self.signatures_per_hour
            && count > most
        {
            return Some(format!("more than {most} signatures with one key in an hour"));
        }
        if let Some(most) = self.coins_per_day.get(&spends.chain) {
            let most = Amount::new(u128::from(*most).saturating_mul(unit(&spends.chain)));
            if spent.key.day.native.plus(spends.native) > most {
                return Some(format!(
                    "more than {most} smallest units of {} with one key in a day",
                    spends.chain
                ));
            }
        }
        None
    }
}

/// Smallest units of a chain's coin.
fn unit(chain: &str) -> u128 {
    match chain {
        "bitcoin" => 100_000_000,
        "solana" => 1_000_000_000,
        _ => 1_000_000_000_000_000_000,
    }
}

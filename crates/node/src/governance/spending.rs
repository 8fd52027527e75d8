//! What this node agreed to sign, for rules that look back and for the circuit breaker (GOV.11). It counts when the node agrees, not
//! when a signature comes out of it: what was allowed may have been used.
//!
//! The arithmetic is in `quorate_policy::window`, the sums of those who spend in [`counter`]; here is what a request spends.

mod counter;

use std::collections::BTreeMap;
use std::future::Future;

use quorate_api::{Code, KeyId, OperationId, Problem};
use quorate_policy::facts::{Amount, IntentFacts, NATIVE, Spent};
use quorate_policy::name::Name;
use quorate_policy::window::Spend;
use quorate_store::Spending;

use self::counter::MORE;
pub(crate) use self::counter::{Counter, Turn};
use super::Regime;
use crate::ceremony::sign::{Asked, Item};
use crate::clock;
use crate::config::Breaker;
use crate::judge::Judged;
use crate::shared::{Shared, store_problem};

/// What one operation signs away, on its way into the store.
#[derive(Clone, Debug)]
pub(crate) struct Spends {
    pub(crate) key: KeyId,
    pub(crate) principal: Name,
    pub(crate) chain: String,
    pub(crate) native: Amount,
    pub(crate) tokens: BTreeMap<String, Amount>,
    /// How many signatures beyond the first.
    pub(crate) more: u64,
}

impl Spends {
    /// All that is signed together, on one chain.
    pub(super) fn of_all<'a>(
        key: &KeyId,
        principal: &Name,
        intents: impl IntoIterator<Item = &'a IntentFacts>,
    ) -> Option<Self> {
        let each = intents.into_iter().map(|intent| Self::of(key, principal, intent));
        each.reduce(|mut sum, one| {
            sum.native = sum.native.plus(one.native);
            for (token, amount) in one.tokens {
                let total = sum.tokens.entry(token).or_insert(Amount::ZERO);
                *total = total.plus(amount);
            }
            sum.more = sum.more.saturating_add(1);
            sum
        })
    }

    pub(super) fn of(key: &KeyId, principal: &Name, intent: &IntentFacts) -> Self {
        let mut spends = Self {
            key: key.clone(),
            principal: principal.clone(),
            chain: intent.chain.clone().unwrap_or_default(),
            native: Amount::ZERO,
            tokens: BTreeMap::new(),
            more: 0,
        };
        for one in &intent.moves {
            if one.asset != NATIVE {
                // POL.3 A token of which only a part can be read has no known total.
                let start = if intent.complete { Amount::ZERO } else { Amount::MAX };
                let sum = spends.tokens.entry(one.asset.clone()).or_insert(start);
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

    /// The same as what is added to what was spent.
    pub(super) fn spend(&self, at: u64) -> Spend {
        Spend {
            at,
            chain: self.chain.clone(),
            native: self.native,
            tokens: self.tokens.clone(),
            unreadable: false,
            more: self.more,
        }
    }

    /// Whether a turn is for these.
    fn fit(&self, turn: &Turn) -> bool {
        turn.is_for(self.key.as_str(), self.principal.as_str())
    }
}

impl Shared {
    /// What an operation signs away, to be counted when this node agrees to it.
    pub(crate) fn spends(&self, judged: &Judged, asked: &Asked) -> Option<Spends> {
        let governance = self.governance.as_ref()?;
        let regime = governance.regime();
        let (principal, _) = regime.principal(judged.request.client())?;
        let intents: Vec<_> = asked.items.iter().map(Item::facts).collect();
        Spends::of_all(&asked.key.id, principal, &intents)
    }

    /// The turn to decide on a request and count it, if anything looks back. While it is held, the decision is made with
    /// [`permission_in_turn`](Self::permission_in_turn): any other one about the same key or principal would wait for it for ever.
    pub(crate) async fn spender(&self, judged: &Judged) -> Result<Option<Turn>, Problem> {
        let Some(governance) = &self.governance else { return Ok(None) };
        let regime = governance.regime();
        let principal = regime.principal(judged.request.client()).map(|(name, _)| name);
        let (Some(key), Some(principal), true) = (judged.ask.key(), principal, self.looks_back(&regime))
        else {
            return Ok(None);
        };
        let turn = governance.counter.turn(key.as_str(), principal.as_str(), clock::millis()).await;
        turn.map(Some).map_err(|error| store_problem(&error))
    }

    /// Whether a rule or the circuit breaker looks at what was spent before.
    pub(super) fn looks_back(&self, regime: &Regime) -> bool {
        regime.rules.looks_back() || self.config.breaker != Breaker::default()
    }

    /// Counts an operation that this node agrees to, and gives the turn to the next. Durable when the future is done, and not before.
    pub(crate) fn spend(
        &self,
        id: &OperationId,
        spends: Option<&Spends>,
        turn: Option<Turn>,
    ) -> impl Future<Output = Result<(), Problem>> + use<> {
        let counting = self.begin_to_spend(id, spends, turn);
        async move {
            match counting? {
                Some(counting) => counting.await.map_err(|error| store_problem(&error)),
                None => Ok(()),
            }
        }
    }

    fn begin_to_spend(
        &self,
        id: &OperationId,
        spends: Option<&Spends>,
        turn: Option<Turn>,
    ) -> Result<Option<impl Future<Output = Result<(), quorate_store::StoreError>> + use<>>, Problem> {
        let (Some(spends), Some(governance)) = (spends, &self.governance) else { return Ok(None) };
        if self.looks_back(&governance.regime()) && !turn.as_ref().is_some_and(|turn| spends.fit(turn)) {
            return Err(overtaken());
        }
        let unwritable = |error: serde_json::Error| {
            Problem::new(Code::Internal, format!("what is spent cannot be written: {error}"))
        };
        let more = (spends.more > 0).then(|| (MORE.to_owned(), Amount::new(spends.more.into())));
        let counted: BTreeMap<_, _> = spends.tokens.clone().into_iter().chain(more).collect();
        let row = Spending {
            op_id: id.to_string(),
            at: clock::millis(),
            key_id: spends.key.to_string(),
            principal: spends.principal.to_string(),
            chain: spends.chain.clone(),
            native: spends.native.to_string(),
            tokens: serde_json::to_string(&counted).map_err(unwritable)?,
        };
        Ok(Some(governance.counter.count(row, turn)))
    }

    /// What was counted before for the key and for the principal, without this operation.
    pub(super) async fn spent(
        &self,
        id: &OperationId,
        spends: &Spends,
        turn: Option<&mut Turn>,
    ) -> Result<Spent, Problem> {
        let counter = &self.governed()?.counter;
        let now = clock::millis();
        let spend = spends.spend(now);
        let failed = |error: quorate_store::StoreError| store_problem(&error);
        let mut own = None;
        let turn = match turn {
            Some(turn) if spends.fit(turn) => turn,
            Some(_) => return Err(overtaken()),
            None => {
                let turn = counter.turn(spends.key.as_str(), spends.principal.as_str(), now).await;
                own.insert(turn.map_err(failed)?)
            }
        };
        counter.spent(turn, id.as_str(), &spend, now).await.map_err(failed)
    }

    /// Forgets a little of what no window reaches any more.
    pub(crate) async fn forget_spending(&self) {
        let Some(governance) = &self.governance else { return };
        if let Err(error) = governance.counter.forget(clock::millis()).await {
            tracing::warn!(%error, "what was spent long ago is not forgotten yet");
        }
    }
}

/// The rules or the requester changed between the turn and the decision.
fn overtaken() -> Problem {
    let detail = "the directory changed while this was decided: send the same request again";
    Problem::new(Code::Unavailable, detail)
}

impl Breaker {
    /// Why a further signature trips it, if it does.
    pub(super) fn trips(&self, spends: &Spends, spent: &Spent) -> Option<String> {
        let count = spent.key.hour.count.saturating_add(spends.more).saturating_add(1);
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

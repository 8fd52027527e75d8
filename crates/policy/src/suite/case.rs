//! One case of a suite, and the request that it stands for.

use core::fmt;
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use quorate_api::{DerivationPath, KeyId, KeyStatus};
use quorate_intent::{Purpose, Scheme};
use serde::Deserialize;

use crate::approval::Tally;
use crate::directory::Directory;
use crate::facts::{
    Action, Amount, Facts, IntentFacts, KeyFacts, Move, Moves, NATIVE, Resource, Spent, Wanted,
};
use crate::name::Name;

/// 2026-01-05 12:00:00 UTC, a Monday.
const NOON: u64 = 1_767_614_400;

/// One case.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Who asks.
    pub principal: Name,
    /// For what.
    pub action: Action,
    /// With which key.
    #[serde(default)]
    pub key: CaseKey,
    /// What would be signed.
    #[serde(default)]
    pub intent: CaseIntent,
    /// Where below the key the one is that would sign, as in `m/0/7`; the key itself if absent.
    #[serde(default)]
    pub path: DerivationPath,
    /// Which key would be made, and where: in the tenant of `key`.
    pub wanted: Option<Wanted>,
    /// When the node first saw the request.
    pub at: Option<toml::value::Datetime>,
    /// How long ago that was when it is judged, as in `90m`.
    pub after: Option<String>,
    /// Where the request came from.
    pub source: Option<IpAddr>,
    /// What was spent before.
    #[serde(default)]
    pub spent: Spent,
    /// What the pre-sign webhook said.
    #[serde(default)]
    pub extra: BTreeMap<String, serde_json::Value>,
    /// Who approved.
    #[serde(default)]
    pub approvals: BTreeSet<Name>,
    /// Who rejected.
    #[serde(default)]
    pub rejections: BTreeSet<Name>,
    /// What should come of it.
    pub expect: Expect,
    /// The rule that it should come from: the one that permits, waits or forbids.
    pub rule: Option<Name>,
}

/// What should come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// It may be done.
    Permit,
    /// Somebody must still agree, or time must pass.
    Wait,
    /// It is not done.
    Deny,
}

/// The key of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseKey {
    /// Its identifier; `key_0000…` if absent.
    pub id: Option<KeyId>,
    /// The tenant it belongs to.
    pub tenant: Option<Name>,
    /// Its name for people.
    #[serde(default)]
    pub label: String,
    /// Its scheme; one that fits the action if absent.
    pub scheme: Option<Scheme>,
    /// What it may sign; what the action needs if absent.
    pub purposes: Option<BTreeSet<Purpose>>,
    /// Who asked for it.
    pub created_by: Option<Name>,
    /// Its status; `active` if absent.
    pub status: Option<KeyStatus>,
    /// Whether it was exposed, whatever its status.
    #[serde(default)]
    pub exposed: bool,
}

/// What a case would sign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseIntent {
    /// The kind of intent; the transaction of the action's chain if absent.
    pub kind: Option<String>,
    /// The chain; `ethereum:1`, `bitcoin` or `solana` if absent and the action has one.
    pub chain: Option<String>,
    /// Whether part of it cannot be read.
    #[serde(default)]
    pub blind: bool,
    /// Whether `moves` is everything; the opposite of `blind` if absent.
    pub complete: Option<bool>,
    /// What leaves.
    #[serde(default)]
    pub moves: Vec<CaseMove>,
    /// The methods that are called.
    #[serde(default)]
    pub methods: BTreeSet<String>,
    /// The contracts or programs that are called.
    #[serde(default)]
    pub contracts: BTreeSet<String>,
    /// The primary type of typed data.
    #[serde(default)]
    pub primary_type: String,
    /// The name of the domain of typed data.
    #[serde(default)]
    pub domain: String,
    /// The text of a message or memo.
    #[serde(default)]
    pub text: String,
    /// The highest fee in smallest units; 0 if absent.
    pub fee: Option<Amount>,
}

/// One thing that leaves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseMove {
    /// At once, or by an allowance.
    #[serde(default)]
    pub how: Moves,
    /// A token's contract or mint; the chain's own coin if absent.
    pub asset: Option<String>,
    /// Who receives it.
    pub to: String,
    /// How much in smallest units; either this or `coins`.
    pub amount: Option<Amount>,
    /// How much of the chain's own coin, as in `1.5`.
    pub coins: Option<String>,
}

/// The request that a case stands for.
pub(super) struct CaseRequest {
    pub(super) facts: Facts,
    pub(super) tally: Tally,
    pub(super) created: u64,
}

impl Case {
    /// The facts of the case.
    ///
    /// # Errors
    /// What of it makes no request, in words.
    pub fn facts(&self, directory: &Directory) -> Result<Facts, String> {
        self.request(directory).map(|request| request.facts)
    }

    pub(super) fn request(&self, directory: &Directory) -> Result<CaseRequest, String> {
        for who in self.approvals.iter().chain(&self.rejections) {
            if !directory.principals().contains_key(who) {
                return Err(format!("there is no `{who}` in the directory who could say anything"));
            }
        }
        let created = self.at.as_ref().map_or(Ok(NOON), seconds)?;
        let passed = self.after.as_deref().map_or(Ok(0), crate::annotation::span)?;
        let now = created.saturating_add(passed);
        let signs = matches!(self.action, Action::Sign(_));
        let facts = Facts {
            principal: self.principal.clone(),
            action: self.action,
            resource: self.resource(),
            now,
            source: self.source,
            intent: if signs { Some(self.intent.facts(self.action)?) } else { None },
            path: self.path.clone(),
            wanted: self.wanted.clone(),
            spent: self.spent.clone(),
            extra: self.extra.clone(),
        };
        let mut tally = Tally::default();
        tally.approved.extend(self.approvals.iter().map(|who| (who.clone(), now)));
        tally.rejected.clone_from(&self.rejections);
        Ok(CaseRequest { facts, tally, created })
    }

    fn resource(&self) -> Resource {
        let key = &self.key;
        if self.action.is_on_node() {
            return Resource::Cluster;
        }
        if self.action.makes_key() {
            return match &key.tenant {
                Some(name) => Resource::Tenant { name: name.clone() },
                None => Resource::Cluster,
            };
        }
        let purpose = match self.action {
            Action::Sign(purpose) => purpose,
            _ => Purpose::Message,
        };
        let fitting = Scheme::ALL.into_iter().find(|scheme| purpose.fits(*scheme));
        Resource::Key(KeyFacts {
            id: key.id.clone().unwrap_or_else(|| KeyId::from_bytes([0; 16])),
            tenant: key.tenant.clone(),
            label: key.label.clone(),
            scheme: key.scheme.or(fitting).unwrap_or(Scheme::EcdsaSecp256k1),
            purposes: key.purposes.clone().unwrap_or_else(|| BTreeSet::from([purpose])),
            created_by: key.created_by.clone(),
            status: key.status.unwrap_or(KeyStatus::Active),
            exposed: key.exposed || key.status == Some(KeyStatus::Exposed),
        })
    }
}

impl CaseIntent {
    fn facts(&self, action: Action) -> Result<IntentFacts, String> {
        let (kind, chain) = match action {
            Action::Sign(Purpose::Ethereum) => ("ethereum_transaction", Some("ethereum:1")),
            Action::Sign(Purpose::Bitcoin) => ("bitcoin_psbt", Some("bitcoin")),
            Action::Sign(Purpose::Solana) => ("solana_message", Some("solana")),
            Action::Sign(Purpose::Raw) => ("raw_digest", None),
            _ => ("message", None),
        };
        let kind = self.kind.clone().unwrap_or_else(|| kind.to_owned());
        let chain = self.chain.clone().or_else(|| chain.map(str::to_owned));
        let moves = self.moves.iter().map(|step| step.read(chain.as_deref().unwrap_or_default()));
        Ok(IntentFacts {
            kind,
            blind: self.blind,
            unreadable: Vec::new(),
            complete: self.complete.unwrap_or(!self.blind),
            moves: moves.collect::<Result<_, _>>()?,
            methods: self.methods.clone(),
            contracts: self.contracts.clone(),
            recipients: BTreeSet::new(),
            native: None,
            primary_type: self.primary_type.clone(),
            domain: self.domain.clone(),
            text: self.text.clone(),
            fee: Some(self.fee.unwrap_or(Amount::ZERO)),
            chain,
        })
    }
}

impl CaseMove {
    fn read(&self, chain: &str) -> Result<Move, String> {
        let amount = match (&self.amount, &self.coins, &self.asset) {
            (Some(amount), None, _) => *amount,
            (None, Some(coins), None) => Amount::of_coins(coins, chain)
                .ok_or_else(|| format!("`{coins}` is no amount of the coin of `{chain}`"))?,
            (None, Some(_), Some(_)) => {
                return Err("`coins` counts the chain's own coin: write `amount` for a token".to_owned());
            }
            _ => return Err("each of `moves` has either `amount` or `coins`".to_owned()),
        };
        let asset = self.asset.clone().unwrap_or_else(|| NATIVE.to_owned());
        Ok(Move { how: self.how, asset, to: self.to.clone(), amount })
    }
}

/// Unix seconds of a time in UTC.
fn seconds(time: &toml::value::Datetime) -> Result<u64, String> {
    let wrong = || format!("`at` is `{time}`: write a time in UTC, as in 2026-01-05T12:00:00Z");
    let (Some(date), Some(clock), Some(toml::value::Offset::Z)) = (time.date, time.time, time.offset) else {
        return Err(wrong());
    };
    let days = crate::engine::days(date.year, date.month, date.day).ok_or_else(wrong)?;
    let clock = u64::from(clock.hour) * 3600
        + u64::from(clock.minute) * 60
        + u64::from(clock.second.unwrap_or_default());
    Ok(days * 86_400 + clock)
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permit => "permit",
            Self::Wait => "wait",
            Self::Deny => "deny",
        })
    }
}

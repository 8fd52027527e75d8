//! Shares that came out of backups, at rest: nothing signs with them. They deal their key to its next epoch and are erased with the switch.
//! Spec: `spec/44-moving.md`.

use quorate_api::{Key as ApiKey, KeyId, Problem, RestoredKey};
use quorate_net::PeerId;
use quorate_protocol::party::PartyIndex;
use quorate_seal::Context;
use quorate_store::{Key, KeyState, KeyStatus};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Record, api_key, damaged, public_key};
use crate::ceremony::act::state::api_status;
use crate::ceremony::moving::Carried;
use crate::ceremony::protocols::Share;
use crate::control::{Control, HeldRestored, Ticket};
use crate::keys::moving::{epoch_of, revision_of};
use crate::shared::{Shared, party_name, store_problem};

const KIND: &str = "restored-share";
const FORMAT: u16 = 1;

/// What a backup keeps beside a share, so that the key comes back as what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Beside {
    /// The key as clients name it.
    pub(crate) key: KeyId,
    pub(crate) carried: Carried,
    /// Whether it was to be destroyed when the backup was made.
    #[serde(default)]
    pub(crate) destroys: bool,
    /// Without package and certificate, which the backup has anyway.
    pub(crate) record: Record,
}

/// What is kept in clear beside a restored share, and bound to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    pub(crate) key: KeyId,
    pub(crate) carried: Carried,
    /// With package and certificate.
    pub(crate) record: Record,
    /// The later epoch that was known when the share was restored by force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forced_below: Option<u64>,
}

/// What is sealed: the hash of what is kept in clear, and the secret.
pub(crate) fn plain(kept: &[u8], secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(32_usize.saturating_add(secret.len())));
    plain.extend_from_slice(&hash(kept));
    plain.extend_from_slice(secret);
    plain
}

/// Where it opens, and nowhere else. `key_id` names the key since its birth, in hexadecimal.
pub(crate) const fn context(node: [u8; 32], key_id: &str, epoch: u64) -> Context<'_> {
    Context { node, kind: KIND, key_id, epoch, format: FORMAT }
}

fn hash(kept: &[u8]) -> [u8; 32] {
    blake3::derive_key("quorate 2026 node restored record v1", kept)
}

/// A restored share, opened.
pub(crate) struct Waiting {
    pub(crate) id: KeyId,
    pub(crate) epoch: u64,
    pub(crate) party: PartyIndex,
    pub(crate) record: Record,
    pub(crate) carried: Carried,
    pub(crate) forced_below: Option<u64>,
    pub(crate) share: Share,
    restored_at: u64,
}

impl Shared {
    /// The restored share of a key that this node holds.
    pub(crate) async fn restored(&self, id: &KeyId) -> Result<Option<Waiting>, Problem> {
        let row = self.store.restored_of(id.as_str()).await.map_err(|error| store_problem(&error))?;
        row.map(|row| self.open_restored(row)).transpose()
    }

    fn open_restored(&self, row: quorate_store::Restored) -> Result<Waiting, Problem> {
        let unfit = |what: &str| damaged(format!("the restored share of `{}` {what}", row.key));
        let context = context(*self.id.as_bytes(), &row.key_id, row.epoch);
        let opened = self.sealer.open_blob(&context, &row.sealed_share);
        let opened = opened.map_err(|error| unfit(&format!("does not open: {error}")))?;
        let (named, secret) = opened.split_first_chunk::<32>().ok_or_else(|| unfit("is malformed"))?;
        if *named != hash(&row.record) {
            return Err(unfit("is of another record"));
        }
        let kept: Kept = serde_json::from_slice(&row.record)
            .map_err(|error| unfit(&format!("has a record that cannot be read: {error}")))?;
        let share = Share::open(kept.record.scheme, kept.record.package.as_ref(), secret);
        let share = share.ok_or_else(|| unfit("does not fit its record"))?;
        let fits = u64::from(share.index().get()) == row.party && share.epoch() == row.epoch;
        if !fits || kept.key.as_str() != row.key || !share.is_certified(kept.record.certificate.as_ref()) {
            return Err(unfit("is not what it is kept as"));
        }
        Ok(Waiting {
            id: kept.key,
            epoch: row.epoch,
            party: share.index(),
            record: kept.record,
            carried: kept.carried,
            forced_below: kept.forced_below,
            share,
            restored_at: row.restored_at,
        })
    }

    /// All restored shares as the API shows them, in a fixed order.
    pub(crate) async fn shown_restored(
        &self,
        visible: impl Fn(&Record) -> bool,
    ) -> Result<Vec<RestoredKey>, Problem> {
        let rows = self.store.restored().await.map_err(|error| store_problem(&error))?;
        let mut shown = Vec::with_capacity(rows.len());
        // Without the name are those that an earlier build restored.
        for row in rows.into_iter().filter(|row| !row.key.is_empty()) {
            let waiting = self.open_restored(row)?;
            if visible(&waiting.record) {
                shown.push(self.show_restored(&waiting)?);
            }
        }
        shown.sort_by(|a, b| a.key.id.as_str().cmp(b.key.id.as_str()));
        Ok(shown)
    }

    fn show_restored(&self, waiting: &Waiting) -> Result<RestoredKey, Problem> {
        let record = &waiting.record;
        let public = public_key(record, &waiting.share.public_key())?;
        let status = api_status(waiting.carried.status());
        let shown = api_key(waiting.id.clone(), record, status, &public, self.config.chains.bitcoin);
        let lost = self.lost_parties(record);
        let key = ApiKey { epoch: waiting.epoch, acts: waiting.carried.acts, lost, ..shown };
        let party = party_name(&record.names(), waiting.party);
        Ok(RestoredKey { key: Box::new(key), party, restored_at: waiting.restored_at })
    }

    async fn held_of(&self, id: &KeyId) -> Result<Option<HeldRestored>, Problem> {
        if let Some(key) = self.stored_key(id).await?.filter(|key| key.status != KeyStatus::Destroyed) {
            let epoch = epoch_of(key.epoch);
            return Ok(Some(HeldRestored { epoch, party: None, carried: Carried::of(&key) }));
        }
        if let Some(waiting) = self.restored(id).await? {
            let (epoch, party) = (waiting.epoch, Some(waiting.party));
            return Ok(Some(HeldRestored { epoch, party, carried: waiting.carried }));
        }
        let away = self.store.moved_away(id.as_str()).await.map_err(|error| store_problem(&error))?;
        let carried = Carried::default();
        Ok(away.map(|away| HeldRestored { epoch: epoch_of(away.epoch), party: None, carried }))
    }

    /// A peer asks what this node holds of a key.
    pub(crate) async fn tell_restored(&self, to: PeerId, ticket: Ticket, key: &str) -> Result<(), Problem> {
        let held = match key.parse::<KeyId>() {
            Ok(id) => self.held_of(&id).await?,
            Err(_) => None,
        };
        self.tell(to, &Control::Restored { ticket, held }).await;
        Ok(())
    }
}

impl Waiting {
    /// As if it were a key: for those who judge what is asked for.
    pub(crate) fn as_key(&self, state: KeyState) -> Result<Key, Problem> {
        let record = self.record.to_bytes()?;
        Ok(Key {
            key_id: self.id.as_str().to_owned(),
            status: self.carried.status(),
            scheme: self.record.scheme.name().to_owned(),
            public_key: self.share.public_key(),
            epoch: revision_of(self.epoch),
            record,
            sealed_share: Vec::new(),
            state,
            created_at: self.record.created_at,
            updated_at: self.restored_at,
        })
    }
}

impl Beside {
    /// What is kept of a key beside its share in a backup.
    pub(crate) fn of(id: KeyId, key: &Key, record: Record) -> Self {
        let empty = quorate_api::Hex::default;
        Self {
            key: id,
            carried: Carried::of(key),
            destroys: key.state.destroys_at.is_some() || key.status == KeyStatus::Destroyed,
            record: Record { package: empty(), certificate: empty(), ..record },
        }
    }
}

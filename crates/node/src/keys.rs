//! Keys at rest: the public record, the sealed material, and the way from pending to active.
//!
//! A key is stored twice in its creation, under rising *revisions* (the store's epoch of a key):
//!
//! | revision | holds | status |
//! |---|---|---|
//! | `2·epoch` | the share, as soon as the key generation wants it durable | pending, never used |
//! | `2·epoch + 1` | share and, for ECDSA, the pairwise set-up | pending until every party has it, then active |
//!
//! The sealed bytes begin with the hash of the record, so a changed record (purposes, parties) does not open.

pub(crate) mod moving;
pub(crate) mod restored;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::{
    Code, Figures, Hex, Key as ApiKey, KeyId, KeyStatus as ApiStatus, OperationId, OperationResult, Problem,
};
use quorate_intent::{Address, Network, PublicKey, Purpose, Scheme};
use quorate_net::PeerId;
use quorate_policy::name::Name;
use quorate_protocol::access::Access;
use quorate_protocol::party::PartyIndex;
use quorate_seal::Context;
use quorate_store::{Key, KeyMove, KeyState, KeyStatus, NewKey, StoreError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeroize::{Zeroize, Zeroizing};

use crate::access::{self, SHOWN_QUORUMS};
use crate::audit;
use crate::ceremony::act::state::api_status;
use crate::ceremony::act::{self, mark};
use crate::ceremony::protocols::{self, Setup, Share};
use crate::clock;
use crate::registry::locked;
use crate::shared::{Shared, party_name, store_problem};

const KIND: &str = "key-material";
const FORMAT: u16 = 1;
/// The version of records whose states carry a mark.
pub(crate) const MARKED: u16 = 2;

/// What everybody may know of a key, as this node keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) version: u16,
    pub(crate) scheme: Scheme,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    pub(crate) purposes: BTreeSet<Purpose>,
    /// The number of parties of the smallest quorum. Who can sign is in the package.
    pub(crate) threshold: u16,
    pub(crate) parties: Vec<RecordParty>,
    pub(crate) operation: OperationId,
    pub(crate) created_at: u64,
    /// The tenant it belongs to, in a cluster with a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<Name>,
    /// Who asked for it, in a cluster with a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<Name>,
    /// The largest index that a party of it ever had, once it was given to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_index: Option<u16>,
    /// Whether it was made outside: one party had the whole private key, and may have it still. Said for ever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) imported: bool,
    /// Whether this party holds everything it needs to sign.
    pub(crate) complete: bool,
    /// The public package of the key's share format.
    pub(crate) package: Hex,
    /// The acknowledgements of all parties that they hold their shares; empty until the generation has ended.
    pub(crate) certificate: Hex,
}

/// One party of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordParty {
    pub(crate) index: u16,
    pub(crate) name: String,
    pub(crate) identity: Hex,
}

impl Record {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Problem> {
        serde_json::to_vec(self).map_err(|error| damaged(format!("a key record cannot be written: {error}")))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(bytes)
            .map_err(|error| damaged(format!("a key record cannot be read: {error}")))
    }

    /// The epoch of its package; 0 as long as it has none.
    pub(crate) fn epoch(&self) -> u64 {
        protocols::package_epoch(self.scheme, &self.package.0).unwrap_or_default()
    }

    /// The revision of the store under which the share of its epoch is kept first.
    fn first_revision(&self) -> u64 {
        self.epoch().saturating_mul(2)
    }

    /// Names of the parties by index.
    pub(crate) fn names(&self) -> BTreeMap<PartyIndex, String> {
        self.parties.iter().filter_map(|p| Some((PartyIndex::new(p.index)?, p.name.clone()))).collect()
    }

    /// Channel identities of the parties by index.
    pub(crate) fn peers(&self) -> BTreeMap<PartyIndex, PeerId> {
        let peer = |p: &RecordParty| {
            let bytes: [u8; 32] = p.identity.0.as_slice().try_into().ok()?;
            Some((PartyIndex::new(p.index)?, PeerId::from_bytes(bytes)))
        };
        self.parties.iter().filter_map(peer).collect()
    }

    /// The largest index that a party of it ever had.
    pub(crate) fn last_index(&self) -> u16 {
        let now = self.parties.iter().map(|party| party.index).max().unwrap_or(0);
        self.last_index.map_or(now, |last| last.max(now))
    }

    /// The party that a node is of this key.
    pub(crate) fn index_of(&self, peer: PeerId) -> Option<PartyIndex> {
        self.peers().into_iter().find(|(_, id)| *id == peer).map(|(index, _)| index)
    }
}

/// The secret side of a key, opened.
pub(crate) struct Material {
    pub(crate) share: Share,
    /// For ECDSA.
    pub(crate) setup: Setup,
    /// With whom pairs were burned when it was opened.
    pub(crate) burned: BTreeSet<PartyIndex>,
    /// Its public key: checking that a point is of prime order takes as long as verifying a signature.
    public_key: PublicKey,
    /// The record it was opened with.
    record: [u8; 32],
}

/// How long a key that is between two epochs is waited for.
const PASSES: Duration = Duration::from_secs(1);

/// Opened secrets that are kept, at most: opening one takes longer than signing with it.
const KEPT: usize = 256;

/// The secrets that are open, by key.
pub(crate) type OpenMaterials = HashMap<KeyId, Arc<Material>>;

/// A key ready to be used in a ceremony.
pub(crate) struct OpenKey {
    pub(crate) id: KeyId,
    pub(crate) record: Record,
    pub(crate) public_key: PublicKey,
    pub(crate) revision: u64,
    pub(crate) material: Arc<Material>,
    /// Its status when it was opened.
    pub(crate) status: ApiStatus,
    /// Whether it was exposed.
    pub(crate) exposed: bool,
    /// The count of changes of states before it was opened.
    seen: u64,
}

/// What is sealed. Encoded by hand, so that no copy of the secrets is left behind.
pub(crate) struct Plain<'a> {
    record: [u8; 32],
    secret: &'a [u8],
    setup: &'a [u8],
}

impl Plain<'_> {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(32 + 8 + self.secret.len() + self.setup.len()));
        out.extend_from_slice(&self.record);
        for part in [self.secret, self.setup] {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Plain<'_>> {
        let (record, rest) = bytes.split_first_chunk::<32>()?;
        let (secret, rest) = part(rest)?;
        let (setup, rest) = part(rest)?;
        rest.is_empty().then_some(Plain { record: *record, secret, setup })
    }
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

/// A pending share as [`quorate_keys::dkg::PENDING_SHARE`] carries it.
pub(crate) struct Pending {
    pub(crate) package: Vec<u8>,
    pub(crate) secret: Zeroizing<Vec<u8>>,
}

impl Pending {
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        #[derive(BorshSerialize, BorshDeserialize)]
        struct Parts {
            package: Vec<u8>,
            secret: Vec<u8>,
        }
        let mut parts: Parts = borsh::from_slice(bytes).ok()?;
        let secret = Zeroizing::new(parts.secret.clone());
        parts.secret.zeroize();
        Some(Self { package: parts.package, secret })
    }
}

fn record_hash(record: &[u8]) -> [u8; 32] {
    blake3::derive_key("quorate 2026 node key record v1", record)
}

fn damaged(detail: String) -> Problem {
    tracing::error!(%detail, "key cannot be used");
    Problem::new(Code::Internal, format!("{detail}; restore this node from a backup"))
}

impl Shared {
    fn key_context<'a>(&self, id: &'a KeyId, revision: u64) -> Context<'a> {
        Context {
            node: *self.id.as_bytes(),
            kind: KIND,
            key_id: id.as_str(),
            epoch: revision,
            format: FORMAT,
        }
    }

    fn seal_material(
        &self,
        id: &KeyId,
        revision: u64,
        record: &[u8],
        secret: &[u8],
        setup: &[u8],
    ) -> Result<Vec<u8>, Problem> {
        let plain = Plain { record: record_hash(record), secret, setup }.encode();
        self.sealer
            .seal(&self.key_context(id, revision), &plain)
            .map_err(|error| Problem::new(Code::Internal, format!("the share cannot be sealed: {error}")))
    }

    /// Stores the share of a key that is being created. Durable when it returns.
    pub(crate) async fn store_pending(
        &self,
        id: &KeyId,
        record: &Record,
        public_key: Vec<u8>,
        secret: &[u8],
    ) -> Result<(), Problem> {
        let bytes = record.to_bytes()?;
        let revision = record.first_revision();
        let sealed_share = self.seal_material(id, revision, &bytes, secret, &[])?;
        let key = NewKey {
            key_id: id.as_str().to_owned(),
            status: KeyStatus::Pending,
            scheme: record.scheme.name().to_owned(),
            public_key,
            epoch: revision,
            record: bytes,
            sealed_share,
            state: mark::marked(&self.state_key, id.as_str(), KeyStatus::Pending, KeyState::default()),
        };
        self.store.insert_key(key, clock::millis()).await.map_err(|error| store_problem(&error))
    }

    /// Stores everything this party needs to sign; the key stays pending. Durable when it returns.
    pub(crate) async fn store_complete(
        &self,
        id: &KeyId,
        record: &Record,
        secret: &[u8],
        setup: &[u8],
    ) -> Result<(), Problem> {
        let bytes = record.to_bytes()?;
        let (first, complete) = (record.first_revision(), record.first_revision().saturating_add(1));
        let sealed = self.seal_material(id, complete, &bytes, secret, setup)?;
        let stored =
            self.store.replace_share(id.as_str(), first, complete, bytes, sealed, clock::millis()).await;
        stored.map_err(|error| store_problem(&error))
    }

    /// Makes a complete key usable. Nothing happens if it is already; a key that is not complete stays pending.
    pub(crate) async fn activate(&self, id: &KeyId) -> Result<bool, Problem> {
        let Some(key) = self.stored_key(id).await? else { return Ok(false) };
        if key.status == KeyStatus::Pending && Record::from_bytes(&key.record)?.complete {
            let to = KeyStatus::Active;
            let entry = audit::moved(&key, to)?;
            match self.store.move_key(id.as_str(), self.step(&key, to), clock::millis(), vec![entry]).await {
                Ok(()) => tracing::info!(key = %id, "key is active"),
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(store_problem(&error)),
            }
            return Ok(true);
        }
        Ok(key.status == KeyStatus::Active)
    }

    /// CER.13  A key that became active by its use was created, so this node says so too: it stores and logs the outcome of the creation.
    async fn end_creation(&self, id: &KeyId, key: &Key) {
        let created = async {
            let record = Record::from_bytes(&key.record)?;
            // Whoever runs the creation ends it.
            if self.registry.in_session(&record.operation)
                || self.operation(&record.operation).await?.is_none()
            {
                return Ok(());
            }
            let Some(shown) = self.present_key(key)? else { return Ok(()) };
            let result = OperationResult::CreateKey { key: Box::new(shown), figures: Figures::default() };
            self.succeed(&record.operation, None, Some(id), result, Vec::new()).await.map(|_| ())
        };
        let created: Result<(), Problem> = created.await;
        if let Err(problem) = created {
            tracing::warn!(key = %id, detail = %problem.detail, "the end of the key's creation is not stored");
        }
    }

    /// Erases the share of a key whose creation failed.
    pub(crate) async fn discard_pending(&self, id: &KeyId) {
        let (from, to) = (KeyStatus::Pending, KeyStatus::Destroyed);
        let stored = self.stored_key(id).await.ok().flatten();
        let pending = stored.filter(|key| key.status == from);
        let entry = pending.as_ref().map(|key| audit::moved(key, to));
        let erased = match entry {
            None => return,
            Some(Ok(entry)) => {
                let step = pending.map(|key| self.step(&key, to));
                match step {
                    Some(step) => self.store.move_key(id.as_str(), step, clock::millis(), vec![entry]).await,
                    None => return,
                }
            }
            // Of a record that cannot be read no more can be said than that it is gone.
            Some(Err(_)) => self.store.transition_key(id.as_str(), from, to, clock::millis()).await,
        };
        match erased {
            Ok(()) => tracing::info!(key = %id, "share of an unfinished key erased"),
            Err(StoreError::NotFound { .. } | StoreError::Changed { .. }) => {}
            Err(error) => tracing::error!(%error, key = %id, "share of an unfinished key not erased"),
        }
    }

    /// At start-up: erases shares of keys whose creation broke off before this party had all it needs. It never said that it has,
    /// so nobody uses the key.
    pub(crate) async fn discard_incomplete(&self) -> Result<(), Problem> {
        let mut after = None;
        loop {
            let page = self.store.list_keys(after, quorate_store::MAX_PAGE_LEN).await;
            let page = page.map_err(|error| store_problem(&error))?;
            for key in page.items.iter().filter(|key| key.status == KeyStatus::Pending) {
                if let (false, Ok(id)) = (Record::from_bytes(&key.record)?.complete, key.key_id.parse()) {
                    self.discard_pending(&id).await;
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// A key as the store has it. What is not secret of it is believed only as this node left it: its state carries the node's mark, and its
    /// record opens with the share.
    pub(crate) async fn stored_key(&self, id: &KeyId) -> Result<Option<Key>, Problem> {
        let key = self.store.key(id.as_str()).await.map_err(|error| store_problem(&error))?;
        if let Some(key) = &key {
            self.check_state(id, key)?;
        }
        Ok(key)
    }

    /// The same without its sealed share, for whoever asks what may be known of it.
    pub(crate) async fn known_key(&self, id: &KeyId) -> Result<Option<Key>, Problem> {
        let key = self.store.key_without_share(id.as_str()).await.map_err(|error| store_problem(&error))?;
        if let Some(key) = &key {
            self.check_state(id, key)?;
        }
        Ok(key)
    }

    /// KST.5: refuses a state that this node did not write, or that is older than one it knew.
    fn check_state(&self, id: &KeyId, key: &Key) -> Result<(), Problem> {
        // What is gone is gone, whoever says so.
        if key.status == KeyStatus::Destroyed {
            return Ok(());
        }
        let before_marks = || {
            key.state == KeyState::default()
                && Record::from_bytes(&key.record).is_ok_and(|record| record.version < MARKED)
        };
        if !mark::holds(&self.state_key, id.as_str(), key.status, &key.state) && !before_marks() {
            return Err(damaged(format!("the state of key `{id}` was changed in the store")));
        }
        if locked(&self.states).get(id).is_some_and(|known| *known > key.state.acts) {
            return Err(damaged(format!("the state of key `{id}` is older than it was")));
        }
        Ok(())
    }

    /// Another status, and nothing else.
    fn step(&self, key: &Key, to: KeyStatus) -> KeyMove {
        KeyMove {
            from: key.status,
            was: key.state.clone(),
            to,
            state: mark::marked(&self.state_key, &key.key_id, to, key.state.clone()),
            act: None,
        }
    }

    /// Opens what is needed to be sure of a record: it is bound to the share.
    pub(crate) async fn check_record(&self, id: &KeyId, key: &Key, record: &Record) -> Result<(), Problem> {
        self.material(id, key, record).await.map(|_| ())
    }

    /// Whether an opened key can still be used: it may have been disabled since.
    pub(crate) async fn check_usable(&self, key: &OpenKey) -> Result<(), Problem> {
        if self.acted.load(Ordering::SeqCst) == key.seen {
            return Ok(());
        }
        match self.known_key(&key.id).await? {
            Some(stored) => usable(&key.id, &stored),
            None => Err(Problem::new(Code::NotFound, format!("this node holds no key `{}`", key.id))),
        }
    }

    /// Whether this node has a share of the key.
    pub(crate) async fn holds(&self, id: &KeyId) -> Result<bool, Problem> {
        let key = self.known_key(id).await?;
        Ok(key.is_some_and(|key| key.status != KeyStatus::Destroyed || key.state.acts > 0))
    }

    /// Whether this node has what an act is done to.
    pub(crate) async fn can_act(&self, id: &KeyId, ask: &crate::judge::Ask) -> Result<bool, Problem> {
        if self.known_key(id).await?.is_some() {
            return Ok(true);
        }
        let restores = matches!(ask, crate::judge::Ask::Act(_, quorate_api::Act::Restore(_)));
        Ok(restores && self.restored(id).await?.is_some())
    }

    /// The key as the API shows it; `None` if there is none, or none any more.
    pub(crate) fn present_key(&self, key: &Key) -> Result<Option<ApiKey>, Problem> {
        // One that was never made is nothing; one that was destroyed by order is remembered.
        if key.status == KeyStatus::Destroyed && key.state.acts == 0 {
            return Ok(None);
        }
        let status = api_status(key.status);
        let record = Record::from_bytes(&key.record)?;
        let id: KeyId = key.key_id.parse().map_err(|_| damaged(format!("`{}` is no key id", key.key_id)))?;
        let public = public_key(&record, &key.public_key)?;
        let shown = api_key(id, &record, status, &public, self.config.chains.bitcoin);
        let state = &key.state;
        Ok(Some(ApiKey {
            acts: state.acts,
            exposed_at: state.exposed_at,
            destroys_at: state.destroys_at.filter(|_| key.status != KeyStatus::Destroyed),
            epoch: moving::epoch_of(key.epoch),
            lost: self.lost_parties(&record),
            ..shown
        }))
    }

    /// The parties of a key whose machines were replaced or removed: their shares went with them.
    fn lost_parties(&self, record: &Record) -> Vec<String> {
        let (names, members) = (record.names(), self.members());
        let lost = record.peers().into_iter().filter(|(_, peer)| !members.names.contains_key(peer));
        lost.map(|(party, _)| party_name(&names, party)).collect()
    }

    /// The key, without its sealed share, and its record. A pending key that is complete becomes active when another party of it uses it.
    pub(crate) async fn ready_key(&self, id: &KeyId, asked_by: PeerId) -> Result<(Key, Record), Problem> {
        let missing = || Problem::new(Code::NotFound, format!("this node holds no key `{id}`"));
        let mut key = self.known_key(id).await?.ok_or_else(missing)?;
        let record = Record::from_bytes(&key.record)?;
        let party = record.index_of(asked_by).is_some();
        // Its creation ended elsewhere without a word to this node, which holds all it needs. Waiting for another node to use the
        // key first would lose it when the coordinator of the creation is the node that was lost.
        let over = asked_by != self.id || !self.registry.is_active(&record.operation);
        if key.status == KeyStatus::Pending && party && over && self.activate(id).await? {
            key = self.known_key(id).await?.ok_or_else(missing)?;
            self.end_creation(id, &key).await;
        }
        if !party || (key.status == KeyStatus::Destroyed && key.state.acts == 0) {
            return Err(missing());
        }
        Ok((key, record))
    }

    /// Opens a key for use.
    pub(crate) async fn open_key(&self, id: &KeyId, asked_by: PeerId) -> Result<OpenKey, Problem> {
        // Between two epochs is a moment, mostly.
        self.gates.pass(id, Instant::now() + PASSES).await?;
        let seen = self.acted.load(Ordering::SeqCst);
        let (key, record) = self.ready_key(id, asked_by).await?;
        usable(id, &key)?;
        let material = self.material(id, &key, &record).await?;
        if material.public_key.bytes() != key.public_key {
            return Err(damaged(format!("the public key of `{id}` was changed")));
        }
        let public_key = material.public_key.clone();
        let (status, exposed) = (api_status(key.status), key.state.exposed_at.is_some());
        Ok(OpenKey {
            id: id.clone(),
            record,
            public_key,
            revision: key.epoch,
            material,
            status,
            exposed,
            seen,
        })
    }

    /// The share of a key for a backup, whatever its status allows, with the record in which package and certificate are.
    pub(crate) fn share_to_back_up(&self, key: &Key) -> Result<(Share, Record), Problem> {
        let record = Record::from_bytes(&key.record)?;
        let id: KeyId = key.key_id.parse().map_err(|_| damaged(format!("`{}` is no key id", key.key_id)))?;
        let opened = self
            .sealer
            .open_blob(&self.key_context(&id, key.epoch), &key.sealed_share)
            .map_err(|error| damaged(format!("the share of `{id}` does not open: {error}")))?;
        let plain = Plain::decode(&opened).filter(|plain| plain.record == record_hash(&key.record));
        let share = plain.and_then(|plain| Share::open(record.scheme, record.package.as_ref(), plain.secret));
        let share = share.ok_or_else(|| damaged(format!("the share of `{id}` does not fit its record")))?;
        Ok((share, record))
    }

    /// The opened secrets of a key, which may have been read without its share. Sessions that run at the same time share one value, see [`Setup`].
    pub(crate) async fn material(
        &self,
        id: &KeyId,
        key: &Key,
        record: &Record,
    ) -> Result<Arc<Material>, Problem> {
        let hash = record_hash(&key.record);
        let kept = |open: &OpenMaterials| open.get(id).filter(|material| material.record == hash).cloned();
        if let Some(material) = kept(&locked(&self.materials)) {
            return Ok(material);
        }
        let burned = if protocols::has_setup(record.scheme) {
            self.burned_peers(id, key.epoch, record).await?
        } else {
            BTreeSet::new()
        };
        // Read now, for the very record that was judged.
        let whole =
            self.stored_key(id).await?.filter(|now| now.epoch == key.epoch && now.record == key.record);
        let sealed = whole.ok_or_else(crate::gate::moving)?.sealed_share;
        let opened = self
            .sealer
            .open_blob(&self.key_context(id, key.epoch), &sealed)
            .map_err(|error| damaged(format!("the share of `{id}` does not open: {error}")))?;
        let plain =
            Plain::decode(&opened).ok_or_else(|| damaged(format!("the share of `{id}` is malformed")))?;
        if plain.record != hash {
            return Err(damaged(format!("the record of `{id}` was changed")));
        }
        let unfit = || damaged(format!("the share of `{id}` does not fit its key"));
        let share = Share::open(record.scheme, record.package.as_ref(), plain.secret).ok_or_else(unfit)?;
        let setup = Setup::open(record.scheme, plain.setup, burned.clone()).ok_or_else(unfit)?;
        if !share.is_certified(record.certificate.as_ref()) {
            return Err(damaged(format!("the certificate of `{id}` does not hold")));
        }
        if share.public_key() != key.public_key {
            return Err(damaged(format!("the public key of `{id}` was changed")));
        }
        let public_key = public_key(record, &key.public_key)?;
        let material = Arc::new(Material { share, setup, burned, public_key, record: hash });
        let mut open = locked(&self.materials);
        // Somebody may have been quicker: then theirs is the one.
        if let Some(theirs) = kept(&open) {
            return Ok(theirs);
        }
        if open.len() >= KEPT {
            // Never one that a session holds: a second value of it would not see its burns.
            open.retain(|_, material| Arc::strong_count(material) > 1);
        }
        // What was burned while this was opened: whoever burns outside of a session looks here for what is open after the mark.
        for party in self.burns.parties(id, key.epoch, record) {
            material.setup.burn(party);
        }
        open.insert(id.clone(), Arc::clone(&material));
        Ok(material)
    }

    /// The parties with whom this node's pairwise set-up of a key is burned.
    pub(crate) async fn burned_peers(
        &self,
        id: &KeyId,
        revision: u64,
        record: &Record,
    ) -> Result<BTreeSet<PartyIndex>, Problem> {
        let mut burned = self.burns.parties(id, revision, record);
        let mut after = None;
        loop {
            let page = self.store.list_burns(id.as_str(), after, quorate_store::MAX_PAGE_LEN).await;
            let page = page.map_err(|error| store_problem(&error))?;
            for burn in page.items.iter().filter(|burn| burn.instance.epoch == revision) {
                let peer: Option<[u8; 32]> = burn.instance.peer.as_slice().try_into().ok();
                burned.extend(peer.and_then(|peer| record.index_of(PeerId::from_bytes(peer))));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(burned),
            }
        }
    }
}

/// KST.2: whether a node signs with a key of this status.
fn usable(id: &KeyId, key: &Key) -> Result<(), Problem> {
    match key.status {
        KeyStatus::Active | KeyStatus::Exposed => Ok(()),
        KeyStatus::Pending => {
            let detail = "the creation of this key did not end on this node: create another key";
            Err(Problem::new(Code::KeyDisabled, detail))
        }
        KeyStatus::Disabled if key.state.destroys_at.is_some() => {
            let detail =
                "the key is to be destroyed: `quorate key keep` calls that off, and then it can be enabled";
            Err(Problem::new(Code::KeyDisabled, detail))
        }
        KeyStatus::Disabled => {
            let detail = "the key is disabled: whoever may, enables it again with `quorate key enable`";
            Err(Problem::new(Code::KeyDisabled, detail))
        }
        KeyStatus::Burned => {
            let detail = "this node's share of the key may not be used any more: sign without it";
            Err(Problem::new(Code::KeyBurned, detail))
        }
        KeyStatus::Destroyed => Err(act::destroyed(id)),
    }
}

pub(crate) fn public_key(record: &Record, bytes: &[u8]) -> Result<PublicKey, Problem> {
    PublicKey::new(record.scheme, bytes)
        .map_err(|error| damaged(format!("a public key is not valid: {error}")))
}

/// The addresses of a public key on the chains that the key of the record may sign for.
pub(crate) fn addresses(record: &Record, public: &PublicKey, network: Network) -> Vec<Address> {
    let mut addresses = quorate_intent::addresses(public, network);
    addresses.retain(|a| record.purposes.iter().any(|purpose| purpose.name() == a.chain));
    addresses
}

/// The API's view of a key.
pub(crate) fn api_key(
    id: KeyId,
    record: &Record,
    status: ApiStatus,
    public: &PublicKey,
    network: Network,
) -> ApiKey {
    let names = record.names();
    // A key without a package is being created; its structure is shown when it has one.
    let access = protocols::package_access(&record.package.0).unwrap_or_else(|| Access::Threshold {
        k: record.threshold,
        of: names.keys().copied().map(Access::Party).collect(),
    });
    let quorums = access.minimal_quorums(SHOWN_QUORUMS);
    let name = |party: &PartyIndex| names.get(party).cloned().unwrap_or_else(|| party.to_string());
    ApiKey {
        id,
        scheme: record.scheme,
        status,
        threshold: record.threshold,
        access: access::named(&access, &names),
        quorums: quorums.sets.iter().map(|set| set.iter().map(name).collect()).collect(),
        more_quorums: !quorums.complete,
        parties: record.parties.iter().map(|p| p.name.clone()).collect(),
        public_key: Hex(public.bytes().to_vec()),
        addresses: addresses(record, public, network),
        purposes: record.purposes.iter().copied().collect(),
        epoch: record.epoch(),
        label: record.label.clone(),
        created_at: record.created_at,
        acts: 0,
        exposed_at: None,
        destroys_at: None,
        imported: record.imported,
        lost: Vec::new(),
    }
}

impl std::fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenKey").field("id", &self.id).finish_non_exhaustive()
    }
}

//! Takes shares that came out of a backup into the folder of a node, which must not be running. Nothing signs with them: they can only deal
//! their keys to a new epoch.

use std::collections::{BTreeMap, BTreeSet};

use quorate_api::Hex;
use quorate_keys::backup::entry::Restored;
use quorate_keys::share::KeyId as PackageId;
use quorate_log::entry::Kind;
use quorate_seal::SealError;
use quorate_store::{KeyStatus, Store, StoreError};
use serde::Serialize;

use crate::ceremony::protocols::epochs::Package;
use crate::config::{Config, ConfigError};
use crate::folder::{self, FolderError};
use crate::keys::Record;
use crate::keys::moving::epoch_of;
use crate::keys::restored::{Beside, Kept, context, plain};
use crate::unlock::Unlock;
use crate::{audit, clock};

/// The latest epoch of each key that is known elsewhere: from the indexes of all nodes in the place, or from people.
pub type Known = BTreeMap<PackageId, u64>;

/// Why an older epoch is restored although a later one is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Force {
    /// For the log.
    pub reason: String,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// By key.
    pub shares: Vec<RestoredShare>,
    /// Keys of which nothing was restored, because they are destroyed or were to be, as clients name them.
    pub destroyed: Vec<String>,
}

/// One share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoredShare {
    /// The key's identity, as it was fixed at birth, in hexadecimal.
    pub key: String,
    /// The key as clients name it.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// The epoch of the share.
    pub epoch: u64,
    /// Whose share it was.
    pub party: u16,
    /// The later epoch that is known of, if it was forced.
    pub forced_below: Option<u64>,
}

/// Shares cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Sealing.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A later epoch is known.
    #[error(
        "the backup holds key `{key}` in epoch {epoch}, and epoch {known} is known: whoever holds shares of that one can sign, and these shares may be stolen ones. Find a newer backup, or say why with --force --reason"
    )]
    Older {
        /// The key.
        key: String,
        /// The epoch in the backup.
        epoch: u64,
        /// The later one.
        known: u64,
    },
    /// This node holds the key.
    #[error("this node holds a share of key `{key}` in epoch {held}: nothing is restored over it")]
    Held {
        /// The key.
        key: String,
        /// Its epoch.
        held: u64,
    },
    /// What was kept cannot be read.
    #[error("{0}")]
    Records(String),
}

/// Body of the log entry.
#[derive(Serialize)]
struct Logged<'a> {
    restored: &'a str,
    epoch: u64,
    party: u16,
    forced_below: Option<u64>,
    reason: &'a str,
}

/// Restores shares into the folder of a node that does not run, all or none. `why` is logged.
///
/// # Errors
/// [`RestoreError`].
pub async fn restore(
    config: &Config,
    shares: &[Restored],
    known: &Known,
    force: Option<&Force>,
    why: &str,
) -> Result<RestoreReport, RestoreError> {
    let opened = folder::open(&config.data, Unlock::of(config), Default::default()).await?;
    let node = *opened.id.as_bytes();
    let done = async {
        let (held, gone) = held(&opened.store).await?;
        let mut report = RestoreReport { shares: Vec::new(), destroyed: Vec::new() };
        let mut taken = Vec::new();
        for share in shares {
            let key = hex::encode(share.key_id.0);
            let older = |known: &u64| *known > share.epoch;
            if let Some(held) = held.get(&share.key_id) {
                return Err(RestoreError::Held { key, held: *held });
            }
            let beside = beside(share, &key)?;
            let id = beside.key.to_string();
            if beside.destroys || gone.contains(&id) {
                report.destroyed.push(id);
                continue;
            }
            // It may have been here, and have gone on without this node.
            let away = opened.store.moved_away(&id).await?.map(|away| epoch_of(away.epoch));
            let later = known.get(&share.key_id).copied().into_iter().chain(away).max().filter(older);
            if let (Some(known), None) = (later, force) {
                return Err(RestoreError::Older { key, epoch: share.epoch, known });
            }
            let (epoch, party) = (share.epoch, share.index.get());
            let name = beside.record.label;
            report.shares.push(RestoredShare { key, id, name, epoch, party, forced_below: later });
            taken.push(share);
        }
        for (share, told) in taken.into_iter().zip(&report.shares) {
            let reason = force.map_or(why, |force| force.reason.as_str());
            keep(&opened.store, &opened.sealer, node, share, told, reason).await?;
        }
        Ok(report)
    };
    let done = done.await;
    opened.store.close().await;
    done
}

async fn keep(
    store: &Store,
    sealer: &quorate_seal::Sealer,
    node: [u8; 32],
    share: &Restored,
    told: &RestoredShare,
    reason: &str,
) -> Result<(), RestoreError> {
    let unwritable = |error: &dyn std::fmt::Display| RestoreError::Records(error.to_string());
    let beside = beside(share, &told.key)?;
    let kept = Kept {
        key: beside.key.clone(),
        carried: beside.carried,
        record: Record {
            package: Hex(share.package.clone()),
            certificate: Hex(share.certificate.clone()),
            ..beside.record
        },
        forced_below: told.forced_below,
    };
    let record = serde_json::to_vec(&kept).map_err(|error| unwritable(&error))?;
    let named = &told.key;
    let sealed_share = sealer.seal(&context(node, named, share.epoch), &plain(&record, &share.secret))?;
    let body = Logged {
        restored: &told.key,
        epoch: told.epoch,
        party: told.party,
        forced_below: told.forced_below,
        reason,
    };
    let entry = audit::entry(Kind::Backup, &body).map_err(|problem| unwritable(&problem.detail))?;
    let row = quorate_store::Restored {
        key: beside.key.as_str().to_owned(),
        key_id: told.key.clone(),
        epoch: share.epoch,
        party: u64::from(told.party),
        record,
        sealed_share,
        restored_at: clock::millis(),
    };
    Ok(store.keep_restored(row, entry).await?)
}

/// What the backup says of the key, for whoever named it.
fn beside(share: &Restored, key: &str) -> Result<Beside, RestoreError> {
    serde_json::from_slice(&share.record).map_err(|error| {
        RestoreError::Records(format!(
            "what the backup says of key `{key}` cannot be read, so nobody would know what the key is for: {error}"
        ))
    })
}

/// Keys of which the folder has a share, with their epochs, and those that were destroyed by order.
async fn held(store: &Store) -> Result<(BTreeMap<PackageId, u64>, BTreeSet<String>), RestoreError> {
    let (mut held, mut gone, mut after) = (BTreeMap::new(), BTreeSet::new(), None);
    loop {
        let page = store.list_keys(after, quorate_store::MAX_PAGE_LEN).await?;
        for key in &page.items {
            if key.status == KeyStatus::Destroyed {
                // One that was never made may be made.
                if key.state.acts > 0 {
                    gone.insert(key.key_id.clone());
                }
                continue;
            }
            let record =
                Record::from_bytes(&key.record).map_err(|problem| RestoreError::Records(problem.detail))?;
            let package = Package::read(record.scheme, &record.package.0);
            // Its identity stands first in what names the key.
            let named = package.and_then(|package| Some((*package.key.first_chunk::<32>()?, package.epoch)));
            held.extend(named.map(|(key, epoch)| (PackageId(key), epoch)));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok((held, gone)),
        }
    }
}

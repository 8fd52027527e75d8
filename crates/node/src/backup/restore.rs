//! Takes shares that came out of a backup into the folder of a node, which must not be running. Nothing signs with them: they can only deal
//! their keys to a new epoch.

use std::collections::BTreeMap;

use quorate_keys::backup::entry::Restored;
use quorate_keys::share::KeyId as PackageId;
use quorate_log::entry::Kind;
use quorate_seal::{Context, SealError};
use quorate_store::{KeyStatus, Store, StoreError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ceremony::protocols::epochs::Package;
use crate::config::{Config, ConfigError};
use crate::folder::{self, FolderError};
use crate::keys::Record;
use crate::unlock::Unlock;
use crate::{audit, clock};

const KIND: &str = "restored-share";

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
}

/// One share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoredShare {
    /// The key's identity, as it was fixed at birth, in hexadecimal.
    pub key: String,
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

/// What is kept in clear beside a restored share.
#[derive(Serialize, Deserialize)]
struct Kept {
    curve: String,
    package: String,
    certificate: String,
    record: String,
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
        let held = held(&opened.store).await?;
        let mut report = RestoreReport { shares: Vec::new() };
        for share in shares {
            let key = hex::encode(share.key_id.0);
            let older = |known: &u64| *known > share.epoch;
            if let Some(held) = held.get(&share.key_id) {
                return Err(RestoreError::Held { key, held: *held });
            }
            let later = known.get(&share.key_id).copied().filter(older);
            if let (Some(known), None) = (later, force) {
                return Err(RestoreError::Older { key, epoch: share.epoch, known });
            }
            let (epoch, party) = (share.epoch, share.index.get());
            report.shares.push(RestoredShare { key, epoch, party, forced_below: later });
        }
        for (share, told) in shares.iter().zip(&report.shares) {
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
    let kept = Kept {
        curve: share.curve.name().to_owned(),
        package: hex::encode(&share.package),
        certificate: hex::encode(&share.certificate),
        record: String::from_utf8_lossy(&share.record).into_owned(),
    };
    let record = serde_json::to_vec(&kept).map_err(|error| unwritable(&error))?;
    let mut plain = Zeroizing::new(Vec::with_capacity(32 + share.secret.len()));
    plain.extend_from_slice(&blake3::derive_key("quorate 2026 node restored record v1", &record));
    plain.extend_from_slice(&share.secret);
    let context = Context { node, kind: KIND, key_id: &told.key, epoch: share.epoch, format: 1 };
    let sealed_share = sealer.seal(&context, &plain)?;
    let body = Logged {
        restored: &told.key,
        epoch: told.epoch,
        party: told.party,
        forced_below: told.forced_below,
        reason,
    };
    let entry = audit::entry(Kind::Backup, &body).map_err(|problem| unwritable(&problem.detail))?;
    let row = quorate_store::Restored {
        key_id: told.key.clone(),
        epoch: share.epoch,
        party: u64::from(told.party),
        record,
        sealed_share,
        restored_at: clock::millis(),
    };
    Ok(store.keep_restored(row, entry).await?)
}

/// Keys of which the folder has a share, with their epochs.
async fn held(store: &Store) -> Result<BTreeMap<PackageId, u64>, RestoreError> {
    let (mut held, mut after) = (BTreeMap::new(), None);
    loop {
        let page = store.list_keys(after, quorate_store::MAX_PAGE_LEN).await?;
        for key in page.items.iter().filter(|key| key.status != KeyStatus::Destroyed) {
            let record =
                Record::from_bytes(&key.record).map_err(|problem| RestoreError::Records(problem.detail))?;
            let package = Package::read(record.scheme, &record.package.0);
            // Its identity stands first in what names the key.
            let named = package.and_then(|package| Some((*package.key.first_chunk::<32>()?, package.epoch)));
            held.extend(named.map(|(key, epoch)| (PackageId(key), epoch)));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(held),
        }
    }
}

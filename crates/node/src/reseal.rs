//! Moving a folder between passphrase and HSM, or to another of its kind, or wrapping its data key anew under the same.
//!
//! The data key stays; what wraps it changes. The new header is made and opened once before it is stored, in one commit with the log
//! entry that says so; until that commit the old one opens the folder, and after it the new one. Then the old one is erased from the
//! write-ahead log. So a stop at any point leaves a folder that opens with one of the two.

use std::sync::Arc;
use std::time::Duration;

use quorate_log::entry::Kind;
use quorate_seal::{
    Hsm, HsmError, HsmKey, HsmUri, Params, PassphraseError, PassphraseSource, Protection, SealError, Sealer,
};
use quorate_store::fault::Faults;
use quorate_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::config::Config;
use crate::folder::{self, FolderError, Seals, patiently};
use crate::registry::locked;
use crate::shared::Shared;
use crate::unlock::Unlock;

/// How often emptying the write-ahead log is tried while readers are in the way.
const ERASURES: u32 = 20;
const ERASURE_PAUSE: Duration = Duration::from_millis(100);
/// Time between two looks at the HSM.
const LOOK: Duration = Duration::from_secs(30);

/// What a folder shall be sealed under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A passphrase.
    Passphrase(PassphraseSource),
    /// A key in an HSM; made there if there is none of that name.
    Hsm(HsmUri),
    /// What seals it now, which the configuration must still name: the data key is wrapped anew under it, with fresh salt and nonce and the costs of today.
    Same,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resealed {
    /// What the folder was sealed under, in words.
    pub from: String,
    /// What it is sealed under now.
    pub to: String,
    /// Whether the key in the HSM was made for it.
    pub made: bool,
    /// Whether a running node did it.
    pub online: bool,
    /// Whether the old header is in no file any more. If not, the next start of the node erases it.
    pub erased: bool,
}

/// Why a folder is sealed as it was.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The folder does not open.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The new passphrase cannot be had.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// It cannot be sealed so.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The store did not take it.
    #[error("{0}; the folder opens as before, or as you asked: run the same command again")]
    Store(#[from] StoreError),
    /// The configuration does not name what seals the folder.
    #[error(
        "the folder is sealed under {0}, which [seal] does not name any more: say with --to where it shall move"
    )]
    NotNamed(String),
    /// What the configuration names is another one than what seals the folder.
    #[error(
        "{0}. What [seal] names does not open the folder as it is sealed now, so it is not wrapped anew: put back what does, or move it with --to"
    )]
    Another(SealError),
    /// It cannot be logged.
    #[error("{0}")]
    Log(String),
}

#[derive(Serialize)]
struct Moved<'a> {
    from: &'a str,
    to: &'a str,
}

/// Moves the folder of a node that does not run.
///
/// # Errors
/// [`ResealError`]; the folder is sealed as before then, unless it says otherwise.
pub async fn reseal(
    config: &Config,
    unlock: impl Into<Unlock>,
    target: Target,
) -> Result<Resealed, ResealError> {
    reseal_with_faults(config, unlock.into(), target, Faults::default()).await
}

async fn reseal_with_faults(
    config: &Config,
    unlock: Unlock,
    target: Target,
    faults: Faults,
) -> Result<Resealed, ResealError> {
    let opened = folder::open(&config.data, unlock, faults).await?;
    let moved = rewrap(&opened.store, opened.sealer, *opened.id.as_bytes(), target, config).await;
    opened.store.close().await;
    // The folder is closed, which empties the log too.
    moved.map(|(done, _)| Resealed { online: false, erased: true, ..done })
}

async fn rewrap(
    store: &Store,
    sealer: Arc<Sealer>,
    owner: [u8; 32],
    target: Target,
    config: &Config,
) -> Result<(Resealed, Option<Arc<Hsm>>), ResealError> {
    let meta = store.meta().await?.ok_or(SealError::HeaderTampered)?;
    let protection = Sealer::protection(&meta.seal_header)?;
    let from = in_words(&protection);
    // SEAL.14
    let (target, current) = match target {
        Target::Same => (named(&protection, config)?, Some(meta.seal_header.clone())),
        target => (target, None),
    };
    let (hsm, wrapped) = patiently(move || {
        let under = match target {
            Target::Passphrase(source) => Seals::Passphrase(source.read()?, Params::standard()),
            Target::Hsm(uri) => Seals::Hsm(Arc::new(Hsm::new(uri))),
            Target::Same => return Err(ResealError::NotNamed("nothing".to_owned())),
        };
        if let Some(current) = current {
            under.check(&owner, &current).map_err(ResealError::Another)?;
        }
        let wrapped = under.wrap(&sealer, &owner)?;
        under.check(&owner, &wrapped.header)?;
        let hsm = if let Seals::Hsm(hsm) = under { Some(hsm) } else { None };
        Ok::<_, ResealError>((hsm, wrapped))
    })
    .await??;
    // SEAL.9 Made and opened; then one commit.
    let to = in_words(&Sealer::protection(&wrapped.header)?);
    let entry = audit::entry(Kind::Seal, &Moved { from: &from, to: &to });
    let entry = entry.map_err(|problem| ResealError::Log(problem.detail))?;
    store.replace_seal_header(&meta.seal_header, &wrapped.header, vec![entry]).await?;
    let erased = erase(store).await;
    let made = wrapped.key.as_ref().is_some_and(|HsmKey { made, .. }| *made);
    Ok((Resealed { from, to, made, online: true, erased }, hsm))
}

/// Where what seals a folder is, by the configuration.
fn named(protection: &Protection, config: &Config) -> Result<Target, ResealError> {
    let found = match protection {
        Protection::Passphrase => config.passphrase().map(Target::Passphrase),
        Protection::Hsm { .. } => {
            config.seal.pkcs11.as_ref().and_then(|uri| uri.parse().ok()).map(Target::Hsm)
        }
    };
    found.ok_or_else(|| ResealError::NotNamed(in_words(protection)))
}

/// SEAL.10
async fn erase(store: &Store) -> bool {
    for _ in 0..ERASURES {
        match store.erase_replaced().await {
            Ok(true) => return true,
            Ok(false) => tokio::time::sleep(ERASURE_PAUSE).await,
            Err(error) => {
                tracing::error!(%error, "the old seal header is not erased from the write-ahead log yet");
                return false;
            }
        }
    }
    false
}

pub(crate) fn in_words(protection: &Protection) -> String {
    match protection {
        Protection::Passphrase => "a passphrase".to_owned(),
        Protection::Hsm { token, key } => format!("the key `{key}` in the token `{token}`"),
    }
}

impl Shared {
    /// SEAL.11 Moves the folder of this running node. Nothing that runs notices: the data key is the same.
    pub(crate) async fn reseal(&self, target: Target) -> Result<Resealed, ResealError> {
        let _alone = self.resealing.lock().await;
        let (done, hsm) =
            rewrap(&self.store, Arc::clone(&self.sealer), *self.id.as_bytes(), target, &self.config).await?;
        *locked(&self.hsm) = hsm;
        tracing::info!(from = done.from, to = done.to, erased = done.erased, "the folder is sealed anew");
        Ok(done)
    }

    /// Whether the HSM answers, if the folder is sealed under one.
    pub(crate) async fn look_at_hsm(&self) -> Option<Result<(), String>> {
        let hsm = locked(&self.hsm).clone()?;
        let looked = patiently(move || hsm.check()).await;
        Some(match looked {
            Ok(looked) => looked.map_err(|error: HsmError| error.to_string()),
            Err(silent) => Err(silent.to_string()),
        })
    }
}

/// Looks after the HSM, so that somebody hears of it before the next start, which needs it.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut answers = true;
    let mut ticks = tokio::time::interval(LOOK);
    while shared.stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(Some(found)) = shared.stop.run_until_cancelled(shared.look_at_hsm()).await else { continue };
        shared.metrics.hsm(found.is_ok());
        match (&found, answers) {
            (Err(error), true) => {
                tracing::warn!(%error, "the hsm does not answer: this node works on, and will not start again without it");
            }
            (Ok(()), false) => tracing::info!("the hsm answers again"),
            _ => {}
        }
        answers = found.is_ok();
    }
}

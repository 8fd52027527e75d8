//! The data folder: made once by [`init`], opened by every start.
//!
//! | file | holds |
//! |---|---|
//! | `quorate.db` | the store |
//! | `identity` | the public identity key, then its sealed seed |

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quorate_api::webhook::WebhookKey;
use quorate_log::note::WitnessSigner;
use quorate_net::{IdentityKey, PeerId};
use quorate_policy::genesis::{GenesisError, GenesisFile};
use quorate_protocol::party::LocalIdentity;
use quorate_seal::{
    Context, Hsm, HsmKey, HsmUri, Params, Passphrase, PassphraseError, Protector, SealError, Sealer,
    SealingKey,
};
use quorate_store::fault::Faults;
use quorate_store::{Meta, Store, StoreError};
use zeroize::Zeroizing;

use crate::ceremony::act::mark;
use crate::unlock::{Unlock, UnlockError};
use crate::{audit, clock, webhook, witness};

pub(crate) const IDENTITY_FILE: &str = "identity";
const IDENTITY_KIND: &str = "identity";
/// Version of what this node writes into its folder.
const FORMAT: u32 = 1;
/// How long an HSM may take for all that is asked of it at once.
pub(crate) const HSM_PATIENCE: Duration = Duration::from_secs(30);

/// What [`init`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitReport {
    /// The node's name.
    pub name: String,
    /// The data folder.
    pub data: PathBuf,
    /// The public identity, to be configured at every peer.
    pub identity: PeerId,
    /// The key in the HSM that seals the folder, if one does.
    pub hsm: Option<HsmKey>,
}

/// Why a data folder cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The name cannot name a node.
    #[error("`{name}` cannot name a node: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What a name is.
        reason: String,
    },
    /// There is a node already.
    #[error("`{}` already holds a node: choose another folder, or keep this one as it is", .0.display())]
    Initialised(PathBuf),
    /// There is none yet.
    #[error("`{}` holds no node: run `quorate node init` first", .0.display())]
    Uninitialised(PathBuf),
    /// The folder was written by another version.
    #[error("the folder has format {found}, this program knows {FORMAT}: use the newer program")]
    Format {
        /// What was found.
        found: u32,
    },
    /// The identity is not the one that was sealed.
    #[error("the identity in `{}` was changed or damaged: restore it from a backup", .0.display())]
    Identity(PathBuf),
    /// A file cannot be read or written.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no randomness.
    #[error("the operating system gave no random bytes: check that getrandom(2) is allowed here")]
    NoRandomness,
    /// The log has no key.
    #[error("the log of this node cannot be signed: {0}")]
    Log(String),
    /// The genesis cannot be signed.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// What opens the folder cannot be had.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The passphrase cannot be had.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The HSM takes too long.
    #[error("the HSM has not answered for {} seconds: look after it and the way to it, then start again", HSM_PATIENCE.as_secs())]
    HsmSilent,
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the data folder of a new node: mode 0700, a fresh identity sealed under the passphrase.
///
/// Must be called inside a tokio runtime; the passphrase is stretched for about 0.1 s on a blocking thread.
///
/// # Errors
/// [`FolderError`]; a folder that holds a node is left as it is.
pub async fn init(data: &Path, name: &str, passphrase: Passphrase) -> Result<InitReport, FolderError> {
    init_with(data, name, passphrase, Params::standard()).await
}

/// As [`init`] with other costs of guessing the passphrase, between [`Params::FLOOR`] and [`Params::CEILING`].
///
/// # Errors
/// As [`init`].
pub async fn init_with(
    data: &Path,
    name: &str,
    passphrase: Passphrase,
    params: Params,
) -> Result<InitReport, FolderError> {
    make_under(data, name, Seals::Passphrase(passphrase, params)).await
}

/// As [`init`], sealed under a key in an HSM, which is made there if there is none of that name.
///
/// # Errors
/// As [`init`].
pub async fn init_in_hsm(data: &Path, name: &str, key: HsmUri) -> Result<InitReport, FolderError> {
    make_under(data, name, Seals::Hsm(Arc::new(Hsm::new(key)))).await
}

/// What a folder is going to be sealed under.
pub(crate) enum Seals {
    Passphrase(Passphrase, Params),
    Hsm(Arc<Hsm>),
}

impl Seals {
    /// Wraps a data key. Blocks.
    pub(crate) fn wrap(&self, sealer: &Sealer, owner: &[u8; 32]) -> Result<Wrapped, SealError> {
        let key = if let Self::Hsm(hsm) = self { Some(hsm.find_or_make()?) } else { None };
        Ok(Wrapped { header: sealer.rewrap_under(&self.protector(), owner)?, key })
    }

    /// Opens what was wrapped. Blocks.
    pub(crate) fn check(&self, owner: &[u8; 32], header: &[u8]) -> Result<(), SealError> {
        Sealer::open_under(&self.protector(), owner, header).map(|_| ())
    }

    fn protector(&self) -> Protector<'_> {
        match self {
            Self::Passphrase(passphrase, params) => Protector::Passphrase(passphrase, *params),
            Self::Hsm(hsm) => Protector::Hsm(hsm),
        }
    }
}

/// A data key under something, and the key in an HSM if it is one.
pub(crate) struct Wrapped {
    pub(crate) header: Vec<u8>,
    pub(crate) key: Option<HsmKey>,
}

async fn make_under(data: &Path, name: &str, under: Seals) -> Result<InitReport, FolderError> {
    quorate_api::check_node_name(name)
        .map_err(|reason| FolderError::Name { name: name.to_owned(), reason })?;
    make_private(data)?;
    let store = Store::open(data).await?;
    let made = make(data, name, under, &store).await;
    store.close().await;
    made
}

async fn make(data: &Path, name: &str, under: Seals, store: &Store) -> Result<InitReport, FolderError> {
    if store.meta().await?.is_some() {
        return Err(FolderError::Initialised(data.to_owned()));
    }
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|_| FolderError::NoRandomness)?;
    let id = IdentityKey::from_seed(seed.clone()).peer_id();
    let owner = *id.as_bytes();
    let (sealer, wrapped) = patiently(move || {
        let sealer = Sealer::fresh()?;
        let wrapped = under.wrap(&sealer, &owner)?;
        Ok::<_, SealError>((sealer, wrapped))
    })
    .await??;
    let sealed = sealer.seal(&identity_context(id), seed.as_slice())?;
    let mut bytes = id.as_bytes().to_vec();
    bytes.extend_from_slice(&sealed);
    write_durably(&data.join(IDENTITY_FILE), &bytes)?;
    // The header goes last: with it the folder counts as made.
    store
        .init_meta(Meta { seal_header: wrapped.header, format: FORMAT, created_at: clock::millis() })
        .await?;
    Ok(InitReport { name: name.to_owned(), data: data.to_owned(), identity: id, hsm: wrapped.key })
}

/// An opened data folder.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) sealer: Arc<Sealer>,
    /// The HSM that opened it, if one did.
    pub(crate) hsm: Option<Arc<Hsm>>,
    pub(crate) id: PeerId,
    /// For the channels between nodes.
    pub(crate) channel: IdentityKey,
    /// For the protocols.
    pub(crate) party: LocalIdentity,
    /// For the logs of others.
    pub(crate) witness: WitnessSigner,
    /// For webhooks.
    pub(crate) webhook: WebhookKey,
    /// For the states of keys.
    pub(crate) state_key: Zeroizing<[u8; 32]>,
    /// To which shares for this node are sealed.
    pub(crate) sealing: SealingKey,
}

/// Signs a genesis with the identity of the node in a data folder, which must not be running. Gives the node's name in the genesis.
///
/// # Errors
/// As opening the folder, and [`FolderError::Genesis`] if the genesis is malformed or the node is not in it.
pub async fn sign_genesis(
    data: &Path,
    unlock: impl Into<Unlock>,
    genesis: &mut GenesisFile,
) -> Result<String, FolderError> {
    if !data.join(IDENTITY_FILE).exists() {
        return Err(FolderError::Uninitialised(data.to_owned()));
    }
    let store = Store::open(data).await?;
    let unsealed = unseal(data, unlock.into(), &store).await;
    store.close().await;
    let seed = unsealed?.seed;
    Ok(genesis.sign(&seed)?)
}

/// Takes up the node's log under its identity.
async fn open_log(store: &Store, id: PeerId, seed: &[u8; 32]) -> Result<(), FolderError> {
    let signer = audit::log_signer(id, seed).map_err(|error| FolderError::Log(error.to_string()))?;
    Ok(store.open_log(signer).await?)
}

pub(crate) async fn open(
    data: &Path,
    unlock: impl Into<Unlock>,
    faults: Faults,
) -> Result<Opened, FolderError> {
    if !data.join(IDENTITY_FILE).exists() {
        return Err(FolderError::Uninitialised(data.to_owned()));
    }
    let store = Store::open_with_faults(data, faults).await?;
    let opened = async {
        let Unsealed { sealer, hsm, seed } = unseal(data, unlock.into(), &store).await?;
        let channel = IdentityKey::from_seed(seed.clone());
        open_log(&store, channel.peer_id(), &seed).await?;
        let witness = witness::signer(channel.peer_id(), &seed);
        let witness = witness.map_err(|error| FolderError::Log(error.to_string()))?;
        Ok::<_, FolderError>((sealer, hsm, seed, channel, witness))
    };
    match opened.await {
        Ok((sealer, hsm, seed, channel, witness)) => {
            let id = channel.peer_id();
            let (party, webhook) = (LocalIdentity::from_seed(&seed), webhook::key(&seed));
            let state_key = mark::key(&seed);
            let sealing = SealingKey::of_identity(&seed);
            let sealer = Arc::new(sealer);
            Ok(Opened { store, sealer, hsm, id, channel, party, witness, webhook, state_key, sealing })
        }
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

struct Unsealed {
    sealer: Sealer,
    hsm: Option<Arc<Hsm>>,
    seed: Zeroizing<[u8; 32]>,
}

async fn unseal(data: &Path, unlock: Unlock, store: &Store) -> Result<Unsealed, FolderError> {
    let meta = store.meta().await?.ok_or_else(|| FolderError::Uninitialised(data.to_owned()))?;
    if meta.format != FORMAT {
        return Err(FolderError::Format { found: meta.format });
    }
    let path = data.join(IDENTITY_FILE);
    let bytes = fs::read(&path).map_err(|source| FolderError::Io { path: path.clone(), source })?;
    let damaged = || FolderError::Identity(path.clone());
    let (id, sealed) = bytes.split_first_chunk::<32>().ok_or_else(damaged)?;
    let owner = *id;
    let (sealer, hsm) = patiently(move || unlock.open(&owner, &meta.seal_header)).await??;
    let opened =
        sealer.open_blob(&identity_context(PeerId::from_bytes(*id)), sealed).map_err(|_| damaged())?;
    let mut seed = Zeroizing::new([0_u8; 32]);
    if opened.len() != seed.len() {
        return Err(damaged());
    }
    seed.copy_from_slice(&opened);
    if IdentityKey::from_seed(seed.clone()).peer_id().as_bytes() != id {
        return Err(damaged());
    }
    Ok(Unsealed { sealer, hsm, seed })
}

fn identity_context(id: PeerId) -> Context<'static> {
    Context { node: *id.as_bytes(), kind: IDENTITY_KIND, key_id: "", epoch: 0, format: 1 }
}

/// Work that may ask an HSM, which may not answer. Its thread is left behind then.
pub(crate) async fn patiently<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FolderError> {
    tokio::time::timeout(HSM_PATIENCE, blocking(work)).await.map_err(|_| FolderError::HsmSilent)?
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FolderError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| FolderError::Io { path: PathBuf::from("seal"), source: io::Error::other(error) })
}

fn make_private(data: &Path) -> Result<(), FolderError> {
    let io = |source| FolderError::Io { path: data.to_owned(), source };
    fs::create_dir_all(data).map_err(io)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(data, fs::Permissions::from_mode(0o700)).map_err(io)?;
    }
    Ok(())
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let io = |source| FolderError::Io { path: path.to_owned(), source };
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&fresh).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&fresh, path).map_err(io)?;
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    }
    Ok(())
}

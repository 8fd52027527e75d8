//! What opens a data folder. The folder says by which of the two it is sealed.

use std::sync::Arc;

use quorate_seal::{
    Hsm, HsmUri, HsmUriError, Params, Passphrase, PassphraseError, PassphraseSource, Protection, Protector,
    SealError, Sealer,
};

use crate::config::Config;

/// What may open a data folder: a passphrase, a key in an HSM, or both while it moves from one to the other.
#[derive(Debug, Default)]
pub struct Unlock {
    passphrase: Option<Secret>,
    hsm: Option<Result<HsmUri, HsmUriError>>,
}

#[derive(Debug)]
enum Secret {
    Given(Passphrase),
    At(PassphraseSource),
}

/// Why nothing opens the folder.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// The passphrase cannot be had.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The URI is none.
    #[error("seal.pkcs11: {0}")]
    Uri(#[from] HsmUriError),
    /// It does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Unlock {
    /// What a configuration names.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            passphrase: config.passphrase().map(Secret::At),
            hsm: config.seal.pkcs11.as_ref().map(|uri| uri.parse()),
        }
    }

    /// A passphrase, wherever it is.
    #[must_use]
    pub fn passphrase_at(source: PassphraseSource) -> Self {
        Self { passphrase: Some(Secret::At(source)), hsm: None }
    }

    /// A key in an HSM.
    #[must_use]
    pub fn hsm(key: HsmUri) -> Self {
        Self { passphrase: None, hsm: Some(Ok(key)) }
    }

    /// Opens the header of the node with this identity, with what it asks for. Blocks.
    pub(crate) fn open(
        self,
        owner: &[u8; 32],
        header: &[u8],
    ) -> Result<(Sealer, Option<Arc<Hsm>>), UnlockError> {
        // SEAL.12 The folder says which one.
        match Sealer::protection(header)? {
            Protection::Passphrase => {
                let passphrase = match self.passphrase {
                    Some(Secret::Given(passphrase)) => passphrase,
                    Some(Secret::At(source)) => source.read()?,
                    None => return Err(SealError::UnderPassphrase.into()),
                };
                let protector = Protector::Passphrase(&passphrase, Params::standard());
                Ok((Sealer::open_under(&protector, owner, header)?, None))
            }
            Protection::Hsm { token, key } => {
                let uri = self.hsm.ok_or(SealError::UnderHsm { token, key })??;
                let hsm = Arc::new(Hsm::new(uri));
                let sealer = Sealer::open_under(&Protector::Hsm(&hsm), owner, header)?;
                Ok((sealer, Some(hsm)))
            }
        }
    }
}

impl From<Passphrase> for Unlock {
    fn from(passphrase: Passphrase) -> Self {
        Self { passphrase: Some(Secret::Given(passphrase)), hsm: None }
    }
}

impl From<PassphraseSource> for Unlock {
    fn from(source: PassphraseSource) -> Self {
        Self::passphrase_at(source)
    }
}

//! What can go wrong with a hardware security module, and what to do about it.

use std::path::PathBuf;

use crate::{HsmUriError, PassphraseError};

/// Why a hardware security module does not do what is needed. No variant carries a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HsmError {
    /// The URI is none.
    #[error(transparent)]
    Uri(#[from] HsmUriError),
    /// The module cannot be loaded.
    #[error("the PKCS#11 module `{}` cannot be loaded: {reason}: install the software of the HSM, or correct module-path", path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The module is there and does not start.
    #[error("the PKCS#11 module `{}` does not start: {reason}: look at its configuration and logs", path.display())]
    Initialise {
        /// The file.
        path: PathBuf,
        /// What the module said.
        reason: String,
    },
    /// No token fits the URI.
    #[error("there is no token `{token}` at the HSM: plug it in, or correct the URI; {}", present(.there))]
    NoToken {
        /// The token of the URI.
        token: String,
        /// The labels of the tokens that are there.
        there: Vec<String>,
    },
    /// More than one token fits the URI.
    #[error("{count} tokens fit `{token}`: add `serial` to the URI")]
    TokenAmbiguous {
        /// The token of the URI.
        token: String,
        /// How many.
        count: usize,
    },
    /// The URI does not say where the PIN is, and the token has no pad of its own.
    #[error(
        "the token `{token}` asks for a PIN: add `pin-source=file:/path` or `pin-source=env:NAME` to the URI"
    )]
    NoPin {
        /// The token.
        token: String,
    },
    /// The PIN cannot be had.
    #[error(transparent)]
    Pin(#[from] PassphraseError),
    /// The PIN is wrong. It was tried once.
    #[error("the token `{token}` refused the PIN from {origin}: correct it before anything tries again, tokens lock themselves after a few wrong PINs{}", if *.few_left { "; this one has few tries left" } else { "" })]
    PinWrong {
        /// The token.
        token: String,
        /// Where the PIN came from.
        origin: String,
        /// The token says that it will lock soon.
        few_left: bool,
    },
    /// The token refused this process's PIN before, so it is not tried again.
    #[error(
        "the token `{token}` refused the PIN before, so it is not tried again: correct the PIN, then restart the node or run `quorate node reseal`"
    )]
    PinRefusedBefore {
        /// The token.
        token: String,
    },
    /// The next wrong PIN would lock the token.
    #[error(
        "the token `{token}` locks itself at the next wrong PIN, so none was tried: log in once with the tools of the HSM, then start again"
    )]
    PinLastTry {
        /// The token.
        token: String,
    },
    /// The token is locked.
    #[error(
        "the PIN of the token `{token}` is locked: its security officer must set a new one with the tools of the HSM"
    )]
    PinLocked {
        /// The token.
        token: String,
    },
    /// The token has no PIN yet, or wants another one.
    #[error("the token `{token}` wants its PIN to be set first: do that with the tools of the HSM")]
    PinUnset {
        /// The token.
        token: String,
    },
    /// There is no such key.
    #[error(
        "there is no AES key `{key}` in the token `{token}`: correct the URI; without the key that sealed it a folder does not open"
    )]
    NoKey {
        /// The key of the URI.
        key: String,
        /// The token.
        token: String,
    },
    /// More than one key fits the URI.
    #[error("{count} AES keys in the token `{token}` fit `{key}`: add `id` to the URI")]
    KeyAmbiguous {
        /// The key of the URI.
        key: String,
        /// The token.
        token: String,
        /// How many.
        count: usize,
    },
    /// The key is not one that should guard anything.
    #[error(
        "the key `{key}` in the token `{token}` {why}: make one with `quorate node init` or `quorate node reseal` under a label that is not taken"
    )]
    UnfitKey {
        /// The key.
        key: String,
        /// The token.
        token: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A key of that name, and another one than the folder was sealed under.
    #[error(
        "the key `{key}` in the token `{token}` is another one than the folder was sealed under: correct the URI, or bring back the token's backup"
    )]
    OtherKey {
        /// The key.
        key: String,
        /// The token.
        token: String,
    },
    /// The key does not open the header.
    #[error(
        "the key `{key}` in the token `{token}` does not open this folder: it is another key, or the seal header or the identity file was changed; restore what was changed from a backup"
    )]
    NotOpened {
        /// The key.
        key: String,
        /// The token.
        token: String,
    },
    /// The token cannot do AES-GCM, or not with this key.
    #[error("the token `{token}` does not do AES-GCM with a key of 256 bits ({reason}): use another token")]
    Mechanism {
        /// The token.
        token: String,
        /// What the module said.
        reason: String,
    },
    /// The token went away.
    #[error(
        "the token `{token}` does not answer ({reason}): plug it in again, or look after the connection to the HSM"
    )]
    Gone {
        /// The token.
        token: String,
        /// What the module said.
        reason: String,
    },
    /// Anything else that the module says.
    #[error("the HSM cannot {what}: {reason}")]
    Call {
        /// What was asked.
        what: &'static str,
        /// What the module said.
        reason: String,
    },
}

impl HsmError {
    /// Whether trying again may help without anybody changing something here.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::NoToken { .. } | Self::Initialise { .. } | Self::Call { .. })
    }
}

fn present(tokens: &[String]) -> String {
    if tokens.is_empty() {
        return "no token is there".to_owned();
    }
    let labels: Vec<String> = tokens.iter().map(|label| format!("`{label}`")).collect();
    format!("there: {}", labels.join(", "))
}

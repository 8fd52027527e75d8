//! What can be asked for.

use core::fmt;
use core::str::FromStr;

use quorate_intent::Purpose;
use serde::{Deserialize, Serialize};

/// What can be asked for. The names are those of Cedar: `Action::"sign:ethereum"`, which is in `Action::"sign"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Action {
    /// Sign something of this purpose with a key.
    Sign(Purpose),
    /// Make a key.
    CreateKey,
    /// Make a key's shares from a private key that exists.
    Import,
    /// Decrypt with a key.
    Decrypt,
    /// Issue a certificate with a key.
    Certify,
    /// Derive a key from a key.
    Derive,
    /// Replace a key's shares.
    Refresh,
    /// Give a key to another committee.
    Reshare,
    /// Give a party its share again.
    Repair,
    /// Replace a key's shares by what restored ones deal.
    Restore,
    /// Back up the shares of a node.
    Backup,
    /// Hand out the private key.
    Export,
    /// Disable a key.
    Disable,
    /// Enable a key again.
    Enable,
    /// Destroy a key after a delay.
    Destroy,
    /// Call a destruction off.
    Keep,
}

/// A text that names no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no action")]
pub struct UnknownAction(String);

impl Action {
    /// Every action.
    pub const ALL: [Self; 20] = [
        Self::Sign(Purpose::Ethereum),
        Self::Sign(Purpose::Bitcoin),
        Self::Sign(Purpose::Solana),
        Self::Sign(Purpose::Message),
        Self::Sign(Purpose::Raw),
        Self::CreateKey,
        Self::Import,
        Self::Decrypt,
        Self::Certify,
        Self::Derive,
        Self::Refresh,
        Self::Reshare,
        Self::Repair,
        Self::Restore,
        Self::Backup,
        Self::Export,
        Self::Disable,
        Self::Enable,
        Self::Destroy,
        Self::Keep,
    ];

    /// The action that stands for all kinds of signing.
    pub const SIGN: &'static str = "sign";

    /// Its name in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign(Purpose::Ethereum) => "sign:ethereum",
            Self::Sign(Purpose::Bitcoin) => "sign:bitcoin",
            Self::Sign(Purpose::Solana) => "sign:solana",
            Self::Sign(Purpose::Message) => "sign:message",
            Self::Sign(Purpose::Raw) => "sign:raw",
            Self::CreateKey => "create_key",
            Self::Import => "import",
            Self::Decrypt => "decrypt",
            Self::Certify => "certify",
            Self::Derive => "derive",
            Self::Refresh => "refresh",
            Self::Reshare => "reshare",
            Self::Repair => "repair",
            Self::Restore => "restore",
            Self::Backup => "backup",
            Self::Export => "export",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Destroy => "destroy",
            Self::Keep => "keep",
        }
    }

    /// Whether it makes a new key.
    #[must_use]
    pub const fn makes_key(self) -> bool {
        matches!(self, Self::CreateKey | Self::Import)
    }

    /// Whether it is done to a key that exists.
    #[must_use]
    pub const fn is_on_key(self) -> bool {
        !self.makes_key() && !self.is_on_node()
    }

    /// Whether it is done to a node, whichever keys it holds.
    #[must_use]
    pub const fn is_on_node(self) -> bool {
        matches!(self, Self::Backup)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, UnknownAction> {
        let found = Self::ALL.into_iter().find(|action| action.name() == name);
        found.ok_or_else(|| UnknownAction(name.to_owned()))
    }
}

impl TryFrom<String> for Action {
    type Error = UnknownAction;

    fn try_from(name: String) -> Result<Self, UnknownAction> {
        name.parse()
    }
}

impl From<Action> for String {
    fn from(action: Action) -> Self {
        action.name().to_owned()
    }
}

//! Keys and their states.

use std::fmt;
use std::str::FromStr;

use crate::{KeyState, StoreError, limits};

/// The state of a key on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyStatus {
    /// Generated here, not yet confirmed by all parties.
    Pending,
    /// In use.
    Active,
    /// Switched off by a person; can be switched on again.
    Disabled,
    /// In use, and the private key is or was outside of its shares.
    Exposed,
    /// A protocol found that it must not be used any more.
    Burned,
    /// The share was erased.
    Destroyed,
}

impl KeyStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Active, Self::Disabled, Self::Exposed, Self::Burned, Self::Destroyed];

    /// The word for it in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Exposed => "exposed",
            Self::Burned => "burned",
            Self::Destroyed => "destroyed",
        }
    }

    // KST.1
    /// The state machine, the only one: the database holds to the same steps. A burned key can only be destroyed; a destroyed one stays
    /// so; one that was exposed is never plainly active again, for which the database looks at when it was exposed.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use KeyStatus::{Active, Burned, Destroyed, Disabled, Exposed, Pending};
        matches!(
            (self, next),
            (Pending, Active | Burned | Destroyed)
                | (Active, Disabled | Exposed | Burned | Destroyed)
                | (Exposed, Disabled | Burned | Destroyed)
                | (Disabled, Active | Exposed | Burned | Destroyed)
                | (Burned, Destroyed)
        )
    }

    /// Whether a node signs with a key of this status.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Active | Self::Exposed)
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyStatus {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or(StoreError::OutOfRange { what: "key status" })
    }
}

/// A key to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Its id.
    pub key_id: String,
    /// The status to start with.
    pub status: KeyStatus,
    /// Its signature scheme.
    pub scheme: String,
    /// Its public key.
    pub public_key: Vec<u8>,
    /// The epoch of the share.
    pub epoch: u64,
    /// Public bytes about it, for example the committee and the public shares.
    pub record: Vec<u8>,
    /// The sealed share.
    pub sealed_share: Vec<u8>,
    /// Its state beside the status.
    pub state: KeyState,
}

impl NewKey {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        limits::id("key id", self.key_id.as_bytes())?;
        limits::id("scheme", self.scheme.as_bytes())?;
        limits::id("public key", &self.public_key)?;
        limits::signed("epoch", self.epoch)?;
        limits::blob("key record", &self.record)?;
        self.state.check()?;
        limits::blob("sealed share", &self.sealed_share)
    }
}

/// A stored key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub key_id: String,
    /// Its status on this node.
    pub status: KeyStatus,
    /// Its signature scheme.
    pub scheme: String,
    /// Its public key.
    pub public_key: Vec<u8>,
    /// The epoch of the share.
    pub epoch: u64,
    /// Public bytes about it.
    pub record: Vec<u8>,
    /// The sealed share; empty once the key is destroyed.
    pub sealed_share: Vec<u8>,
    /// Its state beside the status.
    pub state: KeyState,
    /// When it was stored, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When it changed last, in milliseconds since the Unix epoch.
    pub updated_at: u64,
}

//! What one record of the log says: a kind, a time, what it is about, and a body.

mod json;

use std::fmt;

pub use json::{Line, rfc3339};

use crate::Hash;

/// Format version, the first byte of every entry.
const VERSION: u8 = 1;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)+) => {
        /// What happened. The number is part of the format and never given to another meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $variant,)+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in JSON and in tables.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            const fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)+ }
            }

            const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// A request was received: the hash of its bytes, and who signed them.
    Request = 1, "request";
    /// What this node decided on a request, by which rule.
    Decision = 2, "decision";
    /// Another principal approved a request.
    Approval = 3, "approval";
    /// Another principal rejected a request.
    Rejection = 4, "rejection";
    /// This node takes part in a ceremony, or one ended: members, outcome, culprits.
    Ceremony = 5, "ceremony";
    /// The result of an operation was stored.
    Outcome = 6, "outcome";
    /// The directory or the policies changed.
    Change = 7, "change";
    /// The shares of a key were refreshed, moved or repaired.
    Refresh = 8, "refresh";
    /// A key came into being from one that existed outside.
    Import = 9, "import";
    /// A key was put together and handed out.
    Export = 10, "export";
    /// A share was backed up or restored.
    Backup = 11, "backup";
    /// A key, a tenant or everything was frozen.
    Freeze = 12, "freeze";
    /// A freeze was lifted.
    Thaw = 13, "thaw";
    /// Proof that somebody cheated or forked was kept.
    Evidence = 14, "evidence";
    /// The node started.
    Start = 15, "start";
    /// The node stopped in order.
    Stop = 16, "stop";
    /// This node's share of a key became usable, or was erased.
    Share = 17, "share";
    /// This node will never again use a key together with another node.
    Burn = 18, "burn";
    /// What this node keeps is protected by something else than before.
    Seal = 19, "seal";
}

/// An opaque name that an entry is about: an operation, a key, a tenant. 1 to 64 printable ASCII characters without spaces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    /// Longest name in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks a name.
    ///
    /// # Errors
    /// [`EntryError::Id`] when it is empty, too long or has other characters.
    pub fn new(text: impl Into<String>) -> Result<Self, EntryError> {
        let text = text.into();
        let fits = (1..=Self::MAX_LEN).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err(EntryError::Id)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One record of a node's log.
///
/// **Nothing secret may be in an entry**: entries leave the node in receipts, tiles and exports, and can never be
/// taken back. That means no share, nonce, seed, passphrase or token, and no message whose content is confidential: log its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    kind: Kind,
    time: u64,
    operation: Option<Id>,
    key: Option<Id>,
    tenant: Option<Id>,
    body: Vec<u8>,
}

/// Why bytes are no entry, or a part does not fit into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The format is newer than this program, or no entry at all.
    #[error("unknown entry version `{0}`: verify with a newer release")]
    Version(u8),
    /// The kind is not known to this program.
    #[error("unknown entry kind `{0}`: verify with a newer release")]
    Kind(u8),
    /// An operation, key or tenant name breaks the rules of [`Id`].
    #[error("a name in an entry must have 1 to 64 printable ASCII characters without spaces")]
    Id,
    /// The time is not below 2⁶³ ms.
    #[error("the entry's time is out of range")]
    Time,
    /// The body is too long.
    #[error("the body of an entry may have at most {} bytes", Entry::MAX_BODY)]
    Body,
    /// The bytes end inside a field.
    #[error("the entry is cut short")]
    Short,
    /// Bytes follow the body.
    #[error("bytes follow the end of the entry")]
    Trailing,
}

impl Entry {
    /// Longest body in bytes, 60 KiB: with it, an entry fits the 16-bit length of an entry bundle.
    pub const MAX_BODY: usize = 60 * 1024;
    /// Longest encoding in bytes.
    pub const MAX_LEN: usize = 1 + 1 + 8 + 3 * (1 + Id::MAX_LEN) + 2 + Self::MAX_BODY;

    /// An entry about nothing in particular.
    ///
    /// `time` is the node's clock in milliseconds since 1970 began, UTC. `body` is the canonical form of what happened, which the
    /// layer above defines; the log does not look into it.
    ///
    /// # Errors
    /// [`EntryError::Body`] or [`EntryError::Time`] when a part is too large.
    pub fn new(kind: Kind, time: u64, body: impl Into<Vec<u8>>) -> Result<Self, EntryError> {
        let body = body.into();
        if body.len() > Self::MAX_BODY {
            return Err(EntryError::Body);
        }
        if time > crate::MAX_SIZE {
            return Err(EntryError::Time);
        }
        Ok(Self { kind, time, operation: None, key: None, tenant: None, body })
    }

    /// Says which operation the entry is about.
    #[must_use]
    pub fn operation(mut self, id: Id) -> Self {
        self.operation = Some(id);
        self
    }

    /// Says which key the entry is about.
    #[must_use]
    pub fn key(mut self, id: Id) -> Self {
        self.key = Some(id);
        self
    }

    /// Says which tenant the entry is about.
    #[must_use]
    pub fn tenant(mut self, id: Id) -> Self {
        self.tenant = Some(id);
        self
    }

    /// What happened.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The node's clock in milliseconds since 1970 began, UTC.
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// The operation it is about.
    pub const fn operation_id(&self) -> Option<&Id> {
        self.operation.as_ref()
    }

    /// The key it is about.
    pub const fn key_id(&self) -> Option<&Id> {
        self.key.as_ref()
    }

    /// The tenant it is about.
    pub const fn tenant_id(&self) -> Option<&Id> {
        self.tenant.as_ref()
    }

    /// What the layer above said.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The one encoding: at most [`Entry::MAX_LEN`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        // LOG.1
        let mut out = vec![VERSION, self.kind.code()];
        out.extend(self.time.to_be_bytes());
        for id in [&self.operation, &self.key, &self.tenant] {
            let id = id.as_ref().map_or("", Id::as_str);
            // An id has at most 64 bytes and a body at most 60 KiB: both lengths always fit.
            out.push(u8::try_from(id.len()).unwrap_or(u8::MAX));
            out.extend(id.as_bytes());
        }
        out.extend(u16::try_from(self.body.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(&self.body);
        out
    }

    /// Reads exactly what [`Entry::encode`] writes.
    ///
    /// # Errors
    /// [`EntryError`] says what is wrong. Whoever wrote the log is to blame, or whoever changed it since; the tree tells the two apart.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut rest = bytes;
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return Err(EntryError::Version(version));
        }
        let [kind] = take(&mut rest)?;
        let kind = Kind::from_code(kind).ok_or(EntryError::Kind(kind))?;
        let time = u64::from_be_bytes(take(&mut rest)?);
        let operation = take_id(&mut rest)?;
        let key = take_id(&mut rest)?;
        let tenant = take_id(&mut rest)?;
        let length = usize::from(u16::from_be_bytes(take(&mut rest)?));
        let body = split(&mut rest, length)?.to_vec();
        if !rest.is_empty() {
            return Err(EntryError::Trailing);
        }
        Ok(Self { operation, key, tenant, ..Self::new(kind, time, body)? })
    }

    /// The hash of its encoding, as it stands in the tree.
    pub fn leaf_hash(&self) -> Hash {
        Hash::leaf(&self.encode())
    }
}

fn split<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], EntryError> {
    let (head, tail) = rest.split_at_checked(length).ok_or(EntryError::Short)?;
    *rest = tail;
    Ok(head)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], EntryError> {
    split(rest, N)?.try_into().map_err(|_| EntryError::Short)
}

fn take_id(rest: &mut &[u8]) -> Result<Option<Id>, EntryError> {
    let [length] = take(rest)?;
    if length == 0 {
        return Ok(None);
    }
    let bytes = split(rest, usize::from(length))?;
    Id::new(std::str::from_utf8(bytes).map_err(|_| EntryError::Id)?).map(Some)
}

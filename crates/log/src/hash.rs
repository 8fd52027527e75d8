//! The hashes of the tree: RFC 6962, section 2.1, with SHA-256.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::text;

/// What stands before an entry that is hashed to a leaf. RFC 6962, section 2.1.
const LEAF: [u8; 1] = [0];
/// What stands before two hashes that are hashed to their parent. RFC 6962, section 2.1.
const NODE: [u8; 1] = [1];

/// A SHA-256 hash: of an entry, of a subtree or of a whole tree. Written in base64, as checkpoints write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; Self::LEN]);

impl Hash {
    /// Bytes of a hash.
    pub const LEN: usize = 32;

    /// The root of the tree without entries: the hash of nothing.
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// The hash of one entry's bytes.
    pub fn leaf(entry: &[u8]) -> Self {
        // LOG.2
        Self(Sha256::new().chain_update(LEAF).chain_update(entry).finalize().into())
    }

    /// The hash of two neighbours.
    pub fn node(left: &Self, right: &Self) -> Self {
        Self(Sha256::new().chain_update(NODE).chain_update(left.0).chain_update(right.0).finalize().into())
    }

    /// Takes 32 bytes for a hash.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads the one base64 form that [`fmt::Display`] writes.
    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        Some(Self(text::from_base64(text)?.try_into().ok()?))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::to_base64(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({})", hex::encode(self.0))
    }
}

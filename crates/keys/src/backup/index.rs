//! The list of what a node has backed up: which entry holds which key at which epoch (BACKUP.12).

use alloc::string::String;
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};

use quorate_protocol::message::encode;
use quorate_protocol::party::{Identity, IdentityKey};

use super::entry::{BadBackup, ContentId, blob, check_signature, sign, value};
use crate::share::KeyId;

/// First bytes of an index.
pub const INDEX_MAGIC: &[u8; 24] = b"quorate backup index 1\r\n";
/// Most bytes of an index.
pub const MAX_INDEX_LEN: usize = 64 << 20;
/// Longest name of a node, in bytes.
const MAX_NODE_NAME: usize = 64;

/// Where one key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Covered {
    /// The key.
    pub key_id: KeyId,
    /// The epoch of the share that was backed up.
    pub epoch: u64,
    /// The entry that holds it.
    pub entry: ContentId,
}

/// What a node had backed up at one moment. Lists every key that the node held, whichever backup wrote its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The node that signed.
    pub node: IdentityKey,
    /// Its name in the cluster.
    pub name: String,
    /// Number of this index, from 1, without gaps.
    pub sequence: u64,
    /// When, by the node's clock, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// In rising order of key.
    pub keys: Vec<Covered>,
}

impl Index {
    /// Signed bytes. Sorts the keys.
    ///
    /// # Errors
    /// [`BadBackup::Unsuitable`] for a name or a number of keys beyond the limits; [`BadBackup::Twice`].
    pub fn sign(mut self, identity: &dyn Identity) -> Result<Vec<u8>, BadBackup> {
        self.keys.sort_by_key(|covered| covered.key_id);
        if self.keys.windows(2).any(|pair| matches!(pair, [a, b] if a.key_id == b.key_id)) {
            return Err(BadBackup::Twice);
        }
        if self.name.len() > MAX_NODE_NAME || self.node != identity.public() {
            return Err(BadBackup::Unsuitable);
        }
        let mut out = Vec::from(INDEX_MAGIC);
        out.extend(encode(&(self.node, self.sequence, self.created_at, &self.name, &self.keys)));
        sign(&mut out, identity);
        if out.len() > MAX_INDEX_LEN { Err(BadBackup::Unsuitable) } else { Ok(out) }
    }

    /// Decodes an index and checks its signature under the key that it names: compare that with the node you expect.
    ///
    /// # Errors
    /// [`BadBackup`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadBackup> {
        if bytes.len() > MAX_INDEX_LEN {
            return Err(BadBackup::TooLong);
        }
        let mut rest = bytes.strip_prefix(INDEX_MAGIC.as_slice()).ok_or(BadBackup::Magic)?;
        let rest = &mut rest;
        let node: IdentityKey = value(rest)?;
        check_signature(bytes, &node)?;
        let sequence = value(rest)?;
        let created_at = value(rest)?;
        let name =
            String::from_utf8(blob(rest, MAX_NODE_NAME)?.to_vec()).map_err(|_| BadBackup::Malformed)?;
        let keys: Vec<Covered> = value(rest)?;
        let sorted = keys.windows(2).all(|pair| matches!(pair, [a, b] if a.key_id < b.key_id));
        if rest.len() != 64 || !sorted {
            return Err(BadBackup::Malformed);
        }
        Ok(Self { node, name, sequence, created_at, keys })
    }
}

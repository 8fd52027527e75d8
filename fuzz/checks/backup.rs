//! Files of backups: what decodes has one encoding, and bounds. What a node signs is signed anew, so that the decoder behind the
//! signature is reached.

use quorate_keys::backup::entry::{AnyEntry, ENTRY_MAGIC, MAX_ENTRY_LEN};
use quorate_keys::backup::index::{INDEX_MAGIC, Index};
use quorate_keys::backup::request::Request;
use quorate_protocol::party::{Identity, LocalIdentity};
use quorate_protocol::transcript::{Transcript, tags};

/// Signs all seeds.
pub(crate) fn signer() -> LocalIdentity {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&1u16.to_le_bytes());
    LocalIdentity::from_seed(&seed)
}

fn signed(bytes: &[u8], node_at: usize) -> Option<Vec<u8>> {
    let mut bytes = bytes[..bytes.len().checked_sub(64)?].to_vec();
    let signer = signer();
    bytes.get_mut(node_at..node_at + 32)?.copy_from_slice(&signer.public().to_bytes());
    let digest = Transcript::new(tags::BACKUP_SIGNATURE).absorb("file", &bytes).digest();
    bytes.extend(signer.sign(&digest));
    Some(bytes)
}

pub(crate) fn check(bytes: &[u8]) -> bool {
    if bytes.starts_with(ENTRY_MAGIC) {
        let Some(bytes) = signed(bytes, 25) else { return false };
        let Ok(entry) = AnyEntry::decode(&bytes) else { return false };
        assert!(bytes.len() <= MAX_ENTRY_LEN);
        assert!(!entry.items().is_empty() && !entry.recipients().members().is_empty());
        return true;
    }
    if bytes.starts_with(INDEX_MAGIC) {
        let Some(bytes) = signed(bytes, 24) else { return false };
        let Ok(index) = Index::decode(&bytes) else { return false };
        assert_eq!(index.sign(&signer()).unwrap(), bytes, "two encodings of one index");
        return true;
    }
    let Ok(request) = Request::from_bytes(bytes) else { return false };
    assert_eq!(request.to_bytes(), bytes, "two encodings of one request");
    true
}

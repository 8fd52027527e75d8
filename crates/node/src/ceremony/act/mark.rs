//! What a node says of a key's state under a key of its own, kept beside the state: whoever writes into the store cannot say it, so that
//! a status that somebody else changed is noticed (S16). A state that was put back as it was before is noticed by the count of orders while the
//! node runs, and after a restart by what the other nodes tell (`catch_up`).

use quorate_store::{KeyState, KeyStatus};

/// The key for marks, from the node's identity.
pub(crate) fn key(seed: &[u8; 32]) -> zeroize::Zeroizing<[u8; 32]> {
    zeroize::Zeroizing::new(blake3::derive_key("quorate 2026 node key state v1", seed))
}

/// The state with its mark.
pub(crate) fn marked(key: &[u8; 32], id: &str, status: KeyStatus, state: KeyState) -> KeyState {
    let mark = of(key, id, status, &state).as_bytes().to_vec();
    KeyState { mark, ..state }
}

/// Whether the mark is this node's.
pub(crate) fn holds(key: &[u8; 32], id: &str, status: KeyStatus, state: &KeyState) -> bool {
    // The comparison of hashes takes the same time for all.
    <[u8; 32]>::try_from(state.mark.as_slice()).is_ok_and(|mark| of(key, id, status, state) == mark)
}

fn of(key: &[u8; 32], id: &str, status: KeyStatus, state: &KeyState) -> blake3::Hash {
    let mut hash = blake3::Hasher::new_keyed(key);
    for text in [id, status.as_str()] {
        hash.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.update(&state.acts.to_be_bytes());
    for at in [state.exposed_at, state.destroys_at] {
        hash.update(&[u8::from(at.is_some())]);
        hash.update(&at.unwrap_or_default().to_be_bytes());
    }
    hash.finalize()
}

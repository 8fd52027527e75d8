//! What a blob is bound to.

use crate::SealError;

/// The longest [`Context::kind`] in bytes.
pub const MAX_KIND_LEN: usize = 64;
/// The longest [`Context::key_id`] in bytes.
pub const MAX_KEY_ID_LEN: usize = 256;

/// First in the associated data of every blob, so that no other use of the data key can collide with it.
const DOMAIN: &[u8] = b"quorate seal v1 blob";

/// The place a blob belongs to. A blob opens only under exactly the context it was sealed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// The node that owns the blob.
    pub node: [u8; 32],
    /// The kind of data, for example `key-share`. At most [`MAX_KIND_LEN`] bytes.
    pub kind: &'a str,
    /// The key that the data belongs to; empty where there is none. At most [`MAX_KEY_ID_LEN`] bytes.
    pub key_id: &'a str,
    /// The epoch of the key; 0 where there is none.
    pub epoch: u64,
    /// The version of the plaintext's encoding.
    pub format: u16,
}

impl Context<'_> {
    /// The associated data: fields of fixed size as they are, names behind their length, all big-endian.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, SealError> {
        let mut out = Vec::with_capacity(DOMAIN.len() + 32 + 18 + self.kind.len() + self.key_id.len());
        out.extend_from_slice(DOMAIN);
        out.extend_from_slice(&self.node);
        put_name(&mut out, "kind", self.kind, MAX_KIND_LEN)?;
        put_name(&mut out, "key id", self.key_id, MAX_KEY_ID_LEN)?;
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.format.to_be_bytes());
        Ok(out)
    }
}

fn put_name(out: &mut Vec<u8>, what: &'static str, name: &str, max: usize) -> Result<(), SealError> {
    let too_long = || SealError::ContextTooLong { what, len: name.len(), max };
    if name.len() > max {
        return Err(too_long());
    }
    let len = u32::try_from(name.len()).map_err(|_| too_long())?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(name.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_run_into_each_other() {
        let base = Context { node: [1; 32], kind: "ab", key_id: "c", epoch: 1, format: 1 };
        let moved = Context { kind: "a", key_id: "bc", ..base };
        assert_ne!(base.encode().unwrap(), moved.encode().unwrap());
    }

    #[test]
    fn names_are_bounded() {
        let long = "x".repeat(MAX_KEY_ID_LEN + 1);
        let context = Context { node: [1; 32], kind: "k", key_id: &long, epoch: 1, format: 1 };
        assert!(matches!(context.encode(), Err(SealError::ContextTooLong { what: "key id", .. })));
        let context = Context { node: [1; 32], kind: &long, key_id: "", epoch: 1, format: 1 };
        assert!(matches!(context.encode(), Err(SealError::ContextTooLong { what: "kind", .. })));
    }
}

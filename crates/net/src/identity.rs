//! Who a node is: an Ed25519 key pair that other nodes pin in their configuration.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// The public identity of a node: its Ed25519 public key, 32 bytes as in RFC 8032.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

/// A text that is not a peer id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a peer id: give the 64 hexadecimal digits that the peer prints as its identity")]
pub struct ParsePeerIdError {
    text: String,
}

impl PeerId {
    /// Takes the bytes of an Ed25519 public key as they are; [`crate::Network::start`] refuses unusable ones.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// False for bytes that are no curve point, or a point of small order, for which anybody can
    /// make signatures that verify.
    pub(crate) fn is_usable(&self) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0_u8; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| ParsePeerIdError { text: text.chars().take(80).collect() })?;
        Ok(Self(bytes))
    }
}

impl From<[u8; 32]> for PeerId {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The identity key of a party is also the key of its channels.
impl From<quorate_protocol::party::IdentityKey> for PeerId {
    fn from(key: quorate_protocol::party::IdentityKey) -> Self {
        Self(key.to_bytes())
    }
}

/// The secret half of a node's identity: an Ed25519 seed, wiped when dropped, never cloned or printed.
pub struct IdentityKey {
    seed: Zeroizing<[u8; 32]>,
    id: PeerId,
}

impl IdentityKey {
    /// Makes the identity of a 32-byte Ed25519 seed (RFC 8032).
    #[must_use]
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        let id = PeerId(SigningKey::from_bytes(&seed).verifying_key().to_bytes());
        Self { seed, id }
    }

    /// The public half, to be pinned by the peers.
    #[must_use]
    pub const fn peer_id(&self) -> PeerId {
        self.id
    }

    /// The PKCS#8 v1 encoding (RFC 8410, section 7), which is what the TLS library reads.
    pub(crate) fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        const PREFIX: [u8; 16] =
            [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        let mut der = Zeroizing::new(Vec::with_capacity(PREFIX.len() + 32));
        der.extend_from_slice(&PREFIX);
        der.extend_from_slice(self.seed.as_ref());
        der
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityKey").field("id", &self.id).finish_non_exhaustive()
    }
}

//! Names and Ed25519 keys of logs and witnesses.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::text;

/// Signature type of a log's Ed25519 key. C2SP signed-note, section *Signature types*.
const LOG: u8 = 0x01;
/// Signature type of a witness that cosigns with a time. C2SP signed-note, section *Signature types*.
const WITNESS: u8 = 0x04;

/// The key of a log, under which its checkpoints verify. Its name is the log's origin.
pub type LogKey = NoteKey<LOG>;
/// The key of a witness, under which its cosignatures verify.
pub type WitnessKey = NoteKey<WITNESS>;
/// Signs a log's checkpoints. Holds a secret that is erased when dropped.
pub type LogSigner = NoteSigner<LOG>;
/// Cosigns checkpoints of other logs. Holds a secret that is erased when dropped.
pub type WitnessSigner = NoteSigner<WITNESS>;

/// The name of a key, such as `node-1.example.com/log`: 1 to 255 bytes without spaces, plus signs and control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// Longest name in bytes, so that it also fits the cosignatures to come with ML-DSA. C2SP tlog-cosignature.
    pub const MAX_LEN: usize = 255;

    /// Checks a name.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn new(name: &str) -> Result<Self, KeyError> {
        let fits = (1..=Self::MAX_LEN).contains(&name.len());
        let clean = name.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '+');
        if fits && clean { Ok(Self(name.to_owned())) } else { Err(KeyError::Name) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a name or a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name breaks the rules of [`KeyName`].
    #[error("a key name must have 1 to 255 bytes without spaces, plus signs and control characters")]
    Name,
    /// Not a name, eight hexadecimal digits and base64, with plus signs between.
    #[error("not a verifier key: expected `<name>+<hash>+<key>`")]
    Form,
    /// The key is of another kind: a witness's where a log's is wanted, or the reverse, or another algorithm.
    #[error("a verifier key of another type is needed")]
    Type,
    /// The short identifier is not that of the key.
    #[error("the hash in the verifier key is not that of the key")]
    Id,
    /// The bytes are no Ed25519 key, or one of small order.
    #[error("the verifier key holds no usable Ed25519 key")]
    Key,
}

/// A name and an Ed25519 key for signatures of one type: [`LogKey`] or [`WitnessKey`]. As text it is a verifier key,
/// `<name>+<8 hexadecimal digits>+<base64>`.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteKey<const TYPE: u8> {
    name: KeyName,
    id: [u8; 4],
    public: VerifyingKey,
}

impl<const TYPE: u8> NoteKey<TYPE> {
    /// The key with this name.
    ///
    /// # Errors
    /// [`KeyError::Name`] or [`KeyError::Key`].
    pub fn new(name: &str, public: &[u8; 32]) -> Result<Self, KeyError> {
        let public = VerifyingKey::from_bytes(public).map_err(|_| KeyError::Key)?;
        if public.is_weak() {
            return Err(KeyError::Key);
        }
        Ok(Self::of(KeyName::new(name)?, public))
    }

    fn of(name: KeyName, public: VerifyingKey) -> Self {
        let hash = Sha256::new().chain_update(name.as_str()).chain_update([b'\n', TYPE]).chain_update(public);
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        Self { name, id: [a, b, c, d], public }
    }

    /// Reads a verifier key.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, rest) = text.split_once('+').ok_or(KeyError::Form)?;
        let (id, key) = rest.split_once('+').ok_or(KeyError::Form)?;
        let key = text::from_base64(key).ok_or(KeyError::Form)?;
        let (kind, public) = key.split_first().ok_or(KeyError::Form)?;
        if *kind != TYPE {
            return Err(KeyError::Type);
        }
        let key = Self::new(name, public.try_into().map_err(|_| KeyError::Key)?)?;
        if hex::encode(key.id) == id { Ok(key) } else { Err(KeyError::Id) }
    }

    /// The name.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The short identifier in signature lines. It is no fingerprint: other keys with the same one are easy to make.
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The Ed25519 key.
    pub fn public(&self) -> &[u8; 32] {
        self.public.as_bytes()
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.public.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

impl<const TYPE: u8> fmt::Display for NoteKey<TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[TYPE], self.public().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), text::to_base64(&key))
    }
}

impl<const TYPE: u8> fmt::Debug for NoteKey<TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKey({self})")
    }
}

/// The secret half of a [`NoteKey`]: [`LogSigner`] or [`WitnessSigner`]. Erased when dropped; neither cloned nor shown.
pub struct NoteSigner<const TYPE: u8> {
    key: NoteKey<TYPE>,
    secret: SigningKey,
}

impl<const TYPE: u8> NoteSigner<TYPE> {
    /// The signer with this name and the Ed25519 key of a 32-byte seed. The caller erases its copy of the seed.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = SigningKey::from_bytes(seed);
        Ok(Self { key: NoteKey::of(KeyName::new(name)?, secret.verifying_key()), secret })
    }

    /// The public half.
    pub const fn key(&self) -> &NoteKey<TYPE> {
        &self.key
    }

    pub(super) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.secret.sign(message).to_bytes()
    }
}

impl<const TYPE: u8> fmt::Debug for NoteSigner<TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.key)
    }
}

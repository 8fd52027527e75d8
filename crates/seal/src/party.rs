//! Sealing to somebody else: a share that travels to one party, or from a party to whoever exports a key.
//!
//! HPKE (RFC 9180) in base mode with X-Wing (X25519 and ML-KEM-768), HKDF-SHA-256 and ChaCha20-Poly1305. Whoever records what travels today
//! would need to break both X25519 and ML-KEM to read it later. The sender is not authenticated here: what it sends stands in a
//! signed request, and shares are checked against commitments.
//!
//! Everything a sealed text is for is in its [`Label`], which is HPKE's `info`: it opens under exactly that label. `spec/13-import-export.md`.

use std::fmt;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

/// Longest [`Label::key`] in bytes.
pub const MAX_LABEL_KEY_LEN: usize = 128;
/// Most bytes that one sealed text may hold.
pub const MAX_PARTY_PLAINTEXT: usize = 16 * 1024;
/// How many bytes a sealed text is longer than what it holds: version, encapsulated key, tag.
pub const PARTY_OVERHEAD: usize = 1 + ENCAPSULATED_LEN + TAG_LEN;

const VERSION: u8 = 1;
const ENCAPSULATED_LEN: usize = 1120;
const TAG_LEN: usize = 16;
const PURPOSE: &str = "quorate 2026 seal v1 party key";
const LABEL_TAG: &[u8] = b"quorate seal v1 party";

type Private = <XWing as hpke::Kem>::PrivateKey;
type Public = <XWing as hpke::Kem>::PublicKey;

/// Why nothing was sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartySealError {
    /// The bytes are no public key for sealing.
    #[error("these bytes are no sealing key: it has {} bytes", SealingPublicKey::LEN)]
    PublicKey,
    /// The text was changed, is for another party, or for another purpose, key, epoch or moment.
    #[error(
        "a sealed share does not open: it was changed, or is for another party, request, key, epoch or moment"
    )]
    Unopened,
    /// The text is longer or shorter than any that is sealed here, or of an unknown version.
    #[error("a sealed share has {len} bytes or a version that is unknown here")]
    Length {
        /// Its length in bytes.
        len: usize,
    },
    /// A name in the label is too long.
    #[error(
        "the label of a sealed share names a key of {len} bytes: at most {MAX_LABEL_KEY_LEN} are allowed"
    )]
    Label {
        /// The length in bytes.
        len: usize,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

/// What a sealed text is for. It opens under exactly the same values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// Why it travels, for example `import`.
    pub purpose: &'static str,
    /// What else it belongs to: the hash of a request or of commitments.
    pub binding: [u8; 32],
    /// The key or operation. At most [`MAX_LABEL_KEY_LEN`] bytes.
    pub key: &'a str,
    /// The epoch of the key.
    pub epoch: u64,
    /// The identity of the party whose share it is: receiver in an import, sender in an export.
    pub party: [u8; 32],
    /// The last moment at which it is of use, in unix seconds.
    pub expires: u64,
}

impl Label<'_> {
    // PST.1
    /// Fields of fixed size as they are, texts behind their length, all big-endian.
    fn encode(&self) -> Result<Vec<u8>, PartySealError> {
        let Self { purpose, binding, key, epoch, party, expires } = self;
        let too_long = PartySealError::Label { len: key.len() };
        if key.len() > MAX_LABEL_KEY_LEN {
            return Err(too_long);
        }
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(LABEL_TAG);
        for text in [purpose.as_bytes(), key.as_bytes()] {
            out.extend_from_slice(&u32::try_from(text.len()).map_err(|_| too_long)?.to_be_bytes());
            out.extend_from_slice(text);
        }
        out.extend_from_slice(binding);
        out.extend_from_slice(&epoch.to_be_bytes());
        out.extend_from_slice(party);
        out.extend_from_slice(&expires.to_be_bytes());
        Ok(out)
    }
}

/// The public key to which shares are sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingPublicKey(Public);

impl SealingPublicKey {
    /// Bytes of an encoded key.
    pub const LEN: usize = 1216;

    /// Decodes a key.
    ///
    /// # Errors
    /// [`PartySealError::PublicKey`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PartySealError> {
        Public::from_bytes(bytes).map(Self).map_err(|_| PartySealError::PublicKey)
    }

    /// The encoded key.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// Seals a text to the holder of the key.
    ///
    /// # Errors
    /// [`PartySealError::Length`] beyond [`MAX_PARTY_PLAINTEXT`], [`PartySealError::Label`], [`PartySealError::NoRandomness`].
    pub fn seal(&self, label: &Label<'_>, plain: &[u8]) -> Result<Vec<u8>, PartySealError> {
        if plain.len() > MAX_PARTY_PLAINTEXT {
            return Err(PartySealError::Length { len: plain.len() });
        }
        // PST.2
        let info = label.encode()?;
        let mut random = Drawn::new()?;
        let sealed = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &self.0,
            &info,
            plain,
            &[],
            &mut random,
        );
        let (encapsulated, ciphertext) = sealed.map_err(|_| PartySealError::PublicKey)?;
        if random.exhausted {
            return Err(PartySealError::NoRandomness);
        }
        let mut out = Vec::with_capacity(PARTY_OVERHEAD.saturating_add(plain.len()));
        out.push(VERSION);
        out.extend_from_slice(&encapsulated.to_bytes());
        out.extend_from_slice(&ciphertext);
        Ok(out)
    }
}

impl fmt::Debug for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = blake3::hash(&self.to_bytes());
        write!(f, "SealingPublicKey({})", hash.to_hex().chars().take(16).collect::<String>())
    }
}

/// The private half: opens what was sealed to its holder.
pub struct SealingKey {
    private: Private,
    public: SealingPublicKey,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({:?}, ..)", self.public)
    }
}

impl SealingKey {
    /// The key of a node: it follows from the seed of its identity, and who has it has not the identity.
    #[must_use]
    pub fn of_identity(seed: &[u8; 32]) -> Self {
        Self::from_secret(&Zeroizing::new(blake3::derive_key(PURPOSE, seed)))
    }

    /// A key for one use.
    ///
    /// # Errors
    /// [`PartySealError::NoRandomness`].
    pub fn one_time() -> Result<Self, PartySealError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|_| PartySealError::NoRandomness)?;
        Ok(Self::from_secret(&secret))
    }

    /// The key of 32 secret bytes (`DeriveKeyPair` of RFC 9180).
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        let (private, public) = XWing::derive_keypair(secret);
        Self { private, public: SealingPublicKey(public) }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &SealingPublicKey {
        &self.public
    }

    /// Opens what was sealed to this key under this label.
    ///
    /// # Errors
    /// [`PartySealError::Unopened`] for anything else; [`PartySealError::Length`] before anything is computed.
    pub fn open(&self, label: &Label<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, PartySealError> {
        let length = PartySealError::Length { len: sealed.len() };
        if sealed.len() > PARTY_OVERHEAD.saturating_add(MAX_PARTY_PLAINTEXT) {
            return Err(length);
        }
        let (version, rest) = sealed.split_first().ok_or(length)?;
        let (encapsulated, ciphertext) = rest.split_at_checked(ENCAPSULATED_LEN).ok_or(length)?;
        if *version != VERSION || ciphertext.len() < TAG_LEN {
            return Err(length);
        }
        let encapsulated = <XWing as hpke::Kem>::EncappedKey::from_bytes(encapsulated);
        let encapsulated = encapsulated.map_err(|_| PartySealError::Unopened)?;
        let info = label.encode()?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.private,
            &encapsulated,
            &info,
            ciphertext,
            &[],
        )
        .map(Zeroizing::new)
        .map_err(|_| PartySealError::Unopened)
    }
}

/// Randomness of the operating system, drawn before it is used: the interface that HPKE wants cannot fail.
struct Drawn {
    bytes: Zeroizing<[u8; 256]>,
    at: usize,
    exhausted: bool,
}

impl Drawn {
    fn new() -> Result<Self, PartySealError> {
        let mut bytes = Zeroizing::new([0; 256]);
        getrandom::fill(&mut *bytes).map_err(|_| PartySealError::NoRandomness)?;
        Ok(Self { bytes, at: 0, exhausted: false })
    }
}

impl TryRng for Drawn {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut word = [0; 4];
        self.try_fill_bytes(&mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut word = [0; 8];
        self.try_fill_bytes(&mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        let end = self.at.saturating_add(out.len());
        match self.bytes.get(self.at..end) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                self.at = end;
            }
            None => self.exhausted = true,
        }
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}

//! Recovery keys: who can open a backup. X-Wing (X25519 and ML-KEM-768), because backups rest for years.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;

use quorate_protocol::access::Access;
use quorate_protocol::message::encode;
use quorate_protocol::party::PartyIndex;
use quorate_protocol::transcript::{Transcript, tags};
use x_wing::{
    Decapsulate as _, DecapsulationKey, Decapsulator as _, ENCAPSULATION_KEY_SIZE, EncapsulationKey,
    KeyExport as _,
};
use zeroize::Zeroizing;

/// Most recipients of one backup.
pub const MAX_RECIPIENTS: usize = 16;
/// Longest name of a recipient, in bytes.
pub const MAX_NAME_LEN: usize = 64;
/// Bytes of an encapsulation (X-Wing, draft-connolly-cfrg-xwing-kem).
pub const ENCAPSULATION_LEN: usize = x_wing::CIPHERTEXT_SIZE;

/// The public half of a recovery key.
#[derive(Clone)]
pub struct RecoveryKey {
    bytes: Box<[u8; ENCAPSULATION_KEY_SIZE]>,
    key: Box<EncapsulationKey>,
}

impl RecoveryKey {
    /// Bytes of the encoding.
    pub const LEN: usize = ENCAPSULATION_KEY_SIZE;

    /// Decodes a public key; refuses other lengths and what FIPS 203, 7.2 refuses.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::LEN] = bytes.try_into().ok()?;
        let key = EncapsulationKey::try_from(bytes.as_slice()).ok()?;
        Some(Self { bytes: Box::new(bytes), key: Box::new(key) })
    }
    /// The encoding.
    pub fn to_bytes(&self) -> &[u8; ENCAPSULATION_KEY_SIZE] {
        &self.bytes
    }
    /// 16 bytes that name the key to people.
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = Transcript::new(tags::RECOVERY_KEY).absorb("x-wing", &*self.bytes).digest();
        let mut short = [0u8; 16];
        short.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Fingerprint(short)
    }
    /// A fresh shared secret and what carries it, from 64 uniform bytes.
    pub(crate) fn encapsulate(
        &self,
        coins: &Zeroizing<[u8; 64]>,
    ) -> (Box<[u8; ENCAPSULATION_LEN]>, Zeroizing<[u8; 32]>) {
        let (sent, shared) = self.key.encapsulate_deterministic(&(**coins).into());
        (Box::new(sent.0), Zeroizing::new(shared.0))
    }
}

impl PartialEq for RecoveryKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}
impl Eq for RecoveryKey {}
impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveryKey({})", self.fingerprint())
    }
}
impl BorshSerialize for RecoveryKey {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        writer.write_all(&*self.bytes)
    }
}
impl BorshDeserialize for RecoveryKey {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let mut bytes = [0u8; Self::LEN];
        reader.read_exact(&mut bytes)?;
        Self::from_bytes(&bytes).ok_or_else(|| invalid("recovery key"))
    }
}

/// Names a recovery key to people; shown as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// The secret half of a recovery key: a 32-byte seed. Not cloned, not printed, zeroised on drop.
pub struct RecoverySecret {
    seed: Zeroizing<[u8; 32]>,
    key: Box<DecapsulationKey>,
}

impl RecoverySecret {
    /// Makes the key of 32 uniform bytes.
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        let key = Box::new(DecapsulationKey::from(*seed));
        Self { seed, key }
    }
    /// The seed, to be written down or sealed.
    pub fn seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.seed
    }
    /// The public half.
    pub fn public(&self) -> Option<RecoveryKey> {
        RecoveryKey::from_bytes(&self.key.encapsulation_key().to_bytes())
    }
    /// The shared secret that an encapsulation carries; another one, not an error, if it was made for somebody else (implicit rejection).
    pub(crate) fn decapsulate(&self, sent: &[u8; ENCAPSULATION_LEN]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.decapsulate(&(*sent).into()).0)
    }
}

impl fmt::Debug for RecoverySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoverySecret(..)")
    }
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize)]
pub struct Recipient {
    /// How people call it: letters, digits and `-_.@`, at most [`MAX_NAME_LEN`].
    pub name: String,
    /// Its key.
    pub key: RecoveryKey,
}

/// The recipients of a backup, numbered from 1, and which sets of them can open it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize)]
pub struct Recipients {
    access: Access,
    members: Vec<Recipient>,
}

/// Why recipients do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecipients {
    /// None, or more than [`MAX_RECIPIENTS`].
    Count,
    /// A name is empty, too long, has another character, or stands twice.
    Name,
    /// A key stands twice: its holder would count twice.
    Twice,
    /// The structure does not list exactly the recipients, or cannot be satisfied.
    Access,
}

impl fmt::Display for BadRecipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count => "give 1 to 16 recovery keys",
            Self::Name => "names of recovery keys are 1 to 64 letters, digits and `-_.@`, each once",
            Self::Twice => "a recovery key stands twice: its holder would count twice",
            Self::Access => "the recovery structure must name every recovery key, and nothing else",
        })
    }
}
impl core::error::Error for BadRecipients {}

/// Whether a recipient can be called so: letters, digits and `-_.@`, at most [`MAX_NAME_LEN`].
pub fn is_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    (1..=MAX_NAME_LEN).contains(&name.len()) && name.chars().all(known)
}

impl Recipients {
    /// Joins structure and keys; party `i` of the structure is the `i`-th recipient.
    ///
    /// # Errors
    /// [`BadRecipients`].
    pub fn new(access: Access, members: Vec<Recipient>) -> Result<Self, BadRecipients> {
        if members.is_empty() || members.len() > MAX_RECIPIENTS {
            return Err(BadRecipients::Count);
        }
        for (at, member) in members.iter().enumerate() {
            let earlier = members.iter().take(at);
            if !is_name(&member.name) {
                return Err(BadRecipients::Name);
            }
            if earlier.clone().any(|other| other.name == member.name) {
                return Err(BadRecipients::Name);
            }
            if earlier.clone().any(|other| other.key == member.key) {
                return Err(BadRecipients::Twice);
            }
        }
        let recipients = Self { access, members };
        let mut listed = recipients.access.parties();
        listed.dedup();
        if !recipients.access.is_valid() || listed != recipients.indices().collect::<Vec<_>>() {
            return Err(BadRecipients::Access);
        }
        Ok(recipients)
    }

    /// `k` of the keys can open.
    ///
    /// # Errors
    /// [`BadRecipients`].
    pub fn threshold(k: u16, members: Vec<Recipient>) -> Result<Self, BadRecipients> {
        let count = u16::try_from(members.len()).map_err(|_| BadRecipients::Count)?;
        let indices: Vec<_> = (1..=count).filter_map(PartyIndex::new).collect();
        let access = Access::threshold(k, &indices).ok_or(BadRecipients::Access)?;
        Self::new(access, members)
    }

    /// Which sets can open.
    pub const fn access(&self) -> &Access {
        &self.access
    }
    /// In order of index.
    pub fn members(&self) -> &[Recipient] {
        &self.members
    }
    /// Indices with members, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PartyIndex, &Recipient)> + Clone {
        self.indices().zip(&self.members)
    }
    fn indices(&self) -> impl Iterator<Item = PartyIndex> + Clone + use<> {
        (1..=u16::try_from(self.members.len()).unwrap_or(0)).filter_map(PartyIndex::new)
    }
    /// The recipient that a key belongs to.
    pub fn find(&self, key: &RecoveryKey) -> Option<PartyIndex> {
        self.iter().find(|(_, member)| member.key == *key).map(|(index, _)| index)
    }
    /// Hash over structure, names and keys.
    pub fn digest(&self) -> [u8; 32] {
        Transcript::new(tags::RECOVERY_SET).absorb("recipients", &encode(self)).digest()
    }
}

impl BorshDeserialize for Recipients {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let access = Access::deserialize_reader(reader)?;
        let count = u32::deserialize_reader(reader)?;
        if usize::try_from(count).map_or(true, |n| n > MAX_RECIPIENTS) {
            return Err(invalid("number of recipients"));
        }
        let members = (0..count).map(|_| member(reader)).collect::<IoResult<_>>()?;
        Self::new(access, members).map_err(|_| invalid("recipients"))
    }
}

fn member<R: Read>(reader: &mut R) -> IoResult<Recipient> {
    let len = usize::try_from(u32::deserialize_reader(reader)?).unwrap_or(usize::MAX);
    if len > MAX_NAME_LEN {
        return Err(invalid("name of a recipient"));
    }
    let mut name = alloc::vec![0u8; len];
    reader.read_exact(&mut name)?;
    let name = String::from_utf8(name).map_err(|_| invalid("name of a recipient"))?;
    Ok(Recipient { name, key: RecoveryKey::deserialize_reader(reader)? })
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

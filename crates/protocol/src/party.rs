//! Parties: who they are ([`PartyId`]), where they stand in one key ([`PartyIndex`]), and the committee of a key.

use alloc::vec::Vec;
use core::{fmt, num::NonZeroU16};
use ed25519_dalek::{Signature, VerifyingKey};

use crate::transcript::{Transcript, tags};

/// Most parties of one key.
pub const MAX_PARTIES: usize = 64;

/// Long-term identity of a party: the hash of its identity verification key. Roles and indices are never hashed in its place.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, borsh::BorshSerialize, borsh::BorshDeserialize,
)]
pub struct PartyId(pub [u8; 32]);

impl fmt::Debug for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for b in self.0.iter().take(8) {
            write!(f, "{b:02x}")?;
        }
        Ok(())
    }
}

/// x-coordinate of a party's share: 1, 2, 3 … Fixed for the life of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartyIndex(NonZeroU16);

impl PartyIndex {
    /// `None` for zero, which would evaluate the polynomial at the secret.
    pub const fn new(value: u16) -> Option<Self> {
        match NonZeroU16::new(value) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }
    /// The number, 1 or more.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}
impl fmt::Display for PartyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
impl borsh::BorshSerialize for PartyIndex {
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        self.get().serialize(writer)
    }
}
impl borsh::BorshDeserialize for PartyIndex {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        Self::new(u16::deserialize_reader(reader)?)
            .ok_or_else(|| borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, "party index zero"))
    }
}

/// The verification key of a party's identity (Ed25519, RFC 8032, strict verification).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdentityKey(VerifyingKey);

impl IdentityKey {
    /// Decodes 32 bytes; refuses points of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().filter(|k| !k.is_weak()).map(Self)
    }
    /// The encoded key.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
    /// The identity that belongs to this key.
    pub fn party_id(&self) -> PartyId {
        PartyId(Transcript::new(tags::PARTY_ID).absorb("ed25519", &self.to_bytes()).digest())
    }
    /// Whether `signature` over `message` is this party's.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}
impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey({})", self.party_id())
    }
}
impl borsh::BorshSerialize for IdentityKey {
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        writer.write_all(&self.to_bytes())
    }
}
impl borsh::BorshDeserialize for IdentityKey {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let mut bytes = [0u8; 32];
        reader.read_exact(&mut bytes)?;
        Self::from_bytes(&bytes)
            .ok_or_else(|| borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, "identity key"))
    }
}

/// Signs a party's broadcasts. A trait, so that the identity key may rest in an HSM.
pub trait Identity: Send + Sync {
    /// The public half.
    fn public(&self) -> IdentityKey;
    /// Ed25519 signature over `message`.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// An identity key held in memory.
pub struct LocalIdentity(ed25519_dalek::SigningKey);

impl LocalIdentity {
    /// Makes the key of a 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }
}
impl Identity for LocalIdentity {
    fn public(&self) -> IdentityKey {
        IdentityKey(self.0.verifying_key())
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        ed25519_dalek::Signer::sign(&self.0, message).to_bytes()
    }
}
impl fmt::Debug for LocalIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalIdentity({:?})", self.public())
    }
}

/// One member of a committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Party {
    /// Place in the key.
    pub index: PartyIndex,
    /// Long-term identity key.
    pub identity: IdentityKey,
}

/// Some parties of one key, in rising order of index, without duplicates of index or identity.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize)]
pub struct Committee(Vec<Party>);

impl Committee {
    /// Checks order-independent rules and sorts: 1 to [`MAX_PARTIES`] members, no index twice, no identity twice (test plan B6).
    pub fn new(mut parties: Vec<Party>) -> Option<Self> {
        parties.sort_by_key(|p| p.index);
        let indices_differ = parties.windows(2).all(|w| matches!(w, [a, b] if a.index < b.index));
        let mut identities: Vec<_> = parties.iter().map(|p| p.identity.to_bytes()).collect();
        identities.sort_unstable();
        identities.dedup();
        let ok =
            (1..=MAX_PARTIES).contains(&parties.len()) && indices_differ && identities.len() == parties.len();
        ok.then_some(Self(parties))
    }
    /// Members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Party> + Clone {
        self.0.iter()
    }
    /// Indices in order.
    pub fn indices(&self) -> impl ExactSizeIterator<Item = PartyIndex> + Clone + '_ {
        self.0.iter().map(|p| p.index)
    }
    /// Number of members, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a committee is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// The member at an index.
    pub fn get(&self, index: PartyIndex) -> Option<&Party> {
        self.0.binary_search_by_key(&index, |p| p.index).ok().and_then(|at| self.0.get(at))
    }
    /// The member with an identity.
    pub fn find(&self, id: PartyId) -> Option<&Party> {
        self.0.iter().find(|p| p.identity.party_id() == id)
    }
    /// The members at the given indices; `None` if one is not a member or stands twice.
    pub fn subset(&self, indices: &[PartyIndex]) -> Option<Self> {
        Self::new(indices.iter().map(|&i| self.get(i).copied()).collect::<Option<Vec<_>>>()?)
    }
    /// Absorbs every member, index and identity, into a transcript.
    pub fn absorb_into(&self, transcript: &mut Transcript) {
        transcript.absorb_all(
            "parties",
            self.iter().map(|p| {
                let mut item = [0u8; 34];
                let (index, id) = item.split_at_mut(2);
                index.copy_from_slice(&p.index.get().to_le_bytes());
                id.copy_from_slice(&p.identity.party_id().0);
                item
            }),
        );
    }
}
impl borsh::BorshDeserialize for Committee {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let invalid = || borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, "committee");
        let count = u32::deserialize_reader(reader)?;
        if usize::try_from(count).map_or(true, |n| n > MAX_PARTIES) {
            return Err(invalid());
        }
        let parties =
            (0..count).map(|_| Party::deserialize_reader(reader)).collect::<borsh::io::Result<Vec<_>>>()?;
        let sorted = Self::new(parties.clone()).ok_or_else(invalid)?;
        // One encoding per committee: members in order.
        if sorted.0 == parties { Ok(sorted) } else { Err(invalid()) }
    }
}

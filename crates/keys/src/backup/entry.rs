//! The file of a backup: what one node holds of one or several keys of one curve, signed by the node (BACKUP.10–BACKUP.11).

use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use zeroize::Zeroizing;

use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, CurveId, Ed25519, P256, Secp256k1, SecretScalar};
use quorate_protocol::message::encode;
use quorate_protocol::party::{Identity, IdentityKey, PartyIndex};
use quorate_protocol::rng::HedgedRng;
use quorate_protocol::transcript::{Transcript, tags};

use super::pve::{CannotOpen, Encryption, Fault, Part, Statement, Subject};
use super::recipients::{Recipients, RecoverySecret};
use crate::certificate::Certificate;
use crate::share::{KeyId, KeyShare, PublicPackage};

/// First bytes of an entry.
pub const ENTRY_MAGIC: &[u8; 24] = b"quorate backup entry 1\r\n";
/// Most bytes of an entry.
pub const MAX_ENTRY_LEN: usize = 16 << 20;
/// Most keys in one entry.
pub const MAX_ITEMS: usize = 64;
/// Most bytes of what the node keeps beside a key.
pub const MAX_RECORD_LEN: usize = 64 << 10;

/// Names an entry by its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct ContentId(pub [u8; 32]);

impl ContentId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Transcript::new(tags::BACKUP_CONTENT).absorb("file", bytes).digest())
    }
}
impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({self})")
    }
}

/// One key in an entry, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<C: Curve> {
    /// Which party's share.
    pub index: PartyIndex,
    /// What everybody may know of the key.
    pub package: PublicPackage<C>,
    /// The acknowledgements of all parties of the epoch, encoded.
    pub certificate: Vec<u8>,
    /// What the node keeps beside it; of no meaning here.
    pub record: Vec<u8>,
}

/// A key to back up.
#[derive(Debug)]
pub struct Source<'a, C: Curve> {
    /// The share.
    pub share: &'a KeyShare<C>,
    /// Encoded certificate of its epoch.
    pub certificate: &'a [u8],
    /// At most [`MAX_RECORD_LEN`] public bytes that restoring gives back.
    pub record: &'a [u8],
}

/// A decoded entry on one curve. Its form and signature are checked, see [`Entry::verify`] for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<C: Curve> {
    node: IdentityKey,
    created_at: u64,
    recipients: Recipients,
    items: Vec<Item<C>>,
    subjects: Vec<Subject<C>>,
    encryption: Encryption<C>,
}

/// What is wrong with a file of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBackup {
    /// The first bytes are not those of such a file, or of a later version.
    Magic,
    /// Longer than such a file can be.
    TooLong,
    /// It cannot be decoded.
    Malformed,
    /// The signature is not the node's: the file was changed.
    Signature,
    /// A public package contradicts itself.
    Package(usize),
    /// The node that signed is not the party whose share it says it holds.
    NotTheParty(usize),
    /// The certificate does not hold the acknowledgements of all parties.
    Certificate(usize),
    /// A key stands twice.
    Twice,
    /// The encrypted shares.
    Encryption(Fault),
    /// It cannot be made: limits of a file, a recovery structure that cannot be shared over, or a share that does not fit.
    Unsuitable,
}

impl fmt::Display for BadBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("this is no backup file of a version that this program knows"),
            Self::TooLong => f.write_str("the file is longer than a backup can be"),
            Self::Malformed => f.write_str("the file is damaged: it cannot be decoded"),
            Self::Signature => f.write_str("the file was changed: the node's signature does not fit"),
            Self::Package(at) => write!(f, "the public package of key {} contradicts itself", at + 1),
            Self::NotTheParty(at) => {
                write!(
                    f,
                    "the node that signed does not hold the share of key {} that the file is about",
                    at + 1
                )
            }
            Self::Certificate(at) => {
                write!(
                    f,
                    "key {} lacks acknowledgements of its parties: it is not known to be in use",
                    at + 1
                )
            }
            Self::Twice => f.write_str("a key stands twice in the file"),
            Self::Encryption(fault) => fmt::Display::fmt(fault, f),
            Self::Unsuitable => f.write_str("these shares cannot be backed up to these recovery keys"),
        }
    }
}
impl core::error::Error for BadBackup {}

#[derive(BorshSerialize)]
struct Head<'a> {
    curve: CurveId,
    node: IdentityKey,
    created_at: u64,
    recipients: &'a Recipients,
    count: u16,
}

/// Creates an entry: encrypts the shares to the recipients and signs the file. `created_at` is in milliseconds since the Unix epoch.
/// Costs about 256 encapsulations a recipient.
///
/// # Errors
/// [`BadBackup::Unsuitable`], and what [`Entry::verify`] finds in the packages.
pub fn create<C: Curve>(
    identity: &dyn Identity,
    created_at: u64,
    recipients: &Recipients,
    sources: &[Source<'_, C>],
    rng: &mut HedgedRng,
) -> Result<Vec<u8>, BadBackup> {
    let fits =
        sources.iter().all(|s| s.record.len() <= MAX_RECORD_LEN) && (1..=MAX_ITEMS).contains(&sources.len());
    if !fits {
        return Err(BadBackup::Unsuitable);
    }
    let items: Vec<Item<C>> = sources
        .iter()
        .map(|s| Item {
            index: s.share.index(),
            package: s.share.public().clone(),
            certificate: s.certificate.to_vec(),
            record: s.record.to_vec(),
        })
        .collect();
    let subjects = check_items(&identity.public(), &items)?;
    let secrets: Vec<&SecretScalar<C>> = sources.iter().flat_map(|s| secrets_of(s.share)).collect();
    let statement = Statement::new(&subjects, recipients).ok_or(BadBackup::Unsuitable)?;
    let encryption = Encryption::create(&statement, &secrets, rng).ok_or(BadBackup::Unsuitable)?;
    let mut out = Vec::from(ENTRY_MAGIC);
    let head = Head {
        curve: C::ID,
        node: identity.public(),
        created_at,
        recipients,
        count: u16::try_from(items.len()).map_err(|_| BadBackup::Unsuitable)?,
    };
    out.extend(encode(&head));
    for item in &items {
        out.extend(encode(&(item.index, item.package.to_bytes(), &item.certificate, &item.record)));
    }
    out.extend(encryption.to_bytes());
    sign(&mut out, identity);
    if out.len() > MAX_ENTRY_LEN { Err(BadBackup::Unsuitable) } else { Ok(out) }
}

fn secrets_of<C: Curve>(share: &KeyShare<C>) -> impl Iterator<Item = &SecretScalar<C>> {
    share.secrets().iter()
}

/// BACKUP.10: the node's signature over all bytes before it.
pub(super) fn sign(out: &mut Vec<u8>, identity: &dyn Identity) {
    let signature = identity.sign(&signed(out));
    out.extend_from_slice(&signature);
}

/// Whether the last 64 bytes sign all others; gives those.
pub(super) fn check_signature<'a>(bytes: &'a [u8], node: &IdentityKey) -> Result<&'a [u8], BadBackup> {
    let (body, signature) = bytes.split_last_chunk::<64>().ok_or(BadBackup::Malformed)?;
    if node.verify(&signed(body), signature) { Ok(body) } else { Err(BadBackup::Signature) }
}

fn signed(body: &[u8]) -> [u8; 32] {
    Transcript::new(tags::BACKUP_SIGNATURE).absorb("file", body).digest()
}

/// Bytes behind a length, which is compared with what there is before anything is taken.
pub(super) fn blob<'a>(bytes: &mut &'a [u8], max: usize) -> Result<&'a [u8], BadBackup> {
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or(BadBackup::Malformed)?;
    let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| BadBackup::Malformed)?;
    let (blob, rest) = rest.split_at_checked(len).filter(|_| len <= max).ok_or(BadBackup::Malformed)?;
    *bytes = rest;
    Ok(blob)
}

pub(super) fn value<T: BorshDeserialize>(bytes: &mut &[u8]) -> Result<T, BadBackup> {
    T::deserialize(bytes).map_err(|_| BadBackup::Malformed)
}

/// BACKUP.11, as far as it needs no encryption: the parties, their packages and certificates.
fn check_items<C: Curve>(node: &IdentityKey, items: &[Item<C>]) -> Result<Vec<Subject<C>>, BadBackup> {
    let mut ids: Vec<_> = items.iter().map(|item| item.package.key_id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(BadBackup::Twice);
    }
    let subjects = items.iter().enumerate().map(|(at, item)| {
        let holds = item.package.committee.get(item.index).is_some_and(|party| party.identity == *node);
        if !holds {
            return Err(BadBackup::NotTheParty(at));
        }
        let certificate: Certificate =
            borsh::from_slice(&item.certificate).map_err(|_| BadBackup::Certificate(at))?;
        if !certificate.certifies(&item.package) {
            return Err(BadBackup::Certificate(at));
        }
        Subject::of(&item.package, item.index).ok_or(BadBackup::Package(at))
    });
    subjects.collect()
}

impl<C: Curve> Entry<C> {
    /// Decodes what follows the curve.
    fn decode(body: &[u8], head: DecodedHead) -> Result<Self, BadBackup> {
        let mut bytes = body;
        let DecodedHead { node, created_at, recipients, count } = head;
        let mut items = Vec::new();
        for at in 0..usize::from(count) {
            let index = value(&mut bytes)?;
            let package = blob(&mut bytes, MAX_RECORD_LEN)?;
            let package = PublicPackage::from_bytes(package).ok_or(BadBackup::Package(at))?;
            let certificate = blob(&mut bytes, MAX_RECORD_LEN)?.to_vec();
            let record = blob(&mut bytes, MAX_RECORD_LEN)?.to_vec();
            items.push(Item { index, package, certificate, record });
        }
        let subjects = check_items(&node, &items)?;
        let statement = Statement::new(&subjects, &recipients).ok_or(BadBackup::Malformed)?;
        let encryption = Encryption::from_bytes(bytes, &statement).map_err(BadBackup::Encryption)?;
        Ok(Self { node, created_at, recipients, items, subjects, encryption })
    }

    fn statement(&self) -> Result<Statement<'_, C>, BadBackup> {
        Statement::new(&self.subjects, &self.recipients).ok_or(BadBackup::Malformed)
    }

    fn verify(&self) -> Result<(), BadBackup> {
        self.encryption.verify(&self.statement()?).map_err(BadBackup::Encryption)
    }

    fn summaries(&self) -> Vec<ItemSummary> {
        self.items
            .iter()
            .map(|item| ItemSummary {
                key_id: item.package.key_id,
                epoch: item.package.epoch,
                curve: C::ID,
                index: item.index,
                epoch_id: item.package.epoch_id(),
                access: item.package.access.clone(),
                public_key: item.package.public_key().to_bytes(),
            })
            .collect()
    }

    fn open_part(&self, index: PartyIndex, key: &RecoverySecret) -> Result<Part, BadBackup> {
        Ok(self.encryption.open_part(&self.statement()?, index, key))
    }

    fn join(&self, parts: &[Part]) -> Result<Joined, CannotOpen> {
        let statement = self.statement().map_err(|_| CannotOpen::Parts)?;
        let opened = self.encryption.join(&statement, parts)?;
        let mut secrets = opened.secrets.into_iter();
        let restored = self.items.iter().zip(&self.subjects).map(|(item, subject)| {
            let mine: Vec<_> = secrets.by_ref().take(subject.public_shares.len()).collect();
            let share = share_of(item, mine).ok_or(CannotOpen::Parts)?;
            Ok(Restored {
                key_id: item.package.key_id,
                epoch: item.package.epoch,
                curve: C::ID,
                index: item.index,
                package: item.package.to_bytes(),
                certificate: item.certificate.clone(),
                record: item.record.clone(),
                secret: share.secret_bytes(),
            })
        });
        Ok(Joined { restored: restored.collect::<Result<_, _>>()?, wrong: opened.wrong })
    }
}

fn share_of<C: Curve>(item: &Item<C>, secrets: Vec<SecretScalar<C>>) -> Option<KeyShare<C>> {
    KeyShare::new(item.package.clone(), item.index, secrets)
}

struct DecodedHead {
    node: IdentityKey,
    created_at: u64,
    recipients: Recipients,
    count: u16,
}

/// A decoded entry on any curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyEntry {
    /// Keys on secp256k1.
    Secp256k1(Entry<Secp256k1>),
    /// Keys on P-256.
    P256(Entry<P256>),
    /// Keys on edwards25519.
    Ed25519(Entry<Ed25519>),
}

/// What everybody can read of one key in an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSummary {
    /// The key.
    pub key_id: KeyId,
    /// The epoch of the share.
    pub epoch: u64,
    /// Its curve.
    pub curve: CurveId,
    /// Whose share.
    pub index: PartyIndex,
    /// Hash of the epoch: the same at all parties.
    pub epoch_id: [u8; 32],
    /// Who can sign with the key.
    pub access: Access,
    /// The public key, compressed.
    pub public_key: Vec<u8>,
}

impl ItemSummary {
    /// Whether the parties with these indices can act for the key.
    pub fn can_act(&self, parties: &[u16]) -> bool {
        let parties: Vec<_> = parties.iter().filter_map(|i| PartyIndex::new(*i)).collect();
        self.access.is_qualified(&parties)
    }
}

/// A share that came out of a backup.
#[derive(Debug)]
pub struct Restored {
    /// The key.
    pub key_id: KeyId,
    /// The epoch of the share.
    pub epoch: u64,
    /// Its curve.
    pub curve: CurveId,
    /// Whose share.
    pub index: PartyIndex,
    /// Encoded public package.
    pub package: Vec<u8>,
    /// Encoded certificate.
    pub certificate: Vec<u8>,
    /// What the node kept beside it.
    pub record: Vec<u8>,
    /// [`KeyShare::secret_bytes`]; they fit the package.
    pub secret: Zeroizing<Vec<u8>>,
}

/// Everything that came out of an entry.
#[derive(Debug)]
pub struct Joined {
    /// The shares.
    pub restored: Vec<Restored>,
    /// Recipients whose answers were wrong and were not needed.
    pub wrong: Vec<PartyIndex>,
}

macro_rules! each_curve {
    ($entry:expr, $inner:ident => $body:expr) => {
        match $entry {
            AnyEntry::Secp256k1($inner) => $body,
            AnyEntry::P256($inner) => $body,
            AnyEntry::Ed25519($inner) => $body,
        }
    };
}

impl AnyEntry {
    /// Decodes an entry. Checks length, form, signature, packages, certificates and that the signer is the party; the costly part is
    /// [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`BadBackup`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadBackup> {
        if bytes.len() > MAX_ENTRY_LEN {
            return Err(BadBackup::TooLong);
        }
        let mut rest = bytes.strip_prefix(ENTRY_MAGIC.as_slice()).ok_or(BadBackup::Magic)?;
        let rest = &mut rest;
        let curve: CurveId = value(rest)?;
        let node: IdentityKey = value(rest)?;
        // What follows is decoded only if the node wrote it.
        check_signature(bytes, &node)?;
        let created_at = value(rest)?;
        let recipients = value(rest)?;
        let count = value::<u16>(rest)?;
        if usize::from(count) > MAX_ITEMS {
            return Err(BadBackup::Malformed);
        }
        let (body, _) = rest.split_last_chunk::<64>().ok_or(BadBackup::Malformed)?;
        let head = DecodedHead { node, created_at, recipients, count };
        Ok(match curve {
            CurveId::Secp256k1 => Self::Secp256k1(Entry::decode(body, head)?),
            CurveId::P256 => Self::P256(Entry::decode(body, head)?),
            CurveId::Ed25519 => Self::Ed25519(Entry::decode(body, head)?),
        })
    }

    /// Whether the recipients can have every share that the entry is about. About 230 encapsulations a recipient; no secret is needed.
    ///
    /// # Errors
    /// [`BadBackup::Encryption`]: the node that signed is to blame.
    pub fn verify(&self) -> Result<(), BadBackup> {
        each_curve!(self, entry => entry.verify())
    }

    /// The node that signed.
    pub fn node(&self) -> &IdentityKey {
        each_curve!(self, entry => &entry.node)
    }
    /// When it was made, by the node's clock, in milliseconds since the Unix epoch.
    pub fn created_at(&self) -> u64 {
        each_curve!(self, entry => entry.created_at)
    }
    /// Who can open it.
    pub fn recipients(&self) -> &Recipients {
        each_curve!(self, entry => &entry.recipients)
    }
    /// The keys in it.
    pub fn items(&self) -> Vec<ItemSummary> {
        each_curve!(self, entry => entry.summaries())
    }
    /// BACKUP.7: a recipient's part of opening it. [`verify`](Self::verify) it first.
    ///
    /// # Errors
    /// [`BadBackup::Malformed`] for an entry that cannot have been decoded.
    pub fn open_part(&self, index: PartyIndex, key: &RecoverySecret) -> Result<Part, BadBackup> {
        each_curve!(self, entry => entry.open_part(index, key))
    }
    /// BACKUP.8–BACKUP.9: joins parts of enough recipients into the shares. Each fits its public share.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn join(&self, parts: &[Part]) -> Result<Joined, CannotOpen> {
        each_curve!(self, entry => entry.join(parts))
    }
}

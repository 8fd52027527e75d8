//! Opening a backup without bringing recovery keys together: a request with a one-time key, and an answer of each holder of a recovery
//! key, sealed to it (BACKUP.13–BACKUP.15).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use core::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use quorate_protocol::message::encode;
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::HedgedRng;
use quorate_protocol::transcript::{Transcript, tags};
use zeroize::Zeroizing;

use super::entry::{AnyEntry, BadBackup, ContentId, blob, value};
use super::pve::Part;
use super::recipients::{ENCAPSULATION_LEN, Fingerprint, RecoveryKey, RecoverySecret};

/// First bytes of a request.
pub const REQUEST_MAGIC: &[u8; 24] = b"quorate recovery ask 1\r\n";
/// First bytes of an answer.
pub const ANSWER_MAGIC: &[u8; 24] = b"quorate recovery say 1\r\n";
/// Most bytes of a request or an answer.
pub const MAX_LETTER_LEN: usize = 16 << 20;
/// Most entries of one request.
pub const MAX_ENTRIES: usize = 4096;
/// Longest reason, in bytes.
pub const MAX_REASON_LEN: usize = 1000;

/// Asks the holders of recovery keys to open entries for a one-time key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The key that the answers are sealed to. Its secret half stays on the machine that restores.
    pub one_time: RecoveryKey,
    /// What to open.
    pub entries: Vec<ContentId>,
    /// Why, for the people who are asked.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// Until when it may be answered, in milliseconds since the Unix epoch.
    pub expires_at: u64,
}

impl Request {
    /// Encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(REQUEST_MAGIC);
        out.extend(encode(&(&self.one_time, &self.entries, &self.reason, self.created_at, self.expires_at)));
        out
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`BadBackup`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadBackup> {
        if bytes.len() > MAX_LETTER_LEN {
            return Err(BadBackup::TooLong);
        }
        let mut rest = bytes.strip_prefix(REQUEST_MAGIC.as_slice()).ok_or(BadBackup::Magic)?;
        let rest = &mut rest;
        let one_time = value(rest)?;
        let entries: Vec<ContentId> = value(rest)?;
        let reason = blob(rest, MAX_REASON_LEN)?.to_vec();
        let reason = String::from_utf8(reason).map_err(|_| BadBackup::Malformed)?;
        let (created_at, expires_at) = (value(rest)?, value(rest)?);
        if !rest.is_empty() || entries.is_empty() || entries.len() > MAX_ENTRIES {
            return Err(BadBackup::Malformed);
        }
        Ok(Self { one_time, entries, reason, created_at, expires_at })
    }

    /// What people compare by voice before they answer, and what every answer is bound to.
    pub fn digest(&self) -> [u8; 32] {
        Transcript::new(tags::RECOVERY_REQUEST).absorb("request", &self.to_bytes()).digest()
    }

    /// The first 16 bytes of the digest, for people.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut short = [0u8; 16];
        short.iter_mut().zip(self.digest()).for_each(|(to, from)| *to = from);
        Fingerprint(short)
    }
}

/// An answer could not be made or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadAnswer {
    /// The file itself.
    File(BadBackup),
    /// An entry is not in the request.
    NotAsked(ContentId),
    /// The recovery key is no recipient of an entry.
    NotARecipient(ContentId),
    /// An entry does not verify, or nothing of it opens with this key.
    Entry(ContentId, BadBackup),
    /// It answers another request.
    OtherRequest,
    /// It does not open with the one-time key: it was changed, or is of somebody else than it says.
    Sealed,
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(fault) => fmt::Display::fmt(fault, f),
            Self::NotAsked(id) => write!(f, "entry `{id}` is not in the request"),
            Self::NotARecipient(id) => write!(f, "this recovery key is no recipient of entry `{id}`"),
            Self::Entry(id, fault) => write!(f, "entry `{id}` must not be opened: {fault}"),
            Self::OtherRequest => f.write_str("the answer is to another request"),
            Self::Sealed => f.write_str("the answer does not open: it was changed on the way"),
        }
    }
}
impl core::error::Error for BadAnswer {}

/// The parts of one holder of a recovery key, by entry.
#[derive(Debug)]
pub struct Answer {
    /// Whose answer.
    pub from: Fingerprint,
    /// What it opened.
    pub parts: Vec<(ContentId, Part)>,
}

type Rows = Vec<Option<Vec<u8>>>;

/// BACKUP.14: opens the entries for the request and seals what comes out. Every entry is verified before it is opened.
///
/// # Errors
/// [`BadAnswer`].
pub fn answer(
    request: &Request,
    key: &RecoverySecret,
    entries: &[(ContentId, AnyEntry)],
    rng: &mut HedgedRng,
) -> Result<Vec<u8>, BadAnswer> {
    let own = key.public().ok_or(BadAnswer::File(BadBackup::Unsuitable))?;
    let mut plain = Zeroizing::new(Vec::new());
    let mut opened: Vec<(ContentId, PartyIndex, Part)> = Vec::new();
    for (id, entry) in entries {
        if !request.entries.contains(id) {
            return Err(BadAnswer::NotAsked(*id));
        }
        let index = entry.recipients().find(&own).ok_or(BadAnswer::NotARecipient(*id))?;
        entry.verify().map_err(|fault| BadAnswer::Entry(*id, fault))?;
        let part = entry.open_part(index, key).map_err(|fault| BadAnswer::Entry(*id, fault))?;
        opened.push((*id, index, part));
    }
    // Reserved at once, so that no half-grown copy stays in freed memory.
    plain.reserve_exact(4 + opened.iter().map(|(_, _, part)| part_len(part)).sum::<usize>());
    plain.extend_from_slice(&length(opened.len()));
    for (id, index, part) in &opened {
        plain.extend_from_slice(&id.0);
        plain.extend_from_slice(&index.get().to_le_bytes());
        plain.extend_from_slice(&length(part.rows().len()));
        for row in part.rows() {
            plain.push(u8::from(row.is_some()));
            if let Some(row) = row {
                plain.extend_from_slice(&length(row.len()));
                plain.extend_from_slice(row);
            }
        }
    }
    let coins = Zeroizing::new(rng.bytes());
    let (sent, shared) = request.one_time.encapsulate(&coins);
    let from = own.fingerprint();
    let sealed = cipher(request, from, &sent, &shared)
        .encrypt(&Nonce::default(), Payload { msg: &plain, aad: &[] })
        .map_err(|_| BadAnswer::Sealed)?;
    let mut out = Vec::from(ANSWER_MAGIC);
    out.extend_from_slice(&request.digest());
    out.extend_from_slice(&from.0);
    out.extend_from_slice(&*sent);
    out.extend_from_slice(&sealed);
    Ok(out)
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

fn part_len(part: &Part) -> usize {
    32 + 2 + 4 + part.rows().iter().map(|row| 1 + row.as_ref().map_or(0, |row| 4 + row.len())).sum::<usize>()
}

/// BACKUP.15: opens an answer with the secret half of the one-time key.
///
/// # Errors
/// [`BadAnswer`].
pub fn open_answer(request: &Request, one_time: &RecoverySecret, bytes: &[u8]) -> Result<Answer, BadAnswer> {
    let malformed = BadAnswer::File(BadBackup::Malformed);
    if bytes.len() > MAX_LETTER_LEN {
        return Err(BadAnswer::File(BadBackup::TooLong));
    }
    let rest = bytes.strip_prefix(ANSWER_MAGIC.as_slice()).ok_or(BadAnswer::File(BadBackup::Magic))?;
    let (digest, rest) = rest.split_first_chunk::<32>().ok_or_else(|| malformed.clone())?;
    let (from, rest) = rest.split_first_chunk::<16>().ok_or_else(|| malformed.clone())?;
    let (sent, sealed) = rest.split_first_chunk::<ENCAPSULATION_LEN>().ok_or_else(|| malformed.clone())?;
    if *digest != request.digest() {
        return Err(BadAnswer::OtherRequest);
    }
    let from = Fingerprint(*from);
    let shared = one_time.decapsulate(&Box::new(*sent));
    let plain = cipher(request, from, sent, &shared)
        .decrypt(&Nonce::default(), Payload { msg: sealed, aad: &[] })
        .map_err(|_| BadAnswer::Sealed)?;
    let plain = Zeroizing::new(plain);
    let parts = decode_parts(&plain).ok_or(malformed)?;
    Ok(Answer { from, parts })
}

fn decode_parts(plain: &[u8]) -> Option<Vec<(ContentId, Part)>> {
    let mut decoded: Vec<(ContentId, PartyIndex, Rows)> = borsh::from_slice(plain).ok()?;
    let parts = decoded
        .iter_mut()
        .map(|(id, index, rows)| {
            let rows = core::mem::take(rows).into_iter().map(|row| row.map(Zeroizing::new)).collect();
            (*id, Part::new(*index, rows))
        })
        .collect();

    Some(parts)
}

fn cipher(
    request: &Request,
    from: Fingerprint,
    sent: &[u8; ENCAPSULATION_LEN],
    shared: &[u8; 32],
) -> ChaCha20Poly1305 {
    let key = Zeroizing::new(
        Transcript::new(tags::RECOVERY_REQUEST)
            .absorb("answer to", &request.digest())
            .absorb("from", &from.0)
            .absorb("encapsulation", sent)
            .absorb("shared", shared)
            .digest(),
    );
    ChaCha20Poly1305::new((&*key).into())
}

//! Publicly verifiable encryption of scalars to recovery keys. Spec: `spec/14-backup.md`, steps BACKUP.1–BACKUP.9.
//!
//! Each row hides all secrets behind masks `t_j` that follow from one seed, and carries the seed to the recipients. Of most rows the
//! seed is shown, and everybody can make them again; of the others `z_j = t_j + s_j` is shown, which must fit `S_j` and what the
//! row committed to. Which rows stay closed is a hash over all of them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use quorate_protocol::curve::{Curve, Point, Scalar, SecretScalar};
use quorate_protocol::message::encode;
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::transcript::{Transcript, tags};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::challenge::{Parameters, challenge, closed_rows};
use super::recipients::{ENCAPSULATION_LEN, Recipients, RecoverySecret};
use super::row::{self, Letter, Place};
use super::split;
use crate::share::{KeyId, PublicPackage};

/// Most secrets in one encryption.
pub const MAX_SECRETS: usize = 256;

/// The secrets of one party of one key, as everybody can name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject<C: Curve> {
    /// The key.
    pub key_id: KeyId,
    /// Its epoch.
    pub epoch: u64,
    /// Hash of the epoch; binds the ceremony that made it.
    pub epoch_id: [u8; 32],
    /// The party.
    pub index: PartyIndex,
    /// `S` of each of its rows.
    pub public_shares: Vec<Point<C>>,
}

impl<C: Curve> Subject<C> {
    /// The secrets of a party of a package; `None` if it is not in it.
    pub fn of(package: &PublicPackage<C>, index: PartyIndex) -> Option<Self> {
        let public_shares = package.public_shares(index);
        (!public_shares.is_empty()).then(|| Self {
            key_id: package.key_id,
            epoch: package.epoch,
            epoch_id: package.epoch_id(),
            index,
            public_shares,
        })
    }
}

/// What an encryption is about: whose secrets of which epochs, and who can open it.
#[derive(Clone, Debug)]
pub struct Statement<'a, C: Curve> {
    subjects: &'a [Subject<C>],
    recipients: &'a Recipients,
    publics: Vec<Point<C>>,
    digest: [u8; 32],
}

impl<'a, C: Curve> Statement<'a, C> {
    /// BACKUP.1: binds everything that an encryption must not be used without. `None` for no secrets, more than [`MAX_SECRETS`], or the
    /// identity among the public shares.
    pub fn new(subjects: &'a [Subject<C>], recipients: &'a Recipients) -> Option<Self> {
        let publics: Vec<_> = subjects.iter().flat_map(|s| s.public_shares.iter().copied()).collect();
        let fits = (1..=MAX_SECRETS).contains(&publics.len());
        if !fits || publics.iter().any(|p| bool::from(p.is_identity())) {
            return None;
        }
        let mut hash = Transcript::new(tags::BACKUP_STATEMENT);
        hash.absorb("curve", C::ID.name().as_bytes()).absorb("recipients", &recipients.digest()).absorb_all(
            "subjects",
            subjects.iter().map(|s| encode(&(s.key_id, s.epoch, s.epoch_id, s.index, &s.public_shares))),
        );
        let digest = hash.digest();
        Some(Self { subjects, recipients, publics, digest })
    }
    /// Whose secrets.
    pub const fn subjects(&self) -> &'a [Subject<C>] {
        self.subjects
    }
    /// Who can open.
    pub const fn recipients(&self) -> &'a Recipients {
        self.recipients
    }
    /// Hash of all of it.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
    const fn place(&self, row: u16) -> Place<'_> {
        Place { statement: &self.digest, row }
    }
    fn widths(&self) -> impl Iterator<Item = usize> + '_ {
        self.recipients.iter().map(|(index, _)| split::width(self.recipients.access(), index))
    }
}

/// What is wrong with an encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not have the length that statement and parameters give, or holds a scalar above the order.
    Malformed,
    /// The rows do not give the challenge that says which of them are open: it was changed, or is about another statement.
    Challenge,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the encrypted share is not well formed",
            Self::Challenge => "the encrypted share does not belong to the public share, or was changed",
        })
    }
}
impl core::error::Error for Fault {}

/// A row of which the recipients can have the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Closed<C: Curve> {
    row: u16,
    letters: Vec<Letter>,
    /// `z_j = t_j + s_j`
    hidden: Vec<Scalar<C>>,
}

/// An encryption of secrets, not yet checked by whoever decoded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption<C: Curve> {
    parameters: Parameters,
    challenge: [u8; 32],
    /// Seeds of the open rows, in order. Public, and of no use: they hide nothing that is shown.
    open: Vec<Scalar<C>>,
    closed: Vec<Closed<C>>,
}

impl<C: Curve> Encryption<C> {
    /// BACKUP.2–BACKUP.5: encrypts `secrets`, which must be those of the statement, in its order.
    ///
    /// # Errors
    /// `None` if a secret does not belong to its public share, or the recovery structure cannot be shared over.
    pub fn create(
        statement: &Statement<'_, C>,
        secrets: &[&SecretScalar<C>],
        rng: &mut HedgedRng,
    ) -> Option<Self> {
        Self::create_with(Parameters::STANDARD, statement, secrets, rng)
    }

    pub(super) fn create_with(
        parameters: Parameters,
        statement: &Statement<'_, C>,
        secrets: &[&SecretScalar<C>],
        rng: &mut HedgedRng,
    ) -> Option<Self> {
        let fit = secrets.len() == statement.publics.len()
            && secrets.iter().zip(&statement.publics).all(|(s, public)| s.public() == *public);
        if !fit {
            return None;
        }
        // BACKUP.2  a seed for each row. Bound to the statement: were the generator to repeat itself, as after a restored snapshot of a
        // virtual machine, a seed shown in one encryption must not be that of a closed row of another.
        let mut rng = HedgedRng::new(
            Entropy::new(rng.bytes()),
            &row::encode_shares(secrets.iter().copied()),
            &statement.digest,
        );
        let seeds: Vec<SecretScalar<C>> =
            (0..parameters.rows).map(|_| SecretScalar::random(&mut rng)).collect();
        // BACKUP.3  masks and letters follow, and are committed to
        let commitments = (0..).zip(&seeds).map(|(row, seed)| {
            row::recompute(statement.place(row), seed, statement.recipients, statement.publics.len())
        });
        let commitments: Vec<_> = commitments.collect::<Option<_>>()?;
        // BACKUP.4  which rows stay closed
        let challenge = challenge(&statement.digest, parameters, &commitments);
        // BACKUP.5  seeds of the open rows; letters and z_j of the closed ones
        let mut encryption = Self { parameters, challenge, open: Vec::new(), closed: Vec::new() };
        for ((row, seed), closed) in (0..).zip(&seeds).zip(closed_rows(&challenge, parameters)) {
            if !closed {
                encryption.open.push(seed.expose());
                continue;
            }
            let place = statement.place(row);
            let masks = row::masks(place, seed, secrets.len());
            let hidden = masks.iter().zip(secrets).map(|(t, s)| t.expose() + s.expose()).collect();
            let letters = row::letters(place, seed, statement.recipients)?;
            encryption.closed.push(Closed { row, letters, hidden });
        }
        Some(encryption)
    }

    /// BACKUP.6: whether the recipients can have the secrets behind the public shares of the statement, without opening anything.
    ///
    /// # Errors
    /// [`Fault::Challenge`]; whoever made the encryption is to blame, or whoever changed it since.
    pub fn verify(&self, statement: &Statement<'_, C>) -> Result<(), Fault> {
        let closed = closed_rows(&self.challenge, self.parameters);
        let (mut open_rows, mut closed_rows) = (self.open.iter(), self.closed.iter());
        let commitments = (0..).zip(&closed).map(|(row, closed)| {
            let place = statement.place(row);
            if *closed {
                let shown = closed_rows.next().filter(|shown| shown.row == row)?;
                if shown.hidden.len() != statement.publics.len() {
                    return None;
                }
                let masked =
                    shown.hidden.iter().zip(&statement.publics).map(|(z, s)| Point::mul_base(z) - *s);
                row::commitment(place, &shown.letters, masked)
            } else {
                let seed = SecretScalar::new(*open_rows.next()?);
                row::recompute(place, &seed, statement.recipients, statement.publics.len())
            }
        });
        let commitments: Vec<_> = commitments.collect::<Option<_>>().ok_or(Fault::Malformed)?;
        if open_rows.next().is_some() || closed_rows.next().is_some() {
            return Err(Fault::Malformed);
        }
        if challenge(&statement.digest, self.parameters, &commitments) != self.challenge {
            return Err(Fault::Challenge);
        }
        Ok(())
    }

    /// Canonical bytes; their length follows from statement and parameters.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(self.challenge);
        self.open.iter().for_each(|seed| out.extend_from_slice(&seed.to_bytes()));
        for closed in &self.closed {
            for letter in &closed.letters {
                out.extend_from_slice(&*letter.sent);
                out.extend_from_slice(&letter.body);
            }
            closed.hidden.iter().for_each(|z| out.extend_from_slice(&z.to_bytes()));
        }
        out
    }

    /// Bytes of an encryption of this statement.
    pub fn len_for(statement: &Statement<'_, C>) -> usize {
        Self::len_with(Parameters::STANDARD, statement)
    }

    fn len_with(parameters: Parameters, statement: &Statement<'_, C>) -> usize {
        let letters: usize = statement.widths().map(Letter::len).sum();
        let closed = usize::from(parameters.closed);
        let open = usize::from(parameters.rows.saturating_sub(parameters.closed));
        32 + 32 * open + closed * (letters + 32 * statement.publics.len())
    }

    /// Decodes; checks form alone, see [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`Fault::Malformed`].
    pub fn from_bytes(bytes: &[u8], statement: &Statement<'_, C>) -> Result<Self, Fault> {
        Self::from_bytes_with(Parameters::STANDARD, bytes, statement)
    }

    pub(super) fn from_bytes_with(
        parameters: Parameters,
        bytes: &[u8],
        statement: &Statement<'_, C>,
    ) -> Result<Self, Fault> {
        if bytes.len() != Self::len_with(parameters, statement) {
            return Err(Fault::Malformed);
        }
        Self::decode(parameters, bytes, statement).ok_or(Fault::Malformed)
    }

    fn decode(parameters: Parameters, bytes: &[u8], statement: &Statement<'_, C>) -> Option<Self> {
        let mut bytes = bytes;
        let challenge = *take::<32>(&mut bytes)?;
        let mut encryption = Self { parameters, challenge, open: Vec::new(), closed: Vec::new() };
        let closed = closed_rows(&challenge, parameters);
        for _ in closed.iter().filter(|closed| !**closed) {
            encryption.open.push(Scalar::from_bytes(take(&mut bytes)?)?);
        }
        for (row, _) in (0u16..).zip(&closed).filter(|(_, closed)| **closed) {
            let mut letters = Vec::new();
            for width in statement.widths() {
                let sent = Box::new(*take::<ENCAPSULATION_LEN>(&mut bytes)?);
                let (body, rest) = bytes.split_at_checked(Letter::len(width) - ENCAPSULATION_LEN)?;
                bytes = rest;
                letters.push(Letter { sent, body: body.to_vec() });
            }
            let hidden = statement.publics.iter().map(|_| Scalar::from_bytes(take(&mut bytes)?));
            let hidden = hidden.collect::<Option<_>>()?;
            encryption.closed.push(Closed { row, letters, hidden });
        }
        bytes.is_empty().then_some(encryption)
    }

    /// BACKUP.7: a recipient's part of opening. It tries every closed row, whatever fails. Check the encryption first: what is opened of
    /// one that does not verify tells its maker about the recipient's key what the maker chose to ask.
    pub fn open_part(&self, statement: &Statement<'_, C>, index: PartyIndex, key: &RecoverySecret) -> Part {
        let at = usize::from(index.get() - 1);
        let rows = self
            .closed
            .iter()
            .map(|closed| row::open_letter(statement.place(closed.row), index, closed.letters.get(at)?, key));
        Part { index, rows: rows.collect() }
    }

    /// BACKUP.8–BACKUP.9: joins parts into the secrets. Goes on with the next row, and with the next quorum among the parts, until every
    /// secret fits its public share.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn join(&self, statement: &Statement<'_, C>, parts: &[Part]) -> Result<Opened<C>, CannotOpen> {
        let quorums = quorums(statement.recipients, parts)?;
        let mut tried = 0;
        for (at, closed) in self.closed.iter().enumerate() {
            for quorum in &quorums {
                tried += 1;
                let Some(seed) = seed_of(statement, at, quorum, parts) else { continue };
                let place = statement.place(closed.row);
                let masks = row::masks(place, &seed, closed.hidden.len());
                let secrets: Vec<_> = closed
                    .hidden
                    .iter()
                    .zip(&masks)
                    .map(|(z, t)| SecretScalar::new(*z - t.expose()))
                    .collect();
                let fits = secrets
                    .iter()
                    .zip(&statement.publics)
                    .fold(subtle::Choice::from(1), |all, (s, public)| all & s.public().ct_eq(public));
                if bool::from(fits) {
                    let wrong = wrong_parts(statement, place, at, &seed, parts);
                    return Ok(Opened { secrets, wrong, tried });
                }
            }
        }
        Err(CannotOpen::NoRow { tried })
    }

    /// Number of rows that recipients can open.
    pub fn closed_rows(&self) -> usize {
        self.closed.len()
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(head)
}

/// What one recipient opened: its shares of the seed of each closed row. Secret: a qualified set of them gives the secrets.
pub struct Part {
    index: PartyIndex,
    rows: Vec<Option<Zeroizing<Vec<u8>>>>,
}

impl Part {
    /// Takes apart what travelled.
    pub const fn new(index: PartyIndex, rows: Vec<Option<Zeroizing<Vec<u8>>>>) -> Self {
        Self { index, rows }
    }
    /// Whose part.
    pub const fn index(&self) -> PartyIndex {
        self.index
    }
    /// Shares of the seed, row by row, where they could be opened.
    pub fn rows(&self) -> &[Option<Zeroizing<Vec<u8>>>] {
        &self.rows
    }
    /// How many rows could be opened.
    pub fn opened(&self) -> usize {
        self.rows.iter().flatten().count()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Part({} of {} rows, recipient {}, shares withheld)",
            self.opened(),
            self.rows.len(),
            self.index
        )
    }
}

/// What came out.
#[derive(Debug)]
pub struct Opened<C: Curve> {
    /// The secrets, in the order of the statement; each fits its public share.
    pub secrets: Vec<SecretScalar<C>>,
    /// Recipients whose part is not what an honest encryption sent them in the row that gave the secrets: they lied, or it was spoiled for
    /// them, which [`Encryption::verify`] makes very unlikely.
    pub wrong: Vec<PartyIndex>,
    /// Pairs of row and quorum that were tried.
    pub tried: usize,
}

/// Why parts give nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CannotOpen {
    /// The recipients are not enough by the recovery structure.
    Unqualified,
    /// A part is of nobody, or two are of the same recipient.
    Parts,
    /// No row gave the secrets: parts of another encryption, lies, or a spoiled encryption.
    NoRow {
        /// Pairs of row and quorum that were tried.
        tried: usize,
    },
}

impl fmt::Display for CannotOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unqualified => f.write_str("these recovery keys are not enough: collect more answers"),
            Self::Parts => {
                f.write_str("an answer is of no recipient of this backup, or one recipient answered twice")
            }
            Self::NoRow { tried } => {
                write!(
                    f,
                    "no row gave the secret ({tried} tried): an answer is wrong, collect one of another recipient"
                )
            }
        }
    }
}
impl core::error::Error for CannotOpen {}

/// Every minimal quorum among those who answered.
fn quorums(recipients: &Recipients, parts: &[Part]) -> Result<Vec<Vec<PartyIndex>>, CannotOpen> {
    let mut present: Vec<_> = parts.iter().map(Part::index).collect();
    present.sort_unstable();
    let distinct = present.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    let known = present.iter().all(|i| recipients.access().parties().contains(i));
    if !distinct || !known {
        return Err(CannotOpen::Parts);
    }
    // At most 16 recipients: 65,536 sets of a few steps each.
    let sets = (1u32..1 << present.len()).map(|set| {
        present.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, i)| *i).collect::<Vec<_>>()
    });
    let quorums: Vec<_> = sets.filter(|set| recipients.access().is_minimal_quorum(set)).collect();
    if quorums.is_empty() { Err(CannotOpen::Unqualified) } else { Ok(quorums) }
}

fn seed_of<C: Curve>(
    statement: &Statement<'_, C>,
    at: usize,
    quorum: &[PartyIndex],
    parts: &[Part],
) -> Option<SecretScalar<C>> {
    let mut sum = Zeroizing::new(Scalar::<C>::ZERO());
    for index in quorum {
        let bytes = parts.iter().find(|part| part.index == *index)?.rows.get(at)?.as_ref()?;
        let coefficients = split::coefficients::<C>(statement.recipients.access(), quorum, *index)?;
        if bytes.len() != 32 * coefficients.len() {
            return None;
        }
        for (bytes, coefficient) in bytes.chunks_exact(32).zip(coefficients) {
            let share = SecretScalar::new(Scalar::from_bytes(bytes.try_into().ok()?)?);
            *sum += coefficient * share.expose();
        }
    }
    Some(SecretScalar::new(*sum))
}

fn wrong_parts<C: Curve>(
    statement: &Statement<'_, C>,
    place: Place<'_>,
    at: usize,
    seed: &SecretScalar<C>,
    parts: &[Part],
) -> Vec<PartyIndex> {
    let Some(shares) = row::shares(place, seed, statement.recipients) else { return Vec::new() };
    let right = |part: &Part| {
        let expected = shares.get(usize::from(part.index.get() - 1))?;
        let given = part.rows.get(at)?.as_ref()?;
        Some(bool::from(row::encode_shares(expected).ct_eq(given)))
    };
    parts.iter().filter(|part| right(part) != Some(true)).map(Part::index).collect()
}

#[cfg(test)]
mod tests;

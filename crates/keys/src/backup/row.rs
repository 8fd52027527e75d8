//! One row: everything in it is a function of the statement, its number and its seed (BACKUP.2–BACKUP.3).

use alloc::boxed::Box;
use alloc::vec::Vec;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use quorate_protocol::curve::{Curve, Point, Scalar, SecretScalar, WIDE_LEN};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::transcript::{Tag, Transcript, tags};
use zeroize::Zeroizing;

use super::recipients::{ENCAPSULATION_LEN, Recipients, RecoverySecret};
use super::split;

/// Bytes of the authentication tag (RFC 8439).
const TAG_LEN: usize = 16;

/// Where a row stands: all that its hashes are bound to beside the seed.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) statement: &'a [u8; 32],
    pub(super) row: u16,
}

impl Place<'_> {
    fn hash(&self, tag: Tag) -> Transcript {
        let mut hash = Transcript::new(tag);
        hash.absorb("statement", self.statement).absorb_u64("row", u64::from(self.row));
        hash
    }
    fn of_seed<C: Curve>(&self, purpose: &'static str, seed: &SecretScalar<C>) -> Transcript {
        let mut hash = self.hash(tags::BACKUP_ROW);
        hash.absorb("purpose", purpose.as_bytes()).absorb("seed", &*Zeroizing::new(seed.expose().to_bytes()));
        hash
    }
}

/// What one recipient gets of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// Encapsulation of the key.
    pub(super) sent: Box<[u8; ENCAPSULATION_LEN]>,
    /// The recipient's shares of the seed, sealed under the key.
    pub(super) body: Vec<u8>,
}

impl Letter {
    /// Bytes of a letter with that many scalars.
    pub(super) const fn len(width: usize) -> usize {
        ENCAPSULATION_LEN + 32 * width + TAG_LEN
    }
}

/// `t_1 … t_m`, which hide the secrets in this row.
pub(super) fn masks<C: Curve>(
    place: Place<'_>,
    seed: &SecretScalar<C>,
    count: usize,
) -> Vec<SecretScalar<C>> {
    let mut stream = place.of_seed("masks", seed).xof();
    (0..count)
        .map(|_| {
            let mut wide = Zeroizing::new([0u8; WIDE_LEN]);
            stream.fill(&mut *wide);
            SecretScalar::new(Scalar::from_wide(&wide))
        })
        .collect()
}

/// The shares of the seed for each recipient.
pub(super) fn shares<C: Curve>(
    place: Place<'_>,
    seed: &SecretScalar<C>,
    recipients: &Recipients,
) -> Option<Vec<Vec<SecretScalar<C>>>> {
    let mut entropy = [0u8; 32];
    place.of_seed("shares", seed).xof().fill(&mut entropy);
    let mut rng = HedgedRng::new(Entropy::new(entropy), &[], b"backup row");
    zeroize::Zeroize::zeroize(&mut entropy);
    split::split(recipients.access(), seed, &mut rng)
}

/// The letters to all recipients.
pub(super) fn letters<C: Curve>(
    place: Place<'_>,
    seed: &SecretScalar<C>,
    recipients: &Recipients,
) -> Option<Vec<Letter>> {
    let shares = shares(place, seed, recipients)?;
    let mut stream = place.of_seed("coins", seed).xof();
    let sealed = recipients.iter().zip(&shares).map(|((index, recipient), shares)| {
        let mut coins = Zeroizing::new([0u8; 64]);
        stream.fill(&mut *coins);
        let (sent, shared) = recipient.key.encapsulate(&coins);
        let body = cipher(place, index, &sent, &shared)
            .encrypt(&Nonce::default(), Payload { msg: &encode_shares(shares), aad: &[] })
            .ok()?;
        Some(Letter { sent, body })
    });
    let letters: Vec<_> = sealed.collect::<Option<_>>()?;
    (letters.len() == recipients.members().len()).then_some(letters)
}

/// Opens a letter; `None` if it was not sealed for this key, place and recipient.
pub(super) fn open_letter(
    place: Place<'_>,
    index: PartyIndex,
    letter: &Letter,
    key: &RecoverySecret,
) -> Option<Zeroizing<Vec<u8>>> {
    let shared = key.decapsulate(&letter.sent);
    cipher(place, index, &letter.sent, &shared)
        .decrypt(&Nonce::default(), Payload { msg: &letter.body, aad: &[] })
        .ok()
        .map(Zeroizing::new)
}

/// The key of a letter is used for that letter alone, so the nonce is constant. It depends on statement, row, recipient and the whole
/// encapsulation: a letter means nothing in any other place.
fn cipher(
    place: Place<'_>,
    index: PartyIndex,
    sent: &[u8; ENCAPSULATION_LEN],
    shared: &[u8; 32],
) -> ChaCha20Poly1305 {
    let key = Zeroizing::new(
        place
            .hash(tags::BACKUP_SEAL)
            .absorb_u64("recipient", u64::from(index.get()))
            .absorb("encapsulation", sent)
            .absorb("shared", shared)
            .digest(),
    );
    ChaCha20Poly1305::new((&*key).into())
}

/// Shares as bytes, in a buffer that does not grow.
pub(super) fn encode_shares<'a, C: Curve>(
    shares: impl IntoIterator<Item = &'a SecretScalar<C>, IntoIter: ExactSizeIterator>,
) -> Zeroizing<Vec<u8>> {
    let shares = shares.into_iter();
    let mut bytes = Zeroizing::new(Vec::with_capacity(shares.len() * 32));
    for share in shares {
        bytes.extend_from_slice(&*Zeroizing::new(share.expose().to_bytes()));
    }
    bytes
}

/// What the row commits to: the letters and `T_j = t_j·G`. `None` if one of them is the identity.
pub(super) fn commitment<C: Curve>(
    place: Place<'_>,
    letters: &[Letter],
    masked: impl ExactSizeIterator<Item = Point<C>>,
) -> Option<[u8; 32]> {
    let points = masked.map(|t| (!bool::from(t.is_identity())).then(|| t.to_bytes()));
    let points: Vec<_> = points.collect::<Option<_>>()?;
    let mut hash = place.hash(tags::BACKUP_COMMIT);
    hash.absorb_all("masks", points.iter());
    for letter in letters {
        hash.absorb("encapsulation", &*letter.sent).absorb("body", &letter.body);
    }
    Some(hash.digest())
}

/// The commitment of an open row, made again from its seed.
pub(super) fn recompute<C: Curve>(
    place: Place<'_>,
    seed: &SecretScalar<C>,
    recipients: &Recipients,
    count: usize,
) -> Option<[u8; 32]> {
    let letters = letters(place, seed, recipients)?;
    let masks = masks(place, seed, count);
    commitment(place, &letters, masks.iter().map(SecretScalar::public))
}

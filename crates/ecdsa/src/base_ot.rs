//! Endemic oblivious transfer (Masny and Rindal, 2019/706) over the signing curve. Spec: `spec/20-base-ot.md`, steps OT.1–OT.7.
//!
//! The receiver (later the sender of the multiplication) gets one of two keys in each of 128 instances; its choices are the
//! complement of Δ.

use alloc::vec::Vec;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use quorate_protocol::{
    curve::{Curve, CurveId, EcdsaCurve, Point, Scalar, SecretScalar},
    rng::HedgedRng,
    transcript::{Transcript, tags},
};
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, Zeroizing};

use crate::ot_setup::SetupFault;
use crate::suite::{Block, COLUMNS};

/// Bytes of a compressed point of both curves.
pub(crate) const POINT_LEN: usize = 33;

type Encoded = [u8; POINT_LEN];

/// Two points and their encodings.
struct Pair<C: Curve> {
    points: [Point<C>; 2],
    encoded: [Encoded; 2],
}

/// 128 pairs of valid points, none of them the identity: (r_0, r_1) one way, (B_0, B_1) the other.
pub struct PointPairs<C: Curve>(Vec<Pair<C>>);

impl<C: EcdsaCurve> PointPairs<C> {
    /// Bytes on the wire.
    pub const LEN: usize = COLUMNS * 2 * POINT_LEN;

    /// The encodings, pair after pair.
    pub(crate) fn encodings(&self) -> impl Iterator<Item = &Encoded> {
        self.0.iter().flat_map(|pair| pair.encoded.iter())
    }
}

impl<C: Curve> fmt::Debug for PointPairs<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PointPairs<{}>(..)", C::ID)
    }
}

impl<C: EcdsaCurve> BorshSerialize for PointPairs<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.encodings().try_for_each(|point| writer.write_all(point))
    }
}

impl<C: EcdsaCurve> BorshDeserialize for PointPairs<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let pairs = (0..COLUMNS).map(|_| {
            let mut encoded = [[0; POINT_LEN]; 2];
            reader.read_exact(encoded.as_flattened_mut())?;
            let [e0, e1] = &encoded;
            Ok(Pair { points: [decode(e0)?, decode(e1)?], encoded })
        });
        pairs.collect::<IoResult<Vec<_>>>().map(Self)
    }
}

#[cfg(test)]
impl<C: Curve> Pair<C> {
    fn new(points: [Point<C>; 2]) -> Self {
        let encoded = [encode(&points[0]), encode(&points[1])];
        Self { points, encoded }
    }
}

/// A valid point in its one compressed form: the hashes take the bytes of the wire, so there must be no second form (SEC 1 tags 2 and 3).
fn decode<C: Curve>(bytes: &Encoded) -> IoResult<Point<C>> {
    let [tag, ..] = bytes;
    let point = if matches!(tag, 2 | 3) { Point::from_bytes(bytes) } else { None };
    point.ok_or_else(|| Error::new(ErrorKind::InvalidData, "not a compressed point of the curve"))
}

#[cfg(test)]
fn encode<C: Curve>(point: &Point<C>) -> Encoded {
    C::point_to_bytes(point.raw())
}

/// Domain of the point oracle. The suite is part of it.
const fn point_oracle_tag(curve: CurveId) -> &'static [u8] {
    match curve {
        CurveId::Secp256k1 => b"quorate v1 suite 1|ot-point|secp256k1",
        CurveId::P256 => b"quorate v1 suite 1|ot-point|P-256",
        CurveId::Ed25519 => b"quorate v1 suite 1|ot-point|edwards25519",
    }
}

/// OT.2 H_p(ot_id, i, c, r_{1-c}) for each (i, c, r_{1-c}): points whose discrete logarithms nobody knows. All fields have fixed lengths.
fn point_oracles<C: Curve>(ot_id: &[u8; 32], inputs: &[([u8; 2], Encoded)]) -> Vec<Point<C>> {
    let parts: Vec<[&[u8]; 3]> = inputs.iter().map(|(place, other)| [&ot_id[..], place, other]).collect();
    let messages: Vec<&[&[u8]]> = parts.iter().map(|parts| &parts[..]).collect();
    Point::hash_all(point_oracle_tag(C::ID), &messages)
}

/// OT.5 H_k: the key of one choice in one instance.
fn key(
    curve: CurveId,
    ot_id: &[u8; 32],
    index: u8,
    choice: u8,
    r: &[Encoded; 2],
    b: &Encoded,
    shared: &Encoded,
) -> Block {
    let mut transcript = Transcript::new(tags::BASE_OT_KEY);
    transcript
        .absorb("curve", curve.name().as_bytes())
        .absorb("ot id", ot_id)
        .absorb("index", &[index])
        .absorb("choice", &[choice])
        .absorb("r_0", &r[0])
        .absorb("r_1", &r[1])
        .absorb("B_c", b)
        .absorb("shared", shared);
    let mut key = [0; 16];
    transcript.xof().fill(&mut key);
    key
}

fn select_bytes(a: &Encoded, b: &Encoded, choice: Choice) -> Encoded {
    let mut out = *a;
    for (o, b) in out.iter_mut().zip(b) {
        o.conditional_assign(b, choice);
    }
    out
}

/// One secret choice of the receiver.
struct Secret<C: Curve> {
    choice: Choice,
    a: Scalar<C>,
    r: [Encoded; 2],
}

impl<C: Curve> Drop for Secret<C> {
    fn drop(&mut self) {
        self.choice = Choice::from(0);
        self.a.zeroize();
    }
}

/// The receiver between its message and the answer. Zeroised on drop.
pub(crate) struct Receiver<C: Curve>(Vec<Secret<C>>);

/// What the receiver learns: its choices, and the key of each.
pub(crate) type ReceivedKeys = Zeroizing<Vec<(u8, Block)>>;

/// What the sender learns: both keys of every instance.
pub(crate) type SentKeys = Zeroizing<Vec<[Block; 2]>>;

impl<C: EcdsaCurve> Receiver<C> {
    const _POINT_LEN: () = assert!(C::POINT_LEN == POINT_LEN);

    /// OT.1–OT.3.
    pub(crate) fn start(ot_id: &[u8; 32], rng: &mut HedgedRng) -> (Self, PointPairs<C>) {
        let () = Self::_POINT_LEN;
        let choices = Zeroizing::new(rng.bytes::<{ COLUMNS / 8 }>());
        // OT.1 The choice bits, and the points of the other branches: their logarithms help nobody, because H_p shifts them.
        let mut secrets = Vec::with_capacity(COLUMNS);
        let mut others = Vec::with_capacity(COLUMNS);
        for index in 0..INSTANCES {
            let bits = choices.get(usize::from(index / 8)).copied().unwrap_or_default();
            let choice = Choice::from((bits >> (index % 8)) & 1);
            let a = Scalar::random(rng);
            let other_secret = SecretScalar::random(rng);
            others.push(other_secret.public());
            secrets.push(Secret { choice, a, r: [[0; POINT_LEN]; 2] });
        }
        let others_encoded = Point::encode_all(&others);
        // OT.2, OT.3 r_c = a·G − H_p(ot_id, i, c, r_{1-c}). Nothing branches on c.
        let inputs: Zeroizing<Vec<_>> = Zeroizing::new(
            (0..INSTANCES)
                .zip(&secrets)
                .zip(&others_encoded)
                .map(|((index, secret), other)| ([index, secret.choice.unwrap_u8()], *other))
                .collect(),
        );
        let hashes = point_oracles::<C>(ot_id, &inputs);
        let mut chosen: Vec<Point<C>> =
            secrets.iter().zip(&hashes).map(|(secret, hash)| Point::mul_base(&secret.a) - *hash).collect();
        let chosen_encoded = Point::encode_all(&chosen);
        let all = secrets
            .iter_mut()
            .zip(others.iter().zip(&others_encoded))
            .zip(chosen.iter().zip(&chosen_encoded));
        let pairs = all
            .map(|((secret, (other, other_encoded)), (chosen, chosen_encoded))| {
                let choice = secret.choice;
                let points = [
                    Point::conditional_select(chosen, other, choice),
                    Point::conditional_select(other, chosen, choice),
                ];
                let encoded = [
                    select_bytes(chosen_encoded, other_encoded, choice),
                    select_bytes(other_encoded, chosen_encoded, choice),
                ];
                secret.r = encoded;
                Pair { points, encoded }
            })
            .collect();
        // Which of the two a point was is the choice.
        chosen.iter_mut().chain(&mut others).for_each(Zeroize::zeroize);
        (Self(secrets), PointPairs(pairs))
    }

    /// OT.6, OT.7 The chosen key of every instance. The codec has refused invalid points in *both* places of every pair, so
    /// a failure says nothing about a choice.
    pub(crate) fn finish(self, ot_id: &[u8; 32], b: &PointPairs<C>) -> ReceivedKeys {
        let mut shared: Vec<Point<C>> = self
            .0
            .iter()
            .zip(&b.0)
            .map(|(secret, Pair { points: [b0, b1], .. })| {
                Point::conditional_select(b0, b1, secret.choice) * secret.a
            })
            .collect();
        let encoded = Zeroizing::new(Point::encode_all(&shared));
        shared.iter_mut().for_each(Zeroize::zeroize);
        let all = (0u8..).zip(&self.0).zip(&b.0).zip(encoded.iter());
        let keys = all.map(|(((index, secret), Pair { encoded: [e0, e1], .. }), shared)| {
            let b_c = select_bytes(e0, e1, secret.choice);
            let choice = secret.choice.unwrap_u8();
            (choice, key(C::ID, ot_id, index, choice, &secret.r, &b_c, shared))
        });
        let mut out = Zeroizing::new(Vec::with_capacity(COLUMNS));
        out.extend(keys);
        out
    }
}

const INSTANCES: u8 = 128;
const _: () = assert!(COLUMNS == 128);

/// OT.4, OT.5: answers the receiver's points.
///
/// # Errors
/// [`SetupFault::RepeatedPoint`] and [`SetupFault::IdentityPoint`] blame the receiver towards us; nobody else can verify it.
pub(crate) fn send<C: EcdsaCurve>(
    ot_id: &[u8; 32],
    r: &PointPairs<C>,
    rng: &mut HedgedRng,
) -> Result<(SentKeys, PointPairs<C>), SetupFault> {
    // OT.4 The points are public, so an early exit says nothing.
    if r.0.iter().any(|Pair { encoded: [e0, e1], .. }| e0 == e1) {
        return Err(SetupFault::RepeatedPoint);
    }
    let b: Vec<SecretScalar<C>> = (0..2 * COLUMNS).map(|_| SecretScalar::random(rng)).collect();
    let publics: Vec<Point<C>> = b.iter().map(SecretScalar::public).collect();
    let encoded = Point::encode_all(&publics);
    let pairs: Vec<Pair<C>> = publics
        .as_chunks::<2>()
        .0
        .iter()
        .zip(encoded.as_chunks::<2>().0)
        .map(|(points, encoded)| Pair { points: *points, encoded: *encoded })
        .collect();
    // OT.5 M_c = r_c + H_p(ot_id, i, c, r_{1-c}); key_c = H_k(…, b_c·M_c)
    let inputs: Vec<_> = (0u8..)
        .zip(&r.0)
        .flat_map(|(index, Pair { encoded: [e0, e1], .. })| [([index, 0], *e1), ([index, 1], *e0)])
        .collect();
    let hashes = point_oracles::<C>(ot_id, &inputs);
    let mut shared = Vec::with_capacity(2 * COLUMNS);
    for ((r_c, hash), b) in r.0.iter().flat_map(|pair| &pair.points).zip(hashes).zip(&b) {
        let m = *r_c + hash;
        if bool::from(m.is_identity()) {
            return Err(SetupFault::IdentityPoint);
        }
        shared.push(m * b.expose());
    }
    let shared_encoded = Zeroizing::new(Point::encode_all(&shared));
    shared.iter_mut().for_each(Zeroize::zeroize);
    let mut keys = Zeroizing::new(Vec::with_capacity(COLUMNS));
    let all = (0u8..).zip(&r.0).zip(&pairs).zip(shared_encoded.as_chunks::<2>().0);
    keys.extend(all.map(|(((index, r), Pair { encoded: [b0, b1], .. }), [s0, s1])| {
        [(0, b0, s0), (1, b1, s1)]
            .map(|(choice, b_c, shared)| key(C::ID, ot_id, index, choice, &r.encoded, b_c, shared))
    }));
    Ok((keys, PointPairs(pairs)))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;

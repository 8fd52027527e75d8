//! Pairwise OT set-up: base OT and all-but-one trees in two messages. Spec: `spec/20-base-ot.md`.
//!
//! | step | who | call |
//! |---|---|---|
//! | O1 | A, later *sender* of the multiplication, ends with Δ | [`ReceiverStart::new`] |
//! | O2 | B, later *receiver* of the multiplication, ends with all leaves | [`sender_respond`] |
//! | finish | A | [`ReceiverStart::finish`] |
//! | confirm | both | [`confirm_digest`], compared in a broadcast |
//!
//! One set-up serves one ordered pair of parties in one epoch; its `ot_id` must name the pair, the direction, the epoch and the
//! generation, and must never be used twice.

use alloc::{sync::Arc, vec::Vec};
use borsh::io::{Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use core::{fmt, marker::PhantomData};
use quorate_protocol::{
    curve::{EcdsaCurve, Scalar, WIDE_LEN},
    rng::HedgedRng,
    transcript::{Transcript, tags},
};
use zeroize::Zeroizing;

pub use crate::base_ot::PointPairs;
use crate::base_ot::{self, Receiver};
use crate::pprf::{self, TreeProof};
use crate::residue::{Modulus, Residue};
use crate::suite::{Block, LEAVES, TRANSFERS, TREES};

/// Why a set-up was refused. Every case blames the other party of the pair, provably to nobody else; the attempt is dropped and a
/// new one needs new randomness on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupFault {
    /// OT.4: the two points of one instance are equal.
    RepeatedPoint,
    /// OT.5: a point combines with its hash to the identity.
    IdentityPoint,
    /// PPRF.7: the proof of a tree does not fit its leaves.
    LeafProof,
}

impl fmt::Display for SetupFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RepeatedPoint => "the peer sent the same point twice in one base OT; run the set-up again",
            Self::IdentityPoint => "the peer's point cancels its hash; run the set-up again",
            Self::LeafProof => "the peer's leaves do not fit its proof; run the set-up again",
        })
    }
}
impl core::error::Error for SetupFault {}

/// O1: 128 × (r_0, r_1), from A to B.
pub type Request<C> = PointPairs<C>;

/// O2: 128 × (B_0, B_1) and the proof of every tree, from B to A.
pub struct Response<C: EcdsaCurve> {
    points: PointPairs<C>,
    trees: Vec<TreeProof>,
}

impl<C: EcdsaCurve> Response<C> {
    /// Bytes on the wire.
    pub const MAX_LEN: usize = PointPairs::<C>::LEN + TREES * TreeProof::LEN;
}

impl<C: EcdsaCurve> PointPairs<C> {
    /// Bytes on the wire.
    pub const MAX_LEN: usize = Self::LEN;
}

impl<C: EcdsaCurve> fmt::Debug for Response<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response<{}>(..)", C::ID)
    }
}

impl<C: EcdsaCurve> BorshSerialize for Response<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.points.serialize(writer)?;
        self.trees.iter().try_for_each(|tree| tree.serialize(writer))
    }
}

impl<C: EcdsaCurve> BorshDeserialize for Response<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let points = PointPairs::deserialize_reader(reader)?;
        let trees =
            (0..TREES).map(|_| TreeProof::deserialize_reader(reader)).collect::<IoResult<Vec<_>>>()?;
        Ok(Self { points, trees })
    }
}

/// Public vector g of the multiplication, one per instance (RVOLE.1), and the order it is used with.
#[derive(Clone)]
pub(crate) struct Gadget {
    pub(crate) modulus: Modulus,
    /// g_j·2^256 mod q
    pub(crate) montgomery: Arc<[Residue]>,
}

impl Gadget {
    fn of<C: EcdsaCurve>(ot_id: &[u8; 32]) -> Self {
        let modulus = Modulus::of::<C>();
        let montgomery =
            gadget_scalars::<C>(ot_id).map(|g| modulus.montgomery(&g)).collect::<Vec<_>>().into();
        Self { modulus, montgomery }
    }
}

pub(crate) fn gadget_scalars<C: EcdsaCurve>(ot_id: &[u8; 32]) -> impl Iterator<Item = Scalar<C>> {
    let mut transcript = Transcript::new(tags::RVOLE_GADGET);
    transcript.absorb("curve", C::ID.name().as_bytes()).absorb("ot id", ot_id);
    let mut xof = transcript.xof();
    (0..TRANSFERS).map(move |_| {
        let mut wide = [0; WIDE_LEN];
        xof.fill(&mut wide);
        Scalar::from_wide(&wide)
    })
}

/// What B holds: all 512 leaves. With them it acts as *receiver* of multiplications.
///
/// Long-lived secret of the epoch, part of the sealed share; zeroised on drop. Whoever has it learns nothing of Δ, but sees
/// through every choice that B makes with it.
pub struct AllLeaves<C: EcdsaCurve> {
    pub(crate) ot_id: [u8; 32],
    pub(crate) leaves: Zeroizing<Vec<Block>>,
    pub(crate) gadget: Gadget,
    curve: PhantomData<C>,
}

/// What A holds: Δ and the 480 leaves that are not at Δ. With them it acts as *sender* of multiplications.
///
/// Long-lived secret of the epoch, part of the sealed share; zeroised on drop. Each failed OT check may tell its prover bits of Δ:
/// after the first one this value must not be used again.
pub struct PuncturedLeaves<C: EcdsaCurve> {
    pub(crate) ot_id: [u8; 32],
    /// Δ_i, the nibble of tree i
    pub(crate) delta: Zeroizing<[u8; TREES]>,
    /// Leaves at y ⊕ Δ_i = 1 … 15 of tree 0, of tree 1, …
    pub(crate) leaves: Zeroizing<Vec<Block>>,
    pub(crate) gadget: Gadget,
    curve: PhantomData<C>,
}

impl<C: EcdsaCurve> fmt::Debug for AllLeaves<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AllLeaves(..)")
    }
}
impl<C: EcdsaCurve> fmt::Debug for PuncturedLeaves<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PuncturedLeaves(..)")
    }
}

/// Splits fixed-length fields off an encoding.
fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = bytes.split_first_chunk()?;
    *bytes = tail;
    Some(head)
}

fn blocks(mut bytes: &[u8], count: usize) -> Option<Zeroizing<Vec<Block>>> {
    if bytes.len() != count * 16 {
        return None;
    }
    let mut out = Zeroizing::new(Vec::with_capacity(count));
    while let Some(block) = take(&mut bytes) {
        out.push(*block);
    }
    Some(out)
}

impl<C: EcdsaCurve> AllLeaves<C> {
    /// Length of [`Self::to_secret_bytes`].
    pub const SECRET_LEN: usize = 32 + TREES * LEAVES * 16;

    fn new(ot_id: &[u8; 32], leaves: Zeroizing<Vec<Block>>) -> Self {
        Self { ot_id: *ot_id, leaves, gadget: Gadget::of::<C>(ot_id), curve: PhantomData }
    }
    /// The instance that these leaves belong to.
    pub fn ot_id(&self) -> &[u8; 32] {
        &self.ot_id
    }
    /// Canonical encoding for the sealed share: `ot_id`, then the leaves.
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(Self::SECRET_LEN));
        out.extend_from_slice(&self.ot_id);
        out.extend_from_slice(self.leaves.as_flattened());
        out
    }
    /// Decodes [`Self::to_secret_bytes`]; `None` if the length is wrong. Derives the public gadget vector anew.
    pub fn from_secret_bytes(mut bytes: &[u8]) -> Option<Self> {
        let ot_id = take(&mut bytes)?;
        Some(Self::new(ot_id, blocks(bytes, TREES * LEAVES)?))
    }
}

impl<C: EcdsaCurve> PuncturedLeaves<C> {
    /// Length of [`Self::to_secret_bytes`].
    pub const SECRET_LEN: usize = 32 + TREES / 2 + TREES * (LEAVES - 1) * 16;

    fn new(ot_id: &[u8; 32], delta: Zeroizing<[u8; TREES]>, leaves: Zeroizing<Vec<Block>>) -> Self {
        Self { ot_id: *ot_id, delta, leaves, gadget: Gadget::of::<C>(ot_id), curve: PhantomData }
    }
    /// The instance that these leaves belong to.
    pub fn ot_id(&self) -> &[u8; 32] {
        &self.ot_id
    }
    /// Δ as a number: nibble i in bits 4·i to 4·i + 3. The caller zeroises it.
    pub(crate) fn delta_bits(&self) -> Zeroizing<u128> {
        Zeroizing::new(self.delta.iter().rev().fold(0, |bits, nibble| (bits << 4) | u128::from(*nibble)))
    }
    /// Canonical encoding for the sealed share: `ot_id`, Δ in 16 bytes little-endian, then the leaves.
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(Self::SECRET_LEN));
        out.extend_from_slice(&self.ot_id);
        out.extend_from_slice(&*Zeroizing::new(self.delta_bits().to_le_bytes()));
        out.extend_from_slice(self.leaves.as_flattened());
        out
    }
    /// Decodes [`Self::to_secret_bytes`]; `None` if the length is wrong. Derives the public gadget vector anew.
    pub fn from_secret_bytes(mut bytes: &[u8]) -> Option<Self> {
        let ot_id = take(&mut bytes)?;
        let packed: &[u8; TREES / 2] = take(&mut bytes)?;
        let mut delta = Zeroizing::new([0; TREES]);
        for (pair, byte) in delta.chunks_exact_mut(2).zip(packed) {
            for (nibble, value) in pair.iter_mut().zip([byte & 0x0f, byte >> 4]) {
                *nibble = value;
            }
        }
        Some(Self::new(ot_id, delta, blocks(bytes, TREES * (LEAVES - 1))?))
    }
}

/// A between O1 and O2. Secret, zeroised on drop, used once.
pub struct ReceiverStart<C: EcdsaCurve> {
    ot_id: [u8; 32],
    receiver: Receiver<C>,
}

impl<C: EcdsaCurve> fmt::Debug for ReceiverStart<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiverStart(..)")
    }
}

impl<C: EcdsaCurve> ReceiverStart<C> {
    /// A's first step (OT.1–OT.3): draws Δ and makes O1.
    pub fn new(ot_id: &[u8; 32], rng: &mut HedgedRng) -> (Self, Request<C>) {
        let (receiver, request) = Receiver::start(ot_id, rng);
        (Self { ot_id: *ot_id, receiver }, request)
    }

    /// A's last step (OT.6, OT.7, PPRF.6, PPRF.7): recovers its leaves and checks B's proofs.
    ///
    /// # Errors
    /// [`SetupFault::LeafProof`] blames B. A cheating B can make the outcome depend on a few bits of Δ that it guessed, so a
    /// refused set-up is dropped with its Δ.
    pub fn finish(self, response: &Response<C>) -> Result<PuncturedLeaves<C>, SetupFault> {
        let keys = self.receiver.finish(&self.ot_id, &response.points);
        let punctured = pprf::recover(&self.ot_id, &keys, &response.trees)?;
        Ok(PuncturedLeaves::new(&self.ot_id, punctured.delta, punctured.leaves))
    }
}

/// B's only step (OT.4, OT.5, PPRF.1–PPRF.5): answers O1 with O2.
///
/// # Errors
/// [`SetupFault::RepeatedPoint`] and [`SetupFault::IdentityPoint`] blame A.
pub fn sender_respond<C: EcdsaCurve>(
    ot_id: &[u8; 32],
    request: &Request<C>,
    rng: &mut HedgedRng,
) -> Result<(AllLeaves<C>, Response<C>), SetupFault> {
    let (keys, points) = base_ot::send(ot_id, request, rng)?;
    let (leaves, trees) = pprf::build(ot_id, &keys);
    Ok((AllLeaves::new(ot_id, leaves), Response { points, trees }))
}

/// Digest over both messages of one set-up, for the comparison of both views (O3). Public.
pub fn confirm_digest<C: EcdsaCurve>(
    ot_id: &[u8; 32],
    request: &Request<C>,
    response: &Response<C>,
) -> [u8; 32] {
    let request: Vec<_> = request.encodings().copied().collect();
    confirm_digest_of_bytes(ot_id, request.as_flattened(), response)
}

/// The same of the encoded request, for A, who made it and need not decode it.
pub(crate) fn confirm_digest_of_bytes<C: EcdsaCurve>(
    ot_id: &[u8; 32],
    request: &[u8],
    response: &Response<C>,
) -> [u8; 32] {
    let mut transcript = Transcript::new(tags::OT_CONFIRM);
    transcript.absorb("curve", C::ID.name().as_bytes()).absorb("ot id", ot_id);
    let (request, _) = request.as_chunks::<{ base_ot::POINT_LEN }>();
    for point in request.iter().chain(response.points.encodings()) {
        transcript.absorb("point", point);
    }
    for tree in &response.trees {
        transcript.absorb("sums", tree.sums.as_flattened().as_flattened());
        transcript.absorb("digest", &tree.digest).absorb("sum", &tree.sum);
    }
    transcript.digest()
}

/// Leaves and Δ as an ideal set-up would deal them.
#[cfg(test)]
pub(crate) fn ideal_pair<C: EcdsaCurve>(
    ot_id: &[u8; 32],
    delta: [u8; TREES],
    rng: &mut HedgedRng,
) -> (AllLeaves<C>, PuncturedLeaves<C>) {
    let all: Vec<Block> = (0..TREES * LEAVES).map(|_| rng.bytes()).collect();
    let known = (0..TREES).flat_map(|tree| (1..LEAVES).map(move |z| (tree, z)));
    let known = known.map(|(tree, z)| all[LEAVES * tree + (z ^ usize::from(delta[tree]))]).collect();
    let punctured = PuncturedLeaves::new(ot_id, Zeroizing::new(delta), Zeroizing::new(known));
    (AllLeaves::new(ot_id, Zeroizing::new(all)), punctured)
}

#[cfg(test)]
mod tests;

//! Random vector OLE (DKLs23, 2023/765, Protocol 5.2) with two inputs and one check column. Spec: `spec/22-rvole.md`, steps
//! RVOLE.1–RVOLE.10.
//!
//! | step | who | call |
//! |---|---|---|
//! | message 1 | receiver (Bob), ends with χ and d_u, d_v | [`RvoleReceiver::start`] |
//! | OT check | sender (Alice), ends with c_u, c_v | [`RvoleSender::receive`] |
//! | message 2 | sender | [`RvoleSender::respond`] |
//! | finish | receiver | [`RvoleReceiver::finish`] |
//!
//! c_k + d_k = input_k · χ, for each of the multiplications (*items*) that the two messages carry.

use alloc::vec::Vec;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use core::{fmt, marker::PhantomData};
use quorate_protocol::{
    curve::{EcdsaCurve, Scalar, WIDE_LEN},
    rng::HedgedRng,
    transcript::{Transcript, tags},
};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use crate::ot_setup::{AllLeaves, Gadget, PuncturedLeaves};
use crate::residue::{EMPTY, Modulus, Residue, add_product, from_scalar, masked, to_bytes, to_scalar};
pub use crate::softspoken::Extension as RvoleMsg1;
use crate::softspoken::{ChoiceBits, Rows, Transfers, extend_receiver, extend_sender, read_or_end};
use crate::suite::{HASH_BATCH, MAX_ITEMS, Pads, RowHash, STATISTICAL, TRANSFERS, absorb_item};

/// l: inputs of the sender.
const INPUTS: usize = 2;
/// l + ρ: the inputs and one check column.
const LANES: usize = INPUTS + 1;

/// One party's shares of both products of each item.
pub type Products<C> = Zeroizing<Vec<[Scalar<C>; INPUTS]>>;

/// One value per lane.
type Lanes = [Residue; LANES];

/// Compile-time rules on a curve's pads (test plan A6): 32 bytes only where the order is within 2^-100 of a power of two.
const fn pad_len_is_unbiased(curve: quorate_protocol::curve::CurveId, pad_len: usize) -> bool {
    use quorate_protocol::curve::CurveId;
    match curve {
        CurveId::Secp256k1 => pad_len == 32 || pad_len == WIDE_LEN,
        CurveId::P256 | CurveId::Ed25519 => pad_len == WIDE_LEN && 8 * pad_len >= 256 + STATISTICAL,
    }
}

/// Why a multiplication was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RvoleFault {
    /// OTE.7, at the sender: message 1 is inconsistent. Blames the pair. The verdict may have told the peer bits of the *long-lived*
    /// Δ: the instance is burned, durably, before any answer leaves.
    OtCheck,
    /// RVOLE.10, at the receiver: message 2 was made with inconsistent inputs. Blames the pair. The verdict may have told the peer
    /// bits of this session's choices, which are not used again.
    Consistency,
}

impl fmt::Display for RvoleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtCheck => {
                "the peer's OT extension is inconsistent; stop using the OT instance of this pair"
            }
            Self::Consistency => "the peer multiplied with inconsistent inputs; stop signing with this peer",
        })
    }
}
impl core::error::Error for RvoleFault {}

/// Message 2, from the sender to the receiver. Its length tells how many items it has.
pub struct RvoleMsg2<C: EcdsaCurve> {
    pub(crate) nonce_s: [u8; 16],
    pub(crate) items: Vec<Matrix<C>>,
    /// μ, over all items
    pub(crate) mu: [u8; 32],
}

/// What message 2 says of one multiplication.
pub(crate) struct Matrix<C: EcdsaCurve> {
    /// a~, decoded
    rows: Vec<Lanes>,
    /// a~, as on the wire
    encoded: Vec<u8>,
    eta: Scalar<C>,
}

const MATRIX_LEN: usize = TRANSFERS * LANES * 32;

impl<C: EcdsaCurve> Matrix<C> {
    /// Bytes on the wire.
    pub(crate) const LEN: usize = MATRIX_LEN + 32;
}

impl<C: EcdsaCurve> RvoleMsg2<C> {
    /// Bytes on the wire for a number of items.
    pub const fn len(items: usize) -> usize {
        16 + items * (MATRIX_LEN + 32) + 32
    }
}

impl<C: EcdsaCurve> fmt::Debug for RvoleMsg2<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RvoleMsg2<{}>(..)", C::ID)
    }
}

impl<C: EcdsaCurve> BorshSerialize for Matrix<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        writer.write_all(&self.encoded)?;
        self.eta.serialize(writer)
    }
}

impl<C: EcdsaCurve> BorshDeserialize for Matrix<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let mut encoded = alloc::vec![0; MATRIX_LEN];
        reader.read_exact(&mut encoded)?;
        let modulus = Modulus::of::<C>();
        let (scalars, _) = encoded.as_chunks::<32>();
        let (scalars, _) = scalars.as_chunks::<LANES>();
        let mut rows = Vec::with_capacity(TRANSFERS);
        for [u, v, w] in scalars {
            let row = (modulus.read(u), modulus.read(v), modulus.read(w));
            let (Some(u), Some(v), Some(w)) = row else {
                return Err(Error::new(ErrorKind::InvalidData, "scalar is not below the group order"));
            };
            rows.push([u, v, w]);
        }
        Ok(Self { rows, encoded, eta: Scalar::deserialize_reader(reader)? })
    }
}

/// Writes message 2 with something of each item's own before its matrix: the first item between nonce and μ, the others after it.
pub(crate) fn write_items<'a, C: EcdsaCurve, W: Write, T: BorshSerialize + 'a>(
    message: &RvoleMsg2<C>,
    heads: impl Iterator<Item = &'a T>,
    writer: &mut W,
) -> IoResult<()> {
    for (item, (head, matrix)) in heads.zip(&message.items).enumerate() {
        head.serialize(writer)?;
        if item == 0 {
            writer.write_all(&message.nonce_s)?;
        }
        matrix.serialize(writer)?;
        if item == 0 {
            writer.write_all(&message.mu)?;
        }
    }
    Ok(())
}

/// Reads what [`write_items`] writes, to the end of the input. `head_len` is the encoded length of a head.
pub(crate) fn read_items<C: EcdsaCurve, R: Read, T: BorshDeserialize>(
    reader: &mut R,
    head_len: usize,
) -> IoResult<(Vec<T>, RvoleMsg2<C>)> {
    let mut heads = Vec::from([T::deserialize_reader(reader)?]);
    let nonce_s = BorshDeserialize::deserialize_reader(reader)?;
    let mut items = Vec::from([Matrix::deserialize_reader(reader)?]);
    let mu = BorshDeserialize::deserialize_reader(reader)?;
    let mut buffer = alloc::vec![0; head_len + Matrix::<C>::LEN];
    while items.len() < MAX_ITEMS && read_or_end(reader, &mut buffer)? {
        let mut rest = &*buffer;
        heads.push(T::deserialize_reader(&mut rest)?);
        items.push(Matrix::deserialize_reader(&mut rest)?);
    }
    Ok((heads, RvoleMsg2 { nonce_s, items, mu }))
}

impl<C: EcdsaCurve> BorshSerialize for RvoleMsg2<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        write_items(self, core::iter::repeat(&()), writer)
    }
}

impl<C: EcdsaCurve> BorshDeserialize for RvoleMsg2<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        read_items::<C, R, ()>(reader, 0).map(|(_, message)| message)
    }
}

/// The names that every hash of one multiplication binds.
struct Session {
    ot_id: [u8; 32],
    sid: [u8; 32],
    nonce_r: [u8; 16],
}

impl Session {
    fn row_hash<C: EcdsaCurve>(&self, nonce_s: &[u8; 16], item: usize) -> RowHash {
        const { assert!(pad_len_is_unbiased(C::ID, C::PAD_LEN), "the pads of this curve would be biased") };
        RowHash::new(&self.ot_id, &self.sid, &self.nonce_r, nonce_s, item, LANES * C::PAD_LEN)
    }

    fn transcript(&self, tag: quorate_protocol::transcript::Tag, nonce_s: &[u8; 16]) -> Transcript {
        let mut transcript = Transcript::new(tag);
        transcript
            .absorb("ot id", &self.ot_id)
            .absorb("sid", &self.sid)
            .absorb("receiver nonce", &self.nonce_r)
            .absorb("sender nonce", nonce_s);
        transcript
    }

    /// RVOLE.5 θ_u, θ_v: weights of the inputs in the check column.
    fn theta<C: EcdsaCurve>(&self, nonce_s: &[u8; 16], item: usize, encoded: &[u8]) -> [Scalar<C>; INPUTS] {
        let mut transcript = self.transcript(tags::RVOLE_THETA, nonce_s);
        transcript.absorb("curve", C::ID.name().as_bytes()).absorb("a~", encoded);
        absorb_item(&mut transcript, item);
        let mut xof = transcript.xof();
        let mut wide = [0; WIDE_LEN];
        core::array::from_fn(|_| {
            xof.fill(&mut wide);
            Scalar::from_wide(&wide)
        })
    }

    /// RVOLE.6 μ, which absorbs the encodings of μ_1 … μ_ξ of each item.
    fn mu(&self, nonce_s: &[u8; 16]) -> Transcript {
        self.transcript(tags::RVOLE_MU, nonce_s)
    }
}

/// RVOLE.3 The scalars of one row's pad: what `Scalar::from_pad` gives for each lane.
#[inline(always)]
fn lanes<C: EcdsaCurve>(modulus: &Modulus, pad: &[u8]) -> Lanes {
    let mut pads = pad.chunks_exact(C::PAD_LEN);
    core::array::from_fn(|_| {
        let pad = pads.next().unwrap_or_default();
        if C::PAD_LEN == WIDE_LEN { modulus.pad::<true>(pad) } else { modulus.pad::<false>(pad) }
    })
}

/// The receiver between its message and the answer. Secret, zeroised on drop, used once.
pub struct RvoleReceiver<C: EcdsaCurve> {
    session: Session,
    /// β and t_j of each item
    items: Vec<Transfers>,
    chi: Zeroizing<Vec<Scalar<C>>>,
    gadget: Gadget,
}

impl<C: EcdsaCurve> fmt::Debug for RvoleReceiver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RvoleReceiver(..)")
    }
}

/// β_j for j = 0, 1, … as masks.
fn masks(choices: &ChoiceBits) -> impl Iterator<Item = u64> + '_ {
    let bytes = choices.iter().flat_map(|word| word.to_le_bytes());
    bytes.flat_map(|byte| {
        (0..8).map(move |i| u64::conditional_select(&0, &u64::MAX, Choice::from((byte >> i) & 1)))
    })
}

impl<C: EcdsaCurve> RvoleReceiver<C> {
    /// RVOLE.1, RVOLE.2: fresh choices β, χ = ⟨g, β⟩ for each of `count` multiplications, and message 1.
    ///
    /// `sid` names the signing session; the caller guarantees that it is never used twice with one instance.
    pub fn start(
        leaves: &AllLeaves<C>,
        sid: &[u8; 32],
        count: usize,
        rng: &mut HedgedRng,
    ) -> (Self, RvoleMsg1) {
        let (received, message) = extend_receiver(leaves, sid, count, rng);
        let Gadget { modulus, montgomery } = &leaves.gadget;
        let mut chi = Zeroizing::new(Vec::with_capacity(count));
        for item in &received.items {
            let mut sum = EMPTY;
            for (g, beta) in montgomery.iter().zip(masks(&item.choices)) {
                add_product(&mut sum, &masked(g, beta), &[1, 0, 0, 0]);
            }
            chi.push(to_scalar(&modulus.reduce(&sum)));
            sum.zeroize();
        }
        let session = Session { ot_id: leaves.ot_id, sid: *sid, nonce_r: received.nonce_r };
        (Self { session, items: received.items, chi, gadget: leaves.gadget.clone() }, message)
    }

    /// Makes every choice 0, for the test of times. What is computed then fits nothing.
    #[cfg(test)]
    pub(crate) fn clear_choices(&mut self) {
        self.items.iter_mut().for_each(|item| *item.choices = Default::default());
    }

    /// χ of each multiplication, the receiver's random factors. Secret.
    pub fn chi(&self) -> &[Scalar<C>] {
        &self.chi
    }

    /// RVOLE.7–RVOLE.10: d_u, d_v with c_k + d_k = input_k · χ, for each multiplication.
    ///
    /// # Errors
    /// [`RvoleFault::Consistency`] blames the sender; see there for what must follow. Its message has as many items as ours, or it is
    /// refused like this too: the caller looks at that before.
    pub fn finish(self, message: &RvoleMsg2<C>) -> Result<Products<C>, RvoleFault> {
        let RvoleMsg2 { nonce_s, items, mu } = message;
        let mut expected = self.session.mu(nonce_s);
        let mut d = Zeroizing::new(Vec::with_capacity(items.len()));
        for (item, (transfers, matrix)) in self.items.iter().zip(items).enumerate() {
            d.push(self.finish_item(item, transfers, matrix, nonce_s, &mut expected));
        }
        // RVOLE.10 one verdict for all items
        if items.len() != self.items.len() {
            return Err(RvoleFault::Consistency);
        }
        verdict(&expected.digest(), mu)?;
        Ok(d)
    }

    fn finish_item(
        &self,
        item: usize,
        Transfers { choices, rows }: &Transfers,
        Matrix { rows: masked_rows, encoded, eta }: &Matrix<C>,
        nonce_s: &[u8; 16],
        mu: &mut Transcript,
    ) -> [Scalar<C>; INPUTS] {
        let Gadget { modulus, montgomery } = &self.gadget;
        let theta = self.session.theta::<C>(nonce_s, item, encoded);
        let [theta_u, theta_v] = theta.map(|theta| modulus.montgomery(&theta));
        let eta = from_scalar(eta);
        let hash = self.session.row_hash::<C>(nonce_s, item);
        let mut pads = Pads::new();
        let mut checks = Vec::with_capacity(TRANSFERS);
        let (mut sum_u, mut sum_v) = (EMPTY, EMPTY);
        let mut inputs = masked_rows.iter().zip(masks(choices)).zip(montgomery.iter());
        for (batch, rows) in (0u64..).zip(rows.chunks(HASH_BATCH)) {
            let pads = hash.pads(batch * FIRST_STEP, rows, 0, &mut pads);
            for (pad, (([a_u, a_v, a_w], beta), g)) in pads.chunks_exact(LANES * C::PAD_LEN).zip(&mut inputs)
            {
                // RVOLE.7 γ_j = pad + β_j·a~_j
                let [pad_u, pad_v, pad_w] = lanes::<C>(modulus, pad);
                let gamma_u = modulus.add(&pad_u, &masked(a_u, beta));
                let gamma_v = modulus.add(&pad_v, &masked(a_v, beta));
                let gamma_w = modulus.add(&pad_w, &masked(a_w, beta));
                // RVOLE.8 d_k = Σ_j g_j·γ_{j,k}
                add_product(&mut sum_u, g, &gamma_u);
                add_product(&mut sum_v, g, &gamma_v);
                // RVOLE.9 μ_j = γ_{j,w} + θ_u·γ_{j,u} + θ_v·γ_{j,v} − β_j·η
                let weighted = weighted(modulus, [(&theta_u, &gamma_u), (&theta_v, &gamma_v)]);
                let check = modulus.sub(&modulus.add(&gamma_w, &weighted), &masked(&eta, beta));
                checks.push(to_bytes(&check));
            }
        }
        mu.absorb("mu", checks.as_flattened());
        let d = [&sum_u, &sum_v].map(|sum| to_scalar(&modulus.reduce_long(sum)));
        sum_u.zeroize();
        sum_v.zeroize();
        d
    }
}

/// The end of RVOLE.10: μ against the one that was told. Apart for the same reason as that of the OT check.
///
/// # Errors
/// [`RvoleFault::Consistency`] if they differ.
pub(crate) fn verdict(expected: &[u8; 32], told: &[u8; 32]) -> Result<(), RvoleFault> {
    if bool::from(expected.ct_eq(told)) { Ok(()) } else { Err(RvoleFault::Consistency) }
}

/// θ_u·x + θ_v·y, one reduction for both.
#[inline(always)]
fn weighted(modulus: &Modulus, terms: [(&Residue, &Residue); INPUTS]) -> Residue {
    let mut sum = EMPTY;
    for (theta, value) in terms {
        add_product(&mut sum, theta, value);
    }
    modulus.reduce(&sum)
}

/// Rows of one batch, as a row number.
const FIRST_STEP: u64 = 64;
const _: () = assert!(HASH_BATCH == 64);

/// The sender after the OT check of message 1 has passed. Secret, zeroised on drop, used once.
pub struct RvoleSender<C: EcdsaCurve> {
    session: Session,
    /// Δ
    delta: Zeroizing<u128>,
    /// q_j of each item
    items: Vec<Rows>,
    gadget: Gadget,
    curve: PhantomData<C>,
}

impl<C: EcdsaCurve> fmt::Debug for RvoleSender<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RvoleSender(..)")
    }
}

impl<C: EcdsaCurve> RvoleSender<C> {
    /// OTE.6–OTE.8: the OT check, before anything is computed from a secret input.
    ///
    /// The caller holds the lock of the instance, and has made sure that it is not burned.
    ///
    /// # Errors
    /// [`RvoleFault::OtCheck`]; see there for what must follow, and in which order.
    pub fn receive(
        leaves: &PuncturedLeaves<C>,
        sid: &[u8; 32],
        message: &RvoleMsg1,
    ) -> Result<Self, RvoleFault> {
        let items = extend_sender(leaves, sid, message).map_err(|_| RvoleFault::OtCheck)?;
        let session = Session { ot_id: leaves.ot_id, sid: *sid, nonce_r: message.nonce_r };
        Ok(Self {
            session,
            delta: leaves.delta_bits(),
            items,
            gadget: leaves.gadget.clone(),
            curve: PhantomData,
        })
    }

    /// RVOLE.3–RVOLE.6: c_u, c_v of each multiplication, and message 2. There is one pair of inputs for each item of message 1.
    pub fn respond(self, inputs: &[[Scalar<C>; INPUTS]], rng: &mut HedgedRng) -> (Products<C>, RvoleMsg2<C>) {
        // RVOLE.3 â, the input of the check column, anew for each item.
        let lanes = |[u, v]: &[Scalar<C>; INPUTS]| [*u, *v, Scalar::random(rng)].map(|a| from_scalar(&a));
        let lanes: Zeroizing<Vec<Lanes>> = Zeroizing::new(inputs.iter().map(lanes).collect());
        self.respond_with(&lanes, |_, _, lanes| *lanes, rng.bytes())
    }

    /// The sender's arithmetic. An honest sender uses the same inputs in every row of an item and in its η; the tests do not.
    fn respond_with(
        self,
        inputs: &[Lanes],
        inputs_of_row: impl Fn(usize, usize, &Lanes) -> Lanes,
        nonce_s: [u8; 16],
    ) -> (Products<C>, RvoleMsg2<C>) {
        let mut mu = self.session.mu(&nonce_s);
        let mut c = Zeroizing::new(Vec::with_capacity(inputs.len()));
        let mut items = Vec::with_capacity(inputs.len());
        for (item, (rows, inputs)) in self.items.iter().zip(inputs).enumerate() {
            let of_row = |row| inputs_of_row(item, row, inputs);
            let (shares, matrix) = self.respond_item(item, rows, inputs, of_row, &nonce_s, &mut mu);
            c.push(shares);
            items.push(matrix);
        }
        (c, RvoleMsg2 { nonce_s, items, mu: mu.digest() })
    }

    fn respond_item(
        &self,
        item: usize,
        rows: &Rows,
        inputs: &Lanes,
        inputs_of_row: impl Fn(usize) -> Lanes,
        nonce_s: &[u8; 16],
        mu: &mut Transcript,
    ) -> ([Scalar<C>; INPUTS], Matrix<C>) {
        let Gadget { modulus, montgomery } = &self.gadget;
        let hash = self.session.row_hash::<C>(nonce_s, item);
        let (mut pads_0, mut pads_1) = (Pads::new(), Pads::new());
        let mut alpha = Zeroizing::new(Vec::with_capacity(TRANSFERS));
        let mut masked = Vec::with_capacity(TRANSFERS);
        let mut encoded = Vec::with_capacity(MATRIX_LEN);
        let (mut sum_u, mut sum_v) = (EMPTY, EMPTY);
        let mut gadget = montgomery.iter().enumerate();
        for (batch, rows) in (0u64..).zip(rows.chunks(HASH_BATCH)) {
            // RVOLE.3 α_{j,0} from q_j, α_{j,1} from q_j ⊕ Δ.
            let pads_0 = hash.pads(batch * FIRST_STEP, rows, 0, &mut pads_0);
            let pads_1 = hash.pads(batch * FIRST_STEP, rows, *self.delta, &mut pads_1);
            let pads = pads_0.chunks_exact(LANES * C::PAD_LEN).zip(pads_1.chunks_exact(LANES * C::PAD_LEN));
            for ((pad_0, pad_1), (j, g)) in pads.zip(&mut gadget) {
                let alpha_0 = lanes::<C>(modulus, pad_0);
                let alpha_1 = lanes::<C>(modulus, pad_1);
                // RVOLE.4 a~_{j,k} = α_{j,0,k} − α_{j,1,k} + a_k
                let mut row = inputs_of_row(j);
                for ((a, alpha_0), alpha_1) in row.iter_mut().zip(&alpha_0).zip(&alpha_1) {
                    *a = modulus.add(&modulus.sub(alpha_0, alpha_1), a);
                    encoded.extend_from_slice(&to_bytes(a));
                }
                masked.push(row);
                // RVOLE.4 −c_k = Σ_j g_j·α_{j,0,k}
                let [alpha_u, alpha_v, _] = &alpha_0;
                add_product(&mut sum_u, g, alpha_u);
                add_product(&mut sum_v, g, alpha_v);
                alpha.push(alpha_0);
            }
        }
        let c = [&sum_u, &sum_v].map(|sum| -to_scalar(&modulus.reduce_long(sum)));
        sum_u.zeroize();
        sum_v.zeroize();

        // RVOLE.5 η = â + θ_u·a_u + θ_v·a_v
        let theta = self.session.theta::<C>(nonce_s, item, &encoded);
        let [theta_u, theta_v] = theta.map(|theta| modulus.montgomery(&theta));
        let [u, v, w] = inputs;
        let eta = to_scalar(&modulus.add(w, &weighted(modulus, [(&theta_u, u), (&theta_v, v)])));

        // RVOLE.6 μ_j = α_{j,0,w} + θ_u·α_{j,0,u} + θ_v·α_{j,0,v}
        let mut checks = Vec::with_capacity(TRANSFERS);
        for [alpha_u, alpha_v, alpha_w] in alpha.iter() {
            let weighted = weighted(modulus, [(&theta_u, alpha_u), (&theta_v, alpha_v)]);
            checks.push(to_bytes(&modulus.add(alpha_w, &weighted)));
        }
        mu.absorb("mu", checks.as_flattened());
        (c, Matrix { rows: masked, encoded, eta })
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;

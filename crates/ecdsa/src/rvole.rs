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
//! c_k + d_k = input_k · χ.

use alloc::vec::Vec;
use borsh::io::{Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use quorate_protocol::{
    curve::{EcdsaCurve, Scalar, WIDE_LEN},
    rng::HedgedRng,
    transcript::{Transcript, tags},
};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use crate::ot_setup::{AllLeaves, Gadget, PuncturedLeaves};
pub use crate::softspoken::Extension as RvoleMsg1;
use crate::softspoken::{ChoiceBits, Rows, extend_receiver, extend_sender};
use crate::suite::{HASH_BATCH, Pads, RowHash, STATISTICAL, TRANSFERS};

/// l: inputs of the sender.
const INPUTS: usize = 2;
/// l + ρ: the inputs and one check column.
const LANES: usize = INPUTS + 1;

type Lanes<C> = [Scalar<C>; LANES];

/// Compile-time rules on a curve's pads (test plan A6): 32 bytes only where the order is within 2^-100 of a power of two.
const fn pad_len_is_unbiased(curve: quorate_protocol::curve::CurveId, pad_len: usize) -> bool {
    use quorate_protocol::curve::CurveId;
    match curve {
        CurveId::Secp256k1 => pad_len >= 32,
        CurveId::P256 | CurveId::Ed25519 => 8 * pad_len >= 256 + STATISTICAL,
    }
}

/// Why a multiplication was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RvoleFault {
    /// OTE.7, at the sender: message 1 is inconsistent. Blames the pair. The verdict may have told the peer bits of the *long-lived*
    /// Δ: the instance is burned, durably, before any answer leaves.
    OtCheck,
    /// RVOLE.9, at the receiver: message 2 was made with inconsistent inputs. Blames the pair. The verdict may have told the peer
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

/// Message 2, from the sender to the receiver.
pub struct RvoleMsg2<C: EcdsaCurve> {
    nonce_s: [u8; 16],
    /// a~, decoded
    rows: Vec<Lanes<C>>,
    /// a~, as on the wire
    encoded: Vec<u8>,
    eta: Scalar<C>,
    mu: [u8; 32],
}

const MATRIX_LEN: usize = TRANSFERS * LANES * 32;

impl<C: EcdsaCurve> RvoleMsg2<C> {
    /// Bytes on the wire.
    pub const MAX_LEN: usize = 16 + MATRIX_LEN + 32 + 32;
}

impl<C: EcdsaCurve> fmt::Debug for RvoleMsg2<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RvoleMsg2<{}>(..)", C::ID)
    }
}

impl<C: EcdsaCurve> BorshSerialize for RvoleMsg2<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        writer.write_all(&self.nonce_s)?;
        writer.write_all(&self.encoded)?;
        self.eta.serialize(writer)?;
        writer.write_all(&self.mu)
    }
}

impl<C: EcdsaCurve> BorshDeserialize for RvoleMsg2<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let nonce_s = BorshDeserialize::deserialize_reader(reader)?;
        let mut encoded = alloc::vec![0; MATRIX_LEN];
        reader.read_exact(&mut encoded)?;
        let mut matrix = encoded.as_slice();
        let mut rows = Vec::with_capacity(TRANSFERS);
        for _ in 0..TRANSFERS {
            rows.push([
                Scalar::deserialize_reader(&mut matrix)?,
                Scalar::deserialize_reader(&mut matrix)?,
                Scalar::deserialize_reader(&mut matrix)?,
            ]);
        }
        let eta = Scalar::deserialize_reader(reader)?;
        let mu = BorshDeserialize::deserialize_reader(reader)?;
        Ok(Self { nonce_s, rows, encoded, eta, mu })
    }
}

/// The names that every hash of one multiplication binds.
struct Session {
    ot_id: [u8; 32],
    sid: [u8; 32],
    nonce_r: [u8; 16],
}

impl Session {
    fn row_hash<C: EcdsaCurve>(&self, nonce_s: &[u8; 16]) -> RowHash {
        const { assert!(pad_len_is_unbiased(C::ID, C::PAD_LEN), "the pads of this curve would be biased") };
        RowHash::new(&self.ot_id, &self.sid, &self.nonce_r, nonce_s, LANES * C::PAD_LEN)
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
    fn theta<C: EcdsaCurve>(&self, nonce_s: &[u8; 16], encoded: &[u8]) -> [Scalar<C>; INPUTS] {
        let mut transcript = self.transcript(tags::RVOLE_THETA, nonce_s);
        transcript.absorb("curve", C::ID.name().as_bytes()).absorb("a~", encoded);
        let mut xof = transcript.xof();
        let mut wide = [0; WIDE_LEN];
        core::array::from_fn(|_| {
            xof.fill(&mut wide);
            Scalar::from_wide(&wide)
        })
    }

    /// RVOLE.6 μ over the encodings of μ_1 … μ_ξ.
    fn mu(&self, nonce_s: &[u8; 16], rows: &[u8]) -> [u8; 32] {
        self.transcript(tags::RVOLE_MU, nonce_s).absorb("mu", rows).digest()
    }
}

/// RVOLE.3 The scalars of one row's pad.
fn lanes<C: EcdsaCurve>(pad: &[u8]) -> Lanes<C> {
    let mut scalars = pad.chunks_exact(C::PAD_LEN).map(Scalar::from_pad);
    core::array::from_fn(|_| scalars.next().unwrap_or_default())
}

/// The receiver between its message and the answer. Secret, zeroised on drop, used once.
pub struct RvoleReceiver<C: EcdsaCurve> {
    session: Session,
    /// β
    choices: ChoiceBits,
    rows: Rows,
    chi: Scalar<C>,
    gadget: Gadget<C>,
}

impl<C: EcdsaCurve> Drop for RvoleReceiver<C> {
    fn drop(&mut self) {
        self.chi.zeroize();
    }
}

impl<C: EcdsaCurve> fmt::Debug for RvoleReceiver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RvoleReceiver(..)")
    }
}

/// β_j for j = 0, 1, …
fn bits(choices: &ChoiceBits) -> impl Iterator<Item = Choice> + '_ {
    choices
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .flat_map(|byte| (0..8).map(move |i| Choice::from((byte >> i) & 1)))
}

fn if_set<C: EcdsaCurve>(choice: Choice, value: &Scalar<C>) -> Scalar<C> {
    Scalar::conditional_select(&Scalar::ZERO(), value, choice)
}

impl<C: EcdsaCurve> RvoleReceiver<C> {
    /// RVOLE.1, RVOLE.2: fresh choices β, χ = ⟨g, β⟩, and message 1.
    ///
    /// `sid` names the signing session; the caller guarantees that it is never used twice with one instance.
    pub fn start(leaves: &AllLeaves<C>, sid: &[u8; 32], rng: &mut HedgedRng) -> (Self, RvoleMsg1) {
        let (received, message) = extend_receiver(leaves, sid, rng);
        let chi = leaves.gadget.iter().zip(bits(&received.choices)).map(|(g, beta)| if_set(beta, g)).sum();
        let session = Session { ot_id: leaves.ot_id, sid: *sid, nonce_r: received.nonce_r };
        let receiver = Self {
            session,
            choices: received.choices,
            rows: received.rows,
            chi,
            gadget: leaves.gadget.clone(),
        };
        (receiver, message)
    }

    /// χ, the receiver's random factor. Secret.
    pub fn chi(&self) -> Scalar<C> {
        self.chi
    }

    /// RVOLE.7–RVOLE.10: d_u, d_v with c_k + d_k = input_k · χ.
    ///
    /// # Errors
    /// [`RvoleFault::Consistency`] blames the sender; see there for what must follow.
    pub fn finish(self, message: &RvoleMsg2<C>) -> Result<[Scalar<C>; INPUTS], RvoleFault> {
        let RvoleMsg2 { nonce_s, rows: masked, encoded, eta, mu } = message;
        let [theta_u, theta_v] = self.session.theta::<C>(nonce_s, encoded);
        let hash = self.session.row_hash::<C>(nonce_s);
        let mut pads = Pads::new();
        let mut checks = Vec::with_capacity(TRANSFERS * 32);
        let mut d = [Scalar::ZERO(); INPUTS];
        let mut inputs = masked.iter().zip(bits(&self.choices)).zip(self.gadget.iter());
        for (batch, rows) in (0u64..).zip(self.rows.chunks(HASH_BATCH)) {
            let pads = hash.pads(batch * FIRST_STEP, rows, 0, &mut pads);
            for (pad, ((masked, beta), g)) in pads.chunks_exact(LANES * C::PAD_LEN).zip(&mut inputs) {
                // RVOLE.7 γ_j = pad + β_j·a~_j
                let [pad_u, pad_v, pad_w] = lanes::<C>(pad);
                let [a_u, a_v, a_w] = masked;
                let gamma_u = pad_u + if_set(beta, a_u);
                let gamma_v = pad_v + if_set(beta, a_v);
                let gamma_w = pad_w + if_set(beta, a_w);
                // RVOLE.8 d_k = Σ_j g_j·γ_{j,k}
                let [d_u, d_v] = &mut d;
                *d_u += *g * gamma_u;
                *d_v += *g * gamma_v;
                // RVOLE.9 μ_j = γ_{j,w} + θ_u·γ_{j,u} + θ_v·γ_{j,v} − β_j·η
                let check = gamma_w + theta_u * gamma_u + theta_v * gamma_v - if_set(beta, eta);
                checks.extend_from_slice(&check.to_bytes());
            }
        }
        let expected = self.session.mu(nonce_s, &checks);
        checks.zeroize();
        // RVOLE.10
        if bool::from(expected.ct_eq(mu)) {
            Ok(d)
        } else {
            d.zeroize();
            Err(RvoleFault::Consistency)
        }
    }
}

/// Rows of one batch, as a row number.
const FIRST_STEP: u64 = 64;
const _: () = assert!(HASH_BATCH == 64);

/// The sender after the OT check of message 1 has passed. Secret, zeroised on drop, used once.
pub struct RvoleSender<C: EcdsaCurve> {
    session: Session,
    /// Δ
    delta: Zeroizing<u128>,
    /// q_j
    rows: Rows,
    gadget: Gadget<C>,
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
        let rows = extend_sender(leaves, sid, message).map_err(|_| RvoleFault::OtCheck)?;
        let session = Session { ot_id: leaves.ot_id, sid: *sid, nonce_r: message.nonce_r };
        Ok(Self { session, delta: leaves.delta_bits(), rows, gadget: leaves.gadget.clone() })
    }

    /// RVOLE.3–RVOLE.6: c_u, c_v and message 2.
    pub fn respond(
        self,
        inputs: [Scalar<C>; INPUTS],
        rng: &mut HedgedRng,
    ) -> ([Scalar<C>; INPUTS], RvoleMsg2<C>) {
        // RVOLE.3 â, the input of the check column.
        let [u, v] = inputs;
        let mut lanes = [u, v, Scalar::random(rng)];
        let out = self.respond_with(&lanes, |_| lanes, rng.bytes());
        lanes.zeroize();
        out
    }

    /// The sender's arithmetic. An honest sender uses the same inputs in every row and in η; the tests do not.
    fn respond_with(
        self,
        inputs: &Lanes<C>,
        inputs_of_row: impl Fn(usize) -> Lanes<C>,
        nonce_s: [u8; 16],
    ) -> ([Scalar<C>; INPUTS], RvoleMsg2<C>) {
        let hash = self.session.row_hash::<C>(&nonce_s);
        let (mut pads_0, mut pads_1) = (Pads::new(), Pads::new());
        let mut alpha = Zeroizing::new(Vec::with_capacity(TRANSFERS));
        let mut masked = Vec::with_capacity(TRANSFERS);
        let mut encoded = Vec::with_capacity(MATRIX_LEN);
        let mut c = [Scalar::ZERO(); INPUTS];
        let mut gadget = self.gadget.iter().enumerate();
        for (batch, rows) in (0u64..).zip(self.rows.chunks(HASH_BATCH)) {
            // RVOLE.3 α_{j,0} from q_j, α_{j,1} from q_j ⊕ Δ.
            let pads_0 = hash.pads(batch * FIRST_STEP, rows, 0, &mut pads_0);
            let pads_1 = hash.pads(batch * FIRST_STEP, rows, *self.delta, &mut pads_1);
            let pads = pads_0.chunks_exact(LANES * C::PAD_LEN).zip(pads_1.chunks_exact(LANES * C::PAD_LEN));
            for ((pad_0, pad_1), (j, g)) in pads.zip(&mut gadget) {
                let alpha_0 = lanes::<C>(pad_0);
                let alpha_1 = lanes::<C>(pad_1);
                // RVOLE.4 a~_{j,k} = α_{j,0,k} − α_{j,1,k} + a_k
                let [u, v, w] = inputs_of_row(j);
                let row =
                    [alpha_0[0] - alpha_1[0] + u, alpha_0[1] - alpha_1[1] + v, alpha_0[2] - alpha_1[2] + w];
                for scalar in &row {
                    encoded.extend_from_slice(&scalar.to_bytes());
                }
                masked.push(row);
                // RVOLE.4 c_k = −Σ_j g_j·α_{j,0,k}
                let [c_u, c_v] = &mut c;
                *c_u += *g * alpha_0[0];
                *c_v += *g * alpha_0[1];
                alpha.push(alpha_0);
            }
        }

        // RVOLE.5 η = â + θ_u·a_u + θ_v·a_v
        let [theta_u, theta_v] = self.session.theta::<C>(&nonce_s, &encoded);
        let [u, v, w] = *inputs;
        let eta = w + theta_u * u + theta_v * v;

        // RVOLE.6 μ_j = α_{j,0,w} + θ_u·α_{j,0,u} + θ_v·α_{j,0,v}
        let mut checks = Vec::with_capacity(TRANSFERS * 32);
        for [alpha_u, alpha_v, alpha_w] in alpha.iter() {
            let check = *alpha_w + theta_u * *alpha_u + theta_v * *alpha_v;
            checks.extend_from_slice(&check.to_bytes());
        }
        let mu = self.session.mu(&nonce_s, &checks);
        checks.zeroize();
        (c.map(|c| -c), RvoleMsg2 { nonce_s, rows: masked, encoded, eta, mu })
    }
}

#[cfg(test)]
mod tests;

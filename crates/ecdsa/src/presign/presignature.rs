//! One presignature: what is public of it, what is secret, and its encoding for a sealer.

use alloc::vec::Vec;
use borsh::BorshDeserialize;
use core::fmt;
use quorate_protocol::curve::{CurveId, EcdsaCurve, Point, Scalar, SecretScalar};
use quorate_protocol::message::encode;
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::SessionId;
use quorate_protocol::transcript::{Transcript, tags};
use quorate_protocol::wire_struct;
use zeroize::Zeroizing;

use super::{Mode, Verified};
use crate::key::ShownKey;
use crate::shown::Shown;

/// Version of the encoding at rest.
const FORMAT: u8 = 1;

/// Where a presignature comes from and what it is for; public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<C: EcdsaCurve> {
    pub(crate) epoch_id: [u8; 32],
    pub(crate) session: SessionId,
    /// what all parties saw: digest of the broadcasts of the last round that matters
    pub(crate) view: [u8; 32],
    pub(crate) item: u16,
    pub(crate) me: PartyIndex,
    pub(crate) quorum: Committee,
    pub(crate) X: ShownKey<C>,
    pub(crate) R: Shown<C>,
}
wire_struct!(Place<C: EcdsaCurve> { epoch_id, session, view, item, me, quorum, X, R });

impl<C: EcdsaCurve> Place<C> {
    /// Names the presignature: the same at all parties, and different if they saw different messages.
    pub fn id(&self) -> [u8; 32] {
        let mut hash = Transcript::new(tags::PRESIGNATURE);
        hash.absorb("curve", C::ID.name().as_bytes())
            .absorb("epoch", &self.epoch_id)
            .absorb("session", &self.session.0)
            .absorb("view", &self.view)
            .absorb_u64("item", self.item.into());
        self.quorum.absorb_into(&mut hash);
        hash.absorb("public key", self.X.bytes()).absorb("nonce", self.R.bytes()).digest()
    }
    /// The epoch of the key; in another one it is worth nothing.
    pub const fn epoch_id(&self) -> &[u8; 32] {
        &self.epoch_id
    }
    /// The session that made it.
    pub const fn session(&self) -> SessionId {
        self.session
    }
    /// Its number in that session.
    pub const fn item(&self) -> u16 {
        self.item
    }
    /// Who must sign with it: exactly these.
    pub const fn quorum(&self) -> &Committee {
        &self.quorum
    }
    /// Whose part it is.
    pub const fn party(&self) -> PartyIndex {
        self.me
    }
    /// The public key that it was made for, from which a request derives its own.
    pub const fn public_key(&self) -> Point<C> {
        self.X.point()
    }
}

/// One party's part of a presignature: good for one signature. It is neither cloned nor printed, erased when dropped, and handed over by
/// value: whatever is done with it is the last thing.
pub struct Presignature<C: EcdsaCurve, M: Mode> {
    pub(crate) place: Place<C>,
    pub(crate) phi: SecretScalar<C>,
    pub(crate) v: SecretScalar<C>,
    pub(crate) kept: M::Kept<C>,
}

impl<C: EcdsaCurve, M: Mode> fmt::Debug for Presignature<C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Presignature({} of {}, secrets withheld)", self.place.item, self.place.session)
    }
}

impl<C: EcdsaCurve, M: Mode> Presignature<C, M> {
    /// What is public of it.
    pub const fn place(&self) -> &Place<C> {
        &self.place
    }

    /// Encoding for a sealer. What is sealed must be erased, durably, before the presignature signs.
    pub fn into_secret_bytes(self) -> Zeroizing<Vec<u8>> {
        let head = encode(&(FORMAT, C::ID, M::ID));
        let place = encode(&self.place);
        let mut kept = Zeroizing::new(Vec::with_capacity(4096));
        M::encode(&self.kept, &mut kept);
        let mut out = Zeroizing::new(Vec::with_capacity(head.len() + place.len() + 64 + kept.len()));
        out.extend_from_slice(&head);
        out.extend_from_slice(&place);
        for secret in [&self.phi, &self.v] {
            out.extend_from_slice(&*Zeroizing::new(secret.expose().to_bytes()));
        }
        out.extend_from_slice(&kept);
        out
    }

    /// Decodes [`into_secret_bytes`](Self::into_secret_bytes); `None` if they are not exactly that, of this curve and mode.
    pub fn from_secret_bytes(mut bytes: &[u8]) -> Option<Self> {
        let head = <(u8, CurveId, u8)>::deserialize(&mut bytes).ok()?;
        if head != (FORMAT, C::ID, M::ID) {
            return None;
        }
        let place = Place::<C>::deserialize(&mut bytes).ok()?;
        place.quorum.get(place.me)?;
        let (phi, rest) = bytes.split_first_chunk::<32>()?;
        let (v, rest) = rest.split_first_chunk::<32>()?;
        let phi = SecretScalar::new(Scalar::from_bytes(phi)?);
        let v = SecretScalar::new(Scalar::from_bytes(v)?);
        let kept = M::decode(rest, place.quorum.len())?;
        Some(Self { place, phi, v, kept })
    }
}

impl<C: EcdsaCurve> Presignature<C, Verified> {
    /// What a coordinator needs to check and join partial signatures; it need not be a party itself.
    pub fn public(&self) -> PublicPresignature<C> {
        PublicPresignature { place: self.place.clone(), parts: self.kept.clone() }
    }
}

/// The public part of a verified presignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicPresignature<C: EcdsaCurve> {
    pub(crate) place: Place<C>,
    pub(crate) parts: Parts<C>,
}

impl<C: EcdsaCurve> PublicPresignature<C> {
    /// Where it stands.
    pub const fn place(&self) -> &Place<C> {
        &self.place
    }
}

/// u, and K_j and C_j of each party of the quorum, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<C: EcdsaCurve> {
    pub(crate) u: Scalar<C>,
    pub(crate) of: Vec<(Shown<C>, Shown<C>)>,
}

impl<C: EcdsaCurve> Parts<C> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.u.to_bytes());
        for (K, C) in &self.of {
            out.extend_from_slice(K.bytes());
            out.extend_from_slice(C.bytes());
        }
    }
    pub(crate) fn decode(mut bytes: &[u8], parties: usize) -> Option<Self> {
        let u = Scalar::deserialize(&mut bytes).ok()?;
        let mut of = Vec::with_capacity(parties);
        for _ in 0..parties {
            of.push(<(Shown<C>, Shown<C>)>::deserialize(&mut bytes).ok()?);
        }
        bytes.is_empty().then_some(Self { u, of })
    }
}

//! One share format for all curves: what a party keeps of a key, and what everybody may know about it.

use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use zeroize::Zeroizing;

use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, CurveId, Point, Scalar, SecretScalar};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::SessionId;
use quorate_protocol::transcript::{Transcript, tags};

use crate::sharing::{coefficients, constant_rows, evaluate_commitment, rows_of, width};

/// Version of the encodings in this file.
const FORMAT: u8 = 2;

/// Names a key for ever, over all its epochs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct KeyId(pub [u8; 32]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(16).try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// What everybody may know about a key: the same bytes at every party of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicPackage<C: Curve> {
    /// Raised by every refresh, reshare and repair; 0 at birth.
    pub epoch: u64,
    /// Who can sign.
    pub access: Access,
    /// The parties that hold shares.
    pub committee: Committee,
    /// The commitment to the joint dealing: the public key `X` first. Every public share follows from it.
    pub joint: Vec<Point<C>>,
    /// Joint chain code for derivation (BIP-32, SLIP-0010).
    pub chain_code: [u8; 32],
    /// Hash over the ceremony that created this epoch.
    pub transcript: [u8; 32],
    /// Identity of the key: fixed at birth.
    pub key_id: KeyId,
}

impl<C: Curve> PublicPackage<C> {
    /// The identity of a key born in a ceremony: `H(X, curve, access, committee, transcript)` (`spec/10-dkg.md`).
    pub fn birth_id(
        public_key: &Point<C>,
        access: &Access,
        committee: &Committee,
        transcript: &[u8; 32],
    ) -> KeyId {
        let mut hash = Transcript::new(tags::KEY_ID);
        hash.absorb("public key", &public_key.to_bytes())
            .absorb("curve", C::ID.name().as_bytes())
            .absorb("access", &quorate_protocol::message::encode(access));
        committee.absorb_into(&mut hash);
        KeyId(hash.absorb("transcript", transcript).digest())
    }

    /// `sid_key(e)`: binds every session to the key, the epoch and the ceremony that made it (test plan C18).
    pub fn epoch_id(&self) -> [u8; 32] {
        Transcript::new(tags::EPOCH_ID)
            .absorb("key", &self.key_id.0)
            .absorb_u64("epoch", self.epoch)
            .absorb("transcript", &self.transcript)
            .digest()
    }

    /// The public key `X`. Of a package that was decoded or generated it is never the identity.
    pub fn public_key(&self) -> Point<C> {
        self.joint.first().copied().unwrap_or_else(Point::identity)
    }

    /// `S_j = s_j·G` for each row of a party, in the order of its leaves; none for a stranger. Costs a few doublings a row and secret.
    pub fn public_shares(&self, index: PartyIndex) -> Vec<Point<C>> {
        evaluate_commitment(&self.access, &self.joint, index)
    }

    /// `G` times what [`KeyShare::additive`] gives the party in this quorum: these sum to `X`. `None` if it is not in the quorum, or the
    /// quorum is not qualified.
    pub fn additive_public(&self, quorum: &Committee, index: PartyIndex) -> Option<Point<C>> {
        let quorum: Vec<_> = quorum.indices().collect();
        let coefficients = coefficients::<C>(&self.access, &quorum, index)?;
        Some(self.public_shares(index).into_iter().zip(coefficients).map(|(s, l)| s * l).sum())
    }

    /// The committee of a signing quorum; `None` unless it is a minimal quorum (test plan C1).
    pub fn quorum(&self, indices: &[PartyIndex]) -> Option<Committee> {
        if !self.access.is_minimal_quorum(indices) {
            return None;
        }
        self.committee.subset(indices)
    }

    /// Name of a session for this key: binds the epoch, the protocol, the quorum and everything the caller adds.
    pub fn session_id(
        &self,
        protocol: &'static str,
        quorum: &Committee,
        bindings: &[(&'static str, &[u8])],
    ) -> SessionId {
        let mut hash = Transcript::new(tags::SESSION_ID);
        hash.absorb("protocol", protocol.as_bytes()).absorb("epoch", &self.epoch_id());
        quorum.absorb_into(&mut hash);
        for (label, bytes) in bindings {
            hash.absorb(label, bytes);
        }
        SessionId(hash.digest())
    }

    /// The package of the key that is `offset` above this one (DERIVE.5): every public share moves with it.
    pub(crate) fn shifted(&self, offset: &Scalar<C>, chain_code: [u8; 32]) -> Self {
        let mut package = Self { chain_code, ..self.clone() };
        if let Some(key) = package.joint.first_mut() {
            *key += Point::mul_base(offset);
        }
        package
    }

    /// Canonical encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        quorate_protocol::message::encode(&(
            (FORMAT, C::ID, self.epoch, &self.access, &self.committee),
            (&self.joint, self.chain_code, self.transcript, self.key_id),
        ))
    }

    /// Decodes and re-checks what can be checked: a structure over exactly the committee that no party satisfies alone, a joint commitment
    /// of its width, and the identity of a newborn key.
    ///
    /// # Errors
    /// `None` for anything else than the bytes of [`to_bytes`](Self::to_bytes) for this curve.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        type Head = (u8, CurveId, u64, Access, Committee);
        type Body<C> = (Vec<Point<C>>, [u8; 32], [u8; 32], KeyId);
        let (head, body): (Head, Body<C>) = borsh::from_slice(bytes).ok()?;
        let (format, curve, epoch, access, committee) = head;
        let (joint, chain_code, transcript, key_id) = body;
        if format != FORMAT || curve != C::ID {
            return None;
        }
        let package = Self { epoch, access, committee, joint, chain_code, transcript, key_id };
        package.is_consistent().then_some(package)
    }

    fn is_consistent(&self) -> bool {
        // At birth the identity is a hash over key, structure and committee: no member can be swapped for another.
        let born = || Self::birth_id(&self.public_key(), &self.access, &self.committee, &self.transcript);
        self.access.parties() == self.committee.indices().collect::<Vec<_>>()
            && self.access.lone_party().is_none()
            && self.joint.len() == width(&self.access)
            && (self.epoch != 0 || born() == self.key_id)
    }
}

/// The access structure inside an encoded package of any curve, without decoding its points. For those who only show it.
pub fn package_access(mut bytes: &[u8]) -> Option<Access> {
    type Head = (u8, CurveId, u64, Access);
    let (format, _, _, access) = Head::deserialize(&mut bytes).ok()?;
    (format == FORMAT).then_some(access)
}

/// A party's share of a key: the public package, its index and its secrets, one a row. Not cloned, not printed; it leaves memory only
/// through [`secret_bytes`](Self::secret_bytes), towards a sealer.
pub struct KeyShare<C: Curve> {
    public: PublicPackage<C>,
    index: PartyIndex,
    secrets: Vec<SecretScalar<C>>,
}

impl<C: Curve> fmt::Debug for KeyShare<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyShare({} of {}, secret withheld)", self.index, self.public.key_id)
    }
}

impl<C: Curve> KeyShare<C> {
    /// Joins the parts; `None` unless there is one secret for each row of the party, and each gives its public share.
    pub fn new(public: PublicPackage<C>, index: PartyIndex, secrets: Vec<SecretScalar<C>>) -> Option<Self> {
        let expected = public.public_shares(index);
        let fits = !expected.is_empty()
            && secrets.len() == expected.len()
            && secrets.iter().zip(&expected).all(|(s, point)| s.public() == *point);
        fits.then_some(Self { public, index, secrets })
    }
    /// What everybody may know.
    pub const fn public(&self) -> &PublicPackage<C> {
        &self.public
    }
    /// Whose share it is.
    pub const fn index(&self) -> PartyIndex {
        self.index
    }
    /// One secret for each leaf in which the party stands, from left to right.
    pub fn secrets(&self) -> &[SecretScalar<C>] {
        &self.secrets
    }
    /// The additive share of the key among a quorum: one scalar, however many rows the party has. `None` if it is not in the quorum, or
    /// the quorum is not qualified.
    pub fn additive(&self, quorum: &Committee) -> Option<SecretScalar<C>> {
        let quorum: Vec<_> = quorum.indices().collect();
        let coefficients = coefficients::<C>(&self.public.access, &quorum, self.index)?;
        let terms = self.secrets.iter().zip(coefficients);
        Some(SecretScalar::new(terms.map(|(secret, l)| l * secret.expose()).sum()))
    }
    /// The share of the key that is `offset` above this one, under the package that [`PublicPackage::shifted`] gave (DERIVE.5).
    pub(crate) fn shifted(&self, public: PublicPackage<C>, offset: Scalar<C>) -> Self {
        let rows = constant_rows(&self.public.access, self.index, offset);
        let terms = self.secrets.iter().zip(rows);
        let secrets = terms.map(|(secret, row)| SecretScalar::new(secret.expose() + row)).collect();
        Self { public, index: self.index, secrets }
    }
    /// Encoding for a sealer: index and secrets. The public package is stored beside it, in clear.
    pub fn secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(HEAD + 32 * self.secrets.len()));
        out.push(FORMAT);
        out.extend_from_slice(&self.index.get().to_le_bytes());
        for secret in &self.secrets {
            out.extend_from_slice(&*Zeroizing::new(secret.expose().to_bytes()));
        }
        out
    }
    /// Joins a decoded public package with opened secret bytes.
    ///
    /// # Errors
    /// `None` if the bytes are not a share of this package, with exactly as many secrets as the party has rows.
    pub fn from_secret_bytes(public: PublicPackage<C>, bytes: &[u8]) -> Option<Self> {
        let (format, rest) = bytes.split_first()?;
        let (index, rest) = rest.split_first_chunk::<2>()?;
        if *format != FORMAT {
            return None;
        }
        let index = PartyIndex::new(u16::from_le_bytes(*index))?;
        let (rows, rest) = rest.as_chunks::<32>();
        if !rest.is_empty() || rows.len() != rows_of(&public.access, index) {
            return None;
        }
        let mut secrets = Vec::with_capacity(rows.len());
        for row in rows {
            secrets.push(SecretScalar::new(Scalar::from_bytes(row)?));
        }
        Self::new(public, index, secrets)
    }
}

/// Bytes of an encoded share before its secrets: format and index.
const HEAD: usize = 3;

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

use crate::sharing::lagrange;

/// Version of the encodings in this file.
const FORMAT: u8 = 1;

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
    /// The public key `X`.
    pub public_key: Point<C>,
    /// `S_j = s_j·G` for each party, in order of index.
    pub public_shares: Vec<Point<C>>,
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

    /// `S_j` of a member.
    pub fn public_share(&self, index: PartyIndex) -> Option<Point<C>> {
        let at = self.committee.indices().position(|i| i == index)?;
        self.public_shares.get(at).copied()
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

    /// Canonical encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        quorate_protocol::message::encode(&(
            (FORMAT, C::ID, self.epoch, &self.access, &self.committee),
            (&self.public_key, &self.public_shares, self.chain_code, self.transcript, self.key_id),
        ))
    }

    /// Decodes and re-checks what can be checked: one public share a party, and `X` is their interpolation.
    ///
    /// # Errors
    /// `None` for anything else than the bytes of [`to_bytes`](Self::to_bytes) for this curve.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        type Head = (u8, CurveId, u64, Access, Committee);
        type Body<C> = (Point<C>, Vec<Point<C>>, [u8; 32], [u8; 32], KeyId);
        let (head, body): (Head, Body<C>) = borsh::from_slice(bytes).ok()?;
        let (format, curve, epoch, access, committee) = head;
        let (public_key, public_shares, chain_code, transcript, key_id) = body;
        if format != FORMAT || curve != C::ID || access.parties() != committee.indices().collect::<Vec<_>>() {
            return None;
        }
        let package =
            Self { epoch, access, committee, public_key, public_shares, chain_code, transcript, key_id };
        package.is_consistent().then_some(package)
    }

    fn is_consistent(&self) -> bool {
        if self.public_shares.len() != self.committee.len() {
            return false;
        }
        // At birth the identity is a hash over key, structure and committee: no member can be swapped for another.
        let born = || Self::birth_id(&self.public_key, &self.access, &self.committee, &self.transcript);
        if self.epoch == 0 && born() != self.key_id {
            return false;
        }
        let Some((k, members)) = self.access.as_threshold() else { return false };
        let Some(first) = members.get(..usize::from(k)) else { return false };
        // Each set of k shares must give X: the first k do, and each further one lies on the same polynomial.
        let interpolate = |set: &[PartyIndex]| -> Option<Point<C>> {
            set.iter().map(|&i| Some(self.public_share(i)? * lagrange::<C>(set, i))).sum::<Option<Point<C>>>()
        };
        members.get(usize::from(k)..).unwrap_or_default().iter().all(|&other| {
            let mut set: Vec<_> = first.get(1..).unwrap_or_default().to_vec();
            set.push(other);
            interpolate(&set) == Some(self.public_key)
        }) && interpolate(first) == Some(self.public_key)
    }
}

/// A party's share of a key: the public package, its index and its secret `s_i`. Not cloned, not printed; it leaves memory only
/// through [`secret_bytes`](Self::secret_bytes), towards a sealer.
pub struct KeyShare<C: Curve> {
    public: PublicPackage<C>,
    index: PartyIndex,
    secret: SecretScalar<C>,
}

impl<C: Curve> fmt::Debug for KeyShare<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyShare({} of {}, secret withheld)", self.index, self.public.key_id)
    }
}

impl<C: Curve> KeyShare<C> {
    /// Joins the parts; `None` unless `s_i·G = S_i`.
    pub fn new(public: PublicPackage<C>, index: PartyIndex, secret: SecretScalar<C>) -> Option<Self> {
        (public.public_share(index)? == secret.public()).then_some(Self { public, index, secret })
    }
    /// What everybody may know.
    pub const fn public(&self) -> &PublicPackage<C> {
        &self.public
    }
    /// Whose share it is.
    pub const fn index(&self) -> PartyIndex {
        self.index
    }
    /// `s_i`.
    pub const fn secret(&self) -> &SecretScalar<C> {
        &self.secret
    }
    /// `λ_i·s_i`: the additive share of the key among the quorum. `None` if we are not in it.
    pub fn additive(&self, quorum: &Committee) -> Option<SecretScalar<C>> {
        let indices: Vec<_> = quorum.indices().collect();
        if !indices.contains(&self.index) {
            return None;
        }
        Some(SecretScalar::new(lagrange::<C>(&indices, self.index) * self.secret.expose()))
    }
    /// Encoding for a sealer: index and secret. The public package is stored beside it, in clear.
    pub fn secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(35));
        out.push(FORMAT);
        out.extend_from_slice(&self.index.get().to_le_bytes());
        out.extend_from_slice(&*Zeroizing::new(self.secret.expose().to_bytes()));
        out
    }
    /// Joins a decoded public package with opened secret bytes.
    ///
    /// # Errors
    /// `None` if the bytes are not a share of this package.
    pub fn from_secret_bytes(public: PublicPackage<C>, bytes: &[u8]) -> Option<Self> {
        let (format, rest) = bytes.split_first()?;
        let (index, secret) = rest.split_first_chunk::<2>()?;
        let secret: &[u8; 32] = secret.try_into().ok()?;
        if *format != FORMAT {
            return None;
        }
        let index = PartyIndex::new(u16::from_le_bytes(*index))?;
        Self::new(public, index, SecretScalar::new(Scalar::from_bytes(secret)?))
    }
}

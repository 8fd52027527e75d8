//! What the parties of a move agree on before it begins: which key, who deals, and who holds it afterwards under which structure.

use alloc::vec::Vec;
use core::fmt;

use quorate_protocol::access::Access;
use quorate_protocol::curve::Curve;
use quorate_protocol::message::encode;
use quorate_protocol::party::{Committee, Party, PartyIndex};
use quorate_protocol::session::{BadParams, SessionId};
use quorate_protocol::transcript::{Transcript, tags};

use crate::share::PublicPackage;

/// Name of the protocol in session identifiers.
pub const PROTOCOL: &str = "reshare";

/// A move of a key to a committee, a structure and a new epoch. The same bytes at every party of the session.
///
/// *Refresh* keeps committee and structure, *repair* does so too and leaves the party that lost its share out of the dealers; everything
/// else is the same protocol with other members. A party that joins knows `old` only from others: it compares
/// [`PublicPackage::public_key`] and the key's identity with what it was told by someone it trusts, before it starts.
pub struct Plan<C: Curve> {
    /// The epoch that is moved.
    pub old: PublicPackage<C>,
    /// Who deals: a minimal quorum of `old.access`, by index. Identities are those of today; where a machine was restored they differ
    /// from those in `old`.
    pub dealers: Committee,
    /// Who can act for the key afterwards.
    pub access: Access,
    /// Who holds shares afterwards.
    pub committee: Committee,
}

impl<C: Curve> Clone for Plan<C> {
    fn clone(&self) -> Self {
        Self {
            old: self.old.clone(),
            dealers: self.dealers.clone(),
            access: self.access.clone(),
            committee: self.committee.clone(),
        }
    }
}

impl<C: Curve> fmt::Debug for Plan<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dealers: Vec<_> = self.dealers.indices().map(PartyIndex::get).collect();
        write!(f, "Plan({} from epoch {} by {dealers:?} to {})", self.old.key_id, self.old.epoch, self.access)
    }
}

impl<C: Curve> Plan<C> {
    /// New shares for the same committee under the same structure, dealt by these of its members.
    ///
    /// # Errors
    /// `None` unless the dealers are a minimal quorum.
    pub fn refresh(old: PublicPackage<C>, dealers: &[PartyIndex]) -> Option<Self> {
        let dealers = old.quorum(dealers)?;
        let (access, committee) = (old.access.clone(), old.committee.clone());
        Some(Self { old, dealers, access, committee })
    }

    /// Whether committee and structure stay as they are.
    pub fn is_refresh(&self) -> bool {
        self.access == self.old.access && self.committee == self.old.committee
    }

    /// The parties of the session: dealers and members, one identity an index and one index an identity; `None` if that cannot be.
    pub fn participants(&self) -> Option<Committee> {
        let joining = self.committee.iter().filter(|p| self.dealers.get(p.index) != Some(*p));
        Committee::new(self.dealers.iter().chain(joining).copied().collect::<Vec<Party>>())
    }

    /// Indices that belong to another identity afterwards than in the old epoch. The caller refuses them unless it replaces a lost
    /// machine: an index is otherwise never given to somebody else.
    pub fn replaced(&self) -> Vec<PartyIndex> {
        let differs = |p: &&Party| self.old.committee.get(p.index).is_some_and(|before| before != *p);
        let mut out: Vec<_> =
            self.dealers.iter().chain(self.committee.iter()).filter(differs).map(|p| p.index).collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Hash of all of it, which every party announces in the first round.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Transcript::new(tags::RESHARE_PLAN);
        hash.absorb("old", &self.old.to_bytes());
        self.dealers.absorb_into(&mut hash);
        hash.absorb("access", &encode(&self.access));
        self.committee.absorb_into(&mut hash);
        hash.digest()
    }

    /// Name of the session that carries the plan out; `bindings` holds what makes it unique, such as the request and the attempt.
    ///
    /// # Errors
    /// `None` if no session can.
    pub fn session_id(&self, bindings: &[(&'static str, &[u8])]) -> Option<SessionId> {
        let digest = self.digest();
        let all: Vec<(&'static str, &[u8])> =
            core::iter::once(("plan", digest.as_slice())).chain(bindings.iter().copied()).collect();
        Some(self.old.session_id(PROTOCOL, &self.participants()?, &all))
    }

    /// Whether a package can be what this plan leads to: the same key in the next epoch, at the planned committee under the planned
    /// structure. With a certificate over it, this convinces a party that did not see the session end.
    pub fn admits(&self, package: &PublicPackage<C>) -> bool {
        Some(package.epoch) == self.old.epoch.checked_add(1)
            && package.key_id == self.old.key_id
            && package.public_key() == self.old.public_key()
            && package.chain_code == self.old.chain_code
            && package.access == self.access
            && package.committee == self.committee
    }

    /// What any party can check alone, before a session. Cheap whatever the plan says: plans come from others.
    ///
    /// # Errors
    /// [`BadParams::Unsuitable`] says what no session can carry out.
    pub fn check(&self) -> Result<(), BadParams> {
        let unsuitable = |why| Err(BadParams::Unsuitable(why));
        let dealers: Vec<PartyIndex> = self.dealers.indices().collect();
        if self.old.epoch == u64::MAX {
            return unsuitable("the key has no further epoch");
        }
        if !self.access.is_valid() || self.access.lone_party().is_some() {
            return unsuitable("under the new access structure one party could act alone, or none");
        }
        if self.access.parties() != self.committee.indices().collect::<Vec<_>>() {
            return unsuitable("the new access structure does not list exactly the new committee");
        }
        if !self.old.access.is_minimal_quorum(&dealers) {
            return unsuitable("the dealers are no minimal quorum of the old access structure");
        }
        if self.participants().is_none() {
            return unsuitable("an index would belong to two parties of the move, or a party to two indices");
        }
        Ok(())
    }

    /// Canonical encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(&(self.old.to_bytes(), &self.dealers, &self.access, &self.committee))
    }

    /// Decodes and checks as [`check`](Self::check) does.
    ///
    /// # Errors
    /// `None` for anything else than the bytes of [`to_bytes`](Self::to_bytes) of a plan that can be carried out.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (old, dealers, access, committee): (Vec<u8>, _, _, _) = borsh::from_slice(bytes).ok()?;
        let plan = Self { old: PublicPackage::from_bytes(&old)?, dealers, access, committee };
        plan.check().is_ok().then_some(plan)
    }
}

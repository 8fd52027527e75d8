//! Acknowledgements and the certificate they make: proof to anyone that every party of an epoch holds its share durably.

use alloc::vec::Vec;

use quorate_protocol::curve::Curve;
use quorate_protocol::party::{Identity, PartyIndex};
use quorate_protocol::transcript::{Transcript, tags};

use crate::share::PublicPackage;

/// One party's signature that its share of a package is durable. It means something to anyone, for ever, not only in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Acknowledgement([u8; 64]);

impl Acknowledgement {
    /// Bytes of the encoding.
    pub const LEN: usize = 64;

    /// Signs for a package. The caller's share of it is durable.
    pub fn sign<C: Curve>(package: &PublicPackage<C>, identity: &dyn Identity) -> Self {
        Self(identity.sign(&signed_bytes(package)))
    }
    /// Whether the member at `party` signed this for the package.
    #[must_use]
    pub fn is_of<C: Curve>(&self, package: &PublicPackage<C>, party: PartyIndex) -> bool {
        package.committee.get(party).is_some_and(|p| p.identity.verify(&signed_bytes(package), &self.0))
    }
}

/// `H(epoch id, package)`: what an acknowledgement signs.
fn signed_bytes<C: Curve>(package: &PublicPackage<C>) -> [u8; 32] {
    Transcript::new(tags::DKG_ACK)
        .absorb("epoch", &package.epoch_id())
        .absorb("package", &package.to_bytes())
        .digest()
}

/// Proof that every party holds its share durably: one signature each over the same hash. Transferable.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Certificate(Vec<(PartyIndex, Acknowledgement)>);

impl Certificate {
    /// Joins acknowledgements in any order; `None` unless there is exactly one valid one of every party of the package.
    pub fn from_acknowledgements<C: Curve>(
        package: &PublicPackage<C>,
        acknowledgements: impl IntoIterator<Item = (PartyIndex, Acknowledgement)>,
    ) -> Option<Self> {
        let mut all: Vec<_> = acknowledgements.into_iter().collect();
        all.sort_by_key(|(party, _)| *party);
        let certificate = Self(all);
        certificate.certifies(package).then_some(certificate)
    }

    /// Whether it holds a valid acknowledgement of every party of the package.
    #[must_use]
    pub fn certifies<C: Curve>(&self, package: &PublicPackage<C>) -> bool {
        self.0.len() == package.committee.len()
            && package.committee.indices().zip(&self.0).all(|(index, (party, acknowledgement))| {
                index == *party && acknowledgement.is_of(package, index)
            })
    }
}

//! A key that somebody already had: one dealer splits it, and each party checks what it was dealt.
//!
//! The dealer knew the key, and knows every share of epoch 0. So the parties run [`reshare`](crate::reshare) before first use: after it the
//! dealer knows the key alone, and nothing that it made is in use (`spec/12-reshare.md`, *Import*). That one party once knew the key stays
//! true for ever; the record that says so is the caller's.

use alloc::vec::Vec;
use core::fmt;

use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Point, SecretScalar};
use quorate_protocol::message::encode;
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::rng::HedgedRng;
use quorate_protocol::transcript::{Transcript, tags};

use crate::share::{KeyId, KeyShare, PublicPackage};
use crate::sharing::{Rows, Vector, width};

/// A private key, split: the public commitment, and for each party its rows. Not cloned, not printed, erased when dropped.
pub struct Dealing<C: Curve> {
    commitment: Vec<Point<C>>,
    deals: Vec<(PartyIndex, Rows<C>)>,
}

impl<C: Curve> fmt::Debug for Dealing<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dealing(for {} parties, secrets withheld)", self.deals.len())
    }
}

impl<C: Curve> Dealing<C> {
    /// Splits a private key, which is erased. The structure lets nobody act alone.
    ///
    /// # Errors
    /// `None` for the key zero, and for a structure under which no key is shared.
    pub fn split(key: SecretScalar<C>, access: &Access, rng: &mut HedgedRng) -> Option<Self> {
        if bool::from(key.expose().is_zero()) || !access.is_valid() || access.lone_party().is_some() {
            return None;
        }
        let vector = Vector::with_constant(access, key, rng);
        let deals = access.parties().into_iter().map(|party| (party, Rows::new(vector.deal(access, party))));
        Some(Self { commitment: vector.commit(), deals: deals.collect() })
    }
    /// What everybody gets: the public key first.
    pub fn commitment(&self) -> &[Point<C>] {
        &self.commitment
    }
    /// What each party gets, for it alone: the caller seals them.
    pub fn into_deals(self) -> Vec<(PartyIndex, Rows<C>)> {
        self.deals
    }
}

/// Epoch 0 of an imported key: what every party computes from the public part of a dealing. `binding` is a hash over the request, so that
/// two imports of one key by the same commitment have different identities.
///
/// # Errors
/// `None` for a structure under which no key is shared or that does not list exactly the committee, a commitment of another length, and
/// one under which the key or a public share is the identity.
pub fn package<C: Curve>(
    commitment: Vec<Point<C>>,
    access: Access,
    committee: Committee,
    chain_code: [u8; 32],
    binding: &[u8; 32],
) -> Option<PublicPackage<C>> {
    let fits = access.is_valid()
        && access.lone_party().is_none()
        && access.parties() == committee.indices().collect::<Vec<_>>()
        && commitment.len() == width(&access);
    let degenerate = |p: &Point<C>| bool::from(p.is_identity());
    if !fits || commitment.iter().any(degenerate) {
        return None;
    }
    let mut hash = Transcript::new(tags::IMPORT);
    hash.absorb("curve", C::ID.name().as_bytes())
        .absorb("binding", binding)
        .absorb("access", &encode(&access))
        .absorb("commitment", &encode(&commitment))
        .absorb("chain code", &chain_code);
    committee.absorb_into(&mut hash);
    let transcript = hash.digest();
    let mut package = PublicPackage {
        epoch: 0,
        access,
        committee,
        joint: commitment,
        chain_code,
        transcript,
        key_id: KeyId([0; 32]),
    };
    package.key_id =
        PublicPackage::birth_id(&package.public_key(), &package.access, &package.committee, &transcript);
    let usable = !package.committee.indices().any(|j| package.public_shares(j).iter().any(degenerate));
    usable.then_some(package)
}

/// Checks what we were dealt against the public part (Feldman) and joins both.
///
/// # Errors
/// `None` if a row is missing, surplus or not the one that the commitment promises: the dealer lied to us.
pub fn accept<C: Curve>(package: PublicPackage<C>, me: PartyIndex, rows: Rows<C>) -> Option<KeyShare<C>> {
    KeyShare::new(package, me, rows.into_secrets())
}

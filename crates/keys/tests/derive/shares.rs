//! Shares of children: every quorum of every structure has the child's key, in every epoch.

use quorate_keys::derive::{DeriveError, HARDENED};
use quorate_keys::import;
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_keys::sharing::{self, Vector};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Point, Scalar, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_testkit::{parties, structure};

/// The private key and all shares of it, by one dealer.
fn deal<C: Curve>(access: &Access, seed: u64) -> (Scalar<C>, Vec<KeyShare<C>>) {
    let mut entropy = [0u8; 32];
    entropy[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = HedgedRng::new(Entropy::new(entropy), b"dealer", C::ID.name().as_bytes());
    let dealing = Vector::<C>::random(access, &mut rng);
    let indices = access.parties();
    let committee = parties(&indices.iter().map(|i| i.get()).collect::<Vec<_>>());
    let package = import::package(dealing.commit(), access.clone(), committee, [3; 32], &[4; 32]).unwrap();
    let share = |i: &PartyIndex| KeyShare::new(package.clone(), *i, dealing.deal(access, *i)).unwrap();
    (dealing.constant().expose(), indices.iter().map(share).collect())
}

fn subsets(parties: &[PartyIndex]) -> impl Iterator<Item = Vec<PartyIndex>> + '_ {
    (1u32..1 << parties.len()).map(|mask| {
        parties.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, p)| *p).collect()
    })
}

/// What the parts of a share promise each other holds for a child's, each minimal quorum adds up to x + ε, and so do the public images.
fn check<C: Curve>(access: &Access, seed: u64, path: &[u32]) -> usize {
    let (x, shares) = deal::<C>(access, seed);
    let root = shares[0].public();
    let derived = root.derived(path).unwrap();
    let children: Vec<KeyShare<C>> = shares.iter().map(|share| share.derive(path).unwrap()).collect();
    let package = children[0].public();
    assert_eq!(Point::mul_base(&(x + derived.offset)), derived.public_key);
    assert_eq!((package.public_key(), package.chain_code), (derived.public_key, derived.chain_code));
    assert_eq!(package.epoch_id(), root.epoch_id(), "the pairwise set-up of the key serves its children");
    for child in &children {
        assert_eq!(child.public(), package, "everybody has the same");
        let secrets =
            child.secrets().iter().map(|s| quorate_protocol::curve::SecretScalar::new(s.expose())).collect();
        assert!(KeyShare::new(package.clone(), child.index(), secrets).is_some(), "{access}");
        assert!(!path.is_empty() || child.secret_bytes() == shares_of(&shares, child).secret_bytes());
    }
    let mut quorums = 0;
    let everyone: Vec<PartyIndex> = children.iter().map(KeyShare::index).collect();
    for set in subsets(&everyone) {
        let Some(quorum) = package.quorum(&set) else { continue };
        let members = children.iter().filter(|child| set.contains(&child.index()));
        let mut sum = Scalar::ZERO();
        for child in members {
            let additive = child.additive(&quorum).unwrap();
            assert_eq!(Some(additive.public()), package.additive_public(&quorum, child.index()));
            sum += additive.expose();
        }
        assert_eq!(sum, x + derived.offset, "{set:?} of {access}");
        quorums += 1;
    }
    quorums
}

fn shares_of<'a, C: Curve>(shares: &'a [KeyShare<C>], child: &KeyShare<C>) -> &'a KeyShare<C> {
    shares.iter().find(|share| share.index() == child.index()).unwrap()
}

#[test]
fn every_quorum_of_every_structure_has_the_child() {
    let (mut structures, mut quorums) = (0, 0);
    for seed in 0..60 {
        let access = structure(seed);
        if sharing::check::<Secp256k1>(&access).is_err() {
            continue;
        }
        let path = [0, u32::try_from(seed).unwrap()];
        quorums += check::<Secp256k1>(&access, seed, &path[..structures % 3]);
        quorums += check::<P256>(&access, seed, &path);
        quorums += check::<Ed25519>(&access, seed, &path);
        structures += 1;
    }
    assert!(structures >= 50 && quorums > 300, "{structures} structures, {quorums} quorums");
}

#[test]
fn a_child_of_a_child_is_at_the_longer_path() {
    let access = Access::threshold(2, &[1, 2, 3].map(|i| PartyIndex::new(i).unwrap())).unwrap();
    let (_, shares) = deal::<Secp256k1>(&access, 5);
    let once = shares[1].derive(&[3, 4]).unwrap();
    let twice = shares[1].derive(&[3]).unwrap().derive(&[4]).unwrap();
    assert_eq!(once.public(), twice.public());
    assert_eq!(once.secret_bytes(), twice.secret_bytes());
    let other = shares[1].derive(&[4, 3]).unwrap();
    assert!(other.public().public_key() != once.public().public_key());
}

/// What signs with a child must not be stored as a key of its own: at birth a package names its key, and a child's does not.
#[test]
fn a_child_is_no_key_of_its_own() {
    let access = Access::threshold(2, &[1, 2, 3].map(|i| PartyIndex::new(i).unwrap())).unwrap();
    let (_, shares) = deal::<P256>(&access, 6);
    let child = shares[0].derive(&[1]).unwrap();
    assert!(PublicPackage::<P256>::from_bytes(&shares[0].public().to_bytes()).is_some());
    assert!(PublicPackage::<P256>::from_bytes(&child.public().to_bytes()).is_none());
    assert_eq!(shares[0].derive(&[1, HARDENED]).unwrap_err(), DeriveError::Hardened(HARDENED));
}

//! Key generation among honest parties, for every size up to five, on every curve, in every order of delivery.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use quorate_keys::dkg::{self, Generated};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Point, Scalar, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::SessionId;
use quorate_testkit::{World, parties};
use std::collections::BTreeMap;

fn generate<C: Curve>(k: u16, n: u16, seed: u64) -> BTreeMap<PartyIndex, Generated<C>> {
    let committee = parties(&(1..=n).collect::<Vec<_>>());
    let access = Access::threshold(k, &committee.indices().collect::<Vec<_>>()).unwrap();
    let mut world =
        World::start(seed, SessionId([9; 32]), &committee, |p| dkg::start::<C>(p, access.clone()));
    world.duplicate_one_in = 3;
    world.run().unwrap_all()
}

fn every_size<C: Curve>() -> usize {
    let mut cases = 0;
    for n in 2..=5u16 {
        for k in 2..=n {
            let results = generate::<C>(k, n, u64::from(n * 10 + k));
            assert_eq!(results.len(), usize::from(n));
            let first = &results.values().next().unwrap();
            for (i, g) in &results {
                assert_eq!(g.share.public(), first.share.public());
                assert_eq!(g.share.index(), *i);
                assert_eq!(g.certificate, first.certificate);
                assert!(g.certificate.certifies(g.share.public()));
                let again = PublicPackage::<C>::from_bytes(&g.share.public().to_bytes()).unwrap();
                let share = KeyShare::from_secret_bytes(again, &g.share.secret_bytes()).unwrap();
                assert_eq!(share.secret_bytes(), g.share.secret_bytes());
            }
            // Every k shares give the secret behind X; the test alone does what no party may.
            let indices: Vec<PartyIndex> = results.keys().copied().collect();
            let package = first.share.public();
            let quorum = package.quorum(&indices[indices.len() - usize::from(k)..]).unwrap();
            let additive = |i: PartyIndex| results[&i].share.additive(&quorum).unwrap();
            for i in quorum.indices() {
                assert_eq!(Some(additive(i).public()), package.additive_public(&quorum, i));
            }
            let secret: Scalar<C> = quorum.indices().map(|i| additive(i).expose()).sum();
            assert_eq!(Point::mul_base(&secret), first.share.public().public_key());
            cases += 1;
        }
    }
    cases
}

#[test]
fn secp256k1() {
    assert_eq!(every_size::<Secp256k1>(), 10);
}
#[test]
fn p256() {
    assert_eq!(every_size::<P256>(), 10);
}
#[test]
fn ed25519() {
    assert_eq!(every_size::<Ed25519>(), 10);
}

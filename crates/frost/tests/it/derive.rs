//! Signing with children of a key, judged by other implementations under the child's key.

use crate::support::{Bip340, Ceremony, Ed, Mode, Taproot, deal, deal_under};
use proptest::prelude::*;
use quorate_frost::SignatureBytes;
use quorate_keys::sharing;
use quorate_protocol::curve::{Point, Scalar};
use quorate_protocol::party::PartyIndex;
use quorate_testkit::{World, structure};
use std::rc::Rc;

/// A ceremony of children at this path.
fn child<M: Mode>(root: &Ceremony<M>, path: &[u32]) -> Ceremony<M> {
    let shares = root.shares.iter().map(|share| share.derive(path).unwrap()).collect();
    let quorum: Vec<u16> = root.quorum.indices().map(PartyIndex::get).collect();
    Ceremony::new(Rc::new(shares), &quorum, &root.message, root.seed)
}

/// Children of drawn structures, each signed for by its first minimal quorum. The number of signatures, and of keys with an odd y.
fn drawn<M: Mode>(seeds: std::ops::Range<u64>) -> (usize, usize) {
    let (mut signed, mut odd) = (0, 0);
    for seed in seeds {
        let access = structure(seed);
        assert_eq!(sharing::check::<M::C>(&access), Ok(()), "{access}");
        let quorum: Vec<u16> = access.minimal_quorums(1).sets[0].iter().map(|i| i.get()).collect();
        let root = Ceremony::<M>::new(Rc::new(deal_under(access, seed)), &quorum, b"pay dave", seed);
        for path in [[0, 0].as_slice(), &[0, 1], &[u32::try_from(seed).unwrap()]] {
            let child = child(&root, path);
            let derived = root.public().derived(path).unwrap();
            assert_eq!(child.public().public_key(), derived.public_key);
            odd += usize::from(derived.public_key.to_bytes()[0] == 3);
            let signatures = child.world().run().unwrap_all();
            for signature in signatures.values() {
                child.assert_valid(signature);
                assert!(!M::verifies(&root.public().public_key(), &root.message, signature));
            }
            signed += 1;
        }
    }
    (signed, odd)
}

#[test]
fn children_sign_ed25519() {
    assert_eq!(drawn::<Ed>(0..12).0, 36);
}

/// BIP-340 signs for the point with even y, so both parities of a child must come right, with and without the tweak of a Taproot output.
#[test]
fn children_of_both_parities_sign_bip340() {
    let (signed, odd) = drawn::<Bip340>(0..12);
    assert_eq!(signed, 36);
    assert!((8..=28).contains(&odd), "{odd} of 36 keys have an odd y");
}

#[test]
fn children_of_both_parities_sign_for_taproot() {
    let (signed, odd) = drawn::<Taproot>(12..24);
    assert_eq!(signed, 36);
    assert!((8..=28).contains(&odd), "{odd} of 36 keys have an odd y");
}

/// The private key of a child, from the shares of its parent.
fn private_key<M: Mode>(root: &Ceremony<M>, path: &[u32]) -> Scalar<M::C> {
    let members = root.shares.iter().filter(|share| root.quorum.indices().any(|i| i == share.index()));
    let x: Scalar<M::C> = members.map(|share| share.additive(&root.quorum).unwrap().expose()).sum();
    x + root.public().derived(path).unwrap().offset
}

/// Deriving shares and signing gives what the derived private key gives: a signature that another implementation takes under its key.
fn as_the_derived_key<M: Mode>(path: &[u32], message: &[u8], seed: u64) {
    let root = Ceremony::<M>::new(Rc::new(deal(seed, 2, 3)), &[1, 3], message, seed);
    let key = Point::mul_base(&private_key(&root, path));
    let signatures = child(&root, path).world().run().unwrap_all();
    assert!(signatures.values().all(|signature| M::verifies(&key, message, signature)), "{}", M::NAME);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn derived_shares_sign_as_the_derived_key(
        path in prop::collection::vec(0u32..1 << 31, 0..=4),
        message in prop::collection::vec(any::<u8>(), 0..64),
        seed in any::<u64>(),
    ) {
        as_the_derived_key::<Ed>(&path, &message, seed);
        as_the_derived_key::<Bip340>(&path, &message, seed);
        as_the_derived_key::<Taproot>(&path, &message, seed);
    }
}

/// Parties that were told different paths make no signature, even if their caller forgot to bind the path into the session's name.
fn different_paths<M: Mode>() -> usize {
    let root = Ceremony::<M>::fresh(2, 3, &[1, 2], 8);
    let outcome = World::<SignatureBytes>::start(root.seed, root.session, &root.quorum, |params| {
        let share = root.shares.iter().find(|share| share.index() == params.me).unwrap();
        let path = [0, u32::from(params.me.get())];
        M::start(params, &share.derive(&path).unwrap(), root.message.clone())
    })
    .run();
    assert_eq!(outcome.ended.len(), 2);
    outcome.ended.values().filter(|ended| ended.is_err()).count()
}

#[test]
fn parties_with_different_paths_never_sign() {
    assert_eq!(different_paths::<Ed>() + different_paths::<Bip340>() + different_paths::<Taproot>(), 6);
}

//! Signing with children of a key: under the set-ups of the key, by every quorum, and never by parties that were told different paths.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;
#[path = "helpers/presigning.rs"]
mod presigning;

use common::{Keys, cached, fresh_setups, index, keys_under, session_id};
use presigning::{committee, derived, online, pop, presign_with};
use proptest::prelude::*;
use quorate_ecdsa::batch::{self, Order};
use quorate_ecdsa::presign::Verified;
use quorate_ecdsa::{PairwiseSetup, Signature, sign, verify};
use quorate_keys::share::KeyShare;
use quorate_protocol::abort::{Blame, Check};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{EcdsaCurve, P256, Point, Scalar, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::{Effect, Params, SessionId};
use quorate_testkit::{Fate, Outcome, World};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Each party of the quorum signs with the child at its own path, under its own name of the session.
fn sign_at<C: EcdsaCurve>(
    keys: &Keys<C>,
    told: &[(u16, &[u32], SessionId)],
    digest: [u8; 32],
    seed: u64,
) -> Outcome<Signature> {
    let setups = fresh_setups(keys);
    let members: Vec<_> = told.iter().map(|(i, ..)| index(*i)).collect();
    let committee = keys.public().quorum(&members).unwrap();
    let first = told[0].2;
    World::start(seed, first, &committee, |params| {
        let me = params.me;
        let (_, path, session) = told.iter().find(|(i, ..)| index(*i) == me).unwrap();
        let share = keys.shares[&me].derive(path).unwrap();
        sign::start(Params { session: *session, ..params }, &share, setups[&me].clone(), digest)
    })
    .run()
}

fn together<C: EcdsaCurve>(
    keys: &Keys<C>,
    quorum: &[u16],
    path: &[u32],
    digest: [u8; 32],
    seed: u64,
) -> Outcome<Signature> {
    let session = session_id(keys, quorum, &digest, seed);
    let told: Vec<_> = quorum.iter().map(|i| (*i, path, session)).collect();
    sign_at(keys, &told, digest, seed)
}

/// The child's private key, which nobody has outside of a test.
fn private_key<C: EcdsaCurve>(keys: &Keys<C>, quorum: &[u16], path: &[u32]) -> Scalar<C> {
    let members: Vec<_> = quorum.iter().map(|&i| index(i)).collect();
    let committee = keys.public().quorum(&members).unwrap();
    let x: Scalar<C> = members.iter().map(|i| keys.shares[i].additive(&committee).unwrap().expose()).sum();
    x + keys.public().derived(path).unwrap().offset
}

fn is_valid_secp256k1(secret: &[u8; 32], digest: &[u8; 32], signature: &[u8]) -> bool {
    use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
    let key = *k256::ecdsa::SigningKey::from_slice(secret).unwrap().verifying_key();
    key.verify_prehash(digest, &k256::ecdsa::Signature::from_slice(signature).unwrap()).is_ok()
}

fn is_valid_p256(secret: &[u8; 32], digest: &[u8; 32], signature: &[u8]) -> bool {
    use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
    let key = *p256::ecdsa::SigningKey::from_slice(secret).unwrap().verifying_key();
    key.verify_prehash(digest, &p256::ecdsa::Signature::from_slice(signature).unwrap()).is_ok()
}

/// Every quorum of 2 of 3 signs for several children; the judge is another implementation that was given the child's private key.
fn every_quorum<C: EcdsaCurve>(judge: fn(&[u8; 32], &[u8; 32], &[u8]) -> bool) -> usize {
    let keys = cached::<C>(2, 3);
    let mut cases = 0;
    for quorum in [[1, 2], [1, 3], [2, 3]] {
        for path in [[0, 7].as_slice(), &[2_147_483_647], &[1, 2, 3, 4]] {
            let digest = [u8::try_from(cases).unwrap() + 1; 32];
            let signature = *together(keys, &quorum, path, digest, 3).unwrap_all().values().next().unwrap();
            let secret = private_key(keys, &quorum, path);
            let child = keys.public().derived(path).unwrap().public_key;
            assert_eq!(Point::mul_base(&secret), child);
            assert!(judge(&secret.to_bytes(), &digest, &signature.bytes), "{path:?} by {quorum:?}");
            // Under no other key: neither the one above nor the one beside it.
            let beside = keys.public().derived(&[0, 8]).unwrap().public_key;
            for other in [keys.public().public_key(), beside] {
                assert!(!verify(&other, &digest, &signature.bytes));
            }
            cases += 1;
        }
    }
    cases
}

#[test]
fn every_quorum_signs_for_children_secp256k1() {
    assert_eq!(every_quorum::<Secp256k1>(is_valid_secp256k1), 9);
}

#[test]
fn every_quorum_signs_for_children_p256() {
    assert_eq!(every_quorum::<P256>(is_valid_p256), 9);
}

/// Weights and a party that must always sign: rows are more than one, and the coefficients are no Lagrange ones over the indices.
#[test]
fn children_under_a_tree() {
    let p = |i| Access::Party(index(i));
    let low = Access::Threshold { k: 3, of: vec![p(2), p(2), p(3), p(4)] };
    let access = Access::Threshold { k: 2, of: vec![p(1), low] };
    let keys = keys_under::<Secp256k1>(access, 9);
    let mut cases = 0;
    for quorum in [[1, 2, 3].as_slice(), &[1, 2, 4]] {
        let signature = *together(&keys, quorum, &[5, 6], [9; 32], 1).unwrap_all().values().next().unwrap();
        let secret = private_key(&keys, quorum, &[5, 6]);
        assert!(is_valid_secp256k1(&secret.to_bytes(), &[9; 32], &signature.bytes));
        cases += 1;
    }
    assert_eq!(cases, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Deriving shares and signing gives what signing with the derived private key gives: a signature that verifies under its public key.
    #[test]
    fn derived_shares_sign_as_the_derived_key(
        path in prop::collection::vec(0u32..1 << 31, 0..=4),
        digest in any::<[u8; 32]>(),
    ) {
        let keys = cached::<Secp256k1>(2, 3);
        let signature = *together(keys, &[1, 3], &path, digest, 5).unwrap_all().values().next().unwrap();
        let secret = private_key(keys, &[1, 3], &path).to_bytes();
        prop_assert!(is_valid_secp256k1(&secret, &digest, &signature.bytes));
    }
}

/// Parties that were told different paths have no common session. And if their caller forgot to bind the path into its name, they notice
/// before anything leaves by which a signature could be made, nobody is blamed, and no pair burns.
#[test]
fn parties_with_different_paths_never_sign() {
    let keys = cached::<Secp256k1>(2, 3);
    let digest = [4; 32];
    let named = |path: &str| {
        let committee = keys.public().quorum(&[index(1), index(2)]).unwrap();
        keys.public().session_id("ecdsa-sign", &committee, &[("digest", &digest), ("path", path.as_bytes())])
    };
    let outcome = sign_at(keys, &[(1, &[0, 1], named("m/0/1")), (2, &[0, 2], named("m/0/2"))], digest, 1);
    assert!(!outcome.ended.values().any(Result::is_ok), "{outcome:?}");
    assert!(outcome.rejected > 0, "what the one sends is nothing to the other");
    let same = named("m");
    let outcome = sign_at(keys, &[(1, &[0, 1], same), (2, &[0, 2], same)], digest, 2);
    assert_eq!(outcome.ended.len(), 2);
    for abort in outcome.ended.values() {
        let abort = abort.as_ref().unwrap_err();
        assert_eq!(abort.check, Check::PublicKeySum, "{abort}");
        assert!(matches!(abort.blame, Blame::Nobody(_)), "{abort}");
    }
    assert!(!outcome.effects.iter().any(|(_, effect)| matches!(effect, Effect::Burn { .. })));
}

type Setups<C> = BTreeMap<PartyIndex, Arc<PairwiseSetup<C>>>;
const PAIR: [u16; 2] = [1, 2];

/// Two signatures for the key at a path, in one session with set-ups that stay open.
fn two_at_once<C: EcdsaCurve>(
    keys: &Keys<C>,
    setups: &Setups<C>,
    path: &[u32],
    digest: [u8; 32],
) -> Signature {
    let orders = vec![Order { digest, tweak: keys.public().derived(path).unwrap().offset }; 2];
    let session = session_id(keys, &PAIR, &batch::list(&orders), u64::from(digest[0]));
    let made = World::start(6, session, &committee(keys, &PAIR), |p| {
        let (share, setup) = (&keys.shares[&p.me], setups[&p.me].clone());
        batch::start(p, share, setup, orders.clone())
    });
    made.run().unwrap_all().values().next().unwrap()[0]
}

/// One signature by the shares of the key at a path, with set-ups that stay open.
fn one_alone<C: EcdsaCurve>(keys: &Keys<C>, setups: &Setups<C>, path: &[u32], digest: [u8; 32]) -> Signature {
    let session = session_id(keys, &PAIR, &digest, 7);
    let made = World::start(7, session, &committee(keys, &PAIR), |p| {
        let share = keys.shares[&p.me].derive(path).unwrap();
        let setup = setups[&p.me].clone();
        sign::start(p, &share, setup, digest)
    });
    *made.run().unwrap_all().values().next().unwrap()
}

/// A set-up that stays open serves the key and all keys below it, in every way to sign and in any order: what it keeps of the first says
/// nothing about the others.
fn one_set_up_serves_all<C: EcdsaCurve>(judge: fn(&[u8; 32], &[u8; 32], &[u8]) -> bool) -> usize {
    let keys = cached::<C>(2, 3);
    let paths: [&[u32]; 3] = [&[], &[0, 7], &[0, 8]];
    let mut cases = 0;
    for first in paths {
        let setups = fresh_setups(keys);
        let mut check = |path: &[u32], digest: [u8; 32], signature: Signature| {
            assert!(judge(&private_key(keys, &PAIR, path).to_bytes(), &digest, &signature.bytes), "{path:?}");
            for other in paths.iter().filter(|other| **other != path) {
                assert!(!verify(
                    &keys.public().derived(other).unwrap().public_key,
                    &digest,
                    &signature.bytes
                ));
            }
            cases += 1;
        };
        // The set-ups keep the table of this key: of the share's own, whatever the tweaks.
        let shares = keys.shares.iter().map(|(i, share)| (*i, share.derive(first).unwrap())).collect();
        let at_first = Keys { shares, setups: BTreeMap::new() };
        check(first, [1; 32], two_at_once(&at_first, &setups, &[], [1; 32]));
        for (at, path) in (2u8..).step_by(4).zip(paths) {
            check(path, [at; 32], one_alone(keys, &setups, path, [at; 32]));
            check(path, [at + 1; 32], two_at_once(keys, &setups, path, [at + 1; 32]));
            let made = presign_with(keys, &setups, &PAIR, (2, Verified), u64::from(at), |_| Fate::Deliver);
            let tweak = keys.public().derived(path).unwrap().offset;
            let request = derived(keys, [at + 2; 32], tweak, at);
            check(path, [at + 2; 32], online(pop(&mut made.unwrap_all()), &request));
        }
    }
    cases
}

#[test]
fn one_open_set_up_serves_a_key_and_its_children() {
    assert_eq!(one_set_up_serves_all::<Secp256k1>(is_valid_secp256k1), 30);
    assert_eq!(one_set_up_serves_all::<P256>(is_valid_p256), 30);
}

/// A party that follows every rule with another additive share, moved so that all shares together are those of a key that its honest peer
/// signed for before: SIGN.9 knows for which key this session is.
#[test]
fn nobody_moves_a_signature_to_the_key_that_was_used_before() {
    let keys = cached::<Secp256k1>(2, 3);
    let (setups, digest) = (fresh_setups(keys), [5; 32]);
    two_at_once(keys, &setups, &[], [3; 32]);
    let child = keys.shares[&index(1)].derive(&[0, 7]).unwrap();
    // With λ = 2 and −1: 2·(s_1 + ε) − (s_2 + 2ε) = x.
    let offset = keys.public().derived(&[0, 7]).unwrap().offset;
    let moved = offset + offset;
    // Format, index, and the secret of its one row.
    let mut bytes = keys.shares[&index(2)].secret_bytes();
    let secret = Scalar::<Secp256k1>::from_bytes(&bytes[3..].try_into().unwrap()).unwrap() + moved;
    bytes[3..].copy_from_slice(&secret.to_bytes());
    let mut believed = keys.public().clone();
    believed.joint[0] += Point::mul_base(&moved);
    let forged = KeyShare::from_secret_bytes(believed, &bytes).unwrap();
    let outcome = World::start(8, session_id(keys, &PAIR, &digest, 8), &committee(keys, &PAIR), |p| {
        let share = if p.me == index(1) { &child } else { &forged };
        let setup = setups[&p.me].clone();
        sign::start(p, share, setup, digest)
    })
    .run();
    let abort = outcome.abort_of(1).unwrap();
    assert_eq!(abort.check, Check::PublicKeySum, "{abort}");
    assert!(matches!(abort.blame, Blame::Nobody(_)));
    assert!(
        outcome.ended.values().all(Result::is_err) && outcome.effects.is_empty(),
        "{:?}",
        outcome.effects
    );
}

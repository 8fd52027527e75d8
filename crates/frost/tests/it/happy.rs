//! Every threshold up to five parties, and messages of every awkward length.

use crate::support::{Bip340, Ceremony, Ed, Mode, Taproot, deal};
use quorate_keys::dkg;
use quorate_protocol::curve::Curve as _;
use quorate_protocol::session::tamper::rewrite;
use quorate_protocol::session::{Effect, SessionId};
use quorate_testkit::{World, identity, parties};
use std::rc::Rc;

/// Every `k` of `n`, with the first and the last quorum; asserts one signature for all, and one consumption each.
fn all_thresholds<M: Mode>() -> usize {
    let mut runs = 0;
    for n in 2..=5 {
        for k in 2..=n {
            let shares = Rc::new(deal(u64::from(100 * n + k), k, n));
            for first in [1, n - k + 1] {
                let quorum: Vec<u16> = (first..first + k).collect();
                let ceremony = Ceremony::<M>::new(Rc::clone(&shares), &quorum, b"message", u64::from(n));
                let outcome = ceremony.world().run();
                let consumed = outcome.effects.iter().filter(|(_, e)| matches!(e, Effect::Consume)).count();
                assert_eq!(consumed, usize::from(k), "one consumption for each signer");
                assert_eq!(outcome.effects.len(), consumed);
                let signatures = outcome.unwrap_all();
                assert_eq!(signatures.len(), usize::from(k));
                for signature in signatures.values() {
                    assert_eq!(
                        signature,
                        &signatures[&quorate_protocol::party::PartyIndex::new(first).unwrap()]
                    );
                    ceremony.assert_valid(signature);
                }
                runs += 1;
            }
        }
    }
    runs
}

#[test]
fn every_threshold_signs_ed25519() {
    assert_eq!(all_thresholds::<Ed>(), 20);
}
#[test]
fn every_threshold_signs_bip340() {
    assert_eq!(all_thresholds::<Bip340>(), 20);
}
#[test]
fn every_threshold_signs_for_taproot() {
    assert_eq!(all_thresholds::<Taproot>(), 20);
}

/// Both parities of the key, of the output key and of the nonce occur many times in 24 keys.
#[test]
fn parities_do_not_matter() {
    let mut odd = 0;
    for seed in 0..24 {
        let untweaked = Ceremony::<Bip340>::fresh(2, 3, &[1, 3], seed);
        odd += usize::from(untweaked.public().public_key().to_bytes()[0] == 3);
        untweaked.world().run().unwrap_all().values().for_each(|s| untweaked.assert_valid(s));
        let tweaked = Ceremony::<Taproot>::fresh(2, 3, &[2, 3], seed);
        tweaked.world().run().unwrap_all().values().for_each(|s| tweaked.assert_valid(s));
    }
    assert!((4..=20).contains(&odd), "keys of both parities were tried: {odd} odd");
}

#[test]
fn messages_of_any_length_up_to_the_limit_are_signed() {
    fn run<M: Mode>() {
        let shares = Rc::new(deal(1, 2, 3));
        for len in [0, 1, 31, 32, 33, 4096, quorate_frost::MAX_MESSAGE] {
            let ceremony = Ceremony::<M>::new(Rc::clone(&shares), &[1, 2], &vec![0x61; len], 9);
            ceremony.world().run().unwrap_all().values().for_each(|s| ceremony.assert_valid(s));
        }
    }
    run::<Ed>();
    run::<Bip340>();
}

/// covers: D2, D4. Same entropy and key: the nonces differ with the session and with the message.
#[test]
fn nonces_differ_with_session_and_message() {
    fn run<M: Mode>() {
        let shares = Rc::new(deal::<M::C>(3, 2, 2));
        let first = Ceremony::<M>::new(Rc::clone(&shares), &[1, 2], b"a", 1);
        let mut other_message = Ceremony::<M>::new(Rc::clone(&shares), &[1, 2], b"b", 1);
        other_message.session = first.session;
        let mut other_session = Ceremony::<M>::new(shares, &[1, 2], b"a", 1);
        other_session.session.0[0] ^= 1;
        // The commitments themselves: the R of a signature differs with the message even if the nonces do not.
        let nonce = |c: &Ceremony<M>| {
            let params = quorate_testkit::world::params(c.session, &c.quorum, 1, 1);
            let mut session = M::start(params, &c.shares[0], c.message.clone()).unwrap();
            let mut body = Vec::new();
            rewrite(&session.poll_transmit().unwrap().bytes, &identity(1), |m| body.clone_from(&m.broadcast))
                .unwrap();
            body
        };
        assert_eq!(nonce(&first), nonce(&first), "the same under the same seed");
        assert_eq!(nonce(&first).len(), 2 * M::C::POINT_LEN);
        assert_ne!(nonce(&first), nonce(&other_message));
        assert_ne!(nonce(&first), nonce(&other_session));
    }
    run::<Ed>();
    run::<Taproot>();
}

/// covers: D7. Strict, plain and cofactored verification agree on what we produce, the last computed here from RFC 8032, 5.1.7.
#[test]
fn every_rule_of_verification_accepts() {
    use curve25519_dalek::edwards::CompressedEdwardsY;
    use curve25519_dalek::traits::IsIdentity as _;
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use ed25519_dalek::Verifier as _;
    use sha2::Digest as _;
    let mut count = 0;
    for seed in 0..16 {
        let ceremony = Ceremony::<Ed>::fresh(2, 3, &[1, 2], seed);
        let public: [u8; 32] = ceremony.public().public_key().to_bytes().try_into().unwrap();
        for signature in ceremony.world().run().unwrap_all().values() {
            ceremony.assert_valid(signature); // strict
            let key = ed25519_dalek::VerifyingKey::from_bytes(&public).unwrap();
            let plain = ed25519_dalek::Signature::from_bytes(&signature.0);
            assert!(key.verify(&ceremony.message, &plain).is_ok());
            let point = |bytes: &[u8]| CompressedEdwardsY::from_slice(bytes).unwrap().decompress().unwrap();
            let (r, s) = signature.0.split_at(32);
            let hash = sha2::Sha512::new().chain_update(r).chain_update(public);
            let hash: [u8; 64] = hash.chain_update(&ceremony.message).finalize().into();
            let k = Scalar::from_bytes_mod_order_wide(&hash);
            let s = Scalar::from_canonical_bytes(s.try_into().unwrap()).unwrap();
            let difference = EdwardsPoint::mul_base(&s) - point(r) - point(&public) * k;
            assert!(difference.is_identity() && difference.mul_by_cofactor().is_identity());
            count += 1;
        }
    }
    assert_eq!(count, 32);
}

/// A key that no dealer ever held: born in a ceremony, used by every quorum.
#[test]
fn keys_of_a_ceremony_sign() {
    fn run<M: Mode>() -> usize {
        let committee = parties(&[1, 2, 3]);
        let indices: Vec<_> = committee.indices().collect();
        let access = quorate_protocol::access::Access::threshold(2, &indices).unwrap();
        let world =
            World::start(1, SessionId([9; 32]), &committee, |p| dkg::start::<M::C>(p, access.clone()));
        let shares = Rc::new(world.run().unwrap_all().into_values().map(|g| g.share).collect::<Vec<_>>());
        let quorums = [[1, 2], [1, 3], [2, 3]];
        for quorum in quorums {
            let ceremony = Ceremony::<M>::new(Rc::clone(&shares), &quorum, b"message", 2);
            ceremony.world().run().unwrap_all().values().for_each(|s| ceremony.assert_valid(s));
        }
        quorums.len()
    }
    assert_eq!(run::<Ed>() + run::<Bip340>() + run::<Taproot>(), 9);
}

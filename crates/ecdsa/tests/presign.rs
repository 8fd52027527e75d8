//! Presignatures among honest parties, what they are bound to, and signing from them.

#[path = "helpers/common.rs"]
mod common;
#[path = "helpers/presigning.rs"]
mod presigning;

use common::{Keys, cached, fresh_setups, index};
use presigning::{committee, derived, online, online_with, pop, presign, presign_id, presign_with, request};
use quorate_ecdsa::online::{self as step, Request};
use quorate_ecdsa::presign::{self as protocol, Mode, Plain, Presignature, Verified};
use quorate_ecdsa::{PublicPresignature, verify};
use quorate_protocol::abort::{Blame, Check};
use quorate_protocol::curve::{EcdsaCurve, P256, Point, Scalar, Secp256k1};
use quorate_protocol::session::{BadParams, Effect, Session, SessionId};
use quorate_testkit::attack::{Part, Recording};
use quorate_testkit::world::params;
use quorate_testkit::{Fate, assert_not_impl};
use std::collections::BTreeSet;

// covers: C2, C4: with the examples of `quorate_ecdsa::online` that must not compile: signing without ρ, and signing twice.
assert_not_impl!(Presignature<Secp256k1, Plain>: Clone);
assert_not_impl!(Presignature<Secp256k1, Verified>: Clone);
assert_not_impl!(Presignature<Secp256k1, Plain>: borsh::BorshSerialize);
assert_not_impl!(Presignature<Secp256k1, Verified>: borsh::BorshSerialize);
assert_not_impl!(Session<Vec<Presignature<Secp256k1, Verified>>>: Clone);

/// One signature of the key, one of a derived key, and everything unused afterwards.
fn use_up<C: EcdsaCurve, M: Mode + Copy>(keys: &Keys<C>, quorum: &[u16], count: u16, mode: M) -> usize {
    let mut made = presign(keys, quorum, count, mode, u64::from(count));
    let ids: BTreeSet<_> = made.values().flatten().map(|p| p.place().id()).collect();
    assert_eq!(ids.len(), usize::from(count), "all parties have the same names, and every item its own");
    for item in (0..count).rev() {
        let parts = pop(&mut made);
        assert!(parts.values().all(|p| p.place().item() == item));
        let tweak = Scalar::from(u64::from(item) * 977);
        let request = derived(keys, [0x21; 32], tweak, 5);
        let signature = online(parts, &request);
        assert!(verify(&request.public_key, &request.digest, &signature.bytes));
    }
    count.into()
}

fn every_size<C: EcdsaCurve>() -> usize {
    let mut made = 0;
    for (k, n, quorum) in [(2, 2, vec![1, 2]), (2, 3, vec![1, 3]), (3, 5, vec![2, 3, 5])] {
        let keys = cached::<C>(k, n);
        for count in [1, 2] {
            made += use_up(keys, &quorum, count, Plain) + use_up(keys, &quorum, count, Verified);
        }
    }
    made
}

/// covers: C1, C7
#[test]
fn presignatures_of_every_size_sign_on_secp256k1() {
    assert_eq!(every_size::<Secp256k1>(), 3 * 6);
}
/// covers: C1, C7
#[test]
fn presignatures_of_every_size_sign_on_p256() {
    assert_eq!(every_size::<P256>(), 3 * 6);
}

#[test]
fn a_batch_of_64_signs_64_times() {
    assert_eq!(use_up(cached::<Secp256k1>(2, 3), &[2, 3], 64, Verified), 64);
    assert_eq!(use_up(cached::<P256>(2, 2), &[1, 2], 64, Plain), 64);
}

/// Independent implementations accept what comes out, with the recovery id.
///
/// covers: C7
#[test]
fn others_accept_the_signatures() {
    let keys = cached::<Secp256k1>(2, 2);
    let mut made = presign(keys, &[1, 2], 16, Verified, 99);
    let mut recovered = 0;
    for n in 0..16u8 {
        use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
        let request = derived(keys, [n + 1; 32], Scalar::from(u64::from(n)), n);
        let signature = online(pop(&mut made), &request);
        let parsed = Signature::from_slice(&signature.bytes).unwrap();
        assert_eq!(parsed.normalize_s(), parsed, "s is low");
        let id = RecoveryId::from_byte(signature.recovery_id).unwrap();
        let key = VerifyingKey::recover_from_prehash(&request.digest, &parsed, id).unwrap();
        assert_eq!(key.to_sec1_point(true).as_bytes(), request.public_key.to_bytes());
        recovered += 1;
    }
    assert_eq!(recovered, 16);
    assert!(made.values().all(Vec::is_empty));
}

/// The nonce of a signature is that of the presignature times a factor that everything about the request changes.
///
/// covers: C4, S28
#[test]
fn every_part_of_a_request_changes_the_nonce() {
    let keys = cached::<Secp256k1>(2, 2);
    let requests = [
        request(keys, [1; 32], 1),
        request(keys, [1; 32], 2),
        request(keys, [2; 32], 1),
        derived(keys, [1; 32], Scalar::from(7), 1),
    ];
    let mut nonces = BTreeSet::new();
    let mut sessions = BTreeSet::new();
    for request in &requests {
        // The same entropy and session give the same presignature every time, which no real party does.
        let mut made = presign(keys, &[1, 2], 1, Verified, 7);
        let parts = pop(&mut made);
        sessions.insert(parts[&index(1)].place().session_id(request));
        nonces.insert(online(parts, request).bytes[..32].to_vec());
    }
    assert_eq!((nonces.len(), sessions.len()), (requests.len(), requests.len()));
}

/// covers: C1, C3, C5, C8, S29
#[test]
fn a_presignature_signs_for_its_epoch_quorum_party_session_and_key_only() {
    let keys = cached::<Secp256k1>(2, 3);
    let good = request(keys, [3; 32], 3);
    let mut made = presign(keys, &[1, 2], 16, Verified, 3);
    let mut refused = 0;
    let mut attempt =
        |change: &dyn Fn(&mut Request<Secp256k1>), epoch: bool, quorum: &[u16], me: u16, named: bool| {
            let part = made.get_mut(&index(1)).unwrap().pop().unwrap();
            let mut request = good.clone();
            change(&mut request);
            let id = if named { part.place().session_id(&request) } else { part.place().session_id(&good) };
            let epoch_id = if epoch { *part.place().epoch_id() } else { [9; 32] };
            let p = params(id, &committee(keys, quorum), me, 1);
            let result = step::start(p, part, &epoch_id, request);
            refused += usize::from(matches!(result, Err(BadParams::Unsuitable(_))));
            result.is_ok()
        };
    assert!(attempt(&|_| {}, true, &[1, 2], 1, true), "the control");
    assert!(!attempt(&|_| {}, false, &[1, 2], 1, true));
    assert!(!attempt(&|_| {}, true, &[1, 3], 1, true));
    assert!(!attempt(&|_| {}, true, &[1, 2], 2, true));
    // A request that is not the one the session is named after.
    assert!(!attempt(&|r| r.digest = [4; 32], true, &[1, 2], 1, false));
    assert!(!attempt(&|r| r.rho = [4; 32], true, &[1, 2], 1, false));
    // A key that the tweak does not give, and a digest that is zero.
    assert!(!attempt(&|r| r.tweak = Scalar::ONE(), true, &[1, 2], 1, true));
    assert!(!attempt(&|r| r.public_key = Point::generator(), true, &[1, 2], 1, true));
    assert!(!attempt(&|r| r.digest = [0; 32], true, &[1, 2], 1, true));
    let order = quorate_testkit::attack::order::<Secp256k1>();
    assert!(!attempt(&|r| r.digest = order, true, &[1, 2], 1, true));
    // X + ε·G = 0
    assert_eq!(refused, 9);
}

/// More or fewer parties than the threshold, other epochs, burned pairs, and counts that are none.
///
/// covers: C1, A4
#[test]
fn presigning_refuses_what_it_cannot_do() {
    let keys = cached::<Secp256k1>(2, 3);
    let setups = fresh_setups(keys);
    let start = |quorum: &[u16], count: u16| {
        let committee = keys.public().committee.subset(&quorum.iter().map(|&i| index(i)).collect::<Vec<_>>());
        let p = params(SessionId([7; 32]), &committee.unwrap(), 1, 1);
        protocol::start(p, &keys.shares[&index(1)], setups[&index(1)].clone(), count, Verified).map(drop)
    };
    assert!(start(&[1, 2], 1).is_ok());
    let mut refused = 0;
    for (quorum, count) in [(&[1, 2, 3][..], 1), (&[1][..], 1), (&[1, 2][..], 0), (&[1, 2][..], 257)] {
        assert!(matches!(start(quorum, count), Err(BadParams::Unsuitable(_))), "{quorum:?} {count}");
        refused += 1;
    }
    setups[&index(1)].burn(index(2));
    assert!(start(&[1, 2], 1).is_err());
    assert_eq!(refused, 4);
}

/// Nobody finds a presignature in another process's bytes, and the sealed form is exactly one.
///
/// covers: S45
#[test]
fn a_presignature_survives_its_encoding_and_nothing_else_decodes() {
    fn on<C: EcdsaCurve, M: Mode + Copy>(mode: M, len: usize) -> usize {
        let keys = cached::<C>(2, 2);
        let mut made = presign(keys, &[1, 2], 2, mode, 4);
        let mut cases = 0;
        let sealed: std::collections::BTreeMap<_, _> = pop(&mut made)
            .into_iter()
            .map(|(i, p)| {
                assert!(format!("{p:?}").contains("secrets withheld"));
                (i, p.into_secret_bytes())
            })
            .collect();
        for bytes in sealed.values() {
            assert_eq!(bytes.len(), len);
            for cut in 0..bytes.len() {
                assert!(Presignature::<C, M>::from_secret_bytes(&bytes[..cut]).is_none());
                cases += 1;
            }
            let mut long = bytes.to_vec();
            long.push(0);
            assert!(Presignature::<C, M>::from_secret_bytes(&long).is_none());
            for head in 0..3 {
                let mut other = bytes.to_vec();
                other[head] ^= 3;
                assert!(Presignature::<C, M>::from_secret_bytes(&other).is_none());
            }
        }
        let open = |bytes: &[u8]| Presignature::<C, M>::from_secret_bytes(bytes).unwrap();
        let parts = sealed.iter().map(|(i, bytes)| (*i, open(bytes))).collect();
        let request = request(keys, [6; 32], 6);
        let signature = online(parts, &request);
        assert!(verify(&request.public_key, &request.digest, &signature.bytes));
        cases
    }
    let (plain, verified) = (3 + 32 * 3 + 2 + 2 + (4 + 2 * 34) + 66 + 64, 32 + 4 * 33);
    assert_eq!(on::<Secp256k1, _>(Plain, plain + 32), 2 * (plain + 32));
    assert_eq!(on::<P256, _>(Verified, plain + verified), 2 * (plain + verified));
}

/// A coordinator that is no party joins partial signatures, and names whoever sent a wrong one.
///
/// covers: C8, C23, S34
#[test]
fn a_coordinator_joins_and_blames() {
    let keys = cached::<P256>(3, 5);
    let mut made = presign(keys, &[1, 2, 4], 1, Verified, 8);
    let parts = pop(&mut made);
    let public: PublicPresignature<P256> = parts[&index(2)].public();
    let request = derived(keys, [8; 32], Scalar::from(8), 8);
    let recording = Recording::default();
    let expected = online_with(parts, &request, recording.recorder()).unwrap_all()[&index(1)];
    let w = |from: u16, to: u16| {
        let body = recording.body(1, from, to, Part::Direct);
        (index(from), Scalar::from_bytes(body[..32].try_into().unwrap()).unwrap())
    };
    let partials = [w(4, 1), w(1, 2), w(2, 1)];
    assert_eq!(step::combine(&public, request.clone(), &partials).unwrap(), expected);
    let mut cases = 0;
    for at in 0..3 {
        for shift in [Scalar::ONE(), -partials[at].1, partials[at].1] {
            let mut wrong = partials;
            wrong[at].1 += shift;
            let abort = step::combine(&public, request.clone(), &wrong).unwrap_err();
            assert_eq!((abort.check, abort.blame), (Check::PartialSignature, Blame::Party(partials[at].0)));
            cases += 1;
        }
        let mut missing = partials.to_vec();
        let (gone, _) = missing.remove(at);
        let abort = step::combine(&public, request.clone(), &missing).unwrap_err();
        assert_eq!((abort.check, abort.blame), (Check::PartialSignature, Blame::Party(gone)));
        let twice = [partials[0], partials[1], partials[2], partials[at]];
        let abort = step::combine(&public, request.clone(), &twice).unwrap_err();
        assert_eq!((abort.check, abort.blame), (Check::Malformed, Blame::Party(partials[at].0)));
        cases += 2;
    }
    let mut stranger = partials;
    stranger[0].0 = index(5);
    assert_eq!(step::combine(&public, request.clone(), &stranger).unwrap_err().check, Check::Malformed);
    let mut other = request;
    other.public_key = Point::generator();
    assert_eq!(step::combine(&public, other, &partials).unwrap_err().check, Check::FinalSignature);
    assert_eq!(cases, 15);
}

/// The partial waits until its consumption is durable; making presignatures consumes nothing.
///
/// covers: C2, C21, S27
#[test]
fn a_partial_leaves_only_after_it_is_consumed() {
    let keys = cached::<Secp256k1>(2, 2);
    let outcome = presign_with(keys, &fresh_setups(keys), &[1, 2], (2, Verified), 9, |_| Fate::Deliver);
    assert!(outcome.effects.is_empty());
    let mut made = outcome.unwrap_all();
    let mut parts = pop(&mut made);
    let request = request(keys, [9; 32], 9);
    let part = parts.remove(&index(1)).unwrap();
    let (id, epoch) = (part.place().session_id(&request), *part.place().epoch_id());
    let p = params(id, &committee(keys, &[1, 2]), 1, 1);
    let mut session = step::start(p, part, &epoch, request).unwrap();
    assert!(session.poll_transmit().is_none());
    session.effects_durable();
    assert!(session.poll_transmit().is_none(), "acknowledged before it was taken");
    assert!(matches!(session.poll_effect(), Some(Effect::Consume)));
    assert!(session.poll_transmit().is_none(), "taken, not durable");
    session.effects_durable();
    assert_eq!(session.poll_transmit().unwrap().to, index(2));
    assert!(session.poll_effect().is_none() && session.poll_transmit().is_none());
}

/// Two parties with different requests for one presignature never look at each other's partial: no blame, no signature.
///
/// covers: C2, C3, A5
#[test]
fn different_requests_for_one_presignature_do_not_meet() {
    let keys = cached::<Secp256k1>(2, 2);
    let mut made = presign(keys, &[1, 2], 1, Verified, 10);
    let parts = pop(&mut made);
    let sessions: Vec<_> = parts
        .into_iter()
        .map(|(i, part)| {
            let request = request(keys, [u8::try_from(i.get()).unwrap(); 32], 1);
            let (id, epoch) = (part.place().session_id(&request), *part.place().epoch_id());
            let p = params(id, &committee(keys, &[1, 2]), i.get(), 1);
            step::start(p, part, &epoch, request).unwrap()
        })
        .collect();
    let outcome = quorate_testkit::World::new(1, sessions).run();
    assert!(outcome.ended.is_empty());
    assert_eq!((outcome.awaiting.len(), outcome.rejected), (2, 2));
}

/// Bytes on the wire of every size of batch: what a peer adds, and what a presignature costs.
#[test]
fn bytes_sent_are_those_of_the_page() {
    let keys = cached::<Secp256k1>(2, 2);
    let mut cases = 0;
    for count in [1u16, 2, 64] {
        let recording = Recording::default();
        presign_with(keys, &fresh_setups(keys), &[1, 2], (count, Verified), 11, recording.recorder())
            .unwrap_all();
        let n = usize::from(count);
        let len = |round, part| recording.body(round, 1, 2, part).len();
        assert_eq!(len(1, Part::Broadcast), 32);
        assert_eq!(len(1, Part::Direct), 2_272 + (n - 1) * 1_664);
        assert_eq!(len(2, Part::Broadcast), 69 + n * (33 + 32));
        assert_eq!(len(2, Part::Direct), 48 + n * 40_066);
        assert_eq!(len(3, Part::Broadcast), 4 + n * 98);
        assert_eq!(len(4, Part::Broadcast), 33);
        cases += 1;
    }
    assert_eq!(cases, 3);
    let _ = presign_id(keys, &[1, 2], 1, 1);
}

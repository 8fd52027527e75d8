//! What secrets must not do: be copied, printed or written; and what decoders and sessions must not do: panic.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;
#[path = "helpers/presigning.rs"]
mod presigning;

use common::{cached, fresh_setups, index, session_id};
use presigning::{made_up_opening, online_with, pop, presign, presign_with, request};
use quorate_ecdsa::batch::{self, Order, Partials};
use quorate_ecdsa::online;
use quorate_ecdsa::presign::{Claims, Plain, Verdict, Verified};
use quorate_ecdsa::sign::{Commit, Multiply, Open, Partial, Product};
use quorate_ecdsa::{PairwiseSetup, Signature, setup, sign};
use quorate_protocol::curve::{EcdsaCurve, P256, Scalar, Secp256k1};
use quorate_protocol::message::{Message, decode, encode};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::{Session, SessionId};
use quorate_testkit::attack::{Part, Recording};
use quorate_testkit::world::params;
use quorate_testkit::{assert_not_impl, identity};
use std::collections::BTreeMap;

assert_not_impl!(PairwiseSetup<Secp256k1>: Clone);
assert_not_impl!(PairwiseSetup<Secp256k1>: borsh::BorshSerialize);
assert_not_impl!(Product<Secp256k1>: Clone);
assert_not_impl!(setup::Offer<Secp256k1>: Clone);
assert_not_impl!(Session<Signature>: Clone);
assert_not_impl!(Session<PairwiseSetup<Secp256k1>>: Clone);

/// Runs of eight bytes of a secret, as hexadecimal digits or as numbers.
fn shows(text: &str, secret: &[u8]) -> bool {
    secret.chunks(8).any(|part| {
        let decimal = format!("{part:?}");
        text.contains(&hex::encode(part)) || text.contains(decimal.trim_matches(['[', ']']))
    })
}

/// covers: S45
#[test]
fn debug_output_shows_no_secret() {
    let keys = cached::<P256>(2, 2);
    let setup = &keys.setups[&index(1)];
    let secret = setup.secret_bytes();
    let text = format!("{setup:?} {setup:#?} {:?}", keys.shares[&index(1)]);
    assert!(!shows(&text, &secret), "{text}");
    assert!(text.contains("secrets withheld"));
    assert!(shows(&hex::encode(&*secret), &secret), "the test can see what it looks for");

    let recording = Recording::default();
    common::sign_with(keys, fresh_setups(keys), &[1, 2], [7; 32], 1, recording.recorder()).unwrap_all();
    let product = recording.body(2, 1, 2, Part::Direct);
    let message: Product<P256> = decode(&product).unwrap();
    assert_eq!(format!("{message:?}"), "Product(..)");
    let committee = keys.public().quorum(&[index(1), index(2)]).unwrap();
    let id = session_id(keys, &[1, 2], &[7; 32], 2);
    let mut session =
        sign::start(params(id, &committee, 1, 1), &keys.shares[&index(1)], setup.clone(), [7; 32]).unwrap();
    let transmit = session.poll_transmit().unwrap();
    let text = format!("{session:?} {transmit:?}");
    assert!(!shows(&text, &transmit.bytes), "{text}");
}

/// Decodes noise of many lengths, and changes and cuts of a good encoding; what decodes has exactly one encoding.
fn fuzz<M: Message>(good: &[u8], rng: &mut HedgedRng) -> usize {
    fuzz_from::<M>(good, rng, good.len())
}

/// The same for a message of which a beginning of at least `shortest` bytes can be a message too.
fn fuzz_from<M: Message>(good: &[u8], rng: &mut HedgedRng, shortest: usize) -> usize {
    let mut cases = 0;
    for len in [0, 1, 31, 32, 33, 64, M::MAX_LEN - 1, M::MAX_LEN, M::MAX_LEN + 1] {
        let mut noise = vec![0; len];
        rng.fill(&mut noise);
        if let Some(message) = decode::<M>(&noise) {
            assert_eq!(encode(&message), noise);
        }
        cases += 1;
    }
    assert!(decode::<M>(&vec![0; M::MAX_LEN + 1]).is_none());
    assert_eq!(encode(&decode::<M>(good).unwrap()), good);
    assert!(decode::<M>(&[good, &[0]].concat()).is_none());
    for _ in 0..64 {
        let at =
            usize::try_from(u64::from_le_bytes(rng.bytes()) % u64::try_from(good.len()).unwrap()).unwrap();
        // The items of a batch follow each other, and the shortest message has one.
        if let Some(message) = decode::<M>(&good[..at]) {
            assert!(at >= shortest && encode(&message) == good[..at]);
        }
        let mut changed = good.to_vec();
        let [mask]: [u8; 1] = rng.bytes();
        changed[at] ^= mask;
        if let Some(message) = decode::<M>(&changed) {
            assert_eq!(encode(&message), changed);
        }
        cases += 2;
    }
    cases
}

fn decoders<C: EcdsaCurve>(rng: &mut HedgedRng) -> usize {
    let keys = cached::<C>(2, 2);
    let signing = Recording::default();
    common::sign_with(keys, fresh_setups(keys), &[1, 2], [7; 32], 1, signing.recorder()).unwrap_all();
    let body = |round, part| signing.body(round, 1, 2, part);
    let mut cases = fuzz::<Commit>(&body(1, Part::Broadcast), rng);
    cases += fuzz::<Multiply>(&body(1, Part::Direct), rng);
    cases += fuzz::<Open<C>>(&body(2, Part::Broadcast), rng);
    cases += fuzz::<Product<C>>(&body(2, Part::Direct), rng);
    cases += fuzz::<Partial<C>>(&body(3, Part::Direct), rng);
    let batch = Recording::default();
    let committee = keys.public().committee.clone();
    let order = Order { digest: [7; 32], tweak: Scalar::<C>::ZERO() };
    let world = quorate_testkit::World::start(1, SessionId([5; 32]), &committee, |p| {
        let (share, setup) = (&keys.shares[&p.me], fresh_setups(keys).remove(&p.me).unwrap());
        batch::start(p, share, setup, vec![order; 3])
    });
    world.with_adversary(batch.recorder()).run().unwrap_all();
    cases += fuzz::<Partials<C>>(&batch.body(3, 1, 2, Part::Direct), rng);
    let making = Recording::default();
    let outcome = presign_with(keys, &fresh_setups(keys), &[1, 2], (3, Verified), 1, making.recorder());
    let mut made = outcome.unwrap_all();
    let body = |round, part| making.body(round, 1, 2, part);
    cases += fuzz_from::<Multiply>(&body(1, Part::Direct), rng, 32 + 2_240);
    cases += fuzz_from::<Open<C>>(&body(2, Part::Broadcast), rng, 102 + 96);
    cases += fuzz_from::<Product<C>>(&body(2, Part::Direct), rng, 40_114);
    cases += fuzz::<Claims<C>>(&body(3, Part::Broadcast), rng);
    cases += fuzz::<Verdict<C>>(&body(4, Part::Broadcast), rng);
    cases += fuzz::<Verdict<C>>(&made_up_opening::<C>(), rng);
    let online = Recording::default();
    online_with(pop(&mut made), &request(keys, [7; 32], 1), online.recorder()).unwrap_all();
    cases += fuzz::<online::Part<C>>(&online.body(1, 1, 2, Part::Direct), rng);
    let mut made = presign(keys, &[1, 2], 1, Plain, 2);
    let online = Recording::default();
    online_with(pop(&mut made), &request(keys, [7; 32], 1), online.recorder()).unwrap_all();
    cases += fuzz::<online::PlainPart<C>>(&online.body(1, 1, 2, Part::Direct), rng);
    let setup = Recording::default();
    let committee = keys.public().committee.clone();
    let world = quorate_testkit::World::start(1, SessionId([6; 32]), &committee, |p| {
        let share = &keys.shares[&p.me];
        setup::start(p, share)
    });
    world.with_adversary(setup.recorder()).run().unwrap_all();
    let body = |round| setup.body(round, 1, 2, Part::Direct);
    cases += fuzz::<setup::Offer<C>>(&body(1), rng);
    cases += fuzz::<setup::Answer<C>>(&body(2), rng);
    cases + fuzz::<setup::Confirm>(&body(3), rng)
}

/// covers: A19, S5, S46
#[test]
fn message_decoders_never_panic_and_know_one_encoding() {
    let mut rng = HedgedRng::new(Entropy::new([2; 32]), b"", b"decoders");
    let cases = decoders::<Secp256k1>(&mut rng) + decoders::<P256>(&mut rng);
    assert_eq!(cases, 2 * 17 * (9 + 128));
}

/// Good frames with random changes, signed again: a session ends in one of its checks, never in a panic, never with a wrong signature.
///
/// covers: A19, C8
#[test]
fn a_session_survives_random_changes() {
    let keys = cached::<Secp256k1>(2, 2);
    let mut rng = HedgedRng::new(Entropy::new([8; 32]), b"", b"changes");
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for case in 0..150u64 {
        let plan: [u8; 8] = rng.bytes();
        let adversary = move |parcel: &quorate_testkit::Parcel| {
            use quorate_protocol::session::tamper;
            let round = u8::try_from(case % 3).unwrap() + 1;
            let parts = tamper::inspect(&parcel.bytes);
            if parcel.from != index(2) || parts.is_none_or(|p| p.round != round) {
                return quorate_testkit::Fate::Deliver;
            }
            let bytes = tamper::rewrite(&parcel.bytes, &identity(2), |parts| {
                let body = if plan[0].is_multiple_of(2) && !parts.broadcast.is_empty() {
                    &mut parts.broadcast
                } else {
                    &mut parts.direct
                };
                let at = usize::from(u16::from_le_bytes([plan[1], plan[2]])) % body.len();
                match plan[3] % 4 {
                    0 => body.truncate(at),
                    1 => body[at..].fill(plan[4]),
                    _ => body[at] ^= plan[4] | 1,
                }
            });
            quorate_testkit::Fate::Replace(vec![quorate_testkit::Parcel {
                bytes: bytes.unwrap(),
                ..parcel.clone()
            }])
        };
        let outcome = common::sign_with(keys, fresh_setups(keys), &[1, 2], [7; 32], case, adversary);
        let end = match outcome.ended.get(&index(1)) {
            Some(Ok(signature)) => {
                assert!(quorate_ecdsa::verify(&keys.public().public_key(), &[7; 32], &signature.bytes));
                "signature"
            }
            Some(Err(abort)) => abort.check.code(),
            None => "waits",
        };
        *ends.entry(end).or_default() += 1;
    }
    assert!(!ends.contains_key("signature"), "{ends:?}");
    assert!(ends.len() >= 6, "{ends:?}");
    assert_eq!(ends.values().sum::<usize>(), 150);
}

/// covers: S5, A19
#[test]
fn stored_set_ups_are_decoded_whole_or_not_at_all() {
    let keys = cached::<Secp256k1>(2, 3);
    let bytes = keys.setups[&index(1)].secret_bytes();
    for cut in (0..bytes.len()).step_by(997).chain([bytes.len() - 1]) {
        // A cut between two peers is a set-up with one peer, which the sealer's length and tag exclude.
        let between = (bytes.len() - 33) / 2 + 33;
        let decoded = PairwiseSetup::<Secp256k1>::from_secret_bytes(&bytes[..cut], []);
        assert_eq!(decoded.is_some(), cut == between || cut == 33, "{cut}");
    }
    assert!(PairwiseSetup::<Secp256k1>::from_secret_bytes(&[&bytes[..], &[0]].concat(), []).is_none());
    // Peers out of order, twice, or at index zero.
    let each = (bytes.len() - 33) / 2;
    let (head, first, second) = (&bytes[..33], &bytes[33..33 + each], &bytes[33 + each..]);
    let decode =
        |parts: &[&[u8]]| PairwiseSetup::<Secp256k1>::from_secret_bytes(&parts.concat(), []).is_some();
    assert!(decode(&[head, first, second]));
    assert!(!decode(&[head, second, first]));
    assert!(!decode(&[head, first, first]));
    assert!(!decode(&[head, &[0, 0], &first[2..]]));
    let mut version = bytes.to_vec();
    version[0] = 2;
    assert!(!decode(&[&version]));
    assert!(PartyIndex::new(0).is_none());
}

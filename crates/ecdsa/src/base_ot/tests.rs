//! Correctness and misuse of the base OT.

use super::*;
use crate::suite::test_rng;
use quorate_protocol::curve::{P256, Secp256k1};
use std::collections::BTreeSet;
use std::vec::Vec;

const ID: [u8; 32] = [9; 32];

fn run<C: EcdsaCurve>(label: &str) -> (ReceivedKeys, SentKeys, PointPairs<C>, PointPairs<C>) {
    let mut rng = test_rng(label);
    let (receiver, r) = Receiver::<C>::start(&ID, &mut rng);
    let (sent, b) = send(&ID, &r, &mut rng).unwrap();
    (receiver.finish(&ID, &b), sent, r, b)
}

/// covers: A14
#[test]
fn the_receiver_gets_its_key_and_not_the_other() {
    fn on<C: EcdsaCurve>() -> [usize; 2] {
        let (received, sent, ..) = run::<C>("base ot");
        let mut chosen = [0, 0];
        let mut keys: BTreeSet<Block> = BTreeSet::new();
        for ((choice, key), both) in received.iter().zip(sent.iter()) {
            assert_eq!(*key, both[usize::from(*choice)]);
            assert_ne!(*key, both[usize::from(1 - choice)]);
            chosen[usize::from(*choice)] += 1;
            keys.extend(both);
        }
        assert_eq!(keys.len(), 256, "every key of every instance differs");
        chosen
    }
    for chosen in [on::<Secp256k1>(), on::<P256>()] {
        assert_eq!(chosen[0] + chosen[1], 128);
        assert!(chosen[0] > 30 && chosen[1] > 30, "choices are random bits");
    }
}

/// What the receiver computes for the branch it did not choose, with everything it knows, is not the sender's key: it would need
/// b_{1-c}·H_p, and knows only a·B_{1-c}.
///
/// covers: A14
#[test]
fn the_receivers_secrets_do_not_open_the_other_branch() {
    let mut rng = test_rng("other branch");
    let (receiver, r) = Receiver::<Secp256k1>::start(&ID, &mut rng);
    let (sent, b) = send(&ID, &r, &mut rng).unwrap();
    let mut cases = 0;
    for ((index, b), (secret, sent)) in (0u8..).zip(&b.0).zip(receiver.0.iter().zip(sent.iter())) {
        let other = 1 - secret.choice.unwrap_u8();
        for pair_place in 0..2 {
            let guess = b.points[pair_place] * secret.a;
            let b_c = &b.encoded[usize::from(other)];
            let key = key(CurveId::Secp256k1, &ID, index, other, &secret.r, b_c, &encode(&guess));
            assert_ne!(key, sent[usize::from(other)]);
            cases += 1;
        }
    }
    assert_eq!(cases, 256);
}

/// The first bit of the encodings and their order carry no trace of the choice: over many instances r_0 < r_1 for about half of
/// the instances of either choice.
///
/// covers: A14
#[test]
fn the_order_of_the_points_is_independent_of_the_choice() {
    let mut rng = test_rng("distribution");
    let mut rising = [0u32; 2];
    let mut count = [0u32; 2];
    for _ in 0..8 {
        let (receiver, r) = Receiver::<Secp256k1>::start(&ID, &mut rng);
        for (secret, pair) in receiver.0.iter().zip(&r.0) {
            let choice = usize::from(secret.choice.unwrap_u8());
            count[choice] += 1;
            rising[choice] += u32::from(pair.encoded[0][1..] < pair.encoded[1][1..]);
        }
    }
    assert_eq!(count[0] + count[1], 1024);
    for choice in 0..2 {
        // Six standard deviations of a fair coin.
        let expected = f64::from(count[choice]) / 2.0;
        assert!((f64::from(rising[choice]) - expected).abs() < 6.0 * (expected / 2.0).sqrt());
    }
}

/// covers: A14
#[test]
fn equal_points_and_points_that_cancel_are_refused() {
    let mut cases = 0;
    for index in [0u8, 64, 127] {
        let place = usize::from(index);
        let mut rng = test_rng("refusals");
        let (_, mut r) = Receiver::<P256>::start(&ID, &mut rng);
        let point = r.0[place].points[0];
        r.0[place] = Pair::new([point, point]);
        assert_eq!(send(&ID, &r, &mut rng).err(), Some(SetupFault::RepeatedPoint));

        let (_, mut r) = Receiver::<P256>::start(&ID, &mut rng);
        for choice in 0..2u8 {
            let other = r.0[place].points[usize::from(1 - choice)];
            let cancel = -point_oracles::<P256>(&ID, &[([index, choice], encode(&other))])[0];
            let mut points = [other; 2];
            points[usize::from(choice)] = cancel;
            r.0[place] = Pair::new(points);
            assert_eq!(send(&ID, &r, &mut rng).err(), Some(SetupFault::IdentityPoint));
            cases += 1;
        }
        cases += 1;
    }
    assert_eq!(cases, 9);
}

/// covers: A14, A19
#[test]
fn the_codec_refuses_identity_off_curve_and_short_input() {
    fn on<C: EcdsaCurve>() -> usize {
        let mut rng = test_rng("codec");
        let (_, r) = Receiver::<C>::start(&ID, &mut rng);
        let good = borsh::to_vec(&r).unwrap();
        assert_eq!(good.len(), PointPairs::<C>::LEN);
        assert_eq!(borsh::to_vec(&borsh::from_slice::<PointPairs<C>>(&good).unwrap()).unwrap(), good);
        let mut cases = 0;
        for place in [0, 1, 100, 255] {
            let bad_points: [[u8; 33]; 4] = [
                [0; 33],
                [0xff; 33],
                core::array::from_fn(|i| if i == 0 { 5 } else { good[33 * place + i] }),
                // x = p − 1 or above is not canonical or not on the curve, for either curve.
                core::array::from_fn(|i| if i == 0 { 2 } else { 0xff }),
            ];
            for bad in bad_points {
                let mut bytes = good.clone();
                bytes[33 * place..33 * (place + 1)].copy_from_slice(&bad);
                assert!(borsh::from_slice::<PointPairs<C>>(&bytes).is_err());
                cases += 1;
            }
        }
        let mut long = good.clone();
        long.push(0);
        for bytes in [&good[..good.len() - 1], &[], &long] {
            assert!(borsh::from_slice::<PointPairs<C>>(bytes).is_err());
            cases += 1;
        }
        for length in [0usize, 1, 33, 8448, 8449] {
            let mut noise = Vec::from([0; 8449]);
            rng.fill(&mut noise);
            assert!(borsh::from_slice::<PointPairs<C>>(&noise[..length]).is_err());
            cases += 1;
        }
        cases
    }
    assert_eq!(on::<Secp256k1>(), 24);
    assert_eq!(on::<P256>(), 24);
}

/// covers: A14, A9
#[test]
fn keys_bind_instance_index_choice_and_every_point() {
    let (_, _, r, b) = run::<Secp256k1>("binding");
    let pair = &r.0[0];
    let shared = encode(&pair.points[0]);
    let b_c = &b.0[0].encoded[0];
    let swapped = [pair.encoded[1], pair.encoded[0]];
    let other_r = &r.0[1].encoded;
    let keys: BTreeSet<Block> = [
        key(CurveId::Secp256k1, &ID, 0, 0, &pair.encoded, b_c, &shared),
        key(CurveId::Secp256k1, &[8; 32], 0, 0, &pair.encoded, b_c, &shared),
        key(CurveId::Secp256k1, &ID, 1, 0, &pair.encoded, b_c, &shared),
        key(CurveId::Secp256k1, &ID, 0, 1, &pair.encoded, b_c, &shared),
        key(CurveId::Secp256k1, &ID, 0, 0, &swapped, b_c, &shared),
        key(CurveId::Secp256k1, &ID, 0, 0, other_r, b_c, &shared),
        key(CurveId::Secp256k1, &ID, 0, 0, &pair.encoded, &b.0[0].encoded[1], &shared),
        key(CurveId::Secp256k1, &ID, 0, 0, &pair.encoded, b_c, &encode(&pair.points[1])),
    ]
    .into();
    assert_eq!(keys.len(), 8);

    let point_oracle = |id: &[u8; 32], index, choice, other: &Encoded| {
        point_oracles::<Secp256k1>(id, &[([index, choice], *other)])[0]
    };
    let points: BTreeSet<Encoded> = [
        point_oracle(&ID, 0, 0, &pair.encoded[0]),
        point_oracle(&[8; 32], 0, 0, &pair.encoded[0]),
        point_oracle(&ID, 1, 0, &pair.encoded[0]),
        point_oracle(&ID, 0, 1, &pair.encoded[0]),
        point_oracle(&ID, 0, 0, &pair.encoded[1]),
    ]
    .iter()
    .map(encode)
    .collect();
    assert_eq!(points.len(), 5);
}

/// Two parties that disagree about the instance share no key.
///
/// covers: A9
#[test]
fn different_instances_share_no_key() {
    let mut rng = test_rng("instances");
    let (receiver, r) = Receiver::<Secp256k1>::start(&ID, &mut rng);
    let (sent, b) = send(&[8; 32], &r, &mut rng).unwrap();
    let received = receiver.finish(&ID, &b);
    assert_eq!(received.len(), 128);
    assert!(received.iter().zip(sent.iter()).all(|((_, key), both)| !both.contains(key)));
}

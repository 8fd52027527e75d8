//! Correctness of the extension, and what a cheating receiver can and cannot do.

use super::*;
use crate::ot_setup::ideal_pair;
use crate::suite::test_rng;
use quorate_protocol::curve::Secp256k1 as C;
use std::collections::BTreeSet;

const ID: [u8; 32] = [1; 32];
const SID: [u8; 32] = [2; 32];

fn random_delta(rng: &mut HedgedRng) -> [u8; TREES] {
    rng.bytes::<TREES>().map(|b| b & 0x0f)
}

/// Δ without a zero nibble, so that every deviation meets a set bit.
fn dense_delta(rng: &mut HedgedRng) -> [u8; TREES] {
    rng.bytes::<TREES>().map(|b| b % 15 + 1)
}

/// A receiver that adds `deviation[i]` to the choices of tree i, sends x~ of the honest choices plus `x_shift`, and computes the
/// check values as if the nibbles of Δ were `guess`.
fn cheat(
    leaves: &AllLeaves<C>,
    rng: &mut HedgedRng,
    deviation: &[Row; TREES],
    x_shift: &Row,
    guess: &[u8; TREES],
) -> Extension {
    let nonce_r = rng.bytes();
    let expansion = expand_all(leaves, &SID, &nonce_r, 0);
    let mut x: Row = core::array::from_fn(|_| u128::from_le_bytes(rng.bytes()));
    trim(&mut x);
    let u = core::array::from_fn(|i| {
        let mut row = expansion.sums[i];
        xor(&mut row, &x);
        xor(&mut row, &deviation[i]);
        to_bytes(&row)
    });
    let chi = challenge(&ID, &SID, &nonce_r, &u);
    let digest = RowDigest::new(&chi);
    xor(&mut x, x_shift);
    let x_check = digest.of(&x);
    // q_m = t_m ⊕ Δ_m·(x ⊕ e_i), so the sender will find R(t_m) ⊕ Δ_m·R(e_i ⊕ shift).
    let values = expansion.columns.iter().enumerate().map(|(m, t)| {
        let mut error = deviation[m / 4];
        xor(&mut error, x_shift);
        digest.of(t) ^ (mask(guess[m / 4] >> (m % 4)) & digest.of(&error))
    });
    let t = check_digest(&ID, &SID, &chi, x_check, values);
    Extension { nonce_r, u, x: x_check.to_le_bytes(), t, more: Vec::new() }
}

fn bit(position: usize) -> Row {
    let mut row = [0; ROW_WORDS];
    row[position / 128] = 1 << (position % 128);
    row
}

fn challenge(ot_id: &[u8; 32], sid: &[u8; 32], nonce_r: &[u8; 16], u: &[[u8; ROW_BYTES]; TREES]) -> [u8; 16] {
    challenges(ot_id, sid, nonce_r, u, &[])[0]
}

const NONE: Row = [0; ROW_WORDS];

#[test]
fn rows_satisfy_the_correlation_for_every_shape_of_delta() {
    let mut rng = test_rng("softspoken");
    let mut deltas = [[0; TREES]; 6];
    deltas[1] = [0x0f; TREES];
    deltas[2] = core::array::from_fn(|i| u8::try_from(i % 16).unwrap());
    for delta in &mut deltas[3..] {
        *delta = random_delta(&mut rng);
    }
    let mut transfers = 0;
    for delta in deltas {
        let (all, punctured) = ideal_pair::<C>(&ID, delta, &mut rng);
        let (received, message) = extend_receiver(&all, &SID, 1, &mut rng);
        let bytes = borsh::to_vec(&message).unwrap();
        assert_eq!((bytes.len(), Extension::len(1)), (2_240, 2_240));
        let q = extend_sender(&punctured, &SID, &borsh::from_slice(&bytes).unwrap()).unwrap();
        assert_eq!((q.len(), received.items.len()), (1, 1));
        let (q, received) = (&q[0], &received.items[0]);
        assert_eq!((q.len(), received.rows.len()), (TRANSFERS, TRANSFERS));
        let delta = *punctured.delta_bits();
        let mut ones = 0;
        for (j, (q, t)) in q.iter().zip(received.rows.iter()).enumerate() {
            let beta = (received.choices[j / 128] >> (j % 128)) & 1;
            assert_eq!(*q, t ^ (delta * beta));
            ones += beta;
            transfers += 1;
        }
        assert!((100..316).contains(&ones), "choices are random bits");
        assert!(received.choices[3] >> 32 == 0);
    }
    assert_eq!(transfers, 6 * 416);
}

#[test]
fn folding_agrees_with_its_definition() {
    let mut rng = test_rng("fold");
    for _ in 0..8 {
        let rows: [Row; LEAVES] =
            core::array::from_fn(|_| core::array::from_fn(|_| u128::from_le_bytes(rng.bytes())));
        let mut scratch = rows;
        let mut columns = [NONE; TREE_BITS];
        let total = fold(&mut scratch, &mut columns);
        let sum = |keep: &dyn Fn(usize) -> bool| {
            let mut out = NONE;
            rows.iter().enumerate().filter(|(y, _)| keep(*y)).for_each(|(_, row)| xor(&mut out, row));
            out
        };
        assert_eq!(total, sum(&|_| true));
        for (bit, column) in columns.iter().enumerate() {
            assert_eq!(*column, sum(&|y| y >> bit & 1 == 1));
        }
    }
}

/// The same leaves give unrelated masks in two sessions, under two nonces, and in two instances.
///
/// covers: A7, A9, A10
#[test]
fn masks_differ_by_session_nonce_and_instance() {
    let mut rng = test_rng("masks");
    let (mut all, _) = ideal_pair::<C>(&ID, [3; TREES], &mut rng);
    let mut seen = BTreeSet::new();
    let mut expansions = 0;
    for (ot_id, sid, nonce) in [(1, 2, 3), (1, 2, 4), (1, 5, 3), (6, 2, 3)] {
        all.ot_id = [ot_id; 32];
        let expansion = expand_all(&all, &[sid; 32], &[nonce; 16], 0);
        seen.extend(expansion.sums.iter().chain(&expansion.columns).copied());
        expansions += 1;
    }
    assert_eq!(seen.len(), expansions * (TREES + COLUMNS));
    // And even a repeated session of one party with its own fresh nonce hides the difference of two choices.
    let (a, b) = (extend_receiver(&all, &SID, 1, &mut rng), extend_receiver(&all, &SID, 1, &mut rng));
    assert_ne!(a.1.nonce_r, b.1.nonce_r);
    let differences: BTreeSet<Row> = (0..TREES)
        .map(|i| {
            let mut d = from_bytes(&a.1.u[i]);
            xor(&mut d, &from_bytes(&b.1.u[i]));
            d
        })
        .collect();
    assert_eq!(differences.len(), TREES, "not one constant x ⊕ x' under all trees");
}

/// Selective failure exists, is detected, and depends on exactly the nibble that was attacked.
///
/// covers: A1
#[test]
fn a_flipped_bit_fails_exactly_where_delta_meets_it() {
    let mut rng = test_rng("flip");
    let (mut cases, mut passed) = (0, 0);
    for round in 0..4 {
        let mut delta = random_delta(&mut rng);
        delta[round] = 0;
        delta[31 - round] = 8 >> round;
        let (all, punctured) = ideal_pair::<C>(&ID, delta, &mut rng);
        let (_, honest) = extend_receiver(&all, &SID, 1, &mut rng);
        for tree in 0..TREES {
            // First and last mask bit, first and last payload bit: χ covers them all, so U must not be changed after the fact either.
            for position in [0, 127, 128, 543] {
                let mut deviation = [NONE; TREES];
                deviation[tree] = bit(position);
                let message = cheat(&all, &mut rng, &deviation, &NONE, &[0; TREES]);
                assert_eq!(extend_sender(&punctured, &SID, &message).is_ok(), delta[tree] == 0);
                passed += u32::from(delta[tree] == 0);

                let mut late = honest.clone();
                late.u[tree][position / 8] ^= 1 << (position % 8);
                assert_eq!(extend_sender(&punctured, &SID, &late), Err(CheckFailed));
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 4 * 32 * 4);
    assert!(passed >= 16);
}

/// A receiver that guesses a nibble survives if and only if the guess is right: 4 bits for a chance of 1/16, no better.
///
/// covers: A1, A11
#[test]
fn a_guess_of_a_nibble_passes_once_in_sixteen() {
    let mut rng = test_rng("guess");
    let delta = dense_delta(&mut rng);
    let (all, punctured) = ideal_pair::<C>(&ID, delta, &mut rng);
    let (mut cases, mut passed) = (0, 0);
    for tree in [0, 7, 31] {
        for guessed in 0..16 {
            let mut deviation = [NONE; TREES];
            deviation[tree] = bit(200);
            let mut guess = [0; TREES];
            guess[tree] = guessed;
            let message = cheat(&all, &mut rng, &deviation, &NONE, &guess);
            let ok = extend_sender(&punctured, &SID, &message).is_ok();
            assert_eq!(ok, guessed == delta[tree]);
            cases += 1;
            passed += u32::from(ok);
        }
    }
    assert_eq!((cases, passed), (48, 3));
}

/// Families against the original KOS check, which compressed all columns into one equation: here each column stands for itself, so
/// deviations that live in a small space, or cancel between columns, gain nothing. Accepted exactly if every tree whose error differs
/// from the error of x~ has Δ_i = 0.
///
/// covers: A11
#[test]
fn known_bad_families_pass_only_as_predicted() {
    let mut rng = test_rng("families");
    let (a, b) = (bit(130), bit(300));
    let mut both = a;
    xor(&mut both, &b);
    let span = [NONE, a, b, both];
    let families: [[Row; TREES]; 5] = [
        // half against half
        core::array::from_fn(|i| if i < 16 { NONE } else { a }),
        // alternating
        core::array::from_fn(|i| if i % 2 == 0 { NONE } else { a }),
        // a space of dimension two, all its elements equally often: every sum over all columns is zero
        core::array::from_fn(|i| span[i % 4]),
        // all different
        core::array::from_fn(|i| bit(128 + 13 * i)),
        // one outlier
        core::array::from_fn(|i| if i == 9 { both } else { NONE }),
    ];
    let (mut cases, mut passed) = (0, 0);
    for (f, family) in families.iter().enumerate() {
        for (s, shift) in [NONE, a, b, both].iter().enumerate() {
            for density in 0..4 {
                let mut delta = dense_delta(&mut rng);
                match density {
                    // Δ is zero exactly where this family and shift deviate: the attacker's dream.
                    1 => (0..TREES).filter(|&i| family[i] != *shift).for_each(|i| delta[i] = 0),
                    // … except in one tree
                    2 => (0..TREES).filter(|&i| family[i] != *shift).skip(1).for_each(|i| delta[i] = 0),
                    3 => delta = [0; TREES],
                    _ => {}
                }
                let (all, punctured) = ideal_pair::<C>(&ID, delta, &mut rng);
                let message = cheat(&all, &mut rng, family, shift, &[0; TREES]);
                let predicted = (0..TREES).all(|i| family[i] == *shift || delta[i] == 0);
                let ok = extend_sender(&punctured, &SID, &message).is_ok();
                assert_eq!(ok, predicted, "family {f}, shift {s}, density {density}");
                cases += 1;
                passed += u32::from(ok);
            }
        }
    }
    assert_eq!((cases, passed), (5 * 4 * 4, 40));
}

/// Two trees attacked at once: of the 256 possible pairs of nibbles one lets the receiver through.
///
/// covers: A11
#[test]
fn two_attacked_trees_pass_once_in_256() {
    let mut rng = test_rng("rate");
    let mut passed = 0;
    for pair in 0..=255u8 {
        let mut delta = dense_delta(&mut rng);
        (delta[4], delta[20]) = (pair & 15, pair >> 4);
        let (all, punctured) = ideal_pair::<C>(&ID, delta, &mut rng);
        let mut deviation = [NONE; TREES];
        (deviation[4], deviation[20]) = (bit(150), bit(150));
        let message = cheat(&all, &mut rng, &deviation, &NONE, &[0; TREES]);
        passed += u32::from(extend_sender(&punctured, &SID, &message).is_ok());
    }
    assert_eq!(passed, 1);
}

/// covers: A12
#[test]
fn the_challenge_depends_on_every_byte() {
    let mut rng = test_rng("chi");
    let (all, _) = ideal_pair::<C>(&ID, [1; TREES], &mut rng);
    let (_, m) = extend_receiver(&all, &SID, 1, &mut rng);
    let mut seen = BTreeSet::from([challenge(&ID, &SID, &m.nonce_r, &m.u)]);
    let mut changes = 0;
    for byte in 0..32 {
        let mut other = ID;
        other[byte] ^= 1;
        seen.insert(challenge(&other, &SID, &m.nonce_r, &m.u));
        let mut other = SID;
        other[byte] ^= 1;
        seen.insert(challenge(&ID, &other, &m.nonce_r, &m.u));
        changes += 2;
    }
    for byte in 0..16 {
        let mut other = m.nonce_r;
        other[byte] ^= 1;
        seen.insert(challenge(&ID, &SID, &other, &m.u));
        changes += 1;
    }
    for byte in 0..TREES * ROW_BYTES {
        let mut other = m.u;
        other.as_flattened_mut()[byte] ^= 1;
        seen.insert(challenge(&ID, &SID, &m.nonce_r, &other));
        changes += 1;
    }
    assert_eq!(changes, 32 + 32 + 16 + 2176);
    assert_eq!(seen.len(), 1 + changes);
}

/// Any change of any byte of the message, and any other session or instance, is refused.
///
/// covers: A1, A19
#[test]
fn every_changed_byte_is_refused() {
    let mut rng = test_rng("bytes");
    let (all, mut punctured) = ideal_pair::<C>(&ID, dense_delta(&mut rng), &mut rng);
    let (_, message) = extend_receiver(&all, &SID, 1, &mut rng);
    let good = borsh::to_vec(&message).unwrap();
    let mut cases = 0;
    for byte in (0..16).chain((16..2192).step_by(17)).chain(2192..2240) {
        let mut bad = good.clone();
        bad[byte] ^= 0x10;
        let bad = borsh::from_slice(&bad).unwrap();
        assert_eq!(extend_sender(&punctured, &SID, &bad), Err(CheckFailed));
        cases += 1;
    }
    assert_eq!(cases, 16 + 128 + 48);
    assert_eq!(extend_sender(&punctured, &[0; 32], &message), Err(CheckFailed));
    punctured.ot_id[31] ^= 1;
    assert_eq!(extend_sender(&punctured, &SID, &message), Err(CheckFailed));

    for length in [0, 1, 2239, 2241] {
        let noise = alloc::vec![0xa5; length];
        assert!(borsh::from_slice::<Extension>(&noise).is_err());
    }
    for _ in 0..20 {
        let mut noise = [0; 2240];
        rng.fill(&mut noise);
        let noise = borsh::from_slice(&noise).unwrap();
        assert_eq!(extend_sender(&punctured, &SID, &noise), Err(CheckFailed));
    }
}

/// A batch is many extensions under one check: every item has the correlation, with streams of its own.
///
/// covers: A7
#[test]
fn rows_of_every_item_satisfy_the_correlation() {
    let mut rng = test_rng("batch");
    let mut transfers = 0;
    for count in [1, 2, 5] {
        let (all, punctured) = ideal_pair::<C>(&ID, random_delta(&mut rng), &mut rng);
        let (received, message) = extend_receiver(&all, &SID, count, &mut rng);
        let bytes = borsh::to_vec(&message).unwrap();
        assert_eq!(bytes.len(), 2_240 + (count - 1) * 1_664);
        let message: Extension = borsh::from_slice(&bytes).unwrap();
        assert_eq!(message.items(), count);
        let q = extend_sender(&punctured, &SID, &message).unwrap();
        assert_eq!((q.len(), received.items.len()), (count, count));
        let delta = *punctured.delta_bits();
        let mut seen = BTreeSet::new();
        for (q, t) in q.iter().zip(&received.items) {
            assert_eq!((q.len(), t.rows.len()), (TRANSFERS, TRANSFERS));
            for (j, (q, row)) in q.iter().zip(t.rows.iter()).enumerate() {
                let beta = (t.choices[j / 128] >> (j % 128)) & 1;
                assert_eq!(*q, row ^ (delta * beta));
                seen.insert(*row);
                transfers += 1;
            }
        }
        assert_eq!(seen.len(), count * TRANSFERS, "no row of one item is one of another");
    }
    assert_eq!(transfers, 8 * TRANSFERS);
}

/// The cheat of one item with honest others: passes for one guess of a nibble in sixteen, wherever it stands.
///
/// covers: A1, A11
#[test]
fn a_deviation_in_one_item_of_a_batch_fails_the_whole_of_it() {
    let mut rng = test_rng("batch cheat");
    let delta = dense_delta(&mut rng);
    let (all, punctured) = ideal_pair::<C>(&ID, delta, &mut rng);
    let count = 3;
    let (mut cases, mut passed) = (0, 0);
    for (item, tree) in [(0, 5), (1, 0), (2, 31)] {
        for guess in 0..16u8 {
            let nonce_r = rng.bytes();
            let error = bit(250);
            let expansions: Vec<Expansion> =
                (0..count).map(|item| expand_all(&all, &SID, &nonce_r, item)).collect();
            let mut choices: Vec<Row> = (0..count)
                .map(|item| {
                    let mut x: Row = core::array::from_fn(|_| u128::from_le_bytes(rng.bytes()));
                    trim(&mut x);
                    if item > 0 {
                        x[0] = 0;
                    }
                    x
                })
                .collect();
            let row = |at: usize, i: usize| {
                let mut row = expansions[at].sums[i];
                xor(&mut row, &choices[at]);
                if (at, i) == (item, tree) {
                    xor(&mut row, &error);
                }
                row
            };
            let u = core::array::from_fn(|i| to_bytes(&row(0, i)));
            let more: Vec<MoreRows> =
                (1..count).map(|at| core::array::from_fn(|i| payload_to_bytes(&row(at, i)))).collect();
            let digests = Digests::new(&challenges(&ID, &SID, &nonce_r, &u, &more));
            let x_check = digests.of(choices.iter());
            let values: Vec<u128> = (0..COLUMNS)
                .map(|m| {
                    let honest = digests.of(expansions.iter().map(|e| &e.columns[m]));
                    let met = if m / 4 == tree { mask(guess >> (m % 4)) } else { 0 };
                    honest ^ (met & digests.items[item].of(&error))
                })
                .collect();
            let t = check_digest(&ID, &SID, &digests.first, x_check, values.into_iter());
            let message = Extension { nonce_r, u, x: x_check.to_le_bytes(), t, more };
            let ok = extend_sender(&punctured, &SID, &message).is_ok();
            assert_eq!(ok, guess == delta[tree], "item {item}, tree {tree}");
            passed += u32::from(ok);
            cases += 1;
            choices.clear();
        }
    }
    assert_eq!((cases, passed), (48, 3));
}

/// covers: A12
#[test]
fn every_challenge_depends_on_every_item() {
    let mut rng = test_rng("batch chi");
    let (all, _) = ideal_pair::<C>(&ID, [1; TREES], &mut rng);
    let (_, m) = extend_receiver(&all, &SID, 3, &mut rng);
    let of = |m: &Extension| challenges(&ID, &SID, &m.nonce_r, &m.u, &m.more);
    let mut seen: BTreeSet<[u8; 16]> = of(&m).into_iter().collect();
    let mut changes = 0;
    for item in 0..2 {
        for byte in (0..TREES * PAYLOAD_BYTES).step_by(97) {
            let mut other = m.clone();
            other.more[item].as_flattened_mut()[byte] ^= 1;
            seen.extend(of(&other));
            changes += 1;
        }
    }
    let mut other = m.clone();
    other.more.swap(0, 1);
    seen.extend(of(&other));
    other.more.pop();
    assert_eq!(of(&other).len(), 2);
    seen.extend(of(&other));
    assert_eq!(changes, 36);
    assert_eq!(seen.len(), 3 * (1 + changes + 1) + 2);
}

#[test]
fn as_many_items_are_read_as_may_be_sent_and_no_more() {
    let bytes = |items: usize| alloc::vec![0; Extension::len(items)];
    let most: Extension = borsh::from_slice(&bytes(MAX_ITEMS)).unwrap();
    assert_eq!(most.more.len(), MAX_ITEMS - 1);
    assert!(borsh::from_slice::<Extension>(&bytes(MAX_ITEMS + 1)).is_err());
}

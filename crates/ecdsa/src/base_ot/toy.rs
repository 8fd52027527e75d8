//! The base OT in groups so small that every run there is can be counted.
//!
//! The model writes a point as its logarithm, which nobody in it but the enumeration knows: OT.1–OT.6 of `spec/20-base-ot.md` for one
//! instance, with H_p as a table of which every one is tried, and the shared point in place of the key that H_k makes of it. A receiver is
//! taken to be *algebraic*: every point that it computes is a sum of points it was given, with factors that depend on its own secrets in
//! any way. What the model cannot show is that the group leaves it nothing better (CDH), nor anything about H_k.

use super::*;
use crate::suite::test_rng;
use crate::toy::Toy;
use std::collections::BTreeSet;
use std::vec::Vec;

/// Every vector of D numbers below q.
fn all<const D: usize>(q: usize) -> impl Iterator<Item = [usize; D]> {
    (0..q.pow(u32::try_from(D).unwrap())).map(move |mut number| {
        core::array::from_fn(|_| {
            let digit = number % q;
            number /= q;
            digit
        })
    })
}

/// H_p(c, r) for c = 0, 1 and each of three points.
type Oracle = [usize; 6];

const Q: usize = 3;

/// OT.3: (r_0, r_1) of choice c with a and the point of the other branch.
fn points(oracle: &Oracle, c: usize, a: usize, other: usize) -> [usize; 2] {
    let chosen = (a + Q - oracle[c * Q + other]) % Q;
    if c == 0 { [chosen, other] } else { [other, chosen] }
}

/// OT.5: (M_0, M_1).
fn masked(oracle: &Oracle, r: [usize; 2]) -> [usize; 2] {
    core::array::from_fn(|c| (r[c] + oracle[c * Q + r[1 - c]]) % Q)
}

/// Under every oracle, the points of either choice are every pair of points, each for one a and one point of the other branch: they tell
/// nothing. The receiver's shared point is the sender's for its choice, in every run.
///
/// covers: A14
#[test]
fn every_pair_of_points_comes_from_either_choice_once() {
    let [mut pairs, mut runs] = [0; 2];
    for oracle in all::<6>(Q) {
        for c in 0..2 {
            let mut seen = BTreeSet::new();
            for [a, other] in all::<2>(Q) {
                let r = points(&oracle, c, a, other);
                assert!(seen.insert(r));
                pairs += 1;
                let m = masked(&oracle, r);
                for b in all::<2>(Q) {
                    assert_eq!(b[c] * m[c] % Q, b[c] * a % Q);
                    runs += 1;
                }
            }
            assert_eq!(seen.len(), Q * Q);
        }
    }
    assert_eq!((pairs, runs), (729 * 2 * 9, 729 * 2 * 9 * 9));
}

/// Of all sums x·G + y_0·B_0 + y_1·B_1 + z·H + z'·H' that a receiver with secrets a and o can form, H and H' being what it was answered for
/// the other branch and its own, one is the shared point of its branch whatever the points are, and none is that of the other
/// branch for more than 2·q − 1 of q² of them, which is what 0 reaches.
///
/// covers: A14
#[test]
fn no_sum_of_what_the_receiver_has_opens_the_other_branch() {
    const Q: usize = 5;
    let mut cases = 0;
    for ([a, o], c) in all::<2>(Q).flat_map(|secrets| [(secrets, 0), (secrets, 1)]) {
        let mut most = 0;
        let mut always = Vec::new();
        for [x, y0, y1, z, own] in all::<5>(Q) {
            let [mut chosen, mut other] = [0; 2];
            for [b0, b1, h, h_own] in all::<4>(Q) {
                let b = [b0, b1];
                let sum = (x + y0 * b0 + y1 * b1 + z * h + own * h_own) % Q;
                // M_c = r_c + H' = a, M_{1-c} = o + H
                chosen += usize::from(sum == b[c] * a % Q);
                other += usize::from(sum == b[1 - c] * (o + h) % Q);
                cases += 1;
            }
            most = most.max(other);
            if chosen == Q.pow(4) {
                always.push([x, y0, y1, z, own]);
            }
        }
        assert_eq!(most, Q * Q * (2 * Q - 1));
        let known = if c == 0 { [0, a, 0, 0, 0] } else { [0, 0, a, 0, 0] };
        assert_eq!(always, [known]);
    }
    assert_eq!(cases, 2 * 25 * 3125 * 625);
}

/// The code of the real curves in a group of eleven points, one instance a run: every choice, a and point of the other branch occur, points
/// that repeat or cancel are refused in the runs that have them and in no other, the chosen key is right, and what the receiver
/// makes for the other branch is the sender's key exactly where both M are one point, which on a real curve they never are.
///
/// covers: A14
#[test]
fn the_real_code_in_a_toy_group_refuses_and_agrees_as_it_should() {
    type C = Toy<11>;
    let mut rng = test_rng("toy base ot");
    let mut secrets = BTreeSet::new();
    let [mut repeated, mut cancelled, mut agreed, mut alike] = [0; 4];
    let runs = 5000u16;
    for run in 0..runs {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&run.to_le_bytes());
        let (mut receiver, mut r) = Receiver::<C>::start(&id, &mut rng);
        receiver.0.truncate(1);
        r.0.truncate(1);
        let (Secret { choice, a, .. }, Pair { points, encoded }) = (&receiver.0[0], &r.0[0]);
        let (a, choice) = (*a, choice.unwrap_u8());
        let (c, other) = (usize::from(choice), usize::from(1 - choice));
        secrets.insert((c, a.to_bytes(), encoded[other]));
        let m: [Point<C>; 2] = core::array::from_fn(|c| {
            let branch = u8::try_from(c).unwrap();
            points[c] + point_oracles::<C>(&id, &[([0, branch], encoded[1 - c])])[0]
        });
        assert!(m[c] == Point::mul_base(&a));
        let expected = if points[0] == points[1] {
            Some(SetupFault::RepeatedPoint)
        } else {
            m.iter().any(|m| bool::from(m.is_identity())).then_some(SetupFault::IdentityPoint)
        };
        let sent = send(&id, &r, &mut rng);
        assert_eq!(sent.as_ref().err(), expected.as_ref());
        let Ok((sent, b)) = sent else {
            repeated += usize::from(expected == Some(SetupFault::RepeatedPoint));
            cancelled += usize::from(expected == Some(SetupFault::IdentityPoint));
            continue;
        };
        let Pair { points: b_points, encoded: b_encoded } = &b.0[0];
        let shared = encode(&(b_points[other] * a));
        let guess = key(C::ID, &id, 0, 1 - choice, encoded, &b_encoded[other], &shared);
        // Where b is zero every M gives the same.
        let same = m[0] == m[1] || bool::from(b_points[other].is_identity());
        assert_eq!(guess == sent[0][other], same);
        alike += usize::from(same);
        let received = receiver.finish(&id, &b);
        assert_eq!(received[..], [(choice, sent[0][c])]);
        agreed += 1;
    }
    assert_eq!(repeated + cancelled + agreed, usize::from(runs));
    assert_eq!(secrets.len(), 2 * 11 * 11);
    // One in eleven repeats; of the rest about two in eleven cancel; of what is left about two in eleven are alike.
    assert!(repeated > 300 && cancelled > 600 && agreed > 3000 && alike > 300);
}

/// The points of the real code, in a group of eleven, are as evenly spread for one choice as for the other: χ² over the 121 pairs.
///
/// covers: A14
#[test]
fn the_real_code_spreads_its_points_evenly_for_either_choice() {
    type C = Toy<11>;
    let mut rng = test_rng("toy spread");
    let place =
        |encoded: &Encoded| (0..11u64).position(|k| encode(&Point::<C>::mul_base(&k.into())) == *encoded);
    let mut counts = [[0u32; 121]; 2];
    for run in 0..400u16 {
        let mut id = [1; 32];
        id[..2].copy_from_slice(&run.to_le_bytes());
        let (receiver, r) = Receiver::<C>::start(&id, &mut rng);
        for (secret, Pair { encoded: [e0, e1], .. }) in receiver.0.iter().zip(&r.0) {
            let pair = 11 * place(e0).unwrap() + place(e1).unwrap();
            counts[usize::from(secret.choice.unwrap_u8())][pair] += 1;
        }
    }
    assert_eq!(counts.as_flattened().iter().sum::<u32>(), 400 * 128);
    for counts in counts {
        let mean = f64::from(counts.iter().sum::<u32>()) / 121.0;
        let chi: f64 = counts.iter().map(|count| (f64::from(*count) - mean).powi(2) / mean).sum();
        // 120 degrees of freedom: mean 120, deviation 15.5; six of them.
        assert!(mean > 150.0 && chi < 213.0, "{chi}");
    }
}

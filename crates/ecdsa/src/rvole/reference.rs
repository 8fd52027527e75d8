//! The multiplication once more, as plainly as the papers have it: bits are `bool`s, sums stand as they are written, field elements are
//! [`Scalar`]s, every hash is BLAKE3, nothing is batched, and the check values travel in clear. It shares with the fast path the leaves
//! that it starts from and the public gadget, and none of its code. Its messages are others, because its hashes are; what both must
//! agree about is the ideal functionality: the products, and which deviation is accepted.

use std::vec::Vec;

use quorate_protocol::curve::{EcdsaCurve, P256, Scalar, Secp256k1, WIDE_LEN};
use quorate_protocol::rng::HedgedRng;
use quorate_protocol::transcript::{Transcript, tags};

use super::{LANES, RvoleFault, RvoleReceiver, RvoleSender};
use crate::gf128::reference::dot;
use crate::ot_setup::{AllLeaves, PuncturedLeaves, gadget_scalars, ideal_pair};
use crate::residue::{Modulus, from_scalar};
use crate::softspoken::guessing;
use crate::suite::{COLUMNS, LEAVES, TRANSFERS, TREE_BITS, TREES, test_rng};

const ID: [u8; 32] = [9; 32];

/// 128 bits of mask, then a bit a transfer.
const WIDTH: usize = 128 + TRANSFERS;
type Bits = Vec<bool>;

fn stream(label: &'static str, parts: &[&[u8]], out: &mut [u8]) {
    let mut transcript = Transcript::new(tags::TEST);
    transcript.absorb("reference", label.as_bytes());
    for part in parts {
        transcript.absorb("part", part);
    }
    transcript.xof().fill(out);
}

fn add(a: &Bits, b: &Bits) -> Bits {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// The sum of the rows whose index is chosen.
fn sum<'a>(rows: impl Iterator<Item = (usize, &'a Bits)>, keep: impl Fn(usize) -> bool) -> Bits {
    rows.filter(|(y, _)| keep(*y)).fold(vec![false; WIDTH], |sum, (_, row)| add(&sum, row))
}

fn expand(leaf: &[u8; 16], sid: &[u8; 32]) -> Bits {
    let mut bytes = [0u8; WIDTH / 8];
    stream("leaf", &[leaf, sid], &mut bytes);
    (0..WIDTH).map(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1).collect()
}

/// R_χ(w) = w_0 + Σ w_i·χ^(5−i), by multiplication bit by bit.
fn digest(row: &Bits, chi: u128) -> u128 {
    let word = |at: usize| {
        let bits = row.iter().skip(128 * at).take(128).enumerate();
        bits.fold(0u128, |word, (i, bit)| word | (u128::from(*bit) << i))
    };
    word(0) ^ (1..5).fold(0, |sum, at| dot(sum ^ word(at), chi))
}

fn challenge(sid: &[u8; 32], u: &[Bits]) -> u128 {
    let bits: Vec<u8> = u.iter().flatten().map(|bit| u8::from(*bit)).collect();
    let mut chi = [0u8; 16];
    stream("chi", &[sid, &bits], &mut chi);
    u128::from_le_bytes(chi)
}

struct Message {
    u: Vec<Bits>,
    x: u128,
    /// t~, which the fast path hashes
    t: Vec<u128>,
}

/// The receiver's message for these choices, and its columns. `deviation` is added to the choices in tree 0, and the check values are made
/// as if that nibble of Δ were the guess.
fn extend<C: EcdsaCurve>(
    leaves: &AllLeaves<C>,
    sid: &[u8; 32],
    choices: &Bits,
    deviation: Option<(&Bits, u8)>,
) -> (Vec<Bits>, Message) {
    let rows: Vec<Bits> = leaves.leaves.iter().map(|leaf| expand(leaf, sid)).collect();
    let tree = |i: usize| rows[LEAVES * i..LEAVES * (i + 1)].iter().enumerate();
    let mut u: Vec<Bits> = (0..TREES).map(|i| add(&sum(tree(i), |_| true), choices)).collect();
    if let Some((error, _)) = deviation {
        u[0] = add(&u[0], error);
    }
    let column = |m: usize| sum(tree(m / TREE_BITS), |y| y >> (m % TREE_BITS) & 1 == 1);
    let columns: Vec<Bits> = (0..COLUMNS).map(column).collect();
    let chi = challenge(sid, &u);
    let check = |(m, column): (usize, &Bits)| {
        let met = deviation.filter(|(_, guess)| m < TREE_BITS && guess >> m & 1 == 1);
        digest(column, chi) ^ met.map_or(0, |(error, _)| digest(error, chi))
    };
    let t = columns.iter().enumerate().map(check).collect();
    (columns, Message { u, x: digest(choices, chi), t })
}

/// The sender's columns, if the message passes the check.
fn check<C: EcdsaCurve>(leaves: &PuncturedLeaves<C>, sid: &[u8; 32], message: &Message) -> Option<Vec<Bits>> {
    let known: Vec<Bits> = leaves.leaves.iter().map(|leaf| expand(leaf, sid)).collect();
    let delta = |m: usize| leaves.delta[m / TREE_BITS] >> (m % TREE_BITS) & 1 == 1;
    let column = |m: usize| {
        let i = m / TREE_BITS;
        // The leaves at y ⊕ Δ = 1 … 15, in this order.
        let tree = known[(LEAVES - 1) * i..(LEAVES - 1) * (i + 1)].iter();
        let w = sum((1..).zip(tree), |z| z >> (m % TREE_BITS) & 1 == 1);
        if delta(m) { add(&w, &message.u[i]) } else { w }
    };
    let columns: Vec<Bits> = (0..COLUMNS).map(column).collect();
    let chi = challenge(sid, &message.u);
    let consistent =
        |(m, q): (usize, &Bits)| digest(q, chi) ^ if delta(m) { message.x } else { 0 } == message.t[m];
    columns.iter().enumerate().all(consistent).then_some(columns)
}

/// Row j as a number, bit m from column m.
fn row(columns: &[Bits], j: usize) -> u128 {
    columns.iter().enumerate().fold(0, |row, (m, column)| row | (u128::from(column[128 + j]) << m))
}

fn pads<C: EcdsaCurve>(sid: &[u8; 32], j: usize, row: u128) -> [Scalar<C>; LANES] {
    core::array::from_fn(|lane| {
        let mut wide = [0u8; WIDE_LEN];
        let place = [j.to_le_bytes(), lane.to_le_bytes()];
        stream("pad", &[sid, place.as_flattened(), &row.to_le_bytes()], &mut wide);
        Scalar::from_wide(&wide)
    })
}

/// Both sides of the second message: the sender's c, and the receiver's d if it accepts. `shifted` is a row and a lane in which the sender
/// adds one to its input.
fn multiply<C: EcdsaCurve>(
    [t, q]: [&[Bits]; 2],
    (delta, beta): (u128, &[bool]),
    sid: &[u8; 32],
    inputs: &[Scalar<C>; LANES],
    shifted: Option<(usize, usize)>,
) -> ([Scalar<C>; 2], Option<[Scalar<C>; 2]>) {
    let gadget: Vec<Scalar<C>> = gadget_scalars(&ID).collect();
    let [mut c, mut d] = [[Scalar::ZERO(); 2]; 2];
    let mut masked = Vec::new();
    for (j, g) in gadget.iter().enumerate() {
        let zero = pads::<C>(sid, j, row(q, j));
        let one = pads::<C>(sid, j, row(q, j) ^ delta);
        masked.push(core::array::from_fn::<_, LANES, _>(|k| {
            let shift = if shifted == Some((j, k)) { Scalar::ONE() } else { Scalar::ZERO() };
            zero[k] - one[k] + inputs[k] + shift
        }));
        for k in 0..2 {
            c[k] = c[k] - *g * zero[k];
        }
    }
    let encoded: Vec<u8> = masked.iter().flatten().flat_map(Scalar::to_bytes).collect();
    let theta: [Scalar<C>; 2] = core::array::from_fn(|k| {
        let mut wide = [0u8; WIDE_LEN];
        stream("theta", &[sid, &[u8::from(k == 1)], &encoded], &mut wide);
        Scalar::from_wide(&wide)
    });
    let weigh = |lanes: &[Scalar<C>; LANES]| lanes[2] + theta[0] * lanes[0] + theta[1] * lanes[1];
    let eta = weigh(inputs);
    let mut accepted = true;
    for (j, g) in gadget.iter().enumerate() {
        let pad = pads::<C>(sid, j, row(t, j));
        let chosen = |value: Scalar<C>| if beta[j] { value } else { Scalar::ZERO() };
        let gamma: [Scalar<C>; LANES] = core::array::from_fn(|k| pad[k] + chosen(masked[j][k]));
        let mu = weigh(&pads::<C>(sid, j, row(q, j)));
        accepted &= weigh(&gamma) - chosen(eta) == mu;
        for k in 0..2 {
            d[k] += *g * gamma[k];
        }
    }
    (c, accepted.then_some(d))
}

/// A random mask, then these choices.
fn choices(words: &[u128], rng: &mut HedgedRng) -> Bits {
    let mask = u128::from_le_bytes(rng.bytes());
    let words: Vec<u128> = core::iter::once(mask).chain(words.iter().copied()).collect();
    (0..WIDTH).map(|bit| words[bit / 128] >> (bit % 128) & 1 == 1).collect()
}

fn delta(rng: &mut HedgedRng) -> [u8; TREES] {
    rng.bytes::<TREES>().map(|b| b & 0x0f)
}

/// For the same leaves, Δ, choices and inputs: the same χ, and shares of the same products, which are those of the ideal functionality.
#[test]
fn both_paths_multiply_as_the_ideal_functionality_does() {
    fn on<C: EcdsaCurve>(items: usize, rng: &mut HedgedRng) -> usize {
        let (all, punctured) = ideal_pair::<C>(&ID, delta(rng), rng);
        let sid = rng.bytes();
        let (receiver, message) = RvoleReceiver::<C>::start(&all, &sid, items, rng);
        let sender = RvoleSender::receive(&punctured, &sid, &message).unwrap();
        let inputs: Vec<[Scalar<C>; 2]> =
            (0..items).map(|_| [Scalar::random(rng), Scalar::random(rng)]).collect();
        let beta: Vec<Bits> = receiver.items.iter().map(|item| choices(&*item.choices, rng)).collect();
        let chi = receiver.chi().to_vec();
        let (c, message) = sender.respond(&inputs, rng);
        let d = receiver.finish(&message).unwrap();
        let mut products = 0;
        for (item, inputs) in inputs.iter().enumerate() {
            let plain_chi = gadget_scalars::<C>(&ID)
                .zip(&beta[item][128..])
                .fold(Scalar::ZERO(), |sum, (g, bit)| if *bit { sum + g } else { sum });
            assert!(plain_chi == chi[item]);
            let sid = rng.bytes();
            let (t, message) = extend(&all, &sid, &beta[item], None);
            let q = check(&punctured, &sid, &message).expect("an honest message passes");
            let lanes = [inputs[0], inputs[1], Scalar::random(rng)];
            let shared = (*punctured.delta_bits(), &beta[item][128..]);
            let (plain_c, plain_d) = multiply([&t, &q], shared, &sid, &lanes, None);
            let plain_d = plain_d.expect("an honest answer passes");
            for k in 0..2 {
                assert!(c[item][k] + d[item][k] == inputs[k] * plain_chi);
                assert!(plain_c[k] + plain_d[k] == inputs[k] * plain_chi);
                products += 1;
            }
        }
        products
    }
    let mut rng = test_rng("reference");
    assert_eq!(on::<Secp256k1>(1, &mut rng) + on::<Secp256k1>(3, &mut rng), 8);
    assert_eq!(on::<P256>(1, &mut rng) + on::<P256>(2, &mut rng), 6);
}

/// A receiver that deviates in one tree and guesses a nibble of Δ is accepted by both paths for the same guesses: the right one.
#[test]
fn both_paths_accept_the_same_guesses_of_delta() {
    let mut rng = test_rng("reference guesses");
    let mut error = vec![false; WIDTH];
    error[128] = true;
    let (mut accepted, mut cases) = (0, 0);
    for nibble in [0u8, 1, 6, 15] {
        let mut delta = delta(&mut rng);
        delta[0] = nibble;
        let (all, punctured) = ideal_pair::<Secp256k1>(&ID, delta, &mut rng);
        for guess in 0..16 {
            let sid = rng.bytes();
            let fast = RvoleSender::receive(&punctured, &sid, &guessing(&all, &sid, guess, &mut rng));
            let honest = choices(&[u128::from_le_bytes(rng.bytes()); 4], &mut rng);
            let (_, message) = extend(&all, &sid, &honest, Some((&error, guess)));
            let plain = check(&punctured, &sid, &message).is_some();
            assert_eq!(plain, guess == nibble, "nibble {nibble}, guess {guess}");
            assert_eq!(fast.is_ok(), plain, "nibble {nibble}, guess {guess}");
            accepted += usize::from(plain);
            cases += 1;
        }
    }
    assert_eq!((accepted, cases), (4, 64));
}

/// A sender that uses another input in one lane of one row is accepted by both paths where the receiver's choice is 0, and nowhere else.
#[test]
fn both_paths_accept_the_same_inconsistent_rows() {
    let mut rng = test_rng("reference rows");
    let (all, punctured) = ideal_pair::<Secp256k1>(&ID, delta(&mut rng), &mut rng);
    let modulus = Modulus::of::<Secp256k1>();
    let one = from_scalar(&Scalar::<Secp256k1>::ONE());
    let inputs: [Scalar<Secp256k1>; LANES] = core::array::from_fn(|_| Scalar::random(&mut rng));
    let lanes = inputs.each_ref().map(from_scalar);
    let (mut accepted, mut cases) = (0, 0);
    for (case, row) in [0, 7, 63, 64, 127, 128, 255, 256, 300, 383, 384, 415].into_iter().enumerate() {
        let lane = case % LANES;
        let sid = rng.bytes();
        let (receiver, message) = RvoleReceiver::start(&all, &sid, 1, &mut rng);
        let sender = RvoleSender::receive(&punctured, &sid, &message).unwrap();
        let beta = choices(&*receiver.items[0].choices, &mut rng);
        let cheat = |_, j, honest: &super::Lanes| {
            let mut lanes = *honest;
            if j == row {
                lanes[lane] = modulus.add(&lanes[lane], &one);
            }
            lanes
        };
        let (_, message) = sender.respond_with(&[lanes], cheat, rng.bytes());
        let fast = receiver.finish(&message);
        let (t, message) = extend(&all, &sid, &beta, None);
        let q = check(&punctured, &sid, &message).expect("an honest message passes");
        let shared = (*punctured.delta_bits(), &beta[128..]);
        let (_, plain) = multiply([&t, &q], shared, &sid, &inputs, Some((row, lane)));
        assert_eq!(plain.is_some(), !beta[128 + row], "row {row}");
        assert_eq!(fast.err(), plain.is_none().then_some(RvoleFault::Consistency), "row {row}");
        accepted += usize::from(plain.is_some());
        cases += 1;
    }
    assert_eq!(cases, 12);
    assert!((1..12).contains(&accepted), "both verdicts occur");
}

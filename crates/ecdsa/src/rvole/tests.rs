//! Correctness of the multiplication, and what inconsistent senders and receivers meet.

use super::*;
use crate::ot_setup::ideal_pair;
use crate::suite::test_rng;
use quorate_protocol::curve::{Curve, P256, Secp256k1};
use std::collections::BTreeSet;

const ID: [u8; 32] = [1; 32];
const SID: [u8; 32] = [2; 32];

fn pair<C: EcdsaCurve>(rng: &mut HedgedRng) -> (AllLeaves<C>, PuncturedLeaves<C>) {
    let delta = rng.bytes::<32>().map(|b| b % 15 + 1);
    ideal_pair(&ID, delta, rng)
}

fn over_the_wire<T: BorshSerialize + BorshDeserialize>(message: &T, len: usize) -> T {
    let bytes = borsh::to_vec(message).unwrap();
    assert_eq!(bytes.len(), len);
    borsh::from_slice(&bytes).unwrap()
}

fn scalar_hex<C: EcdsaCurve>(s: &Scalar<C>) -> String {
    hex::encode(s.to_bytes())
}

#[test]
fn shares_add_up_to_the_product_on_both_curves() {
    fn on<C: EcdsaCurve>() -> usize {
        let mut rng = test_rng("rvole");
        let (all, punctured) = pair::<C>(&mut rng);
        let mut cases = 0;
        let edge = [Scalar::<C>::ZERO(), Scalar::ONE(), -Scalar::ONE(), Scalar::random(&mut rng)];
        let mut chis = BTreeSet::new();
        for u in edge {
            for v in edge {
                let sid = rng.bytes();
                let (receiver, message) = RvoleReceiver::start(&all, &sid, 1, &mut rng);
                let message = over_the_wire(&message, RvoleMsg1::len(1));
                let sender = RvoleSender::receive(&punctured, &sid, &message).unwrap();
                let (c, message) = sender.respond(&[[u, v]], &mut rng);
                let message = over_the_wire(&message, RvoleMsg2::<C>::len(1));
                let chi = receiver.chi()[0];
                let d = receiver.finish(&message).unwrap();
                assert!(c[0][0] + d[0][0] == u * chi);
                assert!(c[0][1] + d[0][1] == v * chi);
                chis.insert(chi.to_bytes());
                cases += 1;
            }
        }
        assert_eq!(chis.len(), cases);
        cases
    }
    assert_eq!(on::<Secp256k1>(), 16);
    assert_eq!(on::<P256>(), 16);
    assert_eq!((RvoleMsg1::len(1), RvoleMsg2::<P256>::len(1)), (2_240, 40_016));
}

/// The compile-time rule of pad lengths, and known answers of the reduction. Expected values: 2^384 − 1, 2^383 and 2^256 − 1 modulo
/// the orders, computed apart from this code.
///
/// covers: A6
#[test]
fn pads_reduce_to_known_answers() {
    const {
        assert!(pad_len_is_unbiased(Secp256k1::ID, Secp256k1::PAD_LEN));
        assert!(pad_len_is_unbiased(P256::ID, P256::PAD_LEN));
        assert!(!pad_len_is_unbiased(P256::ID, 32));
        assert!(!pad_len_is_unbiased(Secp256k1::ID, 31));
    }
    let order = |hex_order: &str| {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(hex_order, &mut bytes).unwrap();
        bytes
    };
    let n = order("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let mut n_less_one = n;
    n_less_one[31] -= 1;
    let q = order("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let wide = |low: [u8; 32]| {
        let mut out = [0u8; 48];
        out[16..].copy_from_slice(&low);
        out
    };
    let mut q_less_one = q;
    q_less_one[31] -= 1;
    let mut top_bit = [0u8; 48];
    top_bit[0] = 0x80;

    let k256: [(&[u8], Scalar<Secp256k1>); 4] = [
        (&n, Scalar::ZERO()),
        (&n_less_one, -Scalar::ONE()),
        (&[0; 32], Scalar::ZERO()),
        (
            &[0xff; 32],
            Scalar::from_bytes(&order("000000000000000000000000000000014551231950b75fc4402da1732fc9bebe"))
                .unwrap(),
        ),
    ];
    for (pad, expected) in &k256 {
        assert_eq!(scalar_hex(&Scalar::<Secp256k1>::from_pad(pad)), scalar_hex(expected));
    }
    let (wide_q, wide_q_less_one, wide_ones) = (wide(q), wide(q_less_one), wide([0xff; 32]));
    let p256: [(&[u8], Scalar<P256>); 6] = [
        (&wide_q, Scalar::ZERO()),
        (&wide_q_less_one, -Scalar::ONE()),
        (&[0; 48], Scalar::ZERO()),
        (
            &[0xff; 48],
            Scalar::from_bytes(&order("431905529c0166ce652e96b7ccca0a99679b73e19ad16947f01cf013fc632550"))
                .unwrap(),
        ),
        (
            &wide_ones,
            Scalar::from_bytes(&order("00000000ffffffff00000000000000004319055258e8617b0c46353d039cdaae"))
                .unwrap(),
        ),
        (
            &top_bit,
            Scalar::from_bytes(&order("a18c82a8ce00b367b2974b5be665054c92413747a0f483e671eb5d6b7c632551"))
                .unwrap(),
        ),
    ];
    for (pad, expected) in &p256 {
        assert_eq!(scalar_hex(&Scalar::<P256>::from_pad(pad)), scalar_hex(expected));
    }
    assert_eq!(k256.len() + p256.len(), 10);
    // The pad of a row is cut into lanes in order.
    let mut row = [0u8; 96];
    (row[31], row[63], row[95]) = (1, 2, 3);
    assert_eq!(lanes::<Secp256k1>(&Modulus::of::<Secp256k1>(), &row), [1, 2, 3].map(|n| [n, 0, 0, 0]));
}

/// The sender answers the very same message twice: with its fresh nonce all pads are new, so the difference of the two matrices
/// says nothing about the difference of the inputs.
///
/// covers: A13
#[test]
fn two_replies_to_one_message_are_independent() {
    let mut rng = test_rng("replay");
    let (all, punctured) = pair::<P256>(&mut rng);
    let (_, message) = RvoleReceiver::start(&all, &SID, 1, &mut rng);
    let reply = |inputs, rng: &mut HedgedRng| {
        RvoleSender::receive(&punctured, &SID, &message).unwrap().respond(&[inputs], rng).1
    };
    let modulus = Modulus::of::<P256>();
    let inputs = [Scalar::random(&mut rng), Scalar::random(&mut rng)];
    let (a, b) = (reply(inputs, &mut rng), reply(inputs, &mut rng));
    assert_ne!(a.nonce_s, b.nonce_s);
    let mut differences = BTreeSet::new();
    for (a, b) in a.items[0].rows.iter().zip(&b.items[0].rows) {
        for (a, b) in a.iter().zip(b) {
            differences.insert(modulus.sub(a, b));
        }
    }
    assert_eq!(differences.len(), TRANSFERS * LANES);

    // The control: under one nonce the difference is the same in all rows, so this test would see the fault.
    let same = |input: Scalar<P256>| {
        let sender = RvoleSender::receive(&punctured, &SID, &message).unwrap();
        let lanes = [from_scalar(&input); 3];
        sender.respond_with(&[lanes], |_, _, _| lanes, [9; 16]).1
    };
    let (a, b) = (same(inputs[0]), same(inputs[1]));
    let difference = from_scalar(&(inputs[0] - inputs[1]));
    assert!(
        a.items[0].rows.iter().zip(&b.items[0].rows).all(|(a, b)| modulus.sub(&a[0], &b[0]) == difference)
    );
}

fn bit_of(receiver: &RvoleReceiver<Secp256k1>, j: usize) -> bool {
    (receiver.items[0].choices[j / 128] >> (j % 128)) & 1 == 1
}

/// One lane of one row with another input: refused exactly if the receiver's choice of that row is 1, which is the leak on β that the
/// length of g is made for.
///
/// covers: A18
#[test]
fn an_inconsistent_row_is_refused_where_the_choice_meets_it() {
    let mut rng = test_rng("lanes");
    let (all, punctured) = pair::<Secp256k1>(&mut rng);
    let one = from_scalar(&Scalar::<Secp256k1>::ONE());
    let modulus = Modulus::of::<Secp256k1>();
    let inputs: Lanes = core::array::from_fn(|_| from_scalar(&Scalar::<Secp256k1>::random(&mut rng)));
    let (mut cases, mut refused) = (0, 0);
    for lane in 0..LANES {
        for row in [0, 1, 63, 64, 127, 128, 200, 255, 256, 383, 384, 415] {
            let (receiver, message) = RvoleReceiver::start(&all, &SID, 1, &mut rng);
            let sender = RvoleSender::receive(&punctured, &SID, &message).unwrap();
            let cheat = |_, j, _: &Lanes| {
                let mut lanes = inputs;
                if j == row {
                    lanes[lane] = modulus.add(&lanes[lane], &one);
                }
                lanes
            };
            let (_, message) = sender.respond_with(&[inputs], cheat, rng.bytes());
            let met = bit_of(&receiver, row);
            assert_eq!(receiver.finish(&message).err(), met.then_some(RvoleFault::Consistency));
            cases += 1;
            refused += usize::from(met);
        }
    }
    assert_eq!(cases, 36);
    assert!((5..31).contains(&refused));
}

/// covers: A18
#[test]
fn wrong_eta_mu_theta_or_a_whole_wrong_lane_are_refused() {
    let mut rng = test_rng("eta");
    let (all, punctured) = pair::<Secp256k1>(&mut rng);
    let one = from_scalar(&Scalar::<Secp256k1>::ONE());
    let modulus = Modulus::of::<Secp256k1>();
    let inputs: Lanes = core::array::from_fn(|_| from_scalar(&Scalar::<Secp256k1>::random(&mut rng)));
    let mut cases = 0;
    let mut attempt = |change: &dyn Fn(RvoleMsg2<Secp256k1>) -> RvoleMsg2<Secp256k1>,
                       rows: &dyn Fn(usize) -> Lanes| {
        let (receiver, message) = RvoleReceiver::start(&all, &SID, 1, &mut rng);
        let sender = RvoleSender::receive(&punctured, &SID, &message).unwrap();
        let (_, message) = sender.respond_with(&[inputs], |_, j, _| rows(j), rng.bytes());
        cases += 1;
        receiver.finish(&change(message)).is_ok()
    };
    let honest = |_| inputs;
    assert!(attempt(&|m| m, &honest));
    for shift in [Scalar::ONE(), -Scalar::ONE()] {
        assert!(!attempt(
            &|mut m| {
                m.items[0].eta += shift;
                m
            },
            &honest
        ));
    }
    for byte in 0..32 {
        assert!(!attempt(
            &|mut m| {
                m.mu[byte] ^= 1;
                m
            },
            &honest
        ));
    }
    for byte in 0..16 {
        assert!(!attempt(
            &|mut m| {
                m.nonce_s[byte] ^= 1;
                m
            },
            &honest
        ));
    }
    // θ over another matrix: the decoded rows say one thing, the hashed bytes another.
    for byte in [0, 31, 32, 20_000, MATRIX_LEN - 1] {
        assert!(!attempt(
            &|mut m| {
                m.items[0].encoded[byte] ^= 1;
                m
            },
            &honest
        ));
    }
    // One lane wrong in all rows, η made for the honest inputs.
    for lane in 0..LANES {
        let wrong = move |_| {
            let mut lanes = inputs;
            lanes[lane] = modulus.add(&lanes[lane], &one);
            lanes
        };
        assert!(!attempt(&|m| m, &wrong));
    }
    assert_eq!(cases, 1 + 2 + 32 + 16 + 5 + 3);
}

/// covers: A18, A19
#[test]
fn changed_matrix_bytes_on_the_wire_are_refused() {
    let mut rng = test_rng("wire");
    let (all, punctured) = pair::<P256>(&mut rng);
    let mut cases = 0;
    // Low bytes of scalars in all three lanes, first, middle and last row, and η.
    for offset in [16 + 31, 16 + 63, 16 + 95, 16 + 96 * 200 + 31, 16 + MATRIX_LEN - 1, 16 + MATRIX_LEN + 31] {
        let (receiver, message) = RvoleReceiver::start(&all, &SID, 1, &mut rng);
        let sender = RvoleSender::receive(&punctured, &SID, &message).unwrap();
        let inputs = [Scalar::random(&mut rng), Scalar::random(&mut rng)];
        let mut bytes = borsh::to_vec(&sender.respond(&[inputs], &mut rng).1).unwrap();
        bytes[offset] ^= 1;
        let message = borsh::from_slice(&bytes).unwrap();
        assert_eq!(receiver.finish(&message).err(), Some(RvoleFault::Consistency));
        cases += 1;
    }
    assert_eq!(cases, 6);
}

/// covers: A19
#[test]
fn message_2_refuses_scalars_above_the_order_wrong_lengths_and_noise() {
    let mut rng = test_rng("decode");
    let (all, punctured) = pair::<P256>(&mut rng);
    let (_, message) = RvoleReceiver::start(&all, &SID, 1, &mut rng);
    let sender = RvoleSender::receive(&punctured, &SID, &message).unwrap();
    let good = borsh::to_vec(&sender.respond(&[[Scalar::ONE(), Scalar::ONE()]], &mut rng).1).unwrap();
    let mut cases = 0;
    for offset in [16, 48, 80, 16 + 96 * 100, 16 + MATRIX_LEN - 32, 16 + MATRIX_LEN] {
        let mut bad = good.clone();
        bad[offset..offset + 32].fill(0xff);
        assert!(borsh::from_slice::<RvoleMsg2<P256>>(&bad).is_err());
        cases += 1;
    }
    let mut long = good.clone();
    long.push(0);
    for bad in [&good[..good.len() - 1], &good[..16], &[], &long] {
        assert!(borsh::from_slice::<RvoleMsg2<P256>>(bad).is_err());
        cases += 1;
    }
    let mut noise = alloc::vec![0; RvoleMsg2::<P256>::len(1)];
    for _ in 0..20 {
        rng.fill(&mut noise);
        // Every scalar but one in 2^32 of this noise is canonical, so it mostly decodes; then the check refuses it.
        if let Ok(message) = borsh::from_slice::<RvoleMsg2<P256>>(&noise) {
            let (receiver, _) = RvoleReceiver::start(&all, &SID, 1, &mut rng);
            assert_eq!(receiver.finish(&message).err(), Some(RvoleFault::Consistency));
        }
        cases += 1;
    }
    assert_eq!(cases, 30);
}

/// covers: A1, A7, A9
#[test]
fn a_failed_ot_check_stops_before_any_answer() {
    let mut rng = test_rng("ot check");
    let (all, punctured) = pair::<Secp256k1>(&mut rng);
    let (_, message) = RvoleReceiver::start(&all, &SID, 1, &mut rng);
    let mut bytes = borsh::to_vec(&message).unwrap();
    bytes[100] ^= 4;
    let bad = borsh::from_slice(&bytes).unwrap();
    assert_eq!(RvoleSender::receive(&punctured, &SID, &bad).err(), Some(RvoleFault::OtCheck));
    assert_eq!(RvoleSender::receive(&punctured, &[3; 32], &message).err(), Some(RvoleFault::OtCheck));
    let other = ideal_pair::<Secp256k1>(&[7; 32], [5; 32], &mut rng);
    assert_eq!(RvoleSender::receive(&other.1, &SID, &message).err(), Some(RvoleFault::OtCheck));
}

/// covers: A9
#[test]
fn hashes_bind_instance_session_nonces_and_content() {
    let session = |ot_id, sid, nonce| Session { ot_id: [ot_id; 32], sid: [sid; 32], nonce_r: [nonce; 16] };
    let mut thetas = BTreeSet::new();
    let mut mus = BTreeSet::new();
    let mut variants = 0;
    for (ot_id, sid, nonce_r, nonce_s, byte) in
        [(1, 1, 1, 1, 1), (2, 1, 1, 1, 1), (1, 2, 1, 1, 1), (1, 1, 2, 1, 1), (1, 1, 1, 2, 1), (1, 1, 1, 1, 2)]
    {
        let session = session(ot_id, sid, nonce_r);
        let [u, v] = session.theta::<Secp256k1>(&[nonce_s; 16], 0, &[byte; 64]);
        thetas.extend([u.to_bytes(), v.to_bytes()]);
        mus.insert(session.mu(&[nonce_s; 16]).absorb("mu", &[byte; 64]).digest());
        variants += 1;
    }
    assert_eq!((thetas.len(), mus.len()), (2 * variants, variants));
}

#[test]
fn secrets_are_not_printed() {
    let mut rng = test_rng("debug");
    let (all, punctured) = pair::<Secp256k1>(&mut rng);
    let (receiver, message) = RvoleReceiver::start(&all, &SID, 1, &mut rng);
    let sender = RvoleSender::receive(&punctured, &SID, &message).unwrap();
    assert_eq!(
        std::format!("{receiver:?} {message:?} {sender:?}"),
        "RvoleReceiver(..) RvoleMsg1(..) RvoleSender(..)"
    );
}

/// Pins the bytes of all four messages and of both stored forms under a fixed stream of randomness: a change of any label, order or
/// formula shows here, and is a new suite.
#[test]
fn the_bytes_of_a_fixed_run_are_known() {
    use crate::ot_setup::{ReceiverStart, confirm_digest, sender_respond};
    fn on<C: EcdsaCurve>() -> String {
        let mut rng = test_rng("known answer");
        let (start, o1) = ReceiverStart::<C>::new(&ID, &mut rng);
        let (all, o2) = sender_respond(&ID, &o1, &mut rng).unwrap();
        let punctured = start.finish(&o2).unwrap();
        let (receiver, m1) = RvoleReceiver::start(&all, &SID, 1, &mut rng);
        let sender = RvoleSender::receive(&punctured, &SID, &m1).unwrap();
        let (c, m2) = sender.respond(&[[Scalar::from(5), Scalar::from(6)]], &mut rng);
        let chi = receiver.chi()[0];
        let d = receiver.finish(&m2).unwrap();
        let mut transcript = Transcript::new(tags::TEST);
        transcript
            .absorb("O1", &borsh::to_vec(&o1).unwrap())
            .absorb("O2", &borsh::to_vec(&o2).unwrap())
            .absorb("confirm", &confirm_digest(&ID, &o1, &o2))
            .absorb("all", &all.to_secret_bytes())
            .absorb("punctured", &punctured.to_secret_bytes())
            .absorb("message 1", &borsh::to_vec(&m1).unwrap())
            .absorb("message 2", &borsh::to_vec(&m2).unwrap());
        for scalar in [chi, c[0][0], c[0][1], d[0][0], d[0][1]] {
            transcript.absorb("scalar", &scalar.to_bytes());
        }
        hex::encode(transcript.digest())
    }
    assert_eq!(on::<Secp256k1>(), "ddc2f46c063fbf1344be584eb92d56ab00e058700d08890d627fa63b3509ff19");
    assert_eq!(on::<P256>(), "d0712439522806c9347e983fb40991c5cce3faf11e0c5efc75b8ab0557e21896");
}

/// A batch is many multiplications between two messages: each gives its own products, and a fault in one is a fault of all.
///
/// covers: A18
#[test]
fn every_item_of_a_batch_multiplies_and_one_fault_fails_all() {
    fn on<C: EcdsaCurve>() -> usize {
        let mut rng = test_rng("batch");
        let (all, punctured) = pair::<C>(&mut rng);
        let count = 3;
        let mut cases = 0;
        let one = from_scalar(&Scalar::<C>::ONE());
        let modulus = Modulus::of::<C>();
        for faulty in [None, Some(0), Some(1), Some(2)] {
            let (receiver, message) = RvoleReceiver::start(&all, &SID, count, &mut rng);
            let message = over_the_wire(&message, RvoleMsg1::len(count));
            let sender = RvoleSender::receive(&punctured, &SID, &message).unwrap();
            let inputs: Vec<[Scalar<C>; 2]> =
                (0..count).map(|_| [Scalar::random(&mut rng), Scalar::random(&mut rng)]).collect();
            let lanes: Vec<Lanes> = inputs
                .iter()
                .map(|[u, v]| [*u, *v, Scalar::random(&mut rng)].map(|a| from_scalar(&a)))
                .collect();
            let of_row = |item, _, lanes: &Lanes| {
                let mut lanes = *lanes;
                if Some(item) == faulty {
                    lanes[1] = modulus.add(&lanes[1], &one);
                }
                lanes
            };
            let (c, message) = sender.respond_with(&lanes, of_row, rng.bytes());
            let message = over_the_wire(&message, RvoleMsg2::<C>::len(count));
            let chi = receiver.chi().to_vec();
            let d = receiver.finish(&message);
            assert_eq!(d.is_ok(), faulty.is_none());
            if let Ok(d) = d {
                assert_eq!((c.len(), d.len(), chi.len()), (count, count, count));
                for (((inputs, c), d), chi) in inputs.iter().zip(c.iter()).zip(d.iter()).zip(&chi) {
                    for lane in 0..2 {
                        assert!(c[lane] + d[lane] == inputs[lane] * *chi);
                    }
                }
            }
            cases += 1;
        }
        cases
    }
    assert_eq!(on::<Secp256k1>() + on::<P256>(), 8);
}

/// An answer with more or fewer items than were asked for, and items in another order.
///
/// covers: A18, A19
#[test]
fn answers_with_other_items_are_refused() {
    let mut rng = test_rng("batch shape");
    let (all, punctured) = pair::<Secp256k1>(&mut rng);
    let mut cases = 0;
    for change in 0..4 {
        let (receiver, message) = RvoleReceiver::start(&all, &SID, 2, &mut rng);
        let sender = RvoleSender::receive(&punctured, &SID, &message).unwrap();
        let inputs = [[Scalar::random(&mut rng), Scalar::random(&mut rng)]; 2];
        let (_, mut message) = sender.respond(&inputs, &mut rng);
        match change {
            0 => {}
            1 => message.items.swap(0, 1),
            2 => drop(message.items.pop()),
            _ => {
                let copy = borsh::from_slice(&borsh::to_vec(&message.items[0]).unwrap()).unwrap();
                message.items.push(copy);
            }
        }
        assert_eq!(receiver.finish(&message).is_ok(), change == 0);
        cases += 1;
    }
    assert_eq!(cases, 4);
}

#[test]
fn as_many_items_are_read_as_may_be_sent_and_no_more() {
    fn of<C: EcdsaCurve>() {
        let bytes = |items: usize| alloc::vec![0; 16 + 32 + items * Matrix::<C>::LEN];
        let most: RvoleMsg2<C> = borsh::from_slice(&bytes(MAX_ITEMS)).unwrap();
        assert_eq!(most.items.len(), MAX_ITEMS);
        assert!(borsh::from_slice::<RvoleMsg2<C>>(&bytes(MAX_ITEMS + 1)).is_err());
    }
    of::<Secp256k1>();
    of::<P256>();
}

//! Whether what a party computes from its secrets takes a time that tells them. One test, so that its measurements do not disturb each other.

use std::hint::black_box;
use std::vec::Vec;

use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_keys::sharing::Vector;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, CurveId, EcdsaCurve, Ed25519, P256, Point, Scalar, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::HedgedRng;
use quorate_testkit::parties;
use quorate_testkit::timing::{BOUND, Verdict};

use crate::ot_setup::{AllLeaves, PuncturedLeaves};
use crate::rvole::{self, RvoleReceiver, RvoleSender};
use crate::setup::PairwiseSetup;
use crate::softspoken;
use crate::suite::{LEAVES, TREES, test_rng};

const ID: [u8; 32] = [6; 32];
const SID: [u8; 32] = [7; 32];

/// The fixed secret of one class, or a random one. Both are made, whatever the class.
fn fixed_or_random<C: Curve>(rng: &mut HedgedRng, class: bool) -> Scalar<C> {
    let random = Scalar::random(rng);
    if class { random } else { Scalar::ONE() }
}

fn scalar_decoding<C: Curve>(rng: &mut HedgedRng) -> Verdict {
    let prepare = |class| fixed_or_random::<C>(rng, class).to_bytes();
    Verdict::of(3000, prepare, |bytes| {
        (0..100).filter(|_| Scalar::<C>::from_bytes(black_box(&bytes)).is_some()).count()
    })
}

/// A share of two of two, with this secret.
fn share<C: Curve>(rng: &mut HedgedRng) -> (PublicPackage<C>, Vec<u8>) {
    let indices = [1, 2].map(|i| PartyIndex::new(i).unwrap());
    let access = Access::threshold(2, &indices).unwrap();
    let dealing = Vector::<C>::random(&access, rng);
    let (committee, transcript) = (parties(&[1, 2]), [5; 32]);
    let key_id = PublicPackage::birth_id(&dealing.constant().public(), &access, &committee, &transcript);
    let public = PublicPackage {
        epoch: 0,
        key_id,
        committee,
        joint: dealing.commit(),
        chain_code: [6; 32],
        transcript,
        access: access.clone(),
    };
    let share = KeyShare::new(public.clone(), indices[0], dealing.deal(&access, indices[0])).unwrap();
    let secret = share.secret_bytes().to_vec();
    (public, secret)
}

fn share_decoding<C: Curve>(rng: &mut HedgedRng) -> Verdict {
    let pool: Vec<_> = (0..32).map(|_| share::<C>(rng)).collect();
    let prepare = |class: bool| {
        let [random] = rng.bytes::<1>();
        pool[if class { usize::from(random) % pool.len() } else { 0 }].clone()
    };
    Verdict::of(1200, prepare, |(public, secret)| KeyShare::from_secret_bytes(public, &secret).is_some())
}

/// What is kept for one peer. Its public parts are the same in both classes: they come before zero seed, Δ and leaves of ours, and leaves of
/// the other direction.
fn setup_decoding<C: EcdsaCurve>(rng: &mut HedgedRng) -> Verdict {
    let head = [[1].as_slice(), &[5; 32], &2u16.to_le_bytes()].concat();
    let secrets = [
        (head.as_slice(), 32),
        (&ID, PuncturedLeaves::<C>::SECRET_LEN - ID.len()),
        (&ID, AllLeaves::<C>::SECRET_LEN - ID.len()),
    ];
    let prepare = |class: bool| {
        let mut bytes = Vec::new();
        for (public, len) in secrets {
            let mut random = std::vec![0; len];
            rng.fill(&mut random);
            bytes.extend_from_slice(public);
            bytes.extend(random.iter().map(|byte| if class { *byte } else { 0 }));
        }
        bytes
    };
    let decode = |bytes: &[u8]| PairwiseSetup::<C>::from_secret_bytes(bytes, []).is_some();
    Verdict::of(2000, prepare, |bytes| assert!(decode(&bytes)))
}

/// χ·R and its companions: one factor is secret. The fixed one is as secrets are: a scalar of which half is zeros takes the processor less time
/// for the same instructions (`spec/02-curves.md`).
fn products<C: EcdsaCurve>(rng: &mut HedgedRng) -> [(&'static str, Verdict); 3] {
    let (r, pk) = (Point::<C>::mul_base(&Scalar::random(rng)), Point::<C>::mul_base(&Scalar::random(rng)));
    let fixed = [Scalar::random(rng), Scalar::random(rng)];
    let mut pair = |class| {
        let random = [Scalar::random(rng), Scalar::random(rng)];
        if class { random } else { fixed }
    };
    let single = Verdict::of(1200, &mut pair, |[chi, _]| r * chi);
    let base = Verdict::of(1200, &mut pair, |[s, _]| Point::<C>::mul_base(&s));
    let both = Verdict::of(1200, &mut pair, |[a, b]| Point::lincomb(&[(r, a), (pk, b)]));
    let names = match C::ID {
        CurveId::Secp256k1 => ["χ·R on secp256k1", "s·G on secp256k1", "χ·R + χ'·pk on secp256k1"],
        _ => ["χ·R on P-256", "s·G on P-256", "χ·R + χ'·pk on P-256"],
    };
    let [first, second, third] = names;
    [(first, single), (second, base), (third, both)]
}

fn hashing<C: Curve>(rng: &mut HedgedRng) -> Verdict {
    let prepare = |class: bool| {
        let random: [u8; 64] = rng.bytes();
        if class { random } else { [0; 64] }
    };
    Verdict::of(1200, prepare, |message| Point::<C>::hash(b"timing", &[&message]))
}

fn all_leaves(rng: &mut HedgedRng) -> AllLeaves<Secp256k1> {
    let mut bytes = ID.to_vec();
    (0..TREES * LEAVES).for_each(|_| bytes.extend_from_slice(&rng.bytes::<16>()));
    AllLeaves::from_secret_bytes(&bytes).unwrap()
}

/// The same leaves without those at Δ.
fn punctured(all: &AllLeaves<Secp256k1>, delta: [u8; TREES]) -> PuncturedLeaves<Secp256k1> {
    let mut bytes = ID.to_vec();
    bytes.extend(delta.chunks_exact(2).map(|pair| pair[0] | pair[1] << 4));
    for (tree, delta) in delta.into_iter().enumerate() {
        for z in 1..LEAVES {
            bytes.extend_from_slice(&all.leaves[LEAVES * tree + (z ^ usize::from(delta))]);
        }
    }
    PuncturedLeaves::from_secret_bytes(&bytes).unwrap()
}

/// The check against Δ: all its bits 0, or random ones, under a message that passes.
fn ot_check(rng: &mut HedgedRng) -> Verdict {
    let all = all_leaves(rng);
    let (_, message) = RvoleReceiver::<Secp256k1>::start(&all, &SID, 1, rng);
    let prepare = |class: bool| {
        let random = rng.bytes::<TREES>().map(|b| b & 0x0f);
        punctured(&all, if class { random } else { [0; TREES] })
    };
    Verdict::of(500, prepare, |leaves| RvoleSender::receive(&leaves, &SID, &message).is_ok())
}

/// The refusal of a message that is inconsistent everywhere: which columns that makes wrong is up to Δ, here one of the first tree's or one of
/// the last's.
fn ot_refusal(rng: &mut HedgedRng) -> Verdict {
    let all = all_leaves(rng);
    let (_, mut message) = RvoleReceiver::<Secp256k1>::start(&all, &SID, 1, rng);
    message.u.iter_mut().for_each(|row| row[16] ^= 1);
    let prepare = |class: bool| {
        let mut delta = [0; TREES];
        delta[if class { TREES - 1 } else { 0 }] = 1;
        punctured(&all, delta)
    };
    Verdict::of(500, prepare, |leaves| assert!(RvoleSender::receive(&leaves, &SID, &message).is_err()))
}

/// The verdict on a digest that is wrong from its first byte on, or in its last one alone.
fn refusals(rng: &mut HedgedRng, right: impl Fn(&[u8; 32], &[u8; 32]) -> bool) -> Verdict {
    let expected: [u8; 32] = rng.bytes();
    assert!(right(&expected, &expected));
    let prepare = |class: bool| {
        let mut told: [u8; 32] = rng.bytes();
        if !class {
            told[..31].copy_from_slice(&expected[..31]);
        }
        // Never the right one by chance.
        told[0] ^= u8::from(class && told[0] == expected[0]);
        told[31] ^= u8::from(told[31] == expected[31]);
        told
    };
    Verdict::of(3000, prepare, |told| {
        assert!(!(0..100).any(|_| right(black_box(&expected), black_box(&told))));
    })
}

/// The answer of the sender, from inputs that are 1 or random.
fn answering(rng: &mut HedgedRng) -> Verdict {
    let all = all_leaves(rng);
    let leaves = punctured(&all, rng.bytes::<TREES>().map(|b| b & 0x0f));
    let (_, message) = RvoleReceiver::<Secp256k1>::start(&all, &SID, 1, rng);
    let mut of_answer = test_rng("timing answer");
    let prepare = |class: bool| {
        let inputs = [fixed_or_random::<Secp256k1>(rng, class), fixed_or_random(rng, class)];
        (RvoleSender::receive(&leaves, &SID, &message).unwrap(), inputs)
    };
    Verdict::of(300, prepare, |(sender, inputs)| sender.respond(&[inputs], &mut of_answer))
}

/// The check of μ, with choices that are all 0 or random.
fn mu_check(rng: &mut HedgedRng) -> Verdict {
    let all = all_leaves(rng);
    let leaves = punctured(&all, rng.bytes::<TREES>().map(|b| b & 0x0f));
    let (_, first) = RvoleReceiver::<Secp256k1>::start(&all, &SID, 1, rng);
    let sender = RvoleSender::receive(&leaves, &SID, &first).unwrap();
    let (_, message) = sender.respond(&[[Scalar::random(rng), Scalar::random(rng)]], rng);
    let prepare = |class: bool| {
        let (mut receiver, _) = RvoleReceiver::<Secp256k1>::start(&all, &SID, 1, rng);
        if !class {
            receiver.clear_choices();
        }
        receiver
    };
    Verdict::of(400, prepare, |receiver| receiver.finish(&message).is_ok())
}

/// What must be found: a comparison that stops at the first difference, a multiplication that skips zero bits, and sums that are made only where
/// a choice is 1.
fn planted(rng: &mut HedgedRng) -> [(&'static str, Verdict); 3] {
    let comparison = refusals(rng, |a, b| a.iter().zip(b).all(|(a, b)| a == b));
    let point = Point::<Secp256k1>::generator();
    let double_and_add = |s: Scalar<Secp256k1>| {
        let mut sum = Point::identity();
        for bit in s.to_bytes().iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1)) {
            sum = sum + sum;
            if bit == 1 {
                sum += point;
            }
        }
        sum
    };
    let multiplication = Verdict::of(400, |class| fixed_or_random(rng, class), double_and_add);
    let values: Vec<Scalar<Secp256k1>> = (0..416).map(|_| Scalar::random(rng)).collect();
    let choices = |class: bool| {
        let random: [u8; 52] = rng.bytes();
        if class { random } else { [0; 52] }
    };
    let chosen = Verdict::of(1200, choices, |choices| {
        let bits = choices.iter().flat_map(|byte| (0..8).map(move |i| byte >> i & 1));
        bits.zip(&values).fold(Scalar::ZERO(), |sum, (bit, value)| if bit == 1 { sum + *value } else { sum })
    });
    [
        ("stops at a difference", comparison),
        ("skips zero bits", multiplication),
        ("adds where chosen", chosen),
    ]
}

/// Secrets that are fixed and secrets that are random take the same time: the OT check, the answer to it, the check of μ, decoding of scalars,
/// shares and set-ups, products with secret factors, hashing to curves; and refusals do, wherever the difference is that they are for. Leaks
/// that were planted are found by the same measurement.
///
/// covers: A15, A17, S45
#[test]
fn times_do_not_tell_secrets() {
    let rng = &mut test_rng("timing");
    let mut table = vec![
        ("OT check", ot_check(rng)),
        ("answer of the multiplication", answering(rng)),
        ("check of μ", mu_check(rng)),
        ("refusal by the OT check", ot_refusal(rng)),
        ("verdict of the OT check", refusals(rng, |a, b| softspoken::verdict(a, b).is_ok())),
        ("verdict on μ", refusals(rng, |a, b| rvole::verdict(a, b).is_ok())),
        ("scalars of secp256k1", scalar_decoding::<Secp256k1>(rng)),
        ("scalars of P-256", scalar_decoding::<P256>(rng)),
        ("scalars of Ed25519", scalar_decoding::<Ed25519>(rng)),
        ("shares on secp256k1", share_decoding::<Secp256k1>(rng)),
        ("shares on P-256", share_decoding::<P256>(rng)),
        ("shares on Ed25519", share_decoding::<Ed25519>(rng)),
        ("set-up on secp256k1", setup_decoding::<Secp256k1>(rng)),
        ("set-up on P-256", setup_decoding::<P256>(rng)),
        ("hash to secp256k1", hashing::<Secp256k1>(rng)),
        ("hash to P-256", hashing::<P256>(rng)),
    ];
    table.extend(products::<Secp256k1>(rng));
    table.extend(products::<P256>(rng));
    let planted = planted(rng);
    for (name, verdict) in table.iter().chain(&planted) {
        println!("{name:<30} {verdict}");
    }
    let leaky: Vec<_> = table.iter().filter(|(_, verdict)| verdict.leaks()).collect();
    assert!(leaky.is_empty(), "|t| above {BOUND} three times in a row: {leaky:?}");
    assert!(planted.iter().all(|(_, verdict)| verdict.leaks()), "a planted leak was not found: {planted:?}");
    assert_eq!((table.len(), planted.len()), (22, 3));
}

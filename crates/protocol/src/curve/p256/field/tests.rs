//! The limbs against arithmetic that does one bit at a time: a carry that is lost once in 2^64 products is not found by random values.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::rng::{Entropy, HedgedRng};

type Limbs = [u64; 4];

fn below_p(a: &Limbs) -> bool {
    a.iter().rev().lt(P.iter().rev())
}
/// a + b of values below p, the slow way.
fn add(a: &Limbs, b: &Limbs) -> Limbs {
    let (mut out, mut carry) = ([0; 4], false);
    for i in 0..4 {
        let (sum, one) = a[i].overflowing_add(b[i]);
        let (sum, two) = sum.overflowing_add(u64::from(carry));
        (out[i], carry) = (sum, one || two);
    }
    if carry || !below_p(&out) {
        let mut borrow = false;
        for i in 0..4 {
            let (difference, one) = out[i].overflowing_sub(P[i]);
            let (difference, two) = difference.overflowing_sub(u64::from(borrow));
            (out[i], borrow) = (difference, one || two);
        }
    }
    out
}
/// a·b by doubling and adding.
fn multiply(a: &Limbs, b: &Limbs) -> Limbs {
    let mut out = [0; 4];
    for bit in (0..256).rev() {
        out = add(&out, &out);
        if (a[bit / 64] >> (bit % 64)) & 1 == 1 {
            out = add(&out, b);
        }
    }
    out
}

/// Values whose limbs are ends of ranges, limbs of p and their neighbours, or random; all below p.
fn values(rng: &mut HedgedRng, count: usize) -> Vec<Limbs> {
    let mut edges = vec![0, 1, 2, 1 << 31, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1];
    for limb in [u64::from(u32::MAX), 1 << 32, P[3], u64::from(u32::MAX) << 32] {
        edges.extend([limb, limb.wrapping_add(1), limb.wrapping_sub(1)]);
    }
    let mut out = vec![[0; 4], [1, 0, 0, 0], [P[0] - 1, P[1], P[2], P[3]], Element::ONE.0, R2.0];
    while out.len() < count {
        let mut limbs = [0; 4];
        for limb in &mut limbs {
            let [pick, ..] = rng.bytes::<1>();
            *limb = match edges.get(usize::from(pick % 32)) {
                Some(edge) => *edge,
                None => u64::from_le_bytes(rng.bytes()),
            };
        }
        if below_p(&limbs) {
            out.push(limbs);
        }
    }
    out
}

#[test]
fn every_operation_is_that_of_integers_modulo_p() {
    let rng = &mut HedgedRng::new(Entropy::new([7; 32]), b"", b"field of p256");
    let radix = Element::ONE.0;
    assert_eq!(multiply(&[2, 0, 0, 0], &[P[0] - 1, P[1], P[2], P[3]]), [P[0] - 2, P[1], P[2], P[3]]);
    let mut cases = 0;
    for pair in values(rng, 6_000).windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let (x, y) = (Element(a), Element(b));
        // What is stored is the value times 2^256, so one factor of it is left over on one side.
        assert_eq!(multiply(&(x * y).0, &radix), multiply(&a, &b), "{a:x?} · {b:x?}");
        assert_eq!(multiply(&x.square().0, &radix), multiply(&a, &a), "{a:x?}²");
        assert_eq!((x + y).0, add(&a, &b), "{a:x?} + {b:x?}");
        assert_eq!(add(&(x - y).0, &b), a, "{a:x?} − {b:x?}");
        assert_eq!(x.double().0, add(&a, &a), "2·{a:x?}");
        assert_eq!(add(&(-x).0, &a), [0; 4], "−{a:x?}");
        assert!(bool::from(x.is_zero()) == (a == [0; 4]) && bool::from(x.ct_eq(&y)) == (a == b));
        // The same limbs as an integer of bytes.
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(a.iter().rev()) {
            *chunk = limb.to_be_bytes();
        }
        let read = Element::from_bytes(&bytes).unwrap();
        assert_eq!(read.0, multiply(&a, &radix));
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(bool::from(read.is_odd()), a[0] & 1 == 1);
        cases += 1;
    }
    assert_eq!(cases, 5_999);
}

#[test]
fn inverses_and_roots_are_what_they_are_called() {
    let rng = &mut HedgedRng::new(Entropy::new([8; 32]), b"", b"field of p256");
    let (mut roots, mut none) = (0, 0);
    for a in values(rng, 400) {
        let x = Element(a);
        let one = if a == [0; 4] { Element::ZERO } else { Element::ONE };
        assert_eq!((x.invert() * x).0, one.0);
        match x.sqrt() {
            Some(root) => {
                assert_eq!(root.square().0, a);
                roots += 1;
            }
            None => {
                // −1 is no square, so the opposite is one.
                assert!((-x).sqrt().is_some());
                none += 1;
            }
        }
        let root = x.square().quarter_power() * x.square();
        assert_eq!(root.square().0, x.square().0, "the root of a square");
    }
    assert!(roots + none == 400 && roots > 100 && none > 100, "{roots} {none}");
}

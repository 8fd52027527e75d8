//! What a signature is made of at the edges: sums and coordinates that are zero, high s, and nonces whose x-coordinate is not below the
//! order.
#![expect(non_snake_case, reason = "capital letters are group elements, as in the paper")]

use super::*;
use crate::suite::test_rng;
use crate::toy::Toy;
use alloc::sync::Arc;
use quorate_protocol::curve::{Multiples, P256, Secp256k1};
use quorate_protocol::rng::HedgedRng;
use quorate_testkit::attack::order;

/// The point at this x-coordinate with even y, if the curve has one.
fn at<C: EcdsaCurve>(x: [u8; 32]) -> Option<Point<C>> {
    let mut bytes = [2; 33];
    bytes[1..].copy_from_slice(&x);
    Point::from_bytes(&bytes)
}

/// The points at x = n + i, with i, for small i; n is the order, and the prime of the field is about 2^128 above it.
fn above_the_order<C: EcdsaCurve>() -> Vec<(u8, Point<C>)> {
    let x = |i| {
        let mut x = order::<C>();
        x[31] += i;
        x
    };
    (0..20).filter_map(|i| Some((i, at(x(i))?))).collect()
}

/// The key under which (R, s) signs m: r⁻¹·(s·R − m·G).
fn key_of<C: EcdsaCurve>(R: Point<C>, r: Scalar<C>, s: Scalar<C>, m: Scalar<C>) -> Point<C> {
    let inverse = r.invert();
    R * (s * inverse) - Point::mul_base(&(m * inverse))
}

/// The encoded key that the curve's own crate recovers.
type Recover = fn(&[u8; 32], &Signature) -> Option<Vec<u8>>;

fn recover_k256(digest: &[u8; 32], signature: &Signature) -> Option<Vec<u8>> {
    use k256::ecdsa::{RecoveryId, Signature as Parsed, VerifyingKey};
    let parsed = Parsed::from_slice(&signature.bytes).ok()?;
    assert_eq!(parsed.normalize_s(), parsed, "s is low");
    let id = RecoveryId::from_byte(signature.recovery_id)?;
    let key = VerifyingKey::recover_from_prehash(digest, &parsed, id).ok()?;
    Some(key.to_sec1_point(true).as_bytes().to_vec())
}

fn recover_p256(digest: &[u8; 32], signature: &Signature) -> Option<Vec<u8>> {
    use p256::ecdsa::{RecoveryId, Signature as Parsed, VerifyingKey};
    let parsed = Parsed::from_slice(&signature.bytes).ok()?;
    assert_eq!(parsed.normalize_s(), parsed, "s is low");
    let id = RecoveryId::from_byte(signature.recovery_id)?;
    let key = VerifyingKey::recover_from_prehash(digest, &parsed, id).ok()?;
    Some(key.to_sec1_point(true).as_bytes().to_vec())
}

fn nonzero<C: EcdsaCurve>(rng: &mut HedgedRng) -> Scalar<C> {
    let scalar = Scalar::random(rng);
    assert!(!bool::from(scalar.is_zero()));
    scalar
}

/// Sums that are zero or wrong give no signature, from a nonce and a key that sign otherwise.
///
/// covers: C7, C8
#[test]
fn sums_that_are_zero_or_wrong_sign_nothing() {
    fn on<C: EcdsaCurve>() -> [usize; 2] {
        let mut rng = test_rng("zero sums");
        let [mut made, mut refused] = [0; 2];
        for _ in 0..8 {
            let [d, k, u] = [(); 3].map(|()| nonzero::<C>(&mut rng));
            let digest = rng.bytes();
            let m = Scalar::from_digest(&digest);
            let (X, zero, one) = (Point::mul_base(&d), Scalar::ZERO(), Scalar::ONE());
            let nonce = Nonce::of(&Point::mul_base(&k));
            let w = (m + nonce.r * d) * k.invert() * u;
            let signature = nonce.sign(&Key::Alone(X), m, w, u).unwrap();
            assert!(verify(&X, &digest, &signature.bytes));
            made += 1;
            for (w, u) in [(zero, u), (w, zero), (zero, zero), (w + one, u), (w, u + one), (-w, u), (u, w)] {
                assert!(nonce.sign(&Key::Alone(X), m, w, u).is_none());
                refused += 1;
            }
            // e = −r·d: the one digest for which an honest w is zero.
            assert!(nonce.sign(&Key::Alone(X), -(nonce.r * d), zero, u).is_none());
            assert!(nonce.sign(&Key::Alone(X + Point::generator()), m, w, u).is_none());
            refused += 2;
        }
        [made, refused]
    }
    assert_eq!(on::<Secp256k1>(), [8, 72]);
    assert_eq!(on::<P256>(), [8, 72]);
}

/// An x-coordinate from the order up is reduced in r and told by bit 1 of the recovery id, with which the curve's own crate finds the key, and
/// without which it does not. Low s and high s, even y and odd y.
///
/// covers: C7
#[test]
fn an_x_coordinate_above_the_order_is_told_by_the_recovery_id() {
    fn on<C: EcdsaCurve>(recover: Recover) -> usize {
        let mut rng = test_rng("above the order");
        let mut ids = [0; 4];
        let points = above_the_order::<C>().into_iter().filter(|(i, _)| *i != 0);
        for (i, even) in points {
            for (R, odd) in [(even, false), (-even, true)] {
                let nonces = [Nonce::of(&R), Nonce::all(&[R, Point::generator()]).swap_remove(0)];
                for nonce in &nonces {
                    assert!(nonce.r == Scalar::from(u64::from(i)) && nonce.overflow && nonce.odd == odd);
                }
                let s = nonzero::<C>(&mut rng);
                for s in [s, -s] {
                    let digest = rng.bytes();
                    let m = Scalar::from_digest(&digest);
                    let X = key_of(R, nonces[0].r, s, m);
                    let u = nonzero(&mut rng);
                    let signature = nonces[0].sign(&Key::Alone(X), m, s * u, u).unwrap();
                    assert_eq!(signature.recovery_id, 2 + u8::from(odd != s.is_high()));
                    assert!(verify(&X, &digest, &signature.bytes));
                    assert_eq!(recover(&digest, &signature), Some(X.to_bytes()));
                    for recovery_id in 0..4 {
                        let other = Signature { recovery_id, ..signature };
                        let found = recover(&digest, &other) == Some(X.to_bytes());
                        assert_eq!(found, recovery_id == signature.recovery_id);
                    }
                    ids[usize::from(signature.recovery_id)] += 1;
                }
            }
        }
        assert_eq!(ids[..2], [0, 0]);
        assert!(ids[2] == ids[3], "as many of either y");
        ids.iter().sum()
    }
    // Ten and nine points, their negatives, two s for each.
    assert_eq!(on::<Secp256k1>(recover_k256), 10 * 4);
    assert_eq!(on::<P256>(recover_p256), 9 * 4);
}

/// Points with r_x = 0 exist: on secp256k1 at x = n, on P-256 at x = 0. They sign nothing, and no signature with r = 0 or s = 0 verifies.
///
/// covers: C7
#[test]
fn a_nonce_whose_coordinate_is_zero_signs_nothing() {
    fn on<C: EcdsaCurve>(R: Point<C>, overflow: bool) -> usize {
        let mut rng = test_rng("r is zero");
        let nonce = Nonce::of(&R);
        assert!(bool::from(nonce.r.is_zero()) && nonce.overflow == overflow);
        let X = Point::mul_base(&nonzero(&mut rng));
        let mut refused = 0;
        for _ in 0..8 {
            let [e, w, u] = [(); 3].map(|()| nonzero(&mut rng));
            assert!(nonce.sign(&Key::Alone(X), e, w, u).is_none());
            for (r, s) in [(nonce.r, w), (w, Scalar::ZERO()), (nonce.r, Scalar::ZERO())] {
                assert!(!verify(&X, &rng.bytes(), &join(&r, &s)));
                refused += 1;
            }
            refused += 1;
        }
        refused
    }
    assert!(at::<Secp256k1>([0; 32]).is_none());
    assert!(at::<P256>(order::<P256>()).is_none());
    assert_eq!(on::<Secp256k1>(at(order::<Secp256k1>()).unwrap(), true), 32);
    assert_eq!(on::<P256>(at([0; 32]).unwrap(), false), 32);
}

/// Every key, nonce, e, w and u of a group of 11 elements: a signature comes out exactly if r, w and u are not zero and w/u is the s of the
/// standard; its s is low, and the nonce point that it verifies with is the one its recovery id tells. A table of the key changes nothing.
///
/// covers: C7, C8
#[test]
fn every_signature_of_a_toy_group_is_the_one_of_the_standard() {
    const Q: u64 = 11;
    type S = Scalar<Toy<Q>>;
    let numbers = |from| (from..Q).map(S::from);
    let [mut cases, mut signed, mut degenerate, mut overflows] = [0; 4];
    for (d, k) in numbers(1).flat_map(|d| numbers(1).map(move |k| (d, k))) {
        let nonce = Nonce::of(&Point::mul_base(&k));
        let X = Point::mul_base(&d);
        let keys = [Key::Alone(X), Key::Table(Arc::new(Multiples::new(X)))];
        for e in numbers(0) {
            let s = (e + nonce.r * d) * k.invert();
            for (w, u) in numbers(0).flat_map(|w| numbers(0).map(move |u| (w, u))) {
                cases += 1;
                let [signature, by_table] = keys.each_ref().map(|key| nonce.sign(key, e, w, u));
                assert_eq!(signature, by_table);
                let fits = w == s * u && !bool::from(w.is_zero() | u.is_zero());
                if bool::from(nonce.r.is_zero()) {
                    degenerate += usize::from(fits);
                    assert!(signature.is_none());
                    continue;
                }
                assert_eq!(signature.is_some(), fits);
                let Some(Signature { bytes, recovery_id }) = signature else { continue };
                let half = |at: usize| S::from_bytes(bytes[at..at + 32].try_into().unwrap()).unwrap();
                let (r, low) = (half(0), half(32));
                assert!(r == nonce.r && !low.is_high() && (low == s || low == -s));
                let used = Point::mul_base(&((e + r * d) * low.invert()));
                assert!(used.x_coordinate() == (r, recovery_id & 1 == 1, recovery_id & 2 == 2));
                signed += 1;
                overflows += usize::from(recovery_id & 2 == 2);
            }
        }
    }
    assert_eq!(cases, 10 * 10 * 11 * 11 * 11);
    // Two of ten nonces have r = 0. For each key and other nonce one e of eleven gives s = 0; u is any but zero.
    assert_eq!((signed, degenerate), (10 * 8 * 10 * 10, 10 * 2 * 10 * 10));
    assert!(overflows > 0 && overflows < signed);
}

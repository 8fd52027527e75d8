//! The `p256` crate as judge: an implementation that shares no line with this one.

use super::*;
use crate::rng::{Entropy, HedgedRng};
use elliptic_curve::Group as _;
use elliptic_curve::group::GroupEncoding as _;
use hash2curve::GroupDigest as _;

type Theirs = p256::ProjectivePoint;

fn encoded(p: &Theirs) -> [u8; 33] {
    p.to_affine().to_bytes().into()
}
fn rng() -> HedgedRng {
    HedgedRng::new(Entropy::new([1; 32]), b"", b"p256")
}
fn scalar(rng: &mut HedgedRng) -> p256::Scalar {
    P256::scalar_from_wide(&rng.bytes())
}
/// Zero, one, the largest, runs of ones and of zeros, digits on the edge of a window, and random ones.
fn scalars(rng: &mut HedgedRng) -> Vec<p256::Scalar> {
    let one = p256::Scalar::ONE;
    let mut out = alloc::vec![p256::Scalar::ZERO, one, -one, -(one + one), one + one];
    let (mut power, mut all) = (one, one);
    for bit in 1..256 {
        power = power + power;
        all += power;
        // One bit in four: all places of a window of five.
        if bit % 4 == 3 {
            out.extend([power, power - one, all, -power]);
        }
    }
    for small in 0..70u64 {
        out.push(p256::Scalar::from(small));
        out.push(p256::Scalar::from(small << 58));
    }
    out.extend((0..100).map(|_| scalar(rng)));
    out
}

#[test]
fn multiples_are_those_of_p256() {
    let rng = &mut rng();
    let (k, l) = (scalar(rng), scalar(rng));
    let (p, q) = (P256::mul_base(&k), P256::mul_base(&l));
    let (p_, q_) = (Theirs::GENERATOR * k, Theirs::GENERATOR * l);
    assert_eq!((P256::point_to_bytes(&p), P256::point_to_bytes(&q)), (encoded(&p_), encoded(&q_)));
    let mut cases = 0;
    let mut last = scalar(rng);
    for s in scalars(rng) {
        assert_eq!(P256::point_to_bytes(&P256::mul_base(&s)), encoded(&(Theirs::GENERATOR * s)), "base");
        assert_eq!(P256::point_to_bytes(&P256::mul(&p, &s)), encoded(&(p_ * s)), "mul");
        let two = encoded(&(p_ * s + q_ * last));
        assert_eq!(P256::point_to_bytes(&P256::lincomb(&[(p, s), (q, last)])), two, "lincomb");
        let three = encoded(&(p_ * s + q_ * last + Theirs::GENERATOR * s));
        let ours = P256::lincomb_vartime(&s, &[(p, s), (q, last)]);
        assert_eq!(P256::point_to_bytes(&ours), three, "lincomb_vartime");
        let none = P256::lincomb_vartime(&s, &[]);
        assert_eq!(P256::point_to_bytes(&none), encoded(&(Theirs::GENERATOR * s)), "vartime base");
        last = s;
        cases += 1;
    }
    assert_eq!(cases, 5 + 4 * 64 + 140 + 100);
}

/// Sums with the identity, with itself and with its opposite: no case of an addition is special.
#[test]
fn additions_are_complete() {
    let rng = &mut rng();
    for _ in 0..50 {
        let (k, l) = (scalar(rng), scalar(rng));
        let (p, q) = (P256::mul_base(&k), P256::mul_base(&l));
        let (p_, q_) = (Theirs::GENERATOR * k, Theirs::GENERATOR * l);
        let o = P256::identity();
        let pairs = [
            (p + q, p_ + q_),
            (p - q, p_ - q_),
            (p + p, p_.double()),
            (p - p, Theirs::IDENTITY),
            (p + o, p_),
            (o + p, p_),
            (o + o, Theirs::IDENTITY),
            (-p, -p_),
            (-o, Theirs::IDENTITY),
        ];
        let ours: Vec<Projective> = pairs.iter().map(|(ours, _)| *ours).collect();
        for ((ours, theirs), together) in pairs.iter().zip(P256::points_to_bytes(&ours)) {
            assert_eq!(P256::point_to_bytes(ours), encoded(theirs));
            assert_eq!(together, encoded(theirs), "all at once");
        }
        assert!(bool::from(subtle::ConstantTimeEq::ct_eq(&(p - p), &o)));
        assert!(
            !bool::from(subtle::ConstantTimeEq::ct_eq(&p, &o))
                && !bool::from(subtle::ConstantTimeEq::ct_eq(&p, &q))
        );
        assert!(bool::from(subtle::ConstantTimeEq::ct_eq(&(p + p + q), &(q + p + p))));
    }
}

/// Every value near the ends of the field and of the limbs, against integers of the other implementation: x-coordinates and their signs.
#[test]
fn encodings_are_those_of_p256() {
    let rng = &mut rng();
    let (mut good, mut bad) = (0, 0);
    let mut both = |bytes: [u8; 33]| {
        let theirs = Option::<p256::AffinePoint>::from(p256::AffinePoint::from_bytes(&bytes.into()));
        let theirs = theirs.filter(|_| matches!(bytes[0], 2 | 3));
        let ours = P256::point_from_bytes(&bytes);
        assert_eq!(ours.is_some(), theirs.is_some(), "{bytes:02x?}");
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            assert_eq!(P256::point_to_bytes(&ours), bytes);
            let shifted = encoded(&(Theirs::from(theirs) + Theirs::GENERATOR));
            assert_eq!(P256::point_to_bytes(&(ours + P256::generator())), shifted);
            good += 1;
        } else {
            bad += 1;
        }
    };
    for edge in [[0u8; 32], [0xff; 32]] {
        for at in 0..32 {
            for value in [0u8, 1, 2, 5, 0x7f, 0x80, 0xfe, 0xff] {
                for tag in 0..6u8 {
                    let mut bytes = [tag; 33];
                    bytes[1..].copy_from_slice(&edge);
                    bytes[1 + at] = value;
                    both(bytes);
                }
            }
        }
    }
    for _ in 0..400 {
        let mut bytes: [u8; 33] = rng.bytes();
        bytes[0] = 2 | (bytes[0] & 1);
        both(bytes);
    }
    assert!(good > 300 && bad > 1000, "{good} {bad}");
    assert!(P256::point_from_bytes(&[2; 32]).is_none() && P256::point_from_bytes(&[]).is_none());
}

#[test]
fn hashes_are_those_of_p256() {
    let dst: &[u8] = b"quorate test tag";
    for i in 0..300u16 {
        let message = i.to_le_bytes();
        let expected = p256::NistP256::hash_from_bytes(&[&message], &[dst]).unwrap();
        assert_eq!(P256::point_to_bytes(&P256::hash_to_curve(dst, &[&message])), encoded(&expected));
    }
}

#[test]
fn coordinates_are_those_of_p256() {
    use elliptic_curve::point::AffineCoordinates as _;
    let rng = &mut rng();
    for _ in 0..100 {
        let k = scalar(rng);
        let theirs = (Theirs::GENERATOR * k).to_affine();
        let (x, odd, overflow) = P256::x_coordinate(&P256::mul_base(&k));
        assert_eq!((odd, overflow), (bool::from(theirs.y_is_odd()), false));
        assert_eq!(x.to_repr(), theirs.x());
    }
}

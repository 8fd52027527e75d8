//! The same of every curve: what is decoded has one encoding, and what has none is refused.

use super::*;

fn unhex(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// A number of 32 big-endian bytes, less or more by one.
fn step(mut number: [u8; 32], up: bool) -> [u8; 32] {
    for byte in number.iter_mut().rev() {
        let (next, carry) = if up { byte.overflowing_add(1) } else { byte.overflowing_sub(1) };
        *byte = next;
        if !carry {
            break;
        }
    }
    number
}

/// The order, in hexadecimal digits, is the first number that is no scalar.
fn scalars<C: Curve>(order: &str) {
    let encoded = |mut number: [u8; 32]| {
        if C::ID == CurveId::Ed25519 {
            number.reverse();
        }
        number
    };
    let decode = |number| Scalar::<C>::from_bytes(&encoded(number));
    let order = unhex(order);
    let largest = encoded(step(order, false));
    assert_eq!(Scalar::<C>::from_bytes(&largest), Some(-Scalar::ONE()), "{}: the largest", C::ID);
    assert_eq!((-Scalar::<C>::ONE()).to_bytes(), largest);
    for small in 0..4u8 {
        let mut number = [0; 32];
        number[31] = small;
        assert_eq!(decode(number), Some(Scalar::from(u64::from(small))), "{}: {small}", C::ID);
    }
    assert!(decode(order).is_none(), "{}: the order", C::ID);
    assert!(decode(step(order, true)).is_none(), "{}: one more", C::ID);
    assert!(decode([0xff; 32]).is_none(), "{}: the largest number", C::ID);
}

#[test]
fn scalars_are_below_the_order() {
    scalars::<Secp256k1>("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    scalars::<P256>("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    scalars::<Ed25519>("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed");
}

fn points<C: Curve>() {
    for small in 1..=8u64 {
        let point = Point::<C>::mul_base(&Scalar::from(small));
        for point in [point, -point] {
            let bytes = point.to_bytes();
            assert_eq!(Point::from_bytes(&bytes), Some(point), "{}: {small}", C::ID);
            assert_eq!(Point::from_bytes_with_torsion(&bytes), Some(point), "{}: {small}", C::ID);
            let longer = [&bytes[..], &[0]].concat();
            for wrong in [&longer[..], &bytes[..bytes.len() - 1], &[]] {
                assert!(Point::<C>::from_bytes(wrong).is_none(), "{}: {} bytes", C::ID, wrong.len());
                assert!(Point::<C>::from_bytes_with_torsion(wrong).is_none());
            }
        }
    }
    let identity = Point::<C>::identity().to_bytes();
    assert!(Point::<C>::from_bytes(&identity).is_none(), "{}: the identity", C::ID);
    assert!(Point::<C>::from_bytes_with_torsion(&identity).is_none(), "{}: the identity", C::ID);
}

/// covers: S3, B15
#[test]
fn points_come_back_and_the_identity_does_not() {
    points::<Secp256k1>();
    points::<P256>();
    points::<Ed25519>();
}

/// Every tag but those of the compressed form, and an x that is a second form of another one.
fn compressed<C: Curve>(field: &str) {
    let generator = Point::<C>::mul_base(&Scalar::ONE()).to_bytes();
    let mut with_tag = generator.to_vec();
    for tag in 0..=255u8 {
        with_tag[0] = tag;
        let decoded = Point::<C>::from_bytes(&with_tag);
        assert_eq!(decoded.is_some(), matches!(tag, 2 | 3), "{}: tag {tag}", C::ID);
        assert!(decoded.is_none_or(|point| point.to_bytes() == with_tag));
    }
    let (mut small, mut second, mut below) = ([0; 32], unhex(field), 0);
    for _ in 0..64 {
        let decodes = |x: [u8; 32]| Point::<C>::from_bytes(&[&[2][..], &x].concat()).is_some();
        below += usize::from(decodes(small));
        assert!(!decodes(second), "{}: not below the prime", C::ID);
        (small, second) = (step(small, true), step(second, true));
    }
    assert!((16..48).contains(&below), "{}: {below} of the first 64 have a point", C::ID);
}

/// covers: S3
#[test]
fn compressed_points_have_two_tags_and_an_x_below_the_prime() {
    compressed::<Secp256k1>("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f");
    compressed::<P256>("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
}

use super::*;
use alloc::format;
use quorate_protocol::curve::{Ed25519, P256, Secp256k1};

fn root<C: Curve>(scalar: u64) -> Derived<C> {
    Derived::root(Point::mul_base(&Scalar::from(scalar)), [7; 32])
}

/// What BIP-32 calls invalid is no child: a left half that is not below the order, and one that leads to the identity.
#[test]
fn degenerate_offsets_give_no_child() {
    fn check<C: Curve>(order: &str) {
        let mut bytes: [u8; 32] = hex::decode(order).unwrap().try_into().unwrap();
        let parent = root::<C>(5);
        assert_eq!(parent.above(&bytes, [0; 32]), None, "the order");
        assert_eq!(parent.above(&[0xff; 32], [0; 32]), None, "above the order");
        bytes[31] -= 1;
        assert!(parent.above(&bytes, [0; 32]).is_some(), "one below the order");
        let back = (Scalar::<C>::ZERO() - Scalar::from(5)).to_bytes();
        assert_eq!(parent.above(&back, [0; 32]), None, "the identity");
        // Zero is an offset like any other: the standard refuses it nowhere.
        assert_eq!(parent.above(&[0; 32], [1; 32]).unwrap().1, parent.public_key);
    }
    check::<Secp256k1>("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    check::<P256>("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
}

#[test]
fn paths_are_bounded_and_never_hardened() {
    fn check<C: Curve>() {
        let root = root::<C>(9);
        assert_eq!(root.at(&[0; MAX_DEPTH]).unwrap().depth, 16);
        assert_eq!(root.at(&[0; MAX_DEPTH + 1]), Err(DeriveError::TooDeep));
        assert_eq!(root.at(&[0; 9]).unwrap().at(&[0; 8]), Err(DeriveError::TooDeep));
        assert!(root.at(&[HARDENED - 1]).is_ok());
        let refused = root.at(&[0, HARDENED + 44]).unwrap_err();
        assert_eq!(refused, DeriveError::Hardened(HARDENED + 44));
        assert!(format!("{refused}").starts_with("`44'` is hardened"));
        assert_eq!(root.at(&[]).unwrap(), root);
        // Step by step is the same as at once, but for where it began.
        let (once, first) = (root.at(&[3, 4]).unwrap(), root.at(&[3]).unwrap());
        assert_eq!(first.at(&[4]).unwrap(), once);
        assert_eq!(once.public_key, root.public_key + Point::mul_base(&once.offset));
        assert_eq!(once.parent, Some((first.public_key, 4)));
    }
    check::<Secp256k1>();
    check::<P256>();
    check::<Ed25519>();
}

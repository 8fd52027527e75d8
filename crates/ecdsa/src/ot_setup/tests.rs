//! The set-up through its messages.

use super::*;
use crate::suite::test_rng;
use quorate_protocol::curve::{P256, Secp256k1};
use std::collections::BTreeSet;

const ID: [u8; 32] = [3; 32];

fn over_the_wire<T: BorshSerialize + BorshDeserialize>(message: &T, len: usize) -> T {
    let bytes = borsh::to_vec(message).unwrap();
    assert_eq!(bytes.len(), len);
    borsh::from_slice(&bytes).unwrap()
}

#[test]
fn both_sides_agree_on_480_leaves_and_one_digest() {
    fn on<C: EcdsaCurve>() {
        let mut rng = test_rng("set-up");
        let (start, request) = ReceiverStart::<C>::new(&ID, &mut rng);
        let request = over_the_wire(&request, 8_448);
        let (all, response) = sender_respond(&ID, &request, &mut rng).unwrap();
        let response = over_the_wire(&response, 13_568);
        assert_eq!((Request::<C>::MAX_LEN, Response::<C>::MAX_LEN), (8_448, 13_568));
        let punctured = start.finish(&response).unwrap();

        let mut known = 0;
        for (i, leaf) in punctured.leaves.iter().enumerate() {
            let (tree, z) = (i / 15, i % 15 + 1);
            assert_eq!(*leaf, all.leaves[16 * tree + (z ^ usize::from(punctured.delta[tree]))]);
            known += 1;
        }
        assert_eq!(known, 480);
        assert_eq!(all.gadget.montgomery, punctured.gadget.montgomery);
        assert_eq!(all.gadget.montgomery.len(), 416);

        // The stored forms are canonical, exact in length, and complete.
        let (a, p) = (all.to_secret_bytes(), punctured.to_secret_bytes());
        assert_eq!((a.len(), p.len()), (AllLeaves::<C>::SECRET_LEN, PuncturedLeaves::<C>::SECRET_LEN));
        assert_eq!((a.len(), p.len()), (8_224, 7_728));
        let (all2, punctured2) = (
            AllLeaves::<C>::from_secret_bytes(&a).unwrap(),
            PuncturedLeaves::<C>::from_secret_bytes(&p).unwrap(),
        );
        assert_eq!((all2.ot_id(), punctured2.ot_id()), (&ID, &ID));
        assert!(*all2.leaves == *all.leaves && *punctured2.leaves == *punctured.leaves);
        assert!(*punctured2.delta == *punctured.delta && all2.gadget.montgomery == all.gadget.montgomery);
        assert!(a == all2.to_secret_bytes() && p == punctured2.to_secret_bytes());
        for bad in [&a[1..], &p[1..], &[]] {
            assert!(AllLeaves::<C>::from_secret_bytes(bad).is_none());
            assert!(PuncturedLeaves::<C>::from_secret_bytes(bad).is_none());
        }
    }
    on::<Secp256k1>();
    on::<P256>();
}

/// Δ as one number agrees with its nibbles, in the stored form as well.
#[test]
fn delta_is_packed_low_nibble_first() {
    let leaves = Zeroizing::new(alloc::vec![[0; 16]; 480]);
    let delta = Zeroizing::new(core::array::from_fn(|i| u8::try_from(i % 16).unwrap()));
    let punctured = PuncturedLeaves::<Secp256k1>::new(&ID, delta, leaves);
    assert_eq!(*punctured.delta_bits(), 0xfedc_ba98_7654_3210_fedc_ba98_7654_3210);
    assert_eq!(punctured.to_secret_bytes()[32..36], [0x10, 0x32, 0x54, 0x76]);
}

/// covers: A16
#[test]
fn a_changed_tree_message_is_refused() {
    let mut rng = test_rng("set-up cheat");
    let mut cases = 0;
    // s~ and t~ of the first and of the last tree.
    for offset in [8_448 + 96, 8_448 + 159, 13_568 - 64, 13_568 - 1] {
        let (start, request) = ReceiverStart::<Secp256k1>::new(&ID, &mut rng);
        let (_, response) = sender_respond(&ID, &request, &mut rng).unwrap();
        let mut bytes = borsh::to_vec(&response).unwrap();
        bytes[offset] ^= 1;
        let response = borsh::from_slice(&bytes).unwrap();
        assert_eq!(start.finish(&response).err(), Some(SetupFault::LeafProof));
        cases += 1;
    }
    // Points of another run, and another instance.
    let (start, _) = ReceiverStart::<Secp256k1>::new(&ID, &mut rng);
    let (_, other_request) = ReceiverStart::<Secp256k1>::new(&ID, &mut rng);
    let (_, response) = sender_respond(&ID, &other_request, &mut rng).unwrap();
    assert_eq!(start.finish(&response).err(), Some(SetupFault::LeafProof));
    let (start, request) = ReceiverStart::<Secp256k1>::new(&ID, &mut rng);
    let (_, response) = sender_respond(&[4; 32], &request, &mut rng).unwrap();
    assert_eq!(start.finish(&response).err(), Some(SetupFault::LeafProof));
    assert_eq!(cases + 2, 6);
}

/// covers: A14, A9
#[test]
fn the_confirmation_covers_every_field() {
    let mut rng = test_rng("confirm");
    let (_, request) = ReceiverStart::<Secp256k1>::new(&ID, &mut rng);
    let (_, response) = sender_respond(&ID, &request, &mut rng).unwrap();
    let mut digests = BTreeSet::from([
        confirm_digest(&ID, &request, &response),
        confirm_digest(&[4; 32], &request, &response),
        confirm_digest(&ID, &response.points, &response),
    ]);
    let bytes = borsh::to_vec(&response).unwrap();
    let tree_part = PointPairs::<Secp256k1>::LEN;
    let offsets: Vec<usize> = (0..160).chain([160 * 31, 160 * 32 - 1]).collect();
    for offset in &offsets {
        let mut changed = bytes.clone();
        changed[tree_part + offset] ^= 1;
        digests.insert(confirm_digest(&ID, &request, &borsh::from_slice(&changed).unwrap()));
    }
    assert_eq!(digests.len(), 3 + offsets.len());
}

/// covers: A19
#[test]
fn noise_is_refused_without_panic() {
    let mut rng = test_rng("noise");
    let mut noise = alloc::vec![0; 13_568];
    for _ in 0..50 {
        rng.fill(&mut noise);
        assert!(borsh::from_slice::<Response<P256>>(&noise).is_err());
    }
}

#[test]
fn secrets_are_not_printed() {
    let mut rng = test_rng("debug");
    let (start, request) = ReceiverStart::<Secp256k1>::new(&ID, &mut rng);
    let (all, response) = sender_respond(&ID, &request, &mut rng).unwrap();
    assert_eq!(std::format!("{start:?} {all:?}"), "ReceiverStart(..) AllLeaves(..)");
    let punctured = start.finish(&response).unwrap();
    assert_eq!(std::format!("{punctured:?}"), "PuncturedLeaves(..)");
}

/// Fails to compile if the type has the trait: then two impls would fit.
macro_rules! assert_lacks {
    ($trait:path: $($type:ty),+) => {
        const _: fn() = || {
            trait Ambiguous<A> {
                fn probe() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Has;
            impl<T: ?Sized + $trait> Ambiguous<Has> for T {}
            $(let _ = <$type as Ambiguous<_>>::probe;)+
        };
    };
}
use crate::rvole::{RvoleReceiver, RvoleSender};
assert_lacks!(Clone: AllLeaves<P256>, PuncturedLeaves<P256>, ReceiverStart<P256>, RvoleReceiver<P256>, RvoleSender<P256>);
assert_lacks!(BorshSerialize: AllLeaves<P256>, PuncturedLeaves<P256>, ReceiverStart<P256>, RvoleReceiver<P256>, RvoleSender<P256>);
assert_lacks!(PartialEq: AllLeaves<P256>, PuncturedLeaves<P256>, ReceiverStart<P256>, RvoleReceiver<P256>, RvoleSender<P256>);

//! The trees against a direct evaluation, and cheating proofs.

use super::*;
use crate::suite::{COLUMNS, test_rng};
use std::vec::Vec;

const ID: [u8; 32] = [5; 32];

/// Keys of ideal OTs, and the receiver's part of them.
fn ideal_keys(label: &str) -> (ReceivedKeys, SentKeys) {
    let mut rng = test_rng(label);
    let sent: SentKeys = Zeroizing::new((0..COLUMNS).map(|_| [rng.bytes(), rng.bytes()]).collect());
    let received = sent
        .iter()
        .map(|both| {
            let choice = rng.bytes::<1>()[0] & 1;
            (choice, both[usize::from(choice)])
        })
        .collect();
    (Zeroizing::new(received), sent)
}

#[test]
fn the_receiver_knows_all_leaves_but_one() {
    let (received, sent) = ideal_keys("pprf");
    let (all, proofs) = build(&ID, &sent);
    assert_eq!((all.len(), proofs.len()), (512, 32));
    let punctured = recover(&ID, &received, &proofs).unwrap();
    let mut cases = 0;
    for tree in 0..TREES {
        let delta = usize::from(punctured.delta[tree]);
        let mut complement = 0;
        for (choice, _) in &received[4 * tree..4 * tree + 4] {
            complement = 2 * complement + usize::from(1 - choice);
        }
        assert_eq!(delta, complement);
        let leaves = &all[16 * tree..16 * (tree + 1)];
        for z in 1..LEAVES {
            assert_eq!(punctured.leaves[15 * tree + z - 1], leaves[z ^ delta]);
            cases += 1;
        }
        assert!(!punctured.leaves.contains(&leaves[delta]), "the leaf at Δ is not known");
    }
    assert_eq!(cases, 480);
}

#[test]
fn leaves_differ_by_instance() {
    let (_, sent) = ideal_keys("pprf ids");
    let (a, _) = build(&ID, &sent);
    let (b, _) = build(&[6; 32], &sent);
    assert!(a.iter().all(|leaf| !b.contains(leaf)));
    let mut distinct: Vec<_> = a.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 512);
}

/// Every field of every level: a changed digest or sum of proofs always fails; a changed level sum fails exactly if the receiver
/// uses it, which is what the paper's leak on Δ is.
///
/// covers: A16
#[test]
fn a_changed_proof_is_refused() {
    let (received, sent) = ideal_keys("pprf cheat");
    let (_, proofs) = build(&ID, &sent);
    let (mut cases, mut unused) = (0, 0);
    for tree in [0, 13, 31] {
        for byte in 0..32 {
            for field in 0..2 {
                let mut bad = proofs.clone();
                let field = if field == 0 { &mut bad[tree].digest } else { &mut bad[tree].sum };
                field[byte] ^= 1 << (byte % 8);
                assert_eq!(recover(&ID, &received, &bad).err(), Some(SetupFault::LeafProof));
                cases += 1;
            }
        }
        for level in 0..3 {
            for side in 0..2 {
                for byte in 0..16 {
                    let mut bad = proofs.clone();
                    bad[tree].sums[level][side][byte] ^= 0x80 >> (byte % 8);
                    let used = usize::from(received[4 * tree + level + 1].0) == side;
                    assert_eq!(recover(&ID, &received, &bad).is_err(), used);
                    cases += 1;
                    unused += usize::from(!used);
                }
            }
        }
    }
    assert_eq!(cases, 3 * (64 + 96));
    assert_eq!(unused, 3 * 48);
}

/// covers: A16
#[test]
fn proofs_of_other_trees_or_a_wrong_number_are_refused() {
    let (received, sent) = ideal_keys("pprf swap");
    let (_, proofs) = build(&ID, &sent);
    let mut swapped = proofs.clone();
    swapped.swap(3, 4);
    let mut long = proofs.clone();
    long.push(proofs[0].clone());
    let cases: [&[TreeProof]; 4] = [&swapped, &proofs[..31], &[], &long];
    for bad in cases {
        assert_eq!(recover(&ID, &received, bad).err(), Some(SetupFault::LeafProof));
    }
    assert_eq!(recover(&[6; 32], &received, &proofs).err(), Some(SetupFault::LeafProof));
}

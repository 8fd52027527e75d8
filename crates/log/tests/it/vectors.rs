//! Numbers that others published, and every proof of every small tree.

use std::fmt::Write as _;

use quorate_log::Hash;
use quorate_log::proof::{
    ProofError, prove_consistency, prove_inclusion, root, verify_consistency, verify_inclusion,
};
use quorate_log::tree::{Frontier, Tree};
use sha2::{Digest as _, Sha256};

use crate::support::{Defined, byte_leaves, mth, path};

/// The inputs of the reference tests of Certificate Transparency, in hexadecimal.
const INPUTS: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// Their roots for 0 to 8 entries. Source: the reference tests of Certificate Transparency (`transparency-dev/merkle`, `testonly`).
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn inputs() -> Vec<Vec<u8>> {
    INPUTS.iter().map(|text| hex::decode(text).unwrap()).collect()
}

fn hash(text: &str) -> Hash {
    Hash::from_bytes(hex::decode(text).unwrap().try_into().unwrap())
}

fn text(hash: &Hash) -> String {
    hex::encode(hash.as_bytes())
}

#[test]
fn roots_of_the_reference_tree() {
    let inputs = inputs();
    let leaves: Vec<Hash> = inputs.iter().map(|input| Hash::leaf(input)).collect();
    let mut frontier = Frontier::new();
    let mut tree = Tree::new();
    for (n, expected) in ROOTS.iter().enumerate() {
        assert_eq!(text(&frontier.root()), *expected, "{n}");
        assert_eq!(text(&tree.root()), *expected, "{n}");
        assert_eq!(text(&root(&Defined(leaves.clone()), n as u64).unwrap()), *expected, "{n}");
        let Some(input) = inputs.get(n) else { break };
        frontier.push(Hash::leaf(input));
        assert_eq!(text(&tree.append_encoded(std::slice::from_ref(input)).unwrap().root), ROOTS[n + 1]);
    }
    assert_eq!(frontier.size(), 8);
}

#[test]
fn proofs_of_the_reference_tree() {
    const N2: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const N4: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    const L1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const L4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    const N6: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    let reader = Defined(inputs().iter().map(|input| Hash::leaf(input)).collect());
    let inclusion: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (0, 8, &[L1, N2, N4]),
        (5, 8, &[L4, N6, ROOTS[4]]),
        (2, 3, &[ROOTS[2]]),
        (1, 5, &[ROOTS[1], N2, L4]),
    ];
    for (index, size, expected) in inclusion {
        let proof = prove_inclusion(&reader, index, size).unwrap();
        assert_eq!(proof, expected.iter().map(|text| hash(text)).collect::<Vec<_>>(), "{index} of {size}");
    }
    let consistency: [(u64, u64, &[&str]); 2] = [(1, 1, &[]), (1, 8, &[L1, N2, N4])];
    for (old, size, expected) in consistency {
        let proof = prove_consistency(&reader, old, size).unwrap();
        assert_eq!(proof, expected.iter().map(|text| hash(text)).collect::<Vec<_>>(), "{old} to {size}");
    }
}

/// The digests of draft-ietf-plants-merkle-tree-certs-05, appendix C: over a tree whose entry i is the byte i, the hash of every aligned
/// subtree of up to 130 entries, and every inclusion proof in each of them. A subtree is a tree of its own for us.
#[test]
fn every_tree_of_up_to_130_entries_as_the_ietf_draft_has_it() {
    let leaves = byte_leaves(130);
    let (mut hashes, mut proofs) = (Sha256::new(), Sha256::new());
    let (mut trees, mut paths) = (0_usize, 0_usize);
    for end in 1..=130_usize {
        for start in 0..end {
            let width = (end - start).next_power_of_two();
            if start % width != 0 {
                continue;
            }
            trees += 1;
            let part = Defined(leaves[start..end].to_vec());
            let size = (end - start) as u64;
            hashes.update(format!("[{start}, {end}) {}\n", text(&root(&part, size).unwrap())));
            for index in 0..size {
                paths += 1;
                let mut line = format!("{} [{start}, {end})", start as u64 + index);
                for hash in prove_inclusion(&part, index, size).unwrap() {
                    write!(line, " {}", text(&hash)).unwrap();
                }
                proofs.update(line + "\n");
            }
        }
    }
    assert_eq!(
        hex::encode(hashes.finalize()),
        "94a95384a8c69acea9b50d035a58285b3a777cb7a724005faa5e1f1e1190007f"
    );
    assert_eq!(
        hex::encode(proofs.finalize()),
        "ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f"
    );
    assert_eq!((trees, paths), (581, 12_807));
}

/// SUBTREE_PROOF of the same draft, which for start 0 is PROOF of RFC 6962, 2.1.2.
fn subtree_proof(leaves: &[Hash], start: usize, end: usize, known: bool) -> Vec<Hash> {
    let n = leaves.len();
    if start == 0 && end == n {
        return if known { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = crate::support::largest_power_below(n);
    let (left, right) = leaves.split_at(k);
    let (mut proof, other) = if end <= k {
        (subtree_proof(left, start, end, known), mth(right))
    } else if start >= k {
        (subtree_proof(right, start - k, end - k, known), mth(left))
    } else {
        (subtree_proof(right, 0, end - k, false), mth(left))
    };
    proof.push(other);
    proof
}

/// The third digest of that appendix pins the definition above; ours must be equal to it for every pair of sizes.
#[test]
fn every_consistency_proof_of_up_to_130_entries_as_the_ietf_draft_has_it() {
    let leaves = byte_leaves(130);
    let mut digest = Sha256::new();
    let (mut all, mut ours) = (0_usize, 0_usize);
    for n in 0..=130_usize {
        for end in 1..=n {
            for start in 0..end {
                if start % (end - start).next_power_of_two() != 0 {
                    continue;
                }
                all += 1;
                let proof = subtree_proof(&leaves[..n], start, end, true);
                let mut line = format!("[{start}, {end}) {n}");
                for hash in &proof {
                    write!(line, " {}", text(hash)).unwrap();
                }
                digest.update(line + "\n");
                if start == 0 {
                    ours += 1;
                    let reader = Defined(leaves[..n].to_vec());
                    assert_eq!(prove_consistency(&reader, end as u64, n as u64).unwrap(), proof, "{end} {n}");
                }
            }
        }
    }
    assert_eq!(
        hex::encode(digest.finalize()),
        "c586ebbb73a5621baf2140095d87dde934e3b6503a562a1a5215b8209edd083d"
    );
    assert_eq!((all, ours), (34_247, 130 * 131 / 2));
}

/// Wrong versions of a proof: each hash with one bit changed, one too few at either end, one too many at either end, two swapped.
fn spoiled(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for place in 0..proof.len() {
        let mut bytes = *proof[place].as_bytes();
        let bit = (place * 37 + proof.len() * 11) % 256;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut wrong = proof.to_vec();
        wrong[place] = Hash::from_bytes(bytes);
        all.push(wrong);
    }
    if let [_, rest @ ..] = proof {
        all.push(rest.to_vec());
        all.push(proof[..proof.len() - 1].to_vec());
    }
    let extra = proof.last().copied().unwrap_or_else(Hash::empty);
    all.push([&[extra][..], proof].concat());
    all.push([proof, &[extra][..]].concat());
    if proof.len() >= 2 {
        let mut wrong = proof.to_vec();
        wrong.swap(0, 1);
        all.push(wrong);
    }
    all
}

#[test]
fn every_inclusion_of_up_to_130_entries_and_nothing_else() {
    let leaves = byte_leaves(131);
    let (mut accepted, mut refused) = (0_usize, 0_usize);
    for size in 1..=130_usize {
        let (reader, n) = (Defined(leaves[..size].to_vec()), size as u64);
        let root = mth(&leaves[..size]);
        for index in 0..size {
            let (leaf, i) = (leaves[index], index as u64);
            let proof = prove_inclusion(&reader, i, n).unwrap();
            assert_eq!(proof, path(index, &leaves[..size]));
            verify_inclusion(&leaf, i, n, &proof, &root).unwrap();
            accepted += 1;
            for wrong in spoiled(&proof) {
                assert!(
                    verify_inclusion(&leaf, i, n, &wrong, &root).is_err(),
                    "{index} of {size}: {wrong:?}"
                );
                refused += 1;
            }
            let others = [
                verify_inclusion(&leaves[130], i, n, &proof, &root),
                verify_inclusion(&leaf, i, n, &proof, &leaf_of(&root)),
                verify_inclusion(&leaf, n, n, &proof, &root),
                verify_inclusion(&leaf, u64::MAX, n, &proof, &root),
            ];
            for other in others {
                assert!(other.is_err());
                refused += 1;
            }
            if size > 1 {
                let elsewhere = (i + 1) % n;
                assert!(verify_inclusion(&leaf, elsewhere, n, &proof, &root).is_err());
                refused += 1;
            }
        }
    }
    assert_eq!(accepted, 130 * 131 / 2);
    assert_eq!(refused, 140_694);
}

/// A head that says more entries than its root has: the shorter proofs of the real tree do not pass.
#[test]
fn the_length_of_a_proof_is_that_of_the_signed_size() {
    let leaves = byte_leaves(64);
    let mut refused = 0;
    for real in [1_usize, 2, 4, 8, 16, 32] {
        let (reader, root) = (Defined(leaves[..real].to_vec()), mth(&leaves[..real]));
        for claimed in [real + 1, real * 2, 64].into_iter().filter(|claimed| *claimed > real) {
            let proof = prove_inclusion(&reader, 0, real as u64).unwrap();
            let inclusion = verify_inclusion(&leaves[0], 0, claimed as u64, &proof, &root);
            assert_eq!(inclusion, Err(ProofError::Length), "{real} as {claimed}");
            refused += 1;
        }
    }
    assert_eq!(refused, 18);
}

fn leaf_of(hash: &Hash) -> Hash {
    Hash::leaf(hash.as_bytes())
}

#[test]
fn every_bit_of_a_proof_counts() {
    let leaves = byte_leaves(100);
    let (reader, root, old) = (Defined(leaves.clone()), mth(&leaves), mth(&leaves[..37]));
    let inclusion = prove_inclusion(&reader, 61, 100).unwrap();
    let consistency = prove_consistency(&reader, 37, 100).unwrap();
    let mut refused = 0_usize;
    for (proof, kind) in [(&inclusion, 0), (&consistency, 1)] {
        for bit in 0..proof.len() * 256 {
            let mut wrong = proof.clone();
            let mut bytes = *wrong[bit / 256].as_bytes();
            bytes[bit % 256 / 8] ^= 1 << (bit % 8);
            wrong[bit / 256] = Hash::from_bytes(bytes);
            let result = if kind == 0 {
                verify_inclusion(&leaves[61], 61, 100, &wrong, &root)
            } else {
                verify_consistency(37, &old, 100, &root, &wrong)
            };
            assert_eq!(result, Err(ProofError::Root));
            refused += 1;
        }
    }
    assert_eq!(refused, (7 + 8) * 256);
}

#[test]
fn every_consistency_of_up_to_130_entries_and_nothing_else() {
    let leaves = byte_leaves(130);
    let roots: Vec<Hash> = (0..=130).map(|n| mth(&leaves[..n])).collect();
    let (mut accepted, mut refused) = (0_usize, 0_usize);
    for size in 0..=130_usize {
        let reader = Defined(leaves[..size].to_vec());
        for old in 0..=size {
            let (m, n) = (old as u64, size as u64);
            let proof = prove_consistency(&reader, m, n).unwrap();
            verify_consistency(m, &roots[old], n, &roots[size], &proof).unwrap();
            accepted += 1;
            let mut wrong: Vec<_> = spoiled(&proof)
                .iter()
                .map(|wrong| verify_consistency(m, &roots[old], n, &roots[size], wrong))
                .collect();
            wrong.push(verify_consistency(m, &leaf_of(&roots[old]), n, &roots[size], &proof));
            if old != 0 {
                wrong.push(verify_consistency(m, &roots[old], n, &leaf_of(&roots[size]), &proof));
            }
            if old != size {
                wrong.push(verify_consistency(n, &roots[size], m, &roots[old], &proof));
                wrong.push(verify_consistency(m + 1, &roots[old], n, &roots[size], &proof));
            }
            for result in &wrong {
                assert!(result.is_err(), "{old} to {size}");
            }
            refused += wrong.len();
        }
    }
    assert_eq!(accepted, 131 * 132 / 2);
    assert_eq!(refused, 131_281);
}

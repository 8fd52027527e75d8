//! All-but-one setup (Roy 2022/192, figures 13 and 14): 32 trees of 16 leaves out of 128 base OTs. Spec: `spec/20-base-ot.md`,
//! steps PPRF.1–PPRF.7.
//!
//! The base-OT sender learns all 512 leaves. The receiver learns all but the leaf at Δ_i in tree i; nothing in its code branches
//! on or indexes by Δ.

use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use quorate_protocol::transcript::{Transcript, tags};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use crate::base_ot::{ReceivedKeys, SentKeys};
use crate::ot_setup::SetupFault;
use crate::suite::{Block, LEAVES, TREE_BITS, TREES};

/// What the sender publishes about one tree.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct TreeProof {
    /// t^i_x: masked sums of the left and right children, levels 2 to 4
    pub(crate) sums: [[Block; 2]; TREE_BITS - 1],
    /// s~: digest of the proof values of all leaves
    pub(crate) digest: [u8; 32],
    /// t~: sum of the proof values of all leaves
    pub(crate) sum: [u8; 32],
}

impl TreeProof {
    /// Bytes on the wire.
    pub(crate) const LEN: usize = (TREE_BITS - 1) * 2 * 16 + 32 + 32;
}

/// Leaves of one tree and their proof values.
#[derive(Zeroize)]
struct Expanded {
    leaves: [Block; LEAVES],
    proofs: [[u8; 32]; LEAVES],
}

type Nodes = Zeroizing<[Block; LEAVES]>;

fn xor_into<const N: usize>(into: &mut [u8; N], other: &[u8; N]) {
    for (a, b) in into.iter_mut().zip(other) {
        *a ^= b;
    }
}

/// Adds `other` if `choice` holds.
fn xor_if<const N: usize>(into: &mut [u8; N], other: &[u8; N], choice: Choice) {
    let mask = u8::conditional_select(&0, &0xff, choice);
    for (a, b) in into.iter_mut().zip(other) {
        *a ^= b & mask;
    }
}

/// Position of a node in its level, below 16.
fn positions() -> impl Iterator<Item = u8> {
    0u8..16
}

/// PPRF.2 The two children of an inner node.
fn children(ot_id: &[u8; 32], tree: u8, level: u8, position: u8, node: &Block) -> [Block; 2] {
    let mut transcript = Transcript::new(tags::PPRF_NODE);
    transcript.absorb("ot id", ot_id).absorb("place", &[tree, level, position]).absorb("node", node);
    let mut out = Zeroizing::new([[0; 16]; 2]);
    transcript.xof().fill(out.as_flattened_mut());
    *out
}

/// PPRF.4 Leaf and proof value of a node of the last level.
fn leaf(ot_id: &[u8; 32], tree: u8, position: u8, node: &Block) -> (Block, [u8; 32]) {
    let mut transcript = Transcript::new(tags::PPRF_PROOF);
    transcript.absorb("ot id", ot_id).absorb("place", &[tree, position]).absorb("node", node);
    let mut xof = transcript.xof();
    let (mut leaf, mut proof) = ([0; 16], [0; 32]);
    xof.fill(&mut leaf);
    xof.fill(&mut proof);
    (leaf, proof)
}

fn expand_last_level(ot_id: &[u8; 32], tree: u8, nodes: &Nodes) -> Zeroizing<Expanded> {
    let mut out = Zeroizing::new(Expanded { leaves: [[0; 16]; LEAVES], proofs: [[0; 32]; LEAVES] });
    let Expanded { leaves, proofs } = &mut *out;
    for (((position, node), l), p) in positions().zip(nodes.iter()).zip(leaves).zip(proofs) {
        (*l, *p) = leaf(ot_id, tree, position, node);
    }
    out
}

/// PPRF.5 s~
fn proof_digest(ot_id: &[u8; 32], tree: u8, proofs: &[[u8; 32]; LEAVES]) -> [u8; 32] {
    let mut transcript = Transcript::new(tags::PPRF_DIGEST);
    transcript.absorb("ot id", ot_id).absorb("tree", &[tree]).absorb("proofs", proofs.as_flattened());
    transcript.digest()
}

/// PPRF.1–PPRF.5: all leaves of all trees in order, and the proof of each tree.
pub(crate) fn build(ot_id: &[u8; 32], keys: &SentKeys) -> (Zeroizing<Vec<Block>>, Vec<TreeProof>) {
    let mut all = Zeroizing::new(Vec::with_capacity(TREES * LEAVES));
    let mut messages = Vec::with_capacity(TREES);
    for (tree, keys) in (0u8..).zip(keys.chunks_exact(TREE_BITS)) {
        let mut nodes: Nodes = Zeroizing::new([[0; 16]; LEAVES]);
        let mut sums = [[[0; 16]; 2]; TREE_BITS - 1];
        let [first, rest @ ..] = keys else { continue };
        // PPRF.1 The keys of the first OT are the two nodes of level 1.
        for (node, key) in nodes.iter_mut().zip(first) {
            *node = *key;
        }
        // PPRF.2, PPRF.3 Double the level; mask the sums of left and right children with the keys of the next OT.
        for ((level, keys), sums) in (1u8..).zip(rest).zip(&mut sums) {
            let parents = nodes.clone();
            let width = 1usize << level;
            for ((position, parent), pair) in
                positions().zip(parents.iter()).zip(nodes.chunks_exact_mut(2)).take(width)
            {
                let both = Zeroizing::new(children(ot_id, tree, level, position, parent));
                for ((slot, child), sum) in pair.iter_mut().zip(both.iter()).zip(sums.iter_mut()) {
                    *slot = *child;
                    xor_into(sum, child);
                }
            }
            for (sum, key) in sums.iter_mut().zip(keys) {
                xor_into(sum, key);
            }
        }
        // PPRF.4, PPRF.5
        let last = expand_last_level(ot_id, tree, &nodes);
        let mut sum = [0; 32];
        for proof in &last.proofs {
            xor_into(&mut sum, proof);
        }
        messages.push(TreeProof { sums, digest: proof_digest(ot_id, tree, &last.proofs), sum });
        all.extend_from_slice(&last.leaves);
    }
    (all, messages)
}

/// Δ as 32 nibbles, and the 15 known leaves of every tree in the order of y ⊕ Δ_i = 1, 2, … 15.
pub(crate) struct Punctured {
    pub(crate) delta: Zeroizing<[u8; TREES]>,
    pub(crate) leaves: Zeroizing<Vec<Block>>,
}

/// PPRF.6, PPRF.7: recovers the leaves and checks every proof.
///
/// # Errors
/// [`SetupFault::LeafProof`] if any tree fails. All trees are evaluated before the verdict, which blames the sender towards us.
pub(crate) fn recover(
    ot_id: &[u8; 32],
    keys: &ReceivedKeys,
    messages: &[TreeProof],
) -> Result<Punctured, SetupFault> {
    let mut delta = Zeroizing::new([0; TREES]);
    let mut known = Zeroizing::new(Vec::with_capacity(TREES * (LEAVES - 1)));
    let mut valid = Choice::from(u8::from(messages.len() == TREES && keys.len() == TREES * TREE_BITS));
    for (((tree, keys), message), nibble) in
        (0u8..).zip(keys.chunks_exact(TREE_BITS)).zip(messages).zip(delta.iter_mut())
    {
        let (punctured, mut last) = recover_tree(ot_id, tree, keys, message);
        *nibble = punctured;
        // PPRF.7 The missing proof value follows from the sum; the digest must agree.
        let mut missing = Zeroizing::new(message.sum);
        for proof in &last.proofs {
            xor_into(&mut missing, proof);
        }
        for (position, proof) in positions().zip(&mut last.proofs) {
            xor_if(proof, &missing, position.ct_eq(&punctured));
        }
        valid &= proof_digest(ot_id, tree, &last.proofs).ct_eq(&message.digest);

        // Reorder by y ⊕ Δ_i: one conditional swap of halves per bit.
        for bit in 0..TREE_BITS {
            let swap = Choice::from((punctured >> bit) & 1);
            for block in last.leaves.chunks_exact_mut(2 << bit) {
                let (low, high) = block.split_at_mut(1 << bit);
                for (l, h) in low.as_flattened_mut().iter_mut().zip(high.as_flattened_mut()) {
                    u8::conditional_swap(l, h, swap);
                }
            }
        }
        known.extend(last.leaves.iter().skip(1));
    }
    if bool::from(valid) { Ok(Punctured { delta, leaves: known }) } else { Err(SetupFault::LeafProof) }
}

/// PPRF.6 Leaves of one tree, zeros in the place of the unknown one, and that place.
fn recover_tree(
    ot_id: &[u8; 32],
    tree: u8,
    keys: &[(u8, Block)],
    message: &TreeProof,
) -> (u8, Zeroizing<Expanded>) {
    let mut nodes: Nodes = Zeroizing::new([[0; 16]; LEAVES]);
    let mut unknown = 0u8;
    for ((level, (choice, key)), sums) in
        (0u8..).zip(keys).zip(core::iter::once(&[[0; 16]; 2]).chain(&message.sums))
    {
        let choice_bit = Choice::from(*choice);
        let mut masked_sums = *sums;
        if level > 0 {
            let parents = nodes.clone();
            for ((position, parent), pair) in
                positions().zip(parents.iter()).zip(nodes.chunks_exact_mut(2)).take(1 << level)
            {
                let both = Zeroizing::new(children(ot_id, tree, level, position, parent));
                let is_known = !position.ct_eq(&unknown);
                for ((slot, child), sum) in pair.iter_mut().zip(both.iter()).zip(&mut masked_sums) {
                    *slot = [0; 16];
                    xor_if(slot, child, is_known);
                    xor_into(sum, slot);
                }
            }
        }
        // The child of the unknown node on the side of our choice: masked sum ⊕ key ⊕ known children of that side.
        let [left, right] = &masked_sums;
        let mut recovered = Zeroizing::new(*key);
        xor_if(&mut recovered, left, !choice_bit);
        xor_if(&mut recovered, right, choice_bit);
        let target = 2 * unknown + *choice;
        for (position, node) in positions().zip(nodes.iter_mut()) {
            xor_if(node, &recovered, position.ct_eq(&target));
        }
        unknown = 2 * unknown + (1 - *choice);
    }
    let mut last = expand_last_level(ot_id, tree, &nodes);
    let Expanded { leaves, proofs } = &mut *last;
    for ((position, leaf), proof) in positions().zip(leaves).zip(proofs) {
        let is_known = !position.ct_eq(&unknown);
        let mut empty = ([0; 16], [0; 32]);
        xor_if(&mut empty.0, leaf, is_known);
        xor_if(&mut empty.1, proof, is_known);
        (*leaf, *proof) = empty;
    }
    (unknown, last)
}

#[cfg(test)]
mod tests;

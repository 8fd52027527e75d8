//! Access structures drawn from a seed.

use quorate_protocol::access::{Access, Rank};
use quorate_protocol::party::PartyIndex;

/// A structure over at most five parties that no party satisfies alone, each of them in some minimal quorum: a tree of up to three levels with parties in several leaves,
/// weights, and ranks at any node. Shapes that are impossible are drawn again.
#[must_use]
pub fn structure(seed: u64) -> Access {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    loop {
        let access = node(&mut dice, 0);
        if access.is_valid() && access.lone_party().is_none() && access.idle_party().is_none() {
            return access;
        }
    }
}

/// Xorshift: what tests draw need not surprise anyone, only repeat.
struct Dice(u64);

impl Dice {
    /// A number from 0 to below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
    fn small(&mut self, sides: u64) -> u16 {
        u16::try_from(self.roll(sides)).expect("a die has few sides")
    }
}

fn node(dice: &mut Dice, depth: u8) -> Access {
    if depth > 0 && (depth > 2 || dice.roll(3) > 0) {
        return Access::Party(PartyIndex::new(1 + dice.small(5)).expect("at least 1"));
    }
    let children = |dice: &mut Dice, most| (0..=dice.roll(most)).map(|_| node(dice, depth + 1)).collect();
    if dice.roll(3) == 0 {
        let ranks = 2 + dice.roll(2);
        return Access::Ranks(
            (0..ranks).map(|_| Rank { k: 1 + dice.small(2), of: children(dice, 3) }).collect(),
        );
    }
    let of: Vec<Access> = children(dice, 4);
    let k = 1 + dice.small(u64::try_from(of.len()).expect("few children"));
    Access::Threshold { k, of }
}

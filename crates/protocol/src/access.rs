//! Access structures: which sets of parties can act for a key.

mod sets;

pub use self::sets::{Idle, Sets};

use alloc::vec::Vec;
use core::fmt;

use crate::party::{MAX_PARTIES, PartyIndex};

/// Deepest tree that is valid.
pub const MAX_DEPTH: u8 = 8;

/// Most leaves of a structure: places where a party stands. A party may stand in several.
pub const MAX_LEAVES: usize = 256;

/// Most nodes of a structure, ranks and leaves included: chains of nodes with one child add no leaf.
const MAX_NODES: usize = 2 * MAX_LEAVES;

/// Who can sign: one party, or any `k` of several subtrees, or some of several ranks. `2 of 3` is a threshold over three parties;
/// `user and 2 of (a, b, c)` is a threshold of two over a party and a threshold; a party with weight two stands twice.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize)]
pub enum Access {
    /// Satisfied when this party takes part.
    Party(PartyIndex),
    /// Satisfied when at least `k` of the subtrees are.
    Threshold {
        /// Number of subtrees needed, at least 1 and at most their number.
        k: u16,
        /// The subtrees. A party may stand in several.
        of: Vec<Self>,
    },
    /// Satisfied when, for each rank, the ranks down to it together hold as many satisfied subtrees as they ask for together. So
    /// `1 of (m1, m2) over 2 of (t1, t2)` needs three, and one of them an `m`: a higher rank stands in for a lower one, never the
    /// other way round (Tassa, *Hierarchical Threshold Secret Sharing*, the conjunctive kind).
    Ranks(Vec<Rank>),
}

/// One rank of [`Access::Ranks`]; the highest stands first.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize)]
pub struct Rank {
    /// How many this rank adds to what the ranks above it ask for, at least 1.
    pub k: u16,
    /// The subtrees of this rank, at least one.
    pub of: Vec<Access>,
}

impl Access {
    /// `k` of the given parties can sign. A party may stand several times, and then counts as often.
    ///
    /// # Errors
    /// `None` unless `1 ≤ k ≤ places ≤ 256`, and the parties are 1 to 64.
    pub fn threshold(k: u16, parties: &[PartyIndex]) -> Option<Self> {
        let access = Self::Threshold { k, of: parties.iter().map(|&p| Self::Party(p)).collect() };
        access.is_valid().then_some(access)
    }

    /// The flat form `(k, parties)` if the structure is a plain threshold over parties that stand once each.
    pub fn as_threshold(&self) -> Option<(u16, Vec<PartyIndex>)> {
        let Self::Threshold { k, of } = self else { return None };
        let parties: Vec<PartyIndex> =
            of.iter().map(|a| if let Self::Party(p) = a { Some(*p) } else { None }).collect::<Option<_>>()?;
        (parties.len() == self.parties().len()).then_some((*k, parties))
    }

    /// All parties of the structure, in rising order, each once.
    pub fn parties(&self) -> Vec<PartyIndex> {
        let mut out = Vec::new();
        self.leaves(&mut |p| out.push(p));
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Calls `visit` for each leaf, from left to right: the order of a party's rows in a sharing.
    pub fn leaves(&self, visit: &mut impl FnMut(PartyIndex)) {
        match self {
            Self::Party(p) => visit(*p),
            Self::Threshold { of, .. } => of.iter().for_each(|a| a.leaves(visit)),
            Self::Ranks(ranks) => ranks.iter().flat_map(|r| &r.of).for_each(|a| a.leaves(visit)),
        }
    }

    /// Whether a party stands anywhere in the structure.
    pub fn contains(&self, party: PartyIndex) -> bool {
        match self {
            Self::Party(p) => *p == party,
            Self::Threshold { of, .. } => of.iter().any(|a| a.contains(party)),
            Self::Ranks(ranks) => ranks.iter().flat_map(|r| &r.of).any(|a| a.contains(party)),
        }
    }

    /// The children of a node in order, each with the number that the ranks above its own ask for together: 0 everywhere but in
    /// [`Access::Ranks`]. Empty for a party.
    pub fn children(&self) -> Vec<(usize, &Self)> {
        match self {
            Self::Party(_) => Vec::new(),
            Self::Threshold { of, .. } => of.iter().map(|a| (0, a)).collect(),
            Self::Ranks(ranks) => {
                let mut above = 0usize;
                let mut out = Vec::new();
                for rank in ranks {
                    out.extend(rank.of.iter().map(|a| (above, a)));
                    above = above.saturating_add(usize::from(rank.k));
                }
                out
            }
        }
    }

    /// How many satisfied children a node asks for altogether; 0 for a party. Any smallest satisfying set of children has this size.
    pub fn needed(&self) -> usize {
        match self {
            Self::Party(_) => 0,
            Self::Threshold { k, .. } => usize::from(*k),
            Self::Ranks(ranks) => ranks.iter().map(|r| usize::from(r.k)).sum(),
        }
    }

    /// Whether the structure can be satisfied and is within bounds: every threshold between 1 and what there is, 1 to 64 parties,
    /// at most [`MAX_LEAVES`] places and [`MAX_DEPTH`] levels. Whether a single party may suffice is another question:
    /// [`lone_party`](Self::lone_party).
    pub fn is_valid(&self) -> bool {
        fn shape(a: &Access, depth: u8, nodes: &mut usize) -> bool {
            *nodes = nodes.saturating_add(1);
            if *nodes > MAX_NODES || depth > MAX_DEPTH {
                return false;
            }
            match a {
                Access::Party(_) => true,
                Access::Threshold { k, of } => {
                    (1..=of.len()).contains(&usize::from(*k)) && of.iter().all(|a| shape(a, depth + 1, nodes))
                }
                Access::Ranks(ranks) => {
                    let (mut needed, mut there) = (0usize, 0usize);
                    ranks.len() >= 2
                        && ranks.iter().all(|rank| {
                            *nodes = nodes.saturating_add(1);
                            needed = needed.saturating_add(usize::from(rank.k));
                            there = there.saturating_add(rank.of.len());
                            rank.k >= 1
                                && !rank.of.is_empty()
                                && needed <= there
                                && rank.of.iter().all(|a| shape(a, depth + 1, nodes))
                        })
                }
            }
        }
        let mut leaves = 0usize;
        shape(self, 0, &mut 0) && {
            self.leaves(&mut |_| leaves += 1);
            leaves <= MAX_LEAVES && (1..=MAX_PARTIES).contains(&self.parties().len())
        }
    }

    /// The least party that can act for the key alone, if one can. Keys are not shared under such a structure.
    pub fn lone_party(&self) -> Option<PartyIndex> {
        self.parties().into_iter().find(|p| self.is_qualified(&[*p]))
    }

    /// Whether the set can act for the key.
    pub fn is_qualified(&self, set: &[PartyIndex]) -> bool {
        match self {
            Self::Party(p) => set.contains(p),
            Self::Threshold { k, of } => of.iter().filter(|a| a.is_qualified(set)).count() >= usize::from(*k),
            Self::Ranks(ranks) => {
                let (mut needed, mut there) = (0usize, 0usize);
                ranks.iter().all(|rank| {
                    needed = needed.saturating_add(usize::from(rank.k));
                    there = there.saturating_add(rank.of.iter().filter(|a| a.is_qualified(set)).count());
                    there >= needed
                })
            }
        }
    }

    /// Whether the set is qualified and no member can be left out. Protocols run with minimal quorums only (test plan C1).
    pub fn is_minimal_quorum(&self, set: &[PartyIndex]) -> bool {
        set.iter().all(|p| self.contains(*p))
            && self.is_qualified(set)
            && set.iter().all(|left_out| {
                let rest: Vec<_> = set.iter().copied().filter(|p| p != left_out).collect();
                // A party that is named twice could be left out once.
                rest.len().saturating_add(1) == set.len() && !self.is_qualified(&rest)
            })
    }
}

impl borsh::BorshDeserialize for Access {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let mut left = MAX_NODES;
        let access = Self::decode(reader, 0, &mut left)?;
        if access.is_valid() { Ok(access) } else { Err(invalid()) }
    }
}

fn invalid() -> borsh::io::Error {
    borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, "access structure")
}

/// A length prefix of at most `most`.
fn count<R: borsh::io::Read>(reader: &mut R, most: usize) -> borsh::io::Result<usize> {
    use borsh::BorshDeserialize as _;
    usize::try_from(u32::deserialize_reader(reader)?).ok().filter(|n| *n <= most).ok_or_else(invalid)
}

impl Access {
    /// Reads one node; `left` nodes may follow altogether, so that no input makes a tree larger than a valid one.
    fn decode<R: borsh::io::Read>(reader: &mut R, depth: u8, left: &mut usize) -> borsh::io::Result<Self> {
        use borsh::BorshDeserialize as _;
        *left = left.checked_sub(1).ok_or_else(invalid)?;
        match u8::deserialize_reader(reader)? {
            0 => Ok(Self::Party(PartyIndex::deserialize_reader(reader)?)),
            1 if depth < MAX_DEPTH => {
                let k = u16::deserialize_reader(reader)?;
                Ok(Self::Threshold { k, of: Self::decode_all(reader, depth, left)? })
            }
            2 if depth < MAX_DEPTH => {
                let ranks = count(reader, MAX_LEAVES)?;
                (0..ranks)
                    .map(|_| {
                        *left = left.checked_sub(1).ok_or_else(invalid)?;
                        let k = u16::deserialize_reader(reader)?;
                        Ok(Rank { k, of: Self::decode_all(reader, depth, left)? })
                    })
                    .collect::<borsh::io::Result<_>>()
                    .map(Self::Ranks)
            }
            _ => Err(invalid()),
        }
    }

    fn decode_all<R: borsh::io::Read>(
        reader: &mut R,
        depth: u8,
        left: &mut usize,
    ) -> borsh::io::Result<Vec<Self>> {
        let count = count(reader, MAX_LEAVES)?;
        (0..count).map(|_| Self::decode(reader, depth + 1, left)).collect()
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list(f: &mut fmt::Formatter<'_>, k: u16, of: &[Access]) -> fmt::Result {
            write!(f, "{k} of (")?;
            for (at, a) in of.iter().enumerate() {
                if at > 0 {
                    f.write_str(", ")?;
                }
                match a {
                    Access::Ranks(_) => write!(f, "({a})")?,
                    Access::Party(_) | Access::Threshold { .. } => write!(f, "{a}")?,
                }
            }
            f.write_str(")")
        }
        match self {
            Self::Party(p) => write!(f, "{p}"),
            Self::Threshold { k, of } => list(f, *k, of),
            Self::Ranks(ranks) => {
                for (at, rank) in ranks.iter().enumerate() {
                    if at > 0 {
                        f.write_str(" over ")?;
                    }
                    list(f, rank.k, &rank.of)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Access structures: which sets of parties can act for a key.

use alloc::vec::Vec;
use core::fmt;

use crate::party::{MAX_PARTIES, PartyIndex};

/// Deepest tree that decodes.
const MAX_DEPTH: u8 = 8;

/// Who can sign: one party, or any `k` of several subtrees. `2 of 3` is a threshold over three parties;
/// `user and 2 of (a, b, c)` is a threshold of two over a party and a threshold.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize)]
pub enum Access {
    /// Satisfied when this party takes part.
    Party(PartyIndex),
    /// Satisfied when at least `k` of the subtrees are.
    Threshold {
        /// Number of subtrees needed, at least 1 and at most their number.
        k: u16,
        /// The subtrees; a party stands in at most one of them.
        of: Vec<Self>,
    },
}

impl Access {
    /// `k` of the given parties can sign.
    ///
    /// # Errors
    /// `None` unless `1 ≤ k ≤ parties ≤ 64` and no party stands twice.
    pub fn threshold(k: u16, parties: &[PartyIndex]) -> Option<Self> {
        let access = Self::Threshold { k, of: parties.iter().map(|&p| Self::Party(p)).collect() };
        access.is_valid().then_some(access)
    }

    /// The flat form `(k, parties)` if the structure is a plain threshold.
    pub fn as_threshold(&self) -> Option<(u16, Vec<PartyIndex>)> {
        let Self::Threshold { k, of } = self else { return None };
        let parties =
            of.iter().map(|a| if let Self::Party(p) = a { Some(*p) } else { None }).collect::<Option<_>>()?;
        Some((*k, parties))
    }

    /// All parties of the structure, in rising order.
    pub fn parties(&self) -> Vec<PartyIndex> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out.sort_unstable();
        out
    }

    fn collect(&self, out: &mut Vec<PartyIndex>) {
        match self {
            Self::Party(p) => out.push(*p),
            Self::Threshold { of, .. } => of.iter().for_each(|a| a.collect(out)),
        }
    }

    /// Whether every threshold is between 1 and its number of subtrees and no party stands twice.
    pub fn is_valid(&self) -> bool {
        fn shape(a: &Access, depth: u8) -> bool {
            match a {
                Access::Party(_) => true,
                Access::Threshold { k, of } => {
                    depth < MAX_DEPTH
                        && (1..=of.len()).contains(&usize::from(*k))
                        && of.iter().all(|a| shape(a, depth + 1))
                }
            }
        }
        let parties = self.parties();
        let distinct = parties.windows(2).all(|w| matches!(w, [a, b] if a < b));
        shape(self, 0) && distinct && (1..=MAX_PARTIES).contains(&parties.len())
    }

    /// Whether the set can act for the key.
    pub fn is_qualified(&self, set: &[PartyIndex]) -> bool {
        match self {
            Self::Party(p) => set.contains(p),
            Self::Threshold { k, of } => of.iter().filter(|a| a.is_qualified(set)).count() >= usize::from(*k),
        }
    }

    /// Whether the set is qualified and no member can be left out. Protocols run with minimal quorums only (test plan C1).
    pub fn is_minimal_quorum(&self, set: &[PartyIndex]) -> bool {
        let known = self.parties();
        set.iter().all(|p| known.contains(p))
            && self.is_qualified(set)
            && set.iter().all(|left_out| {
                let rest: Vec<_> = set.iter().copied().filter(|p| p != left_out).collect();
                !self.is_qualified(&rest)
            })
    }
}

impl borsh::BorshDeserialize for Access {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let access = Self::decode(reader, 0)?;
        if access.is_valid() { Ok(access) } else { Err(invalid()) }
    }
}

fn invalid() -> borsh::io::Error {
    borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, "access structure")
}

impl Access {
    fn decode<R: borsh::io::Read>(reader: &mut R, depth: u8) -> borsh::io::Result<Self> {
        use borsh::BorshDeserialize as _;
        match u8::deserialize_reader(reader)? {
            0 => Ok(Self::Party(PartyIndex::deserialize_reader(reader)?)),
            1 if depth < MAX_DEPTH => {
                let k = u16::deserialize_reader(reader)?;
                let count = usize::try_from(u32::deserialize_reader(reader)?).map_err(|_| invalid())?;
                if count > MAX_PARTIES {
                    return Err(invalid());
                }
                let of =
                    (0..count).map(|_| Self::decode(reader, depth + 1)).collect::<borsh::io::Result<_>>()?;
                Ok(Self::Threshold { k, of })
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(p) => write!(f, "{p}"),
            Self::Threshold { k, of } => {
                write!(f, "{k} of (")?;
                for (at, a) in of.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{a}")?;
                }
                f.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn p(i: u16) -> PartyIndex {
        PartyIndex::new(i).unwrap()
    }

    #[test]
    fn thresholds_have_the_quorums_of_their_definition() {
        let access = Access::threshold(2, &[p(1), p(2), p(3)]).unwrap();
        assert!(access.is_minimal_quorum(&[p(1), p(3)]));
        assert!(!access.is_minimal_quorum(&[p(1)]));
        assert!(!access.is_minimal_quorum(&[p(1), p(2), p(3)]), "one party could be left out");
        assert!(!access.is_minimal_quorum(&[p(1), p(4)]), "4 is no member");
        assert!(!access.is_minimal_quorum(&[p(1), p(1)]));
        assert_eq!(alloc::format!("{access}"), "2 of (1, 2, 3)");
    }

    #[test]
    fn trees_combine() {
        let access = Access::Threshold {
            k: 2,
            of: vec![Access::Party(p(1)), Access::threshold(2, &[p(2), p(3), p(4)]).unwrap()],
        };
        assert!(access.is_valid());
        assert!(access.is_minimal_quorum(&[p(1), p(2), p(4)]));
        assert!(!access.is_qualified(&[p(2), p(3), p(4)]), "the user is needed");
        let bytes = borsh::to_vec(&access).unwrap();
        assert_eq!(borsh::from_slice::<Access>(&bytes).unwrap(), access);
    }

    /// covers: S2
    #[test]
    fn impossible_structures_are_refused() {
        assert!(Access::threshold(0, &[p(1)]).is_none());
        assert!(Access::threshold(3, &[p(1), p(2)]).is_none());
        assert!(Access::threshold(1, &[p(1), p(1)]).is_none());
        assert!(Access::threshold(1, &[]).is_none());
        assert!(PartyIndex::new(0).is_none());
    }
}

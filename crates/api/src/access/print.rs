//! Writes access structures in their notation.

use std::fmt;

use super::Access;

/// Words of the notation, which as names stand in quotes.
pub(super) const WORDS: [&str; 4] = ["of", "and", "or", "over"];

/// How tightly a text holds together, from loose to tight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grip {
    Or,
    And,
    Over,
    Unit,
}

impl Access {
    fn grip(&self) -> Grip {
        match self {
            Self::Ranks(_) => Grip::Over,
            // A list has weights; written one by one, 256 times the same would be a long text.
            Self::Threshold { of, .. } if of.array_windows().any(|[a, b]| a == b) => Grip::Unit,
            Self::Threshold { k, of } if of.len() > 1 && usize::from(*k) == of.len() => Grip::And,
            Self::Threshold { k: 1, of } if of.len() > 1 => Grip::Or,
            Self::Threshold { .. } | Self::Node(_) => Grip::Unit,
        }
    }

    /// Writes the structure; in parentheses unless it holds together more tightly than `around`.
    fn write(&self, f: &mut fmt::Formatter<'_>, around: Option<Grip>) -> fmt::Result {
        let grip = self.grip();
        let grouped = grip != Grip::Unit && around.is_some_and(|around| grip <= around);
        if grouped {
            f.write_str("(")?;
        }
        match self {
            Self::Node(name) if WORDS.contains(&name.as_str()) => write!(f, "\"{name}\"")?,
            Self::Node(name) => f.write_str(name)?,
            Self::Threshold { of, .. } if grip == Grip::And => joined(f, of, " and ", grip)?,
            Self::Threshold { of, .. } if grip == Grip::Or => joined(f, of, " or ", grip)?,
            Self::Threshold { k, of } => list(f, *k, of)?,
            Self::Ranks(ranks) => {
                for (at, rank) in ranks.iter().enumerate() {
                    if at > 0 {
                        f.write_str(" over ")?;
                    }
                    list(f, rank.k, &rank.of)?;
                }
            }
        }
        if grouped { f.write_str(")") } else { Ok(()) }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, of: &[Access], word: &str, grip: Grip) -> fmt::Result {
    for (at, part) in of.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        part.write(f, Some(grip))?;
    }
    Ok(())
}

/// `k of (…)`, with the same part several times in a row as a weight.
fn list(f: &mut fmt::Formatter<'_>, k: u16, of: &[Access]) -> fmt::Result {
    write!(f, "{k} of (")?;
    for (at, same) in of.chunk_by(|a, b| a == b).enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        if let Some(part) = same.first() {
            match same.len() {
                1 => part.write(f, None)?,
                weight => {
                    part.write(f, Some(Grip::Over))?;
                    write!(f, "*{weight}")?;
                }
            }
        }
    }
    f.write_str(")")
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, None)
    }
}

//! Access structures over node names, and the notation in which people write them.

mod parse;
mod print;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bounded::{MAX_PARTIES, check_node_name};

pub use parse::AccessError;

/// Longest text of an access structure, in bytes.
pub const MAX_ACCESS: usize = 4096;
/// Most places at which nodes stand in one access structure.
pub const MAX_PLACES: usize = 256;
/// Deepest nesting of an access structure.
pub const MAX_NESTING: usize = 8;

/// Who can sign, by node name. Read from and written as text:
///
/// | text | who can sign |
/// |---|---|
/// | `2 of (a, b, c)` | any two of the three |
/// | `user and 2 of (a, b, c)` | the user with any two |
/// | `x or (y and z)` | x, or y with z |
/// | `3 of (a*2, b, c)` | weights: a counts twice |
/// | `1 of (m1, m2) over 2 of (t1, t2, t3)` | three, one of them an m: a higher rank stands in for a lower one, never the other way round |
///
/// `over` binds closest, then `and`, then `or`. Parentheses group. A node that is called `of`, `and`, `or` or `over` stands in double
/// quotes.
///
/// ```
/// let access: quorate_api::Access = "user and 2 of (a, b, c)".parse()?;
/// assert_eq!(access.names(), ["a", "b", "c", "user"]);
/// assert!(access.is_satisfied_by(&|name| ["user", "a", "c"].contains(&name)));
/// assert_eq!(access.to_string(), "user and 2 of (a, b, c)");
/// # Ok::<(), quorate_api::AccessError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Access {
    /// This node.
    Node(String),
    /// `k` of the parts.
    Threshold {
        /// How many.
        k: u16,
        /// The parts. The same part may stand several times.
        of: Vec<Self>,
    },
    /// Ranks, the highest first, at least two.
    Ranks(Vec<AccessRank>),
}

/// One rank of an [`Access`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRank {
    /// How many this rank adds to what the ranks above it ask for.
    pub k: u16,
    /// Its members.
    pub of: Vec<Access>,
}

impl Access {
    /// `k` of the named nodes, each once.
    pub fn threshold<S: Into<String>>(k: u16, names: impl IntoIterator<Item = S>) -> Self {
        Self::Threshold { k, of: names.into_iter().map(|name| Self::Node(name.into())).collect() }
    }

    /// Reads a structure over other names than those of nodes. Words of the notation, white space and its signs cannot be in a name;
    /// `check_name` says what else is none.
    ///
    /// # Errors
    /// Where the text is wrong and what was expected.
    pub fn parse_over(text: &str, check_name: fn(&str) -> Result<(), String>) -> Result<Self, AccessError> {
        let access = parse::parse(text, check_name)?;
        let whole = |message: String| AccessError { at: 1, message };
        if access.names().len() > MAX_PARTIES {
            return Err(whole(format!("more than {MAX_PARTIES} nodes: share the key among fewer")));
        }
        if access.nesting() > MAX_NESTING {
            return Err(whole(format!("more than {MAX_NESTING} levels: say it with fewer parentheses")));
        }
        // As nodes and clients will read it.
        let length = access.to_string().len();
        if length > MAX_ACCESS {
            return Err(whole(format!("written out it has {length} bytes, more than {MAX_ACCESS}")));
        }
        Ok(access)
    }

    /// The nodes that the structure names, in alphabetical order, each once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.places(&mut |name| names.push(name));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Calls `visit` for each place of a node, from left to right.
    pub fn places<'a>(&'a self, visit: &mut impl FnMut(&'a str)) {
        match self {
            Self::Node(name) => visit(name),
            Self::Threshold { of, .. } => of.iter().for_each(|part| part.places(visit)),
            Self::Ranks(ranks) => ranks.iter().flat_map(|rank| &rank.of).for_each(|part| part.places(visit)),
        }
    }

    /// Whether the nodes for which `there` holds can sign.
    #[must_use]
    pub fn is_satisfied_by(&self, there: &dyn Fn(&str) -> bool) -> bool {
        let count = |of: &[Self]| of.iter().filter(|part| part.is_satisfied_by(there)).count();
        match self {
            Self::Node(name) => there(name),
            Self::Threshold { k, of } => count(of) >= usize::from(*k),
            Self::Ranks(ranks) => {
                let (mut needed, mut found) = (0_usize, 0_usize);
                ranks.iter().all(|rank| {
                    needed = needed.saturating_add(usize::from(rank.k));
                    found = found.saturating_add(count(&rank.of));
                    found >= needed
                })
            }
        }
    }

    /// A node that could sign alone, if there is one. A key is not shared under such a structure: that share would be the key.
    #[must_use]
    pub fn alone(&self) -> Option<&str> {
        self.names().into_iter().find(|alone| self.is_satisfied_by(&|name| name == *alone))
    }

    /// The same structure in another form, made from the nodes up: of a node, of `k` parts, of ranks with what each adds. `None` if a
    /// node has no such form.
    pub fn build<T>(
        &self,
        node: &dyn Fn(&str) -> Option<T>,
        threshold: &dyn Fn(u16, Vec<T>) -> T,
        ranks: &dyn Fn(Vec<(u16, Vec<T>)>) -> T,
    ) -> Option<T> {
        let all =
            |of: &[Self]| of.iter().map(|part| part.build(node, threshold, ranks)).collect::<Option<_>>();
        match self {
            Self::Node(name) => node(name),
            Self::Threshold { k, of } => Some(threshold(*k, all(of)?)),
            Self::Ranks(list) => {
                Some(ranks(list.iter().map(|rank| Some((rank.k, all(&rank.of)?))).collect::<Option<_>>()?))
            }
        }
    }

    fn nesting(&self) -> usize {
        let deepest = |of: &mut dyn Iterator<Item = &Self>| of.map(Self::nesting).max().unwrap_or_default();
        match self {
            Self::Node(_) => 0,
            Self::Threshold { of, .. } => deepest(&mut of.iter()).saturating_add(1),
            Self::Ranks(ranks) => deepest(&mut ranks.iter().flat_map(|rank| &rank.of)).saturating_add(1),
        }
    }
}

impl FromStr for Access {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Self, AccessError> {
        Self::parse_over(text, check_node_name)
    }
}

impl TryFrom<String> for Access {
    type Error = AccessError;

    fn try_from(text: String) -> Result<Self, AccessError> {
        text.parse()
    }
}

impl From<Access> for String {
    fn from(access: Access) -> Self {
        access.to_string()
    }
}

#[cfg(test)]
mod tests;

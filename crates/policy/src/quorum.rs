//! Quorum expressions: who must agree before something is done.
//!
//! ```text
//! expression = all { "or" all }
//! all        = part { "and" part }
//! part       = [ count "of" ] ( people | "(" expression { "," expression } ")" )
//! people     = ( "User" | "Group" | "Role" ) "::" '"' name '"'
//! ```
//!
//! `2 of Group::"finance"` wants two members of the group, `2 of (a, b, c)` two of the three expressions. Without a count one
//! is enough, and parentheses group. **One person fills one place**: who is both in `finance` and the `cfo` counts for either place
//! of `2 of Group::"finance" and User::"cfo"`, never for both, so that a rule that asks for three people gets three.

mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::directory::Directory;
use crate::name::Name;

/// Longest expression, in bytes.
pub const MAX_LEN: usize = 1024;
/// Most places that one way to satisfy an expression may have.
pub const MAX_PLACES: usize = 32;
/// Most ways to satisfy one expression.
pub const MAX_WAYS: usize = 256;

/// Why a text is not a quorum expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// The text is no expression.
    #[error("at byte {at}: expected {expected}, as in `2 of Group::\"finance\" and User::\"cfo\"`")]
    Syntax {
        /// Where, in bytes from the start.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// It asks for nobody.
    #[error("`0 of` asks for nobody: leave the quorum out if nobody must agree")]
    Nobody,
    /// It asks for more alternatives than it lists.
    #[error("`{count} of` a list of {listed}: nobody can satisfy that")]
    TooMany {
        /// What is asked for.
        count: usize,
        /// What is there.
        listed: usize,
    },
    /// It is longer, or has more places or more ways, than can be judged quickly.
    #[error(
        "the expression is too large: at most {MAX_LEN} bytes, {MAX_PLACES} people and {MAX_WAYS} ways to choose among"
    )]
    TooLarge,
    /// Somebody in it is not in the directory.
    #[error("there is no {0} in the directory")]
    Unknown(People),
    /// Even if everybody agreed it would not be satisfied.
    #[error("nobody can satisfy it: even if everybody agreed, {0} would be missing")]
    Unsatisfiable(String),
}

/// Who can fill a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum People {
    /// This user.
    User(Name),
    /// A member of this group, also through a group in it.
    Group(Name),
    /// Somebody who has this role, also through a group that has it.
    Role(Name),
}

impl fmt::Display for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "User::\"{name}\""),
            Self::Group(name) => write!(f, "Group::\"{name}\""),
            Self::Role(name) => write!(f, "Role::\"{name}\""),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    People { count: usize, who: People },
    Of { count: usize, parts: Vec<Self> },
}

/// A quorum expression. Its text is kept as it was written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quorum {
    text: String,
    root: Node,
    /// The ways to satisfy it, each a list of places.
    ways: Vec<Vec<People>>,
}

/// How far a quorum is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Enough people agreed.
    Satisfied,
    /// These places of the way that is nearest are not filled.
    Missing(Vec<Missing>),
}

/// People that are missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Missing {
    /// How many.
    pub count: usize,
    /// Of whom, as the expression writes it.
    pub of: String,
    /// Whom to ask: who could fill the place and has not agreed, at most 20 names.
    pub candidates: Vec<Name>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of.starts_with("User::") {
            f.write_str(&self.of)
        } else {
            write!(f, "{} of {}", self.count, self.of)
        }
    }
}

impl Quorum {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Everybody it names, each once.
    #[must_use]
    pub fn people(&self) -> BTreeSet<&People> {
        fn collect<'a>(node: &'a Node, into: &mut BTreeSet<&'a People>) {
            match node {
                Node::People { who, .. } => {
                    into.insert(who);
                }
                Node::Of { parts, .. } => parts.iter().for_each(|part| collect(part, into)),
            }
        }
        let mut people = BTreeSet::new();
        collect(&self.root, &mut people);
        people
    }

    /// Whether this person's word matters: a place could be theirs.
    #[must_use]
    pub fn concerns(&self, directory: &Directory, user: &Name) -> bool {
        self.people().into_iter().any(|people| directory.is(user, people))
    }

    /// Checks that everybody it names exists, and that it would be satisfied if everybody who can agree did, except for
    /// `without`.
    ///
    /// # Errors
    /// [`QuorumError::Unknown`] or [`QuorumError::Unsatisfiable`].
    pub fn check(&self, directory: &Directory, without: Option<&Name>) -> Result<(), QuorumError> {
        if let Some(unknown) = self.people().into_iter().find(|people| !directory.knows(people)) {
            return Err(QuorumError::Unknown(unknown.clone()));
        }
        let everybody = directory.approvers().filter(|user| Some(*user) != without).cloned().collect();
        match self.progress_without(directory, &everybody, without) {
            Progress::Satisfied => Ok(()),
            Progress::Missing(missing) => {
                let words: Vec<String> = missing.iter().map(ToString::to_string).collect();
                Err(QuorumError::Unsatisfiable(words.join(", ")))
            }
        }
    }

    /// How far it is if `agreed` are the users that agreed. Users who are disabled or not in the directory, and services, do not
    /// count.
    #[must_use]
    pub fn progress(&self, directory: &Directory, agreed: &BTreeSet<Name>) -> Progress {
        self.progress_without(directory, agreed, None)
    }

    /// As [`progress`](Self::progress), where `without` cannot help: what is missing is what others could fill, as far as
    /// anybody could.
    #[must_use]
    pub fn progress_without(
        &self,
        directory: &Directory,
        agreed: &BTreeSet<Name>,
        without: Option<&Name>,
    ) -> Progress {
        let agreed: Vec<&Name> = agreed.iter().filter(|user| directory.may_approve(user)).collect();
        let mut ways = Vec::new();
        for way in &self.ways {
            let open = unfilled(directory, way, &agreed);
            if open == 0 {
                return Progress::Satisfied;
            }
            ways.push((open, way));
        }
        ways.sort_by_key(|(open, _)| *open);
        let others: Vec<&Name> =
            directory.approvers().filter(|user| !agreed.contains(user) && Some(*user) != without).collect();
        // Nobody fills more places than there are, so no more people than that are needed to see whether all can be filled.
        let mut able: BTreeMap<&People, Vec<&Name>> = BTreeMap::new();
        for people in self.people() {
            let fitting = others.iter().filter(|user| directory.is(user, people));
            able.insert(people, fitting.take(MAX_PLACES).copied().collect());
        }
        let mut nearest: Option<(usize, Vec<People>)> = None;
        for (_, way) in ways {
            let (nobody, open) = wanted(directory, way, &agreed, &able);
            if nearest.as_ref().is_none_or(|(least, _)| nobody < *least) {
                nearest = Some((nobody, open));
            }
            if nobody == 0 {
                break;
            }
        }
        let mut counted: BTreeMap<People, usize> = BTreeMap::new();
        for people in nearest.map(|(_, open)| open).unwrap_or_default() {
            let count = counted.entry(people).or_default();
            *count = count.saturating_add(1);
        }
        let missing = |(people, count): (People, usize)| {
            let candidates = able.get(&people).into_iter().flatten().take(20).map(|user| (*user).clone());
            Missing { count, of: people.to_string(), candidates: candidates.collect() }
        };
        Progress::Missing(counted.into_iter().map(missing).collect())
    }
}

/// How many places stay open when each person fills at most one: a largest matching by augmenting paths.
fn unfilled(directory: &Directory, places: &[People], agreed: &[&Name]) -> usize {
    let fits = fits(directory, places, agreed);
    let mut filled: Vec<Option<usize>> = vec![None; agreed.len()];
    let mut open = 0usize;
    for place in 0..places.len() {
        if !seat(place, &fits, &mut filled, &mut vec![false; agreed.len()]) {
            open = open.saturating_add(1);
        }
    }
    open
}

/// The places that others must fill, and how many of them nobody can. Who agreed is seated first; then each open place is filled
/// by somebody else, and those who agreed move over where only they fit: if only the `cfo` agreed, who is in `finance` too, then
/// `Group::"finance" and User::"cfo"` wants somebody of `finance`.
fn wanted(
    directory: &Directory,
    places: &[People],
    agreed: &[&Name],
    able: &BTreeMap<&People, Vec<&Name>>,
) -> (usize, Vec<People>) {
    let mut everybody: Vec<&Name> = agreed.to_vec();
    let others: BTreeSet<&Name> =
        places.iter().filter_map(|people| able.get(people)).flatten().copied().collect();
    everybody.extend(others);
    let mut fits = fits(directory, places, agreed);
    let mut filled: Vec<Option<usize>> = vec![None; everybody.len()];
    let mut open: Vec<usize> = Vec::new();
    for place in 0..places.len() {
        if !seat(place, &fits, &mut filled, &mut vec![false; everybody.len()]) {
            open.push(place);
        }
    }
    fits = self::fits(directory, places, &everybody);
    let mut nobody = 0usize;
    let mut left = Vec::new();
    for place in open {
        if !seat(place, &fits, &mut filled, &mut vec![false; everybody.len()]) {
            nobody = nobody.saturating_add(1);
            left.push(place);
        }
    }
    left.extend(filled.iter().skip(agreed.len()).flatten());
    (nobody, left.into_iter().filter_map(|place| places.get(place)).cloned().collect())
}

/// Who fits each place, by index.
fn fits(directory: &Directory, places: &[People], users: &[&Name]) -> Vec<Vec<usize>> {
    let of = |people| {
        let fitting = users.iter().enumerate().filter(move |(_, user)| directory.is(user, people));
        fitting.map(|(index, _)| index).collect()
    };
    places.iter().map(of).collect()
}

/// Finds somebody for a place, moving others to places that fit them too.
fn seat(place: usize, fits: &[Vec<usize>], filled: &mut [Option<usize>], seen: &mut [bool]) -> bool {
    for &person in fits.get(place).map_or(&[][..], Vec::as_slice) {
        match seen.get_mut(person) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        let sits = filled.get(person).copied().flatten();
        if sits.is_none_or(|other| seat(other, fits, filled, seen)) {
            if let Some(slot) = filled.get_mut(person) {
                *slot = Some(place);
            }
            return true;
        }
    }
    false
}

impl Node {
    /// All ways to satisfy the node, each a list of places; bounded.
    fn ways(&self) -> Result<Vec<Vec<People>>, QuorumError> {
        match self {
            Self::People { count, who } if *count <= MAX_PLACES => Ok(vec![vec![who.clone(); *count]]),
            Self::People { .. } => Err(QuorumError::TooLarge),
            Self::Of { count, parts } => {
                // Ways to satisfy 0, 1, … `count` of the parts seen so far.
                let mut so_far: Vec<Vec<Vec<People>>> = vec![Vec::new(); count.saturating_add(1)];
                if let Some(none) = so_far.first_mut() {
                    none.push(Vec::new());
                }
                for part in parts {
                    let own = part.ways()?;
                    for taken in (0..*count).rev() {
                        let before = so_far.get(taken).cloned().unwrap_or_default();
                        let Some(after) = so_far.get_mut(taken.saturating_add(1)) else { continue };
                        for base in &before {
                            for way in &own {
                                let mut joined = base.clone();
                                joined.extend(way.iter().cloned());
                                if joined.len() > MAX_PLACES || after.len() >= MAX_WAYS {
                                    return Err(QuorumError::TooLarge);
                                }
                                after.push(joined);
                            }
                        }
                    }
                }
                Ok(so_far.pop().unwrap_or_default())
            }
        }
    }
}

impl FromStr for Quorum {
    type Err = QuorumError;

    fn from_str(text: &str) -> Result<Self, QuorumError> {
        if text.len() > MAX_LEN {
            return Err(QuorumError::TooLarge);
        }
        let root = parse::expression(text)?;
        let ways = root.ways()?;
        Ok(Self { text: text.to_owned(), root, ways })
    }
}

impl TryFrom<String> for Quorum {
    type Error = QuorumError;

    fn try_from(text: String) -> Result<Self, QuorumError> {
        text.parse()
    }
}

impl From<Quorum> for String {
    fn from(quorum: Quorum) -> Self {
        quorum.text
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quorum({})", self.text)
    }
}

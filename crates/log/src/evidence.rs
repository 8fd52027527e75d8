//! Proof that a log has shown two histories.

use std::fmt;

use crate::checkpoint::SignedCheckpoint;
use crate::note::{LogKey, NoteError};
use crate::proof::{BuildError, ProofError, TileNodes, consistency, fold_consistency};
use crate::tile::ReadTile;
use crate::{Hash, text};

/// First line of the text form.
const HEADER: &str = "quorate-fork/v1";
/// Longest text that is read, in bytes: two notes and 64 hashes.
const MAX_LEN: usize = 300 * 1024;

/// Two checkpoints signed by one log that cannot both be true. It convinces everyone who has the log's key.
///
/// With equal sizes the roots differ and the path is empty. With different sizes the path leads from a subtree of the larger tree to
/// its root, and on the way to another root for the smaller size than the log signed. The path is a consistency proof that also
/// spells out the smaller tree where the RFC leaves it out; its hashes bind the larger root, so a log that kept to one history
/// cannot be accused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkEvidence {
    smaller: SignedCheckpoint,
    larger: SignedCheckpoint,
    path: Vec<Hash>,
}

/// Why evidence convinces nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Not the text of evidence.
    #[error("not the text of fork evidence")]
    Form,
    /// A checkpoint is not signed by the log.
    #[error("a checkpoint in the evidence does not verify: {0}")]
    Checkpoint(#[from] NoteError),
    /// The path does not lead to the larger root.
    #[error("the path in the evidence does not fit its checkpoints: {0}")]
    Path(#[from] ProofError),
    /// Both checkpoints are of one history, as far as the evidence shows.
    #[error("the checkpoints do not contradict each other")]
    NoFork,
}

impl ForkEvidence {
    /// Puts two checkpoints of one size side by side, or two of different sizes with the path from the larger tree.
    pub(crate) fn new(first: SignedCheckpoint, second: SignedCheckpoint, path: Vec<Hash>) -> Self {
        let (smaller, larger) =
            if first.claim().size() <= second.claim().size() { (first, second) } else { (second, first) };
        Self { smaller, larger, path }
    }

    /// Looks for a contradiction between a checkpoint seen before and a log that has at least as many entries now; `reader` reads that
    /// log under `head`. Reads at most two tiles a level. `None` when the log kept to its history, or the tiles are not those of `head`.
    ///
    /// A witness whose consistency proof fails asks this way who is to blame.
    ///
    /// # Errors
    /// [`BuildError`] when a tile is missing or damaged, or the log is smaller than it was.
    pub fn find<R: ReadTile>(
        log: &LogKey,
        seen: &SignedCheckpoint,
        head: &SignedCheckpoint,
        reader: &R,
    ) -> Result<Option<Self>, BuildError<R::Error>> {
        let (old, size) = (seen.claim().size(), head.claim().size());
        let path = match old {
            _ if old > size => return Err(BuildError::Outside),
            _ if old == size || old == 0 => Vec::new(),
            _ => consistency(&mut TileNodes::new(reader, size), old, size, true)?,
        };
        let evidence = Self::new(seen.clone(), head.clone(), path);
        Ok(evidence.verify(log).is_ok().then_some(evidence))
    }

    /// The checkpoint with fewer entries, or one of two with as many.
    pub const fn smaller(&self) -> &SignedCheckpoint {
        &self.smaller
    }

    /// The other checkpoint.
    pub const fn larger(&self) -> &SignedCheckpoint {
        &self.larger
    }

    /// Checks that the log signed both and that they contradict each other. Then the log, or whoever holds its key, is to blame.
    ///
    /// # Errors
    /// [`EvidenceError`] says why it proves nothing.
    pub fn verify(&self, log: &LogKey) -> Result<(), EvidenceError> {
        let (smaller, larger) = (self.smaller.verify(log)?, self.larger.verify(log)?);
        if smaller.size() == larger.size() {
            let differ = smaller.root() != larger.root();
            return if differ && self.path.is_empty() { Ok(()) } else { Err(EvidenceError::NoFork) };
        }
        if smaller.size() == 0 || smaller.size() > larger.size() {
            return Err(EvidenceError::NoFork);
        }
        let (start, rest) = self.path.split_first().ok_or(ProofError::Length)?;
        let (old, new) = fold_consistency(smaller.size(), larger.size(), start, rest)?;
        if new != *larger.root() {
            return Err(ProofError::Root.into());
        }
        if old == *smaller.root() { Err(EvidenceError::NoFork) } else { Ok(()) }
    }

    /// Reads evidence in the one form that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// [`EvidenceError::Form`] or [`EvidenceError::Checkpoint`].
    pub fn parse(evidence: &str) -> Result<Self, EvidenceError> {
        if evidence.len() > MAX_LEN {
            return Err(EvidenceError::Form);
        }
        let rest = evidence.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n'));
        let (lines, rest) = rest.and_then(|rest| rest.split_once("\n\n")).ok_or(EvidenceError::Form)?;
        let mut lines = lines.split('\n');
        let length = lines.next().and_then(|line| text::number(line.strip_prefix("first ")?));
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or(EvidenceError::Form)?;
        let path = lines.map(|line| Hash::from_base64(line).ok_or(EvidenceError::Form));
        let path = path.collect::<Result<Vec<_>, _>>()?;
        let (first, second) = rest.split_at_checked(length).ok_or(EvidenceError::Form)?;
        let (smaller, larger) = (SignedCheckpoint::parse(first)?, SignedCheckpoint::parse(second)?);
        Ok(Self { smaller, larger, path })
    }
}

impl fmt::Display for ForkEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let smaller = self.smaller.to_string();
        writeln!(f, "{HEADER}\nfirst {}", smaller.len())?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{smaller}{}", self.larger)
    }
}

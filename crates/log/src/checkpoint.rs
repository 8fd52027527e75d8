//! Checkpoints: the size and root of a log, signed. C2SP tlog-checkpoint.

use std::fmt;

use crate::note::{KeyName, LogKey, LogSigner, Note, NoteError, WitnessKey};
use crate::{Hash, MAX_SIZE, text};

/// What a checkpoint says: this log has this many entries, and they hash to this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: KeyName,
    size: u64,
    root: Hash,
}

impl Checkpoint {
    fn new(origin: KeyName, size: u64, root: Hash) -> Result<Self, NoteError> {
        let fits = size <= MAX_SIZE && (size > 0 || root == Hash::empty());
        if fits { Ok(Self { origin, size, root }) } else { Err(NoteError::Checkpoint) }
    }

    /// Reads the three lines that [`fmt::Display`] writes. Extension lines are refused: nothing we sign has them.
    fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split('\n');
        let mut next = || lines.next().ok_or(NoteError::Checkpoint);
        let origin = KeyName::new(next()?).map_err(|_| NoteError::Checkpoint)?;
        let size = text::number(next()?).ok_or(NoteError::Checkpoint)?;
        let root = Hash::from_base64(next()?).ok_or(NoteError::Checkpoint)?;
        if lines.next() != Some("") || lines.next().is_some() {
            return Err(NoteError::Checkpoint);
        }
        Self::new(origin, size, root)
    }

    /// Name of the log.
    pub const fn origin(&self) -> &KeyName {
        &self.origin
    }

    /// Entries in the log.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree over them.
    pub const fn root(&self) -> &Hash {
        &self.root
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)
    }
}

/// A checkpoint with signature lines, none of them checked yet: [`SignedCheckpoint::verify`] gives what may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    claim: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Reads a checkpoint in the one form that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// [`NoteError`] says what is wrong with the form.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        Ok(Self { claim: Checkpoint::parse(note.text())?, note })
    }

    /// What it says. Nobody is known to have said so.
    pub const fn claim(&self) -> &Checkpoint {
        &self.claim
    }

    /// The signed note.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// Checks that it is of this log and signed by it.
    ///
    /// # Errors
    /// [`NoteError::Origin`], [`NoteError::Unsigned`] or [`NoteError::Signature`].
    pub fn verify(&self, log: &LogKey) -> Result<&Checkpoint, NoteError> {
        if self.claim.origin != *log.name() {
            return Err(NoteError::Origin);
        }
        self.note.verify(log)?;
        Ok(&self.claim)
    }

    /// Checks the cosignature of a witness; see [`Note::cosigned`].
    ///
    /// # Errors
    /// [`NoteError::Signature`].
    pub fn cosigned(&self, witness: &WitnessKey) -> Result<Option<u64>, NoteError> {
        self.note.cosigned(witness)
    }

    /// Takes over the cosignature of a witness from the copy that it returned; other lines of that copy are left. Returns the time of the
    /// cosignature in seconds since 1970.
    ///
    /// # Errors
    /// [`NoteError::Form`] when it is another checkpoint; [`NoteError::Unsigned`] or [`NoteError::Signature`] are the witness's fault;
    /// [`NoteError::TooLong`] when there is no room.
    pub fn take_cosignature(&mut self, copy: &Self, witness: &WitnessKey) -> Result<u64, NoteError> {
        self.note.take_cosignature(&copy.note, witness)
    }

    pub(crate) const fn note_mut(&mut self) -> &mut Note {
        &mut self.note
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

impl LogSigner {
    /// Signs the head of this log. What it covers is on disk before; and the log never signs a head that contradicts an earlier one.
    ///
    /// # Errors
    /// [`NoteError::Checkpoint`] when the size is not below 2⁶³, or 0 with another root than that of the empty tree.
    pub fn sign(&self, size: u64, root: Hash) -> Result<SignedCheckpoint, NoteError> {
        // LOG.4
        let claim = Checkpoint::new(self.key().name().clone(), size, root)?;
        let mut note = Note::unsigned(claim.to_string());
        note.sign(self);
        Ok(SignedCheckpoint { claim, note })
    }
}

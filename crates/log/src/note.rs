//! Signed notes and their keys. C2SP signed-note, C2SP tlog-cosignature.

mod key;

use std::fmt;

use crate::text;
pub use key::{KeyError, KeyName, LogKey, LogSigner, NoteKey, NoteSigner, WitnessKey, WitnessSigner};

/// Longest note that is read, in bytes: room for sixteen signatures of 5 kB, which C2SP signed-note asks every reader to accept.
const MAX_LEN: usize = 128 * 1024;
/// Most signatures that are read. At least sixteen must be accepted: C2SP signed-note, section *Format*.
const MAX_SIGNATURES: usize = 64;
/// What opens a signature line: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// Why a note is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note or its number of signatures is above what is read.
    #[error("the note is longer than {} bytes or has more than {} signatures", MAX_LEN, MAX_SIGNATURES)]
    TooLong,
    /// It has control characters, no blank line, no signature or no line end.
    #[error("not a signed note: expected text, a blank line and signature lines")]
    Form,
    /// A signature line is not a dash, a name and canonical base64.
    #[error("a signature line of the note cannot be read")]
    Line,
    /// Two lines claim to be of the same key.
    #[error("two signature lines are of the same key")]
    Repeated,
    /// The text is not that of a checkpoint.
    #[error("not a checkpoint: expected three lines, origin, size and root")]
    Checkpoint,
    /// The checkpoint is that of another log.
    #[error("the checkpoint is of another log than the key")]
    Origin,
    /// The key has not signed.
    #[error("the note has no signature of this key")]
    Unsigned,
    /// The line of this key does not verify.
    #[error("the signature of this key does not verify")]
    Signature,
}

/// One signature line. What it says is unproven until it is checked under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key that is said to have signed.
    pub name: KeyName,
    /// Its short identifier.
    pub id: [u8; 4],
    /// What the algorithm made; for a cosignature 8 bytes of time and then 64 of signature.
    pub bytes: Vec<u8>,
}

impl Signature {
    fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(DASH)?.split_once(' ')?;
        let decoded = text::from_base64(base64)?;
        let (id, bytes) = decoded.split_first_chunk()?;
        let name = KeyName::new(name).ok()?;
        (!bytes.is_empty()).then(|| Self { name, id: *id, bytes: bytes.to_vec() })
    }

    fn is_of<const TYPE: u8>(&self, key: &NoteKey<TYPE>) -> bool {
        self.name == *key.name() && self.id == key.id()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.bytes].concat();
        write!(f, "{DASH}{} {}", self.name, text::to_base64(&bytes))
    }
}

/// A text and signature lines, none of them checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A note without signatures; `text` ends with a newline.
    pub(crate) const fn unsigned(text: String) -> Self {
        Self { text, signatures: Vec::new() }
    }

    /// Reads a note in the one form that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// [`NoteError`] says what is wrong with the form.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_LEN {
            return Err(NoteError::TooLong);
        }
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Form);
        }
        let (body, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form)?;
        let mut signatures: Vec<Signature> = Vec::new();
        for line in lines.split('\n') {
            let signature = Signature::parse(line).ok_or(NoteError::Line)?;
            if signatures.iter().any(|other| other.name == signature.name && other.id == signature.id) {
                return Err(NoteError::Repeated);
            }
            if signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::TooLong);
            }
            signatures.push(signature);
        }
        Ok(Self { text: format!("{body}\n"), signatures })
    }

    /// The text with its last newline: what is signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in the order they stand in.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Checks the signature of a log.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] or [`NoteError::Signature`]. The second is the fault of whoever passed the note on, or of the log.
    pub fn verify(&self, key: &LogKey) -> Result<(), NoteError> {
        let signature = self.signatures.iter().find(|line| line.is_of(key)).ok_or(NoteError::Unsigned)?;
        let bytes = signature.bytes.as_slice().try_into().map_err(|_| NoteError::Signature)?;
        if key.verify(self.text.as_bytes(), bytes) { Ok(()) } else { Err(NoteError::Signature) }
    }

    /// Checks the cosignature of a witness and returns its time in seconds since 1970; `None` when the witness has not signed.
    ///
    /// # Errors
    /// [`NoteError::Signature`] when there is a line of this witness that does not verify.
    pub fn cosigned(&self, key: &WitnessKey) -> Result<Option<u64>, NoteError> {
        let Some(signature) = self.signatures.iter().find(|line| line.is_of(key)) else { return Ok(None) };
        let (time, bytes) = signature.bytes.split_first_chunk().ok_or(NoteError::Signature)?;
        let time = u64::from_be_bytes(*time);
        let bytes = bytes.try_into().map_err(|_| NoteError::Signature)?;
        if time <= crate::MAX_SIZE && key.verify(&cosigned_message(time, &self.text), bytes) {
            Ok(Some(time))
        } else {
            Err(NoteError::Signature)
        }
    }

    pub(crate) fn sign(&mut self, signer: &LogSigner) {
        let bytes = signer.sign_bytes(self.text.as_bytes()).to_vec();
        self.put(signer.key(), bytes);
    }

    pub(crate) fn cosign(&mut self, signer: &WitnessSigner, time: u64) {
        let signature = signer.sign_bytes(&cosigned_message(time, &self.text));
        self.put(signer.key(), [&time.to_be_bytes()[..], &signature[..]].concat());
    }

    /// Adds a line, in the place of one of the same key.
    fn put<const TYPE: u8>(&mut self, key: &NoteKey<TYPE>, bytes: Vec<u8>) {
        self.signatures.retain(|line| !line.is_of(key));
        self.signatures.push(Signature { name: key.name().clone(), id: key.id(), bytes });
    }

    /// Takes over the line of a witness from another copy of the same note, and returns its time in seconds since 1970. Other lines of that copy
    /// are left: a wrong one would spoil this note for all readers.
    ///
    /// # Errors
    /// [`NoteError::Form`] when the texts differ, [`NoteError::Unsigned`] when the witness has not signed, [`NoteError::Signature`] when its line does not
    /// verify, [`NoteError::TooLong`] when there is no room.
    pub(crate) fn take_cosignature(&mut self, copy: &Self, witness: &WitnessKey) -> Result<u64, NoteError> {
        if self.text != copy.text {
            return Err(NoteError::Form);
        }
        let time = copy.cosigned(witness)?.ok_or(NoteError::Unsigned)?;
        let line = copy.signatures.iter().find(|line| line.is_of(witness)).ok_or(NoteError::Unsigned)?;
        let known = self.signatures.iter().any(|line| line.is_of(witness));
        if !known && self.signatures.len() >= MAX_SIGNATURES {
            return Err(NoteError::TooLong);
        }
        self.put(witness, line.bytes.clone());
        Ok(time)
    }
}

/// What a witness signs. C2SP tlog-cosignature, section *Ed25519 signed message*.
///
/// No checkpoint reads like this, since its second line is a number: one key may serve a log and a witness.
fn cosigned_message(time: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

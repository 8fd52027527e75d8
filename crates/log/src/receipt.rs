//! Receipts: what a result carries for each node that took part, so that anyone can check offline that the node logged it.
//! C2SP tlog-proof.

use std::fmt;

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::entry::{Entry, EntryError};
use crate::note::{LogKey, NoteError};
use crate::proof::{BuildError, ProofError, prove_inclusion, verify_inclusion};
use crate::tile::ReadTile;
use crate::tree::Growth;
use crate::witness::{CheckError, Cosignature, WitnessPolicy};
use crate::{Hash, text};

/// First line. C2SP tlog-proof, section *Format*.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Longest receipt that is read, in bytes: an entry and a note of full length.
const MAX_LEN: usize = 256 * 1024;
/// Most hashes in a proof: one for each height of a tree below 2⁶³ entries.
const MAX_PROOF: usize = 63;

/// An entry, its place, the proof that it is there, and the checkpoint that the proof leads to. Nothing in it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    entry: Vec<u8>,
    index: u64,
    proof: Vec<Hash>,
    checkpoint: SignedCheckpoint,
}

/// What a receipt proves once it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Place of the entry in the log, from 0.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// The head under which it was found.
    pub checkpoint: Checkpoint,
    /// Who else saw that head.
    pub cosignatures: Vec<Cosignature>,
}

/// Why a receipt proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not the text of a receipt.
    #[error("not a receipt: expected the form of {HEADER} with the entry as extra data")]
    Form,
    /// The checkpoint inside cannot be read.
    #[error("the checkpoint in the receipt: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint inside is not believed.
    #[error("the checkpoint in the receipt is not believed: {0}")]
    Checkpoint(#[from] CheckError),
    /// The entry is not where the receipt says.
    #[error("the entry in the receipt is not in the log: {0}")]
    Proof(#[from] ProofError),
    /// The log holds something there that is no entry.
    #[error("the receipt holds no entry: {0}")]
    Entry(#[from] EntryError),
}

impl Receipt {
    /// The receipt for the entry at `index` under a checkpoint of the log that `reader` reads. Whether the entry is the one that stands there shows
    /// when the receipt is verified.
    ///
    /// # Errors
    /// [`BuildError`] when the checkpoint does not cover the index, or a tile is missing or damaged.
    pub fn new<R: ReadTile>(
        entry: &Entry,
        index: u64,
        checkpoint: SignedCheckpoint,
        reader: &R,
    ) -> Result<Self, BuildError<R::Error>> {
        // LOG.7
        let proof = prove_inclusion(reader, index, checkpoint.claim().size())?;
        Ok(Self { entry: entry.encode(), index, proof, checkpoint })
    }

    /// The receipt for an entry that an append has just added, the `nth` of that append from 0, under the checkpoint of the log right
    /// after it; `None` if there is no such entry. Whether entry and checkpoint are those of the append shows when the receipt is verified.
    pub fn of_newest(entry: &Entry, nth: u64, growth: &Growth, checkpoint: SignedCheckpoint) -> Option<Self> {
        // LOG.7
        let (index, proof) = (growth.first.checked_add(nth)?, growth.newest.prove(nth)?);
        Some(Self { entry: entry.encode(), index, proof, checkpoint })
    }

    /// The checkpoint in it, unchecked.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Checks everything: the log's signature, the witnesses', the proof, and the form of the entry.
    ///
    /// # Errors
    /// [`ReceiptError`] says what does not hold.
    pub fn verify(&self, log: &LogKey, witnesses: &WitnessPolicy) -> Result<Logged, ReceiptError> {
        // LOG.8
        let (checkpoint, cosignatures) = witnesses.check(&self.checkpoint, log)?;
        // LOG.9
        let leaf = Hash::leaf(&self.entry);
        verify_inclusion(&leaf, self.index, checkpoint.size(), &self.proof, checkpoint.root())?;
        let entry = Entry::decode(&self.entry)?;
        Ok(Logged { index: self.index, entry, checkpoint: checkpoint.clone(), cosignatures })
    }

    /// Reads a receipt in the one form that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// [`ReceiptError::Form`] or [`ReceiptError::Note`].
    pub fn parse(receipt: &str) -> Result<Self, ReceiptError> {
        if receipt.len() > MAX_LEN {
            return Err(ReceiptError::Form);
        }
        let (head, note) = receipt.split_once("\n\n").ok_or(ReceiptError::Form)?;
        let mut lines = head.split('\n');
        let mut field = |name: &str| lines.next()?.strip_prefix(name);
        if field(HEADER) != Some("") {
            return Err(ReceiptError::Form);
        }
        let entry = field("extra ").and_then(text::from_base64).ok_or(ReceiptError::Form)?;
        let index = field("index ").and_then(text::number).ok_or(ReceiptError::Form)?;
        let proof = lines.map(|line| Hash::from_base64(line).ok_or(ReceiptError::Form));
        let proof = proof.collect::<Result<Vec<_>, _>>()?;
        if entry.len() > Entry::MAX_LEN || proof.len() > MAX_PROOF {
            return Err(ReceiptError::Form);
        }
        Ok(Self { entry, index, proof, checkpoint: SignedCheckpoint::parse(note)? })
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nextra {}\nindex {}", text::to_base64(&self.entry), self.index)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

//! What a log sends to a witness: its new head, and the proof that it continues the last one that the witness saw. C2SP tlog-witness.

use std::fmt;

use crate::checkpoint::SignedCheckpoint;
use crate::note::{LogKey, NoteError};
use crate::proof::{BuildError, prove_consistency};
use crate::tile::ReadTile;
use crate::witness::{Observed, Refusal};
use crate::{Hash, text};

/// Longest offer that is read, in bytes: a note of full length and 63 hashes.
const MAX_LEN: usize = 132 * 1024;
/// Most hashes in an offer. C2SP tlog-witness, section *add-checkpoint*.
const MAX_PROOF: usize = 63;

/// The body of an `add-checkpoint` request. Nothing in it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    old_size: u64,
    proof: Vec<Hash>,
    checkpoint: SignedCheckpoint,
}

/// Why bytes are no offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Not `old <size>`, up to 63 hashes, an empty line and a checkpoint.
    #[error("not an offer: expected `old <size>`, hashes, an empty line and a checkpoint")]
    Form,
    /// The checkpoint cannot be read.
    #[error("the offered checkpoint: {0}")]
    Note(#[from] NoteError),
}

impl Offer {
    /// The offer to a witness that saw the log last with `old_size` entries, 0 when it never did.
    ///
    /// # Errors
    /// [`BuildError`] when the witness saw more than the checkpoint has, or a tile is missing or damaged.
    pub fn new<R: ReadTile>(
        old_size: u64,
        checkpoint: SignedCheckpoint,
        reader: &R,
    ) -> Result<Self, BuildError<R::Error>> {
        let proof = prove_consistency(reader, old_size, checkpoint.claim().size())?;
        Ok(Self { old_size, proof, checkpoint })
    }

    /// The checkpoint in it, unchecked: its origin says of which log the witness needs the key and the kept head.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Judges the offer; see [`Observed::new`].
    ///
    /// # Errors
    /// [`Refusal`]; [`Refusal::Stale`] asks the log to offer again from another size.
    pub fn observe(self, log: &LogKey, kept: Option<&SignedCheckpoint>) -> Result<Observed, Refusal> {
        let size = kept.map_or(0, |kept| kept.claim().size());
        // A smaller log is a rollback whatever size the offer starts from, and Observed says so.
        if self.old_size != size && self.checkpoint.claim().size() >= size {
            return Err(Refusal::Stale { kept: size });
        }
        Observed::new(log, kept, self.checkpoint, &self.proof)
    }

    /// Reads an offer in the one form that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// [`OfferError`].
    pub fn parse(offer: &str) -> Result<Self, OfferError> {
        if offer.len() > MAX_LEN {
            return Err(OfferError::Form);
        }
        let (lines, note) = offer.split_once("\n\n").ok_or(OfferError::Form)?;
        let mut lines = lines.split('\n');
        let old_size = lines.next().and_then(|line| text::number(line.strip_prefix("old ")?));
        let old_size = old_size.ok_or(OfferError::Form)?;
        let proof = lines.map(|line| Hash::from_base64(line).ok_or(OfferError::Form));
        let proof = proof.collect::<Result<Vec<_>, _>>()?;
        if proof.len() > MAX_PROOF {
            return Err(OfferError::Form);
        }
        Ok(Self { old_size, proof, checkpoint: SignedCheckpoint::parse(note)? })
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

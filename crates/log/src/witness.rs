//! Witnesses: nodes that saw a log grow without contradiction and say so. C2SP tlog-cosignature.

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::evidence::ForkEvidence;
use crate::note::{KeyName, LogKey, NoteError, WitnessKey, WitnessSigner};
use crate::proof::{ProofError, verify_consistency};
use crate::{Hash, MAX_SIZE};

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The checkpoint that is offered is not signed by the log.
    #[error("the offered checkpoint does not verify: {0}")]
    Offered(NoteError),
    /// The checkpoint that the witness kept does not verify: its store was changed.
    #[error("the checkpoint kept from before does not verify: {0}")]
    Kept(NoteError),
    /// The log is smaller than it was.
    #[error("the log went back from {kept} to {offered} entries")]
    Rollback {
        /// Entries it had.
        kept: u64,
        /// Entries it says it has.
        offered: u64,
    },
    /// The proof starts from another size than the witness kept: offer again from that one.
    #[error("the witness saw {kept} entries last: prove consistency from there")]
    Stale {
        /// Entries in the head that the witness kept, 0 when it has none.
        kept: u64,
    },
    /// The log has signed two histories.
    #[error("the log shows two histories")]
    Fork(Box<ForkEvidence>),
    /// The proof does not connect the two. It may be a wrong proof: ask again before the log is accused.
    #[error("the consistency proof does not hold: {0}")]
    Proof(ProofError),
}

/// A checkpoint that continues what the witness saw before, and may be cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed(SignedCheckpoint);

impl Observed {
    /// Judges a checkpoint of `log`. `kept` is the last one that this witness observed, `None` when there was none; `proof` connects
    /// the two.
    ///
    /// # Errors
    /// [`Refusal`]; a rollback or a fork is the fault of the log's owner.
    pub fn new(
        log: &LogKey,
        kept: Option<&SignedCheckpoint>,
        offered: SignedCheckpoint,
        proof: &[Hash],
    ) -> Result<Self, Refusal> {
        // LOG.5
        let new = offered.verify(log).map_err(Refusal::Offered)?;
        let Some(kept) = kept else {
            return if proof.is_empty() {
                Ok(Self(offered))
            } else {
                Err(Refusal::Proof(ProofError::Length))
            };
        };
        let old = kept.verify(log).map_err(Refusal::Kept)?;
        if new.size() < old.size() {
            return Err(Refusal::Rollback { kept: old.size(), offered: new.size() });
        }
        let held = verify_consistency(old.size(), old.root(), new.size(), new.root(), proof);
        let Err(reason) = held else { return Ok(Self(offered)) };
        let path = if old.size() == new.size() { Vec::new() } else { proof.to_vec() };
        let evidence = ForkEvidence::new(kept.clone(), offered, path);
        match evidence.verify(log) {
            Ok(()) => Err(Refusal::Fork(Box::new(evidence))),
            Err(_) => Err(Refusal::Proof(reason)),
        }
    }

    /// What was observed. Keep it durably as the last one before any cosignature on it leaves the node.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.0
    }

    /// Adds the witness's line. `time` is its clock in seconds since 1970.
    ///
    /// # Errors
    /// [`NoteError::Form`] when the time is not below 2⁶³.
    pub fn cosign(mut self, witness: &WitnessSigner, time: u64) -> Result<SignedCheckpoint, NoteError> {
        // LOG.6
        if time > MAX_SIZE {
            return Err(NoteError::Form);
        }
        self.0.note_mut().cosign(witness, time);
        Ok(self.0)
    }
}

/// How many of which witnesses must have cosigned before a checkpoint is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessPolicy {
    needed: usize,
    witnesses: Vec<WitnessKey>,
}

/// Why a policy is no policy, or a checkpoint does not satisfy it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// More witnesses are needed than there are.
    #[error("{needed} of {known} witnesses cannot be reached")]
    Unreachable {
        /// How many must cosign.
        needed: usize,
        /// How many there are.
        known: usize,
    },
    /// One key, or one name, stands twice: one witness would count as two.
    #[error("the witness `{0}` is listed twice")]
    Twice(KeyName),
    /// The log would witness itself.
    #[error("the witness `{0}` has the key of the log itself")]
    OwnKey(KeyName),
    /// The line of a known witness does not verify.
    #[error("the cosignature of `{0}` does not verify")]
    Signature(KeyName),
    /// Too few have cosigned.
    #[error("{found} of {needed} cosignatures are there")]
    Missing {
        /// How many are there and verify.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
}

/// One cosignature that verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// Who cosigned.
    pub witness: KeyName,
    /// When, by the witness's clock, in seconds since 1970.
    pub time: u64,
}

impl WitnessPolicy {
    /// `needed` of these witnesses. Nobody needs to cosign when `needed` is 0.
    ///
    /// # Errors
    /// [`PolicyError::Unreachable`] or [`PolicyError::Twice`].
    pub fn new(needed: usize, witnesses: Vec<WitnessKey>) -> Result<Self, PolicyError> {
        if needed > witnesses.len() {
            return Err(PolicyError::Unreachable { needed, known: witnesses.len() });
        }
        for (place, key) in witnesses.iter().enumerate() {
            let same = |other: &WitnessKey| other.public() == key.public() || other.name() == key.name();
            if witnesses.iter().take(place).any(same) {
                return Err(PolicyError::Twice(key.name().clone()));
            }
        }
        Ok(Self { needed, witnesses })
    }

    /// The policy that asks for no witness.
    pub const fn none() -> Self {
        Self { needed: 0, witnesses: Vec::new() }
    }

    /// Checks the log's signature and the witnesses', and returns what was signed with the cosignatures that verified.
    ///
    /// # Errors
    /// [`CheckError`] says whose signature is missing or wrong. A wrong line of a known witness refuses the whole checkpoint.
    pub fn check<'a>(
        &self,
        checkpoint: &'a SignedCheckpoint,
        log: &LogKey,
    ) -> Result<(&'a Checkpoint, Vec<Cosignature>), CheckError> {
        let claim = checkpoint.verify(log)?;
        let mut found = Vec::new();
        for witness in &self.witnesses {
            if witness.public() == log.public() {
                return Err(PolicyError::OwnKey(witness.name().clone()).into());
            }
            let time =
                checkpoint.cosigned(witness).map_err(|_| PolicyError::Signature(witness.name().clone()))?;
            found.extend(time.map(|time| Cosignature { witness: witness.name().clone(), time }));
        }
        if found.len() < self.needed {
            return Err(PolicyError::Missing { found: found.len(), needed: self.needed }.into());
        }
        Ok((claim, found))
    }
}

/// Why a checkpoint is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The log's own signature.
    #[error("the log's signature: {0}")]
    Log(#[from] NoteError),
    /// The witnesses' signatures.
    #[error("the witnesses: {0}")]
    Witnesses(#[from] PolicyError),
}

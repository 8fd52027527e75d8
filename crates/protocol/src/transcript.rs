//! Hashing with registered tags and unambiguous encoding. Nothing in the workspace hashes protocol data in any other way.
//!
//! A [`Transcript`] is BLAKE3 in key-derivation mode under the tag's context string; every field is absorbed with its label and
//! both lengths, so different sequences of fields never give the same input (test plan C20, the alpha-shuffle class of attacks).

use blake3::{Hasher, OutputReader};
use core::fmt;

/// A registered domain. New tags are added to [`tags::ALL`]; a test refuses duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(&'static str);

impl Tag {
    /// The context string.
    pub const fn context(self) -> &'static str {
        self.0
    }
}

macro_rules! registry {
    ($($(#[$doc:meta])* $name:ident = $context:literal;)+) => {
        /// Every domain in which Quorate hashes.
        pub mod tags {
            use super::Tag;
            $($(#[$doc])* pub const $name: Tag = Tag(concat!("quorate v1 ", $context));)+
            /// All of them, for the test of uniqueness.
            pub const ALL: &[Tag] = &[$($name),+];
        }
    };
}

registry! {
    /// Identity of a party: hash of its verification key.
    PARTY_ID = "party id";
    /// Identity of a key.
    KEY_ID = "key id";
    /// Identity of one epoch of a key.
    EPOCH_ID = "epoch id";
    /// Session identifier of one ceremony.
    SESSION_ID = "session id";
    /// Random stream of one session.
    RNG = "session rng";
    /// Message of one signed broadcast.
    BROADCAST = "broadcast";
    /// Digest of all broadcasts of one round.
    ECHO = "echo";
    /// Salted commitments.
    COMMITMENT = "commitment";
    /// Challenge of a Schnorr proof of knowledge.
    SCHNORR_POK = "schnorr proof of knowledge";
    /// Confirmation of a key generation.
    DKG_CONFIRM = "dkg confirm";
    /// Chain code of a key.
    CHAIN_CODE = "chain code";
    /// Acknowledgement that a share is durable.
    DKG_ACK = "dkg acknowledgement";
    /// Plan of moving a key to another committee, structure and epoch.
    RESHARE_PLAN = "reshare plan";
    /// Confirmation of a new epoch.
    RESHARE_CONFIRM = "reshare confirm";
    /// Transcript of a key that one dealer split.
    IMPORT = "import";
    /// Identity of one direction of a pairwise OT set-up.
    OT_ID = "ot id";
    /// Base OT: key derivation from the shared point.
    BASE_OT_KEY = "base ot key";
    /// PPRF: expansion of an inner node.
    PPRF_NODE = "pprf node";
    /// PPRF: leaves of the consistency proof.
    PPRF_PROOF = "pprf proof";
    /// PPRF: digest over the leaves of the proof.
    PPRF_DIGEST = "pprf digest";
    /// OT set-up: confirmation of both views.
    OT_CONFIRM = "ot confirm";
    /// OT extension: initial counter of the leaf stream.
    OTE_PRG = "ote prg";
    /// OT extension: coefficients of the consistency check.
    OTE_CHI = "ote chi";
    /// OT extension: digest of the check values.
    OTE_CHECK = "ote check";
    /// OT extension: per-session key of the output hash.
    OTE_TCCR = "ote tccr";
    /// RVOLE: gadget vector.
    RVOLE_GADGET = "rvole gadget";
    /// RVOLE: check challenge theta.
    RVOLE_THETA = "rvole theta";
    /// RVOLE: check digest mu.
    RVOLE_MU = "rvole mu";
    /// Zero shares: pairwise seeds into masks.
    ZERO_SHARE = "zero share";
    /// Zero shares: agreement on the pairwise seed.
    ZERO_SEED = "zero seed";
    /// Signing: binding of the point-to-point parts of a message to its broadcast.
    SIGN_BINDING = "sign binding";
    /// Presigning: what one item of a batch is.
    PRESIGN_ITEM = "presign item";
    /// Presigning: name of a presignature.
    PRESIGNATURE = "presignature";
    /// Presigning: challenge of the proof that two points have the same logarithm.
    DLEQ = "equal logarithms";
    /// Signing from a presignature: name of the session.
    ONLINE = "online";
    /// Signing from a presignature: factor of the nonce.
    RERANDOMISE = "rerandomise";
    /// Signing from a presignature: what a party signs about its partial signature.
    PARTIAL = "partial signature";
    /// Batches: all that is signed in one session, in order.
    BATCH_LIST = "batch list";
    /// Batches: what one of it is.
    BATCH_ITEM = "batch item";
    /// Backup: what a verifiable encryption is about.
    BACKUP_STATEMENT = "backup statement";
    /// Backup: masks and coins of one row, from its seed.
    BACKUP_ROW = "backup row";
    /// Backup: key of one recipient's shares in one row.
    BACKUP_SEAL = "backup seal";
    /// Backup: what one row commits to.
    BACKUP_COMMIT = "backup commit";
    /// Backup: which rows stay closed.
    BACKUP_CHALLENGE = "backup challenge";
    /// Backup: fingerprint of a recovery key.
    RECOVERY_KEY = "recovery key";
    /// Backup: a set of recovery keys and who of them may open.
    RECOVERY_SET = "recovery set";
    /// Backup: name of a file by its content.
    BACKUP_CONTENT = "backup content";
    /// Backup: what the node's identity signs.
    BACKUP_SIGNATURE = "backup signature";
    /// Backup: a request to open, and the answers to it.
    RECOVERY_REQUEST = "recovery request";
    /// Evidence kept with a failed check.
    EVIDENCE = "evidence";
    /// Anything a test needs.
    TEST = "test";
}

/// Accumulates labelled fields under a tag.
#[derive(Clone)]
pub struct Transcript(Hasher);

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transcript(..)")
    }
}

/// The hash state holds the last bytes absorbed: seeds, shares, entropy.
impl Drop for Transcript {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

fn length(len: usize) -> [u8; 8] {
    u64::try_from(len).unwrap_or(u64::MAX).to_le_bytes()
}

impl Transcript {
    /// Starts a hash in the domain of `tag`.
    pub fn new(tag: Tag) -> Self {
        Self(Hasher::new_derive_key(tag.0))
    }

    /// Absorbs one field.
    pub fn absorb(&mut self, label: &'static str, bytes: &[u8]) -> &mut Self {
        self.0.update(&length(label.len()));
        self.0.update(label.as_bytes());
        self.0.update(&length(bytes.len()));
        self.0.update(bytes);
        self
    }

    /// Absorbs a number.
    pub fn absorb_u64(&mut self, label: &'static str, value: u64) -> &mut Self {
        self.absorb(label, &value.to_le_bytes())
    }

    /// Absorbs a list: its count, then each element.
    pub fn absorb_all<T: AsRef<[u8]>>(
        &mut self,
        label: &'static str,
        items: impl ExactSizeIterator<Item = T>,
    ) -> &mut Self {
        self.absorb(label, &length(items.len()));
        for item in items {
            self.absorb("item", item.as_ref());
        }
        self
    }

    /// 32-byte digest.
    pub fn digest(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }

    /// Digest of any length.
    pub fn xof(&self) -> Xof {
        Xof(self.0.finalize_xof())
    }
}

/// Extendable output of a transcript.
pub struct Xof(OutputReader);

impl fmt::Debug for Xof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Xof(..)")
    }
}

impl Xof {
    /// Next bytes of the stream.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }
}

impl Drop for Xof {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

#[cfg(test)]
mod tests;

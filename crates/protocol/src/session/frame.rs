//! The envelope around the messages of one party in one round.

use alloc::vec::Vec;
use borsh::io::{Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

use super::SessionId;
use crate::party::{IdentityKey, PartyIndex};
use crate::transcript::{Transcript, tags};

/// Version of the envelope. Another version is rejected before anything else is read.
pub(super) const VERSION: u8 = 1;
/// Most bytes of a frame that a session looks at.
pub const MAX_FRAME: usize = 256 * 1024;
/// Round number of the notice that ends a session.
pub(super) const ABORT_ROUND: u8 = 0xff;

/// One signed broadcast as seen by a third party: enough to prove that its sender sent something else elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Seen {
    pub(super) content: [u8; 32],
    pub(super) signature: [u8; 64],
}

#[derive(BorshSerialize, BorshDeserialize)]
pub(super) struct Frame {
    pub(super) version: u8,
    pub(super) session: SessionId,
    pub(super) round: u8,
    pub(super) from: PartyIndex,
    pub(super) to: PartyIndex,
    /// What the sender saw in the round before, for every party but itself, in order.
    pub(super) echo: Vec<Seen>,
    pub(super) broadcast: Vec<u8>,
    pub(super) signature: Option<[u8; 64]>,
    #[borsh(serialize_with = "write_secret", deserialize_with = "read_secret")]
    pub(super) direct: Zeroizing<Vec<u8>>,
}

impl Frame {
    /// Canonical bytes. The buffer never grows, so no copy of a secret stays in freed memory.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // More than everything but the three parts of variable length takes.
        const FIXED: usize = 256;
        let echo = self.echo.len().saturating_mul(size_of::<Seen>());
        let len = FIXED + echo + self.broadcast.len() + self.direct.len();
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        // Writing into a vector does not fail.
        if self.serialize(&mut *out).is_err() {
            out.clear();
        }
        debug_assert!(out.len() <= len);
        out
    }
}

fn write_secret<W: Write>(bytes: &Zeroizing<Vec<u8>>, writer: &mut W) -> IoResult<()> {
    Vec::serialize(bytes, writer)
}
fn read_secret<R: Read>(reader: &mut R) -> IoResult<Zeroizing<Vec<u8>>> {
    Vec::deserialize_reader(reader).map(Zeroizing::new)
}

impl Frame {
    /// Hash of what the sender says to everybody in this round.
    pub(super) fn content(&self) -> [u8; 32] {
        let mut transcript = Transcript::new(tags::BROADCAST);
        transcript.absorb_all(
            "echo",
            self.echo.iter().map(|s| {
                let mut item = [0u8; 96];
                let (content, signature) = item.split_at_mut(32);
                content.copy_from_slice(&s.content);
                signature.copy_from_slice(&s.signature);
                item
            }),
        );
        transcript.absorb("body", &self.broadcast);
        transcript.digest()
    }
}

/// The bytes that a broadcaster signs: everything that tells one broadcast from any other stands beside the content hash, so a
/// signature from another round or session is no evidence of anything here.
pub(super) fn signed_bytes(session: SessionId, round: u8, from: PartyIndex, content: &[u8; 32]) -> [u8; 32] {
    Transcript::new(tags::BROADCAST)
        .absorb("session", &session.0)
        .absorb_u64("round", round.into())
        .absorb_u64("from", from.get().into())
        .absorb("content", content)
        .digest()
}

/// Whether `seen` carries a valid signature of that party for that round.
pub(super) fn is_signed(
    session: SessionId,
    round: u8,
    from: PartyIndex,
    key: &IdentityKey,
    seen: &Seen,
) -> bool {
    key.verify(&signed_bytes(session, round, from, &seen.content), &seen.signature)
}

/// Two signed broadcasts of one party for one round: the evidence of an [`Abort`](crate::abort::Abort) for equivocation.
#[derive(BorshSerialize, BorshDeserialize)]
pub(super) struct Equivocation {
    pub(super) session: SessionId,
    pub(super) round: u8,
    pub(super) author: PartyIndex,
    pub(super) seen: [Seen; 2],
}

/// Whether the evidence of an abort proves to anyone that the holder of `key`, as `author`, broadcast two different things in one round
/// of `session`.
#[must_use]
pub fn proves_equivocation(
    evidence: &[u8],
    session: SessionId,
    author: PartyIndex,
    key: &IdentityKey,
) -> bool {
    borsh::from_slice::<Equivocation>(evidence).is_ok_and(|proof| {
        let [first, second] = &proof.seen;
        proof.session == session
            && proof.author == author
            && first.content != second.content
            && proof.seen.iter().all(|seen| is_signed(session, proof.round, author, key, seen))
    })
}
